/* agents/runtime/delegation.c - what agents delegate: submitted on the worker's own lane, looked at in its turns. See worker.h. */
#include <stdlib.h>

#include "agents/runtime/delegation.h"
#include "agents/runtime/queen.h"
#include "core/invariant.h"
#include "registry/client/hedge.h"
#include "registry/client/until.h"
#include "registry/routing/dead.h"

static void append(struct ap_worker *w, struct ap_delegation *d)
{
    d->next = NULL;
    *w->delegations_end = d;
    w->delegations_end = &d->next;
    w->delegation_count++;
}

static struct ap_delegation *take_first(struct ap_worker *w)
{
    struct ap_delegation *d = w->delegations;

    AP_ASSERT(d != NULL && w->delegation_count > 0);
    w->delegations = d->next;
    if (w->delegations == NULL) w->delegations_end = &w->delegations;
    w->delegation_count--;
    return d;
}

/* For the sake of its job's task, if it is for one: a gate passes it on (registry/routing/rules.h). */
static int delegation_submit(struct ap_worker *w, const struct ap_delegation_asked *q, apiary_task_t *ret)
{
    struct ap_lane_context *c = w->context;
    int r;

    c->sake = q->job != NULL ? q->inside : 0;
    r = ap_submit(c, q->service, q->capability, q->body, q->size, 0, &q->options, ret);
    c->sake = 0;
    c->balance.from_gate = 0;
    return r != APIARY_ELIMIT ? ap_refused_told(c, q->capability, NULL, r) : r; /* of those it waits for a ticket */
}

/* Of a task that is fire and forget nobody here hears any more, unless it is to end with the job. */
int ap_delegation_start(struct ap_worker *w, const struct ap_delegation_asked *q)
{
    bool binds = ap_parent_binds(q->policy);
    struct ap_delegation *d;
    int r;

    if (q->done == NULL && !binds) return delegation_submit(w, q, NULL);
    d = malloc(sizeof *d);
    if (d == NULL) return APIARY_ENOBLOCK;
    w->context->bond = binds ? &q->bond : NULL;
    w->context->deadline = 0;
    r = delegation_submit(w, q, &d->task);
    w->context->bond = NULL;
    if (r < 0) {
        free(d);
        return r;
    }
    d->deadline = d->until = w->context->deadline != 0 ? ap_sooner(w->context->deadline, q->bond.latest) : q->deadline;
    d->inside = q->inside;
    d->job = q->job;
    d->policy = q->policy;
    d->cancelled = false;
    d->done = q->done;
    d->user = q->user;
    append(w, d);
    return 0;
}

/* Whose sake it is for, and so what it has and must not exceed. */
static int bind_to_parent(struct ap_worker *w, const apiary_job_t *job, struct ap_delegation_asked *q)
{
    const struct ap_parent parent = ap_parent_of(w, q->agent, job);
    uint64_t now = w->seg->ops->now();
    int r = 0;

    q->job = parent.job;
    q->policy = ap_parent_policy(&parent, &q->options);
    q->bond.latest = UINT64_MAX;
    if (ap_parent_binds(q->policy)) r = ap_parent_bind(&parent, q->policy, now, &q->options, &q->bond);
    if (r == 0 && parent.ref != 0)
        r = ap_carried_inherit(w->seg, ap_task_id(w->seg, AP_REF_SLOT(parent.ref), AP_REF_GENERATION(parent.ref)), &q->options);
    q->due = ap_due_of(&q->options, now);
    q->deadline = ap_sooner(ap_deadline_of(w->seg, &q->options, q->due), q->bond.latest);
    /* A guess is for what is inherited, and for nothing that follows from it. */
    q->inside = parent.job != NULL || parent.ended ? parent.ref : AP_INSIDE_AGENT(q->agent->queue);
    return r;
}

