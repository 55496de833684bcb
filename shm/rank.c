/* shm/rank.c - whose turn it is of tasks with several ranks. See rank.h. */
#include "shm/rank.h"

void ap_slot_ranked(struct ap_slot *slot, enum ap_rank rank)
{
    ap_store_relaxed(&slot->rank, (uint8_t)rank);
    ap_slot_ask(slot, AP_REQUEST_RANKED);
}

enum ap_rank ap_ranks_next(const struct ap_ranks *r, uint32_t waiting)
{
    for (uint32_t i = 0; i < AP_RANKS; i++)
        if ((waiting >> i & 1) != 0 && r->passed[i] >= AP_RANK_PASSES) return (enum ap_rank)i;
    return (enum ap_rank)__builtin_ctz(waiting);
}

void ap_ranks_started(struct ap_ranks *r, enum ap_rank rank, uint32_t waiting)
{
    r->passed[rank] = 0;
    for (uint32_t i = rank + 1; i < AP_RANKS; i++) {
        if ((waiting >> i & 1) == 0) r->passed[i] = 0;
        else if (r->passed[i] < UINT16_MAX) r->passed[i]++;
    }
}
