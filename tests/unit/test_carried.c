/* What a task carries with it: hops that end a circle, and the trace that it belongs to. */
#include "tests/unit/worker_fixture.h"

#include "registry/client/carried.h"

TestSuite(carried, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/* ---- a task says its trace, and delegates one that does ---------------------------------------------------------- */

static void trace_reply(apiary_job_t *job)
{
    char text[APIARY_TRACE_TEXT];
    apiary_trace_t trace;

    if (apiary_job_trace(job, &trace) == 1) apiary_trace_format(&trace, text);
    else snprintf(text, sizeof text, "none");
    apiary_job_reply(job, text, strlen(text));
}

static void trace_answer(void *state, apiary_job_t *job)
{
    (void)state;
    trace_reply(job);
}
KIND(trace, create_nothing, trace_answer, NULL);

static void pass_on(void *job, const apiary_result_t *result)
{
    uint32_t code = result->code == APIARY_EAGENT ? result->agent_code : (uint32_t)-result->code;

    if (result->code != 0) apiary_job_fail(job, code, "%.*s", (int)result->size, (const char *)result->data);
    else apiary_job_reply(job, result->data, result->size);
}

static apiary_agent_t *asker;

/* From a callback: it is still for the same task. */
static void ask_again(void *job, const apiary_result_t *result)
{
    (void)result;
    cr_expect_eq(apiary_agent_delegate_external_task(asker, "trace", "", 0, NULL, pass_on, job), 0);
}

static void ask_late(void *job, uint32_t events)
{
    (void)events;
    cr_expect_eq(apiary_agent_delegate_external_task(asker, "trace", "", 0, NULL, pass_on, job), 0);
}

/* 'c': in the callback of another; 't': from a timer; 'o': with a trace of its own; 'h': with more hops than there are. */
static void ask(void *state, apiary_job_t *job)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    size_t size;
    const char *how = apiary_job_data(job, &size);
    int r;

    asker = state;
    switch (size > 0 ? *how : 0) {
    case 'c': r = apiary_agent_delegate_external_task(state, "trace", "", 0, NULL, ask_again, job); break;
    case 't': r = apiary_watch_timer(state, 1000, ask_late, job, NULL); break;
    case 'o':
        memset(o.trace.trace_id, 0x77, sizeof o.trace.trace_id);
        memset(o.trace.parent_id, 0x33, sizeof o.trace.parent_id);
        r = apiary_agent_delegate_external_task(state, "trace", "", 0, &o, pass_on, job);
        break;
    case 'h':
        o.hops = 5;
        r = apiary_agent_delegate_external_task(state, "circle", "", 0, &o, pass_on, job);
        break;
    default: r = apiary_agent_delegate_external_task(state, "trace", "", 0, NULL, pass_on, job); break;
    }
    if (r < 0) apiary_job_fail(job, (uint32_t)-r, "%s", apiary_error_name(r));
}
KIND(ask, create_nothing, ask, NULL);

/* Asks itself, as long as that is allowed. */
static void circle(void *state, apiary_job_t *job)
{
    int r = apiary_agent_execute_task(state, "circle", "", 0, NULL, pass_on, job);

    ap_add_relaxed(&handled, 1);
    if (r < 0) apiary_job_fail(job, (uint32_t)-r, "%s", apiary_error_name(r));
}
KIND(circle, create_nothing, circle, NULL);

static apiary_queen_t *start_carrying(void)
{
    static const char *const trace_caps[] = {"trace", NULL}, *const ask_caps[] = {"ask", NULL},
                      *const circle_caps[] = {"circle", NULL};
    static const apiary_agent_description_t agents[] = {
        {.name = "trace", .kind = &trace_kind, .capabilities = trace_caps},
        {.name = "ask", .kind = &ask_kind, .capabilities = ask_caps},
        {.name = "circle", .kind = &circle_kind, .capabilities = circle_caps},
    };
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "carrying", .agents = agents, .agent_count = 3,
                                          .log = log_line};
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    return q;
}

