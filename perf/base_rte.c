/* perf/base_rte.c - rte_ring of DPDK, one each way in shared memory, 64-byte elements, both sides spinning. The ring alone: no
 * huge pages, no processors taken, none of the rest of DPDK is started. */
#ifdef PERF_RTE
#include <rte_config.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <string.h>

#include "perf/link.h"

#define PATIENCE 256u
#define ELEMENT 64u

struct state {
    struct rte_ring *ring[2]; /* by the side that receives */
};

static bool base_rte_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = perf_shared(sizeof *s);
    unsigned depth = 4;
    ssize_t bytes;

    while (depth < l->window + 1)
        depth *= 2;
    bytes = rte_ring_get_memsize_elem(ELEMENT, depth);
    if (bytes <= 0) return snprintf(why, size, "rte_ring refuses %u elements", depth), false;
    for (int i = 0; i < 2; i++) {
        s->ring[i] = perf_shared((size_t)bytes);
        if (rte_ring_init(s->ring[i], i == 0 ? "client" : "server", depth, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0)
            return snprintf(why, size, "rte_ring_init has failed"), false;
    }
    l->state = s;
    return true;
}

static bool give_up(const struct perf_link *l, int side, unsigned looks)
{
    return looks % PATIENCE == 0 && side == PERF_SERVER_SIDE && !perf_turn_on(l->control);
}

static int base_rte_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    uint8_t element[ELEMENT] AP_ALIGNED;
    unsigned looks = 0;

    memcpy(element, body, l->size);
    while (rte_ring_sp_enqueue_elem(s->ring[!side], element, ELEMENT) != 0) {
        if (!wait || give_up(l, side, ++looks)) return 0;
        ap_pause();
    }
    return 1;
}

static int base_rte_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    unsigned looks = 0;

    while (rte_ring_sc_dequeue_elem(s->ring[side], l->buffer, ELEMENT) != 0) {
        if (!wait || give_up(l, side, ++looks)) return 0;
        ap_pause();
    }
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_rte = {.name = "rte_ring",
                                             .setting = "DPDK's, SPSC, 64-byte elements, both sides spin",
                                             .most = ELEMENT,
                                             .spins = true,
                                             .queues = true,
                                             .make = base_rte_make,
                                             .put = base_rte_put,
                                             .get = base_rte_get};
#else
typedef int perf_no_rte;
#endif
