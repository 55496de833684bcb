/* perf/base_redis.c - a Redis server of our own, a list each way. Built where libhiredis-dev and redis-server are. */
#ifdef PERF_REDIS
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/link.h"

#define REPLIES 32 /* to pushes, that are left unread at most */

struct state {
    char path[64];
    pid_t server;
    redisContext *push, *pop;
    redisReply *last;
    unsigned unread;
};

static const char *const lists[] = {
    [PERF_CLIENT_SIDE] = "reply", [PERF_SERVER_SIDE] = "request"}; /* read by that side */

static void base_redis_run(void *path)
{
    execl(PERF_REDIS, PERF_REDIS, "--port", "0", "--unixsocket", (char *)path, "--unixsocketperm", "700", "--save", "",
          "--appendonly", "no", "--logfile", "/dev/null", (char *)NULL);
    perf_die("%s: %s", PERF_REDIS, strerror(errno));
}

/* NULL after five seconds without a server there. */
static redisContext *reach(const char *path)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < 5000; i++) {
        redisContext *c = redisConnectUnix(path);
        if (c != NULL && c->err == 0) return c;
        if (c != NULL) redisFree(c);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static bool base_redis_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);
    redisContext *c;

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    if (access(PERF_REDIS, X_OK) < 0) {
        snprintf(why, size, "%s: %s", PERF_REDIS, strerror(errno));
        return false;
    }
    snprintf(s->path, sizeof s->path, P_tmpdir "/apiary-perf-%d-redis", (int)getpid());
    s->server = perf_fork(-1, base_redis_run, s->path);
    perf_expect_end(true); /* a server that cannot run here is missing, and no fault of the run */
    c = reach(s->path);
    perf_expect_end(false);
    if (c != NULL) {
        redisFree(c);
        return true;
    }
    perf_end(s->server);
    unlink(s->path);
    snprintf(why, size, "the server does not answer");
    return false;
}

static void base_redis_join(struct perf_link *l, int side)
{
    struct state *s = l->state;

    s->push = reach(s->path);
    s->pop = reach(s->path);
    if (s->push == NULL || s->pop == NULL) perf_die("redis: no connection");
    if (side == PERF_CLIENT_SIDE) unlink(s->path); /* the other side has joined before */
}

static void *base_redis_must(redisContext *c, void *reply)
{
    const redisReply *r = reply;

    if (r == NULL) perf_die("redis: %s", c->errstr);
    if (r->type == REDIS_REPLY_ERROR) perf_die("redis: %s", r->str);
    return reply;
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
        freeReplyObject(base_redis_must(s->push, reply));
    }
    return 1;
}

static int base_redis_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    struct state *s = l->state;
    const redisReply *r;

    if (s->last != NULL) freeReplyObject(s->last);
    r = s->last = base_redis_must(s->pop, redisCommand(s->pop, wait ? "BLPOP %s 0" : "LPOP %s", lists[side]));
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
