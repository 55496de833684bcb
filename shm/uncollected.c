/* shm/uncollected.c - results that their callers leave lying. See uncollected.h. */
#include "shm/uncollected.h"

#include "shm/event.h"

int ap_uncollected_give_up(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t now, ap_slot_freed_fn freed)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0, deadline; /* TASK-A2 pairs TASK-R2 */
    uint32_t client;
    uint64_t of;

    if (slot == NULL || !ap_task_ended(AP_WORD_STATE(word)) || ap_abandoned(slot, word)) return 0;
    deadline = ap_load_acquire(&slot->deadline); /* before the second look at the word */
    client = ap_load_acquire(&slot->client);
    of = ap_event_task(slot, word);
    if (ap_load_acquire(&slot->word) != word) return 0; /* they may be another task's */
    if (!ap_uncollected_over(seg, deadline, now)) return 0;
    if (!ap_task_request(seg, index, AP_WORD_GENERATION(word), AP_REQUEST_ABANDON)) return 0;
    if (!ap_task_release_with(seg, lane, index, word, freed, seg)) return 0; /* this task, and not the next in the slot */
    ap_add_relaxed(&seg->header->forgotten, 1);
    ap_event_log_more(seg, AP_EVENT_RESULT_FORGOTTEN, lane, index, ap_lane_member(seg, client), of, NULL, 0);
    return 1;
}

uint32_t ap_uncollected_all(struct ap_segment *seg, uint32_t lane, uint64_t now, ap_slot_freed_fn freed)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++) {
        if (AP_LEASE_LANE(ap_load_relaxed(&ap_slab_at(seg, s)->lease)) == 0) continue;
        for (uint32_t i = 0; i < AP_SLAB_SLOTS; i++)
            n += (uint32_t)ap_uncollected_give_up(seg, lane, s * AP_SLAB_SLOTS + i, now, freed);
    }
    return n;
}
