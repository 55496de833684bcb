/* registry/routing/router.c - TaskRouter and LoadBalancer. See router.h. */
#include "registry/routing/router.h"

#include "registry/routing/terms.h"

/* One pick under way. */
struct pick {
    const struct ap_segment *seg;
    const uint64_t *providers; /* of the capability */
    const struct ap_balance *balance;
    int service;
    uint32_t not, policy;
    bool scored; /* best_score is there: an only candidate's is nobody's business */
    struct ap_candidate best;
    uint64_t best_score;
};

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

/* The depth that the consumer last published, or the number of references in this lane's inlet that the consumer had not taken by
 * then: the larger of both, since the former may count the latter. An error of a few tasks corrects itself at the consumer's next
 * turn. */
static uint64_t load_of(const struct ap_segment *seg, const struct ap_balance *balance, uint32_t queue)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint64_t depth = ap_load_relaxed(&q->depth), own = 0;

    if (balance->producers != NULL) {
        const struct ap_producer *p = &balance->producers[queue];
        if (p->opened && !p->shared) own = p->tail - ap_load_relaxed(&p->ring->head);
        if (own > seg->geometry.queue_depth) own = 0;
    }
    return (own > depth ? own : depth) + ap_load_relaxed(&q->running);
}

static uint64_t score_of(const struct pick *p, struct ap_candidate *c)
{
    c->load = load_of(p->seg, p->balance, c->queue);
    return ap_policies[p->policy].score(p->balance, c);
}

AP_ALWAYS_INLINE void consider(struct pick *p, uint32_t queue)
{
    struct ap_candidate c = {.queue = queue};
    uint64_t score;

    if (queue == p->not || !candidate(p, queue, &c.life)) return;
    if (p->best.queue != AP_NO_QUEUE) {
        score = score_of(p, &c);
        if (!p->scored) p->best_score = score_of(p, &p->best);
        p->scored = true;
        if (score >= p->best_score) return;
        p->best_score = score;
    }
    p->best = c;
}

/* Round once, beginning behind the last pick, so that equals take turns: the word of the turn comes first and last. */
static void consider_all(struct pick *p, uint32_t words, uint32_t turn)
{
    for (uint32_t n = 0, word = turn / 64; n <= words; n++, word = word + 1 < words ? word + 1 : 0) {
        uint64_t bits = ap_load_acquire(&p->providers[word]); /* DISC-A2 pairs DISC-R2 */

        if (n == 0) bits &= UINT64_MAX << turn % 64;
        if (n == words) bits &= ~(UINT64_MAX << turn % 64);
        for (; bits != 0; bits &= bits - 1) consider(p, word * 64 + (uint32_t)__builtin_ctzll(bits));
    }
}

static __attribute__((noinline)) int route_among(struct pick *p, uint32_t capability, const struct ap_capability *row,
                                                 struct ap_balance *balance, uint32_t *ret_queue, uint64_t *ret_life)
{
    uint32_t queues = p->seg->geometry.queues;

    p->balance = balance;
    p->best.queue = AP_NO_QUEUE;
    p->scored = false;
    p->policy = (uint32_t)ap_term(p->seg, capability, row, AP_TERM_balance);
    consider_all(p, ap_provider_words(queues), balance->turn < queues ? balance->turn : 0);
    if (p->best.queue == AP_NO_QUEUE) return APIARY_ENOPROVIDER;
    balance->turn = p->best.queue + 1;
    *ret_queue = p->best.queue;
    *ret_life = p->best.life;
    return 0;
}

int ap_route_in(struct ap_segment *seg, uint32_t capability, int service, struct ap_balance *balance, uint32_t not,
                uint32_t *ret_queue, uint64_t *ret_life)
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
    if (only == AP_NO_QUEUE) return route_among(&p, capability, row, balance, ret_queue, ret_life);
    if (only == not || !candidate(&p, only, ret_life)) return APIARY_ENOPROVIDER;
    *ret_queue = only;
    return 0;
}

int ap_route_learn(struct ap_segment *seg, uint32_t capability, struct ap_balance *balance, struct ap_only *only,
                   uint32_t *ret_queue, uint64_t *ret_life)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    int r = ap_route_in(seg, capability, -1, balance, AP_NO_QUEUE, ret_queue, ret_life);

    only->providers = NULL;
    if (r < 0 || ap_provider_only(row->providers, ap_provider_words(seg->geometry.queues)) != *ret_queue) return r;
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
    return ap_route_in(seg, capability, -1, balance, not, ret_queue, ret_life);
}
