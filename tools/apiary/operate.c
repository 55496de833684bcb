/* tools/apiary/operate.c - apiary drain, pause, resume, weight: what an operator asks for. */
#include "tools/apiary/apiary.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tools/operate/operate.h"

#define LOOK_EVERY 20 /* ms */

/* ---- the operator's mode -------------------------------------------------------------------------------------- */

static bool is_reason(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] > '~') return false;
    }
    return size <= AP_REASON_MAX;
}

static const struct tool_usage drain_usage = {
    .command = "drain",
    .arguments = "SERVICE",
    .what = "Routes no new tasks to the instances of SERVICE and waits until they have none.",
    .more = "The queens go on running; 'apiary resume SERVICE' routes tasks to them again. Until then an instance stays in\n"
            "drain, also when its queen, or everything, is started again.",
    .least = 1,
    .most = 1,
};

/* Twice empty, since a sender that chose this swarm just before may still be on its way. */
static int wait_empty(const struct tool *t, const struct ap_segment *seg, const struct operate_target *target, uint64_t timeout)
{
    uint64_t until = ap_ops_system.now() + timeout;
    int empty = 0;
    for (;;) {
        uint32_t left = operate_left(seg, target);
        empty = left == 0 ? empty + 1 : 0;
        if (empty == 2) return TOOL_OK;
        if (ap_ops_system.now() >= until)
            return tool_fail(
                t, TOOL_TIMEOUT,
                "drain %s: %u task%s left after the timeout; it stays in drain, wait with the same command again",
                target->service, left, left == 1 ? " is" : "s are");
        poll(NULL, 0, LOOK_EVERY);
    }
}

static int no_target(const struct tool *t, const char *command, const struct operate_target *target)
{
    return tool_fail(t, TOOL_NO_PROVIDER, "%s: no instance%s%s of '%s' is registered; 'apiary status' shows them", command,
                     target->instance != NULL ? " " : "", target->instance != NULL ? target->instance : "",
                     target->service);
}

static void print_changed(const struct operate_target *target, struct operate_changed n, const char *what)
{
    char down[64] = "";
    if (n.down > 0)
        snprintf(down, sizeof down, " (%u of them down: for when %s)", n.down, n.down == 1 ? "it comes back" : "they come back");
    printf("%s: %u instance%s %s%s\n", target->service, n.instances, n.instances == 1 ? "" : "s", what, down);
}

int cmd_drain(struct tool *t, int argc, char **argv)
{
    struct operate_target target = {.instance = NULL};
    const char *reason = NULL;
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
        return tool_usage_error(t, &drain_usage, "--timeout: '%s' is not a duration above 0; write 250ms, 5s or 2m", text);
    if (reason != NULL && !is_reason(reason))
        return tool_usage_error(t, &drain_usage, "--reason: at most %u printable ASCII characters", AP_REASON_MAX);
    target.service = argv[0];
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    struct operate_changed n = operate_mode(a->seg, &target, APIARY_DRAIN, reason);
    rc = n.instances == 0 ? no_target(t, "drain", &target) : wait_empty(t, a->seg, &target, timeout);
    if (rc == TOOL_OK) print_changed(&target, n, "drained");
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* At once, without a wait. */
static int operate_set(struct tool *t, const char *command, const struct operate_target *target, enum apiary_mode mode,
                       const char *reason, const char *done)
{
    struct operate_changed n;
    apiary_t *a = NULL;
    int rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    n = operate_mode(a->seg, target, mode, reason);
    if (n.instances == 0) {
        rc = no_target(t, command, target);
    } else {
        print_changed(target, n, done);
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_pause(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "pause",
        .arguments = "SERVICE",
        .what = "Routes no new tasks to the instances of SERVICE until 'apiary resume SERVICE', with no wait for those they have.",
        .more = "It is a drain by another name, for one who means to resume soon: 'apiary status' tells which of both it is.",
        .least = 1,
        .most = 1,
    };
    struct operate_target target = {.instance = NULL};
    const char *reason = NULL;
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &target.instance, NULL},
        {"reason", 'r', "TEXT", "why; shown by 'apiary status'", &reason, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (reason != NULL && !is_reason(reason))
        return tool_usage_error(t, &usage, "--reason: at most %u printable ASCII characters", AP_REASON_MAX);
    target.service = argv[0];
    return operate_set(t, "pause", &target, APIARY_PAUSE, reason, "paused");
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
    struct operate_target target = {.instance = NULL};
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &target.instance, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    target.service = argv[0];
    return operate_set(t, "resume", &target, APIARY_READY, NULL, "ready");
}

/* ---- the operator's weight -------------------------------------------------------------------------------------- */

/* -1: as registered; -2: no weight. */
static int weight_read(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (strcmp(text, "default") == 0) return -1;
    return *text >= '0' && *text <= '9' && *end == '\0' && n <= AP_WEIGHT_MAX ? (int)n : -2;
}

int cmd_weight(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "weight",
        .arguments = "SERVICE N",
        .what = "Sets the share of the instances of SERVICE among the providers of their capabilities.",
        .more = "N is 0 to 1000, where 100 is usual: one with 200 gets twice as many tasks as one with 100, one with 0 gets tasks\n"
                "only when nobody else is there. It stays, also when the queen is started again, until it is set to 'default':\n"
                "then it is what the configuration says.",
        .least = 2,
        .most = 2,
    };
    struct operate_target target = {.instance = NULL};
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &target.instance, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    int weight = weight_read(argv[1]);
    if (weight < -1) return tool_usage_error(t, &usage, "'%s' is not a weight; write 0 to %u, or default", argv[1], AP_WEIGHT_MAX);
    target.service = argv[0];
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    struct operate_changed n = operate_weight(a->seg, &target, weight);
    if (n.instances == 0) rc = no_target(t, "weight", &target);
    else print_changed(&target, n, weight < 0 ? "with the configured weight" : "weighted");
    apiary_detach(a);
    return tool_finish(t, rc);
}
