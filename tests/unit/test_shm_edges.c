/* What queues, pool and recovery do at their edges: who is told, who is looked at again, what is left alone. */
#include "shm_fixture.h"

#include <pthread.h>
#include <string.h>

#include "shm/bell.h"
#include "shm/pool.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void begin(void)
{
    cr_assert_eq(ap_member_open(seg, "edges", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
}

static void setup(void)
{
    fixture_setup();
    begin();
}

static void setup_many(void)
{
    fixture_make(128, 8, 6);
    begin();
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    fixture_teardown();
}

TestSuite(edges, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);
TestSuite(edges_many, .init = setup_many, .fini = teardown, .timeout = TEST_LIMIT);

static uint32_t publish(uint32_t queue, uint64_t deadline, uint64_t *ref)
{
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    ap_store_relaxed(&ap_slot_at(seg, slot)->deadline, deadline);
    *ref = ap_task_publish(seg, slot, queue);
    return slot;
}

static void open_queue(uint32_t queue)
{
    cr_assert_eq(ap_queue_claim(seg, queue, lane.index), 1);
    cr_assert_eq(ap_queue_open(seg, queue, lane.index), 1);
}

static void close_queue(uint32_t queue)
{
    cr_assert_eq(ap_queue_close(seg, queue, ap_load_acquire(&ap_queue_at(seg, queue)->life)), 1);
}

/* ---- who is told ---------------------------------------------------------------------------------------------- */

/* The bit may be of a push whose consumer has gone to sleep since. */
Test(edges, a_sleeper_is_woken_whoever_has_set_the_bit)
{
    uint32_t bell;

    open_queue(1);
    ap_store_relaxed(&ap_queue_at(seg, 1)->summary, 1);
    bell = ap_bell_raise(&lane.lane->bell);
    ap_fence_full();
    ap_queue_signal(seg, 1, 0, ap_load_acquire(&ap_queue_at(seg, 1)->life));
    cr_assert_neq(ap_load_acquire(&lane.lane->bell), bell);
}

Test(edges, the_client_of_a_task_that_the_sweep_fails_is_told)
{
    uint64_t ref;
    uint32_t bell, slot;

    open_queue(1);
    slot = publish(1, 1, &ref);
    bell = ap_bell_raise(&lane.lane->bell);
    ap_sweep(seg, lane.index, NULL);
    cr_assert_eq(state_of(slot), AP_TASK_FAILED);
    cr_assert_eq(ap_word_code(word_of(slot)), APIARY_ETIMEDOUT);
    cr_assert_neq(ap_load_acquire(&lane.lane->bell), bell);
}

static void *push_many(void *arg)
{
    struct ap_producer p = {.opened = 0};
    uint64_t *taken = arg;

    for (uint64_t i = 1; i <= 200000; i++) {
        while (!ap_queue_room(seg, 1, &p, &lane) || ap_queue_push(seg, &p, i) < 0) {}
        ap_fence_full();
        ap_queue_signal(seg, 1, p.index, 0);
        while (ap_load_acquire(taken) < i) ap_pause();
    }
    return NULL;
}

/* A pop clears the bits of many rings that it has found empty; what came meanwhile is found by the next pop. Two threads, so that
 * it comes at any instant. A reference that is lost ends this in the suite's timeout. */
Test(edges_many, what_comes_while_bits_are_cleared_is_popped)
{
    struct ap_consumer c;
    pthread_t thread;
    uint64_t taken = 0, ref;

    open_queue(1);
    ap_consumer_init(&c, seg, 1);
    cr_assert_eq(pthread_create(&thread, NULL, push_many, &taken), 0);
    while (taken < 200000) {
        /* Of clients that have asked and gone. */
        ap_or_acq_rel(&ap_queue_at(seg, 1)->summary, 0x7f);
        for (int looks = 0; looks < 4; looks++) {
            ref = ap_queue_pop(&c);
            if (ref == 0) continue;
            cr_assert_eq(ref, taken + 1);
            ap_store_release(&taken, ref);
        }
        while (ap_load_acquire(&ap_queue_at(seg, 1)->summary) == 0 && taken < 200000) ap_pause();
    }
    pthread_join(thread, NULL);
}

/* ---- what is left alone --------------------------------------------------------------------------------------- */

static uint64_t block_word(uint64_t offset)
{
    uint64_t word = 0;

    cr_assert_eq(ap_pool_block(seg, offset, NULL, &word), 0);
    return word;
}

Test(edges, a_block_of_another_generation_is_not_freed)
{
    struct ap_pool_hint hint = {0};
    uint64_t offset, word;

    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 100, &offset), 0);
    ap_pool_attach(seg, offset, AP_BLOCK_REQUEST, 5, 7);
    word = block_word(offset);
    cr_assert_eq(ap_pool_free_attached(seg, 5, 6, offset), 0);
    cr_assert_eq(ap_pool_free_attached(seg, 4, 7, offset), 0);
    cr_assert_eq(block_word(offset), word);
    cr_assert_eq(ap_pool_free_attached(seg, 5, 7, offset), 1);
    cr_assert_eq(AP_BLOCK_STATE(block_word(offset)), AP_BLOCK_FREE);
}

