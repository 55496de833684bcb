/* registry/conflict/conflict.h - ConflictResolver: claims on keys, by the callers of the library. See shm/claim.h.
 *
 * HOLDER    A claim belongs to the lane of the calling thread. The claims of a thread end with it, before its lane is given back or
 *           shared.
 * WAITING   1 The waiter sleeps on its lane's bell and, where the system can (FUTEX_WAITV), on the lock word of the holder's lane,
 *           which the kernel marks at its death. So it needs nobody else to learn of that.
 *           2 Parks are timed, 10 ms at first and then up to 1 s: for the holder's time, for a turn that another one does not take,
 *           and for a death that no mark tells, which the system is asked about from the second park on.
 */
#ifndef AP_CONFLICT_H
#define AP_CONFLICT_H

#include "registry/client/client.h"
#include "shm/claim.h"

/* After a try: 1 granted, 0 it was in vain for `timeout` (0: for ever), or it would wait for itself; APIARY_EINTERRUPTED; the
 * errors of ap_claim_take. */
AP_MUST_CHECK int ap_claim_wait(struct ap_lane_context *c, struct ap_claim_ask *ask, uint64_t timeout, struct ap_claim_view *ret);

#endif
