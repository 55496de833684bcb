/* Outliers: when an agent is ejected, for how long, what ends that, and what becomes of the tasks that wait there. */
#include "tests/unit/steps_fixture.h"

TestSuite(outlier, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

#define MS UINT64_C(1000000)

static bool failing;

static void fail_if(void *state, apiary_job_t *job)
{
    (failing ? fail : count)(state, job);
}

/* So many tasks, one after another, that end well or not; the worker has said so then. */
static void tasks_end(uint32_t n, bool badly)
{
    uint32_t bell;

    hive_handlers(fail_if, count);
    failing = badly;
    for (uint32_t i = 0; i < n; i++) {
        apiary_task_t task = asked("first", "x", 1, 0);
        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
        cr_expect_eq(code_of(task), badly ? APIARY_EAGENT : 0);
    }
}

static uint64_t ejected_for(void)
{
    uint64_t until = ap_load_relaxed(&queue_at(0)->until);

    return until > clock_now ? until - clock_now : 0;
}

Test(outlier, five_failures_in_a_row)
{
    tasks_end(4, true);
    tasks_end(1, false);
    tasks_end(4, true);
    cr_expect_eq(ejected_for(), 0, "one that ended well began the row anew");
    tasks_end(1, true);
    cr_expect_eq(ejected_for(), SECOND);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->ejections), 1);
}

/* Never five in a row: half of the last ten seconds' tasks, and ten failures at least. */
Test(outlier, half_of_the_last_ten_seconds)
{
    for (int i = 0; i < 9; i++) {
        tasks_end(1, true);
        tasks_end(1, false);
        ap_add_relaxed(&clock_now, 300 * MS);
    }
    cr_expect_eq(ejected_for(), 0, "nine are few");
    tasks_end(1, true);
    cr_expect_eq(ejected_for(), SECOND);
}

Test(outlier, what_is_older_than_ten_seconds_is_forgotten)
{
    for (int i = 0; i < 9; i++) {
        tasks_end(1, true);
        tasks_end(1, false);
    }
    ap_add_relaxed(&clock_now, 11 * SECOND);
    for (int i = 0; i < 9; i++) {
        tasks_end(1, true);
        tasks_end(1, false);
    }
    cr_expect_eq(ejected_for(), 0);
}

Test(outlier, less_than_half_is_well_enough)
{
    for (int i = 0; i < 40; i++) {
        tasks_end(1, true);
        tasks_end(2, false);
        ap_add_relaxed(&clock_now, 100 * MS);
    }
    cr_expect_eq(ejected_for(), 0);
}

/* Each trial that fails doubles it, up to 64 seconds. */
Test(outlier, the_time_grows)
{
    uint64_t seconds = 1;

    tasks_end(5, true);
    for (int i = 0; i < 9; i++) {
        cr_expect_eq(ejected_for(), seconds * SECOND, "%d", i);
        cr_expect_eq(ap_load_relaxed(&queue_at(0)->ejections), (uint32_t)i + 1);
        ap_add_relaxed(&clock_now, seconds * SECOND);
        cr_expect_eq(ejected_for(), 0);
        tasks_end(1, true);
        seconds = seconds < 64 ? seconds * 2 : 64;
    }
}

/* The next time is as long as the last one would have been, unless it was well for ten times as long. */
Test(outlier, a_trial_that_ends_well_ends_it)
{
    tasks_end(5, true);
    ap_add_relaxed(&clock_now, SECOND);
    tasks_end(1, false);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->until), 0);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->ejections), 0);
    cr_expect_eq(ap_queue_charge_left(queue_at(0), clock_now), 0);
    tasks_end(5, true);
    cr_expect_eq(ejected_for(), 2 * SECOND);
    ap_add_relaxed(&clock_now, 2 * SECOND);
    tasks_end(1, false);
    ap_add_relaxed(&clock_now, 41 * SECOND);
    tasks_end(5, true);
    cr_expect_eq(ejected_for(), SECOND);
}

/* What was sent before it was ejected ends afterwards, and tells nothing. */
Test(outlier, what_ends_well_meanwhile_ends_nothing)
{
    tasks_end(5, true);
    tasks_end(3, false);
    cr_expect_eq(ejected_for(), SECOND);
    ap_add_relaxed(&clock_now, SECOND);
    tasks_end(1, false);
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->until), 0);
}

/* ---- what waits there ------------------------------------------------------------------------------------------- */

static struct ap_agent_registration other_agent;
static struct ap_swarm_registration other;

