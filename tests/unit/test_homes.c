/* Stateful capabilities: one provider has all of the tasks without a key, and all of one key, as long as it serves. */
#include "registry_fixture.h"

#include "registry/routing/homes.h"
#include "registry/routing/hedging.h"

TestSuite(homes, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define MOST 3u
#define KEYS 500u
static const char *const both[] = {"get", "put", NULL};
static struct ap_terms stateful[2]; /* of each */
static struct provider {
    char service[16];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
} all[MOST];

/* An instance of a service of its own, s0, s1, ...; nobody drains its queue. */
static void enter_as(uint32_t i, const char *const *capabilities, const struct ap_rules *rules)
{
    struct provider *p = &all[i];

    for (int c = 0; c < 2; c++) stateful[c].stateful = 1 + 1;
    snprintf(p->service, sizeof p->service, "s%u", i);
    p->agent = (struct ap_agent_registration){.name = "agent", .capabilities = capabilities, .terms = stateful, .rules = rules,
                                              .lane = client->anchor->lane.index};
    p->swarm = (struct ap_swarm_registration){.service = p->service, .lane = client->anchor->lane.index,
                                              .member = client->member, .agents = &p->agent, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(client->seg, &p->swarm), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, p->swarm.swarm)->state, APIARY_PASSING);
}

static void enter(uint32_t i)
{
    enter_as(i, both, NULL);
}

static void depart(uint32_t i)
{
    ap_swarm_deregister(client->seg, client->anchor->lane.index, &all[i].swarm);
}

static uint32_t index_of(const char *name)
{
    int capability = ap_capability_find(client->seg, name, strlen(name));

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static int number_of(uint32_t queue)
{
    for (int i = 0; i < (int)MOST; i++)
        if (all[i].swarm.service != NULL && all[i].agent.queue == queue) return i;
    return -1;
}

/* Who gets a task: a provider's number, or an error. */
static int home_of(const char *name, uint64_t key)
{
    static struct ap_balance balance;
    uint32_t queue;
    uint64_t life;
    int r = ap_route_keyed(client->seg, index_of(name), -1, key, &balance, AP_NO_QUEUE, &queue, &life);

    return r < 0 ? r : number_of(queue);
}

static void mode(uint32_t i, enum apiary_mode to)
{
    cr_assert_geq(ap_swarm_mode_set(client->seg, all[i].swarm.swarm, all[i].service, "0", to, NULL), 0);
}

static uint32_t shares_of(uint32_t i)
{
    const struct ap_homes *row = ap_home_row(client->seg, index_of("get"));

    cr_assert(row != NULL);
    return ap_home_shares(row, AP_PROVIDER(all[i].agent.queue, ap_queue_at(client->seg, all[i].agent.queue)->life));
}

Test(homes, without_a_key_all_go_to_the_oldest)
{
    for (uint32_t i = 0; i < MOST; i++) enter(i);
    for (int n = 0; n < 20; n++) cr_expect_eq(home_of("get", 0), 0);
    depart(0);
    for (int n = 0; n < 20; n++) cr_expect_eq(home_of("get", 0), 1);
    enter(0);
    cr_expect_eq(home_of("get", 0), 1, "one that comes takes nothing from one that lives");
    mode(1, APIARY_DRAIN);
    cr_expect_eq(home_of("get", 0), 2);
    mode(1, APIARY_READY);
    cr_expect_eq(home_of("get", 0), 2, "nor one that comes back");
    for (uint32_t i = 0; i < MOST; i++) depart(i);
    cr_expect_eq(home_of("get", 0), APIARY_ENOPROVIDER);
    assert_sound();
}

/* Each of them is within the row, the first is of no key, and keys are spread over all others. */
Test(homes, each_share_is_of_the_row)
{
    uint32_t n[AP_HOMES] = {0};

    cr_expect_eq(ap_home_share(0), 0);
    for (uint64_t k = 1; k <= 1000 * AP_HOMES; k++) {
        uint32_t share = ap_home_share(k);

        cr_assert(share > 0 && share < AP_HOMES, "key %d has share %u", (int)k, share);
        cr_expect_eq(ap_home_share(k), share);
        n[share]++;
    }
    for (uint32_t i = 1; i < AP_HOMES; i++) cr_expect(n[i] > 800 && n[i] < 1200, "share %u has %u keys", i, n[i]);
}

Test(homes, a_key_stays_where_it_is)
{
    int before[KEYS];

    enter(0);
    for (uint64_t k = 1; k <= 20; k++) cr_expect_eq(home_of("get", k), 0);
    enter(1);
    for (uint64_t k = 1; k <= 20; k++) cr_expect_eq(home_of("get", k), 0, "key %d", (int)k);
    for (uint64_t k = 0; k < KEYS; k++) before[k] = home_of("get", k + 1);
    for (uint32_t i = 0; i < 2; i++) cr_expect(shares_of(i) >= 30 && shares_of(i) <= 33, "%u has %u", i, shares_of(i));
    enter(2);
    for (uint64_t k = 0; k < KEYS; k++) cr_expect_eq(home_of("get", k + 1), before[k]);
    cr_expect_eq(shares_of(2), 0, "all are in use");
    depart(0);
    for (uint64_t k = 0; k < KEYS; k++) {
        int now = home_of("get", k + 1);

        if (before[k] == 1) cr_expect_eq(now, 1);
        else cr_expect(now == 1 || now == 2);
    }
    cr_expect(shares_of(1) + shares_of(2) == AP_HOMES - 1 && shares_of(2) >= 31, "those with the fewest: %u", shares_of(2));
    assert_sound();
}

Test(homes, what_is_offered_together_has_one_place)
{
    int got[KEYS];

    enter(0);
    for (uint64_t k = 0; k < 10; k++) got[k] = home_of("get", k);
    enter(1);
    enter(2);
    for (uint64_t k = 10; k < KEYS; k++) got[k] = home_of("get", k);
    for (uint64_t k = 0; k < KEYS; k++) cr_expect_eq(home_of("put", k), got[k], "key %d", (int)k);
}

/* A lane that remembers an only provider asks no router. */
Test(homes, an_only_provider_has_its_shares_from_the_first_task_on)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    apiary_task_t task;

    enter(0);
    for (uint64_t k = 0; k < 3; k++) {
        o.key = k;
        cr_assert_eq(apiary_delegate(client, "get", "x", 1, &o, &task), 0);
    }
    cr_expect_eq(shares_of(0), 3);
    enter(1);
    for (uint64_t k = 0; k < 3; k++) cr_expect_eq(home_of("put", k), 0);
    cr_expect_eq(home_of("put", 3), 1);
}

