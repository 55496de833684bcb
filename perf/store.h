/* perf/store.h - what keeps values under keys, and tells who may do something alone: one file each, base_*.c.
 *
 * One client asks, in a process of its own; where there is a server it has the serving side's processor. A step that fails, or is
 * answered otherwise than it must be, ends the program.
 */
#ifndef PERF_STORE_H
#define PERF_STORE_H

#include "core/must_check.h"
#include "perf/perf.h"

#define PERF_KEY_SIZE 16
#define PERF_HELD_FOR 3600 /* s, a claim's time */

/* The use that a store is made for. */
struct perf_store_use {
    unsigned segment;     /* number of the segment, of those that have one */
    unsigned count;       /* keys */
    size_t size;          /* of each value */
    bool held;            /* they are claims */
    int processor;        /* of a server, -1: free */
};

struct perf_store_kind {
    const char *name;
    const char *setting; /* what it was set to, for the reader to judge */
    bool served;         /* each operation is a call of a server: a sample of its own */
    bool only_changes;   /* differs from another kind by what a change costs, and in nothing else */
    /* NULL: not to be had here, with the reason. */
    void *(*open)(const struct perf_store_use *use, char *why, size_t size);
    /* Before anything is measured: a value, or a claim that stays; and all of them are there. */
    void (*fill)(void *store, const char *key, const void *value, size_t size);
    void (*filled)(void *store);
    size_t (*get)(void *store, const char *key, void *value, size_t capacity); /* its size */
    void (*put)(void *store, const char *key, const void *value, size_t size);
    int64_t (*incr)(void *store, const char *key); /* by 1; the sum */
    void (*hold)(void *store, const char *key);    /* a claim that nobody else wants, and its release */
    /* In a process of its own: from its return on each put is told. NULL: nobody is told of anything. */
    void *(*watch)(void *store);
    void (*told)(void *watch); /* waits for the next put */
};

extern const struct perf_store_kind perf_store_apiary;
#ifdef PERF_REDIS
extern const struct perf_store_kind perf_store_redis;
#endif
#ifdef PERF_MEMCACHED
extern const struct perf_store_kind perf_store_memcached;
#endif
#ifdef PERF_LMDB
extern const struct perf_store_kind perf_store_lmdb, perf_store_lmdb_sync;
#endif

/* All of them, apiary first; ends with NULL. Those that were not built are missing in the result. */
const struct perf_store_kind *const *perf_stores(struct perf_result *r);
/* Opens and fills it: NULL, and it is missing in the result. */
void *perf_store_make(const struct perf_store_kind *kind, const struct perf_store_use *use, struct perf_result *r);
/* The key of that number; those that are claimed all the time have others. */
void perf_store_key(char key[PERF_KEY_SIZE], uint32_t number, bool held);

#endif
