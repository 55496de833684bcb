/* Tasks from the client's side: delegate, await, poll, await_any, cancel, limits, deadlines, the two ways to be full. */
#include "registry_fixture.h"

TestSuite(task, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static apiary_task_t delegate(const char *capability, const void *body, size_t size)
{
    apiary_task_t task = {0};
    int r = apiary_delegate(client, capability, body, size, NULL, &task);

    cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    return task;
}

static void assert_result(apiary_task_t task, const void *data, size_t size)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_await(client, task, APIARY_FOREVER, &result);

    cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    cr_assert_eq(result.code, 0);
    cr_assert_eq(result.size, size);
    cr_assert_eq(memcmp(result.data, data, size), 0);
    cr_assert_eq(result.attempts, 1);
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert(result.data == NULL);
}

static void assert_empty(void)
{
    cr_assert_eq(slots_in_use(), 0);
    cr_assert_eq(blocks_in_use(), 0);
    cr_assert_eq(busy_tickets(), 0);
    assert_sound();
}

Test(task, echo_of_every_size)
{
    static char body[1 << 20], result[1 << 20];
    const size_t sizes[] = {0, 1, 63, 64, 65, 255, 256, 257, 4096, 70000, 1 << 20};
    struct worker w;
    size_t size;

    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(i * 7 + i / 256);
    worker_start(&w, "echo");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_result(delegate("echo", body, sizes[i]), body, sizes[i]);
        cr_assert_eq(apiary_call(client, "echo", body, sizes[i], NULL, result, sizeof result, &size), 0);
        cr_assert_eq(size, sizes[i]);
        cr_assert_eq(memcmp(result, body, size), 0);
    }
    assert_empty();
    worker_stop(&w);
}

Test(task, ten_thousand_in_turn_leave_nothing)
{
    struct worker w;

    worker_start(&w, "echo");
    for (uint32_t i = 0; i < 10000; i++) assert_result(delegate("echo", &i, sizeof i), &i, sizeof i);
    cr_assert_eq(ap_load_acquire(&w.runs), 10000);
    assert_empty();
    worker_stop(&w);
}

Test(task, errors_of_delegate)
{
    struct worker w;
    apiary_task_t task = {.slot = 77};
    const apiary_delegate_options_t unknown = {.struct_size = sizeof unknown, .flags = 0x80};
    char *big = calloc(1, (1 << 20) + 1);

    worker_start(&w, "echo");
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(client, "No Name!", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(client, "", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate(client, NULL, "x", 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", NULL, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &unknown, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(NULL, "echo", "x", 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", big, (1 << 20) + 1, NULL, &task), APIARY_ETOOLARGE);
    cr_expect_eq(task.slot, 77);
    worker_stop(&w);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_ENOPROVIDER);
    assert_empty();
    free(big);
}

/* What a thread has looked up is known by its place; what stands there now is what counts. */
Test(task, another_name_in_the_same_place)
{
    char name[APIARY_CAPABILITY_MAX + 2] = "echo";
    struct worker w;
    apiary_task_t task;
    apiary_result_t r = {.struct_size = sizeof r};

    worker_start(&w, "echo");
    for (int i = 0; i < 2; i++) {
        strcpy(name, "echo");
        cr_assert_eq(apiary_delegate(client, name, "x", 1, NULL, &task), 0);
        cr_assert_eq(apiary_await(client, task, 10 * SECOND, &r), 0);
        cr_assert_eq(apiary_release(client, &r), 0);
        strcpy(name, "ech");
        cr_assert_eq(apiary_delegate(client, name, "x", 1, NULL, &task), APIARY_ENOCAP);
        strcpy(name, "echoes");
        cr_assert_eq(apiary_delegate(client, name, "x", 1, NULL, &task), APIARY_ENOCAP);
        memset(name, 'e', sizeof name); /* without an end, for all that it may look at */
        cr_assert_eq(apiary_delegate(client, name, "x", 1, NULL, &task), APIARY_ENOCAP);
    }
    worker_stop(&w);
}

Test(task, no_block_for_the_body)
{
    struct worker w;
    apiary_task_t task, first;
    const char *capabilities[] = {"echo", NULL};
    static char big[300000];

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    first = delegate("echo", big, sizeof big); /* there are two blocks of 1 MiB, one is enough for the test */
    cr_assert_eq(apiary_delegate(client, "echo", big, sizeof big, NULL, &task), 0);
    cr_assert_eq(apiary_delegate(client, "echo", big, sizeof big, NULL, &task), APIARY_ENOBLOCK);
    cr_assert_eq(busy_tickets(), 2);
    cr_assert_eq(slots_in_use(), 2);
    cr_assert_eq(apiary_cancel(client, first), 0);
    ap_give_up(client, first);
    cr_assert_eq(apiary_delegate(client, "echo", big, sizeof big, NULL, &first), 0);
    worker_stop(&w);
}

