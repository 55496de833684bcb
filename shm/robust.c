/* shm/robust.c - robust locks. See robust.h. */
#include "shm/robust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/invariant.h"
#include "core/ops.h"

/* glibc's __kind of a robust, process-shared mutex of type normal (PTHREAD_MUTEX_ROBUST_NORMAL_NP, PSHARED_BIT). */
#define ROBUST_SHARED (16 | 128)

int ap_robust_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t attr;
    int r = pthread_mutexattr_init(&attr);

    if (r != 0) return -r;
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    r = pthread_mutex_init(m, &attr);
    pthread_mutexattr_destroy(&attr);
    return -r;
}

/* glibc threads the held robust mutexes of a thread into a list whose pointers lie in the mutexes, so in the segment, and
 * follows them at unlock. This is the list as it must be: what is held by this thread through this file, with the pointers
 * each must show. */
#define HOLDS_FEW 16u

struct hold {
    pthread_mutex_t *mutex;
    void *next, *prev;
};
static _Thread_local struct hold few[HOLDS_FEW];
static _Thread_local struct hold *holds; /* `few`, or from the heap when they are many */
static _Thread_local uint32_t hold_count, hold_room;
static _Thread_local uint32_t holder;                /* this thread: a forked child has a copy of all this, but none of the locks */
static _Thread_local struct robust_list_head *heads; /* glibc's, NULL when the system does not say where */
static _Thread_local bool unknown;                   /* to the kernel: see PROBE */

static void *node_of(pthread_mutex_t *m)
{
    return &m->__data.__list.__next;
}

/* glibc believes the kind that stands in the mutex, and aborts on what it thinks cannot be. */
static bool robust_kind(const pthread_mutex_t *m)
{
    return ap_load_relaxed(&m->__data.__kind) == ROBUST_SHARED;
}

static bool holding(const pthread_mutex_t *m)
{
    for (uint32_t i = 0; i < hold_count; i++)
        if (holds[i].mutex == m) return true;
    return false;
}

void ap_robust_consistent(pthread_mutex_t *m)
{
    pthread_mutex_consistent(m);
}

static void **untagged(void *node) /* glibc marks what inherits priorities in the lowest bit */
{
    return (void **)((uintptr_t)node & ~(uintptr_t)1);
}

static const struct hold *hold_at(void **node)
{
    for (uint32_t i = 0; i < hold_count; i++)
        if (node_of(holds[i].mutex) == (void *)node) return &holds[i];
    return NULL;
}

/* The mutex that follows in the thread's list, by the private copy. But the list may hold mutexes of the program, too, and the
 * next one may have gone without our knowledge. Then the pointer in the segment is believed if it leads to a mutex that is known
 * to be in the list. NULL: unknown. */
static void *node_after(const struct hold *h)
{
    void *shown = ap_load_relaxed(&h->mutex->__data.__list.__next), **list = (void **)heads;

    if (shown == h->next || untagged(h->next) == list || hold_at(untagged(h->next)) != NULL) return h->next;
    if (shown == (void *)list) return list[-1] == node_of(h->mutex) ? shown : NULL; /* the last one's name lies before the head */
    return hold_at(untagged(shown)) != NULL ? shown : NULL;
}

/* The node before it in the thread's list, from glibc's head on. NULL: it is not to be found. */
static void **node_before(pthread_mutex_t *m)
{
    void **at = (void **)heads;

    for (int i = 0; i < ROBUST_LIST_LIMIT; i++) {
        const struct hold *h = hold_at(at);
        void **next = untagged(h != NULL ? node_after(h) : *at);

        if (next == node_of(m)) return at;
        if (next == NULL || next == (void **)heads) return NULL;
        at = next;
    }
    return NULL;
}

/* Takes it out of the list whatever its pointers say: what stays in is followed at the thread's next lock, when the segment may
 * be mapped no more. Then frees the lock, if it is still this thread's. False: not without believing the pointers. */
