/* shm/reap.c - recovery. See reap.h. */
#include "shm/reap.h"

#include "shm/bell.h"
#include "shm/cost.h"
#include "shm/due.h"
#include "shm/event.h"
#include "shm/finished.h"
#include "shm/follow.h"
#include "shm/image.h"
#include "shm/part.h"
#include "shm/start_by.h"
#include "shm/times.h"
#include "shm/uncollected.h"

struct reaper {
    struct ap_segment *seg;
    uint32_t self, dead;
    const struct ap_reap_hooks *hooks;
    uint64_t beside; /* 0: the dead lane's lock is ours; else the life that it must still have (lane.h) */
};

static ap_slot_freed_fn freed(const struct reaper *r)
{
    return r->hooks != NULL ? r->hooks->freed : NULL;
}

/* ---- one slot ------------------------------------------------------------------------------------------------- */

/* Why a task whose worker has died is not run again; 0: it is. */
static int ends(const struct ap_slot *slot, uint64_t word, bool suspect)
{
    if (ap_task_requested(slot, word, AP_REQUEST_OVERWRITTEN)) return APIARY_ENORESULT;
    if (ap_task_requested(slot, word, AP_REQUEST_ABANDON)) return APIARY_ECRASHED;
    if (suspect) return AP_WORD_CRASHES(word) + 1 >= AP_CRASHES_MAX ? APIARY_ECRASHED : 0;
    return AP_WORD_LOST(word) >= AP_LOST_MAX ? APIARY_ELOST : 0;
}

/* Whether it has had as many starts of that kind as there may be. */
static bool used_up(uint64_t word, bool suspect)
{
    return suspect ? AP_WORD_CRASHES(word) + 1 >= AP_CRASHES_MAX : AP_WORD_LOST(word) >= AP_LOST_MAX;
}

/* Before the word that ends it, so that whoever frees it knows. Two who come to this have seen the same. */
static void mark_cause(const struct reaper *r, uint32_t index, uint64_t word, bool suspect)
{
    uint32_t crash = ap_load_relaxed(&ap_lane_at(r->seg, r->dead)->crash);

    if (used_up(word, suspect)) ap_task_mark(r->seg, index, word, suspect ? ap_dead_by(crash) : AP_DEAD_LOST);
}

/* A task that has crashed its workers too often would do so again as each of its followers. One that its own caller has given up,
 * or that its agent had answered, says nothing of them: they go on. */
static void fail_followers(const struct reaper *r, uint32_t index, uint64_t word, int code, bool suspect)
{
    if (code == APIARY_ENORESULT || !used_up(word, suspect) || r->hooks == NULL || r->hooks->fail == NULL) return;
    r->hooks->fail(r->hooks->user, r->seg, r->self, index, word, code);
}

/* Where it waits when nobody living offers it. The claim stores slot->queue after its compare-and-swap, so a worker killed in
 * between leaves the queue that the task was moved from, which may be another agent's by now; that one would refuse it. */
static uint32_t home(const struct reaper *r, const struct ap_slot *slot)
{
    uint32_t was = ap_load_relaxed(&slot->queue), some = AP_NO_QUEUE;

    if (r->hooks == NULL || r->hooks->offers == NULL) return was;
    if (was < r->seg->geometry.queues && r->hooks->offers(r->hooks->user, r->seg, slot, was)) return was;
    for (uint32_t q = 0; q < r->seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(r->seg, q)->life); /* QUEUE-A4 pairs QUEUE-R4 */

        if (!r->hooks->offers(r->hooks->user, r->seg, slot, q)) continue;
        if (AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && AP_QUEUE_LANE(life) == r->dead) return q;
        if (some == AP_NO_QUEUE) some = q; /* the dead lane's are closed already, or another reaper closed them */
    }
    return some != AP_NO_QUEUE ? some : was;
}

/* A task whose key others share is not queued here: it is nobody's, as it was born, and the step that looks at it finds whether it
 * leads. */
