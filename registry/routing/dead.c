/* registry/routing/dead.c - the dead set. See dead.h. */
#include "registry/routing/dead.h"

#include <signal.h>
#include <string.h>

#include "registry/client/hedge.h"
#include "registry/discovery/discovery.h"
#include "registry/routing/admission.h"
#include "registry/routing/kept.h"
#include "shm/event.h"
#include "shm/stream.h"

_Static_assert(sizeof(struct ap_dead) % AP_LINE == 0, "dead: whole lines");
_Static_assert(offsetof(struct ap_dead, caller) % 8 == 0 && AP_DEAD_TEXT % 8 == 0, "texts are whole words");

#define TRIES 8 /* rows that others take first, before the task is not entered */

static uint32_t dead_rows(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_DEAD].count;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* Its block is a leak from then on, which a sweep would find if the lane died here. */
int ap_dead_free(struct ap_segment *seg, uint32_t row, uint64_t life)
{
    struct ap_dead *d = ap_dead_at(seg, row);
    uint64_t epoch = AP_DEAD_EPOCH(life), body = ap_load_relaxed(&d->body);

    if (!ap_cas(&d->life, &life, AP_DEAD_LIFE(epoch, 0, AP_DEAD_FREE))) return 0; /* DEAD-R1 pairs DEAD-A1 */
    ap_pool_free_kept(seg, body, row, epoch);
    return 1;
}

bool ap_dead_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch)
{
    const struct ap_dead *d = ap_dead_at(seg, row);
    uint64_t life = d != NULL ? ap_load_acquire(&d->life) : 0; /* DEAD-A1 pairs DEAD-R1 */

    return AP_DEAD_STATE(life) != AP_DEAD_FREE && AP_BLOCK_IS_OF(AP_BLOCK(AP_BLOCK_KEPT, row, epoch), AP_DEAD_EPOCH(life));
}

bool ap_dead_read(const struct ap_segment *seg, uint32_t row, struct ap_dead *ret)
{
    const struct ap_dead *d = ap_dead_at(seg, row);
    const uint64_t *at = (const uint64_t *)(const void *)d;
    uint64_t words[sizeof *ret / 8], life = d != NULL ? ap_load_acquire(&d->life) : 0; /* DEAD-A1 pairs DEAD-R1 */

    if (AP_DEAD_STATE(life) != AP_DEAD_KEPT) return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) words[i] = ap_load_relaxed(&at[i]);
    ap_fence_acquire(); /* DEAD-A2 pairs DEAD-R2 */
    if (ap_load_relaxed(&d->life) != life) return false;
    memcpy(ret, words, sizeof words);
    ret->caller[APIARY_NAME_MAX] = ret->service[APIARY_NAME_MAX] = ret->instance[APIARY_NAME_MAX] = '\0';
    ret->agent[APIARY_NAME_MAX] = ret->text[AP_DEAD_TEXT - 1] = '\0';
    return true;
}

int ap_dead_find(const struct ap_segment *seg, uint64_t number, uint64_t *ret_life)
{
    for (uint32_t i = 0; i < dead_rows(seg); i++) {
        const struct ap_dead *d = ap_dead_at(seg, i);
        uint64_t life = ap_load_acquire(&d->life); /* DEAD-A1 pairs DEAD-R1 */

        if (AP_DEAD_STATE(life) != AP_DEAD_KEPT || ap_load_relaxed(&d->number) != number) continue;
        *ret_life = life;
        return (int)i;
    }
    return -1;
}

/* ---- a task is entered ------------------------------------------------------------------------------------------ */

struct entering {
    struct ap_segment *seg;
    const struct ap_slot *slot;
    apiary_task_t task;
    uint64_t word;
    uint32_t lane, cause;
};

