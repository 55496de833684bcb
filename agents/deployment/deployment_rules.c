/* agents/deployment/deployment_rules.c - rules of several capabilities that contradict each other: fallbacks in a circle, and gates
 * that are not there, or go round in one. */
#include <string.h>

#include "agents/deployment/deployment_int.h"
#include "core/text.h"
#include "registry/routing/rules.h"

/* "name@2" offers "name", too, by its rules. */
static bool rules_are_of(const char *capability, const char *name)
{
    size_t n = strlen(name);

    return strcmp(capability, name) == 0 || (strncmp(capability, name, n) == 0 && capability[n] == '@');
}

/* The capability of the rule with that verb; NULL: none. */
static const char *rules_to(const struct ap_rules *rules, uint32_t verb)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (rules->list[i].verb == verb) return rules->list[i].to;
    return NULL;
}

/* The capability that stands in for one of that name; NULL: none. */
static const char *fallback_of(const struct ap_rules *rules)
{
    return rules_to(rules, AP_RULE_FALLBACK);
}

static const char *fallback_named(const struct ap_deployment *d, const char *name)
{
    for (size_t s = 0; s < d->swarm_count; s++) {
        for (size_t i = 0; i < d->swarms[s].agent_count; i++) {
            const struct ap_deployment_agent *agent = &d->swarms[s].agents[i];

            for (size_t c = 0; c < agent->capability_count; c++) {
                const char *fallback = rules_are_of(agent->capabilities[c], name) ? fallback_of(&agent->rules[c]) : NULL;

                if (fallback != NULL) return fallback;
            }
        }
    }
    return NULL;
}

/* From a capability on: refused when it comes to itself again, or does not end within the fallbacks that a task takes. */
static int fallback_follow(struct ap_loader *l, const struct ap_deployment_agent *agent, size_t c)
{
    const char *name = agent->capabilities[c], *next = fallback_of(&agent->rules[c]);
    char way[512] = "";
    uint32_t steps = 0;

    ap_words_add(way, sizeof way, name);
    for (; next != NULL; next = fallback_named(l->d, next)) {
        ap_words_add(way, sizeof way, next);
        if (rules_are_of(name, next))
            return ap_node_refuse(ap_deployment_capability_node(agent, c), l->error, "fallback: %s comes back to itself: %s", name,
                                  way);
        if (++steps > AP_FALLBACKS)
            return ap_node_refuse(ap_deployment_capability_node(agent, c), l->error,
                                  "fallback: %s has more than %u, one after another: %s", name, AP_FALLBACKS, way);
    }
    return 0;
}

/* The rules with which another agent of the swarm offers the name; NULL: none does. */
static const struct ap_rules *gate_rules(const struct ap_deployment_swarm *s, const struct ap_deployment_agent *not,
                                         const char *name)
{
    for (size_t i = 0; i < s->agent_count; i++)
        for (size_t c = 0; c < s->agents[i].capability_count; c++)
            if (s->agents[i].capabilities != not->capabilities && rules_are_of(s->agents[i].capabilities[c], name))
                return &s->agents[i].rules[c];
    return NULL;
}

/* A gate is another agent of the same queens, has no gate itself, and nothing leads from it back to what it is the gate of. */
static int gate_follow(struct ap_loader *l, const struct ap_deployment_swarm *s, const struct ap_deployment_agent *agent, size_t c)
{
    const char *name = agent->capabilities[c], *gate = rules_to(&agent->rules[c], AP_RULE_VIA), *next;
    const struct ap_node *at = ap_deployment_capability_node(agent, c);
    const struct ap_rules *rules;

    if (gate == NULL) return 0;
    rules = gate_rules(s, agent, gate);
    if (rules == NULL)
        return ap_node_refuse(at, l->error, "via: no other agent of %s offers %s; expected one that does, as %s's gate", s->service,
                              gate, name);
    next = rules_to(rules, AP_RULE_VIA);
    if (next != NULL)
        return ap_node_refuse(at, l->error, "via: %s, the gate of %s, has a gate itself: %s; expected one without", gate, name,
                              next);
    next = fallback_of(rules);
    if (next != NULL && rules_are_of(name, next))
        return ap_node_refuse(at, l->error, "via: %s, the gate of %s, has that as its fallback; expected another one, or none",
                              gate, name);
    return 0;
}

static int rules_follow(struct ap_loader *l, const struct ap_deployment_swarm *s, const struct ap_deployment_agent *agent, size_t c)
{
    int e = fallback_follow(l, agent, c);

    return e < 0 ? e : gate_follow(l, s, agent, c);
}

int ap_deployment_check_rules(struct ap_loader *l)
{
    int e = 0;

    for (size_t s = 0; s < l->d->swarm_count; s++)
        for (size_t i = 0; i < l->d->swarms[s].agent_count; i++)
            for (size_t c = 0; e == 0 && c < l->d->swarms[s].agents[i].capability_count; c++)
                e = rules_follow(l, &l->d->swarms[s], &l->d->swarms[s].agents[i], c);
    return e;
}
