/* The dead set (registry/routing/dead.h): what is entered and what is said of it; it is delegated anew once, discarded, dropped for
 * want of room; and what a recovery makes of rows in the hands of the dead. */
#include "tests/unit/steps_fixture.h"

#include "registry/routing/dead.h"
#include "shm/due.h"
#include "shm/event.h"

static void dead_setup(void)
{
    ap_store_relaxed(&clock_now, ap_ops_system.now()); /* which the checkers read, and a machine may have begun a minute ago */
    steps_setup();
    ap_store_relaxed(&clock_now, ap_ops_system.now()); /* by which lanes have joined */
    hive_handlers(fail, count);
}
TestSuite(dead, .init = dead_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static const apiary_delegate_options_t twice = {.struct_size = sizeof twice, .retry = {.max_attempts = 2, .backoff = 1},
                                                .timeout = 7 * SECOND, .hops = 9, .key = 77};

static apiary_task_t ask(apiary_t *from, const void *body, size_t size, const apiary_delegate_options_t *o)
{
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(from, "first", body, size, o, &task), 0);
    return task;
}

/* The worker and those who look for what is due go on for a second. */
static void second_passes(void)
{
    ap_worker_serve(&hive.worker);
    ap_add_relaxed(&clock_now, SECOND);
    ap_due_look(b->seg, &ap_registry_hooks, b->anchor->lane.index);
}

static void ends_with(apiary_t *from, apiary_task_t task, int code)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r;

    while ((r = apiary_poll(from, task, &result)) == APIARY_ENOTREADY) second_passes();
    cr_assert_eq(r, 0);
    cr_assert_eq(result.code, code, "%s", apiary_error_name(result.code));
    cr_assert_eq(apiary_release(from, &result), 0);
}

/* A task that its agent fails as often as it may be tried. */
static apiary_task_t dies(const void *body, size_t size)
{
    apiary_task_t task = ask(a, body, size, &twice);

    ends_with(a, task, APIARY_EAGENT);
    return task;
}

static int next(uint64_t after, apiary_dead_t *ret)
{
    *ret = (apiary_dead_t){.struct_size = sizeof *ret};
    return apiary_dead_next(a, after, ret);
}

/* The numbers of all entries, in their order. */
static const char *entries(void)
{
    static char text[256];
    apiary_dead_t d = {.number = 0};
    size_t n = 0;

    text[0] = '\0';
    while (next(d.number, &d) == 1) n += (size_t)snprintf(text + n, sizeof text - n, "%llu ", (unsigned long long)d.number);
    return text;
}

static uint32_t blocks_busy(void)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < a->seg->sections[AP_SECTION_BLOCKS].count; i++)
        n += ap_load_relaxed((const uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i)) != 0;
    return n;
}

/* How many events of that kind there are; the last one's words. */
static uint32_t told(uint32_t kind, struct ap_event *ret)
{
    struct ap_event e;
    uint32_t n = 0;

    for (uint64_t i = 1; i < ap_load_relaxed(&a->seg->header->event_next); i++) {
        if (!ap_event_read(a->seg, i, &e) || e.kind != kind) continue;
        *ret = e;
        n++;
    }
    return n;
}

static struct ap_dead *row(uint32_t i)
{
    return ap_dead_at(a->seg, i);
}

static void sound(void)
{
    struct ap_report report = {.found = NULL};

    ap_check_all(a->seg, &report);
    cr_expect_eq(report.corrupt + report.repairable, 0, "%llu, %llu", (unsigned long long)report.corrupt,
                 (unsigned long long)report.repairable);
}

/* ---- what is entered -------------------------------------------------------------------------------------------- */

