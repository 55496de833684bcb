/* Results that nobody collects, and lanes of ended threads that are taken over. */
#include "shm/uncollected.h"

#include "shm_fixture.h"

static struct ap_lane_handle lane;
static struct ap_slabs slabs;

static void setup(void)
{
    fixture_setup();
    cr_assert_eq(ap_member_open(seg, "uncollected", NULL, APIARY_CLIENT, &lane), 0);
    ap_slabs_init(&slabs, &lane);
    cr_assert(ap_queue_claim(seg, 0, lane.index) && ap_queue_open(seg, 0, lane.index));
}

static void teardown(void)
{
    ap_slabs_release(&slabs);
    ap_lane_close(&lane);
    fixture_teardown();
}

TestSuite(uncollected, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

#define TTL (UINT64_C(1000000) * seg->geometry.result_ttl)

/* A task that is QUEUED; with `done` it has its result. */
static uint32_t task(uint64_t deadline, bool done)
{
    uint64_t ref, token;
    uint32_t slot;

    cr_assert_eq(ap_task_reserve(&slabs, NULL, NULL, &slot), 0);
    ap_store_relaxed(&ap_slot_at(seg, slot)->deadline, deadline);
    ref = ap_task_publish(seg, slot, 0);
    if (!done) return slot;
    cr_assert_eq(ap_task_claim(seg, lane.index, 0, ref, &token), 1);
    cr_assert_eq(ap_task_finish(seg, slot, token, 0), 0);
    return slot;
}

static uint32_t freed;
static void count_freed(void *user, struct ap_slot *slot)
{
    (void)user, (void)slot;
    freed++;
}

Test(uncollected, given_up_at_its_time_and_not_before)
{
    uint32_t slot = task(1000, true);

    cr_assert_eq(seg->geometry.result_ttl, 500000);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, slot, 999, count_freed), 0);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, slot, 1000, count_freed), 0);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, slot, 1000 + TTL - 1, count_freed), 0);
    cr_expect_eq(AP_WORD_STATE(word_of(slot)), AP_TASK_DONE);
    cr_expect_eq(seg->header->forgotten, 0);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, slot, 1000 + TTL, count_freed), 1);
    cr_expect_eq(AP_WORD_STATE(word_of(slot)), AP_TASK_FREE);
    cr_expect_eq(freed, 1, "its ticket goes back");
    cr_expect_eq(seg->header->forgotten, 1);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, slot, UINT64_MAX - 1, count_freed), 0);
    cr_expect_eq(ap_uncollected_give_up(seg, lane.index, seg->geometry.tasks, UINT64_MAX - 1, count_freed), 0);
}

Test(uncollected, those_that_wait_for_nobody_stay)
{
    uint32_t queued = task(1000, false), forever = task(APIARY_FOREVER, true), abandoned = task(1000, true);

    ap_task_request(seg, abandoned, AP_WORD_GENERATION(word_of(abandoned)), AP_REQUEST_ABANDON);
    cr_expect_eq(ap_uncollected_all(seg, lane.index, UINT64_MAX - 1, count_freed), 0);
    cr_expect_eq(AP_WORD_STATE(word_of(queued)), AP_TASK_QUEUED);
    cr_expect_eq(AP_WORD_STATE(word_of(forever)), AP_TASK_DONE);
    cr_expect_eq(AP_WORD_STATE(word_of(abandoned)), AP_TASK_DONE, "whoever gave it up frees it");
    cr_expect_eq(seg->header->forgotten, 0);
}

Test(uncollected, all_of_the_table)
{
    for (int i = 0; i < 70; i++) task(1000, i % 2 == 0);
    cr_expect_eq(ap_uncollected_all(seg, lane.index, 1000 + TTL, count_freed), 35);
    cr_expect_eq(freed, 35);
    cr_expect_eq(seg->header->forgotten, 35);
    cr_expect_eq(ap_slabs_busy(&slabs), 35);
}

/* ---- lanes that are taken over ---------------------------------------------------------------------------------- */

struct turn {
    struct ap_lane_handle *of;
    int taken;
    bool share;
    uint32_t tid;
};

static void *take(void *user)
{
    struct turn *t = user;

    t->taken = ap_lane_take_over(t->of);
    t->tid = ap_load_relaxed(&t->of->lane->tid);
    if (t->share && t->taken) ap_lane_share(t->of);
    return NULL;
}

static void by_another_thread(struct turn *t)
{
    pthread_t id;

    cr_assert_eq(pthread_create(&id, NULL, take, t), 0);
    pthread_join(id, NULL);
}

