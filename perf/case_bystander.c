/* perf/case_bystander.c - does the death of somebody who does nothing cost those who work?
 *
 * Four clients keep 255 tasks of ten microseconds under way each, at one agent, and a fifth asks one at a time. So almost every
 * slot of the four is in use, and the one that comes free is filled anew at once. In the subject's turns a process attaches, does
 * nothing, and is killed; in the baseline's nobody dies. Counted are the answers of the one that asks singly: whoever is unfair is
 * so to it first.
 */
#include <stdio.h>
#include <string.h>

#include "perf/perf.h"
#include "shm/segment.h"

#define CLIENTS 5u /* the last asks singly */
#define RUN_NS 10000.0
#define BODY 16u
/* Times the usual block: half a second, of which each half has a death in it or none. */
#define ROUNDS 25u

struct one { /* a client's, written by it alone */
    uint64_t operations AP_ALIGNED;
    struct ap_hist hist;
};

struct run {
    unsigned window; /* of those that flood */
    struct perf_control *control[CLIENTS];
    struct one *ones;
    uint32_t *stop; /* the turn is over */
};

struct side { /* a contestant */
    struct run *run;
    bool deaths;
    struct ap_hist merged;
    double shares[4096]; /* of each block: the least flooder's part of their mean */
    double p99[4096];    /* of each block */
    size_t turns;
};

struct member { /* private to its process */
    struct run *run;
    apiary_t *a;
    unsigned index, window;
    uint64_t asked, heard;
    struct {
        apiary_task_t task;
        uint64_t at; /* ticks */
    } waiting[256];
};

static void briefly(void *state, apiary_job_t *job)
{
    uint64_t until = perf_ticks() + (uint64_t)(RUN_NS / perf_clock_ns);
    size_t size;
    const void *body = apiary_job_data(job, &size);

    (void)state;
    while (perf_ticks() < until) ap_pause();
    apiary_job_reply(job, body, size);
}

static int case_bystander_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static const apiary_agent_kind_t brief_kind = {
    APIARY_AGENT_KIND, .name = "brief", .what = "runs ten microseconds", .create = case_bystander_create, .handle = briefly};

/* ---- clients ---------------------------------------------------------------------------------------------------- */

static void case_bystander_ask(struct member *m)
{
    uint8_t body[BODY];
    int r;

    perf_body_make(body, BODY);
    perf_body_number(body, BODY, m->asked);
    m->waiting[m->asked % m->window].at = perf_ticks();
    /* Full is an answer: asked again, and the time counts. */
    do
        r = apiary_delegate(m->a, PERF_CAPABILITY, body, BODY, NULL, &m->waiting[m->asked % m->window].task);
    while (apiary_retry_after(r) != 0);
    perf_must(r, "delegate");
    m->asked++;
}

static uint64_t case_bystander_hear(struct member *m)
{
    uint64_t number = 0;
    apiary_result_t result = {.struct_size = sizeof result};

    perf_must(apiary_await(m->a, m->waiting[m->heard % m->window].task, APIARY_FOREVER, &result), "await");
    perf_must(result.code, "the agent");
    if (!perf_body_check(result.data, result.size, &number) || number != m->heard)
        perf_die("bystander: an answer is not what was sent");
    perf_must(apiary_release(m->a, &result), "release");
    return perf_ticks() - m->waiting[m->heard++ % m->window].at;
}

static void case_bystander_client(void *arg)
{
    struct member *m = arg;
    struct run *run = m->run;
    struct one *one = &run->ones[m->index];
    uint32_t on;

    m->a = perf_attach(0, NULL);
    perf_ready(run->control[m->index]);
    while (perf_await_turn(run->control[m->index])) {
        while (!ap_load_acquire(run->stop)) {
            while (m->asked - m->heard < m->window) case_bystander_ask(m);
            ap_hist_add(&one->hist, (uint64_t)((double)case_bystander_hear(m) * perf_clock_ns));
            ap_store_relaxed(&one->operations, one->operations + 1);
        }
        while (m->heard < m->asked) case_bystander_hear(m); /* what is still under way is of no turn */
        while ((on = ap_load_acquire(&run->control[m->index]->active)) % 2 == 1)
            ap_ops_system.futex_wait(&run->control[m->index]->active, on, UINT64_MAX);
    }
}

static void bystander(void *arg)
{
    apiary_t *a = perf_attach(0, NULL);

    perf_ready(arg);
    for (;;) perf_nap(1000);
    apiary_detach(a);
}

/* ---- a turn ----------------------------------------------------------------------------------------------------- */

static void clear(const struct run *run)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        run->ones[i].operations = 0;
        memset(&run->ones[i].hist, 0, sizeof run->ones[i].hist);
    }
    ap_store_release(run->stop, 0);
}

static void case_bystander_pass(bool deaths)
{
    static struct perf_control *control;
    double half = perf_options.block_ms * ROUNDS / 2;
    pid_t pid = -1;

    if (control == NULL) control = perf_shared(sizeof *control);
    ap_store_relaxed(&control->ready, 0);
    if (deaths) pid = perf_fork(-1, bystander, control);
    if (deaths) perf_await_ready(control);
    perf_nap(half);
    if (deaths) perf_end(pid);
    perf_nap(half);
}

