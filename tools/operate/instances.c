/* tools/operate/instances.c - the mode and the weight of a service's instances. See operate.h. */
#include <string.h>

#include "tools/operate/operate.h"

static bool operate_matches(const struct swarm_view *v, const struct operate_target *target)
{
    return strcmp(v->service, target->service) == 0 &&
           (target->instance == NULL || strcmp(v->instance, target->instance) == 0);
}

uint32_t operate_count(const struct ap_segment *seg, const struct operate_target *target)
{
    uint32_t n = 0;
    struct swarm_view v;

    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++) n += view_swarm(seg, i, &v) && operate_matches(&v, target);
    return n;
}

static void operate_note(struct operate_changed *c, const struct swarm_view *v, int outcome)
{
    if (outcome < 0) return;
    c->instances++;
    c->changed += outcome == 1;
    c->down += !v->alive;
}

struct operate_changed operate_mode(struct ap_segment *seg, const struct operate_target *target, enum apiary_mode mode,
                                    const char *reason)
{
    struct operate_changed ret = {0};
    struct swarm_view v;

    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++)
        if (view_swarm(seg, i, &v) && operate_matches(&v, target))
            operate_note(&ret, &v, ap_swarm_mode_set(seg, i, v.service, v.instance, mode, reason));
    return ret;
}

struct operate_changed operate_weight(struct ap_segment *seg, const struct operate_target *target, int weight)
{
    struct operate_changed ret = {0};
    struct swarm_view v;

    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++)
        if (view_swarm(seg, i, &v) && operate_matches(&v, target))
            operate_note(&ret, &v, ap_swarm_weight_set(seg, i, v.service, v.instance, weight));
    return ret;
}

uint32_t operate_left(const struct ap_segment *seg, const struct operate_target *target)
{
    uint32_t n = 0;
    struct task_view task;
    struct agent_view agent;

    for (uint32_t slot = 0; slot < seg->geometry.tasks; slot++) {
        const struct ap_slot *s = ap_slot_at(seg, slot);
        uint32_t state = AP_WORD_STATE(ap_load_relaxed(&s->word));

        if (state != AP_TASK_QUEUED && state != AP_TASK_RUNNING) continue;
        if (!view_task(seg, slot, &task)) continue;
        if (view_agent(seg, task.queue, &agent) && agent.swarm.alive && operate_matches(&agent.swarm, target)) n++;
    }
    return n;
}
