/* echo_agent.c - a plug-in agent: answers with the request, behind a greeting of its configuration.
 * cc -shared -fPIC echo_agent.c -o echo_agent.so $(pkg-config --cflags apiary), then in the configuration:
 *   - {name: echo, plugin: echo_agent.so, capabilities: [echo], config: {greeting: "you said: "}} */
#include <apiary/agent.h>
#include <string.h>

static int echo_agent_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    apiary_agent_log(agent, 6, "greets with \"%s\"", apiary_agent_text(agent, "greeting", ""));
    return 0;
}

static void echo_agent_handle(void *state, apiary_job_t *job)
{
    const char *greeting = apiary_agent_text(state, "greeting", "");
    size_t size, before = strlen(greeting);
    const void *request = apiary_job_data(job, &size);
    void *answer = NULL, *own = NULL;
    if (apiary_job_reserve(job, before + size, &answer) < 0) /* no free block: it goes over the request */
        answer = own = apiary_agent_alloc(state, before + size);
    if (answer == NULL) {
        apiary_job_fail(job, 1, "no memory for %zu bytes", before + size);
        return;
    }
    memcpy(answer, greeting, before);
    if (size > 0) memcpy((char *)answer + before, request, size);
    apiary_job_reply(job, answer, before + size);
    apiary_agent_free(state, own);
}

static const apiary_agent_key_t keys[] = {{.name = "greeting", .type = 's', .what = "put before the request"}, {.name = NULL}};
static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "echo", .what = "answers with the request",
                                         .keys = keys, .create = echo_agent_create, .handle = echo_agent_handle};

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    return &kind;
}
