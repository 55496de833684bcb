/* registry/routing/router.c - TaskRouter and LoadBalancer. See router.h. */
#include "registry/routing/router.h"

#include "core/hash.h"
#include "registry/routing/bounds.h"
#include "registry/routing/homes.h"
#include "registry/routing/limits.h"
#include "registry/routing/pick.h"

#define PLACE (UINT64_C(1) << 24) /* a pick at the weight 1, in rounds */
#define LOAD_FRESH UINT64_C(1000000)

void ap_balance_begin(struct ap_balance *balance, const struct ap_segment *seg, uint64_t number)
{
    const uint64_t seed[2] = {seg->ops->now(), number};

    balance->random = ap_hash_here(seed, sizeof seed);
    balance->turn = AP_NO_QUEUE;
}

static uint64_t draw(struct ap_balance *balance)
{
    uint64_t x = balance->random | 1;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return balance->random = x;
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

/* Whether the queue may be picked; its life word in *ret. */
AP_ALWAYS_INLINE bool candidate(const struct ap_pick *p, uint32_t queue, uint64_t *ret)
{
    const struct ap_queue *q = ap_queue_at(p->seg, queue);
    const struct ap_agent_record *agent = ap_agent_at(p->seg, queue);
    const struct ap_swarm *swarm;
    uint64_t life;

    if (q == NULL || agent == NULL) return false;
    life = ap_load_acquire(&q->life); /* QUEUE-A4 pairs QUEUE-R4 */
    if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN || !ap_lane_alive(p->seg, AP_QUEUE_LANE(life))) return false;
    swarm = ap_swarm_at(p->seg, ap_load_relaxed(&agent->swarm));
    if (swarm == NULL || AP_MODE_OF(ap_load_relaxed(&swarm->mode)) != APIARY_READY) return false;
    if (p->service >= 0 && ap_load_relaxed(&swarm->service) != (uint32_t)p->service) return false;
    /* The first look at the bit may have been at that of the queue's former agent. DISC-A2 pairs DISC-R2 */
    if ((ap_load_acquire(&p->providers[queue / 64]) >> queue % 64 & 1) == 0) return false;
    *ret = life;
    return true;
}

/* The depth that the consumer published in the last millisecond, or the number of references in this lane's inlet that the consumer
 * had not taken by then: the larger of both, since the former may count the latter. A consumer says nothing while its handler is at
 * work, so an older depth is not relied on: the references in the rings are counted, of which an idle consumer has no bit. */
static uint64_t load_of(const struct ap_segment *seg, const struct ap_balance *balance, uint32_t queue, uint64_t now)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t depth = ap_load_relaxed(&q->depth), told = ap_load_relaxed(&q->told), own = 0;

    if (now > told && now - told > LOAD_FRESH) return ap_queue_depth(seg, queue) + ap_load_relaxed(&q->running);
    if (balance->producers != NULL) {
        const struct ap_producer *p = &balance->producers[queue];
        if (p->opened && !p->shared) own = p->tail - ap_load_relaxed(&p->ring->head);
        if (own > seg->geometry.queue_depth) own = 0;
    }
    return (own > depth ? own : depth) + ap_load_relaxed(&q->running);
}

static enum ap_standing standing_of(const struct ap_candidate *c, uint64_t now)
{
    enum ap_standing swarm = ap_route_swarm(c->swarm, now);
    uint64_t until = ap_load_acquire(&c->at->until), probe; /* QUEUE-A6 pairs QUEUE-R6 */

    if (swarm != AP_STANDS_WELL || until == 0) return swarm;
    probe = ap_load_relaxed(&c->at->probe);
    return now < until || (probe != 0 && (probe > now || now - probe < AP_PROBE_PATIENCE)) ? AP_STANDS_EJECTED : AP_STANDS_TRIAL;
}

/* Of one that is new a tenth at first, then more and more. */
static uint32_t weight_of(const struct ap_pick *p, const struct ap_swarm *swarm)
{
    uint64_t weight = ap_swarm_weight(swarm), up, age;

    if (weight == 0) return 1; /* it is compared with its like only */
    if (__builtin_expect(p->slow_start != 0, 0)) {
        up = ap_load_relaxed(&swarm->up);
        age = p->asking.now > up ? p->asking.now - up : 0;
        if (age < p->slow_start) weight = weight * (p->slow_start / 10 + age / 10 * 9) / p->slow_start;
    }
    return weight > 0 ? (uint32_t)weight : 1;
}