Test(task, a_failed_task_is_a_result)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    char text[64];
    size_t size;

    worker_start(&w, "echo");
    ap_store_release(&w.work, FAIL);
    cr_assert_eq(apiary_await(client, delegate("echo", "why", 3), APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.code, APIARY_EAGENT);
    cr_assert_eq(result.agent_code, 7);
    cr_assert_eq(result.size, 3);
    cr_assert_eq(memcmp(result.data, "why", 3), 0);
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert_eq(apiary_call(client, "echo", "again", 5, NULL, text, 2, &size), APIARY_EAGENT);
    cr_assert_eq(size, 5);
    cr_assert_eq(memcmp(text, "ag", 2), 0);
    assert_empty();
    worker_stop(&w);
}

Test(task, a_result_is_taken_once)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result}, twice = {.struct_size = sizeof twice};
    apiary_task_t task, wrong;

    worker_start(&w, "echo");
    task = delegate("echo", "x", 1);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    twice = result;
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert_eq(apiary_release(client, &twice), APIARY_ESTALE);
    cr_assert_eq(apiary_poll(client, task, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_cancel(client, task), APIARY_ESTALE);
    wrong = task;
    wrong.slot = UINT32_MAX;
    cr_assert_eq(apiary_await(client, wrong, APIARY_FOREVER, &result), APIARY_ESTALE);
    wrong = task;
    wrong.epoch++;
    cr_assert_eq(apiary_poll(client, wrong, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_await(client, task, 0, NULL), APIARY_EINVAL);
    assert_empty();
    worker_stop(&w);
}

Test(task, a_corrupt_result_is_an_error)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    struct ap_slot *slot;

    worker_start(&w, "echo");
    task = delegate("echo", "x", 1);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    slot = ap_slot_at(client->seg, task.slot);
    ap_store_relaxed(&slot->result, client->seg->size - 1);
    cr_assert_eq(apiary_poll(client, task, &result), APIARY_ECORRUPT);
    ap_store_relaxed(&slot->result, 0);
    ap_store_relaxed(&slot->result_size, 1000);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ECORRUPT);
    ap_store_relaxed(&slot->result_size, 1);
    cr_assert_eq(apiary_poll(client, task, &result), 0);
    apiary_release(client, &result);
    worker_stop(&w);
}

Test(task, poll_and_await_for_a_time)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result, .size = 99};
    apiary_task_t task;

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    task = delegate("echo", "x", 1);
    sem_wait(&w.took);
    cr_assert_eq(apiary_poll(client, task, &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_await(client, task, 0, &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_await(client, task, 15 * MS, &result), APIARY_ENOTREADY);
    cr_assert_eq(result.size, 99, "outputs are untouched on failure");
    sem_post(&w.go);
    assert_result(task, "x", 1);
    assert_empty();
    worker_stop(&w);
}

static uint32_t signals_seen;

static void on_signal(int number)
{
    (void)number;
    ap_add_relaxed(&signals_seen, 1);
}

/* Signals the thread five times while it sleeps, then lets the worker finish. */
static void *interrupt(void *arg)
{
    struct worker *w = ((void **)arg)[0];
    const pthread_t *waiter = ((void **)arg)[1];
    const struct ap_lane *lane = ((void **)arg)[2];

    for (uint32_t i = 0; i < 5; i++) {
        while ((ap_load_acquire(&lane->bell) & 1) == 0) sched_yield();
        pthread_kill(*waiter, SIGUSR1);
        while (ap_load_acquire(&signals_seen) == i) sched_yield();
    }
    sem_post(&w->go);
    return NULL;
}

Test(task, a_signal_does_not_end_the_wait)
{
    const struct sigaction act = {.sa_handler = on_signal}; /* no SA_RESTART */
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    pthread_t thread, waiter = pthread_self();
    void *arg[] = {&w, &waiter, NULL};

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    task = delegate("echo", "x", 1);
    sem_wait(&w.took);
    arg[2] = ap_context_here(client)->lane.lane;
    cr_assert_eq(sigaction(SIGUSR1, &act, NULL), 0);
    cr_assert_eq(pthread_create(&thread, NULL, interrupt, arg), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_expect_eq(ap_load_acquire(&signals_seen), 5);
    apiary_release(client, &result);
    pthread_join(thread, NULL);
    ap_store_release(&w.hold, 0);
    worker_stop(&w);
}

Test(task, deadline_of_a_queued_task)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 5 * MS};
    const char *capabilities[] = {"echo", NULL};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &soon, &task), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ETIMEDOUT);
    cr_assert_eq(apiary_poll(client, task, &result), APIARY_ESTALE);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, APIARY_TIMEOUT(5 * MS), NULL, 0, NULL), APIARY_ETIMEDOUT);
    assert_empty();
    worker_go(&w); /* what is left in the ring is stale */
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    cr_assert_eq(ap_load_acquire(&w.runs), 1);
    worker_stop(&w);
}

