/* Agents that do not come back from their functions: they end the worker's thread, or stay; and what the queen says of it. */
#include "tests/unit/worker_fixture.h"

TestSuite(queen_lost, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct {
    char lines[16][256];
    int levels[16];
    uint32_t count;
} said;

static void note(void *user, int level, const char *line)
{
    uint32_t at;

    (void)user;
    pthread_mutex_lock(&log_lock);
    at = said.count;
    cr_assert_lt(at, 16);
    snprintf(said.lines[at], sizeof said.lines[0], "%s", line);
    said.levels[at] = level;
    ap_store_release(&said.count, at + 1);
    pthread_mutex_unlock(&log_lock);
}

/* How often it was said, at that level. */
static int times(int level, const char *line)
{
    uint32_t count = ap_load_acquire(&said.count);
    int n = 0;

    for (uint32_t i = 0; i < count; i++) n += said.levels[i] == level && strcmp(said.lines[i], line) == 0;
    return n;
}

static void quit(void *state, apiary_job_t *job)
{
    (void)state;
    (void)job;
    pthread_exit(NULL);
}

/* No cleanup runs, and no destructor of the thread's data. */
static void vanish(void *state, apiary_job_t *job)
{
    (void)state;
    (void)job;
    syscall(SYS_exit, 0);
}

static int vanish_when_made(apiary_agent_t *agent, void **state)
{
    (void)agent;
    (void)state;
    return (int)syscall(SYS_exit, 0);
}

static void quit_late(void *user, uint32_t events)
{
    (void)user;
    (void)events;
    pthread_exit(NULL);
}

static int quit_when_made(apiary_agent_t *agent, void **state)
{
    (void)agent;
    (void)state;
    pthread_exit(NULL);
}

static int quit_soon(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return apiary_watch_timer(agent, 0, quit_late, NULL, NULL);
}

static uint32_t gate, entered;

static void stay(void *state, apiary_job_t *job)
{
    (void)state;
    ap_store_release(&entered, 1);
    while (!ap_load_acquire(&gate)) sched_yield();
    apiary_job_reply(job, NULL, 0);
}
KIND(quitter, NULL, quit, NULL);
KIND(vanisher, NULL, vanish, NULL);
KIND(vanishing, vanish_when_made, vanish, NULL);
KIND(stillborn, quit_when_made, quit, NULL);
KIND(late_quitter, quit_soon, quit, NULL);
KIND(stay, NULL, stay, NULL);

/* The agent "odd" of that kind on a worker of its own, and "echo" on the first. */
static int start_odd(const apiary_agent_kind_t *kind, char *message, size_t size, apiary_queen_t **q)
{
    static const char *const caps[] = {"odd", NULL};
    const apiary_agent_description_t agents[] = {{"echo", &echo_kind, echo_caps, 0, NULL, NULL, NULL},
                                                 {"odd", kind, caps, 1, NULL, NULL, NULL}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = agents,
                                          .agent_count = 2, .log = note};

    return apiary_queen_start(a, &d, message, size, q);
}

/* She waits for nothing of that worker, and is not well. */
static void is_lost(apiary_queen_t *q, const char *line)
{
    const struct ap_swarm *s = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    char text[8];

    while (times(2, line) == 0) sched_yield();
    while (ap_load_relaxed(&s->state) != APIARY_CRITICAL) sched_yield();
    cr_expect_eq(call("echo", "well", 4, text, sizeof text), 0, "the other worker serves");
    cr_expect_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(times(2, line), 1);
    cr_expect_eq(times(6, "test has left"), 1);
}

Test(queen_lost, an_agent_that_ends_its_thread_with_a_task)
{
    const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    apiary_queen_t *q = NULL;

    cr_assert_eq(start_odd(&quitter_kind, NULL, 0, &q), 0);
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, &forget, NULL), 0);
    is_lost(q, "worker 1: an agent ended its thread; the one that was called last is odd");
}

/* ---- by the bare system call -------------------------------------------------------------------------------------- */

static void skip_vanishing(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of threads that end without it");
#endif
}

