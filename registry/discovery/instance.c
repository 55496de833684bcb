/* registry/discovery/instance.c - apiary_instances: who is registered. See instance.h. */
#include "registry/discovery/instance.h"

#include <string.h>

#include "registry/client/client.h"
#include "registry/discovery/changes.h"
#include "registry/discovery/tags.h"

#define TRIES 64 /* changes of a record while it was read; each is somebody's progress */

/* But for mode and weight nothing of it changes while the record has one life. */
static void instance_fill(const struct ap_segment *seg, const struct ap_swarm *s, uint64_t life, apiary_instance_t *ret)
{
    bool live = AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_lane_alive(seg, AP_SWARM_LANE(life));
    const struct ap_member *member = ap_member_at(seg, ap_load_relaxed(&s->member));

    ap_service_name(seg, ap_load_relaxed(&s->service), ret->service);
    ap_text_copy(ret->instance, s->instance, sizeof ret->instance);
    ap_text_copy(ret->version, s->version, sizeof ret->version);
    ap_text_copy(ret->tags, s->tags, sizeof ret->tags);
    ap_text_copy(ret->health_endpoint, s->health_endpoint, sizeof ret->health_endpoint);
    ap_text_copy(ret->metrics_endpoint, s->metrics_endpoint, sizeof ret->metrics_endpoint);
    ret->registered = ap_load_relaxed(&s->registered);
    ret->alive = live;
    if (live && member != NULL) ret->pid = ap_load_relaxed(&member->pid);
    ret->mode = (enum apiary_mode)AP_MODE_OF(ap_load_relaxed(&s->mode));
    if (live && ap_load_relaxed(&s->leaving) != 0) ret->mode = APIARY_DRAIN;
    ret->weight = ap_swarm_weight(s);
    ret->max_delegations = ap_load_relaxed(&s->max_delegations);
    if (ret->max_delegations == 0) ret->max_delegations = seg->geometry.max_concurrent_delegations;
    ret->port = ap_load_relaxed(&s->port);
}

bool ap_instance_read(const struct ap_segment *seg, uint32_t swarm, apiary_instance_t *ret, uint64_t *ret_life)
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t life = s != NULL ? ap_load_acquire(&s->life) : 0; /* REG-A1 pairs REG-R1 */

    if (AP_SWARM_STATE(life) != AP_SWARM_LIVE && AP_SWARM_STATE(life) != AP_SWARM_DOWN) return false;
    memset(ret, 0, sizeof *ret);
    ret->struct_size = sizeof *ret;
    ret->registration = AP_REGISTRATION(swarm, AP_SWARM_EPOCH(life));
    instance_fill(seg, s, life, ret);
    *ret_life = life;
    ap_fence_acquire(); /* REG-A4 pairs REG-R4: what was read comes before this second look */
    return ap_load_relaxed(&s->life) == life;
}

bool ap_instance_names(const struct ap_segment *seg, uint32_t swarm, uint32_t told_epoch, apiary_instance_t *ret)
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t life = s != NULL ? ap_load_acquire(&s->life) : 0, epoch; /* REG-A1 pairs REG-R1 */

    if (AP_SWARM_STATE(life) == AP_SWARM_FREE) return false;
    epoch = AP_SWARM_EPOCH(life) - ((AP_SWARM_EPOCH(life) - told_epoch) & AP_TOLD_EPOCHS);
    memset(ret, 0, sizeof *ret);
    ret->struct_size = sizeof *ret;
    ret->registration = AP_REGISTRATION(swarm, epoch);
    ap_service_name(seg, ap_load_relaxed(&s->service), ret->service);
    ap_text_copy(ret->instance, s->instance, sizeof ret->instance);
    ap_fence_acquire(); /* TELL-A3 pairs TELL-R3 */
    return ap_load_relaxed(&s->first) <= epoch && AP_SWARM_STATE(ap_load_relaxed(&s->life)) != AP_SWARM_FREE;
}

/* Whether there is a row: one that changes while it is read is read again, because it may only have come to its end. */
static bool instance_settled(const struct ap_segment *seg, uint32_t swarm, apiary_instance_t *ret)
{
    uint64_t life;

    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t seen = ap_load_acquire(&ap_swarm_at(seg, swarm)->life); /* REG-A1 pairs REG-R1 */

        if (ap_instance_read(seg, swarm, ret, &life)) return true;
        if (ap_load_acquire(&ap_swarm_at(seg, swarm)->life) == seen) return false; /* REG-A1 pairs REG-R1 */
    }
    return false;
}

int apiary_instances(apiary_t *a, const apiary_instance_query_t *query, apiary_instance_t *ret, size_t capacity)
{
    struct ap_instance_query meant;
    apiary_instance_t row;
    size_t size = 0;
    int count = 0, r = ap_instance_query_read(query, &meant);

    if (a == NULL || (ret == NULL && capacity > 0)) return APIARY_EINVAL;
    if (capacity > 0 && !ap_sized_valid(ret->struct_size, AP_FIRST_INSTANCE)) return APIARY_EINVAL;
    if (r < 0) return r;
    if (capacity > 0) size = ret->struct_size;
    if (!ap_present(a)) return ap_absent(a);
    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_SWARMS].count; i++) {
        if (!instance_settled(a->seg, i, &row) || !ap_instance_meant(&meant, &row)) continue;
        if ((size_t)count < capacity) ap_sized_out((char *)ret + (size_t)count * size, size, &row, sizeof row);
        count++;
    }
    return count;
}
