/* shm/task.c - the task table. See task.h. */
#include "shm/task.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/invariant.h"
#include "shm/bell.h"
#include "shm/pool.h"
#include "shm/bond.h"
#include "shm/follow.h"
#include "shm/start_by.h"

/* ---- slabs ---------------------------------------------------------------------------------------------------- */

void ap_slabs_init(struct ap_slabs *s, struct ap_lane_handle *lane)
{
    memset(s, 0, sizeof *s);
    s->lane = lane;
    s->next = AP_SLAB_SLOTS;
}

static uint64_t slot_word(const struct ap_segment *seg, uint32_t slab, uint32_t i)
{
    return ap_load_acquire(&ap_slot_at(seg, (uint64_t)slab * AP_SLAB_SLOTS + i)->word);
}

static bool slab_all_free(const struct ap_segment *seg, uint32_t slab)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
        if (AP_WORD_STATE(slot_word(seg, slab, i)) != AP_TASK_FREE) return false;
    return true;
}

/* Generations begin anew under a new epoch, long before one could reach its end. Only the new holder stores FREE words, and
 * it has changed the epoch before: a task id of the old epoch is refused whatever generation it finds. */
static void slab_renew(struct ap_segment *seg, uint32_t slab, uint32_t lane)
{
    struct ap_slab *s = ap_slab_at(seg, slab);
    uint64_t lease = ap_load_relaxed(&s->lease);
    bool old = false;

    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
        if (AP_WORD_GENERATION(slot_word(seg, slab, i)) > AP_GENERATION_LAST / 2) old = true;
    if (!old || !slab_all_free(seg, slab)) return;
    ap_store_release(&s->lease, AP_LEASE((uint64_t)AP_LEASE_EPOCH(lease) + 1, lane + 1)); /* TASK-R5 pairs TASK-A5 */
    AP_WAY(FREE, FREE, STORE, HOLDER, AP_IS_ANYBODY); /* by the lease, which it has just taken */
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
        ap_store_release(&ap_slot_at(seg, (uint64_t)slab * AP_SLAB_SLOTS + i)->word, /* TASK-R3 pairs TASK-A3 */
                         AP_WORD(AP_TASK_FREE, 0, AP_NO_LANE, 0));
}

/* Begins anew with one of the slabs that are held. */
static void slab_use(struct ap_slabs *s, uint32_t position)
{
    s->current = position;
    s->next = 0;
    s->first = s->held[position] * AP_SLAB_SLOTS;
    s->epoch = AP_LEASE_EPOCH(ap_load_relaxed(&ap_slab_at(s->lane->seg, s->held[position])->lease));
}

bool ap_slabs_hold(const struct ap_slabs *s, uint32_t slab)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->held[i] == slab) return true;
    return false;
}

/* The n-th slab to be tried. Lanes begin at different places, so that they do not race for the same one; a probe's with those that
 * are kept for it. */
static uint32_t slab_nth(const struct ap_slabs *s, uint32_t all, uint32_t n)
{
    uint32_t kept = AP_SLABS_KEPT(all);

    return s->kept ? (all - kept + n) % all : (s->lane->index + n) % (all - kept);
}

static int slab_lease(struct ap_slabs *s)
{
    struct ap_segment *seg = s->lane->seg;
    uint32_t all = (uint32_t)seg->sections[AP_SECTION_SLABS].count, count = s->kept ? all : all - AP_SLABS_KEPT(all);

    if (s->kept && s->count > 0) return APIARY_ENOSLOT;
    AP_ASSERT(s->count <= s->capacity);
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity != 0 ? s->capacity * 2 : 4;
        uint32_t *held = realloc(s->held, capacity * sizeof *held);
        if (held == NULL) return APIARY_ENOBLOCK;
        s->held = held;
        s->capacity = capacity;
    }
    if (s->most != 0 && s->count > 0 && ap_share_slabs_of(seg, s->lane->member).held >= s->most) return APIARY_ELIMIT;
    if (!s->kept && !ap_share_slab(seg, s->lane->member)) return APIARY_ESHARE;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t slab = slab_nth(s, all, n);
        uint64_t *lease = &ap_slab_at(seg, slab)->lease, seen = ap_load_relaxed(lease);

        /* A lease that a corrupted segment has forgotten is not taken a second time, and so there is an end. */
        if (AP_LEASE_LANE(seen) != 0 || ap_slabs_hold(s, slab)) continue;
        /* TASK-A5 pairs TASK-R5 */
        if (!ap_cas(lease, &seen,
                    AP_LEASE(AP_LEASE_EPOCH(seen) != 0 ? AP_LEASE_EPOCH(seen) : 1, s->lane->index + 1)))
            continue;
        slab_renew(seg, slab, s->lane->index);
        s->held[s->count++] = slab;
        slab_use(s, s->count - 1);
        return 0;
    }
    return APIARY_ENOSLOT;
}

