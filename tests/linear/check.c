/* check.c - the search for moments at which the operations of a key have taken effect. See linear.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/linear/linear.h"

#define NOTHING LINEAR_NOTHING
#define DROPPED 0x80000000u /* of a candidate: it never takes effect */

/* A set of operations that are done, and the state after them. */
struct node {
    struct linear_state state;
    uint64_t now;    /* the latest call of those with an answer */
    uint32_t parent;
    uint32_t tried;  /* how many of its candidates */
    uint32_t left;   /* operations with an answer that are not done */
    uint32_t reserved;
    uint32_t done[]; /* of each chain, how many */
};

struct search {
    const struct linear_op *ops;
    uint32_t n, chains, required;
    uint32_t *chain_of, *place_of; /* of each operation */
    uint32_t *first, *order;       /* chain c: order[first[c]] to order[first[c + 1] - 1] */
    char *nodes;
    size_t stride;
    uint32_t count, room;
    uint32_t *table, mask; /* node + 1, by hash of what it is */
    uint32_t *candidates;
    char *draft;           /* a node that is being made */
    uint32_t furthest;
};

static struct node *node_at(const struct search *s, uint32_t i)
{
    return (struct node *)(s->nodes + s->stride * i);
}

/* ---- chains ----------------------------------------------------------------------------------------------------- */

/* Each operation goes to the first chain whose last one was answered before its call. */
static bool chains_find(struct search *s)
{
    uint64_t *last = calloc(s->n + 1, sizeof *last); /* answer of each chain's last */
    uint32_t *length = calloc(s->n + 1, sizeof *length), at = 0;

    s->chain_of = calloc(s->n + 1, sizeof *s->chain_of);
    s->place_of = calloc(s->n + 1, sizeof *s->place_of);
    s->first = calloc(s->n + 2, sizeof *s->first);
    s->order = calloc(s->n + 1, sizeof *s->order);
    if (last == NULL || length == NULL || s->chain_of == NULL || s->place_of == NULL || s->first == NULL || s->order == NULL) {
        free(last);
        free(length);
        return false;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t c = 0;

        while (c < s->chains && last[c] >= s->ops[i].call) c++;
        if (c == s->chains) s->chains++;
        last[c] = s->ops[i].answered;
        s->chain_of[i] = c;
        s->place_of[i] = length[c]++;
        s->required += !s->ops[i].pending;
    }
    for (uint32_t c = 0; c < s->chains; c++) {
        s->first[c] = at;
        at += length[c];
    }
    s->first[s->chains] = at;
    for (uint32_t i = 0; i < s->n; i++) s->order[s->first[s->chain_of[i]] + s->place_of[i]] = i;
    free(last);
    free(length);
    return true;
}

/* The next operation of a chain; NOTHING: all are done. */
static uint32_t head(const struct search *s, const struct node *at, uint32_t chain)
{
    uint32_t i = s->first[chain] + at->done[chain];

    return i < s->first[chain + 1] ? s->order[i] : NOTHING;
}

static bool is_done(const struct search *s, const struct node *at, uint32_t op)
{
    return at->done[s->chain_of[op]] > s->place_of[op];
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t node_hash(const struct search *s, const struct node *at)
{
    uint64_t hash = mixed(mixed(at->state.a, at->state.b), (uint64_t)at->state.is << 32 | at->state.holder);

    hash = mixed(mixed(mixed(hash, at->state.soonest), at->state.latest), at->state.floor);
    for (uint32_t c = 0; c < s->chains; c++) hash = mixed(hash, at->done[c]);
    return hash;
}

static bool node_same(const struct search *s, const struct node *a, const struct node *b)
{
    return memcmp(&a->state, &b->state, sizeof a->state) == 0 && memcmp(a->done, b->done, s->chains * sizeof a->done[0]) == 0;
}

static bool table_grow(struct search *s)
{
    uint32_t mask = s->mask * 2 + 1, *table = calloc((size_t)mask + 1, sizeof *table);

    if (table == NULL) return false;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t at = node_hash(s, node_at(s, i)) & mask;

        while (table[at] != 0) at = (at + 1) & mask;
        table[at] = i + 1;
    }
    free(s->table);
    s->table = table;
    s->mask = mask;
    return true;
}

