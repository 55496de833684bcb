/* The checkers of rows that few tasks have: what each finds wrong, where, whether a recovery mends it, and whether it may be so for
 * a moment. A row is written, looked at, changed in one place, and looked at again. */
#include "check_fixture.h"

#include "registry/client/progress.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/places.h"
#include "registry/routing/terms.h"
#include "shm/claim.h"

extern const struct ap_part ap_part_claims; /* shm/parts.def */
extern const struct ap_part ap_part_dead, ap_part_kept, ap_part_progress, ap_part_terms; /* one of each: registry/parts.def */

TestSuite(check_rows, .init = setup);

enum may { NEVER, FOR_A_MOMENT };

/* One look at the row finds nothing (rule NULL), or this and nothing else. */
static void finds(int line, const struct ap_part *part, uint64_t index, const char *rule, const void *at, enum ap_severity severity,
                  enum may may)
{
    struct ap_report report = {.found = NULL};
    struct ap_look look = {.seg = &d.seg, .report = &report, .structure = part->element, .index = index};
    const struct ap_finding *f = &look.items[0].finding;

    part->look(&look);
    cr_expect_eq(look.count, rule != NULL ? 1u : 0u, "line %d: %u findings, the first %s: %s", line, look.count, f->rule, f->text);
    cr_expect_eq(look.patient, may == FOR_A_MOMENT, "line %d: patient: %d", line, look.patient);
    if (look.count != 1 || rule == NULL) return;
    cr_expect_str_eq(f->rule, rule, "line %d: %s: %s", line, f->rule, f->text);
    cr_expect_eq(f->offset, (uint64_t)((const uint8_t *)at - bytes), "line %d: %s: %s", line, f->rule, f->text);
    cr_expect_eq(f->severity, severity, "line %d: %s: %s", line, f->rule, f->text);
}

/* With `value` in the field, which gets its old value back. */
#define WITH(field, value, ...)                  \
    do {                                         \
        __typeof__(field) with_old = (field);    \
        (field) = (__typeof__(field))(value);    \
        finds(__LINE__, __VA_ARGS__);            \
        (field) = with_old;                      \
    } while (0)
#define WELL NULL, NULL, AP_CORRUPT, NEVER
#define BAD(rule, field) rule, &(field), AP_CORRUPT, NEVER
#define BAD_UNLESS_SOON(rule, field) rule, &(field), AP_CORRUPT, FOR_A_MOMENT
#define MENDED(rule, field) rule, &(field), AP_REPAIRABLE, FOR_A_MOMENT

static uint32_t lane_that_is(uint32_t state)
{
    for (uint32_t i = 0; i < d.seg.geometry.lanes; i++)
        if (AP_LIFE_STATE(ap_lane_at(&d.seg, i)->life) == state) return i;
    cr_assert_fail("no lane is in state %u", state);
    return 0;
}

/* The first block that is free; its word and capacity. */
static uint64_t block_free(uint64_t **ret_word, uint64_t *ret_capacity)
{
    for (uint64_t i = 0;; i++) {
        uint64_t *word = ap_at(&d.seg, AP_SECTION_BLOCKS, i), capacity, unused;

        cr_assert(word != NULL, "all blocks are in use");
        if (*word != 0) continue;
        for (uint64_t at = d.seg.sections[AP_SECTION_POOL].offset; at < d.seg.size; at += 64) {
            if (ap_pool_number(&d.seg, at) != i || ap_pool_block(&d.seg, at, &capacity, &unused) < 0) continue;
            *ret_word = word;
            *ret_capacity = capacity;
            return at;
        }
    }
}