static void slab_return(struct ap_slabs *s, uint32_t slab)
{
    struct ap_slab *at = ap_slab_at(s->lane->seg, slab);
    uint64_t lease = ap_load_relaxed(&at->lease);

    if (AP_LEASE_LANE(lease) != s->lane->index + 1) return;
    /* No store: where a handle is detached by another thread than the lane's, that lane may be dead and recovered by now. (Its next
     * owner has the same index: whoever detaches looks at the lane's epoch first.) */
    if (!ap_cas(&at->lease, &lease, AP_LEASE(AP_LEASE_EPOCH(lease), 0))) return; /* TASK-R5 pairs TASK-A5 */
    if (!s->kept) ap_share_slab_back(s->lane->seg, s->lane->member);
}

void ap_slabs_release(struct ap_slabs *s)
{
    for (uint32_t i = 0; i < s->count; i++) slab_return(s, s->held[i]);
    free(s->held);
    s->held = NULL;
    s->count = s->capacity = s->current = 0;
    s->next = AP_SLAB_SLOTS;
}

uint32_t ap_slabs_busy(const struct ap_slabs *s)
{
    uint32_t busy = 0;

    for (uint32_t k = 0; k < s->count; k++)
        for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
            if (AP_WORD_STATE(slot_word(s->lane->seg, s->held[k], i)) != AP_TASK_FREE) busy++;
    return busy;
}

/* The next slab of the lane; one that is wholly free goes back when the lane has others (a burst is over). */
static void slab_advance(struct ap_slabs *s)
{
    uint32_t left = s->held[s->current], then = s->current + 1;

    if (s->count > 1 && slab_all_free(s->lane->seg, left)) {
        slab_return(s, left);
        then = s->current;
        memmove(&s->held[then], &s->held[then + 1], (s->count - then - 1) * sizeof *s->held);
        s->count--;
    }
    slab_use(s, then < s->count ? then : 0);
}

/* ---- client --------------------------------------------------------------------------------------------------- */

/* A finished slot that nobody may collect is freed in passing: its word then, or the one that was seen. */
static __attribute__((noinline)) uint64_t free_abandoned(struct ap_slabs *s, struct ap_slot *slot, uint32_t index, uint64_t word,
                                                         ap_slot_freed_fn freed, void *user)
{
    if (!ap_abandoned(slot, word) || !ap_task_release_with(s->lane->seg, s->lane->index, index, word, freed, user)) return word;
    return ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */
}

/* Tries the slot in turn: 1 it is FREE. */
static int try_turn(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret)
{
    struct ap_slot *slot;
    uint32_t index;
    uint64_t word;

    /* Before a slot of the slab is looked at, not after the last of it: the slab may be given back here. */
    AP_ASSERT(s->current < s->count && s->next <= AP_SLAB_SLOTS);
    if (s->next == AP_SLAB_SLOTS) slab_advance(s);
    index = s->first + s->next++;
    slot = ap_slot_at(s->lane->seg, index);
    word = ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */
    if (__builtin_expect(ap_task_ended(AP_WORD_STATE(word)), 0)) word = free_abandoned(s, slot, index, word, freed, user);
    if (AP_WORD_STATE(word) != AP_TASK_FREE || AP_WORD_GENERATION(word) >= AP_GENERATION_LAST) return 0;
    *ret = index;
    return 1;
}

