/* What agents may not do with what they were given: each is refused, told in the log, and harms neither worker nor tasks. */
#include "tests/unit/worker_fixture.h"

TestSuite(misuse, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static void refused(apiary_job_t *job)
{
    size_t size = 7;
    void *block = NULL;
    int something = 0;

    cr_expect_eq(apiary_job_reply(job, "again", 5), APIARY_ESTALE);
    cr_expect_eq(apiary_job_fail(job, 1, "again"), APIARY_ESTALE);
    cr_expect_eq(apiary_job_fail_text(job, 1, "again", 5), APIARY_ESTALE);
    cr_expect_eq(apiary_job_finish_from_thread(job, 0, "again", 5), APIARY_ESTALE);
    cr_expect_eq(apiary_job_reserve(job, 10, &block), APIARY_ESTALE);
    cr_expect_eq(apiary_job_reserve(job, 1000, &block), APIARY_ESTALE);
    cr_expect_null(block);
    cr_expect_null(apiary_job_data(job, &size));
    cr_expect_eq(size, 0);
    cr_expect_null(apiary_job_data(job, NULL));
    cr_expect_str_eq(apiary_job_capability(job), "");
    cr_expect_str_eq(apiary_job_caller(job), "");
    cr_expect_eq(apiary_job_deadline(job), 0);
    cr_expect_eq(apiary_job_cancelled(job), 1);
    cr_expect_null(apiary_job_agent(job));
    apiary_job_set_user(job, &something);
    cr_expect_null(apiary_job_user(job));
}

static apiary_job_t *latest_handle;

/* Answers; then, with the handle of now and with that of the task before, tries everything. */
static void answer_twice(void *state, apiary_job_t *job)
{
    size_t size;
    const char *data = apiary_job_data(job, &size);

    (void)state;
    cr_expect_eq(apiary_job_data(job, NULL), data, "who knows its size");
    cr_expect_neq(job, latest_handle);
    if (latest_handle != NULL) refused(latest_handle);
    switch (size > 0 ? data[0] : 0) {
    case 'f': cr_expect_eq(apiary_job_fail_text(job, 9, "once", 4), 0); break;
    case 't': cr_expect_eq(apiary_job_finish_from_thread(job, 0, "once", 4), 0); break;
    default: cr_expect_eq(apiary_job_reply(job, "once", 4), 0); break;
    }
    if (size > 0 && data[0] == 't')
        cr_expect_eq(apiary_job_reply(job, "again", 5), APIARY_ESTALE, "the answer is on its way");
    else
        refused(job);
    latest_handle = job;
}

static int answers[2];

static void *answer_from_thread(void *job)
{
    answers[0] = apiary_job_reply(job, "wrong", 5);
    answers[1] = apiary_job_fail_text(job, 1, "wrong", 5);
    return NULL;
}

static void *finish_twice(void *job)
{
    answers[0] = apiary_job_finish_from_thread(job, 0, "first", 5);
    answers[1] = apiary_job_finish_from_thread(job, 0, "second", 6);
    return NULL;
}

static void wrong_thread(void *state, apiary_job_t *job)
{
    pthread_t thread;
    size_t size;
    const char *data = apiary_job_data(job, &size);
    bool twice = size > 0 && data[0] == '2';

    (void)state;
    cr_assert_eq(pthread_create(&thread, NULL, twice ? finish_twice : answer_from_thread, job), 0);
    pthread_join(thread, NULL);
    if (!twice) {
        cr_expect_eq(answers[0], APIARY_EINVAL);
        cr_expect_eq(answers[1], APIARY_EINVAL);
        cr_expect_eq(apiary_job_reply(job, "right", 5), 0);
        return;
    }
    cr_expect_eq(answers[0], 0);
    cr_expect_eq(answers[1], APIARY_ESTALE);
    cr_expect_eq(apiary_job_reply(job, "third", 5), APIARY_ESTALE);
}

static void nothing(void *user, uint32_t events)
{
    (void)user;
    (void)events;
}

struct tried {
    apiary_agent_t *agent;
    apiary_watch_t *watch;
    void *block;
    int results[3];
};

static void *try_from_thread(void *arg)
{
    struct tried *t = arg;
    apiary_watch_t *watch;

    t->results[0] = apiary_watch_timer(t->agent, 1, nothing, NULL, &watch);
    t->results[1] = apiary_watch_fd(t->agent, 0, POLLIN, nothing, NULL, &watch);
    t->results[2] = apiary_watch_close(t->watch);
    cr_expect_null(apiary_agent_alloc(t->agent, 10));
    cr_expect_null(apiary_agent_resize(t->agent, t->block, 10));
    apiary_agent_free(t->agent, t->block);
    return NULL;
}

static void watches(void *state, apiary_job_t *job)
{
    struct tried t = {.agent = state};
    apiary_watch_t *first, *second;
    size_t before = apiary_agent_allocated(state);
    pthread_t thread;

    cr_expect_eq(apiary_watch_timer(state, LONG, nothing, NULL, &first), 0);
    cr_expect_eq(apiary_watch_close(first), 0);
    cr_expect_eq(apiary_watch_timer(state, LONG, nothing, NULL, &second), 0);
    cr_expect_neq(first, second);
    cr_expect_eq(apiary_watch_close(first), APIARY_ESTALE, "another watch is where it was");
    t.watch = second;
    t.block = apiary_agent_alloc(state, 100);
    cr_assert_eq(pthread_create(&thread, NULL, try_from_thread, &t), 0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++) cr_expect_eq(t.results[i], APIARY_EINVAL);
    cr_expect_geq(apiary_agent_allocated(state), before + 100);
    apiary_agent_free(state, t.block);
    cr_expect_eq(apiary_watch_close(second), 0);
    cr_expect_eq(apiary_watch_close(second), APIARY_ESTALE);
    cr_expect_eq(apiary_watch_close(NULL), 0);
    apiary_job_reply(job, NULL, 0);
}

/* What the segment says of a block that was reserved is anybody's to write. */
static void disown(void *block)
{
    uint64_t number = ap_pool_number(a->seg, ap_pool_offset(a->seg, block)), *word = ap_at(a->seg, AP_SECTION_BLOCKS, number);

    ap_store_relaxed(word, AP_BLOCK(AP_BLOCK_FREE, 0, 0));
}

/* What was reserved for a result is no loan, whatever else the thread has lent. */
static void give_away(void *state, apiary_job_t *job)
{
    apiary_t *handle = apiary_agent_handle(state);
    void *block = NULL, *lent = NULL;
    apiary_task_t task;
    size_t size;

    apiary_job_data(job, &size);
    if (size > 0) cr_assert_eq(apiary_loan(handle, 1000, &lent), 0);
    cr_assert_eq(apiary_job_reserve(job, 1000, &block), 0);
    cr_expect_eq(apiary_unloan(handle, block), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(handle, "echo", block, 1000, NULL, &task), APIARY_EINVAL);
    if (size > 1) disown(block);
    cr_expect_eq(apiary_job_reply(job, block, 1000), size > 1 ? APIARY_EINVAL : 0);
    if (lent == NULL) return;
    cr_expect_eq(apiary_unloan(handle, lent), 0);
    cr_expect_eq(apiary_unloan(handle, lent), APIARY_EINVAL);
}

KIND(answer_twice, NULL, answer_twice, NULL);
KIND(wrong_thread, NULL, wrong_thread, NULL);
KIND(watches, create_nothing, watches, NULL);
KIND(give_away, create_nothing, give_away, NULL);

static const char *const twice_caps[] = {"twice", NULL}, *const wrong_caps[] = {"wrong", NULL},
                  *const watches_caps[] = {"watches", NULL}, *const give_caps[] = {"give", NULL};
static const apiary_agent_description_t bad_agents[] =
        {{.name = "forgetful", .kind = &answer_twice_kind, .capabilities = twice_caps},
                                                        {.name = "lost", .kind = &wrong_thread_kind, .capabilities = wrong_caps},
                                                        {.name = "watcher", .kind = &watches_kind, .capabilities = watches_caps},
                                                        {.name = "giver", .kind = &give_away_kind, .capabilities = give_caps},
                                                        {.name = "echo", .kind = &echo_kind, .capabilities = echo_caps},
                                                        {.name = "keep", .kind = &keep_kind, .capabilities = keep_caps}};

static apiary_queen_t *start_bad(void)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "bad", .workers = 1, .agents = bad_agents,
                                          .agent_count = sizeof bad_agents / sizeof bad_agents[0], .log = log_line};
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    return q;
}

