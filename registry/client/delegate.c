/* registry/client/delegate.c - submit: route, admit, reserve, fill, publish, signal; one task or a batch.
 * LENGTH: the single and the batched submit are made of the same inlined steps. */
#include <string.h>

#include "core/copy.h"
#include "core/defect.h"
#include "registry/client/client.h"
#include "shm/event.h"

#define REROUTES 8 /* queues that may close under one task before it is left where it is */

/* One submit under way. What is slow and not inlined gets it by value, so that the fast path can have it in registers. */
struct submit {
    struct ap_lane_context *c;
    struct ap_segment *seg;
    const void *body;
    size_t size;
    uint64_t loan, deadline, now, life, block, generation;
    struct ap_slot *at;
    struct ap_queue *to;
    struct ap_lane *consumer; /* of the queue, as of `life` */
    uint32_t flags, capability, queue, slot;
    int service;
    uint16_t ticket;
    bool batched; /* others of its batch are submitted already: it cannot be taken back after its turn */
};

static bool queue_serves(const struct ap_segment *seg, uint32_t queue, uint32_t capability)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t life = q != NULL ? ap_load_acquire(&q->life) : 0;

    return AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(life)) &&
           ap_capability_offers(seg, capability, queue);
}

/* ---- what a submit needs -------------------------------------------------------------------------------------- */

bool ap_make_room(struct ap_lane_context *c, int error)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t n = ap_tidy(c);

    if (error == APIARY_ENOBLOCK) n += ap_tidy_all(c);
    if (n == 0) n += (uint32_t)ap_reap_asking(seg, c->lane.index, &ap_registry_hooks);
    if (n == 0 && error == APIARY_ENOBLOCK) n += ap_pool_sweep(seg);
    return n > 0;
}

static void ticket_back(struct submit *s)
{
    struct ap_lane_context *c = s->c;

    if (s->ticket != 0) ap_ticket_back(s->seg, &c->ticket_hint, c->lane.index, s->ticket);
    s->ticket = 0;
}

/* The block before the slot is RESERVED: what it is for is not said yet, and if there is none the slot has stayed FREE. */
static int acquire_once(struct submit *s)
{
    struct ap_lane_context *c = s->c;
    const struct apiary *a = c->client;
    int r = 0;

    if (a->service >= 0)
        r = ap_ticket_take(s->seg, (uint32_t)a->service, c->lane.index, ap_load_relaxed(&a->limit), &c->ticket_hint, &s->ticket);
    if (r < 0) return r;
    r = ap_task_next(&c->slabs, ap_slot_ticket_return, s->seg, &s->slot);
    s->block = s->loan;
    if (r == 0 && s->size > AP_INLINE_BODY && s->loan == 0) {
        r = ap_pool_take(s->seg, &c->lane, &c->pool_hint, s->size, &s->block);
        if (r < 0) c->slabs.next--; /* it is still that slot's turn */
    }
    if (r < 0) ticket_back(s);
    else s->at = ap_slot_at(s->seg, s->slot);
    return r;
}

static __attribute__((noinline)) int acquire_slowly(struct submit *s)
{
    int r = acquire_once(s);

    if (r != APIARY_ELIMIT && r != APIARY_ENOSLOT && r != APIARY_ENOBLOCK) return r;
    return ap_make_room(s->c, r) ? acquire_once(s) : r;
}

/* What is simply there: the slot in turn, the ticket that was given back last. */
AP_ALWAYS_INLINE bool acquire_at_once(struct submit *s)
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

/* What does not fit the slot, once that is RESERVED: whoever frees the slot then gives the block back without a search of the
 * pool, since it is named first. */
static __attribute__((noinline)) void fill_block(const struct submit s)
{
    if (s.loan == 0) memcpy(ap_at_offset(s.seg, s.block, s.size), s.body, s.size);
    ap_store_relaxed(&s.at->body, s.block);
    ap_pool_attach(s.seg, s.block, AP_BLOCK_REQUEST, s.slot, s.generation);
}

