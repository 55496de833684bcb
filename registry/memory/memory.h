/* registry/memory/memory.h - GlobalMemory: keys and values that swarms share, and the local memory of each, in the segment.
 *
 * SCOPE     1 A name space is global, or the local one of a service. Its name is a part of each key: "NAME", or "@SERVICE".
 *           2 A key has at most one value, with a version and perhaps an end. Values outlive whoever has written them; the segment
 *           is their life. Nothing is evicted, but in a name space that is a cache (cache.h): who finds no room is told.
 *           3 Readers take no lock and wait for nobody. They write nothing, but for one bit of a value in a cache. Writers wait for
 *           nobody, either.
 * LAYOUT    1 Section "memory": buckets of two lines, a power of two of them, at least one for two values. The hash of a key is
 *           that of its bucket; the key may be in any of its places.
 *           2 Section "drafts": a row for each lane, written by that lane alone. Row 0 also has the two counters of all.
 *           3 Section "values": memory_values rows, each with a key and its value. A value that does not fit in beside its key lies
 *           in a block, which is KEPT for the row (shm/pool.h; the rows count on from those of the kept results).
 * PLACE     1 place = PRESENT | mark of the hash (9 bits) | epoch of the row (32 bits) | row (22 bits).
 *           2 A value that is written is in a row of its own, which the place names by CAS: that is the moment of the change. It is
 *           removed by CAS, which takes PRESENT away and leaves the rest. So no place is again what it was before (but ROW 4).
 *           3 Only one lane at a time gives a bucket another key. turn = PENDING | place (4 bits) | epoch | row is its request, by
 *           CAS, which fails if another key was given to the bucket since the turn was read. The row says in `from` what the place
 *           was. The two steps that are left are taken by whoever finds a request: the place, from `from`, and the turn without
 *           PENDING. Each is a CAS that succeeds once. So a key is in one place at most, and nobody waits for who has asked.
 * ROW       1 life = epoch << 24 | lane << 8 | state. FREE -> USED(lane) by CAS, with a new epoch, by the lane that will fill it;
 *           the lane stays in it. USED -> FREE by CAS, by who has taken it out of its place.
 *           2 A row does not change from the moment a place names it, but for hints in its size. A reader copies it and then
 *           looks at its life: if that is of
 *           the epoch that the place has, the copy is what the key had when the place was read.
 *           3 Rows are taken in turn, so that one is used again only after all the others that are free; but for one that its
 *           writer has evicted.
 *           4 life has 40 bits of the epoch, a place 32: a place is again what it was when its row was taken 4,294,967,296 times
 *           since, and is in the same place by a hash of the same mark. By 1,000,000 changes a second that all take one row (a
 *           cache that holds one value beside its key, or a table with one FREE row) that is 72 minutes; where 1,024 rows are taken
 *           in turn, 51 days. Only a thread that was stopped all the while between reading a place and its CAS, and goes on at that
 *           one epoch of them all, takes the one value for the other; a get reads the life again, and is wrong only likewise.
 *           5 A change that is refused for want of a row, or of its quota, has looked at each row: for one that is FREE, again as
 *           often as AP_SEARCHES has it while others take and free rows, and then for those whose time is over. So it takes time
 *           by memory_values, and no more; it waits for nobody meanwhile.
 * DRAFT     fresh: the row that the lane has taken or is about to take, until it is in its place or given up. stale: the place that
 *           it is about to change, until the row of before is FREE.
 * QUOTA     1 A name space holds at most memory_quota percent of the rows, and memory_quota_bytes of values; a key that would be
 *           one more is refused, and a value that would be larger than what is left.
 *           2 No number of the segment says how many it holds, so none can be wrong after a death: the rows are counted that are in
 *           their places, not those that are being written or have been taken out. That is done again only when the counter of
 *           versions has risen by as much as there was room for, since each value raises it (`unasked`: up to which version nothing
 *           is counted; of bytes each may be the most that a value has). So it runs out by the writes of all name spaces: near the
 *           quota of a large table each new key counts all rows. Writers that come in at the same moment may each bring one more.
 * COUNTS    Of the lane that did it, over all lives of its index, so that no line is written by all: who asks adds them up. A count
 *           that a dying lane does not make is lost, and a reader without a lane makes none.
 * VERSION   Each change of a value has a greater version than all values of the key before it, removed ones, too. It is drawn from
 *           one counter after the place was read, and before it is changed. A value that is restored has the version that it had
 *           before, and raises the counter to it, if that has not come so far.
 * TIME      A value with an end is absent from then on, for whoever looks. A change that had found it before may still take its
 *           place, as long as it was not taken out: no clock is part of a compare-and-swap. Its row is freed by the next writer of
 *           the key that comes by, by one that finds no room, and by a monitor (ap_memory_expire).
 * INVARIANTS G1 a place names a row that is USED, at its epoch, by its key's hash  G2 a key is in one place at most  G3 a turn is
 *           possible, and the lane of one that is PENDING is alive  G4 a USED row is in its place, or in the draft of a lane that
 *           is alive  G5 a row's sizes, state and key are possible, and its block is kept for it  G6 a draft is possible, with its
 *           counts, and its lane alive
 * ORDERING  MEMORY-R1 a place by CAS pairs MEMORY-A1 load-acquire: the row before it.
 *           MEMORY-R2 release fence after the CAS to USED pairs MEMORY-A2 acquire fence before a second look at the life: the life
 *           before new fields.
 *           MEMORY-R3 life FREE by CAS pairs MEMORY-A3 load-acquire: the place before it.
 *           MEMORY-R4 the turn by CAS pairs MEMORY-A4 load-acquire: the row that it names, and the places of keys before it.
 *           MEMORY-R5 revision's add pairs MEMORY-A5 load-acquire: the places of what the lane has written before it.
 * CRASH     The reaper of a lane goes on with its draft (ap_memory_withdraw), before the pool is swept: a request that names the
 *           fresh row is fulfilled; a row of the draft that is in no place is freed. So a change has happened or not, as its place
 *           says. A block that the row has not named yet is a leak, found by the pool's sweep.
 */
