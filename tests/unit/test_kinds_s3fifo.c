/* tests/unit/test_kinds_s3fifo.c - the cache's bounds, expiry and policy, and its truth against a plain table. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents/kinds/s3fifo.h"
#include "core/apiary.h"

static size_t taken, most_taken;
static bool refuse;

static void *take(void *user, size_t size)
{
    (void)user;
    if (refuse) return NULL;
    size_t *block = malloc(sizeof(max_align_t) + size);
    *block = size;
    taken += size;
    if (taken > most_taken) most_taken = taken;
    return (char *)block + sizeof(max_align_t);
}

static void give(void *user, void *block)
{
    (void)user;
    size_t *start = (void *)((char *)block - sizeof(max_align_t));
    taken -= *start;
    free(start);
}

static struct ap_s3fifo *open_cache(size_t capacity)
{
    const struct ap_s3fifo_memory memory = {take, give, NULL};
    struct ap_s3fifo *cache = NULL;
    cr_assert_eq(ap_s3fifo_create(&memory, capacity, &cache), 0);
    return cache;
}

static void close_cache(struct ap_s3fifo *cache)
{
    cr_assert_eq(ap_s3fifo_verify(cache), 0);
    ap_s3fifo_destroy(cache);
    cr_assert_eq(taken, 0, "%zu bytes are left", taken);
}

static bool has(struct ap_s3fifo *cache, const char *key, uint64_t now)
{
    const void *value;
    size_t size;
    return ap_s3fifo_lookup(cache, key, strlen(key), now, &value, &size, NULL) == 1;
}

static int put(struct ap_s3fifo *cache, const char *key, const char *value, uint64_t now, uint64_t expires)
{
    return ap_s3fifo_insert(cache, key, strlen(key), value, strlen(value), now, expires);
}

static struct ap_s3fifo_stats stats_of(const struct ap_s3fifo *cache)
{
    struct ap_s3fifo_stats s;
    ap_s3fifo_stats(cache, &s);
    return s;
}

Test(s3fifo, gives_back_what_was_put)
{
    struct ap_s3fifo *cache = open_cache(64 * 1024);
    const void *value;
    size_t size;
    uint64_t expires = 0;
    cr_assert_eq(put(cache, "a", "one", 1, AP_S3FIFO_NEVER), 0);
    cr_assert_eq(put(cache, "", "no key", 1, 50), 0);
    cr_assert_eq(ap_s3fifo_lookup(cache, "a", 1, 2, &value, &size, &expires), 1);
    cr_assert_eq(size, 3);
    cr_assert_eq(memcmp(value, "one", 3), 0);
    cr_assert_eq(expires, AP_S3FIFO_NEVER);
    cr_assert_eq(ap_s3fifo_lookup(cache, "", 0, 2, &value, &size, &expires), 1);
    cr_assert_eq(expires, 50);
    cr_assert_eq(put(cache, "a", "", 3, AP_S3FIFO_NEVER), 0);
    cr_assert_eq(ap_s3fifo_lookup(cache, "a", 1, 4, &value, &size, NULL), 1);
    cr_assert_eq(size, 0);
    cr_assert_eq(ap_s3fifo_delete(cache, "a", 1, 5), 1);
    cr_assert_eq(ap_s3fifo_delete(cache, "a", 1, 5), 0);
    cr_assert(!has(cache, "a", 6));
    struct ap_s3fifo_stats s = stats_of(cache);
    cr_assert_eq(s.hits, 3);
    cr_assert_eq(s.misses, 1);
    cr_assert_eq(s.inserts, 2);
    cr_assert_eq(s.updates, 1);
    cr_assert_eq(s.deletes, 1);
    cr_assert_eq(s.entries, 1);
    close_cache(cache);
}

Test(s3fifo, refuses_bad_sizes_and_survives_missing_memory)
{
    const struct ap_s3fifo_memory memory = {take, give, NULL};
    struct ap_s3fifo *cache = NULL;
    cr_assert_eq(ap_s3fifo_create(&memory, AP_S3FIFO_SMALLEST - 1, &cache), APIARY_EINVAL);
    refuse = true;
    cr_assert_eq(ap_s3fifo_create(&memory, 1 << 20, &cache), APIARY_ENOBLOCK);
    refuse = false;
    cr_assert_null(cache);
    cr_assert_eq(taken, 0);
    cache = open_cache(AP_S3FIFO_SMALLEST);
    cr_assert_eq(put(cache, "k", "old", 1, AP_S3FIFO_NEVER), 0);
    refuse = true;
    cr_assert_eq(put(cache, "k", "new", 1, AP_S3FIFO_NEVER), APIARY_ENOBLOCK);
    refuse = false;
    cr_assert(!has(cache, "k", 2), "the old value is stale");
    close_cache(cache);
}

Test(s3fifo, an_entry_larger_than_the_cache_is_refused_and_evicts_nothing)
{
    struct ap_s3fifo *cache = open_cache(16 * 1024);
    char *huge = calloc(1, 32 * 1024);
    cr_assert_eq(put(cache, "small", "x", 1, AP_S3FIFO_NEVER), 0);
    size_t largest = stats_of(cache).largest_entry;
    cr_assert_eq(ap_s3fifo_insert(cache, "h", 1, huge, largest, 1, AP_S3FIFO_NEVER), APIARY_ETOOLARGE);
    cr_assert(has(cache, "small", 2));
    cr_assert_eq(ap_s3fifo_insert(cache, "h", 1, huge, largest - 1, 1, AP_S3FIFO_NEVER), 0);
    cr_assert(has(cache, "h", 2));
    cr_assert(!has(cache, "small", 2));
    cr_assert_eq(ap_s3fifo_insert(cache, "h", 1, huge, SIZE_MAX - 8, 1, AP_S3FIFO_NEVER), APIARY_ETOOLARGE);
    free(huge);
    close_cache(cache);
}

Test(s3fifo, memory_never_exceeds_the_bound)
{
    enum { CAPACITY = 256 * 1024 };
    struct ap_s3fifo *cache = open_cache(CAPACITY);
    char value[2000] = {0}, key[32];
    for (unsigned i = 0; i < 20000; i++) {
        int n = snprintf(key, sizeof key, "key-%u", i * 7919 % 5000);
        cr_assert_eq(ap_s3fifo_insert(cache, key, (size_t)n, value, i * 31 % sizeof value, i, AP_S3FIFO_NEVER), 0);
        if (i % 3 == 0) has(cache, "key-1", i);
    }
    cr_assert_leq(most_taken, CAPACITY, "%zu bytes were taken", most_taken);
    struct ap_s3fifo_stats s = stats_of(cache);
    cr_assert_eq(s.bytes, taken);
    cr_assert_gt(s.bytes, CAPACITY / 10 * 9, "only %zu bytes are used", s.bytes);
    close_cache(cache);
}

Test(s3fifo, expired_entries_are_never_returned)
{
    struct ap_s3fifo *cache = open_cache(64 * 1024);
    cr_assert_eq(put(cache, "a", "x", 0, 10), 0);
    cr_assert(has(cache, "a", 9));
    cr_assert(!has(cache, "a", 10));
    cr_assert_eq(stats_of(cache).entries, 0);
    cr_assert_eq(stats_of(cache).expired, 1);
    cr_assert_eq(put(cache, "a", "x", 10, 20), 0);
    cr_assert_eq(ap_s3fifo_delete(cache, "a", 1, 20), 0, "an expired entry is not there to be deleted");
    cr_assert_eq(put(cache, "a", "x", 20, 25), 0);
    cr_assert_eq(put(cache, "a", "y", 21, 40), 0); /* a new life with a new value */
    cr_assert(has(cache, "a", 30));
    close_cache(cache);
}

