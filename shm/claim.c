/* shm/claim.c - claims on keys. See claim.h. */
#include "shm/claim_inside.h"

#include <string.h>

#include "shm/bell.h"
#include "shm/claim_key.h"
#include "shm/event.h"

static void claim_count(struct ap_claim *row, enum ap_claim_count count)
{
    ap_add_relaxed(&row->counts[count], 1);
}

AP_ALWAYS_INLINE bool key_same(const struct ap_claim *row, const struct ap_claim_key *key)
{
    if (ap_load_relaxed(&row->hash) != key->hash || ap_load_relaxed(&row->size) != key->size) return false;
    for (uint32_t i = 0; i <= key->size / 8; i++)
        if (ap_load_relaxed(&row->key[i]) != key->words[i]) return false;
    return true;
}

/* ---- what is told ----------------------------------------------------------------------------------------------- */

/* Tells of a claim while it is HELD with that word: then nothing of a later one is there. A late renewal of the one before is
 * overwritten, and by the holder, `own`, what others have told in its stead; but no seal. */
AP_ALWAYS_INLINE void claim_tell(const struct ap_claim *row, uint64_t held, uint64_t *field, uint64_t value, bool own)
{
    uint64_t seen, number = AP_CLAIM_NUMBER(held);

    do {
        seen = ap_load_acquire(field); /* CLAIM-A4 pairs CLAIM-R4 */
        if (ap_load_acquire(&row->word) != held) return;
        if (claim_told(seen, number) && (!own || AP_CLAIM_TIME(seen) == AP_CLAIM_SEALED)) return;
    } while (!ap_cas(field, &seen, value | AP_CLAIM_TAG(number))); /* CLAIM-R4 */
}

/* Of the claim that the caller was granted. */
static void claim_granted(const struct ap_segment *seg, const struct ap_claim_ask *ask, uint64_t number, uint64_t time,
                          uint32_t index, struct ap_claim_view *ret)
{
    ret->token = AP_CLAIM_TOKEN(number, index);
    ret->until = until_ns(time << 24);
    ret->pid = (uint32_t)seg->self.pid;
    ret->caller = ask->caller;
    ret->row = index;
    ret->lane = ask->lane;
    ret->held = true;
}

/* ---- finding a key ---------------------------------------------------------------------------------------------- */

/* Completes what the home's word says: 1. 0: it was done, or the word has changed. */
static int enter_complete(const struct ap_segment *seg, struct ap_claim *home, uint64_t entering)
{
    struct ap_claim *row = ap_claim_at(seg, AP_CLAIM_ENTERED(entering) - 1);
    uint64_t word;

    if (row == NULL) return APIARY_ECORRUPT;
    word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1: before the second look, so it is of this entry */
    if (ap_load_acquire(&home->home) != entering) return 0; /* CLAIM-A3 pairs CLAIM-R3 */
    if (AP_CLAIM_STATE(word) == AP_CLAIM_FILLING)
        ap_cas(&row->word, &word, AP_CLAIM_WORD(AP_CLAIM_NUMBER(word), 0, AP_CLAIM_FREE)); /* CLAIM-R1 pairs CLAIM-A1 */
    return ap_cas(&home->home, &entering, AP_CLAIM_ENTERING(AP_CLAIM_ENTRIES(entering) + 1,
                                                            (entering & AP_CLAIM_SPILLED) != 0, 0)); /* CLAIM-R3 */
}

/* Whether the row has the key, with the word at which it had. */
AP_ALWAYS_INLINE bool row_has(const struct ap_claim *row, const struct ap_claim_key *key, uint64_t *ret_word)
{
    uint64_t word;

    if (ap_load_relaxed(&row->hash) != key->hash) return false;
    do {
        word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */
        if (AP_CLAIM_STATE(word) < AP_CLAIM_FREE || !key_same(row, key)) return false;
        ap_fence_acquire(); /* CLAIM-A2 pairs CLAIM-R2 */
    } while (ap_load_relaxed(&row->word) != word);
    *ret_word = word;
    return true;
}

static bool in_window(uint32_t rows, uint32_t home, uint32_t row)
{
    return (row >= home ? row - home : row + rows - home) < AP_CLAIM_WINDOW;
}

