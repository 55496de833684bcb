/* registry/discovery/names.h - an insert-only table of names in the segment: capabilities.
 *
 * LAYOUT    1 Open addressing, linear probing.
 *           2 A row begins with key (the name's hash, 0: free) and ready, and holds the name, padded with zeros to whole words.
 * LIFE      key 0 -> hash by CAS, then the name, then ready 0 -> 1. Constant afterwards; nothing is ever removed.
 * ORDERING  DISC-R1 ready store-release pairs DISC-A1 load-acquire: the name.
 * CRASH     A lane dies between key and ready: the next lane that interns the same name fills the row (same key, same bytes). Two
 *           lanes that fill a row at once store the same words.
 */
#ifndef AP_NAMES_H
#define AP_NAMES_H

#include <string.h>

#include "core/copy.h"
#include "core/must_check.h"
#include "shm/segment.h"

struct ap_names {
    uint32_t section;
    uint32_t offset; /* of the name in its row */
    uint32_t size;   /* of the name, its NUL included; a multiple of 8, at most 64 */
};

struct ap_names_row {
    uint64_t key;
    uint32_t ready;
};

/* Where the search for a key begins. */
static inline uint64_t ap_names_first(uint64_t key, uint64_t count)
{
    return (count & (count - 1)) == 0 ? key & (count - 1) : key % count;
}
/* Index of the name whose ap_hash is given, or -1. */
AP_ALWAYS_INLINE int ap_names_find(const struct ap_segment *seg, const struct ap_names *t, const char *name, size_t length,
                                   uint64_t hash)
{
    const struct ap_place *rows = &seg->places[t->section];
    uint64_t stride = rows->stride, at, key;

    if (length == 0 || length >= t->size || rows->count == 0) return -1;
    at = ap_names_first(hash, rows->count);
    for (uint64_t n = 0; n < rows->count; n++, at = at + 1 < rows->count ? at + 1 : 0) {
        const struct ap_names_row *row = (const void *)(rows->at + at * stride);
        const char *stored = (const char *)row + t->offset;

        ap_prefetch_read(stored + length); /* a long name ends in another line than the key's */
        key = ap_load_relaxed(&row->key);
        /* A ready row's name is constant. DISC-A1 pairs DISC-R1 */
        if (__builtin_expect(key == hash && ap_load_acquire(&row->ready) == 1, 1) && ap_same_small(stored, name, length) &&
            stored[length] == '\0')
            return (int)at;
        if (key == 0) return -1;
    }
    return -1;
}
/* Index of a name, inserted when absent: APIARY_ETABLEFULL. The caller has validated the name. */
AP_MUST_CHECK int ap_names_intern(struct ap_segment *seg, const struct ap_names *table, const char *name, uint32_t *ret);
#endif
