/* tools/apiaryd/http_answer.c - what the HTTP server answers. See http.h. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/apiaryd/http.h"
#include "tools/apiaryd/ready.h"
#include "tools/common/common.h"
#include "tools/common/metrics.h"
#include "tools/view/memory.h"
#include "tools/view/past.h"
#include "tools/view/stats.h"
#include "tools/view/trace.h"
#include "tools/view/view.h"

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"

static bool answer_text(struct http_answer *ret, const char *type, char *text)
{
    ret->type = type;
    ret->body = text;
    ret->size = text != NULL ? strlen(text) : 0;
    return text != NULL;
}

/* A text that grows. */
struct answer_room {
    char *bytes;
    size_t size, room;
    bool short_of_memory;
};

static int answer_more(const char *bytes, size_t size, void *user)
{
    struct answer_room *r = user;

    if (r->room - r->size < size) {
        size_t room = 2 * r->room + size + 4096;
        char *more = r->short_of_memory ? NULL : realloc(r->bytes, room);

        r->short_of_memory = more == NULL;
        if (more == NULL) return -1;
        r->bytes = more;
        r->room = room;
    }
    memcpy(r->bytes + r->size, bytes, size);
    r->size += size;
    return 0;
}

static bool answer_whole(struct http_answer *ret, const struct answer_room *text)
{
    ret->type = TYPE_JSON;
    ret->body = text->bytes;
    ret->size = text->size;
    return !text->short_of_memory;
}

/* Takes the reference, and puts the number of the schema before it, as the commands do. */
static bool answer_object(struct answer_room *text, json_t *o)
{
    json_t *whole = json_pack("{s:i}", "schema", TOOL_JSON_SCHEMA);

    if (o == NULL || json_object_update(whole, o) < 0 || json_dump_callback(whole, answer_more, text, JSON_COMPACT) < 0)
        text->short_of_memory = true;
    json_decref(whole);
    json_decref(o);
    return !text->short_of_memory;
}

bool http_answer_json(struct http_answer *ret, json_t *o)
{
    struct answer_room text = {.bytes = NULL};

    (void)answer_object(&text, o);
    return answer_whole(ret, &text);
}

/* ---- a long list: each row is written and forgotten, which takes half of the time of a tree of all of them */

/* Behind what `o` has, whose reference it takes: the list that answer_row then fills, and answer_list_end ends. */
static void answer_list(struct answer_room *text, json_t *o, const char *list)
{
    if (!answer_object(text, o)) return;
    text->size--; /* the object goes on */
    (void)answer_more(",\"", 2, text);
    (void)answer_more(list, strlen(list), text);
    (void)answer_more("\":[", 3, text);
}

/* A view_row_fn. */
static void answer_row(void *user, json_t *row)
{
    struct answer_room *text = user;

    if (text->size > 0 && text->bytes[text->size - 1] != '[') (void)answer_more(",", 1, text);
    if (row == NULL || json_dump_callback(row, answer_more, text, JSON_COMPACT) < 0) text->short_of_memory = true;
    json_decref(row);
}

static bool answer_list_end(struct http_answer *ret, struct answer_room *text)
{
    (void)answer_more("]}", 2, text);
    return answer_whole(ret, text);
}

bool http_answer_refusal(const struct request_verdict *v, struct http_answer *ret)
{
    ret->status = v->status;
    ret->allow = request_changes(v) ? "POST" : NULL;
    return http_answer_json(ret, json_pack("{s:i, s:o}", "status", (int)v->status, "error", tool_json_text(v->why)));
}

static bool answer_metrics(const struct http_asked *asked, struct http_answer *ret)
{
    struct metrics_text text = {.form = asked->openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS};
    int rc = metrics_take(asked->a->seg, NULL, &text);

    ret->type = asked->openmetrics ? METRICS_OPENMETRICS_TYPE : METRICS_PROMETHEUS_TYPE;
    ret->body = text.bytes;
    ret->size = text.size;
    return rc == 0;
}

