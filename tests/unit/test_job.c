/* How a task ends in an agent's hands: results that find no block, answers of other threads, what nobody waits for any more. */
#include "tests/unit/worker_fixture.h"

TestSuite(job, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static apiary_queen_t *own;

static void start_own(const apiary_agent_description_t *agents, size_t count)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = count,
                                          .log = log_line};

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &own), 0);
}

/* ---- results --------------------------------------------------------------------------------------------------- */

/* By a number in the request: more than was reserved, a long reason, a long answer. */
static void answer_largely(void *state, apiary_job_t *job)
{
    static char large[1 << 20];
    void *block = NULL;
    size_t size;
    const char *data = apiary_job_data(job, &size);

    (void)state;
    memset(large, 'l', sizeof large);
    switch (size > 0 ? data[0] : 0) {
    case 'm':
        cr_expect_eq(apiary_job_reserve(job, 200, &block), 0);
        cr_expect_eq(apiary_job_reply(job, block, 257), APIARY_ETOOLARGE);
        break;
    case 'a':
        cr_expect_eq(apiary_job_reserve(job, 200, &block), 0);
        memset(block, 'a', 256);
        cr_expect_eq(apiary_job_reply(job, block, 256), 0, "all of the block");
        break;
    case 'i': cr_expect_eq(apiary_job_reply(job, large, AP_INLINE_BODY), 0, "all of what a slot takes"); break;
    case 'b': cr_expect_eq(apiary_job_reply(job, large, AP_INLINE_BODY + 1), 0); break;
    case 'f': cr_expect_eq(apiary_job_fail_text(job, 3, large, 300000), 0, "cut to what fits"); break;
    case 't': cr_expect_eq(apiary_job_finish_from_thread(job, 0, large, 300000), 0); break;
    default: cr_expect_eq(apiary_job_reply(job, large, 300000), APIARY_ENOBLOCK); break;
    }
}
KIND(large, NULL, answer_largely, NULL);

static uint64_t answer_in_block; /* the offset of its block; 0: the slot took it */

/* What comes before the end is all of one letter. */
static int answer_of(const char *request, const char *end, size_t *size)
{
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    int code;

    cr_assert_eq(apiary_delegate(a, "large", request, 1, NULL, &task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    *size = result.size;
    answer_in_block = ap_slot_at(a->seg, task.slot)->result;
    cr_assert_geq(result.size, strlen(end));
    for (size_t i = 0; i < result.size - strlen(end); i++)
        cr_assert_eq(((const char *)result.data)[i], request[0] == 'a' ? 'a' : 'l');
    if (end[0] != '\0') cr_expect_eq(memcmp((const char *)result.data + result.size - strlen(end), end, strlen(end)), 0);
    if (result.code == APIARY_EAGENT) cr_expect_eq(result.agent_code, 3);
    code = result.code;
    apiary_release(a, &result);
    return code;
}

/* Blocks of a megabyte are lent out: a result that needs one does without. */
Test(job, results_that_find_no_block)
{
    static const char *const caps[] = {"large", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "large", .kind = &large_kind, .capabilities = caps}};
    void *loans[2];
    size_t size;

    start_own(agents, sizeof agents / sizeof agents[0]);
    cr_expect_eq(answer_of("i", "", &size), 0);
    cr_expect_eq(size, AP_INLINE_BODY);
    cr_expect_eq(answer_in_block, 0);
    cr_expect_eq(answer_of("b", "", &size), 0);
    cr_expect_eq(size, AP_INLINE_BODY + 1);
    cr_expect_neq(answer_in_block, 0);
    cr_expect_eq(answer_of("m", "", &size), APIARY_ETOOLARGE);
    cr_expect_eq(size, 0);
    cr_expect_eq(answer_of("a", "", &size), 0);
    cr_expect_eq(size, 256);
    cr_expect_eq(answer_of("f", "", &size), APIARY_EAGENT);
    cr_expect_eq(size, 300000);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_loan(a, 300000, &loans[i]), 0);
    cr_expect_eq(answer_of("f", "...", &size), APIARY_EAGENT);
    cr_expect_eq(size, 64, "as much as a slot takes");
    cr_expect_eq(answer_of("t", "", &size), APIARY_ENORESULT);
    cr_expect_eq(size, 0);
    cr_expect_eq(answer_of("r", "", &size), APIARY_ENORESULT);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_unloan(a, loans[i]), 0);
    cr_expect_eq(answer_of("t", "", &size), 0);
    cr_expect_eq(size, 300000);
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* ---- answers of other threads ---------------------------------------------------------------------------------- */

static uint32_t inside, leave;

