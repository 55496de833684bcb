/* tools/apiary_reload.c - apiary reload, rollback, restart, scale: the supervisor that runs is asked for a change. */
#include "tools/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary_control.h"
#include "tools/apiary_diff.h"

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

int cmd_scale(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "scale",
        .arguments = "SERVICE",
        .what = "Lets the 'apiary up' that runs have another number of instances of SERVICE, and waits for that.",
        .more = "The number stays until the configuration's own number for the service is another one, or 'apiary up' ends.\n"
                "'apiary rollback' takes it back.",
        .least = 1,
        .most = 1,
        .json = true,
        .table = true,
    };
    const char *text = NULL;
    const struct tool_option options[] = {
        {"instances", 'n', "N", "how many, 1 to 64", &text, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (text == NULL) return tool_usage_error(t, &usage, "scale: how many? write --instances 2");
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > 64)
        return tool_usage_error(t, &usage, "--instances: '%s' is not a number from 1 to 64", text);
    json_t *request = json_pack("{s:s, s:o, s:I}", "request", "scale", "service", tool_json_text(argv[0]), "instances",
                                (json_int_t)n);
    return reload_ask(t, "scale", request, true);
}