/* The slot is FREE, and this lane's alone; afterwards it is RESERVED, with all that it needs. */
AP_ALWAYS_INLINE void fill(struct submit *s)
{
    struct ap_slot *slot = s->at;

    if (AP_DEFECT(publish_before_fill)) {
        ap_slot_reserve(slot, s->c->lane.index);
        ap_slot_publish(slot, s->slot, s->queue);
    }
    ap_store_relaxed(&slot->body, 0);
    ap_store_relaxed(&slot->result, 0);
    ap_store_relaxed(&slot->body_size, (uint32_t)s->size);
    ap_store_relaxed(&slot->result_size, 0);
    ap_store_relaxed(&slot->agent_code, 0);
    ap_store_relaxed(&slot->only, (uint16_t)(s->service + 1));
    ap_store_relaxed(&slot->deadline, s->deadline);
    ap_store_relaxed(&slot->client, (uint16_t)s->c->lane.index);
    ap_store_relaxed(&slot->capability, (uint16_t)s->capability);
    ap_store_relaxed(&slot->caller, (uint16_t)(s->c->client->service + 1));
    ap_store_relaxed(&slot->ticket, AP_DEFECT(ticket_unnamed) ? 0 : s->ticket);
    ap_store_relaxed(&slot->queued, s->now);
    ap_store_relaxed(&slot->started, 0);
    ap_store_relaxed(&slot->finished, 0);
    if (s->block == 0) ap_copy_small(slot->body_inline, s->body, s->size);
    s->generation = AP_DEFECT(publish_before_fill) ? AP_WORD_GENERATION(ap_load_relaxed(&slot->word))
                                                   : ap_slot_reserve(slot, s->c->lane.index);
    if (__builtin_expect((s->flags & APIARY_DETACH) != 0 && s->loan == 0, 0))
        ap_slot_detach(slot, s->generation);
    if (__builtin_expect(s->block != 0, 0)) fill_block(*s);
}

/* ---- publishing ----------------------------------------------------------------------------------------------- */

/* No ring had room: takes the task back, unless a worker that scanned the table has it already. */
static int take_back(struct submit *s, int error)
{
    struct ap_segment *seg = s->seg;
    struct ap_slot *slot = ap_slot_at(seg, s->slot);
    uint64_t word = ap_load_acquire(&slot->word), generation = AP_WORD_GENERATION(word);

    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_GENERATION(word) == generation) {
        if (ap_task_cancel_queued(seg, s->slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) {
            /* A loan is the caller's again before the slot is freed. Nobody else frees it now: no bit says that it is given up
             * (see ap_submit). */
            if (s->loan != 0) ap_pool_attach(seg, s->loan, AP_BLOCK_OWNED, s->c->lane.index, s->c->lane.epoch);
            word = ap_load_acquire(&slot->word);
            ap_task_release_with(seg, s->c->lane.index, s->slot, word, ap_slot_ticket_return, seg);
            return error;
        }
        word = ap_load_acquire(&slot->word);
    }
    return 0;
}

/* The reference is in the table only: have every consumer look there. */
static void raise_rescan(struct ap_segment *seg)
{
    ap_add_acq_rel(&seg->header->rescan, 1); /* QUEUE-R5 pairs QUEUE-A5 */
}

int ap_reroute(struct ap_segment *seg, struct ap_balance *balance, uint32_t index, uint64_t seen)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint32_t capability = ap_load_relaxed(&slot->capability), only = ap_load_relaxed(&slot->only), to;
    uint64_t life;
    int moved = 0;

    for (int tries = 0; tries < REROUTES && AP_WORD_STATE(seen) == AP_TASK_QUEUED; tries++) {
        uint32_t from = AP_WORD_OWNER(seen);

        if (queue_serves(seg, from, capability)) break;
        if (ap_route_in(seg, capability, (int)only - 1, balance, from, &to, &life) < 0) break;
        /* The generation in the word says that what was read of the slot was this task's. */
        if (!ap_task_move(seg, index, seen, to)) break;
        moved = 1;
        seen = AP_WORD_WITH(seen, AP_TASK_QUEUED, to);
        ap_event_log(seg, AP_EVENT_TASK_MOVED, AP_NO_LANE, index, to);
        if (ap_queue_push_shared(seg, to, AP_REF(index, AP_WORD_GENERATION(seen))) < 0) raise_rescan(seg);
        ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
        /* Of now: one that opens it after this begins with a scan and finds the task. */
        life = ap_load_acquire(&ap_queue_at(seg, to)->life); /* QUEUE-A4 pairs QUEUE-R4 */
        ap_queue_signal(seg, to, seg->geometry.queue_inlets, life);
    }
    return moved;
}

