/* The agents and checks of a swarm's configuration: the sentence for each thing that is refused. */
#include <regex.h>

#include "tests/unit/deployment_fixture.h"
#include "registry/routing/terms.h"

TestSuite(deployment_agents, .init = set_up, .fini = tear_down);

Test(deployment_agents, refused_agents)
{
    static const struct row rows[] = {
        {S "      - {kind: echo, capabilities: c}\n", "4: name: missing: the agent's name; expected a text"},
        {S "      - {name: a, kind: echo}\n",
         "4: capabilities: missing: the capabilities that it offers; expected a text, or a list "
         "of texts and mappings"},
        {S "      - {name: a, kind: echo, capabilities: []}\n",
         "4: capabilities: is an empty list; expected at least one item: the capabilities "
         "that it offers"},
        {S "      - {name: a, kind: echo, capabilities: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]}\n",
         "4: capabilities: agent a has 17; allowed: 1 to 16"},
        {S "      - name: a\n        kind: echo\n        capabilities:\n          - good\n          - Not good\n",
         "8: capabilities: 'Not good' is not a capability name" CAPABILITY},
        {S "      - {name: a, kind: echo, capabilities: c@0}\n", "4: capabilities: 'c@0' is not a capability name" CAPABILITY},
        {S "      - {name: a, kind: echo, capabilities: [c,\n d, c]}\n",
         "5: capabilities: agent a offers c twice; each is given once"},
        {S "      - {name: A, kind: echo, capabilities: c}\n", "4: name: 'A' is not a name" NAME},
        {S "      - {name: a, kind: echo, capabilities: c}\n      - {name: b, kind: echo, capabilities: c}\n"
           "      - {name: a, kind: exec, capabilities: d}\n",
         "6: name: s has an agent a already (line 4); give each agent a name of its own"},
        {S "      - {name: a, capabilities: c}\n",
         "4: kind: missing: agent a has neither kind nor plugin; expected one of them"},
        {S "      - name: a\n        kind: echo\n        capabilities: c\n        plugin: x.so\n",
         "7: plugin: agent a has a kind as well (line 5); expected one of them"},
        {S "      - name: a\n        kind: exce\n        capabilities: c\n",
         "5: kind: 'exce' is not a kind of agent (did you mean 'exec'?); known: exec, echo, cache_manager, odd"},
        {S "      - {name: a, kind: quantum, capabilities: c}\n",
         "4: kind: 'quantum' is not a kind of agent; known: exec, echo, cache_manager, odd"},
        {S "      - {name: a, kind: echo, capabilities: c, worker: 1}\n",
         "4: worker: 1 is out of range; s has workers: 1, so allowed: 0 to 0"},
        {S "      - {name: a, kind: echo, capabilities: c, worker: -1}\n",
         "4: worker: -1 is out of range; allowed: 0 to 15"},
        {S "      - {name: a, kind: echo, capabilities: c, colour: red}\n",
         "4: colour: unknown key; allowed: name, kind, plugin, capabilities, worker, replicas, config"},
        /* the kind's own keys */
        {S "      - {name: a, kind: exec, capabilities: c}\n",
         "4: config: missing; the kind 'exec' of agent a needs config: {command: ...} - program and arguments"},
        {S "      - {name: a, kind: exec, capabilities: c, config: {}}\n",
         "4: command: missing: program and arguments; expected a text or a list of texts"},
        {S "      - name: a\n        kind: exec\n        capabilities: c\n        config:\n          comand: ls\n",
         "8: comand: unknown key (did you mean 'command'?); allowed: command, time_limit, memory_limit, clean, name, "
         "niceness"},
        {S "      - {name: a, kind: exec, capabilities: c, config: {command: ls, time_limit: soon}}\n",
         "4: time_limit: 'soon' is not allowed; expected a duration such as 250ms, 30s, 5m (ns us ms s m h; a bare "
         "number is "
         "milliseconds)"},
        {S "      - {name: a, kind: exec, capabilities: c, config: {command: ls, niceness: x}}\n",
         "4: niceness: 'x' is not allowed" WHOLE},
        {S "      - {name: a, kind: exec, capabilities: c, config: {command: []}}\n",
         "4: command: is an empty list; expected at least one item: program and arguments"},
        {S "      - {name: a, kind: exec, capabilities: c, config: [ls]}\n",
         "4: config: is a list; expected a mapping (key: value)"},
        {S "      - {name: a, kind: echo, capabilities: c, config: {\n          volume: 3}}\n",
         "5: volume: unknown key; the kind 'echo' has no keys, leave out config"},
        {S "      - {name: a, kind: odd, capabilities: c}\n",
         "4: config: the kind 'odd' declares its key 'x' with an unknown type; expected one of s i b l d z p c o"},
    };

    ALL_REFUSED(rows);
    ap_deployment_free(load(S "      - {name: a, kind: echo, capabilities: c, config: {}}\n"));
    ap_deployment_free(load(S "      - {name: a, kind: echo, capabilities: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p]}\n"));
}

