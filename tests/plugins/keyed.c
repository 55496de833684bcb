/* A plug-in with a key that it needs, for the tests of configurations. */
#include <apiary/agent.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    (void)state, (void)job; /* its configuration is read, it is never run */
}

static const apiary_agent_key_t keys[] = {
    {"limit", 'z', 1, "how much it may keep", 1024, 1 << 30},
    {.name = NULL},
};

static const apiary_agent_kind_t kind = {
    APIARY_AGENT_KIND,
    .name = "keyed",
    .what = "needs a limit",
    .keys = keys,
    .create = create,
    .handle = handle,
};

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    return &kind;
}
