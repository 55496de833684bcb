/* The configuration of a host: what is read from it, and the sentence for each thing that is refused. */
#include "tests/unit/deployment_fixture.h"

TestSuite(deployment, .init = set_up, .fini = tear_down);

/* ---- what is read --------------------------------------------------------------------------------------------- */

static const char complete[] =
    "meta_registry:\n"
    "  segment: /hive\n"
    "  port: 4200\n"
    "  max_concurrent_delegations: 50\n"
    "  health_check_interval: 10s\n"
    "  task_timeout: 5000\n"
    "  members: 20\n"
    "  lanes: 40\n"
    "  tasks: 640\n"
    "  queues: 30\n"
    "  queue_depth: 64\n"
    "  queue_inlets: 7\n"
    "  services: 9\n"
    "  swarms: 10\n"
    "  capabilities: 128\n"
    "  payload: {blocks_256B: 10, blocks_1MiB: 0, blocks_4KiB: 20}\n"
    "  mode: \"0640\"\n"
    "  owner: hive\n"
    "  group: bees\n"
    "swarms:\n"
    "  - service: storage_service\n"
    "    port: 4104\n"
    "    queen: {instances: 2, restart: never}\n"
    "    workers: 3\n"
    "    version: \"1.0\"\n"
    "    health_endpoint: http://localhost:4104/health\n"
    "    metrics_endpoint: http://localhost:4104/metrics\n"
    "    max_concurrent_delegations: 40\n"
    "    agents:\n"
    "      - {name: cache_manager, kind: cache_manager, capabilities: [cache.get, cache.put@2]}\n"
    "      - name: lister\n"
    "        kind: exec\n"
    "        capabilities: list\n"
    "        worker: 2\n"
    "        config:\n"
    "          command: [/bin/ls, -l]\n"
    "          time_limit: 2s\n"
    "    checks:\n"
    "      - {capability: list, send: \"x\", expect_match: \"^total [0-9]{1,9}\", timeout: 3s}\n"
    "      - {capability: cache.put, send_file: data/put.json, expect: \"\"}\n"
    "  - service: ai_service\n"
    "    agents: [{name: a, kind: echo, capabilities: [route]}]\n";

Test(deployment, everything_is_read)
{
    struct ap_deployment *d = load(complete);
    const struct ap_segment_options *o = &d->segment;
    const struct ap_geometry *g = &o->geometry;
    char file[128];

    cr_expect_str_eq(o->name, "/hive");
    cr_expect_str_eq(d->owner, "hive");
    cr_expect_str_eq(d->group, "bees");
    cr_expect_eq(o->mode, 0640);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, SERVICES), 9);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, SWARMS), 10);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, CAPABILITIES), 128);
    cr_expect_eq(g->members, 20);
    cr_expect_eq(g->lanes, 40);
    cr_expect_eq(g->tasks, 640);
    cr_expect_eq(g->queues, 30);
    cr_expect_eq(g->queue_depth, 64);
    cr_expect_eq(g->queue_inlets, 7);
    cr_expect_eq(g->max_concurrent_delegations, 50);
    cr_expect_eq(g->task_timeout, UINT64_C(5000000000));
    cr_expect_eq(g->pool_blocks[0], 10);
    cr_expect_eq(g->pool_blocks[1], 512, "a size that is not named keeps its default");
    cr_expect_eq(g->pool_blocks[2], 20);
    cr_expect_eq(g->pool_blocks[6], 0);
    cr_expect_eq(d->port, 4200);
    cr_expect_eq(d->health_check_interval, UINT64_C(10000000000));

    cr_assert_eq(d->swarm_count, 2);
    const struct ap_deployment_swarm *s = ap_deployment_swarm(d, "storage_service");
    cr_assert_eq(s, &d->swarms[0]);
    cr_expect_eq(s->node->line, 21);
    cr_expect_eq(s->port, 4104);
    cr_expect_eq(s->instances, 2);
    cr_expect_not(s->restart);
    cr_expect_eq(s->workers, 3);
    cr_expect_str_eq(s->version, "1.0");
    cr_expect_str_eq(s->health_endpoint, "http://localhost:4104/health");
    cr_expect_str_eq(s->metrics_endpoint, "http://localhost:4104/metrics");
    cr_expect_eq(s->max_delegations, 40);

    cr_assert_eq(s->agent_count, 2);
    cr_expect_str_eq(s->agents[0].name, "cache_manager");
    cr_expect_str_eq(s->agents[0].kind, "cache_manager");
    cr_expect_null(s->agents[0].plugin);
    cr_expect_null(s->agents[0].config);
    cr_expect_eq(s->agents[0].worker, 0);
    cr_assert_eq(s->agents[0].capability_count, 2);
    cr_expect_str_eq(s->agents[0].capabilities[0], "cache.get");
    cr_expect_str_eq(s->agents[0].capabilities[1], "cache.put@2");
    cr_expect_null(s->agents[0].capabilities[2]);
    cr_expect_eq(s->agents[1].worker, 2);
    cr_assert_eq(s->agents[1].capability_count, 1);
    cr_expect_str_eq(s->agents[1].capabilities[0], "list");
    cr_expect_eq(ap_node_number(s->agents[1].config, "time_limit", 'd', 0), 2000000000);

    cr_assert_eq(s->check_count, 2);
    cr_expect_str_eq(s->checks[0].capability, "list");
    cr_expect_str_eq(s->checks[0].send, "x");
    cr_expect_null(s->checks[0].send_file);
    cr_expect_null(s->checks[0].expect);
    cr_expect_str_eq(s->checks[0].expect_match, "^total [0-9]{1,9}");
    cr_expect_eq(s->checks[0].timeout, UINT64_C(3000000000));
    snprintf(file, sizeof file, "%s/data/put.json", folder);
    cr_expect_str_eq(s->checks[1].send_file, file);
    cr_expect_str_eq(s->checks[1].expect, "");
    cr_expect_eq(s->checks[1].timeout, UINT64_C(5000000000), "task_timeout");
    ap_deployment_free(d);
}