Test(homes, trouble_moves_nothing)
{
    struct ap_swarm *s;
    struct ap_queue *q;
    uint64_t now = client->seg->ops->now();

    enter(0);
    cr_expect_eq(home_of("get", 7), 0);
    enter(1);
    s = ap_swarm_at(client->seg, all[0].swarm.swarm);
    q = ap_queue_at(client->seg, all[0].agent.queue);
    ap_store_relaxed(&s->state, APIARY_CRITICAL);
    cr_expect_eq(home_of("get", 7), 0);
    ap_store_relaxed(&s->state, APIARY_PASSING);
    cr_expect_eq(ap_swarm_weight_set(client->seg, all[0].swarm.swarm, "s0", "0", 0), 1);
    cr_expect_eq(home_of("get", 7), 0);
    ap_store_relaxed(&q->ejections, 1);
    ap_store_relaxed(&q->until, now + 100 * SECOND);
    cr_expect_eq(home_of("get", 7), 0);
    cr_expect_eq(home_of("get", 0), 1, "but it gets no more");
    ap_store_relaxed(&q->until, now - 1);
    cr_expect_eq(home_of("get", 7), 0);
    cr_expect_eq(home_of("get", 0), 1);
    cr_expect_eq(ap_load_relaxed(&q->probe), 0, "no trial is used up by tasks of others");
}

Test(homes, a_full_queue_is_not_gone_round)
{
    apiary_t *guest = attach_as(NULL); /* without a bound of its own */
    apiary_task_t task;
    int r = 0, n;

    enter(0);
    cr_expect_eq(home_of("get", 0), 0);
    enter(1);
    for (n = 0; n < 100 && r == 0; n++) r = apiary_delegate(guest, "get", "x", 1, NULL, &task);
    cr_expect_eq(r, APIARY_EQUEUEFULL);
    cr_expect_eq(ap_queue_depth(client->seg, all[1].agent.queue), 0);
    cr_expect_eq(home_of("get", 0), 0);
    apiary_detach(guest);
}

/* Nor does a task with a key go to the home of those without one. */
Test(homes, a_full_queue_of_a_key_is_not_gone_round)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .key = 7};
    apiary_t *guest = attach_as(NULL);
    apiary_task_t task;
    int r = 0, n;

    enter(0);
    cr_expect_eq(home_of("get", 7), 0);
    enter(1);
    cr_expect_eq(home_of("get", 0), 1);
    for (n = 0; n < 100 && r == 0; n++) r = apiary_delegate(guest, "get", "x", 1, &o, &task);
    cr_expect_eq(r, APIARY_EQUEUEFULL);
    cr_expect_eq(ap_queue_depth(client->seg, all[1].agent.queue), 0);
    apiary_detach(guest);
}

