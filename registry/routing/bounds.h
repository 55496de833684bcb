/* registry/routing/bounds.h - what a capability declares of the options of its tasks (terms.def): the values that they have where
 * their callers do not say, and within which their callers may.
 *
 * TIMERS    schedule_to_close (a caller's timeout), schedule_to_start, start_to_close and heartbeat: at most what is declared.
 * DELAY     at least what is declared.
 * RETRY     max_attempts: at most what is declared; backoff: at least. A failure with a code from never_from to never_to is not
 *           tried again. The worker sees to that, so it is so for tasks that were delegated before it was declared, too.
 * HEDGE     1 hedge: of a capability that is idempotent. A caller that says a time has the later of both; as long as nobody knows
 *           the time of p95, what is declared. One that wants none says so (APIARY_NO_HEDGE).
 *           2 Tasks that cannot be hedged are not: those that are fire and forget, whose parts are wanted as they come, that have
 *           one provider, or that their caller has tried again. One that is hedged is not tried again.
 * PRIORITY  priority: that of a task whose caller does not say. max_priority: that of a task whose caller asks for a more urgent
 *           one.
 * WAIT      wait_for_provider: a caller cannot do without.
 * WHERE     The submitting side puts them into its copy of the options, when it has found that the capability declares any
 *           (registry/client/within.c). The task carries them like any others, and nobody else need know.
 * COST      A capability that declares none of its terms is asked nothing. One that declares any is looked up at each submit.
 * THREADS   Any.
 */
#ifndef AP_BOUNDS_H
#define AP_BOUNDS_H

#include "registry/routing/terms.h"

/* Whether the capability has declared any. */
bool ap_bounds_any(const struct ap_segment *seg, uint32_t capability);
/* Puts them into options of this version. */
void ap_bounds_apply(const struct ap_segment *seg, uint32_t capability, apiary_delegate_options_t *o);
/* Whether a failure with this code of its agent is not tried again. */
bool ap_bounds_never(const struct ap_segment *seg, uint32_t capability, uint32_t code);

#endif
