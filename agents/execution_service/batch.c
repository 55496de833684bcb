/* agents/execution_service/batch.c - kind "batch": one capability over many inputs at once.
 *
 *   task_execution {"capability":C,"inputs":[...],"parallel":8,"options":{"retry":3}} ->
 *     {"done":N,"failed":N,"outputs":[{"output":ANY} or {"error":"..."}]}   in the order of the inputs
 * Inputs and outputs as in workflow.c, options as in agents/kinds/options.h. A failed input does not stop the others. One that is
 * refused because of load waits for its turn, until the task's deadline.
 */
#include <string.h>

#include "agents/kinds/options.h"
#include "agents/kinds/relay.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { INPUTS_MOST = 1000, PARALLEL_MOST = 32 };
#define PAUSE_MOST (50 * (uint64_t)AP_MS)

struct batch;
struct item { /* one input on its way */
    struct batch *batch;
    size_t number;
    struct item *next; /* of those that have their turn again */
};
struct batch {
    apiary_agent_t *agent;
    apiary_job_t *job;
    json_t *request, *outputs;
    const json_t *inputs;
    const char *capability;
    apiary_delegate_options_t options;
    size_t next, running, parallel;
    json_int_t done, failed;
    struct item *again;    /* refused because of load */
    apiary_watch_t *pause; /* until it is tried again; NULL: it is not waited */
    uint64_t after;        /* ns: the next pause */
    bool filling;          /* fill() is on the stack: it is the one that ends the batch */
    struct item items[];
};

static void set_error(struct batch *b, size_t number, const char *text)
{
    json_t *error = json_pack("{s:s}", "error", text);
    json_array_set_new(b->outputs, number, error ? error : json_pack("{s:s}", "error", "its text is not UTF-8"));
    b->failed++;
}

static void batch_fill(struct batch *b);

static void batch_put_back(struct batch *b, struct item *item)
{
    item->next = b->again;
    b->again = item;
}

/* A refusal that came late, so that nothing has run. Where a block is missing something may have. */
static bool refused_late(int error)
{
    return error != APIARY_ENOBLOCK && apiary_retry_after(error) != 0;
}

static void on_item(void *user, const apiary_result_t *result)
{
    struct item *item = user;
    struct batch *b = item->batch;
    char why[512];
    json_t *output = result->code == 0 ? ap_output_json(result->data, result->size) : NULL;
    b->running--;
    if (output) {
        json_array_set_new(b->outputs, item->number, json_pack("{s:o}", "output", output));
        b->done++;
    } else if (result->code == 0) {
        set_error(b, item->number, "the output is not UTF-8");
    } else if (refused_late(result->code)) {
        batch_put_back(b, item);
    } else {
        ap_failure_text(b->capability, result, why, sizeof why);
        set_error(b, item->number, why);
    }
    if (!b->filling) batch_fill(b);
}

static void batch_stop_pause(struct batch *b)
{
    if (b->pause) apiary_watch_close(b->pause);
    b->pause = NULL;
}

static void on_pause(void *user, uint32_t events)
{
    struct batch *b = user;
    (void)events;
    batch_stop_pause(b);
    batch_fill(b);
}

/* There is no room at present: looks again after a pause, and when one of those that run is back. false: it cannot. */
static bool batch_pause(struct batch *b, uint64_t least)
{
    if (b->pause) return true;
    if (b->after < least) b->after = least;
    int error = apiary_watch_timer(b->agent, b->after, on_pause, b, &b->pause);
    if (b->after < PAUSE_MOST) b->after *= 2;
    return error == 0 || b->running > 0;
}

static struct item *batch_take(struct batch *b)
{
    struct item *item = b->again;
    if (item) {
        b->again = item->next;
        return item;
    }
    if (b->next == json_array_size(b->inputs)) return NULL;
    item = &b->items[b->next];
    *item = (struct item){b, b->next++, NULL};
    return item;
}

static void batch_end(struct batch *b)
{
    batch_stop_pause(b);
    ap_answer(b->job, "{s:I,s:I,s:O}", "done", b->done, "failed", b->failed, "outputs", b->outputs);
    json_decref(b->outputs);
    json_decref(b->request);
    apiary_agent_free(b->agent, b);
}

/* Waiting for room ends with the job: past its deadline, or cancelled, it can delegate no more, and the inputs that are left say
 * so. */
static void batch_fill(struct batch *b)
{
    struct item *item;
    b->filling = true;
    while (b->running < b->parallel && (item = batch_take(b))) {
        b->running++;
        int error = ap_delegate_json(b->job, b->capability, json_array_get(b->inputs, item->number), &b->options,
                                     on_item, item);
        if (error == 0) {
            b->after = 0;
            continue;
        }
        b->running--;
        if (apiary_retry_after(error) != 0 && batch_pause(b, apiary_retry_after(error))) {
            batch_put_back(b, item);
            break;
        }
        set_error(b, item->number, apiary_strerror(error));
    }
    b->filling = false;
    if (b->running == 0 && !b->again && b->next == json_array_size(b->inputs)) batch_end(b);
}

static void batch_execute(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *inputs;
    const char *capability;
    apiary_delegate_options_t options;
    int64_t parallel = 8;
    ap_options_read(state, &options);
    if (!ap_need_text(job, request, "capability", &capability) ||
        !ap_need_array(job, request, "inputs", INPUTS_MOST, &inputs) ||
        !ap_may_integer(job, request, "parallel", 1, PARALLEL_MOST, &parallel) ||
        !ap_options_add(job, request, "", &options))
        return;
    size_t count = json_array_size(inputs);
    struct batch *b = apiary_agent_alloc(state, sizeof *b + count * sizeof b->items[0]);
    if (!b) {
        ap_out_of_memory(job);
        return;
    }
    *b = (struct batch){.agent = state,
                        .job = job,
                        .request = json_incref((json_t *)request),
                        .inputs = inputs,
                        .capability = capability,
                        .options = options,
                        .parallel = (size_t)parallel};
    b->outputs = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(b->outputs, json_null());
    batch_fill(b);
}

const struct ap_function ap_functions_batch[] = {
    {.capability = "task_execution",
     .call = batch_execute,
     .in = AP_OBJECT("'capability','inputs'", "'capability':{'type':'string','minLength':1,'maxLength':63},"
                      "'inputs':{'type':'array','items':{},'maxItems':1000},"
                      "'parallel':{'type':'integer','minimum':1,'maximum':32},"
                      "'options':{'type':'object','additionalProperties':{'type':['string','integer','boolean']}}"),
     .out = AP_OBJECT("'done','failed','outputs'", "'done':{'type':'integer'},"
                      "'failed':{'type':'integer'},"
                      "'outputs':{'type':'array','items':{'type':'object'}}"),
     .bound = "1000 inputs, 32 at a time; waits for room until the deadline",
     .again = "runs every input again",
     .send = "{\"capability\":\"html_escaping\",\"inputs\":[\"<\",\">\"]}",
     .answer = "{\"done\":2,\"failed\":0,\"outputs\":[{\"output\":\"&lt;\"},{\"output\":\"&gt;\"}]}"},
    {.capability = NULL},
};

static void batch_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_batch, state, job);
}

static const apiary_agent_key_t keys[] = {AP_OPTION_KEYS, {.name = NULL}};

const apiary_agent_kind_t ap_kind_batch = {
    APIARY_AGENT_KIND,
    .name = "batch",
    .what = "task_execution: one capability over many inputs at once",
    .keys = keys,
    .create = ap_create_plain,
    .handle = batch_handle,
    .capabilities = (const char *const[]){"task_execution", NULL},
};
