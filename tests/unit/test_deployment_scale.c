/* Another number of instances than the text says: judged as if it stood there, and refused without a trace. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agents/deployment/deployment.h"

static const apiary_agent_kind_t kind_plain = {APIARY_AGENT_KIND, .name = "plain"},
    kind_ledger = {APIARY_AGENT_KIND, .name = "ledger", .state = APIARY_STATE_AGENT};
static const apiary_agent_kind_t *const kinds[] = {&kind_plain, &kind_ledger, NULL};

static struct ap_deployment *d;
static struct ap_config_error error;

static void load(void)
{
    static const char text[] = "meta_registry: {swarms: 8, queues: 64, lanes: 128}\n"
                               "swarms:\n"
                               "- service: one\n"
                               "  queen: {instances: 2}\n"
                               "  agents: [{name: a, kind: plain, capabilities: [x]}]\n"
                               "- service: two\n"
                               "  agents: [{name: a, kind: ledger, capabilities: [y]}]\n";

    cr_assert_eq(ap_deployment_parse("f.yaml", text, strlen(text), kinds, NULL, &d, &error), 0, "%s", error.text);
}

static void drop(void)
{
    ap_deployment_free(d);
}

TestSuite(deployment_scale, .init = load, .fini = drop, .timeout = TEST_LIMIT);

static uint32_t instances(const char *service)
{
    return ap_deployment_swarm(d, service)->instances;
}

static void expect_refused(const char *service, uint32_t wanted, const char *sentence)
{
    uint32_t before = instances(service);

    error.text[0] = '\0';
    cr_expect_eq(ap_deployment_scale(d, service, NULL, wanted, &error), APIARY_ECONFIG, "%u of %s", wanted, service);
    cr_expect_str_eq(error.text, sentence);
    cr_expect_eq(ap_deployment_scale(d, service, NULL, wanted, NULL), APIARY_ECONFIG);
    cr_expect_eq(instances(service), before);
}

Test(deployment_scale, of_the_service_that_is_named)
{
    cr_expect_eq(ap_deployment_scale(d, "one", NULL, 5, &error), 0);
    cr_expect_eq(instances("one"), 5);
    cr_expect_eq(instances("two"), 1);
    cr_expect_eq(ap_deployment_scale(d, "one", NULL, 1, NULL), 0);
    cr_expect_eq(instances("one"), 1);
    cr_expect_eq(ap_deployment_written_instances(ap_deployment_swarm(d, "one")), 2, "the text is as it was");
    cr_expect_eq(ap_deployment_written_instances(ap_deployment_swarm(d, "two")), 1);
    cr_expect_eq(ap_deployment_scale(d, "three", NULL, 1, &error), APIARY_EINVAL);
    cr_expect_null(ap_deployment_swarm(d, "three"));
}

Test(deployment_scale, within_bounds)
{
    expect_refused("one", 0, "f.yaml:3: instances: 0 is out of range; allowed: 1 to 64");
    expect_refused("one", 65, "f.yaml:3: instances: 65 is out of range; allowed: 1 to 64");
}

/* The whole file has to fit into the segment: one row for each instance of each service. */
Test(deployment_scale, only_as_many_as_there_is_room_for)
{
    cr_expect_eq(ap_deployment_scale(d, "one", NULL, 7, &error), 0);
    expect_refused("one", 8, "f.yaml:1: swarms: 8 is too few for the swarms of this file; expected at least 9 (one for each "
                   "instance of a queen)");
    expect_refused("one", 64, "f.yaml:1: swarms: 8 is too few for the swarms of this file; expected at least 65 (one for each "
                   "instance of a queen)");
}

Test(deployment_scale, one_that_keeps_state_is_one)
{
    cr_expect_eq(ap_deployment_scale(d, "two", NULL, 1, &error), 0);
    expect_refused("two", 2, "f.yaml:7: capabilities: agent a (kind 'ledger') keeps state, and there are to be several of it "
                   "(instances: 2), so whoever is asked for y would answer with its own; expected {name: y, stateful: true}, or "
                   "instances: 1");
}

/* ---- replicas -------------------------------------------------------------------------------------------------------- */

static struct ap_deployment *replicated(const char *more)
{
    struct ap_deployment *ret;
    char text[512];

    snprintf(text, sizeof text, "meta_registry: {queues: 4, lanes: 64}\nswarms:\n- service: one\n  workers: 4\n  agents:\n"
             "  - {name: a, kind: plain, capabilities: [x], replicas: 2}\n  - {name: b, kind: %s, capabilities: [y]}\n", more);
    cr_assert_eq(ap_deployment_parse("f.yaml", text, strlen(text), kinds, NULL, &ret, &error), 0, "%s", error.text);
    return ret;
}

static void expect_agents(const struct ap_deployment *of, const char *names)
{
    const struct ap_deployment_swarm *s = ap_deployment_swarm(of, "one");
    char text[256] = "";

    for (size_t i = 0; i < s->agent_count; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s:%u@%u", i > 0 ? " " : "", s->agents[i].name, s->agents[i].replica,
                 s->agents[i].worker);
    }
    cr_expect_str_eq(text, names);
}

