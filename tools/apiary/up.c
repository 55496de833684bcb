/* tools/apiary/up.c - apiary up: the supervisor of one machine.
 *
 * Starts the coordinator and every queen as processes of their own, waits until all swarms pass, runs the checks of the
 * configuration through the segment, and then either stops everything (--once) or shows what is going on until Ctrl-C.
 * A service that does not come up is its own affair: the others work meanwhile, and it is tried again.
 */
#include "tools/apiary/autoscale.h"
#include "tools/apiary/change.h"
#include "tools/apiary/control.h"
#include "tools/apiary/former.h"
#include "tools/apiary/live.h"
#include "tools/apiary/order.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "core/writer.h"

#define TURN UINT64_C(20000000)
#define DAEMON_GRACE UINT64_C(5000000000)
#define DAEMON_LEAVES UINT64_C(1000000000) /* that of a supervisor that was killed */

static const struct tool_usage usage = {
    .command = "up",
    .arguments = "",
    .what = "Starts the coordinator and all swarms of a configuration as processes, and runs its checks through them.",
    .more = "Each check delegates one real task and compares the output with what the configuration expects; the table "
            "shows\n"
            "who served it and how long it took. Then it stays, restarts processes that end, and shows events until "
            "Ctrl-C;\n"
            "with --once it stops everything and exits 0 only if every check passed. SIGTERM and Ctrl-C let the queens\n"
            "finish their tasks; a second one kills them, and what ran is started elsewhere, where others serve.",
    .json = true,
    .table = true,
};

/* ---- processes ------------------------------------------------------------------------------------------------ */

static char **up_arguments(const char *const *list)
{
    size_t n = 0;
    while (list[n] != NULL)
        n++;
    char **ret = tool_alloc((n + 1) * sizeof *ret);
    for (size_t i = 0; i < n; i++)
        ret[i] = tool_strdup(list[i]);
    return ret;
}

/* apiaryd beside this program, else in ../sbin. */
static char *find_daemon(void)
{
    static const char *const places[] = {"apiaryd", "../sbin/apiaryd"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return NULL;
    self[n] = '\0';
    const char *folder = dirname(self);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = tool_format("%s/%s", folder, places[i]);
        if (access(path, X_OK) == 0) return path;
        free(path);
    }
    return NULL;
}

static apiary_t *try_attach(const char *segment)
{
    apiary_t *a = NULL;
    apiary_attach_options_t options = {.struct_size = sizeof options, .name = "up", .kind = APIARY_TOOL};
    return apiary_attach(segment, &options, &a) == 0 ? a : NULL;
}

/* A segment that is not there yet, or in which nobody lives, is ours to remove. */
static bool is_abandoned(const char *segment)
{
    apiary_t *a = NULL;
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = 1};
    int rc = apiary_attach(segment, &options, &a);
    bool ret = rc == APIARY_ENOSEG || (rc == 0 && view_members(a->seg, 0, UINT32_MAX) == 0);
    if (rc == 0) apiary_detach(a);
    return ret;
}

/* ---- the coordinator ------------------------------------------------------------------------------------------ */

static bool no_daemon(struct up *up)
{
    return view_daemon(up->a->seg) == 0;
}

static bool nobody_else(struct up *up)
{
    former_look(up); /* an heir may be late */
    return view_supervisor(up->a->seg, up->a->member) == 0 && no_daemon(up);
}

static bool daemon_ready(struct up *up)
{
    if (up->a == NULL) up->a = try_attach(up->segment);
    return up->a != NULL && up->daemon->pid != 0 && view_daemon(up->a->seg) == up->daemon->pid;
}

static bool daemon_settled(struct up *up)
{
    return daemon_ready(up) || !up->daemon->wanted;
}

/* One that cannot even start does not heal by being repeated; from then on it is started again. */
static int start_daemon(struct up *up)
{
    up->daemon->wanted = true;
    int rc = up_wait(up, up->wait, daemon_settled);
    up->daemon->restart = true;
    if (rc == TOOL_OK && up->daemon->wanted) return rc;
    if (rc == TOOL_OK) {
        rc = up->daemon->last_exit > 0 && up->daemon->last_exit < 128 ? up->daemon->last_exit : TOOL_FAILED;
        up->owned = false; /* it did not come to use it */
    }
    if (crew_interrupts(up->crew) == 0)
        crew_say(up->crew, "apiary: up: the coordinator did not start; its messages are above");
    return rc;
}

