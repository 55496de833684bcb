/* registry/routing/router.h - TaskRouter and LoadBalancer: which living queue runs a task.
 *
 * A candidate is a queue whose provider bit is set, that is OPEN, whose swarm's mode is READY, and whose consumer lane
 * the kernel has not marked dead (looked up at every pick, so that no delegation begun after the mark goes to the dead).
 * Among several the least loaded wins: depth + running, as its consumer last published, plus what this lane itself has put
 * into the queue since; ties go round by a private turn.
 */
#ifndef AP_ROUTER_H
#define AP_ROUTER_H

#include "core/must_check.h"
#include "registry/discovery/discovery.h"
#include "shm/move.h"

/* Private to a lane. */
struct ap_balance {
    uint32_t turn;
    const struct ap_producer *producers; /* per queue, of this lane; may be NULL */
};

/* The queue, and the life word that was seen (for ap_queue_signal and the check after the fence).
 * APIARY_ENOCAP, APIARY_ENOPROVIDER. `not` is a queue to pass over, or AP_NO_QUEUE. */
AP_MUST_CHECK
int ap_route(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, uint32_t not, uint32_t *ret_queue,
             uint64_t *ret_life);

/* `service` restricts the candidates to one service (execute_task); -1: any. */
AP_MUST_CHECK int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life);

/* The only provider of a capability as a lane has last seen it; private to the lane. What is remembered cannot change while its
 * queue has the same life; whether it may be picked is looked at each time. */
struct ap_only {
    const uint64_t *providers; /* of the capability; NULL: nothing is remembered */
    uint64_t expected[2];      /* its first two words of bits: all there are, with 128 queues */
    uint32_t queue, words;
    uint64_t life;
    struct ap_queue *at;
    struct ap_lane *lane; /* its consumer's */
    const struct ap_swarm *swarm;
};

/* Whether the remembered provider is still the only one. */
AP_ALWAYS_INLINE bool ap_only_still(const struct ap_only *o)
{
    const uint64_t *providers = o->providers;
    uint32_t words = o->words;
    uint64_t differ;

    if (__builtin_expect(providers == NULL, 0)) return false;
    differ = ap_load_acquire(&providers[0]) ^ o->expected[0]; /* DISC-A2 pairs DISC-R2 */
    if (words > 1) differ |= ap_load_acquire(&providers[1]) ^ o->expected[1]; /* DISC-A2 pairs DISC-R2 */
    for (uint32_t word = 2; __builtin_expect(word < words, 0); word++)
        differ |= ap_load_acquire(&providers[word]) ^ /* DISC-A2 pairs DISC-R2 */
                  (word == o->queue / 64 ? UINT64_C(1) << o->queue % 64 : 0);
    return differ == 0;
}

/* Whether it may be picked, too. */
AP_ALWAYS_INLINE bool ap_route_only(const struct ap_only *o)
{
    if (!ap_only_still(o)) return false;
    /* The bit was seen after this life before, so it is not that of the queue's former agent. QUEUE-A4 pairs QUEUE-R4 */
    return ap_load_acquire(&o->at->life) == o->life && ap_lane_lives(o->lane) &&
           AP_MODE_OF(ap_load_relaxed(&o->swarm->mode)) == APIARY_READY;
}

/* Picks as ap_route_in does for any service, and remembers an only provider. */
int ap_route_learn(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, struct ap_only *only,
                   uint32_t *ret_queue, uint64_t *ret_life);

/* ap_move_queued with what the registry knows: `seen` is the task's word. `balance` is the lane's, NULL: there is none. */
enum ap_move ap_reroute(struct ap_segment *seg, struct ap_balance *balance, uint32_t index, uint64_t seen);

#endif