static int unqueue_running(const struct reaper *r, uint32_t index, uint64_t word, bool suspect)
{
    const struct ap_slot *slot = ap_slot_at(r->seg, index);
    uint32_t was = ap_load_relaxed(&slot->queue);
    uint64_t of = ap_event_task(slot, word), now = r->seg->ops->now(), next;
    struct ap_finished record;
    bool told = ap_finished_copy(r->seg, index, word, &record);

    if (!ap_task_unqueue_dead(r->seg, r->dead, index, word, suspect)) return 1;
    ap_times_lost(r->seg, was);
    if (told) ap_finished_enter(r->seg, &record, AP_FINISH_LOST, 0, now, true);
    ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
    ap_due_task(r->seg, r->hooks, r->self, index, now);
    next = ap_load_acquire(&slot->word);
    if (AP_WORD_GENERATION(next) == AP_WORD_GENERATION(word) && AP_WORD_STATE(next) == AP_TASK_QUEUED) was = AP_WORD_OWNER(next);
    ap_event_log_more(r->seg, AP_EVENT_TASK_REQUEUED, r->dead, index, was, of, NULL, 0);
    return 1;
}

/* RUNNING in the dead lane's hands. Returns 1 when the word changed under us. */
static int requeue_running(const struct reaper *r, uint32_t index, uint64_t word)
{
    struct ap_slot *slot = ap_slot_at(r->seg, index);
    uint32_t was = ap_load_relaxed(&slot->queue), to;
    /* The lane's record is of the life that the word is of, or the word has changed since. */
    bool suspect = ap_lane_suspects(ap_lane_at(r->seg, r->dead), AP_REF(index, AP_WORD_GENERATION(word)), was);
    int code = ends(slot, word, suspect);
    uint64_t of = ap_event_task(slot, word); /* while the slot is its */
    bool coalesced = ap_coalesced(slot, word);
    struct ap_finished record;
    bool told = ap_finished_copy(r->seg, index, word, &record);

    if (code != 0) {
        mark_cause(r, index, word, suspect);
        if (coalesced) fail_followers(r, index, word, code, suspect);
        if (!ap_task_fail_dead(r->seg, r->dead, index, word, code, suspect)) return 1;
        ap_queue_count_ended(r->seg, was, AP_TASK_FAILED, true);
        ap_times_lost(r->seg, was);
        if (told) ap_finished_enter(r->seg, &record, AP_FINISH_FAILED, code, r->seg->ops->now(), true);
        ap_event_log_more(r->seg, code == APIARY_ELOST ? AP_EVENT_TASK_LOST : AP_EVENT_TASK_CRASHED, r->dead, index,
                          AP_WORD_ATTEMPT(word) + 1, of, NULL, 0);
        ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
        if (coalesced) ap_follow_ended(r->seg);
        return 1; /* it has ended, and perhaps nobody may collect it */
    }
    if (coalesced) return unqueue_running(r, index, word, suspect);
    to = ap_move_route(r->seg, r->hooks, index);
    /* Nobody else offers it: it waits for the restarted queen. */
    if (to == AP_NO_QUEUE) to = home(r, slot);
    if (to >= r->seg->geometry.queues) {
        ap_task_fail_dead(r->seg, r->dead, index, word, APIARY_ECORRUPT, suspect); /* at no queue that could count it */
        ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
        return 1;
    }
    ap_move_rank(r->seg, index, AP_WORD_GENERATION(word), to);
    if (!ap_task_requeue_dead(r->seg, r->dead, index, word, to, suspect)) return 1;
    ap_times_lost(r->seg, was);
    if (told) ap_finished_enter(r->seg, &record, AP_FINISH_LOST, 0, r->seg->ops->now(), true);
    ap_event_log_more(r->seg, AP_EVENT_TASK_REQUEUED, r->dead, index, to, of, NULL, 0);
    ap_move_announce(r->seg, index, AP_WORD_GENERATION(word), to);
    return 1; /* and that queue may have lost its consumer meanwhile */
}

/* RESERVED or RELEASING in the dead lane's hands: nobody else will ever touch it. */
static int free_slot(const struct reaper *r, uint32_t index, uint64_t word)
{
    struct ap_slot *slot = ap_slot_at(r->seg, index);

    if (AP_WORD_STATE(word) == AP_TASK_RELEASING && freed(r) != NULL) freed(r)(r->seg, slot);
    return !ap_task_free_dead(r->seg, r->dead, index, word);
}

/* Nobody will collect it any more; one that ends with its client is cancelled by the same step. Returns 1 when it went on
 * meanwhile: whoever did that need not have seen it. */
