/* tools/apiary/sizes.c - apiary segment sizes: the numbers of the configuration that decide how large a segment is. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>

static const struct tool_usage usage = {
    .command = "segment sizes",
    .arguments = "",
    .what = "Lists the keys of meta_registry that decide a segment's sizes: default, what is allowed, and what they are for.",
    .json = true,
    .table = true,
};

struct listing {
    struct tool_table *table;
    json_t *list;
};

static int sizes_add(void *user, const struct ap_number *n)
{
    const struct listing *to = user;
    char key[80], otherwise[16], allowed[64];

    snprintf(key, sizeof key, "%s%s%s", n->group != NULL ? n->group : "", n->group != NULL ? ": " : "", n->key);
    snprintf(otherwise, sizeof otherwise, "%" PRIu32, n->otherwise);
    snprintf(allowed, sizeof allowed, "%" PRIu32 " to %" PRIu32 "%s", n->min, n->max, n->power ? ", a power of two" : "");
    if (to->list != NULL)
        json_array_append_new(to->list, json_pack("{s:s, s:s?, s:I, s:I, s:I, s:b, s:s}", "key", n->key, "group", n->group,
                                                  "default", (json_int_t)n->otherwise, "min", (json_int_t)n->min, "max",
                                                  (json_int_t)n->max, "power_of_two", n->power, "what", n->what));
    else
        tool_table_add(to->table, (const char *const[]){key, otherwise, allowed, n->what});
    return 0;
}

int apiary_segment_sizes(struct tool *t, int argc, char **argv)
{
    const struct tool_option none[] = {{.name = NULL}};
    struct listing to = {.list = NULL};
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (t->json)
        to.list = json_array();
    else
        to.table = tool_table_new((const char *const[]){"=key", ">default", "=allowed", "for", NULL});
    ap_numbers_each(&ap_registry_parts, sizes_add, &to);
    rc = TOOL_OK;
    if (t->json)
        rc = tool_json_print(json_pack("{s:o}", "sizes", to.list));
    else
        tool_table_print(to.table, stdout);
    return tool_finish(t, rc);
}
