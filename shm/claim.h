/* shm/claim.h - claims: leases on keys, with tokens that only grow, and a line of waiters. A worker's claim of a task is another
 * thing (task.h).
 *
 * SCOPE     1 A key is a text of 1 to 127 bytes. At most one lane at a time has the claim on it, until it lets go, or dies, or its
 *           time is over and somebody takes it.
 *           2 Each grant has a token: a number that no other grant has, higher than that of any earlier grant of the key. A lane
 *           that does something for the holder asks whether the token is still the key's.
 *           3 A claim may be nobody's (STAYS): then only its time ends it.
 * LAYOUT    Section "claims": one row of 4 lines for each key that is in use, or was lately.
 *           line 0  word             the truth; writer: see LIFE     hash, size, key   writer: the lane that fills the row
 *                   until, who       tagged with 24 bits of the token, by CAS; writer: the holder, who renews, who seals
 *                   home             ENTER; writer: who enters a key, by CAS
 *                   turn             a hint: since when it is the turn of the first in line; writer: who frees or waits, and
 *                                    by CAS who goes past the first
 *                   waiting          eventcount (bell.h) of the line; writer: waiters, who rings
 *           line 1  counts; numbers, in row 0: the last number that was given out
 *           lane.waits               number << 16 | row + 1 of what the lane waits for, 0: nothing; writer: the lane
 *           lane.wants               the upper half of that key's hash; writer: the lane
 *           lane.passed              its `waits` when another has gone past it; writer: that one; the lane, as it looks: 0
 * NUMBERS   One counter for the segment, for tokens, places in line and rows that are filled. It goes on when a key's row is used
 *           for another key, so nothing of a key has to be kept for its tokens to grow. A number is drawn after the word was seen
 *           that is to be exchanged, so it is higher than the word's. 48 bits: nine years at a million claims a second; then claims
 *           are refused (APIARY_ETABLEFULL).
 * LIFE      1 word = number << 16 | lane << 2 | state. A value never comes back, since its number or state is another.
 *           2 EMPTY(n), or FREE(n) that nobody waits for -> FILLING(m, lane) -> HELD(m, lane): the key is entered and held.
 *           3 HELD(n, lane) -> FREE(n), by whoever has the token; by anybody when the lane is dead, or when `until` is sealed.
 *           4 FREE(n) -> HELD(m, lane). HELD(n, lane) -> HELD(n, AP_NO_LANE) by the lane: it STAYS, its time is told.
 *           5 FILLING(n, lane) -> EMPTY(n) by the lane, or when that is dead, by anybody; -> FREE(n) by who completes ENTER.
 * TIME      1 until = time << 24 | tag, in units of 2^20 ns, rounded up. With another tag it is not told yet.
 *           2 Time 0 seals it: the claim cannot be renewed any more, and anybody may free it. So a renewal that succeeded was not
 *           overtaken. A claim is sealed when its time is over, by anybody if it is nobody's, else by who steals or waits.
 *           3 The time of a holder that stands still before it has told it is told by who wants to steal it, AP_CLAIM_UNTOLD on.
 * ENTER     1 A key's home is the row of its hash. It lies in one of AP_CLAIM_WINDOW rows from there, or anywhere if the home is
 *           SPILLED. The home's word = count << 17 | SPILLED << 16 | row + 1 that is being entered, or 0.
 *           2 A lane loads the home's word, looks for the key, fills a row, and exchanges the home's word for one that names the
 *           row. So of two lanes that have not found a key one enters it, and the other one looks again.
 *           3 The home's word that names a row is completed by anybody: the row FREE, then the word with 0. No row is filled anew
 *           while its home names it.
 * LINE      1 A waiter draws a number, stores it in its lane, raises the row's `waiting` and then looks again. It takes the claim
 *           when it is FREE and no living lane waits for it with a lower number. The row may go to another key before the
 *           number is there: by lane.wants those who ask for that key see that it is not theirs that is waited for.
 *           2 A lane that frees a claim rings the bell of the first living waiter. After a death all bells are rung (reap.h).
 *           3 Order is the waiters' custom, and the CAS of the word decides. A dead waiter is passed over at once. One that has
 *           not taken its turn after AP_CLAIM_GRACE is stopped, or as good as that: whoever looks next goes past it, and then it
 *           is the turn of the next one, for as long. So who comes newly stands behind all that go on.
 *           4 A waiter that others went past does not count until it looks again. Then it stands where it stood before.
 * INVARIANTS C1 the lane of a FILLING or HELD row is LIVE  C2 words, key and hash are possible  C3 no key is in two rows
 *           C4 a home's word names a row whose home it is  C5 a key outside its window has a SPILLED home
 * ORDERING  CLAIM-R1 word by CAS pairs CLAIM-A1 load-acquire: the key before it.
 *           CLAIM-R2 release fence after FILLING pairs CLAIM-A2 acquire fence before a reader's second look at the word.
 *           CLAIM-R3 home by CAS pairs CLAIM-A3 load-acquire: the row that was entered.
 *           CLAIM-R4 until, who by CAS pairs CLAIM-A4 load-acquire before the look at the word: what was read is not of a claim
 *           after the word's.
 *           CLAIM-R5 `waiting` by the CAS of ap_bell_raise pairs CLAIM-A5 load-acquire: the place in line before the bit.
 *           CLAIM-F1 full fence after FREE and before the load of `waiting` pairs CLAIM-F2, in ap_bell_raise of `waiting`: the
 *           waiter sees FREE, or is rung.
 * CRASH     1 HELD(dead), FILLING(dead): freed by the recovery, or before it by whoever wants the key or the row.
 *           2 Dead between two steps of ENTER: completed or given up (LIFE 5). Between seal and FREE: anybody frees it.
 *           3 Dead before the next in line is rung: the recovery rings all bells. Dead between `turn` and `passed`: the first in
 *           line has its turn once more.
 *           4 A dead waiter's number is passed over, and goes with the lane's next life.
 * COUNTS    Of the row in which it happened, over all keys that it had. A count that a dying lane does not make is lost.
 * THREADS   Any, each by its own lane.
 */
