/* registry/routing/rule_sets.c - the table of rule sets: who enters one, and when it is free again. See rule_sets.h. */
#include "registry/routing/rule_sets.h"

#include <string.h>

#include "core/name.h"
#include "registry/routing/terms.h"

_Static_assert(sizeof(struct ap_rule) % 8 == 0, "rules are copied by words");
#define RULE_WORDS (sizeof(struct ap_rule) / 8)

static uint32_t sets_count(const struct ap_segment *seg)
{
    return (uint32_t)seg->sections[AP_SECTION_RULES].count;
}

static size_t rules_words(uint32_t count)
{
    return (count < AP_RULES_MAX ? count : AP_RULES_MAX) * RULE_WORDS;
}

/* All that a set says. */
static uint64_t rules_key(const struct ap_rules *rules)
{
    return ap_hash(rules->list, rules_words(rules->count) * 8);
}

static bool rules_equal(const struct ap_rules *a, const struct ap_rules *b)
{
    return a->count == b->count && memcmp(a->list, b->list, rules_words(a->count) * 8) == 0;
}

/* ---- read ------------------------------------------------------------------------------------------------------- */

static bool life_reads(uint64_t life, uint64_t generation)
{
    return AP_RULES_STATE(life) >= AP_RULES_READY && AP_RULES_GENERATION(life) == generation;
}

bool ap_rule_set_copy(const struct ap_segment *seg, uint64_t name, struct ap_rules *ret)
{
    const struct ap_rule_set *set = ap_rule_set_at(seg, AP_RULE_SET_INDEX(name));
    uint64_t generation = AP_RULE_SET_GENERATION(name), word;
    const uint64_t *from;
    size_t words;

    if (set == NULL || !life_reads(ap_load_acquire(&set->life), generation)) return false; /* RULES-A1 pairs RULES-R1 */
    from = (const uint64_t *)(const void *)set->list;
    ret->count = ap_load_relaxed(&set->count);
    ret->reserved = 0;
    words = rules_words(ret->count);
    for (size_t i = 0; i < words; i++) {
        word = ap_load_relaxed(&from[i]);
        memcpy((char *)ret->list + i * sizeof word, &word, sizeof word); /* private memory need not be aligned for words */
    }
    ap_fence_acquire(); /* RULES-A2 pairs RULES-R2 */
    /* RULES-A4 pairs RULES-R4 */
    return AP_RULES_GENERATION(ap_load_acquire(&set->life)) == generation && ret->count > 0 && ret->count <= AP_RULES_MAX;
}

bool ap_rules_read(const struct ap_segment *seg, uint64_t set, struct ap_rules *ret)
{
    memset(ret, 0, sizeof *ret);
    return ap_rule_set_copy(seg, set, ret) && ap_rules_valid(ret);
}

bool ap_rule_set_in(const struct ap_segment *seg, uint32_t row, uint64_t *ret)
{
    const struct ap_rule_set *set = ap_rule_set_at(seg, row);
    uint64_t life = set != NULL ? ap_load_acquire(&set->life) : 0; /* RULES-A1 pairs RULES-R1 */

    *ret = AP_RULE_SET(row, AP_RULES_GENERATION(life));
    return AP_RULES_STATE(life) >= AP_RULES_READY;
}

/* Whether the set in a row says this; its name in *ret. */
static bool set_says(const struct ap_segment *seg, uint32_t row, uint64_t key, const struct ap_rules *rules, uint64_t *ret)
{
    struct ap_rules own;

    return ap_rule_set_in(seg, row, ret) && ap_load_relaxed(&ap_rule_set_at(seg, row)->key) == key &&
           ap_rule_set_copy(seg, *ret, &own) && rules_equal(&own, rules);
}

