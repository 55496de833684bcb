/* core/uring.h - io_uring as this project uses it: set-up that suits old kernels, and the futex wait that liburing 2.3 lacks.
 *
 * A ring is used by the thread that opened it, and by no other (io_uring_queue_exit apart).
 */
#ifndef AP_URING_H
#define AP_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>

/* How a thread parks; $APIARY_PARK forces one: "uring", "parker", "poll". */
enum ap_park { AP_PARK_ANY, AP_PARK_URING, AP_PARK_PARKER, AP_PARK_POLL };

/* What $APIARY_PARK asks for; AP_PARK_ANY when unset, or -1 when it names none. */
int ap_park_forced(void);
const char *ap_park_name(enum ap_park park);
/* Why nobody can park so, for a message: of APIARY_EINVAL and APIARY_ENOTSUP what $APIARY_PARK has to do with it, of others their
 * text and advice. */
void ap_park_refusal(int error, char *ret, size_t size);

/* 0 or a negative errno: io_uring forbidden (EPERM), absent (ENOSYS), no memory for it. */
int ap_uring_open(struct io_uring *ring, unsigned entries);
/* Whether FUTEX_WAIT works here, found out by doing it: a seccomp filter or an old kernel may refuse. The ring is idle. */
bool ap_uring_can_futex(struct io_uring *ring);
/* A submission entry; submits what is there when the ring is full. NULL when even that did not help. */
struct io_uring_sqe *ap_uring_sqe(struct io_uring *ring);

/* Completes when somebody wakes *word, or with -EAGAIN when it is not `value`. Shared futex, as in struct ap_ops. */
void ap_uring_prep_futex_wait(struct io_uring_sqe *sqe, const uint32_t *word, uint32_t value);

/* Submits, and waits until something completes or until the absolute CLOCK_MONOTONIC time (UINT64_MAX: for ever). May
 * return early for any reason. 0, or a negative errno of ap_uring_lost: it will never wait again. */
int ap_uring_wait(struct io_uring *ring, uint64_t now, uint64_t until);

/* Whether an error of the ring's functions means that its descriptor is not the ring's any more: somebody has closed the
 * number, and maybe another file has it. */
bool ap_uring_lost(int error);
/* Gives such a ring back, without closing what has the number now. */
void ap_uring_forget(struct io_uring *ring);

/* Whether a look at the completions is worth while; no system call. */
static inline bool ap_uring_ready(const struct io_uring *ring)
{
    return io_uring_cq_ready(ring) != 0 ||
           (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

#endif