/* `job` NULL: the agent does not say for whose sake. */
static int delegate(struct ap_agent *agent, const apiary_job_t *job, int service, const char *capability, const void *body,
                    size_t size, const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    struct ap_worker *w = agent->worker;
    struct ap_delegation_asked q = {.agent = agent, .service = service, .capability = capability, .body = body, .size = size,
                                    .options = {.struct_size = sizeof q.options}, .done = done, .user = user};
    int r = 0;

    if (options != NULL)
        r = ap_sized_in(&q.options, sizeof q.options, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size);
    if (r < 0) return r;
    if (capability == NULL || (done == NULL) != ((q.options.flags & APIARY_DETACH) != 0) || (body == NULL && size > 0) ||
        ap_worker_self() != w)
        return APIARY_EINVAL;
    q.options.flags &= ~(uint32_t)APIARY_PARTS; /* `done` is given the whole */
    r = bind_to_parent(w, job, &q);
    if (r < 0) return r;
    r = w->waiting.count == 0 ? ap_delegation_start(w, &q) : APIARY_ELIMIT;
    return r == APIARY_ELIMIT ? ap_delegation_wait(w, &q) : r;
}

int apiary_agent_execute_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                              const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    return delegate(of, NULL, (int)of->queen->service_index, capability, body, size, options, done, user);
}

int apiary_agent_delegate_external_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                                        const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    return delegate(of, NULL, -1, capability, body, size, options, done, user);
}

int apiary_job_delegate(apiary_job_t *handle, const char *capability, const void *body, size_t size,
                        const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    const struct ap_job *job = ap_job_asked(handle);

    if (handle == NULL) return APIARY_EINVAL;
    return job != NULL ? delegate(job->agent, handle, -1, capability, body, size, options, done, user) : APIARY_ESTALE;
}

/* The callback's own delegations are for the same job. */
void ap_delegation_call_back(struct ap_worker *w, uint64_t inside, const apiary_job_t *job, apiary_done_fn done, void *user,
                             const apiary_result_t *result)
{
    struct ap_lane *lane = w->context->lane.lane;
    const uint64_t before = ap_load_relaxed(&lane->inside);

    ap_lane_inside(lane, inside);
    w->calling = job;
    done(user, result);
    w->calling = NULL;
    ap_lane_inside(lane, before);
}

/* Nobody hears of what is fire and forget. */
static void call_back(struct ap_worker *w, const struct ap_delegation *d, const apiary_result_t *result)
{
    if (d->done != NULL) ap_delegation_call_back(w, d->inside, d->job, d->done, d->user, result);
}

static void end_with(struct ap_worker *w, struct ap_delegation *d, int code)
{
    apiary_result_t result = {.struct_size = sizeof result, .code = code, .task = d->task};

    call_back(w, d, &result);
    free(d);
}

#define TIMED_LOOKS UINT64_C(1000000000) /* at a delegation whose time may become another when it is started */

/* When it is to be given up, as it stands now. The segment can only make it sooner. */
static uint64_t given_up_at(struct ap_worker *w, const struct ap_delegation *d)
{
    struct ap_slot *slot;
    uint64_t word;

    if (!ap_task_find(w->client, d->task, &slot, &word)) return d->deadline;
    return ap_sooner(ap_until(w->seg, d->task.slot, word), d->deadline);
}

static uint64_t looked_at(const struct ap_worker *w, const struct ap_delegation *d, uint64_t now)
{
    uint64_t request = ap_load_relaxed(&ap_slot_at(w->seg, d->task.slot)->request), until = d->until;

    if ((request & AP_REQUEST_TIMED) != 0) until = ap_sooner(until, now + TIMED_LOOKS);
    return ap_parent_binds(d->policy) && !d->cancelled ? ap_sooner(until, now + AP_PARENT_LOOKS) : until;
}

/* The job is over: 0 what is for it goes on for now, 1 nobody waits for it any more. */
static int close_as_agreed(struct ap_worker *w, struct ap_delegation *d)
{
    d->cancelled = true;
    if (d->policy == APIARY_PARENT_REQUEST_CANCEL || d->done == NULL) {
        apiary_cancel(w->client, d->task);
        return d->done == NULL;
    }
    ap_give_up(w->client, d->task);
    return 1;
}

/* One that has not ended: 0 it goes on, 1 it has ended now, or an error. */
static int unfinished(struct ap_worker *w, struct ap_delegation *d, uint64_t now, apiary_result_t *ret)
{
    int r;

    d->until = d->done != NULL ? given_up_at(w, d) : d->deadline; /* nobody waits for the attempts of what is fire and forget */
    if (now >= d->until) {
        if (d->done == NULL) return APIARY_ETIMEDOUT;
        if (now >= d->deadline) {
            ap_give_up(w->client, d->task);
            return APIARY_ETIMEDOUT;
        }
        r = ap_expire(w->client, d->task, now, &d->until, ret);
        if (r != 0) return r;
    }
    if (d->job == NULL || d->cancelled || !ap_parent_binds(d->policy) || !ap_parent_over(d->job)) return 0;
    return close_as_agreed(w, d) ? APIARY_ECANCELLED : 0;
}

