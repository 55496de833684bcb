/* When an agent is called for the next part of a result, by a worker without a thread. */
#include "tests/unit/steps_fixture.h"

TestSuite(job_part, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static int readied;

static void when_ready(void *user, apiary_job_t *job)
{
    readied += *(int *)user;
    cr_expect_eq(job, kept[0]);
}

/* An agent may ask to be called before it has sent any part, and is called once. */
Test(job_part, a_first_part_is_called_for)
{
    int seven = 7;
    uint64_t due = UINT64_MAX;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task = asked("first", "request", 7, 0);

    hive_handlers(keep, keep);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(apiary_job_part_ready(kept[0], when_ready, &seven), 0);
    cr_expect_eq(hive.worker.behind, 1);
    cr_expect_eq(ap_job_parts_look(&hive.worker, clock_now, &due), 1);
    cr_expect_eq(readied, 7);
    cr_expect_eq(ap_job_parts_look(&hive.worker, clock_now, &due), 0);
    cr_expect_eq(hive.worker.behind + hive.worker.timed, 0);
    cr_expect_eq(apiary_job_part(kept[0], "ab", 2), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "c", 1), 0);
    cr_assert_eq(apiary_poll(a, task, &result), 0);
    cr_expect_eq(result.code, 0);
    cr_assert_eq(result.size, 3);
    cr_expect_eq(memcmp(result.data, "abc", 3), 0);
    cr_expect_eq(apiary_release(a, &result), 0);
}
