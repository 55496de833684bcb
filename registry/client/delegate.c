/* registry/client/delegate.c - a task is placed: a queue is picked, a slot taken and written, its word published, its reference
 * pushed; then the consumer is told, of one task or of a batch.
 * LENGTH: the steps of one path, inlined into each other. */
#include <string.h>

#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/client/carried.h"
#include "registry/client/client.h"
#include "registry/client/probe.h"
#include "registry/routing/bounds.h"
#include "registry/routing/hedging.h"
#include "registry/routing/homes.h"
#include "registry/routing/limits.h"
#include "registry/routing/places.h"
#include "registry/routing/terms.h"
#include "shm/due.h"

#define LOOKS_BACK 8 /* at a queue that changes hands under a task, before the task is left where it is */

/* One submit under way. Its address goes to nothing that is not inlined, so that all of it can be in registers. */
struct submit {
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

/* The facts about a QUEUED task that the slow path needs. */
struct placed {
    struct ap_lane_context *c;
    struct ap_slot *at;
    struct ap_queue *to;
    struct ap_producer *way;
    struct ap_lane *consumer;
    uint64_t life, generation, loan;
    uint32_t slot, queue;
    bool batched;
};

AP_ALWAYS_INLINE struct placed placed_of(const struct submit *s)
{
    return (struct placed){.c = s->c, .at = s->at, .to = s->to, .way = s->way, .consumer = s->consumer, .life = s->life,
                           .generation = s->generation, .loan = s->loan, .slot = s->slot, .queue = s->queue,
                           .batched = s->batched};
}

/* ---- pick: a queue, and room in its ring ----------------------------------------------------------------------- */

struct picked {
    int error; /* AP_BY_BOUNDS, too; STANDS_IN: it has no provider, and c->stand_in, which stands in for it, has one */
    uint32_t queue;
    uint64_t life;
};

#define STANDS_IN AP_STANDS_IN

/* It has no provider: whether bounds are to be seen to first, as that it waits for one, or another capability stands in. */
static int pick_otherwise(struct ap_lane_context *c, int service, uint32_t capability)
{
    if (!c->within && ap_bounds_any(c->lane.seg, capability)) return AP_BY_BOUNDS;
    if (service >= 0) return APIARY_ENOPROVIDER;
    c->stand_in = ap_route_stand_in(c->lane.seg, capability, c->balance.caller);
    return c->stand_in >= 0 ? STANDS_IN : APIARY_ENOPROVIDER;
}

/* Into the shared ring: there a task that waits for its place holds up no other one (registry/routing/places.h). Whether there is
 * room. */
static __attribute__((noinline)) bool apart_to(struct ap_lane_context *c, uint32_t queue)
{
    struct ap_segment *seg = c->lane.seg;

    c->apart = (struct ap_producer){.ring = ap_ring_at(seg, queue, seg->geometry.queue_inlets), .index = seg->geometry.queue_inlets,
                                    .opened = 1, .shared = 1, .rank = c->rank};
    if (c->rank != 0) ap_queue_rank(seg, queue);
    return ap_queue_room(seg, queue, &c->apart, &c->lane);
}

/* If there is no room one other provider is tried. */
static struct picked pick_apart(struct ap_lane_context *c, int service, uint32_t capability, struct picked p)
{
    struct ap_segment *seg = c->lane.seg;
    bool alone = ap_stateful(seg, capability);
    uint32_t first = p.queue;

    if (apart_to(c, p.queue)) return p;
    if (alone || ap_route_in(seg, capability, service, &c->balance, p.queue, &p.queue, &p.life) < 0 || !apart_to(c, p.queue) ||
        !ap_limits_room(seg, capability, p.queue))
        p.error = ap_refused_full(c, first, AP_REFUSED_SHARED);
    return p;
}

/* What the capability has declared of all its tasks: 0 or an error. */
static int admit(struct ap_lane_context *c, uint32_t capability, uint32_t queue)
{
    int r = ap_limits_admit(c->lane.seg, capability, queue, &c->refused.excess);

    if (r == APIARY_EQUEUEFULL) r = ap_refused_full(c, queue, AP_REFUSED_LIMIT);
    c->refused.queue = queue;
    c->refused.capability = capability;
    return r;
}

static struct picked pick_once(struct ap_lane_context *c, int service, struct ap_known_name *known, uint64_t key)
{
    struct picked p;

