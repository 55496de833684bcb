/* perf/base_redis.c - a Redis server of our own, a list each way. Built where libhiredis-dev and redis-server are. */
#ifdef PERF_REDIS
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/link.h"
#include "perf/redis.h"

#define REPLIES 32 /* to pushes, that are left unread at most */

struct state {
    struct perf_redis server;
    redisContext *push, *pop;
    redisReply *last;
    unsigned unread;
};

static const char *const lists[] = {
    [PERF_CLIENT_SIDE] = "reply", [PERF_SERVER_SIDE] = "request"}; /* read by that side */

static bool base_redis_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    return perf_redis_start(&s->server, -1, why, size);
}

static void base_redis_join(struct perf_link *l, int side)
{
    struct state *s = l->state;

    s->push = perf_redis_reach(s->server.path);
    s->pop = perf_redis_reach(s->server.path);
    if (s->push == NULL || s->pop == NULL) perf_die("redis: no connection");
    if (side == PERF_CLIENT_SIDE) unlink(s->server.path); /* the other side has joined before */
}

/* As one does who pushes much: the replies are not waited for, but read now and then. */
static int base_redis_put(struct perf_link *l, int side, const void *body, bool wait)
{
    struct state *s = l->state;
    void *reply;
    int done = 0;

    (void)wait;
    if (redisAppendCommand(s->push, "RPUSH %s %b", lists[!side], body, l->size) != REDIS_OK)
        perf_die("redis: out of memory");
    while (!done)
        if (redisBufferWrite(s->push, &done) != REDIS_OK) perf_die("redis: %s", s->push->errstr);
    if (++s->unread <= REPLIES) return 1;
    for (; s->unread > REPLIES / 2; s->unread--) {
        if (redisGetReply(s->push, &reply) != REDIS_OK) reply = NULL;
        freeReplyObject(perf_redis_must(s->push, reply));
    }
    return 1;
}

static int base_redis_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    struct state *s = l->state;
    const redisReply *r;

    if (s->last != NULL) freeReplyObject(s->last);
    r = s->last = perf_redis_must(s->pop, redisCommand(s->pop, wait ? "BLPOP %s 0" : "LPOP %s", lists[side]));
    if (r->type == REDIS_REPLY_NIL) return 0;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2) r = r->element[1];
    if (r->type != REDIS_REPLY_STRING || (size_t)r->len != l->size) perf_die("redis: another length");
    memcpy(l->buffer, r->str, l->size); /* aligned */
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_redis = {.name = "redis",
                                               .setting =
                                                   "lists of a server of our own over a Unix socket, nothing saved, "
                                                   "RPUSH without waiting for its reply, BLPOP",
                                               .queues = true,
                                               .make = base_redis_make,
                                               .join = base_redis_join,
                                               .put = base_redis_put,
                                               .get = base_redis_get};
#else
typedef int perf_no_redis; /* a file must not be empty */
#endif
