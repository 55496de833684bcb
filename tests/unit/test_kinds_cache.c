/* tests/unit/test_kinds_cache.c - the cache manager's protocol, and the AI service's cache in front of it. */
#include <inttypes.h>
#include <unistd.h>

#include "agents/kinds/support.h"
#include "tests/unit/fake_agent.h"

static struct apiary_agent *storage, *ai;

static void open_storage(int64_t memory, int64_t ttl)
{
    static struct fake_key config[3];
    config[0] = (struct fake_key){"memory", NULL, memory, NULL};
    config[1] = (struct fake_key){"ttl", NULL, ttl, NULL};
    fake_open();
    cr_assert_eq(fake_create("cache_manager", config, &storage), 0, "%s", storage->log);
}

static void open_both(void)
{
    static const char *const capabilities[] = {"cache_get", "cache_put", "cache_delete", "cache_stats"};
    open_storage(1 << 20, 0);
    for (size_t i = 0; i < 4; i++)
        fake_offer(capabilities[i], storage);
    cr_assert_eq(fake_create("ai_cache", NULL, &ai), 0);
}

static void done(void)
{
    if (ai) fake_destroy(ai);
    fake_destroy(storage);
    fake_close();
}

static json_int_t number(const char *text, const char *key)
{
    json_t *object = json_loads(text, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(object, key));
    cr_assert_not_null(json_object_get(object, key), "no %s in %s", key, text);
    json_decref(object);
    return n;
}

/* A value may be longer in the answer than it was in the request. */
Test(cache_manager, a_value_that_is_taken_can_be_read)
{
    open_storage(1 << 20, 0);
    fake.largest = 400;
    char request[400] = "{\"key\":\"k\",\"value\":[1e15";
    free(fake_call(storage, "cache_put", "{\"key\":\"k\",\"value\":1}"));
    for (int i = 0; i < 20; i++)
        strcat(request, ",1e15");
    strcat(request, "]}");
    fake_expect_failure(storage, "cache_put", request, 413, "no answer could hold it");
    fake_expect_part(storage, "cache_get", "{\"key\":\"k\"}", "\"hit\":false"); /* and the old one is not the new one */
    done();
}

Test(cache_manager, every_json_value_comes_back)
{
    static const char *const values[] = {"\"text\"", "\"\"", "{\"a\":[1,2.5,null,true]}",     "[]",
                                         "null",     "0",    "\"\xC3\xBC \\\" \\\\ \\u0001\""};
    open_storage(1 << 20, 0);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char request[128], reply[160];
        snprintf(request, sizeof request, "{\"key\":\"k\",\"value\":%s}", values[i]);
        snprintf(reply, sizeof reply, "{\"stored\":true,\"served_by\":%d}", getpid());
        fake_expect(storage, "cache_put", request, reply);
        snprintf(reply, sizeof reply, "{\"hit\":true,\"value\":%s,\"expires_in_ms\":null,\"served_by\":%d}", values[i],
                 getpid());
        fake_expect(storage, "cache_get", "{\"key\":\"k\"}", reply);
        fake_expect(storage, "cache_get@1", "{\"key\":\"k\"}",
                    reply); /* a version of the capability is the capability */
    }
    fake_expect_part(storage, "cache_delete", "{\"key\":\"k\"}", "\"deleted\":true");
    fake_expect_part(storage, "cache_delete", "{\"key\":\"k\"}", "\"deleted\":false");
    fake_expect_part(storage, "cache_get", "{\"key\":\"k\"}", "{\"hit\":false,\"served_by\":");
    done();
}