/* 1: *ret has it. 0: it is in no row, if the home's word *ret_home is still the same. */
static __attribute__((noinline)) int claim_search(const struct ap_segment *seg, const struct ap_claim_key *key,
                                                  struct ap_claim **ret, uint64_t *ret_word, uint64_t *ret_home)
{
    uint32_t rows = claim_rows(seg), looks = rows < AP_CLAIM_WINDOW ? rows : AP_CLAIM_WINDOW, at = key->home;
    struct ap_claim *home = ap_claim_at(seg, key->home);
    int r;

    while (*ret_home = ap_load_acquire(&home->home), AP_CLAIM_ENTERED(*ret_home) != 0) { /* CLAIM-A3 pairs CLAIM-R3 */
        if (!seg->writable) break; /* what is being entered nobody has yet */
        r = enter_complete(seg, home, *ret_home);
        if (r < 0) return r;
    }
    if ((*ret_home & AP_CLAIM_SPILLED) != 0) looks = rows;
    for (; looks > 0; looks--, at = at + 1 < rows ? at + 1 : 0) {
        *ret = ap_claim_at(seg, at);
        if (row_has(*ret, key, ret_word)) return 1;
    }
    return 0;
}

/* The same; most keys lie in their home. */
AP_ALWAYS_INLINE int claim_find(const struct ap_segment *seg, const struct ap_claim_key *key, struct ap_claim **ret,
                                uint64_t *ret_word, uint64_t *ret_home)
{
    *ret = ap_claim_at(seg, key->home);
    if (__builtin_expect(row_has(*ret, key, ret_word), 1)) return 1;
    return claim_search(seg, key, ret, ret_word, ret_home);
}

/* ---- the line --------------------------------------------------------------------------------------------------- */

struct line_place {
    struct ap_lane *lane; /* NULL: nobody */
    uint64_t waits;
};

/* The living lane that waits for the row with the lowest number below `before`: of those that nobody has gone past, or of all. */
static struct line_place line_first(const struct ap_segment *seg, const struct ap_claim *row, uint64_t before, bool all)
{
    struct line_place first = {.lane = NULL};

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        struct ap_lane *lane = ap_lane_at(seg, i);
        uint64_t waits = ap_load_relaxed(&lane->waits);

        if (waits >> 16 >= before || !lane_awaits(seg, lane, waits, row)) continue;
        if (!all && ap_load_relaxed(&lane->passed) == waits) continue;
        first = (struct line_place){lane, waits};
        before = waits >> 16;
    }
    return first;
}

static __attribute__((noinline)) void line_ring_slow(const struct ap_segment *seg, struct ap_claim *row, uint32_t waiting)
{
    struct line_place first = line_first(seg, row, UINT64_MAX, false);

    if (first.lane == NULL) first = line_first(seg, row, UINT64_MAX, true);
    if (first.lane != NULL) ap_bell_ring(seg->ops, &first.lane->bell); /* its fence: BELL-F1 pairs BELL-F2 */
    else ap_cas(&row->waiting, &waiting, waiting & ~1u); /* unless somebody has raised it since */
}

/* The row is FREE: tells who is next. */
static void line_ring(const struct ap_segment *seg, struct ap_claim *row)
{
    uint32_t waiting;

    ap_fence_full(); /* CLAIM-F1 pairs CLAIM-F2 */
    waiting = ap_load_acquire(&row->waiting); /* CLAIM-A5 pairs CLAIM-R5 */
    if (__builtin_expect((waiting & 1) != 0, 0)) line_ring_slow(seg, row, waiting);
}

/* The same of a row that is waited for. If the first in line has not taken its turn, it is the next one's. */
static __attribute__((noinline)) bool line_before_slow(const struct ap_segment *seg, struct ap_claim *row, uint64_t ticket)
{
    uint64_t now = seg->ops->now(), turn = ap_load_relaxed(&row->turn);
    struct line_place first = line_first(seg, row, ticket, false);

    if (first.lane == NULL) return false;
    if (now < turn + AP_CLAIM_GRACE) return true;
    if (!ap_cas(&row->turn, &turn, now)) return true; /* another has done it just now */
    ap_store_relaxed(&first.lane->passed, first.waits);
    line_ring(seg, row);
    return line_first(seg, row, ticket, false).lane != NULL;
}

/* Whether a FREE row is first somebody else's. */
static bool line_before(const struct ap_segment *seg, struct ap_claim *row, uint64_t ticket)
{
    if (__builtin_expect((ap_load_relaxed(&row->waiting) & 1) == 0, 1)) return false;
    return line_before_slow(seg, row, ticket);
}