/* Nobody else knows: the queen finds out at her beat. */
Test(queen_lost, a_thread_that_ends_untold_with_a_task)
{
    apiary_queen_t *q = NULL;
    apiary_task_t task;
    const struct ap_slot *slot;

    skip_vanishing();
    cr_assert_eq(start_odd(&vanisher_kind, NULL, 0, &q), 0);
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, NULL, &task), 0);
    is_lost(q, "worker 1: an agent ended its thread; the one that was called last is odd");
    slot = ap_slot_at(a->seg, task.slot);
    while (AP_WORD_STATE(ap_load_acquire(&slot->word)) == AP_TASK_RUNNING) ap_reap_asking(a->seg, AP_NO_LANE, &ap_registry_hooks);
    cr_expect_eq(AP_WORD_STATE(ap_load_acquire(&slot->word)), AP_TASK_QUEUED);
    cr_expect_eq(AP_WORD_LOST(ap_load_acquire(&slot->word)), 1, "nothing said that the thread ended by itself");
}

Test(queen_lost, a_thread_that_ends_untold_while_its_agent_is_made)
{
    apiary_queen_t *q = NULL;
    char message[256] = "";

    skip_vanishing();
    cr_expect_eq(start_odd(&vanishing_kind, message, sizeof message, &q), APIARY_EAGENT);
    cr_expect_str_eq(message, "worker 1: an agent ended its thread while it was made");
    cr_expect_null(q);
    cr_assert_eq(start_odd(&stay_kind, message, sizeof message, &q), 0, "nothing of it is left: %s", message);
    cr_expect_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- and the other worker's tasks -------------------------------------------------------------------------------- */

static uint32_t asked_count;

static void asked_end(void *job, const apiary_result_t *result)
{
    cr_expect_eq(result->code, APIARY_ESHUTDOWN, "%s", apiary_error_name(result->code));
    cr_expect_eq(apiary_job_reply(job, "", 0), APIARY_ESTALE, "the task is to run again, and nobody here answers it any more");
    ap_add_acq_rel(&asked_count, 1);
}

static void asks(void *state, apiary_job_t *job)
{
    cr_expect_eq(apiary_agent_execute_task(state, "keep", "x", 1, NULL, asked_end, job), 0);
}
KIND(asks, create_nothing, asks, NULL);

/* They run again, and are not taken for answered by what ends with the worker. */
Test(queen_lost, tasks_of_another_worker_are_left_to_run_again)
{
    static const char *const caps[] = {"asks", NULL}, *const odd[] = {"odd", NULL};
    static const apiary_agent_description_t agents[] = {
        {.name = "asks", .kind = &asks_kind, .capabilities = caps}, {.name = "keep", .kind = &keep_kind, .capabilities = keep_caps},
        {.name = "odd", .kind = &quitter_kind, .capabilities = odd, .worker = 1}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = agents,
                                          .agent_count = 3, .log = note};
    const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    apiary_queen_t *q = NULL;
    struct ap_slot *slot;
    apiary_task_t task;
    uint64_t word;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_delegate(a, "asks", "x", 1, NULL, &task), 0);
    while (ap_load_acquire(&kept_count) == 0) sched_yield();
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, &forget, NULL), 0);
    while (times(2, "worker 1: an agent ended its thread; the one that was called last is odd") == 0) sched_yield();
    cr_expect_eq(apiary_queen_stop(q, 0), 0);
    cr_expect_eq(ap_load_acquire(&asked_count), 1);
    cr_assert(ap_task_find(a, task, &slot, &word));
    cr_expect_not(ap_task_ended(AP_WORD_STATE(word)), "%s", ap_task_state_name(AP_WORD_STATE(word)));
    cr_expect_eq(AP_WORD_CRASHES(word), 0);
}

Test(queen_lost, an_agent_that_ends_its_thread_before_there_was_a_task)
{
    apiary_queen_t *q = NULL;

    cr_assert_eq(start_odd(&late_quitter_kind, NULL, 0, &q), 0);
    is_lost(q, "worker 1: an agent ended its thread; the one that was called last is none");
}

Test(queen_lost, an_agent_that_ends_its_thread_while_it_is_made)
{
    apiary_queen_t *q = NULL;
    char message[256] = "";

    cr_expect_eq(start_odd(&stillborn_kind, message, sizeof message, &q), APIARY_EAGENT);
    cr_expect_str_eq(message, "worker 1: an agent ended its thread while it was made");
    cr_expect_null(q);
    cr_expect_eq(said.count, 0, "the caller was told");
    cr_assert_eq(start_odd(&stay_kind, message, sizeof message, &q), 0, "nothing of it is left: %s", message);
    cr_expect_eq(apiary_queen_stop(q, LONG), 0);
}

