/* tools/apiary/order.c - see order.h. */
#include "tools/apiary/order.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A service, from what its instances are. */
struct order_service {
    bool here, passes, passed, held;
    bool lost; /* it does not come up, and is not waited for */
};

static bool order_waits(const struct ap_deployment_swarm *s)
{
    return s->depends_count > 0 || s->phase > 1;
}

void order_hold(const struct up *up, struct queen *q)
{
    bool held = order_waits(q->swarm);
    for (size_t i = 0; i < up->queen_count && held; i++) {
        const struct queen *sister = up->queens[i];
        if (sister == q || sister->leaves || strcmp(sister->swarm->service, q->swarm->service) != 0) continue;
        held = sister->child->held;
    }
    q->child->held = held;
    q->since = ap_ops_system.now();
}

/* ---- who comes up --------------------------------------------------------------------------------------------- */

/* It does not pass, and has had its time: since it was let go, or since its last start if it had passed before. */
static bool order_late(const struct up *up, const struct queen *q)
{
    const struct crew_child *c = q->child;
    uint64_t from = q->passed && c->pid != 0 ? c->started : q->since;
    return !c->held && !q->passes && ap_ops_system.now() - from >= up->wait;
}

static size_t order_index(const struct ap_deployment *d, const struct ap_deployment_swarm *s)
{
    size_t i = 0;
    while (i < d->swarm_count && strcmp(d->swarms[i].service, s->service) != 0)
        i++;
    return i;
}

static void order_tally(const struct up *up, struct order_service *of)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        size_t at = order_index(up->d, q->swarm);
        if (q->leaves || at == up->d->swarm_count) continue;
        struct order_service *s = &of[at];
        bool lost = queen_hopeless(q) || order_late(up, q);
        s->lost = (s->lost || !s->here) && lost;
        s->held = (s->held || !s->here) && q->child->held;
        s->passes = s->passes || q->passes;
        s->passed = s->passed || q->passed;
        s->here = true;
    }
}

/* One that is held comes up unless what it depends on does not. Each is judged after those. */
static void order_judge(const struct up *up, struct order_service *of)
{
    const struct ap_deployment *d = up->d;
    order_tally(up, of);
    for (size_t n = 0; n < d->swarm_count; n++) {
        const struct ap_deployment_swarm *s = &d->swarms[d->order[n]];
        struct order_service *its = &of[d->order[n]];
        for (size_t i = 0; i < d->swarm_count && its->held; i++)
            its->lost = its->lost || (of[i].lost && ap_deployment_depends(s, &d->swarms[i]));
    }
}

/* ---- held, and let go ----------------------------------------------------------------------------------------- */

/* With --once the end is near when one does not come up: nothing else is begun. */
static bool order_holds(const struct up *up, const struct order_service *of, size_t service, size_t other)
{
    const struct ap_deployment_swarm *s = &up->d->swarms[service], *o = &up->d->swarms[other];
    if (!of[other].passes && ap_deployment_depends(s, o)) return true;
    return o->phase > 0 && o->phase < s->phase && !of[other].passed && (!of[other].lost || up->once);
}

/* The services that it waits for; NULL: none. To be freed. */
static char *order_names(const struct up *up, const struct order_service *of, size_t service)
{
    const struct ap_deployment *d = up->d;
    char *names = NULL;
    for (size_t n = 0; n < d->swarm_count; n++) {
        size_t other = d->order[n];
        if (!order_holds(up, of, service, other)) continue;
        char *longer = tool_format("%s%s%s", names != NULL ? names : "", names != NULL ? ", " : "", d->swarms[other].service);
        free(names);
        names = longer;
    }
    return names;
}

static void order_say(struct up *up, uint32_t phase, const char *more)
{
    crew_say(up->crew, "apiary: up: phase %" PRIu32 " of %zu, %s%s", phase, up->d->phase_count, up->d->phases[phase - 1].name,
             more);
    up->phase_begun = phase;
}

/* A phase begins. Told is also for which services of those before it does not wait. */
static void order_begin(struct up *up, const struct order_service *of, const struct ap_deployment_swarm *s)
{
    const struct ap_deployment *d = up->d;
    char *without = tool_strdup("");
    for (size_t n = 0; n < d->swarm_count; n++) {
        const struct ap_deployment_swarm *o = &d->swarms[d->order[n]];
        if (o->phase == 0 || o->phase >= s->phase || of[d->order[n]].passed) continue;
        char *longer = tool_format("%s%s%s", without, *without == '\0' ? ", which does not wait for " : ", ", o->service);
        free(without);
        without = longer;
    }
    order_say(up, s->phase, without);
    free(without);
}

static void order_look_at(struct up *up, const struct order_service *of, struct queen *q)
{
    size_t service = order_index(up->d, q->swarm);
    if (service == up->d->swarm_count) return; /* it leaves */
    free(q->waits);
    q->waits = order_names(up, of, service);
    q->lost = q->waits != NULL && of[service].lost;
    q->child->held = q->waits != NULL;
    if (q->child->held) return;
    q->since = ap_ops_system.now();
    if (q->swarm->phase > up->phase_begun) order_begin(up, of, q->swarm);
}

void order_look(struct up *up)
{
    struct order_service *of = NULL;
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        if (!q->child->held || q->child->told) continue;
        if (of == NULL) {
            of = tool_alloc(up->d->swarm_count * sizeof *of);
            order_judge(up, of);
        }
        order_look_at(up, of, q);
    }
    free(of);
}

void order_start(struct up *up)
{
    if (up->d->phase_count > 0) order_say(up, 1, "");
    order_look(up);
}

bool order_gives_up(const struct up *up, const struct queen *q)
{
    return q->child->held ? q->lost : up->d->phase_count > 0 && order_late(up, q);
}

bool order_differs(const struct ap_deployment_swarm *before, const struct ap_deployment_swarm *after)
{
    bool same = before->phase == after->phase && before->depends_count == after->depends_count;
    for (size_t i = 0; i < after->depends_count && same; i++)
        same = strcmp(before->depends_on[i], after->depends_on[i]) == 0;
    return !same;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static bool order_may_leave(void *user, const struct crew_child *child)
{
    const struct up *up = user;
    const struct queen *q = child->user;
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *other = up->queens[i];
        if (other->child->pid != 0 && ap_deployment_waits(other->swarm, q->swarm)) return false;
    }
    return true;
}

unsigned order_stop(struct up *up, uint64_t grace)
{
    bool any = false;
    for (size_t i = 0; i < up->queen_count; i++)
        any = any || order_waits(up->queens[i]->swarm);
    return crew_stop(up->crew, up->first_queen, crew_count(up->crew), grace, any ? order_may_leave : NULL, up);
}
