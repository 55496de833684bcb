/* How one of several providers is chosen: by load, run time, failures, weight, key; who is passed over; and who is on trial. */
#include "registry_fixture.h"

#include "registry/routing/pick.h"
#include "registry/routing/terms.h"

static const struct ap_route_question anybody = {.service = -1};

TestSuite(policy, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);
static void crowded_setup(void);
TestSuite(policy_many, .init = crowded_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define MOST 24u
static struct provider {
    char service[16];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
    struct ap_queue *queue;
    struct ap_swarm *record;
    struct ap_consumer consumer;
} all[MOST];
static uint32_t capability, count;
static struct ap_balance balance;
static uint64_t places[MOST];

/* So many instances of one capability, all alike, which nobody drains. */
static void enter(uint32_t n, struct ap_terms terms)
{
    static const char *const offers[] = {"work", NULL};
    static struct ap_terms said[1];

    said[0] = terms;
    count = n;
    for (uint32_t i = 0; i < n; i++) {
        struct provider *p = &all[i];

        snprintf(p->service, sizeof p->service, "s%u", i);
        p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = offers, .terms = said,
                                                  .lane = client->anchor->lane.index};
        p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                                  .member = client->member, .agents = &p->agent, .agent_count = 1};
        cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
        p->queue = ap_queue_at(client->seg, p->agent.queue);
        p->record = ap_swarm_at(client->seg, p->swarm.swarm);
        ap_store_relaxed(&p->record->state, APIARY_PASSING);
        ap_consumer_init(&p->consumer, client->seg, p->agent.queue);
    }
    capability = (uint32_t)ap_capability_find(client->seg, "work", 4);
    memset(places, 0, sizeof places);
    balance = (struct ap_balance){.places = places};
    ap_balance_begin(&balance, client->seg, 1);
}

static void measured(uint32_t i, uint64_t run_time, uint32_t running)
{
    const struct ap_queue_tally tally = {.run_time = run_time, .now = client->seg->ops->now()};

    ap_queue_tell(&all[i].consumer, &tally);
    ap_store_relaxed(&all[i].queue->running, running);
}

static uint32_t picked_with(uint64_t key)
{
    uint32_t queue, i = 0;
    uint64_t life;

    cr_assert_eq(ap_route_keyed(client->seg, capability, -1, key, &balance, AP_NO_QUEUE, &queue, &life), 0);
    while (i < count && all[i].agent.queue != queue) i++;
    return i;
}

static void crowded_setup(void)
{
    struct ap_geometry g = small;

    g.queues = 32;
    g.queue_depth = 64;
    AP_REGISTRY_NUMBER(&g, SERVICES) = AP_REGISTRY_NUMBER(&g, SWARMS) = 32;
    segment_make(&g);
    client = attach_as("caller");
}

/* How many of `n` tasks go to each. */
static const uint32_t *shares(uint32_t n)
{
    static uint32_t ret[MOST];

    memset(ret, 0, sizeof ret);
    while (n-- > 0) ret[picked_with(0)]++;
    return ret;
}

static const struct ap_terms by_load = {.balance = AP_POLICY_least_loaded + 1}, by_turns = {.balance = AP_POLICY_round_robin + 1},
                             by_wait = {.balance = 0}, by_key = {.balance = AP_POLICY_keyed + 1};

Test(policy, the_shortest_wait_is_the_default)
{
    enter(2, by_wait);
    measured(0, 50 * MS, 1);
    measured(1, 1 * MS, 10);
    cr_expect_eq(shares(10)[1], 10, "eleven tasks of 1 ms are done before two of 50 ms");
    measured(1, 1 * MS, 200);
    cr_expect_eq(shares(10)[0], 10);
}

