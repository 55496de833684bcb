/* tools/apiary/diff.c - apiary config: a configuration is judged, and compared with another one. */
#include "tools/apiary/diff.h"

#include <stdlib.h>
#include <string.h>

#include "tools/apiary/apiary.h"
#include "tools/apiary/config.h"
#include "tools/apiary/control.h"

/* ---- differences ---------------------------------------------------------------------------------------------- */

static json_t *diff_text(const char *text)
{
    return text != NULL ? tool_json_text(text) : json_null();
}

json_t *differences_json(const struct ap_differences *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->count; i++) {
        const struct ap_difference *x = &d->list[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:i}", "change", ap_difference_text(x->kind),
                                              "service", diff_text(x->service), "agent", diff_text(x->agent), "key",
                                              diff_text(x->key), "before", diff_text(x->before), "after", diff_text(x->after),
                                              "effect", ap_effect_text(x->effect), "line", (int)x->line));
    }
    return list;
}

static const char *diff_string(const json_t *o, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : otherwise;
}

void differences_print(const json_t *list)
{
    static const char *const headings[] = {"=service", "change", "agent", "key", "before", "after", "effect", NULL};
    struct tool_table *table = tool_table_new(headings);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        tool_table_add(table, (const char *const[]){diff_string(o, "service", "meta_registry"), diff_string(o, "change", "?"),
                                                    diff_string(o, "agent", "-"), diff_string(o, "key", "-"),
                                                    diff_string(o, "before", "-"), diff_string(o, "after", "-"),
                                                    diff_string(o, "effect", "?"), NULL});
    }
    tool_table_print(table, stdout);
}

char *difference_name(const struct ap_difference *d)
{
    const char *of = d->service != NULL ? d->service : "meta_registry";
    if (d->agent != NULL && d->key != NULL) return tool_format("%s of agent %s of %s", d->key, d->agent, of);
    if (d->agent != NULL) return tool_format("agent %s of %s", d->agent, of);
    return d->key != NULL ? tool_format("%s of %s", d->key, of) : tool_format("service %s", of);
}

/* ---- apiary config diff --------------------------------------------------------------------------------------- */

static const struct tool_usage diff_usage = {
    .command = "config diff",
    .arguments = "FILE",
    .what = "Shows what FILE would change: services, agents and keys that are added, removed or changed, and what each takes.",
    .more = "It is compared with the configuration of --config, or with --running with what the 'apiary up' that runs has in\n"
            "force: that is what 'apiary reload' would do. Both are judged first.",
    .least = 1,
    .most = 1,
    .json = true,
    .table = true,
};

static int diff_show(const struct tool *t, const struct ap_deployment *before, const struct ap_deployment *after, const char *from,
                     const char *to)
{
    struct ap_differences d;
    int rc = ap_deployment_diff(before, after, &d);
    if (rc < 0) return tool_error(t, rc, NULL, "config diff");
    json_t *list = differences_json(&d);
    ap_differences_free(&d);
    if (t->json) return tool_json_print(json_pack("{s:s, s:s, s:o}", "from", from, "to", to, "changes", list));
    if (json_array_size(list) == 0) printf("no difference: %s says what %s says\n", to, from);
    else differences_print(list);
    json_decref(list);
    return TOOL_OK;
}

/* The configuration that the supervisor of the segment has in force; its programs and plug-ins were judged there. Numbers of
 * instances that an operator has set and a reload would keep are put into `next`, too, and it has only the phases that are run. */
static int diff_running(const struct tool *t, const char *segment, struct ap_deployment *next, struct ap_deployment **ret)
{
    struct ap_config_error error = {.text = ""};
    json_t *answer = NULL;
    int rc = control_ask(t, "config diff", segment, json_pack("{s:s}", "request", "configuration"), &answer);
    const json_t *text = json_object_get(answer, "text");
    const char *path = json_string_value(json_object_get(answer, "path"));
    const char *scales = json_string_value(json_object_get(answer, "scales"));
    const char *phase = json_string_value(json_object_get(answer, "phase"));
    const char *autoscaled = json_string_value(json_object_get(answer, "autoscaled"));
    if (rc == TOOL_OK && (path == NULL || scales == NULL || json_string_value(text) == NULL)) {
        rc = tool_fail(t, TOOL_FAILED, "config diff: the answer has no configuration");
    } else if (rc == TOOL_OK) {
        int e = ap_deployment_parse(path, json_string_value(text), json_string_length(text), NULL, NULL, ret, &error);
        if (e == 0 && phase != NULL) e = ap_deployment_select(*ret, phase, &error);
        if (e == 0 && phase != NULL) e = ap_deployment_select(next, phase, &error);
        char *kept = e == 0 ? config_scales_kept(scales, *ret, next) : NULL;
        if (e == 0) e = config_scale(*ret, scales, &error);
        int judged = e == 0 ? config_scale_judged(next, kept, &error) : 0;
        if (judged == APIARY_ECONFIG) config_blame_scales(kept, &error);
        if (e == 0) e = judged;
        if (e == 0 && autoscaled != NULL) e = config_scale(*ret, autoscaled, &error);
        if (e == 0) ap_deployment_keep_scale(*ret, next);
        free(kept);
        if (e < 0) rc = tool_error(t, e, error.text, "configuration");
    }
    json_decref(answer);
    return rc;
}

