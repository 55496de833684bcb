/* Recovery, move and sweep step by step: what is told, who is asked, which slots, queues and lanes are left alone. */
#include "shm_fixture.h"

#include <string.h>

#include "shm/event.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;
static uint64_t since; /* the first event that is the test's own */

static void setup(void)
{
    fixture_make(192, 8, 2);
    cr_assert_eq(ap_member_open(seg, "recovery", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
    since = ap_load_acquire(&seg->header->event_next);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    fixture_teardown();
}

TestSuite(recovery, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct ap_slot *slot_of(uint32_t index)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    cr_assert_not_null(slot);
    return slot;
}

static uint64_t ref; /* of the last task that was published, for a child, too */
static uint32_t publish(uint32_t queue)
{
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    slot_of(slot)->deadline = APIARY_FOREVER;
    ref = ap_task_publish(seg, slot, queue);
    return slot;
}

static void open_queue(uint32_t queue)
{
    cr_assert_eq(ap_queue_claim(seg, queue, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, queue, lane.index), 1);
}

/* Since the beginning of the test: how often, and the last in *ret. */
static int told(uint32_t kind, struct ap_event *ret)
{
    struct ap_event e;
    int n = 0;

    for (uint64_t i = since; i < ap_load_acquire(&seg->header->event_next); i++) {
        if (ap_event_read(seg, i, &e) != 1 || e.kind != kind) continue;
        *ret = e;
        n++;
    }
    return n;
}

#define TOLD(event, by, first, second)                                                                     \
    do {                                                                                                   \
        struct ap_event last = {.kind = 0};                                                                \
        cr_expect_eq(told(AP_EVENT_##event, &last), 1, #event);                                            \
        cr_expect(last.lane == (by) && last.a == (first) && last.b == (second), #event ": %u, %llu, %llu", \
                  last.lane, (unsigned long long)last.a, (unsigned long long)last.b);                      \
    } while (0)

static void claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    if (!ap_task_claim(own, h->index, 1, ref, &token)) _exit(1);
}

static void crash(struct ap_segment *own, struct ap_lane_handle *h)
{
    claim_and_die(own, h);
    ap_lane_inside(h->lane, ref);
    ap_lane_crash(h->lane, SIGSEGV);
}

/* ---- moves ------------------------------------------------------------------------------------------------------ */

static uint32_t routes[16], asked;
static uint32_t route(void *user, struct ap_segment *own, const struct ap_slot *slot)
{
    (void)own;
    cr_expect_eq(user, routes);
    cr_expect_not_null(slot);
    return routes[asked++ % 16];
}

static const struct ap_reap_hooks routed = {.user = routes, .route = route};

static enum ap_move move(uint32_t slot, const struct ap_reap_hooks *hooks)
{
    return ap_move_queued(seg, hooks, 9, slot, word_of(slot));
}

Test(recovery, a_task_is_moved_to_where_it_is_served)
{
    struct ap_event e;
    struct ap_consumer c;
    uint64_t token;
    uint32_t slot = publish(1);

    open_queue(2);
    ap_consumer_init(&c, seg, 2);
    cr_expect_eq(ap_move_queued(seg, NULL, 9, seg->geometry.tasks, word_of(slot)), AP_MOVE_OVER);
    cr_expect_eq(move(slot, NULL), AP_MOVE_NOWHERE, "nobody says where");
    routes[0] = AP_NO_QUEUE;
    routes[1] = seg->geometry.queues;
    routes[2] = 1;
    for (int i = 0; i < 3; i++) cr_expect_eq(move(slot, &routed), AP_MOVE_NOWHERE, "%d", i);
    cr_expect_eq(told(AP_EVENT_TASK_MOVED, &e), 0);
    routes[3] = 2;
    cr_expect_eq(move(slot, &routed), AP_MOVE_MOVED);
    cr_expect_eq(word_of(slot), AP_WORD(AP_TASK_QUEUED, 0, 2, 1));
    TOLD(TASK_MOVED, 9, slot, 2);
    cr_expect_eq(ap_queue_at(seg, 2)->summary, 4, "its consumer is told");
    cr_expect_eq(ap_queue_pop(&c), ref);
    cr_expect_eq(move(slot, &routed), AP_MOVE_SERVED);
    cr_expect_eq(asked, 4, "and nobody is asked where to");
    cr_expect_eq(ap_move_queued(seg, &routed, 9, slot, AP_WORD(AP_TASK_QUEUED, 0, 1, 1)), AP_MOVE_OVER, "it was there");
    cr_assert_eq(ap_task_claim(seg, lane.index, 2, ref, &token), 1);
    cr_expect_eq(move(slot, &routed), AP_MOVE_OVER);
}

/* Among closed queues, for as long as somebody names another. */
Test(recovery, a_move_among_closed_queues_ends)
{
    struct ap_event e;
    uint32_t slot = publish(1);

    for (uint32_t i = 0; i < 16; i++) routes[i] = 2 + i % 2;
    cr_expect_eq(move(slot, &routed), AP_MOVE_MOVED);
    cr_expect_eq(asked, 8);
    cr_expect_eq(told(AP_EVENT_TASK_MOVED, &e), 8);
    cr_expect_eq(AP_WORD_OWNER(word_of(slot)), 3);
}

/* The reference finds no place: whoever consumes there is told to look at the table. */
Test(recovery, a_task_that_is_moved_into_a_full_ring_is_found_by_a_scan)
{
    uint64_t rescan = seg->header->rescan;
    uint32_t slot;

    open_queue(2);
    routes[0] = routes[1] = 2;
    for (int i = 0; i < 7; i++) cr_assert_eq(ap_queue_push_shared(seg, 2, AP_REF(1, 1)), 0);
    cr_expect_eq(move(publish(1), &routed), AP_MOVE_MOVED);
    cr_expect_eq(seg->header->rescan, rescan, "it was the last place");
    slot = publish(1);
    cr_expect_eq(move(slot, &routed), AP_MOVE_MOVED);
    cr_expect_eq(seg->header->rescan, rescan + 1);
}

/* ---- dead workers ----------------------------------------------------------------------------------------------- */

Test(recovery, what_becomes_of_a_dead_workers_task_is_told)
{
    uint32_t slot = publish(1), dead = fixture_die(claim_and_die), before = seg->header->lanes_changed;
    struct ap_event e;

    open_queue(2);
    routes[0] = 2;
    cr_assert_eq(ap_reap_lane(seg, lane.index, dead, &routed), 1);
    TOLD(TASK_REQUEUED, dead, slot, 2);
    cr_expect_eq(told(AP_EVENT_TASK_CRASHED, &e), 0);
    cr_expect_eq(seg->header->lanes_changed, before + 1);
    cr_expect_eq(ap_reap_lane(seg, lane.index, dead, &routed), 0);
    cr_expect_eq(seg->header->lanes_changed, before + 1, "nothing has changed");
    since = ap_load_acquire(&seg->header->event_next);
    ap_queue_at(seg, 2)->crashed = 7;
    slot = publish(1);
    slot_of(slot)->word |= UINT64_C(2) << 4; /* two crashes */
    dead = fixture_die(crash);
    cr_assert_eq(ap_reap_lane(seg, lane.index, dead, &routed), 1);
    cr_expect_eq(ap_word_code(word_of(slot)), APIARY_ECRASHED);
    cr_expect_eq(AP_WORD_CRASHES(word_of(slot)), 3);
    TOLD(TASK_CRASHED, dead, slot, 3);
    cr_expect_eq(told(AP_EVENT_TASK_REQUEUED, &e), 0);
    cr_expect(ap_queue_at(seg, 1)->crashed == 1 && ap_queue_at(seg, 2)->crashed == 7, "it crashed at queue 1");
}

static void claim_and_lose_the_queue(struct ap_segment *own, struct ap_lane_handle *h)
{
    claim_and_die(own, h);
    ap_slot_at(own, AP_REF_SLOT(ref))->queue = own->geometry.queues;
}

Test(recovery, a_task_at_no_queue_is_corrupt)
{
    uint32_t slot = publish(1);

    fixture_die(claim_and_lose_the_queue);
    cr_assert_eq(ap_reap_all(seg, lane.index, NULL), 1);
    cr_expect_eq(state_of(slot), AP_TASK_FAILED);
    cr_expect_eq(ap_word_code(word_of(slot)), APIARY_ECORRUPT);
}

static uint32_t offering; /* a bit for each queue */
static bool offers(void *user, struct ap_segment *own, const struct ap_slot *slot, uint32_t queue)
{
    (void)user;
    (void)own;
    (void)slot;
    return (offering >> queue & 1) != 0;
}

static void own_2_claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    if (!ap_queue_claim(own, 2, h->index) || !ap_queue_open(own, 2, h->index)) _exit(1);
    ap_store_relaxed(&h->lane->hand[0], AP_REF(4000000, 1)); /* written over: it is no slot's */
    ap_store_relaxed(&h->lane->hand[1], ref);
    claim_and_die(own, h);
}

/* The queue that it was claimed from is another agent's by now: its worker's own, or else the first of those that would do. */
Test(recovery, a_task_waits_at_its_workers_queue_or_at_the_first_that_offers_it)
{
    const struct ap_reap_hooks hooks = {.offers = offers};
    uint32_t slot = publish(1);

    open_queue(0);
    offering = 1u << 0 | 1u << 2 | 1u << 3;
    fixture_die(own_2_claim_and_die);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_expect_eq(AP_WORD_OWNER(word_of(slot)), 2);
    slot = publish(1);
    offering = 1u << 2 | 1u << 3;
    fixture_die(claim_and_die);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_expect_eq(AP_WORD_OWNER(word_of(slot)), 2, "neither is the dead one's");
}

/* ---- dead clients ----------------------------------------------------------------------------------------------- */

static void freed(void *user, struct ap_slot *slot)
{
    (void)user;
    slot->ticket = 0;
}

static uint32_t left[3];
static void leave_tasks(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_slabs s;

    ap_slabs_init(&s, h);
    for (int i = 0; i < 3; i++) {
        if (ap_task_reserve(&s, NULL, NULL, &left[i]) < 0) _exit(1);
        ap_slot_at(own, left[i])->ticket = 7;
    }
    ap_store_release(&ap_slot_at(own, left[1])->word, AP_WORD(AP_TASK_RELEASING, 0, h->index, 1));
    ap_task_publish(own, left[2], 1);
}

/* RESERVED, RELEASING and QUEUED of the dead; RESERVED, RELEASING and DONE of the living. */
Test(recovery, what_is_the_livings_is_left_alone)
{
    const struct ap_reap_hooks hooks = {.user = routes, .route = route, .freed = freed};
    uint32_t mine[3], dead;
    uint64_t token, words[3];

    for (int i = 0; i < 3; i++) mine[i] = publish(1);
    cr_assert_eq(ap_task_claim(seg, lane.index, 1, ref, &token), 1);
    cr_assert_eq(ap_task_finish(seg, mine[2], token, 0), 0);
    slot_of(mine[0])->word = AP_WORD(AP_TASK_RESERVED, 0, lane.index, 1);
    slot_of(mine[1])->word = AP_WORD(AP_TASK_RELEASING, 0, lane.index, 1);
    for (int i = 0; i < 3; i++) words[i] = word_of(mine[i]);
    open_queue(2);
    routes[0] = 2;
    dead = fixture_die(leave_tasks);
    for (uint32_t i = 0; i < 3; i++) left[i] = dead % 3 * AP_SLAB_SLOTS + i;
    cr_assert_neq(left[0] / AP_SLAB_SLOTS, mine[0] / AP_SLAB_SLOTS);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    for (int i = 0; i < 3; i++) cr_expect_eq(word_of(mine[i]), words[i], "%d", i);
    cr_expect_eq(ap_slab_at(seg, mine[0] / AP_SLAB_SLOTS)->lease, AP_LEASE(1, lane.index + 1));
    cr_expect_eq(ap_slab_at(seg, left[0] / AP_SLAB_SLOTS)->lease, AP_LEASE(1, 0));
    cr_expect_eq(word_of(left[0]), AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 1));
    cr_expect_eq(slot_of(left[0])->ticket, 7, "it had not been told of");
    cr_expect_eq(word_of(left[1]), AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 1));
    cr_expect_eq(slot_of(left[1])->ticket, 0, "given back");
    cr_expect_eq(word_of(left[2]), AP_WORD(AP_TASK_QUEUED, 0, 2, 1), "it is to be done, and it is moved to where it can be");
    cr_expect_eq(slot_of(left[2])->request, AP_REQUEST_WORD(1, AP_REQUEST_DETACH));
}

