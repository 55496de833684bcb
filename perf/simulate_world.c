/* perf/simulate_world.c - one setting of the simulation. See simulate.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agents/runtime/queen.h"
#include "perf/perf.h"
#include "perf/simulate.h"
#include "registry/routing/terms.h"

#define SECOND UINT64_C(1000000000)
#define START (1000 * SECOND)
#define CALLERS 8u
#define KEYS 1000u
#define QUICK 0.1     /* a failure takes so much of the mean */
#define PARETO 1.5    /* its exponent: the variance has no bound */
#define SIGMA 1.5     /* of the logarithm; the standard deviation is 2.9 times the mean */
#define MOST 1000.0   /* no task takes more than so many times the mean */

static const char everybody[] = "work";

struct member {
    apiary_t *a;
    struct ap_queen queen;
    struct ap_worker worker;
    struct ap_agent agent, *list[1];
    struct ap_agent_registration row;
    struct ap_terms terms[2];
    char service[16], own[16];
    const char *capabilities[3];
    bool fails;
    double pace;
    apiary_job_t *job; /* in hand; NULL: none */
    uint64_t until;    /* it ends then */
    uint64_t request;
    uint32_t present;  /* tasks that it was given and that have not ended */
};

struct request {
    uint64_t at;
    double size;
    apiary_task_t task;
    uint32_t member, caller;
};

static struct world {
    struct simulate_setting setting;
    uint64_t random, drawn; /* drawn: by those who choose at random */
    struct member members[SIMULATE_MEMBERS];
    apiary_t *callers[CALLERS];
    struct request *requests;
    double *well, total;
    uint64_t wells, ended, failed, at_failing, counted;
} world;

static uint64_t clock_now;
static struct ap_ops clock_ops;

static uint64_t world_now(void)
{
    return clock_now;
}

/* splitmix64 */
static uint64_t world_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Above 0, below 1. */
static double world_part(void)
{
    return ((double)(world_random(&world.random) >> 11) + 0.5) * 0x1p-53;
}

/* In the mean, which is 1 but for the bound. */
static double world_size(void)
{
    double size, part = world_part();

    if (world.setting.tail == SIMULATE_PARETO) size = (PARETO - 1) / PARETO / pow(part, 1 / PARETO);
    else size = exp(SIGMA * sqrt(-2 * log(part)) * cos(2 * M_PI * world_part()) - SIGMA * SIGMA / 2);
    return size < MOST ? size : MOST;
}

/* ---- members ---------------------------------------------------------------------------------------------------- */

static void member_handle(void *state, apiary_job_t *job)
{
    struct member *m = state;
    const struct request *q;

    memcpy(&m->request, apiary_job_data(job, &(size_t){0}), sizeof m->request);
    q = &world.requests[m->request];
    m->job = job;
    m->until = clock_now + (uint64_t)((m->fails ? QUICK : q->size * m->pace) * SIMULATE_MEAN) + 1;
}

static const apiary_agent_kind_t member_kind = {APIARY_AGENT_KIND, .name = "simulated", .handle = member_handle};

/* One that has taken nothing more says what it has done, and sleeps. */
static void member_turn(struct member *m)
{
    uint32_t bell;

    ap_worker_here = &m->worker;
    while (ap_worker_serve(&m->worker) == 0)
        if (m->job != NULL || ap_worker_rest(&m->worker, AP_WORKER_RUN, &bell)) break;
    ap_worker_here = NULL;
}

static bool role_fails(uint32_t i)
{
    return i == 0 && (world.setting.scene == SIMULATE_FAILING || world.setting.scene == SIMULATE_BOTH);
}

static bool role_slow(uint32_t i)
{
    return i == 1 && (world.setting.scene == SIMULATE_SLOW || world.setting.scene == SIMULATE_BOTH);
}

/* Its balance begins by the seed: a member that is ejected chooses, too. */
static apiary_t *world_attach(uint64_t number)
{
    apiary_t *a = perf_attach(0, NULL);

    a->seg->ops = &clock_ops;
    ap_balance_begin(&a->anchor->balance, a->seg, world.setting.seed + number);
    return a;
}

static void member_register(struct member *m)
{
    struct ap_swarm_registration *r = &m->queen.registration;

    m->row = (struct ap_agent_registration){.name = "agent", .capabilities = m->capabilities, .terms = m->terms,
                                            .lane = m->a->anchor->lane.index};
    *r = (struct ap_swarm_registration){.service = m->service, .lane = m->a->anchor->lane.index, .member = m->a->member,
                                        .agents = &m->row, .agent_count = 1};
    perf_must(ap_swarm_register(m->a->seg, r), "register");
    m->queen.client = m->a;
    m->queen.seg = m->a->seg;
    m->queen.service_index = r->service_index;
}

