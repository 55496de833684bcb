/* tools/apiary/autoscale.c - see autoscale.h. */
#include "tools/apiary/autoscale.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/deployment/autoscale.h"
#include "core/text.h"
#include "shm/event.h"

#define REASON "autoscale: it leaves when its tasks are done"
#define KILL_AFTER UINT64_C(2000000000) /* the time to finish tasks is over */

struct autoscaled {
    char service[APIARY_NAME_MAX + 1];
    struct ap_autoscaler state;
    struct ap_autoscale_look look; /* the last one */
    struct ap_autoscale_verdict verdict;
    uint64_t changed, by; /* CLOCK_REALTIME, 0: never; AP_EVENT_BY */
    uint32_t from, to;
    char said[AP_EVENT_TEXT + 1];
};

/* It is added where it is not there. The pointer holds until the next one is added. */
static struct autoscaled *autoscale_of(struct up *up, const char *service)
{
    for (size_t i = 0; i < up->autoscaled_count; i++)
        if (strcmp(up->autoscaled[i].service, service) == 0) return &up->autoscaled[i];
    up->autoscaled = tool_realloc(up->autoscaled, (up->autoscaled_count + 1) * sizeof *up->autoscaled);
    struct autoscaled *e = &up->autoscaled[up->autoscaled_count++];
    *e = (struct autoscaled){.changed = 0};
    ap_text_copy(e->service, service, sizeof e->service);
    return e;
}

void autoscale_close(struct up *up)
{
    free(up->autoscaled);
    up->autoscaled = NULL;
    up->autoscaled_count = 0;
}

static bool autoscale_is_of(const struct queen *q, const struct ap_deployment_swarm *s)
{
    return strcmp(q->swarm->service, s->service) == 0;
}

/* ---- what is seen ------------------------------------------------------------------------------------------------ */

static void autoscale_see_one(const struct queen *q, struct ap_autoscale_look *ret)
{
    const struct crew_child *c = q->child;
    if (q->works && q->away) return;
    if (q->works) {
        ret->serving++;
        ret->waiting += q->queued;
        ret->running += q->running;
    } else if (!q->passed && c->ends == 0 && c->wanted) {
        ret->coming++;
    } else {
        ret->failing++;
        ret->unproven = ret->unproven || !q->passed;
    }
}

static void autoscale_see(const struct up *up, const struct ap_deployment_swarm *s, struct ap_autoscale_look *ret)
{
    *ret = (struct ap_autoscale_look){.now = ap_ops_system.now(), .instances = s->instances, .workers = s->workers};
    for (size_t i = 0; i < up->queen_count; i++)
        if (!up->queens[i]->leaves && autoscale_is_of(up->queens[i], s)) autoscale_see_one(up->queens[i], ret);
}

/* ---- the mode of an instance that is about to leave -------------------------------------------------------------- */

bool autoscale_took_out(const struct swarm_view *v)
{
    return v->mode == APIARY_DRAIN && strcmp(v->reason, REASON) == 0;
}

/* Whether it is so now. An operator's word stays. */
static bool autoscale_mode(struct up *up, const struct queen *q, enum apiary_mode mode)
{
    struct ap_segment *seg = up->a->seg;
    struct swarm_view v;
    for (uint32_t i = 0; q->child->pid != 0 && ap_swarm_at(seg, i) != NULL; i++) {
        if (!view_swarm(seg, i, &v) || !v.alive || v.pid != q->child->pid) continue;
        bool own = autoscale_took_out(&v);
        if (mode == APIARY_READY ? !own : v.mode != APIARY_READY) return false;
        return ap_swarm_mode_set(seg, i, v.service, v.instance, mode, mode == APIARY_READY ? NULL : REASON) >= 0;
    }
    return false;
}

/* One that its supervisor had taken out of the routing when it was killed has come back under its name. */
static void autoscale_put_back(struct up *up, const struct ap_deployment_swarm *s)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (q->away && !q->leaves && autoscale_is_of(q, s)) (void)autoscale_mode(up, q, APIARY_READY); /* if it is that */
    }
}

/* ---- fewer ------------------------------------------------------------------------------------------------------- */

static bool autoscale_retire(struct up *up, struct ap_deployment_swarm *s)
{
    struct queen *last = NULL;
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        if (!q->leaves && autoscale_is_of(q, s) && (last == NULL || q->number > last->number)) last = q;
    }
    if (last == NULL) return false;
    (void)autoscale_mode(up, last, APIARY_DRAIN); /* one that is not routed to has less to finish */
    last->leaves = last->retires = true;
    last->idle = false;
    s->instances--;
    return true;
}

