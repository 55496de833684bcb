/* agents/runtime/memory.c - see memory.h. */
#include "agents/runtime/memory.h"

#include <stdlib.h>
#include <string.h>

#include "core/apiary.h"
#include "core/invariant.h"
#include "core/name.h"

#define FIRST_BUCKETS 64u

struct ap_memory_row {
    struct ap_memory_row *next;
    uint64_t hash;
    size_t key_size, size; /* the key's NUL included */
    char bytes[];          /* key, value */
};

int ap_memory_open(struct ap_memory *m, size_t limit)
{
    *m = (struct ap_memory){.limit = limit, .bucket_count = FIRST_BUCKETS};
    m->buckets = calloc(m->bucket_count, sizeof *m->buckets);
    if (m->buckets == NULL) return APIARY_ENOBLOCK;
    pthread_mutex_init(&m->lock, NULL);
    return 0;
}

void ap_memory_close(struct ap_memory *m)
{
    if (m->buckets == NULL) return;
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct ap_memory_row *row = m->buckets[i], *next; row != NULL; row = next) {
            next = row->next;
            free(row);
        }
    }
    free(m->buckets);
    m->buckets = NULL;
    pthread_mutex_destroy(&m->lock);
}

static size_t memory_weight(size_t key_size, size_t size)
{
    return sizeof(struct ap_memory_row) + key_size + size;
}

static size_t key_size_of(const char *key) /* 0: not a key */
{
    size_t n = key != NULL ? strnlen(key, AP_MEMORY_KEY_MAX + 1) : 0;
    return n == 0 || n > AP_MEMORY_KEY_MAX ? 0 : n + 1;
}

/* Where the row is, or the end of its chain. */
static struct ap_memory_row **memory_find(struct ap_memory *m, const char *key, size_t key_size, uint64_t hash)
{
    struct ap_memory_row **at = &m->buckets[hash & (m->bucket_count - 1)];

    while (*at != NULL && ((*at)->hash != hash || (*at)->key_size != key_size || memcmp((*at)->bytes, key, key_size) != 0))
        at = &(*at)->next;
    return at;
}

static void grow(struct ap_memory *m)
{
    size_t count = m->bucket_count * 2;
    struct ap_memory_row **buckets;

    if (m->count < m->bucket_count) return;
    buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL) return; /* longer chains */
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct ap_memory_row *row = m->buckets[i], *next; row != NULL; row = next) {
            struct ap_memory_row **to = &buckets[row->hash & (count - 1)];
            next = row->next;
            row->next = *to;
            *to = row;
        }
    }
    free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
}

static void row_remove(struct ap_memory *m, struct ap_memory_row **at)
{
    struct ap_memory_row *row = *at;

    AP_ASSERT(m->count > 0 && m->used >= memory_weight(row->key_size, row->size));
    *at = row->next;
    m->used -= memory_weight(row->key_size, row->size);
    m->count--;
    free(row);
}

/* With the lock. */
static int row_put(struct ap_memory *m, struct ap_memory_row *row)
{
    struct ap_memory_row **at = memory_find(m, row->bytes, row->key_size, row->hash);
    size_t freed = *at != NULL ? memory_weight((*at)->key_size, (*at)->size) : 0;

    if (m->used - freed + memory_weight(row->key_size, row->size) > m->limit) return APIARY_ENOBLOCK;
    if (*at != NULL) row_remove(m, at);
    grow(m);
    at = &m->buckets[row->hash & (m->bucket_count - 1)];
    row->next = *at;
    *at = row;
    m->used += memory_weight(row->key_size, row->size);
    m->count++;
    return 0;
}

int ap_memory_put(struct ap_memory *m, const char *key, const void *value, size_t size)
{
    size_t key_size = key_size_of(key);
    struct ap_memory_row *row;
    int r;

    if (key_size == 0 || (value == NULL && size > 0)) return APIARY_EINVAL;
    if (size > m->limit || memory_weight(key_size, size) > m->limit) return APIARY_ETOOLARGE;
    row = malloc(memory_weight(key_size, size));
    if (row == NULL) return APIARY_ENOBLOCK;
    row->hash = ap_hash(key, key_size);
    row->key_size = key_size;
    row->size = size;
    memcpy(row->bytes, key, key_size);
    if (size > 0) memcpy(row->bytes + key_size, value, size);
    pthread_mutex_lock(&m->lock);
    r = row_put(m, row);
    pthread_mutex_unlock(&m->lock);
    if (r < 0) free(row);
    return r;
}

int64_t ap_memory_get(struct ap_memory *m, const char *key, void *value, size_t capacity)
{
    size_t key_size = key_size_of(key);
    int64_t r = APIARY_ESTALE;
    struct ap_memory_row *row;

    if (key_size == 0 || (value == NULL && capacity > 0)) return APIARY_EINVAL;
    pthread_mutex_lock(&m->lock);
    row = *memory_find(m, key, key_size, ap_hash(key, key_size));
    if (row != NULL) {
        size_t n = row->size < capacity ? row->size : capacity;
        if (n > 0) memcpy(value, row->bytes + row->key_size, n);
        r = (int64_t)row->size;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

int ap_memory_delete(struct ap_memory *m, const char *key)
{
    size_t key_size = key_size_of(key);
    struct ap_memory_row **at;
    int r = APIARY_ESTALE;

    if (key_size == 0) return APIARY_EINVAL;
    pthread_mutex_lock(&m->lock);
    at = memory_find(m, key, key_size, ap_hash(key, key_size));
    if (*at != NULL) {
        row_remove(m, at);
        r = 0;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}
