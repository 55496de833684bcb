/* tools/apiary/metrics.c - apiary metrics: what is counted, as Prometheus reads it, without the daemon. */
#include "tools/apiary/apiary.h"

#include <stdlib.h>

#include "tools/common/common.h"
#include "tools/common/metrics.h"

static int metrics_print(const struct tool *t, const struct ap_segment *seg, enum metrics_form form)
{
    struct metrics_text text = {.form = form};
    int rc = metrics_take(seg, NULL, &text);

    if (rc == 0) fwrite(text.bytes, 1, text.size, stdout);
    free(text.bytes);
    return rc == 0 ? TOOL_OK : tool_error(t, rc, NULL, "metrics");
}

static int metrics_print_json(const struct tool *t, const struct ap_segment *seg)
{
    struct metrics_text text = {.form = METRICS_JSON};
    json_t *list = metrics_take(seg, NULL, &text) == 0 ? json_loadb(text.bytes, text.size, 0, NULL) : NULL;

    free(text.bytes);
    if (list == NULL) return tool_error(t, APIARY_ENOBLOCK, NULL, "metrics");
    return tool_json_print(json_pack("{s:o, s:s}", "metrics", list, "segment", tool_segment(t, NULL)));
}

int cmd_metrics(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "metrics",
        .arguments = "",
        .what = "Prints what is counted, for Prometheus: as apiaryd serves it at /metrics, and without it.",
        .more = "apiary-metrics(7) lists the metrics. For the node exporter's collector of text files: print into a file beside\n"
                "the one that it reads, and rename it.",
        .json = true,
    };
    bool open = false;
    const struct tool_option options[] = {
        {"openmetrics", 0, NULL, "as OpenMetrics", NULL, &open},
        {.name = NULL},
    };
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (open && t->json) return tool_usage_error(t, &usage, "--json, --openmetrics: one or the other");
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = t->json ? metrics_print_json(t, a->seg) : metrics_print(t, a->seg, open ? METRICS_OPENMETRICS : METRICS_PROMETHEUS);
    apiary_detach(a);
    return tool_finish(t, rc);
}
