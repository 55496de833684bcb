/* tools/apiary/trace.c - apiary trace: the life of a task across swarms, as a time line. See tools/view/trace.h. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/view/trace.h"

#define BAR 32u

/* Where in the trace's time it waited ('.') and ran ('#'). */
static void trace_bar(const struct trace_view *v, const struct trace_row *row, char ret[BAR + 1])
{
    uint64_t whole = v->until > v->from ? v->until - v->from : 1, started = row->r.started != 0 ? row->r.started : row->until;
    uint32_t from = (uint32_t)((double)(row->from - v->from) / (double)whole * (BAR - 1));
    uint32_t run = (uint32_t)((double)(started - v->from) / (double)whole * (BAR - 1));
    uint32_t until = (uint32_t)((double)(row->until - v->from) / (double)whole * (BAR - 1));

    memset(ret, ' ', BAR);
    ret[BAR] = '\0';
    for (uint32_t i = from; i <= until && i < BAR; i++) ret[i] = row->r.started != 0 && i >= run ? '#' : '.';
}

static void trace_end(const struct trace_row *row, char *ret, size_t size)
{
    const struct ap_finished *r = &row->r;
    const char *how = row->state != NULL ? row->state : ap_finish_text(r->how);

    if (r->code == 0) snprintf(ret, size, "%s", how);
    else if (-(int)r->code == APIARY_EAGENT) snprintf(ret, size, "%s with %" PRIu32, how, r->agent_code);
    else snprintf(ret, size, "%s: %s", how, apiary_error_name(-(int)r->code));
}

static void trace_line(struct tool_table *table, const struct ap_segment *seg, const struct trace_view *v,
                       const struct trace_row *row)
{
    char after[32], waited[32], ran[32] = "-", agent[FINISHED_AGENT], caller[APIARY_NAME_MAX + 1], task[48], end[96];
    char capability[APIARY_CAPABILITY_MAX + 1], bar[BAR + 1], attempt[16], pid[16] = "-";
    uint64_t started = row->r.started != 0 ? row->r.started : row->until;
    char *what, *whose = tool_format("%*s%s", (int)(2 * (row->depth < 16 ? row->depth : 16)), "",
                                     *finished_caller(seg, &row->r, caller) != '\0' ? caller : "-");

    finished_task(&row->r, task);
    trace_end(row, end, sizeof end);
    trace_bar(v, row, bar);
    finished_capability(seg, &row->r, capability);
    what = tool_format("%s%s", capability, row->r.other == 0 ? "" : row->r.second ? " (hedge)" : " (hedged)");
    if (row->r.started != 0) tool_format_duration(row->until - row->r.started, ran);
    if (row->r.pid != 0) snprintf(pid, sizeof pid, "%" PRIu32, row->r.pid);
    snprintf(attempt, sizeof attempt, "%u", row->r.attempt);
    tool_table_add(table, (const char *[]){tool_format_duration(row->from - v->from, after), bar, whose,
                                           finished_agent(seg, row->r.queue, agent), what, attempt,
                                           tool_format_duration(started - row->from, waited), ran, end, pid, task});
    if (row->r.code != 0) tool_table_mark(table, 8, '!');
    free(what);
    free(whose);
}

static void trace_print(const struct ap_segment *seg, const struct trace_view *v)
{
    static const char *const headings[] = {">after", "=", "caller", "agent", "capability", ">attempt", ">waited", ">ran", "end",
                                           "?>process", "=task", NULL};
    struct tool_table *table = tool_table_new(headings);
    char took[32], time[32];

    for (size_t i = 0; i < v->count; i++) trace_line(table, seg, v, &v->rows[i]);
    printf("%s%s, from %s on, %s\n", *v->trace != '\0' ? "trace " : "a task in no trace", v->trace,
           tool_format_time(finished_time(seg, v->from, true), time), tool_format_duration(v->until - v->from, took));
    tool_table_print(table, stdout);
    for (size_t i = 0; i < v->count; i++)
        if (v->rows[i].dead != 0)
            printf("It is not tried again, and waits in the dead set: apiary dead show %" PRIu64 "\n", v->rows[i].dead);
    if (*v->trace == '\0')
        printf("What it has asked others for is not known: only tasks of one trace know of each other (apiary delegate "
               "--traceparent).\n");
    else if (!v->sampled)
        printf("The trace is not sampled (flag 01): of its tasks only those are told of that failed or were slow.\n");
    if (v->lost > 0 && v->orphans)
        printf("A parent is named that is not there. It may be the one who began the trace, or older: %" PRIu64 " older records "
               "are overwritten.\n", v->lost);
    else if (v->lost > 0) printf("%" PRIu64 " older records are overwritten, of whatever task.\n", v->lost);
}

int cmd_trace(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "trace",
        .arguments = "ID",
        .what = "Shows the life of a task across swarms: who asked whom, how long each waited and ran, and each attempt.",
        .more = "ID is a task's, as 'apiary task ls', 'tap' and 'delegate --detach' print it, or a trace's of 32 digits. In the\n"
                "time line '.' is waiting, '#' running. Needs no coordinator.",
        .least = 1,
        .most = 1,
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    apiary_t *a = NULL;
    struct trace_view v;
    int rc = tool_parse(t, &usage, none, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    r = view_trace(a->seg, argv[0], &v);
    if (r == APIARY_EINVAL) rc = tool_usage_error(t, &usage, "'%s' is neither a task's id nor a trace's of 32 digits", argv[0]);
    else if (r < 0)
        rc = tool_fail(t, TOOL_FAILED, "%s: nothing is known of it; told of are tasks that are not over, and the last ones that "
                       "failed, were slow or whose trace is sampled", argv[0]);
    else if (t->json) rc = tool_json_print(view_trace_json(a->seg, &v));
    else trace_print(a->seg, &v);
    if (r == 0) view_trace_free(&v);
    apiary_detach(a);
    return rc;
}
