/* The end of a task as its client sees it, step by step: what a result says, what is untouched, what becomes of slot and ticket.
 * The tests answer by hand, so no thread comes in between. */
#include "registry_fixture.h"

static struct ap_agent_registration agents[2];
static struct ap_swarm_registration swarm;
static struct ap_consumer consumer; /* of the first */
static const char *const echo[] = {"echo", NULL}, *const other[] = {"other", NULL};

/* Two agents whose consumer is the test's own lane. */
static void setup(void)
{
    fixture_setup();
    agents[0] = (struct ap_agent_registration){.name = "agent", .capabilities = echo, .lane = client->anchor->lane.index};
    agents[1] = (struct ap_agent_registration){.name = "second", .capabilities = other, .lane = client->anchor->lane.index};
    swarm = (struct ap_swarm_registration){.service = "server", .version = "1.0", .lane = client->anchor->lane.index,
                                           .member = client->member, .agents = agents, .agent_count = 2};
    cr_assert_eq(ap_swarm_register(client->seg, &swarm), 0);
    ap_consumer_init(&consumer, client->seg, agents[0].queue);
}

static void teardown(void)
{
    client->seg->ops = &ap_ops_system;
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &swarm);
    fixture_teardown();
}

TestSuite(ends, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct ap_slot *slot_of(apiary_task_t task)
{
    struct ap_slot *slot = ap_slot_at(client->seg, task.slot);

    cr_assert_not_null(slot);
    return slot;
}

static struct ap_queue *queue_of(int agent)
{
    struct ap_queue *q = ap_queue_at(client->seg, agents[agent].queue);

    cr_assert_not_null(q);
    return q;
}

static apiary_task_t delegate(const apiary_delegate_options_t *options)
{
    apiary_task_t task = {.slot = 0};
    int r;

    while (ap_queue_pop(&consumer) != 0) {} /* tasks are claimed by their ids */
    r = apiary_delegate(client, "echo", "x", 1, options, &task);
    cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    return task;
}

static uint64_t claim(apiary_task_t task)
{
    uint64_t token = 0;

    cr_assert_eq(ap_task_claim(client->seg, client->anchor->lane.index, agents[0].queue, AP_REF(task.slot, task.generation),
                               &token), 1);
    return token;
}

static void finish(apiary_task_t task, uint64_t token, int code, const char *text)
{
    struct ap_slot *slot = slot_of(task);

    memcpy(slot->result_inline, text, strlen(text));
    ap_slot_result(slot, 0, (uint32_t)strlen(text));
    ap_slot_agent_code(slot, 7);
    cr_assert_eq(ap_task_finish(client->seg, task.slot, token, code), 0);
}

static apiary_task_t answered(int code, const char *text)
{
    apiary_task_t task = delegate(NULL);

    finish(task, claim(task), code, text);
    return task;
}

static void *const untouched = &swarm;
static apiary_result_t blank(void)
{
    return (apiary_result_t){.struct_size = sizeof(apiary_result_t), .data = untouched, .size = 91, .code = 92, .agent_code = 93,
                             .attempts = 94, .task = {.slot = 95, .epoch = 96, .generation = 97}};
}

static bool same_task(apiary_task_t a, apiary_task_t b)
{
    return a.slot == b.slot && a.epoch == b.epoch && a.generation == b.generation;
}

static void expect_blank(const apiary_result_t *r, const char *what)
{
    const apiary_result_t b = blank();

    cr_expect(r->struct_size == sizeof *r && r->data == untouched && r->size == 91 && r->code == 92 && r->agent_code == 93 &&
              r->attempts == 94 && same_task(r->task, b.task), "%s: the output is touched", what);
}

static void expect_gone(apiary_task_t task, const char *what)
{
    apiary_result_t r = blank();

    cr_expect_eq(apiary_poll(client, task, &r), APIARY_ESTALE, "%s", what);
    cr_expect_eq(apiary_cancel(client, task), APIARY_ESTALE, "%s", what);
    expect_blank(&r, what);
    cr_expect_eq(slots_in_use(), 0, "%s", what);
    cr_expect_eq(busy_tickets(), 0, "%s", what);
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

static int by_poll(apiary_task_t task, apiary_result_t *ret)
{
    return apiary_poll(client, task, ret);
}

static int by_await(apiary_task_t task, apiary_result_t *ret)
{
    return apiary_await(client, task, 0, ret);
}

static int by_await_any(apiary_task_t task, apiary_result_t *ret)
{
    return apiary_await_any(client, &task, 1, 0, ret);
}

static int by_await_batch(apiary_task_t task, apiary_result_t *ret)
{
    size_t finished = 77;
    int r = apiary_await_batch(client, &task, 1, 0, ret, &finished);

    cr_expect_eq(finished, r == 0);
    return r;
}

static int (*const ways[])(apiary_task_t, apiary_result_t *) = {by_poll, by_await, by_await_any, by_await_batch};
#define WAYS (sizeof ways / sizeof ways[0])

/* An agent's answer is its text; of every other end there is none, whatever lies in the slot. */
Test(ends, a_result_says_all_of_how_it_ended)
{
    const struct {
        int code;
        size_t size;
        uint32_t agent_code, attempts;
    } rows[] = {{0, 4, 0, 1}, {APIARY_EAGENT, 4, 7, 1}, {APIARY_ENOBLOCK, 0, 0, 1}, {APIARY_ETIMEDOUT, 0, 0, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < WAYS; k++) {
            apiary_task_t task = answered(rows[i].code, "text");
            apiary_result_t r = blank();

            cr_expect_eq(ways[k](task, &r), 0, "row %zu, way %zu", i, k);
            cr_expect(r.struct_size == sizeof r && r.size == rows[i].size && r.code == rows[i].code, "row %zu, way %zu", i, k);
            cr_expect(r.agent_code == rows[i].agent_code && r.attempts == rows[i].attempts, "row %zu, way %zu", i, k);
            cr_expect(r.data != NULL && memcmp(r.data, "text", r.size) == 0 && same_task(r.task, task), "row %zu, way %zu", i, k);
            cr_expect_eq(apiary_release(client, &r), 0);
            cr_expect(r.struct_size == sizeof r && r.data == NULL && r.size == 0 && r.code == 0 && r.agent_code == 0 &&
                      r.attempts == 0 && r.task.slot == 0 && r.task.epoch == 0 && r.task.generation == 0, "it is as none");
            expect_gone(task, "released");
        }
    }
}

Test(ends, what_is_not_there_leaves_the_output_alone)
{
    apiary_task_t task = delegate(NULL), stale = task;
    const int wanted[] = {APIARY_ENOTREADY, APIARY_ENOTREADY, APIARY_ESTALE, APIARY_ECORRUPT, APIARY_ECORRUPT};

    stale.generation++;
    for (int step = 0; step < 5; step++) {
        if (step == 1) claim(task);
        if (step == 3) finish(task, slot_of(task)->word, 0, "text");
        if (step == 3) slot_of(task)->result_size = AP_INLINE_BODY + 1;
        if (step == 4) slot_of(task)->word = AP_WORD_WITH(slot_of(task)->word, AP_TASK_FAILED, 0); /* and no word why */
        for (size_t k = 0; k < WAYS; k++) {
            apiary_result_t r = blank();

            cr_expect_eq(ways[k](step == 2 ? stale : task, &r), wanted[step], "step %d, way %zu", step, k);
            expect_blank(&r, "refused");
        }
    }
    slot_of(task)->result_size = 0;
    ap_give_up(client, task);
    expect_gone(task, "given up");
}

/* What is finished goes before an error of another, and of several errors the first is told. */
Test(ends, of_many_tasks_the_first_that_is_finished)
{
    apiary_task_t tasks[3] = {delegate(NULL), delegate(NULL), delegate(NULL)}, stale = tasks[0];
    apiary_result_t r = blank();

    stale.epoch++;
    cr_expect_eq(apiary_await_any(client, tasks, 3, 0, &r), APIARY_ENOTREADY);
    expect_blank(&r, "not yet");
    finish(tasks[1], claim(tasks[1]), 0, "second");
    cr_expect_eq(apiary_await_any(client, tasks, 1, 0, &r), APIARY_ENOTREADY, "that is behind the last");
    cr_expect_eq(apiary_await_any(client, tasks, 2, 0, &r), 1);
    cr_expect(r.size == 6 && same_task(r.task, tasks[1]));
    cr_expect_eq(apiary_await_any(client, (apiary_task_t[]){stale, tasks[0], tasks[1]}, 3, 0, &r), 2);
    r = blank();
    cr_expect_eq(apiary_await_any(client, (apiary_task_t[]){tasks[0], stale}, 2, 0, &r), APIARY_ESTALE);
    slot_of(tasks[1])->result_size = AP_INLINE_BODY + 1;
    cr_expect_eq(apiary_await_any(client, (apiary_task_t[]){tasks[1], stale}, 2, 0, &r), APIARY_ECORRUPT);
    cr_expect_eq(apiary_await_any(client, (apiary_task_t[]){stale, tasks[1]}, 2, 0, &r), APIARY_ESTALE);
    cr_expect_eq(apiary_await_any(client, tasks, 0, 0, &r), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, NULL, 1, 0, &r), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, tasks, 1, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, tasks, (size_t)INT32_MAX + 1, 0, &r), APIARY_EINVAL);
    r.struct_size = 8;
    cr_expect_eq(apiary_await_any(client, tasks, 1, 0, &r), APIARY_EINVAL);
    r.struct_size = sizeof r;
    expect_blank(&r, "refused");
    for (int i = 0; i < 3; i++) ap_give_up(client, tasks[i]);
}

