/* How a job ends, by a clock that stands still: what its caller is told, what the log says, which blocks are left. */
#include "tests/unit/steps_fixture.h"

TestSuite(job_steps, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

/* ---- what is left ------------------------------------------------------------------------------------------------ */

static uint32_t blocks_in_use(void)
{
    uint32_t n = 0;

    for (uint64_t i = 0; i < b->seg->sections[AP_SECTION_BLOCKS].count; i++)
        n += AP_BLOCK_STATE(ap_load_acquire((uint64_t *)ap_at(b->seg, AP_SECTION_BLOCKS, i))) != AP_BLOCK_FREE;
    return n;
}

static void ignore(void *state, apiary_job_t *job)
{
    kept[0] = job;
    kept[1] = state;
}

/* A task in the first agent's hands. */
static apiary_task_t in_hand(void)
{
    apiary_task_t task = asked("first", "request", 7, 0);

    hive_handlers(ignore, ignore);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    return task;
}

/* One block at a time is reserved, and none for what fits into the slot; what is not used is given back with the answer. */
Test(job_steps, what_is_reserved_is_used_or_given_back)
{
    void *inside = NULL, *block = NULL, *again = NULL;
    apiary_task_t task = in_hand();

    cr_expect_eq(apiary_job_reserve(kept[0], 64, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_job_reserve(NULL, 64, &inside), APIARY_EINVAL);
    cr_expect_eq(apiary_job_reserve(kept[0], 64, &inside), 0);
    cr_expect_eq(blocks_in_use(), 0);
    cr_expect_eq(apiary_job_reserve(kept[0], 65, &block), 0);
    cr_expect_eq(blocks_in_use(), 1);
    cr_expect_neq(block, inside);
    cr_expect_eq(apiary_job_reserve(kept[0], 2 << 20, &again), APIARY_ETOOLARGE);
    cr_expect_null(again);
    cr_expect_eq(blocks_in_use(), 1, "it stays");
    cr_expect_eq(apiary_job_reserve(kept[0], 1000, &again), 0);
    cr_expect_eq(blocks_in_use(), 1, "instead of the first");
    cr_expect_eq(apiary_job_reserve(kept[0], 64, &block), 0);
    cr_expect_eq(block, inside);
    cr_expect_eq(blocks_in_use(), 0);
    cr_expect_eq(apiary_job_reserve(kept[0], 65, &block), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "short", 5), 0);
    cr_expect_eq(blocks_in_use(), 0);
    cr_expect_eq(code_of(task), 0);
}

/* Though the worker might free something for it: a task of its own that was given up and has ended. */
Test(job_steps, a_block_that_is_had_is_asked_for_once)
{
    uint32_t lane = b->anchor->lane.index, queue = hive.agents[1].queue;
    apiary_task_t task = in_hand(), given_up;
    uint64_t token;
    void *block;

    cr_assert_eq(apiary_delegate(b, "second", "", 0, NULL, &given_up), 0);
    cr_assert_eq(ap_task_claim(b->seg, lane, queue, AP_REF(given_up.slot, given_up.generation), &token), 1);
    ap_give_up(b, given_up);
    cr_assert_eq(ap_task_finish(b->seg, given_up.slot, token, 0), 0);
    cr_expect_eq(apiary_job_reserve(kept[0], 300, &block), 0);
    cr_expect_eq(blocks_in_use(), 1);
    cr_expect_eq(ap_tidy(b->anchor), 1);
    cr_expect_eq(apiary_job_reply(kept[0], "", 0), 0);
    cr_expect_eq(blocks_in_use(), 0);
    cr_expect_eq(code_of(task), 0);
}

#define LARGE 300000

/* What one job has given back may be another's by now. */
Test(job_steps, what_is_given_back_is_not_given_back_again)
{
    char *block = NULL, *inside = NULL, *others = NULL;
    apiary_task_t first = in_hand(), second;
    apiary_job_t *job = kept[0];
    void *loan;

    cr_assert_eq(apiary_loan(a, LARGE, &loan), 0); /* leaves one of that size */
    cr_expect_eq(apiary_job_reserve(job, LARGE, (void **)&block), 0);
    cr_expect_eq(apiary_job_reserve(job, 10, (void **)&inside), 0);
    second = in_hand();
    cr_expect_eq(apiary_job_reserve(kept[0], LARGE, (void **)&others), 0);
    cr_expect_eq(others, block);
    cr_expect_eq(apiary_job_reply(job, inside, 10), 0);
    cr_expect_eq(blocks_in_use(), 2);
    cr_expect_eq(apiary_unloan(a, loan), 0);
    cr_expect_eq(apiary_job_reply(kept[0], others, LARGE), 0);
    cr_expect_eq(code_of(first), 0);
    cr_expect_eq(code_of(second), 0);
    cr_expect_eq(blocks_in_use(), 0);
}

/* The end of a task that another has by now, as after a caller who has seen a worker die: whoever comes too late leaves nothing. */
Test(job_steps, who_comes_too_late_is_told_and_leaves_nothing)
{
    void *block = NULL;
    apiary_task_t task = in_hand();
    struct ap_slot *slot = ap_slot_at(b->seg, task.slot);
    uint64_t word = ap_load_acquire(&slot->word), bell = 0;

    cr_expect_eq(apiary_job_reserve(kept[0], 1000, &block), 0);
    ap_store_release(&slot->word, word + (UINT64_C(1) << 4)); /* one crash more */
    cr_expect_eq(apiary_job_reply(kept[0], block, 1000), APIARY_ESTALE);
    cr_expect_eq(blocks_in_use(), 0);
    cr_expect_eq(hive.worker.in_hand_count, 0);
    ap_store_release(&slot->word, word);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, (uint32_t *)&bell));
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->late), 1);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->done) + ap_load_relaxed(&queue_at(0)->failed), 0);
    ap_slot_finish(b->seg, AP_WORD_OWNER(word), slot, word, APIARY_ESHUTDOWN);
    cr_expect_eq(code_of(task), APIARY_ESHUTDOWN);
}

