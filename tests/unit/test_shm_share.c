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
    ap_share_forget(seg, lanes[0].member); /* it was refused a moment ago */
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
        ap_store_relaxed(&ap_slot_at(seg, slot)->client, (uint16_t)lanes[0].index);
        ap_store_relaxed(&ap_slot_at(seg, slot)->queued, seg->ops->now());
        ref = ap_task_publish(seg, slot, 0);
        cr_assert_eq(ap_task_claim(seg, lanes[1].index, 0, ref, &token), 1);
        cr_assert_eq(ap_pool_take_for(seg, &lanes[1], lanes[0].member, AP_POOL_PASSING, &hints[1], 100, &offset), 0);
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

/* ---- grants ---------------------------------------------------------------------------------------------------- */

#define MANY 1024u
#define LANES 48 /* of one thread, as many locks as the thread sanitizer follows */
#define LEFT(who, kind) ((uint32_t)ap_member_at(seg, lanes[who].member)->grants[kind])
#define LOOKED(who, kind) (ap_member_at(seg, lanes[who].member)->grants[kind] >> 32 & 0x7fffffff)

static uint64_t clock_now = UINT64_C(1) << 40;

static uint64_t test_now(void)
{
    return clock_now;
}

static struct ap_ops test_ops;

/* As many blocks as looks are worth avoiding for, and a clock that stands still. */
static void many_blocks(void)
{
    struct ap_segment_options o = {.name = seg_name};
    char message[256] = "";

    teardown();
    o.geometry = (struct ap_geometry){.members = 8, .lanes = 80, .tasks = 256, .queues = 4, .queue_depth = 8, .queue_inlets = 2,
                                      .pool_blocks = {MANY}, .events = 64};
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
    test_ops = *seg->ops;
    test_ops.now = test_now;
    seg->ops = &test_ops;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ap_member_open(seg, "share", NULL, APIARY_CLIENT, &lanes[i]), 0);
        ap_slabs_init(&slabs[i], &lanes[i]);
        memset(&hints[i], 0, sizeof hints[i]);
    }
}

Test(share, a_look_grants_a_part_of_what_may_be_taken)
{
    uint64_t offset;
    int error;

    many_blocks();
    cr_assert_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
    cr_expect_eq(LEFT(0, 1), MANY * 3 / 4 / 16 - 1);
    cr_expect_eq(blocks_taken(0, 100, &error), MANY * 3 / 4 - 1, "to the last one");
    cr_expect_eq(error, APIARY_ESHARE);
}

/* A worker's callers: each has its own grant, which no other's takes away. */
Test(share, callers_that_take_turns_are_not_looked_at_each_time)
{
    uint64_t offset;

    many_blocks();
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(ap_pool_take_for(seg, &lanes[2], lanes[i % 2].member, AP_POOL_PASSING, &hints[2], 100, &offset), 0);
        clock_now += UINT64_C(1) << 20;
    }
    cr_expect_eq(LEFT(0, 1), MANY * 3 / 4 / 16 - 10);
    cr_expect_eq(LEFT(1, 1), (MANY * 3 / 4 - 1) / 16 - 10, "one was taken when it came");
    cr_expect_eq(LEFT(2, 1), 0, "the worker takes none for itself");
}

Test(share, many_lanes_have_one_share)
{
    struct ap_lane_handle many[LANES];
    struct ap_slabs more[LANES];
    struct ap_pool_hint hint[LANES];
    uint64_t offset;
    uint32_t n = 0;

    many_blocks();
    memset(hint, 0, sizeof hint);
    for (int i = 0; i < LANES; i++) cr_assert_eq(ap_lane_open(seg, lanes[0].member, &many[i]), 0);
    for (uint32_t i = 0; i < 2 * MANY; i++) n += ap_pool_take(seg, &many[i % LANES], &hint[i % LANES], 100, &offset) == 0;
    cr_expect_eq(n, MANY * 3 / 4);
    for (int i = 0; i < LANES; i++) {
        uint32_t slot;

        ap_slabs_init(&more[i], &many[i]);
        cr_expect_eq(ap_task_reserve(&more[i], NULL, NULL, &slot), i < 3 ? 0 : APIARY_ESHARE, "lane %d", i);
    }
    for (int i = 0; i < LANES; i++) ap_slabs_release(&more[i]);
}

