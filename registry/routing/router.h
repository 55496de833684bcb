/* registry/routing/router.h - TaskRouter and LoadBalancer: which living queue runs a task.
 *
 * CANDIDATE 1 A candidate is a queue that is OPEN, has its provider bit set, belongs to a swarm in mode READY, and has a consumer
 *           lane that the kernel has not marked dead.
 *           2 The mark is looked at in every pick, so no delegation that begins after the mark goes to the dead.
 * CHOICE    1 The policy that the capability has declared gives each candidate a score (policy.h); the lowest wins.
 *           2 A candidate that does not pass is picked only when no other candidate is there: the operator has given it the
 *           weight 0, its tasks fail (queue.h, EJECTION), its queen says that a worker does not go on, its health check fails
 *           (monitor/health.h), or its queen has said nothing for AP_SILENT.
 *           3 A candidate whose ejection is over is on trial. One caller's task goes there at once, whatever the score, and tells;
 *           a task with a key goes only where its key is.
 *           4 A candidate's load is depth + running. The depth is what its consumer has published, or this lane's own references if
 *           these are more; where that is older than a millisecond, the references in the queue's rings are counted. A weight makes
 *           all of it count for less.
 *           5 Ties go round by a private turn, which begins at a random place, so that callers of one task each spread.
 *           6 An only candidate is picked without any of this.
 *           7 Where a name has majors, the pick is among the candidates of the one that the name means (majors.h).
 *           8 A task of a stateful capability goes to the home of its share (homes.h), and none of the above is asked.
 *           9 Where a capability has rules, the pick is among the candidates that they leave to the caller (rules.h), or there
 *           is none.
 */
#ifndef AP_ROUTER_H
#define AP_ROUTER_H

#include "core/must_check.h"
#include "registry/discovery/discovery.h"
#include "registry/routing/policy.h"
#include "shm/cost.h"
#include "shm/move.h"

/* Private to a lane. */
struct ap_balance {
    uint32_t turn; /* AP_NO_QUEUE: any, by `random` */
    uint64_t random;
    const struct ap_producer *producers; /* per queue, of this lane; may be NULL */
    uint64_t *places, passed;            /* per queue, for picks in rounds (policy.h); may be NULL */
    uint32_t caller; /* the service that the tasks' caller calls for, + 1; 0: none (rules.h) */
    uint64_t from_gate; /* AP_PASSED, if a gate passes them on */
    struct ap_costs *costs; /* of the lane, where its picks are counted; NULL: they are not */
};
/* A place to begin at, from a number that differs from lane to lane. */
void ap_balance_begin(struct ap_balance *balance, const struct ap_segment *seg, uint64_t number);

/* Picks a queue, and returns the life word that was seen with it (for ap_queue_signal and the check after the fence). `not` is a
 * queue to pass over, or AP_NO_QUEUE. APIARY_ENOCAP, APIARY_ENOPROVIDER, APIARY_ENOMAJOR, APIARY_EFORBIDDEN. */
AP_MUST_CHECK
int ap_route(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, uint32_t not, uint32_t *ret_queue,
             uint64_t *ret_life);

/* `service` restricts the candidates to one service (execute_task); -1: any. */
AP_MUST_CHECK int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life);
/* The same for a task with a key; 0: none. */
AP_MUST_CHECK int ap_route_keyed(struct ap_segment *seg, uint32_t capability, int service, uint64_t key, struct ap_balance *balance,
                uint32_t not, uint32_t *ret_queue, uint64_t *ret_life);

/* Whose task it is. */
struct ap_route_question {
    int service; /* its providers are to be of this one; -1: of any */
    uint32_t caller; /* the calling service + 1; 0: none */
    uint64_t key, passed; /* passed: as `from_gate` above */
};

/* A provider's number for callers: the queue, and the epoch in which it was registered. */
#define AP_PROVIDER(queue, life) ((AP_QUEUE_EPOCH(life) & ((UINT64_C(1) << 47) - 1)) << 16 | ((queue) + 1))
#define AP_PROVIDER_QUEUE(number) ((uint32_t)((number) & 0xffff) - 1) /* AP_NO_QUEUE: it is no number */
/* Picks one provider by its number, for this question: 0; APIARY_ENOCAP, _EFORBIDDEN; APIARY_ENOPROVIDER if it has gone, or is no
 * candidate for the caller. */
AP_MUST_CHECK int ap_route_to(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint64_t number,
                              uint32_t *ret_queue, uint64_t *ret_life);

/* For those who ask and send no task, so that nothing is changed: whether a pick would find a provider: 0, or what it would say. */
AP_MUST_CHECK int ap_route_look(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q);
/* Whether the capability may be asked for by this name, by this caller: 0, APIARY_ENOCAP, APIARY_ENOMAJOR, APIARY_EFORBIDDEN. */
AP_MUST_CHECK int ap_route_may(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q);

/* The capability that the rules of another one name as its fallback; -1: none, or nobody has ever offered it. */
int ap_rules_fallback(const struct ap_segment *seg, uint32_t capability);
/* The first of the capabilities that stand in for this one (rules.h) and has a provider for the caller (service + 1; 0: none); -1:
 * there is none. */
int ap_route_stand_in(const struct ap_segment *seg, uint32_t capability, uint32_t caller);

