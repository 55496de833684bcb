/* agents/runtime/timers.c - how long an agent may have a task in hand: start_to_close and heartbeat. See worker.h.
 *
 * ENDS      1 By the worker's thread, which alone may end what the worker has claimed: a job that takes too long is told to stop,
 *           by apiary_job_cancelled and apiary_job_beat. If it has no answer a while later it is ended over its agent's head.
 *           2 While that thread is in the agent's code it looks at no timer. Then the task's caller gives it up (client/until.c).
 * COST      None for a task without timers. A turn of a worker that has one in hand reads the clock; it looks at its jobs when the
 *           soonest of their times has come. Beats only put a time off, so they need not say so.
 * THREADS   1 A beat comes from any thread of the agent's; all else is the worker's thread.
 *           2 A thread that beats may be slow, and its job end meanwhile. It reads the clock, then whether the job is still its
 *           own, and only raises the job's time. So a late beat is before the start of whatever job has the place since.
 */
#include "agents/runtime/queen.h"
#include "registry/client/carried.h"
#include "registry/client/until.h"

#define ANSWER_ARRIVES UINT64_C(10000000) /* until it is looked again for an answer that is on its way */

static uint64_t timers_end_of(const struct ap_job *job)
{
    uint64_t over = ap_load_relaxed(&job->over), silent;

    if (over != 0) return over + AP_OVERRUN_GRACE;
    silent = job->heartbeat != 0 ? ap_load_relaxed(&job->beaten) + job->heartbeat : UINT64_MAX;
    return silent < job->close_by ? silent : job->close_by;
}

void ap_timers_beat(struct ap_job *job, uint64_t now)
{
    uint64_t before = ap_load_relaxed(&job->beaten);

    while (before < now)
        if (ap_cas(&job->beaten, &before, now)) return;
}

void ap_timers_open(struct ap_worker *w, struct ap_job *job)
{
    struct ap_carried row;
    uint64_t end;

    if (!ap_carried_read(w->seg, ap_task_id(w->seg, job->slot, AP_WORD_GENERATION(job->token)), &row)) return;
    if (row.start_to_close == 0 && row.heartbeat == 0) return;
    job->close_by = row.start_to_close != 0 ? w->now + row.start_to_close : UINT64_MAX;
    job->heartbeat = row.heartbeat;
    ap_store_relaxed(&job->beaten, w->now);
    ap_store_relaxed(&job->over, 0);
    job->marks |= AP_JOB_TIMED;
    end = timers_end_of(job);
    if (w->timed++ == 0 || end < w->timers_due) w->timers_due = end;
}

void ap_timers_close(struct ap_worker *w, struct ap_job *job)
{
    job->marks &= (uint8_t)~AP_JOB_TIMED;
    ap_store_relaxed(&job->over, 0);
    w->timed--;
}

/* Whether it was ended. *due: when something is to be done with it next. An answer that another thread has brought counts, although
 * it may not have arrived yet. */
static bool timers_job(struct ap_job *job, uint64_t now, uint64_t *due)
{
    *due = timers_end_of(job);
    if (now < *due) return false;
    if (ap_load_relaxed(&job->handed) == (uintptr_t)ap_handle_name(job->handle)) {
        *due = now + ANSWER_ARRIVES;
        return false;
    }
    if (ap_load_relaxed(&job->over) == 0) {
        ap_store_relaxed(&job->over, now);
        *due = now + AP_OVERRUN_GRACE;
        return false;
    }
    ap_job_overrun(job);
    return true;
}

int ap_timers_look(struct ap_worker *w)
{
    uint64_t now = w->seg->ops->now(), soonest = UINT64_MAX, due;
    bool come = now >= w->timers_due;
    int n = 0;

    if (come) w->timers_due = UINT64_MAX; /* the agents that are called may lower it */
    if (w->behind > 0) n += ap_job_parts_look(w, now, &soonest);
    for (uint32_t i = 0; come && i < w->job_count && w->timed > 0; i++) {
        struct ap_job *job = &w->jobs[i];

        if (!job->busy || (job->marks & AP_JOB_TIMED) == 0) continue;
        if (timers_job(job, now, &due)) n++;
        else if (due < soonest) soonest = due;
    }
    if (come && soonest < w->timers_due) w->timers_due = soonest;
    return n;
}