    c->apart.opened = 0;
    if (service < 0 && known->at != NULL && c->not == AP_NO_QUEUE)
        p.error = ap_route_learn(c->lane.seg, known->capability, key, &c->balance, &known->only, &p.queue, &p.life);
    else
        p.error = ap_route_keyed(c->lane.seg, known->capability, service, key, &c->balance, c->not, &p.queue, &p.life);
    return p;
}

static __attribute__((noinline)) struct picked pick_among_all(struct ap_lane_context *c, int service, struct ap_known_name *known,
                                                              uint64_t key)
{
    struct picked p = pick_once(c, service, known, key);

    if (p.error == APIARY_EFORBIDDEN) {
        p.error = ap_gate(c, known->capability);
        if (p.error == 0) p = pick_once(c, service, known, key);
        if (p.error == APIARY_EFORBIDDEN) ap_refused_rule(c, known->capability);
    }
    if (p.error == APIARY_ENOPROVIDER) p.error = pick_otherwise(c, service, known->capability);
    if (p.error == 0 && ap_load_relaxed(&ap_capability_at(c->lane.seg, known->capability)->terms) != 0) {
        p.error = !c->within && ap_bounds_any(c->lane.seg, known->capability) ? AP_BY_BOUNDS
                                                                              : admit(c, known->capability, p.queue);
        if (p.error == 0 && ap_places_bound(c->lane.seg, known->capability) != 0)
            p = pick_apart(c, service, known->capability, p);
    }
    return p;
}

/* The ring is new to the lane, or seems to be full. If it is, one other provider is tried. */
static __attribute__((noinline)) struct picked pick_with_room(struct ap_lane_context *c, int service, uint32_t capability,
                                                              struct picked p)
{
    struct ap_segment *seg = c->lane.seg;
    const struct ap_producer *first = &c->producers[p.queue];
    uint32_t queue = p.queue;

    p.error = 0;
    if (ap_queue_room(seg, p.queue, &c->producers[p.queue], &c->lane)) return p;
    if (ap_stateful(seg, capability) ||
        ap_route_in(seg, capability, service, &c->balance, p.queue, &p.queue, &p.life) < 0 ||
        !ap_queue_room(seg, p.queue, &c->producers[p.queue], &c->lane) || !ap_limits_room(seg, capability, p.queue))
        p.error = ap_refused_full(c, queue, first->shared ? AP_REFUSED_SHARED : AP_REFUSED_INLET);
    return p;
}

AP_ALWAYS_INLINE void chosen(struct submit *s, const struct picked p)
{
    s->queue = p.queue;
    s->life = p.life;
    s->to = ap_queue_at(s->seg, p.queue);
    s->consumer = ap_lane_at(s->seg, AP_QUEUE_LANE(p.life));
}

/* The queue that the lane knows as the only one, if it still is, or the best of several. 0 or an error. */
AP_ALWAYS_INLINE int pick(struct submit *s, struct ap_known_name *known, const apiary_delegate_options_t *options)
{
    struct picked p = {0};

    if (__builtin_expect(s->service < 0 && ap_route_only(&known->only), 1)) {
        s->queue = known->only.queue;
        s->life = known->only.life;
        s->to = known->only.at;
        s->consumer = known->only.lane;
    } else {
        p = pick_among_all(s->c, s->service, known, s->carries ? options->key : 0);
        if (p.error != 0) return p.error;
        chosen(s, p);
        s->way = &s->c->apart;
        if (s->way->opened) return 0; /* by pick_apart, which has seen to room */
    }
    s->way = &s->c->producers[s->queue];
    if (__builtin_expect(ap_queue_ready(s->seg, s->way), 1)) return 0;
    p = pick_with_room(s->c, s->service, known->capability, (struct picked){.queue = s->queue, .life = s->life});
    if (p.error < 0) return p.error;
    chosen(s, p);
    s->way = &s->c->producers[s->queue];
    return 0;
}

/* With options, or none; a key and a time to be started are said only with those that are carried. */
static __attribute__((noinline)) struct picked pick_in_time(struct ap_lane_context *c, int service, uint32_t capability,
                                                            const apiary_delegate_options_t *options, struct picked p)
{
    struct ap_backlog_task task = {options != NULL ? options->key : 0, ap_timeout_of(c->lane.seg, options),
                                   c->rank != 0 || ap_places_bound(c->lane.seg, capability) != 0, c->rank};
    uint64_t start = options != NULL ? options->schedule_to_start : 0;

    if (start != 0 && start < task.timeout) task.timeout = start;
    p.error = ap_backlog_pick(c, service, capability, &task, &p.queue, &p.life);
    return p;
}

/* ---- take: a ticket, a slot, a block --------------------------------------------------------------------------- */

struct taken {
    int error;
    uint32_t slot;
    uint64_t block;
    uint32_t ticket;
};

static void ticket_back(struct ap_lane_context *c, uint32_t ticket)
{
    if (ticket != 0) ap_ticket_back(c->lane.seg, &c->ticket_hint, c->lane.index, ticket);
}

/* The block before the slot is RESERVED: what it is for is not said yet, and if there is none the slot has stayed FREE. */
static struct taken take_once(struct ap_lane_context *c, size_t size, uint64_t loan)
{
    const struct apiary *a = c->client;
    struct ap_segment *seg = c->lane.seg;
    struct taken t = {.block = loan};

