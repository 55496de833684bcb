/* agents/runtime/placed.h - a worker's tasks of capabilities that say how many may run at once (registry/routing/places.h).
 *
 * START     1 A task of such a capability is taken out of its ring only with a place. The place is taken as the task is looked at,
 *           and is kept in the job that is next in the agent's list of free ones. Other tasks stay where they are.
 *           2 A reference that a scan of the table has found is in no ring. If there is no place for it the scan stops, and goes on
 *           when it was started. Tasks that are more urgent and go between are in a ring, and stay there without a place.
 *           3 A start that comes to nothing gives the place back.
 * SLEEP     A worker whose rings hold nothing that may be started sleeps. It is woken when a place comes back, see places.h; and it
 *           looks again every AP_STALLED_PAUSE while a reference is in no ring, since nobody else can know of that: one that a
 *           scan has found, or of a suspect that waits to run alone.
 * WHICH     Whether an agent is concerned is asked when it begins, when it says what it has done (every 64 tasks), and whenever the
 *           worker is about to sleep: another provider may have declared it since. One that has a reference in no ring is.
 * THREADS   The worker's.
 */
#ifndef AP_PLACED_H
#define AP_PLACED_H

#include "agents/runtime/agent.h"

#define AP_STALLED_PAUSE UINT64_C(10000000)

/* Asks anew whether an agent is concerned. */
void ap_placed_look(struct ap_agent *agent);
/* The same for all agents of a worker. */
void ap_placed_learn(struct ap_worker *w);
/* Whether a task of the agent may be started (ap_may_fn). may: with a place, taken for it, if it needs one. would: only asks. */
bool ap_placed_may(void *agent, uint64_t ref);
bool ap_placed_would(void *agent, uint64_t ref);
/* Whether a task that is in no ring waits for a place, or may do so. */
static inline bool ap_placed_waits(const struct ap_agent *agent)
{
    return agent->stalled != 0 || (agent->bounded && agent->aside != 0);
}
/* The task was not started: gives the place back if there is one. */
void ap_placed_back(struct ap_agent *agent);
/* A job that had a place has ended. */
void ap_placed_end(struct ap_job *job);

#endif
