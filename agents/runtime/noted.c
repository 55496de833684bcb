/* agents/runtime/noted.c - which ends of tasks a worker enters among the last tasks. See noted.h. */
#include "agents/runtime/noted.h"

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

/* Adds what the slot and the row beside it say of the task, if they are still its. `again`: its failures have this one. */
static void noted_carried(const struct ap_segment *seg, const struct ap_job *job, bool again, struct ap_finished *r)
{
    struct ap_finished said = *r;

    said.attempt = (uint16_t)(said.attempt + AP_TRIES_FAILURES(ap_slot_tries(job->at, job->token)) - again);
    ap_carried_traced(seg, ap_job_task(job), &said);
    ap_fence_acquire(); /* CARRIED-A1 pairs CARRIED-R1 */
    if (still_its(job)) *r = said;
}

void ap_noted(const struct ap_job *job, enum ap_finish how, int code, uint32_t agent_code, uint64_t now, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    apiary_task_t id = ap_job_task(job);
    bool notable = how != AP_FINISH_DONE || (job->marks & AP_JOB_NOTED) != 0 || job->waited + (now - job->started) >= w->noted.slow;
    struct ap_finished r = {.generation = id.generation, .slot = id.slot, .epoch = id.epoch,
                            .queued = job->started - job->waited, .started = job->started, .agent_code = agent_code,
                            .pid = (uint32_t)w->seg->self.pid, .body_size = job->size, .result_size = (uint32_t)size,
                            .capability = job->capability, .caller = job->caller, .queue = (uint16_t)job->agent->queue,
                            .lane = (uint16_t)w->context->lane.index, .attempt = (uint16_t)(AP_WORD_ATTEMPT(job->token) + 1)};

    if (!notable && !ap_tapped(w->noted.tap, now)) {
        w->noted.from = AP_PACE_SLOW; /* nobody taps any more */
        return;
    }
    noted_carried(w->seg, job, how == AP_FINISH_RETRIED, &r);
    ap_finished_enter(w->seg, &r, how, code, now, notable);
}
