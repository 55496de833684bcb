/* perf/base_futex.c - the body in shared memory and a bare futex(2) each way: what two sleeping sides cannot do without. */
#include <string.h>

#include "perf/link.h"

struct state {
    uint32_t turn[2] AP_ALIGNED; /* how many messages each side was sent; one line for both, as in a single exchange */
    struct {
        uint32_t count AP_ALIGNED; /* received; the side's own */
    } seen[2];
};

static uint8_t *base_futex_body_of(struct perf_link *l, int side)
{
    struct state *s = l->state;

    return (uint8_t *)(s + 1) + (size_t)side * (l->size / AP_LINE + 1) * AP_LINE;
}

static bool base_futex_make(struct perf_link *l, char *why, size_t size)
{
    (void)why;
    (void)size;
    l->state = perf_shared(sizeof(struct state) + 2 * (l->size + AP_LINE));
    return true;
}

static int base_futex_put(struct perf_link *l, int side, const void *body, bool wait)
{
    struct state *s = l->state;
    uint32_t *turn = &s->turn[!side];

    (void)wait;
    memcpy(base_futex_body_of(l, !side), body, l->size);
    ap_store_release(turn, ap_load_relaxed(turn) + 1);
    ap_ops_system.futex_wake(turn, 1);
    return 1;
}

static int base_futex_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    struct state *s = l->state;
    uint32_t *turn = &s->turn[side];

    while (ap_load_acquire(turn) == s->seen[side].count) {
        if (!wait) return 0;
        ap_ops_system.futex_wait(turn, s->seen[side].count, UINT64_MAX);
    }
    s->seen[side].count++;
    *ret = base_futex_body_of(l, side);
    return 1;
}

const struct perf_link_kind perf_link_futex = {
    .name = "futex", .setting = "FUTEX_WAIT and FUTEX_WAKE, no spinning", .make = base_futex_make,
    .put = base_futex_put, .get = base_futex_get};
