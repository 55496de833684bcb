/* registry/routing/hedging.h - what a capability allows in second copies of its tasks (client/hedge.h): whether, after which time,
 * and how many.
 *
 * WHETHER   Only a capability that declares itself `idempotent` (terms.def), and not `stateful` (homes.h): no other provider would
 *           answer as the first.
 * TIME      1 The time within which 19 of 20 tasks end, from when they may be run. It is measured by those who collect tasks that
 *           are to be hedged after it, and by nobody else.
 *           2 `hedge_time` is estimate << 8 | tasks so far (at most 255). A task that took longer raises the estimate by 19 parts,
 *           one that did not lowers it by one part, so it stands still where one of 20 takes longer. Of a task of which a second
 *           copy was sent it is known only that it took longer, and no more needs to be known. A part is a 20th at first, after 64
 *           tasks a 160th.
 *           3 Before AP_HEDGING_KNOWN tasks the time is not known.
 * BUDGET    1 A second copy costs one. A fifth of the tasks that the providers have started and ten a second pay, and what 10 s of
 *           that give is saved. So a callee that is slow as a whole gets a fifth more load, and not twice as much.
 *           2 `hedge_paid` is how far all is paid, on a scale that goes on with the clock and the tasks started. It is moved by
 *           compare-and-swap. A caller that dies afterwards has paid in vain.
 *           3 A provider that goes takes its tasks from the scale. A word ahead of the scale is set back to it, and nothing is
 *           saved.
 * COUNT     hedged: second copies; hedge_won: those whose answer came first; hedge_held: those that were due, and for which there
 *           was no budget, other provider, or room.
 * CRASH     Each word is valid on its own.
 * THREADS   Any.
 */
#ifndef AP_HEDGING_H
#define AP_HEDGING_H

#include "registry/routing/homes.h"

#define AP_HEDGING_KNOWN 20u

static inline bool ap_hedging_allowed(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);

    return row != NULL && ap_term(seg, capability, row, AP_TERM_idempotent) != 0 && !ap_stateful(seg, capability);
}
/* Pays for one: whether there was something to pay with. */
bool ap_hedging_pay(const struct ap_segment *seg, uint32_t capability, uint64_t now);
/* The time within which 19 of 20 tasks end; 0: it is not known. */
uint64_t ap_hedging_time(const struct ap_segment *seg, uint32_t capability);
/* A task took so long, or, with `longer`, longer than the time. */
void ap_hedging_took(const struct ap_segment *seg, uint32_t capability, uint64_t took, bool longer);

#endif