Test(deployment_scale, replicas_of_the_agent_that_is_named)
{
    struct ap_deployment *r = replicated("plain");
    const struct ap_deployment_swarm *s = ap_deployment_swarm(r, "one");

    expect_agents(r, "a:0@0 a.2:1@1 b:0@0");
    cr_expect_eq(ap_deployment_scale(r, "one", "b", 2, &error), 0, "%s", error.text);
    expect_agents(r, "a:0@0 a.2:1@1 b:0@0 b.2:1@1");
    cr_expect_eq(ap_deployment_replicas(s, ap_deployment_agent(s, "a")), 2);
    cr_expect_eq(ap_deployment_replicas(s, ap_deployment_agent(s, "b")), 2);
    cr_expect_eq(ap_deployment_written_replicas(ap_deployment_agent(s, "b")), 1, "the text is as it was");
    cr_expect_eq(ap_deployment_scale(r, "one", "a", 1, NULL), 0);
    expect_agents(r, "a:0@0 b:0@0 b.2:1@1");
    cr_expect_eq(ap_deployment_scale(r, "one", "b", 1, &error), 0);
    cr_expect_eq(ap_deployment_scale(r, "one", "a", 3, &error), 0);
    expect_agents(r, "a:0@0 a.2:1@1 a.3:2@2 b:0@0");
    cr_expect_eq(ap_deployment_scale(r, "one", "a.2", 2, &error), APIARY_EINVAL, "a replica is no agent of the text");
    cr_expect_eq(ap_deployment_scale(r, "one", "c", 2, &error), APIARY_EINVAL);
    cr_expect_eq(ap_deployment_scale(r, "two", "a", 2, NULL), APIARY_EINVAL);
    ap_deployment_free(r);
}

Test(deployment_scale, replicas_that_are_refused_leave_no_trace)
{
    static const struct {
        const char *agent, *sentence;
        uint32_t replicas;
    } rows[] = {
        {"a", "f.yaml:6: replicas: 0 is out of range; allowed: 1 to 16", 0},
        {"a", "f.yaml:6: replicas: 17 is out of range; allowed: 1 to 16", 17},
        {"a", "f.yaml:6: replicas: 5 need as many workers; one has workers: 4", 5},
        {"a", "f.yaml:1: queues: 4 is too few for the swarms of this file; expected at least 5 (one for each agent of each "
              "instance)", 4},
        {"b", "f.yaml:7: capabilities: agent b (kind 'ledger') keeps state, and there are to be several of it (replicas: 2), so "
              "whoever is asked for y would answer with its own; expected {name: y, stateful: true}, or replicas: 1", 2},
    };
    struct ap_deployment *r = replicated("ledger");

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        error.text[0] = '\0';
        cr_expect_eq(ap_deployment_scale(r, "one", rows[i].agent, rows[i].replicas, &error), APIARY_ECONFIG, "row %zu", i);
        cr_expect_str_eq(error.text, rows[i].sentence);
        cr_expect_eq(ap_deployment_scale(r, "one", rows[i].agent, rows[i].replicas, NULL), APIARY_ECONFIG, "row %zu", i);
        expect_agents(r, "a:0@0 a.2:1@1 b:0@0");
    }
    ap_deployment_free(r);
}

/* ---- one that is autoscaled ------------------------------------------------------------------------------------------ */

static struct ap_deployment *scaled(const char *queen)
{
    struct ap_deployment *ret = NULL;
    char text[512];

    snprintf(text, sizeof text, "swarms:\n- service: one\n  queen: {%s}\n  agents: [{name: a, kind: plain, capabilities: [x]}]\n",
             queen);
    cr_assert_eq(ap_deployment_parse("g.yaml", text, strlen(text), kinds, NULL, &ret, &error), 0, "%s", error.text);
    return ret;
}

Test(deployment_scale, within_the_bounds_of_autoscale)
{
    struct ap_deployment *own = d;

    d = scaled("autoscale: {min: 2, max: 4}");
    cr_expect_eq(instances("one"), 2);
    cr_expect_eq(ap_deployment_scale(d, "one", NULL, 4, &error), 0);
    expect_refused("one", 5, "g.yaml:3: instances: 5 is outside of autoscale; allowed: 2 to 4");
    expect_refused("one", 1, "g.yaml:3: instances: 1 is outside of autoscale; allowed: 2 to 4");
    expect_refused("one", 65, "g.yaml:2: instances: 65 is out of range; allowed: 1 to 64");
    ap_deployment_free(d);
    d = own;
}

Test(deployment_scale, a_number_is_kept_as_far_as_bounds_allow)
{
    static const struct {
        const char *running, *next;
        uint32_t scaled, kept;
    } rows[] = {{"autoscale: {min: 1, max: 8}", "autoscale: {min: 1, max: 4}", 3, 3},
                {"autoscale: {min: 1, max: 8}", "autoscale: {min: 1, max: 4}", 6, 4},
                {"autoscale: {min: 1, max: 8}", "autoscale: {min: 5, max: 6}", 3, 5},
                {"instances: 1", "autoscale: {min: 1, max: 4}", 3, 3},
                {"autoscale: {min: 1, max: 8}", "instances: 2", 5, 2}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ap_deployment *running = scaled(rows[i].running), *next = scaled(rows[i].next);
        cr_assert_eq(ap_deployment_scale(running, "one", NULL, rows[i].scaled, &error), 0);
        ap_deployment_keep_scale(running, next);
        cr_expect_eq(next->swarms[0].instances, rows[i].kept, "%s, %s", rows[i].running, rows[i].next);
        ap_deployment_keep_scale(d, running);
        cr_expect_eq(running->swarms[0].instances, rows[i].running[0] == 'i' ? 3 : 2, "services are found by name");
        ap_deployment_free(running);
        ap_deployment_free(next);
    }
}