int ap_task_next(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret_index)
{
    for (uint32_t tries = s->count * AP_SLAB_SLOTS; tries > 0; tries--)
        if (try_turn(s, freed, user, ret_index)) return 0;
    for (;;) {
        int r = slab_lease(s);
        if (r < 0) return r;
        /* It may have come with busy slots in place. */
        for (uint32_t i = 0, slab = s->held[s->current]; i < AP_SLAB_SLOTS && s->held[s->current] == slab; i++)
            if (try_turn(s, freed, user, ret_index)) return 0;
    }
}

/* With nothing in it yet. */
static void slot_clear(struct ap_slot *slot, uint32_t lane)
{
    ap_store_relaxed(&slot->body, 0);
    ap_store_relaxed(&slot->result, 0);
    ap_store_relaxed(&slot->body_size, 0);
    ap_store_relaxed(&slot->result_size, 0);
    ap_store_relaxed(&slot->agent_code, 0);
    ap_store_relaxed(&slot->ticket, 0);
    ap_store_relaxed(&slot->client, (uint16_t)lane);
}

int ap_task_reserve(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret_index)
{
    uint32_t index;
    int r = ap_task_next(s, freed, user, &index);

    if (r < 0) return r;
    slot_clear(ap_slot_at(s->lane->seg, index), s->lane->index);
    ap_slot_reserve(s, ap_slot_at(s->lane->seg, index), index, s->lane->index);
    *ret_index = index;
    return 0;
}

void ap_task_unreserve(struct ap_slabs *s, uint32_t index)
{
    struct ap_segment *seg = s->lane->seg;
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = ap_load_relaxed(&slot->word);

    if (AP_WORD_STATE(word) != AP_TASK_RESERVED) return;
    ap_pool_free_attached(seg, index, AP_WORD_GENERATION(word), ap_load_relaxed(&slot->body));
    AP_WAY(RESERVED, FREE, STORE, HOLDER, AP_IS_HOLDER(s, index));
    ap_store_release(&slot->word, AP_WORD_WITH(word, AP_TASK_FREE, AP_NO_LANE)); /* TASK-R3 pairs TASK-A3 */
    AP_WENT(slot, AP_WORD_WITH(word, AP_TASK_FREE, AP_NO_LANE));
}

uint64_t ap_task_publish(struct ap_segment *seg, uint32_t index, uint32_t queue)
{
    return ap_slot_publish(NULL, ap_slot_at(seg, index), index, queue);
}

int ap_task_move(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t queue)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = AP_WORD_WITH(seen, AP_TASK_QUEUED, queue);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_QUEUED) return 0;
    AP_WAY(QUEUED, QUEUED, CAS, MOVER, AP_IS_ANYBODY);
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_call(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t queue)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = AP_WORD_WITH(seen, AP_TASK_QUEUED, queue);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_SCHEDULED) return 0;
    AP_WAY(SCHEDULED, QUEUED, CAS, CALLER, AP_IS_ANYBODY);
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_cancel_queued(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t state, int code)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = AP_WORD_WITH(seen, state, ap_code_owner(code));

    if (slot == NULL || !ap_task_waits(AP_WORD_STATE(seen))) return 0;
    if (!ap_task_ended(state) || !ap_task_permitted(AP_WORD_STATE(seen), state)) return 0;
    AP_WAY(QUEUED, CANCELLED, CAS, CLIENT, AP_IS_ANYBODY);
    AP_WAY(QUEUED, FAILED, CAS, ENDER, AP_IS_ANYBODY);
    AP_WAY(SCHEDULED, CANCELLED, CAS, ENDER, AP_IS_ANYBODY);
    AP_WAY(SCHEDULED, FAILED, CAS, ENDER, AP_IS_ANYBODY);
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_request(struct ap_segment *seg, uint32_t index, uint64_t generation, uint64_t bits)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t request;

    if (slot == NULL) return 0;
    request = ap_load_acquire(&slot->request);
    while (AP_REQUEST_GENERATION(request) == generation) {
        if (!ap_cas(&slot->request, &request, request | bits)) continue; /* TASK-R7 pairs TASK-A7 */
        ap_fence_full(); /* TASK-F4 pairs TASK-F3 */
        return 1;
    }
    return 0;
}

