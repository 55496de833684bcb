/* agents/execution_service/workflow.c - kind "workflow": steps in order, each a task for the best provider of its capability.
 *
 *   workflow_execution, workflow_management
 *     {"steps":[{"capability":C,"input":ANY},{"capability":D,"options":{"retry":3}}],"input":ANY} ->
 *     {"steps":[{"capability","output"}],"output":ANY}
 * A step without "input" gets the output of the step before it, byte by byte, the first one the request's "input": a text as
 * its bytes, any other value as JSON. In the reply an output that is an object or a list is shown as such, any other as a
 * text; one between two steps that is not UTF-8 as null with its "bytes", and as the last one it fails the workflow. The
 * first failure ends the workflow and says which step it was; what earlier steps did is not undone. The options of a step are
 * those of agents/kinds/options.h.
 */
#include <stdio.h>
#include <string.h>

#include "agents/kinds/options.h"
#include "agents/kinds/relay.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { STEPS_MOST = 32 };

struct flow {
    apiary_agent_t *agent;
    apiary_job_t *job;
    json_t *request, *done; /* steps with their outputs */
    struct ap_bytes last;   /* the output of the step before, which the next one gets */
    const json_t *steps;
    size_t at;
};

static void end_flow(struct flow *f)
{
    json_decref(f->request);
    json_decref(f->done);
    ap_bytes_free(&f->last);
    apiary_agent_free(f->agent, f);
}

static void workflow_step(struct flow *f);

static const char *workflow_capability_of(const struct flow *f)
{
    return json_string_value(json_object_get(json_array_get(f->steps, f->at), "capability"));
}

static void on_step(void *user, const apiary_result_t *result)
{
    struct flow *f = user;
    const char *capability = workflow_capability_of(f);
    char why[512];
    if (result->code != 0) {
        ap_failure_text(capability, result, why, sizeof why);
        apiary_job_fail(f->job, result->agent_code ? result->agent_code : AP_CODE_UPSTREAM, "step %zu: %s", f->at + 1,
                        why);
        end_flow(f);
        return;
    }
    f->last.size = 0;
    if (!ap_bytes_add(&f->last, result->data, result->size)) {
        ap_out_of_memory(f->job);
        end_flow(f);
        return;
    }
    json_t *output = ap_output_json(result->data, result->size);
    json_array_append_new(f->done, output ? json_pack("{s:s,s:o}", "capability", capability, "output", output)
                                          : json_pack("{s:s,s:n,s:I}", "capability", capability, "output", "bytes",
                                                      (json_int_t)result->size));
    f->at++;
    workflow_step(f);
}

/* false: they are not possible, and the job is failed. */
static bool step_options(const apiary_agent_t *agent, apiary_job_t *job, const json_t *steps, size_t at,
                         apiary_delegate_options_t *ret)
{
    char where[32];
    snprintf(where, sizeof where, "step %zu: ", at + 1);
    ap_options_read(agent, ret);
    return ap_options_add(job, json_array_get(steps, at), where, ret);
}

static void reply(struct flow *f)
{
    const json_t *output = json_object_get(json_array_get(f->done, f->at - 1), "output");
    if (json_is_null(output))
        apiary_job_fail(f->job, AP_CODE_UPSTREAM, "step %zu: its output, %zu bytes, is not UTF-8", f->at, f->last.size);
    else
        ap_answer(f->job, "{s:O,s:O}", "steps", f->done, "output", output);
    end_flow(f);
}

static void workflow_step(struct flow *f)
{
    if (f->at == json_array_size(f->steps)) {
        reply(f);
        return;
    }
    const json_t *input = json_object_get(json_array_get(f->steps, f->at), "input");
    if (!input && f->at == 0) input = json_object_get(f->request, "input");
    apiary_delegate_options_t options;
    if (!step_options(f->agent, f->job, f->steps, f->at, &options)) {
        end_flow(f);
        return;
    }
    int error = input || f->at == 0 ? ap_delegate_json(f->job, workflow_capability_of(f), input, &options, on_step, f)
                                    : apiary_job_delegate(f->job, workflow_capability_of(f), f->last.data, f->last.size,
                                                          &options, on_step, f);
    if (error < 0) {
        apiary_job_fail(f->job, error == APIARY_ETIMEDOUT ? AP_CODE_TIMEOUT : AP_CODE_UPSTREAM, "step %zu: %s: %s",
                        f->at + 1, workflow_capability_of(f), apiary_strerror(error));
        end_flow(f);
    }
}

