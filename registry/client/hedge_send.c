/* registry/client/hedge_send.c - hedged tasks: the second copy, when its time has come. See hedge.h. */
#include <stdlib.h>
#include <string.h>

#include "registry/client/hedge.h"
#include "registry/routing/hedging.h"
#include "shm/bond.h"

#define SCHEDULED_LOOKS UINT64_C(100000000) /* at a task whose time has come and that waits for a provider */
#define CLAIMED_LOOKS UINT64_C(10000000) /* at one that was claimed just now */

int ap_hedge_begin(struct ap_lane_context *c, apiary_task_t task, uint64_t hedge, uint64_t due)
{
    struct ap_segment *seg = c->lane.seg;
    struct ap_slot *slot = ap_slot_at(seg, task.slot);
    uint32_t capability = ap_load_relaxed(&slot->capability);
    uint64_t after = hedge;

    if (!ap_hedging_allowed(seg, capability)) return APIARY_ENOTIDEMPOTENT;
    ap_slot_ask(slot, AP_REQUEST_HEDGED);
    if (hedge == APIARY_HEDGE_P95) after = ap_hedging_time(seg, capability);
    if (after == 0 || due + after >= c->hedge_due) return 0;
    ap_store_relaxed(&c->hedge_due, due + after);
    if (c->parker != NULL) ap_bell_ring(seg->ops, &c->lane.lane->bell);
    return 0;
}

/* A copy of the request, which nobody else changes: NULL where there is no memory, or the task is not wanted any more. */
static void *request_copy(struct ap_segment *seg, apiary_task_t task, struct ap_slot *slot, uint32_t *size)
{
    const void *body = ap_task_body(seg, slot, size);
    void *copy = body != NULL ? calloc(1, *size + 1u) : NULL;
    uint64_t word;

    if (copy == NULL) return NULL;
    memcpy(copy, body, *size);
    ap_fence_acquire();
    word = ap_load_acquire(&slot->word);
    if (AP_WORD_GENERATION(word) == task.generation && !ap_task_ended(AP_WORD_STATE(word)) &&
        !ap_task_requested(slot, word, AP_REQUEST_OVERWRITTEN | AP_REQUEST_CANCEL | AP_REQUEST_GIVEN_UP))
        return copy;
    free(copy);
    return NULL;
}

/* The second carries what the first does, and has the time that is left of its. */
static void options_copy(const struct ap_carried *row, uint64_t deadline, uint64_t now, apiary_delegate_options_t *ret)
{
    *ret = (apiary_delegate_options_t){.struct_size = sizeof *ret, .flags = APIARY_NO_FALLBACK};
#define AP_CARRIED(field, ...) ret->field = row->field;
#include "registry/client/carried.def"
#undef AP_CARRIED
    ret->hedge = ret->key = ret->delay = ret->due_at = ret->schedule_to_start = 0;
    ret->timeout = deadline == APIARY_FOREVER ? APIARY_FOREVER : deadline > now ? deadline - now : 1;
}

/* To any provider but that queue. The bounds of the capability are in the row already, and a parent ends both copies. */
static int copy_submit(struct ap_lane_context *c, struct ap_slot *slot, const struct ap_carried *row, uint32_t not, uint64_t now,
                       apiary_task_t task, apiary_task_t *ret)
{
    struct ap_refused refused = c->refused; /* what the caller was refused last, and not by this */
    char name[APIARY_CAPABILITY_MAX + 1];
    const struct ap_bond bond = {.latest = ap_load_relaxed(&slot->deadline)};
    apiary_delegate_options_t o;
    uint32_t size = 0;
    void *body = request_copy(c->lane.seg, task, slot, &size);
    int r;

    if (body == NULL) return APIARY_ENOBLOCK;
    ap_capability_name(c->lane.seg, ap_load_relaxed(&slot->capability), name);
    options_copy(row, bond.latest, now, &o);
    c->not = not;
    c->within = true;
    c->balance.from_gate = row->passed;
    if (ap_task_requested(slot, ap_load_relaxed(&slot->word), AP_REQUEST_BOUND)) c->bond = &bond;
    r = ap_submit(c, (int)ap_load_relaxed(&slot->only) - 1, name, body, size, 0, &o, ret);
    c->not = AP_NO_QUEUE;
    c->within = false;
    c->balance.from_gate = 0;
    c->bond = NULL;
    c->refused = refused;
    free(body);
    return r;
}