void ap_task_mark(struct ap_segment *seg, uint32_t index, uint64_t token, enum ap_dead_cause cause)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t request = ap_load_acquire(&slot->request), marked;

    do {
        marked = (request & ~AP_REQUEST_DEAD(15)) | AP_REQUEST_DEAD(cause);
        if (marked == request || AP_REQUEST_GENERATION(request) != AP_WORD_GENERATION(token)) return;
        if (ap_load_relaxed(&slot->word) != token) return;
    } while (!ap_cas(&slot->request, &request, marked)); /* TASK-R7 pairs TASK-A7 */
}

void ap_slot_timed(struct ap_slot *slot, uint64_t start_by)
{
    ap_store_relaxed(&slot->start_by, start_by);
    ap_store_relaxed(&slot->request, ap_load_relaxed(&slot->request) | AP_REQUEST_TIMED);
}

void ap_slot_bound(struct ap_slot *slot, const struct ap_bond *bond)
{
    if (ap_load_relaxed(&slot->deadline) > bond->latest) ap_store_relaxed(&slot->deadline, bond->latest);
    ap_store_relaxed(&slot->request, ap_load_relaxed(&slot->request) | AP_REQUEST_BOUND);
}

/* A mark of an end that has not been is taken away: while the slot is RELEASING nobody can tell any more how its task ended.
 * A lane that is slow to do so has seen the same end, and does no harm. */
static void unmark(struct ap_slot *slot, uint64_t ended)
{
    uint64_t request = ap_load_acquire(&slot->request); /* TASK-A7 pairs TASK-R7 */

    while (AP_REQUEST_CAUSE(request) != AP_DEAD_NOT && AP_REQUEST_GENERATION(request) == AP_WORD_GENERATION(ended)) {
        if (AP_WORD_STATE(ended) == AP_TASK_FAILED && ap_word_code(ended) == ap_dead_code(AP_REQUEST_CAUSE(request))) return;
        if (ap_cas(&slot->request, &request, request & ~AP_REQUEST_DEAD(15))) return; /* TASK-R7 pairs TASK-A7 */
    }
}

int ap_task_release_with(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t seen, ap_slot_freed_fn freed, void *user)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    if (slot == NULL || !ap_task_ended(AP_WORD_STATE(seen))) return 0;
    if (freed != NULL) unmark(slot, seen);
    return ap_slot_release(seg, lane, slot, index, seen, false, freed, user);
}

int ap_task_release(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t seen)
{
    return ap_task_release_with(seg, lane, index, seen, NULL, NULL);
}

int ap_task_free_unseen(struct ap_segment *seg, uint32_t lane, uint32_t index, ap_slot_freed_fn freed, void *user)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A2 pairs TASK-R2 */

    return slot != NULL && ap_task_ended(AP_WORD_STATE(word)) && ap_abandoned(slot, word) &&
           ap_task_release_with(seg, lane, index, word, freed, user);
}

void ap_slot_body_block(struct ap_segment *seg, uint32_t index, uint64_t generation, uint64_t block)
{
    ap_store_relaxed(&ap_slot_at(seg, index)->body, block);
    ap_pool_attach(seg, block, AP_BLOCK_REQUEST, index, generation);
}

void ap_slot_blocks_free(struct ap_segment *seg, const struct ap_slot *slot, uint32_t index, uint64_t generation)
{
    ap_pool_free_attached(seg, index, generation, ap_load_relaxed(&slot->body));
    ap_pool_free_attached(seg, index, generation, ap_load_relaxed(&slot->result));
}

/* A releaser that comes late finds the slot's word changed, or another outcome; a word comes once. */
void ap_slot_outcome(struct ap_slot *slot, uint64_t seen)
{
    uint64_t outcome = ap_load_relaxed(&slot->outcome);

    while (outcome != seen && ap_load_acquire(&slot->word) == seen && !ap_cas(&slot->outcome, &outcome, seen)) continue;
}

/* ---- worker --------------------------------------------------------------------------------------------------- */

int ap_task_claim(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint64_t ref, uint64_t *ret)
{
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));
    uint64_t token = slot != NULL ? ap_slot_claim(slot, lane, queue, ref) : 0;

    if (token == 0) return 0;
    *ret = token;
    return 1;
}

