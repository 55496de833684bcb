/* registry/routing/deadline.h - admission by deadline: a task that would only wait until it is given up is refused at once.
 *
 * RULE      1 A task is refused (APIARY_EBACKLOG) when the tasks before it, and it, take longer than the time that it has, be it
 *           only to be started (schedule_to_start). So many as wait in the rings take each as long as the consumer's pace says,
 *           with its margin (shm/queue.h, PACE), which is half of that more at the least: the pace is a mean, and under overload
 *           each task that is accepted would else wait just until its deadline.
 *           2 The consumer takes from its callers in turn. So before a task of a caller that has few waiting there are few of the
 *           others, and one that floods is refused first.
 *           3 Where nothing waits a task is accepted, however long tasks have taken.
 *           4 Before it is refused at the provider that was picked, one other provider is tried (registry/client/backlog.c).
 * COST      Nothing where nothing waits: callers read one word, which lies beside one that they read anyway.
 * COUNT     queue.refused, by the caller that is refused.
 * THREADS   Any.
 */
#ifndef AP_DEADLINE_H
#define AP_DEADLINE_H

#include "shm/queue.h"

/* How long a task of a rank that the lane pushes into `ring` now would take to be done, as far as that can be known; 0: nothing
 * waits. */
uint64_t ap_deadline_wait(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane,
                          enum ap_rank rank);
/* How much too long that is for a task that has `timeout`; 0: it is not. */
uint64_t ap_deadline_excess(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane, enum ap_rank rank,
                            uint64_t timeout);

#endif
