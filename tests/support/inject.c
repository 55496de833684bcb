/* tests/support/inject.c - see inject.h. A line that begins with WRAP tells cmake/Tests.cmake which function is wrapped. */
#include "tests/support/inject.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WRAP(type, name, ...) \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

/* ---- the plan ------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    unsigned calls, at, seen;
    bool onward;
    int error;
    const char *failed;
} plan;
static struct inject_count count;

void inject_begin(unsigned calls, unsigned at, bool onward, int error)
{
    pthread_mutex_lock(&lock);
    plan.calls = calls;
    plan.at = at;
    plan.seen = 0;
    plan.onward = onward;
    plan.error = error;
    plan.failed = NULL;
    pthread_mutex_unlock(&lock);
}

const char *inject_end(void)
{
    const char *failed;

    pthread_mutex_lock(&lock);
    plan.calls = 0;
    failed = plan.failed;
    pthread_mutex_unlock(&lock);
    return failed;
}

unsigned inject_seen(void)
{
    unsigned seen;

    pthread_mutex_lock(&lock);
    seen = plan.seen;
    pthread_mutex_unlock(&lock);
    return seen;
}

/* Whether this call is to fail: the error, or 0. */
static int hit(unsigned call, const char *name)
{
    int error = 0;

    pthread_mutex_lock(&lock);
    if ((plan.calls & call) != 0 && (++plan.seen == plan.at || (plan.onward && plan.seen > plan.at))) {
        plan.failed = name + strlen("__wrap_");
        error = plan.error;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

/* The same for a call that tells by errno. */
static bool fails(unsigned call, const char *name)
{
    int error = hit(call, name);

    if (error != 0) errno = error;
    return error != 0;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* The blocks that came through here and are still alive: a table with open addressing. Others are nobody's business. */
#define BLOCKS ((size_t)1 << 16)
static void *blocks[BLOCKS];

static size_t home(const void *block)
{
    return (size_t)((uintptr_t)block / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 48) % BLOCKS;
}

static void *keep(void *block)
{
    size_t i = home(block);

    if (block == NULL) return NULL;
    pthread_mutex_lock(&lock);
    while (blocks[i] != NULL) i = (i + 1) % BLOCKS;
    blocks[i] = block;
    cr_assert(++count.blocks < (long)BLOCKS / 2);
    pthread_mutex_unlock(&lock);
    return block;
}

/* What comes after a gap moves into it, unless it would lie before its home then. */
static void forget(const void *block)
{
    size_t i = home(block);

    if (block == NULL) return;
    pthread_mutex_lock(&lock);
    while (blocks[i] != NULL && blocks[i] != block) i = (i + 1) % BLOCKS;
    if (blocks[i] != NULL) {
        count.blocks--;
        for (size_t k = (i + 1) % BLOCKS; blocks[k] != NULL; k = (k + 1) % BLOCKS) {
            if ((k - home(blocks[k])) % BLOCKS < (k - i) % BLOCKS) continue;
            blocks[i] = blocks[k];
            i = k;
        }
        blocks[i] = NULL;
    }
    pthread_mutex_unlock(&lock);
}

/* Memory is as it comes: nothing may count on zeros. */
static void *stale(void *block, size_t size)
{
    return block != NULL ? memset(block, 0x5a, size) : NULL;
}

WRAP(void *, malloc, size_t size)
{
    return fails(INJECT_HEAP, __func__) ? NULL : keep(stale(__real_malloc(size), size));
}

WRAP(void *, calloc, size_t n, size_t size)
{
    return fails(INJECT_HEAP, __func__) ? NULL : keep(__real_calloc(n, size));
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return fails(INJECT_HEAP, __func__) ? NULL : keep(stale(__real_aligned_alloc(alignment, size), size));
}

WRAP(void *, realloc, void *block, size_t size)
{
    void *again;

    if (fails(INJECT_HEAP, __func__)) return NULL;
    forget(block); /* before its address can be another thread's */
    again = __real_realloc(block, size);
    keep(again != NULL ? again : block);
    return again;
}

WRAP(char *, strdup, const char *text)
{
    return fails(INJECT_HEAP, __func__) ? NULL : keep(__real_strdup(text));
}

WRAP(int, vasprintf, char **text, const char *format, va_list list)
{
    int n = fails(INJECT_HEAP, __func__) ? -1 : __real_vasprintf(text, format, list);

    if (n >= 0) keep(*text);
    return n;
}

WRAP(char *, realpath, const char *path, char *resolved)
{
    char *got = fails(INJECT_HEAP, __func__) ? NULL : __real_realpath(path, resolved);

    return resolved == NULL ? keep(got) : got;
}

WRAP(FILE *, open_memstream, char **text, size_t *size)
{
    return fails(INJECT_HEAP, __func__) ? NULL : __real_open_memstream(text, size);
}

WRAP(void, free, void *block)
{
    forget(block);
    __real_free(block);
}

/* ---- mappings ------------------------------------------------------------------------------------------------- */

static void mapped(long size)
{
    pthread_mutex_lock(&lock);
    count.mapped += (size < 0 ? -1 : 1) * (long)(((unsigned long)labs(size) + 4095) & ~4095ul);
    pthread_mutex_unlock(&lock);
}

WRAP(void *, mmap, void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *got = fails(INJECT_MAP, __func__) ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);

    if (got != MAP_FAILED) mapped((long)size);
    return got;
}

WRAP(int, munmap, void *at, size_t size)
{
    int r = __real_munmap(at, size);

    if (r == 0) mapped(-(long)size);
    return r;
}

/* The library only moves mappings, to where another one goes. */
WRAP(void *, mremap, void *at, size_t size, size_t to_size, int flags, ...)
{
    void *to, *got;
    va_list args;

    va_start(args, flags);
    to = (flags & MREMAP_FIXED) != 0 ? va_arg(args, void *) : NULL;
    va_end(args);
    if (fails(INJECT_MAP, __func__)) return MAP_FAILED;
    got = __real_mremap(at, size, to_size, flags, to);
    if (got != MAP_FAILED && to != NULL) mapped(-(long)size);
    return got;
}

/* ---- descriptors ---------------------------------------------------------------------------------------------- */

static mode_t mode_of(int flags, va_list args)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

WRAP(int, open, const char *path, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return fails(INJECT_OPEN, __func__) ? -1 : __real_open(path, flags, mode);
}

WRAP(int, openat, int folder, const char *path, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return fails(INJECT_OPEN, __func__) ? -1 : __real_openat(folder, path, flags, mode);
}

WRAP(int, fcntl, int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && fails(INJECT_DUP, __func__)) return -1;
    if ((command == F_OFD_SETLK || command == F_OFD_GETLK) && fails(INJECT_LOCK, __func__)) return -1;
    return __real_fcntl(fd, command, argument);
}

WRAP(int, close, int fd)
{
    int r = __real_close(fd);

    pthread_mutex_lock(&lock);
    count.closed += r < 0 && errno == EBADF;
    pthread_mutex_unlock(&lock);
    return r;
}

WRAP(int, dup2, int from, int to)
{
    return fails(INJECT_DUP, __func__) ? -1 : __real_dup2(from, to);
}

WRAP(int, dup3, int from, int to, int flags)
{
    return fails(INJECT_DUP, __func__) ? -1 : __real_dup3(from, to, flags);
}

WRAP(int, eventfd, unsigned value, int flags)
{
    return fails(INJECT_MAKE, __func__) ? -1 : __real_eventfd(value, flags);
}

WRAP(int, signalfd, int fd, const sigset_t *set, int flags)
{
    return fails(INJECT_MAKE, __func__) ? -1 : __real_signalfd(fd, set, flags);
}

WRAP(int, pipe2, int ends[2], int flags)
{
    return fails(INJECT_MAKE, __func__) ? -1 : __real_pipe2(ends, flags);
}

WRAP(int, socket, int domain, int type, int protocol)
{
    return fails(INJECT_MAKE, __func__) ? -1 : __real_socket(domain, type, protocol);
}

WRAP(int, io_uring_queue_init, unsigned entries, struct io_uring *ring, unsigned flags)
{
    int error = hit(INJECT_MAKE, __func__);

    return error != 0 ? -error : __real_io_uring_queue_init(entries, ring, flags);
}

WRAP(long, syscall, long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    pthread_mutex_lock(&lock);
    count.futexes += number == SYS_futex;
    pthread_mutex_unlock(&lock);
    if (number == SYS_pidfd_open && fails(INJECT_MAKE, __func__)) return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

WRAP(int, fstat, int fd, struct stat *ret)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_fstat(fd, ret);
}

WRAP(ssize_t, pread, int fd, void *to, size_t size, off_t offset)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_pread(fd, to, size, offset);
}

