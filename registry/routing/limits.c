/* registry/routing/limits.c - rate and bound of a capability. See limits.h. */
#include "registry/routing/limits.h"

#define SECOND UINT64_C(1000000000)

static uint64_t limit_of_term(const struct ap_segment *seg, uint32_t capability, enum ap_term term)
{
    return ap_term(seg, capability, ap_capability_at(seg, capability), term);
}

bool ap_limits_any(const struct ap_segment *seg, uint32_t capability)
{
    return limit_of_term(seg, capability, AP_TERM_rate) != 0 || limit_of_term(seg, capability, AP_TERM_queue_limit) != 0;
}

/* Pays for one task: 0, or how long until there is something to pay with. */
static uint64_t rate_pay(const struct ap_segment *seg, uint32_t capability, uint64_t rate)
{
    uint64_t interval = SECOND / rate, ahead = (limit_of_term(seg, capability, AP_TERM_burst) - 1) * interval;
    uint64_t *paid = &ap_terms_at(seg, capability)->paid, seen = ap_load_relaxed(paid), now = seg->ops->now(), from;

    do {
        from = seen > now && seen - now <= ahead + interval ? seen : now;
        if (from - now > ahead) return from - now - ahead;
    } while (!ap_cas(paid, &seen, from + interval));
    return 0;
}

bool ap_limits_room(const struct ap_segment *seg, uint32_t capability, uint32_t queue)
{
    uint64_t limit = limit_of_term(seg, capability, AP_TERM_queue_limit);

    return limit == 0 || ap_queue_depth(seg, queue) < limit;
}

int ap_limits_admit(const struct ap_segment *seg, uint32_t capability, uint32_t queue, uint64_t *ret_after)
{
    uint64_t rate = limit_of_term(seg, capability, AP_TERM_rate);
    int r = 0;

    if (!ap_limits_room(seg, capability, queue)) r = APIARY_EQUEUEFULL;
    else if (rate != 0 && (*ret_after = rate_pay(seg, capability, rate)) != 0) r = APIARY_ERATE;
    if (r < 0) ap_add_relaxed(&ap_queue_at(seg, queue)->refused, 1);
    return r;
}
