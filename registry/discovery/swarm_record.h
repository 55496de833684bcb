/* registry/discovery/swarm_record.h - a swarm's record for those who take it over: swarm.c, swarm_record.c. See registry.h. */
#ifndef AP_SWARM_RECORD_H
#define AP_SWARM_RECORD_H

#include "registry/registry.h"

/* A record that was judged, and by which life: it is taken as that or not at all. */
struct ap_found {
    uint32_t index;
    uint64_t life;
};

/* CLAIMED by the lane, if it is still of that life. */
bool ap_record_take(struct ap_segment *seg, uint32_t lane, struct ap_found from);
/* By who has it CLAIMED, or LIVE as its own. */
void ap_record_state(struct ap_swarm *s, uint32_t state);
/* By the task words: nothing is QUEUED there. */
bool ap_queue_empty(const struct ap_segment *seg, uint32_t queue);
/* The closed queues of a swarm that is DOWN: with `disown` they are given away, else it is asked whether nothing waits in
 * them. */
bool ap_swarm_empty(const struct ap_segment *seg, uint32_t swarm, bool disown);
/* That of another swarm which is DOWN and for which nothing is queued, taken: `ready` says whether of those that are READY, or of
 * those that an operator has put into a mode. */
bool ap_record_of_other(struct ap_segment *seg, uint32_t lane, bool ready, uint32_t *ret);

#endif