/* Each in its turn; the first that is not there stops it, and what is behind that one is not looked at. */
Test(ends, of_a_batch_as_many_as_are_there)
{
    apiary_task_t tasks[4] = {answered(0, "a"), answered(0, "b"), delegate(NULL), answered(0, "d")};
    apiary_result_t r[4];
    size_t n = 77;

    for (int i = 0; i < 4; i++) r[i] = blank();
    r[1].struct_size = 0; /* the first one's is that of all */
    cr_expect_eq(apiary_await_batch(client, tasks, 4, 0, r, &n), APIARY_ENOTREADY);
    cr_expect_eq(n, 2);
    cr_expect_eq(r[1].struct_size, sizeof r[1]);
    for (int i = 0; i < 2; i++) cr_expect(r[i].size == 1 && *(const char *)r[i].data == 'a' + i && same_task(r[i].task, tasks[i]));
    for (int i = 2; i < 4; i++) expect_blank(&r[i], "behind");
    n = 77;
    cr_expect_eq(apiary_await_batch(client, tasks, 4, 0, NULL, &n), APIARY_EINVAL);
    cr_expect_eq(n, 0);
    r[0].struct_size = 8;
    cr_expect_eq(apiary_await_batch(client, tasks, 4, 0, r, &n), APIARY_EINVAL);
    r[0].struct_size = sizeof r[0];
    finish(tasks[2], claim(tasks[2]), 0, "c");
    cr_expect_eq(apiary_await_batch(client, tasks, 4, 5 * MS, r, &n), 0);
    cr_expect_eq(n, 4);
    for (int i = 0; i < 4; i++) cr_expect_eq(apiary_release(client, &r[i]), 0);
    expect_gone(tasks[3], "released");
}

