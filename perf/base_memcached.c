/* perf/base_memcached.c - values of a memcached of our own, and claims by add. Built where libmemcached-dev and memcached are. */
#ifdef PERF_MEMCACHED
#include <errno.h>
#include <libmemcached-1.0/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/store.h"

struct store {
    char path[64];
    memcached_st *c;
    memcached_st *filling; /* does not wait for replies */
    bool held;
    char last[PERF_KEY_SIZE]; /* that was filled */
};

/* More than all that is put, so that nothing is evicted. */
static void base_memcached_run(void *path)
{
    execl(PERF_MEMCACHED, PERF_MEMCACHED, "-u", "root", "-s", (char *)path, "-a", "700", "-m", "8192", "-M", (char *)NULL);
    perf_die("%s: %s", PERF_MEMCACHED, strerror(errno));
}

static void base_memcached_must(const struct store *s, memcached_return_t r, const char *what, const char *key)
{
    if (r != MEMCACHED_SUCCESS) perf_die("memcached: %s %s: %s", what, key, memcached_strerror(s->c, r));
}

static memcached_st *base_memcached_client(const char *path)
{
    memcached_st *c = memcached_create(NULL);

    if (c == NULL || memcached_server_add_unix_socket(c, path) != MEMCACHED_SUCCESS) perf_die("memcached: out of memory");
    return c;
}

/* False after five seconds without a server there. */
static bool base_memcached_answers(const char *path)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < 5000; i++) {
        memcached_st *c = access(path, F_OK) == 0 ? base_memcached_client(path) : NULL;
        bool there = c != NULL && memcached_version(c) == MEMCACHED_SUCCESS;

        if (c != NULL) memcached_free(c);
        if (there) return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void *base_memcached_open(const struct perf_store_use *use, char *why, size_t size)
{
    struct store *s = calloc(1, sizeof *s);
    bool there;
    pid_t pid;

    if (s == NULL) perf_die("out of memory");
    if (access(PERF_MEMCACHED, X_OK) < 0) {
        snprintf(why, size, "%s: %s", PERF_MEMCACHED, strerror(errno));
        free(s);
        return NULL;
    }
    snprintf(s->path, sizeof s->path, P_tmpdir "/apiary-perf-%d-memcached", (int)getpid());
    s->held = use->held;
    pid = perf_fork(use->processor, base_memcached_run, s->path);
    perf_expect_end(true); /* a server that cannot run here is missing, and no fault of the run */
    there = base_memcached_answers(s->path);
    perf_expect_end(false);
    if (!there) {
        perf_end(pid);
        snprintf(why, size, "the server does not answer");
        free(s);
        return NULL;
    }
    s->c = base_memcached_client(s->path);
    s->filling = base_memcached_client(s->path);
    base_memcached_must(s, memcached_behavior_set(s->filling, MEMCACHED_BEHAVIOR_NOREPLY, 1), "noreply", "");
    return s;
}

static void base_memcached_fill(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;
    memcached_return_t r = memcached_set(s->filling, key, strlen(key), value, size, s->held ? PERF_HELD_FOR : 0, 0);

    if (r != MEMCACHED_BUFFERED) base_memcached_must(s, r, "set", key);
    memcpy(s->last, key, sizeof s->last);
}

/* The last one is there, and so are all before it. */
static void base_memcached_filled(void *store)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct store *s = store;

    for (int i = 0; i < 30000; i++) {
        if (memcached_exist(s->c, s->last, strlen(s->last)) == MEMCACHED_SUCCESS) return;
        nanosleep(&pause, NULL);
    }
    perf_die("memcached: %s has not come", s->last);
}

static size_t base_memcached_get(void *store, const char *key, void *value, size_t capacity)
{
    struct store *s = store;
    memcached_return_t r;
    uint32_t flags;
    size_t size;
    char *got = memcached_get(s->c, key, strlen(key), &size, &flags, &r);

    base_memcached_must(s, r, "get", key);
    if (got == NULL || size > capacity) perf_die("memcached: %s has no such value", key);
    memcpy(value, got, size);
    free(got);
    return size;
}

static void base_memcached_put(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;

    base_memcached_must(s, memcached_set(s->c, key, strlen(key), value, size, 0, 0), "set", key);
}

static int64_t base_memcached_incr(void *store, const char *key)
{
    struct store *s = store;
    uint64_t sum;

    base_memcached_must(s, memcached_increment(s->c, key, strlen(key), 1, &sum), "incr", key);
    return (int64_t)sum;
}

static void base_memcached_hold(void *store, const char *key)
{
    static const char token[] = "this-is-my-token";
    struct store *s = store;

    base_memcached_must(s, memcached_add(s->c, key, strlen(key), token, sizeof token - 1, 60, 0), "add", key);
    base_memcached_must(s, memcached_delete(s->c, key, strlen(key), 0), "delete", key);
}

const struct perf_store_kind perf_store_memcached = {.name = "memcached",
                                                     .setting = "a server of our own over a Unix socket, by libmemcached: get, "
                                                                "set, incr; add for a minute, then delete",
                                                     .served = true,
                                                     .open = base_memcached_open,
                                                     .fill = base_memcached_fill,
                                                     .filled = base_memcached_filled,
                                                     .get = base_memcached_get,
                                                     .put = base_memcached_put,
                                                     .incr = base_memcached_incr,
                                                     .hold = base_memcached_hold};
#else
typedef int perf_no_memcached; /* a file must not be empty */
#endif