/* ---- replicas --------------------------------------------------------------------------------------------------- */

#define W "swarms:\n  - service: s\n    workers: 3\n    agents:\n"

Test(deployment_agents, replicas_run_on_workers_of_their_own)
{
    static const char *const names[] = {"a", "b", "b.2", "b.3", "c"};
    static const uint32_t workers[] = {0, 1, 2, 0, 0};
    struct ap_deployment *d = load(W "      - {name: a, kind: echo, capabilities: x}\n"
                                     "      - {name: b, kind: echo, capabilities: [y, z], worker: 1, replicas: 3}\n"
                                     "      - {name: c, kind: echo, capabilities: x, replicas: 1}\n");
    const struct ap_deployment_swarm *s = &d->swarms[0];

    cr_assert_eq(s->agent_count, 5);
    for (size_t i = 0; i < 5; i++) {
        cr_expect_str_eq(s->agents[i].name, names[i]);
        cr_expect_eq(s->agents[i].worker, workers[i], "%s", names[i]);
        cr_expect_eq(s->agents[i].capability_count, i >= 1 && i <= 3 ? 2 : 1);
    }
    cr_expect_str_eq(ap_deployment_unchecked(d, 2, &error), "z");
    cr_expect_str_eq(ap_deployment_unchecked(d, 3, &error), "x", "each is told once");
    cr_expect_null(ap_deployment_unchecked(d, 4, &error));
    ap_deployment_free(d);
}

/* As many as there may be, and what comes behind them in the same table. */
Test(deployment_agents, the_most_replicas)
{
    struct ap_deployment *d = load("swarms:\n  - service: s\n    workers: 16\n    agents:\n"
                                   "      - {name: a, kind: exec, capabilities: [x, y], replicas: 16, config: {command: [cat]}}\n"
                                   "      - {name: b, kind: exec, capabilities: x, replicas: 15, config: {command: [cat]}}\n"
                                   "      - {name: c, kind: echo, capabilities: z}\n");
    const struct ap_deployment_swarm *s = &d->swarms[0];

    cr_assert_eq(s->agent_count, 16 + 15 + 1);
    for (uint32_t i = 0; i < 31; i++) {
        const struct ap_deployment_agent *agent = &s->agents[i];
        uint32_t replica = i < 16 ? i : i - 16;
        char name[16];

        snprintf(name, sizeof name, replica > 0 ? "%c.%u" : "%c", i < 16 ? 'a' : 'b', replica + 1);
        cr_expect_str_eq(agent->name, name);
        cr_expect_eq(agent->replica, replica);
        cr_expect_eq(agent->worker, replica, "%s", name);
        cr_expect_str_eq(agent->kind, "exec");
        cr_assert_eq(agent->capability_count, i < 16 ? 2 : 1);
        cr_expect_str_eq(agent->capabilities[0], "x");
    }
    cr_expect_str_eq(s->agents[31].name, "c");
    cr_expect_str_eq(s->agents[31].kind, "echo");
    cr_expect_str_eq(s->agents[31].capabilities[0], "z");
    ap_deployment_free(d);
}

Test(deployment_agents, refused_replicas)
{
    static const struct row rows[] = {
        {W "      - {name: a, kind: echo, capabilities: x, replicas: 4}\n",
         "5: replicas: 4 need as many workers; s has workers: 3"},
        {W "      - {name: a, kind: echo, capabilities: x, replicas: 0}\n", "5: replicas: 0 is out of range; allowed: 1 to 16"},
        {W "      - {name: a, kind: echo, capabilities: x, replicas: 2}\n      - {name: a.2, kind: echo, capabilities: x}\n",
         "6: name: s has an agent a.2 already (line 5); give each agent a name of its own"},
        {W "      - {name: a.2, kind: echo, capabilities: x}\n      - {name: a, kind: echo, capabilities: x, replicas: 2}\n",
         "6: name: s has an agent a.2 already (line 5); give each agent a name of its own"},
    };

    ALL_REFUSED(rows);
}

