/* registry/discovery/swarm_record.h - taking over a swarm's record; for swarm.c and swarm_record.c. See registry.h. */
#ifndef AP_SWARM_RECORD_H
#define AP_SWARM_RECORD_H

#include "registry/registry.h"

/* A record that was found fit, and the life that it had then. It is taken with that life or not at all. */
struct ap_found {
    uint32_t index;
    uint64_t life;
};

/* The lane claims the record, if it still has that life. */
bool ap_record_take(struct ap_segment *seg, uint32_t lane, struct ap_found from);
/* Stores the measured state. The caller has the record CLAIMED, or LIVE as its own. */
void ap_record_state(struct ap_swarm *s, uint32_t state);
/* Whether no task word says QUEUED there. */
bool ap_queue_empty(const struct ap_segment *seg, uint32_t queue);
/* For a swarm that is DOWN: whether nothing waits in its closed queues. With `disown` the queues are given away. */
bool ap_swarm_empty(const struct ap_segment *seg, uint32_t swarm, bool disown);
/* Takes the record of another swarm that is DOWN and has nothing queued. `ready` chooses between the records in mode READY and
 * those that an operator has put into another mode. */
bool ap_record_of_other(struct ap_segment *seg, uint32_t lane, bool ready, uint32_t *ret);

#endif
