/* registry/router.h - TaskRouter and LoadBalancer: which living queue runs a task.
 *
 * A candidate is a queue whose provider bit is set, that is OPEN, whose swarm's mode is READY, and whose consumer lane
 * the kernel has not marked dead (looked up at every pick, so that no delegation begun after the mark goes to the dead).
 * Among several the least loaded wins: depth + running, as its consumer last published, plus what this lane itself has put
 * into the queue since; ties go round by a private turn.
 */
#ifndef AP_ROUTER_H
#define AP_ROUTER_H

#include "registry/discovery.h"

/* Private to a lane. */
struct ap_balance {
    uint32_t turn;
    const struct ap_producer *producers; /* per queue, of this lane; may be NULL */
};

/* The queue, and the life word that was seen (for ap_queue_signal and the check after the fence).
 * APIARY_ENOCAP, APIARY_ENOPROVIDER. `not` is a queue to pass over, or AP_NO_QUEUE. */
int ap_route(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, uint32_t not, uint32_t *ret_queue,
             uint64_t *ret_life);

/* `service` restricts the candidates to one service (execute_task); -1: any. */
int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life);

#endif
