/* registry/client/carried.c - what few tasks carry with them. See carried.h. */
#include "registry/client/hedge.h"
#include "shm/finished.h"

#include "registry/routing/retry.h"
#include "registry/routing/router.h"

_Static_assert(sizeof(struct ap_carried) % AP_LINE == 0, "carried: whole lines, written and read by words");

enum {
    CARRIED_SIZE = 0
#define AP_CARRIED(field, type, ...) + sizeof(type)
#include "registry/client/carried.def"
#undef AP_CARRIED
};
_Static_assert(CARRIED_SIZE == sizeof(apiary_delegate_options_t) - offsetof(apiary_delegate_options_t, hops),
               "an option without a row in carried.def would be dropped in silence, and a hole at the end could hide one");

/* ---- hops ------------------------------------------------------------------------------------------------------ */

static bool carried_hops_possible(const uint32_t *hops)
{
    return *hops != UINT32_MAX;
}

static uint32_t carried_hops_otherwise(void)
{
    return AP_HOPS;
}

static int carried_hops_inherit(uint32_t *own, const uint32_t *parents, uint64_t parent)
{
    (void)parent;
    if (*parents <= 1) return APIARY_EHOPS;
    if (*own == 0 || *own > *parents - 1) *own = *parents - 1;
    return 0;
}

/* ---- trace ----------------------------------------------------------------------------------------------------- */

static bool carried_trace_any(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++) any |= bytes[i];
    return any != 0;
}

static bool carried_trace_said(const apiary_trace_t *t)
{
    return carried_trace_any(t->trace_id, sizeof t->trace_id);
}

/* Both ids, or neither, as the standard has it. */
static bool carried_trace_possible(const apiary_trace_t *t)
{
    if (carried_trace_any(t->reserved, sizeof t->reserved)) return false;
    if (carried_trace_said(t)) return carried_trace_any(t->parent_id, sizeof t->parent_id);
    return !carried_trace_any(t->parent_id, sizeof t->parent_id) && t->flags == 0;
}

static apiary_trace_t carried_trace_otherwise(void)
{
    return (apiary_trace_t){.flags = 0};
}

/* A task's span is its reference: unique in the segment, and never 0. */
static int carried_trace_inherit(apiary_trace_t *own, const apiary_trace_t *parents, uint64_t parent)
{
    if (carried_trace_said(own) || !carried_trace_said(parents)) return 0;
    *own = *parents;
    for (size_t i = 0; i < sizeof own->parent_id; i++) own->parent_id[i] = (uint8_t)(parent >> (56 - 8 * i));
    return 0;
}

/* ---- delay, due at: slot.due has the time; here is what was asked for ------------------------------------------ */

#define CARRIED_TIME_MAX (UINT64_MAX / 4) /* a time beyond any that will come, and no sum of two of these is out of range */

static bool carried_delay_possible(const uint64_t *delay)
{
    return *delay <= CARRIED_TIME_MAX;
}

static uint64_t carried_delay_otherwise(void)
{
    return 0;
}

static int carried_delay_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

static bool carried_due_at_possible(const uint64_t *at)
{
    return *at <= CARRIED_TIME_MAX;
}

static uint64_t carried_due_at_otherwise(void)
{
    return 0;
}

static int carried_due_at_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- retry ----------------------------------------------------------------------------------------------------- */

static bool carried_retry_possible(const apiary_retry_t *retry)
{
    return ap_retry_possible(retry);
}

static apiary_retry_t carried_retry_otherwise(void)
{
    return (apiary_retry_t){.max_attempts = 0};
}

static int carried_retry_inherit(apiary_retry_t *own, const apiary_retry_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- key ------------------------------------------------------------------------------------------------------- */

static bool carried_key_possible(const uint64_t *key)
{
    (void)key;
    return true;
}

static uint64_t carried_key_otherwise(void)
{
    return 0;
}

/* It is one task's own. */
static int carried_key_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- keep ------------------------------------------------------------------------------------------------------ */

static bool carried_keep_possible(const uint64_t *keep)
{
    (void)keep;
    return true;
}

static uint64_t carried_keep_otherwise(void)
{
    return 0;
}

static int carried_keep_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- priority ---------------------------------------------------------------------------------------------------- */

_Static_assert(APIARY_PRIORITY_URGENT == AP_RANK_URGENT + 1 && APIARY_PRIORITY_LOW == AP_RANK_LOW + 1, "a rank is a priority - 1");
_Static_assert(APIARY_PRIORITY_HIGH == AP_RANK_HIGH + 1 && APIARY_PRIORITY_NORMAL == AP_RANK_NORMAL + 1, "each of them");

static bool carried_priority_possible(const uint64_t *priority)
{
    return *priority <= APIARY_PRIORITY_LOW;
}

static uint64_t carried_priority_otherwise(void)
{
    return 0;
}

/* An urgent task is not to wait for its children, which would be less so. */
static int carried_priority_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)parent;
    if (*own == 0) *own = *parents;
    return 0;
}

