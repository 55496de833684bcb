/* tests/fuzz/guard.c - in the place of mmap, munmap, nanosleep and sched_yield of everything that is linked into a target; and of
 * two functions of ours whose answer is always the same and costs more than all else that an input does.
 *
 * A shared mapping lies between two stretches of memory that nobody may touch, so that an access outside a segment ends the
 * process even where its neighbour would have been some other mapping. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/atomic.h"
#include "core/ops.h"
#include "shm/segment.h"
#include "tests/fuzz/fuzz.h"

#define MOAT ((size_t)16 << 20)
#define KEPT 64

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_sched_yield(void);
int __real_ap_identity_self(struct ap_identity *ret);
int __wrap_ap_identity_self(struct ap_identity *ret);
uint64_t __real_ap_layout_fingerprint(const struct ap_parts *parts);
uint64_t __wrap_ap_layout_fingerprint(const struct ap_parts *parts);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint8_t *at;
    size_t size, whole;
    size_t left; /* of it, still mapped: a detach beside living threads unmaps in pieces */
} kept[KEPT];

static size_t pages(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

static bool keep(uint8_t *at, size_t size, size_t whole)
{
    bool done = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < KEPT && !done; i++) {
        if (kept[i].at != NULL) continue;
        kept[i].at = at;
        kept[i].size = pages(size);
        kept[i].left = pages(size);
        kept[i].whole = whole;
        done = true;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

size_t fuzz_mapped(void)
{
    size_t sum = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < KEPT; i++) sum += kept[i].left;
    pthread_mutex_unlock(&lock);
    return sum;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    size_t whole = pages(size) + 2 * MOAT;
    uint8_t *moat;
    void *got;

    if ((flags & MAP_SHARED) == 0 || at != NULL || size == 0 || size > ((size_t)1 << 40))
        return __real_mmap(at, size, protection, flags, fd, offset);
    moat = __real_mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (moat == MAP_FAILED) return MAP_FAILED;
    got = __real_mmap(moat + MOAT, size, protection, flags | MAP_FIXED, fd, offset);
    if (got == MAP_FAILED || !keep(got, size, whole)) {
        __real_munmap(moat, whole);
        return MAP_FAILED;
    }
    return got;
}

int __wrap_munmap(void *at, size_t size)
{
    uint8_t *from = at, *moat = NULL;
    size_t whole = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < KEPT && from != NULL; i++) {
        if (kept[i].at == NULL || from < kept[i].at || from >= kept[i].at + kept[i].size) continue;
        FUZZ_REQUIRE(from + pages(size) <= kept[i].at + kept[i].size && pages(size) <= kept[i].left);
        kept[i].left -= pages(size);
        if (kept[i].left > 0) break;
        moat = kept[i].at - MOAT;
        whole = kept[i].whole;
        memset(&kept[i], 0, sizeof kept[i]);
        break;
    }
    pthread_mutex_unlock(&lock);
    return moat != NULL ? __real_munmap(moat, whole) : __real_munmap(at, size);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time;
    (void)left;
    return 0;
}

int __wrap_sched_yield(void)
{
    return 0;
}

int __wrap_ap_identity_self(struct ap_identity *ret)
{
    static struct ap_identity self;

    if (self.pid == 0) FUZZ_REQUIRE(__real_ap_identity_self(&self) == 0);
    *ret = self;
    return 0;
}

uint64_t __wrap_ap_layout_fingerprint(const struct ap_parts *parts)
{
    static const struct ap_parts *of;
    static uint64_t sum;

    if (sum == 0 || of != parts) sum = __real_ap_layout_fingerprint(parts);
    of = parts;
    return sum;
}

/* For the thread sanitizer: its detector of deadlocks counts a lock as held that a thread has left by other means than an unlock
 * (shm/robust.h), as forged pointers make it do here again and again, and has room for 64. */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}
