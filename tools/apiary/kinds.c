/* tools/apiary/kinds.c - apiary kinds: the built-in kinds of agents, their keys, and what their capabilities take, answer and
 * cost. */
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/json.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/table.h"
#include "core/apiary/kinds.h"
#include "tools/apiary/apiary.h"

static const struct tool_option no_options[] = {{.name = NULL}};

static const struct tool_usage kinds_usage = {
    .command = "kinds",
    .arguments = "[KIND | CAPABILITY]",
    .what = "Shows the kinds of agents that need no plug-in, the keys of their configuration and what their capabilities do; "
            "of one kind or capability also the schemas of its requests and answers, and an example.",
    .most = 1,
    .json = true,
};

static const char *look_key_type(char type)
{
    switch (type) {
    case 's':
        return "text";
    case 'i':
        return "number";
    case 'b':
        return "true|false";
    case 'l':
        return "list of texts";
    case 'p':
        return "path";
    case 'c':
        return "command";
    case 'd':
        return "duration";
    case 'z':
        return "size";
    case 'o':
        return "option"; /* of a delegation: see `what` */
    default:
        return "?";
    }
}

/* Bounds as numbers: nanoseconds and bytes, as everywhere in JSON. */
static json_t *key_json(const apiary_agent_key_t *key)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "name", key->name, "type", look_key_type(key->type), "required",
                          key->required != 0, "what", key->what);
    if (key->min == 0 && key->max == 0) return o;
    json_object_set_new(o, "min", json_integer(key->min));
    json_object_set_new(o, "max", json_integer(key->max));
    return o;
}

static void print_key(const apiary_agent_key_t *key)
{
    char min[32], max[32];
    printf("    %-16s %s%s; %s", key->name, look_key_type(key->type), key->required ? ", required" : "", key->what);
    if (key->min != 0 || key->max != 0) {
        ap_number_print(min, sizeof min, key->type, key->min);
        ap_number_print(max, sizeof max, key->type, key->max);
        printf("; %s to %s", min, max);
    }
    putchar('\n');
}

/* Where it keeps some; NULL: it does not. */
static const char *kind_state(const apiary_agent_kind_t *kind)
{
    return kind->state == APIARY_STATE_AGENT ? "agent" : kind->state == APIARY_STATE_QUEEN ? "queen" : NULL;
}

/* ---- capabilities ---------------------------------------------------------------------------------------------- */

/* A request or an answer; without a schema it is any bytes. */
static json_t *schema_json(const char *text)
{
    const json_t *schema = text != NULL ? ap_schema(text) : NULL;
    return schema != NULL ? json_deep_copy(schema) : json_null();
}

static json_t *function_json(const struct ap_function *f)
{
    return json_pack("{s:s, s:o, s:o, s:s, s:s, s:{s:s, s:s?}}", "capability", f->capability, "request", schema_json(f->in),
                     "answer", schema_json(f->out), "bound", f->bound, "duplicate", f->again, "example", "request", f->send,
                     "answer", f->answer);
}

static void print_schema(const char *title, const char *text)
{
    const json_t *schema = text != NULL ? ap_schema(text) : NULL;
    char *json = schema != NULL ? ap_json_text(schema) : NULL;
    printf("        %-10s %s\n", title, json != NULL ? json : "any bytes");
    free(json);
}

/* Texts of examples end their lines where they do. */
static void print_example(const char *title, const char *text)
{
    printf("        %-10s ", title);
    for (const char *c = text; *c != '\0'; c++)
        if (*c == '\n')
            fputs("\\n", stdout);
        else if (*c == '\t')
            fputs("\\t", stdout);
        else
            putchar(*c);
    putchar('\n');
}

static void print_function(const struct ap_function *f, bool whole)
{
    printf("    %s: %s; a duplicate %s\n", f->capability, f->bound, f->again);
    if (!whole) return;
    print_schema("request", f->in);
    print_schema("answer", f->out);
    print_example("example", f->send);
    if (f->answer != NULL) print_example("gives", f->answer);
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

/* NULL: all. */
static bool kind_chosen(const apiary_agent_kind_t *kind, const char *name)
{
    if (name == NULL || strcmp(kind->name, name) == 0) return true;
    for (const char *const *c = kind->capabilities; c != NULL && *c != NULL; c++)
        if (strcmp(*c, name) == 0) return true;
    return false;
}

static json_t *kind_json(const apiary_agent_kind_t *k)
{
    json_t *keys = json_array(), *functions = json_array();
    for (const apiary_agent_key_t *key = k->keys; key != NULL && key->name != NULL; key++)
        json_array_append_new(keys, key_json(key));
    json_t *o = json_pack("{s:s, s:s, s:o}", "kind", k->name, "what", k->what, "keys", keys);
    json_object_set_new(o, "state", kind_state(k) != NULL ? json_string(kind_state(k)) : json_null());
    for (const char *const *c = k->capabilities; c != NULL && *c != NULL; c++) {
        if (c == k->capabilities) json_object_set_new(o, "capabilities", json_array());
        json_array_append_new(json_object_get(o, "capabilities"), json_string(*c));
    }
    for (const struct ap_function *f = ap_functions_of(k->name); f != NULL && f->capability != NULL; f++)
        json_array_append_new(functions, function_json(f));
    json_object_set_new(o, "functions", functions);
    return o;
}

static int kinds_json(const char *name)
{
    json_t *list = json_array();
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k != NULL; k++)
        if (kind_chosen(*k, name)) json_array_append_new(list, kind_json(*k));
    json_t *o = json_object();
    json_object_set_new(o, "kinds", list);
    return tool_json_print(o);
}

static void print_kind(const apiary_agent_kind_t *k, const char *name)
{
    printf("%s: %s\n", k->name, k->what);
    if (k->capabilities != NULL) fputs("    capabilities    ", stdout);
    for (const char *const *c = k->capabilities; c != NULL && *c != NULL; c++)
        printf(" %s%s", *c, c[1] != NULL ? "," : "\n");
    for (const apiary_agent_key_t *key = k->keys; key != NULL && key->name != NULL; key++)
        print_key(key);
    if (kind_state(k) != NULL)
        printf("    keeps state in its %s%s%s\n", kind_state(k), k->state_unless != NULL ? ", but not with " : "",
               k->state_unless != NULL ? k->state_unless : "");
    for (const struct ap_function *f = ap_functions_of(k->name); f != NULL && f->capability != NULL; f++)
        if (name == NULL || strcmp(name, k->name) == 0 || strcmp(name, f->capability) == 0) print_function(f, name != NULL);
}

int cmd_kinds(struct tool *t, int argc, char **argv)
{
    int rc = tool_parse(t, &kinds_usage, no_options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    const char *name = argc > 0 ? argv[0] : NULL;
    bool found = false;
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k != NULL; k++)
        found |= kind_chosen(*k, name);
    if (!found) return tool_usage_error(t, &kinds_usage, "there is no kind or capability '%s' here", name);
    if (t->json) return tool_finish(t, kinds_json(name));
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k != NULL; k++)
        if (kind_chosen(*k, name)) print_kind(*k, name);
    return tool_finish(t, TOOL_OK);
}
