/* registry/client/until.c - when a task with timers is given up. See until.h. */
#include "registry/client/until.h"

#include "registry/client/carried.h"
#include "registry/client/progress.h"
#include "shm/start_by.h"

/* A lane that is inside something has gone on since it took the task, so it has stored when it started that. */
static uint64_t until_attempt(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    const struct ap_lane *lane = ap_lane_at(seg, AP_WORD_OWNER(word));
    apiary_task_t task = ap_task_id(seg, index, AP_WORD_GENERATION(word));
    uint64_t started, beat, end = UINT64_MAX;
    struct ap_carried row;

    if (lane == NULL || ap_load_acquire(&lane->inside) == 0) return end; /* LANE-A6 pairs LANE-R6 */
    started = ap_load_relaxed(&slot->started);
    /* It has a share of another one's run (job_shared.c), and was not started. */
    if (started < ap_load_relaxed(&slot->queued) && ap_task_requested(slot, word, AP_REQUEST_COALESCED)) return end;
    beat = ap_progress_beaten(seg, task);
    if (beat < started) beat = started; /* an earlier attempt's */
    ap_carried_read(seg, task, &row);
    if (row.start_to_close != 0) end = started + row.start_to_close;
    if (row.heartbeat != 0) end = ap_sooner(end, beat + row.heartbeat);
    return end < UINT64_MAX - 2 * AP_OVERRUN_GRACE ? end + 2 * AP_OVERRUN_GRACE : UINT64_MAX;
}

uint64_t ap_until_timed(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);

    if (ap_task_waits(AP_WORD_STATE(word))) return ap_slot_until(slot, word);
    if (AP_WORD_STATE(word) != AP_TASK_RUNNING) return ap_load_relaxed(&slot->deadline);
    return ap_sooner(ap_load_relaxed(&slot->deadline), until_attempt(seg, index, word));
}
