/* agents/runtime/delegation.c - what agents delegate: submitted on the worker's own lane, looked at in its turns. See worker.h. */
#include <stdlib.h>

#include "agents/runtime/queen.h"
#include "core/invariant.h"
#include "registry/client/carried.h"

struct ap_delegation {
    struct ap_delegation *next;
    apiary_task_t task;
    uint64_t inside; /* whose code delegated it: a reference, or an agent (struct ap_lane) */
    uint64_t deadline;
    apiary_done_fn done;
    void *user;
};

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

/* The task for whose sake an agent's function runs: that of the call, or else the only one in the agent's hands. 0: it cannot be
 * told. */
static uint64_t parent_of(const struct ap_worker *w, const struct ap_agent *agent)
{
    uint64_t inside = ap_load_relaxed(&w->context->lane.lane->inside);

    if (inside != 0 && (inside & AP_INSIDE_IS_AGENT) == 0) return inside;
    if (agent->in_hand != 1) return 0;
    for (uint32_t i = 0; i < agent->limit; i++)
        if (agent->jobs[i].busy) return AP_REF(agent->jobs[i].slot, AP_WORD_GENERATION(agent->jobs[i].token));
    return 0;
}

static int delegate(const struct ap_agent *agent, int service, const char *capability, const void *body, size_t size,
                    const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    struct ap_worker *w = agent->worker;
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    uint64_t now = w->seg->ops->now();
    struct ap_delegation *d;
    uint64_t parent;
    bool detached;
    int r = options != NULL ? ap_sized_in(&o, sizeof o, AP_FIRST_DELEGATE_OPTIONS, options, options->struct_size) : 0;

    if (r < 0) return r;
    detached = (o.flags & APIARY_DETACH) != 0;
    if (capability == NULL || (done == NULL) != detached || (body == NULL && size > 0) || ap_worker_self() != w)
        return APIARY_EINVAL;
    parent = parent_of(w, agent);
    if (parent != 0) r = ap_carried_inherit(w->seg, ap_task_id(w->seg, AP_REF_SLOT(parent), AP_REF_GENERATION(parent)), &o);
    if (r < 0) return r;
    if (detached) return ap_submit(w->context, service, capability, body, size, 0, &o, NULL);
    d = malloc(sizeof *d);
    if (d == NULL) return APIARY_ENOBLOCK;
    r = ap_submit(w->context, service, capability, body, size, 0, &o, &d->task);
    if (r < 0) {
        free(d);
        return r;
    }
    d->deadline = ap_deadline_of(w->seg, &o, ap_due_of(&o, now));
    d->inside = parent != 0 ? parent : AP_INSIDE_AGENT(agent->queue);
    d->done = done;
    d->user = user;
    append(w, d);
    return 0;
}

int apiary_agent_execute_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                              const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    const struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    return delegate(of, (int)of->queen->service_index, capability, body, size, options, done, user);
}

int apiary_agent_delegate_external_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                                        const apiary_delegate_options_t *options, apiary_done_fn done, void *user)
{
    const struct ap_agent *of = ap_agent_of(agent);

    if (of == NULL) return ap_agent_missing(agent);
    return delegate(of, -1, capability, body, size, options, done, user);
}

/* The callback's own delegations are for the same task. */
static void call_back(struct ap_worker *w, struct ap_delegation *d, const apiary_result_t *result)
{
    struct ap_lane *lane = w->context->lane.lane;
    const uint64_t before = ap_load_relaxed(&lane->inside);

    ap_lane_inside(lane, d->inside);
    d->done(d->user, result);
    ap_lane_inside(lane, before);
}

static void end_with(struct ap_worker *w, struct ap_delegation *d, int code)
{
    apiary_result_t result = {.struct_size = sizeof result, .code = code, .task = d->task};

    call_back(w, d, &result);
    free(d);
}

/* Looks at one that is off the list: ends it, or puts it back at the end. */
static int delegation_look(struct ap_worker *w, struct ap_delegation *d, uint64_t now, bool reroute)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = ap_collect(w->client, d->task, &result);

    if (r == 1) {
        call_back(w, d, &result);
        apiary_release(w->client, &result);
        free(d);
        return 1;
    }
    if (r < 0 || now >= d->deadline) {
        if (r == 0) ap_give_up(w->client, d->task);
        end_with(w, d, r < 0 ? r : APIARY_ETIMEDOUT);
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

    if (n == 0) return 0;
    now = w->seg->ops->now();
    while (n-- > 0 && w->delegations != NULL) ended += delegation_look(w, take_first(w), now, reroute);
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
    uint64_t due = UINT64_MAX;

    for (const struct ap_delegation *d = w->delegations; d != NULL; d = d->next)
        if (d->deadline < due) due = d->deadline;
    return due;
}

void ap_delegations_end(struct ap_worker *w, int code)
{
    /* Delegations that a callback adds meanwhile end in the same way; the bound is for a callback that never stops adding. */
    for (int i = 0; i < 100000 && w->delegations != NULL; i++) {
        struct ap_delegation *d = take_first(w);
        ap_give_up(w->client, d->task);
        end_with(w, d, code);
    }
}
