/* tests/unit/test_deployment_diff.c - what differs between two configurations, and what that takes. */
#include "tests/unit/deployment_fixture.h"

#include "agents/deployment/deployment_diff.h"

TestSuite(deployment_diff, .init = set_up, .fini = tear_down);

/* "kind service agent key before after effect line" of each, one below the other. */
static const char *differences(const char *before, const char *after)
{
    static char ret[4096];
    struct ap_deployment *old = load(before), *new = load(after);
    struct ap_differences d = {.list = NULL};

    ret[0] = '\0';
    cr_assert_eq(ap_deployment_diff(old, new, &d), 0);
    for (size_t i = 0; i < d.count; i++) {
        const struct ap_difference *x = &d.list[i];
        size_t n = strlen(ret);

        snprintf(ret + n, sizeof ret - n, "%s %s %s %s %s %s %d %u\n", ap_difference_text(x->kind),
                 x->service != NULL ? x->service : "-", x->agent != NULL ? x->agent : "-", x->key != NULL ? x->key : "-",
                 x->before != NULL ? x->before : "-", x->after != NULL ? x->after : "-", (int)x->effect, x->line);
    }
    ap_differences_free(&d);
    cr_expect_eq(d.count, 0);
    ap_deployment_free(old);
    ap_deployment_free(new);
    return ret;
}

static uint64_t fingerprint_of(const char *text, enum ap_effect effect)
{
    struct ap_deployment *d = load(text);
    uint64_t ret = 0;

    cr_assert_eq(ap_deployment_fingerprint(&d->swarms[0], effect, &ret), 0);
    ap_deployment_free(d);
    return ret;
}

static uint64_t fingerprint(const char *text)
{
    return fingerprint_of(text, AP_EFFECT_RESTART);
}

#define PLAIN "swarms:\n  - service: s\n" AGENTS

/* A default that is written out, another order of keys and of agents. */
Test(deployment_diff, the_same)
{
    cr_expect_str_eq(differences(PLAIN, PLAIN), "");
    cr_expect_str_eq(differences(PLAIN, "meta_registry: {port: 4100, mode: \"0660\", health_check_interval: 30s}\n" PLAIN
                                        "    workers: 1\n    weight: 100\n    queen: {instances: 1, restart: always}\n"),
                     "");
}

Test(deployment_diff, other_order)
{
    const char *one = S "      - {name: a, kind: exec, capabilities: c, config: {command: [x], niceness: 3}}\n"
                        "      - {name: b, kind: echo, capabilities: d}\n",
               *other = S "      - {name: b, capabilities: d, kind: echo}\n"
                          "      - {name: a, kind: exec, config: {niceness: 3, command: [x]}, capabilities: c}\n";

    cr_expect_str_eq(differences(one, other), "");
    cr_expect_eq(fingerprint(one), fingerprint(other));
}

Test(deployment_diff, services)
{
    const char *two = PLAIN "  - service: t\n" AGENTS;

    cr_expect_str_eq(differences(PLAIN, two), "added t - - - - 4 4\n");
    cr_expect_str_eq(differences(two, PLAIN), "removed t - - - - 5 4\n");
}

Test(deployment_diff, agents)
{
    const char *two = S "      - {name: a, kind: echo, capabilities: c}\n      - {name: b, kind: echo, capabilities: d}\n";

    cr_expect_str_eq(differences(PLAIN, two), "added s b - - - 3 5\n");
    cr_expect_str_eq(differences(two, PLAIN), "removed s b - - - 3 5\n");
}

/* Each key with what it takes. */
Test(deployment_diff, keys)
{
    cr_expect_str_eq(differences(PLAIN, PLAIN "    weight: 7\n"), "changed s - weight 100 7 1 4\n");
    cr_expect_str_eq(differences(PLAIN "    version: 1.0\n", PLAIN), "removed s - version 1.0 - 3 4\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    port: 4000\n"), "added s - port - 4000 3 4\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    queen:\n      restart: never\n      instances: 3\n"),
                     "changed s - queen.instances 1 3 2 6\nchanged s - queen.restart always never 0 5\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    checks: [{capability: c, expect: \"\"}]\n"),
                     "added s - checks - [{capability: c, expect: \"\"}] 0 4\n");
}

