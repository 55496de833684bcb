/* tools/apiary/delegate.c - apiary delegate: one task from the command line. */
#include "tools/apiary/apiary.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/name.h"
#include "registry/client/hedge.h"

#define SLICE UINT64_C(100000000) /* how often an interrupt is looked for */

static const struct tool_usage usage = {
    .command = "delegate",
    .arguments = "CAPABILITY [DATA | @FILE | -]",
    .what = "Runs one task by an agent that offers CAPABILITY and prints its result.",
    .more =
        "The request is DATA, the contents of FILE, or standard input; without it, it is empty. An interrupt cancels\n"
        "the task, a second one stops waiting for it. With --detach the task's id is printed at once, and its result is\n"
        "dropped.",
    .least = 1,
    .most = 2,
    .json = true,
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = interrupted + 1;
}

/* Reads one byte more than a segment can carry at most, so that what is too large is refused by the library. */
static int read_all(const struct tool *t, int fd, const char *name, size_t most, struct tool_body *ret)
{
    size_t capacity = 65536;
    ret->bytes = tool_alloc(capacity);
    for (;;) {
        ssize_t got = read(fd, ret->bytes + ret->size, capacity - ret->size);
        if (got < 0 && errno == EINTR && !interrupted) continue;
        if (got < 0 && errno == EBADF) return tool_fail(t, TOOL_FAILED, "%s is closed", name);
        if (got < 0) return tool_fail(t, TOOL_FAILED, "%s: %m", name);
        ret->size += (size_t)got;
        if (got == 0 || ret->size > most) return TOOL_OK;
        if (ret->size == capacity) {
            capacity *= 2;
            ret->bytes = tool_realloc(ret->bytes, capacity);
        }
    }
}

int tool_read_body(const struct tool *t, const char *argument, size_t most, struct tool_body *ret)
{
    if (argument == NULL) return TOOL_OK;
    if (strcmp(argument, "-") == 0) return read_all(t, STDIN_FILENO, "standard input", most, ret);
    if (*argument != '@') {
        ret->bytes = tool_strdup(argument);
        ret->size = strlen(argument);
        return TOOL_OK;
    }
    int fd = open(argument + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return tool_fail(t, TOOL_USAGE, "%s: %m", argument + 1);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return tool_fail(t, TOOL_USAGE, "%s: it is a folder; name a file", argument + 1);
    }
    int rc = read_all(t, fd, argument + 1, most, ret);
    close(fd);
    return rc;
}

static char *base64(const unsigned char *p, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *ret = tool_alloc((size + 2) / 3 * 4 + 1);
    char *to = ret;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)p[i] << 16;
        if (i + 1 < size) three |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < size) three |= p[i + 2];
        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = i + 1 < size ? digits[three >> 6 & 63] : '=';
        *to++ = i + 2 < size ? digits[three & 63] : '=';
    }
    *to = '\0';
    return ret;
}

/* One that ended before there was a result. */
static int print_failure(const struct tool *t, const char *capability, int error)
{
    const char *advice = apiary_advice(error);
    int rc;
    if (!t->json) return tool_error(t, error, NULL, "%s", capability);
    char *message = tool_format("%s%s%s", apiary_strerror(error), *advice != '\0' ? "; " : "", advice);
    rc = tool_json_print(json_pack("{s:n, s:s, s:b, s:s, s:s}", "task", "capability", capability, "ok", 0, "error",
                                   apiary_error_name(error), "message", message));
    free(message);
    return rc != TOOL_OK ? rc : tool_exit_code(error);
}

/* One that was refused, and so has no task. */
static int print_refused(const struct tool *t, apiary_t *a, const char *capability, int error)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    if (apiary_refusal(a, &refusal) < 0 || refusal.error != error) return print_failure(t, capability, error);
    if (!t->json) return tool_error(t, error, refusal.message, "%s", capability);
    json_t *o = json_pack("{s:n, s:s, s:b, s:s, s:s}", "task", "capability", capability, "ok", 0, "error",
                          apiary_error_name(error), "message", refusal.message);
    json_object_set_new(o, "retry_after_ns",
                        refusal.retry_after != 0 ? json_integer((json_int_t)refusal.retry_after) : json_null());
    int rc = tool_json_print(o);
    return rc != TOOL_OK ? rc : tool_exit_code(error);
}

/* Text goes in as text, anything else in base64. */
void result_set_data(json_t *o, const apiary_result_t *result)
{
    json_t *text = memchr(result->data != NULL ? result->data : "", '\0', result->size) == NULL
                       ? json_stringn(result->data != NULL ? result->data : "", result->size)
                       : NULL;
    if (text != NULL) {
        json_object_set_new(o, "data", text);
        return;
    }
    char *coded = base64(result->data, result->size);
    json_object_set_new(o, "data_base64", json_string(coded));
    free(coded);
}

