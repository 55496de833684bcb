/* tools/common/event.c - events in words. See event.h. */
#include "tools/common/event.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/text.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/supervised.h"
#include "registry/routing/dead.h"
#include "registry/routing/terms.h"

#define ABOUT_MAX (APIARY_CAPABILITY_MAX + 3 * APIARY_NAME_MAX + 16)

static const struct kind {
    const char *name, *text, *means[3];
} kinds[AP_EVENT_KINDS] = {
#define X(name, text, a, b, c) [AP_EVENT_##name] = {#name, text, {a, b, c}},
    AP_EVENTS(X)
#undef X
};

/* "SWARM_DIED" is typed, and printed, as "swarm-died". */
static const char *kind_name(uint32_t kind, char ret[EVENT_KIND_MAX + 1])
{
    size_t i = 0;

    for (const char *c = kinds[kind].name; *c != '\0' && i < EVENT_KIND_MAX; c++)
        ret[i++] = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    ret[i] = '\0';
    return ret;
}

bool event_kind_known(const char *name)
{
    char own[EVENT_KIND_MAX + 1];

    for (uint32_t kind = 1; kind < AP_EVENT_KINDS; kind++)
        if (strcmp(kind_name(kind, own), name) == 0) return true;
    return strcmp(name, EVENTS_LOST) == 0;
}

char *event_kinds(void)
{
    char name[EVENT_KIND_MAX + 1], *all = tool_strdup("");

    for (uint32_t kind = 1; kind < AP_EVENT_KINDS; kind++) {
        char *more = tool_format("%s%s, ", all, kind_name(kind, name));

        free(all);
        all = more;
    }
    char *whole = tool_format("%s%s", all, EVENTS_LOST);
    free(all);
    return whole;
}

uint64_t event_log_begins(const struct ap_segment *seg, uint64_t end)
{
    return end > seg->geometry.events ? end - seg->geometry.events : 1;
}

/* ---- who and what ------------------------------------------------------------------------------------------------ */

/* One event as it is told. */
struct about {
    const struct ap_segment *seg;
    const struct ap_event *e;
    char *service; /* of struct event_told */
    char of[3][ABOUT_MAX];
    bool named[3]; /* not by its number */
    char said[AP_EVENT_TEXT + 1];
};

static uint64_t event_value(const struct ap_event *e, unsigned i)
{
    return i == 0 ? e->a : i == 1 ? e->b : e->c;
}

/* "": it has none. */
static void event_task_names(const struct ap_segment *seg, uint64_t task, char capability[APIARY_CAPABILITY_MAX + 1],
                             char caller[APIARY_NAME_MAX + 1])
{
    *capability = *caller = '\0';
    if (AP_EVENT_CAPABILITY(task) < AP_REGISTRY_NUMBER(&seg->geometry, CAPABILITIES))
        ap_capability_name(seg, AP_EVENT_CAPABILITY(task), capability);
    if (AP_EVENT_CALLER(task) != 0) ap_service_name(seg, AP_EVENT_CALLER(task) - 1, caller);
}

/* An instance that is registered, or was last in this row. */
static bool swarm_names(const struct ap_segment *seg, uint64_t row, char service[APIARY_NAME_MAX + 1],
                        char instance[APIARY_NAME_MAX + 1])
{
    const struct ap_swarm *s = ap_swarm_at(seg, row);
    uint64_t life;

    if (s == NULL) return false;
    life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
    if (AP_SWARM_STATE(life) != AP_SWARM_LIVE && AP_SWARM_STATE(life) != AP_SWARM_DOWN) return false;
    ap_service_name(seg, ap_load_relaxed(&s->service), service);
    ap_text_copy(instance, s->instance, APIARY_NAME_MAX + 1);
    ap_fence_acquire();
    return ap_load_relaxed(&s->life) == life;
}

static bool about_swarm(struct about *to, uint64_t row, char *ret, size_t size)
{
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1];

    if (!swarm_names(to->seg, row, service, instance)) return false;
    ap_text_copy(to->service, service, APIARY_NAME_MAX + 1);
    snprintf(ret, size, "%s/%s", service, instance);
    return true;
}

