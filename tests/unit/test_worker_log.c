/* What a queen's log says of tasks that fail. */
#include "tests/unit/worker_fixture.h"

TestSuite(worker_log, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static struct {
    char lines[256][1024];
    uint32_t count;
} told; /* the worker's thread writes; read when the queen has stopped */

static void note(void *user, int level, const char *line)
{
    (void)user;
    if (level == 5 && told.count < 256) snprintf(told.lines[told.count++], sizeof told.lines[0], "%s", line);
}

static apiary_queen_t *start_noting(void)
{
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "test", .workers = 2, .agents = all_agents,
                                    .agent_count = AGENTS, .log = note};
    apiary_queen_t *q = NULL;
    char message[512] = "";

    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), 0, "%s", message);
    return q;
}

Test(worker_log, a_task_that_fails_is_told_with_its_name_and_reason)
{
    apiary_queen_t *q = start_noting();
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    char text[256], expected[512];

    cr_assert_eq(apiary_delegate(a, "fail", NULL, 0, NULL, &task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    snprintf(expected, sizeof expected, "fail: task %x-%x-%lx (fail) failed with 42: %.*s", task.slot, task.epoch,
             (unsigned long)task.generation, (int)result.size, (const char *)result.data);
    apiary_release(a, &result);
    cr_assert_eq(call("too_large", "", 0, text, sizeof text), APIARY_ETOOLARGE);
    cr_assert_eq(call("thread", "!bad", 4, text, sizeof text), APIARY_EAGENT);
    cr_assert_eq(call("echo", "good", 4, text, sizeof text), 0);
    apiary_queen_stop(q, LONG);
    cr_assert_eq(told.count, 3);
    cr_assert_str_eq(told.lines[0], expected);
    cr_assert_not_null(strstr(told.lines[1], "too_large: task "), "%s", told.lines[1]);
    cr_assert_not_null(strstr(told.lines[1], apiary_strerror(APIARY_ETOOLARGE)), "%s", told.lines[1]);
    cr_assert_not_null(strstr(told.lines[2], "(thread) failed with 7: !bad"), "%s", told.lines[2]);
}

Test(worker_log, a_reason_that_is_told_in_part_ends_in_dots)
{
    apiary_queen_t *q = start_noting();
    static char reason[2000], text[2000];
    const char *line = told.lines[0];

    memset(reason, '!', sizeof reason);
    cr_assert_eq(call("thread", reason, sizeof reason, text, sizeof text), APIARY_EAGENT);
    apiary_queen_stop(q, LONG);
    cr_assert_eq(told.count, 1);
    cr_assert_not_null(strstr(line, "(thread) failed with 7: !!"), "%s", line);
    cr_assert_str_eq(line + strlen(line) - 4, "!...", "%s", line);
}

/* Ten of a second are told, and how many there were beside. */
Test(worker_log, many_failures_fill_no_log)
{
    enum { FAILURES = 2000 };
    apiary_queen_t *q = start_noting();
    uint32_t sum = 0, more;
    char text[256];

    for (int i = 0; i < FAILURES; i++) cr_assert_eq(call("fail", "", 0, text, sizeof text), APIARY_EAGENT);
    more = queen_inside(q)->agents[2].untold;
    cr_assert_str_eq(queen_inside(q)->agents[2].name, "fail");
    apiary_queen_stop(q, LONG);
    for (uint32_t i = 0; i < told.count; i++) {
        unsigned n;
        sum += sscanf(told.lines[i], "fail: %u more tasks have failed", &n) == 1 ? n : 1;
    }
    cr_assert_eq(sum + more, FAILURES, "%u told and %u not, of %d", sum, more, FAILURES);
    cr_assert_lt(told.count, FAILURES / 2);
}

Test(worker_log, what_was_cancelled_is_no_failure)
{
    apiary_queen_t *q = start_noting();
    apiary_task_t first, second;
    char text[256];

    cr_assert_eq(apiary_delegate(a, "keep", "first", 5, NULL, &first), 0);
    while (ap_load_acquire(&kept_count) < 1) sched_yield();
    cr_assert_eq(apiary_delegate(a, "keep", "second", 6, NULL, &second), 0);
    apiary_cancel(a, second);
    cr_assert_eq(call("keep", "go", 2, text, sizeof text), 0);
    apiary_queen_stop(q, LONG);
    cr_assert_eq(told.count, 0, "%s", told.lines[0]);
}
