/* A plug-in agent for the tests of turns: each task takes a millisecond, and is answered with its number among the agent's. */
#include <apiary/agent.h>

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static int create(apiary_agent_t *agent, void **state)
{
    (void)agent;
    *state = calloc(1, sizeof(uint64_t));
    return *state != NULL ? 0 : APIARY_ENOBLOCK;
}

static void destroy(void *state)
{
    free(state);
}

static void handle(void *state, apiary_job_t *job)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    uint64_t *number = state;

    nanosleep(&ms, NULL); /* LINT: that is its work */
    ++*number;
    apiary_job_reply(job, number, sizeof *number);
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "ticker", .what = "numbers its tasks", .create = create,
                                             .handle = handle, .destroy = destroy};
    return &kind;
}
