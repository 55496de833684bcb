/* shm/bell.h - eventcount: how a waiting side parks and is woken, one 32-bit word, kill-safe.
 *
 * LAYOUT    bit 0: a thread may sleep on this word; bits 1..31: a sequence.
 * PROTOCOL  1 Sleeper: raise (v -> (v + 2) | 1), look at the condition again, sleep while the word has that value.
 *           2 Waker: make the condition true, full fence. If bit 0 is set: bump the sequence, wake all, then lower bit 0.
 *           3 Lowering before waking loses the wake for good when the waker dies in between. A model checker refutes the other
 *           three orders.
 *           4 A sleeper that finds its condition true does not lower bit 0: another may sleep on the word. That costs one needless
 *           wake.
 * ORDERING  BELL-F1 full fence in ap_bell_ring (condition before the flag's load) pairs BELL-F2 the compare-and-swap in
 *           ap_bell_raise followed by a full fence (flag before the condition's second look).
 * CRASH     1 The waker dies before the wake: bit 0 stays set, and the reaper rings every bell after a confirmed death.
 *           2 The sleeper dies: bit 0 stays set, and costs one needless wake later.
 *           3 A dying sleeper takes the only wake: the reaper rings again.
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

/* Bumps, wakes, lowers. For callers that have fenced and seen the flag, and for the reaper, which rings unconditionally. */
void ap_bell_wake(const struct ap_ops *ops, uint32_t *bell);

/* Rings the bell. By the waker, after it made its condition true. */
static inline void ap_bell_ring(const struct ap_ops *ops, uint32_t *bell)
{
    ap_fence_full(); /* BELL-F1 pairs BELL-F2 */
    if (__builtin_expect(ap_load_relaxed(bell) & 1, 0)) ap_bell_wake(ops, bell);
}

#endif
