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

/* ---- process_gone --------------------------------------------------------------------------------------------- */

/* A child that has said who it is and blocks until it is killed, or until the pipe is closed. */
struct child {
    pid_t pid;
    int control;
    struct ap_identity who;
};

static char state_of(pid_t pid)
{
    char path[64], text[512] = "", *end;
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY);
    if (fd < 0) return '?';
    n = read(fd, text, sizeof text - 1);
    close(fd);
    end = n > 0 ? strrchr(text, ')') : NULL;
    return end != NULL ? end[2] : '?';
}

static void *linger(void *user)
{
    char c;
    while (read(*(int *)user, &c, 1) < 0)
        continue;
    _exit(0);
}

static struct child start(int leave_leader)
{
    static int control[2];
    int told[2];
    struct child c;

    cr_assert_eq(pipe(control), 0);
    cr_assert_eq(pipe(told), 0);
    c.pid = fork();
    if (c.pid == 0) {
        struct ap_identity self;
        pthread_t thread;
        close(control[1]);
        if (ap_identity_self(&self) < 0 || write(told[1], &self, sizeof self) != sizeof self) _exit(1);
        if (leave_leader) {
            if (pthread_create(&thread, NULL, linger, &control[0]) != 0) _exit(1);
            pthread_exit(NULL);
        }
        linger(&control[0]);
    }
    close(control[0]);
    c.control = control[1];
    cr_assert_eq(read(told[0], &c.who, sizeof c.who), (ssize_t)sizeof c.who);
    close(told[0]);
    close(told[1]);
    return c;
}

static int gone(const struct child *c)
{
    return ops->process_gone((pid_t)c->who.pid, c->who.start_time, c->who.pid_namespace);
}

Test(ops, a_living_process_is_not_gone)
{
    struct ap_identity self;
    struct child c = start(0);

    cr_assert_eq(ap_identity_self(&self), 0);
    cr_expect_eq(ops->process_gone((pid_t)self.pid, self.start_time, self.pid_namespace), 0);
    cr_expect_eq(gone(&c), 0);
    kill(c.pid, SIGSTOP);
    cr_expect_eq(gone(&c), 0, "a stopped process is alive");
    kill(c.pid, SIGKILL);
    waitpid(c.pid, NULL, 0);
}

Test(ops, a_zombie_is_gone_and_so_is_one_that_was_waited_for)
{
    struct child c = start(0);
    siginfo_t info;

    kill(c.pid, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(state_of(c.pid), 'Z');
    cr_expect_eq(kill(c.pid, 0), 0, "which is why kill() is no answer");
    cr_expect_eq(gone(&c), 1);
    waitpid(c.pid, NULL, 0);
    cr_expect_eq(gone(&c), 1);
}

Test(ops, a_zombie_leader_with_a_living_thread_is_not_gone)
{
    if (THREAD_SANITIZER) cr_skip_test("the thread sanitizer allows no threads in a forked process");
    struct child c = start(1);
    siginfo_t info;

    while (state_of(c.pid) != 'Z')
        sched_yield();
    cr_expect_eq(gone(&c), 0);
    close(c.control);
    cr_assert_eq(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(gone(&c), 1);
    waitpid(c.pid, NULL, 0);
}

Test(ops, a_number_used_again_is_gone)
{
    struct child c = start(0);

    c.who.start_time++;
    cr_expect_eq(gone(&c), 1);
    c.who.start_time -= 2;
    cr_expect_eq(gone(&c), 1);
    kill(c.pid, SIGKILL);
    waitpid(c.pid, NULL, 0);
}

struct thread_number {
    pthread_barrier_t barrier;
    pid_t tid;
};

static void *tell_and_stay(void *user)
{
    struct thread_number *n = user;
    n->tid = (pid_t)ap_thread_id();
    pthread_barrier_wait(&n->barrier);
    pthread_barrier_wait(&n->barrier);
    return NULL;
}

Test(ops, a_number_that_is_now_a_threads_is_gone)
{
    struct thread_number n;
    struct ap_identity self;
    pthread_t thread;

    cr_assert_eq(ap_identity_self(&self), 0);
    pthread_barrier_init(&n.barrier, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, tell_and_stay, &n), 0);
    pthread_barrier_wait(&n.barrier);
    cr_expect_eq(ops->process_gone(n.tid, self.start_time, self.pid_namespace), 1);
    pthread_barrier_wait(&n.barrier);
    pthread_join(thread, NULL);
}

Test(ops, another_namespace_cannot_be_told)
{
    struct child c = start(0);

    kill(c.pid, SIGKILL);
    waitpid(c.pid, NULL, 0);
    c.who.pid_namespace ^= 1;
    cr_expect_lt(gone(&c), 0, "another pid namespace");
    c.who.pid_namespace ^= 1 | UINT64_C(1) << 32;
    cr_expect_lt(gone(&c), 0, "another time namespace");
    c.who.pid_namespace = 0;
    cr_expect_lt(gone(&c), 0, "unknown");
}

Test(ops, nonsense_is_no_process)
{
    struct ap_identity self;

    cr_assert_eq(ap_identity_self(&self), 0);
    cr_expect_lt(ops->process_gone(0, self.start_time, self.pid_namespace), 0);
    cr_expect_lt(ops->process_gone(-1, self.start_time, self.pid_namespace), 0);
}

Test(ops, a_new_pid_namespace_with_the_old_proc_knows_that_it_does_not_know)
{
    int result[2], in_namespace = 0;
    struct child c = start(0);
    pid_t outer;

    cr_assert_eq(pipe(result), 0);
    outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) < 0) _exit(77);
        pid_t inner = fork();
        if (inner == 0) {
            struct ap_identity self = {.pid_namespace = 1};
            int r = ap_identity_self(&self);
            /* Number 1 is this very process: whoever believed /proc would look at init. */
            int seen =
                (r < 0 || self.pid_namespace == 0) && ops->process_gone(1, c.who.start_time, c.who.pid_namespace) < 0;
            _exit(write(result[1], &seen, sizeof seen) == sizeof seen ? 0 : 1);
        }
        waitpid(inner, NULL, 0);
        _exit(0);
    }
    close(result[1]);
    int status = exit_code(outer);
    kill(c.pid, SIGKILL);
    waitpid(c.pid, NULL, 0);
    if (status == 77) cr_skip_test("no right to make a pid namespace");
    cr_assert_eq(read(result[0], &in_namespace, sizeof in_namespace), (ssize_t)sizeof in_namespace);
    cr_expect_eq(in_namespace, 1);
}