#ifndef AP_GLOBAL_MEMORY_H
#define AP_GLOBAL_MEMORY_H

#include <string.h>

#include "core/copy.h"
#include "core/must_check.h"
#include "registry/registry.h"
#include "shm/pool.h"

#define AP_MEMORY_PLACES 15u
#define AP_MEMORY_NAME_WORDS ((APIARY_NAME_MAX + 1) / 8 + 1) /* with '@' and NUL */
#define AP_MEMORY_KEY_WORDS ((APIARY_MEMORY_KEY_MAX + 1) / 8)
#define AP_MEMORY_INSIDE 41u /* words of a row for key and value */
_Static_assert(AP_MEMORY_NAME_WORDS + AP_MEMORY_KEY_WORDS <= AP_MEMORY_INSIDE, "there is room for the longest key");

#define AP_PLACE_PRESENT (UINT64_C(1) << 63)
#define AP_PLACE_SHIFT 54 /* above row and epoch: PRESENT and the mark, or PENDING and the place's number */
#define AP_PLACE_ROW(p) ((uint32_t)((p) & 0x3fffff))
#define AP_PLACE_EPOCH(p) ((uint32_t)((p) >> 22))
#define AP_PLACE_REF(p) ((p) & ((UINT64_C(1) << AP_PLACE_SHIFT) - 1))
#define AP_PLACE(hash, epoch, row) \
    (AP_PLACE_PRESENT | (uint64_t)(hash) >> 55 << AP_PLACE_SHIFT | (uint64_t)(uint32_t)(epoch) << 22 | (uint64_t)(row))
#define AP_TURN(number, place) (AP_PLACE_PRESENT | (uint64_t)(number) << AP_PLACE_SHIFT | AP_PLACE_REF(place))
#define AP_TURN_NUMBER(t) ((uint32_t)((t) >> AP_PLACE_SHIFT & 0x1ff))
#define AP_TURN_PENDING(t) (((t) & AP_PLACE_PRESENT) != 0)

enum ap_value_life { AP_VALUE_FREE, AP_VALUE_USED };
#define AP_VALUE_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_VALUE_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_VALUE_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_VALUE_EPOCH(l) ((uint64_t)(l) >> 24)
/* Whether a place is PRESENT with the mark of a hash. */
#define AP_PLACE_MARKED(p, hash) ((((hash) >> 1 | AP_PLACE_PRESENT) ^ (p)) >> AP_PLACE_SHIFT == 0)
/* Whether a row's life is the one of which a place, a turn or a draft speaks. */
#define AP_VALUE_IS(l, p) (AP_VALUE_STATE(l) == AP_VALUE_USED && (uint32_t)AP_VALUE_EPOCH(l) == AP_PLACE_EPOCH(p))

