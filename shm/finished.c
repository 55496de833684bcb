/* shm/finished.c - the last tasks, and their part. See finished.h. */
#include "shm/finished.h"

#include <string.h>

#include "shm/check.h"
#include "shm/part.h"

#define LONG(n) ((unsigned long long)(n))
#define WORDS (sizeof(struct ap_finished) / 8)
#define SAID 2u /* the first word behind number and check */

/* ---- what is told ------------------------------------------------------------------------------------------------ */

static uint16_t short_of(uint32_t n)
{
    return n < AP_FINISHED_NONE ? (uint16_t)n : AP_FINISHED_NONE;
}

/* Of its last claim. The word names the lane; what else the claim says comes after it, so that where its worker died in between the
 * slot has that of an earlier one. */
static void copy_run(const struct ap_segment *seg, const struct ap_slot *slot, uint64_t word, struct ap_finished *ret)
{
    uint32_t lane = AP_WORD_OWNER(word);
    bool said = ap_load_relaxed(&slot->worker) == lane;
    const struct ap_lane *worker = ap_lane_at(seg, lane);
    uint64_t started = ap_load_relaxed(&slot->started);

    if (said) ret->queue = short_of(ap_load_relaxed(&slot->queue));
    ret->lane = short_of(lane);
    ret->pid = worker != NULL ? (uint32_t)ap_load_relaxed(&worker->pid) : 0;
    ret->started = said && started >= ret->queued ? started : 0;
}

bool ap_finished_copy(const struct ap_segment *seg, uint32_t index, uint64_t word, struct ap_finished *ret)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint32_t state = AP_WORD_STATE(word);
    apiary_task_t id = ap_task_id(seg, index, AP_WORD_GENERATION(word));

    *ret = (struct ap_finished){.generation = id.generation, .slot = id.slot, .epoch = id.epoch, .queue = AP_FINISHED_NONE,
                                .lane = AP_FINISHED_NONE, .capability = AP_FINISHED_NONE};
    if (slot == NULL || ap_task_requested(slot, word, AP_REQUEST_PROBE)) return false;
    ret->queued = ap_load_relaxed(&slot->queued);
    ret->body_size = ap_load_relaxed(&slot->body_size);
    ret->capability = ap_load_relaxed(&slot->capability);
    ret->caller = ap_load_relaxed(&slot->caller);
    ret->attempt = (uint16_t)(AP_WORD_ATTEMPT(word) + AP_TRIES_FAILURES(ap_slot_tries(slot, word)) + (state == AP_TASK_RUNNING));
    if (state == AP_TASK_QUEUED) ret->queue = short_of(AP_WORD_OWNER(word));
    if (state == AP_TASK_RUNNING) copy_run(seg, slot, word, ret);
    if (seg->parts->traced != NULL) seg->parts->traced(seg, id, ret);
    return true;
}

/* ---- rings ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Without its own word. */
static uint64_t check_of(const uint64_t words[WORDS])
{
    uint64_t hash = mix(0, words[0]);

    for (uint32_t i = SAID; i < WORDS; i++) hash = mix(hash, words[i]);
    return hash;
}

static struct ap_finished *record_at(struct ap_finished_ring *ring, uint64_t number)
{
    return &ring->records[(number - 1) % AP_FINISHED_RECORDS];
}

uint32_t ap_finished_rings(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_FINISHED].count;
}

static struct ap_finished_ring *ring_for(const struct ap_segment *seg, const struct ap_finished *r, bool notable)
{
    uint32_t half = ap_finished_rings(seg) / 2, at = (r->queue != AP_FINISHED_NONE ? r->queue : r->slot) % (half > 0 ? half : 1);

    return ap_finished_ring_at(seg, notable ? at : half + at);
}

void ap_finished_enter(const struct ap_segment *seg, struct ap_finished *r, enum ap_finish how, int code, uint64_t now,
                       bool notable)
{
    struct ap_finished_ring *ring = ring_for(seg, r, notable);
    uint64_t words[WORDS], *row;

    if (ring == NULL) return;
    r->how = (uint8_t)how;
    r->code = (uint16_t)-code;
    r->finished = now;
    r->number = ap_add_relaxed(&ring->next, 1) + 1;
    memcpy(words, r, sizeof words);
    row = (uint64_t *)(void *)record_at(ring, r->number);
    words[1] = check_of(words);
    for (uint32_t i = 0; i < WORDS; i++) ap_store_relaxed(&row[i], words[i]); /* in no order: the hash says what is whole */
}

uint64_t ap_finished_numbers(const struct ap_segment *seg, uint32_t ring, uint64_t *ret_first)
{
    const struct ap_finished_ring *r = ap_finished_ring_at(seg, ring);
    uint64_t end = r != NULL ? ap_load_relaxed(&r->next) + 1 : 1;

    if (end == 0) end = UINT64_MAX; /* of a damaged segment */
    *ret_first = end > AP_FINISHED_RECORDS ? end - AP_FINISHED_RECORDS : 1;
    return end;
}

static bool finished_in_range(const struct ap_segment *seg, const struct ap_finished *r)
{
    return r->how != AP_FINISH_NONE && r->how < AP_FINISH_KINDS && r->slot < seg->geometry.tasks &&
           (r->queue < seg->geometry.queues || r->queue == AP_FINISHED_NONE) &&
           (r->lane < seg->geometry.lanes || r->lane == AP_FINISHED_NONE);
}

