/* registry/client/until.h - when somebody who waits for a task gives it up: at its deadline, or sooner if it has timers.
 *
 * 1 A task that waits ends at its time to be started (ap_slot_until).
 * 2 An attempt that takes too long is ended by its worker (agents/runtime/timers.c), which cannot while its thread is in an
 *   agent's code, whosever that is. Then the lane's `inside` is not 0, and whoever awaits the task gives it up after twice the time
 *   that the worker takes.
 * 3 The time is that of one word of the task. Before a task is ended at its time, that is asked anew with the word that is ended:
 *   it may have been started since, and in time.
 */
#ifndef AP_UNTIL_H
#define AP_UNTIL_H

#include "registry/registry.h"
#include "shm/task.h"

#define AP_OVERRUN_GRACE UINT64_C(2000000000) /* from the wish that an agent stop to the end over its head */

static inline uint64_t ap_sooner(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* Of a task with timers that was seen with this word. */
uint64_t ap_until_timed(const struct ap_segment *seg, uint32_t index, uint64_t word);

static inline uint64_t ap_until(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);

    if (__builtin_expect(!ap_task_requested(slot, word, AP_REQUEST_TIMED), 1)) return ap_load_relaxed(&slot->deadline);
    return ap_until_timed(seg, index, word);
}

#endif
