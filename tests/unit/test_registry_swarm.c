/* Registration, discovery, routing, status: what the meta registry knows of its swarms. */
#include "registry_fixture.h"

TestSuite(swarm, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

static uint32_t control(void)
{
    return client->anchor->lane.index;
}

/* Registers under the client's own lane; no worker runs. */
static int enrol(struct ap_swarm_registration *r, const char *service, const char *instance,
                 struct ap_agent_registration *agents, size_t count)
{
    for (size_t i = 0; i < count; i++) agents[i].lane = control();
    *r = (struct ap_swarm_registration){.service = service, .instance = instance, .lane = control(), .member = client->member,
                                        .agents = agents, .agent_count = count};
    return ap_swarm_register(client->seg, r);
}

static uint32_t queues_in(uint32_t state)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < client->seg->geometry.queues; i++)
        if (AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(client->seg, i)->life)) == state) n++;
    return n;
}

Test(swarm, names_are_interned_once)
{
    uint32_t a, b;
    char name[APIARY_CAPABILITY_MAX + 1];

    cr_assert_eq(ap_service_find(client->seg, "storage"), -1);
    cr_assert_eq(ap_service_intern(client->seg, control(), "storage", &a), 0);
    cr_assert_eq(ap_service_intern(client->seg, control(), "storage", &b), 0);
    cr_assert_eq(a, b);
    cr_assert_eq(ap_service_find(client->seg, "storage"), (int)a);
    ap_service_name(client->seg, a, name);
    cr_assert_str_eq(name, "storage");
    ap_service_name(client->seg, 1000, name);
    cr_assert_str_eq(name, "");
    cr_assert_eq(ap_service_intern(client->seg, control(), "Not A Name", &a), APIARY_EINVAL);
    cr_assert_eq(ap_capability_intern(client->seg, "x@0", &a), APIARY_EINVAL);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "capability-%d", i);
        cr_assert_eq(ap_capability_intern(client->seg, name, &a), 0);
        cr_assert_eq(ap_capability_find(client->seg, name, strlen(name)), (int)a);
    }
    cr_assert_eq(ap_capability_intern(client->seg, "one-too-many", &a), APIARY_ETABLEFULL);
    cr_assert_eq(ap_capability_find(client->seg, "one-too-many", 12), -1);
    assert_sound();
}

/* The status shows a bound that holds: there are no more tickets than the segment's. */
Test(swarm, a_limit_above_the_segments_is_the_segments)
{
    const uint32_t most = client->seg->geometry.max_concurrent_delegations, wanted[] = {0, 1, most, most + 1, UINT32_MAX};
    apiary_swarm_status_t row = {.struct_size = sizeof row};

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct ap_swarm_registration r = {.service = "storage", .instance = "0", .lane = control(), .member = client->member,
                                          .max_delegations = wanted[i]};

        cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
        cr_assert_eq(apiary_swarm_status(client, "storage", &row, 1), 1);
        cr_expect_eq(row.max_delegations, wanted[i] == 1 ? 1 : most, "%u", wanted[i]);
        assert_sound();
        ap_swarm_deregister(client->seg, control(), &r);
    }
}

Test(swarm, an_interner_that_died_is_finished_by_the_next)
{
    struct ap_capability *c;
    uint32_t index;

    cr_assert_eq(ap_capability_intern(client->seg, "half", &index), 0);
    c = ap_capability_at(client->seg, index);
    cr_assert_not_null(c);
    ap_text_store(ap_capability_text(client->seg, c), "h", APIARY_CAPABILITY_MAX + 1);
    ap_store_relaxed(&c->ready, 0);
    cr_assert_eq(ap_capability_find(client->seg, "half", 4), -1);
    cr_assert_eq(ap_capability_intern(client->seg, "half", &index), 0);
    cr_assert_eq(ap_capability_find(client->seg, "half", 4), (int)index);
    assert_sound();
}

