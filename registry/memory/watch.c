/* registry/memory/watch.c - the log of changes: entering one, reading one, who watches; its part. See watch.h. */
#include "registry/memory/watch.h"

#include "shm/bell.h"

#define LONG(n) ((unsigned long long)(n))
#define TRIES (1u << 16) /* rows that others took first; each is their progress */

_Static_assert(sizeof(struct ap_change_row) == 384, "change: six lines");
_Static_assert(AP_LANES_MAX <= 0x3fff, "a row names any lane");

/* ---- a row is taken --------------------------------------------------------------------------------------------- */

/* The row of the number `head`, taken by the lane: 1. 0: another has it, or is slow with it; the head is raised. */
static int row_take_at(struct ap_segment *seg, uint32_t lane, uint64_t head)
{
    struct ap_draft *first = ap_draft_at(seg, 0), *d = ap_draft_at(seg, lane);
    struct ap_change_row *row = ap_change_row_at(seg, head % seg->sections[AP_SECTION_CHANGES].count);
    uint64_t word = ap_load_acquire(&row->word), seen = head; /* WATCH-A1 pairs WATCH-R1 */
    uint32_t state = AP_CHANGE_STATE(word);
    bool taken = false;

    if (state != AP_CHANGE_FILLING && (state == AP_CHANGE_EMPTY || AP_CHANGE_NUMBER(word) < head)) {
        ap_store_relaxed(&d->telling, head + 1);
        taken = ap_cas(&row->word, &word, AP_CHANGE_WORD(head, lane, AP_CHANGE_FILLING));
        if (!taken) return 0;
        ap_fence_release(); /* WATCH-R2 pairs WATCH-A2 */
    }
    ap_cas(&first->head, &seen, head + 1); /* WATCH-R4 pairs WATCH-A4 */
    return taken ? 1 : 0;
}

/* NULL: too many others came first. */
static struct ap_change_row *row_take(struct ap_segment *seg, uint32_t lane, uint64_t *ret_number)
{
    for (uint32_t tries = 0; tries < TRIES; tries++) {
        uint64_t head = ap_memory_changes(seg);

        if (row_take_at(seg, lane, head) == 0) continue;
        *ret_number = head;
        return ap_change_row_at(seg, head % seg->sections[AP_SECTION_CHANGES].count);
    }
    ap_store_relaxed(&ap_draft_at(seg, lane)->telling, 0);
    return NULL;
}

static void row_end(struct ap_segment *seg, uint32_t lane, struct ap_change_row *row, uint64_t number, bool told)
{
    uint64_t seen = AP_CHANGE_WORD(number, lane, AP_CHANGE_FILLING);

    ap_cas(&row->word, &seen, AP_CHANGE_WORD(number, lane, told ? AP_CHANGE_TOLD : AP_CHANGE_VOID)); /* WATCH-R1 pairs WATCH-A1 */
    ap_store_relaxed(&ap_draft_at(seg, lane)->telling, 0);
    ap_bell_ring(seg->ops, &ap_draft_at(seg, 0)->bell); /* VOID, too: what is behind it may be told, and waits for it */
}

/* ---- a change is entered ---------------------------------------------------------------------------------------- */

/* Whether the row of the place is still of that epoch, and the bucket has the place as it is wanted. */
static bool place_stands(const struct ap_segment *seg, uint64_t place, bool present)
{
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));
    uint64_t wanted = present ? place : place & ~AP_PLACE_PRESENT;
    const struct ap_bucket *b;
    bool stands = false;

    if (v == NULL || !AP_VALUE_IS(ap_load_acquire(&v->life), place)) return false; /* MEMORY-A3 pairs MEMORY-R3 */
    b = ap_bucket_of(seg, ap_load_relaxed(&v->hash));
    for (uint32_t i = 0; i < AP_MEMORY_PLACES && !stands; i++)
        stands = ap_load_acquire(&b->place[i]) == wanted; /* MEMORY-A1 pairs MEMORY-R1 */
    return stands && AP_VALUE_IS(ap_load_acquire(&v->life), place); /* MEMORY-A3 pairs MEMORY-R3 */
}

static bool value_unwritten(const struct ap_value *v)
{
    return (ap_load_relaxed(&v->name_words) & AP_VALUE_TOUCHED) != 0;
}