/* Keeps the draft: its number; NOTHING: it was there before; DROPPED: no memory. */
static uint32_t node_keep(struct search *s)
{
    const struct node *draft = (const struct node *)s->draft;
    uint64_t at;

    if (s->count >= s->mask / 2 && !table_grow(s)) return DROPPED;
    for (at = node_hash(s, draft) & s->mask; s->table[at] != 0; at = (at + 1) & s->mask)
        if (node_same(s, node_at(s, s->table[at] - 1), draft)) return NOTHING;
    if (s->count == s->room) {
        uint32_t room = s->room * 2;
        char *nodes = realloc(s->nodes, s->stride * room);

        if (nodes == NULL) return DROPPED;
        s->nodes = nodes;
        s->room = room;
    }
    memcpy(s->nodes + s->stride * s->count, s->draft, s->stride);
    s->table[at] = s->count + 1;
    return s->count++;
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

static bool goes_before(const struct linear_op *a, const struct linear_op *b)
{
    return a->pending != b->pending ? b->pending : a->answered < b->answered;
}

/* The operations that can be next, those with an answer first and by its time; then that the soonest one, which is pending, never
 * takes effect; then the pending ones. */
static uint32_t list(struct search *s, const struct node *at)
{
    uint32_t n = 0, soonest = NOTHING, op;
    uint64_t bound = LINEAR_NEVER;

    for (uint32_t c = 0; c < s->chains; c++) {
        op = head(s, at, c);
        if (op == NOTHING || (soonest != NOTHING && s->ops[op].answered >= bound)) continue;
        soonest = op;
        bound = s->ops[op].answered;
    }
    for (uint32_t c = 0; c < s->chains; c++) {
        uint32_t i = n;

        op = head(s, at, c);
        if (op == NOTHING || s->ops[op].call > bound) continue;
        if (s->ops[op].before != NOTHING && is_done(s, at, s->ops[op].before)) continue;
        for (; i > 0 && goes_before(&s->ops[op], &s->ops[s->candidates[i - 1]]); i--) s->candidates[i] = s->candidates[i - 1];
        s->candidates[i] = op;
        n++;
    }
    if (soonest != NOTHING && s->ops[soonest].pending) {
        uint32_t i = n++;

        for (; i > 0 && s->ops[s->candidates[i - 1]].pending; i--) s->candidates[i] = s->candidates[i - 1];
        s->candidates[i] = soonest | DROPPED;
    }
    return n;
}

/* The draft is what the node becomes by a candidate: false, it cannot be. */
static bool advance(struct search *s, uint32_t from, uint32_t candidate)
{
    const struct node *at = node_at(s, from);
    struct node *draft = (struct node *)s->draft;
    const struct linear_op *op = &s->ops[candidate & ~DROPPED];

    memcpy(draft, at, s->stride);
    draft->parent = from;
    draft->tried = 0;
    draft->done[s->chain_of[candidate & ~DROPPED]]++;
    if ((candidate & DROPPED) != 0) return true;
    if (op->call > draft->now && !op->pending) draft->now = op->call;
    draft->left -= !op->pending;
    return linear_step(op, op->call > at->now ? op->call : at->now, &draft->state);
}

/* 1, 0, -1 or -2 of struct linear_verdict. */
static int walk(struct search *s, uint64_t nodes_max)
{
    uint32_t at = 0;

    while (at != NOTHING) {
        uint32_t n, next = NOTHING, done;

        done = s->required - node_at(s, at)->left;
        if (done > s->furthest) s->furthest = done;
        if (node_at(s, at)->left == 0) return 1;
        n = list(s, node_at(s, at));
        while (next == NOTHING && node_at(s, at)->tried < n) {
            if (!advance(s, at, s->candidates[node_at(s, at)->tried++])) continue;
            next = node_keep(s);
            if (next == DROPPED) return -2;
        }
        if (s->count > nodes_max) return -1;
        at = next != NOTHING ? next : node_at(s, at)->parent;
    }
    return 0;
}

static bool search_begin(struct search *s)
{
    struct node *root;

    if (!chains_find(s)) return false;
    s->stride = (sizeof *root + s->chains * sizeof root->done[0] + 7) & ~(size_t)7;
    s->room = 1024;
    s->mask = 4095;
    s->nodes = calloc(s->room, s->stride);
    s->table = calloc((size_t)s->mask + 1, sizeof *s->table);
    s->candidates = calloc((size_t)s->chains + 2, sizeof *s->candidates);
    s->draft = calloc(1, s->stride);
    if (s->nodes == NULL || s->table == NULL || s->candidates == NULL || s->draft == NULL) return false;
    root = (struct node *)s->draft;
    root->parent = NOTHING;
    root->left = s->required;
    return node_keep(s) == 0;
}

void linear_check(const struct linear_op *ops, size_t n, uint64_t nodes_max, struct linear_verdict *ret)
{
    struct search s = {.ops = ops, .n = (uint32_t)n};

    *ret = (struct linear_verdict){.legal = -2};
    if (search_begin(&s)) ret->legal = walk(&s, nodes_max < DROPPED - 1 ? nodes_max : DROPPED - 1);
    ret->nodes = s.count;
    ret->chains = s.chains;
    ret->furthest = s.furthest;
    free(s.chain_of);
    free(s.place_of);
    free(s.first);
    free(s.order);
    free(s.nodes);
    free(s.table);
    free(s.candidates);
    free(s.draft);
}
