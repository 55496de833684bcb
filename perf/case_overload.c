/* perf/case_overload.c - what is left of an agent's work when it is asked for five times as much.
 *
 * An agent takes a millisecond for each task, without a processor, so that nothing but its own time is short. Four clients ask at
 * fixed instants, together five times as often as it can answer, and give each task a tenth of a second. A prober asks ten times a
 * second, as a health check does, by the way that is reserved for that, and a polite client one task after the other. Before that
 * come the agent's capacity, with four clients that keep 32 tasks under way each, and the polite client's latency when it is alone;
 * after that its latency beside one client that floods. The segment tells whether an accepted task was in time: when the agent
 * finished it.
 */
#include <stdio.h>
#include <string.h>

#include "perf/perf.h"
#include "registry/client/client.h"

#define FLOODERS 4u
#define TIMES 5.0
#define WINDOW 32u
#define RUN UINT64_C(1000000)
#define TIMEOUT UINT64_C(100000000)
#define PROBE UINT64_C(100000000)
#define PENDING 1024u
#define GLANCE UINT64_C(200000) /* ns between two looks at what is under way */

enum phase { RESTS, CAPACITY, ALONE, OVERLOAD, BESIDE, PHASES };

struct counts { /* of one process in one phase */
    uint64_t asked, refused, told, full, in_time, late;
    struct ap_hist submits, refusals, answers;
};

/* Shared by all. */
struct table {
    uint32_t phase AP_ALIGNED;
    uint32_t ready AP_ALIGNED;
    uint64_t interval AP_ALIGNED; /* ns between two tasks of one flooder */
    struct counts flooders[FLOODERS][PHASES], prober[PHASES], polite[PHASES];
};
static struct table *table;

struct asker { /* private to its process */
    apiary_t *a;
    uint64_t head, tail; /* of what is under way */
    struct {
        apiary_task_t task;
        uint64_t deadline;
    } pending[PENDING];
};

static uint64_t now(void)
{
    return ap_ops_system.now();
}

static void nap_until(uint64_t due)
{
    uint64_t at = now();

    if (due > at) perf_nap((double)(due - at) / 1e6);
}

/* ---- the agent -------------------------------------------------------------------------------------------------- */

static void case_overload_handle(void *state, apiary_job_t *job)
{
    (void)state;
    nap_until(now() + RUN);
    apiary_job_reply(job, NULL, 0);
}

static int case_overload_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static const apiary_agent_kind_t slow_kind = {
    APIARY_AGENT_KIND, .name = "slow", .what = "takes a millisecond", .create = case_overload_create,
    .handle = case_overload_handle};

/* ---- those who ask ---------------------------------------------------------------------------------------------- */

static bool case_overload_ask(struct asker *o, struct counts *c, uint64_t timeout)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    uint64_t from = now(), took;
    apiary_task_t task;
    int r = apiary_delegate(o->a, PERF_CAPABILITY, NULL, 0, APIARY_TIMEOUT(timeout), &task);

    took = now() - from;
    c->asked++;
    ap_hist_add(r < 0 ? &c->refusals : &c->submits, took);
    if (r < 0) {
        c->refused++;
        c->full += r != APIARY_EBACKLOG;
        c->told += apiary_refusal(o->a, &refusal) == 0 && refusal.error == r && refusal.retry_after > 0;
        return false;
    }
    o->pending[o->tail % PENDING].task = task;
    o->pending[o->tail++ % PENDING].deadline = from + timeout;
    return true;
}

/* Takes what has ended of the oldest that is under way: whether there was any. */
static bool case_overload_hear(struct asker *o, struct counts *c)
{
    apiary_result_t result = {.struct_size = sizeof result};
    const struct ap_slot *slot;
    uint64_t deadline, finished;
    int r;

    if (o->head == o->tail) return false;
    deadline = o->pending[o->head % PENDING].deadline;
    slot = ap_slot_at(o->a->seg, o->pending[o->head % PENDING].task.slot);
    r = apiary_poll(o->a, o->pending[o->head % PENDING].task, &result);
    if (r == APIARY_ENOTREADY) return false;
    o->head++;
    finished = ap_load_relaxed(&slot->finished);
    if (r == 0 && result.code == 0 && finished <= deadline) c->in_time++;
    else c->late++;
    if (r == 0) perf_must(apiary_release(o->a, &result), "release");
    return true;
}

