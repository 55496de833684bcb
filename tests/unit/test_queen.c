/* The queen: registration, beat, drain, death and return; plug-ins. Run once for each way of parking ($APIARY_PARK). */
#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <sys/resource.h>

#include "tests/unit/worker_fixture.h"

TestSuite(queen, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static int refuse_create(apiary_agent_t *agent, void **state)
{
    (void)state;
    apiary_agent_log(agent, 3, "the moon is wrong");
    return APIARY_ENOTSUP;
}

KIND(refuse, refuse_create, echo, NULL);

static sem_t block_entered, block_leave;

static void block(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&handled, 1);
    sem_post(&block_entered);
    sem_wait(&block_leave);
    apiary_job_reply(job, NULL, 0);
}
KIND(block, create_nothing, block, NULL);

Test(queen, execute_task_stays_in_the_swarm)
{
    apiary_queen_t *q = start_as(a, "one", NULL), *p;
    static const apiary_agent_description_t lone[] = {{.name = "lone", .kind = &about_kind, .capabilities = echo_caps}};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "two", .workers = 1, .agents = lone, .agent_count = 1};
    char text[64];
    size_t n;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &p), 0);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(apiary_execute_task(q, "echo", "mine", 4, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
        cr_assert_eq(n, 4);
        cr_assert_eq(apiary_execute_task(p, "echo", "mine", 4, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
        cr_assert_eq(memcmp(text, "two lone", 8), 0);
    }
    cr_assert_eq(apiary_execute_task(p, "count", "", 0, APIARY_TIMEOUT(LONG), text, sizeof text, &n), APIARY_ENOPROVIDER);
    cr_assert_eq(apiary_delegate_external_task(p, "count", "", 0, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
    apiary_queen_stop(p, LONG);
    apiary_queen_stop(q, LONG);
}

/* Its queue was another service's when it was chosen. */
Test(queen, a_task_for_another_swarm_is_refused)
{
    static const char *const slow_caps[] = {"slow", NULL};
    static const apiary_agent_description_t slow[] = {{.name = "slow", .kind = &block_kind, .capabilities = slow_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = slow,
                                          .agent_count = 1};
    apiary_queen_t *q;
    apiary_task_t tasks[3];
    apiary_result_t result = {.struct_size = sizeof result};

    sem_init(&block_entered, 0, 0);
    sem_init(&block_leave, 0, 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_delegate(a, "slow", "x", 1, NULL, &tasks[i]), 0);
        if (i == 0) sem_wait(&block_entered); /* the others wait in the queue */
    }
    ap_store_relaxed(&ap_slot_at(a->seg, tasks[1].slot)->only, (uint16_t)(queen_inside(q)->service_index + 1));
    ap_store_relaxed(&ap_slot_at(a->seg, tasks[2].slot)->only, (uint16_t)(queen_inside(q)->service_index + 2));
    for (int i = 0; i < 3; i++) sem_post(&block_leave);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_expect_eq(result.code, i < 2 ? 0 : APIARY_ENOPROVIDER);
        apiary_release(a, &result);
    }
    apiary_queen_stop(q, LONG);
}

Test(queen, counts_are_published)
{
    apiary_queen_t *q = start();
    const struct ap_queue *queue = ap_queue_at(a->seg, queue_of(q, "count"));
    char text[8];

    for (int i = 0; i < 200; i++) cr_assert_eq(call("count", "", 0, text, sizeof text), 0);
    while (ap_load_relaxed(&queue->done) != 200) sched_yield();
    cr_assert_eq(ap_load_relaxed(&queue->started), 200);
    cr_assert_eq(ap_load_relaxed(&queue->failed), 0);
    while (ap_load_relaxed(&queue->running) != 0) sched_yield();
    cr_assert_eq(ap_load_relaxed(&queue->depth), 0);
    apiary_queen_stop(q, LONG);
}

static struct ap_queue_counts counts_of(apiary_queen_t *q, const char *agent)
{
    struct ap_queue_counts counts;

    ap_queue_counts(ap_queue_at(a->seg, queue_of(q, agent)), &counts);
    return counts;
}

/* The caller gives it up, or finds that the queen's monitor has ended it in the queue. */
static void await_late(apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_await(a, task, LONG, &result);

    cr_assert_eq(r == 0 ? result.code : r, APIARY_ETIMEDOUT);
    if (r == 0) apiary_release(a, &result);
}

/* Each is counted once, as what it was for its caller. */
Test(queen, counts_say_how_tasks_ended)
{
    apiary_queen_t *q = start();
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 20000000},
        in_hand = {.struct_size = sizeof in_hand, .timeout = 3000000000}, /* it has been begun by then, on a busy machine, too */
        detached = {.struct_size = sizeof detached, .flags = APIARY_DETACH};
    struct ap_queue_counts counts;
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    apiary_task_t task;
    char text[128];

    for (int i = 0; i < 3; i++) cr_assert_eq(call("count", "", 0, text, sizeof text), 0);
    cr_assert_eq(apiary_delegate(a, "count", "", 0, &detached, NULL), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(call("fail", "", 0, text, sizeof text), APIARY_EAGENT);
    cr_assert_eq(call("too_large", "", 0, text, sizeof text), APIARY_ETOOLARGE);
    /* Given up while it is in hand, and ended well later. */
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, &in_hand, &task), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    await_late(task);
    cr_assert_eq(call("keep", "go", 2, text, sizeof text), 0);
    /* Its time is over, and another is taken back, in the queue. */
    hold(&queen_inside(q)->workers[1]);
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, &soon, &task), 0);
    await_late(task);
    cr_assert_eq(apiary_delegate(a, "keep", "x", 1, NULL, &task), 0);
    cr_assert_eq(apiary_cancel(a, task), 0);
    do counts = counts_of(q, "keep");
    while (counts.started + counts.done + counts.failed + counts.late + counts.cancelled != 7); /* stored one after another */
    cr_expect(counts.started == 2 && counts.done == 1 && counts.failed == 2 && counts.late == 1 && counts.cancelled == 1);
    do cr_assert_eq(apiary_swarm_status(a, "test", &row, 1), 1);
    while (row.finished < 11);
    cr_expect_eq(row.done, 5);
    cr_expect_eq(row.failed, 5);
    cr_expect_eq(row.late, 1);
    cr_expect_eq(row.cancelled, 1);
    cr_expect_eq(row.finished, 11);
    cr_expect_eq(row.started, 9);
    stop_at_once(q);
}

