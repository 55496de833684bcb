/* tests/unit/test_kinds_delegating.c - the kinds that hand on to others: workflow, batch, gateway; and the schedule. */
#include "tests/unit/fake_agent.h"

static struct apiary_agent *agent, *text, *sorter, *copy;

static void open_with(const char *kind, const struct fake_key *config)
{
    static const char *const sort_command[] = {"sort", NULL}, *const cat_command[] = {"cat", NULL};
    static const struct fake_key sort[] = {{"command", NULL, 0, sort_command}, {NULL, NULL, 0, NULL}},
                                 cat[] = {{"command", NULL, 0, cat_command}, {NULL, NULL, 0, NULL}};
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), 0, "%s", agent->log);
    cr_assert_eq(fake_create("text", NULL, &text), 0);
    cr_assert_eq(fake_create("exec", sort, &sorter), 0);
    cr_assert_eq(fake_create("exec", cat, &copy), 0);
    fake_offer("html_escaping", text);
    fake_offer("template_rendering", text);
    fake_offer("line_sorting", sorter);
    fake_offer("copy", copy);
}

static void done(void)
{
    fake_destroy(agent);
    fake_destroy(text);
    fake_destroy(sorter);
    fake_destroy(copy);
    fake_close();
}

Test(workflow, passes_each_output_on)
{
    open_with("workflow", NULL);
    fake_expect(
        agent, "workflow_execution",
        "{\"steps\":[{\"capability\":\"line_sorting\"},{\"capability\":\"html_escaping\"}],\"input\":\"<\\n&\\n\"}",
        "{\"steps\":[{\"capability\":\"line_sorting\",\"output\":\"&\\n<\\n\"},{\"capability\":\"html_escaping\","
        "\"output\":\"&amp;\\n&lt;\\n\"}],\"output\":\"&amp;\\n&lt;\\n\"}");
    /* JSON goes and comes as such. */
    fake_expect(agent, "workflow_execution",
                "{\"steps\":[{\"capability\":\"template_rendering\",\"input\":{\"template\":\"[{{n}}]\","
                "\"values\":{\"n\":3}}},{\"capability\":\"line_sorting\"}]}",
                "{\"steps\":[{\"capability\":\"template_rendering\",\"output\":[3]},{\"capability\":\"line_sorting\","
                "\"output\":[3]}],"
                "\"output\":[3]}");
    done();
}

Test(workflow, the_first_failure_ends_it)
{
    open_with("workflow", NULL);
    fake_expect_failure(agent, "workflow_execution",
                        "{\"steps\":[{\"capability\":\"html_escaping\"},{\"capability\":\"template_rendering\"},"
                        "{\"capability\":\"html_escaping\"}],\"input\":\"x\"}",
                        400, "step 2: template_rendering: the request is not JSON");
    fake_expect_failure(agent, "workflow_execution", "{\"steps\":[{\"capability\":\"nobody\"}]}", 502,
                        "step 1: nobody: nobody has ever offered");
    fake_expect_failure(agent, "workflow_execution", "{\"steps\":[]}", 400, "\"steps\" has 0 items; 1 to 32 are allowed");
    fake_expect_failure(agent, "workflow_execution", "{\"steps\":[{}]}", 400, "\"steps/0/capability\" is missing; a text is "
                        "wanted");
    fake_expect_failure(agent, "workflow_execution", "{}", 400, "\"steps\" is missing");
    done();
}

Test(workflow, a_cancelled_or_late_one_goes_no_further)
{
    open_with("workflow", NULL);
    const char *request =
        "{\"steps\":[{\"capability\":\"line_sorting\"},{\"capability\":\"html_escaping\"}],\"input\":\"x\"}";
    struct apiary_job *job = fake_submit(agent, "workflow_execution", request, strlen(request));
    fake_turn(); /* the first step is delegated */
    cr_assert(!job->finished);
    job->cancelled = true;
    fake_finish(job);
    cr_assert(job->failed);
    cr_assert_not_null(strstr(job->data, "step 2: html_escaping: the task was cancelled"), "%s", job->data);
    fake_free(job);
    job = fake_submit(agent, "workflow_execution", request, strlen(request));
    job->deadline = 1;
    fake_finish(job);
    cr_assert_eq(job->code, 504, "%s", job->data);
    fake_free(job);
    done();
}

