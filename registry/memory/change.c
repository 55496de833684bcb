/* registry/memory/change.c - one change of a value: a row is drafted, and takes its place. See memory.h. */
#include <string.h>

#include "registry/memory/cache.h"
#include "registry/memory/watch.h"

#define TRIES (1u << 16) /* changes of others that came first; each is their progress */
#define ROUNDS 1024u     /* attempts for which something was evicted, and others had the room */
#define ROUND_QUOTA 16u  /* for so many counts one that has counted all rows */
#define AGAIN 1          /* no error: something has changed meanwhile */
#define CROWDED 2        /* no error yet: all places of the bucket are taken */
#define NOWHERE UINT32_MAX
#define DIGITS 64u       /* room for a number of 64 bits as a text */

/* ---- a key has its place ---------------------------------------------------------------------------------------- */

void ap_memory_help(struct ap_segment *seg, struct ap_bucket *b, uint64_t turn)
{
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(turn));
    uint32_t number = AP_TURN_NUMBER(turn);
    uint64_t from = v != NULL ? ap_load_relaxed(&v->from) : 0, hash = v != NULL ? ap_load_relaxed(&v->hash) : 0, life, place;

    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    life = v != NULL ? ap_load_acquire(&v->life) : 0; /* MEMORY-A3 pairs MEMORY-R3 */
    place = AP_PLACE(hash, AP_PLACE_EPOCH(turn), AP_PLACE_ROW(turn));
    /* Else it was in its place already, and has left it. MEMORY-R1 pairs MEMORY-A1 */
    if (AP_VALUE_IS(life, turn) && number < AP_MEMORY_PLACES) ap_cas(&b->place[number], &from, place);
    ap_cas(&b->turn, &turn, turn & ~AP_PLACE_PRESENT); /* MEMORY-R4 pairs MEMORY-A4 */
}

bool ap_memory_remove(struct ap_segment *seg, uint32_t lane, uint64_t *at, uint64_t place)
{
    struct ap_draft *d = ap_draft_at(seg, lane);
    uint64_t seen = place;
    bool removed;

    ap_store_relaxed(&d->stale, place);
    if (ap_memory_watched(seg) != 0) ap_memory_tell_before(seg, lane, place);
    removed = ap_cas(at, &seen, place & ~AP_PLACE_PRESENT); /* MEMORY-R1 pairs MEMORY-A1 */
    if (removed && ap_memory_watched_now(seg) != 0) ap_memory_tell_removed(seg, lane, place);
    if (removed) ap_value_free(seg, place);
    ap_store_relaxed(&d->stale, 0);
    return removed;
}

/* The key, as a writer has found it. */
struct found {
    struct ap_bucket *b;
    uint64_t turn, now;
    const struct ap_value *v; /* NULL: no place has the key */
    uint32_t number;          /* its place */
    uint64_t place, version, until;
    uint32_t spare;           /* the first place that is empty, and what it is; NOWHERE */
    uint64_t spare_place;
};

static bool found_lives(const struct found *f)
{
    return f->v != NULL && (f->until == APIARY_FOREVER || f->until > f->now);
}

/* A place with the key's mark: 1 it is the key's, 0 another's, AGAIN + 1 it has changed. */
static int found_at(const struct ap_segment *seg, const struct ap_memory_key *key, struct found *f, uint32_t i, uint64_t place)
{
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));
    uint64_t version, until;
    bool same;

    if (v == NULL) return APIARY_ECORRUPT;
    same = ap_value_is_of(v, key);
    version = ap_load_relaxed(&v->version);
    until = ap_load_relaxed(&v->until);
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    if (!AP_VALUE_IS(ap_load_acquire(&v->life), place)) /* MEMORY-A3 pairs MEMORY-R3 */
        return ap_load_relaxed(&f->b->place[i]) == place ? APIARY_ECORRUPT : AGAIN + 1;
    if (!same) return 0;
    f->v = v;
    f->number = i;
    f->place = place;
    f->version = version;
    f->until = until;
    return 1;
}