static void row_fill(const struct ap_segment *seg, struct ap_change_row *row, const struct ap_value *v, uint64_t watched, bool put)
{
    uint32_t words = ap_load_relaxed(&v->words), names = AP_VALUE_NAME_WORDS(ap_load_relaxed(&v->name_words));
    uint64_t until = ap_load_relaxed(&v->until);
    bool over = until != APIARY_FOREVER && until <= seg->ops->now();

    ap_store_relaxed(&row->version, ap_load_relaxed(&v->version));
    ap_store_relaxed(&row->era, AP_MEMORY_ERA(watched));
    ap_store_relaxed(&row->kind, (uint32_t)(put ? AP_CHANGE_PUT : over ? AP_CHANGE_EXPIRED : AP_CHANGE_DELETED));
    ap_store_relaxed(&row->size, AP_VALUE_SIZE(ap_load_relaxed(&v->size)));
    ap_store_relaxed(&row->name_words, (uint16_t)names);
    ap_store_relaxed(&row->words, (uint16_t)words);
    for (uint32_t i = 0; i < words && i < AP_MEMORY_INSIDE; i++) ap_store_relaxed(&row->key[i], ap_load_relaxed(&v->inside[i]));
}

/* Whether it was entered. */
static bool tell(struct ap_segment *seg, uint32_t lane, uint64_t place, bool put)
{
    uint64_t watched = ap_memory_watched(seg), number;
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));
    struct ap_change_row *row;
    bool stands;

    if (watched == 0) return false;
    ap_fence_acquire(); /* WATCH-A5 pairs WATCH-R5: the first number of the log is there */
    if (!place_stands(seg, place, put) || (put && value_unwritten(v))) return false;
    row = row_take(seg, lane, &number);
    if (row == NULL) return false;
    row_fill(seg, row, v, watched, put);
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    stands = place_stands(seg, place, put);
    row_end(seg, lane, row, number, stands);
    return stands;
}

void ap_memory_tell_put(struct ap_segment *seg, uint32_t lane, uint64_t place)
{
    tell(seg, lane, place, true);
}

void ap_memory_tell_removed(struct ap_segment *seg, uint32_t lane, uint64_t place)
{
    tell(seg, lane, place, false);
}

void ap_memory_tell_before(struct ap_segment *seg, uint32_t lane, uint64_t place)
{
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));
    uint64_t life = v != NULL ? ap_load_acquire(&v->life) : 0; /* MEMORY-A3 pairs MEMORY-R3 */
    const struct ap_draft *d = AP_VALUE_IS(life, place) ? ap_draft_at(seg, AP_VALUE_LANE(life)) : NULL;

    if (d == NULL || ap_load_acquire(&d->fresh) != (place | AP_PLACE_PRESENT)) return; /* WATCH-A3 pairs WATCH-R3 */
    tell(seg, lane, place, true);
}

void ap_memory_tell_bucket(struct ap_segment *seg, uint32_t lane, const struct ap_bucket *b)
{
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++) {
        uint64_t place = ap_load_acquire(&b->place[i]); /* MEMORY-A1 pairs MEMORY-R1 */

        if ((place & AP_PLACE_PRESENT) == 0) tell(seg, lane, place, false);
    }
}

void ap_memory_tell_settle(struct ap_segment *seg, uint32_t lane)
{
    struct ap_draft *d = ap_draft_at(seg, lane);
    uint64_t telling = ap_load_relaxed(&d->telling), count = seg->sections[AP_SECTION_CHANGES].count, seen;
    struct ap_change_row *row;

    if (telling == 0) return;
    row = ap_change_row_at(seg, (telling - 1) % count);
    seen = AP_CHANGE_WORD(telling - 1, lane, AP_CHANGE_FILLING);
    ap_cas(&row->word, &seen, AP_CHANGE_WORD(telling - 1, lane, AP_CHANGE_VOID)); /* WATCH-R1 pairs WATCH-A1 */
    ap_store_relaxed(&d->telling, 0);
}

/* ---- who watches ------------------------------------------------------------------------------------------------ */

void ap_memory_watchers_wake(struct ap_segment *seg)
{
    ap_bell_ring(seg->ops, &ap_draft_at(seg, 0)->bell);
}

/* An entry that tells nothing, with the era that begins: what comes behind it is whole (WATCHED 3). */
static void era_begin(struct ap_segment *seg, uint32_t lane, uint64_t watched)
{
    uint64_t number;
    struct ap_change_row *row = row_take(seg, lane, &number);

    if (row == NULL) return;
    ap_store_relaxed(&row->era, AP_MEMORY_ERA(watched));
    row_end(seg, lane, row, number, false);
}