/* At the bound, taking and giving back in turn. */
Test(share, what_is_given_back_may_be_taken_without_a_look)
{
    uint64_t offset, looked;
    int error;

    many_blocks();
    cr_assert_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
    blocks_taken(0, 100, &error);
    cr_assert_eq(ap_pool_free_owned(seg, &lanes[0], offset), 1); /* after a refusal there is a look */
    cr_assert_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
    looked = LOOKED(0, 1);
    for (int i = 0; i < 8; i++) {
        clock_now += UINT64_C(1) << 20;
        cr_assert_eq(ap_pool_free_owned(seg, &lanes[0], offset), 1);
        cr_assert_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
    }
    cr_expect_eq(LOOKED(0, 1), looked);
    cr_expect_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), APIARY_ESHARE);
}

/* The grant of who gives something back: it is as much as may be taken without a look, and no more than the look has found. */
Test(share, what_is_given_back_counts_where_the_look_is_fresh_and_used_up)
{
    uint64_t *grant, offset, was;
    const uint64_t unit = UINT64_C(1) << 20;

    many_blocks();
    grant = &ap_member_at(seg, lanes[0].member)->grants[1];
    ap_share_block_back(seg, 0, lanes[0].member);
    cr_expect_eq(*grant, 0, "there was no look");
    cr_assert_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
    was = *grant;
    ap_share_block_back(seg, 0, lanes[0].member);
    cr_expect_eq(*grant, was, "some may be taken as it is");
    *grant = was & ~(uint64_t)UINT32_MAX;
    clock_now += 8 * unit;
    ap_share_block_back(seg, 0, lanes[0].member);
    cr_expect_eq(LEFT(0, 1), 1, "as old as it may be");
    *grant = was & ~(uint64_t)UINT32_MAX;
    clock_now += unit;
    ap_share_block_back(seg, 0, lanes[0].member);
    cr_expect_eq(LEFT(0, 1), 0, "older");
    *grant = (was & ~(uint64_t)UINT32_MAX) | (uint64_t)1 << 63;
    clock_now -= unit;
    ap_share_block_back(seg, 0, lanes[0].member);
    cr_expect_eq(*grant, 0, "who was refused looks again");
    ap_share_block_back(seg, 0, AP_SHARE_NOBODY);
    cr_expect_eq(seg->header->kept_grants[1], 0);
}

/* Of 1,024 it has 768. Another comes, and then it may hold so many only as are three quarters of the rest: it comes down. */
Test(share, who_is_above_its_share_by_now_is_looked_at_again)
{
    uint64_t offset, first, given = 0;
    uint32_t most = MANY;
    int error;

    many_blocks();
    first = seg->sections[AP_SECTION_POOL].offset;
    blocks_taken(0, 100, &error);
    cr_assert_gt(blocks_taken(1, 100, &error), 180);
    for (int i = 0; i < 2000; i++) { /* it goes on working: each block that it gives back it wants again */
        clock_now += UINT64_C(1) << 18;
        given += (uint64_t)ap_pool_free_owned(seg, &lanes[0], first + 256 * (uint64_t)(i % 768));
        if (ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset) == APIARY_ESHARE)
            most = ap_share_blocks_of(seg, 0, lanes[0].member).held;
    }
    cr_expect_gt(given, 100);
    cr_expect_lt(most, 640, "%u", most);
}

