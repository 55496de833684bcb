/* The payload pool: classes, exhaustion, and that every kind of leak is found. */
#include "shm_fixture.h"

#include <string.h>

static struct ap_lane_handle lane;
static struct ap_slabs slabs;
static struct ap_pool_hint hint;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "pool", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(pool, .init = setup, .fini = teardown);

static uint64_t take(uint64_t size)
{
    uint64_t offset = 0;
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, size, &offset), 0);
    return offset;
}

static uint64_t block_word(uint64_t offset)
{
    uint64_t w;
    cr_assert_eq(ap_pool_block(seg, offset, NULL, &w), 0);
    return w;
}

Test(pool, classes_and_exhaustion)
{
    uint64_t offset = 1, capacity;

    cr_assert_eq(ap_pool_max(seg), 1u << 20);
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, (1u << 20) + 1, &offset), APIARY_ETOOLARGE);
    cr_assert_eq(offset, 1);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(ap_pool_block(seg, take(65), &capacity, NULL), 0);
        cr_assert_eq(capacity, 256);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ap_pool_block(seg, take(65), &capacity, NULL), 0);
        cr_assert_eq(capacity, 1024, "the next larger class serves when its own is empty, but for a quarter of it");
    }
    for (int i = 0; i < 2; i++) {
        uint64_t block = take(65);

        cr_assert_eq(ap_pool_block(seg, block, &capacity, NULL), 0);
        cr_assert_eq(capacity, 4096);
        cr_expect(ap_pool_is_of(seg, block, 4));
        cr_expect_not(ap_pool_is_of(seg, block, 3));
    }
    cr_expect_not(ap_pool_is_of(seg, 1, UINT32_MAX), "there begins no block");
    cr_expect_eq(ap_pool_helping(seg, 65), 7, "a second free one of 1,024 would be spared");
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 65, &offset), APIARY_ENOBLOCK);
    cr_assert_eq(offset, 1);
    take(1024);
    cr_expect_eq(ap_pool_helping(seg, 65), 5, "one free one of 1,024 would not");
    cr_expect_eq(ap_pool_helping(seg, 257), 14, "its own size, whatever is free of it, and the next two");
    cr_expect_eq(ap_pool_helping(seg, 4097), 56, "no smaller one");
    cr_expect_eq(ap_pool_helping(seg, 1u << 20), 64);
    cr_expect_eq(ap_pool_helping(seg, (1u << 20) + 1), 0);
    for (unsigned c = 3; c < AP_POOL_CLASSES; c++) take(ap_pool_class_size[c]);
    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 1u << 20, &offset), APIARY_ENOBLOCK);
}

Test(pool, large_blocks_are_aligned_and_inside)
{
    uint64_t offset = take(1u << 20);

    cr_assert_eq(offset % 4096, 0);
    cr_assert_not_null(ap_at_offset(seg, offset, 1u << 20));
    cr_assert_eq(ap_pool_offset(seg, seg->base + offset), offset);
    cr_assert_eq(ap_pool_offset(seg, seg->base + offset + 1), 0);
    cr_assert_eq(ap_pool_offset(seg, &offset), 0);
    cr_assert_eq(ap_pool_block(seg, offset + 64, NULL, NULL), APIARY_ECORRUPT);
    cr_assert_eq(ap_pool_free_owned(seg, &lane, offset), 1);
    cr_assert_eq(ap_pool_free_owned(seg, &lane, offset), 0, "a block is freed once");
}