void ap_reroute_own(struct ap_lane_context *c, apiary_task_t task)
{
    struct ap_slot *slot;
    uint64_t word;

    if (ap_task_find(c->client, task, &slot, &word)) ap_reroute(c->lane.seg, &c->balance, task.slot, word);
}

/* The queue was closed, or its consumer was marked dead, while the task was on its way into it. */
static __attribute__((noinline)) int settle(struct submit copy)
{
    struct submit *s = &copy;
    const struct ap_queue *q = s->to;
    const struct ap_slot *slot = s->at;
    uint64_t generation = AP_WORD_GENERATION(ap_load_relaxed(&slot->word)), word, life;

    for (int tries = 0; tries < REROUTES; tries++) {
        life = ap_load_acquire(&q->life);
        word = ap_load_acquire(&slot->word);
        if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != s->queue) return 0;
        if (queue_serves(s->seg, s->queue, s->capability)) {
            /* Opened anew: its consumer may have passed the slot in its first scan, and the bell was another's. */
            ap_queue_signal(s->seg, s->queue, s->c->producers[s->queue].index, life);
            if (ap_load_acquire(&q->life) == life) return 0;
            continue;
        }
        if (ap_reroute(s->seg, &s->c->balance, s->slot, word)) return 0;
        word = ap_load_acquire(&slot->word);
        if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_GENERATION(word) != generation) return 0;
        if (AP_QUEUE_STATE(ap_load_acquire(&q->life)) != AP_QUEUE_OPEN) return 0; /* its queen may come back */
        /* Another agent has the queue by now, and nobody offers the capability. */
        if (!s->batched && !ap_capability_offers(s->seg, s->capability, s->queue)) return take_back(s, APIARY_ENOPROVIDER);
        return 0;
    }
    return 0;
}

static void chosen(struct submit *s, uint32_t queue, uint64_t life)
{
    s->queue = queue;
    s->life = life;
    s->to = ap_queue_at(s->seg, queue);
    s->consumer = ap_lane_at(s->seg, AP_QUEUE_LANE(life));
}

/* The ring of the chosen queue is full: one other provider is tried. As offer. */
static int elsewhere(struct submit *s, uint64_t ref)
{
    struct ap_lane_context *c = s->c;
    uint64_t word = ap_load_acquire(&s->at->word), life;
    uint32_t to;

    if (ap_route_in(s->seg, s->capability, s->service, &c->balance, s->queue, &to, &life) < 0)
        return take_back(s, APIARY_EQUEUEFULL);
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || !ap_task_move(s->seg, s->slot, word, to)) return 0;
    chosen(s, to, life);
    return ap_queue_push(s->seg, to, &c->producers[to], &c->lane, ref) < 0 ? take_back(s, APIARY_EQUEUEFULL) : 1;
}

AP_ALWAYS_INLINE bool push(const struct submit *s, uint64_t ref)
{
    return __builtin_expect(ap_queue_push(s->seg, s->queue, &s->c->producers[s->queue], &s->c->lane, ref) == 0, 1);
}

/* What is in a ring. The caller has fenced. */
AP_ALWAYS_INLINE void tell_consumer(const struct submit *s)
{
    ap_queue_signal_at(s->seg, s->to, s->c->producers[s->queue].index, s->consumer);
}

/* The queue has the life in which it was picked, and its consumer lives. */
AP_ALWAYS_INLINE bool as_picked(const struct submit *s)
{
    return ap_load_acquire(&s->to->life) == s->life && ap_lane_lives(s->consumer);
}

/* Publishes, and tries to put the reference into a ring: 1 it is in one and nobody was told, 0 it has found its way otherwise, or
 * an error. */
static int offer(struct submit *s)
{
    uint64_t ref = ap_slot_publish(s->at, s->slot, s->queue);

    if (ref != 0) return push(s, ref) ? 1 : elsewhere(s, ref);
    ticket_back(s); /* somebody has written over the slot */
    return APIARY_ECORRUPT;
}

/* After the push. */
AP_ALWAYS_INLINE int tell_one(const struct submit *s)
{
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    tell_consumer(s);
    if (AP_DEFECT(no_second_look) || __builtin_expect(as_picked(s), 1)) return 0;
    return settle(*s);
}

