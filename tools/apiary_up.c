/* tools/apiary_up.c - apiary up: the supervisor of one machine.
 *
 * Starts the coordinator and every queen as processes of their own, waits until all swarms pass, runs the checks of the
 * configuration through the segment, and then either stops everything (--once) or shows what is going on until Ctrl-C.
 */
#include "tools/apiary_live.h"
#include "tools/apiary_rows.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TURN UINT64_C(20000000)
#define DAEMON_GRACE UINT64_C(5000000000)
#define GIVE_UP_AFTER 5 /* ends in a row of one process before everything passes */

static const struct tool_usage usage = {
    .command = "up",
    .arguments = "",
    .what = "Starts the coordinator and all swarms of a configuration as processes, and runs its checks through them.",
    .more = "Each check delegates one real task and compares the output with what the configuration expects; the table "
            "shows\n"
            "who served it and how long it took. Then it stays, restarts what ends, and shows what is going on until "
            "Ctrl-C;\n"
            "with --once it stops everything and exits 0 only if every check passed.",
    .json = true,
};

struct up {
    struct tool *t;
    struct ap_deployment *d;
    const char *path, *segment, *level;
    struct crew *crew;
    apiary_t *a;
    struct check_rows rows;
    char *daemon_path;
    bool once, owned; /* owned: the segment is to be removed at the end */
    uint64_t wait, drain;
};

/* ---- processes ------------------------------------------------------------------------------------------------ */

static char **arguments(const char *const *list)
{
    size_t n = 0;
    while (list[n] != NULL)
        n++;
    char **ret = tool_alloc((n + 1) * sizeof *ret);
    for (size_t i = 0; i < n; i++)
        ret[i] = tool_strdup(list[i]);
    return ret;
}

/* apiaryd beside this program, else ../sbin, else as found by its name. */
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

static void add_queens(struct up *up)
{
    char drain[32];
    snprintf(drain, sizeof drain, "%lluns", (unsigned long long)up->drain);
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        for (uint32_t k = 0; k < s->instances; k++) {
            char instance[16];
            char *label = tool_format("%s/%u", s->service, k);
            snprintf(instance, sizeof instance, "%u", k);
            crew_add(up->crew, label, "/proc/self/exe",
                     arguments((const char *const[]){"apiary", "queen", s->service, "--instance", instance, "--config",
                                                     up->path, "--segment", up->segment, "--drain", drain,
                                                     "--log-level", up->level, NULL}),
                     s->restart);
            free(label);
        }
    }
}

static apiary_t *try_attach(const char *segment, bool read_only)
{
    apiary_t *a = NULL;
    apiary_attach_options_t options = {.name = "up", .kind = APIARY_TOOL, .read_only = read_only};
    return apiary_attach(segment, &options, &a) == 0 ? a : NULL;
}

/* A segment that is not there yet, or in which nobody lives, is ours to remove. */
static bool is_abandoned(const char *segment)
{
    apiary_t *a = NULL;
    apiary_attach_options_t options = {.kind = APIARY_TOOL, .read_only = 1};
    int rc = apiary_attach(segment, &options, &a);
    bool ret = rc == APIARY_ENOSEG || (rc == 0 && view_members(a->seg, 0, UINT32_MAX) == 0);
    if (rc == 0) apiary_detach(a);
    return ret;
}

/* Turns until `done`; TOOL_OK, or why not. */
static int wait_until(struct up *up, bool (*done)(struct up *), int (*hopeless)(struct up *))
{
    uint64_t until = ap_ops_system.now() + up->wait;
    while (!done(up)) {
        int rc = hopeless(up);
        if (rc != TOOL_OK) return rc;
        if (crew_interrupts(up->crew) > 0) return TOOL_FAILED;
        if (ap_ops_system.now() >= until) return TOOL_TIMEOUT;
        crew_turn(up->crew, TURN);
    }
    return TOOL_OK;
}

/* ---- the coordinator ------------------------------------------------------------------------------------------ */