/* Of a key that is not written any more the line of the mapping in which it would be. */
Test(deployment_diff, keys_that_have_gone)
{
    cr_expect_str_eq(differences(PLAIN "    weight: 7\n", PLAIN), "changed s - weight 7 100 1 2\n");
    cr_expect_str_eq(differences(PLAIN "    queen: {instances: 3, restart: never}\n", PLAIN "    queen: {restart: never}\n"),
                     "changed s - queen.instances 3 1 2 4\n");
    cr_expect_str_eq(differences("meta_registry:\n  port: 4200\n  tasks: 256\n" PLAIN, "meta_registry:\n  tasks: 256\n" PLAIN),
                     "changed - - port 4200 4100 0 2\n");
}

/* In each line of a queen's keys, those of the queen's own mapping. */
Test(deployment_diff, keys_of_the_queen)
{
    cr_expect_str_eq(differences(PLAIN, PLAIN "    queen:\n      instances: 1\n      update: stop_first\n"),
                     "added s - queen.update - stop_first 0 6\n");
    cr_expect_str_eq(differences(PLAIN "    queen: {update: stop_first}\n", PLAIN "    queen:\n      update: start_first\n"),
                     "changed s - queen.update stop_first start_first 0 5\n");
    cr_expect_str_eq(differences(PLAIN "    queen:\n      update: start_first\n", PLAIN),
                     "removed s - queen.update start_first - 0 5\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    queen:\n      instances: 2\n      restart_stuck: 20s\n"),
                     "changed s - queen.instances 1 2 2 5\nadded s - queen.restart_stuck - 20000ms 0 6\n");
}

/* The supervisor's, which takes them over in place. */
Test(deployment_diff, keys_of_autoscale)
{
    const char *one = PLAIN "    queen:\n      autoscale:\n        max: 4\n",
               *other = PLAIN "    queen:\n      autoscale:\n        min: 1\n        max: 5\n        cool_down: 10s\n";

    cr_expect_str_eq(differences(PLAIN, one), "added s - queen.autoscale.backlog - 10 0 6\n"
                                              "added s - queen.autoscale.cool_down - 300000ms 0 6\n"
                                              "added s - queen.autoscale.max - 4 0 6\nadded s - queen.autoscale.min - 1 0 6\n");
    cr_expect_str_eq(differences(one, other), "changed s - queen.autoscale.cool_down 300000ms 10000ms 0 8\n"
                                              "changed s - queen.autoscale.max 4 5 0 7\n");
    cr_expect_str_eq(differences(one, one), "");
    cr_expect_eq(fingerprint(one), fingerprint(other));
    cr_expect_eq(fingerprint_of(one, AP_EFFECT_ADJUST), fingerprint_of(other, AP_EFFECT_ADJUST));
}

/* What the coordinator asks is registered by the queen; when a stuck one is ended is the supervisor's. */
Test(deployment_diff, keys_of_health)
{
    cr_expect_str_eq(differences(PLAIN, PLAIN "    health_endpoint: http://localhost/\n"),
                     "added s - health_endpoint - http://localhost/ 3 4\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    health_check_interval: 5s\n    health_check_timeout: 1s\n"),
                     "changed s - health_check_interval 30000ms 5000ms 1 4\nadded s - health_check_timeout - 1000ms 1 5\n");
    cr_expect_str_eq(differences(PLAIN "    unhealthy_after: 2\n", PLAIN "    unhealthy_after: 4\n    healthy_after: 1\n"),
                     "added s - healthy_after - 1 1 5\nchanged s - unhealthy_after 2 4 1 4\n");
    cr_expect_str_eq(differences(PLAIN, PLAIN "    queen: {restart_stuck: 30s}\n"),
                     "added s - queen.restart_stuck - 30000ms 0 4\n");
}

/* The order of starts is the supervisor's: nothing that runs is touched. The order of names is none. */
Test(deployment_diff, order)
{
#define THREE PLAIN "  - service: t\n" AGENTS "  - service: u\n" AGENTS
    cr_expect_str_eq(differences(THREE, THREE "    depends_on: [t, s]\n"), "added u - depends_on - s, t 0 8\n");
    cr_expect_str_eq(differences(THREE "    depends_on: [t, s]\n", THREE "    depends_on: [s, t]\n"), "");
    cr_expect_str_eq(differences(THREE "    depends_on: [t, s]\n", THREE "    depends_on: t\n"),
                     "changed u - depends_on s, t t 0 8\n");
    cr_expect_str_eq(differences(THREE "    depends_on: [t]\n", THREE "    depends_on: []\n"), "removed u - depends_on t - 0 8\n");
    cr_expect_str_eq(differences(THREE "phases:\n  - {name: a, services: [s, t]}\n  - {name: b, services: u}\n",
                                 THREE "phases:\n  - {name: a, services: s}\n  - {name: b, services: [u, t]}\n"),
                     "changed t - phase 1 (a) 2 (b) 0 10\n");
    cr_expect_str_eq(differences(THREE, THREE "phases: [{name: a, services: [u]}]\n"), "added u - phase - 1 (a) 0 8\n");
    cr_expect_eq(fingerprint(PLAIN "  - service: t\n" AGENTS "phases: [{name: a, services: s}]\n"), fingerprint(PLAIN));
}