/* A pointer of the agent's own is the job's, and not that of the next one. */
Test(job_steps, what_an_agent_keeps_with_a_job)
{
    apiary_task_t task = in_hand();
    int mine;

    cr_expect_null(apiary_job_user(kept[0]));
    apiary_job_set_user(kept[0], &mine);
    cr_expect_eq(apiary_job_user(kept[0]), &mine);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_null(apiary_job_user(kept[0]));
    cr_expect_eq(code_of(task), 0);
    task = in_hand();
    cr_expect_null(apiary_job_user(kept[0]));
    cr_expect_eq((void *)apiary_job_agent(kept[0]), (void *)kept[1]);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_eq(code_of(task), 0);
}

/* ---- what its caller is told --------------------------------------------------------------------------------------- */

/* The whole of a result, as words. */
static const char *told(apiary_task_t task)
{
    static char text[1400];
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(apiary_poll(a, task, &result), 0);
    cr_expect_eq(result.task.generation, task.generation);
    snprintf(text, sizeof text, "%s %u %u %zu %.*s", apiary_error_name(result.code), result.agent_code, result.attempts,
             result.size, (int)result.size, result.size > 0 ? (const char *)result.data : "");
    cr_assert_eq(apiary_release(a, &result), 0);
    return text;
}

Test(job_steps, a_failure_has_a_number_and_a_text)
{
    apiary_task_t task = in_hand();

    cr_expect_eq(apiary_job_fail_text(kept[0], 7, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_fail_text(kept[0], 7, NULL, 0), 0);
    cr_expect_str_eq(told(task), "APIARY_EAGENT 7 1 0 ");
    task = in_hand();
    cr_expect_eq(apiary_job_fail(kept[0], 8, "%d of %s", 3, "them"), 0);
    cr_expect_str_eq(told(task), "APIARY_EAGENT 8 1 9 3 of them");
    task = in_hand();
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 9, "no", 2), 0);
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    cr_expect_str_eq(told(task), "APIARY_EAGENT 9 1 2 no");
    task = in_hand();
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_str_eq(told(task), "0 0 1 0 ");
    task = in_hand();
    ap_worker_jobs_end(&hive.worker);
    cr_expect_str_eq(told(task), "APIARY_ESHUTDOWN 0 1 0 ");
}

