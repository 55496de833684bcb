/* registry/routing/kept.h - results that outlive their tasks: kept for a time, fetched by the task's id, by any process.
 *
 * SCOPE     1 A task that is fire and forget may say for how long its result is kept after its end (the option `keep`). Its row
 *           is promised before the task is placed, and the task is refused when there is none. So no result is dropped before its
 *           time.
 *           2 The result is entered by the lane that frees the task's slot, while that is RELEASING. It lies in the row, or in its
 *           block, which is then KEPT for the row (shm/pool.h; the rows count on from those of the dead set), and counts for the
 *           member that has delegated the task, and for the share of all that is kept (shm/share.h, KEPT).
 *           3 Where that share is used up the row is KEPT all the same, and says so: with APIARY_ENOTKEPT and no result, or with
 *           the beginning of a failure's text, which ends in "..." then. Results and values of the memory that have had their time
 *           are dropped before. Nobody else waits for the answer: such a task is fire and forget. `unkept` counts
 *           them.
 *           4 The rows live as long as the segment, whoever dies.
 * LAYOUT    Section "kept": one row for each result that is kept or promised.
 * LIFE      1 life = epoch << 24 | lane << 8 | state. The epoch rises when a row is taken for another task.
 *           2 FREE -> FILLING(lane) by CAS of the lane that submits, while the slot is RESERVED. FILLING -> PROMISED by its store:
 *           the row names the task.
 *           3 PROMISED -> KEPT by CAS of the lane that frees the slot: the result is in the row.
 *           4 PROMISED -> FREE by CAS of a lane that takes its task back; or of anybody, when the slot is FREE or another task's.
 *           5 KEPT -> FREE by CAS, of anybody when the time is over, or of who forgets it.
 * ONCE      RELEASING(lane) makes the lane, or after its death its reaper, the only one who fills the row. It fills it before the
 *           slot is FREE, so a PROMISED row is not given up under it. After a death in between it is filled again with the same.
 *           That there is one filler is all that ap_kept_enter rests on: it stores into the row, and gives its block back
 *           (ap_pool_unkeep), without asking whether another one has entered the result already. Of two at once the one could take
 *           away the block that the other's row names.
 * INVARIANTS K1 the lane of a FILLING row is LIVE, the task of a PROMISED one in its slot  K2 a row's state and size are possible
 *           K3 the block that a row names is KEPT for it
 * ORDERING  KEPT-R1 life PROMISED store-release, KEPT and FREE by CAS, pairs KEPT-A1 load-acquire: the row before it.
 *           KEPT-R2 release fence after the CAS to FILLING pairs KEPT-A2 acquire fence before a reader's second look at the life.
 *           KEPT-R1 of KEPT comes before TASK-R3 of the slot's FREE, which pairs TASK-A3 of who looks whether the task is there.
 * WAITING   A client waits for a result on the low half of the row's life, for a second at most; KEPT wakes it.
 * CRASH     FILLING(dead): FREE by the reaper. PROMISED without a task: LIFE 4, also by the reaper, after the slots.
 */
#ifndef AP_KEPT_H
#define AP_KEPT_H

#include "core/must_check.h"
#include "registry/registry.h"

enum ap_kept_life { AP_KEPT_FREE, AP_KEPT_FILLING, AP_KEPT_PROMISED, AP_KEPT_KEPT };
#define AP_KEPT_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_KEPT_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_KEPT_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_KEPT_EPOCH(l) ((uint64_t)(l) >> 24)

struct ap_kept {
    uint64_t life;
    uint64_t generation; /* with slot and epoch: the task's id */
    uint32_t slot, epoch;
    uint64_t holder;   /* the member that has delegated the task (ap_share_name) */
    uint64_t keep;     /* ns, from its end */
    uint64_t until;    /* CLOCK_MONOTONIC */
    uint64_t result;   /* offset of its block, 0: in the row */
    uint32_t size;
    int32_t code;      /* 0, or why it failed */
    uint32_t agent_code, attempts, untried;
    uint16_t capability, caller; /* as in struct ap_slot */
    uint64_t unkept; /* in row 0, of all: results that were not kept, or not whole, since what is kept has its share */
    uint8_t inside[AP_INLINE_BODY];
} AP_ALIGNED;

static inline struct ap_kept *ap_kept_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_KEPT, i, struct ap_kept);
}

/* A row for a task whose slot the lane has RESERVED. APIARY_ETABLEFULL: all are promised or kept. */
AP_MUST_CHECK int ap_kept_take(struct ap_segment *seg, uint32_t lane, uint32_t *ret_row);
/* The row's task is in a slot that is RESERVED by the lane of `member`. */
void ap_kept_promise(struct ap_segment *seg, uint32_t row, apiary_task_t task, uint64_t keep, uint32_t member);
/* The member that holds a row's block (struct ap_parts). */
uint32_t ap_kept_holder(const struct ap_segment *seg, uint32_t row);
/* The task was taken back, and its promise with it. */
void ap_kept_recall(struct ap_segment *seg, apiary_task_t task);
/* The result of a slot that is RELEASING, for the row that was promised it. `word` is the slot's. */
void ap_kept_enter(struct ap_segment *seg, struct ap_slot *slot, uint64_t word);
/* The row of a task, with its life; -1: none has it. */
int ap_kept_find(const struct ap_segment *seg, apiary_task_t task, uint64_t *ret_life);
/* Frees a row that is KEPT and has this life, with its block: 1; 0, another lane was first. */
int ap_kept_free(struct ap_segment *seg, uint32_t row, uint64_t life);
/* For who tells that none is free: rows that are kept or promised, for members that have left how many, and when the first that is
 * kept has had its time, UINT64_MAX: never. */
struct ap_kept_use {
    uint32_t used, left;
    uint64_t until;
};
struct ap_kept_use ap_kept_used(const struct ap_segment *seg);
/* Frees rows whose time is over, or whose task is gone. Returns how many. Any process, several at once. */
uint32_t ap_kept_expire(struct ap_segment *seg, uint64_t now);
/* Whether a block is KEPT for a row (struct ap_parts). */
bool ap_kept_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch);
/* Recovery of a lane (part.h). */
void ap_kept_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);

#endif
