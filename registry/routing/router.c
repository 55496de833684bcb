/* registry/routing/router.c - TaskRouter and LoadBalancer. See router.h. */
#include "registry/routing/router.h"

#include "core/hash.h"
#include "registry/routing/limits.h"
#include "registry/routing/terms.h"

#define PLACE (UINT64_C(1) << 24) /* a pick at the weight 1, in rounds */
#define LOAD_FRESH UINT64_C(1000000)

/* One pick under way. */
struct pick {
    const struct ap_segment *seg;
    const uint64_t *providers; /* of the capability */
    const struct ap_balance *balance;
    int service;
    uint32_t not;
    const struct ap_policy *policy;
    uint64_t slow_start;
    const struct ap_majors *plain; /* NULL, or only those that offer that name without a major */
    struct ap_asking asking;
    bool scored; /* best_score is there */
    struct ap_candidate best;
    uint64_t best_score;
};

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
AP_ALWAYS_INLINE bool candidate(const struct pick *p, uint32_t queue, uint64_t *ret)
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

enum ap_standing ap_route_swarm(const struct ap_swarm *swarm, uint64_t now)
{
    uint64_t beat = ap_load_relaxed(&swarm->beat);
    uint32_t state = ap_load_relaxed(&swarm->state);

    if (now > beat && now - beat >= AP_SILENT) return AP_STANDS_SILENT;
    if (state == APIARY_WARNING || state == APIARY_CRITICAL) return AP_STANDS_STUCK;
    return ap_swarm_weight(swarm) == 0 ? AP_STANDS_WEIGHTLESS : AP_STANDS_WELL;
}

bool ap_route_stuck(const struct ap_swarm *swarm, uint64_t now)
{
    return ap_route_swarm(swarm, now) == AP_STANDS_SILENT || ap_load_relaxed(&swarm->state) == APIARY_CRITICAL;
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
static uint32_t weight_of(const struct pick *p, const struct ap_swarm *swarm)
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

/* All that a policy may look at. */
static bool fill(const struct pick *p, uint32_t queue, struct ap_candidate *c)
{
    c->queue = queue;
    if (!candidate(p, queue, &c->life)) return false;
    c->at = ap_queue_at(p->seg, queue);
    c->agent = ap_agent_at(p->seg, queue);
    c->swarm = ap_swarm_at(p->seg, ap_load_relaxed(&c->agent->swarm));
    if (c->swarm == NULL) return false;
    if (__builtin_expect(p->plain != NULL, 0) && ap_major_newest(p->plain, c->agent) != 0) return false;
    c->load = load_of(p->seg, p->balance, queue, p->asking.now);
    c->weight = weight_of(p, c->swarm);
    c->standing = standing_of(c, p->asking.now);
    return true;
}

/* ---- the choice ------------------------------------------------------------------------------------------------- */

static void consider(struct pick *p, uint32_t queue)
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

/* Round once, beginning behind the last pick, so that equals take turns: the word of the turn comes first and last. Stops when
 * `each` says so. */
static bool each_provider(struct pick *p, uint32_t turn, bool (*each)(struct pick *p, uint32_t queue))
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues);

    for (uint32_t n = 0, word = turn / 64; n <= words; n++, word = word + 1 < words ? word + 1 : 0) {
        uint64_t bits = ap_load_acquire(&p->providers[word]); /* DISC-A2 pairs DISC-R2 */

        if (n == 0) bits &= UINT64_MAX << turn % 64;
        if (n == words) bits &= ~(UINT64_MAX << turn % 64);
        for (; bits != 0; bits &= bits - 1)
            if (!each(p, word * 64 + (uint32_t)__builtin_ctzll(bits))) return false;
    }
    return true;
}

static bool each_considered(struct pick *p, uint32_t queue)
{
    consider(p, queue);
    return true;
}

