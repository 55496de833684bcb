/* A capability behind a gate: its tasks go there first, and only what is passed on for one of these reaches a provider. */
#include "rules_fixture.h"

#include "core/name.h"
#include "registry/client/carried.h"

TestSuite(gate, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const struct ap_rules by_gate = {.count = 2, .list = {{.verb = AP_RULE_VIA, .to = "gate"},
                                                             {.verb = AP_RULE_DENY, .from = "other"}}};

/* An agent of the last service offers the gate of what the others offer. */
static void enter_gate_of(const char *const *gate)
{
    struct provider *p = &all[MOST - 1];

    snprintf(p->service, sizeof p->service, "s%u", MOST - 1);
    p->agent = (struct ap_agent_registration){.name = "gate", .capabilities = gate, .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, p->swarm.swarm)->state, APIARY_PASSING);
}

static void enter_gate(void)
{
    static const char *const gate[] = {"gate", NULL};

    enter_gate_of(gate);
}

/* Asks for "work" for the sake of that task, as an agent does that has it in hand; the queue, or an error. */
static int ask_for(apiary_task_t sake, apiary_task_t *ret)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .hops = 5};
    int r;

    client->anchor->sake = AP_REF(sake.slot, sake.generation);
    r = apiary_delegate(client, "work", "a", 1, &o, ret);
    client->anchor->sake = 0;
    client->anchor->balance.from_gate = 0;
    return r < 0 ? r : (int)AP_WORD_OWNER(ap_slot_at(client->seg, ret->slot)->word);
}

static uint32_t queue_of(apiary_task_t task)
{
    return AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word);
}

Test(gate, what_has_a_gate_goes_there_first)
{
    apiary_delegate_options_t later = {.struct_size = sizeof later, .delay = SECOND}, to = {.struct_size = sizeof to};
    apiary_refusal_t told = {.struct_size = sizeof told};
    uint32_t gate, queue;
    apiary_task_t first, passed, task;
    apiary_t *other = attach_as("other");
    uint64_t life;

    enter(0, &by_gate);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_ENOPROVIDER, "it never goes without");
    enter_gate();
    gate = all[MOST - 1].agent.queue;
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &first), 0);
    cr_expect_eq(queue_of(first), gate);
    cr_expect_eq(picked_for(service_of("caller")), APIARY_EFORBIDDEN);
    cr_expect_eq(picked_for(service_of("s0")), APIARY_EFORBIDDEN, "not by its own swarm either");
    cr_expect_eq(ap_route_in(client->seg, work_index(), (int)service_of("s0") - 1, &client->anchor->balance, AP_NO_QUEUE, &queue,
                             &life), APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate(other, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN, "the gate is not asked by all");
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, &later, &task), 0);
    cr_expect_neq(ap_slot_at(client->seg, task.slot)->capability, work_index());
    to.provider = AP_PROVIDER(all[0].agent.queue, ap_queue_at(client->seg, all[0].agent.queue)->life);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &to, &task), APIARY_ENOPROVIDER);
    cr_assert_eq(apiary_refusal(client, &told), 0);
    cr_expect_str_eq(told.message, "'work' is behind a gate (via), which has its tasks first and decides where they go: none can "
                     "be for one provider");
    to.provider = AP_PROVIDER(gate, ap_queue_at(client->seg, gate)->life);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &to, &task), APIARY_ENOPROVIDER, "nor for the gate, under this name");
    to.provider++;
    cr_expect_eq(apiary_delegate(client, "gate", "a", 1, &to, &task), APIARY_ENOPROVIDER);
    cr_assert_eq(apiary_refusal(client, &told), 0);
    cr_expect_null(strstr(told.message, "gate"), "it is another matter: %s", told.message);
    /* For the sake of the gate's task, and of no other. */
    cr_expect_eq(ask_for(first, &passed), (int)all[0].agent.queue);
    cr_expect_eq(ap_carried_at(client->seg, passed.slot)->passed, AP_PASSED | service_of("caller"));
    cr_expect_eq(ask_for(passed, &task), (int)gate);
    first.generation--;
    cr_expect_eq(ask_for(first, &task), (int)gate, "a task that has gone");
    apiary_detach(other);
    assert_sound();
}

