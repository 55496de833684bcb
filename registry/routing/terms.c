/* registry/routing/terms.c - what capabilities declare of themselves. See terms.h. */
#include "registry/routing/terms.h"

#include <stdio.h>
#include <string.h>

#include "core/config.h"
#include "registry/routing/rule_sets.h"
#include "shm/event.h"

const struct ap_term_row ap_term_rows[AP_TERMS] = {
#define AP_TERM(field, type, of, words, min, max, otherwise, what) {#field, type, of, words, min, max, otherwise, what},
#include "registry/routing/terms.def"
#undef AP_TERM
};

const char *ap_bare_name(uint64_t value)
{
    static const char *const names[AP_BARE_WORDS] = {"newest", "any", "error"};

    return value < AP_BARE_WORDS ? names[value] : NULL;
}

const char *ap_priority_name(uint64_t rank)
{
    static const char *const names[AP_RANKS] = {"urgent", "high", "normal", "low"};

    return rank < AP_RANKS ? names[rank] : NULL;
}

void ap_terms_rank(const struct ap_segment *seg, uint32_t capability, uint32_t rank)
{
    struct ap_terms *row = ap_terms_at(seg, capability);

    if (row == NULL) return;
    ap_add_relaxed(rank == AP_RANK_URGENT + 1 ? &row->urgent : rank == AP_RANK_HIGH + 1 ? &row->high : &row->low, 1);
}

const char *ap_hedge_name(uint64_t value)
{
    return value == APIARY_HEDGE_P95 ? "p95" : NULL;
}

/* ---- read ------------------------------------------------------------------------------------------------------- */

bool ap_term_read(const struct ap_segment *seg, uint32_t capability, enum ap_term term, uint64_t *ret)
{
    const struct ap_term_row *r = &ap_term_rows[term];
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t value = row != NULL ? AP_TERM_VALUE(ap_load_relaxed(ap_term_word(row, term))) : 0;
    bool declared = value > r->min && value - 1 <= r->max;

    *ret = declared ? value - 1 : r->otherwise;
    return declared;
}

uint64_t ap_term_declared(const struct ap_segment *seg, uint32_t capability, enum ap_term term)
{
    uint64_t value;

    ap_term_read(seg, capability, term, &value);
    return value;
}

uint64_t ap_term_number(const struct ap_term_row *r, uint64_t value)
{
    uint64_t words = 0;

    while (r->words(words) != NULL) words++;
    return value - words + 1;
}

bool ap_term_of(enum ap_term term, const char *name)
{
    enum ap_term_of of = ap_term_rows[term].of;

    return of == AP_OF_ANY || (strchr(name, '@') != NULL) == (of == AP_OF_MAJOR);
}

void ap_term_print(enum ap_term term, uint64_t value, char *text, size_t size)
{
    const struct ap_term_row *r = &ap_term_rows[term];

    if (r->type == 'n' && r->words(value) == NULL) snprintf(text, size, "%llu", (unsigned long long)ap_term_number(r, value));
    else if (r->type == 'w' || r->type == 'n') snprintf(text, size, "%s", r->words(value) != NULL ? r->words(value) : "?");
    else if (r->type == 't' && r->words(value) != NULL) snprintf(text, size, "%s", r->words(value));
    else if (r->type == 'p') snprintf(text, size, "%.5g", (double)value / 1000);
    else if (r->type == 'b') snprintf(text, size, "%s", value != 0 ? "true" : "false");
    else if (r->type == 'r') snprintf(text, size, value < AP_NO_RULE_SET ? "set %u" : "none", AP_RULE_SET_INDEX(value));
    else ap_number_print(text, size, r->type == 't' ? 'd' : r->type, (int64_t)value);
}

bool ap_terms_add(uint64_t said[AP_TERMS], const struct ap_terms *more, const char *name)
{
    bool any = false;

    for (uint32_t t = 0; t < AP_TERMS; t++) {
        uint64_t word = ((const uint64_t *)(const void *)more)[t];

        if (word == 0 || !ap_term_of(t, name)) continue;
        said[t] = word;
        any = true;
    }
    return any;
}

/* ---- declared ----------------------------------------------------------------------------------------------------- */

static uint32_t terms_service(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_swarm *s = ap_swarm_at(seg, ap_load_relaxed(&ap_agent_at(seg, queue)->swarm));

    return s != NULL ? ap_load_relaxed(&s->service) : UINT32_MAX;
}

/* Whether a living agent of another queue offers the capability, or is about to. `but`: none of this service; UINT32_MAX: any. */
static bool terms_shared(const struct ap_segment *seg, uint32_t queue, uint32_t capability, uint32_t but)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life); /* QUEUE-A4 pairs QUEUE-R4 */
        uint32_t state = AP_QUEUE_STATE(life);

        if (q != queue && (state == AP_QUEUE_OPEN || state == AP_QUEUE_CLAIMED) && ap_lane_alive(seg, AP_QUEUE_LANE(life)) &&
            ap_agent_runs(ap_agent_at(seg, q), capability) && (but == UINT32_MAX || terms_service(seg, q) != but))
            return true;
    }
    return false;
}