/* ---- terms ------------------------------------------------------------------------------------------------------ */

static bool says_nothing(const struct ap_terms *terms)
{
    static const struct ap_terms none;

    return memcmp(terms, &none, sizeof none) == 0;
}

Test(deployment_agents, what_a_capability_declares)
{
    struct ap_deployment *d =
        load(S "      - {name: a, kind: echo, capabilities: [lookup, {name: other@2, balance: round_robin}, {name: third}]}\n");
    const struct ap_deployment_agent *agent = &d->swarms[0].agents[0];

    cr_assert_eq(agent->capability_count, 3);
    cr_expect_str_eq(agent->capabilities[1], "other@2");
    cr_expect_str_eq(agent->capabilities[2], "third");
    cr_expect(says_nothing(&agent->terms[0]));
    cr_expect_eq(agent->terms[1].balance, AP_POLICY_round_robin + 1);
    cr_expect(says_nothing(&agent->terms[2]));
    ap_deployment_free(d);
}

#define FALLS(name, to) "{name: " name ", rules: [{fallback: " to "}]}"

Test(deployment_agents, fallbacks_that_do_not_end)
{
    static const struct row rows[] = {
        {S "      - {name: a, kind: echo, capabilities: [" FALLS("lookup", "other") ", " FALLS("other", "lookup") "]}\n",
         "4: fallback: lookup comes back to itself: lookup, other, lookup"},
        {S "      - {name: a, kind: echo, capabilities: [" FALLS("lookup@2", "other") ", " FALLS("other", "lookup") "]}\n",
         "4: fallback: lookup@2 comes back to itself: lookup@2, other, lookup"},
        {S "      - {name: a, kind: echo, capabilities: [" FALLS("c1", "c2") ", " FALLS("c2", "c3") ", " FALLS("c3", "c4") ", "
         FALLS("c4", "c5") ", " FALLS("c5", "c6") "]}\n",
         "4: fallback: c1 has more than 4, one after another: c1, c2, c3, c4, c5, c6"},
    };

    ALL_REFUSED(rows);
    ap_deployment_free(load(S "      - {name: a, kind: echo, capabilities: [" FALLS("c1", "c2") ", " FALLS("c2", "c3") ", "
                            FALLS("c3", "c4") ", " FALLS("c4", "c5") "]}\n"));
}

#define GATED(name, to) "{name: " name ", rules: [{via: " to "}]}"

Test(deployment_agents, gates_that_do_not_lead_on)
{
    static const struct row rows[] = {
        {S "      - {name: a, kind: echo, capabilities: [" GATED("work", "gate") "]}\n",
         "4: via: no other agent of s offers gate; expected one that does, as work's gate"},
        {S "      - {name: a, kind: echo, capabilities: [" GATED("work", "gate") ", gate]}\n",
         "4: via: no other agent of s offers gate; expected one that does, as work's gate"},
        {S "      - {name: a, kind: echo, capabilities: [" GATED("work", "gate") "]}\n"
           "      - {name: b, kind: echo, capabilities: [" GATED("gate", "work") "]}\n",
         "4: via: gate, the gate of work, has a gate itself: work; expected one without"},
        {S "      - {name: a, kind: echo, capabilities: [" GATED("work", "gate") "]}\n"
           "      - {name: b, kind: echo, capabilities: [" FALLS("gate", "work") "]}\n",
         "4: via: gate, the gate of work, has that as its fallback; expected another one, or none"},
    };

    ALL_REFUSED(rows);
    ap_deployment_free(load(S "      - {name: a, kind: echo, capabilities: [" GATED("work", "gate") "]}\n"
                              "      - {name: b, kind: echo, capabilities: [gate]}\n"));
}

#define T S "      - name: a\n        kind: echo\n        capabilities:\n          - x\n"

