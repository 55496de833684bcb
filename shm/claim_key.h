/* shm/claim_key.h - keys of claims without a call, for who claims and who shows a token; it brings all of xxHash into the file that
 * includes it. See claim.h. */
#ifndef AP_CLAIM_KEY_H
#define AP_CLAIM_KEY_H

#include <string.h>

#include "core/copy.h"
#include "core/hash.h"
#include "shm/claim.h"

/* The last bytes of a text, up to seven, as a word. */
AP_ALWAYS_INLINE uint64_t ap_claim_key_tail(const char *text, size_t size)
{
    uint64_t word = 0;

    if (size % 8 == 0) return 0;
    if (size < 8) {
        ap_copy_small(&word, text, size);
        return word;
    }
    memcpy(&word, text + size - 8, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word >> (8 - size % 8) * 8;
#else
    return word << (8 - size % 8) * 8;
#endif
}

AP_ALWAYS_INLINE int ap_claim_key_here(const struct ap_segment *seg, const char *text, struct ap_claim_key *ret)
{
    size_t size = text != NULL ? strlen(text) : 0;

    if (size - 1 >= APIARY_CLAIM_KEY_MAX) return APIARY_EINVAL;
    for (size_t i = 0; i < size / 8; i++) memcpy(&ret->words[i], text + 8 * i, 8);
    ret->words[size / 8] = ap_claim_key_tail(text, size);
    ret->size = (uint32_t)size;
    ret->hash = ap_hash_here(text, size);
    ret->home = (uint32_t)(ret->hash % seg->places[AP_SECTION_CLAIMS].count);
    return 0;
}

/* Whether the row has this key. */
AP_ALWAYS_INLINE bool ap_claim_is(const struct ap_claim *row, const char *key)
{
    size_t size = strlen(key);
    uint64_t word;

    if (ap_load_relaxed(&row->size) != size || size > APIARY_CLAIM_KEY_MAX) return false;
    for (size_t i = 0; i < size / 8; i++) {
        memcpy(&word, key + 8 * i, 8);
        if (ap_load_relaxed(&row->key[i]) != word) return false;
    }
    return ap_load_relaxed(&row->key[size / 8]) == ap_claim_key_tail(key, size);
}

#endif