/* It was started, whatever became of its result; one that no agent saw was not. */
Test(queen, attempts_count_every_start)
{
    apiary_queen_t *q = start();
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(apiary_delegate(a, "too_large", "", 0, NULL, &task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ETOOLARGE);
    cr_expect_eq(result.attempts, 1);
    apiary_release(a, &result);
    hold(&queen_inside(q)->workers[0]);
    cr_assert_eq(apiary_delegate(a, "fail", "", 0, NULL, &task), 0);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ECANCELLED);
    cr_expect_eq(result.attempts, 0);
    apiary_release(a, &result);
    apiary_queen_stop(q, LONG);
}

#define A_WHILE (20 * (SECOND / 1000))

static void take_a_while(void *state, apiary_job_t *job)
{
    uint64_t until = ap_ops_system.now() + A_WHILE;

    (void)state;
    while (ap_ops_system.now() < until) sched_yield();
    apiary_job_reply(job, NULL, 0);
}
KIND(slow, NULL, take_a_while, NULL);

Test(queen, the_first_run_time_is_the_mean)
{
    static const char *const caps[] = {"slow", NULL};
    static const apiary_agent_description_t slow[] = {{.name = "slow", .kind = &slow_kind, .capabilities = caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = slow,
                                          .agent_count = 1};
    const struct ap_queue *queue;
    apiary_queen_t *q;
    char text[8];

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    queue = ap_queue_at(a->seg, queue_of(q, "slow"));
    cr_assert_eq(call("slow", "", 0, text, sizeof text), 0);
    while (ap_load_relaxed(&queue->run_time) == 0) sched_yield(); /* stored after the others */
    cr_expect_geq(ap_load_relaxed(&queue->run_time), A_WHILE);
    apiary_queen_stop(q, LONG);
}

Test(queen, stop_drains_what_is_queued)
{
    apiary_queen_t *q = start();
    apiary_task_t tasks[200];
    apiary_result_t result = {.struct_size = sizeof result};

    for (int i = 0; i < 200; i++) cr_assert_eq(apiary_delegate(a, "count", NULL, 0, NULL, &tasks[i]), 0);
    apiary_queen_stop(q, LONG);
    cr_assert_eq(ap_load_relaxed(&handled), 200);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(apiary_poll(a, tasks[i], &result), 0);
        apiary_release(a, &result);
    }
    cr_assert_eq(apiary_delegate(a, "count", NULL, 0, NULL, &tasks[0]), APIARY_ENOPROVIDER);
}

