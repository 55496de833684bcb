/* agents/runtime/worker_job.c - from a reference to a job, and what other threads hand back. See worker.h. */
#include <stdlib.h>

#include "agents/runtime/placed.h"
#include "agents/runtime/queen.h"
#include "registry/routing/dead.h"
#include "shm/follow.h"
#include "shm/probe.h"
#include "shm/start_by.h"

/* Each agent has its own, so that a stale handle still says whose it was. */
int ap_worker_jobs_open(struct ap_worker *w)
{
    struct ap_job *job;

    w->job_count = 0;
    for (size_t i = 0; i < w->agent_count; i++) w->job_count += w->agents[i]->limit;
    w->jobs = calloc(w->job_count + 1, sizeof *w->jobs);
    if (w->jobs == NULL) {
        w->job_count = 0;
        return APIARY_ENOBLOCK;
    }
    job = w->jobs;
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];

        agent->jobs = job;
        for (uint32_t k = 0; k < agent->limit; k++, job++) {
            job->agent = agent;
            job->handle = ap_handle_open(job, AP_HANDLE_JOB);
            if (job->handle == NULL) return APIARY_ENOBLOCK;
            job->next = agent->spare;
            agent->spare = job;
        }
    }
    return 0;
}

void ap_worker_jobs_close(struct ap_worker *w)
{
    for (uint32_t i = 0; i < w->job_count; i++) ap_handle_close(w->jobs[i].handle);
    for (size_t i = 0; i < w->agent_count; i++) w->agents[i]->jobs = w->agents[i]->spare = NULL;
    ap_store_relaxed(&w->called, NULL);
    free(w->jobs);
    w->jobs = NULL;
    w->job_count = 0;
}

/* In lane->hand[] before the claim, so that there is no instant in which the task is ours and not there. */
static int hand_take(struct ap_worker *w, uint64_t ref)
{
    int hand = __builtin_ffs((int)~w->hands) - 1;

    if (hand < 0 || hand >= (int)AP_HANDS) return -1;
    w->hands |= 1u << hand;
    ap_lane_hand(w->context->lane.lane, (unsigned)hand, ref);
    return hand;
}

static void hand_clear(struct ap_worker *w, int hand)
{
    if (hand < 0) return;
    ap_lane_hand(w->context->lane.lane, (unsigned)hand, 0);
    w->hands &= ~(1u << hand);
}

/* From here on nothing else is started in the agent, for a while. */
static void agent_hold(struct ap_worker *w, struct ap_agent *agent)
{
    agent->held_until = w->seg->ops->now() + AP_AGENT_ALONE;
    w->holds = true;
}

AP_ALWAYS_INLINE void job_fill(struct ap_worker *w, struct ap_job *job, struct ap_agent *agent, struct ap_slot *slot, uint64_t ref,
                               uint64_t token, int hand)
{
    uint64_t queued = ap_load_relaxed(&slot->queued), started, waited;

    ap_fence_release(); /* JOB-R1 pairs JOB-A1 */
    ap_store_relaxed(&job->at, slot);
    ap_store_relaxed(&job->token, token);
    ap_store_relaxed(&job->slot, AP_REF_SLOT(ref));
    job->busy = true;
    job->hand = hand;
    job->size = 0;
    job->data = ap_task_body(w->seg, slot, &job->size);
    job->capability = ap_load_relaxed(&slot->capability);
    job->caller = ap_load_relaxed(&slot->caller);
    ap_store_relaxed(&job->deadline, ap_load_relaxed(&slot->deadline));
    job->marks = AP_WORD_CRASHES(token) > 0 ? AP_JOB_ALONE : 0;
    /* The batch's clock was read at its first task; this one may have been queued while a handler of that batch was at work. */
    job->started = started = w->now > queued ? w->now : queued;
    job->waited = waited = started - queued;
    job->user = NULL;
    job->reserved = 0;
    job->capability_name[0] = job->caller_name[0] = '\0';
    ap_slot_started(slot, started);
    ap_times_waited(agent->times, waited);
    w->in_hand_count++;
    if (__builtin_expect(job->marks != 0, 0)) agent_hold(w, agent);
    if (__builtin_expect(job->waited >= w->noted.slow, 0)) job->marks |= AP_JOB_WAITED;
    agent->in_hand++;
    agent->started++;
    agent->unpublished++;
}

#define PROBED 1 /* no error: it is answered, and not begun */

/* Something was said of the task, or of one that has had the slot: why it is not to be started, or 0; its timers begin, at a time
 * that is not the batch's: an earlier task of that may have taken long. */
