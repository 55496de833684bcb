/* A plug-in agent for the tests, whose handler may not come back: the body says what it does. */
#include <apiary/agent.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    if (size == 4 && memcmp(body, "exec", 4) == 0) execlp("sleep", "sleep", "3000", (char *)NULL);
    if (size == 4 && memcmp(body, "exit", 4) == 0) pthread_exit(NULL);
    if (size == 5 && memcmp(body, "reply", 5) == 0) {
        apiary_job_reply(job, body, size);
        pthread_exit(NULL);
    }
    apiary_job_reply(job, body, size);
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {
        APIARY_AGENT_KIND, .name = "leaver", .what = "leaves in the middle of a task", .create = create, .handle = handle};
    return &kind;
}
