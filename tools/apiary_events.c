/* tools/apiary_events.c - apiary events: what has changed or was repaired, as the segment's log still tells it. */
#include "tools/apiary.h"

#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "registry/discovery/discovery.h"
#include "registry/routing/terms.h"
#include "shm/event.h"

#define ROUND_MS 100
/* A number whose record does not come within so many rounds belongs to a writer that died meanwhile. */
#define ROUNDS_OF_GRACE 20

static const struct kind {
    const char *name, *text, *means[2];
} kinds[AP_EVENT_KINDS] = {
#define X(name, text, a, b) [AP_EVENT_##name] = {#name, text, {a, b}},
    AP_EVENTS(X)
#undef X
};

struct wanted {
    uint64_t since; /* CLOCK_REALTIME */
    const char *kind, *service;
    uint64_t most; /* the newest so many */
    bool follow;
};

struct told {
    char about[2][APIARY_CAPABILITY_MAX + 3 * APIARY_NAME_MAX + 16];
    bool named[2]; /* not by its number */
    char service[APIARY_NAME_MAX + 1]; /* "": of none */
};

/* "SWARM_DIED" is typed, and printed, as "swarm-died". */
static const char *kind_name(uint32_t kind, char ret[32])
{
    size_t i = 0;

    for (const char *c = kinds[kind].name; *c != '\0' && i < 31; c++) ret[i++] = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    ret[i] = '\0';
    return ret;
}

static int kind_find(const struct tool *t, const struct tool_usage *usage, const char *text)
{
    char name[32], *all = tool_strdup("");
    int rc;

    for (uint32_t kind = 1; kind < AP_EVENT_KINDS; kind++) {
        char *more = tool_format("%s%s%s", all, kind > 1 ? ", " : "", kind_name(kind, name));

        free(all);
        all = more;
        if (strcmp(name, text) != 0) continue;
        free(all);
        return TOOL_GO_ON;
    }
    rc = tool_usage_error(t, usage, "'%s' is not a kind of event; there are %s", text, all);
    free(all);
    return rc;
}

/* ---- who and what: a row of the segment is named as it is now -------------------------------------------------- */

static bool about_swarm(const struct ap_segment *seg, uint64_t row, struct told *told, char *ret, size_t size)
{
    struct swarm_view swarm;

    if (row > UINT32_MAX || !view_swarm(seg, (uint32_t)row, &swarm)) return false;
    ap_text_copy(told->service, swarm.service, sizeof told->service);
    snprintf(ret, size, "%s/%s", swarm.service, swarm.instance);
    return true;
}

static bool about_queue(const struct ap_segment *seg, uint64_t row, struct told *told, char *ret, size_t size)
{
    struct agent_view agent;

    if (row > UINT32_MAX || !view_agent(seg, (uint32_t)row, &agent)) return false;
    ap_text_copy(told->service, agent.swarm.service, sizeof told->service);
    snprintf(ret, size, "%s/%s/%s", agent.swarm.service, agent.swarm.instance, agent.name);
    return true;
}

static bool about_capability(const struct ap_segment *seg, uint64_t row, struct told *told, char *ret, size_t size)
{
    char name[APIARY_CAPABILITY_MAX + 1];

    (void)told;
    if (row >= AP_REGISTRY_NUMBER(&seg->geometry, CAPABILITIES)) return false;
    ap_capability_name(seg, (uint32_t)row, name);
    snprintf(ret, size, "%s", name);
    return *name != '\0';
}

static bool about_service(const struct ap_segment *seg, uint64_t row, struct told *told, char *ret, size_t size)
{
    char name[APIARY_NAME_MAX + 1];

    if (row >= seg->sections[AP_SECTION_SERVICES].count) return false;
    ap_service_name(seg, (uint32_t)row, name);
    ap_text_copy(told->service, name, sizeof told->service);
    snprintf(ret, size, "%s", name);
    return *name != '\0';
}

static bool about_mode(const struct ap_segment *seg, uint64_t mode, struct told *told, char *ret, size_t size)
{
    (void)seg;
    (void)told;
    if (mode > INT32_MAX) return false;
    snprintf(ret, size, "%s", tool_mode_name((int)mode));
    return true;
}

static bool about_term(const struct ap_segment *seg, uint64_t term, struct told *told, char *ret, size_t size)
{
    (void)seg;
    (void)told;
    if (term >= AP_TERMS) return false;
    snprintf(ret, size, "%s", ap_term_rows[term].key);
    return true;
}