WRAP(ssize_t, read, int fd, void *to, size_t size)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_read(fd, to, size);
}

WRAP(int, posix_fallocate, int fd, off_t offset, off_t size)
{
    int error = hit(INJECT_FILE, __func__);

    return error != 0 ? error : __real_posix_fallocate(fd, offset, size);
}

WRAP(int, fchmod, int fd, mode_t mode)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_fchmod(fd, mode);
}

WRAP(int, fchown, int fd, uid_t owner, gid_t group)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_fchown(fd, owner, group);
}

WRAP(int, linkat, int from, const char *path, int to, const char *name, int flags)
{
    return fails(INJECT_FILE, __func__) ? -1 : __real_linkat(from, path, to, name, flags);
}

/* ---- threads -------------------------------------------------------------------------------------------------- */

static int threads(int r, long more)
{
    pthread_mutex_lock(&lock);
    if (r == 0) count.threads += more;
    pthread_mutex_unlock(&lock);
    return r;
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user)
{
    int error = hit(INJECT_THREAD, __func__);

    return error != 0 ? error : threads(__real_pthread_create(thread, attributes, run, user), 1);
}

WRAP(int, pthread_join, pthread_t thread, void **ret)
{
    return threads(__real_pthread_join(thread, ret), -1);
}

WRAP(int, pthread_timedjoin_np, pthread_t thread, void **ret, const struct timespec *until)
{
    return threads(__real_pthread_timedjoin_np(thread, ret, until), -1);
}

