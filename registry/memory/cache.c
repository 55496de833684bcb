/* registry/memory/cache.c - caches: declaring, evicting; their part. See cache.h. */
#include "registry/memory/cache.h"

_Static_assert(sizeof(struct ap_cache) == 128, "cache: two lines");

#define HAND 16u /* rows that a writer takes from the hand at once */

static uint64_t caches_count(const struct ap_segment *seg)
{
    return seg->places[AP_SECTION_CACHES].count;
}

/* ---- which are caches ------------------------------------------------------------------------------------------- */

int ap_cache_name(const char *text, struct ap_memory_name *ret)
{
    bool local = text != NULL && *text == '@';

    return ap_memory_name(local ? text + 1 : text, local, ret);
}

static bool cache_is_of(const struct ap_cache *c, const struct ap_memory_name *name)
{
    return ap_load_relaxed(&c->hash) == name->hash && ap_load_relaxed(&c->words) == name->words &&
           memcmp(c->name, name->text, name->words * 8) == 0;
}

/* The row of the name; NULL: there is none, and *ret_next is the number of the first without one. */
static struct ap_cache *cache_named(const struct ap_segment *seg, const struct ap_memory_name *name, uint64_t *ret_next)
{
    for (*ret_next = 0; *ret_next < caches_count(seg); ++*ret_next) {
        struct ap_cache *c = ap_cache_at(seg, *ret_next);

        if (ap_load_acquire(&c->named) == 0) return NULL; /* CACHE-A1 pairs CACHE-R1 */
        if (cache_is_of(c, name)) return c;
    }
    return NULL;
}

struct ap_cache *ap_cache_of(const struct ap_segment *seg, const struct ap_memory_name *name)
{
    uint64_t next;
    struct ap_cache *c = cache_named(seg, name, &next);

    return c != NULL && ap_load_relaxed(&c->active) != 0 ? c : NULL;
}

bool ap_cache_read(const struct ap_segment *seg, uint64_t i, struct ap_memory_name *ret)
{
    const struct ap_cache *c = ap_cache_at(seg, i);

    if (c == NULL || ap_load_acquire(&c->named) == 0) return false; /* CACHE-A1 pairs CACHE-R1 */
    memset(ret, 0, sizeof *ret);
    ret->words = ap_load_relaxed(&c->words);
    ret->hash = ap_load_relaxed(&c->hash);
    if (ret->words == 0 || ret->words > AP_MEMORY_NAME_WORDS) return false;
    memcpy(ret->text, c->name, ret->words * 8);
    ret->text[ret->words - 1] &= ~(UINT64_C(0xff) << 56); /* it ends, whatever is there */
    return true;
}

static int cache_declare(struct ap_segment *seg, const struct ap_memory_name *name)
{
    uint64_t next;
    struct ap_cache *c = cache_named(seg, name, &next);

    if (c == NULL && next == caches_count(seg)) return APIARY_ETABLEFULL;
    if (c == NULL) {
        c = ap_cache_at(seg, next);
        ap_store_relaxed(&c->hash, name->hash);
        ap_store_relaxed(&c->words, name->words);
        for (uint32_t i = 0; i < AP_MEMORY_NAME_WORDS; i++) ap_store_relaxed(&c->name[i], name->text[i]);
        ap_store_release(&c->named, 1); /* CACHE-R1 pairs CACHE-A1 */
    }
    ap_store_relaxed(&c->active, 1);
    return 0;
}

int ap_caches_declare(struct ap_segment *seg, const struct ap_memory_name *names, size_t count)
{
    int r = 0;

    for (uint64_t i = 0; i < caches_count(seg); i++) {
        struct ap_cache *c = ap_cache_at(seg, i);
        bool listed = false;

        if (ap_load_acquire(&c->named) == 0) break; /* CACHE-A1 pairs CACHE-R1 */
        for (size_t k = 0; k < count && !listed; k++) listed = cache_is_of(c, &names[k]);
        if (!listed) ap_store_relaxed(&c->active, 0);
    }
    for (size_t k = 0; k < count && r == 0; k++) r = cache_declare(seg, &names[k]);
    return r;
}

