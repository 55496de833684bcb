/* tools/apiary/rows.c - see rows.h. */
#include "tools/apiary/rows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICE UINT64_C(20000000) /* how long the crew may wait for attention */

static void rows_add(struct check_rows *r, const struct ap_deployment_swarm *swarm, const struct ap_deployment_check *check)
{
    r->rows = tool_realloc(r->rows, (r->count + 1) * sizeof *r->rows);
    r->rows[r->count++] = (struct check_row){.swarm = swarm, .check = check};
}

void rows_collect(const struct ap_deployment *d, struct check_rows *ret)
{
    *ret = (struct check_rows){.rows = NULL};
    for (size_t i = 0; i < d->swarm_count; i++) {
        for (size_t k = 0; k < d->swarms[i].check_count; k++)
            rows_add(ret, &d->swarms[i], &d->swarms[i].checks[k]);
    }
    while (ap_deployment_unchecked(d, ret->unchecked, NULL) != NULL)
        ret->unchecked++;
}

void rows_free(struct check_rows *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->rows[i].outcome);
    free(r->rows);
    *r = (struct check_rows){.rows = NULL};
}

/* ---- one check ------------------------------------------------------------------------------------------------ */

/* The request: the text, or the file's bytes. *ret is to be freed; false with the outcome set. */
static bool read_request(struct check_row *row, char **ret, size_t *size)
{
    const struct ap_deployment_check *c = row->check;
    if (c->send_file == NULL) {
        *ret = tool_strdup(c->send != NULL ? c->send : "");
        *size = strlen(*ret);
        return true;
    }
    FILE *f = fopen(c->send_file, "re");
    char *bytes = NULL;
    size_t room = 0;
    *size = 0;
    while (f != NULL && !feof(f) && !ferror(f)) {
        if (*size == room) bytes = tool_realloc(bytes, room = room * 2 + 4096);
        *size += fread(bytes + *size, 1, room - *size, f);
    }
    bool complete = f != NULL && !ferror(f);
    if (!complete) row->outcome = tool_format("cannot read %s: %m", c->send_file);
    if (f != NULL) fclose(f);
    if (complete) {
        *ret = bytes;
    } else {
        free(bytes);
    }
    return complete;
}

static size_t without_newlines(const char *text, size_t size)
{
    while (size > 0 && text[size - 1] == '\n')
        size--;
    return size;
}

/* One line, printable. */
static char *rows_quoted(const char *text, size_t size)
{
    char *whole = tool_printable(text, size);
    char *ret = tool_format("\"%s\"", whole);
    free(whole);
    return ret;
}

static bool rows_matches(const char *pattern, const char *text, size_t size, char **why)
{
    regex_t compiled;
    int rc = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
    if (rc != 0) {
        char message[128];
        regerror(rc, &compiled, message, sizeof message);
        *why = tool_format("expect_match: %s", message);
        return false;
    }
    char *copy = tool_alloc(size + 1);
    memcpy(copy, text, size);
    bool found = memchr(text, '\0', size) == NULL && regexec(&compiled, copy, 0, NULL, 0) == 0;
    regfree(&compiled);
    free(copy);
    return found;
}

static void rows_compare(struct check_row *row, const apiary_result_t *result)
{
    const struct ap_deployment_check *c = row->check;
    const char *text = result->data != NULL ? result->data : "";
    size_t size = without_newlines(text, result->size);
    if (result->code != 0) {
        char *shown = rows_quoted(text, result->code == APIARY_EAGENT ? size : 0);
        row->outcome = tool_format("%s%s%s", apiary_strerror(result->code), result->code == APIARY_EAGENT ? ": " : "",
                                   result->code == APIARY_EAGENT ? shown : "");
        free(shown);
        return;
    }
    if (c->expect_match != NULL) {
        row->passed = rows_matches(c->expect_match, text, size, &row->outcome);
    } else if (c->expect != NULL) {
        row->passed = without_newlines(c->expect, strlen(c->expect)) == size && memcmp(c->expect, text, size) == 0;
    }
    if (row->outcome != NULL) return;
    char *shown = rows_quoted(text, size);
    row->outcome = row->passed
                       ? tool_format("ok %s", shown)
                       : tool_format("got %s, expected %s\"%s\"", shown, c->expect_match != NULL ? "a match of " : "",
                                     c->expect_match != NULL ? c->expect_match
                                     : c->expect != NULL     ? c->expect
                                                             : "");
    free(shown);
}

