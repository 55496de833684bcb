/* What an agent delegates and what then waits for a ticket: its texts, its place in the line, and the time that it has left. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/delegation.h"
#include "shm/start_by.h"

TestSuite(delegations_waiting, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static char answers[8][200];
static int codes[8], ended;

static void end(void *user, const apiary_result_t *result)
{
    cr_assert_lt(ended, 8);
    codes[ended] = result->code;
    snprintf(answers[ended++], sizeof answers[0], "%s:%.*s", (const char *)user, (int)result->size,
             result->size > 0 ? (const char *)result->data : "");
}

static int delegate(const char *capability, const char *body, const apiary_delegate_options_t *o, const char *who)
{
    return apiary_agent_delegate_external_task(hive.agents[0].state, capability, body, strlen(body), o, end, (void *)who);
}

static int poll_all(void)
{
    return ap_delegations_poll(&hive.worker, 16, false);
}

/* As the anchor of a service that may have one under way, and has it. */
static void one_ticket(void)
{
    hive_handlers(echo, echo);
    b->service = (int)hive.worker.queen->service_index;
    b->limit = 1;
    cr_assert_eq(delegate("second", "first of all", NULL, "0"), 0);
    cr_assert_eq(hive.worker.waiting.count, 0);
}

/* Whoever delegates may write over capability and body as soon as the call is over, in a block or not. */
Test(delegations_waiting, have_their_own_texts)
{
    char capability[16], body[180], expected[200];

    one_ticket();
    for (int i = 0; i < 3; i++) {
        size_t size = i == 0 ? 0 : i == 1 ? 5 : 179;

        strcpy(capability, "second");
        memset(body, 'a' + i, size);
        body[size] = '\0';
        cr_assert_eq(delegate(capability, body, NULL, i == 0 ? "1" : i == 1 ? "2" : "3"), 0);
        memset(capability, '#', sizeof capability);
        memset(body, '#', sizeof body);
    }
    cr_assert_eq(hive.worker.waiting.count, 3);
    for (int turns = 0; turns < 8; turns++) {
        ap_worker_serve(&hive.worker);
        poll_all();
    }
    cr_assert_eq(ended, 4);
    cr_expect_str_eq(answers[1], "1:");
    cr_expect_str_eq(answers[2], "2:bbbbb");
    memset(expected, 'c', 181);
    memcpy(expected, "3:", 2);
    expected[181] = '\0';
    cr_expect_str_eq(answers[3], expected);
    for (int i = 0; i < 4; i++) cr_expect_eq(codes[i], 0);
}

/* The last one's time is over: the next one stands behind the one before it. */
Test(delegations_waiting, the_line_has_an_end)
{
    const apiary_delegate_options_t brief = {.struct_size = sizeof brief, .timeout = 1000};

    one_ticket();
    cr_assert_eq(delegate("second", "b", NULL, "1"), 0);
    cr_assert_eq(delegate("second", "c", &brief, "2"), 0);
    clock_now += 1000;
    cr_expect_eq(poll_all(), 1);
    cr_assert_eq(ended, 1);
    cr_expect_str_eq(answers[0], "2:");
    cr_expect_eq(codes[0], APIARY_ETIMEDOUT);
    cr_assert_eq(delegate("second", "d", NULL, "3"), 0);
    cr_expect_eq(hive.worker.waiting.count, 2);
    for (int turns = 0; turns < 6; turns++) {
        ap_worker_serve(&hive.worker);
        poll_all();
    }
    cr_assert_eq(ended, 4);
    cr_expect_str_eq(answers[1], "0:first of all");
    cr_expect_str_eq(answers[2], "1:b");
    cr_expect_str_eq(answers[3], "3:d");
}

/* The slot of the one that was started last. */
static const struct ap_slot *started(void)
{
    const struct ap_delegation *d = hive.worker.delegations;

    cr_assert_not_null(d);
    while (d->next != NULL) d = d->next;
    return ap_slot_at(b->seg, d->task.slot);
}

