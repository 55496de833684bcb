/* tests/unit/test_job_failures.c - failures in the event log, by a clock that stands still: whose, with which text, how many. */
#include "tests/unit/steps_fixture.h"

#include "shm/event.h"

TestSuite(job_failures, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static void take(void *state, apiary_job_t *job)
{
    (void)state;
    kept[0] = job;
}

static void fail_one(void)
{
    apiary_task_t task = asked("first", "request", 7, 0);

    hive_handlers(take, take);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(apiary_job_fail(kept[0], 5, "why"), 0);
    cr_expect_eq(code_of(task), APIARY_EAGENT);
}

static uint64_t failures_entered(struct ap_event *last)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < b->seg->header->event_next; i++) {
        if (ap_event_read(b->seg, i, &e) != 1 || e.kind != AP_EVENT_TASK_FAILED) continue;
        *last = e;
        n++;
    }
    return n;
}

/* The first of each second, with its text and how many were left out before it. */
Test(job_failures, failures_are_entered_one_a_second)
{
    char said[AP_EVENT_TEXT + 1];
    struct ap_event e;

    clock_now = 3000 * SECOND;
    for (int i = 0; i < 5; i++) fail_one();
    cr_assert_eq(failures_entered(&e), 1);
    ap_event_said(&e, said);
    cr_expect_str_eq(said, "why");
    cr_expect(e.b == 5 && e.a == hive.agents[0].queue, "%llx %llu", (unsigned long long)e.b, (unsigned long long)e.a);
    cr_expect_eq(AP_EVENT_STARTS(e.c), 1);
    cr_expect_eq(AP_EVENT_CALLER(e.c), ap_load_relaxed(&ap_slot_at(b->seg, 0)->caller));
    clock_now += SECOND - 1;
    fail_one();
    cr_expect_eq(failures_entered(&e), 1);
    clock_now++;
    fail_one();
    cr_assert_eq(failures_entered(&e), 2);
    cr_expect_eq(e.b, UINT64_C(5) << 32 | 5);
}
