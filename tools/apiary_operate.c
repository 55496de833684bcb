/* tools/apiary_operate.c - apiary drain, resume, check: what an operator and a monitoring system ask for. */
#include "tools/apiary.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shm/event.h"

#define LOOK_EVERY 20 /* ms */

/* ---- the operator's mode -------------------------------------------------------------------------------------- */

struct target {
    const char *service, *instance; /* instance NULL: all */
};

static bool matches(const struct swarm_view *v, const struct target *target)
{
    return strcmp(v->service, target->service) == 0 &&
           (target->instance == NULL || strcmp(v->instance, target->instance) == 0);
}

/* Sets the mode of all living instances; how many there were. */
static uint32_t set_mode(struct ap_segment *seg, const struct target *target, uint32_t mode, const char *reason)
{
    uint32_t n = 0;
    struct swarm_view v;
    for (uint32_t i = 0; ap_swarm_at(seg, i) != NULL; i++) {
        if (!view_swarm(seg, i, &v) || !v.alive || !matches(&v, target)) continue;
        struct ap_swarm *s = ap_swarm_at(seg, i);
        ap_text_store(s->reason, reason, sizeof s->reason);
        ap_store_release(&s->mode, mode); /* MODE-R1: a hint to routers and tools, which need no order with it */
        ap_event_log(seg, AP_EVENT_SWARM_MODE, AP_NO_LANE, i, mode);
        n++;
    }
    return n;
}

/* What the registry's record can hold. */
#define REASON_MAX (sizeof((struct ap_swarm *)0)->reason - 1)
static bool is_reason(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] > '~') return false;
    }
    return size <= REASON_MAX;
}

/* Tasks queued and running at the target, by the task table, which is the truth. */
static uint32_t tasks_left(const struct ap_segment *seg, const struct target *target)
{
    uint32_t n = 0;
    struct task_view task;
    struct agent_view agent;
    for (uint32_t slot = 0; slot < seg->geometry.tasks; slot++) {
        const struct ap_slot *s = ap_slot_at(seg, slot);
        uint32_t state = AP_WORD_STATE(ap_load_relaxed(&s->word));
        if (state != AP_TASK_QUEUED && state != AP_TASK_RUNNING) continue;
        if (!view_task(seg, slot, &task)) continue;
        if (view_agent(seg, task.queue, &agent) && agent.swarm.alive && matches(&agent.swarm, target)) n++;
    }
    return n;
}

static const struct tool_usage drain_usage = {
    .command = "drain",
    .arguments = "SERVICE",
    .what = "Routes no new tasks to the instances of SERVICE and waits until they have none.",
    .more = "The queens go on running; 'apiary resume SERVICE' routes tasks to them again.",
    .least = 1,
    .most = 1,
};

/* Twice empty, since a sender that chose this swarm just before may still be on its way. */
static int wait_empty(const struct tool *t, const struct ap_segment *seg, const struct target *target, uint64_t timeout)
{
    uint64_t until = ap_ops_system.now() + timeout;
    int empty = 0;
    for (;;) {
        uint32_t left = tasks_left(seg, target);
        empty = left == 0 ? empty + 1 : 0;
        if (empty == 2) return TOOL_OK;
        if (ap_ops_system.now() >= until)
            return tool_fail(
                t, TOOL_TIMEOUT,
                "drain %s: %u tasks are left after the timeout; it stays in drain, wait with the same command again",
                target->service, left);
        poll(NULL, 0, LOOK_EVERY);
    }
}

static int no_target(const struct tool *t, const char *command, const struct target *target)
{
    return tool_fail(t, TOOL_NO_PROVIDER, "%s: no instance%s%s of '%s' is alive; 'apiary status' shows them", command,
                     target->instance != NULL ? " " : "", target->instance != NULL ? target->instance : "",
                     target->service);
}

int cmd_drain(struct tool *t, int argc, char **argv)
{
    struct target target = {.instance = NULL};
    const char *reason = "";
    const char *text = "60s";
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &target.instance, NULL},
        {"reason", 'r', "TEXT", "why; shown by 'apiary status'", &reason, NULL},
        {"timeout", 't', "TIME", "how long to wait for the tasks [60s]", &text, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &drain_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    uint64_t timeout = 0;
    if (tool_duration(text, &timeout) != 0)
        return tool_usage_error(t, &drain_usage, "--timeout: '%s' is no duration; write 250ms, 5s or 2m", text);
    if (!is_reason(reason))
        return tool_usage_error(t, &drain_usage, "--reason: at most %zu printable ASCII characters", REASON_MAX);
    target.service = argv[0];
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    uint32_t n = set_mode(a->seg, &target, APIARY_DRAIN, reason);
    rc = n == 0 ? no_target(t, "drain", &target) : wait_empty(t, a->seg, &target, timeout);
    if (rc == TOOL_OK) printf("%s: %u instance%s drained\n", target.service, n, n == 1 ? "" : "s");
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_resume(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "resume",
        .arguments = "SERVICE",
        .what = "Routes tasks to the instances of SERVICE again.",
        .least = 1,
        .most = 1,
    };
    struct target target = {.instance = NULL};
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &target.instance, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    target.service = argv[0];
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    uint32_t n = set_mode(a->seg, &target, APIARY_READY, "");
    if (n == 0) {
        rc = no_target(t, "resume", &target);
    } else {
        printf("%s: %u instance%s ready\n", target.service, n, n == 1 ? "" : "s");
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- check ---------------------------------------------------------------------------------------------------- */

enum judgement { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN }; /* exit codes of monitoring plug-ins */

static const struct tool_usage check_usage = {
    .command = "check",
    .arguments = "[SERVICE]",
    .what = "Judges the swarms in one line, as plug-ins of monitoring systems do.",
    .more =
        "Exit codes: 0 all instances pass, 1 warning (an instance is not ready, or down while another one of its\n"
        "service passes, or there is no coordinator, or the task table or the largest payload blocks are used up),\n"
        "2 critical (a service has no passing instance, or there is no segment), 3 unknown (usage, or a service that was\n"
        "never registered).",
    .most = 1,
};

static int verdict(enum judgement j, const char *text, const char *figures)
{
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    printf("APIARY %s: %s%s%s\n", names[j], text, *figures != '\0' ? " | " : "", figures);
    return (int)j;
}

static bool service_passes(const apiary_swarm_status_t *rows, int n, const char *service)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(rows[i].service, service) == 0 && rows[i].state == APIARY_PASSING) return true;
    }
    return false;
}