/* Whether a value of the key was taken out of an empty place, by a lane that has not freed its row yet. */
static bool left_by_key(const struct ap_segment *seg, const struct ap_memory_key *key, uint64_t place)
{
    const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));

    return AP_PLACE_MARKED(place | AP_PLACE_PRESENT, key->hash) && v != NULL &&
           AP_VALUE_IS(ap_load_acquire(&v->life), place) && ap_value_is_of(v, key); /* MEMORY-A3 pairs MEMORY-R3 */
}

/* The first empty place is the key's, but for one that it has left: see TELLING 3 in watch.h. */
static void find_spare(const struct ap_segment *seg, const struct ap_memory_key *key, struct found *f, uint32_t i, uint64_t place)
{
    if (f->spare != NOWHERE && !left_by_key(seg, key, place)) return;
    f->spare = i;
    f->spare_place = place;
}

/* 0, AGAIN, or an error. */
static int find(struct ap_segment *seg, const struct ap_memory_key *key, struct found *f)
{
    int r;

    *f = (struct found){.b = ap_bucket_of(seg, key->hash), .spare = NOWHERE, .now = seg->ops->now()};
    f->turn = ap_load_acquire(&f->b->turn); /* MEMORY-A4 pairs MEMORY-R4 */
    if (AP_TURN_PENDING(f->turn)) {
        ap_memory_help(seg, f->b, f->turn);
        return AGAIN;
    }
    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++) {
        uint64_t place = ap_load_acquire(&f->b->place[i]); /* MEMORY-A1 pairs MEMORY-R1 */

        if ((place & AP_PLACE_PRESENT) == 0) find_spare(seg, key, f, i, place);
        if (!AP_PLACE_MARKED(place, key->hash)) continue;
        r = found_at(seg, key, f, i, place);
        if (r != 0) return r < 0 ? r : r == 1 ? 0 : AGAIN;
    }
    return 0;
}

/* ---- a row is drafted ------------------------------------------------------------------------------------------- */

struct fresh {
    struct ap_value *v;
    uint32_t row, flags; /* of the size */
    enum ap_pool_kept kept;
    uint64_t epoch, place;
};

/* A writer's search for room. */
struct effort {
    struct ap_cache *cache; /* NULL: it is none */
    uint32_t freed;         /* the row of what it has evicted; NOWHERE */
    uint32_t size;          /* of the value that is to be written */
    uint64_t over;          /* so many bytes are too many for the quota; 0: it is a value too many */
    uint32_t rounds;        /* see ROUNDS */
    bool bare;              /* there is nothing to evict */
    bool swept;             /* all whose time is over were taken out */
};

/* The first of these rows that is met FREE: its number among them. `count`: none is. */
static uint64_t fresh_meet(const struct ap_memory_writer *w, uint64_t hash, struct fresh *f, uint64_t start, uint64_t count)
{
    struct ap_segment *seg = w->seg;
    struct ap_draft *d = ap_draft_at(seg, w->lane->index);
    uint64_t rows = seg->sections[AP_SECTION_VALUES].count;

    for (uint64_t i = 0; i < count; i++) {
        uint32_t row = (uint32_t)((start + i) % rows);
        struct ap_value *v = ap_value_at(seg, row);
        uint64_t life = ap_load_acquire(&v->life), epoch = AP_VALUE_EPOCH(life) + 1; /* MEMORY-A3 pairs MEMORY-R3 */

        if (AP_VALUE_STATE(life) != AP_VALUE_FREE) continue;
        f->place = AP_PLACE(hash, epoch, row);
        ap_store_relaxed(&d->fresh, f->place);
        if (!ap_cas(&v->life, &life, AP_VALUE_LIFE(epoch, w->lane->index, AP_VALUE_USED))) continue;
        ap_fence_release(); /* MEMORY-R2 pairs MEMORY-A2 */
        f->v = v;
        f->row = row;
        f->epoch = AP_VALUE_EPOCH(AP_VALUE_LIFE(epoch, 0, 0));
        return i;
    }
    ap_store_relaxed(&d->fresh, 0);
    return count;
}

