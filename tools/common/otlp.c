/* tools/common/otlp.c - ends of tasks as spans of OpenTelemetry. See otlp.h. */
#include "tools/common/otlp.h"

#include <inttypes.h>
#include <string.h>

#include "tools/common/common.h"

enum { KIND_INTERNAL = 1, KIND_CONSUMER = 5, STATUS_ERROR = 2 };

/* ---- values ------------------------------------------------------------------------------------------------------- */

static void otlp_text(json_t *list, const char *key, const char *text)
{
    if (*text != '\0')
        json_array_append_new(list, json_pack("{s:s, s:{s:o}}", "key", key, "value", "stringValue", tool_json_text(text)));
}

static json_t *digits(uint64_t n)
{
    return json_sprintf("%" PRIu64, n);
}

static void otlp_number(json_t *list, const char *key, uint64_t n)
{
    json_array_append_new(list, json_pack("{s:s, s:{s:o}}", "key", key, "value", "intValue", digits(n)));
}

static json_t *span_id(uint64_t span)
{
    return json_sprintf("%016" PRIx64, span);
}

/* Of a start that was not the last: no task has it, and the same one has the same. */
static uint64_t attempt_span(const struct ap_finished *r)
{
    uint64_t x = finished_span(r) + r->attempt * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return (x ^ x >> 27) | UINT64_C(1) << 63; /* a reference has no such bit */
}

/* ---- a span ------------------------------------------------------------------------------------------------------- */

static bool goes_on(const struct ap_finished *r)
{
    return r->how == AP_FINISH_RETRIED || r->how == AP_FINISH_LOST;
}

static const char *error_of(const struct ap_finished *r)
{
    if (r->code != 0) return apiary_error_name(-(int)r->code);
    return r->how == AP_FINISH_LOST ? apiary_error_name(APIARY_ELOST) : "";
}

static json_t *attributes(const struct ap_segment *seg, const struct ap_finished *r)
{
    char task[48], capability[APIARY_CAPABILITY_MAX + 1], caller[APIARY_NAME_MAX + 1], agent[FINISHED_AGENT];
    char service[APIARY_NAME_MAX + 1];
    json_t *list = json_array();

    finished_task(r, task);
    otlp_text(list, "messaging.system", "apiary");
    otlp_text(list, "messaging.operation.type", "process");
    otlp_text(list, "messaging.operation.name", "process");
    otlp_text(list, "messaging.destination.name", finished_capability(seg, r, capability));
    otlp_text(list, "messaging.consumer.group.name", finished_service(seg, r->queue, service));
    otlp_text(list, "messaging.message.id", task);
    otlp_number(list, "messaging.message.body.size", r->body_size);
    otlp_text(list, "error.type", error_of(r));
    otlp_text(list, "apiary.end", ap_finish_text(r->how));
    otlp_text(list, "apiary.agent", finished_agent(seg, r->queue, agent));
    otlp_text(list, "apiary.caller", finished_caller(seg, r, caller));
    otlp_number(list, "apiary.attempt", r->attempt);
    otlp_number(list, "apiary.result.size", r->result_size);
    if (r->agent_code != 0) otlp_number(list, "apiary.agent_code", r->agent_code);
    if (r->pid != 0) otlp_number(list, "apiary.worker.pid", r->pid);
    if (r->other != 0) otlp_text(list, "apiary.hedge", r->second ? "second copy" : "first copy");
    return list;
}

static json_t *span_of(const struct ap_segment *seg, const struct ap_finished *r)
{
    char trace[33], capability[APIARY_CAPABILITY_MAX + 1];
    const char *error = error_of(r);
    json_t *o = json_object();

    finished_trace(r, trace);
    finished_capability(seg, r, capability);
    json_object_set_new(o, "traceId", json_string(trace));
    json_object_set_new(o, "spanId", span_id(goes_on(r) ? attempt_span(r) : finished_span(r)));
    if (goes_on(r)) json_object_set_new(o, "parentSpanId", span_id(finished_span(r)));
    else if (r->parent != 0) json_object_set_new(o, "parentSpanId", span_id(r->parent));
    json_object_set_new(o, "flags", json_integer(r->flags));
    json_object_set_new(o, "name", json_sprintf("%s %s", goes_on(r) ? "attempt" : "process", capability));
    json_object_set_new(o, "kind", json_integer(goes_on(r) ? KIND_INTERNAL : KIND_CONSUMER));
    json_object_set_new(o, "startTimeUnixNano", digits(finished_time(seg, r->queued, true)));
    json_object_set_new(o, "endTimeUnixNano", digits(finished_time(seg, r->finished, true)));
    json_object_set_new(o, "attributes", attributes(seg, r));
    if (r->started != 0)
        json_object_set_new(o, "events", json_pack("[{s:o, s:s}]", "timeUnixNano", digits(finished_time(seg, r->started, true)),
                                                   "name", "started"));
    json_object_set_new(o, "status", *error == '\0' ? json_object()
                                                    : json_pack("{s:i, s:s}", "code", STATUS_ERROR, "message", error));
    return o;
}

/* ---- a line ------------------------------------------------------------------------------------------------------- */

static bool otlp_wants(const struct ap_finished *r)
{
    return (r->flags & APIARY_TRACE_SAMPLED) != 0 && finished_traced(r);
}

/* The list of spans of a service; made where it is the first. */
static json_t *spans_of(json_t *by_service, json_t *list, const char *service)
{
    json_t *spans = json_object_get(by_service, service);

    if (spans != NULL) return spans;
    spans = json_array();
    json_object_set_new(by_service, service, spans);
    json_array_append_new(list, json_pack("{s:{s:[{s:s, s:{s:s}}]}, s:[{s:{s:s, s:s}, s:O}]}", "resource", "attributes", "key",
                                          "service.name", "value", "stringValue", service, "scopeSpans", "scope", "name",
                                          "apiary", "version", apiary_version(), "spans", spans));
    return spans;
}

char *otlp_line(const struct ap_segment *seg, const struct ap_finished *all, size_t n)
{
    json_t *list = json_array(), *by_service = json_object(), *whole;
    char *ret = NULL;

    for (size_t i = 0; i < n; i++) {
        char service[APIARY_NAME_MAX + 1];
        json_t *name;

        if (!otlp_wants(&all[i])) continue;
        name = tool_json_text(finished_service(seg, all[i].queue, service));
        json_array_append_new(spans_of(by_service, list, *service != '\0' ? json_string_value(name) : "apiary"),
                              span_of(seg, &all[i]));
        json_decref(name);
    }
    whole = json_pack("{s:O}", "resourceSpans", list);
    if (json_array_size(list) > 0) ret = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    json_decref(list);
    json_decref(by_service);
    return ret;
}
