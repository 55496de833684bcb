/* The table of rule sets: what is in use stays, what nobody uses goes to others, and who reads has all of one set. */
#include "rules_fixture.h"

TestSuite(rule_sets, .init = fixture_setup, .fini = fixture_teardown, .timeout = 300);

static const struct ap_rules
    one = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}},
    two = {.count = 2, .list = {{.verb = AP_RULE_ALLOW, .from = "caller"}, {.verb = AP_RULE_ALLOW, .from = "b"}}};

static uint32_t own(void)
{
    return client->anchor->lane.index;
}

static uint32_t sets(void)
{
    return (uint32_t)client->seg->sections[AP_SECTION_RULES].count;
}

/* Rules that no other number has: `count` of them, all of one service. */
static struct ap_rules rules_of_number(uint32_t number, uint32_t count)
{
    struct ap_rules r = {.count = count};

    for (uint32_t i = 0; i < count; i++) {
        r.list[i].verb = AP_RULE_FORBID;
        snprintf(r.list[i].to, sizeof r.list[i].to, "a%u", number);
    }
    return r;
}

static uint64_t held(const struct ap_rules *rules)
{
    uint64_t set = 0;

    cr_assert_eq(ap_rules_hold(client->seg, own(), rules, &set), 0);
    return set;
}

static int enters(uint32_t number)
{
    const struct ap_rules rules = rules_of_number(number, 1);
    uint64_t set;

    return ap_rules_hold(client->seg, own(), &rules, &set);
}

static uint64_t declared(void)
{
    return AP_TERM_VALUE(ap_terms_at(client->seg, work_index())->rules) - 1;
}

static bool says(uint64_t set, const struct ap_rules *rules)
{
    struct ap_rules is;

    return ap_rules_read(client->seg, set, &is) && memcmp(&is, rules, sizeof is) == 0;
}

/* A set that says this, which is not held for it. */
static bool there_is(const struct ap_rules *rules, uint64_t *ret)
{
    struct ap_rules own;

    for (uint32_t i = 0; ap_rule_set_at(client->seg, i) != NULL; i++)
        if (ap_rule_set_in(client->seg, i, ret) && ap_rules_read(client->seg, *ret, &own) && memcmp(&own, rules, sizeof own) == 0)
            return true;
    return false;
}

Test(rule_sets, what_is_said_again_has_the_same_set)
{
    const struct ap_rules most = rules_of_number(7, AP_RULES_MAX);
    struct ap_rules rules;
    uint64_t first = held(&two), second = held(&one), set;

    cr_expect(held(&two) == first && second != first && !ap_rules_same(client->seg, first, second));
    cr_expect(says(first, &two) && says(second, &one) && says(held(&most), &most));
    cr_expect(there_is(&one, &set) && set == second);
    cr_expect_not(ap_rules_read(client->seg, AP_RULE_SET(sets(), 1), &rules), "there is no such row");
    cr_expect_not(ap_rules_read(client->seg, first + AP_RULE_SET(0, 1), &rules), "of another generation");
    cr_expect_not(ap_rule_set_in(client->seg, sets(), &set));
    assert_sound();
}

Test(rule_sets, what_is_held_stays_and_is_as_many_as_there_is_room_for)
{
    uint64_t set;

    for (uint32_t i = 0; i < sets(); i++) {
        cr_expect_eq(ap_rules_used(client->seg), i);
        cr_assert_eq(enters(i), 0, "%u of %u", i, sets());
    }
    cr_expect_eq(enters(3), 0, "it is there");
    cr_expect_eq(enters(sets()), APIARY_ETABLEFULL);
    cr_expect_eq(ap_rules_used(client->seg), sets());
    assert_sound();
    ap_rules_let_go(client->seg, own());
    cr_expect_eq(ap_rules_used(client->seg), 0);
    const struct ap_rules last = rules_of_number(sets() - 1, 1);
    cr_expect(there_is(&last, &set), "it stays until its row is needed");
    cr_expect_eq(enters(sets()), 0);
    assert_sound();
}

/* The host that changes its rules again and again: by another registration, and while it is registered. */
Test(rule_sets, those_that_nobody_declares_any_more_are_given_away)
{
    struct ap_rules rules, is;

    for (uint32_t i = 0; i < 4 * sets(); i++) {
        rules = rules_of_number(i, 1 + i % AP_RULES_MAX);
        enter(0, &rules);
        cr_assert(ap_rules_of(client->seg, work_index(), &is) && memcmp(&is, &rules, sizeof is) == 0, "%u", i);
        depart(0);
    }
    enter(0, &rules);
    for (uint32_t i = 0; i < 4 * sets(); i++) {
        struct ap_rules next = rules_of_number(10000 + i, 1 + i % AP_RULES_MAX);
        struct ap_agent_registration agent = all[0].agent;
        struct ap_swarm_registration swarm = all[0].swarm;

        agent.rules = &next;
        swarm.agents = &agent;
        cr_assert_eq(ap_swarm_adjust(client->seg, own(), &all[0].swarm, &swarm), 0, "%u", i);
        cr_assert(ap_rules_of(client->seg, work_index(), &is) && memcmp(&is, &next, sizeof is) == 0, "%u", i);
        rules = next;
    }
    cr_expect_eq(ap_rules_used(client->seg), 1);
    assert_sound();
}

