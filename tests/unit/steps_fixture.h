/* tests/unit/steps_fixture.h - a worker without a thread: the test calls its steps, by a clock that the test sets. It belongs to
 * the handle `b`, and its callers use `a`. */
#ifndef STEPS_FIXTURE_H
#define STEPS_FIXTURE_H

#include "tests/unit/worker_fixture.h"

#define STEP_AGENTS 2

static uint64_t clock_now = 1000 * SECOND;
static struct ap_ops clock_ops;
static apiary_t *b;
static struct {
    struct ap_queen queen;
    struct ap_worker worker;
    struct ap_agent agents[STEP_AGENTS], *list[STEP_AGENTS];
    struct ap_agent_registration rows[STEP_AGENTS];
    apiary_agent_kind_t kinds[STEP_AGENTS];
} hive;

static uint64_t clock_read(void)
{
    return ap_load_relaxed(&clock_now);
}

static void hive_handlers(void (*first)(void *, apiary_job_t *), void (*second)(void *, apiary_job_t *))
{
    hive.kinds[0].handle = first;
    hive.kinds[1].handle = second;
}

static const char *steps_more; /* what the first agent offers, too */

/* One more handle, by the same clock: that of the machine may be before or after it. */
static inline apiary_t *steps_attach(void)
{
    apiary_t *more;

    cr_assert_eq(apiary_attach(name, NULL, &more), 0);
    more->seg->ops = &clock_ops;
    return more;
}

static inline void steps_detach(apiary_t *more)
{
    more->seg->ops = &ap_ops_system;
    cr_expect_eq(apiary_detach(more), 0);
}

/* What each agent offers, "first" and "second", is known to everybody; they answer with nothing unless told otherwise. */
static void steps_setup(void)
{
    static const char *const names[] = {"first", "second"};
    static const char *capabilities[][3] = {{"first", NULL, NULL}, {"second", NULL, NULL}};
    struct ap_swarm_registration *r = &hive.queen.registration;
    struct ap_worker *w = &hive.worker;

    capabilities[0][1] = steps_more;
    setup();
    cr_assert_eq(apiary_attach(name, NULL, &b), 0);
    clock_ops = ap_ops_system;
    clock_ops.now = clock_read;
    a->seg->ops = b->seg->ops = &clock_ops;
    ap_store_relaxed(&a->anchor->lane.lane->joined, clock_now); /* before what it delegates (shm/share.h) */
    for (int i = 0; i < STEP_AGENTS; i++)
        hive.rows[i] = (struct ap_agent_registration){.name = names[i], .capabilities = capabilities[i],
                                                      .lane = b->anchor->lane.index};
    *r = (struct ap_swarm_registration){.service = "steps", .lane = b->anchor->lane.index, .member = b->member,
                                        .agents = hive.rows, .agent_count = STEP_AGENTS};
    cr_assert_eq(ap_swarm_register(b->seg, r), 0);
    hive.queen.client = b;
    hive.queen.seg = w->seg = b->seg;
    hive.queen.service_index = r->service_index;
    hive.queen.log = log_line;
    w->queen = &hive.queen;
    w->client = b;
    w->context = b->anchor;
    w->lane = b->anchor->lane;
    w->agents = hive.list;
    w->agent_count = STEP_AGENTS;
    w->command = AP_WORKER_RUN;
    w->phase = AP_WORKER_READY;
    w->delegations_end = &w->delegations;
    hive_handlers(count, count);
    for (int i = 0; i < STEP_AGENTS; i++) {
        struct ap_agent *agent = hive.list[i] = &hive.agents[i];
        hive.kinds[i].name = "step";
        *agent = (struct ap_agent){.queen = &hive.queen, .worker = w, .kind = &hive.kinds[i], .name = names[i], .state = NULL,
                                   .queue = hive.rows[i].queue, .limit = AP_AGENT_HANDS};
        agent->handle = ap_handle_open(agent, AP_HANDLE_AGENT);
        agent->state = ap_handle_name(agent->handle);
    }
    cr_assert_eq(ap_loop_create(b->seg->ops, 1, &w->loop), 0);
    cr_assert_eq(ap_worker_jobs_open(w), 0);
    ap_worker_here = w;
    ap_worker_consume(w);
    cr_assert_eq(ap_worker_serve(w), 0, "their first scans");
}

static void steps_teardown(void)
{
    ap_worker_jobs_end(&hive.worker);
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
    ap_worker_here = NULL;
    for (int i = 0; i < STEP_AGENTS; i++) ap_handle_close(hive.agents[i].handle);
    ap_worker_jobs_close(&hive.worker);
    ap_loop_destroy(hive.worker.loop);
    ap_swarm_withdraw(b->seg, &hive.queen.registration);
    ap_swarm_close(b->seg, b->anchor->lane.index, &hive.queen.registration);
    ap_swarm_deregister(b->seg, b->anchor->lane.index, &hive.queen.registration);
    a->seg->ops = b->seg->ops = &ap_ops_system;
    cr_expect_eq(apiary_detach(b), 0);
    teardown();
}

static inline apiary_task_t asked(const char *capability, const void *body, size_t size, uint64_t timeout)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = timeout};
    apiary_task_t task = {0};

    cr_assert_eq(apiary_delegate(a, capability, body, size, &o, &task), 0);
    return task;
}

/* The code of a task that is over; 1: it is not. */
static inline int code_of(apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_poll(a, task, &result), code = result.code;

    if (r == APIARY_ENOTREADY) return 1;
    cr_assert_eq(r, 0);
    cr_assert_eq(apiary_release(a, &result), 0);
    return code;
}

static inline const struct ap_queue *queue_at(int agent)
{
    return ap_queue_at(b->seg, hive.agents[agent].queue);
}

#endif