Test(deployment, absent_keys_have_defaults)
{
    struct ap_deployment *d = load("swarms: [{service: s, agents: [{name: a, kind: echo, capabilities: c}]}]");
    const struct ap_geometry *g = &d->segment.geometry;

    cr_expect_null(d->segment.name, "nothing is said of it");
    cr_expect_eq(d->segment.mode, 0660);
    cr_expect_null(d->owner);
    cr_expect_null(d->group);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, SERVICES), 64);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, SWARMS), 64);
    cr_expect_eq(AP_REGISTRY_NUMBER(g, CAPABILITIES), 1024);
    cr_expect_eq(g->members, 128);
    cr_expect_eq(g->lanes, 256);
    cr_expect_eq(g->tasks, 8192);
    cr_expect_eq(g->queues, 128);
    cr_expect_eq(g->pool_blocks[6], 4);
    cr_expect_eq(g->max_concurrent_delegations, 100);
    cr_expect_eq(g->task_timeout, UINT64_C(60000000000));
    cr_expect_eq(d->port, 4100);
    cr_expect_eq(d->health_check_interval, UINT64_C(30000000000));
    cr_expect_eq(d->events_max_age, UINT64_C(720) * 3600 * 1000000000);
    cr_expect_eq(d->events_max_bytes, UINT64_C(64) << 20);
    cr_expect_eq(d->swarms[0].port, 0);
    cr_expect_eq(d->swarms[0].instances, 1);
    cr_expect(d->swarms[0].restart);
    cr_expect_eq(d->swarms[0].workers, 1);
    cr_expect_null(d->swarms[0].version);
    cr_expect_eq(d->swarms[0].max_delegations, 100);
    cr_expect_null(ap_deployment_swarm(d, "t"));
    ap_deployment_free(d);
    d = load("meta_registry: {}");
    cr_expect_eq(d->swarm_count, 0);
    ap_deployment_free(d);
    ap_deployment_free(NULL);
}

Test(deployment, relative_paths_begin_at_the_file)
{
    static const char text[] = "swarms: [{service: s, agents: [{name: a, kind: echo, capabilities: c}],\n"
                               " checks: [{capability: c, send_file: ../x, expect: y},\n"
                               "          {capability: c, send_file: /x/y, expect: y}]}]";
    struct ap_deployment *d = NULL;
    char file[128], here[256];

    cr_assert_not_null(getcwd(here, sizeof here));
    write_file(text, sizeof text - 1);
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(ap_deployment_load("host.yaml", kinds, &d, &error), 0, "%s", error.text);
    cr_assert_eq(chdir(here), 0);
    snprintf(file, sizeof file, "%s/../x", folder);
    cr_expect_str_eq(d->swarms[0].checks[0].send_file, file);
    cr_expect_str_eq(d->swarms[0].checks[1].send_file, "/x/y");
    ap_deployment_free(d);
}

