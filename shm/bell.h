/* shm/bell.h - eventcount: how a waiting side parks and is woken, one 32-bit word, kill-safe.
 *
 * LAYOUT    bit 0: somebody may sleep on this word; bits 1..31: a sequence.
 * PROTOCOL  sleeper: raise (v -> (v + 2) | 1), look at the condition again, sleep while the word is that value.
 *           waker:   make the condition true, full fence, and if bit 0 is set: bump the sequence, wake all, then lower
 *                    bit 0. Lowering before waking loses the wake for good when the waker dies in between; that is the
 *                    only order of four that a model checker does not refute.
 * ORDERING  BELL-F1 full fence in ap_bell_ring (condition before the flag's load) pairs BELL-F2 the compare-and-swap in
 *           ap_bell_raise followed by a full fence (flag before the condition's second look).
 *           A sleeper that finds its condition true does not lower: another may sleep on the word. One needless wake.
 * CRASH     waker dies before the wake: bit 0 stays set, and the reaper rings every bell after a confirmed death.
 *           Sleeper dies: bit 0 stays set, one needless wake later. A wake eaten by a dying sleeper: the reaper again.
 */
#ifndef AP_BELL_H
#define AP_BELL_H

#include "core/atomic.h"
#include "core/ops.h"

/* Raise the flag; returns the value to sleep on. Look at the condition after this, then sleep. */
static inline uint32_t ap_bell_raise(uint32_t *bell)
{
    uint32_t v = ap_load_relaxed(bell);
    while (!ap_cas(bell, &v, (v + 2) | 1)) {}
    ap_fence_full(); /* BELL-F2 pairs BELL-F1 */
    return (v + 2) | 1;
}

/* Bump, wake, lower: for callers that have fenced and seen the flag, and for the reaper, which rings unconditionally. */
void ap_bell_wake(const struct ap_ops *ops, uint32_t *bell);

/* The waker after it made its condition true. */
static inline void ap_bell_ring(const struct ap_ops *ops, uint32_t *bell)
{
    ap_fence_full(); /* BELL-F1 pairs BELL-F2 */
    if (__builtin_expect(ap_load_relaxed(bell) & 1, 0)) ap_bell_wake(ops, bell);
}

#endif