static void note_server(struct check_row *row, const struct ap_segment *seg, apiary_task_t task)
{
    struct task_view view;
    struct agent_view agent;
    if (!view_task(seg, task.slot, &view) || view.id.generation != task.generation) return;
    if (view_agent(seg, view.queue, &agent))
        snprintf(row->served_by, sizeof row->served_by, "%s/%s %" PRId64, agent.swarm.service, agent.name,
                 agent.swarm.pid);
}

static void rows_run_on(struct check_row *row, apiary_t *a, struct crew *crew)
{
    char *request = NULL;
    size_t size = 0;
    row->done = true;
    if (!read_request(row, &request, &size)) return;
    apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = row->check->timeout};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    uint64_t from = ap_ops_system.now();
    int rc = apiary_delegate(a, row->check->capability, request, size, &options, &task);
    bool delegated = rc == 0;
    if (delegated) {
        while ((rc = apiary_await(a, task, SLICE, &result)) == APIARY_ENOTREADY) {
            crew_turn(crew, 0);
            if (crew_interrupts(crew) == 0) continue;
            apiary_cancel(a, task);
            break;
        }
    }
    row->latency = ap_ops_system.now() - from;
    if (rc == APIARY_ENOTREADY) {
        row->outcome = tool_strdup("interrupted");
    } else if (rc == 0) {
        note_server(row, a->seg, task);
        rows_compare(row, &result);
        apiary_release(a, &result);
    } else {
        row->outcome = tool_strdup(apiary_strerror(rc));
    }
    free(request);
}

/* A check that calls for a service does so as a member of it. */
static void run_row(struct check_row *row, apiary_t *a, struct crew *crew)
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .name = "up", .kind = APIARY_TOOL, .swarm = row->check->from};
    apiary_t *own = NULL;
    if (row->check->from == NULL) {
        rows_run_on(row, a, crew);
        return;
    }
    int rc = apiary_attach_fd(apiary_segment_fd(a), &options, &own);
    if (rc == 0) {
        rows_run_on(row, own, crew);
        apiary_detach(own);
        return;
    }
    row->done = true;
    row->outcome = tool_format("attach for %s: %s", row->check->from, apiary_strerror(rc));
}

size_t rows_run(struct check_rows *r, apiary_t *a, struct crew *crew)
{
    size_t passed = 0;
    for (size_t i = 0; i < r->count && crew_interrupts(crew) == 0; i++) {
        run_row(&r->rows[i], a, crew);
        crew_turn(crew, 0);
        passed += r->rows[i].passed;
    }
    return passed;
}

/* ---- shown ---------------------------------------------------------------------------------------------------- */

void rows_print(const struct check_rows *r, FILE *out)
{
    struct tool_table *table =
        tool_table_new((const char *const[]){"capability", "served by", ">latency", "outcome", NULL});
    for (size_t i = 0; i < r->count; i++) {
        const struct check_row *row = &r->rows[i];
        char latency[32];
        char *outcome = tool_format("%s%s",
                                    !row->done    ? "not run"
                                    : row->passed ? ""
                                                  : "FAILED: ",
                                    row->outcome != NULL ? row->outcome : "");
        tool_table_add(table, (const char *const[]){
                                  row->check->capability, *row->served_by != '\0' ? row->served_by : "-",
                                  row->latency > 0 ? tool_format_duration(row->latency, latency) : "-", outcome});
        tool_table_mark(table, 3, !row->done ? '~' : row->passed ? '+' : '!');
        free(outcome);
    }
    tool_table_write(table, out);
}

json_t *rows_json(const struct check_rows *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->count; i++) {
        const struct check_row *row = &r->rows[i];
        json_t *o = json_object();
        json_object_set_new(o, "capability", json_string(row->check->capability));
        json_object_set_new(o, "served_by", tool_json_text(row->served_by));
        json_object_set_new(o, "latency_ns", json_integer((json_int_t)row->latency));
        json_object_set_new(o, "passed", json_boolean(row->passed));
        json_object_set_new(o, "outcome", tool_json_text(row->outcome != NULL ? row->outcome : "not run"));
        json_array_append_new(list, o);
    }
    return list;
}
