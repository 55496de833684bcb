/* shm/cost.c - what finding, picking and recovering take; its part. See cost.h. */
#include "shm/cost.h"

#include "shm/lane.h"
#include "shm/part.h"

static const uint32_t powers[] = {
#define X(id, name, power, what) power,
    AP_COST_TIMES(X)
#undef X
};

uint32_t ap_cost_power(enum ap_cost_time kind)
{
    return powers[kind];
}

uint64_t ap_cost_lower(enum ap_cost_time kind, uint32_t bucket)
{
    return bucket == 0 ? 0 : (UINT64_C(4) + (bucket - 1) % 4) << (powers[kind] - 2 + (bucket - 1) / 4);
}

/* By the exponent and the first two bits of a double, as in times.h. */
static uint32_t cost_bucket(uint64_t ns, uint32_t power)
{
    double exact = (double)(int64_t)ns;
    uint64_t bits;

    if (ns >> power == 0) return 0;
    memcpy(&bits, &exact, sizeof bits);
    bits = (bits >> 50) - ((1023 + power) * 4 - 1);
    return bits < AP_COST_ABOVE ? (uint32_t)bits : AP_COST_ABOVE;
}

void ap_cost_took(struct ap_costs *c, enum ap_cost_time kind, uint64_t ns)
{
    if (c == NULL) return;
    ap_own_add(&c->times[kind].buckets[cost_bucket(ns, powers[kind])], 1);
    ap_own_add(&c->times[kind].sum, ns);
}

void ap_cost_event(const struct ap_segment *seg, uint32_t lane, uint32_t kind)
{
    struct ap_costs *c = ap_costs_at(seg, lane);

    if (c == NULL) c = ap_costs_at(seg, 0); /* it names no lane */
    if (c != NULL && kind < AP_EVENT_KINDS) ap_add_relaxed(&c->events[kind], 1);
}

/* ---- read ------------------------------------------------------------------------------------------------------- */

static void costs_add(struct ap_costs *to, const struct ap_costs *c)
{
    for (uint32_t i = 0; i < AP_PICKS_END; i++) to->picks[i] += ap_load_relaxed(&c->picks[i]);
    for (uint32_t i = 0; i < AP_EVENT_KINDS; i++) to->events[i] += ap_load_relaxed(&c->events[i]);
    for (uint32_t k = 0; k < AP_COST_TIMES_END; k++) {
        to->times[k].sum += ap_load_relaxed(&c->times[k].sum);
        for (uint32_t i = 0; i < AP_COST_BUCKETS; i++) to->times[k].buckets[i] += ap_load_relaxed(&c->times[k].buckets[i]);
    }
}

void ap_costs_read(const struct ap_segment *seg, struct ap_costs *ret)
{
    memset(ret, 0, sizeof *ret);
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_COSTS].count; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);

        /* One that nobody has had yet has no counts. */
        if (i == 0 || (lane != NULL && ap_load_relaxed(&lane->life) != 0)) costs_add(ret, ap_costs_at(seg, i));
    }
}

uint64_t ap_cost_count(const struct ap_cost_spread *s)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < AP_COST_BUCKETS; i++) n += s->buckets[i];
    return n;
}

/* Of the bucket the point that is as far from both edges, relative to them. */
uint64_t ap_cost_quantile(const struct ap_cost_spread *s, enum ap_cost_time kind, double q)
{
    uint64_t count = ap_cost_count(s), seen = 0;
    double rank = q * (double)count;

    for (uint32_t i = 0; i < AP_COST_BUCKETS; i++) {
        double lower = (double)ap_cost_lower(kind, i), upper = (double)ap_cost_lower(kind, i + 1);

        seen += s->buckets[i];
        if (seen == 0 || (double)seen < rank) continue;
        return (uint64_t)(i == 0 || i == AP_COST_ABOVE ? lower : 2 * lower * upper / (lower + upper));
    }
    return 0;
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static uint64_t costs_count(const struct ap_geometry *g)
{
    return g->lanes;
}

static const struct ap_field costs_fields[] = {
    AP_FIELD(ap_costs, picks), AP_FIELD(ap_costs, times), AP_FIELD(ap_costs, events), {NULL, 0, 0},
};
const struct ap_part ap_part_costs = {
    .name = "costs", .element = "costs", .size = sizeof(struct ap_costs), .count = costs_count, .fields = costs_fields,
    .numbers = AP_NO_NUMBERS, .look = ap_look_nothing, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
