/* tools/apiary/memory.c - apiary memory: keys and values that swarms share, and the local memory of each. */
#include "tools/apiary/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/client/memory.h"

#define TTL_OPTION(call) {"ttl", 't', "TIME", "for so long (250ms, 5s, 2m) [for ever]", &(call).ttl, NULL}

int memory_begin(const struct tool *t, const struct tool_usage *usage, struct memory_call *call, bool read_only)
{
    const char *name = call->local != NULL ? call->local : call->space != NULL ? call->space : "default";
    int rc, r;

    if (call->space != NULL && call->local != NULL)
        return tool_usage_error(t, usage, "--namespace and --local exclude each other");
    if (call->ttl != NULL && tool_duration(call->ttl, &call->time) != 0)
        return tool_usage_error(t, usage, "--ttl: '%s' is not a duration above 0; write 250ms, 5s or 2m", call->ttl);
    rc = tool_attach(t, tool_segment(t, NULL), read_only, &call->a);
    if (rc != TOOL_OK) return rc;
    r = apiary_memory_open(call->a, name, call->local != NULL ? APIARY_MEMORY_LOCAL : 0, &call->m);
    if (r == 0) return TOOL_OK;
    rc = r == APIARY_EINVAL ? tool_usage_error(t, usage, "'%s' is not a name", name) : tool_error(t, r, NULL, "%s", name);
    apiary_detach(call->a);
    return rc;
}

int memory_end(struct tool *t, struct memory_call *call, int rc)
{
    apiary_memory_close(call->m);
    apiary_detach(call->a);
    return tool_finish(t, rc);
}

static int quota_error(const struct tool *t, const struct memory_call *call, const char *key)
{
    const struct ap_segment *seg = call->a->seg;
    uint64_t bytes, values = ap_memory_held_by(seg, &call->m->name, &bytes), most = ap_memory_quota_bytes(seg);
    char *bound = most != UINT32_MAX ? tool_format(", %llu of %llu bytes", (unsigned long long)bytes, (unsigned long long)most)
                                     : tool_format("%s", "");
    char *message = tool_format("the name space holds its quota, or would with it (%llu of %llu values%s); delete some of its keys "
                                "('apiary memory scan' lists them), or raise meta_registry.memory_quota or memory_quota_bytes, "
                                "which is for a new segment",
                                (unsigned long long)values, (unsigned long long)ap_memory_quota(seg), bound);
    int rc = tool_error(t, APIARY_EQUOTA, message, "'%s'", key);

    free(message);
    free(bound);
    return rc;
}

int memory_error(const struct tool *t, const struct memory_call *call, int error, const char *key)
{
    if (error == APIARY_EINVAL) return tool_error(t, error, "a key has 1 to 255 bytes", "'%s'", key);
    if (error == APIARY_EEXIST)
        return tool_error(t, error, "there is such a key already; 'apiary memory put' replaces its value", "'%s'", key);
    if (error == APIARY_ETOOLARGE)
        return tool_error(t, error, "the value is larger than 64 KiB, or than the payload pool's largest block", "'%s'", key);
    if (error == APIARY_ENOTREADY)
        return tool_error(t, error, "it was changed again and again meanwhile; try again", "'%s'", key);
    if (error == APIARY_EQUOTA) return quota_error(t, call, key);
    if (error == APIARY_ESHARE)
        return tool_error(t, error,
                          "values and kept results together hold their share (kept_share) of the blocks of that size; delete "
                          "some, or raise meta_registry.payload",
                          "'%s'", key);
    return tool_error(t, error, NULL, "'%s'", key);
}

static void value_tell(json_t *o, const char *key, const apiary_memory_value_t *value)
{
    json_object_set_new(o, "key", tool_json_text(key));
    json_object_set_new(o, "size", json_integer((json_int_t)value->size));
    json_object_set_new(o, "version", json_integer((json_int_t)value->version));
    json_object_set_new(o, "expires_in_ns", value->ttl != APIARY_FOREVER ? json_integer((json_int_t)value->ttl) : json_null());
}

