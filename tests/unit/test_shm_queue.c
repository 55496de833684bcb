/* Queues: order, fullness, laps, several producers, half-done pushes of the dead, no lost wake. */
#include "shm_fixture.h"

#include <pthread.h>

#include "shm/bell.h"

static struct ap_lane_handle lane;
static struct ap_producer producer;
static struct ap_consumer consumer;

#define MANY 6u /* inlets of the second fixture */

static void open_all(void)
{
    cr_assert_eq(ap_member_open(seg, "queue", NULL, APIARY_CLIENT, &lane), 0);
    cr_assert_eq(ap_queue_claim(seg, 1, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, 1, lane.index), 1);
    ap_consumer_init(&consumer, seg, 1);
    producer = (struct ap_producer){0};
}

static void setup(void)
{
    fixture_setup();
    open_all();
}

static void setup_many(void)
{
    fixture_make(128, 8, MANY);
    open_all();
}

TestSuite(queue, .init = setup, .fini = fixture_teardown);
TestSuite(queue_many, .init = setup_many, .fini = fixture_teardown);

static int push(struct ap_producer *p, uint64_t ref)
{
    int r = ap_queue_room(seg, 1, p, &lane) ? ap_queue_push(seg, p, ref) : APIARY_EQUEUEFULL;
    if (r == 0) {
        ap_fence_full();
        ap_queue_signal(seg, 1, p->index, ap_queue_at(seg, 1)->life);
    }
    return r;
}

Test(queue, order_fullness_and_many_laps)
{
    uint64_t next = 1, expected = 1;

    cr_assert_eq(ap_queue_pop(&consumer), 0);
    for (int i = 0; i < 8; i++) cr_assert_eq(push(&producer, AP_REF(1, next++)), 0);
    cr_assert_eq(push(&producer, AP_REF(1, next)), APIARY_EQUEUEFULL);
    cr_assert_eq(ap_queue_depth(seg, 1), 8);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(ap_queue_pop(&consumer), AP_REF(1, expected));
        expected++;
        cr_assert_eq(push(&producer, AP_REF(1, next)), 0);
        next++;
    }
    for (int i = 0; i < 8; i++) cr_assert_eq(ap_queue_pop(&consumer), AP_REF(1, expected++));
    cr_assert_eq(ap_queue_pop(&consumer), 0);
    cr_assert_eq(ap_queue_depth(seg, 1), 0);
}

/* Bits of rings that a pop found empty go when they are many, and come again with the next push; others stay. */
Test(queue_many, empty_rings_lose_their_bits)
{
    struct ap_producer shared = {.ring = ap_ring_at(seg, 1, MANY), .index = MANY, .opened = 1, .shared = 1};
    uint64_t *summary = &ap_queue_at(seg, 1)->summary, all = (UINT64_C(1) << (MANY + 1)) - 1;

    cr_assert_eq(push(&producer, AP_REF(0, 1)), 0);
    ap_or_acq_rel(summary, all);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 1), "one that has something is found among the empty");
    cr_assert_eq(push(&shared, AP_REF(0, 2)), 0);
    ap_or_acq_rel(summary, all);
    ap_consumer_turn(&consumer, 0);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 2));
    cr_expect_eq(ap_load_relaxed(summary), UINT64_C(1) << MANY, "only the one that had something is left");
    cr_assert_eq(ap_queue_pop(&consumer), 0);
    cr_assert_eq(push(&producer, AP_REF(0, 3)), 0);
    cr_expect_neq(ap_load_relaxed(summary) & UINT64_C(1) << producer.index, 0);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 3));
}

Test(queue, the_next_lessee_goes_on_behind_the_last)
{
    struct ap_producer other = {0}, third = {0}, neighbour = {0};

    for (uint64_t i = 1; i <= 4; i++) cr_assert_eq(push(&producer, AP_REF(0, i)), 0);
    producer.ring->tail -= 1; /* as if its producer had died between the cell and the published tail */
    ap_queue_reap_leases(seg, lane.index, 0);
    cr_assert_eq(producer.ring->lease, 0);
    cr_assert_eq(push(&neighbour, AP_REF(1, 1)), 0);
    cr_assert_neq(neighbour.ring, producer.ring, "an empty one first");
    cr_assert_eq(push(&other, AP_REF(0, 5)), 0);
    cr_assert_eq(other.ring, producer.ring);
    ap_consumer_turn(&consumer, neighbour.index);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(1, 1));
    for (uint64_t i = 1; i <= 5; i++) cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, i));
    ap_producer_close(&other, &lane);
    /* A consumer that takes over begins at the published head. */
    cr_assert_eq(push(&third, AP_REF(0, 6)), 0);
    ap_consumer_init(&consumer, seg, 1);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 6));
}

