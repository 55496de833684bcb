/* tests/unit/test_kinds_services.c - the built-in kinds that answer by themselves: what they say is true, what they refuse. */
#include "agents/kinds/json.h"
#include "tests/unit/fake_agent.h"

static struct apiary_agent *agent;

static void open_kind(const char *kind, const struct fake_key *config)
{
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), 0, "%s", agent->log);
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
}

static void refused(const char *kind, struct fake_key key, const char *why)
{
    const struct fake_key config[] = {key, {NULL, NULL, 0, NULL}};
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), APIARY_ECONFIG);
    cr_assert_not_null(strstr(agent->log, why), "%s", agent->log);
    agent->state = NULL;
    done();
}

Test(kinds, the_table_is_complete_and_sound)
{
    size_t count = 0;
    for (const apiary_agent_kind_t *const *k = apiary_kinds(); *k; k++, count++) {
        cr_assert_eq((*k)->abi, APIARY_AGENT_ABI, "%s", (*k)->name);
        cr_assert_not_null((*k)->create, "%s", (*k)->name);
        cr_assert_not_null((*k)->handle, "%s", (*k)->name);
        cr_assert_gt(strlen((*k)->what), 10, "%s", (*k)->name);
        cr_assert_eq(apiary_kind((*k)->name), *k, "two kinds are called %s", (*k)->name);
        for (const apiary_agent_key_t *key = (*k)->keys; key && key->name; key++)
            cr_assert(strchr("sibldzpco", key->type) && key->what && key->what[0], "%s: %s", (*k)->name, key->name);
    }
    cr_assert_geq(count, 30);
    cr_assert_null(apiary_kind("no_such_kind"));
    cr_assert_null(apiary_kind(""));
}

/* ---- architecture, business -------------------------------------------------------------------------------------- */

Test(components, cycles_and_layers)
{
    open_kind("components", NULL);
    fake_expect_part(agent, "component_analysis",
                     "{\"dependencies\":{\"a\":[\"b\"],\"b\":[\"a\"],\"c\":[\"c\"],\"d\":[\"a\"]}}",
                     "\"cycles\":[[\"a\",\"b\"],[\"c\"]]");
    fake_expect_part(agent, "component_analysis", "{\"dependencies\":{\"a\":[\"b\"],\"b\":[\"c\"]}}",
                     "{\"name\":\"a\",\"needs\":1,\"needed_by\":0,\"instability\":1.0,\"reach\":2}");
    fake_expect(agent, "component_analysis", "{\"dependencies\":{}}", "{\"components\":[],\"cycles\":[]}");
    fake_expect(agent, "system_design",
                "{\"layers\":[\"low\",\"high\"],\"of\":{\"a\":\"high\",\"b\":\"low\"},"
                "\"dependencies\":{\"a\":[\"b\",\"a\"]}}",
                "{\"sound\":true,\"violations\":[]}");
    fake_expect_part(agent, "system_design", "{\"layers\":[\"low\"],\"of\":{},\"dependencies\":{\"a\":[\"b\"]}}",
                     "without a layer");
    fake_expect_failure(agent, "component_analysis", "{\"dependencies\":{\"a\":7}}", 400, "not a list");
    fake_expect_failure(agent, "component_analysis", "{\"dependencies\":{\"a\":[7]}}", 400, "\"dependencies/a/0\" is not a text");
    char request[8192] = "{\"dependencies\":{\"a\":[\"n0\"";
    for (int i = 1; i < 300; i++)
        snprintf(request + strlen(request), 16, ",\"n%d\"", i);
    strcat(request, "]}}");
    fake_expect_failure(agent, "component_analysis", request, 413, "more than 256");
    done();
}