static void wait_then_start(const apiary_delegate_options_t *o, uint64_t waits)
{
    one_ticket();
    cr_assert_eq(delegate("second", "x", o, "1"), 0);
    cr_assert_eq(hive.worker.waiting.count, 1);
    clock_now += waits;
    b->limit = 2;
    cr_assert_eq(poll_all(), 1);
    cr_assert_eq(hive.worker.delegation_count, 2);
}

#define PAUSE (2 * AP_WAITING_PAUSE) /* by then it was tried again */

/* It is due when it was to be, and has all its time from then on. */
Test(delegations_waiting, a_delay_that_is_not_over)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = 10 * PAUSE, .timeout = 5 * PAUSE};
    uint64_t began = clock_now;

    wait_then_start(&o, PAUSE);
    cr_expect_eq(AP_WORD_STATE(started()->word), AP_TASK_SCHEDULED);
    cr_expect_eq(started()->due, began + 10 * PAUSE);
    cr_expect_eq(started()->deadline, began + 15 * PAUSE);
}

Test(delegations_waiting, a_delay_that_is_over)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = PAUSE, .timeout = 5 * PAUSE};
    uint64_t began = clock_now;

    wait_then_start(&o, 2 * PAUSE);
    cr_expect_eq(AP_WORD_STATE(started()->word), AP_TASK_QUEUED);
    cr_expect_eq(started()->deadline, began + 6 * PAUSE);
}

/* A time that has no end has none when it has waited, either; nor is there one until which it has to be started. */
Test(delegations_waiting, for_ever)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = APIARY_FOREVER};

    wait_then_start(&o, PAUSE);
    cr_expect_eq(started()->deadline, APIARY_FOREVER);
    cr_expect_not(ap_task_requested(started(), started()->word, AP_REQUEST_TIMED));
}

Test(delegations_waiting, a_start_that_is_bounded)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 20 * PAUSE, .schedule_to_start = 7 * PAUSE};
    uint64_t began = clock_now;

    wait_then_start(&o, 3 * PAUSE);
    cr_expect_eq(ap_slot_until(started(), started()->word), began + 7 * PAUSE);
    cr_expect_eq(started()->deadline, began + 20 * PAUSE);
}

/* From its delay on. */
Test(delegations_waiting, a_start_that_is_bounded_behind_a_delay)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 20 * PAUSE, .schedule_to_start = 7 * PAUSE,
                                         .delay = 4 * PAUSE};
    uint64_t began = clock_now;

    wait_then_start(&o, 3 * PAUSE);
    cr_expect_eq(started()->due, began + 4 * PAUSE);
    cr_expect_eq(ap_slot_until(started(), started()->word), began + 11 * PAUSE);
    cr_expect_eq(started()->deadline, began + 24 * PAUSE);
}

/* A ticket of another process that is free is found after a pause, and the worker sleeps until then. */
Test(delegations_waiting, a_pause_after_each_look)
{
    one_ticket();
    cr_assert_eq(delegate("second", "x", NULL, "1"), 0);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(ap_delegations_due(&hive.worker), clock_now + AP_WAITING_PAUSE, "%d", i);
        clock_now += AP_WAITING_PAUSE;
        cr_expect_eq(poll_all(), 0);
    }
}

Test(delegations_waiting, the_soonest_end_counts)
{
    const apiary_delegate_options_t soon = {.struct_size = sizeof soon, .timeout = 500},
                                    later = {.struct_size = sizeof later, .timeout = 900};

    one_ticket();
    cr_assert_eq(delegate("second", "x", &later, "1"), 0);
    cr_assert_eq(delegate("second", "x", &soon, "2"), 0);
    cr_assert_eq(delegate("second", "x", &later, "3"), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), clock_now + 500);
}

/* Its time is another when it is started, and that is seen within a second. */
Test(delegations_waiting, a_run_that_is_bounded_is_looked_at)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 60 * SECOND, .start_to_close = 5 * SECOND};

    hive_handlers(echo, echo);
    cr_assert_eq(delegate("second", "x", &o, "1"), 0);
    cr_assert(ap_task_requested(started(), started()->word, AP_REQUEST_TIMED));
    cr_expect_leq(ap_delegations_due(&hive.worker), clock_now + SECOND);
}
