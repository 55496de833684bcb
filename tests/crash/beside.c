/* tests/crash/beside.c - two at a dead lane: one who has its lock, and is stopped, and one who helps; two judges of its image. The
 * sides of pairs.c. */
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

/* And its reaper died after its first step. */
void image_marked_worker(void)
{
    struct ap_lane *lane;

    image_dead_worker();
    lane = ap_lane_at(survivor.seg, AP_WORD_OWNER(word_of(actor.slot)));
    ap_store_relaxed(&lane->life, AP_LIFE(AP_LIFE_EPOCH(lane->life), AP_LIFE_DEAD));
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

/* ---- two judges ----------------------------------------------------------------------------------------------- */

/* As a thread of this id has it, which is none of this process: it is in no list here. 0: nobody. */
static void lock_held_by(struct ap_lane *lane, uint32_t tid)
{
    ap_store_relaxed(&lane->mutex.__data.__owner, (int)tid);
    ap_store_relaxed((uint32_t *)ap_robust_word(&lane->mutex), tid);
}

/* The worker's process called exec in another thread: nobody has marked its lock. Its thread's id is the survivor's, as it can be
 * in another pid namespace. */
void image_unmarked_worker(void)
{
    image_dead_worker();
    for (uint32_t i = 0; i < survivor.seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(survivor.seg, i);

        if (!ap_lane_dead(survivor.seg, i)) continue;
        ap_store_relaxed(&lane->tid, ap_thread_id());
        lock_held_by(lane, ap_thread_id());
    }
    survivor.count = AP_WORD_OWNER(word_of(actor.slot));
}

/* By its lane, which the dead one's task names: it may have been recovered by now. */
void run_judge(void)
{
    ap_image_judge(actor.seg, survivor.count);
}

/* The other judge is first, the lane is recovered, and the next thread has it. */
void other_judge_and_join(void)
{
    ap_image_judge(survivor.seg, survivor.count);
    ap_reap_lane(survivor.seg, survivor.lane.index, survivor.count, world_hooks);
    if (ap_lane_open(survivor.seg, survivor.lane.member, &survivor.second) < 0) exit(2);
    ap_robust_unlock(&survivor.second.lane->mutex);
    lock_held_by(survivor.second.lane, ap_thread_id());
}

void before_judged(bool over)
{
    struct ap_lane_handle *h = &survivor.second;

    (void)over;
    if (h->lane == NULL) return;
    if (!ap_lane_lives(h->lane)) fail("a living thread's lane was given up");
    lock_held_by(h->lane, 0);
    ap_lane_close_shared(h);
}

/* Somebody has judged that one and opened its lock. */
void image_opened_worker(void)
{
    image_unmarked_worker();
    ap_image_judge(survivor.seg, survivor.count);
}

/* By a thread of the same id as the dead one. */
void run_take(void)
{
    ap_reap_lane(actor.seg, actor.lane.index, survivor.count, world_hooks);
}

/* Another judge, who comes while somebody takes the lock, leaves it to him. */
void other_judge(void)
{
    struct ap_lane *lane = ap_lane_at(survivor.seg, survivor.count);
    uint32_t *word = (uint32_t *)ap_robust_word(&lane->mutex), was = ap_load_acquire(word);

    ap_image_judge(survivor.seg, survivor.count);
    if (ap_load_acquire(word) == was) return;
    fail("a judge has opened the lock of a living thread");
    ap_store_relaxed(word, was);
}

void after_judged(bool over)
{
    uint64_t life = ap_load_acquire(&ap_lane_at(survivor.seg, survivor.count)->life);

    after_task(over);
    if (AP_LIFE_STATE(life) != AP_LIFE_FREE) fail("the lane of the dead is %llx", (unsigned long long)life);
}