static bool each_summed(struct pick *p, uint32_t queue)
{
    struct ap_candidate c;

    if (queue == p->not || !fill(p, queue, &c) || AP_STANDS_APART(c.standing)) return true;
    p->asking.loads += c.load;
    p->asking.weights += c.weight;
    return true;
}

/* One that is on trial gets this task, if it is the first to come. */
static bool each_tried(struct pick *p, uint32_t queue)
{
    struct ap_queue *q = ap_queue_at(p->seg, queue);
    struct ap_candidate c;

    if (q == NULL || __builtin_expect(ap_load_relaxed(&q->until) == 0, 1)) return true;
    if (queue == p->not || !fill(p, queue, &c) || c.standing != AP_STANDS_TRIAL || !ap_queue_probe(q, p->asking.now)) return true;
    p->best = c;
    return false;
}

/* The queue of the so many-th bit that is set. */
static uint32_t nth_provider(const struct pick *p, uint32_t n)
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues);

    for (uint32_t word = 0; word < words; word++) {
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

static uint32_t providers_count(const struct pick *p)
{
    uint32_t words = ap_provider_words(p->seg->geometry.queues), count = 0;

    for (uint32_t word = 0; word < words; word++)
        count += (uint32_t)__builtin_popcountll(ap_load_acquire(&p->providers[word])); /* DISC-A2 pairs DISC-R2 */
    return count;
}

/* Two at random, and more while the better one has something to do: among many there is mostly one that is idle. Many that are all
 * at work say that most are, and the best of those is as good as any. False: there are few, or none of these passes. */
static bool some_considered(struct pick *p, struct ap_balance *balance)
{
    uint32_t count = providers_count(p), n = 0;

    if (count <= AP_CANDIDATES_MANY) return false;
    do
        consider(p, nth_provider(p, (uint32_t)(draw(balance) >> 32) % count));
    while (++n < 2 || (n < AP_CANDIDATES_DRAWN && (p->best.queue == AP_NO_QUEUE || p->best.load > 0)));
    return p->best.queue != AP_NO_QUEUE && !AP_STANDS_APART(p->best.standing);
}

/* Its place moves on by what its weight makes of one task. */
static void passed_on(struct pick *p, struct ap_balance *balance)
{
    uint64_t *place;

    if (balance->places == NULL) return;
    place = &balance->places[p->best.queue];
    if (*place < balance->passed) *place = balance->passed;
    balance->passed = *place;
    *place += PLACE / p->best.weight;
}

static void pick_begin(struct pick *p, uint32_t capability, const struct ap_balance *balance, uint64_t key)
{
    const struct ap_capability *row = ap_capability_at(p->seg, capability);

    p->balance = balance;
    p->best.queue = AP_NO_QUEUE;
    p->scored = false;
    p->plain = NULL;
    p->policy = &ap_policies[ap_term(p->seg, capability, row, AP_TERM_balance)];
    p->slow_start = ap_term(p->seg, capability, row, AP_TERM_slow_start);
    p->asking = (struct ap_asking){.now = p->seg->ops->now(), .key = key, .passed = balance->passed, .places = balance->places};
}

/* ---- what a name without a major means (majors.h) ---------------------------------------------------------------- */

AP_ALWAYS_INLINE bool has_majors(const struct ap_segment *seg, uint32_t capability)
{
    return __builtin_expect(ap_load_relaxed(&ap_capability_at(seg, capability)->majors) != 0, 0);
}

/* Whether not each provider of the name may have the task, though it be the only one. */
static bool bare_narrow(const struct ap_segment *seg, uint32_t capability)
{
    uint64_t bare = ap_term(seg, capability, ap_capability_at(seg, capability), AP_TERM_bare);

    return bare != AP_BARE_NEWEST && bare != AP_BARE_ANY;
}

/* A pick that only looks which majors there are. */
struct looked {
    struct pick pick;
    struct ap_majors *all;
};

static bool each_major(struct pick *p, uint32_t queue)
{
    struct ap_majors *all = ((struct looked *)(void *)p)->all; /* it is the first in it */
    struct ap_candidate c;

    if (fill(p, queue, &c)) ap_majors_add(all, c.agent, !AP_STANDS_APART(c.standing));
    return true;
}

/* Narrows a pick that has begun to the major that the name means. `all` is its memory. 0, APIARY_ENOMAJOR; APIARY_ENOPROVIDER if
 * nobody of that major is there. */
static __attribute__((noinline)) int majors_narrow(struct pick *p, uint32_t capability, uint32_t drawn,
                                                     struct ap_majors *all)
{
    uint64_t bare = ap_term(p->seg, capability, ap_capability_at(p->seg, capability), AP_TERM_bare);
    struct looked looked = {*p, all};
    int at;

    if (bare == AP_BARE_ERROR) return APIARY_ENOMAJOR;
    ap_majors_begin(all, p->seg, capability);
    each_provider(&looked.pick, 0, each_major);
    at = ap_majors_choose(all, bare, drawn);
    if (at == -2) return APIARY_ENOPROVIDER;
    if (at >= 0 && all->list[at].major == 0) p->plain = all;
    else if (at >= 0) p->providers = ap_capability_at(p->seg, all->list[at].capability)->providers;
    return 0;
}

/* The number that decides whether a task is a canary's. */
static uint32_t majors_drawn(struct ap_balance *balance)
{
    return (uint32_t)((draw(balance) >> 32) * 100 >> 32);
}

/* ---- a pick -------------------------------------------------------------------------------------------------------- */

/* The first turn of a lane is any provider's: from a place among all queues most would come to the same one, behind a gap. */
static uint32_t first_turn(const struct pick *p, struct ap_balance *balance)
{
    uint32_t count = providers_count(p);

    return count > 0 ? nth_provider(p, (uint32_t)(draw(balance) >> 32) % count) : 0;
}

static __attribute__((noinline)) int route_among(struct pick *p, uint32_t capability, uint64_t key, struct ap_balance *balance,
                                                 uint32_t *ret_queue, uint64_t *ret_life)
{
    uint32_t turn = balance->turn;
    struct ap_majors all;
    int r;

    if (turn == AP_NO_QUEUE) turn = first_turn(p, balance);
    if (turn >= p->seg->geometry.queues) turn = 0;
    pick_begin(p, capability, balance, key);
    if (has_majors(p->seg, capability)) {
        r = majors_narrow(p, capability, majors_drawn(balance), &all);
        if (r < 0) return r;
    }
    if (p->policy->looks == AP_LOOKS_SUMS) each_provider(p, turn, each_summed);
    if (key != 0 || each_provider(p, turn, each_tried)) {
        if (p->policy->looks != AP_LOOKS_SOME || !some_considered(p, balance)) each_provider(p, turn, each_considered);
    }
    if (p->best.queue == AP_NO_QUEUE) return APIARY_ENOPROVIDER;
    balance->turn = p->best.queue + 1;
    passed_on(p, balance);
    *ret_queue = p->best.queue;
    *ret_life = p->best.life;
    return 0;
}

AP_ALWAYS_INLINE int route_any(struct ap_segment *seg, uint32_t capability, int service, uint64_t key, struct ap_balance *balance,
                              uint32_t not, uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    struct pick p;
    uint32_t only;

    if (row == NULL) return APIARY_ENOCAP;
    p.seg = seg;
    p.service = service;
    p.not = not;
    p.providers = row->providers;
    only = ap_provider_only(row->providers, ap_provider_words(seg->geometry.queues));
    if (only == AP_NO_QUEUE || (has_majors(seg, capability) && bare_narrow(seg, capability)))
        return route_among(&p, capability, key, balance, ret_queue, ret_life);
    if (only == not || !candidate(&p, only, ret_life)) return APIARY_ENOPROVIDER;
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

int ap_route_learn(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, struct ap_only *only,
                   uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    int r = ap_route_in(seg, capability, -1, balance, AP_NO_QUEUE, ret_queue, ret_life);

    only->providers = NULL;
    if (r < 0 || ap_provider_only(row->providers, ap_provider_words(seg->geometry.queues)) != *ret_queue) return r;
    if (has_majors(seg, capability) && bare_narrow(seg, capability)) return r;
    if (ap_load_relaxed(&row->terms) != 0 && ap_limits_any(seg, capability)) return r;
    for (uint32_t word = 0; word < 2; word++)
        only->expected[word] = word == *ret_queue / 64 ? UINT64_C(1) << *ret_queue % 64 : 0;
    only->queue = *ret_queue;
    only->words = ap_provider_words(seg->geometry.queues);
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

int ap_route_may(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);

    if (row == NULL) return APIARY_ENOCAP;
    return has_majors(seg, capability) && ap_term(seg, capability, row, AP_TERM_bare) == AP_BARE_ERROR ? APIARY_ENOMAJOR : 0;
}

/* ---- for observers ---------------------------------------------------------------------------------------------- */

/* The pick of somebody who only looks. */
struct explained {
    struct pick any, pick; /* among all; among those that the name means */
    bool may;              /* the name means something that is there */
    struct ap_majors majors;
    struct ap_route_view *views;
    uint32_t capacity;
    int count, best;
};

static void explain_major(struct ap_route_view *view, const struct ap_majors *all)
{
    view->major = ap_major_newest(all, view->candidate.agent);
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->list[i].major != view->major) continue;
        view->canary = all->list[i].canary;
        view->percent = all->list[i].percent;
    }
}

