/* registry/conflict/coalesce.h - ConflictResolver: tasks of one dedup key share one run and its result.
 *
 * SCOPE     1 A task with a dedup key (the option dedup_key) is COALESCED, and its submitter places it in no queue: it is
 *           SCHEDULED. The step that looks at tasks whose time has come (shm/due.h) decides: nobody in flight leads its key, then
 *           it is named the leader, and is queued; or somebody does, then it stays a follower (shm/follow.h).
 *           2 A follower is a task as any, with a slot, a ticket, a deadline, a client of its own. It waits for the leader's
 *           outcome and not in a queue. When the leader has gone without one, the first follower that is looked at is named.
 * KEY       The capability by the name that was asked for, the service that alone may run it (execute_task), and the dedup key, all
 *           of them compared. Callers share it.
 * LAYOUT    Section "leading": groups of 16 words, one for four slots. A key's group is found by its hash.
 *           1 `leader`: references of tasks that were named. One counts while its task is in flight: SCHEDULED, QUEUED or RUNNING
 *           at that generation. A task that has ended is never in flight again, so nobody clears a word.
 *           2 `entered`: place << 60 | reference of the task that was named last, places from 1.
 * NAMING    1 By anybody who looks at the task. Load `entered`, and complete it: its reference stands at its place, by a
 *           compare-and-swap from what was there while `entered` was the same.
 *           2 Look through the group for a task in flight with the key. It is the task itself: that leads. It is another one: that
 *           leads. There is none: choose a place whose task is not in flight. See that the task is in flight still; then a
 *           compare-and-swap of `entered` names it. If that fails, begin anew.
 *           3 So of two who name tasks of one key one finds the other's. And no value of `entered` comes back: a task that was
 *           named before is found as long as it is in flight, and is not named otherwise.
 * OUTCOME   1 Shared is what the leader's agent has answered, or why its worker could not (agents/runtime/job_shared.c). Not what
 *           comes of the leader's own caller: ETIMEDOUT, ECANCELLED, a failure after it was cancelled or given up; nor of its slot
 *           (ECORRUPT) or of where it was queued (ENOPROVIDER, ESHUTDOWN).
 *           2 A leader that is to be tried again leads while it waits for that.
 *           3 One that joins between the look for followers and the leader's end has missed it, and is run by itself.
 * COUNT     terms.coalesced: followers that have had another's outcome, for each capability.
 * INVARIANTS Y1 a COALESCED task that is QUEUED is named in its group  Y2 no two tasks in flight of one group have one key
 *           Y3 references name slots of the table; `entered` names one of the places
 * ORDERING  COAL-R1 `entered` and `leader` CAS (release) pairs COAL-A1 load-acquire: what the one who named has seen.
 *           COAL-F1, COAL-F2: see shm/follow.h.
 * CRASH     A lane that dies in the middle leaves a group that the next one completes. Nothing here is to be recovered.
 * COST      A task without a dedup key: none.
 * THREADS   Any, several at once.
 */
#ifndef AP_COALESCE_H
#define AP_COALESCE_H

#include "registry/registry.h"

#define AP_LEADERS 14u
#define AP_LEADING_SLOTS 4u /* for each group */

struct ap_leading {
    uint64_t entered;
    uint64_t leader[AP_LEADERS];
    uint64_t reserved;
} AP_ALIGNED;

#define AP_ENTERED(place, ref) ((uint64_t)(place) << 60 | (uint64_t)(ref)) /* places from 1 */
#define AP_ENTERED_PLACE(e) ((uint32_t)((e) >> 60))
#define AP_ENTERED_REF(e) ((uint64_t)(e) & ((UINT64_C(1) << 60) - 1))
_Static_assert(AP_REF(AP_TASKS_MAX - 1, AP_GENERATION_MASK) >> 60 == 0, "a place has its bits beside a reference");
_Static_assert(AP_LEADERS < 16, "a place has four bits, and 0 is none");

static inline struct ap_leading *ap_leading_at(const struct ap_segment *seg, uint64_t group)
{
    return AP_ELEMENT(seg, AP_SECTION_LEADING, group, struct ap_leading);
}

struct ap_dedup {
    uint64_t key;
    uint32_t capability;
    uint32_t only; /* service + 1; 0: any */
};
/* The key of a task in flight. False: it is not in flight at this generation, or has none. */
bool ap_dedup_of(const struct ap_segment *seg, uint32_t slot, uint64_t generation, struct ap_dedup *ret);
/* The group of a key. */
uint64_t ap_dedup_group(const struct ap_segment *seg, const struct ap_dedup *key);

/* The part of a task of this key that came now: _IS, _FOLLOWS, _FULL. */
enum ap_lead ap_coalesce_look(const struct ap_segment *seg, const struct ap_dedup *key);
/* The leader that a task has, which may be itself: true, and its reference in *ret; false: none is named. */
bool ap_coalesce_leader(const struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t *ret);
/* hooks->lead. */
enum ap_lead ap_coalesce_lead(void *user, struct ap_segment *seg, uint32_t index, uint64_t word);

/* A follower, with its word. */
typedef void (*ap_follower_fn)(void *user, struct ap_segment *seg, uint32_t index, uint64_t word);
/* Calls `each` for the followers of a leader with this word, in its time; and takes away the mark of slabs without any. */
void ap_coalesce_each(struct ap_segment *seg, uint32_t index, uint64_t word, ap_follower_fn each, void *user);
/* A follower had another's outcome. */
void ap_coalesce_count(struct ap_segment *seg, uint32_t capability);
/* Adds Y1 to what is found of a task slot. */
void ap_coalesce_look_slot(struct ap_look *look);
/* hooks->fail. */
void ap_coalesce_fail(void *user, struct ap_segment *seg, uint32_t self, uint32_t index, uint64_t word, int code);

#endif
