/* registry/client/collect.c - the end of a task as its client sees it: collect, release, give up, cancel, tidy. */
#include <string.h>

#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/client/hedge.h"
#include "registry/client/until.h"
#include "shm/bell.h"
#include "shm/uncollected.h"

/* ---- results -------------------------------------------------------------------------------------------------- */

int ap_collect(struct apiary *a, apiary_task_t task, apiary_result_t *ret)
{
    return ap_collect_at(a, task, ret);
}

int ap_collect_copy(const struct ap_segment *seg, apiary_task_t task, const struct ap_slot *slot, uint64_t word,
                    apiary_result_t *ret)
{
    return ap_collect_seen(seg, task, slot, word, ap_slot_tries(slot, word), 0, ret);
}

/* The slab in which only the lane's probes lie: others need it, and it counts among what the member holds. */
static void probes_slab_back(const struct apiary *a)
{
    struct ap_slabs *kept = ap_here_is(a) ? &ap_here.context->kept : NULL;

    if (kept != NULL && kept->count > 0 && ap_slabs_busy(kept) == 0) ap_slabs_release(kept);
}

/* The releasing lane answers for the slot meanwhile. A thread that can have no lane borrows one of the process, under the
 * lock, which keeps it open; and so it is done for slots of ended threads, whose lanes close with their last task. */
int ap_task_free(struct apiary *a, uint32_t index, uint64_t seen)
{
    const struct ap_slot *slot = ap_slot_at(a->seg, index);
    const struct ap_lane_context *c;
    bool locked;
    int error, r;

    if (slot == NULL) return 0;
    c = ap_context(a, &error);
    if (c == NULL && error < 0 && (error == APIARY_EFORKED || error == APIARY_EREADONLY)) return 0;
    locked = c == NULL || ap_load_relaxed(&a->shared) != 0;
    if (locked) pthread_mutex_lock(&a->lock);
    if (c == NULL) c = a->anchor;
    r = ap_task_release_with(a->seg, c->lane.index, index, seen, ap_slot_leave, a->seg);
    if (locked) pthread_mutex_unlock(&a->lock);
    ap_shared_tidy(a);
    probes_slab_back(a);
    return r;
}

#define READY_BEFORE 8u /* results, before it is believed that those of the next slots are there, too */

/* Something was asked for of the task: whether it may not be collected, whether the dead set is to have it, whether another copy
 * of it has answered. */
static __attribute__((noinline)) int free_requested(struct apiary *a, const struct ap_slot *slot, apiary_task_t task, uint64_t seen)
{
    if (ap_abandoned(slot, seen)) return 0;
    if (ap_hedged(slot, seen)) return ap_hedge_release(a, task);
    return ap_task_ended(AP_WORD_STATE(seen)) ? ap_task_free(a, task.slot, seen) : 0;
}

/* By the thread of c, and nothing was asked for: finished -> FREE. The ticket of a task of its own lane was taken in the lane's
 * present life, for at the end of one nobody may collect its tasks any more; and it is the one that the lane will take next. */
AP_ALWAYS_INLINE int free_own(struct ap_lane_context *c, struct ap_slot *slot, uint32_t index, uint64_t seen)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t ticket = ap_load_relaxed(&slot->ticket);
    bool own = ap_load_relaxed(&slot->client) == c->lane.index && c->ticket_hint.row != NULL;

    if (__builtin_expect(ticket != 0 && !own, 0))
        return ap_slot_release(seg, c->lane.index, slot, index, seen, true, ap_slot_ticket_return, seg);
    if (!ap_slot_release(seg, c->lane.index, slot, index, seen, true, NULL, NULL)) return 0;
    if (ticket != 0) ap_ticket_back(seg, &c->ticket_hint, c->lane.index, ticket);
    /* A client that is behind its workers: its next results lie in the next slots, and those will be the next to be filled. */
    if (++c->ready > READY_BEFORE) ap_slot_ahead_of_collect(seg, index);
    return 1;
}

int apiary_release(apiary_t *a, apiary_result_t *result)
{
    struct ap_slot *slot;
    uint64_t word;
    int r = ap_usable(a);

    if (r < 0) return r;
    if (result == NULL) return APIARY_EINVAL;
    if (__builtin_expect(result->struct_size != sizeof *result, 0) && ap_result_other(result) < 0) return APIARY_EINVAL;
    /* Without data it was given up when its deadline passed (await_any), and there is nothing to free. */
    if (result->data != NULL) {
        if (!ap_task_find(a, result->task, &slot, &word)) return APIARY_ESTALE;
        if (__builtin_expect(AP_REQUEST_BITS(ap_load_acquire(&slot->request)) != 0, 0)) /* TASK-A7 pairs TASK-R7 */
            r = free_requested(a, slot, result->task, word);
        else if (!ap_task_ended(AP_WORD_STATE(word)))
            r = 0;
        else if (__builtin_expect(ap_here_is(a) && ap_load_relaxed(&a->shared) == 0, 1))
            r = free_own(ap_here.context, slot, result->task.slot, word);
        else
            r = ap_task_free(a, result->task.slot, word);
        if (r == 0) return APIARY_ESTALE;
    }
    memset(&result->data, 0, AP_FIRST_RESULT - offsetof(apiary_result_t, data));
    return 0;
}