Test(rules, every_operator)
{
    static const struct {
        const char *condition;
        bool holds;
    } cases[] = {
        {"[\"n\",\"==\",5]", true},
        {"[\"n\",\"==\",5.0]", true},
        {"[\"n\",\"==\",\"5\"]", false},
        {"[\"n\",\"!=\",6]", true},
        {"[\"missing\",\"!=\",6]", true},
        {"[\"missing\",\"==\",null]", false},
        {"[\"n\",\"<\",6]", true},
        {"[\"n\",\"<\",5]", false},
        {"[\"n\",\"<=\",5]", true},
        {"[\"n\",\">\",4]", true},
        {"[\"n\",\">\",5]", false},
        {"[\"n\",\">=\",5]", true},
        {"[\"n\",\">\",\"a\"]", false},
        {"[\"missing\",\"<\",1]", false},
        {"[\"t\",\"<\",\"hivf\"]", true},
        {"[\"t\",\"in\",[\"x\",\"hive\"]]", true},
        {"[\"t\",\"in\",[]]", false},
        {"[\"t\",\"in\",\"beehives\"]", true},
        {"[\"list\",\"contains\",2]", true},
        {"[\"list\",\"contains\",3]", false},
        {"[\"t\",\"contains\",\"iv\"]", true},
        {"[\"o.deep.x\",\"==\",1]", true},
        {"[\"o.deep.y\",\"absent\"]", true},
        {"[\"o.deep\",\"present\"]", true},
        {"[\"t.x\",\"present\"]", false},
        {"[\"o..deep\",\"present\"]", false},
    };
    open_kind("rules", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[400];
        snprintf(request, sizeof request,
                 "{\"rules\":[{\"name\":\"r\",\"if\":[%s],\"then\":1}],\"facts\":{\"n\":5,\"t\":\"hive\","
                 "\"list\":[1,2],\"o\":{\"deep\":{\"x\":1}}}}",
                 cases[i].condition);
        fake_expect(agent, "business_rules", request,
                    cases[i].holds ? "{\"fired\":[{\"rule\":\"r\",\"then\":1}]}" : "{\"fired\":[]}");
    }
    fake_expect(agent, "business_rules", "{\"rules\":[{\"name\":\"r\",\"if\":[]}],\"facts\":{}}",
                "{\"fired\":[{\"rule\":\"r\",\"then\":null}]}");
    done();
}

Test(rules, bad_rules_are_told)
{
    open_kind("rules", NULL);
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"if\":[]}],\"facts\":{}}", 400,
                        "\"rules/0/name\" is missing; a text is wanted");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"name\":\"r\"}],\"facts\":{}}", 400,
                        "\"rules/0/if\" is missing; a list is wanted");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"name\":\"r\",\"if\":[[\"a\",\"~\",1]]}],\"facts\":{}}",
                        400, "operators");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"name\":\"r\",\"if\":[[\"a\",\"==\"]]}],\"facts\":{}}",
                        400, "\"r\"");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"name\":\"r\",\"if\":[[1,\"==\",1]]}],\"facts\":{}}",
                        400, "\"r\"");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[{\"name\":\"r\",\"if\":[7]}],\"facts\":{}}", 400,
                        "\"rules/0/if/0\" is not a list");
    fake_expect_failure(agent, "business_rules", "{\"rules\":[]}", 400, "\"facts\" is missing");
    fake_expect(agent, "compliance", "{\"policy\":[{\"name\":\"p\",\"require\":[\"a\",\"present\"]}],\"record\":{}}",
                "{\"compliant\":false,\"violations\":[{\"policy\":\"p\",\"member\":\"a\",\"found\":null}]}");
    fake_expect(agent, "compliance", "{\"policy\":[],\"record\":{}}", "{\"compliant\":true,\"violations\":[]}");
    fake_expect_failure(agent, "compliance", "{\"policy\":[{\"name\":\"p\",\"require\":[]}],\"record\":{}}", 400,
                        "a condition is");
    done();
}

