/* The meta registry while others act: each test lets them do so at one point of an operation. */
#include "registry_fixture.h"

TestSuite(race, .init = fixture_setup, .fini = fixture_teardown, .timeout = 60);

static const char *const echo[] = {"echo", NULL};

static uint32_t control(void)
{
    return client->anchor->lane.index;
}

/* Registers under the client's own lane; no worker runs. */
static int enrol(struct ap_swarm_registration *r, const char *instance, struct ap_agent_registration *agent)
{
    agent->lane = control();
    *r = (struct ap_swarm_registration){.service = "one", .instance = instance, .lane = control(), .member = client->member,
                                        .agents = agent, .agent_count = 1};
    return ap_swarm_register(client->seg, r);
}

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

static void *lane_main(void *arg)
{
    struct ap_lane_handle *lane = arg;

    cr_assert_eq(ap_lane_open(client->seg, client->member, lane), 0);
    return NULL;
}

/* A lane whose thread has ended without closing it. */
static uint32_t dead_lane(void)
{
    struct ap_lane_handle lane;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, lane_main, &lane), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(ap_lane_dead(client->seg, lane.index), 1);
    return lane.index;
}

static struct ap_swarm *left, *dead;
static uint64_t another_key;

/* The record that was DOWN is given to another instance, which leaves; the other one to nobody. */
static void recycle_both(void)
{
    ap_text_store(left->instance, "another", sizeof left->instance);
    ap_swarm_mode_begin(left, another_key);
    ap_store_release(&left->key, another_key);
    ap_store_release(&left->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(left->life) + 1, 0, AP_SWARM_DOWN));
    ap_store_release(&dead->key, 0);
    ap_store_release(&dead->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(dead->life) + 1, 0, AP_SWARM_FREE));
}

/* What is adopted is the registration that was looked at, and not what its record has become. */
Test(race, a_record_that_was_recycled_is_not_adopted)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    uint32_t left_index, lane = dead_lane();

    cr_assert_eq(enrol(&r, "another", &a), 0);
    another_key = ap_load_acquire(&ap_swarm_at(client->seg, r.swarm)->key);
    ap_swarm_deregister(client->seg, control(), &r);
    ap_store_release(&ap_swarm_at(client->seg, r.swarm)->life, 0);
    cr_assert_eq(enrol(&r, "0", &a), 0);
    ap_swarm_deregister(client->seg, control(), &r);
    left_index = r.swarm;
    left = ap_swarm_at(client->seg, left_index);
    dead = ap_swarm_at(client->seg, left_index + 1);
    ap_store_release(&dead->key, ap_load_acquire(&left->key)); /* a registrant that died when both of one name took new records */
    ap_store_release(&dead->life, AP_SWARM_LIFE(1, lane, AP_SWARM_CLAIMED));
    meddle_with(client->seg, recycle_both);
    cr_assert_eq(enrol(&r, "0", &a), 0);
    cr_assert_null(meddle);
    cr_expect_neq(r.swarm, left_index);
    cr_expect_str_eq(ap_swarm_at(client->seg, r.swarm)->instance, "0");
    assert_sound();
}

static void recycle_for_a_living(void)
{
    ap_text_store(dead->instance, "another", sizeof dead->instance);
    ap_store_release(&dead->key, another_key);
    ap_store_release(&dead->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(dead->life) + 1, control(), AP_SWARM_LIVE));
}

/* The record of a dead predecessor is another's by the time it is recovered: that is no reason to refuse. */
Test(race, who_lives_in_the_record_now_is_no_predecessor)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    uint32_t lane = dead_lane();

    cr_assert_eq(enrol(&r, "0", &a), 0);
    dead = ap_swarm_at(client->seg, r.swarm);
    another_key = ap_load_acquire(&dead->key) + 1;
    ap_queue_close(client->seg, a.queue, ap_load_acquire(&ap_queue_at(client->seg, a.queue)->life));
    ap_store_release(&dead->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(dead->life), lane, AP_SWARM_LIVE));
    meddle_with(client->seg, recycle_for_a_living);
    cr_expect_eq(enrol(&r, "0", &a), 0);
    cr_assert_null(meddle);
    cr_expect_neq(ap_swarm_at(client->seg, r.swarm), dead);
}

/* A reaper that slept since it saw the life of a former registration. */
Test(race, nothing_of_a_later_registration_is_ended)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    struct ap_swarm *s;
    uint64_t before;

    cr_assert_eq(enrol(&r, "0", &a), 0);
    s = ap_swarm_at(client->seg, r.swarm);
    before = ap_load_acquire(&s->life);
    ap_swarm_deregister(client->seg, control(), &r);
    cr_assert_eq(enrol(&r, "0", &a), 0);
    ap_store_relaxed(&s->state, APIARY_PASSING);
    ap_swarm_end(client->seg, r.swarm, before);
    cr_expect_eq(AP_SWARM_STATE(ap_load_acquire(&s->life)), AP_SWARM_LIVE);
    cr_expect_eq(AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(client->seg, a.queue)->life)), AP_QUEUE_OPEN);
    cr_expect_eq(ap_load_relaxed(&s->state), APIARY_PASSING);
    assert_sound();
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
