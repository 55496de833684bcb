/* perf/base_seqpacket.c - a pair of Unix sockets, SOCK_SEQPACKET. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "perf/link.h"

#define BUFFER (4 << 20)

struct state {
    int fd[2];
};

static bool base_seqpacket_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);
    int want = BUFFER, got = 0;
    socklen_t n = sizeof got;

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->fd) < 0) {
        snprintf(why, size, "socketpair: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < 2; i++) /* the first as root only; the second as far as the system allows */
        if (setsockopt(s->fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want) < 0)
            setsockopt(s->fd[i], SOL_SOCKET, SO_SNDBUF, &want, sizeof want);
    getsockopt(s->fd[0], SOL_SOCKET, SO_SNDBUF, &got, &n);
    if ((size_t)got / 2 >= l->size + 1024) return true;
    snprintf(why, size, "the largest send buffer allowed here (%d bytes) is too small", got / 2);
    return false;
}

static size_t base_seqpacket_length(const struct perf_link *l) /* an empty packet would look like the end */
{
    return l->size > 0 ? l->size : 1;
}

static int base_seqpacket_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    ssize_t n;

    do
        n = send(s->fd[side], body, base_seqpacket_length(l), MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n != (ssize_t)base_seqpacket_length(l)) perf_die("seqpacket: send: %s", strerror(errno));
    return 1;
}

static int base_seqpacket_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    ssize_t n;

    do
        n = recv(s->fd[side], l->buffer, base_seqpacket_length(l), wait ? 0 : MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n != (ssize_t)base_seqpacket_length(l)) perf_die("seqpacket: receive: %s", n == 0 ? "closed" : strerror(errno));
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_seqpacket = {.name = "seqpacket",
                                                   .setting = "blocking; 4 MiB of send buffer where allowed",
                                                   .queues = true,
                                                   .make = base_seqpacket_make,
                                                   .put = base_seqpacket_put,
                                                   .get = base_seqpacket_get};