/* Why a task that failed was not tried again. */
static const char *const untried[] = {"no_policy", "used_up", "refused", "budget", "deadline", "unwanted"};

void result_set_end(json_t *o, const apiary_result_t *result)
{
    json_object_set_new(o, "ok", json_boolean(result->code == 0));
    json_object_set_new(o, "error", result->code == 0 ? json_null() : json_string(apiary_error_name(result->code)));
    json_object_set_new(o, "agent_code", json_integer(result->agent_code));
    json_object_set_new(o, "attempts", json_integer(result->attempts));
    json_object_set_new(o, "untried", result->untried != 0 ? json_string(untried[result->untried]) : json_null());
}

struct call {
    const char *capability;
    apiary_delegate_options_t options;
};

static int delegate_print_json(apiary_t *a, const struct call *call, const apiary_result_t *result, uint64_t took)
{
    char id[48];
    struct task_view view;
    struct agent_view agent;
    json_t *o = json_object();
    json_object_set_new(o, "task", json_string(tool_format_task(result->task, id)));
    json_object_set_new(o, "capability", json_string(call->capability));
    result_set_end(o, result);
    json_object_set_new(o, "latency_ns", json_integer((json_int_t)took));
    if (view_task(a->seg, ap_hedge_answered(a, result->task).slot, &view) && view_agent(a->seg, view.queue, &agent))
        json_object_set_new(o, "served_by",
                            json_pack("{s:o, s:o, s:o, s:I}", "service", tool_json_text(agent.swarm.service),
                                      "instance", tool_json_text(agent.swarm.instance), "agent",
                                      tool_json_text(agent.name), "pid", (json_int_t)agent.swarm.pid));
    json_object_set_new(o, "parts", json_integer(result->parts));
    json_object_set_new(o, "size", json_integer((json_int_t)result->size));
    result_set_data(o, result);
    return tool_json_print(o);
}

int result_print(const struct tool *t, const char *of, const apiary_result_t *result)
{
    if (result->code == 0) {
        fwrite(result->data, 1, result->size, stdout);
        bool ended = result->size == 0 || ((const char *)result->data)[result->size - 1] == '\n';
        if (!ended && isatty(STDOUT_FILENO) == 1) putchar('\n');
        return TOOL_OK;
    }
    if (result->code != APIARY_EAGENT || result->size == 0)
        return tool_error(t, result->code, NULL, "%s", of);
    char *text = tool_printable(result->data, result->size);
    int rc = tool_fail(t, tool_exit_code(result->code), "%s: the agent failed the task (its code %u): %s",
                       of, result->agent_code, text);
    free(text);
    return rc;
}

struct waiting {
    apiary_t *a;
    apiary_task_t task;
    bool told; /* the task, to stop */
};

/* An interrupt cancels the task, a second one stops waiting for it. */
static bool delegate_gives_up(void *user)
{
    struct waiting *w = user;
    if (interrupted && !w->told) {
        apiary_cancel(w->a, w->task);
        w->told = true;
    }
    return interrupted >= 1 + w->told;
}

static int delegate_wait_for(const struct tool *t, const struct call *call, struct waiting *w, apiary_result_t *result)
{
    uint32_t attempt = 0;
    int rc = (call->options.flags & APIARY_PARTS) != 0 ? parts_read(t, w->a, w->task, delegate_gives_up, w, &attempt) : 0;
    if (rc < 0) return rc;
    do rc = apiary_await(w->a, w->task, SLICE, result);
    while (rc == APIARY_ENOTREADY && !delegate_gives_up(w));
    if (rc == 0 && result->code == 0 && attempt != 0 && attempt != result->attempts && !t->json)
        tool_warn(t, "attempt %u has the result; what was printed before it is void", result->attempts);
    return rc;
}

static int delegate_run(const struct tool *t, apiary_t *a, const struct call *call, const struct tool_body *body)
{
        apiary_task_t task;
    uint64_t from = ap_ops_system.now();
    int rc = apiary_delegate(a, call->capability, body->bytes, body->size, &call->options, &task);
    if (rc < 0) return print_refused(t, a, call->capability, rc);
    if ((call->options.flags & APIARY_DETACH) != 0) {
        char id[48];
        tool_format_task(task, id);
        if (!t->json) return printf("%s\n", id) < 0 ? TOOL_FAILED : TOOL_OK;
        return tool_json_print(json_pack("{s:s, s:s}", "task", id, "capability", call->capability));
    }
    apiary_result_t result = {.struct_size = sizeof result};
    struct waiting waiting = {.a = a, .task = task};
    rc = delegate_wait_for(t, call, &waiting, &result);
    if (rc == APIARY_ENOTREADY || rc == APIARY_EINTERRUPTED)
        return tool_fail(t, TOOL_FAILED, "%s: interrupted; the task was told to stop and is no longer awaited", call->capability);
    if (rc < 0) return print_failure(t, call->capability, rc);
    uint64_t took = ap_ops_system.now() - from;
    if (t->json) {
        int printed = delegate_print_json(a, call, &result, took);
        rc = printed != TOOL_OK ? printed : tool_exit_code(result.code);
    } else {
        rc = result_print(t, call->capability, &result);
    }
    apiary_release(a, &result);
    return rc;
}

