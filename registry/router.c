/* registry/router.c - TaskRouter and LoadBalancer. See router.h. */
#include "registry/router.h"

/* Whether the queue may be picked; its life word in *ret. */
static bool candidate(const struct ap_segment *seg, uint32_t capability, uint32_t queue, int service, uint64_t *ret)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    const struct ap_swarm *swarm;
    uint64_t life;

    if (q == NULL || agent == NULL) return false;
    life = ap_load_acquire(&q->life);
    if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN || !ap_lane_alive(seg, AP_QUEUE_LANE(life))) return false;
    swarm = ap_swarm_at(seg, ap_load_relaxed(&agent->swarm));
    if (swarm == NULL || ap_load_relaxed(&swarm->mode) != APIARY_READY) return false;
    if (service >= 0 && ap_load_relaxed(&swarm->service) != (uint32_t)service) return false;
    /* The first look at the bit may have been at that of the queue's former agent. */
    if (!ap_capability_offers(seg, capability, queue)) return false;
    *ret = life;
    return true;
}

/* What the consumer last published, and what this lane has in its inlet that the consumer had not taken by then. The former
 * may count the latter, so the larger of both; an error of a few tasks corrects itself at the next turn of the consumer. */
static uint64_t load_of(const struct ap_segment *seg, const struct ap_balance *balance, uint32_t queue)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t depth = ap_load_relaxed(&q->depth), own = 0;

    if (balance->producers != NULL) {
        const struct ap_producer *p = &balance->producers[queue];
        if (p->opened && !p->shared) own = p->tail - ap_load_relaxed(&p->ring->head);
        if (own > seg->geometry.queue_depth) own = 0;
    }
    return (own > depth ? own : depth) + ap_load_relaxed(&q->running);
}

int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life)
{
    uint32_t turn = balance->turn, best = AP_NO_QUEUE;
    uint64_t best_life = 0, best_load = UINT64_MAX, life;
    bool wrapped = false;
    int at;

    if (ap_capability_at(seg, capability) == NULL) return APIARY_ENOCAP;
    if (turn >= seg->geometry.queues) turn = 0;
    /* Round once, beginning behind the last pick, so that equals take turns. */
    for (at = ap_capability_next(seg, capability, turn);; at = ap_capability_next(seg, capability, (uint32_t)at + 1)) {
        if (at < 0 && !wrapped) {
            wrapped = true;
            at = ap_capability_next(seg, capability, 0);
        }
        if (at < 0 || (wrapped && (uint32_t)at >= turn)) break;
        if ((uint32_t)at == not || !candidate(seg, capability, (uint32_t)at, service, &life)) continue;
        if (best != AP_NO_QUEUE) {
            uint64_t load = load_of(seg, balance, (uint32_t)at);
            /* An only candidate's load is nobody's business. */
            if (best_load == UINT64_MAX) best_load = load_of(seg, balance, best);
            if (load >= best_load) continue;
            best_load = load;
        }
        best = (uint32_t)at;
        best_life = life;
    }
    if (best == AP_NO_QUEUE) return APIARY_ENOPROVIDER;
    balance->turn = best + 1;
    *ret_queue = best;
    *ret_life = best_life;
    return 0;
}

int ap_route(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, uint32_t not, uint32_t *ret_queue,
             uint64_t *ret_life)
{
    return ap_route_in(seg, capability, -1, balance, not, ret_queue, ret_life);
}