#define AP_VALUE_UNUSED 0x80000000u /* in `size`: it is of a cache, and was not got since the hand came by (cache.h) */
#define AP_VALUE_NEW 0x40000000u    /* the same, and it was never got */
#define AP_VALUE_SIZE(s) ((s) & ~(AP_VALUE_UNUSED | AP_VALUE_NEW))
#define AP_VALUE_TOUCHED 0x8000u /* it is the value of before, with another end */
#define AP_VALUE_NAME_WORDS(w) ((uint32_t)(w) & 0x7fff)

struct ap_bucket {
    uint64_t turn;
    uint64_t place[AP_MEMORY_PLACES];
} AP_ALIGNED;

struct ap_value {
    uint64_t life;
    uint64_t hash;    /* of its key */
    uint64_t from;    /* what its place was, when the key was not there */
    uint64_t version;
    uint64_t until;   /* CLOCK_MONOTONIC, APIARY_FOREVER: no end */
    uint64_t block;   /* offset of the block with the value, 0: it is inside, behind the key */
    uint32_t size;    /* of the value, AP_VALUE_UNUSED and AP_VALUE_NEW */
    uint16_t name_words; /* of the name space, and AP_VALUE_TOUCHED */
    uint16_t words;      /* of the whole key: texts padded with zeros, at least one of each */
    uint64_t inside[AP_MEMORY_INSIDE];
} AP_ALIGNED;

/* X(name, what): the counts, in their order. `over_quota` is added to `refused` where that is told, so
 * that neither ever falls. */
#define AP_MEMORY_COUNTS(X)                                                            \
    X(hits, "gets that found their key")                                               \
    X(misses, "gets that did not")                                                     \
    X(puts, "values that were written, by put, add, replace, cas or incr")             \
    X(removals, "values that were deleted")                                            \
    X(expired, "values that were taken out because their time was over")               \
    X(refused, "changes for which there was no room")                                  \
    X(over_quota, "keys that were refused because their name space holds its quota")   \
    X(conflicts, "changes by cas that found another version")                          \
    X(written, "bytes of the values that were written")

enum ap_memory_count {
#define X(name, what) AP_MEMORY_COUNT_##name,
    AP_MEMORY_COUNTS(X)
#undef X
        AP_MEMORY_COUNT_KINDS
};

struct ap_draft {
    uint64_t fresh, stale; /* as a place, 0: none */
    uint64_t telling;      /* 1 + the number of the change that it enters into the log (watch.h), 0: none */
    uint64_t watching;     /* if it is the anchor of a member: AP_WATCHING, how many watches that has */

    /* Of row 0: */
    uint64_t revision AP_ALIGNED; /* the last version that was drawn */
    uint64_t cursor;              /* a hint, where the next search for a FREE row begins */
    uint64_t watched, head;       /* watch.h */
    uint64_t unwatched;           /* since when no lane was seen to watch, 0: not known; writer: a monitor */
    uint32_t bell;                /* of those who watch (bell.h) */
    uint32_t reserved;

    uint64_t counts[AP_MEMORY_COUNT_KINDS] AP_ALIGNED;
} AP_ALIGNED;
#define AP_MEMORY_COUNT_MAX (UINT64_C(1) << 56) /* none comes so far */