/* Another supervisor on this segment: to be replaced, or in the way. */
static int look_around(struct up *up, int64_t *ret_other)
{
    up->owned = is_abandoned(up->segment);
    up->a = up->owned ? NULL : try_attach(up->segment);
    *ret_other = up->a != NULL ? view_supervisor(up->a->seg, up->a->member) : 0;
    if (*ret_other != 0 && !up->replace) {
        crew_say(up->crew, "apiary: up: another 'apiary up' (pid %lld) looks after %s; --replace takes its place, and "
                           "--segment gives another name",
                 (long long)*ret_other, up->segment);
        return TOOL_FAILED;
    }
    if (*ret_other != 0) {
        up->owned = true; /* as it was the other's */
    } else if (up->a != NULL && !no_daemon(up) && up_wait(up, DAEMON_LEAVES, no_daemon) == TOOL_FAILED) {
        return TOOL_FAILED; /* interrupted; of one that stays the own coordinator tells */
    }
    return TOOL_OK;
}

static int add_daemon(struct up *up)
{
    up->daemon_path = find_daemon();
    if (up->daemon_path == NULL) {
        crew_say(up->crew, "apiary: up: there is no apiaryd beside this program%s",
                 access("/proc/self/exe", F_OK) == 0 ? "" : " (/proc, which tells where that is, is not mounted)");
        return TOOL_CANNOT;
    }
    up->daemon = crew_add(up->crew, "apiaryd", up->daemon_path,
                          up_arguments((const char *const[]){"apiaryd", "--stdin", "--config", up->path, "--segment",
                                                             up->segment, "--log-level", up->level,
                                                             up->state != NULL ? "--state" : NULL, up->state, NULL}),
                          false);
    up->daemon->wanted = false;
    return TOOL_OK;
}

/* The own swarms work already: the others leave now, and nobody who asks meets a closed door. */
static int take_over(struct up *up, pid_t other)
{
    crew_say(up->crew, "apiary: up: taking over from pid %d", (int)other);
    former_look(up);
    kill(other, SIGTERM);
    /* Its services may leave one after another, each with that time. */
    int rc = up_wait(up, up->wait + up->d->swarm_count * (up->drain + UINT64_C(2000000000)), nobody_else);
    if (rc == TOOL_TIMEOUT) crew_say(up->crew, "apiary: up: pid %d does not end", (int)other);
    if (rc == TOOL_OK) ap_supervised_forget(up->a->seg); /* what it has said of its own */
    return rc == TOOL_OK ? start_daemon(up) : rc;
}

/* ---- checks, and what comes after them ------------------------------------------------------------------------ */

/* How to ask for something, where no check shows it. */
static void print_how_to_try(const struct up *up, FILE *out)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (!q->passes || q->swarm->agent_count == 0 || q->swarm->agents[0].capability_count == 0) continue;
        bool usual = strcmp(up->segment, APIARY_DEFAULT_SEGMENT) == 0;
        fprintf(out, "the configuration has no checks; to try one: apiary delegate %s%s%s%s 'some input'\n",
                usual ? "" : "-s ", usual ? "" : up->segment + 1, usual ? "" : " ", q->swarm->agents[0].capabilities[0]);
        return;
    }
}

