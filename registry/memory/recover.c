/* registry/memory/recover.c - the memory's parts: expiry, recovery, checkers. See memory.h. */
#include "registry/memory/watch.h"

#define LONG(n) ((unsigned long long)(n))

uint64_t *ap_bucket_place(struct ap_bucket *b, uint64_t place)
{
    for (uint32_t i = 0; b != NULL && i < AP_MEMORY_PLACES; i++)
        if (ap_load_acquire(&b->place[i]) == place) return &b->place[i]; /* MEMORY-A1 pairs MEMORY-R1 */
    return NULL;
}

/* ---- expiry ----------------------------------------------------------------------------------------------------- */

static uint32_t expire_row(struct ap_segment *seg, uint32_t lane, uint64_t now, uint32_t row)
{
    const struct ap_value *v = ap_value_at(seg, row);
    uint64_t life = ap_load_acquire(&v->life), hash, until, place, *at; /* MEMORY-A3 pairs MEMORY-R3 */

    if (AP_VALUE_STATE(life) != AP_VALUE_USED) return 0;
    until = ap_load_relaxed(&v->until);
    if (until > now || until == APIARY_FOREVER) return 0;
    hash = ap_load_relaxed(&v->hash);
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    if (ap_load_relaxed(&v->life) != life) return 0;
    place = AP_PLACE(hash, AP_VALUE_EPOCH(life), row);
    at = ap_bucket_place(ap_bucket_of(seg, hash), place);
    /* A row that is being filled is in no place; once it is in one, its time is its own. */
    if (at == NULL || ap_load_relaxed(&v->until) != until) return 0;
    if (!ap_memory_remove(seg, lane, at, place)) return 0;
    ap_memory_counted(seg, lane, AP_MEMORY_COUNT_expired, 1);
    return 1;
}

uint32_t ap_memory_expire(struct ap_segment *seg, uint32_t lane, uint64_t now, uint32_t *row, uint32_t count)
{
    uint32_t rows = (uint32_t)seg->sections[AP_SECTION_VALUES].count, n = 0;

    for (uint32_t i = 0; i < count && i < rows; i++) {
        if (*row >= rows) *row = 0;
        n += expire_row(seg, lane, now, (*row)++);
    }
    return n;
}

/* ---- recovery --------------------------------------------------------------------------------------------------- */

/* A row of a dead lane's draft that is in no place, and which nobody will give one: a request for it is fulfilled before. */
static void draft_end(struct ap_segment *seg, uint32_t lane, uint64_t draft, bool fresh)
{
    uint32_t row = AP_PLACE_ROW(draft);
    const struct ap_value *v = ap_value_at(seg, row);
    uint64_t hash, turn, place;
    struct ap_bucket *b;
    bool removed;

    if (v == NULL || !AP_VALUE_IS(ap_load_acquire(&v->life), draft)) return; /* MEMORY-A3 pairs MEMORY-R3 */
    hash = ap_load_relaxed(&v->hash);
    b = ap_bucket_of(seg, hash);
    turn = ap_load_acquire(&b->turn); /* MEMORY-A4 pairs MEMORY-R4 */
    if (AP_TURN_PENDING(turn) && AP_PLACE_REF(turn) == AP_PLACE_REF(draft)) ap_memory_help(seg, b, turn);
    place = AP_PLACE(hash, AP_PLACE_EPOCH(draft), row);
    if (ap_bucket_place(b, place) != NULL) {
        if (fresh) ap_memory_tell_put(seg, lane, place);
        return;
    }
    removed = ap_bucket_place(b, place & ~AP_PLACE_PRESENT) != NULL;
    if (fresh && removed) return; /* who took it out tells so, and frees it */
    if (removed) ap_memory_tell_removed(seg, lane, place);
    ap_value_free(seg, draft);
}

