/* The shared ring: whose turn it is, what is left where, and who has a place. */
#include "crowd_fixture.h"

TestSuite(crowd, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static void serves(uint64_t ref)
{
    uint64_t got = ap_queue_pop(&consumer);

    cr_assert_eq(got, ref, "slot %u, generation %llu", AP_REF_SLOT(got), (unsigned long long)AP_REF_GENERATION(got));
}

Test(crowd, each_has_its_turn)
{
    for (uint64_t i = 0; i < 4; i++) come(of(1, i));
    come(of(2, 0));
    come(of(2, 1));
    come(of(3, 0));
    serves(of(1, 0));
    cr_expect_eq(ring()->head, 1);
    serves(of(2, 0));
    cr_expect_eq(ring()->head, 1, "what is before it in the ring is not served yet");
    serves(of(3, 0));
    come(of(3, 1));
    serves(of(1, 1));
    cr_expect_eq(ring()->head, 2);
    serves(of(2, 1));
    serves(of(3, 1));
    come(of(4, 0));
    serves(of(4, 0));
    cr_expect_eq(ring()->head, 2);
    serves(of(1, 2));
    serves(of(1, 3));
    cr_expect_eq(ring()->head, 9, "over all that was served before");
    serves(0);
    cr_expect_eq(ap_queue_settle(&consumer), 0);
    cr_expect_eq(ap_queue_rounds(seg, 1), 4, "lane 1 had four");
    come(of(1, 4));
    serves(of(1, 4));
    cr_expect_eq(ap_queue_rounds(seg, 1), 5);
}

/* Who comes while a round is under way and has had nothing in it is in it still; who was served in it waits for the next. */
Test(crowd, a_round_ends)
{
    come(of(1, 0));
    come(of(2, 0));
    come(of(1, 1));
    serves(of(1, 0));
    come(of(3, 0));
    serves(of(2, 0));
    come(of(2, 1));
    serves(of(3, 0));
    come(of(3, 1));
    serves(of(1, 1));
    serves(of(2, 1));
    serves(of(3, 1));
    serves(0);
    cr_expect_eq(ap_queue_rounds(seg, 1), 2);
}

/* A whole round, and then the next ring. */
Test(crowd, the_holders_of_inlets_have_their_turns)
{
    struct ap_producer p = {.opened = 0};

    for (uint64_t i = 0; i < 3; i++) {
        cr_assert(ap_queue_room(seg, 1, &p, &lane));
        cr_assert_eq(ap_queue_push(seg, &p, of(9, i)), 0);
        ap_fence_full();
        ap_queue_signal(seg, 1, p.index, ap_load_acquire(&ap_queue_at(seg, 1)->life));
        come(of(1, i));
        come(of(2, i));
    }
    ap_consumer_turn(&consumer, p.index);
    for (uint64_t i = 0; i < 3; i++) {
        serves(of(9, i));
        serves(of(1, i));
        serves(of(2, i));
    }
    serves(0);
}

Test(crowd, many_laps)
{
    uint64_t in[3] = {0}, out[3] = {0};

    for (int lap = 0; lap < 200; lap++) {
        for (uint32_t i = 0; i < 6; i++) come(of(1 + (i + (uint32_t)lap) % 3, in[(i + (uint32_t)lap) % 3]++));
        for (uint32_t i = 0; i < 6; i++) {
            uint64_t ref = ap_queue_pop(&consumer);
            uint32_t who = AP_REF_SLOT(ref) / AP_SLAB_SLOTS - 1;

            cr_assert_lt(who, 3);
            cr_assert_eq(ref, of(who + 1, out[who]), "lap %d", lap);
            out[who]++;
        }
        cr_assert_eq(ap_queue_pop(&consumer), 0);
    }
    cr_expect_eq(ring()->head, 1200);
    cr_expect_eq(ap_queue_rounds(seg, 1), 400, "two of each lane in a lap");
}

/* Killed with some served out of order: a scan finds these if they were not begun, as all that the head has passed. */
Test(crowd, the_next_consumer_finds_all_that_is_left)
{
    for (uint64_t i = 0; i < 3; i++) come(of(1, i));
    come(of(2, 0));
    serves(of(1, 0));
    serves(of(2, 0));
    ap_consumer_init(&consumer, seg, 1);
    serves(of(1, 1));
    serves(of(1, 2));
    cr_expect_eq(ring()->head, 4);
    serves(0);
}

/* A former consumer moves the head on, or back. */
Test(crowd, begins_anew_where_the_head_is)
{
    for (uint64_t i = 0; i < 4; i++) come(of(1, i));
    serves(of(1, 0));
    ap_store_release(&ring()->head, 3);
    cr_expect_neq(ap_queue_settle(&consumer), 0);
    come(of(2, 0));
    serves(of(1, 3));
    ap_store_release(&ring()->head, 0);
    cr_expect_neq(ap_queue_settle(&consumer), 0);
    cr_expect_eq(ring()->head, 4);
    serves(of(2, 0));
    serves(0);
}

/* The head is moved to a hole by one who does not know of it. */
Test(crowd, a_head_rests_at_no_hole)
{
    for (uint64_t i = 0; i < 3; i++) come(of(1, i));
    come(of(2, 0));
    come(of(1, 3));
    serves(of(1, 0));
    serves(of(2, 0));
    serves(of(1, 1));
    cr_expect_eq(ring()->head, 2);
    ap_store_release(&ring()->head, 3);
    cr_expect_neq(ap_queue_settle(&consumer), 0);
    serves(of(1, 3));
    serves(0);
    cr_expect_eq(ring()->head, 5);
}

/* Killed between two stores, or by a former consumer that makes a hole late: the head is at one, and something comes behind it. */
Test(crowd, a_head_at_a_hole_stops_nobody)
{
    for (int way = 0; way < 3; way++) {
        uint64_t head = ring()->head, at = head % DEPTH;

        come(of(1, 1));
        come(of(2, 2));
        come(of(1, 3));
        ring()->cells[at] &= UINT64_C(15) << 60;
        if (way == 0) ap_consumer_init(&consumer, seg, 1);
        if (way == 1) cr_expect_neq(ap_queue_settle(&consumer), 0);
        serves(of(2, 2));
        serves(of(1, 3));
        serves(0);
        cr_expect_eq(ring()->head, head + 3, "%d", way);
    }
}

/* Not at the head, and after the consumer has looked at it. */
Test(crowd, a_late_hole_is_passed_over)
{
    uint64_t none = 0;

    come(of(1, 0));
    come(of(2, 0));
    come(of(3, 0));
    serves(of(1, 0));
    ring()->cells[1] &= UINT64_C(15) << 60;
    cr_expect_eq(ap_crowd_any(&consumer, AP_RANK_NORMAL, may, &none), of(3, 0));
    serves(of(3, 0));
    serves(0);
}

/* Who is served beside a flood leaves holes, which the flood makes room for. */
Test(crowd_deep, a_flood_leaves_room_for_holes)
{
    uint64_t flood = 0, polite = 0, got = 0;

    for (int round = 0; round < 2000; round++) {
        while (ap_crowd_room(seg, 1, 1, AP_RANK_NORMAL, ring()->tail - ring()->head)) come(of(1, flood++));
        cr_assert(ap_crowd_room(seg, 1, 2, AP_RANK_NORMAL, ring()->tail - ring()->head), "round %d", round);
        come(of(2, polite++));
        for (int i = 0; i < 2; i++) got += AP_REF_SLOT(ap_queue_pop(&consumer)) / AP_SLAB_SLOTS == 2;
        cr_assert_eq(got, polite, "in its round");
    }
}

/* For those who look for a task to take over. */
Test(crowd, holes_are_looked_over)
{
    uint64_t cursor = 0;

    for (uint64_t i = 0; i < 2; i++) come(of(1, i));
    come(of(2, 0));
    come(of(1, 2));
    serves(of(1, 0));
    serves(of(2, 0));
    cr_expect_eq(ap_queue_peek(seg, 1, &cursor), of(1, 1));
    cr_expect_eq(ap_queue_peek(seg, 1, &cursor), of(1, 2));
    cr_expect_eq(ap_queue_peek(seg, 1, &cursor), 0);
    cr_expect_eq(ap_queue_peek(seg, 1, &cursor), 0);
}

/* ---- only what may be started -------------------------------------------------------------------------------------- */

Test(crowd, what_waits_holds_up_nothing_behind_it)
{
    const uint64_t first = 1u << 1;

    come(of(1, 0));
    come(of(2, 0));
    come(of(1, 1));
    come(of(3, 0));
    starts(first, of(2, 0));
    starts(first, of(3, 0));
    starts(first, 0);
    come(of(2, 1));
    starts(first, of(2, 1));
    starts(first, 0);
    cr_expect_neq(ap_queue_settle(&consumer), 0, "something is there still");
    cr_expect_eq(ap_queue_rounds(seg, 1), 2, "its round has begun by others");
    starts(0, of(1, 0));
    starts(0, of(1, 1));
    starts(0, 0);
    cr_expect_eq(ap_queue_rounds(seg, 1), 2);
    cr_expect_eq(ring()->head, ring()->tail);
    come(of(1, 2));
    serves(of(1, 2));
}

/* Its holes are given back: the ring is not full because of one that waits. */
Test(crowd, what_waits_is_no_end_of_the_ring)
{
    const uint64_t first = 1u << 1;
    uint64_t seen = 0;

    for (uint64_t i = 0; i < 3; i++) come(of(1, i));
    for (uint64_t i = 0; i < 100; i++) {
        come(of(2, i));
        starts(first, of(2, i));
        cr_assert_lt(ring()->tail - ring()->head, DEPTH);
    }
    starts(first, 0);
    for (int i = 0; i < 3; i++) {
        uint64_t none = 0, ref = ap_queue_pop_where(&consumer, may, &none);

        cr_assert_eq(AP_REF_SLOT(ref) / AP_SLAB_SLOTS, 1);
        seen |= UINT64_C(1) << AP_REF_GENERATION(ref);
    }
    cr_expect_eq(seen, 2 | 4 | 8, "each once");
    starts(0, 0);
}

/* Nor does it keep the inlets from their turns, or another lane of the ring. */
Test(crowd, what_waits_has_no_turn)
{
    struct ap_producer p = {.opened = 0};
    const uint64_t first = 1u << 1;

    come(of(1, 0));
    for (uint64_t i = 0; i < 2; i++) {
        cr_assert(ap_queue_room(seg, 1, &p, &lane));
        cr_assert_eq(ap_queue_push(seg, &p, of(9, i)), 0);
        ap_fence_full();
        ap_queue_signal(seg, 1, p.index, ap_load_acquire(&ap_queue_at(seg, 1)->life));
        come(of(2, i));
        come(of(3, i));
    }
    ap_consumer_turn(&consumer, p.index);
    starts(first, of(9, 0));
    starts(first, of(2, 0));
    starts(first, of(3, 0));
    starts(first, of(9, 1));
    starts(first, of(2, 1));
    starts(first, of(3, 1));
    starts(first, 0);
    starts(0, of(1, 0));
}

/* ---- by rank ------------------------------------------------------------------------------------------------------- */

static void come_ranked(uint64_t ref, enum ap_rank rank)
{
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));

    slot->rank = (uint8_t)rank;
    slot->request = AP_REQUEST_WORD(AP_REF_GENERATION(ref), AP_REQUEST_RANKED);
    ap_queue_rank(seg, 1);
    come(ref);
}