/* What a dead queue has left goes to the others in turn, however idle one of them seems: it has not taken what it was given. */
Test(policy, what_is_moved_takes_turns)
{
    struct ap_slot *slot = ap_slot_at(client->seg, 0);
    uint32_t before, to;

    enter(2, by_load);
    measured(1, 0, 50);
    slot->capability = (uint16_t)capability;
    slot->only = slot->caller = 0;
    before = ap_registry_hooks.route(NULL, client->seg, slot);
    for (int i = 0; i < 6; i++, before = to) {
        to = ap_registry_hooks.route(NULL, client->seg, slot);
        cr_expect_neq(to, before, "%d", i);
        cr_expect(to == all[0].agent.queue || to == all[1].agent.queue);
    }
    if (before != all[0].agent.queue) before = ap_registry_hooks.route(NULL, client->seg, slot);
    ap_store_relaxed(&all[0].queue->started, all[0].queue->started + 1);
    cr_expect_eq(ap_registry_hooks.route(NULL, client->seg, slot), all[0].agent.queue, "it has taken something since");
}

/* The last queue of the table had its turn. */
Test(policy, behind_the_last_queue_comes_the_first)
{
    enter(2, by_turns);
    for (uint32_t turn = client->seg->geometry.queues; turn < client->seg->geometry.queues + 2; turn++) {
        balance.turn = turn;
        memset(places, 0, sizeof places);
        cr_expect_eq(picked_with(0), 0);
        cr_expect_eq(picked_with(0), 1);
    }
}

Test(policy, a_failure_is_charged_however_quick)
{
    enter(2, by_wait);
    measured(0, 50 * MS, 0);
    measured(1, MS / 10, 0);
    cr_expect_eq(shares(10)[1], 10);
    ap_queue_charge(&all[1].consumer, AP_CHARGE_MAX / 4, client->seg->ops->now());
    cr_expect_eq(shares(10)[0], 10);
}

Test(policy, what_nothing_is_known_of_gets_one_task_at_first)
{
    enter(2, by_wait);
    measured(0, 10 * MS, 0);
    cr_expect_eq(shares(5)[1], 5, "it is tried");
    ap_store_relaxed(&all[1].queue->running, 1);
    cr_expect_eq(shares(5)[0], 5);
}

Test(policy, weights_share_out)
{
    enter(3, by_turns);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 200), 1);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 200), 0);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s1", "0", 200), APIARY_ESTALE);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 1001), APIARY_EINVAL);
    const uint64_t life = all[0].record->life;
    ap_store_release(&all[0].record->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(life), AP_SWARM_LANE(life), AP_SWARM_CLAIMED));
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 300), APIARY_ESTALE, "it is being written");
    ap_store_release(&all[0].record->life, life);
    const uint32_t *n = shares(400);
    cr_expect(n[0] >= 199 && n[0] <= 201 && n[1] >= 99 && n[1] <= 101, "%u %u %u", n[0], n[1], n[2]);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 0), 1);
    cr_expect_eq(shares(100)[0], 0);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", -1), 1);
    n = shares(300);
    cr_expect(n[0] >= 99 && n[0] <= 101, "%u", n[0]);
    assert_sound();
}

Test(policy, a_weight_counts_against_the_load)
{
    enter(2, by_load);
    cr_assert_eq(ap_swarm_weight_set(client->seg, all[1].swarm.swarm, "s1", "0", 300), 1);
    ap_store_relaxed(&all[0].queue->running, 2);
    ap_store_relaxed(&all[1].queue->running, 7);
    cr_expect_eq(shares(5)[1], 5, "8 of 300 are less than 3 of 100");
    ap_store_relaxed(&all[1].queue->running, 9);
    cr_expect_eq(shares(5)[0], 5);
}