/* Somebody else has changed the block that was reserved: its task has run all the same. */
Test(job_steps, an_answer_that_is_refused_was_started)
{
    void *block = NULL;
    apiary_task_t task = in_hand();

    cr_assert_eq(apiary_job_reserve(kept[0], 1000, &block), 0);
    cr_expect_eq(apiary_job_reply(kept[0], block, 1025), APIARY_ETOOLARGE);
    cr_expect_str_eq(told(task), "APIARY_ETOOLARGE 0 1 0 ");
    task = in_hand();
    cr_assert_eq(apiary_job_reserve(kept[0], 1000, &block), 0);
    ap_store_relaxed((uint64_t *)ap_at(b->seg, AP_SECTION_BLOCKS, ap_pool_number(b->seg, ap_pool_offset(b->seg, block))),
                     AP_BLOCK(AP_BLOCK_FREE, 0, 0));
    cr_expect_eq(apiary_job_reply(kept[0], block, 1000), APIARY_EINVAL);
    cr_expect_str_eq(told(task), "APIARY_EINVAL 0 1 0 ");
}

#define AT_ONCE 60
static uint32_t ready;

static void *finish_half(void *from)
{
    ap_add_acq_rel(&ready, 1);
    while (ap_load_acquire(&ready) % 2 != 0) {}
    for (int i = (int)(intptr_t)from; i < AT_ONCE; i += 2) cr_expect_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 0), 0);
    return NULL;
}

/* Two threads bring answers at the same time: none is lost. */
Test(job_steps, answers_of_two_threads_at_once)
{
    apiary_task_t tasks[AT_ONCE];
    pthread_t threads[2];

    hive_handlers(keep, keep);
    for (int round = 0; round < 120; round++) {
        int taken = 0;

        kept_count = 0;
        for (int i = 0; i < AT_ONCE; i++) tasks[i] = asked("first", "x", 1, 0);
        while (ap_worker_serve(&hive.worker) > 0) {}
        cr_assert_eq(kept_count, AT_ONCE);
        for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, finish_half, (void *)(intptr_t)i), 0);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        taken = ap_worker_take_handed(&hive.worker);
        cr_assert_eq(taken, AT_ONCE, "round %d: %d", round, taken);
        for (int i = 0; i < AT_ONCE; i++) cr_expect_eq(code_of(tasks[i]), 0);
    }
}

/* By the worker's clock, for those who look at how long tasks wait and run. */
Test(job_steps, a_slot_says_when_its_task_was_begun_and_ended)
{
    const struct ap_slot *slot;
    uint64_t began = clock_now;
    apiary_task_t task = asked("first", NULL, 0, 0);

    slot = ap_slot_at(b->seg, task.slot);
    hive_handlers(ignore, ignore);
    clock_now = began + 10;
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    clock_now = began + 30;
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_eq(ap_load_relaxed(&slot->queued), began);
    cr_expect_eq(ap_load_relaxed(&slot->started), began + 10);
    cr_expect_eq(ap_load_relaxed(&slot->finished), began + 30);
    cr_expect_eq(code_of(task), 0);
}

/* Where no block is free a reason is cut to what a slot takes, and 64 bytes are not. */
Test(job_steps, a_reason_without_a_block_ends_in_dots)
{
    static char reason[65], expected[128];
    void *loan;
    apiary_task_t task;

    memset(reason, 'r', sizeof reason);
    while (apiary_loan(a, 65, &loan) == 0) {}
    task = in_hand();
    cr_expect_eq(apiary_job_fail_text(kept[0], 1, reason, 64), 0);
    snprintf(expected, sizeof expected, "APIARY_EAGENT 1 1 64 %.64s", reason);
    cr_expect_str_eq(told(task), expected);
    task = in_hand();
    cr_expect_eq(apiary_job_fail_text(kept[0], 2, reason, 65), 0);
    snprintf(expected, sizeof expected, "APIARY_EAGENT 2 1 64 %.61s...", reason);
    cr_expect_str_eq(told(task), expected);
    task = in_hand();
    cr_expect_eq(apiary_job_reply(kept[0], reason, 65), APIARY_ENOBLOCK);
    cr_expect_str_eq(told(task), "APIARY_ENORESULT 0 1 0 ");
}

