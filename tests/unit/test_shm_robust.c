/* The private copies of glibc's list of held robust mutexes: right in whatever order is locked and unlocked. */
#include "shm_fixture.h"

#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "tests/support/inject.h"

TestSuite(robust, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define MANY 5
static pthread_mutex_t *locks[48];

static void make_locks(unsigned n)
{
    pthread_mutex_t *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(at, MAP_FAILED);
    for (unsigned i = 0; i < n; i++) {
        locks[i] = &at[i];
        cr_assert_eq(ap_robust_init(locks[i]), 0);
    }
}

static bool held(unsigned i)
{
    return (*ap_robust_word(locks[i]) & FUTEX_TID_MASK) == (uint32_t)gettid();
}

/* By glibc itself, which needs no repair where the list is as it was said to be. */
static void unlock(unsigned i)
{
    long before = inject_count().unlocked;

    ap_robust_unlock(locks[i]);
    cr_expect_eq(inject_count().unlocked - before, 1, "lock %u was taken out by hand", i);
    cr_expect_eq(*ap_robust_word(locks[i]), 0);
}

static void permute(unsigned *order, unsigned from)
{
    if (from == MANY) {
        long before = inject_count().unlocked;

        for (unsigned i = 0; i < MANY; i++) cr_assert_eq(ap_robust_trylock(locks[i]), 0);
        for (unsigned i = 0; i < MANY; i++) ap_robust_unlock(locks[order[i]]);
        cr_expect_eq(inject_count().unlocked - before, MANY, "some were taken out by hand");
        return;
    }
    for (unsigned i = from; i < MANY; i++) {
        unsigned first = order[from];

        order[from] = order[i];
        order[i] = first;
        permute(order, from + 1);
        order[i] = order[from];
        order[from] = first;
    }
}

Test(robust, every_order)
{
    unsigned order[MANY];

    make_locks(MANY);
    for (unsigned i = 0; i < MANY; i++) order[i] = i;
    permute(order, 0);
}

/* Locked again between unlocks: three are held, a fourth is locked, and one of the four goes, wherever it stands. */
Test(robust, locked_between_unlocks)
{
    unsigned list[4] = {0, 1, 2}, next;

    make_locks(MANY);
    for (unsigned i = 0; i < 3; i++) cr_assert_eq(ap_robust_trylock(locks[i]), 0);
    for (unsigned round = 0; round < 60; round++) {
        unsigned at = round * 7 / 3 % 4;

        for (next = round % MANY; held(next);) next = (next + 1) % MANY;
        list[3] = next;
        cr_assert_eq(ap_robust_trylock(locks[next]), 0);
        for (unsigned i = 0; i < 4; i++) cr_expect_eq(ap_robust_trylock(locks[list[i]]), -EBUSY, "held already");
        unlock(list[at]);
        memmove(&list[at], &list[at + 1], (3 - at) * sizeof list[0]);
    }
}

/* Unlocks one whose pointers are forged: without glibc, which would follow them. */
static void unlock_by_hand(unsigned i, bool waiters)
{
    struct inject_count was = inject_count(), now;
    uint32_t *word = (uint32_t *)ap_robust_word(locks[i]);

    if (waiters) *word |= FUTEX_WAITERS;
    ap_robust_unlock(locks[i]);
    now = inject_count();
    cr_expect_eq(now.unlocked, was.unlocked);
    cr_expect_eq(now.futexes - was.futexes, waiters, "who waits is woken");
    cr_expect_eq(*word, 0);
}

/* What was forged is out of the list, and its neighbours are as if it had never been in: they need no hand. */
Test(robust, a_forged_pointer_spoils_its_own_lock_only)
{
    make_locks(MANY);
    for (unsigned forged = 0; forged < 2 * MANY; forged++) {
        unsigned k = forged % MANY;
        void **pointer = forged < MANY ? (void **)&locks[k]->__data.__list.__next : (void **)&locks[k]->__data.__list.__prev;

        for (unsigned i = 0; i < MANY; i++) cr_assert_eq(ap_robust_trylock(locks[i]), 0);
        *pointer = &forged;
        unlock_by_hand(k, k % 2 == 1);
        for (unsigned i = 0; i < MANY; i++) {
            unsigned next = (i + forged) % MANY;
            if (next != k) unlock(next);
        }
    }
}

static void *lock_many(void *ret)
{
    long before = inject_count().blocks;
    unsigned n = *(unsigned *)ret;

    for (unsigned i = 0; i < n; i++) {
        cr_assert_eq(ap_robust_trylock(locks[i]), 0);
        if (i % 16 == 15 || i % 16 == 0) cr_expect_eq(inject_count().blocks - before, i < 16 ? 0 : 1, "%u locks", i + 1);
    }
    for (unsigned i = 0; i < n; i++) cr_expect_eq(ap_robust_trylock(locks[i]), -EBUSY);
    for (unsigned i = n; i-- > 0;) unlock(i);
    return NULL;
}

/* The list grows from its first sixteen, and goes with its thread. */
Test(robust, as_many_as_wanted)
{
    static const unsigned counts[] = {1, 16, 17, 32, 33, 48};

    make_locks(48); /* the thread sanitizer has room for 64 */
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        long before = inject_count().blocks;
        unsigned n = counts[i];
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, lock_many, &n), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_expect_eq(inject_count().blocks, before, "%u locks", n);
    }
}