Test(task, deadline_of_a_running_task)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 5 * MS};

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &soon, &task), 0);
    sem_wait(&w.took);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ETIMEDOUT);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ESTALE);
    cr_assert_eq(slots_in_use(), 1);
    cr_assert_eq(busy_tickets(), 1);
    ap_store_release(&w.hold, 0);
    sem_post(&w.go);
    /* The slab's lane frees it in passing: at the latest when its turn has come round. */
    for (int i = 0; i < 64; i++) assert_result(delegate("echo", "y", 1), "y", 1);
    assert_empty();
    worker_stop(&w);
}

Test(task, await_any_gives_the_finished_one)
{
    struct worker w, other;
    const char *held[] = {"held", NULL};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t tasks[3];

    worker_start(&w, "echo");
    cr_assert_eq(worker_register(&other, "other", NULL, "agent", held), 0);
    tasks[0] = delegate("held", "a", 1);
    tasks[1] = delegate("held", "b", 1);
    tasks[2] = delegate("echo", "c", 1);
    cr_assert_eq(apiary_await_any(client, tasks, 3, APIARY_FOREVER, &result), 2);
    cr_assert_eq(memcmp(result.data, "c", 1), 0);
    apiary_release(client, &result);
    cr_assert_eq(apiary_await_any(client, tasks, 2, 12 * MS, &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_await_any(client, tasks, 0, 0, &result), APIARY_EINVAL);
    worker_go(&other);
    for (int i = 0; i < 2; i++) {
        int at = apiary_await_any(client, tasks, (size_t)(2 - i), APIARY_FOREVER, &result);
        cr_assert(at >= 0 && at < 2 - i);
        apiary_release(client, &result);
        if (at == 0) tasks[0] = tasks[1];
    }
    cr_assert_eq(apiary_await_any(client, tasks, 1, APIARY_FOREVER, &result), APIARY_ESTALE);
    assert_empty();
    worker_stop(&other);
    worker_stop(&w);
}

Test(task, await_any_names_the_one_that_timed_out)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t tasks[2];
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 5 * MS};
    const char *capabilities[] = {"echo", NULL};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    tasks[0] = delegate("echo", "x", 1);
    cr_assert_eq(apiary_delegate(client, "echo", "y", 1, &soon, &tasks[1]), 0);
    cr_assert_eq(apiary_await_any(client, tasks, 2, APIARY_FOREVER, &result), 1);
    cr_assert_eq(result.code, APIARY_ETIMEDOUT);
    cr_assert_eq(apiary_release(client, &result), 0);
    ap_give_up(client, tasks[0]);
    assert_empty();
    worker_stop(&w);
}

Test(task, cancel)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t queued, running;
    uint64_t request;

    worker_start(&w, "echo");
    ap_store_release(&w.hold, 1);
    running = delegate("echo", "r", 1);
    sem_wait(&w.took);
    queued = delegate("echo", "q", 1);
    cr_assert_eq(apiary_cancel(client, queued), 0);
    cr_assert_eq(apiary_cancel(client, queued), 0);
    cr_assert_eq(apiary_await(client, queued, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.code, APIARY_ECANCELLED);
    cr_assert_eq(result.size, 0);
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert_eq(apiary_cancel(client, queued), APIARY_ESTALE);
    cr_assert_eq(apiary_cancel(client, running), 0);
    request = ap_load_acquire(&ap_slot_at(client->seg, running.slot)->request);
    cr_assert_eq(AP_REQUEST_BITS(request), AP_REQUEST_CANCEL);
    ap_store_release(&w.hold, 0);
    sem_post(&w.go);
    assert_result(running, "r", 1); /* this agent does not look */
    cr_assert_eq(ap_load_acquire(&w.runs), 1);
    assert_empty();
    worker_stop(&w);
}

Test(task, detached_tasks_free_themselves)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};

    worker_start(&w, "echo");
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &detach, &task), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), APIARY_ESTALE);
    /* The limit is 5, so each finished one must have been freed. */
    for (int i = 0; i < 500; i++) {
        int r;
        do r = apiary_delegate(client, "echo", "x", 1, &detach, NULL);
        while (r == APIARY_ELIMIT || r == APIARY_EQUEUEFULL);
        cr_assert_eq(r, 0, "%s", apiary_strerror(r));
    }
    while (ap_load_acquire(&w.runs) < 501) sched_yield();
    ap_tidy(ap_context_here(client));
    while (slots_in_use() > 0) ap_tidy(ap_context_here(client));
    assert_empty();
    worker_stop(&w);
}

