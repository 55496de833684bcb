/* tools/apiary/task.c - apiary task ls, show, cancel: the task table, read without a lock. */
#include "tools/apiary/apiary.h"
#include "registry/routing/rules.h"
#include "tools/operate/operate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- ls ------------------------------------------------------------------------------------------------------- */

static const struct tool_usage ls_usage = {
    .command = "task ls",
    .arguments = "",
    .what = "Lists the tasks that are in the segment: scheduled, queued, running, and finished ones whose client has yet to\n"
            "collect them.",
    .json = true,
    .table = true,
};

static void task_row(const struct ap_segment *seg, struct tool_table *table, const struct task_view *v, uint64_t now)
{
    char id[48], agent[2 * APIARY_NAME_MAX + 4], age[32], starts[8], bytes[16], client[24];
    view_task_agent(seg, v, agent, sizeof agent);
    snprintf(starts, sizeof starts, "%u", v->starts);
    snprintf(bytes, sizeof bytes, "%u", v->body_size);
    snprintf(client, sizeof client, "%" PRId64, v->client_pid);
    tool_table_add(table, (const char *const[]){tool_format_task(v->id, id), ap_task_state_name(v->state),
                                                v->capability, agent, v->client_pid != 0 ? client : "-", starts, bytes,
                                                now > v->queued ? tool_format_duration(now - v->queued, age) : "-"});
}

static int task_list(const struct tool *t, const struct ap_segment *seg, int state)
{
    uint64_t now = seg->ops->now();
    if (t->json) return tool_json_print(view_tasks_json(seg, tool_segment(t, NULL), state, 0, UINT32_MAX, NULL));
    struct tool_table *table = tool_table_new((const char *const[]){"=task", "=state", "capability", "agent", "?>client",
                                                                    "?>starts", "?>bytes", ">age", NULL});
    struct task_view v;
    for (uint32_t slot = 0; slot < seg->geometry.tasks; slot++) {
        if (!view_task(seg, slot, &v) || (state >= 0 ? v.state != (uint32_t)state : view_task_over(&v))) continue;
        task_row(seg, table, &v, now);
    }
    tool_table_print(table, stdout);
    return TOOL_OK;
}