Test(dead, an_entry_says_all_that_is_known)
{
    static const char said[] = "no luck today, and that is said at some length so that it does not fit a slot: sorry";
    apiary_attach_options_t named = {.struct_size = sizeof named, .swarm = "caller"};
    apiary_t *caller;
    apiary_task_t task;
    apiary_dead_t d;
    struct ap_event e;
    char body[8] = "xxxxxxx";
    uint64_t before = ap_ops_system.realtime();

    cr_assert_eq(apiary_attach(name, &named, &caller), 0);
    caller->seg->ops = &clock_ops;
    task = ask(caller, "hello", 5, &twice);
    cr_expect_eq(next(0, &d), 0);
    ends_with(caller, task, APIARY_EAGENT);
    cr_assert_eq(next(0, &d), 1);
    cr_expect_eq(d.number, 1);
    cr_expect(d.died >= before && d.died <= ap_ops_system.realtime());
    cr_expect_eq(memcmp(&d.task, &task, sizeof task), 0);
    cr_expect(d.code == APIARY_EAGENT && d.agent_code == 42 && d.signal == 0, "%d %u %u", d.code, d.agent_code, d.signal);
    cr_expect(d.starts == 2 && d.crashes == 0, "%u %u", d.starts, d.crashes);
    cr_expect_eq(d.pid, (int64_t)getpid());
    cr_expect(d.size == 5 && d.dropped == 0);
    cr_expect_str_eq(d.capability, "first");
    cr_expect_str_eq(d.caller, "caller");
    cr_expect_str_eq(d.service, "steps");
    cr_expect_str_eq(d.instance, "0");
    cr_expect_str_eq(d.agent, "first");
    cr_expect_str_eq(d.text, said);
    cr_expect_eq(next(1, &d), 0);
    cr_expect_eq(apiary_dead_body(a, 1, body, sizeof body), 5);
    cr_expect_eq(memcmp(body, "helloxx", 8), 0);
    memset(body, 'x', sizeof body);
    cr_expect_eq(apiary_dead_body(a, 1, body, 2), 5, "all of it, of which two bytes were copied");
    cr_expect_eq(memcmp(body, "hexx", 4), 0);
    cr_expect_eq(apiary_dead_body(a, 1, NULL, 0), 5);
    cr_expect_eq(told(AP_EVENT_TASK_DEAD, &e), 1);
    cr_expect(e.a == task.slot && e.lane == caller->anchor->lane.index && AP_DEAD_STATE(row((uint32_t)e.b)->life) == AP_DEAD_KEPT);
    caller->seg->ops = &ap_ops_system;
    apiary_detach(caller);
    sound();
}

/* What ends well, or badly for the first time and the only one, is nothing for the dead set. */
Test(dead, only_what_was_tried_in_vain)
{
    apiary_delegate_options_t once = twice, refused = twice;

    once.retry = (apiary_retry_t){.max_attempts = 1};
    ends_with(a, ask(a, "x", 1, &once), APIARY_EAGENT);
    refused.retry.never[0] = 42;
    ends_with(a, ask(a, "x", 1, &refused), APIARY_EAGENT);
    hive_handlers(count, count);
    ends_with(a, ask(a, "x", 1, &twice), 0);
    cr_expect_str_eq(entries(), "");
}

static void fail_at_length(void *state, apiary_job_t *job)
{
    char text[AP_DEAD_TEXT + 10];

    (void)state;
    memset(text, 't', sizeof text);
    apiary_job_fail_text(job, 1, text, sizeof text);
}

Test(dead, a_long_text_is_cut_and_a_large_body_keeps_its_block)
{
    static char body[5000], copy[sizeof body];
    apiary_dead_t d;

    hive_handlers(fail_at_length, count);
    memset(body, 'b', sizeof body);
    dies(body, sizeof body);
    cr_assert_eq(next(0, &d), 1);
    cr_expect_eq(strlen(d.text), AP_DEAD_TEXT - 1);
    cr_expect_eq(strspn(d.text, "t"), AP_DEAD_TEXT - 1);
    cr_expect_str_eq(d.caller, "", "its caller has no name");
    cr_expect_eq(blocks_busy(), 1);
    cr_expect_eq(ap_pool_sweep(a->seg), 0);
    cr_expect_eq(apiary_dead_body(a, 1, copy, sizeof copy), sizeof body);
    cr_expect_eq(memcmp(copy, body, sizeof body), 0);
    sound();
    cr_expect_eq(apiary_dead_discard(a, 1), 0);
    cr_expect_eq(blocks_busy(), 0);
    cr_expect_eq(apiary_dead_discard(a, 1), APIARY_ESTALE);
    cr_expect_eq(apiary_dead_body(a, 1, copy, sizeof copy), APIARY_ESTALE);
    cr_expect_eq(next(0, &d), 0);
}

