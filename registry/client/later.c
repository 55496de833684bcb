/* registry/client/later.c - a task that is not placed as others are: it waits for its time or for a provider, one provider may
 * have it, it has a priority or a dedup key, or another capability stands in for its own. See submit.h. */
#include "registry/client/submit.h"

#include "registry/conflict/coalesce.h"
#include "registry/routing/bounds.h"
#include "registry/routing/hedging.h"
#include "registry/routing/terms.h"
#include "shm/due.h"

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
    ap_cost_picked(c->balance.costs, AP_PICKED_NAMED, 1);
    if (ap_queue_depth(seg, queue) >= seg->geometry.queue_depth) return ap_refused_full(c, queue, AP_REFUSED_ONE);
    return ap_load_relaxed(&ap_capability_at(seg, capability)->terms) != 0 ? ap_pick_admit(c, capability, queue) : 0;
}

/* In a turn of its rank: it goes into the shared ring, whoever sends it (shm/rank.h), and its consumer is told at once, also in a
 * batch. 0, or what a pick and ap_submit_place give. */
static __attribute__((noinline)) int delegate_ranked(struct ap_lane_context *c, int service, uint32_t capability,
                                                     const void *body, size_t size, uint64_t loan,
                                                     const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_submission s = {.c = c, .seg = c->lane.seg, .body = body, .size = size, .loan = loan, .service = service,
                              .capability = capability, .flags = options->flags, .carries = true, .unusual = true};
    struct ap_known_name known = {.capability = capability};
    struct ap_picked p;
    int r;

    c->rank = ap_carried_rank(options);
    p = ap_pick_among_all(c, service, &known, options->key);
    if (p.error == 0 && !c->apart.opened) p = ap_pick_apart(c, service, capability, p);
    r = p.error;
    if (r == 0) {
        ap_submit_chosen(&s, p);
        s.way = &c->apart;
        r = ap_submit_place(&s, options);
    }
    c->rank = 0;
    if (r != 0) return r;
    ap_fence_full(); /* TASK-F1 pairs TASK-F2; it is QUEUE-F1 for the signal, too */
    ap_queue_signal_at(s.seg, s.to, s.way->index, s.consumer);
    if (!ap_as_picked(s.to, s.life, s.consumer)) r = ap_submit_settle(ap_placed_of(&s));
    if (r != 0) return r;
    if (c->not == AP_NO_QUEUE) ap_terms_rank(s.seg, capability, ap_carried_rank(options)); /* a second copy is the same task */
    if ((s.flags & APIARY_DETACH) != 0 && ap_detach_late(&s)) ap_submit_detach(c, s.slot, s.generation);
    if (ret != NULL) *ret = ap_submit_task(&s);
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

/* Its time has come, and whoever finds it due decides now. */
static bool decided_now(const apiary_delegate_options_t *o)
{
    return o != NULL && (o->provider | o->dedup_key) != 0 && (o->delay | o->due_at) == 0;
}

/* A task with a dedup key, which is admitted as any if it is to be run; one that shares the run of another needs no provider, and
 * uses up no rate. 0, or what a pick gives. */
static __attribute__((noinline)) int later_coalesced(struct ap_lane_context *c, int service, uint32_t capability,
                                                     const apiary_delegate_options_t *options)
{
    const struct ap_dedup key = {.key = options->dedup_key, .capability = capability, .only = (uint32_t)(service + 1)};
    struct ap_known_name known = {.capability = capability};
    int r;

    switch (ap_coalesce_look(c->lane.seg, &key)) {
    case AP_LEAD_FOLLOWS: return 0;
    case AP_LEAD_IS: break;
    default: return APIARY_ETABLEFULL;
    }
    c->rank = ap_carried_rank(options);
    r = ap_pick_among_all(c, service, &known, options->key).error;
    c->rank = 0;
    return r;
}

/* The task is RESERVED. 0, or an error. */
static int later_publish(struct ap_submission *s, const apiary_delegate_options_t *options, uint64_t due, apiary_task_t *ret)
{
    int r = ap_submit_unusual(s, options, due);

    if (r < 0) return r;
    if (!ap_slot_schedule(&s->c->slabs, s->at, s->slot, due)) return ap_submit_overwritten(s->c, s->ticket);
    if (decided_now(options)) ap_due_task(s->seg, &ap_registry_hooks, s->c->lane.index, s->slot, due);
    else ap_due_tell(s->seg, s->slot, due < s->deadline ? due : s->deadline);
    if (s->carries && ap_carried_rank(options) != 0) ap_terms_rank(s->seg, s->capability, ap_carried_rank(options));
    if (ret != NULL) *ret = ap_submit_task(s);
    if ((s->flags & APIARY_DETACH) != 0 && ap_detach_late(s)) ap_submit_detach(s->c, s->slot, s->generation);
    return 0;
}

/* Places the task in no queue: whoever finds it due picks one. By value: of the others no address is taken. */
int ap_submit_later(struct ap_submission s, uint32_t capability, const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    bool gated;
    uint64_t due;
    int r;

    s.capability = capability;
    if (s.carries && options->dedup_key != 0 && s.c->stand_in < 0 && decided_now(options)) {
        r = later_coalesced(s.c, s.service, capability, options);
        if (r != 0 && !ap_may_wait(&s, r)) return ap_refused(s.c, r, s.size);
    }
    if (s.carries && s.c->stand_in < 0 && !ap_elsewhen(options) && ap_carried_rank(options) != 0) {
        r = delegate_ranked(s.c, s.service, capability, s.body, s.size, s.loan, options, ret);
        if (r == 0) return 0;
        if (!ap_may_wait(&s, r)) return ap_refused(s.c, r, s.size);
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
    if (r == AP_STANDS_IN) return ap_submit_later(s, capability, options, ret);
    if (r != APIARY_EFORBIDDEN && decided_now(options) && options->provider != 0)
        r = later_provider(s.c, s.service, capability, options->provider);
    if (r == APIARY_EFORBIDDEN) ap_refused_rule(s.c, capability);
    if (r < 0) return ap_refused(s.c, r, s.size);
    r = ap_submit_take(&s);
    if (r < 0) return ap_refused(s.c, r, s.size);
    if (!s.batched) s.now = s.seg->ops->now();
    due = ap_due_of(options, s.now);
    s.deadline = ap_deadline_of(s.seg, options, due);
    ap_submit_write(&s);
    r = later_publish(&s, options, due, ret);
    return r < 0 ? ap_refused(s.c, r, s.size) : 0;
}