WRAP(int, pthread_tryjoin_np, pthread_t thread, void **ret)
{
    return threads(__real_pthread_tryjoin_np(thread, ret), -1);
}

WRAP(int, pthread_detach, pthread_t thread)
{
    return threads(__real_pthread_detach(thread), -1);
}

WRAP(int, pthread_key_create, pthread_key_t *key, void (*destroy)(void *))
{
    int error = hit(INJECT_KEY, __func__);

    return error != 0 ? error : __real_pthread_key_create(key, destroy);
}

WRAP(int, pthread_setspecific, pthread_key_t key, const void *value)
{
    int error = value != NULL ? hit(INJECT_KEY, __func__) : 0;

    return error != 0 ? error : __real_pthread_setspecific(key, value);
}

WRAP(int, pthread_mutexattr_init, pthread_mutexattr_t *attributes)
{
    int error = hit(INJECT_MUTEX, __func__);

    return error != 0 ? error : __real_pthread_mutexattr_init(attributes);
}

WRAP(int, pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int error = hit(INJECT_MUTEX, __func__);

    return error != 0 ? error : __real_pthread_mutex_init(mutex, attributes);
}

void (*inject_before_trylock)(pthread_mutex_t *mutex);

WRAP(int, pthread_mutex_trylock, pthread_mutex_t *mutex)
{
    if (inject_before_trylock != NULL) inject_before_trylock(mutex);
    return __real_pthread_mutex_trylock(mutex);
}

/* Its own lock is another's business. */
WRAP(int, pthread_mutex_unlock, pthread_mutex_t *mutex)
{
    if (mutex != &lock) {
        pthread_mutex_lock(&lock);
        count.unlocked++;
        __real_pthread_mutex_unlock(&lock);
    }
    return __real_pthread_mutex_unlock(mutex);
}

/* ---- waiting --------------------------------------------------------------------------------------------------- */

WRAP(int, nanosleep, const struct timespec *time, struct timespec *left)
{
    pthread_mutex_lock(&lock);
    count.naps++;
    pthread_mutex_unlock(&lock);
    return __real_nanosleep(time, left);
}