/* The worker serves as before, and what it shows of itself is possible. */
static void unharmed(apiary_queen_t *q)
{
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    char text[16];

    for (int i = 0; i < 100; i++) {
        cr_assert_eq(call("echo", "well", 4, text, sizeof text), 0);
        cr_assert_str_eq(text, "well");
    }
    do cr_assert_eq(apiary_swarm_status(a, "bad", &row, 1), 1);
    while (row.running != 0 || row.queued != 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

Test(misuse, a_second_answer_is_refused)
{
    static const char *const ways[] = {"r", "f", "t", "r", "t", "f", "f", "t", "t", "r"};
    apiary_queen_t *q = start_bad();
    char text[16];

    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            int code = call("twice", ways[i], 1, text, sizeof text);
            cr_expect_eq(code, ways[i][0] == 'f' ? APIARY_EAGENT : 0);
            cr_expect_str_eq(text, "once");
        }
    unharmed(q);
}

Test(misuse, the_log_names_who_answers_twice)
{
    apiary_queen_t *q = start_bad();
    char text[16];

    cr_assert_eq(call("twice", "r", 1, text, sizeof text), 0);
    cr_assert_eq(call("echo", "", 0, text, sizeof text), 0); /* after it, on the same worker */
    cr_expect_eq(strncmp(logged(), "forgetful: ", 11), 0, "%s", logged());
    cr_expect_not_null(strstr(logged(), "a task that it has finished"), "%s", logged());
    unharmed(q);
}

/* Sixty-four tasks in hand and a stale handle for each: none of them is answered by those. */
Test(misuse, a_stale_handle_does_not_answer_another_task)
{
    apiary_queen_t *q = start_bad();
    apiary_task_t tasks[AP_AGENT_HANDS], go;
    apiary_job_t *stale[AP_AGENT_HANDS];
    apiary_result_t result = {.struct_size = sizeof result};
    char text[16];

    for (unsigned i = 0; i < AP_AGENT_HANDS - 1; i++) cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &tasks[i]), 0);
    while (ap_load_acquire(&kept_count) < (int)AP_AGENT_HANDS - 1) sched_yield();
    memcpy(stale, kept, sizeof stale);
    cr_assert_eq(call("keep", "go", 2, text, sizeof text), 0);
    for (unsigned i = 0; i < AP_AGENT_HANDS - 1; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        apiary_release(a, &result);
        cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &tasks[i]), 0);
    }
    while (ap_load_acquire(&kept_count) < (int)AP_AGENT_HANDS - 1) sched_yield();
    for (unsigned i = 0; i < AP_AGENT_HANDS - 1; i++)
        cr_expect_eq(apiary_job_finish_from_thread(stale[i], 0, "stale", 5), APIARY_ESTALE);
    cr_assert_eq(apiary_delegate(a, "keep", "go", 2, NULL, &go), 0);
    for (unsigned i = 0; i < AP_AGENT_HANDS - 1; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_expect_eq(result.size, 4);
        cr_expect_eq(memcmp(result.data, "kept", 4), 0);
        apiary_release(a, &result);
    }
    cr_assert_eq(apiary_await(a, go, LONG, &result), 0);
    apiary_release(a, &result);
    unharmed(q);
}

