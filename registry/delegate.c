/* registry/delegate.c - submit: route, admit, reserve, fill, publish, signal; and the bodies that are lent. */
#include <string.h>

#include "core/defect.h"
#include "registry/client.h"
#include "shm/event.h"

#define REROUTES 8 /* queues that may close under one task before it is left where it is */

/* One submit under way. */
struct submit {
    struct ap_lane_context *c;
    struct ap_segment *seg;
    const void *body;
    size_t size;
    uint64_t loan, deadline, now, life, block;
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

/* Something was full: free what is nobody's any more. */
static bool make_room(struct ap_lane_context *c, int error)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t n = ap_tidy(c);

    if (n == 0) n += (uint32_t)ap_reap_all(seg, c->lane.index, &ap_registry_hooks);
    if (n == 0 && error == APIARY_ENOBLOCK) n += ap_pool_sweep(seg);
    return n > 0;
}

static void freed(void *user, const struct ap_slot *slot)
{
    struct ap_slot_ticket t = ap_slot_ticket(slot);
    ap_slot_ticket_return(user, &t);
}

static void release_all(struct submit *s, bool slot)
{
    struct ap_lane_context *c = s->c;

    if (slot) ap_task_unreserve(&c->slabs, s->slot);
    if (s->ticket != 0) ap_ticket_return(s->seg, (uint32_t)c->client->service, c->lane.index, s->ticket);
    s->ticket = 0;
}

AP_ALWAYS_INLINE int acquire_once(struct submit *s)
{
    struct ap_lane_context *c = s->c;
    const struct apiary *a = c->client;
    int r;

    if (a->service >= 0) {
        r = ap_ticket_take(s->seg, (uint32_t)a->service, c->lane.index, ap_load_relaxed(&a->limit), &c->ticket_hint, &s->ticket);
        if (r < 0) return r;
    }
    r = ap_task_reserve(&c->slabs, freed, s->seg, &s->slot);
    if (r < 0) {
        release_all(s, false);
        return r;
    }
    s->block = s->loan;
    if (s->size <= AP_INLINE_BODY || s->loan != 0) return 0;
    r = ap_pool_take(s->seg, &c->lane, &c->pool_hint, s->size, &s->block);
    if (r < 0) release_all(s, true);
    return r;
}

AP_ALWAYS_INLINE int acquire(struct submit *s)
{
    int r = acquire_once(s);

    if (__builtin_expect(r == 0, 1)) return 0;
    if (r != APIARY_ELIMIT && r != APIARY_ENOSLOT && r != APIARY_ENOBLOCK) return r;
    return make_room(s->c, r) ? acquire_once(s) : r;
}

/* RESERVED: the slot is this lane's alone. */
AP_ALWAYS_INLINE void fill(const struct submit *s)
{
    struct ap_slot *slot = ap_slot_at(s->seg, s->slot);
    uint64_t generation = AP_WORD_GENERATION(ap_load_relaxed(&slot->word));

    ap_store_relaxed(&slot->deadline, s->deadline);
    ap_store_relaxed(&slot->capability, (uint16_t)s->capability);
    ap_store_relaxed(&slot->caller, (uint16_t)(s->c->client->service + 1));
    ap_store_relaxed(&slot->only, (uint16_t)(s->service + 1));
    ap_store_relaxed(&slot->ticket, AP_DEFECT(ticket_unnamed) ? 0 : s->ticket);
    ap_store_relaxed(&slot->queued, s->now);
    ap_store_relaxed(&slot->started, 0);
    ap_store_relaxed(&slot->finished, 0);
    ap_store_relaxed(&slot->body_size, (uint32_t)s->size);
    if ((s->flags & APIARY_DETACH) != 0 && s->loan == 0)
        ap_store_relaxed(&slot->request, generation << 8 | AP_REQUEST_DETACH);
    if (s->block == 0) {
        if (s->size > 0) memcpy(slot->body_inline, s->body, s->size);
        return;
    }
    if (s->loan == 0) memcpy(ap_at_offset(s->seg, s->block, s->size), s->body, s->size);
    /* Named first: whoever frees the slot then gives the block back without a search of the pool. */
    ap_store_relaxed(&slot->body, s->block);
    ap_pool_attach(s->seg, s->block, AP_BLOCK_REQUEST, s->slot, generation);
}

/* ---- publishing ----------------------------------------------------------------------------------------------- */

