/* Who may ask for a capability, which providers get whose tasks, and that nothing gets round it: not a task that is moved or waits
 * for its time, not a provider that a lane remembers. */
#include "rules_fixture.h"

TestSuite(rules, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const struct ap_rules
    only_caller = {.count = 2, .list = {{.verb = AP_RULE_ALLOW, .from = "caller"}, {.verb = AP_RULE_ALLOW, .from = "other"}}},
    no_caller = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}},
    not_s0 = {.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "caller", .to = "s0"}}},
    rather_s1 = {.count = 2, .list = {{.verb = AP_RULE_PREFER, .from = "caller", .to = "s1"},
                                      {.verb = AP_RULE_PREFER, .from = "other", .to = "s0"}}},
    never_s1 = {.count = 1, .list = {{.verb = AP_RULE_FORBID, .to = "s1"}}};

Test(rules, what_is_not_possible_is_not_entered)
{
    static const struct ap_rules wrong[] = {
        {.count = 0},
        {.count = AP_RULES_MAX + 1, .list = {{.verb = AP_RULE_DENY, .from = "a"}}},
        {.count = 1, .list = {{.verb = AP_RULE_NONE, .from = "a"}}},
        {.count = 1, .list = {{.verb = AP_RULE_VERBS, .from = "a"}}},
        {.count = 1, .list = {{.verb = AP_RULE_DENY}}},
        {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "a", .to = "b"}}},
        {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "A"}}},
        {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "a\0b"}}},
        {.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "a"}}},
        {.count = 1, .list = {{.verb = AP_RULE_PREFER, .to = "9"}}},
        {.count = 1, .list = {{.verb = AP_RULE_FALLBACK, .to = "no way"}}},
        {.count = 1, .list = {{.verb = AP_RULE_FALLBACK, .from = "a", .to = "work"}}},
        {.count = 1, .list = {{.verb = AP_RULE_FALLBACK}}},
        {.count = 1, .reserved = 1, .list = {{.verb = AP_RULE_DENY, .from = "a"}}},
        {.count = 1, .list = {{.verb = AP_RULE_DENY, .reserved = 1, .from = "a"}}},
    };
    uint64_t set;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(ap_rules_hold(client->seg, client->anchor->lane.index, &wrong[i], &set), APIARY_EINVAL, "%zu", i);
    cr_expect_eq(ap_rules_hold(client->seg, AP_NO_LANE, &no_caller, &set), APIARY_EINVAL);
    assert_sound();
}

Test(rules, who_is_not_allowed_is_refused_and_told)
{
    apiary_t *guest = attach_as("guest"), *nobody = attach_as(NULL);
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    enter(0, &only_caller);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), 0);
    cr_expect_eq(ap_slot_at(client->seg, task.slot)->caller, service_of("caller"));
    cr_expect_eq(apiary_delegate(guest, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(guest, &refusal), 0);
    cr_expect_str_eq(refusal.message, "work has the rule 'allow caller', and this process calls for 'guest'; "
                                      "'apiary capability show work' lists its rules");
    cr_expect_eq(refusal.retry_after, 0);
    cr_expect_eq(apiary_delegate(nobody, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(nobody, &refusal), 0);
    cr_expect(strstr(refusal.message, "this process calls for no service") != NULL, "%s", refusal.message);
    cr_expect_eq(refused(), 2);
    apiary_detach(guest);
    apiary_detach(nobody);
    assert_sound();
}

Test(rules, who_is_denied_is_refused_and_others_are_not)
{
    apiary_t *guest = attach_as("guest"), *nobody = attach_as(NULL);
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_capability_t bound;
    apiary_task_t task, tasks[2];
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0], .capability = "work"}, {.capability = "work"}};
    size_t done = 9;

    enter(0, &no_caller);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect(strstr(refusal.message, "'deny caller'") != NULL, "%s", refusal.message);
    cr_assert_eq(apiary_bind(client, "work", &bound), 0);
    cr_expect_eq(apiary_delegate_bound(client, bound, "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate_batch(client, requests, 2, tasks, &done), APIARY_EFORBIDDEN);
    cr_expect_eq(done, 0);
    cr_expect_eq(apiary_call(client, "work", "a", 1, NULL, NULL, 0, &done), APIARY_EFORBIDDEN);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(apiary_delegate(guest, "work", "a", 1, NULL, &task), 0);
    cr_expect_eq(apiary_delegate(nobody, "work", "a", 1, NULL, &task), 0);
    cr_expect_eq(refused(), 4);
    apiary_detach(guest);
    apiary_detach(nobody);
}

Test(rules, neither_delay_nor_waiting_gets_round_it)
{
    const apiary_delegate_options_t later = {.struct_size = sizeof later, .delay = SECOND},
                                    waiting = {.struct_size = sizeof waiting, .flags = APIARY_WAIT_FOR_PROVIDER};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    enter(0, &no_caller);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &later, &task), APIARY_EFORBIDDEN);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &waiting, &task), APIARY_EFORBIDDEN);
    depart(0);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &waiting, &task), APIARY_EFORBIDDEN, "the rules are there without it");
    cr_expect_eq(refused(), 3);
    cr_expect_eq(slots_in_use(), 0);
}