/* A caller that has its share of the blocks gets no other one, and nobody looks for leftovers for each of its results. */
Test(job_steps, a_caller_with_its_share_costs_the_worker_no_sweep)
{
    static char reason[65];
    uint64_t *word = ap_at(a->seg, AP_SECTION_BLOCKS, 0), leak = AP_BLOCK(AP_BLOCK_OWNED, a->anchor->lane.index, 77);
    void *loan;
    apiary_task_t task;
    int r;

    while ((r = apiary_loan(a, 65, &loan)) == 0) {}
    cr_assert_eq(r, APIARY_ESHARE);
    while (*word != 0) word++;
    *word = leak;
    task = in_hand();
    cr_expect_eq(apiary_job_reply(kept[0], reason, sizeof reason), APIARY_ENOBLOCK);
    cr_expect_str_eq(told(task), "APIARY_ENORESULT 0 1 0 ");
    cr_expect_eq(*word, leak);
    cr_expect_eq(ap_pool_sweep(a->seg), 1);
}

/* ---- what the log says --------------------------------------------------------------------------------------------- */

static char lines[32][1400];
static int line_levels[32], line_count;

static void note(void *user, int level, const char *line)
{
    (void)user;
    cr_assert_lt(line_count, 32);
    line_levels[line_count] = level;
    snprintf(lines[line_count++], sizeof lines[0], "%s", line);
}

static apiary_task_t fail_one(void)
{
    apiary_task_t task = in_hand();

    cr_expect_eq(apiary_job_fail(kept[0], 5, "why"), 0);
    cr_expect_eq(code_of(task), APIARY_EAGENT);
    return task;
}

/* Ten of a second by the clock, and in the next one how many there were beside. */
Test(job_steps, failures_are_told_ten_a_second)
{
    char expected[128];
    apiary_task_t task;

    hive.queen.log = note;
    clock_now = 2000 * SECOND - 1;
    fail_one();
    cr_expect_eq(line_count, 1);
    clock_now++;
    for (int i = 0; i < 10; i++) fail_one();
    cr_expect_eq(line_count, 12, "and that it is passed over");
    clock_now += SECOND - 1;
    fail_one();
    fail_one();
    cr_expect_eq(line_count, 12, "ten are enough");
    clock_now++;
    task = fail_one();
    cr_assert_eq(line_count, 14);
    cr_expect_str_eq(lines[12], "first: 2 more failed tasks were not logged");
    snprintf(expected, sizeof expected, "first: task %x-%x-%lx (first) failed with 5: why", task.slot, task.epoch,
             (unsigned long)task.generation);
    cr_expect_str_eq(lines[13], expected);
    clock_now += SECOND;
    fail_one();
    cr_expect_eq(line_count, 15, "nothing was left out");
    for (int i = 0; i < line_count; i++) cr_expect_eq(line_levels[i], strstr(lines[i], "passed over") != NULL ? 4 : 5);
    hive.queen.log = NULL;
    fail_one();
    cr_expect_eq(line_count, 15);
}

/* The first 599 bytes of a reason are shown, with dots in place of the last three if there are more. */
Test(job_steps, a_long_reason_is_shown_in_part)
{
    static char reason[700];
    const char *shown;

    hive.queen.log = note;
    memset(reason, 'r', sizeof reason);
    for (size_t size = 599; size <= 600; size++) {
        in_hand();
        cr_expect_eq(apiary_job_fail_text(kept[0], 5, reason, size), 0);
        shown = strstr(lines[line_count - 1], "rr");
        cr_assert_not_null(shown);
        cr_expect_eq(strlen(shown), 599);
        cr_expect_str_eq(shown + 596, size == 599 ? "rrr" : "...");
    }
}

/* Nobody wants it any more: it is not begun, and no failure. */
Test(job_steps, what_was_cancelled_is_not_told)
{
    apiary_task_t task = asked("first", NULL, 0, 0);

    hive.queen.log = note;
    cr_assert_eq(ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_CANCEL), 1);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(handled, 0);
    cr_expect_str_eq(told(task), "APIARY_ECANCELLED 0 0 0 ");
    cr_expect_eq(line_count, 0);
}