void ap_memory_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    struct ap_draft *d = ap_draft_at(seg, lane);
    uint64_t fresh, stale, life;
    const struct ap_value *v;

    if (beside != 0 || d == NULL) return;
    ap_memory_tell_settle(seg, lane);
    fresh = ap_load_relaxed(&d->fresh);
    stale = ap_load_relaxed(&d->stale);
    v = ap_value_at(seg, AP_PLACE_ROW(fresh));
    /* The lane may have been about to take a row that is FREE still, or that another lane took. One look tells both: a FREE row
     * names lane 0, and may be another's by the next. MEMORY-A3 pairs MEMORY-R3 */
    life = v != NULL ? ap_load_acquire(&v->life) : 0;
    if (fresh != 0 && AP_VALUE_IS(life, fresh) && AP_VALUE_LANE(life) == lane) draft_end(seg, lane, fresh, true);
    if (stale != 0) draft_end(seg, lane, stale, false);
    ap_store_relaxed(&d->stale, 0);
    ap_store_release(&d->fresh, 0); /* WATCH-R3 pairs WATCH-A3 */
    if (ap_memory_watched(seg) != 0) ap_memory_watchers_wake(seg);
}

/* ---- checkers --------------------------------------------------------------------------------------------------- */

static void look_place(struct ap_look *look, const struct ap_bucket *b, uint32_t i)
{
    uint64_t place = ap_look_64(look, &b->place[i]), life, hash;
    const struct ap_value *v = ap_value_at(look->seg, AP_PLACE_ROW(place));

    if ((place & AP_PLACE_PRESENT) == 0) return;
    life = v != NULL ? ap_look_64(look, &v->life) : 0;
    hash = v != NULL ? ap_look_64(look, &v->hash) : 0;
    if (v == NULL || !AP_VALUE_IS(life, place))
        ap_look_found(look, AP_CORRUPT, &b->place[i], place ^ life, "G1", "value %u is not USED at epoch %u", AP_PLACE_ROW(place),
                      AP_PLACE_EPOCH(place));
    else if (ap_bucket_of(look->seg, hash) != b || AP_PLACE(hash, AP_PLACE_EPOCH(place), AP_PLACE_ROW(place)) != place)
        ap_look_found(look, AP_CORRUPT, &b->place[i], place ^ hash, "G1", "the key of value %u belongs elsewhere",
                      AP_PLACE_ROW(place));
}

/* Two places of a bucket with the same key. */
static void look_twice(struct ap_look *look, const struct ap_bucket *b, uint32_t i)
{
    uint64_t place = ap_look_64(look, &b->place[i]), other;
    const struct ap_value *v = ap_value_at(look->seg, AP_PLACE_ROW(place)), *o;
    uint32_t words, differ;

    if ((place & AP_PLACE_PRESENT) == 0 || v == NULL) return;
    for (uint32_t k = 0; k < i; k++) {
        other = ap_look_64(look, &b->place[k]);
        o = ap_value_at(look->seg, AP_PLACE_ROW(other));
        if (o == NULL || (other & AP_PLACE_PRESENT) == 0 || ap_look_64(look, &o->hash) != ap_look_64(look, &v->hash)) continue;
        words = ap_look_16(look, &v->words);
        differ = words != ap_look_16(look, &o->words) || words > AP_MEMORY_INSIDE;
        for (uint32_t n = 0; n < words && !differ; n++) differ = ap_look_64(look, &v->inside[n]) != ap_look_64(look, &o->inside[n]);
        if (!differ)
            ap_look_found(look, AP_CORRUPT, &b->place[i], place ^ other, "G2", "places %u and %u have the same key", k, i);
    }
}

static void look_bucket(struct ap_look *look)
{
    const struct ap_bucket *b = ap_bucket_at(look->seg, look->index);
    uint64_t turn = ap_look_64(look, &b->turn), life;
    const struct ap_value *v = ap_value_at(look->seg, AP_PLACE_ROW(turn));

    if (v == NULL || AP_TURN_NUMBER(turn) >= AP_MEMORY_PLACES)
        ap_look_found(look, AP_CORRUPT, &b->turn, turn, "G3", "place %u, value %u", AP_TURN_NUMBER(turn), AP_PLACE_ROW(turn));
    else if (AP_TURN_PENDING(turn)) {
        life = ap_look_64(look, &v->life);
        look->patient = true;
        if (!ap_lane_alive(look->seg, AP_VALUE_LANE(life)))
            ap_look_found(look, AP_REPAIRABLE, &b->turn, turn, "G3", "a key is to get place %u, by lane %u, which is not LIVE",
                          AP_TURN_NUMBER(turn), AP_VALUE_LANE(life));
    }
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++) {
        look_place(look, b, i);
        look_twice(look, b, i);
    }
}