/* What it executes for itself is its own affair. */
Test(rules, tasks_for_ones_own_swarm_are_subject_to_none)
{
    apiary_task_t task;
    int r = 0;
    struct ap_lane_context *c = ap_context(client, &r);

    enter(0, &no_caller);
    cr_expect_eq(ap_submit(c, (int)service_of("s0") - 1, "work", "a", 1, 0, NULL, &task), 0);
    cr_expect_eq(refused(), 0);
}

Test(rules, a_forbidden_provider_gets_nothing)
{
    apiary_t *guest = attach_as("guest");

    enter(0, &not_s0);
    cr_expect_eq(picked_for(service_of("caller")), APIARY_ENOPROVIDER);
    cr_expect_eq(picked_for(service_of("guest")), 0);
    cr_expect_eq(picked_for(0), 0);
    enter(1, NULL);
    for (int n = 0; n < 20; n++) cr_expect_eq(picked_for(service_of("caller")), 1);
    depart(1);
    cr_expect_eq(picked_for(service_of("caller")), APIARY_ENOPROVIDER);
    enter(1, &never_s1);
    for (int n = 0; n < 20; n++) cr_expect_eq(picked_for(n % 2 == 0 ? service_of("caller") : 0), 0);
    apiary_detach(guest);
    assert_sound();
}

Test(rules, a_preferred_provider_gets_all_while_it_passes)
{
    apiary_t *other = attach_as("other");
    uint32_t turns[2] = {0};

    enter(0, NULL);
    enter(1, &rather_s1);
    for (int n = 0; n < 20; n++) {
        cr_expect_eq(picked_for(service_of("caller")), 1);
        cr_expect_eq(picked_for(service_of("other")), 0);
        turns[picked_for(0)]++;
    }
    cr_expect(turns[0] + turns[1] == 20);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[1].swarm.swarm, "s1", "0", 0), 1);
    cr_expect_eq(picked_for(service_of("caller")), 0, "it does not pass");
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 0), 1);
    cr_expect(picked_for(service_of("caller")) >= 0, "none passes");
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[1].swarm.swarm, "s1", "0", -1), 1);
    cr_expect_eq(picked_for(service_of("caller")), 1);
    depart(1);
    cr_expect_eq(picked_for(service_of("caller")), 0);
    apiary_detach(other);
}

/* The lane has delegated to it twice by the same text, so it asks no more than whether it is still the only one. */
Test(rules, the_first_rules_reach_a_lane_that_remembers_the_only_provider)
{
    static const char name[] = "work";
    apiary_task_t task;

    enter(0, NULL);
    for (int n = 0; n < 3; n++) cr_assert_eq(apiary_delegate(client, name, "a", 1, NULL, &task), 0);
    cr_assert(ap_only_still(&ap_capability_known(ap_context_here(client), name)->only));
    enter(1, &no_caller);
    depart(1);
    cr_expect_eq(apiary_delegate(client, name, "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate(client, name, "a", 1, NULL, &task), APIARY_EFORBIDDEN);
}

static uint32_t queue_of(apiary_task_t task)
{
    uint64_t word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);

    return AP_WORD_STATE(word) == AP_TASK_QUEUED ? AP_WORD_OWNER(word) : AP_NO_QUEUE;
}

/* Their provider goes: each task goes where its own caller's may, whoever moves it. */
Test(rules, a_task_that_is_moved_obeys_the_rules_of_its_caller)
{
    const apiary_delegate_options_t keyed = {.struct_size = sizeof keyed, .key = 7};
    apiary_t *guest = attach_as("guest");
    apiary_task_t own, own_keyed, other;

    enter(0, NULL);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &own), 0);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, &keyed, &own_keyed), 0);
    cr_assert_eq(apiary_delegate(guest, "work", "a", 1, NULL, &other), 0);
    enter(1, &(struct ap_rules){.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "caller", .to = "s1"}}});
    enter(2, NULL);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[2].swarm.swarm, "s2", "0", 0), 1);
    depart(0);
    cr_expect_eq(queue_of(own), all[2].agent.queue);
    cr_expect_eq(queue_of(own_keyed), all[2].agent.queue);
    cr_expect_eq(queue_of(other), all[1].agent.queue);
    depart(2);
    cr_expect_eq(queue_of(own), all[2].agent.queue, "there is none left for it, and it waits where it is");
    apiary_detach(guest);
}

/* Rules that come after the tasks move what waits at a provider that is forbidden now, where another may have it. */
Test(rules, what_waits_at_a_provider_that_is_forbidden_now_moves)
{
    apiary_task_t task;
    uint64_t word;

    enter(0, NULL);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), 0);
    enter(1, &not_s0);
    word = ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word);
    cr_expect_eq(ap_reroute(client->seg, NULL, task.slot, word), AP_MOVE_MOVED);
    cr_expect_eq(queue_of(task), all[1].agent.queue);
}

