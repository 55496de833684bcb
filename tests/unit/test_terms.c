/* What capabilities declare of themselves, and whose declaration is in force. */
#include "registry_fixture.h"

#include "registry/routing/terms.h"
#include "shm/event.h"

TestSuite(terms, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* An instance whose agent offers these; nobody drains its queue. */
struct instance {
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
    struct ap_terms_conflicts conflicts;
};

static void instance_enter(struct instance *i, const char *service, const char *const *capabilities, const struct ap_terms *terms)
{
    *i = (struct instance){.agent = {.name = "agent", .capabilities = capabilities, .terms = terms,
                                     .lane = client->anchor->lane.index}};
    i->swarm = (struct ap_swarm_registration){.service = service, .lane = client->anchor->lane.index, .member = client->member,
                                              .agents = &i->agent, .agent_count = 1, .conflicts = &i->conflicts};
    cr_assert_eq(ap_swarm_register(client->seg, &i->swarm), 0);
}

static void instance_leave(struct instance *i)
{
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &i->swarm);
}

static uint64_t balance_of(const char *capability)
{
    int index = ap_capability_find(client->seg, capability, strlen(capability));

    cr_assert_geq(index, 0);
    return ap_term(client->seg, (uint32_t)index, ap_capability_at(client->seg, (uint64_t)index), AP_TERM_balance);
}

static const char *const work[] = {"work@2", "other", NULL};
static const struct ap_terms turns[] = {{.balance = AP_POLICY_round_robin + 1}, {.balance = 0}};
static const struct ap_terms loads[] = {{.balance = AP_POLICY_least_loaded + 1}, {.balance = 0}};
static const struct ap_terms nothing[2];

static uint32_t events_of(uint32_t kind)
{
    uint32_t n = 0;
    struct ap_event e;

    for (uint64_t i = 1; i < ap_load_relaxed(&client->seg->header->event_next); i++)
        n += ap_event_read(client->seg, i, &e) && e.kind == kind;
    return n;
}

Test(terms, what_is_declared_is_in_force_with_the_major_and_without)
{
    struct instance i;

    instance_enter(&i, "one", work, turns);
    cr_expect_eq(balance_of("work@2"), AP_POLICY_round_robin);
    cr_expect_eq(balance_of("work"), AP_POLICY_round_robin);
    cr_expect_eq(balance_of("other"), AP_POLICY_OTHERWISE);
    cr_expect_eq(i.conflicts.count, 0);
    assert_sound();
}

Test(terms, who_declares_last_wins_and_is_told)
{
    struct instance one, two, three;

    instance_enter(&one, "one", work, turns);
    instance_enter(&two, "two", work, loads);
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded);
    cr_expect_eq(two.conflicts.count, 2, "of work@2, and of work");
    cr_expect_eq(two.conflicts.list[0].before, AP_POLICY_round_robin);
    cr_expect_eq(events_of(AP_EVENT_TERMS_CHANGED), 2);
    instance_enter(&three, "three", work, loads);
    cr_expect_eq(three.conflicts.count, 0, "it says the same");
    assert_sound();
}

Test(terms, what_an_agent_does_not_declare_is_left_to_the_others)
{
    struct instance one, two;

    instance_enter(&one, "one", work, turns);
    instance_enter(&two, "two", work, nothing);
    cr_expect_eq(balance_of("work"), AP_POLICY_round_robin);
    cr_expect_eq(two.conflicts.count, 0);
    instance_leave(&one);
    instance_leave(&two);
    instance_enter(&two, "two", work, nothing);
    cr_expect_eq(balance_of("work"), AP_POLICY_OTHERWISE, "nobody declares it any more");
    instance_leave(&two);
    instance_enter(&two, "two", work, turns);
    instance_leave(&two);
    instance_enter(&two, "two", work, loads);
    cr_expect_eq(two.conflicts.count, 0, "what it contradicts is its own, which has gone");
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded);
    assert_sound();
}

Test(terms, a_value_out_of_range_is_none)
{
    struct instance i;
    int index;

    instance_enter(&i, "one", work, turns);
    index = ap_capability_find(client->seg, "work", 4);
    ap_terms_at(client->seg, (uint64_t)index)->balance = UINT64_MAX;
    cr_expect_eq(balance_of("work"), AP_POLICY_OTHERWISE);
}

Test(terms, each_in_turn_however_much_it_has)
{
    struct instance one, two;
    uint32_t count[8] = {0};
    int error = 0;
    struct ap_lane_context *c = ap_context(client, &error);
    int index;

    instance_enter(&one, "one", work, turns);
    instance_enter(&two, "two", work, NULL);
    index = ap_capability_find(client->seg, "work", 4);
    ap_store_relaxed(&ap_queue_at(client->seg, one.agent.queue)->running, 100);
    for (int i = 0; i < 10; i++) {
        uint32_t queue;
        uint64_t life;

        cr_assert_eq(ap_route(client->seg, (uint32_t)index, &c->balance, AP_NO_QUEUE, &queue, &life), 0);
        count[queue]++;
    }
    cr_expect_eq(count[one.agent.queue], 5);
    cr_expect_eq(count[two.agent.queue], 5);
    ap_store_relaxed(&ap_queue_at(client->seg, one.agent.queue)->running, 0);
}

/* ---- declared otherwise while it stands --------------------------------------------------------------------------- */

