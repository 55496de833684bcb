/* shm/task.c - the task table. See task.h. */
#include "shm/task.h"

#include <stdlib.h>
#include <string.h>

#include "core/defect.h"
#include "shm/bell.h"
#include "shm/pool.h"

/* ---- slabs ---------------------------------------------------------------------------------------------------- */

void ap_slabs_init(struct ap_slabs *s, struct ap_lane_handle *lane)
{
    memset(s, 0, sizeof *s);
    s->lane = lane;
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
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
        ap_store_release(&ap_slot_at(seg, (uint64_t)slab * AP_SLAB_SLOTS + i)->word, /* TASK-R3 pairs TASK-A3 */
                         AP_WORD(AP_TASK_FREE, 0, 0, AP_NO_LANE, 0));
}

static bool holds(const struct ap_slabs *s, uint32_t slab)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->held[i] == slab) return true;
    return false;
}

static int slab_lease(struct ap_slabs *s)
{
    struct ap_segment *seg = s->lane->seg;
    uint64_t count = seg->sections[AP_SECTION_SLABS].count;

    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity != 0 ? s->capacity * 2 : 4;
        uint32_t *held = realloc(s->held, capacity * sizeof *held);
        if (held == NULL) return APIARY_ENOBLOCK;
        s->held = held;
        s->capacity = capacity;
    }
    for (uint64_t n = 0; n < count; n++) {
        /* Lanes begin at different places, so that they do not race for the same slab. */
        uint32_t slab = (uint32_t)((s->lane->index + n) % count);
        uint64_t *lease = &ap_slab_at(seg, slab)->lease, seen = ap_load_relaxed(lease);

        /* A lease that a corrupted segment has forgotten is not taken a second time, and so there is an end. */
        if (AP_LEASE_LANE(seen) != 0 || holds(s, slab)) continue;
        /* TASK-A5 pairs TASK-R5 */
        if (!ap_cas(lease, &seen,
                    AP_LEASE(AP_LEASE_EPOCH(seen) != 0 ? AP_LEASE_EPOCH(seen) : 1, s->lane->index + 1)))
            continue;
        slab_renew(seg, slab, s->lane->index);
        s->held[s->count++] = slab;
        s->current = s->count - 1;
        s->next = 0;
        return 0;
    }
    return APIARY_ENOSLOT;
}

static void slab_return(struct ap_slabs *s, uint32_t slab)
{
    struct ap_slab *at = ap_slab_at(s->lane->seg, slab);
    uint64_t lease = ap_load_relaxed(&at->lease);

    if (AP_LEASE_LANE(lease) != s->lane->index + 1) return;
    ap_store_release(&at->lease, AP_LEASE(AP_LEASE_EPOCH(lease), 0)); /* TASK-R5 pairs TASK-A5 */
}

void ap_slabs_release(struct ap_slabs *s)
{
    for (uint32_t i = 0; i < s->count; i++) slab_return(s, s->held[i]);
    free(s->held);
    s->held = NULL;
    s->count = s->capacity = s->current = s->next = 0;
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
    uint32_t left = s->held[s->current];

    s->next = 0;
    if (s->count > 1 && slab_all_free(s->lane->seg, left)) {
        slab_return(s, left);
        memmove(&s->held[s->current], &s->held[s->current + 1], (s->count - s->current - 1) * sizeof *s->held);
        s->count--;
        if (s->current == s->count) s->current = 0;
        return;
    }
    if (++s->current == s->count) s->current = 0;
}

/* ---- client --------------------------------------------------------------------------------------------------- */

static bool abandoned(const struct ap_slot *slot, uint64_t word)
{
    uint64_t request = ap_load_acquire(&slot->request);
    return request >> 8 == AP_WORD_GENERATION(word) && (request & (AP_REQUEST_ABANDON | AP_REQUEST_DETACH)) != 0;
}

static void slot_reserve(struct ap_slot *slot, uint64_t word, uint32_t lane)
{
    uint64_t generation = AP_WORD_GENERATION(word) + 1;

    /* Only the slab's holder writes a FREE word, so a store will do. The owner is in it: from here the reaper finds it. */
    ap_store_release(&slot->word, /* TASK-R4 pairs TASK-A4 */
                     AP_WORD(AP_TASK_RESERVED, 0, 0, AP_DEFECT(nobodys_slot) ? AP_NO_LANE : lane, generation));
    ap_store_relaxed(&slot->request, generation << 8);
    ap_store_relaxed(&slot->body, 0);
    ap_store_relaxed(&slot->result, 0);
    ap_store_relaxed(&slot->body_size, 0);
    ap_store_relaxed(&slot->result_size, 0);
    ap_store_relaxed(&slot->agent_code, 0);
    ap_store_relaxed(&slot->ticket, 0);
    ap_store_relaxed(&slot->client, (uint16_t)lane);
}