static void autoscale_dismiss(struct up *up, struct queen *q)
{
    q->retires = false;
    crew_dismiss(up->crew, q->child);
    if (q->child->pid != 0) q->child->patience = ap_ops_system.now() + up->drain + KILL_AFTER;
}

/* Twice idle, since a sender that chose it just before may still be on its way. */
static void autoscale_tend(struct up *up)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        if (!q->retires) continue;
        bool idle = q->child->pid == 0 || q->queued + q->running == 0;
        if (idle && (q->idle || q->child->pid == 0)) autoscale_dismiss(up, q);
        else q->idle = idle;
    }
    for (size_t i = up->queen_count; i-- > 0;) {
        struct queen *q = up->queens[i];
        if (!q->leaves || q->retires || !q->child->told || q->child->pid != 0) continue;
        crew_say(up->crew, "apiary: up: %s has left", q->child->label);
        queens_remove(up, q);
    }
}

/* ---- more -------------------------------------------------------------------------------------------------------- */

/* Numbers have no gap: of those about to leave the one stays that has the next. */
static bool autoscale_keep(struct up *up, struct ap_deployment_swarm *s)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        if (!q->retires || q->number != s->instances || !autoscale_is_of(q, s)) continue;
        (void)autoscale_mode(up, q, APIARY_READY); /* if it was not an operator who has taken it out */
        q->leaves = q->retires = false;
        s->instances++;
        return true;
    }
    return false;
}

static void autoscale_add(struct up *up, struct ap_deployment_swarm *s, uint32_t wanted)
{
    struct change c = {.up = up};
    s->instances = wanted;
    renew_add(&c, s);
    for (size_t i = 0; i < up->queen_count; i++)
        if (autoscale_is_of(up->queens[i], s)) up->queens[i]->fresh = false;
}

/* ---- a decision -------------------------------------------------------------------------------------------------- */

static void autoscale_event(struct up *up, uint32_t kind, const struct ap_deployment_swarm *s, uint64_t by, const char *said)
{
    int row = ap_service_find(up->a->seg, s->service);
    if (row < 0) return; /* none of it was ever registered */
    ap_event_log_more(up->a->seg, kind, up->a->anchor->lane.index, (uint64_t)row, s->instances, by, said, strlen(said));
}

void autoscale_note(struct up *up, const struct ap_deployment_swarm *s, uint32_t from, uint64_t by, const char *said)
{
    autoscale_event(up, AP_EVENT_SERVICE_SCALED, s, by, said);
    if (s->autoscale.max == 0) return;
    struct autoscaled *e = autoscale_of(up, s->service);
    e->changed = ap_ops_system.realtime();
    e->by = by;
    e->from = from;
    e->to = s->instances;
    ap_format(e->said, sizeof e->said, "%s", said);
    ap_autoscale_restart(&e->state);
}

static void autoscale_carry_out(struct up *up, struct ap_deployment_swarm *s, uint32_t wanted, const char *said)
{
    uint32_t from = s->instances;
    while (s->instances < wanted && autoscale_keep(up, s)) {}
    if (s->instances < wanted) autoscale_add(up, s, wanted);
    while (s->instances > wanted && autoscale_retire(up, s)) {}
    if (s->instances == from) return;
    crew_say(up->crew, "apiary: up: %s: %u instance%s to be %u: %s", s->service, from, from == 1 ? " is" : "s are", s->instances,
             said);
    autoscale_note(up, s, from, AP_EVENT_BY(getuid(), getpid()), said);
}

static void autoscale_service(struct up *up, struct ap_deployment_swarm *s)
{
    struct autoscaled *e = autoscale_of(up, s->service);
    char text[AP_AUTOSCALE_TEXT + 1], said[AP_EVENT_TEXT + 1];
    autoscale_put_back(up, s);
    autoscale_see(up, s, &e->look);
    e->verdict = ap_autoscale_decide(&s->autoscale, &e->state, &e->look);
    if (e->verdict.wanted == s->instances && !e->verdict.told) return;
    ap_autoscale_text(&s->autoscale, &e->look, &e->verdict, text);
    ap_format(said, sizeof said, "autoscale, %u to %u: %s", s->autoscale.min, s->autoscale.max, text);
    if (e->verdict.told) {
        crew_say(up->crew, "apiary: up: %s stays at %u instance%s: %s", s->service, s->instances, s->instances == 1 ? "" : "s",
                 said);
        autoscale_event(up, AP_EVENT_SERVICE_HELD, s, AP_EVENT_BY(getuid(), getpid()), said);
    }
    if (e->verdict.wanted != s->instances) autoscale_carry_out(up, s, e->verdict.wanted, said);
}