static void *stop_queen(void *queen)
{
    apiary_queen_stop(queen, LONG);
    return NULL;
}

static void *stop_queen_at_once(void *queen)
{
    stop_at_once(queen);
    return NULL;
}

/* A client that chose an agent just before it was withdrawn: its task is begun when the worker has said that it has nothing, and
 * is finished all the same. */
Test(queen, stop_finishes_what_came_at_the_last_moment)
{
    static const char *const first_caps[] = {"first", NULL}, *const second_caps[] = {"second", NULL};
    static const apiary_agent_description_t two[] = {{.name = "one", .kind = &keep_kind, .capabilities = first_caps},
                                                     {.name = "two", .kind = &keep_kind, .capabilities = second_caps, .worker = 1}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = two,
                                          .agent_count = 2};
    apiary_queen_t *q;
    apiary_task_t early, late;
    apiary_result_t result = {.struct_size = sizeof result};
    const struct ap_swarm *swarm;
    uint32_t queue, capability;
    pthread_t thread;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    queue = queue_of(q, "one");
    capability = (uint32_t)ap_capability_find(a->seg, "first", 5);
    swarm = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    cr_assert_eq(apiary_delegate(a, "second", "x", 1, NULL, &early), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    cr_assert_eq(pthread_create(&thread, NULL, stop_queen, q), 0);
    while (ap_load_acquire(&queen_inside(q)->workers[0].drained) == 0) sched_yield();
    ap_capability_offer(a->seg, capability, queue);
    cr_assert_eq(apiary_delegate(a, "first", "y", 1, NULL, &late), 0);
    ap_capability_withdraw(a->seg, capability, queue);
    while (ap_load_acquire(&kept_count) < 2) sched_yield();
    cr_assert_eq(hand_over(kept[0], "early", 5), 0);
    cr_assert_eq(apiary_await(a, early, LONG, &result), 0);
    cr_assert_eq(result.code, 0);
    apiary_release(a, &result);
    while (AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(a->seg, queue)->life)) != AP_QUEUE_CLOSED) sched_yield();
    cr_assert_eq(AP_SWARM_STATE(ap_load_acquire(&swarm->life)), AP_SWARM_LIVE, "its queues are not for others yet");
    cr_assert_eq(apiary_await(a, late, SECOND / 10, &result), APIARY_ENOTREADY, "it is still in hand");
    cr_assert_eq(hand_over(kept[1], "late", 4), 0);
    cr_assert_eq(apiary_await(a, late, LONG, &result), 0);
    cr_assert_eq(result.code, 0, "%s", apiary_strerror(result.code));
    apiary_release(a, &result);
    pthread_join(thread, NULL);
}