Test(swarm, what_is_refused)
{
    struct ap_agent_registration agents[9];
    struct ap_swarm_registration r;
    const char *bad[] = {"Bad Name", NULL};
    const char *many[AP_AGENT_CAPABILITIES + 2] = {0};
    char names[AP_AGENT_CAPABILITIES + 1][16], agent_names[9][16];

    agents[0] = (struct ap_agent_registration){.name = "a", .capabilities = echo};
    cr_expect_eq(enrol(&r, "Bad", "0", agents, 1), APIARY_EINVAL);
    cr_expect_eq(enrol(&r, "service", "with space", agents, 1), APIARY_EINVAL);
    cr_expect_eq(enrol(&r, "service", "", agents, 1), APIARY_EINVAL);
    agents[0].name = "Bad";
    cr_expect_eq(enrol(&r, "service", "0", agents, 1), APIARY_EINVAL);
    agents[0] = (struct ap_agent_registration){.name = "a", .capabilities = bad};
    cr_expect_eq(enrol(&r, "service", "0", agents, 1), APIARY_EINVAL);
    agents[0].capabilities = agents[1].capabilities = echo;
    agents[1].name = "a";
    cr_expect_eq(enrol(&r, "service", "0", agents, 2), APIARY_EINVAL, "two agents of one name");
    for (unsigned i = 0; i <= AP_AGENT_CAPABILITIES; i++) {
        snprintf(names[i], sizeof names[i], "c%u", i);
        many[i] = names[i];
    }
    agents[0].capabilities = many;
    cr_expect_lt(enrol(&r, "service", "0", agents, 1), 0);
    for (int i = 0; i < 9; i++) {
        snprintf(agent_names[i], sizeof agent_names[i], "a%d", i);
        agents[i] = (struct ap_agent_registration){.name = agent_names[i], .capabilities = echo};
    }
    cr_expect_eq(enrol(&r, "service", "0", agents, 9), APIARY_ETABLEFULL, "there are 8 queues");
    cr_assert_eq(queues_in(AP_QUEUE_FREE), 8);
    assert_sound();
}

Test(swarm, all_or_nothing)
{
    struct ap_agent_registration first[6], second[3];
    struct ap_swarm_registration r, r2;
    static const char *const other[] = {"other", NULL};
    const char *names[] = {"a", "b", "c", "d", "e", "f"};
    apiary_provider_t row = {.struct_size = sizeof row};

    for (int i = 0; i < 6; i++) first[i] = (struct ap_agent_registration){.name = names[i], .capabilities = echo};
    for (int i = 0; i < 3; i++) second[i] = (struct ap_agent_registration){.name = names[i], .capabilities = other};
    cr_assert_eq(enrol(&r, "one", "0", first, 6), 0);
    cr_assert_eq(enrol(&r2, "two", "0", second, 3), APIARY_ETABLEFULL);
    cr_assert_eq(queues_in(AP_QUEUE_OPEN), 6);
    cr_assert_eq(apiary_discover(client, "other", &row, 1), 0);
    cr_assert_eq(apiary_swarm_status(client, NULL, NULL, 0), 1);
    cr_assert_eq(apiary_discover(client, "echo", NULL, 0), 6);
    assert_sound();
    cr_assert_eq(enrol(&r2, "two", "0", second, 2), 0);
    cr_assert_eq(apiary_discover(client, "other", &row, 1), 2);
    assert_sound();
}

/* A queen that is stopped cannot say so: who reads its status sees that it no longer beats. */
Test(swarm, a_missing_beat_is_seen)
{
    static const struct {
        uint32_t said;
        uint64_t age; /* s */
        enum apiary_state seen;
    } rows[] = {
        {APIARY_PASSING, 0, APIARY_PASSING},    {APIARY_PASSING, 6, APIARY_WARNING},
        {APIARY_STARTING, 6, APIARY_WARNING},   {APIARY_CRITICAL, 6, APIARY_CRITICAL},
        {APIARY_PASSING, 16, APIARY_CRITICAL},  {APIARY_WARNING, 16, APIARY_CRITICAL},
    };
    struct worker w;
    apiary_swarm_status_t status = {.struct_size = sizeof status};

    cr_assert_eq(worker_register(&w, "media", "0", "converter", echo), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ap_swarm *s = ap_swarm_at(client->seg, 0);

        ap_store_relaxed(&s->state, rows[i].said);
        ap_store_relaxed(&s->beat, client->seg->ops->now() - rows[i].age * UINT64_C(1000000000));
        cr_assert_eq(apiary_swarm_status(client, "media", &status, 1), 1);
        cr_expect_eq(status.state, rows[i].seen, "row %zu: %d", i, (int)status.state);
    }
    worker_halt(&w);
}

