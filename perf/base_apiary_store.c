/* perf/base_apiary_store.c - the memory of a segment, and its claims. */
#include <stdlib.h>

#include "perf/store.h"
#include "registry/memory/memory.h"

#define SPARE 1024u      /* values beyond the keys, at least: one that is put has its row beside the one of before */
#define INSIDE 256u      /* a value of so many bytes fits in beside its key */
#define CLAIMS_MAX 65535u
#define MINUTE UINT64_C(60000000000)

struct store {
    struct perf_store_use use;
    apiary_t *a;
    apiary_memory_t *m;
};

/* A third of the rows of values is free, and half of those of claims: a change looks for one in turn, so in a table that is all but
 * full it would look at as many as there are for each that is free. */
static void *base_apiary_store_open(const struct perf_store_use *use, char *why, size_t size)
{
    struct ap_geometry g = {.kept_share = 100, .member_share = 100};
    struct store *s = calloc(1, sizeof *s);
    unsigned spare;

    (void)why;
    (void)size;
    if (s == NULL) perf_die("out of memory");
    s->use = *use;
    spare = SPARE + use->count / 2;
    if (use->held) g.claims = use->count < CLAIMS_MAX / 2 ? 2 * use->count : CLAIMS_MAX;
    else g.registry[AP_REGISTRY_INDEX(VALUES)] = use->count + spare;
    if (use->size > INSIDE) {
        unsigned class = 0;
        while (ap_pool_class_size[class] < use->size) class++;
        for (unsigned i = 0; i < AP_POOL_CLASSES; i++) g.pool_blocks[i] = i == class ? use->count + spare : 4;
    }
    perf_segment_make(use->segment, &g, 0, 0);
    s->a = perf_attach(use->segment, NULL);
    perf_must(apiary_memory_open(s->a, "perf", 0, &s->m), "memory");
    return s;
}

static void base_apiary_store_put(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;

    perf_must(apiary_memory_put(s->m, key, value, size, 0, NULL), "put");
}

static void base_apiary_store_fill(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;
    apiary_claim_t claim = {.struct_size = sizeof claim};

    if (s->use.held) perf_must(apiary_claim(s->a, key, PERF_HELD_FOR * UINT64_C(1000000000), NULL, &claim), "claim");
    else base_apiary_store_put(store, key, value, size);
}

static size_t base_apiary_store_get(void *store, const char *key, void *value, size_t capacity)
{
    struct store *s = store;
    apiary_memory_value_t got = {.struct_size = sizeof got};

    perf_must(apiary_memory_get(s->m, key, value, capacity, &got), "get");
    return got.size;
}

static int64_t base_apiary_store_incr(void *store, const char *key)
{
    struct store *s = store;
    int64_t sum;

    perf_must(apiary_memory_incr(s->m, key, 1, &sum), "incr");
    return sum;
}

static void base_apiary_store_hold(void *store, const char *key)
{
    struct store *s = store;
    apiary_claim_t claim = {.struct_size = sizeof claim};

    perf_must(apiary_claim(s->a, key, MINUTE, NULL, &claim), "claim");
    perf_must(apiary_claim_release(s->a, key, claim.token), "release");
}

/* In another process than the one that opened the store: it attaches itself. */
static void *base_apiary_store_watch(void *store)
{
    const struct store *s = store;
    apiary_memory_change_t change = {.struct_size = sizeof change};
    apiary_t *a = perf_attach(s->use.segment, NULL);
    apiary_memory_watch_t *w;
    apiary_memory_t *m;

    perf_must(apiary_memory_open(a, "perf", 0, &m), "memory");
    perf_must(apiary_memory_watch(m, "", 0, &w), "watch");
    do perf_must(apiary_memory_next_change(w, APIARY_FOREVER, &change), "watch");
    while (change.event != APIARY_MEMORY_SYNCED);
    return w;
}

static void base_apiary_store_told(void *watch)
{
    apiary_memory_change_t change = {.struct_size = sizeof change};

    perf_must(apiary_memory_next_change(watch, APIARY_FOREVER, &change), "watch");
    if (change.event != APIARY_MEMORY_PUT) perf_die("the watch told event %llu", (unsigned long long)change.event);
}

const struct perf_store_kind perf_store_apiary = {.name = "apiary",
                                                  .setting = "default segment, with room for the values or claims",
                                                  .open = base_apiary_store_open,
                                                  .fill = base_apiary_store_fill,
                                                  .get = base_apiary_store_get,
                                                  .put = base_apiary_store_put,
                                                  .incr = base_apiary_store_incr,
                                                  .hold = base_apiary_store_hold,
                                                  .watch = base_apiary_store_watch,
                                                  .told = base_apiary_store_told};