Test(misuse, answers_of_the_wrong_thread)
{
    apiary_queen_t *q = start_bad();
    char text[16];

    for (int i = 0; i < 20; i++) {
        cr_assert_eq(call("wrong", "1", 1, text, sizeof text), 0);
        cr_expect_str_eq(text, "right");
        cr_assert_eq(call("wrong", "2", 1, text, sizeof text), 0);
        cr_expect_str_eq(text, "first");
    }
    unharmed(q);
}

Test(misuse, watches_and_memory)
{
    apiary_queen_t *q = start_bad();
    char text[16];

    for (int i = 0; i < 20; i++) cr_assert_eq(call("watches", "", 0, text, sizeof text), 0);
    unharmed(q);
}

Test(misuse, a_block_that_was_given_away)
{
    apiary_queen_t *q = start_bad();
    struct ap_report report = {0};
    char text[2000];

    for (int i = 0; i < 20; i++) cr_assert_eq(call("give", "", 0, text, sizeof text), 0);
    for (int i = 0; i < 20; i++) cr_assert_eq(call("give", "!", 1, text, sizeof text), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(call("give", "!!", 2, text, sizeof text), APIARY_EINVAL);
    unharmed(q);
    ap_parts_check(a->seg, AP_SECTION_BLOCKS, AP_SECTION_BLOCKS + 1, &report);
    cr_expect_eq(report.corrupt, 0);
}

/* Handles outlive their queen: a thread that an agent has forgotten is refused. */
Test(misuse, handles_outlive_the_queen)
{
    apiary_queen_t *q = start_bad();
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_job_t *job;

    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &task), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    job = kept[0];
    stop_at_once(q);
    refused(job);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ESHUTDOWN);
    apiary_release(a, &result);
}

/* ---- handles of the process ------------------------------------------------------------------------------------- */

Test(misuse, a_handle_is_given_back_once)
{
    apiary_attach_options_t observer = {.struct_size = sizeof observer, .read_only = 1};
    apiary_t *two[2];

    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_attach(name, i == 0 ? NULL : &observer, &two[i]), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_detach(two[i]), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_detach(two[i]), APIARY_ESTALE);
    cr_expect_eq(apiary_detach(NULL), 0);
}

Test(misuse, a_queen_leaves_once)
{
    apiary_queen_t *q = start();
    char text[8];

    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(apiary_queen_stop(q, LONG), APIARY_ESTALE);
    cr_expect_eq(apiary_execute_task(q, "echo", "x", 1, NULL, text, sizeof text, NULL), APIARY_ESTALE);
    cr_expect_eq(apiary_delegate_external_task(q, "echo", "x", 1, NULL, text, sizeof text, NULL), APIARY_ESTALE);
}
