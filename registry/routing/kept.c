/* registry/routing/kept.c - results that outlive their tasks. See kept.h. */
#include "registry/routing/kept.h"

#include <limits.h>
#include <string.h>

#include "core/text.h"
#include "registry/client/client.h"
#include "registry/memory/memory.h"

_Static_assert(sizeof(struct ap_kept) % AP_LINE == 0, "kept: whole lines");
_Static_assert(offsetof(struct ap_kept, inside) % 8 == 0, "a result in the row is whole words");

static uint32_t kept_rows(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_KEPT].count;
}

/* The number that a block of the row's names: the rows of the dead set come first. */
static uint32_t block_row(const struct ap_segment *seg, uint32_t row)
{
    return (uint32_t)seg->sections[AP_SECTION_DEAD].count + row;
}

static bool names(const struct ap_kept *k, apiary_task_t task)
{
    return ap_load_relaxed(&k->generation) == task.generation && ap_load_relaxed(&k->slot) == task.slot &&
           ap_load_relaxed(&k->epoch) == task.epoch;
}

/* Whether the task of a PROMISED row is in its slot. Its life was read before. */
static bool row_awaits(const struct ap_segment *seg, const struct ap_kept *k)
{
    const struct ap_slot *slot = ap_slot_at(seg, ap_load_relaxed(&k->slot));
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A3 pairs TASK-R3 */

    return AP_WORD_STATE(word) != AP_TASK_FREE && AP_WORD_GENERATION(word) == ap_load_relaxed(&k->generation) &&
           names(k, ap_task_id(seg, ap_load_relaxed(&k->slot), AP_WORD_GENERATION(word)));
}

/* Whether a row with this life is of no use any more. */
static bool row_over(const struct ap_segment *seg, const struct ap_kept *k, uint64_t life, uint64_t now)
{
    if (AP_KEPT_STATE(life) == AP_KEPT_KEPT) return ap_load_relaxed(&k->until) <= now;
    return AP_KEPT_STATE(life) == AP_KEPT_PROMISED && !row_awaits(seg, k);
}

/* A block of its own is a leak from then on, which a sweep would find if the lane died here. */
static int row_free(struct ap_segment *seg, uint32_t row, uint64_t life)
{
    struct ap_kept *k = ap_kept_at(seg, row);
    uint64_t epoch = AP_KEPT_EPOCH(life), result = AP_KEPT_STATE(life) == AP_KEPT_KEPT ? ap_load_relaxed(&k->result) : 0;

    if (!ap_cas(&k->life, &life, AP_KEPT_LIFE(epoch, 0, AP_KEPT_FREE))) return 0; /* KEPT-R1 pairs KEPT-A1 */
    ap_pool_free_kept(seg, result, block_row(seg, row), epoch);
    return 1;
}

int ap_kept_free(struct ap_segment *seg, uint32_t row, uint64_t life)
{
    return AP_KEPT_STATE(life) == AP_KEPT_KEPT && row_free(seg, row, life);
}

uint32_t ap_kept_expire(struct ap_segment *seg, uint64_t now)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < kept_rows(seg); i++) {
        const struct ap_kept *k = ap_kept_at(seg, i);
        uint64_t life = ap_load_acquire(&k->life); /* KEPT-A1 pairs KEPT-R1 */

        if (row_over(seg, k, life, now)) n += (uint32_t)row_free(seg, i, life);
    }
    return n;
}

struct ap_kept_use ap_kept_used(const struct ap_segment *seg)
{
    struct ap_kept_use use = {.until = UINT64_MAX};

    for (uint32_t i = 0; i < kept_rows(seg); i++) {
        const struct ap_kept *k = ap_kept_at(seg, i);
        uint32_t state = AP_KEPT_STATE(ap_load_acquire(&k->life)); /* KEPT-A1 pairs KEPT-R1 */
        uint64_t until = ap_load_relaxed(&k->until);

        if (state != AP_KEPT_PROMISED && state != AP_KEPT_KEPT) continue;
        use.used++;
        use.left += ap_kept_holder(seg, i) == AP_SHARE_NOBODY;
        if (state == AP_KEPT_KEPT && until < use.until) use.until = until;
    }
    return use;
}