Test(rules, an_observer_is_told_what_they_leave_to_a_caller)
{
    struct ap_route_view views[MOST];
    struct ap_route_question q = {.service = -1, .caller = service_of("caller")}, anybody = {.service = -1};
    int best;

    enter(0, &not_s0);
    enter(1, NULL);
    cr_assert_eq(ap_route_explain(client->seg, work_index(), &q, views, MOST, &best), 2);
    cr_assert_geq(best, 0);
    cr_expect_eq(views[best].candidate.queue, all[1].agent.queue);
    cr_expect(views[1 - best].forbidden && !views[1 - best].meant && !views[best].forbidden);
    cr_assert_eq(ap_route_explain(client->seg, work_index(), &anybody, views, MOST, &best), 2);
    cr_expect(views[0].meant && views[1].meant);
    cr_expect_eq(ap_route_may(client->seg, work_index(), &q), 0);
    enter(2, &rather_s1);
    cr_assert_eq(ap_route_explain(client->seg, work_index(), &q, views, MOST, &best), 3);
    cr_expect(views[best].preferred && views[best].candidate.queue == all[1].agent.queue);
    depart(2);
    enter(2, &no_caller);
    cr_assert_eq(ap_route_explain(client->seg, work_index(), &q, views, MOST, &best), 3);
    cr_expect_eq(best, -1);
    cr_expect_eq(ap_route_may(client->seg, work_index(), &q), APIARY_EFORBIDDEN);
    assert_sound();
}

/* All providers of "name@2" offer "name", too. */
Test(rules, they_hold_for_the_name_with_the_major_and_without)
{
    static const char *const major[] = {"work@2", NULL};
    struct ap_agent_registration agent = {.name = "agent", .capabilities = major, .rules = &no_caller,
                                          .lane = client->anchor->lane.index};
    struct ap_swarm_registration swarm = {.service = "s0", .lane = client->anchor->lane.index, .member = client->member,
                                          .agents = &agent, .agent_count = 1};
    apiary_task_t task;

    cr_assert_eq(ap_swarm_register(client->seg, &swarm), 0);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate(client, "work@2", "a", 1, NULL, &task), APIARY_EFORBIDDEN);
    assert_sound();
}

Test(rules, they_stay_until_somebody_declares_otherwise_or_nobody_is_left)
{
    struct ap_rules rules;

    enter(0, &not_s0);
    enter(1, NULL);
    cr_expect(ap_rules_of(client->seg, work_index(), &rules) && rules.list[0].verb == AP_RULE_FORBID);
    enter(2, &no_caller);
    cr_expect(ap_rules_of(client->seg, work_index(), &rules) && rules.list[0].verb == AP_RULE_DENY);
    for (uint32_t i = 0; i < MOST; i++) depart(i);
    cr_expect(ap_rules_of(client->seg, work_index(), &rules), "as its providers left it");
    enter(1, NULL);
    cr_expect_not(ap_rules_of(client->seg, work_index(), &rules), "it offers it alone, and says nothing");
    cr_expect_eq(picked_for(service_of("caller")), 1);
    assert_sound();
}

Test(rules, in_words)
{
    static const struct { struct ap_rule rule; const char *text; } rows[] = {
        {{.verb = AP_RULE_ALLOW, .from = "a"}, "allow a"},
        {{.verb = AP_RULE_DENY, .from = "a"}, "deny a"},
        {{.verb = AP_RULE_PREFER, .from = "a", .to = "b"}, "prefer b for a"},
        {{.verb = AP_RULE_FORBID, .to = "b"}, "forbid b"},
        {{.verb = AP_RULE_FALLBACK, .to = "work@2"}, "fallback work@2"},
        {{.verb = 77}, "?"},
    };
    char text[160];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ap_rule_print(&rows[i].rule, text, sizeof text);
        cr_expect_str_eq(text, rows[i].text);
    }
}

/* One that was ejected is on trial, and the first task that comes is to tell. Asking is no task. */
Test(rules, asking_uses_up_no_trial)
{
    const struct ap_route_question q = {.service = -1, .caller = service_of("caller")};
    apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = SECOND};
    struct ap_queue *queue;
    apiary_task_t task;

    enter(0, &only_caller);
    enter(1, &only_caller);
    queue = ap_queue_at(client->seg, all[0].agent.queue);
    ap_store_relaxed(&queue->ejections, 1);
    ap_store_relaxed(&queue->until, client->seg->ops->now() - 1);
    cr_expect_eq(ap_route_may(client->seg, work_index(), &q), 0);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, &o, &task), 0);
    cr_expect_eq(ap_load_relaxed(&queue->probe), 0);
    cr_assert_eq(apiary_delegate(client, "work", "a", 1, NULL, &task), 0);
    cr_expect_neq(ap_load_relaxed(&queue->probe), 0);
    cr_expect_eq(AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word), all[0].agent.queue);
}
