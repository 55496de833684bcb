/* perf/balance.c - the policies by which one of several providers is chosen, in a real run of three instances. See simulate.h.
 *
 * Three processes: one member that is well, one that is ten times as slow, one that fails in a tenth of the time. Each does one
 * task after another and only waits meanwhile, so that the processors are not what is measured. A client delegates at random times,
 * as the simulation does, and each answer says who gave it and when.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "perf/perf.h"
#include "perf/simulate.h"
#include "registry/client/client.h"

#define SECOND UINT64_C(1000000000)
#define MEMBERS 3u
#define MOST (1u << 16) /* tasks of one run */
#define PATIENCE (10 * SECOND)

enum balance_role { WELL, SLOW, FAILING };

static const char everybody[] = "balance.work";
static const char *const own[MEMBERS] = {"balance.well", "balance.slow", "balance.failing"};
static enum balance_role role; /* of this process */
static char balance_terms[MEMBERS][128];

struct balance_answer {
    uint64_t at;
    uint32_t role;
};

/* ---- a member ---------------------------------------------------------------------------------------------------- */

static void balance_end(void *user, uint32_t events)
{
    apiary_job_t *job = user;
    const struct balance_answer answer = {.at = ap_ops_system.now(), .role = role};

    (void)events;
    apiary_watch_close(apiary_job_user(job));
    if (role == FAILING) apiary_job_fail(job, 1, "it is broken");
    else apiary_job_reply(job, &answer, sizeof answer);
}

static void balance_handle(void *state, apiary_job_t *job)
{
    apiary_watch_t *watch;
    uint64_t takes;

    memcpy(&takes, apiary_job_data(job, &(size_t){0}), sizeof takes);
    takes = role == SLOW ? takes * SIMULATE_SLOWER : role == FAILING ? (uint64_t)SIMULATE_MEAN / 10 : takes;
    perf_must(apiary_watch_timer(state, takes, balance_end, job, &watch), "timer");
    apiary_job_set_user(job, watch);
}

static int balance_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return apiary_agent_limit(agent, 1);
}

static const apiary_agent_kind_t balance_kind = {APIARY_AGENT_KIND, .name = "balance", .what = "waits as long as it is told",
                                                 .create = balance_create, .handle = balance_handle};

static void balance_member(void *arg)
{
    struct perf_control *control = arg;
    const char *capabilities[] = {everybody, NULL, NULL};
    apiary_agent_description_t agent = {.name = "agent", .kind = &balance_kind, .capabilities = capabilities};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .version = "1", .workers = 1, .agents = &agent, .agent_count = 1};
    char message[512] = "";
    apiary_queen_t *queen;

    role = (enum balance_role)control->more[0];
    capabilities[1] = own[role];
    agent.terms = balance_terms[role];
    d.service = own[role] + sizeof "balance." - 1;
    if (apiary_queen_start(perf_attach(0, NULL), &d, message, sizeof message, &queen) < 0) perf_die("%s", message);
    perf_ready(control);
    for (;;) pause();
}

/* ---- the client ---------------------------------------------------------------------------------------------------- */

struct balance_asked {
    uint64_t at;
    apiary_task_t task;
    bool over;
};

static struct balance_run {
    unsigned policy;
    uint64_t random, begun, end;
    struct balance_asked asked[MOST];
    double took[MOST];
    uint32_t count, first, well, failed, late;
    uint64_t counted, at[MEMBERS];
} run;

static double balance_part(void)
{
    run.random = run.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return ((double)(run.random >> 11) + 0.5) * 0x1p-53;
}

/* Lognormal, its mean SIMULATE_MEAN. */
static uint64_t balance_takes(void)
{
    double sigma = 1.5, part = balance_part();

    return (uint64_t)(exp(sigma * sqrt(-2 * log(part)) * cos(2 * M_PI * balance_part()) - sigma * sigma / 2) * SIMULATE_MEAN) + 1;
}

/* It would not be done in time. */
static void balance_refused(const struct balance_asked *q)
{
    if (q->at < run.begun + SECOND) return;
    run.counted++;
    run.late++;
}

static void balance_ask(apiary_t *a, uint64_t at)
{
    struct balance_asked *q = &run.asked[run.count];
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = PATIENCE, .key = 1 + run.count % 100};
    uint64_t takes = balance_takes();
    int r;
    const char *for_whom = run.policy == SIMULATE_RANDOM ? own[(uint32_t)(balance_part() * MEMBERS)] : everybody;

    r = apiary_delegate(a, for_whom, &takes, sizeof takes, &o, &q->task);
    q->at = at;
    q->over = r < 0;
    run.count++;
    if (r == APIARY_EBACKLOG) balance_refused(q);
    else perf_must(r, "delegate");
}

