/* perf/base_boost.c - two Boost.Interprocess message queues in shared memory: a mutex and condition variables each. */
#ifdef PERF_BOOST
#include "perf/base_boost.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "perf/link.h"

struct state {
    void *to[2]; /* by the side that receives */
};

static bool base_boost_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = calloc(1, sizeof *s);
    char name[64];

    if (s == NULL) perf_die("out of memory");
    l->state = s;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "apiary-perf-%d-boost", (int)getpid());
        s->to[i] = perf_boost_make(name, l->window + 1, l->size);
        if (s->to[i] == NULL) return snprintf(why, size, "no message queue could be made"), false;
    }
    return true;
}

static int base_boost_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    int r = perf_boost_send(s->to[!side], body, l->size, wait);

    if (r < 0) perf_die("boost: send failed");
    return r;
}

static int base_boost_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    int r = perf_boost_receive(s->to[side], l->buffer, l->size, wait);

    if (r < 0) perf_die("boost: receive failed");
    *ret = l->buffer;
    return r;
}

const struct perf_link_kind perf_link_boost = {.name = "boost",
                                               .setting = "Boost.Interprocess message_queue, as deep as the window, blocking",
                                               .queues = true,
                                               .make = base_boost_make,
                                               .put = base_boost_put,
                                               .get = base_boost_get};
#else
typedef int perf_no_boost;
#endif