/* Whether a lane that is alive has the row in its draft. */
static bool drafted(struct ap_look *look, uint64_t ref)
{
    for (uint32_t i = 0; i < look->seg->geometry.lanes; i++) {
        const struct ap_draft *d = ap_draft_at(look->seg, i);

        if (d == NULL) return false;
        if ((AP_PLACE_REF(ap_look_64(look, &d->fresh)) == ref || AP_PLACE_REF(ap_look_64(look, &d->stale)) == ref) &&
            ap_lane_alive(look->seg, i))
            return true;
    }
    return false;
}

static void look_value_block(struct ap_look *look, const struct ap_value *v, uint64_t life)
{
    uint64_t offset = ap_look_64(look, &v->block), capacity = 0, block = 0;
    uint64_t row = ap_memory_block_row(look->seg, (uint32_t)look->index);
    uint32_t size = AP_VALUE_SIZE(ap_look_32(look, &v->size)), words = ap_look_16(look, &v->words);

    if (offset == 0) capacity = (AP_MEMORY_INSIDE - words) * 8;
    else if (ap_pool_block(look->seg, offset, &capacity, &block) < 0 || block != AP_BLOCK(AP_BLOCK_KEPT, row, AP_VALUE_EPOCH(life)))
        ap_look_found(look, AP_CORRUPT, &v->block, life ^ offset, "G5", "the block at %llu is not kept for it", LONG(offset));
    if (size > capacity || size > APIARY_MEMORY_VALUE_MAX)
        ap_look_found(look, AP_CORRUPT, &v->size, life ^ size, "G5", "%u bytes", size);
}

static void look_value(struct ap_look *look)
{
    const struct ap_value *v = ap_value_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &v->life), hash = ap_look_64(look, &v->hash);
    uint64_t place = AP_PLACE(hash, AP_VALUE_EPOCH(life), look->index);
    uint32_t names = AP_VALUE_NAME_WORDS(ap_look_16(look, &v->name_words)), words = ap_look_16(look, &v->words);

    if (AP_VALUE_STATE(life) > AP_VALUE_USED)
        ap_look_found(look, AP_CORRUPT, &v->life, life, "G5", "state %u", AP_VALUE_STATE(life));
    if (AP_VALUE_STATE(life) != AP_VALUE_USED) return;
    look->patient = true;
    if (ap_bucket_place(ap_bucket_of(look->seg, hash), place) == NULL) {
        if (!drafted(look, AP_PLACE_REF(place)))
            ap_look_found(look, AP_REPAIRABLE, &v->life, life, "G4", "leaked: in no place, and in nobody's draft");
        return;
    }
    if (names == 0 || names > AP_MEMORY_NAME_WORDS || words <= names || words > names + AP_MEMORY_KEY_WORDS) {
        ap_look_found(look, AP_CORRUPT, &v->words, life ^ words ^ names, "G5", "a key of %u words, %u of its name space", words,
                      names);
        return;
    }
    if (ap_look_64(look, &v->version) == 0) ap_look_found(look, AP_CORRUPT, &v->version, life, "G5", "no version");
    look_value_block(look, v, life);
}

static void look_draft(struct ap_look *look)
{
    const struct ap_draft *d = ap_draft_at(look->seg, look->index);
    uint64_t fresh = ap_look_64(look, &d->fresh), stale = ap_look_64(look, &d->stale);
    uint64_t telling = ap_look_64(look, &d->telling);
    uint64_t rows = look->seg->sections[AP_SECTION_VALUES].count;

    if (AP_PLACE_ROW(fresh) >= rows || AP_PLACE_ROW(stale) >= rows)
        ap_look_found(look, AP_CORRUPT, &d->fresh, fresh ^ stale, "G6", "values %u and %u", AP_PLACE_ROW(fresh),
                      AP_PLACE_ROW(stale));
    else if (telling > ap_look_64(look, &ap_draft_at(look->seg, 0)->head) + 1)
        ap_look_found(look, AP_CORRUPT, &d->telling, telling, "G6", "change %llu is not given out", LONG(telling - 1));
    else if ((fresh | stale | telling) != 0 && !ap_lane_alive(look->seg, (uint32_t)look->index)) {
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &d->fresh, fresh ^ stale ^ telling, "G6", "the draft of a lane that is not LIVE");
    }
    if (look->index != 0 && (ap_look_64(look, &d->revision) | ap_look_64(look, &d->cursor) | ap_look_64(look, &d->watched) |
                             ap_look_64(look, &d->head) | ap_look_64(look, &d->unwatched) | ap_look_32(look, &d->bell)) != 0)
        ap_look_found(look, AP_CORRUPT, &d->revision, d->revision ^ d->cursor, "G6", "a counter that is not of row 0");
    for (uint32_t i = 0; i < AP_MEMORY_COUNT_KINDS; i++)
        if (ap_look_64(look, &d->counts[i]) >= AP_MEMORY_COUNT_MAX)
            ap_look_found(look, AP_CORRUPT, &d->counts[i], d->counts[i], "G6", "count %u is %llu", i, LONG(d->counts[i]));
}

