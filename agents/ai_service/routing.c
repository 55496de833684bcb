/* agents/ai_service/routing.c - kinds "ai_selector" and "ai_providers": the catalogue of models and the choice among them.
 *
 *   llm_routing       {"prompt":"...","skills":["summary"],"max_cost":2} ->
 *                     {"model":M,"provider":P,"cost":C,"context":N,"passed_over":[{"model":..,"because":..}]}
 *                     the cheapest enabled model (the first of equals) that has all skills and room for the prompt's bytes
 *   model_management  {"op":"list"} | {"op":"add","model":{...}} | {"op":"remove","name":M} |
 *                     {"op":"enable"|"disable","name":M} | {"op":"enable"|"disable","provider":P}   -> {"models":[...]}
 * The catalogue is in the swarm's local memory: disabling a provider makes the selector pass over it from the next task on.
 */
#include <string.h>

#include "agents/ai_service/models.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

#define MODELS_MOST 64

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- selector ---------------------------------------------------------------------------------------------------- */

static bool has_skill(const json_t *model, const char *skill)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(model, "skills"), i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), skill) == 0) return true;
    return false;
}

/* NULL when the model will do, else why not. */
static const char *routing_unfit(const json_t *model, const json_t *skills, size_t prompt_size, const json_t *max_cost)
{
    size_t i;
    json_t *skill;
    if (!json_is_true(json_object_get(model, "enabled"))) return "disabled";
    if ((json_int_t)prompt_size > json_integer_value(json_object_get(model, "context"))) return "prompt too long";
    if (max_cost && ap_json_order(json_object_get(model, "cost"), max_cost) > 0) return "too expensive";
    json_array_foreach(skills, i, skill) if (!has_skill(model, json_string_value(skill))) return "lacks a skill";
    return NULL;
}

static void choose(void *state, apiary_job_t *job, const json_t *request)
{
    const char *prompt;
    double unused;
    const json_t *skills = NULL, *best = NULL, *max_cost = json_object_get(request, "max_cost");
    size_t i;
    json_t *item;
    if (!ap_need_text(job, request, "prompt", &prompt)) return;
    if (max_cost && !ap_need_number(job, request, "max_cost", &unused)) return;
    if (json_object_get(request, "skills") && !ap_need_array(job, request, "skills", 16, &skills)) return;
    json_array_foreach(skills, i, item) if (!json_is_string(item))
    {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"skills\" is a list of texts; item %zu is none", i);
        return;
    }
    json_t *models = ap_models_load(state), *passed = json_array();
    json_array_foreach(models, i, item)
    {
        const char *why = routing_unfit(item, skills, strlen(prompt), max_cost);
        if (why)
            json_array_append_new(passed, json_pack("{s:s,s:s}", "model", text_of(item, "model"), "because", why));
        else if (!best || ap_json_order(json_object_get(item, "cost"), json_object_get(best, "cost")) < 0)
            best = item;
    }
    if (best)
        ap_answer(job, "{s:s,s:s,s:O,s:O,s:O}", "model", text_of(best, "model"), "provider", text_of(best, "provider"),
                  "cost", json_object_get(best, "cost"), "context", json_object_get(best, "context"), "passed_over",
                  passed);
    else
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "none of the %zu models fits", json_array_size(models));
    json_decref(passed);
    json_decref(models);
}

const struct ap_function ap_functions_ai_selector[] = {
    {.capability = "llm_routing",
     .call = choose,
     .in = AP_OBJECT("'prompt'", "'prompt':{'type':'string'},"
                      "'skills':{'type':'array','items':{'type':'string'},'maxItems':16},"
                      "'max_cost':{'type':'number'}"),
     .out = AP_OBJECT("'model','provider','cost','context','passed_over'", "'model':{'type':'string'},"
                      "'provider':{'type':'string'},"
                      "'cost':{'type':'number'},"
                      "'context':{'type':'integer'},"
                      "'passed_over':{'type':'array','items':{'type':'object'}}"),
     .bound = "64 models",
     .again = AP_AGAIN_LOOKS,
     .send = "{\"prompt\":\"Sum this up.\",\"skills\":[\"summary\"]}",
     .answer = "{\"model\":\"local-extract\",\"provider\":\"local\",\"cost\":1,\"context\":65536,"
           "\"passed_over\":[{\"model\":\"local-digest\",\"because\":\"lacks a skill\"}]}"},
    {.capability = NULL},
};

static void select_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_ai_selector, state, job);
}

/* ---- providers --------------------------------------------------------------------------------------------------- */

static size_t find_model(const json_t *models, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(models, i, item) if (strcmp(text_of(item, "model"), name) == 0) break;
    return i;
}

