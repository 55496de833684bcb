/* Queues step by step: what a lease begins with, the last place of a ring, whose turn it is, and every count that is published. */
#include "shm_fixture.h"

#include <string.h>

#include "shm/bell.h"

#define DEPTH 8u
#define INLETS 3u

static struct ap_lane_handle lane;
static struct ap_slabs slabs;
static struct ap_consumer consumer;

static void setup(void)
{
    fixture_make(192, DEPTH, INLETS);
    cr_assert_eq(ap_member_open(seg, "rings", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
    cr_assert_eq(ap_queue_claim(seg, 1, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, 1, lane.index), 1);
    ap_consumer_init(&consumer, seg, 1);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(rings, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct ap_queue *queue(uint32_t index)
{
    struct ap_queue *q = ap_queue_at(seg, index);

    cr_assert_not_null(q);
    return q;
}

static int push(struct ap_producer *p, uint64_t ref)
{
    if (!ap_queue_room(seg, 1, p, &lane)) return APIARY_EQUEUEFULL;
    cr_assert_eq(ap_queue_push(seg, p, ref), 0);
    ap_fence_full();
    ap_queue_signal(seg, 1, p->index, ap_load_acquire(&queue(1)->life));
    return 0;
}

static void fill(struct ap_producer *p, uint64_t from, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) cr_assert_eq(push(p, AP_REF(0, from + i)), 0);
}

/* ---- producers -------------------------------------------------------------------------------------------------- */

Test(rings, a_lease_begins_where_the_former_one_ended)
{
    struct ap_producer first = {.opened = 0}, next = {.opened = 0};

    fill(&first, 1, 6);
    cr_expect_eq(first.index, lane.index % INLETS);
    cr_expect_eq(first.ring->lease, lane.epoch << 16 | (lane.index + 1));
    for (uint64_t i = 1; i <= 3; i++) cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, i));
    ap_producer_close(&first, &lane);
    cr_expect(first.ring == NULL && first.opened == 0 && first.tail == 0 && first.index == 0, "as before it was opened");
    cr_expect_eq(ap_ring_at(seg, 1, lane.index % INLETS)->lease, 0);
    /* The others hold more than half of what they can. */
    for (uint32_t r = 0; r < INLETS; r++) {
        struct ap_ring *ring = ap_ring_at(seg, 1, r);
        struct ap_producer p = {.ring = ring, .index = r, .opened = 1};

        if (r != lane.index % INLETS) fill(&p, 20, DEPTH / 2 + 1);
    }
    cr_assert(ap_queue_room(seg, 1, &next, &lane));
    cr_expect_eq(next.ring, ap_ring_at(seg, 1, lane.index % INLETS));
    cr_expect(next.head == 3 && next.tail == 6 && next.opened == 1 && next.shared == 0);
    cr_expect_eq(next.ring->tail, 6);
    cr_expect(ap_queue_ready(seg, &next));
}

/* Half is not too much. */
Test(rings, an_inlet_that_is_half_full_is_leased)
{
    for (uint64_t left = DEPTH / 2; left <= DEPTH / 2 + 1; left++) {
        struct ap_producer p[INLETS + 1] = {{.opened = 0}};

        for (uint32_t i = 0; i < INLETS; i++) fill(&p[i], 1, left);
        for (uint32_t i = 0; i < INLETS; i++) ap_producer_close(&p[i], &lane);
        cr_expect(ap_queue_room(seg, 1, &p[INLETS], &lane));
        cr_expect_eq(p[INLETS].shared, left > DEPTH / 2, "%llu left", (unsigned long long)left);
        cr_expect_eq(p[INLETS].index, left > DEPTH / 2 ? INLETS : lane.index % INLETS);
        cr_expect_eq(p[INLETS].ring, ap_ring_at(seg, 1, p[INLETS].index));
        ap_producer_close(&p[INLETS], &lane);
        while (ap_queue_pop(&consumer) != 0) {}
    }
}

Test(rings, there_is_room_up_to_the_last_place)
{
    struct ap_producer shared = {.ring = ap_ring_at(seg, 1, INLETS), .index = INLETS, .opened = 1, .shared = 1};
    struct ap_producer own = {.opened = 0};
    struct ap_producer *p[] = {&own, &shared};

    for (int i = 0; i < 2; i++) {
        fill(p[i], 1, DEPTH - 1);
        cr_expect(ap_queue_room(seg, 1, p[i], &lane), "one place is left");
        cr_expect_eq(ap_queue_ready(seg, p[i]), i == 0, "of the shared ring nobody knows it");
        fill(p[i], DEPTH, 1);
        cr_expect_not(ap_queue_room(seg, 1, p[i], &lane));
        cr_expect_not(ap_queue_ready(seg, p[i]));
        cr_expect_eq(push(p[i], 1), APIARY_EQUEUEFULL);
        cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 1));
        cr_expect(ap_queue_room(seg, 1, p[i], &lane));
        while (ap_queue_pop(&consumer) != 0) {}
    }
    shared.ring->head = shared.ring->tail + 1; /* its consumer has taken what its producer has not told of yet */
    cr_expect(ap_queue_room(seg, 1, &shared, &lane));
}

