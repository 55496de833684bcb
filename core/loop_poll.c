/* core/loop_poll.c - the loop on poll(2). See loop_inside.h. */
#include <stdlib.h>

#include "core/loop_inside.h"

#define NSEC UINT64_C(1000000000)
#define BLIND 10000000 /* ns */

static bool polls_fit(struct ap_loop *loop, size_t count)
{
    struct pollfd *polls;
    struct ap_watch **watches;

    if (count <= loop->poll_capacity) return true;
    count = count * 2;
    polls = realloc(loop->polls, count * sizeof *polls);
    if (polls == NULL) return false;
    loop->polls = polls;
    watches = realloc(loop->poll_watches, count * sizeof *watches);
    if (watches == NULL) return false;
    loop->poll_watches = watches;
    loop->poll_capacity = count;
    return true;
}

/* The array of what is watched now. Without memory for it nothing is, until the next call. */
static void polls_refresh(struct ap_loop *loop)
{
    struct ap_watch *watch;
    size_t n = 1;

    if (!loop->polls_stale) return;
    if (!polls_fit(loop, loop->watch_count + 1)) {
        loop->poll_count = 0;
        return;
    }
    loop->polls[0] = (struct pollfd){.fd = loop->event_fd, .events = POLLIN};
    for (watch = loop->watches; watch != NULL; watch = watch->next) {
        if (watch->fd < 0 || watch->failed) continue;
        loop->polls[n] = (struct pollfd){.fd = watch->fd, .events = (short)watch->events};
        loop->poll_watches[n++] = watch;
    }
    loop->poll_count = n;
    loop->polls_stale = false;
}

int ap_loop_poll_dispatch(struct ap_loop *loop, uint64_t until)
{
    uint64_t now = until == 0 || until == UINT64_MAX ? 0 : loop->ops->now();
    uint64_t left = until > now ? until - now : 0;
    struct timespec limit = {.tv_sec = (time_t)(left / NSEC), .tv_nsec = (long)(left % NSEC)};
    int called = 0;

    polls_refresh(loop);
    /* Nothing watched, not even what ap_loop_wake writes: it must not sleep for long. */
    if (loop->poll_count == 0 && left > BLIND) limit = (struct timespec){.tv_nsec = BLIND};
    if (ppoll(loop->polls, loop->poll_count, until == UINT64_MAX && loop->poll_count > 0 ? NULL : &limit, NULL) <= 0) return 0;
    if ((loop->polls[0].revents & POLLNVAL) != 0) loop->lost = true;
    else if (loop->polls[0].revents != 0) ap_loop_drain_event(loop);
    for (size_t i = 1; i < loop->poll_count; i++) {
        struct ap_watch *watch = loop->poll_watches[i];
        short events = loop->polls[i].revents;

        /* The array stays as it is during the calls, and closed watches are freed only after them. */
        if (events == 0 || watch->closed) continue;
        if ((events & POLLNVAL) != 0) {
            watch->failed = true;
            loop->polls_stale = true;
        }
        ap_loop_call(watch, (uint32_t)(unsigned short)events);
        called++;
    }
    return called;
}
