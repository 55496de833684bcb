/* perf/base_redis_store.c - values and claims of a Redis server of our own. Built where libhiredis-dev and redis-server are. */
#ifdef PERF_REDIS
#include <stdlib.h>
#include <string.h>

#include "perf/redis.h"
#include "perf/store.h"

#define UNREAD 1000u /* replies to a filling, at most */

struct store {
    struct perf_redis server;
    redisContext *c;
    bool held;
    unsigned unread;
};

static void *base_redis_store_open(const struct perf_store_use *use, char *why, size_t size)
{
    struct store *s = calloc(1, sizeof *s);

    if (s == NULL) perf_die("out of memory");
    s->held = use->held;
    if (!perf_redis_start(&s->server, use->processor, why, size)) {
        free(s);
        return NULL;
    }
    s->c = perf_redis_reach(s->server.path);
    if (s->c == NULL) perf_die("redis: no connection");
    return s;
}

static void base_redis_store_filled(void *store)
{
    struct store *s = store;
    void *reply;

    for (; s->unread > 0; s->unread--) {
        if (redisGetReply(s->c, &reply) != REDIS_OK) reply = NULL;
        freeReplyObject(perf_redis_must(s->c, reply));
    }
}

static void base_redis_store_fill(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;
    int r = s->held ? redisAppendCommand(s->c, "SET %s %b NX EX %d", key, value, size, PERF_HELD_FOR)
                    : redisAppendCommand(s->c, "SET %s %b", key, value, size);

    if (r != REDIS_OK) perf_die("redis: out of memory");
    if (++s->unread == UNREAD) base_redis_store_filled(s);
}

static size_t base_redis_store_get(void *store, const char *key, void *value, size_t capacity)
{
    struct store *s = store;
    redisReply *r = perf_redis_must(s->c, redisCommand(s->c, "GET %s", key));
    size_t size = (size_t)r->len;

    if (r->type != REDIS_REPLY_STRING || size > capacity) perf_die("redis: %s has no such value", key);
    memcpy(value, r->str, size);
    freeReplyObject(r);
    return size;
}

/* "OK". */
static void base_redis_store_done(const struct store *s, redisReply *r, const char *key)
{
    perf_redis_must(s->c, r);
    if (r->type != REDIS_REPLY_STATUS) perf_die("redis: %s was not set", key);
    freeReplyObject(r);
}

static int64_t base_redis_store_number(const struct store *s, redisReply *r)
{
    int64_t number;

    perf_redis_must(s->c, r);
    number = r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    freeReplyObject(r);
    return number;
}

static void base_redis_store_put(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;

    base_redis_store_done(s, redisCommand(s->c, "SET %s %b", key, value, size), key);
}

static int64_t base_redis_store_incr(void *store, const char *key)
{
    struct store *s = store;

    return base_redis_store_number(s, redisCommand(s->c, "INCR %s", key));
}

static void base_redis_store_hold(void *store, const char *key)
{
    struct store *s = store;

    base_redis_store_done(s, redisCommand(s->c, "SET %s %s NX PX 60000", key, "this-is-my-token"), key);
    if (base_redis_store_number(s, redisCommand(s->c, "DEL %s", key)) != 1) perf_die("redis: %s was not held", key);
}

/* Notifications of the key space: the server sends one for each SET. */
static void *base_redis_store_watch(void *store)
{
    const struct store *s = store;
    redisContext *c = perf_redis_reach(s->server.path);

    if (c == NULL) perf_die("redis: no connection");
    freeReplyObject(perf_redis_must(c, redisCommand(c, "CONFIG SET notify-keyspace-events K$")));
    freeReplyObject(perf_redis_must(c, redisCommand(c, "PSUBSCRIBE __keyspace@0__:key:*")));
    return c;
}

static void base_redis_store_told(void *watch)
{
    redisContext *c = watch;
    void *reply;
    const redisReply *r;

    if (redisGetReply(c, &reply) != REDIS_OK) reply = NULL;
    r = perf_redis_must(c, reply);
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 4 || strcmp(r->element[3]->str, "set") != 0)
        perf_die("redis: something else was told");
    freeReplyObject(reply);
}

const struct perf_store_kind perf_store_redis = {.name = "redis",
                                                 .setting = "a server of our own over a Unix socket, nothing saved: GET, SET, "
                                                            "INCR; SET NX PX, then DEL; a notification of the key space",
                                                 .served = true,
                                                 .open = base_redis_store_open,
                                                 .fill = base_redis_store_fill,
                                                 .filled = base_redis_store_filled,
                                                 .get = base_redis_store_get,
                                                 .put = base_redis_store_put,
                                                 .incr = base_redis_store_incr,
                                                 .hold = base_redis_store_hold,
                                                 .watch = base_redis_store_watch,
                                                 .told = base_redis_store_told};
#else
typedef int perf_no_redis_store; /* a file must not be empty */
#endif
