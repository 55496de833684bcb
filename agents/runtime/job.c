/* agents/runtime/job.c - a task in the hands of an agent: what it asks, and how it ends. See apiary.h and agent.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/placed.h"
#include "agents/runtime/queen.h"
#include "core/copy.h"
#include "core/invariant.h"
#include "core/text.h"
#include "registry/routing/bounds.h"
#include "registry/routing/dead.h"
#include "registry/client/carried.h"
#include "registry/client/progress.h"
#include "shm/due.h"
#include "shm/event.h"
#include "shm/follow.h"

#define FAILURE_TEXT 1024u
#define TOLD 10u /* failures of an agent in one second */
#define LOGGED 600u /* bytes of a failure's text */
#define NSEC UINT64_C(1000000000)

/* ---- whose it is ---------------------------------------------------------------------------------------------- */

AP_ALWAYS_INLINE struct ap_job *job_get(const apiary_job_t *handle)
{
    return ap_handle_get(handle);
}

static __attribute__((noinline)) int not_to_finish(const apiary_job_t *handle, const struct ap_job *job)
{
    if (job == NULL) return ap_job_stale(handle, "answers a task that it has finished");
    if (ap_worker_self() == job->agent->worker) return ap_job_stale(handle, "answers a task that a thread of it has finished");
    ap_job_misused(job->agent, "answers a task from a thread that is not its worker's, without apiary_job_finish_from_thread");
    return APIARY_EINVAL;
}

/* The job, if its answer may come now and on this thread; or NULL and *error. */
AP_ALWAYS_INLINE struct ap_job *job_to_finish(const apiary_job_t *handle, int *error)
{
    struct ap_job *job = job_get(handle);

    if (__builtin_expect(job != NULL && ap_worker_self() == job->agent->worker, 1) &&
        __builtin_expect(ap_load_relaxed(&job->handed) != (uintptr_t)handle, 1))
        return job;
    *error = not_to_finish(handle, job);
    return NULL;
}

/* ---- the result ----------------------------------------------------------------------------------------------- */

static void reserved_free(struct ap_job *job)
{
    struct ap_worker *w = job->agent->worker;

    if (job->reserved != 0) ap_pool_free_owned(w->seg, &w->context->lane, job->reserved);
    job->reserved = 0;
}

AP_ALWAYS_INLINE int result_store(struct ap_job *job, const void *data, size_t size)
{
    if (__builtin_expect(size > AP_INLINE_BODY || job->reserved != 0, 0)) {
        if (size > AP_INLINE_BODY || data == ap_at_offset(job->agent->worker->seg, job->reserved, 1))
            return ap_job_store_block(job, data, size);
    }
    ap_copy_small(job->at->result_inline, data, size);
    ap_slot_result(job->at, 0, (uint32_t)size);
    return 0;
}

/* A failure's text, which has no end of its own, cut to what fits. Returns the length. */
static size_t shown_in(char *ret, size_t capacity, const void *text, size_t size)
{
    return ap_format(ret, capacity, "%.*s", (int)(size < capacity ? size : capacity), size > 0 ? (const char *)text : "");
}

/* In the event log: the first of each second, so that an agent that only fails leaves room for others. */
static void job_enter(struct ap_job *job, uint32_t agent_code, const char *text, size_t size, uint64_t second)
{
    struct ap_agent *agent = job->agent;
    uint32_t starts = AP_WORD_ATTEMPT(job->token) + AP_TRIES_FAILURES(ap_slot_tries(job->at, job->token)) + 1;

    if (agent->entered_second == second) {
        agent->unentered++;
        return;
    }
    ap_event_log_more(agent->worker->seg, AP_EVENT_TASK_FAILED, agent->worker->context->lane.index, agent->queue,
                      (uint64_t)agent->unentered << 32 | agent_code, AP_EVENT_TASK(job->capability, job->caller, starts), text,
                      size);
    agent->entered_second = second;
    agent->unentered = 0;
}

/* In the log, with the agent's name: a caller that looks at nothing, or is gone, is no reason not to know. A cancelled task has
 * not failed. Of many in one second the first are told, and later how many there were. */
