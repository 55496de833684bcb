/* perf/redis.c - see redis.h. Built where libhiredis-dev and redis-server are. */
#ifdef PERF_REDIS
#include "perf/redis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/perf.h"

static void redis_run(void *path)
{
    execl(PERF_REDIS, PERF_REDIS, "--port", "0", "--unixsocket", (char *)path, "--unixsocketperm", "700", "--save", "",
          "--appendonly", "no", "--logfile", "/dev/null", (char *)NULL);
    perf_die("%s: %s", PERF_REDIS, strerror(errno));
}

redisContext *perf_redis_reach(const char *path)
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

bool perf_redis_start(struct perf_redis *s, int processor, char *why, size_t size)
{
    redisContext *c;

    if (access(PERF_REDIS, X_OK) < 0) {
        snprintf(why, size, "%s: %s", PERF_REDIS, strerror(errno));
        return false;
    }
    snprintf(s->path, sizeof s->path, P_tmpdir "/apiary-perf-%d-redis", (int)getpid());
    s->pid = perf_fork(processor, redis_run, s->path);
    perf_expect_end(true); /* a server that cannot run here is missing, and no fault of the run */
    c = perf_redis_reach(s->path);
    perf_expect_end(false);
    if (c != NULL) {
        redisFree(c);
        return true;
    }
    perf_end(s->pid);
    unlink(s->path);
    snprintf(why, size, "the server does not answer");
    return false;
}

void *perf_redis_must(redisContext *c, void *reply)
{
    const redisReply *r = reply;

    if (r == NULL) perf_die("redis: %s", c->errstr);
    if (r->type == REDIS_REPLY_ERROR) perf_die("redis: %s", r->str);
    return reply;
}
#else
typedef int perf_no_redis_server; /* a file must not be empty */
#endif