Test(swarm, discover_and_status)
{
    struct worker w;
    apiary_provider_t row[4] = {{.struct_size = sizeof row[0]}};
    apiary_swarm_status_t status = {.struct_size = sizeof status};
    const char *versioned[] = {"convert@2", NULL};

    cr_assert_eq(apiary_discover(client, "convert", row, 4), APIARY_ENOCAP);
    cr_assert_eq(worker_register(&w, "media", "blue", "converter", versioned), 0);
    cr_assert_eq(apiary_discover(client, "convert@2", row, 4), 1);
    cr_assert_eq(apiary_discover(client, "convert", row, 4), 1, "a version is offered without it, too");
    cr_assert_eq(apiary_discover(client, "convert@3", row, 4), APIARY_ENOCAP);
    cr_assert_str_eq(row[0].service, "media");
    cr_assert_str_eq(row[0].instance, "blue");
    cr_assert_str_eq(row[0].agent, "converter");
    cr_assert_eq(row[0].pid, getpid());
    cr_assert_eq(row[0].alive, 1);
    cr_assert_eq(apiary_delegate(client, "convert", "x", 1,
                                 &(apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t),
                                                              .flags = APIARY_DETACH}, NULL), 0);
    cr_assert_eq(apiary_discover(client, "convert", row, 0), 1);
    cr_assert_eq(apiary_discover(client, "convert", row, 4), 1);
    cr_assert_eq(row[0].in_flight, 1);
    cr_assert_eq(apiary_swarm_status(client, "media", &status, 1), 1);
    cr_assert_str_eq(status.service, "media");
    cr_assert_str_eq(status.version, "1.0");
    cr_assert_eq(status.pid, getpid());
    cr_assert_eq(status.state, APIARY_STARTING);
    cr_assert_eq(status.mode, APIARY_READY);
    cr_assert_eq(status.agents, 1);
    cr_assert_eq(status.queued, 1);
    cr_assert_eq(status.max_delegations, 5);
    cr_assert_eq(apiary_swarm_status(client, "nobody", &status, 1), 0);
    cr_assert_eq(apiary_swarm_status(client, NULL, &status, 1), 1);
    worker_stop(&w);
    cr_assert_eq(apiary_discover(client, "convert", row, 4), 0);
    cr_assert_eq(apiary_swarm_status(client, "media", &status, 1), 1);
    cr_assert_eq(status.state, APIARY_DOWN);
    cr_assert_eq(status.pid, 0);
    assert_sound();
}

Test(swarm, one_living_registration_of_a_name)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a;
    struct ap_swarm_registration r, r2;

    cr_assert_eq(enrol(&r, "one", NULL, &a, 1), 0);
    cr_assert_eq(enrol(&r2, "one", "0", &b, 1), APIARY_EEXIST, "NULL is instance 0");
    cr_assert_eq(enrol(&r2, "one", "1", &b, 1), 0);
    cr_assert_eq(apiary_swarm_status(client, "one", NULL, 0), 2);
    assert_sound();
    ap_swarm_deregister(client->seg, control(), &r);
    cr_assert_eq(enrol(&r2, "one", "0", &b, 1), 0);
    cr_assert_eq(r2.swarm, r.swarm);
    cr_assert_eq(apiary_swarm_status(client, "one", NULL, 0), 2);
    assert_sound();
}

struct race {
    uint32_t *arrived, *done;
    char instance[16];
    int result;
};

static void meet(uint32_t *count)
{
    ap_add_acq_rel(count, 1);
    while (ap_load_acquire(count) < 2) sched_yield();
}