/* What a dead client left fills its inlet, and nobody drains yet: the next client takes another, and the one after that shares. */
Test(queue, what_the_dead_left_refuses_nobody)
{
    struct ap_producer next = {0}, third = {0};

    for (uint64_t i = 1; i <= 8; i++) cr_assert_eq(push(&producer, AP_REF(0, i)), 0);
    ap_producer_close(&producer, &lane);
    for (uint64_t i = 1; i <= 8; i++) cr_assert_eq(push(&next, AP_REF(1, i)), 0);
    cr_assert_neq(next.index, 2);
    for (uint64_t i = 1; i <= 8; i++) cr_assert_eq(push(&third, AP_REF(2, i)), 0);
    cr_assert(third.shared);
    for (int i = 0; i < 24; i++) cr_assert_neq(ap_queue_pop(&consumer), 0);
    cr_assert_eq(ap_queue_pop(&consumer), 0);
}

/* The former consumer took one between our beginning and now; its cell was filled again before we looked. */
Test(queue, what_a_former_consumer_took_late_does_not_stop_the_next)
{
    for (uint64_t i = 1; i <= 8; i++) cr_assert_eq(push(&producer, AP_REF(0, i)), 0);
    ap_store_release(&producer.ring->head, 1);
    cr_assert_eq(push(&producer, AP_REF(0, 9)), 0);
    cr_assert_eq(ap_queue_pop(&consumer), 0, "the cell is one lap on");
    cr_assert_neq(ap_queue_settle(&consumer), 0);
    for (uint64_t i = 2; i <= 9; i++) cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, i));
    cr_assert_eq(ap_queue_settle(&consumer), 0);
    cr_assert_eq(ap_queue_pop(&consumer), 0);
}

Test(queue, a_head_behind_ones_own_is_not_adopted)
{
    for (uint64_t i = 1; i <= 3; i++) cr_assert_eq(push(&producer, AP_REF(0, i)), 0);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 1));
    ap_store_release(&producer.ring->head, 0); /* a former consumer's late store */
    cr_assert_neq(ap_queue_settle(&consumer), 0);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 2));
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(0, 3));
}

Test(queue, producers_beyond_the_inlets_share)
{
    struct ap_producer p[4] = {0};

    for (uint64_t i = 0; i < 4; i++) cr_assert_eq(push(&p[i], AP_REF(i, 1)), 0);
    cr_assert(!p[0].shared && !p[1].shared && p[2].shared && p[3].shared);
    for (int i = 0; i < 4; i++) cr_assert_neq(ap_queue_pop(&consumer), 0);
    cr_assert_eq(ap_queue_pop(&consumer), 0);
}

Test(queue, a_producer_dead_in_the_middle_stops_nobody)
{
    struct ap_ring *ring = ap_ring_at(seg, 1, 2);

    for (uint64_t i = 1; i <= 20; i++) {
        cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(3, i)), 0);
        ring->tail -= 1; /* the cell is filled, the tail was not moved */
        ap_or_acq_rel(&consumer.queue->summary, 4);
        cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(4, i)), 0);
        cr_assert_eq(ap_queue_pop(&consumer), AP_REF(3, i));
        cr_assert_eq(ap_queue_pop(&consumer), AP_REF(4, i));
    }
    for (int i = 0; i < 8; i++) cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(1, 1)), 0);
    cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(1, 1)), APIARY_EQUEUEFULL);
}

Test(queue, a_consumer_may_be_ahead_of_a_dead_producers_tail)
{
    struct ap_ring *ring = ap_ring_at(seg, 1, 2);

    cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(3, 1)), 0);
    ring->tail -= 1; /* killed between the cell and the tail */
    ap_or_acq_rel(&consumer.queue->summary, 4);
    cr_assert_eq(ap_queue_pop(&consumer), AP_REF(3, 1));
    cr_assert_eq(ring->head, ring->tail + 1);
    for (uint64_t i = 2; i < 30; i++) {
        cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(3, i)), 0, "the ring must not take this for full");
        cr_assert_eq(ap_queue_pop(&consumer), AP_REF(3, i));
    }
}

