/* registry/client/hedge.h - hedged tasks: one that takes long is delegated a second time, to another provider, and the first
 * answer counts.
 *
 * COPIES    1 The second copy is a task as any other, with a slot, a ticket and a deadline of its own, in a slab of the same lane.
 *           Its request is a copy, and it carries what the first carries, but for the hedge, its time to be started, and a key;
 *           and a parent that ends the first ends it, too (BOUND).
 *           2 The first names the second in its carried row (`other`), the second the first. The row of the first says which of
 *           both counts (`won`). A caller knows the first task's id only.
 * WHO       1 The lane that has delegated the task, while its thread waits: for this task, for any other, or by apiary_poll. It
 *           looks at all of its tasks whose time has come (ap_hedges_due), before it parks and at the time itself. The descriptor
 *           of apiary_lane_fd is readable then. A worker does so in its turns.
 *           2 A caller that does not wait sends no second copy, and loses nothing but that. So it is where the thread has ended.
 *           3 One attempt is made. Without another provider that stands well, a budget (hedging.h), or room, the task goes on
 *           alone.
 * ANSWER    1 The first success counts. A failure counts when the other copy has ended, too, or when the task was cancelled or its
 *           deadline has passed. Other timers than that are of one copy, and leave the other alone.
 *           2 Which counts is decided by one compare-and-swap of `won`, by whoever collects first, and never changes: each later
 *           look finds the same result. The other copy is cancelled by the lane that has decided.
 *           3 The result is told under the first task's id. apiary_release frees the copy that has answered, and gives up the
 *           other.
 *           4 A task that is given up takes its second copy with it. Cancelling the task cancels both.
 *           5 The second is given up before the first is, or is freed: the row that names it goes with the slot of the first, which
 *           the lane may use for its next task at once. That the first counts is said before, so that none is sent afterwards.
 * CRASH     1 The lane dies: both copies lie in its slabs, and its recovery detaches and frees them as all others. It does not
 *           matter whether they name each other.
 *           2 A provider dies: its copy runs again elsewhere, as any task.
 * INVARIANTS R12 `won` is one of the three; `other` names a slot, and there is one where the second has won
 * ORDERING  HEDGE-R1 `other` of the first store-release pairs HEDGE-A1 load-acquire: the second is QUEUED.
 *           HEDGE-R2 `won` CAS (release) pairs HEDGE-A2 load-acquire of who collects: what was seen of both copies.
 *           HEDGE-F1 full fence after `other`, before the sender's look whether the first counts already or is not wanted, pairs
 *           HEDGE-F2 full fence after `won` says that the first counts, before `other` is read: one of both sides gives the second
 *           up.
 * COST      A task without a hedge: none. With one, its request word says so (HEDGED), and only then anything here is called.
 * THREADS   send: the lane's thread. Others: any.
 */
#ifndef AP_HEDGE_H
#define AP_HEDGE_H

#include "registry/client/carried.h"
#include "registry/client/client.h"

enum ap_hedge_won { AP_HEDGE_OPEN, AP_HEDGE_FIRST, AP_HEDGE_SECOND, AP_HEDGE_WAYS };

static inline bool ap_hedged(const struct ap_slot *slot, uint64_t word)
{
    return ap_task_requested(slot, word, AP_REQUEST_HEDGED);
}

/* From when on a task may be run that carries this. */
static inline uint64_t ap_hedge_start(const struct ap_slot *slot, const struct ap_carried *row)
{
    bool later = (ap_load_relaxed(&row->delay) | ap_load_relaxed(&row->due_at)) != 0;

    return later ? ap_load_relaxed(&slot->due) : ap_load_relaxed(&slot->queued);
}

/* Of a task that is RESERVED by the lane, and has its carried row, to be run from `due` on: 0, or APIARY_ENOTIDEMPOTENT. */
AP_MUST_CHECK int ap_hedge_begin(struct ap_lane_context *c, apiary_task_t task, uint64_t hedge, uint64_t due);
/* Sends what is due by now of the lane's tasks, and sets c->hedge_due to when the next is. */
void ap_hedges_send(struct ap_lane_context *c, uint64_t now);
static inline void ap_hedges_due(struct ap_lane_context *c, uint64_t now)
{
    if (__builtin_expect(c->hedge_due <= now, 0)) ap_hedges_send(c, now);
}
/* The second copy: true. False: there is none, or it has gone. */
bool ap_hedge_second(struct apiary *a, apiary_task_t task, apiary_task_t *ret);
/* The copy whose end was collected under the task's id, which may be the second; of a task that is not hedged itself. */
apiary_task_t ap_hedge_answered(struct apiary *a, apiary_task_t task);
/* When a task is given up whose first copy alone would be at `until`, which may be before its deadline (until.h): not while the
 * other copy may go on. */
uint64_t ap_hedge_until(struct apiary *a, apiary_task_t task, uint64_t until);
/* Whether ap_collect would find an end. */
bool ap_hedge_over(struct apiary *a, apiary_task_t task);
/* Frees what was collected: 1, or 0 when another lane has. */
int ap_hedge_release(struct apiary *a, apiary_task_t task);
/* Before the first copy is freed or given up: the second is given up, and none is sent any more. */
void ap_hedge_drop(struct apiary *a, apiary_task_t task);

#endif
