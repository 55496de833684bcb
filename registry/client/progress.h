/* registry/client/progress.h - how far tasks have come, as their agents say.
 *
 * LAYOUT    Section "progress": one row for each slot, at the same index. It is the task's whose generation and epoch it has.
 * TURN      1 turn = count << 40 | epoch of the lane's life << 16 | lane << 1 | busy. even -> busy(lane) by CAS of who writes the
 *           row, busy -> even by its CAS.
 *           2 A row that is busy in the hands of a lane whose life is over, also when the lane lives again, is taken over by the
 *           next who writes it. The former holder may be a thread that has outlived its worker: its turn is gone, so its end fails.
 *           A limit: what it stores before that end may be mixed with the next turn's, until the next beat.
 * WRITER    1 The worker that has the task, by any of its threads. Two at a time: what one of them says is not written.
 *           2 A thread that was slow may come when its task has ended and the slot has another. A row of a later task is left as it
 *           is.
 * READERS   1 Any, without a lock: a copy counts when the turn is the same afterwards, and not busy.
 *           2 A reader of the last beat's time alone reads that word alone. It is stored after the words that say whose the row
 *           is, so it may be an earlier task's for a moment, and then it is before this one's start.
 * ORDERING  BEAT-R1 turn CAS to even (release) pairs BEAT-A1 load-acquire: the row before it.
 *           BEAT-R2 release fence after the CAS to busy pairs BEAT-A2 acquire fence before a reader's second look at the turn.
 * CRASH     A writer that dies leaves the row busy. Until somebody beats again in this slot, it says nothing. Nothing is to be
 *           repaired. A text that is half written goes with the next beat, also with one that says nothing new.
 * INVARIANTS B1 a row's generation is not above its slot's in the same epoch  B2 a row that is not busy has at most
 *           APIARY_PROGRESS_MAX bytes
 */
#ifndef AP_PROGRESS_H
#define AP_PROGRESS_H

#include "registry/registry.h"
#include "shm/lane.h"

struct ap_progress {
    uint64_t turn;
    uint64_t generation;
    uint64_t at; /* CLOCK_MONOTONIC */
    uint64_t beats;
    uint32_t epoch, size;
    uint8_t text[APIARY_PROGRESS_MAX];
} AP_ALIGNED;

#define AP_PROGRESS_TURN(count, epoch, lane, busy) \
    ((uint64_t)(count) << 40 | ((uint64_t)(epoch) & 0xffffff) << 16 | (uint64_t)(lane) << 1 | (busy))
#define AP_PROGRESS_BUSY(t) (((t) & 1) != 0)
#define AP_PROGRESS_LANE(t) ((uint32_t)((t) >> 1 & 0x7fff))
#define AP_PROGRESS_EPOCH(t) ((uint32_t)((t) >> 16 & 0xffffff))
#define AP_PROGRESS_COUNT(t) ((uint64_t)(t) >> 40)

struct ap_progress_view {
    uint64_t at, beats;
    uint32_t size;
    char text[APIARY_PROGRESS_MAX + 1];
};

static inline struct ap_progress *ap_progress_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_PROGRESS, index, struct ap_progress);
}

/* `lane` has the task, or had it a moment ago. size 0: what it said last stays. */
void ap_progress_tell(const struct ap_lane_handle *lane, apiary_task_t task, uint64_t now, const char *text, size_t size);
/* When the task has beaten last, or not before; 0: not yet. */
uint64_t ap_progress_beaten(const struct ap_segment *seg, apiary_task_t task);
/* False: the task has not said anything, or is about to. */
bool ap_progress_read(const struct ap_segment *seg, apiary_task_t task, struct ap_progress_view *ret);

#endif