static bool about_queue(struct about *to, uint64_t row, char *ret, size_t size)
{
    const struct ap_agent_record *record = ap_agent_at(to->seg, row);
    const struct ap_queue *q = ap_queue_at(to->seg, row);
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], name[APIARY_NAME_MAX + 1];
    uint64_t life;

    if (record == NULL || q == NULL) return false;
    life = ap_load_acquire(&q->life); /* DISC-A2 pairs DISC-R2: the record before the open queue */
    if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN && AP_QUEUE_STATE(life) != AP_QUEUE_CLOSED) return false;
    if (!swarm_names(to->seg, ap_load_relaxed(&record->swarm), service, instance)) return false;
    ap_text_copy(name, record->name, sizeof name);
    ap_text_copy(to->service, service, APIARY_NAME_MAX + 1);
    snprintf(ret, size, "%s/%s/%s", service, instance, name);
    return true;
}

static bool about_capability(struct about *to, uint64_t row, char *ret, size_t size)
{
    char name[APIARY_CAPABILITY_MAX + 1];

    if (row >= AP_REGISTRY_NUMBER(&to->seg->geometry, CAPABILITIES)) return false;
    ap_capability_name(to->seg, (uint32_t)row, name);
    snprintf(ret, size, "%s", name);
    return *name != '\0';
}

static bool about_service(struct about *to, uint64_t row, char *ret, size_t size)
{
    char name[APIARY_NAME_MAX + 1];

    if (row >= to->seg->sections[AP_SECTION_SERVICES].count) return false;
    ap_service_name(to->seg, (uint32_t)row, name);
    ap_text_copy(to->service, name, APIARY_NAME_MAX + 1);
    snprintf(ret, size, "%s", name);
    return *name != '\0';
}

static bool about_mode(struct about *to, uint64_t mode, char *ret, size_t size)
{
    (void)to;
    if (mode > INT32_MAX) return false;
    snprintf(ret, size, "%s", tool_mode_name((int)mode));
    return true;
}

static bool about_term(struct about *to, uint64_t term, char *ret, size_t size)
{
    (void)to;
    if (term >= AP_TERMS) return false;
    snprintf(ret, size, "%s", ap_term_rows[term].key);
    return true;
}

/* The answer of a health endpoint (tools/apiaryd/health.h). */
static bool about_answer(struct about *to, uint64_t answer, char *ret, size_t size)
{
    static const char *const none[] = {"no answer in time", "nobody listens there", "the exchange broke off"};

    (void)to;
    if (answer < sizeof none / sizeof *none) snprintf(ret, size, "%s", none[answer]);
    else snprintf(ret, size, "status %" PRIu64, answer);
    return true;
}

static bool about_span(struct about *to, uint64_t span, char *ret, size_t size)
{
    char text[32];

    (void)to;
    snprintf(ret, size, "for %s", tool_format_duration(span, text));
    return true;
}

/* Whose task it is, of which capability, and its start. */
static bool about_task(struct about *to, uint64_t task, char *ret, size_t size)
{
    char capability[APIARY_CAPABILITY_MAX + 1], caller[APIARY_NAME_MAX + 1];
    uint32_t starts = AP_EVENT_STARTS(task);

    event_task_names(to->seg, task, capability, caller);
    snprintf(ret, size, "%s%s%s, start %u", *capability != '\0' ? capability : "of no capability", *caller != '\0' ? " of " : "",
             caller, starts);
    return *capability != '\0';
}

static bool about_by(struct about *to, uint64_t by, char *ret, size_t size)
{
    (void)to;
    if (by == 0) return false;
    snprintf(ret, size, "by user %u, pid %u", AP_EVENT_UID(by), AP_EVENT_PID(by));
    return true;
}

static bool about_failure(struct about *to, uint64_t failure, char *ret, size_t size)
{
    int n = snprintf(ret, size, "code %u", (uint32_t)failure);

    (void)to;
    if (failure >> 32 != 0) snprintf(ret + n, size - (size_t)n, ", after %u more", (uint32_t)(failure >> 32));
    return true;
}

/* Of an instance that a supervisor runs. */
static bool about_supervised(struct about *to, uint64_t row, char *ret, size_t size)
{
    struct ap_supervised_view v;

    if (row > UINT32_MAX || !ap_supervised_read(to->seg, (uint32_t)row, &v)) return false;
    ap_text_copy(to->service, v.service, APIARY_NAME_MAX + 1);
    snprintf(ret, size, "%s/%u", v.service, v.last.instance);
    return true;
}