    if (a->service >= 0)
        t.error = ap_ticket_take(seg, (uint32_t)a->service, c->lane.index, ap_load_relaxed(&a->limit), &c->ticket_hint, &t.ticket);
    if (t.error < 0) return t;
    t.error = ap_task_next(&c->slabs, ap_slot_leave, seg, &t.slot);
    if (t.error == 0 && size > AP_INLINE_BODY && loan == 0) {
        t.error = ap_pool_take(seg, &c->lane, &c->pool_hint, size, &t.block);
        if (t.error < 0) c->slabs.next--; /* it is still that slot's turn */
    }
    if (t.error < 0) ticket_back(c, t.ticket);
    return t;
}

static __attribute__((noinline)) struct taken take_slowly(struct ap_lane_context *c, size_t size, uint64_t loan)
{
    struct taken t = take_once(c, size, loan);

    if (t.error != APIARY_ELIMIT && t.error != APIARY_ENOSLOT && t.error != APIARY_ENOBLOCK && t.error != APIARY_ESHARE)
        return t;
    return ap_make_room(c, t.error, size > AP_INLINE_BODY && loan == 0 ? size : 0) ? take_once(c, size, loan) : t;
}

/* Takes what needs no search: the slot in turn, the ticket that was given back last. */
AP_ALWAYS_INLINE bool take_at_once(struct submit *s)
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
AP_ALWAYS_INLINE int delegate_take(struct submit *s)
{
    struct taken t;

    if (__builtin_expect(take_at_once(s), 1)) return 0;
    t = take_slowly(s->c, s->size, s->loan);
    s->slot = t.slot;
    s->at = ap_slot_at(s->seg, t.slot);
    s->block = t.block;
    s->unusual |= t.block != 0;
    s->ticket = t.ticket;
    return t.error;
}

/* ---- write ----------------------------------------------------------------------------------------------------- */

AP_ALWAYS_INLINE apiary_task_t task_of(const struct submit *s)
{
    return (apiary_task_t){.slot = s->slot, .epoch = s->c->slabs.epoch, .generation = s->generation};
}

/* Writes a body that does not fit the slot, once the slot is RESERVED. A loan (`body` NULL) is in its block already. */
static __attribute__((noinline)) void write_block(struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t block,
                                                  const void *body, size_t size)
{
    if (body != NULL) memcpy(ap_at_offset(seg, block, size), body, size);
    ap_slot_body_block(seg, slot, generation, block);
}

/* A task that may be taken back with more than its slot is nobody else's to free until it is placed: the loan is the caller's then,
 * an entry of the dead set stays there, and a row that was promised for the result is free. */
AP_ALWAYS_INLINE bool detach_late(const struct submit *s)
{
    return s->loan != 0 || s->carries;
}

/* The slot is FREE, and this lane's alone; afterwards it is RESERVED, with all that it needs. */
AP_ALWAYS_INLINE void write_slot(struct submit *s)
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
AP_ALWAYS_INLINE int write_unusual(struct submit *s, const apiary_delegate_options_t *options, uint64_t due)
{
    if ((s->flags & APIARY_PARTS) != 0) ap_slot_ask(s->at, AP_REQUEST_PARTS);
    else if ((s->flags & APIARY_DETACH) != 0 && !detach_late(s)) ap_slot_detach(s->at, s->generation);
    if (s->block != 0) write_block(s->seg, s->slot, s->generation, s->block, s->loan == 0 ? s->body : NULL, s->size);
    return s->carries ? ap_carry(s->c, task_of(s), s->ticket, s->loan, options, due) : 0;
}

/* ---- publish, push --------------------------------------------------------------------------------------------- */

/* Takes the task back, unless a worker has it already: 0. */
static __attribute__((noinline)) int take_back(const struct placed p, int error)
{
    struct ap_segment *seg = p.c->lane.seg;
    uint64_t word = ap_load_acquire(&p.at->word);

    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_GENERATION(word) == p.generation) {
        if (ap_task_cancel_queued(seg, p.slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) {
            /* A loan is the caller's again before the slot is freed, and so is the rest. Nobody else frees it now: no bit says
             * yet that it is given up. */
            if (p.loan != 0) ap_loan_back(p.c, p.loan);
            if (p.c->again != NULL) ap_store_relaxed(p.c->again->ref, 0); /* and what was to be delegated anew is not gone */
            word = ap_load_acquire(&p.at->word);
            if (ap_task_requested(p.at, word, AP_REQUEST_KEEP)) ap_kept_recall(seg, ap_task_id(seg, p.slot, p.generation));
            ap_task_release_with(seg, p.c->lane.index, p.slot, word, ap_slot_leave, seg);
            if (error == APIARY_EQUEUEFULL) ap_refused_full(p.c, p.queue, AP_REFUSED_SHARED); /* the only one that fills up so */
            return error;
        }
        word = ap_load_acquire(&p.at->word);
    }
    return 0;
}

/* Somebody has written over the slot. */
static __attribute__((noinline)) int overwritten(struct ap_lane_context *c, uint32_t ticket)
{
    ticket_back(c, ticket);
    return APIARY_ECORRUPT;
}

/* A queue was picked: all that it takes for one task then, but that its consumer is told. */
AP_ALWAYS_INLINE int place_there(struct submit *s, const apiary_delegate_options_t *options)
{
    uint64_t ref;
    int r;

    if (__builtin_expect(ap_load_relaxed(&s->to->pace) != 0, 0)) {
        struct picked p = pick_in_time(s->c, s->service, s->capability, options,
                                       (struct picked){.queue = s->queue, .life = s->life});

        if (p.error < 0) return p.error;
        chosen(s, p);
        if (s->way != &s->c->apart) s->way = &s->c->producers[s->queue];
        else if (!apart_to(s->c, s->queue)) return ap_refused_full(s->c, s->queue, AP_REFUSED_SHARED);
    }
    r = delegate_take(s);
    if (__builtin_expect(r < 0, 0)) return r;
    if (!s->batched) s->now = s->seg->ops->now();
    s->deadline = ap_deadline_of(s->seg, options, s->now);
    write_slot(s);
    if (__builtin_expect(s->unusual, 0)) r = write_unusual(s, options, s->now);
    ref = __builtin_expect(r == 0, 1) ? ap_slot_publish(&s->c->slabs, s->at, s->slot, s->queue) : 0;
    if (__builtin_expect(ref == 0, 0)) return r < 0 ? r : overwritten(s->c, s->ticket);
    if (__builtin_expect(ap_queue_push(s->seg, s->way, ref) < 0, 0)) return take_back(placed_of(s), APIARY_EQUEUEFULL);
    return 0;
}

/* All that it takes for one task, but that its consumer is told. 0, or an error or AP_BY_BOUNDS, and nothing is left of it. */
AP_ALWAYS_INLINE int delegate_place(struct submit *s, struct ap_known_name *known, const apiary_delegate_options_t *options)
{
    int r;

    s->capability = known->capability;
    r = pick(s, known, options);
    return __builtin_expect(r != 0, 0) ? r : place_there(s, options);
}

static __attribute__((noinline)) void delegate_detach(struct ap_lane_context *c, uint32_t slot, uint64_t generation)
{
    if (ap_task_request(c->lane.seg, slot, generation, AP_REQUEST_DETACH))
        ap_task_free_unseen(c->lane.seg, c->lane.index, slot, ap_slot_leave, c->lane.seg);
}

/* ---- and the consumer is told ---------------------------------------------------------------------------------- */

/* Whether the agent that has the queue now is alive, and so another than the one that was picked if it does not serve the task. */
static bool queue_living(const struct ap_segment *seg, const struct ap_queue *q)
{
    uint64_t life = ap_load_acquire(&q->life);

    return AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(life));
}