Test(homes, what_waits_goes_where_the_state_is_next)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .key = 5};
    apiary_task_t task;
    uint64_t word;

    enter(0);
    enter(1);
    cr_assert_eq(apiary_delegate(client, "get", "x", 1, &o, &task), 0);
    word = ap_slot_at(client->seg, task.slot)->word;
    cr_expect_eq(number_of(AP_WORD_OWNER(word)), 0);
    /* In trouble it keeps the task, and the next sweep moves nothing. */
    ap_store_relaxed(&ap_swarm_at(client->seg, all[0].swarm.swarm)->state, APIARY_CRITICAL);
    cr_expect_eq(ap_reroute(client->seg, NULL, task.slot, word), AP_MOVE_SERVED);
    enter(2);
    mode(0, APIARY_DRAIN);
    cr_expect_eq(home_of("put", 5), 1);
    cr_expect_eq(ap_reroute(client->seg, NULL, task.slot, word), AP_MOVE_MOVED);
    word = ap_slot_at(client->seg, task.slot)->word;
    cr_expect_eq(number_of(AP_WORD_OWNER(word)), 1);
    depart(1);
    word = ap_slot_at(client->seg, task.slot)->word;
    cr_expect_eq(number_of(AP_WORD_OWNER(word)), home_of("get", 5));
    assert_sound();
}

Test(homes, nobody_is_asked_twice)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = SECOND};
    apiary_task_t task;

    stateful[0].idempotent = stateful[1].idempotent = 1 + 1;
    enter(0);
    enter(1);
    cr_expect_eq(apiary_delegate(client, "get", "x", 1, &o, &task), APIARY_ENOTIDEMPOTENT);
}

Test(homes, rules_refuse_and_do_not_divert)
{
    static const struct ap_rules not_s0[2] = {{.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "caller", .to = "s0"}}},
                                              {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}}};
    apiary_task_t task;

    enter_as(0, both, not_s0);
    cr_expect_eq(home_of("get", 0), 0, "a caller without a service");
    enter_as(1, both, not_s0);
    cr_expect_eq(apiary_delegate(client, "get", "x", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(apiary_delegate(client, "put", "x", 1, NULL, &task), APIARY_EFORBIDDEN);
    cr_expect_eq(home_of("get", 0), 0);
}

Test(homes, who_only_looks_gives_nothing_away)
{
    const struct ap_route_question q = {.service = -1, .key = 9};
    struct ap_route_view views[8];
    int best;

    enter(0);
    enter(1);
    cr_expect_eq(ap_route_look(client->seg, index_of("get"), &q), 0);
    cr_expect_eq(ap_route_explain(client->seg, index_of("get"), &q, views, 8, &best), 2);
    cr_assert_geq(best, 0);
    cr_expect_eq(number_of(views[best].candidate.queue), 0);
    cr_expect_eq(shares_of(0) + shares_of(1), 0);
    cr_expect_eq(home_of("get", 1), 0);
    cr_expect_eq(ap_route_explain(client->seg, index_of("get"), &q, views, 8, &best), 2);
    cr_expect_eq(number_of(views[best].candidate.queue), home_of("get", 9));
}

/* A major that fails is the newest all the same: its state is nowhere else. */
Test(homes, a_name_means_its_newest_major_however_that_stands)
{
    static const char *const one[] = {"get@1", NULL}, *const two[] = {"get@2", NULL};

    enter_as(0, one, NULL);
    enter_as(1, two, NULL);
    cr_expect_eq(home_of("get", 3), 1);
    cr_expect_eq(home_of("get@1", 3), 0);
    ap_store_relaxed(&ap_swarm_at(client->seg, all[1].swarm.swarm)->state, APIARY_CRITICAL);
    cr_expect_eq(home_of("get", 3), 1);
    cr_expect_eq(home_of("get@2", 3), 1);
    depart(1);
    cr_expect_eq(home_of("get", 3), 0);
}

/* A row that somebody has written over names nobody, and costs nobody more than a look. */
Test(homes, a_damaged_row_is_replaced)
{
    struct ap_homes *row;

    enter(0);
    enter(1);
    row = ap_homes_at(client->seg, index_of("get"));
    for (uint32_t i = 0; i < AP_HOMES; i++) row->of[i] = UINT64_C(0x123456789abc) << i % 16 | 0xffff;
    for (uint64_t k = 0; k < 40; k++) cr_expect_geq(home_of("get", k), 0);
}
