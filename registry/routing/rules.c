/* registry/routing/rules.c - who may ask for a capability, and which providers get whose tasks. See rules.h. */
#include "registry/routing/rules.h"

#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "core/text.h"
#include "registry/routing/rule_sets.h"
#include "registry/routing/terms.h"

const char *ap_rule_verb_name(uint32_t verb)
{
    static const char *const names[AP_RULE_VERBS] = {NULL, "allow", "deny", "prefer", "forbid", "fallback", "via"};

    return verb < AP_RULE_VERBS ? names[verb] : NULL;
}

static bool rule_targets(const struct ap_rule *r)
{
    return r->verb == AP_RULE_PREFER || r->verb == AP_RULE_FORBID;
}

void ap_rule_print(const struct ap_rule *r, char *text, size_t size)
{
    const char *verb = ap_rule_verb_name(r->verb);

    if (verb == NULL) snprintf(text, size, "?");
    else if (r->verb == AP_RULE_FALLBACK || r->verb == AP_RULE_VIA) snprintf(text, size, "%s %s", verb, r->to);
    else if (!rule_targets(r)) snprintf(text, size, "%s %s", verb, r->from);
    else if (r->from[0] == '\0') snprintf(text, size, "%s %s", verb, r->to);
    else snprintf(text, size, "%s %s for %s", verb, r->to, r->from);
}

/* A text of at most size - 1 bytes, and zeros behind it; its length, or -1. */
static int rule_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    for (size_t i = n; i < size; i++)
        if (text[i] != '\0') return -1;
    return n < size ? (int)n : -1;
}

static bool rule_valid(const struct ap_rule *r)
{
    int from = rule_text(r->from, sizeof r->from), to = rule_text(r->to, sizeof r->to);

    if (from < 0 || to < 0 || r->reserved != 0 || (from > 0 && !ap_name_valid(r->from, APIARY_NAME_MAX))) return false;
    switch (r->verb) {
    case AP_RULE_ALLOW:
    case AP_RULE_DENY: return from > 0 && to == 0;
    case AP_RULE_PREFER:
    case AP_RULE_FORBID: return ap_name_valid(r->to, APIARY_NAME_MAX);
    case AP_RULE_FALLBACK:
    case AP_RULE_VIA: return from == 0 && ap_capability_valid(r->to);
    default: return false;
    }
}

bool ap_rules_valid(const struct ap_rules *rules)
{
    if (rules->count == 0 || rules->count > AP_RULES_MAX || rules->reserved != 0) return false;
    for (uint32_t i = 0; i < rules->count; i++)
        if (!rule_valid(&rules->list[i])) return false;
    return true;
}

/* ---- of a capability --------------------------------------------------------------------------------------------- */

#define TRIES 64 /* somebody has declared others, and given their row away, in the midst of a copy */

/* Copies the rules that the capability has declared last. 0: it has none; 1; -1: it names a set that is not there. */
static int rules_of(const struct ap_segment *seg, uint32_t capability, struct ap_rules *ret)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const uint64_t *term;

    if (row == NULL || ap_load_relaxed(&row->rules) == 0) return 0;
    term = &ap_terms_at(seg, capability)->rules;
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t word = ap_load_acquire(term), value = AP_TERM_VALUE(word); /* TERMS-A1 pairs TERMS-R1 */

        if (value == 0) return 0;
        if (ap_rule_set_copy(seg, value - 1, ret)) return 1;
        if (ap_load_relaxed(term) == word) break;
    }
    return -1;
}

bool ap_rules_of(const struct ap_segment *seg, uint32_t capability, struct ap_rules *ret)
{
    if (rules_of(seg, capability, ret) != 1 || !ap_rules_valid(ret)) return false;
    memset(&ret->list[ret->count], 0, (AP_RULES_MAX - ret->count) * sizeof ret->list[0]);
    return true;
}

/* ---- asked ------------------------------------------------------------------------------------------------------ */

void ap_rules_none(struct ap_rules_asked *ret)
{
    ret->rules.count = 0;
    ret->broken = ret->preferring = false;
    ret->caller[0] = '\0';
}

void ap_rules_ask(struct ap_rules_asked *ret, const struct ap_segment *seg, uint32_t capability, uint32_t caller)
{
    int has = rules_of(seg, capability, &ret->rules);

    ret->seg = seg;
    if (has <= 0) ret->rules.count = 0;
    ret->broken = has < 0;
    ret->preferring = false;
    ret->caller[0] = '\0';
    if (has > 0 && caller != 0) ap_service_name(seg, caller - 1, ret->caller);
}

