/* What finding, picking and recovering take: edges of the histograms, the reason of a pick, what one lane has counted and all. */
#include "registry_fixture.h"

#include "shm/cost.h"
#include "shm/reap.h"

static void cost_setup(void)
{
    struct ap_geometry g = small;

    g.queue_depth = 256; /* a task that is cancelled keeps its place in the ring */
    g.tasks = 1024;
    g.max_concurrent_delegations = 200;
    segment_make(&g);
    client = attach_as("caller");
}

TestSuite(cost, .init = cost_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static struct ap_costs costs(void)
{
    struct ap_costs c;

    ap_costs_read(client->seg, &c);
    return c;
}

static uint64_t picked(enum ap_picked_as why)
{
    return costs().picks[why];
}

static const char *const echo[] = {"echo", NULL};
static struct ap_agent_registration agents[4];
static struct ap_swarm_registration swarms[4];

/* So many instances of a service with one agent each. */
static void enrol(uint32_t count)
{
    static const char *const names[] = {"0", "1", "2", "3"};

    for (uint32_t i = 0; i < count; i++) {
        agents[i] = (struct ap_agent_registration){.name = "a", .capabilities = echo, .lane = client->anchor->lane.index};
        swarms[i] = (struct ap_swarm_registration){.service = "server", .instance = names[i], .version = "1",
                                                   .lane = client->anchor->lane.index, .member = client->member,
                                                   .agents = &agents[i], .agent_count = 1};
        cr_assert_eq(ap_swarm_register(client->seg, &swarms[i]), 0);
    }
}

static int ask(const apiary_delegate_options_t *o)
{
    apiary_task_t task;
    int r = apiary_delegate(client, "echo", NULL, 0, o, &task);

    if (r == 0) cr_assert_eq(apiary_cancel(client, task), 0);
    return r;
}

/* Each edge, and the last time below it, for each kind. */
Test(cost, each_bucket_begins_where_the_one_before_ends)
{
    static struct ap_costs c;

    for (int k = 0; k < AP_COST_TIMES_END; k++)
        for (uint32_t i = 1; i < AP_COST_BUCKETS; i++) {
            uint64_t edge = ap_cost_lower((enum ap_cost_time)k, i);

            memset(&c, 0, sizeof c);
            ap_cost_took(&c, (enum ap_cost_time)k, edge);
            ap_cost_took(&c, (enum ap_cost_time)k, edge - 1);
            cr_expect(c.times[k].buckets[i] == 1 && c.times[k].buckets[i - 1] == 1, "edge %u of kind %d", i, k);
            cr_expect_eq(c.times[k].sum, 2 * edge - 1);
        }
    memset(&c, 0, sizeof c);
    ap_cost_took(&c, AP_COST_PICK, UINT64_MAX);
    cr_expect_eq(c.times[AP_COST_PICK].buckets[AP_COST_ABOVE], 1);
    ap_cost_took(NULL, AP_COST_PICK, 1);
}

Test(cost, a_quantile_is_told_from_its_bucket)
{
    static struct ap_costs c;

    cr_expect_eq(ap_cost_quantile(&c.times[AP_COST_PICK], AP_COST_PICK, 0.5), 0);
    for (uint64_t i = 0; i < 100; i++) ap_cost_took(&c, AP_COST_PICK, i < 90 ? 100 : 5000);
    cr_expect_eq(ap_cost_count(&c.times[AP_COST_PICK]), 100);
    cr_expect(ap_cost_quantile(&c.times[AP_COST_PICK], AP_COST_PICK, 0.9) >= 96 &&
              ap_cost_quantile(&c.times[AP_COST_PICK], AP_COST_PICK, 0.9) < 112);
    cr_expect(ap_cost_quantile(&c.times[AP_COST_PICK], AP_COST_PICK, 1) >= 4096 &&
              ap_cost_quantile(&c.times[AP_COST_PICK], AP_COST_PICK, 1) < 5120);
}

/* A remembered provider is counted in lots, and the rest when its lane closes. */
Test(cost, picks_of_an_only_provider_are_counted_each_once)
{
    apiary_t *more;
    apiary_task_t task;

    enrol(1);
    cr_assert_eq(apiary_attach(seg_name, NULL, &more), 0);
    for (uint32_t i = 0; i < AP_COST_SAMPLE + 10; i++) {
        cr_assert_eq(apiary_delegate(more, "echo", NULL, 0, NULL, &task), 0);
        cr_assert_eq(apiary_cancel(more, task), 0);
    }
    /* Two were looked for: a name is remembered when it comes again. And a lot of those that were remembered. */
    cr_expect_eq(picked(AP_PICKED_ONLY), AP_COST_SAMPLE + 2);
    cr_expect_eq(ap_cost_count(&costs().times[AP_COST_PICK]), 2);
    cr_expect_eq(ap_cost_count(&costs().times[AP_COST_SEARCH]), 1);
    apiary_detach(more);
    cr_expect_eq(picked(AP_PICKED_ONLY), AP_COST_SAMPLE + 10);
}

Test(cost, a_pick_among_several_is_the_policys)
{
    const apiary_delegate_options_t keyed = {.struct_size = sizeof keyed, .key = 7};

    enrol(3);
    for (int i = 0; i < 5; i++) cr_expect_eq(ask(NULL), 0);
    cr_expect_eq(picked(AP_PICKED_POLICY), 5);
    cr_expect_eq(ask(&keyed), 0);
    cr_expect_eq(picked(AP_PICKED_KEY), 1);
    cr_expect_eq(picked(AP_PICKED_ONLY), 0);
}

Test(cost, one_that_does_not_pass_is_told_apart_as_is_that_there_is_none)
{
    enrol(2);
    for (uint32_t i = 0; i < 2; i++) ap_swarm_at(client->seg, swarms[i].swarm)->state = APIARY_CRITICAL;
    cr_expect_eq(ask(NULL), 0);
    cr_expect_eq(picked(AP_PICKED_APART), 1);
    for (uint32_t i = 0; i < 2; i++) ap_swarm_deregister(client->seg, client->anchor->lane.index, &swarms[i]);
    cr_expect_eq(ask(NULL), APIARY_ENOPROVIDER);
    cr_expect_eq(picked(AP_PICKED_NONE), 1);
}

Test(cost, one_that_the_caller_names)
{
    apiary_provider_t providers[2] = {{.struct_size = sizeof providers[0]}};
    apiary_delegate_options_t o = {.struct_size = sizeof o};

    enrol(2);
    cr_assert_eq(apiary_discover(client, "echo", providers, 2), 2);
    o.provider = providers[1].provider;
    cr_expect_eq(ask(&o), 0);
    cr_expect_eq(picked(AP_PICKED_NAMED), 1);
    cr_expect_eq(ap_cost_count(&costs().times[AP_COST_DISCOVER]), 1);
}

Test(cost, an_event_is_counted_by_its_kind)
{
    uint64_t before = costs().events[AP_EVENT_CLAIM_FREED];

    ap_event_log(client->seg, AP_EVENT_CLAIM_FREED, client->anchor->lane.index, 1, 2);
    ap_event_log(client->seg, AP_EVENT_CLAIM_FREED, AP_NO_LANE, 1, 2);
    cr_expect_eq(costs().events[AP_EVENT_CLAIM_FREED], before + 2);
}