/* ---- the parts -------------------------------------------------------------------------------------------------- */

/* A power of two, and at most two values for each. */
static uint64_t buckets_count(const struct ap_geometry *g)
{
    uint64_t n = 1;

    while (n * 2 < AP_REGISTRY_NUMBER(g, VALUES)) n *= 2;
    return n;
}

static uint64_t drafts_count(const struct ap_geometry *g)
{
    return g->lanes;
}

static const struct ap_field bucket_fields[] = {AP_FIELD(ap_bucket, turn), AP_FIELD(ap_bucket, place), {NULL, 0, 0}};
static const struct ap_field value_fields[] = {
    AP_FIELD(ap_value, life), AP_FIELD(ap_value, hash), AP_FIELD(ap_value, from), AP_FIELD(ap_value, version),
    AP_FIELD(ap_value, until), AP_FIELD(ap_value, block), AP_FIELD(ap_value, size), AP_FIELD(ap_value, name_words),
    AP_FIELD(ap_value, words), AP_FIELD(ap_value, inside), {NULL, 0, 0},
};
static const struct ap_field draft_fields[] = {
    AP_FIELD(ap_draft, fresh), AP_FIELD(ap_draft, stale), AP_FIELD(ap_draft, telling),
    AP_FIELD(ap_draft, watching), AP_FIELD(ap_draft, watched), AP_FIELD(ap_draft, head), AP_FIELD(ap_draft, unwatched),
    AP_FIELD(ap_draft, bell), AP_FIELD(ap_draft, revision), AP_FIELD(ap_draft, cursor),
    AP_FIELD(ap_draft, counts), {NULL, 0, 0},
};
static const struct ap_number value_numbers[] = {
    {.key = "memory_values", .what = "values that all memory together holds, and one more for each that is being written",
     .at = AP_REGISTRY_NUMBER_AT(VALUES), .otherwise = 1024, .min = 2, .max = 1u << 21, .counts = true},
    {.key = NULL},
};
static const struct ap_number memory_numbers[] = {
    {.key = "memory_quota", .what = "percent of these values that one name space may hold", .at = AP_REGISTRY_NUMBER_AT(MEMORY),
     .otherwise = 100, .min = 1, .max = 100, .apart = true},
    {.key = NULL},
};
static const struct ap_number draft_numbers[] = {
    {.key = "memory_quota_bytes", .what = "bytes of values that one name space may hold; the default is no bound",
     .at = AP_REGISTRY_NUMBER_AT(DRAFTS), .otherwise = UINT32_MAX, .min = 1, .max = UINT32_MAX, .apart = true},
    {.key = NULL},
};
const struct ap_part ap_part_memory = {
    .name = "memory", .element = "bucket", .size = sizeof(struct ap_bucket), .count = buckets_count, .fields = bucket_fields,
    .numbers = memory_numbers, .look = look_bucket, .withdraw = ap_memory_withdraw, .settle = ap_part_nothing,
};
const struct ap_part ap_part_values = {
    .name = "values", .element = "value", .size = sizeof(struct ap_value), .fields = value_fields, .numbers = value_numbers,
    .look = look_value, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
const struct ap_part ap_part_drafts = {
    .name = "drafts", .element = "draft", .size = sizeof(struct ap_draft), .count = drafts_count, .fields = draft_fields,
    .numbers = draft_numbers, .look = look_draft, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
