/* tools/common/metrics.h - what is counted (registry/monitor/counters.h) as a text for Prometheus, in its own form or as
 * OpenMetrics, and as JSON.
 *
 * FORM      Each family has its HELP and TYPE, also one without samples. Nanoseconds become seconds, exactly. In OpenMetrics a
 *           family's name lacks _total, there is a UNIT, and the end is marked. In JSON it is a list:
 *           [{"name", "type", "unit", "help", "samples": [{"labels": {...}, "value": ...}]}].
 * TRUST     Labels may hold anything: what does not print is shown as "\n", "\xNN" (tool_printable), then escaped.
 * THREADS   Any, each with its own.
 */
#ifndef AP_TOOLS_COMMON_METRICS_H
#define AP_TOOLS_COMMON_METRICS_H

#include "core/must_check.h"
#include "registry/monitor/counters.h"

enum metrics_form { METRICS_PROMETHEUS, METRICS_OPENMETRICS, METRICS_JSON };

#define METRICS_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* A text that grows. Zeroed, but for its form. */
struct metrics_text {
    enum metrics_form form;
    char *bytes;
    size_t size, room;
    bool short_of_memory;
    uint64_t families, samples; /* samples: of this family */
};
/* An ap_counter_visit_fn, `user` is a struct metrics_text: adds one row's head, or one sample. 0, or APIARY_ENOBLOCK. */
int metrics_add(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample);
/* Ends it: 0, or APIARY_ENOBLOCK. In both cases m->bytes is the caller's, to be freed. */
AP_MUST_CHECK int metrics_end(struct metrics_text *m);

/* All of a segment, from one look at it: 0 or APIARY_ENOBLOCK. `names` as ap_counters_take_of has them; NULL: all. */
AP_MUST_CHECK int metrics_take(const struct ap_segment *seg, const char *names, struct metrics_text *ret);

#endif