static void print_text(const struct up *up, size_t passed, FILE *out)
{
    size_t swarms = up->d->swarm_count, processes = up->queen_count, passing = 0, drained = 0;
    for (size_t i = 0; i < up->queen_count; i++) {
        passing += up->queens[i]->passes && !up->queens[i]->drained;
        drained += up->queens[i]->drained;
    }
    if (up->rows.count > 0) {
        rows_print(&up->rows, out);
        fprintf(out, "%zu of %zu checks passed, ", passed, up->rows.count);
    }
    fprintf(out, "%zu swarm%s in %zu process%s", swarms, swarms == 1 ? "" : "s", processes, processes == 1 ? "" : "es");
    if (passing < processes || up->rows.count == 0) fprintf(out, ", %zu of them passing", passing);
    if (drained > 0) fprintf(out, ", %zu drained", drained);
    if (up->rows.count > 0 && up->rows.unchecked > 0)
        fprintf(out, "; %zu capabilit%s no check", up->rows.unchecked, up->rows.unchecked == 1 ? "y has" : "ies have");
    fputc('\n', out);
    if (up->rows.count == 0) print_how_to_try(up, out);
}

static json_t *queens_json(const struct up *up)
{
    json_t *list = json_array();
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:b, s:b, s:i, s:o, s:o}", "service", q->swarm->service,
                                              "pid", (int)q->child->pid, "passing", q->passes, "drained", q->drained, "starts",
                                              (int)q->child->starts, "ended", tool_json_text(q->child->why), "waits_for",
                                              q->waits != NULL ? tool_json_text(q->waits) : json_null()));
    }
    return list;
}

/* TOOL_OK when all passed. The results may wait for their reader; the crew does not. */
static int run_checks(struct up *up)
{
    char *text = NULL;
    size_t size = 0;
    rows_collect(up->d, &up->rows);
    size_t passed = rows_run(&up->rows, up->a, up->crew);
    queens_look(up);
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) return tool_fail(up->t, TOOL_FAILED, "out of memory");
    int whole = TOOL_OK;
    if (up->t->json) {
        whole = tool_json_write(json_pack("{s:s, s:i, s:i, s:i, s:o, s:o}", "segment", up->segment, "swarms",
                                          (int)up->d->swarm_count, "rows", (int)up->rows.count, "passed", (int)passed,
                                          "instances", queens_json(up), "checks", rows_json(&up->rows)),
                                out);
    } else {
        print_text(up, passed, out);
    }
    if (fclose(out) != 0 || whole != TOOL_OK) {
        free(text);
        return tool_fail(up->t, TOOL_FAILED, "out of memory");
    }
    crew_result(up->crew, text, size);
    free(text);
    while (up->once && ap_writer_results() && crew_interrupts(up->crew) == 0)
        crew_turn(up->crew, TURN);
    int rc = crew_results_code(up->crew);
    if (rc == TOOL_OK && passed < up->rows.count) rc = TOOL_FAILED;
    rows_free(&up->rows); /* they are of a configuration that a reload ends */
    return rc;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void say_stopping(struct up *up)
{
    bool asked = crew_interrupts(up->crew) > 0;
    uint32_t queued = 0, running = 0;
    if (up->a != NULL) view_open_tasks(up->a->seg, &queued, &running);
    crew_say(up->crew, "apiary: up: %s%s%sstopping %zu instance%s; %u task%s running, %u queued",
             asked ? "SIG" : "", asked ? crew_interrupt(up->crew) : "", asked ? ": " : "",
             up->queen_count, up->queen_count == 1 ? "" : "s", running, running == 1 ? " is" : "s are", queued);
}

/* Removes or leaves the segment (fd; -1: none was used), and says so in `text`. `others` are attached to it besides this
 * process. */
static void leave_segment(struct up *up, int fd, uint32_t others, char *text, size_t size)
{
    int rc;
    if (fd < 0) {
        *text = '\0';
    } else if (others > 0) {
        snprintf(text, size, "; %s stays, %u other member%s attached", up->segment, others,
                 others == 1 ? " is" : "s are");
    } else if (!up->owned) {
        snprintf(text, size, "; %s stays, it was there before; 'apiary segment rm' removes it", up->segment);
    } else if ((rc = ap_segment_remove_own(fd, up->segment)) > 0) {
        snprintf(text, size, "; %s is removed", up->segment);
    } else if (rc == 0) {
        snprintf(text, size, "; %s had been removed meanwhile", up->segment);
    } else {
        ap_format(text, size, "; %s cannot be removed (%s) and stays", up->segment, apiary_strerror(rc));
    }
}

