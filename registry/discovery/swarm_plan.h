/* registry/discovery/swarm_plan.h - one registration under way, private to its thread; for swarm.c. See registry.h.
 */
#ifndef AP_SWARM_PLAN_H
#define AP_SWARM_PLAN_H

#include "registry/discovery/discovery.h"
#include "registry/routing/terms.h"

/* One registration under way; private memory. */
struct ap_plan {
    struct ap_segment *seg;
    struct ap_swarm_registration *r;
    const char *instance;
    uint64_t key;
    uint32_t service, swarm;
    bool adopted; /* the swarm's record is the one of its former registration */
    size_t taken; /* queues in hand */
    struct ap_agent_plan {
        uint32_t count;
        uint16_t capabilities[AP_AGENT_CAPABILITIES];
        bool declares[AP_AGENT_CAPABILITIES];
        bool adopted, open;
        uint64_t terms[AP_AGENT_CAPABILITIES][AP_TERMS];
        const struct ap_rules *rules[AP_AGENT_CAPABILITIES]; /* NULL: none; ap_plan_rules or _other_rules fills in the term */
    } *agents;
};

/* Enters the capabilities of an agent, and works out what it says of each: 0, or an error. */
AP_MUST_CHECK int ap_plan_agent(struct ap_plan *p, size_t i);
/* Holds the rules that the agents declare, for the caller's lane (rule_sets.h). */
AP_MUST_CHECK int ap_plan_rules(struct ap_plan *p);
/* The same for those only that are declared otherwise than before. `lane` is the caller's. */
AP_MUST_CHECK int ap_plan_other_rules(struct ap_plan *was, struct ap_plan *next, uint32_t lane);

#endif