/* Takes the task back: 0, there was no need to; STANDS_IN or an error. Bounds that were declared meanwhile are the next one's. */
static int settle_otherwise(const struct placed p)
{
    uint32_t capability = ap_load_relaxed(&p.at->capability);
    int service = (int)ap_load_relaxed(&p.at->only) - 1, r = take_back(p, APIARY_ENOPROVIDER);

    if (r < 0) r = pick_otherwise(p.c, service, capability);
    return r == AP_BY_BOUNDS ? APIARY_ENOPROVIDER : r;
}

/* The queue was closed, or its consumer was marked dead, while the task was on its way into it. */
static __attribute__((noinline)) int delegate_settle(const struct placed p)
{
    struct ap_segment *seg = p.c->lane.seg;

    for (int looks = 0; looks < LOOKS_BACK; looks++) {
        uint64_t life = ap_load_acquire(&p.to->life), word = ap_load_acquire(&p.at->word);

        /* Of a task that is fire and forget the slot may be a later one's by now, which has its own turn. */
        if (AP_WORD_GENERATION(word) != p.generation || AP_WORD_STATE(word) != AP_TASK_QUEUED) return 0;
        if (AP_WORD_OWNER(word) != p.queue) return 0;
        switch (ap_reroute(seg, &p.c->balance, p.slot, word)) {
        case AP_MOVE_SERVED:
            /* Opened anew: its consumer may have passed the slot in its first scan, and the bell was another's. */
            ap_queue_signal(seg, p.queue, p.way->index, life);
            if (ap_load_acquire(&p.to->life) == life) return 0;
            break;
        case AP_MOVE_NOWHERE:
            /* Its queen may come back. Or another agent has the queue by now, and nobody offers the capability. */
            return p.batched || !queue_living(seg, p.to) ? 0 : settle_otherwise(p);
        default: return 0;
        }
    }
    return 0;
}