/* The answer of a health endpoint (tools/apiaryd_health.h). */
static bool about_answer(const struct ap_segment *seg, uint64_t answer, struct told *told, char *ret, size_t size)
{
    static const char *const none[] = {"no answer in time", "nobody listens there", "the exchange broke off"};

    (void)seg;
    (void)told;
    if (answer < sizeof none / sizeof *none) snprintf(ret, size, "%s", none[answer]);
    else snprintf(ret, size, "status %" PRIu64, answer);
    return true;
}

static bool about_span(const struct ap_segment *seg, uint64_t span, struct told *told, char *ret, size_t size)
{
    char text[32];

    (void)seg;
    (void)told;
    snprintf(ret, size, "for %s", tool_format_duration(span, text));
    return true;
}

static bool about_one(const struct ap_segment *seg, const char *means, uint64_t value, struct told *told, char *ret, size_t size)
{
    static const struct {
        const char *means;
        bool (*tell)(const struct ap_segment *seg, uint64_t value, struct told *told, char *ret, size_t size);
    } known[] = {{"swarm", about_swarm}, {"queue", about_queue}, {"capability", about_capability}, {"service", about_service},
                 {"mode", about_mode}, {"term", about_term}, {"answer", about_answer}, {"stuck for", about_span}};

    *ret = '\0';
    if (*means == '\0') return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].means, means) == 0 && known[i].tell(seg, value, told, ret, size)) return true;
    snprintf(ret, size, "%s %" PRIu64, means, value);
    return false;
}