/* Of several lanes and several lives. */
Test(rings, leases_and_queues_of_one_lane_are_taken_back)
{
    const uint64_t life = AP_LIFE(lane.epoch, AP_LIFE_LIVE);
    struct ap_producer mine = {.opened = 0};
    struct ap_ring *others = ap_ring_at(seg, 2, 0);

    fill(&mine, 1, 1);
    others->lease = UINT64_C(1) << 16 | (lane.index + 2);
    cr_assert_eq(ap_queue_claim(seg, 2, lane.index + 1), 1);
    cr_assert_eq(ap_queue_open(seg, 2, lane.index + 1), 1);
    cr_assert_eq(ap_queue_claim(seg, 3, lane.index), 1);
    ap_queue_reap_leases(seg, lane.index, life + 256);
    ap_queues_withdraw(seg, lane.index, life + 256);
    cr_expect_neq(mine.ring->lease, 0, "it has another life by now");
    cr_expect_eq(AP_QUEUE_STATE(queue(1)->life), AP_QUEUE_OPEN);
    ap_queue_reap_leases(seg, lane.index, life);
    ap_queues_withdraw(seg, lane.index, life);
    cr_expect_eq(mine.ring->lease, 0);
    cr_expect_eq(queue(1)->life, AP_QUEUE_LIFE(1, 0, AP_QUEUE_CLOSED));
    cr_expect_eq(queue(3)->life, AP_QUEUE_LIFE(0, lane.index, AP_QUEUE_CLAIMED), "of that the lock decides");
    ap_queues_withdraw(seg, lane.index, 0);
    cr_expect_eq(queue(3)->life, AP_QUEUE_LIFE(0, 0, AP_QUEUE_FREE));
    cr_expect_eq(queue(2)->life, AP_QUEUE_LIFE(1, lane.index + 1, AP_QUEUE_OPEN), "another lane's");
    cr_expect_eq(others->lease, UINT64_C(1) << 16 | (lane.index + 2));
}

/* ---- the consumer ----------------------------------------------------------------------------------------------- */

Test(rings, a_consumer_begins_with_nothing_of_a_former_one)
{
    struct ap_consumer c;

    memset(&c, 0xa5, sizeof c);
    ap_ring_at(seg, 1, 2)->head = 5;
    ap_consumer_init(&c, seg, 1);
    cr_expect(c.seg == seg && c.queue == queue(1) && c.index == 1 && c.count == INLETS + 1);
    cr_expect(c.turn == UINT64_MAX && c.last == 0 && c.rescan == 0 && c.scanning == 0 && c.began == 0);
    for (uint32_t r = 0; r <= INLETS; r++)
        cr_expect(c.rings[r].ring == ap_ring_at(seg, 1, r) && c.rings[r].head == (r == 2 ? 5 : 0), "ring %u", r);
    cr_expect(ap_queue_rescan_due(&c) == (seg->header->rescan != 0));
}

Test(rings, all_clients_are_served_in_turn)
{
    struct ap_producer p[INLETS] = {{.opened = 0}};
    uint32_t order[6];

    for (uint32_t i = 0; i < INLETS; i++) fill(&p[i], 10 * i + 1, 2);
    for (uint32_t i = 0; i < 6; i++) order[i] = (uint32_t)AP_REF_GENERATION(ap_queue_pop(&consumer));
    for (uint32_t i = 0; i < 6; i++) cr_expect_eq(order[i], 10 * ((order[0] / 10 + i) % 3) + 1 + i / 3, "turn %u: %u", i, order[i]);
}

Test(rings, a_glance_is_at_the_ring_that_had_the_last)
{
    struct ap_producer p[2] = {{.opened = 0}};

    fill(&p[0], 1, 1);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 1));
    cr_expect_eq(consumer.last, p[0].index);
    cr_expect_not(ap_queue_glance(&consumer, 3), "it is empty");
    fill(&p[1], 2, 1);
    cr_expect_not(ap_queue_glance(&consumer, 3), "it is in another");
    fill(&p[0], 3, 1);
    cr_expect(ap_queue_glance(&consumer, 1));
    cr_expect_not(ap_queue_glance(&consumer, 0), "without a look");
    while (ap_queue_pop(&consumer) != 0) {}
    fill(&p[1], 4, 1);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 4));
    fill(&p[0], 5, 1);
    cr_expect_not(ap_queue_glance(&consumer, 3));
}

