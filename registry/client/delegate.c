/* registry/client/delegate.c - a task is placed: a queue is picked, a slot taken and written, its word published, its reference
 * pushed; then the consumer is told, of one task or of a batch. See submit.h, which has the steps that others take, too. */
#include "registry/client/submit.h"

#include "registry/client/probe.h"
#include "registry/client/sample.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"

#define LOOKS_BACK 8 /* at a queue that changes hands under a task, before the task is left where it is */

/* ---- pick: a queue, and room in its ring ----------------------------------------------------------------------- */

/* The queue that the lane knows as the only one, if it still is, or the best of several. 0 or an error. */
AP_ALWAYS_INLINE int pick(struct ap_submission *s, struct ap_known_name *known, const apiary_delegate_options_t *options)
{
    struct ap_picked p = {0};

    if (__builtin_expect(s->service < 0 && ap_route_only(&known->only), 1)) {
        s->queue = known->only.queue;
        s->life = known->only.life;
        s->to = known->only.at;
        s->consumer = known->only.lane;
        if (__builtin_expect(--s->c->remembered == 0, 0)) ap_pick_measure(s->c, known);
    } else {
        p = ap_pick_among_all(s->c, s->service, known, s->carries ? options->key : 0);
        if (p.error != 0) return p.error;
        ap_submit_chosen(s, p);
        s->way = &s->c->apart;
        if (s->way->opened) return 0; /* by ap_pick_apart, which has seen to room */
    }
    s->way = &s->c->producers[s->queue];
    if (__builtin_expect(ap_queue_ready(s->seg, s->way), 1)) return 0;
    p = ap_pick_with_room(s->c, s->service, known->capability, (struct ap_picked){.queue = s->queue, .life = s->life});
    if (p.error < 0) return p.error;
    ap_submit_chosen(s, p);
    s->way = &s->c->producers[s->queue];
    return 0;
}

/* ---- take: a ticket, a slot, a block --------------------------------------------------------------------------- */

static void ticket_back(struct ap_lane_context *c, uint32_t ticket)
{
    if (ticket != 0) ap_ticket_back(c->lane.seg, &c->ticket_hint, c->lane.index, ticket);
}

