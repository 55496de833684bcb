/* tests/crash/beside.c - two at a dead lane: one who has its lock, and is stopped, and one who helps. The sides of pairs.c. */
#include "sweep.h"

static void other_beside(void)
{
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++)
        ap_reap_beside(survivor.seg, survivor.lane.index, i, world_hooks);
}

/* And what waits then runs again, while the reaper is still where it was. */
void other_beside_redeliver(void)
{
    other_beside();
    serve(&survivor, 1, actor.ref, true);
}

void other_beside_drain(void)
{
    other_beside();
    drain(&survivor.consumer);
}

/* The reaper goes on to its end, and the next one to come has the same lane, and takes the queue that the dead one had. */
static void recover_and_join(void)
{
    locks_change(SOMEBODY, FUTEX_OWNER_DIED);
    ap_reap_all(survivor.seg, survivor.lane.index, world_hooks);
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0) return;
    ap_lane_share(&survivor.second);
    if (!ap_queue_claim(survivor.seg, 1, survivor.second.index)) fail("the queue is not to be had");
}

void other_reuse_claimed(void)
{
    recover_and_join();
    survivor.seen = ap_load_acquire(&ap_queue_at(survivor.seg, 1)->life);
}

/* And runs its task. */
void other_reuse(void)
{
    recover_and_join();
    ap_queue_open(survivor.seg, 1, survivor.second.index);
    survivor.seen = ap_load_acquire(&ap_queue_at(survivor.seg, 1)->life);
    ap_task_claim(survivor.seg, survivor.second.index, 1, actor.ref, &survivor.token);
}

/* What the lane's next owner has it keeps. */
void before_reuse_claimed(bool over)
{
    (void)over;
    if (survivor.second.lane == NULL) return;
    if (ap_load_acquire(&ap_queue_at(survivor.seg, 1)->life) != survivor.seen) fail("a living lane's queue was closed");
    ap_queue_close(survivor.seg, 1, survivor.seen);
    ap_lane_close_shared(&survivor.second);
}

void before_reuse(bool over)
{
    if (survivor.second.lane == NULL) return;
    if (word_of(actor.slot) != survivor.token) fail("a task was taken from a living worker");
    else ap_task_finish(survivor.seg, actor.slot, survivor.token, 0);
    before_reuse_claimed(over);
}

/* Its reaper has said that it is dead, and is stopped. */
void image_said_worker(void)
{
    image_marked_worker();
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

static void claim_one(void)
{
    if (!ap_queue_claim(actor.seg, 1, actor.lane.index)) exit(2);
}

void image_held_registrant(void)
{
    die_having(claim_one);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}