static int ask_for(const char *capability, const char *how, const apiary_delegate_options_t *o, char ret[64], apiary_task_t *task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int code;

    cr_assert_eq(apiary_delegate(a, capability, how, strlen(how), o, task), 0);
    cr_assert_eq(apiary_await(a, *task, LONG, &result), 0);
    code = result.code != APIARY_EAGENT ? result.code : -(int)result.agent_code;
    snprintf(ret, 64, "%.*s", (int)result.size, (const char *)result.data);
    apiary_release(a, &result);
    return code;
}

static apiary_delegate_options_t traced(void)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o};

    cr_assert_eq(apiary_trace_parse(traceparent, &o.trace), 0);
    return o;
}

Test(carried, a_trace_goes_on_with_the_task_as_its_parent)
{
    apiary_queen_t *q = start_carrying();
    apiary_delegate_options_t o = traced();
    char text[64], expected[64];
    apiary_task_t task;

    cr_expect_eq(ask_for("trace", "", NULL, text, &task), 0);
    cr_expect_str_eq(text, "none");
    cr_expect_eq(ask_for("trace", "", &o, text, &task), 0);
    snprintf(expected, sizeof expected, "%.36s%016llx-01", traceparent, (unsigned long long)AP_REF(task.slot, task.generation));
    cr_expect_str_eq(text, expected);
    cr_expect_eq(ask_for("trace", "", NULL, text, &task), 0);
    cr_expect_str_eq(text, "none", "it is not the former task's");
    for (const char *const *how = (const char *const[]){"", "c", "t", NULL}; *how != NULL; how++) {
        cr_expect_eq(ask_for("ask", *how, &o, text, &task), 0);
        cr_expect_eq(strncmp(text, traceparent, 36), 0, "%s: %s", *how, text);
        cr_expect_neq(strncmp(text, expected, 52), 0, "another span");
        cr_expect_eq(ask_for("ask", *how, NULL, text, &task), 0);
        cr_expect_str_eq(text, "none");
    }
    cr_expect_eq(ask_for("ask", "o", &o, text, &task), 0);
    cr_expect_eq(strncmp(text, "00-77777777777777777777777777777777-", 36), 0, "its own options go before: %s", text);
    cr_expect_eq(apiary_queen_stop(q, 0), 0);
}

Test(carried, a_circle_comes_to_an_end)
{
    apiary_queen_t *q = start_carrying();
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    char text[64];
    apiary_task_t task;

    cr_expect_eq(ask_for("circle", "", NULL, text, &task), APIARY_EHOPS);
    cr_expect_eq(ap_load_relaxed(&handled), (int)AP_HOPS);
    for (uint32_t hops = 1; hops < 4; hops++) {
        ap_store_relaxed(&handled, 0);
        o.hops = hops;
        cr_expect_eq(ask_for("circle", "", &o, text, &task), APIARY_EHOPS);
        cr_expect_eq(ap_load_relaxed(&handled), (int)hops);
        ap_store_relaxed(&handled, 0);
        cr_expect_eq(ask_for("ask", "h", &o, text, &task), APIARY_EHOPS);
        cr_expect_eq(ap_load_relaxed(&handled), (int)hops - 1, "an agent cannot give more than it has");
    }
    ap_store_relaxed(&handled, 0);
    o.hops = 40;
    cr_expect_eq(ask_for("ask", "h", &o, text, &task), APIARY_EHOPS);
    cr_expect_eq(ap_load_relaxed(&handled), 5, "but less");
    cr_expect_eq(apiary_queen_stop(q, 0), 0);
}