static void about(const struct ap_segment *seg, const struct ap_event *e, struct told *ret)
{
    *ret->service = '\0';
    for (unsigned i = 0; i < 2; i++)
        ret->named[i] = about_one(seg, kinds[e->kind].means[i], i == 0 ? e->a : e->b, ret, ret->about[i], sizeof ret->about[i]);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static bool event_wanted(const struct ap_segment *seg, const struct wanted *w, const struct ap_event *e, struct told *told)
{
    char name[32];

    if (e->kind == AP_EVENT_NONE || e->kind >= AP_EVENT_KINDS || e->time < w->since) return false;
    if (w->kind != NULL && strcmp(kind_name(e->kind, name), w->kind) != 0) return false;
    about(seg, e, told);
    return w->service == NULL || strcmp(told->service, w->service) == 0;
}

static json_t *event_json(const struct ap_event *e, const struct told *told)
{
    char name[32], time[32];
    json_t *o = json_pack("{s:I, s:s, s:s, s:s}", "number", (json_int_t)e->number, "time", tool_format_time(e->time, time), "kind",
                          kind_name(e->kind, name), "text", kinds[e->kind].text);

    json_t *of = json_object(), *names = json_object();

    json_object_set_new(o, "service", *told->service != '\0' ? tool_json_text(told->service) : json_null());
    for (unsigned i = 0; i < 2; i++) {
        const char *means = kinds[e->kind].means[i];

        if (*means != '\0') json_object_set_new(of, means, json_integer((json_int_t)(i == 0 ? e->a : e->b)));
        if (told->named[i]) json_object_set_new(names, means, tool_json_text(told->about[i]));
    }
    json_object_set_new(o, "of", of);
    json_object_set_new(o, "names", names);
    return o;
}

static void event_line(const struct ap_event *e, const struct told *told)
{
    char time[32];
    char *text = tool_format("%s%s%s", told->about[0], *told->about[1] != '\0' ? ", " : "", told->about[1]);
    char *shown = tool_printable(text, strlen(text));

    printf("%s  %s%s%s\n", tool_format_time(e->time, time), kinds[e->kind].text, *shown != '\0' ? ": " : "", shown);
    free(shown);
    free(text);
}

/* The oldest number that the log may still have. */
static uint64_t log_begins(const struct ap_segment *seg, uint64_t end)
{
    return end > seg->geometry.events ? end - seg->geometry.events : 1;
}

/* Those from *next on, as far as they are written, into `list` or onto standard output. */
static void events_tell(const struct ap_segment *seg, const struct wanted *w, uint64_t *next, unsigned *waited, json_t *list)
{
    uint64_t end = ap_load_acquire(&seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    struct told told;
    struct ap_event e;

    if (*next < log_begins(seg, end)) *next = log_begins(seg, end);
    for (; *next < end; (*next)++) {
        if (ap_event_read(seg, *next, &e) != 1) {
            if (w->follow && ++*waited < ROUNDS_OF_GRACE) return; /* it is being written */
            continue;
        }
        *waited = 0;
        if (!event_wanted(seg, w, &e, &told)) continue;
        if (list != NULL) json_array_append_new(list, event_json(&e, &told));
        else event_line(&e, &told);
    }
}

/* Where `most` of what is wanted begin: each is read, from the newest back. */
static uint64_t newest_begin(const struct ap_segment *seg, const struct wanted *w)
{
    uint64_t end = ap_load_acquire(&seg->header->event_next), begin = log_begins(seg, end), count = 0; /* EVENT-A1 pairs EVENT-R1 */
    struct told told;
    struct ap_event e;

    if (w->most == UINT64_MAX) return begin;
    for (uint64_t number = end; number > begin; number--) {
        if (count == w->most) return number;
        count += ap_event_read(seg, number - 1, &e) == 1 && event_wanted(seg, w, &e, &told);
    }
    return begin;
}

static int events_follow(const struct tool *t, const struct ap_segment *seg, const struct wanted *w, uint64_t next)
{
    unsigned waited = 0;

    for (;;) {
        json_t *list = t->json ? json_array() : NULL;
        uint64_t lost = log_begins(seg, ap_load_relaxed(&seg->header->event_next));
        int rc;

        if (lost > next && next > 1) tool_warn(t, "%" PRIu64 " events were overwritten before they were read", lost - next);
        events_tell(seg, w, &next, &waited, list);
        for (size_t i = 0; i < json_array_size(list); i++) {
            rc = tool_json_print(json_incref(json_array_get(list, i)));
            if (rc != TOOL_OK) break;
        }
        json_decref(list);
        rc = tool_finish(t, TOOL_OK);
        if (rc != TOOL_OK) return rc;
        if (ap_segment_removed(seg)) return tool_fail(t, TOOL_NO_SEGMENT, "%s was removed", tool_segment(t, NULL));
        poll(NULL, 0, ROUND_MS);
    }
}

static int events_list(const struct tool *t, const struct ap_segment *seg, const struct wanted *w, uint64_t next)
{
    uint64_t lost = log_begins(seg, ap_load_relaxed(&seg->header->event_next)) - 1;
    json_t *list = t->json ? json_array() : NULL;
    unsigned waited = 0;

    events_tell(seg, w, &next, &waited, list);
    if (!t->json) return TOOL_OK;
    return tool_json_print(json_pack("{s:s, s:I, s:I, s:o}", "segment", tool_segment(t, NULL), "room",
                                     (json_int_t)seg->geometry.events, "overwritten", (json_int_t)lost, "events", list));
}

/* A span before now, or a time as this command prints it. */
static int since_parse(const char *text, uint64_t *ret)
{
    uint64_t now = ap_ops_system.realtime(), span;
    struct tm tm = {0};
    const char *end;
    time_t seconds;

    if (tool_duration(text, &span) == 0) {
        *ret = span < now ? now - span : 0;
        return 0;
    }
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL || *end != '\0') return APIARY_EINVAL;
    seconds = timegm(&tm);
    if (seconds < 0) return APIARY_EINVAL;
    *ret = (uint64_t)seconds * UINT64_C(1000000000);
    return 0;
}

int cmd_events(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "events",
        .arguments = "",
        .what = "Shows what has changed or was repaired: who came, went and died, what became of its tasks, what was set.",
        .more = "The log is the segment's own and bounded: newer events take the place of the oldest. Rows are named as they "
                "are now.",
        .json = true,
    };
    const char *since = NULL, *last = NULL;
    struct wanted w = {.most = UINT64_MAX};
    const struct tool_option options[] = {
        {"since", 0, "TIME", "only those from then on: a span such as 10m, or 2025-01-31T12:00:00Z", &since, NULL},
        {"service", 0, "NAME", "only those of its instances and agents", &w.service, NULL},
        {"kind", 0, "KIND", "only those of this kind: swarm-died, say", &w.kind, NULL},
        {"last", 'n', "NUMBER", "only the newest so many", &last, NULL},
        {"follow", 'f', NULL, "go on with what comes", NULL, &w.follow},
        {.name = NULL}};
    apiary_t *a = NULL;
    char *end;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (since != NULL && since_parse(since, &w.since) < 0)
        return tool_usage_error(t, &usage, "--since: '%s' is neither a span such as 10m nor a time such as 2025-01-31T12:00:00Z",
                                since);
    if (w.kind != NULL && (rc = kind_find(t, &usage, w.kind)) != TOOL_GO_ON) return rc;
    if (last != NULL) {
        w.most = strtoull(last, &end, 10);
        if (!isdigit((unsigned char)*last) || *end != '\0')
            return tool_usage_error(t, &usage, "--last: '%s' is not a number", last);
    }
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = w.follow ? events_follow(t, a->seg, &w, newest_begin(a->seg, &w)) : events_list(t, a->seg, &w, newest_begin(a->seg, &w));
    apiary_detach(a);
    return tool_finish(t, rc);
}