Test(share, a_refusal_holds_for_a_millisecond)
{
    uint64_t offset, other = 0;
    int error;

    many_blocks();
    while (ap_pool_take(seg, &lanes[1], &hints[1], 100, &offset) == 0) other = offset;
    blocks_taken(0, 100, &error);
    cr_assert_eq(error, APIARY_ESHARE);
    for (int i = 0; i < 4; i++) cr_assert_eq(ap_pool_free_owned(seg, &lanes[1], other - 256 * (uint64_t)i), 1);
    cr_expect_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), APIARY_ESHARE, "nobody looks");
    ap_share_forget(seg, lanes[0].member);
    cr_expect_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0, "unless something was freed for it");
    blocks_taken(0, 100, &error);
    for (int i = 4; i < 8; i++) cr_assert_eq(ap_pool_free_owned(seg, &lanes[1], other - 256 * (uint64_t)i), 1);
    clock_now += UINT64_C(1) << 20;
    cr_expect_eq(ap_pool_take(seg, &lanes[0], &hints[0], 100, &offset), 0);
}

Test(share, who_comes_next_has_nothing_of_a_members_grant)
{
    uint64_t offset;
    uint32_t member;

    many_blocks();
    member = lanes[2].member;
    cr_assert_eq(ap_pool_take(seg, &lanes[2], &hints[2], 100, &offset), 0);
    cr_assert_gt(LEFT(2, 1), 0);
    ap_member_close(seg, member, lanes[2].index);
    ap_lane_close(&lanes[2]);
    cr_assert_eq(ap_member_open(seg, "next", NULL, APIARY_CLIENT, &lanes[2]), 0);
    cr_assert_eq(lanes[2].member, member);
    cr_expect_eq(ap_member_at(seg, member)->grants[1], 0);
}

/* Who came at the very time at which a task was queued has delegated it; who came later has another's lane. */
Test(share, a_task_is_its_callers_since_that_came)
{
    struct ap_lane *lane;
    struct ap_slot *at;
    uint32_t slot;

    many_blocks();
    lane = ap_lane_at(seg, lanes[0].index);
    cr_assert_eq(ap_task_reserve(&slabs[0], NULL, NULL, &slot), 0);
    at = ap_slot_at(seg, slot);
    ap_store_relaxed(&at->queued, clock_now);
    ap_store_relaxed(&lane->joined, clock_now);
    cr_expect_eq(ap_share_holder(seg, at), lanes[0].member);
    ap_store_relaxed(&lane->joined, clock_now + 1);
    cr_expect_eq(ap_share_holder(seg, at), AP_SHARE_NOBODY);
    ap_store_relaxed(&lane->joined, clock_now - 1);
    cr_expect_eq(ap_share_holder(seg, at), lanes[0].member);
}

/* Not the first of the table, but who holds the most; what nobody holds is nobody's most. */
Test(share, who_holds_the_most)
{
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, 0), offset;
    struct ap_share s;
    uint32_t member, slot;

    words[0] = words[1] = AP_BLOCK(AP_BLOCK_REQUEST, seg->geometry.tasks, 1);
    cr_expect_not(ap_share_blocks_most(seg, 0, &member, &s));
    cr_expect_eq(s.held, 0);
    cr_expect_eq(s.free, BLOCKS - 2);
    cr_assert_eq(ap_pool_take(seg, &lanes[2], &hints[2], 100, &offset), 0);
    cr_expect(ap_share_blocks_most(seg, 0, &member, &s));
    cr_expect(member == lanes[2].member && s.held == 1 && s.free == BLOCKS - 3, "%u holds %u, %u free", member, s.held, s.free);
    cr_assert_eq(ap_pool_take(seg, &lanes[1], &hints[1], 100, &offset), 0);
    cr_expect(ap_share_blocks_most(seg, 0, &member, &s));
    cr_expect_eq(member, lanes[1].member, "of those that hold as many the first");
    words[0] = words[1] = AP_BLOCK(AP_BLOCK_FREE, 0, 0);
    cr_assert_eq(ap_task_reserve(&slabs[0], NULL, NULL, &slot), 0);
    for (uint32_t i = 0; i <= AP_SLAB_SLOTS; i++) cr_assert_eq(ap_task_reserve(&slabs[1], NULL, NULL, &slot), 0);
    cr_expect(ap_share_slabs_most(seg, &member, &s));
    cr_expect(member == lanes[1].member && s.held == 2 && s.free == SLABS - 3, "%u holds %u, %u free", member, s.held, s.free);
}