static bool each_explained(struct pick *any, uint32_t queue)
{
    struct explained *e = (struct explained *)(void *)any; /* it is the first in it */
    struct pick *p = &e->pick;
    struct ap_route_view view = {.fits = false};

    view.fits = fill(any, queue, &view.candidate);
    if (view.fits) view.score = p->policy->score(&p->asking, &view.candidate);
    if (view.fits) explain_major(&view, &e->majors);
    view.meant = e->may && view.fits && fill(p, queue, &view.candidate);
    if (view.meant) consider(p, queue);
    if (view.meant && p->best.queue == queue) e->best = e->count;
    if ((uint32_t)e->count < e->capacity) e->views[e->count] = view;
    e->count++;
    return true;
}

int ap_route_explain(struct ap_segment *seg, uint32_t capability, int service, uint64_t key, struct ap_route_view *ret,
                     uint32_t capacity, int *ret_best)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.turn = 0};
    struct explained e = {.pick = {.seg = seg, .service = service, .not = AP_NO_QUEUE}, .may = true, .views = ret,
                          .capacity = capacity, .best = -1};

    if (row == NULL) return APIARY_ENOCAP;
    e.pick.providers = row->providers;
    pick_begin(&e.pick, capability, &nobody, key);
    e.any = e.pick;
    ap_majors_begin(&e.majors, seg, capability);
    if (has_majors(seg, capability)) e.may = majors_narrow(&e.pick, capability, UINT32_MAX, &e.majors) == 0;
    if (e.pick.policy->looks == AP_LOOKS_SUMS) each_provider(&e.pick, 0, each_summed);
    each_provider(&e.any, 0, each_explained);
    *ret_best = e.best;
    return e.count;
}

bool ap_route_elsewhere(const struct ap_segment *seg, uint32_t capability, int service, uint32_t queue)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.turn = 0};
    struct pick p = {.seg = seg, .service = service, .not = queue};
    struct ap_majors all;

    if (row == NULL) return false;
    p.providers = row->providers;
    pick_begin(&p, capability, &nobody, 0);
    if (has_majors(seg, capability) && majors_narrow(&p, capability, UINT32_MAX, &all) < 0) return false;
    each_provider(&p, 0, each_considered);
    return p.best.queue != AP_NO_QUEUE && !AP_STANDS_APART(p.best.standing);
}