bool ap_kept_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch)
{
    const struct ap_kept *k = ap_kept_at(seg, row);
    uint64_t life = k != NULL ? ap_load_acquire(&k->life) : 0; /* KEPT-A1 pairs KEPT-R1 */

    return AP_KEPT_STATE(life) >= AP_KEPT_PROMISED &&
           AP_BLOCK_IS_OF(AP_BLOCK(AP_BLOCK_KEPT, row, epoch), AP_KEPT_EPOCH(life));
}

/* Whether the row is promised to the task, or has its result. */
static bool row_keeps(const struct ap_segment *seg, uint32_t row, apiary_task_t task, uint64_t *ret_life)
{
    const struct ap_kept *k = ap_kept_at(seg, row);
    uint64_t life;
    bool has;

    do {
        life = ap_load_acquire(&k->life); /* KEPT-A1 pairs KEPT-R1 */
        has = AP_KEPT_STATE(life) >= AP_KEPT_PROMISED && names(k, task) &&
              (AP_KEPT_STATE(life) == AP_KEPT_KEPT || row_awaits(seg, k));
        ap_fence_acquire(); /* KEPT-A2 pairs KEPT-R2 */
    } while (ap_load_relaxed(&k->life) != life);
    if (has) *ret_life = life;
    return has;
}

int ap_kept_find(const struct ap_segment *seg, apiary_task_t task, uint64_t *ret_life)
{
    uint32_t rows = kept_rows(seg);

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = (task.slot + i) % rows;

        if (!row_keeps(seg, row, task, ret_life)) continue;
        return (int)row;
    }
    return -1;
}

/* ---- a row is promised ------------------------------------------------------------------------------------------ */

int ap_kept_take(struct ap_segment *seg, uint32_t lane, uint32_t *ret_row)
{
    uint64_t now = seg->ops->now();

    for (uint32_t i = 0; i < kept_rows(seg); i++) {
        struct ap_kept *k = ap_kept_at(seg, i);
        uint64_t life = ap_load_acquire(&k->life); /* KEPT-A1 pairs KEPT-R1 */

        if (row_over(seg, k, life, now)) {
            row_free(seg, i, life);
            life = ap_load_acquire(&k->life); /* KEPT-A1 pairs KEPT-R1 */
        }
        if (AP_KEPT_STATE(life) != AP_KEPT_FREE) continue;
        if (!ap_cas(&k->life, &life, AP_KEPT_LIFE(AP_KEPT_EPOCH(life) + 1, lane, AP_KEPT_FILLING))) continue;
        ap_fence_release(); /* KEPT-R2 pairs KEPT-A2 */
        *ret_row = i;
        return 0;
    }
    return APIARY_ETABLEFULL;
}

uint32_t ap_kept_holder(const struct ap_segment *seg, uint32_t row)
{
    const struct ap_kept *k = ap_kept_at(seg, row);

    return k != NULL ? ap_share_named(seg, ap_load_relaxed(&k->holder)) : AP_SHARE_NOBODY;
}

void ap_kept_promise(struct ap_segment *seg, uint32_t row, apiary_task_t task, uint64_t keep, uint32_t member)
{
    struct ap_kept *k = ap_kept_at(seg, row);
    uint64_t epoch = AP_KEPT_EPOCH(ap_load_relaxed(&k->life));

    ap_store_relaxed(&k->generation, task.generation);
    ap_store_relaxed(&k->slot, task.slot);
    ap_store_relaxed(&k->epoch, task.epoch);
    ap_store_relaxed(&k->holder, ap_share_name(seg, member));
    ap_store_relaxed(&k->keep, keep);
    ap_store_relaxed(&k->result, 0);
    ap_store_relaxed(&k->size, 0);
    ap_store_release(&k->life, AP_KEPT_LIFE(epoch, 0, AP_KEPT_PROMISED)); /* KEPT-R1 pairs KEPT-A1 */
}

