/* registry/monitor/monitor_wait.h - waiting for many futex words at once; private memory, one thread.
 *
 * Three ways, the best that works: uring (FUTEX_WAIT in a ring), waitv (futex_waitv, 128 words; what does not fit is
 * looked at every 10 ms), look (all of it every 10 ms). $APIARY_PARK forces them: "uring", "parker", "poll".
 * A wait in the ring that is left from an earlier value of its word still stands in the kernel's queue of that word, so any
 * later wake completes it and it is not replaced.
 */
#ifndef AP_MONITOR_WAIT_H
#define AP_MONITOR_WAIT_H

#include "core/must_check.h"
#include "core/ops.h"
#include "core/uring.h"

struct ap_wait {
    const uint32_t *word;
    uint32_t value;
    uint32_t serial;
    bool armed;
};

struct ap_waits {
    const struct ap_ops *ops;
    enum ap_park way; /* URING: uring, PARKER: waitv, POLL: look */
    struct io_uring ring;
    struct ap_wait *waits;
    uint32_t count;
    bool refused; /* the ring took something not: the next sleep is short, and the caller tries again */
};

/* Room for `count` waits, numbered from 0. By the thread that will use it. APIARY_ENOTSUP, _EINVAL, _ENOBLOCK. */
AP_MUST_CHECK int ap_waits_open(struct ap_waits *w, const struct ap_ops *ops, uint32_t count);
void ap_waits_close(struct ap_waits *w);

/* Wait number `tag`, always of the same word, is for it to leave `value`. */
void ap_waits_word(struct ap_waits *w, uint32_t tag, const uint32_t *word, uint32_t value);
static inline bool ap_waits_armed(const struct ap_waits *w, uint32_t tag)
{
    return w->waits[tag].armed;
}

/* Sleeps until one of them comes true, or until the time; may return early. What came true is not armed any more, and other
 * waiters of its word have been woken, because the kernel wakes only one at a death. */
void ap_waits_sleep(struct ap_waits *w, uint64_t until);

#endif
