/* registry/hooks.c - what a recovery does in the registry. See reap.h for when. */
#include "registry/client/carried.h"
#include "registry/conflict/coalesce.h"
#include "registry/discovery/changes.h"
#include "registry/routing/dead.h"
#include "registry/routing/admission.h"
#include "registry/routing/homes.h"
#include "registry/routing/router.h"
#include "registry/monitor/supervised.h"
#include "shm/event.h"

/* The queues of a registration that ends. `seen` is the swarm's life: while it has not changed, a queue life that was loaded
 * before is of that registration, and the close fails if the queue has been opened anew since. */
static void close_queues(struct ap_segment *seg, uint32_t swarm, uint64_t seen)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life);

        if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN || ap_load_relaxed(&ap_agent_at(seg, q)->swarm) != swarm) continue;
        if (ap_load_acquire(&ap_swarm_at(seg, swarm)->life) != seen) return; /* REG-A1 pairs REG-R1 */
        ap_queue_close(seg, q, life);
    }
}

/* The queues of all registrations of a dead lane, which may be thousands, in one look at each. A queue that is closed here was OPEN
 * with that life from before its record was read: so the record, and the swarm's life, are those of its registration. */
static void close_queues_of_lane(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life), of;
        const struct ap_swarm *s;

        if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN) continue;
        s = ap_swarm_at(seg, ap_load_relaxed(&ap_agent_at(seg, q)->swarm));
        of = s != NULL ? ap_load_acquire(&s->life) : 0; /* REG-A1 pairs REG-R1 */
        if (AP_SWARM_STATE(of) == AP_SWARM_LIVE && AP_SWARM_LANE(of) == lane && ap_lane_still(seg, lane, beside))
            ap_queue_close(seg, q, life);
    }
}

/* Its queues are closed. */
static void record_end(struct ap_segment *seg, uint32_t swarm, uint64_t life)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint32_t state = AP_SWARM_STATE(life), lane = AP_SWARM_LANE(life), next = AP_SWARM_DOWN;

    if (s == NULL || (state != AP_SWARM_LIVE && state != AP_SWARM_CLAIMED)) return;
    ap_instance_tell(seg, swarm);
    /* REG-A3 pairs REG-R3: without a key it has no names yet. */
    if (state == AP_SWARM_CLAIMED && ap_load_acquire(&s->key) == 0) next = AP_SWARM_FREE;
    if (!ap_cas(&s->life, &life, AP_SWARM_LIFE(AP_SWARM_EPOCH(life), 0, next)) || state != AP_SWARM_LIVE) return;
    ap_instance_tell(seg, swarm);
    ap_event_log(seg, AP_EVENT_SWARM_DIED, lane, swarm, lane);
}

void ap_swarm_end(struct ap_segment *seg, uint32_t swarm, uint64_t life)
{
    if (AP_SWARM_STATE(life) == AP_SWARM_LIVE) close_queues(seg, swarm, life);
    record_end(seg, swarm, life);
}

void ap_swarms_end(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    bool closed = false;

    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        uint64_t life = ap_load_acquire(&ap_swarm_at(seg, i)->life); /* REG-A1 pairs REG-R1 */

        if (AP_SWARM_LANE(life) != lane || !ap_lane_still(seg, lane, beside)) continue;
        if (!closed) close_queues_of_lane(seg, lane, beside);
        closed = true; /* a dead lane opens none any more */
        record_end(seg, i, life);
    }
}

/* The tasks of one dead queue do not all go to the same other one: they take turns, and the queue that had the last is passed over
 * until its consumer has taken something. Before that its load does not say what it was given. But no task goes to a provider that
 * does not pass for that. */
static uint32_t route_spread(struct ap_segment *seg, uint32_t capability, const struct ap_route_question *asked)
{
    static _Thread_local struct ap_balance own;
    static _Thread_local uint32_t last = AP_NO_QUEUE;
    static _Thread_local uint64_t taken;
    const struct ap_queue *q = ap_queue_at(seg, last);
    uint32_t not = q != NULL && ap_load_relaxed(&q->started) == taken ? last : AP_NO_QUEUE, queue;
    uint64_t life;

    own.caller = asked->caller;
    own.from_gate = asked->passed;
    if (not != AP_NO_QUEUE && !ap_route_elsewhere(seg, capability, asked, not)) not = AP_NO_QUEUE;
    if (ap_route_in(seg, capability, asked->service, &own, not, &queue, &life) < 0 &&
        (not == AP_NO_QUEUE || ap_route_in(seg, capability, asked->service, &own, AP_NO_QUEUE, &queue, &life) < 0))
        return AP_NO_QUEUE;
    last = queue;
    taken = ap_load_relaxed(&ap_queue_at(seg, queue)->started);
    return queue;
}