void ap_kept_recall(struct ap_segment *seg, apiary_task_t task)
{
    uint64_t life;
    int row = ap_kept_find(seg, task, &life);

    if (row >= 0 && AP_KEPT_STATE(life) == AP_KEPT_PROMISED) row_free(seg, (uint32_t)row, life);
}

/* ---- a result is entered ---------------------------------------------------------------------------------------- */

#define RECOUNTS 64 /* of one that others are to give way to */
#define ENTRIES 2   /* of one that gives way */

/* Whether a block is KEPT for a row that is being entered: it may be given back yet. */
static bool row_enters(const struct ap_segment *seg, uint32_t number, uint64_t epoch)
{
    const struct ap_kept *k = number >= block_row(seg, 0) ? ap_kept_at(seg, number - block_row(seg, 0)) : NULL;
    uint64_t life = k != NULL ? ap_load_acquire(&k->life) : 0; /* KEPT-A1 pairs KEPT-R1 */

    return AP_KEPT_STATE(life) == AP_KEPT_PROMISED && AP_BLOCK_IS_OF(AP_BLOCK(AP_BLOCK_KEPT, number, epoch), AP_KEPT_EPOCH(life));
}

/* Results and values of the memory that have had their time make room. `lane` is that of the slot's RELEASING: the caller's, or a
 * dead one whose draft was recovered before its slots. */
static bool kept_made_room(struct ap_segment *seg, uint64_t offset, uint32_t lane)
{
    uint64_t now = seg->ops->now();
    uint32_t row = 0, rows = (uint32_t)seg->sections[AP_SECTION_VALUES].count;

    if (ap_kept_expire(seg, now) > 0 && ap_pool_kept_fits(seg, offset)) return true;
    return ap_memory_expire(seg, lane, now, &row, rows) > 0 && ap_pool_kept_fits(seg, offset);
}

enum { KEEPS, GIVES_WAY, FULL };

/* The block is KEPT. It stays so by a count that was not too much, and by nothing else. */
static int kept_contest(const struct ap_segment *seg, uint64_t offset)
{
    uint32_t others = 1, lower = 0;

    for (int i = 0; i < RECOUNTS && others > 0 && lower == 0; i++) {
        others = ap_pool_kept_others(seg, offset, row_enters, &lower);
        if (ap_pool_kept_fits(seg, offset)) return KEEPS; /* also those that have gone since the count before */
    }
    return lower > 0 ? GIVES_WAY : FULL;
}

/* A block becomes the row's: 0; after a death it is so already. APIARY_ENOTKEPT: too much is kept, and it is the task's again.
 * APIARY_ECORRUPT: the slot names a block that is not the task's. KEPT 3 in share.h. */
static int kept_block(struct ap_segment *seg, uint64_t offset, uint64_t word, uint32_t slot, uint32_t row, uint64_t epoch)
{
    int how = GIVES_WAY;

    for (int i = 0; i < ENTRIES && how == GIVES_WAY; i++) {
        if (!ap_pool_keep(seg, offset, slot, AP_WORD_GENERATION(word), block_row(seg, row), epoch)) return APIARY_ECORRUPT;
        if (ap_pool_kept_fits(seg, offset)) return 0;
        if (i == 0 && kept_made_room(seg, offset, AP_WORD_OWNER(word))) return 0;
        how = kept_contest(seg, offset);
        if (how == KEEPS) return 0;
        ap_pool_unkeep(seg, offset, slot, word, block_row(seg, row), epoch);
    }
    return APIARY_ENOTKEPT;
}

static void inside_store(struct ap_kept *k, const uint64_t words[AP_INLINE_BODY / 8], uint64_t result, uint32_t size)
{
    for (size_t i = 0; i < AP_INLINE_BODY / 8; i++) ap_store_relaxed((uint64_t *)(void *)k->inside + i, words[i]);
    ap_store_relaxed(&k->result, result);
    ap_store_relaxed(&k->size, size);
}