static void up_stop(struct up *up)
{
    crew_status(up->crew, NULL);
    bool used = up->a != NULL;
    uint64_t from = ap_ops_system.now();
    if (up->queen_count > 0) say_stopping(up);
    unsigned killed = order_stop(up, up->drain + UINT64_C(2000000000));
    uint32_t others = 0, queued = 0, running = 0;
    int fd = -1;
    if (used) {
        fd = ap_fd_duplicate(apiary_segment_fd(up->a));
        others = view_members(up->a->seg, 0, up->a->member);
        view_open_tasks(up->a->seg, &queued, &running);
        if (up->daemon != NULL && up->daemon->pid != 0 && others > 0) others--;
    }
    if (used) ap_supervised_end(up->a->seg, up->a->anchor->lane.index);
    apiary_detach(up->a);
    up->a = NULL;
    crew_stop(up->crew, 0, up->first_queen, DAEMON_GRACE, NULL, NULL);
    char killed_text[48] = "", left[64] = "", segment[256], took[32];
    if (killed > 0) snprintf(killed_text, sizeof killed_text, ", %u had to be killed", killed);
    if (queued + running > 0) {
        snprintf(left, sizeof left, "; %u task%s undone", queued + running, queued + running == 1 ? " is" : "s are");
    }
    leave_segment(up, fd, others, segment, sizeof segment);
    if (fd >= 0) close(fd);
    if (up->queen_count > 0) {
        crew_say(up->crew, "apiary: up: stopped %zu instance%s in %s%s%s%s", up->queen_count,
                 up->queen_count == 1 ? "" : "s", tool_format_duration(ap_ops_system.now() - from, took), killed_text,
                 left, segment);
    }
}

static void tell_ready(struct up *up)
{
    if (!up->ready) up->ready = tool_notify("READY=1");
}