static int reap_detach(const struct reaper *r, uint32_t index, uint64_t word)
{
    const struct ap_slot *slot = ap_slot_at(r->seg, index);
    bool orphan = ap_task_requested(slot, word, AP_REQUEST_BOUND);

    ap_task_request(r->seg, index, AP_WORD_GENERATION(word), orphan ? AP_REQUEST_DETACH | AP_REQUEST_CANCEL : AP_REQUEST_DETACH);
    if (orphan && AP_WORD_STATE(word) == AP_TASK_QUEUED &&
        ap_queue_end_task(r->seg, index, word, AP_TASK_CANCELLED, APIARY_ECANCELLED))
        ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
    return ap_load_acquire(&slot->word) != word;
}

/* `lease`: its slab's, as it was found. Leased to the dead lane, so the client is gone. Returns 1 to look again. */
static int recover_slot(const struct reaper *r, uint32_t index, uint64_t lease)
{
    const struct ap_slot *slot = ap_slot_at(r->seg, index);
    /* TASK-A4 pairs TASK-R4; TASK-A6 pairs TASK-R6: before the look at the lane's life */
    uint64_t word = ap_load_acquire(&slot->word);
    bool mine = AP_WORD_OWNER(word) == r->dead, held = AP_LEASE_LANE(lease) == r->dead + 1;

    if (!ap_lane_still(r->seg, r->dead, r->beside)) return 0;
    /* Given back meanwhile, by a thread that detaches or by another reaper, it may be another's, and so the task. */
    if (held && ap_load_acquire(&ap_slab_at(r->seg, index / AP_SLAB_SLOTS)->lease) != lease) held = false;
    switch (AP_WORD_STATE(word)) {
    case AP_TASK_RESERVED:
    case AP_TASK_RELEASING: return mine && r->beside == 0 ? free_slot(r, index, word) : 0;
    case AP_TASK_SCHEDULED:
        if (held && reap_detach(r, index, word)) return 1;
        ap_due_task(r->seg, r->hooks, r->self, index, r->seg->ops->now()); /* the lane may have died before it had told */
        return 0;
    case AP_TASK_QUEUED:
        return (held && reap_detach(r, index, word)) || ap_move_queued(r->seg, r->hooks, r->self, index, word) == AP_MOVE_OVER;
    case AP_TASK_RUNNING:
        if (held && reap_detach(r, index, word)) return 1;
        return mine ? requeue_running(r, index, word) : 0;
    case AP_TASK_DONE:
    case AP_TASK_FAILED:
    case AP_TASK_CANCELLED:
        /* It may have died with what it should have freed. RELEASING names the dead lane, whose mutex we hold: if we die, the next
         * reaper of that lane goes on. */
        if (r->beside != 0) return 0;
        if (!held && !ap_abandoned(slot, word)) return 0;
        return !ap_task_release_with(r->seg, r->dead, index, word, freed(r), r->seg);
    default: return 0;
    }
}

static void recover_slots(const struct reaper *r)
{
    struct ap_segment *seg = r->seg;

    for (uint64_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++) {
        uint64_t *lease = &ap_slab_at(seg, s)->lease, seen = ap_load_acquire(lease);

        if (seen == 0) continue;
        for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) {
            /* A changed word is somebody's progress; the bound is for a segment that is being corrupted. */
            for (int tries = 0; tries < 64 && recover_slot(r, (uint32_t)s * AP_SLAB_SLOTS + i, seen); tries++) {}
        }
        if (r->beside == 0 && AP_LEASE_LANE(seen) == r->dead + 1) ap_cas(lease, &seen, AP_LEASE(AP_LEASE_EPOCH(seen), 0));
    }
}

/* Tasks that the lane was running come first: the rest of the table can wait, these tasks should not. */
static void recover_hands(const struct reaper *r)
{
    const struct ap_lane *lane = ap_lane_at(r->seg, r->dead);

    for (unsigned i = 0; i < AP_HANDS; i++) {
        uint64_t ref = ap_load_relaxed(&lane->hand[i]), word;
        const struct ap_slot *slot = ap_slot_at(r->seg, AP_REF_SLOT(ref));

        if (ref == 0 || slot == NULL) continue;
        word = ap_load_acquire(&slot->word);
        if (AP_WORD_STATE(word) == AP_TASK_RUNNING && AP_WORD_OWNER(word) == r->dead)
            requeue_running(r, AP_REF_SLOT(ref), word);
    }
}