/* The queue has the life in which it was picked, and its consumer lives. */
AP_ALWAYS_INLINE bool as_picked(const struct ap_queue *to, uint64_t life, const struct ap_lane *consumer)
{
    return ap_load_acquire(&to->life) == life && ap_lane_lives(consumer);
}

/* ---- or not before its time ------------------------------------------------------------------------------------ */

/* Whether the task is not to be run at once, or by one provider only. */
static bool elsewhen(const apiary_delegate_options_t *o)
{
    return (o->delay | o->due_at | o->provider) != 0;
}

/* Or has a rank. */
static bool later(const struct submit *s, const apiary_delegate_options_t *o)
{
    return __builtin_expect(s->unusual, 0) && s->carries && (elsewhen(o) || ap_carried_rank(o) != 0);
}

/* Whether a task that could not be placed is to wait, or to be one of another capability, or to be placed within bounds. */
AP_ALWAYS_INLINE bool may_wait(const struct submit *s, int error)
{
    if (error == AP_BY_BOUNDS || error == STANDS_IN) return true;
    return error == APIARY_ENOPROVIDER && (s->flags & APIARY_WAIT_FOR_PROVIDER) != 0;
}

/* The task is one of the capability that stands in for its own, or has it first. 0, or an error. */
static __attribute__((noinline)) int delegate_stand_in(struct ap_lane_context *c, int service, uint32_t capability,
                                                       const void *body, size_t size, uint64_t loan,
                                                       const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    apiary_delegate_options_t own = options != NULL ? *options : (apiary_delegate_options_t){.struct_size = sizeof own};
    struct ap_terms *row = ap_terms_at(c->lane.seg, capability);
    char name[APIARY_CAPABILITY_MAX + 1];
    bool gated = c->gated;
    int r;

    if (!gated) own.flags = (own.flags & ~(uint32_t)APIARY_WAIT_FOR_PROVIDER) | APIARY_NO_FALLBACK;
    ap_capability_name(c->lane.seg, (uint32_t)c->stand_in, name);
    if (!ap_hedging_allowed(c->lane.seg, (uint32_t)c->stand_in)) own.hedge = 0; /* an answer matters more than a fast one */
    c->stand_in = -1;
    c->gated = c->within = false; /* the other one may have bounds of its own */
    c->balance.from_gate = 0;
    r = ap_submit(c, gated ? service : -1, name, body, size, loan, &own, ret);
    if (r == 0 && !gated) ap_add_relaxed(&row->fell_back, 1);
    return r;
}

/* One provider may have it, and no other: whether that is there, with room. */
static __attribute__((noinline)) int later_provider(struct ap_lane_context *c, int service, uint32_t capability, uint64_t number)
{
    const struct ap_route_question q = {.service = service, .caller = c->balance.caller, .passed = c->balance.from_gate};
    struct ap_segment *seg = c->lane.seg;
    uint32_t queue;
    uint64_t life;
    int r = ap_route_to(seg, capability, &q, number, &queue, &life);

    if (r < 0) return r;
    if (ap_queue_depth(seg, queue) >= seg->geometry.queue_depth) return ap_refused_full(c, queue, AP_REFUSED_ONE);
    return ap_load_relaxed(&ap_capability_at(seg, capability)->terms) != 0 ? admit(c, capability, queue) : 0;
}

/* In a turn of its rank: it goes into the shared ring, whoever sends it (shm/rank.h), and its consumer is told at once, also in a
 * batch. 0, or what delegate_place gives. */
static __attribute__((noinline)) int delegate_ranked(struct ap_lane_context *c, int service, uint32_t capability,
                                                     const void *body, size_t size, uint64_t loan,
                                                     const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct submit s = {.c = c, .seg = c->lane.seg, .body = body, .size = size, .loan = loan, .service = service,
                       .capability = capability, .flags = options->flags, .carries = true, .unusual = true};
    struct ap_known_name known = {.capability = capability};
    struct picked p;
    int r;

    c->rank = ap_carried_rank(options);
    p = pick_among_all(c, service, &known, options->key);
    if (p.error == 0 && !c->apart.opened) p = pick_apart(c, service, capability, p);
    r = p.error;
    if (r == 0) {
        chosen(&s, p);
        s.way = &c->apart;
        r = place_there(&s, options);
    }
    c->rank = 0;
    if (r != 0) return r;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_queue_signal_at(s.seg, s.to, s.way->index, s.consumer);
    if (!as_picked(s.to, s.life, s.consumer)) r = delegate_settle(placed_of(&s));
    if (r != 0) return r;
    if (c->not == AP_NO_QUEUE) ap_terms_rank(s.seg, capability, ap_carried_rank(options)); /* a second copy is the same task */
    if ((s.flags & APIARY_DETACH) != 0 && detach_late(&s)) delegate_detach(c, s.slot, s.generation);
    if (ret != NULL) *ret = task_of(&s);
    return 0;
}

