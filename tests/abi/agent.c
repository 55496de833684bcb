/* A plug-in as it was built for a release: process.abi compiles it with that release's headers. It answers with its greeting and
 * the request; "fail" fails, "later" is answered by a timer. */
#include <apiary/agent.h>

#include <stdio.h>
#include <string.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    apiary_agent_log(agent, 6, "%s of %s", apiary_agent_name(agent), apiary_agent_service(agent));
    return apiary_agent_limit(agent, 8);
}

static void answer_later(void *user, uint32_t events)
{
    apiary_job_t *job = user;
    (void)events;
    apiary_job_reply(job, "later", 5);
}

static void handle(void *state, apiary_job_t *job)
{
    const char *greeting = apiary_agent_text(state, "greeting", "");
    char answer[256];
    size_t size;
    const char *request = apiary_job_data(job, &size);

    if (size == 4 && memcmp(request, "fail", size) == 0) {
        apiary_job_fail(job, (uint32_t)apiary_agent_number(state, "code", 0), "failed as told");
    } else if (size == 5 && memcmp(request, "later", size) == 0) {
        if (apiary_watch_timer(state, 1000000, answer_later, job, NULL) < 0) apiary_job_fail(job, 1, "no timer");
    } else {
        int n = snprintf(answer, sizeof answer, "%s%.*s", greeting, (int)size, size > 0 ? request : "");
        apiary_job_reply(job, answer, (size_t)n);
    }
}

static void destroy(void *state)
{
    (void)state;
}

static const apiary_agent_key_t keys[] = {{.name = "greeting", .type = 's', .required = 1, .what = "put before the request"},
                                          {.name = "code", .type = 'i', .what = "of a failure", .min = 1, .max = 99},
                                          {.name = NULL}};
static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "abi", .what = "answers with the request", .keys = keys,
                                         .create = create, .handle = handle, .destroy = destroy};

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    return &kind;
}
