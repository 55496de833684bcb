/* Edges of the registry: what is refused at once, how long a wait sleeps, what others do in between, and what is theirs by now. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "registry/monitor/monitor.h"
#include "registry_fixture.h"

TestSuite(registry_edges, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* ---- arguments ------------------------------------------------------------------------------------------------ */

Test(registry_edges, where_nothing_can_be_told_nothing_is_waited_for)
{
    apiary_task_t task = {0};
    apiary_result_t result = {.struct_size = sizeof result};

    cr_expect_eq(apiary_await(client, task, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_poll(client, task, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, &task, 1, 0, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, NULL, 1, 0, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, &task, 0, 0, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, &task, (size_t)INT32_MAX + 1, 0, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_release(client, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_await(NULL, task, 0, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_poll(NULL, task, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(NULL, &task, 1, 0, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_release(NULL, &result), APIARY_EINVAL);
    cr_expect_eq(apiary_cancel(NULL, task), APIARY_EINVAL);
    cr_expect_eq(apiary_interrupt(NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_lane_fd(NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_segment_fd(NULL), APIARY_EINVAL);
}

Test(registry_edges, what_names_nothing_is_not_delegated)
{
    char body[8] = "", result[8];
    apiary_provider_t provider = {.struct_size = sizeof provider};
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    apiary_task_t task;
    void *loan;

    cr_expect_eq(apiary_delegate(client, NULL, body, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", NULL, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(NULL, "echo", body, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, NULL, body, 1, NULL, result, 8, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, "echo", NULL, 1, NULL, result, 8, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(client, "echo", body, 1, NULL, NULL, 8, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call(NULL, "echo", body, 1, NULL, result, 8, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_loan(client, 100, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_loan(NULL, 100, &loan), APIARY_EINVAL);
    cr_expect_eq(apiary_unloan(NULL, body), APIARY_EINVAL);
    cr_expect_eq(apiary_unloan(client, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, NULL, body, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "echo", NULL, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(client, "echo", body, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_loan(NULL, "echo", body, 1, NULL, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_discover(NULL, "echo", &provider, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_discover(client, NULL, &provider, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_discover(client, "echo", NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_swarm_status(NULL, NULL, &row, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_swarm_status(client, NULL, NULL, 1), APIARY_EINVAL);
}

/* Refused whether or not somebody wants to read why, and nothing is written where there is no room. */
Test(registry_edges, a_setting_that_is_not_understood_needs_no_message)
{
    static const char *const settings[] = {"APIARY_SPIN", "APIARY_PARK"};
    char message[256];
    apiary_attach_options_t nowhere = {.struct_size = sizeof nowhere, .message = NULL, .message_size = 200},
        empty = {.struct_size = sizeof empty, .message = message, .message_size = 0},
                            some = {.struct_size = sizeof some, .message = message, .message_size = sizeof message};
    apiary_t *a = NULL;

    for (int i = 0; i < 2; i++) {
        setenv(settings[i], "sometimes", 1);
        message[0] = '#';
        cr_expect_eq(apiary_attach(seg_name, NULL, &a), APIARY_EINVAL);
        cr_expect_eq(apiary_attach(seg_name, &nowhere, &a), APIARY_EINVAL);
        cr_expect_eq(apiary_attach(seg_name, &empty, &a), APIARY_EINVAL);
        cr_expect_eq(message[0], '#');
        cr_expect_eq(apiary_attach(seg_name, &some, &a), APIARY_EINVAL);
        cr_expect(strstr(message, settings[i]) != NULL && strstr(message, "'sometimes'") != NULL, "%s", message);
        unsetenv(settings[i]);
    }
    cr_expect_null(a);
}

/* A limit beyond the segment's is the segment's: the row ends there. */
Test(registry_edges, no_limit_gives_tickets_that_there_are_not)
{
    struct ap_ticket_hint hint = {.row = NULL};
    uint32_t most = client->seg->geometry.max_concurrent_delegations, n = 0;
    uint32_t ticket;

    while (n <= most && ap_ticket_take(client->seg, 1, 3, UINT32_MAX, &hint, &ticket) == 0) {
        cr_expect(ticket >= 1 && ticket <= most, "ticket %u of %u", ticket, most);
        n++;
    }
    cr_expect_eq(n, most);
    cr_expect_eq(ap_ticket_take(client->seg, 1, 3, 0, &hint, &ticket), APIARY_ELIMIT);
    cr_expect_eq(ap_ticket_take(client->seg, 8, 3, most, &hint, &ticket), APIARY_EINVAL, "there are 8 services");
    ap_tickets_free(client->seg, 3);
    cr_expect_eq(ap_tickets_busy(client->seg, 1), 0);
    assert_sound();
}

/* ---- threads that cannot be made -------------------------------------------------------------------------------- */

/* As where the number of threads is bounded. */
Test(registry_edges, without_a_thread_there_is_no_descriptor_and_no_monitor)
{
    struct ap_monitor *m = NULL;
    pthread_attr_t before, huge;
    int fd;

    cr_assert_eq(pthread_getattr_default_np(&before), 0);
    cr_assert_eq(pthread_attr_init(&huge), 0);
    cr_assert_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 60), 0);
    cr_assert_eq(pthread_setattr_default_np(&huge), 0);
    cr_expect_eq(apiary_lane_fd(client), APIARY_ESYS);
    cr_expect_null(client->anchor->parker);
    cr_expect_eq(client->anchor->event_fd, -1);
    cr_expect_eq(ap_monitor_start(client->seg, client->member, &m), APIARY_ESYS);
    cr_expect_null(m);
    cr_assert_eq(pthread_setattr_default_np(&before), 0);
    fd = apiary_lane_fd(client);
    cr_expect_geq(fd, 0, "what was refused once is to be had later");
}

/* ---- attach ----------------------------------------------------------------------------------------------------- */

/* Numbers that no creation would have let through, though all sections lie where they should. */
Test(registry_edges, a_registry_of_impossible_size_is_refused)
{
    static const struct {
        uint32_t section, count;
    } bad[] = {{AP_SECTION_SERVICES, 0},      {AP_SECTION_SERVICES, 7},      {AP_SECTION_SERVICES, AP_SERVICES_MAX + 1},
               {AP_SECTION_TICKETS, 0},       {AP_SECTION_TICKETS, 7},       {AP_SECTION_SWARMS, 0},
               {AP_SECTION_SWARMS, AP_SWARMS_MAX + 1}, {AP_SECTION_AGENTS, 0},        {AP_SECTION_AGENTS, 7},
               {AP_SECTION_CAPABILITIES, 0},  {AP_SECTION_CAPABILITIES, 3},  {AP_SECTION_CAPABILITIES, 15},
               {AP_SECTION_CAPABILITIES, 65536}};
    struct ap_header *h = client->seg->header;
    apiary_t *a;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ap_section *section = &h->sections[bad[i].section], was = *section;

        section->count = bad[i].count;
        cr_expect_eq(apiary_attach(seg_name, NULL, &a), APIARY_ECORRUPT, "%u %.16s", bad[i].count, was.name);
        *section = was;
        section->stride -= 8;
        cr_expect_eq(apiary_attach(seg_name, NULL, &a), APIARY_ECORRUPT, "stride of %.16s", was.name);
        *section = was;
    }
    cr_assert_eq(apiary_attach(seg_name, NULL, &a), 0);
    apiary_detach(a);
}

/* ---- what is of another ---------------------------------------------------------------------------------------- */

/* The end of a registration is the end of its own queues. */
Test(registry_edges, an_instance_that_ends_closes_no_queue_of_another)
{
    struct ap_segment *seg = client->seg;
    struct worker w[2];

    for (int i = 0; i < 2; i++) cr_assert_eq(worker_register(&w[i], "server", i == 0 ? "0" : "1", "agent", echo), 0);
    ap_swarm_end(seg, w[0].swarm.swarm, ap_load_acquire(&ap_swarm_at(seg, w[0].swarm.swarm)->life));
    cr_expect_eq(AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, w[0].queue)->life)), AP_QUEUE_CLOSED);
    cr_expect_eq(AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(seg, w[1].queue)->life)), AP_QUEUE_OPEN);
    for (int i = 0; i < 2; i++) worker_stop(&w[i]);
    assert_sound();
}

/* ---- tasks ------------------------------------------------------------------------------------------------------ */

/* The first has no room any more: what went to the second instead has its name, and ends there. */
Test(registry_edges, a_batch_names_what_went_to_another_provider)
{
    enum { MANY = 12 };
    apiary_t *free_caller = attach_as(NULL);
    apiary_request_t requests[MANY] = {{.struct_size = sizeof requests[0]}};
    apiary_task_t tasks[MANY], none;
    apiary_result_t results[MANY] = {[0 ... MANY - 1] = {.struct_size = sizeof results[0]}};
    struct worker w[2];
    size_t n;

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    /* The second looks busy, so the balancer prefers the first until that is full. */
    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 200);
    for (int i = 0; i < MANY; i++) requests[i] = (apiary_request_t){.struct_size = sizeof(apiary_request_t),
                                                                    .capability = "echo", .body = "x", .size = 1};
    memset(tasks, 0x5a, sizeof tasks);
    memset(&none, 0x5a, sizeof none);
    cr_assert_eq(apiary_delegate_batch(free_caller, requests, MANY, tasks, &n), 0);
    cr_assert_eq(n, MANY);
    for (int i = 0; i < MANY; i++) cr_assert_neq(memcmp(&tasks[i], &none, sizeof none), 0, "task %d", i);
    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 0);
    for (int i = 0; i < 2; i++) worker_go(&w[i]);
    cr_assert_eq(apiary_await_batch(free_caller, tasks, MANY, APIARY_FOREVER, results, &n), 0);
    for (int i = 0; i < MANY; i++) cr_assert_eq(apiary_release(free_caller, &results[i]), 0);
    cr_assert_eq(ap_load_acquire(&w[0].runs) + ap_load_acquire(&w[1].runs), MANY);
    cr_assert_gt(ap_load_acquire(&w[1].runs), 0, "the first had room, so nothing of this is tested");
    apiary_detach(free_caller);
    for (int i = 0; i < 2; i++) worker_stop(&w[i]);
    assert_sound();
}

/* The largest block is full of it, and one byte more is too much, by whatever call. */
Test(registry_edges, a_body_of_the_size_of_the_largest_block)
{
    size_t most = ap_pool_max(client->seg), n;
    char *body = calloc(1, most + 1);
    apiary_request_t q = {.struct_size = sizeof q, .capability = "echo", .body = body, .size = most + 1};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    struct worker w;
    void *loan;

    cr_assert_not_null(body);
    body[most - 1] = 'z';
    worker_start(&w, "echo");
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_ETOOLARGE);
    cr_expect_eq(n, 0);
    cr_expect_eq(apiary_delegate(client, "echo", body, most + 1, NULL, &task), APIARY_ETOOLARGE);
    cr_expect_eq(apiary_loan(client, most + 1, &loan), APIARY_ETOOLARGE);
    q.size = most;
    cr_assert_eq(apiary_delegate_batch(client, &q, 1, &task, &n), 0);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_expect_eq(result.size, most);
    cr_expect_eq(((const char *)result.data)[most - 1], 'z');
    cr_assert_eq(apiary_release(client, &result), 0);
    worker_stop(&w);
    free(body);
    assert_sound();
}

/* Neither what is not offered, nor what there is not. A task in a queue that serves stays where it is. */
Test(registry_edges, a_queue_offers_what_its_agent_does)
{
    struct ap_balance balance = {.turn = 0, .producers = NULL};
    struct ap_segment *seg = client->seg;
    struct worker w[2];
    apiary_task_t task;
    uint64_t word;
    uint32_t row;

    for (int i = 0; i < 2; i++) cr_assert_eq(worker_register(&w[i], "server", i == 0 ? "0" : "1", "agent", echo), 0);
    row = (uint32_t)ap_capability_find(seg, "echo", 4);
    cr_expect_eq(ap_capability_next(seg, row, w[0].queue), (int)w[0].queue);
    cr_expect_eq(ap_capability_next(seg, row + 1, w[0].queue), -1);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    word = ap_load_acquire(&ap_slot_at(seg, task.slot)->word);
    cr_expect_eq(ap_reroute(seg, &balance, task.slot, word), 0);
    cr_expect_eq(ap_load_acquire(&ap_slot_at(seg, task.slot)->word), word);
    ap_give_up(client, task);
    ap_swarm_withdraw(seg, &w[0].swarm);
    cr_expect_eq(ap_capability_next(seg, row, 0), (int)w[1].queue);
    for (int i = 0; i < 2; i++) worker_stop(&w[i]);
}

static uint32_t lane_opened;

static void *lane_main(void *arg)
{
    struct ap_lane_handle *lane = arg;

    cr_assert_eq(ap_lane_open(client->seg, client->member, lane), 0);
    ap_store_release(&lane_opened, 1);
    while (ap_load_acquire(&lane->lane->hand[7]) == 0) sched_yield();
    return NULL;
}

static void lane_start(pthread_t *thread, struct ap_lane_handle *lane)
{
    ap_store_relaxed(&lane_opened, 0);
    cr_assert_eq(pthread_create(thread, NULL, lane_main, lane), 0);
    while (ap_load_acquire(&lane_opened) == 0) sched_yield();
}

/* Nobody has begun it, and nobody else offers it: the only one who would is recovered all the same. */
Test(registry_edges, who_looks_at_a_queued_task_recovers_its_dead_worker)
{
    struct ap_agent_registration agent = {.name = "agent", .capabilities = echo};
    struct ap_swarm_registration r = {.service = "server", .lane = client->anchor->lane.index, .member = client->member,
                                      .agents = &agent, .agent_count = 1};
    struct ap_lane_handle lane = {.lane = NULL};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    pthread_t thread;

    lane_start(&thread, &lane);
    agent.lane = lane.index;
    cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    ap_store_release(&lane.lane->hand[7], 1);
    pthread_join(thread, NULL);
    ap_store_relaxed(&lane.lane->hand[7], 0);
    cr_assert_eq(ap_lane_dead(client->seg, lane.index), 1);
    cr_assert_eq(apiary_poll(client, task, &result), APIARY_ENOTREADY);
    cr_expect_eq(AP_LIFE_STATE(ap_load_acquire(&lane.lane->life)), AP_LIFE_FREE);
    ap_give_up(client, task);
    assert_sound();
}

/* ---- what happens between the choice of a queue and the task's coming into it ------------------------------------ */

static struct ap_ops between;
static struct worker *chosen;
static struct ap_lane_handle *consumer;
static pthread_t consumer_thread;

/* A submit reads the clock when it has chosen. */
static uint64_t close_chosen(void)
{
    if (chosen != NULL)
        ap_queue_close(client->seg, chosen->queue, ap_load_acquire(&ap_queue_at(client->seg, chosen->queue)->life));
    chosen = NULL;
    return ap_ops_system.now();
}

static uint64_t kill_consumer(void)
{
    if (consumer != NULL) {
        ap_store_release(&consumer->lane->hand[7], 1);
        pthread_join(consumer_thread, NULL);
        ap_store_relaxed(&consumer->lane->hand[7], 0);
    }
    consumer = NULL;
    return ap_ops_system.now();
}

static uint32_t delegated_while(uint64_t (*now)(void))
{
    struct ap_slot *slot;
    apiary_task_t task;
    uint64_t word = 0;

    between = ap_ops_system;
    between.now = now;
    client->seg->ops = &between;
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    client->seg->ops = &ap_ops_system;
    cr_assert(ap_task_find(client, task, &slot, &word));
    ap_give_up(client, task);
    return AP_WORD_OWNER(word);
}

Test(registry_edges, a_queue_that_is_closed_meanwhile_keeps_no_task)
{
    struct worker w[2];

    for (int i = 0; i < 2; i++) cr_assert_eq(worker_register(&w[i], "server", i == 0 ? "0" : "1", "agent", echo), 0);
    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 200);
    chosen = &w[0];
    cr_expect_eq(delegated_while(close_chosen), w[1].queue);
    cr_expect_null(chosen);
    for (int i = 0; i < 2; i++) worker_stop(&w[i]);
}

Test(registry_edges, a_queue_whose_consumer_dies_meanwhile_keeps_no_task)
{
    struct ap_agent_registration agent = {.name = "agent", .capabilities = echo};
    struct ap_swarm_registration r = {.service = "server", .instance = "0", .lane = client->anchor->lane.index,
                                      .member = client->member, .agents = &agent, .agent_count = 1};
    struct ap_lane_handle lane = {.lane = NULL};
    struct worker w;

    lane_start(&consumer_thread, &lane);
    agent.lane = lane.index;
    cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
    cr_assert_eq(worker_register(&w, "server", "1", "agent", echo), 0);
    ap_store_relaxed(&ap_queue_at(client->seg, w.queue)->running, 200);
    consumer = &lane;
    cr_expect_eq(delegated_while(kill_consumer), w.queue);
    cr_expect_null(consumer);
    worker_stop(&w);
}

/* ---- how long a wait sleeps ------------------------------------------------------------------------------------- */

#define SLEEPS 12u
#define BEGAN (1000 * SECOND)

static struct ap_ops noting;
static uint64_t clock_at, slept[SLEEPS];
static uint32_t sleeps;

static uint64_t noting_now(void)
{
    return clock_at;
}

/* Whoever sleeps for the last time is interrupted. */
static int noting_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    if (ap_load_acquire(word) != value) return -EAGAIN;
    if (sleeps < SLEEPS) slept[sleeps++] = until - clock_at;
    if (sleeps == SLEEPS) ap_add_acq_rel(&client->interrupts, 1);
    clock_at = until;
    return -ETIMEDOUT;
}

/* Waits by a clock that only sleeping moves, without a spin. */
static int await_noting(apiary_task_t task, uint64_t timeout)
{
    apiary_result_t result = {.struct_size = sizeof result};

    sleeps = 0;
    return apiary_await(client, task, timeout, &result);
}

Test(registry_edges, a_wait_without_end_looks_around_now_and_then)
{
    const apiary_delegate_options_t late = {.struct_size = sizeof late, .timeout = 1000 * SECOND},
        soon = {.struct_size = sizeof soon, .timeout = 15 * MS};
    struct worker w;
    apiary_task_t task;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    clock_at = BEGAN;
    noting = *client->seg->ops;
    noting.now = noting_now;
    noting.futex_wait = noting_wait;
    client->seg->ops = &noting;
    ap_spin_open(&client->anchor->spin, &noting);
    client->anchor->spin.never = true;
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &late, &task), 0);
    cr_assert_eq(await_noting(task, APIARY_FOREVER), APIARY_EINTERRUPTED);
    cr_assert_eq(sleeps, SLEEPS);
    for (uint32_t i = 0; i < SLEEPS; i++) cr_expect_eq(slept[i], i < 7 ? 10 * MS << i : SECOND, "sleep %u", i);
    /* To the end of the caller's time, and to the task's own, and not behind them. */
    cr_assert_eq(await_noting(task, 25 * MS), APIARY_ENOTREADY);
    cr_assert_eq(sleeps, 2);
    cr_expect_eq(slept[0], 10 * MS);
    cr_expect_eq(slept[1], 15 * MS);
    ap_give_up(client, task);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &soon, &task), 0);
    cr_assert_eq(await_noting(task, APIARY_FOREVER), APIARY_ETIMEDOUT);
    cr_assert_eq(sleeps, 2);
    cr_expect_eq(slept[1], 5 * MS);
    client->seg->ops = &ap_ops_system;
    worker_stop(&w);
}

