/* tools/view/supervised.c - see apiary_supervised.h. */
#include "tools/view/supervised.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/ops.h"

void supervision_end_text(enum ap_child_end end, uint32_t code, enum ap_child_stage stage, char *ret, size_t size)
{
    static const char *const stages[] = {"?", "memfd_create", "pipe", "fork"};
    *ret = '\0';
    if (end == AP_END_CODE) snprintf(ret, size, "ended with code %u", code);
    if (end == AP_END_SIGNAL) snprintf(ret, size, "killed by signal %u", code);
    if (end == AP_END_NO_START)
        snprintf(ret, size, "cannot be started (%s: %s)", stages[stage <= AP_STAGE_FORK ? stage : 0], strerror((int)code));
}

/* ---- which row ------------------------------------------------------------------------------------------------ */

/* A living supervisor counts more than one that is gone; among equals the latest. */
bool supervision_counts_more(const struct ap_supervised_view *v, const struct ap_supervised_view *than)
{
    return v->supervised != than->supervised ? v->supervised : v->held > than->held;
}

bool supervision_is(const struct ap_supervised_view *v, const char *service, const char *instance)
{
    char number[16];
    snprintf(number, sizeof number, "%u", v->last.instance);
    return strcmp(v->service, service) == 0 && strcmp(number, instance) == 0;
}

bool supervision_of(const struct ap_segment *seg, const char *service, const char *instance, struct ap_supervised_view *ret)
{
    struct ap_supervised_view v;
    bool found = false;
    for (uint32_t i = 0; ap_supervised_at(seg, i) != NULL; i++) {
        if (!ap_supervised_read(seg, i, &v) || !supervision_is(&v, service, instance)) continue;
        if (!found || supervision_counts_more(&v, ret)) *ret = v;
        found = true;
    }
    return found;
}

void supervision_as_seen(const apiary_swarm_status_t *s, struct ap_supervised_view *v)
{
    struct ap_supervision *r = &v->last;
    bool registered = s->state != APIARY_DOWN && s->state != APIARY_STARTING && s->pid == r->pid;
    if (registered && r->state == AP_CHILD_STARTING) r->state = s->state == APIARY_PASSING ? AP_CHILD_PASSING : AP_CHILD_RUNNING;
}

bool supervision_lost(const struct ap_segment *seg, struct ap_supervised_view *ret)
{
    struct ap_supervised_view v;
    bool lost = false;
    for (uint32_t i = 0; ap_supervised_at(seg, i) != NULL; i++) {
        if (!ap_supervised_read(seg, i, &v)) continue;
        if (v.supervised) return false;
        if (v.last.state == AP_CHILD_STOPPED) continue;
        *ret = v;
        lost = true;
    }
    return lost;
}

/* ---- as text -------------------------------------------------------------------------------------------------- */

static uint64_t supervised_since(uint64_t then, uint64_t now)
{
    return then < now ? now - then : 0;
}

static const char *supervised_state_name(uint32_t state)
{
    static const char *const names[] = {"?",       "starting", "running", "passing",
                                        "backing off", "given up", "leaving", "stopped", "held"};
    return names[state <= AP_CHILD_HELD ? state : 0];
}

uint32_t supervision_restarts(const struct ap_supervised_view *v)
{
    return v->last.starts > 0 ? v->last.starts - 1 : 0;
}

/* "killed by signal 9 2.1s ago, 4 times in a row"; "" when it has not ended. To be freed. */
static char *end_text(const struct ap_supervision *r)
{
    char how[128], ago[32], times[48] = "";
    supervision_end_text((enum ap_child_end)r->end, r->code, (enum ap_child_stage)r->stage, how, sizeof how);
    if (*how == '\0') return tool_strdup("");
    if (r->ends > 1) snprintf(times, sizeof times, ", %u times in a row", r->ends);
    return tool_format("%s %s ago%s", how, tool_format_duration(supervised_since(r->ended, ap_ops_system.realtime()), ago), times);
}

/* A living supervisor's next step. */
static void next_text(const struct ap_supervised_view *v, char *ret, size_t size)
{
    const struct ap_supervision *r = &v->last;
    char wait[32];
    *ret = '\0';
    switch ((enum ap_child_state)r->state) {
    case AP_CHILD_WAITING:
        if (r->due > v->now)
            snprintf(ret, size, "backing off, it is started again in %s", tool_format_duration(r->due - v->now, wait));
        else snprintf(ret, size, "it is being started again");
        break;
    case AP_CHILD_GIVEN_UP: snprintf(ret, size, "given up: by the configuration it is not started again"); break;
    case AP_CHILD_LEAVING: snprintf(ret, size, "told to stop"); break;
    case AP_CHILD_STOPPED: snprintf(ret, size, "stopped"); break;
    case AP_CHILD_STARTING:
        snprintf(ret, size, r->starts > 1 ? "started again, not registered yet" : "starting, not registered yet");
        break;
    case AP_CHILD_RUNNING: snprintf(ret, size, "running, but not passing"); break;
    case AP_CHILD_PASSING: break;
    case AP_CHILD_HELD: snprintf(ret, size, "not started yet"); break; /* see held_text */
    }
}