Test(deployment, without_kinds_they_are_not_looked_at)
{
    static const char text[] =
        "swarms: [{service: s, agents: [{name: a, kind: nobody_knows, capabilities: c, config: {x: y}},\n"
        "{name: b, plugin: none.so, capabilities: c}]}]";
    struct ap_deployment *d = NULL;

    write_file(text, sizeof text - 1);
    cr_assert_eq(ap_deployment_load(path, NULL, &d, &error), 0, "%s", error.text);
    cr_expect_str_eq(d->swarms[0].agents[0].kind, "nobody_knows");
    cr_expect_null(d->swarms[0].agents[1].kind);
    cr_expect_eq(strncmp(d->swarms[0].agents[1].plugin, folder, strlen(folder)), 0);
    ap_deployment_free(d);
}

Test(deployment, capabilities_without_a_check)
{
    struct ap_deployment *d = load("swarms:\n"
                                   "  - service: s\n"
                                   "    agents:\n"
                                   "      - {name: a, kind: echo, capabilities: [one, two@1]}\n"
                                   "      - name: b\n"
                                   "        kind: echo\n"
                                   "        capabilities:\n"
                                   "          - three\n"
                                   "          - four@2\n"
                                   "    checks:\n"
                                   "      - {capability: one, expect: x}\n"
                                   "      - {capability: four, expect: x}\n"
                                   "  - service: t\n"
                                   "    agents: [{name: a, kind: echo, capabilities: one}]\n");
    char sentence[256];

    cr_expect_str_eq(ap_deployment_unchecked(d, 0, &error), "two@1");
    cr_expect_str_eq(ap_deployment_unchecked(d, 1, &error), "three");
    snprintf(sentence, sizeof sentence,
             "%s:8: capabilities: three of s has no check; expected one that asks for it under checks: of this swarm",
             path);
    cr_expect_str_eq(error.text, sentence);
    cr_expect_str_eq(ap_deployment_unchecked(d, 2, &error), "one", "a check of another swarm does not count");
    cr_expect_null(ap_deployment_unchecked(d, 3, &error));
    cr_expect_null(ap_deployment_unchecked(d, SIZE_MAX, NULL));
    ap_deployment_free(d);
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

Test(deployment, refused_files)
{
    struct ap_deployment *d = NULL;
    static const struct row rows[] = {
        {"", "1: the text is empty; expected a mapping of keys"},
        {"# only a remark\n", "1: the text is empty; expected a mapping of keys"},
        {"[]", "1: this is a list; expected a mapping (key: value)"},
        {"swarm: []\n", "1: swarm: unknown key (did you mean 'swarms'?); allowed: meta_registry, swarms, phases"},
        {"swarms: []\nmeta_registry: {}\nswarms: []\n",
         "3: swarms: duplicate key, first given in line 1; each key is given once"},
        {"swarms: {a: 1}\n", "1: swarms: is a mapping; expected a list of mappings"},
        {"swarms:\n  - storage\n", "2: swarms: item 1 is not a mapping; expected a list of mappings"},
        {"meta_registry: &x {}\n", "1: an anchor (&) is not supported; write the value out"},
        {"swarms: !t []\n", "1: a tag (!) is not supported; quote the text if '!' belongs to it"},
        {"swarms: [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]", "1: nested too deeply; at most 16 levels are allowed"},
    };

    ALL_REFUSED(rows);
    write_file("\x7f"
               "ELF\0\1\2",
               7);
    cr_expect_eq(ap_deployment_load(path, kinds, &d, &error), APIARY_ECONFIG);
    cr_expect_not_null(strstr(error.text, "host.yaml:1: not a text file: "), "%s", error.text);
    unlink(path);
    cr_expect_eq(ap_deployment_load(path, kinds, &d, &error), APIARY_ECONFIG);
    cr_expect_not_null(strstr(error.text, "host.yaml: cannot be opened: No such file"), "%s", error.text);
    cr_expect_eq(ap_deployment_load(path, kinds, &d, NULL), APIARY_ECONFIG);
    cr_expect_null(d);
}

Test(deployment, a_folder_that_is_gone_is_told_to_whom_it_concerns)
{
    static const char none[] = "swarms: []\n";
    static const char *const texts[] = {"swarms: [{service: s, agents: [{name: a, kind: echo, capabilities: c}],\n"
                                        " checks: [{capability: c, send_file: data/x, expect: y}]}]",
                                        "swarms: [{service: s, agents: [{name: a, plugin: x.so, capabilities: c}]}]"};
    struct ap_deployment *d = NULL;

    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(rmdir(folder), 0);
    for (int i = 0; i < 4; i++) {
        const char *text = texts[i / 2];
        cr_expect_eq(ap_deployment_parse("host.yaml", text, strlen(text), i % 2 ? kinds : NULL, NULL, &d, &error), APIARY_ECONFIG);
        cr_expect_str_eq(error.text, "host.yaml: its folder, where relative paths begin, cannot be found: "
                                     "No such file or directory");
    }
    cr_assert_eq(ap_deployment_parse("host.yaml", none, sizeof none - 1, kinds, NULL, &d, &error), 0, "%s", error.text);
    ap_deployment_free(d);
}

Test(deployment, a_file_at_the_top_and_one_without_swarms)
{
    static const char text[] = "swarms: [{service: s, agents: [{name: a, kind: echo, capabilities: c}],\n"
                               " checks: [{capability: c, send_file: data/x, expect: y}]}]",
                      none[] = "meta_registry: {members: 20}\n";
    struct ap_deployment *d = NULL;

    cr_assert_eq(ap_deployment_parse("/host.yaml", text, sizeof text - 1, kinds, NULL, &d, &error), 0, "%s", error.text);
    cr_expect_str_eq(d->swarms[0].checks[0].send_file, "/data/x");
    ap_deployment_free(d);
    d = load(none);
    cr_expect_eq(d->swarm_count, 0);
    cr_expect_null(d->swarms);
    cr_expect_eq(d->segment.geometry.members, 20);
    ap_deployment_free(d);
}

Test(deployment, refused_meta_registry)
{
    static const struct row rows[] = {
        {"meta_registry:\n  prot: 1\n",
         "2: prot: unknown key (did you mean 'port'?); allowed: segment, mode, owner, group, port, listen, "
         "health_check_interval, events_max_age, events_max_bytes, task_timeout, caches, members, lanes, member_share, kept_share, "
         "result_ttl, max_unnamed_delegations, tasks, queues, queue_depth, queue_inlets, payload, events, claims, finished_rings, "
         "slow_task, trace_one_in, services, max_concurrent_delegations, swarms, capabilities, rule_sets, dead_tasks, "
         "kept_results, memory_quota, memory_quota_bytes, memory_values, memory_changes, memory_caches, instance_changes, "
         "tally_rows"},
        {"meta_registry:\n  caches: [pages, \"@\"]\n", "2: caches: '@' is no name space; expected a name, or '@' and the name of a "
                                                     "service whose local memory it is"},
        {"meta_registry:\n  caches: [pages, other, pages]\n", "2: caches: 'pages' is there twice"},
        {"meta_registry:\n  memory_caches: 1\n  caches: [a, b]\n",
         "3: caches: 2 name spaces, and a segment has room for 1; raise memory_caches"},
        {"meta_registry: 5\n", "1: meta_registry: '5' is not allowed; expected a mapping (key: value)"},
        {"meta_registry:\n  port: http\n", "2: port: 'http' is not allowed" WHOLE},
        {"meta_registry:\n  port: 0\n", "2: port: 0 is out of range; allowed: 1 to 65535"},
        {"meta_registry:\n  port: 65536\n", "2: port: 65536 is out of range; allowed: 1 to 65535"},
        {"meta_registry:\n  members: 5000\n", "2: members: 5000 is out of range; allowed: 1 to 4096"},
        {"meta_registry:\n  lanes: 16383\n", "2: lanes: 16383 is out of range; allowed: 1 to 16382"},
        {"meta_registry:\n  tasks: 63\n", "2: tasks: 63 is out of range; allowed: 64 to 4194304"},
        {"meta_registry:\n  max_concurrent_delegations: 0\n",
         "2: max_concurrent_delegations: 0 is out of range; allowed: 1 to 4096"},
        {"meta_registry:\n  task_timeout: 0\n", "2: task_timeout: 0 is out of range; allowed: 1ms to 720h"},
        {"meta_registry:\n  port: 1\n  queue_depth: 100\n",
         "3: queue_depth: 100 is not a power of two; for example 128 would be"},
        {"meta_registry:\n  capabilities: 100\n",
         "2: capabilities: 100 is not a power of two; for example 128 would be"},
        {"meta_registry:\n  payload:\n    blocks_2MiB: 1\n",
         "3: blocks_2MiB: unknown key; allowed: blocks_256B, blocks_1KiB, blocks_4KiB, "
         "blocks_16KiB, blocks_64KiB, blocks_256KiB, blocks_1MiB"},
        {"meta_registry:\n  payload: {blocks_1MiB: 2000000}\n",
         "2: blocks_1MiB: 2000000 is out of range; allowed: 0 to 1048576"},
        {"meta_registry:\n  payload:\n    {blocks_256B: 0, blocks_1KiB: 0, blocks_4KiB: 0, blocks_16KiB: 0,\n"
         "     blocks_64KiB: 0, blocks_256KiB: 0, blocks_1MiB: 0}\n",
         "3: payload: all are 0; at least one of them must be more than 0"},
        {"meta_registry:\n  segment: apiary\n",
         "2: segment: 'apiary' is not a segment name; expected '/' and 1 to 62 other "
         "bytes without '/', such as /apiary"},
        {"meta_registry:\n  segment: /a/b\n",
         "2: segment: '/a/b' is not a segment name; expected '/' and 1 to 62 other bytes "
         "without '/', such as /apiary"},
        {"meta_registry:\n  segment: ''\n",
         "2: segment: '' is not a segment name; expected '/' and 1 to 62 other bytes "
         "without '/', such as /apiary"},
        {"meta_registry:\n  mode: \"0888\"\n",
         "2: mode: '0888' is not a usable mode; expected octal digits from \"0600\" to "
         "\"0666\" that let the owner read and write, such as \"0660\""},
        {"meta_registry:\n  mode: 432\n", "2: mode: '432' is not a usable mode; expected octal digits from \"0600\" to "
                                          "\"0666\" that let the owner read and write, such as \"0660\""},
        {"meta_registry:\n  mode: \"660x\"\n", "2: mode: '660x' is not a usable mode; expected octal digits from \"0600\" to "
                                               "\"0666\" that let the owner read and write, such as \"0660\""},
        {"meta_registry:\n  mode: \"00660\"\n", "2: mode: '00660' is not a usable mode; expected octal digits from \"0600\" to "
                                                "\"0666\" that let the owner read and write, such as \"0660\""},
        {"meta_registry:\n  mode: rw\n", "2: mode: 'rw' is not a usable mode; expected octal digits from \"0600\" to "
                                         "\"0666\" that let the owner read and write, such as \"0660\""},
    };

    ALL_REFUSED(rows);
}

Test(deployment, refused_names_of_segments)
{
    char longest[65] = "/", text[128];
    const char *const names[] = {"/", "x", "apiary", "//", "/a/", "/.", "/..", longest};

    memset(longest + 1, 'x', sizeof longest - 2);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(text, sizeof text, "meta_registry:\n  segment: %s\n", names[i]);
        cr_expect_not_null(strstr(refused(text), "is not a segment name"), "%s", names[i]);
    }
    longest[63] = '\0';
    for (const char *const *at = (const char *const[]){"/a", "/...", "/.a", longest, NULL}; *at != NULL; at++) {
        snprintf(text, sizeof text, "meta_registry:\n  segment: %s\n", *at);
        ap_deployment_free(load(text));
    }
}

