/* agents/deployment/deployment.h - the configuration file of a host: the segment and its swarms (agents/singularity.yaml).
 *
 * Keys (all sizes and times as core/config.h reads them; * = required):
 *   meta_registry: segment, port [4100], listen [127.0.0.1 and that], max_concurrent_delegations [100],
 *                  health_check_interval [30000], events_max_age [720h], events_max_bytes [67108864], task_timeout [60000],
 *                  members, lanes, tasks, queues, queue_depth, queue_inlets, services, swarms, capabilities,
 *                  payload: {blocks_256B .. blocks_1MiB}, mode ["0660"], owner, group
 *   swarms: list of {service*, port, queen: {instances [1, or min], restart [always|never], restart_stuck,
 *                  update [start_first|stop_first], autoscale: {min [1], max*, backlog [10], cool_down [5m]}},
 *                  workers [1], version, tags: list,
 *                  health_endpoint, metrics_endpoint, health_check_interval [that of meta_registry], health_check_timeout [5s],
 *                  unhealthy_after [3], healthy_after [2], max_concurrent_delegations, weight [100],
 *                  depends_on: list of services,
 *                  agents*: list of {name*, kind* | plugin*, capabilities*: list of NAME or {name*, terms of terms.def},
 *                  worker [0], config: mapping for the kind},
 *                  checks: list of {capability*, send, send_file, expect* | expect_match*, timeout, from}}
 *   phases: list of {name*, services*: list}
 * Order:   1 A service is started when one instance at least of each that it depends on passes.
 *          2 Each phase is started when the services of those before it have passed, or do not come up. Services in no phase belong
 *            to all of them.
 * Checks:  1 `tools/up` runs the checks: at least one real task per capability, whose output is compared with the expected one.
 *          2 A check asks for a capability of its own swarm. A check of "name" also covers "name@major".
 *          3 A capability without a check is allowed (ap_deployment_unchecked).
 * Paths:   Relative paths (plugin, send_file, and keys that a kind declares as a path or a command) begin at the configuration's
 *          folder.
 * Refused, with file and line: unknown keys, a port used twice, a service named twice, an agent named twice in a swarm, an unknown
 *          kind, a capability that the kind does not have, a missing program, a plug-in that is missing or lacks its symbol,
 *          capabilities that are not valid names, a segment too small for the swarms of the same file, services that wait for
 *          themselves, for each other in a circle, for one of a later phase, or for one that is not there.
 */
#ifndef AP_DEPLOYMENT_H
#define AP_DEPLOYMENT_H

#include "core/apiary/agent.h"
#include "core/config.h"
#include "core/must_check.h"
#include "registry/registry.h"

/* In which order an instance that is restarted follows itself. BY_COUNT: start_first where there are several. */
enum ap_update { AP_UPDATE_BY_COUNT, AP_UPDATE_START_FIRST, AP_UPDATE_STOP_FIRST };

/* How many instances a service has by what waits at them (autoscale.h). All 0: as many as are written. */
struct ap_autoscale {
    uint32_t min, max, backlog; /* backlog: tasks that may wait at each */
    uint64_t cool_down;
};

struct ap_deployment_agent {
    const struct ap_node *node;
    const char *name, *kind, *plugin; /* plugin: path, resolved against the configuration's folder */
    const apiary_agent_kind_t *of;    /* the same as a kind; NULL: not checked */
    const char **capabilities;        /* ends with NULL */
    size_t capability_count;
    struct ap_terms *terms; /* what it declares, one for each capability (registry/routing/terms.h) */
    struct ap_rules *rules; /* the same for the rules (registry/routing/rules.h) */
    uint32_t worker, replica; /* replica: 0, or of the agent that was read before it */
    const struct ap_node *config; /* may be NULL */
};
struct ap_deployment_check {
    const struct ap_node *node;
    const char *capability, *send, *send_file, *expect, *expect_match; /* match: POSIX extended regular expression */
    const char *from; /* the service for which it calls; NULL: none */
    uint64_t timeout;
};
struct ap_deployment_phase {
    const struct ap_node *node;
    const char *name;
};
struct ap_deployment_swarm {
    const struct ap_node *node;
    const char *service, *version, *health_endpoint, *metrics_endpoint;
    const char *listen; /* where the coordinator serves /health and /metrics of it alone (core/address.h); NULL: nowhere */
    const char *tags; /* with a space between; NULL: none */
    uint16_t port;
    uint64_t health_check_interval, health_check_timeout; /* timeout and the counts below: 0: not given */
    uint32_t unhealthy_after, healthy_after;
    uint32_t instances, workers, max_delegations, weight;
    bool restart;
    uint64_t restart_stuck; /* 0: never */
    const char **depends_on; /* sorted */
    size_t depends_count;
    uint32_t phase; /* from 1; 0: in none */
    const struct ap_deployment_phase *in_phase; /* NULL: in none */
    enum ap_update update;
    struct ap_autoscale autoscale; /* `instances`: what it begins with */
    struct ap_deployment_agent *agents;
    size_t agent_count;
    struct ap_deployment_check *checks;
    size_t check_count;
};
/* Of the events that the coordinator keeps (tools/history/history.h). */
#define AP_EVENTS_MAX_AGE INT64_C(2592000000000000) /* 30 days */
#define AP_EVENTS_MAX_BYTES INT64_C(67108864)