static void *race_main(void *arg)
{
    struct race *race = arg;
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r = {.service = "one", .instance = race->instance, .member = client->member, .agents = &a,
                                      .agent_count = 1};
    int error = 0;
    struct ap_lane_context *c = ap_context(client, &error);

    cr_assert(c != NULL);
    r.lane = a.lane = c->lane.index;
    meet(race->arrived);
    race->result = ap_swarm_register(client->seg, &r);
    meet(race->done);
    if (race->result == 0) ap_swarm_deregister(client->seg, r.lane, &r);
    return NULL;
}

/* Two at once; with `instance` new each time they take records of their own, else the one that is DOWN. Returns how many
 * succeeded. */
static int race_once(const char *instance)
{
    uint32_t arrived = 0, done = 0;
    struct race race[2];
    pthread_t threads[2];
    int won = 0;

    for (int i = 0; i < 2; i++) {
        race[i] = (struct race){.arrived = &arrived, .done = &done};
        snprintf(race[i].instance, sizeof race[i].instance, "%s", instance);
        pthread_create(&threads[i], NULL, race_main, &race[i]);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(race[i].result == 0 || race[i].result == APIARY_EEXIST, "%s", apiary_strerror(race[i].result));
        won += race[i].result == 0;
    }
    cr_assert_leq(won, 1, "both registered");
    return won;
}

Test(swarm, never_two_of_a_name)
{
    char instance[16];

    for (int round = 0; round < 400; round++) {
        snprintf(instance, sizeof instance, "i%d", round);
        race_once(instance); /* both may yield */
    }
    while (race_once("again") == 0) {}
    for (int round = 0; round < 200; round++) cr_assert_eq(race_once("again"), 1, "where there is a record, one wins");
    assert_sound();
}

Test(swarm, a_restarted_queen_gets_its_queues_and_what_is_in_them)
{
    struct worker w, other, again;
    apiary_task_t tasks[3];
    apiary_result_t result = {.struct_size = sizeof result};
    uint32_t queue;
    const char *something[] = {"something", NULL};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    queue = w.queue;
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
    worker_stop(&w);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_poll(client, tasks[i], &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[0]), APIARY_ENOPROVIDER);
    cr_assert_eq(worker_register(&other, "someone", NULL, "agent", something), 0);
    cr_assert_neq(other.queue, queue);
    cr_assert_eq(worker_register(&again, "server", "0", "agent", echo), 0);
    cr_assert_eq(again.queue, queue);
    worker_go(&again);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_await(client, tasks[i], APIARY_FOREVER, &result), 0);
        cr_assert_eq(result.code, 0);
        apiary_release(client, &result);
    }
    cr_assert_eq(ap_load_acquire(&again.runs), 3);
    assert_sound();
    worker_stop(&again);
    worker_stop(&other);
}

Test(swarm, leaving_hands_over_what_is_queued)
{
    struct worker w[2];
    apiary_task_t tasks[3];
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    worker_go(&w[1]);
    worker_stop(&w[0]);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_await(client, tasks[i], APIARY_FOREVER, &result), 0);
        apiary_release(client, &result);
    }
    cr_assert_eq(ap_load_acquire(&w[1].runs), 3);
    assert_sound();
    worker_stop(&w[1]);
}

Test(swarm, withdrawal_ends_picks_and_not_the_work)
{
    struct worker w;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    ap_swarm_withdraw(w.server->seg, &w.swarm);
    cr_assert_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), APIARY_ENOPROVIDER);
    worker_go(&w);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    apiary_release(client, &result);
    worker_stop(&w);
}

Test(swarm, records_and_queues_of_those_who_left_are_used_again)
{
    struct ap_agent_registration a[4];
    struct ap_swarm_registration r;
    struct worker keeps;
    apiary_task_t task;
    const char *names[] = {"a", "b", "c", "d"};
    char service[16];

    /* One that left with a task in its queue must keep both. */
    cr_assert_eq(worker_register(&keeps, "keeps", NULL, "agent", echo), 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    worker_stop(&keeps);
    for (int round = 0; round < 4; round++) {
        snprintf(service, sizeof service, "s%d", round);
        for (int i = 0; i < 4; i++) a[i] = (struct ap_agent_registration){.name = names[i], .capabilities = echo + 1};
        cr_assert_eq(enrol(&r, service, "0", a, 4), 0, "round %d", round);
        for (int i = 0; i < 4; i++) cr_assert_neq(a[i].queue, keeps.queue);
        assert_sound();
        ap_swarm_deregister(client->seg, control(), &r);
    }
    cr_assert_eq(apiary_swarm_status(client, "keeps", NULL, 0), 1);
    cr_assert_eq(apiary_swarm_status(client, NULL, NULL, 0), 4);
    cr_assert_eq(worker_register(&keeps, "keeps", NULL, "agent", echo), 0);
    worker_go(&keeps);
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)}), 0);
    worker_stop(&keeps);
    assert_sound();
}