static void stay(void *state, apiary_job_t *job)
{
    (void)state;
    ap_store_release(&inside, 1);
    while (!ap_load_acquire(&leave)) sched_yield();
    apiary_job_reply(job, NULL, 0);
}
KIND(stay, NULL, stay, NULL);

/* Whoever chooses among agents sees at once which are busy, however long they are. */
Test(job, what_runs_is_counted_while_it_runs)
{
    static const char *const stay_caps[] = {"stay", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "stay", .kind = &stay_kind, .capabilities = stay_caps}};
    const struct ap_queue *queue;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    start_own(agents, 1);
    queue = ap_queue_at(a->seg, queue_of(own, "stay"));
    cr_expect_eq(ap_load_relaxed(&queue->running), 0);
    cr_assert_eq(apiary_delegate(a, "stay", NULL, 0, NULL, &task), 0);
    while (!ap_load_acquire(&inside)) sched_yield();
    cr_expect_eq(ap_load_relaxed(&queue->running), 1);
    ap_store_release(&leave, 1);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    apiary_release(a, &result);
    while (ap_load_relaxed(&queue->running) != 0) sched_yield();
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* While the worker is in a handler several answers gather: each goes to its own task. */
Test(job, answers_of_other_threads_that_gather)
{
    static const char *const stay_caps[] = {"stay", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "stay", .kind = &stay_kind, .capabilities = stay_caps},
                                                        {.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};
    apiary_task_t tasks[5], blocked;
    apiary_result_t result = {.struct_size = sizeof result};

    start_own(agents, sizeof agents / sizeof agents[0]);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(apiary_delegate(a, "keep", &i, sizeof i, NULL, &tasks[i]), 0);
        while (ap_load_acquire(&kept_count) <= i) sched_yield();
    }
    cr_assert_eq(apiary_delegate(a, "stay", NULL, 0, NULL, &blocked), 0);
    while (!ap_load_acquire(&inside)) sched_yield();
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 1), APIARY_EINVAL);
        cr_expect_eq(apiary_job_finish_from_thread(kept[i], i, &i, sizeof i), 0);
        cr_expect_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 0), APIARY_ESTALE, "one answer each");
    }
    ap_store_release(&leave, 1);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_expect_eq(result.code, i == 0 ? 0 : APIARY_EAGENT);
        cr_expect_eq(result.agent_code, (uint32_t)i);
        cr_assert_eq(result.size, sizeof i);
        cr_expect_eq(memcmp(result.data, &i, sizeof i), 0);
        apiary_release(a, &result);
    }
    cr_assert_eq(apiary_await(a, blocked, LONG, &result), 0);
    apiary_release(a, &result);
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* So much that no memory has it: the task ends all the same, and whoever brought it is told. */
Test(job, an_answer_that_no_memory_has_room_for)
{
    static const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    start_own(agents, 1);
    cr_assert_eq(apiary_delegate(a, "keep", NULL, 0, NULL, &task), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 0, "x", SIZE_MAX), APIARY_ENOBLOCK);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ENOBLOCK);
    cr_expect_eq(result.size, 0);
    apiary_release(a, &result);
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* ---- what nobody waits for any more ---------------------------------------------------------------------------- */

static void keep_one(const apiary_delegate_options_t *options, int number, apiary_task_t *task)
{
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, options, task), 0);
    while (ap_load_acquire(&kept_count) <= number) sched_yield();
}

Test(job, knows_whether_somebody_waits)
{
    static const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps},
                                                        {.name = "relay", .kind = &relay_kind, .capabilities = relay_caps}};
    static const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    apiary_task_t cancelled, calm;
    char text[64];
    int n;

    start_own(agents, 2);
    keep_one(NULL, 0, &cancelled);
    keep_one(NULL, 1, &calm);
    keep_one(&forget, 2, NULL);
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_cancelled(kept[i]), 0);
    cr_assert_eq(apiary_cancel(a, cancelled), 0);
    cr_expect_eq(apiary_job_cancelled(kept[0]), 1);
    cr_expect_eq(apiary_job_cancelled(kept[1]), 0);
    cr_expect_eq(apiary_job_cancelled(kept[2]), 0, "it is done for nobody in particular");
    /* Given up by their callers at a deadline, that may also come before the agent has begun: then once more. */
    do cr_expect_eq(apiary_call(a, "keep", "x", 1, APIARY_TIMEOUT(SECOND / 100), NULL, 0, NULL), APIARY_ETIMEDOUT);
    while (ap_load_acquire(&kept_count) == 3);
    cr_expect_eq(apiary_job_cancelled(kept[3]), 1);
    do {
        cr_expect_eq(call("relay", "keep", 4, text, sizeof text), APIARY_EAGENT);
        cr_expect_str_eq(text, "APIARY_ETIMEDOUT");
    } while (ap_load_acquire(&kept_count) == 4);
    cr_expect_eq(apiary_job_cancelled(kept[4]), 1, "an agent does the same with what it has delegated");
    n = ap_load_acquire(&kept_count);
    for (int i = 0; i < n; i++) cr_expect_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 0), 0);
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* ---- more than an agent has hands ------------------------------------------------------------------------------ */