static void terms_conflict(struct ap_segment *seg, uint32_t lane, struct ap_terms_conflicts *all, struct ap_terms_conflict one)
{
    ap_event_log(seg, AP_EVENT_TERMS_CHANGED, lane, one.capability, one.term);
    if (all->count < AP_TERMS_CONFLICTS) all->list[all->count] = one;
    all->count++;
}

/* They stay: nobody could tell whose words are left. */
static void terms_flags(struct ap_capability *c, const uint64_t *said)
{
    ap_store_relaxed(&c->terms, 1);
    if (said[AP_TERM_rules] != 0) ap_store_relaxed(&c->rules, 1);
    if (said[AP_TERM_stateful] != 0) ap_or_acq_rel(&c->ways, AP_WAY_STATEFUL);
}

/* Whether two values, + 1, say the same. Two sets of rules may. */
static bool terms_same(const struct ap_segment *seg, uint32_t term, uint64_t a, uint64_t b)
{
    return a == b || (term == AP_TERM_rules && a != 0 && b != 0 && ap_rules_same(seg, a - 1, b - 1));
}

_Static_assert(AP_TERM_never_to == AP_TERM_never_from + 1, "they are written one after the other");

/* Whether never_to is written before never_from: see RANGE. */
static bool terms_down(struct ap_terms *row, const uint64_t *said)
{
    uint64_t from = said != NULL ? said[AP_TERM_never_from] : 0;

    return from != 0 && from < AP_TERM_VALUE(ap_load_relaxed(&row->never_from));
}

/* The term that is written as the `i`th. */
static uint32_t terms_turn(uint32_t i, bool down)
{
    if (!down || (i != AP_TERM_never_from && i != AP_TERM_never_to)) return i;
    return i == AP_TERM_never_from ? AP_TERM_never_to : AP_TERM_never_from;
}

void ap_terms_declare(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint32_t capability, const uint64_t *said,
                      struct ap_terms_conflicts *conflicts)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    struct ap_capability *c = ap_capability_at(seg, capability);
    bool down;

    if (row == NULL || c == NULL) return;
    if (said != NULL) terms_flags(c, said);
    down = terms_down(row, said);
    for (uint32_t i = 0; i < AP_TERMS && ap_load_relaxed(&c->terms) != 0; i++) {
        uint32_t t = terms_turn(i, down);
        uint64_t *word = ap_term_word(row, t), seen = ap_load_acquire(word); /* TERMS-A1 pairs TERMS-R1 */
        uint64_t next = said != NULL ? said[t] : 0;

        for (;;) {
            uint64_t was = AP_TERM_VALUE(seen);
            /* Asked anew for each word that was seen: whoever has declared it since is there. */
            bool shared = was != 0 && !terms_same(seg, t, was, next) && terms_shared(seg, queue, capability, UINT32_MAX);
            if (next == 0 && (was == 0 || shared)) break;
            if (!ap_cas(word, &seen, AP_TERM_NEXT(seen, next))) continue; /* TERMS-R1 pairs TERMS-A1 */
            if (shared) terms_conflict(seg, lane, conflicts, (struct ap_terms_conflict){capability, t, was - 1});
            break;
        }
    }
}

void ap_terms_amend(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint32_t capability, const uint64_t was[AP_TERMS],
                    const uint64_t said[AP_TERMS], struct ap_terms_conflicts *conflicts)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    struct ap_capability *c = ap_capability_at(seg, capability);
    uint32_t service = terms_service(seg, queue);
    bool down;

    if (row == NULL || c == NULL || memcmp(was, said, AP_TERMS * sizeof *said) == 0) return;
    terms_flags(c, said);
    down = terms_down(row, said);
    for (uint32_t i = 0; i < AP_TERMS; i++) {
        uint32_t t = terms_turn(i, down);
        uint64_t *word = ap_term_word(row, t), seen = ap_load_acquire(word); /* TERMS-A1 pairs TERMS-R1 */

        while (was[t] != said[t] && !terms_same(seg, t, AP_TERM_VALUE(seen), said[t])) {
            uint64_t stands = AP_TERM_VALUE(seen);
            /* Another service may have declared the same value. */
            bool others = !terms_same(seg, t, stands, was[t]) || terms_shared(seg, queue, capability, service);

            if (said[t] == 0 && others) {
                uint64_t now = ap_load_acquire(word); /* TERMS-A1 pairs TERMS-R1 */

                if (now == seen) break;
                seen = now; /* the set that stood there may have gone when it was compared */
                continue;
            }
            if (!ap_cas(word, &seen, AP_TERM_NEXT(seen, said[t]))) continue; /* TERMS-R1 pairs TERMS-A1 */
            if (stands != 0 && others)
                terms_conflict(seg, lane, conflicts, (struct ap_terms_conflict){capability, t, stands - 1});
            break;
        }
    }
}

