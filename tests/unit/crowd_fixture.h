/* tests/unit/crowd_fixture.h - a queue with a shared ring, whose tasks come and are served by hand. */
#ifndef CROWD_FIXTURE_H
#define CROWD_FIXTURE_H

#include "shm_fixture.h"

#include "shm/bell.h"

#define DEPTH 8u
#define INLETS 2u

static struct ap_lane_handle lane;
static struct ap_consumer consumer;

static inline void make(uint32_t depth)
{
    fixture_make(64 * 12, depth, INLETS);
    cr_assert_eq(ap_member_open(seg, "crowd", NULL, APIARY_CLIENT, &lane), 0);
    cr_assert_eq(ap_queue_claim(seg, 1, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, 1, lane.index), 1);
    ap_consumer_init(&consumer, seg, 1);
    /* Slab n is lane n's. */
    for (uint32_t n = 1; n < 12; n++) ap_slab_at(seg, n)->lease = AP_LEASE(1, n + 1);
}

static inline void setup(void)
{
    make(DEPTH);
}

static inline void teardown(void)
{
    for (uint32_t n = 1; n < 12; n++) ap_slab_at(seg, n)->lease = 0;
    ap_lane_close(&lane);
    fixture_teardown();
}

/* The reference of the n-th task of a lane. */
static inline uint64_t of(uint32_t who, uint64_t n)
{
    return AP_REF(who * AP_SLAB_SLOTS + n % AP_SLAB_SLOTS, n + 1);
}

static inline struct ap_ring *ring(void)
{
    return ap_ring_at(seg, 1, INLETS);
}

static inline void come(uint64_t ref)
{
    cr_assert_eq(ap_queue_push_shared(seg, 1, ref), 0);
    ap_fence_full();
    ap_queue_signal(seg, 1, INLETS, ap_load_acquire(&ap_queue_at(seg, 1)->life));
}

/* The tasks of lanes whose bit is set wait. */
static inline bool may(void *waiting, uint64_t ref)
{
    return (*(const uint64_t *)waiting >> AP_REF_SLOT(ref) / AP_SLAB_SLOTS & 1) == 0;
}

static inline void starts(uint64_t waiting, uint64_t ref)
{
    bool any = ap_queue_any_where(&consumer, may, &waiting);
    uint64_t got = ap_queue_pop_where(&consumer, may, &waiting);

    cr_assert_eq(got, ref, "slot %u, generation %llu, not %u, %llu", AP_REF_SLOT(got), (unsigned long long)AP_REF_GENERATION(got),
                 AP_REF_SLOT(ref), (unsigned long long)AP_REF_GENERATION(ref));
    cr_assert_eq(any, ref != 0);
}

#endif