static __attribute__((noinline)) bool narrowed_fits(struct ap_narrowed *n, const struct ap_candidate *c)
{
    struct ap_rules_asked own;
    int row;

    if (n->plain && ap_major_newest(&n->majors, c->agent) != 0) return false;
    if (!ap_rules_fit(&n->rules, c->swarm)) return false;
    row = n->by_major ? ap_major_row(&n->majors, c->agent) : -1;
    if (row < 0) return true;
    ap_rules_ask(&own, n->majors.seg, (uint32_t)row, n->caller);
    if (own.broken || (!n->passed && (!ap_rules_may(&own) || ap_rules_gate(&own) != NULL))) {
        n->refused = true;
        return false;
    }
    own.preferring = n->rules.preferring && ap_rules_prefer(&own);
    return ap_rules_fit(&own, c->swarm);
}

/* All that a policy may look at. */
static bool fill(const struct ap_pick *p, uint32_t queue, struct ap_candidate *c)
{
    c->queue = queue;
    if (!candidate(p, queue, &c->life)) return false;
    c->at = ap_queue_at(p->seg, queue);
    c->agent = ap_agent_at(p->seg, queue);
    c->swarm = ap_swarm_at(p->seg, ap_load_relaxed(&c->agent->swarm));
    if (c->swarm == NULL) return false;
    if (__builtin_expect(p->narrowed != NULL, 0) && !narrowed_fits(p->narrowed, c)) return false;
    c->load = load_of(p->seg, p->balance, queue, p->asking.now);
    c->weight = weight_of(p, c->swarm);
    c->standing = standing_of(c, p->asking.now);
    return true;
}

/* ---- the choice ------------------------------------------------------------------------------------------------- */

static void consider(struct ap_pick *p, uint32_t queue)
{
    struct ap_candidate c;
    uint64_t score;
    bool apart;

    if (queue == p->not || !fill(p, queue, &c)) return;
    if (p->best.queue == AP_NO_QUEUE) {
        p->best = c;
        return;
    }
    apart = AP_STANDS_APART(c.standing);
    if (apart != AP_STANDS_APART(p->best.standing)) {
        if (apart) return;
        p->scored = false;
        p->best = c;
        return;
    }
    if (!p->scored) p->best_score = p->policy->score(&p->asking, &p->best);
    p->scored = true;
    score = p->policy->score(&p->asking, &c);
    if (score >= p->best_score) return;
    p->best_score = score;
    p->best = c;
}

/* The queues from..end-1 whose bits are set. */
AP_ALWAYS_INLINE bool each_between(struct ap_pick *p, uint32_t from, uint32_t end, bool (*each)(struct ap_pick *p, uint32_t queue))
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues), word = ap_provider_skip(p->providers, words, from / 64);

    for (; word < words && word * 64 < end; word = ap_provider_skip(p->providers, words, word + 1)) {
        uint64_t bits = ap_load_acquire(&p->providers[word]); /* DISC-A2 pairs DISC-R2 */

        if (word == from / 64) bits &= UINT64_MAX << from % 64;
        if (word == end / 64) bits &= ~(UINT64_MAX << end % 64);
        for (; bits != 0; bits &= bits - 1)
            if (!each(p, word * 64 + (uint32_t)__builtin_ctzll(bits))) return false;
    }
    return true;
}

/* Round once, beginning behind the last pick, so that equals take turns. Stops when `each` says so. */
static bool each_provider(struct ap_pick *p, uint32_t turn, bool (*each)(struct ap_pick *p, uint32_t queue))
{
    return each_between(p, turn, UINT32_MAX, each) && each_between(p, 0, turn, each);
}

static bool each_considered(struct ap_pick *p, uint32_t queue)
{
    consider(p, queue);
    return true;
}

static bool each_summed(struct ap_pick *p, uint32_t queue)
{
    struct ap_candidate c;

    if (queue == p->not || !fill(p, queue, &c) || AP_STANDS_APART(c.standing)) return true;
    p->asking.loads += c.load;
    p->asking.weights += c.weight;
    return true;
}

/* One that is on trial gets this task, if it is the first to come. */
static bool each_tried(struct ap_pick *p, uint32_t queue)
{
    struct ap_queue *q = ap_queue_at(p->seg, queue);
    struct ap_candidate c;

    if (q == NULL || __builtin_expect(ap_load_relaxed(&q->until) == 0, 1)) return true;
    if (queue == p->not || !fill(p, queue, &c) || c.standing != AP_STANDS_TRIAL || !ap_queue_probe(q, p->asking.now)) return true;
    p->best = c;
    p->why = AP_PICKED_TRIAL;
    return false;
}

