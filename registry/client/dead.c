/* registry/client/dead.c - a client looks at the dead set, delegates what is in it anew, or discards it. See dead.h. */
#include "registry/routing/dead.h"

#include <string.h>

#include "core/sized.h"
#include "registry/client/client.h"

/* An observer may look. */
static int dead_ready(const apiary_t *a)
{
    if (a == NULL) return APIARY_EINVAL;
    return ap_present(a) ? 0 : ap_absent(a);
}

int apiary_dead_next(apiary_t *a, uint64_t after, apiary_dead_t *ret)
{
    apiary_dead_t own = {.struct_size = sizeof own};
    struct ap_dead best = {.number = UINT64_MAX}, d;
    int r = dead_ready(a);

    if (r < 0) return r;
    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_DEAD)) return APIARY_EINVAL;
    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_DEAD].count; i++)
        if (ap_dead_read(a->seg, i, &d) && d.number > after && d.number < best.number) best = d;
    if (best.number == UINT64_MAX) return 0;
    own.number = best.number;
    own.died = best.died;
    own.task = (apiary_task_t){.slot = best.slot, .epoch = best.epoch, .generation = best.generation};
    own.code = ap_dead_code(best.cause);
    own.signal = ap_dead_signal(best.cause);
    own.agent_code = best.agent_code;
    own.starts = best.starts;
    own.crashes = best.crashes;
    own.pid = best.pid;
    own.size = best.body_size;
    own.dropped = ap_load_relaxed(&ap_dead_at(a->seg, 0)->drops);
    ap_capability_name(a->seg, best.capability, own.capability);
    ap_text_copy(own.caller, best.caller, sizeof own.caller);
    ap_text_copy(own.service, best.service, sizeof own.service);
    ap_text_copy(own.instance, best.instance, sizeof own.instance);
    ap_text_copy(own.agent, best.agent, sizeof own.agent);
    ap_text_copy(own.text, best.text, sizeof own.text);
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 1;
}

/* The body of a row, which the caller looks at again afterwards. */
static const void *dead_body_of(const struct ap_segment *seg, const struct ap_dead *d, uint32_t *size)
{
    return ap_body_at(seg, d->body_inside, ap_load_relaxed(&d->body), size, ap_load_relaxed(&d->body_size));
}

int64_t apiary_dead_body(apiary_t *a, uint64_t number, void *ret, size_t capacity)
{
    const struct ap_dead *d;
    uint64_t life;
    uint32_t size = 0;
    const void *body;
    int r = dead_ready(a), row;

    if (r < 0) return r;
    if (ret == NULL && capacity > 0) return APIARY_EINVAL;
    row = ap_dead_find(a->seg, number, &life);
    if (row < 0) return APIARY_ESTALE;
    d = ap_dead_at(a->seg, (uint32_t)row);
    body = dead_body_of(a->seg, d, &size);
    if (body != NULL && capacity > 0) memcpy(ret, body, size < capacity ? size : capacity);
    ap_fence_acquire(); /* DEAD-A2 pairs DEAD-R2 */
    if (ap_load_relaxed(&d->life) != life) return APIARY_ESTALE;
    return body != NULL ? (int64_t)size : APIARY_ECORRUPT;
}

/* Its options are those that it had, but that its time has come, that any provider may have it, since the one that was meant may be
 * no more, and that it is neither hedged nor shares its key: nobody waits for it. It stays a task of its capability: where nobody
 * offers that it can be delegated later. Its block goes over to the task. */
static int dead_delegate(struct ap_lane_context *c, uint32_t row, apiary_task_t *ret)
{
    struct ap_dead *d = ap_dead_at(c->lane.seg, row);
    const struct ap_again again = {.ref = &d->again, .row = row, .epoch = AP_DEAD_EPOCH(ap_load_relaxed(&d->life))};
    apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH | APIARY_NO_FALLBACK,
                                   .timeout = ap_load_relaxed(&d->timeout)};
    char capability[APIARY_CAPABILITY_MAX + 1];
    struct ap_carried carried;
    uint64_t block = ap_load_relaxed(&d->body), word;
    uint32_t size = 0;
    const void *body = dead_body_of(c->lane.seg, d, &size);
    int r;

    if (body == NULL) return APIARY_ECORRUPT;
    if (block != 0 && (ap_pool_block(c->lane.seg, block, NULL, &word) < 0 || word != AP_BLOCK(AP_BLOCK_KEPT, row, again.epoch)))
        return APIARY_ECORRUPT;
    memcpy(&carried, &d->carried, sizeof carried);
#define AP_CARRIED(field, type, ...) o.field = carried.field;
#include "registry/client/carried.def"
#undef AP_CARRIED
    o.delay = o.due_at = o.provider = o.hedge = o.dedup_key = 0;
    ap_capability_name(c->lane.seg, ap_load_relaxed(&d->capability), capability);
    c->again = &again;
    r = ap_submit(c, (int)ap_load_relaxed(&d->only) - 1, capability, body, size, block, &o, ret);
    c->again = NULL;
    return r;
}

int apiary_dead_retry(apiary_t *a, uint64_t number, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    struct ap_dead *d;
    apiary_task_t task;
    uint64_t life, taken;
    int r = ap_usable(a), row;

    if (r < 0) return r;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    row = ap_dead_find(a->seg, number, &life);
    if (row < 0) return APIARY_ESTALE;
    d = ap_dead_at(a->seg, (uint32_t)row);
    if (ap_load_relaxed(&d->lost_body) != 0) return APIARY_ENORESULT;
    taken = AP_DEAD_LIFE(AP_DEAD_EPOCH(life), c->lane.index, AP_DEAD_TAKEN);
    if (!ap_cas(&d->life, &life, taken)) return APIARY_ESTALE;
    r = dead_delegate(c, (uint32_t)row, &task);
    if (r == 0) {
        ap_dead_free(a->seg, (uint32_t)row, taken);
        if (ret != NULL) *ret = task;
        return 0;
    }
    ap_store_relaxed(&d->again, 0);
    ap_cas(&d->life, &taken, AP_DEAD_LIFE(AP_DEAD_EPOCH(taken), 0, AP_DEAD_KEPT)); /* DEAD-R1 pairs DEAD-A1 */
    return r;
}

int apiary_dead_discard(apiary_t *a, uint64_t number)
{
    uint64_t life;
    int r = ap_usable(a), row;

    if (r < 0) return r;
    row = ap_dead_find(a->seg, number, &life);
    return row >= 0 && ap_dead_free(a->seg, (uint32_t)row, life) ? 0 : APIARY_ESTALE;
}
