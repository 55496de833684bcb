/* tools/apiary/reload.c - apiary reload, rollback, restart, scale: the supervisor that runs is asked for a change. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary/control.h"
#include "tools/apiary/diff.h"

/* Differences, and the steps that were done, also when it failed in the end. */
static void reload_tell(const json_t *answer)
{
    const json_t *changes = json_object_get(answer, "changes"), *done = json_object_get(answer, "done");
    if (json_array_size(changes) > 0) differences_print(changes);
    for (size_t i = 0; i < json_array_size(done); i++) {
        const char *one = json_string_value(json_array_get(done, i));
        printf("%s\n", one != NULL ? one : "?");
    }
}

static void reload_revision(const json_t *answer)
{
    int64_t revision = (int64_t)json_integer_value(json_object_get(answer, "revision"));
    size_t told = json_array_size(json_object_get(answer, "changes")) + json_array_size(json_object_get(answer, "done"));
    printf("%srevision %" PRId64 " is in force\n", told == 0 ? "nothing to change: " : "", revision);
}

/* Takes over the request. `revision`: at the end it is told which one is in force. */
static int reload_ask(struct tool *t, const char *command, json_t *request, bool revision)
{
    json_t *answer = NULL;
    int rc = control_ask(t, command, tool_segment(t, NULL), request, &answer);
    if (answer == NULL) return tool_finish(t, rc);
    if (t->json) {
        int printed = tool_json_print(answer);
        return tool_finish(t, rc == TOOL_OK ? printed : rc);
    }
    reload_tell(answer);
    if (rc == TOOL_OK && revision) reload_revision(answer);
    json_decref(answer);
    return tool_finish(t, rc);
}

int cmd_reload(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "reload",
        .arguments = "",
        .what = "Lets the 'apiary up' that runs read its configuration again and apply what has changed, and waits for that.",
        .more = "A configuration that is wrong, or that needs a new segment, changes nothing. Services that are the same are not\n"
                "touched. 'apiary config diff FILE --running' shows beforehand what would happen.",
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &usage, none, &argc, &argv);
    return rc != TOOL_GO_ON ? rc : reload_ask(t, "reload", json_pack("{s:s}", "request", "reload"), true);
}

int cmd_rollback(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "rollback",
        .arguments = "",
        .what = "Lets the 'apiary up' that runs go back to the configuration before its last reload, and waits for that.",
        .more = "The file stays as it is: the next reload applies it again. A second rollback takes back the first.",
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &usage, none, &argc, &argv);
    return rc != TOOL_GO_ON ? rc : reload_ask(t, "rollback", json_pack("{s:s}", "request", "rollback"), true);
}

int cmd_restart(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "restart",
        .arguments = "SERVICE",
        .what = "Lets the 'apiary up' that runs restart the instances of SERVICE one after another, and waits for that.",
        .more = "Each finishes its tasks before it ends. With --rolling, or where the configuration says so or has several\n"
                "instances, another one passes before that: nobody who delegates meanwhile is refused.",
        .least = 1,
        .most = 1,
        .json = true,
        .table = true,
    };
    bool rolling = false;
    const struct tool_option options[] = {
        {"rolling", 'r', NULL, "start a new instance before the old one leaves, whatever the configuration says", NULL, &rolling},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    json_t *request = json_pack("{s:s, s:o, s:b}", "request", "restart", "service", tool_json_text(argv[0]), "rolling", rolling);
    return reload_ask(t, "restart", request, false);
}

/* ---- scale ----------------------------------------------------------------------------------------------------- */

/* "2 to 3 at 2026-01-31T12:00:00Z: autoscale, 1 to 4: ..."; NULL: it has not changed. */
static char *scale_change_text(const json_t *changed)
{
    const char *said = json_string_value(json_object_get(changed, "said"));
    const char *time = json_string_value(json_object_get(changed, "time"));
    if (said == NULL || time == NULL) return NULL;
    return tool_format("%d to %d at %s%s%s", (int)json_integer_value(json_object_get(changed, "from")),
                       (int)json_integer_value(json_object_get(changed, "to")), time, *said != '\0' ? ": " : "", said);
}

