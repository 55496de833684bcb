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
