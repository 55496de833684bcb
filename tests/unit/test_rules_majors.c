/* Rules of majors, of tasks for one's own swarm, of those that are moved from a preferred provider; and rules that are broken. */
#include "rules_fixture.h"

TestSuite(rules_majors, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const struct ap_rules
    only_caller = {.count = 2, .list = {{.verb = AP_RULE_ALLOW, .from = "caller"}, {.verb = AP_RULE_ALLOW, .from = "other"}}},
    no_caller = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}},
    rather_s1 = {.count = 2, .list = {{.verb = AP_RULE_PREFER, .from = "caller", .to = "s1"},
                                      {.verb = AP_RULE_PREFER, .from = "other", .to = "s0"}}};

static void enter_major(uint32_t i, const char *name, const struct ap_rules *rules)
{
    static const char *names[MOST][2];
    struct provider *p = &all[i];

    snprintf(p->service, sizeof p->service, "s%u", i);
    names[i][0] = name;
    p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = names[i], .rules = rules,
                                              .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, p->swarm.swarm)->state, APIARY_PASSING);
}

/* The name without a major has the rules of who was last: they do not open another major. */
Test(rules_majors, the_name_without_a_major_does_not_get_round_those_of_one)
{
    static const struct ap_rules bank = {.count = 1, .list = {{.verb = AP_RULE_ALLOW, .from = "bank"}}},
                                 guest = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "guest"}}};
    apiary_t *of_bank = attach_as("bank"), *of_guest = attach_as("guest");
    struct ap_route_question q = {.service = -1, .caller = service_of("caller")};
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    apiary_task_t task;
    uint32_t queue;

    enter_major(0, "work@2", &bank);
    enter_major(1, "work@1", &guest);
    cr_expect_eq(picked_for(service_of("bank")), 0, "the newest");
    cr_expect_eq(picked_for(service_of("caller")), 1, "the newest that it may ask for");
    cr_expect_eq(picked_for(service_of("guest")), APIARY_EFORBIDDEN);
    depart(1);
    cr_expect_eq(picked_for(service_of("caller")), APIARY_EFORBIDDEN);
    cr_expect_eq(ap_route_may(client->seg, work_index(), &q), APIARY_EFORBIDDEN);
    o.provider = AP_PROVIDER(all[0].agent.queue, ap_queue_at(client->seg, all[0].agent.queue)->life);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_EFORBIDDEN, "nor does its number");
    cr_assert_eq(apiary_delegate(of_bank, "work", "a", 1, &o, &task), 0);
    queue = AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word);
    cr_expect_eq(queue, all[0].agent.queue);
    apiary_detach(of_bank);
    apiary_detach(of_guest);
}

/* It is counted, and the text is not that of a refusal before. */
Test(rules_majors, a_refusal_of_one_provider_is_its_own)
{
    static const struct ap_rules bank = {.count = 1, .list = {{.verb = AP_RULE_ALLOW, .from = "bank"}}},
                                 guest = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "guest"}}};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    apiary_task_t task;

    enter_major(0, "work@2", &bank);
    enter_major(1, "work@1", &guest);
    enter_major(2, "gate", &no_caller);
    cr_expect_eq(apiary_delegate(client, "gate", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_not_null(strstr(refusal.message, "gate has the rule"), "%s", refusal.message);
    o.provider = AP_PROVIDER(all[0].agent.queue, ap_queue_at(client->seg, all[0].agent.queue)->life);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(refused(), 1);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EFORBIDDEN);
    cr_expect_null(strstr(refusal.message, "gate"), "%s", refusal.message);
}

Test(rules_majors, tasks_for_ones_own_swarm_may_wait)
{
    const apiary_delegate_options_t later = {.struct_size = sizeof later, .delay = SECOND};
    struct ap_lane_context *c;
    apiary_task_t task;
    int r = 0;

    enter(0, &no_caller);
    c = ap_context(client, &r);
    cr_expect_eq(ap_submit(c, (int)service_of("s0") - 1, "work", "a", 1, 0, &later, &task), 0);
    cr_expect_eq(refused(), 0);
}

/* What is moved from a preferred provider to spread it goes to another that is preferred, or to none. */
Test(rules_majors, elsewhere_is_where_the_rules_prefer)
{
    const struct ap_route_question q = {.service = -1, .caller = service_of("caller")}, anybody = {.service = -1};

    enter(0, NULL);
    enter(1, &rather_s1);
    cr_expect(ap_route_elsewhere(client->seg, work_index(), &anybody, all[1].agent.queue));
    cr_expect_not(ap_route_elsewhere(client->seg, work_index(), &q, all[1].agent.queue));
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[1].swarm.swarm, "s1", "0", 0), 1);
    cr_expect(ap_route_elsewhere(client->seg, work_index(), &q, all[1].agent.queue), "it does not pass");
}

/* A set that cannot be read lets nobody through. */
Test(rules_majors, rules_that_are_broken_refuse)
{
    struct ap_terms *terms;
    struct ap_rule_set *set;
    uint32_t count;
    uint64_t word, life;
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    enter(0, &only_caller);
    terms = ap_terms_at(client->seg, work_index());
    word = terms->rules;
    set = ap_rule_set_at(client->seg, AP_RULE_SET_INDEX(AP_TERM_VALUE(word) - 1));
    life = set->life;
    cr_expect_eq(picked_for(service_of("caller")), 0);
    for (int i = 0; i < 4; i++) {
        count = set->count;
        if (i == 0) set->count = 0;
        if (i == 1) set->count = AP_RULES_MAX + 1;
        if (i == 2) set->life = AP_RULES_LIFE(AP_RULES_GENERATION(life), 0, AP_RULES_FREE);
        if (i == 3) terms->rules = AP_TERM_NEXT(word, UINT64_C(4000));
        cr_expect_eq(picked_for(service_of("caller")), APIARY_EFORBIDDEN, "%d", i);
        cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
        cr_expect_eq(apiary_refusal(client, &refusal), 0);
        set->count = count;
        set->life = life;
        terms->rules = word;
    }
    memset(set->list[0].from, 'x', sizeof set->list[0].from);
    cr_expect_eq(picked_for(service_of("caller")), APIARY_EFORBIDDEN, "no name is as long");
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect(strlen(refusal.message) < sizeof refusal.message);
}
