/* tools/view/capability.c - what capabilities declare, and what is in force, as JSON. See view.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "registry/routing/hedging.h"
#include "registry/routing/places.h"
#include "registry/routing/rules.h"
#include "registry/routing/target.h"
#include "tools/view/view.h"

uint32_t view_providers(const struct ap_segment *seg, uint32_t capability)
{
    uint32_t n = 0;
    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;)
        n++;
    return n;
}

/* Whether it was declared; what is in force in *ret. */
bool view_term(const struct ap_segment *seg, uint32_t capability, enum ap_term term, uint64_t *ret)
{
    return ap_load_relaxed(&ap_capability_at(seg, capability)->terms) != 0 ? ap_term_read(seg, capability, term, ret)
                                                                          : (*ret = ap_term_rows[term].otherwise, false);
}

static json_t *capability_rules_json(const struct ap_rules *rules)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct ap_rule *r = &rules->list[i];
        json_t *o = json_object();
        json_object_set_new(o, "rule", json_string(ap_rule_verb_name(r->verb)));
        json_object_set_new(o, "from", r->from[0] != '\0' ? json_string(r->from) : json_null());
        json_object_set_new(o, "to", r->to[0] != '\0' ? json_string(r->to) : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

json_t *view_hedging_json(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    if (!ap_hedging_allowed(seg, capability)) return json_null();
    uint64_t time = ap_hedging_time(seg, capability);
    return json_pack("{s:I, s:I, s:I, s:o}", "sent", (json_int_t)ap_load_relaxed(&row->hedged), "answered_first",
                     (json_int_t)ap_load_relaxed(&row->hedge_won), "held_back", (json_int_t)ap_load_relaxed(&row->hedge_held),
                     "p95_ns", time != 0 ? json_integer((json_int_t)time) : json_null());
}

char *view_hedging(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    char time[32] = "";
    if (!ap_hedging_allowed(seg, capability)) return NULL;
    if (ap_hedging_time(seg, capability) != 0) tool_format_duration(ap_hedging_time(seg, capability), time);
    return tool_format("hedged: %" PRIu64 " second copies, %" PRIu64 " of them answered first, %" PRIu64 " held back%s%s",
                       ap_load_relaxed(&row->hedged), ap_load_relaxed(&row->hedge_won), ap_load_relaxed(&row->hedge_held),
                       time[0] != '\0' ? "; 19 of 20 tasks end within " : "", time);
}

static json_t *capability_priorities_json(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    return json_pack("{s:I, s:I, s:I}", "urgent", (json_int_t)ap_load_relaxed(&row->urgent), "high",
                     (json_int_t)ap_load_relaxed(&row->high), "low", (json_int_t)ap_load_relaxed(&row->low));
}

/* Of one of which so many may run at once; else null. */
static json_t *capability_places_json(const struct ap_segment *seg, uint32_t capability)
{
    if (ap_places_bound(seg, capability) == 0) return json_null();
    return json_pack("{s:i, s:i, s:I}", "most", (int)ap_places_bound(seg, capability), "taken",
                     (int)ap_places_taken(seg, capability), "waited", (json_int_t)ap_places_waited(seg, capability));
}

static json_t *target_value_json(uint64_t value, double unit)
{
    return value == AP_TARGET_UNKNOWN ? json_null() : unit > 1 ? json_real((double)value / unit) : tool_json_number(value);
}

/* null: it has none. */
static json_t *capability_targets_json(const struct ap_segment *seg, uint32_t capability)
{
    struct ap_target_verdict v;
    json_t *o;
    if (!ap_target_read(seg, capability, &v)) return json_null();
    o = json_pack("{s:o}", "age_ns", v.age != AP_TARGET_UNKNOWN ? tool_json_number(v.age) : json_null());
    if (v.targets[AP_TARGET_SUCCESS] != 0)
        json_object_set_new(o, "success", json_pack("{s:s, s:f, s:o, s:o}", "state",
                                                    ap_target_state_name(v.states[AP_TARGET_SUCCESS]), "target",
                                                    (double)v.targets[AP_TARGET_SUCCESS] / 1e5, "short",
                                                    target_value_json(v.success[0], 1e6), "long",
                                                    target_value_json(v.success[1], 1e6)));
    if (v.targets[AP_TARGET_P99] != 0)
        json_object_set_new(o, "p99", json_pack("{s:s, s:o, s:o, s:o}", "state", ap_target_state_name(v.states[AP_TARGET_P99]),
                                                "target_ns", tool_json_number(v.targets[AP_TARGET_P99]), "short_ns",
                                                target_value_json(v.p99[0], 1), "long_ns", target_value_json(v.p99[1], 1)));
    return o;
}

/* Numbers in nanoseconds and bytes, as everywhere in JSON. */
json_t *view_capability_json(const struct ap_segment *seg, uint32_t capability)
{
    json_t *terms = json_object();
    char name[APIARY_CAPABILITY_MAX + 1];
    ap_capability_name(seg, capability, name);
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        const struct ap_term_row *row = &ap_term_rows[t];
        uint64_t value = 0;
        bool declared = view_term(seg, capability, t, &value);
        bool word = row->type == 'w' || ((row->type == 'n' || row->type == 't') && row->words(value) != NULL);
        if (row->type == 'r') continue;
        json_t *v = word               ? json_string(row->words(value) != NULL ? row->words(value) : "?")
                    : row->type == 'n' ? json_integer((json_int_t)ap_term_number(row, value))
                    : row->type == 'b' ? json_boolean(value != 0)
                    : row->type == 'p' ? json_real((double)value / 1000)
                                       : json_integer((json_int_t)value);
        json_object_set_new(terms, row->key, json_pack("{s:o, s:b}", "value", v, "declared", declared));
    }
    struct ap_rules rules = {.count = 0};
    ap_rules_of(seg, capability, &rules);
    return json_pack("{s:s, s:i, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "capability", name, "providers",
                     (int)view_providers(seg, capability), "terms", terms, "rules", capability_rules_json(&rules), "refused",
                     (json_int_t)ap_load_relaxed(&ap_terms_at(seg, capability)->refused), "fell_back",
                     (json_int_t)ap_load_relaxed(&ap_terms_at(seg, capability)->fell_back), "coalesced",
                     (json_int_t)ap_load_relaxed(&ap_terms_at(seg, capability)->coalesced), "hedging",
                     view_hedging_json(seg, capability), "homes", view_homes_json(seg, capability), "places",
                     capability_places_json(seg, capability), "priorities", capability_priorities_json(seg, capability), "targets",
                     capability_targets_json(seg, capability));
}

json_t *view_capabilities_json(const struct ap_segment *seg)
{
    json_t *list = json_array();
    for (uint32_t i = 0; ap_capability_at(seg, i) != NULL; i++) {
        char name[APIARY_CAPABILITY_MAX + 1];
        ap_capability_name(seg, i, name);
        if (name[0] != '\0') json_array_append_new(list, view_capability_json(seg, i));
    }
    return json_pack("{s:o}", "capabilities", list);
}
