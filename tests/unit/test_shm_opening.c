/* A lane that is taken by somebody else between the look at it and the lock. */
#include "shm_fixture.h"

#include <linux/futex.h>
#include <string.h>

#include "tests/support/inject.h"

/* What somebody has made of lane 0 by the time of the lock. */
static struct {
    uint64_t life;
    uint32_t kind, word;
} made;

static void somebody(pthread_mutex_t *mutex)
{
    struct ap_lane *l = ap_lane_at(seg, 0);

    if (mutex != &l->mutex) return;
    inject_before_trylock = NULL;
    l->life = made.life;
    l->kind = made.kind;
    *(uint32_t *)ap_robust_word(mutex) = made.word;
}

TestSuite(opening, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define E7(state) AP_LIFE(7, state)

/* Whoever opens a lane then gets the next one, and lane 0 is left with this life. Returns how often the lanes have changed, with
 * the opening. */
static uint32_t open_beside(uint64_t life, uint32_t kind, uint32_t word, uint64_t left)
{
    struct ap_lane *l = ap_lane_at(seg, 0);
    uint32_t changed = seg->header->lanes_changed;
    struct ap_lane_handle h;

    made.life = life;
    made.kind = kind;
    made.word = word;
    inject_before_trylock = somebody;
    cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
    changed = seg->header->lanes_changed - changed;
    cr_expect_null(inject_before_trylock);
    cr_expect_eq(h.index, 1);
    cr_expect_eq(l->life, left, "%llx", (unsigned long long)l->life);
    cr_expect_eq(*ap_robust_word(&l->mutex), 0);
    ap_lane_close(&h);
    cr_expect_eq(ap_robust_trylock(&l->mutex), 0, "its lock is as good as new");
    ap_robust_unlock(&l->mutex);
    l->life = AP_LIFE(0, AP_LIFE_FREE);
    return changed;
}

Test(opening, somebody_opened_it_and_died)
{
    cr_expect_eq(open_beside(E7(AP_LIFE_LIVE), AP_LANE_THREAD, FUTEX_OWNER_DIED, E7(AP_LIFE_DEAD)), 2, "its death is written down");
}

Test(opening, its_image_had_gone)
{
    cr_expect_eq(open_beside(E7(AP_LIFE_JUDGED), AP_LANE_THREAD, FUTEX_OWNER_DIED, E7(AP_LIFE_DEAD)), 2);
    cr_expect_eq(open_beside(E7(AP_LIFE_JUDGED), AP_LANE_SHARED, FUTEX_OWNER_DIED, E7(AP_LIFE_DEAD)), 2);
}

Test(opening, another_opener_died_with_the_lock_of_a_shared_lane)
{
    cr_expect_eq(open_beside(E7(AP_LIFE_LIVE), AP_LANE_SHARED, FUTEX_OWNER_DIED, E7(AP_LIFE_LIVE)), 2, "it lives");
}

Test(opening, it_was_shared_meanwhile)
{
    cr_expect_eq(open_beside(E7(AP_LIFE_LIVE), AP_LANE_SHARED, 0, E7(AP_LIFE_LIVE)), 1);
}

Test(opening, it_is_to_be_recovered)
{
    cr_expect_eq(open_beside(E7(AP_LIFE_DEAD), AP_LANE_THREAD, 0, E7(AP_LIFE_DEAD)), 2, "a reaper may have met the lock");
    cr_expect_eq(open_beside(E7(AP_LIFE_DEAD), AP_LANE_THREAD, FUTEX_OWNER_DIED, E7(AP_LIFE_DEAD)), 2);
}

/* It is free all the same, or again. */
Test(opening, it_was_opened_and_closed)
{
    static const uint32_t words[] = {0, FUTEX_OWNER_DIED};

    for (int i = 0; i < 2; i++) {
        struct ap_lane_handle h;

        made.life = E7(AP_LIFE_FREE);
        made.kind = AP_LANE_THREAD;
        made.word = words[i];
        inject_before_trylock = somebody;
        cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
        cr_expect(h.index == 0 && h.epoch == 7 && h.lane->life == E7(AP_LIFE_LIVE));
        ap_lane_close(&h);
        cr_expect_eq(*ap_robust_word(&ap_lane_at(seg, 0)->mutex), 0);
        cr_expect_eq(ap_robust_trylock(&ap_lane_at(seg, 0)->mutex), 0);
        ap_robust_unlock(&ap_lane_at(seg, 0)->mutex);
    }
}

/* ---- a FREE lane whose lock somebody has ------------------------------------------------------------------------ */

static struct ap_ops ops;
static unsigned yields, let_go_after;

static void holder_goes_on(void)
{
    yields++;
    if (yields == let_go_after) *(uint32_t *)ap_robust_word(&ap_lane_at(seg, 0)->mutex) = 0;
}

/* All other lanes are in use, and a reaper that has just freed lane 0 unlocks it after so many turns of the others; 0: never. */
static int open_last(unsigned after)
{
    struct ap_lane_handle h;
    int r;

    yields = 0;
    let_go_after = after;
    *(uint32_t *)ap_robust_word(&ap_lane_at(seg, 0)->mutex) = 999;
    r = ap_lane_open(seg, 0, &h);
    *(uint32_t *)ap_robust_word(&ap_lane_at(seg, 0)->mutex) = r == 0 ? *ap_robust_word(&h.lane->mutex) : 0;
    if (r == 0) ap_lane_close(&h);
    return r;
}

Test(opening, the_last_free_lane_is_about_to_be_unlocked)
{
    struct ap_lane_handle all[16];

    for (uint32_t i = 0; i < 16; i++) cr_assert_eq(ap_lane_open(seg, 0, &all[i]), 0);
    ops = ap_ops_system;
    ops.yield = holder_goes_on;
    seg->ops = &ops;
    cr_expect_eq(open_last(0), APIARY_ENOLANE, "all are in use");
    cr_expect_eq(yields, 0, "and nobody is waited for");
    ap_lane_close(&all[0]);
    cr_expect_eq(open_last(1), 0);
    cr_expect_eq(open_last(AP_SEARCHES - 1), 0);
    cr_expect_eq(open_last(0), APIARY_ENOLANE, "a holder that is stopped is not waited for");
    cr_expect_eq(yields, AP_SEARCHES);
    seg->ops = &ap_ops_system;
}

/* ---- a taker with the thread id of the dead one ----------------------------------------------------------------- */

static uint64_t judge_seen;

static void look_at_judge(pthread_mutex_t *mutex)
{
    if (mutex == &ap_lane_at(seg, 0)->mutex) judge_seen = ap_lane_at(seg, 0)->judge;
}

/* Opens lane 0, or goes on to the next one. */
static uint32_t open_as(uint32_t tid, uint64_t judge)
{
    struct ap_lane *l = ap_lane_at(seg, 0);
    struct ap_lane_handle h;
    uint32_t index;

    l->tid = tid;
    l->judge = judge;
    judge_seen = 777;
    inject_before_trylock = look_at_judge;
    cr_assert_eq(ap_lane_open(seg, 0, &h), 0);
    inject_before_trylock = NULL;
    index = h.index;
    ap_lane_close(&h);
    return index;
}

Test(opening, who_has_the_id_of_the_dead_keeps_judges_away)
{
    const uint32_t own = ap_thread_id();
    const uint64_t nobodys = 999; /* it was never given out, so it is like one that has gone */
    struct ap_segment *other = fixture_again();

    cr_expect_eq(open_as(own + 1, 0), 0);
    cr_expect_eq(judge_seen, 0, "its id is another's");
    cr_expect_eq(open_as(own, 0), 0);
    cr_expect_eq(judge_seen, seg->image);
    cr_expect_eq(ap_lane_at(seg, 0)->judge, 0, "and has given the right back");
    cr_expect_eq(open_as(own, nobodys), 0);
    cr_expect_eq(judge_seen, seg->image, "that of a judge who was killed is taken over");
    cr_expect_eq(open_as(own, other->image), 1, "a judge is at it");
    cr_expect_eq(judge_seen, 777);
    cr_expect_eq(ap_lane_at(seg, 0)->judge, other->image);
    cr_expect_eq(open_as(own + 1, other->image), 0);
    ap_segment_unmap(other);
}

/* ---- how often a table is searched ------------------------------------------------------------------------------ */

Test(opening, a_search_is_made_again_where_something_came_or_went)
{
    static const uint64_t lives[] = {5, 5, 6, 6};
    struct ap_search s = {0}, busy = {0}, restless = {0};
    uint32_t n = 0;

    cr_expect(ap_search_again(&s, lives[0]));
    cr_expect_not(ap_search_again(&s, lives[1]), "it is full");
    s = (struct ap_search){0};
    cr_expect(ap_search_again(&s, lives[0]));
    cr_expect(ap_search_again(&s, lives[2]));
    cr_expect_not(ap_search_again(&s, lives[3]), "by the second look");
    cr_expect(ap_search_again(&busy, 5));
    ap_search_anew(&busy, &ap_ops_system);
    cr_expect(ap_search_again(&busy, 5));
    cr_expect_not(ap_search_again(&busy, 5), "said once");
    while (ap_search_again(&restless, n)) n++;
    cr_expect_eq(n, AP_SEARCHES);
}