/* Whether another queue of the worker that has this one may run the task, too. */
static bool has_another(const struct ap_segment *seg, const struct ap_slot *slot, uint32_t queue, uint32_t lane)
{
    uint32_t capability = ap_load_relaxed(&slot->capability);

    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;) {
        uint64_t life;

        if ((uint32_t)q == queue) continue;
        life = ap_load_acquire(&ap_queue_at(seg, (uint32_t)q)->life); /* QUEUE-A4 pairs QUEUE-R4 */
        if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && AP_QUEUE_LANE(life) == lane) return true;
    }
    return false;
}

/* The queue of a task that has begun to wait there, or to run. AP_NO_QUEUE: it is not known yet. A worker says of which queue it
 * has claimed a task after it has done so, and when it has begun it after that: until then the slot names the queue of an earlier
 * attempt, or the one that the task was moved from, which is another worker's, or another one of this worker. Of one that has had
 * an attempt since it was queued the latter is not seen here, but when the second has been sent. */
static uint32_t queue_of(const struct ap_segment *seg, const struct ap_slot *slot, uint64_t word)
{
    bool begun = ap_load_acquire(&slot->started) >= ap_load_relaxed(&slot->queued);
    uint32_t queue = ap_load_relaxed(&slot->queue);
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t life = q != NULL ? ap_load_acquire(&q->life) : 0; /* QUEUE-A4 pairs QUEUE-R4 */

    if (AP_WORD_STATE(word) == AP_TASK_QUEUED) return AP_WORD_OWNER(word);
    if (AP_WORD_STATE(word) != AP_TASK_RUNNING || AP_QUEUE_STATE(life) != AP_QUEUE_OPEN) return queue;
    if (AP_QUEUE_LANE(life) != AP_WORD_OWNER(word)) return AP_NO_QUEUE;
    return begun || !has_another(seg, slot, queue, AP_WORD_OWNER(word)) ? queue : AP_NO_QUEUE;
}

/* Whether somebody may still collect the first, and it does not count already. */
static bool still_wanted(const struct ap_slot *slot, apiary_task_t task, const struct ap_carried *row)
{
    uint64_t word = ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */

    return AP_WORD_GENERATION(word) == task.generation && AP_WORD_STATE(word) != AP_TASK_FREE &&
           AP_WORD_STATE(word) != AP_TASK_RELEASING && !ap_abandoned(slot, word) && ap_load_acquire(&row->won) != AP_HEDGE_FIRST;
}

/* Whether there is a second copy now: to another provider than that of the queue `not`. */
static bool copy_send(struct ap_lane_context *c, struct ap_slot *slot, uint64_t word, uint32_t not, struct ap_carried *at,
                      uint64_t now)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t capability = ap_load_relaxed(&slot->capability);
    apiary_task_t task = {.slot = (uint32_t)(slot - ap_slot_at(seg, 0)), .epoch = ap_load_relaxed(&at->epoch),
                          .generation = AP_WORD_GENERATION(word)}, second;
    struct ap_route_question q = {.key = 0};
    struct ap_carried row, *its;
    uint32_t at_second;

    if (!ap_carried_read(seg, task, &row)) return false;
    q.service = (int)ap_load_relaxed(&slot->only) - 1;
    q.caller = ap_load_relaxed(&slot->caller);
    q.passed = row.passed;
    if (!ap_route_elsewhere(seg, capability, &q, not)) return false;
    if (!ap_hedging_pay(seg, capability, now)) return false;
    if (copy_submit(c, slot, &row, not, now, task, &second) < 0) return false;
    /* Its ring was full, or another provider went, or the first was moved: it waits where the first one does, for nothing. */
    at_second = queue_of(seg, ap_slot_at(seg, second.slot), ap_load_acquire(&ap_slot_at(seg, second.slot)->word));
    if (at_second == not || (at_second != AP_NO_QUEUE && at_second == queue_of(seg, slot, ap_load_acquire(&slot->word)))) {
        ap_give_up(c->client, second);
        return false;
    }
    its = ap_carried_at(seg, second.slot);
    if (ap_load_relaxed(&its->generation) == second.generation)
        ap_store_relaxed(&its->other, AP_REF(task.slot, task.generation));
    ap_store_release(&at->other, AP_REF(second.slot, second.generation)); /* HEDGE-R1 pairs HEDGE-A1 */
    ap_fence_full(); /* HEDGE-F1 pairs HEDGE-F2 */
    ap_add_relaxed(&ap_terms_at(seg, capability)->hedged, 1);
    if (!still_wanted(slot, task, at)) ap_give_up(c->client, second);
    return true;
}