/* No ring had room: takes the task back, unless a worker that scanned the table has it already. */
static int take_back(struct submit *s, int error)
{
    struct ap_segment *seg = s->seg;
    struct ap_slot *slot = ap_slot_at(seg, s->slot);
    struct ap_slot_ticket ticket = ap_slot_ticket(slot);
    uint64_t word = ap_load_acquire(&slot->word), generation = AP_WORD_GENERATION(word);

    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_GENERATION(word) == generation) {
        if (ap_task_cancel_queued(seg, s->slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) {
            /* A loan is the caller's again before the slot is freed. Nobody else frees it now: no bit says that it is given up
             * (see ap_submit). */
            if (s->loan != 0) ap_pool_attach(seg, s->loan, AP_BLOCK_OWNED, s->c->lane.index, s->c->lane.epoch);
            word = ap_load_acquire(&slot->word);
            if (ap_task_release(seg, s->c->lane.index, s->slot, word)) ap_slot_ticket_return(seg, &ticket);
            return error;
        }
        word = ap_load_acquire(&slot->word);
    }
    return 0;
}

/* The reference is in the table only: have every consumer look there. */
static void raise_rescan(struct ap_segment *seg)
{
    ap_add_acq_rel(&seg->header->rescan, 1);
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
static int settle(struct submit *s)
{
    const struct ap_queue *q = ap_queue_at(s->seg, s->queue);
    const struct ap_slot *slot = ap_slot_at(s->seg, s->slot);
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

/* The ring of the chosen queue is full: one other provider is tried. */
static int elsewhere(struct submit *s, uint64_t ref)
{
    struct ap_lane_context *c = s->c;
    const struct ap_slot *slot = ap_slot_at(s->seg, s->slot);
    uint64_t word = ap_load_acquire(&slot->word), life;
    uint32_t to;

    if (ap_route_in(s->seg, s->capability, s->service, &c->balance, s->queue, &to, &life) < 0)
        return take_back(s, APIARY_EQUEUEFULL);
    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || !ap_task_move(s->seg, s->slot, word, to)) return 0;
    s->queue = to;
    s->life = life;
    return ap_queue_push(s->seg, to, &c->producers[to], &c->lane, ref) < 0 ? take_back(s, APIARY_EQUEUEFULL) : 1;
}

/* 1 it is in a ring and nobody was told, 0 it has found its way otherwise, or an error. */
AP_ALWAYS_INLINE int offer(struct submit *s)
{
    uint64_t ref = ap_task_publish(s->seg, s->slot, s->queue);

    if (__builtin_expect(ref == 0, 0)) { /* somebody has written over the slot */
        release_all(s, false);
        return APIARY_ECORRUPT;
    }
    if (__builtin_expect(ap_queue_push(s->seg, s->queue, &s->c->producers[s->queue], &s->c->lane, ref) < 0, 0))
        return elsewhere(s, ref);
    return 1;
}

static int launch(struct submit *s)
{
    struct ap_segment *seg = s->seg;
    int r = offer(s);

    if (__builtin_expect(r <= 0, 0)) return r;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_queue_signal(seg, s->queue, s->c->producers[s->queue].index, s->life);
    if (AP_DEFECT(no_second_look)) return 0;
    if (__builtin_expect(ap_load_acquire(&ap_queue_at(seg, s->queue)->life) == s->life &&
                             ap_lane_alive(seg, AP_QUEUE_LANE(s->life)), 1))
        return 0;
    return settle(s);
}

/* ---- ap_submit ------------------------------------------------------------------------------------------------ */

AP_ALWAYS_INLINE uint64_t deadline_of(const struct ap_segment *seg, const apiary_delegate_options_t *o, uint64_t now)
{
    uint64_t timeout = o != NULL && o->timeout != 0 ? o->timeout : seg->geometry.task_timeout;

    return timeout >= APIARY_FOREVER - now ? APIARY_FOREVER : now + timeout;
}

AP_ALWAYS_INLINE int submit(struct ap_lane_context *c, int service, const char *capability, const void *body, size_t size,
                            uint64_t loan, const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_segment *seg = c->lane.seg;
    struct submit s = {.c = c, .seg = seg, .body = body, .size = size, .loan = loan, .service = service};
    apiary_task_t id;
    int r;

    s.flags = options != NULL ? options->flags : 0;
    if ((s.flags & ~(uint32_t)APIARY_DETACH) != 0 || (ret == NULL && (s.flags & APIARY_DETACH) == 0)) return APIARY_EINVAL;
    if (size > AP_INLINE_BODY && size > ap_pool_max(seg)) return APIARY_ETOOLARGE;
    r = ap_capability_known(c, capability);
    if (r < 0) return APIARY_ENOCAP;
    s.capability = (uint32_t)r;
    r = ap_route_in(seg, s.capability, service, &c->balance, AP_NO_QUEUE, &s.queue, &s.life);
    if (r < 0) return r;
    s.now = seg->ops->now();
    s.deadline = deadline_of(seg, options, s.now);
    r = acquire(&s);
    if (r < 0) return r;
    if (AP_DEFECT(publish_before_fill)) ap_task_publish(seg, s.slot, s.queue);
    fill(&s);
    /* Before it is published: afterwards the slot may be another task's. */
    id.slot = s.slot;
    id.epoch = AP_LEASE_EPOCH(ap_load_relaxed(&ap_slab_at(seg, s.slot / AP_SLAB_SLOTS)->lease));
    id.generation = AP_WORD_GENERATION(ap_load_relaxed(&ap_slot_at(seg, s.slot)->word));
    r = launch(&s);
    if (r < 0) return r;
    /* A loan that is fire and forget is given up only now: had the queue been full, it would have had to come back whole. */
    if (loan != 0 && (s.flags & APIARY_DETACH) != 0) ap_task_request(seg, s.slot, id.generation, AP_REQUEST_DETACH);
    if (ret != NULL) *ret = id;
    return 0;
}

int ap_submit(struct ap_lane_context *c, int service, const char *capability, const void *body, size_t size, uint64_t loan,
              const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    return submit(c, service, capability, body, size, loan, options, ret);
}

/* ---- batches -------------------------------------------------------------------------------------------------- */

/* What is in a ring and was not yet told of; few, so that the first of a long batch does not wait for its last. */
#define UNTOLD 32u

struct batch {
    struct submit common; /* capability and time of the last request are the next one's, too, where it asks for the same */
    const char *capability;
    uint32_t untold;
    struct submit waiting[UNTOLD];
    uint64_t generations[UNTOLD];
};

/* One fence for all, one signal for each queue. A death before it is as one between the push and the signal of a single submit:
 * the reaper has every consumer look. */
static void tell(struct batch *b)
{
    struct ap_segment *seg = b->common.seg;

    if (b->untold == 0) return;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signals, too */
    for (uint32_t i = 0; i < b->untold; i++) {
        const struct submit *s = &b->waiting[i];
        bool told = false;

        for (uint32_t k = 0; k < i && !told; k++) told = b->waiting[k].queue == s->queue && b->waiting[k].life == s->life;
        if (!told) ap_queue_signal(seg, s->queue, s->c->producers[s->queue].index, s->life);
    }
    for (uint32_t i = 0; i < b->untold && !AP_DEFECT(no_second_look_batch); i++) {
        struct submit *s = &b->waiting[i];
        uint64_t word = ap_load_relaxed(&ap_slot_at(seg, s->slot)->word);

        if (ap_load_acquire(&ap_queue_at(seg, s->queue)->life) == s->life && ap_lane_alive(seg, AP_QUEUE_LANE(s->life))) continue;
        /* Of a task that is fire and forget the slot may be a later one's by now, which has its own turn. */
        if (AP_WORD_GENERATION(word) == b->generations[i]) settle(s);
    }
    b->untold = 0;
}

static int batch_one(struct batch *b, const apiary_request_t *q, apiary_task_t *ret)
{
    const apiary_delegate_options_t options = {.timeout = q->timeout, .flags = q->flags};
    struct submit s = b->common;
    struct ap_segment *seg = s.seg;
    apiary_task_t id;
    int r;

    if ((q->flags & ~(uint32_t)APIARY_DETACH) != 0) return APIARY_EINVAL;
    if (q->capability == NULL || (q->body == NULL && q->size > 0)) return APIARY_EINVAL;
    if (q->size > AP_INLINE_BODY && q->size > ap_pool_max(seg)) return APIARY_ETOOLARGE;
    if (b->capability == NULL || (b->capability != q->capability && strcmp(b->capability, q->capability) != 0)) {
        r = ap_capability_known(s.c, q->capability);
        if (r < 0) return APIARY_ENOCAP;
        s.capability = b->common.capability = (uint32_t)r;
        b->capability = q->capability;
    }
    r = ap_route_in(seg, s.capability, -1, &s.c->balance, AP_NO_QUEUE, &s.queue, &s.life);
    if (r < 0) return r;
    s.body = q->body;
    s.size = q->size;
    s.flags = q->flags;
    s.deadline = deadline_of(seg, &options, s.now);
    r = acquire(&s);
    if (r < 0) return r;
    fill(&s);
    id.slot = s.slot;
    id.epoch = AP_LEASE_EPOCH(ap_load_relaxed(&ap_slab_at(seg, s.slot / AP_SLAB_SLOTS)->lease));
    id.generation = AP_WORD_GENERATION(ap_load_relaxed(&ap_slot_at(seg, s.slot)->word));
    r = offer(&s);
    if (r < 0) return r;
    if (r > 0) {
        b->generations[b->untold] = id.generation;
        b->waiting[b->untold++] = s;
        if (b->untold == UNTOLD) tell(b);
    }
    if (ret != NULL) *ret = id;
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
        r = batch_one(&b, &requests[i], tasks != NULL ? &tasks[i] : NULL);
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
    return __builtin_expect(c != NULL, 1) ? submit(c, -1, capability, body, size, 0, options, ret) : r;
}

int apiary_loan(apiary_t *a, size_t size, void **ret)
{
    struct ap_lane_context *c;
    uint64_t offset;
    int r = 0;

    if (ret == NULL) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    r = ap_pool_take(a->seg, &c->lane, &c->pool_hint, size, &offset);
    if (r == APIARY_ENOBLOCK && make_room(c, r)) r = ap_pool_take(a->seg, &c->lane, &c->pool_hint, size, &offset);
    if (r < 0) return r;
    ap_add_relaxed(&c->loans, 1);
    *ret = ap_at_offset(a->seg, offset, size);
    return 0;
}

/* With the client's lock, so that the lane of another thread cannot close meanwhile. */
static struct ap_lane_context *loan_owner(const struct apiary *a, uint64_t offset)
{
    uint64_t word;

    if (offset == 0 || ap_pool_block(a->seg, offset, NULL, &word) < 0) return NULL;
    for (struct ap_lane_context *c = a->contexts; c != NULL; c = c->next)
        if (word == AP_BLOCK(AP_BLOCK_OWNED, c->lane.index, c->lane.epoch)) return c;
    return NULL;
}

int apiary_unloan(apiary_t *a, void *body)
{
    struct ap_lane_context *owner;
    uint64_t offset;
    int r = ap_usable(a);

    if (r < 0) return r;
    offset = ap_pool_offset(a->seg, body);
    r = APIARY_EINVAL;
    pthread_mutex_lock(&a->lock);
    owner = loan_owner(a, offset);
    if (owner != NULL && ap_pool_free_owned(a->seg, &owner->lane, offset)) {
        ap_add_relaxed(&owner->loans, UINT32_MAX);
        r = 0;
    }
    pthread_mutex_unlock(&a->lock);
    ap_shared_tidy(a);
    return r;
}

/* A block borrowed by another thread of the process becomes this lane's. */
static int loan_adopt(struct apiary *a, struct ap_lane_context *c, uint64_t offset)
{
    struct ap_lane_context *owner;

    pthread_mutex_lock(&a->lock);
    owner = loan_owner(a, offset);
    if (owner != NULL && owner != c) {
        ap_pool_attach(a->seg, offset, AP_BLOCK_OWNED, c->lane.index, c->lane.epoch);
        ap_add_relaxed(&owner->loans, UINT32_MAX);
        ap_add_relaxed(&c->loans, 1);
    }
    pthread_mutex_unlock(&a->lock);
    return owner != NULL ? 0 : APIARY_EINVAL;
}

int apiary_delegate_loan(apiary_t *a, const char *capability, void *body, size_t size,
                         const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    uint64_t offset, capacity, word;
    int r = 0;

    if (capability == NULL || body == NULL) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    offset = ap_pool_offset(a->seg, body);
    if (offset == 0 || ap_pool_block(a->seg, offset, &capacity, &word) < 0 || size > capacity) return APIARY_EINVAL;
    if (word != AP_BLOCK(AP_BLOCK_OWNED, c->lane.index, c->lane.epoch)) r = loan_adopt(a, c, offset);
    if (r < 0) return r;
    r = ap_submit(c, -1, capability, body, size, offset, options, ret);
    if (r == 0) ap_add_relaxed(&c->loans, UINT32_MAX);
    return r;
}