/* ---- giving up ------------------------------------------------------------------------------------------------ */

/* An agent that has delegated for the task's sake sleeps until that has ended, and its worker has to look. */
static void tell_worker(const struct apiary *a, uint64_t word)
{
    struct ap_lane *lane = ap_lane_at(a->seg, AP_WORD_OWNER(word));

    if (lane != NULL) ap_bell_ring(a->seg->ops, &lane->bell);
}

int ap_abandon(struct apiary *a, apiary_task_t task)
{
    struct ap_slot *slot;
    uint64_t word;

    ap_hedge_drop(a, task);
    if (!ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_ABANDON)) return 0;
    /* Ended meanwhile, or put back: whoever did that need not have seen it. */
    while (ap_task_find(a, task, &slot, &word)) {
        if (AP_WORD_STATE(word) == AP_TASK_RUNNING) {
            tell_worker(a, word);
            break;
        }
        if (!ap_task_waits(AP_WORD_STATE(word))) {
            if (ap_task_ended(AP_WORD_STATE(word))) ap_task_free(a, task.slot, word);
            break;
        }
        if (ap_queue_end_task(a->seg, task.slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED))
            ap_task_free(a, task.slot, AP_WORD_WITH(word, AP_TASK_CANCELLED, (uint32_t)-APIARY_ECANCELLED));
    }
    return 1;
}

void ap_give_up(struct apiary *a, apiary_task_t task)
{
    struct ap_slot *slot;
    uint64_t word;

    while (ap_task_find(a, task, &slot, &word)) {
        if (ap_task_waits(AP_WORD_STATE(word))) {
            if (!ap_queue_end_task(a->seg, task.slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) continue;
            word = AP_WORD_WITH(word, AP_TASK_CANCELLED, (uint32_t)-APIARY_ECANCELLED);
        }
        ap_hedge_drop(a, task);
        if (ap_task_ended(AP_WORD_STATE(word))) ap_task_free(a, task.slot, word);
        else if (AP_WORD_STATE(word) == AP_TASK_RUNNING) ap_abandon(a, task);
        return;
    }
}

int ap_cancel(struct apiary *a, apiary_task_t task)
{
    struct ap_slot *slot;
    struct ap_lane *client;
    uint64_t word;

    while (ap_task_find(a, task, &slot, &word)) {
        switch (AP_WORD_STATE(word)) {
        case AP_TASK_SCHEDULED:
        case AP_TASK_QUEUED:
            client = ap_lane_at(a->seg, ap_load_relaxed(&slot->client));
            if (!ap_queue_end_task(a->seg, task.slot, word, AP_TASK_CANCELLED, APIARY_ECANCELLED)) continue;
            if (client != NULL) ap_bell_ring(a->seg->ops, &client->bell); /* its fence: TASK-F3 pairs TASK-F4 */
            word = AP_WORD_WITH(word, AP_TASK_CANCELLED, (uint32_t)-APIARY_ECANCELLED);
            if (ap_abandoned(slot, word)) ap_task_free(a, task.slot, word);
            return 0;
        case AP_TASK_RUNNING:
            if (!ap_task_request(a->seg, task.slot, task.generation, AP_REQUEST_CANCEL)) return APIARY_ESTALE;
            /* A worker that puts the task back just now has looked before: one of both sees what the other has written. */
            if (!ap_task_find(a, task, &slot, &word)) return 0;
            if (AP_WORD_STATE(word) == AP_TASK_RUNNING) tell_worker(a, word);
            if (!ap_task_waits(AP_WORD_STATE(word))) return 0;
            continue;
        default: return ap_task_ended(AP_WORD_STATE(word)) && !ap_abandoned(slot, word) ? 0 : APIARY_ESTALE;
        }
    }
    return APIARY_ESTALE;
}

int apiary_cancel(apiary_t *a, apiary_task_t task)
{
    apiary_task_t second;
    int r = ap_usable(a);

    if (r == 0) r = ap_cancel(a, task);
    if (r == 0 && ap_hedge_second(a, task, &second)) ap_cancel(a, second);
    return r;
}

/* ---- slots that nobody collects ------------------------------------------------------------------------------- */

static uint32_t open_in(const struct ap_lane_context *c, const struct ap_slabs *slabs, bool drop)
{
    struct ap_segment *seg = c->client->seg;
    uint32_t open = 0;

    for (uint32_t k = 0; k < slabs->count * AP_SLAB_SLOTS; k++) {
        uint32_t index = slabs->held[k / AP_SLAB_SLOTS] * AP_SLAB_SLOTS + k % AP_SLAB_SLOTS;
        const struct ap_slot *slot = ap_slot_at(seg, index);
        uint64_t word = ap_load_acquire(&slot->word); /* TASK-A2 pairs TASK-R2 */

        if (AP_WORD_STATE(word) == AP_TASK_FREE || ap_abandoned(slot, word)) continue;
        open++;
        if (!drop) continue;
        ap_task_request(seg, index, AP_WORD_GENERATION(word), AP_REQUEST_DETACH);
        ap_task_free_unseen(seg, c->lane.index, index, ap_slot_leave, seg);
        ap_stream_wake(seg, index);
    }
    return open;
}

uint32_t ap_open_tasks(const struct ap_lane_context *c, bool drop)
{
    return open_in(c, &c->slabs, drop) + open_in(c, &c->kept, drop);
}

/* Finished and abandoned slots of one slab, of callers of one service (0: of all). */
static uint32_t tidy_slab(const struct ap_lane_context *c, uint32_t slab, uint32_t service_plus_1)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t n = 0;

    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) {
        uint32_t index = slab * AP_SLAB_SLOTS + i;
        const struct ap_slot *slot = ap_slot_at(seg, index);

        if (service_plus_1 != 0 && ap_load_relaxed(&slot->caller) != service_plus_1) continue;
        n += (uint32_t)ap_task_free_unseen(seg, c->lane.index, index, ap_slot_leave, seg);
    }
    return n;
}