static bool answer_ready(const struct http_asked *asked, struct http_answer *ret)
{
    bool ready;
    json_t *o = ready_json(asked->a, asked->deployment, &ready);

    ret->status = ready ? 200 : 503;
    return http_answer_json(ret, o);
}

/* Refuses what only the segment shows to be wrong. */
static bool answer_refuse(struct http_asked *asked, struct http_answer *ret, const char *what, const char *text, const char *is)
{
    request_refuse(&asked->verdict, 400, "%s: '%s' is %s", what, AP_SHOWN(text, 48), is);
    return http_answer_refusal(&asked->verdict, ret);
}

static bool answer_status(const struct http_asked *asked, struct http_answer *ret)
{
    const char *service = asked->verdict.service;
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(asked->a, *service != '\0' ? service : NULL, &rows);
    struct answer_room text = {.bytes = NULL};

    if (n < 0) n = 0;
    answer_list(&text, view_status_head(asked->a, asked->segment, rows, n), "swarms");
    view_status_rows(asked->a, rows, n, answer_row, &text);
    free(rows);
    return answer_list_end(ret, &text);
}

static bool answer_services(struct http_asked *asked, struct http_answer *ret)
{
    const char *service = asked->verdict.service, *tag = asked->verdict.tag;
    const apiary_instance_query_t query = {.struct_size = sizeof query, .service = *service != '\0' ? service : NULL,
                                           .tags = *tag != '\0' ? tag : NULL};
    struct ap_instance_query meant;
    struct agent_view *agents = NULL;
    size_t n;
    json_t *o;

    if (!ap_tags_valid(tag)) return answer_refuse(asked, ret, "tag", tag, "no tag, nor several with one space between");
    if (ap_instance_query_read(&query, &meant) < 0) return answer_refuse(asked, ret, "service", service, "no name of a service");
    n = view_agents(asked->a->seg, &meant, &agents);
    o = view_agents_json(asked->a->seg, asked->segment, agents, n);
    free(agents);
    return http_answer_json(ret, o);
}

/* The number with which the next answer goes on; null: this is the last. */
static json_t *answer_with_next(json_t *o, bool more, uint64_t next)
{
    json_object_set_new(o, "next", more ? json_integer((json_int_t)next) : json_null());
    return o;
}

static bool answer_tasks(struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    uint32_t tasks = asked->a->seg->geometry.tasks, next = 0;
    int state = v->state[0] != '\0' ? view_task_state(v->state) : -1;
    json_t *o;

    if (v->state[0] != '\0' && state < 0)
        return answer_refuse(asked, ret, "state", v->state, "none; scheduled, queued, running, done, failed and cancelled are");
    o = view_tasks_json(asked->a->seg, asked->segment, state, v->after < tasks ? (uint32_t)v->after : tasks, v->limit, &next);
    return http_answer_json(ret, answer_with_next(o, next < tasks, next));
}

/* ---- the memory ------------------------------------------------------------------------------------------------- */

/* The name space that is meant: 0, or the answer is a refusal. */
static bool answer_space(struct http_asked *asked, struct http_answer *ret, struct ap_memory_name *name, bool *ret_made)
{
    const struct request_verdict *v = &asked->verdict;
    const char *text = v->local[0] != '\0' ? v->local : v->space[0] != '\0' ? v->space : "default";

    if (v->local[0] != '\0' && v->space[0] != '\0') {
        *ret_made = answer_refuse(asked, ret, "local", v->local, "there, and so is namespace; give one of them");
        return false;
    }
    if (ap_memory_name(text, v->local[0] != '\0', name) == 0) return true;
    *ret_made = answer_refuse(asked, ret, v->local[0] != '\0' ? "local" : "namespace", text, "no name");
    return false;
}

