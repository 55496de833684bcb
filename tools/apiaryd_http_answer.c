/* tools/apiaryd_http_answer.c - what the HTTP server answers. See apiaryd_http.h. */
#include <stdlib.h>
#include <string.h>

#include "tools/apiaryd_http.h"
#include "tools/apiaryd_ready.h"
#include "tools/common.h"
#include "tools/common_metrics.h"

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"

static bool answer_text(struct http_answer *ret, const char *type, char *text)
{
    ret->type = type;
    ret->body = text;
    ret->size = text != NULL ? strlen(text) : 0;
    return text != NULL;
}

/* Takes the reference. */
static bool answer_json(struct http_answer *ret, json_t *o)
{
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return answer_text(ret, TYPE_JSON, text);
}

static bool answer_refusal(const struct request_verdict *v, struct http_answer *ret)
{
    ret->status = v->status;
    return answer_json(ret, json_pack("{s:i, s:i, s:o}", "schema", TOOL_JSON_SCHEMA, "status", (int)v->status, "error",
                                      tool_json_text(v->why)));
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

static bool answer_index(const struct http_asked *asked, struct http_answer *ret)
{
    char *text = tool_format("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>apiary</title>\n"
                             "<h1>apiary %s</h1>\n<p>The coordinator of the segment %s.</p>\n<ul>\n", apiary_version(),
                             asked->segment);

    for (unsigned i = 0; i < REQUEST_ROUTE_COUNT; i++) {
        const struct request_row *row = &request_rows[i];
        char *more = tool_format("%s<li><a href=\"%s\">%s</a> %s</li>\n", text, row->path, row->path, row->what);

        free(text);
        text = more;
    }
    char *whole = tool_format("%s</ul>\n</html>\n", text);

    free(text);
    return answer_text(ret, TYPE_HTML, whole);
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
    case REQUEST_INDEX:
    default:
        return answer_index(asked, ret);
    }
}