Test(crowd, ahead_by_rank)
{
    struct ap_producer p = {.opened = 0};

    for (uint64_t i = 0; i < 3; i++) {
        cr_assert(ap_queue_room(seg, 1, &p, &lane));
        cr_assert_eq(ap_queue_push(seg, &p, of(9, i)), 0);
        ap_fence_full();
        ap_queue_signal(seg, 1, p.index, ap_load_acquire(&ap_queue_at(seg, 1)->life));
        come_ranked(of(1, i), AP_RANK_URGENT);
    }
    for (uint64_t i = 0; i < 2; i++) come_ranked(of(2, i), AP_RANK_LOW);
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 5, AP_RANK_URGENT), 1, "one of the other lane");
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 5, AP_RANK_HIGH), 3, "all that is urgent");
    cr_expect_eq(ap_queue_ahead(seg, 1, p.index, lane.index, AP_RANK_NORMAL), 3 + 3, "its own, too, and nothing that is low");
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 5, AP_RANK_LOW), 1 + 3 + 3, "one of the other lane, and all that is not low");
    for (uint64_t i = 0; i < 3; i++) serves(of(1, i));
    for (uint64_t i = 0; i < 3; i++) serves(of(9, i));
    for (uint64_t i = 0; i < 2; i++) serves(of(2, i));
    serves(0);
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 5, AP_RANK_LOW), 0);
    for (uint32_t n = 1; n < 3; n++)
        for (uint64_t i = 0; i < 3; i++) ap_slot_at(seg, AP_REF_SLOT(of(n, i)))->request = 0;
}

