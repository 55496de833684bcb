/* Those who are killed, and what the registry's checkers say. */
#include "registry_fixture.h"

TestSuite(killed, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

/* ---- the killed ----------------------------------------------------------------------------------------------- */

static void say(int fd)
{
    if (write(fd, "x", 1) != 1) _exit(90);
}

/* Runs `body` in a child that attaches for itself. `then` (may be NULL) runs when it has said that it is ready; it is killed
 * after that, and after it has spoken again if there is a `then`. */
static void kill_after(void (*body)(int ready), void (*then)(void))
{
    int ends[2], status;
    char byte;
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        body(ends[1]);
        _exit(1);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the child failed");
    if (then != NULL) {
        then();
        cr_assert_eq(read(ends[0], &byte, 1), 1, "the child failed");
    }
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    close(ends[0]);
}

/* A queen of one thread, which takes one task and never finishes it. */
static void queen_body(int ready)
{
    apiary_t *a = attach_as("server");
    struct ap_agent_registration agent = {.name = "agent", .capabilities = echo, .lane = a->anchor->lane.index};
    struct ap_swarm_registration r = {.service = "server", .lane = agent.lane, .member = a->member, .agents = &agent,
                                      .agent_count = 1};
    struct ap_consumer q;
    uint64_t ref, token;

    if (ap_swarm_register(a->seg, &r) != 0) _exit(2);
    say(ready);
    ap_consumer_init(&q, a->seg, agent.queue);
    while ((ref = ap_queue_pop(&q)) == 0) sched_yield();
    if (!ap_task_claim(a->seg, agent.lane, agent.queue, ref, &token)) _exit(3);
    say(ready);
    for (;;) pause();
}

Test(killed, a_killed_queen_is_routed_to_no_more_and_may_return_at_once)
{
    struct worker w;
    apiary_provider_t row = {.struct_size = sizeof row};
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    kill_after(queen_body, NULL);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_ENOPROVIDER);
    cr_assert_eq(apiary_discover(client, "echo", &row, 1), 1);
    cr_assert_eq(row.alive, 0, "known, but gone");
    cr_assert_str_eq(row.service, "server");
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0, "not EEXIST: it is dead");
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    worker_go(&w);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    apiary_release(client, &result);
    worker_stop(&w);
    ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks);
    assert_sound();
}

static apiary_task_t orphan;

static void delegate_orphan(void)
{
    cr_assert_eq(apiary_delegate(client, "echo", "left behind", 11, NULL, &orphan), 0);
}

/* Nobody monitors: the waiting client finds the death itself and goes on with the other instance. */
Test(killed, await_recovers_a_task_of_a_killed_worker)
{
    struct worker w;
    apiary_result_t result = {.struct_size = sizeof result};

    kill_after(queen_body, delegate_orphan);
    cr_assert_eq(apiary_poll(client, orphan, &result), APIARY_ENOTREADY);
    cr_assert_eq(worker_register(&w, "server", "1", "agent", echo), 0);
    worker_go(&w);
    cr_assert_eq(apiary_await(client, orphan, APIARY_FOREVER, &result), 0);
    cr_assert_eq(result.code, 0);
    cr_assert_eq(result.attempts, 2);
    cr_assert_eq(apiary_release(client, &result), 0);
    cr_assert_eq(ap_load_acquire(&w.runs), 1);
    worker_stop(&w);
    assert_sound();
}

static void *await_and_release(void *arg)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_await(client, orphan, APIARY_FOREVER, &result);

    if (r == 0) r = apiary_release(client, &result);
    *(int *)arg = r;
    return NULL;
}

/* A task of a killed queen without a second instance waits for the restart. */
Test(killed, await_outlasts_a_restart)
{
    struct worker w;
    int result = 1;
    pthread_t waiter;

    kill_after(queen_body, delegate_orphan);
    cr_assert_eq(pthread_create(&waiter, NULL, await_and_release, &result), 0);
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    worker_go(&w);
    pthread_join(waiter, NULL);
    cr_assert_eq(result, 0, "%s", apiary_strerror(result));
    cr_assert_eq(ap_load_acquire(&w.runs), 1);
    worker_stop(&w);
}

static void caller_body(int ready)
{
    apiary_t *a = attach_as("caller");
    apiary_task_t task;
    void *loan;

    for (int i = 0; i < 5; i++)
        if (apiary_delegate(a, "echo", "x", 1, NULL, &task) != 0) _exit(2);
    if (apiary_loan(a, 100, &loan) != 0) _exit(3);
    say(ready);
    for (;;) pause();
}

Test(killed, what_a_killed_caller_held_comes_back)
{
    struct worker w;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    kill_after(caller_body, NULL);
    cr_assert_eq(busy_tickets(), 5);
    /* The limit is met with tickets of the dead: they are recovered at once. */
    worker_go(&w);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), 0);
    cr_assert_eq(busy_tickets(), 0);
    cr_assert_eq(blocks_in_use(), 0);
    while (ap_load_acquire(&w.runs) < 6) sched_yield();
    while (slots_in_use() > 0) ap_sweep(client->seg, client->anchor->lane.index, &ap_registry_hooks);
    assert_sound();
    worker_stop(&w);
}