/* ---- what others do at the same time -------------------------------------------------------------------------- */

/* A registrant finds its dead predecessor in somebody else's hands, and by then the lane is another swarm's. */
Test(swarm, a_registrant_ends_only_its_predecessor)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a, c = a;
    struct ap_swarm_registration r, r2, r3;
    struct ap_lane *lane;
    struct ap_ticket_hint hint = {0};
    struct worker w;
    uint64_t life;
    uint32_t service;
    uint32_t ticket;

    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_assert_eq(enrol(&r, "one", NULL, &a, 1), 0);
    cr_assert_eq(enrol(&r2, "two", NULL, &b, 1), 0);
    cr_assert_eq(ap_service_intern(client->seg, control(), "two", &service), 0);
    cr_assert_eq(ap_ticket_take(client->seg, service, w.lane, 5, &hint, &ticket), 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct ap_swarm *s = ap_swarm_at(client->seg, i == 0 ? r.swarm : r2.swarm);
        ap_store_release(&s->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(s->life), w.lane, AP_SWARM_LIVE));
    }
    lane = ap_lane_at(client->seg, w.lane);
    life = ap_load_acquire(&lane->life);
    ap_store_release(&lane->life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD)); /* whoever has the mutex is at it */
    cr_expect_eq(enrol(&r3, "one", NULL, &c, 1), 0);
    cr_expect_eq(r3.swarm, r.swarm);
    cr_expect_eq(AP_SWARM_STATE(ap_load_acquire(&ap_swarm_at(client->seg, r2.swarm)->life)), AP_SWARM_LIVE);
    cr_expect_eq(ap_tickets_busy(client->seg, service), 1, "the reaper's business");
    ap_store_release(&lane->life, life);
    worker_stop(&w);
}

/* While a queue is CLAIMED its agent's name is being written. */
Test(swarm, a_claimed_queue_is_nobodys_row)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    apiary_provider_t row = {.struct_size = sizeof row};
    struct ap_queue *q;

    cr_assert_eq(enrol(&r, "one", "0", &a, 1), 0);
    q = ap_queue_at(client->seg, a.queue);
    cr_assert_eq(ap_queue_close(client->seg, a.queue, ap_load_acquire(&q->life)), 1);
    cr_expect_eq(apiary_discover(client, "echo", &row, 1), 1, "closed: its queen may come back");
    cr_assert_eq(ap_queue_claim(client->seg, a.queue, control()), 1);
    cr_expect_eq(apiary_discover(client, "echo", &row, 1), 0);
    cr_assert_eq(ap_queue_open(client->seg, a.queue, control()), 1);
    cr_expect_eq(apiary_discover(client, "echo", &row, 1), 1);
}

/* ---- routing -------------------------------------------------------------------------------------------------- */

static uint32_t pick(int service, uint32_t not)
{
    struct ap_balance *b = &client->anchor->balance;
    uint32_t queue = AP_NO_QUEUE;
    uint64_t life;
    int r = ap_route_in(client->seg, (uint32_t)ap_capability_find(client->seg, "echo", 4), service, b, not, &queue, &life);

    return r == 0 ? queue : AP_NO_QUEUE;
}

