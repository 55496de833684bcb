/* agents/storage_service/cache_manager.c - kind "cache_manager": the Storage swarm's cache, bounded memory with expiry.
 *
 * One JSON object a task, one back; `value` is any JSON value and comes back as it was put.
 *   cache_put     {"key":"k","value":...,"ttl_ms":1000}  -> {"stored":true,"served_by":PID}      ttl_ms optional, 0: no expiry
 *   cache_get     {"key":"k"}   -> {"hit":true,"value":...,"expires_in_ms":N|null,"served_by":PID} or {"hit":false,"served_by":PID}
 *   cache_delete  {"key":"k"}   -> {"deleted":true|false,"served_by":PID}
 *   cache_stats   {} or nothing -> counts and sizes
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/kinds/s3fifo.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

#define KEY_MOST 1024
#define ANSWER_MORE 128 /* around the value that cache_get answers */
#define TTL_MOST (366 * AP_DAY / AP_MS)

struct manager {
    apiary_agent_t *agent;
    struct ap_s3fifo *cache;
    uint64_t ttl; /* ns; 0: none */
};

static bool need_key(apiary_job_t *job, const json_t *request, const char **ret, size_t *size)
{
    if (!ap_need_text(job, request, "key", ret)) return false;
    *size = json_string_length(json_object_get(request, "key"));
    if (*size > 0 && *size <= KEY_MOST) return true;
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"key\" has %zu bytes; 1 to %d are allowed", *size, KEY_MOST);
    return false;
}

static void manager_put(void *state, apiary_job_t *job, const json_t *request)
{
    struct manager *m = state;
    const json_t *value = json_object_get(request, "value");
    int64_t ttl_ms = (int64_t)(m->ttl / 1000000);
    const char *key;
    size_t key_size;
    if (!need_key(job, request, &key, &key_size) || !ap_may_integer(job, request, "ttl_ms", 0, TTL_MOST, &ttl_ms))
        return;
    if (!value) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"value\" is missing; any JSON value is wanted");
        return;
    }
    char *text = ap_json_text(value);
    uint64_t now = ap_now(), expires = ttl_ms > 0 ? now + (uint64_t)ttl_ms * 1000000u : AP_S3FIFO_NEVER;
    size_t size = text ? strlen(text) : 0;
    if (!text || !ap_answer_fits(job, size + ANSWER_MORE)) { /* 1e15 is longer when it is printed; the old value is not to stay */
        ap_s3fifo_delete(m->cache, key, key_size, now);
        if (text)
            apiary_job_fail(job, AP_CODE_TOO_LARGE, "the value has %zu bytes, and no answer could hold it", size);
        else
            ap_out_of_memory(job);
        free(text);
        return;
    }
    int error = ap_s3fifo_insert(m->cache, key, key_size, text, size, now, expires);
    free(text);
    if (error == 0) {
        ap_answer(job, "{s:b,s:i}", "stored", 1, "served_by", (int)getpid());
        return;
    }
    struct ap_s3fifo_stats stats;
    ap_s3fifo_stats(m->cache, &stats);
    if (error == APIARY_ETOOLARGE)
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "key and value are larger than the cache holds (%zu bytes)",
                        stats.largest_entry);
    else
        ap_out_of_memory(job);
}

static void manager_get(void *state, apiary_job_t *job, const json_t *request)
{
    struct manager *m = state;
    struct ap_bytes reply = {.agent = m->agent};
    const void *value;
    const char *key;
    char tail[96];
    size_t key_size, size;
    uint64_t now = ap_now(), expires;
    if (!need_key(job, request, &key, &key_size)) return;
    if (!ap_s3fifo_lookup(m->cache, key, key_size, now, &value, &size, &expires)) {
        ap_answer(job, "{s:b,s:i}", "hit", 0, "served_by", (int)getpid());
        return;
    }
    if (expires == AP_S3FIFO_NEVER)
        snprintf(tail, sizeof tail, ",\"expires_in_ms\":null,\"served_by\":%d}", (int)getpid());
    else
        snprintf(tail, sizeof tail, ",\"expires_in_ms\":%" PRIu64 ",\"served_by\":%d}", (expires - now) / 1000000,
                 (int)getpid());
    if (ap_bytes_text(&reply, "{\"hit\":true,\"value\":") && ap_bytes_add(&reply, value, size) && /* JSON already */
        ap_bytes_text(&reply, tail))
        apiary_job_reply(job, reply.data, reply.size);
    else
        ap_out_of_memory(job);
    ap_bytes_free(&reply);
}

static void delete (void *state, apiary_job_t *job, const json_t *request)
{
    struct manager *m = state;
    const char *key;
    size_t key_size;
    if (!need_key(job, request, &key, &key_size)) return;
    int deleted = ap_s3fifo_delete(m->cache, key, key_size, ap_now());
    ap_answer(job, "{s:b,s:i}", "deleted", deleted, "served_by", (int)getpid());
}

static void stats(void *state, apiary_job_t *job)
{
    const struct manager *m = state;
    struct ap_s3fifo_stats s;
    ap_s3fifo_stats(m->cache, &s);
#define N(x) (json_int_t)(x)
    ap_answer(job, "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i}", "policy", "s3-fifo", "entries",
              N(s.entries), "bytes", N(s.bytes), "capacity", N(s.capacity), "small_bytes", N(s.small_bytes),
              "main_bytes", N(s.main_bytes), "hits", N(s.hits), "misses", N(s.misses), "inserts", N(s.inserts),
              "updates", N(s.updates), "deletes", N(s.deletes), "expired", N(s.expired), "evicted", N(s.evicted),
              "evicted_unread", N(s.evicted_unread), "ghost_hits", N(s.ghost_hits), "served_by", (int)getpid());
#undef N
}

