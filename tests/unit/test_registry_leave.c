/* tests/unit/test_registry_leave.c - how a registration ends, by whom, and what of it is left: each state, and nothing else. */
#include "registry_fixture.h"

#include "registry/discovery/discovery.h"
#include "registry/routing/router.h"
#include "shm/event.h"

TestSuite(leave, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL};

static uint32_t control(void)
{
    return client->anchor->lane.index;
}

static void enrol(struct ap_swarm_registration *r, const char *service, const char *number, struct ap_agent_registration *agents,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) agents[i].lane = control();
    *r = (struct ap_swarm_registration){.service = service, .instance = number, .lane = control(), .member = client->member,
                                        .agents = agents, .agent_count = count};
    cr_assert_eq(ap_swarm_register(client->seg, r), 0);
}

static uint64_t died(struct ap_event *last)
{
    struct ap_event e;
    uint64_t n = 0;

    for (uint64_t i = 1; i < ap_load_acquire(&client->seg->header->event_next); i++) {
        if (ap_event_read(client->seg, i, &e) != 1 || e.kind != AP_EVENT_SWARM_DIED) continue;
        *last = e;
        n++;
    }
    return n;
}

static uint64_t now_is;
static struct ap_ops own_ops;

static uint64_t own_now(void)
{
    return now_is;
}

static void clock_own(uint64_t now)
{
    own_ops = ap_ops_system;
    own_ops.now = own_now;
    now_is = now;
    client->seg->ops = &own_ops;
}

/* ---- by the queen --------------------------------------------------------------------------------------------- */

/* Into the record while it is its own, and not a byte elsewhere. */
Test(leave, a_beat_is_stored_while_the_record_is_its_own)
{
    struct ap_swarm_registration r, none;
    struct ap_swarm *s, before;

    enrol(&r, "server", "0", NULL, 0);
    s = ap_swarm_at(client->seg, r.swarm);
    clock_own(99);
    before = *s;
    cr_expect(ap_swarm_beat(client->seg, &r, APIARY_WARNING, 0));
    before.state = APIARY_WARNING;
    before.beat = 99;
    cr_expect_arr_eq(s, &before, sizeof before);
    now_is = 100;
    none = r;
    none.swarm = 4;
    cr_expect_not(ap_swarm_beat(client->seg, &none, APIARY_PASSING, 0), "there are four records");
    none = r;
    none.lane++;
    cr_expect_not(ap_swarm_beat(client->seg, &none, APIARY_PASSING, 0), "another lane's");
    ap_swarm_withdraw(client->seg, &none);
    cr_expect_arr_eq(s, &before, sizeof before);
    for (uint32_t state = AP_SWARM_FREE; state <= AP_SWARM_DOWN; state++) {
        if (state == AP_SWARM_LIVE) continue;
        s->life = AP_SWARM_LIFE(1, control(), state);
        cr_expect_not(ap_swarm_beat(client->seg, &r, APIARY_PASSING, 0), "state %u", state);
        ap_swarm_withdraw(client->seg, &r);
        ap_swarm_deregister(client->seg, control(), &r);
        cr_expect(s->beat == 99 && s->state == APIARY_WARNING && s->leaving == 0 && AP_SWARM_STATE(s->life) == state);
    }
    client->seg->ops = &ap_ops_system;
}

/* By then nothing waits any more in what it has closed, if another can run it. */
Test(leave, what_waits_goes_to_another_at_once)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a;
    struct ap_swarm_registration first, second;
    apiary_task_t tasks[3];

    enrol(&first, "server", "0", &a, 1);
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &tasks[i]), 0);
    enrol(&second, "server", "1", &b, 1);
    ap_swarm_close(client->seg, control(), &first);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(AP_WORD_OWNER(ap_slot_at(client->seg, tasks[i].slot)->word), b.queue);
        ap_give_up(client, tasks[i]);
    }
    cr_expect_eq(AP_SWARM_STATE(ap_swarm_at(client->seg, first.swarm)->life), AP_SWARM_LIVE);
    ap_swarm_deregister(client->seg, control(), &first);
    assert_sound();
}