/* ---- a deep ring -------------------------------------------------------------------------------------------------- */

static void setup_deep(void)
{
    make(1024);
}

TestSuite(crowd_deep, .init = setup_deep, .fini = teardown, .timeout = TEST_LIMIT);

Test(crowd_deep, looks_so_far_and_no_further)
{
    for (uint64_t i = 0; i < AP_CROWD_WINDOW + 10; i++) come(of(1, i));
    come(of(2, 0));
    for (uint64_t i = 0; i < 11; i++) serves(of(1, i));
    serves(of(2, 0));
    for (uint64_t i = 11; i < AP_CROWD_WINDOW + 10; i++) serves(of(1, i));
    serves(0);
    for (uint64_t i = 0; i < 1000; i++) come(of(3, i));
    for (uint64_t i = 0; i < 1000; i++) serves(of(3, i));
    serves(0);
}

/* A lane whose rounds run ahead, beside one that waits. */
Test(crowd_deep, one_waits_beside_many_that_are_served)
{
    const uint64_t first = 1u << 1;

    come(of(1, 0));
    for (uint64_t i = 0; i < 5000; i++) {
        come(of(2, i));
        come(of(3, i));
        starts(first, of(2, i));
        starts(first, of(3, i));
        cr_assert_lt(ring()->tail - ring()->head, AP_CROWD_WINDOW);
    }
    for (uint64_t i = 0; i < 700; i++) come(of(2, i));
    for (uint64_t i = 0; i < 700; i++) starts(first, of(2, i));
    starts(first, 0);
    starts(0, of(1, 0));
    starts(0, 0);
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

static uint64_t fill(uint32_t who, uint64_t most)
{
    uint64_t n = 0;

    while (n < most && ap_crowd_room(seg, 1, who, AP_RANK_NORMAL, ring()->tail - ring()->head)) come(of(who, n++));
    return n;
}

Test(crowd, one_that_takes_all_leaves_half)
{
    cr_expect_eq(fill(1, 100), DEPTH / 2);
    cr_expect_eq(fill(2, 100), DEPTH / 4);
    cr_expect_eq(fill(3, 100), DEPTH / 8);
    cr_expect_eq(fill(4, 100), 1, "the last");
    cr_expect_eq(fill(5, 100), 0);
    cr_expect_eq(ap_queue_push_shared(seg, 1, of(6, 0)), APIARY_EQUEUEFULL);
    for (int i = 0; i < 4; i++) cr_assert_neq(ap_queue_pop(&consumer), 0);
}

Test(crowd_deep, so_many_places_count)
{
    cr_expect_eq(fill(1, 1000), AP_CROWD_WINDOW / 2);
    cr_expect_eq(fill(2, 1000), AP_CROWD_WINDOW / 4);
    for (uint64_t i = 0; i < 100; i++) come(of(3, i)); /* redelivered */
    cr_expect_not(ap_crowd_room(seg, 1, 4, AP_RANK_NORMAL, ring()->tail - ring()->head));
    cr_expect_not(ap_crowd_room(seg, 1, 1, AP_RANK_NORMAL, ring()->tail - ring()->head));
}

Test(crowd, counts_what_is_ahead)
{
    struct ap_producer p = {.opened = 0};

    for (uint64_t i = 0; i < 4; i++) come(of(1, i));
    come(of(2, 0));
    come(of(2, 1));
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert(ap_queue_room(seg, 1, &p, &lane));
        cr_assert_eq(ap_queue_push(seg, &p, of(9, i)), 0);
        ap_fence_full();
        ap_queue_signal(seg, 1, p.index, ap_load_acquire(&ap_queue_at(seg, 1)->life));
    }
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 5, AP_RANK_NORMAL), 3, "one of each lane there, and one of the inlet");
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 2, AP_RANK_NORMAL), 2 + 3 + 3,
                 "two of its own, three of the other, three of the inlet");
    cr_expect_eq(ap_queue_ahead(seg, 1, INLETS, 1, AP_RANK_NORMAL), 4 + 2 + 3);
    cr_expect_eq(ap_queue_ahead(seg, 1, p.index, lane.index, AP_RANK_NORMAL), 3 + 4 + 2);
    cr_expect_eq(ap_queue_ahead(seg, 1, 1 - p.index, 7, AP_RANK_NORMAL), 3, "an empty inlet: one of each");
}