Test(deployment_diff, deep)
{
    const char *one = S "      - {name: a, kind: exec, capabilities: c, config: {command: [x, y]}}\n",
               *other = S "      - name: a\n        kind: exec\n        capabilities: c\n        config:\n"
                          "          command: [x, \"y\"]\n          clean: true\n";

    cr_expect_str_eq(differences(one, other),
                     "added s a config.clean - true 3 9\nchanged s a config.command [x, y] [x, \"y\"] 3 8\n");
}

Test(deployment_diff, registry)
{
    cr_expect_str_eq(differences("meta_registry: {tasks: 128, task_timeout: 5s}\n" PLAIN,
                                 "meta_registry:\n  segment: /x\n  tasks: 256\n  port: 4200\n  task_timeout: 5000\n" PLAIN),
                     "changed - - port 4100 4200 0 4\nadded - - segment - /x 6 2\nchanged - - tasks 128 256 6 3\n");
}

/* The number is that of what queens are started with, and of nothing else. */
Test(deployment_diff, fingerprints)
{
    uint64_t plain = fingerprint(PLAIN);

    cr_expect_eq(fingerprint(PLAIN "    queen: {instances: 4, restart: never}\n"), plain);
    cr_expect_eq(fingerprint(PLAIN "    checks: [{capability: c, expect: x}]\n"), plain);
    cr_expect_neq(fingerprint(PLAIN "    workers: 2\n"), plain);
    cr_expect_neq(fingerprint(S "      - {name: a, kind: echo, capabilities: d}\n"), plain);
    cr_expect_neq(fingerprint(S "      - {name: b, kind: echo, capabilities: c}\n"), plain);
}

/* What queens take over as they run has a number of its own. */
Test(deployment_diff, fingerprints_in_place)
{
    const char *rated = S "      - {name: a, kind: echo, capabilities: [{name: c, rate: 5}]}\n";
    uint64_t plain = fingerprint(PLAIN), adjusts = fingerprint_of(PLAIN, AP_EFFECT_ADJUST);

    cr_expect_eq(fingerprint(PLAIN "    weight: 99\n"), plain);
    cr_expect_neq(fingerprint_of(PLAIN "    weight: 99\n", AP_EFFECT_ADJUST), adjusts);
    cr_expect_eq(fingerprint_of(PLAIN "    workers: 2\n", AP_EFFECT_ADJUST), adjusts);
    cr_expect_eq(fingerprint(rated), plain);
    cr_expect_neq(fingerprint_of(rated, AP_EFFECT_ADJUST), adjusts);
}

/* Terms and rules are taken over in place, but for the one that says where tasks find their state. Other names, and another order
 * of them, are not. */
Test(deployment_diff, terms)
{
#define OFFERS(list) S "      - {name: a, kind: exec, config: {command: [x]}, capabilities: " list "}\n"
    cr_expect_str_eq(differences(OFFERS("c"), OFFERS("[{name: c}]")), "");
    cr_expect_str_eq(differences(OFFERS("[c, d]"), OFFERS("[{name: c, rate: 5, rules: [{deny: x}]}, d]")),
                     "added s a capabilities.c.rate - 5 1 4\nadded s a capabilities.c.rules - [{deny: x}] 1 4\n");
    cr_expect_str_eq(differences(OFFERS("[{name: c, rate: 5}]"), OFFERS("[{name: c, rate: 6}]")),
                     "changed s a capabilities.c.rate 5 6 1 4\n");
    cr_expect_str_eq(differences(OFFERS("[{name: c, rate: 5}]"), OFFERS("c")), "removed s a capabilities.c.rate 5 - 1 4\n");
    cr_expect_str_eq(differences(OFFERS("c"), OFFERS("[{name: c, stateful: true}]")),
                     "added s a capabilities.c.stateful - true 3 4\n");
    cr_expect_str_eq(differences(OFFERS("[c, d]"), OFFERS("[d, c]")), "changed s a capabilities c, d d, c 3 4\n");
}