Test(check_rows, dead)
{
    struct ap_dead *row = ap_dead_at(&d.seg, 1);
    uint32_t live = lane_that_is(AP_LIFE_LIVE), gone = lane_that_is(AP_LIFE_FREE);
    uint64_t *block, capacity, offset = block_free(&block, &capacity);

    row->life = AP_DEAD_LIFE(3, 0, AP_DEAD_KEPT);
    row->number = 5;
    row->cause = AP_DEAD_SEGV;
    row->body_size = AP_INLINE_BODY;
#define DEAD &ap_part_dead, 1
    WITH(row->life, row->life, DEAD, WELL);
    WITH(row->life, AP_DEAD_LIFE(3, 0, AP_DEAD_TAKEN + 1), DEAD, BAD("X2", row->life));
    WITH(row->life, AP_DEAD_LIFE(3, live, AP_DEAD_TAKEN), DEAD, WELL);
    WITH(row->life, AP_DEAD_LIFE(3, gone, AP_DEAD_TAKEN), DEAD, MENDED("X1", row->life));
    WITH(row->life, AP_DEAD_LIFE(3, live, AP_DEAD_FILLING), DEAD, WELL);
    WITH(row->life, AP_DEAD_LIFE(3, gone, AP_DEAD_FILLING), DEAD, MENDED("X1", row->life));
    WITH(row->number, 0, DEAD, BAD("X2", row->cause));
    WITH(row->cause, AP_DEAD_NOT, DEAD, BAD("X2", row->cause));
    WITH(row->cause, AP_DEAD_CAUSES - 1, DEAD, WELL);
    WITH(row->cause, AP_DEAD_CAUSES, DEAD, BAD("X2", row->cause));
    WITH(row->again, 7, DEAD, BAD("X2", row->again));
    WITH(row->body_size, AP_INLINE_BODY + 1, DEAD, BAD("X2", row->body_size));
    row->again = 7;
    WITH(row->life, AP_DEAD_LIFE(3, live, AP_DEAD_TAKEN), DEAD, WELL);
    row->again = 0;
    row->cause = AP_DEAD_CAUSES;
    WITH(row->life, AP_DEAD_LIFE(3, 0, AP_DEAD_FREE), DEAD, WELL);
    WITH(row->life, AP_DEAD_LIFE(3, live, AP_DEAD_FILLING), DEAD, WELL);
    row->cause = AP_DEAD_SEGV;
    WITH(row->body, 1, DEAD, BAD_UNLESS_SOON("X3", row->body));
    WITH(row->body, offset, DEAD, BAD_UNLESS_SOON("X3", row->body));
    row->body = offset;
    *block = AP_BLOCK(AP_BLOCK_KEPT, 1, 3);
    WITH(row->body_size, capacity, DEAD, WELL);
    WITH(row->body_size, capacity + 1, DEAD, BAD("X2", row->body_size));
    WITH(*block, AP_BLOCK(AP_BLOCK_KEPT, 1, 4), DEAD, BAD_UNLESS_SOON("X3", row->body));
    WITH(*block, AP_BLOCK(AP_BLOCK_KEPT, 2, 3), DEAD, BAD_UNLESS_SOON("X3", row->body));
}

/* The n-th slot that has a task. */
static uint32_t slot_with_task(void)
{
    for (uint32_t i = 0; i < d.seg.geometry.tasks; i++)
        if (AP_WORD_STATE(ap_slot_at(&d.seg, i)->word) == AP_TASK_QUEUED) return i;
    cr_assert_fail("no task is QUEUED");
    return 0;
}

Test(check_rows, claims)
{
    struct ap_claim *row = ap_claim_at(&d.seg, 1), *first = ap_claim_at(&d.seg, 0);
    uint32_t live = lane_that_is(AP_LIFE_LIVE), gone = lane_that_is(AP_LIFE_FREE), rows = d.seg.geometry.claims;
    struct ap_claim_key key;
    struct ap_claim *home;
    char text[24];

    for (unsigned i = 0; snprintf(text, sizeof text, "key-%u", i), ap_claim_key(&d.seg, text, &key) == 0 && key.home != 1; i++) {}
    home = ap_claim_at(&d.seg, key.home);
    first->numbers = 9;
    row->word = AP_CLAIM_WORD(5, live, AP_CLAIM_HELD);
    row->hash = key.hash;
    row->size = key.size;
    memset(row->key, 0, sizeof row->key);
    memcpy(row->key, text, key.size);
#define CLAIM &ap_part_claims, 1
    WITH(row->word, row->word, CLAIM, WELL);
    WITH(row->word, AP_CLAIM_WORD(5, 0, AP_CLAIM_FREE), CLAIM, WELL);
    WITH(row->word, AP_CLAIM_WORD(5, AP_NO_LANE, AP_CLAIM_HELD), CLAIM, WELL);
    WITH(row->word, AP_CLAIM_WORD(5, live, AP_CLAIM_FILLING), CLAIM, WELL);
    WITH(row->word, AP_CLAIM_WORD(5, gone, AP_CLAIM_HELD), CLAIM, MENDED("C1", row->word));
    WITH(row->word, AP_CLAIM_WORD(5, gone, AP_CLAIM_FILLING), CLAIM, MENDED("C1", row->word));
    WITH(row->word, AP_CLAIM_WORD(5, AP_NO_LANE - 1, AP_CLAIM_HELD), CLAIM, BAD("C1", row->word));
    WITH(row->word, AP_CLAIM_WORD(5, 3, AP_CLAIM_FREE), CLAIM, BAD("C2", row->word));
    WITH(row->word, AP_CLAIM_WORD(10, 0, AP_CLAIM_FREE), CLAIM, BAD("C2", row->word));
    WITH(row->word, AP_CLAIM_WORD(0, 0, AP_CLAIM_FREE), CLAIM, BAD("C2", row->word));
    WITH(row->size, key.size + 1, CLAIM, BAD("C2", row->size));
    WITH(row->hash, key.hash + rows, CLAIM, BAD("C2", row->hash));
    WITH(row->numbers, 1, CLAIM, BAD("C2", row->numbers));
    WITH(row->reserved, 1, CLAIM, BAD("C2", row->reserved));
    WITH(home->home, AP_CLAIM_ENTERING(3, 0, 0), CLAIM, WELL);
    WITH(home->home, AP_CLAIM_ENTERING(3, 0, rows + 1), CLAIM, BAD_UNLESS_SOON("C4", home->home));
    WITH(home->home, AP_CLAIM_ENTERING(3, 0, 1), CLAIM, BAD_UNLESS_SOON("C4", home->home));
    WITH(home->home, AP_CLAIM_ENTERING(3, 0, 2), CLAIM, NULL, NULL, AP_CORRUPT, FOR_A_MOMENT);
    row->word = AP_CLAIM_WORD(5, 0, AP_CLAIM_FREE);
    WITH(home->home, AP_CLAIM_ENTERING(3, 0, 2), CLAIM, MENDED("C4", home->home));
    *first = (struct ap_claim){.word = AP_CLAIM_WORD(6, 0, AP_CLAIM_FREE), .hash = key.hash, .size = key.size, .numbers = 9};
    finds(__LINE__, CLAIM, BAD_UNLESS_SOON("C3", row->word));
    memcpy(first->key, row->key, sizeof row->key);
    finds(__LINE__, &ap_part_claims, 0, BAD_UNLESS_SOON("C5", home->home));
    WITH(home->home, AP_CLAIM_ENTERING(3, 1, 0), &ap_part_claims, 0, WELL);
}

