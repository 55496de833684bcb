/* shm/follow.c - in which slabs tasks wait for the outcome of another one. See follow.h. */
#include "shm/follow.h"

#include "shm/due.h"

#define SOME UINT64_C(1)

void ap_follow_join(struct ap_segment *seg, uint32_t index)
{
    struct ap_slab *slab = ap_slab_at(seg, index / AP_SLAB_SLOTS);
    uint64_t was = slab != NULL ? ap_load_relaxed(&slab->followed) : 0;

    while (slab != NULL && !ap_cas(&slab->followed, &was, (was + 2) | SOME)) {} /* COAL-R2 pairs COAL-A2 */
    ap_fence_full(); /* COAL-F1 pairs COAL-F2 */
}

uint64_t ap_follow_any(const struct ap_segment *seg, uint32_t slab)
{
    uint64_t followed = ap_load_acquire(&ap_slab_at(seg, slab)->followed); /* COAL-A2 pairs COAL-R2 */

    return (followed & SOME) != 0 ? followed : 0;
}

void ap_follow_none(struct ap_segment *seg, uint32_t slab, uint64_t seen)
{
    ap_cas(&ap_slab_at(seg, slab)->followed, &seen, seen & ~SOME);
}

void ap_follow_ended(struct ap_segment *seg)
{
    uint64_t now = seg->ops->now();

    ap_fence_full(); /* COAL-F2 pairs COAL-F1 */
    for (uint32_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++)
        if (ap_follow_any(seg, s) != 0) ap_due_tell(seg, s * AP_SLAB_SLOTS, now);
}
