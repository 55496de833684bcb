/* registry/routing/places.c - see places.h. */
#include "registry/routing/places.h"

#include "shm/queue.h"

uint32_t ap_places_bound(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);

    return row != NULL ? (uint32_t)ap_term(seg, capability, row, AP_TERM_concurrency) : 0;
}

bool ap_places_any(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    uint32_t count = agent != NULL ? ap_load_relaxed(&agent->capability_count) : 0;

    for (uint32_t i = 0; i < count && i < AP_AGENT_CAPABILITIES; i++)
        if (ap_places_bound(seg, ap_load_relaxed(&agent->capabilities[i])) != 0) return true;
    return false;
}

static bool places_held(const struct ap_segment *seg, uint64_t word)
{
    const struct ap_lane *lane = word != 0 ? ap_lane_at(seg, (word & 0xffff) - 1) : NULL;

    /* The epoch first: of an earlier life the lane is dead, whoever has it now. */
    return lane != NULL && AP_LIFE_EPOCH(ap_load_acquire(&lane->life)) == word >> 16 && ap_lane_lives(lane); /* LANE-A1 */
}

static uint64_t places_word(const struct ap_lane_handle *lane)
{
    return lane->epoch << 16 | (lane->index + 1);
}

bool ap_places_take(const struct ap_segment *seg, uint32_t capability, const struct ap_lane_handle *lane, uint32_t *ret)
{
    struct ap_places *row = ap_places_at(seg, capability);
    uint32_t bound = ap_places_bound(seg, capability);

    for (uint32_t i = 0; row != NULL && i < bound && i < AP_PLACES; i++) {
        uint64_t seen = ap_load_relaxed(&row->holder[i]);

        if (places_held(seg, seen) || !ap_cas(&row->holder[i], &seen, places_word(lane))) continue;
        *ret = i;
        return true;
    }
    return false;
}

bool ap_places_free(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_places *row = ap_places_at(seg, capability);
    uint32_t bound = ap_places_bound(seg, capability);

    for (uint32_t i = 0; row != NULL && i < bound && i < AP_PLACES; i++)
        if (!places_held(seg, ap_load_relaxed(&row->holder[i]))) return true;
    return bound == 0;
}

void ap_places_wait(const struct ap_segment *seg, uint32_t capability)
{
    struct ap_places *row = ap_places_at(seg, capability);

    if (row != NULL) ap_add_relaxed(&row->waited, 1);
}

uint64_t ap_places_waited(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_places *row = ap_places_at(seg, capability);

    return row != NULL ? ap_load_relaxed(&row->waited) : 0;
}

uint32_t ap_places_taken(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_places *row = ap_places_at(seg, capability);
    uint32_t n = 0;

    for (uint32_t i = 0; row != NULL && i < AP_PLACES; i++) n += places_held(seg, ap_load_relaxed(&row->holder[i]));
    return n;
}

/* Whether anything is in the rings of a queue; their summary does not tell while its consumer looks through them. */
static bool places_awaited(const struct ap_segment *seg, uint32_t queue)
{
    for (uint32_t r = 0; r <= seg->geometry.queue_inlets; r++) {
        const struct ap_ring *ring = ap_ring_at(seg, queue, r);

        if (ring != NULL && ap_load_relaxed(&ring->tail) != ap_load_relaxed(&ring->head)) return true;
    }
    return false;
}

/* The consumers of the other queues in which something waits: it may be of the capability. */
static void places_tell(struct ap_segment *seg, uint32_t capability, uint32_t own)
{
    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;) {
        struct ap_lane *lane;

        if ((uint32_t)q == own) continue;
        lane = ap_lane_at(seg, AP_QUEUE_LANE(ap_load_acquire(&ap_queue_at(seg, (uint32_t)q)->life)));
        if (lane != NULL && (ap_load_relaxed(&lane->bell) & 1) != 0 && places_awaited(seg, (uint32_t)q))
            ap_bell_wake(seg->ops, &lane->bell);
    }
}

void ap_places_return(struct ap_segment *seg, uint32_t capability, const struct ap_lane_handle *lane, uint32_t place,
                      uint32_t queue)
{
    struct ap_places *row = ap_places_at(seg, capability);
    uint64_t own = places_word(lane);

    if (row == NULL || place >= AP_PLACES) return;
    ap_cas(&row->holder[place], &own, 0);
    ap_fence_full(); /* BELL-F1 pairs BELL-F2 */
    places_tell(seg, capability, queue);
}

/* ---- its part ----------------------------------------------------------------------------------------------------- */

static void look_places(struct ap_look *look)
{
    struct ap_places *row = ap_places_at(look->seg, look->index);

    for (uint32_t i = 0; i < AP_PLACES; i++) {
        uint64_t word = ap_look_64(look, &row->holder[i]), life = 0;
        uint32_t lane = (uint32_t)(word & 0xffff) - 1;

        if (word == 0) continue;
        switch (ap_look_owner(look, lane, &life)) {
        case AP_OWNER_ABSENT:
            ap_look_found(look, AP_CORRUPT, &row->holder[i], word, "N1", "lane %u is out of range", lane);
            break;
        case AP_OWNER_LIVE:
            if (AP_LIFE_EPOCH(life) == word >> 16) break;
            __attribute__((fallthrough));
        default: ap_look_found(look, AP_REPAIRABLE, &row->holder[i], word ^ life, "N1", "lane %u, which has it, is gone", lane);
        }
    }
    ap_look_zero(look, &row->waited + 1, sizeof *row - offsetof(struct ap_places, waited) - sizeof row->waited, "N1",
                 "behind waited");
}

/* A word with this lane and an epoch is of the life that ends, or of one before. */
static void settle_places(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    uint64_t count = seg->sections[AP_SECTION_PLACES].count;

    for (uint64_t c = 0; c < count; c++) {
        struct ap_places *row = ap_places_at(seg, c);

        if (ap_load_relaxed(&ap_capability_at(seg, c)->terms) == 0) continue; /* which stays, once something was declared */
        for (uint32_t i = 0; i < AP_PLACES; i++) {
            uint64_t word = ap_load_acquire(&row->holder[i]); /* before the look at the lane's life */

            if ((word & 0xffff) == lane + 1 && ap_lane_still(seg, lane, beside)) ap_cas(&row->holder[i], &word, 0);
        }
    }
}

/* One for each capability. */
static uint64_t places_count(const struct ap_geometry *g)
{
    return AP_REGISTRY_NUMBER(g, CAPABILITIES);
}

static const struct ap_field places_fields[] = {AP_FIELD(ap_places, holder), AP_FIELD(ap_places, waited), {NULL, 0, 0}};
const struct ap_part ap_part_places = {
    .name = "places", .element = "places", .size = sizeof(struct ap_places), .count = places_count, .fields = places_fields,
    .numbers = AP_NO_NUMBERS, .look = look_places, .withdraw = ap_part_nothing, .settle = settle_places,
};
