/* agents/ai_service/cache.c - kind "ai_cache": answers prompts, and keeps the answers in the Storage swarm's cache.
 *
 *   response_cache {"prompt":"...","model":"local-digest"} ->
 *     {"hit":false,"model":M,"answer":A,"key":K,"stored":true,...}  computed here (agents/ai_service/models.h) and put by cache_put
 *     {"hit":true,...,"served_by":PID,"asked_by":PID,"another_process":true}  PID of the process whose cache had it
 * The key is "response:" and the SHA-256 of model and prompt. Without a cache (Storage is down, or full) the answer is
 * computed all the same; "cache" says then why it was not used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/ai_service/models.h"
#include "agents/kinds/options.h"
#include "agents/kinds/relay.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "core/text.h"

#define CACHE_TIMEOUT UINT64_C(5000000000)

struct cache {
    apiary_agent_t *agent;
    const char *get, *put; /* capabilities */
    int64_t ttl_ms;
    apiary_delegate_options_t options;
};

struct question {
    struct cache *cache;
    apiary_job_t *job;
    json_t *request; /* prompt and model live in it */
    const char *prompt, *model;
    json_t *answer;
    char key[80];
    char trouble[128]; /* why the cache was not used; "" */
};

static void end_question(struct question *q, json_t *reply)
{
    if (reply && q->trouble[0]) json_object_set_new(reply, "cache", json_string(q->trouble));
    ap_reply(q->job, reply);
    json_decref(q->answer);
    json_decref(q->request);
    apiary_agent_free(q->cache->agent, q);
}

static void trouble(struct question *q, const char *capability, int error)
{
    ap_format(q->trouble, sizeof q->trouble, "%s: %s", capability, apiary_strerror(error));
}

/* Delegates {"key":...} or the full request to the cache; takes the request over. 0 or an apiary_error. */
static int cache_ask(struct question *q, const char *capability, json_t *request, apiary_done_fn done)
{
    if (!request) return APIARY_ENOBLOCK;
    int error = ap_delegate_json(q->job, capability, request, &q->cache->options, done, q);
    json_decref(request);
    return error;
}

static void finish_computed(struct question *q, bool stored)
{
    end_question(q, json_pack("{s:b,s:s,s:O,s:s,s:b,s:i}", "hit", 0, "model", q->model, "answer", q->answer, "key",
                              q->key, "stored", stored, "asked_by", (int)getpid()));
}

static void on_put(void *user, const apiary_result_t *result)
{
    struct question *q = user;
    if (result->code != 0) trouble(q, q->cache->put, result->code);
    finish_computed(q, result->code == 0);
}

static void compute(struct question *q, bool store)
{
    if (!ap_model_answer(q->model, q->prompt, &q->answer) || !q->answer) {
        end_question(q, NULL); /* the model was checked before: only memory can be missing */
        return;
    }
    if (!store) {
        finish_computed(q, false);
        return;
    }
    json_t *request = json_pack("{s:s,s:O}", "key", q->key, "value", q->answer);
    if (request && q->cache->ttl_ms > 0) json_object_set_new(request, "ttl_ms", json_integer(q->cache->ttl_ms));
    int error = cache_ask(q, q->cache->put, request, on_put);
    if (error < 0) {
        trouble(q, q->cache->put, error);
        finish_computed(q, false);
    }
}

static void on_get(void *user, const apiary_result_t *result)
{
    struct question *q = user;
    json_t *found = result->code == 0 ? json_loadb(result->data, result->size, 0, NULL) : NULL, *value;
    int hit = 0;
    json_int_t pid = 0;
    if (result->code != 0)
        trouble(q, q->cache->get, result->code);
    else if (json_unpack(found, "{s:b,s:I}", "hit", &hit, "served_by", &pid) != 0)
        ap_format(q->trouble, sizeof q->trouble, "%s: its reply is not understood", q->cache->get);
    if (hit && (value = json_object_get(found, "value")) != NULL)
        end_question(q, json_pack("{s:b,s:s,s:O,s:s,s:I,s:i,s:b}", "hit", 1, "model", q->model, "answer", value, "key",
                                  q->key, "served_by", pid, "asked_by", (int)getpid(), "another_process",
                                  pid != getpid()));
    else
        compute(q, !q->trouble[0]);
    json_decref(found);
}

static void make_key(struct question *q)
{
    char hex[65];
    size_t model = strlen(q->model) + 1, prompt = strlen(q->prompt);
    char *both = malloc(model + prompt);
    if (!both) {
        q->key[0] = '\0';
        return;
    }
    memcpy(both, q->model, model); /* with its NUL, so that no two pairs join to the same bytes */
    memcpy(both + model, q->prompt, prompt);
    ap_sha256_hex(both, model + prompt, hex);
    free(both);
    snprintf(q->key, sizeof q->key, "response:%s", hex);
}

static void respond(void *state, apiary_job_t *job, const json_t *request)
{
    struct cache *c = state;
    const char *prompt, *model = "local-digest";
    json_t *known;
    if (!ap_need_text(job, request, "prompt", &prompt) || !ap_may_text(job, request, "model", &model)) return;
    if (!ap_model_answer(model, "", &known)) {
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "no model \"%s\" runs here; local-digest and local-extract do", model);
        return;
    }
    json_decref(known);
    struct question *q = apiary_agent_alloc(c->agent, sizeof *q);
    if (!q) {
        ap_out_of_memory(job);
        return;
    }
    *q = (struct question){
        .cache = c, .job = job, .request = json_incref((json_t *)request), .prompt = prompt, .model = model};
    make_key(q);
    if (!q->key[0]) {
        end_question(q, NULL);
        return;
    }
    int error = cache_ask(q, c->get, json_pack("{s:s}", "key", q->key), on_get);
    if (error < 0) {
        trouble(q, c->get, error);
        compute(q, false);
    }
}

const struct ap_function ap_functions_ai_cache[] = {
    {.capability = "response_cache",
     .call = respond,
     .in = AP_OBJECT("'prompt'", "'prompt':{'type':'string'},"
                      "'model':{'type':'string'}"),
     .out = "{'type':'object','required':['hit','model','answer','key','asked_by']}",
     .bound = "one look at the prompt, two tasks for the cache",
     .again = "gives the same answer, from the cache",
     .send = "{\"prompt\":\"What does a swarm do?\"}"},
    {.capability = NULL},
};

static void cache_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_ai_cache, state, job);
}

static int cache_create(apiary_agent_t *agent, void **state)
{
    struct cache *c = apiary_agent_alloc(agent, sizeof *c);
    if (!c) return APIARY_ENOBLOCK;
    *c = (struct cache){.agent = agent, .get = "cache_get", .put = "cache_put"};
    ap_options_read(agent, &c->options);
    if (c->options.timeout == 0) c->options.timeout = CACHE_TIMEOUT;
    c->ttl_ms = apiary_agent_number(agent, "ttl", 0) / 1000000;
    *state = c;
    return 0;
}

static void cache_destroy(void *state)
{
    struct cache *c = state;
    apiary_agent_free(c->agent, c);
}

static const apiary_agent_key_t keys[] = {
    {"ttl", 'd', 0, "life of an answer in the cache [the cache manager's]", 0, 366 * AP_DAY},
    AP_OPTION_KEYS,
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_ai_cache = {
    APIARY_AGENT_KIND,
    .name = "ai_cache",
    .what = "response_cache: answers of the local deterministic models, kept in the Storage swarm's cache",
    .keys = keys,
    .create = cache_create,
    .handle = cache_handle,
    .destroy = cache_destroy,
    .capabilities = (const char *const[]){"response_cache", NULL},
};