/* ---- what a lane's descriptor tells of its own accord ------------------------------------------------------------ */

static struct ap_ops hasty;
static uint64_t hasty_later;
static uint32_t hasty_looks;

static uint64_t hasty_now(void)
{
    return ap_ops_system.now() + ap_load_acquire(&hasty_later);
}

/* A second is over at once, and every other time a signal comes in between. */
static int hasty_wait(const uint32_t *word, uint32_t value, uint64_t until)
{
    (void)until;
    sched_yield();
    if (ap_load_acquire(word) != value) return -EAGAIN;
    return ap_add_acq_rel(&hasty_looks, 1) % 2 == 0 ? -ETIMEDOUT : -EINTR;
}

static void hasty_wait_for_looks(void)
{
    for (uint32_t from = ap_load_acquire(&hasty_looks); ap_load_acquire(&hasty_looks) - from < 20;) sched_yield();
}

Test(registry_edges, a_lane_descriptor_is_silent_until_a_deadline_is_over)
{
    const apiary_delegate_options_t late = {.struct_size = sizeof late, .timeout = 3600 * SECOND};
    struct pollfd p = {.events = POLLIN};
    struct worker w;
    apiary_t *own = attach_as(NULL); /* whose lane is not the first */
    apiary_task_t task;
    uint64_t count;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    hasty = ap_ops_system;
    hasty.now = hasty_now;
    hasty.futex_wait = hasty_wait;
    own->seg->ops = &hasty;
    cr_assert_eq(apiary_delegate(own, "echo", "x", 1, &late, &task), 0);
    w.hold = 1;
    worker_go(&w);
    sem_wait(&w.took);
    p.fd = apiary_lane_fd(own);
    cr_assert_geq(p.fd, 0);
    hasty_wait_for_looks();
    cr_assert_eq(read(p.fd, &count, sizeof count), (ssize_t)sizeof count, "once, for what was there before it");
    hasty_wait_for_looks();
    cr_expect_eq(poll(&p, 1, 0), 0, "nothing has happened");
    ap_store_release(&hasty_later, 7200 * SECOND);
    cr_expect_eq(poll(&p, 1, -1), 1);
    ap_give_up(own, task);
    hasty_wait_for_looks(); /* one look may have begun before */
    if (read(p.fd, &count, sizeof count) < 0) cr_assert_eq(errno, EAGAIN);
    hasty_wait_for_looks();
    cr_expect_eq(poll(&p, 1, 0), 0, "nobody waits for it any more");
    ap_parker_stop(own->anchor);
    own->seg->ops = &ap_ops_system;
    apiary_detach(own);
    worker_stop(&w);
}