Test(pool, released_with_its_slot)
{
    uint64_t body = take(100), result = take(100), token;
    uint32_t slot;
    struct ap_slot *s;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    s = ap_slot_at(seg, slot);
    s->body = body;
    ap_pool_attach(seg, body, AP_BLOCK_REQUEST, slot, AP_WORD_GENERATION(s->word));
    cr_assert_eq(ap_task_claim(seg, 1, 0, ap_task_publish(seg, slot, 0), &token), 1);
    s->result = result;
    ap_pool_attach(seg, result, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
    cr_assert_eq(ap_task_finish(seg, slot, token, 0), 0);
    cr_assert_eq(ap_pool_sweep(seg), 0, "nothing of this is a leak");
    cr_assert_eq(ap_task_release(seg, lane.index, slot, word_of(slot)), 1);
    cr_assert_eq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
    cr_assert_eq(AP_BLOCK_STATE(block_word(result)), AP_BLOCK_FREE);
}

Test(pool, a_new_attempts_block_is_not_the_dead_ones)
{
    uint64_t block = take(100), token, old;
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    cr_assert_eq(ap_task_claim(seg, lane.index, 0, ap_task_publish(seg, slot, 0), &token), 1);
    ap_pool_attach(seg, block, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
    old = block_word(block);
    /* As the reaper leaves it for the next worker, which happens to take the same block. */
    token += 1 << 4;
    ap_slot_at(seg, slot)->word = token;
    cr_assert_not(ap_pool_live(seg, old, block), "the dead attempt's");
    ap_pool_attach(seg, block, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
    cr_assert_neq(block_word(block), old, "a sweeper that still holds the old word must not free it");
    cr_assert(ap_pool_live(seg, block_word(block), block));
}

Test(pool, every_leak_is_found)
{
    uint64_t owned = take(100), stale = take(100), unnamed = take(100), token;
    uint32_t slot;

    cr_assert_eq(ap_pool_sweep(seg), 0, "what a living lane owns is no leak");
    /* P3: owned in a former life of the lane. */
    uint64_t *words = ap_at(seg, AP_SECTION_BLOCKS, 0);
    words[0] = AP_BLOCK(AP_BLOCK_OWNED, lane.index, lane.epoch + 1);
    cr_assert_eq(ap_pool_sweep(seg), 1);
    cr_assert_eq(AP_BLOCK_STATE(block_word(owned)), AP_BLOCK_FREE);
    /* P1: of a task that is gone, and of one that does not name it. */
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    ap_pool_attach(seg, stale, AP_BLOCK_REQUEST, slot, AP_WORD_GENERATION(word_of(slot)) - 1);
    ap_pool_attach(seg, unnamed, AP_BLOCK_REQUEST, slot, AP_WORD_GENERATION(word_of(slot)));
    cr_assert_eq(ap_pool_sweep(seg), 1, "one RESERVED slot's block may yet be named");
    cr_assert_eq(ap_task_claim(seg, lane.index, 0, ap_task_publish(seg, slot, 0), &token), 1);
    cr_assert_eq(ap_pool_sweep(seg), 1);
    /* P2: result of an attempt that has ended. */
    ap_pool_attach(seg, unnamed, AP_BLOCK_RESULT_OF(token), slot, AP_WORD_GENERATION(token));
    cr_assert_eq(ap_pool_sweep(seg), 0, "its worker lives and may name it");
    cr_assert_eq(ap_task_finish(seg, slot, token, 0), 0);
    cr_assert_eq(ap_pool_sweep(seg), 1);
}

/* ---- a sweep that is overtaken -------------------------------------------------------------------------------- */

static struct {
    void *page;
    size_t size;
    uint32_t slot;
    uint64_t token;
    struct ap_lane_handle worker;
    int traps;
} overtaken;

/* The sweeper has read the slot's word and is about to read the life of the lane that runs it. */
static void finish_and_close(int signal)
{
    (void)signal;
    mprotect(overtaken.page, overtaken.size, PROT_READ | PROT_WRITE);
    if (overtaken.traps++ > 0) return;
    ap_task_finish(seg, overtaken.slot, overtaken.token, 0);
    ap_lane_close(&overtaken.worker);
}

static bool within(const void *at)
{
    return (uintptr_t)at - (uintptr_t)overtaken.page < overtaken.size;
}

/* The worker names its result, finishes and closes its lane while the sweeper thinks: the result stays. */
Test(pool, a_result_named_meanwhile_is_no_leak)
{
    struct ap_segment *other = fixture_again();
    struct sigaction action = {.sa_handler = finish_and_close}, before;
    uint64_t offset, word, life;

    cr_assert_eq(ap_lane_open(seg, lane.member, &overtaken.worker), 0);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &overtaken.slot), 0);
    word = ap_task_publish(seg, overtaken.slot, 0);
    cr_assert_eq(ap_task_claim(seg, overtaken.worker.index, 0, word, &overtaken.token), 1);
    offset = take(256);
    ap_pool_attach(seg, offset, AP_BLOCK_RESULT_OF(overtaken.token), overtaken.slot, AP_WORD_GENERATION(overtaken.token));
    ap_store_relaxed(&ap_slot_at(seg, overtaken.slot)->result, offset);

    overtaken.size = (size_t)sysconf(_SC_PAGESIZE);
    life = (uint64_t)(uintptr_t)&ap_lane_at(other, overtaken.worker.index)->life;
    overtaken.page = (void *)(uintptr_t)(life & ~(uint64_t)(overtaken.size - 1));
    cr_assert(!within(ap_slot_at(other, overtaken.slot)) && !within(ap_at(other, AP_SECTION_BLOCKS, 0)),
              "the trap would come too early");
    sigaction(SIGSEGV, &action, &before);
    cr_assert_eq(mprotect(overtaken.page, overtaken.size, PROT_NONE), 0);
    cr_expect_eq(ap_pool_sweep(other), 0, "a block that its slot names was freed");
    sigaction(SIGSEGV, &before, NULL);

    cr_assert_eq(overtaken.traps, 1);
    cr_assert_eq(AP_WORD_STATE(word_of(overtaken.slot)), AP_TASK_DONE);
    cr_expect_eq(AP_BLOCK_STATE(block_word(offset)), AP_BLOCK_RESULT);
    cr_assert_eq(ap_task_release(seg, lane.index, overtaken.slot, word_of(overtaken.slot)), 1);
    ap_segment_unmap(other);
}

/* ---- whose a block is ------------------------------------------------------------------------------------------- */

/* There is room exactly where a block would be had, however full the classes are. */
Test(pool, room_is_what_can_be_taken)
{
    const uint64_t sizes[] = {65, 256, 257, 1024, 1025, 4096, 16385, 65536, 262145, 1u << 20, (1u << 20) + 1};
    uint64_t offset;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int n = 0; n < 20; n++) {
            bool room = ap_pool_room(seg, sizes[i]);
            cr_expect_eq(room, ap_pool_take(seg, &lane, &hint, sizes[i], &offset) == 0, "%llu", (unsigned long long)sizes[i]);
        }
    cr_expect_not(ap_pool_room(seg, 65));
}