/* Once, twice, four times, eight times: an agent that does it always does not fill the log. */
Test(job_steps, misuse_is_told_ever_more_rarely)
{
    static const char *const expected[] = {
        "first: answers a task that it has finished; refused, 1 times so far",
        "first: answers a task that it has finished; refused, 2 times so far",
        "first: asks about a task that it has finished; refused, 4 times so far",
        "first: asks about a task that it has finished; refused, 8 times so far"};
    apiary_task_t task = in_hand();

    hive.queen.log = note;
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), APIARY_ESTALE);
    for (int i = 3; i < 12; i++) cr_expect_eq(apiary_job_attempt(kept[0]), 0);
    cr_assert_eq(line_count, 4);
    for (int i = 0; i < 4; i++) {
        cr_expect_str_eq(lines[i], expected[i]);
        cr_expect_eq(line_levels[i], 3);
    }
    cr_expect_eq(code_of(task), 0);
    hive.worker.command = AP_WORKER_STOP;
    for (int i = 12; i < 16; i++) cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), APIARY_ESTALE);
    cr_expect_eq(line_count, 4, "at its worker's end it is no fault");
    hive.worker.command = AP_WORKER_RUN;
}

static void *reply_elsewhere(void *job)
{
    return (void *)(intptr_t)-apiary_job_reply(job, "x", 1);
}

/* The agent is told what it did, not only that it did something. */
Test(job_steps, each_misuse_is_told_as_what_it_is)
{
    apiary_task_t task = in_hand();
    pthread_t thread;
    void *error;

    hive.queen.log = note;
    cr_assert_eq(pthread_create(&thread, NULL, reply_elsewhere, kept[0]), 0);
    pthread_join(thread, &error);
    cr_expect_eq(-(intptr_t)error, APIARY_EINVAL);
    cr_assert_eq(line_count, 1);
    cr_expect_str_eq(lines[0], "first: answers a task from a thread that is not its worker's, without "
                               "apiary_job_finish_from_thread; refused, 1 times so far");
    hive.agents[0].misused = 0;
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 0, "x", 1), 0);
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 0, "x", 1), APIARY_ESTALE);
    cr_assert_eq(line_count, 2);
    cr_expect_str_eq(lines[1], "first: finishes a task from two threads; refused, 1 times so far");
    hive.agents[0].misused = 0;
    cr_expect_eq(apiary_job_reply(kept[0], "x", 1), APIARY_ESTALE);
    cr_assert_eq(line_count, 3);
    cr_expect_str_eq(lines[2], "first: answers a task that a thread of it has finished; refused, 1 times so far");
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    hive.agents[0].misused = 0;
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 0, "x", 1), APIARY_ESTALE);
    cr_assert_eq(line_count, 4);
    cr_expect_str_eq(lines[3], "first: finishes a task from a thread that it has finished; refused, 1 times so far");
    cr_expect_eq(code_of(task), 0);
}

/* ---- what is asked of none ----------------------------------------------------------------------------------------- */

