/* registry/monitor/tally.h - counts that have names: who calls whom, what fails with which code, who is refused and why.
 *
 * SCOPE     Each row is one of AP_TALLIES. `caller` is the calling service's name, "-" for who calls for none; `code` one of enum
 *           apiary_error; `agent code` what an agent has failed a task with.
 *           PAIR     of an agent (its queue): a caller, a capability. How its tasks have ended, and what they took.
 *           FAILED   of an agent: a capability, a code. Tasks that it has ended so.
 *           REFUSED  of a capability: a caller, a code. Delegations that were not accepted.
 * LAYOUT    1 Section "tallies": tally_rows rows of two lines. The key, with what the row is of, is one line, the counts the other.
 *           2 Row k below AP_TALLY_KINDS is "others" of kind k: it has no key, and all that had no row of its own. So no count is
 *           cut. The others are a table with open addressing. A search ends at a key of 0, or after AP_TALLY_PROBES rows.
 *           3 key = kind << 60 | queue << 46 | capability << 30 | 30 bits of a hash of the rest. The rest follows: what = READY
 *           << 63 | code << 32 | agent code, and the caller's name. Both are constant once READY.
 * LIFE      1 0 -> key by CAS, then the name, then `what`. FREED -> another key in the same way.
 *           2 The rows of a queue are set to 0 and FREED while the queue is CLAIMED for another agent. Rows of no queue stay.
 *           3 A search goes past FREED rows, so what was entered behind one is found. Two lanes that enter one key at the same time
 *           may take two rows: readers add them up.
 * WRITER    1 PAIR and FAILED: the queue's consumer, by ap_own_add. REFUSED, and all of "others": any lane, by an atomic add.
 *           2 A caller's number can pass to another name. A worker that has found a row keeps it for the number until it publishes
 *           its counts (64 tasks), and then looks at the name again.
 *           3 An agent has at most AP_TALLY_CODES rows of FAILED: agents choose their codes, and one that makes up a new one for
 *           each task would leave no rows for others. Further ones are among the "others".
 * ORDERING  TALLY-R1 `what` store-release pairs TALLY-A1 load-acquire: the name. Counts have no order.
 *           TALLY-R2 FREED store-release pairs TALLY-A2, the CAS of the next: name and counts are 0 before it.
 *           TALLY-R3 release fence after `what` = 0 pairs TALLY-A3 acquire fence before a reader's second look at it: one that has
 *           read a count set to 0 sees that the row is being freed.
 * CRASH     1 Dead between key and READY: the next lane that looks for the same key fills the row. Two that fill it at once store
 *           the same words.
 *           2 A death loses what it had not counted yet: of one task some of the counts of its pair, or its code, or its refusal.
 *           Nothing is counted twice.
 *           3 A death while a queue's rows are freed leaves one that is 0 in part. The next lane that claims the queue for another
 *           agent goes on.
 *           4 A consumer that was superseded while it lives may add what it ends to a row that is another's by then.
 * INVARIANTS W1 a key's kind, queue and capability are possible, "others" have none  W2 the name of a READY row is one, or "-",
 *           and its hash is the key's  W3 a row without a key has no name; one that is FREED has no counts
 *           W4 of a PAIR no more tasks have failed or come late than have ended
 */
#ifndef AP_TALLY_H
#define AP_TALLY_H

#include "registry/registry.h"

#define AP_TALLIES(X)                                                      \
    X(PAIR, "pair", "tasks of a calling service at an agent")             \
    X(FAILED, "failed", "tasks that an agent has ended with an error")     \
    X(REFUSED, "refused", "delegations that were not accepted")
enum ap_tally_kind {
    AP_TALLY_NONE,
#define X(id, name, what) AP_TALLY_##id,
    AP_TALLIES(X)
#undef X
    AP_TALLY_KINDS
};

/* The counts of a row; FAILED and REFUSED have the first only. X(id, name, what) */
#define AP_TALLY_COUNTS(X)                                                 \
    X(ENDED, "ended", "tasks that have ended")                             \
    X(BAD, "failed", "of these, those that have failed")                   \
    X(LATE, "late", "of these, those that had been given up")              \
    X(RETRIED, "retried", "starts that failed, to be tried again")         \
    X(WAITED, "waited", "ns that the starts had waited")                   \
    X(RAN, "ran", "ns that they ran")                                      \
    X(IN, "bytes_in", "bytes of requests")                                 \
    X(OUT, "bytes_out", "bytes of results")