Test(ends, what_is_no_result_is_not_released)
{
    apiary_task_t task = delegate(NULL);
    apiary_result_t r = blank();

    cr_expect_eq(apiary_release(client, NULL), APIARY_EINVAL);
    r.task = task;
    cr_expect_eq(apiary_release(client, &r), APIARY_ESTALE, "it is queued");
    finish(task, claim(task), 0, "x");
    r.struct_size = 8;
    cr_expect_eq(apiary_release(client, &r), APIARY_EINVAL);
    r.struct_size = sizeof r;
    cr_expect_eq(r.data, untouched);
    r.data = NULL;
    cr_expect_eq(apiary_release(client, &r), 0, "given up when its deadline passed");
    cr_expect_eq(slots_in_use(), 1, "it is another's business");
    ap_task_request(client->seg, task.slot, task.generation, AP_REQUEST_DETACH);
    r = blank();
    r.task = task;
    cr_expect_eq(apiary_release(client, &r), APIARY_ESTALE, "it was given up");
    ap_tidy(client->anchor);
    expect_gone(task, "tidied");
}

/* ---- deadlines -------------------------------------------------------------------------------------------------- */

static struct ap_ops still;
static uint64_t clock_at;
static uint64_t still_now(void)
{
    return clock_at;
}

static void stop_the_clock(void)
{
    still = ap_ops_system;
    still.now = still_now;
    clock_at = ap_ops_system.now(); /* a ticket of a task from before its lane's life would not come back */
    client->seg->ops = &still;
}

