/* tools/apiary/events.c - apiary events: what has changed or was repaired, as the coordinator has kept it, and as the segment's log
 * still tells what it has not.
 */
#include "tools/apiary/apiary.h"

#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/apiary/where.h"
#include "tools/common/state.h"
#include "tools/history/history.h"

#define ROUND_MS 100
/* A number whose record does not come within so many rounds belongs to a writer that died meanwhile. */
#define ROUNDS_OF_GRACE 20

/* The question, and where the answer is looked for. */
struct events {
    const struct tool *t;
    const struct ap_segment *seg; /* NULL: there is no segment (any more) */
    struct history_wanted wanted;
    uint64_t most; /* the newest so many */
    bool follow;
    char *folder; /* of the history; NULL: there is none */
    char elsewhere[HISTORY_WHY]; /* why the coordinator's folder is not to be learned; "": it is, or nobody keeps a history now */
    json_t *list; /* NULL: lines */
    struct event_told *fresh; /* what the log has and the history has not */
    size_t fresh_count, fresh_room;
    bool looked;   /* into the log */
    uint64_t next; /* the number with which following begins */
};

/* ---- what is told ------------------------------------------------------------------------------------------------ */

static void tell_line(uint64_t at, const char *text)
{
    char time[32];

    printf("%s  %s\n", tool_format_time(at, time), text);
}

/* One of the history. */
static void tell_row(void *user, const struct history_row *row)
{
    struct events *ev = user;
    json_t *o;

    if (ev->list == NULL) {
        tell_line(row->time, row->text);
        return;
    }
    o = json_loads(row->json, 0, NULL);
    if (o != NULL) json_array_append_new(ev->list, o);
    else tool_warn(ev->t, "a kept event is no JSON: %s", row->text);
}

/* One of the log. */
static void tell_told(struct events *ev, const struct event_told *told)
{
    if (ev->list != NULL) json_array_append(ev->list, told->json);
    else tell_line(told->time, told->text);
}

/* The event with this number, if its record is there: 1 it is wanted, and is to be freed; 0 it is not; -1 there is none. */
static int event_look(const struct events *ev, uint64_t number, struct event_told *ret)
{
    const struct history_wanted *w = &ev->wanted;
    struct ap_event e;
    int found = 1;

    if (ap_event_read(ev->seg, number, &e) != 1) return -1;
    if (e.time < w->since || !event_tell(ev->seg, &e, ret)) return 0;
    if (w->kind != NULL && strcmp(ret->kind, w->kind) != 0) found = 0;
    if (w->service != NULL && strcmp(ret->service, w->service) != 0) found = 0;
    if (found == 1) return 1;
    event_told_free(ret);
    return 0;
}

/* ---- the log ------------------------------------------------------------------------------------------------------ */

static void fresh_add(struct events *ev, const struct event_told *told)
{
    if (ev->fresh_count == ev->fresh_room) {
        ev->fresh_room = ev->fresh_room > 0 ? 2 * ev->fresh_room : 64;
        ev->fresh = tool_realloc(ev->fresh, ev->fresh_room * sizeof *ev->fresh);
    }
    ev->fresh[ev->fresh_count++] = *told;
}

