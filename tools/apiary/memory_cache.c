/* tools/apiary/memory_cache.c - apiary memory caches: the name spaces that are caches, with what was evicted from each. */
#include "tools/apiary/memory.h"

#include <stdlib.h>
#include <string.h>

#include "registry/memory/cache.h"

static void cache_tell(const struct ap_segment *seg, const struct ap_cache *c, const struct ap_memory_name *name,
                       struct tool_table *table, json_t *list)
{
    const char *text = (const char *)name->text;
    bool active = ap_load_relaxed(&c->active) != 0;
    uint64_t bytes, values = ap_memory_held_by(seg, name, &bytes);
    uint64_t numbers[] = {values, bytes, ap_load_relaxed(&c->evicted), ap_load_relaxed(&c->unfetched)};
    char columns[4][24], *shown = tool_printable(text, strlen(text));

    for (int i = 0; i < 4; i++) snprintf(columns[i], sizeof columns[i], "%llu", (unsigned long long)numbers[i]);
    if (table != NULL) {
        const char *cells[] = {shown, active ? "yes" : "no longer", columns[0], columns[1], columns[2], columns[3]};

        tool_table_add(table, cells);
    } else {
        json_array_append_new(list, json_pack("{s:o, s:b, s:I, s:I, s:I, s:I}", "namespace", tool_json_text(text), "active",
                                              (int)active, "values", (json_int_t)values, "bytes", (json_int_t)bytes, "evicted",
                                              (json_int_t)numbers[2], "evicted_unfetched", (json_int_t)numbers[3]));
    }
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
    json_t *list;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    table = t->json ? NULL : tool_table_new(heads);
    list = json_array();
    for (uint64_t i = 0; ap_cache_read(a->seg, i, &name); i++) cache_tell(a->seg, ap_cache_at(a->seg, i), &name, table, list);
    if (t->json) rc = tool_json_print(json_pack("{s:s, s:O}", "segment", tool_segment(t, NULL), "caches", list));
    else tool_table_print(table, stdout);
    json_decref(list);
    apiary_detach(a);
    return tool_finish(t, rc);
}
