/* agents/runtime/takeover.h - an idle worker takes over what waits at replicas of its agents, behind a long task.
 *
 * WHEN      1 Before a worker sleeps: each agent of it that may start something looks at the agents of the other workers that offer
 *           the same capabilities.
 *           2 Tasks of an agent that has something in hand are taken, one at a time, if a task there takes AP_TAKEOVER_PAYS or more
 *           in the mean, or if none has ended yet. A shorter one is begun there before it would be here.
 *           3 A task with a key, or of a stateful capability, stays, since it belongs to its provider. A suspect stays, since it
 *           waits for its turn to be alone.
 *           Four replicas at a load of 0.7, lognormal service times of 10 ms in the mean: the p99 is 14 times the mean of a task
 *           instead of 21 with peak_ewma, 14 instead of 50 with round_robin.
 * HOW       1 The reference is read in the other agent's ring, and stays there. The task's word decides, as in every move
 *           (shm/move.h): from then on that reference is nobody's.
 *           2 Tasks that are more urgent than normal are taken first, if they are among so many of the shared ring.
 *           3 An agent reads AP_TAKEOVER_LOOKS references at a time, since a bell may ring meanwhile. Its worker takes another turn
 *           and goes on behind the last one, and sleeps when all of them were read in vain.
 * CRASH     As of a mover.
 * THREADS   The worker's; it reads what the others have published.
 */
#ifndef AP_TAKEOVER_H
#define AP_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#define AP_TAKEOVER_PAYS UINT64_C(50000)
#define AP_TAKEOVER_LOOKS 64u

/* Where an agent goes on. All zeros: at the beginning. */
struct ap_takeover_place {
    uint64_t cursor;   /* of ap_queue_peek, in the queue of the agent that is looked at; 0: at the oldest */
    uint32_t at, left; /* the number of that agent in its queen, and how many are to be looked at in this pass; 0: it begins */
    bool whole;        /* this queue was looked at from its oldest on */
};

struct ap_agent;
struct ap_worker;

/* Whether the worker is to take another turn: a task was taken, which waits at an agent of this worker now, or not all references
 * were read. */
bool ap_takeover(struct ap_worker *w);
/* Whether a task of that queue that the agent may run was taken, an urgent one or else the oldest from its place on. *looks are the
 * references that it may read, and those that are left then. */
bool ap_takeover_from(struct ap_worker *w, struct ap_agent *agent, uint32_t queue, uint32_t *looks);

#endif