void ap_claim_line(struct ap_segment *seg, struct ap_lane *lane, const struct ap_claim_ask *ask, uint32_t row)
{
    struct ap_claim *at = ap_claim_at(seg, row);

    ap_store_relaxed(&lane->wants, AP_CLAIM_WANTS(ask->key.hash));
    ap_store_relaxed(&lane->waits, ask->ticket << 16 | (row + 1));
    /* Its holder may free it, or have freed it, without having seen the bit. */
    if (AP_CLAIM_STATE(ap_load_relaxed(&at->word)) == AP_CLAIM_HELD || !ap_claim_lined(seg, row))
        ap_store_relaxed(&at->turn, seg->ops->now());
    ap_bell_raise(&at->waiting); /* CLAIM-R5 pairs CLAIM-A5; its fence: CLAIM-F2 pairs CLAIM-F1 */
}

void ap_claim_awake(struct ap_lane *lane)
{
    if (__builtin_expect(ap_load_relaxed(&lane->passed) == 0, 1)) return;
    ap_store_relaxed(&lane->passed, 0);
    ap_fence_full(); /* CLAIM-F2 pairs CLAIM-F1: it sees FREE, or who frees the claim sees that it counts again */
}

void ap_claim_leave(struct ap_segment *seg, struct ap_lane *lane)
{
    struct ap_claim *row = ap_claim_at(seg, (ap_load_relaxed(&lane->waits) & 0xffff) - 1);

    if (row == NULL) return;
    ap_store_relaxed(&lane->waits, 0);
    /* If it has the claim now, the next one is to watch it; else it may have been rung just now, in the place of the next one. */
    line_ring(seg, row);
}

/* ---- freeing ---------------------------------------------------------------------------------------------------- */

/* HELD becomes FREE: true. */
AP_ALWAYS_INLINE bool claim_free_here(const struct ap_segment *seg, struct ap_claim *row, uint64_t word)
{
    if (__builtin_expect((ap_load_relaxed(&row->waiting) & 1) != 0, 0)) ap_store_relaxed(&row->turn, seg->ops->now());
    if (!ap_cas(&row->word, &word, AP_CLAIM_WORD(AP_CLAIM_NUMBER(word), 0, AP_CLAIM_FREE))) return false; /* CLAIM-R1 */
    line_ring(seg, row);
    return true;
}

static bool claim_free(const struct ap_segment *seg, struct ap_claim *row, uint64_t word)
{
    return claim_free_here(seg, row, word);
}

static bool claim_take_from(struct ap_segment *seg, struct ap_claim *row, uint64_t word, uint32_t self, enum ap_claim_count why)
{
    static const uint32_t kinds[AP_CLAIM_COUNT_KINDS] = {[AP_CLAIM_COUNT_stolen] = AP_EVENT_CLAIM_STOLEN,
                                                         [AP_CLAIM_COUNT_freed] = AP_EVENT_CLAIM_FREED};
    uint32_t index = row_index(seg, row);

    if (!claim_free(seg, row, word)) return false;
    claim_count(row, why);
    if (kinds[why] != 0) ap_event_log(seg, kinds[why], self, index, AP_CLAIM_TOKEN(AP_CLAIM_NUMBER(word), index));
    return true;
}

/* A HELD row whose holder is alive, or nobody: seals it if its time is over. True: it is sealed. */
static bool claim_seal(const struct ap_segment *seg, struct ap_claim *row, uint64_t word, bool steals)
{
    uint64_t until = ap_load_acquire(&row->until), number = AP_CLAIM_NUMBER(word); /* CLAIM-A4 pairs CLAIM-R4 */
    bool nobody = AP_CLAIM_LANE(word) == AP_NO_LANE;

    if (!claim_told(until, number)) {
        /* Its holder is slow to say. */
        if (steals) claim_tell(row, word, &row->until, claim_time(seg->ops->now(), AP_CLAIM_UNTOLD) << 24, false);
        return false;
    }
    if (AP_CLAIM_TIME(until) == AP_CLAIM_SEALED) return true;
    if ((!nobody && !steals) || !time_over(seg, until)) return false;
    return ap_cas(&row->until, &until, AP_CLAIM_TAG(number)); /* CLAIM-R4 */
}