static bool about_end(struct about *to, uint64_t end, char *ret, size_t size)
{
    const char *name = end >> 32 == AP_END_SIGNAL && (uint32_t)end <= INT32_MAX ? sigabbrev_np((int)end) : NULL;

    (void)to;
    if (end >> 32 == AP_END_CODE) snprintf(ret, size, "with code %u", (uint32_t)end);
    else if (name != NULL) snprintf(ret, size, "killed by SIG%s", name);
    else if (end >> 32 == AP_END_SIGNAL) snprintf(ret, size, "killed by signal %u", (uint32_t)end);
    else snprintf(ret, size, "could not be started");
    return true;
}

static bool about_one(struct about *to, const char *means, uint64_t value, char *ret, size_t size)
{
    static const struct {
        const char *means;
        bool (*tell)(struct about *to, uint64_t value, char *ret, size_t size);
    } known[] = {{"swarm", about_swarm}, {"queue", about_queue}, {"capability", about_capability}, {"service", about_service},
                 {"mode", about_mode}, {"term", about_term}, {"answer", about_answer}, {"stuck for", about_span},
                 {"task", about_task}, {"by", about_by}, {"failure", about_failure}, {"supervised", about_supervised},
                 {"end", about_end}};

    *ret = '\0';
    if (*means == '\0') return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].means, means) == 0 && known[i].tell(to, value, ret, size)) return true;
    snprintf(ret, size, "%s %" PRIu64, means, value);
    return false;
}

static void about_all(struct about *to)
{
    const struct ap_event *e = to->e;

    for (unsigned i = 0; i < 3; i++)
        to->named[i] = about_one(to, kinds[e->kind].means[i], event_value(e, i), to->of[i], sizeof to->of[i]);
    ap_event_said(e, to->said);
}

/* ---- what goes with it ------------------------------------------------------------------------------------------- */

/* The detail of an event: a sentence and an object; both NULL: there is none. */
struct detail {
    char *text;
    json_t *json;
};

static const char *cause_text(uint32_t cause, char *ret, size_t size)
{
    int code = ap_dead_code(cause);

    if (ap_dead_signal(cause) != 0) snprintf(ret, size, "crashed its workers with signal %u", ap_dead_signal(cause));
    else snprintf(ret, size, "%s", code == APIARY_EAGENT ? "failed" : code == APIARY_EOVERRUN ? "took too long" :
                                   code == APIARY_ELOST ? "lost its workers" : "crashed its workers");
    return ret;
}

/* The entry of the dead set: whose task, at which agent, how often it was started, and what the agent said. A row of a later task
 * died later than the event. */
static struct detail detail_dead(struct about *to)
{
    char capability[APIARY_CAPABILITY_MAX + 1], id[48], cause[48];
    struct ap_dead d;

    if (to->e->b > UINT32_MAX || !ap_dead_read(to->seg, (uint32_t)to->e->b, &d)) return (struct detail){NULL, NULL};
    if (d.slot != to->e->a || d.died > to->e->time) return (struct detail){NULL, NULL};
    tool_format_task((apiary_task_t){.slot = d.slot, .epoch = d.epoch, .generation = d.generation}, id);
    ap_capability_name(to->seg, d.capability, capability);
    cause_text(d.cause, cause, sizeof cause);
    if (*to->service == '\0') ap_text_copy(to->service, d.service, APIARY_NAME_MAX + 1);
    return (struct detail){
        .text = tool_format("%s%s%s at %s/%s/%s %s, %u start%s%s%s", capability, *d.caller != '\0' ? " of " : "", d.caller,
                            d.service, d.instance, d.agent, cause, d.starts, d.starts == 1 ? "" : "s", *d.text != '\0' ? ": " : "",
                            d.text),
        .json = json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:s, s:i, s:i, s:i, s:o}", "task", id, "entry", (json_int_t)d.number,
                          "capability", tool_json_text(capability), "caller", tool_json_text(d.caller), "service",
                          tool_json_text(d.service), "instance", tool_json_text(d.instance), "agent", tool_json_text(d.agent),
                          "cause", cause, "attempts", (int)d.starts, "crashes", (int)d.crashes, "agent_code",
                          (int)d.agent_code, "error", tool_json_text(d.text))};
}

static struct detail detail_of(struct about *to)
{
    switch (to->e->kind) {
    case AP_EVENT_TASK_DEAD: return detail_dead(to);
    default: return (struct detail){NULL, NULL};
    }
}

/* ---- an event ---------------------------------------------------------------------------------------------------- */