static inline struct ap_bucket *ap_bucket_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_MEMORY, i, struct ap_bucket);
}
static inline struct ap_value *ap_value_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_VALUES, i, struct ap_value);
}
static inline struct ap_draft *ap_draft_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_DRAFTS, i, struct ap_draft);
}
static inline struct ap_bucket *ap_bucket_of(const struct ap_segment *seg, uint64_t hash)
{
    return ap_bucket_at(seg, hash >> 24 & (seg->places[AP_SECTION_MEMORY].count - 1));
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

/* By the lane's thread. */
AP_ALWAYS_INLINE void ap_memory_counted(const struct ap_segment *seg, uint32_t lane, enum ap_memory_count count, uint64_t n)
{
    struct ap_draft *d = ap_draft_at(seg, lane);

    ap_store_relaxed(&d->counts[count], ap_load_relaxed(&d->counts[count]) + n);
}
uint64_t ap_memory_count(const struct ap_segment *seg, enum ap_memory_count count);
/* How many values there are, and their bytes; those that are just being written or taken out, too. */
void ap_memory_held(const struct ap_segment *seg, uint64_t *ret_values, uint64_t *ret_bytes);
struct ap_memory_name;
/* How many values of one name space are in their places, and their bytes (may be NULL); and how many it may have, of both.
 * UINT32_MAX: of bytes there is no bound. */
uint64_t ap_memory_held_by(const struct ap_segment *seg, const struct ap_memory_name *name, uint64_t *ret_bytes);
uint64_t ap_memory_quota(const struct ap_segment *seg);
static inline uint64_t ap_memory_quota_bytes(const struct ap_segment *seg)
{
    return AP_REGISTRY_NUMBER(&seg->geometry, DRAFTS);
}

/* ---- keys: private memory ---------------------------------------------------------------------------------------- */

struct ap_memory_name {
    uint64_t hash;
    uint32_t words;
    uint64_t text[AP_MEMORY_NAME_WORDS];
};
struct ap_memory_key {
    uint64_t hash;
    const struct ap_memory_name *name;
    uint32_t words; /* of the text alone */
    uint64_t text[AP_MEMORY_KEY_WORDS];
};
/* APIARY_EINVAL: it is not a name. */
AP_MUST_CHECK int ap_memory_name(const char *name, bool local, struct ap_memory_name *ret);
/* APIARY_EINVAL: not of 1 to APIARY_MEMORY_KEY_MAX bytes. The name is to stay where it is. */
AP_MUST_CHECK int ap_memory_key(const struct ap_memory_name *name, const char *key, struct ap_memory_key *ret);

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct ap_memory_read {
    uint64_t version, until;
    uint32_t size;
    uint32_t unused; /* 1 + the row that is to be told that it was got (ap_memory_use); 0: none */
};
/* Copies at most `capacity` bytes of the value: 0. APIARY_ENOKEY; APIARY_ENOTREADY: it was changed faster than it could be copied,
 * many times; APIARY_ECORRUPT. Never writes. */
AP_MUST_CHECK int ap_memory_read(const struct ap_segment *seg, const struct ap_memory_key *key, void *value, size_t capacity,
                                 struct ap_memory_read *ret);

enum ap_memory_how {
    AP_MEMORY_PUT, AP_MEMORY_ADD, AP_MEMORY_REPLACE, AP_MEMORY_CAS, AP_MEMORY_DELETE, AP_MEMORY_INCR, AP_MEMORY_TOUCH,
    AP_MEMORY_RESTORE /* ADD, with a version that it had before */
};
struct ap_memory_change {
    enum ap_memory_how how;
    const void *value; /* PUT, ADD, REPLACE, CAS, RESTORE */
    uint32_t size;
    uint64_t until;    /* of the same, and TOUCH */
    uint64_t version;  /* CAS: the one that it must have. RESTORE: the one that it had. Filled: the new one */
    int64_t number;    /* INCR: by how much. Filled: the sum */
};
/* The writer. */
struct ap_memory_writer {
    struct ap_segment *seg;
    const struct ap_lane_handle *lane;
    struct ap_pool_hint *hint;
    uint64_t *unasked; /* the name space's, 0 at first: see QUOTA. NULL: it is not asked for */
};
/* 0. APIARY_EEXIST: ADD, and it is there. APIARY_ENOKEY: it is absent. APIARY_ECHANGED: CAS, and it has another version.
 * APIARY_EOVERFLOW: INCR of what is no number, or would be none. APIARY_ETABLEFULL, _EQUOTA, _ENOBLOCK, _ESHARE, _ETOOLARGE: no
 * room. APIARY_ENOTREADY, APIARY_ECORRUPT. Nothing has changed then, and *change neither. */
AP_MUST_CHECK int ap_memory_change(const struct ap_memory_writer *w, const struct ap_memory_key *key,
                                   struct ap_memory_change *change);

/* The last version that was drawn; and the counter of versions has come so far from then on, at least. */
static inline uint64_t ap_memory_revision(const struct ap_segment *seg)
{
    return ap_load_acquire(&ap_draft_at(seg, 0)->revision); /* MEMORY-A5 pairs MEMORY-R5 */
}
void ap_memory_revise(struct ap_segment *seg, uint64_t revision);

/* The first key at or behind *position whose text, that of the name space included, begins with these words and bytes: 1, and
 * *position is behind it. 0: there is none. A key that is there all the time is met once. */
struct ap_memory_found {
    struct ap_memory_name name; /* of the key, which points to it */
    struct ap_memory_key key;
    struct ap_memory_read read;
};
AP_MUST_CHECK int ap_memory_next(const struct ap_segment *seg, const struct ap_memory_name *name, const char *prefix,
                                 uint64_t *position, struct ap_memory_found *ret);

/* The same for the place of this number, whatever its key is, and with its row: 1; 0: it is empty. For observers. */
AP_MUST_CHECK int ap_memory_at(const struct ap_segment *seg, uint64_t number, uint32_t *ret_row, struct ap_memory_found *ret);

/* Takes out values of `count` rows from *row on, round the table, whose time is over. Returns how many. By the lane's thread. */
uint32_t ap_memory_expire(struct ap_segment *seg, uint32_t lane, uint64_t now, uint32_t *row, uint32_t count);
/* Whether a block is KEPT for a row (struct ap_parts), and the number by which the block names the row. */
bool ap_memory_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch);
uint32_t ap_memory_block_row(const struct ap_segment *seg, uint32_t row);
/* Recovery of a lane (part.h). */
void ap_memory_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside);

