/* registry/client/probe.c - health probes are placed: no ticket, no bound of the capability, no ring; see shm/probe.h. */
#include "shm/probe.h"

#include "registry/client/carried.h"
#include "registry/client/probe.h"
#include "registry/routing/dead.h"

/* Beside how long it may take, whom it asks, and what it follows from, nothing can be said of it. */
static bool probe_possible(const struct ap_probe_ask *ask, const apiary_delegate_options_t *o)
{
    if (ask->size > 0 || ask->loan || (o->flags & ~(uint32_t)(APIARY_PROBE | APIARY_NO_FALLBACK)) != 0) return false;
    return (o->delay | o->due_at | o->key | o->keep | o->hedge | o->dedup_key) == 0 && o->retry.max_attempts <= 1;
}

/* Whether the agent of the queue is there to answer, in any mode; its life in *ret. */
static bool probe_fits(const struct ap_segment *seg, const struct ap_probe_ask *ask, uint32_t queue, uint64_t *ret)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    const struct ap_swarm *swarm;

    if (q == NULL || agent == NULL) return false;
    *ret = ap_load_acquire(&q->life); /* QUEUE-A4 pairs QUEUE-R4 */
    if (AP_QUEUE_STATE(*ret) != AP_QUEUE_OPEN || !ap_lane_alive(seg, AP_QUEUE_LANE(*ret))) return false;
    if (ask->service >= 0) {
        swarm = ap_swarm_at(seg, ap_load_relaxed(&agent->swarm));
        if (swarm == NULL || ap_load_relaxed(&swarm->service) != (uint32_t)ask->service) return false;
    }
    return ap_agent_runs(agent, ask->capability);
}

/* The provider that is named, or any, in turn: how well one stands, and how much waits there, is no matter. */
static int probe_whom(struct ap_lane_context *c, const struct ap_probe_ask *ask, uint64_t provider, uint32_t *queue, uint64_t *life)
{
    const struct ap_segment *seg = c->lane.seg;
    uint32_t count = seg->geometry.queues, first;

    if (provider != 0) {
        *queue = AP_PROVIDER_QUEUE(provider);
        return probe_fits(seg, ask, *queue, life) && AP_PROVIDER(*queue, *life) == provider ? 0 : APIARY_ENOPROVIDER;
    }
    first = (uint32_t)(c->balance.random % count);
    for (uint32_t i = 0; i < count; i++) {
        *queue = (first + c->probes + i) % count;
        if (!probe_fits(seg, ask, *queue, life)) continue;
        c->probes = (*queue + 1 + count - first) % count;
        return 0;
    }
    return APIARY_ENOPROVIDER;
}

/* A slot of the lane's own slabs, or else of the one that is kept for probes, which goes back when it is not needed any more. */
static int probe_slot(struct ap_lane_context *c, struct ap_slabs **from, uint32_t *ret)
{
    int r = ap_task_next(&c->slabs, ap_slot_leave, c->lane.seg, ret);

    *from = &c->slabs;
    if (r == 0 && c->kept.count > 0 && ap_slabs_busy(&c->kept) == 0) ap_slabs_release(&c->kept);
    if (r != APIARY_ENOSLOT && r != APIARY_ESHARE && r != APIARY_ELIMIT) return r;
    if (c->kept.lane == NULL) ap_slabs_init(&c->kept, &c->lane);
    c->kept.kept = true;
    if (ap_task_next(&c->kept, ap_slot_leave, c->lane.seg, ret) == 0) {
        *from = &c->kept;
        return 0;
    }
    return ap_make_room(c, r, 0) ? ap_task_next(&c->slabs, ap_slot_leave, c->lane.seg, ret) : r;
}