static bool daemon_ready(struct up *up)
{
    if (up->a == NULL) up->a = try_attach(up->segment, false);
    const struct crew_child *child = crew_at(up->crew, 0);
    return up->a != NULL && child->pid != 0 && view_daemon(up->a->seg) == child->pid;
}

static int daemon_hopeless(struct up *up)
{
    const struct crew_child *child = crew_at(up->crew, 0);
    return child->last_exit < 0 ? TOOL_OK : child->last_exit == 0 ? TOOL_FAILED : child->last_exit;
}

static int start_daemon(struct up *up)
{
    up->daemon_path = find_daemon();
    if (up->daemon_path == NULL) return tool_fail(up->t, TOOL_CANNOT, "up: there is no apiaryd beside this program");
    up->owned = is_abandoned(up->segment);
    crew_add(up->crew, "apiaryd", up->daemon_path,
             arguments((const char *const[]){"apiaryd", "--config", up->path, "--segment", up->segment, "--log-level",
                                             up->level, NULL}),
             false);
    int rc = wait_until(up, daemon_ready, daemon_hopeless);
    crew_at(up->crew, 0)->restart = true; /* from now on; one that cannot even start does not heal by being repeated */
    if (rc == TOOL_OK) return rc;
    if (daemon_hopeless(up) != TOOL_OK) up->owned = false; /* it did not come to use it */
    if (crew_interrupts(up->crew) == 0)
        crew_say(up->crew, "apiary: up: the coordinator did not start; its messages are above");
    return rc;
}

/* ---- the swarms ----------------------------------------------------------------------------------------------- */

static bool instance_passes(const struct up *up, const char *service, uint32_t instance)
{
    apiary_swarm_status_t *rows = NULL;
    char name[16];
    snprintf(name, sizeof name, "%u", instance);
    int n = view_status(up->a, service, &rows);
    bool passes = false;
    for (int i = 0; i < n && !passes; i++)
        passes = strcmp(rows[i].instance, name) == 0 && rows[i].state == APIARY_PASSING;
    free(rows);
    return passes;
}

static bool all_pass(struct up *up)
{
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        for (uint32_t k = 0; k < up->d->swarms[i].instances; k++) {
            if (!instance_passes(up, up->d->swarms[i].service, k)) return false;
        }
    }
    return true;
}

static int queen_hopeless(struct up *up)
{
    for (size_t i = 0; i < crew_count(up->crew); i++) {
        const struct crew_child *child = crew_at(up->crew, i);
        if (!child->wanted) return child->last_exit > 0 && child->last_exit < 128 ? child->last_exit : TOOL_FAILED;
        if (child->ends >= GIVE_UP_AFTER) return TOOL_FAILED;
    }
    return TOOL_OK;
}

static void say_missing(struct up *up)
{
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        for (uint32_t k = 0; k < s->instances; k++) {
            if (!instance_passes(up, s->service, k))
                crew_say(up->crew,
                         "apiary: up: %s/%u does not pass; its messages are above, or run 'apiary queen %s -c %s'",
                         s->service, k, s->service, up->path);
        }
    }
}

static int start_queens(struct up *up)
{
    add_queens(up);
    int rc = wait_until(up, all_pass, queen_hopeless);
    if (rc != TOOL_OK && crew_interrupts(up->crew) == 0) say_missing(up);
    return rc;
}

/* ---- checks, and what comes after them ------------------------------------------------------------------------ */

static int run_checks(struct up *up)
{
    rows_collect(up->d, &up->rows);
    size_t passed = rows_run(&up->rows, up->a, up->crew);
    if (up->t->json) {
        int rc = tool_json_print(json_pack("{s:s, s:i, s:i, s:i, s:o}", "segment", up->segment, "swarms",
                                           (int)up->d->swarm_count, "rows", (int)up->rows.count, "passed", (int)passed,
                                           "checks", rows_json(&up->rows)));
        if (rc != TOOL_OK) return rc;
    } else {
        rows_print(&up->rows, stdout);
        size_t swarms = up->d->swarm_count, processes = crew_count(up->crew) - 1;
        printf("%zu of %zu checks passed, %zu swarm%s in %zu process%s\n", passed, up->rows.count, swarms,
               swarms == 1 ? "" : "s", processes, processes == 1 ? "" : "es");
    }
    fflush(stdout);
    return passed == up->rows.count ? TOOL_OK : TOOL_FAILED;
}

