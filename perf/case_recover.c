/* perf/case_recover.c - a queen is killed with a task in hand; how long until another runs it.
 *
 * From the kernel's mark (the owner-died bit of the worker's lane, which this program watches by spinning) to the first instruction
 * of the agent elsewhere. From kill() to the mark is the kernel's own time and is told apart. The baseline is a bare futex wake of
 * a sleeping process, which recovery cannot do without.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/perf.h"
#include "registry/client/client.h"
#include "registry/monitor/monitor.h"

#define KILLS_A_BLOCK 4u

static struct {
    uint64_t runs AP_ALIGNED; /* of the task under way */
    uint64_t first_pid;
    uint64_t again; /* ticks */
} * page;

struct state {
    apiary_t *a;
    struct perf_queen queens[2];
    struct ap_hist to_mark;
    double marks[4096];
    size_t kills;
    uint64_t before_mark; /* runs elsewhere that began before this program saw the mark */
};

static void hold_once(void *state, apiary_job_t *job)
{
    (void)state;
    if (ap_add_acq_rel(&page->runs, 1) == 0) {
        ap_store_release(&page->first_pid, (uint64_t)getpid());
        return; /* kept: its queen is going to be killed */
    }
    ap_store_release(&page->again, perf_ticks());
    apiary_job_reply(job, NULL, 0);
}

static int case_recover_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static const apiary_agent_kind_t hold_kind = {
    APIARY_AGENT_KIND, .name = "hold", .what = "keeps what it gets, once", .create = case_recover_create, .handle = hold_once};

static uint32_t lane_that_runs(apiary_t *a, apiary_task_t task)
{
    struct ap_slot *slot;
    uint64_t word;

    if (!ap_task_find(a, task, &slot, &word) || AP_WORD_STATE(word) != AP_TASK_RUNNING)
        perf_die("recover: the task is not running");
    return AP_WORD_OWNER(word);
}

static void one_kill(struct state *s, struct perf_block *b)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    struct perf_queen *victim;
    uint64_t killed, marked, again;
    uint32_t lane;

    ap_store_relaxed(&page->first_pid, 0);
    ap_store_relaxed(&page->again, 0);
    ap_store_release(&page->runs, 0);
    perf_must(apiary_delegate(s->a, PERF_CAPABILITY, NULL, 0, NULL, &task), "delegate");
    while (ap_load_acquire(&page->first_pid) == 0)
        ap_pause();
    victim = &s->queens[(uint64_t)s->queens[0].pid == ap_load_relaxed(&page->first_pid) ? 0 : 1];
    lane = lane_that_runs(s->a, task);
    perf_nap(1); /* both queens sleep */
    perf_expect_end(true);
    killed = perf_ticks();
    kill(victim->pid, SIGKILL);
    while (ap_lane_alive(s->a->seg, lane))
        ap_pause();
    marked = perf_ticks();
    perf_must(apiary_await(s->a, task, APIARY_FOREVER, &result), "await");
    perf_must(result.code, "the task of the killed");
    if (result.attempts != 2) perf_die("recover: %u attempts", result.attempts);
    perf_must(apiary_release(s->a, &result), "release");
    waitpid(victim->pid, NULL, 0);
    again = ap_load_acquire(&page->again);
    /* Seen too late (this program itself had to wait for a processor): from kill(), which is too much and never too little. */
    if (again < marked) s->before_mark++;
    perf_block_sample(b, (double)(again - (again > marked ? marked : killed)) * perf_clock_ns);
    ap_hist_add(&s->to_mark, (uint64_t)((double)(marked - killed) * perf_clock_ns));
    if (s->kills < sizeof s->marks / sizeof *s->marks) s->marks[s->kills++] = (double)(marked - killed) * perf_clock_ns;
    perf_queen_start(victim, -1);
}

static void turn_kill(void *state, struct perf_block *b)
{
    perf_block_begin(b);
    for (unsigned i = 0; i < KILLS_A_BLOCK; i++)
        one_kill(state, b);
    b->operations = KILLS_A_BLOCK;
    b->last = perf_ticks();
    perf_block_end(b);
}

/* As apiaryd: it has the monitor's role, so that no victim has it. */
static void watcher(void *arg)
{
    apiary_t *a = perf_attach(0, NULL);
    struct ap_monitor *m;

    perf_must(ap_monitor_start(a->seg, a->member, &m), "monitor");
    perf_ready(arg);
    for (;;)
        pause();
}

/* ---- the case ---------------------------------------------------------------------------------------------------- */

static void burn(void *arg)
{
    struct perf_control *c = arg;

    perf_ready(c);
    for (;;)
        ap_pause();
}

/* c->flag: with as many busy processes as there are processors. */
void perf_case_recover(const struct perf_case *c, struct perf_result *r)
{
    static struct state s;
    struct perf_contestant all[3] = {
        {.name = "apiary", .setting = "two queens, both asleep when one is killed", .state = &s, .turn = turn_kill},
        {.name = "raw", .turn = perf_raw_turn},
        {.name = "futex wake", .setting = "one FUTEX_WAKE of a sleeping process, until it runs", .turn = perf_wake_turn}};
    struct perf_control *watching = perf_shared(sizeof *watching);

    page = perf_shared(sizeof *page);
    perf_segment_make(0, NULL, 0, 0);
    perf_fork(-1, watcher, watching);
    perf_await_ready(watching);
    for (int i = 0; i < 2; i++) {
        s.queens[i] = (struct perf_queen){.segment = 0, .service = "perf", .kind = &hold_kind};
        snprintf(s.queens[i].instance, sizeof s.queens[i].instance, "%d", i);
        perf_queen_start(&s.queens[i], -1);
    }
    all[1].state = perf_raw_open(-1);
    all[2].state = perf_wake_open(-1);
    for (long i = 0; c->flag != 0 && i < 2; i++) {
        struct perf_control *burning = perf_shared(sizeof *burning);
        perf_fork(perf_options.pinned ? (i == 0 ? perf_options.client : perf_options.server) : -1, burn, burning);
        perf_await_ready(burning);
    }
    s.a = perf_attach(0, NULL);
    perf_blocks(r, all, 3);
    perf_result_row(r, "ns", perf_median(s.marks, s.kills), "from kill() to the kernel's mark, median");
    perf_result_row(r, "ns", (double)ap_hist_quantile(&s.to_mark, 0.99), "from kill() to the kernel's mark, p99");
    perf_result_row(r, "", (double)s.before_mark,
                    "of %zu runs elsewhere, began before this program saw the mark (taken from kill())", s.kills);
    perf_result_row(
        r, "", (double)ap_hist_quantile(r->series[0].hist, 0.99) / (double)ap_hist_quantile(r->series[2].hist, 0.99),
        "p99 by the futex wake's p99");
    perf_result_note(r, "nothing is pinned; the program spins on one processor while it watches for the mark");
}