/* Another provider, which nobody drains. */
static const struct ap_queue *other_enters(void)
{
    static const char *const capabilities[] = {"first", NULL};

    other_agent = (struct ap_agent_registration){.name = "other", .capabilities = capabilities, .lane = a->anchor->lane.index};
    other = (struct ap_swarm_registration){.service = "others", .lane = a->anchor->lane.index, .member = a->member,
                                           .agents = &other_agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(a->seg, &other), 0);
    cr_assert(ap_swarm_beat(a->seg, &other, APIARY_PASSING, 0));
    return ap_queue_at(a->seg, other_agent.queue);
}

Test(outlier, what_waits_goes_to_another_provider)
{
    apiary_task_t tasks[12];
    const struct ap_queue *queue;
    apiary_swarm_status_t status = {.struct_size = sizeof status};

    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    hive_handlers(fail_if, count);
    failing = true;
    for (int i = 0; i < 12; i++) tasks[i] = asked("first", "x", 1, 0);
    queue = other_enters();
    cr_expect_eq(ap_worker_serve(&hive.worker), 12);
    for (int i = 0; i < 5; i++) cr_expect_eq(code_of(tasks[i]), APIARY_EAGENT);
    for (int i = 5; i < 12; i++) cr_expect_eq(code_of(tasks[i]), 1, "%d was started", i);
    cr_expect_eq(ap_queue_depth(a->seg, other_agent.queue), 7);
    cr_assert_eq(apiary_swarm_status(a, "steps", &status, 1), 1);
    cr_expect_eq(status.ejected, 1);
    cr_expect_eq(status.state, APIARY_WARNING);
    ap_add_relaxed(&clock_now, SECOND);
    cr_assert_eq(apiary_swarm_status(a, "steps", &status, 1), 1);
    cr_expect_eq(status.ejected, 0, "it is on trial");
    cr_expect_eq(status.state, APIARY_PASSING);
    cr_expect_eq(AP_QUEUE_STATE(ap_load_acquire(&queue->life)), AP_QUEUE_OPEN);
}

/* References of tasks that were taken back, or that ran meanwhile, are none to pass on. */
Test(outlier, what_does_not_wait_any_more_goes_nowhere)
{
    apiary_task_t tasks[8];

    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    hive_handlers(fail_if, count);
    failing = true;
    for (int i = 0; i < 8; i++) tasks[i] = asked("first", "x", 1, 0);
    other_enters();
    cr_assert_eq(apiary_cancel(a, tasks[6]), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 8);
    for (int i = 0; i < 5; i++) cr_expect_eq(code_of(tasks[i]), APIARY_EAGENT);
    cr_expect_eq(code_of(tasks[6]), APIARY_ECANCELLED);
    cr_expect_eq(ap_queue_depth(a->seg, other_agent.queue), 2, "the fifth and the seventh");
}

/* The one that is sent when its time is over is tried where it was sent, though another provider is there. */
Test(outlier, its_trial_is_its_own)
{
    apiary_task_t task;

    tasks_end(5, true);
    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    other_enters();
    ap_add_relaxed(&clock_now, SECOND);
    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    cr_assert(ap_swarm_beat(a->seg, &other, APIARY_PASSING, 0));
    failing = false;
    task = asked("first", "x", 1, 0);
    cr_assert_eq(ap_queue_depth(a->seg, other_agent.queue), 0, "it is sent to the one on trial");
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(ap_queue_depth(a->seg, other_agent.queue), 0);
}

/* While its hands are full, by those who look after the tasks of others. */
Test(outlier, what_waits_behind_its_tasks_goes_to_another_provider)
{
    apiary_task_t tasks[2];

    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    for (int i = 0; i < 2; i++) tasks[i] = asked("first", "x", 1, 0);
    other_enters();
    ap_sweep(a->seg, a->anchor->lane.index, &ap_registry_hooks);
    cr_expect_eq(ap_queue_depth(a->seg, other_agent.queue), 0);
    ap_queue_eject(&hive.agents[0].consumer, clock_now + SECOND, 1);
    ap_sweep(a->seg, a->anchor->lane.index, &ap_registry_hooks);
    cr_expect_eq(ap_queue_depth(a->seg, other_agent.queue), 2);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(tasks[i]), 1);
}

/* Nobody else is there, or stands well: then it stays and is tried here. */
Test(outlier, the_last_provider_keeps_its_tasks)
{
    apiary_task_t tasks[12];

    cr_assert(ap_swarm_beat(b->seg, &hive.queen.registration, APIARY_PASSING, 0));
    hive_handlers(fail_if, count);
    failing = true;
    for (int i = 0; i < 12; i++) tasks[i] = asked("first", "x", 1, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 12);
    for (int i = 0; i < 12; i++) cr_expect_eq(code_of(tasks[i]), APIARY_EAGENT);
    cr_expect_gt(ejected_for(), 0);
    tasks[0] = asked("first", "x", 1, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(tasks[0]), APIARY_EAGENT);
}
