/* history.c - histories of one key: their order, what two tokens show without a search, the part that is illegal, the print. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <apiary.h>

#include "tests/linear/linear.h"

/* ---- order ------------------------------------------------------------------------------------------------------ */

struct numbered {
    uint64_t call;
    uint32_t number;
};

static int by_call(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;

    if (x->call != y->call) return x->call < y->call ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

int linear_sort(struct linear_op *ops, size_t n)
{
    struct numbered *order = calloc(n + 1, sizeof *order);
    struct linear_op *sorted = malloc((n + 1) * sizeof *sorted);
    uint32_t *place = calloc(n + 1, sizeof *place);
    int r = order != NULL && sorted != NULL && place != NULL ? 0 : APIARY_ENOBLOCK;

    for (size_t i = 0; i < n && r == 0; i++) order[i] = (struct numbered){ops[i].call, (uint32_t)i};
    if (r == 0) qsort(order, n, sizeof *order, by_call);
    for (size_t i = 0; i < n && r == 0; i++) {
        sorted[i] = ops[order[i].number];
        place[order[i].number] = (uint32_t)i;
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        ops[i] = sorted[i];
        if (ops[i].before != LINEAR_NOTHING) ops[i].before = place[ops[i].before];
    }
    free(order);
    free(sorted);
    free(place);
    return r;
}

/* ---- two tokens ------------------------------------------------------------------------------------------------- */

static bool shows(const struct linear_op *op)
{
    return !op->pending && op->result == 0 && (op->kind == LINEAR_CHECK || op->kind == LINEAR_RENEW);
}

struct proof { /* that a token was the key's, not after `answered` */
    uint64_t answered, token;
    size_t op;
};

static int by_answer(const void *a, const void *b)
{
    const struct proof *x = a, *y = b;

    return x->answered < y->answered ? -1 : x->answered > y->answered;
}

bool linear_two_tokens(const struct linear_op *ops, size_t n, size_t ret[2], uint64_t *ret_shown)
{
    struct proof *proofs = calloc(n + 1, sizeof *proofs), *highest = NULL;
    size_t count = 0, next = 0;
    bool two = false;

    *ret_shown = 0;
    if (proofs == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        bool grants = ops[i].kind == LINEAR_CLAIM && !ops[i].pending && ops[i].result >= 0;

        if (grants || shows(&ops[i])) proofs[count++] = (struct proof){ops[i].answered, ops[i].token, i};
    }
    qsort(proofs, count, sizeof *proofs, by_answer);
    for (size_t i = 0; i < n && !two; i++) {
        if (!shows(&ops[i])) continue;
        for (; next < count && proofs[next].answered < ops[i].call; next++)
            if (highest == NULL || proofs[next].token > highest->token) highest = &proofs[next];
        *ret_shown += highest != NULL;
        two = highest != NULL && highest->token > ops[i].token;
        if (!two) continue;
        ret[0] = highest->op;
        ret[1] = i;
    }
    free(proofs);
    return two;
}

/* ---- the part that is illegal ------------------------------------------------------------------------------------ */

static bool illegal(const struct linear_op *ops, size_t n, uint64_t nodes_max)
{
    struct linear_verdict v;

    linear_check(ops, n, nodes_max, &v);
    return v.legal == 0;
}

/* It changes nothing. A release that was refused may have shown that a claim was freed. */
static bool only_read(const struct linear_op *op)
{
    return op->kind == LINEAR_GET || op->kind == LINEAR_CHECK || (op->kind == LINEAR_INCR && op->by == 0) ||
           (!op->pending && op->result != 0 && op->kind != LINEAR_RELEASE);
}

/* The death of one who has claimed nothing. */
static bool no_matter(const struct linear_op *ops, size_t n, size_t op)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == LINEAR_CLAIM && ops[i].process == ops[op].process) return false;
    return ops[op].kind == LINEAR_DIE;
}