static bool take_out(struct hold *h)
{
    uint32_t *word = (uint32_t *)ap_robust_word(h->mutex), v;
    void **prev = heads != NULL ? node_before(h->mutex) : NULL, *next = prev != NULL ? node_after(h) : NULL;

    if (next == NULL) return false;
    *prev = next;
    untagged(next)[-1] = prev; /* a node is the address of a next pointer; the pointer to the one before lies before it */
    h->prev = prev;
    h->next = next;
    v = ap_load_relaxed(word);
    while ((v & FUTEX_TID_MASK) == holder)
        if (ap_cas(word, &v, 0)) break; /* LANE-R4 pairs LANE-A4, as glibc's unlock and the kernel's mark do */
    if ((v & FUTEX_WAITERS) != 0) syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    return true;
}

/* Out of the list and free, and none of ours any more; false: it is not to be had out. */
static bool robust_let_go(uint32_t at)
{
    AP_ASSERT(at < hold_count);
    struct hold h = holds[at];
    pthread_mutex_t *m = h.mutex;
    bool sound = robust_kind(m) && m->__data.__list.__next == h.next && m->__data.__list.__prev == h.prev;

    /* It is refused, and nothing done, when the lock word names another thread. */
    if ((!sound || pthread_mutex_unlock(m) != 0) && !take_out(&h)) return false;
    for (uint32_t i = 0; i < hold_count; i++) {
        if (holds[i].next == node_of(m)) holds[i].next = h.next;
        if (holds[i].prev == node_of(m)) holds[i].prev = h.prev;
    }
    holds[at] = holds[--hold_count];
    return true;
}

/* ---- what is left of mappings that have gone ------------------------------------------------------------------ */

/* A page with locks that threads of this process hold. */
struct remain {
    struct remain *next;
    uint8_t *page;
    size_t size, held;
};
static struct remain *remains;
static pthread_mutex_t remains_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t remain_count;
static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct remain *remain_of(const void *at)
{
    for (struct remain *r = remains; r != NULL; r = r->next)
        if ((uintptr_t)at - (uintptr_t)r->page < r->size) return r;
    return NULL;
}

static void remain_left(struct remain *r)
{
    struct remain **at = &remains;

    if (--r->held > 0) return;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    ap_store_relaxed(&remain_count, remain_count - 1);
    munmap(r->page, r->size);
    free(r);
}

/* The thread lets go of what it still holds there. */
static void robust_settle(void)
{
    if (ap_load_relaxed(&remain_count) == 0 || hold_count == 0) return;
    pthread_mutex_lock(&remains_lock);
    for (uint32_t i = 0; i < hold_count;) {
        struct remain *r = remain_of(holds[i].mutex);

        if (r != NULL && robust_let_go(i)) remain_left(r);
        else i++;
    }
    pthread_mutex_unlock(&remains_lock);
}

/* The thread ends. Other destructors may unlock after this one, so it comes again, as often as glibc will; what is held then is
 * left to the kernel. */
static void robust_thread_ends(void *times)
{
    if (holder != ap_thread_id()) return;
    robust_settle();
    if (hold_count > 0 && (uintptr_t)times < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(thread_key, (void *)((uintptr_t)times + 1));
        return;
    }
    if (holds != few) free(holds);
    holds = few;
    hold_count = 0;
    hold_room = HOLDS_FEW;
}

/* Another thread may have been at it when this process was forked. */
static void robust_child_begins(void)
{
    pthread_mutex_init(&remains_lock, NULL);
}

static void robust_begin(void)
{
    pthread_key_create(&thread_key, robust_thread_ends);
    pthread_atfork(NULL, NULL, robust_child_begins);
}

static void list_find(void)
{
    size_t size;

    if (syscall(SYS_get_robust_list, 0, &heads, &size) == 0) {
        unknown = heads == NULL;
        return;
    }
    heads = NULL;
    /* A list of no length is refused by a kernel that has such lists. */
    unknown = errno != ENOSYS || syscall(SYS_set_robust_list, NULL, 0) == 0 || errno != ENOSYS;
}

static void holds_own(void)
{
    uint32_t tid = ap_thread_id();

    if (holder == tid) {
        robust_settle();
        return;
    }
    holder = tid;
    hold_count = 0;
    if (holds == NULL) {
        holds = few;
        hold_room = HOLDS_FEW;
    }
    list_find();
    pthread_once(&once, robust_begin);
    pthread_setspecific(thread_key, (void *)1);
}

static bool holds_grow(void)
{
    struct hold *more = malloc(2 * hold_room * sizeof *more);

    if (more == NULL) return false;
    memcpy(more, holds, hold_count * sizeof *more);
    if (holds != few) free(holds);
    holds = more;
    hold_room *= 2;
    return true;
}

