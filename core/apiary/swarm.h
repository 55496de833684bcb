/* apiary/swarm.h - a queen in a program of one's own: a registered instance of a service with its workers and agents.
 *
 * The conventions are those of <apiary.h>.
 */
#ifndef APIARY_SWARM_H
#define APIARY_SWARM_H

#include "agent.h"
#include "discovery.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct apiary_queen apiary_queen_t; /* a registered swarm instance with its workers */

/* Each description begins with this. */
#define APIARY_SWARM_DESCRIPTION \
    .struct_size = sizeof(apiary_swarm_description_t), .agent_size = sizeof(apiary_agent_description_t)

/* A queen in this process: registers the swarm (all or nothing, published last), starts its workers. */
typedef struct apiary_agent_description {
    const char *name;
    const apiary_agent_kind_t *kind; /* the program's own, or apiary_kind of <apiary/kinds.h> */
    const char *const *capabilities; /* ends with NULL */
    uint32_t worker;                 /* which worker hosts it, from 0 */
    /* The agent's configuration: YAML (or JSON, which is YAML) with a mapping of its kind's keys, as under `config` in the file of
     * a deployment; NULL: none. A value that the keys do not allow is APIARY_ECONFIG, and the message begins with the place,
     * "NAME:LINE: ". Both texts are copied. */
    const char *config;
    const char *config_name; /* the text's file: relative paths begin at its folder. NULL: "config of " and the agent's name, and
                                paths begin at the working directory */
    /* The terms of its capabilities: YAML, a mapping from capabilities to mappings of the keys that an item of `capabilities` has
     * in the file of a deployment, its name left out, such as "resize: {balance: round_robin}"; NULL: none. A value that is not
     * allowed is APIARY_ECONFIG, and the message begins with "terms of NAME:LINE: ". The text is copied. */
    const char *terms;
} apiary_agent_description_t;

typedef struct apiary_swarm_description {
    size_t struct_size;
    size_t agent_size; /* of an element of `agents` */
    const char *service, *instance, *version; /* instance NULL: "0" */
    uint16_t port;                            /* the service's own port; 0: none */
    const char *health_endpoint, *metrics_endpoint;
    uint32_t workers; /* threads, 1 to 16 */
    uint32_t max_concurrent_delegations;
    const apiary_agent_description_t *agents;
    size_t agent_count;
    void (*log)(void *user, int level, const char *line); /* may be NULL; any thread. At level 2 (syslog's critical) an agent has
                                                             ended its worker's thread: this queen is to be stopped */
    void *log_user;
    uint32_t weight; /* its share among the providers of its capabilities, 1 to 1000; 0: 100 */
    uint32_t reserved;
    /* How apiaryd asks its health endpoint and its agents: how often, and how long an answer may take, ns; after how many failures
     * in a row it does not pass any more, and after how many successes it does again, at most 100. 0: as apiaryd's configuration
     * says (30 s), 5 s, 3, 2. */
    uint64_t health_check_interval, health_check_timeout;
    uint32_t unhealthy_after, healthy_after;
    const char *tags; /* words by which it is found, with a space between (<apiary/discovery.h>); NULL: none */
    /* The state directory, in which agents have their files (apiary_agent_folder), as --state of `apiary queen`. NULL: the first of
     * $STATE_DIRECTORY, else $XDG_STATE_HOME/apiary, else $HOME/.local/state/apiary. Copied. */
    const char *state_directory;
} apiary_swarm_description_t;

/* Starts a queen. Blocks until all agents are created.
 * 1 APIARY_EEXIST: a living process has registered this service and instance.
 * 2 A message that does not fit ends in "...". 1024 bytes are enough unless the name of a file is as long. */
APIARY_API int apiary_queen_start(apiary_t *a, const apiary_swarm_description_t *swarm, char *message,
                                  size_t message_size, apiary_queen_t **ret);
/* Stops a queen.
 * 1 No new tasks are routed to its agents. Tasks in hand are finished, for at most `timeout`. Then the swarm is deregistered and
 *   the queen freed.
 * 2 APIARY_ETIMEDOUT: a second after `timeout` an agent has still not returned from its function; the log says which. The queen
 *   is not freed, and its name and queues are not available to others yet. Call again to wait for it, or end the process, which
 *   leaves its tasks to others.
 * 3 APIARY_ESTALE: the queen has left already. All functions that take it then return that.
 * 4 APIARY_EINVAL: the caller is one of its own workers, or another thread is waiting for it. APIARY_EFORKED.
 * 5 Neither this nor apiary_queen_start is a cancellation point. */
APIARY_API int apiary_queen_stop(apiary_queen_t *queen, uint64_t timeout);
APIARY_API int apiary_execute_task(apiary_queen_t *queen, const char *capability, const void *body, size_t size,
                                   const apiary_delegate_options_t *options, void *result, size_t capacity,
                                   size_t *ret_size);
APIARY_API int apiary_delegate_external_task(apiary_queen_t *queen, const char *capability, const void *body,
                                             size_t size, const apiary_delegate_options_t *options, void *result,
                                             size_t capacity, size_t *ret_size);

#ifdef __cplusplus
}
#endif
#endif
