/* core/atomic.h - the only atomic accesses of the project, each with its order in its name.
 *
 * 1 Compiler builtins and not ck_pr: inline assembly is opaque to the thread sanitizer. ck_pr is used for ck_pr_stall, which does
 *   not access memory.
 * 2 Every ordered access elsewhere carries a label that names its partner.
 */
#ifndef AP_ATOMIC_H
#define AP_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include <ck_pr.h>

#define AP_LINE 64u
#define AP_ALIGNED __attribute__((aligned(AP_LINE)))
/* For steps of the hot path that are written once and used in several. */
#define AP_ALWAYS_INLINE static inline __attribute__((always_inline))

#define ap_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define ap_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ap_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define ap_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ap_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define ap_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define ap_or_acq_rel(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define ap_and_acq_rel(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define ap_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Adds to a uint64_t that only the caller's thread writes and others read. On x86-64 it is one instruction, without a lock: a kill
 * leaves the sum, or what was there before. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define ap_own_add(p, v) __asm__ __volatile__("addq %1, %0" : "+m"(*(p)) : "er"((uint64_t)(v)) : "cc")
#else
#define ap_own_add(p, v) ap_store_relaxed((p), ap_load_relaxed(p) + (uint64_t)(v))
#endif
/* Strong compare-and-swap: acquire and release when it succeeds, acquire when it fails; *expected is updated. */
#define ap_cas(p, expected, v) \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* Reads before the fence are not moved behind it: for a second look at the word that says whether they belonged together. */
#define ap_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
/* A thread that sees a store after the fence, and then fences with acquire, sees all stores before the fence. For relaxed stores
 * behind a compare-and-swap: on arm64 they may be seen before the store of the compare-and-swap. */
#define ap_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)

/* Store-load order (the "did the other side go to sleep / close" pattern): both sides publish, fence, then look. */
static inline void ap_fence_full(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    /* A locked add to the stack is the cheapest full barrier on x86; mfence also orders non-temporal stores. */
    __asm__ __volatile__("lock; addl $0,-4(%%rsp)" ::: "memory", "cc");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* The same behind a compare-and-swap that has just succeeded: on x86 that is such a fence itself. */
static inline void ap_fence_swapped(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__ __volatile__("" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Prefetches a cache line that is about to be written, so that it is transferred once, as exclusive, and not twice. Any
 * address. */
static inline void ap_prefetch_write(const void *p)
{
#if defined(__x86_64__)
    /* The builtin emits it only where the compiler is told that every processor has it. */
    __asm__ __volatile__("prefetchw %0" ::"m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1, 3);
#endif
}

static inline void ap_prefetch_read(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

static inline void ap_pause(void)
{
    ck_pr_stall();
}

#endif
