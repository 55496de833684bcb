/* tools/apiary/apiary.c - the program `apiary`: its table of commands. */
#include "tools/apiary/apiary.h"

#include <string.h>

#include "core/process.h"

static const struct apiary_command commands[] = {
    {"up", "start the coordinator and all swarms of a configuration, and look after them", cmd_up},
    {"queen", "run one swarm", cmd_queen},
    {"status", "show the swarms and their load", cmd_status},
    {"stats", "show how long tasks wait and run, how they end, and who calls whom", cmd_stats},
    {"top", "show what each service does now, on a terminal", cmd_top},
    {"services", "show services, their agents and capabilities", cmd_services},
    {"discover", "show the agents that offer a capability", cmd_discover},
    {"route", "explain where a task would go", cmd_route},
    {"capability", "show what capabilities declare", cmd_capability},
    {"kinds", "show the built-in kinds of agents, their keys and what they do", cmd_kinds},
    {"delegate", "run one task and print its result", cmd_delegate},
    {"probe", "ask the agents of a capability or a service whether they go on", cmd_probe},
    {"task", "list, show and cancel tasks", cmd_task},
    {"dead", "list, show, retry and discard tasks that are not tried again", cmd_dead},
    {"kept", "list, fetch and forget results that outlive their tasks", cmd_kept},
    {"claim", "claim keys that one at a time may have, and run commands meanwhile", cmd_claim},
    {"events", "show what has changed or was repaired", cmd_events},
    {"history", "show what was counted over the last week", cmd_history},
    {"tap", "show tasks as they finish", cmd_tap},
    {"trace", "show the life of a task across swarms", cmd_trace},
    {"metrics", "print what is counted, for Prometheus", cmd_metrics},
    {"memory", "keys and values that swarms share, and the local memory of each", cmd_memory},
    {"drain", "route no new tasks to a swarm and wait until it has none", cmd_drain},
    {"pause", "route no new tasks to a swarm, without a wait", cmd_pause},
    {"resume", "route tasks to a drained swarm again", cmd_resume},
    {"weight", "set the share of a swarm among the providers of its capabilities", cmd_weight},
    {"forget", "forget instances that are down and will not come back", cmd_forget},
    {"reload", "let 'apiary up' read its configuration again, and apply what has changed", cmd_reload},
    {"rollback", "go back to the configuration before the last reload", cmd_rollback},
    {"restart", "restart the instances of a service one after another", cmd_restart},
    {"scale", "set how many instances of a service run", cmd_scale},
    {"token", "print what a change over HTTP needs", cmd_token},
    {"check", "judge the swarms for a monitoring system", cmd_check},
    {"wait", "wait until a service, a capability or a whole configuration is ready", cmd_wait},
    {"config", "judge a configuration, and show what it would change", cmd_config},
    {"segment", "list and remove segments of this host", cmd_segment},
    {"report", "pack what is known of a segment into one archive, for a bug report", cmd_report},
    {NULL, NULL, NULL},
};

static void print_commands(const struct apiary_command *table)
{
    for (const struct apiary_command *c = table; c->name != NULL; c++)
        printf("  %-10s %s\n", c->name, c->what);
}

static int print_help(const struct tool *t)
{
    printf("usage: apiary [--segment NAME] [--json] COMMAND [OPTION...] [ARGUMENT...]\n\n"
           "Delegates tasks by capability between processes of this host through shared memory.\n\n");
    print_commands(commands);
    printf("\n'apiary COMMAND --help' tells more.\n"
           "Exit codes: 0 ok, 1 failed, 2 configuration, 3 no segment, 4 no provider, 5 full, 6 body too large,\n"
           "            7 timeout, 64 usage, 77 not possible on this machine\n");
    return tool_finish(t, TOOL_OK);
}

static const struct apiary_command *apiary_find(const struct apiary_command *table, const char *name)
{
    for (const struct apiary_command *c = table; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) return c;
    }
    return NULL;
}

int apiary_subcommand(struct tool *t, const struct tool_usage *usage, const struct apiary_command *table, int argc,
                      char **argv)
{
    if (argc < 2) return tool_usage_error(t, usage, "%s: a command is missing", usage->command);
    const struct apiary_command *c = apiary_find(table, argv[1]);
    if (c != NULL) return c->run(t, argc - 1, argv + 1);
    if (*argv[1] != '-') return tool_usage_error(t, usage, "%s: there is no command '%s'", usage->command, argv[1]);
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    return tool_usage_error(t, usage, "%s: the command comes first", usage->command);
}

/* Options before the command: only those that every command has. */
static int leading_options(struct tool *t, int argc, char **argv, int *ret)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return print_help(t);
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            tool_print_version(t->program);
            return tool_finish(t, TOOL_OK);
        }
        if (strcmp(argv[i], "--json") == 0) {
            t->json = true;
            continue;
        }
        if (strncmp(argv[i], "--segment=", 10) == 0) {
            t->segment = argv[i] + 10;
        } else if ((strcmp(argv[i], "--segment") == 0 || strcmp(argv[i], "-s") == 0) && i + 1 < argc) {
            t->segment = argv[++i];
        } else {
            return tool_fail(t, TOOL_USAGE, "there is no option '%s' before the command; see 'apiary --help'", argv[i]);
        }
        if (*t->segment == '\0') return tool_fail(t, TOOL_USAGE, "--segment: the name is empty; see 'apiary --help'");
    }
    *ret = i;
    return TOOL_GO_ON;
}

static int apiary_run(struct tool *t, int argc, char **argv)
{
    int first = 1;
    int rc = leading_options(t, argc, argv, &first);
    if (rc != TOOL_GO_ON) return rc;
    if (first >= argc) return tool_fail(t, TOOL_USAGE, "a command is missing; see 'apiary --help'");
    if (strcmp(argv[first], "help") == 0) {
        if (first + 1 >= argc) return print_help(t);
        const struct apiary_command *about = apiary_find(commands, argv[first + 1]);
        char *help[] = {argv[first + 1], (char[]){"--help"}, NULL};
        if (about != NULL) return about->run(t, 2, help);
        first++;
    }
    const struct apiary_command *c = apiary_find(commands, argv[first]);
    if (c == NULL) return tool_fail(t, TOOL_USAGE, "there is no command '%s'; see 'apiary --help'", argv[first]);
    return c->run(t, argc - first, argv + first);
}

int main(int argc, char **argv)
{
    struct tool t = {.program = "apiary"};
    ap_process_begin();
    return tool_finish(&t, apiary_run(&t, argc, argv)); /* whatever the command: what it printed has arrived, or it failed */
}
