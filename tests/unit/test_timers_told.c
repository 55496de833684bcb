/* Timers by a clock that the test sets: when an attempt is told to stop and when it is ended, and when an agent gives up what it
 * has delegated. */
#include "tests/unit/steps_fixture.h"

#include "registry/client/until.h"

TestSuite(timers_told, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static apiary_job_t *job;

static void keep_it(void *state, apiary_job_t *of)
{
    (void)state;
    job = of;
}

static apiary_task_t ask_timed(apiary_delegate_options_t o)
{
    apiary_task_t task;

    o.struct_size = sizeof o;
    o.timeout = 1000 * SECOND;
    cr_assert_eq(apiary_delegate(a, "first", "", 0, &o, &task), 0);
    hive_handlers(keep_it, keep_it);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    return task;
}

Test(timers_told, it_is_told_at_its_time_and_ended_a_while_later)
{
    apiary_task_t task = ask_timed((apiary_delegate_options_t){.start_to_close = 10 * SECOND, .heartbeat = 8 * SECOND});

    clock_now += 7 * SECOND;
    cr_expect_eq(apiary_job_beat(job, NULL, 0), 0);
    clock_now += 3 * SECOND - 1;
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    cr_expect_eq(apiary_job_cancelled(job), 0);
    clock_now += 1;
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    cr_expect_eq(apiary_job_cancelled(job), 1);
    clock_now += AP_OVERRUN_GRACE - 1;
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    cr_expect_eq(code_of(task), 1);
    clock_now += 1;
    cr_expect_eq(ap_timers_look(&hive.worker), 1);
    cr_expect_eq(code_of(task), APIARY_EOVERRUN);
    cr_expect_eq(hive.worker.timed, 0);
}

/* The worker has yet to take it. */
Test(timers_told, an_answer_on_its_way_is_in_time)
{
    apiary_task_t task = ask_timed((apiary_delegate_options_t){.start_to_close = 10 * SECOND});

    clock_now += 10 * SECOND;
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    clock_now += AP_OVERRUN_GRACE;
    cr_expect_eq(apiary_job_finish_from_thread(job, 0, "in time", 7), 0);
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    cr_expect_gt(hive.worker.timers_due, clock_now);
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    cr_expect_eq(code_of(task), 0);
}

static int ended = 1;

static void on_end(void *user, const apiary_result_t *result)
{
    (void)user;
    ended = result->code;
}

static const apiary_delegate_options_t timed = {.struct_size = sizeof timed, .timeout = 1000 * SECOND,
                                                .schedule_to_start = 5 * SECOND, .start_to_close = 20 * SECOND};

/* It stays in the queue of the second agent, which takes nothing meanwhile. */
static void pass_on(void *state, apiary_job_t *of)
{
    job = of;
    cr_assert_eq(apiary_agent_delegate_external_task(state, "second", "", 0, &timed, on_end, NULL), 0);
    hive.agents[1].in_hand = hive.agents[1].limit;
}

static void first_passes_on(void)
{
    hive_handlers(pass_on, keep_it);
    asked("first", "", 0, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
}

Test(timers_told, what_an_agent_delegates_is_given_up_when_it_is_not_started_in_time)
{
    first_passes_on();
    clock_now += 5 * SECOND - 1;
    cr_expect_eq(ap_delegations_poll(&hive.worker, 1, false), 0);
    cr_expect_leq(ap_delegations_due(&hive.worker), clock_now + 1);
    clock_now += 1;
    cr_expect_eq(ap_delegations_poll(&hive.worker, 1, false), 1);
    cr_expect_eq(ended, APIARY_ETIMEDOUT);
    hive.agents[1].in_hand = 0;
    ap_worker_serve(&hive.worker);
    cr_expect_eq(hive.agents[1].started, 0, "it was started all the same");
}

/* Of an attempt that another worker's thread does not come back from; here it is said to be in this one's hands. */
Test(timers_told, what_an_agent_delegates_is_given_up_when_its_worker_cannot_end_it)
{
    struct ap_lane *lane = hive.worker.context->lane.lane;

    first_passes_on();
    hive.agents[1].in_hand = 0;
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_lane_inside(lane, AP_INSIDE_AGENT(hive.agents[1].queue));
    clock_now += 20 * SECOND + 2 * AP_OVERRUN_GRACE - 1;
    cr_expect_eq(ap_delegations_poll(&hive.worker, 1, false), 0);
    clock_now += 1;
    cr_expect_eq(ap_delegations_poll(&hive.worker, 1, false), 1);
    ap_lane_inside(lane, 0);
    cr_expect_eq(ended, APIARY_ETIMEDOUT);
}
