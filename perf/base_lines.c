/* perf/base_lines.c - the least that carries a body of 64 bytes: one line with the body and one with a flag each way, the same four
 * lines every time, both sides spin. No ring, no name, no task: what two processors need to hand over two lines.
 */
#include <string.h>

#include "perf/link.h"

#define PATIENCE 256u

struct way {
    uint64_t flag AP_ALIGNED; /* number of the last message, from 1 */
    uint8_t body[AP_LINE] AP_ALIGNED;
};

struct state {
    struct way way[2]; /* to the client, to the server */
};

static bool base_lines_make(struct perf_link *l, char *why, size_t size)
{
    (void)why;
    (void)size;
    l->state = perf_shared(sizeof(struct state));
    return true;
}

static int base_lines_put(struct perf_link *l, int side, const void *body, bool wait)
{
    struct way *w = &((struct state *)l->state)->way[!side];

    (void)wait;
    memcpy(w->body, body, l->size);
    ap_store_release(&w->flag, ap_load_relaxed(&w->flag) + 1); /* LINES: the body before it */
    return 1;
}

static int base_lines_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct way *w = &((struct state *)l->state)->way[side];
    unsigned looks = 0;

    while (ap_load_acquire(&w->flag) != l->got + 1) {
        if (!wait) return 0;
        ap_pause();
        if (++looks % PATIENCE == 0 && side == PERF_SERVER_SIDE && !perf_turn_on(l->control)) return 0;
    }
    l->got++;
    *ret = w->body;
    return 1;
}

const struct perf_link_kind perf_link_lines = {.name = "lines",
                                               .setting = "a line with the body and one with a flag each way, both sides spin",
                                               .most = AP_LINE,
                                               .spins = true,
                                               .make = base_lines_make,
                                               .put = base_lines_put,
                                               .get = base_lines_get};