/* The first row of the capabilities is as good as any: a name that belongs there. */
Test(gate, is_in_the_first_row)
{
    const uint64_t rows = client->seg->sections[AP_SECTION_CAPABILITIES].count;
    struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_VIA}}};
    struct provider *p = &all[MOST - 1];
    const char *first[2] = {rules.list[0].to, NULL};
    apiary_task_t task;

    for (uint32_t i = 0; i == 0 || ap_hash(first[0], strlen(first[0])) % rows != 0; i++)
        snprintf(rules.list[0].to, sizeof rules.list[0].to, "gate%u", i);
    enter_gate_of(first);
    cr_assert_eq(ap_capability_find(client->seg, first[0], strlen(first[0])), 0);
    enter(0, &rules);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), 0);
    cr_expect_eq(queue_of(task), p->agent.queue);
    depart(MOST - 1);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_ENOPROVIDER, "the gate is gone");
    assert_sound();
}

Test(gate, what_is_passed_on_may_be_moved)
{
    apiary_task_t first, passed;

    enter(0, &by_gate);
    enter_gate();
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &first), 0);
    cr_assert_eq(ask_for(first, &passed), (int)all[0].agent.queue);
    enter(1, &by_gate);
    depart(0);
    cr_expect_eq(queue_of(passed), all[1].agent.queue);
    depart(MOST - 1);
    cr_expect_eq(queue_of(first), all[MOST - 1].agent.queue, "it waits for the gate to come back");
    assert_sound();
}

/* What a lane asks for itself is as before, when it has moved another's task. */
Test(gate, the_task_that_is_moved_has_its_own_pass)
{
    struct ap_balance *own = &client->anchor->balance;
    const uint32_t caller = own->caller;
    apiary_task_t first, passed;
    struct ap_slot *slot;

    enter(0, &by_gate);
    enter_gate();
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &first), 0);
    cr_assert_eq(ask_for(first, &passed), (int)all[0].agent.queue);
    depart(0);
    enter(1, &by_gate);
    slot = ap_slot_at(client->seg, passed.slot);
    for (uint32_t i = 0; i < 2; i++) {
        const uint64_t mine = i == 0 ? 0 : AP_PASSED | 77;

        own->from_gate = mine;
        own->caller = 100 + i;
        cr_expect_eq(ap_registry_hooks.route(own, client->seg, slot), all[1].agent.queue);
        cr_expect_eq(own->from_gate, mine);
        cr_expect_eq(own->caller, 100 + i);
        cr_expect_eq(ap_registry_hooks.route(own, client->seg, ap_slot_at(client->seg, first.slot)), all[MOST - 1].agent.queue);
        cr_expect_eq(own->from_gate, mine);
        cr_expect_eq(own->caller, 100 + i);
    }
    own->from_gate = 0;
    own->caller = caller;
    assert_sound();
}

/* A fallback with a gate is there if its gate is. */
Test(gate, a_fallback_may_have_a_gate)
{
    static const struct ap_rules to_work = {.count = 1, .list = {{.verb = AP_RULE_FALLBACK, .to = "work"}}};
    struct ap_terms_conflicts conflicts = {.count = 0};
    const apiary_delegate_options_t none = {.struct_size = sizeof none, .flags = APIARY_NO_FALLBACK};
    uint64_t said[AP_TERMS] = {0}, set;
    uint32_t spare;
    apiary_task_t task;

    enter(0, &by_gate);
    cr_assert_eq(ap_capability_intern(client->seg, "spare", &spare), 0);
    cr_assert_eq(ap_rules_hold(client->seg, client->anchor->lane.index, &to_work, &set), 0);
    said[AP_TERM_rules] = set + 1;
    ap_terms_declare(client->seg, client->anchor->lane.index, all[0].agent.queue, spare, said, &conflicts);
    cr_expect_eq(apiary_delegate(client, "spare", "a", 1, NULL, &task), APIARY_ENOPROVIDER);
    enter_gate();
    cr_assert_eq(apiary_delegate(client, "spare", "a", 1, NULL, &task), 0);
    cr_expect_eq(queue_of(task), all[MOST - 1].agent.queue);
    /* The gate of one task is no matter of the next: who wants no fallback has none. */
    depart(MOST - 1);
    depart(0);
    enter(0, NULL);
    cr_expect_eq(apiary_delegate(client, "spare", "a", 1, &none, &task), APIARY_ENOPROVIDER);
    cr_expect_eq(ap_terms_at(client->seg, spare)->fell_back, 1);
}