Test(rule_sets, what_a_capability_declares_stays)
{
    uint64_t set;

    enter(0, &two);
    set = declared();
    for (uint32_t i = 0; i < 4 * sets(); i++) {
        cr_assert_eq(enters(i), 0);
        ap_rules_let_go(client->seg, own());
    }
    depart(0);
    for (uint32_t i = 0; i < sets(); i++) cr_expect_eq(enters(i), i < sets() - 1 ? 0 : APIARY_ETABLEFULL, "%u", i);
    cr_expect(declared() == set && says(set, &two), "also when nobody offers it any more");
    assert_sound();
}

/* What a registration that was refused has entered is nobody's. */
Test(rule_sets, who_was_refused_holds_nothing)
{
    static const char *const many[] = {"first", "second", NULL};
    const struct ap_rules rules[2] = {one, two};
    struct ap_agent_registration agent = {.name = "agent", .capabilities = many, .rules = rules, .lane = own()};
    struct ap_swarm_registration swarm = {.service = "s9", .lane = own(), .member = client->member, .agents = &agent,
                                          .agent_count = 1};
    struct ap_lane_handle other;

    cr_assert_eq(ap_lane_open(client->seg, client->member, &other), 0);
    for (uint32_t i = 1; i < sets(); i++) {
        const struct ap_rules r = rules_of_number(i, 1);
        uint64_t set;

        cr_assert_eq(ap_rules_hold(client->seg, other.index, &r, &set), 0);
    }
    cr_expect_eq(ap_swarm_register(client->seg, &swarm), APIARY_ETABLEFULL);
    cr_expect(swarm.no_room_for_rules);
    cr_expect_eq(ap_rules_used(client->seg), sets() - 1);
    ap_rules_let_go(client->seg, other.index);
    cr_expect_eq(ap_swarm_register(client->seg, &swarm), 0);
    cr_expect(!swarm.no_room_for_rules);
    cr_expect_eq(ap_rules_used(client->seg), 2);
    ap_lane_close(&other);
    assert_sound();
}

static void *dies_holding(void *user)
{
    struct ap_lane_handle h;
    uint64_t set;

    cr_assert_eq(ap_lane_open(client->seg, client->member, &h), 0);
    cr_assert_eq(ap_rules_hold(client->seg, h.index, &one, &set), 0);
    cr_assert_eq(ap_rules_used(client->seg), 1);
    *(uint32_t *)user = h.index;
    return NULL; /* the kernel marks its lane */
}

/* At once, and for whoever has the lane's index afterwards. */
Test(rule_sets, what_a_dead_lane_holds_does_not_count)
{
    uint32_t lane;
    struct ap_lane_handle next;
    pthread_t t;

    cr_assert_eq(pthread_create(&t, NULL, dies_holding, &lane), 0);
    pthread_join(t, NULL);
    cr_expect_eq(ap_rules_used(client->seg), 0);
    cr_expect_neq(ap_rule_holds_at(client->seg, lane)->bits[0], 0, "nobody has to take it back");
    ap_reap_all(client->seg, own(), &ap_registry_hooks);
    cr_assert_eq(ap_lane_open(client->seg, client->member, &next), 0);
    cr_assert_eq(next.index, lane);
    cr_expect_eq(ap_rules_used(client->seg), 0);
    cr_expect(ap_rules_hold(client->seg, lane, &two, &(uint64_t){0}) == 0 && ap_rules_used(client->seg) == 1);
    ap_rules_let_go(client->seg, lane);
    ap_lane_close(&next);
    assert_sound();
}

/* As one leaves it that was killed while it condemned it. */
Test(rule_sets, one_that_is_condemned_serves_and_is_taken_back)
{
    struct ap_rule_set *set;
    struct ap_rules is;
    uint64_t name;

    enter(0, &two);
    name = declared();
    set = ap_rule_set_at(client->seg, AP_RULE_SET_INDEX(name));
    set->life = AP_RULES_LIFE(AP_RULE_SET_GENERATION(name), 1, AP_RULES_CONDEMNED);
    assert_sound();
    cr_expect(ap_rules_of(client->seg, work_index(), &is) && memcmp(&is, &two, sizeof is) == 0);
    cr_expect_eq(held(&two), name);
    cr_expect_eq(set->life, AP_RULES_LIFE(AP_RULE_SET_GENERATION(name), 0, AP_RULES_READY));
    set->life = AP_RULES_LIFE(AP_RULE_SET_GENERATION(name), 1, AP_RULES_CONDEMNED);
    ap_rules_let_go(client->seg, own());
    for (uint32_t i = 0; i < 2 * sets(); i++) {
        cr_assert_eq(enters(i), 0);
        ap_rules_let_go(client->seg, own());
    }
    cr_expect(says(name, &two));
    depart(0);
    enter(0, NULL);
    set->life = AP_RULES_LIFE(AP_RULE_SET_GENERATION(name), 1, AP_RULES_CONDEMNED);
    for (uint32_t i = 0; i < sets(); i++) cr_expect_eq(enters(3 * sets() + i), 0);
    cr_expect_not(says(name, &two), "who condemned it may be stopped, and is not waited for");
    assert_sound();
}