/* The same for the next rows in turn: true. */
static bool fresh_next(const struct ap_memory_writer *w, uint64_t hash, struct fresh *f, uint64_t count)
{
    uint64_t *cursor = &ap_draft_at(w->seg, 0)->cursor, i = fresh_meet(w, hash, f, ap_add_relaxed(cursor, 1), count);

    if (i > 0) ap_add_relaxed(cursor, i);
    return i < count;
}

/* SEARCH in cache.h. */
static bool fresh_soon(const struct ap_memory_writer *w, struct effort *e, uint64_t hash, struct fresh *f)
{
    uint32_t freed = e->freed;
    uint64_t rows = w->seg->sections[AP_SECTION_VALUES].count;

    e->freed = NOWHERE;
    if (freed != NOWHERE && fresh_meet(w, hash, f, freed, 1) == 0) return true;
    return fresh_next(w, hash, f, rows < AP_MEMORY_LOOK ? rows : AP_MEMORY_LOOK);
}

static int fresh_take(const struct ap_memory_writer *w, struct effort *e, uint64_t hash, struct fresh *f)
{
    uint64_t rows = w->seg->sections[AP_SECTION_VALUES].count;
    bool met;

    if (e->cache != NULL && !e->bare) return fresh_soon(w, e, hash, f) ? 0 : APIARY_ETABLEFULL;
    met = fresh_next(w, hash, f, rows);
    /* Rows may have become free behind the search. */
    for (struct ap_search s = {0}; !met && ap_search_again(&s, AP_LIVES(w->seg, AP_SECTION_VALUES, struct ap_value));)
        met = fresh_next(w, hash, f, rows);
    return met ? 0 : APIARY_ETABLEFULL;
}

static void fresh_drop(const struct ap_memory_writer *w, const struct fresh *f)
{
    ap_value_free(w->seg, f->place);
    ap_store_relaxed(&ap_draft_at(w->seg, w->lane->index)->fresh, 0);
}

/* Into a block that is the row's. The bytes may be those of another row. */
static int fresh_block(const struct ap_memory_writer *w, const struct fresh *f, const void *bytes, uint32_t size)
{
    uint64_t offset;
    int r = ap_pool_take_for(w->seg, w->lane, AP_SHARE_NOBODY, f->kept, w->hint, size, &offset);

    if (r < 0) return r;
    if (!ap_pool_kept_room_few(w->seg, offset)) {
        ap_pool_free_owned(w->seg, w->lane, offset);
        return APIARY_ESHARE;
    }
    ap_fence_release(); /* MEMORY-R2 pairs MEMORY-A2: the row that had the block before is FREE */
    ap_value_store(ap_at_offset(w->seg, offset, size), bytes, size);
    ap_pool_attach(w->seg, offset, AP_BLOCK_KEPT, ap_memory_block_row(w->seg, f->row), f->epoch);
    ap_store_relaxed(&f->v->block, offset);
    return ap_pool_kept_fits_few(w->seg, offset) ? 0 : APIARY_ESHARE; /* who drops the row frees the block */
}

