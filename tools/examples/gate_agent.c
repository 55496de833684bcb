/* gate_agent.c - a plug-in agent that has the tasks of another capability first: it refuses some, changes others, passes them on.
 * cc -shared -fPIC gate_agent.c -o gate_agent.so $(pkg-config --cflags apiary), then in the configuration of one swarm:
 *   - {name: queen, plugin: gate_agent.so, capabilities: [orders.queen], config: {of: orders, limit: 64, stamp: "for "}}
 *   - {name: clerk, kind: exec, capabilities: [{name: orders, rules: [{via: orders.queen}]}], config: {command: [cat]}}
 * Callers ask for `orders`. Each task comes here as one of `orders.queen`; only what is delegated here for such a task reaches the
 * clerk, who is told the service that asked, and not this one. Deadline, cancellation and hops are those of the caller's task. */
#include <apiary/agent.h>
#include <stdio.h>
#include <string.h>

struct gate {
    const char *of, *stamp;
    size_t limit;
};

static int gate_agent_create(apiary_agent_t *agent, void **state)
{
    struct gate *g = apiary_agent_alloc(agent, sizeof *g);
    if (g == NULL) return APIARY_ENOBLOCK;
    g->of = apiary_agent_text(agent, "of", "");
    g->stamp = apiary_agent_text(agent, "stamp", "");
    g->limit = (size_t)apiary_agent_number(agent, "limit", 4096);
    *state = g;
    return 0;
}

/* The answer, or the failure, becomes that of the caller's task. */
static void passed(void *user, const apiary_result_t *result)
{
    apiary_job_t *job = user;
    if (result->code == 0) apiary_job_reply(job, result->data, result->size);
    else if (result->code == APIARY_EAGENT) apiary_job_fail_text(job, result->agent_code, result->data, result->size);
    else apiary_job_fail(job, 502, "not passed on: %s", apiary_strerror(result->code));
}

static void gate_agent_handle(void *state, apiary_job_t *job)
{
    const struct gate *g = state;
    size_t size;
    const void *request = apiary_job_data(job, &size);
    char body[4096 + 128];
    if (size > g->limit) {
        apiary_job_fail(job, 413, "%s orders %zu bytes; allowed: %zu", apiary_job_caller(job), size, g->limit);
        return;
    }
    int n = 0;
    if (*g->stamp != '\0') n = snprintf(body, 128, "%.60s%.60s: ", g->stamp, apiary_job_caller(job));
    if (size > 0) memcpy(body + n, request, size);
    int r = apiary_job_delegate(job, g->of, body, (size_t)n + size, NULL, passed, job);
    if (r < 0) apiary_job_fail(job, 502, "not passed on: %s", apiary_strerror(r));
}

static const apiary_agent_key_t keys[] = {
    {.name = "of", .type = 's', .required = 1, .what = "the capability that it is the gate of"},
    {.name = "stamp", .type = 's', .what = "put before each request, with the caller"},
    {.name = "limit", .type = 'i', .min = 0, .max = 4096, .what = "bytes that a request may have"},
    {.name = NULL}};
static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "gate", .what = "has the tasks of a capability first",
                                         .keys = keys, .create = gate_agent_create, .handle = gate_agent_handle};

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    return &kind;
}