int ap_finished_read(const struct ap_segment *seg, uint32_t ring, uint64_t number, struct ap_finished *ret)
{
    struct ap_finished_ring *r = ap_finished_ring_at(seg, ring);
    uint64_t words[WORDS];
    const uint64_t *row;
    struct ap_finished copy;

    if (r == NULL || number == 0) return 0;
    row = (const uint64_t *)(const void *)record_at(r, number);
    for (uint32_t i = 0; i < WORDS; i++) words[i] = ap_load_relaxed(&row[i]);
    if (words[0] != number || words[1] != check_of(words)) return 0;
    memcpy(&copy, words, sizeof copy);
    if (!finished_in_range(seg, &copy)) return 0;
    *ret = copy;
    return 1;
}

/* ---- tap --------------------------------------------------------------------------------------------------------- */

void ap_tap(const struct ap_segment *seg, uint64_t until)
{
    /* The time is read after the word: another's tap is not too far ahead only because this one was held up in between. */
    for (;;) {
        uint64_t was = ap_load_relaxed(&seg->header->tap), now = seg->ops->now();

        if (until > now + AP_TAP_LEASE) until = now + AP_TAP_LEASE;
        if ((was >= until && was <= now + AP_TAP_LEASE) || ap_cas(&seg->header->tap, &was, until)) return;
    }
}

const char *ap_finish_text(uint32_t how)
{
    static const char *const texts[] = {
        "none",
#define X(name, text) text,
        AP_FINISHES(X)
#undef X
    };
    return how < AP_FINISH_KINDS ? texts[how] : "unknown";
}

/* ---- its part ---------------------------------------------------------------------------------------------------- */

static void look_record(struct ap_look *look, const struct ap_finished_ring *ring, uint32_t row)
{
    const struct ap_segment *seg = look->seg;
    const struct ap_finished *r = &ring->records[row];
    uint64_t number = ap_look_64(look, &r->number), next = ap_look_64(look, &ring->next); /* in this order: next only grows */
    uint32_t how = ap_look_8(look, &r->how), slot = ap_look_32(look, &r->slot);
    uint32_t queue = ap_look_16(look, &r->queue), lane = ap_look_16(look, &r->lane);

    if (number == 0) return; /* never written */
    if ((number - 1) % AP_FINISHED_RECORDS != row || number > next)
        ap_look_found(look, AP_CORRUPT, &r->number, number, "F1", "record %u: number %llu; %llu were given out", row, LONG(number),
                      LONG(next));
    if (how >= AP_FINISH_KINDS) /* NONE: its first writer is at it, or has died */
        ap_look_found(look, AP_CORRUPT, &r->how, number ^ how, "F2", "record %u: it ended as %u", row, how);
    if (slot >= seg->geometry.tasks)
        ap_look_found(look, AP_CORRUPT, &r->slot, number ^ slot, "F3", "record %u: slot %u", row, slot);
    if (queue >= seg->geometry.queues && queue != AP_FINISHED_NONE)
        ap_look_found(look, AP_CORRUPT, &r->queue, number ^ queue, "F3", "record %u: queue %u", row, queue);
    if (lane >= seg->geometry.lanes && lane != AP_FINISHED_NONE)
        ap_look_found(look, AP_CORRUPT, &r->lane, number ^ lane, "F3", "record %u: lane %u", row, lane);
    ap_look_zero(look, r->reserved, sizeof r->reserved, "F4", "reserved");
}

static void look_finished(struct ap_look *look)
{
    const struct ap_finished_ring *ring = ap_finished_ring_at(look->seg, look->index);

    for (uint32_t i = 0; i < AP_FINISHED_RECORDS; i++) look_record(look, ring, i);
    ap_look_zero(look, ring->reserved, sizeof ring->reserved, "F4", "reserved");
}

/* Of the first one. */
#define RECORD(field) \
    {"ap_finished." #field, offsetof(struct ap_finished_ring, records) + offsetof(struct ap_finished, field), \
     sizeof(((struct ap_finished *)0)->field)}
static const struct ap_field finished_fields[] = {
    AP_FIELD(ap_finished_ring, next), RECORD(number), RECORD(check), RECORD(generation), RECORD(slot), RECORD(epoch),
    RECORD(queued), RECORD(started), RECORD(finished), RECORD(other), RECORD(parent), RECORD(trace), RECORD(agent_code),
    RECORD(pid), RECORD(body_size), RECORD(result_size), RECORD(capability), RECORD(caller), RECORD(queue), RECORD(lane),
    RECORD(code), RECORD(how), RECORD(flags), RECORD(attempt), RECORD(second), {NULL, 0, 0},
};
#undef RECORD
static const struct ap_number finished_numbers[] = {
    {.key = "finished_rings", .what = "rings of the last tasks, of 128 each; half of them have what failed, was slow or is traced",
     .at = AP_NUMBER_AT(finished_rings), .otherwise = 32, .min = 2, .max = 1u << 15, .power = true, .counts = true},
    {.key = "slow_task", .what = "how long a task takes from its queueing to be among the last tasks for that",
     .at = AP_NUMBER_AT(slow_task), .otherwise = 100, .min = 1, .max = 1u << 31, .apart = true, .milliseconds = true},
    {.key = "trace_one_in", .what = "of tasks that are in no trace one in so many begins one that is recorded; 0: none does",
     .at = AP_NUMBER_AT(trace_one_in), .otherwise = 0, .min = 0, .max = 1u << 30, .apart = true},
    {.key = NULL},
};
const struct ap_part ap_part_finished = {
    .name = "finished", .element = "finished", .size = sizeof(struct ap_finished_ring), .fields = finished_fields,
    .numbers = finished_numbers, .look = look_finished,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
