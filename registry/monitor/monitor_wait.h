/* registry/monitor/monitor_wait.h - waiting for many futex words at once; private memory, one thread.
 *
 * WAYS      There are three, and the best that works is taken. $APIARY_PARK forces one: "uring", "parker", "poll".
 *           1 uring: FUTEX_WAIT in a ring.
 *           2 waitv: futex_waitv, 128 words; the words that do not fit are looked at every 10 ms.
 *           3 look: all words are looked at every 10 ms.
 * STALE     A wait in the ring that is left from an earlier value of its word still stands in the kernel's queue of that word. Any
 *           later wake completes it, so it is not replaced.
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
    bool refused; /* the ring has refused an entry: the next sleep is short, and the caller tries again */
};

/* Makes room for `count` waits, numbered from 0. By the thread that will wait. APIARY_ENOTSUP, _EINVAL, _ENOBLOCK. */
AP_MUST_CHECK int ap_waits_open(struct ap_waits *w, const struct ap_ops *ops, uint32_t count);
void ap_waits_close(struct ap_waits *w);

/* Arms wait number `tag`: it completes when *word is no longer `value`. A tag always has the same word. */
void ap_waits_word(struct ap_waits *w, uint32_t tag, const uint32_t *word, uint32_t value);
static inline bool ap_waits_armed(const struct ap_waits *w, uint32_t tag)
{
    return w->waits[tag].armed;
}

/* Sleeps until one of the waits completes, or until the time; may return early. A wait that has completed is not armed any more,
 * and other waiters of its word have been woken, because the kernel wakes only one at a death. */
void ap_waits_sleep(struct ap_waits *w, uint64_t until);

#endif