Test(job_steps, no_job_has_no_answers)
{
    apiary_trace_t trace = {.flags = 3};
    apiary_task_t task;
    size_t size = 5;

    cr_expect_eq(apiary_job_reply(NULL, "x", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_fail(NULL, 1, "x"), APIARY_EINVAL);
    cr_expect_eq(apiary_job_fail_text(NULL, 1, "x", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_finish_from_thread(NULL, 0, "x", 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_retry(NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_job_delegate(NULL, "second", "", 0, NULL, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_job_attempt(NULL), 0);
    cr_expect_null(apiary_job_data(NULL, &size));
    cr_expect_eq(size, 0);
    task = apiary_job_task(NULL);
    cr_expect(task.slot == 0 && task.epoch == 0 && task.generation == 0);
    task = in_hand();
    cr_expect_eq(apiary_job_task(kept[0]).generation, task.generation);
    cr_expect_eq(apiary_job_attempt(kept[0]), 1);
    cr_expect_eq(apiary_job_trace(kept[0], NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_job_trace(kept[0], &trace), 0);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_eq(apiary_job_trace(kept[0], &trace), APIARY_ESTALE);
    cr_expect_eq(trace.flags, 3, "untouched");
    task = apiary_job_task(kept[0]);
    cr_expect(task.slot == 0 && task.epoch == 0 && task.generation == 0);
}

/* Somebody has written over the slot: nobody is woken by a part, and nothing worse comes of it. */
Test(job_steps, a_part_for_a_lane_that_there_is_not)
{
    const apiary_delegate_options_t parts = {.struct_size = sizeof parts, .flags = APIARY_PARTS};
    struct ap_slot *slot;
    apiary_task_t task;
    uint32_t client;
    uint64_t word;

    cr_assert_eq(apiary_delegate(a, "first", "", 0, &parts, &task), 0);
    hive_handlers(ignore, ignore);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert(ap_task_find(a, task, &slot, &word));
    client = ap_exchange_acq_rel(&slot->client, 9999);
    cr_expect_eq(apiary_job_part(kept[0], "part", 4), 0);
    ap_store_relaxed(&slot->client, client);
    cr_expect_eq(apiary_job_reply(kept[0], "", 0), 0);
    cr_expect_eq(code_of(task), 0);
}

/* Of a caller that wants the whole the parts are joined, up to the size of the largest block: what is behind that is refused at
 * once, and the task fails, since its result would not be whole. */
Test(job_steps, parts_that_are_larger_than_any_result)
{
    static const uint8_t bytes[(1 << 20) + 1];
    const uint32_t sizes[][2] = {{1 << 20, 1}, {1, 1 << 20}, {(1 << 20) + 1, 0}};

    hive_handlers(ignore, ignore);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        apiary_task_t task = in_hand();

        if (sizes[i][1] != 0) cr_expect_eq(apiary_job_part(kept[0], bytes, sizes[i][0]), 0, "%zu", i);
        cr_expect_eq(apiary_job_part(kept[0], bytes, sizes[i][sizes[i][1] != 0]), APIARY_ETOOLARGE, "%zu", i);
        cr_expect_eq(apiary_job_reply(kept[0], "", 0), APIARY_ETOOLARGE, "%zu", i);
        cr_expect_eq(code_of(task), APIARY_ETOOLARGE, "%zu", i);
    }
}

/* It is not sent, and opens nothing. */
Test(job_steps, an_empty_part_is_none)
{
    const apiary_delegate_options_t parts = {.struct_size = sizeof parts, .flags = APIARY_PARTS};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;

    hive_handlers(ignore, ignore);
    cr_assert_eq(apiary_delegate(a, "first", "", 0, &parts, &task), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_part(kept[0], i == 0 ? NULL : "x", 0), 0);
    cr_expect_eq(apiary_job_part(kept[0], "x", (size_t)UINT32_MAX + 1), APIARY_ETOOLARGE);
    cr_expect_eq(apiary_job_reply(kept[0], "whole", 5), 0);
    cr_assert_eq(apiary_poll(a, task, &result), 0);
    cr_expect_eq(result.parts, 0);
    cr_expect_eq(result.size, 5);
    cr_expect_eq(apiary_release(a, &result), 0);
}

static apiary_task_t came_later;

static void slow(void *state, apiary_job_t *job)
{
    (void)state;
    if (kept[0] == NULL) {
        clock_now += 5;
        came_later = asked("first", "later", 5, 0);
    }
    kept[kept[0] != NULL] = job;
}

/* A batch has one clock, which its later tasks may be younger than. */
Test(job_steps, no_task_was_begun_before_it_was_queued)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    struct ap_slot *slot;
    uint64_t word;

    hive_handlers(slow, slow);
    cr_assert_eq(ap_worker_serve(&hive.worker), 2);
    cr_assert(ap_task_find(a, came_later, &slot, &word));
    cr_expect_eq(slot->queued, clock_now);
    cr_expect_eq(slot->started, clock_now);
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_job_reply(kept[i], "", 0), 0);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(code_of(came_later), 0);
}

/* Nobody wants another attempt. */
Test(job_steps, what_was_cancelled_is_not_tried_again)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .retry = {.max_attempts = 3, .backoff = 1}};
    struct ap_slot *slot;
    apiary_task_t tasks[2];
    uint64_t word;

    hive_handlers(ignore, ignore);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(apiary_delegate(a, "first", "", 0, &o, &tasks[i]), 0);
        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        if (i == 1) cr_assert_eq(apiary_cancel(a, tasks[i]), 0);
        cr_expect_eq(apiary_job_fail(kept[0], 3, "no"), 0);
        cr_assert(ap_task_find(a, tasks[i], &slot, &word));
        cr_expect_eq(AP_WORD_STATE(word), i == 0 ? AP_TASK_SCHEDULED : AP_TASK_FAILED, "%s",
                     ap_task_state_name(AP_WORD_STATE(word)));
        ap_give_up(a, tasks[i]);
    }
}