static void *unlock_anothers(void *unused)
{
    (void)unused;
    ap_robust_unlock(locks[0]);
    cr_expect_eq(ap_robust_trylock(locks[0]), -EBUSY);
    return NULL;
}

/* Neither another thread nor a forked child has the locks of this one. */
Test(robust, who_has_not_locked_does_not_unlock)
{
    pthread_t thread;
    int status;
    pid_t pid;

    make_locks(2);
    cr_assert_eq(ap_robust_trylock(locks[0]), 0);
    cr_assert_eq(pthread_create(&thread, NULL, unlock_anothers, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect(held(0));
    pid = fork();
    if (pid == 0) {
        ap_robust_unlock(locks[0]);
        if (!ap_robust_known() || ap_robust_trylock(locks[0]) != -EBUSY || ap_robust_trylock(locks[1]) != 0 || !held(1)) _exit(1);
        ap_robust_unlock(locks[1]);
        _exit(*ap_robust_word(locks[1]) != 0 ? 2 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
    cr_expect(held(0));
    unlock(0);
}

static void *end_with_lock(void *unused)
{
    (void)unused;
    cr_assert_eq(ap_robust_trylock(locks[1]), 0);
    cr_assert_eq(ap_robust_trylock(locks[0]), 0);
    ap_robust_unlock(locks[1]);
    return NULL;
}

Test(robust, what_a_thread_holds_at_its_end_is_marked)
{
    make_locks(2);
    for (int round = 0; round < 3; round++) {
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, end_with_lock, NULL), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_expect_eq(*ap_robust_word(locks[0]), FUTEX_OWNER_DIED);
        cr_assert_eq(ap_robust_trylock(locks[0]), -EOWNERDEAD);
        ap_robust_consistent(locks[0]);
        unlock(0);
    }
}

static void *without_list(void *unused)
{
    struct robust_list_head *head = NULL;
    struct ap_lane_handle lane = {.lane = NULL};
    size_t size = 0;

    (void)unused;
    if (syscall(SYS_get_robust_list, 0, &head, &size) != 0) return NULL; /* an emulator: see PROBE 3 */
    cr_assert_eq(syscall(SYS_set_robust_list, NULL, sizeof *head), 0);
    cr_expect_not(ap_robust_known());
    cr_expect_eq(ap_robust_trylock(locks[0]), -ENOTSUP);
    cr_expect_eq(*ap_robust_word(locks[0]), 0);
    cr_expect_eq(ap_lane_open(seg, 0, &lane), APIARY_ENOTSUP);
    cr_expect(lane.lane == NULL, "outputs are untouched");
    return NULL;
}

/* The death of a thread whose list the kernel does not know would mark nothing. */
Test(robust, a_thread_without_a_list_gets_no_lock)
{
    pthread_t thread;

    make_locks(1);
    cr_assert_eq(pthread_create(&thread, NULL, without_list, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(ap_robust_trylock(locks[0]), 0);
    unlock(0);
}

static pthread_key_t later;

static void unlock_later(void *round)
{
    if ((uintptr_t)round > 1) pthread_setspecific(later, (void *)((uintptr_t)round - 1));
    else unlock(0);
}

static void *end_in_rounds(void *rounds)
{
    cr_assert_eq(ap_robust_trylock(locks[0]), 0);
    pthread_setspecific(later, rounds);
    return NULL;
}

/* Destructors of the program may come after those of this library, and again: what they unlock is unlocked. */
Test(robust, a_destructor_may_unlock)
{
    make_locks(2);
    cr_assert_eq(ap_robust_trylock(locks[1]), 0); /* this library's key is made before the program's */
    unlock(1);
    cr_assert_eq(pthread_key_create(&later, unlock_later), 0);
    for (uintptr_t rounds = 1; rounds <= 3; rounds++) {
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, end_in_rounds, (void *)rounds), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_expect_eq(*ap_robust_word(locks[0]), 0, "round %zu", (size_t)rounds);
    }
    pthread_key_delete(later);
}

static void *end_with_many(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 33; i++) cr_assert_eq(ap_robust_trylock(locks[i]), 0);
    return NULL;
}

/* The longer list goes with its thread, also when that holds locks to its end. */
Test(robust, a_long_list_is_given_back)
{
    long before;
    pthread_t thread;

#ifdef __SANITIZE_THREAD__
    cr_skip_test("it lets nothing be freed in a thread's last destructors, as the list is where locks are held");
#endif
    make_locks(33);
    before = inject_count().blocks;
    cr_assert_eq(pthread_create(&thread, NULL, end_with_many, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(inject_count().blocks, before);
    for (unsigned i = 0; i < 33; i++) cr_expect_eq(*ap_robust_word(locks[i]) & FUTEX_OWNER_DIED, FUTEX_OWNER_DIED, "lock %u", i);
}