/* ---- evicting --------------------------------------------------------------------------------------------------- */

/* Whether a value that is in its place is such a one. */
static bool evicting_fits(const struct ap_segment *seg, const struct ap_value *v, const struct ap_evicting *what)
{
    uint64_t block = ap_load_relaxed(&v->block);

    if (!ap_value_of_name(v, what->name)) return false;
    if (ap_load_relaxed(&v->hash) == what->except) return false;
    if (what->bytes > 0 && AP_VALUE_SIZE(ap_load_relaxed(&v->size)) == 0) return false;
    return what->classes == 0 || (block != 0 && ap_pool_is_of(seg, block, what->classes));
}

/* The yield of one search. */
struct evicted {
    uint32_t row, values; /* of the last one; how many */
    uint64_t bytes;
};

static bool evicted_enough(const struct evicted *e, const struct ap_evicting *what)
{
    return e->values >= what->values && e->bytes >= what->bytes;
}

/* The value of a row: true. `last`: also if it is in use. */
static bool evict_row(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what, uint32_t row,
                      bool last, struct evicted *ret)
{
    struct ap_value *v = ap_value_at(seg, row);
    uint64_t life = ap_load_acquire(&v->life), hash, place, until, *at; /* MEMORY-A3 pairs MEMORY-R3 */
    uint32_t size;
    bool unused, over;

    if (AP_VALUE_STATE(life) != AP_VALUE_USED || !ap_value_of_name(v, what->name)) return false;
    hash = ap_load_relaxed(&v->hash);
    place = AP_PLACE(hash, AP_VALUE_EPOCH(life), row);
    at = ap_bucket_place(ap_bucket_of(seg, hash), place);
    /* A row that is being filled is in no place; once it is in one, what it says is its own. */
    if (at == NULL || !evicting_fits(seg, v, what)) return false;
    size = ap_load_relaxed(&v->size);
    unused = (size & AP_VALUE_UNUSED) != 0;
    until = ap_load_relaxed(&v->until);
    over = until != APIARY_FOREVER && until <= seg->ops->now();
    if (!unused && !over && !last) {
        ap_or_acq_rel(&v->size, AP_VALUE_UNUSED);
        return false;
    }
    if (!ap_memory_remove(seg, lane, at, place)) return false;
    if (over) ap_memory_counted(seg, lane, AP_MEMORY_COUNT_expired, 1);
    else ap_add_relaxed(&c->evicted, 1);
    if (!over && (size & AP_VALUE_NEW) != 0) ap_add_relaxed(&c->unfetched, 1);
    *ret = (struct evicted){.row = row, .values = ret->values + 1, .bytes = ret->bytes + AP_VALUE_SIZE(size)};
    return true;
}

/* The next rows, which nobody else looks at meanwhile. */
static uint32_t rows_take(struct ap_cache *c, uint32_t rows, uint32_t count)
{
    uint32_t seen = ap_load_relaxed(&c->hand);

    while (!ap_cas(&c->hand, &seen, (seen % rows + count) % rows)) {}
    return seen % rows;
}

/* Those from this row on were not looked at; who has gone on meanwhile does not come back for them. */
static void rows_give_back(struct ap_cache *c, uint32_t taken_to, uint32_t from)
{
    if (from != taken_to) ap_cas(&c->hand, &taken_to, from);
}

/* The first round: true, there was enough. */
static bool evict_in_turn(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what,
                          struct evicted *e)
{
    uint32_t rows = (uint32_t)seg->sections[AP_SECTION_VALUES].count;

    for (uint32_t left = rows, step; left > 0; left -= step) {
        uint32_t row, i = 0;

        step = left < HAND ? left : HAND;
        row = rows_take(c, rows, step);
        for (; i < step && !evicted_enough(e, what); i++) (void)evict_row(seg, lane, c, what, (row + i) % rows, false, e);
        if (!evicted_enough(e, what)) continue;
        rows_give_back(c, (row + step) % rows, (row + i) % rows);
        return true;
    }
    return false;
}

