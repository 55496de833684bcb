/* agents/agent.h - the inside of an agent and of a job; private memory of the worker's thread, but for what is marked. */
#ifndef AP_AGENT_H
#define AP_AGENT_H

#include <stdarg.h>

#include "agents/arena.h"
#include "core/config.h"
#include "registry/client.h"

#define AP_AGENT_HANDS 64u /* jobs that an agent has at once; the rest stays queued, for others */

struct ap_worker;
struct apiary_queen;

struct ap_text_list {
    struct ap_text_list *next;
    const struct ap_node *node;
    size_t count;
    const char *texts[];
};

struct apiary_agent {
    struct apiary_queen *queen;
    struct ap_worker *worker;
    const apiary_agent_kind_t *kind;
    const char *name;          /* the queen's copy */
    const struct ap_node *config;
    void *state;
    bool created;
    struct ap_arena arena;
    struct ap_text_list *lists; /* what apiary_agent_list handed out */

    uint32_t queue;
    struct ap_consumer consumer;
    bool scanning; /* the table is being looked through for tasks whose reference was lost */
    uint64_t cursor;
    uint32_t in_hand, limit;
    uint64_t started, finished, failed, run_time;
    uint32_t shown;       /* `running`, as last published */
    uint32_t unpublished; /* tasks started or finished since */
};

struct apiary_job {
    struct apiary_agent *agent;
    struct ap_slot *at;
    uint32_t slot;
    int hand; /* of the lane, -1: none was free */
    uint64_t token;
    bool busy; /* it is in an agent's hands; the worker's own */
    const void *data;
    uint32_t size;
    uint16_t capability, caller;
    bool alone; /* has crashed a worker before, so nothing is started beside it */
    bool over;  /* finished by the worker's end; the agent may still hold the pointer */
    uint64_t deadline, started;
    void *user;
    uint64_t reserved; /* block of apiary_job_reserve, 0: none */
    char capability_name[APIARY_CAPABILITY_MAX + 1], caller_name[APIARY_NAME_MAX + 1];

    struct apiary_job *next; /* of the worker's list of free ones */

    /* From another thread to the worker, by worker->handed. */
    struct apiary_job *handed_next;
    void *handed_data;
    size_t handed_size;
    int handed_failed, handed_code;
};

/* Finishes a job of the calling worker's: DONE with code 0, else FAILED. Returns 0, or why the result could not be stored
 * (the task then failed with that), or APIARY_ESTALE. */
int ap_job_finish(struct apiary_job *job, int code, uint32_t agent_code, const void *data, size_t size);
/* What another thread handed over. */
void ap_job_finish_handed(struct apiary_job *job);

void ap_agent_logv(struct apiary_agent *agent, int level, const char *format, va_list args);
void ap_agent_lists_free(struct apiary_agent *agent);

#endif