static void *detach_one(void *arg)
{
    const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};

    for (int i = 0; i < 5; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &detach, NULL), 0);
    sem_post(arg);
    sem_wait((sem_t *)arg + 1);
    return NULL;
}

Test(task, tickets_of_another_idle_lane_come_back)
{
    struct worker w;
    pthread_t thread;
    sem_t sems[2];

    worker_start(&w, "echo");
    sem_init(&sems[0], 0, 0);
    sem_init(&sems[1], 0, 0);
    pthread_create(&thread, NULL, detach_one, sems);
    sem_wait(&sems[0]);
    while (ap_load_acquire(&w.runs) < 5) sched_yield();
    /* That thread's lane holds all five tickets and does nothing; its tasks are finished. */
    while (apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL) == APIARY_ELIMIT) sched_yield();
    sem_post(&sems[1]);
    pthread_join(thread, NULL);
    assert_empty();
    worker_stop(&w);
}

Test(task, the_bulkhead)
{
    struct worker w;
    apiary_task_t tasks[6];
    apiary_t *second = attach_as("caller"), *free_caller = attach_as(NULL);
    const char *capabilities[] = {"echo", NULL};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    for (int i = 0; i < 4; i++) tasks[i] = delegate("echo", "x", 1);
    cr_assert_eq(apiary_delegate(second, "echo", "x", 1, NULL, &tasks[4]), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[5]), APIARY_ELIMIT);
    cr_assert_eq(apiary_delegate(second, "echo", "x", 1, NULL, &tasks[5]), APIARY_ELIMIT);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(apiary_delegate(free_caller, "echo", "x", 1, NULL, &tasks[5]), 0, "no service, no bulkhead");
    worker_go(&w);
    for (int i = 0; i < 4; i++) assert_result(tasks[i], "x", 1);
    cr_assert_eq(busy_tickets(), 1);
    /* The tickets that the client keeps idle are there for the other member of its service. */
    for (int i = 0; i < 4; i++) cr_assert_eq(apiary_delegate(second, "echo", "x", 1, NULL, &tasks[i]), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[5]), APIARY_ELIMIT);
    apiary_detach(second);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    apiary_detach(free_caller);
    worker_stop(&w);
}

Test(task, a_full_queue)
{
    struct worker w;
    apiary_task_t tasks[64];
    uint32_t n = 0;
    int r = 0;
    apiary_t *free_caller = attach_as(NULL);
    const char *capabilities[] = {"echo", NULL};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", capabilities), 0);
    while (n < 64 && (r = apiary_delegate(free_caller, "echo", "x", 1, NULL, &tasks[n])) == 0) n++;
    cr_assert_eq(r, APIARY_EQUEUEFULL);
    cr_assert_eq(n, 8, "the depth of an inlet");
    cr_assert_eq(slots_in_use(), 8);
    worker_go(&w);
    for (uint32_t i = 0; i < n; i++) {
        apiary_result_t result = {.struct_size = sizeof result};
        cr_assert_eq(apiary_await(free_caller, tasks[i], APIARY_FOREVER, &result), 0);
        apiary_release(free_caller, &result);
    }
    cr_assert_eq(apiary_call(free_caller, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    apiary_detach(free_caller);
    worker_stop(&w);
}

Test(task, a_full_queue_sends_on_to_another_provider)
{
    struct worker w[2];
    apiary_task_t task;
    apiary_t *free_caller = attach_as(NULL);
    const char *capabilities[] = {"echo", NULL};
    int n = 0;

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", capabilities), 0);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", capabilities), 0);
    /* The second looks busy, so the balancer prefers the first until that is full. */
    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 200);
    while (apiary_delegate(free_caller, "echo", "x", 1, NULL, &task) == 0) n++;
    cr_assert_eq(n, 16);
    apiary_detach(free_caller);
    worker_stop(&w[0]);
    worker_stop(&w[1]);
}

Test(task, the_table_is_full)
{
    struct worker w;
    apiary_t *free_caller = attach_as(NULL);
    apiary_task_t task;
    uint32_t n = 0;
    int r;

    worker_start(&w, "echo");
    do {
        r = apiary_delegate(free_caller, "echo", "x", 1, NULL, &task); /* never collected */
        if (r == 0) n++;
    } while (r == 0 || r == APIARY_EQUEUEFULL);
    cr_assert_eq(r, APIARY_ENOSLOT);
    cr_assert_eq(n, 256);
    apiary_detach(free_caller);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    worker_stop(&w);
}
