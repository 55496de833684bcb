/* registry/routing/fallback.c - the capability that stands in for one without a provider, and the one that has its tasks first. See
 * rules.h. */
#include <string.h>

#include "registry/routing/router.h"
#include "registry/routing/rules.h"

int ap_rules_fallback(const struct ap_segment *seg, uint32_t capability)
{
    struct ap_rules rules;

    if (!ap_rules_of(seg, capability, &rules)) return -1;
    for (uint32_t i = 0; i < rules.count; i++)
        if (rules.list[i].verb == AP_RULE_FALLBACK) return ap_capability_find(seg, rules.list[i].to, strlen(rules.list[i].to));
    return -1;
}

bool ap_rules_via(const struct ap_segment *seg, uint32_t capability, int *ret)
{
    struct ap_rules_asked asked;
    const struct ap_rule *rule;

    ap_rules_ask(&asked, seg, capability, 0);
    rule = ap_rules_gate(&asked);
    if (rule == NULL) return false;
    *ret = ap_capability_find(seg, rule->to, strnlen(rule->to, sizeof rule->to));
    return true;
}

/* Whether it has a provider, or the gate that has its tasks first has one. */
static bool fallback_there(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q)
{
    int gate;

    if (ap_rules_via(seg, capability, &gate)) return gate >= 0 && ap_route_look(seg, (uint32_t)gate, q) == 0;
    return ap_route_look(seg, capability, q) == 0;
}

int ap_route_stand_in(const struct ap_segment *seg, uint32_t capability, uint32_t caller)
{
    const struct ap_route_question q = {.service = -1, .caller = caller};
    int next = ap_rules_fallback(seg, capability);

    for (uint32_t n = 0; n < AP_FALLBACKS && next >= 0; n++, next = ap_rules_fallback(seg, (uint32_t)next))
        if (fallback_there(seg, (uint32_t)next, &q)) return next;
    return -1;
}
