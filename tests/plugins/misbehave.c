/* A plug-in agent for the tests that does what an agent should not, as the body says: "twice" answers two times, "threads" lets
 * two threads and itself answer, "stuck" never comes back, "close" closes descriptors that are not its own, "abort" does, "exec"
 * makes another program of its process, "end" ends its thread. It has nothing to create. */
#include <apiary/agent.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *answer(void *job)
{
    apiary_job_finish_from_thread(job, 0, "once", 4);
    return NULL;
}

static void answer_in_threads(apiary_job_t *job)
{
    pthread_t threads[2];
    int count = 0;

    while (count < 2 && pthread_create(&threads[count], NULL, answer, job) == 0) count++;
    while (count > 0) pthread_join(threads[--count], NULL);
}

static void handle(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    if (size == 5 && memcmp(body, "stuck", 5) == 0)
        for (;;) pause();
    if (size == 5 && memcmp(body, "abort", 5) == 0) abort();
    if (size == 3 && memcmp(body, "end", 3) == 0) pthread_exit(NULL);
    if (size == 4 && memcmp(body, "exec", 4) == 0) execl("/bin/sleep", "sleep", "1d", (char *)NULL);
    if (size == 5 && memcmp(body, "close", 5) == 0)
        for (int fd = 3; fd < 200; fd++) close(fd);
    if (size == 7 && memcmp(body, "threads", 7) == 0) answer_in_threads(job);
    apiary_job_reply(job, "once", 4);
    apiary_job_reply(job, "again", 5);
    apiary_job_fail(job, 1, "again");
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND,
                                             .name = "misbehave",
                                             .what = "does what an agent should not",
                                             .handle = handle};
    return &kind;
}