/* Before a park: bits of empty rings go, those of others come. */
Test(rings, settled_bits_are_those_of_rings_that_have_something)
{
    struct ap_producer p[INLETS] = {{.opened = 0}};

    for (uint32_t i = 0; i < INLETS; i++) fill(&p[i], 1, 1);
    for (int i = 0; i < 3; i++) cr_assert_neq(ap_queue_pop(&consumer), 0);
    cr_expect_eq(ap_queue_settle(&consumer), 0);
    cr_expect_eq(queue(1)->summary, 0);
    fill(&p[1], 2, 1);
    queue(1)->summary = UINT64_C(1) << p[0].index;
    cr_expect_eq(ap_queue_settle(&consumer), 1);
    cr_expect_eq(queue(1)->summary, UINT64_C(1) << p[1].index);
    p[1].ring->head = 0; /* a former consumer's late store: with it the ring would seem fuller than it is */
    cr_expect_eq(ap_queue_settle(&consumer), 1);
    cr_expect_eq(p[1].ring->head, 1);
    cr_expect_eq(ap_queue_pop(&consumer), AP_REF(0, 2));
}

/* What was queued at the very instant at which a scan began is its business, what came later is not. */
static uint64_t at_1000(void)
{
    return 1000;
}

Test(rings, a_scan_finds_what_was_queued_until_it_began)
{
    struct ap_ops ops = *seg->ops;
    uint64_t cursor = 0;
    uint32_t slot[3];

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot[i]), 0);
        ap_slot_at(seg, slot[i])->queued = 999 + i;
        ap_task_publish(seg, slot[i], 1);
    }
    ops.now = at_1000;
    seg->ops = &ops;
    cr_expect_eq(AP_REF_SLOT(ap_queue_scan(&consumer, &cursor)), slot[0]);
    cr_expect_eq(AP_REF_SLOT(ap_queue_scan(&consumer, &cursor)), slot[1]);
    cr_expect_eq(ap_queue_scan(&consumer, &cursor), 0);
    seg->ops = &ap_ops_system;
}

/* ---- counts ----------------------------------------------------------------------------------------------------- */

#define SAME(field, value) cr_expect_eq(q->field, value, #field " is %llu", (unsigned long long)q->field)

/* All counts of a queue, each another number. */
static void count_all(struct ap_queue *q)
{
    q->crashed = 1;
    q->expired = 2;
    q->cancelled = 3;
    q->depth = 4;
    q->running = 5;
    q->started = 60;
    q->done = 7;
    q->failed = 8;
    q->late = 9;
    q->run_time = 10;
    q->retried = 11;
    q->taken = 12;
    q->refused = 13;
    q->answered = 14;
    q->margin = 150;
    q->ranked = 1;
    ap_ring_at(seg, 2, seg->geometry.queue_inlets)->rounds = 15;
}

Test(rings, another_agent_begins_with_no_counts)
{
    struct ap_queue *q = queue(2);

    for (int anew = 0; anew < 2; anew++) {
        count_all(q);
        q->summary = 5;
        ap_queue_begin(seg, 2, anew != 0);
        SAME(running, 0);
        SAME(depth, anew ? 0 : 4);
        SAME(crashed, anew ? 0 : 1);
        SAME(expired, anew ? 0 : 2);
        SAME(cancelled, anew ? 0 : 3);
        SAME(started, anew ? 0 : 60);
        SAME(done, anew ? 0 : 7);
        SAME(failed, anew ? 0 : 8);
        SAME(late, anew ? 0 : 9);
        SAME(run_time, anew ? 0 : 10);
        SAME(retried, anew ? 0 : 11);
        SAME(taken, anew ? 0 : 12);
        SAME(refused, anew ? 0 : 13);
        SAME(answered, anew ? 0 : 14);
        SAME(margin, 0);
        SAME(ranked, anew ? 0 : 1);
        cr_expect_eq(ap_queue_rounds(seg, 2), anew ? 0 : 15);
        SAME(summary, 5);
    }
    ap_queue_begin(seg, seg->geometry.queues, true); /* there is none */
}