static int task_ls(struct tool *t, int argc, char **argv)
{
    const char *text = NULL;
    const struct tool_option options[] = {
        {"state", 0, "STATE", "only tasks in STATE (scheduled, queued, running, done, failed, cancelled)", &text, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &ls_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    int state = text != NULL ? view_task_state(text) : -1;
    if (text != NULL && state < 0)
        return tool_usage_error(t, &ls_usage,
                                "--state: '%s' is not a state; scheduled, queued, running, done, failed and cancelled are", text);
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = task_list(t, a->seg, state);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- show ----------------------------------------------------------------------------------------------------- */

static const struct tool_usage show_usage = {
    .command = "task show",
    .arguments = "ID",
    .what = "Shows one task of the segment.",
    .least = 1,
    .most = 1,
    .json = true,
};

static void show_time(const char *what, uint64_t at, uint64_t now)
{
    char text[32];
    if (at == 0 || at == APIARY_FOREVER) {
        printf("%-12s -\n", what);
    } else if (at <= now) {
        printf("%-12s %s ago\n", what, tool_format_duration(now - at, text));
    } else {
        printf("%-12s in %s\n", what, tool_format_duration(at - now, text));
    }
}

static void show_pid(const char *what, int64_t pid)
{
    if (pid != 0) printf("%-12s %" PRId64 "\n", what, pid);
    else printf("%-12s -\n", what);
}

static void show_carried(const struct ap_carried *row)
{
    json_t *o = tool_carried_json(row), *value;
    const char *key;

    json_object_foreach (o, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        printf("%-12s %s\n", key, json_is_string(value) ? json_string_value(value) : json_is_null(value) ? "-" : text);
        free(text);
    }
    json_decref(o);
}

static void show_progress(const struct ap_progress_view *p, uint64_t now)
{
    char *text;

    if (p->beats == 0) return;
    text = tool_printable(p->text, p->size);
    show_time("beat", p->at, now);
    printf("beats        %" PRIu64 "\nprogress     %s\n", p->beats, text);
    free(text);
}

static void show_parts(const struct ap_stream_view *s)
{
    if (s->attempt == 0) return;
    printf("parts        %" PRIu64 " sent, %" PRIu64 " read, by attempt %u\n", s->sent, s->sent - s->unread, s->attempt);
    printf("unread       %" PRIu64 " of %" PRIu64 " bytes%s\n", s->bytes, s->capacity,
           s->wants != 0 ? "; its agent waits for the reader" : "");
}

static void task_do_show(const struct ap_segment *seg, const struct task_view *v)
{
    char id[48], agent[2 * APIARY_NAME_MAX + 4], passed[APIARY_NAME_MAX + 1], follows[48];
    uint64_t now = seg->ops->now();
    view_task_agent(seg, v, agent, sizeof agent);
    printf("task         %s\nstate        %s\ncapability   %s\nagent        %s\ncaller       %s\n",
           tool_format_task(v->id, id), ap_task_state_name(v->state), v->capability, agent,
           *v->caller != '\0' ? v->caller : "-");
    if (view_task_passed(seg, v, passed)) printf("passed on for %s\n", *passed != '\0' ? passed : "-");
    if (*view_task_follows(seg, v, follows) != '\0') printf("follows      %s\n", follows);
    show_pid("client pid", v->client_pid);
    show_pid("worker pid", v->worker_pid);
    printf("starts       %u\ncrashes      %u\nfailures     %u\n", v->starts, v->crashes, v->failures);
    if (v->state == AP_TASK_SCHEDULED && v->failures > 0) printf("last failure %u\n", v->agent_code);
    printf("requested   %s%s%s%s\n", (v->request & AP_REQUEST_CANCEL) != 0 ? " cancel" : "",
           (v->request & AP_REQUEST_DETACH) != 0 ? " detach" : "",
           (v->request & AP_REQUEST_ABANDON) != 0 ? " abandon" : "",
           (v->request & (AP_REQUEST_CANCEL | AP_REQUEST_GIVEN_UP)) == 0 ? " -" : "");
    printf("request      %u bytes\nresult       %u bytes\n", v->body_size, v->result_size);
    if (v->state == AP_TASK_FAILED)
        printf("error        %s (agent's code %u)\n", apiary_strerror(v->code), v->agent_code);
    show_time("queued", v->queued, now);
    if (v->state == AP_TASK_SCHEDULED) show_time("due", v->due, now);
    show_time("started", v->started >= v->queued ? v->started : 0, now);
    show_time("finished", v->finished >= v->queued ? v->finished : 0, now);
    show_time("deadline", v->deadline, now);
    show_progress(&v->progress, now);
    show_parts(&v->stream);
    show_carried(&v->carried);
}

static int parse_id(const struct tool *t, const struct tool_usage *usage, const char *text, apiary_task_t *ret)
{
    if (tool_parse_task(text, ret) == 0) return TOOL_OK;
    return tool_usage_error(t, usage, "'%s' is not a task id; 'apiary task ls' lists them", text);
}

static int no_task(const struct tool *t, enum operate_task why, const char *text)
{
    if (why == OPERATE_KEPT)
        return tool_fail(t, TOOL_FAILED, "task %s has ended, and its result is kept; 'apiary kept fetch %s' prints it", text, text);
    if (why == OPERATE_GONE) return tool_error(t, APIARY_ESTALE, NULL, "task %s", text);
    return tool_fail(t, TOOL_FAILED,
                     "task %s: no such task: none with this id was ever in the segment; 'apiary task ls' lists them", text);
}

static int task_show(struct tool *t, int argc, char **argv)
{
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &show_usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    apiary_task_t id;
    rc = parse_id(t, &show_usage, argv[0], &id);
    if (rc != TOOL_OK) return rc;
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    struct task_view v;
    if (!view_task(a->seg, id.slot, &v) || v.id.generation != id.generation || v.id.epoch != id.epoch) {
        rc = no_task(t, operate_why(a->seg, id), argv[0]);
    } else if (t->json) {
        rc = tool_json_print(view_task_json(a->seg, &v));
    } else {
        task_do_show(a->seg, &v);
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- cancel --------------------------------------------------------------------------------------------------- */

static const struct tool_usage cancel_usage = {
    .command = "task cancel",
    .arguments = "ID",
    .what = "Takes a queued task back at once; a running one is told, and its agent may look. One that has ended is left alone.",
    .least = 1,
    .most = 1,
};

static int task_cancel(struct tool *t, int argc, char **argv)
{
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &cancel_usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    apiary_task_t id;
    rc = parse_id(t, &cancel_usage, argv[0], &id);
    if (rc != TOOL_OK) return rc;
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    uint32_t state = 0;
    int error = 0;
    enum operate_task r = operate_cancel(a, id, &state, &error);
    if (r == OPERATE_ENDED)
        rc = tool_fail(t, TOOL_FAILED, "task %s has ended already (%s), nothing to cancel; its client has yet to collect it",
                       argv[0], ap_task_state_name(state));
    else if (r == OPERATE_ERROR) rc = tool_error(t, error, NULL, "task %s", argv[0]);
    else if (r != OPERATE_CANCELLED) rc = no_task(t, r, argv[0]);
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_task(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "task",
        .arguments = "ls | show ID | cancel ID",
        .what = "Lists, shows and cancels tasks; 'apiary task ls --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"ls", "list tasks", task_ls},
        {"show", "show one task", task_show},
        {"cancel", "cancel one task", task_cancel},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
