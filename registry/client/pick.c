/* registry/client/pick.c - the queue for a task where the lane knows no only one, or that has no room. See submit.h. */
#include "registry/client/submit.h"

#include "registry/routing/bounds.h"
#include "registry/routing/homes.h"
#include "registry/routing/limits.h"
#include "registry/routing/places.h"

/* It has no provider: whether bounds are to be seen to first, as that it waits for one, or another capability stands in. */
int ap_pick_otherwise(struct ap_lane_context *c, int service, uint32_t capability)
{
    if (!c->within && ap_bounds_any(c->lane.seg, capability)) return AP_BY_BOUNDS;
    if (service >= 0) return APIARY_ENOPROVIDER;
    c->stand_in = ap_route_stand_in(c->lane.seg, capability, c->balance.caller);
    return c->stand_in >= 0 ? AP_STANDS_IN : APIARY_ENOPROVIDER;
}

/* Into the shared ring: there a task that waits for its place holds up no other one (registry/routing/places.h). Whether there is
 * room. */
bool ap_pick_apart_to(struct ap_lane_context *c, uint32_t queue)
{
    struct ap_segment *seg = c->lane.seg;

    c->apart = (struct ap_producer){.ring = ap_ring_at(seg, queue, seg->geometry.queue_inlets), .index = seg->geometry.queue_inlets,
                                    .opened = 1, .shared = 1, .rank = c->rank};
    if (c->rank != 0) ap_queue_rank(seg, queue);
    if (ap_queue_room(seg, queue, &c->apart, &c->lane)) return true;
    ap_refused_full(c, queue, AP_REFUSED_SHARED);
    return false;
}

/* If there is no room one other provider is tried. */
struct ap_picked ap_pick_apart(struct ap_lane_context *c, int service, uint32_t capability, struct ap_picked p)
{
    struct ap_segment *seg = c->lane.seg;
    bool alone = ap_stateful(seg, capability);
    uint32_t first = p.queue;

    if (ap_pick_apart_to(c, p.queue)) return p;
    if (alone || ap_route_in(seg, capability, service, &c->balance, p.queue, &p.queue, &p.life) < 0 ||
        !ap_pick_apart_to(c, p.queue) || !ap_limits_room(seg, capability, p.queue))
        p.error = ap_refused_full(c, first, AP_REFUSED_SHARED);
    return p;
}

/* The limits that the capability has declared for all its tasks: 0 or an error. */
int ap_pick_admit(struct ap_lane_context *c, uint32_t capability, uint32_t queue)
{
    int r = ap_limits_admit(c->lane.seg, capability, queue, &c->refused.excess);

    if (r == APIARY_EQUEUEFULL) r = ap_refused_full(c, queue, AP_REFUSED_LIMIT);
    c->refused.queue = queue;
    c->refused.capability = capability;
    return r;
}

static struct ap_picked pick_once(struct ap_lane_context *c, int service, struct ap_known_name *known, uint64_t key)
{
    struct ap_picked p;

    c->apart.opened = 0;
    if (service < 0 && known->at != NULL && c->not == AP_NO_QUEUE)
        p.error = ap_route_learn(c->lane.seg, known->capability, key, &c->balance, &known->only, &p.queue, &p.life);
    else
        p.error = ap_route_keyed(c->lane.seg, known->capability, service, key, &c->balance, c->not, &p.queue, &p.life);
    return p;
}

void ap_pick_measure(struct ap_lane_context *c, const struct ap_known_name *known)
{
    const struct ap_ops *ops = c->lane.seg->ops;
    uint64_t began = ops->now();

    if ((known->at == NULL || ap_known_is(known, known->at)) && ap_route_only(&known->only))
        ap_cost_took(c->balance.costs, AP_COST_PICK, ops->now() - began);
    ap_picks_told(c);
}

void ap_picks_told(struct ap_lane_context *c)
{
    ap_cost_picked(c->balance.costs, AP_PICKED_ONLY, AP_COST_SAMPLE - c->remembered);
    c->remembered = AP_COST_SAMPLE;
}

static struct ap_picked pick_measured(struct ap_lane_context *c, int service, struct ap_known_name *known, uint64_t key)
{
    uint64_t began = c->lane.seg->ops->now();
    struct ap_picked p = pick_once(c, service, known, key);

    ap_cost_took(c->balance.costs, AP_COST_PICK, c->lane.seg->ops->now() - began);
    return p;
}

struct ap_picked ap_pick_among_all(struct ap_lane_context *c, int service, struct ap_known_name *known, uint64_t key)
{
    struct ap_picked p = ap_cost_due(&c->picked) ? pick_measured(c, service, known, key) : pick_once(c, service, known, key);

    if (p.error == APIARY_EFORBIDDEN) {
        p.error = ap_gate(c, known->capability);
        if (p.error == 0) p = pick_once(c, service, known, key);
        if (p.error == APIARY_EFORBIDDEN) ap_refused_rule(c, known->capability);
    }
    if (p.error == APIARY_ENOPROVIDER) p.error = ap_pick_otherwise(c, service, known->capability);
    if (p.error == 0 && ap_load_relaxed(&ap_capability_at(c->lane.seg, known->capability)->terms) != 0) {
        p.error = !c->within && ap_bounds_any(c->lane.seg, known->capability) ? AP_BY_BOUNDS
                                                                              : ap_pick_admit(c, known->capability, p.queue);
        if (p.error == 0 && ap_places_bound(c->lane.seg, known->capability) != 0)
            p = ap_pick_apart(c, service, known->capability, p);
    }
    return p;
}

/* The ring is new to the lane, or seems to be full. If it is, one other provider is tried. */
struct ap_picked ap_pick_with_room(struct ap_lane_context *c, int service, uint32_t capability, struct ap_picked p)
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

/* With options, or none; a key and a time to be started are said only with those that are carried. */
struct ap_picked ap_pick_in_time(struct ap_lane_context *c, int service, uint32_t capability,
                                 const apiary_delegate_options_t *options, struct ap_picked p)
{
    struct ap_backlog_task task = {options != NULL ? options->key : 0, ap_timeout_of(c->lane.seg, options),
                                   c->rank != 0 || ap_places_bound(c->lane.seg, capability) != 0, c->rank};
    uint64_t start = options != NULL ? options->schedule_to_start : 0;

    if (start != 0 && start < task.timeout) task.timeout = start;
    p.error = ap_backlog_pick(c, service, capability, &task, &p.queue, &p.life);
    if (p.error == 0 && task.apart && !ap_pick_apart_to(c, p.queue)) p.error = APIARY_EQUEUEFULL;
    return p;
}
