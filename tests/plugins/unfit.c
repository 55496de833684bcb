/* A plug-in whose kind lacks what $APIARY_TEST_UNFIT names, for the tests of what is refused. */
#include <apiary/agent.h>

#include <stdlib.h>
#include <string.h>

static void handle(void *state, apiary_job_t *job)
{
    (void)state, (void)job; /* it is never run */
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static apiary_agent_kind_t kind;
    const char *lacks = getenv("APIARY_TEST_UNFIT");

    if (lacks == NULL) lacks = "";
    if (strcmp(lacks, "kind") == 0) return NULL;
    kind = (apiary_agent_kind_t){APIARY_AGENT_KIND, .name = "unfit", .what = "lacks something", .handle = handle};
    if (strcmp(lacks, "abi") == 0) kind.abi = APIARY_AGENT_ABI + 1;
    if (strcmp(lacks, "name") == 0) kind.name = NULL;
    if (strcmp(lacks, "letters") == 0) kind.name = "";
    if (strcmp(lacks, "handle") == 0) kind.handle = NULL;
    return &kind;
}