/* The second one is this writer's alone: others may have taken all rows of the first. */
static void evict_all(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what, struct evicted *e)
{
    uint32_t rows = (uint32_t)seg->sections[AP_SECTION_VALUES].count, hand = ap_load_relaxed(&c->hand), i = 0;

    for (; i < rows && !evicted_enough(e, what); i++) (void)evict_row(seg, lane, c, what, (hand % rows + i) % rows, true, e);
    rows_give_back(c, hand, (hand % rows + i) % rows);
}

uint32_t ap_cache_evict(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what,
                        uint32_t *ret_row)
{
    struct evicted e = {.values = 0};

    if (!evict_in_turn(seg, lane, c, what, &e)) evict_all(seg, lane, c, what, &e);
    if (e.values > 0) *ret_row = e.row;
    return e.values;
}

bool ap_cache_evict_in(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what,
                       const struct ap_bucket *b)
{
    struct evicted e = {.values = 0};

    for (uint32_t i = 0; i < 2 * AP_MEMORY_PLACES; i++) {
        uint64_t place = ap_load_acquire(&b->place[i % AP_MEMORY_PLACES]); /* MEMORY-A1 pairs MEMORY-R1 */

        if ((place & AP_PLACE_PRESENT) == 0 || ap_value_at(seg, AP_PLACE_ROW(place)) == NULL) continue;
        if (evict_row(seg, lane, c, what, AP_PLACE_ROW(place), i >= AP_MEMORY_PLACES, &e)) return true;
    }
    return false;
}

void ap_cache_evicted(const struct ap_segment *seg, uint64_t *ret_evicted, uint64_t *ret_unfetched)
{
    *ret_evicted = *ret_unfetched = 0;
    for (uint64_t i = 0; i < caches_count(seg); i++) {
        *ret_evicted += ap_load_relaxed(&ap_cache_at(seg, i)->evicted);
        *ret_unfetched += ap_load_relaxed(&ap_cache_at(seg, i)->unfetched);
    }
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static void look_cache(struct ap_look *look)
{
    const struct ap_cache *c = ap_cache_at(look->seg, look->index);
    uint32_t named = ap_look_32(look, &c->named), active = ap_look_32(look, &c->active), hand = ap_look_32(look, &c->hand);
    struct ap_memory_name name, right;

    if (named > 1 || active > named || hand >= look->seg->sections[AP_SECTION_VALUES].count)
        ap_look_found(look, AP_CORRUPT, &c->named, named ^ active ^ hand, "G8", "named %u, active %u, hand %u", named, active,
                      hand);
    if (named != 1) return;
    if (look->index > 0 && ap_look_32(look, &ap_cache_at(look->seg, look->index - 1)->named) == 0)
        ap_look_found(look, AP_CORRUPT, &c->named, named, "G8", "it is named, and the row before is not");
    if (!ap_cache_read(look->seg, look->index, &name) || ap_cache_name((const char *)name.text, &right) < 0 ||
        right.hash != name.hash || right.words != name.words)
        ap_look_found(look, AP_CORRUPT, &c->hash, c->hash ^ c->words, "G8", "no possible name, or another hash");
}

static const struct ap_field cache_fields[] = {
    AP_FIELD(ap_cache, hash), AP_FIELD(ap_cache, named), AP_FIELD(ap_cache, active), AP_FIELD(ap_cache, words),
    AP_FIELD(ap_cache, hand), AP_FIELD(ap_cache, evicted), AP_FIELD(ap_cache, unfetched), AP_FIELD(ap_cache, name), {NULL, 0, 0},
};
static const struct ap_number cache_numbers[] = {
    {.key = "memory_caches", .what = "name spaces of the memory that may ever be declared caches",
     .at = AP_REGISTRY_NUMBER_AT(CACHES), .otherwise = 16, .min = 1, .max = 1024, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_caches = {
    .name = "caches", .element = "cache", .size = sizeof(struct ap_cache), .fields = cache_fields, .numbers = cache_numbers,
    .look = look_cache, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