enum ap_tally_count {
#define X(id, name, what) AP_TALLY_##id,
    AP_TALLY_COUNTS(X)
#undef X
    AP_TALLY_COUNTS_END
};

#define AP_TALLY_KEY(kind, queue, capability, hash) \
    ((uint64_t)(kind) << 60 | (uint64_t)(queue) << 46 | (uint64_t)(capability) << 30 | ((hash) & AP_TALLY_HASHES))
#define AP_TALLY_HASHES UINT64_C(0x3fffffff)
#define AP_TALLY_KIND(key) ((uint32_t)((key) >> 60))
#define AP_TALLY_QUEUE(key) ((uint32_t)((key) >> 46 & 0x3fff))
#define AP_TALLY_CAPABILITY(key) ((uint32_t)((key) >> 30 & 0xffff))
#define AP_TALLY_NO_QUEUE 0x3fffu
#define AP_TALLY_NO_CAPABILITY 0xffffu
#define AP_TALLY_FREED UINT64_C(1)
#define AP_TALLY_READY (UINT64_C(1) << 63)
#define AP_TALLY_WHAT(code, agent_code) ((uint64_t)((uint32_t)-(code) & 0x7fffffff) << 32 | (agent_code))
#define AP_TALLY_CODE(what) (-(int)((what) >> 32 & 0x7fffffff))
#define AP_TALLY_PROBES 64u
#define AP_TALLY_CODES 32u
_Static_assert(AP_QUEUES_MAX <= AP_TALLY_NO_QUEUE, "a key names any queue");

struct ap_tally_row {
    uint64_t key, what;
    char caller[APIARY_NAME_MAX + 1];
    uint64_t counts[AP_TALLY_COUNTS_END] AP_ALIGNED;
} AP_ALIGNED;
_Static_assert(sizeof(struct ap_tally_row) == 128 && offsetof(struct ap_tally_row, counts) == 64, "a row: two lines");

static inline struct ap_tally_row *ap_tally_row_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_TALLIES, i, struct ap_tally_row);
}

/* The name of a row. All of it must be given; what a kind does not have is AP_TALLY_NO_QUEUE, 0 or "". */
struct ap_tally_name {
    enum ap_tally_kind kind;
    uint32_t queue, capability;
    int code;
    uint32_t agent_code;
    char caller[APIARY_NAME_MAX + 1];
};
/* The row of that name. When it is absent it is entered if `enter` says so. NULL: there is none, or the table is full, and it
 * counts among the others of its kind. Any lane; of PAIR and FAILED the queue's consumer. */
struct ap_tally_row *ap_tally_find(struct ap_segment *seg, const struct ap_tally_name *name, bool enter);
/* Into the others of a kind. Any lane. */
void ap_tally_others(const struct ap_segment *seg, enum ap_tally_kind kind, enum ap_tally_count count, uint64_t n);
/* The name by which a task's caller is counted: of slot->caller, which is a service's number + 1, or 0. */
void ap_tally_caller(const struct ap_segment *seg, uint32_t caller, char ret[APIARY_NAME_MAX + 1]);
/* How many rows of FAILED a queue has. */
uint32_t ap_tally_codes(const struct ap_segment *seg, uint32_t queue);
/* Counts a refusal; `code` as of enum apiary_error, `capability` AP_TALLY_NO_CAPABILITY where it is not known. */
void ap_tally_refused(struct ap_segment *seg, uint32_t caller, uint32_t capability, int code);
/* The queue is CLAIMED for another agent: frees its rows. */
void ap_tally_free(struct ap_segment *seg, uint32_t queue);

/* Reads: a copy of each row in use. Of "others" of a kind, `others` is true, the name has only its kind, and there is one such row
 * for each kind. A row whose name is not sound, as in a damaged segment, is passed over. Any thread. */
struct ap_tally {
    struct ap_tally_name name;
    bool others;
    uint64_t counts[AP_TALLY_COUNTS_END];
};
/* From *cursor (0 at first) on: false at the end. */
bool ap_tally_next(const struct ap_segment *seg, uint64_t *cursor, struct ap_tally *ret);
/* Rows in use, and all of the table. */
uint32_t ap_tally_used(const struct ap_segment *seg, uint32_t *ret_all);

#endif
