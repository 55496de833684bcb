/* shm/follow.h - tasks that wait for the outcome of another one: in which slabs there may be any.
 *
 * SCOPE     1 Of the COALESCED tasks of one key (request.h) that are in flight one is the leader, which is run. The others are
 *           followers: SCHEDULED and due, in no queue, until they have the leader's outcome. The registry says who leads
 *           (registry/conflict/coalesce.h), and is asked through hooks->lead (move.h).
 *           2 Nothing links a follower to its leader: it is told apart by its key each time that it is looked at (due.h). So one
 *           whose leader has gone is due, and becomes the leader at the next look, unless another has. Here is only in which slabs
 *           to look.
 * WORD      1 slab.followed = joins << 1 | some. `some`: a follower may lie in the slab.
 *           2 A lane that lets a task stay a follower raises joins and sets `some`, each time; then it fences, and looks at the
 *           leader once more.
 *           3 `some` is taken away by a compare-and-swap after a look that found none in the slab. So a join meanwhile, which is
 *           another word, is not lost.
 * END       1 A lane that has ended a COALESCED task fences and lowers the hints of the slabs with `some` to now: the monitor looks
 *           at their followers. After an end that nobody was to share one of them is the leader then.
 *           2 Before a worker ends a leader with what its agent has answered, it gives that to the followers, while the leader is
 *           RUNNING and its own: SCHEDULED -> RUNNING(worker), and then the end as of any task.
 *           3 The reaper that ends a leader, whose workers have crashed or were lost too often, ends its followers with the same
 *           before: else each of them would crash as many.
 * ORDERING  COAL-F1 full fence after `followed` was raised, before the second look at the leader's word, pairs COAL-F2 full fence
 *           after the word that ends a leader, before `followed` is read: either the joiner sees the end, or the joiner is seen.
 *           COAL-R2 `followed` CAS (release) pairs COAL-A2 load-acquire before a look over the slab: the joiner's word.
 * CRASH     1 The worker dies before the leader's end: the leader, and a follower in its hands, are SCHEDULED again, and looked at
 *           in the same step. Followers that have their outcome have it; the others share that of the next attempt.
 *           2 A lane that has ended a leader dies before the hints are lowered: its recovery looks at every SCHEDULED task
 *           (reap.h).
 * PROGRESS  lock-free; an end costs a load for each slab.
 */
#ifndef AP_FOLLOW_H
#define AP_FOLLOW_H

#include "shm/task.h"

#define AP_FOLLOW_AGAIN UINT64_C(100000000) /* ns until a task is looked at again of whose key nobody can be named a leader */

static inline bool ap_coalesced(const struct ap_slot *slot, uint64_t word)
{
    return ap_task_requested(slot, word, AP_REQUEST_COALESCED);
}

/* SCHEDULED -> RUNNING(lane) of a follower, by CAS: its leader's worker has an outcome for it. It has no result so far. Returns the
 * token; 0: it is no longer as it was seen. */
uint64_t ap_task_share(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t lane, uint32_t queue);
/* RUNNING -> SCHEDULED, by CAS of the reaper of lane `dead`, with a start more: 1; 0 as above. See ap_task_requeue_dead. */
int ap_task_unqueue_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, bool suspect);

/* The task of a slot stays a follower. The caller then looks at the leader's word once more. */
void ap_follow_join(struct ap_segment *seg, uint32_t index);
/* slab.followed where `some` is set, for ap_follow_none; else 0. */
uint64_t ap_follow_any(const struct ap_segment *seg, uint32_t slab);
/* A look at the whole slab, after ap_follow_any had returned `seen`, has found none. */
void ap_follow_none(struct ap_segment *seg, uint32_t slab, uint64_t seen);
/* A COALESCED task has ended, by the word that the caller has stored. */
void ap_follow_ended(struct ap_segment *seg);

#endif