static int config_diff(struct tool *t, int argc, char **argv)
{
    const char *config = NULL;
    bool running = false;
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "what it is compared with [$APIARY_CONFIG, else /etc/apiary/apiary.yaml]", &config, NULL},
        {"running", 'r', NULL, "with what the 'apiary up' that runs has in force", NULL, &running},
        {.name = NULL},
    };
    int rc = tool_parse(t, &diff_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (running && config != NULL) return tool_usage_error(t, &diff_usage, "--running, --config: it is compared with one of them");
    struct ap_deployment *before = NULL, *after = NULL;
    const char *from = "what is in force", *to = NULL, *segment = NULL, *why;
    rc = apiary_load_config(t, argv[0], &to, &after);
    if (rc == TOOL_OK && running) rc = tool_choose_segment(t, to, after->segment.name, &segment, &why);
    if (rc == TOOL_OK)
        rc = running ? diff_running(t, segment, after, &before) : apiary_load_config(t, config, &from, &before);
    if (rc == TOOL_OK) rc = diff_show(t, before, after, from, to);
    ap_deployment_free(before);
    ap_deployment_free(after);
    return tool_finish(t, rc);
}

/* ---- apiary config check -------------------------------------------------------------------------------------- */

struct config_sums {
    size_t agents, instances, checks, unchecked;
    uint64_t segment; /* bytes */
};

static struct config_sums config_sum(const struct ap_deployment *d)
{
    struct ap_section sections[AP_SECTIONS_MAX];
    struct ap_config_error error;
    struct config_sums ret = {.segment = ap_layout_sections(&ap_registry_parts, &d->segment.geometry, sections)};
    for (size_t i = 0; i < d->swarm_count; i++) {
        ret.agents += d->swarms[i].agent_count;
        ret.instances += d->swarms[i].instances;
        ret.checks += d->swarms[i].check_count;
    }
    while (ap_deployment_unchecked(d, ret.unchecked, &error) != NULL)
        ret.unchecked++;
    return ret;
}

static int config_tell(const struct tool *t, const char *path, const struct ap_deployment *d)
{
    struct config_sums n = config_sum(d);
    char size[32];
    if (t->json)
        return tool_json_print(json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "config", path, "segment",
                                         diff_text(d->segment.name), "segment_bytes", (json_int_t)n.segment, "services",
                                         (json_int_t)d->swarm_count, "instances", (json_int_t)n.instances, "agents",
                                         (json_int_t)n.agents, "checks", (json_int_t)n.checks, "unchecked",
                                         (json_int_t)n.unchecked, "phases", (json_int_t)d->phase_count));
    char phases[48] = "";
    if (d->phase_count > 0) snprintf(phases, sizeof phases, " in %zu phase%s", d->phase_count, d->phase_count == 1 ? "" : "s");
    printf("%s is right: %zu service%s in %zu process%s%s, %zu agent%s, %zu check%s; its segment takes %s\n", path, d->swarm_count,
           d->swarm_count == 1 ? "" : "s", n.instances, n.instances == 1 ? "" : "es", phases, n.agents, n.agents == 1 ? "" : "s",
           n.checks, n.checks == 1 ? "" : "s", tool_format_bytes(n.segment, size));
    return TOOL_OK;
}

static int config_check(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "config check",
        .arguments = "[FILE]",
        .what = "Judges a configuration whole, with its kinds, plug-ins and programs: exit code 0 when it is right, else 2.",
        .more = "What is wrong is told with file, line and what would be right. Without FILE it is that of $APIARY_CONFIG, else\n"
                "/etc/apiary/apiary.yaml.",
        .most = 1,
        .json = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    struct ap_deployment *d = NULL;
    const char *path = NULL;
    rc = apiary_load_config(t, argc > 0 ? argv[0] : NULL, &path, &d);
    if (rc == TOOL_OK) rc = config_tell(t, path, d);
    ap_deployment_free(d);
    return tool_finish(t, rc);
}

int cmd_config(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "config",
        .arguments = "check [FILE] | diff FILE",
        .what = "Judges configurations, and shows what one would change; 'apiary config diff --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"check", "judge a configuration", config_check},
        {"diff", "show what a configuration would change", config_diff},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