/* ---- lock, unlock --------------------------------------------------------------------------------------------- */

bool ap_robust_known(void)
{
    holds_own();
    return !unknown;
}

int ap_robust_trylock(pthread_mutex_t *m)
{
    struct hold *h;
    void *first;
    int r;

    holds_own();
    if (unknown) return -ENOTSUP;
    /* Held already: the lock word says otherwise, and glibc would thread it in a second time. */
    if (!robust_kind(m) || holding(m)) return -EBUSY;
    if (hold_count == hold_room && !holds_grow()) return -ENOMEM;
    h = &holds[hold_count];
    first = heads != NULL ? (void *)heads->list.next : NULL;
    r = pthread_mutex_trylock(m);
    if (r != 0 && r != EOWNERDEAD) return -EBUSY;
    h->mutex = m;
    h->next = heads != NULL ? first : m->__data.__list.__next;
    h->prev = heads != NULL ? (void *)heads : m->__data.__list.__prev;
    /* A new one goes in at the front: what was first now has it as its predecessor. */
    for (uint32_t i = 0; i < hold_count; i++)
        if (node_of(holds[i].mutex) == h->next) holds[i].prev = node_of(m);
    hold_count++;
    return -r;
}

void ap_robust_unlock(pthread_mutex_t *m)
{
    uint32_t at = 0;

    holds_own();
    while (at < hold_count && holds[at].mutex != m) at++;
    if (at < hold_count) robust_let_go(at);
}

/* ---- part ----------------------------------------------------------------------------------------------------- */

/* A private page takes the place of a shared one, in one step for all threads: who touches it meanwhile waits for the kernel. */
static bool page_take(uint8_t *page, size_t size, const uint8_t *copied)
{
    struct remain *r = malloc(sizeof *r);
    uint8_t *fresh = r != NULL ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

    if (fresh == MAP_FAILED) {
        free(r);
        return false;
    }
    memcpy(fresh, copied, size);
    if (mremap(fresh, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
        munmap(fresh, size);
        free(r);
        return false;
    }
    *r = (struct remain){.next = remains, .page = page, .size = size};
    remains = r;
    ap_store_relaxed(&remain_count, remain_count + 1);
    return true;
}

static void words_copy(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = ap_load_relaxed((const uint64_t *)(const void *)(from + i));
        memcpy(to + i, &word, 8);
    }
}

/* A pointer of a list that its thread has changed since the copy was made, unless it has changed it again in the new page. */
static void bring_over(uint8_t *page, const uint8_t *copied, const uint8_t *again, size_t at)
{
    void *was, *now = ap_load_relaxed((void *const *)(const void *)(again + at));

    memcpy(&was, copied + at, sizeof was);
    if (now != was) ap_cas((void **)(void *)(page + at), &was, now);
}

static bool page_part(uint8_t *page, size_t size, const uint8_t *again, uint8_t *base, const size_t *held, size_t count)
{
    uint8_t *copied = malloc(size);
    bool taken;

    if (copied == NULL) return false;
    words_copy(copied, page, size);
    taken = page_take(page, size, copied);
    for (size_t i = 0; taken && i < count; i++) {
        size_t at = (size_t)(base + held[i] - page);

        if (base + held[i] < page || at >= size) continue;
        remains->held++;
        bring_over(page, copied, again, at + offsetof(pthread_mutex_t, __data.__list.__next));
        bring_over(page, copied, again, at + offsetof(pthread_mutex_t, __data.__list.__prev));
    }
    free(copied);
    return taken;
}

bool ap_robust_part(uint8_t *base, size_t size, uint8_t *again, const size_t *held, size_t count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *from = base;
    bool all = true;

    pthread_mutex_lock(&remains_lock);
    for (size_t i = 0; all && i < count; i++) {
        size_t at = held[i] / page * page;

        if (remain_of(base + at) == NULL) all = page_part(base + at, page, again + at, base, held, count);
    }
    while (all && from < base + size) {
        uint8_t *to = from;

        while (to < base + size && remain_of(to) == NULL) to += page;
        if (to > from) munmap(from, (size_t)(to < base + size ? to - from : base + size - from));
        from = to + page;
    }
    pthread_mutex_unlock(&remains_lock);
    return all;
}