bool ap_rules_same(const struct ap_segment *seg, uint64_t a, uint64_t b)
{
    struct ap_rules one, other;

    return ap_rule_set_copy(seg, a, &one) && ap_rule_set_copy(seg, b, &other) && rules_equal(&one, &other);
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static bool hold_has(const struct ap_rule_holds *h, uint32_t row)
{
    return (ap_load_relaxed(&h->bits[row / 64]) >> row % 64 & 1) != 0;
}

static void hold_raise(struct ap_rule_holds *h, uint32_t row)
{
    ap_store_relaxed(&h->bits[row / 64], ap_load_relaxed(&h->bits[row / 64]) | UINT64_C(1) << row % 64);
    ap_fence_full(); /* RULES-F1 pairs RULES-F1 of a lane that condemns */
}

static void hold_end(struct ap_rule_holds *h, uint32_t word, uint64_t left)
{
    ap_store_release(&h->bits[word], left); /* RULES-R3 pairs RULES-A3 */
}

static void hold_lower(struct ap_rule_holds *h, uint32_t row)
{
    hold_end(h, row / 64, ap_load_relaxed(&h->bits[row / 64]) & ~(UINT64_C(1) << row % 64));
}

void ap_rules_let_go(struct ap_segment *seg, uint32_t lane)
{
    struct ap_rule_holds *h = ap_rule_holds_at(seg, lane);

    if (h == NULL) return;
    for (uint32_t i = 0; i < AP_RULE_HOLD_WORDS(sets_count(seg)); i++)
        if (ap_load_relaxed(&h->bits[i]) != 0) hold_end(h, i, 0);
}

/* The lane's row, without what a former life of it has left. */
static struct ap_rule_holds *hold_row(struct ap_segment *seg, uint32_t lane)
{
    struct ap_rule_holds *h = ap_rule_holds_at(seg, lane);
    uint64_t epoch = h != NULL ? AP_LIFE_EPOCH(ap_load_relaxed(&ap_lane_at(seg, lane)->life)) : 0;

    if (h == NULL || ap_load_relaxed(&h->epoch) == epoch) return h;
    ap_rules_let_go(seg, lane);
    ap_store_release(&h->epoch, epoch); /* RULES-R3 pairs RULES-A3 */
    return h;
}

/* ---- who uses a set --------------------------------------------------------------------------------------------- */

/* The sets that are in use, a bit each. */
struct sets_used {
    uint64_t bits[AP_RULE_HOLD_WORDS(AP_RULE_SETS_MAX)];
};

static void holds_use(const struct ap_segment *seg, struct sets_used *ret)
{
    uint32_t words = AP_RULE_HOLD_WORDS(sets_count(seg));

    for (uint32_t lane = 0; lane < seg->sections[AP_SECTION_RULE_HOLDS].count; lane++) {
        const struct ap_rule_holds *h = ap_rule_holds_at(seg, lane);
        const struct ap_lane *l = ap_lane_at(seg, lane);

        for (uint32_t i = 0; i < words; i++) {
            uint64_t bits = ap_load_acquire(&h->bits[i]); /* RULES-A3 pairs RULES-R3 */

            if (bits == 0 || l == NULL || ap_load_acquire(&h->epoch) != AP_LIFE_EPOCH(ap_load_acquire(&l->life)) ||
                !ap_lane_lives(l)) /* RULES-A3 pairs RULES-R3, LANE-A2 pairs LANE-R2 */
                continue;
            ret->bits[i] |= bits;
        }
    }
}

static void terms_use(const struct ap_segment *seg, struct sets_used *ret)
{
    for (uint32_t c = 0; c < seg->sections[AP_SECTION_TERMS].count; c++) {
        uint64_t value = AP_TERM_VALUE(ap_load_acquire(&ap_terms_at(seg, c)->rules)); /* TERMS-A1 pairs TERMS-R1 */
        uint32_t row = AP_RULE_SET_INDEX(value - 1);

        if (value != 0) ret->bits[row / 64] |= UINT64_C(1) << row % 64;
    }
}

/* The holds first: see HOLD. */
static void sets_use(const struct ap_segment *seg, struct sets_used *ret)
{
    memset(ret, 0, sizeof *ret);
    holds_use(seg, ret);
    terms_use(seg, ret);
}

static bool sets_uses(const struct sets_used *used, uint32_t row)
{
    return (used->bits[row / 64] >> row % 64 & 1) != 0;
}

uint32_t ap_rules_used(const struct ap_segment *seg)
{
    struct sets_used used;
    uint32_t n = 0;

    sets_use(seg, &used);
    for (uint32_t i = 0; i < sets_count(seg); i++) n += sets_uses(&used, i);
    return n;
}

/* ---- entered ---------------------------------------------------------------------------------------------------- */

static void set_fill(struct ap_rule_set *set, uint64_t generation, const struct ap_rules *rules)
{
    uint64_t *to = (uint64_t *)(void *)set->list, word;

    ap_fence_release(); /* RULES-R2 pairs RULES-A2 */
    ap_store_relaxed(&set->key, rules_key(rules));
    ap_store_relaxed(&set->count, rules->count);
    for (size_t i = 0; i < rules_words(rules->count); i++) {
        memcpy(&word, (const char *)rules->list + i * sizeof word, sizeof word);
        ap_store_relaxed(&to[i], word);
    }
    ap_store_release(&set->life, AP_RULES_LIFE(generation, 0, AP_RULES_READY)); /* RULES-R1 pairs RULES-A1 */
}

/* One search of a lane. */
struct holding {
    struct ap_segment *seg;
    struct ap_rule_holds *holds;
    uint32_t lane;
    const struct ap_rules *rules;
    uint64_t set; /* found, or entered */
    bool busy;    /* another lane fills a row: maybe with the same rules */
};

/* Holds the set that was seen: false: it has gone meanwhile. */
static bool hold_seen(struct holding *h)
{
    uint32_t row = AP_RULE_SET_INDEX(h->set);
    struct ap_rule_set *set = ap_rule_set_at(h->seg, row);
    uint64_t life, generation = AP_RULE_SET_GENERATION(h->set);

    if (hold_has(h->holds, row)) return true;
    hold_raise(h->holds, row);
    life = ap_load_acquire(&set->life); /* RULES-A1 pairs RULES-R1 */
    while (life_reads(life, generation)) {
        if (AP_RULES_STATE(life) == AP_RULES_READY) return true;
        if (ap_cas(&set->life, &life, AP_RULES_LIFE(generation, 0, AP_RULES_READY))) return true;
    }
    hold_lower(h->holds, row);
    return false;
}

/* Holds a set that says this. */
static bool hold_found(struct holding *h)
{
    uint64_t key = rules_key(h->rules);

    for (uint32_t i = 0; i < sets_count(h->seg); i++)
        if (set_says(h->seg, i, key, h->rules, &h->set) && hold_seen(h)) return true;
    return false;
}

/* Enters the rules in a row, if it is FREE, or somebody has died who filled it. */
static bool hold_new(struct holding *h, uint32_t row)
{
    struct ap_rule_set *set = ap_rule_set_at(h->seg, row);
    uint64_t life = ap_load_acquire(&set->life), next; /* RULES-A1 pairs RULES-R1 */
    bool filling = AP_RULES_STATE(life) == AP_RULES_FILLING, alive = filling && ap_lane_alive(h->seg, AP_RULES_LANE(life));

    h->busy |= alive;
    if (AP_RULES_STATE(life) != AP_RULES_FREE && (!filling || alive)) return false;
    next = (AP_RULES_GENERATION(life) + 1) % AP_RULE_GENERATIONS;
    hold_raise(h->holds, row);
    if (!ap_cas(&set->life, &life, AP_RULES_LIFE(next, h->lane, AP_RULES_FILLING))) {
        hold_lower(h->holds, row);
        return false;
    }
    set_fill(set, next, h->rules);
    h->set = AP_RULE_SET(row, next);
    return true;
}

/* Frees the set in a row, if it is not in use. */
static bool set_reclaim(struct holding *h, uint32_t row)
{
    struct ap_rule_set *set = ap_rule_set_at(h->seg, row);
    uint64_t life = ap_load_acquire(&set->life), condemned; /* RULES-A1 pairs RULES-R1 */
    struct sets_used used;

    if (AP_RULES_STATE(life) < AP_RULES_READY) return false;
    condemned = AP_RULES_LIFE(AP_RULES_GENERATION(life), h->lane, AP_RULES_CONDEMNED);
    if (!ap_cas(&set->life, &life, condemned)) return false;
    ap_fence_full(); /* RULES-F1 pairs RULES-F1 of a lane that holds it */
    sets_use(h->seg, &used);
    if (sets_uses(&used, row)) {
        ap_cas(&set->life, &condemned, AP_RULES_LIFE(AP_RULES_GENERATION(life), 0, AP_RULES_READY));
        return false;
    }
    /* RULES-R4 pairs RULES-A4 */
    return ap_cas(&set->life, &condemned, AP_RULES_LIFE(AP_RULES_GENERATION(life), 0, AP_RULES_FREE));
}

static bool hold_any(struct holding *h)
{
    struct sets_used used;

    for (uint32_t i = 0; i < sets_count(h->seg); i++)
        if (hold_new(h, i)) return true;
    sets_use(h->seg, &used);
    for (uint32_t i = 0; i < sets_count(h->seg); i++)
        if (!sets_uses(&used, i) && set_reclaim(h, i) && hold_new(h, i)) return true;
    return false;
}

int ap_rules_hold(struct ap_segment *seg, uint32_t lane, const struct ap_rules *rules, uint64_t *ret)
{
    struct holding h = {.seg = seg, .holds = ap_rule_holds_at(seg, lane), .lane = lane, .rules = rules};

    if (h.holds == NULL || !ap_rules_valid(rules)) return APIARY_EINVAL;
    h.holds = hold_row(seg, lane);
    for (struct ap_search s = {0}; ap_search_again(&s, AP_LIVES(seg, AP_SECTION_RULES, struct ap_rule_set));) {
        h.busy = false;
        if (hold_found(&h) || hold_any(&h)) {
            *ret = h.set;
            return 0;
        }
        if (h.busy) ap_search_anew(&s, seg->ops);
    }
    return APIARY_ETABLEFULL;
}

bool ap_rules_hold_there(struct ap_segment *seg, uint32_t lane, const struct ap_rules *rules, uint64_t *ret)
{
    struct holding h = {.seg = seg, .lane = lane, .rules = rules};

    if (ap_rule_holds_at(seg, lane) == NULL) return false;
    h.holds = hold_row(seg, lane);
    if (!hold_found(&h)) return false;
    *ret = h.set;
    return true;
}

void ap_rule_sets_end(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; i < sets_count(seg); i++) {
        struct ap_rule_set *set = ap_rule_set_at(seg, i);
        uint64_t life = ap_load_acquire(&set->life); /* RULES-A1 pairs RULES-R1 */

        if (AP_RULES_STATE(life) == AP_RULES_FILLING && AP_RULES_LANE(life) == lane && ap_lane_still(seg, lane, beside))
            ap_cas(&set->life, &life, AP_RULES_LIFE(AP_RULES_GENERATION(life), 0, AP_RULES_FREE));
    }
}