Test(deployment, refused_swarms)
{
    static const struct row rows[] = {
        {"swarms:\n  - port: 1\n" AGENTS, "2: service: missing: name of the service; expected a text"},
        {"swarms:\n  - service: s\n",
         "2: agents: missing: name, kind or plugin, capabilities of each; expected a list of "
         "mappings"},
        {"swarms:\n  - service: s\n    agents: []\n",
         "3: agents: is an empty list; expected at least one item: name, kind or plugin, capabilities of each"},
        {"swarms:\n  - service: s\n    wrokers: 2\n" AGENTS,
         "3: wrokers: unknown key (did you mean 'workers'?); allowed: service, port, queen, workers, version, "
         "health_endpoint, "
         "metrics_endpoint, listen, tags, health_check_interval, health_check_timeout, unhealthy_after, healthy_after, "
         "max_concurrent_delegations, weight, depends_on, agents, checks"},
        {"swarms:\n  - service: AI\n" AGENTS, "2: service: 'AI' is not a name" NAME},
        {"swarms:\n  - service: ''\n" AGENTS, "2: service: '' is not a name" NAME},
        {"swarms:\n  - service: s\n" AGENTS "  - service: t\n" AGENTS "  - port: 7\n    service: s\n" AGENTS,
         "7: service: s is already given in line 2; a service is named once (for more of it: queen: {instances: N})"},
        {"swarms:\n  - service: s\n    port: 4001\n" AGENTS "  - service: t\n    port: 4001\n" AGENTS,
         "6: port: 4001 is already that of s (line 3); give t another port"},
        {"meta_registry:\n  port: 4001\nswarms:\n  - service: s\n    port: 4001\n" AGENTS,
         "5: port: 4001 is already that of meta_registry (line 2); give s another port"},
        {"swarms:\n  - service: s\n    port: 4100\n" AGENTS,
         "3: port: 4100 is already that of meta_registry, which names none and so has 4100; give s another port, or "
         "meta_registry"},
        {"swarms:\n  - service: s\n    workers: 17\n" AGENTS, "3: workers: 17 is out of range; allowed: 1 to 16"},
        {"swarms:\n  - service: s\n    queen: {instances: 0}\n" AGENTS,
         "3: instances: 0 is out of range; allowed: 1 to 64"},
        {"swarms:\n  - service: s\n    queen:\n      instance: 2\n" AGENTS,
         "4: instance: unknown key (did you mean 'instances'?); allowed: instances, restart, restart_stuck, update, "
         "autoscale"},
        {"swarms:\n  - service: s\n    queen: {restart: never, restart_stuck: 30s}\n" AGENTS,
         "3: restart_stuck: an instance that is ended because it is stuck would not be started again; expected restart: always "
         "beside it"},
        {"swarms:\n  - service: s\n    queen:\n      restart: maybe\n" AGENTS,
         "4: restart: 'maybe' is not allowed; expected always or never"},
        {"swarms:\n  - service: s\n    queen:\n      update: maybe\n" AGENTS,
         "4: update: 'maybe' is not allowed; expected start_first or stop_first"},
        {"swarms:\n  - service: s\n    queen:\n      autoscale: {min: 2}\n" AGENTS,
         "4: max: missing; expected a whole number, without quotes"},
        {"swarms:\n  - service: s\n    queen:\n      autoscale: {min: 4, max: 3}\n" AGENTS,
         "4: max: 3 is below min, which is 4; expected at least that"},
        {"swarms:\n  - service: s\n    queen:\n      instances: 5\n      autoscale: {min: 2, max: 4}\n" AGENTS,
         "4: instances: 5 is outside of autoscale; allowed: 2 to 4"},
        {"swarms:\n  - service: s\n    queen:\n      autoscale: {min: 2, max: 4}\n      instances: 1\n" AGENTS,
         "5: instances: 1 is outside of autoscale; allowed: 2 to 4"},
        {"swarms:\n  - service: s\n    max_concurrent_delegations: 101\n" AGENTS,
         "3: max_concurrent_delegations: 101 is more than the segment has room for; allowed: at most 100, which is "
         "max_concurrent_delegations of meta_registry"},
        {"swarms:\n  - service: s\n    version: 1.2.3-with-a-very-long-tail-that-fits-in-no-table-xx\n" AGENTS,
         "3: version: has 52 bytes; allowed: at most 47"},
    };

    ALL_REFUSED(rows);
}