Test(policy, a_new_one_starts_slowly)
{
    struct ap_terms slow = by_turns;
    const uint64_t now = client->seg->ops->now(), hour = 3600 * SECOND; /* the longest start that may be declared */
    const uint64_t time = now / 2 < hour ? now / 2 : hour; /* of the start: the machine may have started just now, too */

    slow.slow_start = time + 1;
    enter(2, slow);
    ap_store_relaxed(&all[0].record->up, now - time);
    ap_store_relaxed(&all[1].record->up, now + hour);
    const uint32_t *n = shares(110);
    cr_expect(n[1] >= 9 && n[1] <= 12, "%u of a tenth of the weight", n[1]);
    ap_store_relaxed(&all[1].record->up, now - time / 2);
    n = shares(310);
    cr_expect(n[1] >= 105 && n[1] <= 115, "%u after half of the time: of 55 %%", n[1]);
    ap_store_relaxed(&ap_terms_at(client->seg, capability)->slow_start, time / 4 + 1);
    n = shares(100);
    cr_expect(n[1] >= 49 && n[1] <= 51, "%u when both have started, whatever their ages", n[1]);
}

/* A tenth of its weight at first and all of it at last, in equal steps between. */
Test(policy, the_weight_of_a_new_one_grows)
{
    static const struct {
        uint64_t age;
        uint32_t weight;
    } rows[] = {{0, 100}, {99999, 189}, {100000, 190}, {500000, 550}, {999999, 999}, {1000000, 1000}, {2000000, 1000}};
    struct ap_pick p = {.seg = client->seg, .service = -1, .not = AP_NO_QUEUE};
    struct ap_candidate c;

    enter(1, by_load);
    cr_assert_geq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 1000), 0);
    p.providers = ap_capability_at(client->seg, capability)->providers;
    ap_pick_begin(&p, capability, &balance, 0);
    p.slow_start = 1000000;
    ap_store_relaxed(&all[0].record->up, p.asking.now + 1);
    cr_assert(ap_pick_fill(&p, all[0].agent.queue, &c));
    cr_expect_eq(c.weight, 100, "as one that is up just now");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ap_store_relaxed(&all[0].record->up, p.asking.now - rows[i].age);
        cr_assert(ap_pick_fill(&p, all[0].agent.queue, &c));
        cr_expect_eq(c.weight, rows[i].weight, "age %d: %u", (int)rows[i].age, c.weight);
    }
    p.slow_start = 0;
    cr_assert(ap_pick_fill(&p, all[0].agent.queue, &c));
    cr_expect_eq(c.weight, 1000);
}

/* So much of the stack as a pick may lie in, full of one number. */
static __attribute__((noinline)) void stack_filled(uint64_t number)
{
    uint64_t words[1024];

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) ap_store_relaxed(&words[i], number);
}

/* Where nothing is declared a new one starts as any, whatever the pick before was of. */
Test(policy, nothing_starts_slowly_unless_it_is_declared)
{
    const uint64_t now = client->seg->ops->now();

    enter(2, by_wait);
    ap_store_relaxed(&ap_capability_at(client->seg, capability)->terms, 0);
    ap_store_relaxed(&all[0].record->up, 0); /* since the machine has started */
    ap_store_relaxed(&all[1].record->up, now);
    measured(0, 10 * MS, 2);
    measured(1, 10 * MS, 0);
    for (int i = 0; i < 10; i++) {
        stack_filled(now / 2);
        cr_expect_eq(picked_with(0), 1, "it has nothing to do");
    }
}

/* ---- who is passed over ------------------------------------------------------------------------------------------ */