Test(queue, corrupt_positions_are_an_answer)
{
    struct ap_ring *ring = ap_ring_at(seg, 1, 2);

    ring->head = UINT64_MAX - 100;
    cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(1, 1)), APIARY_EQUEUEFULL);
    ring->head = 0;
    ring->tail = 5 * 8; /* cells of other laps */
    ring->head = 5 * 8;
    cr_assert_eq(ap_queue_push_shared(seg, 1, AP_REF(1, 1)), APIARY_EQUEUEFULL);
    cr_assert_eq(ap_queue_push_shared(seg, 4000, AP_REF(1, 1)), APIARY_ECORRUPT);
}

Test(queue, life)
{
    uint64_t life = ap_queue_at(seg, 1)->life;

    cr_assert_eq(AP_QUEUE_EPOCH(life), 1);
    cr_assert_eq(ap_queue_claim(seg, 1, 3), 0, "it is open");
    cr_assert_eq(ap_queue_close(seg, 1, life + 256), 0, "somebody else's life word");
    cr_assert_eq(ap_queue_close(seg, 1, life), 1);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 1)->life), AP_QUEUE_CLOSED);
    cr_assert_eq(ap_queue_claim(seg, 1, 3), 1);
    cr_assert_eq(ap_queue_open(seg, 1, 4), 0, "not the claimant");
    cr_assert_eq(ap_queue_open(seg, 1, 3), 1);
    cr_assert_eq(ap_queue_open(seg, 1, 3), 0);
    cr_assert_eq(AP_QUEUE_EPOCH(ap_queue_at(seg, 1)->life), 2);
    cr_assert_eq(ap_queue_claim(seg, 2, 3), 1);
    cr_assert_eq(ap_queue_close(seg, 2, ap_queue_at(seg, 2)->life), 1);
    cr_assert_eq(AP_QUEUE_STATE(ap_queue_at(seg, 2)->life), AP_QUEUE_FREE, "never open, so free again");
}

Test(queue, scan_finds_what_no_reference_tells)
{
    struct ap_slabs slabs;
    uint32_t slot;
    uint64_t cursor = 0;

    ap_slabs_init(&slabs, &lane);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
        ap_task_publish(seg, slot, i < 3 ? 1 : 2);
    }
    cr_assert(ap_queue_rescan_due(&consumer));
    for (int i = 0; i < 3; i++) cr_assert_neq(ap_queue_scan(&consumer, &cursor), 0);
    ap_add_acq_rel(&seg->header->rescan, 1); /* another recovery while the scan is under way */
    cr_assert_eq(ap_queue_scan(&consumer, &cursor), 0);
    cr_assert(ap_queue_rescan_due(&consumer), "what was raised during the scan is still due");
    cursor = 0;
    while (ap_queue_scan(&consumer, &cursor) != 0) {}
    cr_assert_not(ap_queue_rescan_due(&consumer));
    ap_slabs_release(&slabs);
}

/* ---- races ---------------------------------------------------------------------------------------------------- */

enum { SENDERS = 4, ITEMS = 60000 };
static uint8_t seen[SENDERS][ITEMS + 1];

static void *sender(void *user)
{
    uint64_t me = (uint64_t)(uintptr_t)user;
    struct ap_producer p = {0};

    for (uint64_t i = 1; i <= ITEMS; i++)
        while (push(&p, AP_REF(me, i)) != 0) sched_yield();
    return NULL;
}

/* Two inlets and two senders in the shared ring; the consumer parks by the book whenever it finds nothing. A lost wake hangs
 * the test (the runner's limit ends it), a lost or doubled item fails it. */
Test(queue, everything_arrives_once_and_no_wake_is_lost)
{
    pthread_t t[SENDERS];
    uint64_t got = 0, parks = 0, last[SENDERS] = {0};

    for (uintptr_t i = 0; i < SENDERS; i++) pthread_create(&t[i], NULL, sender, (void *)i);
    while (got < (uint64_t)SENDERS * ITEMS) {
        uint64_t ref = ap_queue_pop(&consumer);
        if (ref == 0) {
            uint32_t value = ap_bell_raise(&lane.lane->bell);
            if (!ap_queue_settle(&consumer)) {
                seg->ops->futex_wait(&lane.lane->bell, value, UINT64_MAX);
                parks++;
            }
            continue;
        }
        uint32_t from = AP_REF_SLOT(ref);
        cr_assert(from < SENDERS && AP_REF_GENERATION(ref) <= ITEMS);
        cr_assert_eq(seen[from][AP_REF_GENERATION(ref)]++, 0);
        cr_assert_gt(AP_REF_GENERATION(ref), last[from], "order per sender");
        last[from] = AP_REF_GENERATION(ref);
        got++;
    }
    for (int i = 0; i < SENDERS; i++) pthread_join(t[i], NULL);
    cr_assert_eq(ap_queue_pop(&consumer), 0);
    cr_log_info("%lu parks", (unsigned long)parks);
}