static int up_run(struct up *up)
{
    int64_t other = 0;
    int rc = look_around(up, &other);
    if (rc == TOOL_OK) rc = add_daemon(up);
    up->first_queen = crew_count(up->crew);
    if (rc == TOOL_OK && other == 0) rc = start_daemon(up);
    bool started = rc == TOOL_OK;
    if (started) {
        if (!up->once) up->control = control_open(up->crew, up->a, up->segment);
        queens_add(up);
        rc = queens_wait(up);
    }
    /* A service that does not come up: the others do their work, and a manager that waited for it would end them. */
    bool go_on = started && crew_interrupts(up->crew) == 0 && (rc == TOOL_OK || (!up->once && other == 0));
    if (go_on && other != 0) {
        rc = take_over(up, (pid_t)other);
        go_on = rc == TOOL_OK;
    }
    if (go_on) {
        tell_ready(up);
        page_say(up);
        rc = run_checks(up);
        if (!up->once && crew_interrupts(up->crew) == 0) {
            live_run(up);
            rc = TOOL_OK; /* left because it was asked to */
        }
    }
    control_close(up->control);
    tool_notify("STOPPING=1");
    if (rc != TOOL_OK && crew_interrupts(up->crew) > 0) {
        crew_say(up->crew, "apiary: up: interrupted before all checks were done");
        if (!up->once) rc = TOOL_OK; /* a supervisor that was told to stop has not failed */
    }
    up_stop(up);
    return rc;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static int open_up(struct up *up, const char *config, const char *phase)
{
    up->path = tool_config_path(config);
    if (up->path == NULL) return tool_fail(up->t, TOOL_CONFIG, "no configuration; name one with --config or APIARY_CONFIG");
    up->terminal = change_has_terminal();
    int rc = crew_open(&up->crew);
    if (rc < 0) return tool_fail(up->t, TOOL_FAILED, "up: cannot listen for signals: %s", strerror(-rc));
    rc = config_open(&up->config, up->t, up->path, phase, up->crew, &up->d);
    if (rc != TOOL_OK) return rc;
    if (up->d->swarm_count == 0)
        return tool_fail(up->t, TOOL_CONFIG, "up: %s names no swarms; there is nothing to start", up->path);
    const char *why = NULL;
    rc = tool_choose_segment(up->t, up->path, up->d->segment.name, &up->segment, &why);
    if (rc != TOOL_OK) return rc;
    crew_say(up->crew, "apiary: up: segment %s, %s", up->segment, why);
    crew_prepare(up->crew, queens_prepare, up);
    crew_watch(up->crew, queens_tell);
    return TOOL_OK;
}

static int check_config(const struct tool *t, const char *config, bool standard_input, const char *scales, const char *phase)
{
    struct ap_deployment *d = NULL;
    struct ap_config_error error = {.text = ""};
    const char *path = NULL;
    int rc = apiary_read_config(t, config, standard_input, NULL, &path, &d);
    int e = rc == TOOL_OK && scales != NULL ? config_scales_known(d, scales, &error) : 0;
    if (rc == TOOL_OK && e == 0 && scales != NULL) e = config_scale_judged(d, scales, &error);
    if (rc == TOOL_OK && e == 0 && phase != NULL) e = ap_deployment_select(d, phase, &error);
    if (e < 0) rc = tool_error(t, e, error.text, "configuration");
    ap_deployment_free(d);
    return rc;
}

int cmd_up(struct tool *t, int argc, char **argv)
{
    struct up up = {.t = t, .level = "warning", .began = ap_ops_system.realtime()};
    const char *config = NULL, *scales = NULL, *phase = NULL;
    const char *wait = "60s";
    const char *drain = "10s";
    bool verbose = false, check_only = false, standard_input = false;
    char word[CONFIG_WORD];
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, else /etc/apiary/apiary.yaml]", &config, NULL},
        {"once", '1', NULL, "stop everything after the checks; exit 0 only if all passed", NULL, &up.once},
        {"phase", 'p', "NAME|N", "start only the phases of the configuration up to this one, by name or number", &phase, NULL},
        {"wait", 'w', "TIME", "how long the swarms, of each phase, may take to pass [60s]", &wait, NULL},
        {"drain", 'd', "TIME", "how long they may take to finish their tasks at the end [10s]", &drain, NULL},
        {"replace", 'r', NULL, "take the place of the 'apiary up' that runs, once the own swarms pass", NULL, &up.replace},
        {"state", 0, "DIR", "apiaryd keeps events there, agents their files [$STATE_DIRECTORY, else $XDG_STATE_HOME/apiary, else "
                            "~/.local/state/apiary]", &up.state, NULL},
        {"check-config", 0, NULL, "judge the configuration and leave: 0 when it is right, 2 when not", NULL, &check_only},
        {"instances", 0, "LIST", "with --check-config: other numbers of instances or replicas than the text has: a=3,b=2,b/agent=2",
         &scales, NULL},
        {"stdin", 0, NULL, "with --check-config: the text is on standard input, FILE is its name", NULL, &standard_input},
        {"verbose", 'v', NULL, "show all log lines of the processes, not only warnings", NULL, &verbose},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (tool_duration(wait, &up.wait) != 0 || tool_duration(drain, &up.drain) != 0)
        return tool_usage_error(t, &usage, "--wait, --drain: a duration is written 250ms, 5s or 2m");
    if (scales != NULL && config_scales_wrong(scales, false, word))
        return tool_usage_error(t, &usage, "--instances: '%s' is not NAME=NUMBER; expected a list such as a=3,b=2,b/agent=2",
                                AP_SHOWN(word, 100));
    if (check_only) return check_config(t, config, standard_input, scales, phase);
    if (standard_input || scales != NULL) return tool_usage_error(t, &usage, "--stdin, --instances: they go with --check-config");
    if (verbose) up.level = "info";
    rc = tool_serve(t);
    if (rc == TOOL_OK) rc = open_up(&up, config, phase);
    if (rc == TOOL_OK) rc = up_run(&up);
    if (up.crew != NULL) crew_close(up.crew);
    rows_free(&up.rows);
    config_close(&up.config);
    queens_free(&up);
    former_free(&up);
    autoscale_close(&up);
    free(up.daemon_path);
    ap_deployment_free(up.d);
    ap_deployment_free(up.former_d);
    return tool_finish(t, rc);
}
