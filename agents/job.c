/* agents/job.c - a task in the hands of an agent: what it asks, and how it ends. See apiary.h and agent.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/worker.h"
#include "core/copy.h"

#define FAILURE_TEXT 1024u

/* ---- what is asked -------------------------------------------------------------------------------------------- */

const void *apiary_job_data(const apiary_job_t *job, size_t *size)
{
    if (size != NULL) *size = job->size;
    return job->data;
}

/* The names are copied when first asked for; the job is the caller's, so this is no change that anybody else sees. */
const char *apiary_job_capability(const apiary_job_t *job)
{
    struct apiary_job *own = (struct apiary_job *)job;

    if (own->capability_name[0] == '\0')
        ap_capability_name(own->agent->worker->seg, own->capability, own->capability_name);
    return own->capability_name;
}

const char *apiary_job_caller(const apiary_job_t *job)
{
    struct apiary_job *own = (struct apiary_job *)job;

    if (own->caller_name[0] == '\0' && own->caller != 0)
        ap_service_name(own->agent->worker->seg, own->caller - 1u, own->caller_name);
    return own->caller_name;
}

uint64_t apiary_job_deadline(const apiary_job_t *job)
{
    return job->deadline;
}

/* Told to stop, or given up: nobody will look at the result. A task that is fire and forget has no such wish. */
int apiary_job_cancelled(const apiary_job_t *job)
{
    uint64_t request = ap_load_acquire(&job->at->request);

    if (request >> 8 != AP_WORD_GENERATION(job->token)) return 0;
    if ((request & AP_REQUEST_CANCEL) != 0) return 1;
    return (request & (AP_REQUEST_ABANDON | AP_REQUEST_DETACH)) == AP_REQUEST_ABANDON;
}

apiary_agent_t *apiary_job_agent(const apiary_job_t *job)
{
    return job->agent;
}

void *apiary_job_user(const apiary_job_t *job)
{
    return job->user;
}

void apiary_job_set_user(apiary_job_t *job, void *user)
{
    job->user = user;
}

/* ---- the result ----------------------------------------------------------------------------------------------- */

static void reserved_free(struct apiary_job *job)
{
    struct ap_worker *w = job->agent->worker;

    if (job->reserved != 0) ap_pool_free_owned(w->seg, &w->context->lane, job->reserved);
    job->reserved = 0;
}

static void result_name(struct ap_slot *slot, uint64_t block, size_t size)
{
    ap_store_relaxed(&slot->result, block);
    ap_store_relaxed(&slot->result_size, (uint32_t)size);
}

static void result_attach(const struct apiary_job *job, uint64_t block, size_t size)
{
    /* Attached first: if we die before it is named, nothing but the running task held it, and a sweep frees it. */
    ap_pool_attach(job->agent->worker->seg, block, AP_BLOCK_RESULT_OF(job->token), job->slot, AP_WORD_GENERATION(job->token));
    result_name(job->at, block, size);
}

/* A result that is in the block that the agent has reserved, or needs one. */
static __attribute__((noinline)) int result_store_block(struct apiary_job *job, const void *data, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t block, capacity;
    int r;

    if (job->reserved != 0 && data == ap_at_offset(w->seg, job->reserved, 1)) {
        if (ap_pool_block(w->seg, job->reserved, &capacity, NULL) < 0 || size > capacity) return APIARY_ETOOLARGE;
        result_attach(job, job->reserved, size);
        job->reserved = 0;
        return 0;
    }
    r = ap_pool_take(w->seg, &w->context->lane, &w->context->pool_hint, size, &block);
    if (r < 0) return r;
    memcpy(ap_at_offset(w->seg, block, size), data, size);
    result_attach(job, block, size);
    return 0;
}

AP_ALWAYS_INLINE int result_store(struct apiary_job *job, const void *data, size_t size)
{
    if (__builtin_expect(size > AP_INLINE_BODY || job->reserved != 0, 0)) {
        if (size > AP_INLINE_BODY || data == ap_at_offset(job->agent->worker->seg, job->reserved, 1))
            return result_store_block(job, data, size);
    }
    ap_copy_small(job->at->result_inline, data, size);
    result_name(job->at, 0, size);
    return 0;
}

/* A text that finds no block is cut to what fits the slot: the reason of a failure is worth more than its end. */
static __attribute__((noinline)) int result_none(struct apiary_job *job, int *code, int why, const void *data, size_t size)
{
    if (*code != 0) return result_store(job, data, size < AP_INLINE_BODY ? size : AP_INLINE_BODY);
    *code = why;
    result_name(job->at, 0, 0);
    return why;
}