/* ---- its parts -------------------------------------------------------------------------------------------------- */

static void look_filling(struct ap_look *look, const struct ap_rule_set *set, uint64_t life)
{
    uint32_t lane = AP_RULES_LANE(life);
    uint64_t at = 0;

    switch (ap_look_owner(look, lane, &at)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, &set->life, life, "R10", "who fills it, lane %u, is out of range", lane);
        break;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &set->life, life ^ at, "R10", "who fills it, lane %u, is FREE", lane);
        break;
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &set->life, life, "R10", "who fills it, lane %u, is dead", lane);
        break;
    case AP_OWNER_LIVE: break;
    }
}

static void look_ready(struct ap_look *look, const struct ap_rule_set *set, uint64_t life)
{
    uint64_t key = ap_look_64(look, &set->key);
    uint32_t count = ap_look_32(look, &set->count);
    struct ap_rules rules;

    if (!ap_rules_read(look->seg, AP_RULE_SET(look->index, AP_RULES_GENERATION(life)), &rules)) {
        if (ap_look_64(look, &set->life) == life)
            ap_look_found(look, AP_CORRUPT, &set->count, key ^ count ^ life, "R10", "its %u rules are not possible", count);
    } else if (rules_key(&rules) != key) {
        ap_look_found(look, AP_CORRUPT, &set->key, key ^ life, "R10", "its rules have another hash than %016llx",
                      (unsigned long long)key);
    }
}

