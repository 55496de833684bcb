/* Results that are kept, values of the memory and caches have one bound of each class (KEPT in shm/share.h). */
#include "shm_fixture.h"

#include "shm/pool.h"

#define MANY 1024u

static struct ap_lane_handle lanes[1];
static struct ap_pool_hint hints[1];

static void setup(void)
{
    struct ap_segment_options o = {.name = seg_name};
    char message[256] = "";

    leftovers_clear("apiary-unit");
    snprintf(seg_name, sizeof seg_name, "/apiary-unit-%d", (int)getpid());
    shm_unlink(seg_name);
    o.geometry = (struct ap_geometry){.members = 8, .lanes = 16, .tasks = 16 * AP_SLAB_SLOTS, .queues = 4, .queue_depth = 8,
                                      .queue_inlets = 2, .pool_blocks = {MANY, 4, 2, 1, 1, 1, 1}, .events = 64};
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
    cr_assert_eq(seg->geometry.kept_share, 50);
    cr_assert_eq(ap_member_open(seg, "share", NULL, APIARY_CLIENT, &lanes[0]), 0);
    memset(hints, 0, sizeof hints);
}

static void teardown(void)
{
    ap_lane_close(&lanes[0]);
    fixture_teardown();
}

TestSuite(share_kept, .init = setup, .fini = teardown);

/* Takes blocks of the smallest class for the memory until it is refused, each of which becomes a value: how many. */
static uint32_t values_taken(enum ap_pool_kept kept)
{
    uint64_t offset, end = seg->sections[AP_SECTION_POOL].offset + (uint64_t)MANY * ap_pool_class_size[0];
    uint32_t n = 0;

    while (ap_pool_take_for(seg, &lanes[0], AP_SHARE_NOBODY, kept, &hints[0], 100, &offset) == 0) {
        ap_pool_attach(seg, offset, AP_BLOCK_KEPT, 1, 1);
        n += offset < end;
    }
    return n;
}

/* `count` results are kept in the last blocks; how many find that this is not too much. */
static uint32_t results_kept(uint32_t count)
{
    uint32_t n = 0;

    for (uint32_t i = 1; i <= count; i++) {
        *(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, MANY - i) = AP_BLOCK(AP_BLOCK_KEPT, 1, 1);
        n += ap_share_kept_fits(seg, 0);
    }
    return n;
}

/* What was granted to values before the results came is not taken beside them. */
Test(share_kept, values_and_results_have_one_bound)
{
    uint64_t offset;

    cr_assert_eq(ap_pool_take_for(seg, &lanes[0], AP_SHARE_NOBODY, AP_POOL_VALUE, &hints[0], 100, &offset), 0);
    ap_pool_attach(seg, offset, AP_BLOCK_KEPT, 1, 1);
    cr_expect_gt((uint32_t)seg->header->kept_grants[1], 8, "others are granted with it");
    cr_expect_eq(results_kept(MANY / 2 - 4), MANY / 2 - 4);
    cr_expect_eq((uint32_t)seg->header->kept_grants[1], 3, "as many as are left");
    cr_expect_eq(values_taken(AP_POOL_VALUE), 3);
    cr_expect_eq(ap_share_blocks_of(seg, 0, AP_SHARE_KEPT).held, MANY / 2);
}

Test(share_kept, caches_leave_an_eighth_to_results)
{
    const uint32_t most = MANY / 2, eighth = most / 8;

    cr_expect_eq(values_taken(AP_POOL_CACHED), most - eighth);
    cr_expect_eq(ap_share_blocks_of(seg, 1, AP_SHARE_KEPT).held, 1, "of two");
    cr_expect_eq(ap_share_blocks_of(seg, 2, AP_SHARE_KEPT).held, 1, "of one");
    cr_expect_eq(ap_share_blocks_of(seg, 3, AP_SHARE_KEPT).held, 0, "of a class of one block");
    cr_expect_eq(results_kept(eighth + 1), eighth);
    *(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, MANY - 1) = 0;
    cr_expect_eq(values_taken(AP_POOL_CACHED), 0);
    seg->geometry.kept_share = 100;
    cr_expect_gt(values_taken(AP_POOL_CACHED), 0, "with a hundred percent nothing is asked");
}

/* All pay from what one lane was granted, and no more than a part of what is left. */
Test(share_kept, a_cache_looks_again_after_a_part_of_what_is_left)
{
    cr_expect_eq(ap_share_cache_look(seg, 0), (MANY / 2 - MANY / 16) / 16);
    results_kept(MANY / 2 - MANY / 16 - 2);
    cr_expect_eq(ap_share_cache_look(seg, 0), 2);
    results_kept(MANY / 2 - MANY / 16);
    cr_expect_eq(ap_share_cache_look(seg, 0), 0);
}

static bool odd_row(const struct ap_segment *s, uint32_t row, uint64_t epoch)
{
    (void)s;
    return row % 2 == 1 && epoch == 7;
}

Test(share_kept, others_that_are_kept_are_counted_by_their_rows)
{
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, 0), fifth = seg->sections[AP_SECTION_POOL].offset + 5 * 256;
    uint32_t lower = 9;

    cr_expect_eq(ap_pool_kept_others(seg, fifth, odd_row, &lower), 0);
    cr_expect_eq(lower, 0);
    words[3] = AP_BLOCK(AP_BLOCK_KEPT, 1, 7);
    words[4] = AP_BLOCK(AP_BLOCK_KEPT, 2, 7);
    words[5] = AP_BLOCK(AP_BLOCK_KEPT, 3, 7); /* its own */
    words[6] = AP_BLOCK(AP_BLOCK_KEPT, 5, 7);
    words[7] = AP_BLOCK(AP_BLOCK_REQUEST, 5, 7);
    words[8] = AP_BLOCK(AP_BLOCK_KEPT, 5, 8);
    words[MANY] = AP_BLOCK(AP_BLOCK_KEPT, 5, 7); /* of the next class */
    cr_expect_eq(ap_pool_kept_others(seg, fifth, odd_row, &lower), 2);
    cr_expect_eq(lower, 1);
    cr_expect_eq(ap_pool_kept_others(seg, 1, odd_row, &lower), 0);
    for (uint32_t i = 0; i <= MANY; i++) words[i] = 0;
}