int cmd_delegate(struct tool *t, int argc, char **argv)
{
    const char *timeout = NULL, *from = NULL;
    struct call call = {.options = {.struct_size = sizeof call.options}};
    struct tool_carried carried = {.hops = NULL};
    bool detach = false, wait = false, parts = false, only = false, once = false, all = false, probe = false;
    const struct tool_option options[] = {
        {"timeout", 't', "TIME", "give the task up after TIME (250ms, 5s, 2m) [the segment's task_timeout]", &timeout,
         NULL},
        {"detach", 'd', NULL, "print the task's id and do not wait", NULL, &detach},
        {"all", 'a', NULL, "to each provider, and print a line for each; failures are named", NULL, &all},
        {"from", 'f', "SERVICE", "call for SERVICE, as a process of it [for none]", &from, NULL},
        {"parts", 0, NULL, "print parts of the result as they come", NULL, &parts},
        {"wait-for-provider", 'w', NULL, "wait for a provider where none is there, until the deadline", NULL, &wait},
        {"probe", 0, NULL, "ask whether an agent goes on, past all that waits, and run nothing", NULL, &probe},
        {"no-fallback", 0, NULL, "refuse it where there is no provider, and use no fallback", NULL, &only},
        {"no-hedge", 0, NULL, "send no second copy, whatever the capability declares", NULL, &once},
#define AP_CARRIED(field, type, option, argument, what) {option, 0, argument, what, &carried.field, NULL},
#include "registry/client/carried.def"
#undef AP_CARRIED
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    call.capability = argv[0];
    if (!ap_capability_valid(argv[0])) return tool_usage_error(t, &usage, "'%s' is not a capability name", argv[0]);
    if (timeout != NULL && tool_duration(timeout, &call.options.timeout) != 0)
        return tool_usage_error(t, &usage, "--timeout: '%s' is not a duration above 0; write 250ms, 5s or 2m", timeout);
    rc = tool_carried_read(t, &usage, &carried, &call.options);
    if (rc != TOOL_GO_ON) return rc;
    if (detach) call.options.flags |= APIARY_DETACH;
    else if (call.options.keep != 0)
        return tool_usage_error(t, &usage, "--keep goes with --detach: without it the result is printed here");
    if (from != NULL && !ap_name_valid(from, APIARY_NAME_MAX))
        return tool_usage_error(t, &usage, "--from: '%s' is not the name of a service", from);
    if (parts && detach) return tool_usage_error(t, &usage, "--parts and --detach: nobody would read them");
    if (parts) call.options.flags |= APIARY_PARTS;
    if (all && (detach || parts || (call.options.provider | call.options.hedge | call.options.dedup_key) != 0))
        return tool_usage_error(t, &usage, "--all does not go with --%s",
                                detach ? "detach" : parts ? "parts" : call.options.hedge != 0 ? "hedge" :
                                call.options.provider != 0 ? "provider" : "dedup-key");
    if (call.options.dedup_key != 0 && (parts || (call.options.provider | call.options.hedge) != 0))
        return tool_usage_error(t, &usage, "--dedup-key does not go with --%s",
                                parts ? "parts" : call.options.hedge != 0 ? "hedge" : "provider");
    if (wait) call.options.flags |= APIARY_WAIT_FOR_PROVIDER;
    if (probe && (detach || parts || wait || argc > 1))
        return tool_usage_error(t, &usage, "--probe does not go with %s", detach ? "--detach" : parts ? "--parts" : wait ?
                                "--wait-for-provider" : "data: nothing is run");
    if (probe) call.options.flags |= APIARY_PROBE;
    if (only) call.options.flags |= APIARY_NO_FALLBACK;
    if (once && call.options.hedge != 0) return tool_usage_error(t, &usage, "--hedge and --no-hedge: one of both");
    if (once) call.options.flags |= APIARY_NO_HEDGE;
    apiary_t *a = NULL;
    rc = tool_attach_for(t, tool_segment(t, NULL), from, &a);
    if (rc != TOOL_OK) return rc;
    struct sigaction act = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    struct tool_body body = {.bytes = NULL};
    rc = tool_read_body(t, argc > 1 ? argv[1] : NULL, ap_pool_max(a->seg), &body);
    if (rc == TOOL_OK && all) rc = broadcast_run(t, a, call.capability, &call.options, body.bytes, body.size, &interrupted);
    else if (rc == TOOL_OK) rc = delegate_run(t, a, &call, &body);
    free(body.bytes);
    apiary_detach(a);
    return tool_finish(t, rc);
}
