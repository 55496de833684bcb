/* shm/claim_key.c - keys and numbers of claims. See claim.h. */
#include <string.h>

#include "core/copy.h"
#include "core/hash.h"
#include "shm/claim.h"

void ap_claim_counted(struct ap_segment *seg, uint32_t row, enum ap_claim_count count)
{
    if (ap_claim_at(seg, row) != NULL) ap_add_relaxed(&ap_claim_at(seg, row)->counts[count], 1);
}

uint64_t ap_claim_number(const struct ap_segment *seg)
{
    uint64_t number = ap_add_acq_rel(&ap_claim_at(seg, 0)->numbers, 1) + 1;

    if (__builtin_expect(number < AP_CLAIM_NUMBERS, 1)) return number;
    ap_store_relaxed(&ap_claim_at(seg, 0)->numbers, AP_CLAIM_NUMBERS - 1); /* it does not come round */
    return 0;
}

/* The last bytes of a text, up to seven, as a word. */
static uint64_t key_tail(const char *text, size_t size)
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

int ap_claim_key(const struct ap_segment *seg, const char *text, struct ap_claim_key *ret)
{
    size_t size = text != NULL ? strnlen(text, APIARY_CLAIM_KEY_MAX + 1) : 0;

    if (size == 0 || size > APIARY_CLAIM_KEY_MAX) return APIARY_EINVAL;
    for (size_t i = 0; i < size / 8; i++) memcpy(&ret->words[i], text + 8 * i, 8);
    ret->words[size / 8] = key_tail(text, size);
    ret->size = (uint32_t)size;
    ret->hash = ap_hash_here(text, size);
    ret->home = (uint32_t)(ret->hash % seg->places[AP_SECTION_CLAIMS].count);
    return 0;
}

bool ap_claim_key_valid(const struct ap_claim_key *key)
{
    char text[APIARY_CLAIM_KEY_MAX + 1];

    memcpy(text, key->words, key->size);
    for (uint32_t i = 0; i < key->size; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) return false;
    return true;
}

bool ap_claim_is(const struct ap_claim *row, const char *key)
{
    size_t size = strnlen(key, APIARY_CLAIM_KEY_MAX + 1);
    uint64_t word;

    if (ap_load_relaxed(&row->size) != size || size > APIARY_CLAIM_KEY_MAX) return false;
    for (size_t i = 0; i < size / 8; i++) {
        memcpy(&word, key + 8 * i, 8);
        if (ap_load_relaxed(&row->key[i]) != word) return false;
    }
    return ap_load_relaxed(&row->key[size / 8]) == key_tail(key, size);
}