/* A thread that detaches has given the slab back while it was gone through, and another lane has it. */
static uint32_t route_and_lease(void *user, struct ap_segment *own, const struct ap_slot *slot)
{
    uint32_t slab = (uint32_t)(slot - ap_slot_at(own, 0)) / AP_SLAB_SLOTS;

    (void)user;
    ap_store_release(&ap_slab_at(own, slab)->lease, AP_LEASE(1, lane.index + 1));
    return AP_NO_QUEUE;
}

static void leave_two(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_slabs s;

    ap_slabs_init(&s, h);
    for (int i = 0; i < 2; i++) {
        if (ap_task_reserve(&s, NULL, NULL, &left[i]) < 0) _exit(1);
        ap_task_publish(own, left[i], 1);
    }
    ap_store_release(&ap_slot_at(own, left[1])->word, AP_WORD(AP_TASK_DONE, 0, AP_NO_LANE, 1));
}

Test(recovery, a_slab_that_is_anothers_by_now_is_that_ones)
{
    const struct ap_reap_hooks hooks = {.route = route_and_lease};
    uint32_t first = fixture_die(leave_two) % 3 * AP_SLAB_SLOTS;

    cr_assert_eq(state_of(first + 1), AP_TASK_DONE);
    cr_assert_eq(ap_reap_all(seg, lane.index, &hooks), 1);
    cr_expect_eq(state_of(first + 1), AP_TASK_DONE, "its new client may collect it");
    cr_expect_eq(ap_slab_at(seg, first / AP_SLAB_SLOTS)->lease, AP_LEASE(1, lane.index + 1));
}

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