static void balance_hear(struct balance_asked *q, const apiary_result_t *result)
{
    struct balance_answer answer = {.role = FAILING};

    q->over = true;
    if (q->at < run.begun + SECOND) return;
    run.counted++;
    run.failed += result->code == APIARY_EAGENT;
    run.late += result->code != 0 && result->code != APIARY_EAGENT;
    if (result->code == 0) memcpy(&answer, result->data, sizeof answer);
    if (result->code == 0) run.took[run.well++] = (double)(answer.at - q->at) / SIMULATE_MEAN;
    if (result->code == 0 || result->code == APIARY_EAGENT) run.at[answer.role]++;
}

/* Takes what has ended. */
static void balance_collect(apiary_t *a)
{
    for (uint32_t i = run.first; i < run.count; i++) {
        struct balance_asked *q = &run.asked[i];
        apiary_result_t result = {.struct_size = sizeof result};
        int r;

        if (q->over) continue;
        r = apiary_poll(a, q->task, &result);
        if (r == APIARY_ENOTREADY) continue;
        if (r == APIARY_ETIMEDOUT) result.code = r;
        else perf_must(r, "poll");
        balance_hear(q, &result);
        if (r == 0) perf_must(apiary_release(a, &result), "release");
    }
    while (run.first < run.count && run.asked[run.first].over) run.first++;
}

static void balance_client(apiary_t *a, double seconds)
{
    double at = (double)ap_ops_system.now();

    run.begun = (uint64_t)at;
    run.end = run.begun + (uint64_t)(seconds * 1e9);
    for (;;) {
        at -= log(balance_part()) * SIMULATE_MEAN / (SIMULATE_LOAD * (1 + 1.0 / SIMULATE_SLOWER));
        if (at >= (double)run.end || run.count == MOST) break;
        while ((double)ap_ops_system.now() < at) {
            balance_collect(a);
            perf_nap(0.2);
        }
        balance_ask(a, (uint64_t)at);
    }
    while (run.first < run.count) {
        balance_collect(a);
        perf_nap(0.5);
    }
}

/* ---- a run ------------------------------------------------------------------------------------------------------ */

static int balance_compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void balance_policy(unsigned policy, uint64_t seed, double seconds)
{
    struct perf_control *controls[MEMBERS];
    pid_t pids[MEMBERS];
    apiary_t *a;

    memset(&run, 0, sizeof run);
    run.policy = policy;
    run.random = seed;
    perf_segment_make(0, &(struct ap_geometry){.queue_depth = 4096}, 0, 0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        snprintf(balance_terms[i], sizeof balance_terms[i], "{%s: {balance: %s}, %s: {eject_after: 0}}", everybody,
                 simulate_policy_name(policy < SIMULATE_LIBRARY ? policy : 0), own[i]);
        controls[i] = perf_shared(sizeof *controls[i]);
        controls[i]->more[0] = i;
        pids[i] = perf_fork(-1, balance_member, controls[i]);
        perf_await_ready(controls[i]);
    }
    a = perf_attach(0, NULL);
    balance_client(a, seconds);
    perf_must(apiary_detach(a), "detach");
    for (uint32_t i = 0; i < MEMBERS; i++) perf_end(pids[i]);
    shm_unlink(perf_segment_name(0));
    qsort(run.took, run.well, sizeof *run.took, balance_compare);
}

static double balance_share(uint64_t n)
{
    return run.counted > 0 ? (double)n / (double)run.counted : 0;
}

static void balance_row(bool json, json_t *all)
{
    double mean = 0, p50 = 0, p99 = 0;

    for (uint32_t i = 0; i < run.well; i++) mean += run.took[i] / run.well;
    if (run.well > 0) p50 = run.took[run.well / 2], p99 = run.took[(uint64_t)run.well * 99 / 100];
    if (json)
        json_array_append_new(all, json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "policy", simulate_policy_name(run.policy),
                                             "tasks", (json_int_t)run.counted, "mean", mean, "p50", p50, "p99", p99, "at_slow",
                                             balance_share(run.at[SLOW]), "at_failing", balance_share(run.at[FAILING]), "failed",
                                             balance_share(run.failed), "late", balance_share(run.late)));
    else
        printf("| %s | %llu | %.2f | %.2f | %.1f | %.2f %% | %.2f %% | %.2f %% | %.2f %% |\n", simulate_policy_name(run.policy),
               (unsigned long long)run.counted, mean, p50, p99, 100 * balance_share(run.at[SLOW]),
               100 * balance_share(run.at[FAILING]), 100 * balance_share(run.failed), 100 * balance_share(run.late));
}

int balance_main(bool json, uint64_t seed, double seconds)
{
    json_t *all = json_array();

    if (!json)
        printf("seed %llu; times in the mean of what a task takes; every task that came after the first second\n\n"
               "| policy | tasks | mean | p50 | p99 | at the slow one | at the failing one | failed | given up |\n"
               "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
               (unsigned long long)seed);
    for (unsigned policy = 0; policy <= SIMULATE_RANDOM; policy++) {
        balance_policy(policy, seed, seconds);
        balance_row(json, all);
        fflush(stdout);
    }
    if (json) {
        json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    json_decref(all);
    return 0;
}