/* Of a record's text, which may hold only its beginning. */
static char *cut_text(char *text, const struct ap_supervision *r)
{
    if (strlen(r->said) >= r->said_size) return text;
    char *longer = tool_format("%s... (cut, %u bytes in all)", text, r->said_size);
    free(text);
    return longer;
}

/* For whom it waits. */
static char *held_text(const struct ap_supervision *r)
{
    char *names = tool_printable(r->said, strlen(r->said));
    char *ret = tool_format("not started yet, it waits for %s", *names != '\0' ? names : "other services");
    free(names);
    return cut_text(ret, r);
}

/* That nobody looks after it any more. */
static char *lost_text(const struct ap_supervised_view *v)
{
    bool stopped = v->last.state == AP_CHILD_STOPPED;
    char text[32], when[48] = "";
    const char *gone = v->left != 0 ? tool_format_duration(supervised_since(v->left, ap_ops_system.realtime()), text) : NULL;
    if (gone != NULL) snprintf(when, sizeof when, stopped ? " %s ago" : " for %s", gone);
    return stopped ? tool_format("stopped by 'apiary up' (pid %" PRId64 "), which left%s", v->supervisor, when)
                   : tool_format("without a supervisor%s: 'apiary up' (pid %" PRId64 ") has died", when, v->supervisor);
}

char *supervision_text(const struct ap_supervised_view *v)
{
    const struct ap_supervision *r = &v->last;
    bool runs = r->state == AP_CHILD_PASSING || r->state == AP_CHILD_RUNNING;
    char next[128] = "", *lost = NULL, *said = NULL, *end, *ret;
    if (v->supervised && (r->state == AP_CHILD_PASSING || (r->state == AP_CHILD_RUNNING && r->ends == 0))) return NULL;
    if (v->supervised && r->state == AP_CHILD_HELD) return held_text(r);
    if (v->supervised) next_text(v, next, sizeof next);
    else lost = lost_text(v);
    /* An end that was followed by a good start explains nothing of what came later. */
    bool plain = !v->supervised && (runs || (r->state == AP_CHILD_STOPPED && r->end == AP_END_CODE && r->code == 0));
    end = plain ? tool_strdup("") : end_text(r);
    if (*end != '\0' && *r->said != '\0') said = tool_printable(r->said, strlen(r->said));
    ret = tool_format("%s%s%s%s%s%s%s", lost != NULL ? lost : "", lost != NULL && *end != '\0' ? "; before that: " : "", end,
                      lost == NULL && *end != '\0' && *next != '\0' ? "; " : "", next, said != NULL ? "; it said: " : "",
                      said != NULL ? said : "");
    if (said != NULL) ret = cut_text(ret, r);
    free(end);
    free(said);
    free(lost);
    return ret;
}

/* ---- as JSON -------------------------------------------------------------------------------------------------- */

static json_t *last_end_json(const struct ap_supervision *r)
{
    char text[128], time[32];
    if (r->end == AP_END_NONE) return json_null();
    supervision_end_text((enum ap_child_end)r->end, r->code, (enum ap_child_stage)r->stage, text, sizeof text);
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:I, s:o, s:b}", "text", text, "code",
                     r->end == AP_END_CODE ? json_integer(r->code) : json_null(), "signal",
                     r->end == AP_END_SIGNAL ? json_integer(r->code) : json_null(), "errno",
                     r->end == AP_END_NO_START ? json_integer(r->code) : json_null(), "time", tool_format_time(r->ended, time),
                     "times_in_a_row", (json_int_t)r->ends, "said", tool_json_text(r->said), "said_cut",
                     strlen(r->said) < r->said_size);
}

/* The services for which it waits; of a record that is cut without the last name, of which it may have a part. */
static json_t *waits_json(const struct ap_supervised_view *v)
{
    const struct ap_supervision *r = &v->last;
    if (!v->supervised || r->state != AP_CHILD_HELD) return json_null();
    json_t *list = json_array();
    for (const char *at = r->said, *end; *at != '\0'; at = *end != '\0' ? end + 2 : end) {
        end = strstr(at, ", ");
        if (end == NULL && strlen(r->said) < r->said_size) break;
        if (end == NULL) end = at + strlen(at);
        json_array_append_new(list, json_stringn(at, (size_t)(end - at)));
    }
    return list;
}

json_t *supervision_json(const struct ap_supervised_view *v)
{
    if (v == NULL) return json_null();
    const struct ap_supervision *r = &v->last;
    char changed[32], left[32], *why = supervision_text(v);
    uint64_t wait = r->due > v->now ? r->due - v->now : 0;
    json_t *again = v->supervised && r->state == AP_CHILD_WAITING ? json_integer((json_int_t)wait) : json_null();
    json_t *ret = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:b, s:I, s:o, s:o}", "state", supervised_state_name(r->state),
                            "since", tool_format_time(r->changed, changed), "pid", (json_int_t)r->pid, "restarts",
                            (json_int_t)supervision_restarts(v), "last_end", last_end_json(r), "again_in_ns", again, "waits_for",
                            waits_json(v), "supervised", v->supervised, "supervisor", (json_int_t)v->supervisor, "left",
                            v->left != 0 ? json_string(tool_format_time(v->left, left)) : json_null(), "why",
                            why != NULL ? tool_json_text(why) : json_null());
    free(why);
    return ret;
}
