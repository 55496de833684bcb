/* perf/base_zmq.c - ZeroMQ over ipc, a pair of PAIR sockets in the abstract namespace. Built where libzmq3-dev is. */
#ifdef PERF_ZMQ
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "perf/link.h"

struct state {
    char address[64];
    void *context, *socket;
};

static bool base_zmq_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);

    (void)why;
    (void)size;
    if (s == NULL) perf_die("out of memory");
    snprintf(s->address, sizeof s->address, "ipc://@apiary-perf-%d-zmq", (int)getpid());
    l->state = s;
    return true;
}

static void base_zmq_join(struct perf_link *l, int side)
{
    struct state *s = l->state;
    int none = 0;

    s->context = zmq_ctx_new();
    s->socket = s->context != NULL ? zmq_socket(s->context, ZMQ_PAIR) : NULL;
    if (s->socket == NULL) perf_die("zmq: %s", zmq_strerror(errno));
    zmq_setsockopt(s->socket, ZMQ_SNDHWM, &none, sizeof none); /* no limit */
    zmq_setsockopt(s->socket, ZMQ_RCVHWM, &none, sizeof none);
    if ((side == PERF_SERVER_SIDE ? zmq_bind(s->socket, s->address) : zmq_connect(s->socket, s->address)) < 0)
        perf_die("zmq: %s: %s", s->address, zmq_strerror(errno));
}

static int base_zmq_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    int r;

    (void)side;
    do
        r = zmq_send(s->socket, body, l->size, wait ? 0 : ZMQ_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) return 0;
    if (r < 0) perf_die("zmq_send: %s", zmq_strerror(errno));
    return 1;
}

static int base_zmq_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    int r;

    (void)side;
    do
        r = zmq_recv(s->socket, l->buffer, l->size, wait ? 0 : ZMQ_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) return 0;
    if (r != (int)l->size) perf_die("zmq_recv: %s", r < 0 ? zmq_strerror(errno) : "another length");
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_zmq = {.name = "zmq",
                                             .setting = "PAIR over ipc, one I/O thread, no high-water mark",
                                             .queues = true,
                                             .make = base_zmq_make,
                                             .join = base_zmq_join,
                                             .put = base_zmq_put,
                                             .get = base_zmq_get};
#else
typedef int perf_no_zmq; /* a file must not be empty */
#endif
