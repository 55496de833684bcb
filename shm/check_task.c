/* shm/check_task.c - the checkers of slabs and slots. See check.h for the rules. */
#include "shm/part.h"
#include "shm/pool.h"
#include "shm/queue.h"

#define LONG(n) ((unsigned long long)(n))

/* ---- slabs ---------------------------------------------------------------------------------------------------- */

static void slab_unleased(struct ap_look *look, const struct ap_slab *slab, uint64_t lease)
{
    for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++) {
        const struct ap_slot *slot = ap_slot_at(look->seg, look->index * AP_SLAB_SLOTS + i);
        uint64_t word = slot != NULL ? ap_look_64(look, &slot->word) : 0;

        if (word == 0) continue;
        ap_look_found(look, AP_CORRUPT, &slab->lease, lease, "T10", "never leased, but its slot %u was used (%016llx)", i,
                      LONG(word));
        return;
    }
}

static void slab_look(struct ap_look *look)
{
    const struct ap_slab *slab = ap_slab_at(look->seg, look->index);
    uint64_t lease = ap_look_64(look, &slab->lease);
    uint32_t lane = AP_LEASE_LANE(lease) - 1;

    ap_look_zero(look, &slab->reserved, sizeof slab->reserved, "T9", "reserved");
    if (lease == 0) {
        slab_unleased(look, slab, lease);
        return;
    }
    if (lease >> 48 != 0 || AP_LEASE_EPOCH(lease) == 0)
        ap_look_found(look, AP_CORRUPT, &slab->lease, lease, "T10", "lease %016llx: epoch out of range", LONG(lease));
    if (AP_LEASE_LANE(lease) == 0) return;
    switch (ap_look_owner(look, lane, NULL)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, &slab->lease, lease, "T10", "leased to lane %u, out of range", lane);
        break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &slab->lease, lease, "T10", "leased to lane %u, which is FREE", lane);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &slab->lease, lease, "T10", "leased to lane %u, which is dead", lane);
        break;
    case AP_OWNER_LIVE: break;
    }
}

/* ---- the word ------------------------------------------------------------------------------------------------- */

/* Copies of what is judged, so that the evidence of every finding holds the word. */
struct seen {
    const struct ap_slot *slot;
    uint64_t word, generation, lease;
    uint32_t state, owner;
};

#define SEEN(s, also) ((s)->word ^ ((uint64_t)(also) << 32 | (uint64_t)(also) >> 32))

/* SCHEDULED and later: the request is complete. */
static bool published(uint32_t state)
{
    return ap_task_waits(state) || state == AP_TASK_RUNNING || ap_task_ended(state);
}

static bool code_known(uint32_t number)
{
    switch (-(int)number) {
#define X(name, value, text, advice) case name:
#include "core/apiary_error.def"
#undef X
        return true;
    default: return false;
    }
}

static void owner_lane(struct ap_look *look, const struct seen *s)
{
    uint64_t life = 0;
    const char *rule = s->state == AP_TASK_RUNNING ? "L2" : "T11";

    switch (ap_look_owner(look, s->owner, &life)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T2", "%s: lane %u is out of range",
                      ap_task_state_name(s->state), s->owner);
        break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &s->slot->word, SEEN(s, life), rule, "%s in the hands of lane %u, which is FREE",
                      ap_task_state_name(s->state), s->owner);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &s->slot->word, s->word, "T11", "%s in the hands of lane %u, which is dead",
                      ap_task_state_name(s->state), s->owner);
        break;
    case AP_OWNER_LIVE: break;
    }
}

static void slot_owner(struct ap_look *look, const struct seen *s)
{
    bool wrong = false;

    if (s->state >= AP_TASK_STATES) {
        ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T1", "state %u", s->state);
        return;
    }
    switch (ap_task_owner(s->state)) {
    case AP_OWNER_IS_LANE:
        if (s->state == AP_TASK_RESERVED && AP_LEASE_LANE(s->lease) != s->owner + 1)
            ap_look_found(look, AP_CORRUPT, &s->slot->word, SEEN(s, s->lease), "T3",
                          "reserved by lane %u in a slab that is not leased to it", s->owner);
        owner_lane(look, s);
        return;
    case AP_OWNER_IS_QUEUE: wrong = s->owner >= look->seg->geometry.queues; break;
    case AP_OWNER_IS_CODE:
        if (!code_known(s->owner))
            ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T7", "%s: code %u is unknown",
                          ap_task_state_name(s->state), s->owner);
        return;
    case AP_OWNER_IS_COUNT: wrong = s->owner > AP_FAILURES_MAX; break;
    case AP_OWNER_IS_NONE: wrong = s->owner != AP_NO_LANE && s->word != 0; break;
    }
    if (wrong)
        ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T2", "%s: owner %u", ap_task_state_name(s->state),
                      s->owner);
}

