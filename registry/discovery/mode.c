/* registry/discovery/mode.c - the operator's mode of an instance, the reason for it, and the operator's weight. See registry.h. */
#include <string.h>
#include <unistd.h>

#include "registry/discovery/changes.h"
#include "registry/discovery/reason.h"
#include "shm/event.h"

void ap_swarm_reason(const struct ap_segment *seg, uint32_t swarm, char ret[AP_REASON_MAX + 1])
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);

    if (s == NULL) ret[0] = '\0';
    else ap_reason_read(&s->mode, s->reason, AP_REASON_WORDS, ret);
}

void ap_swarm_mode_begin(struct ap_swarm *s, uint64_t key)
{
    uint64_t mode = ap_load_acquire(&s->mode), share = ap_load_relaxed(&s->share);

    /* The number goes on: what an operator of the former owner still writes is told from what one of the new owner does. */
    while (!ap_cas(&s->mode, &mode, AP_MODE_WORD(key, AP_MODE_CHANGE(mode) + 1, APIARY_READY))) {}
    while (!ap_cas(&s->share, &share, AP_SHARE_WORD(key, AP_SHARE_CHANGE(share) + 1, 0, 0))) {}
}

/* The record of an instance, alive or down; NULL: there is none. */
static const struct ap_swarm *mode_of_key(const struct ap_segment *seg, uint64_t key)
{
    const struct ap_swarm *s;

    for (uint32_t i = 0; (s = ap_swarm_at(seg, i)) != NULL; i++) {
        uint32_t state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */

        if (state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) continue;
        if (ap_load_acquire(&s->key) == key) return s; /* REG-A3 pairs REG-R3 */
    }
    return NULL;
}

/* A record may change hands meanwhile: each word has the key of its owner. */
void ap_swarm_mode_inherit(const struct ap_segment *seg, struct ap_swarm *s, uint64_t key, uint64_t from)
{
    const struct ap_swarm *former = mode_of_key(seg, from);
    char reason[AP_REASON_MAX + 1];
    uint64_t said, share, mode = ap_load_acquire(&s->mode), weight = ap_load_relaxed(&s->share), next;

    if (former == NULL) return;
    said = ap_reason_read(&former->mode, former->reason, AP_REASON_WORDS, reason);
    share = ap_load_relaxed(&former->share);
    if (AP_MODE_IS_OF(said, from) && AP_MODE_OF(said) > APIARY_READY && AP_MODE_OF(said) <= APIARY_PAUSE) {
        do next = AP_MODE_WORD(key, AP_MODE_CHANGE(mode) + 1, AP_MODE_OF(said));
        while (!ap_cas(&s->mode, &mode, next));
        ap_reason_store(&s->mode, next, s->reason, AP_REASON_WORDS, reason, strlen(reason));
    }
    if (!AP_SHARE_IS_OF(share, from) || (share & 0xffff) > AP_WEIGHT_MAX) return;
    while (!ap_cas(&s->share, &weight, AP_SHARE_WORD(key, AP_SHARE_CHANGE(weight) + 1, 1, share & 0xffff))) {}
}

int ap_swarm_mode_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, enum apiary_mode mode,
                      const char *reason)
{
    size_t length = reason != NULL ? strnlen(reason, AP_REASON_MAX + 1) : 0;
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    char stands[AP_REASON_MAX + 1];
    uint64_t key, seen, next;
    uint32_t state;

    if (s == NULL || service == NULL || instance == NULL || mode < APIARY_READY || mode > APIARY_PAUSE) return APIARY_EINVAL;
    if (!ap_reason_valid(reason, length, AP_REASON_WORDS)) return APIARY_EINVAL;
    key = ap_swarm_key(service, instance);
    do {
        state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */
        seen = ap_reason_read(&s->mode, s->reason, AP_REASON_WORDS, stands);
        if ((state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) || !AP_MODE_IS_OF(seen, key)) return APIARY_ESTALE;
        if (AP_MODE_OF(seen) == mode && (reason == NULL || strcmp(stands, reason) == 0)) return 0;
        next = AP_MODE_WORD(key, AP_MODE_CHANGE(seen) + 1, mode);
        ap_instance_tell(seg, swarm);
    } while (!ap_cas(&s->mode, &seen, next));
    ap_reason_store(&s->mode, next, s->reason, AP_REASON_WORDS, reason, length);
    ap_instance_tell(seg, swarm);
    ap_event_log_more(seg, AP_EVENT_SWARM_MODE, AP_NO_LANE, swarm, mode, AP_EVENT_BY(getuid(), seg->self.pid), reason, length);
    ap_lanes_changed(seg); /* a sweep finds the tasks that wait for a provider */
    return 1;
}

int ap_swarm_weight_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, int weight)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t key, seen, next;

    if (s == NULL || service == NULL || instance == NULL || weight < -1 || weight > (int)AP_WEIGHT_MAX) return APIARY_EINVAL;
    key = ap_swarm_key(service, instance);
    do {
        uint32_t state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */

        seen = ap_load_acquire(&s->share); /* before the key: the word of its former owner fails the exchange */
        if (state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) return APIARY_ESTALE;
        if (ap_load_acquire(&s->key) != key) return APIARY_ESTALE; /* REG-A3 pairs REG-R3 */
        if (weight < 0 ? !AP_SHARE_IS_OF(seen, key) : AP_SHARE_IS_OF(seen, key) && (seen & 0xffff) == (uint32_t)weight) return 0;
        next = AP_SHARE_WORD(key, AP_SHARE_CHANGE(seen) + 1, weight >= 0, weight >= 0 ? (uint32_t)weight : 0);
        ap_instance_tell(seg, swarm);
    } while (!ap_cas(&s->share, &seen, next));
    ap_instance_tell(seg, swarm);
    ap_event_log_more(seg, AP_EVENT_SWARM_WEIGHT, AP_NO_LANE, swarm, weight >= 0 ? (uint64_t)weight : ap_load_relaxed(&s->weight),
                      AP_EVENT_BY(getuid(), seg->self.pid), NULL, 0);
    return 1;
}
