/* tools/apiary/memory_cache.c - apiary memory spaces, caches: the name spaces; those that are caches, with what was evicted. */
#include "tools/apiary/memory.h"

#include <stdlib.h>
#include <string.h>

#include "registry/memory/cache.h"
#include "tools/view/memory.h"

static void cache_row(const struct ap_segment *seg, const struct ap_cache *c, const struct ap_memory_name *name,
                      struct tool_table *table)
{
    const char *text = (const char *)name->text;
    uint64_t bytes, values = ap_memory_held_by(seg, name, &bytes);
    uint64_t numbers[] = {values, bytes, ap_load_relaxed(&c->evicted), ap_load_relaxed(&c->unfetched)};
    char columns[4][24], *shown = tool_printable(text, strlen(text));

    for (int i = 0; i < 4; i++) snprintf(columns[i], sizeof columns[i], "%llu", (unsigned long long)numbers[i]);
    tool_table_add(table, (const char *const[]){shown, ap_load_relaxed(&c->active) != 0 ? "yes" : "no longer", columns[0],
                                                columns[1], columns[2], columns[3]});
    free(shown);
}

int memory_caches(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory caches",
        .arguments = "",
        .what = "Lists the name spaces that the configuration declares caches (meta_registry.caches).",
        .more = "A name space that begins with '@' is the local memory of that service.",
        .json = true,
        .table = true,
    };
    static const char *const heads[] = {"=name space", "cache", ">values", ">bytes", ">evicted", ">never got", NULL};
    const struct tool_option none[] = {NO_MORE};
    struct ap_memory_name name;
    struct tool_table *table;
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    if (t->json) {
        rc = tool_json_print(view_caches_json(a->seg, tool_segment(t, NULL)));
    } else {
        table = tool_table_new(heads);
        for (uint64_t i = 0; ap_cache_read(a->seg, i, &name); i++) cache_row(a->seg, ap_cache_at(a->seg, i), &name, table);
        tool_table_print(table, stdout);
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}

int memory_spaces(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory spaces",
        .arguments = "",
        .what = "Lists the name spaces that hold a value, and the local memories of services.",
        .json = true,
        .table = true,
    };
    static const char *const heads[] = {"=name space", "kind", ">values", ">bytes", NULL};
    const struct tool_option none[] = {NO_MORE};
    struct tool_table *table;
    apiary_t *a = NULL;
    json_t *o = NULL, *row;
    size_t i;
    int rc = tool_parse(t, &usage, none, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    r = view_spaces_json(a->seg, tool_segment(t, NULL), &o);
    apiary_detach(a);
    if (r < 0) return tool_finish(t, tool_error(t, r, NULL, "memory"));
    if (t->json) return tool_finish(t, tool_json_print(o));
    table = tool_table_new(heads);
    json_array_foreach(json_object_get(o, "namespaces"), i, row) {
        bool local = json_is_true(json_object_get(row, "local")), cache = json_is_true(json_object_get(row, "cache"));
        char values[24], bytes[24];

        snprintf(values, sizeof values, "%lld", (long long)json_integer_value(json_object_get(row, "values")));
        snprintf(bytes, sizeof bytes, "%lld", (long long)json_integer_value(json_object_get(row, "bytes")));
        tool_table_add(table, (const char *const[]){json_string_value(json_object_get(row, "namespace")),
                                                    local && cache ? "local, cache" : local ? "local" : cache ? "cache" : "global",
                                                    values, bytes});
    }
    json_decref(o);
    tool_table_print(table, stdout);
    return tool_finish(t, TOOL_OK);
}
