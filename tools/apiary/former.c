/* tools/apiary/former.c - see former.h. */
#include "tools/apiary/former.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/apiary/autoscale.h"

/* ---- what an operator has said of an instance ------------------------------------------------------------------- */

struct said {
    struct swarm_view view;
    uint64_t word; /* of the mode */
    bool mode;  /* it has one that an operator has set */
    int weight; /* -1: as registered */
};

/* Of a name, alive or down. */
static bool former_by_key(const struct ap_segment *seg, uint64_t key, struct said *ret)
{
    const struct ap_swarm *s;
    for (uint32_t i = 0; (s = ap_swarm_at(seg, i)) != NULL; i++) {
        if (ap_load_acquire(&s->key) != key || !view_swarm(seg, i, &ret->view)) continue; /* REG-A3 pairs REG-R3 */
        uint64_t mode = ap_load_acquire(&s->mode), share = ap_load_relaxed(&s->share);
        ret->weight = AP_SHARE_IS_OF(share, key) ? (int)(share & 0xffff) : -1;
        /* One that leaves because it is not needed is in no operator's mode. */
        ret->word = mode;
        ret->mode = AP_MODE_IS_OF(mode, key) && AP_MODE_OF(mode) != APIARY_READY && !autoscale_took_out(&ret->view);
        return true;
    }
    return false;
}

static bool former_by_pid(const struct ap_segment *seg, pid_t pid, struct swarm_view *ret)
{
    for (uint32_t i = 0; pid != 0 && ap_swarm_at(seg, i) != NULL; i++)
        if (view_swarm(seg, i, ret) && ret->alive && ret->pid == pid) return true;
    return false;
}

/* An error: `to` has changed hands. */
static void former_give(struct ap_segment *seg, const struct said *from, const struct swarm_view *to)
{
    const struct swarm_view *v = &from->view;
    if (from->mode) (void)ap_swarm_mode_set(seg, to->index, to->service, to->instance, v->mode, v->reason);
    if (from->weight >= 0) (void)ap_swarm_weight_set(seg, to->index, to->service, to->instance, from->weight);
}

void former_hand_on(struct ap_segment *seg, pid_t from, pid_t to)
{
    struct swarm_view v, w;
    struct said said;
    if (!former_by_pid(seg, from, &v) || !former_by_pid(seg, to, &w)) return;
    if (former_by_key(seg, ap_swarm_key(v.service, v.instance), &said)) former_give(seg, &said, &w);
}

/* ---- who is gone ------------------------------------------------------------------------------------------------- */

static uint64_t former_key(const struct queen *q)
{
    char instance[16];
    snprintf(instance, sizeof instance, "%u", queen_instance(q));
    return ap_swarm_key(q->swarm->service, instance);
}

static struct up_former *former_add(struct up *up, uint64_t key, uint32_t instance)
{
    for (size_t i = 0; i < up->former_count; i++)
        if (up->former[i].key == key) return &up->former[i];
    up->former = tool_realloc(up->former, (up->former_count + 1) * sizeof *up->former);
    up->former[up->former_count] = (struct up_former){.key = key, .instance = instance};
    return &up->former[up->former_count++];
}

static bool former_is_heir(const struct up *up, const struct queen *q)
{
    for (size_t i = 0; i < up->former_count; i++)
        if (up->former[i].heir == q) return true;
    return false;
}

/* Which own instances may be the heir: of the same number; of the same place, as names go on from a place by the number of
 * instances (queens_prepare), unless that number is another now; any. */
enum near { NEAR_NUMBER, NEAR_PLACE, NEAR_SERVICE };

static bool former_is_near(const struct queen *q, uint32_t instance, enum near near)
{
    return near == NEAR_SERVICE || q->number == (near == NEAR_NUMBER ? instance : instance % q->swarm->instances);
}

static void former_find_heir(const struct up *up, struct up_former *f, const struct ap_supervised_view *v, enum near near)
{
    for (size_t i = 0; i < up->queen_count && f->heir == NULL; i++) {
        struct queen *q = up->queens[i];
        if (strcmp(q->swarm->service, v->service) != 0 || former_is_heir(up, q)) continue;
        if (former_is_near(q, v->last.instance, near)) f->heir = q;
    }
}

void former_note(struct up *up)
{
    struct ap_supervised_view v;
    char instance[16];
    for (enum near near = NEAR_NUMBER; near <= NEAR_SERVICE; near++) {
        for (uint32_t i = 0; ap_supervised_at(up->a->seg, i) != NULL; i++) {
            if (!ap_supervised_read(up->a->seg, i, &v)) continue;
            snprintf(instance, sizeof instance, "%u", v.last.instance);
            former_find_heir(up, former_add(up, ap_swarm_key(v.service, instance), v.last.instance), &v, near);
        }
    }
}

void former_removed(struct up *up, const struct queen *q)
{
    for (size_t i = 0; i < up->former_count; i++)
        if (up->former[i].heir == q) up->former[i].heir = NULL;
    former_add(up, former_key(q), queen_instance(q));
}

static bool is_own(const struct up *up, uint64_t key)
{
    for (size_t i = 0; i < up->queen_count; i++)
        if (former_key(up->queens[i]) == key) return true;
    return false;
}

/* One that autoscaling takes out has nothing to hand on. */
bool former_heir_of(struct up *up, const struct queen *q, uint32_t *ret)
{
    struct said said;
    if (q->follows != 0) *ret = q->follows - 1;
    for (size_t i = 0; i < up->former_count; i++) {
        struct up_former *f = &up->former[i];
        if (f->heir != q || f->given || is_own(up, f->key) || !former_by_key(up->a->seg, f->key, &said)) continue;
        f->seen = said.word;
        *ret = f->instance;
        return !autoscale_took_out(&said.view);
    }
    return q->follows != 0;
}

/* False: something is still to be given. */
static bool former_tend(const struct up *up, struct up_former *f)
{
    struct said from;
    struct swarm_view to;
    if (f->heir == NULL || f->given || !former_by_key(up->a->seg, f->key, &from)) return true;
    if (!former_by_pid(up->a->seg, f->heir->child->pid, &to)) return false;
    former_give(up->a->seg, &from, &to);
    /* An operator has let the other one serve again while this one registered. */
    if (!from.mode && f->seen != 0 && f->seen != from.word)
        (void)ap_swarm_mode_set(up->a->seg, to.index, to.service, to.instance, APIARY_READY, NULL);
    f->given = true;
    return true;
}

/* The former instances are not down when they have left: others have their places, under other names where these were taken. What
 * an operator has said of them is forgotten with them: the heir has it, or there is no such place any more. */
void former_look(struct up *up)
{
    bool alone = up->former_count > 0 && view_supervisor(up->a->seg, up->a->member) == 0;
    for (size_t i = up->former_count; i-- > 0;) {
        struct up_former *f = &up->former[i];
        if (is_own(up, f->key)) continue;
        if (!former_tend(up, f) || !alone) continue;
        if (!ap_swarm_forget_instance(up->a->seg, up->a->anchor->lane.index, f->key, true)) continue;
        up->former[i] = up->former[--up->former_count];
    }
}

void former_free(struct up *up)
{
    free(up->former);
    up->former = NULL;
    up->former_count = 0;
}
