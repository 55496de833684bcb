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

TestSuite(opening, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

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
