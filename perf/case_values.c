/* perf/case_values.c - get, put: a value of the segment's memory, of few keys and of many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/perf.h"
#include "registry/memory/memory.h"

#define BATCH 16u
#define FEW 100u
#define SPARE 1024u /* values beyond the keys: one that is put has its row beside the one of before */

struct values {
    unsigned segment, count;
    size_t size;
    uint64_t next; /* of a sequence in no order that a prefetcher would guess */
    apiary_t *a;
    apiary_memory_t *m;
    char value[APIARY_MEMORY_VALUE_MAX];
};

static void key_make(char key[16], uint32_t number)
{
    memcpy(key, "key:00000000", 13);
    for (unsigned i = 11; number > 0; i--, number /= 10) key[i] = (char)('0' + number % 10);
}

static struct values *values_make(unsigned segment, unsigned count, size_t size)
{
    struct ap_geometry g = {.registry = {[AP_REGISTRY_INDEX(VALUES)] = count + SPARE}};
    struct values *v = calloc(1, sizeof *v);
    char key[16];

    if (v == NULL) perf_die("out of memory");
    *v = (struct values){.segment = segment, .count = count, .size = size, .next = 88172645463325252u};
    perf_body_make(v->value, size);
    perf_segment_make(segment, &g, 0, 0);
    v->a = perf_attach(segment, NULL);
    perf_must(apiary_memory_open(v->a, "perf", 0, &v->m), "memory");
    for (uint32_t i = 0; i < count; i++) {
        key_make(key, i);
        perf_must(apiary_memory_put(v->m, key, v->value, size, 0, NULL), "put");
    }
    return v;
}

static void next_key(struct values *v, char key[16])
{
    uint64_t x = v->next;

    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    v->next = x;
    key_make(key, (uint32_t)(x % v->count));
}

static void turn_get(void *state, struct perf_block *b)
{
    struct values *v = state;
    apiary_memory_value_t value = {.struct_size = sizeof value};
    char key[16], got[APIARY_MEMORY_VALUE_MAX];

    perf_block_begin(b);
    do {
        for (unsigned i = 0; i < BATCH; i++) {
            next_key(v, key);
            perf_must(apiary_memory_get(v->m, key, got, sizeof got, &value), "get");
            if (value.size != v->size) perf_die("%s has %zu bytes", key, value.size);
        }
    } while (perf_block_did(b, BATCH));
    perf_block_end(b);
}

static void turn_put(void *state, struct perf_block *b)
{
    struct values *v = state;
    char key[16];

    perf_block_begin(b);
    do {
        for (unsigned i = 0; i < BATCH; i++) {
            next_key(v, key);
            perf_must(apiary_memory_put(v->m, key, v->value, v->size, 0, NULL), "put");
        }
    } while (perf_block_did(b, BATCH));
    perf_block_end(b);
}

/* c->number keys with values of c->size bytes; c->flag: they are put. */
void perf_case_values(const struct perf_case *c, struct perf_result *r)
{
    void (*turn)(void *, struct perf_block *) = c->flag != 0 ? turn_put : turn_get;
    struct perf_contestant all[3] = {{.name = "apiary", .turn = turn}, {.name = "raw", .turn = perf_raw_turn}};
    size_t n = 2;

    all[0].state = values_make(0, c->number, c->size);
    all[1].state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    if (c->number != FEW)
        all[n++] = (struct perf_contestant){.name = "few", .setting = "the same with 100 keys",
                                            .state = values_make(1, FEW, c->size), .turn = turn};
    perf_expect_end(false);
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_result_note(r, "each sample is the mean of %u, of keys in no order; making the key is part of it", BATCH);
    perf_result_note(r, "not compared with Redis, memcached or LMDB");
    perf_blocks(r, all, n);
}