Test(s3fifo, expired_entries_make_room_before_living_ones_are_counted_as_evicted)
{
    struct ap_s3fifo *cache = open_cache(AP_S3FIFO_SMALLEST);
    char key[16], value[200] = {0};
    for (int i = 0; i < 200; i++) {
        int n = snprintf(key, sizeof key, "k%d", i);
        cr_assert_eq(
            ap_s3fifo_insert(cache, key, (size_t)n, value, sizeof value, (uint64_t)i * 100, (uint64_t)i * 100 + 1), 0);
    }
    cr_assert_eq(stats_of(cache).evicted, 0);
    cr_assert_gt(stats_of(cache).expired, 100);
    close_cache(cache);
}

/* The hot keys are asked for now and then, a scan of one-time keys ten times the cache passes by. */
Test(s3fifo, a_scan_does_not_push_out_what_is_used)
{
    enum { HOT = 200, SCAN = 20000 };
    struct ap_s3fifo *cache = open_cache(128 * 1024);
    char key[32], value[100] = {0};
    int kept = 0;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < HOT; i++) {
            snprintf(key, sizeof key, "hot-%d", i);
            if (!has(cache, key, 1)) ap_s3fifo_insert(cache, key, strlen(key), value, sizeof value, 1, AP_S3FIFO_NEVER);
        }
    for (int i = 0; i < SCAN; i++) {
        snprintf(key, sizeof key, "scan-%d", i);
        cr_assert_eq(ap_s3fifo_insert(cache, key, strlen(key), value, sizeof value, 2, AP_S3FIFO_NEVER), 0);
    }
    for (int i = 0; i < HOT; i++) {
        snprintf(key, sizeof key, "hot-%d", i);
        kept += has(cache, key, 3);
    }
    cr_assert_eq(kept, HOT, "%d of %d are left", kept, HOT);
    close_cache(cache);
}