#ifndef AP_CLAIM_H
#define AP_CLAIM_H

#include "core/must_check.h"
#include "shm/lane.h"

enum ap_claim_state { AP_CLAIM_EMPTY, AP_CLAIM_FILLING, AP_CLAIM_FREE, AP_CLAIM_HELD };
#define AP_CLAIM_WORD(number, lane, state) ((uint64_t)(number) << 16 | (uint64_t)(lane) << 2 | (state))
#define AP_CLAIM_STATE(w) ((uint32_t)((w) & 3))
#define AP_CLAIM_LANE(w) ((uint32_t)((w) >> 2 & 0x3fff))
#define AP_CLAIM_NUMBER(w) ((uint64_t)(w) >> 16)
#define AP_CLAIM_NUMBERS (UINT64_C(1) << 48)

#define AP_CLAIM_SPILLED (UINT64_C(1) << 16)
#define AP_CLAIM_ENTERED(home) ((uint32_t)((home) & 0xffff)) /* row + 1 */
#define AP_CLAIM_ENTERING(count, spilled, row) ((uint64_t)(count) << 17 | (uint64_t)(spilled) << 16 | (row))
#define AP_CLAIM_ENTRIES(home) ((uint64_t)(home) >> 17)

#define AP_CLAIM_TAG(number) ((uint64_t)(number) & 0xffffff)
#define AP_CLAIM_TIME(until) ((uint64_t)(until) >> 24)
#define AP_CLAIM_SEALED 0u
#define AP_CLAIM_NEVER ((UINT64_C(1) << 40) - 1)
#define AP_CLAIM_UNIT 20 /* ns, as a power of two */
#define AP_CLAIM_WHO(pid, caller, number) ((uint64_t)(pid) << 40 | (uint64_t)(caller) << 24 | AP_CLAIM_TAG(number))

#define AP_CLAIM_WANTS(hash) ((uint32_t)((hash) >> 32))

#define AP_CLAIMS_MAX 65535u
#define AP_CLAIM_WINDOW 8u
#define AP_CLAIM_GRACE UINT64_C(1000000000)
#define AP_CLAIM_UNTOLD UINT64_C(10000000000)
#define AP_CLAIM_WORDS ((APIARY_CLAIM_KEY_MAX + 1) / 8)

/* X(name, what): the counts, in their order. */
#define AP_CLAIM_COUNTS(X)                                                     \
    X(granted, "claims that were granted")                                     \
    X(refused, "that another had, so the asker was refused")                   \
    X(expired, "that were nobody's, and whose time was over")                  \
    X(stolen, "that were taken from a living holder whose time was over")      \
    X(freed, "whose holder died")                                              \
    X(waited, "that were granted to one who had waited in line")               \
    X(stale, "tokens that were not the key's any more when they were shown")

enum ap_claim_count {
#define X(name, what) AP_CLAIM_COUNT_##name,
    AP_CLAIM_COUNTS(X)
#undef X
        AP_CLAIM_COUNT_KINDS
};

struct ap_claim {
    uint64_t word, hash, until, who;
    uint64_t home;
    uint64_t turn; /* CLOCK_MONOTONIC */
    uint32_t waiting;
    uint32_t size; /* of the key */
    uint64_t reserved;
    uint64_t counts[AP_CLAIM_COUNT_KINDS];
    uint64_t numbers;
    uint64_t key[AP_CLAIM_WORDS]; /* padded with zeros */
} AP_ALIGNED;

static inline struct ap_claim *ap_claim_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_CLAIMS, i, struct ap_claim);
}