Test(rings, a_consumer_publishes_its_counts)
{
    const struct ap_queue_tally tally = {.started = 21, .done = 22, .failed = 23, .late = 24, .run_time = 25};
    struct ap_producer p[2] = {{.opened = 0}};
    struct ap_queue *q = queue(1);

    count_all(q);
    for (int i = 0; i < 2; i++) fill(&p[i], 1, 3);
    ap_queue_tell(&consumer, &tally);
    SAME(started, 21);
    SAME(done, 22);
    SAME(failed, 23);
    SAME(late, 24);
    SAME(run_time, 25);
    SAME(depth, 4);
    SAME(running, 5);
    ap_queue_running(&consumer, 31);
    SAME(running, 31);
    SAME(depth, 4);
    ap_queue_publish(&consumer, 32);
    SAME(running, 32);
    SAME(depth, 6);
    SAME(crashed, 1);
    SAME(expired, 2);
    SAME(cancelled, 3);
}

Test(rings, each_end_without_the_consumer_is_counted_where_it_belongs)
{
    struct ap_queue *q = queue(2);
    struct ap_queue_counts counts;
    uint32_t slot;

    count_all(q);
    ap_queue_counts(q, &counts);
    cr_expect(counts.started == 60 && counts.done == 7 && counts.failed == 8 + 9 + 1 + 2 && counts.cancelled == 3);
    cr_expect_eq(counts.late, 9);
    ap_queue_count_ended(seg, 2, AP_TASK_FAILED, true);
    SAME(crashed, 2);
    ap_queue_count_ended(seg, 2, AP_TASK_FAILED, false);
    SAME(expired, 3);
    ap_queue_count_ended(seg, 2, AP_TASK_CANCELLED, false);
    SAME(cancelled, 4);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    cr_expect_eq(ap_queue_end_task(seg, slot, word_of(slot), AP_TASK_CANCELLED, APIARY_ECANCELLED), 0);
    ap_task_publish(seg, slot, 2);
    cr_expect_eq(ap_queue_end_task(seg, slot, word_of(slot), AP_TASK_CANCELLED, APIARY_ECANCELLED), 1);
    cr_expect_eq(ap_queue_end_task(seg, slot, word_of(slot), AP_TASK_CANCELLED, APIARY_ECANCELLED), 0);
    SAME(crashed, 2);
    SAME(expired, 3);
    SAME(cancelled, 5);
    SAME(started, 60);
}

Test(rings, a_depth_counts_what_is_possible_and_told_of)
{
    struct ap_producer p[2] = {{.opened = 0}};
    struct ap_queue *q = queue(1);
    uint64_t count = seg->places[AP_SECTION_RINGS].count;

    fill(&p[0], 1, DEPTH);
    fill(&p[1], 1, 3);
    cr_expect_eq(ap_queue_depth(seg, 1), DEPTH + 3);
    p[0].ring->head = p[0].ring->tail - DEPTH - 1;
    cr_expect_eq(ap_queue_depth(seg, 1), 3, "more than fits is nothing that was ever there");
    p[0].ring->head = p[0].ring->tail + 1;
    cr_expect_eq(ap_queue_depth(seg, 1), 3, "and so is less than nothing");
    p[0].ring->head = 0;
    q->summary = UINT64_C(1) << p[1].index;
    cr_expect_eq(ap_queue_depth(seg, 1), 3);
    q->summary = UINT64_MAX;
    cr_expect_eq(ap_queue_depth(seg, 1), DEPTH + 3, "rings of other queues are not this one's");
    /* Of a segment that was cut off. */
    seg->places[AP_SECTION_RINGS].count = 2 * (INLETS + 1);
    cr_expect_eq(ap_queue_depth(seg, 1), DEPTH + 3);
    seg->places[AP_SECTION_RINGS].count--;
    cr_expect_eq(ap_queue_depth(seg, 1), 0);
    seg->places[AP_SECTION_RINGS].count = 0;
    cr_expect_eq(ap_queue_depth(seg, 1), 0);
    seg->places[AP_SECTION_RINGS].count = count;
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

Test(rings, a_signal_sets_one_bit_and_wakes_one_sleeper)
{
    uint64_t life = queue(1)->life;
    uint32_t bell = ap_load_relaxed(&lane.lane->bell);

    ap_queue_signal(seg, 1, 2, life);
    cr_expect_eq(queue(1)->summary, 4);
    cr_expect_eq(ap_load_relaxed(&lane.lane->bell), bell, "nobody sleeps");
    bell = ap_bell_raise(&lane.lane->bell);
    ap_queue_signal(seg, 1, 2, AP_QUEUE_LIFE(1, seg->geometry.lanes, AP_QUEUE_OPEN));
    cr_expect_eq(ap_load_relaxed(&lane.lane->bell), bell, "it has no consumer");
    ap_queue_signal(seg, 1, 0, life);
    cr_expect_eq(queue(1)->summary, 5);
    cr_expect_eq(ap_load_relaxed(&lane.lane->bell), (bell + 2) & ~1u, "it is told, and nobody sleeps any more");
}
