/* tools/apiaryd/http_answer.c - what the HTTP server answers. See http.h. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "tools/apiaryd/http.h"
#include "tools/apiaryd/ready.h"
#include "tools/common/common.h"
#include "tools/common/metrics.h"
#include "tools/view/view.h"
#include "tools/view/stats.h"

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"

static bool answer_text(struct http_answer *ret, const char *type, char *text)
{
    ret->type = type;
    ret->body = text;
    ret->size = text != NULL ? strlen(text) : 0;
    return text != NULL;
}

/* Takes the reference, and puts the number of the schema before it, as the commands do. */
static bool answer_json(struct http_answer *ret, json_t *o)
{
    json_t *whole = json_pack("{s:i}", "schema", TOOL_JSON_SCHEMA);
    char *text = o != NULL && json_object_update(whole, o) == 0 ? json_dumps(whole, JSON_COMPACT) : NULL;

    json_decref(whole);
    json_decref(o);
    return answer_text(ret, TYPE_JSON, text);
}

static bool answer_refusal(const struct request_verdict *v, struct http_answer *ret)
{
    ret->status = v->status;
    return answer_json(ret, json_pack("{s:i, s:o}", "status", (int)v->status, "error", tool_json_text(v->why)));
}

static bool answer_metrics(const struct http_asked *asked, struct http_answer *ret)
{
    struct metrics_text text = {.form = asked->openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS};
    int rc = metrics_take(asked->a->seg, &text);

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
    return answer_json(ret, o);
}

/* Refuses what only the segment shows to be wrong. */
static bool answer_refuse(struct http_asked *asked, struct http_answer *ret, const char *what, const char *text, const char *is)
{
    request_refuse(&asked->verdict, 400, "%s: '%s' is %s", what, AP_SHOWN(text, 48), is);
    return answer_refusal(&asked->verdict, ret);
}

static bool answer_status(const struct http_asked *asked, struct http_answer *ret)
{
    const char *service = asked->verdict.service;
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(asked->a, *service != '\0' ? service : NULL, &rows);
    json_t *o = view_status_json(asked->a, asked->segment, rows, n > 0 ? n : 0);

    free(rows);
    return answer_json(ret, o);
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
    return answer_json(ret, o);
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
    return answer_json(ret, answer_with_next(o, next < tasks, next));
}

static bool answer_dead(const struct http_asked *asked, struct http_answer *ret)
{
    uint64_t next;
    json_t *o = view_dead_all_json(asked->a, asked->segment, asked->verdict.after, asked->verdict.limit, &next);

    return answer_json(ret, answer_with_next(o, next != 0, next));
}

static bool answer_events(const struct http_asked *asked, struct http_answer *ret)
{
    const struct request_verdict *v = &asked->verdict;
    const struct view_events events = {.since = v->since, .kind = v->kind[0] != '\0' ? v->kind : NULL,
                                       .service = v->service[0] != '\0' ? v->service : NULL, .most = v->limit};

    return answer_json(ret, view_events_json(asked->a->seg, asked->segment, asked->folder, &events));
}

static bool answer_stats(const struct http_asked *asked, struct http_answer *ret)
{
    struct stats stats;
    json_t *o;

    stats_take(asked->a->seg, NULL, &stats);
    o = stats_json(asked->a->seg, asked->segment, &stats, asked->verdict.route == REQUEST_PAIRS);
    stats_free(&stats);
    return answer_json(ret, o);
}

static bool answer_counters(const struct http_asked *asked, struct http_answer *ret)
{
    json_t *o = metrics_json(asked->a->seg);

    if (o != NULL) json_object_set_new(o, "segment", json_string(asked->segment));
    return answer_json(ret, o);
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
    if (asked->verdict.status != 200) return answer_refusal(&asked->verdict, ret);
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
        return answer_json(ret, view_capabilities_json(asked->a->seg));
    case REQUEST_TASKS:
        return answer_tasks(asked, ret);
    case REQUEST_DEAD:
        return answer_dead(asked, ret);
    case REQUEST_KEPT:
        return answer_json(ret, view_kept_all_json(asked->a->seg, asked->segment));
    case REQUEST_CLAIMS:
        return answer_json(ret, view_claims_json(asked->a, asked->segment));
    case REQUEST_EVENTS:
        return answer_events(asked, ret);
    case REQUEST_STATS:
    case REQUEST_PAIRS:
        return answer_stats(asked, ret);
    case REQUEST_COUNTERS:
        return answer_counters(asked, ret);
    case REQUEST_OPENAPI:
        return answer_text(ret, TYPE_JSON, tool_format("%.*s", (int)apiaryd_openapi_size, apiaryd_openapi));
    case REQUEST_INDEX:
    default:
        return answer_file(asked, ret);
    }
}