Test(deployment, refused_endpoints)
{
    char text[512], rest[129];

    memset(rest, 'x', sizeof rest - 1);
    rest[sizeof rest - 1] = '\0';
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    health_endpoint: %s\n" AGENTS, rest);
    cr_expect_str_eq(refused(text), "3: health_endpoint: has 128 bytes; allowed: at most 127");
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    metrics_endpoint: %s\n" AGENTS, rest);
    cr_expect_str_eq(refused(text), "3: metrics_endpoint: has 128 bytes; allowed: at most 127");
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    health_endpoint: https://localhost/health\n" AGENTS);
    cr_expect_str_eq(refused(text), "3: health_endpoint: 'https://localhost/health' cannot be asked; expected http:// and "
                                    "localhost, 127.x.x.x or [::1], perhaps a port and a path, such as "
                                    "http://localhost:4000/health");
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    metrics_endpoint: %s\n" AGENTS, rest + 1);
    ap_deployment_free(load(text));
}

Test(deployment, tags)
{
    char text[1024], rest[48], list[512] = "";
    int used = 0;
    struct ap_deployment *d = load("swarms:\n  - service: s\n    tags: [eu, gpu]\n" AGENTS);

    cr_expect_str_eq(d->swarms[0].tags, "eu gpu");
    ap_deployment_free(d);
    d = load("swarms:\n  - service: s\n    tags: eu\n" AGENTS);
    cr_expect_str_eq(d->swarms[0].tags, "eu");
    ap_deployment_free(d);
    d = load("swarms:\n  - service: s\n    tags: []\n" AGENTS);
    cr_expect_null(d->swarms[0].tags);
    ap_deployment_free(d);
    cr_expect_str_eq(refused("swarms:\n  - service: s\n    tags: [eu, EU]\n" AGENTS),
                     "3: tags: 'EU' is not a tag; allowed: at most 47 of a-z 0-9 _ . -, a letter first");
    cr_expect_str_eq(refused("swarms:\n  - service: s\n    tags: [eu, gpu, eu]\n" AGENTS), "3: tags: eu is there twice");
    memset(rest, 'x', sizeof rest - 1);
    rest[sizeof rest - 1] = '\0';
    for (char c = 'a'; c <= 'e'; c++) {
        char tag[sizeof rest];

        memcpy(tag, rest, sizeof tag);
        tag[0] = c;
        used += snprintf(list + used, sizeof list - (size_t)used, "%s, ", tag);
    }
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    tags: [%sxxxxxxx]\n" AGENTS, list);
    d = load(text);
    cr_expect_eq(strlen(d->swarms[0].tags), APIARY_TAGS_MAX);
    ap_deployment_free(d);
    snprintf(text, sizeof text, "swarms:\n  - service: s\n    tags: [%sxxxxxxxx]\n" AGENTS, list);
    cr_expect_str_eq(refused(text),
                     "3: tags: there is no room for xxxxxxxx; allowed: at most 247 bytes, with one between two tags");
}