uint64_t ap_task_share(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t lane, uint32_t queue)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t running = AP_WORD_WITH(seen, AP_TASK_RUNNING, lane);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_SCHEDULED) return 0;
    AP_WAY(SCHEDULED, RUNNING, CAS, WORKER, AP_IS_WORKER(lane, running));
    if (!ap_cas(&slot->word, &seen, running)) return 0; /* TASK-A1 pairs TASK-R1; TASK-R6 pairs TASK-A6 */
    AP_WENT(slot, running);
    ap_store_relaxed(&slot->queue, queue);
    ap_store_relaxed(&slot->worker, lane);
    ap_slot_result(slot, 0, 0); /* as in a claim */
    return running;
}

int ap_task_overwrite(struct ap_segment *seg, uint32_t index, uint64_t token, const void *data, uint32_t size)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t block = slot != NULL ? ap_load_relaxed(&slot->body) : 0, generation = AP_WORD_GENERATION(token), capacity, word;

    if (block == 0 || ap_pool_block(seg, block, &capacity, &word) < 0 || size > capacity) return 0;
    if (word != AP_BLOCK(AP_BLOCK_REQUEST, index, generation)) return 0; /* somebody has written over the slot */
    /* First: from here on a further attempt would run with half a request. */
    if (!ap_task_request(seg, index, generation, AP_REQUEST_OVERWRITTEN)) return 0;
    memmove(ap_at_offset(seg, block, size), data, size);
    ap_slot_result(slot, block, size);
    return 1;
}

/* The bit after what it stands for: a reader that sees it sees a number of this task's. */
static void tries_say(struct ap_segment *seg, uint32_t index, uint64_t token, uint16_t tries)
{
    ap_store_relaxed(&ap_slot_at(seg, index)->tries, tries);
    ap_task_request(seg, index, AP_WORD_GENERATION(token), AP_REQUEST_TRIED);
}

void ap_task_untried(struct ap_segment *seg, uint32_t index, uint64_t token, uint32_t why)
{
    tries_say(seg, index, token, AP_TRIES(AP_TRIES_FAILURES(ap_slot_tries(ap_slot_at(seg, index), token)), why));
}

void ap_task_put_back(struct ap_segment *seg, uint32_t index, uint64_t token, uint32_t lane, uint64_t due)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint32_t failures = AP_TRIES_FAILURES(ap_slot_tries(slot, token)) + 1;

    (void)lane; /* only asserted */
    tries_say(seg, index, token, AP_TRIES(failures, 0));
    ap_store_relaxed(&slot->due, due);
    AP_WAY(RUNNING, SCHEDULED, STORE, WORKER, AP_IS_WORKER(lane, token));
    ap_store_release(&slot->word, AP_WORD_WITH(token, AP_TASK_SCHEDULED, failures)); /* TASK-R1 pairs TASK-A1 */
    AP_WENT(slot, AP_WORD_WITH(token, AP_TASK_SCHEDULED, failures));
}

int ap_task_finish(struct ap_segment *seg, uint32_t index, uint64_t token, int code)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    if (slot == NULL || AP_WORD_STATE(token) != AP_TASK_RUNNING) return APIARY_ESTALE;
    if (ap_load_relaxed(&slot->word) != token) return APIARY_ESTALE;
    ap_slot_finish(seg, AP_WORD_OWNER(token), slot, token, code);
    return 0;
}

/* ---- reaper --------------------------------------------------------------------------------------------------- */

/* The word with one more start that ended with the death of its worker. Both counts end at what their bits can say. */
static uint64_t one_start_more(uint64_t word, bool suspect)
{
    if (suspect) return AP_WORD_CRASHES(word) < AP_CRASHES_MAX ? word + AP_WORD_CRASHED(1) : word;
    return AP_WORD_LOST(word) < AP_LOST_MAX ? word + AP_WORD_LOST_STARTS(1) : word;
}

