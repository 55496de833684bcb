/* How long an agent's worker takes for a task while others wait. */
#include <criterion/criterion.h>

#include "agents/runtime/queen.h"

#define MS UINT64_C(1000000)

static struct ap_queue queue;
static struct ap_agent agent;

static void setup(void)
{
    queue = (struct ap_queue){.depth = 10};
    agent = (struct ap_agent){.consumer = {.queue = &queue}, .run_time = 8 * MS};
}

TestSuite(pace, .init = setup);

static void look(uint64_t now, uint64_t ended)
{
    agent.done = ended;
    ap_pace_look(&agent, now);
}

Test(pace, it_begins_with_the_run_time)
{
    look(1000 * MS, 5);
    cr_expect_eq(queue.pace, 8 * MS);
    agent = (struct ap_agent){.consumer = {.queue = &queue}, .run_time = 8 * MS, .in_hand = 4};
    look(1000 * MS, 5);
    cr_expect_eq(queue.pace, 2 * MS, "four at a time");
}

Test(pace, whatever_holds_the_worker_up_counts)
{
    uint64_t pace;

    look(1000 * MS, 0);
    for (uint64_t i = 1; i <= 60; i++) look((1000 + 160 * i) * MS, 8 * i);
    pace = queue.pace;
    cr_expect(pace > 19 * MS && pace <= 20 * MS, "8 tasks in 160 ms, though each runs 8 ms: %llu", (unsigned long long)pace);
    look(10600 * MS, 480);
    cr_expect_eq(queue.pace, pace, "no time has passed");
    look(10700 * MS, 480);
    cr_expect_eq(queue.pace, pace, "nothing has ended");
}

Test(pace, each_task_moves_the_mean_by_its_part)
{
    look(1000 * MS, 0);
    look(1016 * MS, 1);
    cr_expect_eq(queue.pace, 8 * MS + MS / 4, "8 - 8 / 32 + 16 / 32");
    agent.failed = 1;
    look(1050 * MS, 1);
    cr_expect_eq(queue.pace, 9054688, "a failed one has ended, too");
}

Test(pace, a_worker_that_was_stopped_is_not_one_that_is_slow)
{
    look(1000 * MS, 0);
    look(61000 * MS, 1);
    cr_expect_eq(queue.pace, 9 * MS + 3 * MS / 4, "one at eight times the mean, and not one of a minute");
}

Test(pace, nothing_is_told_when_nothing_waits)
{
    look(1000 * MS, 0);
    queue.depth = 0;
    look(1001 * MS, 4);
    cr_expect_eq(queue.pace, 0);
    queue.depth = 10;
    look(9000 * MS, 4);
    cr_expect_eq(queue.pace, 8 * MS, "the time in which nothing waited is not its own");
}

/* ---- the margin ----------------------------------------------------------------------------------------------------- */

Test(pace, who_is_late_widens_the_margin)
{
    look(1000 * MS, 0);
    cr_expect_eq(queue.margin, 0);
    cr_expect_eq(ap_queue_margin_of(&queue), AP_MARGIN_LEAST);
    agent.pace.overdue = 3;
    look(1008 * MS, 1);
    cr_expect_eq(queue.margin, 187, "a quarter, however many they are: %u", queue.margin);
    agent.pace.overdue = 9;
    look(1100 * MS, 2);
    cr_expect_eq(queue.margin, 187, "those that had been accepted before");
    queue.expired = 1;
    look(2000 * MS, 3);
    cr_expect_eq(queue.margin, 233, "one that was given up in the queue: %u", queue.margin);
    for (uint64_t i = 1; i < 40; i++) {
        queue.expired++;
        look((2000 + 1000 * i) * MS, 3 + i);
    }
    cr_expect_eq(queue.margin, AP_MARGIN_MOST);
}

Test(pace, calm_narrows_the_margin)
{
    look(1000 * MS, 0);
    agent.pace.overdue = 1;
    look(1001 * MS, 1);
    cr_expect_eq(queue.margin, 187);
    look(1010 * MS, 20);
    cr_expect_eq(queue.margin, 187, "19 are not enough");
    look(1020 * MS, 21);
    cr_expect_eq(queue.margin, 185);
    look(1021 * MS, 22);
    cr_expect_eq(queue.margin, 185, "that calm is paid for");
    for (uint64_t i = 1; i < 100; i++) look((1020 + i) * MS, 21 + 20 * i);
    cr_expect_eq(queue.margin, AP_MARGIN_LEAST, "%u", queue.margin);
}

/* An agent whose tasks take long ends few of them. */
Test(pace, time_narrows_the_margin_too)
{
    look(1000 * MS, 0);
    agent.pace.overdue = 1;
    look(2000 * MS, 1);
    cr_expect_eq(queue.margin, 187);
    look(31000 * MS, 2);
    cr_expect_eq(queue.margin, 187, "half a minute is not over");
    look(32000 * MS, 3);
    cr_expect_eq(queue.margin, 185);
    look(122000 * MS, 4);
    cr_expect_eq(queue.margin, 179, "three times in a minute and a half: %u", queue.margin);
    look(86400000 * MS, 5);
    cr_expect_eq(queue.margin, AP_MARGIN_LEAST);
}

/* What made it late was its own run, and not that it waited. */
Test(pace, a_tasks_own_overrun_is_not_the_queues)
{
    look(1000 * MS, 0);
    ap_pace_overdue(&agent, 900 * MS, 908 * MS, 8 * MS);
    look(1001 * MS, 1);
    cr_expect_eq(queue.margin, 0, "it was started when there was time for what tasks take");
    ap_pace_overdue(&agent, 900 * MS, 907 * MS, 8 * MS);
    look(1002 * MS, 2);
    cr_expect_eq(queue.margin, 187);
    ap_pace_overdue(&agent, 9000 * MS, 8999 * MS, 0);
    look(9003 * MS, 3);
    cr_expect_eq(queue.margin, 233, "its deadline had passed before");
}

/* What a queue has counted for a former agent is not held against the next one. */
Test(pace, a_margin_begins_anew)
{
    queue.expired = 7;
    agent.done = 500;
    ap_pace_begin(&agent);
    look(1000 * MS, 500);
    cr_expect_eq(queue.margin, 0);
    look(1010 * MS, 519);
    cr_expect_eq(agent.pace.calm, 500);
}

Test(pace, somebody_elses_margin_is_bounded)
{
    queue.margin = 1;
    cr_expect_eq(ap_queue_margin_of(&queue), AP_MARGIN_LEAST);
    queue.margin = UINT32_MAX;
    cr_expect_eq(ap_queue_margin_of(&queue), AP_MARGIN_MOST);
    ap_queue_margin(&agent.consumer, 7);
    cr_expect_eq(queue.margin, AP_MARGIN_LEAST);
    ap_queue_margin(&agent.consumer, 9999);
    cr_expect_eq(queue.margin, AP_MARGIN_MOST);
}