/* The row in which this lane, or the dead one whose slot it frees, has begun to enter the task; -1: none. */
static int dead_row_of(const struct entering *e, bool *ret_whole)
{
    for (uint32_t i = 0; i < dead_rows(e->seg); i++) {
        const struct ap_dead *d = ap_dead_at(e->seg, i);
        uint64_t life = ap_load_acquire(&d->life); /* DEAD-A1 pairs DEAD-R1 */

        /* One that is FREE and names the task had its entry, which somebody has taken out meanwhile. */
        if (AP_DEAD_STATE(life) == AP_DEAD_FILLING && AP_DEAD_LANE(life) != e->lane) continue;
        if (ap_load_relaxed(&d->generation) != e->task.generation || ap_load_relaxed(&d->slot) != e->task.slot ||
            ap_load_relaxed(&d->epoch) != e->task.epoch)
            continue;
        *ret_whole = AP_DEAD_STATE(life) != AP_DEAD_FILLING;
        return (int)i;
    }
    return -1;
}

/* A row that is FREE, or else the one with the oldest entry; -1: none is. */
static int dead_row_spare(const struct ap_segment *seg, uint32_t lane, uint64_t *ret_life)
{
    uint64_t oldest = UINT64_MAX;
    int best = -1;

    for (uint32_t k = 0; k < dead_rows(seg); k++) { /* each lane from elsewhere: they do not all want the same one */
        uint32_t i = (lane + k) % dead_rows(seg);
        const struct ap_dead *d = ap_dead_at(seg, i);
        uint64_t life = ap_load_acquire(&d->life), number = ap_load_relaxed(&d->number); /* DEAD-A1 pairs DEAD-R1 */

        if (AP_DEAD_STATE(life) == AP_DEAD_FREE) number = 0;
        else if (AP_DEAD_STATE(life) != AP_DEAD_KEPT) continue;
        if (number >= oldest) continue;
        oldest = number;
        *ret_life = life;
        best = (int)i;
    }
    return best;
}

/* An entry has gone for want of room. */
static void dead_dropped(struct ap_segment *seg, uint32_t lane, uint64_t number, uint32_t row)
{
    ap_add_relaxed(&ap_dead_at(seg, 0)->drops, 1);
    ap_event_log(seg, AP_EVENT_DEAD_DROPPED, lane, number, row);
}

static int dead_row_take(struct ap_segment *seg, uint32_t lane)
{
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t life = 0, epoch;
        int row = dead_row_spare(seg, lane, &life);
        struct ap_dead *d;

        if (row < 0) return -1;
        d = ap_dead_at(seg, (uint32_t)row);
        epoch = AP_DEAD_EPOCH(life) + 1;
        if (!ap_cas(&d->life, &life, AP_DEAD_LIFE(epoch, lane, AP_DEAD_FILLING))) continue;
        ap_fence_release(); /* DEAD-R2 pairs DEAD-A2 */
        if (AP_DEAD_STATE(life) == AP_DEAD_FREE) return row;
        ap_pool_free_kept(seg, ap_load_relaxed(&d->body), (uint32_t)row, epoch - 1);
        dead_dropped(seg, lane, ap_load_relaxed(&d->number), (uint32_t)row);
        return row;
    }
    return -1;
}

/* The row of the oldest entry with a block of that size; -1: none has one. */
static int dead_row_with_block(const struct ap_segment *seg, uint32_t size, uint64_t *ret_life, uint64_t *ret_number)
{
    int best = -1;

    *ret_number = UINT64_MAX;
    for (uint32_t i = 0; i < dead_rows(seg); i++) {
        const struct ap_dead *d = ap_dead_at(seg, i);
        uint64_t life = ap_load_acquire(&d->life), number = ap_load_relaxed(&d->number), capacity; /* DEAD-A1 pairs DEAD-R1 */

        if (AP_DEAD_STATE(life) != AP_DEAD_KEPT || number >= *ret_number) continue;
        if (ap_pool_block(seg, ap_load_relaxed(&d->body), &capacity, NULL) < 0 || capacity != size) continue;
        *ret_life = life;
        *ret_number = number;
        best = (int)i;
    }
    return best;
}

