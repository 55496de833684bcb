/* A plug-in agent for the tests of the supervisor: it is made once the file of its configuration is there. */
#include <apiary/agent.h>

#include <unistd.h>

static int create(apiary_agent_t *agent, void **state)
{
    while (access(apiary_agent_text(agent, "file", ""), F_OK) != 0) usleep(20000); // LINT: waits for the test
    *state = agent;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    (void)state;
    apiary_job_reply(job, "late", 4);
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"file", 's', 1, "what it waits for", 0, 0}, {.name = NULL}};
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND,
                                             .name = "late_create",
                                             .what = "is made late",
                                             .keys = keys,
                                             .create = create,
                                             .handle = handle};
    return &kind;
}
