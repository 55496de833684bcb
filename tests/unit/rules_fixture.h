/* What the tests of rules share: providers of one capability, each of a service of its own. */
#ifndef RULES_FIXTURE_H
#define RULES_FIXTURE_H

#include "registry_fixture.h"

#include "registry/routing/rule_sets.h"
#include "registry/routing/terms.h"

#define MOST 3u
static const char *const work[] = {"work", NULL};
static struct provider {
    char service[16];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
} all[MOST];

/* An instance of a service of its own, s0, s1, ...; nobody drains its queue. */
static inline void enter(uint32_t i, const struct ap_rules *rules)
{
    struct provider *p = &all[i];

    snprintf(p->service, sizeof p->service, "s%u", i);
    p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = work, .rules = rules,
                                              .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, p->swarm.swarm)->state, APIARY_PASSING);
}

static inline void depart(uint32_t i)
{
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &all[i].swarm);
}

static inline uint32_t work_index(void)
{
    int capability = ap_capability_find(client->seg, "work", 4);

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static inline uint32_t service_of(const char *name)
{
    int service = ap_service_find(client->seg, name);

    cr_assert_geq(service, 0, "%s", name);
    return (uint32_t)service + 1;
}

/* Who gets a task of that caller: its number, or an error. */
static inline int picked_for(uint32_t caller)
{
    static uint64_t places[8];
    struct ap_balance balance = {.places = places, .caller = caller};
    uint32_t queue;
    uint64_t life;
    int r = ap_route(client->seg, work_index(), &balance, AP_NO_QUEUE, &queue, &life);

    for (int i = 0; r == 0 && i < (int)MOST; i++)
        if (all[i].swarm.service != NULL && all[i].agent.queue == queue) return i;
    return r;
}

static inline uint64_t refused(void)
{
    return ap_terms_at(client->seg, work_index())->refused;
}

#endif
