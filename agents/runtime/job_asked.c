/* agents/runtime/job_asked.c - what an agent may ask and say of a task in its hands. See agent.h. */
#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/client/carried.h"
#include "registry/client/progress.h"

/* ---- whose it is ---------------------------------------------------------------------------------------------- */

/* Says so at the first time, the second, the fourth...: an agent that does it with each task fills no log. */
void ap_job_misused(struct ap_agent *agent, const char *what)
{
    uint32_t times = ap_add_relaxed(&agent->misused, 1) + 1;

    if ((times & (times - 1)) != 0) return;
    ap_agent_log(agent, 3, "%s; refused, %u times so far", what, times);
}

/* At its end the worker finishes what its agents have in hand over their heads, and before it what takes too long: then it is no
 * fault to come with it. */
__attribute__((noinline)) int ap_job_stale(const apiary_job_t *handle, const char *what)
{
    const struct ap_handle *entry = ap_handle_entry(handle);
    const struct ap_job *job = ap_handle_get_as(ap_handle_name(entry), AP_HANDLE_JOB);

    if (handle == NULL) return APIARY_EINVAL;
    if (job != NULL && job->handle == entry && ap_load_relaxed(&job->overran) == (uintptr_t)handle) return APIARY_ESTALE;
    if (job != NULL && job->handle == entry && ap_load_relaxed(&job->agent->worker->command) != AP_WORKER_STOP)
        ap_job_misused(job->agent, what);
    return APIARY_ESTALE;
}

static __attribute__((noinline)) struct ap_job *asked_stale(const apiary_job_t *handle)
{
    ap_job_stale(handle, "asks about a task that it has finished");
    return NULL;
}

/* For what any thread may ask. */
struct ap_job *ap_job_asked(const apiary_job_t *handle)
{
    struct ap_job *job = ap_handle_get(handle);

    return __builtin_expect(job != NULL, 1) ? job : asked_stale(handle);
}

/* ---- what is asked -------------------------------------------------------------------------------------------- */

const void *apiary_job_data(const apiary_job_t *handle, size_t *size)
{
    const struct ap_job *job = ap_job_asked(handle);

    if (__builtin_expect(job == NULL, 0)) {
        if (size != NULL) *size = 0;
        return NULL;
    }
    if (size != NULL) *size = job->size;
    return job->data;
}

/* The names are copied when first asked for. */
const char *ap_job_capability(struct ap_job *job)
{
    if (job->capability_name[0] == '\0') ap_capability_name(job->agent->worker->seg, job->capability, job->capability_name);
    return job->capability_name;
}

const char *apiary_job_capability(const apiary_job_t *handle)
{
    struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? ap_job_capability(job) : "";
}

/* The calling service + 1; of a task that a gate has passed on, the one that asked the gate. 0: none. */
static uint32_t job_asked_by(const struct ap_job *job)
{
    struct ap_carried row;

    if (job->caller == 0 || !ap_carried_read(job->agent->worker->seg, ap_job_task(job), &row)) return job->caller;
    return row.passed != 0 ? AP_PASSED_CALLER(row.passed) : job->caller;
}

const char *apiary_job_caller(const apiary_job_t *handle)
{
    struct ap_job *job = ap_job_asked(handle);

    if (job == NULL) return "";
    if (job->caller_name[0] == '\0') {
        uint32_t caller = job_asked_by(job);

        if (caller != 0) ap_service_name(job->agent->worker->seg, caller - 1u, job->caller_name);
    }
    return job->caller_name;
}

uint64_t apiary_job_deadline(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? job->deadline : 0;
}

apiary_task_t ap_job_task(const struct ap_job *job)
{
    return ap_task_id(job->agent->worker->seg, job->slot, AP_WORD_GENERATION(job->token));
}

/* The worker may end the job meanwhile, and start another in its place: a thread that asks takes a copy. */
struct asked {
    struct ap_slot *at;
    uint32_t slot;
    uint64_t token, deadline;
};

/* A copy that is all of the handle's job, or false: that has ended. */
static bool asked_copy(const apiary_job_t *handle, const struct ap_job *job, struct asked *ret)
{
    ret->at = ap_load_relaxed(&job->at);
    ret->slot = ap_load_relaxed(&job->slot);
    ret->token = ap_load_relaxed(&job->token);
    ret->deadline = ap_load_relaxed(&job->deadline);
    ap_fence_acquire(); /* JOB-A1 pairs JOB-R1 */
    return ap_handle_name(job->handle) == handle;
}

/* Told to stop, or given up, or too late: nobody will look at the result. A task that is fire and forget is not given up. */
static bool asked_unwanted(const struct ap_job *job, const struct asked *one, uint64_t now)
{
    uint64_t request = ap_load_acquire(&one->at->request); /* TASK-A7 pairs TASK-R7 */

    return ap_load_relaxed(&job->over) != 0 || now >= one->deadline || ap_request_has(request, one->token, AP_REQUEST_CANCEL) ||
           ap_request_recalled(request, one->token);
}

int apiary_job_cancelled(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);
    struct asked one;

    return job == NULL || !asked_copy(handle, job, &one) || asked_unwanted(job, &one, job->agent->worker->seg->ops->now());
}

/* The clock is read before the job is found to be the handle's still: see timers.c. */
int apiary_job_beat(apiary_job_t *handle, const char *text, size_t size)
{
    struct ap_job *job = ap_job_asked(handle);
    struct asked one;
    struct ap_worker *w;
    uint64_t now;

    if (handle == NULL || (text == NULL && size > 0)) return APIARY_EINVAL;
    if (job == NULL) return APIARY_ESTALE;
    w = job->agent->worker;
    now = w->seg->ops->now();
    if (!asked_copy(handle, job, &one)) return APIARY_ESTALE;
    ap_timers_beat(job, now);
    if (ap_load_acquire(&one.at->word) == one.token)
        ap_progress_tell(&w->lane, ap_task_id(w->seg, one.slot, AP_WORD_GENERATION(one.token)), now, text, size);
    return asked_unwanted(job, &one, now);
}

apiary_task_t apiary_job_task(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? ap_job_task(job) : (apiary_task_t){0};
}

int apiary_job_trace(const apiary_job_t *handle, apiary_trace_t *ret)
{
    const struct ap_job *job = ap_job_asked(handle);

    if (handle == NULL || ret == NULL) return APIARY_EINVAL;
    return job != NULL ? ap_carried_trace(job->agent->worker->seg, ap_job_task(job), ret) : APIARY_ESTALE;
}

uint32_t apiary_job_attempt(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? ap_word_starts(job->token) + AP_TRIES_FAILURES(ap_slot_tries(job->at, job->token)) : 0;
}

apiary_agent_t *apiary_job_agent(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? ap_handle_name(job->agent->handle) : NULL;
}

void *apiary_job_user(const apiary_job_t *handle)
{
    const struct ap_job *job = ap_job_asked(handle);

    return job != NULL ? job->user : NULL;
}

void apiary_job_set_user(apiary_job_t *handle, void *user)
{
    struct ap_job *job = ap_job_asked(handle);

    if (job != NULL) job->user = user;
}

