/* shm/claim_inside.h - shared by claim.c, which changes claims, and claim_look.c, which reads them. */
#ifndef AP_CLAIM_INSIDE_H
#define AP_CLAIM_INSIDE_H

#include "shm/claim.h"

static inline uint32_t claim_rows(const struct ap_segment *seg)
{
    return (uint32_t)seg->places[AP_SECTION_CLAIMS].count;
}

static inline uint32_t row_index(const struct ap_segment *seg, const struct ap_claim *row)
{
    return (uint32_t)(row - ap_claim_at(seg, 0));
}

static inline uint64_t claim_time(uint64_t now, uint64_t ttl)
{
    uint64_t end = ttl < UINT64_MAX - now ? now + ttl : UINT64_MAX, units = (end >> AP_CLAIM_UNIT) + 1;

    return units < AP_CLAIM_NEVER ? units : AP_CLAIM_NEVER;
}

static inline uint64_t claim_ends(const struct ap_segment *seg, uint64_t ttl)
{
    return ttl == APIARY_FOREVER ? AP_CLAIM_NEVER : claim_time(seg->ops->now(), ttl);
}

static inline bool claim_told(uint64_t tagged, uint64_t number)
{
    return AP_CLAIM_TAG(tagged) == AP_CLAIM_TAG(number);
}

static inline bool time_over(const struct ap_segment *seg, uint64_t until)
{
    uint64_t time = AP_CLAIM_TIME(until);

    return time != AP_CLAIM_NEVER && (time == AP_CLAIM_SEALED || time <= seg->ops->now() >> AP_CLAIM_UNIT);
}

static inline uint64_t until_ns(uint64_t until)
{
    uint64_t time = AP_CLAIM_TIME(until);

    return time == AP_CLAIM_NEVER ? UINT64_MAX : time << AP_CLAIM_UNIT;
}

/* Whether the lane, whose `waits` is this, waits for the key that the row has. */
static inline bool lane_awaits(const struct ap_segment *seg, const struct ap_lane *lane, uint64_t waits, const struct ap_claim *row)
{
    if ((waits & 0xffff) != row_index(seg, row) + 1) return false;
    return ap_load_relaxed(&lane->wants) == AP_CLAIM_WANTS(ap_load_relaxed(&row->hash)) && ap_lane_lives(lane);
}

static inline bool holder_gone(const struct ap_segment *seg, uint64_t word)
{
    return AP_CLAIM_LANE(word) != AP_NO_LANE && !ap_lane_alive(seg, AP_CLAIM_LANE(word));
}

/* The claim that has this word, by its row; the caller looks whether the word is still the same. */
static inline void claim_view(const struct ap_claim *row, uint64_t word, uint32_t index, struct ap_claim_view *ret)
{
    uint64_t number = AP_CLAIM_NUMBER(word), until = ap_load_relaxed(&row->until), who = ap_load_relaxed(&row->who);

    ret->token = AP_CLAIM_TOKEN(number, index);
    ret->row = index;
    ret->held = AP_CLAIM_STATE(word) == AP_CLAIM_HELD;
    ret->lane = AP_CLAIM_LANE(word);
    ret->until = claim_told(until, number) ? until_ns(until) : UINT64_MAX;
    ret->pid = claim_told(who, number) ? (uint32_t)(who >> 40) : 0;
    ret->caller = claim_told(who, number) ? (uint32_t)(who >> 24 & 0xffff) : 0;
}

#endif
