/* agents/infra_service/ledger.c - kind "ledger": who has reserved how much of some pools.
 *
 *   resource_allocation {"op":"reserve","pool":P,"holder":H,"amount":N} -> {"granted":true|false,"held":N,"free":N}
 *                       {"op":"release","pool":P,"holder":H}            -> {"released":N,"free":N}
 *                       {"op":"show"}                                   -> {"pools":{P:{"size":N,"free":N,"holders":{H:N}}}}
 * `reserve` sets what the holder has (so that asking twice is the same as asking once); it is granted whole or not at all.
 * It is a ledger, nothing is enforced by it, and it is forgotten when the queen's process ends.
 */
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { HOLDERS_MOST = 1000 };
#define SIZE_MOST 1000000000000000000
#define SIZE_TEXT "1000000000000000000" /* so that sums of a few stay within 64 bits */

static json_int_t held_by_all(const json_t *pool)
{
    const char *name;
    json_t *amount;
    json_int_t sum = 0;
    json_object_foreach(json_object_get(pool, "holders"), name, amount) sum += json_integer_value(amount);
    return sum;
}

static json_int_t free_of(const json_t *pool)
{
    return json_integer_value(json_object_get(pool, "size")) - held_by_all(pool);
}

static void reserve(apiary_job_t *job, const json_t *request, const json_t *pool, const char *holder)
{
    json_t *holders = json_object_get(pool, "holders");
    json_int_t held = json_integer_value(json_object_get(holders, holder));
    int64_t amount = -1;
    if (!ap_may_integer(job, request, "amount", 0, SIZE_MOST, &amount)) return;
    if (amount < 0) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"amount\" is missing; a whole number is wanted");
        return;
    }
    if (!json_object_get(holders, holder) && json_object_size(holders) >= HOLDERS_MOST) {
        apiary_job_fail(job, AP_CODE_FULL, "there are %d holders already", HOLDERS_MOST);
        return;
    }
    bool granted = amount <= free_of(pool) + held;
    if (granted && amount > 0)
        json_object_set_new(holders, holder, json_integer(amount));
    else if (granted)
        json_object_del(holders, holder);
    ap_answer(job, "{s:b,s:I,s:I}", "granted", granted, "held", granted ? (json_int_t)amount : held, "free",
              free_of(pool));
}

static void allocate(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *pools = state;
    const char *op, *name, *holder;
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "show") == 0) {
        json_t *copy = json_deep_copy(pools), *pool;
        json_object_foreach(copy, name, pool) json_object_set_new(pool, "free", json_integer(free_of(pool)));
        ap_answer(job, "{s:o}", "pools", copy);
        return;
    }
    if (!ap_need_text(job, request, "pool", &name) || !ap_need_text(job, request, "holder", &holder)) return;
    json_t *pool = json_object_get(pools, name);
    if (!pool) {
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no pool \"%s\"", name);
    } else if (strcmp(op, "reserve") == 0) {
        reserve(job, request, pool, holder);
    } else if (strcmp(op, "release") == 0) {
        json_t *holders = json_object_get(pool, "holders");
        json_int_t held = json_integer_value(json_object_get(holders, holder));
        json_object_del(holders, holder);
        ap_answer(job, "{s:I,s:I}", "released", held, "free", free_of(pool));
    } else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; reserve, release, show are allowed", op);
    }
}

const struct ap_function ap_functions_ledger[] = {
    {.capability = "resource_allocation",
     .call = allocate,
     .in = "{'oneOf':["
           AP_OBJECT("'op','pool','holder','amount'", "'op':{'const':'reserve'},"
                      "'pool':{'type':'string'},"
                      "'holder':{'type':'string'},"
                      "'amount':{'type':'integer','minimum':0,'maximum':1000000000000000000}") ","
           AP_OBJECT("'op','pool','holder'", "'op':{'const':'release'},"
                      "'pool':{'type':'string'},"
                      "'holder':{'type':'string'}") ","
           AP_OBJECT("'op'", "'op':{'const':'show'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "1000 holders of a pool",
     .again = "sets the same amount, releases nothing more",
     .send = "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"check\",\"amount\":2}",
     .answer = "{\"granted\":true,\"held\":2,\"free\":2}"},
    {.capability = NULL},
};

static void ledger_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_ledger, state, job);
}

/* -1: no whole number, or too large. */
static long long ledger_size_of(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    long long size = digits > 0 && text[digits] == '\0' ? strtoll(text, NULL, 10) : -1;
    return size <= SIZE_MOST ? size : -1;
}

static int ledger_create(apiary_agent_t *agent, void **state)
{
    const char *const *list = NULL;
    size_t count = apiary_agent_list(agent, "pools", &list);
    json_t *pools = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(list[i], '=');
        long long size = equals && equals > list[i] ? ledger_size_of(equals + 1) : -1;
        size_t length = equals ? (size_t)(equals - list[i]) : 0;
        if (size < 0 || json_object_getn(pools, list[i], length)) {
            json_decref(pools);
            return ap_refuse_item(agent, "pools", list[i],
                                  size < 0 ? "is not NAME=SIZE, a whole number of at most " SIZE_TEXT
                                           : "gives its pool a second size; expected each once");
        }
        json_t *pool = json_pack("{s:I,s:{}}", "size", (json_int_t)size, "holders");
        json_object_setn_new(pools, list[i], length, pool);
    }
    if (!pools) return APIARY_ENOBLOCK;
    *state = pools;
    return 0;
}

static void ledger_destroy(void *state)
{
    json_decref(state);
}

static const apiary_agent_key_t keys[] = {
    {"pools", 'l', 1, "NAME=SIZE, whole numbers", 0, 0},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_ledger = {
    APIARY_AGENT_KIND,
    .name = "ledger",
    .what = "resource_allocation: who has reserved how much of the configured pools",
    .keys = keys,
    .create = ledger_create,
    .handle = ledger_handle,
    .destroy = ledger_destroy,
    .capabilities = (const char *const[]){"resource_allocation", NULL},
    .state = APIARY_STATE_AGENT,
};