/* RESERVED, with all that it needs. */
static apiary_task_t probe_write(struct ap_lane_context *c, const struct ap_probe_ask *ask, const struct ap_slabs *from,
                                 uint32_t index, const apiary_delegate_options_t *o)
{
    struct ap_segment *seg = c->lane.seg;
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t now = seg->ops->now();
    const struct ap_task_form form = {.queued = now, .deadline = ap_deadline_of(seg, o, now), .client = c->lane.index,
                                      .capability = ask->capability, .only = (uint16_t)(ask->service + 1),
                                      .caller = (uint16_t)(c->client->service + 1), .inside = true};
    apiary_task_t task = {.slot = index, .epoch = from->epoch};
    int r = 0;

    ap_slot_write(slot, &form);
    task.generation = ap_slot_reserve(from, slot, index, c->lane.index);
    ap_slot_ask(slot, AP_REQUEST_PROBE);
    if (ap_carried_said(o)) r = ap_carry(c, task, 0, 0, o, now);
    AP_ASSERT(r == 0); /* it asks for nothing that there may be no room for */
    return task;
}

/* Takes it back, unless its answer is on its way already: 0. */
static int probe_back(struct ap_lane_context *c, apiary_task_t task, int error)
{
    struct ap_segment *seg = c->lane.seg;
    const struct ap_slot *slot = ap_slot_at(seg, task.slot);
    uint64_t word = ap_load_acquire(&slot->word);

    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_GENERATION(word) == task.generation) {
        if (ap_task_cancel_queued(seg, task.slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) {
            ap_task_release_with(seg, c->lane.index, task.slot, ap_load_acquire(&slot->word), ap_slot_leave, seg);
            return error;
        }
        word = ap_load_acquire(&slot->word);
    }
    return 0;
}

/* The queue was closed, or its consumer was marked dead, while the probe was on its way. */
static int probe_settle(struct ap_lane_context *c, apiary_task_t task, struct ap_queue *q)
{
    struct ap_segment *seg = c->lane.seg;
    uint64_t word = ap_load_acquire(&ap_slot_at(seg, task.slot)->word);

    if (AP_WORD_GENERATION(word) != task.generation || AP_WORD_STATE(word) != AP_TASK_QUEUED) return 0;
    switch (ap_reroute(seg, &c->balance, task.slot, word)) {
    case AP_MOVE_NOWHERE: return probe_back(c, task, APIARY_ENOPROVIDER);
    case AP_MOVE_SERVED: /* opened anew: its consumer may have passed the slot in its first scan */
        ap_probe_signal(seg, q, ap_lane_at(seg, AP_QUEUE_LANE(ap_load_acquire(&q->life))));
        return 0;
    default: return 0;
    }
}

static int probe_place(struct ap_lane_context *c, const struct ap_probe_ask *ask, const apiary_delegate_options_t *o,
                       apiary_task_t *ret)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t queue = 0, index = 0;
    struct ap_slabs *from = NULL;
    apiary_task_t task;
    struct ap_queue *q;
    uint64_t life = 0, ref;
    int r = probe_whom(c, ask, o->provider, &queue, &life);

    if (r < 0) return r;
    c->refused.queue = queue;
    r = ap_probe_room(seg, queue, c->lane.member);
    if (r == 0) r = probe_slot(c, &from, &index);
    if (r < 0) return r;
    task = probe_write(c, ask, from, index, o);
    q = ap_queue_at(seg, queue);
    ref = ap_slot_publish(from, ap_slot_at(seg, index), index, queue);
    if (ref == 0) return APIARY_ECORRUPT; /* somebody has written over the slot */
    r = ap_probe_put(seg, queue, ref);
    if (r < 0) r = probe_back(c, task, r);
    if (r < 0) return r;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_probe_signal(seg, q, ap_lane_at(seg, AP_QUEUE_LANE(life)));
    if (ap_load_acquire(&q->life) != life || !ap_lane_alive(seg, AP_QUEUE_LANE(life))) r = probe_settle(c, task, q);
    if (r == 0) *ret = task;
    return r;
}

int ap_probe(struct ap_lane_context *c, const struct ap_probe_ask *ask, const apiary_delegate_options_t *options,
             apiary_task_t *ret)
{
    int r = ret != NULL && probe_possible(ask, options) ? probe_place(c, ask, options, ret) : APIARY_EINVAL;

    if (r == 0) return 0;
    ap_refused(c, r, 0);
    c->refused.probe = true;
    return r;
}