Test(pool, a_search_begins_behind_the_last_and_goes_round)
{
    uint64_t first = take(100), next = take(100);

    cr_expect_eq(next, first + 256);
    cr_assert_eq(ap_pool_free_owned(seg, &lane, first), 1);
    cr_expect_eq(take(100), next + 256, "not the one that was just freed");
    for (int i = 3; i < 8; i++) cr_expect_eq(take(100), first + 256 * (uint64_t)i);
    cr_expect_eq(hint.next[0], 8);
    for (uint32_t start = 0; start < 8; start++) {
        hint.next[0] = start;
        cr_expect_eq(take(100), first, "the only one that is free, from %u on", start);
        cr_expect_eq(hint.next[0], 1);
        cr_assert_eq(ap_pool_free_owned(seg, &lane, first), 1);
    }
}

Test(pool, a_block_is_passed_by_its_owner_only)
{
    struct ap_lane_handle other;
    uint64_t offset = take(100), word = block_word(offset);

    cr_assert_eq(ap_lane_open(seg, lane.member, &other), 0);
    cr_expect_eq(ap_pool_pass(seg, offset, &other, &lane), 0);
    cr_expect_eq(ap_pool_pass(seg, offset + 64, &lane, &other), 0);
    cr_expect_eq(ap_pool_pass(seg, 0, &lane, &other), 0);
    cr_expect_eq(ap_pool_free_owned(seg, &other, offset), 0);
    cr_expect_eq(ap_pool_free_owned(seg, &lane, offset + 64), 0);
    ap_pool_attach(seg, offset + 64, AP_BLOCK_REQUEST, 1, 1);
    cr_expect_eq(block_word(offset), word);
    cr_expect_eq(ap_pool_pass(seg, offset, &lane, &other), 1);
    cr_expect_eq(block_word(offset), AP_BLOCK(AP_BLOCK_OWNED, other.index, other.epoch));
    cr_expect_eq(ap_pool_free_owned(seg, &lane, offset), 0);
    cr_expect_eq(ap_pool_free_owned(seg, &other, offset), 1);
    ap_lane_close(&other);
}