/* ---- get, scan -------------------------------------------------------------------------------------------------- */

static int value_print(const struct tool *t, const char *key, const char *bytes, const apiary_memory_value_t *value)
{
    const apiary_result_t data = {.struct_size = sizeof data, .data = bytes, .size = value->size};
    json_t *o;

    if (!t->json) return result_print(t, key, &data);
    o = json_object();
    value_tell(o, key, value);
    result_set_data(o, &data);
    return tool_json_print(o);
}

static int memory_get(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory get", .arguments = "KEY", .what = "Prints the value of a key.", .least = 1, .most = 1, .json = true,
    };
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), NO_MORE};
    apiary_memory_value_t value = {.struct_size = sizeof value};
    char *bytes;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = memory_begin(t, &usage, &call, true);
    if (rc != TOOL_OK) return rc;
    bytes = tool_alloc(APIARY_MEMORY_VALUE_MAX);
    r = apiary_memory_get(call.m, argv[0], bytes, APIARY_MEMORY_VALUE_MAX, &value);
    rc = r < 0 ? memory_error(t, &call, r, argv[0]) : value_print(t, argv[0], bytes, &value);
    free(bytes);
    return memory_end(t, &call, rc);
}

static void scan_line(struct tool_table *table, const char *key, const apiary_memory_value_t *value)
{
    char *shown = tool_printable(key, strlen(key)), bytes[24], version[24], left[32] = "-";

    snprintf(bytes, sizeof bytes, "%zu", value->size);
    snprintf(version, sizeof version, "%llu", (unsigned long long)value->version);
    if (value->ttl != APIARY_FOREVER) tool_format_duration(value->ttl, left);
    tool_table_add(table, (const char *const[]){shown, bytes, version, left});
    free(shown);
}

/* 0, or the error that ended it. */
static int scan_all(const struct memory_call *call, const char *prefix, struct tool_table *table, json_t *list)
{
    apiary_memory_value_t value = {.struct_size = sizeof value};
    char key[APIARY_MEMORY_KEY_MAX + 1];
    uint64_t position = 0;
    int r;

    while ((r = apiary_memory_scan(call->m, prefix, &position, key, &value)) == 1) {
        json_t *o = table == NULL ? json_object() : NULL;

        if (table != NULL) scan_line(table, key, &value);
        else value_tell(o, key, &value);
        if (o != NULL) json_array_append_new(list, o);
    }
    return r;
}

static int memory_scan(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory scan",
        .arguments = "[PREFIX]",
        .what = "Lists the keys, or those that begin with a text, in no order.",
        .most = 1,
        .json = true,
        .table = true,
    };
    static const char *const heads[] = {"=key", ">bytes", "?>version", ">expires in", NULL};
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), NO_MORE};
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;
    struct tool_table *table;
    json_t *list;

    if (rc != TOOL_GO_ON) return rc;
    rc = memory_begin(t, &usage, &call, true);
    if (rc != TOOL_OK) return rc;
    table = t->json ? NULL : tool_table_new(heads);
    list = json_array();
    r = scan_all(&call, argc > 0 ? argv[0] : "", table, list);
    if (t->json && r == 0)
        rc = tool_json_print(json_pack("{s:s, s:O}", "segment", tool_segment(t, NULL), "keys", list));
    json_decref(list);
    if (table != NULL) tool_table_print(table, stdout);
    if (r < 0) rc = memory_error(t, &call, r, argc > 0 ? argv[0] : "");
    return memory_end(t, &call, rc);
}

/* ---- stats ------------------------------------------------------------------------------------------------------ */

/* The counts and the words for them: X(name, what). */
#define STATS(X)                                                    \
    X(values, "values that there are")                              \
    X(room, "values that there may be")                             \
    X(bytes, "bytes of the values that there are")                  \
    AP_MEMORY_COUNTS(X)                                             \
    X(evicted, "values that were evicted from caches, to make room") \
    X(evicted_unfetched, "of these: never got since they were put")

