/* agents/runtime/crash.h - whose code a worker's thread was running when it crashed, for the reaper (shm/lane.h, SUSPECT).
 *
 * SIGNALS   1 A process that has had a worker catches SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS and SIGTRAP from then
 *           on. The handler marks the lane of the thread, if that is a worker's. Then it calls the handler that was there before
 *           (a sanitizer's, a runtime's), or the process dies of the signal, as it would have done.
 *           2 A signal that another process has sent is no crash. If the former handler comes back, there was none; if it jumps
 *           out, there was none from the worker's next turn on.
 *           3 A handler that is installed later and does not call the one that was there leaves no marks. Tasks are lost then,
 *           and not suspected.
 *           4 A worker's thread does not block these signals (core/thread.h), and has a stack of its own for them. So a task that
 *           recurses without end is a crash like any.
 * ENDS      1 exit and quick_exit by a worker's thread, and the end of the thread itself (pthread_exit), are marked, too. So is
 *           an exec by it, afterwards, by whoever judges the lane (shm/image.h). _exit is not,
 *           nor is the end of the thread by the bare system call, which the queen tells (worker.h).
 *           2 exit by a worker's thread then ends the process at once, without the exit handlers that were registered before.
 * OTHERS    A thread that an agent has started runs nobody's code: its crash makes no task suspect.
 */
#ifndef AP_CRASH_H
#define AP_CRASH_H

#include <stdbool.h>
#include <stdint.h>

struct ap_worker;

/* Once in a process, before a worker's thread runs; more calls do nothing. */
void ap_crash_begin(void);
/* By the worker's thread: its stack for signals, unless somebody has given it one. Without memory it has none. */
void ap_crash_stack_open(struct ap_worker *w);
/* When that thread has ended. */
void ap_crash_stack_close(struct ap_worker *w);
/* By the worker's thread, at its next turn after a former handler has jumped out of the signal. */
void ap_crash_survived(struct ap_worker *w);
/* By the worker's thread, that it is about to end by this (shm/lane.h); 0: after all it is not. False: there is no lane. */
bool ap_crash_mark(const struct ap_worker *w, uint32_t how);

#endif
