/* tools/apiary/look.c - apiary status: what is there, read from the segment. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "core/uring.h"
#include "tools/view/index.h"

static const struct tool_option no_options[] = {{.name = NULL}};

/* ---- status --------------------------------------------------------------------------------------------------- */

static const struct tool_usage status_usage = {
    .command = "status",
    .arguments = "[SERVICE]",
    .what = "Shows each instance of a swarm: its process, its health, its tasks, and why it is down.",
    .most = 1,
    .json = true,
    .table = true,
};

static char state_mark(const apiary_swarm_status_t *s)
{
    return s->state == APIARY_PASSING ? '+' : s->state == APIARY_DOWN || s->state == APIARY_CRITICAL ? '!' : '~';
}

static void look_status_row(struct tool_table *table, struct view_index *x, const apiary_swarm_status_t *s)
{
    struct ap_supervised_view v;
    char restarts[16] = "-", pid[24], port[8], agents[16], queued[16], running[16], out[32], done[24], failed[24], up[32];
    snprintf(pid, sizeof pid, "%" PRId64, s->pid);
    snprintf(port, sizeof port, "%u", s->port);
    snprintf(agents, sizeof agents, "%u", s->agents);
    snprintf(queued, sizeof queued, "%u", s->queued);
    snprintf(running, sizeof running, "%u", s->running);
    snprintf(out, sizeof out, "%u/%u", s->delegations, s->max_delegations);
    snprintf(done, sizeof done, "%" PRIu64, s->done);
    snprintf(failed, sizeof failed, "%" PRIu64, s->failed);
    bool down = s->state == APIARY_DOWN;
    if (view_supervision_of(x, s->service, s->instance, &v)) snprintf(restarts, sizeof restarts, "%u", supervision_restarts(&v));
    tool_table_add(table, (const char *const[]){s->service, s->instance, tool_state_name((int)s->state),
                                                tool_mode_name((int)s->mode), down || s->pid == 0 ? "-" : pid,
                                                s->port != 0 ? port : "-", agents, queued, running, out, done, failed,
                                                s->uptime == 0 ? "-" : tool_format_duration(s->uptime, up), restarts});
    tool_table_mark(table, 2, state_mark(s));
}

/* Workers that have no ring to wait in sleep with a thread beside each, slower, which nothing else shows. */
static void print_park(enum ap_park park, const char *why, int sleep, int alive)
{
    if (sleep > 0)
        printf("workers: those of %d of %d instance%s sleep by %s: %s\n", sleep, alive, alive == 1 ? "" : "s", ap_park_name(park),
               why);
}

/* Why an instance is down: by accident, or because it was told to leave. */
static void print_end(struct view_index *x, const apiary_swarm_status_t *s)
{
    char text[32];
    uint64_t ago;
    enum swarm_end end = view_swarm_end(x, s->service, s->instance, &ago);
    if (end == SWARM_END_UNKNOWN) return;
    printf("%s/%s: %s%s%s%s\n", s->service, s->instance,
           end == SWARM_END_DIED ? "its queen died" : "it was told to stop, and left", ago > 0 ? " " : "",
           ago > 0 ? tool_format_duration(ago, text) : "", ago > 0 ? " ago" : "");
}

/* Its queen's word on her workers, and the coordinator's on its answers. */
static void print_found(const apiary_swarm_status_t *s)
{
    char age[32];
    if (s->stuck > 0)
        printf("%s/%s: a worker has not gone on for %s: it is within a long task, or stuck\n", s->service, s->instance,
               tool_format_duration(s->stuck, age));
    if (s->found[0] == '\0') return;
    char *shown = tool_printable(s->found, strlen(s->found));
    printf("%s/%s: its health check fails: %s\n", s->service, s->instance, shown);
    free(shown);
}