Test(deployment_agents, refused_terms)
{
    static const struct row rows[] = {
        {T "          - {balance: round_robin}\n", "8: name: missing: the capability; expected a text"},
        {T "          - {name: No, balance: round_robin}\n", "8: capabilities: 'No' is not a capability name" CAPABILITY},
        {T "          - {name: x, balance: round_robin}\n", "8: capabilities: agent a offers x twice; each is given once"},
        {T "          - {name: y, canary: 5}\n", "8: canary: y has no major; it is a term of y@MAJOR"},
        {T "          - {name: y@2, canary: 101}\n", "8: canary: 101 is out of range; allowed: 0 to 100"},
        {T "          - {name: y, bare: 0}\n", "8: bare: '0' is not allowed; expected one of newest, any, error, or a number"},
        {T "          - {name: y, bare: 65536}\n",
         "8: bare: '65536' is not allowed; expected one of newest, any, error, or a number"},
        {T "          - {name: y, bare: [1]}\n", "8: bare: expected a word or a number"},
        {T "          - {name: y, balance: round_robn}\n",
         "8: balance: 'round_robn' is not allowed (did you mean 'round_robin'?); expected one of least_loaded, round_robin, "
         "peak_ewma, keyed"},
        {T "          - {name: y, never_from: 9, never_to: 3}\n",
         "8: never_to: it is below never_from; expected the last of the codes"},
        {T "          - {name: y, never_to: 3}\n", "8: never_to: never_from is missing, the first of the codes"},
        {T "          - {name: y, priority: urgent, max_priority: high}\n",
         "8: priority: it is more urgent than max_priority allows"},
        {T "          - {name: y, burst: 3}\n", "8: burst: rate is missing, which says how many come in a second"},
        {T "          - {name: y, balance: [a]}\n", "8: balance: is a list; expected a text"},
        {T "          - {name: y, balanse: round_robin}\n",
         "8: balanse: unknown key (did you mean 'balance'?); allowed: name, balance, slow_start, eject_after, bare, canary, "
         "rate, burst, parts_window, queue_limit, rules, concurrency, priority, max_priority, schedule_to_close, "
         "schedule_to_start, start_to_close, heartbeat, delay, max_attempts, backoff, never_from, never_to, wait_for_provider, "
         "idempotent, hedge, stateful, target_success, target_p99"},
        {T "          - [y]\n",
         "8: capabilities: item 2 is not a text or a mapping; expected a text, or a list of texts and mappings"},
    };

    ALL_REFUSED(rows);
}

#define C S "      - {name: a, kind: echo, capabilities: [lookup, other@2]}\n    checks:\n"

/* Each count of a brace is its larger number, none of them is 0, and a number behind a brace is no count. */
Test(deployment_agents, the_counts_of_an_expression_multiply)
{
    static const struct {
        const char *expression;
        bool fits;
    } rows[] = {{"a{1000}", true},         {"a{1001}", false},         {"(a{1,99}){99}", false}, {"(a{99,}){,99}", false},
                {"(a{2,10}){1,100}", true}, {"(a{2,10}){1,101}", false}, {"a{5}9999", true},       {"a{5},9999", true},
                {"a{0}(b{40}){40}", false}, {"a{0,0}b{1000}", true}};
    char text[256];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, C "      - {capability: lookup, expect_match: '%s'}\n", rows[i].expression);
        if (rows[i].fits) ap_deployment_free(load(text));
        else cr_expect_not_null(strstr(refused(text), "the expression is too large"), "%s", rows[i].expression);
    }
}

Test(deployment_agents, the_length_of_an_expression_is_bounded)
{
    char text[1024], expression[514];

    memset(expression, 'x', sizeof expression - 1);
    expression[513] = '\0';
    snprintf(text, sizeof text, C "      - {capability: lookup, expect_match: %s}\n", expression);
    cr_expect_str_eq(refused(text), "6: expect_match: the expression is too large; allowed: at most 512 bytes, and {n} that "
                                    "multiply to at most 1000");
    snprintf(text, sizeof text, C "      - {capability: lookup, expect_match: %s}\n", expression + 1);
    ap_deployment_free(load(text));
}