/* ---- ap_submit ------------------------------------------------------------------------------------------------ */

AP_ALWAYS_INLINE uint64_t deadline_of(const struct ap_segment *seg, const apiary_delegate_options_t *o, uint64_t now)
{
    uint64_t timeout = o != NULL && o->timeout != 0 ? o->timeout : seg->geometry.task_timeout;

    return timeout >= APIARY_FOREVER - now ? APIARY_FOREVER : now + timeout;
}

struct picked {
    int error;
    uint32_t queue;
    uint64_t life;
};

static __attribute__((noinline)) struct picked pick_among_all(struct ap_lane_context *c, int service, struct ap_known_name *known)
{
    struct picked p;

    if (service < 0 && known->at != NULL)
        p.error = ap_route_learn(c->lane.seg, known->capability, &c->balance, &known->only, &p.queue, &p.life);
    else
        p.error = ap_route_in(c->lane.seg, known->capability, service, &c->balance, AP_NO_QUEUE, &p.queue, &p.life);
    return p;
}

/* The queue that the lane knows as the only one, if it still is, or the best of several. 0 or an error. */
AP_ALWAYS_INLINE int pick(struct submit *s, struct ap_known_name *known)
{
    struct picked p;

    if (__builtin_expect(s->service < 0 && ap_route_only(&known->only), 1)) {
        s->queue = known->only.queue;
        s->life = known->only.life;
        s->to = known->only.at;
        s->consumer = known->only.lane;
        return 0;
    }
    p = pick_among_all(s->c, s->service, known);
    if (p.error == 0) chosen(s, p.queue, p.life);
    return p.error;
}

AP_ALWAYS_INLINE void answer(const struct submit *s, apiary_task_t *ret)
{
    *ret = (apiary_task_t){.slot = s->slot, .epoch = s->c->slabs.epoch, .generation = s->generation};
}

/* All after the pick, where something is not simply there. */
static void detach(const struct submit *s, uint64_t generation)
{
    if (ap_task_request(s->seg, s->slot, generation, AP_REQUEST_DETACH))
        ap_task_free_unseen(s->seg, s->c->lane.index, s->slot, ap_slot_ticket_return, s->seg);
}

static __attribute__((noinline)) int submit_slowly(struct submit s, const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    apiary_task_t id;
    int r;

    s.now = s.seg->ops->now();
    s.deadline = deadline_of(s.seg, options, s.now);
    r = acquire_slowly(&s);
    if (r < 0) return r;
    fill(&s);
    answer(&s, &id); /* before it is published: afterwards the slot may be another task's */
    r = offer(&s);
    if (r > 0) r = tell_one(&s);
    if (r < 0) return r;
    /* A loan that is fire and forget is given up only now: had the queue been full, it would have had to come back whole. */
    if (s.loan != 0 && (s.flags & APIARY_DETACH) != 0) detach(&s, id.generation);
    if (ret != NULL) *ret = id;
    return 0;
}

/* The ring was full, or the slot was written over. */
static __attribute__((noinline)) int offer_slowly(struct submit s, uint64_t ref, apiary_task_t *ret)
{
    apiary_task_t id;
    int r;

    answer(&s, &id);
    if (ref == 0) ticket_back(&s);
    r = ref != 0 ? elsewhere(&s, ref) : APIARY_ECORRUPT;
    if (r > 0) r = tell_one(&s);
    if (r == 0 && ret != NULL) *ret = id;
    return r;
}

/* With options of another version of the public face. */
static __attribute__((noinline)) int submit_other(struct ap_lane_context *c, int service, const char *capability,
                                                  const apiary_capability_t *bound, const void *body, size_t size, uint64_t loan,
                                                  const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    apiary_delegate_options_t own;
    int r = ap_sized_in(&own, sizeof own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);

    if (r < 0) return r;
    return bound != NULL ? ap_submit_bound(c, *bound, body, size, &own, ret)
                         : ap_submit(c, service, capability, body, size, loan, &own, ret);
}