/* A task that is marked as one that has crashed its worker, and freed. */
static apiary_task_t crashed(enum ap_dead_cause cause, uint32_t crashes, uint32_t started_ago)
{
    apiary_task_t task = asked("first", "poison", 6, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_ABANDON | AP_REQUEST_DEAD(cause));
    ap_store_relaxed(&slot->worker, (uint16_t)b->anchor->lane.index);
    ap_store_relaxed(&slot->started, b->anchor->lane.lane->joined - started_ago);
    ap_store_relaxed(&slot->word, AP_WORD(AP_TASK_FAILED, crashes, (uint32_t)-ap_dead_code(cause), task.generation));
    cr_assert_eq(ap_task_free_unseen(a->seg, a->anchor->lane.index, task.slot, ap_slot_leave, a->seg), 1);
    return task;
}

Test(dead, causes)
{
    static const struct {
        enum ap_dead_cause cause;
        int code;
        uint32_t signal, starts;
    } all[] = {
        {AP_DEAD_SEGV, APIARY_ECRASHED, SIGSEGV, 3}, {AP_DEAD_ENDED, APIARY_ECRASHED, 0, 3},
        {AP_DEAD_LOST, APIARY_ELOST, 0, 4}, {AP_DEAD_OVERRUN, APIARY_EOVERRUN, 0, 4},
    };
    apiary_dead_t d = {.number = 0};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        crashed(all[i].cause, 3, i % 2);
        cr_assert_eq(next(i, &d), 1);
        cr_expect(d.code == all[i].code && d.signal == all[i].signal, "%zu: %d %u", i, d.code, d.signal);
        cr_expect(d.starts == all[i].starts && d.crashes == 3, "%zu: %u %u", i, d.starts, d.crashes);
        cr_expect_str_eq(d.text, "", "it is no agent's");
        cr_expect_eq(d.pid, i % 2 == 0 ? (int64_t)getpid() : 0, "a lane that has joined since is another thread's");
    }
}

/* Its agent's record is another's by now, or none. */
Test(dead, where_it_ran_may_not_be_known)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);
    apiary_dead_t d;

    slot->caller = (uint16_t)(ap_service_find(a->seg, "steps") + 1);
    slot->queue = UINT16_MAX;
    slot->worker = UINT16_MAX;
    ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_ABANDON | AP_REQUEST_DEAD(AP_DEAD_SEGV));
    slot->word = AP_WORD(AP_TASK_FAILED, 3, (uint32_t)-APIARY_ECRASHED, task.generation);
    cr_assert_eq(ap_task_free_unseen(a->seg, a->anchor->lane.index, task.slot, ap_slot_leave, a->seg), 1);
    cr_assert_eq(next(0, &d), 1);
    cr_expect_str_eq(d.caller, "steps");
    cr_expect(d.agent[0] == '\0' && d.service[0] == '\0' && d.instance[0] == '\0', "%s %s %s", d.agent, d.service, d.instance);
    cr_expect_eq(d.pid, 0);
}

/* ---- the set is bounded ----------------------------------------------------------------------------------------- */

Test(dead, the_oldest_goes)
{
    static char body[5000];
    apiary_dead_t d;
    struct ap_event e;

    dies(body, sizeof body);
    for (int i = 1; i < DEAD_ROWS; i++) dies("x", 1);
    cr_expect_str_eq(entries(), "1 2 3 4 ");
    cr_expect_eq(blocks_busy(), 1);
    cr_expect_eq(told(AP_EVENT_DEAD_DROPPED, &e), 0);
    dies("x", 1);
    cr_expect_str_eq(entries(), "2 3 4 5 ");
    cr_expect_eq(blocks_busy(), 0, "its block went with it");
    cr_expect_eq(told(AP_EVENT_DEAD_DROPPED, &e), 1);
    cr_expect_eq(e.a, 1);
    cr_expect_eq(row((uint32_t)e.b)->number, 5, "the new one has its row");
    cr_assert_eq(next(4, &d), 1);
    cr_expect_eq(d.dropped, 1);
    cr_expect_eq(apiary_dead_discard(a, 3), 0);
    dies("x", 1);
    cr_expect_str_eq(entries(), "2 4 5 6 ", "a row that is free comes first");
    dies("x", 1);
    cr_expect_str_eq(entries(), "4 5 6 7 ");
    cr_assert_eq(next(6, &d), 1);
    cr_expect_eq(d.dropped, 2);
    sound();
}