/* ---- dedup_key --------------------------------------------------------------------------------------------------- */

static bool carried_dedup_key_possible(const uint64_t *key)
{
    (void)key;
    return true;
}

static uint64_t carried_dedup_key_otherwise(void)
{
    return 0;
}

/* It is one task's own. */
static int carried_dedup_key_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- provider -------------------------------------------------------------------------------------------------- */

static bool carried_provider_possible(const uint64_t *provider)
{
    return *provider == 0 || AP_PROVIDER_QUEUE(*provider) != AP_NO_QUEUE;
}

static uint64_t carried_provider_otherwise(void)
{
    return 0;
}

/* It is one task's own. */
static int carried_provider_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- timers: one task's own; its children have its deadline ---------------------------------------------------- */

static bool carried_schedule_to_start_possible(const uint64_t *span)
{
    return *span <= CARRIED_TIME_MAX;
}

static uint64_t carried_schedule_to_start_otherwise(void)
{
    return 0;
}

static int carried_schedule_to_start_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

static bool carried_start_to_close_possible(const uint64_t *span)
{
    return *span <= CARRIED_TIME_MAX;
}

static uint64_t carried_start_to_close_otherwise(void)
{
    return 0;
}

static int carried_start_to_close_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

static bool carried_heartbeat_possible(const uint64_t *span)
{
    return *span <= CARRIED_TIME_MAX;
}

static uint64_t carried_heartbeat_otherwise(void)
{
    return 0;
}

static int carried_heartbeat_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- parent_close ---------------------------------------------------------------------------------------------- */

static bool carried_parent_close_possible(const uint64_t *policy)
{
    return *policy <= APIARY_PARENT_REQUEST_CANCEL;
}

static uint64_t carried_parent_close_otherwise(void)
{
    return 0;
}

static int carried_parent_close_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- hedge ----------------------------------------------------------------------------------------------------- */

static bool carried_hedge_possible(const uint64_t *hedge)
{
    return *hedge <= CARRIED_TIME_MAX;
}

static uint64_t carried_hedge_otherwise(void)
{
    return 0;
}

static int carried_hedge_inherit(uint64_t *own, const uint64_t *parents, uint64_t parent)
{
    (void)own, (void)parents, (void)parent;
    return 0;
}

/* ---- the row --------------------------------------------------------------------------------------------------- */

int ap_carried_judge(const apiary_delegate_options_t *o)
{
    /* Nobody waits for what is fire and forget; parts would come from both; one mechanism is enough against a provider that does
     * not answer; and what one provider alone may run has no second copy. */
    if (o->hedge != 0 && ((o->flags & (APIARY_DETACH | APIARY_PARTS | APIARY_NO_HEDGE)) != 0 || o->retry.max_attempts > 1 ||
                          o->provider != 0))
        return APIARY_EINVAL;
    /* Of a run that is shared there is no second copy, no choice of the provider, and no parts. */
    if (o->dedup_key != 0 && ((o->flags & APIARY_PARTS) != 0 || (o->hedge | o->provider) != 0)) return APIARY_EINVAL;
#define AP_CARRIED(field, type, ...) if (!carried_##field##_possible(&o->field)) return APIARY_EINVAL;
#include "registry/client/carried.def"
#undef AP_CARRIED
    return 0;
}

void ap_carried_write(struct ap_segment *seg, apiary_task_t task, const apiary_delegate_options_t *o)
{
    const struct ap_carried none = {.generation = 0};
    struct ap_carried row = {.generation = task.generation, .epoch = task.epoch};
    uint64_t *to = (uint64_t *)(void *)ap_carried_at(seg, task.slot), words[sizeof row / 8];

#define AP_CARRIED(field, type, ...) \
    row.field = memcmp(&o->field, &none.field, sizeof none.field) != 0 ? o->field : carried_##field##_otherwise();
#include "registry/client/carried.def"
#undef AP_CARRIED
    memcpy(words, &row, sizeof words);
    ap_fence_release(); /* CARRIED-R1 pairs CARRIED-A1 */
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) ap_store_relaxed(&to[i], words[i]);
}

/* As it stands, whoever's it is. */
static void carried_copy(const struct ap_carried *from, struct ap_carried *ret)
{
    const uint64_t *at = (const uint64_t *)(const void *)from;
    uint64_t words[sizeof *ret / 8];

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) words[i] = ap_load_relaxed(&at[i]);
    memcpy(ret, words, sizeof words);
}

static bool carried_possible(const struct ap_carried *row)
{
#define AP_CARRIED(field, type, ...) if (!carried_##field##_possible(&row->field)) return false;
#include "registry/client/carried.def"
#undef AP_CARRIED
    return true;
}