/* When there is something to do with a task: UINT64_MAX, never; 0: it was done. */
static uint64_t hedge_look(struct ap_lane_context *c, uint32_t index, uint64_t now)
{
    struct ap_segment *seg = c->lane.seg;
    struct ap_slot *slot = ap_slot_at(seg, index);
    struct ap_carried *row = ap_carried_at(seg, index);
    uint64_t word = ap_load_acquire(&slot->word), after, due; /* TASK-A2 pairs TASK-R2 */
    uint32_t state = AP_WORD_STATE(word), capability = ap_load_relaxed(&slot->capability), queue, open = AP_HEDGE_OPEN;

    if ((!ap_task_waits(state) && state != AP_TASK_RUNNING) || !ap_hedged(slot, word)) return UINT64_MAX;
    if (ap_task_requested(slot, word, AP_REQUEST_CANCEL | AP_REQUEST_GIVEN_UP)) return UINT64_MAX;
    if (row == NULL || ap_load_relaxed(&row->generation) != AP_WORD_GENERATION(word)) return UINT64_MAX;
    if (ap_load_relaxed(&row->other) != 0 || ap_load_relaxed(&row->won) != AP_HEDGE_OPEN) return UINT64_MAX;
    after = ap_load_relaxed(&row->hedge);
    if (after == APIARY_HEDGE_P95) after = ap_hedging_time(seg, capability);
    if (after == 0) return UINT64_MAX;
    due = ap_hedge_start(slot, row) + after;
    if (due > now) return due;
    /* It waits for a provider, and there is no other one. */
    if (state == AP_TASK_SCHEDULED) return now + (after > SCHEDULED_LOOKS ? after : SCHEDULED_LOOKS);
    queue = queue_of(seg, slot, word);
    if (queue == AP_NO_QUEUE) return now + CLAIMED_LOOKS;
    if (ap_load_relaxed(&row->hedge) == APIARY_HEDGE_P95) ap_hedging_took(seg, capability, after, true);
    if (copy_send(c, slot, word, queue, row, now)) return 0;
    if (ap_cas(&row->won, &open, AP_HEDGE_FIRST)) /* HEDGE-R2 pairs HEDGE-A2 */
        ap_add_relaxed(&ap_terms_at(seg, capability)->hedge_held, 1);
    return UINT64_MAX;
}

/* To send one may exchange the lane's slabs. */
void ap_hedges_send(struct ap_lane_context *c, uint64_t now)
{
    uint64_t next, due;
    bool sent;

    do {
        next = UINT64_MAX;
        sent = false;
        for (uint32_t k = 0; !sent && k < c->slabs.count * AP_SLAB_SLOTS; k++) {
            due = hedge_look(c, c->slabs.held[k / AP_SLAB_SLOTS] * AP_SLAB_SLOTS + k % AP_SLAB_SLOTS, now);
            sent = due == 0;
            if (due < next) next = due;
        }
    } while (sent);
    ap_store_relaxed(&c->hedge_due, next);
    if (c->parker != NULL && next != UINT64_MAX) ap_bell_ring(c->lane.seg->ops, &c->lane.lane->bell);
}