/* A finished slot that nobody may collect is freed in passing: its word then, or the one that was seen. */
static __attribute__((noinline)) uint64_t free_abandoned(struct ap_slabs *s, struct ap_slot *slot, uint32_t index, uint64_t word,
                                                         ap_slot_freed_fn freed, void *user)
{
    if (!abandoned(slot, word) || !ap_task_release(s->lane->seg, s->lane->index, index, word)) return word;
    /* After it: whoever lost the race must not give the ticket back again. The fields stay, only this lane reserves here. */
    if (freed != NULL) freed(user, slot);
    return ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */
}

/* Tries the slot in turn: 1 reserved. */
AP_ALWAYS_INLINE int reserve_turn(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret)
{
    struct ap_segment *seg = s->lane->seg;
    struct ap_slot *slot;
    uint32_t index;
    uint64_t word;

    /* Before a slot of the slab is looked at, not after the last of it: the slab may be given back here. */
    if (s->next == AP_SLAB_SLOTS) slab_advance(s);
    index = s->held[s->current] * AP_SLAB_SLOTS + s->next++;
    if (AP_DEFECT(slab_early) && s->next == AP_SLAB_SLOTS) slab_advance(s);
    slot = ap_slot_at(seg, index);
    word = ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */
    if (__builtin_expect(ap_task_ended(AP_WORD_STATE(word)), 0)) word = free_abandoned(s, slot, index, word, freed, user);
    if (AP_WORD_STATE(word) != AP_TASK_FREE || AP_WORD_GENERATION(word) >= AP_GENERATION_LAST) return 0;
    slot_reserve(slot, word, s->lane->index);
    *ret = index;
    return 1;
}

int ap_task_reserve(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret_index)
{
    for (uint32_t tries = s->count * AP_SLAB_SLOTS; tries > 0 && s->count > 0; tries--)
        if (reserve_turn(s, freed, user, ret_index)) return 0;
    for (;;) {
        int r = slab_lease(s);
        if (r < 0) return r;
        /* It may have come with busy slots in place. */
        for (uint32_t i = 0, slab = s->held[s->current]; i < AP_SLAB_SLOTS && s->held[s->current] == slab; i++)
            if (reserve_turn(s, freed, user, ret_index)) return 0;
    }
}

void ap_task_unreserve(struct ap_slabs *s, uint32_t index)
{
    struct ap_segment *seg = s->lane->seg;
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = ap_load_relaxed(&slot->word);

    if (AP_WORD_STATE(word) != AP_TASK_RESERVED) return;
    ap_pool_free_attached(seg, index, AP_WORD_GENERATION(word), ap_load_relaxed(&slot->body));
    ap_store_release(&slot->word, AP_WORD_WITH(word, AP_TASK_FREE, AP_NO_LANE)); /* TASK-R3 pairs TASK-A3 */
}

uint64_t ap_task_publish(struct ap_segment *seg, uint32_t index, uint32_t queue)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = ap_load_relaxed(&slot->word);

    if (AP_WORD_STATE(word) != AP_TASK_RESERVED && !AP_DEFECT(publish_before_fill)) return 0;
    ap_store_relaxed(&slot->queue, queue);
    ap_store_release(&slot->word, AP_WORD_WITH(word, AP_TASK_QUEUED, queue)); /* TASK-R1 pairs TASK-A1 */
    return AP_REF(index, AP_WORD_GENERATION(word));
}

/* What does not fit the owner field is no code of ours. */
static uint32_t code_owner(int code)
{
    return code < 0 && code > -(int)AP_NO_LANE ? (uint32_t)-code : (uint32_t)-APIARY_EAGENT;
}

int ap_task_move(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t queue)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_QUEUED) return 0;
    return ap_cas(&slot->word, &seen, AP_WORD_WITH(seen, AP_TASK_QUEUED, queue));
}

int ap_task_cancel_queued(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t state, int code)
{
    struct ap_slot *slot = ap_slot_at(seg, index);

    if (slot == NULL || AP_WORD_STATE(seen) != AP_TASK_QUEUED) return 0;
    if (!ap_task_ended(state) || !ap_task_permitted(AP_TASK_QUEUED, state)) return 0;
    return ap_cas(&slot->word, &seen, AP_WORD_WITH(seen, state, code_owner(code)));
}

int ap_task_request(struct ap_segment *seg, uint32_t index, uint64_t generation, uint64_t bits)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t request;

    if (slot == NULL) return 0;
    request = ap_load_acquire(&slot->request);
    while (request >> 8 == generation)
        if (ap_cas(&slot->request, &request, request | bits)) return 1;
    return 0;
}

