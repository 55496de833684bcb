/* A plug-in for the tests of the supervisor: whatever process loads it aborts. */
#include <apiary/agent.h>

#include <stdlib.h>

__attribute__((constructor)) static void loaded(void)
{
    abort();
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    return NULL;
}