/* ---- by others ------------------------------------------------------------------------------------------------ */

/* What a record becomes whose lane has died, by its state, and whether it had its key by then. */
Test(leave, a_record_is_ended_once_and_as_what_it_was)
{
    static const struct {
        uint32_t state;
        bool key;
        uint32_t then;
        bool told;
    } rows[] = {{AP_SWARM_FREE, false, AP_SWARM_FREE, false},    {AP_SWARM_CLAIMED, false, AP_SWARM_FREE, false},
                {AP_SWARM_CLAIMED, true, AP_SWARM_DOWN, false},  {AP_SWARM_LIVE, true, AP_SWARM_DOWN, true},
                {AP_SWARM_DOWN, true, AP_SWARM_DOWN, false}};
    struct ap_swarm *s = ap_swarm_at(client->seg, 2);
    struct ap_event e = {0};
    uint64_t told = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t life = AP_SWARM_LIFE(7, 9, rows[i].state), ended = AP_SWARM_LIFE(7, 0, rows[i].then);

        s->key = rows[i].key ? 55 : 0;
        s->life = life;
        ap_swarm_end(client->seg, 2, AP_SWARM_LIFE(6, 9, rows[i].state));
        cr_expect_eq(s->life, life, "row %zu: another life", i);
        cr_expect_eq(died(&e), told);
        ap_swarm_end(client->seg, 2, life);
        cr_expect_eq(s->life, rows[i].state == AP_SWARM_FREE || rows[i].state == AP_SWARM_DOWN ? life : ended, "row %zu", i);
        told += rows[i].told;
        cr_expect_eq(died(&e), told, "row %zu", i);
        ap_swarm_end(client->seg, 2, life);
        cr_expect_eq(died(&e), told, "row %zu: twice", i);
    }
    cr_expect(e.lane == 9 && e.a == 2 && e.b == 9);
    ap_swarm_end(client->seg, 4, AP_SWARM_LIFE(1, 9, AP_SWARM_LIVE)); /* there is none */
    s->life = 0;
    s->key = 0;
}

/* Its queues are closed with it, those of others are not, nor is one that another has opened since. */
Test(leave, the_queues_of_a_record_that_ends)
{
    struct ap_agent_registration a[2] = {{.name = "a", .capabilities = echo}, {.name = "b", .capabilities = echo}}, b = a[0];
    struct ap_swarm_registration r, other;
    uint64_t life;

    enrol(&r, "server", "0", a, 2);
    enrol(&other, "server", "1", &b, 1);
    life = ap_swarm_at(client->seg, r.swarm)->life;
    ap_swarm_at(client->seg, r.swarm)->life = life + AP_SWARM_LIFE(1, 0, 0);
    ap_swarm_end(client->seg, r.swarm, life);
    cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, a[0].queue)->life), AP_QUEUE_OPEN, "registered anew");
    ap_swarm_at(client->seg, r.swarm)->life = life;
    ap_swarm_end(client->seg, r.swarm, life);
    for (int i = 0; i < 2; i++) cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, a[i].queue)->life), AP_QUEUE_CLOSED);
    cr_expect_eq(AP_QUEUE_STATE(ap_queue_at(client->seg, b.queue)->life), AP_QUEUE_OPEN);
}

