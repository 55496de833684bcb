/* tests/process/corrupt_oracle_rules.h - what the oracle knows of sets of rules, who names them and who holds them. */
#ifndef CORRUPT_ORACLE_RULES_H
#define CORRUPT_ORACLE_RULES_H

#include "registry/routing/rule_sets.h"
#include "tests/process/corrupt_oracle_base.h"

static bool rule_named(const char name[48], bool needed)
{
    size_t n = strnlen(name, 48);

    for (size_t i = n; i < 48; i++)
        if (name[i] != '\0') return false;
    return n == 0 ? !needed : n < 48 && ap_name_valid(name, 47);
}

/* A set that a term names is there. */
static void oracle_ruled(struct oracle *o, uint32_t capability, const uint64_t *word)
{
    uint64_t value = *word & 0xffffffffffff;
    const struct ap_rule_set *set = value != 0 ? ap_rule_set_at(o->seg, (value - 1) & 0xfff) : NULL;

    if (value == 0) return;
    HOLDS(ap_capability_at(o->seg, capability)->rules == 1, "terms", capability, ap_capability_at(o->seg, capability)->rules);
    HOLDS(set != NULL && (set->life & 0xff) >= AP_RULES_READY && set->life >> 24 == (value - 1) >> 12, "terms", capability, *word);
}

static void oracle_rules(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_RULES].count; i++) {
        const struct ap_rule_set *set = ap_rule_set_at(o->seg, i);
        bool possible = set->count >= 1 && set->count <= AP_RULES_MAX;

        uint32_t state = set->life & 0xff, lane = set->life >> 8 & 0xffff;
        bool named = state == AP_RULES_FILLING || state == AP_RULES_CONDEMNED;

        HOLDS(state <= AP_RULES_CONDEMNED && lane < (named ? o->seg->geometry.lanes : 1), "rules", i, set->life);
        HOLDS(set->life >> 59 == 0, "rules", i, set->life);
        HOLDS(set->reserved == 0, "rules", i, set->reserved);
        if (state == AP_RULES_FILLING) HOLDS(lane_is(o, lane) == LANE_LIVE, "rules", i, set->life);
        if (set->life == 0) ZEROS("rules", i, &set->key, set + 1);
        if (state < AP_RULES_READY || state > AP_RULES_CONDEMNED) continue;
        for (uint32_t k = 0; possible && k < set->count; k++) {
            const struct ap_rule *r = &set->list[k];
            bool targets = r->verb == AP_RULE_PREFER || r->verb == AP_RULE_FORBID;
            size_t to = strnlen(r->to, 64);

            possible = r->verb >= 1 && r->verb <= 5 && r->reserved == 0 && rule_named(r->from, r->verb <= 2) && to < 64;
            for (size_t at = to; possible && at < 64; at++) possible = r->to[at] == '\0';
            if (r->verb == 5) possible = possible && r->from[0] == '\0' && ap_capability_valid(r->to);
            else possible = possible && (targets ? ap_name_valid(r->to, 47) : to == 0);
        }
        HOLDS(possible, "rules", i, set->count);
        if (possible) HOLDS(ap_hash(set->list, set->count * sizeof set->list[0]) == set->key, "rules", i, set->key);
    }
}

static void oracle_rule_holds(struct oracle *o)
{
    uint32_t sets = (uint32_t)o->seg->sections[AP_SECTION_RULES].count; /* fewer than 64 */

    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_RULE_HOLDS].count; i++) {
        const struct ap_rule_holds *h = ap_rule_holds_at(o->seg, i);

        HOLDS(h->epoch <= ap_lane_at(o->seg, i)->life >> 8, "holds", i, h->epoch);
        HOLDS(h->bits[0] >> sets == 0, "holds", i, h->bits[0]);
    }
}

#endif