static int fresh_fill(const struct ap_memory_writer *w, const struct fresh *f, const struct ap_memory_key *key, uint64_t from,
                      bool touched, const void *bytes, uint32_t size)
{
    uint32_t names = key->name->words, words = names + key->words;
    struct ap_value *v = f->v;

    ap_store_relaxed(&v->hash, key->hash);
    ap_store_relaxed(&v->from, from);
    ap_store_relaxed(&v->block, 0);
    ap_store_relaxed(&v->size, size | f->flags);
    ap_store_relaxed(&v->name_words, (uint16_t)(touched ? names | AP_VALUE_TOUCHED : names));
    ap_store_relaxed(&v->words, (uint16_t)words);
    for (uint32_t i = 0; i < names; i++) ap_store_relaxed(&v->inside[i], key->name->text[i]);
    for (uint32_t i = 0; i < key->words; i++) ap_store_relaxed(&v->inside[names + i], key->text[i]);
    if (size > (AP_MEMORY_INSIDE - words) * 8) return fresh_block(w, f, bytes, size);
    ap_value_store(&v->inside[words], bytes, size);
    return 0;
}

/* ---- what the change makes of it -------------------------------------------------------------------------------- */

/* 0, or why it is not to be. */
static int permitted(const struct ap_memory_change *c, const struct found *f)
{
    bool there = found_lives(f);

    switch (c->how) {
    case AP_MEMORY_RESTORE:
    case AP_MEMORY_ADD: return there ? APIARY_EEXIST : 0;
    case AP_MEMORY_CAS:
        if (there && f->version != c->version) return APIARY_ECHANGED;
        return there ? 0 : APIARY_ENOKEY;
    case AP_MEMORY_REPLACE:
    case AP_MEMORY_DELETE:
    case AP_MEMORY_TOUCH: return there ? 0 : APIARY_ENOKEY;
    default: return 0;
    }
}

/* The content that the row is to have. */
struct content {
    const void *bytes;
    uint32_t size;
    uint64_t until;
    int64_t sum;
    char digits[DIGITS];
    uint64_t inside[AP_MEMORY_INSIDE]; /* TOUCH: what was inside the row */
};

/* A number of 64 bits, and nothing else. */
static bool number_in(const char *text, size_t size, int64_t *ret)
{
    bool minus = size > 0 && text[0] == '-';

    *ret = 0;
    for (size_t i = minus; i < size; i++) {
        int digit = text[i] - '0';

        if (digit < 0 || digit > 9) return false;
        if (__builtin_mul_overflow(*ret, 10, ret) || __builtin_add_overflow(*ret, minus ? -digit : digit, ret)) return false;
    }
    return size > (minus ? 1 : 0);
}

/* Its digits; how many. */
static uint32_t number_text(int64_t number, char ret[DIGITS])
{
    char digits[DIGITS];
    uint32_t n = 0, size = 0;

    for (int64_t rest = number; rest != 0 || n == 0; rest /= 10) digits[n++] = (char)('0' + (rest < 0 ? -(rest % 10) : rest % 10));
    if (number < 0) ret[size++] = '-';
    while (n > 0) ret[size++] = digits[--n];
    return size;
}

/* The sum, where the value is a number: 0, AGAIN, APIARY_EOVERFLOW. */
static int content_sum(const struct ap_segment *seg, const struct ap_memory_change *c, const struct found *f, struct content *to)
{
    uint64_t text[AP_MEMORY_INSIDE] = {'0'};
    uint32_t size = 1;
    bool right = true;
    int64_t was = 0;

    if (found_lives(f)) {
        const void *bytes = ap_value_bytes(seg, f->v, &size);

        right = bytes != NULL && size < DIGITS;
        if (right) ap_value_copy(text, bytes, size);
        ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
        if (!AP_VALUE_IS(ap_load_relaxed(&f->v->life), f->place)) return AGAIN;
    }
    if (!right || !number_in((const char *)text, size, &was)) return APIARY_EOVERFLOW;
    if (__builtin_add_overflow(was, c->number, &to->sum)) return APIARY_EOVERFLOW;
    to->size = number_text(to->sum, to->digits);
    to->bytes = to->digits;
    to->until = found_lives(f) ? f->until : APIARY_FOREVER;
    return 0;
}