static void registrant_body(int ready)
{
    apiary_t *a = attach_as("server");
    struct ap_swarm *s = ap_swarm_at(a->seg, 0);
    uint64_t life = 0;

    /* As far as the claim of the record and of a queue. */
    if (!ap_cas(&s->life, &life, AP_SWARM_LIFE(1, a->anchor->lane.index, AP_SWARM_CLAIMED))) _exit(2);
    if (!ap_queue_claim(a->seg, 0, a->anchor->lane.index)) _exit(3);
    say(ready);
    for (;;) pause();
}

Test(killed, a_registrant_killed_half_way_leaves_nothing)
{
    struct worker w;

    kill_after(registrant_body, NULL);
    cr_assert_eq(ap_reap_all(client->seg, client->anchor->lane.index, &ap_registry_hooks), 1);
    cr_assert_eq(ap_load_acquire(&ap_swarm_at(client->seg, 0)->life), AP_SWARM_LIFE(1, 0, AP_SWARM_FREE));
    cr_assert_eq(AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(client->seg, 0)->life)), AP_QUEUE_FREE);
    assert_sound();
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_assert_eq(w.swarm.swarm, 0);
    worker_stop(&w);
}

/* ---- the checkers --------------------------------------------------------------------------------------------- */

static uint32_t corrupt_count(void)
{
    struct ap_report report = {.found = finding};

    first_finding[0] = '\0';
    ap_parts_check(client->seg, AP_SECTION_FIRST_FREE, AP_REGISTRY_SECTIONS_END, &report);
    return (uint32_t)(report.corrupt + report.repairable);
}

/* The finding names the rule; and it is gone when the word is as it was. */
#define EXPECT_FOUND(field, value, rule)                                    \
    do {                                                                    \
        __typeof__(field) was_ = (field);                                   \
        (field) = (value);                                                  \
        cr_expect_gt(corrupt_count(), 0, #field);                           \
        cr_expect(strstr(first_finding, rule) != NULL, "%s", first_finding); \
        (field) = was_;                                                     \
        cr_expect_eq(corrupt_count(), 0, "%s", first_finding);              \
    } while (0)

Test(killed, the_checkers_name_what_is_wrong)
{
    struct worker w;
    struct ap_segment *seg = client->seg;
    struct ap_swarm *s;
    struct ap_agent_record *a;
    struct ap_capability *c;
    struct ap_service *service;
    uint32_t *ticket = ap_at(seg, AP_SECTION_TICKETS, (uint32_t)client->service);
    apiary_task_t task;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    s = ap_swarm_at(seg, w.swarm.swarm);
    a = ap_agent_at(seg, w.queue);
    c = ap_capability_at(seg, (uint64_t)ap_capability_find(seg, "echo", 4));
    service = ap_service_at(seg, s->service);
    assert_sound();
    EXPECT_FOUND(s->life, s->life | 0xf0, "R1");
    EXPECT_FOUND(s->life, AP_SWARM_LIFE(1, 31, AP_SWARM_LIVE), "R1");
    EXPECT_FOUND(s->life, AP_SWARM_LIFE(1, 999, AP_SWARM_LIVE), "R1");
    EXPECT_FOUND(s->life, AP_SWARM_LIFE(1, 0, AP_SWARM_DOWN), "R3");
    EXPECT_FOUND(s->service, 7000, "R2");
    EXPECT_FOUND(s->mode, 9, "R5");
    EXPECT_FOUND(s->instance[0], '\n', "R2");
    EXPECT_FOUND(s->member, 4000, "R5");
    EXPECT_FOUND(s->key, 0, "R2");
    EXPECT_FOUND(a->swarm, 70, "R3");
    EXPECT_FOUND(a->name[0], 'A', "R2");
    EXPECT_FOUND(a->capability_count, 17, "R5");
    EXPECT_FOUND(a->capabilities[0], 15000, "R5");
    EXPECT_FOUND(c->key, c->key ^ 4, "D1");
    EXPECT_FOUND(ap_capability_text(seg, c)[1], 'd', "D1");
    EXPECT_FOUND(c->providers[0], c->providers[0] | 1u << 8, "D2");
    EXPECT_FOUND(service->key, 0, "R2");
    EXPECT_FOUND(service->name[2], 'R', "R2");
    EXPECT_FOUND(service->life, AP_SERVICE_LIFE(5, 0, 5), "R1");
    EXPECT_FOUND(service->life, AP_SERVICE_LIFE(5, 3, AP_SERVICE_READY), "R1");
    EXPECT_FOUND(service->life, AP_SERVICE_LIFE(5, 31, AP_SERVICE_NAMED), "R1");
    EXPECT_FOUND(service->life, AP_SERVICE_LIFE(5, 0, AP_SERVICE_FREE), "R2");
    EXPECT_FOUND(s->mode, AP_MODE_WORD(s->key + 1, 0, APIARY_READY), "R5");
    EXPECT_FOUND(s->reason[0], (uint64_t)AP_MODE_CHANGE(s->mode) << 48 | 7, "R5");
    EXPECT_FOUND(ticket[0], 1u << 15 | 30, "A1");
    EXPECT_FOUND(ticket[0], 3u << 15, "A1");
    EXPECT_FOUND(ticket[5], 1, "A1");
    worker_stop(&w);
}
