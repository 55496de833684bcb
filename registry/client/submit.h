/* registry/client/submit.h - the steps of a submit, inlined into whoever takes them: all of a usual submit lies in one function.
 *
 * FILES     delegate.c the usual way, and batches  pick.c the choice among several queues  later.c what is not placed at once
 * STEPS     1 pick: a queue, and room in its ring (pick.c, where the lane does not know it)
 *           2 take: a ticket, a slot, a block
 *           3 write: the slot, RESERVED by then, and what most tasks do not have
 *           4 publish and push: the word is QUEUED, the reference is in the ring
 *           5 the consumer is told, after a fence, of one task or of a batch; and the queue is looked at once more
 * THREADS   The lane's own.
 */
#ifndef AP_SUBMIT_H
#define AP_SUBMIT_H

#include <string.h>

#include "registry/client/carried.h"
#include "registry/client/client.h"

/* One submit under way. Its address goes to nothing that is not inlined, so that all of it can be in registers. */
struct ap_submission {
    struct ap_lane_context *c;
    struct ap_segment *seg;
    const void *body;
    size_t size;
    uint64_t loan, deadline, now, life, block, generation;
    struct ap_slot *at;
    struct ap_queue *to;
    struct ap_producer *way;  /* of the lane into the queue */
    struct ap_lane *consumer; /* of the queue, as of `life` */
    uint32_t flags, capability, queue, slot;
    int service;
    uint32_t ticket;
    bool batched; /* others of its batch are submitted already: it cannot be taken back after its turn */
    bool carries; /* its options say something that is carried */
    bool unusual; /* it has flags, a block, or something that is carried: one branch for all of that */
};

/* The request, as it was before anything was picked. It is copied field by field: a copy of all would have to lie in memory, and so
 * would the submission. */
AP_ALWAYS_INLINE struct ap_submission ap_submit_asked(const struct ap_submission *s)
{
    return (struct ap_submission){.c = s->c, .seg = s->seg, .body = s->body, .size = s->size, .loan = s->loan, .now = s->now,
                                  .flags = s->flags, .service = s->service, .batched = s->batched, .carries = s->carries,
                                  .unusual = s->unusual};
}

/* The facts about a QUEUED task that the slow path needs. */
struct ap_placed {
    struct ap_lane_context *c;
    struct ap_slot *at;
    struct ap_queue *to;
    struct ap_producer *way;
    struct ap_lane *consumer;
    uint64_t life, generation, loan;
    uint32_t slot, queue;
    bool batched;
};

AP_ALWAYS_INLINE struct ap_placed ap_placed_of(const struct ap_submission *s)
{
    return (struct ap_placed){.c = s->c, .at = s->at, .to = s->to, .way = s->way, .consumer = s->consumer, .life = s->life,
                              .generation = s->generation, .loan = s->loan, .slot = s->slot, .queue = s->queue,
                              .batched = s->batched};
}

/* ---- pick -------------------------------------------------------------------------------------------------------- */

struct ap_picked {
    int error; /* AP_BY_BOUNDS, too; AP_STANDS_IN: it has no provider, and c->stand_in, which stands in for it, has one */
    uint32_t queue;
    uint64_t life;
};

/* pick.c. */
int ap_pick_otherwise(struct ap_lane_context *c, int service, uint32_t capability);
bool ap_pick_apart_to(struct ap_lane_context *c, uint32_t queue);
int ap_pick_admit(struct ap_lane_context *c, uint32_t capability, uint32_t queue);
struct ap_picked ap_pick_apart(struct ap_lane_context *c, int service, uint32_t capability, struct ap_picked p);
struct ap_picked ap_pick_among_all(struct ap_lane_context *c, int service, struct ap_known_name *known, uint64_t key);
struct ap_picked ap_pick_with_room(struct ap_lane_context *c, int service, uint32_t capability, struct ap_picked p);
struct ap_picked ap_pick_in_time(struct ap_lane_context *c, int service, uint32_t capability,
                                 const apiary_delegate_options_t *options, struct ap_picked p);

AP_ALWAYS_INLINE void ap_submit_chosen(struct ap_submission *s, const struct ap_picked p)
{
    s->queue = p.queue;
    s->life = p.life;
    s->to = ap_queue_at(s->seg, p.queue);
    s->consumer = ap_lane_at(s->seg, AP_QUEUE_LANE(p.life));
}

/* ---- take --------------------------------------------------------------------------------------------------------- */

struct ap_taken {
    int error;
    uint32_t slot;
    uint64_t block;
    uint32_t ticket;
};

/* delegate.c: what is rare of the steps below. */
struct ap_taken ap_take_slowly(struct ap_lane_context *c, size_t size, uint64_t loan);
void ap_submit_block(struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t block, const void *body, size_t size);
int ap_take_back(const struct ap_placed p, int error);
int ap_submit_overwritten(struct ap_lane_context *c, uint32_t ticket);
void ap_submit_detach(struct ap_lane_context *c, uint32_t slot, uint64_t generation);
int ap_submit_settle(const struct ap_placed p);
/* later.c: of what ap_submit_asked gives. */
int ap_submit_later(struct ap_submission s, uint32_t capability, const apiary_delegate_options_t *options, apiary_task_t *ret);

/* Takes what needs no search: the slot in turn, the ticket that was given back last. */
AP_ALWAYS_INLINE bool ap_take_at_once(struct ap_submission *s)
{
    struct ap_lane_context *c = s->c;
    const struct apiary *a = c->client;

    if (s->size > AP_INLINE_BODY || s->loan != 0) return false;
    s->at = ap_slabs_turn(&c->slabs);
    if (s->at == NULL) return false;
    s->slot = c->slabs.first + c->slabs.next - 1;
    if (!s->batched) ap_slot_ahead_of_fill(s->seg, s->slot); /* in a batch no answer comes between, and it only takes time */
    if (a->service < 0) return true;
    s->ticket = ap_ticket_again(&c->ticket_hint, c->lane.index, ap_load_relaxed(&a->limit));
    if (__builtin_expect(s->ticket != 0, 1)) return true;
    c->slabs.next--; /* it is still this slot's turn; slots passed over are holes, in which later turns stumble */
    return false;
}