static int stats_print(const struct tool *t, const apiary_memory_stats_t *s)
{
    static const char *const heads[] = {"=count", ">number", "what", NULL};
    struct tool_table *table;
    char number[24];
    json_t *o;

    if (t->json) {
        o = json_pack("{s:s}", "segment", tool_segment(t, NULL));
#define X(name, what) json_object_set_new(o, #name, json_integer((json_int_t)s->name));
        STATS(X)
#undef X
        return tool_json_print(o);
    }
    table = tool_table_new(heads);
#define X(name, what)                                                           \
    snprintf(number, sizeof number, "%llu", (unsigned long long)s->name);       \
    tool_table_add(table, (const char *const[]){#name, number, what});
    STATS(X)
#undef X
    tool_table_print(table, stdout);
    return TOOL_OK;
}

static int memory_stats(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory stats",
        .arguments = "",
        .what = "Counts what was done with all memory of the segment since it was made.",
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {NO_MORE};
    apiary_memory_stats_t s = {.struct_size = sizeof s};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    r = apiary_memory_stats(a, &s);
    rc = r < 0 ? tool_error(t, r, NULL, "memory") : stats_print(t, &s);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- put, add, replace, cas ------------------------------------------------------------------------------------- */

/* Prints the version of what was written. */
static int written(const struct tool *t, const struct memory_call *call, const char *key, int error, uint64_t version)
{
    if (error < 0) return memory_error(t, call, error, key);
    if (t->json) return tool_json_print(json_pack("{s:o, s:I}", "key", tool_json_text(key), "version", (json_int_t)version));
    printf("%llu\n", (unsigned long long)version);
    return TOOL_OK;
}

static int set_by(const struct memory_call *call, const char *command, const char *key, const struct tool_body *body, uint64_t was,
                  uint64_t *version)
{
    if (strcmp(command, "memory cas") == 0)
        return apiary_memory_cas(call->m, key, body->bytes, body->size, call->time, was, version);
    if (strcmp(command, "memory add") == 0) return apiary_memory_add(call->m, key, body->bytes, body->size, call->time, version);
    if (strcmp(command, "memory replace") == 0)
        return apiary_memory_replace(call->m, key, body->bytes, body->size, call->time, version);
    return apiary_memory_put(call->m, key, body->bytes, body->size, call->time, version);
}

static bool version_of(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static int set_run(struct tool *t, const struct tool_usage *usage, int argc, char **argv)
{
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), TTL_OPTION(call),
                                          {"expect", 'e', "VERSION", "the version that the value must have", &call.expect, NULL},
                                          NO_MORE};
    const struct tool_option without[] = {options[0], options[1], options[2], NO_MORE};
    bool compares = strcmp(usage->command, "memory cas") == 0;
    struct tool_body body = {.bytes = NULL};
    uint64_t was = 0, version = 0;
    int rc = tool_parse(t, usage, compares ? options : without, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    if (compares && (call.expect == NULL || !version_of(call.expect, &was)))
        return tool_usage_error(t, usage, "--expect: the version that 'apiary memory scan' shows is wanted");
    rc = memory_begin(t, usage, &call, false);
    if (rc != TOOL_OK) return rc;
    rc = tool_read_body(t, argv[1], APIARY_MEMORY_VALUE_MAX, &body);
    if (rc == TOOL_OK) {
        r = set_by(&call, usage->command, argv[0], &body, was, &version);
        rc = written(t, &call, argv[0], r, version);
    }
    free(body.bytes);
    return memory_end(t, &call, rc);
}

#define VALUE "KEY DATA | @FILE | -"
static int memory_put(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory put", .arguments = VALUE, .least = 2, .most = 2, .json = true,
        .what = "Gives a key a value, whatever was there, and prints its version.",
    };
    return set_run(t, &usage, argc, argv);
}

static int memory_add(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory add", .arguments = VALUE, .least = 2, .most = 2, .json = true,
        .what = "Gives a key a value if it has none, and prints its version.",
    };
    return set_run(t, &usage, argc, argv);
}

static int memory_replace(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory replace", .arguments = VALUE, .least = 2, .most = 2, .json = true,
        .what = "Gives a key another value if it has one, and prints its version.",
    };
    return set_run(t, &usage, argc, argv);
}

