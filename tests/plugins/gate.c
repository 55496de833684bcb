/* A plug-in agent for the tests: its worker stands still in each task until somebody opens the FIFO of its
 * configuration for writing; what is written there is the result. */
#include <apiary/agent.h>

#include <fcntl.h>
#include <unistd.h>

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    char text[256];
    int fd = open(apiary_agent_text(state, "fifo", ""), O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    if (got < 0) {
        apiary_job_fail(job, 7, "the gate is broken");
    } else {
        apiary_job_reply(job, text, (size_t)got);
    }
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"fifo", 's', 1, "the gate", 0, 0}, {.name = NULL}};
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND,
                                             .name = "gate",
                                             .what = "stands still until it is opened",
                                             .keys = keys,
                                             .create = create,
                                             .handle = handle};
    return &kind;
}
