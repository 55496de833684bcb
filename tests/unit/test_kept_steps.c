/* Rows of kept results (registry/routing/kept.h) by a clock that the test sets, without anybody who tidies up meanwhile: to the
 * nanosecond, when they are used again, what a row says, and what a recovery makes of them. */
#include "tests/unit/steps_fixture.h"

#include "registry/routing/kept.h"
#include "shm/due.h"

TestSuite(kept_steps, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

#define HOUR (3600 * SECOND)

static const apiary_delegate_options_t an_hour = {.struct_size = sizeof an_hour, .flags = APIARY_DETACH, .keep = HOUR};

static apiary_task_t ask(const void *body, size_t size, const apiary_delegate_options_t *o)
{
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "first", body, size, o, &task), 0);
    return task;
}

static apiary_task_t keeps(const void *body, size_t size)
{
    apiary_task_t task = ask(body, size, &an_hour);

    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    return task;
}

static char data[5000];

static int fetch(apiary_task_t task, apiary_result_t *ret)
{
    *ret = (apiary_result_t){.struct_size = sizeof *ret};
    return apiary_fetch(a, task, 0, data, sizeof data, ret);
}

/* The one row that is KEPT or PROMISED. */
static struct ap_kept *the_row(void)
{
    struct ap_kept *ret = NULL;

    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_KEPT].count; i++) {
        struct ap_kept *k = ap_kept_at(a->seg, i);
        if (AP_KEPT_STATE(k->life) < AP_KEPT_PROMISED) continue;
        cr_assert_null(ret, "there are several");
        ret = k;
    }
    return ret;
}

static uint32_t rows_in_use(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_KEPT].count; i++)
        n += AP_KEPT_STATE(ap_kept_at(a->seg, i)->life) != AP_KEPT_FREE;
    return n;
}

static uint32_t blocks_busy(void)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < a->seg->sections[AP_SECTION_BLOCKS].count; i++)
        n += ap_load_relaxed((const uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i)) != 0;
    return n;
}

Test(kept_steps, for_its_time_and_not_longer)
{
    apiary_result_t result;
    apiary_task_t task = keeps("x", 1);

    ap_store_relaxed(&clock_now, clock_now + HOUR - 1);
    cr_expect_eq(fetch(task, &result), 0);
    cr_expect_eq(ap_kept_expire(a->seg, clock_now), 0);
    ap_store_relaxed(&clock_now, clock_now + 1);
    cr_expect_eq(fetch(task, &result), APIARY_ESTALE);
    cr_expect_eq(rows_in_use(), 1);
    cr_expect_eq(ap_kept_expire(a->seg, clock_now), 1);
    cr_expect_eq(rows_in_use(), 0);
}

/* The clock stands, so whoever would wait at all would wait for ever. */
Test(kept_steps, who_does_not_wait_does_not_wait)
{
    apiary_result_t result;
    apiary_task_t task = ask("x", 1, &an_hour);

    cr_expect_eq(fetch(task, &result), APIARY_ENOTREADY);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(fetch(task, &result), 0);
}

/* Where all rows are taken, one whose time is over is there for the next task. */
Test(kept_steps, rows_that_are_over_are_used_again)
{
    uint32_t rows = (uint32_t)a->seg->sections[AP_SECTION_KEPT].count;
    static char body[5000];
    apiary_result_t result;
    apiary_task_t task, last;

    hive_handlers(echo, count);
    last = keeps(body, sizeof body);
    while (rows_in_use() < rows) keeps("x", 1);
    cr_expect_eq(apiary_delegate(a, "first", "x", 1, &an_hour, &task), APIARY_ETABLEFULL);
    ap_store_relaxed(&clock_now, clock_now + HOUR);
    task = keeps("again", 5);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.size == 5 && memcmp(data, "again", 5) == 0);
    cr_expect_eq(fetch(last, &result), APIARY_ESTALE);
    cr_expect_eq(ap_kept_expire(a->seg, clock_now), rows - 1);
    cr_expect_eq(blocks_busy(), 0);
}

/* A row that has had a result in a block is promised to a task that comes to nothing. */
Test(kept_steps, nothing_of_the_result_before)
{
    static char body[5000];
    apiary_result_t result;
    apiary_task_t task;

    hive_handlers(echo, count);
    task = keeps(body, sizeof body);
    cr_assert_eq(apiary_forget(a, task), 0);
    task = ask(body, sizeof body, &an_hour);
    cr_expect(the_row()->result == 0 && the_row()->size == 0);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.code == APIARY_ECANCELLED && result.size == 0, "%d %zu", result.code, result.size);
    cr_expect_eq(blocks_busy(), 0);
    cr_assert_eq(apiary_forget(a, task), 0);
}