static __attribute__((noinline)) int requested(struct ap_worker *w, struct ap_job *job, uint64_t request)
{
    if (ap_request_has(request, job->token, AP_REQUEST_COALESCED)) job->marks |= AP_JOB_SHARED;
    if (ap_request_has(request, job->token, AP_REQUEST_SAMPLED | AP_REQUEST_TRIED)) ap_noted_begin(job, request);
    if (ap_request_has(request, job->token, AP_REQUEST_CANCEL)) return APIARY_ECANCELLED;
    if (ap_request_has(request, job->token, AP_REQUEST_PROBE)) return PROBED;
    if (!ap_request_has(request, job->token, AP_REQUEST_TIMED)) return 0;
    w->now = w->seg->ops->now();
    if (ap_slot_until(job->at, job->token) <= w->now) return APIARY_ETIMEDOUT;
    if (w->now > job->started) job->waited += w->now - job->started;
    job->started = w->now;
    ap_slot_started(job->at, w->now);
    ap_timers_open(w, job);
    return 0;
}

/* A task that has crashed a worker before runs when nothing else of its agent can be lost with it. Returns whether it has to wait.
 * One that this worker has itself delegated does not: it would wait for the one that waits for it. */
static bool must_wait(struct ap_worker *w, struct ap_agent *agent, const struct ap_slot *slot, uint64_t ref)
{
    uint64_t word;

    if (agent->in_hand == 0 || agent->aside != 0) return false; /* one waits at a time: of another the reference would be lost */
    word = ap_load_acquire(&slot->word); /* TASK-A1 pairs TASK-R1 */
    if (AP_WORD_CRASHES(word) == 0 || AP_WORD_STATE(word) != AP_TASK_QUEUED) return false;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(ref)) return false;
    if (ap_load_relaxed(&slot->client) == w->context->lane.index) return false;
    agent->aside = ref;
    agent_hold(w, agent);
    return true;
}

/* A queue's index can pass to another agent, of another service, between a client's choice and its submit. */
static bool offered(const struct ap_worker *w, const struct ap_agent *agent, const struct ap_job *job)
{
    uint32_t only = ap_load_relaxed(&job->at->only);

    if (only != 0 && only != w->queen->service_index + 1) return false;
    return ap_agent_runs(ap_agent_at(w->seg, agent->queue), job->capability);
}

/* It ends at once. Nothing need have been read yet of what was said of it. */
static __attribute__((noinline)) void job_refuse(struct ap_job *job, int code)
{
    uint64_t request = ap_load_acquire(&job->at->request); /* TASK-A7 pairs TASK-R7 */

    if (ap_coalesced(job->at, job->token)) job->marks |= AP_JOB_SHARED;
    if (ap_request_has(request, job->token, AP_REQUEST_PROBE)) job->marks |= AP_JOB_PROBE;
    if (ap_request_has(request, job->token, AP_REQUEST_SAMPLED | AP_REQUEST_TRIED)) ap_noted_begin(job, request);
    ap_job_finish(job, code == PROBED ? 0 : code, 0, NULL, 0);
}

/* Why a task that was claimed is not to be started, PROBED; 0: it is. */
AP_ALWAYS_INLINE int refusal(struct ap_worker *w, const struct ap_agent *agent, struct ap_job *job)
{
    uint64_t request;

    if (job->data == NULL) return APIARY_ECORRUPT;
    if (!offered(w, agent, job)) return APIARY_ENOPROVIDER;
    if (job->deadline <= w->now) return APIARY_ETIMEDOUT;
    request = ap_load_acquire(&job->at->request);
    return __builtin_expect(AP_REQUEST_BITS(request) != 0, 0) ? requested(w, job, request) : 0;
}

AP_ALWAYS_INLINE void start_task(struct ap_worker *w, struct ap_agent *agent, uint64_t ref)
{
    struct ap_job *job = agent->spare;
    struct ap_slot *slot = ap_slot_at(w->seg, AP_REF_SLOT(ref));
    struct ap_lane *lane = w->context->lane.lane;
    uint64_t token;
    int hand, code;

    if (slot == NULL) return;
    /* All four lines at once, three of them to be written. */
    ap_prefetch_write(&slot->word);
    ap_prefetch_read(slot->body_inline);
    ap_prefetch_write(slot->result_inline);
    ap_prefetch_write(&slot->queued);
    if (job == NULL || must_wait(w, agent, slot, ref)) return;
    hand = hand_take(w, ref);
    token = ap_slot_claim(slot, w->context->lane.index, agent->queue, ref);
    if (__builtin_expect(token == 0, 0)) {
        hand_clear(w, hand);
        return;
    }
    agent->spare = job->next;
    job_fill(w, job, agent, slot, ref, token, hand);
    code = refusal(w, agent, job);
    if (__builtin_expect(code != 0, 0)) {
        job_refuse(job, code);
        return;
    }
    /* Routers see at once that this worker has something in hand, however long it takes. */
    if (agent->in_hand > agent->shown) {
        agent->shown = agent->in_hand;
        ap_queue_running(&agent->consumer, agent->shown);
    }
    ap_store_relaxed(&w->called, job);
    ap_lane_inside(lane, ref);
    agent->kind->handle(agent->state, ap_handle_name(job->handle));
    ap_lane_inside(lane, 0);
}

