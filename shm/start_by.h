/* shm/start_by.h - a task that is to be started by some time, or not at all. The time lies in its slot, and counts if the request
 * word says TIMED; both are written while the slot is RESERVED. It is over with the first start. */
#ifndef AP_START_BY_H
#define AP_START_BY_H

#include "shm/task.h"

/* Of a slot that is RESERVED, by its lane: its task has timers. */
void ap_slot_timed(struct ap_slot *slot, uint64_t start_by);

/* Until when a task with this word, which waits, may do so: its deadline, or sooner if it was never started. */
static inline uint64_t ap_slot_until(const struct ap_slot *slot, uint64_t word)
{
    uint64_t bits = ap_request_bits(ap_load_acquire(&slot->request), word), deadline = ap_load_acquire(&slot->deadline), start_by;

    if (__builtin_expect((bits & AP_REQUEST_TIMED) == 0, 1) || (bits & AP_REQUEST_TRIED) != 0 || AP_WORD_ATTEMPT(word) != 0)
        return deadline;
    start_by = ap_load_acquire(&slot->start_by);
    return start_by < deadline ? start_by : deadline;
}

#endif
