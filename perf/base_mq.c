/* perf/base_mq.c - two POSIX message queues. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf/link.h"

struct state {
    mqd_t in[2], out[2];   /* by side */
    mqd_t in_now, out_now; /* the client's, that do not block */
};

/* As deep as the window needs; root may go past the system's limit, others get what there is. */
static mqd_t make_one(const char *name, long depth, long length)
{
    struct mq_attr attr = {.mq_maxmsg = depth, .mq_msgsize = length};
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);

    if (q != (mqd_t)-1 || depth <= 10 || (errno != EINVAL && errno != EMFILE)) return q;
    attr.mq_maxmsg = 10;
    return mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
}

static bool base_mq_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);
    mqd_t q[2], now[2];

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "/apiary-perf-%d-mq", (int)getpid());
        q[i] = make_one(name, l->window > 10 ? (long)l->window : 10, l->size > 0 ? (long)l->size : 1);
        now[i] = q[i] != (mqd_t)-1 ? mq_open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC) : (mqd_t)-1;
        if (now[i] == (mqd_t)-1) snprintf(why, size, "mq_open: %s", strerror(errno));
        mq_unlink(name);
        if (now[i] == (mqd_t)-1) return false;
    }
    s->in[PERF_CLIENT_SIDE] = s->out[PERF_SERVER_SIDE] = q[0];
    s->in[PERF_SERVER_SIDE] = s->out[PERF_CLIENT_SIDE] = q[1];
    s->in_now = now[0];
    s->out_now = now[1];
    return true;
}

static int base_mq_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    mqd_t q = side == PERF_CLIENT_SIDE && !wait ? s->out_now : s->out[side];
    int r;

    do
        r = mq_send(q, body, l->size, 0);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) return 0;
    if (r < 0) perf_die("mq_send: %s", strerror(errno));
    return 1;
}

static int base_mq_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    mqd_t q = side == PERF_CLIENT_SIDE && !wait ? s->in_now : s->in[side];
    ssize_t n;

    do
        n = mq_receive(q, (char *)l->buffer, l->size > 0 ? l->size : 1, NULL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n != (ssize_t)l->size) perf_die("mq_receive: %s", strerror(errno));
    *ret = l->buffer;
    return 1;
}

const struct perf_link_kind perf_link_mq = {.name = "mq",
                                            .setting = "blocking; as deep as the window where allowed, else 10",
                                            .queues = true,
                                            .make = base_mq_make,
                                            .put = base_mq_put,
                                            .get = base_mq_get};
