/* tests/support/inject.h - calls of the system that fail when a test wants it, and what they leave behind.
 *
 * WHAT      1 A unit test that includes this is linked so (ld's --wrap) that the calls named in inject.c lead through there: those
 *           of the library and those of the test, but not those of other libraries, such as libyaml.
 *           2 A walk makes a function fail everywhere it can: the first of its calls fails, then the second, and so on, until it
 *           needs no further one. Each is walked twice: one call fails, or all from that one on do.
 *           3 After each step nothing may be left: no memory, mapping, thread or descriptor. What a call has made is given back by
 *           the test (`undo`) and then judged in the same way. So a cleanup that was left out is seen in any build.
 * CAREFUL   Calls of all threads are counted, so nothing else may be at work. What a library makes once and keeps is made by a
 *           first call that nothing happens to.
 */
#ifndef INJECT_H
#define INJECT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum inject_calls {
    INJECT_HEAP = 1,    /* memory */
    INJECT_MAP = 2,     /* mappings */
    INJECT_OPEN = 4,    /* files */
    INJECT_DUP = 8,     /* descriptors of descriptors */
    INJECT_MAKE = 16,   /* descriptors of other things: eventfd, pipe2, signalfd, socket, pidfd_open, rings */
    INJECT_FILE = 32,   /* what is done to files: fstat, read, reserve, link ... */
    INJECT_THREAD = 64, /* threads */
    INJECT_KEY = 128,   /* keys of their own memory */
    INJECT_MUTEX = 256, /* mutexes */
    INJECT_LOCK = 512,  /* locks of files */
};

/* What the program has at this moment. */
struct inject_count {
    long blocks, mapped, threads; /* of the heap; bytes of mappings; threads that were made and not joined */
    long descriptors, segments;   /* segments: mappings of files in /dev/shm */
    long closed;                  /* how often a descriptor was closed that was not open: it could be another's by then */
    long unlocked, naps, yields;  /* how often glibc has unlocked a mutex, and the program slept or gave its processor away */
    long futexes;                 /* how often it has called futex itself */
};
struct inject_count inject_count(void);

/* One function, walked. */
struct inject_walk {
    const char *name;
    void (*prepare)(void *user);   /* what is to be there before each call; may be NULL */
    int (*call)(void *user);       /* the result, 0 or an error; judges its own outputs */
    void (*undo)(void *user);      /* after a call that gave 0; NULL: `tidy` gives back what it has made */
    void (*tidy)(void *user);      /* gives back what was prepared; may be NULL */
    long (*as_before)(void *user); /* a number that nothing may have changed afterwards; may be NULL */
    void *user;
    unsigned calls; /* which may fail, enum inject_calls */
    int error;      /* errno, with which they do */
    const int *results; /* that the function may have then, beside 0; ends with 0 */
};

/* Fails the test when something is not as it should be. Returns how many steps ended with an error. */
unsigned inject_walk(const struct inject_walk *walk);

/* For what is no walk: from now on the call number `at` (from 1) of these fails, with `onward` all later ones, too. */
void inject_begin(unsigned calls, unsigned at, bool onward, int error);
/* The name of the last call that has failed; NULL: none. */
const char *inject_end(void);
/* Called before a mutex is tried: what another thread or process does between two steps of the caller. NULL: nothing. */
extern void (*inject_before_trylock)(pthread_mutex_t *mutex);
/* How many of these calls there have been since the beginning. */
unsigned inject_seen(void);

#endif