/* Frees a HELD row if the caller may: true, and it is to be looked at again. */
static bool claim_over(struct ap_segment *seg, struct ap_claim *row, uint64_t word, uint32_t self, bool steals)
{
    uint32_t lane = AP_CLAIM_LANE(word);

    if (lane != AP_NO_LANE && !ap_lane_alive(seg, lane)) {
        claim_take_from(seg, row, word, self, AP_CLAIM_COUNT_freed);
        return true;
    }
    if (!claim_seal(seg, row, word, steals)) return false;
    claim_take_from(seg, row, word, self, lane == AP_NO_LANE ? AP_CLAIM_COUNT_expired : AP_CLAIM_COUNT_stolen);
    return true;
}

/* A row that a dead lane was filling. If its home names it, it is entered. */
static void claim_mend(const struct ap_segment *seg, struct ap_claim *row, uint64_t word)
{
    struct ap_claim *home = ap_claim_at(seg, ap_load_relaxed(&row->hash) % claim_rows(seg));
    uint64_t entering = ap_load_acquire(&home->home); /* CLAIM-A3 pairs CLAIM-R3 */

    if (AP_CLAIM_ENTERED(entering) == row_index(seg, row) + 1 && enter_complete(seg, home, entering) >= 0) return;
    ap_cas(&row->word, &word, AP_CLAIM_WORD(AP_CLAIM_NUMBER(word), 0, AP_CLAIM_EMPTY));
}

/* ---- entering a key --------------------------------------------------------------------------------------------- */

/* Whether a FREE row may be filled with another key: its home does not name it, and nobody waits for it. */
static bool claim_idle(const struct ap_segment *seg, struct ap_claim *row)
{
    struct ap_claim *home = ap_claim_at(seg, ap_load_relaxed(&row->hash) % claim_rows(seg));
    uint64_t entering = ap_load_acquire(&home->home); /* CLAIM-A3 pairs CLAIM-R3 */
    uint32_t waiting;

    if (AP_CLAIM_ENTERED(entering) == row_index(seg, row) + 1) enter_complete(seg, home, entering);
    ap_fence_full(); /* CLAIM-F1 pairs CLAIM-F2 */
    waiting = ap_load_acquire(&row->waiting); /* CLAIM-A5 pairs CLAIM-R5 */
    if ((waiting & 1) == 0) return true;
    if (line_first(seg, row, UINT64_MAX, true).lane != NULL) return false;
    return ap_cas(&row->waiting, &waiting, waiting & ~1u);
}

/* The row may be filled: true, with its word. Leftovers of the dead go first. *ret_busy: it is just being filled. */
static bool claim_spare(struct ap_segment *seg, struct ap_claim *row, uint32_t self, bool idle, uint64_t *ret_word,
                        bool *ret_busy)
{
    uint64_t word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */

    if (idle && AP_CLAIM_STATE(word) == AP_CLAIM_HELD && claim_over(seg, row, word, self, false))
        word = ap_load_acquire(&row->word);
    if (AP_CLAIM_STATE(word) == AP_CLAIM_FILLING && !ap_lane_alive(seg, AP_CLAIM_LANE(word))) {
        claim_mend(seg, row, word);
        word = ap_load_acquire(&row->word);
    }
    *ret_word = word;
    if (AP_CLAIM_STATE(word) == AP_CLAIM_EMPTY) return true;
    *ret_busy |= AP_CLAIM_STATE(word) == AP_CLAIM_FILLING;
    return idle && AP_CLAIM_STATE(word) == AP_CLAIM_FREE && claim_idle(seg, row);
}

/* A row for the key, FILLING by the lane: near its home if one is to be had, and rather one that has no key. NULL: none was met. */
static struct ap_claim *claim_row_met(struct ap_segment *seg, const struct ap_claim_ask *ask, uint64_t *ret_word, bool *ret_busy)
{
    const uint32_t rows = claim_rows(seg), window = rows < AP_CLAIM_WINDOW ? rows : AP_CLAIM_WINDOW;

    for (uint32_t pass = 0; pass < 4; pass++) {
        uint32_t looks = pass < 2 ? window : rows, at = ask->key.home;

        for (; looks > 0; looks--, at = at + 1 < rows ? at + 1 : 0) {
            struct ap_claim *row = ap_claim_at(seg, at);
            uint64_t word, number;

            if (!claim_spare(seg, row, ask->lane, (pass & 1) != 0, &word, ret_busy)) continue;
            number = ap_claim_number(seg);
            if (number == 0) return NULL;
            *ret_word = AP_CLAIM_WORD(number, ask->lane, AP_CLAIM_FILLING);
            if (!ap_cas(&row->word, &word, *ret_word)) continue;
            ap_fence_release(); /* CLAIM-R2 pairs CLAIM-A2 */
            return row;
        }
    }
    return NULL;
}