int ap_task_requeue_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, uint32_t queue, bool suspect)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = AP_WORD_WITH(one_start_more(seen, suspect), AP_TASK_QUEUED, queue);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_RUNNING) return 0;
    AP_WAY(RUNNING, QUEUED, CAS, REAPER, AP_IS_REAPER(dead, seen));
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_unqueue_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, bool suspect)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint32_t failures = slot != NULL ? AP_TRIES_FAILURES(ap_slot_tries(slot, seen)) : 0;
    uint64_t word = AP_WORD_WITH(one_start_more(seen, suspect), AP_TASK_SCHEDULED, failures);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_RUNNING) return 0;
    AP_WAY(RUNNING, SCHEDULED, CAS, REAPER, AP_IS_REAPER(dead, seen));
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_fail_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, int code, bool suspect)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t next = code == APIARY_ECRASHED ? one_start_more(seen, suspect) : seen;
    uint64_t word = AP_WORD_WITH(next, AP_TASK_FAILED, ap_code_owner(code));

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_RUNNING) return 0;
    AP_WAY(RUNNING, FAILED, CAS, REAPER, AP_IS_REAPER(dead, seen));
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

int ap_task_free_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = AP_WORD_WITH(seen, AP_TASK_FREE, AP_NO_LANE);

    if (slot == NULL || (AP_WORD_STATE(seen) != AP_TASK_RESERVED && AP_WORD_STATE(seen) != AP_TASK_RELEASING)) return 0;
    ap_slot_blocks_free(seg, slot, index, AP_WORD_GENERATION(seen));
    AP_WAY(RESERVED, FREE, CAS, REAPER, AP_IS_REAPER(dead, seen));
    AP_WAY(RELEASING, FREE, CAS, REAPER, AP_IS_REAPER(dead, seen));
    return ap_word_went(slot, word, ap_cas(&slot->word, &seen, word));
}

/* ---- bodies --------------------------------------------------------------------------------------------------- */

const void *ap_body_in_pool(const struct ap_segment *seg, uint64_t offset, uint32_t size)
{
    uint64_t capacity;

    if (ap_pool_block(seg, offset, &capacity, NULL) < 0 || size > capacity) return NULL;
    return ap_at_offset(seg, offset, size);
}

/* ---- causes ---------------------------------------------------------------------------------------------------- */

static const int dead_signals[AP_DEAD_CAUSES] = {[AP_DEAD_SEGV] = SIGSEGV, [AP_DEAD_BUS] = SIGBUS, [AP_DEAD_ABRT] = SIGABRT};

enum ap_dead_cause ap_dead_by(uint32_t crash)
{
    if (crash == AP_CRASH_EXIT || crash == AP_CRASH_THREAD) return AP_DEAD_ENDED;
    for (unsigned cause = AP_DEAD_SEGV; cause < AP_DEAD_CAUSES; cause++)
        if (dead_signals[cause] == (int)crash) return (enum ap_dead_cause)cause;
    return AP_DEAD_SIGNAL;
}

uint32_t ap_dead_signal(uint32_t cause)
{
    return cause < AP_DEAD_CAUSES ? (uint32_t)dead_signals[cause] : 0;
}

int ap_dead_code(uint32_t cause)
{
    if (cause == AP_DEAD_LOST) return APIARY_ELOST;
    if (cause == AP_DEAD_OVERRUN) return APIARY_EOVERRUN;
    return cause == AP_DEAD_FAILED ? APIARY_EAGENT : APIARY_ECRASHED;
}

/* ---- the table of states -------------------------------------------------------------------------------------- */

const char *ap_task_state_name(uint32_t state)
{
    static const char *const names[AP_TASK_STATES] = {
#define AP_STATE(name, text, owner) text,
#include "shm/states.def"
    };
    return state < AP_TASK_STATES ? names[state] : "invalid";
}

enum ap_task_owner ap_task_owner(uint32_t state)
{
    static const enum ap_task_owner owners[AP_TASK_STATES] = {
#define AP_STATE(name, text, owner) AP_OWNER_IS_##owner,
#include "shm/states.def"
    };
    return state < AP_TASK_STATES ? owners[state] : AP_OWNER_IS_NONE;
}

bool ap_task_permitted(uint32_t from, uint32_t to)
{
    static const uint8_t ways[][2] = {
#define AP_TRANSITION(from, to, how, by, text) {AP_TASK_##from, AP_TASK_##to},
#include "shm/states.def"
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i][0] == from && ways[i][1] == to) return true;
    return false;
}
