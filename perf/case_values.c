/* perf/case_values.c - get, put, incr, hold: values and claims under few keys and under many, beside what else keeps such; and
 * notice: how soon one who sleeps is told of a change. */
#include <stdlib.h>
#include <string.h>

#include "perf/step.h"
#include "perf/store.h"

#define BATCH 16u /* operations of a sample, where they take less than a system call */
#define FEW 100u
#define COUNTED 10000u /* keys, at most */
#define STORES 8u

struct values {
    const struct perf_store_kind *kind;
    void *store;
    unsigned count, batch;
    size_t size;
    uint64_t next; /* of a sequence in no order that a prefetcher would guess */
    char value[APIARY_MEMORY_VALUE_MAX];
};

static void next_key(struct values *v, char key[PERF_KEY_SIZE])
{
    uint64_t x = v->next;

    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    v->next = x;
    perf_store_key(key, (uint32_t)(x % v->count), false);
}

static void do_get(struct values *v, const char *key)
{
    char got[APIARY_MEMORY_VALUE_MAX];

    if (v->kind->get(v->store, key, got, sizeof got) != v->size) perf_die("%s: %s has another size", v->kind->name, key);
}

static void do_put(struct values *v, const char *key)
{
    v->kind->put(v->store, key, v->value, v->size);
}

static void do_incr(struct values *v, const char *key)
{
    if (v->kind->incr(v->store, key) < 2) perf_die("%s: %s was not added to", v->kind->name, key);
}

static void do_hold(struct values *v, const char *key)
{
    v->kind->hold(v->store, key);
}

/* One function for all, in which the operation is known to the compiler. */
static inline __attribute__((always_inline)) void values_turn(struct values *v, struct perf_block *b,
                                                              void (*operation)(struct values *v, const char *key))
{
    char key[PERF_KEY_SIZE];

    perf_block_begin(b);
    do {
        for (unsigned i = 0; i < v->batch; i++) {
            next_key(v, key);
            operation(v, key);
        }
    } while (perf_block_did(b, v->batch));
    perf_block_end(b);
}

static void turn_get(void *state, struct perf_block *b)
{
    values_turn(state, b, do_get);
}

static void turn_put(void *state, struct perf_block *b)
{
    values_turn(state, b, do_put);
}

static void turn_incr(void *state, struct perf_block *b)
{
    values_turn(state, b, do_incr);
}

static void turn_hold(void *state, struct perf_block *b)
{
    values_turn(state, b, do_hold);
}

static void (*const turns[])(void *, struct perf_block *) = {
    [PERF_GET] = turn_get, [PERF_PUT] = turn_put, [PERF_INCR] = turn_incr, [PERF_HOLD] = turn_hold};

/* NULL: it is missing, or has no part in this. */
static struct values *values_make(const struct perf_store_kind *kind, const struct perf_store_use *use, enum perf_step step,
                                  struct perf_result *r)
{
    struct values *v;
    void *store;

    if (kind->only_changes && step == PERF_GET) return NULL;
    store = perf_store_make(kind, use, r);
    if (store == NULL) return NULL;
    v = calloc(1, sizeof *v);
    if (v == NULL) perf_die("out of memory");
    *v = (struct values){.kind = kind, .store = store, .count = use->count, .batch = kind->served ? 1 : BATCH, .size = use->size,
                         .next = 88172645463325252u};
    perf_body_make(v->value, use->size);
    return v;
}

/* Among as many keys; to put a million of them under valgrind takes minutes. */
static void count_step(const struct perf_case *c, struct perf_result *r)
{
    bool held = c->flag == PERF_HOLD; /* beside no others */
    struct perf_tables tables = {.values = held ? 0 : c->number};
    double instructions, lines;
    char why[160];

    if (c->size > 64 || c->number > (held ? FEW : COUNTED)) return;
    if (perf_step_count((enum perf_step)c->flag, tables, &instructions, &lines, why, sizeof why)) {
        perf_result_row(r, "", instructions, "instructions");
        perf_result_row(r, "", lines, "cache lines touched");
    } else {
        perf_result_missing(r, "instructions", "%s", why);
    }
}

static struct perf_contestant values_contestant(const char *name, const char *setting, struct values *v, enum perf_step step)
{
    return (struct perf_contestant){.name = name, .setting = setting, .state = v, .turn = turns[step]};
}

