/* The shared ring: a lane keeps its order, whatever waits there, and goes to the ring's end. */
#include "crowd_fixture.h"

TestSuite(crowd_order, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static void setup_half(void)
{
    make(AP_CROWD_WINDOW / 2);
}

TestSuite(crowd_order_half, .init = setup_half, .fini = teardown, .timeout = TEST_LIMIT);

static struct late {
    uint64_t waiting, ref; /* the latter comes as soon as the one before it in the ring is asked about */
} late;

static bool may_late(void *user, uint64_t ref)
{
    struct late *l = user;

    if (l->ref != 0) come(l->ref);
    l->ref = 0;
    return may(&l->waiting, ref);
}

/* Somebody pushes after the consumer has looked at the ring, and before what waits goes to its end. */
Test(crowd_order, what_comes_before_the_front_is_moved_is_younger)
{
    late = (struct late){.waiting = 1u << 1, .ref = of(1, 3)};
    for (uint64_t i = 0; i < 3; i++) come(of(1, i));
    come(of(2, 0));
    cr_assert_eq(ap_queue_pop_where(&consumer, may_late, &late), of(2, 0));
    cr_expect_eq(ring()->head, 4, "all has gone to the end");
    for (uint64_t i = 0; i < 4; i++) starts(0, of(1, i));
    starts(0, 0);
}

/* Somebody pushes between two of those that go to the end: then its cell is filled, and nothing is before it yet. */
Test(crowd_order, what_comes_while_the_front_is_moved_is_younger)
{
    for (uint64_t i = 0; i < 3; i++) come(of(1, i));
    come(of(2, 0));
    ring()->cells[5] = of(1, 3) | UINT64_C(1) << 60;
    starts(1u << 1, of(2, 0));
    cr_expect_eq(ring()->head, 4);
    cr_expect_eq(ring()->tail, 8);
    cr_expect_eq(ring()->cells[6] & ~(UINT64_C(15) << 60), of(1, 1), "the cell was another's by then");
    for (uint64_t i = 0; i < 4; i++) starts(0, of(1, i));
    starts(0, 0);
}

/* The ring fills up meanwhile, so that a part of it stays where it is. */
Test(crowd_order, what_could_not_be_moved_comes_behind)
{
    for (uint64_t i = 0; i < 2; i++) come(of(1, i));
    for (uint64_t i = 0; i < 2; i++) come(of(2, i));
    starts(1u << 1, of(2, 0));
    cr_assert_eq(ring()->head, 4, "three have gone to the end");
    come(of(1, 2));
    for (uint64_t i = 9; i < 11; i++) ring()->cells[i % DEPTH] = of(3, i) | UINT64_C(2) << 60;
    starts(1u << 1, of(2, 1));
    cr_expect_eq(ring()->head, 7, "there is room for two of three");
    for (uint64_t i = 0, none = 0, last = 0; i < 5; i++) {
        uint64_t ref = ap_queue_pop_where(&consumer, may, &none);

        cr_assert_neq(ref, 0);
        if (AP_REF_SLOT(ref) / AP_SLAB_SLOTS != 1) continue;
        cr_expect_gt(AP_REF_GENERATION(ref), last, "of a lane one after the other");
        last = AP_REF_GENERATION(ref);
    }
    starts(0, 0);
}

static void queued_here(uint64_t ref, uint64_t at)
{
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));

    slot->queued = at;
    ap_store_release(&slot->word, AP_WORD(AP_TASK_QUEUED, 0, 1, AP_REF_GENERATION(ref)));
}

/* What came before the front was moved is first in the ring then. A scan, which comes to its slot first, knows which is older. */
Test(crowd_order, a_scan_takes_the_oldest_of_a_lane)
{
    const uint64_t last = AP_SLAB_SLOTS, younger = of(1, last);
    uint64_t cursor = 0;

    late = (struct late){.waiting = 1u << 1, .ref = younger};
    for (uint64_t i = last - 3; i < last; i++) come(of(1, i));
    come(of(2, 0));
    cr_assert_eq(ap_queue_pop_where(&consumer, may_late, &late), of(2, 0));
    cr_assert_eq(ring()->cells[ring()->head % DEPTH] & ~(UINT64_C(15) << 60), younger);
    for (uint64_t i = last - 3; i <= last; i++) queued_here(of(1, i), i);
    for (uint64_t i = last - 3; i <= last; i++) {
        cr_expect_eq(ap_queue_scan(&consumer, &cursor), of(1, i));
        ap_slot_at(seg, AP_REF_SLOT(of(1, i)))->word = 0;
    }
    cr_expect_eq(ap_queue_scan(&consumer, &cursor), 0);
}

static uint64_t drawn(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x >> 32;
}

static struct crowd_flow {
    uint64_t random, waiting, in[6], out[6];
} flow;

static void flow_comes(uint64_t lanes)
{
    uint32_t who = 1 + (uint32_t)(drawn(&flow.random) % lanes);

    if (ap_queue_push_shared(seg, 1, of(who, flow.in[who])) == 0) flow.in[who]++;
    ap_fence_full();
    ap_queue_signal(seg, 1, INLETS, ap_load_acquire(&ap_queue_at(seg, 1)->life));
}

static bool flow_may(void *user, uint64_t ref)
{
    (void)user;
    if (drawn(&flow.random) % 4 == 0) flow_comes(5);
    return may(&flow.waiting, ref);
}

/* Whoever waits and pushes when: what a lane has sent is started in that order, and once. */
static void flow_goes(uint64_t seed)
{
    uint64_t turns = 0;

    flow = (struct crowd_flow){.random = seed};
    while (turns < 20000) {
        uint64_t ref;
        uint32_t who;

        if (drawn(&flow.random) % 8 == 0) flow.waiting = drawn(&flow.random) & drawn(&flow.random) & 0x3e;
        for (uint64_t n = drawn(&flow.random) % 3; n > 0; n--) flow_comes(5);
        ref = ap_queue_pop_where(&consumer, flow_may, NULL);
        turns++;
        if (ref == 0) continue;
        who = AP_REF_SLOT(ref) / AP_SLAB_SLOTS;
        cr_assert_eq(ref, of(who, flow.out[who]), "turn %llu, lane %u: %llu, not %llu", (unsigned long long)turns, who,
                     (unsigned long long)AP_REF_GENERATION(ref), (unsigned long long)(flow.out[who] + 1));
        flow.out[who]++;
    }
    flow.waiting = 0;
    for (uint32_t who = 1; who < 6;) {
        uint64_t none = 0, ref = ap_queue_pop_where(&consumer, may, &none);

        if (ref != 0) {
            cr_assert_eq(ref, of(AP_REF_SLOT(ref) / AP_SLAB_SLOTS, flow.out[AP_REF_SLOT(ref) / AP_SLAB_SLOTS]++));
            continue;
        }
        cr_assert_eq(flow.in[who], flow.out[who]);
        who++;
    }
}

Test(crowd_order, a_lane_keeps_its_order)
{
    flow_goes(0x9e3779b97f4a7c15);
}

Test(crowd_order_half, a_lane_keeps_its_order)
{
    flow_goes(0x2545f4914f6cdd1d);
}