static bool routing_add(apiary_job_t *job, const json_t *request, json_t *models)
{
    const char *name, *provider;
    json_t *given = json_object_get(request, "model"), *skills;
    json_int_t context;
    double cost;
    if (json_unpack(given, "{s:s,s:s,s:I,s:F,s:o}", "model", &name, "provider", &provider, "context", &context, "cost",
                    &cost, "skills", &skills) != 0 ||
        !json_is_array(skills)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                        "\"model\" is not {\"model\":text,\"provider\":text,\"context\":whole number,"
                        "\"cost\":number,\"skills\":[texts]}");
        return false;
    }
    if (json_array_size(models) >= MODELS_MOST || find_model(models, name) < json_array_size(models)) {
        apiary_job_fail(job, AP_CODE_CONFLICT, "\"%s\" is there already, or there are %d models", name, MODELS_MOST);
        return false;
    }
    json_array_append_new(models, json_pack("{s:s,s:s,s:I,s:O,s:O,s:b}", "model", name, "provider", provider, "context",
                                            context, "cost", json_object_get(given, "cost"), "skills", skills, "enabled",
                                            1));
    return true;
}

static bool enable(apiary_job_t *job, const json_t *request, json_t *models, bool on)
{
    const char *name = NULL, *provider = NULL;
    size_t i, changed = 0;
    json_t *item;
    if (!ap_may_text(job, request, "name", &name) || !ap_may_text(job, request, "provider", &provider)) return false;
    if (!name == !provider) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "give either \"name\" or \"provider\"");
        return false;
    }
    json_array_foreach(models, i,
                       item) if (strcmp(text_of(item, name ? "model" : "provider"), name ? name : provider) == 0)
    {
        json_object_set_new(item, "enabled", json_boolean(on));
        changed++;
    }
    if (!changed)
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no %s \"%s\"", name ? "model" : "provider",
                        name ? name : provider);
    return changed > 0;
}

static bool remove_model(apiary_job_t *job, const json_t *request, json_t *models)
{
    const char *name;
    if (!ap_need_text(job, request, "name", &name)) return false;
    if (json_array_remove(models, find_model(models, name)) == 0) return true;
    apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no model \"%s\"", name);
    return false;
}

static void routing_manage(void *state, apiary_job_t *job, const json_t *request)
{
    const char *op;
    bool changed = true, done;
    if (!ap_need_text(job, request, "op", &op)) return;
    json_t *models = ap_models_load(state);
    if (!models) {
        ap_out_of_memory(job);
        return;
    }
    if (strcmp(op, "list") == 0)
        done = true, changed = false;
    else if (strcmp(op, "add") == 0)
        done = routing_add(job, request, models);
    else if (strcmp(op, "remove") == 0)
        done = remove_model(job, request, models);
    else if (strcmp(op, "enable") == 0 || strcmp(op, "disable") == 0)
        done = enable(job, request, models, op[0] == 'e');
    else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; list, add, remove, enable, disable are allowed",
                        op);
        done = false;
    }
    int error = done && changed ? ap_models_store(state, models) : 0;
    if (error < 0)
        apiary_job_fail(job, AP_CODE_FULL, "the catalogue cannot be stored: %s", apiary_strerror(error));
    else if (done)
        ap_answer(job, "{s:O}", "models", models);
    json_decref(models);
}

const struct ap_function ap_functions_ai_providers[] = {
    {.capability = "model_management",
     .call = routing_manage,
     .in = "{'oneOf':["
           AP_OBJECT("'op'", "'op':{'const':'list'}") ","
           AP_OBJECT("'op','model'", "'op':{'const':'add'},"
                      "'model':{'type':'object','required':['model','provider','context','cost','skills'],"
           "'properties':{'model':{'type':'string','minLength':1},'provider':{'type':'string'},"
           "'context':{'type':'integer','minimum':0},'cost':{'type':'number'},'skills':{'type':'array',"
           "'items':{'type':'string'},'maxItems':16}},'additionalProperties':false}") ","
           AP_OBJECT("'op','name'", "'op':{'const':'remove'},"
                      "'name':{'type':'string'}") ","
           AP_OBJECT("'op'", "'op':{'enum':['enable','disable']},"
                      "'name':{'type':'string'},"
                      "'provider':{'type':'string'}")
           "]}",
     .out = AP_OBJECT("'models'", "'models':{'type':'array','items':{'type':'object'}}"),
     .bound = "64 models",
     .again = "enables and disables the same; a second add or remove is refused",
     .send = "{\"op\":\"enable\",\"provider\":\"local\"}"},
    {.capability = NULL},
};

static void manage_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_ai_providers, state, job);
}

const apiary_agent_kind_t ap_kind_ai_selector = {
    APIARY_AGENT_KIND,
    .name = "ai_selector",
    .what = "llm_routing: picks the cheapest enabled model that has the skills and room for the prompt",
    .create = ap_create_plain,
    .handle = select_handle,
    .capabilities = (const char *const[]){"llm_routing", NULL},
    .state = APIARY_STATE_QUEEN,
};

const apiary_agent_kind_t ap_kind_ai_providers = {
    APIARY_AGENT_KIND,
    .name = "ai_providers",
    .what = "model_management: the catalogue of models, kept in the swarm's local memory",
    .create = ap_create_plain,
    .handle = manage_handle,
    .capabilities = (const char *const[]){"model_management", NULL},
    .state = APIARY_STATE_QUEEN,
};