/* By name, or (NULL) bound. */
AP_ALWAYS_INLINE int submit(struct ap_lane_context *c, int service, const char *capability, const apiary_capability_t *bound,
                            const void *body, size_t size, uint64_t loan, const apiary_delegate_options_t *options,
                            apiary_task_t *ret)
{
    struct ap_segment *seg = c->lane.seg;
    struct submit s = {.c = c, .seg = seg, .body = body, .size = size, .loan = loan, .service = service};
    struct ap_known_name *known;
    uint64_t ref;
    int r;

    if (options != NULL) {
        if (__builtin_expect(options->struct_size != sizeof *options, 0))
            return submit_other(c, service, capability, bound, body, size, loan, options, ret);
        if (options->reserved != 0) return APIARY_EINVAL;
        s.flags = options->flags;
    }
    if ((s.flags & ~(uint32_t)APIARY_DETACH) != 0 || (ret == NULL && (s.flags & APIARY_DETACH) == 0)) return APIARY_EINVAL;
    if (size > AP_INLINE_BODY && size > ap_pool_max(seg)) return APIARY_ETOOLARGE;
    known = bound != NULL ? ap_bound_known(c, *bound) : ap_capability_known(c, capability);
    if (__builtin_expect(known == NULL, 0)) return bound != NULL ? APIARY_ESTALE : APIARY_ENOCAP;
    s.capability = known->capability;
    r = pick(&s, known);
    if (__builtin_expect(r < 0, 0)) return r;
    if (__builtin_expect(!acquire_at_once(&s), 0)) return submit_slowly(s, options, ret);
    s.now = seg->ops->now();
    s.deadline = deadline_of(seg, options, s.now);
    fill(&s);
    ref = ap_slot_publish(s.at, s.slot, s.queue);
    if (__builtin_expect(ref == 0 || !push(&s, ref), 0)) return offer_slowly(s, ref, ret);
    r = tell_one(&s);
    if (r == 0 && ret != NULL) answer(&s, ret);
    return r;
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

/* What is in a ring and was not yet told of; few, so that the first of a long batch does not wait for its last. */
#define UNTOLD 32u

struct batch {
    struct submit common; /* the time of the first is all others', too */
    const char *capability; /* of the last request: the next one's where it asks for the same */
    struct ap_known_name *known;
    uint32_t untold;
    struct untold { /* what its second look needs */
        struct ap_slot *at;
        struct ap_queue *to;
        struct ap_lane *consumer;
        uint64_t life, generation;
        uint32_t slot, queue, capability;
    } waiting[UNTOLD];
};

/* The whole of one that was not told of. */
static struct submit submit_of(const struct batch *b, const struct untold *u)
{
    struct submit s = b->common;

    s.at = u->at;
    s.to = u->to;
    s.consumer = u->consumer;
    s.life = u->life;
    s.generation = u->generation;
    s.slot = u->slot;
    s.queue = u->queue;
    s.capability = u->capability;
    return s;
}

/* One fence for all, one signal for each queue. A death before it is as one between the push and the signal of a single submit:
 * the reaper has every consumer look. */
static __attribute__((noinline)) void tell(struct batch *b)
{
    if (b->untold == 0) return;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signals, too */
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct untold *u = &b->waiting[i];
        bool told = false;

        for (uint32_t k = i; k > 0 && !told; k--) told = b->waiting[k - 1].to == u->to && b->waiting[k - 1].life == u->life;
        if (!told) ap_queue_signal_at(b->common.seg, u->to, b->common.c->producers[u->queue].index, u->consumer);
    }
    for (uint32_t i = 0; i < b->untold && !AP_DEFECT(no_second_look_batch); i++) {
        const struct untold *u = &b->waiting[i];

        if (ap_load_acquire(&u->to->life) == u->life && ap_lane_lives(u->consumer)) continue;
        /* Of a task that is fire and forget the slot may be a later one's by now, which has its own turn. */
        if (AP_WORD_GENERATION(ap_load_relaxed(&u->at->word)) == u->generation) settle(submit_of(b, u));
    }
    b->untold = 0;
}

/* It is in a ring. */
AP_ALWAYS_INLINE void leave_untold(struct batch *b, const struct submit *s)
{
    b->waiting[b->untold++] = (struct untold){.at = s->at, .to = s->to, .consumer = s->consumer, .life = s->life,
                                              .generation = s->generation, .slot = s->slot, .queue = s->queue,
                                              .capability = s->capability};
    if (b->untold == UNTOLD) tell(b);
}