Test(ends, a_task_is_given_up_at_its_deadline)
{
    for (size_t k = 0; k < WAYS; k++) {
        for (int runs = 0; runs < 2; runs++) {
            uint64_t expired = queue_of(0)->expired, token = 0;
            apiary_result_t r = blank();
            apiary_task_t task;
            int got;

            stop_the_clock();
            task = delegate(APIARY_TIMEOUT(SECOND));
            cr_expect_eq(slot_of(task)->deadline, clock_at + SECOND);
            if (runs) token = claim(task);
            clock_at += SECOND - 1;
            cr_expect_eq(ways[k](task, &r), APIARY_ENOTREADY);
            expect_blank(&r, "not yet");
            clock_at++;
            got = ways[k](task, &r);
            cr_expect_eq(got, k < 2 ? APIARY_ETIMEDOUT : 0, "way %zu: %s", k, apiary_strerror(got));
            if (k < 2) expect_blank(&r, "given up");
            else cr_expect(r.data == NULL && r.size == 0 && r.code == APIARY_ETIMEDOUT && r.agent_code == 0 && r.attempts == 0 &&
                           same_task(r.task, task), "way %zu", k);
            cr_expect_eq(queue_of(0)->expired, expired + !runs);
            if (runs) cr_expect_eq(slot_of(task)->request, AP_REQUEST_WORD(task.generation, AP_REQUEST_ABANDON));
            if (runs) finish(task, token, 0, "late");
            ap_tidy(client->anchor);
            expect_gone(task, "given up");
        }
    }
}

Test(ends, of_many_tasks_the_one_whose_deadline_has_passed)
{
    apiary_task_t tasks[3];
    apiary_result_t r = blank();

    stop_the_clock();
    for (uint64_t i = 0; i < 3; i++) tasks[i] = delegate(APIARY_TIMEOUT((3 - i) * SECOND));
    clock_at += SECOND;
    cr_expect_eq(apiary_await_any(client, tasks, 2, 0, &r), APIARY_ENOTREADY, "the third is not asked for");
    cr_expect_eq(apiary_await_any(client, tasks, 3, APIARY_FOREVER, &r), 2);
    cr_expect(r.code == APIARY_ETIMEDOUT && same_task(r.task, tasks[2]));
    clock_at += SECOND;
    cr_expect_eq(apiary_await_any(client, tasks, 2, APIARY_FOREVER, &r), 1);
    ap_give_up(client, tasks[0]);
    expect_gone(tasks[0], "given up");
}

/* The clock is read for the deadlines of tasks that were looked at before: just then it is finished. */
static apiary_task_t finishing;
static uint64_t finishing_token;
static uint64_t now_and_finished(void)
{
    if (finishing_token != 0) finish(finishing, finishing_token, 0, "after all");
    finishing_token = 0;
    return clock_at;
}

Test(ends, what_is_finished_at_its_deadline_is_a_result)
{
    for (size_t k = 0; k < WAYS - 1; k++) {
        apiary_result_t r = blank();

        stop_the_clock();
        finishing = delegate(APIARY_TIMEOUT(SECOND));
        finishing_token = claim(finishing);
        clock_at += SECOND;
        still.now = now_and_finished;
        cr_expect_eq(ways[k](finishing, &r), 0, "way %zu", k);
        cr_expect(r.code == 0 && r.size == 9 && same_task(r.task, finishing), "way %zu", k);
        cr_expect_eq(apiary_release(client, &r), 0);
        expect_gone(finishing, "released");
    }
}

/* ---- the dead --------------------------------------------------------------------------------------------------- */

static struct ap_lane_handle dying;
static apiary_task_t taken;
static uint64_t taken_token;