static void carried_of(const struct ap_segment *seg, const struct ap_slot *slot, struct ap_carried *ret)
{
    uint32_t index = (uint32_t)(slot - ap_slot_at(seg, 0));

    ap_carried_read(seg, ap_task_id(seg, index, AP_WORD_GENERATION(ap_load_relaxed(&slot->word))), ret);
}

/* The question that a pick for a task asks. */
static struct ap_route_question question_of(const struct ap_slot *slot, const struct ap_carried *carried)
{
    return (struct ap_route_question){.service = (int)ap_load_relaxed(&slot->only) - 1, .caller = ap_load_relaxed(&slot->caller),
                                      .key = carried->key, .passed = carried->passed};
}

/* `user`: the balance of the lane that asks, or NULL. The task is its caller's, not that lane's. */
static uint32_t route(void *user, struct ap_segment *seg, const struct ap_slot *slot)
{
    uint32_t capability = ap_load_relaxed(&slot->capability), queue, asks;
    uint64_t passes;
    struct ap_carried carried;
    struct ap_route_question q;
    struct ap_balance own = {.turn = 0}, *balance = user != NULL ? user : &own;
    uint64_t life;
    int r;

    carried_of(seg, slot, &carried);
    q = question_of(slot, &carried);
    if (carried.provider != 0)
        return ap_route_to(seg, capability, &q, carried.provider, &queue, &life) == 0 ? queue : AP_NO_QUEUE;
    if (user == NULL && q.key == 0 && !ap_stateful(seg, capability)) return route_spread(seg, capability, &q);
    asks = balance->caller;
    passes = balance->from_gate;
    balance->caller = q.caller;
    balance->from_gate = q.passed;
    r = ap_route_keyed(seg, capability, q.service, q.key, balance, AP_NO_QUEUE, &queue, &life);
    balance->caller = asks;
    balance->from_gate = passes;
    return r < 0 ? AP_NO_QUEUE : queue;
}

/* A consumer that does not go on, or whose tasks fail, keeps what it has started. The others of its tasks move, if another provider
 * stands well; of a stateful capability only when its home has changed. */
static bool hooks_better(struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint32_t queue,
                         const struct ap_swarm *swarm)
{
    uint64_t now = seg->ops->now();

    if (ap_stateful(seg, capability)) return ap_home_elsewhere(seg, capability, q, queue);
    return swarm != NULL && (ap_route_stuck(swarm, now) || ap_queue_ejected(ap_queue_at(seg, queue), now)) &&
           ap_route_elsewhere(seg, capability, q, queue);
}

/* The agent of a queue that is closed, too. */
static bool hooks_offers(void *user, struct ap_segment *seg, const struct ap_slot *slot, uint32_t queue)
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    uint32_t only = ap_load_relaxed(&slot->only), capability = ap_load_relaxed(&slot->capability);
    struct ap_route_question q;
    struct ap_carried carried;
    const struct ap_swarm *swarm;

    (void)user;
    /* QUEUE-A4 pairs QUEUE-R4; a queue that was never open has no agent. */
    if (agent == NULL || AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, queue)->life)) == AP_QUEUE_FREE) return false;
    /* A queue with tasks in it is not given to another agent: so this is the provider that was meant, if it is that queue. */
    carried_of(seg, slot, &carried);
    if (carried.provider != 0) return AP_PROVIDER_QUEUE(carried.provider) == queue && ap_agent_runs(agent, capability);
    swarm = ap_swarm_at(seg, ap_load_relaxed(&agent->swarm));
    q = question_of(slot, &carried);
    if (hooks_better(seg, capability, &q, queue, swarm)) return false;
    if (only != 0 && (swarm == NULL || ap_load_relaxed(&swarm->service) != only - 1)) return false;
    /* Rules that were declared since it was placed. */
    if (only == 0 && swarm != NULL && ap_route_forbidden(seg, capability, q.caller, swarm)) return false;
    return ap_agent_runs(agent, capability);
}

/* A provider's number is of one registration (router.h): one that has gone does not come back. The task ends by the next look, of
 * a queen or the daemon in its round, of who recovers the dead, waits for the task, or fetches its result. */
static int hooks_never(void *user, struct ap_segment *seg, const struct ap_slot *slot)
{
    struct ap_carried carried;

    (void)user;
    carried_of(seg, slot, &carried);
    return carried.provider != 0 ? APIARY_ENOPROVIDER : 0;
}

const struct ap_reap_hooks ap_registry_hooks = {
    .user = NULL, .route = route, .offers = hooks_offers, .never = hooks_never,
    .lead = ap_coalesce_lead, .fail = ap_coalesce_fail, .freed = ap_slot_leave,
};

enum ap_move ap_reroute(struct ap_segment *seg, struct ap_balance *balance, uint32_t index, uint64_t seen)
{
    struct ap_reap_hooks hooks = ap_registry_hooks;

    hooks.user = balance;
    return ap_move_queued(seg, &hooks, AP_NO_LANE, index, seen);
}