static void case_bystander_turn(void *state, struct perf_block *b)
{
    struct side *s = state;
    struct run *run = s->run;
    const struct one *single = &run->ones[CLIENTS - 1];
    uint64_t total = 0, least = UINT64_MAX;

    clear(run);
    perf_block_begin(b);
    for (unsigned i = 0; i < CLIENTS; i++) perf_give_turn(run->control[i]);
    /* A single one that is kept waiting for the whole of a turn has no figure until it is answered. */
    do case_bystander_pass(s->deaths);
    while (ap_load_relaxed(&single->operations) == 0);
    ap_store_release(run->stop, 1);
    b->last = perf_ticks();
    for (unsigned i = 0; i < CLIENTS; i++) perf_end_turn(run->control[i]);
    for (unsigned i = 0; i < CLIENTS; i++) perf_await_idle(run->control[i]);
    for (unsigned i = 0; i < CLIENTS - 1; i++) {
        total += run->ones[i].operations;
        if (run->ones[i].operations < least) least = run->ones[i].operations;
    }
    s->merged = single->hist;
    b->warm = 0;
    b->operations = single->operations;
    b->merge = &s->merged;
    perf_block_end(b);
    if (s->turns < sizeof s->shares / sizeof *s->shares) {
        s->shares[s->turns] = total > 0 ? (double)least * (CLIENTS - 1) / (double)total : 0;
        s->p99[s->turns++] = (double)ap_hist_quantile(&s->merged, 0.99);
    }
}

static struct run *run_start(unsigned window)
{
    static struct member members[CLIENTS];
    struct run *run = perf_shared(sizeof *run);

    run->window = window;
    run->ones = perf_shared(CLIENTS * sizeof *run->ones);
    run->stop = perf_shared(AP_LINE);
    for (unsigned i = 0; i < CLIENTS; i++) {
        run->control[i] = perf_shared(sizeof *run->control[i]);
        members[i] = (struct member){.run = run, .index = i, .window = i < CLIENTS - 1 ? window : 1};
        perf_fork(-1, case_bystander_client, &members[i]);
        perf_await_ready(run->control[i]);
        perf_await_idle(run->control[i]);
    }
    return run;
}

/* Six processes share the processors, so that a block in which the scheduler takes one away for a slice of 4 ms has a p99 of its
 * own kind, whoever dies. So the ratio is that of neighbours, block by block; that of all answers together is told beside it. */
static void rows_of_p99(struct perf_result *r, const struct side *sides)
{
    size_t n = sides[0].turns < sides[1].turns ? sides[0].turns : sides[1].turns;

    perf_result_row(r, "", perf_ratio_quantile(sides[0].p99, sides[1].p99, n, 0.5),
                    "p99 by the undisturbed p99, median of blocks");
    perf_result_row(r, "", perf_ratio_quantile(sides[0].p99, sides[1].p99, n, 0.25), "the same, lower quartile");
    perf_result_row(r, "", perf_ratio_quantile(sides[0].p99, sides[1].p99, n, 0.75), "the same, upper quartile");
    perf_result_row(
        r, "", (double)ap_hist_quantile(r->series[0].hist, 0.99) / (double)ap_hist_quantile(r->series[2].hist, 0.99),
        "p99 of all answers by the undisturbed one");
}

void perf_case_bystander(const struct perf_case *c, struct perf_result *r)
{
    static struct perf_queen queen = {.segment = 0, .service = "perf", .kind = &brief_kind};
    static struct side sides[2] = {{.deaths = true}, {.deaths = false}};
    struct perf_contestant all[3] = {{.name = "apiary",
                                      .setting = "a process that does nothing is killed twice a second",
                                      .state = &sides[0],
                                      .turn = case_bystander_turn,
                                      .figure = PERF_FIGURE_MEAN},
                                     {.name = "raw", .turn = perf_raw_turn},
                                     {.name = "undisturbed",
                                      .setting = "the same without",
                                      .state = &sides[1],
                                      .turn = case_bystander_turn,
                                      .figure = PERF_FIGURE_MEAN}};

    perf_segment_make(0, NULL, 0, 0);
    perf_queen_start(&queen, -1);
    sides[0].run = sides[1].run = run_start(c->window);
    all[1].state = perf_raw_open(-1);
    perf_blocks(r, all, 3);
    rows_of_p99(r, sides);
    for (unsigned i = 0; i < 2; i++) {
        perf_result_row(r, "", perf_quantile(sides[i].shares, sides[i].turns, 0),
                        "%s: the least flooder's part of their mean, worst block", i == 0 ? "apiary" : "undisturbed");
    }
    perf_result_note(r, "%u clients with %u under way each and one that asks singly, whose answers are counted", CLIENTS - 1,
                     c->window);
    perf_result_note(r, "nothing is pinned; a turn is %u times --block-ms and has one death in its middle", ROUNDS);
}
