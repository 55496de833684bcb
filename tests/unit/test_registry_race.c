/* The meta registry while others act: each test lets them do so at one point of an operation. */
#include "registry_fixture.h"

#include "registry/monitor/health.h"

TestSuite(race, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

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

/* A submit reads the clock when it has a slot and has seen room in the ring. */
static uint64_t meddled_now(void)
{
    void (*once)(void) = meddle;

    meddle = NULL;
    if (once != NULL) once();
    return ap_ops_system.now();
}

static void meddle_in_submit(struct ap_segment *seg, void (*act)(void))
{
    meddled_ops = ap_ops_system;
    meddled_ops.now = meddled_now;
    meddle = act;
    seg->ops = &meddled_ops;
    client->anchor->searched = client->anchor->picked = 1; /* neither is measured: that would ask for the time before */
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

/* ---- a table that seems to be full ------------------------------------------------------------------------------ */

static uint32_t claimed, yields;

static void give_back(void)
{
    struct ap_queue *q = ap_queue_at(client->seg, claimed);

    if (yields++ == 0) cr_assert_eq(ap_queue_close(client->seg, claimed, ap_load_acquire(&q->life)), 1);
}

/* A queue in the hands of another registrant may yet be given back, and one that is open is not waited for. */
Test(race, a_queue_that_is_given_back_is_looked_for_again)
{
    static const char *const names[] = {"b", "c", "d", "e", "f", "g", "h"};
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, more[7], last = a;
    struct ap_swarm_registration all, r, others;

    for (int i = 0; i < 7; i++)
        more[i] = (struct ap_agent_registration){.name = names[i], .capabilities = echo, .lane = control()};
    cr_assert_eq(enrol(&r, "0", &a), 0);
    all = (struct ap_swarm_registration){.service = "one", .instance = "1", .lane = control(), .member = client->member,
                                         .agents = more, .agent_count = 7};
    cr_assert_eq(ap_swarm_register(client->seg, &all), 0);
    meddled_ops = ap_ops_system;
    meddled_ops.yield = give_back;
    client->seg->ops = &meddled_ops;
    yields = 1;
    cr_expect_eq(enrol(&others, "2", &last), APIARY_ETABLEFULL);
    cr_expect_eq(yields, 1, "all are open");
    claimed = a.queue;
    ap_swarm_deregister(client->seg, control(), &r);
    cr_assert_eq(ap_queue_claim(client->seg, claimed, control()), 1);
    yields = 0;
    cr_expect_eq(enrol(&others, "2", &last), 0);
    cr_expect_eq(yields, 1);
    cr_expect_eq(last.queue, claimed);
    assert_sound();
}

/* Those that it has taken itself are not waited for, and are no reason not to wait for another's. */
Test(race, its_own_queues_are_nobody_elses)
{
    static const char *const names[] = {"b", "c", "d", "e", "f", "g"};
    struct ap_agent_registration more[6], two[2] = {{.name = "x", .capabilities = echo}, {.name = "y", .capabilities = echo}};
    struct ap_swarm_registration all, last;

    for (int i = 0; i < 6; i++)
        more[i] = (struct ap_agent_registration){.name = names[i], .capabilities = echo, .lane = control()};
    all = (struct ap_swarm_registration){.service = "one", .instance = "1", .lane = control(), .member = client->member,
                                         .agents = more, .agent_count = 6};
    cr_assert_eq(ap_swarm_register(client->seg, &all), 0);
    last = (struct ap_swarm_registration){.service = "one", .instance = "2", .lane = control(), .member = client->member,
                                          .agents = two, .agent_count = 2};
    for (int i = 0; i < 2; i++) two[i].lane = control();
    meddled_ops = ap_ops_system;
    meddled_ops.yield = give_back;
    client->seg->ops = &meddled_ops;
    claimed = 7;
    cr_assert_eq(ap_queue_claim(client->seg, claimed, control()), 1);
    yields = 0;
    cr_expect_eq(ap_swarm_register(client->seg, &last), 0);
    cr_expect_eq(yields, 1);
    cr_expect_eq(two[1].queue, claimed);
    ap_swarm_deregister(client->seg, control(), &last);
    claimed = two[1].queue;
    cr_assert_eq(ap_queue_claim(client->seg, claimed, control()), 1);
    ap_queue_begin(client->seg, claimed, false);
    ap_queue_open(client->seg, claimed, control());
    cr_expect_eq(ap_swarm_register(client->seg, &last), APIARY_ETABLEFULL);
    cr_expect_eq(yields, 1, "nobody else has one in hand");
    cr_assert_eq(ap_queue_close(client->seg, claimed, ap_load_acquire(&ap_queue_at(client->seg, claimed)->life)), 1);
    assert_sound();
}

static struct ap_swarm *left, *dead;
static uint64_t another_key;

/* The record that was DOWN is given to another instance, which leaves; the other one to nobody. */
static void recycle_both(void)
{
    ap_text_store(left->instance, "another", sizeof left->instance);
    ap_swarm_mode_begin(left, another_key);
    ap_health_begin(left, another_key);
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

/* ---- a row that is being copied --------------------------------------------------------------------------------- */

static struct {
    void *page;
    size_t size;
    uint64_t *life, becomes;
    uint32_t traps;
} trap;

static void life_changes(int signal)
{
    (void)signal;
    mprotect(trap.page, trap.size, PROT_READ | PROT_WRITE);
    if (trap.traps++ == 0 && trap.life != NULL) ap_store_release(trap.life, trap.becomes);
}

/* How many rows there are when a life changes while the row's texts, in the page of `at`, are copied. */
static int rows_while(void *at, uint64_t *life, uint64_t becomes)
{
    struct sigaction action = {.sa_handler = life_changes}, before;
    apiary_provider_t row = {.struct_size = sizeof row};
    int count;

    for (uint32_t i = 0; i < AP_ROWS_KNOWN; i++) client->anchor->rows[i].queue = AP_NO_QUEUE; /* none is remembered */
    trap.size = (size_t)sysconf(_SC_PAGESIZE);
    trap.page = (void *)((uintptr_t)at & ~(uintptr_t)(trap.size - 1));
    trap.life = life;
    trap.becomes = becomes;
    trap.traps = 0;
    sigaction(SIGSEGV, &action, &before);
    cr_assert_eq(mprotect(trap.page, trap.size, PROT_NONE), 0);
    count = apiary_discover(client, "echo", &row, 1);
    sigaction(SIGSEGV, &before, NULL);
    cr_assert_eq(trap.traps, 1);
    return count;
}

/* Of two registrations there is never one row: it is given when queue and swarm are afterwards as they were before. */
Test(race, a_row_is_of_one_registration)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    struct ap_service *service;
    uint64_t *queue, *swarm, was, lived;

    cr_assert_eq(enrol(&r, "0", &a), 0);
    service = ap_service_at(client->seg, r.service_index);
    queue = &ap_queue_at(client->seg, a.queue)->life;
    swarm = &ap_swarm_at(client->seg, r.swarm)->life;
    was = *queue;
    lived = *swarm;
    cr_expect_eq(rows_while(service, NULL, 0), 1);
    cr_expect_eq(rows_while(service, queue, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(was) + 1, AP_QUEUE_LANE(was), AP_QUEUE_OPEN)), 0,
                 "the queue is another's");
    *queue = was;
    cr_expect_eq(rows_while(service, queue, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(was), AP_QUEUE_LANE(was), AP_QUEUE_CLAIMED)), 0,
                 "its agent is being written");
    *queue = was;
    cr_expect_eq(rows_while(service, queue, AP_QUEUE_LIFE(AP_QUEUE_EPOCH(was), 0, AP_QUEUE_CLOSED)), 1, "it was this one's");
    *queue = was;
    cr_expect_eq(rows_while(service, swarm, AP_SWARM_LIFE(AP_SWARM_EPOCH(lived) + 1, AP_SWARM_LANE(lived), AP_SWARM_LIVE)), 0,
                 "the swarm is another");
    *swarm = lived;
    assert_sound();
}