Test(policy, who_does_not_pass_is_picked_last)
{
    for (int balanced = 0; balanced < 2; balanced++) {
        if (balanced == 0) enter(2, by_load);
        ap_terms_at(client->seg, capability)->balance = balanced == 0 ? AP_POLICY_least_loaded + 1 : AP_POLICY_round_robin + 1;
        ap_store_relaxed(&all[1].queue->running, 50);
        ap_store_relaxed(&all[0].record->beat, client->seg->ops->now() - AP_SILENT);
        cr_expect_eq(shares(10)[1], 10, "it has not said anything for five seconds");
        ap_store_relaxed(&all[0].record->beat, client->seg->ops->now());
        ap_store_relaxed(&all[0].record->state, APIARY_CRITICAL);
        cr_expect_eq(shares(10)[1], 10, "a worker of it stands still");
        ap_store_relaxed(&all[0].record->state, APIARY_PASSING);
        ap_queue_eject(&all[0].consumer, client->seg->ops->now() + 3600 * SECOND, 1);
        cr_expect_eq(shares(10)[1], 10, "its tasks fail");
        ap_queue_eject(&all[1].consumer, client->seg->ops->now() + 3600 * SECOND, 1);
        cr_expect_gt(shares(10)[0], 0, "nobody else is there");
        ap_queue_eject(&all[0].consumer, 0, 0);
        ap_queue_eject(&all[1].consumer, 0, 0);
        ap_store_relaxed(&all[1].queue->running, 0);
    }
}