uint32_t ap_tidy(struct ap_lane_context *c)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t n = 0, service_plus_1 = (uint32_t)(c->client->service + 1);

    for (uint32_t k = 0; k < c->slabs.count; k++) n += tidy_slab(c, c->slabs.held[k], 0);
    /* Another lane of the service may be idle, with tickets of tasks that nobody will collect. */
    for (uint32_t s = 0; n == 0 && service_plus_1 != 0 && s < seg->sections[AP_SECTION_SLABS].count; s++)
        if (AP_LEASE_LANE(ap_load_relaxed(&ap_slab_at(seg, s)->lease)) != 0) n += tidy_slab(c, s, service_plus_1);
    return n;
}

uint32_t ap_tidy_all(const struct ap_lane_context *c)
{
    const struct ap_segment *seg = c->lane.seg;
    uint32_t n = 0;

    for (uint32_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++)
        if (ap_load_relaxed(&ap_slab_at(seg, s)->lease) != 0) n += tidy_slab(c, s, 0);
    return n;
}

bool ap_make_room(struct ap_lane_context *c, int error, uint64_t size)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t n = ap_tidy(c);

    if (error == APIARY_ENOBLOCK) n += ap_tidy_all(c);
    if (n == 0 && (error == APIARY_ENOBLOCK || error == APIARY_ESHARE)) n += ap_kept_expire(seg, seg->ops->now());
    if (n == 0) n += ap_uncollected_all(seg, c->lane.index, seg->ops->now(), ap_slot_leave);
    if (n == 0) n += (uint32_t)ap_reap_asking(seg, c->lane.index, &ap_registry_hooks);
    if (n == 0 && error == APIARY_ENOBLOCK) n += ap_pool_sweep(seg);
    if (n == 0 && error == APIARY_ENOBLOCK && size != 0) n += (uint32_t)ap_dead_make_room(seg, c->lane.index, size);
    if (n > 0) ap_share_forget(seg, c->lane.member);
    return n > 0;
}

bool ap_overdue(const struct ap_segment *seg, uint32_t lane, uint64_t now)
{
    for (uint64_t slab = 0; slab < seg->sections[AP_SECTION_SLABS].count; slab++) {
        if (AP_LEASE_LANE(ap_load_relaxed(&ap_slab_at(seg, slab)->lease)) != lane + 1) continue;
        for (uint64_t i = slab * AP_SLAB_SLOTS; i < (slab + 1) * AP_SLAB_SLOTS; i++) {
            const struct ap_slot *slot = ap_slot_at(seg, i);
            uint64_t word = ap_load_acquire(&slot->word); /* TASK-A2 pairs TASK-R2 */

            if (!ap_task_waits(AP_WORD_STATE(word)) && AP_WORD_STATE(word) != AP_TASK_RUNNING) continue;
            if (ap_until(seg, (uint32_t)i, word) <= now && !ap_abandoned(slot, word)) return true;
        }
    }
    return false;
}