static void slot_generation(struct ap_look *look, const struct seen *s)
{
    uint64_t request = ap_look_64(look, &s->slot->request), generation = AP_REQUEST_GENERATION(request);

    if (s->generation > AP_GENERATION_LAST || (s->generation == 0 && s->state != AP_TASK_FREE))
        ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T5", "generation %llu", LONG(s->generation));
    if (AP_WORD_CRASHES(s->word) > AP_CRASHES_MAX)
        ap_look_found(look, AP_CORRUPT, &s->slot->word, s->word, "T5", "%u crashes; at most %u", AP_WORD_CRASHES(s->word),
                      AP_CRASHES_MAX);
    if ((AP_REQUEST_BITS(request) & ~(uint64_t)AP_REQUEST_ALL) != 0 || generation > AP_GENERATION_LAST)
        ap_look_found(look, AP_CORRUPT, &s->slot->request, request, "T5", "request %016llx: bits that do not exist",
                      LONG(request));
    else if (published(s->state) && generation != s->generation)
        ap_look_found(look, AP_CORRUPT, &s->slot->request, SEEN(s, request), "T5",
                      "request of generation %llu, the slot is at %llu", LONG(generation), LONG(s->generation));
}

/* ---- bodies --------------------------------------------------------------------------------------------------- */

static void body_check(struct ap_look *look, const struct seen *s, const uint64_t *at, const uint32_t *size_at,
                       uint32_t state, const char *what)
{
    uint64_t offset = ap_look_64(look, at), capacity, block;
    uint32_t size = ap_look_32(look, size_at);

    if (offset == 0) {
        if (size > AP_INLINE_BODY)
            ap_look_found(look, AP_CORRUPT, size_at, SEEN(s, size), "T4", "%s: %u bytes inline; at most %u", what, size,
                          AP_INLINE_BODY);
        return;
    }
    if (ap_pool_block(look->seg, offset, &capacity, &block) < 0) {
        ap_look_found(look, AP_CORRUPT, at, SEEN(s, offset), "T4", "%s: no block begins at %llu", what, LONG(offset));
        return;
    }
    if (size > capacity)
        ap_look_found(look, AP_CORRUPT, size_at, SEEN(s, size), "T4", "%s: %u bytes in a block of %llu", what, size,
                      LONG(capacity));
    if (block != AP_BLOCK(state, look->index, s->generation)) {
        /* A submit that finds no room takes a loan back just before it takes the task back. */
        look->patient = true;
        ap_look_found(look, AP_CORRUPT, at, SEEN(s, offset ^ block), "T4", "%s: the block at %llu is not attached (%016llx)",
                      what, LONG(offset), LONG(block));
    }
}

static void slot_bodies(struct ap_look *look, const struct seen *s)
{
    const struct ap_slot *slot = s->slot;
    bool overwritten;

    if (!published(s->state)) return;
    body_check(look, s, &slot->body, &slot->body_size, AP_BLOCK_REQUEST, "request");
    /* Of other ends the result means nothing, and may name what a dead attempt left. */
    if (s->state != AP_TASK_DONE && !(s->state == AP_TASK_FAILED && ap_word_code(s->word) == APIARY_EAGENT)) return;
    overwritten = (ap_look_64(look, &slot->request) & AP_REQUEST_OVERWRITTEN) != 0;
    body_check(look, s, &slot->result, &slot->result_size, overwritten ? AP_BLOCK_REQUEST : AP_BLOCK_RESULT_OF(s->word), "result");
}

/* ---- the rest ------------------------------------------------------------------------------------------------- */