struct ap_deployment {
    struct ap_config *config; /* owned */
    struct ap_segment_options segment; /* name: NULL when the file does not give one; owner, group: NULL */
    const char *owner, *group;         /* of the segment: a name or number, which only the machine can check; NULL: not given */
    uint16_t port;
    char *listen; /* at which the coordinator serves HTTP: an address with a port (core/address.h), or "off" */
    uint64_t health_check_interval;
    uint64_t events_max_age, events_max_bytes;
    struct ap_memory_name *caches; /* name spaces of the memory that are caches */
    size_t cache_count;
    struct ap_deployment_swarm *swarms;
    size_t swarm_count;
    struct ap_deployment_phase *phases;
    size_t phase_count;
    const size_t *order; /* of the swarms: each after those that it waits for, else as they stand in the file */
};

/* Reads a configuration.
 * 1 `kinds` are the built-in kinds, and end with NULL (apiary_kinds of <apiary/kinds.h>). NULL: kinds, plug-ins and their `config`
 *   are not checked (for the daemon, which runs no agents).
 * 2 Returns 0, or an error as ap_config_load does.
 * 3 Everything in *ret lives until ap_deployment_free. Geometry and limits are complete (absent keys: defaults). */
AP_MUST_CHECK int ap_deployment_load(const char *path, const apiary_agent_kind_t *const *kinds, struct ap_deployment **ret,
                       struct ap_config_error *error);
/* The same from a text that was read before (NULL: the file is read).
 * 1 `path` names the text in messages, and relative paths begin at its folder.
 * 2 With `only`, the kinds, plug-ins and their `config` of other services are not checked, so that a queen of one service does
 *   not fail because of another's plug-in. */
AP_MUST_CHECK int ap_deployment_parse(const char *path, const char *text, size_t size, const apiary_agent_kind_t *const *kinds,
                        const char *only, struct ap_deployment **ret, struct ap_config_error *error);
void ap_deployment_free(struct ap_deployment *d);
/* Puts file and line before a sentence about meta_registry that begins with its key, such as ap_registry_create's or "owner: no
 * user is called ...". Returns APIARY_ECONFIG. */
int ap_deployment_refuse(const struct ap_deployment *d, const char *sentence, struct ap_config_error *error);
/* Another number of instances than the text says, or of replicas of an agent (NULL: instances), judged as if it stood there, for a
 * service that is autoscaled also by its bounds: 0; or APIARY_ECONFIG with a sentence that names the place, and nothing is changed.
 * APIARY_EINVAL: no such service, or it has no such agent. APIARY_ENOBLOCK, with a sentence,
 * too. */
AP_MUST_CHECK int ap_deployment_scale(struct ap_deployment *d, const char *service, const char *agent, uint32_t number,
                                      struct ap_config_error *error);
/* For several numbers at once: the same, but whether there is room for all, and how agents keep state, is judged by
 * ap_deployment_judge when all are there. */
AP_MUST_CHECK int ap_deployment_put_scale(struct ap_deployment *d, const char *service, const char *agent, uint32_t number,
                                          struct ap_config_error *error);
AP_MUST_CHECK int ap_deployment_judge(struct ap_deployment *d, struct ap_config_error *error);
/* How many replicas an agent has, the first one of them, and how many the text says. */
uint32_t ap_deployment_replicas(const struct ap_deployment_swarm *swarm, const struct ap_deployment_agent *agent);
uint32_t ap_deployment_written_replicas(const struct ap_deployment_agent *agent);
/* The agent of a service, the first one of its replicas; NULL: there is none of that name. */
const struct ap_deployment_agent *ap_deployment_agent(const struct ap_deployment_swarm *swarm, const char *name);
/* Services of `next` that are autoscaled have as many instances as `running` has, as far as their bounds allow. */
void ap_deployment_keep_scale(const struct ap_deployment *running, struct ap_deployment *next);
/* The most instances that it may have, as the text says. */
uint32_t ap_deployment_most_instances(const struct ap_deployment_swarm *swarm);
/* The number that the text says, or its default. */
uint32_t ap_deployment_written_instances(const struct ap_deployment_swarm *swarm);
/* NULL: no such service. */
const struct ap_deployment_swarm *ap_deployment_swarm(const struct ap_deployment *d, const char *service);
/* Whether a service depends on the other one; whether it is not started before that, for this reason or because it is of a later
 * phase. */
bool ap_deployment_depends(const struct ap_deployment_swarm *s, const struct ap_deployment_swarm *other);
bool ap_deployment_waits(const struct ap_deployment_swarm *s, const struct ap_deployment_swarm *other);
/* Leaves only the services of a phase (its name, or its number from 1), of those before it and of none: 0; or APIARY_ECONFIG with a
 * sentence that names the phases, and nothing is changed. APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_deployment_select(struct ap_deployment *d, const char *phase, struct ap_config_error *error);
/* The n-th capability (from 0) that no check of its swarm asks for, with the sentence in `error`. NULL: there are no more. */
const char *ap_deployment_unchecked(const struct ap_deployment *d, size_t n, struct ap_config_error *error);

#endif
