/* core/hash.h - ap_hash (core/name.h) without a call, for a lookup; it brings all of xxHash into the file that includes it. */
#ifndef AP_HASH_H
#define AP_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t ap_hash_here(const void *bytes, size_t size)
{
    uint64_t h = XXH3_64bits(bytes, size);

    return h != 0 ? h : 1; /* 0 marks a free row */
}

#endif