/* What other agents have in hand then is not theirs to end any more: the worker ends as the dead do, and the tasks run again. */
Test(queen_lost, tasks_of_the_other_agents_run_again)
{
    static const char *const odd_caps[] = {"odd", NULL};
    const apiary_agent_description_t agents[] = {{.name = "keep", .kind = &keep_kind, .capabilities = keep_caps},
                                                 {.name = "odd", .kind = &quitter_kind, .capabilities = odd_caps, .worker = 1}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = agents,
                                          .agent_count = 2, .log = note};
    const apiary_delegate_options_t forget = {.struct_size = sizeof forget, .flags = APIARY_DETACH};
    apiary_result_t result = {.struct_size = sizeof result};
    const struct ap_slot *slot;
    apiary_queen_t *q;
    apiary_task_t task;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &task), 0);
    slot = ap_slot_at(a->seg, task.slot);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, &forget, NULL), 0);
    while (times(2, "worker 1: an agent ended its thread; the one that was called last is odd") == 0) sched_yield();
    stop_at_once(q);
    cr_expect_eq(apiary_job_reply(kept[0], "late", 4), APIARY_ESTALE);
    cr_expect_eq(apiary_poll(a, task, &result), APIARY_ENOTREADY);
    while (AP_WORD_STATE(ap_load_acquire(&slot->word)) == AP_TASK_RUNNING) ap_reap_asking(a->seg, AP_NO_LANE, &ap_registry_hooks);
    cr_expect_eq(AP_WORD_STATE(ap_load_acquire(&slot->word)), AP_TASK_QUEUED);
    cr_expect_eq(AP_WORD_CRASHES(ap_load_acquire(&slot->word)), 0, "it has crashed nobody");
    kept_count = 0;
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    cr_expect_eq(apiary_job_finish_from_thread(kept[0], 0, "well", 4), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect(result.code == 0 && result.attempts == 2);
    apiary_release(a, &result);
    stop_at_once(q);
}

/* Each of her workers once, however often she is told to stop; and her beat goes on. */
Test(queen_lost, an_agent_that_stays_is_named_once)
{
    static const char line[] = "worker 1 does not return; the agent that was called last is odd";
    apiary_queen_t *q = NULL;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    const struct ap_swarm *swarm;
    uint64_t beat;

    cr_assert_eq(start_odd(&stay_kind, NULL, 0, &q), 0);
    swarm = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, NULL, &task), 0);
    while (!ap_load_acquire(&entered)) sched_yield();
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_queen_stop(q, 0), APIARY_ETIMEDOUT);
    cr_expect_eq(times(4, line), 1);
    beat = ap_load_relaxed(&swarm->beat);
    while (ap_load_relaxed(&swarm->beat) == beat) sched_yield();
    ap_store_release(&gate, 1);
    stop_at_once(q);
    cr_expect_eq(times(4, line), 1);
    cr_expect_eq(times(6, "test has left"), 1);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, 0);
    apiary_release(a, &result);
}

static void *stop_with_time(void *queen)
{
    return (void *)(intptr_t)-apiary_queen_stop(queen, LONG);
}

/* What is in hand is waited for, by one thread; meanwhile nothing new comes, and her beat goes on. */
Test(queen_lost, one_that_drains_takes_nothing_new)
{
    apiary_queen_t *q = NULL;
    const struct ap_swarm *swarm;
    apiary_task_t task, other;
    apiary_result_t result = {.struct_size = sizeof result};
    pthread_t thread;
    uint64_t beat;
    void *error;
    int r;

    cr_assert_eq(start_odd(&stay_kind, NULL, 0, &q), 0);
    swarm = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    cr_assert_eq(apiary_delegate(a, "odd", NULL, 0, NULL, &task), 0);
    while (!ap_load_acquire(&entered)) sched_yield();
    cr_assert_eq(pthread_create(&thread, NULL, stop_with_time, q), 0);
    do {
        r = apiary_delegate(a, "echo", NULL, 0, NULL, &other);
        if (r == 0) cr_assert_eq(apiary_await(a, other, LONG, &result), 0);
        if (r == 0) apiary_release(a, &result);
    } while (r == 0);
    cr_expect_eq(r, APIARY_ENOPROVIDER);
    cr_expect_eq(apiary_queen_stop(q, LONG), APIARY_EINVAL, "another thread is at it");
    beat = ap_load_relaxed(&swarm->beat);
    while (ap_load_relaxed(&swarm->beat) == beat) sched_yield();
    ap_store_release(&gate, 1);
    pthread_join(thread, &error);
    cr_expect_eq((intptr_t)error, 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, 0);
    apiary_release(a, &result);
    cr_expect_eq(apiary_queen_stop(q, LONG), APIARY_ESTALE);
}