Test(batch, keeps_the_order_and_the_failures)
{
    open_with("batch", NULL);
    fake_expect(agent, "task_execution",
                "{\"capability\":\"template_rendering\",\"inputs\":[{\"template\":\"a\",\"values\":{}},\"rubbish\","
                "{\"template\":\"c\",\"values\":{}}]}",
                "{\"done\":2,\"failed\":1,\"outputs\":[{\"output\":\"a\"},{\"error\":\"template_rendering: the request "
                "is not JSON: line 1, "
                "column 7: '[' or '{' expected near 'rubbish'\"},{\"output\":\"c\"}]}");
    fake_expect(agent, "task_execution", "{\"capability\":\"html_escaping\",\"inputs\":[]}",
                "{\"done\":0,\"failed\":0,\"outputs\":[]}");
    fake_expect_part(agent, "task_execution", "{\"capability\":\"nobody\",\"inputs\":[\"a\",\"b\"]}",
                     "{\"done\":0,\"failed\":2,");
    fake_expect_failure(agent, "task_execution", "{\"capability\":\"x\",\"inputs\":[],\"parallel\":0}", 400,
                        "parallel");
    done();
}

Test(batch, runs_at_most_so_many_at_once)
{
    enum { COUNT = 100 };
    char request[2000] = "{\"capability\":\"html_escaping\",\"parallel\":3,\"inputs\":[";
    open_with("batch", NULL);
    for (int i = 0; i < COUNT; i++)
        snprintf(request + strlen(request), 16, "%s\"i%d\"", i ? "," : "", i);
    strcat(request, "]}");
    struct apiary_job *job = fake_submit(agent, "task_execution", request, strlen(request));
    while (!job->finished) {
        int waiting = 0;
        for (struct apiary_job *j = fake.queue; j; j = j->next)
            waiting += j->done != NULL;
        cr_assert_leq(waiting, 3, "%d at once", waiting);
        fake_turn();
    }
    cr_assert_not_null(strstr(job->data, "{\"done\":100,\"failed\":0,"), "%s", job->data);
    cr_assert_not_null(strstr(job->data, "{\"output\":\"i98\"},{\"output\":\"i99\"}]}"), "%s", job->data);
    fake_free(job);
    done();
}

Test(batch, a_full_queue_is_waited_for)
{
    open_with("batch", NULL);
    const char *request = "{\"capability\":\"html_escaping\",\"inputs\":[\"a\",\"b\",\"c\"],\"parallel\":3}";
    struct apiary_job *job = fake_submit(agent, "task_execution", request, strlen(request));
    fake.refuse = APIARY_ERATE; /* as any refusal because of load */
    fake.accepts = 1;
    fake_turn(); /* the first is taken, the others have to wait for it */
    cr_assert(!job->finished);
    fake.refuse = 0;
    fake_finish(job);
    cr_assert_str_eq(
        job->data, "{\"done\":3,\"failed\":0,\"outputs\":[{\"output\":\"a\"},{\"output\":\"b\"},{\"output\":\"c\"}]}");
    fake_free(job);
    job = fake_submit(agent, "task_execution", request, strlen(request));
    fake.refuse = APIARY_EQUEUEFULL;
    fake.accepts = 0;
    fake_turn();
    cr_assert(!job->finished, "nothing runs, but there will be room: %s", job->data);
    fake.accepts = 2; /* asked again, one by one */
    while (fake.accepts >= 0)
        fake_turn();
    fake.accepts = 1000;
    fake_finish(job);
    cr_assert_not_null(strstr(job->data, "{\"done\":3,\"failed\":0,"), "%s", job->data);
    fake_free(job);
    done();
}

Test(batch, waiting_for_room_ends_with_the_task)
{
    open_with("batch", NULL);
    const char *request = "{\"capability\":\"html_escaping\",\"inputs\":[\"a\",\"b\"]}";
    struct apiary_job *job = fake_submit(agent, "task_execution", request, strlen(request));
    fake.refuse = APIARY_EQUEUEFULL;
    fake_turn();
    cr_assert(!job->finished);
    job->deadline = 1;
    fake_finish(job);
    cr_assert_not_null(strstr(job->data, "{\"done\":0,\"failed\":2,"), "%s", job->data);
    fake_free(job);
    done();
}

/* The deployment's bound on delegations refuses a task that was taken at first. */
Test(batch, a_late_refusal_is_tried_again)
{
    open_with("batch", NULL);
    const char *request = "{\"capability\":\"html_escaping\",\"inputs\":[\"a\"]}";
    struct apiary_job *job = fake_submit(agent, "task_execution", request, strlen(request));
    fake.late = APIARY_ELIMIT;
    fake_finish(job);
    cr_assert_str_eq(job->data, "{\"done\":1,\"failed\":0,\"outputs\":[{\"output\":\"a\"}]}");
    fake_free(job);
    done();
}