/* The beginning of a text, in the row. A text that is cut ends in "...": whoever fetches it cannot tell by its size. */
static void kept_beginning(const struct ap_segment *seg, const struct ap_slot *slot, struct ap_kept *k)
{
    uint32_t size = ap_load_relaxed(&slot->result_size);
    const char *text = ap_body_in_pool(seg, ap_load_relaxed(&slot->result), size);
    char cut[AP_INLINE_BODY + 1] = "";
    uint64_t words[AP_INLINE_BODY / 8];
    size_t n = text != NULL ? ap_format(cut, sizeof cut, "%.*s", (int)(size < sizeof cut ? size : sizeof cut), text) : 0;

    memcpy(words, cut, sizeof words);
    inside_store(k, words, 0, (uint32_t)n);
}

/* The result lies in its slot, or in a block that becomes the row's: 0. Else APIARY_ENOTKEPT, and of a failure's text the beginning
 * is in the row; or APIARY_ECORRUPT. */
static int kept_result(struct ap_segment *seg, const struct ap_slot *slot, uint64_t word, uint32_t row, uint64_t epoch, int code)
{
    struct ap_kept *k = ap_kept_at(seg, row);
    uint32_t index = (uint32_t)(slot - ap_slot_at(seg, 0));
    uint64_t offset = ap_load_relaxed(&slot->result), words[AP_INLINE_BODY / 8];
    int r = offset != 0 ? kept_block(seg, offset, word, index, row, epoch) : 0;

    memcpy(words, slot->result_inline, sizeof words);
    if (r == 0) inside_store(k, words, offset, ap_load_relaxed(&slot->result_size));
    else if (r == APIARY_ENOTKEPT && code == APIARY_EAGENT) kept_beginning(seg, slot, k);
    else inside_store(k, words, 0, 0); /* a lane that died here may have named the block */
    return r;
}

void ap_kept_enter(struct ap_segment *seg, struct ap_slot *slot, uint64_t word)
{
    uint32_t index = (uint32_t)(slot - ap_slot_at(seg, 0)), tries = ap_slot_tries(slot, word);
    apiary_task_t task = ap_task_id(seg, index, AP_WORD_GENERATION(word));
    uint64_t life, end = ap_load_relaxed(&slot->outcome), now = seg->ops->now(), keep;
    int row = ap_kept_find(seg, task, &life), code = ap_word_code(end), r = 0;
    struct ap_kept *k;

    if (row < 0 || AP_KEPT_STATE(life) != AP_KEPT_PROMISED) return;
    k = ap_kept_at(seg, (uint32_t)row);
    if (ap_ended_by_agent(AP_WORD_STATE(end), code)) r = kept_result(seg, slot, word, (uint32_t)row, AP_KEPT_EPOCH(life), code);
    if (r < 0 && !(r == APIARY_ENOTKEPT && code == APIARY_EAGENT)) code = r;
    ap_store_relaxed(&k->code, code);
    ap_store_relaxed(&k->agent_code, code == APIARY_EAGENT ? ap_load_relaxed(&slot->agent_code) : 0);
    ap_store_relaxed(&k->attempts, ap_word_starts(end) + AP_TRIES_FAILURES(tries));
    ap_store_relaxed(&k->untried, AP_TRIES_WHY(tries));
    ap_store_relaxed(&k->capability, ap_load_relaxed(&slot->capability));
    ap_store_relaxed(&k->caller, ap_load_relaxed(&slot->caller));
    keep = ap_load_relaxed(&k->keep);
    ap_store_relaxed(&k->until, keep < UINT64_MAX - now ? now + keep : UINT64_MAX);
    if (!ap_cas(&k->life, &life, AP_KEPT_LIFE(AP_KEPT_EPOCH(life), 0, AP_KEPT_KEPT))) return; /* KEPT-R1 pairs KEPT-A1 */
    if (r == APIARY_ENOTKEPT) ap_add_relaxed(&ap_kept_at(seg, 0)->unkept, 1);
    seg->ops->futex_wake((const uint32_t *)(const void *)&k->life, INT_MAX);
}

