/* core/loop_inside.h - shared by the files of the loop: loop.c (timers, watches, choice), loop_uring.c, loop_poll.c, loop_words.c
 * (words without a ring), loop_bell.c (the thread that waits on a word for a loop that waits for descriptors).
 */
#ifndef AP_LOOP_INSIDE_H
#define AP_LOOP_INSIDE_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/atomic.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/must_check.h"

/* Known outside by its handle: apiary_watch_t is never defined. */
struct ap_watch {
    struct ap_loop *loop;
    struct ap_handle *handle; /* NULL: there is none, or the watch is closed */
    apiary_watch_fn fn;
    void *user;
    uint64_t whose;
    int fd; /* -1: timer */
    uint32_t events;
    uint64_t at;     /* timer */
    size_t position; /* timer: its place in the heap, from 1; 0: not in it */
    bool owned;      /* there is no handle to it */
    bool closed;     /* freed as soon as the ring has let go and no dispatch is under way */
    bool armed;      /* the ring has a POLL_ADD for it */
    bool failed;     /* reported as impossible to watch */
    struct ap_watch *prev, *next; /* of loop->watches, or loop->closed */
};

struct ap_word {
    const uint32_t *word;
    uint32_t value;
    bool stands;
    bool pass_on;
};

/* A thread that waits on one word, and writes the loop's event_fd when woken. */
struct ap_bell_thread {
    const struct ap_ops *ops;
    pthread_t thread;
    int event_fd;
    bool started;
    uint32_t request AP_ALIGNED; /* raised by the loop for each wait; futex */
    uint32_t done;               /* the last request that it has finished */
    uint32_t stop;
    const uint32_t *word;
    uint32_t value;
};

/* The way in which the loop sleeps, and so the way to wake it. */
enum ap_sleep { AP_AWAKE, AP_SLEEP_RING, AP_SLEEP_WORDS, AP_SLEEP_EVENT };

struct ap_loop {
    const struct ap_ops *ops;
    enum ap_park park;
    pthread_t thread; /* the owner */
    int event_fd; /* ap_loop_wake and the bell thread write it; -1 while nothing needs it */
    bool waitv;   /* futex_waitv works */
    bool lost;    /* one of its descriptors no longer belongs to it */
    unsigned reopened;
    struct ap_watch *watches, *graveyard;
    uint64_t whose, *inside, nobody; /* ap_loop_inside */
    size_t watch_count; /* descriptors */
    struct ap_watch **heap; /* from 1 */
    size_t heap_count, heap_capacity;
    unsigned dispatching;
    unsigned turn;

    struct io_uring ring;
    bool wake_armed; /* the ring has a wait for `woken`, or for event_fd */

    struct pollfd *polls; /* poll variant; polls[0] is event_fd */
    struct ap_watch **poll_watches;
    size_t poll_count, poll_capacity;
    bool polls_stale;

    struct ap_bell_thread bell_thread;

    struct ap_word *words;
    uint32_t word_count;
    bool rush;    /* a word has changed already: the next park does not sleep */
    bool refused; /* the ring did not take a word: the next park is short, and the caller gives the word again */

    uint32_t parked AP_ALIGNED; /* LOOP-F1: enum ap_sleep, the loop sleeps or is about to */
    uint32_t woken;             /* ap_loop_wake was called; futex */
};

/* loop.c */
void ap_loop_call(struct ap_watch *watch, uint32_t events);
void ap_loop_bury(struct ap_watch *watch); /* the watch is closed, and no ring has it */
/* Reads the event descriptor, which is ready. Without a count in it, the descriptor is lost. */
void ap_loop_drain_event(struct ap_loop *loop);
/* The earlier of that time and 10 ms from now, for a sleep that nothing else may end. */
uint64_t ap_loop_soon(const struct ap_loop *loop, uint64_t until);

/* loop_uring.c */
AP_MUST_CHECK int ap_loop_uring_watch(struct ap_watch *watch);
AP_MUST_CHECK bool ap_loop_uring_word(struct ap_loop *loop, uint32_t number);
void ap_loop_uring_again(struct ap_loop *loop); /* gives a new ring the watches of the old one; no word stands any more */
void ap_loop_uring_close(struct ap_watch *watch);
AP_MUST_CHECK int ap_loop_uring_dispatch(struct ap_loop *loop);
void ap_loop_uring_park(struct ap_loop *loop, uint64_t until);

/* loop_poll.c */
AP_MUST_CHECK int ap_loop_poll_dispatch(struct ap_loop *loop, uint64_t until); /* 0: does not wait */

/* loop_words.c */
bool ap_loop_waitv_works(void);
void ap_loop_words_sleep(struct ap_loop *loop, uint64_t until);
void ap_loop_words_look(struct ap_loop *loop); /* after a sleep without a ring: ends the waits for words that have changed */
void ap_loop_word_ended(struct ap_loop *loop, uint32_t number);

/* loop_bell.c. wait: asks the thread to wait, always on the same word, and starts it if needed. An earlier wait that is not
 * answered yet still stands. false: the thread could not be started. */
AP_MUST_CHECK bool ap_bell_thread_wait(struct ap_bell_thread *t, const uint32_t *word, uint32_t value);
void ap_bell_thread_stop(struct ap_bell_thread *t);

#endif