Test(deployment_agents, refused_checks)
{
    static const struct row rows[] = {
        {C "      - {expect: x}\n", "6: capability: missing: the capability to ask for; expected a text"},
        {C "      - {capability: lookup}\n",
         "6: expect: missing: the check of lookup says nothing about the answer; expected expect or expect_match"},
        {C "      - capability: lookup\n        expect: x\n        expect_match: x\n",
         "8: expect_match: there is expect as well (line 7); expected one of them"},
        {C "      - capability: lookup\n        expect: x\n        send: x\n        send_file: x\n",
         "9: send_file: there is send as well (line 8); expected one of them"},
        {C "      - {capability: loookup, expect: x}\n",
         "6: capability: no agent of s offers loookup (did you mean 'lookup'?); expected a capability of this swarm"},
        {C "      - {capability: other@3, expect: x}\n",
         "6: capability: no agent of s offers other@3 (did you mean 'other@2'?); expected a capability of this swarm"},
        {C "      - {capability: oth, expect: x}\n",
         "6: capability: no agent of s offers oth; expected a capability of this swarm"},
        {C "      - {capability: Look up, expect: x}\n", "6: capability: 'Look up' is not a capability name" CAPABILITY},
        {C "      - {capability: lookup, expect: x, timeout: 0}\n",
         "6: timeout: 0 is out of range; allowed: 1ms to 24h"},
        {C "      - {capability: lookup, expct: x}\n", "6: expct: unknown key (did you mean 'expect'?); allowed: "
                                                       "capability, send, send_file, expect, expect_match, timeout, from"},
        {C "      - {capability: lookup, expect_match: 'a{1001}'}\n",
         "6: expect_match: the expression is too large; allowed: at most 512 bytes, and {n} that multiply to at most "
         "1000"},
        {C "      - {capability: lookup, expect_match: '((a{1,99}){99}){,99}'}\n",
         "6: expect_match: the expression is too large; allowed: at most 512 bytes, and {n} that multiply to at most "
         "1000"},
        {C "      - {capability: lookup, expect_match: '(a{2}){9223372036854775808}'}\n", /* whose product is 2 to the 64th */
         "6: expect_match: the expression is too large; allowed: at most 512 bytes, and {n} that multiply to at most "
         "1000"},
    };

    ALL_REFUSED(rows);
    ap_deployment_free(load(C "      - {capability: other, expect_match: 'a{1000}'}\n"));
    ap_deployment_free(load(C "      - {capability: other, expect_match: '((a{10}){1,10}){10}'}\n"));
    ap_deployment_free(load(C "      - {capability: other, expect: x}\n      - {capability: other@2, expect: x}\n"));
}

/* With the C library's own words. */
Test(deployment_agents, an_expression_that_is_none)
{
    char why[128], sentence[256];
    regex_t regex;
    int e = regcomp(&regex, "(a", REG_EXTENDED | REG_NOSUB);

    cr_assert_neq(e, 0);
    regerror(e, &regex, why, sizeof why);
    snprintf(sentence, sizeof sentence,
             "6: expect_match: '(a' is not an extended regular expression: %s; expected one as of grep -E", why);
    cr_expect_str_eq(refused(C "      - {capability: lookup, expect_match: \"(a\"}\n"), sentence);
}

/* ---- paths among the keys -------------------------------------------------------------------------------------- */

static const apiary_agent_key_t path_keys[] = {{"command", 'c', 0, NULL, 0, 0}, {"folder", 'p', 0, NULL, 0, 0},
                                               {"other", 'p', 0, NULL, 0, 0},   {.name = NULL}};
static const apiary_agent_kind_t kind_paths = {APIARY_AGENT_KIND, .name = "paths", .keys = path_keys};
static const apiary_agent_kind_t *const with_paths[] = {&kind_paths, NULL};

static int load_paths(const char *keys, struct ap_deployment **ret)
{
    char text[512];

    snprintf(text, sizeof text, S "      - {name: a, kind: paths, capabilities: c, config: {%s}}\n", keys);
    write_file(text, strlen(text));
    return ap_deployment_load(path, with_paths, ret, &error);
}