/* All of a lane, and of no other; beside a reaper only while the lane has the life that was seen. */
Test(leave, all_registrations_of_a_lane)
{
    uint64_t dead = AP_LIFE(3, AP_LIFE_DEAD);
    struct ap_lane *lane = ap_lane_at(client->seg, 9);

    for (int beside = 0; beside < 3; beside++) {
        bool ends = beside != 2;

        lane->life = dead;
        for (uint32_t i = 0; i < 4; i++) {
            ap_swarm_at(client->seg, i)->key = 55 + i;
            ap_swarm_at(client->seg, i)->life = AP_SWARM_LIFE(7, i == 1 ? 8 : 9, i == 3 ? AP_SWARM_DOWN : AP_SWARM_LIVE);
        }
        ap_swarms_end(client->seg, 9, beside == 0 ? 0 : beside == 1 ? dead : AP_LIFE(2, AP_LIFE_DEAD));
        for (uint32_t i = 0; i < 4; i++)
            cr_expect_eq(AP_SWARM_STATE(ap_swarm_at(client->seg, i)->life),
                         i == 3 || (ends && i != 1) ? AP_SWARM_DOWN : AP_SWARM_LIVE, "%d: %u", beside, i);
    }
    for (uint32_t i = 0; i < 4; i++) ap_swarm_at(client->seg, i)->life = ap_swarm_at(client->seg, i)->key = 0;
    lane->life = 0;
}

/* ---- forgotten ------------------------------------------------------------------------------------------------ */

/* One at a time: of those that are down, READY and without a task; by the instance, that one only. */
Test(leave, records_that_are_forgotten)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r[4];
    static const char *const numbers[] = {"0", "1", "2", "3"};
    apiary_task_t task;
    struct ap_swarm *s;

    for (int i = 0; i < 4; i++) enrol(&r[i], "server", numbers[i], &a, i == 1 ? 1 : 0);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_assert_eq(ap_swarm_mode_set(client->seg, 0, "server", "0", APIARY_MAINT, NULL), 1);
    r[1].agents = &a;
    for (int i = 0; i < 3; i++) ap_swarm_deregister(client->seg, control(), &r[i]);
    cr_expect_not(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "0"), false), "in a mode");
    cr_expect_not(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "1"), false), "with a task");
    cr_expect_not(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "3"), false), "live");
    cr_expect_not(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "4"), false), "none");
    for (int i = 0; i < 4; i++) cr_expect_eq(ap_swarm_at(client->seg, (uint64_t)i)->key, ap_swarm_key("server", numbers[i]));
    cr_expect(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "2"), false));
    s = ap_swarm_at(client->seg, 2);
    cr_expect(AP_SWARM_STATE(s->life) == AP_SWARM_FREE && AP_SWARM_LANE(s->life) == 0 && s->key == 0);
    cr_expect_not(ap_swarm_forget(client->seg, control()));
    ap_give_up(client, task);
    cr_expect_eq(ap_agent_at(client->seg, a.queue)->swarm, 1);
    cr_expect(ap_swarm_forget(client->seg, control()));
    cr_expect_eq(AP_SWARM_STATE(ap_swarm_at(client->seg, 1)->life), AP_SWARM_FREE);
    cr_expect_eq(ap_agent_at(client->seg, a.queue)->swarm, AP_NO_SWARM);
    cr_expect_not(ap_swarm_forget(client->seg, control()));
    cr_expect_eq(AP_SWARM_STATE(ap_swarm_at(client->seg, 0)->life), AP_SWARM_DOWN);
    cr_expect_not(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "3"), true), "live");
    cr_expect(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "0"), true), "in whatever mode");
    cr_expect_eq(AP_SWARM_STATE(ap_swarm_at(client->seg, 0)->life), AP_SWARM_FREE);
    assert_sound();
}

/* Neither is what an operator has said of one that is forgotten said of another one under its name. */
Test(leave, what_an_operator_said_goes_with_a_record)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo};
    struct ap_swarm_registration r;
    const struct ap_swarm *s;
    char reason[AP_REASON_MAX + 1];

    for (int again = 0; again < 2; again++) {
        enrol(&r, "server", "0", &a, 0);
        s = ap_swarm_at(client->seg, r.swarm);
        cr_expect_eq(r.swarm, 0);
        cr_expect_eq(ap_swarm_weight(s), AP_WEIGHT);
        cr_expect_eq(AP_MODE_OF(s->mode), APIARY_READY);
        ap_swarm_reason(client->seg, r.swarm, reason);
        cr_expect_str_eq(reason, "");
        cr_assert_eq(ap_swarm_weight_set(client->seg, r.swarm, "server", "0", 30), 1);
        cr_assert_eq(ap_swarm_mode_set(client->seg, r.swarm, "server", "0", APIARY_PAUSE, "for now"), 1);
        ap_swarm_deregister(client->seg, control(), &r);
        cr_expect_eq(ap_swarm_weight(s), 30, "until it is forgotten it stays");
        cr_assert(ap_swarm_forget_instance(client->seg, control(), ap_swarm_key("server", "0"), true));
    }
    assert_sound();
}