Test(cache_manager, time_to_live_is_the_requests_or_the_configured_one)
{
    open_storage(1 << 20, 3600000000000);
    free(fake_call(storage, "cache_put", "{\"key\":\"configured\",\"value\":1}"));
    free(fake_call(storage, "cache_put", "{\"key\":\"requested\",\"value\":1,\"ttl_ms\":60000}"));
    free(fake_call(storage, "cache_put", "{\"key\":\"none\",\"value\":1,\"ttl_ms\":0}"));
    free(fake_call(storage, "cache_put", "{\"key\":\"short\",\"value\":1,\"ttl_ms\":1}"));
    char *text = fake_call(storage, "cache_get", "{\"key\":\"configured\"}");
    cr_assert_gt(number(text, "expires_in_ms"), 1800000);
    cr_assert_leq(number(text, "expires_in_ms"), 3600000);
    free(text);
    text = fake_call(storage, "cache_get", "{\"key\":\"requested\"}");
    cr_assert_leq(number(text, "expires_in_ms"), 60000);
    free(text);
    fake_expect_part(storage, "cache_get", "{\"key\":\"none\"}", "\"expires_in_ms\":null");
    for (bool hit = true; hit;) { /* it ends when the millisecond has passed */
        text = fake_call(storage, "cache_get", "{\"key\":\"short\"}");
        hit = strstr(text, "\"hit\":true") != NULL;
        free(text);
    }
    done();
}

Test(cache_manager, memory_is_bounded_and_belongs_to_the_agent)
{
    enum { MEMORY = 64 * 1024 };
    open_storage(MEMORY, 0);
    size_t before = storage->allocated;
    cr_assert_leq(before, MEMORY + 64);
    for (int i = 0; i < 2000; i++) {
        char request[400];
        snprintf(request, sizeof request, "{\"key\":\"key-%d\",\"value\":\"%0*d\"}", i, 100 + i % 200, i);
        free(fake_call(storage, "cache_put", request));
        cr_assert_leq(storage->allocated, MEMORY + 64, "%zu bytes after %d", storage->allocated, i);
    }
    char *stats = fake_call(storage, "cache_stats", "");
    cr_assert_eq(number(stats, "inserts"), 2000);
    cr_assert_eq(number(stats, "capacity"), MEMORY);
    cr_assert_leq(number(stats, "bytes"), MEMORY);
    cr_assert_gt(number(stats, "evicted"), 1000);
    cr_assert_eq(number(stats, "entries") + number(stats, "evicted"), 2000);
    free(stats);
    done();
}

Test(cache_manager, bad_requests_are_told)
{
    char large[20000];
    open_storage(8192, 0);
    fake_expect_failure(storage, "cache_get", "", 400, "empty");
    fake_expect_failure(storage, "cache_get", "nonsense", 400, "not JSON");
    fake_expect_failure(storage, "cache_get", "{\"key\":\"a\",\"key\":\"b\"}", 400, "duplicate");
    fake_expect_failure(storage, "cache_get", "[]", 400, "not an object");
    fake_expect_failure(storage, "cache_get", "{}", 400, "\"key\" is missing");
    fake_expect_failure(storage, "cache_get", "{\"key\":7}", 400, "\"key\" is not a text");
    fake_expect_failure(storage, "cache_get", "{\"key\":\"\"}", 400, "\"key\" has 0 characters; 1 to 1024 are allowed");
    fake_expect_failure(storage, "cache_put", "{\"key\":\"a\"}", 400, "\"value\" is missing");
    fake_expect_failure(storage, "cache_put", "{\"key\":\"a\",\"value\":1,\"ttl_ms\":-1}", 400, "0 to ");
    fake_expect_failure(storage, "cache_put", "{\"key\":\"a\",\"value\":1,\"ttl_ms\":\"1\"}", 400, "whole number");
    snprintf(large, sizeof large, "{\"key\":\"%01025d\"}", 1);
    fake_expect_failure(storage, "cache_get", large, 413, "has 1025 characters; 1 to 1024 are allowed");
    snprintf(large, sizeof large, "{\"key\":\"a\",\"value\":\"%09000d\"}", 1);
    fake_expect_failure(storage, "cache_put", large, 413, "larger than the cache holds");
    fake_expect_failure(storage, "cache_flush", "{}", 404, "which its kind does not have");
    done();
}

Test(cache_manager, create_refuses_too_little_memory)
{
    static const struct fake_key config[] = {{"memory", NULL, 100, NULL}, {NULL, NULL, 0, NULL}};
    fake_open();
    cr_assert_eq(fake_create("cache_manager", config, &storage), APIARY_ECONFIG);
    cr_assert_not_null(strstr(storage->log, "at least 8KiB"), "%s", storage->log);
    fake_destroy(storage);
    fake_close();
}

/* ---- AI -> Storage ----------------------------------------------------------------------------------------------- */

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

