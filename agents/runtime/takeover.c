/* agents/runtime/takeover.c - see takeover.h. */
#include "agents/runtime/takeover.h"

#include <string.h>

#include "agents/runtime/queen.h"
#include "registry/client/carried.h"
#include "registry/routing/homes.h"
#include "registry/routing/places.h"
#include "shm/move.h"

/* Whether its key, or its caller, says where it is to run. */
static bool takeover_keyed(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    struct ap_carried carried;

    return ap_carried_read(seg, ap_task_id(seg, index, AP_WORD_GENERATION(word)), &carried) &&
           (carried.key | carried.provider) != 0;
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
    if (ap_stateful(seg, ap_load_relaxed(&slot->capability))) return false; /* it belongs where the state is */
    /* Without a place for it here it would only go back and forth. */
    if (agent->bounded && !ap_places_free(seg, ap_load_relaxed(&slot->capability))) return false;
    *ret = word;
    return !takeover_keyed(seg, index, word);
}

static bool takeover_take(struct ap_worker *w, struct ap_agent *agent, uint32_t queue, uint64_t ref)
{
    uint64_t word;

    if (!takeover_fits(w->seg, agent, queue, ref, &word)) return false;
    ap_move_rank(w->seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref), agent->queue);
    if (!ap_task_move(w->seg, AP_REF_SLOT(ref), word, agent->queue)) return false;
    ap_move_announce(w->seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref), agent->queue);
    ap_queue_took(&agent->consumer);
    return true;
}

/* One that is more urgent than all in the inlets, if the queue ever had any. */
static bool takeover_urgent(struct ap_worker *w, struct ap_agent *agent, uint32_t queue)
{
    uint64_t cursor = (uint64_t)w->seg->geometry.queue_inlets << 32, ref;
    uint32_t looks = ap_load_relaxed(&ap_queue_at(w->seg, queue)->ranked) != 0 ? AP_TAKEOVER_LOOKS : 0;

    for (; looks > 0 && (ref = ap_queue_peek(w->seg, queue, &cursor)) != 0; looks--) {
        const struct ap_slot *slot = ap_slot_at(w->seg, AP_REF_SLOT(ref));

        if (slot == NULL || ap_slot_rank(slot, AP_REF_GENERATION(ref)) >= AP_RANK_NORMAL) continue;
        if (takeover_take(w, agent, queue, ref)) return true;
    }
    return false;
}

static bool takeover_search(struct ap_worker *w, struct ap_agent *agent, uint32_t queue, uint64_t *cursor, uint32_t *looks)
{
    uint64_t ref;

    while (*looks > 0 && (ref = ap_queue_peek(w->seg, queue, cursor)) != 0) {
        (*looks)--;
        if (takeover_take(w, agent, queue, ref)) return true;
    }
    return false;
}

/* From its place on, and then what lies before: the consumer has taken some meanwhile, by which the place moves on. */
bool ap_takeover_from(struct ap_worker *w, struct ap_agent *agent, uint32_t queue, uint32_t *looks)
{
    struct ap_takeover_place *p = &agent->place;

    if (takeover_urgent(w, agent, queue)) return true;
    if (p->cursor == 0) p->whole = true;
    for (;;) {
        if (takeover_search(w, agent, queue, &p->cursor, looks)) {
            p->whole = false;
            return true;
        }
        if (*looks == 0) return false;
        p->cursor = 0;
        if (p->whole) return false;
        p->whole = true;
    }
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

/* Of each other agent in turn, from its place on. */
static bool takeover_for(struct ap_worker *w, struct ap_agent *agent)
{
    const struct ap_queen *q = w->queen;
    struct ap_takeover_place *p = &agent->place;
    uint32_t looks = AP_TAKEOVER_LOOKS, count = (uint32_t)q->agent_count;

    if (p->left == 0 || p->left > count) p->left = count;
    for (; p->left > 0; p->left--, p->cursor = 0, p->at = (p->at + 1) % count) {
        const struct ap_agent *other = &q->agents[p->at % count];

        if (other->worker == w || !takeover_pays(ap_queue_at(w->seg, other->queue))) continue;
        if (!takeover_alike(w->seg, agent->queue, other->queue)) continue;
        if (ap_takeover_from(w, agent, other->queue, &looks)) p->left = count; /* and each is looked at again */
        else if (looks > 0) continue;
        return true;
    }
    return false;
}

bool ap_takeover(struct ap_worker *w)
{
    for (size_t i = 0; i < w->agent_count; i++) {
        struct ap_agent *agent = w->agents[i];

        if (agent->in_hand >= agent->limit || agent->held_until != 0 || agent->outlier.until != 0) continue;
        if (takeover_for(w, agent)) return true;
    }
    return false;
}