WRAP(int, sched_yield, void)
{
    pthread_mutex_lock(&lock);
    count.yields++;
    pthread_mutex_unlock(&lock);
    return __real_sched_yield();
}

/* ---- the count ------------------------------------------------------------------------------------------------ */

struct inject_count inject_count(void)
{
    struct inject_count now;
    DIR *folder = opendir("/proc/self/fd");
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    cr_assert(folder != NULL && maps != NULL);
    pthread_mutex_lock(&lock);
    now = count;
    pthread_mutex_unlock(&lock);
    now.descriptors = -2; /* the two that count */
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) now.descriptors += e->d_name[0] != '.';
    while (fgets(line, sizeof line, maps) != NULL) now.segments += strstr(line, "/dev/shm/") != NULL;
    fclose(maps);
    closedir(folder);
    return now;
}

static void judge_one(const struct inject_walk *w, long now, long was, const char *what, const char *when)
{
    cr_assert_eq(now, was, "%s: %ld more %s after %s", w->name, now - was, what, when);
}

static void judge_count(const struct inject_walk *w, const struct inject_count *was, const char *when)
{
    struct inject_count now = inject_count();

    judge_one(w, now.blocks, was->blocks, "blocks of memory", when);
    judge_one(w, now.mapped, was->mapped, "bytes mapped", when);
    judge_one(w, now.threads, was->threads, "threads", when);
    judge_one(w, now.descriptors, was->descriptors, "descriptors", when);
    judge_one(w, now.closed, was->closed, "descriptors closed that were not open", when);
    judge_one(w, now.segments, was->segments, "mappings of segments", when);
}

/* ---- the walk ------------------------------------------------------------------------------------------------- */

static void judge_result(const struct inject_walk *w, int r, const char *when)
{
    const int *allowed = w->results;

    while (*allowed != 0 && *allowed != r) allowed++;
    cr_assert_eq(*allowed, r, "%s: %d after %s", w->name, r, when);
}

static long number(const struct inject_walk *w)
{
    return w->as_before != NULL ? w->as_before(w->user) : 0;
}

/* Calls it, judges, gives back and judges again. Returns its result. */
static int step(const struct inject_walk *w, unsigned at, bool onward, const char **failed)
{
    struct inject_count first = inject_count(), was;
    char when[96] = "a call that nothing happens to";
    long outside = number(w), before;
    int r;

    if (w->prepare != NULL) w->prepare(w->user);
    was = inject_count();
    before = number(w);
    inject_begin(w->calls, at, onward, w->error);
    r = w->call(w->user);
    *failed = inject_end();
    if (*failed != NULL)
        snprintf(when, sizeof when, "%s, call %u%s, with '%s'", *failed, at, onward ? " and all later ones" : "",
                 strerror(w->error));
    if (*failed != NULL) judge_result(w, r, when);
    else cr_assert_eq(r, 0, "%s: %d after %s", w->name, r, when);
    if (r == 0 && w->undo != NULL) w->undo(w->user);
    if (r != 0 || w->undo != NULL) {
        judge_count(w, &was, when);
        judge_one(w, number(w), before, "than before", when);
    }
    if (w->tidy != NULL) w->tidy(w->user);
    judge_count(w, &first, when);
    judge_one(w, number(w), outside, "than before", when);
    return r;
}

unsigned inject_walk(const struct inject_walk *w)
{
    const char *failed;
    unsigned refused = 0;

    inject_begin(0, 0, false, 0);
    if (w->prepare != NULL) w->prepare(w->user);
    cr_assert_eq(w->call(w->user), 0, "%s: when nothing happens to it", w->name);
    if (w->undo != NULL) w->undo(w->user);
    if (w->tidy != NULL) w->tidy(w->user);
    for (int onward = 0; onward < 2; onward++) {
        unsigned at = 0;

        do
            refused += step(w, ++at, onward, &failed) != 0;
        while (failed != NULL);
        cr_assert_gt(at, 1, "%s: none of its calls has failed", w->name);
    }
    return refused;
}
