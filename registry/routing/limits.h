/* registry/routing/limits.h - limits of a capability for all who ask for it: `rate`, `burst` and `queue_limit` (terms.def).
 *
 * RATE      1 A task pays an interval, a second by the rate. `paid` of the capability's row is the time until which all is paid; it
 *           may be ahead of now by one interval less than the burst has. So `burst` tasks may come at once, and as many a second as
 *           the rate says in the long run: a bucket of tokens in one word.
 *           2 A caller pays by compare-and-swap when the task is about to be placed. One that finds no place afterwards, or whose
 *           caller dies, has paid in vain.
 *           3 A time further ahead than the burst allows is nobody's, and counts as now.
 *           4 A task with a delay pays nothing: it is placed at its time by whoever finds it due.
 * QUEUE     A task is refused where so many wait at the provider that was chosen. Several callers at once may pass the limit by one
 *           each.
 * COST      A capability that declares nothing is asked nothing. One with limits is looked up at each submit.
 * COUNT     queue.refused.
 * THREADS   Any.
 */
#ifndef AP_LIMITS_H
#define AP_LIMITS_H

#include "registry/routing/terms.h"

/* Whether a queue has room for another task of the capability, by its bound. Nothing is paid. */
bool ap_limits_room(const struct ap_segment *seg, uint32_t capability, uint32_t queue);
/* Whether the capability has declared a limit. */
bool ap_limits_any(const struct ap_segment *seg, uint32_t capability);
/* Whether a task may be placed in the queue: 0; APIARY_ERATE, with the time until it may be in *ret_after; APIARY_EQUEUEFULL. */
int ap_limits_admit(const struct ap_segment *seg, uint32_t capability, uint32_t queue, uint64_t *ret_after);

#endif