static void left(struct ap_lane_handle *ret)
{
    cr_assert_eq(ap_lane_open(seg, lane.member, ret), 0);
    ap_lane_share(ret);
}

Test(uncollected, a_lane_has_one_thread_after_another)
{
    struct ap_lane_handle h;
    struct turn t = {.of = &h, .share = true};
    uint32_t before;

    left(&h);
    before = h.lane->turns;
    for (int i = 0; i < 3; i++) {
        by_another_thread(&t);
        cr_assert_eq(t.taken, 1);
        cr_expect_eq(ap_load_relaxed(&h.lane->kind), AP_LANE_SHARED);
        cr_expect(ap_lane_alive(seg, h.index));
    }
    cr_expect_eq(h.lane->turns, before + 3);
    cr_expect_eq(ap_lane_take_over(&h), 1);
    cr_expect_eq(ap_lane_take_over(&h), 0, "it is a thread's");
    cr_expect_eq(h.lane->kind, AP_LANE_THREAD);
    cr_expect_eq(h.lane->tid, lane.lane->tid);
    cr_expect_eq(AP_LIFE_EPOCH(h.lane->life), h.epoch, "what names the lane still does");
    ap_lane_close(&h);
}

Test(uncollected, the_death_of_who_took_a_lane_over_is_the_lanes)
{
    struct ap_lane_handle h;
    struct turn t = {.of = &h};

    left(&h);
    by_another_thread(&t);
    cr_assert_eq(t.taken, 1);
    cr_expect(ap_lane_dead(seg, h.index), "the thread has ended without a word");
    cr_expect_eq(ap_reap_all(seg, lane.index, NULL), 1);
    cr_expect_eq(ap_lane_take_over(&h), 0, "it is free");
}

Test(uncollected, a_lane_that_somebody_holds_or_has_left_is_not_taken)
{
    struct ap_lane_handle h;
    struct turn t = {.of = &h, .share = true};

    left(&h);
    cr_assert_eq(ap_robust_trylock(&h.lane->mutex), 0, "a reaper has a look");
    by_another_thread(&t);
    cr_expect_eq(t.taken, 0);
    ap_robust_unlock(&h.lane->mutex);
    by_another_thread(&t);
    cr_expect_eq(t.taken, 1);
    h.epoch++;
    by_another_thread(&t);
    cr_expect_eq(t.taken, 0, "another life");
    cr_expect_eq(ap_load_relaxed(ap_robust_word(&h.lane->mutex)), 0, "and let go of again");
    h.epoch--;
    ap_lane_close_shared(&h);
}

/* A joiner or reaper was killed with it. */
static void *hold(void *user)
{
    struct ap_lane_handle *h = user;

    cr_assert_eq(ap_robust_trylock(&h->lane->mutex), 0);
    return NULL;
}

Test(uncollected, a_mark_in_a_shared_lane_is_wiped)
{
    struct ap_lane_handle h;
    pthread_t id;

    left(&h);
    cr_assert_eq(pthread_create(&id, NULL, hold, &h), 0);
    pthread_join(id, NULL);
    cr_expect(ap_lane_alive(seg, h.index), "a mark says nothing of a SHARED lane");
    cr_assert_eq(ap_lane_take_over(&h), 1);
    cr_expect_not(ap_lane_dead(seg, h.index));
    ap_lane_close(&h);
    cr_assert_eq(ap_lane_open(seg, lane.member, &h), 0, "the lock can be had again");
    ap_lane_close(&h);
}

/* ---- a thread that is looked at while it changes hands ------------------------------------------------------------ */

static uint32_t stop;

static void *hand_round(void *user)
{
    struct ap_lane_handle *h = user;

    while (ap_load_relaxed(&stop) == 0) {
        cr_assert_eq(ap_lane_take_over(h), 1);
        ap_lane_share(h);
    }
    return NULL;
}

Test(uncollected, a_lane_that_changes_hands_always_lives)
{
    struct ap_lane_handle h;
    pthread_t id;
    uint64_t dead = 0;

    left(&h);
    cr_assert_eq(pthread_create(&id, NULL, hand_round, &h), 0);
    for (int i = 0; i < 200000; i++) dead += !ap_lane_alive(seg, h.index);
    ap_store_relaxed(&stop, 1);
    pthread_join(id, NULL);
    cr_expect_eq(dead, 0);
    ap_lane_close_shared(&h);
}