static bool answer_failed(struct http_asked *asked, struct http_answer *ret, int error)
{
    request_refuse(&asked->verdict, error == APIARY_ENOKEY ? 404 : 503, "%s: %s", apiary_strerror(error), apiary_advice(error));
    return http_answer_refusal(&asked->verdict, ret);
}

static bool answer_spaces(struct http_asked *asked, struct http_answer *ret)
{
    json_t *o;
    int r = view_spaces_json(asked->a->seg, asked->segment, &o);

    return r == 0 ? http_answer_json(ret, o) : answer_failed(asked, ret, r);
}

static bool answer_memory(struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    struct ap_memory_name name;
    uint64_t next;
    bool made;
    json_t *o;
    int r;

    if (!answer_space(asked, ret, &name, &made)) return made;
    r = view_keys_json(asked->a->seg, asked->segment, &name, v->prefix, v->after, v->limit, &o, &next);
    return r == 0 ? http_answer_json(ret, answer_with_next(o, next != 0, next)) : answer_failed(asked, ret, r);
}

static bool answer_value(struct http_asked *asked, struct http_answer *ret)
{
    const char *key = asked->verdict.key;
    struct ap_memory_name name;
    bool made;
    json_t *o;
    int r;

    if (*key == '\0') {
        request_refuse(&asked->verdict, 400, "key is needed");
        return http_answer_refusal(&asked->verdict, ret);
    }
    if (!answer_space(asked, ret, &name, &made)) return made;
    r = view_value_json(asked->a->seg, &name, key, &o);
    return r == 0 ? http_answer_json(ret, o) : answer_failed(asked, ret, r);
}

static bool answer_dead(const struct http_asked *asked, struct http_answer *ret)
{
    uint64_t next;
    json_t *o = view_dead_all_json(asked->a, asked->segment, asked->verdict.after, asked->verdict.limit, &next);

    return http_answer_json(ret, answer_with_next(o, next != 0, next));
}

static bool answer_finished(const struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    json_t *o = view_finished_json(asked->a->seg, false, NULL, *v->service != '\0' ? v->service : NULL, v->limit);

    json_object_set_new(o, "segment", json_string(asked->segment));
    return http_answer_json(ret, o);
}

/* A task of which nothing is known has an empty list: that is no mistake of who asks. */
static bool answer_trace(struct http_asked *asked, struct http_answer *ret)
{
    const char *id = asked->verdict.id;
    struct trace_view v;
    json_t *o;

    if (view_trace(asked->a->seg, id, &v) == APIARY_EINVAL)
        return answer_refuse(asked, ret, "id", id, "neither a task's nor a trace's of 32 digits");
    o = view_trace_json(asked->a->seg, &v);
    view_trace_free(&v);
    return http_answer_json(ret, o);
}

static bool answer_events(const struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    const struct view_events events = {.since = v->since, .kind = v->kind[0] != '\0' ? v->kind : NULL,
                                       .service = v->service[0] != '\0' ? v->service : NULL, .most = v->limit};

    return http_answer_json(ret, view_events_json(asked->a->seg, asked->segment, asked->folder, &events));
}

static bool answer_history(struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    struct view_past past = {.since = v->since, .until = v->until, .step = v->step, .after = v->after, .most = v->limit,
                             .service = v->service[0] != '\0' ? v->service : NULL, .most_rows = VIEW_PAST_NAMES};
    char why[HISTORY_WHY];
    json_t *o;

    if (v->of[0] != '\0' && !past_kind_of(v->of, &past.kind))
        return answer_refuse(asked, ret, "of", v->of, "none; services, agents and pairs are");
    o = view_past_json(asked->segment, asked->folder, &past, why);
    if (o != NULL || *why == '\0') return http_answer_json(ret, o);
    request_refuse(&asked->verdict, 400, "%s", AP_SHOWN(why, 240));
    return http_answer_refusal(&asked->verdict, ret);
}