/* The operations of `from` to `to` that `keep` names. Those that another names by `before` are kept by who asks. */
static size_t chosen(const struct linear_op *from, size_t n, const bool *keep, struct linear_op *to)
{
    uint32_t *place = calloc(n + 1, sizeof *place), k = 0;

    if (place == NULL) abort();
    for (size_t i = 0; i < n; i++) place[i] = keep[i] ? k++ : LINEAR_NOTHING;
    k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!keep[i]) continue;
        to[k] = from[i];
        if (to[k].before != LINEAR_NOTHING) to[k].before = place[to[k].before];
        k++;
    }
    free(place);
    return k;
}

/* What was known at that time: who had no answer yet is pending. */
static size_t until_time(const struct linear_op *ops, size_t n, uint64_t time, bool *keep, struct linear_op *to)
{
    size_t k;

    for (size_t i = 0; i < n; i++)
        keep[i] = ops[i].call <= time && !(ops[i].answered > time && (only_read(&ops[i]) || ops[i].result != 0));
    k = chosen(ops, n, keep, to);
    for (size_t i = 0; i < k; i++) {
        if (to[i].answered <= time) continue;
        to[i].pending = true;
        to[i].answered = LINEAR_NEVER;
    }
    return k;
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Up to the first answer that cannot be explained. */
static size_t shrink_end(struct linear_op *ops, size_t n, bool *keep, struct linear_op *room, uint64_t nodes_max)
{
    uint64_t *times = calloc(n + 1, sizeof *times);
    size_t low = 0, high, count = 0;

    if (times == NULL) abort();
    for (size_t i = 0; i < n; i++)
        if (!ops[i].pending) times[count++] = ops[i].answered;
    qsort(times, count, sizeof *times, by_time);
    for (high = count; low < high;) {
        size_t middle = (low + high) / 2;

        if (illegal(room, until_time(ops, n, times[middle], keep, room), nodes_max)) high = middle;
        else low = middle + 1;
    }
    if (low < count) {
        n = until_time(ops, n, times[low], keep, room);
        memcpy(ops, room, n * sizeof *ops);
    }
    free(times);
    return n;
}

/* It alone tells the state after it, whatever was before. */
static bool sets_all(const struct linear_op *op)
{
    return !op->pending && op->result == 0 && (op->kind == LINEAR_PUT || op->kind == LINEAR_ADD || op->kind == LINEAR_CLAIM);
}

/* From the last such operation, beside which there is no other, from which on it is illegal. */
static size_t shrink_start(struct linear_op *ops, size_t n, bool *keep, struct linear_op *room, uint64_t nodes_max)
{
    bool *alone = calloc(n + 1, sizeof *alone);
    uint64_t answered = 0;

    if (alone == NULL) abort();
    for (size_t i = 0; i < n; i++) {
        alone[i] = answered <= ops[i].call && (i + 1 == n || ops[i + 1].call > ops[i].answered) && sets_all(&ops[i]);
        if (ops[i].answered > answered) answered = ops[i].answered;
    }
    for (size_t i = n, tries = 0; i-- > 1 && tries < 1000;) {
        size_t k;

        if (!alone[i]) continue;
        tries++;
        for (size_t j = 0; j < n; j++) keep[j] = j >= i;
        k = chosen(ops, n, keep, room);
        if (!illegal(room, k, nodes_max)) continue;
        memcpy(ops, room, k * sizeof *ops);
        n = k;
        break;
    }
    free(alone);
    return n;
}

/* Without reads and refusals that are not needed. To leave out what changes something could make an illegal history of a legal
 * one. */
static size_t shrink_reads(struct linear_op *ops, size_t n, bool *keep, struct linear_op *room, uint64_t nodes_max)
{
    for (size_t i = 0; i < n && n <= 2000;) {
        size_t k;

        for (size_t j = 0; j < n; j++) keep[j] = j != i;
        k = only_read(&ops[i]) || no_matter(ops, n, i) ? chosen(ops, n, keep, room) : n;
        if (k == n || !illegal(room, k, nodes_max)) {
            i++;
            continue;
        }
        memcpy(ops, room, k * sizeof *ops);
        n = k;
    }
    return n;
}

size_t linear_shrink(struct linear_op *ops, size_t n, uint64_t nodes_max)
{
    bool *keep = calloc(n + 1, sizeof *keep);
    struct linear_op *room = malloc((n + 1) * sizeof *room);

    if (keep == NULL || room == NULL) abort();
    n = shrink_end(ops, n, keep, room, nodes_max);
    n = shrink_start(ops, n, keep, room, nodes_max);
    n = shrink_reads(ops, n, keep, room, nodes_max);
    free(keep);
    free(room);
    return n;
}

/* ---- the print -------------------------------------------------------------------------------------------------- */

static const char *const kinds[LINEAR_KINDS] = {"get", "put", "add", "replace", "cas", "delete", "incr", "touch",
                                                "claim", "renew", "release", "check", "dies", ""};
static const char *const policies[] = {"", " fail", " wait", " use_existing", " steal_if_expired"};

/* 0 is as good as it gets: the answer of a pending one is not known. */
static void print_answer(FILE *to, const struct linear_op *op)
{
    if (op->pending) fputs(" -> pending", to);
    else if (op->kind != LINEAR_DIE) fprintf(to, " -> %s", op->result < 0 ? apiary_strerror(op->result) : "ok");
    if (op->pending || op->result < 0) return;
    if (op->kind <= LINEAR_CAS && op->kind != LINEAR_GET) fprintf(to, " version %" PRIu64, op->version);
    if (op->kind == LINEAR_GET) fprintf(to, " value %" PRIx64 " version %" PRIu64, (uint64_t)op->value, op->version);
    if (op->kind == LINEAR_INCR) fprintf(to, " sum %" PRIx64, (uint64_t)op->value);
    if (op->kind == LINEAR_CLAIM) fprintf(to, " token %" PRIx64, op->token);
    if (op->kind == LINEAR_GET && op->ttl != LINEAR_NEVER) fprintf(to, " for %.3f", (double)op->ttl / 1e3);
}

static void print_until(FILE *to, const struct linear_op *op, uint64_t begin)
{
    if (op->pending || op->result < 0 || (op->kind != LINEAR_CLAIM && op->kind != LINEAR_RENEW)) return;
    if (op->until == LINEAR_NEVER) fputs(" for ever", to);
    else fprintf(to, " until %.3f", (double)(int64_t)(op->until - begin) / 1e3);
}

void linear_print(FILE *to, const struct linear_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct linear_op *op = &ops[i];

        if (op->kind == LINEAR_END) continue; /* the claim of the same time says that it may have happened */
        fprintf(to, "%14.3f ", (double)(op->call - ops[0].call) / 1e3);
        if (op->answered == LINEAR_NEVER) fprintf(to, "%14s ", "");
        else fprintf(to, "%14.3f ", (double)(op->answered - ops[0].call) / 1e3);
        fprintf(to, "process %u %s", op->process, kinds[op->kind]);
        if (op->kind == LINEAR_CLAIM) fputs(policies[op->policy], to);
        if (op->stays) fputs(" stays", to);
        if (op->over) fputs(" (its time over)", to);
        if (op->kind >= LINEAR_RENEW && op->kind <= LINEAR_CHECK) fprintf(to, " token %" PRIx64, op->token);
        if (op->kind >= LINEAR_PUT && op->kind <= LINEAR_CAS) fprintf(to, " value %" PRIx64, (uint64_t)op->value);
        if (op->ttl != LINEAR_NEVER && op->ttl != 0 && op->kind != LINEAR_GET) fprintf(to, " for %.3f", (double)op->ttl / 1e3);
        if (op->kind == LINEAR_CAS) fprintf(to, " if version %" PRIu64, op->expected);
        if (op->kind == LINEAR_INCR) fprintf(to, " by %" PRId64, op->by);
        print_answer(to, op);
        print_until(to, op, ops[0].call);
        fputc('\n', to);
    }
}