int ap_dead_make_room(struct ap_segment *seg, uint32_t lane, uint64_t size)
{
    uint64_t life, number;
    int row;

    for (int tries = 0; tries < TRIES; tries++) {
        row = dead_row_with_block(seg, ap_pool_fits(seg, size), &life, &number);
        if (row < 0) return 0;
        if (!ap_dead_free(seg, (uint32_t)row, life)) continue;
        dead_dropped(seg, lane, number, (uint32_t)row);
        return 1;
    }
    return 0;
}

/* Where it ran last. The queue stays the agent's until its record is given away. */
static void dead_where(const struct entering *e, struct ap_dead *d)
{
    const struct ap_agent_record *agent = ap_agent_at(e->seg, ap_load_relaxed(&e->slot->queue));
    const struct ap_swarm *swarm = agent != NULL ? ap_swarm_at(e->seg, ap_load_relaxed(&agent->swarm)) : NULL;
    const struct ap_lane *lane = ap_lane_at(e->seg, ap_load_relaxed(&e->slot->worker));
    char name[APIARY_NAME_MAX + 1] = "";
    uint32_t caller = ap_load_relaxed(&e->slot->caller);
    bool same = lane != NULL && ap_load_relaxed(&lane->joined) <= ap_load_relaxed(&e->slot->started);

    ap_store_relaxed(&d->pid, same ? ap_load_relaxed(&lane->pid) : 0);
    if (caller != 0) ap_service_name(e->seg, caller - 1, name);
    ap_text_store(d->caller, name, sizeof d->caller);
    ap_text_store(d->agent, agent != NULL ? agent->name : "", sizeof d->agent);
    ap_text_store(d->instance, swarm != NULL ? swarm->instance : "", sizeof d->instance);
    name[0] = '\0';
    if (swarm != NULL) ap_service_name(e->seg, ap_load_relaxed(&swarm->service), name);
    ap_text_store(d->service, name, sizeof d->service);
}

/* The agent's text where it has failed the task, as far as there is room for it. */
static void dead_text(const struct entering *e, char ret[AP_DEAD_TEXT])
{
    uint32_t size = 0;
    const void *result = e->cause == AP_DEAD_FAILED ? ap_task_result(e->seg, e->slot, &size) : NULL;

    memset(ret, 0, AP_DEAD_TEXT);
    if (result != NULL) memcpy(ret, result, size < AP_DEAD_TEXT - 1 ? size : AP_DEAD_TEXT - 1);
}

/* The block becomes the row's. After a death between these steps it is so already, and the slot still names it. A slot that names
 * another's block has lost its body. */
static void dead_body(const struct entering *e, struct ap_dead *d, uint32_t row, uint64_t epoch)
{
    uint64_t offset = ap_load_relaxed(&e->slot->body), inside[AP_INLINE_BODY / 8];
    bool over = ap_task_requested(e->slot, e->word, AP_REQUEST_OVERWRITTEN);

    if (!over && offset != 0 && !ap_pool_keep(e->seg, offset, e->task.slot, e->task.generation, row, epoch)) over = true;
    memcpy(inside, e->slot->body_inline, sizeof inside);
    for (size_t i = 0; i < AP_INLINE_BODY / 8; i++) ap_store_relaxed((uint64_t *)(void *)d->body_inside + i, inside[i]);
    ap_store_relaxed(&d->lost_body, over);
    ap_store_relaxed(&d->body_size, over ? 0 : ap_load_relaxed(&e->slot->body_size));
    ap_store_relaxed(&d->body, over ? 0 : offset);
}

static uint32_t dead_starts(const struct entering *e)
{
    return AP_WORD_ATTEMPT(e->word) + AP_TRIES_FAILURES(ap_slot_tries(e->slot, e->word)) +
           (e->cause == AP_DEAD_LOST || e->cause == AP_DEAD_FAILED || e->cause == AP_DEAD_OVERRUN);
}