AP_ALWAYS_INLINE void job_done(struct apiary_job *job, bool failed, uint64_t now)
{
    struct apiary_agent *agent = job->agent;
    struct ap_worker *w = agent->worker;
    uint64_t took = now > job->started ? now - job->started : 0;

    agent->in_hand--;
    agent->finished++;
    agent->failed += failed;
    agent->run_time = agent->run_time - agent->run_time / 8 + took / 8;
    agent->unpublished++;
    w->now = now;
    if (job->hand >= 0) {
        ap_store_relaxed(&w->context->lane.lane->hand[job->hand], 0);
        w->hands &= ~(1u << job->hand);
    }
    if (__builtin_expect(job->alone, 0)) w->solo_running = false;
    w->in_hand_count--;
    job->busy = false;
    job->next = w->spare;
    w->spare = job;
}

AP_ALWAYS_INLINE int finish(struct apiary_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    struct ap_segment *seg = job->agent->worker->seg;
    struct ap_slot *slot = job->at;
    uint64_t now = seg->ops->now();
    int r = APIARY_ESTALE;

    /* The token: while the word is what the claim made of it, nobody but this lane writes the slot's result. */
    if (__builtin_expect(ap_load_relaxed(&slot->word) == job->token, 1)) {
        r = result_store(job, data, size);
        if (__builtin_expect(r < 0, 0)) {
            int end = code;
            r = result_none(job, &end, r, data, size);
            code = end;
        }
        ap_store_relaxed(&slot->agent_code, code == APIARY_EAGENT ? agent_code : 0);
        ap_store_relaxed(&slot->finished, now);
        if (__builtin_expect(job->reserved != 0, 0)) reserved_free(job);
        ap_slot_finish(seg, slot, job->token, code);
    } else {
        reserved_free(job);
    }
    job_done(job, code != 0, now);
    return r;
}

int ap_job_finish(struct apiary_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    return finish(job, code, agent_code, data, size);
}

/* ---- the agent's side ----------------------------------------------------------------------------------------- */

/* Of a job that the worker has ended over the agent's head (at its stop) only the pointer is left. */
int apiary_job_reply(apiary_job_t *job, const void *data, size_t size)
{
    if (job->over) return APIARY_ESTALE;
    if (data == NULL && size > 0) return APIARY_EINVAL;
    return finish(job, 0, 0, data, size);
}

int apiary_job_fail(apiary_job_t *job, uint32_t agent_code, const char *format, ...)
{
    char text[FAILURE_TEXT];
    va_list args;
    int n;

    if (job->over) return APIARY_ESTALE;
    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) n = 0;
    if ((size_t)n >= sizeof text) n = (int)sizeof text - 1;
    return ap_job_finish(job, APIARY_EAGENT, agent_code, text, (size_t)n);
}

int apiary_job_reserve(apiary_job_t *job, size_t size, void **ret)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t block;
    int r;

    if (job->over) return APIARY_ESTALE;
    if (size <= AP_INLINE_BODY) {
        reserved_free(job);
        *ret = job->at->result_inline;
        return 0;
    }
    r = ap_pool_take(w->seg, &w->context->lane, &w->context->pool_hint, size, &block);
    if (r < 0) return r;
    reserved_free(job);
    job->reserved = block;
    *ret = ap_at_offset(w->seg, block, size);
    return 0;
}

int apiary_job_finish_from_thread(apiary_job_t *job, int failed, const void *data, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    struct apiary_job *first;
    int r = 0;

    if (data == NULL && size > 0) return APIARY_EINVAL;
    job->handed_data = size > 0 ? malloc(size) : NULL;
    if (size > 0 && job->handed_data == NULL) {
        r = APIARY_ENOBLOCK; /* the task fails with it, as in apiary_job_reply */
        size = 0;
    }
    if (size > 0) memcpy(job->handed_data, data, size);
    job->handed_size = size;
    job->handed_failed = failed;
    job->handed_code = r;
    first = ap_load_relaxed(&w->handed);
    do job->handed_next = first;
    while (!ap_cas(&w->handed, &first, job)); /* HANDED-R1 pairs HANDED-A1 */
    ap_loop_wake(w->loop);
    return r;
}

void ap_job_finish_handed(struct apiary_job *job)
{
    void *data = job->handed_data;
    uint32_t agent_code = (uint32_t)job->handed_failed;

    job->handed_data = NULL;
    if (!job->over) {
        if (job->handed_code != 0)
            ap_job_finish(job, job->handed_code, 0, NULL, 0);
        else
            ap_job_finish(job, agent_code != 0 ? APIARY_EAGENT : 0, agent_code, data, job->handed_size);
    }
    free(data);
}
