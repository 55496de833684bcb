/* Threads of one handle: many callers, and tasks collected by others than their callers. */
#include "registry_fixture.h"

TestSuite(threads, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

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
        do r = apiary_call(client, "echo", body, size, 0, result, sizeof result, &got);
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
        apiary_result_t result;
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
