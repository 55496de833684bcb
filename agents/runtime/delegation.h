/* agents/runtime/delegation.h - what agents delegate, inside: asked for, under way, waiting for a ticket.
 *
 * CRASH     They are lost with their worker, as the tasks are that it had in hand, which are started again.
 * THREADS   The worker's.
 */
#ifndef AP_DELEGATION_H
#define AP_DELEGATION_H

#include "agents/runtime/parent.h"
#include "agents/runtime/worker.h"

/* A delegation as an agent asks for it. */
struct ap_delegation_asked {
    struct ap_agent *agent;
    int service;            /* of the agent, -1: any */
    const char *capability;
    const void *body;
    size_t size;
    apiary_delegate_options_t options;
    uint64_t due, deadline; /* from when on it may run, and until when */
    uint64_t inside;        /* whose code asked: a reference, or an agent (struct ap_lane) */
    const apiary_job_t *job; /* for which it is; NULL: for none */
    uint64_t policy;        /* parent_close that is in force; 0: for no job */
    struct ap_bond bond;    /* if the policy binds */
    apiary_done_fn done;    /* NULL: it is fire and forget */
    void *user;
};

struct ap_delegation {
    struct ap_delegation *next;
    apiary_task_t task;
    uint64_t inside, deadline; /* as above, and so the two that follow */
    const apiary_job_t *job;
    uint64_t policy;
    uint64_t until; /* when it was to be looked at, or given up, by the last look */
    bool cancelled; /* as the policy says */
    apiary_done_fn done; /* NULL: it is fire and forget, and bound */
    void *user;
};

/* Submits it. 0, or an error. */
int ap_delegation_start(struct ap_worker *w, const struct ap_delegation_asked *q);
/* Calls `done` as code of whose sake it was asked for: what that delegates in turn is for the same job. */
void ap_delegation_call_back(struct ap_worker *w, uint64_t inside, const apiary_job_t *job, apiary_done_fn done, void *user,
                             const apiary_result_t *result);

#endif