static void *claim_and_end(void *own)
{
    cr_assert_eq(ap_lane_open(client->seg, client->member, &dying), 0);
    if (own != NULL)
        cr_assert_eq(ap_task_claim(client->seg, dying.index, agents[0].queue, AP_REF(taken.slot, taken.generation),
                                   &taken_token), 1);
    return NULL;
}

static void die(bool with_the_task)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, claim_and_end, with_the_task ? &taken : NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(ap_lane_dead(client->seg, dying.index), 1);
}

/* Who asks for a task recovers its worker, and looks for no other dead while that one lives. */
Test(ends, who_asks_for_a_task_recovers_its_dead_worker)
{
    apiary_result_t r = blank();
    apiary_task_t living;

    taken = delegate(NULL);
    living = delegate(NULL);
    claim(living);
    die(true);
    cr_expect_eq(apiary_poll(client, living, &r), APIARY_ENOTREADY);
    cr_expect_eq(ap_lane_dead(client->seg, dying.index), 1);
    cr_expect_eq(slot_of(taken)->word, taken_token);
    cr_expect_eq(apiary_poll(client, taken, &r), APIARY_ENOTREADY);
    cr_expect_eq(ap_lane_dead(client->seg, dying.index), 0);
    cr_expect_eq(slot_of(taken)->word,
                 AP_WORD(AP_TASK_QUEUED, 0, agents[0].queue, taken.generation) | AP_WORD_LOST_STARTS(1));
    die(false);
    cr_expect_eq(apiary_poll(client, taken, &r), APIARY_ENOTREADY, "it waits for one who lives");
    cr_expect_eq(ap_lane_dead(client->seg, dying.index), 1);
    expect_blank(&r, "not yet");
    ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks);
    finish(living, slot_of(living)->word, 0, "x");
    ap_give_up(client, living);
    ap_give_up(client, taken);
    expect_gone(taken, "given up");
}

/* ---- giving up -------------------------------------------------------------------------------------------------- */

Test(ends, what_is_given_up_goes_as_soon_as_it_can)
{
    apiary_task_t task = delegate(NULL);
    uint64_t token;

    ap_give_up(client, task);
    cr_expect_eq(queue_of(0)->cancelled, 1);
    expect_gone(task, "queued");
    ap_give_up(client, task);
    cr_expect_eq(queue_of(0)->cancelled, 1, "it was gone");
    task = delegate(NULL);
    token = claim(task);
    ap_give_up(client, task);
    cr_expect_eq(slot_of(task)->word, token, "it is run to its end");
    cr_expect_eq(slot_of(task)->request, AP_REQUEST_WORD(task.generation, AP_REQUEST_ABANDON));
    finish(task, token, 0, "x");
    cr_expect_eq(ap_tidy(client->anchor), 1);
    expect_gone(task, "running");
    task = answered(0, "x");
    ap_give_up(client, task);
    expect_gone(task, "finished");
    task = answered(0, "x");
    cr_expect_eq(ap_abandon(client, task), 1);
    expect_gone(task, "abandoned");
    cr_expect_eq(queue_of(0)->cancelled, 1);
}

