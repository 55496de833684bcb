/* perf/base_pipe.c - two pipes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/link.h"

#define WANTED (1 << 20)

struct state {
    int from[2], to[2];   /* by side: what it reads, what it writes */
    int from_now, to_now; /* the client's, that do not block: descriptions of their own */
};

static int base_pipe_reopen(int fd, int flags)
{
    char path[64];
    int r;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    r = open(path, flags | O_NONBLOCK | O_CLOEXEC);
    if (r < 0) perf_die("%s: %s", path, strerror(errno));
    return r;
}

static bool base_pipe_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    for (int i = 0; i < 2; i++) {
        int fd[2];
        if (pipe2(fd, O_CLOEXEC) < 0) {
            snprintf(why, size, "pipe: %s", strerror(errno));
            return false;
        }
        if (l->window > 1 || l->size > 65536)
            fcntl(fd[1], F_SETPIPE_SZ, WANTED); /* what it gets is enough, or put waits */
        s->from[i] = fd[0];
        s->to[!i] = fd[1];
    }
    s->from_now = base_pipe_reopen(s->from[PERF_CLIENT_SIDE], O_RDONLY);
    s->to_now = base_pipe_reopen(s->to[PERF_CLIENT_SIDE], O_WRONLY);
    return true;
}

/* An empty body is one byte: a pipe has no empty messages. */
static size_t base_pipe_length(const struct perf_link *l)
{
    return l->size > 0 ? l->size : 1;
}

static int base_pipe_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    int fd = side == PERF_CLIENT_SIDE && !wait ? s->to_now : s->to[side];

    for (size_t sent = 0; sent < base_pipe_length(l);) {
        ssize_t n = write(fd, (const uint8_t *)body + sent, base_pipe_length(l) - sent);
        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (errno == EAGAIN && sent == 0) return 0;
        if (errno != EAGAIN && errno != EINTR) perf_die("pipe: %s", strerror(errno));
        fd = s->to[side]; /* begun: the rest may wait */
    }
    return 1;
}

static int base_pipe_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    int fd = side == PERF_CLIENT_SIDE && !wait ? s->from_now : s->from[side];

    for (size_t got = 0; got < base_pipe_length(l);) {
        ssize_t n = read(fd, l->buffer + got, base_pipe_length(l) - got);
        if (n > 0) {
            got += (size_t)n;
            fd = s->from[side];
            continue;
        }
        if (n < 0 && errno == EAGAIN && got == 0) return 0;
        if (n == 0 || errno != EINTR) perf_die("pipe: %s", n == 0 ? "closed" : strerror(errno));
    }
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_pipe = {.name = "pipe",
                                              .setting = "blocking; 1 MiB of buffer for windows and large bodies",
                                              .queues = true,
                                              .make = base_pipe_make,
                                              .put = base_pipe_put,
                                              .get = base_pipe_get};