/* The value as it is. If the row is not the key's any more, its place has changed before, and will not be taken. */
static int content_same(const struct ap_segment *seg, const struct found *f, struct content *to)
{
    to->bytes = ap_value_bytes(seg, f->v, &to->size);
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    if (to->bytes == NULL)
        return AP_VALUE_IS(ap_load_acquire(&f->v->life), f->place) ? APIARY_ECORRUPT : AGAIN; /* MEMORY-A3 pairs MEMORY-R3 */
    if (to->size > sizeof to->inside || ap_load_relaxed(&f->v->block) != 0) return 0;
    ap_value_copy(to->inside, to->bytes, to->size);
    to->bytes = to->inside;
    return 0;
}

static int content_of(const struct ap_segment *seg, const struct ap_memory_change *c, const struct found *f, struct content *to)
{
    if (c->how == AP_MEMORY_INCR) return content_sum(seg, c, f, to);
    to->until = c->until;
    to->bytes = c->value;
    to->size = c->size;
    return c->how == AP_MEMORY_TOUCH ? content_same(seg, f, to) : 0;
}

/* ---- and takes its place ---------------------------------------------------------------------------------------- */

static int change_place(const struct ap_memory_writer *w, const struct found *f, const struct fresh *fresh)
{
    struct ap_draft *d = ap_draft_at(w->seg, w->lane->index);
    uint64_t seen = f->place;
    bool changed;

    ap_store_relaxed(&d->stale, f->place);
    if (ap_memory_watched(w->seg) != 0) ap_memory_tell_before(w->seg, w->lane->index, f->place);
    changed = ap_cas(&f->b->place[f->number], &seen, fresh->place); /* MEMORY-R1 pairs MEMORY-A1 */
    if (changed) ap_value_free(w->seg, f->place);
    ap_store_relaxed(&d->stale, 0);
    return changed ? 0 : AGAIN;
}

static int give_place(const struct ap_memory_writer *w, const struct found *f, const struct fresh *fresh)
{
    uint64_t seen = f->turn, turn = AP_TURN(f->spare, fresh->place);

    if (ap_memory_watched(w->seg) != 0) ap_memory_tell_bucket(w->seg, w->lane->index, f->b);
    if (!ap_cas(&f->b->turn, &seen, turn)) return AGAIN; /* MEMORY-R4 pairs MEMORY-A4 */
    ap_memory_help(w->seg, f->b, turn);
    return 0;
}

/* Whether one was taken out whose time is over. */
static bool bucket_tidied(const struct ap_memory_writer *w, const struct found *f)
{
    bool room = false;

    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++) {
        uint64_t place = ap_load_acquire(&f->b->place[i]); /* MEMORY-A1 pairs MEMORY-R1 */
        uint32_t row = AP_PLACE_ROW(place);

        if ((place & AP_PLACE_PRESENT) != 0 && ap_memory_expire(w->seg, w->lane->index, f->now, &row, 1) > 0) room = true;
    }
    return room;
}

/* Whether there is a place in the bucket now. */
static bool bucket_made(const struct ap_memory_writer *w, struct effort *e, const struct ap_memory_key *key, const struct found *f)
{
    const struct ap_evicting what = {.name = key->name, .except = key->hash};

    return bucket_tidied(w, f) || (e->cache != NULL && ap_cache_evict_in(w->seg, w->lane->index, e->cache, &what, f->b));
}