Test(check_rows, kept)
{
    struct ap_kept *row = ap_kept_at(&d.seg, 1);
    uint32_t live = lane_that_is(AP_LIFE_LIVE), gone = lane_that_is(AP_LIFE_FREE), index = slot_with_task();
    uint32_t among = (uint32_t)d.seg.sections[AP_SECTION_DEAD].count + 1; /* as blocks name it */
    struct ap_slot *slot = ap_slot_at(&d.seg, index);
    apiary_task_t task = ap_task_id(&d.seg, index, AP_WORD_GENERATION(slot->word));
    uint64_t *block, capacity, offset = block_free(&block, &capacity);

    row->life = AP_KEPT_LIFE(3, 0, AP_KEPT_KEPT);
    row->size = AP_INLINE_BODY;
#define KEPT &ap_part_kept, 1
    WITH(row->life, row->life, KEPT, WELL);
    WITH(row->life, AP_KEPT_LIFE(3, 0, AP_KEPT_KEPT + 1), KEPT, BAD("K2", row->life));
    WITH(row->life, AP_KEPT_LIFE(3, live, AP_KEPT_FILLING), KEPT, WELL);
    WITH(row->life, AP_KEPT_LIFE(3, gone, AP_KEPT_FILLING), KEPT, MENDED("K1", row->life));
    WITH(row->size, AP_INLINE_BODY + 1, KEPT, BAD("K2", row->size));
    WITH(row->result, 1, KEPT, BAD_UNLESS_SOON("K3", row->result));
    WITH(row->result, offset, KEPT, BAD_UNLESS_SOON("K3", row->result));
    row->result = offset;
    *block = AP_BLOCK(AP_BLOCK_KEPT, among, 3);
    WITH(row->size, capacity, KEPT, WELL);
    WITH(row->size, capacity + 1, KEPT, BAD("K2", row->size));
    WITH(*block, AP_BLOCK(AP_BLOCK_KEPT, among, 4), KEPT, BAD_UNLESS_SOON("K3", row->result));
    WITH(*block, AP_BLOCK(AP_BLOCK_KEPT, 1, 3), KEPT, BAD_UNLESS_SOON("K3", row->result));
    row->size = UINT32_MAX; /* of a result that is not there yet */
    row->life = AP_KEPT_LIFE(3, 0, AP_KEPT_PROMISED);
    row->slot = task.slot;
    row->epoch = task.epoch;
    row->generation = task.generation;
    WITH(row->life, row->life, KEPT, WELL);
    WITH(row->slot, d.seg.geometry.tasks, KEPT, MENDED("K1", row->life));
    WITH(row->epoch, task.epoch + 1, KEPT, MENDED("K1", row->life));
    WITH(row->generation, task.generation + 1, KEPT, MENDED("K1", row->life));
    WITH(slot->word, AP_WORD_WITH(slot->word, AP_TASK_FREE, AP_NO_LANE), KEPT, MENDED("K1", row->life));
    WITH(row->life, AP_KEPT_LIFE(3, 0, AP_KEPT_FREE), KEPT, WELL);
}