/* Its texts end within a set that is sound, and so does a name. */
static bool rule_names(const char *in_rule, const char *name)
{
    return strncmp(in_rule, name, APIARY_NAME_MAX + 1) == 0;
}

/* The rule that decides on the caller, and whether it may ask; NULL: no rule is about it. */
static const struct ap_rule *rule_deciding(const struct ap_rules_asked *a, bool *ret_may)
{
    const struct ap_rule *allowing = NULL;
    bool allowed = false;

    for (uint32_t i = 0; i < a->rules.count; i++) {
        const struct ap_rule *r = &a->rules.list[i];
        bool own = a->caller[0] != '\0' && rule_names(r->from, a->caller);

        if (r->verb == AP_RULE_DENY && own) {
            *ret_may = false;
            return r;
        }
        if (r->verb != AP_RULE_ALLOW) continue;
        if (own || allowing == NULL) allowing = r;
        allowed |= own;
    }
    *ret_may = allowing == NULL || allowed;
    return allowing;
}

const struct ap_rule *ap_rules_gate(const struct ap_rules_asked *a)
{
    for (uint32_t i = 0; i < a->rules.count; i++)
        if (a->rules.list[i].verb == AP_RULE_VIA) return &a->rules.list[i];
    return NULL;
}

bool ap_rules_may(const struct ap_rules_asked *asked)
{
    bool may;

    rule_deciding(asked, &may);
    return may && !asked->broken;
}

/* Whether there is a rule with that verb for the caller; with a service: about that one. */
static bool asked_has(const struct ap_rules_asked *a, uint32_t verb, const char *service)
{
    for (uint32_t i = 0; i < a->rules.count; i++) {
        const struct ap_rule *r = &a->rules.list[i];

        if (r->verb != verb || (r->from[0] != '\0' && !rule_names(r->from, a->caller))) continue;
        if (service == NULL || rule_names(r->to, service)) return true;
    }
    return false;
}

static bool asked_of_swarm(const struct ap_rules_asked *a, uint32_t verb, const struct ap_swarm *swarm)
{
    char service[APIARY_NAME_MAX + 1];

    if (a->rules.count == 0) return false;
    ap_service_name(a->seg, ap_load_relaxed(&swarm->service), service);
    return asked_has(a, verb, service);
}

bool ap_rules_prefer(const struct ap_rules_asked *asked)
{
    return asked_has(asked, AP_RULE_PREFER, NULL);
}

bool ap_rules_preferred(const struct ap_rules_asked *asked, const struct ap_swarm *swarm)
{
    return asked_of_swarm(asked, AP_RULE_PREFER, swarm);
}

bool ap_rules_forbidden(const struct ap_rules_asked *asked, const struct ap_swarm *swarm)
{
    return asked_of_swarm(asked, AP_RULE_FORBID, swarm);
}

bool ap_rules_fit(const struct ap_rules_asked *asked, const struct ap_swarm *swarm)
{
    return !ap_rules_forbidden(asked, swarm) && (!asked->preferring || ap_rules_preferred(asked, swarm));
}

size_t ap_rules_say(const struct ap_segment *seg, uint32_t capability, uint32_t caller, char *ret, size_t size)
{
    char name[APIARY_CAPABILITY_MAX + 1], rule[160] = "";
    char who[APIARY_NAME_MAX + 32] = "this process calls for no service";
    struct ap_rules_asked asked;
    const struct ap_rule *r;
    struct ap_rule copy; /* whose texts end */
    bool may;

    ap_rules_ask(&asked, seg, capability, caller);
    r = rule_deciding(&asked, &may);
    if (may || r == NULL) return 0;
    ap_capability_name(seg, capability, name);
    copy = *r;
    copy.from[sizeof copy.from - 1] = copy.to[sizeof copy.to - 1] = '\0';
    ap_rule_print(&copy, rule, sizeof rule);
    if (asked.caller[0] != '\0') snprintf(who, sizeof who, "this process calls for '%s'", asked.caller);
    return ap_format(ret, size, "%s has the rule '%s', and %s; 'apiary capability show %s' lists its rules", name, rule, who, name);
}
