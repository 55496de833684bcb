/* The clock, futexes and processes of the system, with real processes. All waits are for conditions. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/ops.h"

#if defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#else
#define THREAD_SANITIZER 0
#endif

static const struct ap_ops *const ops = &ap_ops_system;

static uint32_t *shared_word(void)
{
    uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(word, MAP_FAILED);
    return word;
}

static int exit_code(pid_t pid)
{
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(ops, clocks)
{
    struct timespec t;
    uint64_t before = ops->now(), after;

    clock_gettime(CLOCK_MONOTONIC, &t);
    after = ops->now();
    cr_expect_leq(before, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
    cr_expect_geq(after, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
    before = ops->realtime();
    clock_gettime(CLOCK_REALTIME, &t);
    cr_expect_leq(before / 1000000000u, (uint64_t)t.tv_sec);
    cr_expect_gt(before, UINT64_C(1600000000) * 1000000000u);
}

/* Between two readings of the clock the processor's counter may stand for it: never back, and near it all the time. */
Test(ops, the_clock_goes_on_with_the_real_one)
{
    const uint64_t slack = 20000; /* a rate that is wrong by a percent for a millisecond would be off by 10,000 ns */
    uint64_t began = ops->now(), last = began;

    while (last - began < UINT64_C(30000000)) {
        struct timespec t;
        uint64_t before, real, after;

        before = ops->now();
        clock_gettime(CLOCK_MONOTONIC, &t);
        after = ops->now();
        real = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        cr_assert_geq(before, last);
        cr_assert_geq(after, before);
        cr_assert_leq(before, real + slack);
        cr_assert_geq(after + slack, real);
        last = after;
    }
}

Test(ops, futex_wait_looks_at_the_value_first)
{
    uint32_t word = 7;
    cr_expect_eq(ops->futex_wait(&word, 8, UINT64_MAX), -EAGAIN);
    cr_expect_eq(ops->futex_wake(&word, 1), 0);
}

Test(ops, futex_wait_until_is_absolute_and_monotonic)
{
    uint32_t word = 7;
    uint64_t until = ops->now() + 20000000;

    cr_expect_eq(ops->futex_wait(&word, 7, until), -ETIMEDOUT);
    cr_expect_geq(ops->now(), until, "not before its time");
    cr_expect_eq(ops->futex_wait(&word, 7, 0), -ETIMEDOUT, "the past");
    cr_expect_eq(ops->futex_wait(&word, 7, until), -ETIMEDOUT, "the past");
}

Test(ops, futex_wakes_another_process)
{
    uint32_t *word = shared_word();
    pid_t child = fork();

    if (child == 0) _exit(ops->futex_wait(word, 0, UINT64_MAX) == 0 ? 0 : 1);
    while (ops->futex_wake(word, 1) == 0)
        sched_yield();
    cr_expect_eq(exit_code(child), 0);
}

static void nothing(int sig)
{
    (void)sig;
}

Test(ops, futex_wait_is_interrupted)
{
    uint32_t *word = shared_word();
    struct sigaction action = {.sa_handler = nothing};
    int status = 0;

    sigaction(SIGUSR1, &action, NULL);
    pid_t child = fork();
    if (child == 0) _exit(ops->futex_wait(word, 0, UINT64_MAX) == -EINTR ? 0 : 1);
    while (waitpid(child, &status, WNOHANG) == 0) {
        kill(child, SIGUSR1);
        sched_yield();
    }
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- identity ------------------------------------------------------------------------------------------------- */

Test(ops, identity_of_this_process)
{
    struct ap_identity self, again;
    struct stat ns;

    cr_assert_eq(ap_identity_self(&self), 0);
    cr_expect_eq(self.pid, getpid());
    cr_expect_gt(self.start_time, 0);
    cr_assert_eq(stat("/proc/self/ns/pid", &ns), 0);
    cr_expect_eq((uint32_t)self.pid_namespace, (uint32_t)ns.st_ino);
    /* A program's name may look like the fields behind it. */
    prctl(PR_SET_NAME, "a) 1 2 (3 4) 5");
    cr_assert_eq(ap_identity_self(&again), 0);
    cr_expect_eq(memcmp(&self, &again, sizeof self), 0);
}

struct held {
    pthread_mutex_t mutex;
    uint32_t id;
};

static void *hold(void *user)
{
    struct held *held = user;
    pthread_mutex_lock(&held->mutex);
    held->id = ap_thread_id();
    cr_expect_eq((uint32_t)held->mutex.__data.__lock & FUTEX_TID_MASK, held->id);
    pthread_mutex_unlock(&held->mutex);
    return NULL;
}

Test(ops, thread_id_is_that_of_the_lock_word)
{
    struct held here, there;
    pthread_mutexattr_t attr;
    pthread_t thread;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&here.mutex, &attr);
    pthread_mutex_init(&there.mutex, &attr);
    hold(&here);
    cr_assert_eq(pthread_create(&thread, NULL, hold, &there), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(here.id, (uint32_t)getpid());
    cr_expect_neq(here.id, there.id);
}

/* ---- lock_gone ------------------------------------------------------------------------------------------------ */

Test(ops, a_lock_lasts_as_long_as_what_holds_its_description)
{
    char path[] = "/dev/shm/apiary-test-ops-XXXXXX", again[64];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1};
    int fd = mkstemp(path), own;
    void *map;

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
    own = open(again, O_RDWR | O_CLOEXEC);
    cr_assert_geq(own, 0);
    unlink(path);
    cr_expect_eq(ops->lock_gone(fd, 7), 1, "nobody has locked it");
    cr_assert_eq(fcntl(own, F_OFD_SETLK, &lock), 0);
    cr_expect_eq(ops->lock_gone(fd, 7), 0);
    cr_expect_eq(ops->lock_gone(fd, 8), 1);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    cr_assert_neq(map, MAP_FAILED);
    close(own);
    cr_expect_eq(ops->lock_gone(fd, 7), 0, "the mapping holds it");
    munmap(map, 4096);
    cr_expect_eq(ops->lock_gone(fd, 7), 1);
    close(fd);
    cr_expect_lt(ops->lock_gone(fd, 7), 0, "there is nothing to ask");
}
