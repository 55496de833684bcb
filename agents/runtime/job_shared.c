/* agents/runtime/job_shared.c - the outcome of a task whose key others share. See registry/conflict/coalesce.h. */
#include <string.h>

#include "agents/runtime/queen.h"
#include "core/copy.h"
#include "core/text.h"
#include "registry/conflict/coalesce.h"
#include "registry/routing/dead.h"
#include "shm/follow.h"

struct sharing {
    const struct ap_job *job;
    const void *data;
    size_t size;
    uint32_t agent_code;
    int code;
};

/* Whether this end is nobody else's: it comes of its own caller, of its own slot, or of where it was queued. Those who follow are
 * looked at then, and one of them is run. */
static bool own_end(const struct ap_job *job, int code)
{
    uint64_t request = ap_load_acquire(&job->at->request); /* TASK-A7 pairs TASK-R7 */

    if (code == 0) return false;
    if (code == APIARY_ENOPROVIDER || code == APIARY_ECORRUPT || code == APIARY_ESHUTDOWN) return true;
    return code == APIARY_ETIMEDOUT || code == APIARY_ECANCELLED || ap_request_has(request, job->token, AP_REQUEST_CANCEL) ||
           ap_request_recalled(request, job->token);
}

/* In a block that the follower's caller will hold: 0, or an error. */
static int shared_block(const struct sharing *s, struct ap_slot *slot, uint32_t index, uint64_t token)
{
    struct ap_segment *seg = s->job->agent->worker->seg;
    uint64_t block;
    int r = ap_job_block_for(s->job, slot, token, s->size, &block);

    if (r < 0) return r;
    memcpy(ap_at_offset(seg, block, s->size), s->data, s->size);
    /* Attached first, as any result (job_result.c). */
    ap_pool_attach(seg, block, AP_BLOCK_RESULT_OF(token), index, AP_WORD_GENERATION(token));
    ap_slot_result(slot, block, (uint32_t)s->size);
    return 0;
}

/* Returns how the follower ends. As for any task the reason of a failure is cut to what fits, and a result that finds no room is
 * not taken for a task that was never begun. */
static int shared_result(const struct sharing *s, struct ap_slot *slot, uint32_t index, uint64_t token)
{
    char cut[AP_INLINE_BODY + 1];
    size_t size;
    int r;

    if (s->size <= AP_INLINE_BODY) {
        ap_copy_small(slot->result_inline, s->data, s->size);
        ap_slot_result(slot, 0, (uint32_t)s->size);
        return s->code;
    }
    r = shared_block(s, slot, index, token);
    if (r == 0) return s->code;
    if (s->code == 0) return r == APIARY_ETOOLARGE ? r : APIARY_ENORESULT;
    size = ap_format(cut, sizeof cut, "%.*s", (int)sizeof cut, (const char *)s->data);
    ap_copy_small(slot->result_inline, cut, size);
    ap_slot_result(slot, 0, (uint32_t)size);
    return s->code;
}

static void share_one(void *user, struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct sharing *s = user;
    const struct ap_worker *w = s->job->agent->worker;
    uint32_t lane = w->context->lane.index, capability;
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t token = ap_task_share(seg, index, word, lane, s->job->agent->queue), queued;
    int code;

    if (token == 0) return;
    code = shared_result(s, slot, index, token);
    queued = ap_load_relaxed(&slot->queued);
    capability = ap_load_relaxed(&slot->capability);
    ap_slot_agent_code(slot, code == APIARY_EAGENT ? s->agent_code : 0);
    ap_slot_started(slot, s->job->started > queued ? s->job->started : queued);
    ap_slot_finished(slot, seg->ops->now());
    ap_slot_finish(seg, lane, slot, token, code);
    ap_coalesce_count(seg, capability);
    ap_task_free_unseen(seg, lane, index, ap_slot_leave, seg); /* TASK-F3 pairs TASK-F4 */
}

void ap_job_share(const struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size)
{
    struct sharing s = {.job = job, .data = data, .size = size, .agent_code = agent_code, .code = code};

    if (own_end(job, code)) return;
    ap_coalesce_each(job->agent->worker->seg, job->slot, job->token, share_one, &s);
}
