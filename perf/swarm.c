/* perf/swarm.c - segments and queens of the measurements: real processes, an agent that reads and returns. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "perf/perf.h"
#include "registry/client/client.h"

struct perf_control *perf_queen_control;

const char *perf_segment_name(unsigned n)
{
    static char names[4][64];
    char *name = names[n % 4];

    snprintf(name, sizeof names[0], "/apiary-perf-%d-%u", (int)getpid(), n);
    return name;
}

/* The segments' names, which this process' children must know: set before the fork. */
static char segment_names[4][64];

uint64_t perf_segment_make(unsigned n, const struct ap_geometry *geometry, uint32_t services, uint32_t capabilities)
{
    struct ap_segment_options options = {.name = segment_names[n % 4]};
    struct ap_segment *seg;
    char message[256] = "";
    uint64_t size;

    snprintf(segment_names[n % 4], sizeof segment_names[0], "%s", perf_segment_name(n));
    if (geometry != NULL) options.geometry = *geometry;
    AP_REGISTRY_NUMBER(&options.geometry, SERVICES) = services;
    AP_REGISTRY_NUMBER(&options.geometry, CAPABILITIES) = capabilities;
    if (ap_registry_create(&options, message, sizeof message, &seg) < 0) perf_die("%s", message);
    size = seg->size;
    ap_segment_unmap(seg);
    return size;
}

apiary_t *perf_attach(unsigned n, const char *swarm)
{
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o,
        .name = "apiary-perf", .swarm = swarm, .message = message, .message_size = sizeof message};
    apiary_t *a;

    if (apiary_attach(segment_names[n % 4], &o, &a) < 0) perf_die("%s", message);
    return a;
}

static void echo(void *state, apiary_job_t *job)
{
    size_t size;
    const void *body = apiary_job_data(job, &size);
    uint64_t number;

    (void)state;
    if (!perf_body_check(body, size, &number)) {
        ap_add_relaxed(&perf_queen_control->wrong, 1);
        apiary_job_fail(job, 1, "the body is not what was sent");
        return;
    }
    apiary_job_reply(job, body, size);
}

static int swarm_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

const apiary_agent_kind_t perf_echo_kind = {
    APIARY_AGENT_KIND, .name = "echo", .what = "reads and returns the request", .create = swarm_create, .handle = echo};

void perf_queen_serve(const struct perf_queen *q)
{
    static const char *const echo_only[] = {PERF_CAPABILITY, NULL};
    apiary_agent_description_t agents[64];
    unsigned workers = q->workers != 0 ? q->workers : 1, count = q->agents != 0 ? q->agents : 1;
    static char names[64][32];
    char message[256] = "";
    apiary_queen_t *running;
    apiary_t *a = perf_attach(q->segment, NULL);

    perf_queen_control = q->control;
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[0], "agent-%u", i);
        agents[i] = (apiary_agent_description_t){.name = names[i],
                                                 .worker = i % workers,
                                                 .kind = q->kind != NULL ? q->kind : &perf_echo_kind,
                                                 .capabilities = q->capabilities != NULL ? q->capabilities : echo_only};
    }
    if (apiary_queen_start(a,
                           &(apiary_swarm_description_t){APIARY_SWARM_DESCRIPTION, .service = q->service,
                                                         .version = "1",
                                                         .workers = workers,
                                                         .instance = q->instance[0] != '\0' ? q->instance : NULL,
                                                         .agents = agents,
                                                         .agent_count = count},
                           message, sizeof message, &running) < 0)
        perf_die("%s: %s", q->service, message);
    perf_ready(q->control);
    for (;;)
        pause();
}

static void queen(void *arg)
{
    perf_queen_serve(arg);
}

void perf_queen_start(struct perf_queen *q, int processor)
{
    if (q->control == NULL) q->control = perf_shared(sizeof *q->control);
    ap_store_relaxed(&q->control->ready, 0);
    q->pid = perf_fork(processor, queen, q);
    perf_await_ready(q->control);
}
