/* core/uring.c - see uring.h. */
#include "core/uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/apiary.h"
#include "core/descriptor.h"
#include "core/text.h"

#define OP_FUTEX_WAIT 51        /* IORING_OP_FUTEX_WAIT, Linux 6.7 */
#define FUTEX2_SIZE_U32_SHARED 2 /* FUTEX2_SIZE_U32 without FUTEX2_PRIVATE */
#define NSEC UINT64_C(1000000000)

static const char *const names[] = {"any", "uring", "parker", "poll"};
_Static_assert(sizeof names / sizeof *names == AP_PARK_POLL + 1, "each way to park has its name");

const char *ap_park_name(enum ap_park park)
{
    return park <= AP_PARK_POLL ? names[park] : "invalid";
}

int ap_park_forced(void)
{
    const char *text = getenv("APIARY_PARK");

    if (text == NULL || *text == '\0') return AP_PARK_ANY;
    for (int i = AP_PARK_URING; i <= AP_PARK_POLL; i++)
        if (strcmp(text, names[i]) == 0) return i;
    return -1;
}

void ap_park_refusal(int error, char *ret, size_t size)
{
    const char *text = getenv("APIARY_PARK"), *advice = apiary_advice(error);

    if (error == APIARY_EINVAL && ap_park_forced() < 0)
        ap_format(ret, size, "APIARY_PARK is '%s'; it may be uring, parker or poll, or unset", AP_SHOWN(text, 40));
    else if (error == APIARY_ENOTSUP && ap_park_forced() > AP_PARK_ANY)
        ap_format(ret, size, "APIARY_PARK is '%s', which this machine cannot do; unset it for the best that works here",
                  AP_SHOWN(text, 40));
    else
        ap_format(ret, size, "%s%s%s", apiary_strerror(error), advice[0] != '\0' ? "; " : "", advice);
}

struct made {
    struct io_uring *ring;
    unsigned entries, flags;
    int error;
};

static int uring_make(void *user)
{
    struct made *m = user;

    m->error = io_uring_queue_init(m->entries, m->ring, m->flags); /* LINT: as ap_fd_made wants it */
    return m->error < 0 ? -1 : m->ring->ring_fd;
}

int ap_uring_open(struct io_uring *ring, unsigned entries)
{
    /* From the newest kernel to the oldest. TASKRUN_FLAG: a busy thread sees from memory alone that there is something. */
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    struct made m = {.ring = ring, .entries = entries, .error = -EINVAL};
    int r, fd = -1;

    for (unsigned i = 0; m.error == -EINVAL && i < sizeof flags / sizeof flags[0]; i++) {
        m.flags = flags[i];
        fd = ap_fd_made(uring_make, &m);
    }
    if (m.error < 0) return m.error;
    if (fd != ring->ring_fd) ring->ring_fd = ring->enter_ring_fd = fd; /* it has been moved */
    r = fd < 0 ? -EMFILE : io_uring_get_events(ring); /* a filter may let a ring be made and not be entered */
    if (r < 0) io_uring_queue_exit(ring);
    return r < 0 ? r : 0;
}

struct io_uring_sqe *ap_uring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    for (int i = 0; sqe == NULL && i < 3; i++) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

void ap_uring_prep_futex_wait(struct io_uring_sqe *sqe, const uint32_t *word, uint32_t value)
{
    io_uring_prep_rw(OP_FUTEX_WAIT, sqe, FUTEX2_SIZE_U32_SHARED, word, 0, value);
    sqe->addr3 = UINT32_MAX;
}

bool ap_uring_can_futex(struct io_uring *ring)
{
    /* The word differs from what is waited for, so a kernel that knows the operation answers at once. */
    uint32_t word = 1;
    struct __kernel_timespec limit = {.tv_sec = 1};
    struct io_uring_sqe *sqe = ap_uring_sqe(ring);
    struct io_uring_cqe *cqe = NULL;
    int result;

    if (sqe == NULL) return false;
    ap_uring_prep_futex_wait(sqe, &word, 0);
    io_uring_sqe_set_data64(sqe, 0);
    if (io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL) < 0 || cqe == NULL) return false;
    result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result == -EAGAIN;
}

bool ap_uring_lost(int error)
{
    /* No descriptor; not of a ring; of a ring of another thread. */
    return error == -EBADF || error == -EOPNOTSUPP || error == -ENXIO || error == -EEXIST;
}

void ap_uring_forget(struct io_uring *ring)
{
    ring->ring_fd = ring->enter_ring_fd = -1;
    io_uring_queue_exit(ring);
}

int ap_uring_wait(struct io_uring *ring, uint64_t now, uint64_t until)
{
    uint64_t left = until > now ? until - now : 0;
    struct __kernel_timespec limit = {.tv_sec = (long long)(left / NSEC), .tv_nsec = (long long)(left % NSEC)};
    struct io_uring_cqe *cqe;
    int r = until == UINT64_MAX ? io_uring_submit_and_wait(ring, 1) : io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL);

    return ap_uring_lost(r) ? r : 0;
}
