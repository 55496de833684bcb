/* tools/apiary/broadcast.c - apiary delegate --all: a task for each provider, and a line for each answer or failure. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLICE UINT64_C(100000000)

/* All tasks under way, one for each provider; those that have ended leave `open`. */
struct broadcast {
    const struct tool *t;
    apiary_provider_t *providers;
    apiary_task_t *tasks, *open;
    int *errors;
    size_t count, waiting, *of; /* of[i]: the provider of open[i] */
    uint64_t from;
    bool failed;
};

/* The text of an agent takes one line, whatever it is. */
static void broadcast_print(const apiary_provider_t *p, const apiary_result_t *result, int error)
{
    char *text = result != NULL && (error == 0 || error == APIARY_EAGENT) ? tool_printable(result->data, result->size) : NULL;
    if (text != NULL && error == APIARY_EAGENT)
        printf("%s/%s %s: FAILED: its code %u: %s\n", p->service, p->instance, p->agent, result->agent_code, text);
    else if (error != 0) printf("%s/%s %s: FAILED: %s\n", p->service, p->instance, p->agent, apiary_strerror(error));
    else printf("%s/%s %s: %s\n", p->service, p->instance, p->agent, text);
    free(text);
}

/* One line for each provider, whenever it is known. */
static void broadcast_json(const struct broadcast *b, size_t i, const apiary_result_t *result, int error)
{
    const apiary_provider_t *p = &b->providers[i];
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I}", "schema", TOOL_JSON_SCHEMA, "service", p->service, "instance",
                          p->instance, "agent", p->agent, "pid", (json_int_t)p->pid, "provider", (json_int_t)p->provider);
    char id[48];
    json_object_set_new(o, "task", b->errors[i] == 0 ? json_string(tool_format_task(b->tasks[i], id)) : json_null());
    if (result != NULL) {
        result_set_end(o, result);
        json_object_set_new(o, "size", json_integer((json_int_t)result->size));
        result_set_data(o, result);
    } else {
        json_object_set_new(o, "ok", json_false());
        json_object_set_new(o, "error", json_string(apiary_error_name(error)));
    }
    json_object_set_new(o, "latency_ns", json_integer((json_int_t)(ap_ops_system.now() - b->from)));
    char *line = json_dumps(o, JSON_COMPACT);
    printf("%s\n", line != NULL ? line : "{}");
    free(line);
    json_decref(o);
}

static void broadcast_tell(struct broadcast *b, size_t i, const apiary_result_t *result, int error)
{
    b->failed |= error != 0;
    if (b->t->json) broadcast_json(b, i, result, error);
    else broadcast_print(&b->providers[i], result, error);
    fflush(stdout);
}

/* 0, or an error that ends the wait. */
static int broadcast_wait(struct broadcast *b, apiary_t *a, const volatile sig_atomic_t *interrupted)
{
    bool told = false;
    while (b->waiting > 0 && *interrupted < 2) {
        apiary_result_t result = {.struct_size = sizeof result};
        int at = apiary_await_any(a, b->open, b->waiting, SLICE, &result);
        for (size_t i = 0; *interrupted > 0 && !told && i < b->waiting; i++) apiary_cancel(a, b->open[i]);
        told |= *interrupted > 0;
        if (at == APIARY_ENOTREADY) continue;
        if (at < 0) return at;
        broadcast_tell(b, b->of[at], &result, result.code);
        if (result.data != NULL) apiary_release(a, &result);
        b->waiting--;
        b->open[at] = b->open[b->waiting];
        b->of[at] = b->of[b->waiting];
    }
    return 0;
}

static void broadcast_room(struct broadcast *b, size_t count)
{
    b->count = count;
    b->providers = tool_realloc(b->providers, count * sizeof *b->providers);
    memset(b->providers, 0, count * sizeof *b->providers);
    b->providers[0].struct_size = sizeof *b->providers;
    b->tasks = tool_realloc(b->tasks, count * sizeof *b->tasks);
    b->open = tool_realloc(b->open, count * sizeof *b->open);
    b->errors = tool_realloc(b->errors, count * sizeof *b->errors);
    b->of = tool_realloc(b->of, count * sizeof *b->of);
}

int broadcast_run(const struct tool *t, apiary_t *a, const char *capability, const apiary_delegate_options_t *options,
                  const char *bytes, size_t size, const volatile sig_atomic_t *interrupted)
{
    struct broadcast b = {.t = t, .from = ap_ops_system.now()};
    int count = 1, rc = 0;
    do {
        broadcast_room(&b, (size_t)count);
        count = apiary_delegate_all(a, capability, bytes, size, options, b.providers, b.tasks, b.errors, b.count);
    } while (count > 0 && (size_t)count > b.count);
    for (int i = 0; i < count; i++) {
        if (b.errors[i] < 0) {
            broadcast_tell(&b, (size_t)i, NULL, b.errors[i]);
            continue;
        }
        b.open[b.waiting] = b.tasks[i];
        b.of[b.waiting++] = (size_t)i;
    }
    if (count > 0) rc = broadcast_wait(&b, a, interrupted);
    if (count <= 0) rc = tool_error(t, count < 0 ? count : APIARY_ENOPROVIDER, NULL, "%s", capability);
    else if (rc < 0) rc = tool_error(t, rc, NULL, "%s", capability);
    else rc = b.failed || b.waiting > 0 ? TOOL_FAILED : TOOL_OK;
    free(b.providers);
    free(b.tasks);
    free(b.open);
    free(b.errors);
    free(b.of);
    return rc;
}
