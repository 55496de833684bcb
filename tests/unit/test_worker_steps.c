/* The steps of a worker, one by one: what is started and what is not, in which order, and what is said of it. */
#include "tests/unit/steps_fixture.h"

TestSuite(worker_steps, .init = steps_setup, .fini = steps_teardown, .timeout = 120);

/* ---- what is started -------------------------------------------------------------------------------------------- */

Test(worker_steps, a_deadline_is_over_when_it_comes)
{
    apiary_task_t before = asked("first", "x", 1, 1001), at = asked("first", "x", 1, 1000), after = asked("first", "x", 1, 999);

    ap_add_relaxed(&clock_now, 1000);
    cr_expect_eq(ap_worker_serve(&hive.worker), 3);
    cr_expect_eq(handled, 1);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(at), APIARY_ETIMEDOUT);
    cr_expect_eq(code_of(after), APIARY_ETIMEDOUT);
}

/* Sixteen of an agent, then those of the next; and who begins takes turns. */
static char order[128];
static size_t ordered;

static void note_first(void *state, apiary_job_t *job)
{
    order[ordered++] = '1';
    count(state, job);
}

static void note_second(void *state, apiary_job_t *job)
{
    order[ordered++] = '2';
    count(state, job);
}

Test(worker_steps, agents_take_turns)
{
    apiary_task_t tasks[40];

    hive_handlers(note_first, note_second);
    for (int i = 0; i < 40; i++) tasks[i] = asked(i % 2 == 0 ? "first" : "second", NULL, 0, 0);
    hive.worker.first = 0;
    cr_expect_eq(ap_worker_serve(&hive.worker), 32);
    cr_expect_str_eq(order, "11111111111111112222222222222222");
    cr_expect_eq(ap_worker_serve(&hive.worker), 8);
    cr_expect_str_eq(order + 32, "22221111");
    cr_expect_eq(ap_worker_serve(&hive.worker), 0);
    for (int i = 0; i < 40; i++) cr_expect_eq(code_of(tasks[i]), 0);
    tasks[0] = asked("first", NULL, 0, 0);
    tasks[1] = asked("second", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    cr_expect_str_eq(order + 40, "21", "the third turn was the first's, though it had nothing");
}

/* ---- suspects --------------------------------------------------------------------------------------------------- */

/* The same, after a worker that its code has crashed. */
static apiary_task_t asked_suspect(const char *capability)
{
    apiary_task_t task = asked(capability, "s", 1, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    ap_store_release(&slot->word, ap_load_relaxed(&slot->word) + AP_WORD_CRASHED(1));
    return task;
}

Test(worker_steps, a_suspect_is_alone_in_its_agent)
{
    apiary_task_t before, suspect, beside, after;
    uint32_t bell;

    hive_handlers(keep, count);
    before = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    suspect = asked_suspect("first");
    after = asked("first", "x", 1, 0);
    beside = asked("second", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(code_of(beside), 0, "another agent does not notice");
    cr_expect_eq(kept_count, 1, "it waits, and what comes behind it");
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_assert_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 2);
    cr_expect_eq(apiary_job_task(kept[1]).slot, suspect.slot);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "nothing is started beside it");
    cr_assert_eq(apiary_job_reply(kept[1], NULL, 0), 0);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 3);
    cr_assert_eq(apiary_job_reply(kept[2], NULL, 0), 0);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(suspect), 0);
    cr_expect_eq(code_of(after), 0);
}

Test(worker_steps, a_suspect_waits_and_is_alone_for_a_time)
{
    apiary_task_t tasks[3];

    hive_handlers(keep, count);
    tasks[0] = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    tasks[1] = asked_suspect("first");
    tasks[2] = asked("first", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE - 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 1);
    ap_add_relaxed(&clock_now, 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "what it waits for may never end");
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE - 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2);
    ap_add_relaxed(&clock_now, 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 3, "it may never end");
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_reply(kept[i], NULL, 0), 0);
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* What waits is still queued: its caller may take it back. */
Test(worker_steps, the_wait_of_a_suspect_ends_with_its_task)
{
    apiary_task_t before, suspect, after;

    hive_handlers(keep, count);
    before = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    suspect = asked_suspect("first");
    after = asked("first", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 1);
    cr_assert_eq(apiary_cancel(a, suspect), 0);
    cr_expect_eq(code_of(suspect), APIARY_ECANCELLED);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "nobody waits any more");
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_job_reply(kept[i], NULL, 0), 0);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(after), 0);
}

/* ---- what is said ----------------------------------------------------------------------------------------------- */