static void stop(struct up *up)
{
    crew_status(up->crew, NULL);
    unsigned killed = crew_stop(up->crew, 1, crew_count(up->crew), up->drain + UINT64_C(2000000000));
    if (killed > 0) crew_say(up->crew, "apiary: up: %u process%s had to be killed", killed, killed == 1 ? "" : "es");
    uint32_t others = up->a != NULL ? view_members(up->a->seg, 0, up->a->member) : 0;
    const struct crew_child *daemon = crew_at(up->crew, 0);
    if (daemon != NULL && daemon->pid != 0 && others > 0) others--;
    apiary_detach(up->a);
    up->a = NULL;
    crew_stop(up->crew, 0, 1, DAEMON_GRACE);
    if (!up->owned) return;
    if (others > 0) {
        crew_say(up->crew, "apiary: up: %s stays, %u other member%s attached; 'apiary segment rm' removes it",
                 up->segment, others, others == 1 ? " is" : "s are");
    } else {
        ap_segment_remove(up->segment);
    }
}

static int run(struct up *up)
{
    int rc = start_daemon(up);
    if (rc == TOOL_OK) rc = start_queens(up);
    if (rc == TOOL_OK) {
        tool_notify("READY=1");
        rc = run_checks(up);
        if (!up->once && crew_interrupts(up->crew) == 0) {
            live_run(up->a, up->crew, crew_count(up->crew) - 1);
            rc = TOOL_OK; /* left because it was asked to */
        }
    }
    tool_notify("STOPPING=1");
    if (rc != TOOL_OK && crew_interrupts(up->crew) > 0) {
        crew_say(up->crew, "apiary: up: interrupted before all checks were done");
        if (!up->once) rc = TOOL_OK; /* a supervisor that was told to stop has not failed */
    }
    stop(up);
    return rc;
}

static int open_up(struct up *up, const char *config)
{
    int rc = apiary_load_config(up->t, config, &up->path, &up->d);
    if (rc != TOOL_OK) return rc;
    up->segment = tool_segment(up->t, up->d->registry.segment.name);
    signal(SIGPIPE, SIG_IGN); /* all swarms would go down with whoever read our lines */
    rc = crew_open(&up->crew);
    if (rc < 0) return tool_fail(up->t, TOOL_FAILED, "up: cannot listen for signals: %s", strerror(-rc));
    return TOOL_OK;
}

int cmd_up(struct tool *t, int argc, char **argv)
{
    struct up up = {.t = t, .level = "warning"};
    const char *config = NULL;
    const char *wait = "60s";
    const char *drain = "10s";
    bool verbose = false;
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, else /etc/apiary/apiary.yaml]", &config, NULL},
        {"once", '1', NULL, "stop everything after the checks; exit 0 only if all passed", NULL, &up.once},
        {"wait", 'w', "TIME", "how long the swarms may take to pass [60s]", &wait, NULL},
        {"drain", 'd', "TIME", "how long they may take to finish their tasks at the end [10s]", &drain, NULL},
        {"verbose", 'v', NULL, "show all log lines of the processes, not only warnings", NULL, &verbose},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (tool_duration(wait, &up.wait) != 0 || tool_duration(drain, &up.drain) != 0)
        return tool_usage_error(t, &usage, "--wait, --drain: a duration is written 250ms, 5s or 2m");
    if (verbose) up.level = "info";
    rc = open_up(&up, config);
    if (rc == TOOL_OK) rc = run(&up);
    if (up.crew != NULL) crew_close(up.crew);
    rows_free(&up.rows);
    free(up.daemon_path);
    ap_deployment_free(up.d);
    return tool_finish(t, rc);
}
