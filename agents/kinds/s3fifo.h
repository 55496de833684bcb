/* agents/kinds/s3fifo.h - a cache of bounded memory with the S3-FIFO eviction policy; process-private, one thread.
 *
 * After J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.
 *
 * QUEUES    1 There are three FIFO queues. New entries go to the small one (10 % of the memory).
 *           2 At its end, an entry that was asked for more than once moves to the main queue (90 %). Any other leaves only a
 *           fingerprint in the ghost queue.
 *           3 A key that is found in the ghost queue goes to the main queue when it comes back.
 *           4 The main queue gives entries that were asked for another round.
 *           5 A hit only raises a 2-bit counter. So a scan of one-time keys passes through the small queue and cannot empty the
 *           main one.
 * BOUND     `capacity` bounds everything: keys, values, the entries' own headers, the table and the ghosts. All of it is taken
 *           from the given allocator, whose own rounding is not counted.
 * EXPIRY    An expired entry is never returned. It is dropped when a lookup meets it or when it reaches the end of a queue. Times
 *           are the caller's, in any unit, and only grow.
 */
#ifndef AP_KINDS_S3FIFO_H
#define AP_KINDS_S3FIFO_H

#include <stddef.h>
#include <stdint.h>

struct ap_s3fifo_memory {
    void *(*take)(void *user, size_t size); /* NULL when there is none */
    void (*give)(void *user, void *block);
    void *user;
};

struct ap_s3fifo_stats {
    uint64_t hits, misses, inserts, updates, deletes, expired, too_large;
    uint64_t evicted, evicted_unread; /* evicted for room; of those, never asked for */
    uint64_t ghost_hits;              /* inserted straight into the main queue */
    uint64_t promoted;                /* small -> main */
    size_t entries, small_entries, main_entries;
    size_t bytes, small_bytes, main_bytes; /* bytes: with the tables */
    size_t capacity, largest_entry;        /* largest_entry: key + value */
};

#define AP_S3FIFO_NEVER UINT64_MAX /* an entry that does not expire */
#define AP_S3FIFO_SMALLEST 8192    /* the least capacity */

struct ap_s3fifo;

/* APIARY_EINVAL (capacity), APIARY_ENOBLOCK. */
int ap_s3fifo_create(const struct ap_s3fifo_memory *memory, size_t capacity, struct ap_s3fifo **ret);
void ap_s3fifo_destroy(struct ap_s3fifo *cache);

/* 1 and the value (valid until the next call that changes the cache), or 0. `expires` may be NULL. */
int ap_s3fifo_lookup(struct ap_s3fifo *cache, const void *key, size_t key_size, uint64_t now, const void **value,
                     size_t *value_size, uint64_t *expires);
/* Inserts or replaces. APIARY_ETOOLARGE, APIARY_ENOBLOCK: then an old value of the key is gone, so it is never stale. */
int ap_s3fifo_insert(struct ap_s3fifo *cache, const void *key, size_t key_size, const void *value, size_t value_size,
                     uint64_t now, uint64_t expires);
int ap_s3fifo_delete(struct ap_s3fifo *cache, const void *key, size_t key_size, uint64_t now); /* 1 it was there, 0 */
void ap_s3fifo_stats(const struct ap_s3fifo *cache, struct ap_s3fifo_stats *ret);

/* Walks everything and compares it with the counts: 0, or the number of the first contradiction. For tests. */
int ap_s3fifo_verify(const struct ap_s3fifo *cache);

#endif
