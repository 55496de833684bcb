/* A plug-in that was built for another agent interface. */
#include <apiary/agent.h>

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {.struct_size = sizeof kind, .abi = APIARY_AGENT_ABI + 1,
                                             .key_size = sizeof(apiary_agent_key_t), .name = "other_abi"};
    return &kind;
}
