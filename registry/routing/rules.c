/* registry/routing/rules.c - who may ask for a capability, and which providers get whose tasks. See rules.h. */
#include "registry/routing/rules.h"

#include <stdio.h>
#include <string.h>

#include "core/name.h"
#include "core/text.h"
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

/* ---- sets ------------------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct ap_rule) % 8 == 0, "rules are copied by words");
#define RULE_WORDS (sizeof(struct ap_rule) / 8)

static size_t rules_words(uint32_t count)
{
    return (count < AP_RULES_MAX ? count : AP_RULES_MAX) * RULE_WORDS;
}

/* All that a set says. */
static uint64_t rules_key(const struct ap_rules *rules)
{
    return ap_hash(rules->list, rules_words(rules->count) * 8);
}

static void set_fill(struct ap_rule_set *set, const struct ap_rules *rules)
{
    const uint64_t *from = (const uint64_t *)(const void *)rules->list;
    uint64_t *to = (uint64_t *)(void *)set->list;

    ap_store_relaxed(&set->count, rules->count);
    for (size_t i = 0; i < rules_words(rules->count); i++) ap_store_relaxed(&to[i], from[i]);
    ap_store_release(&set->ready, 1); /* RULES-R1 pairs RULES-A1 */
}

/* The bytes behind its rules are zeros in *ret. */
static bool set_read(const struct ap_rule_set *set, struct ap_rules *ret)
{
    const uint64_t *from = (const uint64_t *)(const void *)set->list;
    uint64_t *to = (uint64_t *)(void *)ret->list;

    memset(ret, 0, sizeof *ret);
    if (ap_load_acquire(&set->ready) != 1) return false; /* RULES-A1 pairs RULES-R1 */
    ret->count = ap_load_relaxed(&set->count);
    for (size_t i = 0; i < rules_words(ret->count); i++) to[i] = ap_load_relaxed(&from[i]);
    return ap_rules_valid(ret);
}

static bool set_says(const struct ap_rule_set *set, const struct ap_rules *rules)
{
    struct ap_rules own;

    return set_read(set, &own) && own.count == rules->count &&
           memcmp(own.list, rules->list, rules_words(own.count) * 8) == 0;
}

int ap_rules_intern(struct ap_segment *seg, const struct ap_rules *rules, uint32_t *ret)
{
    uint64_t count = seg->sections[AP_SECTION_RULES].count, hash, at;

    if (!ap_rules_valid(rules)) return APIARY_EINVAL;
    hash = rules_key(rules);
    at = hash % count;
    for (uint64_t n = 0; n < count; n++, at = at + 1 < count ? at + 1 : 0) {
        struct ap_rule_set *set = ap_rule_set_at(seg, at);
        uint64_t key = ap_load_relaxed(&set->key);

        if (key == 0 && ap_cas(&set->key, &key, hash)) key = hash;
        if (key != hash) continue;
        if (ap_load_acquire(&set->ready) != 1) set_fill(set, rules); /* RULES-A1 pairs RULES-R1 */
        if (!set_says(set, rules)) continue;
        *ret = (uint32_t)at;
        return 0;
    }
    return APIARY_ETABLEFULL;
}

uint32_t ap_rules_used(const struct ap_segment *seg)
{
    uint32_t used = 0;

    for (uint64_t i = 0; i < seg->sections[AP_SECTION_RULES].count; i++) used += ap_load_relaxed(&ap_rule_set_at(seg, i)->key) != 0;
    return used;
}

bool ap_rules_read(const struct ap_segment *seg, uint64_t index, struct ap_rules *ret)
{
    const struct ap_rule_set *set = ap_rule_set_at(seg, index);

    return set != NULL && set_read(set, ret);
}

/* NULL: the capability has none, or (*ret_broken) a set that is not to be read. */
static const struct ap_rule_set *set_of(const struct ap_segment *seg, uint32_t capability, bool *ret_broken)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_rule_set *set;
    uint64_t value;
    uint32_t count;

    *ret_broken = false;
    if (row == NULL || ap_load_relaxed(&row->rules) == 0) return NULL;
    value = AP_TERM_VALUE(ap_load_relaxed(&ap_terms_at(seg, capability)->rules));
    if (value == 0) return NULL;
    set = ap_rule_set_at(seg, value - 1);
    count = set != NULL && ap_load_acquire(&set->ready) == 1 ? ap_load_relaxed(&set->count) : 0; /* RULES-A1 pairs RULES-R1 */
    *ret_broken = count == 0 || count > AP_RULES_MAX;
    return *ret_broken ? NULL : set;
}