static void reserve_claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    struct ap_slabs s;

    ap_slabs_init(&s, h);
    if (ap_task_reserve(&s, NULL, NULL, &left[0]) < 0) _exit(1);
    claim_and_die(own, h);
}

/* The holder has the lock and has not said so yet. */
Test(recovery, a_helper_takes_the_holders_first_step)
{
    uint32_t slot = publish(1), dead = fixture_die(reserve_claim_and_die);
    const struct ap_slab *slab = ap_slab_at(seg, dead % 3);
    struct ap_lane *at = ap_lane_at(seg, dead);
    uint64_t life = at->life;

    cr_assert_eq(ap_robust_trylock(&at->mutex), -EOWNERDEAD);
    cr_assert_eq(AP_LIFE_STATE(life), AP_LIFE_LIVE);
    cr_expect_eq(ap_reap_held(seg, dead), AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD));
    cr_expect_eq(ap_reap_beside(seg, lane.index, dead, NULL), 1);
    cr_expect_eq(at->life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD));
    cr_expect_eq(state_of(slot), AP_TASK_QUEUED);
    TOLD(LANE_HELPED, lane.index, dead, 0);
    cr_expect_eq(slab->lease, AP_LEASE(1, dead + 1), "of slabs and of what is RESERVED the lock decides");
    cr_expect_eq(state_of(dead % 3 * AP_SLAB_SLOTS), AP_TASK_RESERVED);
    ap_robust_consistent(&at->mutex);
    ap_robust_unlock(&at->mutex);
    cr_expect_eq(ap_reap_beside(seg, lane.index, dead, NULL), 0, "nobody holds it");
    cr_expect_eq(ap_reap_all(seg, lane.index, NULL), 1);
    cr_expect_eq(slab->lease, AP_LEASE(1, 0));
}