/* Of a key that is not there, or a value that becomes larger (QUOTA). */
static bool over_quota(const struct ap_memory_writer *w, const struct ap_memory_name *name, const struct found *f, struct effort *e)
{
    uint64_t revision = ap_memory_revision(w->seg), quota, held, bytes, room, most = ap_memory_quota_bytes(w->seg);
    uint32_t was = f->v != NULL ? AP_VALUE_SIZE(ap_load_relaxed(&f->v->size)) : 0;

    if (w->unasked == NULL || (f->v != NULL && e->size <= was) || revision < ap_load_relaxed(w->unasked)) return false;
    if (most == UINT32_MAX && (f->v != NULL || AP_REGISTRY_NUMBER(&w->seg->geometry, MEMORY) >= 100)) return false;
    quota = ap_memory_quota(w->seg);
    held = ap_memory_held_by(w->seg, name, &bytes);
    e->over = most != UINT32_MAX && bytes + e->size > most + was ? bytes + e->size - most - was : 0;
    if ((f->v == NULL && held >= quota) || e->over > 0) return true;
    room = quota > held ? quota - held : 0;
    if (most != UINT32_MAX && (most - bytes) / APIARY_MEMORY_VALUE_MAX < room) room = (most - bytes) / APIARY_MEMORY_VALUE_MAX;
    ap_store_relaxed(w->unasked, revision + room);
    return false;
}

/* That version, or the next one if the counter has come so far. */
static uint64_t version_draw(const struct ap_segment *seg, uint64_t wanted)
{
    uint64_t *revision = &ap_draft_at(seg, 0)->revision, seen = ap_load_relaxed(revision), version;

    do version = wanted > seen ? wanted : seen + 1;
    while (!ap_cas(revision, &seen, version));
    return version;
}

static uint64_t change_version(const struct ap_segment *seg, const struct ap_memory_change *c, const struct found *f)
{
    if (c->how == AP_MEMORY_TOUCH) return f->version;
    if (c->how == AP_MEMORY_RESTORE) return version_draw(seg, c->version);
    return ap_add_acq_rel(&ap_draft_at(seg, 0)->revision, 1) + 1; /* MEMORY-R5 pairs MEMORY-A5 */
}

void ap_memory_revise(struct ap_segment *seg, uint64_t revision)
{
    if (ap_memory_revision(seg) < revision) (void)version_draw(seg, revision);
}

static void change_counted(const struct ap_memory_writer *w, enum ap_memory_how how, uint32_t size)
{
    if (how == AP_MEMORY_TOUCH) return;
    ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_puts, 1);
    ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_written, size);
}

static int change_delete(const struct ap_memory_writer *w, const struct found *f)
{
    if (!ap_memory_remove(w->seg, w->lane->index, &f->b->place[f->number], f->place)) return AGAIN;
    ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_removals, 1);
    return 0;
}

/* 0, AGAIN, or an error. */
static int change_once(const struct ap_memory_writer *w, const struct ap_memory_key *key, struct ap_memory_change *c,
                       struct effort *e)
{
    struct content content;
    struct fresh fresh;
    struct found f;
    uint64_t version;
    int r = find(w->seg, key, &f);

    if (r == 0) r = permitted(c, &f);
    if (r != 0) return r;
    if (c->how == AP_MEMORY_DELETE) return change_delete(w, &f);
    r = content_of(w->seg, c, &f, &content);
    if (r == 0 && c->how == AP_MEMORY_INCR && c->number == 0) { /* it is only read */
        c->number = content.sum;
        return 0;
    }
    if (r == 0) e->size = content.size;
    if (r == 0 && over_quota(w, key->name, &f, e)) return APIARY_EQUOTA;
    if (r == 0 && f.v == NULL && f.spare == NOWHERE) return bucket_made(w, e, key, &f) ? AGAIN : CROWDED;
    if (r == 0) r = fresh_take(w, e, key->hash, &fresh);
    if (r != 0) return r;
    fresh.kept = e->cache != NULL ? AP_POOL_CACHED : AP_POOL_VALUE;
    fresh.flags = e->cache != NULL && !found_lives(&f) ? AP_VALUE_UNUSED | AP_VALUE_NEW : 0;
    r = fresh_fill(w, &fresh, key, f.spare_place, c->how == AP_MEMORY_TOUCH, content.bytes, content.size);
    version = change_version(w->seg, c, &f);
    ap_store_relaxed(&fresh.v->version, version);
    ap_store_relaxed(&fresh.v->until, content.until);
    if (r == 0) r = f.v != NULL ? change_place(w, &f, &fresh) : give_place(w, &f, &fresh);
    if (r != 0) {
        fresh_drop(w, &fresh);
        return r;
    }
    if (ap_memory_watched_now(w->seg) != 0) ap_memory_tell_put(w->seg, w->lane->index, fresh.place);
    ap_store_release(&ap_draft_at(w->seg, w->lane->index)->fresh, 0); /* WATCH-R3 pairs WATCH-A3 */
    change_counted(w, c->how, content.size);
    c->version = version;
    if (c->how == AP_MEMORY_INCR) c->number = content.sum;
    return 0;
}

