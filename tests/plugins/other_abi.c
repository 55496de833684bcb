/* A plug-in that was built for another agent interface. */
#include <apiary.h>

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {.abi = APIARY_AGENT_ABI + 1, .name = "other_abi"};
    return &kind;
}