/* A slab that goes back ends a refusal: whoever was refused looks again at once. */
Test(share, a_slab_that_is_given_back_ends_a_refusal)
{
    uint64_t *grant = &ap_member_at(seg, lanes[0].member)->grants[0];
    int error;

    test_ops = *seg->ops;
    test_ops.now = test_now;
    seg->ops = &test_ops;
    tasks_taken(0, &error);
    cr_assert_eq(error, APIARY_ESHARE);
    cr_assert_eq(*grant >> 63, 1);
    ap_slabs_release(&slabs[0]);
    cr_expect_eq(*grant, 0);
    ap_slabs_init(&slabs[0], &lanes[0]);
}

/* What is nobody's has no bound, and is not counted among the results that are kept. */
Test(share, nobody_has_no_share)
{
    many_blocks();
    for (int i = 0; i < 5; i++) {
        cr_expect(ap_share_slab(seg, AP_SHARE_NOBODY));
        cr_expect(ap_share_block(seg, 0, 0, AP_SHARE_NOBODY));
    }
    ap_share_slab_back(seg, AP_SHARE_NOBODY);
    ap_share_block_back(seg, 0, AP_SHARE_NOBODY);
    for (uint32_t i = 0; i < 2; i++) cr_expect_eq(seg->header->kept_grants[i], 0);
    seg->geometry.member_share = 100;
    cr_expect(ap_share_block(seg, 0, 0, lanes[0].member));
    cr_expect_eq(LEFT(0, 1), 0, "with a hundred percent nothing is counted");
}

/* A word that names no slot is nobody's, and counts as taken. */
Test(share, a_block_of_a_slot_that_there_is_not)
{
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, 0);
    struct ap_share before = ap_share_blocks_of(seg, 0, lanes[0].member), after;

    words[0] = AP_BLOCK(AP_BLOCK_REQUEST, seg->geometry.tasks, 1);
    after = ap_share_blocks_of(seg, 0, lanes[0].member);
    cr_expect_eq(after.free, before.free - 1);
    cr_expect_eq(after.held, before.held);
    words[0] = AP_BLOCK(AP_BLOCK_FREE, 0, 0);
}

/* ---- members that have left ------------------------------------------------------------------------------------ */

Test(share, what_a_member_leaves_behind_is_no_other_members)
{
    struct ap_slot *slot;
    uint32_t index, member = lanes[2].member;
    uint64_t name = ap_share_name(seg, member);

    cr_assert_eq(ap_task_reserve(&slabs[2], NULL, NULL, &index), 0);
    slot = ap_slot_at(seg, index);
    ap_store_relaxed(&slot->client, (uint16_t)lanes[2].index);
    ap_store_relaxed(&slot->queued, seg->ops->now());
    cr_expect_eq(ap_share_holder(seg, slot), member);
    cr_expect_eq(ap_share_named(seg, name), member);
    ap_task_unreserve(&slabs[2], index);
    ap_slabs_release(&slabs[2]);
    ap_member_close(seg, member, lanes[2].index);
    ap_lane_close(&lanes[2]);
    cr_expect_eq(ap_share_holder(seg, slot), AP_SHARE_NOBODY);
    cr_expect_eq(ap_share_named(seg, name), AP_SHARE_NOBODY);
    cr_assert_eq(ap_member_open(seg, "next", NULL, APIARY_CLIENT, &lanes[2]), 0);
    cr_assert_eq(lanes[2].member, member);
    cr_expect_eq(ap_share_holder(seg, slot), AP_SHARE_NOBODY, "its lane was opened later");
    cr_expect_eq(ap_share_named(seg, name), AP_SHARE_NOBODY);
    cr_expect_eq(ap_share_named(seg, ap_share_name(seg, member)), member);
    cr_expect_eq(ap_share_name(seg, 8), UINT64_MAX);
    cr_expect_eq(ap_share_named(seg, UINT64_MAX), AP_SHARE_NOBODY);
    ap_store_relaxed(&slot->client, 999);
    cr_expect_eq(ap_share_holder(seg, slot), AP_SHARE_NOBODY, "no such lane");
}

