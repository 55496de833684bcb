/* registry/client/within.c - a task of a capability that declares bounds (registry/routing/bounds.h). See client.h. */
#include "registry/client/client.h"
#include "registry/routing/bounds.h"

int ap_submit_within(struct ap_lane_context *c, int service, uint32_t capability, const void *body, size_t size, uint64_t loan,
                     const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_segment *seg = c->lane.seg;
    apiary_delegate_options_t own = {.struct_size = sizeof own};
    char name[APIARY_CAPABILITY_MAX + 1];
    int r;

    if (options != NULL) own = *options;
    ap_bounds_apply(seg, capability, &own);
    ap_capability_name(seg, capability, name);
    c->within = true;
    r = ap_submit(c, service, name, body, size, loan, &own, ret);
    c->within = false;
    if (r == 0) c->deadline = ap_deadline_of(seg, &own, ap_due_of(&own, seg->ops->now()));
    return r;
}
