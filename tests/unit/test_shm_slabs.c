/* Slabs: which are leased and in which order, what comes back when, how a lane goes on with what a former one left. */
#include "shm_fixture.h"

#include <string.h>

#define SLABS 12u

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_make(SLABS * AP_SLAB_SLOTS, 8, 2);
    cr_assert_eq(ap_member_open(seg, "slabs", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(slabs, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static uint32_t reserve(void)
{
    uint32_t slot = UINT32_MAX;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    return slot;
}

static uint64_t *lease_of(uint32_t slab)
{
    struct ap_slab *at = ap_slab_at(seg, slab);

    cr_assert_not_null(at);
    return &at->lease;
}

static uint64_t *word_at(uint32_t slab, uint32_t i)
{
    struct ap_slot *at = ap_slot_at(seg, (uint64_t)slab * AP_SLAB_SLOTS + i);

    cr_assert_not_null(at);
    return &at->word;
}

/* The slabs that the lane holds, in their order. */
static void expect_held(const char *wanted)
{
    char held[200] = "";

    for (uint32_t i = 0; i < slabs.count; i++)
        snprintf(held + strlen(held), sizeof held - strlen(held), "%s%u", i > 0 ? " " : "", slabs.held[i]);
    cr_expect_str_eq(held, wanted);
}

static void fill(uint32_t slab)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) cr_assert_eq(reserve(), slab * AP_SLAB_SLOTS + i, "slot %u of slab %u", i, slab);
}

static void empty(uint32_t slab)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) ap_task_unreserve(&slabs, slab * AP_SLAB_SLOTS + i);
}

/* As dead clients leave them: busy, and nobody's. */
static void leave_busy(uint32_t slab, uint32_t from, uint32_t to)
{
    *lease_of(slab) = AP_LEASE(1, 0);
    for (uint32_t i = from; i < to; i++) *word_at(slab, i) = AP_WORD(AP_TASK_QUEUED, 0, 1, 5);
}

/* ---- one lane --------------------------------------------------------------------------------------------------- */

Test(slabs, all_of_the_table_is_had_in_turn)
{
    uint32_t slot = 7;

    cr_expect_eq(ap_slabs_busy(&slabs), 0);
    cr_expect_null(ap_slabs_turn(&slabs), "it has none yet");
    for (uint32_t i = 0; i < SLABS; i++) {
        fill((lane.index + i) % SLABS);
        cr_expect_eq(slabs.count, i + 1);
        cr_expect_eq(slabs.current, i);
        cr_expect_eq(slabs.capacity, i < 4 ? 4 : i < 8 ? 8 : 16);
        cr_expect_eq(slabs.first, (lane.index + i) % SLABS * AP_SLAB_SLOTS);
        cr_expect_eq(slabs.epoch, 1);
        cr_expect_eq(*lease_of((lane.index + i) % SLABS), AP_LEASE(1, lane.index + 1));
        cr_expect_eq(ap_slabs_busy(&slabs), (i + 1) * AP_SLAB_SLOTS);
    }
    cr_expect_eq(ap_task_next(&slabs, NULL, NULL, &slot), APIARY_ENOSLOT);
    cr_expect_eq(slot, 7);
    *lease_of(3) = AP_LEASE(1, 0);
    cr_expect_eq(ap_task_next(&slabs, NULL, NULL, &slot), APIARY_ENOSLOT, "it has that one, whatever its lease says");
    cr_expect_eq(slabs.count, SLABS);
}

Test(slabs, each_lane_begins_in_another_place)
{
    struct ap_lane_handle other;
    struct ap_slabs others;
    uint32_t slot;

    cr_assert_eq(ap_lane_open(seg, lane.member, &other), 0);
    cr_assert_neq(other.index % SLABS, lane.index % SLABS);
    ap_slabs_init(&others, &other);
    cr_assert_eq(ap_task_reserve(&others, NULL, NULL, &slot), 0);
    cr_expect_eq(slot, other.index % SLABS * AP_SLAB_SLOTS);
    fill(lane.index % SLABS);
    cr_expect_neq(reserve() / AP_SLAB_SLOTS, other.index % SLABS, "that is the other's");
    cr_expect_eq(*lease_of(other.index % SLABS), AP_LEASE(1, other.index + 1));
    ap_slabs_release(&others);
    ap_lane_close(&other);
}