/* c->number keys with values of c->size bytes, or so many claims of others; c->flag: enum perf_step. */
void perf_case_values(const struct perf_case *c, struct perf_result *r)
{
    enum perf_step step = (enum perf_step)c->flag;
    int processor = perf_options.pinned ? perf_options.server : -1;
    struct perf_store_use use = {.count = c->number, .size = c->size, .held = step == PERF_HOLD, .processor = processor}, few = use;
    const struct perf_store_kind *const *kinds = perf_stores(r);
    struct perf_contestant all[STORES];
    size_t n = 1;

    count_step(c, r);
    perf_expect_end(false);
    all[n++] = (struct perf_contestant){.name = "raw", .state = perf_raw_open(processor), .turn = perf_raw_turn};
    for (size_t i = 0; kinds[i] != NULL; i++) {
        struct values *v = values_make(kinds[i], &use, step, r);
        if (v != NULL) all[i == 0 ? 0 : n++] = values_contestant(kinds[i]->name, kinds[i]->setting, v, step);
    }
    few.segment = 1;
    few.count = FEW;
    if (c->number != FEW)
        all[n++] = values_contestant("few", "the same with 100 keys", values_make(kinds[0], &few, step, r), step);
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_result_note(r, "each sample is the mean of %u where there is no server, of keys in no order; making the key is part of it",
                     BATCH);
    if (step == PERF_HOLD) perf_result_note(r, "a claim and its release together, beside %u claims that stay", c->number);
    perf_blocks(r, all, n);
}

/* ---- notice ----------------------------------------------------------------------------------------------------- */

struct notice {
    struct values *values;
    struct perf_control *control;
};

static void notice_watcher(void *arg)
{
    struct notice *n = arg;
    const struct perf_store_kind *kind = n->values->kind;
    void *watch = kind->watch(n->values->store);

    perf_ready(n->control);
    for (;;) {
        kind->told(watch);
        perf_told(n->control);
    }
}

static void change(void *arg)
{
    char key[PERF_KEY_SIZE];

    next_key(arg, key);
    do_put(arg, key);
}

static void turn_notice(void *state, struct perf_block *b)
{
    const struct notice *n = state;

    perf_tell_turn(n->control, change, n->values, b);
}

/* NULL: it is missing. */
static struct notice *notice_make(const struct perf_store_kind *kind, const struct perf_store_use *use, struct perf_result *r)
{
    struct values *v = kind->watch != NULL ? values_make(kind, use, PERF_PUT, r) : NULL;
    struct notice *n;

    if (kind->watch == NULL) perf_result_missing(r, kind->name, "tells nobody of a change");
    if (v == NULL) return NULL;
    n = calloc(1, sizeof *n);
    if (n == NULL) perf_die("out of memory");
    *n = (struct notice){.values = v, .control = perf_shared(sizeof *n->control)};
    perf_fork(use->processor, notice_watcher, n);
    perf_await_ready(n->control);
    return n;
}

void perf_case_notice(const struct perf_case *c, struct perf_result *r)
{
    int processor = perf_options.pinned ? perf_options.server : -1;
    struct perf_store_use use = {.count = c->number, .size = c->size, .processor = processor};
    const struct perf_store_kind *const *kinds = perf_stores(r);
    struct perf_contestant all[STORES];
    size_t n = 1;

    all[n++] = (struct perf_contestant){.name = "raw", .state = perf_raw_open(processor), .turn = perf_raw_turn};
    all[n++] = (struct perf_contestant){.name = "futex wake",
                                        .setting = "one FUTEX_WAKE of a sleeping process, until it runs",
                                        .state = perf_wake_open(processor),
                                        .turn = perf_wake_turn};
    for (size_t i = 0; kinds[i] != NULL; i++) {
        struct notice *notice = notice_make(kinds[i], &use, r);
        if (notice == NULL) continue;
        all[i == 0 ? 0 : n++] = (struct perf_contestant){
            .name = kinds[i]->name, .setting = kinds[i]->setting, .state = notice, .turn = turn_notice};
    }
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_result_note(r, "from the call of the put until the sleeping watcher has been told; the program spins meanwhile");
    perf_blocks(r, all, n);
}
