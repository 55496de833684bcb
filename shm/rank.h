/* shm/rank.h - the rank of a task: which of those that wait at an agent is to be started first.
 *
 * RANKS     Four, URGENT before HIGH before NORMAL before LOW. Almost all tasks are NORMAL, and nothing is written for these.
 * STORED    In the slot, while it is RESERVED: slot->rank, which counts if the request word says RANKED. So whoever moves the task,
 *           or finds it after a death, knows its rank; and whatever puts it into a queue again.
 * WHERE     A task with another rank than NORMAL waits in the shared ring of its queue, whoever sends it (crowd.h). Those of the
 *           inlets are NORMAL.
 * TURNS     1 At every start the consumer takes the most urgent of what waits and may be started.
 *           2 But a rank that was passed over AP_RANK_PASSES times goes first, of several such the most urgent. So while something
 *           of a rank waits that may be started, one of it is started after AP_RANK_BOUND others at the latest.
 *           3 In a rank the lanes have turns as ever: one ring after the other, in the shared one one lane after the other.
 *           4 The counts are the consumer's own, and begin anew with it.
 * RECOVERY  queue.ranked is 1 once a task with a rank was put into the queue. Then a scan goes over the table once for each rank,
 *           the most urgent first; what comes meanwhile and is more urgent than the rank that it is at goes between, as in TURNS.
 *           So a worker that comes after a kill starts what was left in the order of the ranks: AP_RANK_BOUND does not hold
 *           among these.
 * INVARIANTS T13 a rank that a task has is one of the four  Q13 queue.ranked is 0 or 1
 * COST      A queue into whose shared ring nothing was put pays nothing.
 */
#ifndef AP_RANK_H
#define AP_RANK_H

#include "shm/task.h"

enum ap_rank { AP_RANK_URGENT, AP_RANK_HIGH, AP_RANK_NORMAL, AP_RANK_LOW, AP_RANKS };

#define AP_RANK_PASSES 16u
#define AP_RANK_BOUND (AP_RANK_PASSES + AP_RANKS - 2u) /* each of two others once, as such */
#define AP_RANKS_ALL ((1u << AP_RANKS) - 1)
#define AP_RANK_BIT(rank) (1u << (rank))
#define AP_RANKS_ABOVE(rank) (AP_RANK_BIT(rank) - 1) /* those that are more urgent */

/* Of a slot that is RESERVED, by its lane. */
void ap_slot_ranked(struct ap_slot *slot, enum ap_rank rank);

/* The rank of the slot's task of a generation; NORMAL if it is another one's by now. */
static inline enum ap_rank ap_slot_rank(const struct ap_slot *slot, uint64_t generation)
{
    uint64_t request = ap_load_acquire(&slot->request); /* TASK-A7 pairs TASK-R7 */
    uint32_t rank;

    if (!ap_request_has(request, AP_WORD(0, 0, 0, generation), AP_REQUEST_RANKED)) return AP_RANK_NORMAL;
    rank = ap_load_relaxed(&slot->rank);
    return rank < AP_RANKS ? (enum ap_rank)rank : AP_RANK_NORMAL;
}

/* How often each rank was passed over since one of it was started. Private memory of a consumer. */
struct ap_ranks {
    uint16_t passed[AP_RANKS];
};
/* Which of the ranks whose bits are set has its turn; there is one. */
enum ap_rank ap_ranks_next(const struct ap_ranks *r, uint32_t waiting);
/* One of it is started while those whose bits are set wait, too. */
void ap_ranks_started(struct ap_ranks *r, enum ap_rank rank, uint32_t waiting);

#endif