static bool answer_stats(const struct http_asked *asked, struct http_answer *ret)
{
    const struct ap_segment *seg = asked->a->seg;
    bool pairs = asked->verdict.route == REQUEST_PAIRS;
    struct answer_room text = {.bytes = NULL};
    struct stats stats;

    stats_take(seg, NULL, &stats);
    answer_list(&text, stats_head(seg, asked->segment, &stats, pairs), pairs ? "pairs" : "agents");
    stats_rows(seg, &stats, pairs, answer_row, &text);
    stats_free(&stats);
    return answer_list_end(ret, &text);
}

static bool answer_counters(const struct http_asked *asked, struct http_answer *ret)
{
    const char *names = asked->verdict.name;
    struct metrics_text rows = {.form = METRICS_JSON};
    struct answer_room text = {.bytes = NULL};
    int rc = metrics_take(asked->a->seg, *names != '\0' ? names : NULL, &rows);

    answer_list(&text, json_pack("{s:s}", "segment", asked->segment), "metrics");
    if (rc < 0 || answer_more(rows.bytes + 1, rows.size - 2, &text) < 0) text.short_of_memory = true; /* without brackets */
    free(rows.bytes);
    return answer_list_end(ret, &text);
}

/* A file of the page, or that the browser's is still the same. */
static bool answer_file(const struct http_asked *asked, struct http_answer *ret)
{
    const struct dashboard_file *f = asked->file;

    ret->type = f->content_type;
    ret->etag = f->etag;
    if (asked->match != NULL && strstr(asked->match, f->etag) != NULL) {
        ret->status = 304;
        return true;
    }
    ret->body = malloc(f->size);
    if (ret->body == NULL) return false;
    memcpy(ret->body, f->data, f->size);
    ret->size = f->size;
    return true;
}

bool http_answer(struct http_asked *asked, struct http_answer *ret)
{
    *ret = (struct http_answer){.status = 200};
    if (asked->verdict.status != 200) return http_answer_refusal(&asked->verdict, ret);
    switch (asked->verdict.route) {
    case REQUEST_METRICS:
        return answer_metrics(asked, ret);
    case REQUEST_LIVEZ:
        return answer_text(ret, TYPE_TEXT, tool_strdup("ok\n"));
    case REQUEST_READYZ:
        return answer_ready(asked, ret);
    case REQUEST_STATUS:
        return answer_status(asked, ret);
    case REQUEST_SERVICES:
        return answer_services(asked, ret);
    case REQUEST_CAPABILITIES:
        return http_answer_json(ret, view_capabilities_json(asked->a->seg));
    case REQUEST_TASKS:
        return answer_tasks(asked, ret);
    case REQUEST_FINISHED:
        return answer_finished(asked, ret);
    case REQUEST_TRACE:
        return answer_trace(asked, ret);
    case REQUEST_DEAD:
        return answer_dead(asked, ret);
    case REQUEST_KEPT:
        return http_answer_json(ret, view_kept_all_json(asked->a->seg, asked->segment));
    case REQUEST_CLAIMS:
        return http_answer_json(ret, view_claims_json(asked->a, asked->segment));
    case REQUEST_SPACES:
        return answer_spaces(asked, ret);
    case REQUEST_MEMORY:
        return answer_memory(asked, ret);
    case REQUEST_VALUE:
        return answer_value(asked, ret);
    case REQUEST_CACHES:
        return http_answer_json(ret, view_caches_json(asked->a->seg, asked->segment));
    case REQUEST_EVENTS:
        return answer_events(asked, ret);
    case REQUEST_STATS:
    case REQUEST_PAIRS:
        return answer_stats(asked, ret);
    case REQUEST_HISTORY:
        return answer_history(asked, ret);
    case REQUEST_COUNTERS:
        return answer_counters(asked, ret);
    case REQUEST_OPENAPI:
        return answer_text(ret, TYPE_JSON, tool_format("%.*s", (int)apiaryd_openapi_size, apiaryd_openapi));
    case REQUEST_INDEX:
    default:
        return answer_file(asked, ret);
    }
}
