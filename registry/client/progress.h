/* registry/client/progress.h - how far tasks have come, as their agents say.
 *
 * LAYOUT    Section "progress": one row for each slot, at the same index. It is the task's whose generation and epoch it has.
 * TURN      turn = count << 16 | lane << 1 | busy. even -> busy(lane) by CAS of who writes the row, busy -> even by its store. A
 *           row that is busy in the hands of a lane that is not LIVE is taken over by the next who writes it.
 * WRITER    The worker that has the task, by any of its threads. Two at a time: what one of them says is not written.
 * READERS   Any, without a lock: a copy counts when the turn is the same afterwards, and not busy.
 * ORDERING  BEAT-R1 turn store-release pairs BEAT-A1 load-acquire: the row before it.
 *           BEAT-R2 release fence after the CAS to busy pairs BEAT-A2 acquire fence before a reader's second look at the turn.
 * CRASH     A writer that dies leaves the row busy. Until the task's next attempt beats, it says nothing. Nothing is to be
 *           repaired.
 * INVARIANTS B1 a row's generation is not above its slot's in the same epoch  B2 a row that is not busy has at most
 *           APIARY_PROGRESS_MAX bytes
 */
#ifndef AP_PROGRESS_H
#define AP_PROGRESS_H

#include "registry/registry.h"

struct ap_progress {
    uint64_t turn;
    uint64_t generation;
    uint64_t at; /* CLOCK_MONOTONIC */
    uint64_t beats;
    uint32_t epoch, size;
    uint8_t text[APIARY_PROGRESS_MAX];
} AP_ALIGNED;

#define AP_PROGRESS_TURN(count, lane, busy) ((uint64_t)(count) << 16 | (uint64_t)(lane) << 1 | (busy))
#define AP_PROGRESS_BUSY(t) (((t) & 1) != 0)
#define AP_PROGRESS_LANE(t) ((uint32_t)((t) >> 1 & 0x7fff))
#define AP_PROGRESS_COUNT(t) ((uint64_t)(t) >> 16)

struct ap_progress_view {
    uint64_t at, beats;
    uint32_t size;
    char text[APIARY_PROGRESS_MAX + 1];
};

static inline struct ap_progress *ap_progress_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_PROGRESS, index, struct ap_progress);
}

/* `lane` has the task. size 0: what it said last stays. */
void ap_progress_tell(struct ap_segment *seg, uint32_t lane, apiary_task_t task, uint64_t now, const char *text, size_t size);
/* False: the task has not said anything, or is about to. */
bool ap_progress_read(const struct ap_segment *seg, apiary_task_t task, struct ap_progress_view *ret);

#endif
