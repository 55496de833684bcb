/* tools/dump/text.c - the JSON of a segment as tables for people. See dump.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/common.h"
#include "tools/dump/dump.h"

#define CELLS_MAX 16

/* ---- cells ---------------------------------------------------------------------------------------------------- */

static const json_t *at(const json_t *object, const char *path)
{
    const char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, key);
        path = dot + 1;
    }
    return json_object_get(object, path);
}

/* As it is, to be freed. */
static char *dump_text_plain(const json_t *value)
{
    if (json_is_string(value)) return tool_strdup(json_string_value(value));
    if (json_is_integer(value)) return tool_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return tool_strdup(json_is_boolean(value) ? json_is_true(value) ? "yes" : "no" : "-");
}

/* A column: heading, key, and how: 0 as it is, 'd' duration, 'b' bytes, 'o' owner in colour, 'h' hands or rings counted,
 * 'p' providers, 'j' a list. */
struct column {
    const char *heading, *key;
    char how;
};

static char *providers(const json_t *list)
{
    char *ret = NULL;
    const json_t *p;
    size_t i;

    json_array_foreach(list, i, p) {
        char *service = dump_text_plain(at(p, "service")), *instance = dump_text_plain(at(p, "instance")),
             *agent = dump_text_plain(at(p, "agent"));
        char *longer = tool_format("%s%s%s/%s/%s%s", ret != NULL ? ret : "", ret != NULL ? ", " : "", service, instance, agent,
                                   json_is_true(at(p, "alive")) ? "" : " (gone)");

        free(service);
        free(instance);
        free(agent);
        free(ret);
        ret = longer;
    }
    return ret != NULL ? ret : tool_strdup("-");
}

/* Texts, or tasks with what was asked. */
static char *joined(const json_t *list)
{
    char *ret = NULL;
    const json_t *p;
    size_t i;

    json_array_foreach(list, i, p) {
        char *one = dump_text_plain(json_is_object(p) ? at(p, "task") : p), *of = dump_text_plain(at(p, "capability"));
        char *longer = tool_format("%s%s%s%s%s%s", ret != NULL ? ret : "", ret != NULL ? ", " : "", one,
                                   json_is_object(p) ? " (" : "", json_is_object(p) ? of : "", json_is_object(p) ? ")" : "");

        free(one);
        free(of);
        free(ret);
        ret = longer;
    }
    return ret != NULL ? ret : tool_strdup("-");
}

static char *cell(const json_t *row, const struct column *c)
{
    const json_t *value = at(row, c->key);
    uint64_t number = json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
    char text[32];

    if (c->how == 'd' && json_is_integer(value)) return tool_strdup(tool_format_duration(number, text));
    if (c->how == 'b' && json_is_integer(value)) return tool_strdup(tool_format_bytes(number, text));
    if (c->how == 'j') return joined(value);
    if (c->how == 'h') return tool_format("%zu", json_array_size(value));
    return c->how == 'p' ? providers(value) : dump_text_plain(value);
}