static void sister_enter(struct instance *i, const char *name, const struct ap_terms *terms)
{
    *i = (struct instance){.agent = {.name = "agent", .capabilities = work, .terms = terms, .lane = client->anchor->lane.index}};
    i->swarm = (struct ap_swarm_registration){.service = "one", .instance = name, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &i->agent, .agent_count = 1,
                                              .conflicts = &i->conflicts};
    cr_assert_eq(ap_swarm_register(client->seg, &i->swarm), 0);
}

/* The instance says this from now on, as far as its agent's terms go. */
static int instance_adjust(struct instance *i, const struct ap_terms *terms, uint32_t weight)
{
    struct ap_agent_registration agent = i->agent;
    struct ap_swarm_registration next = i->swarm;
    int r;

    agent.terms = terms;
    next.agents = &agent;
    next.weight = weight;
    i->conflicts.count = 0;
    r = ap_swarm_adjust(client->seg, client->anchor->lane.index, &i->swarm, &next);
    if (r != 0) return r;
    i->agent.terms = terms;
    i->swarm.weight = weight;
    return 0;
}

Test(terms, an_instance_says_otherwise_while_it_stands)
{
    struct instance one, two;
    uint64_t life;

    sister_enter(&one, "0", turns);
    sister_enter(&two, "1", turns);
    life = ap_queue_at(client->seg, one.agent.queue)->life;
    cr_assert_eq(instance_adjust(&one, loads, 30), 0);
    cr_assert_eq(instance_adjust(&two, loads, 40), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded);
    cr_expect_eq(balance_of("work@2"), AP_POLICY_least_loaded);
    cr_expect_eq(one.conflicts.count + two.conflicts.count, 0, "sisters do not contradict each other");
    cr_expect_eq(events_of(AP_EVENT_TERMS_CHANGED), 0);
    cr_expect_eq(ap_swarm_weight(ap_swarm_at(client->seg, one.swarm.swarm)), 30);
    cr_expect_eq(ap_swarm_weight(ap_swarm_at(client->seg, two.swarm.swarm)), 40);
    cr_expect_eq(ap_queue_at(client->seg, one.agent.queue)->life, life, "its queue is the same");
    cr_assert_eq(instance_adjust(&one, nothing, 30), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_OTHERWISE, "though its sister still offers it: she is told, too");
    cr_assert_eq(instance_adjust(&two, nothing, 40), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_OTHERWISE);
    assert_sound();
}

Test(terms, what_others_have_declared_is_not_taken_back)
{
    struct instance one, two;

    instance_enter(&one, "one", work, turns);
    instance_enter(&two, "two", work, loads);
    cr_assert_eq(instance_adjust(&one, nothing, 100), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded, "it is another one's by then");
    cr_assert_eq(instance_adjust(&one, loads, 100), 0);
    cr_assert_eq(instance_adjust(&one, nothing, 100), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded, "another service offers it, and may have said the same");
    cr_expect_eq(one.conflicts.count, 0);
    cr_assert_eq(instance_adjust(&one, turns, 100), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_round_robin);
    cr_expect_eq(one.conflicts.count, 2, "of work@2, and of work");
    cr_expect_eq(one.conflicts.list[0].before, AP_POLICY_least_loaded);
    assert_sound();
}

/* Two services have declared the same, so the word does not tell that it is the other's, too. */
Test(terms, who_says_otherwise_than_another_service_is_told)
{
    struct instance one, two;

    instance_enter(&one, "one", work, turns);
    instance_enter(&two, "two", work, turns);
    cr_expect_eq(two.conflicts.count, 0);
    cr_assert_eq(instance_adjust(&one, loads, 100), 0);
    cr_expect_eq(balance_of("work"), AP_POLICY_least_loaded);
    cr_expect_eq(one.conflicts.count, 2, "of work@2, and of work");
    cr_expect_eq(one.conflicts.list[0].before, AP_POLICY_round_robin);
    instance_leave(&two);
    cr_assert_eq(instance_adjust(&one, turns, 100), 0);
    cr_expect_eq(one.conflicts.count, 0, "there is no other");
    assert_sound();
}

Test(terms, what_is_not_the_same_registration_is_not_adjusted)
{
    static const char *const more[] = {"work@2", "other", "third", NULL};
    static const struct ap_terms three[3];
    struct instance one;
    struct ap_agent_registration agent;
    struct ap_swarm_registration next;

    instance_enter(&one, "one", work, turns);
    agent = one.agent;
    next = one.swarm;
    next.agents = &agent;
    next.weight = 9;
    agent.capabilities = more;
    agent.terms = three;
    cr_expect_eq(ap_swarm_adjust(client->seg, client->anchor->lane.index, &one.swarm, &next), APIARY_EINVAL);
    agent = one.agent;
    agent.name = "stranger";
    cr_expect_eq(ap_swarm_adjust(client->seg, client->anchor->lane.index, &one.swarm, &next), APIARY_EINVAL);
    cr_expect_eq(ap_swarm_weight(ap_swarm_at(client->seg, one.swarm.swarm)), 100, "nothing of it was applied");
    cr_expect_eq(balance_of("work"), AP_POLICY_round_robin);
    instance_leave(&one);
    cr_expect_eq(instance_adjust(&one, loads, 9), APIARY_ESTALE);
    assert_sound();
}