/* A worker that is in a handler when the time to stop is up takes nothing more from its queue, and until it has ended nobody else
 * opens that: two consumers would move its heads back and forth. */
Test(queen, nobody_opens_a_queue_whose_worker_is_in_a_handler)
{
    static const char *const slow_caps[] = {"slow", NULL};
    static const apiary_agent_description_t slow[] = {{.name = "slow", .kind = &block_kind, .capabilities = slow_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = slow,
                                          .agent_count = 1};
    apiary_queen_t *q, *again;
    apiary_task_t tasks[3];
    apiary_result_t result = {.struct_size = sizeof result};
    const struct ap_queue *queue;
    pthread_t thread;

    sem_init(&block_entered, 0, 0);
    sem_init(&block_leave, 0, 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    queue = ap_queue_at(a->seg, queue_of(q, "slow"));
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(a, "slow", "x", 1, NULL, &tasks[i]), 0);
    sem_wait(&block_entered);
    cr_assert_eq(pthread_create(&thread, NULL, stop_queen_at_once, q), 0);
    while (AP_QUEUE_STATE(ap_load_acquire(&queue->life)) != AP_QUEUE_CLOSED) sched_yield();
    cr_expect_eq(apiary_queen_start(a, &d, NULL, 0, &again), APIARY_EEXIST);
    for (int i = 0; i < 3; i++) sem_post(&block_leave);
    pthread_join(thread, NULL);
    cr_assert_eq(ap_load_relaxed(&handled), 1, "it went on after it was told to hold");
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &again), 0);
    cr_assert_eq(ap_queue_at(a->seg, queue_of(again, "slow")), queue);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
        cr_assert_eq(result.code, 0);
        apiary_release(a, &result);
    }
    apiary_queen_stop(again, LONG);
}

static int stop_result;

static void *stop_main(void *q)
{
    stop_result = apiary_queen_stop(q, APIARY_FOREVER);
    return NULL;
}

/* A thread that is cancelled meanwhile stops her all the same: a queen that is half stopped could be stopped by nobody. */
Test(queen, her_stop_is_not_cancelled)
{
    static const char *const slow_caps[] = {"slow", NULL};
    static const apiary_agent_description_t slow[] = {{.name = "sleeper", .kind = &block_kind, .capabilities = slow_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .agents = slow, .agent_count = 1};
    apiary_queen_t *q;
    pthread_t thread;
    void *end;

    sem_init(&block_entered, 0, 0);
    sem_init(&block_leave, 0, 0);
    stop_result = 1;
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_delegate(a, "slow", "x", 1, &(apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t),
                                                                                  .flags = APIARY_DETACH}, NULL), 0);
    sem_wait(&block_entered);
    cr_assert_eq(pthread_create(&thread, NULL, stop_main, q), 0);
    while (ap_load_acquire(&queen_inside(q)->stop) == 0) sched_yield();
    cr_assert_eq(pthread_cancel(thread), 0);
    cr_expect_eq(apiary_queen_stop(q, 0), APIARY_EINVAL, "another thread waits for her");
    sem_post(&block_leave);
    pthread_join(thread, &end);
    cr_expect_eq(end, NULL, "it was not cancelled");
    cr_expect_eq(stop_result, 0);
    cr_expect_eq(apiary_queen_stop(q, 0), APIARY_ESTALE);
}