/* The queue of the so many-th bit that is set. */
static uint32_t nth_provider(const struct ap_pick *p, uint32_t n)
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues);

    AP_PROVIDER_WORDS(p->providers, words, word) {
        uint64_t bits = ap_load_acquire(&p->providers[word]); /* DISC-A2 pairs DISC-R2 */
        uint32_t count = (uint32_t)__builtin_popcountll(bits);

        if (n >= count) {
            n -= count;
            continue;
        }
        for (; n > 0; n--) bits &= bits - 1;
        return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return AP_NO_QUEUE;
}

static uint32_t providers_count(const struct ap_pick *p)
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues), count = 0;

    AP_PROVIDER_WORDS(p->providers, words, word)
        count += (uint32_t)__builtin_popcountll(ap_load_acquire(&p->providers[word])); /* DISC-A2 pairs DISC-R2 */
    return count;
}

/* Two at random, and more while the better one has something to do: among many there is mostly one that is idle. Many that are all
 * at work say that most are, and the best of those is as good as any. False: there are few, or none of these passes. */
static bool some_considered(struct ap_pick *p, struct ap_balance *balance)
{
    uint32_t count = providers_count(p), n = 0;

    if (count <= AP_CANDIDATES_MANY) return false;
    do
        consider(p, nth_provider(p, (uint32_t)(draw(balance) >> 32) % count));
    while (++n < 2 || (n < AP_CANDIDATES_DRAWN && (p->best.queue == AP_NO_QUEUE || p->best.load > 0)));
    return p->best.queue != AP_NO_QUEUE && !AP_STANDS_APART(p->best.standing);
}

/* Its place moves on by what its weight makes of one task. */
static void passed_on(struct ap_pick *p, struct ap_balance *balance)
{
    uint64_t *place;

    if (balance->places == NULL) return;
    place = &balance->places[p->best.queue];
    if (*place < balance->passed) *place = balance->passed;
    balance->passed = *place;
    *place += PLACE / p->best.weight;
}

static __attribute__((noinline)) void pick_terms(struct ap_pick *p, uint32_t capability)
{
    p->policy = &ap_policies[ap_term_declared(p->seg, capability, AP_TERM_balance)];
    p->slow_start = ap_term_declared(p->seg, capability, AP_TERM_slow_start);
}

static void pick_begin(struct ap_pick *p, uint32_t capability, const struct ap_balance *balance, uint64_t key)
{
    const struct ap_capability *row = ap_capability_at(p->seg, capability);

    p->balance = balance;
    p->best.queue = AP_NO_QUEUE;
    p->scored = false;
    p->why = key != 0 ? AP_PICKED_KEY : AP_PICKED_POLICY;
    p->narrowed = NULL;
    p->policy = &ap_policies[AP_POLICY_OTHERWISE];
    p->slow_start = 0;
    if (__builtin_expect(ap_load_relaxed(&row->terms) != 0, 0)) pick_terms(p, capability);
    p->asking = (struct ap_asking){.now = p->seg->ops->now(), .key = key, .passed = balance->passed, .places = balance->places};
}

/* ---- what a name without a major means (majors.h), and what rules leave to the caller (rules.h) ------------------- */

/* Whether it has majors, rules or ways. */
AP_ALWAYS_INLINE bool has_narrows(const struct ap_segment *seg, uint32_t capability)
{
    return __builtin_expect(ap_load_relaxed(&ap_capability_at(seg, capability)->flags) > 1, 0);
}

static bool has_majors(const struct ap_segment *seg, uint32_t capability)
{
    return ap_load_relaxed(&ap_capability_at(seg, capability)->majors) != 0;
}

static bool bare_any(uint64_t bare)
{
    return bare == AP_BARE_NEWEST || bare == AP_BARE_ANY;
}

/* Of one of these: whether not each provider may have the task, though it be the only one. */
static __attribute__((noinline)) bool only_narrow(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);

    return ap_load_relaxed(&row->rules) != 0 || ap_load_relaxed(&row->ways) != 0 ||
           (has_majors(seg, capability) && !bare_any(ap_term(seg, capability, row, AP_TERM_bare)));
}

/* A pick that only looks which majors there are. */
struct looked {
    struct ap_pick pick;
    struct ap_majors *all;
};