static void world_member_open(uint32_t i)
{
    struct member *m = &world.members[i];
    struct ap_worker *w = &m->worker;

    *m = (struct member){.fails = role_fails(i), .pace = role_slow(i) ? SIMULATE_SLOWER : 1, .a = world_attach(CALLERS + i)};
    snprintf(m->service, sizeof m->service, "s%u", i);
    snprintf(m->own, sizeof m->own, "own.%u", i);
    m->capabilities[0] = everybody;
    m->capabilities[1] = m->own;
    m->terms[0].balance = (world.setting.policy < SIMULATE_LIBRARY ? world.setting.policy : AP_POLICY_round_robin) + 1;
    if (world.setting.policy >= SIMULATE_LIBRARY) m->terms[0].eject_after = m->terms[1].eject_after = 0 + 1; /* never */
    member_register(m);
    w->seg = m->a->seg;
    w->queen = &m->queen;
    w->client = m->a;
    w->context = m->a->anchor;
    w->agents = m->list;
    w->agent_count = 1;
    w->command = AP_WORKER_RUN;
    w->phase = AP_WORKER_READY;
    w->delegations_end = &w->delegations;
    m->list[0] = &m->agent;
    m->agent = (struct ap_agent){.queen = &m->queen, .worker = w, .kind = &member_kind, .name = m->row.name, .state = m,
                                 .queue = m->row.queue, .limit = 1};
    m->agent.handle = ap_handle_open(&m->agent, AP_HANDLE_AGENT);
    perf_must(ap_worker_jobs_open(w), "jobs");
    ap_worker_consume(w);
    member_turn(m);
}

static void member_close(struct member *m)
{
    ap_handle_close(m->agent.handle);
    ap_worker_jobs_close(&m->worker);
    ap_swarm_withdraw(m->a->seg, &m->queen.registration);
    ap_swarm_close(m->a->seg, m->a->anchor->lane.index, &m->queen.registration);
    ap_swarm_deregister(m->a->seg, m->a->anchor->lane.index, &m->queen.registration);
    m->a->seg->ops = &ap_ops_system;
    perf_must(apiary_detach(m->a), "detach");
}