Test(check_rows, progress)
{
    uint32_t index = slot_with_task();
    struct ap_progress *row = ap_progress_at(&d.seg, index);
    apiary_task_t task = ap_task_id(&d.seg, index, AP_WORD_GENERATION(ap_slot_at(&d.seg, index)->word));

    row->generation = task.generation;
    row->epoch = task.epoch;
    row->size = APIARY_PROGRESS_MAX;
#define PROGRESS &ap_part_progress, index
    WITH(row->turn, 0, PROGRESS, WELL);
    WITH(row->size, APIARY_PROGRESS_MAX + 1, PROGRESS, BAD("B2", row->size));
    WITH(row->generation, task.generation + 1, PROGRESS, BAD("B1", row->generation));
    row->generation++;
    WITH(row->epoch, task.epoch - 1, PROGRESS, WELL);
    WITH(row->turn, AP_PROGRESS_TURN(1, 0, 0, 1), PROGRESS, WELL);
}

/* Each term at the edges of what it may be, and what a capability without terms may not have. */
Test(check_rows, terms)
{
    uint64_t index = (uint64_t)ap_capability_find(&d.seg, "store.read", 10);
    uint64_t without = (uint64_t)ap_capability_find(&d.seg, "cache.get", 9);
    struct ap_capability *c = ap_capability_at(&d.seg, index), *plain = ap_capability_at(&d.seg, without);
    struct ap_terms *row = ap_terms_at(&d.seg, index), *none = ap_terms_at(&d.seg, without);

#define TERMS &ap_part_terms, index
#define NO_TERMS &ap_part_terms, without
    WITH(c->terms, 1, TERMS, WELL);
    WITH(c->terms, 2, TERMS, BAD("R9", c->terms));
    WITH(plain->terms, 1, NO_TERMS, WELL);
    WITH(none->paid, 1, NO_TERMS, BAD("R9", none->paid));
    WITH(row->paid, 1, TERMS, WELL);
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        const uint64_t least = ap_term_rows[t].min + 1, most = ap_term_rows[t].max + 1;
        uint64_t *at = ap_term_word(row, t), *other = ap_term_word(none, t);

        if (ap_term_rows[t].type == 'r') continue; /* it names rules, which would have to be there */
        WITH(*at, least, TERMS, WELL);
        WITH(*at, most, TERMS, WELL);
        if (least > 1) WITH(*at, least - 1, TERMS, BAD("R9", *at));
        if (AP_TERM_VALUE(most + 1) == most + 1) WITH(*at, most + 1, TERMS, BAD("R9", *at));
        WITH(*other, least, NO_TERMS, BAD("R9", *other));
    }
    plain->key = 0;
    WITH(plain->terms, 1, NO_TERMS, BAD("R9", plain->terms));
}

/* Cells that contradict each other say nothing of the ring that is looked at next. */
Test(check_rows, each_ring_by_its_own_cells)
{
    struct ap_ring *torn = ap_at(&d.seg, AP_SECTION_RINGS, 12), *next = ap_at(&d.seg, AP_SECTION_RINGS, 13);

    cr_assert(torn->head == 0 && torn->tail == 0 && next->head == 0 && next->tail == 0);
    torn->cells[0] = UINT64_C(2) << 60 | AP_REF(5, 1);
    next->tail = 1;
    dump_memory(bytes, size, &d);
    check();
    cr_expect_not_null(find("ring", 12, &torn->cells[0], "Q4"), "%u findings, the first: %s", all.count, first_text());
    cr_expect_not_null(find("ring", 13, &next->tail, "Q1"), "%u findings, the first: %s", all.count, first_text());
}

/* Places of lanes that have had other lives, and of one in its first. */
Test(check_rows, places)
{
    struct ap_places *row = ap_places_at(&d.seg, 0);

    CORRUPTS(row->holder[1], UINT64_C(1) << 16 | 0xffff, "places", 0, "N1");
    CORRUPTS(row->holder[1], UINT64_C(1) << 16, "places", 0, "N1");
    SOUND(row->holder[1], 1);
    REPAIRS(row->holder[1], UINT64_C(1) << 16 | 1, "places", 0, "N1");
    REPAIRS(row->holder[1], UINT64_C(1) << 16 | 12, "places", 0, "N1");
    CORRUPTS((&row->waited)[1], 1, "places", 0, "N1");
}