Test(carried, what_cannot_be_is_refused)
{
    apiary_delegate_options_t o = traced();
    apiary_queen_t *q = start_carrying();
    apiary_trace_t trace;
    apiary_task_t task;

    o.trace.reserved[6] = 1;
    cr_expect_eq(apiary_delegate(a, "trace", "", 0, &o, &task), APIARY_EINVAL);
    o = traced();
    memset(o.trace.parent_id, 0, sizeof o.trace.parent_id);
    cr_expect_eq(apiary_delegate(a, "trace", "", 0, &o, &task), APIARY_EINVAL);
    o = traced();
    memset(o.trace.trace_id, 0, sizeof o.trace.trace_id);
    cr_expect_eq(apiary_delegate(a, "trace", "", 0, &o, &task), APIARY_EINVAL);
    o = (apiary_delegate_options_t){.struct_size = sizeof o, .trace = {.flags = 1}};
    cr_expect_eq(apiary_delegate(a, "trace", "", 0, &o, &task), APIARY_EINVAL);
    o = (apiary_delegate_options_t){.struct_size = sizeof o, .hops = UINT32_MAX};
    cr_expect_eq(apiary_delegate(a, "trace", "", 0, &o, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_job_trace(NULL, &trace), APIARY_EINVAL);
    cr_expect_eq(apiary_queen_stop(q, 0), 0);
}

/* ---- the text --------------------------------------------------------------------------------------------------- */

Test(carried, text_of_a_trace)
{
    static const char *const bad[] = {
        "", "00", "00-", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    };
    char text[APIARY_TRACE_TEXT];
    apiary_trace_t trace = {.flags = 7};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(apiary_trace_parse(bad[i], &trace), APIARY_EINVAL, "%s", bad[i]);
    cr_expect_eq(apiary_trace_parse(NULL, &trace), APIARY_EINVAL);
    cr_expect_eq(apiary_trace_parse(traceparent, NULL), APIARY_EINVAL);
    cr_expect_eq(trace.flags, 7, "untouched");
    cr_expect_eq(apiary_trace_parse(traceparent, &trace), 0);
    cr_expect_eq(trace.trace_id[0], 0x0a);
    cr_expect_eq(trace.parent_id[7], 0x31);
    cr_expect_eq(trace.flags, 1);
    apiary_trace_format(&trace, text);
    cr_expect_str_eq(text, traceparent);
    cr_expect_eq(apiary_trace_parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", &trace), 0, "a later version");
    cr_expect_eq(apiary_trace_parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &trace), 0);
}

/* Two of the largest make no sum that is out of range. */
Test(carried, each_time_has_its_largest)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o};
    uint64_t *const times[] = {&o.delay, &o.due_at, &o.schedule_to_start, &o.start_to_close, &o.heartbeat, &o.hedge};

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        *times[i] = UINT64_MAX / 4;
        cr_expect_eq(ap_carried_judge(&o), 0, "%zu", i);
        *times[i] = UINT64_MAX / 4 + 1;
        cr_expect_eq(ap_carried_judge(&o), APIARY_EINVAL, "%zu", i);
        *times[i] = 0;
    }
}

/* A row is a task's when generation and epoch are, and is believed when all that it says is possible. */
Test(carried, a_row_is_of_one_task)
{
    const apiary_task_t task = {.slot = 3, .epoch = 2, .generation = 5};
    struct ap_carried *row = ap_carried_at(a->seg, task.slot), said, ret;

    ap_carried_read(a->seg, (apiary_task_t){.slot = 3, .epoch = 9, .generation = 9}, &said);
    said.generation = 5;
    said.epoch = 2;
    said.key = 77;
    *row = said;
    cr_expect(ap_carried_read(a->seg, task, &ret));
    cr_expect_eq(ret.key, 77);
    row->generation = 6;
    cr_expect_not(ap_carried_read(a->seg, task, &ret), "of a later one");
    cr_expect(ret.key == 0 && ret.generation == 5 && ret.epoch == 2);
    row->generation = 5;
    row->epoch = 3;
    cr_expect_not(ap_carried_read(a->seg, task, &ret), "of another lease of the slab");
    cr_expect_eq(ret.key, 0);
    row->epoch = 2;
    row->hops = UINT32_MAX;
    cr_expect_not(ap_carried_read(a->seg, task, &ret), "written over");
    cr_expect_eq(ret.key, 0);
}