/* By the number of the block, too. */
Test(pool, every_block_begins_in_one_place)
{
    uint64_t offset = seg->sections[AP_SECTION_POOL].offset, number = 0, capacity;

    cr_expect_eq(ap_pool_number(seg, offset - 1), UINT64_MAX);
    cr_expect_eq(ap_pool_block(seg, offset - 4096, &capacity, NULL), APIARY_ECORRUPT);
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        uint64_t size = ap_pool_class_size[c], n = seg->geometry.pool_blocks[c];

        for (uint64_t i = 0; i < n; i++, number++) {
            cr_expect_eq(ap_pool_number(seg, offset + i * size), number);
            cr_expect_eq(ap_pool_number(seg, offset + i * size + 1), UINT64_MAX);
            cr_expect_eq(ap_pool_block(seg, offset + i * size, &capacity, NULL), 0);
            cr_expect_eq(capacity, size);
            cr_expect_eq(ap_pool_offset(seg, seg->base + offset + i * size), offset + i * size);
        }
        if (n * size % 4096 != 0) cr_expect_eq(ap_pool_number(seg, offset + n * size), UINT64_MAX, "behind the last of %u", c);
        offset += (n * size + 4095) / 4096 * 4096;
    }
    cr_expect_eq(ap_pool_number(seg, offset), UINT64_MAX);
    cr_expect_eq(ap_pool_section_size(&seg->geometry), offset - seg->sections[AP_SECTION_POOL].offset);
}

Test(pool, without_blocks_a_body_lies_in_the_slot)
{
    struct ap_geometry all = seg->geometry;
    uint64_t offset = 7;

    memset(seg->geometry.pool_blocks, 0, sizeof seg->geometry.pool_blocks);
    cr_expect_eq(ap_pool_max(seg), AP_INLINE_BODY);
    cr_expect_eq(ap_pool_take(seg, &lane, &hint, AP_INLINE_BODY + 1, &offset), APIARY_ETOOLARGE);
    cr_expect_eq(ap_pool_take(seg, &lane, &hint, AP_INLINE_BODY, &offset), APIARY_ENOBLOCK);
    cr_expect_eq(offset, 7);
    cr_expect_not(ap_pool_room(seg, 1));
    seg->geometry = all;
}

