/* agents/runtime/memory.h - a swarm's local memory: key/value in private memory, shared by the agents of one queen process.
 *
 * Any thread. Bounded in bytes (keys, values and rows). Nothing is evicted: when it is full, a put is refused.
 */
#ifndef AP_MEMORY_H
#define AP_MEMORY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "core/must_check.h"

#define AP_MEMORY_KEY_MAX 255u

struct ap_memory_row;

struct ap_memory {
    pthread_mutex_t lock;
    struct ap_memory_row **buckets;
    size_t bucket_count, count; /* a power of two */
    size_t used, limit;         /* bytes */
};

AP_MUST_CHECK int ap_memory_open(struct ap_memory *m, size_t limit); /* APIARY_ENOBLOCK */
void ap_memory_close(struct ap_memory *m);
/* APIARY_EINVAL (key), APIARY_ETOOLARGE (more than the whole bound), APIARY_ENOBLOCK (no room beside the other rows). */
AP_MUST_CHECK int ap_memory_put(struct ap_memory *m, const char *key, const void *value, size_t size);
int64_t ap_memory_get(struct ap_memory *m, const char *key, void *value, size_t capacity); /* APIARY_ESTALE: absent */
int ap_memory_delete(struct ap_memory *m, const char *key);                                /* APIARY_ESTALE: absent */

#endif
