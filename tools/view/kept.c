/* tools/view/kept.c - results that outlive their tasks, as JSON. See view.h. */
#include "registry/discovery/discovery.h"
#include "registry/routing/kept.h"
#include "tools/view/view.h"

/* False: nothing is kept in it or promised, or it has changed. */
bool view_kept(const struct ap_segment *seg, uint32_t i, struct kept_view *ret)
{
    const struct ap_kept *k = ap_kept_at(seg, i);
    uint64_t life = ap_load_acquire(&k->life), seen; /* KEPT-A1 pairs KEPT-R1 */

    ret->task = (apiary_task_t){.slot = ap_load_relaxed(&k->slot), .epoch = ap_load_relaxed(&k->epoch),
                                .generation = ap_load_relaxed(&k->generation)};
    ret->state = AP_KEPT_STATE(life);
    ret->size = ap_load_relaxed(&k->size);
    ret->until = ap_load_relaxed(&k->until);
    ret->code = ap_load_relaxed(&k->code);
    if (ret->state == AP_KEPT_KEPT) ap_capability_name(seg, ap_load_relaxed(&k->capability), ret->capability);
    ap_fence_acquire(); /* KEPT-A2 pairs KEPT-R2 */
    if (ap_load_relaxed(&k->life) != life || ap_kept_find(seg, ret->task, &seen) != (int)i) return false;
    return ret->state == AP_KEPT_PROMISED || (ret->state == AP_KEPT_KEPT && ret->until > seg->ops->now());
}

static json_t *kept_json(const struct kept_view *row, uint64_t now)
{
    bool kept = row->state == AP_KEPT_KEPT;
    char id[48];

    return json_pack("{s:s, s:b, s:o, s:o, s:o, s:o}", "task", tool_format_task(row->task, id), "ended", kept, "capability",
                     kept ? tool_json_text(row->capability) : json_null(), "error",
                     kept && row->code != 0 ? json_string(apiary_error_name(row->code)) : json_null(), "size",
                     kept ? json_integer(row->size) : json_null(), "expires_in_ns",
                     kept && row->until != UINT64_MAX ? json_integer((json_int_t)(row->until - now)) : json_null());
}

/* How many were not kept, so far, since what is kept had its share. */
static uint64_t kept_not(const struct ap_segment *seg)
{
    const struct ap_kept *first = ap_kept_at(seg, 0);

    return first != NULL ? ap_load_relaxed(&first->unkept) : 0;
}

json_t *view_kept_all_json(const struct ap_segment *seg, const char *segment)
{
    uint32_t rows = (uint32_t)seg->sections[AP_SECTION_KEPT].count, used = 0;
    uint64_t now = seg->ops->now();
    json_t *list = json_array();
    struct kept_view row;

    for (uint32_t i = 0; i < rows; i++) {
        if (!view_kept(seg, i, &row)) continue;
        used++;
        json_array_append_new(list, kept_json(&row, now));
    }
    return json_pack("{s:s, s:i, s:i, s:I, s:o}", "segment", segment, "room", (int)rows, "used", (int)used, "not_kept",
                     (json_int_t)kept_not(seg), "kept", list);
}