Test(gateway, a_path_is_a_capability)
{
    const struct fake_key config[] = {
        {"routes", NULL, 0, FAKE_LIST("/escape=html_escaping", "/render=template_rendering", "/gone=nobody")},
        {NULL, NULL, 0, NULL}};
    static const int loads[] = {APIARY_EQUEUEFULL, APIARY_ENOSLOT, APIARY_ENOBLOCK, APIARY_ESHARE, APIARY_ELIMIT,
                                APIARY_EBACKLOG, APIARY_ERATE};
    char part[64];
    open_with("gateway", config);
    fake_expect(agent, "api_gateway", "{\"path\":\"/escape\",\"body\":\"<\"}", "{\"status\":200,\"body\":\"&lt;\"}");
    fake_expect(agent, "api_gateway", "{\"path\":\"/escape\"}", "{\"status\":200,\"body\":\"\"}");
    fake_expect_part(agent, "api_gateway", "{\"path\":\"/render\",\"body\":[]}",
                     "{\"status\":502,\"error\":\"template_rendering: ");
    fake_expect_part(agent, "api_gateway", "{\"path\":\"/gone\"}",
                     "{\"status\":502,\"error\":\"nobody has ever offered");
    fake_expect(agent, "api_gateway", "{\"path\":\"/esc\"}", "{\"status\":404,\"error\":\"no such path\"}");
    fake_expect(agent, "api_gateway", "{\"path\":\"\"}", "{\"status\":404,\"error\":\"no such path\"}");
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        fake.refuse = loads[i];
        snprintf(part, sizeof part, "\"retry_after_ms\":%u}", (unsigned)(apiary_retry_after(loads[i]) / 1000000));
        fake_expect_part(agent, "api_gateway", "{\"path\":\"/escape\"}", "{\"status\":503,");
        fake_expect_part(agent, "api_gateway", "{\"path\":\"/escape\"}", part);
    }
    fake.retry_after = 1500000001;
    fake_expect_part(agent, "api_gateway", "{\"path\":\"/escape\"}", "\"retry_after_ms\":1501}");
    fake.refuse = APIARY_EHOPS;
    fake_expect_part(agent, "api_gateway", "{\"path\":\"/escape\"}", "{\"status\":502,\"error\":\"the task was delegated on too");
    fake.refuse = 0;
    fake.retry_after = 0;
    fake_expect_failure(agent, "api_gateway", "{}", 400, "\"path\" is missing");
    done();
}

Test(gateway, create_refuses_bad_routes)
{
    static const char *const routes[] = {"/x", "x=y", "/x=", NULL};
    for (const char *const *route = routes; *route; route++) {
        const struct fake_key config[] = {{"routes", NULL, 0, FAKE_LIST(*route)}, {NULL, NULL, 0, NULL}};
        fake_open();
        cr_assert_eq(fake_create("gateway", config, &agent), APIARY_ECONFIG);
        cr_assert_not_null(strstr(agent->log, "/PATH=CAPABILITY"), "%s", agent->log);
        agent->state = NULL;
        fake_destroy(agent);
        fake_close();
    }
}

Test(schedule, the_longest_way_goes_first)
{
    open_with("schedule", NULL);
    /* b is short but c hangs on it: it must not wait behind a. */
    fake_expect(
        agent, "task_scheduling",
        "{\"tasks\":{\"a\":{\"takes\":4},\"b\":{\"takes\":1},\"c\":{\"takes\":5,\"after\":[\"b\"]}},\"workers\":2}",
        "{\"length\":6.0,\"critical_path\":6.0,\"schedule\":[{\"task\":\"b\",\"worker\":0,\"start\":0.0,\"end\":1.0},"
        "{\"task\":\"a\",\"worker\":1,\"start\":0.0,\"end\":4.0},{\"task\":\"c\",\"worker\":0,\"start\":1.0,\"end\":6."
        "0}]}");
    fake_expect_part(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1},\"b\":{\"takes\":2}}}",
                     "{\"length\":3.0,\"critical_path\":2.0,");
    fake_expect_failure(agent, "task_scheduling",
                        "{\"tasks\":{\"a\":{\"takes\":1,\"after\":[\"b\"]},\"b\":{\"takes\":1,\"after\":[\"a\"]}}}",
                        400, "circle");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1,\"after\":[\"z\"]}}}", 400,
                        "not a task");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":-1}}}", 400, "\"tasks/a/takes\" is -1; at "
                        "least 0 is allowed");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1},\"b\":{\"takes\":1,\"after\":\"a\"}}}", 400,
                        "\"tasks/b/after\" is not a list");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1,\"befor\":[]}}}", 400, "\"tasks/a/befor\" "
                        "is unknown; known here: takes, after");
    /* `a` is before the circle, `d` behind it: neither is in it. */
    fake_expect_failure(agent, "task_scheduling",
                        "{\"tasks\":{\"a\":{\"takes\":1},\"b\":{\"takes\":1,\"after\":[\"a\",\"c\"]},"
                        "\"c\":{\"takes\":1,\"after\":[\"b\"]},\"d\":{\"takes\":1,\"after\":[\"c\"]}}}",
                        400, "in a circle at \"b\"");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1e308},\"b\":{\"takes\":1e308}}}", 400,
                        "out of range");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{}}", 400, "1 to 256");
    fake_expect_failure(agent, "task_scheduling", "{\"tasks\":{\"a\":{\"takes\":1}},\"workers\":0}", 400, "workers");
    done();
}

