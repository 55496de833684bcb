/* core/ops.c - the system behind struct ap_ops. */
#include "core/ops.h"

#include "core/atomic.h"
#include "core/descriptor.h"
#include "core/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NSEC UINT64_C(1000000000)

static uint64_t clock_read(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NSEC + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)

/* CLOCK_MONOTONIC costs as much as all else that a worker does with a small task. Where the kernel takes its time from the
 * processor's counter, so does this: for a millisecond after each reading of the clock, at the rate seen between the last two.
 * It never goes back within a thread, and is off by what the rate changes in a millisecond. */
#define TICK_APART 10000u /* counts, some microseconds: more is not what reading the clock takes */
struct tick {
    uint64_t counter, ns; /* at the last reading */
    uint64_t rate;        /* ns << 32 per count */
    uint64_t span;        /* counts after which the clock is read again; 0: always */
    uint64_t last;        /* what was returned */
};
static _Thread_local struct tick tick __attribute__((tls_model("initial-exec")));

/* 1 the kernel's clock is the counter, 2 it is not; asked once. */
static bool counter_trusted(void)
{
    static uint32_t known;
    char name[16] = "";
    uint32_t answer = ap_load_relaxed(&known);
    int fd;

    if (answer != 0) return answer == 1;
    AP_UNCANCELLED;
    fd = ap_fd_open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY, 0);
    answer = fd >= 0 && read(fd, name, sizeof name - 1) > 0 && strcmp(name, "tsc\n") == 0 ? 1 : 2;
    if (fd >= 0) close(fd);
    ap_store_relaxed(&known, answer);
    return answer == 1;
}

/* Both as of one moment. */
static void tick_set(uint64_t ns, uint64_t counter)
{
    uint64_t counts = counter - tick.counter, passed = ns - tick.ns;

    /* From readings that lie too near each other no rate is to be had, and from far ones no product of 64 bits. */
    if (tick.counter != 0 && passed >= NSEC / 2000 && passed < 4 * NSEC && counts / 8 < passed) {
        tick.rate = (passed << 32) / counts;
        tick.span = (NSEC / 1000 << 32) / tick.rate;
    }
    if (tick.counter == 0 || passed >= NSEC / 2000) {
        tick.counter = counter;
        tick.ns = ns;
    }
}

static __attribute__((noinline)) uint64_t tick_read(void)
{
    uint64_t before = __builtin_ia32_rdtsc(), ns = clock_read(CLOCK_MONOTONIC), counter = __builtin_ia32_rdtsc();

    if (!counter_trusted()) return ns;
    /* A thread that is interrupted between the two would be late for a millisecond by as much. It reads again when it is asked
     * again. */
    if (counter - before < TICK_APART) tick_set(ns, counter);
    if (ns > tick.last) tick.last = ns;
    return tick.last;
}

static uint64_t system_now(void)
{
    uint64_t counts = __builtin_ia32_rdtsc() - tick.counter, ns;

    if (__builtin_expect(counts >= tick.span, 0)) return tick_read();
    ns = tick.ns + (counts * tick.rate >> 32);
    if (ns > tick.last) tick.last = ns;
    return tick.last;
}

#else

static uint64_t system_now(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

#endif

static uint64_t system_realtime(void)
{
    return clock_read(CLOCK_REALTIME);
}

/* FUTEX_WAIT_BITSET takes an absolute time, FUTEX_WAIT a relative one; CLOCK_MONOTONIC unless told otherwise. */
static int system_futex_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    struct timespec at, *limit = NULL;

    if (until != UINT64_MAX) {
        at.tv_sec = (time_t)(until / NSEC);
        at.tv_nsec = (long)(until % NSEC);
        limit = &at;
    }
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, limit, NULL, FUTEX_BITSET_MATCH_ANY) == 0) return 0;
    return -errno;
}

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static int system_futex_wait_both(const uint32_t *word, uint32_t value, const uint32_t *other, uint32_t others, uint64_t until)
{
    const struct futex_waitv both[] = {{.val = value, .uaddr = (uintptr_t)word, .flags = FUTEX_32},
                                       {.val = others, .uaddr = (uintptr_t)other, .flags = FUTEX_32}};
    const struct timespec at = {.tv_sec = (time_t)(until / NSEC), .tv_nsec = (long)(until % NSEC)};

    if (syscall(SYS_futex_waitv, both, 2, 0, until != UINT64_MAX ? &at : NULL, CLOCK_MONOTONIC) >= 0) return 0;
    return errno == EPERM || errno == EINVAL ? -ENOSYS : -errno;
}

static void system_yield(void)
{
    sched_yield();
}

static uint64_t system_switches(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? (uint64_t)u.ru_nivcsw : 0;
}

static int system_futex_wake(const uint32_t *word, int count)
{
    long r = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    return r < 0 ? -errno : (int)r;
}

/* Field 22 of a stat file. The second field is a program's name, which may hold anything: count from the last ')'. */
static int stat_start_time(const char *path, uint64_t *ret)
{
    char text[1024], *at, *end;
    unsigned long long value;
    ssize_t n;
    int fd = ap_fd_open(path, O_RDONLY, 0);

    if (fd < 0) return -errno;
    do
        n = read(fd, text, sizeof text - 1);
    while (n < 0 && errno == EINTR);
    close(fd);
    if (n < 0) return -ESRCH; /* gone between open and read */
    text[n] = '\0';
    at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at, ' ');
        if (at != NULL) at++;
    }
    if (at == NULL) return -EIO;
    errno = 0;
    value = strtoull(at, &end, 10);
    if (end == at || errno != 0) return -EIO;
    *ret = value;
    return 0;
}

