/* agents/runtime/placed.c - see placed.h. */
#include "agents/runtime/placed.h"

#include "agents/runtime/queen.h"
#include "registry/routing/places.h"

_Static_assert(AP_PLACES < UINT8_MAX, "a place + 1 fits a job");

void ap_placed_look(struct ap_agent *agent)
{
    agent->bounded = ap_places_any(agent->worker->seg, agent->queue) || agent->stalled != 0;
}

void ap_placed_learn(struct ap_worker *w)
{
    for (size_t i = 0; i < w->agent_count; i++) ap_placed_look(w->agents[i]);
}

/* Whether the task needs a place. A reference to nothing that waits here does not: its claim comes to nothing. */
static bool placed_needs(const struct ap_agent *agent, uint64_t ref, uint32_t *ret_capability)
{
    const struct ap_segment *seg = agent->worker->seg;
    const struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A1 pairs TASK-R1 */

    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != agent->queue) return false;
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(ref)) return false;
    *ret_capability = ap_load_relaxed(&slot->capability);
    if (ap_task_requested(slot, word, AP_REQUEST_PROBE)) return false; /* nothing runs */
    return ap_places_bound(seg, *ret_capability) != 0;
}

/* Looked at in every turn, and counted once: two of few whose slots lead to one word may count again. */
static void placed_waits(struct ap_agent *agent, uint32_t capability, uint64_t ref)
{
    uint64_t *held = &agent->held[AP_REF_SLOT(ref) % AP_AGENT_HELD];

    if (*held == ref) return;
    *held = ref;
    ap_places_wait(agent->worker->seg, capability);
}

bool ap_placed_may(void *user, uint64_t ref)
{
    struct ap_agent *agent = user;
    uint32_t capability, place;

    if (!placed_needs(agent, ref, &capability)) return true;
    if (agent->spare == NULL) return false;
    if (agent->spare->placed != 0) ap_placed_end(agent->spare); /* of one that was not started after all */
    if (!ap_places_take(agent->worker->seg, capability, &agent->worker->context->lane, &place)) {
        placed_waits(agent, capability, ref);
        return false;
    }
    agent->spare->placed = (uint8_t)(place + 1);
    agent->spare->capability = (uint16_t)capability;
    return true;
}

bool ap_placed_would(void *user, uint64_t ref)
{
    const struct ap_agent *agent = user;
    uint32_t capability;

    return !placed_needs(agent, ref, &capability) || ap_places_free(agent->worker->seg, capability);
}

void ap_placed_end(struct ap_job *job)
{
    struct ap_worker *w = job->agent->worker;
    uint32_t place = job->placed - 1u;

    job->placed = 0;
    ap_places_return(w->seg, job->capability, &w->context->lane, place, job->agent->queue);
}

void ap_placed_back(struct ap_agent *agent)
{
    if (agent->spare != NULL && agent->spare->placed != 0) ap_placed_end(agent->spare);
}