/* ---- its part ----------------------------------------------------------------------------------------------------- */

static void look_rules(struct ap_look *look, struct ap_terms *row)
{
    uint64_t word = ap_look_64(look, &row->rules);
    const uint8_t *flag = &ap_capability_at(look->seg, look->index)->rules;
    uint64_t name = AP_TERM_VALUE(word) - 1, life;
    const struct ap_rule_set *set = ap_rule_set_at(look->seg, AP_RULE_SET_INDEX(name));

    if (ap_look_8(look, flag) == 0) ap_look_found(look, AP_CORRUPT, flag, word, "R9", "it has declared rules, and does not say so");
    life = set != NULL ? ap_look_64(look, &set->life) : 0;
    if (AP_RULES_STATE(life) < AP_RULES_READY || AP_RULES_GENERATION(life) != AP_RULE_SET_GENERATION(name))
        ap_look_found(look, AP_CORRUPT, &row->rules, word ^ life, "R10", "set %u is not there at generation %llu",
                      AP_RULE_SET_INDEX(name), (unsigned long long)AP_RULE_SET_GENERATION(name));
}

static void look_terms(struct ap_look *look)
{
    static const char *const numbers[] = {"paid", "refused", "fell_back", "hedge_paid", "hedge_time", "hedged", "hedge_won",
                                        "hedge_held"};
    struct ap_terms *row = ap_terms_at(look->seg, look->index);
    const struct ap_capability *c = ap_capability_at(look->seg, look->index);
    uint32_t flag = ap_look_8(look, &c->terms);
    bool named = ap_look_64(look, &c->key) != 0;
    size_t used = AP_TERMS * sizeof(uint64_t);

    if (flag > 1 || (flag == 1 && !named))
        ap_look_found(look, AP_CORRUPT, &c->terms, flag, "R9", "terms is %u%s", flag, named ? "" : " of no capability");
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        uint64_t *at = ap_term_word(row, t), word = ap_look_64(look, at), value = AP_TERM_VALUE(word);

        if (word != 0 && flag == 0)
            ap_look_found(look, AP_CORRUPT, at, word, "R9", "%s of a capability without terms", ap_term_rows[t].key);
        if (value != 0 && (value <= ap_term_rows[t].min || value - 1 > ap_term_rows[t].max))
            ap_look_found(look, AP_CORRUPT, at, word, "R9", "%s is %llu", ap_term_rows[t].key, (unsigned long long)value - 1);
    }
    for (uint32_t k = 0; flag == 0 && k < sizeof numbers / sizeof numbers[0]; k++)
        if (ap_look_64(look, &row->paid + k) != 0)
            ap_look_found(look, AP_CORRUPT, &row->paid + k, (&row->paid)[k], "R9", "%s of a capability without terms", numbers[k]);
    if (AP_TERM_VALUE(ap_look_64(look, &row->rules)) != 0) look_rules(look, row);
    ap_look_zero(look, (const uint8_t *)row + used, offsetof(struct ap_terms, paid) - used, "R9", "behind the terms");
    for (const uint64_t *count = &row->urgent; !named && count <= &row->judged_long; count++)
        if (ap_look_64(look, count) != 0)
            ap_look_found(look, AP_CORRUPT, count, *count, "R9", "counts of no capability");
}

/* One for each capability. */
static uint64_t terms_count(const struct ap_geometry *g)
{
    return AP_REGISTRY_NUMBER(g, CAPABILITIES);
}

static const struct ap_field terms_fields[] = {
#define AP_TERM(field, ...) AP_FIELD(ap_terms, field),
#include "registry/routing/terms.def"
#undef AP_TERM
    AP_FIELD(ap_terms, paid), AP_FIELD(ap_terms, refused), AP_FIELD(ap_terms, fell_back), AP_FIELD(ap_terms, hedge_paid),
    AP_FIELD(ap_terms, hedge_time), AP_FIELD(ap_terms, hedged), AP_FIELD(ap_terms, hedge_won), AP_FIELD(ap_terms, hedge_held),
    AP_FIELD(ap_terms, urgent), AP_FIELD(ap_terms, high), AP_FIELD(ap_terms, low),
    AP_FIELD(ap_terms, coalesced), AP_FIELD(ap_terms, judged), AP_FIELD(ap_terms, judged_success),
    AP_FIELD(ap_terms, judged_short), AP_FIELD(ap_terms, judged_long),
    {NULL, 0, 0},
};
const struct ap_part ap_part_terms = {
    .name = "terms", .element = "terms", .size = sizeof(struct ap_terms), .count = terms_count, .fields = terms_fields,
    .numbers = AP_NO_NUMBERS, .look = look_terms,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