Test(deployment, refused_when_the_segment_is_too_small)
{
#define TWO \
    "swarms:\n  - service: s\n    queen: {instances: 3}\n    agents: [{name: a, kind: echo, capabilities: c}, {name: " \
    "b, " \
    "kind: echo, capabilities: c}]\n  - service: t\n    workers: 2\n" AGENTS
    static const struct row rows[] = {
        {"meta_registry:\n  port: 4100\n  services: 1\n" TWO,
         "3: services: 1 is too few for the swarms of this file; expected at least 2 (one for each service)"},
        {"meta_registry:\n  services: 1\n" TWO,
         "2: services: 1 is too few for the swarms of this file; expected at least 2 (one for each service)"},
        {"meta_registry:\n  swarms: 3\n" TWO,
         "2: swarms: 3 is too few for the swarms of this file; expected at least 4 (one for each instance of a queen)"},
        {"meta_registry:\n  members: 4\n" TWO, "2: members: 4 is too few for the swarms of this file; expected at "
                                               "least 5 (one for each queen and the daemon)"},
        {"meta_registry:\n  queues: 6\n" TWO, "2: queues: 6 is too few for the swarms of this file; expected at least "
                                              "7 (one for each agent of each instance)"},
        {"meta_registry:\n  lanes: 15\n" TWO, "2: lanes: 15 is too few for the swarms of this file; expected at least "
                                              "16 (two and one for each worker in each queen, "
                                              "three for the daemon)"},
        {"meta_registry:\n  port: 4100\nswarms:\n  - service: s\n    queen: {instances: 64}\n    workers: 3\n" AGENTS,
         "2: lanes: 256 is too few for the swarms of this file; expected at least 323 (two and one for each worker in "
         "each "
         "queen, three for the daemon)"},
    };

    ALL_REFUSED(rows);
    ap_deployment_free(load("meta_registry: {services: 2, swarms: 4, members: 5, queues: 7, lanes: 16}\n" TWO));
    cr_expect_str_eq(refused("meta_registry:\n  swarms: 7\nswarms:\n  - service: s\n    queen: {autoscale: {max: 8}}\n" AGENTS),
                     "2: swarms: 7 is too few for the swarms of this file; expected at least 8 (one for each instance of a queen)");
    ap_deployment_free(load("meta_registry:\n  swarms: 8\nswarms:\n  - service: s\n    queen: {autoscale: {max: 8}}\n" AGENTS));
}