/* A burst is over: the slab that it ends in, and the one in the middle. */
Test(slabs, a_free_slab_goes_back_and_the_others_keep_their_order)
{
    for (uint32_t i = 0; i < 3; i++) fill(i);
    empty(2);
    cr_expect_eq(reserve(), 2 * AP_SLAB_SLOTS, "given back, and the first that is to be had again");
    expect_held("0 1 2");
    for (uint32_t i = 1; i < AP_SLAB_SLOTS; i++) reserve();
    empty(0);
    fill(0);
    empty(1);
    fill(1);
    expect_held("0 1 2");
    empty(1);
    empty(2);
    cr_expect_eq(reserve(), 2 * AP_SLAB_SLOTS, "slab 1 is left for the next");
    expect_held("0 2");
    cr_expect_eq(slabs.current, 1);
    cr_expect_eq(*lease_of(1), AP_LEASE(1, 0));
    empty(0);
    empty(2);
    for (uint32_t i = 1; i < AP_SLAB_SLOTS; i++) ap_task_unreserve(&slabs, reserve());
    cr_expect_eq(reserve(), 0);
    expect_held("0");
    cr_expect_eq(*lease_of(2), AP_LEASE(1, 0));
    ap_task_unreserve(&slabs, 0);
    for (uint32_t i = 1; i < AP_SLAB_SLOTS + 1; i++) ap_task_unreserve(&slabs, reserve());
    expect_held("0");
}

/* It is worth nothing to a lane that has no other. */
Test(slabs, one_busy_slot_keeps_a_slab)
{
    for (uint32_t busy = 0; busy < AP_SLAB_SLOTS; busy += AP_SLAB_SLOTS - 1) {
        fill(0);
        fill(1);
        for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
            if (i != busy) ap_task_unreserve(&slabs, AP_SLAB_SLOTS + i);
        empty(0);
        cr_expect_eq(reserve(), 0);
        expect_held("0 1");
        ap_slabs_release(&slabs);
        ap_slabs_init(&slabs, &lane);
        for (uint32_t i = 0; i < 2 * AP_SLAB_SLOTS; i++) *word_at(0, i) = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 1);
    }
}

Test(slabs, what_is_released_is_nobodys)
{
    for (uint32_t i = 0; i < 5; i++) fill(i);
    cr_assert_eq(reserve(), 5 * AP_SLAB_SLOTS);
    *lease_of(2) = AP_LEASE(9, lane.index + 2); /* recovered, and another's by now */
    *lease_of(3) = AP_LEASE(8, lane.index + 1);
    ap_slabs_release(&slabs);
    for (uint32_t i = 0; i < 5; i++)
        cr_expect_eq(*lease_of(i), i == 2 ? AP_LEASE(9, lane.index + 2) : i == 3 ? AP_LEASE(8, 0) : AP_LEASE(1, 0), "%u", i);
    cr_expect_null(slabs.held);
    cr_expect(slabs.count == 0 && slabs.capacity == 0 && slabs.current == 0 && slabs.next == AP_SLAB_SLOTS);
    cr_expect_null(ap_slabs_turn(&slabs));
    cr_expect_eq(reserve(), 5 * AP_SLAB_SLOTS + 1, "the first are full");
}

/* ---- what a former lane left ------------------------------------------------------------------------------------ */

Test(slabs, busy_slots_of_the_dead_are_passed_over)
{
    leave_busy(0, 0, AP_SLAB_SLOTS);
    leave_busy(1, 0, AP_SLAB_SLOTS);
    leave_busy(2, 0, AP_SLAB_SLOTS - 1);
    cr_expect_eq(reserve(), 3 * AP_SLAB_SLOTS - 1);
    expect_held("0 1 2");
    cr_expect_eq(reserve(), 3 * AP_SLAB_SLOTS, "and behind it a slab of its own");
    cr_expect_eq(ap_slabs_busy(&slabs), 3 * AP_SLAB_SLOTS + 1);
}

static int freed_calls;

static void freed(void *user, struct ap_slot *slot)
{
    cr_expect_eq(user, &freed_calls);
    cr_expect_eq(AP_WORD_STATE(slot->word), AP_TASK_RELEASING);
    cr_expect_eq(AP_WORD_OWNER(slot->word), lane.index);
    freed_calls++;
}

static void leave_ended(uint32_t i, uint32_t state, uint64_t bits)
{
    struct ap_slot *slot = ap_slot_at(seg, i);

    cr_assert_not_null(slot);
    slot->word = AP_WORD(state, 0, state == AP_TASK_DONE ? AP_NO_LANE : (uint32_t)-APIARY_ETIMEDOUT, 5);
    slot->request = AP_REQUEST_WORD(5, bits);
}

Test(slabs, what_nobody_may_collect_is_freed_in_passing)
{
    uint32_t slot;

    *lease_of(0) = AP_LEASE(1, 0);
    leave_ended(0, AP_TASK_DONE, 0);
    leave_ended(1, AP_TASK_RUNNING, AP_REQUEST_ABANDON);
    leave_ended(2, AP_TASK_FAILED, AP_REQUEST_CANCEL);
    leave_ended(3, AP_TASK_CANCELLED, AP_REQUEST_DETACH);
    leave_ended(4, AP_TASK_DONE, AP_REQUEST_ABANDON);
    for (uint32_t i = 3; i < 6; i++) {
        cr_assert_eq(ap_task_next(&slabs, freed, &freed_calls, &slot), 0);
        cr_expect_eq(slot, i);
        cr_expect_eq(freed_calls, i < 4 ? 1 : 2);
    }
    cr_expect_eq(*word_at(0, 3), AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 5));
    cr_expect_eq(state_of(0), AP_TASK_DONE);
}