Test(kept_steps, a_row_says_whose_result_it_is_and_why_it_was_not_tried_again)
{
    apiary_attach_options_t named = {.struct_size = sizeof named, .swarm = "caller"};
    apiary_delegate_options_t twice = an_hour;
    apiary_result_t result;
    apiary_t *caller;
    apiary_task_t task;
    const struct ap_kept *row;

    twice.retry = (apiary_retry_t){.max_attempts = 2, .never = {42}};
    hive_handlers(fail, count);
    cr_assert_eq(apiary_attach(name, &named, &caller), 0);
    caller->seg->ops = &clock_ops;
    cr_assert_eq(apiary_delegate(caller, "first", "x", 1, &twice, &task), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.code == APIARY_EAGENT && result.untried == APIARY_UNTRIED_REFUSED && result.attempts == 1);
    row = the_row();
    cr_expect_eq(row->capability, ap_capability_find(a->seg, "first", 5));
    cr_expect_eq(row->caller, ap_service_find(a->seg, "caller") + 1);
    caller->seg->ops = &ap_ops_system;
    apiary_detach(caller);
}

/* Cancelled while it waits to be tried again: what the attempt has said is no result. */
Test(kept_steps, a_cancelled_retry_has_no_result)
{
    apiary_delegate_options_t slow = an_hour;
    apiary_result_t result;
    apiary_task_t task;

    slow.retry = (apiary_retry_t){.max_attempts = 2, .backoff = UINT32_MAX, .cap = UINT32_MAX};
    slow.timeout = 10000000 * SECOND;
    hive_handlers(fail, count);
    task = ask("x", 1, &slow);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(fetch(task, &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.code == APIARY_ECANCELLED && result.size == 0 && result.attempts == 1);
}

/* A corrupt segment is told of, and nothing is written to its caller. */
Test(kept_steps, a_corrupt_row)
{
    apiary_task_t task = keeps("x", 1);
    apiary_result_t result;

    the_row()->result = 1;
    memset(data, 'd', sizeof data);
    cr_expect_eq(fetch(task, &result), APIARY_ECORRUPT);
    cr_expect(result.code == 0 && result.attempts == 0 && result.data == NULL);
    cr_expect_eq(data[0], 'd');
    the_row()->result = 0;
}

Test(kept_steps, what_is_taken_back_is_the_promise_and_no_result)
{
    apiary_task_t none = {.generation = 0}, task = ask("x", 1, &an_hour);
    apiary_result_t result;

    ap_kept_recall(a->seg, none);
    cr_expect_not_null(the_row());
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_kept_recall(a->seg, task);
    cr_expect_eq(fetch(task, &result), 0, "it is KEPT");
}

/* By the lane that frees its slot; after its death by the reaper, who finds it done. */
Test(kept_steps, a_result_is_entered_once)
{
    apiary_task_t task = keeps("x", 1);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);
    struct ap_kept before = *the_row();

    ap_store_relaxed(&clock_now, clock_now + SECOND);
    ap_kept_enter(a->seg, slot, AP_WORD(AP_TASK_RELEASING, 0, 0, task.generation));
    cr_expect_eq(memcmp(&before, the_row(), sizeof before), 0);
}

/* Who finds that a delayed task has become too late frees it, and its row has the reason. */
Test(kept_steps, a_delayed_task_that_came_too_late)
{
    apiary_delegate_options_t later = an_hour;
    apiary_result_t result;
    apiary_task_t task;

    later.delay = 10 * SECOND;
    later.timeout = 5 * SECOND;
    task = ask("x", 1, &later);
    ap_store_relaxed(&clock_now, clock_now + 15 * SECOND);
    ap_due_look(b->seg, &ap_registry_hooks, b->anchor->lane.index);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.code == APIARY_ETIMEDOUT && result.attempts == 0);
}

/* ---- refused for want of a row ---------------------------------------------------------------------------------- */