static void slot_times(struct ap_look *look, const struct seen *s)
{
    const struct ap_slot *slot = s->slot;
    uint64_t queued = ap_look_64(look, &slot->queued), started = ap_look_64(look, &slot->started);
    uint64_t ended = ap_look_64(look, &slot->finished), deadline = ap_look_64(look, &slot->deadline);
    uint64_t now = ap_look_now(look);
    uint64_t all = queued * 3 + started * 5 + ended * 7 + deadline * 11;

    if (queued > now) ap_look_found(look, AP_CORRUPT, &slot->queued, SEEN(s, all), "T6", "queued in the future");
    if (started > now) ap_look_found(look, AP_CORRUPT, &slot->started, SEEN(s, all), "T6", "started in the future");
    if (ended > now) ap_look_found(look, AP_CORRUPT, &slot->finished, SEEN(s, all), "T6", "finished in the future");
    if (published(s->state) && deadline < queued)
        ap_look_found(look, AP_CORRUPT, &slot->deadline, SEEN(s, all), "T6", "its deadline lies before it was queued");
    if (s->state != AP_TASK_DONE) return;
    if (started < queued) ap_look_found(look, AP_CORRUPT, &slot->started, SEEN(s, all), "T6", "started before it was queued");
    if (ended < started) ap_look_found(look, AP_CORRUPT, &slot->finished, SEEN(s, all), "T6", "finished before it started");
}

static void due_hint(struct ap_look *look, const struct seen *s, const uint64_t *at, uint64_t next, const char *what)
{
    uint64_t hint = ap_look_64(look, at);

    if (hint != 0 && hint <= next) return;
    look->patient = true; /* whoever has scheduled it, or looks, is about to lower it */
    ap_look_found(look, AP_REPAIRABLE, at, SEEN(s, hint * 3 + next), "T12", "the %s, %llu, is later than a task's time, %llu", what,
                  LONG(hint), LONG(next));
}

/* One that is due waits for a provider, and only its deadline is a time. */
static void slot_due(struct ap_look *look, const struct seen *s, const struct ap_slab *slab)
{
    uint64_t due, deadline, start_by, bits;

    if (s->state != AP_TASK_SCHEDULED || slab == NULL) return;
    due = ap_look_64(look, &s->slot->due);
    deadline = ap_look_64(look, &s->slot->deadline);
    start_by = ap_look_64(look, &s->slot->start_by);
    bits = ap_request_bits(ap_look_64(look, &s->slot->request), s->word);
    if ((bits & (AP_REQUEST_TIMED | AP_REQUEST_TRIED)) == AP_REQUEST_TIMED && AP_WORD_ATTEMPT(s->word) == 0 && start_by < deadline)
        deadline = start_by;
    if (due <= ap_look_now(look) || deadline < due) due = deadline;
    if (due == UINT64_MAX) return;
    due_hint(look, s, &slab->due, due, "slab's hint");
    due_hint(look, s, &look->seg->header->due, due, "header's hint");
}

static void slot_rank(struct ap_look *look, const struct seen *s)
{
    uint64_t request = ap_look_64(look, &s->slot->request);
    uint32_t rank = ap_look_8(look, &s->slot->rank);

    if (published(s->state) && (request & AP_REQUEST_RANKED) != 0 && rank >= AP_RANKS)
        ap_look_found(look, AP_CORRUPT, &s->slot->rank, SEEN(s, rank), "T13", "rank %u", rank);
}

static void slot_indexes(struct ap_look *look, const struct seen *s)
{
    const struct ap_geometry *g = &look->seg->geometry;
    const struct ap_slot *slot = s->slot;
    uint32_t client = ap_look_16(look, &slot->client), queue = ap_look_32(look, &slot->queue);
    uint32_t worker = ap_look_32(look, &slot->worker);

    if (client >= g->lanes) ap_look_found(look, AP_CORRUPT, &slot->client, client, "T8", "client: lane %u", client);
    if (queue >= g->queues) ap_look_found(look, AP_CORRUPT, &slot->queue, queue, "T8", "queue %u", queue);
    if (worker >= g->lanes) ap_look_found(look, AP_CORRUPT, &slot->worker, worker, "T8", "worker: lane %u", worker);
    ap_look_zero(look, slot->reserved, sizeof slot->reserved, "T9", "reserved");
}