static void look_set(struct ap_look *look)
{
    const struct ap_rule_set *set = ap_rule_set_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &set->life);
    uint32_t state = AP_RULES_STATE(life), reserved = ap_look_32(look, &set->reserved);
    bool lane = state == AP_RULES_FILLING || state == AP_RULES_CONDEMNED;

    if (state > AP_RULES_CONDEMNED || AP_RULES_GENERATION(life) >= AP_RULE_GENERATIONS || (!lane && AP_RULES_LANE(life) != 0) ||
        AP_RULES_LANE(life) >= look->seg->geometry.lanes)
        ap_look_found(look, AP_CORRUPT, &set->life, life, "R10", "its life is %016llx", (unsigned long long)life);
    else if (state == AP_RULES_FILLING)
        look_filling(look, set, life);
    else if (state != AP_RULES_FREE)
        look_ready(look, set, life);
    if (reserved != 0) ap_look_found(look, AP_CORRUPT, &set->reserved, reserved, "R10", "reserved is %u", reserved);
    if (life == 0) ap_look_zero(look, &set->key, sizeof *set - offsetof(struct ap_rule_set, key), "R10", "of a set that never was");
}

static void look_holds(struct ap_look *look)
{
    const struct ap_rule_holds *h = ap_rule_holds_at(look->seg, look->index);
    const struct ap_lane *lane = ap_lane_at(look->seg, look->index);
    uint32_t sets = sets_count(look->seg), words = AP_RULE_HOLD_WORDS(sets);
    uint64_t epoch = ap_look_64(look, &h->epoch), life = lane != NULL ? ap_look_64(look, &lane->life) : 0;
    uint64_t last = words > 0 ? ap_look_64(look, &h->bits[words - 1]) : 0;

    if (lane != NULL && epoch > AP_LIFE_EPOCH(life))
        ap_look_found(look, AP_CORRUPT, &h->epoch, epoch ^ life, "R10", "its lane has had no life of epoch %llu",
                      (unsigned long long)epoch);
    if (sets % 64 != 0 && last >> sets % 64 != 0)
        ap_look_found(look, AP_CORRUPT, &h->bits[words - 1], last, "R10", "it holds sets that there are not: %016llx",
                      (unsigned long long)last);
}