Test(swarm, the_least_loaded_of_the_living)
{
    struct ap_agent_registration a[3];
    struct ap_swarm_registration r[3];
    const char *services[] = {"one", "two", "three"};
    uint32_t seen[3], count[8] = {0};

    for (int i = 0; i < 3; i++) {
        a[i] = (struct ap_agent_registration){.name = "a", .capabilities = echo};
        cr_assert_eq(enrol(&r[i], services[i], "0", &a[i], 1), 0);
    }
    for (int i = 0; i < 30; i++) count[pick(-1, AP_NO_QUEUE)]++;
    for (int i = 0; i < 3; i++) cr_assert_eq(count[a[i].queue], 10, "equals take turns");
    ap_store_relaxed(&ap_queue_at(client->seg, a[0].queue)->depth, 3);
    ap_store_relaxed(&ap_queue_at(client->seg, a[1].queue)->running, 2);
    /* Said just now, however long this test takes: an older depth is not believed. */
    for (int i = 0; i < 3; i++) ap_store_relaxed(&ap_queue_at(client->seg, a[i].queue)->told, UINT64_MAX / 2);
    for (int i = 0; i < 3; i++) cr_assert_eq(pick(-1, AP_NO_QUEUE), a[2].queue);
    cr_assert_eq(pick(-1, a[2].queue), a[1].queue);
    cr_assert_eq(pick(ap_service_find(client->seg, "one"), AP_NO_QUEUE), a[0].queue, "execute_task stays in its service");
    ap_store_relaxed(&ap_swarm_at(client->seg, r[2].swarm)->mode, APIARY_DRAIN);
    cr_assert_eq(pick(-1, AP_NO_QUEUE), a[1].queue);
    ap_store_relaxed(&ap_swarm_at(client->seg, r[1].swarm)->mode, APIARY_PAUSE);
    ap_store_relaxed(&ap_swarm_at(client->seg, r[0].swarm)->mode, APIARY_MAINT);
    cr_assert_eq(pick(-1, AP_NO_QUEUE), AP_NO_QUEUE);
    for (int i = 0; i < 3; i++) ap_store_relaxed(&ap_swarm_at(client->seg, r[i].swarm)->mode, APIARY_READY);
    /* What this lane itself has put in counts before the consumer says so. */
    for (int i = 0; i < 3; i++) {
        ap_store_relaxed(&ap_queue_at(client->seg, a[i].queue)->depth, 0);
        ap_store_relaxed(&ap_queue_at(client->seg, a[i].queue)->running, 0);
    }
    for (int i = 0; i < 3; i++) {
        const apiary_delegate_options_t detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &detach, NULL), 0);
    }
    for (int i = 0; i < 3; i++) seen[i] = ap_queue_depth(client->seg, a[i].queue);
    cr_assert(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
    ap_swarm_deregister(client->seg, control(), &r[0]);
    cr_assert_eq(pick(ap_service_find(client->seg, "one"), AP_NO_QUEUE), AP_NO_QUEUE);
}

/* Nothing of what stood there before, and not a byte behind it. */
Test(swarm, texts_are_stored_over_others)
{
    static const char *const texts[] = {"the first", "a", "", "longer than all of the others before it was, b", NULL};
    char to[48 + 8], want[48 + 8];

    memset(to, '#', sizeof to);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        memset(want, '#', sizeof want);
        memset(want, 0, 48);
        if (texts[i] != NULL) memcpy(want, texts[i], strlen(texts[i]));
        ap_text_store(to, texts[i], 48);
        cr_expect_arr_eq(to, want, sizeof to, "%zu", i);
    }
    memset(want, 'x', 47);
    ap_text_store(to, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 48);
    cr_expect_arr_eq(to, want, sizeof to, "what is too long is cut");
}

/* The copy of a text is its beginning that prints, and zeros. */
Test(swarm, texts_are_copied_as_far_as_they_print)
{
    char from[48] AP_ALIGNED, to[48], want[48];

    for (unsigned at = 0; at < sizeof from; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            bool prints = byte >= ' ' && byte <= '~';

            memset(from, 'a', sizeof from);
            from[at] = (char)byte;
            memset(to, 'x', sizeof to);
            ap_text_copy(to, from, sizeof to);
            memset(want, 0, sizeof want);
            memcpy(want, from, prints ? sizeof want - 1 : at < sizeof want - 1 ? at : sizeof want - 1);
            cr_assert_arr_eq(to, want, sizeof want, "byte %u at %u", byte, at);
        }
    }
}