/* A value of a cache was got. The row may be another key's by now. */
static inline void ap_memory_use(const struct ap_segment *seg, uint32_t row)
{
    struct ap_value *v = ap_value_at(seg, row);

    if (v != NULL) ap_and_acq_rel(&v->size, ~(AP_VALUE_UNUSED | AP_VALUE_NEW));
}

/* ---- steps that several files use -------------------------------------------------------------------------------- */

/* The place of a bucket that is this; NULL: none is. */
uint64_t *ap_bucket_place(struct ap_bucket *b, uint64_t place);
/* Whether a row is of a name space, as it is now. */
bool ap_value_of_name(const struct ap_value *v, const struct ap_memory_name *name);

/* Takes the steps of a request that are left (PLACE 3). */
void ap_memory_help(struct ap_segment *seg, struct ap_bucket *b, uint64_t turn);
/* The row of a place from which it was taken, or in which it never was -> FREE, with its block. */
void ap_value_free(struct ap_segment *seg, uint64_t place);
/* Takes a value out of its place: true; false, it has changed. */
bool ap_memory_remove(struct ap_segment *seg, uint32_t lane, uint64_t *at, uint64_t place);
/* The value of a row, and the room that there is for one of its kind; NULL: the row is not possible. Its fields are as of now. */
const void *ap_value_bytes(const struct ap_segment *seg, const struct ap_value *v, uint32_t *ret_size);
/* The bytes behind the last whole word of a text of at least one byte, with zeros behind them. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");
AP_ALWAYS_INLINE uint64_t ap_memory_tail(const char *text, size_t size)
{
    uint64_t word;
    uint32_t low, high;
    uint16_t first, last;

    if (size >= 8) {
        memcpy(&word, text + size - 8, 8);
        return word >> 8 * (7 - size % 8) >> 8;
    }
    if (size >= 4) {
        memcpy(&low, text, 4);
        memcpy(&high, text + size - 4, 4);
        return low | (uint64_t)high << 8 * (size - 4);
    }
    if (size == 1) return (uint8_t)text[0];
    memcpy(&first, text, 2);
    memcpy(&last, text + size - 2, 2);
    return first | (uint64_t)last << 8 * (size - 2);
}

/* Copies from a row or its block, which may become another key's meanwhile. */
static inline void ap_value_copy(void *to, const uint64_t *from, size_t size)
{
#ifdef __SANITIZE_THREAD__ /* for it that is a race unless it is done word by word */
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = ap_load_relaxed(from + i / 8);
        memcpy((char *)to + i, &word, size - i < 8 ? size - i : 8);
    }
#else
    if (size <= 64) ap_copy_small(to, from, size);
    else memcpy(to, from, size);
#endif
}

/* The reverse, into a row or a block that somebody may still be copying. */
static inline void ap_value_store(uint64_t *to, const void *from, size_t size)
{
    size_t i = 0;

#ifndef __SANITIZE_THREAD__
    if (size > 64) {
        memcpy(to, from, size);
        return;
    }
#endif
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, (const char *)from + i, 8);
        ap_store_relaxed(to + i / 8, word);
    }
    if (i < size) ap_store_relaxed(to + i / 8, ap_memory_tail(from, size));
}

