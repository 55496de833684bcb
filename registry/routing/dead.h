/* registry/routing/dead.h - the dead set: tasks that are not tried again, with their bodies, for somebody to look at.
 *
 * SCOPE     1 A task whose end is marked (AP_REQUEST_DEAD) is entered by the lane that frees its slot, while that is RELEASING. So
 *           its caller has its failure as ever, and until it has collected that the task is in the table of tasks.
 *           2 The set is bounded. When it is full the oldest entry goes.
 *           3 It lives as long as the segment.
 *           4 Of a hedged task the first copy is entered, unless the second has answered.
 *           5 Its blocks are lent by those who need none: where no block of a size is free, the oldest entry that has one goes.
 * LAYOUT    Section "dead": one row for each entry. The body lies in the row, or in the block in which the request lay, which is
 *           then KEPT for the row (shm/pool.h).
 * LIFE      1 life = epoch << 24 | lane << 8 | state. The epoch rises when a row is taken for another task.
 *           2 FREE, or the oldest KEPT -> FILLING(lane) by CAS. FILLING -> KEPT by a store of its lane: the row is filled.
 *           3 KEPT -> TAKEN(lane) by who delegates it anew. TAKEN -> FREE when that is done, TAKEN -> KEPT when it was refused.
 *           4 KEPT -> FREE by who discards it, or who needs its block.
 * ONCE      1 RELEASING(lane) makes the lane, or after its death its reaper, the only one who enters that task. A row that already
 *           names the task is gone on with.
 *           2 The client that delegates anew stores the reference of the new task in `again` when its slot is RESERVED, before that
 *           is QUEUED. If the lane of a TAKEN row is dead, its reaper looks for that slot before it frees any: RESERVED, or none
 *           was named, and the row is KEPT again; else the task is on its way, and the row is FREE. A task that is taken back,
 *           since its queue is full, is CANCELLED until `again` is 0: then the row is KEPT as well.
 *           3 `again` is 0 in a row that is KEPT.
 *           4 The new task gets the block of the entry: it is a REQUEST of the slot while that is RESERVED, and KEPT for the row
 *           again, before `again` is 0, if the task is refused. The reaper gives it back before it frees the slot.
 * INVARIANTS X1 the lane of a FILLING or TAKEN row is LIVE  X2 a row's number, cause and size are possible, and a KEPT one is
 *           becoming no task  X3 the block that a KEPT row names is KEPT for it
 * ORDERING  DEAD-R1 life KEPT store-release pairs DEAD-A1 load-acquire: the row before it.
 *           DEAD-R2 release fence after the CAS to FILLING pairs DEAD-A2 acquire fence before a reader's second look at the life: a
 *           reader that has read a new field sees that the row was taken.
 * CRASH     FILLING(dead): FREE by the reaper, after it has entered what the lane was RELEASING. TAKEN(dead): see ONCE.
 */
#ifndef AP_DEAD_H
#define AP_DEAD_H

#include "registry/client/carried.h"
#include "registry/registry.h"

enum ap_dead_life { AP_DEAD_FREE, AP_DEAD_FILLING, AP_DEAD_KEPT, AP_DEAD_TAKEN };
#define AP_DEAD_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_DEAD_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_DEAD_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_DEAD_EPOCH(l) ((uint64_t)(l) >> 24)
#define AP_DEAD_TEXT 128u

struct ap_dead {
    uint64_t life;
    uint64_t again;  /* TAKEN: the reference of the task that it becomes; 0: none yet */
    uint64_t number; /* of the entry, from 1 */
    uint64_t died;   /* CLOCK_REALTIME */
    uint64_t generation; /* with slot and epoch: the task's id */
    uint32_t slot, epoch;
    uint64_t body;    /* offset of its block, 0: in the row */
    uint64_t timeout; /* ns that it had from first to last */
    uint64_t dropped; /* entries that had gone for want of room by then */
    uint64_t numbers, drops; /* in row 0, of all: the last number given, entries that have gone for want of room */
    int64_t pid;      /* of its last worker, 0: not known */
    uint32_t body_size, agent_code;
    uint32_t starts, crashes;
    uint16_t capability, only; /* as in struct ap_slot */
    uint16_t cause;  /* enum ap_dead_cause */
    uint16_t lost_body; /* 1: its result was written over it, or it is in no block of the task's */
    char caller[APIARY_NAME_MAX + 1], service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], agent[APIARY_NAME_MAX + 1];
    char text[AP_DEAD_TEXT]; /* the agent's, of a failure */
    uint8_t body_inside[AP_INLINE_BODY];
    struct ap_carried carried; /* what it carried, its options for the next time */
} AP_ALIGNED;

static inline struct ap_dead *ap_dead_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_DEAD, i, struct ap_dead);
}

/* The entry that a lane delegates anew (struct ap_lane_context). */
struct ap_again {
    uint64_t *ref; /* its row's `again` */
    uint32_t row;
    uint64_t epoch; /* of the row's life */
};

/* An ap_slot_freed_fn for all slots of a registry: enters a task whose end is marked, and gives its ticket back. */
void ap_slot_leave(void *seg, struct ap_slot *slot);
/* Copies a row that is KEPT, as of one moment: true. */
bool ap_dead_read(const struct ap_segment *seg, uint32_t row, struct ap_dead *ret);
/* The row of an entry, with its life; -1 when it is not KEPT. */
int ap_dead_find(const struct ap_segment *seg, uint64_t number, uint64_t *ret_life);
/* Frees a row that has this life, with its block: 1; 0, another lane was first. */
int ap_dead_free(struct ap_segment *seg, uint32_t row, uint64_t life);
/* Frees the oldest entry whose block is of the size in which a body of `size` would lie: 1, it is counted and told; 0: none has
 * one. */
int ap_dead_make_room(struct ap_segment *seg, uint32_t lane, uint64_t size);
/* Whether a block is KEPT for a row (struct ap_parts). */
bool ap_dead_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch);
/* Recovery of a lane (part.h). */
void ap_dead_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside);
void ap_dead_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);

#endif