Test(decision, weights_decide)
{
    open_kind("decision", NULL);
    fake_expect(agent, "decision_making", "{\"criteria\":{\"c\":1},\"options\":{\"a\":{\"c\":1},\"b\":{\"c\":1}}}",
                "{\"decision\":\"a\",\"ranking\":[{\"option\":\"a\",\"score\":0.0},{\"option\":\"b\",\"score\":0.0}]}");
    fake_expect_part(agent, "decision_making",
                     "{\"criteria\":{\"c\":-1},\"options\":{\"a\":{\"c\":2},\"b\":{\"c\":1}}}",
                     "{\"decision\":\"b\",\"ranking\":[{\"option\":\"b\",\"score\":1.0}");
    /* Equal in two orders of the same three numbers: the one named first. */
    fake_expect_part(agent, "decision_making",
                     "{\"criteria\":{\"p\":0.1,\"q\":0.2,\"r\":0.3},\"options\":{\"first\":{\"p\":1,\"q\":1,\"r\":0},"
                     "\"second\":{\"p\":0,\"q\":0,\"r\":1}}}",
                     "{\"decision\":\"first\",\"ranking\":[{\"option\":\"first\",\"score\":0.5},"
                     "{\"option\":\"second\",\"score\":0.5}");
    /* No option and no weight is lost at the ends of a double's range. */
    fake_expect(agent, "decision_making",
                "{\"criteria\":{\"c\":1},\"options\":{\"low\":{\"c\":-1e308},\"mid\":{\"c\":0},\"high\":{\"c\":1e308}}}",
                "{\"decision\":\"high\",\"ranking\":[{\"option\":\"high\",\"score\":1.0},{\"option\":\"mid\",\"score\":0.5},"
                "{\"option\":\"low\",\"score\":0.0}]}");
    fake_expect_part(agent, "decision_making",
                     "{\"criteria\":{\"c\":1e308,\"d\":1e308},"
                     "\"options\":{\"worse\":{\"c\":1,\"d\":1},\"better\":{\"c\":2,\"d\":2}}}",
                     "{\"decision\":\"better\",\"ranking\":[{\"option\":\"better\",\"score\":1.0}");
    fake_expect_failure(agent, "decision_making", "{\"criteria\":{\"c\":1},\"options\":{}}", 400, "\"options\" has 0 "
                        "members; 1 to 256 are allowed");
    fake_expect_failure(agent, "decision_making", "{\"criteria\":{\"c\":0},\"options\":{\"a\":{\"c\":1}}}", 400,
                        "other than 0");
    fake_expect_failure(agent, "decision_making", "{\"criteria\":{\"c\":1},\"options\":{\"a\":{}}}", 400,
                        "no number for \"c\"");
    fake_expect_failure(agent, "decision_making", "{\"criteria\":{\"c\":1},\"options\":{\"a\":7}}", 400,
                        "\"options/a\" is not an object");
    done();
}

/* ---- core, swarm ------------------------------------------------------------------------------------------------- */

static void add_row(const char *service, enum apiary_state state, uint32_t agents)
{
    apiary_swarm_status_t *r = &fake.rows[fake.row_count++];
    *r = (apiary_swarm_status_t){.struct_size = sizeof(apiary_swarm_status_t), 
        .state = state, .mode = APIARY_READY, .agents = agents, .queued = 1, .running = 2, .pid = 7};
    strcpy(r->service, service);
    strcpy(r->instance, "0");
}

Test(swarm_status, the_worst_state_is_the_health)
{
    open_kind("swarm_status", NULL);
    fake_offer("some_capability", agent);
    add_row("a", APIARY_PASSING, 3);
    add_row("b", APIARY_STARTING, 4);
    fake_expect_part(agent, "health_monitoring", "{}", "{\"health\":\"starting\",\"swarms\":2,\"passing\":1,");
    add_row("b", APIARY_CRITICAL, 4);
    fake_expect_part(agent, "health_monitoring", "{}", "{\"health\":\"critical\",\"swarms\":3,\"passing\":1,");
    fake_expect_part(agent, "health_monitoring", "{\"service\":\"a\"}",
                     "{\"health\":\"passing\",\"swarms\":1,\"passing\":1,");
    fake.rows[2].state = (enum apiary_state)99; /* from a newer version */
    fake_expect_part(agent, "health_monitoring", "{}", "\"state\":\"unknown\"");
    fake_expect_failure(agent, "health_monitoring", "{\"service\":\"c\"}", 404, "no swarm of \"c\"");
    fake_expect_failure(agent, "health_monitoring", "{\"service\":1}", 400, "not a text");
    fake_expect(agent, "swarm_coordination", "{}",
                "{\"services\":[\"a\",\"b\"],\"instances\":3,\"agents\":11,\"in_flight\":9}");
    fake_expect(
        agent, "service_discovery", "{\"capability\":\"some_capability\"}",
        "{\"providers\":[{\"service\":\"test_service\",\"instance\":\"0\",\"agent\":\"swarm_status\",\"pid\":4711,"
        "\"in_flight\":0,\"alive\":true}]}");
    fake_expect_failure(agent, "service_discovery", "{\"capability\":\"nothing\"}", 404, "nobody has ever offered");
    done();
}

Test(sequence, counts)
{
    open_kind("sequence", NULL);
    fake_expect(agent, "sequence_number", "{\"name\":\"n\"}", "{\"name\":\"n\",\"value\":1}");
    fake_expect(agent, "sequence_number", "{\"name\":\"n\",\"by\":10}", "{\"name\":\"n\",\"value\":11}");
    fake_expect(agent, "sequence_number", "{\"name\":\"other\"}", "{\"name\":\"other\",\"value\":1}");
    fake_expect(agent, "sequence_number", "{\"name\":\"n\",\"by\":0}", "{\"name\":\"n\",\"value\":11}");
    fake_expect_failure(agent, "sequence_number", "{\"name\":\"\"}", 400, "\"name\" has 0 characters; 1 to 64 are allowed");
    fake_expect_failure(agent, "sequence_number", "{\"name\":\"n\",\"by\":-1}", 400, "\"by\" is -1");
    done();
}