Test(deployment_agents, relative_paths_of_keys_begin_at_the_file)
{
    struct ap_deployment *d = NULL;
    const struct ap_node *config, *command;
    char program[128], expected[256];

    snprintf(program, sizeof program, "%s/tool", folder);
    cr_assert_eq(symlink("/bin/sh", program), 0);
    cr_assert_eq(load_paths("command: [./tool, ./tool], folder: data", &d), 0, "%s", error.text);
    config = d->swarms[0].agents[0].config;
    command = ap_node_get(config, "command");
    snprintf(expected, sizeof expected, "%s/./tool", folder);
    cr_expect_str_eq(command->items[0]->text, expected);
    cr_expect_str_eq(command->items[1]->text, "./tool", "an argument is as it is");
    snprintf(expected, sizeof expected, "%s/data", folder);
    cr_expect_str_eq(ap_node_text(config, "folder", ""), expected);
    ap_deployment_free(d);
    cr_assert_eq(unlink(program), 0);
    cr_assert_eq(load_paths("command: sh, folder: /x, other: y", &d), 0, "%s", error.text);
    config = d->swarms[0].agents[0].config;
    cr_expect_str_eq(ap_node_text(config, "command", ""), "sh", "found in PATH when it is run");
    cr_expect_str_eq(ap_node_text(config, "folder", ""), "/x");
    ap_deployment_free(d);
    cr_expect_eq(load_paths("command: [./tool]", &d), APIARY_ECONFIG, "it is gone");
    cr_expect_not_null(strstr(error.text, "host.yaml:4: command: "), "%s", error.text);
    cr_expect_not_null(strstr(error.text, program + strlen(folder) + 1), "%s", error.text);
}

/* ---- plug-ins ------------------------------------------------------------------------------------------------- */

static const char *with_plugin(const char *plugin, const char *config)
{
    static char text[1024];
    snprintf(text, sizeof text, S "      - name: a\n        capabilities: c\n        plugin: %s\n%s", plugin, config);
    return text;
}

static const char *built_plugin(const char *name)
{
    static char file[512];
    const char *plugins = getenv("APIARY_PLUGINS");

    if (plugins == NULL) cr_skip_test("APIARY_PLUGINS is not set: no plug-ins to load");
    snprintf(file, sizeof file, "%s/%s.so", plugins, name);
    cr_assert_eq(access(file, R_OK), 0, "%s", file);
    return file;
}

Test(deployment_agents, refused_plugins_that_are_missing)
{
    char sentence[512];

    snprintf(sentence, sizeof sentence,
             "6: plugin: %s/lib/none.so: No such file or directory; expected the path of a shared object, relative to "
             "the folder "
             "of this file",
             folder);
    cr_expect_str_eq(refused(with_plugin("lib/none.so", "")), sentence);
    cr_expect_str_eq(
        refused(with_plugin("/nowhere/none.so", "")),
        "6: plugin: /nowhere/none.so: No such file or directory; expected the path of a shared object, relative to "
        "the folder of this file");
}

Test(deployment_agents, refused_plugins_that_are_none)
{
    static const char tail[] = "; expected a shared object that exports apiary_agent_plugin";
    const char *sentence = refused(with_plugin("host.yaml", ""));

    cr_expect_eq(strncmp(sentence, "6: plugin: ", 11), 0, "%s", sentence);
    cr_expect_not_null(strstr(sentence, tail), "%s", sentence);
    sentence = refused(with_plugin(".", ""));
    cr_expect_eq(strncmp(sentence, "6: plugin: ", 11), 0, "%s", sentence);
    sentence = refused(with_plugin(built_plugin("no_symbol"), ""));
    cr_expect_eq(strncmp(sentence, "6: plugin: ", 11), 0, "%s", sentence);
    cr_expect_not_null(strstr(sentence, "no_symbol.so"), "%s", sentence);
    cr_expect_not_null(strstr(sentence, APIARY_AGENT_PLUGIN_SYMBOL), "%s", sentence);
}

Test(deployment_agents, the_keys_of_a_plugin_are_checked)
{
    const char *plugin = built_plugin("keyed");

    struct ap_deployment *d = load(with_plugin(plugin, "        config: {limit: 2MiB}\n"));
    cr_expect_str_eq(d->swarms[0].agents[0].plugin, plugin);
    cr_expect_null(d->swarms[0].agents[0].kind);
    ap_deployment_free(d);
    cr_expect_str_eq(
        refused(with_plugin(plugin, "")),
        "4: config: missing; the kind 'keyed' of agent a needs config: {limit: ...} - how much it may keep");
    cr_expect_str_eq(refused(with_plugin(plugin, "        config: {limti: 2MiB}\n")),
                     "7: limti: unknown key (did you mean 'limit'?); allowed: limit");
    cr_expect_str_eq(refused(with_plugin(plugin, "        config:\n          limit: 2\n")),
                     "8: limit: 2 is out of range; allowed: 1KiB to 1GiB");
}