/* All rows are in the hands of others. */
Test(dead, one_that_finds_no_row_is_missed_and_counted)
{
    struct ap_event e;
    apiary_dead_t d;
    apiary_task_t task;

    for (uint32_t i = 0; i < DEAD_ROWS; i++) row(i)->life = AP_DEAD_LIFE(5, b->anchor->lane.index, AP_DEAD_FILLING);
    task = dies("x", 1);
    cr_expect_eq(told(AP_EVENT_DEAD_MISSED, &e), 1);
    cr_expect(e.a == task.slot && e.b == AP_DEAD_FAILED);
    cr_expect_eq(AP_WORD_STATE(ap_slot_at(a->seg, task.slot)->word), AP_TASK_FREE, "its slot is free all the same");
    row(2)->life = AP_DEAD_LIFE(5, 0, AP_DEAD_FREE);
    dies("x", 1);
    cr_expect_eq(AP_DEAD_EPOCH(row(2)->life), 6);
    row(0)->life = row(1)->life = row(3)->life = AP_DEAD_LIFE(5, 0, AP_DEAD_FREE);
    cr_assert_eq(next(0, &d), 1);
    cr_expect_eq(d.dropped, 1);
}

/* ---- delegated anew --------------------------------------------------------------------------------------------- */

Test(dead, a_retry_is_the_same_task_with_the_same_options)
{
    static char body[5000], large[5000];
    apiary_delegate_options_t later = twice;
    const struct ap_slot *slot;
    struct ap_carried carried;
    apiary_task_t task;

    later.delay = 3 * SECOND;
    memset(large, 'l', sizeof large);
    ends_with(a, ask(a, "small", 5, &later), APIARY_EAGENT);
    dies(large, sizeof large);
    hive_handlers(echo, count);
    for (uint64_t number = 1; number <= 2; number++) {
        uint32_t size = 0;

        cr_assert_eq(apiary_dead_retry(a, number, &task), 0);
        slot = ap_slot_at(a->seg, task.slot);
        cr_expect_eq(AP_WORD_STATE(slot->word), AP_TASK_QUEUED, "its time has come");
        cr_assert(ap_carried_read(a->seg, task, &carried));
        cr_expect_eq(memcmp(&carried.retry, &twice.retry, sizeof twice.retry), 0);
        cr_expect(carried.hops == 9 && carried.key == 77 && carried.delay == 0 && carried.due_at == 0);
        cr_expect_eq(slot->deadline - slot->queued, twice.timeout + (number == 1 ? later.delay : 0), "as long as it had");
        memcpy(body, ap_task_body(a->seg, slot, &size), 5);
        cr_expect(size == (number == 1 ? 5 : sizeof large) && memcmp(body, number == 1 ? "small" : large, 5) == 0);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
        cr_expect_eq(AP_WORD_STATE(slot->word), AP_TASK_FREE, "fire and forget");
        cr_expect_eq(apiary_dead_retry(a, number, &task), APIARY_ESTALE, "once");
    }
    cr_expect_str_eq(entries(), "");
    cr_expect_eq(blocks_busy(), 0);
    hive_handlers(fail, count);
    dies("x", 0);
    cr_expect_eq(apiary_dead_retry(a, 3, NULL), 0, "who does not want to know its id");
    sound();
}

Test(dead, a_refused_retry_leaves_it_there)
{
    apiary_task_t task = {.slot = 7};
    apiary_delegate_options_t once = twice;

    dies("x", 1);
    while (apiary_delegate(a, "first", "y", 1, &once, &task) == 0) {}
    task.slot = 7;
    cr_expect_lt(apiary_dead_retry(a, 1, &task), 0);
    cr_expect_eq(task.slot, 7);
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(row(0)->again + row(1)->again + row(2)->again + row(3)->again, 0);
    hive_handlers(count, count);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(apiary_dead_retry(a, 1, &task), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_str_eq(entries(), "");
}

/* Its row is no other task's, whichever the lane delegates next. */
Test(dead, what_is_delegated_after_a_retry)
{
    uint32_t left = 0;

    dies("x", 1);
    dies("y", 1);
    hive_handlers(count, count);
    cr_assert_eq(apiary_dead_retry(a, 1, NULL), 0);
    ends_with(a, ask(a, "z", 1, &twice), 0);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) left += row(i)->again != 0 && AP_DEAD_STATE(row(i)->life) != AP_DEAD_FREE;
    cr_expect_eq(left, 0);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) row(i)->again = 0;
    ends_with(a, ask(a, "z", 1, &twice), 0);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) cr_expect_eq(row(i)->again, 0, "%u", i);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) row(i)->again = 7;
    hive_handlers(fail, count);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) dies("x", 1);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) cr_expect_eq(row(i)->again, 0, "a new entry becomes no task: %u", i);
}

