/* agents/runtime/queen.h - the inside of a queen: its workers, its control thread, its registration.
 *
 * CONTROL   1 The control thread has the lane under which the swarm is registered.
 *           2 It starts the workers, registers when all agents are made, and beats once a second. At the end it withdraws, drains,
 *           closes the queues, stops the workers, and deregisters. It does not wake up otherwise.
 * STUCK     While a worker does not return from a handler the swarm stays LIVE and beats: its queues may not go to another swarm.
 */
#ifndef AP_QUEEN_H
#define AP_QUEEN_H

#include "agents/runtime/worker.h"
#include "core/apiary/swarm.h"
#include "core/must_check.h"
#include "registry/monitor/monitor.h"
#include "registry/routing/terms.h"

#define AP_WORKERS_MAX 16u

enum ap_queen_phase { AP_QUEEN_STARTING, AP_QUEEN_UP, AP_QUEEN_REFUSED };

/* Known outside by its handle: apiary_queen_t is never defined. */
struct ap_queen {
    struct ap_handle *handle; /* closed when the queen has left */
    struct apiary *client;
    struct ap_segment *seg;
    char *service; /* copied from the description, as the next one */
    char *texts[5]; /* instance, version, health and metrics endpoint, tags */
    char *folder;   /* for the files of her agents, which need not be there (folder.c); NULL: nothing names a state directory */
    uint32_t service_index;
    void (*log)(void *user, int level, const char *line);
    void *log_user;

    struct ap_worker *workers;
    uint32_t worker_count;
    struct ap_agent *agents;
    char **agent_names;
    char ***agent_capabilities;
    size_t agent_count;
    struct ap_swarm_registration registration;
    struct ap_agent_registration *rows;
    struct ap_terms **terms; /* of each agent whose description has a text */
    struct ap_rules **rules; /* the same */
    apiary_memory_t *local; /* the local memory of its service */
    struct ap_monitor *monitor;
    bool removed;               /* it was logged that the segment has lost its name */
    uint64_t beat_due;
    uint32_t seen_turns[AP_WORKERS_MAX], still[AP_WORKERS_MAX]; /* turns at the last beat; beats since without one */

    pthread_t control;
    int result;
    char message[1024];
    uint32_t news AP_ALIGNED; /* futex of the control thread: a worker's phase, stop */
    uint32_t phase;           /* futex of the starter */
    bool stopping;            /* under the lock of the queens: a thread waits for this queen's end */
    uint32_t stop;
    uint64_t stop_until;
};

/* Configurations and terms that the caller has read already, one for each agent, and keeps until the queen has stopped. */
struct ap_queen_given {
    const struct ap_node *const *configs; /* as ap_agent_config_judge has passed them; an element may be NULL */
    const struct ap_terms *const *terms;  /* one for each of the agent's capabilities */
    const struct ap_rules *const *rules;  /* the same */
    const char *heir_of;                  /* registry.h; NULL: of none */
};
/* apiary_queen_start. `given` is used instead of the descriptions' texts; NULL: the texts are. */
AP_MUST_CHECK int ap_queen_start(struct apiary *a, const apiary_swarm_description_t *d, const struct ap_queen_given *given,
                                 char *message, size_t size, apiary_queen_t **ret);
/* A queen that runs says otherwise from now on: limits, weight, terms of the health check, and, by `given` in the order of its
 * agents, terms and rules of their capabilities. `d` has no agents. All or nothing; what is given has to be kept until the queen
 * has stopped, or was adjusted again. APIARY_ESTALE: it has left; APIARY_EINVAL: it is being stopped, or a number is out of range;
 * else as ap_swarm_adjust. */
AP_MUST_CHECK int ap_queen_adjust(const apiary_queen_t *name, const apiary_swarm_description_t *d,
                                  const struct ap_queen_given *given);
/* Puts what of a description may change while the queen runs into her registration. */
void ap_queen_terms(struct ap_swarm_registration *r, const apiary_swarm_description_t *d);
/* queen_make.c. make: 0, or an error with a sentence in message. */
AP_MUST_CHECK int ap_queen_make(struct apiary *a, const apiary_swarm_description_t *d, const struct ap_queen_given *given,
                                char *message, size_t size, struct ap_queen **ret);
void ap_queen_free(struct ap_queen *q);

/* folder.c: where the folder for the files of her agents is. To be freed; NULL: nothing names a state directory. */
AP_MUST_CHECK int ap_queen_folder(const struct ap_queen *q, const char *state_directory, char **ret);

/* Wakes the control thread. */
void ap_queen_news(struct ap_queen *q);
void ap_queen_log(const struct ap_queen *q, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