static void dead_fill(const struct entering *e, uint32_t row, uint64_t epoch, const char *text)
{
    struct ap_dead *d = ap_dead_at(e->seg, row);
    const struct ap_slot *slot = e->slot;
    uint64_t queued = ap_load_relaxed(&slot->queued), deadline = ap_load_relaxed(&slot->deadline);
    struct ap_carried carried;
    uint64_t words[sizeof carried / 8], *to = (uint64_t *)(void *)&d->carried;

    ap_store_relaxed(&d->again, 0); /* a row that was delegated anew before has that task's */
    ap_store_relaxed(&d->slot, e->task.slot);
    ap_store_relaxed(&d->epoch, e->task.epoch);
    ap_store_relaxed(&d->generation, e->task.generation);
    dead_body(e, d, row, epoch);
    ap_store_relaxed(&d->died, e->seg->ops->realtime());
    ap_store_relaxed(&d->timeout, deadline == APIARY_FOREVER || deadline < queued ? APIARY_FOREVER : deadline - queued);
    ap_store_relaxed(&d->agent_code, ap_load_relaxed(&slot->agent_code));
    ap_store_relaxed(&d->starts, dead_starts(e));
    ap_store_relaxed(&d->crashes, AP_WORD_CRASHES(e->word));
    ap_store_relaxed(&d->capability, ap_load_relaxed(&slot->capability));
    ap_store_relaxed(&d->only, ap_load_relaxed(&slot->only));
    ap_store_relaxed(&d->cause, (uint16_t)e->cause);
    dead_where(e, d);
    ap_text_store(d->text, text, sizeof d->text);
    ap_carried_read(e->seg, e->task, &carried);
    memcpy(words, &carried, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) ap_store_relaxed(&to[i], words[i]);
    ap_store_relaxed(&d->dropped, ap_load_relaxed(&ap_dead_at(e->seg, 0)->drops));
    ap_store_relaxed(&d->number, ap_add_relaxed(&ap_dead_at(e->seg, 0)->numbers, 1) + 1);
    ap_store_release(&d->life, AP_DEAD_LIFE(epoch, 0, AP_DEAD_KEPT)); /* DEAD-R1 pairs DEAD-A1 */
}

static __attribute__((noinline)) void dead_enter(const struct entering *e)
{
    uint64_t of = AP_EVENT_TASK(ap_load_relaxed(&e->slot->capability), ap_load_relaxed(&e->slot->caller), dead_starts(e));
    char text[AP_DEAD_TEXT];
    bool whole = false;
    int row = dead_row_of(e, &whole);

    if (whole) return;
    dead_text(e, text);
    if (row < 0) row = dead_row_take(e->seg, e->lane);
    if (row < 0) { /* others are at all of them */
        ap_add_relaxed(&ap_dead_at(e->seg, 0)->drops, 1);
        ap_event_log_more(e->seg, AP_EVENT_DEAD_MISSED, e->lane, e->task.slot, e->cause, of, text, strlen(text));
        return;
    }
    dead_fill(e, (uint32_t)row, AP_DEAD_EPOCH(ap_load_relaxed(&ap_dead_at(e->seg, (uint32_t)row)->life)), text);
    ap_event_log_more(e->seg, AP_EVENT_TASK_DEAD, e->lane, e->task.slot, (uint64_t)row, of, text, strlen(text));
}

/* A hedged task is one for the dead set: its second copy is not entered, nor is the first where the second has answered. */
static bool dead_stands(const struct entering *e)
{
    const struct ap_carried *row = ap_carried_at(e->seg, e->task.slot);

    if (row == NULL || ap_load_relaxed(&row->generation) != e->task.generation || ap_load_relaxed(&row->epoch) != e->task.epoch)
        return true;
    if (ap_load_relaxed(&row->hedge) == 0) return ap_load_relaxed(&row->other) == 0;
    return ap_load_acquire(&row->won) != AP_HEDGE_SECOND; /* HEDGE-A2 pairs HEDGE-R2 */
}

