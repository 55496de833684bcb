/* Threads of one handle: many callers, and tasks collected by others than their callers. */
#include "registry_fixture.h"

TestSuite(threads, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static void assert_empty(void)
{
    cr_assert_eq(slots_in_use(), 0);
    cr_assert_eq(blocks_in_use(), 0);
    cr_assert_eq(busy_tickets(), 0);
    assert_sound();
}

static void *many_calls(void *arg)
{
    uint32_t number = *(uint32_t *)arg;
    static const uint32_t sizes[] = {4, 60, 65, 900, 5000};
    char body[5000], result[5000];

    for (uint32_t i = 0; i < 400; i++) {
        uint32_t size = sizes[(i + number) % 5];
        size_t got = 0;
        int r;

        memset(body, (int)('a' + number), size);
        do r = apiary_call(client, "echo", body, size, NULL, result, sizeof result, &got);
        while (r == APIARY_ELIMIT || r == APIARY_ENOBLOCK || r == APIARY_EQUEUEFULL);
        if (r != 0 || got != size || memcmp(result, body, size) != 0) return (void *)apiary_strerror(r);
    }
    return NULL;
}

Test(threads, threads_of_one_handle)
{
    struct worker w;
    pthread_t threads[4];
    uint32_t numbers[4];

    one_mapping = true;
    worker_start(&w, "echo");
    for (uint32_t i = 0; i < 4; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, many_calls, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        cr_assert(wrong == NULL, "%s", (const char *)wrong);
    }
    cr_assert_geq(ap_load_acquire(&w.runs), 1600);
    worker_stop(&w);
    assert_empty();
    cr_assert_eq(lanes_live(client->seg), 1);
}

struct handed {
    pthread_mutex_t lock;
    apiary_task_t tasks[64];
    uint32_t first, last;
    uint32_t stop;
};

static void *await_what_is_handed(void *arg)
{
    struct handed *h = arg;

    for (;;) {
        apiary_task_t task;
        apiary_result_t result = {.struct_size = sizeof result};
        bool stop = ap_load_acquire(&h->stop), some;

        pthread_mutex_lock(&h->lock);
        some = h->first != h->last;
        if (some) task = h->tasks[h->first++ % 64];
        pthread_mutex_unlock(&h->lock);
        if (!some && stop) return NULL;
        if (!some) {
            sched_yield();
            continue;
        }
        cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
        cr_assert_eq(result.code, 0);
        cr_assert_eq(apiary_release(client, &result), 0);
    }
}

/* One thread submits, two others collect: tasks are bound to no thread. */
Test(threads, collected_by_other_threads)
{
    static struct handed h = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;
    pthread_t threads[2];

    one_mapping = true;
    worker_start(&w, "echo");
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, await_what_is_handed, &h), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        apiary_task_t task;
        int r;

        do r = apiary_delegate(client, "echo", &i, sizeof i, NULL, &task);
        while (r == APIARY_ELIMIT || r == APIARY_EQUEUEFULL);
        cr_assert_eq(r, 0, "%s", apiary_strerror(r));
        pthread_mutex_lock(&h.lock);
        h.tasks[h.last++ % 64] = task; /* at most 5 are open */
        pthread_mutex_unlock(&h.lock);
    }
    ap_store_release(&h.stop, 1);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    worker_stop(&w);
    assert_empty();
}

/* ---- waits that end before their task does --------------------------------------------------------------------- */

struct wait {
    apiary_task_t task;
    bool call;
    int result;
    uint32_t begun, ended;
};

static void *wait_for_it(void *arg)
{
    struct wait *w = arg;
    apiary_result_t result = {.struct_size = sizeof result};
    size_t size;

    ap_store_release(&w->begun, 1);
    if (w->call)
        w->result = apiary_call(client, "echo", "x", 1, APIARY_TIMEOUT(APIARY_FOREVER), NULL, 0, &size);
    else
        w->result = apiary_await(client, w->task, APIARY_FOREVER, &result);
    ap_store_release(&w->ended, 1);
    return NULL;
}

/* Returns when a worker has the task in hand, where it stays until worker->go. */
static pthread_t begin(struct worker *worker, struct wait *w, bool call)
{
    pthread_t thread;

    *w = (struct wait){.call = call};
    if (!call) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &w->task), 0);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, w), 0);
    while (!ap_load_acquire(&w->begun)) sched_yield();
    sem_wait(&worker->took);
    return thread;
}

/* A task that was awaited is there for the next who does; that of a call is nobody's. */
static void wait_is_over(struct worker *worker, struct wait *w)
{
    apiary_result_t result = {.struct_size = sizeof result};

    if (!w->call) cr_assert_eq(apiary_await(client, w->task, 0, &result), APIARY_ENOTREADY);
    sem_post(&worker->go);
    if (w->call) return;
    cr_assert_eq(apiary_await(client, w->task, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.code, 0);
    cr_assert_eq(apiary_release(client, &result), 0);
}

static void start_slow(struct worker *worker)
{
    worker_start(worker, "echo");
    ap_store_release(&worker->hold, 1);
}

Test(threads, waits_are_interrupted_by_another_thread)
{
    struct worker worker;
    struct wait w;

    start_slow(&worker);
    for (int i = 0; i < 40; i++) {
        pthread_t thread = begin(&worker, &w, i % 2 != 0);

        while (!ap_load_acquire(&w.ended)) {
            cr_assert_eq(apiary_interrupt(client), 0);
            sched_yield();
        }
        pthread_join(thread, NULL);
        cr_assert_eq(w.result, APIARY_EINTERRUPTED);
        wait_is_over(&worker, &w);
    }
    /* What is past does not end a wait that begins now. */
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &w.task), 0);
    sem_wait(&worker.took);
    cr_assert_eq(apiary_interrupt(client), 0);
    cr_assert_eq(apiary_await(client, w.task, 20000000, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)}),
                 APIARY_ENOTREADY);
    w.call = false;
    wait_is_over(&worker, &w);
    worker_stop(&worker);
}

/* More often than there are lanes: each thread has given its own back. */
Test(threads, a_thread_that_waits_can_be_cancelled)
{
    struct worker worker;
    struct wait w;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of frames that a cancelled thread leaves from the signal's handler");
#endif
    start_slow(&worker);
    for (int i = 0; i < 80; i++) {
        pthread_t thread = begin(&worker, &w, i % 2 != 0);
        void *end;

        cr_assert_eq(pthread_cancel(thread), 0);
        cr_assert_eq(pthread_join(thread, &end), 0);
        cr_assert_eq(end, PTHREAD_CANCELED);
        cr_assert_eq(ap_load_acquire(&w.ended), 0);
        wait_is_over(&worker, &w);
    }
    worker_stop(&worker);
}
