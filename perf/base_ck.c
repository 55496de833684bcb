/* perf/base_ck.c - ck_ring, one ring each way in shared memory, both sides spinning: for one producer and one consumer, and
 * for many of each (of which there is one here, too: what it costs to allow for more).
 *
 * Entries of 64 bytes carry bodies up to that size; of larger ones the entry says in which buffer, of as many as there may be
 * messages under way, the body lies. No task, no choice, no word of what became of it: a transport.
 */
#include <ck_ring.h>
#include <stdlib.h>
#include <string.h>

#include "perf/link.h"

#define PATIENCE 256u

struct entry {
    uint8_t bytes[64];
};
CK_RING_PROTOTYPE(perf, entry)

struct way {
    ck_ring_t ring AP_ALIGNED;
    uint64_t sent AP_ALIGNED; /* the producer's own */
};

struct state {
    struct way way[2] AP_ALIGNED; /* to the client, to the server */
    unsigned depth;
};

static bool enqueue(const struct perf_link *l, struct way *w, struct entry *entries, struct entry *e)
{
    if (l->kind == &perf_link_ck_mpmc) return CK_RING_ENQUEUE_MPMC(perf, &w->ring, entries, e);
    return CK_RING_ENQUEUE_SPSC(perf, &w->ring, entries, e);
}

static struct entry *entries_of(struct state *s, int side)
{
    return (struct entry *)(s + 1) + (size_t)side * s->depth;
}

static uint8_t *base_ck_body_of(const struct perf_link *l, struct state *s, int side, uint64_t number)
{
    size_t stride = (l->size / AP_LINE + 1) * AP_LINE;

    return (uint8_t *)(entries_of(s, 1) + s->depth) + ((size_t)side * s->depth + number % s->depth) * stride;
}

static bool base_ck_make(struct perf_link *l, char *why, size_t size)
{
    unsigned depth = 4;
    struct state *s;

    (void)why;
    (void)size;
    while (depth < l->window + 1)
        depth *= 2;
    s = perf_shared(sizeof *s + 2 * depth * (sizeof(struct entry) + (l->size > 64 ? l->size + AP_LINE : 0)));
    s->depth = depth;
    for (int i = 0; i < 2; i++)
        ck_ring_init(&s->way[i].ring, depth);
    l->state = s;
    return true;
}

static bool try_put(struct perf_link *l, int side, const void *body)
{
    struct state *s = l->state;
    struct way *w = &s->way[!side];
    struct entry e;

    if (l->size <= sizeof e) {
        memcpy(&e, body, l->size);
        return enqueue(l, w, entries_of(s, !side), &e);
    }
    if (ck_ring_size(&w->ring) == s->depth - 1) return false; /* its buffer is not free before its entry */
    memcpy(base_ck_body_of(l, s, !side, w->sent), body, l->size);
    memcpy(&e, &w->sent, sizeof w->sent);
    if (!enqueue(l, w, entries_of(s, !side), &e)) return false;
    w->sent++;
    return true;
}

static bool try_get(struct perf_link *l, int side, const void **ret)
{
    struct state *s = l->state;
    struct entry *to = (struct entry *)(void *)l->buffer;
    ck_ring_t *ring = &s->way[side].ring;
    uint64_t number;
    bool got = l->kind == &perf_link_ck_mpmc ? CK_RING_DEQUEUE_MPMC(perf, ring, entries_of(s, side), to)
                                             : CK_RING_DEQUEUE_SPSC(perf, ring, entries_of(s, side), to);

    if (!got) return false;
    *ret = l->buffer;
    if (l->size <= sizeof(struct entry)) return true;
    memcpy(&number, l->buffer, sizeof number);
    *ret = base_ck_body_of(l, s, side, number);
    return true;
}

static int base_ck_put(struct perf_link *l, int side, const void *body, bool wait)
{
    unsigned looks = 0;

    while (!try_put(l, side, body)) {
        if (!wait) return 0;
        ap_pause();
        if (++looks % PATIENCE == 0 && side == PERF_SERVER_SIDE && !perf_turn_on(l->control)) return 0;
    }
    return 1;
}

static int base_ck_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    unsigned looks = 0;

    while (!try_get(l, side, ret)) {
        if (!wait) return 0;
        ap_pause();
        if (++looks % PATIENCE == 0 && side == PERF_SERVER_SIDE && !perf_turn_on(l->control)) return 0;
    }
    return 1;
}

const struct perf_link_kind perf_link_ck = {.name = "ck_ring",
                                            .setting = "SPSC, 64-byte entries, both sides spin",
                                            .spins = true,
                                            .queues = true,
                                            .make = base_ck_make,
                                            .put = base_ck_put,
                                            .get = base_ck_get};

const struct perf_link_kind perf_link_ck_mpmc = {.name = "ck_ring_mpmc",
                                                 .setting = "MPMC, 64-byte entries, both sides spin",
                                                 .spins = true,
                                                 .queues = true,
                                                 .make = base_ck_make,
                                                 .put = base_ck_put,
                                                 .get = base_ck_get};