__attribute__((noinline)) void ap_job_tell(struct ap_job *job, int code, uint32_t agent_code, const void *text, size_t size)
{
    struct ap_agent *agent = job->agent;
    uint64_t second = agent->worker->seg->ops->now() / NSEC;
    apiary_task_t task = ap_job_task(job);
    char number[24] = "", shown[LOGGED];

    if (code == APIARY_ECANCELLED) return;
    if (code != APIARY_EAGENT) {
        text = apiary_strerror(code);
        size = strlen(text);
    }
    job_enter(job, agent_code, text, size, second);
    if (agent->queen->log == NULL) return;
    if (second != agent->told_second) {
        if (agent->untold > 0) ap_agent_log(agent, 5, "%u more failed tasks were not logged", agent->untold);
        agent->told_second = second;
        agent->told = agent->untold = 0;
    }
    if (agent->told >= TOLD) {
        agent->untold++;
        return;
    }
    agent->told++;
    if (code == APIARY_EAGENT) snprintf(number, sizeof number, " with %u", agent_code);
    shown_in(shown, sizeof shown, text, size);
    ap_agent_log(agent, 5, "task %" PRIx32 "-%" PRIx32 "-%" PRIx64 " (%s) failed%s: %s", task.slot, task.epoch,
                 task.generation, ap_job_capability(job), number, shown);
}

/* A text that finds no block is cut to what fits the slot: the reason of a failure is worth more than its end. */
static __attribute__((noinline)) int result_none(struct ap_job *job, int *code, int why, const void *data, size_t size)
{
    if (*code != 0) {
        char cut[AP_INLINE_BODY + 1];

        return result_store(job, cut, shown_in(cut, sizeof cut, data, size));
    }
    /* Its caller must not take this for a task that was never begun. The claim has left no result. */
    *code = why == APIARY_ENOBLOCK ? APIARY_ENORESULT : why;
    ap_job_tell(job, *code, 0, NULL, 0);
    return why;
}

/* How it ended, for its caller, and what it is counted as. */
enum end { END_DONE = AP_TALLY_ENDED, END_FAILED = AP_TALLY_BAD, END_LATE = AP_TALLY_LATE, END_RETRIED = AP_TALLY_RETRIED };

/* Somebody has asked for something, of this task or of one that has the slot since. A result that nobody will collect is freed:
 * its client may ask for nothing any more while others need its blocks. Given up by its caller, who knows it as timed out:
 * whatever it came to, it came too late. */
static __attribute__((noinline)) enum end ended_requested(const struct ap_job *job, uint64_t request, int code)
{
    struct ap_worker *w = job->agent->worker;

    ap_task_free_unseen(w->seg, w->context->lane.index, job->slot, ap_slot_leave, w->seg);
    if (ap_request_recalled(request, job->token)) return END_LATE;
    return code == 0 ? END_DONE : END_FAILED;
}

/* Looks after the task's end, since a client that gave it up before need not look again. TASK-F3 pairs TASK-F4 */
AP_ALWAYS_INLINE enum end job_ended(const struct ap_job *job, int code)
{
    uint64_t request = ap_load_relaxed(&job->at->request);

    if (__builtin_expect(AP_REQUEST_BITS(request) != 0, 0)) return ended_requested(job, request, code);
    return code == 0 ? END_DONE : END_FAILED;
}

/* As what it is told of. */
static enum ap_finish finished_as(enum end end, int code)
{
    if (end == END_RETRIED) return AP_FINISH_RETRIED;
    if (end == END_FAILED) return code == APIARY_ECANCELLED ? AP_FINISH_CANCELLED : AP_FINISH_FAILED;
    return end == END_DONE ? AP_FINISH_DONE : AP_FINISH_LATE;
}

static __attribute__((noinline)) void job_unmark(struct ap_worker *w, struct ap_job *job)
{
    if ((job->marks & AP_JOB_ALONE) != 0 && job->agent->aside == 0) job->agent->held_until = 0;
    if ((job->marks & AP_JOB_TIMED) != 0) ap_timers_close(w, job);
    if ((job->marks & AP_JOB_PARTS) != 0) ap_job_parts_drop(job);
}

/* How a job has ended: `agent_code` with EAGENT, `out` bytes of its result. */
struct ended {
    enum end end;
    int code;
    uint32_t agent_code;
    size_t out;
    uint64_t now, took, usual;
};

/* It took long, or somebody taps. */
static __attribute__((noinline)) void job_took(struct ap_job *job, const struct ended *e)
{
    struct ap_agent *agent = job->agent;

    if (e->end == END_DONE && (job->marks & AP_JOB_NOTED) == 0) ap_noted(job, AP_FINISH_DONE, 0, 0, e->now, e->out);
    if (e->took < AP_PACE_SLOW) return;
    if (e->now > job->deadline) ap_pace_overdue(agent, job->started, job->deadline, e->usual);
    ap_worker_publish(agent);
}