Test(consensus, majority_and_partition)
{
    open_kind("consensus", NULL);
    fake_expect(agent, "swarm_consensus", "{\"votes\":{\"a\":\"x\",\"b\":\"y\"}}",
                "{\"decided\":false,\"winner\":null,\"tied\":[\"x\",\"y\"],\"votes\":1,\"of\":2}");
    fake_expect(agent, "swarm_consensus", "{\"votes\":{\"a\":\"y\",\"b\":\"x\",\"c\":\"z\"},\"quorum\":0.1}",
                "{\"decided\":false,\"winner\":null,\"tied\":[\"x\",\"y\",\"z\"],\"votes\":1,\"of\":3}");
    fake_expect(agent, "swarm_consensus", "{\"votes\":{\"a\":\"x\",\"b\":\"x\",\"c\":\"y\"},\"quorum\":0.67}",
                "{\"decided\":false,\"winner\":\"x\",\"votes\":2,\"of\":3}");
    fake_expect_failure(agent, "swarm_consensus", "{\"votes\":{}}", 400, "\"votes\" has 0 members; 1 to 10000 are allowed");
    fake_expect_failure(agent, "swarm_consensus", "{\"votes\":{\"a\":1}}", 400, "\"votes/a\" is not a text");
    fake_expect_failure(agent, "swarm_consensus", "{\"votes\":{\"a\":\"x\"},\"quorum\":1}", 400, "quorum");
    fake_expect_failure(agent, "work_partitioning", "{\"items\":[],\"members\":[]}", 400, "\"members\" has 0 items; 1 to "
                        "256 are allowed");
    fake_expect_failure(agent, "work_partitioning", "{\"items\":[1],\"members\":[\"a\"]}", 400, "not a text");
    done();
}

/* A quorum is the decimal number that it is written as, not the double next to it: as many hundredths are not more than it. */
Test(consensus, a_quorum_is_exact)
{
    static const struct {
        int votes, of;
        const char *quorum;
        bool decided;
    } cases[] = {{63, 90, "0.7", false},   {64, 90, "0.7", true},    {58, 100, "0.58", false}, {29, 50, "0.58", false},
                 {30, 50, "0.58", true},   {1, 1, "0", true},        {1, 1, "1e-300", true},   {2, 3, "0.6666666666666666", true},
                 {99, 100, "0.99", false}, {60, 100, "0.5999999999999999", true}};
    open_kind("consensus", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[4000] = "{\"votes\":{";
        for (int v = 0; v < cases[i].of; v++)
            snprintf(request + strlen(request), 32, "%s\"m%d\":\"%s\"", v ? "," : "", v, v < cases[i].votes ? "yes" : "no");
        snprintf(request + strlen(request), 64, "},\"quorum\":%s}", cases[i].quorum);
        fake_expect_part(agent, "swarm_consensus", request, cases[i].decided ? "\"decided\":true" : "\"decided\":false");
    }
    done();
}

/* Of 1 to 1000 hundredths each share that divides evenly is not more than itself, and one vote more is. */
Test(consensus, every_even_share_is_exact)
{
    for (json_int_t of = 1; of <= 300; of++)
        for (int hundredths = 1; hundredths < 100; hundredths++) {
            char text[8];
            if (of * hundredths % 100 != 0) continue;
            snprintf(text, sizeof text, "0.%02d", hundredths);
            json_t *share = json_real(strtod(text, NULL));
            json_int_t part = of * hundredths / 100;
            cr_assert(!ap_json_more_than(part, of, share), "%lld of %lld, %s", part, of, text);
            cr_assert(ap_json_more_than(part + 1, of, share), "%lld of %lld, %s", part + 1, of, text);
            json_decref(share);
        }
}

