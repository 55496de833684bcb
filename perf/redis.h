/* perf/redis.h - a Redis server of our own over a Unix socket, which saves nothing. */
#ifndef PERF_REDIS_H
#define PERF_REDIS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <sys/types.h>

#include "core/must_check.h"

struct perf_redis {
    char path[64];
    pid_t pid;
};

/* Forks it, on that processor (-1: free). False: there is none to be had here, with the reason. */
AP_MUST_CHECK bool perf_redis_start(struct perf_redis *s, int processor, char *why, size_t size);
/* NULL after five seconds without a server there. */
redisContext *perf_redis_reach(const char *path);
/* A reply that is no error; the program ends at one that is, or at none. */
void *perf_redis_must(redisContext *c, void *reply);

#endif