static void scale_print(const json_t *list)
{
    static const char *const keys[] = {"serving", "wanted", "starting", "failing", "leaving", "waiting", "running"};
    enum { NUMBERS = sizeof keys / sizeof *keys };
    struct tool_table *table = tool_table_new((const char *const[]){"=service", ">serving", ">wanted", "?>starting",
                                                                    "?>failing", "?>leaving", ">waiting", ">running", ">min",
                                                                    ">max", "why", NULL});
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i), *rules = json_object_get(o, "autoscale");
        const char *service = json_string_value(json_object_get(o, "service")), *why = json_string_value(json_object_get(o, "why"));
        char n[NUMBERS][24], min[24] = "-", max[24] = "-";
        for (size_t k = 0; k < NUMBERS; k++)
            snprintf(n[k], sizeof n[k], "%" PRId64, (int64_t)json_integer_value(json_object_get(o, keys[k])));
        if (json_is_object(rules)) {
            snprintf(min, sizeof min, "%" PRId64, (int64_t)json_integer_value(json_object_get(rules, "min")));
            snprintf(max, sizeof max, "%" PRId64, (int64_t)json_integer_value(json_object_get(rules, "max")));
        }
        tool_table_add(table, (const char *const[]){service != NULL ? service : "?", n[0], n[1], n[2], n[3], n[4], n[5], n[6], min,
                                                    max, why != NULL ? why : "-", NULL});
    }
    tool_table_print(table, stdout);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *service = json_string_value(json_object_get(o, "service"));
        char *change = scale_change_text(json_object_get(o, "changed"));
        if (change != NULL) printf("%s: %s\n", service != NULL ? service : "?", change);
        free(change);
    }
}

static int scale_show(struct tool *t, const char *service)
{
    json_t *request = json_pack("{s:s}", "request", "scaling"), *answer = NULL;
    if (service != NULL) json_object_set_new(request, "service", tool_json_text(service));
    int rc = control_ask(t, "scale", tool_segment(t, NULL), request, &answer);
    if (rc == TOOL_OK && !t->json) scale_print(json_object_get(answer, "services"));
    if (rc == TOOL_OK && t->json) return tool_finish(t, tool_json_print(answer));
    json_decref(answer);
    return tool_finish(t, rc);
}

/* 0: it is none from 1 to `most`. */
static uint32_t scale_number(const char *text, uint32_t most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && n <= most ? (uint32_t)n : 0;
}

static int reload_replicas(struct tool *t, const struct tool_usage *usage, const char *agent, const char *text)
{
    uint32_t n = scale_number(text, 16);
    if (agent == NULL) return tool_usage_error(t, usage, "scale: which agent is to have %s replicas?", text);
    if (n == 0) return tool_usage_error(t, usage, "--replicas: '%s' is not a number from 1 to 16", text);
    json_t *request = json_pack("{s:s, s:o, s:I}", "request", "replicas", "agent", tool_json_text(agent), "replicas",
                                (json_int_t)n);
    return reload_ask(t, "scale", request, true);
}

int cmd_scale(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "scale",
        .arguments = "[SERVICE | [SERVICE/]AGENT]",
        .what = "Lets the 'apiary up' that runs have another number of instances of SERVICE, or of replicas of AGENT, and waits\n"
                "for that; without a number shows how many instances there are, and why.",
        .more = "The number stays until the configuration's own number for the service or agent is another one, or 'apiary up'\n"
                "ends. 'apiary rollback' takes it back. A service that is autoscaled has to have from min to max, and goes on\n"
                "from there: it keeps the number for its cool-down at least, unless it needs more. For other replicas the\n"
                "instances of the service are restarted, one after the other, as for a changed configuration.",
        .most = 1,
        .json = true,
        .table = true,
    };
    const char *text = NULL, *replicas = NULL;
    const struct tool_option options[] = {
        {"instances", 'n', "N", "how many of the service, 1 to 64", &text, NULL},
        {"replicas", 'r', "N", "how many of the agent, 1 to 16; its service needs as many workers", &replicas, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (text != NULL && replicas != NULL) return tool_usage_error(t, &usage, "scale: --instances or --replicas, one at a time");
    if (replicas != NULL) return reload_replicas(t, &usage, argc > 0 ? argv[0] : NULL, replicas);
    if (text == NULL) return scale_show(t, argc > 0 ? argv[0] : NULL);
    if (argc == 0) return tool_usage_error(t, &usage, "scale: which service is to have %s instances?", text);
    uint32_t n = scale_number(text, 64);
    if (n == 0) return tool_usage_error(t, &usage, "--instances: '%s' is not a number from 1 to 64", text);
    json_t *request = json_pack("{s:s, s:o, s:I}", "request", "scale", "service", tool_json_text(argv[0]), "instances",
                                (json_int_t)n);
    return reload_ask(t, "scale", request, true);
}