/* Those beyond its hands are begun as soon as there is room, none is lost. */
Test(job, what_an_agent_has_no_hands_for_comes_later)
{
    static const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};
    enum { MANY = AP_AGENT_HANDS + 20 };
    apiary_task_t tasks[MANY];
    apiary_result_t result = {.struct_size = sizeof result};

    start_own(agents, 1);
    for (int i = 0; i < MANY; i++) cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &tasks[i]), 0);
    for (int i = 0; i < MANY; i++) {
        while (ap_load_acquire(&kept_count) <= i) sched_yield();
        if (i >= (int)AP_AGENT_HANDS - 1) /* one goes, one comes */
            cr_assert_eq(apiary_job_finish_from_thread(kept[i - (int)AP_AGENT_HANDS + 1], 0, "done", 4), 0);
    }
    for (int i = MANY - (int)AP_AGENT_HANDS + 1; i < MANY; i++)
        cr_assert_eq(apiary_job_finish_from_thread(kept[i], 0, "done", 4), 0);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_expect_eq(result.code, 0);
        cr_expect_eq(result.size, 4);
        apiary_release(a, &result);
    }
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* The lane says what it runs, of as many tasks as it has room for. */
Test(job, the_first_in_hand_are_named_in_the_lane)
{
    static const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};
    enum { MANY = AP_HANDS + 4 };
    const struct ap_lane *lane;
    apiary_task_t tasks[MANY];
    apiary_result_t result = {.struct_size = sizeof result};

    start_own(agents, 1);
    lane = queen_inside(own)->workers[0].context->lane.lane;
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &tasks[i]), 0);
        while (ap_load_acquire(&kept_count) <= i) sched_yield();
        for (int h = 0; h < (int)AP_HANDS; h++) {
            uint64_t ref = h <= i ? AP_REF(tasks[h].slot, tasks[h].generation) : 0;
            cr_expect_eq(ap_load_relaxed(&lane->hand[h]), ref, "%d in hand, hand %d", i + 1, h);
        }
    }
    cr_expect_eq(queen_inside(own)->workers[0].hands, (1u << AP_HANDS) - 1, "nothing is named where there is no room");
    for (int i = MANY - 1; i >= 0; i--) {
        cr_assert_eq(apiary_job_finish_from_thread(kept[i], 0, NULL, 0), 0);
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        apiary_release(a, &result);
        while (i < (int)AP_HANDS && ap_load_relaxed(&lane->hand[i]) != 0) sched_yield();
    }
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}

/* ---- the mean -------------------------------------------------------------------------------------------------- */

static uint64_t jumped;
static struct ap_ops jumping;

static uint64_t jumping_now(void)
{
    return ap_ops_system.now() + ap_load_relaxed(&jumped);
}

/* Runs for a hundred seconds, of which nothing is felt. */
static void jump(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&jumped, 100 * SECOND);
    apiary_job_reply(job, NULL, 0);
}
KIND(jump, NULL, jump, NULL);

Test(job, the_mean_of_tasks_that_are_alike_is_what_they_take)
{
    static const char *const caps[] = {"jump", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "jump", .kind = &jump_kind, .capabilities = caps}};
    const apiary_delegate_options_t for_ever = {.struct_size = sizeof for_ever, .timeout = APIARY_FOREVER};
    const struct ap_queue *queue;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    jumping = ap_ops_system;
    jumping.now = jumping_now;
    a->seg->ops = &jumping;
    start_own(agents, 1);
    queue = ap_queue_at(a->seg, queue_of(own, "jump"));
    for (int i = 0; i < 60; i++) {
        cr_assert_eq(apiary_delegate(a, "jump", NULL, 0, &for_ever, &task), 0);
        cr_assert_eq(apiary_await(a, task, APIARY_FOREVER, &result), 0);
        apiary_release(a, &result);
    }
    while (ap_load_relaxed(&queue->run_time) < 99 * SECOND) sched_yield(); /* stored after the others */
    cr_expect_geq(ap_load_relaxed(&queue->run_time), 99 * SECOND);
    cr_expect_leq(ap_load_relaxed(&queue->run_time), 105 * SECOND);
    cr_assert_eq(apiary_queen_stop(own, APIARY_FOREVER), 0);
    a->seg->ops = &ap_ops_system;
}
