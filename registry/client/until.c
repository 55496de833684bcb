/* registry/client/until.c - when a task with timers is given up. See until.h. */
#include "registry/client/until.h"

#include "registry/client/carried.h"
#include "registry/client/progress.h"
#include "shm/start_by.h"

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The task was started before its lane said that it is inside, so `started` is this attempt's. */
static uint64_t until_attempt(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    const struct ap_lane *lane = ap_lane_at(seg, AP_WORD_OWNER(word));
    apiary_task_t task = ap_task_id(seg, index, AP_WORD_GENERATION(word));
    uint64_t started, beat, end = UINT64_MAX;
    struct ap_progress_view progress;
    struct ap_carried row;

    if (lane == NULL || ap_load_acquire(&lane->inside) != AP_REF(index, task.generation)) return end; /* LANE-A6 pairs LANE-R6 */
    started = beat = ap_load_relaxed(&slot->started);
    if (ap_progress_read(seg, task, &progress) && progress.at > beat) beat = progress.at;
    ap_carried_read(seg, task, &row);
    if (row.start_to_close != 0) end = started + row.start_to_close;
    if (row.heartbeat != 0) end = sooner(end, beat + row.heartbeat);
    return end < UINT64_MAX - 2 * AP_OVERRUN_GRACE ? end + 2 * AP_OVERRUN_GRACE : UINT64_MAX;
}

uint64_t ap_until_timed(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);

    if (ap_task_waits(AP_WORD_STATE(word))) return ap_slot_until(slot, word);
    if (AP_WORD_STATE(word) != AP_TASK_RUNNING) return ap_load_relaxed(&slot->deadline);
    return sooner(ap_load_relaxed(&slot->deadline), until_attempt(seg, index, word));
}
