/* core/thread.h - the one place where this project makes threads.
 *
 * SIGNALS   1 The program's signals are for its own threads. A thread from here has them blocked from its first instruction, so
 *           no handler of the program runs on it, and none interrupts what holds a lane.
 *           2 Those that a thread's own fault raises (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP) are not blocked:
 *           where they are, the kernel ends the process without a word to the program's handler.
 * CANCEL    Of the library's calls only those that wait are cancellation points, while they sleep (registry/client/sleep.h). What
 *           opens, closes or joins would be one, too, and in the midst of something: such functions begin with AP_UNCANCELLED.
 */
#ifndef AP_THREAD_H
#define AP_THREAD_H

#include <pthread.h>

#include "core/must_check.h"

static inline int ap_cancel_off(void)
{
    int before;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}
static inline void ap_cancel_as(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}
/* A declaration: to the end of its block the calling thread is not cancelled. */
#define AP_UNCANCELLED __attribute__((cleanup(ap_cancel_as), unused)) const int ap_cancelled_before = ap_cancel_off()

/* `name` is what debuggers and ps show, at most 15 bytes. 0, or an error number. Any thread. */
AP_MUST_CHECK int ap_thread_start(pthread_t *ret, const char *name, void *(*main)(void *), void *user);

#endif
