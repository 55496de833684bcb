/* A plug-in agent for the tests of the supervisor: each task writes 20,000 lines to standard error. */
#include <apiary/agent.h>

#include <stdio.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    (void)state;
    for (int i = 0; i < 20000; i++)
        fprintf(stderr, "line %d of those that nobody asked for\n", i);
    apiary_job_reply(job, "said", 4);
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND,
                                             .name = "chatter",
                                             .what = "says too much",
                                             .create = create,
                                             .handle = handle};
    return &kind;
}
