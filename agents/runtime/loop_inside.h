/* agents/runtime/loop_inside.h - what the files of the loop share: loop.c (timers, watches, choice), loop_uring.c, loop_poll.c,
 * loop_bell.c (the thread that waits on the bell where the ring cannot).
 */
#ifndef AP_LOOP_INSIDE_H
#define AP_LOOP_INSIDE_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "agents/runtime/handle.h"
#include "agents/runtime/loop.h"
#include "core/atomic.h"
#include "core/must_check.h"

/* Known outside by its handle: apiary_watch_t is never defined. */
struct ap_watch {
    struct ap_loop *loop;
    struct ap_handle *handle; /* NULL: nobody has one, or it is closed */
    apiary_watch_fn fn;
    void *user;
    int fd; /* -1: timer */
    uint32_t events;
    uint64_t at;     /* timer */
    size_t position; /* timer: in the heap, from 1; 0: not there */
    bool owned;      /* nobody has a handle to it */
    bool closed;     /* to be freed as soon as the ring lets go and no dispatch is under way */
    bool armed;      /* the ring has a POLL_ADD for it */
    bool failed;     /* reported as not to be watched */
    struct ap_watch *prev, *next; /* of loop->watches, or loop->closed */
};

/* Waits on one word at a time and writes the loop's event_fd when it was woken. */
struct ap_bell_thread {
    const struct ap_ops *ops;
    pthread_t thread;
    int event_fd;
    bool started;
    uint32_t request AP_ALIGNED; /* raised by the loop for each wait; futex */
    uint32_t done;               /* the request that was last finished */
    uint32_t stop;
    uint32_t *word;
    uint32_t value;
};

struct ap_loop {
    const struct ap_ops *ops;
    enum ap_park park;
    pthread_t thread; /* whose it is */
    int event_fd; /* ap_loop_wake and the bell thread write it */
    bool lost;    /* one of its descriptors is not its own any more */
    unsigned reopened;
    struct ap_watch *watches, *graveyard;
    size_t watch_count; /* descriptors */
    struct ap_watch **heap; /* from 1 */
    size_t heap_count, heap_capacity;
    unsigned dispatching;
    unsigned turn;

    struct io_uring ring;
    bool wake_armed;
    const uint32_t *bell; /* the word of the futex wait in the ring; NULL: none */
    uint64_t bell_serial;

    struct pollfd *polls; /* poll variant; polls[0] is event_fd */
    struct ap_watch **poll_watches;
    size_t poll_count, poll_capacity;
    bool polls_stale;

    struct ap_bell_thread bell_thread;

    uint32_t parked AP_ALIGNED; /* LOOP-F1: the loop sleeps or is about to */
    uint32_t woken;             /* somebody called ap_loop_wake */
};

/* loop.c */
void ap_loop_call(struct ap_watch *watch, uint32_t events);
void ap_loop_bury(struct ap_watch *watch); /* closed, and no ring has it */
/* Of the event descriptor, which is ready: without a count in it, it is lost. */
void ap_loop_drain_event(struct ap_loop *loop);

/* loop_uring.c */
AP_MUST_CHECK int ap_loop_uring_watch(struct ap_watch *watch);
void ap_loop_uring_again(struct ap_loop *loop); /* a new ring: all that the old one was to look for */
void ap_loop_uring_close(struct ap_watch *watch);
AP_MUST_CHECK int ap_loop_uring_dispatch(struct ap_loop *loop);
void ap_loop_uring_park(struct ap_loop *loop, const uint32_t *bell, uint32_t value, uint64_t until);

/* loop_poll.c */
AP_MUST_CHECK int ap_loop_poll_dispatch(struct ap_loop *loop, uint64_t until); /* 0: does not wait */

/* loop_bell.c. wait: asks the thread to wait (starts it when needed); the earlier wait on the same word still stands when it
 * was not answered yet. false: the thread could not be started. */
AP_MUST_CHECK bool ap_bell_thread_wait(struct ap_bell_thread *t, uint32_t *word, uint32_t value);
void ap_bell_thread_stop(struct ap_bell_thread *t);

#endif
