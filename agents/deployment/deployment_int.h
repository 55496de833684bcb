/* agents/deployment/deployment_int.h - shared by deployment.c, deployment_registry.c and deployment_agents.c. */
#ifndef AP_DEPLOYMENT_INT_H
#define AP_DEPLOYMENT_INT_H

#include "agents/deployment/deployment.h"
#include "core/must_check.h"

#define AP_NAME_RULE "expected a letter, then letters, digits, '_', '.', '-', all lower case, at most 47"
#define AP_CAPABILITY_RULE \
    "expected a letter, then letters, digits, '_', '.', '-', all lower case, and perhaps @major (1 to 65535), at " \
    "most 63 in all"
_Static_assert(APIARY_NAME_MAX == 47 && APIARY_CAPABILITY_MAX == 63, "the rules above say so");

#define AP_REPLICAS_MAX 16

struct ap_loader {
    struct ap_deployment *d;
    const apiary_agent_kind_t *const *all_kinds, *const *kinds; /* kinds: for the current swarm; NULL: not checked */
    const char *only; /* service; NULL: all */
    struct ap_config_error *error;
};

AP_MUST_CHECK int ap_deployment_registry(struct ap_loader *l, const struct ap_node *meta); /* NULL: defaults */
AP_MUST_CHECK int ap_deployment_read_agents(struct ap_loader *l, struct ap_deployment_swarm *s);
/* The agents of a service with another number of replicas for one of them, the first one of those that it has. */
AP_MUST_CHECK int ap_deployment_agents_replicate(struct ap_loader *l, struct ap_deployment_swarm *s, size_t agent,
                                                 uint32_t replicas);
AP_MUST_CHECK int ap_deployment_check_rules(struct ap_loader *l); /* of all swarms, when they have been read */
AP_MUST_CHECK int ap_deployment_check_state(struct ap_loader *l); /* the same: agents that keep state */
AP_MUST_CHECK int ap_deployment_read_order(struct ap_loader *l);  /* the same: what services wait for */
/* The place of an agent's capability in the file. */
const struct ap_node *ap_deployment_capability_node(const struct ap_deployment_agent *agent, size_t c);
AP_MUST_CHECK int ap_deployment_read_listen(struct ap_loader *l, struct ap_deployment_swarm *s); /* after those before it */
AP_MUST_CHECK int ap_deployment_read_checks(struct ap_loader *l, struct ap_deployment_swarm *s);

#endif