static void workflow_execute(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *steps;
    apiary_delegate_options_t options;
    json_t *item;
    size_t i;
    if (!ap_need_array(job, request, "steps", STEPS_MOST, &steps)) return;
    json_array_foreach(steps, i, item) if (!json_is_string(json_object_get(item, "capability")))
    {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "step %zu has no \"capability\"", i + 1);
        return;
    }
    for (i = 0; i < json_array_size(steps); i++)
        if (!step_options(state, job, steps, i, &options)) return;
    if (json_array_size(steps) == 0) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"steps\" is empty");
        return;
    }
    struct flow *f = apiary_agent_alloc(state, sizeof *f);
    if (!f) {
        ap_out_of_memory(job);
        return;
    }
    *f = (struct flow){.agent = state,
                       .job = job,
                       .request = json_incref((json_t *)request),
                       .last = {.agent = state},
                       .steps = steps};
    f->done = json_array();
    workflow_step(f);
}

const struct ap_function ap_functions_workflow[] = {
    {.capability = "workflow_execution",
     .call = workflow_execute,
     .in = AP_OBJECT("'steps'", "'steps':{'type':'array','items':{'type':'object','required':['capability'],"
           "'properties':{'capability':{'type':'string','minLength':1,'maxLength':63},'input':{},"
           "'options':{'type':'object','additionalProperties':{'type':['string','integer','boolean']}}},"
           "'additionalProperties':false},'minItems':1,'maxItems':32},"
                      "'input':{}"),
     .out = AP_OBJECT("'steps','output'", "'steps':{'type':'array','items':{'type':'object'}},"
                      "'output':{}"),
     .bound = "32 steps, one at a time",
     .again = "runs every step again",
     .send = "{\"steps\":[{\"capability\":\"html_escaping\",\"input\":\"<\"}]}",
     .answer = "{\"steps\":[{\"capability\":\"html_escaping\",\"output\":\"&lt;\"}],\"output\":\"&lt;\"}"},
    {.capability = "workflow_management",
     .call = workflow_execute,
     .in = AP_OBJECT("'steps'", "'steps':{'type':'array','items':{'type':'object','required':['capability'],"
           "'properties':{'capability':{'type':'string','minLength':1,'maxLength':63},'input':{},"
           "'options':{'type':'object','additionalProperties':{'type':['string','integer','boolean']}}},"
           "'additionalProperties':false},'minItems':1,'maxItems':32},"
                      "'input':{}"),
     .out = AP_OBJECT("'steps','output'", "'steps':{'type':'array','items':{'type':'object'}},"
                      "'output':{}"),
     .bound = "32 steps, one at a time",
     .again = "runs every step again",
     .send = "{\"steps\":[{\"capability\":\"html_escaping\",\"input\":\"<\"}]}",
     .answer = "{\"steps\":[{\"capability\":\"html_escaping\",\"output\":\"&lt;\"}],\"output\":\"&lt;\"}"},
    {.capability = NULL},
};

static void workflow_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_workflow, state, job);
}

static const apiary_agent_key_t keys[] = {AP_OPTION_KEYS, {.name = NULL}};

const apiary_agent_kind_t ap_kind_workflow = {
    APIARY_AGENT_KIND,
    .name = "workflow",
    .what = "workflow_execution, workflow_management: steps in order, each delegated by its capability",
    .keys = keys,
    .create = ap_create_plain,
    .handle = workflow_handle,
    .capabilities = (const char *const[]){"workflow_execution", "workflow_management", NULL},
};