Test(dead, what_had_time_for_ever_has_it_again)
{
    apiary_delegate_options_t ages = twice;
    apiary_task_t task;

    ages.timeout = APIARY_FOREVER;
    ends_with(a, ask(a, "x", 1, &ages), APIARY_EAGENT);
    cr_assert_eq(apiary_dead_retry(a, 1, &task), 0);
    cr_expect_eq(ap_slot_at(a->seg, task.slot)->deadline, APIARY_FOREVER);
}

Test(dead, a_corrupt_body_is_no_body)
{
    apiary_task_t task;
    char text[8];

    dies("x", 1);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) row(i)->body = 1;
    cr_expect_eq(apiary_dead_body(a, 1, text, sizeof text), APIARY_ECORRUPT);
    cr_expect_eq(apiary_dead_retry(a, 1, &task), APIARY_ECORRUPT);
    cr_expect_str_eq(entries(), "1 ", "it is there still");
    for (uint32_t i = 0; i < DEAD_ROWS; i++) row(i)->body = 0;
    cr_expect_eq(apiary_dead_body(a, 1, text, sizeof text), 1);
}

/* Only its service may run it, as before. */
Test(dead, a_retry_goes_to_the_service_that_it_was_for)
{
    int service = ap_service_find(a->seg, "steps");
    apiary_task_t task;

    cr_assert_geq(service, 0);
    cr_assert_eq(ap_submit(a->anchor, service, "first", "x", 1, 0, &twice, &task), 0);
    ends_with(a, task, APIARY_EAGENT);
    cr_assert_eq(apiary_dead_retry(a, 1, &task), 0);
    cr_expect_eq(ap_slot_at(a->seg, task.slot)->only, service + 1);
    ap_worker_serve(&hive.worker);
}

Test(dead, a_body_that_its_result_was_written_over_is_gone)
{
    static char body[5000];
    apiary_task_t task = asked("first", body, sizeof body, 0);
    apiary_dead_t d;
    char text[8];

    cr_expect_eq(blocks_busy(), 1);
    ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_OVERWRITTEN);
    ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_ABANDON | AP_REQUEST_DEAD(AP_DEAD_BUS));
    ap_store_relaxed(&ap_slot_at(a->seg, task.slot)->word,
                     AP_WORD(AP_TASK_FAILED, 3, (uint32_t)-APIARY_ECRASHED, task.generation));
    cr_assert_eq(ap_task_free_unseen(a->seg, a->anchor->lane.index, task.slot, ap_slot_leave, a->seg), 1);
    cr_assert_eq(next(0, &d), 1);
    cr_expect(d.size == 0 && d.signal == SIGBUS);
    cr_expect_eq(blocks_busy(), 0);
    cr_expect_eq(apiary_dead_body(a, 1, text, sizeof text), 0);
    cr_expect_eq(apiary_dead_retry(a, 1, &task), APIARY_ENORESULT);
    cr_expect_str_eq(entries(), "1 ");
    cr_expect_eq(apiary_dead_discard(a, 1), 0);
}

