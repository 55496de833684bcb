/* agents/runtime/takeover.c - see takeover.h. */
#include "agents/runtime/takeover.h"

#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/client/carried.h"
#include "shm/move.h"

static bool takeover_keyed(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    struct ap_carried carried;

    return ap_carried_read(seg, ap_task_id(seg, index, AP_WORD_GENERATION(word)), &carried) && carried.key != 0;
}

/* Whether the task of a reference waits at the queue, and this agent may run it; its word in *ret. */
static bool takeover_fits(const struct ap_segment *seg, const struct ap_agent *agent, uint32_t queue, uint64_t ref, uint64_t *ret)
{
    uint32_t index = AP_REF_SLOT(ref);
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != queue) return false;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(ref) || AP_WORD_CRASHES(word) != 0) return false;
    if (!ap_agent_runs(ap_agent_at(seg, agent->queue), ap_load_relaxed(&slot->capability))) return false;
    *ret = word;
    return !takeover_keyed(seg, index, word);
}

bool ap_takeover_from(struct ap_worker *w, struct ap_agent *agent, uint32_t queue)
{
    uint64_t cursor = 0, ref, word;

    while ((ref = ap_queue_peek(w->seg, queue, &cursor)) != 0) {
        if (!takeover_fits(w->seg, agent, queue, ref, &word)) continue;
        if (!ap_task_move(w->seg, AP_REF_SLOT(ref), word, agent->queue)) continue;
        ap_move_announce(w->seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref), agent->queue);
        ap_queue_took(&agent->consumer);
        return true;
    }
    return false;
}

/* Whether both offer the same, as replicas do: what a name without a major means was decided when the task was sent. */
static bool takeover_alike(const struct ap_segment *seg, uint32_t queue, uint32_t other)
{
    const struct ap_agent_record *a = ap_agent_at(seg, queue), *b = ap_agent_at(seg, other);

    return a->capability_count == b->capability_count && memcmp(a->capabilities, b->capabilities, sizeof a->capabilities) == 0;
}

static bool takeover_pays(const struct ap_queue *q)
{
    uint64_t run = ap_load_relaxed(&q->run_time);

    return ap_load_relaxed(&q->running) > 0 && (run == 0 || run >= AP_TAKEOVER_PAYS);
}

bool ap_takeover(struct ap_worker *w)
{
    const struct ap_queen *q = w->queen;

    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];

        if (agent->in_hand >= agent->limit || agent->held_until != 0 || agent->outlier.until != 0) continue;
        for (size_t k = 0; k < q->agent_count; k++) {
            const struct ap_agent *other = &q->agents[k];

            if (other->worker == w || !takeover_pays(ap_queue_at(w->seg, other->queue))) continue;
            if (!takeover_alike(w->seg, agent->queue, other->queue)) continue;
            if (ap_takeover_from(w, agent, other->queue)) return true;
        }
    }
    return false;
}
