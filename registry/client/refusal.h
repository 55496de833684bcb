/* registry/client/refusal.h - why a delegation was refused, and when another attempt may do better.
 *
 * KEPT      1 A lane keeps what its last refused delegation or loan was about, in private memory. Nothing is worked out then, so
 *           that a refusal takes no longer than a submit.
 *           2 The rest is worked out when somebody asks (apiary_refusal): what is full, who holds it as of then, which key of the
 *           configuration bounds it, and when to try again.
 * THREADS   The lane's own.
 */
#ifndef AP_REFUSAL_H
#define AP_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/apiary.h"

struct ap_lane_context;

/* Where a task would have had to fit in, for which there is no room. */
enum ap_refused_by {
    AP_REFUSED_INLET,  /* the caller's own ring */
    AP_REFUSED_SHARED, /* the shared ring (shm/crowd.h, PLACES) */
    AP_REFUSED_LIMIT,  /* the capability's queue_limit */
    AP_REFUSED_ONE,    /* all rings together, since it is for this provider alone */
};

/* All zeros: nothing was refused yet. */
struct ap_refused {
    int error;
    uint32_t queue;  /* at which there was no room; valid for APIARY_EQUEUEFULL, _EBACKLOG, _ERATE, and for a probe */
    uint32_t capability; /* valid for APIARY_EFORBIDDEN, AP_REFUSED_LIMIT, and `gated` */
    uint8_t by;      /* enum ap_refused_by; valid for APIARY_EQUEUEFULL */
    bool probe;      /* it was a probe */
    bool gated;      /* it was for one provider behind a gate; with APIARY_ENOPROVIDER */
    uint64_t size;   /* of the body */
    uint64_t excess; /* ns that it came too early, or would have waited too long; valid for APIARY_ERATE, _EBACKLOG */
};

/* Keeps and counts that a rule has refused the lane a capability. */
void ap_refused_rule(struct ap_lane_context *c, uint32_t capability);
/* Counts that the caller of a public function is refused (registry/monitor/tally.h), by name or (NULL) bound, and returns `error`.
 * A loan is of no capability yet: both are NULL.
 * APIARY_EINVAL is the caller's own mistake, and not counted. Only where a caller is told: a refusal passes through several
 * functions. */
int ap_refused_told(struct ap_lane_context *c, const char *capability, const apiary_capability_t *bound, int error);
/* Keeps a refusal of the calling lane, and returns `error`. full: keeps what has no room, and returns APIARY_EQUEUEFULL. */
int ap_refused(struct ap_lane_context *c, int error, size_t size);
int ap_refused_full(struct ap_lane_context *c, uint32_t queue, enum ap_refused_by by);

#endif