/* Not well, or of another pair than the one before. */
static __attribute__((noinline)) void job_ended_otherwise(struct ap_job *job, const struct ended *e)
{
    struct ap_agent *agent = job->agent;

    ap_tallied_end(agent, job, (enum ap_tally_count)e->end, e->took, e->out);
    if (e->end != END_DONE) ap_noted(job, finished_as(e->end, e->code), e->code, e->agent_code, e->now, e->out);
}

AP_ALWAYS_INLINE void job_done(struct ap_job *job, enum end end, int code, uint32_t agent_code, uint64_t now, size_t out)
{
    struct ap_agent *agent = job->agent;
    struct ap_worker *w = agent->worker;
    uint64_t took = now > job->started ? now - job->started : 0, usual = agent->run_time;
    uint32_t pair = end == END_DONE ? AP_TALLIED_PAIR(job->caller, job->capability) : AP_TALLIED_OTHER;

    AP_DEBUG_ASSERT(job->busy && agent->in_hand > 0 && w->in_hand_count >= agent->in_hand);
    AP_DEBUG_ASSERT(job->hand < (int)AP_HANDS);
    agent->in_hand--;
    ap_times_ran(agent->times, took);
    if (__builtin_expect(agent->tallied.last == pair, 1)) {
        struct ap_tally_row *row = agent->tallied.row;

        ap_own_add(&row->counts[AP_TALLY_ENDED], 1);
        ap_tallied_add(row, job->waited, took, job->size, out);
        agent->done++;
    } else {
        job_ended_otherwise(job, &(struct ended){end, code, agent_code, out, now, took, usual});
    }
    agent->run_time = ap_agent_run_time(agent->run_time, took, agent->started - agent->in_hand);
    agent->unpublished++;
    w->now = now;
    if (job->hand >= 0) {
        ap_lane_hand(w->context->lane.lane, (unsigned)job->hand, 0);
        w->hands &= ~(1u << job->hand);
    }
    if (__builtin_expect(job->marks != 0, 0)) {
        if (end == END_DONE && (job->marks & AP_JOB_NOTED) != 0) ap_noted(job, AP_FINISH_DONE, 0, 0, now, out);
        job_unmark(w, job);
    }
    if (__builtin_expect(job->placed != 0, 0)) ap_placed_end(job);
    w->in_hand_count--;
    job->busy = false;
    ap_handle_renew(job->handle);
    job->next = agent->spare;
    agent->spare = job;
    if (__builtin_expect(took >= w->noted.from, 0)) job_took(job, &(struct ended){end, code, agent_code, out, now, took, usual});
}

/* `shared`: others may have its outcome. */
AP_ALWAYS_INLINE int job_end(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size, bool shared)
{
    struct ap_segment *seg = job->agent->worker->seg;
    struct ap_slot *slot = job->at;
    uint64_t now = seg->ops->now();
    enum end end = END_LATE;
    int r = APIARY_ESTALE;

    /* The token: while the word is what the claim made of it, nobody but this lane writes the slot's result. */
    if (__builtin_expect(ap_load_relaxed(&slot->word) == job->token, 1)) {
        if (shared) ap_job_share(job, code, agent_code, data, size);
        r = result_store(job, data, size);
        if (__builtin_expect(r < 0, 0)) {
            int why = code;
            r = result_none(job, &why, r, data, size);
            code = why;
        }
        ap_slot_agent_code(slot, code == APIARY_EAGENT ? agent_code : 0);
        ap_slot_finished(slot, now);
        if (__builtin_expect(job->reserved != 0, 0)) reserved_free(job);
        ap_slot_finish(seg, job->agent->worker->context->lane.index, slot, job->token, code);
        if (shared) ap_follow_ended(seg);
        end = job_ended(job, code);
    } else {
        reserved_free(job);
    }
    if (__builtin_expect(end == END_FAILED, 0)) {
        ap_tallied_failed(job->agent, job->capability, code, code == APIARY_EAGENT ? agent_code : 0);
    }
    job_done(job, end, code, code == APIARY_EAGENT ? agent_code : 0, now, end == END_LATE ? 0 : size);
    return r;
}

int ap_job_end(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    return job_end(job, code, agent_code, data, size, (job->marks & AP_JOB_SHARED) != 0);
}

AP_ALWAYS_INLINE int job_finish(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    if (__builtin_expect((job->marks & (AP_JOB_PARTS | AP_JOB_SHARED)) != 0, 0))
        return (job->marks & AP_JOB_PARTS) != 0 ? ap_job_parts_finish(job, code, agent_code, data, size)
                                                : ap_job_end(job, code, agent_code, data, size);
    return job_end(job, code, agent_code, data, size, false);
}

