/* shm/due.c - tasks that wait for their time. See due.h. */
#include "shm/due.h"
#include "shm/follow.h"
#include "shm/start_by.h"

#include <limits.h>

/* Whether the hint became sooner, and than what. */
static bool due_lower(uint64_t *hint, uint64_t at, uint64_t *was)
{
    ap_fence_full(); /* DUE-F1 pairs DUE-F2 */
    *was = ap_load_relaxed(hint);
    while (*was == 0 || at < *was)
        if (ap_cas(hint, was, at)) return true;
    return false;
}

static void due_ring(struct ap_segment *seg)
{
    ap_add_acq_rel(&seg->header->due_rung, 1); /* DUE-R1 pairs DUE-A1 */
    seg->ops->futex_wake(&seg->header->due_rung, INT_MAX);
}

static void due_take(uint64_t *hint)
{
    ap_exchange_acq_rel(hint, 0);
    ap_fence_full(); /* DUE-F2 pairs DUE-F1 */
}

void ap_due_tell(struct ap_segment *seg, uint32_t index, uint64_t at)
{
    struct ap_slab *slab = ap_slab_at(seg, index / AP_SLAB_SLOTS);
    uint64_t was;

    if (slab == NULL || at == UINT64_MAX) return;
    due_lower(&slab->due, at, &was);
    if (due_lower(&seg->header->due, at, &was)) due_ring(seg);
}

/* Its time has come: it goes where hooks->route says. 0 when it is no longer as it was seen. */
static int due_call(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t seen,
                    uint32_t to)
{
    ap_move_rank(seg, index, AP_WORD_GENERATION(seen), to);
    if (!ap_task_call(seg, index, seen, to)) return 0;
    ap_move_announce(seg, index, AP_WORD_GENERATION(seen), to);
    /* That queue's reaper may have passed the slot between the choice and the compare-and-swap. */
    ap_move_queued(seg, hooks, self, index, AP_WORD_WITH(seen, AP_TASK_QUEUED, to));
    return 1;
}

/* Whether a task that is due stays SCHEDULED for the sake of another one of its key; or is over. */
static enum ap_lead due_lead(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t index, uint64_t word,
                             uint64_t request)
{
    if (!ap_request_has(request, word, AP_REQUEST_COALESCED) || hooks == NULL || hooks->lead == NULL) return AP_LEAD_IS;
    return hooks->lead(hooks->user, seg, index, word);
}

/* One step: 1 it is done, and *next says when there is more; 0 the task was another meanwhile. */
static int due_step(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t now,
                    uint64_t *next)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = ap_load_acquire(&slot->word), due, deadline, request; /* TASK-A1 pairs TASK-R1 */
    enum ap_lead lead;
    uint32_t to;
    int code;

    *next = UINT64_MAX;
    if (AP_WORD_STATE(word) != AP_TASK_SCHEDULED) return 1;
    due = ap_load_acquire(&slot->due); /* before the second look at the word */
    deadline = ap_slot_until(slot, word);
    request = ap_load_acquire(&slot->request); /* TASK-A7 pairs TASK-R7 */
    if (ap_load_acquire(&slot->word) != word) return 0; /* they may be another task's */
    if (ap_request_has(request, word, AP_REQUEST_CANCEL) || ap_request_recalled(request, word))
        return ap_move_end(seg, hooks, self, index, word, AP_TASK_CANCELLED, APIARY_ECANCELLED);
    if (deadline <= now) return ap_move_end(seg, hooks, self, index, word, AP_TASK_FAILED, APIARY_ETIMEDOUT);
    *next = due < deadline ? due : deadline;
    if (due > now) return 1;
    lead = due_lead(seg, hooks, index, word, request);
    if (lead == AP_LEAD_OVER) return 0;
    *next = lead == AP_LEAD_FULL && deadline - now > AP_FOLLOW_AGAIN ? now + AP_FOLLOW_AGAIN : deadline;
    if (lead != AP_LEAD_IS) return 1;
    to = ap_move_route(seg, hooks, index);
    code = to == AP_NO_QUEUE ? ap_move_never(seg, hooks, index) : 0;
    if (to == AP_NO_QUEUE && code == 0) return 1;
    *next = UINT64_MAX;
    if (code < 0) return ap_move_end(seg, hooks, self, index, word, AP_TASK_FAILED, code);
    return due_call(seg, hooks, self, index, word, to);
}

/* Returns when something is to be done next; UINT64_MAX: nothing. */
static uint64_t due_steps(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    /* A task that has changed is somebody's progress; the bound is for a segment that is being corrupted. */
    for (int tries = 0; tries < 64 && !due_step(seg, hooks, self, index, now, &next); tries++) {}
    return next;
}

void ap_due_task(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t now)
{
    ap_due_tell(seg, index, due_steps(seg, hooks, self, index, now));
}

static void look_slab(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t slab, uint64_t now)
{
    uint64_t *hint = &ap_slab_at(seg, slab)->due, soonest = UINT64_MAX, was;

    due_take(hint);
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) {
        uint64_t next = due_steps(seg, hooks, self, slab * AP_SLAB_SLOTS + i, now);
        if (next < soonest) soonest = next;
    }
    if (soonest != UINT64_MAX) due_lower(hint, soonest, &was);
}

uint64_t ap_due_look(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self)
{
    uint64_t soonest = ap_load_relaxed(&seg->header->due), now = seg->ops->now(), was;

    if (soonest == 0 || soonest > now) return soonest == 0 ? UINT64_MAX : soonest;
    due_take(&seg->header->due);
    soonest = UINT64_MAX;
    for (uint32_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++) {
        const struct ap_slab *slab = ap_slab_at(seg, s);
        uint64_t at = ap_load_relaxed(&slab->due);

        if (at != 0 && at <= now) {
            look_slab(seg, hooks, self, s, now);
            at = ap_load_relaxed(&slab->due);
        }
        if (at != 0 && at < soonest) soonest = at;
    }
    /* Where somebody has scheduled another task meanwhile, the monitor may be about to sleep until that one's time. */
    if (soonest != UINT64_MAX && due_lower(&seg->header->due, soonest, &was) && was != 0) due_ring(seg);
    return soonest;
}
