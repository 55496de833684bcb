/* registry/monitor/swarm_queues.h - the queues of each swarm, found in one pass: for who tells of all of them.
 *
 * MOMENT    As of the pass. A swarm that has another life by then has its queues looked for again, one by one.
 * THREADS   Any, each with its own. Nothing is written to the segment.
 */
#ifndef AP_SWARM_QUEUES_H
#define AP_SWARM_QUEUES_H

#include "core/must_check.h"
#include "registry/registry.h"

struct ap_swarm_queues {
    uint64_t *lives;   /* of each swarm */
    uint32_t *first;   /* of each swarm: a queue + 1; 0: it has none */
    uint32_t *next;    /* of each queue: another one of its swarm + 1, a higher one */
    uint32_t *waiting; /* of each queue that was not open: how many tasks wait in it; else UINT32_MAX */
};

/* To be freed. APIARY_ENOBLOCK: no memory; *ret is empty then, which the others take, too, and look slowly. */
int ap_swarm_queues_take(const struct ap_segment *seg, struct ap_swarm_queues *ret);
void ap_swarm_queues_free(struct ap_swarm_queues *q);

/* The first queue at or behind `from` that is of the swarm or was, and has an owner; UINT32_MAX: there is none. */
uint32_t ap_swarm_queues_next(const struct ap_segment *seg, const struct ap_swarm_queues *q, uint32_t swarm, uint32_t from);
/* ap_queue_waiting. */
uint32_t ap_swarm_queues_waiting(const struct ap_segment *seg, const struct ap_swarm_queues *q, uint32_t queue);

#endif