Test(deployment, autoscale_has_defaults)
{
    struct ap_deployment *d = load("swarms:\n"
                                   "  - service: s\n    queen: {autoscale: {max: 4}}\n" AGENTS
                                   "  - service: t\n"
                                   "    queen: {instances: 3, autoscale: {min: 2, max: 5, backlog: 7, cool_down: 9s}}\n" AGENTS
                                   "  - service: u\n    queen: {autoscale: {min: 2, max: 5}}\n" AGENTS
                                   "  - service: v\n" AGENTS);
    const struct ap_autoscale *s = &d->swarms[0].autoscale, *t = &d->swarms[1].autoscale;

    cr_expect(s->min == 1 && s->max == 4 && s->backlog == 10 && s->cool_down == UINT64_C(300000000000));
    cr_expect_eq(d->swarms[0].instances, 1);
    cr_expect(t->min == 2 && t->max == 5 && t->backlog == 7 && t->cool_down == UINT64_C(9000000000));
    cr_expect_eq(d->swarms[1].instances, 3);
    cr_expect_eq(d->swarms[2].instances, 2, "it begins with min");
    cr_expect_eq(d->swarms[3].autoscale.max, 0);
    cr_expect_eq(ap_deployment_most_instances(&d->swarms[1]), 5);
    cr_expect_eq(ap_deployment_most_instances(&d->swarms[3]), 1);
    ap_deployment_free(d);
}