static int memory_cas(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory cas", .arguments = VALUE, .least = 2, .most = 2, .json = true,
        .what = "Gives a key another value if that has still the version of --expect, and prints the new one.",
    };
    return set_run(t, &usage, argc, argv);
}

/* ---- delete, incr, touch ---------------------------------------------------------------------------------------- */

static int memory_delete(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory delete", .arguments = "KEY...", .what = "Deletes keys.", .least = 1, .most = -1,
    };
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), NO_MORE};
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = memory_begin(t, &usage, &call, false);
    if (rc != TOOL_OK) return rc;
    for (int i = 0; i < argc; i++) {
        int r = apiary_memory_delete(call.m, argv[i]);

        if (r < 0) rc = memory_error(t, &call, r, argv[i]);
    }
    return memory_end(t, &call, rc);
}

static int memory_incr(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory incr",
        .arguments = "KEY [BY]",
        .what = "Adds to a value that is a number, 0 if it is absent, and prints the sum.",
        .more = "BY is 1 unless given; after '--' it may be negative.",
        .least = 1,
        .most = 2,
        .json = true,
    };
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), NO_MORE};
    int64_t sum = 0;
    long long by = 1;
    char *end = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    errno = 0;
    if (argc > 1) by = strtoll(argv[1], &end, 10);
    if (argc > 1 && (end == argv[1] || *end != '\0' || errno != 0))
        return tool_usage_error(t, &usage, "'%s' is not a whole number of 64 bits", argv[1]);
    rc = memory_begin(t, &usage, &call, false);
    if (rc != TOOL_OK) return rc;
    r = apiary_memory_incr(call.m, argv[0], by, &sum);
    if (r < 0) rc = memory_error(t, &call, r, argv[0]);
    else if (t->json) rc = tool_json_print(json_pack("{s:o, s:I}", "key", tool_json_text(argv[0]), "value", (json_int_t)sum));
    else printf("%lld\n", (long long)sum);
    return memory_end(t, &call, rc);
}

static int memory_touch(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory touch", .arguments = "KEY...", .least = 1, .most = -1,
        .what = "Gives values another end, from now on, or none.",
    };
    struct memory_call call = {.time = 0};
    const struct tool_option options[] = {SPACE_OPTIONS(call), TTL_OPTION(call), NO_MORE};
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = memory_begin(t, &usage, &call, false);
    if (rc != TOOL_OK) return rc;
    for (int i = 0; i < argc; i++) {
        int r = apiary_memory_touch(call.m, argv[i], call.time);

        if (r < 0) rc = memory_error(t, &call, r, argv[i]);
    }
    return memory_end(t, &call, rc);
}

int cmd_memory(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory",
        .arguments = "get | put | add | replace | cas | delete | incr | touch | scan | watch | stats | spaces | "
                     "caches | snapshot | restore",
        .what = "Keys and values that swarms share, and the local memory of each; 'apiary memory put --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"get", "print a value", memory_get},
        {"put", "give a key a value", memory_put},
        {"add", "the same, only where there is none", memory_add},
        {"replace", "the same, only where there is one", memory_replace},
        {"cas", "the same, only where it has a version", memory_cas},
        {"delete", "delete keys", memory_delete},
        {"incr", "add to a number", memory_incr},
        {"touch", "give values another end", memory_touch},
        {"scan", "list keys", memory_scan},
        {"watch", "follow the changes of keys", memory_watch},
        {"stats", "count what was done", memory_stats},
        {"spaces", "list the name spaces", memory_spaces},
        {"caches", "list the name spaces that are caches", memory_caches},
        {"snapshot", "write all memory into a file", memory_snapshot},
        {"restore", "bring it back", memory_restore},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
