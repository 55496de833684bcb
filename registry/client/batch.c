/* registry/client/batch.c - many tasks by one call: the public face. How they are submitted together is in delegate.c. */
#include "registry/client/client.h"

int apiary_delegate_batch(apiary_t *a, const apiary_request_t *requests, size_t count, apiary_task_t *tasks, size_t *submitted)
{
    struct ap_lane_context *c;
    int r = 0;

    if (submitted == NULL) return APIARY_EINVAL;
    *submitted = 0;
    if (requests == NULL || count == 0) return APIARY_EINVAL;
    if (!ap_sized_valid(requests->struct_size, AP_FIRST_REQUEST)) return APIARY_EINVAL;
    for (size_t i = 0; tasks == NULL && i < count; i++) {
        const apiary_request_t *q = (const void *)((const char *)requests + i * requests->struct_size);

        if (q->options == NULL || (q->options->flags & APIARY_DETACH) == 0) return APIARY_EINVAL;
    }
    c = ap_context(a, &r);
    return c != NULL ? ap_submit_batch(c, requests, count, tasks, submitted) : r;
}

#define AHEAD 4u       /* tasks whose lines are asked for before their turn */
#define READY_BEFORE 2u /* results that were there, before it is believed that the next are, too */

static void lines_ahead(const struct apiary *a, apiary_task_t task)
{
    const struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    if (slot == NULL) return;
    ap_prefetch_write(&slot->word);
    ap_prefetch_read(slot->result_inline);
}

/* The result of an array of another version of the public face. */
static int await_one_other(struct apiary *a, apiary_task_t task, uint64_t timeout, apiary_result_t *ret, size_t size)
{
    apiary_result_t own = {.struct_size = sizeof own};
    int r = apiary_await_any(a, &task, 1, timeout, &own);

    if (r >= 0) ap_sized_out(ret, size, &own, sizeof own);
    return r;
}

/* Each in its turn: all are waited for, so the order is no loss, and one task is cheaper to watch than many. */
int apiary_await_batch(apiary_t *a, const apiary_task_t *tasks, size_t n, uint64_t timeout, apiary_result_t *results,
                       size_t *finished)
{
    uint64_t until = UINT64_MAX, left = timeout;
    size_t stride;
    unsigned ready = 0;
    int r = ap_usable(a);

    if (finished == NULL) return APIARY_EINVAL;
    *finished = 0;
    if (r < 0) return r;
    if (tasks == NULL || results == NULL || n == 0 || ap_result_other(results) < 0) return APIARY_EINVAL;
    stride = results->struct_size;
    if (timeout != APIARY_FOREVER && timeout != 0) {
        uint64_t now = a->seg->ops->now();
        until = timeout >= UINT64_MAX - now ? UINT64_MAX : now + timeout;
    }
    for (size_t i = 0; i < n; i++) {
        apiary_result_t *ret = (void *)((char *)results + i * stride);

        if (ready > READY_BEFORE && i + AHEAD < n) lines_ahead(a, tasks[i + AHEAD]);
        r = stride == sizeof *ret ? ap_collect_at(a, tasks[i], ret) : 0;
        ready = r > 0 ? ready + 1 : 0;
        if (r == 0 && until != UINT64_MAX) {
            uint64_t now = a->seg->ops->now();
            left = now < until ? until - now : 0;
        }
        if (r == 0) r = await_one_other(a, tasks[i], left, ret, stride);
        if (r < 0) return r;
        ret->struct_size = stride;
        *finished = i + 1;
    }
    return 0;
}
