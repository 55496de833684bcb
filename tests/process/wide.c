/* wide - a host with many services and without their processes: wide SEGMENT SERVICES
 * A segment is made that has room for so many services, and all of them register from this one process: each has an instance that a
 * supervisor runs, every tenth an agent, which four callers have called, in vain, too. Every fiftieth has left. "ready" is printed,
 * and all end with the input. Exit 1 with a line when something fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "registry/client/client.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/supervised.h"
#include "registry/monitor/tally.h"
#include "shm/times.h"

#define AGENTS 10u /* services for each that has one */
#define GONE 50u
#define CALLERS 4u

struct one {
    char service[24], capability[32];
    const char *capabilities[2];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
};

static void must(int r, const char *what)
{
    if (r >= 0) return;
    fprintf(stderr, "%s: %s\n", what, apiary_strerror(r));
    _exit(1);
}

static void make(const char *segment, unsigned services)
{
    struct ap_segment_options o = {.name = segment, .geometry = {.members = 32, .lanes = 64, .tasks = 1024,
                                                                 .queues = services / AGENTS + 1, .queue_depth = 16,
                                                                 .queue_inlets = 1, .member_share = 100, .events = 4096}};
    uint32_t capabilities = 64;
    struct ap_segment *seg;
    char message[256] = "";

    while (capabilities < services / AGENTS * 2) capabilities *= 2;
    AP_REGISTRY_NUMBER(&o.geometry, SERVICES) = AP_REGISTRY_NUMBER(&o.geometry, SWARMS) = services + CALLERS;
    AP_REGISTRY_NUMBER(&o.geometry, CAPABILITIES) = capabilities;
    AP_REGISTRY_NUMBER(&o.geometry, TALLIES) = 2 * services;
    must(ap_registry_create(&o, message, sizeof message, &seg), message);
    ap_segment_unmap(seg);
}

/* What workers would have counted. */
static void called(apiary_t *a, const struct one *s)
{
    struct ap_times *times = ap_times_at(a->seg, s->agent.queue);
    struct ap_queue *q = ap_queue_at(a->seg, s->agent.queue);
    struct ap_tally_name name = {.queue = s->agent.queue};
    struct ap_tally_row *row;

    name.capability = (uint32_t)ap_capability_find(a->seg, s->capability, strlen(s->capability));
    for (unsigned i = 0; i < CALLERS; i++) {
        name.kind = AP_TALLY_PAIR;
        name.code = 0;
        snprintf(name.caller, sizeof name.caller, "caller-%u", i);
        row = ap_tally_find(a->seg, &name, true);
        if (row == NULL) must(APIARY_ETABLEFULL, "a pair");
        row->counts[AP_TALLY_ENDED] = 25;
        row->counts[AP_TALLY_BAD] = i;
        row->counts[AP_TALLY_RAN] = 25000000;
    }
    memset(name.caller, 0, sizeof name.caller);
    name.kind = AP_TALLY_FAILED;
    name.code = APIARY_EAGENT;
    name.agent_code = 7;
    row = ap_tally_find(a->seg, &name, true);
    if (row == NULL) must(APIARY_ETABLEFULL, "a code");
    row->counts[AP_TALLY_ENDED] = 6;
    q->started = 100;
    q->done = 94;
    q->failed = 6;
    for (unsigned i = 0; i < 100; i++) {
        times->waited[1 + i % 40]++;
        times->ran[60 + i % 80]++;
    }
}

static void enrol(apiary_t *a, struct one *s, unsigned number)
{
    struct ap_supervision first = {.state = AP_CHILD_PASSING, .starts = 1, .pid = getpid()};
    uint32_t row, lane = a->anchor->lane.index;

    snprintf(s->service, sizeof s->service, "service-%u", number);
    snprintf(s->capability, sizeof s->capability, "area%u.capability-%u", number % 97, number / AGENTS);
    s->capabilities[0] = s->capability;
    s->agent = (struct ap_agent_registration){.name = "agent", .capabilities = s->capabilities, .lane = lane};
    s->swarm = (struct ap_swarm_registration){.service = s->service, .version = "1.0.0", .tags = "wide", .lane = lane,
                                              .member = a->member, .agents = &s->agent, .agent_count = number % AGENTS == 0};
    must(ap_swarm_register(a->seg, &s->swarm), s->service);
    ap_swarm_at(a->seg, s->swarm.swarm)->state = APIARY_PASSING;
    ap_swarm_at(a->seg, s->swarm.swarm)->beat = a->seg->ops->now() + UINT64_C(3600000000000); /* nobody beats here */
    if (number % AGENTS == 0) called(a, s);
    must(ap_supervised_take(a->seg, lane, getpid(), s->service, &first, &row), "a supervisor's row");
    if (number % GONE == GONE - 1) ap_swarm_deregister(a->seg, lane, &s->swarm);
}

int main(int argc, char **argv)
{
    unsigned services = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "wide", .kind = APIARY_QUEEN};
    struct one *all = calloc(services + 1, sizeof *all);
    apiary_t *a = NULL;

    if (all == NULL || services < AGENTS) must(APIARY_EINVAL, "wide SEGMENT SERVICES");
    make(argv[1], services);
    must(apiary_attach(argv[1], &o, &a), "attach");
    for (unsigned i = 0; i < services; i++) enrol(a, &all[i], i);
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {}
    must(apiary_detach(a), "detach");
    free(all);
    return 0;
}