Test(dead, refusals)
{
    apiary_attach_options_t observer = {.struct_size = sizeof observer, .read_only = 1};
    apiary_dead_t d = {.struct_size = 3};
    apiary_task_t task;
    apiary_t *looks;
    char text[8];

    dies("hello", 5);
    cr_expect_eq(apiary_dead_next(a, 0, &d), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_next(a, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_next(NULL, 0, &d), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_body(NULL, 1, text, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_body(a, 1, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_body(a, 2, text, 1), APIARY_ESTALE);
    cr_expect_eq(apiary_dead_retry(NULL, 1, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_retry(a, 2, &task), APIARY_ESTALE);
    cr_expect_eq(apiary_dead_discard(NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_dead_discard(a, 2), APIARY_ESTALE);
    cr_assert_eq(apiary_attach(name, &observer, &looks), 0);
    d.struct_size = sizeof d;
    cr_expect_eq(apiary_dead_next(looks, 0, &d), 1, "who only observes may look");
    cr_expect_eq(apiary_dead_body(looks, 1, text, sizeof text), 5);
    cr_expect_eq(apiary_dead_retry(looks, 1, &task), APIARY_EREADONLY);
    cr_expect_eq(apiary_dead_discard(looks, 1), APIARY_EREADONLY);
    apiary_detach(looks);
    cr_expect_str_eq(entries(), "1 ");
}

/* ---- in the hands of the dead ----------------------------------------------------------------------------------- */

/* Row 1 is TAKEN by lane 9 to become the task `again`: whether it is KEPT afterwards, or FREE. */
static uint32_t after_withdrawal(uint64_t again, uint32_t lane, uint64_t beside)
{
    row(1)->life = AP_DEAD_LIFE(3, 9, AP_DEAD_TAKEN);
    row(1)->again = again;
    ap_dead_withdraw(a->seg, lane, beside);
    return AP_DEAD_STATE(row(1)->life);
}

Test(dead, a_retry_whose_lane_has_died_is_kept_or_on_its_way)
{
    apiary_task_t task = asked("second", "x", 1, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);
    uint64_t ref = AP_REF(task.slot, task.generation), word = slot->word;
    static const uint32_t stays[] = {AP_TASK_RESERVED, AP_TASK_CANCELLED}, away[] = {AP_TASK_QUEUED, AP_TASK_RUNNING, AP_TASK_FREE};

    cr_expect_eq(after_withdrawal(0, 9, 0), AP_DEAD_KEPT, "it names no task");
    cr_expect_eq(after_withdrawal(AP_REF(AP_TASKS_MAX - 1, 1), 9, 0), AP_DEAD_KEPT, "there is no such slot");
    for (size_t i = 0; i < 2; i++) {
        slot->word = AP_WORD_WITH(word, stays[i], 9);
        cr_expect_eq(after_withdrawal(ref, 9, 0), AP_DEAD_KEPT, "%u", stays[i]);
        cr_expect_eq(row(1)->again, 0);
        cr_expect_eq(AP_DEAD_EPOCH(row(1)->life), 3);
    }
    for (size_t i = 0; i < 3; i++) {
        slot->word = AP_WORD_WITH(word, away[i], 0);
        cr_expect_eq(after_withdrawal(ref, 9, 0), AP_DEAD_FREE, "%u", away[i]);
    }
    slot->word = AP_WORD_WITH(word, AP_TASK_RESERVED, 9);
    cr_expect_eq(after_withdrawal(AP_REF(task.slot, task.generation + 1), 9, 0), AP_DEAD_FREE, "its slot has another task since");
    cr_expect_eq(after_withdrawal(0, 8, 0), AP_DEAD_TAKEN, "another lane's");
    cr_expect_eq(after_withdrawal(0, 9, 1), AP_DEAD_TAKEN, "the lane's lock is another's");
    slot->word = word;
    row(1)->life = AP_DEAD_LIFE(3, 9, AP_DEAD_FILLING);
    ap_dead_withdraw(a->seg, 9, 0);
    cr_expect_eq(AP_DEAD_STATE(row(1)->life), AP_DEAD_FILLING, "it may be gone on with");
    ap_dead_settle(a->seg, 8, 0);
    ap_dead_settle(a->seg, 9, 1);
    cr_expect_eq(AP_DEAD_STATE(row(1)->life), AP_DEAD_FILLING);
    ap_dead_settle(a->seg, 9, 0);
    cr_expect_eq(AP_DEAD_STATE(row(1)->life), AP_DEAD_FREE);
    row(1)->life = AP_DEAD_LIFE(3, 9, AP_DEAD_TAKEN);
    ap_dead_settle(a->seg, 9, 0);
    cr_expect_eq(AP_DEAD_STATE(row(1)->life), AP_DEAD_TAKEN);
    row(1)->life = AP_DEAD_LIFE(3, 0, AP_DEAD_FREE);
}

/* A row that names the task already: one that was begun is gone on with, one that is whole is the task's only one. */
Test(dead, what_was_begun_is_not_entered_twice)
{
    apiary_task_t task = asked("first", "poison", 6, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);
    uint64_t word = AP_WORD(AP_TASK_FAILED, 3, (uint32_t)-APIARY_ECRASHED, task.generation);
    const uint32_t own = b->anchor->lane.index;
    static const struct {
        uint32_t state, other;
        int slot, epoch, generation; /* further than the task's */
        const char *entries;
    } all[] = {
        {AP_DEAD_FILLING, 0, 0, 0, 0, "1 "},     {AP_DEAD_FILLING, 1, 0, 0, 0, "2 "}, {AP_DEAD_FREE, 0, 0, 0, 0, ""},
        {AP_DEAD_FREE, 0, 1, 0, 0, "3 "},        {AP_DEAD_FREE, 0, 0, 1, 0, "4 "},    {AP_DEAD_FREE, 0, 0, 0, 1, "5 "},
        {AP_DEAD_KEPT, 0, 0, 0, 0, "77 "},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        for (uint32_t k = 0; k < DEAD_ROWS; k++) row(k)->life = AP_DEAD_LIFE(4, 0, AP_DEAD_FREE), row(k)->generation = 0;
        row(2)->life = AP_DEAD_LIFE(5, all[i].state == AP_DEAD_FILLING ? own + all[i].other : 0, all[i].state);
        row(2)->number = 77;
        row(2)->slot = task.slot + (uint32_t)all[i].slot;
        row(2)->epoch = task.epoch + (uint32_t)all[i].epoch;
        row(2)->generation = task.generation + (uint64_t)all[i].generation;
        slot->request = AP_REQUEST_WORD(task.generation, AP_REQUEST_DEAD(AP_DEAD_SEGV));
        slot->word = AP_WORD_WITH(word, AP_TASK_RELEASING, own);
        ap_slot_leave(a->seg, slot);
        cr_expect_str_eq(entries(), all[i].entries, "%zu: %s", i, entries());
        if (i == 0) cr_expect_eq(AP_DEAD_EPOCH(row(2)->life), 5, "the row that was begun");
        if (i == 1) cr_expect_eq(row(2)->life, AP_DEAD_LIFE(5, own + 1, AP_DEAD_FILLING), "another's is left alone");
    }
    row(2)->life = AP_DEAD_LIFE(6, 0, AP_DEAD_FREE);
    slot->request = AP_REQUEST_WORD(task.generation, AP_REQUEST_ABANDON);
    slot->word = word;
    ap_task_free_unseen(a->seg, own, task.slot, ap_slot_leave, a->seg);
}

/* ---- of a row --------------------------------------------------------------------------------------------------- */

Test(dead, a_block_is_kept_for_a_row_of_its_epoch)
{
    row(1)->life = AP_DEAD_LIFE(3, 0, AP_DEAD_KEPT);
    cr_expect(ap_dead_keeps(a->seg, 1, 3));
    cr_expect_not(ap_dead_keeps(a->seg, 1, 4));
    cr_expect_not(ap_dead_keeps(a->seg, 2, 3));
    cr_expect_not(ap_dead_keeps(a->seg, DEAD_ROWS, 0));
    row(1)->life = AP_DEAD_LIFE(3, 9, AP_DEAD_FILLING);
    cr_expect(ap_dead_keeps(a->seg, 1, 3));
    row(1)->life = AP_DEAD_LIFE(3, 0, AP_DEAD_FREE);
    cr_expect_not(ap_dead_keeps(a->seg, 1, 3));
}

/* Texts without an end, as a corrupt segment may have them. */
Test(dead, what_is_read_ends)
{
    struct ap_dead d;
    apiary_dead_t view;

    dies("x", 1);
    cr_assert_eq(next(0, &view), 1);
    for (uint32_t i = 0; i < DEAD_ROWS; i++) {
        memset(row(i)->caller, 'c', offsetof(struct ap_dead, body_inside) - offsetof(struct ap_dead, caller));
        if (!ap_dead_read(a->seg, i, &d)) continue;
        cr_expect_eq(strlen(d.caller), APIARY_NAME_MAX);
        cr_expect_eq(strlen(d.service), APIARY_NAME_MAX);
        cr_expect_eq(strlen(d.instance), APIARY_NAME_MAX);
        cr_expect_eq(strlen(d.agent), APIARY_NAME_MAX);
        cr_expect_eq(strlen(d.text), AP_DEAD_TEXT - 1);
    }
    cr_expect_not(ap_dead_read(a->seg, DEAD_ROWS, &d));
}