Test(policy, one_task_tells_whether_it_is_well_again)
{
    enter(2, by_load);
    ap_store_relaxed(&all[0].queue->running, 50);
    ap_queue_eject(&all[0].consumer, client->seg->ops->now() - 1, 1);
    cr_expect_eq(picked_with(0), 0, "the first task, whatever its load");
    cr_expect_eq(shares(10)[1], 10, "and no other until it has ended");
    ap_store_relaxed(&all[0].queue->probe, client->seg->ops->now() - AP_PROBE_PATIENCE);
    cr_expect_eq(picked_with(0), 0, "whoever was to send it may be dead");
    ap_store_relaxed(&all[0].queue->running, 0);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

Test(policy, a_key_stays_where_it_is)
{
    uint32_t before[200], moved = 0, n[MOST] = {0};

    enter(4, by_key);
    for (uint64_t key = 1; key <= 200; key++) n[before[key - 1] = picked_with(key)]++;
    for (uint64_t key = 1; key <= 200; key++) cr_expect_eq(picked_with(key), before[key - 1]);
    for (uint32_t i = 0; i < 4; i++) cr_expect(n[i] > 20, "%u has %u of 200", i, n[i]);
    ap_store_relaxed(&all[3].record->beat, client->seg->ops->now() - AP_SILENT);
    for (uint64_t key = 1; key <= 200; key++) {
        uint32_t now = picked_with(key);
        cr_expect_neq(now, 3);
        moved += now != before[key - 1];
    }
    cr_expect_eq(moved, n[3], "only those that it had");
}

/* It is drawn from the names of service and agent: all else is another after a restart. */
Test(policy, a_key_finds_its_place_after_a_restart)
{
    struct ap_agent_record one = {.name = "agent"}, two;
    struct ap_candidate c = {.weight = 100}, after;
    const struct ap_asking asking = {.key = 77, .weights = 100};

    enter(2, by_key);
    c.swarm = all[0].record;
    memset(&two, 0xa5, sizeof two);
    memcpy(two.name, one.name, sizeof two.name);
    after = c;
    c.agent = &one;
    after.agent = &two;
    after.queue = 5;
    cr_expect_eq(ap_policy_keyed(&asking, &c), ap_policy_keyed(&asking, &after));
    after.swarm = all[1].record;
    cr_expect_neq(ap_policy_keyed(&asking, &c), ap_policy_keyed(&asking, &after), "another service's agent of that name");
}

/* Where none passes there are no sums, and its own weight is all that there is. */
Test(policy, a_key_where_none_passes)
{
    const struct ap_asking asking = {.key = 77};
    struct ap_candidate c = {.weight = 100};

    enter(1, by_key);
    c.swarm = all[0].record;
    c.agent = ap_agent_at(client->seg, all[0].agent.queue);
    const uint64_t idle = ap_policy_keyed(&asking, &c);
    c.load = 3;
    cr_expect_eq(ap_policy_keyed(&asking, &c), idle, "a few tasks are no load");
    c.load = 4;
    cr_expect_gt(ap_policy_keyed(&asking, &c), idle);
}

/* One that has said nothing for some seconds may have become quicker, unless it is at work. */
Test(policy, a_slow_one_is_tried_again)
{
    struct ap_asking asking = {.now = client->seg->ops->now() + 100 * SECOND};
    struct ap_candidate c = {.weight = 8192};
    uint64_t run = 80 * MS;

    enter(1, by_wait);
    measured(0, run, 0);
    c.at = all[0].queue;
    all[0].queue->told = asking.now;
    cr_expect_eq(ap_policy_peak_ewma(&asking, &c), run + 1);
    all[0].queue->told = asking.now - 3 * SECOND;
    cr_expect_eq(ap_policy_peak_ewma(&asking, &c), run / 8 + 1);
    c.load = 1;
    cr_expect_eq(ap_policy_peak_ewma(&asking, &c), 2 * (run + 1));
    c.load = 0;
    all[0].queue->told = asking.now - 40 * SECOND;
    cr_expect_eq(ap_policy_peak_ewma(&asking, &c), 1);
}

Test(policy, a_key_gives_way_to_the_load)
{
    uint32_t home;

    enter(4, by_key);
    home = picked_with(77);
    ap_store_relaxed(&all[home].queue->running, 3);
    cr_expect_eq(picked_with(77), home, "a few tasks are no load");
    ap_store_relaxed(&all[home].queue->running, 20);
    cr_expect_neq(picked_with(77), home);
    /* What is too much depends on what the others have: of 13 tasks 4 are not, of 15 6 are. */
    for (uint32_t i = 0; i < 4; i++) ap_store_relaxed(&all[i].queue->running, i == home ? 4 : 3);
    cr_expect_eq(picked_with(77), home);
    ap_store_relaxed(&all[home].queue->running, 6);
    cr_expect_neq(picked_with(77), home);
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

Test(policy, callers_of_one_task_spread)
{
    uint32_t n[MOST] = {0};

    enter(3, by_wait);
    for (uint64_t i = 0; i < 300; i++) {
        ap_balance_begin(&balance, client->seg, i);
        n[picked_with(0)]++;
    }
    for (uint32_t i = 0; i < 3; i++) cr_expect(n[i] > 30, "%u has %u of 300", i, n[i]);
}

Test(policy, an_observer_sees_what_a_pick_sees)
{
    struct ap_route_view views[MOST];
    int best;

    enter(3, by_load);
    ap_store_relaxed(&all[0].queue->running, 2);
    ap_store_relaxed(&all[1].queue->running, 1);
    ap_store_relaxed(&all[2].record->beat, client->seg->ops->now() - AP_SILENT);
    cr_assert_eq(ap_route_explain(client->seg, capability, &anybody, views, MOST, &best), 3);
    cr_expect_eq(views[best].candidate.queue, all[1].agent.queue);
    cr_expect_eq(views[2].candidate.standing, AP_STANDS_SILENT);
    cr_expect_lt(views[1].score, views[0].score);
    memset(&views[1], 'x', sizeof views[1]);
    cr_expect_eq(ap_route_explain(client->seg, capability, &anybody, views, 1, &best), 3, "however few are asked for");
    cr_expect_eq(ap_route_explain(client->seg, UINT32_MAX, &anybody, views, MOST, &best), APIARY_ENOCAP);
    for (size_t i = 0; i < sizeof views[1]; i++) cr_assert_eq(((const char *)&views[1])[i], 'x', "and no more are written");
    cr_expect(ap_route_elsewhere(client->seg, capability, &anybody, all[2].agent.queue));
}

/* ---- loads ------------------------------------------------------------------------------------------------------- */

/* What waits in its rings: one reference of another caller than the one that asks. */
static void waits_at(uint32_t i, uint64_t ref)
{
    cr_assert_eq(ap_queue_push_shared(client->seg, all[i].agent.queue, ref), 0);
    ap_queue_signal(client->seg, all[i].agent.queue, client->seg->geometry.queue_inlets, ap_load_acquire(&all[i].queue->life));
}

static uint64_t load_seen(uint32_t i)
{
    struct ap_route_view views[MOST];
    int best, n = ap_route_explain(client->seg, capability, &anybody, views, MOST, &best);

    for (int k = 0; k < n; k++)
        if (views[k].candidate.queue == all[i].agent.queue) return views[k].candidate.load;
    cr_assert_fail("it is no candidate");
    return 0;
}

/* Its consumer says nothing for as long as its handler is at work. */
Test(policy, what_came_since_its_consumer_said_something_is_counted)
{
    enter(2, by_load);
    waits_at(0, AP_REF(1, 1));
    waits_at(0, AP_REF(2, 1));
    cr_expect_eq(load_seen(0), 2);
    cr_expect_eq(shares(10)[1], 10);
    ap_consumer_init(&all[0].consumer, client->seg, all[0].agent.queue);
    cr_expect_neq(ap_queue_pop(&all[0].consumer), 0);
    cr_expect_eq(load_seen(0), 1);
    cr_expect_neq(ap_queue_pop(&all[0].consumer), 0);
    cr_expect_eq(load_seen(0), 0);
    cr_expect_eq(load_seen(1), 0);
}

static uint64_t second_later(void)
{
    static uint64_t now;

    if (now == 0) now = ap_ops_system.now() + SECOND;
    return now;
}

/* What it has said just now is taken for true: the rings need not be looked at. */
Test(policy, what_its_consumer_has_just_said_is_relied_on)
{
    struct ap_ops ops = ap_ops_system;

    ops.now = second_later;
    enter(2, by_load);
    client->seg->ops = &ops;
    measured(0, MS, 0);
    ap_queue_publish(&all[0].consumer, 0);
    waits_at(0, AP_REF(1, 1));
    cr_expect_eq(load_seen(0), 0);
    measured(0, MS, 0);
    ap_store_relaxed(&all[0].queue->told, ops.now() - MS);
    cr_expect_eq(load_seen(0), 0);
    ap_store_relaxed(&all[0].queue->told, ops.now() - MS - 1);
    cr_expect_eq(load_seen(0), 1);
    client->seg->ops = &ap_ops_system;
}

/* ---- many -------------------------------------------------------------------------------------------------------- */

/* Drawn at random, two at least: the better one of each two is taken if it is idle. */
Test(policy_many, idle_ones_are_alike)
{
    const uint32_t *n;

    enter(MOST, by_load);
    n = shares(2400);
    for (uint32_t i = 0; i < MOST; i++) cr_expect(n[i] > 30 && n[i] < 300, "%u has %u of 2400", i, n[i]);
}

/* With two draws an idle quarter would get 44 % of the tasks. */
Test(policy_many, more_are_drawn_while_all_are_at_work)
{
    const uint32_t *n;
    uint32_t idle = 0;

    enter(MOST, by_load);
    for (uint32_t i = 0; i < MOST; i++) ap_store_relaxed(&all[i].queue->running, i % 4 != 0);
    n = shares(1000);
    for (uint32_t i = 0; i < MOST; i += 4) idle += n[i];
    cr_expect_gt(idle, 950);
    ap_store_relaxed(&all[0].queue->running, 0);
    for (uint32_t i = 0; i < MOST; i++) ap_store_relaxed(&all[i].queue->running, 3 + (i == 1));
    cr_expect_lt(shares(1000)[1], 100, "the best of those that were drawn is taken");
}

/* All that are drawn may be such as do not pass: then all are looked at. */
Test(policy_many, the_only_one_that_passes_is_found)
{
    enter(MOST, by_load);
    for (uint32_t i = 0; i < MOST; i++)
        if (i != 7) ap_queue_eject(&all[i].consumer, client->seg->ops->now() + 60 * SECOND, 1);
    cr_expect_eq(shares(100)[7], 100);
}