/* ---- recovery, and its part ------------------------------------------------------------------------------------- */

void ap_kept_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; beside == 0 && i < kept_rows(seg); i++) {
        uint64_t life = ap_load_acquire(&ap_kept_at(seg, i)->life); /* KEPT-A1 pairs KEPT-R1 */

        if (AP_KEPT_STATE(life) == AP_KEPT_FILLING && AP_KEPT_LANE(life) == lane) row_free(seg, i, life);
    }
    ap_kept_expire(seg, seg->ops->now()); /* what was promised to tasks that were RESERVED */
}

static void look_kept_block(struct ap_look *look, const struct ap_kept *k, uint64_t life)
{
    uint64_t result = ap_look_64(look, &k->result), capacity = AP_INLINE_BODY, block;
    uint32_t size = ap_look_32(look, &k->size);

    if (result != 0 && (ap_pool_block(look->seg, result, &capacity, &block) < 0 ||
                        block != AP_BLOCK(AP_BLOCK_KEPT, block_row(look->seg, (uint32_t)look->index), AP_KEPT_EPOCH(life)))) {
        look->patient = true;
        ap_look_found(look, AP_CORRUPT, &k->result, life ^ result, "K3", "the block at %llu is not kept for it",
                      (unsigned long long)result);
    }
    if (size > capacity) ap_look_found(look, AP_CORRUPT, &k->size, life ^ size, "K2", "%u bytes", size);
}

static void look_kept(struct ap_look *look)
{
    const struct ap_kept *k = ap_kept_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &k->life);
    uint32_t state = AP_KEPT_STATE(life);

    if (state > AP_KEPT_KEPT) ap_look_found(look, AP_CORRUPT, &k->life, life, "K2", "state %u", state);
    if (state == AP_KEPT_FILLING && !ap_lane_alive(look->seg, AP_KEPT_LANE(life))) {
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &k->life, life, "K1", "in the hands of lane %u, which is not LIVE", AP_KEPT_LANE(life));
    }
    if (state == AP_KEPT_PROMISED && !row_awaits(look->seg, k)) {
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &k->life, life, "K1", "promised to a task of slot %u that is gone",
                      ap_look_32(look, &k->slot));
    }
    if (state == AP_KEPT_KEPT) look_kept_block(look, k, life);
}

static const struct ap_field kept_fields[] = {
    AP_FIELD(ap_kept, life), AP_FIELD(ap_kept, generation), AP_FIELD(ap_kept, slot), AP_FIELD(ap_kept, epoch),
    AP_FIELD(ap_kept, holder), AP_FIELD(ap_kept, keep), AP_FIELD(ap_kept, until), AP_FIELD(ap_kept, result),
    AP_FIELD(ap_kept, size), AP_FIELD(ap_kept, code), AP_FIELD(ap_kept, agent_code), AP_FIELD(ap_kept, attempts),
    AP_FIELD(ap_kept, untried),
    AP_FIELD(ap_kept, unkept), AP_FIELD(ap_kept, capability), AP_FIELD(ap_kept, caller), AP_FIELD(ap_kept, inside), {NULL, 0, 0},
};
static const struct ap_number kept_numbers[] = {
    {.key = "kept_results", .what = "results that are kept for their tasks, or promised to them",
     .at = AP_REGISTRY_NUMBER_AT(KEPT), .otherwise = 256, .min = 1, .max = 65536, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_kept = {
    .name = "kept", .element = "kept", .size = sizeof(struct ap_kept), .fields = kept_fields, .numbers = kept_numbers,
    .look = look_kept, .withdraw = ap_part_nothing, .settle = ap_kept_settle,
};