/* Never all of a class, and none of a class of one block. */
Test(share, what_is_kept_leaves_blocks_of_each_class)
{
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, 0);
    uint32_t last = AP_POOL_CLASSES - 1;

    for (uint32_t n = 0; n <= 5; n++) {
        seg->geometry.pool_blocks[last] = n;
        seg->geometry.kept_share = 50;
        cr_expect_eq(ap_share_kept_most(seg, last), n / 2);
        seg->geometry.kept_share = 99;
        cr_expect(n == 0 || ap_share_kept_most(seg, last) < n, "%u", n);
        seg->geometry.kept_share = 100;
        cr_expect_eq(ap_share_kept_most(seg, last), n);
    }
    seg->geometry.kept_share = 50;
    cr_assert_eq(seg->geometry.pool_blocks[0], BLOCKS);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        words[i] = AP_BLOCK(AP_BLOCK_KEPT, 1, 1);
        cr_expect_eq(ap_share_kept_fits(seg, 0), i < BLOCKS / 2, "%u", i);
        cr_expect_eq(ap_share_kept_room(seg, 0), i + 1 < BLOCKS / 2, "%u", i);
    }
    seg->geometry.kept_share = 100;
    cr_expect(ap_share_kept_fits(seg, 0));
    seg->geometry.kept_share = 50;
    for (uint32_t i = 0; i < BLOCKS / 2; i++) words[i] = AP_BLOCK(AP_BLOCK_REQUEST, 1, 1);
    cr_expect(ap_share_kept_fits(seg, 0));
    for (uint32_t i = 0; i < BLOCKS; i++) words[i] = 0;
}

Test(share, results_that_are_kept_have_one_share)
{
    uint64_t offset;
    uint32_t n = 0;

    while (ap_pool_take_for(seg, &lanes[0], AP_SHARE_NOBODY, AP_POOL_PASSING, &hints[0], 100, &offset) == 0) n++;
    cr_expect_eq(n, BLOCKS + 3 + 2, "who has left is not asked");
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t *word = ap_at(seg, AP_SECTION_BLOCKS, i);
        *word = i < 8 ? AP_BLOCK(AP_BLOCK_KEPT, 1, 1) : 0;
    }
    cr_expect_eq(ap_share_blocks_of(seg, 0, AP_SHARE_KEPT).held, 8);
    cr_expect_eq(ap_share_blocks_of(seg, 0, AP_SHARE_NOBODY).held, 8, "without a registry nobody says whose they are");
    cr_expect_eq(ap_share_slabs_of(seg, AP_SHARE_KEPT).held, 0);
    cr_expect_not(ap_share_block(seg, 0, 0, AP_SHARE_KEPT));
    cr_expect_eq(ap_pool_take_for(seg, &lanes[1], lanes[1].member, AP_POOL_VALUE, &hints[1], 200, &offset), APIARY_ESHARE);
    cr_expect_eq(ap_pool_take_for(seg, &lanes[1], lanes[1].member, AP_POOL_PASSING, &hints[1], 200, &offset), 0);
    *(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, 0) = 0;
    ap_share_block_back(seg, 0, AP_SHARE_KEPT);
    cr_expect_eq(ap_pool_take_for(seg, &lanes[1], lanes[1].member, AP_POOL_VALUE, &hints[1], 200, &offset), 0);
}
