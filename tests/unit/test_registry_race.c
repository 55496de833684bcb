/* The meta registry while others act: each test lets them do so at one point of an operation. */
#include "registry_fixture.h"

TestSuite(race, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

static const char *const echo[] = {"echo", NULL};

/* An operation reads the calendar for the log, and some are long over what they looked at before: that is when others act. */
static struct ap_ops meddled_ops;
static void (*meddle)(void);

static uint64_t meddled_realtime(void)
{
    void (*once)(void) = meddle;

    meddle = NULL;
    if (once != NULL) once();
    return ap_ops_system.realtime();
}

static void meddle_with(struct ap_segment *seg, void (*act)(void))
{
    meddled_ops = ap_ops_system;
    meddled_ops.realtime = meddled_realtime;
    meddle = act;
    seg->ops = &meddled_ops;
}

static uint32_t reopened, reopener;

static void reopen(void)
{
    struct ap_queue *q = ap_queue_at(client->seg, reopened);

    cr_assert_eq(ap_queue_close(client->seg, reopened, ap_load_acquire(&q->life)), 1);
    cr_assert_eq(ap_queue_claim(client->seg, reopened, reopener), 1);
    cr_assert_eq(ap_queue_open(client->seg, reopened, reopener), 1);
}

/* The queue that a task is moved to changes hands on the way: who has it now is told. */
Test(race, the_consumer_of_now_is_woken)
{
    struct ap_balance balance = {.turn = 0, .producers = NULL};
    struct worker w[2];
    apiary_task_t task;
    uint64_t word;

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    ap_queue_close(client->seg, w[0].queue, ap_load_acquire(&ap_queue_at(client->seg, w[0].queue)->life));
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    reopened = w[1].queue;
    reopener = w[0].lane;
    word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
    ap_bell_raise(&ap_lane_at(client->seg, w[0].lane)->bell);
    ap_bell_raise(&ap_lane_at(client->seg, w[1].lane)->bell);
    meddle_with(client->seg, reopen);
    cr_assert_eq(ap_reroute(client->seg, &balance, task.slot, word), 1);
    cr_assert_null(meddle);
    cr_expect_eq(ap_load_relaxed(&ap_lane_at(client->seg, w[0].lane)->bell) & 1, 0, "the consumer of now sleeps on");
    worker_stop(&w[0]);
    worker_stop(&w[1]);
}
