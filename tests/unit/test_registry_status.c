/* tests/unit/test_registry_status.c - get_swarm_status field by field, and nothing behind the rows that there is room for. */
#include "registry_fixture.h"

TestSuite(status, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

static struct ap_ops ops;

static uint64_t now_is(void)
{
    return 1000 * SECOND;
}

static uint64_t date_is(void)
{
    return 5000 * SECOND;
}

static struct ap_agent_registration agents[3] = {
    {.name = "a", .capabilities = echo}, {.name = "b", .capabilities = echo}, {.name = "c", .capabilities = echo}};

/* A living instance with two agents, one of whose queues is closed, beside another's. */
static struct ap_swarm *enrol(struct ap_swarm_registration *r, const char *instance, size_t from, size_t count)
{
    for (size_t i = 0; i < 3; i++) agents[i].lane = client->anchor->lane.index;
    *r = (struct ap_swarm_registration){.service = "server", .instance = instance, .version = "1.5", .port = 4009,
                                        .max_delegations = 3, .lane = client->anchor->lane.index, .member = client->member,
                                        .agents = agents + from, .agent_count = count};
    cr_assert_eq(ap_swarm_register(client->seg, r), 0);
    return ap_swarm_at(client->seg, r->swarm);
}

static void clocks_set(struct ap_swarm *s)
{
    ops = ap_ops_system;
    ops.now = now_is;
    ops.realtime = date_is;
    client->seg->ops = &ops;
    s->beat = 999 * SECOND;
    s->registered = 4990 * SECOND;
    s->state = APIARY_PASSING;
}

static void counts_set(uint32_t queue, uint64_t n)
{
    struct ap_queue *q = ap_queue_at(client->seg, queue);

    q->started = 100 * n;
    q->done = 10 * n;
    q->failed = 3 * n;
    q->late = 5 * n;
    q->crashed = 7 * n;
    q->expired = 11 * n;
    q->cancelled = 13 * n;
}

static apiary_swarm_status_t row_expected(void)
{
    apiary_swarm_status_t e = {.struct_size = sizeof e, .service = "server", .instance = "blue", .version = "1.5"};

    e.pid = getpid();
    e.state = APIARY_PASSING;
    e.mode = APIARY_READY;
    e.port = 4009;
    e.agents = 1; /* what it has no longer counts by what it did and what waits there */
    e.queued = 3;
    e.running = 2;
    e.delegations = 1;
    e.max_delegations = 3;
    e.started = 300;
    e.done = 30;
    e.late = 15;
    e.failed = 3 * (3 + 5 + 7 + 11);
    e.cancelled = 39;
    e.finished = 30 + 78 + 39;
    e.beat_age = 1 * SECOND;
    e.uptime = 10 * SECOND;
    return e;
}

static void judge(const apiary_swarm_status_t *expected, const char *when)
{
    apiary_swarm_status_t row;

    memset(&row, 'x', sizeof row);
    row.struct_size = sizeof row;
    cr_assert_eq(apiary_swarm_status(client, "server", &row, 1), 2, "%s", when);
    cr_expect_arr_eq(&row, expected, sizeof row, "%s", when);
}

Test(status, each_field_of_a_row)
{
    struct ap_swarm_registration r, other;
    struct ap_ticket_hint hint = {0};
    apiary_swarm_status_t e = row_expected();
    apiary_task_t tasks[3];
    struct ap_swarm *s;
    uint64_t life;
    uint32_t ticket;

    s = enrol(&r, "blue", 0, 2);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
    enrol(&other, "green", 2, 1);
    cr_assert_eq(ap_queue_close(client->seg, agents[1].queue, ap_queue_at(client->seg, agents[1].queue)->life), 1);
    for (uint32_t i = 0; i < 2; i++) {
        counts_set(agents[i].queue, i + 1);
        ap_queue_at(client->seg, agents[i].queue)->running = 2 * i + 2;
    }
    counts_set(agents[2].queue, 1000);
    cr_assert_eq(ap_ticket_take(client->seg, r.service_index, client->anchor->lane.index, 5, &hint, &ticket), 0);
    clocks_set(s);
    judge(&e, "as it is");
    s->leaving = 1;
    e.mode = APIARY_DRAIN;
    judge(&e, "leaving");
    s->leaving = 0;
    s->mode = AP_MODE_WORD(s->key, 9, APIARY_PAUSE);
    e.mode = APIARY_PAUSE;
    judge(&e, "an operator's mode");
    s->max_delegations = 0;
    e.max_delegations = 5;
    judge(&e, "no bound of its own");
    ap_queue_at(client->seg, agents[0].queue)->until = 1001 * SECOND;
    e.ejected = 1;
    e.state = APIARY_WARNING;
    judge(&e, "one of its agents is ejected");
    s->beat = 1000 * SECOND;
    s->registered = 5001 * SECOND;
    e.beat_age = e.uptime = 0;
    judge(&e, "stamps of this moment, and after it");
    s->beat = 1001 * SECOND;
    judge(&e, "a beat by a clock that is ahead");
    s->member = 77;
    e.pid = 0;
    judge(&e, "a member that there is not");
    s->member = client->member;
    s->leaving = 1;
    life = s->life;
    s->life = AP_SWARM_LIFE(AP_SWARM_EPOCH(life), 0, AP_SWARM_DOWN);
    s->registered = 4990 * SECOND;
    e.state = APIARY_DOWN;
    e.agents = 2; /* of one that has gone all are shown */
    e.running = e.ejected = 0;
    judge(&e, "down");
    s->life = life;
    client->seg->ops = &ap_ops_system;
    for (int i = 0; i < 3; i++) ap_give_up(client, tasks[i]);
}

/* The queen's own word holds for so long. */
Test(status, when_a_beat_is_missed)
{
    static const struct {
        uint32_t said;
        uint64_t age;
        enum apiary_state seen;
    } rows[] = {{APIARY_PASSING, 5 * SECOND - 1, APIARY_PASSING},    {APIARY_PASSING, 5 * SECOND, APIARY_WARNING},
                {APIARY_STARTING, 5 * SECOND, APIARY_WARNING},       {APIARY_WARNING, 5 * SECOND, APIARY_WARNING},
                {APIARY_CRITICAL, 15 * SECOND - 1, APIARY_CRITICAL}, {APIARY_PASSING, 15 * SECOND - 1, APIARY_WARNING},
                {APIARY_PASSING, 15 * SECOND, APIARY_CRITICAL},      {APIARY_DOWN, 15 * SECOND - 1, APIARY_DOWN}};
    struct ap_swarm_registration r;
    apiary_swarm_status_t row = {.struct_size = sizeof row};
    struct ap_swarm *s = enrol(&r, "blue", 0, 0);

    clocks_set(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s->state = rows[i].said;
        s->beat = 1000 * SECOND - rows[i].age;
        cr_assert_eq(apiary_swarm_status(client, "server", &row, 1), 1);
        cr_expect_eq(row.state, rows[i].seen, "row %zu: %d", i, (int)row.state);
        cr_expect_eq(row.beat_age, rows[i].age);
    }
    client->seg->ops = &ap_ops_system;
}

/* Of registrations that are, and of this service; the number of all, and as many rows as there is room for. */
Test(status, which_rows_there_are)
{
    struct ap_swarm_registration r[3], other = {.service = "other", .lane = client->anchor->lane.index, .member = client->member};
    apiary_swarm_status_t rows[4];
    static const char *const numbers[] = {"0", "1", "2"};

    for (int i = 0; i < 3; i++) enrol(&r[i], numbers[i], 0, 0);
    cr_assert_eq(ap_swarm_register(client->seg, &other), 0);
    for (size_t room = 0; room <= 4; room++) {
        memset(rows, 0, sizeof rows);
        for (size_t i = 0; i < 4; i++) rows[i].struct_size = sizeof rows[0];
        cr_expect_eq(apiary_swarm_status(client, NULL, rows, room), 4);
        for (size_t i = 0; i < 4; i++)
            cr_expect_str_eq(rows[i].instance, i >= room ? "" : i < 3 ? numbers[i] : "0", "%zu of %zu", i, room);
    }
    cr_expect_eq(apiary_swarm_status(client, "server", rows, 4), 3);
    cr_expect_eq(apiary_swarm_status(client, "other", rows, 4), 1);
    cr_expect_str_eq(rows[0].service, "other");
    cr_expect_eq(apiary_swarm_status(client, "caller", rows, 4), 0);
    cr_expect_eq(apiary_swarm_status(client, "unknown", rows, 4), 0);
    for (uint32_t state = AP_SWARM_FREE; state <= AP_SWARM_DOWN; state++) {
        struct ap_swarm *s = ap_swarm_at(client->seg, r[1].swarm);

        s->life = AP_SWARM_LIFE(AP_SWARM_EPOCH(s->life), state == AP_SWARM_LIVE ? r[1].lane : 0, state);
        cr_expect_eq(apiary_swarm_status(client, "server", rows, 4), state == AP_SWARM_LIVE || state == AP_SWARM_DOWN ? 3 : 2);
    }
    rows[0].struct_size = 3;
    cr_expect_eq(apiary_swarm_status(client, NULL, rows, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_swarm_status(client, NULL, rows, 0), 4, "no row, no size");
    cr_expect_eq(apiary_swarm_status(client, NULL, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_swarm_status(NULL, NULL, NULL, 0), APIARY_EINVAL);
}

/* What waits in a queue that is closed, whatever its rings still hold. */
Test(status, what_waits_in_a_closed_queue)
{
    struct ap_swarm_registration r;
    apiary_task_t tasks[3];
    uint32_t queue;

    enrol(&r, "blue", 0, 1);
    queue = agents[0].queue;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
        cr_expect_eq(ap_queue_waiting(client->seg, queue), (uint32_t)i + 1);
    }
    cr_assert_eq(ap_queue_close(client->seg, queue, ap_queue_at(client->seg, queue)->life), 1);
    cr_expect_eq(ap_queue_waiting(client->seg, queue), 3);
    cr_expect_eq(ap_queue_waiting(client->seg, 1 - queue), 0);
    for (uint32_t i = 0; i < 3; i++) {
        ap_give_up(client, tasks[i]);
        cr_expect_eq(ap_queue_waiting(client->seg, queue), 2 - i);
    }
}