/* ---- what a recovery asks ------------------------------------------------------------------------------------- */

Test(leave, whether_an_agent_runs_a_task)
{
    struct ap_agent_registration a = {.name = "a", .capabilities = echo}, b = a;
    struct ap_swarm_registration one, two;
    struct ap_slot slot = {0};
    struct ap_segment *seg = client->seg;
    uint32_t index, none = 7;

    enrol(&one, "one", "0", &a, 1);
    enrol(&two, "two", "0", &b, 1);
    cr_assert_eq(ap_capability_intern(seg, "other", &index), 0);
    slot.capability = (uint16_t)ap_capability_find(seg, "echo", 4);
    cr_expect(ap_registry_hooks.offers(NULL, seg, &slot, a.queue));
    cr_expect(ap_registry_hooks.offers(NULL, seg, &slot, b.queue));
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, none));
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, seg->geometry.queues));
    slot.only = (uint16_t)(two.service_index + 1);
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, a.queue));
    cr_expect(ap_registry_hooks.offers(NULL, seg, &slot, b.queue));
    ap_swarm_deregister(seg, control(), &two);
    cr_expect(ap_registry_hooks.offers(NULL, seg, &slot, b.queue), "a queue that is closed, too");
    ap_agent_at(seg, b.queue)->swarm = AP_NO_SWARM;
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, b.queue), "nobody's");
    slot.only = 0;
    cr_expect(ap_registry_hooks.offers(NULL, seg, &slot, b.queue));
    slot.capability = (uint16_t)index;
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, a.queue));
    /* The record of a queue that was never open says nothing. */
    slot.capability = 0;
    ap_agent_at(seg, none)->capability_count = 1;
    cr_expect_not(ap_registry_hooks.offers(NULL, seg, &slot, none));
    ap_agent_at(seg, none)->capability_count = 0;
}

/* A lane that moves a task takes turns by its own balance. */
Test(leave, whose_turn_it_is_when_a_task_is_moved)
{
    struct ap_agent_registration a[4];
    struct ap_swarm_registration r[4];
    static const char *const numbers[] = {"0", "1", "2", "3"};
    struct ap_balance balance = {.producers = NULL};
    apiary_task_t task;
    struct ap_slot *slot;

    a[0] = (struct ap_agent_registration){.name = "a", .capabilities = echo};
    enrol(&r[0], "server", "0", &a[0], 1);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    slot = ap_slot_at(client->seg, task.slot);
    for (int i = 1; i < 4; i++) {
        a[i] = (struct ap_agent_registration){.name = "a", .capabilities = echo};
        enrol(&r[i], "server", numbers[i], &a[i], 1);
    }
    cr_assert_eq(ap_queue_close(client->seg, a[0].queue, ap_queue_at(client->seg, a[0].queue)->life), 1);
    for (int i = 1; i < 4; i++) {
        uint64_t word = AP_WORD_WITH(slot->word, AP_TASK_QUEUED, a[0].queue);

        slot->word = word;
        balance.turn = a[i].queue;
        cr_expect_eq(ap_reroute(client->seg, &balance, task.slot, word), AP_MOVE_MOVED);
        cr_expect_eq(AP_WORD_OWNER(slot->word), a[i].queue, "%d", i);
        for (int k = 1; k < 4; k++) ap_queue_at(client->seg, a[k].queue)->depth = 0;
    }
    ap_give_up(client, task);
}
