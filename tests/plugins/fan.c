/* A plug-in agent for the tests of what agents delegate: a task "N MS" has N tasks delegated at once, each with so many ms of
 * time (0: the default), and is answered when all of them have ended: how many did so well, how many were not in time, and whether
 * they were begun in the order in which they were asked for. */
#include <apiary/agent.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fan {
    apiary_job_t *job;
    int open, done, late, failed, refused, last, misplaced;
};

static int create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void answer(struct fan *f)
{
    char text[128];
    int n = snprintf(text, sizeof text, "done %d, late %d, failed %d, refused %d, misplaced %d", f->done, f->late,
                     f->failed, f->refused, f->misplaced);

    apiary_job_reply(f->job, text, (size_t)n);
    free(f);
}

/* What comes back is the number that the task was given. */
static void ended(void *user, const apiary_result_t *result)
{
    struct fan *f = user;
    char text[16] = "";

    if (result->code == 0) {
        int at;

        memcpy(text, result->data, result->size < sizeof text ? result->size : sizeof text - 1);
        at = atoi(text);
        if (at < f->last) f->misplaced++;
        f->last = at;
        f->done++;
    } else if (result->code == APIARY_ETIMEDOUT || result->code == APIARY_EBACKLOG) {
        f->late++;
    } else {
        f->failed++;
    }
    if (--f->open == 0) answer(f);
}

static void handle(void *state, apiary_job_t *job)
{
    struct fan *f = calloc(1, sizeof *f);
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    size_t size;
    const char *data = apiary_job_data(job, &size);
    char text[32] = "", *end;
    long count;

    memcpy(text, data, size < sizeof text ? size : sizeof text - 1);
    count = strtol(text, &end, 10);
    o.timeout = strtoull(end, NULL, 10) * 1000000;
    f->job = job;
    f->open = 1;
    for (long i = 0; i < count; i++) {
        int n = snprintf(text, sizeof text, "%ld", i);

        if (apiary_agent_delegate_external_task(state, "work", text, (size_t)n, &o, ended, f) < 0) f->refused++;
        else f->open++;
    }
    if (--f->open == 0) answer(f);
}

APIARY_API const apiary_agent_kind_t *apiary_agent_plugin(void);
const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "fan", .what = "has many tasks delegated", .create = create,
                                             .handle = handle};
    return &kind;
}
