/* tools/apiary/apiary.h - the parts of the program `apiary`: one function per command, and how they look at the registry. */
#ifndef AP_TOOLS_APIARY_H
#define AP_TOOLS_APIARY_H

#include <signal.h>

#include "agents/deployment/deployment.h"
#include "registry/client/client.h"
#include "tools/common/common.h"
#include "tools/view/view.h"

/* argv[0] is the command's name. Each returns an exit code of tools/common/common.h. */
struct apiary_command {
    const char *name;
    const char *what;
    int (*run)(struct tool *t, int argc, char **argv);
};
int cmd_up(struct tool *t, int argc, char **argv);
int cmd_queen(struct tool *t, int argc, char **argv);
int cmd_status(struct tool *t, int argc, char **argv);
int cmd_stats(struct tool *t, int argc, char **argv);
int cmd_top(struct tool *t, int argc, char **argv);
int cmd_services(struct tool *t, int argc, char **argv);
int cmd_discover(struct tool *t, int argc, char **argv);
int cmd_capability(struct tool *t, int argc, char **argv);
int cmd_kinds(struct tool *t, int argc, char **argv);
int cmd_delegate(struct tool *t, int argc, char **argv);
int cmd_probe(struct tool *t, int argc, char **argv);
int cmd_task(struct tool *t, int argc, char **argv);
int cmd_dead(struct tool *t, int argc, char **argv);
int cmd_kept(struct tool *t, int argc, char **argv);
int cmd_claim(struct tool *t, int argc, char **argv);
int cmd_events(struct tool *t, int argc, char **argv);
int cmd_history(struct tool *t, int argc, char **argv);
int cmd_trace(struct tool *t, int argc, char **argv);
int cmd_tap(struct tool *t, int argc, char **argv);
int cmd_memory(struct tool *t, int argc, char **argv);
int cmd_metrics(struct tool *t, int argc, char **argv);
int cmd_drain(struct tool *t, int argc, char **argv);
int cmd_pause(struct tool *t, int argc, char **argv);
int cmd_resume(struct tool *t, int argc, char **argv);
int cmd_weight(struct tool *t, int argc, char **argv);
int cmd_forget(struct tool *t, int argc, char **argv);
int cmd_route(struct tool *t, int argc, char **argv);
int cmd_token(struct tool *t, int argc, char **argv);
int cmd_check(struct tool *t, int argc, char **argv);
int cmd_wait(struct tool *t, int argc, char **argv);
int cmd_segment(struct tool *t, int argc, char **argv);
int cmd_report(struct tool *t, int argc, char **argv);
int cmd_reload(struct tool *t, int argc, char **argv);
int cmd_rollback(struct tool *t, int argc, char **argv);
int cmd_restart(struct tool *t, int argc, char **argv);
int cmd_scale(struct tool *t, int argc, char **argv);
int cmd_config(struct tool *t, int argc, char **argv);
/* apiary services --watch: until it is told to stop. */
int services_watch(struct tool *t, const apiary_instance_query_t *query, uint64_t revision);
/* A revision as a watch prints it. */
bool tool_revision(const char *text, uint64_t *ret);
int apiary_segment_sizes(struct tool *t, int argc, char **argv);

/* For a command with commands of its own ("task ls"): runs the one that argv[1] names. */
AP_MUST_CHECK int apiary_subcommand(struct tool *t, const struct tool_usage *usage, const struct apiary_command *commands, int argc,
                      char **argv);

/* Loads the file that tool_config_path finds, or says why not. */
AP_MUST_CHECK int apiary_load_config(const struct tool *t, const char *option, const char **ret_path, struct ap_deployment **ret);
/* With `phase` only the services of that one, of those before it and of none (ap_deployment_select); NULL: all. */
AP_MUST_CHECK int apiary_load_phases(const struct tool *t, const char *option, const char *phase, const char **ret_path,
                                     struct ap_deployment **ret);
/* The same, or the text on standard input under the file's name. `only`: the one service whose plug-ins and kinds matter,
 * NULL for all. */
AP_MUST_CHECK int apiary_read_config(const struct tool *t, const char *option, bool standard_input, const char *only,
                       const char **ret_path, struct ap_deployment **ret);

/* How a task ended, and its result, as apiary delegate shows them: text goes in as text, anything else in base64. `of` names it. */
void result_set_end(json_t *o, const apiary_result_t *result);
void result_set_data(json_t *o, const apiary_result_t *result);
AP_MUST_CHECK int result_print(const struct tool *t, const char *of, const apiary_result_t *result);

/* An argument that is a body: DATA, @FILE, or - for standard input; NULL: none. A body of more than `most` bytes is read a little
 * beyond these. The bytes are to be freed. TOOL_OK, or an exit code. */
struct tool_body {
    char *bytes;
    size_t size;
};
AP_MUST_CHECK int tool_read_body(const struct tool *t, const char *argument, size_t most, struct tool_body *ret);

/* parts.c. Prints the parts of a result as they come, until none will: 0; APIARY_ENOTREADY when `give_up` says so, which is
 * asked ten times a second; APIARY_EINTERRUPTED when they cannot be printed, and the task is cancelled; other errors of
 * apiary_next_part. *ret_attempt: that of the last part, 0 without one. */
AP_MUST_CHECK int parts_read(const struct tool *t, apiary_t *a, apiary_task_t task, bool (*give_up)(void *user), void *user,
                             uint32_t *ret_attempt);
/* apiary delegate --all: a line for each provider; the exit code says whether all have answered. */
AP_MUST_CHECK int broadcast_run(const struct tool *t, apiary_t *a, const char *capability, const apiary_delegate_options_t *options,
                                const char *bytes, size_t size, const volatile sig_atomic_t *interrupted);

#endif
