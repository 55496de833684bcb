/* registry/discovery/swarm_record.c - a swarm's record: taken, given back, and whether anything waits for it. See registry.h. */
#include "registry/discovery/swarm_record.h"

#include "registry/discovery/changes.h"

bool ap_record_take(struct ap_segment *seg, uint32_t lane, struct ap_found from)
{
    struct ap_swarm *s = ap_swarm_at(seg, from.index);
    uint64_t next = AP_SWARM_LIFE(AP_SWARM_EPOCH(from.life) + 1, lane, AP_SWARM_CLAIMED);

    ap_instance_tell(seg, from.index);
    if (!ap_cas(&s->life, &from.life, next)) return false;
    ap_fence_release(); /* REG-R4 pairs REG-A4 */
    return true;
}

void ap_record_state(struct ap_swarm *s, uint32_t state)
{
    uint64_t life = ap_load_relaxed(&s->life);
    uint32_t lane = state == AP_SWARM_LIVE ? AP_SWARM_LANE(life) : 0;

    ap_store_release(&s->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(life), lane, state)); /* REG-R1 pairs REG-A1 */
}

bool ap_queue_empty(const struct ap_segment *seg, uint32_t queue)
{
    for (uint64_t i = 0; i < seg->geometry.tasks; i++) {
        uint64_t word = ap_load_acquire(&ap_slot_at(seg, i)->word);
        if (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == queue) return false;
    }
    return true;
}

bool ap_swarm_empty(const struct ap_segment *seg, uint32_t swarm, bool disown)
{
    for (uint32_t q = 0; q < seg->geometry.queues; q++) {
        struct ap_agent_record *agent = ap_agent_at(seg, q);
        uint64_t life = ap_load_acquire(&ap_queue_at(seg, q)->life);
        uint32_t owner = ap_load_relaxed(&agent->swarm);

        if (AP_QUEUE_STATE(life) != AP_QUEUE_CLOSED || owner != swarm) continue;
        /* Compared, because one who judged the queue while the swarm was DOWN may have taken it since, and named its own. */
        if (disown) ap_cas(&agent->swarm, &owner, AP_NO_SWARM);
        else if (!ap_queue_empty(seg, q)) return false;
    }
    return true;
}

/* A record that is DOWN, whose operator's mode is READY or is not, and for which nothing waits, is CLAIMED and nobody's.
 * `key`: 0, or of that service and instance only. */
static bool take_down(struct ap_segment *seg, uint32_t lane, uint32_t swarm, bool ready, uint64_t key)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */

    if (AP_SWARM_STATE(life) != AP_SWARM_DOWN || (AP_MODE_OF(ap_load_relaxed(&s->mode)) == APIARY_READY) != ready) return false;
    if (key != 0 && ap_load_acquire(&s->key) != key) return false; /* REG-A3 pairs REG-R3 */
    if (!ap_swarm_empty(seg, swarm, false) || !ap_record_take(seg, lane, (struct ap_found){swarm, life})) return false;
    ap_store_release(&s->key, 0); /* REG-R3 pairs REG-A3 */
    ap_swarm_empty(seg, swarm, true);
    return true;
}

bool ap_record_of_other(struct ap_segment *seg, uint32_t lane, bool ready, uint32_t *ret)
{
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        if (!take_down(seg, lane, i, ready, 0)) continue;
        *ret = i;
        return true;
    }
    return false;
}

bool ap_swarm_forget(struct ap_segment *seg, uint32_t lane)
{
    uint32_t swarm;

    if (!ap_record_of_other(seg, lane, true, &swarm)) return false;
    ap_record_state(ap_swarm_at(seg, swarm), AP_SWARM_FREE);
    return true;
}

bool ap_swarm_forget_instance(struct ap_segment *seg, uint32_t lane, uint64_t key, bool any)
{
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        if (!take_down(seg, lane, i, true, key) && !(any && take_down(seg, lane, i, false, key))) continue;
        ap_record_state(ap_swarm_at(seg, i), AP_SWARM_FREE);
        return true;
    }
    return false;
}