void autoscale_turn(struct up *up)
{
    for (size_t i = 0; i < up->d->swarm_count; i++)
        if (up->d->swarms[i].autoscale.max > 0) autoscale_service(up, &up->d->swarms[i]);
        else autoscale_put_back(up, &up->d->swarms[i]); /* a former supervisor may have had it autoscaled */
    if (up->autoscaled_count > 0) autoscale_tend(up);
}

void autoscale_settle(struct change *c)
{
    struct up *up = c->up;
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        struct ap_deployment_swarm *s = &up->d->swarms[i];
        uint32_t from = s->instances;
        while (autoscale_keep(up, s)) {}
        if (s->instances == from) continue;
        autoscale_note(up, s, from, up->by, "autoscale: a change has begun before it left");
    }
    renew_finish(c);
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static uint32_t autoscale_former(const struct up *up, const char *service)
{
    struct ap_supervised_view v;
    uint32_t n = 0;
    for (uint32_t i = 0; ap_supervised_at(up->a->seg, i) != NULL; i++)
        n += ap_supervised_read(up->a->seg, i, &v) && strcmp(v.service, service) == 0 && v.last.state != AP_CHILD_LEAVING &&
             v.last.state != AP_CHILD_STOPPED;
    return n;
}

void autoscale_adopt(struct up *up)
{
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        struct ap_deployment_swarm *s = &up->d->swarms[i];
        uint32_t n = s->autoscale.max > 0 ? autoscale_former(up, s->service) : 0;
        if (n < s->autoscale.min) n = n > 0 ? s->autoscale.min : 0;
        if (n > s->autoscale.max) n = s->autoscale.max;
        if (n == 0 || n == s->instances) continue;
        s->instances = n;
        crew_say(up->crew, "apiary: up: %s begins with %u instance%s, as its former supervisor had", s->service, n,
                 n == 1 ? "" : "s");
    }
}

/* ---- told -------------------------------------------------------------------------------------------------------- */

char *autoscale_numbers(const struct up *up)
{
    char *ret = tool_strdup("");
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        if (s->autoscale.max == 0) continue;
        char *longer = tool_format("%s%s%s=%u", ret, *ret != '\0' ? "," : "", s->service, s->instances);
        free(ret);
        ret = longer;
    }
    return ret;
}

static json_t *autoscale_change_json(const struct autoscaled *e)
{
    char time[32];
    if (e->changed == 0) return json_null();
    return json_pack("{s:s, s:i, s:i, s:o, s:I, s:I}", "time", tool_format_time(e->changed, time), "from", (int)e->from, "to",
                     (int)e->to, "said", tool_json_text(e->said), "uid", (json_int_t)AP_EVENT_UID(e->by), "pid",
                     (json_int_t)AP_EVENT_PID(e->by));
}

static void autoscale_rules_json(struct up *up, const struct ap_deployment_swarm *s, const struct ap_autoscale_look *look,
                                 json_t *o)
{
    const struct autoscaled *e = autoscale_of(up, s->service);
    char text[AP_AUTOSCALE_TEXT + 1];
    struct ap_autoscale_verdict now = e->verdict;
    now.wanted = s->instances;
    if (now.why == AP_SCALE_UP || now.why == AP_SCALE_DOWN || now.why == AP_SCALE_BOUNDS)
        now.why = look->coming > 0 ? AP_SCALE_COMING : AP_SCALE_COOLING; /* it was carried out */
    ap_autoscale_text(&s->autoscale, look, &now, text);
    json_object_set_new(o, "autoscale", json_pack("{s:i, s:i, s:i, s:I}", "min", (int)s->autoscale.min, "max",
                                                  (int)s->autoscale.max, "backlog", (int)s->autoscale.backlog, "cool_down_ns",
                                                  (json_int_t)s->autoscale.cool_down));
    json_object_set_new(o, "why", tool_json_text(text));
    json_object_set_new(o, "changed", autoscale_change_json(e));
}

json_t *autoscale_json(struct up *up, const char *service)
{
    json_t *list = json_array();
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        struct ap_autoscale_look look;
        uint32_t leaving = 0;
        if (service != NULL && strcmp(service, s->service) != 0) continue;
        autoscale_see(up, s, &look);
        for (size_t k = 0; k < up->queen_count; k++)
            leaving += up->queens[k]->leaves && autoscale_is_of(up->queens[k], s);
        json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:n, s:n, s:n}", "service", s->service, "wanted",
                              (int)s->instances, "serving", (int)look.serving, "starting", (int)look.coming, "failing",
                              (int)look.failing, "leaving", (int)leaving, "waiting", (json_int_t)look.waiting, "running",
                              (json_int_t)look.running, "autoscale", "why", "changed");
        if (s->autoscale.max > 0) autoscale_rules_json(up, s, &look, o);
        json_array_append_new(list, o);
    }
    return list;
}
