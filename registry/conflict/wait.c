/* registry/conflict/wait.c - waiting for a claim, in line. See conflict.h, and shm/claim.h, LINE. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "registry/conflict/conflict.h"
#include "shm/bell.h"
#include "shm/image.h"

#define PARK_FIRST UINT64_C(10000000)
#define PARK_MAX UINT64_C(1000000000)

struct claim_waiting {
    struct ap_lane_context *c;
    struct ap_segment *seg;
    struct ap_claim_ask *ask;
    struct ap_claim_view *view; /* of the last look */
    uint64_t until, park;
    uint32_t interrupts;
};

/* 1 granted, 0 not yet, or an error. Where the lane stands in line is as the look found it, and was so before it. */
static int wait_look(const struct claim_waiting *w)
{
    struct ap_lane *lane = w->c->lane.lane;
    int r;

    ap_claim_awake(lane);
    while ((r = ap_claim_take(w->seg, w->ask, w->view)) == 0) {
        /* The row's bit may have been lowered while another key had the row. */
        if ((ap_load_relaxed(&lane->waits) & 0xffff) == w->view->row + 1 && ap_claim_lined(w->seg, w->view->row)) return 0;
        ap_claim_line(w->seg, lane, w->ask, w->view->row);
    }
    return r;
}

/* A cancellation point: the lane goes back when the thread ends, and its place in line with it. The function called may be left at
 * any instruction: it is a system call and nothing else. */
static int wait_sleep(const struct ap_ops *ops, const uint32_t *bell, uint32_t value, const uint32_t *lock, uint32_t held,
                      uint64_t until)
{
    int before, r;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    r = lock != NULL && ops->futex_wait_both != NULL ? ops->futex_wait_both(bell, value, lock, held, until) : -ENOSYS;
    if (r == -ENOSYS) r = ops->futex_wait(bell, value, until);
    pthread_setcanceltype(before, NULL);
    return r;
}

static int wait_park(struct claim_waiting *w)
{
    const struct ap_ops *ops = w->seg->ops;
    uint32_t value = ap_bell_raise(&w->c->lane.lane->bell), held = 0;
    const uint32_t *lock = NULL;
    uint64_t now, wake;
    int r = wait_look(w);

    if (r != 0) return r;
    if (ap_load_acquire(&w->c->client->interrupts) != w->interrupts) return APIARY_EINTERRUPTED;
    now = ops->now();
    if (now >= w->until) return APIARY_ENOTREADY;
    if (w->view->held && w->view->lane != AP_NO_LANE) {
        if (w->park > PARK_FIRST) ap_image_judge(w->seg, w->view->lane);
        if (ap_lane_watch(w->seg, w->view->lane, &lock, &held) < 0) return wait_look(w); /* it has just ended */
    }
    wake = now + w->park;
    if (w->until < wake) wake = w->until;
    if (w->view->until < wake) wake = w->view->until;
    r = wake > now ? wait_sleep(ops, &w->c->lane.lane->bell, value, lock, held, wake) : 0;
    /* The kernel wakes one at a death. The monitor waits there, too, and who waits for another key of that holder. */
    if (lock != NULL && ap_load_acquire(lock) != held) ops->futex_wake(lock, INT_MAX);
    if (r == -ETIMEDOUT)
        w->park = w->park * 2 < PARK_MAX ? w->park * 2 : PARK_MAX;
    return wait_look(w);
}

int ap_claim_wait(struct ap_lane_context *c, struct ap_claim_ask *ask, uint64_t timeout, struct ap_claim_view *ret)
{
    struct claim_waiting w = {.c = c, .seg = c->lane.seg, .ask = ask, .view = ret, .until = UINT64_MAX, .park = PARK_FIRST};
    uint64_t now = w.seg->ops->now();
    int r;

    ask->ticket = ap_claim_number(w.seg);
    if (ask->ticket == 0) return APIARY_ETABLEFULL;
    ask->steals = true;
    if (timeout != 0 && timeout < UINT64_MAX - now) w.until = now + timeout;
    w.interrupts = ap_load_acquire(&c->client->interrupts);
    r = wait_look(&w);
    while (r == 0 && !(ret->held && ret->lane == ask->lane)) r = wait_park(&w);
    ap_claim_leave(w.seg, c->lane.lane);
    if (r == 1) ap_claim_counted(w.seg, ret->row, AP_CLAIM_COUNT_waited);
    return r == APIARY_ENOTREADY ? 0 : r;
}