static bool each_major(struct ap_pick *p, uint32_t queue)
{
    struct ap_majors *all = ((struct looked *)(void *)p)->all; /* it is the first in it */
    struct ap_candidate c;

    if (fill(p, queue, &c))
        ap_majors_add(all, c.agent, !AP_STANDS_APART(c.standing) || ap_stateful(p->seg, all->capability));
    return true;
}

/* Narrows a pick that has begun to the major that the name means. 0, APIARY_ENOMAJOR; APIARY_ENOPROVIDER if nobody of that major is
 * there. */
static int majors_narrow(struct ap_pick *p, uint32_t capability, uint32_t drawn, struct ap_narrowed *n)
{
    struct ap_majors *all = &n->majors;
    uint64_t bare = ap_term(p->seg, capability, ap_capability_at(p->seg, capability), AP_TERM_bare);
    struct looked looked = {*p, all};
    int at;

    if (bare == AP_BARE_ERROR) return APIARY_ENOMAJOR;
    ap_majors_begin(all, p->seg, capability);
    each_provider(&looked.pick, 0, each_major);
    at = ap_majors_choose(all, bare, drawn);
    if (at == -2) return APIARY_ENOPROVIDER;
    n->plain = at >= 0 && all->list[at].major == 0;
    n->canary = at >= 0 && all->list[at].canary && drawn != UINT32_MAX;
    if (at >= 0) n->meant = all->list[at].capability;
    if (n->plain) p->narrowed = n;
    else if (at >= 0) p->providers = ap_capability_at(p->seg, all->list[at].capability)->providers;
    return 0;
}

/* Narrows a pick that has begun to what the rules leave to the caller: those of the name, which were declared last of all its
 * majors, and, of a name without a major, those of each provider's own. 0, APIARY_EFORBIDDEN. */
static int rules_narrow(struct ap_pick *p, uint32_t capability, uint32_t caller, struct ap_narrowed *n)
{
    n->plain = n->by_major = n->canary = n->refused = false;
    n->caller = caller;
    n->meant = capability;
    ap_rules_none(&n->rules);
    n->passed = p->balance->from_gate != 0;
    if (ap_load_relaxed(&ap_capability_at(p->seg, capability)->rules) == 0) return 0;
    ap_rules_ask(&n->rules, p->seg, capability, caller);
    if (!n->passed && ap_rules_gate(&n->rules) != NULL) return APIARY_EFORBIDDEN;
    if (p->service >= 0) ap_rules_none(&n->rules);
    if (p->service >= 0) return 0;
    if (n->rules.broken || (!n->passed && !ap_rules_may(&n->rules))) return APIARY_EFORBIDDEN;
    n->by_major = has_majors(p->seg, capability);
    if (n->by_major) ap_majors_begin(&n->majors, p->seg, capability);
    p->narrowed = n;
    return 0;
}

/* Narrows a pick that has begun, of a capability that has majors, rules or ways. 0, or why there is no candidate. */
static __attribute__((noinline)) int pick_narrow(struct ap_pick *p, uint32_t capability, uint32_t caller, uint32_t drawn,
                                                 struct ap_narrowed *n)
{
    int r = rules_narrow(p, capability, caller, n);

    if (r < 0 || !has_majors(p->seg, capability)) return r;
    r = majors_narrow(p, capability, ap_stateful(p->seg, capability) ? UINT32_MAX : drawn, n);
    return r == APIARY_ENOPROVIDER && n->refused ? APIARY_EFORBIDDEN : r;
}

/* The number that decides whether a task is a canary's. */
static uint32_t majors_drawn(struct ap_balance *balance)
{
    return (uint32_t)((draw(balance) >> 32) * 100 >> 32);
}

/* ---- a pick -------------------------------------------------------------------------------------------------------- */

/* The first turn of a lane is any provider's: from a place among all queues most would come to the same one, behind a gap. */
static uint32_t first_turn(const struct ap_pick *p, struct ap_balance *balance)
{
    uint32_t count = providers_count(p);

    return count > 0 ? nth_provider(p, (uint32_t)(draw(balance) >> 32) % count) : 0;
}

AP_ALWAYS_INLINE void pick_choose(struct ap_pick *p, uint32_t turn, struct ap_balance *balance)
{
    if (p->policy->looks == AP_LOOKS_SUMS) each_provider(p, turn, each_summed);
    if (p->asking.key != 0 || each_provider(p, turn, each_tried)) {
        if (p->policy->looks != AP_LOOKS_SOME || !some_considered(p, balance)) each_provider(p, turn, each_considered);
    }
}