bool ap_memory_watching(const struct ap_segment *seg, const struct ap_lane_handle *anchor, int by)
{
    struct ap_draft *d = ap_draft_at(seg, anchor->index);
    int64_t count = (int64_t)AP_WATCHING_COUNT(ap_load_relaxed(&d->watching), anchor->epoch) + by;

    if (count < 0 || count > 0xffff) return false;
    ap_store_relaxed(&d->watching, AP_WATCHING(anchor->epoch, (uint64_t)count));
    return true;
}

/* Where the numbers of the segment begin (ROW 3). */
static uint64_t changes_begin(const struct ap_segment *seg)
{
    return seg->header->created_realtime >> 14 & AP_CHANGE_BEGIN_MOST;
}

void ap_memory_watch_raise(struct ap_segment *seg, uint32_t lane)
{
    struct ap_draft *first = ap_draft_at(seg, 0);
    uint64_t watched = ap_load_acquire(&first->watched), raised, none = 0; /* WATCH-A5 pairs WATCH-R5 */

    ap_cas(&first->head, &none, changes_begin(seg)); /* WATCH-R4 pairs WATCH-A4 */
    do {
        raised = (watched & UINT64_C(0xffffffff)) + 2;
        raised = (raised & UINT64_C(0xfffffffe)) | 1;
        raised |= (uint64_t)(AP_MEMORY_ERA(watched) + (AP_MEMORY_WATCHED(watched) ? 0 : 1)) << 32;
    } while (!ap_cas(&first->watched, &watched, raised)); /* WATCH-R5 pairs WATCH-A5 */
    ap_fence_full(); /* WATCH-F2 pairs WATCH-F1 */
    if (!AP_MEMORY_WATCHED(watched)) era_begin(seg, lane, raised);
}

/* Enters what lanes have done and not entered yet (TELLING 4). */
static void tell_drafts(struct ap_segment *seg, uint32_t lane, struct ap_memory_told *told)
{
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_draft *d = ap_draft_at(seg, i);
        uint64_t fresh = ap_load_acquire(&d->fresh), stale = ap_load_relaxed(&d->stale); /* WATCH-A3 pairs WATCH-R3 */

        if (fresh != 0 && fresh != told[i].fresh && tell(seg, lane, fresh, true)) told[i].fresh = fresh;
        if (stale != 0 && stale != told[i].stale && tell(seg, lane, stale, false)) told[i].stale = stale;
    }
}

void ap_memory_watch_tidy(struct ap_segment *seg, uint32_t lane, uint64_t now, struct ap_memory_told *told)
{
    struct ap_draft *first = ap_draft_at(seg, 0);
    uint64_t watched = ap_load_acquire(&first->watched), since = ap_load_relaxed(&first->unwatched); /* WATCH-A5 pairs WATCH-R5 */

    if (!AP_MEMORY_WATCHED(watched)) return;
    tell_drafts(seg, lane, told);
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        uint64_t life = ap_load_acquire(&ap_lane_at(seg, i)->life); /* LANE-A1 pairs LANE-R1 */

        if (AP_WATCHING_COUNT(ap_load_relaxed(&ap_draft_at(seg, i)->watching), AP_LIFE_EPOCH(life)) == 0) continue;
        if (AP_LIFE_STATE(life) != AP_LIFE_LIVE) continue;
        ap_store_relaxed(&first->unwatched, 0);
        return;
    }
    if (since == 0 || since > now) ap_store_relaxed(&first->unwatched, now);
    /* WATCH-R5 pairs WATCH-A5 */
    else if (now - since >= AP_MEMORY_LINGER && ap_cas(&first->watched, &watched, watched & ~UINT64_C(1)))
        ap_store_relaxed(&first->unwatched, 0);
}

/* ---- a change is read ------------------------------------------------------------------------------------------- */

static bool change_copy(const struct ap_change_row *row, struct ap_memory_changed *ret)
{
    uint32_t names = ap_load_relaxed(&row->name_words), words = ap_load_relaxed(&row->words);
    uint64_t key[AP_MEMORY_KEY_WORDS];

    ret->kind = ap_load_relaxed(&row->kind);
    ret->version = ap_load_relaxed(&row->version);
    ret->size = ap_load_relaxed(&row->size);
    if (names == 0 || names > AP_MEMORY_NAME_WORDS || words <= names || words - names > AP_MEMORY_KEY_WORDS) return false;
    ret->name.words = names;
    for (uint32_t i = 0; i < names; i++) ret->name.text[i] = ap_load_relaxed(&row->key[i]);
    for (uint32_t i = names; i < words; i++) key[i - names] = ap_load_relaxed(&row->key[i]);
    memcpy(ret->key, key, (words - names) * sizeof *key);
    ret->key[(words - names) * sizeof *key - 1] = '\0';
    return ret->kind < AP_CHANGE_KINDS && ret->key[0] != '\0';
}

