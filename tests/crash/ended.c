/* tests/crash/ended.c - what ended threads and forgetful callers have left: lanes are taken over, results given up. */
#include "sweep.h"

#include <linux/futex.h>

#include "shm/uncollected.h"

/* A lane that another thread of the actor's process has left. */
void prepare_left(void)
{
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) < 0) abort();
    ap_lane_share(&actor.second);
    ap_store_relaxed(&actor.second.lane->tid, 1);
}

void run_leave(void)
{
    if (ap_lane_open(actor.seg, actor.lane.member, &actor.second) < 0) return;
    ap_lane_share(&actor.second);
    ap_lane_close_shared(&actor.second);
}

/* Taken over, and closed at its end: 2 when it was the same life all the time. */
void run_take_over(void)
{
    actor.result = ap_lane_take_over(&actor.second);
    if (actor.result == 0) return;
    actor.result += ap_load_acquire(&actor.second.lane->life) == AP_LIFE(actor.second.epoch, AP_LIFE_LIVE);
    if (actor.result == 2) ap_lane_close(&actor.second);
}

/* Whoever picks, reaps or helps looks at the lane, while it is there. */
void other_lives(void)
{
    const struct ap_lane *lane = ap_lane_at(survivor.seg, actor.second.index);

    survivor.result = AP_LIFE_STATE(ap_load_acquire(&lane->life)) != AP_LIFE_LIVE ||
                      (ap_lane_lives(lane) && ap_reap_held(survivor.seg, actor.second.index) == 0);
    ap_reap_all(survivor.seg, survivor.lane.index, world_hooks);
}

void before_lives(bool over)
{
    if (survivor.result == 0) fail("a lane that changes hands seemed dead");
    if (over && actor.result == 0) fail("a lane that nobody holds was not taken over");
    if (over && actor.result == 1) fail("a lane that changed hands was recovered");
}

#define FIRST_THREAD 1u
#define NEXT_THREAD 2u

/* As ap_lane_take_over by a thread that there is not, so that it need not unlock it. */
static void taken_by(struct ap_lane *lane, uint32_t thread)
{
    ap_store_relaxed((uint32_t *)ap_robust_word(&lane->mutex), thread);
    ap_store_relaxed(&lane->tid, thread);
    ap_store_relaxed(&lane->turns, lane->turns + 1);
    ap_store_release(&lane->kind, AP_LANE_THREAD);
}

void image_handed(void)
{
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0) abort();
    ap_lane_share(&survivor.second);
    taken_by(survivor.second.lane, FIRST_THREAD);
}

/* As after a first look that found them apart: the lock of one thread is seen, and the id of the next. */
void run_lives(void)
{
    actor.result = ap_lane_unheld_lives(ap_lane_at(actor.seg, survivor.second.index));
}

void other_hands_on(void)
{
    taken_by(survivor.second.lane, NEXT_THREAD);
}

void before_handed(bool over)
{
    if (over && actor.result == 0) fail("a lane that changed hands while it was looked at seemed dead");
    locks_change(NEXT_THREAD, FUTEX_OWNER_DIED);
}

/* The survivor's result lies there, long past its deadline. */
void image_uncollected(void)
{
    image_done();
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->queued, 0);
    ap_store_relaxed(&ap_slot_at(survivor.seg, actor.slot)->deadline, 1);
}

void after_uncollected(bool over)
{
    (void)over;
    ap_sweep(survivor.seg, survivor.lane.index, world_hooks);
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_FREE) fail("a result that nobody collects still has its slot");
    if (survivor.seg->header->forgotten > 1) fail("one result was given up more than once");
}