static uint64_t holds_stride(const struct ap_geometry *g)
{
    return AP_RULE_HOLDS_STRIDE(AP_REGISTRY_NUMBER(g, RULES));
}

static uint64_t holds_count(const struct ap_geometry *g)
{
    return g->lanes;
}

static const struct ap_field rules_fields[] = {
    AP_FIELD(ap_rule_set, life), AP_FIELD(ap_rule_set, key), AP_FIELD(ap_rule_set, count), AP_FIELD(ap_rule_set, reserved),
    AP_FIELD(ap_rule_set, list[0].verb), AP_FIELD(ap_rule_set, list[0].from), AP_FIELD(ap_rule_set, list[0].to), {NULL, 0, 0},
};
static const struct ap_number rules_numbers[] = {
    {.key = "rule_sets", .what = "different sets of rules that capabilities declare at the same time",
     .at = AP_REGISTRY_NUMBER_AT(RULES), .otherwise = 64, .min = 1, .max = AP_RULE_SETS_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_rules = {
    .name = "rules", .element = "rules", .size = sizeof(struct ap_rule_set), .fields = rules_fields, .numbers = rules_numbers,
    .look = look_set, .withdraw = ap_rule_sets_end, .settle = ap_part_nothing,
};

static const struct ap_field holds_fields[] = {AP_FIELD(ap_rule_holds, epoch), {NULL, 0, 0}};
const struct ap_part ap_part_rule_holds = {
    .name = "rule_holds", .element = "holds", .stride = holds_stride, .count = holds_count, .fields = holds_fields,
    .numbers = AP_NO_NUMBERS, .look = look_holds, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