static void members_beat(void)
{
    for (uint32_t i = 0; i < world.setting.members; i++) {
        const struct member *m = &world.members[i];
        if (!ap_swarm_beat(m->a->seg, &m->queen.registration, APIARY_PASSING, 0)) perf_die("a member is not registered");
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------------------ */

static uint32_t member_random(void)
{
    return (uint32_t)(world_random(&world.drawn) % world.setting.members);
}

/* By what is true at this instant, which no caller could know. */
static uint32_t member_shortest(void)
{
    uint32_t first = member_random(), best = first;

    for (uint32_t n = 1; n < world.setting.members; n++) {
        uint32_t i = (first + n) % world.setting.members;
        if (world.members[i].present < world.members[best].present) best = i;
    }
    return best;
}

static const char *request_for(void)
{
    if (world.setting.policy == SIMULATE_RANDOM) return world.members[member_random()].own;
    if (world.setting.policy == SIMULATE_SHORTEST) return world.members[member_shortest()].own;
    return everybody;
}

static uint32_t member_of(apiary_t *a, apiary_task_t task)
{
    uint32_t queue = AP_WORD_OWNER(ap_load_relaxed(&ap_slot_at(a->seg, task.slot)->word));

    for (uint32_t i = 0; i < world.setting.members; i++)
        if (world.members[i].row.queue == queue) return i;
    perf_die("a task is at nobody's queue");
}

static void request_arrives(uint64_t i)
{
    struct request *q = &world.requests[i];
    apiary_t *a = world.callers[q->caller];
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 36000 * SECOND,
                                         .key = world.setting.policy == AP_POLICY_keyed ? 1 + q->caller + i % KEYS * CALLERS : 0};
    bool counts = q->at >= START + SECOND;
    int r = apiary_delegate(a, request_for(), &i, sizeof i, &o, &q->task);

    world.counted += counts;
    if (r == APIARY_EQUEUEFULL || r == APIARY_ENOSLOT) {
        world.failed += counts;
        world.ended++;
        return;
    }
    perf_must(r, "delegate");
    q->member = member_of(a, q->task);
    world.at_failing += counts && world.members[q->member].fails;
    world.members[q->member].present++;
    if (world.members[q->member].job == NULL) member_turn(&world.members[q->member]);
}

static void request_ends(struct member *m)
{
    struct request *q = &world.requests[m->request];
    apiary_t *a = world.callers[q->caller];
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_job_t *job = m->job;

    m->job = NULL;
    world.members[q->member].present--;
    ap_worker_here = &m->worker;
    perf_must(m->fails ? apiary_job_fail(job, 1, "it is broken") : apiary_job_reply(job, NULL, 0), "the end of a job");
    member_turn(m);
    perf_must(apiary_poll(a, q->task, &result), "poll");
    world.ended++;
    if (q->at >= START + SECOND && result.code == 0) {
        double took = (double)(clock_now - q->at) / SIMULATE_MEAN;
        world.well[world.wells++] = took;
        world.total += took;
    } else if (q->at >= START + SECOND) {
        world.failed++;
    }
    perf_must(apiary_release(a, &result), "release");
}

/* ---- a run ------------------------------------------------------------------------------------------------------ */

/* They come at random, each as if there were no other. */
static void requests_make(void)
{
    double can = 0, at = (double)START;

    for (uint32_t i = 0; i < world.setting.members; i++) can += role_fails(i) ? 0 : role_slow(i) ? 1.0 / SIMULATE_SLOWER : 1;
    world.requests = calloc(world.setting.tasks, sizeof *world.requests);
    world.well = calloc(world.setting.tasks, sizeof *world.well);
    if (world.requests == NULL || world.well == NULL) perf_die("out of memory");
    for (uint64_t i = 0; i < world.setting.tasks; i++) {
        at -= log(world_part()) * SIMULATE_MEAN / (SIMULATE_LOAD * can);
        world.requests[i] = (struct request){.at = (uint64_t)at, .size = world_size(),
                                             .caller = (uint32_t)(world_random(&world.random) % CALLERS)};
    }
}

static void world_open(const struct simulate_setting *setting)
{
    const struct ap_geometry geometry = {.members = 128, .lanes = 128, .tasks = 8192, .queues = 64, .queue_depth = 256,
                                         .queue_inlets = CALLERS, .events = 64, .pool_blocks = {64, 16, 4, 1, 1, 1, 1}};

    world = (struct world){.setting = *setting};
    world.random = setting->seed * UINT64_C(1000003) + setting->scene * 17 + setting->tail * 5 + setting->members * 101;
    world.drawn = ~world.random;
    requests_make();
    clock_ops = ap_ops_system;
    clock_ops.now = world_now;
    clock_now = START;
    perf_segment_make(0, &geometry, SIMULATE_MEMBERS, 2 * SIMULATE_MEMBERS);
    for (uint32_t i = 0; i < CALLERS; i++) world.callers[i] = world_attach(i);
    for (uint32_t i = 0; i < setting->members; i++) world_member_open(i);
    members_beat();
}

static void world_close(void)
{
    for (uint32_t i = 0; i < world.setting.members; i++) member_close(&world.members[i]);
    for (uint32_t i = 0; i < CALLERS; i++) {
        world.callers[i]->seg->ops = &ap_ops_system;
        perf_must(apiary_detach(world.callers[i]), "detach");
    }
    shm_unlink(perf_segment_name(0));
    free(world.requests);
    free(world.well);
}

static struct member *world_soonest(void)
{
    struct member *soonest = NULL;

    for (uint32_t i = 0; i < world.setting.members; i++) {
        struct member *m = &world.members[i];
        if (m->job != NULL && (soonest == NULL || m->until < soonest->until)) soonest = m;
    }
    return soonest;
}

/* A member that is ejected passes tasks on, and rings the bell of the one that has them now. */
static void members_wake(void)
{
    for (uint32_t i = 0; i < world.setting.members; i++) {
        struct member *m = &world.members[i];
        if (m->job == NULL && ap_queue_depth(m->a->seg, m->row.queue) > 0) member_turn(m);
    }
}

static void world_run(void)
{
    uint64_t next = 0, beat = START + SECOND;

    while (world.ended < world.setting.tasks) {
        struct member *m = world_soonest();
        uint64_t arrival = next < world.setting.tasks ? world.requests[next].at : UINT64_MAX;
        uint64_t end = m != NULL ? m->until : UINT64_MAX;

        if (beat <= arrival && beat <= end) {
            clock_now = beat;
            beat += SECOND;
            members_beat();
        } else if (arrival <= end) {
            clock_now = arrival;
            request_arrives(next++);
        } else {
            clock_now = end;
            request_ends(m);
            members_wake();
        }
    }
}

static int world_compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

struct simulate_figures simulate_run(const struct simulate_setting *setting)
{
    struct simulate_figures f;
    uint64_t n;

    world_open(setting);
    world_run();
    n = world.wells;
    qsort(world.well, n, sizeof *world.well, world_compare);
    f = (struct simulate_figures){.tasks = world.counted};
    if (n > 0) {
        f.mean = world.total / (double)n;
        f.p50 = world.well[n / 2];
        f.p99 = world.well[n * 99 / 100];
    }
    if (world.counted > 0) {
        f.failing = (double)world.at_failing / (double)world.counted;
        f.failed = (double)world.failed / (double)world.counted;
    }
    world_close();
    return f;
}