/* 0 or an error. */
AP_ALWAYS_INLINE int ap_submit_take(struct ap_submission *s)
{
    struct ap_taken t;

    if (__builtin_expect(ap_take_at_once(s), 1)) return 0;
    t = ap_take_slowly(s->c, s->size, s->loan);
    s->slot = t.slot;
    s->at = ap_slot_at(s->seg, t.slot);
    s->block = t.block;
    s->unusual |= t.block != 0;
    s->ticket = t.ticket;
    return t.error;
}

/* ---- write -------------------------------------------------------------------------------------------------------- */

AP_ALWAYS_INLINE apiary_task_t ap_submit_task(const struct ap_submission *s)
{
    return (apiary_task_t){.slot = s->slot, .epoch = s->c->slabs.epoch, .generation = s->generation};
}

/* A task that may be taken back with more than its slot is nobody else's to free until it is placed: the loan is the caller's then,
 * an entry of the dead set stays there, and a row that was promised for the result is free. */
AP_ALWAYS_INLINE bool ap_detach_late(const struct ap_submission *s)
{
    return s->loan != 0 || s->carries;
}

/* The slot is FREE, and this lane's alone; afterwards it is RESERVED, with all that it needs. */
AP_ALWAYS_INLINE void ap_submit_write(struct ap_submission *s)
{
    const struct ap_task_form form = {.body = s->body, .size = s->size, .queued = s->now,
                                      .deadline = s->deadline, .client = s->c->lane.index, .capability = s->capability,
                                      .only = (uint16_t)(s->service + 1), .caller = (uint16_t)(s->c->client->service + 1),
                                      .ticket = s->ticket, .inside = s->block == 0};
    struct ap_slot *slot = s->at;

    ap_slot_write(slot, &form);
    s->generation = ap_slot_reserve(&s->c->slabs, slot, s->slot, s->c->lane.index);
}

/* And what most tasks do not have. 0, or an error of what is carried. */
AP_ALWAYS_INLINE int ap_submit_unusual(struct ap_submission *s, const apiary_delegate_options_t *options, uint64_t due)
{
    if ((s->flags & APIARY_PARTS) != 0) ap_slot_ask(s->at, AP_REQUEST_PARTS);
    else if ((s->flags & APIARY_DETACH) != 0 && !ap_detach_late(s)) ap_slot_detach(s->at, s->generation);
    if (s->block != 0) ap_submit_block(s->seg, s->slot, s->generation, s->block, s->loan == 0 ? s->body : NULL, s->size);
    return s->carries ? ap_carry(s->c, ap_submit_task(s), s->ticket, s->loan, options, due) : 0;
}

/* ---- publish, push ------------------------------------------------------------------------------------------------ */

/* A queue was picked: all that it takes for one task then, but that its consumer is told. */
AP_ALWAYS_INLINE int ap_submit_place(struct ap_submission *s, const apiary_delegate_options_t *options)
{
    uint64_t ref;
    int r;

    if (__builtin_expect(ap_load_relaxed(&s->to->pace) != 0, 0)) {
        struct ap_picked p = ap_pick_in_time(s->c, s->service, s->capability, options,
                                             (struct ap_picked){.queue = s->queue, .life = s->life});

        if (p.error < 0) return p.error;
        ap_submit_chosen(s, p);
        if (s->way != &s->c->apart) s->way = &s->c->producers[s->queue];
    }
    r = ap_submit_take(s);
    if (__builtin_expect(r < 0, 0)) return r;
    if (!s->batched) s->now = s->seg->ops->now();
    s->deadline = ap_deadline_of(s->seg, options, s->now);
    ap_submit_write(s);
    if (__builtin_expect(s->unusual, 0)) r = ap_submit_unusual(s, options, s->now);
    if (__builtin_expect(r < 0, 0)) return r;
    ref = ap_slot_publish(&s->c->slabs, s->at, s->slot, s->queue);
    if (__builtin_expect(ref == 0, 0)) return ap_submit_overwritten(s->c, s->ticket);
    if (__builtin_expect(ap_queue_push(s->seg, s->way, ref) < 0, 0)) return ap_take_back(ap_placed_of(s), APIARY_EQUEUEFULL);
    return 0;
}

/* ---- and then ----------------------------------------------------------------------------------------------------- */

/* The queue has the life in which it was picked, and its consumer lives. */
AP_ALWAYS_INLINE bool ap_as_picked(const struct ap_queue *to, uint64_t life, const struct ap_lane *consumer)
{
    return ap_load_acquire(&to->life) == life && ap_lane_lives(consumer);
}

/* Whether the task is not to be run at once, or by one provider only, or perhaps not itself. */
AP_ALWAYS_INLINE bool ap_elsewhen(const apiary_delegate_options_t *o)
{
    return (o->delay | o->due_at | o->provider | o->dedup_key) != 0;
}

/* Whether a task that could not be placed is to wait, or to be one of another capability, or to be placed within bounds. */
AP_ALWAYS_INLINE bool ap_may_wait(const struct ap_submission *s, int error)
{
    if (error == AP_BY_BOUNDS || error == AP_STANDS_IN) return true;
    return error == APIARY_ENOPROVIDER && (s->flags & APIARY_WAIT_FOR_PROVIDER) != 0;
}

#endif
