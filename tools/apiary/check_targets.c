/* tools/apiary/check_targets.c - see check_targets.h. */
#include "tools/apiary/check_targets.h"

#include <stdlib.h>
#include <string.h>

#include "registry/routing/target.h"
#include "tools/view/view.h"

/* Whether an agent of the service offers it; NULL: any. */
static bool offered_by(const struct ap_segment *seg, uint32_t capability, const char *service)
{
    struct agent_view v;

    for (int q = -1; service != NULL && (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;)
        if (view_agent(seg, (uint32_t)q, &v) && strcmp(v.swarm.service, service) == 0) return true;
    return service == NULL;
}

static void targets_add(struct targets_view *v, const char *capability, const struct ap_target_verdict *verdict,
                        enum ap_target target)
{
    char text[128], *before = v->missed;

    v->none += verdict->targets[target] != 0 && verdict->states[target] == AP_TARGET_NONE;
    if (verdict->states[target] < AP_TARGET_MISSED) return;
    v->badly |= verdict->states[target] == AP_TARGET_BADLY;
    v->missed = tool_format("%s%s%s misses a target: %s", before != NULL ? before : "", before != NULL ? ", " : "", capability,
                            ap_target_print(verdict, target, text));
    free(before);
}

void check_targets(const struct ap_segment *seg, const char *service, struct targets_view *ret)
{
    *ret = (struct targets_view){.missed = NULL};
    for (uint32_t i = 0; ap_capability_at(seg, i) != NULL; i++) {
        struct ap_target_verdict verdict;
        char name[APIARY_CAPABILITY_MAX + 1];

        if (!ap_target_read(seg, i, &verdict) || !offered_by(seg, i, service)) continue;
        ap_capability_name(seg, i, name);
        for (int k = 0; k < AP_TARGETS; k++) targets_add(ret, name, &verdict, (enum ap_target)k);
    }
}
