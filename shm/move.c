/* shm/move.c - tasks that wait where nobody will run them. See move.h. */
#include "shm/move.h"

#include "shm/bell.h"
#include "shm/event.h"

#define MOVES 8 /* queues that may close under one task before it is left where it is */

static bool serves(struct ap_segment *seg, const struct ap_reap_hooks *hooks, const struct ap_slot *slot, uint32_t queue)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t life = q != NULL ? ap_load_acquire(&q->life) : 0; /* QUEUE-A4 pairs QUEUE-R4 */

    if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN || !ap_lane_alive(seg, AP_QUEUE_LANE(life))) return false;
    return hooks == NULL || hooks->offers == NULL || hooks->offers(hooks->user, seg, slot, queue);
}

uint32_t ap_move_route(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index)
{
    uint32_t to = AP_NO_QUEUE;

    if (hooks != NULL && hooks->route != NULL) to = hooks->route(hooks->user, seg, ap_slot_at(seg, index));
    return to < seg->geometry.queues ? to : AP_NO_QUEUE;
}

int ap_move_never(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index)
{
    return hooks != NULL && hooks->never != NULL ? hooks->never(hooks->user, seg, ap_slot_at(seg, index)) : 0;
}

int ap_move_end(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t seen,
                uint32_t state, int code)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    struct ap_lane *client = ap_lane_at(seg, ap_load_relaxed(&slot->client)); /* before the slot may be another task's */

    if (!ap_queue_end_task(seg, index, seen, state, code)) return 0;
    if (client != NULL) ap_bell_ring(seg->ops, &client->bell);
    ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
    if (self != AP_NO_LANE) ap_task_free_unseen(seg, self, index, hooks != NULL ? hooks->freed : NULL, seg);
    return 1;
}

void ap_move_untold(struct ap_segment *seg)
{
    ap_add_acq_rel(&seg->header->rescan, 1); /* QUEUE-R5 pairs QUEUE-A5 */
    ap_bells_all(seg);
}

void ap_move_rank(struct ap_segment *seg, uint32_t index, uint64_t generation, uint32_t queue)
{
    if (ap_slot_rank(ap_slot_at(seg, index), generation) != AP_RANK_NORMAL) ap_queue_rank(seg, queue);
}

/* The reference is a hint: if the ring is full the rescan finds the task, so there must be one. */
void ap_move_announce(struct ap_segment *seg, uint32_t index, uint64_t generation, uint32_t queue)
{
    if (ap_queue_push_shared(seg, queue, AP_REF(index, generation)) < 0)
        ap_add_acq_rel(&seg->header->rescan, 1); /* QUEUE-R5 pairs QUEUE-A5 */
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    /* The consumer of now: one that opens the queue after this begins with a scan. QUEUE-A4 pairs QUEUE-R4 */
    ap_queue_signal(seg, queue, seg->geometry.queue_inlets, ap_load_acquire(&ap_queue_at(seg, queue)->life));
}

enum ap_move ap_move_queued(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index,
                            uint64_t seen)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    bool moved = false;

    for (int tries = 0; tries < MOVES; tries++) {
        uint32_t to, from = AP_WORD_OWNER(seen);
        uint64_t of;
        int code;

        if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_QUEUED) return AP_MOVE_OVER;
        if (serves(seg, hooks, slot, from)) return moved ? AP_MOVE_MOVED : AP_MOVE_SERVED;
        to = ap_move_route(seg, hooks, index);
        code = to == AP_NO_QUEUE ? ap_move_never(seg, hooks, index) : 0;
        if (code < 0) {
            ap_move_end(seg, hooks, self, index, seen, AP_TASK_FAILED, code);
            return AP_MOVE_OVER;
        }
        if (to == AP_NO_QUEUE || to == from) break;
        ap_move_rank(seg, index, AP_WORD_GENERATION(seen), to);
        of = ap_event_task(slot, seen);
        /* The generation in the word says that what was read of the slot was this task's. */
        if (!ap_task_move(seg, index, seen, to)) return moved ? AP_MOVE_MOVED : AP_MOVE_OVER;
        moved = true;
        seen = AP_WORD_WITH(seen, AP_TASK_QUEUED, to);
        ap_event_log_more(seg, AP_EVENT_TASK_MOVED, self, index, to, of, NULL, 0);
        ap_move_announce(seg, index, AP_WORD_GENERATION(seen), to);
    }
    return moved ? AP_MOVE_MOVED : AP_MOVE_NOWHERE;
}