static void case_overload_flood(struct asker *o, struct counts *c, uint64_t *due)
{
    uint64_t interval = ap_load_relaxed(&table->interval);

    while (*due <= now() && o->tail - o->head < PENDING) {
        case_overload_ask(o, c, TIMEOUT);
        *due += interval;
    }
    while (case_overload_hear(o, c)) {}
    nap_until(*due < now() + GLANCE ? *due : now() + GLANCE);
}

static void case_overload_keep(struct asker *o, struct counts *c)
{
    while (o->tail - o->head < WINDOW && case_overload_ask(o, c, 600 * TIMEOUT)) {}
    while (case_overload_hear(o, c)) {}
    nap_until(now() + GLANCE);
}

static void flooder(void *arg)
{
    unsigned index = (unsigned)(uintptr_t)arg;
    struct asker o = {.a = perf_attach(0, NULL)};
    uint64_t due = 0;
    enum phase phase, before = RESTS;

    ap_add_acq_rel(&table->ready, 1);
    for (;; before = phase) {
        phase = ap_load_acquire(&table->phase);
        if (phase != before) due = now();
        if (phase == CAPACITY) case_overload_keep(&o, &table->flooders[index][phase]);
        else if (phase == OVERLOAD || (phase == BESIDE && index == 0))
            case_overload_flood(&o, &table->flooders[index][phase], &due);
        else if (!case_overload_hear(&o, &table->flooders[index][before])) nap_until(now() + GLANCE);
        else phase = before; /* what is under way is still that one's */
    }
}

/* One task after the other, with a pause: `probes` ten times a second. */
static void case_overload_single(struct counts *all, uint64_t pause, bool probes)
{
    const apiary_delegate_options_t probe = {.struct_size = sizeof probe, .flags = APIARY_PROBE, .timeout = 10 * TIMEOUT};
    apiary_t *a = perf_attach(0, NULL);
    enum phase phase;

    ap_add_acq_rel(&table->ready, 1);
    for (;;) {
        uint64_t from = now();
        struct counts *c;
        size_t size;
        int r;

        phase = ap_load_acquire(&table->phase);
        nap_until(from + pause);
        if (phase != OVERLOAD && (probes || (phase != ALONE && phase != BESIDE))) continue;
        c = &all[phase];
        from = now();
        r = apiary_call(a, PERF_CAPABILITY, NULL, 0, probes ? &probe : APIARY_TIMEOUT(TIMEOUT), NULL, 0, &size);
        if (ap_load_acquire(&table->phase) != phase) continue;
        c->asked++;
        c->in_time += r == 0;
        c->refused += r != 0 && r != APIARY_ETIMEDOUT;
        if (r == 0) ap_hist_add(&c->answers, now() - from);
    }
}

static void prober(void *arg)
{
    (void)arg;
    case_overload_single(table->prober, PROBE, true);
}

static void polite(void *arg)
{
    (void)arg;
    case_overload_single(table->polite, 3 * RUN, false);
}

/* ---- what came of it -------------------------------------------------------------------------------------------- */

static void phase_run(enum phase phase, double seconds)
{
    ap_store_release(&table->phase, phase);
    perf_nap(seconds * 1000);
    ap_store_release(&table->phase, RESTS);
    perf_nap(300); /* until all that was accepted has ended */
}

static struct counts sum_of(enum phase phase)
{
    static struct counts sum;

    memset(&sum, 0, sizeof sum);
    for (unsigned i = 0; i < FLOODERS; i++) {
        const struct counts *c = &table->flooders[i][phase];

        sum.asked += c->asked;
        sum.refused += c->refused;
        sum.told += c->told;
        sum.full += c->full;
        sum.in_time += c->in_time;
        sum.late += c->late;
        ap_hist_merge(&sum.submits, &c->submits);
        ap_hist_merge(&sum.refusals, &c->refusals);
    }
    return sum;
}

static double fraction(uint64_t of, uint64_t all)
{
    return all > 0 ? (double)of / (double)all : 0;
}