static void look_slot(struct ap_look *look)
{
    const struct ap_slab *slab = ap_slab_at(look->seg, look->index / AP_SLAB_SLOTS);
    struct seen s = {.slot = ap_slot_at(look->seg, look->index)};

    s.word = ap_look_64(look, &s.slot->word);
    s.lease = slab != NULL ? ap_look_64(look, &slab->lease) : 0;
    s.state = AP_WORD_STATE(s.word);
    s.owner = AP_WORD_OWNER(s.word);
    s.generation = AP_WORD_GENERATION(s.word);
    slot_owner(look, &s);
    slot_generation(look, &s);
    slot_bodies(look, &s);
    slot_times(look, &s);
    slot_rank(look, &s);
    slot_indexes(look, &s);
    slot_due(look, &s, slab);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static uint64_t slabs_count(const struct ap_geometry *g)
{
    return g->tasks / AP_SLAB_SLOTS;
}

static const struct ap_field slab_fields[] = {
    AP_FIELD(ap_slab, lease), AP_FIELD(ap_slab, due), AP_FIELD(ap_slab, followed), AP_FIELD(ap_slab, reserved), {NULL, 0, 0},
};
static const struct ap_number slab_numbers[] = {
    {.key = "member_share", .what = "percent that one process may hold of what it holds and what is free, of tasks and blocks",
     .at = AP_NUMBER_AT(member_share), .otherwise = 75, .min = 1, .max = 100, .apart = true},
    {.key = "kept_share", .what = "percent of the blocks of each size that kept results and the memory's values may hold together",
     .at = AP_NUMBER_AT(kept_share), .otherwise = 50, .min = 1, .max = 100, .apart = true},
    {.key = "result_ttl", .what = "how long a result waits for its caller after the task's deadline",
     .at = AP_NUMBER_AT(result_ttl), .otherwise = 500000, .min = 1, .max = 2592000000, .apart = true, .milliseconds = true},
    {.key = "max_unnamed_delegations", .what = "tasks that one process may have in flight that calls for no service, in 64s",
     .at = AP_NUMBER_AT(max_unnamed_delegations), .otherwise = 1024, .min = AP_SLAB_SLOTS, .max = AP_TASKS_MAX, .apart = true},
    {.key = NULL},
};
/* A dead lane's slabs and slots are recovered by the reaper itself: see reap.h. */
const struct ap_part ap_part_slabs = {
    .name = "slabs", .element = "slab", .size = sizeof(struct ap_slab), .count = slabs_count, .fields = slab_fields,
    .numbers = slab_numbers, .look = slab_look,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};

static const struct ap_field slot_fields[] = {
    AP_FIELD(ap_slot, word), AP_FIELD(ap_slot, request), AP_FIELD(ap_slot, body), AP_FIELD(ap_slot, result),
    AP_FIELD(ap_slot, body_size), AP_FIELD(ap_slot, result_size), AP_FIELD(ap_slot, agent_code), AP_FIELD(ap_slot, ticket),
    AP_FIELD(ap_slot, deadline), AP_FIELD(ap_slot, client), AP_FIELD(ap_slot, capability), AP_FIELD(ap_slot, caller),
    AP_FIELD(ap_slot, only), AP_FIELD(ap_slot, body_inline), AP_FIELD(ap_slot, result_inline), AP_FIELD(ap_slot, queued),
    AP_FIELD(ap_slot, started), AP_FIELD(ap_slot, finished), AP_FIELD(ap_slot, queue), AP_FIELD(ap_slot, worker),
    AP_FIELD(ap_slot, due), AP_FIELD(ap_slot, outcome), AP_FIELD(ap_slot, start_by), AP_FIELD(ap_slot, tries),
    AP_FIELD(ap_slot, rank),
    {NULL, 0, 0},
};
static const struct ap_number slot_numbers[] = {
    {.key = "tasks", .what = "tasks at the same time; each thread that delegates holds 64 of them or a multiple",
     .at = AP_NUMBER_AT(tasks), .otherwise = 8192, .min = AP_SLAB_SLOTS, .max = AP_TASKS_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_slots = {
    .name = "slots", .element = "slot", .size = sizeof(struct ap_slot), .fields = slot_fields, .numbers = slot_numbers,
    .look = look_slot,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
