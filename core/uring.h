/* core/uring.h - io_uring as this project uses it: set-up that suits old kernels, and the futex wait that liburing 2.3 lacks.
 *
 * THREADS   A ring is used only by the thread that opened it (except io_uring_queue_exit).
 */
#ifndef AP_URING_H
#define AP_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>

/* How a thread parks; $APIARY_PARK forces one: "uring", "parker", "poll". */
enum ap_park { AP_PARK_ANY, AP_PARK_URING, AP_PARK_PARKER, AP_PARK_POLL };

/* The way that $APIARY_PARK forces; AP_PARK_ANY when unset, -1 when it names none. */
int ap_park_forced(void);
const char *ap_park_name(enum ap_park park);
/* For a message, why a thread cannot park: for APIARY_EINVAL and APIARY_ENOTSUP, a sentence about $APIARY_PARK; for other errors,
 * their text and advice. */
void ap_park_refusal(int error, char *ret, size_t size);

/* 0 or a negative errno: io_uring forbidden (EPERM), absent (ENOSYS), no memory for it. */
int ap_uring_open(struct io_uring *ring, unsigned entries);
/* Whether FUTEX_WAIT works here, found out by trying: a seccomp filter or an old kernel may refuse. The ring must be idle. */
bool ap_uring_can_futex(struct io_uring *ring);
/* A submission entry. Submits the pending entries when the ring is full; NULL when even that did not help. */
struct io_uring_sqe *ap_uring_sqe(struct io_uring *ring);

/* Completes when *word is woken, or with -EAGAIN when *word is not `value`. Shared futex, as in struct ap_ops. */
void ap_uring_prep_futex_wait(struct io_uring_sqe *sqe, const uint32_t *word, uint32_t value);

/* Submits, and waits until an entry completes or until the absolute CLOCK_MONOTONIC time (UINT64_MAX: for ever). May return early
 * for any reason. 0, or a negative errno of ap_uring_lost: the ring will never wait again. */
int ap_uring_wait(struct io_uring *ring, uint64_t now, uint64_t until);

/* Whether an error of the ring's functions means that the descriptor is no longer the ring's: other code of the process has
 * closed the number, and another file may have it by now. */
bool ap_uring_lost(int error);
/* Frees such a ring without closing the file that has its number now. */
void ap_uring_forget(struct io_uring *ring);

/* Whether a look at the completions is worth while; no system call. */
static inline bool ap_uring_ready(const struct io_uring *ring)
{
    return io_uring_cq_ready(ring) != 0 ||
           (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

#endif
