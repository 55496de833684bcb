/* tools/apiary/top.c - apiary top: what each service does now. See top.h. */
#include "tools/apiary/top.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct tool_usage top_usage = {
    .command = "top",
    .arguments = "[SERVICE]",
    .what = "Shows what each service does now, again and again: state, rate, times, success, queue, processor, memory.",
    .more = "On a terminal '?' lists the keys. Where standard output is none, and with --once or --json, it counts for one\n"
            "interval and prints that. It reads the segment, and needs no coordinator. SERVICE: its instances, agents and\n"
            "callers. A segment that goes is waited for. Columns: name, state, instances, rate, p50, percentile, wait, success,\n"
            "queued, oldest, running, cpu, memory.",
    .most = 1,
    .json = true,
    .table = true,
};

static bool percentile_of(const char *text, size_t *ret)
{
    text += *text == 'p';
    for (size_t i = 0; i < TOP_PERCENTILES; i++) {
        if (strcmp(text, top_percentiles[i]) != 0) continue;
        *ret = i;
        return true;
    }
    return false;
}

/* By its letter, or its head in small letters. */
static bool column_of(const char *text, size_t *ret)
{
    static const char *const names[] = {"name", "state", "instances", "rate", "p50", "percentile", "wait", "success", "queued",
                                        "oldest", "running", "cpu", "memory"};
    _Static_assert(sizeof names / sizeof *names == 13, "as many as there are columns");
    for (size_t i = 0; i < top_column_count; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *ret = i;
        return true;
    }
    return false;
}

static int top_once(const struct tool *t, apiary_t *a, const struct top_options *o)
{
    struct top_look before = {.now = 0}, now = {.now = 0};
    struct top_row *rows;
    size_t count;
    int rc = top_look(a, &before);
    if (rc == 0) poll(NULL, 0, (int)(o->interval / 1000000));
    if (rc == 0) rc = top_look(a, &now);
    if (rc < 0) {
        top_look_free(&before);
        return tool_error(t, rc, NULL, "top");
    }
    rows = top_rows(a->seg, &now, &before, o->of, &count);
    if (o->filter != NULL) count = top_filter(rows, count, o->filter);
    top_sort(rows, count, o->column, strtod(top_percentiles[o->percentile], NULL) / 100, false);
    if (o->of != NULL && count == 0 && o->filter == NULL)
        rc = tool_fail(t, TOOL_NO_PROVIDER, "top: nothing is known of '%s'; 'apiary services' lists the services", o->of);
    else
        rc = top_print(t, &now, rows, count, top_percentiles[o->percentile]);
    free(rows);
    top_look_free(&before);
    top_look_free(&now);
    return rc;
}

int cmd_top(struct tool *t, int argc, char **argv)
{
    const char *interval = "1s", *percentile = "99", *sort = "state", *filter = NULL;
    struct top_options o = {.of = NULL};
    bool once = false;
    const struct tool_option options[] = {
        {"once", '1', NULL, "once, as text", NULL, &once},
        {"interval", 'i', "TIME", "between two looks [1s]", &interval, NULL},
        {"percentile", 'p', "P", "50, 90, 95, 99, 99.9 or 99.99 [99]", &percentile, NULL},
        {"sort", 'o', "COLUMN", "by this column [state]", &sort, NULL},
        {"filter", 'f', "TEXT", "only rows whose name, state or mode has it", &filter, NULL},
        {.name = NULL},
    };
    apiary_t *a = NULL;
    int rc = tool_parse(t, &top_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (tool_duration(interval, &o.interval) < 0 || o.interval < 50000000 || o.interval / 1000000 > 86400000)
        return tool_usage_error(t, &top_usage, "--interval: '%s' is no time from 50ms to 24h", interval);
    if (!percentile_of(percentile, &o.percentile))
        return tool_usage_error(t, &top_usage, "--percentile: '%s' is none of 50, 90, 95, 99, 99.9, 99.99", percentile);
    if (!column_of(sort, &o.column)) return tool_usage_error(t, &top_usage, "--sort: there is no column '%s'", sort);
    o.segment = tool_segment(t, NULL);
    o.of = argc > 0 ? argv[0] : NULL;
    o.filter = filter;
    rc = tool_attach(t, o.segment, true, &a);
    if (rc != TOOL_OK) return rc;
    rc = once || t->json || isatty(STDOUT_FILENO) != 1 || isatty(STDIN_FILENO) != 1 ? top_once(t, a, &o) : top_screen(t, &a, &o);
    apiary_detach(a);
    return tool_finish(t, rc);
}