static uint64_t claim_words(const struct ap_segment *seg)
{
    return ap_lives(seg, AP_SECTION_CLAIMS, sizeof(struct ap_claim), offsetof(struct ap_claim, word));
}

/* The same. NULL: the table is full, or the numbers are used up. */
static struct ap_claim *claim_row(struct ap_segment *seg, const struct ap_claim_ask *ask, uint64_t *ret_word)
{
    bool busy = false;
    struct ap_claim *row = claim_row_met(seg, ask, ret_word, &busy);

    for (struct ap_search s = {0}; row == NULL && ap_search_again(&s, claim_words(seg));) {
        busy = false;
        row = claim_row_met(seg, ask, ret_word, &busy);
        /* A row that is being filled may be given up, by a lane that loses its key to another. */
        if (row == NULL && busy) ap_search_anew(&s, seg->ops);
    }
    return row;
}

/* Whether the home has, or is to have, a key outside its window. */
static bool claim_spills(const struct ap_segment *seg, uint32_t home, uint32_t entered)
{
    uint32_t rows = claim_rows(seg);

    if (!in_window(rows, home, entered)) return true;
    for (uint32_t i = 0; i < rows; i++) {
        const struct ap_claim *row = ap_claim_at(seg, i);

        if (in_window(rows, home, i) || AP_CLAIM_STATE(ap_load_acquire(&row->word)) < AP_CLAIM_FREE) continue;
        if (ap_load_relaxed(&row->hash) % rows == home) return true;
    }
    return false;
}

static void claim_fill(const struct ap_segment *seg, struct ap_claim *row, uint64_t word, const struct ap_claim_ask *ask,
                       uint64_t until)
{
    ap_store_relaxed(&row->hash, ask->key.hash);
    ap_store_relaxed(&row->size, ask->key.size);
    for (uint32_t i = 0; i < AP_CLAIM_WORDS; i++) ap_store_relaxed(&row->key[i], i <= ask->key.size / 8 ? ask->key.words[i] : 0);
    ap_store_relaxed(&row->until, until << 24 | AP_CLAIM_TAG(AP_CLAIM_NUMBER(word)));
    ap_store_relaxed(&row->who, AP_CLAIM_WHO(seg->self.pid, ask->caller, AP_CLAIM_NUMBER(word)));
}

static void claim_stays(struct ap_claim *row, const struct ap_claim_ask *ask, uint64_t word)
{
    if (ask->stays) ap_cas(&row->word, &word, word | AP_CLAIM_WORD(0, AP_NO_LANE, 0));
}

/* The key was in no row with this word of its home: 1, it is entered and held; 0, it is to be looked for again. */
static __attribute__((noinline)) int claim_enter(struct ap_segment *seg, const struct ap_claim_ask *ask, uint64_t seen,
                                                 struct ap_claim_view *ret)
{
    struct ap_claim *home = ap_claim_at(seg, ask->key.home), *row;
    uint64_t word, filling, entering, held, time;
    uint32_t index;

    if (!ap_claim_key_valid(&ask->key)) return APIARY_EINVAL;
    row = claim_row(seg, ask, &filling);
    /* Another lane may have entered this key, in the last row. */
    if (row == NULL) return ap_load_acquire(&home->home) == seen ? APIARY_ETABLEFULL : 0; /* CLAIM-A3 pairs CLAIM-R3 */
    index = row_index(seg, row);
    time = claim_ends(seg, ask->ttl);
    claim_fill(seg, row, filling, ask, time);
    entering = AP_CLAIM_ENTERING(AP_CLAIM_ENTRIES(seen) + 1,
                                 ((seen & AP_CLAIM_SPILLED) != 0 || !in_window(claim_rows(seg), ask->key.home, index)) &&
                                     claim_spills(seg, ask->key.home, index),
                                 index + 1);
    word = filling;
    if (!ap_cas(&home->home, &seen, entering)) { /* CLAIM-R3 pairs CLAIM-A3 */
        ap_cas(&row->word, &word, AP_CLAIM_WORD(AP_CLAIM_NUMBER(word), 0, AP_CLAIM_EMPTY));
        return 0;
    }
    held = filling | AP_CLAIM_HELD;
    if (!ap_cas(&row->word, &word, held)) return 0; /* CLAIM-R1 pairs CLAIM-A1. It was completed: FREE, or another's */
    enter_complete(seg, home, entering);
    claim_count(row, AP_CLAIM_COUNT_granted);
    claim_stays(row, ask, held);
    claim_granted(seg, ask, AP_CLAIM_NUMBER(held), time, index, ret);
    return 1;
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

/* A FREE row whose turn it is: 1, it is held; 0: it has changed. */
static int claim_hold(struct ap_segment *seg, const struct ap_claim_ask *ask, struct ap_claim *row, uint64_t word,
                      struct ap_claim_view *ret)
{
    uint64_t number = ap_claim_number(seg), held, time;