/* A follower waits for a record that is being written: it goes on from there. */
static void fresh_collect(struct events *ev, const struct history_cursor *at)
{
    uint64_t end = ap_load_acquire(&ev->seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    uint64_t begin = event_log_begins(ev->seg, end);
    struct event_told told;

    ev->looked = true;
    for (size_t i = 0; i < at->count; i++)
        if (at->holes[i] >= begin && event_look(ev, at->holes[i], &told) == 1) fresh_add(ev, &told);
    for (ev->next = at->next > begin ? at->next : begin; ev->next < end; ev->next++) {
        int found = event_look(ev, ev->next, &told);

        if (found == 1) fresh_add(ev, &told);
        if (found < 0 && ev->follow) return;
    }
}

/* Only the newest of them are wanted. */
static uint64_t fresh_limit(struct events *ev)
{
    size_t drop = ev->fresh_count > ev->most ? ev->fresh_count - (size_t)ev->most : 0;

    for (size_t i = 0; i < drop; i++) event_told_free(&ev->fresh[i]);
    if (drop > 0) memmove(ev->fresh, ev->fresh + drop, (ev->fresh_count - drop) * sizeof *ev->fresh);
    ev->fresh_count -= drop;
    return ev->most == UINT64_MAX ? UINT64_MAX : ev->most - ev->fresh_count;
}

/* The coordinator keeps its events elsewhere. */
static void tell_elsewhere(const struct events *ev)
{
    if (*ev->elsewhere != '\0') tool_warn(ev->t, "where the apiaryd that runs keeps events is not known here: %s", ev->elsewhere);
}

/* The log is read within the history's moment: nothing is told twice that is kept meanwhile. */
static uint64_t kept(void *user, const struct history_cursor *at)
{
    struct events *ev = user;
    uint64_t begin;

    if (ev->seg != NULL) {
        begin = event_log_begins(ev->seg, ap_load_acquire(&ev->seg->header->event_next)); /* EVENT-A1 pairs EVENT-R1 */
        if (begin > at->next) tool_warn(ev->t, "%" PRIu64 " events were overwritten before they were kept", begin - at->next);
        fresh_collect(ev, at);
        if (at->next <= 1) tell_elsewhere(ev); /* nothing of this segment */
    }
    return fresh_limit(ev);
}

/* Without a history: how far back the log goes. */
static void tell_log_only(const struct events *ev)
{
    uint64_t end = ap_load_acquire(&ev->seg->header->event_next), since = 0; /* EVENT-A1 pairs EVENT-R1 */
    char time[32];
    struct ap_event e;

    for (uint64_t number = event_log_begins(ev->seg, end); number < end && since == 0; number++)
        if (ap_event_read(ev->seg, number, &e) == 1) since = e.time;
    tool_warn(ev->t, "no apiaryd has kept events in %s (--state names another folder): only the segment's log was read, which %s%s",
              ev->folder != NULL ? ev->folder : "a home of this user, who has none", since != 0 ? "goes back to " : "is empty",
              since != 0 ? tool_format_time(since, time) : "");
}

/* ---- the command's parts ------------------------------------------------------------------------------------------ */

/* 1: there is a history. */
static int events_collect(struct events *ev, uint64_t *ret_rotated)
{
    const struct history_reader reader = {.kept = kept, .row = tell_row, .user = ev};
    char why[HISTORY_WHY], identity[HISTORY_IDENTITY] = "";
    int rc = 0;

    *ret_rotated = 0;
    if (ev->seg != NULL) history_identity(ev->seg, identity);
    if (ev->folder != NULL)
        rc = history_read(ev->folder, ev->seg != NULL ? identity : NULL, &ev->wanted, &reader, ret_rotated, why);
    if (rc < 0) tool_warn(ev->t, "%s", why);
    if (rc == 0 && ev->seg != NULL) tell_log_only(ev);
    if (rc <= 0) tell_elsewhere(ev);
    if (ev->seg != NULL && !ev->looked) fresh_collect(ev, &(struct history_cursor){.next = 1});
    if (rc != 1) (void)fresh_limit(ev);
    for (size_t i = 0; i < ev->fresh_count; i++) {
        tell_told(ev, &ev->fresh[i]);
        event_told_free(&ev->fresh[i]);
    }
    free(ev->fresh);
    ev->fresh = NULL;
    ev->fresh_count = ev->fresh_room = 0;
    return rc;
}

static int events_list(struct events *ev)
{
    json_t *log = json_null();
    uint64_t rotated, next, overwritten = 0;
    int rc;

    if (ev->seg != NULL) {
        next = ap_load_relaxed(&ev->seg->header->event_next);
        overwritten = event_log_begins(ev->seg, next) - 1;
        log = json_integer((json_int_t)ev->seg->geometry.events);
    }
    rc = events_collect(ev, &rotated);
    if (ev->list == NULL || (rc == 0 && ev->seg == NULL)) {
        json_decref(log);
        if (rc == 0 && ev->seg == NULL) return tool_fail(ev->t, TOOL_NO_SEGMENT, "nothing is kept in %s yet", ev->folder);
        return rc < 0 ? TOOL_FAILED : TOOL_OK;
    }
    int whole = tool_json_print(json_pack("{s:s, s:o, s:I, s:s?, s:I, s:o}", "segment", tool_segment(ev->t, NULL), "room", log,
                                          "overwritten", (json_int_t)overwritten, "kept_in", rc > 0 ? ev->folder : NULL, "rotated",
                                          (json_int_t)rotated, "events", json_incref(ev->list)));
    return rc < 0 ? TOOL_FAILED : whole;
}

/* Prints and empties the list. */
static int list_flush(struct events *ev)
{
    int rc = TOOL_OK;

    for (size_t i = 0; i < json_array_size(ev->list) && rc == TOOL_OK; i++)
        rc = tool_json_print(json_incref(json_array_get(ev->list, i)));
    if (ev->list != NULL) json_array_clear(ev->list);
    return rc == TOOL_OK ? tool_finish(ev->t, TOOL_OK) : rc;
}

/* Those from ev->next on, as far as they are written. */
static void follow_round(struct events *ev, unsigned *waited)
{
    uint64_t end = ap_load_acquire(&ev->seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */
    uint64_t begin = event_log_begins(ev->seg, end);
    struct event_told told;

    if (begin > ev->next) {
        tool_warn(ev->t, "%" PRIu64 " events were overwritten before they were read", begin - ev->next);
        ev->next = begin;
    }
    for (; ev->next < end; ev->next++) {
        int found = event_look(ev, ev->next, &told);

        if (found < 0 && ++*waited < ROUNDS_OF_GRACE) return; /* it is being written */
        if (found == 1) {
            tell_told(ev, &told);
            event_told_free(&told);
        }
        *waited = 0;
    }
}

static int events_follow(struct events *ev)
{
    unsigned waited = 0;
    uint64_t rotated;
    int rc = events_collect(ev, &rotated);

    for (rc = list_flush(ev); rc == TOOL_OK; rc = list_flush(ev)) {
        if (ap_segment_removed(ev->seg)) return tool_fail(ev->t, TOOL_NO_SEGMENT, "%s was removed", tool_segment(ev->t, NULL));
        poll(NULL, 0, ROUND_MS);
        follow_round(ev, &waited);
    }
    return rc;
}

/* Where the living coordinator keeps the history, else where one would be. */
static void events_find(struct events *ev, const char *state, const apiary_t *a)
{
    if (state == NULL && a != NULL) ev->folder = events_where(a, ev->elsewhere);
    if (ev->folder == NULL) ev->folder = tool_state_find(state, tool_segment(ev->t, NULL), HISTORY_FILE);
}

static bool events_kept(const struct events *ev)
{
    char *path = ev->folder != NULL ? tool_format("%s/%s", ev->folder, HISTORY_FILE) : NULL;
    bool ret = path != NULL && access(path, F_OK) == 0;

    free(path);
    return ret;
}

/* Without a segment its history is still there; with neither, this says so. */
static int events_attach(struct events *ev, const char *state, apiary_t **ret)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = true};
    int rc = apiary_attach(tool_segment(ev->t, NULL), &options, ret);
    bool kept;

    events_find(ev, state, *ret);
    kept = events_kept(ev) && !ev->follow;
    if (rc < 0 && kept)
        tool_warn(ev->t, "%s: %s; what is kept is told", tool_segment(ev->t, NULL), apiary_strerror(rc));
    if (rc < 0 && !kept) rc = tool_attach(ev->t, tool_segment(ev->t, NULL), true, ret); /* which says more */
    if (*ret != NULL) ev->seg = (*ret)->seg;
    return kept ? TOOL_OK : rc;
}