void ap_slot_leave(void *user, struct ap_slot *slot)
{
    struct ap_segment *seg = user;
    uint64_t word = ap_load_relaxed(&slot->word), request = ap_request_bits(ap_load_relaxed(&slot->request), word);
    uint32_t index = (uint32_t)(slot - ap_slot_at(seg, 0));

    if (__builtin_expect(AP_REQUEST_CAUSE(request) != 0, 0)) {
        const struct entering e = {.seg = seg, .slot = slot, .task = ap_task_id(seg, index, AP_WORD_GENERATION(word)), .word = word,
                                   .lane = AP_WORD_OWNER(word), .cause = AP_REQUEST_CAUSE(request)};
        if (dead_stands(&e)) dead_enter(&e);
    }
    /* Afterwards, since the result may be dropped by others as soon as it is kept. */
    if (__builtin_expect((request & AP_REQUEST_KEEP) != 0, 0)) ap_kept_enter(seg, slot, word);
    if (__builtin_expect((request & AP_REQUEST_PARTS) != 0, 0)) ap_stream_leave(seg, index, word);
    ap_slot_ticket_return(seg, slot);
}

/* ---- recovery --------------------------------------------------------------------------------------------------- */

/* Whether the task that a TAKEN row was to become is on its way: QUEUED once, and not taken back since because its queue was full.
 * Asked before a slot of the dead lane is freed. */
static bool dead_again(const struct ap_segment *seg, const struct ap_dead *d)
{
    uint64_t again = ap_load_relaxed(&d->again), word;
    const struct ap_slot *slot = ap_slot_at(seg, AP_REF_SLOT(again));

    if (again == 0 || slot == NULL) return false;
    word = ap_load_acquire(&slot->word); /* TASK-A4 pairs TASK-R4 */
    if (AP_WORD_GENERATION(word) != AP_REF_GENERATION(again)) return true;
    return AP_WORD_STATE(word) != AP_TASK_RESERVED && AP_WORD_STATE(word) != AP_TASK_CANCELLED;
}

/* The row's block may be with the slot that was to become its task: with that of `again`, or, before that is named, with one that
 * the dead lane has RESERVED. It is KEPT again. A block that has gone another way is lost to the entry. */
static void dead_block_back(struct ap_segment *seg, struct ap_dead *d, uint32_t row, uint64_t life)
{
    uint64_t body = ap_load_relaxed(&d->body), ref = ap_load_relaxed(&d->again), block = 0, word;
    const struct ap_slot *slot;

    if (body == 0) return;
    if (ref == 0 && ap_pool_block(seg, body, NULL, &block) == 0 && AP_BLOCK_STATE(block) == AP_BLOCK_REQUEST) {
        slot = ap_slot_at(seg, AP_BLOCK_WHO(block));
        word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A4 pairs TASK-R4 */
        if (AP_WORD_STATE(word) == AP_TASK_RESERVED && AP_WORD_OWNER(word) == AP_DEAD_LANE(life))
            ref = AP_REF(AP_BLOCK_WHO(block), AP_WORD_GENERATION(word));
    }
    if (ap_pool_keep(seg, body, AP_REF_SLOT(ref), AP_REF_GENERATION(ref), row, AP_DEAD_EPOCH(life))) return;
    ap_store_relaxed(&d->lost_body, 1);
    ap_store_relaxed(&d->body_size, 0);
    ap_store_relaxed(&d->body, 0);
}

void ap_dead_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; beside == 0 && i < dead_rows(seg); i++) {
        struct ap_dead *d = ap_dead_at(seg, i);
        uint64_t life = ap_load_acquire(&d->life); /* DEAD-A1 pairs DEAD-R1 */

        if (AP_DEAD_STATE(life) != AP_DEAD_TAKEN || AP_DEAD_LANE(life) != lane) continue;
        if (dead_again(seg, d)) {
            ap_dead_free(seg, i, life);
            continue;
        }
        dead_block_back(seg, d, i, life);
        ap_store_relaxed(&d->again, 0);
        ap_cas(&d->life, &life, AP_DEAD_LIFE(AP_DEAD_EPOCH(life), 0, AP_DEAD_KEPT)); /* DEAD-R1 pairs DEAD-A1 */
    }
}

void ap_dead_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; beside == 0 && i < dead_rows(seg); i++) {
        uint64_t life = ap_load_acquire(&ap_dead_at(seg, i)->life); /* DEAD-A1 pairs DEAD-R1 */

        if (AP_DEAD_STATE(life) == AP_DEAD_FILLING && AP_DEAD_LANE(life) == lane) ap_dead_free(seg, i, life);
    }
}