static int yields;
static void yield_counts(void)
{
    yields++;
}

Test(recovery, where_nobody_has_died_nothing_is_told)
{
    struct ap_ops ops = *seg->ops;
    uint32_t changed = seg->header->lanes_changed, bell = lane.lane->bell;
    uint64_t rescan = seg->header->rescan;

    ops.yield = yield_counts;
    seg->ops = &ops;
    cr_expect_eq(ap_reap_asking(seg, lane.index, NULL), 0);
    cr_expect_eq(ap_reap_all(seg, AP_NO_LANE, NULL), 0);
    cr_expect_eq(ap_reap_lane(seg, AP_NO_LANE, seg->geometry.lanes, NULL), 0);
    cr_expect_eq(yields, 0);
    seg->ops = &ap_ops_system;
    cr_expect_eq(seg->header->lanes_changed, changed);
    cr_expect_eq(lane.lane->bell, bell);
    cr_expect_eq(seg->header->rescan, rescan);
    cr_expect_eq(seg->header->event_next, since);
}

/* ---- the sweep -------------------------------------------------------------------------------------------------- */

static uint64_t at_1000(void)
{
    return 1000;
}

Test(recovery, a_sweep_ends_what_is_due_and_tells_what_will_be)
{
    struct ap_ops ops = *seg->ops;
    uint32_t due, later, soon;

    open_queue(1);
    due = publish(1);
    soon = publish(1);
    later = publish(1);
    slot_of(due)->deadline = 1000;
    slot_of(soon)->deadline = 1001;
    slot_of(later)->deadline = 1002;
    ops.now = at_1000;
    seg->ops = &ops;
    cr_expect_eq(ap_sweep(seg, lane.index, NULL), 1001);
    cr_expect_eq(state_of(due), AP_TASK_FAILED);
    cr_expect_eq(state_of(soon), AP_TASK_QUEUED);
    slot_of(soon)->deadline = 1003;
    cr_expect_eq(ap_sweep(seg, lane.index, NULL), 1002);
    slot_of(soon)->deadline = slot_of(later)->deadline = APIARY_FOREVER;
    cr_expect_eq(ap_sweep(seg, lane.index, NULL), UINT64_MAX);
    seg->ops = &ap_ops_system;
}
