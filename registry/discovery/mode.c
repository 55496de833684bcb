/* registry/discovery/mode.c - the operator's mode of an instance, the reason for it, and the operator's weight. See registry.h. */
#include <string.h>

#include "registry/registry.h"
#include "shm/event.h"

#define EACH 6u /* bytes of the reason in one of its words; the change they belong to is above them */

static uint64_t reason_word(uint64_t mode, const char *reason, size_t length, uint32_t word)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < EACH; i++) {
        size_t at = (size_t)word * EACH + i;
        if (at < length) bytes |= (uint64_t)(uint8_t)reason[at] << 8 * i;
    }
    return (uint64_t)AP_MODE_CHANGE(mode) << 48 | bytes;
}

static bool reason_valid(const char *reason, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (reason[i] < ' ' || reason[i] > '~') return false;
    return length <= AP_REASON_MAX;
}

/* A later writer has changed the mode first. So a word that is loaded before the mode is seen unchanged is not the later
 * writer's, and the swap fails if it has become that writer's since. */
static void reason_store(struct ap_swarm *s, uint64_t mode, const char *reason, size_t length)
{
    for (uint32_t i = 0; i < AP_REASON_WORDS; i++) {
        uint64_t next = reason_word(mode, reason, length, i), seen = ap_load_acquire(&s->reason[i]); /* MODE-A1 pairs MODE-R1 */

        do {
            if (ap_load_acquire(&s->mode) != mode) return;
        } while (!ap_cas(&s->reason[i], &seen, next)); /* MODE-R1 pairs MODE-A1 */
    }
}

static uint64_t reason_read(const struct ap_swarm *s, char ret[AP_REASON_MAX + 1])
{
    uint64_t mode = ap_load_acquire(&s->mode);
    uint32_t n = 0;

    memset(ret, 0, AP_REASON_MAX + 1);
    for (uint32_t i = 0; i < AP_REASON_WORDS; i++) {
        uint64_t word = ap_load_acquire(&s->reason[i]); /* MODE-A1 pairs MODE-R1 */

        if (word >> 48 != AP_MODE_CHANGE(mode)) break;
        for (uint32_t k = 0; k < EACH; k++) {
            char c = (char)(word >> 8 * k & 0xff);

            if (c < ' ' || c > '~') return mode;
            ret[n++] = c;
        }
    }
    return mode;
}

void ap_swarm_reason(const struct ap_segment *seg, uint32_t swarm, char ret[AP_REASON_MAX + 1])
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);

    if (s == NULL) ret[0] = '\0';
    else reason_read(s, ret);
}

void ap_swarm_mode_begin(struct ap_swarm *s, uint64_t key)
{
    uint64_t mode = ap_load_acquire(&s->mode);

    /* The number goes on: what an operator of the former owner still writes is told from what one of the new owner does. */
    while (!ap_cas(&s->mode, &mode, AP_MODE_WORD(key, AP_MODE_CHANGE(mode) + 1, APIARY_READY))) {}
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
    if (!reason_valid(reason, length)) return APIARY_EINVAL;
    key = ap_swarm_key(service, instance);
    do {
        state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */
        seen = reason_read(s, stands);
        if ((state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) || !AP_MODE_IS_OF(seen, key)) return APIARY_ESTALE;
        if (AP_MODE_OF(seen) == mode && (reason == NULL || strcmp(stands, reason) == 0)) return 0;
        next = AP_MODE_WORD(key, AP_MODE_CHANGE(seen) + 1, mode);
    } while (!ap_cas(&s->mode, &seen, next));
    reason_store(s, next, reason, length);
    ap_event_log(seg, AP_EVENT_SWARM_MODE, AP_NO_LANE, swarm, mode);
    ap_lanes_changed(seg); /* a sweep finds the tasks that wait for a provider */
    return 1;
}

int ap_swarm_weight_set(struct ap_segment *seg, uint32_t swarm, const char *service, const char *instance, int weight)
{
    struct ap_swarm *s = ap_swarm_at(seg, swarm);
    uint64_t key, seen, next;

    if (s == NULL || service == NULL || instance == NULL || weight < -1 || weight > (int)AP_WEIGHT_MAX) return APIARY_EINVAL;
    key = ap_swarm_key(service, instance);
    next = weight >= 0 ? AP_SHARE_WORD(key, (uint32_t)weight) : 0;
    do {
        uint32_t state = AP_SWARM_STATE(ap_load_acquire(&s->life)); /* REG-A1 pairs REG-R1 */

        seen = ap_load_relaxed(&s->share);
        if (state != AP_SWARM_LIVE && state != AP_SWARM_DOWN) return APIARY_ESTALE;
        if (ap_load_acquire(&s->key) != key) return APIARY_ESTALE; /* REG-A3 pairs REG-R3 */
        if (seen == next || (next == 0 && !AP_SHARE_IS_OF(seen, key))) return 0;
    } while (!ap_cas(&s->share, &seen, next));
    ap_event_log(seg, AP_EVENT_SWARM_WEIGHT, AP_NO_LANE, swarm, weight >= 0 ? (uint64_t)weight : ap_load_relaxed(&s->weight));
    return 1;
}