static void take_time(void *state, apiary_job_t *job)
{
    ap_add_relaxed(&clock_now, 800);
    count(state, job);
}

/* A worker that never rests says so after 64 starts and ends; one that rests at once. */
Test(worker_steps, counts_are_published_by_a_busy_worker)
{
    const struct ap_queue *queue = queue_at(0);
    apiary_task_t tasks[33];
    uint32_t bell;

    hive_handlers(take_time, count);
    for (int i = 0; i < 33; i++) tasks[i] = asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 16);
    cr_expect_eq(ap_load_relaxed(&queue->done), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 16);
    cr_expect_eq(ap_load_relaxed(&queue->started), 32);
    cr_expect_eq(ap_load_relaxed(&queue->done), 32);
    cr_expect_eq(ap_load_relaxed(&queue->run_time), 800);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(ap_load_relaxed(&queue->done), 32);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue->done), 33);
    cr_expect_eq(ap_load_relaxed(&queue->running), 0);
    for (int i = 0; i < 33; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* A task that takes so long; the mean after it. */
static uint64_t mean_after(uint64_t took)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    uint32_t bell;

    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_add_relaxed(&clock_now, took);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    kept_count = 0;
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(code_of(task), 0);
    return ap_load_relaxed(&queue_at(0)->run_time);
}

/* The mean of the first tasks; then a thirty-second of the difference, by which it follows. */
Test(worker_steps, the_mean_follows_the_run_times)
{
    static const uint64_t took[] = {0, 0, 8000, 800, 800}, means[] = {0, 0, 8000, 6200, 5120}; /* a mean of 0 is none yet */

    hive_handlers(keep, count);
    for (size_t i = 0; i < sizeof took / sizeof took[0]; i++) cr_expect_eq(mean_after(took[i]), means[i], "%zu", i);
    for (size_t i = sizeof took / sizeof took[0]; i < 31; i++) mean_after(6400);
    cr_expect_lt(ap_load_relaxed(&queue_at(0)->run_time), 6400);
    for (size_t i = 0; i < 2000; i++) mean_after(6400);
    cr_expect_eq(mean_after(6400), 6400);
    cr_expect_eq(mean_after(9600), 6500);
}

/* One that took a thousand times as long as others does not make its agent seem a hundred times as slow. */
Test(worker_steps, one_long_task_says_little_of_the_next)
{
    hive_handlers(keep, count);
    for (size_t i = 0; i < 40; i++) mean_after(6400);
    cr_expect_eq(mean_after(6400 * 1000), 6400 + 7 * 200);
    for (size_t i = 0; i < 60; i++) mean_after(6400 * 1000);
    cr_expect_gt(ap_load_relaxed(&queue_at(0)->run_time), 6400 * 500, "when all do, it is");
}

/* Of a clock that seems to go back, as between two processors. */
Test(worker_steps, a_task_takes_no_less_than_nothing)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    uint32_t bell;

    hive_handlers(keep, count);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_add_relaxed(&clock_now, (uint64_t)-5);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->run_time), 0);
    cr_expect_eq(code_of(task), 0);
}

/* ---- before it sleeps ------------------------------------------------------------------------------------------- */

Test(worker_steps, it_does_not_sleep_while_there_is_something_to_do)
{
    uint32_t bell;
    apiary_task_t task;

    hive_handlers(keep, count);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    task = asked("first", "x", 1, 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    hive.worker.command = AP_WORKER_HOLD;
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_HOLD, &bell), "while it is held a task is nothing to do");
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "another command is");
    hive.worker.command = AP_WORKER_RUN;
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "what is in hand is its agent's to end");
    cr_assert_eq(apiary_job_finish_from_thread(kept[0], 0, NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "an answer of a thread");
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 0);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(code_of(task), 0);
}

Test(worker_steps, an_agent_whose_hands_are_full_is_no_reason_to_stay_awake)
{
    apiary_task_t tasks[AP_AGENT_HANDS + 1];
    uint32_t bell;

    hive_handlers(keep, count);
    for (uint32_t i = 0; i <= AP_AGENT_HANDS; i++) tasks[i] = asked("first", "x", 1, 0);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(kept_count, (int)AP_AGENT_HANDS);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->running), AP_AGENT_HANDS);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_jobs_end(&hive.worker);
    for (uint32_t i = 0; i <= AP_AGENT_HANDS; i++) cr_expect_eq(code_of(tasks[i]), i == 0 ? 0 : APIARY_ESHUTDOWN);
    cr_expect_eq(hive.worker.in_hand_count, 0);
    cr_expect_eq(hive.worker.hands, 0);
}