/* ---- again ---------------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t job_random(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Whether the task is to be tried again, and from when on. */
static enum apiary_untried retry_when(struct ap_job *job, uint32_t agent_code, uint64_t now, uint64_t *due)
{
    uint64_t request = ap_load_acquire(&job->at->request), pause;
    uint32_t failures = AP_TRIES_FAILURES(ap_slot_tries(job->at, job->token));
    struct ap_agent *agent = job->agent;
    struct ap_carried row;
    enum apiary_untried r;

    if (!ap_carried_read(agent->worker->seg, ap_job_task(job), &row)) return APIARY_UNTRIED_NO_POLICY;
    r = ap_retry_judge(&row.retry, failures, agent_code);
    if (r == AP_TRIED && ap_bounds_never(agent->worker->seg, job->capability, agent_code)) return APIARY_UNTRIED_REFUSED;
    if (r != AP_TRIED) return r;
    if (ap_request_has(request, job->token, AP_REQUEST_CANCEL | AP_REQUEST_OVERWRITTEN) ||
        ap_request_recalled(request, job->token))
        return APIARY_UNTRIED_UNWANTED;
    pause = ap_retry_pause(&row.retry, failures, job_random(now ^ job->token));
    if (ap_load_relaxed(&job->pause_for) == (uintptr_t)ap_handle_name(job->handle)) pause = ap_load_relaxed(&job->pause);
    if (pause == APIARY_FOREVER) return APIARY_UNTRIED_REFUSED;
    if (now >= job->deadline || pause >= job->deadline - now) return APIARY_UNTRIED_DEADLINE;
    if (!ap_retry_take(&agent->budget, agent->started, now)) return APIARY_UNTRIED_BUDGET;
    *due = now + pause;
    return AP_TRIED;
}

/* The agent has failed it: puts the task back where its caller's policy has it tried again. Nothing of it may be touched after that
 * but by who finds it due. */
static bool job_put_back(struct ap_job *job, int code, uint32_t agent_code, const void *text, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t now = w->seg->ops->now(), due = 0;
    struct ap_slot *slot = job->at;
    char cut[AP_INLINE_BODY + 1];
    enum ap_dead_cause cause;
    enum apiary_untried r;

    if (ap_load_relaxed(&slot->word) != job->token) return false;
    r = retry_when(job, agent_code, now, &due);
    if (r != AP_TRIED) {
        if (r != APIARY_UNTRIED_NO_POLICY) ap_task_untried(w->seg, job->slot, job->token, r);
        cause = code == APIARY_EAGENT ? AP_DEAD_FAILED : AP_DEAD_OVERRUN;
        ap_task_mark(w->seg, job->slot, job->token, r == APIARY_UNTRIED_USED_UP ? cause : AP_DEAD_NOT);
        return false;
    }
    size = shown_in(cut, sizeof cut, text, size);
    ap_copy_small(slot->result_inline, cut, size);
    ap_slot_result(slot, 0, (uint32_t)size);
    ap_slot_agent_code(slot, agent_code);
    ap_slot_finished(slot, now);
    reserved_free(job);
    ap_task_put_back(w->seg, job->slot, job->token, w->context->lane.index, due);
    ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
    ap_due_task(w->seg, &ap_registry_hooks, w->context->lane.index, job->slot, now);
    job_done(job, END_RETRIED, code, agent_code, now, 0);
    return true;
}

int ap_job_finish(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    if (code == APIARY_EAGENT && ap_load_relaxed(&job->over) != 0) {
        code = APIARY_EOVERRUN; /* it was told to stop, and that is what it has done */
        agent_code = 0;
        size = 0;
    }
    if (code != 0) ap_job_tell(job, code, agent_code, data, size);
    /* Not what its caller has given up, or what was refused before it was begun. */
    if (code == APIARY_EAGENT || code == APIARY_EOVERRUN) {
        ap_outlier_failed(job->agent, job->capability, agent_code, job->agent->worker->seg->ops->now());
        if (job_put_back(job, code, agent_code, data, size)) return 0;
    }
    return job_finish(job, code, agent_code, data, size);
}

void ap_job_overrun(struct ap_job *job)
{
    ap_store_relaxed(&job->overran, (uintptr_t)ap_handle_name(job->handle));
    ap_job_finish(job, APIARY_EOVERRUN, 0, NULL, 0);
}

/* ---- the agent's side ----------------------------------------------------------------------------------------- */