/* Of two p99, in nanoseconds. */
static double tails(const struct ap_hist *h, const struct ap_hist *by)
{
    return fraction(ap_hist_quantile(h, 0.99), ap_hist_quantile(by, 0.99));
}

static void case_overload_tell(struct perf_result *r, double capacity, double seconds)
{
    const struct counts all = sum_of(OVERLOAD), *probes = &table->prober[OVERLOAD], *kind = table->polite;
    uint64_t done = all.in_time + kind[OVERLOAD].in_time;

    perf_result_row(r, "/s", capacity, "capacity");
    perf_result_row(r, "/s", (double)all.asked / seconds, "asked by those that flood");
    perf_result_row(r, "", capacity > 0 ? (double)done / seconds / capacity : 0, "goodput by capacity");
    perf_result_row(r, "", fraction(all.late, all.asked - all.refused), "accepted tasks that were late");
    perf_result_row(r, "", tails(&all.refusals, &all.submits), "p99 of a refusal by that of a submit");
    perf_result_row(r, "", fraction(all.told, all.refused), "refusals with a time to retry after");
    perf_result_row(r, "", fraction(all.full, all.refused), "refusals because something was full");
    perf_result_row(r, "", fraction(probes->in_time, probes->asked), "health probes answered");
    perf_result_row(r, "", fraction(probes->refused, probes->asked), "health probes refused");
    perf_result_row(r, "ms", (double)ap_hist_quantile(&probes->answers, 0.99) / 1e6, "p99 of a probe's answer");
    perf_result_row(r, "ms", (double)ap_hist_quantile(&kind[ALONE].answers, 0.99) / 1e6, "polite client's p99, alone");
    perf_result_row(r, "", tails(&kind[BESIDE].answers, &kind[ALONE].answers),
                    "polite client's p99 beside one that floods by that alone");
    perf_result_row(r, "", tails(&kind[OVERLOAD].answers, &kind[ALONE].answers),
                    "polite client's p99 beside four that flood by that alone");
    perf_result_row(r, "", fraction(kind[OVERLOAD].in_time, kind[OVERLOAD].asked),
                    "polite client's tasks answered in time beside four");
}

static double case_overload_capacity(double seconds)
{
    struct counts before = sum_of(CAPACITY), after;

    ap_store_release(&table->phase, CAPACITY);
    perf_nap(200); /* until they have their windows full */
    before = sum_of(CAPACITY);
    perf_nap(seconds * 1000);
    after = sum_of(CAPACITY);
    ap_store_release(&table->phase, RESTS);
    perf_nap(500);
    return (double)(after.in_time - before.in_time) / seconds;
}

void perf_case_overload(const struct perf_case *c, struct perf_result *r)
{
    static struct perf_queen queen = {.segment = 0, .service = "perf", .kind = &slow_kind};
    double seconds = perf_options.seconds, capacity;

    (void)c;
    table = perf_shared(sizeof *table);
    perf_segment_make(0, NULL, 0, 0);
    perf_queen_start(&queen, -1);
    for (unsigned i = 0; i < FLOODERS; i++) perf_fork(-1, flooder, (void *)(uintptr_t)i); // NOLINT
    perf_fork(-1, prober, NULL);
    perf_fork(-1, polite, NULL);
    while (ap_load_acquire(&table->ready) < FLOODERS + 2) perf_nap(1);
    capacity = case_overload_capacity(seconds / 8);
    ap_store_relaxed(&table->interval, (uint64_t)(1e9 * FLOODERS / (TIMES * (capacity > 1 ? capacity : 1))));
    phase_run(ALONE, seconds / 4);
    phase_run(OVERLOAD, seconds);
    phase_run(BESIDE, seconds / 4);
    capacity = (capacity + case_overload_capacity(seconds / 8)) / 2;
    case_overload_tell(r, capacity, seconds);
    perf_result_note(r, "%u clients, %.0f times the capacity for %.1f s, %.0f ms for a task of %.0f ms", FLOODERS, TIMES, seconds,
                     (double)TIMEOUT / 1e6, (double)RUN / 1e6);
    perf_result_note(r, "nothing is pinned; capacity is the mean of before and after");
}