/* Of a lane that there is not; and a result of an attempt that is over, which the slot of the next one may name still. */
Test(pool, what_nobody_can_have_is_a_leak)
{
    uint64_t offset = take(100), *words = ap_at(seg, AP_SECTION_BLOCKS, 0);
    uint32_t slot;

    words[0] = AP_BLOCK(AP_BLOCK_OWNED, seg->geometry.lanes, 1);
    cr_expect_eq(ap_pool_sweep(seg), 1);
    words[0] = AP_BLOCK(AP_BLOCK_REQUEST, seg->geometry.tasks, 1);
    cr_expect_eq(ap_pool_sweep(seg), 1);
    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    ap_task_publish(seg, slot, 0);
    ap_slot_at(seg, slot)->result = ap_slot_at(seg, slot)->body = offset;
    words[0] = AP_BLOCK(AP_BLOCK_REQUEST, slot, AP_WORD_GENERATION(word_of(slot)));
    cr_expect_eq(ap_pool_sweep(seg), 0, "a queued task has its request");
    words[0] = AP_BLOCK(AP_BLOCK_RESULT, slot, AP_WORD_GENERATION(word_of(slot)));
    cr_expect_eq(ap_pool_sweep(seg), 1, "and no result");
    ap_slot_at(seg, slot)->result = ap_slot_at(seg, slot)->body = 0;
}

/* A row takes over what its task has. Who goes on after a kill takes it over once more, and another row never. */
Test(pool, a_block_is_kept_by_one_row)
{
    uint64_t body = take(100), generation;
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    generation = AP_WORD_GENERATION(word_of(slot));
    cr_expect_eq(ap_pool_keep(seg, body, slot, generation, 3, 7), 0, "it is its lane's still");
    ap_pool_attach(seg, body, AP_BLOCK_REQUEST, slot, generation);
    cr_expect_eq(ap_pool_keep(seg, 0, slot, generation, 3, 7), 0);
    cr_expect_eq(ap_pool_keep(seg, body + 1, slot, generation, 3, 7), 0);
    cr_expect_eq(ap_pool_keep(seg, body, slot + 1, generation, 3, 7), 0);
    cr_expect_eq(ap_pool_keep(seg, body, slot, generation + 1, 3, 7), 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(ap_pool_keep(seg, body, slot, generation, 3, 7), 1, "%d", i);
        cr_expect_eq(block_word(body), AP_BLOCK(AP_BLOCK_KEPT, 3, 7));
    }
    cr_expect_eq(ap_pool_keep(seg, body, slot, generation, 4, 7), 0);
    cr_expect_eq(ap_pool_keep(seg, body, slot, generation, 3, 8), 0);
    cr_expect_eq(ap_pool_free_attached(seg, slot, generation, body), 0, "it is the task's no more");
    cr_expect_eq(ap_pool_free_owned(seg, &lane, body), 0, "nor its lane's");
    cr_expect_eq(block_word(body), AP_BLOCK(AP_BLOCK_KEPT, 3, 7));
    cr_expect_eq(ap_pool_free_kept(seg, body, 4, 7), 0);
    cr_expect_eq(ap_pool_free_kept(seg, body, 3, 8), 0);
    cr_expect_eq(ap_pool_free_kept(seg, body, 3, 7), 1);
    cr_expect_eq(ap_pool_free_kept(seg, body, 3, 7), 0, "once");
    cr_expect_eq(AP_BLOCK_STATE(block_word(body)), AP_BLOCK_FREE);
}

Test(pool, what_a_task_has_stays_its_in_every_class)
{
    uint64_t bodies[AP_POOL_CLASSES];
    uint32_t slot[AP_POOL_CLASSES];

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        bodies[c] = take(ap_pool_class_size[c]);
        cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot[c]), 0);
        ap_slot_body_block(seg, slot[c], AP_WORD_GENERATION(word_of(slot[c])), bodies[c]);
        ap_task_publish(seg, slot[c], 0);
    }
    cr_expect_eq(ap_pool_sweep(seg), 0);
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        cr_expect_eq(AP_BLOCK_STATE(block_word(bodies[c])), AP_BLOCK_REQUEST, "class %u", c);
        ap_slot_at(seg, slot[c])->body = 0;
    }
    cr_expect_eq(ap_pool_sweep(seg), AP_POOL_CLASSES, "they are named no more");
}
