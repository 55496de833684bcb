/* The shares of members: nobody takes the task table, or the blocks of a class, from the others. */
#include "shm_fixture.h"

#include "shm/pool.h"

#define SLABS 16u
#define BLOCKS 16u

static struct ap_lane_handle lanes[3];
static struct ap_slabs slabs[3];
static struct ap_pool_hint hints[3];

static void setup(void)
{
    struct ap_segment_options o = {.name = seg_name};
    char message[256] = "";

    leftovers_clear("apiary-unit");
    snprintf(seg_name, sizeof seg_name, "/apiary-unit-%d", (int)getpid());
    shm_unlink(seg_name);
    o.geometry = (struct ap_geometry){.members = 8, .lanes = 16, .tasks = SLABS * AP_SLAB_SLOTS, .queues = 4, .queue_depth = 8,
                                      .queue_inlets = 2, .pool_blocks = {BLOCKS, 4, 2, 1, 1, 1, 1}, .events = 64};
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(seg->geometry.member_share, 75);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ap_member_open(seg, "share", NULL, APIARY_CLIENT, &lanes[i]), 0);
        ap_slabs_init(&slabs[i], &lanes[i]);
        memset(&hints[i], 0, sizeof hints[i]);
    }
}

static void teardown(void)
{
    for (int i = 0; i < 3; i++) {
        ap_slabs_release(&slabs[i]);
        ap_lane_close(&lanes[i]);
    }
    fixture_teardown();
}

TestSuite(share, .init = setup, .fini = teardown);

/* Takes slots until it is refused: how many, and why. */
static uint32_t tasks_taken(int who, int *ret_error)
{
    uint32_t n = 0, slot;

    while ((*ret_error = ap_task_reserve(&slabs[who], NULL, NULL, &slot)) == 0) n++;
    return n;
}

static uint32_t blocks_taken(int who, uint64_t size, int *ret_error)
{
    uint64_t offset;
    uint32_t n = 0;

    while ((*ret_error = ap_pool_take(seg, &lanes[who], &hints[who], size, &offset)) == 0) n++;
    return n;
}

Test(share, each_leaves_a_part_of_the_table_that_it_has_found)
{
    struct ap_share s;
    uint32_t member;
    int error;

    cr_expect_eq(tasks_taken(0, &error), 12 * AP_SLAB_SLOTS);
    cr_expect_eq(error, APIARY_ESHARE);
    cr_expect_eq(tasks_taken(1, &error), 3 * AP_SLAB_SLOTS);
    cr_expect_eq(error, APIARY_ESHARE);
    cr_expect_eq(tasks_taken(2, &error), 1 * AP_SLAB_SLOTS, "the last one is anybody's");
    cr_expect_eq(error, APIARY_ENOSLOT);
    cr_expect_eq(tasks_taken(0, &error), 0);
    cr_expect_eq(error, APIARY_ENOSLOT, "none is free: that is no matter of shares");
    s = ap_share_slabs_of(seg, lanes[1].member);
    cr_expect_eq(s.held, 3);
    cr_expect_eq(s.free, 0);
    cr_expect(ap_share_slabs_most(seg, &member, &s));
    cr_expect_eq(member, lanes[0].member);
    cr_expect_eq(s.held, 12);
}

Test(share, lanes_of_one_member_have_one_share)
{
    struct ap_lane_handle second;
    struct ap_slabs more;
    uint32_t slot;
    int error;

    cr_assert_eq(ap_lane_open(seg, lanes[0].member, &second), 0);
    ap_slabs_init(&more, &second);
    cr_expect_eq(tasks_taken(0, &error), 12 * AP_SLAB_SLOTS);
    cr_expect_eq(ap_task_reserve(&more, NULL, NULL, &slot), APIARY_ESHARE);
    ap_slabs_release(&more);
    ap_lane_close(&second);
}

Test(share, with_a_hundred_percent_nothing_is_asked)
{
    int error;

    seg->geometry.member_share = 100;
    cr_expect_eq(tasks_taken(0, &error), SLABS * AP_SLAB_SLOTS);
    cr_expect_eq(error, APIARY_ENOSLOT);
    cr_expect_eq(blocks_taken(0, 1000, &error), 4 + 2 + 1, "and of the next two classes");
    cr_expect_eq(error, APIARY_ENOBLOCK);
}

Test(share, each_leaves_blocks_of_the_class)
{
    struct ap_share s;
    uint32_t member;
    int error;

    cr_expect_eq(blocks_taken(0, 1000, &error), 3 + 2 + 1, "of four, and of the next two classes");
    cr_expect_eq(error, APIARY_ESHARE);
    cr_expect_eq(blocks_taken(1, 1000, &error), 1);
    cr_expect_eq(error, APIARY_ENOBLOCK);
    s = ap_share_blocks_of(seg, 1, lanes[0].member);
    cr_expect_eq(s.held, 3);
    cr_expect_eq(s.free, 0);
    cr_expect(ap_share_blocks_most(seg, 1, &member, &s));
    cr_expect_eq(member, lanes[0].member);
    cr_expect_eq(ap_share_blocks_of(seg, 0, lanes[0].member).free, BLOCKS);
}

Test(share, a_result_is_held_by_the_member_that_has_delegated)
{
    uint64_t offset, token = 0, ref;
    uint32_t slot, taken = 0;
    int error;

    while (taken < 12) {
        cr_assert_eq(ap_task_reserve(&slabs[0], NULL, NULL, &slot), 0);
        ref = ap_task_publish(seg, slot, 0);
        cr_assert_eq(ap_task_claim(seg, lanes[1].index, 0, ref, &token), 1);
        cr_assert_eq(ap_pool_take_for(seg, &lanes[1], lanes[0].member, &hints[1], 100, &offset), 0);
        ap_pool_attach(seg, offset, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
        ap_store_relaxed(&ap_slot_at(seg, slot)->result, offset);
        cr_assert_eq(ap_task_finish(seg, slot, token, 0), 0);
        taken++;
    }
    cr_expect_eq(ap_share_blocks_of(seg, 0, lanes[0].member).held, 12);
    cr_expect_eq(ap_share_blocks_of(seg, 0, lanes[1].member).held, 0);
    cr_expect_eq(blocks_taken(0, 100, &error), 3 + 2, "none of its own class, but what the next two spare");
    cr_expect_eq(error, APIARY_ESHARE);
    cr_expect_eq(ap_pool_take(seg, &lanes[1], &hints[1], 100, &offset), 0, "the worker has taken none for itself");
    for (uint32_t i = 0; i < SLABS * AP_SLAB_SLOTS; i++) {
        uint64_t word = ap_slot_at(seg, i)->word;
        if (ap_task_ended(AP_WORD_STATE(word))) cr_expect_eq(ap_task_release(seg, lanes[0].index, i, word), 1);
    }
    cr_expect_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0, "collected");
}

Test(share, a_look_holds_for_a_part_of_what_was_left)
{
    struct ap_share_hint hint = {0};

    seg->geometry.member_share = 100;
    cr_expect(ap_share_slab(seg, 0, &hint));
    cr_expect_eq(hint.left, 0, "nobody looks");
    seg->geometry.member_share = 75;
    hint = (struct ap_share_hint){.member = 5, .left = 3};
    cr_expect(ap_share_slab(seg, 5, &hint));
    cr_expect_eq(hint.left, 2);
    cr_expect(ap_share_slab(seg, 6, &hint), "what is left is another member's");
    cr_expect_eq(hint.member, 6);
    cr_expect_eq(hint.left, 0, "a sixteenth of twelve");
}