static uint64_t blocks_out(void)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < client->seg->sections[AP_SECTION_BLOCKS].count; i++)
        n += AP_BLOCK_STATE(ap_load_acquire((uint64_t *)ap_at(client->seg, AP_SECTION_BLOCKS, i))) != AP_BLOCK_FREE;
    return n;
}

/* Also where there would be something to clear up: that is only looked for when no block is to be had. */
Test(registry_edges, a_loan_is_one_block)
{
    pid_t child = fork();
    int status;
    void *loan;

    cr_assert_geq(child, 0);
    if (child == 0) {
        attach_as(NULL);
        _exit(0); /* without a word */
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_expect_eq(blocks_out(), 0);
    cr_assert_eq(apiary_loan(client, 100, &loan), 0);
    cr_expect_eq(blocks_out(), 1);
    cr_assert_eq(apiary_unloan(client, loan), 0);
    cr_expect_eq(blocks_out(), 0);
}

static int descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(registry_edges, a_segment_that_cannot_be_made_leaves_nothing_open)
{
    char other[80], message[256] = "";
    struct ap_segment_options o = {.name = other, .geometry = small};
    struct ap_segment *seg = NULL;
    int before = descriptors();

    snprintf(other, sizeof other, "%s-x", seg_name);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}), 0);
    for (int i = 0; i < 5; i++) cr_expect_eq(ap_registry_create(&o, message, sizeof message, &seg), APIARY_ENOBLOCK);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY}), 0);
    cr_expect_not_null(strstr(message, "cannot reserve"), "%s", message);
    cr_expect_null(seg);
    cr_expect_eq(descriptors(), before);
    cr_expect_lt(shm_unlink(other), 0, "and nothing of that name");
}