/* ---- probes ---------------------------------------------------------------------------------------------------- */

/* A probe that was claimed ends. It is no job: none need be free, and it is no sample of how long tasks take. */
static void probe_end(struct ap_worker *w, const struct ap_agent *agent, struct ap_slot *slot, uint64_t ref, uint64_t token)
{
    uint32_t only = ap_load_relaxed(&slot->only);
    int code = 0;

    w->now = w->seg->ops->now();
    ap_slot_started(slot, w->now);
    ap_slot_finished(slot, w->now);
    ap_slot_agent_code(slot, 0);
    if (only != 0 && only != w->queen->service_index + 1) code = APIARY_ENOPROVIDER;
    if (!ap_agent_runs(ap_agent_at(w->seg, agent->queue), ap_load_relaxed(&slot->capability))) code = APIARY_ENOPROVIDER;
    if (ap_load_relaxed(&slot->deadline) <= w->now) code = APIARY_ETIMEDOUT;
    ap_slot_finish(w->seg, w->context->lane.index, slot, token, code);
    /* TASK-F3 pairs TASK-F4 */
    ap_task_free_unseen(w->seg, w->context->lane.index, AP_REF_SLOT(ref), ap_slot_leave, w->seg);
}

int ap_worker_answer(struct ap_worker *w, struct ap_agent *agent)
{
    uint64_t ref = ap_probe_next(&agent->consumer), token;
    struct ap_slot *slot = ref != 0 ? ap_slot_at(w->seg, AP_REF_SLOT(ref)) : NULL;
    struct ap_queue *q = agent->consumer.queue;
    int hand;

    if (slot == NULL) return 0;
    hand = hand_take(w, ref);
    token = ap_slot_claim(slot, w->context->lane.index, agent->queue, ref);
    if (token != 0) {
        probe_end(w, agent, slot, ref, token);
        ap_store_relaxed(&q->answered, ap_load_relaxed(&q->answered) + 1);
    }
    hand_clear(w, hand);
    return 1;
}

/* With a place that was taken for it, or that it still has to get. */
static __attribute__((noinline)) void start_placed(struct ap_worker *w, struct ap_agent *agent, uint64_t ref)
{
    uint64_t started = agent->started;

    if (agent->spare == NULL || (agent->spare->placed == 0 && !ap_placed_may(agent, ref))) return;
    start_task(w, agent, ref);
    if (agent->started == started) ap_placed_back(agent);
}

void ap_worker_start_task(struct ap_worker *w, struct ap_agent *agent, uint64_t ref)
{
    if (__builtin_expect(agent->bounded, 0)) start_placed(w, agent, ref);
    else start_task(w, agent, ref);
}

void ap_worker_publish(struct ap_agent *agent)
{
    const struct ap_queue_tally tally = {.started = agent->started, .done = agent->done, .failed = agent->failed,
                                         .late = agent->late, .retried = agent->retried,
                                         .run_time = agent->run_time, .now = agent->worker->now};

    if (__builtin_expect(agent->outlier.until != 0, 0)) ap_outlier_look(agent, agent->worker->seg->ops->now());
    ap_tallied_look(agent);
    if (__builtin_expect(ap_load_relaxed(&agent->worker->seg->header->tap) != agent->worker->noted.tap, 0))
        ap_noted_look(agent->worker);
    ap_queue_tell(&agent->consumer, &tally);
    ap_queue_publish(&agent->consumer, agent->in_hand);
    ap_pace_look(agent, agent->worker->now);
    ap_placed_look(agent);
    if (__builtin_expect(agent->worker->now >= agent->heap_due, 0)) ap_agent_heap_tell(agent, agent->worker->now);
    agent->shown = agent->in_hand;
    agent->unpublished = 0;
}

int ap_worker_take_handed(struct ap_worker *w)
{
    struct ap_handed *handed, *reversed = NULL;
    int n = 0;

    if (ap_load_relaxed(&w->handed) == NULL) return 0;
    handed = ap_exchange_acq_rel(&w->handed, NULL); /* HANDED-A1 pairs HANDED-R1 */
    while (handed != NULL) { /* last in, first out, of a stack: the order of coming is the other way round */
        struct ap_handed *next = handed->next;
        handed->next = reversed;
        reversed = handed;
        handed = next;
    }
    while (reversed != NULL) {
        handed = reversed;
        reversed = handed->next;
        ap_job_finish_handed(handed);
        n++;
    }
    return n;
}
