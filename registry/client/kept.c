/* registry/client/kept.c - a client fetches a result that outlives its task. See kept.h. */
#include "registry/routing/kept.h"

#include <string.h>

#include "core/sized.h"
#include "registry/client/client.h"
#include "registry/client/sleep.h"

#define LOOK (1000 * UINT64_C(1000000)) /* ns between two looks while a result is waited for */

/* Copies it as of one moment: 0, APIARY_ESTALE, APIARY_ECORRUPT. */
static int kept_copy(const struct ap_segment *seg, uint32_t row, uint64_t life, void *data, size_t capacity, apiary_result_t *ret)
{
    const struct ap_kept *k = ap_kept_at(seg, row);
    uint32_t size = 0;
    const void *result = ap_body_at(seg, k->inside, ap_load_relaxed(&k->result), &size, ap_load_relaxed(&k->size));

    ret->code = ap_load_relaxed(&k->code);
    ret->agent_code = ap_load_relaxed(&k->agent_code);
    ret->attempts = ap_load_relaxed(&k->attempts);
    ret->untried = ap_load_relaxed(&k->untried);
    ret->size = size;
    ret->data = data;
    if (result != NULL && capacity > 0) memcpy(data, result, size < capacity ? size : capacity);
    ap_fence_acquire(); /* KEPT-A2 pairs KEPT-R2 */
    if (ap_load_relaxed(&k->life) != life) return APIARY_ESTALE;
    return result != NULL ? 0 : APIARY_ECORRUPT;
}

/* Until it is entered, for a look at most. The task may have gone without a result, for want of its row. */
static void kept_wait(const struct ap_segment *seg, uint32_t row, uint64_t life, uint64_t until)
{
    uint64_t look = seg->ops->now() + LOOK;

    ap_sleep(seg->ops, (const uint32_t *)(const void *)&ap_kept_at(seg, row)->life, (uint32_t)life, look < until ? look : until);
}

int apiary_fetch(apiary_t *a, apiary_task_t task, uint64_t timeout, void *data, size_t capacity, apiary_result_t *ret)
{
    apiary_result_t own = {.struct_size = sizeof own, .task = task};
    uint64_t now, until, life;
    uint32_t interrupts;
    int r, row;

    if (a == NULL) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_RESULT) || (data == NULL && capacity > 0)) return APIARY_EINVAL;
    interrupts = ap_load_acquire(&a->interrupts);
    now = a->seg->ops->now();
    until = timeout < UINT64_MAX - now ? now + timeout : UINT64_MAX;
    while ((row = ap_kept_find(a->seg, task, &life)) >= 0 && AP_KEPT_STATE(life) == AP_KEPT_PROMISED) {
        if (!a->read_only) ap_await_help(a, task); /* nobody else may be there to see that it will never be run */
        if (ap_load_acquire(&ap_kept_at(a->seg, (uint32_t)row)->life) != life) continue;
        if (a->seg->ops->now() >= until) return APIARY_ENOTREADY;
        if (ap_load_acquire(&a->interrupts) != interrupts) return APIARY_EINTERRUPTED;
        kept_wait(a->seg, (uint32_t)row, life, until);
    }
    if (row < 0 || ap_load_relaxed(&ap_kept_at(a->seg, (uint32_t)row)->until) <= a->seg->ops->now()) return APIARY_ESTALE;
    r = kept_copy(a->seg, (uint32_t)row, life, data, capacity, &own);
    if (r == 0) ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return r;
}

int apiary_forget(apiary_t *a, apiary_task_t task)
{
    uint64_t life;
    int r = ap_usable(a), row;

    if (r < 0) return r;
    row = ap_kept_find(a->seg, task, &life);
    if (row < 0) return APIARY_ESTALE;
    if (AP_KEPT_STATE(life) == AP_KEPT_PROMISED) return APIARY_ENOTREADY;
    return ap_kept_free(a->seg, (uint32_t)row, life) ? 0 : APIARY_ESTALE;
}
