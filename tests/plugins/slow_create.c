/* A plug-in agent for the tests of the supervisor: its process aborts when the agent is made, unless there is the file
 * $APIARY_TEST_ABORTED, which it leaves. Then the agent is made once the file has gone. */
#include <apiary/agent.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int create(apiary_agent_t *agent, void **state)
{
    const char *aborted = getenv("APIARY_TEST_ABORTED");

    if (aborted == NULL || open(aborted, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0) abort();
    while (access(aborted, F_OK) == 0) usleep(20000); // LINT: waits for the test
    *state = agent;
    return 0;
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
                                             .name = "slow_create",
                                             .what = "aborts when it is made, and then is made slowly",
                                             .create = create,
                                             .handle = handle};
    return &kind;
}
