/* registry/routing/homes.c - see homes.h. */
#include "registry/routing/homes.h"

#define TRIES 64 /* others have given the share a home, which has gone again */

/* A pick of a home, whoever asks: among all that the name means. */
struct homes_pick {
    struct ap_pick pick;
    struct ap_narrowed plain; /* memory of the pick */
    struct ap_homes *row;
    uint32_t leader; /* the index of the row; AP_NO_CAPABILITY: there is no candidate */
};

/* The first capability of a candidate's agent; AP_NO_CAPABILITY: the queue is another's by now. */
static uint32_t homes_first(const struct ap_candidate *c)
{
    uint32_t first = ap_load_relaxed(&c->agent->capabilities[0]);

    ap_fence_acquire(); /* REG-A4 pairs REG-R4 */
    return ap_load_relaxed(&c->at->life) == c->life ? first : AP_NO_CAPABILITY;
}

static bool each_leader(struct ap_pick *p, uint32_t queue)
{
    struct homes_pick *h = (struct homes_pick *)(void *)p; /* it is the first in it */
    struct ap_candidate c;
    uint32_t first;

    if (!ap_pick_fill(p, queue, &c)) return true;
    first = homes_first(&c);
    if (first < h->leader) h->leader = first;
    return true;
}

uint32_t ap_home_shares(const struct ap_homes *row, uint64_t provider)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < AP_HOMES; i++) n += ap_load_relaxed(&row->of[i]) == provider;
    return n;
}

/* Whether `a` is to get a share rather than `b`. */
static bool homes_better(const struct homes_pick *h, const struct ap_candidate *a, const struct ap_candidate *b)
{
    bool apart = AP_STANDS_APART(a->standing);
    uint64_t has, other, up = ap_load_relaxed(&a->swarm->up), other_up = ap_load_relaxed(&b->swarm->up);

    if (apart != AP_STANDS_APART(b->standing)) return !apart;
    has = ap_weighed(ap_home_shares(h->row, AP_PROVIDER(a->queue, a->life)) + UINT64_C(1), a);
    other = ap_weighed(ap_home_shares(h->row, AP_PROVIDER(b->queue, b->life)) + UINT64_C(1), b);
    if (has != other) return has < other;
    return up != other_up ? up < other_up : a->queue < b->queue;
}

static bool each_home(struct ap_pick *p, uint32_t queue)
{
    const struct homes_pick *h = (const struct homes_pick *)(const void *)p; /* it is the first in it */
    struct ap_candidate c;

    if (ap_pick_fill(p, queue, &c) && (p->best.queue == AP_NO_QUEUE || homes_better(h, &c, &p->best))) p->best = c;
    return true;
}

/* Whether the provider of a word is a candidate; it is `best` then. */
static bool homes_living(struct ap_pick *p, uint64_t word)
{
    uint32_t queue = AP_PROVIDER_QUEUE(word);

    bool lives = queue < p->seg->geometry.queues && ap_pick_fill(p, queue, &p->best) && AP_PROVIDER(queue, p->best.life) == word;

    if (!lives) p->best.queue = AP_NO_QUEUE;
    return lives;
}

/* Whether the share has a home now: `best`. */
static bool homes_settle(struct homes_pick *h, uint32_t share, bool take)
{
    uint64_t word = ap_load_acquire(&h->row->of[share]);

    for (int tries = 0; tries < TRIES; tries++) {
        if (homes_living(&h->pick, word)) return true;
        ap_pick_each(&h->pick, each_home);
        if (h->pick.best.queue == AP_NO_QUEUE) return false;
        if (!take) return true;
        if (ap_cas(&h->row->of[share], &word, AP_PROVIDER(h->pick.best.queue, h->pick.best.life))) return true;
    }
    return false;
}

/* Begins as `p` does, but for what is the caller's own: its rules, its service. */
static bool homes_begin(struct homes_pick *h, const struct ap_pick *p, const struct ap_narrowed *n)
{
    h->pick = *p;
    h->pick.service = -1;
    h->pick.not = AP_NO_QUEUE;
    h->pick.narrowed = NULL;
    if (n->plain) {
        h->plain = *n;
        h->plain.by_major = false;
        ap_rules_none(&h->plain.rules);
        h->pick.narrowed = &h->plain;
    }
    h->leader = AP_NO_CAPABILITY;
    ap_pick_each(&h->pick, each_leader);
    h->row = ap_homes_at(p->seg, h->leader);
    return h->row != NULL;
}

int ap_home_pick(struct ap_pick *p, const struct ap_narrowed *n, bool take)
{
    struct homes_pick h;
    struct ap_candidate own;

    if (!homes_begin(&h, p, n) || !homes_settle(&h, ap_home_share(p->asking.key), take)) return APIARY_ENOPROVIDER;
    if (h.pick.best.queue == p->not) return APIARY_ENOPROVIDER;
    if (!ap_pick_fill(p, h.pick.best.queue, &own)) return p->narrowed != NULL ? APIARY_EFORBIDDEN : APIARY_ENOPROVIDER;
    p->best = h.pick.best;
    return 0;
}

/* As one that only looks. */
static bool homes_look(struct homes_pick *h, const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.from_gate = q->passed};
    struct ap_pick p = {.seg = seg, .service = q->service, .not = AP_NO_QUEUE};
    struct ap_narrowed n = {.plain = false};

    if (row == NULL) return false;
    p.providers = row->providers;
    ap_pick_begin(&p, capability, &nobody, q->key);
    return ap_pick_narrow(&p, capability, q->caller, &n) == 0 && homes_begin(h, &p, &n);
}

bool ap_home_elsewhere(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint32_t queue)
{
    struct homes_pick h;

    if (!homes_look(&h, seg, capability, q)) return false;
    return homes_living(&h.pick, ap_load_acquire(&h.row->of[ap_home_share(q->key)])) && h.pick.best.queue != queue;
}

const struct ap_homes *ap_home_row(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_route_question anybody = {.service = 0, .passed = AP_PASSED}; /* no rules for one that asks within a service */
    struct homes_pick h;

    return homes_look(&h, seg, capability, &anybody) ? h.row : NULL;
}

/* ---- its part ----------------------------------------------------------------------------------------------------- */

static void look_homes(struct ap_look *look)
{
    struct ap_homes *row = ap_homes_at(look->seg, look->index);

    for (uint32_t i = 0; i < AP_HOMES; i++) {
        uint64_t word = ap_look_64(look, &row->of[i]), life;
        const struct ap_queue *q = ap_queue_at(look->seg, AP_PROVIDER_QUEUE(word));

        if (word == 0) continue;
        life = q != NULL ? ap_look_64(look, &q->life) : 0;
        if (q == NULL)
            ap_look_found(look, AP_CORRUPT, &row->of[i], word, "H1", "queue %u is out of range", AP_PROVIDER_QUEUE(word));
        else if (word >> 16 > AP_QUEUE_EPOCH(life))
            ap_look_found(look, AP_CORRUPT, &row->of[i], word ^ life, "H1", "queue %u has not been opened so often",
                          AP_PROVIDER_QUEUE(word));
    }
}

/* One for each capability. */
static uint64_t homes_rows(const struct ap_geometry *g)
{
    return AP_REGISTRY_NUMBER(g, CAPABILITIES);
}

static const struct ap_field homes_fields[] = {AP_FIELD(ap_homes, of), {NULL, 0, 0}};
const struct ap_part ap_part_homes = {
    .name = "homes", .element = "homes", .size = sizeof(struct ap_homes), .count = homes_rows, .fields = homes_fields,
    .numbers = AP_NO_NUMBERS, .look = look_homes, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
