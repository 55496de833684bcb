/* agents/runtime/rules_config.c - see rules_config.h. */
#include "agents/runtime/rules_config.h"

#include <string.h>

#include "core/name.h"
#include "core/text.h"

static const struct ap_key rules_keys[] = {
    {.name = "allow", .type = 'l', .what = "calling services; all others are refused"},
    {.name = "deny", .type = 'l', .what = "calling services that are refused"},
    {.name = "prefer", .type = 'l', .what = "services whose providers get the tasks while one of them passes"},
    {.name = "forbid", .type = 'l', .what = "services whose providers get none of the tasks"},
    {.name = "fallback", .type = 's', .what = "the capability that gets the tasks while this one has no provider"},
    {.name = "via", .type = 's', .what = "the capability that gets every task first, and passes on what it will"},
    {.name = "from", .type = 'l', .what = "the calling services that prefer or forbid is about; without it all are"},
    {.name = NULL},
};

/* One item of the list under way. */
struct rules_item {
    const struct ap_node *at;
    const char *name; /* of the capability */
    uint32_t verb;
    struct ap_rules *to;
    struct ap_config_error *error;
};

static size_t names_count(const struct ap_node *list)
{
    return list == NULL ? 0 : list->kind == AP_NODE_LIST ? list->count : 1;
}

static const struct ap_node *names_at(const struct ap_node *list, size_t i)
{
    return list->kind == AP_NODE_LIST ? list->items[i] : list;
}

/* Whether two rules are about one caller and one service of providers. */
static bool rules_meet(const struct ap_rule *a, const struct ap_rule *b)
{
    return strcmp(a->to, b->to) == 0 && (strcmp(a->from, b->from) == 0 || a->from[0] == '\0' || b->from[0] == '\0');
}

static bool rules_contrary(uint32_t a, uint32_t b)
{
    return (a == AP_RULE_ALLOW && b == AP_RULE_DENY) || (a == AP_RULE_PREFER && b == AP_RULE_FORBID);
}

static int rules_add(const struct rules_item *item, const struct ap_node *at, const char *from, const char *to)
{
    struct ap_rule *r;

    if (item->to->count == AP_RULES_MAX)
        return ap_node_refuse(at, item->error, "rules: %s has more than %u, a rule of several services counted for each of them",
                              AP_SHOWN(item->name, 64), AP_RULES_MAX);
    r = &item->to->list[item->to->count];
    r->verb = item->verb;
    memcpy(r->from, from, strlen(from));
    memcpy(r->to, to, strlen(to));
    for (uint32_t i = 0; i < item->to->count; i++) {
        const struct ap_rule *other = &item->to->list[i];
        char text[2 * APIARY_NAME_MAX + 32];

        if (!rules_meet(r, other) || (!rules_contrary(r->verb, other->verb) && !rules_contrary(other->verb, r->verb))) continue;
        ap_rule_print(other, text, sizeof text);
        return ap_node_refuse(at, item->error, "%s: %s says '%s' as well; expected one of them", ap_rule_verb_name(r->verb),
                              AP_SHOWN(item->name, 64), text);
    }
    item->to->count++;
    return 0;
}

static int rules_name(const struct rules_item *item, const char *key, const struct ap_node *at)
{
    if (ap_name_valid(at->text, APIARY_NAME_MAX)) return 0;
    return ap_node_refuse(at, item->error, "%s: '%s' is not the name of a service; expected a letter, then letters, digits, '_', "
                          "'.', '-', all lower case, at most %u", key, AP_SHOWN(at->text, 64), APIARY_NAME_MAX);
}

/* Of each there is one at most: where the tasks go is to be read in one place. */
static int rules_capability(const struct rules_item *item, const struct ap_node *at)
{
    const char *verb = ap_rule_verb_name(item->verb);

    if (!ap_capability_valid(at->text))
        return ap_node_refuse(at, item->error, "%s: '%s' is not a capability name", verb, AP_SHOWN(at->text, 72));
    if (strcmp(at->text, item->name) == 0)
        return ap_node_refuse(at, item->error, "%s: %s cannot %s itself", verb, AP_SHOWN(item->name, 64),
                              item->verb == AP_RULE_VIA ? "have its tasks from" : "stand in for");
    for (uint32_t i = 0; i < item->to->count; i++)
        if (item->to->list[i].verb == item->verb)
            return ap_node_refuse(at, item->error, "%s: %s has %s already; expected one of them", verb, AP_SHOWN(item->name, 64),
                                  item->to->list[i].to);
    return rules_add(item, at, "", at->text);
}

/* One service of the rule, for each service of `from`, or for all. */
static int rules_service(const struct rules_item *item, const struct ap_node *from, const struct ap_node *at)
{
    const char *verb = ap_rule_verb_name(item->verb);
    int r = rules_name(item, verb, at);

    if (r < 0) return r;
    if (item->verb == AP_RULE_ALLOW || item->verb == AP_RULE_DENY) return rules_add(item, at, at->text, "");
    if (from == NULL) return rules_add(item, at, "", at->text);
    for (size_t i = 0; r == 0 && i < names_count(from); i++) {
        const struct ap_node *caller = names_at(from, i);

        r = rules_name(item, "from", caller);
        if (r == 0) r = rules_add(item, at, caller->text, at->text);
    }
    return r;
}

static int rules_item_read(struct rules_item *item)
{
    const struct ap_node *from = ap_node_get(item->at, "from"), *services = NULL;
    int r = ap_node_check(item->at, rules_keys, item->error);

    for (uint32_t verb = AP_RULE_ALLOW; r == 0 && verb < AP_RULE_VERBS; verb++) {
        const char *key = ap_rule_verb_name(verb);
        const struct ap_node *other = ap_node_get(item->at, key);

        if (other == NULL) continue;
        if (services != NULL)
            return ap_node_refuse(other, item->error, "%s: the rule says %s as well; give each a rule of its own", key,
                                  ap_rule_verb_name(item->verb));
        services = other;
        item->verb = verb;
    }
    if (r < 0) return r;
    if (services == NULL)
        return ap_node_refuse(item->at, item->error, "rules: expected allow, deny, prefer, forbid, fallback or via");
    if (names_count(services) == 0)
        return ap_node_refuse(services, item->error, "%s: expected at least one service", ap_rule_verb_name(item->verb));
    if (from != NULL && (item->verb == AP_RULE_FALLBACK || item->verb == AP_RULE_VIA))
        return ap_node_refuse(from, item->error, "from: it goes with prefer and forbid; %s is for all callers",
                              ap_rule_verb_name(item->verb));
    if (from != NULL && (item->verb == AP_RULE_ALLOW || item->verb == AP_RULE_DENY))
        return ap_node_refuse(from, item->error, "from: it goes with prefer and forbid; %s names the callers itself",
                              ap_rule_verb_name(item->verb));
    if (item->verb == AP_RULE_FALLBACK || item->verb == AP_RULE_VIA) return rules_capability(item, services);
    if (from != NULL && names_count(from) == 0) return ap_node_refuse(from, item->error, "from: expected at least one service");
    for (size_t i = 0; r == 0 && i < names_count(services); i++) r = rules_service(item, from, names_at(services, i));
    return r;
}

int ap_rules_config_read(const struct ap_node *list, const char *name, struct ap_rules *ret, struct ap_config_error *error)
{
    int r = 0;

    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        struct rules_item item = {.at = list->items[i], .name = name, .to = ret, .error = error};

        r = rules_item_read(&item);
    }
    return r;
}