/* Where something is not simply there. */
static __attribute__((noinline)) int batch_slowly(struct batch *b, struct submit s, apiary_task_t *ret)
{
    apiary_task_t id;
    int r = acquire_slowly(&s);

    if (r < 0) return r;
    fill(&s);
    answer(&s, &id);
    r = offer(&s);
    if (r < 0) return r;
    if (r > 0) leave_untold(b, &s);
    if (ret != NULL) *ret = id;
    return 0;
}

/* The ring was full, or the slot was written over. */
static __attribute__((noinline)) int batch_elsewhere(struct batch *b, struct submit s, uint64_t ref, apiary_task_t *ret)
{
    apiary_task_t id;
    int r;

    answer(&s, &id);
    if (ref == 0) ticket_back(&s);
    r = ref != 0 ? elsewhere(&s, ref) : APIARY_ECORRUPT;
    if (r > 0) leave_untold(b, &s);
    if (r >= 0 && ret != NULL) *ret = id;
    return r < 0 ? r : 0;
}

static int batch_one(struct batch *b, const apiary_request_t *q, apiary_task_t *ret)
{
    const apiary_delegate_options_t *options = q->options;
    apiary_delegate_options_t own;
    /* What is common, and no copy of it: so it can be in registers, as in a single submit. */
    struct submit s = {.c = b->common.c, .seg = b->common.seg, .service = -1, .batched = true, .now = b->common.now};
    uint64_t ref;
    int r;

    if (options != NULL && __builtin_expect(options->struct_size != sizeof own, 0)) {
        r = ap_sized_in(&own, sizeof own, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
        if (r < 0) return r;
        options = &own;
    }
    s.flags = options != NULL ? options->flags : 0;
    if ((s.flags & ~(uint32_t)APIARY_DETACH) != 0 || (options != NULL && options->reserved != 0)) return APIARY_EINVAL;
    if (ret == NULL && (s.flags & APIARY_DETACH) == 0) return APIARY_EINVAL;
    if ((q->capability == NULL) == (q->bound == NULL) || (q->body == NULL && q->size > 0)) return APIARY_EINVAL;
    if (q->size > AP_INLINE_BODY && q->size > ap_pool_max(s.seg)) return APIARY_ETOOLARGE;
    if (q->bound != NULL) {
        b->known = ap_bound_known(s.c, *q->bound);
        b->capability = NULL;
        if (b->known == NULL) return APIARY_ESTALE;
    } else if (b->capability == NULL || (b->capability != q->capability && strcmp(b->capability, q->capability) != 0)) {
        b->known = ap_capability_known(s.c, q->capability);
        b->capability = b->known != NULL ? q->capability : NULL;
        if (b->known == NULL) return APIARY_ENOCAP;
    }
    s.capability = b->known->capability;
    s.body = q->body;
    s.size = q->size;
    s.deadline = deadline_of(s.seg, options, s.now);
    r = pick(&s, b->known);
    if (__builtin_expect(r < 0, 0)) return r;
    if (__builtin_expect(!acquire_at_once(&s), 0)) return batch_slowly(b, s, ret);
    fill(&s);
    ref = ap_slot_publish(s.at, s.slot, s.queue);
    if (__builtin_expect(ref == 0 || !push(&s, ref), 0)) return batch_elsewhere(b, s, ref, ret);
    if (ret != NULL) answer(&s, ret);
    leave_untold(b, &s);
    return 0;
}

int ap_submit_batch(struct ap_lane_context *c, const apiary_request_t *requests, size_t count, apiary_task_t *tasks,
                    size_t *submitted)
{
    struct batch b;
    size_t i;
    int r = 0;

    b.common = (struct submit){.c = c, .seg = c->lane.seg, .service = -1, .batched = true, .now = c->lane.seg->ops->now()};
    b.capability = NULL;
    b.untold = 0;
    for (i = 0; i < count; i++) {
        const apiary_request_t *q = (const void *)((const char *)requests + i * requests->struct_size);
        apiary_request_t own;

        if (__builtin_expect(requests->struct_size != sizeof own, 0)) {
            r = ap_sized_in(&own, sizeof own, AP_FIRST_REQUEST, q, requests->struct_size);
            q = &own;
        }
        if (r == 0) r = batch_one(&b, q, tasks != NULL ? &tasks[i] : NULL);
        if (r < 0) break;
    }
    tell(&b);
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