/* The pid namespace, and above it the time namespace: the same process has another start time in the /proc of another
 * time namespace. The inodes of namespaces have 32 bits. 0 when /proc is not that of this namespace. */
static uint64_t namespaces_self(void)
{
    struct stat pid, time_ns;
    char link[32];
    ssize_t n = readlink("/proc/self", link, sizeof link - 1);

    if (n <= 0) return 0;
    link[n] = '\0';
    if (strtoll(link, NULL, 10) != (long long)getpid()) return 0;
    if (stat("/proc/self/ns/pid", &pid) < 0) return 0;
    if (stat("/proc/self/ns/time", &time_ns) < 0) time_ns.st_ino = 0;
    return (uint64_t)(uint32_t)pid.st_ino | (uint64_t)time_ns.st_ino << 32;
}

static int system_lock_gone(int fd, uint64_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0) return -errno;
    return lock.l_type == F_UNLCK;
}

const struct ap_ops ap_ops_system = {
    .now = system_now,
    .realtime = system_realtime,
    .futex_wait = system_futex_wait,
    .futex_wait_both = system_futex_wait_both,
    .futex_wake = system_futex_wake,
    .yield = system_yield,
    .switches = system_switches,
    .lock_gone = system_lock_gone,
};

int ap_identity_self(struct ap_identity *ret)
{
    struct ap_identity self = {.pid = getpid()};
    int r = stat_start_time("/proc/self/stat", &self.start_time);

    if (r < 0) return r;
    self.pid_namespace = namespaces_self();
    *ret = self;
    return 0;
}

/* The file shows what children will have, so it tells of this process only when that is the same. A line: monotonic, seconds,
 * nanoseconds. */
static int64_t time_offset(ino_t own)
{
    char text[256] = "", *at, *end;
    struct stat children;
    int fd = -1;
    ssize_t n = 0;
    long long seconds;

    if (stat("/proc/self/ns/time_for_children", &children) == 0 && children.st_ino == own)
        fd = ap_fd_open("/proc/self/timens_offsets", O_RDONLY, 0);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    at = n > 0 ? strstr(text, "monotonic") : NULL;
    if (at == NULL) return AP_OFFSET_UNKNOWN;
    at += strlen("monotonic");
    seconds = strtoll(at, &end, 10);
    if (end == at || seconds > INT64_MAX / (int64_t)NSEC - 1 || seconds < INT64_MIN / (int64_t)NSEC + 1) return AP_OFFSET_UNKNOWN;
    return seconds * (int64_t)NSEC + strtoll(end, NULL, 10);
}

void ap_time_namespace_self(struct ap_time_namespace *ret)
{
    struct stat own;

    *ret = (struct ap_time_namespace){.inode = 0, .offset = AP_OFFSET_UNKNOWN};
    if (stat("/proc/self/ns/time", &own) < 0) return;
    ret->inode = own.st_ino;
    ret->offset = time_offset(own.st_ino);
}

bool ap_time_same(const struct ap_time_namespace *a, const struct ap_time_namespace *b)
{
    if (a->inode == 0 || b->inode == 0 || a->inode == b->inode) return true;
    return a->offset == b->offset && a->offset != AP_OFFSET_UNKNOWN;
}

/* ---- the clock of another time namespace ------------------------------------------------------------------------ */

/* One at a time: a table has no place for whose it is. */
static struct {
    pthread_mutex_t lock;
    uint32_t users;
    uint64_t by; /* what that clock shows more; constant while there are users */
} shifted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t shifted_now(void)
{
    return system_now() + ap_load_relaxed(&shifted.by);
}

static uint64_t own_time(uint64_t until)
{
    return until == UINT64_MAX ? until : until - ap_load_relaxed(&shifted.by);
}

static int shifted_futex_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    return system_futex_wait(word, value, own_time(until));
}

static int shifted_futex_wait_both(const uint32_t *word, uint32_t value, const uint32_t *other, uint32_t others, uint64_t until)
{
    return system_futex_wait_both(word, value, other, others, own_time(until));
}

static const struct ap_ops ops_shifted = {
    .now = shifted_now,
    .realtime = system_realtime,
    .futex_wait = shifted_futex_wait,
    .futex_wait_both = shifted_futex_wait_both,
    .futex_wake = system_futex_wake,
    .yield = system_yield,
    .switches = system_switches,
    .lock_gone = system_lock_gone,
};

bool ap_ops_enter(const struct ap_time_namespace *its, const struct ap_ops **ret)
{
    struct ap_time_namespace own;
    uint64_t by;
    bool is;

    ap_time_namespace_self(&own);
    if (ap_time_same(its, &own)) {
        *ret = &ap_ops_system;
        return true;
    }
    if (its->offset == AP_OFFSET_UNKNOWN || own.offset == AP_OFFSET_UNKNOWN) return false;
    by = (uint64_t)its->offset - (uint64_t)own.offset;
    pthread_mutex_lock(&shifted.lock);
    is = shifted.users == 0 || shifted.by == by;
    if (is) {
        shifted.users++;
        ap_store_relaxed(&shifted.by, by);
        *ret = &ops_shifted;
    }
    pthread_mutex_unlock(&shifted.lock);
    return is;
}

void ap_ops_leave(const struct ap_ops *ops)
{
    if (ops != &ops_shifted) return;
    pthread_mutex_lock(&shifted.lock);
    shifted.users--;
    pthread_mutex_unlock(&shifted.lock);
}

int64_t ap_ops_shift(const struct ap_ops *ops)
{
    return ops == &ops_shifted ? (int64_t)ap_load_relaxed(&shifted.by) : 0;
}

uint32_t ap_thread_id(void)
{
    return (uint32_t)gettid();
}