/* The last generation that is used, and the first that is not; by either way to a slot. */
Test(slabs, a_slot_retires_at_its_last_generation)
{
    uint32_t slot;

    ap_task_unreserve(&slabs, reserve());
    *word_at(0, 1) = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST);
    *word_at(0, 2) = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST - 1);
    *word_at(0, 3) = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, AP_GENERATION_LAST - 1);
    cr_expect_null(ap_slabs_turn(&slabs));
    cr_expect_eq(slabs.next, 1);
    cr_assert_eq(ap_task_next(&slabs, NULL, NULL, &slot), 0);
    cr_expect_eq(slot, 2);
    cr_expect_eq(ap_slabs_turn(&slabs), ap_slot_at(seg, 3));
    cr_expect_eq(slabs.first + slabs.next - 1, 3);
    *word_at(0, 4) = AP_WORD(AP_TASK_RESERVED, 0, 3, 1);
    cr_expect_null(ap_slabs_turn(&slabs));
    slabs.next = AP_SLAB_SLOTS - 1;
    cr_expect_eq(ap_slabs_turn(&slabs), ap_slot_at(seg, AP_SLAB_SLOTS - 1));
    cr_expect_null(ap_slabs_turn(&slabs), "none is left");
    cr_expect_eq(slabs.next, AP_SLAB_SLOTS);
}

/* One slot is of this generation, the others have hardly been used; the neighbouring slab is old and busy. */
static void lease_with(uint32_t i, uint64_t generation, uint32_t state)
{
    ap_slabs_release(&slabs);
    ap_slabs_init(&slabs, &lane);
    for (uint32_t k = 0; k < AP_SLAB_SLOTS; k++) *word_at(0, k) = AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 3);
    *word_at(0, i) = AP_WORD(state, 0, AP_NO_LANE, generation);
    *word_at(1, 0) = AP_WORD(AP_TASK_QUEUED, 0, 1, AP_GENERATION_LAST);
    *lease_of(0) = AP_LEASE(6, 0);
    cr_assert_eq(reserve() / AP_SLAB_SLOTS, 0);
    cr_expect_eq(*word_at(1, 0), AP_WORD(AP_TASK_QUEUED, 0, 1, AP_GENERATION_LAST));
}

Test(slabs, an_old_slab_begins_anew_when_it_is_leased)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i += AP_SLAB_SLOTS - 1) {
        lease_with(i, AP_GENERATION_LAST / 2, AP_TASK_FREE);
        cr_expect_eq(*lease_of(0), AP_LEASE(6, lane.index + 1), "it is not old yet");
        cr_expect_eq(slabs.epoch, 6);
        cr_expect_eq(AP_WORD_GENERATION(*word_at(0, i)), AP_GENERATION_LAST / 2 + (i == 0));
        lease_with(i, AP_GENERATION_LAST / 2 + 1, AP_TASK_FREE);
        cr_expect_eq(*lease_of(0), AP_LEASE(7, lane.index + 1));
        cr_expect_eq(slabs.epoch, 7);
        cr_expect_eq(*word_at(0, 0), AP_WORD(AP_TASK_RESERVED, 0, lane.index, 1));
        for (uint32_t k = 1; k < AP_SLAB_SLOTS; k++) cr_expect_eq(*word_at(0, k), AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 0));
        lease_with(i, AP_GENERATION_LAST / 2 + 1, AP_TASK_DONE);
        cr_expect_eq(*lease_of(0), AP_LEASE(6, lane.index + 1), "somebody may yet ask for the one that is busy");
        cr_expect_eq(AP_WORD_GENERATION(*word_at(0, i)), AP_GENERATION_LAST / 2 + 1);
    }
}

Test(slabs, a_slab_without_an_epoch_has_the_first)
{
    cr_assert_eq(*lease_of(0), 0);
    cr_assert_eq(reserve(), 0);
    cr_expect_eq(slabs.epoch, 1);
    cr_expect_eq(ap_task_id(seg, 0, 9).epoch, 1);
    cr_expect_eq(ap_task_id(seg, 5 * AP_SLAB_SLOTS, 9).epoch, 0, "that one is not leased yet");
    cr_expect_eq(ap_task_id(seg, SLABS * AP_SLAB_SLOTS, 9).epoch, 0, "there is none");
}