/* Two lanes that have entered the same rules at once: no contradiction, and what one declares the other takes away. */
Test(rule_sets, two_sets_may_say_the_same)
{
    struct ap_terms_conflicts told = {.count = 0};
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
    uint64_t said[AP_TERMS] = {0}, was, twin = AP_RULE_SET(40, 5);
    struct ap_rule_set *set = ap_rule_set_at(client->seg, 40);

    enter(0, &two);
    enter(1, NULL);
    was = declared();
    *set = *ap_rule_set_at(client->seg, AP_RULE_SET_INDEX(was));
    set->life = AP_RULES_LIFE(5, 0, AP_RULES_READY);
    cr_expect(was != twin && ap_rules_same(client->seg, was, twin) && says(twin, &two));
    said[AP_TERM_rules] = twin + 1;
    ap_terms_declare(client->seg, own(), all[1].agent.queue, work_index(), said, &told);
    cr_expect(told.count == 0 && declared() == twin);
    depart(1);
    swarm = all[0].swarm;
    agent = all[0].agent;
    agent.rules = NULL;
    swarm.agents = &agent;
    cr_assert_eq(ap_swarm_adjust(client->seg, own(), &all[0].swarm, &swarm), 0);
    cr_expect_eq(declared(), UINT64_MAX, "it declares them no more");
    assert_sound();
}

/* An adjustment of something else finds the table full, and another service's rules in force: it needs no room. */
Test(rule_sets, what_is_not_changed_needs_no_room)
{
    struct ap_swarm_registration swarm;

    enter(0, &one);
    enter(1, &two);
    for (uint32_t i = 1; i < sets(); i++) cr_assert_eq(enters(i), 0);
    swarm = all[0].swarm;
    swarm.weight = 7;
    struct ap_lane_handle other;
    cr_assert_eq(ap_lane_open(client->seg, client->member, &other), 0);
    cr_expect_eq(ap_swarm_adjust(client->seg, other.index, &all[0].swarm, &swarm), 0);
    cr_expect(says(declared(), &two));
    ap_lane_close(&other);
    assert_sound();
}

/* ---- several at once -------------------------------------------------------------------------------------------- */

#define REGISTRANTS 3u
#define TURNS 3000u
static uint32_t finished, mixed, refused_at;

static void *registrant(void *user)
{
    uint32_t number = *(const uint32_t *)user, work_at = work_index();
    struct ap_lane_handle h;

    cr_assert_eq(ap_lane_open(client->seg, client->member, &h), 0);
    for (uint32_t i = 0; i < TURNS; i++) {
        const struct ap_rules rules = rules_of_number(number + REGISTRANTS * i, 1 + i % AP_RULES_MAX);
        struct ap_terms_conflicts told = {.count = 0};
        uint64_t said[AP_TERMS] = {0}, set;

        if (ap_rules_hold(client->seg, h.index, &rules, &set) < 0) {
            ap_add_relaxed(&refused_at, 1);
            continue;
        }
        said[AP_TERM_rules] = set + 1;
        ap_terms_declare(client->seg, h.index, all[0].agent.queue, work_at, said, &told);
        ap_rules_let_go(client->seg, h.index);
    }
    ap_lane_close(&h);
    ap_add_relaxed(&finished, 1);
    return NULL;
}

/* Each set forbids one service, as often as it has rules: whoever reads has all of one. */
static void read_once(void)
{
    struct ap_rules is;

    if (!ap_rules_of(client->seg, work_index(), &is)) {
        ap_add_relaxed(&mixed, 1);
        return;
    }
    for (uint32_t k = 1; k < is.count; k++) mixed += strcmp(is.list[k].to, is.list[0].to) != 0;
}

/* More rules than there is room for, by three at once, each of which holds one: beside the one that is in force there is room. */
Test(rule_sets, several_at_once)
{
    struct ap_geometry g = small;
    pthread_t threads[REGISTRANTS];
    uint32_t numbers[REGISTRANTS] = {0, 1, 2};

    fixture_teardown();
    g.registry[AP_REGISTRY_INDEX(RULES)] = 2 * REGISTRANTS + 1;
    segment_make(&g);
    client = attach_as("caller");
    enter(0, &one);
    for (uint32_t i = 0; i < REGISTRANTS; i++) cr_assert_eq(pthread_create(&threads[i], NULL, registrant, &numbers[i]), 0);
    while (ap_load_relaxed(&finished) < REGISTRANTS) read_once();
    for (uint32_t i = 0; i < REGISTRANTS; i++) pthread_join(threads[i], NULL);
    cr_expect_eq(mixed, 0);
    cr_expect_eq(refused_at, 0);
    cr_expect_eq(ap_rules_used(client->seg), 1);
    assert_sound();
}