/* When a member leaves, only what it had is given to others. */
Test(consensus, only_the_leavers_items_move)
{
    char request[8192] = "{\"items\":[", three[9000], two[9000];
    open_kind("consensus", NULL);
    for (int i = 0; i < 200; i++)
        snprintf(request + strlen(request), 16, "%s\"i%d.\"", i ? "," : "", i);
    snprintf(three, sizeof three, "%s],\"members\":[\"a\",\"b\",\"c\"]}", request);
    snprintf(two, sizeof two, "%s],\"members\":[\"a\",\"b\"]}", request);
    char *before = fake_call(agent, "work_partitioning", three), *after = fake_call(agent, "work_partitioning", two);
    char *b_before = strstr(before, "\"b\":["), *c_before = strstr(before, "\"c\":["),
         *b_after = strstr(after, "\"b\":[");
    int moved = 0, of_c = 0;
    for (int i = 0; i < 200; i++) {
        char item[16];
        snprintf(item, sizeof item, "\"i%d.\"", i);
        char *was = strstr(before, item), *is = strstr(after, item);
        bool was_c = was > c_before, was_b = was > b_before && !was_c;
        of_c += was_c;
        moved += !was_c && was_b != (is > b_after);
    }
    cr_assert_eq(moved, 0, "%d items moved between those who stayed", moved);
    cr_assert(of_c > 30 && of_c < 110, "c had %d of 200", of_c);
    free(before);
    free(after);
    done();
}

/* ---- infra, interface, tools ------------------------------------------------------------------------------------- */

Test(readings, are_the_kernels)
{
    open_kind("readings", NULL);
    char *text = fake_call(agent, "resource_usage", ""), *at = strstr(text, "\"memory_total_kib\":");
    FILE *meminfo = fopen("/proc/meminfo", "r");
    long long total;
    cr_assert_eq(fscanf(meminfo, "MemTotal: %lld", &total), 1);
    fclose(meminfo);
    cr_assert_not_null(at, "%s", text);
    cr_assert_eq(strtoll(at + 19, NULL, 10), total);
    free(text);
    fake_expect_failure(agent, "other", "", 404, "which its kind does not have");
    done();
}

Test(ledger, grants_whole_or_not_at_all)
{
    const struct fake_key config[] = {{"pools", NULL, 0, FAKE_LIST("cpu=4", "disk=0")}, {NULL, NULL, 0, NULL}};
    open_kind("ledger", config);
    fake_expect(agent, "resource_allocation", "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"a\",\"amount\":3}",
                "{\"granted\":true,\"held\":3,\"free\":1}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"a\",\"amount\":3}",
                "{\"granted\":true,\"held\":3,\"free\":1}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"b\",\"amount\":2}",
                "{\"granted\":false,\"held\":0,\"free\":1}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"a\",\"amount\":4}",
                "{\"granted\":true,\"held\":4,\"free\":0}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"show\"}",
                "{\"pools\":{\"cpu\":{\"size\":4,\"holders\":{\"a\":4},\"free\":0},\"disk\":{\"size\":0,\"holders\":{},"
                "\"free\":0}}}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"release\",\"pool\":\"cpu\",\"holder\":\"a\"}",
                "{\"released\":4,\"free\":4}");
    fake_expect(agent, "resource_allocation", "{\"op\":\"release\",\"pool\":\"cpu\",\"holder\":\"a\"}",
                "{\"released\":0,\"free\":4}");
    fake_expect_failure(agent, "resource_allocation",
                        "{\"op\":\"reserve\",\"pool\":\"x\",\"holder\":\"a\",\"amount\":1}", 404, "no pool");
    fake_expect_failure(agent, "resource_allocation", "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"a\"}", 400,
                        "\"amount\" is missing");
    fake_expect_failure(agent, "resource_allocation", "{\"op\":\"fly\",\"pool\":\"cpu\",\"holder\":\"a\"}", 400,
                        "reserve, release");
    done();
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu")}, "NAME=SIZE");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=x")}, "NAME=SIZE");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=-1")}, "NAME=SIZE");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("=1")}, "NAME=SIZE");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=8, cpu=4")}, "NAME=SIZE");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=1000000000000000001")},
            "at most 1000000000000000000");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=92233720368547758080")},
            "at most 10000000000");
    refused("ledger", (struct fake_key){"pools", NULL, 0, FAKE_LIST("cpu=8", "gpu=1", "cpu=4")},
            "pools: \"cpu=4\" gives its pool a second size");
    refused("gateway", (struct fake_key){"routes", NULL, 0, FAKE_LIST("/a=x", "/b=x", "/a=y")},
            "routes: \"/a=y\" gives its path a second capability");
    static const char *const routes[] = {"a=x", "/a", "/a=", "/a=x, /b=y", "/a=X", "/a=x "};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        refused("gateway", (struct fake_key){"routes", NULL, 0, FAKE_LIST(routes[i])}, "is not /PATH=CAPABILITY");
}