/* It is for one provider, and would have to go to a gate first, whose providers are others. */
static int refused_behind(struct ap_lane_context *c, uint32_t capability, size_t size)
{
    int r = ap_refused(c, APIARY_ENOPROVIDER, size);

    c->stand_in = -1;
    c->gated = false;
    c->refused.gated = true;
    c->refused.capability = capability;
    return r;
}

/* Places the task in no queue: whoever finds it due picks one. By value: of the others no address is taken. */
static __attribute__((noinline)) int delegate_later(struct submit s, uint32_t capability, const apiary_delegate_options_t *options,
                                                    apiary_task_t *ret)
{
    bool at_once, gated;
    uint64_t due;
    int r;

    s.capability = capability;
    if (s.carries && s.c->stand_in < 0 && !elsewhen(options) && ap_carried_rank(options) != 0) {
        r = delegate_ranked(s.c, s.service, capability, s.body, s.size, s.loan, options, ret);
        if (r == 0) return 0;
        if (!may_wait(&s, r)) return ap_refused(s.c, r, s.size);
    }
    if (!s.c->within && ap_bounds_any(s.seg, capability)) {
        /* Declared since nobody was found: within them it is looked again who stands in, or has it first. */
        s.c->stand_in = -1;
        s.c->gated = false;
        return ap_submit_within(s.c, s.service, capability, s.body, s.size, s.loan, options, ret);
    }
    if (s.c->stand_in >= 0) {
        r = APIARY_ENOPROVIDER;
        gated = s.c->gated;
        if (gated && options != NULL && options->provider != 0) return refused_behind(s.c, capability, s.size);
        if (gated || (s.flags & APIARY_NO_FALLBACK) == 0)
            r = delegate_stand_in(s.c, s.service, capability, s.body, s.size, s.loan, options, ret);
        s.c->stand_in = -1;
        if (gated || r != APIARY_ENOPROVIDER || (s.flags & APIARY_WAIT_FOR_PROVIDER) == 0)
            return r < 0 ? ap_refused(s.c, r, s.size) : 0;
    }
    r = ap_route_may(s.seg, capability, &(struct ap_route_question){.service = s.service, .caller = s.c->balance.caller,
                                                                    .passed = s.c->balance.from_gate});
    if (r == APIARY_EFORBIDDEN) r = ap_gate(s.c, capability);
    if (r == STANDS_IN) return delegate_later(s, capability, options, ret);
    at_once = options != NULL && options->provider != 0 && (options->delay | options->due_at) == 0;
    if (at_once && r != APIARY_EFORBIDDEN) r = later_provider(s.c, s.service, capability, options->provider);
    if (r == APIARY_EFORBIDDEN) ap_refused_rule(s.c, capability);
    if (r < 0) return ap_refused(s.c, r, s.size);
    r = delegate_take(&s);
    if (r < 0) return ap_refused(s.c, r, s.size);
    if (!s.batched) s.now = s.seg->ops->now();
    due = ap_due_of(options, s.now);
    s.deadline = ap_deadline_of(s.seg, options, due);
    write_slot(&s);
    r = write_unusual(&s, options, due);
    if (r < 0) return ap_refused(s.c, r, s.size);
    if (!ap_slot_schedule(&s.c->slabs, s.at, s.slot, due)) return ap_refused(s.c, overwritten(s.c, s.ticket), s.size);
    if (at_once) ap_due_task(s.seg, &ap_registry_hooks, s.c->lane.index, s.slot, due);
    else ap_due_tell(s.seg, s.slot, due < s.deadline ? due : s.deadline);
    if (s.carries && ap_carried_rank(options) != 0) ap_terms_rank(s.seg, capability, ap_carried_rank(options));
    if (ret != NULL) *ret = task_of(&s);
    if ((s.flags & APIARY_DETACH) != 0 && detach_late(&s)) delegate_detach(s.c, s.slot, s.generation);
    return 0;
}

/* ---- ap_submit ------------------------------------------------------------------------------------------------- */

/* Nobody reads the parts of a task whose result nobody collects. */
static bool flags_agree(uint32_t flags)
{
    const uint32_t unread = APIARY_DETACH | APIARY_PARTS;

    const uint32_t known = unread | APIARY_WAIT_FOR_PROVIDER | APIARY_NO_FALLBACK | APIARY_NO_HEDGE;

    return (flags & ~known) == 0 && (flags & unread) != unread;
}

#define AS_PROBE 1 /* no error: probe.c places it */

