/* A plug-in agent for the tests that does what an agent should not, as the body says: "twice" answers two times, "threads" lets
 * two threads and itself answer, "stuck" never comes back, "close" closes descriptors that are not its own, "abort" does, "exec"
 * makes another program of its process, "end" ends its thread, "exit" its process, "fault" and "recurse" touch memory that is not
 * there, "keep" is never answered, "vanish" ends its thread by the bare system call. It has nothing to create. */
#include <apiary/agent.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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

static volatile unsigned deep;

/* Until the stack ends. */
static unsigned recurse(unsigned depth)
{
    volatile unsigned here[256];

    here[depth % 256] = deep = depth;
    if (depth == UINT32_MAX) return 0;
    return recurse(depth + 1) + here[depth % 256];
}

static bool is(const char *body, size_t size, const char *what)
{
    return size == strlen(what) && memcmp(body, what, size) == 0;
}

static void handle(void *state, apiary_job_t *job)
{
    static int *volatile nowhere;
    size_t size;
    const char *body = apiary_job_data(job, &size);

    (void)state;
    if (is(body, size, "keep")) return;
    if (is(body, size, "stuck"))
        for (;;) pause();
    if (size >= 5 && memcmp(body, "abort", 5) == 0) abort();
    if (is(body, size, "fault")) *nowhere = 1;
    if (is(body, size, "recurse")) recurse(0);
    if (is(body, size, "exit")) exit(0);
    if (is(body, size, "end")) pthread_exit(NULL);
    if (is(body, size, "vanish")) syscall(SYS_exit, 0);
    if (is(body, size, "exec")) execl("/bin/sleep", "sleep", "1d", (char *)NULL);
    if (is(body, size, "close"))
        for (int fd = 3; fd < 200; fd++) close(fd);
    if (is(body, size, "threads")) answer_in_threads(job);
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