Test(text, escapes_and_renders)
{
    open_kind("text", NULL);
    fake_expect(agent, "html_escaping", "", "");
    fake_expect(agent, "html_escaping", "<&>\"'x", "&lt;&amp;&gt;&quot;&#39;x");
    fake_expect(agent, "template_rendering",
                "{\"template\":\"{{a}}{{{a}}}{{n}}{{b}}.\",\"values\":{\"a\":\"<\",\"n\":1.5,\"b\":true}}",
                "&lt;<1.5true.");
    fake_expect(agent, "template_rendering", "{\"template\":\"\",\"values\":{}}", "");
    fake_expect_failure(agent, "template_rendering", "{\"template\":\"{{a}}\",\"values\":{}}", 400,
                        "\"a\" has no value");
    fake_expect_failure(agent, "template_rendering", "{\"template\":\"{{a\",\"values\":{}}", 400, "without its }}");
    fake_expect_failure(agent, "template_rendering", "{\"template\":\"{{}}\",\"values\":{}}", 400, "empty");
    fake_expect_failure(agent, "template_rendering", "{\"template\":\"{{a}}\",\"values\":{\"a\":[]}}", 400,
                        "\"a\" has no value");
    done();
}

Test(convert, csv_to_json_and_back)
{
    static const char *const tables[][2] = {
        {"a,b\\n1,2\\n", "{\"rows\":[{\"a\":\"1\",\"b\":\"2\"}]}"},
        {"a,b\\r\\n1,2", "{\"rows\":[{\"a\":\"1\",\"b\":\"2\"}]}"},
        {"a\\n\\\"x\\\"\\\"y\\nz,\\\"\\n", "{\"rows\":[{\"a\":\"x\\\"y\\nz,\"}]}"},
        {"a,b\\n,\\n", "{\"rows\":[{\"a\":\"\",\"b\":\"\"}]}"},
        {"a\\n", "{\"rows\":[]}"},
        {"", "{\"rows\":[]}"},
        {"\\uFEFFa,b\\n1,2\\n", "{\"rows\":[{\"a\":\"1\",\"b\":\"2\"}]}"},
        {"a,b\\r1,2\\r3,4\\r", "{\"rows\":[{\"a\":\"1\",\"b\":\"2\"},{\"a\":\"3\",\"b\":\"4\"}]}"},
        {"a,b\\r\\n\\r\\n1,2\\r\\n\\r\\n", "{\"rows\":[{\"a\":\"1\",\"b\":\"2\"}]}"},
        {"a\\n\\\"\\\"\\n\\n1\\n", "{\"rows\":[{\"a\":\"\"},{\"a\":\"1\"}]}"},
    };
    open_kind("convert", NULL);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char request[200];
        snprintf(request, sizeof request, "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"%s\"}", tables[i][0]);
        fake_expect(agent, "format_conversion", request, tables[i][1]);
    }
    fake_expect(agent, "format_conversion",
                "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[{\"a\":\"x,\\\"y\\\"\",\"b\":1.5},{\"b\":null}]}",
                "{\"text\":\"a,b\\r\\n\\\"x,\\\"\\\"y\\\"\\\"\\\",1.5\\r\\n,\\r\\n\"}");
    fake_expect(agent, "format_conversion", "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[]}", "{\"text\":\"\"}");
    fake_expect(agent, "format_conversion", "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[{\"a\":\"\"},{\"a\":null},{\"a\":1}]}",
                "{\"text\":\"a\\r\\n\\\"\\\"\\r\\n\\\"\\\"\\r\\n1\\r\\n\"}");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"a,b,a\\n1,2,3\"}", 400,
                        "names the column \"a\" twice");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"a\\n1,2\"}", 400,
                        "row 2 has 2 fields");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"\\\"a\"}", 400,
                        "quote is not closed");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"a\\n\\\"x\"}", 400,
                        "quote is not closed"); /* in a row behind the first */
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[{\"a\":1},{\"c\":1}]}",
                        400, "\"c\"");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"json\",\"to\":\"csv\",\"rows\":[7]}", 400,
                        "not an object");
    fake_expect_failure(agent, "format_conversion", "{\"from\":\"xml\",\"to\":\"csv\"}", 400, "\"from\" is \"xml\"; csv, "
                        "json are allowed");
    done();
}