/* With options of this version, or none. 0, AS_PROBE or an error. */
AP_ALWAYS_INLINE int asked(struct submit *s, const apiary_delegate_options_t *options, const apiary_task_t *ret)
{
    if (options != NULL) {
        s->flags = options->flags;
        s->carries = ap_carried_said(options);
        s->unusual = s->carries | (s->flags != 0);
        if (__builtin_expect(s->carries, 0)) {
            if (ap_carried_judge(options) < 0) return APIARY_EINVAL;
            if (options->keep != 0 && (s->flags & APIARY_DETACH) == 0) return APIARY_EINVAL;
        }
        if (__builtin_expect(s->flags != 0, 0)) {
            if ((s->flags & APIARY_PROBE) != 0) return AS_PROBE;
            if (!flags_agree(s->flags)) return APIARY_EINVAL;
        }
    }
    if (ret == NULL && (s->flags & APIARY_DETACH) == 0) return APIARY_EINVAL;
    return s->size > AP_INLINE_BODY && s->size > ap_pool_max(s->seg) ? APIARY_ETOOLARGE : 0;
}

/* With options of another version of the public face. */
static __attribute__((noinline)) int submit_other(struct ap_lane_context *c, int service, const char *capability,
                                                  const apiary_capability_t *bound, const void *body, size_t size, uint64_t loan,
                                                  const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    apiary_delegate_options_t own;
    int r = ap_sized_in(&own, sizeof own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);

    if (r < 0) return ap_refused(c, r, size);
    return bound != NULL ? ap_submit_bound(c, *bound, body, size, &own, ret)
                         : ap_submit(c, service, capability, body, size, loan, &own, ret);
}

/* It is not placed as others are: `r` is AS_PROBE, or the error. */
static __attribute__((noinline)) int submit_not(struct ap_lane_context *c, int r, int service, const char *capability,
                                                const apiary_capability_t *bound, size_t size, uint64_t loan,
                                                const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    const struct ap_known_name *known;
    struct ap_probe_ask ask = {.service = service, .size = size, .loan = loan != 0};

    if (r < 0) return ap_refused(c, r, size);
    known = bound != NULL ? ap_bound_known(c, *bound) : ap_capability_known(c, capability);
    if (known == NULL) return ap_refused(c, bound != NULL ? APIARY_ESTALE : APIARY_ENOCAP, size);
    ask.capability = known->capability;
    return ap_probe(c, &ask, options, ret);
}

/* By name, or (NULL) bound. */
AP_ALWAYS_INLINE int submit(struct ap_lane_context *c, int service, const char *capability, const apiary_capability_t *bound,
                            const void *body, size_t size, uint64_t loan, const apiary_delegate_options_t *options,
                            apiary_task_t *ret)
{
    struct submit s = {.c = c, .seg = c->lane.seg, .body = body, .size = size, .loan = loan, .service = service};
    struct ap_known_name *known;
    int r;

    if (options != NULL && __builtin_expect(options->struct_size != sizeof *options, 0))
        return submit_other(c, service, capability, bound, body, size, loan, options, ret);
    r = asked(&s, options, ret);
    if (__builtin_expect(r != 0, 0)) return submit_not(c, r, service, capability, bound, size, loan, options, ret);
    known = bound != NULL ? ap_bound_known(c, *bound) : ap_capability_known(c, capability);
    if (__builtin_expect(known == NULL, 0)) return ap_refused(c, bound != NULL ? APIARY_ESTALE : APIARY_ENOCAP, size);
    if (later(&s, options)) return delegate_later(s, known->capability, options, ret);
    r = delegate_place(&s, known, options);
    if (__builtin_expect(r != 0, 0))
        return may_wait(&s, r) ? delegate_later(s, known->capability, options, ret) : ap_refused(c, r, size);
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_queue_signal_at(s.seg, s.to, s.way->index, s.consumer);
    if (__builtin_expect(!as_picked(s.to, s.life, s.consumer), 0)) r = delegate_settle(placed_of(&s));
    if (__builtin_expect(r < 0, 0))
        return may_wait(&s, r) ? delegate_later(s, known->capability, options, ret) : ap_refused(c, r, size);
    if (__builtin_expect(s.unusual, 0)) {
        if ((s.flags & APIARY_DETACH) != 0 && detach_late(&s)) delegate_detach(c, s.slot, s.generation);
        if (ret == NULL) return 0; /* `asked` allows that only with a flag, which is unusual */
    }
    *ret = task_of(&s);
    return 0;
}

int ap_submit(struct ap_lane_context *c, int service, const char *capability, const void *body, size_t size, uint64_t loan,
              const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    return submit(c, service, capability, NULL, body, size, loan, options, ret);
}

int ap_submit_bound(struct ap_lane_context *c, apiary_capability_t bound, const void *body, size_t size,
                    const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    return submit(c, -1, NULL, &bound, body, size, 0, options, ret);
}

/* ---- batches -------------------------------------------------------------------------------------------------- */

/* Tasks in a ring that its consumer was not yet told of; few, so that the first of a long batch does not wait for its last. */
#define UNTOLD 32u

