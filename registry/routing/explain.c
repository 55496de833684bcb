/* registry/routing/explain.c - where tasks would go, for those who ask and do not send them. See router.h. */
#include "registry/routing/homes.h"
#include "registry/routing/pick.h"

/* The pick of somebody who only looks. */
struct explained {
    struct ap_pick any, pick; /* among all; among those that the name means */
    bool may;              /* the name means something that is there, and the caller may ask for it */
    bool homes;            /* it is stateful, and `home` is where the task goes; AP_NO_QUEUE: nowhere */
    uint32_t home;
    struct ap_rules_asked rules;
    struct ap_majors majors;
    struct ap_route_view *views;
    uint32_t capacity;
    int count, best;
};

static void explain_major(struct ap_route_view *view, const struct ap_majors *all)
{
    view->major = ap_major_newest(all, view->candidate.agent);
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->list[i].major != view->major) continue;
        view->canary = all->list[i].canary;
        view->percent = all->list[i].percent;
    }
}

static bool each_explained(struct ap_pick *any, uint32_t queue)
{
    struct explained *e = (struct explained *)(void *)any; /* it is the first in it */
    struct ap_pick *p = &e->pick;
    struct ap_route_view view = {.fits = false};

    view.fits = ap_pick_fill(any, queue, &view.candidate);
    if (view.fits) view.score = p->policy->score(&p->asking, &view.candidate);
    if (view.fits) explain_major(&view, &e->majors);
    if (view.fits) {
        view.forbidden = ap_rules_forbidden(&e->rules, view.candidate.swarm);
        view.preferred = ap_rules_preferred(&e->rules, view.candidate.swarm);
    }
    view.meant = e->may && view.fits && ap_pick_fill(p, queue, &view.candidate);
    if (view.meant && !e->homes) ap_pick_consider(p, queue);
    if (view.meant && queue == (e->homes ? e->home : p->best.queue)) e->best = e->count;
    if ((uint32_t)e->count < e->capacity) e->views[e->count] = view;
    e->count++;
    return true;
}

/* All providers once; with `preferring` only one of those that the rules prefer is best. */
static void explain_all(struct explained *e, struct ap_narrowed *n, bool preferring)
{
    n->rules.preferring = preferring;
    e->count = 0;
    e->best = -1;
    e->pick.best.queue = AP_NO_QUEUE;
    e->pick.scored = false;
    ap_pick_sum(&e->pick);
    ap_pick_each(&e->any, each_explained);
}

int ap_route_explain(struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, struct ap_route_view *ret,
                     uint32_t capacity, int *ret_best)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.from_gate = q->passed};
    struct explained e = {.pick = {.seg = seg, .service = q->service, .not = AP_NO_QUEUE}, .views = ret,
                          .capacity = capacity, .best = -1};
    struct ap_narrowed n = {.plain = false};

    if (row == NULL) return APIARY_ENOCAP;
    e.pick.providers = row->providers;
    ap_pick_begin(&e.pick, capability, &nobody, q->key);
    e.any = e.pick;
    ap_majors_begin(&e.majors, seg, capability);
    ap_rules_ask(&e.rules, seg, capability, q->caller);
    e.may = ap_pick_narrow(&e.pick, capability, q->caller, &n) == 0;
    if (n.majors.seg != NULL) e.majors = n.majors;
    e.homes = e.may && ap_stateful(seg, n.meant);
    if (e.homes) e.home = ap_home_pick(&e.pick, &n, false) == 0 ? e.pick.best.queue : AP_NO_QUEUE;
    explain_all(&e, &n, !e.homes && ap_rules_prefer(&n.rules));
    if (!e.homes && (e.best < 0 || AP_STANDS_APART(e.pick.best.standing))) explain_all(&e, &n, false);
    *ret_best = e.best;
    return e.count;
}

static bool each_elsewhere(struct ap_pick *p, uint32_t queue)
{
    ap_pick_consider(p, queue);
    return true;
}

bool ap_route_elsewhere(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint32_t queue)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.from_gate = q->passed};
    struct ap_pick p = {.seg = seg, .service = q->service, .not = queue};
    struct ap_candidate own;
    struct ap_narrowed n = {.plain = false};

    if (row == NULL) return false;
    p.providers = row->providers;
    ap_pick_begin(&p, capability, &nobody, q->key);
    if (ap_pick_narrow(&p, capability, q->caller, &n) < 0) return false;
    /* From a preferred one that passes a task goes to another that is preferred. */
    n.rules.preferring = ap_rules_prefer(&n.rules) && ap_pick_fill(&p, queue, &own) && !AP_STANDS_APART(own.standing) &&
                         ap_rules_preferred(&n.rules, own.swarm);
    ap_pick_each(&p, each_elsewhere);
    return p.best.queue != AP_NO_QUEUE && !AP_STANDS_APART(p.best.standing);
}

static bool each_there(struct ap_pick *p, uint32_t queue)
{
    struct ap_candidate c;

    if (!ap_pick_fill(p, queue, &c)) return true;
    p->best = c;
    return false;
}

int ap_route_look(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    const struct ap_balance nobody = {.from_gate = q->passed};
    struct ap_pick p = {.seg = seg, .service = q->service, .not = AP_NO_QUEUE};
    struct ap_narrowed n = {.plain = false};
    int r;

    if (row == NULL) return APIARY_ENOCAP;
    p.providers = row->providers;
    ap_pick_begin(&p, capability, &nobody, q->key);
    r = ap_pick_narrow(&p, capability, q->caller, &n);
    if (r < 0) return r;
    if (ap_stateful(seg, n.meant)) return ap_home_pick(&p, &n, false);
    ap_pick_each(&p, each_there);
    if (p.best.queue != AP_NO_QUEUE) return 0;
    return n.refused ? APIARY_EFORBIDDEN : APIARY_ENOPROVIDER;
}

int ap_route_may(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q)
{
    int r = ap_route_look(seg, capability, q);

    return r == APIARY_ENOPROVIDER ? 0 : r;
}

bool ap_route_forbidden(const struct ap_segment *seg, uint32_t capability, uint32_t caller, const struct ap_swarm *swarm)
{
    struct ap_rules_asked asked;

    ap_rules_ask(&asked, seg, capability, caller);
    return swarm != NULL && ap_rules_forbidden(&asked, swarm);
}
