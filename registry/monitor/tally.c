/* registry/monitor/tally.c - counts that have names; their part. See tally.h. */
#include "registry/monitor/tally.h"

#include "core/hash.h"
#include "core/name.h"
#include "registry/discovery/discovery.h"
#include "shm/queue.h"

#define LONG(n) ((unsigned long long)(n))
#define NAME_WORDS ((APIARY_NAME_MAX + 1) / 8)
#define AGAIN UINT64_C(1000000000) /* ns, after which a full table is asked again */
#define TRIES 4u /* searches that found a row which another lane took first */

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* A name as it is stored. */
struct stored {
    uint64_t key, what, words[NAME_WORDS];
};

static uint64_t hash_of(const char *caller, uint64_t what)
{
    return (ap_hash(caller, strlen(caller)) ^ what * UINT64_C(0x9e3779b97f4a7c15)) >> 16;
}

static void stored_make(const struct ap_tally_name *name, struct stored *ret)
{
    uint64_t what = AP_TALLY_WHAT(name->code, name->agent_code);

    ret->what = AP_TALLY_READY | what;
    ret->key = AP_TALLY_KEY(name->kind, name->queue, name->capability, hash_of(name->caller, what));
    memset(ret->words, 0, sizeof ret->words);
    memcpy(ret->words, name->caller, strlen(name->caller));
}

static uint64_t *caller_words(struct ap_tally_row *row)
{
    return (uint64_t *)(void *)row->caller;
}

static void tally_row_fill(struct ap_tally_row *row, const struct stored *s)
{
    for (uint32_t i = 0; i < NAME_WORDS; i++) ap_store_relaxed(&caller_words(row)[i], s->words[i]);
    ap_store_release(&row->what, s->what); /* TALLY-R1 pairs TALLY-A1 */
}

/* A row that has the key has the name, too, or gets it now. */
static bool tally_row_is(struct ap_tally_row *row, const struct stored *s)
{
    uint64_t what = ap_load_acquire(&row->what); /* TALLY-A1 pairs TALLY-R1 */

    if (what == 0) tally_row_fill(row, s);
    else if (what != s->what) return false;
    for (uint32_t i = 0; i < NAME_WORDS; i++)
        if (ap_load_relaxed(&caller_words(row)[i]) != s->words[i]) return false;
    return true;
}