/* A pick that has begun: of those that the rules prefer, if one of them passes, else of all that they leave. */
static __attribute__((noinline)) int narrowed_choose(struct ap_pick *p, uint32_t capability, uint32_t turn,
                                                     struct ap_balance *balance)
{
    struct ap_narrowed n;
    int r = pick_narrow(p, capability, balance->caller, majors_drawn(balance), &n);

    if (r < 0) return r;
    if (ap_stateful(p->seg, n.meant)) {
        r = ap_home_pick(p, &n, true);
        p->why = AP_PICKED_HOME;
        p->narrowed = NULL;
        return r;
    }
    n.rules.preferring = ap_rules_prefer(&n.rules);
    if (n.rules.preferring) {
        struct ap_pick preferring = *p;

        pick_choose(&preferring, turn, balance);
        n.rules.preferring = false;
        if (preferring.best.queue != AP_NO_QUEUE && !AP_STANDS_APART(preferring.best.standing)) {
            *p = preferring;
            p->why = AP_PICKED_PREFERRED;
        }
    }
    if (p->best.queue == AP_NO_QUEUE) pick_choose(p, turn, balance);
    if (n.canary && p->why == AP_PICKED_POLICY) p->why = AP_PICKED_CANARY;
    p->narrowed = NULL;
    return p->best.queue == AP_NO_QUEUE && n.refused ? APIARY_EFORBIDDEN : 0;
}

static __attribute__((noinline)) int route_among(struct ap_pick *p, uint32_t capability, uint64_t key, struct ap_balance *balance,
                                                 uint32_t *ret_queue, uint64_t *ret_life)
{
    uint32_t turn = balance->turn;
    int r;

    if (turn == AP_NO_QUEUE) turn = first_turn(p, balance);
    if (turn >= p->seg->geometry.queues) turn = 0;
    pick_begin(p, capability, balance, key);
    if (has_narrows(p->seg, capability)) {
        r = narrowed_choose(p, capability, turn, balance);
        if (r < 0) return r;
    } else {
        pick_choose(p, turn, balance);
        /* A pick that has seen a provider's bit sees the flags that were set before it: that may be the first with rules. */
        if (has_narrows(p->seg, capability)) return route_among(p, capability, key, balance, ret_queue, ret_life);
    }
    if (p->best.queue == AP_NO_QUEUE) {
        ap_cost_picked(balance->costs, AP_PICKED_NONE, 1);
        return APIARY_ENOPROVIDER;
    }
    balance->turn = p->best.queue + 1;
    passed_on(p, balance);
    ap_cost_picked(balance->costs, p->why != AP_PICKED_HOME && AP_STANDS_APART(p->best.standing) ? AP_PICKED_APART : p->why, 1);
    *ret_queue = p->best.queue;
    *ret_life = p->best.life;
    return 0;
}

AP_ALWAYS_INLINE int route_any(struct ap_segment *seg, uint32_t capability, int service, uint64_t key, struct ap_balance *balance,
                              uint32_t not, uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    struct ap_pick p;
    uint32_t only;

    if (row == NULL) return APIARY_ENOCAP;
    p.seg = seg;
    p.service = service;
    p.not = not;
    p.providers = row->providers;
    only = ap_provider_only(row->providers, ap_provider_words(seg->geometry.queues));
    if (only == AP_NO_QUEUE || (has_narrows(seg, capability) && only_narrow(seg, capability)))
        return route_among(&p, capability, key, balance, ret_queue, ret_life);
    if (only == not || !candidate(&p, only, ret_life)) {
        ap_cost_picked(balance->costs, AP_PICKED_NONE, 1);
        return APIARY_ENOPROVIDER;
    }
    ap_cost_picked(balance->costs, AP_PICKED_ONLY, 1);
    *ret_queue = only;
    return 0;
}

int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life)
{
    return route_any(seg, capability, service, 0, balance, not, ret_queue, ret_life);
}

int ap_route_keyed(struct ap_segment *seg, uint32_t capability, int service, uint64_t key, struct ap_balance *balance, uint32_t not,
                   uint32_t *ret_queue, uint64_t *ret_life)
{
    return route_any(seg, capability, service, key, balance, not, ret_queue, ret_life);
}