Test(ai_cache, the_first_is_computed_and_stored_and_the_second_is_served_by_storage)
{
    open_both();
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"abc\"}",
                     "{\"hit\":false,\"model\":\"local-digest\",\"answer\":\"1 words, 3 bytes, sha256 " ABC "\"");
    char *text = fake_call(ai, "response_cache", "{\"prompt\":\"abc\"}");
    cr_assert_eq(
        strncmp(text, "{\"hit\":true,\"model\":\"local-digest\",\"answer\":\"1 words, 3 bytes, sha256 " ABC, 120), 0,
        "%s", text);
    cr_assert_eq(number(text, "served_by"), getpid());
    cr_assert_not_null(strstr(text, "\"another_process\":false"), "%s",
                       text); /* here it is the same one, and says so */
    free(text);
    text = fake_call(storage, "cache_stats", "");
    cr_assert_eq(number(text, "hits"), 1);
    cr_assert_eq(number(text, "misses"), 1);
    cr_assert_eq(number(text, "inserts"), 1);
    free(text);
    done();
}

Test(ai_cache, another_prompt_or_model_is_another_key)
{
    open_both();
    free(fake_call(ai, "response_cache", "{\"prompt\":\"Bees dance. Bees dance well.\"}"));
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"Bees dance. Bees dance well!\"}", "\"hit\":false");
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"Bees dance. Bees dance well.\",\"model\":\"local-extract\"}",
                     "{\"hit\":false,\"model\":\"local-extract\",\"answer\":\"Bees dance well.\"");
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"Bees dance. Bees dance well.\",\"model\":\"local-extract\"}",
                     "\"hit\":true");
    done();
}

Test(ai_cache, without_storage_it_answers_all_the_same_and_says_so)
{
    open_both();
    fake.refuse = APIARY_ENOPROVIDER;
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"abc\"}", "\"stored\":false");
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"abc\"}",
                     "\"cache\":\"cache_get: nobody alive offers this capability now\"");
    done();
}

static void reply_rubbish(void *state, apiary_job_t *job)
{
    (void)state;
    if (ap_capability_is(job, "cache_get"))
        apiary_job_reply(job, "rubbish", 7);
    else
        apiary_job_fail(job, 507, "full");
}

static int create_nothing(apiary_agent_t *a, void **state)
{
    *state = a;
    return 0;
}

Test(ai_cache, a_storage_that_talks_rubbish_or_fails_does_no_harm)
{
    static const apiary_agent_kind_t rubbish = {.name = "rubbish", .create = create_nothing, .handle = reply_rubbish};
    struct apiary_agent broken = {.kind = &rubbish, .name = "rubbish", .service = "s"};
    fake_open();
    fake_offer("cache_get", &broken);
    fake_offer("cache_put", &broken);
    cr_assert_eq(fake_create("ai_cache", NULL, &ai), 0);
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"abc\"}",
                     "\"cache\":\"cache_get: its reply is not understood\"");
    fake.offers[0].capability = "elsewhere"; /* now nobody has cache_get */
    fake_expect_part(ai, "response_cache", "{\"prompt\":\"abc\"}", "nobody has ever offered");
    fake_destroy(ai);
    fake_close();
}

Test(ai_cache, a_failed_put_is_told)
{
    static const apiary_agent_kind_t rubbish = {.name = "rubbish", .create = create_nothing, .handle = reply_rubbish};
    struct apiary_agent broken = {.kind = &rubbish, .name = "rubbish", .service = "s"};
    open_storage(1 << 20, 0);
    fake_offer("cache_get", storage);
    fake_offer("cache_put", &broken);
    cr_assert_eq(fake_create("ai_cache", NULL, &ai), 0);
    char *text = fake_call(ai, "response_cache", "{\"prompt\":\"abc\"}");
    cr_assert_not_null(strstr(text, "\"stored\":false"), "%s", text);
    cr_assert_not_null(strstr(text, "\"cache\":\"cache_put: the agent failed the task\""), "%s", text);
    free(text);
    done();
}

Test(ai_cache, bad_requests_are_told)
{
    open_both();
    fake_expect_failure(ai, "response_cache", "{}", 400, "\"prompt\" is missing");
    fake_expect_failure(ai, "response_cache", "{\"prompt\":1}", 400, "\"prompt\" is not a text");
    fake_expect_failure(ai, "response_cache", "{\"prompt\":\"x\",\"model\":\"gpt\"}", 404,
                        "no model \"gpt\" runs here");
    done();
}