int ap_memory_change_read(const struct ap_segment *seg, uint64_t number, bool *taken, struct ap_memory_changed *ret)
{
    uint64_t head = ap_memory_changes(seg), count = seg->sections[AP_SECTION_CHANGES].count;
    const struct ap_change_row *row = ap_change_row_at(seg, number % count);
    uint64_t word = ap_load_acquire(&row->word); /* WATCH-A1 pairs WATCH-R1 */
    uint32_t state = AP_CHANGE_STATE(word);
    bool whole;

    *taken = head > number || (state != AP_CHANGE_EMPTY && AP_CHANGE_NUMBER(word) == number);
    if (state != AP_CHANGE_EMPTY && AP_CHANGE_NUMBER(word) > number) return APIARY_ECHANGED;
    if (head > number && head - number > count) return APIARY_ECHANGED;
    if (AP_CHANGE_NUMBER(word) != number || state == AP_CHANGE_FILLING || state == AP_CHANGE_EMPTY) return APIARY_ENOTREADY;
    ret->era = ap_load_relaxed(&row->era);
    whole = state == AP_CHANGE_VOID || change_copy(row, ret);
    ap_fence_acquire(); /* WATCH-A2 pairs WATCH-R2 */
    if (ap_load_relaxed(&row->word) != word) return APIARY_ECHANGED;
    if (!whole) return APIARY_ECORRUPT;
    return state == AP_CHANGE_TOLD ? 1 : 0;
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static void look_change(struct ap_look *look)
{
    const struct ap_change_row *row = ap_change_row_at(look->seg, look->index);
    uint64_t word = ap_look_64(look, &row->word), number = AP_CHANGE_NUMBER(word);
    uint64_t count = look->seg->sections[AP_SECTION_CHANGES].count;
    uint64_t head = ap_look_64(look, &ap_draft_at(look->seg, 0)->head);
    uint32_t names = ap_look_16(look, &row->name_words), words = ap_look_16(look, &row->words), kind = ap_look_32(look, &row->kind);

    if (word == 0) return;
    look->patient = true;
    if (AP_CHANGE_STATE(word) == AP_CHANGE_EMPTY || number % count != look->index || number > head)
        ap_look_found(look, AP_CORRUPT, &row->word, word ^ head, "G7", "state %u, number %llu of %llu", AP_CHANGE_STATE(word),
                      LONG(number), LONG(head));
    else if (AP_CHANGE_STATE(word) == AP_CHANGE_FILLING && !ap_lane_alive(look->seg, AP_CHANGE_LANE(word)))
        ap_look_found(look, AP_REPAIRABLE, &row->word, word, "G7", "being filled by lane %u, which is not LIVE",
                      AP_CHANGE_LANE(word));
    else if (AP_CHANGE_STATE(word) == AP_CHANGE_TOLD &&
             (kind >= AP_CHANGE_KINDS || names == 0 || names > AP_MEMORY_NAME_WORDS || words <= names ||
              words - names > AP_MEMORY_KEY_WORDS))
        ap_look_found(look, AP_CORRUPT, &row->kind, word ^ kind, "G7", "kind %u, a key of %u words, %u of its name space", kind,
                      words, names);
}

static const struct ap_field change_fields[] = {
    AP_FIELD(ap_change_row, word), AP_FIELD(ap_change_row, version), AP_FIELD(ap_change_row, era),
    AP_FIELD(ap_change_row, kind), AP_FIELD(ap_change_row, size), AP_FIELD(ap_change_row, name_words),
    AP_FIELD(ap_change_row, words), AP_FIELD(ap_change_row, key), {NULL, 0, 0},
};
static const struct ap_number change_numbers[] = {
    {.key = "memory_changes", .what = "changes of the memory by which one who watches may be behind",
     .at = AP_REGISTRY_NUMBER_AT(CHANGES), .otherwise = 1024, .min = 2, .max = 1u << 20, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_changes = {
    .name = "changes", .element = "change", .size = sizeof(struct ap_change_row), .fields = change_fields,
    .numbers = change_numbers, .look = look_change, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