static void told_task(const struct about *to, json_t *o)
{
    char capability[APIARY_CAPABILITY_MAX + 1], caller[APIARY_NAME_MAX + 1];

    event_task_names(to->seg, to->e->c, capability, caller);
    json_object_set_new(o, "capability", *capability != '\0' ? tool_json_text(capability) : json_null());
    json_object_set_new(o, "caller", *caller != '\0' ? tool_json_text(caller) : json_null());
    json_object_set_new(o, "attempts", json_integer(AP_EVENT_STARTS(to->e->c)));
}

static json_t *told_json(const struct about *to, const struct event_told *told, const struct detail *detail)
{
    char time[32];
    json_t *of = json_object(), *names = json_object();
    json_t *o = json_pack("{s:I, s:s, s:s, s:s}", "number", (json_int_t)told->number, "time",
                          tool_format_time(told->time, time), "kind", told->kind, "text", kinds[to->e->kind].text);

    json_object_set_new(o, "service", *told->service != '\0' ? tool_json_text(told->service) : json_null());
    for (unsigned i = 0; i < 3; i++) {
        const char *means = kinds[to->e->kind].means[i];

        if (*means != '\0') json_object_set_new(of, means, tool_json_number(event_value(to->e, i)));
        if (to->named[i]) json_object_set_new(names, means, tool_json_text(to->of[i]));
    }
    json_object_set_new(o, "of", of);
    json_object_set_new(o, "names", names);
    if (strcmp(kinds[to->e->kind].means[2], "task") == 0) told_task(to, o);
    json_object_set_new(o, "said", *to->said != '\0' ? tool_json_text(to->said) : json_null());
    if (detail->json != NULL) json_object_set_new(o, "detail", detail->json);
    return o;
}

/* A dead task's entry says all that the numbers say, and more. */
static char *told_text(const struct about *to, const struct detail *detail)
{
    char *about = tool_strdup(detail->text != NULL ? detail->text : "");

    for (unsigned i = 0; i < 3 && detail->text == NULL; i++) {
        char *more = tool_format("%s%s%s", about, *about != '\0' && *to->of[i] != '\0' ? ", " : "", to->of[i]);

        free(about);
        about = more;
    }
    const char *said = detail->text == NULL ? to->said : "";
    char *whole = tool_format("%s%s%s", about, *said != '\0' ? ": " : "", said);
    char *shown = tool_printable(whole, strlen(whole));
    char *ret = tool_format("%s%s%s", kinds[to->e->kind].text, *shown != '\0' ? ": " : "", shown);

    free(shown);
    free(whole);
    free(about);
    return ret;
}

bool event_tell(const struct ap_segment *seg, const struct ap_event *e, struct event_told *ret)
{
    struct about to = {.seg = seg, .e = e, .service = ret->service};
    struct detail detail;

    if (e->kind == AP_EVENT_NONE || e->kind >= AP_EVENT_KINDS) return false;
    *ret = (struct event_told){.number = e->number, .time = e->time};
    kind_name(e->kind, ret->kind);
    about_all(&to);
    detail = detail_of(&to);
    ret->text = told_text(&to, &detail);
    ret->json = told_json(&to, ret, &detail);
    free(detail.text);
    return true;
}

void event_tell_lost(uint64_t number, uint64_t count, uint64_t time, struct event_told *ret)
{
    char at[32];

    *ret = (struct event_told){.number = number, .time = time, .kind = EVENTS_LOST};
    ret->text = tool_format("%" PRIu64 " event%s lost: overwritten before anybody kept %s", count, count == 1 ? "" : "s",
                            count == 1 ? "it" : "them");
    ret->json = json_pack("{s:I, s:s, s:s, s:s, s:n, s:{s:I}, s:{}}", "number", (json_int_t)number, "time",
                          tool_format_time(time, at), "kind", EVENTS_LOST, "text", "overwritten before anybody kept it", "service",
                          "of", "events", (json_int_t)count, "names");
}

void event_told_free(struct event_told *told)
{
    free(told->text);
    json_decref(told->json);
    *told = (struct event_told){.number = 0};
}

int event_since(const char *text, uint64_t *ret)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    uint64_t now = ap_ops_system.realtime(), span;

    if (tool_duration(text, &span) == 0) {
        *ret = span < now ? now - span : 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &tm);
        time_t seconds;

        if (end == NULL || *end != '\0') continue;
        seconds = i < 2 ? timegm(&tm) : mktime(&tm); /* without a Z it is this machine's time */
        if (seconds < 0) return APIARY_EINVAL;
        *ret = (uint64_t)seconds * UINT64_C(1000000000);
        return 0;
    }
    return APIARY_EINVAL;
}
