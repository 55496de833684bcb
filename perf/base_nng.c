/* perf/base_nng.c - nng over ipc, a pair of pair0 sockets in the abstract namespace. Built where libnng-dev is. */
#ifdef PERF_NNG
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "perf/link.h"

#define BUFFERS 8192 /* the most it allows */

struct state {
    char address[64];
    nng_socket socket;
};

static bool base_nng_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);

    (void)why;
    (void)size;
    if (s == NULL) perf_die("out of memory");
    snprintf(s->address, sizeof s->address, "abstract://apiary-perf-%d-nng", (int)getpid());
    l->state = s;
    return true;
}

static void base_nng_must(int r, const char *what)
{
    if (r != 0) perf_die("nng: %s: %s", what, nng_strerror(r));
}

static void base_nng_join(struct perf_link *l, int side)
{
    struct state *s = l->state;

    base_nng_must(nng_pair0_open(&s->socket), "pair0");
    base_nng_must(nng_socket_set_int(s->socket, NNG_OPT_SENDBUF, BUFFERS), "send buffer");
    base_nng_must(nng_socket_set_int(s->socket, NNG_OPT_RECVBUF, BUFFERS), "receive buffer");
    base_nng_must(nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, 0), "largest message");
    if (side == PERF_SERVER_SIDE)
        base_nng_must(nng_listen(s->socket, s->address, NULL, 0), s->address);
    else
        base_nng_must(nng_dial(s->socket, s->address, NULL, 0), s->address);
}

static int base_nng_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    int r = nng_send(s->socket, (void *)(uintptr_t)body, l->size, wait ? 0 : NNG_FLAG_NONBLOCK);

    (void)side;
    if (r == NNG_EAGAIN) return 0;
    base_nng_must(r, "send");
    return 1;
}

static int base_nng_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    size_t size = l->size;
    int r = nng_recv(s->socket, l->buffer, &size, wait ? 0 : NNG_FLAG_NONBLOCK);

    (void)side;
    if (r == NNG_EAGAIN) return 0;
    base_nng_must(r, "receive");
    if (size != l->size) perf_die("nng: another length");
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_nng = {.name = "nng",
                                             .setting = "pair0 over ipc, largest buffers",
                                             .queues = true,
                                             .make = base_nng_make,
                                             .join = base_nng_join,
                                             .put = base_nng_put,
                                             .get = base_nng_get};
#else
typedef int perf_no_nng; /* a file must not be empty */
#endif