bool ap_rules_of(const struct ap_segment *seg, uint32_t capability, struct ap_rules *ret)
{
    bool broken;
    const struct ap_rule_set *set = set_of(seg, capability, &broken);

    return set != NULL && set_read(set, ret);
}

/* ---- asked ------------------------------------------------------------------------------------------------------ */

void ap_rules_none(struct ap_rules_asked *ret)
{
    ret->set = NULL;
    ret->broken = ret->preferring = false;
    ret->caller[0] = '\0';
}

void ap_rules_ask(struct ap_rules_asked *ret, const struct ap_segment *seg, uint32_t capability, uint32_t caller)
{
    ret->seg = seg;
    ret->set = set_of(seg, capability, &ret->broken);
    ret->preferring = false;
    ret->caller[0] = '\0';
    if (ret->set != NULL && caller != 0) ap_service_name(seg, caller - 1, ret->caller);
}

static uint32_t asked_count(const struct ap_rules_asked *a)
{
    uint32_t count = a->set != NULL ? ap_load_relaxed(&a->set->count) : 0;

    return count < AP_RULES_MAX ? count : AP_RULES_MAX;
}

/* A ready set is constant. Its texts end within it, and so does a name. */
static bool rule_names(const char *in_rule, const char *name)
{
    return strncmp(in_rule, name, APIARY_NAME_MAX + 1) == 0;
}

/* The rule that decides on the caller, and whether it may ask; NULL: no rule is about it. */
static const struct ap_rule *rule_deciding(const struct ap_rules_asked *a, bool *ret_may)
{
    const struct ap_rule *allowing = NULL;
    bool allowed = false;

    for (uint32_t i = 0; i < asked_count(a); i++) {
        const struct ap_rule *r = &a->set->list[i];
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
    for (uint32_t i = 0; i < asked_count(a); i++)
        if (a->set->list[i].verb == AP_RULE_VIA) return &a->set->list[i];
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
    for (uint32_t i = 0; i < asked_count(a); i++) {
        const struct ap_rule *r = &a->set->list[i];

        if (r->verb != verb || (r->from[0] != '\0' && !rule_names(r->from, a->caller))) continue;
        if (service == NULL || rule_names(r->to, service)) return true;
    }
    return false;
}

static bool asked_of_swarm(const struct ap_rules_asked *a, uint32_t verb, const struct ap_swarm *swarm)
{
    char service[APIARY_NAME_MAX + 1];

    if (asked_count(a) == 0) return false;
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

/* ---- its part --------------------------------------------------------------------------------------------------- */

static void look_set(struct ap_look *look)
{
    const struct ap_rule_set *set = ap_rule_set_at(look->seg, look->index);
    uint64_t key = ap_look_64(look, &set->key);
    uint32_t ready = ap_look_32(look, &set->ready), count = ap_look_32(look, &set->count);
    size_t used = offsetof(struct ap_rule_set, list) + rules_words(count) * 8;
    struct ap_rules rules;

    if (ready > 1 || (ready == 1 && key == 0))
        ap_look_found(look, AP_CORRUPT, &set->ready, ready, "R10", "ready is %u%s", ready, key != 0 ? "" : " without a key");
    if (key == 0) used = offsetof(struct ap_rule_set, ready);
    else if (ready == 1 && !set_read(set, &rules))
        ap_look_found(look, AP_CORRUPT, &set->count, key ^ count, "R10", "its %u rules are not possible", count);
    else if (ready == 1 && rules_key(&rules) != key)
        ap_look_found(look, AP_CORRUPT, &set->key, key, "R10", "its rules have another hash than %016llx", (unsigned long long)key);
    if (ready == 1 || key == 0) ap_look_zero(look, (const uint8_t *)set + used, sizeof *set - used, "R10", "behind its rules");
}

static const struct ap_field rules_fields[] = {
    AP_FIELD(ap_rule_set, key), AP_FIELD(ap_rule_set, ready), AP_FIELD(ap_rule_set, count),
    AP_FIELD(ap_rule_set, list[0].verb), AP_FIELD(ap_rule_set, list[0].from), AP_FIELD(ap_rule_set, list[0].to), {NULL, 0, 0},
};
static const struct ap_number rules_numbers[] = {
    {.key = "rule_sets", .what = "different sets of rules that capabilities have ever declared", .at = AP_REGISTRY_NUMBER_AT(RULES),
     .otherwise = 64, .min = 1, .max = AP_RULE_SETS_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_rules = {
    .name = "rules", .element = "rules", .size = sizeof(struct ap_rule_set), .fields = rules_fields, .numbers = rules_numbers,
    .look = look_set, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