    /* The number is another one where what is told of the last claim would look like this one's. */
    if (number != 0 && claim_told(ap_load_relaxed(&row->until), number)) number = ap_claim_number(seg);
    if (number == 0) return APIARY_ETABLEFULL;
    held = AP_CLAIM_WORD(number, ask->lane, AP_CLAIM_HELD);
    if (!ap_cas(&row->word, &word, held)) return 0; /* CLAIM-R1 pairs CLAIM-A1 */
    time = claim_ends(seg, ask->ttl);
    claim_tell(row, held, &row->until, time << 24, true);
    claim_tell(row, held, &row->who, AP_CLAIM_WHO(seg->self.pid, ask->caller, 0), true);
    claim_count(row, AP_CLAIM_COUNT_granted);
    claim_stays(row, ask, held);
    claim_granted(seg, ask, number, time, row_index(seg, row), ret);
    return 1;
}

int ap_claim_take(struct ap_segment *seg, const struct ap_claim_ask *ask, struct ap_claim_view *ret)
{
    struct ap_claim *row;
    uint64_t word, home;
    int r;

    do {
        r = claim_find(seg, &ask->key, &row, &word, &home);
        if (r == 0) {
            r = claim_enter(seg, ask, home, ret);
        } else if (r > 0) {
            r = 0;
            if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD && claim_over(seg, row, word, ask->lane, ask->steals)) continue;
            if (AP_CLAIM_STATE(word) != AP_CLAIM_HELD && !line_before(seg, row, ask->ticket)) {
                r = claim_hold(seg, ask, row, word, ret);
                continue;
            }
            claim_view(row, word, row_index(seg, row), ret);
            if (!ret->held) ret->until = ap_load_relaxed(&row->turn) + AP_CLAIM_GRACE;
            if (ap_load_acquire(&row->word) == word) return 0; /* else the view may be mixed */
        }
    } while (r == 0);
    return r;
}

/* ---- by the token ----------------------------------------------------------------------------------------------- */

/* The row in which the token is the key's, with its word; NULL: it is not. */
AP_ALWAYS_INLINE struct ap_claim *claim_of(const struct ap_segment *seg, const char *key, uint64_t token, uint64_t *ret_word)
{
    struct ap_claim *row = ap_claim_at(seg, AP_CLAIM_TOKEN_ROW(token));
    uint64_t number = AP_CLAIM_TOKEN_NUMBER(token);

    if (row != NULL) {
        *ret_word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */
        /* While it is HELD with that number the key stays. */
        if (AP_CLAIM_STATE(*ret_word) == AP_CLAIM_HELD && AP_CLAIM_NUMBER(*ret_word) == number && ap_claim_is(row, key)) return row;
    }
    if (seg->writable) claim_count(row != NULL ? row : ap_claim_at(seg, 0), AP_CLAIM_COUNT_stale);
    return NULL;
}

static int claim_stale(const struct ap_segment *seg, struct ap_claim *row)
{
    if (seg->writable) claim_count(row, AP_CLAIM_COUNT_stale);
    return APIARY_ESTALE;
}

int ap_claim_check(const struct ap_segment *seg, const char *key, uint64_t token)
{
    uint64_t word, until;
    struct ap_claim *row = claim_of(seg, key, token, &word);

    if (row == NULL) return APIARY_ESTALE;
    until = ap_load_acquire(&row->until); /* CLAIM-A4 pairs CLAIM-R4 */
    ap_fence_acquire(); /* CLAIM-A2 pairs CLAIM-R2 */
    if (ap_load_relaxed(&row->word) != word) return claim_stale(seg, row); /* the key that was compared may be a later one */
    if (holder_gone(seg, word)) return claim_stale(seg, row);
    if (claim_told(until, AP_CLAIM_NUMBER(word)) && time_over(seg, until)) return claim_stale(seg, row);
    return 0;
}

