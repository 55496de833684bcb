/* The words of the loop. Run once for each way of parking ($APIARY_PARK); without it, the best of this machine. */
#include <criterion/criterion.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/loop_inside.h"
#include "shm/bell.h"

enum { WORDS = 200 }; /* more than futex_waitv takes */

static struct ap_loop *loop;
static uint32_t bell, bells[WORDS]; /* outlive the loop, as its contract asks */

static void setup(void)
{
    cr_assert_eq(ap_loop_create(&ap_ops_system, WORDS, &loop), 0);
}

static void teardown(void)
{
    ap_loop_destroy(loop);
}

static void park_on(const uint32_t *word, uint32_t value, uint64_t until)
{
    ap_loop_word(loop, 0, word, value, false);
    ap_loop_park(loop, until);
}

static void count_event(void *user, uint32_t events)
{
    ++*(int *)user;
    cr_expect_eq(events, POLLIN);
}

TestSuite(loop_words, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

struct ringer {
    uint32_t *bell;
    uint32_t *rounds, *seen;
    uint32_t count;
};

/* Rings once for every round that the sleeper has acknowledged. */
static void *ring(void *arg)
{
    struct ringer *r = arg;

    for (uint32_t i = 1; i <= r->count; i++) {
        while (ap_load_acquire(r->seen) != i - 1) sched_yield();
        ap_store_release(r->rounds, i);
        ap_bell_ring(&ap_ops_system, r->bell);
    }
    return NULL;
}

static void sleep_for_rounds(uint32_t *word, uint32_t *rounds, uint32_t *seen, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        while (ap_load_acquire(rounds) != i) {
            uint32_t value = ap_bell_raise(word);
            if (ap_load_acquire(rounds) == i) break;
            park_on(word, value, UINT64_MAX);
        }
        ap_store_release(seen, i);
    }
}

Test(loop_words, bell_wakes_every_time)
{
    uint32_t rounds = 0, seen = 0;
    struct ringer r = {&bell, &rounds, &seen, 2000};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, ring, &r), 0);
    sleep_for_rounds(&bell, &rounds, &seen, r.count);
    pthread_join(thread, NULL);
}

Test(loop_words, bell_wakes_from_another_process)
{
    uint32_t *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct ringer r = {&words[0], &words[1], &words[2], 200};
    int status;
    pid_t child;

    cr_assert_neq(words, MAP_FAILED);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        ring(&r);
        _exit(0);
    }
    sleep_for_rounds(&words[0], &words[1], &words[2], r.count);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

/* One of many: the first, the last, those about which futex_waitv has no more room. */
static void one_of_many(uint32_t number)
{
    uint32_t rounds = 0, seen = 0;
    struct ringer r = {&bells[number], &rounds, &seen, 3};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, ring, &r), 0);
    for (uint32_t i = 1; i <= r.count; i++) {
        while (ap_load_acquire(&rounds) != i) {
            uint32_t value = ap_bell_raise(&bells[number]);
            for (uint32_t k = 0; k < WORDS; k++) ap_loop_word(loop, k, &bells[k], k == number ? value : bells[k], false);
            if (ap_load_acquire(&rounds) == i) break;
            ap_loop_park(loop, UINT64_MAX);
        }
        ap_store_release(&seen, i);
    }
    pthread_join(thread, NULL);
}

static const uint32_t some[] = {0, 1, 126, 127, WORDS - 1};

Test(loop_words, many_words_are_waited_for)
{
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) one_of_many(some[i]);
}

Test(loop_words, many_words_are_waited_for_beside_descriptors)
{
    int ends[2], events = 0;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, count_event, &events, NULL), 0);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) one_of_many(some[i]);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    while (events == 0) ap_loop_park(loop, UINT64_MAX);
}

/* As on kernels before 5.16, or under a filter. */
Test(loop_words, without_futex_waitv_a_thread_waits_for_the_first_word)
{
    if (loop->park == AP_PARK_URING) cr_skip_test("the ring waits for words");
    loop->waitv = false;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) one_of_many(some[i]);
    /* Who rings may always have been quicker than the park. */
    for (int i = 0; i < 10000 && !loop->bell_thread.started; i++) one_of_many(some[0]);
    cr_expect(loop->bell_thread.started);
}

/* Where words are all that it waits for it needs neither thread nor event. */
Test(loop_words, words_alone_need_no_descriptor)
{
    uint32_t rounds = 0, seen = 0;
    struct ringer r = {&bell, &rounds, &seen, 20};
    pthread_t thread;

    if (!loop->waitv) cr_skip_test("no futex_waitv here");
    cr_assert_eq(pthread_create(&thread, NULL, ring, &r), 0);
    sleep_for_rounds(&bell, &rounds, &seen, r.count);
    pthread_join(thread, NULL);
    cr_expect_not(loop->bell_thread.started);
    cr_expect_lt(loop->event_fd, 0);
}

struct fellow {
    uint32_t *word;
    uint32_t woken;
};

static void *wait_beside(void *arg)
{
    struct fellow *f = arg;

    while (ap_load_acquire(f->word) == 0) ap_ops_system.futex_wait(f->word, 0, UINT64_MAX);
    ap_store_release(&f->woken, 1);
    return NULL;
}

/* The kernel wakes one waiter at a death. Whichever it is, all learn of it. */
Test(loop_words, what_has_changed_is_passed_on)
{
    for (int i = 0; i < 20; i++) {
        struct fellow f = {&bells[i], 0};
        pthread_t thread;

        ap_loop_word(loop, (uint32_t)i, &bells[i], 0, true);
        ap_loop_park(loop, ap_ops_system.now() + 1000);
        cr_assert(ap_loop_word_stands(loop, (uint32_t)i));
        cr_assert_eq(pthread_create(&thread, NULL, wait_beside, &f), 0);
        ap_store_release(&bells[i], 1);
        ap_ops_system.futex_wake(&bells[i], 1);
        while (ap_load_acquire(&f.woken) == 0) {
            ap_loop_park(loop, ap_ops_system.now() + 1000000);
            /* Before the fellow slept, nobody could wake it. */
            ap_ops_system.futex_wake(&bells[i], 1);
        }
        pthread_join(thread, NULL);
        while (ap_loop_word_stands(loop, (uint32_t)i)) ap_loop_park(loop, ap_ops_system.now() + 1000000);
    }
}