/* A named caller's ticket comes back, and a loan stays its own. */
Test(kept_steps, a_refused_task_gives_back_what_it_had)
{
    uint32_t rows = (uint32_t)a->seg->sections[AP_SECTION_KEPT].count;
    apiary_attach_options_t named = {.struct_size = sizeof named, .swarm = "caller"};
    apiary_t *caller;
    apiary_task_t task;
    void *block;

    cr_assert_eq(apiary_attach(name, &named, &caller), 0);
    caller->seg->ops = &clock_ops;
    while (rows_in_use() < rows) keeps("x", 1);
    cr_assert_eq(apiary_loan(caller, 1000, &block), 0);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(apiary_delegate(caller, "first", "x", 1, &an_hour, &task), APIARY_ETABLEFULL, "%d", i);
        cr_assert_eq(apiary_delegate_loan(caller, "first", block, 1000, &an_hour, &task), APIARY_ETABLEFULL, "%d", i);
    }
    cr_expect_eq(ap_tickets_busy(a->seg, (uint32_t)caller->service), 0);
    cr_expect_eq(ap_pool_sweep(a->seg), 0);
    cr_expect_eq(blocks_busy(), 1);
    cr_expect_eq(apiary_unloan(caller, block), 0);
    cr_expect_eq(blocks_busy(), 0);
    caller->seg->ops = &ap_ops_system;
    apiary_detach(caller);
}

/* ---- a recovery ------------------------------------------------------------------------------------------------- */

Test(kept_steps, in_the_hands_of_the_dead)
{
    struct ap_kept *row = ap_kept_at(a->seg, 3);

    row->life = AP_KEPT_LIFE(3, 9, AP_KEPT_FILLING);
    ap_kept_settle(a->seg, 8, 0);
    ap_kept_settle(a->seg, 9, 1);
    cr_expect_eq(AP_KEPT_STATE(row->life), AP_KEPT_FILLING);
    ap_kept_settle(a->seg, 9, 0);
    cr_expect_eq(row->life, AP_KEPT_LIFE(3, 0, AP_KEPT_FREE));
    row->life = AP_KEPT_LIFE(4, 9, AP_KEPT_KEPT);
    row->until = UINT64_MAX;
    ap_kept_settle(a->seg, 9, 0);
    cr_expect_eq(AP_KEPT_STATE(row->life), AP_KEPT_KEPT, "it is nobody's");
    row->life = AP_KEPT_LIFE(4, 0, AP_KEPT_PROMISED); /* to the task of a slot that is FREE */
    ap_kept_settle(a->seg, 9, 0);
    cr_expect_eq(AP_KEPT_STATE(row->life), AP_KEPT_FREE);
}

Test(kept_steps, a_block_is_kept_for_a_row_of_its_epoch)
{
    struct ap_kept *row = ap_kept_at(a->seg, 3);
    uint32_t rows = (uint32_t)a->seg->sections[AP_SECTION_KEPT].count;

    row->until = UINT64_MAX;
    for (uint32_t state = AP_KEPT_FREE; state <= AP_KEPT_KEPT; state++) {
        row->life = AP_KEPT_LIFE(3, 0, state);
        cr_expect_eq(ap_kept_keeps(a->seg, 3, 3), state >= AP_KEPT_PROMISED, "%u", state);
        cr_expect_not(ap_kept_keeps(a->seg, 3, 4));
        cr_expect_not(ap_kept_keeps(a->seg, 4, 3));
    }
    cr_expect_not(ap_kept_keeps(a->seg, rows, 0));
    row->life = AP_KEPT_LIFE(3, 0, AP_KEPT_FREE);
}

static void answer_long(void *state, apiary_job_t *job)
{
    static char reply[200];

    (void)state;
    memset(reply, 'r', sizeof reply);
    cr_expect_eq(apiary_job_reply(job, reply, sizeof reply), 0);
}

/* Where there is no other block the request's takes the result, as for somebody who waits. */
Test(kept_steps, a_result_without_a_block_takes_the_requests)
{
    char request[300] = "";
    apiary_result_t result;
    apiary_task_t task = ask(request, sizeof request, &an_hour);

    for (uint64_t i = 0; i < b->seg->sections[AP_SECTION_BLOCKS].count; i++) {
        uint64_t *word = ap_at(b->seg, AP_SECTION_BLOCKS, i);
        if (AP_BLOCK_STATE(*word) == AP_BLOCK_FREE) *word = AP_BLOCK(AP_BLOCK_OWNED, b->anchor->lane.index, b->anchor->lane.epoch);
    }
    hive_handlers(answer_long, answer_long);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect_eq(result.code, 0);
    cr_assert_eq(result.size, 200);
    for (int i = 0; i < 200; i++) cr_assert_eq(data[i], 'r');
    cr_expect_eq(ap_kept_expire(a->seg, clock_now + HOUR), 1);
}

/* ---- near the bound --------------------------------------------------------------------------------------------- */

#define BLOCKS 64u /* the fixture's, of the smallest class, of which half may be kept */
#define BEYOND (BLOCKS / 2 + 1)