struct batch {
    struct ap_lane_context *c;
    uint64_t now; /* of the first, and for all */
    const char *capability; /* of the last request: the next one's where it asks for the same */
    struct ap_known_name *known;
    uint32_t untold;
    struct placed waiting[UNTOLD];
};

/* One fence for all, one signal for each queue. A death before it is as one between the push and the signal of a single submit:
 * the reaper has every consumer look. */
static __attribute__((noinline)) void delegate_tell(struct batch *b)
{
    if (b->untold == 0) return;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signals, too */
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct placed *p = &b->waiting[i];
        bool told = false;

        for (uint32_t k = i; k > 0 && !told; k--) told = b->waiting[k - 1].to == p->to && b->waiting[k - 1].life == p->life;
        if (!told) ap_queue_signal_at(b->c->lane.seg, p->to, p->way->index, p->consumer);
    }
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct placed *p = &b->waiting[i];

        if (!as_picked(p->to, p->life, p->consumer)) delegate_settle(*p);
    }
    b->untold = 0;
}

static int batch_one(struct batch *b, const apiary_request_t *q, apiary_task_t *ret)
{
    const apiary_delegate_options_t *options = q->options;
    apiary_delegate_options_t own;
    struct submit s = {.c = b->c, .seg = b->c->lane.seg, .body = q->body, .size = q->size, .service = -1, .batched = true,
                       .now = b->now};
    int r;

    if (options != NULL && __builtin_expect(options->struct_size != sizeof own, 0)) {
        r = ap_sized_in(&own, sizeof own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
        if (r < 0) return r;
        options = &own;
    }
    if ((q->capability == NULL) == (q->bound == NULL) || (q->body == NULL && q->size > 0)) return APIARY_EINVAL;
    r = asked(&s, options, ret);
    if (r != 0) return submit_not(s.c, r, -1, q->capability, q->bound, s.size, 0, options, ret);
    if (q->bound != NULL) {
        b->known = ap_bound_known(s.c, *q->bound);
        b->capability = NULL;
        if (b->known == NULL) return APIARY_ESTALE;
    } else if (b->capability == NULL || (b->capability != q->capability && strcmp(b->capability, q->capability) != 0)) {
        b->known = ap_capability_known(s.c, q->capability);
        b->capability = b->known != NULL ? q->capability : NULL;
        if (b->known == NULL) return APIARY_ENOCAP;
    }
    if (later(&s, options)) return delegate_later(s, b->known->capability, options, ret);
    r = delegate_place(&s, b->known, options);
    if (__builtin_expect(r != 0, 0))
        return may_wait(&s, r) ? delegate_later(s, b->known->capability, options, ret) : ap_refused(s.c, r, s.size);
    if ((s.flags & APIARY_DETACH) != 0 && detach_late(&s)) delegate_detach(s.c, s.slot, s.generation);
    if (ret != NULL) *ret = task_of(&s);
    b->waiting[b->untold++] = placed_of(&s);
    if (b->untold == UNTOLD) delegate_tell(b);
    return 0;
}

int ap_submit_batch(struct ap_lane_context *c, const apiary_request_t *requests, size_t count, apiary_task_t *tasks,
                    size_t *submitted)
{
    struct batch b;
    size_t i;
    int r = 0;

    b.c = c;
    b.now = c->lane.seg->ops->now();
    b.capability = NULL;
    b.untold = 0;
    for (i = 0; i < count; i++) {
        const apiary_request_t *q = (const void *)((const char *)requests + i * requests->struct_size);
        apiary_request_t own;

        if (__builtin_expect(requests->struct_size != sizeof own, 0)) {
            own.size = 0;
            r = ap_sized_in(&own, sizeof own, AP_FIRST_REQUEST, q, requests->struct_size);
            q = &own;
        }
        if (r == 0) r = batch_one(&b, q, tasks != NULL ? &tasks[i] : NULL);
        if (r < 0) {
            ap_refused(c, r, q->size);
            break;
        }
    }
    delegate_tell(&b);
    *submitted = i;
    return r;
}

/* ---- the public face ------------------------------------------------------------------------------------------ */

int apiary_delegate(apiary_t *a, const char *capability, const void *body, size_t size,
                    const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    int r = 0;

    if (capability == NULL || (body == NULL && size > 0)) return APIARY_EINVAL;
    c = ap_context(a, &r);
    /* Its own copy, without what only a loan or a task for one's own swarm needs. */
    return __builtin_expect(c != NULL, 1) ? submit(c, -1, capability, NULL, body, size, 0, options, ret) : r;
}

int apiary_delegate_bound(apiary_t *a, apiary_capability_t capability, const void *body, size_t size,
                          const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    int r = 0;

    if (body == NULL && size > 0) return APIARY_EINVAL;
    c = ap_context(a, &r);
    return __builtin_expect(c != NULL, 1) ? submit(c, -1, NULL, &capability, body, size, 0, options, ret) : r;
}