void ap_only_forget(struct ap_only *o)
{
    static const struct {
        uint64_t key, flags, providers[1];
    } none = {.flags = UINT64_MAX};
    _Static_assert(offsetof(struct ap_capability, providers) == 16, "it lies as a capability does");

    *o = (struct ap_only){.providers = none.providers, .words = 1};
}

int ap_route_learn(struct ap_segment *seg, uint32_t capability, uint64_t key, struct ap_balance *balance, struct ap_only *only,
                   uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    uint64_t flags = row != NULL ? ap_load_relaxed(ap_only_flags(row->providers)) : 0; /* before it is looked what they say */
    uint32_t words = ap_provider_words(seg->geometry.queues);
    int r = ap_route_keyed(seg, capability, -1, key, balance, AP_NO_QUEUE, ret_queue, ret_life);
    uint64_t used = r == 0 && ap_provider_grouped(words) ? ap_load_relaxed(&row->providers[words]) : 0;

    ap_only_forget(only);
    if (r < 0 || ap_provider_only(row->providers, words) != *ret_queue) return r;
    if (has_narrows(seg, capability) && only_narrow(seg, capability)) return r;
    if (ap_load_relaxed(&row->terms) != 0 && (ap_limits_any(seg, capability) || ap_bounds_any(seg, capability))) return r;
    only->second = ap_provider_grouped(words) ? words : words > 1;
    for (uint32_t i = 0; i < 2; i++)
        only->expected[i] = i * only->second == *ret_queue / 64 ? UINT64_C(1) << *ret_queue % 64 : 0;
    if (ap_provider_grouped(words)) only->expected[1] = used;
    only->flags = flags;
    only->queue = *ret_queue;
    only->words = words;
    only->life = *ret_life;
    only->at = ap_queue_at(seg, *ret_queue);
    only->lane = ap_lane_at(seg, AP_QUEUE_LANE(*ret_life));
    only->swarm = ap_swarm_at(seg, ap_load_relaxed(&ap_agent_at(seg, *ret_queue)->swarm));
    /* The record was that life's if the queue still has it. REG-A4 pairs REG-R4 */
    ap_fence_acquire();
    if (only->lane == NULL || only->swarm == NULL || ap_load_relaxed(&only->at->life) != only->life) return r;
    only->providers = row->providers;
    return r;
}

int ap_route(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, uint32_t not, uint32_t *ret_queue,
             uint64_t *ret_life)
{
    return route_any(seg, capability, -1, 0, balance, not, ret_queue, ret_life);
}

int ap_route_to(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint64_t number,
                uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.from_gate = q->passed};
    struct ap_pick p = {.seg = seg, .service = q->service, .not = AP_NO_QUEUE};
    uint32_t queue = AP_PROVIDER_QUEUE(number);
    struct ap_candidate c;
    struct ap_narrowed n;
    int r;

    if (row == NULL) return APIARY_ENOCAP;
    p.providers = row->providers;
    pick_begin(&p, capability, &nobody, 0);
    r = rules_narrow(&p, capability, q->caller, &n);
    if (r < 0) return r;
    if (queue >= seg->geometry.queues || !fill(&p, queue, &c) || AP_PROVIDER(queue, c.life) != number)
        return n.refused ? APIARY_EFORBIDDEN : APIARY_ENOPROVIDER;
    *ret_queue = queue;
    *ret_life = c.life;
    return 0;
}

/* ---- for observers (pick.h) --------------------------------------------------------------------------------------- */

void ap_pick_begin(struct ap_pick *p, uint32_t capability, const struct ap_balance *balance, uint64_t key)
{
    pick_begin(p, capability, balance, key);
}

int ap_pick_narrow(struct ap_pick *p, uint32_t capability, uint32_t caller, struct ap_narrowed *n)
{
    return has_narrows(p->seg, capability) ? pick_narrow(p, capability, caller, UINT32_MAX, n) : 0;
}

bool ap_pick_fill(const struct ap_pick *p, uint32_t queue, struct ap_candidate *c)
{
    return fill(p, queue, c);
}

void ap_pick_consider(struct ap_pick *p, uint32_t queue)
{
    consider(p, queue);
}

void ap_pick_sum(struct ap_pick *p)
{
    p->asking.loads = p->asking.weights = 0;
    if (p->policy->looks == AP_LOOKS_SUMS) each_provider(p, 0, each_summed);
}

void ap_pick_each(struct ap_pick *p, bool (*each)(struct ap_pick *p, uint32_t queue))
{
    each_provider(p, 0, each);
}
