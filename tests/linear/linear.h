/* linear.h - judges whether a history of operations on one key, of the memory or of claims, is linearizable.
 *
 * HISTORY   1 An operation was called at one time and answered at a later one, by one clock of all processes. It took effect at a
 *           moment between the two: a history is legal if there are such moments with which each answer is what the model says.
 *           2 One that is `pending` has no answer, since its process was killed. It may have taken effect at any time from its
 *           call to `answered`, or not at all. That is LINEAR_NEVER, or when nobody did anything for the dead any more.
 *           3 `before` names another operation by its place in the history: this one took effect before that one, if it did.
 * SEARCH    That of Wing and Gong, with Lowe's memory: operations that can be next are tried in turn, and no set of done
 *           operations is looked at twice with the same state. Operations are sorted into chains, in which each is called after
 *           the one before was answered. So a set is a place in each chain.
 * MODEL     linear_step. Memory: the value, its version and its end, and the highest version so far. What a pending change has made
 *           has a version that the next one who sees it tells. Claims: FREE, HELD by a token and a process until a time, or OVER:
 *           the time or the holder has ended, and only a release can still tell the token from an older one. One that stays is
 *           HELD by nobody.
 * TIME      1 An end by ttl is an interval, soonest to latest, since its clock is another one. What an operation may have seen of
 *           the clock is not before the call of any that took effect before it, and not after its own answer. But a change of the
 *           memory, or of a claim, looks at the clock before it takes effect: that may be as early as its own call.
 *           2 A value whose time is over is not taken out by that: who looked before may still change it. So each operation sees it
 *           or not by its own times, and the state stays. A claim that stays is free for the next one in the same way.
 *           3 A get tells how much time was left, so the interval becomes that of both.
 */
#ifndef LINEAR_H
#define LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LINEAR_NEVER UINT64_MAX
#define LINEAR_NOTHING UINT32_MAX
#define LINEAR_UNTOLD UINT64_C(10000000000) /* AP_CLAIM_UNTOLD */
#define LINEAR_UNIT (UINT64_C(1) << 20)     /* the step of a claim's time */

enum linear_kind {
    LINEAR_GET, LINEAR_PUT, LINEAR_ADD, LINEAR_REPLACE, LINEAR_CAS, LINEAR_DELETE, LINEAR_INCR, LINEAR_TOUCH,
    LINEAR_CLAIM, LINEAR_RENEW, LINEAR_RELEASE, LINEAR_CHECK,
    LINEAR_DIE, /* of a process that may hold the claim */
    LINEAR_END, /* part of a claim that steals or waits, more than once if it lasts: the claim of a living holder whose time is over
                   is ended; pending by nature */
    LINEAR_KINDS
};
/* Of LINEAR_CLAIM; as enum apiary_claim_policy. */
enum linear_policy { LINEAR_FAIL = 1, LINEAR_WAIT, LINEAR_USE_EXISTING, LINEAR_STEAL };

struct linear_op {
    uint64_t call, answered;
    uint32_t kind, key;
    uint32_t process; /* from 1 */
    int32_t result;   /* 0, or the library's error; 1 for LINEAR_USE_EXISTING */
    uint32_t policy;
    uint32_t before;  /* LINEAR_NOTHING */
    bool pending;
    bool line;        /* of a claim: somebody may have waited for the key meanwhile */
    bool stays;       /* of a claim: it outlives its process */
    bool over;        /* of a pending INCR: the value is one whose time was over, and it begins at 0 */
    uint8_t reserved[4];
    int64_t value;    /* GET: what was read; PUT and its like: what was written; INCR: the sum */
    int64_t by;       /* INCR */
    uint64_t version; /* of GET; the new one of PUT and its like */
    uint64_t expected; /* CAS */
    uint64_t token;   /* of the claim that was granted or found, or that was shown */
    uint64_t ttl;     /* CLAIM, RENEW, PUT and its like, TOUCH; GET: what is left; LINEAR_NEVER */
    uint64_t until;   /* of a claim: what was told of its end; LINEAR_NEVER: none, or nothing yet */
    uint64_t apart;   /* by how much the clock that told it may differ from that of the history */
};

/* A value that is a text and no number. */
#define LINEAR_TEXT (INT64_C(1) << 62)

enum linear_claim { LINEAR_FREE, LINEAR_HELD, LINEAR_OVER };
struct linear_state {
    uint64_t a, b;            /* memory: value, version (0: not known). Claims: token (0: not known), the highest token */
    uint64_t soonest, latest; /* its end; LINEAR_NEVER: none */
    uint64_t floor;           /* memory: the highest version. A claim that stays: until then it may not be nobody's yet */
    uint32_t is;              /* memory: whether there is a value. Claims: enum linear_claim */
    uint32_t holder;          /* of a claim; 0: nobody */
};

/* Whether the operation may take effect on that state, at a moment that is not before `now`; then the state is the next one. */
bool linear_step(const struct linear_op *op, uint64_t now, struct linear_state *state);

struct linear_verdict {
    int legal;         /* 1, 0; -1: it was not decided with so many nodes; -2: no memory */
    uint64_t nodes;    /* sets of operations that were looked at */
    uint32_t chains;
    uint32_t furthest; /* how many operations with an answer were explained at most */
};
/* The operations of one key, sorted by `call`. */
void linear_check(const struct linear_op *ops, size_t n, uint64_t nodes_max, struct linear_verdict *ret);

/* Leaves a part of an illegal history that is illegal in itself; returns its length. Left out are what happened after the first
 * answer that has no explanation, and what before it has no influence on that. */
size_t linear_shrink(struct linear_op *ops, size_t n, uint64_t nodes_max);

/* Whether two tokens both passed: one was shown, and not refused, when a higher one had been granted before the call. Then *ret
 * are the two operations. It needs no search. *ret_shown: how many were compared. */
bool linear_two_tokens(const struct linear_op *ops, size_t n, size_t ret[2], uint64_t *ret_shown);

/* A line for each, times in microseconds from the first. */
void linear_print(FILE *to, const struct linear_op *ops, size_t n);

/* Sorts by call. `before` is kept right. */
int linear_sort(struct linear_op *ops, size_t n);

#endif