/* ---- a get, inlined ---------------------------------------------------------------------------------------------- */

AP_ALWAYS_INLINE uint64_t ap_memory_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* The end of it. */
AP_ALWAYS_INLINE uint64_t ap_memory_hash(uint64_t hash)
{
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

AP_ALWAYS_INLINE int ap_memory_key_here(const struct ap_memory_name *name, const char *key, struct ap_memory_key *ret)
{
    size_t size = key != NULL ? strlen(key) : 0, i = 0;
    uint64_t hash = name->hash, word;

    if (size - 1 >= APIARY_MEMORY_KEY_MAX) return APIARY_EINVAL;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, key + i, 8);
        ret->text[i / 8] = word;
        hash = ap_memory_mix(hash, word);
    }
    word = ap_memory_tail(key, size);
    ret->text[i / 8] = word;
    ret->hash = ap_memory_hash(ap_memory_mix(hash, word));
    ret->name = name;
    ret->words = (uint32_t)(i / 8 + 1);
    return 0;
}

/* Of a row as it is now: APIARY_ECORRUPT where that is not possible. */
AP_ALWAYS_INLINE int ap_value_read(const struct ap_segment *seg, const struct ap_value *v, void *value, size_t capacity,
                                   struct ap_memory_read *ret)
{
    uint32_t words = ap_load_relaxed(&v->words), size = ap_load_relaxed(&v->size);
    const void *bytes;

    ret->size = AP_VALUE_SIZE(size);
    ret->unused = size >> 31;
    ret->version = ap_load_relaxed(&v->version);
    ret->until = ap_load_relaxed(&v->until);
    if (__builtin_expect(ap_load_relaxed(&v->block) != 0, 0)) {
        bytes = ap_value_bytes(seg, v, &ret->size);
        if (bytes == NULL) return APIARY_ECORRUPT;
        ap_value_copy(value, bytes, capacity < ret->size ? capacity : ret->size);
        return 0;
    }
    if (words > AP_MEMORY_INSIDE || ret->size > (AP_MEMORY_INSIDE - words) * 8) return APIARY_ECORRUPT;
    ap_value_copy(value, &v->inside[words], capacity < ret->size ? capacity : ret->size);
    return 0;
}

AP_ALWAYS_INLINE bool ap_value_is_of(const struct ap_value *v, const struct ap_memory_key *key)
{
    const struct ap_memory_name *name = key->name;
    const uint64_t *inside = v->inside + name->words;
    uint64_t differ = ap_load_relaxed(&v->words) ^ (name->words + key->words);

    for (uint32_t i = 0; i < name->words; i++) differ |= ap_load_relaxed(&v->inside[i]) ^ name->text[i];
    for (uint32_t i = 0; i < key->words; i++) differ |= ap_load_relaxed(&inside[i]) ^ key->text[i];
    return differ == 0;
}

#define AP_MEMORY_ANOTHER 1 /* no error: the place is another key's */
#define AP_MEMORY_CHANGED 2 /* meanwhile */
AP_ALWAYS_INLINE int ap_memory_read_place(const struct ap_segment *seg, const struct ap_memory_key *key, const uint64_t *at,
                                          void *value, size_t capacity, struct ap_memory_read *ret)
{
    uint64_t place = ap_load_acquire(at); /* MEMORY-A1 pairs MEMORY-R1 */
    const struct ap_value *v;
    uint64_t life;
    int r;

    if (!AP_PLACE_MARKED(place, key->hash)) return AP_MEMORY_ANOTHER;
    v = ap_value_at(seg, AP_PLACE_ROW(place));
    if (v == NULL) return APIARY_ECORRUPT;
    r = ap_value_is_of(v, key) ? ap_value_read(seg, v, value, capacity, ret) : AP_MEMORY_ANOTHER;
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    life = ap_load_acquire(&v->life); /* MEMORY-A3 pairs MEMORY-R3: a row is freed only when its place has changed */
    if (__builtin_expect(!AP_VALUE_IS(life, place), 0))
        return ap_load_relaxed(at) == place ? APIARY_ECORRUPT : AP_MEMORY_CHANGED;
    if (r != 0) return r;
    if (ret->until != APIARY_FOREVER && ret->until <= seg->ops->now()) return APIARY_ENOKEY;
    if (ret->unused != 0) ret->unused = AP_PLACE_ROW(place) + 1;
    return 0;
}

#endif