/* ---- the other agents of the AI service -------------------------------------------------------------------------- */

Test(ai_routing, the_catalogue_decides)
{
    struct apiary_agent *selector, *providers;
    fake_open();
    cr_assert_eq(fake_create("ai_selector", NULL, &selector), 0);
    cr_assert_eq(fake_create("ai_providers", NULL, &providers), 0);
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"x\"}",
                     "{\"model\":\"local-digest\",\"provider\":\"local\"");
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"summary\"]}",
                     "{\"model\":\"local-extract\"");
    fake_expect_failure(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"flight\"]}", 404,
                        "none of the 2 models");
    fake_expect_failure(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[1]}", 400, "\"skills/0\" is not a text");
    fake_expect_failure(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"summary\"],\"max_cost\":0.5}", 404,
                        "none");
    free(fake_call(providers, "model_management",
                   "{\"op\":\"add\",\"model\":{\"model\":\"m\",\"provider\":\"p\",\"context\":10,\"cost\":0.5,"
                   "\"skills\":[\"summary\"]}}"));
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"summary\"]}",
                     "{\"model\":\"m\",\"provider\":\"p\"");
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"longer than 10\",\"skills\":[\"summary\"]}",
                     "{\"model\":\"m\",\"because\":\"prompt too long\"}");
    free(fake_call(providers, "model_management", "{\"op\":\"disable\",\"provider\":\"p\"}")); /* fail over */
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"summary\"]}",
                     "{\"model\":\"local-extract\"");
    free(fake_call(providers, "model_management", "{\"op\":\"enable\",\"name\":\"m\"}"));
    fake_expect_part(selector, "llm_routing", "{\"prompt\":\"x\",\"skills\":[\"summary\"]}", "{\"model\":\"m\"");
    free(fake_call(providers, "model_management", "{\"op\":\"remove\",\"name\":\"m\"}"));
    fake_expect_failure(providers, "model_management", "{\"op\":\"remove\",\"name\":\"m\"}", 404, "no model \"m\"");
    fake_expect_failure(providers, "model_management", "{\"op\":\"enable\",\"provider\":\"p\"}", 404,
                        "no provider \"p\"");
    fake_expect_failure(providers, "model_management", "{\"op\":\"enable\"}", 400, "either \"name\" or \"provider\"");
    fake_expect_failure(providers, "model_management", "{\"op\":\"add\",\"model\":{}}", 400, "\"model/model\" is missing; a "
                        "text is wanted");
    fake_expect_failure(providers, "model_management", "{\"op\":\"fly\"}", 400, "list, add, remove");
    fake_destroy(selector);
    fake_destroy(providers);
    fake_close();
}

Test(ai_optimizer, only_repetition_and_space_go)
{
    struct apiary_agent *optimizer;
    fake_open();
    cr_assert_eq(fake_create("ai_optimizer", NULL, &optimizer), 0);
    fake_expect(optimizer, "response_optimization", "{\"text\":\"\"}",
                "{\"text\":\"\",\"bytes_before\":0,\"bytes_after\":0,\"cut\":false}");
    fake_expect(optimizer, "response_optimization", "{\"text\":\"\\n\\n a \\n a\\n\\n\\nb\\n\\n\"}",
                "{\"text\":\" a\\n\\nb\",\"bytes_before\":14,\"bytes_after\":5,\"cut\":false}");
    fake_expect_part(optimizer, "response_optimization", "{\"text\":\"\xC3\xBC\xC3\xBC\xC3\xBC\",\"max_bytes\":3}",
                     "{\"text\":\"\xC3\xBC\",\"bytes_before\":6,\"bytes_after\":2,\"cut\":true}");
    fake_expect_part(optimizer, "response_optimization", "{\"text\":\"one two\",\"max_bytes\":3}", "\"text\":\"one\"");
    fake_expect_part(optimizer, "response_optimization", "{\"text\":\"one two\",\"max_bytes\":0}", "\"text\":\"\"");
    fake_expect_failure(optimizer, "response_optimization", "{\"text\":\"x\",\"max_bytes\":-1}", 400, "max_bytes");
    fake_destroy(optimizer);
    fake_close();
}