/* A token names its number and its row, so that what is shown with it needs no search. */
#define AP_CLAIM_TOKEN(number, row) ((uint64_t)(number) << 16 | (row))
#define AP_CLAIM_TOKEN_NUMBER(token) ((uint64_t)(token) >> 16)
#define AP_CLAIM_TOKEN_ROW(token) ((uint32_t)((token) & 0xffff))

/* A key in private memory. */
struct ap_claim_key {
    uint64_t hash;
    uint32_t size, home;
    uint64_t words[AP_CLAIM_WORDS];
};
/* 0; APIARY_EINVAL: it is empty or too long. Words behind the key's last are not set. */
AP_MUST_CHECK int ap_claim_key(const struct ap_segment *seg, const char *text, struct ap_claim_key *ret);
/* Whether it has no control characters; a key that has a row has none. Bytes of UTF-8 beyond ASCII are none. */
bool ap_claim_key_valid(const struct ap_claim_key *key);

struct ap_claim_ask {
    struct ap_claim_key key;
    uint64_t ttl;    /* ns; APIARY_FOREVER */
    uint64_t ticket; /* its number in line; UINT64_MAX: it does not wait */
    uint32_t lane, caller; /* caller: as in struct ap_slot */
    bool steals;     /* from a living holder whose time is over */
    bool stays;      /* it is to be nobody's */
};
/* A claim as of one moment. */
struct ap_claim_view {
    uint64_t token, until; /* CLOCK_MONOTONIC; UINT64_MAX: never, or not told yet. Not held: the end of the turn */
    uint32_t pid, caller;  /* 0: not told yet */
    uint32_t row, lane;    /* lane: AP_NO_LANE: nobody's */
    bool held;             /* false: it is the turn of somebody who waits */
    uint32_t waiting;      /* only by ap_claim_read: how many wait */
    char key[APIARY_CLAIM_KEY_MAX + 1]; /* only by ap_claim_read */
};

/* 1: granted; 0: another has it, or is to have it next, and *ret tells who; APIARY_EINVAL (the key), APIARY_ETABLEFULL,
 * APIARY_ECORRUPT. */
AP_MUST_CHECK int ap_claim_take(struct ap_segment *seg, const struct ap_claim_ask *ask, struct ap_claim_view *ret);
/* 0, and *ret is the claim with its new time; APIARY_ESTALE. */
AP_MUST_CHECK int ap_claim_renew(struct ap_segment *seg, const char *key, uint64_t token, uint64_t ttl,
                                 struct ap_claim_view *ret);
/* 0 or APIARY_ESTALE. */
AP_MUST_CHECK int ap_claim_release(struct ap_segment *seg, const char *key, uint64_t token);
/* The same. Counts only in a segment that is writable. */
AP_MUST_CHECK int ap_claim_check(const struct ap_segment *seg, const char *key, uint64_t token);

/* They are used up: 0. */
uint64_t ap_claim_numbers_end(const struct ap_segment *seg);
/* A number of the segment; 0: they are used up. */
static inline uint64_t ap_claim_number(const struct ap_segment *seg)
{
    uint64_t number = ap_add_acq_rel(&ap_claim_at(seg, 0)->numbers, 1) + 1;

    return __builtin_expect(number < AP_CLAIM_NUMBERS, 1) ? number : ap_claim_numbers_end(seg);
}
/* The lane waits for the row that had the key, and is looked at again afterwards. */
void ap_claim_line(struct ap_segment *seg, struct ap_lane *lane, const struct ap_claim_ask *ask, uint32_t row);
/* Whether who frees the row looks for those that wait for it. */
static inline bool ap_claim_lined(const struct ap_segment *seg, uint32_t row)
{
    return (ap_load_relaxed(&ap_claim_at(seg, row)->waiting) & 1) != 0;
}
/* A lane that waits goes on, and is about to look. */
void ap_claim_awake(struct ap_lane *lane);
/* It does not wait any more, and the next in line is told to look: at who has the claim, or for the claim itself. */
void ap_claim_leave(struct ap_segment *seg, struct ap_lane *lane);
void ap_claim_counted(struct ap_segment *seg, uint32_t row, enum ap_claim_count count);

/* All that the caller's lane has claimed, and its place in line. */
void ap_claims_end(struct ap_segment *seg, uint32_t lane);
/* Frees claims of the dead, and those that are nobody's and whose time is over: how many. Any process. */
uint32_t ap_claims_tidy(struct ap_segment *seg);
/* Recovery of a lane (part.h). */
void ap_claims_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* For observers: whether a row's key is held, and by whom. */
bool ap_claim_read(const struct ap_segment *seg, uint32_t row, struct ap_claim_view *ret);
uint32_t ap_claims_held(const struct ap_segment *seg);
uint64_t ap_claims_count(const struct ap_segment *seg, enum ap_claim_count count);

#endif
