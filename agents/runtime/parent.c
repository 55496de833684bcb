/* agents/runtime/parent.c - see parent.h. */
#include "agents/runtime/parent.h"

#include "agents/runtime/queen.h"

static uint64_t parent_ref(const struct ap_job *job)
{
    return AP_REF(job->slot, AP_WORD_GENERATION(job->token));
}

/* The job with which an agent's function is called just now, for the task that its thread is inside of; NULL: that has ended. */
static const struct ap_job *parent_job(const struct ap_worker *w, uint64_t ref)
{
    const struct ap_job *job = w->called;

    return job != NULL && job->busy && parent_ref(job) == ref ? job : NULL;
}

/* The task of the only job in the agent's hands; 0: there is none, or there are more. */
static uint64_t parent_guess(const struct ap_agent *agent)
{
    if (agent->in_hand != 1) return 0;
    for (uint32_t i = agent->limit; i-- > 0;)
        if (agent->jobs[i].busy) return parent_ref(&agent->jobs[i]);
    return 0;
}

struct ap_parent ap_parent_of(const struct ap_worker *w, const struct ap_agent *agent, const apiary_job_t *job)
{
    uint64_t inside = ap_load_relaxed(&w->context->lane.lane->inside);
    bool of_task = inside != 0 && (inside & AP_INSIDE_IS_AGENT) == 0;
    const struct ap_job *at;

    if (job == NULL) job = w->calling;
    if (job == NULL && !of_task) return (struct ap_parent){.ref = parent_guess(agent)};
    at = job != NULL ? ap_handle_get(job) : parent_job(w, inside);
    if (at == NULL) return (struct ap_parent){.ended = true, .ref = of_task ? inside : 0};
    return (struct ap_parent){.job = ap_handle_name(at->handle), .ref = parent_ref(at)};
}

uint64_t ap_parent_policy(const struct ap_parent *p, const apiary_delegate_options_t *o)
{
    if (p->job == NULL && !p->ended) return 0;
    if (o->parent_close != 0) return o->parent_close;
    return (o->flags & APIARY_DETACH) != 0 ? APIARY_PARENT_ABANDON : APIARY_PARENT_TERMINATE;
}

bool ap_parent_over(const apiary_job_t *job)
{
    const struct ap_job *at = ap_handle_get(job);
    uint64_t request;

    if (at == NULL || ap_load_relaxed(&at->over) != 0) return true;
    request = ap_load_acquire(&at->at->request); /* TASK-A7 pairs TASK-R7 */
    return ap_request_has(request, at->token, AP_REQUEST_CANCEL) || ap_request_recalled(request, at->token);
}

int ap_parent_bind(const struct ap_parent *p, uint64_t policy, uint64_t now, apiary_delegate_options_t *o, struct ap_bond *ret)
{
    const struct ap_job *at = p->job != NULL ? ap_handle_get(p->job) : NULL;
    uint64_t due = ap_due_of(o, now), latest;

    if (at == NULL || ap_parent_over(p->job)) return APIARY_ECANCELLED;
    latest = (at->marks & AP_JOB_TIMED) != 0 && at->close_by < at->deadline ? at->close_by : at->deadline;
    if (latest <= due) return APIARY_ETIMEDOUT;
    if (ap_deadline_of(at->agent->worker->seg, o, due) > latest) o->timeout = latest - due;
    o->parent_close = policy;
    *ret = (struct ap_bond){.latest = latest};
    return 0;
}