/* ---- one lane ------------------------------------------------------------------------------------------------- */

/* The steps that a compare-and-swap protects, so that several reapers may take them at once. */
static void repair(const struct reaper *r)
{
    const struct ap_parts *parts = r->seg->parts;

    for (uint32_t i = 0; i < parts->count; i++) parts->rows[i]->withdraw(r->seg, r->dead, r->beside);
    ap_fence_full(); /* TASK-F2 pairs TASK-F1 */
    recover_slots(r);
    for (uint32_t i = 0; i < parts->count; i++) parts->rows[i]->settle(r->seg, r->dead, r->beside);
}

static void recover(const struct reaper *r, uint64_t epoch)
{
    struct ap_segment *seg = r->seg;
    struct ap_lane *lane = ap_lane_at(seg, r->dead);

    repair(r);
    ap_event_log(seg, AP_EVENT_LANE_REAPED, r->dead, r->dead, ap_load_relaxed(&lane->member));
    ap_move_untold(r->seg);
    ap_store_release(&lane->life, AP_LIFE(epoch + 1, AP_LIFE_FREE)); /* LANE-R2 pairs LANE-A2 */
}

/* Under its lock: begins the recovery of a dead lane, and with `whole` completes it. */
static int reap(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks, bool whole)
{
    const struct reaper r = {seg, self, dead, hooks, 0};
    struct ap_lane *lane = ap_lane_at(seg, dead);
    uint64_t life, began;
    bool gone, right;
    int locked;

    if (lane == NULL || !ap_lane_dead(seg, dead) || !ap_image_taker(seg, lane, &right)) return 0;
    locked = ap_robust_trylock(&lane->mutex);
    if (locked < 0 && locked != -EOWNERDEAD) {
        ap_image_taken(seg, lane, right);
        return 0;
    }
    began = seg->ops->now();
    life = ap_load_acquire(&lane->life);
    /* All is decided again under the lock. A reaper that holds it and finds a LIVE THREAD lane knows that the lane's thread
     * is gone: a living thread never unlocks before it has stored FREE or SHARED. */
    gone = AP_LIFE_STATE(life) == AP_LIFE_DEAD || AP_LIFE_STATE(life) == AP_LIFE_JUDGED ||
           (AP_LIFE_STATE(life) == AP_LIFE_LIVE && ap_load_acquire(&lane->kind) != AP_LANE_SHARED); /* LANE-A3 pairs LANE-R3 */
    /* From here on only reapers touch it. */
    if (gone) ap_store_release(&lane->life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD)); /* LANE-R1 pairs LANE-A1 */
    ap_image_taken(seg, lane, right);
    if (gone) recover_hands(&r); /* as soon as possible */
    if (gone && whole) recover(&r, AP_LIFE_EPOCH(life));
    if (locked == -EOWNERDEAD) ap_robust_consistent(&lane->mutex);
    ap_robust_unlock(&lane->mutex);
    if (gone && whole) {
        ap_lanes_changed(seg);
        if (self != AP_NO_LANE) ap_cost_took(ap_costs_at(seg, self), AP_COST_RECOVER, seg->ops->now() - began);
    }
    return gone;
}

int ap_reap_lane(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks)
{
    return reap(seg, self, dead, hooks, true);
}

/* ---- beside another reaper ------------------------------------------------------------------------------------ */

uint64_t ap_reap_held(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    uint64_t life = lane != NULL ? ap_load_acquire(&lane->life) : 0; /* LANE-A1 pairs LANE-R1 */
    uint32_t state = AP_LIFE_STATE(life);

    if (state == AP_LIFE_FREE) return 0;
    if (!ap_robust_held(ap_load_acquire(ap_robust_word(&lane->mutex)))) return 0; /* LANE-A4 pairs LANE-R4 */
    if (state != AP_LIFE_LIVE) return life;
    return ap_lane_lives(lane) ? 0 : AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD);
}