int cmd_events(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "events",
        .arguments = "",
        .what = "Shows what has changed or was repaired: who came, went and died, what became of its tasks, what was set.",
        .more = "Those that apiaryd has kept are read from its folder, with the names of then; the others from the segment's own\n"
                "log, which is bounded.",
        .json = true,
    };
    const char *since = NULL, *last = NULL, *state = NULL;
    struct events ev = {.t = t, .most = UINT64_MAX};
    const struct tool_option options[] = {
        {"since", 0, "TIME", "only those from then on: a span such as 10m, or 2025-01-31T12:00 (with Z: of UTC)", &since, NULL},
        {"service", 0, "NAME", "only those of its instances and agents", &ev.wanted.service, NULL},
        {"kind", 0, "KIND", "only those of this kind: swarm-died, say", &ev.wanted.kind, NULL},
        {"last", 'n', "NUMBER", "only the newest so many", &last, NULL},
        {"follow", 'f', NULL, "go on with what comes", NULL, &ev.follow},
        {"state", 0, "DIR", "apiaryd's folder [that of the one that runs, else $STATE_DIRECTORY, else $XDG_STATE_HOME/apiary, else "
                            "~/.local/state/apiary]", &state, NULL},
        {.name = NULL},
    };
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (since != NULL && event_since(since, &ev.wanted.since) < 0)
        return tool_usage_error(
            t, &usage, "--since: '%s' is neither a span ('90s', '10m', '1h') nor a time ('2025-01-31T12:00:00Z')", since);
    if (ev.wanted.kind != NULL && !event_kind_known(ev.wanted.kind)) {
        char *all = event_kinds();

        rc = tool_usage_error(t, &usage, "'%s' is not a kind of event; there are %s", ev.wanted.kind, all);
        free(all);
        return rc;
    }
    if (last != NULL) {
        char *end;

        ev.most = strtoull(last, &end, 10);
        if (!isdigit((unsigned char)*last) || *end != '\0')
            return tool_usage_error(t, &usage, "--last: '%s' is not a number", last);
    }
    rc = events_attach(&ev, state, &a);
    if (rc == TOOL_OK) {
        ev.list = t->json ? json_array() : NULL;
        rc = ev.follow ? events_follow(&ev) : events_list(&ev);
        json_decref(ev.list);
        rc = tool_finish(t, rc);
    }
    apiary_detach(a);
    free(ev.folder);
    return rc;
}
