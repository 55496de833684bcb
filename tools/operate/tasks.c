/* tools/operate/tasks.c - cancels tasks, and says why one is not there. See operate.h. */
#include "registry/routing/kept.h"
#include "tools/operate/operate.h"

/* The numbers of a slot only rise, and so do the epochs of its slab. */
enum operate_task operate_why(const struct ap_segment *seg, apiary_task_t id)
{
    const struct ap_slot *s = ap_slot_at(seg, id.slot);
    const struct ap_slab *slab = ap_slab_at(seg, id.slot / AP_SLAB_SLOTS);
    uint64_t life;
    int kept = ap_kept_find(seg, id, &life);

    if (kept >= 0 && AP_KEPT_STATE(life) == AP_KEPT_KEPT &&
        ap_load_relaxed(&ap_kept_at(seg, (uint32_t)kept)->until) > seg->ops->now())
        return OPERATE_KEPT;
    if (s != NULL && slab != NULL && id.generation != 0 && id.generation <= AP_WORD_GENERATION(ap_load_acquire(&s->word)) &&
        id.epoch <= AP_LEASE_EPOCH(ap_load_relaxed(&slab->lease)))
        return OPERATE_GONE;
    return OPERATE_NEVER;
}

enum operate_task operate_cancel(apiary_t *a, apiary_task_t id, uint32_t *ret_state, int *ret_error)
{
    struct task_view v;
    int r;

    if (view_task(a->seg, id.slot, &v) && v.id.generation == id.generation && v.id.epoch == id.epoch && ap_task_ended(v.state) &&
        !view_task_over(&v)) {
        *ret_state = v.state;
        return OPERATE_ENDED;
    }
    r = apiary_cancel(a, id);
    if (r == APIARY_ESTALE) return operate_why(a->seg, id);
    if (r >= 0) return OPERATE_CANCELLED;
    *ret_error = r;
    return OPERATE_ERROR;
}