static void complain(char *text, size_t size, const apiary_swarm_status_t *s)
{
    size_t used = strlen(text);
    char *service = tool_printable(s->service, strlen(s->service));
    char age[32], beat[64] = "";
    if (s->state != APIARY_DOWN && s->beat_age >= BEAT_LATE)
        snprintf(beat, sizeof beat, " (no beat for %s)", tool_format_duration(s->beat_age, age));
    snprintf(text + used, size - used, "%s%s/%s %s%s%s%s", used > 0 ? ", " : "", service, s->instance,
             tool_state_name((int)s->state), s->mode != APIARY_READY ? " in " : "",
             s->mode != APIARY_READY ? tool_mode_name((int)s->mode) : "", beat);
    free(service);
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    if (used > 0) used += (size_t)snprintf(text + used, size - used, ", ");
    va_list list;
    va_start(list, format);
    if (used < size) vsnprintf(text + used, size - used, format, list);
    va_end(list);
}

/* The segment itself: what makes every delegation fail while each swarm passes. Returns whether there is something. */
static bool complain_of_segment(char *text, size_t size, const struct ap_segment *seg, const struct usage_view *u)
{
    bool daemon = view_daemon(seg) != 0, room = u->slabs_leased < u->slabs, blocks = u->largest_free > 0;
    char block[32];
    if (!daemon) append(text, size, "no coordinator");
    if (!room)
        append(text, size, "no room for another thread in the task table (%u of %u tasks in use)", u->tasks_used, u->tasks);
    if (u->largest_blocks > 0 && !blocks)
        append(text, size, "no free payload block of %s", tool_format_bytes(u->largest, block));
    if ((!room || !blocks) && u->holder_pid != 0)
        append(text, size, "%u results are not collected, %u of them by pid %" PRId64, u->results, u->holder_results,
               u->holder_pid);
    return !daemon || !room || (u->largest_blocks > 0 && !blocks);
}

static int judge(const apiary_t *a, const apiary_swarm_status_t *rows, int n)
{
    enum judgement worst = CHECK_OK;
    char text[1024] = "";
    char figures[256];
    uint64_t queued = 0, running = 0, failed = 0;
    int passing = 0;
    for (int i = 0; i < n; i++) {
        queued += rows[i].queued;
        running += rows[i].running;
        failed += rows[i].failed;
        bool passes = rows[i].state == APIARY_PASSING;
        passing += passes;
        if (passes && rows[i].mode == APIARY_READY) continue;
        enum judgement j = service_passes(rows, n, rows[i].service) ? CHECK_WARNING : CHECK_CRITICAL;
        if (rows[i].state == APIARY_WARNING || rows[i].state == APIARY_STARTING) j = CHECK_WARNING;
        if (j > worst) worst = j;
        complain(text, sizeof text, &rows[i]);
    }
    struct usage_view usage;
    view_usage(a->seg, &usage);
    if (complain_of_segment(text, sizeof text, a->seg, &usage) && worst == CHECK_OK) worst = CHECK_WARNING;
    snprintf(figures, sizeof figures,
             "instances=%d passing=%d queued=%" PRIu64 " running=%" PRIu64 " failed=%" PRIu64 "c tasks=%u;;;0;%u", n,
             passing, queued, running, failed, usage.tasks_used, usage.tasks);
    if (*text == '\0') snprintf(text, sizeof text, "%d instance%s passing", passing, passing == 1 ? "" : "s");
    return verdict(worst, text, figures);
}

int cmd_check(struct tool *t, int argc, char **argv)
{
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &check_usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc == TOOL_USAGE ? (int)CHECK_UNKNOWN : rc;
    char message[256] = "";
    apiary_attach_options_t options = {
        .kind = APIARY_TOOL, .read_only = 1, .message = message, .message_size = sizeof message};
    apiary_t *a = NULL;
    rc = apiary_attach(tool_segment(t, NULL), &options, &a);
    if (rc < 0) return verdict(CHECK_CRITICAL, *message != '\0' ? message : apiary_strerror(rc), "");
    apiary_swarm_status_t rows[256];
    int capacity = (int)(sizeof rows / sizeof *rows);
    int n = apiary_swarm_status(a, argc > 0 ? argv[0] : NULL, rows, (size_t)capacity);
    if (n < 0) {
        rc = verdict(CHECK_UNKNOWN, apiary_strerror(n), "");
    } else if (n == 0) {
        rc = argc > 0 ? verdict(CHECK_UNKNOWN, "no swarm of this service was ever registered", "")
                      : verdict(CHECK_CRITICAL, "no swarm is registered", "");
    } else {
        rc = judge(a, rows, n < capacity ? n : capacity);
    }
    apiary_detach(a);
    return fflush(stdout) == 0 ? rc : (int)CHECK_UNKNOWN;
}