int ap_reap_beside(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks)
{
    const struct reaper r = {seg, self, dead, hooks, ap_reap_held(seg, dead)};
    uint64_t live = AP_LIFE(AP_LIFE_EPOCH(r.beside), AP_LIFE_LIVE);

    if (r.beside == 0) return 0;
    /* The step that the holder was about to take. While the lane is LIVE with this epoch, the lock word, thread id and kind that
     * were just read are of this life. Then only a reaper that took the lock from the dead can hold it. */
    ap_cas(&ap_lane_at(seg, dead)->life, &live, r.beside); /* LANE-R1 pairs LANE-A1 */
    if (!ap_lane_still(seg, dead, r.beside)) return 0;
    repair(&r);
    ap_event_log(seg, AP_EVENT_LANE_HELPED, self, dead, 0);
    ap_move_untold(seg);
    return 1;
}

/* ---- all lanes ------------------------------------------------------------------------------------------------ */

/* Threads of a process die together, or one soon after another: none of what they ran waits until all else of another of them is
 * repaired. A lane that was only begun is as one whose reaper died. */
static void begin_all(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks)
{
    int begun = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        uint32_t state = AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, i)->life));

        if (i == self || (state != AP_LIFE_LIVE && state != AP_LIFE_JUDGED)) continue;
        if (ap_lane_dead(seg, i)) begun += reap(seg, self, i, hooks, false);
    }
    /* A worker that was woken may be waiting for this very processor. */
    if (begun > 0) seg->ops->yield();
}

int ap_reap_all(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks)
{
    int n = 0;

    begin_all(seg, self, hooks);
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        if (i == self || !ap_lane_dead(seg, i) || reap(seg, self, i, hooks, true) == 0) continue;
        n++;
        begin_all(seg, self, hooks);
    }
    return n;
}

int ap_reap_asking(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks)
{
    if (ap_images_judge(seg) > 0) ap_lanes_changed(seg);
    return ap_reap_all(seg, self, hooks);
}

/* ---- sweep ---------------------------------------------------------------------------------------------------- */

static void sweep_slot(const struct reaper *r, uint32_t index, uint64_t now, uint64_t *soonest)
{
    struct ap_slot *slot = ap_slot_at(r->seg, index);
    uint64_t word = ap_load_acquire(&slot->word), deadline, lease;

    switch (AP_WORD_STATE(word)) {
    case AP_TASK_QUEUED:
        deadline = ap_slot_until(slot, word); /* before the second look at the word */
        if (ap_load_acquire(&slot->word) != word) return; /* the deadline may be another task's */
        if (deadline <= now) {
            struct ap_lane *client = ap_lane_at(r->seg, ap_load_relaxed(&slot->client));
            if (!ap_queue_end_task(r->seg, index, word, AP_TASK_FAILED, APIARY_ETIMEDOUT)) return;
            if (client != NULL) ap_bell_ring(r->seg->ops, &client->bell); /* its fence: TASK-F3 pairs TASK-F4 */
            if (r->self != AP_NO_LANE) ap_task_free_unseen(r->seg, r->self, index, freed(r), r->seg);
            return;
        }
        if (deadline < *soonest) *soonest = deadline;
        ap_move_queued(r->seg, r->hooks, r->self, index, word);
        return;
    case AP_TASK_SCHEDULED:
        ap_due_task(r->seg, r->hooks, r->self, index, now);
        return;
    case AP_TASK_DONE:
    case AP_TASK_FAILED:
    case AP_TASK_CANCELLED:
        /* In a slab that nobody holds its client is gone: do not let it pin payload blocks until the next holder comes by.
         * The lease is read after the word: a slab leased since then shows in one of them. */
        lease = ap_load_acquire(&ap_slab_at(r->seg, index / AP_SLAB_SLOTS)->lease);
        if (r->self == AP_NO_LANE) return;
        if (AP_LEASE_LANE(lease) == 0 || ap_abandoned(slot, word))
            ap_task_release_with(r->seg, r->self, index, word, freed(r), r->seg);
        else
            ap_uncollected_give_up(r->seg, r->self, index, now, freed(r));
        return;
    default: return;
    }
}

uint64_t ap_sweep(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks)
{
    const struct reaper r = {seg, self, AP_NO_LANE, hooks, 0};
    uint64_t soonest = UINT64_MAX, now = seg->ops->now();

    for (uint64_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++) {
        if (ap_load_acquire(&ap_slab_at(seg, s)->lease) == 0) continue;
        for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
            sweep_slot(&r, (uint32_t)s * AP_SLAB_SLOTS + i, now, &soonest);
    }
    ap_pool_sweep(seg);
    return soonest;
}
