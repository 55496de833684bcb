/* agents/runtime/delegation.h - what agents delegate, inside: asked for, under way, waiting for a ticket.
 *
 * WAITING   1 A delegation for which its service has no ticket (registry/routing/admission.h) waits in private memory of its
 *           worker: timers that fire together do not fail each other's tasks. A refusal for another reason is told at once.
 *           2 Delegations that wait are started in the order in which they were asked for. Later ones go behind them.
 *           3 A ticket may become free in any process of the service, and nobody tells. So the worker tries again when one of its
 *           own delegations has ended, and every AP_WAITING_PAUSE.
 *           4 One that waits until its deadline, or until it would have to be started (schedule_to_start), ends with
 *           APIARY_ETIMEDOUT, one that is refused later for another reason with that reason.
 *           5 A worker has AP_WAITING_MAX of them at most. One more is refused.
 *           6 One that is for a job, and is not to outlive it, ends with APIARY_ECANCELLED when the job is over (parent.h).
 * CRASH     They are lost with their worker, as the tasks are that it had in hand, which are started again.
 * THREADS   The worker's.
 */
#ifndef AP_DELEGATION_H
#define AP_DELEGATION_H

#include "agents/runtime/parent.h"
#include "agents/runtime/worker.h"

#define AP_WAITING_MAX 1024u
#define AP_WAITING_PAUSE UINT64_C(1000000)

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

/* Has it wait, with copies of all that it names. 0; APIARY_ELIMIT: too many wait; APIARY_ENOBLOCK: no memory. */
int ap_delegation_wait(struct ap_worker *w, const struct ap_delegation_asked *q);
/* Ends those whose time is over, and starts what can be started. `freed`: one of the worker's own has just ended. How many have
 * ended or were started. */
int ap_delegations_waiting(struct ap_worker *w, uint64_t now, bool freed);
/* When to look again: a time, or UINT64_MAX. */
uint64_t ap_delegations_waiting_due(const struct ap_worker *w);
/* Ends all with `code`. */
void ap_delegations_waiting_end(struct ap_worker *w, int code);

#endif