static struct {
    uint64_t *word; /* a block that another lane has made KEPT, and has not counted yet */
    uint32_t looks;
    bool gives_way;
} beside;

static uint32_t blocks_kept(void)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < BLOCKS; i++)
        n += AP_BLOCK_STATE(ap_load_relaxed((const uint64_t *)ap_at(a->seg, AP_SECTION_BLOCKS, i))) == AP_BLOCK_KEPT;
    return n;
}

/* Asked for each block that is KEPT. The other lane takes its next step while the worker counts for the third time. */
static uint32_t beside_holder(const struct ap_segment *seg, uint32_t row)
{
    if (beside.gives_way && blocks_kept() == BEYOND && ++beside.looks == 2 * BEYOND + 10) ap_store_relaxed(beside.word, 0);
    return a->seg->parts->holder(seg, row);
}

/* There is room for one more, and another task's lane is about to take that, in the first block or in the last. That task is put
 * off, so that its row is PROMISED all the time. Whether the next task's result is kept whole. */
static bool near_the_bound(bool first, bool gives_way)
{
    struct ap_parts parts = *b->seg->parts;
    apiary_delegate_options_t later = an_hour;
    apiary_result_t result;
    apiary_task_t task;
    uint64_t life, its;
    int row;

    hive_handlers(fail, count);
    beside.word = ap_at(a->seg, AP_SECTION_BLOCKS, first ? 0 : BLOCKS - 1);
    beside.looks = 0;
    beside.gives_way = gives_way;
    *beside.word = AP_BLOCK(AP_BLOCK_OWNED, a->anchor->lane.index, a->anchor->lane.epoch);
    for (uint32_t i = 0; i + 1 < BLOCKS / 2; i++) keeps("x", 1);
    cr_assert_eq(blocks_kept(), BLOCKS / 2 - 1);
    later.delay = HOUR;
    row = ap_kept_find(a->seg, ask("x", 1, &later), &life);
    cr_assert_geq(row, 0);
    its = AP_BLOCK(AP_BLOCK_KEPT, a->seg->sections[AP_SECTION_DEAD].count + (uint32_t)row, AP_KEPT_EPOCH(life));
    ap_store_relaxed(beside.word, its);
    parts.holder = beside_holder;
    b->seg->parts = &parts;
    task = keeps("x", 1);
    b->seg->parts = a->seg->parts;
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect_eq(result.code, APIARY_EAGENT);
    cr_expect_eq(*beside.word, gives_way ? 0 : its);
    ap_store_relaxed(beside.word, 0);
    return result.size > AP_INLINE_BODY;
}

Test(kept_steps, the_first_of_two_waits_for_the_other_to_give_way)
{
    cr_expect(near_the_bound(false, true), "it is kept whole");
    cr_expect_eq(ap_kept_at(a->seg, 0)->unkept, 0);
}

Test(kept_steps, the_last_of_two_gives_way_and_tries_again)
{
    cr_expect(near_the_bound(true, true));
    cr_expect_eq(ap_kept_at(a->seg, 0)->unkept, 0);
}

Test(kept_steps, the_first_of_two_does_not_wait_for_ever)
{
    cr_expect_not(near_the_bound(false, false));
    cr_expect_eq(ap_kept_at(a->seg, 0)->unkept, 1);
}

Test(kept_steps, the_last_of_two_gives_way_for_good)
{
    cr_expect_not(near_the_bound(true, false));
    cr_expect_eq(ap_kept_at(a->seg, 0)->unkept, 1);
}

/* Four blocks of the size, of which two may be kept. */
Test(kept_steps, values_that_have_had_their_time_make_room)
{
    static char body[60000];
    apiary_memory_t *m;
    apiary_result_t result;
    apiary_task_t task;

    hive_handlers(echo, count);
    cr_assert_eq(apiary_memory_open(a, "space", 0, &m), 0);
    cr_assert_eq(apiary_memory_put(m, "one", body, sizeof body, 0, NULL), 0);
    cr_assert_eq(apiary_memory_put(m, "two", body, sizeof body, SECOND, NULL), 0);
    task = keeps(body, sizeof body);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect_eq(result.code, APIARY_ENOTKEPT);
    ap_store_relaxed(&clock_now, clock_now + SECOND);
    task = keeps(body, sizeof body);
    cr_assert_eq(fetch(task, &result), 0);
    cr_expect(result.code == 0 && result.size == sizeof body, "%s", apiary_error_name(result.code));
    cr_expect_eq(apiary_memory_delete(m, "two"), APIARY_ENOKEY);
    cr_expect_eq(apiary_memory_delete(m, "one"), 0);
    apiary_memory_close(m);
}
