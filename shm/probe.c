/* shm/probe.c - the way in that is reserved to health probes. See probe.h. */
#include "shm/probe.h"

/* The slot of a probe that waits at the queue; NULL: the reference is left of one that does not. */
static const struct ap_slot *probe_at(const struct ap_segment *seg, uint32_t queue, uint64_t ref)
{
    const struct ap_slot *slot = ref != 0 ? ap_slot_at(seg, AP_REF_SLOT(ref)) : NULL;
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != queue) return NULL;
    return AP_WORD_GENERATION(word) == AP_REF_GENERATION(ref) ? slot : NULL;
}

int ap_probe_room(const struct ap_segment *seg, uint32_t queue, uint32_t member)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint32_t waiting = 0;

    for (uint32_t i = 0; q != NULL && i < AP_PROBES; i++) {
        const struct ap_slot *slot = probe_at(seg, queue, ap_load_relaxed(&q->probes[i]));
        const struct ap_lane *client = slot != NULL ? ap_lane_at(seg, ap_load_relaxed(&slot->client)) : NULL;

        if (slot == NULL) continue;
        waiting++;
        if (client != NULL && ap_load_relaxed(&client->member) == member) return APIARY_ELIMIT;
    }
    return q != NULL && waiting < AP_PROBES ? 0 : APIARY_ELIMIT;
}

int ap_probe_put(const struct ap_segment *seg, uint32_t queue, uint64_t ref)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    for (uint32_t i = 0; q != NULL && i < AP_PROBES; i++) {
        uint64_t seen = ap_load_relaxed(&q->probes[i]);

        if (probe_at(seg, queue, seen) == NULL && ap_cas(&q->probes[i], &seen, ref)) return 0;
    }
    return APIARY_ELIMIT;
}

void ap_probe_signal(const struct ap_segment *seg, struct ap_queue *q, struct ap_lane *lane)
{
    /* The caller's full fence is QUEUE-F1, it pairs QUEUE-F2. */
    if (ap_load_relaxed(&q->probed) == 0) ap_or_acq_rel(&q->probed, 1);
    if (lane != NULL && (ap_load_relaxed(&lane->bell) & 1) != 0) ap_bell_wake(seg->ops, &lane->bell);
}

uint64_t ap_probe_next(const struct ap_consumer *c)
{
    struct ap_queue *q = c->queue;
    uint64_t found = 0;

    ap_exchange_acq_rel(&q->probed, 0);
    ap_fence_full(); /* QUEUE-F2 pairs QUEUE-F1 */
    for (uint32_t i = 0; i < AP_PROBES; i++) {
        uint64_t ref = ap_load_acquire(&q->probes[i]);

        if (probe_at(c->seg, c->index, ref) == NULL) continue;
        if (found != 0) {
            ap_or_acq_rel(&q->probed, 1);
            break;
        }
        if (ap_cas(&q->probes[i], &ref, 0)) found = ref;
    }
    return found;
}

bool ap_probe_waits(const struct ap_consumer *c)
{
    for (uint32_t i = 0; i < AP_PROBES; i++) {
        if (probe_at(c->seg, c->index, ap_load_acquire(&c->queue->probes[i])) == NULL) continue;
        ap_or_acq_rel(&c->queue->probed, 1);
        return true;
    }
    return false;
}
