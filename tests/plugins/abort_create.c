/* A plug-in agent for the tests of the supervisor: its process aborts as soon as the agent is made. */
#include <apiary/agent.h>

#include <stdlib.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    abort();
}

static void handle(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_fail(job, 1, "it was not to come so far");
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND,
                                             .name = "abort_create",
                                             .what = "aborts when it is made",
                                             .create = create,
                                             .handle = handle};
    return &kind;
}