/* The block before the slot is RESERVED: what it is for is not said yet, and if there is none the slot has stayed FREE. */
static struct ap_taken take_once(struct ap_lane_context *c, size_t size, uint64_t loan)
{
    const struct apiary *a = c->client;
    struct ap_segment *seg = c->lane.seg;
    struct ap_taken t = {.block = loan};

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

__attribute__((noinline)) struct ap_taken ap_take_slowly(struct ap_lane_context *c, size_t size, uint64_t loan)
{
    struct ap_taken t = take_once(c, size, loan);

    if (t.error != APIARY_ELIMIT && t.error != APIARY_ENOSLOT && t.error != APIARY_ENOBLOCK && t.error != APIARY_ESHARE)
        return t;
    return ap_make_room(c, t.error, size > AP_INLINE_BODY && loan == 0 ? size : 0) ? take_once(c, size, loan) : t;
}

/* ---- write ----------------------------------------------------------------------------------------------------- */

/* Writes a body that does not fit the slot, once the slot is RESERVED. A loan (`body` NULL) is in its block already. */
__attribute__((noinline)) void ap_submit_block(struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t block,
                                               const void *body, size_t size)
{
    if (body != NULL) memcpy(ap_at_offset(seg, block, size), body, size);
    ap_slot_body_block(seg, slot, generation, block);
}

/* ---- publish, push --------------------------------------------------------------------------------------------- */

/* Takes the task back, unless a worker has it already: 0. */
__attribute__((noinline)) int ap_take_back(const struct ap_placed p, int error)
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
__attribute__((noinline)) int ap_submit_overwritten(struct ap_lane_context *c, uint32_t ticket)
{
    ticket_back(c, ticket);
    return APIARY_ECORRUPT;
}

/* All that it takes for one task, but that its consumer is told. 0, or an error or AP_BY_BOUNDS, and nothing is left of it. */
AP_ALWAYS_INLINE int delegate_place(struct ap_submission *s, struct ap_known_name *known, const apiary_delegate_options_t *options)
{
    int r;

    s->capability = known->capability;
    r = pick(s, known, options);
    return __builtin_expect(r != 0, 0) ? r : ap_submit_place(s, options);
}

__attribute__((noinline)) void ap_submit_detach(struct ap_lane_context *c, uint32_t slot, uint64_t generation)
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

/* Takes the task back: 0, there was no need; AP_STANDS_IN or an error. Bounds that were declared meanwhile are the next one's. */
static int settle_otherwise(const struct ap_placed p)
{
    uint32_t capability = ap_load_relaxed(&p.at->capability);
    int service = (int)ap_load_relaxed(&p.at->only) - 1, r = ap_take_back(p, APIARY_ENOPROVIDER);

    if (r < 0) r = ap_pick_otherwise(p.c, service, capability);
    return r == AP_BY_BOUNDS ? APIARY_ENOPROVIDER : r;
}

/* The queue was closed, or its consumer was marked dead, while the task was on its way into it. */
__attribute__((noinline)) int ap_submit_settle(const struct ap_placed p)
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

/* Whether it is not to be run at once, by any provider, in the turn of what has no rank. */
static bool later(const struct ap_submission *s, const apiary_delegate_options_t *o)
{
    return __builtin_expect(s->unusual, 0) && s->carries && (ap_elsewhen(o) || ap_carried_rank(o) != 0);
}

/* By value, and taken apart here: of a submission whose parts are all that is passed on no address is taken. */
static __attribute__((noinline)) int submit_later(const struct ap_submission s, uint32_t capability,
                                                  const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    return ap_submit_later(ap_submit_asked(&s), capability, options, ret);
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
AP_ALWAYS_INLINE int asked(struct ap_submission *s, const apiary_delegate_options_t *options, const apiary_task_t *ret)
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
    struct ap_submission s = {.c = c, .seg = c->lane.seg, .body = body, .size = size, .loan = loan, .service = service};
    struct ap_known_name *known;
    int r;

    if (options != NULL && __builtin_expect(options->struct_size != sizeof *options, 0))
        return submit_other(c, service, capability, bound, body, size, loan, options, ret);
    r = asked(&s, options, ret);
    if (__builtin_expect(r != 0, 0)) return submit_not(c, r, service, capability, bound, size, loan, options, ret);
    known = bound != NULL ? ap_bound_known(c, *bound) : ap_capability_known(c, capability);
    if (__builtin_expect(known == NULL, 0)) return ap_refused(c, bound != NULL ? APIARY_ESTALE : APIARY_ENOCAP, size);
    if (later(&s, options)) return submit_later(s, known->capability, options, ret);
    r = delegate_place(&s, known, options);
    if (__builtin_expect(r != 0, 0))
        return ap_may_wait(&s, r) ? submit_later(s, known->capability, options, ret) : ap_refused(c, r, size);
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_queue_signal_at(s.seg, s.to, s.way->index, s.consumer);
    if (__builtin_expect(!ap_as_picked(s.to, s.life, s.consumer), 0)) r = ap_submit_settle(ap_placed_of(&s));
    if (__builtin_expect(r < 0, 0))
        return ap_may_wait(&s, r) ? submit_later(s, known->capability, options, ret) : ap_refused(c, r, size);
    if (__builtin_expect(s.unusual, 0)) {
        if ((s.flags & APIARY_DETACH) != 0 && ap_detach_late(&s)) ap_submit_detach(c, s.slot, s.generation);
        if (ret == NULL) return 0; /* `asked` allows that only with a flag, which is unusual */
    }
    *ret = ap_submit_task(&s);
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
    struct ap_placed waiting[UNTOLD];
};

/* One fence for all, one signal for each queue. A death before it is as one between the push and the signal of a single submit:
 * the reaper has every consumer look. */
static __attribute__((noinline)) void delegate_tell(struct batch *b)
{
    if (b->untold == 0) return;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signals, too */
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct ap_placed *p = &b->waiting[i];
        bool told = false;

        for (uint32_t k = i; k > 0 && !told; k--) told = b->waiting[k - 1].to == p->to && b->waiting[k - 1].life == p->life;
        if (!told) ap_queue_signal_at(b->c->lane.seg, p->to, p->way->index, p->consumer);
    }
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct ap_placed *p = &b->waiting[i];

