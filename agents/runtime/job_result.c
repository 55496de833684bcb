/* agents/runtime/job_result.c - results that lie in blocks. See agent.h. */
#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/routing/kept.h"

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

/* A block that the task's caller will hold. */
static int block_once(struct ap_lane_context *c, const struct ap_slot *at, size_t size, uint64_t *ret)
{
    return ap_pool_take_for(c->lane.seg, &c->lane, ap_share_holder(c->lane.seg, at), AP_POOL_PASSING, &c->pool_hint, size, ret);
}

/* Where the caller has its share, nothing that the worker might free would change that, but results that have been kept long
 * enough. */
static bool block_room(struct ap_lane_context *c, const struct ap_slot *at, uint64_t token, int error, size_t size)
{
    if (error == APIARY_ENOBLOCK) return ap_make_room(c, error, size);
    return error == APIARY_ESHARE && ap_task_requested(at, token, AP_REQUEST_KEEP) &&
           ap_kept_expire(c->lane.seg, c->lane.seg->ops->now()) > 0;
}

/* The dead set makes room for one of `dead` bytes; 0: for none. */
static int block_take(struct ap_lane_context *c, const struct ap_slot *at, uint64_t token, size_t size, size_t dead, uint64_t *ret)
{
    int r = block_once(c, at, size, ret);

    if (block_room(c, at, token, r, dead)) r = block_once(c, at, size, ret);
    return r == APIARY_ESHARE ? APIARY_ENOBLOCK : r;
}

int ap_job_block_for(const struct ap_job *job, const struct ap_slot *at, uint64_t token, size_t size, uint64_t *ret)
{
    return block_take(job->agent->worker->context, at, token, size, size, ret);
}

int ap_job_block(const struct ap_job *job, size_t size, uint64_t *ret)
{
    return ap_job_block_for(job, job->at, job->token, size, ret);
}

int ap_job_block_spare(const struct ap_job *job, size_t size, uint64_t *ret)
{
    return block_take(job->agent->worker->context, job->at, job->token, size, 0, ret);
}

/* Where no block is free the request's will do, with which the agent has done: just the load that leaves none is of requests in
 * blocks. */
int ap_job_store_block(struct ap_job *job, const void *data, size_t size)
{
    struct ap_worker *w = job->agent->worker;
    uint64_t block;
    int r;

    if (job->reserved != 0 && data == ap_at_offset(w->seg, job->reserved, 1)) return reserved_attach(job, size);
    r = block_once(w->context, job->at, size, &block);
    if (r == APIARY_ENOBLOCK || r == APIARY_ESHARE) {
        if (ap_task_overwrite(w->seg, job->slot, job->token, data, (uint32_t)size)) return 0;
        r = ap_job_block(job, size, &block);
    }
    if (r < 0) return r;
    memcpy(ap_at_offset(w->seg, block, size), data, size);
    result_attach(job, block, size);
    return 0;
}