/* ---- several, and none ----------------------------------------------------------------------------------------- */

Test(deployment, ports_are_compared_with_all_before)
{
#define PORT(service, port) "  - service: " service "\n    port: " port "\n" AGENTS
    ap_deployment_free(load("swarms:\n" PORT("s", "4001") "  - service: t\n" AGENTS PORT("u", "4002") PORT("v", "4003")));
    cr_expect_str_eq(refused("swarms:\n" PORT("s", "4001") "  - service: t\n" AGENTS PORT("u", "4002") PORT("v", "4002")),
                     "11: port: 4002 is already that of u (line 8); give v another port");
}

Test(deployment, a_service_is_found_by_its_whole_name_among_those_that_there_are)
{
    struct ap_deployment_swarm swarms[] = {{.service = "storage"}, {.service = "storage_service"}, {.service = "behind"}};
    const struct ap_deployment d = {.swarms = swarms, .swarm_count = 2};

    cr_expect_eq(ap_deployment_swarm(&d, "storage"), &swarms[0]);
    cr_expect_eq(ap_deployment_swarm(&d, "storage_service"), &swarms[1]);
    cr_expect_null(ap_deployment_swarm(&d, "storage_"));
    cr_expect_null(ap_deployment_swarm(&d, "behind"));
}

/* Neither what is read nor what is refused, however far it was read, leaves memory in use. */
Test(deployment, nothing_is_left_of_a_file)
{
    static const char *const texts[] = {"swarms: []\n", "meta_registry: {port: 0}\n", "swarms: [{service: s}]\n", "[", complete};
    struct ap_deployment *d;
    size_t before = 0;

    for (int round = 0; round < 40; round++) {
        if (round == 20) before = mallinfo2().uordblks;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            write_file(texts[i], strlen(texts[i]));
            if (ap_deployment_load(path, kinds, &d, &error) == 0) ap_deployment_free(d);
        }
    }
    cr_expect_lt(mallinfo2().uordblks, before + 20 * sizeof *d, "what twenty rounds leave");
}

/* ---- anything ------------------------------------------------------------------------------------------------- */

Test(deployment, no_input_crashes)
{
    uint64_t random = 88172645463325252u;
    unsigned good = 0, bad = 0;

    for (int round = 0; round < 3000; round++) {
        char text[sizeof complete];
        size_t size = sizeof complete - 1;
        struct ap_deployment *d = NULL;
        memcpy(text, complete, size);
        for (int change = 0; change < 1 + round % 3; change++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            text[random % size] = complete[(random >> 32) % size];
        }
        write_file(text, size);
        error.text[0] = '\0';
        int r = ap_deployment_load(path, kinds, &d, &error);
        cr_assert(r == 0 || r == APIARY_ECONFIG);
        if (r < 0) cr_assert_eq(strncmp(error.text, path, strlen(path)), 0, "%s", error.text);
        good += r == 0;
        bad += r < 0;
        ap_deployment_free(d);
    }
    cr_expect_gt(good, 100);
    cr_expect_gt(bad, 100);
}
