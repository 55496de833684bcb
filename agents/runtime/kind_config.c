/* agents/runtime/kind_config.c - the configuration of an agent, judged by the keys of its kind, whoever brings it: the file of a
 * deployment, or the text that a program gives its own queen. See kind.h. */
#include <stdio.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/program.h"
#include "core/text.h"

/* The configuration of one agent, its kind, and where the verdict goes. */
struct judging {
    const struct ap_agent_config *config;
    const apiary_agent_kind_t *kind;
    struct ap_config_error *error;
};

static int judge_types(const struct judging *j)
{
    for (const apiary_agent_key_t *k = j->kind->keys; k != NULL && k->name != NULL; k++) {
        if (k->type != '\0' && strchr("sibldzpco", k->type) != NULL) continue;
        return ap_node_refuse(j->config->at, j->error,
                              "config: the kind '%s' declares its key '%s' with an unknown type; expected one of "
                              "s i b l d z p c o",
                              j->kind->name, k->name);
    }
    return 0;
}

/* The kind's keys in the terms of core/config.h. */
static int translate_keys(const struct judging *j, struct ap_key **ret)
{
    struct ap_key *keys;
    size_t count = 0;

    while (j->kind->keys != NULL && j->kind->keys[count].name != NULL) count++;
    keys = ap_config_alloc(j->config->owner, (count + 1) * sizeof *keys);
    if (keys == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < count; i++) {
        const apiary_agent_key_t *k = &j->kind->keys[i];

        keys[i] = (struct ap_key){.name = k->name,
                                  .type = k->type == 'p' || k->type == 'o' ? 's' : k->type == 'c' ? 'l' : k->type,
                                  .required = k->required != 0,
                                  .what = k->what,
                                  .min = k->min,
                                  .max = k->max};
    }
    *ret = keys;
    return 0;
}

/* The tree is its reader's own until it is handed out. */
static int make_absolute(const struct judging *j, const struct ap_node *node)
{
    return ap_config_path(j->config->owner, node->text, &((struct ap_node *)node)->text, j->error);
}

static int find_program(const struct judging *j, const char *key, const struct ap_node *command)
{
    const struct ap_node *program;
    char path[PATH_MAX], why[PATH_MAX + 128];
    if (command->kind == AP_NODE_LIST && command->count == 0)
        return ap_node_refuse(command, j->error, "%s: is an empty list; expected at least one item", key);
    program = command->kind == AP_NODE_LIST ? command->items[0] : command;
    int e = strchr(program->text, '/') != NULL ? make_absolute(j, program) : 0;

    if (e < 0 || ap_program_find(program->text, path, why, sizeof why) == 0) return e;
    return ap_node_refuse(program, j->error, "%s: %s", key, AP_SHOWN(why, 400));
}

/* Whether a task may have what the keys that are options of a delegation say. */
static int judge_options(const struct judging *j)
{
    for (const apiary_agent_key_t *k = j->kind->keys; k != NULL && k->name != NULL; k++) {
        const struct ap_node *node = k->type == 'o' ? ap_node_get(j->config->map, k->name) : NULL;
        apiary_delegate_options_t o = {.struct_size = sizeof o};

        if (node == NULL || apiary_option_set(&o, k->name, node->text) == 0) continue;
        return ap_node_refuse(node, j->error, "%s: '%s' cannot be that; expected %s", k->name, AP_SHOWN(node->text, 48),
                              k->what != NULL ? k->what : "no option of a delegation");
    }
    return 0;
}

/* Where the paths among the kind's keys lead, and whether the programs are there. */
static int find_paths(const struct judging *j)
{
    int e = 0;

    for (const apiary_agent_key_t *k = j->kind->keys; e == 0 && k != NULL && k->name != NULL; k++) {
        const struct ap_node *node = ap_node_get(j->config->map, k->name);

        if (node == NULL) continue;
        if (k->type == 'p') e = make_absolute(j, node);
        if (k->type == 'c') e = find_program(j, k->name, node);
    }
    return e;
}

static int judge_map(const struct judging *j)
{
    const struct ap_node *map = j->config->map;
    struct ap_key *keys = NULL;
    int e = translate_keys(j, &keys);

    if (e < 0) return e;
    if (map->kind == AP_NODE_MAP && map->count > 0 && keys->name == NULL)
        return ap_node_refuse_line(map, map->key_lines[0], j->error,
                                   "%s: unknown key; the kind '%s' has no keys, leave out config",
                                   AP_SHOWN(map->keys[0], 48), j->kind->name);
    e = ap_node_check(map, keys, j->error);
    if (e == 0) e = judge_options(j);
    return e < 0 ? e : find_paths(j);
}

int ap_agent_config_judge(const struct ap_agent_config *config, const apiary_agent_kind_t *kind, struct ap_config_error *error)
{
    const struct judging j = {.config = config, .kind = kind, .error = error};
    int e = judge_types(&j);

    if (e < 0) return e;
    if (config->map != NULL) return judge_map(&j);
    for (const apiary_agent_key_t *k = kind->keys; k != NULL && k->name != NULL; k++) {
        if (!k->required) continue;
        return ap_node_refuse(config->at, error, "config: missing; the kind '%s' of agent %s needs config: {%s: ...}%s%s",
                              kind->name, config->agent, k->name, k->what != NULL ? " - " : "",
                              k->what != NULL ? k->what : "");
    }
    return 0;
}

int ap_agent_config_parse(const char *name, const char *text, const char *agent, const apiary_agent_kind_t *kind,
                          struct ap_config **ret, struct ap_config_error *error)
{
    char own[sizeof "config of " + APIARY_NAME_MAX];
    const struct ap_node nowhere = {.file = own};
    struct ap_agent_config config = {.at = &nowhere, .agent = agent};
    struct ap_config *tree = NULL;
    int e;

    snprintf(own, sizeof own, "%s%s", text != NULL ? "config of " : "agent ", agent);
    if (text == NULL) return ap_agent_config_judge(&config, kind, error);
    e = ap_config_parse(name != NULL ? name : own, text, strlen(text), &tree, error);
    if (e < 0) return e;
    config.owner = tree;
    config.map = config.at = ap_config_root(tree);
    e = ap_agent_config_judge(&config, kind, error);
    if (e < 0) {
        ap_config_free(tree);
        return e;
    }
    *ret = tree;
    return 0;
}
