/* agents/interface_service/gateway.c - kind "gateway": a path is a capability.
 *
 *   api_gateway {"path":"/digest","body":ANY} -> {"status":200,"body":ANY}
 * `routes` lists PATH=CAPABILITY; the body is delegated there (a text as its bytes, anything else as JSON), with the options of the
 * agent's configuration (agents/kinds/options.h). Unknown paths are
 * {"status":404}, failures of the agent behind {"status":502,"error":"..."}: answers, not failed tasks, as of any gateway. A
 * refusal because of load is {"status":503,"error":"...","retry_after_ms":N}.
 */
#include <string.h>

#include "agents/kinds/options.h"
#include "agents/kinds/relay.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

struct gateway {
    apiary_agent_t *agent;
    apiary_delegate_options_t options;
};

struct passage {
    apiary_agent_t *agent;
    apiary_job_t *job;
    const char *capability;
};

static const char *gateway_capability_of(apiary_agent_t *agent, const char *path)
{
    const char *const *routes = NULL;
    size_t count = apiary_agent_list(agent, "routes", &routes), length = strlen(path);
    for (size_t i = 0; i < count; i++)
        if (strncmp(routes[i], path, length) == 0 && routes[i][length] == '=') return routes[i] + length + 1;
    return NULL;
}

static void gateway_refuse(apiary_job_t *job, int status, const char *text)
{
    ap_answer(job, "{s:i,s:s}", "status", status, "error", text);
}

/* It was not delegated. */
static void gateway_refused(apiary_agent_t *agent, apiary_job_t *job, int error)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    uint64_t after = apiary_retry_after(error);
    if (after == 0) {
        gateway_refuse(job, 502, apiary_strerror(error));
        return;
    }
    if (apiary_refusal(apiary_agent_handle(agent), &refusal) == 0 && refusal.error == error) after = refusal.retry_after;
    ap_answer(job, "{s:i,s:s,s:I}", "status", 503, "error", apiary_strerror(error), "retry_after_ms",
              (json_int_t)((after + 999999) / 1000000));
}

static void on_done(void *user, const apiary_result_t *result)
{
    struct passage *p = user;
    char why[512];
    json_t *body = result->code == 0 ? ap_output_json(result->data, result->size) : NULL;
    if (result->code != 0) {
        ap_failure_text(p->capability, result, why, sizeof why);
        gateway_refuse(p->job, result->code == APIARY_ETIMEDOUT ? 504 : 502, why);
    } else if (!body) {
        gateway_refuse(p->job, 502, "the answer is not UTF-8");
    } else {
        ap_answer(p->job, "{s:i,s:o}", "status", 200, "body", body);
    }
    apiary_agent_free(p->agent, p);
}

static void gateway_pass(void *state, apiary_job_t *job, const json_t *request)
{
    const struct gateway *g = state;
    const char *path, *capability;
    if (!ap_need_text(job, request, "path", &path)) return;
    if (!(capability = gateway_capability_of(g->agent, path))) {
        gateway_refuse(job, 404, "no such path");
        return;
    }
    struct passage *p = apiary_agent_alloc(g->agent, sizeof *p);
    if (!p) {
        ap_out_of_memory(job);
        return;
    }
    *p = (struct passage){g->agent, job, capability};
    int error = ap_delegate_json(job, capability, json_object_get(request, "body"), &g->options, on_done, p);
    if (error < 0) {
        gateway_refused(g->agent, job, error);
        apiary_agent_free(g->agent, p);
    }
}

const struct ap_function ap_functions_gateway[] = {
    {.capability = "api_gateway",
     .call = gateway_pass,
     .in = AP_OBJECT("'path'", "'path':{'type':'string'},"
                      "'body':{}"),
     .out = "{'type':'object','required':['status'],'properties':{'status':{'type':'integer'}}}",
     .bound = "one task",
     .again = "asks the agent behind it again",
     .send = "{\"path\":\"/nowhere\"}",
     .answer = "{\"status\":404,\"error\":\"no such path\"}"},
    {.capability = NULL},
};

static void gateway_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_gateway, state, job);
}

static int gateway_create(apiary_agent_t *agent, void **state)
{
    const char *const *routes = NULL;
    for (size_t i = apiary_agent_list(agent, "routes", &routes); i-- > 0;) {
        size_t path = strcspn(routes[i], "=");
        const char *capability = routes[i] + path + (routes[i][path] == '=');
        if (routes[i][0] != '/' || !*capability ||
            capability[strspn(capability, "abcdefghijklmnopqrstuvwxyz0123456789_.-@")] != '\0')
            return ap_refuse_item(
                agent, "routes", routes[i],
                "is not /PATH=CAPABILITY, one of each; a capability is a word such as scoring or scoring@2");
        for (size_t j = 0; j < i; j++)
            if (strncmp(routes[j], routes[i], path + 1) == 0)
                return ap_refuse_item(agent, "routes", routes[i],
                                      "gives its path a second capability; expected each once");
    }
    struct gateway *g = apiary_agent_alloc(agent, sizeof *g);
    if (!g) return APIARY_ENOBLOCK;
    g->agent = agent;
    ap_options_read(agent, &g->options);
    *state = g;
    return 0;
}

static void gateway_destroy(void *state)
{
    struct gateway *g = state;
    apiary_agent_free(g->agent, g);
}

static const apiary_agent_key_t keys[] = {
    {"routes", 'l', 1, "/PATH=CAPABILITY", 0, 0},
    AP_OPTION_KEYS,
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_gateway = {
    APIARY_AGENT_KIND,
    .name = "gateway",
    .what = "api_gateway: delegates a path's body to the capability that the routes give it",
    .keys = keys,
    .create = gateway_create,
    .handle = gateway_handle,
    .destroy = gateway_destroy,
    .capabilities = (const char *const[]){"api_gateway", NULL},
};