void ap_tally_caller(const struct ap_segment *seg, uint32_t caller, char ret[APIARY_NAME_MAX + 1])
{
    ret[0] = '\0';
    if (caller != 0) ap_service_name(seg, caller - 1, ret);
    if (ret[0] == '\0') memcpy(ret, "-", 2);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* The rows in which a name of that kind may be: from *ret_first on; returns how many. */
static uint64_t tally_table(const struct ap_segment *seg, enum ap_tally_kind kind, uint64_t *ret_first)
{
    uint64_t rows = seg->sections[AP_SECTION_TALLIES].count - AP_TALLY_KINDS, refused = rows / 4;

    *ret_first = AP_TALLY_KINDS + (kind == AP_TALLY_REFUSED ? rows - refused : 0);
    return kind == AP_TALLY_REFUSED ? refused : rows - refused;
}

/* The row, or the one to take for it, whose key is *ret_key; NULL: there is neither. */
static struct ap_tally_row *tally_search(const struct ap_segment *seg, const struct stored *s, uint64_t *ret_key)
{
    uint64_t first, rows = tally_table(seg, (enum ap_tally_kind)AP_TALLY_KIND(s->key), &first), most = rows, at;

    if (most > AP_TALLY_PROBES) most = AP_TALLY_PROBES;
    at = (s->key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % rows;
    for (uint64_t n = 0; n < most; n++, at = at + 1 < rows ? at + 1 : 0) {
        struct ap_tally_row *row = ap_tally_row_at(seg, first + at);

        *ret_key = ap_load_relaxed(&row->key);
        if (*ret_key == 0 || (*ret_key == s->key && tally_row_is(row, s))) return row;
    }
    return NULL;
}

struct ap_tally_row *ap_tally_find(struct ap_segment *seg, const struct ap_tally_name *name, bool enter)
{
    struct stored s;

    stored_make(name, &s);
    for (uint32_t tries = 0; tries < TRIES; tries++) {
        uint64_t key;
        struct ap_tally_row *row = tally_search(seg, &s, &key);

        if (row == NULL || key == s.key) return row;
        if (!enter) return NULL;
        if (!ap_cas(&row->key, &key, s.key)) continue;
        tally_row_fill(row, &s);
        return row;
    }
    return NULL;
}

void ap_tally_others(const struct ap_segment *seg, enum ap_tally_kind kind, enum ap_tally_count count, uint64_t n)
{
    ap_add_relaxed(&ap_tally_row_at(seg, kind)->counts[count], n);
}

uint32_t ap_tally_codes(const struct ap_segment *seg, uint32_t queue)
{
    uint64_t mine = AP_TALLY_KEY(AP_TALLY_FAILED, queue, 0, 0) >> 46;
    uint32_t n = 0;

    for (uint64_t i = AP_TALLY_KINDS; i < seg->sections[AP_SECTION_TALLIES].count; i++) {
        const struct ap_tally_row *row = ap_tally_row_at(seg, i);

        n += ap_load_relaxed(&row->key) >> 46 == mine &&
             ap_load_relaxed(&row->counts[AP_TALLY_ENDED]) != ap_load_relaxed(&row->former[AP_TALLY_ENDED]);
    }
    return n;
}

/* The row of a refusal, as it was found or not found the last time. */
static struct ap_tally_row *refused_row(struct ap_segment *seg, struct ap_tally_last *last, uint32_t caller, uint32_t capability,
                                        int code)
{
    uint64_t what = ((uint64_t)capability << 32 | (uint64_t)((uint32_t)-code & 0xffff) << 16 | (caller & 0xffff)) + 1, now;
    struct ap_tally_name name = {.kind = AP_TALLY_REFUSED, .queue = AP_TALLY_NO_QUEUE, .capability = capability, .code = code};

    if (last->what == what && last->row != NULL) return last->row;
    now = seg->ops->now();
    if (last->what == what && now < last->again) return NULL;
    ap_tally_caller(seg, caller, name.caller);
    *last = (struct ap_tally_last){.what = what, .row = ap_tally_find(seg, &name, true), .again = now + AGAIN};
    return last->row;
}

void ap_tally_refused(struct ap_segment *seg, struct ap_tally_last *last, uint32_t caller, uint32_t capability, int code)
{
    struct ap_tally_row *row = refused_row(seg, last, caller, capability, code);

    if (row != NULL) ap_add_relaxed(&row->counts[AP_TALLY_ENDED], 1);
    else ap_tally_others(seg, AP_TALLY_REFUSED, AP_TALLY_ENDED, 1);
}

/* Nobody adds to these rows meanwhile, so what a dead lane has done of it is done again. */
void ap_tally_anew(struct ap_segment *seg, uint32_t queue)
{
    if (AP_QUEUE_EPOCH(ap_load_relaxed(&ap_queue_at(seg, queue)->life)) == 0) return; /* it has never been open */
    for (uint64_t i = AP_TALLY_KINDS; i < seg->sections[AP_SECTION_TALLIES].count; i++) {
        struct ap_tally_row *row = ap_tally_row_at(seg, i);
        uint64_t key = ap_load_relaxed(&row->key);

        if (AP_TALLY_KIND(key) == AP_TALLY_NONE || AP_TALLY_QUEUE(key) != queue) continue;
        for (uint32_t k = 0; k < AP_TALLY_COUNTS_END; k++)
            ap_store_release(&row->former[k], ap_load_relaxed(&row->counts[k])); /* TALLY-R2 pairs TALLY-A2 */
    }
}

/* ---- read ------------------------------------------------------------------------------------------------------- */

static bool key_possible(const struct ap_segment *seg, uint64_t key)
{
    uint32_t kind = AP_TALLY_KIND(key), queue = AP_TALLY_QUEUE(key), capability = AP_TALLY_CAPABILITY(key);
    bool known = capability < seg->sections[AP_SECTION_CAPABILITIES].count;

    if (kind == AP_TALLY_NONE || kind >= AP_TALLY_KINDS) return false;
    if (kind == AP_TALLY_REFUSED) return queue == AP_TALLY_NO_QUEUE && (known || capability == AP_TALLY_NO_CAPABILITY);
    return queue < seg->geometry.queues && known;
}

/* False: not in use, not READY, or not sound. */
static bool tally_row_read(const struct ap_segment *seg, const struct ap_tally_row *row, struct ap_tally *ret)
{
    uint64_t key = ap_load_acquire(&row->key), what = ap_load_acquire(&row->what); /* TALLY-A1 pairs TALLY-R1 */
    struct ap_tally t = {.others = false};

    if (!key_possible(seg, key) || (what & AP_TALLY_READY) == 0) return false;
    t.name.kind = (enum ap_tally_kind)AP_TALLY_KIND(key);
    t.name.queue = AP_TALLY_QUEUE(key);
    t.name.capability = AP_TALLY_CAPABILITY(key);
    t.name.code = AP_TALLY_CODE(what);
    t.name.agent_code = (uint32_t)what;
    ap_text_copy(t.name.caller, row->caller, sizeof t.name.caller);
    for (uint32_t i = 0; i < AP_TALLY_COUNTS_END; i++) {
        t.former[i] = ap_load_acquire(&row->former[i]); /* TALLY-A2 pairs TALLY-R2 */
        t.counts[i] = ap_load_relaxed(&row->counts[i]);
        if (t.former[i] > t.counts[i]) t.former[i] = t.counts[i]; /* the segment is damaged */
    }
    *ret = t;
    return true;
}

bool ap_tally_next(const struct ap_segment *seg, uint64_t *cursor, struct ap_tally *ret)
{
    for (; *cursor < seg->sections[AP_SECTION_TALLIES].count; ++*cursor) {
        const struct ap_tally_row *row = ap_tally_row_at(seg, *cursor);

        if (row == NULL || *cursor == AP_TALLY_NONE) continue;
        if (*cursor < AP_TALLY_KINDS) {
            memset(ret, 0, sizeof *ret);
            ret->others = true;
            ret->name.kind = (enum ap_tally_kind)*cursor;
            for (uint32_t i = 0; i < AP_TALLY_COUNTS_END; i++) ret->counts[i] = ap_load_relaxed(&row->counts[i]);
        } else if (!tally_row_read(seg, row, ret)) {
            continue;
        }
        ret->row = (uint32_t)*cursor;
        ++*cursor;
        return true;
    }
    return false;
}

uint32_t ap_tally_used(const struct ap_segment *seg, uint32_t *ret_all)
{
    uint64_t count = seg->sections[AP_SECTION_TALLIES].count;
    uint32_t n = 0;

    for (uint64_t i = AP_TALLY_KINDS; i < count; i++)
        n += AP_TALLY_KIND(ap_load_relaxed(&ap_tally_row_at(seg, i)->key)) != AP_TALLY_NONE;
    *ret_all = (uint32_t)count - AP_TALLY_KINDS;
    return n;
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static bool name_possible(uint32_t kind, const char *name)
{
    return kind == AP_TALLY_FAILED ? name[0] == '\0' : strcmp(name, "-") == 0 || ap_name_valid(name, APIARY_NAME_MAX);
}

/* W2, W4: of a row that is READY. */
static void tally_ready(struct ap_look *look, const struct ap_tally_row *row, uint64_t key, uint64_t what)
{
    char name[APIARY_NAME_MAX + 1];
    uint64_t bad = ap_look_64(look, &row->counts[AP_TALLY_BAD]), late = ap_look_64(look, &row->counts[AP_TALLY_LATE]);
    uint64_t ended = ap_look_64(look, &row->counts[AP_TALLY_ENDED]);

    ap_look_text(look, row->caller, sizeof row->caller, "W2", "caller", name);
    if (!name_possible(AP_TALLY_KIND(key), name))
        ap_look_found(look, AP_CORRUPT, row->caller, key, "W2", "\"%s\" is no caller", name);
    else if ((hash_of(name, what & ~AP_TALLY_READY) & AP_TALLY_HASHES) != (key & AP_TALLY_HASHES))
        ap_look_found(look, AP_CORRUPT, &row->key, key ^ what, "W2", "\"%s\" and %016llx have another hash than %016llx", name,
                      LONG(what), LONG(key));
    if (bad > ended || late > ended - bad)
        ap_look_found(look, AP_CORRUPT, bad > ended ? &row->counts[AP_TALLY_BAD] : &row->counts[AP_TALLY_LATE],
                      ended ^ bad * 3 ^ late * 5, "W4", "%llu ended; %llu failed, %llu late", LONG(ended), LONG(bad), LONG(late));
}

/* W5. A lane that makes counts former may be at it: `former` is read first. */
static void look_former(struct ap_look *look, const struct ap_tally_row *row)
{
    for (uint32_t i = 0; i < AP_TALLY_COUNTS_END; i++) {
        uint64_t former = ap_look_64(look, &row->former[i]); /* TALLY-A2 pairs TALLY-R2 */
        uint64_t count = ap_look_64(look, &row->counts[i]);

        if (former > count)
            ap_look_found(look, AP_CORRUPT, &row->former[i], former ^ count * 3, "W5", "%llu were former agents', of %llu",
                          LONG(former), LONG(count));
    }
}

static void look_tally(struct ap_look *look)
{
    const struct ap_tally_row *row = ap_tally_row_at(look->seg, look->index);
    uint64_t key = ap_look_64(look, &row->key), what = ap_look_64(look, &row->what); /* TALLY-A1 pairs TALLY-R1 */

    look->patient = true;
    if (look->index < AP_TALLY_KINDS || key == 0) {
        if (key != 0) ap_look_found(look, AP_CORRUPT, &row->key, key, "W1", "key %016llx of the others", LONG(key));
        if (what != 0) ap_look_found(look, AP_CORRUPT, &row->what, what, "W3", "%016llx of no key", LONG(what));
        ap_look_zero(look, row->caller, sizeof row->caller, "W3", "a name without a key");
        ap_look_zero(look, row->former, sizeof row->former, "W3", "former counts without a key");
        if (look->index == AP_TALLY_NONE || look->index >= AP_TALLY_KINDS)
            ap_look_zero(look, row->counts, sizeof row->counts, "W3", "counts without a key");
        return;
    }
    look_former(look, row);
    if (!key_possible(look->seg, key))
        ap_look_found(look, AP_CORRUPT, &row->key, key, "W1", "kind %u, queue %u, capability %u", AP_TALLY_KIND(key),
                      AP_TALLY_QUEUE(key), AP_TALLY_CAPABILITY(key));
    else if ((what & AP_TALLY_READY) != 0) tally_ready(look, row, key, what);
    else if (what != 0) ap_look_found(look, AP_CORRUPT, &row->what, what, "W2", "%016llx is not ready", LONG(what));
}

static const struct ap_field tally_fields[] = {
    AP_FIELD(ap_tally_row, key), AP_FIELD(ap_tally_row, what), AP_FIELD(ap_tally_row, caller), AP_FIELD(ap_tally_row, counts),
    AP_FIELD(ap_tally_row, former), {NULL, 0, 0},
};
static const struct ap_number tally_numbers[] = {
    {.key = "tally_rows", .what = "what is counted by name: each pair of a calling service and an agent's capability, each code",
     .at = AP_REGISTRY_NUMBER_AT(TALLIES), .otherwise = 4096, .min = 16, .max = 1u << 20, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_tallies = {
    .name = "tallies", .element = "tally", .size = sizeof(struct ap_tally_row), .fields = tally_fields, .numbers = tally_numbers,
    .look = look_tally, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