static bool no_room(int error)
{
    return error == APIARY_ETABLEFULL || error == APIARY_EQUOTA || error == APIARY_ENOBLOCK || error == APIARY_ESHARE;
}

static int writer_refused(const struct ap_memory_writer *w, int error)
{
    if (no_room(error) && error != APIARY_EQUOTA) ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_refused, 1);
    if (error == APIARY_EQUOTA) ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_over_quota, 1);
    if (error == APIARY_ECHANGED) ap_memory_counted(w->seg, w->lane->index, AP_MEMORY_COUNT_conflicts, 1);
    return error;
}

/* Whether something was evicted. Where a quota counts all rows, or a share all blocks of a size, more than the change needs, so
 * that not each counts them. */
static bool effort_evicts(const struct ap_memory_writer *w, struct effort *e, const struct ap_memory_key *key, int error)
{
    struct ap_evicting what = {.name = key->name, .except = key->hash, .values = 1};
    uint64_t most = ap_memory_quota_bytes(w->seg);

    if (error == APIARY_EQUOTA && e->size > most) return false;
    if (error == APIARY_EQUOTA && e->over > 0) what.bytes = e->over + most / 64;
    if (error == APIARY_EQUOTA && e->over == 0) what.values = (uint32_t)(1 + ap_memory_quota(w->seg) / 64);
    if (error == APIARY_ENOBLOCK || error == APIARY_ESHARE) what.classes = ap_pool_helping(w->seg, e->size);
    if (error == APIARY_ESHARE) what.values = ap_share_cache_some(w->seg, (uint32_t)__builtin_ctz(what.classes));
    return ap_cache_evict(w->seg, w->lane->index, e->cache, &what, &e->freed) > 0;
}

/* Whether it is worth another attempt. */
static bool effort_made(const struct ap_memory_writer *w, struct effort *e, const struct ap_memory_key *key, int error)
{
    uint32_t row = 0, rows = (uint32_t)w->seg->sections[AP_SECTION_VALUES].count;

    if (e->cache != NULL && !e->bare) {
        e->rounds += error == APIARY_EQUOTA ? ROUND_QUOTA : 1;
        e->bare = e->rounds > ROUNDS || !effort_evicts(w, e, key, error);
        return true;
    }
    if (e->swept) return false;
    e->swept = true;
    return ap_memory_expire(w->seg, w->lane->index, w->seg->ops->now(), &row, rows) > 0;
}

int ap_memory_change(const struct ap_memory_writer *w, const struct ap_memory_key *key, struct ap_memory_change *change)
{
    struct effort e = {.cache = ap_cache_of(w->seg, key->name), .freed = NOWHERE};
    int r = AGAIN;

    if (change->size > APIARY_MEMORY_VALUE_MAX) return APIARY_ETOOLARGE;
    for (uint32_t tries = 0; tries < TRIES; tries++) {
        r = change_once(w, key, change, &e);
        if (r == 0) return 0;
        if (r == AGAIN) continue;
        if (r == CROWDED) return writer_refused(w, APIARY_ETABLEFULL);
        if (!no_room(r) || !effort_made(w, &e, key, r)) return writer_refused(w, r);
    }
    return writer_refused(w, r == AGAIN ? APIARY_ENOTREADY : r);
}
