/* agents/runtime/job_result.c - results that lie in blocks. See agent.h. */
#include <string.h>

#include "agents/runtime/queen.h"

static void result_attach(const struct ap_job *job, uint64_t block, size_t size)
{
    /* Attached first: if we die before it is named, nothing but the running task held it, and a sweep frees it. */
    ap_pool_attach(job->agent->worker->seg, block, AP_BLOCK_RESULT_OF(job->token), job->slot, AP_WORD_GENERATION(job->token));
    ap_slot_result(job->at, block, (uint32_t)size);
}

/* The block is looked up anew: the segment may say anything of it by now. */
static int reserved_attach(struct ap_job *job, size_t size)
{
    const struct ap_lane_handle *lane = &job->agent->worker->context->lane;
    uint64_t block = job->reserved, capacity, word;

    if (ap_pool_block(job->agent->worker->seg, block, &capacity, &word) < 0 ||
        word != AP_BLOCK(AP_BLOCK_OWNED, lane->index, lane->epoch))
        return APIARY_EINVAL;
    if (size > capacity) return APIARY_ETOOLARGE;
    result_attach(job, block, size);
    job->reserved = 0;
    return 0;
}

/* A block that the task's caller will hold. Where that one has its share, there is none for it. */
static int block_once(const struct ap_job *job, size_t size, uint64_t *ret)
{
    struct ap_lane_context *c = job->agent->worker->context;
    uint32_t member = ap_lane_member(c->lane.seg, ap_load_relaxed(&job->at->client));
    int r = ap_pool_take_for(c->lane.seg, &c->lane, member, &c->pool_hint, size, ret);

    return r == APIARY_ESHARE ? APIARY_ENOBLOCK : r;
}

int ap_job_block(const struct ap_job *job, size_t size, uint64_t *ret)
{
    int r = block_once(job, size, ret);

    return r == APIARY_ENOBLOCK && ap_make_room(job->agent->worker->context, r, size) ? block_once(job, size, ret) : r;
}

/* Where no block is free the request's will do, with which the agent has done: just the load that leaves none is of requests in
 * blocks. */
int ap_job_store_block(struct ap_job *job, const void *data, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t block;
    int r;

    if (job->reserved != 0 && data == ap_at_offset(w->seg, job->reserved, 1)) return reserved_attach(job, size);
    r = block_once(job, size, &block);
    if (r == APIARY_ENOBLOCK && ap_task_overwrite(w->seg, job->slot, job->token, data, (uint32_t)size)) return 0;
    if (r == APIARY_ENOBLOCK) r = ap_job_block(job, size, &block);
    if (r < 0) return r;
    memcpy(ap_at_offset(w->seg, block, size), data, size);
    result_attach(job, block, size);
    return 0;
}
