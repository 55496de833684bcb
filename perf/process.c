/* perf/process.c - the processes that serve: forked, pinned, given turns, killed with us. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "perf/perf.h"

static cpu_set_t allowed;
static sig_atomic_t end_expected = 1;

void perf_die(const char *format, ...)
{
    va_list args;

    fputs("apiary-perf: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

void perf_must(int r, const char *what)
{
    if (r < 0) perf_die("%s: %s; %s", what, apiary_strerror(r), apiary_advice(r));
}

void *perf_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED) perf_die("mmap of %zu bytes: %s", size, strerror(errno));
    return p;
}

/* ---- placement ---------------------------------------------------------------------------------------------------- */

void perf_remember_affinity(void)
{
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) CPU_ZERO(&allowed);
}

void perf_pin(int processor)
{
    perf_pin_thread(0, processor);
}

void perf_pin_thread(int tid, int processor)
{
    cpu_set_t set = allowed;

    if (processor >= 0) {
        CPU_ZERO(&set);
        CPU_SET((size_t)processor, &set);
    }
    if (sched_setaffinity(tid, sizeof set, &set) < 0)
        perf_die("cannot run on processor %d: %s", processor, strerror(errno));
}

/* ---- life and death -------------------------------------------------------------------------------------------- */

static void child_ended(int signal)
{
    static const char text[] = "apiary-perf: a serving process has ended before its time\n";
    int saved = errno;

    (void)signal;
    if (!end_expected) {
        ssize_t n = write(2, text, sizeof text - 1);
        _exit(n > 0 ? 1 : 1);
    }
    errno = saved;
}

void perf_expect_end(bool expected)
{
    struct sigaction action = {.sa_handler = child_ended, .sa_flags = SA_RESTART | SA_NOCLDSTOP};

    end_expected = expected;
    sigaction(SIGCHLD, &action, NULL);
}

pid_t perf_fork(int processor, void (*fn)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    perf_expect_end(false);
    pid = fork();
    if (pid < 0) perf_die("fork: %s", strerror(errno));
    if (pid > 0) return pid;
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    perf_pin(processor);
    fn(arg);
    _exit(0);
}

void perf_end(pid_t pid)
{
    perf_expect_end(true);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    perf_expect_end(false);
}

void perf_ready(struct perf_control *c)
{
    ap_store_release(&c->ready, 1);
    ap_ops_system.futex_wake(&c->ready, INT32_MAX);
}

void perf_await_ready(struct perf_control *c)
{
    while (!ap_load_acquire(&c->ready))
        ap_ops_system.futex_wait(&c->ready, 0, UINT64_MAX);
}

/* ---- turns -------------------------------------------------------------------------------------------------------- */

/* `active` counts turns begun and ended: odd while one is on. `idle` is one more than the even value that the server has seen, so
 * that a server which slept through a whole turn is known to have seen its end. */
bool perf_await_turn(struct perf_control *c)
{
    for (;;) {
        uint32_t v = ap_load_acquire(&c->active);
        if (v % 2 == 1) return true;
        if (ap_load_acquire(&c->stop)) return false;
        ap_store_release(&c->idle, v + 1);
        ap_ops_system.futex_wake(&c->idle, INT32_MAX);
        ap_ops_system.futex_wait(&c->active, v, UINT64_MAX);
    }
}

void perf_give_turn(struct perf_control *c)
{
    ap_store_release(&c->active, ap_load_relaxed(&c->active) + 1);
    ap_ops_system.futex_wake(&c->active, INT32_MAX);
}

void perf_end_turn(struct perf_control *c)
{
    ap_store_release(&c->active, ap_load_relaxed(&c->active) + 1);
    ap_ops_system.futex_wake(&c->active, INT32_MAX);
}

void perf_await_idle(struct perf_control *c)
{
    for (;;) {
        uint32_t want = ap_load_relaxed(&c->active) + 1, idle = ap_load_acquire(&c->idle);
        if (idle == want) return;
        ap_ops_system.futex_wait(&c->idle, idle, UINT64_MAX);
    }
}

void perf_nap(double ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms * 1e6) % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
    }
}

/* ---- what the kernel says of them ------------------------------------------------------------------------------- */

static bool process_read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : -1;

    if (fd >= 0) close(fd);
    ret[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Calls fn with /proc/PID/task/TID of each thread. */
static void each_thread(pid_t pid, void (*fn)(const char *path, void *user), void *user)
{
    char path[64], one[320];
    const struct dirent *e;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    d = opendir(path);
    if (d == NULL) return;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.') continue;
        snprintf(one, sizeof one, "%s/%s", path, e->d_name);
        fn(one, user);
    }
    closedir(d);
}

struct look {
    uint64_t switches;
    double ns;
};

static void process_look_at(const char *path, void *user)
{
    struct look *look = user;
    char file[360], text[4096];
    const char *p;
    unsigned long long ns = 0;

    snprintf(file, sizeof file, "%s/status", path);
    p = process_read_text(file, text, sizeof text) ? strstr(text, "\nvoluntary_ctxt_switches:") : NULL;
    if (p != NULL) look->switches += strtoull(p + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
    snprintf(file, sizeof file, "%s/schedstat", path);
    if (process_read_text(file, text, sizeof text) && sscanf(text, "%llu", &ns) == 1) look->ns += (double)ns;
}

uint64_t perf_switches(pid_t pid)
{
    struct look look = {0};

    each_thread(pid, process_look_at, &look);
    return look.switches;
}

double perf_cpu_ns(pid_t pid)
{
    struct look look = {0};

    each_thread(pid, process_look_at, &look);
    return look.ns;
}