Test(ends, a_cancelled_task_tells_its_client)
{
    apiary_task_t task = delegate(NULL);
    uint32_t *bell = &client->anchor->lane.lane->bell, raised = ap_bell_raise(bell);
    apiary_result_t r = blank();

    cr_expect_eq(apiary_cancel(client, task), 0);
    cr_expect_neq(ap_load_relaxed(bell), raised);
    cr_expect_eq(queue_of(0)->cancelled, 1);
    cr_expect_eq(apiary_poll(client, task, &r), 0);
    cr_expect_eq(r.code, APIARY_ECANCELLED);
    cr_expect_eq(apiary_cancel(client, task), 0, "it has ended");
    cr_expect_eq(apiary_release(client, &r), 0);
    expect_gone(task, "cancelled");
    task = delegate(NULL);
    slot_of(task)->client = UINT16_MAX; /* somebody has written over it */
    cr_expect_eq(apiary_cancel(client, task), 0);
    ap_give_up(client, task);
    task = delegate(&(apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t), .flags = APIARY_DETACH});
    cr_expect_eq(apiary_cancel(client, task), 0);
    cr_expect_eq(slots_in_use(), 0, "nobody will collect it");
    task = delegate(NULL);
    claim(task);
    raised = ap_bell_raise(bell);
    cr_expect_eq(apiary_cancel(client, task), 0);
    cr_expect_neq(ap_load_relaxed(bell), raised, "its worker, which is this lane, is to look");
    cr_expect_eq(slot_of(task)->request, AP_REQUEST_WORD(task.generation, AP_REQUEST_CANCEL));
    slot_of(task)->word = AP_WORD_WITH(slot_of(task)->word, AP_TASK_RUNNING, 9999);
    cr_expect_eq(apiary_cancel(client, task), 0, "written over: there is no such worker to tell");
    slot_of(task)->word = AP_WORD_WITH(slot_of(task)->word, AP_TASK_RUNNING, client->anchor->lane.index);
    finish(task, slot_of(task)->word, 0, "x");
    ap_task_request(client->seg, task.slot, task.generation, AP_REQUEST_ABANDON);
    cr_expect_eq(apiary_cancel(client, task), APIARY_ESTALE, "it was given up");
    cr_expect_eq(ap_tidy(client->anchor), 1);
}

/* ---- what a lane has open --------------------------------------------------------------------------------------- */

Test(ends, what_a_lane_has_open_is_what_may_be_collected)
{
    apiary_task_t queued = delegate(NULL), running = delegate(NULL), done = answered(0, "x"), given_up = delegate(NULL);

    claim(running);
    claim(given_up);
    ap_give_up(client, given_up);
    cr_expect_eq(ap_open_tasks(client->anchor, false), 3);
    cr_expect_eq(slot_of(queued)->request, AP_REQUEST_WORD(queued.generation, 0), "a look leaves all as it is");
    cr_expect_eq(ap_open_tasks(client->anchor, true), 3);
    cr_expect_eq(ap_open_tasks(client->anchor, false), 0);
    cr_expect_eq(slot_of(queued)->request, AP_REQUEST_WORD(queued.generation, AP_REQUEST_DETACH));
    cr_expect_eq(slot_of(running)->request, AP_REQUEST_WORD(running.generation, AP_REQUEST_DETACH));
    cr_expect_eq(slot_of(given_up)->request, AP_REQUEST_WORD(given_up.generation, AP_REQUEST_ABANDON));
    cr_expect_eq(AP_WORD_STATE(slot_of(queued)->word), AP_TASK_QUEUED, "it is to be done all the same");
    cr_expect_eq(AP_WORD_STATE(slot_of(done)->word), AP_TASK_FREE);
}

/* A lane's own first; then those of its service; when a block is wanted, all. */
Test(ends, leftovers_are_freed_from_near_to_far)
{
    struct ap_lane_context *c = client->anchor;
    uint32_t service = (uint32_t)client->service + 1, far = 2 * AP_SLAB_SLOTS;
    const struct {
        uint32_t slot, lease, caller;
    } rows[] = {{far, 20, service}, {far + 1, 20, service + 1}, {far + 2, 20, 0}, {far + AP_SLAB_SLOTS, 0, service}};
    apiary_task_t own = answered(0, "x");

    cr_assert_lt(own.slot, far);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_slot *slot = ap_slot_at(client->seg, rows[i].slot);

        slot->word = AP_WORD(AP_TASK_DONE, 0, AP_NO_LANE, 4);
        slot->request = AP_REQUEST_WORD(4, AP_REQUEST_ABANDON);
        slot->caller = (uint16_t)rows[i].caller;
        ap_slab_at(client->seg, rows[i].slot / AP_SLAB_SLOTS)->lease = AP_LEASE(1, rows[i].lease);
    }
    ap_task_request(client->seg, own.slot, own.generation, AP_REQUEST_ABANDON);
    cr_expect_eq(slots_in_use(), 5);
    cr_expect_eq(ap_tidy(c), 1);
    cr_expect_eq(AP_WORD_STATE(slot_of(own)->word), AP_TASK_FREE);
    cr_expect_eq(ap_tidy(c), 1, "of the same service, in a slab that somebody holds");
    cr_expect_eq(AP_WORD_STATE(ap_slot_at(client->seg, far)->word), AP_TASK_FREE);
    cr_expect_eq(ap_tidy(c), 0);
    cr_expect_eq(ap_tidy_all(c), 3);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(ap_tidy_all(c), 0);
    for (uint32_t s = 2; s < 4; s++) ap_slab_at(client->seg, s)->lease = 0;
}