/* ---- what others wrote ------------------------------------------------------------------------------------------- */

/* What looks like JSON and would come back as something else, and what is. */
static const struct {
    const char *bytes, *shown;
} outputs[] = {
    {"1.10", "\"1.10\""},
    {"5 ", "\"5 \""},
    {"1E5", "\"1E5\""},
    {"true", "\"true\""},
    {"\\\"a\\\"", "\"\\\"a\\\"\""},
    {"{\\\"a\\\":1,\\\"a\\\":2}", "\"{\\\"a\\\":1,\\\"a\\\":2}\""},
    {"[12345678901234567890123]", "\"[12345678901234567890123]\""},
    {"{\\\"a\\\":[1]}\\n", "{\"a\":[1]}"},
    {"", "\"\""},
};

Test(workflow, what_looks_like_json_goes_on_as_it_is)
{
    open_with("workflow", NULL);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        char request[256], reply[512];
        snprintf(request, sizeof request,
                 "{\"steps\":[{\"capability\":\"copy\"},{\"capability\":\"copy\"}],\"input\":\"%s\"}",
                 outputs[i].bytes);
        snprintf(reply, sizeof reply,
                 "{\"steps\":[{\"capability\":\"copy\",\"output\":%s},{\"capability\":\"copy\",\"output\":%s}],"
                 "\"output\":%s}",
                 outputs[i].shown, outputs[i].shown, outputs[i].shown);
        fake_expect(agent, "workflow_execution", request, reply);
    }
    /* An object is shown as one, but the next step gets the bytes that were written. */
    fake_expect_part(
        agent, "workflow_execution",
        "{\"steps\":[{\"capability\":\"copy\"},{\"capability\":\"html_escaping\"}],\"input\":\"[1.10, \\\"<\\\"]\\n\"}",
        "\"output\":[1.1,\"<\"]},{\"capability\":\"html_escaping\",\"output\":\"[1.10, &quot;&lt;&quot;]\\n\"}");
    done();
}

Test(workflow, bytes_that_are_no_text_go_on_too)
{
    static const char *const pack[] = {"gzip", "-cn", NULL}, *const unpack[] = {"gzip", "-cd", NULL};
    static const struct fake_key packs[] = {{"command", NULL, 0, pack}, {NULL, NULL, 0, NULL}},
                                 unpacks[] = {{"command", NULL, 0, unpack}, {NULL, NULL, 0, NULL}};
    struct apiary_agent *packer, *unpacker;
    open_with("workflow", NULL);
    cr_assert_eq(fake_create("exec", packs, &packer), 0, "%s", packer->log);
    cr_assert_eq(fake_create("exec", unpacks, &unpacker), 0, "%s", unpacker->log);
    fake_offer("pack", packer);
    fake_offer("unpack", unpacker);
    char *reply = fake_call(agent, "workflow_execution",
                            "{\"steps\":[{\"capability\":\"pack\"},{\"capability\":\"unpack\"}],\"input\":\"hello\"}");
    cr_assert_not_null(strstr(reply, "\"output\":null,\"bytes\":"), "%s", reply);
    cr_assert_not_null(strstr(reply, "\"output\":\"hello\"}"), "%s", reply);
    free(reply);
    fake_expect_failure(agent, "workflow_execution", "{\"steps\":[{\"capability\":\"pack\"}],\"input\":\"hello\"}", 502,
                        "step 1: its output, ");
    fake_destroy(packer);
    fake_destroy(unpacker);
    done();
}

