/* A thread that waits for a change is cancelled: it is gone, and the watch goes on where it was. */
#include "tests/unit/memory_fixture.h"

TestSuite(memory_watch_wait, .init = memory_setup, .fini = memory_teardown, .timeout = 120);

static apiary_memory_watch_t *w;
static apiary_memory_change_t told;

static int next(uint64_t timeout)
{
    told = (apiary_memory_change_t){.struct_size = sizeof told};
    return apiary_memory_next_change(w, timeout, &told);
}

static void *waiter_main(void *arg)
{
    (void)arg;
    (void)!next(APIARY_FOREVER);
    return NULL;
}

static void until_parked(void)
{
    while ((ap_load_relaxed(&ap_draft_at(client->seg, 0)->bell) & 1) == 0) sched_yield();
}

Test(memory_watch_wait, a_thread_that_waits_can_be_cancelled)
{
    pthread_t thread;
    void *end;

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("it does not know of frames that a cancelled thread leaves from the signal's handler");
#endif
    cr_assert_eq(apiary_memory_watch(m, "k", 0, &w), 0);
    cr_assert_eq(next(0), 1);
    cr_assert_eq(told.event, APIARY_MEMORY_SYNCED);
    for (int i = 0; i < 80; i++) { /* more often than there are lanes */
        cr_assert_eq(pthread_create(&thread, NULL, waiter_main, NULL), 0);
        if (i % 2 == 0) until_parked();
        cr_assert_eq(pthread_cancel(thread), 0);
        pthread_join(thread, &end);
        cr_assert_eq(end, PTHREAD_CANCELED);
        cr_assert_eq(next(0), 0);
    }
    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(next(0), 1);
    cr_expect_eq(told.event, APIARY_MEMORY_PUT);
    cr_expect_str_eq(told.key, "k");
    apiary_memory_unwatch(w);
}
