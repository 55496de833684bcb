/* registry/routing/hedging.c - how many second copies, and after which time. See hedging.h. */
#include "registry/routing/hedging.h"

#define MS UINT64_C(1000000)
#define COST 1000u     /* thousandths of a copy */
#define SHARE 200u     /* for each task started */
#define RATE 10u       /* for each ms */
#define SAVED (10000 * RATE)
#define PARTS 20u
#define FINE 8u        /* so much finer is a part later */
#define COARSE_UNTIL 64u
#define COUNT_MAX 255u
#define TIME_MAX (UINT64_MAX >> 16)

static uint64_t scale_now(const struct ap_segment *seg, uint32_t capability, uint64_t now)
{
    uint64_t started = 0;

    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;)
        started += ap_load_relaxed(&ap_queue_at(seg, (uint32_t)q)->started);
    return now / MS * RATE + started * SHARE;
}

bool ap_hedging_pay(const struct ap_segment *seg, uint32_t capability, uint64_t now)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t scale, least, seen, from, next;

    if (row == NULL) return false;
    scale = scale_now(seg, capability, now);
    least = scale > SAVED ? scale - SAVED : 0;
    seen = ap_load_relaxed(&row->hedge_paid);
    do {
        from = seen > scale ? scale : seen < least ? least : seen;
        next = scale - from >= COST ? from + COST : from;
    } while (next != seen && !ap_cas(&row->hedge_paid, &seen, next));
    return next != from;
}

uint64_t ap_hedging_time(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t word = row != NULL ? ap_load_relaxed(&row->hedge_time) : 0;

    return (word & COUNT_MAX) >= AP_HEDGING_KNOWN ? word >> 8 : 0;
}

/* One part, of which there are twenty at first. */
static uint64_t part_of(uint64_t time, uint64_t count)
{
    return time / (count < COARSE_UNTIL ? PARTS : PARTS * FINE) + 1;
}

void ap_hedging_took(const struct ap_segment *seg, uint32_t capability, uint64_t took, bool longer)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t seen = row != NULL ? ap_load_relaxed(&row->hedge_time) : 0, time, count, part;

    if (row == NULL) return;
    do {
        time = seen >> 8;
        count = seen & COUNT_MAX;
        part = part_of(time, count);
        if (time == 0) time = took;
        else if (longer || took > time) time += (PARTS - 1) * part;
        else time -= time > part ? part : 0;
        if (time > TIME_MAX) time = TIME_MAX;
    } while (!ap_cas(&row->hedge_time, &seen, time << 8 | (count < COUNT_MAX ? count + 1 : count)));
}