int ap_task_release(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t seen)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t generation = AP_WORD_GENERATION(seen), releasing, body, result;

    if (slot == NULL || !ap_task_ended(AP_WORD_STATE(seen))) return 0;
    releasing = AP_WORD_WITH(seen, AP_TASK_RELEASING, lane);
    if (!AP_DEFECT(release_without_claim) && !ap_cas(&slot->word, &seen, releasing)) return 0;
    body = ap_load_relaxed(&slot->body);
    result = ap_load_relaxed(&slot->result);
    if (body != 0) ap_pool_free_attached(seg, index, generation, body);
    if (result != 0) ap_pool_free_attached(seg, index, generation, result);
    ap_store_release(&slot->word, AP_WORD_WITH(releasing, AP_TASK_FREE, AP_NO_LANE)); /* TASK-R3 pairs TASK-A3 */
    return 1;
}

/* ---- worker --------------------------------------------------------------------------------------------------- */

int ap_task_claim(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint64_t ref, uint64_t *ret)
{
    struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(ref));
    uint64_t word;

    if (slot == NULL) return 0;
    word = ap_load_acquire(&slot->word);
    /* Tried again while it is still QUEUED here: the reference is gone, so giving up after a lost race with a mere change of
     * the word would lose the task. */
    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && (AP_WORD_OWNER(word) == queue || AP_DEFECT(any_queue)) &&
           (AP_WORD_GENERATION(word) == AP_REF_GENERATION(ref) || AP_DEFECT(old_generation))) {
        uint64_t running = AP_WORD_WITH(word, AP_TASK_RUNNING, lane);
        if (ap_cas(&slot->word, &word, running)) { /* TASK-A1 pairs TASK-R1 */
            ap_store_relaxed(&slot->queue, queue);
            ap_store_relaxed(&slot->worker, lane);
            /* What a dead attempt named is not this one's, and its block is somebody else's by now. */
            if (!AP_DEFECT(stale_result)) ap_store_relaxed(&slot->result, 0);
            if (!AP_DEFECT(stale_result)) ap_store_relaxed(&slot->result_size, 0);
            *ret = running;
            return 1;
        }
    }
    return 0;
}

int ap_task_finish(struct ap_segment *seg, uint32_t index, uint64_t token, int code)
{
    struct ap_slot *slot = ap_slot_at(seg, index);
    struct ap_lane *client;

    if (slot == NULL || AP_WORD_STATE(token) != AP_TASK_RUNNING) return APIARY_ESTALE;
    if (ap_load_relaxed(&slot->word) != token && !AP_DEFECT(no_token)) return APIARY_ESTALE;
    client = ap_lane_at(seg, ap_load_relaxed(&slot->client));
    /* TASK-R2 pairs TASK-A2. The slot may be another task's after this store. */
    ap_store_release(&slot->word, code == 0 ? AP_WORD_WITH(token, AP_TASK_DONE, AP_NO_LANE)
                                            : AP_WORD_WITH(token, AP_TASK_FAILED, code_owner(code)));
    if (client != NULL) ap_bell_ring(seg->ops, &client->bell);
    return 0;
}

/* ---- bodies --------------------------------------------------------------------------------------------------- */

AP_ALWAYS_INLINE const void *body_at(const struct ap_segment *seg, const uint8_t *inline_body, uint64_t offset,
                                     uint32_t size)
{
    uint64_t capacity;

    if (offset == 0) return size <= AP_INLINE_BODY ? inline_body : NULL;
    if (ap_pool_block(seg, offset, &capacity, NULL) < 0 || size > capacity) return NULL;
    return ap_at_offset(seg, offset, size);
}

const void *ap_task_body(const struct ap_segment *seg, const struct ap_slot *slot, uint32_t *size)
{
    uint32_t n = ap_load_relaxed(&slot->body_size);
    const void *body = body_at(seg, slot->body_inline, ap_load_relaxed(&slot->body), n);

    if (body != NULL) *size = n;
    return body;
}

const void *ap_task_result(const struct ap_segment *seg, const struct ap_slot *slot, uint32_t *size)
{
    uint32_t n = ap_load_relaxed(&slot->result_size);
    const void *body = body_at(seg, slot->result_inline, ap_load_relaxed(&slot->result), n);

    if (body != NULL) *size = n;
    return body;
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
    static const bool ways[AP_TASK_STATES][AP_TASK_STATES] = {
#define AP_TRANSITION(from, to, how, by) [AP_TASK_##from][AP_TASK_##to] = true,
#include "shm/states.def"
    };
    return from < AP_TASK_STATES && to < AP_TASK_STATES && ways[from][to];
}