/* ---- the sweep and the reaper --------------------------------------------------------------------------------- */

Test(edges, a_sweep_frees_leaked_blocks)
{
    struct ap_pool_hint hint = {0};
    uint64_t offset;

    cr_assert_eq(ap_pool_take(seg, &lane, &hint, 100, &offset), 0);
    ap_pool_attach(seg, offset, AP_BLOCK_OWNED, lane.index, lane.epoch + 1);
    ap_sweep(seg, lane.index, NULL);
    cr_assert_eq(AP_BLOCK_STATE(block_word(offset)), AP_BLOCK_FREE);
}

/* The queue that is chosen first closes just then. */
static uint32_t route_to_closing(void *user, struct ap_segment *own, const struct ap_slot *slot)
{
    uint32_t *calls = user;

    (void)slot;
    if ((*calls)++ > 0) return 3;
    ap_queue_close(own, 2, ap_load_acquire(&ap_queue_at(own, 2)->life));
    return 2;
}

Test(edges, a_task_moved_into_a_queue_that_closes_is_moved_on)
{
    uint32_t calls = 0, slot;
    const struct ap_reap_hooks hooks = {.user = &calls, .route = route_to_closing};
    uint64_t ref;

    for (uint32_t q = 1; q <= 3; q++) open_queue(q);
    slot = publish(1, APIARY_FOREVER, &ref);
    close_queue(1);
    ap_sweep(seg, lane.index, &hooks);
    cr_assert_eq(state_of(slot), AP_TASK_QUEUED);
    cr_assert_eq(AP_WORD_OWNER(word_of(slot)), 3);
}

static uint64_t refs[2];
static uint32_t slots[2], dead[2], queued_at_yield, begun_at_yield, yields;
static int dying;

static void claim_and_die(struct ap_segment *own, struct ap_lane_handle *h)
{
    uint64_t token;

    if (!ap_task_claim(own, h->index, 1, refs[dying], &token)) _exit(1);
    ap_store_relaxed(&h->lane->hand[0], refs[dying]);
}

static void yield_looks(void)
{
    if (yields++ > 0) return;
    for (int i = 0; i < 2; i++) {
        queued_at_yield += state_of(slots[i]) == AP_TASK_QUEUED;
        begun_at_yield += AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, dead[i])->life)) == AP_LIFE_DEAD;
    }
}

/* None of what the dead ran waits until all else of another of them is repaired. */
Test(edges, what_the_dead_ran_is_queued_before_anything_else_is_repaired)
{
    struct ap_ops ops = *seg->ops;

    open_queue(1);
    for (dying = 0; dying < 2; dying++) {
        slots[dying] = publish(1, APIARY_FOREVER, &refs[dying]);
        dead[dying] = fixture_die(claim_and_die);
        cr_assert_eq(state_of(slots[dying]), AP_TASK_RUNNING);
    }
    ops.yield = yield_looks;
    seg->ops = &ops;
    cr_assert_eq(ap_reap_all(seg, lane.index, NULL), 2);
    seg->ops = &ap_ops_system;
    cr_assert_gt(yields, 0);
    cr_assert_eq(queued_at_yield, 2);
    cr_assert_eq(begun_at_yield, 2, "neither is repaired yet");
}