Test(code_metrics, counts_lines)
{
    open_kind("code_metrics", NULL);
    fake_expect(
        agent, "code_analysis", "{\"language\":\"c\",\"source\":\"\"}",
        "{\"lines\":0,\"blank\":0,\"comment\":0,\"code\":0,\"longest_line\":0,\"deepest\":0,\"balanced\":true}");
    fake_expect(
        agent, "code_analysis",
        "{\"language\":\"c\",\"source\":\"/* a\\n * { */ int x;\\nchar *s = \\\"/* }\\\\\\\"{\\\";\\n//{\\n\"}",
        "{\"lines\":4,\"blank\":0,\"comment\":2,\"code\":2,\"longest_line\":20,\"deepest\":0,\"balanced\":true}");
    fake_expect_part(agent, "code_analysis", "{\"language\":\"c\",\"source\":\"}{\"}", "\"balanced\":false");
    fake_expect_part(agent, "code_analysis", "{\"language\":\"c\",\"source\":\"{{}\"}",
                     "\"deepest\":2,\"balanced\":false");
    fake_expect_part(agent, "code_analysis", "{\"language\":\"c\",\"source\":\"/* open\"}", "\"balanced\":false");
    static const char *const balanced[] = {
        "int a[] = {1'000, 0xFF'FF'FFu, 1'0};",        /* separators */
        "char *s = \\\"{\\\\\\n{{\\\";",               /* a string that a backslash continues */
        "// { \\\\\\n still a comment {\\nint x;",       /* and a comment */
        "char c = '{', d = '\\\\'', e = L'}';\\r\\n{\\r\\n}", "#error don't {\\n}",
    };
    for (size_t i = 0; i < sizeof balanced / sizeof *balanced; i++) {
        char request[200];
        snprintf(request, sizeof request, "{\"language\":\"c\",\"source\":\"%s\"}", balanced[i]);
        fake_expect_part(agent, "code_analysis", request, i < 4 ? "\"balanced\":true" : "\"balanced\":false");
    }
    fake_expect_part(agent, "code_analysis", "{\"language\":\"c\",\"source\":\"\\\"open\\\\\\n\"}", "\"balanced\":false");
    fake_expect_part(agent, "code_analysis", "{\"language\":\"c\",\"source\":\"\\\"\\\\\"}",
                     "\"code\":1"); /* ends in a literal */
    fake_expect(
        agent, "code_analysis", "{\"language\":\"hash\",\"source\":\"# c\\ndef f():\\n  if x:\\n    y # z\\n\\n\"}",
        "{\"lines\":5,\"blank\":1,\"comment\":1,\"code\":3,\"longest_line\":9,\"deepest\":2,\"balanced\":true}");
    fake_expect_failure(agent, "code_analysis", "{\"language\":\"cobol\",\"source\":\"\"}", 400,
                        "\"language\" is \"cobol\"; c, hash are allowed");
    done();
}

/* The process has the locale C: words and columns are those of UTF-8 all the same. */
Test(plain_text, counts_and_aligns_characters)
{
    static const struct fake_key config[] = {{"tab", NULL, 4, NULL}, {NULL, NULL, 0, NULL}};
    open_kind("plain_text", config);
    fake_expect(agent, "text_metrics", "", "      0       0       0\n");
    fake_expect(agent, "text_metrics", "\xC3\xA9 \xC3\xBC\n", "      1       2       6\n");
    fake_expect(agent, "text_metrics", "a\xC2\xA0" "b\xE2\x80\x83" "c", "      0       3       8\n"); /* wide and fixed spaces */
    fake_expect(agent, "text_metrics", "\x01 \xFF \xE9t\xE9", "      0       2       7\n");          /* Latin-1 is a word, too */
    fake_expect(agent, "code_formatting", "\xC3\xA9\tx\n\tx\nabcd\tx", "\xC3\xA9   x\n    x\nabcd    x");
    fake_expect(agent, "code_formatting", "e\xCC\x81\tx", "e\xCC\x81   x");            /* combining */
    fake_expect(agent, "code_formatting", "\xE8\x9C\x82\tx", "\xE8\x9C\x82  x");      /* wide */
    fake_expect(agent, "code_formatting", "\xFF\tx\r\n\tx", "\xFF   x\r\n    x");
    fake_expect_failure(agent, "other", "", 404, "which its kind does not have");
    done();
}

/* ---- ml ---------------------------------------------------------------------------------------------------------- */

