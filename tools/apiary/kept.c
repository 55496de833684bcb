/* tools/apiary/kept.c - apiary kept ls, fetch, forget: results that outlive their tasks. */
#include "tools/apiary/apiary.h"

#include <stdlib.h>

#include "registry/discovery/discovery.h"
#include "registry/routing/kept.h"

/* ---- ls -------------------------------------------------------------------------------------------------------- */

static void row_line(struct tool_table *table, const struct kept_view *row, uint64_t now)
{
    bool kept = row->state == AP_KEPT_KEPT;
    char id[48], bytes[16] = "-", left[32] = "-";

    if (kept) snprintf(bytes, sizeof bytes, "%u", row->size);
    if (kept && row->until != UINT64_MAX && row->until > now) tool_format_duration(row->until - now, left);
    tool_table_add(table, (const char *const[]){tool_format_task(row->task, id), kept ? row->capability : "-",
                                                !kept ? "not ended" : row->code == 0 ? "done" : apiary_error_name(row->code), bytes,
                                                left});
}

static int kept_list(const struct tool *t, const struct ap_segment *seg)
{
    static const char *const heads[] = {"task", "capability", "end", "?>bytes", ">expires in", NULL};
    struct tool_table *table;
    uint64_t now = seg->ops->now();
    struct kept_view row;

    if (t->json) return tool_json_print(view_kept_all_json(seg, tool_segment(t, NULL)));
    table = tool_table_new(heads);
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_KEPT].count; i++)
        if (view_kept(seg, i, &row)) row_line(table, &row, now);
    tool_table_print(table, stdout);
    return TOOL_OK;
}

static int kept_ls(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "kept ls",
        .arguments = "",
        .what = "Lists the results that are kept, or promised, to tasks that were delegated with --detach --keep.",
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = kept_list(t, a->seg);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- fetch, forget --------------------------------------------------------------------------------------------- */

static int kept_error(const struct tool *t, int error, const char *id)
{
    if (error == APIARY_ESTALE)
        return tool_error(t, error, "no result is kept for it (any more); 'apiary kept ls' lists them", "task %s", id);
    if (error == APIARY_ENOTREADY) return tool_error(t, error, "it has not ended yet; see --wait", "task %s", id);
    return tool_error(t, error, NULL, "task %s", id);
}

static int kept_id(const struct tool *t, const struct tool_usage *usage, const char *text, apiary_task_t *ret)
{
    if (tool_parse_task(text, ret) == 0) return TOOL_OK;
    return tool_usage_error(t, usage, "'%s' is not a task id; 'apiary kept ls' lists them", text);
}

/* Its size is known when it is there: it is fetched again with room for all of it. The caller's, to be freed. */
static int kept_get(apiary_t *a, apiary_task_t task, uint64_t wait, char **ret_data, apiary_result_t *ret)
{
    size_t capacity = 0;
    char *data = NULL;
    int r = apiary_fetch(a, task, wait, NULL, 0, ret);

    while (r == 0 && ret->size > capacity) {
        free(data);
        capacity = ret->size;
        data = tool_alloc(capacity);
        r = apiary_fetch(a, task, 0, data, capacity, ret);
    }
    *ret_data = data;
    return r;
}

static int kept_print(const struct tool *t, const apiary_result_t *result, const char *id)
{
    json_t *o;
    int rc;

    if (!t->json) return result_print(t, id, result);
    o = json_object();
    json_object_set_new(o, "task", json_string(id));
    result_set_end(o, result);
    json_object_set_new(o, "size", json_integer((json_int_t)result->size));
    result_set_data(o, result);
    rc = tool_json_print(o);
    return rc != TOOL_OK ? rc : result->code != 0 ? tool_exit_code(result->code) : TOOL_OK;
}

static int kept_fetch(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "kept fetch",
        .arguments = "TASK",
        .what = "Prints the result that is kept for a task, as apiary delegate does.",
        .least = 1,
        .most = 1,
        .json = true,
    };
    const char *wait = NULL;
    const struct tool_option options[] = {
        {"wait", 'w', "TIME", "wait for the task's end, for so long (250ms, 5s, 2m) [not at all]", &wait, NULL},
        {.name = NULL},
    };
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_t *a = NULL;
    apiary_task_t task;
    uint64_t time = 0;
    char *data = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    if (wait != NULL && tool_duration(wait, &time) != 0)
        return tool_usage_error(t, &usage, "--wait: '%s' is not a duration above 0; write 250ms, 5s or 2m", wait);
    rc = kept_id(t, &usage, argv[0], &task);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    r = kept_get(a, task, time, &data, &result);
    rc = r < 0 ? kept_error(t, r, argv[0]) : kept_print(t, &result, argv[0]);
    free(data);
    apiary_detach(a);
    return tool_finish(t, rc);
}

static int kept_forget(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "kept forget",
        .arguments = "TASK...",
        .what = "Drops results that are kept, before their time.",
        .least = 1,
        .most = -1,
    };
    const struct tool_option none[] = {{.name = NULL}};
    apiary_t *a = NULL;
    apiary_task_t task;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = TOOL_OK;
    for (int i = 0; rc == TOOL_OK && i < argc; i++) rc = kept_id(t, &usage, argv[i], &task);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    for (int i = 0; i < argc; i++) {
        int r = tool_parse_task(argv[i], &task) == 0 ? apiary_forget(a, task) : APIARY_EINVAL;
        if (r < 0) rc = kept_error(t, r, argv[i]);
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_kept(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "kept",
        .arguments = "ls | fetch TASK | forget TASK...",
        .what = "Lists, fetches and forgets results that outlive their tasks; 'apiary kept fetch --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"ls", "list them", kept_ls},
        {"fetch", "print one", kept_fetch},
        {"forget", "drop them before their time", kept_forget},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
