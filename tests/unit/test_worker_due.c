/* Until when a worker sleeps that has nothing to do: for ever, or until the first of the times of which nobody else tells it. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/placed.h"

TestSuite(worker_due, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static uint64_t due(enum ap_worker_command command)
{
    return ap_worker_due(&hive.worker, command, clock_now);
}

static void hold_until(int agent, uint64_t until)
{
    hive.agents[agent].held_until = until;
    hive.worker.holds = hive.agents[0].held_until != 0 || hive.agents[1].held_until != 0;
}

Test(worker_due, nothing_to_wait_for_is_for_ever)
{
    cr_expect_eq(due(AP_WORKER_RUN), UINT64_MAX);
    cr_expect_eq(due(AP_WORKER_HOLD), UINT64_MAX);
}

/* Whichever of them it is; an agent that is not held has no time, and one that is held itself goes on with none. */
Test(worker_due, the_first_agent_that_goes_on)
{
    hold_until(0, clock_now + 7);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 7);
    hold_until(1, clock_now + 9);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 7);
    hold_until(1, clock_now + 5);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 5);
    hold_until(0, 0);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 5);
    cr_expect_eq(due(AP_WORKER_HOLD), UINT64_MAX, "it starts nothing then");
    hold_until(1, 0);
    cr_expect_eq(due(AP_WORKER_RUN), UINT64_MAX);
}

/* A suspect waits so long for what its agent has in hand, and its agent so long for the suspect. */
Test(worker_due, a_suspect_has_a_time)
{
    apiary_task_t tasks[2] = {asked("first", "x", 1, 0)};
    struct ap_slot *slot;

    hive_handlers(keep, count);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    tasks[1] = asked("first", "s", 1, 0);
    slot = ap_slot_at(a->seg, tasks[1].slot);
    ap_store_release(&slot->word, ap_load_relaxed(&slot->word) + AP_WORD_CRASHED(1));
    ap_worker_serve(&hive.worker);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + AP_AGENT_ALONE);
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 2);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + AP_AGENT_ALONE);
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_job_reply(kept[i], NULL, 0), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* It is in no ring, and its place comes back without a bell for it. */
Test(worker_due, what_waits_for_a_place_in_no_ring_is_looked_at_again)
{
    hive.agents[1].stalled = AP_REF(1, 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + AP_STALLED_PAUSE);
    hold_until(0, clock_now + AP_STALLED_PAUSE - 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + AP_STALLED_PAUSE - 1);
    hold_until(0, clock_now + AP_STALLED_PAUSE + 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + AP_STALLED_PAUSE);
    cr_expect_eq(due(AP_WORKER_HOLD), UINT64_MAX);
    hive.agents[1].stalled = 0;
    hold_until(0, 0);
}

/* Also while it starts nothing: what it has in hand goes on. */
Test(worker_due, the_first_timer_of_what_is_in_hand)
{
    const apiary_delegate_options_t timed = {.struct_size = sizeof timed, .start_to_close = SECOND};
    apiary_task_t task;

    hive_handlers(keep, count);
    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &timed, &task), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + SECOND);
    cr_expect_eq(due(AP_WORKER_HOLD), clock_now + SECOND);
    hold_until(1, clock_now + SECOND - 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + SECOND - 1);
    hold_until(1, clock_now + SECOND + 1);
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + SECOND);
    hold_until(1, 0);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(due(AP_WORKER_RUN), UINT64_MAX, "what has ended has no timer");
}

static int waited_code = 1;

static void waited(void *user, const apiary_result_t *result)
{
    (void)user;
    waited_code = result->code;
}

/* The first of several, whichever was delegated first; and no later than what is in hand has time. */
Test(worker_due, the_first_deadline_of_what_it_has_delegated)
{
    static const uint64_t timeouts[] = {3 * SECOND, 2 * SECOND, 4 * SECOND};

    for (int i = 0; i < 3; i++) {
        const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = timeouts[i]};

        cr_assert_eq(apiary_agent_execute_task(hive.agents[0].state, "second", "x", 1, &o, waited, NULL), 0);
    }
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 2 * SECOND);
    hive.worker.timed++;
    hive.worker.timers_due = clock_now + SECOND;
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + SECOND);
    hive.worker.timers_due = clock_now + 3 * SECOND;
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 2 * SECOND);
    hive.worker.timed--;
    hive.worker.timers_due = clock_now + SECOND;
    cr_expect_eq(due(AP_WORKER_RUN), clock_now + 2 * SECOND, "no timer runs");
    cr_assert_eq(ap_worker_serve(&hive.worker), 3);
    cr_expect_geq(ap_delegations_poll(&hive.worker, 16, false), 3);
    cr_expect_eq(waited_code, 0);
    cr_expect_eq(due(AP_WORKER_RUN), UINT64_MAX);
}