int ap_claim_renew(struct ap_segment *seg, const char *key, uint64_t token, uint64_t ttl, struct ap_claim_view *ret)
{
    uint64_t word, until, number = AP_CLAIM_TOKEN_NUMBER(token), end = claim_ends(seg, ttl) << 24 | AP_CLAIM_TAG(number);
    struct ap_claim *row = claim_of(seg, key, token, &word);

    if (row == NULL) return APIARY_ESTALE;
    if (ttl == APIARY_FOREVER && AP_CLAIM_LANE(word) == AP_NO_LANE) return APIARY_EINVAL; /* nothing would ever end it */
    if (holder_gone(seg, word)) return claim_stale(seg, row);
    do {
        until = ap_load_acquire(&row->until); /* CLAIM-A4 pairs CLAIM-R4 */
        if (ap_load_acquire(&row->word) != word) return claim_stale(seg, row); /* what is told may be of a later claim */
        if (claim_told(until, number) && (AP_CLAIM_TIME(until) == AP_CLAIM_SEALED ||
                                          (AP_CLAIM_LANE(word) == AP_NO_LANE && time_over(seg, until))))
            return claim_stale(seg, row);
    } while (!ap_cas(&row->until, &until, end)); /* CLAIM-R4 */
    claim_view(row, word, row_index(seg, row), ret);
    ret->until = until_ns(end);
    return 0;
}

/* The word has changed: the claim is nobody's now, or gone. */
static __attribute__((noinline)) int claim_release_slow(struct ap_segment *seg, const char *key, uint64_t token)
{
    struct ap_claim *row;
    uint64_t word;

    do row = claim_of(seg, key, token, &word);
    while (row != NULL && !claim_free(seg, row, word));
    return row != NULL ? 0 : APIARY_ESTALE;
}

int ap_claim_release(struct ap_segment *seg, const char *key, uint64_t token)
{
    uint64_t word;
    struct ap_claim *row = claim_of(seg, key, token, &word);

    if (row == NULL) return APIARY_ESTALE;
    return __builtin_expect(claim_free_here(seg, row, word), 1) ? 0 : claim_release_slow(seg, key, token);
}

/* ---- many rows -------------------------------------------------------------------------------------------------- */

static bool of_lane(uint64_t word, uint32_t lane)
{
    return (AP_CLAIM_STATE(word) == AP_CLAIM_HELD || AP_CLAIM_STATE(word) == AP_CLAIM_FILLING) && AP_CLAIM_LANE(word) == lane;
}

void ap_claims_end(struct ap_segment *seg, uint32_t lane)
{
    for (uint32_t i = 0; i < claim_rows(seg); i++) {
        struct ap_claim *row = ap_claim_at(seg, i);
        uint64_t word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */

        if (!of_lane(word, lane)) continue;
        if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD) claim_free(seg, row, word);
        else claim_mend(seg, row, word); /* the thread ends in the midst of filling it */
    }
    ap_claim_leave(seg, ap_lane_at(seg, lane));
}

/* A word with its number is of one life of the lane only. */
void ap_claims_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; i < claim_rows(seg); i++) {
        struct ap_claim *row = ap_claim_at(seg, i);
        uint64_t entering = ap_load_acquire(&row->home); /* CLAIM-A3 pairs CLAIM-R3 */
        uint64_t word;

        if (AP_CLAIM_ENTERED(entering) != 0 && enter_complete(seg, row, entering) < 0) continue; /* whoever has begun it */
        word = ap_load_acquire(&row->word); /* before the look at the lane's life; CLAIM-A1 pairs CLAIM-R1 */
        if (!of_lane(word, lane) || !ap_lane_still(seg, lane, beside)) continue;
        if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD) claim_take_from(seg, row, word, lane, AP_CLAIM_COUNT_freed);
        else claim_mend(seg, row, word);
    }
}

uint32_t ap_claims_tidy(struct ap_segment *seg)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < claim_rows(seg); i++) {
        struct ap_claim *row = ap_claim_at(seg, i);
        uint64_t word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */

        if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD) n += claim_over(seg, row, word, AP_NO_LANE, false);
    }
    return n;
}
