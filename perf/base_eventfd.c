/* perf/base_eventfd.c - the body in shared memory and an eventfd each way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "perf/link.h"

struct state {
    int fd[2];
    uint8_t unused[56];
};

static uint8_t *base_eventfd_body_of(struct perf_link *l, int side)
{
    struct state *s = l->state;

    return (uint8_t *)(s + 1) + (size_t)side * (l->size / AP_LINE + 1) * AP_LINE;
}

static bool base_eventfd_make(struct perf_link *l, char *why, size_t size)
{
    struct state *s = perf_shared(sizeof *s + 2 * (l->size + AP_LINE));

    l->state = s;
    for (int i = 0; i < 2; i++) {
        s->fd[i] = eventfd(0, EFD_CLOEXEC);
        if (s->fd[i] >= 0) continue;
        snprintf(why, size, "eventfd: %s", strerror(errno));
        return false;
    }
    return true;
}

static int base_eventfd_put(struct perf_link *l, int side, const void *body, bool wait)
{
    const struct state *s = l->state;
    uint64_t one = 1;

    (void)wait;
    memcpy(base_eventfd_body_of(l, !side), body, l->size);
    if (write(s->fd[!side], &one, sizeof one) != sizeof one) perf_die("eventfd: %s", strerror(errno));
    return 1;
}

static int base_eventfd_get(struct perf_link *l, int side, const void **ret, bool wait)
{
    const struct state *s = l->state;
    uint64_t n;

    (void)wait; /* it carries one message: a case that polls does not use it */
    if (read(s->fd[side], &n, sizeof n) != sizeof n) perf_die("eventfd: %s", strerror(errno));
    *ret = base_eventfd_body_of(l, side);
    return 1;
}

const struct perf_link_kind perf_link_eventfd = {
    .name = "eventfd", .setting = "blocking", .make = base_eventfd_make, .put = base_eventfd_put, .get = base_eventfd_get};