/* Its time is over, and whoever told it to stop can go on: the agent is named, and nothing is let go of that it still uses. */
Test(queen, stop_does_not_wait_for_ever)
{
    static const char *const slow_caps[] = {"slow", NULL};
    static const apiary_agent_description_t slow[] = {{.name = "sleeper", .kind = &block_kind, .capabilities = slow_caps},
                                                      {.name = "echo", .kind = &echo_kind, .capabilities = echo_caps, .worker = 1}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = slow,
                                          .agent_count = 2, .log = log_line};
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    apiary_queen_t *q;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    sem_init(&block_entered, 0, 0);
    sem_init(&block_leave, 0, 0);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_swarm_status(a, "test", &row, 1), 1);
    cr_expect_eq(row.mode, APIARY_READY);
    cr_assert_eq(apiary_delegate(a, "slow", "x", 1, NULL, &task), 0);
    sem_wait(&block_entered);
    cr_assert_eq(apiary_queen_stop(q, SECOND / 100), APIARY_ETIMEDOUT);
    cr_expect_not_null(strstr(logged(), "sleeper"), "%s", logged());
    cr_assert_eq(apiary_swarm_status(a, "test", &row, 1), 1);
    cr_expect_neq(row.state, APIARY_DOWN);
    cr_expect_eq(row.mode, APIARY_DRAIN, "it is not ready any more");
    cr_assert_eq(apiary_queen_stop(q, 0), APIARY_ETIMEDOUT);
    sem_post(&block_leave);
    stop_at_once(q);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    apiary_release(a, &result);
    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    cr_assert_eq(apiary_swarm_status(a, "test", &row, 1), 1);
    cr_expect_eq(row.mode, APIARY_READY);
    apiary_queen_stop(q, LONG);
}

Test(queen, refusals_say_why)
{
    static const apiary_agent_description_t bad_agents[] = {{.name = "echo", .kind = &echo_kind, .capabilities = echo_caps},
                                                            {.name = "moody", .kind = &refuse_kind, .capabilities = count_caps}};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "bad", .workers = 1, .agents = bad_agents,
                                    .agent_count = 2, .log = log_line};
    apiary_queen_t *q = NULL, *other = NULL;
    apiary_task_t task;
    char message[256];

    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ENOTSUP);
    cr_assert_str_eq(message, "agent moody: the moon is wrong");
    cr_assert_null(q);
    cr_assert_eq(apiary_delegate(a, "echo", NULL, 0, NULL, &task), APIARY_ENOCAP, "all or nothing");
    q = start();
    d = (apiary_swarm_description_t){APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 1, .agents = all_agents,
                                     .agent_count = 1};
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &other), APIARY_EEXIST);
    cr_assert_not_null(strstr(message, "test, instance 0"), "%s", message);
    d.workers = 17;
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &other), APIARY_EINVAL);
    d.workers = 1;
    d.agents = &all_agents[6];
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &other), APIARY_EINVAL);
    cr_assert_not_null(strstr(message, "no worker 1"), "%s", message);
    d.service = "Bad Name";
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &other), APIARY_EINVAL);
    cr_assert_null(other);
    apiary_queen_stop(q, LONG);
}

Test(queen, what_the_machine_lacks_is_named)
{
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "poor", .workers = 1, .agents = all_agents,
                                    .agent_count = 1};
    struct rlimit files, none;
    apiary_queen_t *q = NULL;
    char message[256];
    if (ap_park_forced() == AP_PARK_POLL) cr_skip_test("a worker without a ring needs no descriptor");
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = (struct rlimit){0, files.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_expect_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ESYS);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    cr_expect_str_eq(message, "worker 0: a system call failed: Too many open files");
    setenv("APIARY_PARK", "hammock", 1);
    cr_expect_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_EINVAL);
    cr_expect_str_eq(message, "worker 0: APIARY_PARK is 'hammock'; it may be uring, parker or poll, or unset");
    cr_expect_null(q);
}

/* As where the number of threads is bounded. The size of a stack is what this can make impossible wherever it runs. */
Test(queen, a_thread_that_cannot_be_made_is_told_as_that)
{
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "poor", .workers = 1, .agents = all_agents,
                                    .agent_count = 1};
    apiary_queen_t *q = NULL;
    pthread_attr_t before, huge;
    char message[256];

    cr_assert_eq(pthread_getattr_default_np(&before), 0);
    cr_assert_eq(pthread_attr_init(&huge), 0);
    cr_assert_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 60), 0);
    cr_assert_eq(pthread_setattr_default_np(&huge), 0);
    cr_expect_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ESYS);
    cr_assert_eq(pthread_setattr_default_np(&before), 0);
    cr_expect_not_null(strstr(message, "its thread cannot be made: "), "%s", message);
    cr_expect_null(q);
}

