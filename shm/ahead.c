/* shm/ahead.c - how many tasks of a queue are before one that is pushed now. See queue.h. */
#include "shm/queue.h"

static uint32_t ring_waiting(const struct ap_segment *seg, uint32_t queue, uint32_t ring)
{
    const struct ap_ring *at = ap_ring_at(seg, queue, ring);
    uint64_t n = at != NULL ? ap_load_relaxed(&at->tail) - ap_load_relaxed(&at->head) : 0;

    return n <= seg->geometry.queue_depth ? (uint32_t)n : 0;
}

/* Of the lanes in the shared ring each has its turn; `at` is the one that asks. */
static uint32_t shared_ahead(const uint16_t of[AP_CROWD_LANES], uint32_t at, uint32_t own)
{
    uint32_t ahead = 0;

    for (uint32_t i = 0; i < AP_CROWD_LANES; i++)
        if (i != at) ahead += of[i] < own + 1 ? of[i] : own + 1;
    return ahead;
}

/* Of the inlets each has its turn, with what is NORMAL; whatever is in them is before what is LOW. */
static uint32_t inlets_ahead(const struct ap_segment *seg, uint32_t queue, uint64_t active, uint32_t ring, uint32_t most)
{
    uint32_t ahead = 0;

    for (; active != 0; active &= active - 1) {
        uint32_t r = (uint32_t)__builtin_ctzll(active), n;

        if (r >= seg->geometry.queue_inlets) break;
        n = r != ring ? ring_waiting(seg, queue, r) : 0;
        ahead += n < most ? n : most;
    }
    return ahead;
}

/* Of the ranks that are more urgent; no more than are started before so many. */
static uint32_t urgent_ahead(const struct ap_segment *seg, uint32_t queue, uint64_t active, enum ap_rank rank, uint32_t before)
{
    uint16_t of[AP_CROWD_LANES];
    uint32_t ahead = rank > AP_RANK_NORMAL ? inlets_ahead(seg, queue, active, UINT32_MAX, UINT32_MAX) : 0;

    ap_crowd_count(seg, queue, AP_RANKS_ABOVE(rank), of);
    for (uint32_t i = 0; i < AP_CROWD_LANES; i++) ahead += of[i];
    return ahead < (before + 1) * AP_RANK_BOUND ? ahead : (before + 1) * AP_RANK_BOUND;
}

uint32_t ap_queue_ahead(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane, enum ap_rank rank)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    uint32_t inlets = seg->geometry.queue_inlets, at = (lane + 1) % AP_CROWD_LANES, own, ahead;
    uint64_t active = q != NULL ? ap_load_relaxed(&q->summary) : 0;
    bool crowd = (active >> inlets & 1) != 0;
    uint16_t of[AP_CROWD_LANES];

    if (crowd || ring == inlets) ap_crowd_count(seg, queue, AP_RANK_BIT(rank), of);
    own = ahead = ring == inlets ? of[at] : ring_waiting(seg, queue, ring);
    if (rank == AP_RANK_NORMAL) ahead += inlets_ahead(seg, queue, active, ring, own + 1);
    if (crowd) ahead += shared_ahead(of, ring == inlets ? at : AP_CROWD_LANES, own);
    if (rank > AP_RANK_NORMAL || (crowd && q != NULL && ap_load_relaxed(&q->ranked) != 0))
        ahead += urgent_ahead(seg, queue, active, rank, ahead);
    return ahead;
}