/* A task that is fire and forget is not collected: 0 it goes on, else APIARY_ESTALE. */
static int collected(struct ap_worker *w, struct ap_delegation *d, apiary_result_t *ret)
{
    struct ap_slot *slot;
    uint64_t word;

    if (d->done != NULL) return ap_collect(w->client, d->task, ret);
    if (!ap_task_find(w->client, d->task, &slot, &word)) return APIARY_ESTALE;
    return ap_task_waits(AP_WORD_STATE(word)) || AP_WORD_STATE(word) == AP_TASK_RUNNING ? 0 : APIARY_ESTALE;
}

/* Looks at one that is off the list: ends it, or puts it back at the end. */
static int delegation_look(struct ap_worker *w, struct ap_delegation *d, uint64_t now, bool reroute)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = collected(w, d, &result);

    if (r == 0) r = unfinished(w, d, now, &result);
    if (r == 1) {
        call_back(w, d, &result);
        apiary_release(w->client, &result);
        free(d);
        return 1;
    }
    if (r < 0) {
        end_with(w, d, r);
        return 1;
    }
    if (reroute) ap_reroute_own(w->context, d->task);
    append(w, d);
    return 0;
}

int ap_delegations_poll(struct ap_worker *w, uint32_t most, bool reroute)
{
    uint32_t n = w->delegation_count < most ? w->delegation_count : most;
    uint64_t now;
    int ended = 0;

    if (n == 0 && w->waiting.count == 0) return 0;
    now = w->seg->ops->now();
    ap_hedges_due(w->context, now);
    while (n-- > 0 && w->delegations != NULL) ended += delegation_look(w, take_first(w), now, reroute);
    if (__builtin_expect(w->waiting.count > 0, 0)) ended += ap_delegations_waiting(w, now, ended > 0);
    return ended;
}

uint64_t ap_delegations_here(const struct ap_worker *w, struct ap_agent **ret)
{
    for (const struct ap_delegation *d = w->delegations; d != NULL; d = d->next) {
        struct ap_slot *slot;
        uint64_t word;

        if (!ap_task_find(w->client, d->task, &slot, &word) || AP_WORD_STATE(word) != AP_TASK_QUEUED) continue;
        for (size_t i = 0; i < w->agent_count; i++) {
            if (w->agents[i]->queue != AP_WORD_OWNER(word) || w->agents[i]->in_hand >= w->agents[i]->limit) continue;
            *ret = w->agents[i];
            return AP_REF(d->task.slot, d->task.generation);
        }
    }
    return 0;
}

uint64_t ap_delegations_due(const struct ap_worker *w)
{
    uint64_t due = ap_delegations_waiting_due(w), now = w->delegations != NULL ? w->seg->ops->now() : 0;

    if (w->delegations != NULL && w->context->hedge_due < due) due = w->context->hedge_due;
    for (const struct ap_delegation *d = w->delegations; d != NULL; d = d->next) {
        uint64_t at = looked_at(w, d, now);
        if (at < due) due = at;
    }
    return due;
}

/* The worker ends, and nobody will look at it any more. */
static void leave(struct ap_worker *w, const struct ap_delegation *d)
{
    if (d->policy == APIARY_PARENT_ABANDON) {
        ap_hedge_drop(w->client, d->task);
        ap_task_request(w->seg, d->task.slot, d->task.generation, AP_REQUEST_DETACH);
        ap_task_free_unseen(w->seg, w->context->lane.index, d->task.slot, ap_slot_leave, w->seg);
    } else if (d->done == NULL) {
        apiary_cancel(w->client, d->task);
    } else {
        ap_give_up(w->client, d->task);
    }
}

void ap_delegations_end(struct ap_worker *w, int code)
{
    /* Delegations that a callback adds meanwhile end in the same way; the bound is for a callback that never stops adding. */
    for (int i = 0; i < 100000 && w->delegations != NULL; i++) {
        struct ap_delegation *d = take_first(w);
        leave(w, d);
        end_with(w, d, code);
    }
    ap_delegations_waiting_end(w, code);
}
