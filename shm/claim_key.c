/* shm/claim_key.c - keys and numbers of claims. See claim.h. */
#include <string.h>

#include "shm/claim_key.h"

void ap_claim_counted(struct ap_segment *seg, uint32_t row, enum ap_claim_count count)
{
    if (ap_claim_at(seg, row) != NULL) ap_add_relaxed(&ap_claim_at(seg, row)->counts[count], 1);
}

uint64_t ap_claim_numbers_end(const struct ap_segment *seg)
{
    ap_store_relaxed(&ap_claim_at(seg, 0)->numbers, AP_CLAIM_NUMBERS - 1); /* it does not come round */
    return 0;
}

int ap_claim_key(const struct ap_segment *seg, const char *text, struct ap_claim_key *ret)
{
    return ap_claim_key_here(seg, text, ret);
}

bool ap_claim_key_valid(const struct ap_claim_key *key)
{
    char text[APIARY_CLAIM_KEY_MAX + 1];

    memcpy(text, key->words, key->size);
    for (uint32_t i = 0; i < key->size; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) return false;
    return true;
}
