/* registry/client/backlog.c - a task that would be late at the provider that was picked is offered to another one, or refused. See
 * deadline.h. */
#include "registry/client/client.h"
#include "registry/routing/deadline.h"
#include "registry/routing/limits.h"

/* How much too late it would be there; 0: it would not. */
static uint64_t backlog_excess(const struct ap_lane_context *c, uint32_t queue, const struct ap_backlog_task *task)
{
    uint32_t ring = task->apart ? c->lane.seg->geometry.queue_inlets : c->producers[queue].index;

    return ap_deadline_excess(c->lane.seg, queue, ring, c->lane.index, AP_PRODUCER_RANK(task), task->timeout);
}

int ap_backlog_pick(struct ap_lane_context *c, int service, uint32_t capability, const struct ap_backlog_task *task,
                    uint32_t *queue, uint64_t *life)
{
    struct ap_segment *seg = c->lane.seg;
    uint64_t excess = backlog_excess(c, *queue, task), other_life, there = UINT64_MAX;
    uint32_t other;

    if (excess == 0) return 0;
    if (ap_route_keyed(seg, capability, service, task->key, &c->balance, *queue, &other, &other_life) == 0 &&
        (task->apart || ap_queue_room(seg, other, &c->producers[other], &c->lane)) && ap_limits_room(seg, capability, other)) {
        there = backlog_excess(c, other, task);
        if (there == 0) {
            *queue = other;
            *life = other_life;
            return 0;
        }
    }
    c->refused.queue = there < excess ? other : *queue;
    c->refused.excess = there < excess ? there : excess;
    ap_add_relaxed(&ap_queue_at(seg, c->refused.queue)->refused, 1);
    return APIARY_EBACKLOG;
}
