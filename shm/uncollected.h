/* shm/uncollected.h - results that their callers leave lying.
 *
 * RULE      1 A task that has ended, and may be collected, is given up `result_ttl` after its deadline, as if its caller had done
 *           so: slot, blocks and ticket are free, and its id is refused. A task without a deadline is never given up.
 *           2 A result is read in place. A reader that is so late learns at apiary_release (ESTALE) that it may be another's.
 *           3 A member holds no more of them than its share (share.h).
 * WHO       Each sweep (reap.h), and a lane for which something is full.
 * CRASH     ABANDON is set first, by compare-and-swap on the request word of that generation. A task with it that has ended is
 *           freed by whoever comes by (task.h, UNSEEN).
 * COUNT     header.forgotten, by the lane that has freed the task; and an event.
 * THREADS   Any, with a lane.
 */
#ifndef AP_UNCOLLECTED_H
#define AP_UNCOLLECTED_H

#include "shm/task.h"

/* Whether a task that has ended has waited too long by `now`. */
static inline bool ap_uncollected_over(const struct ap_segment *seg, uint64_t deadline, uint64_t now)
{
    return deadline != APIARY_FOREVER && deadline <= now && now - deadline >= (uint64_t)seg->geometry.result_ttl * 1000000;
}
/* Gives up the task in a slot if it is one of these: 1, else 0. */
int ap_uncollected_give_up(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t now, ap_slot_freed_fn freed);
/* All of the table; returns how many. */
uint32_t ap_uncollected_all(struct ap_segment *seg, uint32_t lane, uint64_t now, ap_slot_freed_fn freed);

#endif