static void table(const char *title, const json_t *rows, const struct column *columns, FILE *out)
{
    const char *cells[CELLS_MAX + 1];
    char *text[CELLS_MAX];
    struct tool_table *t;
    size_t n = 0, i;
    const json_t *row;

    fprintf(out, "\n%s (%zu)\n", title, json_array_size(rows));
    if (json_array_size(rows) == 0) return;
    for (; columns[n].heading != NULL && n < CELLS_MAX; n++) cells[n] = columns[n].heading;
    cells[n] = NULL;
    t = tool_table_new(cells);
    json_array_foreach(rows, i, row) {
        for (size_t k = 0; k < n; k++) {
            text[k] = cell(row, &columns[k]);
            cells[k] = text[k];
        }
        tool_table_add(t, cells);
        for (size_t k = 0; k < n; k++) {
            if (columns[k].how != 'o') continue;
            tool_table_mark(t, k, strcmp(cells[k], "dead") == 0 ? '!' : strcmp(cells[k], "alive") == 0 ? '+' : 0);
        }
        for (size_t k = 0; k < n; k++) free(text[k]);
    }
    tool_table_print(t, out);
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

static void dump_text_line(FILE *out, const char *what, const json_t *whole, const char *path, char how)
{
    const struct column c = {NULL, path, how};
    char *text = cell(whole, &c);

    fprintf(out, "  %-14s %s\n", what, text);
    free(text);
}

static void header(const json_t *whole, FILE *out)
{
    char *name = dump_text_plain(at(whole, "header.name")), *source = dump_text_plain(at(whole, "source"));
    const json_t *shift = at(whole, "header.clock_shift_ns");

    fprintf(out, "segment %s (%s: %s)\n", name, json_is_true(at(whole, "live")) ? "live" : "copy", source);
    free(name);
    free(source);
    dump_text_line(out, "state", whole, "header.state", 0);
    dump_text_line(out, "size", whole, "bytes", 'b');
    dump_text_line(out, "version", whole, "header.version", 0);
    dump_text_line(out, "fingerprint", whole, "header.fingerprint", 0);
    dump_text_line(out, "created", whole, "header.created", 0);
    dump_text_line(out, "age", whole, "header.age", 'd');
    dump_text_line(out, "creator", whole, "header.creator_pid", 0);
    dump_text_line(out, "monitor", whole, "header.monitor.thread", 0);
    dump_text_line(out, "of process", whole, "header.monitor.pid", 0);
    dump_text_line(out, "watching lane", whole, "header.monitor.watching_lane", 0);
    dump_text_line(out, "has looked", whole, "header.monitor.beat_age", 'd');
    dump_text_line(out, "recoveries", whole, "header.rescan", 0);
    if (!json_is_true(at(whole, "header.fingerprint_known")))
        fputs("  the layout is not this program's: what follows may be wrong\n", out);
    if (json_is_null(shift))
        fputs("  its times are of another time namespace, whose clock is not known here: ages are left out\n", out);
    else if (json_integer_value(shift) != 0)
        fprintf(out, "  its times are of another time namespace, whose clock shows %+" JSON_INTEGER_FORMAT " s: ages are by that "
                "one\n", json_integer_value(shift) / 1000000000);
    if (!json_is_true(at(whole, "registry"))) fputs("  the registry's sections cannot be used\n", out);
}

static void numbers(json_t *map, FILE *out)
{
    const char *key;
    json_t *value;

    json_object_foreach(map, key, value) {
        if (json_is_object(value))
            numbers(value, out);
        else
            fprintf(out, "  %-27s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
    }
}

static void geometry(const json_t *whole, FILE *out)
{
    fputs("\ngeometry\n", out);
    numbers(json_object_get(whole, "geometry"), out);
}

static void tasks(const json_t *whole, FILE *out)
{
    static const struct column columns[] = {
        {"task", "task", 0},           {"state", "state", 0},      {"code", "code", 0},       {"capability", "capability", 0},
        {"caller", "caller", 0},       {">lane", "lane", 0},       {">queue", "queue", 0},    {">client", "client", 0},
        {">crashes", "crashes", 0},    {">lost", "lost", 0},       {">request", "request_size", 'b'},
        {">result", "result_size", 'b'},
        {">queued", "queued_age", 'd'}, {NULL, NULL, 0}};
    const char *key;
    json_t *value;

    fputs("\ntasks\n", out);
    json_object_foreach((json_t *)(uintptr_t)at(whole, "tasks.by_state"), key, value)
        fprintf(out, "  %-10s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
    if (at(whole, "tasks.slots") != NULL) table("slots that are not free", at(whole, "tasks.slots"), columns, out);
}

/* How the last tasks ended, and what the dead hold. */
static void dump_ends(const json_t *whole, FILE *out)
{
    static const struct column died[] = {
        {">lane", "lane", 0}, {">pid", "pid", 0}, {"name", "name", 0}, {"calls for", "calls_for", 0}, {"tasks", "tasks", 'j'},
        {"queues", "queues", 'j'}, {"claims", "claims", 'j'}, {">blocks", "blocks", 0}, {">slabs", "slabs", 0}, {NULL, NULL, 0}};
    static const struct column finished[] = {
        {"ended", "time", 0}, {"how", "end", 0}, {"task", "task", 0}, {"error", "error", 0}, {">code", "agent_code", 0},
        {"caller", "caller", 0}, {"agent", "agent", 0}, {"capability", "capability", 0}, {">attempt", "attempt", 0},
        {">waited", "waited_ns", 'd'}, {">ran", "ran_ns", 'd'}, {">worker", "worker_pid", 0}, {"trace", "trace", 0},
        {NULL, NULL, 0}};

    table("last tasks that failed, were slow, are traced or were tapped", json_object_get(whole, "finished"), finished, out);
    table("who died, and is not recovered yet, holding what", json_object_get(whole, "died_holding"), died, out);
}

/* A list of rows that has no table of its own: each with all its keys. */
static void plain_rows(const char *title, const json_t *rows, FILE *out)
{
    const json_t *row;
    json_t *value;
    const char *key;
    size_t i;

    fprintf(out, "\n%s (%zu)\n", title, json_array_size(rows));
    json_array_foreach(rows, i, row) {
        json_object_foreach((json_t *)(uintptr_t)row, key, value) {
            char *text = dump_text_plain(value);

            fprintf(out, "  %s %s", key, text);
            free(text);
        }
        fputc('\n', out);
    }
}

void dump_text(const json_t *whole, FILE *out)
{
    static const char *const told = " sections members lanes services swarms supervised capabilities queues times pool events "
                                    "finished died_holding ";
    const char *key;
    json_t *value;
    static const struct column sections[] = {{">index", "index", 0}, {"section", "name", 0}, {">offset", "offset", 0},
                                             {">stride", "stride", 0}, {">count", "count", 0}, {NULL, NULL, 0}};
    static const struct column members[] = {
        {">member", "index", 0}, {"state", "state", 0}, {"owner", "owner", 'o'}, {"kind", "kind", 0}, {"name", "name", 0},
        {"swarm", "swarm", 0}, {">pid", "pid", 0}, {">lane", "lane", 0}, {"attached", "attached", 0}, {NULL, NULL, 0}};
    static const struct column lanes[] = {
        {">lane", "index", 0}, {"state", "state", 0}, {"owner", "owner", 'o'}, {">epoch", "epoch", 0}, {"kind", "kind", 0},
        {">member", "member", 0}, {">thread", "thread", 0}, {">age", "age", 'd'}, {"may sleep", "may_sleep", 0},
        {">in hand", "hands", 'h'}, {NULL, NULL, 0}};
    static const struct column swarms[] = {
        {">swarm", "index", 0}, {"service", "service", 0}, {"instance", "instance", 0}, {"life", "life", 0},
        {"owner", "owner", 'o'}, {"state", "state", 0}, {"mode", "mode", 0}, {">pid", "pid", 0}, {">port", "port", 0},
        {"park", "park", 0}, {">beat", "beat_age", 'd'}, {NULL, NULL, 0}};
    static const struct column supervised[] = {
        {">index", "index", 0}, {"service", "service", 0}, {">instance", "instance", 0}, {"owner", "owner", 'o'},
        {">supervisor", "supervisor", 0}, {"state", "state", 0}, {">pid", "pid", 0}, {">starts", "starts", 0},
        {">ends", "ends", 0}, {"end", "end", 0}, {">code", "code", 0}, {"said", "said", 0}, {NULL, NULL, 0}};
    static const struct column services[] = {{">index", "index", 0}, {"service", "name", 0}, {"ready", "ready", 0},
                                             {">delegations", "delegations", 0}, {NULL, NULL, 0}};
    static const struct column capabilities[] = {{">index", "index", 0}, {"capability", "name", 0}, {"ready", "ready", 0},
                                                 {"providers", "providers", 'p'}, {NULL, NULL, 0}};
    static const struct column queues[] = {
        {">queue", "index", 0}, {"state", "state", 0}, {"owner", "owner", 'o'}, {">lane", "lane", 0}, {"service", "service", 0},
        {"agent", "agent", 0}, {">depth", "depth", 0}, {">running", "running", 0}, {">started", "started", 0},
        {">done", "done", 0}, {">failed", "failed", 0}, {">late", "late", 0}, {">crashed", "crashed", 0},
        {">expired", "expired", 0}, {">cancelled", "cancelled", 0}, {">run time", "run_time", 'd'}, {">rings", "rings", 'h'},
        {NULL, NULL, 0}};
    static const struct column pool[] = {{">class", "size", 'b'}, {">blocks", "blocks", 0}, {">free", "free", 0},
                                         {">owned", "owned", 0}, {">requests", "requests", 0}, {">kept", "kept", 0},
                                         {">of at most", "kept_most", 0},
                                         {">streams", "streams", 0}, {">results", "results", 0},
                                         {">invalid", "invalid", 0}, {NULL, NULL, 0}};
    static const struct column events[] = {{">event", "number", 0}, {"time", "time", 0}, {"what", "text", 0}, {">lane", "lane", 0},
                                           {">a", "a", 0}, {">b", "b", 0}, {">c", "c", 0}, {"said", "said", 0}, {NULL, NULL, 0}};

    static const struct column times[] = {
        {">queue", "queue", 0}, {">started", "waited.count", 0}, {">waited p50", "waited.p50_ns", 'd'},
        {">p99", "waited.p99_ns", 'd'}, {">max", "waited.max_ns", 'd'}, {">ended", "ran.count", 0},
        {">ran p50", "ran.p50_ns", 'd'}, {">p99", "ran.p99_ns", 'd'}, {">max", "ran.max_ns", 'd'}, {">lost", "lost", 0},
        {">ejected", "ejected", 0}, {NULL, NULL, 0}};

    header(whole, out);
    geometry(whole, out);
    table("sections", json_object_get(whole, "sections"), sections, out);
    table("members", json_object_get(whole, "members"), members, out);
    table("lanes", json_object_get(whole, "lanes"), lanes, out);
    table("services", json_object_get(whole, "services"), services, out);
    table("swarms", json_object_get(whole, "swarms"), swarms, out);
    table("supervised", json_object_get(whole, "supervised"), supervised, out);
    table("capabilities", json_object_get(whole, "capabilities"), capabilities, out);
    table("queues", json_object_get(whole, "queues"), queues, out);
    table("times", json_object_get(whole, "times"), times, out);
    tasks(whole, out);
    table("payload pool", json_object_get(whole, "pool"), pool, out);
    table("events", json_object_get(whole, "events"), events, out);
    dump_ends(whole, out);
    json_object_foreach((json_t *)(uintptr_t)whole, key, value) {
        char word[64];

        snprintf(word, sizeof word, " %s ", key);
        if (json_is_array(value) && strstr(told, word) == NULL) plain_rows(key, value, out);
    }
}