        if (!ap_as_picked(p->to, p->life, p->consumer)) ap_submit_settle(*p);
    }
    b->untold = 0;
}

static int batch_one(struct batch *b, const apiary_request_t *q, apiary_task_t *ret)
{
    const apiary_delegate_options_t *options = q->options;
    apiary_delegate_options_t own;
    struct ap_submission s = {.c = b->c, .seg = b->c->lane.seg, .body = q->body, .size = q->size, .service = -1, .batched = true,
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
    if (later(&s, options)) return submit_later(s, b->known->capability, options, ret);
    r = delegate_place(&s, b->known, options);
    if (__builtin_expect(r != 0, 0))
        return ap_may_wait(&s, r) ? submit_later(s, b->known->capability, options, ret) : ap_refused(s.c, r, s.size);
    if ((s.flags & APIARY_DETACH) != 0 && ap_detach_late(&s)) ap_submit_detach(s.c, s.slot, s.generation);
    if (ret != NULL) *ret = ap_submit_task(&s);
    b->waiting[b->untold++] = ap_placed_of(&s);
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
            ap_refused_told(c, q->capability, q->bound, r);
            break;
        }
    }
    delegate_tell(&b);
    *submitted = i;
    return r;
}

/* ---- the public face ------------------------------------------------------------------------------------------ */

/* By name, or (NULL) bound; in a trace that begins with it, or as it is. */
static __attribute__((noinline)) int delegate_sampled(struct ap_lane_context *c, const char *capability,
                                                      const apiary_capability_t *bound, const void *body, size_t size,
                                                      const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    apiary_delegate_options_t own;
    int r;

    if (ap_sample(c, options, &own)) options = &own;
    r = bound != NULL ? ap_submit_bound(c, *bound, body, size, options, ret)
                      : ap_submit(c, -1, capability, body, size, 0, options, ret);
    return r < 0 ? ap_refused_told(c, capability, bound, r) : r;
}

int apiary_delegate(apiary_t *a, const char *capability, const void *body, size_t size,
                    const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    int r = 0;

    if (capability == NULL || (body == NULL && size > 0)) return APIARY_EINVAL;
    c = ap_context(a, &r);
    /* Its own copy, without what only a loan or a task for one's own swarm needs. */
    if (__builtin_expect(c == NULL, 0)) return r;
    if (__builtin_expect(--c->until_sample == 0, 0)) return delegate_sampled(c, capability, NULL, body, size, options, ret);
    r = submit(c, -1, capability, NULL, body, size, 0, options, ret);
    return __builtin_expect(r < 0, 0) ? ap_refused_told(c, capability, NULL, r) : r;
}

int apiary_delegate_bound(apiary_t *a, apiary_capability_t capability, const void *body, size_t size,
                          const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    apiary_capability_t bound; /* a copy, so that of `capability` no address is kept */
    int r = 0;

    if (body == NULL && size > 0) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (__builtin_expect(c == NULL, 0)) return r;
    if (__builtin_expect(--c->until_sample == 0, 0)) {
        bound = capability;
        return delegate_sampled(c, NULL, &bound, body, size, options, ret);
    }
    r = submit(c, -1, NULL, &capability, body, size, 0, options, ret);
    if (__builtin_expect(r >= 0, 1)) return r;
    bound = capability;
    return ap_refused_told(c, NULL, &bound, r);
}
