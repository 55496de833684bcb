/* shm/claim_look.c - what observers see of claims. See claim.h. */
#include <string.h>

#include "shm/claim_inside.h"

static uint32_t line_length(const struct ap_segment *seg, const struct ap_claim *row)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);

        n += lane_awaits(seg, lane, ap_load_relaxed(&lane->waits), row);
    }
    return n;
}

/* All but how many wait. */
static bool claim_seen(const struct ap_segment *seg, uint32_t index, struct ap_claim_view *ret)
{
    const struct ap_claim *row = ap_claim_at(seg, index);
    uint64_t word, words[AP_CLAIM_WORDS], until;

    if (row == NULL) return false;
    do {
        word = ap_load_acquire(&row->word); /* CLAIM-A1 pairs CLAIM-R1 */
        if (AP_CLAIM_STATE(word) != AP_CLAIM_HELD) return false;
        claim_view(row, word, index, ret);
        until = ap_load_relaxed(&row->until);
        for (uint32_t i = 0; i < AP_CLAIM_WORDS; i++) words[i] = ap_load_relaxed(&row->key[i]);
        ap_fence_acquire(); /* CLAIM-A2 pairs CLAIM-R2 */
    } while (ap_load_relaxed(&row->word) != word);
    if (holder_gone(seg, word)) return false;
    if (AP_CLAIM_LANE(word) == AP_NO_LANE && claim_told(until, AP_CLAIM_NUMBER(word)) && time_over(seg, until)) return false;
    memcpy(ret->key, words, sizeof ret->key);
    ret->key[APIARY_CLAIM_KEY_MAX] = '\0';
    return true;
}

bool ap_claim_read(const struct ap_segment *seg, uint32_t index, struct ap_claim_view *ret)
{
    if (!claim_seen(seg, index, ret)) return false;
    ret->waiting = line_length(seg, ap_claim_at(seg, index));
    return true;
}

uint32_t ap_claims_held(const struct ap_segment *seg)
{
    struct ap_claim_view view;
    uint32_t n = 0;

    for (uint32_t i = 0; i < claim_rows(seg); i++) n += claim_seen(seg, i, &view);
    return n;
}

uint64_t ap_claims_count(const struct ap_segment *seg, enum ap_claim_count count)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < claim_rows(seg); i++) n += ap_load_relaxed(&ap_claim_at(seg, i)->counts[count]);
    return n;
}
