/* tools/apiaryd/own_answer.c - what a swarm's own endpoints answer. See own.h. */
#include <stdlib.h>
#include <string.h>

#include "tools/apiaryd/own.h"
#include "tools/common/common.h"
#include "tools/common/metrics.h"
#include "tools/view/view.h"

/* Takes the reference. */
static bool own_json(struct http_answer *ret, unsigned status, json_t *o)
{
    json_t *whole = json_pack("{s:i}", "schema", TOOL_JSON_SCHEMA);

    *ret = (struct http_answer){.status = status, .type = "application/json"};
    if (whole != NULL && o != NULL && json_object_update(whole, o) == 0) ret->body = json_dumps(whole, JSON_COMPACT);
    ret->size = ret->body != NULL ? strlen(ret->body) : 0;
    json_decref(whole);
    json_decref(o);
    return ret->body != NULL;
}

bool own_refusal(const struct request_verdict *v, struct http_answer *ret)
{
    return own_json(ret, v->status, json_pack("{s:i, s:o}", "status", (int)v->status, "error", tool_json_text(v->why)));
}

static bool own_health(apiary_t *a, const char *segment, const char *service, struct http_answer *ret)
{
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(a, service, &rows);
    json_t *o = view_status_json(a, segment, rows, n > 0 ? n : 0);
    bool passes = false;

    for (int i = 0; i < n; i++) passes = passes || rows[i].state == APIARY_PASSING;
    free(rows);
    return own_json(ret, passes ? 200 : 503, o);
}

/* ---- metrics ------------------------------------------------------------------------------------------------------ */

/* Of all families those that have a sample of the service. */
struct own_metrics {
    struct metrics_text text;
    const struct ap_segment *seg;
    const char *service;
    struct agent_view *agents; /* its own */
    size_t agent_count;
    bool headless; /* the family's head is not told yet */
};

static bool own_offers(const struct own_metrics *m, const char *capability)
{
    char name[APIARY_CAPABILITY_MAX + 1];

    for (size_t i = 0; i < m->agent_count; i++)
        for (uint32_t k = 0; k < m->agents[i].capability_count; k++) {
            ap_capability_name(m->seg, m->agents[i].capabilities[k], name);
            if (strcmp(name, capability) == 0) return true;
        }
    return false;
}

/* By the service where a sample has one; else by the caller, or by what is called for. */
static bool own_has(const struct own_metrics *m, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    for (uint32_t i = 0; row->labels[i] != NULL; i++)
        if (strcmp(row->labels[i], "service") == 0) return strcmp(sample->labels[i], m->service) == 0;
    for (uint32_t i = 0; row->labels[i] != NULL; i++) {
        if (strcmp(row->labels[i], "caller") == 0 && strcmp(sample->labels[i], m->service) == 0) return true;
        if (strcmp(row->labels[i], "capability") == 0 && own_offers(m, sample->labels[i])) return true;
    }
    return false;
}

static int own_add(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct own_metrics *m = user;
    int rc = 0;

    if (sample == NULL) m->headless = true;
    if (sample == NULL || !own_has(m, row, sample)) return 0;
    if (m->headless) rc = metrics_add(&m->text, row, NULL);
    m->headless = false;
    return rc == 0 ? metrics_add(&m->text, row, sample) : rc;
}

static bool own_metrics(apiary_t *a, const char *service, bool openmetrics, struct http_answer *ret)
{
    struct own_metrics m = {.text = {.form = openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS}, .seg = a->seg,
                            .service = service};
    const apiary_instance_query_t query = {.struct_size = sizeof query, .service = service};
    struct ap_instance_query meant;
    struct ap_counters *c = NULL;
    int rc = ap_instance_query_read(&query, &meant);

    if (rc == 0) m.agent_count = view_agents(a->seg, &meant, &m.agents);
    if (rc == 0) rc = ap_counters_take(a->seg, &c);
    if (rc == 0) rc = ap_counters_each(c, own_add, &m);
    if (rc == 0) rc = metrics_end(&m.text);
    ap_counters_free(c);
    free(m.agents);
    *ret = (struct http_answer){.status = 200, .body = m.text.bytes, .size = m.text.size,
                                .type = openmetrics ? METRICS_OPENMETRICS_TYPE : METRICS_PROMETHEUS_TYPE};
    return rc == 0;
}

bool own_answer(apiary_t *a, const char *segment, const char *service, const char *path, bool openmetrics, struct http_answer *ret)
{
    return strcmp(path, "/health") == 0 ? own_health(a, segment, service, ret) : own_metrics(a, service, openmetrics, ret);
}
