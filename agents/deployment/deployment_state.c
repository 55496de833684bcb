/* agents/deployment/deployment_state.c - agents that keep state: a configuration by which whoever is asked would answer is refused.
 * See registry/routing/homes.h for what `stateful` does. */
#include <string.h>

#include "agents/deployment/deployment_int.h"
#include "registry/routing/terms.h"

static bool state_declared(const struct ap_deployment_agent *agent, size_t c)
{
    return AP_TERM_VALUE(agent->terms[c].stateful) == 2;
}

static bool state_kept(const struct ap_deployment_agent *agent)
{
    return agent->of != NULL && agent->of->state != 0 &&
           (agent->of->state_unless == NULL || ap_node_get(agent->config, agent->of->state_unless) == NULL);
}

/* Whether the agent is the first of several replicas. */
static bool state_replicated(const struct ap_deployment_swarm *s, size_t i)
{
    return s->agents[i].replica == 0 && ap_deployment_replicas(s, &s->agents[i]) > 1;
}

/* One of several that keep state, each its own: all that it offers has to be stateful. */
static int state_own(struct ap_loader *l, const struct ap_deployment_swarm *s, size_t i)
{
    const struct ap_deployment_agent *agent = &s->agents[i];
    bool replicas = state_replicated(s, i);

    for (size_t c = 0; c < agent->capability_count; c++) {
        const char *name = agent->capabilities[c];

        if (state_declared(agent, c)) continue;
        return ap_node_refuse(ap_deployment_capability_node(agent, c), l->error,
                              "capabilities: agent %s (kind '%s') keeps state, and there are to be several of it (%s: %u), so "
                              "whoever is asked for %s would answer with its own; expected {name: %s, stateful: true}, or %s: 1",
                              agent->name, agent->of->name, replicas ? "replicas" : "instances",
                              replicas ? ap_deployment_replicas(s, agent) : s->instances, name, name,
                              replicas ? "replicas" : "instances");
    }
    return 0;
}

/* An instance that an operator takes away is his affair. One that goes by itself would take along what nobody has told it to. */
static int state_autoscaled(struct ap_loader *l, const struct ap_deployment_swarm *s, size_t i)
{
    const struct ap_node *at = ap_node_get(ap_node_get(s->node, "queen"), "autoscale");
    const struct ap_deployment_agent *agent = &s->agents[i];
    bool keeps = state_kept(agent) && agent->of->state != APIARY_STATE_QUEEN;

    for (size_t c = 0; c < agent->capability_count; c++) keeps = keeps || state_declared(agent, c);
    if (s->autoscale.max == 0 || !keeps) return 0;
    return ap_node_refuse(at, l->error,
                          "autoscale: agent %s keeps state of its own, which each instance that leaves would take along; expected "
                          "instances: N in its place", agent->name);
}

/* All of them answer with what is kept in the swarm's local memory. */
static int state_judge(struct ap_loader *l, const struct ap_deployment_swarm *s, size_t i)
{
    const struct ap_deployment_agent *agent = &s->agents[i];
    int e = state_autoscaled(l, s, i);

    if (e < 0) return e;
    if (!state_kept(agent) || agent->of->state == APIARY_STATE_QUEEN) return 0;
    return s->instances > 1 || state_replicated(s, i) ? state_own(l, s, i) : 0;
}

static bool state_same_list(const struct ap_deployment_agent *a, const struct ap_deployment_agent *b)
{
    size_t i = 0;

    while (i < a->capability_count && i < b->capability_count && strcmp(a->capabilities[i], b->capabilities[i]) == 0) i++;
    return i == a->capability_count && i == b->capability_count;
}

/* Where agents offer a stateful capability beside different others, its tasks and theirs would have different homes. */
static int state_lists(struct ap_loader *l, const struct ap_deployment_agent *agent, size_t c)
{
    for (size_t s = 0; s < l->d->swarm_count; s++) {
        for (size_t i = 0; i < l->d->swarms[s].agent_count; i++) {
            const struct ap_deployment_agent *other = &l->d->swarms[s].agents[i];

            for (size_t k = 0; k < other->capability_count; k++) {
                if (strcmp(other->capabilities[k], agent->capabilities[c]) != 0 || state_same_list(agent, other)) continue;
                return ap_node_refuse(ap_deployment_capability_node(other, k), l->error,
                                      "capabilities: agents %s and %s offer %s, which is stateful, beside different others; "
                                      "expected the same list of both: what is offered together has one place", agent->name,
                                      other->name, agent->capabilities[c]);
            }
        }
    }
    return 0;
}

int ap_deployment_check_state(struct ap_loader *l)
{
    int e = 0;

    for (size_t s = 0; s < l->d->swarm_count; s++) {
        for (size_t i = 0; e == 0 && i < l->d->swarms[s].agent_count; i++) {
            const struct ap_deployment_agent *agent = &l->d->swarms[s].agents[i];

            e = state_judge(l, &l->d->swarms[s], i);
            for (size_t c = 0; e == 0 && c < agent->capability_count; c++)
                if (state_declared(agent, c)) e = state_lists(l, agent, c);
        }
    }
    return e;
}