Test(relay, batch_and_gateway_show_the_same)
{
    const struct fake_key routes[] = {{"routes", NULL, 0, FAKE_LIST("/copy=copy")}, {NULL, NULL, 0, NULL}};
    char request[256], reply[256];
    open_with("batch", NULL);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        snprintf(request, sizeof request, "{\"capability\":\"copy\",\"inputs\":[\"%s\"]}", outputs[i].bytes);
        snprintf(reply, sizeof reply, "{\"done\":1,\"failed\":0,\"outputs\":[{\"output\":%s}]}", outputs[i].shown);
        fake_expect(agent, "task_execution", request, reply);
    }
    done();
    open_with("gateway", routes);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        snprintf(request, sizeof request, "{\"path\":\"/copy\",\"body\":\"%s\"}", outputs[i].bytes);
        snprintf(reply, sizeof reply, "{\"status\":200,\"body\":%s}", outputs[i].shown);
        fake_expect(agent, "api_gateway", request, reply);
    }
    done();
}

/* ---- options ------------------------------------------------------------------------------------------------------- */

Test(options, are_those_of_the_configuration)
{
    const struct fake_key config[] = {{"routes", NULL, 0, FAKE_LIST("/escape=html_escaping")},
                                      {"timeout", "5s", 0, NULL},
                                      {"retry", "3,backoff=20ms", 0, NULL},
                                      {"start_to_close", "250ms", 0, NULL},
                                      {"wait_for_provider", "true", 0, NULL},
                                      {"parent_close", "request_cancel", 0, NULL},
                                      {NULL, NULL, 0, NULL}};
    open_with("gateway", config);
    fake_expect(agent, "api_gateway", "{\"path\":\"/escape\",\"body\":\"<\"}", "{\"status\":200,\"body\":\"&lt;\"}");
    cr_expect_eq(fake.options.timeout, 5000000000u);
    cr_expect_eq(fake.options.retry.max_attempts, 3);
    cr_expect_eq(fake.options.retry.backoff, 20);
    cr_expect_eq(fake.options.start_to_close, 250000000u);
    cr_expect_eq(fake.options.flags, APIARY_WAIT_FOR_PROVIDER);
    cr_expect_eq(fake.options.parent_close, APIARY_PARENT_REQUEST_CANCEL);
    done();
}

Test(options, of_a_request_come_after_them)
{
    const struct fake_key config[] = {{"timeout", "5s", 0, NULL}, {"retry", "3", 0, NULL}, {NULL, NULL, 0, NULL}};
    open_with("batch", config);
    fake_expect(agent, "task_execution",
                "{\"capability\":\"html_escaping\",\"inputs\":[\"a\"],\"options\":{\"retry\":5,\"heartbeat\":\"2s\","
                "\"hops\":4,\"wait_for_provider\":true}}",
                "{\"done\":1,\"failed\":0,\"outputs\":[{\"output\":\"a\"}]}");
    cr_expect_eq(fake.options.timeout, 5000000000u);
    cr_expect_eq(fake.options.retry.max_attempts, 5);
    cr_expect_eq(fake.options.heartbeat, 2000000000u);
    cr_expect_eq(fake.options.hops, 4);
    cr_expect_eq(fake.options.flags, APIARY_WAIT_FOR_PROVIDER);
    fake_expect_failure(agent, "task_execution",
                        "{\"capability\":\"html_escaping\",\"inputs\":[\"a\"],\"options\":{\"keep\":\"1h\"}}", 400,
                        "options: \"keep\" is unknown");
    fake_expect_failure(agent, "task_execution",
                        "{\"capability\":\"html_escaping\",\"inputs\":[\"a\"],\"options\":{\"retry\":\"often\"}}", 400,
                        "options: \"retry\" cannot be that; it is attempts");
    fake_expect_failure(agent, "task_execution", "{\"capability\":\"html_escaping\",\"inputs\":[],\"options\":3}", 400,
                        "\"options\" is not an object");
    done();
}

Test(options, each_step_has_its_own)
{
    open_with("workflow", NULL);
    fake_expect(agent, "workflow_execution",
                "{\"steps\":[{\"capability\":\"html_escaping\",\"options\":{\"timeout\":\"7s\"}}],\"input\":\"x\"}",
                "{\"steps\":[{\"capability\":\"html_escaping\",\"output\":\"x\"}],\"output\":\"x\"}");
    cr_expect_eq(fake.options.timeout, 7000000000u);
    fake_expect_failure(agent, "workflow_execution",
                        "{\"steps\":[{\"capability\":\"html_escaping\"},{\"capability\":\"html_escaping\","
                        "\"options\":{\"delay\":null}}],\"input\":\"x\"}",
                        400, "\"steps/1/options/delay\" is not a text or a whole number or true or false");
    done();
}