/* Prints the supervisor's reason. False: no supervisor lives, or there is no reason. */
static bool print_why(struct view_index *x, const apiary_swarm_status_t *s)
{
    struct ap_supervised_view v;
    char *why = view_supervision_seen(x, s, &v) ? supervision_text(&v) : NULL;
    bool told = why != NULL && v.supervised;
    if (why != NULL) printf("%s/%s: %s\n", s->service, s->instance, why);
    free(why);
    return told;
}

static int print_status(const struct tool *t, apiary_t *a, const apiary_swarm_status_t *rows, int n)
{
    struct view_index *x = view_index_take(a->seg);
    int64_t daemon = view_daemon(a->seg);
    uint32_t members = view_members(a->seg, 0, UINT32_MAX);
    struct usage_view usage;
    view_usage(a->seg, &usage);
    printf("segment %s, %u member%s, %u of %u tasks in use, ", tool_segment(t, NULL), members, members == 1 ? "" : "s",
           usage.tasks_used, usage.tasks);
    if (daemon != 0) {
        printf("coordinator pid %" PRId64 "\n", daemon);
    } else {
        printf("no coordinator\n");
    }
    struct tool_table *table =
        tool_table_new((const char *const[]){"service", "instance", "state", "mode", "?>pid", "?>port", "?>agents",
                                             ">queued", ">running", "?>delegating", ">done", ">failed", "?>up", "?>restarts",
                                             NULL});
    for (int i = 0; i < n; i++)
        look_status_row(table, x, &rows[i]);
    tool_table_print(table, stdout);
    int alive = 0, sleep[AP_PARK_POLL + 1] = {0};
    for (int i = 0; i < n; i++) {
        struct swarm_view record;
        char age[32];
        if (view_is_first(rows, i)) scaled_print(x, &rows[i]);
        if (rows[i].ejected > 0)
            printf("%s/%s: %u of %u agents passed over, because the tasks fail; see apiary route explain\n", rows[i].service,
                   rows[i].instance, rows[i].ejected, rows[i].agents);
        print_found(&rows[i]);
        if (rows[i].state != APIARY_DOWN && rows[i].beat_age >= BEAT_LATE)
            printf("%s/%s: no beat for %s: its process is stopped, or starved\n", rows[i].service, rows[i].instance,
                   tool_format_duration(rows[i].beat_age, age));
        if (!print_why(x, &rows[i]) && rows[i].state == APIARY_DOWN) print_end(x, &rows[i]);
        if (!view_record_of(x, rows[i].service, rows[i].instance, &record)) continue;
        alive += record.alive;
        sleep[record.park <= AP_PARK_POLL ? record.park : AP_PARK_ANY] += record.alive;
        const char *reason = view_reason(&record);
        if (*reason == '\0') continue;
        char *shown = tool_printable(reason, strlen(reason));
        printf("%s/%s: %s: %s\n", rows[i].service, rows[i].instance, tool_mode_name((int)rows[i].mode), shown);
        free(shown);
    }
    print_park(AP_PARK_PARKER, "io_uring does not wait for a futex here (Linux 6.7 does), or APIARY_PARK is set",
               sleep[AP_PARK_PARKER], alive);
    print_park(AP_PARK_POLL, "io_uring is forbidden or missing here, or APIARY_PARK is set", sleep[AP_PARK_POLL], alive);
    view_index_free(x);
    return TOOL_OK;
}

int cmd_status(struct tool *t, int argc, char **argv)
{
    int rc = tool_parse(t, &status_usage, no_options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(a, argc > 0 ? argv[0] : NULL, &rows);
    if (n < 0) {
        rc = tool_error(t, n, NULL, "status");
    } else if (n == 0 && argc > 0) {
        rc = tool_fail(t, TOOL_NO_PROVIDER,
                       "status: no swarm of a service '%s' was ever registered; 'apiary services' lists them", argv[0]);
    } else {
        rc = t->json ? tool_json_print(view_status_json(a, tool_segment(t, NULL), rows, n)) : print_status(t, a, rows, n);
    }
    free(rows);
    apiary_detach(a);
    return tool_finish(t, rc);
}