/* A provider as a pick sees it. */
struct ap_route_view {
    struct ap_candidate candidate;
    bool fits; /* it is one; else only `queue` of the candidate is filled in */
    bool meant; /* the name means its major, too (majors.h), canaries left aside; and no rule forbids it */
    bool forbidden, preferred; /* by a rule, to the caller */
    bool canary;
    uint32_t major; /* the newest of the name; 0: none */
    uint32_t percent; /* of the canary */
    uint64_t score;
};
/* For observers: all providers of a capability as a pick would see them now, at most `capacity`; returns how many there are, and
 * the number of the one that would be picked in *ret_best (-1: none). Nothing is changed. */
int ap_route_explain(struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, struct ap_route_view *ret,
                     uint32_t capacity, int *ret_best);
/* Whether a provider of the capability other than `queue` stands well. */
bool ap_route_elsewhere(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint32_t queue);
/* Whether a rule forbids the caller (service + 1; 0: none) the providers of a swarm. */
bool ap_route_forbidden(const struct ap_segment *seg, uint32_t capability, uint32_t caller, const struct ap_swarm *swarm);
/* How a swarm stands, but for its agents' failures. */
enum ap_standing ap_route_swarm(const struct ap_swarm *swarm, uint64_t now);
/* Whether a swarm has not gone on for longer than a task, or a slow processor, would explain. Then the tasks that wait there are
 * moved, where another provider stands well; as those that wait at an ejected queue are. */
bool ap_route_stuck(const struct ap_swarm *swarm, uint64_t now);

/* The only provider of a capability, as the lane last saw it; private to the lane. The fields cannot change while the queue has
 * the same life. Each pick looks again whether the provider may be picked. */
struct ap_only {
    const uint64_t *providers; /* of the capability; ap_only_forget: no provider is remembered */
    uint64_t flags;            /* of the capability: the word before its providers */
    uint64_t expected[2];      /* the first two words of bits: all of them, with 128 queues. With more: the first, and `used` */
    uint32_t queue, words;
    uint64_t second; /* the word that is compared with expected[1]: 1, or 0 where there is only one; with more, that of `used` */
    uint64_t life;
    struct ap_queue *at;
    struct ap_lane *lane; /* its consumer's */
    const struct ap_swarm *swarm;
};

/* ready, terms, majors, rules: what the capability has declared since, whoever did, is not passed over. */
AP_ALWAYS_INLINE const uint64_t *ap_only_flags(const uint64_t *providers)
{
    return (const uint64_t *)(const void *)((const char *)providers - offsetof(struct ap_capability, providers) +
                                            offsetof(struct ap_capability, ready));
}

/* No provider is remembered: the bits that it looks at then are nobody's, so that each look need not ask first. */
void ap_only_forget(struct ap_only *o);

/* With more than 128 queues: what differs in the groups that are used. */
static inline uint64_t ap_only_groups(const struct ap_only *o)
{
    uint32_t shift = ap_provider_shift(o->words), own = o->queue / 64;
    uint64_t differ = 0;

    for (uint64_t used = o->expected[1]; used != 0; used &= used - 1) {
        uint32_t word = (uint32_t)__builtin_ctzll(used) << shift, end = word + (1u << shift);

        for (; word < end && word < o->words; word++)
            differ |= ap_load_acquire(&o->providers[word]) ^ (word == own ? UINT64_C(1) << o->queue % 64 : 0); /* DISC-A2 */
    }
    return differ;
}

/* Whether the remembered provider is still the only one. Not of one that is all zeros. */
AP_ALWAYS_INLINE bool ap_only_still(const struct ap_only *o)
{
    const uint64_t *providers = o->providers;
    uint64_t differ;

    differ = ap_load_acquire(&providers[0]) ^ o->expected[0]; /* DISC-A2 pairs DISC-R2 */
    differ |= ap_load_relaxed(ap_only_flags(providers)) ^ o->flags;
    differ |= ap_load_acquire(&providers[o->second]) ^ o->expected[1]; /* DISC-A2 pairs DISC-R2 */
    if (__builtin_expect(ap_provider_grouped(o->words), 0)) differ |= ap_only_groups(o);
    return differ == 0;
}

/* Whether the remembered provider is still the only one and may be picked. */
AP_ALWAYS_INLINE bool ap_route_only(const struct ap_only *o)
{
    if (!ap_only_still(o)) return false;
    /* The bit was once seen after this life, so it is not the bit of the queue's former agent. QUEUE-A4 pairs QUEUE-R4 */
    return ap_load_acquire(&o->at->life) == o->life && ap_lane_lives(o->lane) &&
           AP_MODE_OF(ap_load_relaxed(&o->swarm->mode)) == APIARY_READY;
}

/* Picks as ap_route_keyed does, and remembers the provider if it is the only one: then it has the tasks of all keys. */
int ap_route_learn(struct ap_segment *seg, uint32_t capability, uint64_t key, struct ap_balance *balance, struct ap_only *only,
                   uint32_t *ret_queue, uint64_t *ret_life);

/* Moves a queued task, if it has to be, to a queue that ap_route_in picks: ap_move_queued with the registry's hooks. `seen` is the
 * task's word. `balance` is the lane's, or NULL. */
enum ap_move ap_reroute(struct ap_segment *seg, struct ap_balance *balance, uint32_t index, uint64_t seen);

#endif