int apiary_job_reply(apiary_job_t *handle, const void *data, size_t size)
{
    struct ap_job *job;
    int r;

    if (data == NULL && size > 0) return APIARY_EINVAL;
    job = job_to_finish(handle, &r);
    return __builtin_expect(job != NULL, 1) ? job_finish(job, 0, 0, data, size) : r;
}

int apiary_job_fail_text(apiary_job_t *handle, uint32_t agent_code, const char *text, size_t size)
{
    struct ap_job *job;
    int r;

    if (text == NULL && size > 0) return APIARY_EINVAL;
    job = job_to_finish(handle, &r);
    return job != NULL ? ap_job_finish(job, APIARY_EAGENT, agent_code, text, size) : r;
}

int apiary_job_fail(apiary_job_t *handle, uint32_t agent_code, const char *format, ...)
{
    char text[FAILURE_TEXT];
    va_list args;
    size_t n;

    va_start(args, format);
    n = ap_vformat(text, sizeof text, format, args);
    va_end(args);
    return apiary_job_fail_text(handle, agent_code, text, n);
}

int apiary_job_retry(apiary_job_t *handle, uint64_t after)
{
    struct ap_job *job = ap_job_asked(handle);

    if (handle == NULL) return APIARY_EINVAL;
    if (job == NULL) return APIARY_ESTALE;
    ap_store_relaxed(&job->pause, after);
    ap_store_relaxed(&job->pause_for, (uintptr_t)handle);
    return 0;
}

int apiary_job_reserve(apiary_job_t *handle, size_t size, void **ret)
{
    struct ap_worker *w;
    struct ap_job *job;
    uint64_t block;
    int r;

    if (ret == NULL) return APIARY_EINVAL;
    job = job_to_finish(handle, &r);
    if (job == NULL) return r;
    w = job->agent->worker;
    if (size <= AP_INLINE_BODY) {
        reserved_free(job);
        *ret = job->at->result_inline;
        return 0;
    }
    r = ap_job_block(job, size, &block);
    if (r < 0) return r;
    reserved_free(job);
    job->reserved = block;
    *ret = ap_at_offset(w->seg, block, size);
    return 0;
}

/* ---- from other threads --------------------------------------------------------------------------------------- */

/* With the data if there is memory for it, else the task fails as it does where no block is to be had. */
static struct ap_handed *handed_new(apiary_job_t *handle, int failed, const void *data, size_t size)
{
    struct ap_handed *handed = size <= SIZE_MAX - sizeof *handed ? malloc(sizeof *handed + size) : NULL;
    bool whole = handed != NULL;

    if (!whole) handed = malloc(sizeof *handed);
    if (handed == NULL) return NULL;
    *handed = (struct ap_handed){.job = handle};
    if (!whole) {
        handed->code = APIARY_ENOBLOCK;
        return handed;
    }
    handed->code = failed != 0 ? APIARY_EAGENT : 0;
    handed->agent_code = (uint32_t)failed;
    handed->size = size;
    if (size > 0) memcpy(handed->data, data, size);
    return handed;
}

int apiary_job_finish_from_thread(apiary_job_t *handle, int failed, const void *data, size_t size)
{
    struct ap_job *job = job_get(handle);
    struct ap_handed *handed, *first;
    struct ap_worker *w;
    uint64_t before;
    int r;

    if (data == NULL && size > 0) return APIARY_EINVAL;
    if (job == NULL) return ap_job_stale(handle, "finishes a task from a thread that it has finished");
    w = job->agent->worker;
    handed = handed_new(handle, failed, data, size);
    if (handed == NULL) return APIARY_ENOBLOCK;
    r = handed->code == APIARY_ENOBLOCK ? APIARY_ENOBLOCK : 0;
    /* Of several threads that bring an answer to one task, one is the first. */
    before = ap_load_relaxed(&job->handed);
    while (before != (uintptr_t)handle)
        if (ap_cas(&job->handed, &before, (uintptr_t)handle)) break;
    if (before == (uintptr_t)handle) {
        free(handed);
        return ap_job_stale(handle, "finishes a task from two threads");
    }
    first = ap_load_relaxed(&w->handed);
    do handed->next = first;
    while (!ap_cas(&w->handed, &first, handed)); /* HANDED-R1 pairs HANDED-A1 */
    ap_loop_wake(w->loop);
    return r;
}

void ap_job_finish_handed(struct ap_handed *handed)
{
    struct ap_job *job = job_get(handed->job);

    if (job != NULL)
        ap_job_finish(job, handed->code, handed->agent_code, handed->data, handed->size);
    else
        ap_job_stale(handed->job, "finishes a task from a thread that it has finished");
    free(handed);
}
