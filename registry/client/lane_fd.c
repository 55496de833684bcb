/* registry/client/lane_fd.c - apiary_lane_fd: a lane's bell as an eventfd, for event loops.
 *
 * The parker thread raises the bell's flag, writes the eventfd, and sleeps on the bell. In this order every task that was
 * finished before the flag is announced by the write, and every later one changes the word and ends the sleep. Nobody rings for
 * a task that passed its deadline in the hands of a worker that stands still, so it looks for those once a second.
 */
#include <stdlib.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/thread.h"
#include "registry/client/client.h"
#include "shm/bell.h"

#define LOOK_EVERY UINT64_C(1000000000)

struct ap_parker {
    pthread_t thread;
    struct ap_segment *seg;
    uint32_t *bell;
    const uint64_t *hedge_due; /* of the lane: at that time its thread has something to do */
    uint32_t lane;
    int fd;
    uint32_t stop;
};

static void *lane_fd_park(void *user)
{
    struct ap_parker *p = user;
    const struct ap_ops *ops = p->seg->ops;
    uint64_t one = 1, told = UINT64_MAX;

    for (;;) {
        uint32_t value = ap_bell_raise(p->bell);
        int r;

        if (ap_load_acquire(&p->stop) != 0) return NULL; /* FD-A1 pairs FD-R1 */
        if (write(p->fd, &one, sizeof one) < 0) {
            /* The counter is at its limit, so it is readable already. */
        }
        do {
            uint64_t due = ap_load_relaxed(p->hedge_due), until = ops->now() + LOOK_EVERY;

            r = ops->futex_wait(p->bell, value, due != told && due < until ? due : until);
            if (r == -ETIMEDOUT && due != told && ops->now() >= due) {
                told = due; /* once: the thread may be in no hurry */
                break;
            }
            /* The lane that should have rung may be dead, and there may be no other process to find out. */
            if (r == -ETIMEDOUT) ap_reap_asking(p->seg, AP_NO_LANE, &ap_registry_hooks);
            if (r == -ETIMEDOUT && ap_overdue(p->seg, p->lane, ops->now())) break;
        } while (r == -ETIMEDOUT || r == -EINTR);
    }
}

static int parker_start(struct ap_lane_context *c)
{
    struct ap_parker *p = calloc(1, sizeof *p);
    int r;

    if (p == NULL) return APIARY_ENOBLOCK;
    p->seg = c->client->seg;
    p->bell = &c->lane.lane->bell;
    p->hedge_due = &c->hedge_due;
    p->lane = c->lane.index;
    p->fd = ap_fd_event();
    if (p->fd < 0) {
        free(p);
        return APIARY_ESYS;
    }
    r = ap_thread_start(&p->thread, "apiary-lane-fd", lane_fd_park, p);
    if (r != 0) {
        close(p->fd);
        free(p);
        return APIARY_ESYS;
    }
    c->parker = p;
    c->event_fd = p->fd;
    return 0;
}

void ap_parker_stop(struct ap_lane_context *c)
{
    struct ap_parker *p = c->parker;

    if (p == NULL) return;
    ap_store_release(&p->stop, 1); /* FD-R1 pairs FD-A1 */
    ap_bell_wake(p->seg->ops, p->bell);
    pthread_join(p->thread, NULL);
    close(p->fd);
    free(p);
    c->parker = NULL;
    c->event_fd = -1;
}

int apiary_lane_fd(apiary_t *a)
{
    int r = 0;
    struct ap_lane_context *c = ap_context(a, &r);
    AP_UNCANCELLED;

    if (c == NULL) return r;
    if (c->parker == NULL) r = parker_start(c);
    return r < 0 ? r : c->event_fd;
}
