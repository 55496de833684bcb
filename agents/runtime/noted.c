/* agents/runtime/noted.c - which ends of tasks a worker enters among the last tasks. See noted.h. */
#include "agents/runtime/noted.h"

#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/client/carried.h"

#define MS UINT64_C(1000000)

void ap_noted_look(struct ap_worker *w)
{
    w->noted.tap = ap_load_relaxed(&w->seg->header->tap);
    w->noted.slow = w->seg->geometry.slow_task * MS;
    w->noted.from = ap_tapped(w->noted.tap, w->seg->ops->now()) ? 0 : AP_PACE_SLOW;
}

/* Whether the slot is still, or again, that of the task's generation. */
static bool still_its(const struct ap_job *job)
{
    return AP_WORD_GENERATION(ap_load_relaxed(&job->at->word)) == AP_WORD_GENERATION(job->token);
}

void ap_noted_begin(struct ap_job *job, uint64_t request)
{
    struct ap_finished r = {.number = 0};

    if (ap_request_has(request, job->token, AP_REQUEST_TRIED)) {
        job->marks |= AP_JOB_TRIED;
        job->said.failures = (uint16_t)AP_TRIES_FAILURES(ap_load_relaxed(&job->at->tries));
    }
    if (!ap_request_has(request, job->token, AP_REQUEST_SAMPLED)) return;
    job->marks |= AP_JOB_SAMPLED;
    ap_carried_traced(job->agent->worker->seg, ap_job_task(job), &r);
    memcpy(job->said.trace, r.trace, sizeof job->said.trace);
    job->said.parent = r.parent;
    job->said.other = r.other;
    job->said.flags = r.flags;
    job->said.second = r.second;
}

/* Adds the trace and the hedge: as they were kept, or what the row beside the slot says, if it is still the task's. */
static void noted_carried(const struct ap_segment *seg, const struct ap_job *job, struct ap_finished *r)
{
    struct ap_finished said = *r;

    if ((job->marks & AP_JOB_SAMPLED) != 0) {
        memcpy(r->trace, job->said.trace, sizeof r->trace);
        r->parent = job->said.parent;
        r->other = job->said.other;
        r->flags = job->said.flags;
        r->second = job->said.second;
        return;
    }
    ap_carried_traced(seg, ap_job_task(job), &said);
    ap_fence_acquire(); /* CARRIED-A1 pairs CARRIED-R1 */
    if (still_its(job)) *r = said;
}

/* While a task ran that took longer than a lease the tap has been put off. */
static bool noted_tapped(struct ap_worker *w, uint64_t now)
{
    if (!ap_tapped(w->noted.tap, now)) w->noted.tap = ap_load_relaxed(&w->seg->header->tap);
    return ap_tapped(w->noted.tap, now);
}

void ap_noted(const struct ap_job *job, enum ap_finish how, int code, uint32_t agent_code, uint64_t now, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    apiary_task_t id = ap_job_task(job);
    uint64_t took = now > job->started ? now - job->started : 0;
    uint32_t failures = (job->marks & AP_JOB_TRIED) != 0 ? job->said.failures : 0;
    bool notable = how != AP_FINISH_DONE || (job->marks & AP_JOB_NOTED) != 0 || job->waited + took >= w->noted.slow;
    struct ap_finished r = {.generation = id.generation, .slot = id.slot, .epoch = id.epoch,
                            .queued = job->started - job->waited, .started = job->started, .agent_code = agent_code,
                            .pid = (uint32_t)w->seg->self.pid, .body_size = job->size, .result_size = (uint32_t)size,
                            .capability = job->capability, .caller = job->caller, .queue = (uint16_t)job->agent->queue,
                            .lane = (uint16_t)w->context->lane.index,
                            .attempt = (uint16_t)(AP_WORD_ATTEMPT(job->token) + 1 + failures)};

    if ((job->marks & AP_JOB_PROBE) != 0) return;
    if (!notable && !noted_tapped(w, now)) {
        w->noted.from = AP_PACE_SLOW; /* nobody taps any more */
        return;
    }
    noted_carried(w->seg, job, &r);
    ap_finished_enter(w->seg, &r, how, code, now, notable);
}
