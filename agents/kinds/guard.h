/* agents/kinds/guard.h - the process between a queen and a program, from its fork to its end (see child.h).
 *
 * SIGNALS   All are blocked, and taken by sigwaitinfo: GUARD_GO when the parent is ready to watch the guard; SIGTERM to end
 *           everything (from the parent, or from the kernel when the parent's thread has died); SIGCHLD.
 * REPORTS   The guard writes reports to its parent: that it begins to run the program, at most one about a step that failed, and at
 *           the end how the program ended.
 */
#ifndef AP_KINDS_GUARD_H
#define AP_KINDS_GUARD_H

#include <signal.h>

#include "agents/kinds/child.h"

#define GUARD_GO SIGUSR1

enum ap_guard_step {
    AP_GUARD_EXITED = 1, /* value: the exit status */
    AP_GUARD_SIGNALLED,  /* value: the signal */
    AP_GUARD_START,      /* this and the following: errno */
    AP_GUARD_DESCRIPTORS,
    AP_GUARD_EARLIER,
    AP_GUARD_LIMIT,
    AP_GUARD_DIRECTORY,
    AP_GUARD_EXEC,
    AP_GUARD_BEGUN, /* value: 0. Before the program is started: without it none was */
};

struct ap_guard_report {
    int step, value;
};

/* Runs in the forked process, with all signals blocked. fds: standard input, output and error of the program, and the descriptor
 * for reports; all are above 4. */
__attribute__((noreturn)) void ap_guard(const struct ap_child_plan *plan, pid_t parent, const int fds[4]);

#endif