/* ---- its part --------------------------------------------------------------------------------------------------- */

static void look_dead(struct ap_look *look)
{
    const struct ap_dead *d = ap_dead_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &d->life), body = ap_look_64(look, &d->body), capacity = AP_INLINE_BODY, block;
    uint32_t state = AP_DEAD_STATE(life), size = ap_look_32(look, &d->body_size), cause = ap_look_16(look, &d->cause);

    if (state > AP_DEAD_TAKEN) ap_look_found(look, AP_CORRUPT, &d->life, life, "X2", "state %u", state);
    if ((state == AP_DEAD_FILLING || state == AP_DEAD_TAKEN) && !ap_lane_alive(look->seg, AP_DEAD_LANE(life))) {
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &d->life, life, "X1", "in the hands of lane %u, which is not LIVE", AP_DEAD_LANE(life));
    }
    if (state != AP_DEAD_KEPT && state != AP_DEAD_TAKEN) return;
    if (ap_look_64(look, &d->number) == 0 || cause == AP_DEAD_NOT || cause >= AP_DEAD_CAUSES)
        ap_look_found(look, AP_CORRUPT, &d->cause, life ^ cause, "X2", "cause %u", cause);
    if (state == AP_DEAD_KEPT && ap_look_64(look, &d->again) != 0)
        ap_look_found(look, AP_CORRUPT, &d->again, life ^ d->again, "X2", "it names a task that it is not becoming");
    /* That of a TAKEN row may be its next task's by now. */
    if (body != 0 && (ap_pool_block(look->seg, body, &capacity, &block) < 0 ||
                      (state == AP_DEAD_KEPT && block != AP_BLOCK(AP_BLOCK_KEPT, look->index, AP_DEAD_EPOCH(life))))) {
        look->patient = true;
        ap_look_found(look, AP_CORRUPT, &d->body, life ^ body, "X3", "the block at %llu is not kept for it",
                      (unsigned long long)body);
    }
    if (size > capacity) ap_look_found(look, AP_CORRUPT, &d->body_size, life ^ size, "X2", "%u bytes", size);
}

static const struct ap_field dead_fields[] = {
    AP_FIELD(ap_dead, life), AP_FIELD(ap_dead, again), AP_FIELD(ap_dead, number), AP_FIELD(ap_dead, died),
    AP_FIELD(ap_dead, generation), AP_FIELD(ap_dead, slot), AP_FIELD(ap_dead, epoch), AP_FIELD(ap_dead, body),
    AP_FIELD(ap_dead, timeout), AP_FIELD(ap_dead, dropped), AP_FIELD(ap_dead, numbers), AP_FIELD(ap_dead, drops),
    AP_FIELD(ap_dead, pid), AP_FIELD(ap_dead, body_size),
    AP_FIELD(ap_dead, agent_code), AP_FIELD(ap_dead, starts), AP_FIELD(ap_dead, crashes), AP_FIELD(ap_dead, capability),
    AP_FIELD(ap_dead, only), AP_FIELD(ap_dead, cause), AP_FIELD(ap_dead, lost_body), AP_FIELD(ap_dead, caller),
    AP_FIELD(ap_dead, service), AP_FIELD(ap_dead, instance), AP_FIELD(ap_dead, agent), AP_FIELD(ap_dead, text),
    AP_FIELD(ap_dead, body_inside), AP_FIELD(ap_dead, carried), {NULL, 0, 0},
};
static const struct ap_number dead_numbers_list[] = {
    {.key = "dead_tasks", .what = "tasks in the dead set; when it is full the oldest goes",
     .at = AP_REGISTRY_NUMBER_AT(DEAD), .otherwise = 256, .min = 1, .max = 65536, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_dead = {
    .name = "dead", .element = "dead", .size = sizeof(struct ap_dead), .fields = dead_fields, .numbers = dead_numbers_list,
    .look = look_dead, .withdraw = ap_dead_withdraw, .settle = ap_dead_settle,
};