/* ---- a ring that others fill ------------------------------------------------------------------------------------ */

static uint32_t filled;

static void fill_shared(void)
{
    while (ap_queue_push_shared(client->seg, filled, AP_REF(200, 1)) == 0) {}
}

/* There was room in the shared ring, and then there is none: nothing is left of the task, and a loan is its borrower's again. */
Test(race, a_ring_that_others_fill_meanwhile_is_full)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};
    struct worker w;
    apiary_task_t task = {.generation = 7};
    void *body;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    filled = w.queue;
    for (uint32_t i = 0; i < client->seg->geometry.queue_inlets; i++) /* somebody else has all the inlets */
        ap_store_relaxed(&ap_ring_at(client->seg, w.queue, i)->lease, UINT64_C(1) << 16 | (w.lane + 1));
    cr_assert_eq(apiary_loan(client, 200, &body), 0);
    meddle_in_submit(client->seg, fill_shared);
    cr_expect_eq(apiary_delegate_loan(client, "echo", body, 200, &o, NULL), APIARY_EQUEUEFULL);
    cr_assert_null(meddle);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(busy_tickets(), 0);
    cr_expect_eq(blocks_in_use(), 1);
    cr_expect_eq(apiary_unloan(client, body), 0);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_EQUEUEFULL, "it is full before, too");
    cr_expect_eq(task.generation, 7);
    cr_expect_eq(slots_in_use(), 0);
    for (uint32_t i = 0; i < client->seg->geometry.queue_inlets; i++)
        ap_store_relaxed(&ap_ring_at(client->seg, w.queue, i)->lease, 0);
    worker_stop(&w);
}