const struct ap_function ap_functions_cache_manager[] = {
    {.capability = "cache_get",
     .call = manager_get,
     .in = AP_OBJECT("'key'", "'key':{'type':'string','minLength':1,'maxLength':1024}"),
     .out = AP_OBJECT("'hit','served_by'", "'hit':{'type':'boolean'},"
                      "'value':{},"
                      "'expires_in_ms':{'type':['integer','null']},"
                      "'served_by':{'type':'integer'}"),
     .bound = "one look",
     .again = AP_AGAIN_LOOKS,
     .send = "{\"key\":\"check\"}"},
    {.capability = "cache_put",
     .call = manager_put,
     .in = AP_OBJECT("'key','value'", "'key':{'type':'string','minLength':1,'maxLength':1024},"
                      "'value':{},"
                      "'ttl_ms':{'type':'integer','minimum':0,'maximum':31622400000}"),
     .out = AP_OBJECT("'stored','served_by'", "'stored':{'type':'boolean'},"
                      "'served_by':{'type':'integer'}"),
     .bound = "the memory that the agent is configured for",
     .again = "puts the same once more, and its life begins anew",
     .send = "{\"key\":\"check\",\"value\":{\"bees\":[1,2,3]},\"ttl_ms\":60000}"},
    {.capability = "cache_delete",
     .call = delete,
     .in = AP_OBJECT("'key'", "'key':{'type':'string','minLength':1,'maxLength':1024}"),
     .out = AP_OBJECT("'deleted','served_by'", "'deleted':{'type':'boolean'},"
                      "'served_by':{'type':'integer'}"),
     .bound = "one look",
     .again = "deletes nothing more",
     .send = "{\"key\":\"check\"}"},
    {.capability = "cache_stats",
     .bytes = stats,
     .out = AP_OBJECT("'policy','entries','capacity','hits','misses','served_by'", "'policy':{'type':'string'},"
                      "'entries':{'type':'integer'},"
                      "'bytes':{'type':'integer'},"
                      "'capacity':{'type':'integer'},"
                      "'small_bytes':{'type':'integer'},"
                      "'main_bytes':{'type':'integer'},"
                      "'hits':{'type':'integer'},"
                      "'misses':{'type':'integer'},"
                      "'inserts':{'type':'integer'},"
                      "'updates':{'type':'integer'},"
                      "'deletes':{'type':'integer'},"
                      "'expired':{'type':'integer'},"
                      "'evicted':{'type':'integer'},"
                      "'evicted_unread':{'type':'integer'},"
                      "'ghost_hits':{'type':'integer'},"
                      "'served_by':{'type':'integer'}"),
     .bound = "one look",
     .again = AP_AGAIN_LOOKS,
     .send = ""},
    {.capability = NULL},
};

static void manager_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_cache_manager, state, job);
}

static void *manager_take(void *agent, size_t size)
{
    return apiary_agent_alloc(agent, size);
}

static void give(void *agent, void *block)
{
    apiary_agent_free(agent, block);
}

static int manager_create(apiary_agent_t *agent, void **state)
{
    int64_t memory = apiary_agent_number(agent, "memory", 16 * 1024 * 1024);
    const struct ap_s3fifo_memory heap = {manager_take, give, agent};
    struct manager *m = apiary_agent_alloc(agent, sizeof *m);
    if (!m) return APIARY_ENOBLOCK;
    m->agent = agent;
    m->ttl = (uint64_t)apiary_agent_number(agent, "ttl", 0);
    int error = memory < 0 ? APIARY_EINVAL : ap_s3fifo_create(&heap, (size_t)memory, &m->cache);
    if (error < 0) {
        apiary_agent_log(agent, 3, "cache_manager: memory %lld: %s", (long long)memory,
                         error == APIARY_EINVAL ? "at least 8KiB is needed" : "there is not so much");
        apiary_agent_free(agent, m);
        return error == APIARY_EINVAL ? APIARY_ECONFIG : error;
    }
    *state = m;
    return 0;
}

static void manager_destroy(void *state)
{
    struct manager *m = state;
    ap_s3fifo_destroy(m->cache);
    apiary_agent_free(m->agent, m);
}

static const apiary_agent_key_t keys[] = {
    {"memory", 'z', 0, "bound of the cache, its tables included [16MiB]", AP_S3FIFO_SMALLEST, INT64_C(1) << 40},
    {"ttl", 'd', 0, "life of entries put without ttl_ms [no end]", 0, 366 * AP_DAY},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_cache_manager = {
    APIARY_AGENT_KIND,
    .name = "cache_manager",
    .what = "a cache of bounded memory with expiry (S3-FIFO): cache_get, cache_put, cache_delete, cache_stats",
    .keys = keys,
    .create = manager_create,
    .handle = manager_handle,
    .destroy = manager_destroy,
    .capabilities = (const char *const[]){"cache_get", "cache_put", "cache_delete", "cache_stats", NULL},
    .state = APIARY_STATE_AGENT,
};