Test(s3fifo, a_key_that_comes_back_soon_goes_to_the_main_queue)
{
    struct ap_s3fifo *cache = open_cache(64 * 1024);
    char key[32], value[400] = {0};
    for (int i = 0; stats_of(cache).evicted < 5; i++) {
        snprintf(key, sizeof key, "k%d", i);
        cr_assert_eq(ap_s3fifo_insert(cache, key, strlen(key), value, sizeof value, 1, AP_S3FIFO_NEVER), 0);
    }
    cr_assert(!has(cache, "k0", 1));
    cr_assert_eq(stats_of(cache).ghost_hits, 0);
    cr_assert_eq(ap_s3fifo_insert(cache, "k0", 2, value, sizeof value, 1, AP_S3FIFO_NEVER), 0);
    cr_assert_eq(stats_of(cache).ghost_hits, 1);
    cr_assert_eq(stats_of(cache).main_entries, 1);
    close_cache(cache);
}

/* All keys are asked for often enough to be promoted, so that the main queue would take everything if it could. */
Test(s3fifo, the_small_queue_keeps_its_tenth)
{
    enum { CAPACITY = 1 << 20 };
    struct ap_s3fifo *cache = open_cache(CAPACITY);
    char key[32], value[500] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        cr_assert_eq(ap_s3fifo_insert(cache, key, strlen(key), value, sizeof value, 1, AP_S3FIFO_NEVER), 0);
        cr_assert(has(cache, key, 1) && has(cache, key, 1));
    }
    struct ap_s3fifo_stats s = stats_of(cache);
    cr_assert_gt(s.promoted, 10000);
    cr_assert(s.small_bytes > CAPACITY / 20 && s.small_bytes <= CAPACITY / 10, "%zu bytes", s.small_bytes);
    cr_assert_gt(s.main_bytes, CAPACITY / 10 * 8, "%zu bytes", s.main_bytes);
    close_cache(cache);
}

/* ---- against a plain table: what is found must be what was put last and has not expired; nothing deleted comes back  */

enum { KEYS = 400 };

struct model {
    bool put;
    unsigned version;
    size_t size;
    uint64_t expires;
};

static uint64_t next(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void step(struct ap_s3fifo *cache, struct model *model, uint64_t *seed, uint64_t now, char *value)
{
    unsigned k = (unsigned)(next(seed) % KEYS);
    struct model *m = &model[k];
    const void *found;
    size_t size;
    uint64_t expires;
    bool lives = m->put && m->expires > now;
    switch (next(seed) % 10) {
    case 0:
        if (ap_s3fifo_delete(cache, &k, sizeof k, now))
            cr_assert(lives, "key %u was deleted, but should not have been there", k);
        m->put = false;
        break;
    case 1:
    case 2:
    case 3:
        *m = (struct model){true, m->version + 1, next(seed) % 900,
                            next(seed) % 4 ? AP_S3FIFO_NEVER : now + next(seed) % 300};
        memset(value, (int)(k + m->version) & 255, m->size);
        cr_assert_eq(ap_s3fifo_insert(cache, &k, sizeof k, value, m->size, now, m->expires), 0);
        break;
    default:
        if (!ap_s3fifo_lookup(cache, &k, sizeof k, now, &found, &size, &expires))
            break; /* evicted, which a cache may */
        cr_assert(lives, "key %u is there, but was deleted or has expired", k);
        cr_assert_eq(size, m->size);
        cr_assert_eq(expires, m->expires);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(((const unsigned char *)found)[i], (k + m->version) & 255, "key %u has another value", k);
    }
}

Test(s3fifo, tells_the_truth_under_random_use)
{
    const char *given = getenv("APIARY_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u, start = seed;
    printf("seed %llu (APIARY_SEED repeats it)\n", (unsigned long long)start);
    fflush(stdout);
    for (int round = 0; round < 8; round++) {
        struct model model[KEYS] = {{0}};
        char value[1024];
        size_t capacity = AP_S3FIFO_SMALLEST + next(&seed) % 200000;
        struct ap_s3fifo *cache = open_cache(capacity);
        most_taken = 0;
        for (uint64_t now = 0; now < 20000; now++) {
            step(cache, model, &seed, now, value);
            if (now % 500 == 0)
                cr_assert_eq(ap_s3fifo_verify(cache), 0, "seed %llu, round %d, step %llu", (unsigned long long)start,
                             round, (unsigned long long)now);
        }
        cr_assert_leq(most_taken, capacity);
        struct ap_s3fifo_stats s = stats_of(cache);
        cr_assert_eq(s.bytes, taken);
        cr_assert_eq(s.inserts, s.entries + s.evicted + s.expired + s.deletes, "entries are lost: seed %llu",
                     (unsigned long long)start);
        cr_assert_gt(s.hits, 100);
        close_cache(cache);
    }
}
