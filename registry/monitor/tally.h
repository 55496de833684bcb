/* registry/monitor/tally.h - counts that have names: who calls whom, what fails with which code, who is refused and why.
 *
 * SCOPE     Each row is one of AP_TALLIES. `caller` is the calling service's name, "-" for who calls for none; `code` one of enum
 *           apiary_error; `agent code` what an agent has failed a task with.
 *           PAIR     of an agent (its queue): a caller, a capability. How its tasks have ended, and what they took.
 *           FAILED   of an agent: a capability, a code. Tasks that it has ended so.
 *           REFUSED  of a capability: a caller, a code. Delegations that were not accepted.
 * LAYOUT    1 Section "tallies": tally_rows rows of three lines. The key, with what the row is of, is one line, the counts are one,
 *           and what of them is former agents' is the third.
 *           2 Row k below AP_TALLY_KINDS is "others" of kind k: it has no key, and all that had no row of its own. So no count is
 *           cut. The rest are two tables with open addressing, so that neither fills the other's rows: the last quarter is for
 *           REFUSED. A search ends at a key of 0, or after AP_TALLY_PROBES rows.
 *           3 key = kind << 60 | queue << 46 | capability << 30 | 30 bits of a hash of the rest. The rest follows: what = READY
 *           << 63 | code << 32 | agent code, and the caller's name. Both are constant once READY.
 * LIFE      1 0 -> key by CAS, then the name, then `what`. A row keeps its name, and no count of it ever falls, as long as the
 *           segment lives.
 *           2 When a queue goes to another agent, `former` of its rows becomes what they count by then, while the queue is CLAIMED.
 *           So the counts less `former` are the present agent's.
 * WRITER    1 PAIR and FAILED: the queue's consumer, by ap_own_add. REFUSED, and all of "others": any lane, by an atomic add.
 *           2 A caller's number can pass to another name. A worker that has found a row keeps it for the number until it publishes
 *           its counts (64 tasks), and then looks at the name again.
 *           3 An agent has at most AP_TALLY_CODES rows of FAILED: agents choose their codes, and one that makes up a new one for
 *           each task would leave no rows for others. Further ones are among the "others".
 *           4 `former`: the lane that has CLAIMED the queue.
 * ORDERING  TALLY-R1 `what` store-release pairs TALLY-A1 load-acquire: the name. Counts have no order.
 *           TALLY-R2 `former` store-release pairs TALLY-A2 load-acquire of a reader, before it reads the count: that is never less.
 * CRASH     1 Dead between key and READY: the next lane that looks for the same key fills the row. Two that fill it at once store
 *           the same words.
 *           2 A death loses what it had not counted yet: of one task some of the counts of its pair, or its code, or its refusal.
 *           Nothing is counted twice.
 *           3 A death while a queue's rows become former leaves the rest to the next lane that claims the queue for another agent.
 *           4 A consumer that was superseded while it lives may add what it ends to a row that is another's by then.
 * INVARIANTS W1 a key's kind, queue and capability are possible, "others" have none  W2 the name of a READY row is one, or "-",
 *           and its hash is the key's  W3 a row without a key has no name  W4 of a PAIR no more tasks have failed or come late
 *           than have ended  W5 no count is less than its former
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
    uint64_t former[AP_TALLY_COUNTS_END]; /* of these: of the agents that had the queue before */
} AP_ALIGNED;
_Static_assert(sizeof(struct ap_tally_row) == 192 && offsetof(struct ap_tally_row, counts) == 64, "a row: three lines");

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
 * counts among the others of its kind. Any lane; of PAIR and FAILED the queue's consumer. Where the table is full it has looked at
 * AP_TALLY_PROBES rows: whoever asks often remembers the answer. */
struct ap_tally_row *ap_tally_find(struct ap_segment *seg, const struct ap_tally_name *name, bool enter);
/* Into the others of a kind. Any lane. */
void ap_tally_others(const struct ap_segment *seg, enum ap_tally_kind kind, enum ap_tally_count count, uint64_t n);
/* The name by which a task's caller is counted: of slot->caller, which is a service's number + 1, or 0. */
void ap_tally_caller(const struct ap_segment *seg, uint32_t caller, char ret[APIARY_NAME_MAX + 1]);
/* How many rows of FAILED have counted for a queue's present agent. */
uint32_t ap_tally_codes(const struct ap_segment *seg, uint32_t queue);
/* The last refusal that a lane has counted, and its row: private memory of the lane. All zeros: none. */
struct ap_tally_last {
    uint64_t what;            /* capability, code and caller, + 1 */
    struct ap_tally_row *row; /* NULL: the table had none, */
    uint64_t again;           /* and is asked again then */
};
/* Counts a refusal; `code` as of enum apiary_error, `capability` AP_TALLY_NO_CAPABILITY where it is not known. A service keeps its
 * number as long as a handle calls for it, so one of a lane's own caller is counted without a search when it comes again. */
void ap_tally_refused(struct ap_segment *seg, struct ap_tally_last *last, uint32_t caller, uint32_t capability, int code);
/* The queue is CLAIMED for another agent: what its rows count is former agents'. */
void ap_tally_anew(struct ap_segment *seg, uint32_t queue);

/* Reads: a copy of each row in use. Of "others" of a kind, `others` is true, the name has only its kind, and there is one such row
 * for each kind. A row whose name is not sound, as in a damaged segment, is passed over. Any thread. */
struct ap_tally {
    struct ap_tally_name name;
    bool others;
    uint32_t row; /* its number, which stays */
    uint64_t counts[AP_TALLY_COUNTS_END];
    uint64_t former[AP_TALLY_COUNTS_END]; /* of these: of agents that had the queue before, and have it no more */
};
/* From *cursor (0 at first) on: false at the end. */
bool ap_tally_next(const struct ap_segment *seg, uint64_t *cursor, struct ap_tally *ret);
/* Rows in use, and all of the table. */
uint32_t ap_tally_used(const struct ap_segment *seg, uint32_t *ret_all);

#endif