Test(queen, swarm_is_passing_and_beats)
{
    apiary_queen_t *q = start();
    const struct ap_swarm *s = ap_swarm_at(a->seg, queen_inside(q)->registration.swarm);
    uint64_t beat = ap_load_relaxed(&s->beat);

    cr_assert_eq(ap_load_relaxed(&s->state), APIARY_PASSING);
    while (ap_load_relaxed(&s->beat) == beat) sched_yield();
    cr_assert_eq(ap_load_relaxed(&s->state), APIARY_PASSING);
    apiary_queen_stop(q, LONG);
}

/* The signals that this thread's status says are blocked; name: how it is called. */
static uint64_t blocked_of(const char *thread, char thread_name[32])
{
    unsigned long long blocked = 0;
    char path[320], line[256];
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    f = fopen(path, "r");
    thread_name[0] = '\0';
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        sscanf(line, "Name: %31s", thread_name);
        sscanf(line, "SigBlk: %llx", &blocked);
    }
    if (f != NULL) fclose(f);
    return blocked;
}

/* Signals are the program's business: a handler of its own must not run on a thread of the library. */
Test(queen, her_threads_take_no_signals)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGRTMIN + 2};
    apiary_queen_t *q = start();
    DIR *threads = opendir("/proc/self/task");
    struct dirent *entry;
    char thread_name[32];
    int seen = 0;

    for (uint32_t i = 0; i < queen_inside(q)->worker_count; i++) /* parked once: it has what it parks with */
        while (!ap_load_relaxed(&queen_inside(q)->workers[i].parked)) sched_yield();
    cr_assert_not_null(threads);
    while ((entry = readdir(threads)) != NULL) {
        uint64_t blocked = blocked_of(entry->d_name, thread_name);
        if (strncmp(thread_name, "apiary-", 7) != 0) continue;
        seen++;
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            cr_expect((blocked >> (signals[i] - 1) & 1) != 0, "%s takes signal %d", thread_name, signals[i]);
    }
    closedir(threads);
    cr_expect_geq(seen, 3, "hers and those of two workers");
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

/* ---- with death ----------------------------------------------------------------------------------------------- */

static pid_t start_queen_process(void)
{
    int ends[2];
    char byte;
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        apiary_t *own;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (apiary_attach(name, NULL, &own) < 0) _exit(2);
        start_as(own, "victim", NULL);
        if (write(ends[1], "r", 1) != 1) _exit(3);
        for (;;) pause();
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the queen did not start");
    close(ends[0]);
    return child;
}

Test(queen, killed_queen_comes_back_and_nothing_is_lost)
{
    apiary_task_t tasks[64];
    apiary_result_t result = {.struct_size = sizeof result};
    int status;

    for (int round = 0; round < 5; round++) {
        pid_t child = start_queen_process();
        for (int i = 0; i < 64; i++) cr_assert_eq(apiary_delegate(a, i % 2 ? "later" : "thread", "abc", 3, NULL, &tasks[i]), 0);
        cr_assert_eq(apiary_await(a, tasks[0], LONG, &result), 0);
        apiary_release(a, &result);
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
        child = start_queen_process();
        for (int i = 1; i < 64; i++) {
            cr_assert_eq(apiary_await(a, tasks[i], LONG, &result), 0);
            cr_assert_eq(result.code, 0, "%s", apiary_error_name(result.code));
            cr_assert_leq(result.attempts, 2);
            apiary_release(a, &result);
        }
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
    }
}