static void close_reopened(void)
{
    cr_assert_eq(ap_queue_close(client->seg, reopened, ap_load_acquire(&ap_queue_at(client->seg, reopened)->life)), 1);
}

/* It is on its way into the queue when that is closed: its queen may come back, and it waits for her. */
Test(race, a_task_stays_in_a_queue_that_is_closed)
{
    struct worker w;
    apiary_task_t task;
    uint64_t word;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    reopened = w.queue;
    meddle_in_submit(client->seg, close_reopened);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_assert_null(meddle);
    word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
    cr_expect(AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == w.queue);
    ap_give_up(client, task);
    cr_expect_eq(slots_in_use(), 0);
    worker_stop(&w);
}

/* ---- a probe whose provider goes ---------------------------------------------------------------------------------- */

static const apiary_delegate_options_t probe = {.struct_size = sizeof probe, .flags = APIARY_PROBE, .timeout = SECOND};

/* The provider has left when the probe is there: it is taken back. Or it has been opened anew: its consumer of now is told. */
Test(race, a_probe_is_taken_back_or_told_of)
{
    struct worker w[2];
    apiary_task_t task = {.generation = 7};
    uint32_t *bell;

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    reopened = w[0].queue;
    meddle_in_submit(client->seg, close_reopened);
    cr_expect_eq(apiary_delegate(client, "echo", NULL, 0, &probe, &task), APIARY_ENOPROVIDER);
    cr_assert_null(meddle);
    cr_expect_eq(task.generation, 7, "outputs are untouched");
    cr_expect_eq(apiary_delegate(client, "echo", NULL, 0, &probe, &task), APIARY_ENOPROVIDER, "nobody is there");
    cr_expect_eq(slots_in_use(), 0);
    cr_assert_eq(worker_register(&w[1], "other", "0", "agent", (const char *const[]){"other", NULL}), 0);
    reopener = w[1].lane;
    bell = &ap_lane_at(client->seg, reopener)->bell;
    cr_assert_eq(ap_queue_claim(client->seg, reopened, w[0].lane), 1);
    cr_assert_eq(ap_queue_open(client->seg, reopened, w[0].lane), 1);
    ap_bell_raise(bell);
    meddle_in_submit(client->seg, reopen);
    cr_expect_eq(apiary_delegate(client, "echo", NULL, 0, &probe, &task), 0);
    cr_assert_null(meddle);
    cr_expect_eq(ap_load_relaxed(bell) & 1, 0, "the consumer of now sleeps on");
    ap_give_up(client, task);
    cr_expect_eq(slots_in_use(), 0);
    client->seg->ops = &ap_ops_system;
    worker_stop(&w[0]);
    worker_stop(&w[1]);
}
