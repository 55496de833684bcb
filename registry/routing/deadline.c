/* registry/routing/deadline.c - admission by deadline. See deadline.h. */
#include "registry/routing/deadline.h"

static uint64_t wait_for(const struct ap_queue *q, uint64_t tasks, uint64_t pace)
{
    return tasks * (pace < AP_PACE_MAX ? pace : AP_PACE_MAX) / 100 * ap_queue_margin_of(q);
}

uint64_t ap_deadline_wait(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane, enum ap_rank rank)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t pace = q != NULL ? ap_load_relaxed(&q->pace) : 0, ahead;

    if (pace == 0) return 0;
    ahead = ap_queue_ahead(seg, queue, ring, lane, rank);
    return ahead > 0 ? wait_for(q, ahead + 1, pace) : 0;
}

uint64_t ap_deadline_excess(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane, enum ap_rank rank,
                            uint64_t timeout)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t most = (uint64_t)seg->geometry.queue_depth * (seg->geometry.queue_inlets + 1), wait;

    /* Full rings would not be too much: who has time does not look at them. */
    if (q == NULL || wait_for(q, most, ap_load_relaxed(&q->pace)) <= timeout) return 0;
    wait = ap_deadline_wait(seg, queue, ring, lane, rank);
    return wait > timeout ? wait - timeout : 0;
}
