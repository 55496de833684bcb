/* A plug-in agent for the tests of time: writes down when a task is run, and how often, in a file that outlives everybody.
 * The body is a struct timely; the file is an array of struct timely_row. A task fails as often as its body says, then it is
 * echoed. */
#include <apiary/agent.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "timely.h"

static struct timely_row *rows;
static uint64_t count;

static int create(apiary_agent_t *agent, void **state)
{
    const char *path = apiary_agent_text(agent, "file", NULL);
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct stat st;
    void *at;

    *state = agent;
    if (fd < 0 || fstat(fd, &st) < 0) return APIARY_ECONFIG;
    at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return APIARY_ENOBLOCK;
    rows = at;
    count = (uint64_t)st.st_size / sizeof *rows;
    return 0;
}

static void handle(void *state, apiary_job_t *job)
{
    struct timespec t;
    struct timely body;
    uint64_t now, none = 0;
    size_t size;
    const void *data = apiary_job_data(job, &size);

    (void)state;
    if (size < sizeof body) {
        apiary_job_reply(job, data, size);
        return;
    }
    memcpy(&body, data, sizeof body);
    clock_gettime(CLOCK_MONOTONIC, &t);
    now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    if (body.index < count) {
        struct timely_row *row = &rows[body.index];
        __atomic_compare_exchange_n(&row->first, &none, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        __atomic_fetch_add(&row->runs, 1, __ATOMIC_RELAXED);
        if (now < body.due) __atomic_fetch_add(&row->early, 1, __ATOMIC_RELAXED);
    }
    if (apiary_job_attempt(job) <= body.fails) apiary_job_fail(job, 7, "attempt %u", apiary_job_attempt(job));
    else apiary_job_reply(job, data, size);
}

const apiary_agent_kind_t *apiary_agent_plugin(void);
__attribute__((visibility("default"))) const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"file", 's', 0, "the book", 0, 0}, {.name = NULL}};
    static const apiary_agent_kind_t kind = {
        APIARY_AGENT_KIND,
        .name = "timely",
        .what = "writes down when a task is run",
        .keys = keys,
        .create = create,
        .handle = handle,
    };
    return &kind;
}
