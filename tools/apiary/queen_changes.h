/* tools/apiary/queen_changes.h - what a queen takes over of another configuration while she runs (wire.h).
 *
 * 1 A text that comes over the wire is parsed, and what of it is applied in place is (AP_EFFECT_ADJUST). Kinds and plug-ins are not
 *   looked at again: these are what the queen was started with.
 * 2 A text that would have her restarted is refused whole. So is one that she cannot take over; she stays as she is then.
 */
#ifndef AP_TOOLS_APIARY_QUEEN_CHANGES_H
#define AP_TOOLS_APIARY_QUEEN_CHANGES_H

#include "core/apiary/swarm.h"
#include "tools/apiary/apiary.h"
#include "tools/common/wire.h"

struct queen_changes {
    int fd; /* -1: none come */
    const char *path; /* of the configuration, for messages */
    const char *replicas; /* what of each text is said otherwise (config.h); NULL: nothing */
    const struct ap_deployment_swarm *runs; /* what the queen was started with */
    struct ap_deployment *last; /* what she took over last; NULL: nothing yet. To be freed when she has stopped */
};

/* Whether the descriptor is there. No other program inherits it from now on. */
AP_MUST_CHECK bool queen_changes_open(void);
/* The process that has made it, whether that lives or not; 0: it cannot be told. */
AP_MUST_CHECK pid_t queen_changes_maker(void);
/* Until one of the signals comes: its number. */
int queen_changes_wait(struct queen_changes *c, const apiary_queen_t *queen, const sigset_t *signals);

#endif
