/* perf/store.c - see store.h. */
#include "perf/store.h"

#include <string.h>

static const struct perf_store_kind *const kinds[] = {
    &perf_store_apiary,
#ifdef PERF_REDIS
    &perf_store_redis,
#endif
#ifdef PERF_MEMCACHED
    &perf_store_memcached,
#endif
#ifdef PERF_LMDB
    &perf_store_lmdb,
    &perf_store_lmdb_sync,
#endif
    NULL,
};

const struct perf_store_kind *const *perf_stores(struct perf_result *r)
{
#ifndef PERF_REDIS
    perf_result_missing(r, "redis", "libhiredis-dev or redis-server was not there when this was built");
#endif
#ifndef PERF_MEMCACHED
    perf_result_missing(r, "memcached", "libmemcached-dev or memcached was not there when this was built");
#endif
#ifndef PERF_LMDB
    perf_result_missing(r, "lmdb", "liblmdb-dev was not there when this was built");
#endif
    (void)r;
    return kinds;
}

void perf_store_key(char key[PERF_KEY_SIZE], uint32_t number, bool held)
{
    memcpy(key, held ? "was:00000000" : "key:00000000", 13);
    for (unsigned i = 11; number > 0; i--, number /= 10) key[i] = (char)('0' + number % 10);
}

void *perf_store_make(const struct perf_store_kind *kind, const struct perf_store_use *use, struct perf_result *r)
{
    static char value[APIARY_MEMORY_VALUE_MAX];
    char why[160] = "", key[PERF_KEY_SIZE];
    void *store = kind->open(use, why, sizeof why);

    if (store == NULL) {
        perf_result_missing(r, kind->name, "%s", why);
        return NULL;
    }
    perf_body_make(value, use->size);
    if (use->size == 1) value[0] = '1'; /* a number */
    for (uint32_t i = 0; i < use->count; i++) {
        perf_store_key(key, i, use->held);
        kind->fill(store, key, value, use->size);
    }
    if (kind->filled != NULL) kind->filled(store);
    return store;
}