/* One client's tasks in the slots 62, 63, 0, 1 of its slab; the first reference was taken by a consumer that died. */
Test(queue, a_scan_keeps_the_order_of_a_client)
{
    struct ap_slabs slabs;
    uint32_t slots[4], index;
    uint64_t cursor = 0, ref, token, clock = 1;

    ap_slabs_init(&slabs, &lane);
    for (int i = 0; i < 62; i++) {
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &index), 0);
        ap_task_unreserve(&slabs, index);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slots[i]), 0);
        ap_store_relaxed(&ap_slot_at(seg, slots[i])->queued, clock++);
        cr_assert_eq(push(&producer, ap_task_publish(seg, slots[i], 1)), 0);
    }
    cr_assert_eq(slots[2] % AP_SLAB_SLOTS, 0);
    ap_producer_close(&producer, &lane); /* it is gone, and what it left is in a ring that nobody holds */
    cr_assert_eq(AP_REF_SLOT(ap_queue_pop(&consumer)), slots[0]);
    for (int i = 0; i < 4; i++) {
        do
            ref = ap_queue_scan(&consumer, &cursor);
        while (ref != 0 && !ap_task_claim(seg, lane.index, 1, ref, &token));
        cr_assert_neq(ref, 0);
        /* The lost one is met where it stands in the table; the others come in their order. */
        cr_expect_eq(AP_REF_SLOT(ref), slots[(i + 1) % 4], "turn %d: slot %u", i, AP_REF_SLOT(ref));
    }
    ap_slabs_release(&slabs);
}

static uint32_t queued_at(struct ap_slabs *slabs, uint64_t when)
{
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(slabs, NULL, NULL, &slot), 0);
    ap_store_relaxed(&ap_slot_at(seg, slot)->queued, when);
    cr_assert_eq(push(&producer, ap_task_publish(seg, slot, 1)), 0);
    return slot;
}

/* A client that has each answer followed by its next task, in whatever slot is free: there is always one ahead of the cursor. */
Test(queue, a_scan_ends_while_slots_are_filled_anew)
{
    struct ap_slabs slabs;
    uint64_t cursor = 0, ref, token;
    int begun = 0;

    ap_slabs_init(&slabs, &lane);
    for (int i = 0; i < 4; i++) queued_at(&slabs, seg->ops->now());
    while ((ref = ap_queue_scan(&consumer, &cursor)) != 0) {
        cr_assert_lt(++begun, 20, "what is queued after the scan began is not its business");
        if (!ap_task_claim(seg, lane.index, 1, ref, &token)) continue;
        ap_task_finish(seg, AP_REF_SLOT(ref), token, 0);
        queued_at(&slabs, consumer.began + 1);
    }
    cr_assert_not(ap_queue_rescan_due(&consumer));
    cr_assert_neq(ap_queue_pop(&consumer), 0, "it has its reference");
    ap_slabs_release(&slabs);
}

/* Two rings hold what is older than the task at the cursor: neither waits for the other to be empty. */
Test(queue_many, a_scan_takes_rings_in_turn)
{
    struct ap_producer other = {0};
    struct ap_slabs slabs;
    uint32_t slots[7];
    uint64_t cursor = 0;
    int from[2] = {0, 0};

    ap_slabs_init(&slabs, &lane);
    for (uint32_t i = 0; i < 7; i++) {
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slots[i]), 0);
        ap_store_relaxed(&ap_slot_at(seg, slots[i])->queued, 7 - i); /* the youngest is met first */
    }
    for (uint32_t i = 1; i < 7; i++)
        cr_assert_eq(push(i % 2 == 0 ? &producer : &other, ap_task_publish(seg, slots[7 - i], 1)), 0);
    cr_assert_neq(producer.index, other.index);
    ap_task_publish(seg, slots[0], 1);
    for (int i = 0; i < 4; i++) from[AP_REF_SLOT(ap_queue_scan(&consumer, &cursor)) % 2]++;
    cr_expect(from[0] == 2 && from[1] == 2, "%d of one, %d of the other", from[0], from[1]);
    ap_slabs_release(&slabs);
}