/* From near to far: one's own leftovers, those of all where a block is wanted, the dead, and then the pool, for a block only. */
Test(ends, room_is_made_where_it_costs_least)
{
    struct ap_lane_context *c = client->anchor;
    uint64_t *word = ap_at(client->seg, AP_SECTION_BLOCKS, 0);
    struct ap_slot *far = ap_slot_at(client->seg, 2 * AP_SLAB_SLOTS);
    apiary_task_t task = answered(0, "x");

    *word = AP_BLOCK(AP_BLOCK_REQUEST, 5, 99);
    far->word = AP_WORD(AP_TASK_DONE, 0, AP_NO_LANE, 4);
    far->request = AP_REQUEST_WORD(4, AP_REQUEST_ABANDON);
    ap_slab_at(client->seg, 2)->lease = AP_LEASE(1, 20);
    die(false);
    ap_task_request(client->seg, task.slot, task.generation, AP_REQUEST_ABANDON);
    cr_expect(ap_make_room(c, APIARY_ELIMIT, 0), "it had a task to free");
    cr_expect(AP_WORD_STATE(far->word) == AP_TASK_DONE && ap_lane_dead(client->seg, dying.index) && *word != 0);
    cr_expect(ap_make_room(c, APIARY_ENOBLOCK, 0), "another lane had one");
    cr_expect(AP_WORD_STATE(far->word) == AP_TASK_FREE && ap_lane_dead(client->seg, dying.index) && *word != 0);
    *word = 0; /* a recovery sweeps the pool, too */
    cr_expect(ap_make_room(c, APIARY_ENOSLOT, 0), "somebody is dead");
    cr_expect_not(ap_lane_dead(client->seg, dying.index));
    *word = AP_BLOCK(AP_BLOCK_REQUEST, 5, 99);
    cr_expect_not(ap_make_room(c, APIARY_ELIMIT, 0));
    cr_expect_not(ap_make_room(c, APIARY_ENOSLOT, 0));
    cr_expect(ap_make_room(c, APIARY_ENOBLOCK, 0));
    cr_expect_eq(*word, 0);
    cr_expect_not(ap_make_room(c, APIARY_ENOBLOCK, 0));
    ap_slab_at(client->seg, 2)->lease = 0;
}

Test(ends, overdue_is_what_may_be_collected_and_is_not_there)
{
    const struct ap_segment *seg = client->seg;
    uint32_t lane = client->anchor->lane.index;
    apiary_task_t task = delegate(NULL);
    struct ap_slot *next;
    uint64_t token;

    for (int runs = 0; runs < 2; runs++) {
        if (runs) token = claim(task);
        slot_of(task)->deadline = 1000;
        cr_expect_not(ap_overdue(seg, lane, 999));
        cr_expect(ap_overdue(seg, lane, 1000));
        cr_expect_not(ap_overdue(seg, lane + 1, 1000), "another lane's");
    }
    finish(task, token, 0, "x");
    cr_expect_not(ap_overdue(seg, lane, 1000), "it has ended");
    ap_give_up(client, task);
    task = delegate(NULL);
    slot_of(task)->deadline = 1000;
    cr_expect(ap_overdue(seg, lane, 1000));
    ap_task_request(client->seg, task.slot, task.generation, AP_REQUEST_DETACH);
    cr_expect_not(ap_overdue(seg, lane, 1000), "nobody waits for it");
    next = ap_slot_at(seg, (task.slot / AP_SLAB_SLOTS + 1) * AP_SLAB_SLOTS);
    next->deadline = 1000;
    next->word = AP_WORD(AP_TASK_QUEUED, 0, 0, 1);
    cr_expect_not(ap_overdue(seg, lane, 1000), "the slot behind its slab");
    next->word = 0;
}