bool ap_carried_read(const struct ap_segment *seg, apiary_task_t task, struct ap_carried *ret)
{
    const struct ap_carried *at = ap_carried_at(seg, task.slot);

    if (at != NULL) {
        carried_copy(at, ret);
        if (ret->generation == task.generation && ret->epoch == task.epoch && carried_possible(ret)) return true;
    }
    *ret = (struct ap_carried){.generation = task.generation, .epoch = task.epoch};
#define AP_CARRIED(field, type, ...) ret->field = carried_##field##_otherwise();
#include "registry/client/carried.def"
#undef AP_CARRIED
    return false;
}

int ap_carried_inherit(const struct ap_segment *seg, apiary_task_t parent, apiary_delegate_options_t *o)
{
    struct ap_carried row;
    int r = 0;

    ap_carried_read(seg, parent, &row);
#define AP_CARRIED(field, type, ...) \
    if (r == 0) r = carried_##field##_inherit(&o->field, &row.field, AP_REF(parent.slot, parent.generation));
#include "registry/client/carried.def"
#undef AP_CARRIED
    return r;
}

int ap_carried_trace(const struct ap_segment *seg, apiary_task_t task, apiary_trace_t *ret)
{
    struct ap_carried row;
    apiary_trace_t on = {.flags = 0};

    ap_carried_read(seg, task, &row);
    carried_trace_inherit(&on, &row.trace, AP_REF(task.slot, task.generation));
    if (!carried_trace_said(&on)) return 0;
    *ret = on;
    return 1;
}

void ap_carried_traced(const struct ap_segment *seg, apiary_task_t task, struct ap_finished *ret)
{
    struct ap_carried row;

    if (!ap_carried_read(seg, task, &row)) return;
    memcpy(ret->trace, row.trace.trace_id, sizeof ret->trace);
    ret->flags = row.trace.flags;
    ret->parent = 0;
    for (size_t i = 0; i < sizeof row.trace.parent_id; i++) ret->parent = ret->parent << 8 | row.trace.parent_id[i];
    ret->other = row.other;
    ret->second = row.hedge == 0 && row.other != 0;
}

/* ---- its part -------------------------------------------------------------------------------------------------- */

static void look_carried(struct ap_look *look)
{
    const struct ap_carried *at = ap_carried_at(look->seg, look->index);
    const struct ap_slot *slot = ap_slot_at(look->seg, look->index);
    const struct ap_slab *slab = ap_slab_at(look->seg, look->index / AP_SLAB_SLOTS);
    uint64_t generation = ap_look_64(look, &at->generation), word, lease;
    struct ap_carried row;

    carried_copy(at, &row);
    lease = slab != NULL ? ap_look_64(look, &slab->lease) : 0;
    word = ap_look_64(look, &slot->word);
    if (row.epoch > AP_LEASE_EPOCH(lease))
        ap_look_found(look, AP_CORRUPT, &at->epoch, lease ^ row.epoch, "R8", "epoch %u; its slab has %u", row.epoch,
                      AP_LEASE_EPOCH(lease));
    if (row.epoch == AP_LEASE_EPOCH(lease) && generation > AP_WORD_GENERATION(word))
        ap_look_found(look, AP_CORRUPT, &at->generation, word ^ generation << 8, "R8", "generation %llu; its slot has %llu",
                      (unsigned long long)generation, (unsigned long long)AP_WORD_GENERATION(word));
    /* Before the task is published the row may be half written, also by somebody who is dead. */
    if (AP_WORD_STATE(word) > AP_TASK_RESERVED && generation == AP_WORD_GENERATION(word) && !carried_possible(&row))
        ap_look_found(look, AP_CORRUPT, &at->hops, generation, "R8", "what it says is not possible");
    if (row.won >= AP_HEDGE_WAYS || (row.won == AP_HEDGE_SECOND && row.other == 0))
        ap_look_found(look, AP_CORRUPT, &at->won, row.won ^ row.other, "R12", "%u counts, and the other copy is %016llx",
                      row.won, (unsigned long long)row.other);
    if (row.passed != 0 && row.passed >> 16 != 1)
        ap_look_found(look, AP_CORRUPT, &at->passed, row.passed, "R8", "it was passed on for %08x", row.passed);
    if (row.other >> 60 != 0 || AP_REF_SLOT(row.other) >= look->seg->geometry.tasks)
        ap_look_found(look, AP_CORRUPT, &at->other, row.other, "R12", "its other copy is %016llx", (unsigned long long)row.other);
}

static uint64_t carried_count(const struct ap_geometry *g)
{
    return g->tasks;
}

static const struct ap_field carried_fields[] = {
    AP_FIELD(ap_carried, generation), AP_FIELD(ap_carried, epoch), AP_FIELD(ap_carried, other), AP_FIELD(ap_carried, won),
    AP_FIELD(ap_carried, passed),
#define AP_CARRIED(field, type, ...) AP_FIELD(ap_carried, field),
#include "registry/client/carried.def"
#undef AP_CARRIED
    {NULL, 0, 0},
};
const struct ap_part ap_part_carried = {
    .name = "carried", .element = "carried", .size = sizeof(struct ap_carried), .count = carried_count, .fields = carried_fields,
    .numbers = AP_NO_NUMBERS, .look = look_carried,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