Test(regression, fits_and_predicts)
{
    open_kind("regression", NULL);
    fake_expect(agent, "model_training", "{\"points\":[[1,1],[2,2],[3,2]]}",
                "{\"name\":null,\"slope\":0.5,\"intercept\":0.6666666666666667,\"r2\":0.75,\"points\":3}");
    fake_expect(agent, "model_training", "{\"points\":[[1,4],[2,4]]}",
                "{\"name\":null,\"slope\":0.0,\"intercept\":4.0,\"r2\":1.0,\"points\":2}");
    fake_expect(agent, "prediction", "{\"slope\":2,\"intercept\":1,\"x\":[0,1.5]}", "{\"y\":[1.0,4.0]}");
    fake_expect_failure(agent, "prediction", "{\"name\":\"nobody\",\"x\":[0]}", 404, "no model \"nobody\"");
    fake_expect_failure(agent, "prediction", "{\"slope\":1e308,\"intercept\":1e308,\"x\":[1e300]}", 400, "too large");
    fake_expect_failure(agent, "prediction", "{\"slope\":1,\"intercept\":1,\"x\":[]}", 400, "\"x\" has 0 items; 1 to 100000 "
                        "are allowed");
    fake_expect_failure(agent, "prediction", "{\"slope\":1,\"intercept\":1,\"x\":[\"a\"]}", 400,
                        "\"x/0\" is not a number");
    fake_expect_failure(agent, "model_training", "{\"points\":[[1,1]]}", 400, "\"points\" has 1 items; 2 to 100000 are allowed");
    fake_expect_failure(agent, "model_training", "{\"points\":[[1,1],[1,2]]}", 400, "differ in x");
    fake_expect_failure(agent, "model_training", "{\"points\":[[1,1,1],[2,2,2]]}", 400, "\"points/0\" has 3 items; 2 are wanted");
    fake_expect_failure(agent, "model_training", "{\"points\":[[1,1],[2]]}", 400, "\"points/1\" has 1 items; 2 are wanted");
    fake_expect_failure(agent, "model_training", "{\"points\":[[1e308,1],[-1e308,2]]}", 400, "out of range");
    fake_expect_failure(agent, "model_training", "{\"name\":\"\",\"points\":[[1,1],[2,2]]}", 400, "\"name\" has 0 "
                        "characters; 1 to 64 are allowed");
    done();
}

Test(clusters, are_the_same_every_time)
{
    open_kind("clusters", NULL);
    for (int i = 0; i < 2; i++)
        fake_expect(agent, "clustering", "{\"points\":[[0],[9],[1],[10],[11]],\"k\":2}",
                    "{\"centres\":[[0.5],[10.0]],\"cluster\":[0,1,0,1,1],\"inertia\":2.5,\"rounds\":1}");
    fake_expect_part(agent, "clustering", "{\"points\":[[1,1]],\"k\":5}", "{\"centres\":[[1.0,1.0]],\"cluster\":[0]");
    fake_expect_part(agent, "clustering", "{\"points\":[[1],[1],[1]],\"k\":3}", "\"cluster\":[0,0,0]");
    fake_expect_failure(agent, "clustering", "{\"points\":[[1]],\"k\":0}", 400, "1 to 64");
    fake_expect_failure(agent, "clustering", "{\"points\":[[]]}", 400, "\"points/0\" has 0 items; 1 to 64 are allowed");
    fake_expect_failure(agent, "clustering", "{\"points\":7}", 400, "not a list");
    done();
}

Test(statistics, describe)
{
    open_kind("statistics", NULL);
    fake_expect(agent, "statistics", "{\"values\":[7]}",
                "{\"n\":1,\"sum\":7.0,\"mean\":7.0,\"stddev\":0.0,\"min\":7.0,\"median\":7.0,\"max\":7.0}");
    fake_expect(agent, "statistics", "{\"values\":[3,1,2]}",
                "{\"n\":3,\"sum\":6.0,\"mean\":2.0,\"stddev\":1.0,\"min\":1.0,\"median\":2.0,\"max\":3.0}");
    fake_expect(agent, "statistics", "{\"values\":[9007199254740993,-9007199254740993]}",
                "{\"n\":2,\"sum\":0.0,\"mean\":0.0,\"stddev\":12738103345051546.0,\"min\":-9007199254740993,\"median\":0.0,"
                "\"max\":9007199254740993}");
    fake_expect_failure(agent, "statistics", "{\"values\":[1e308,1e308]}", 400, "too large");
    done();
}
