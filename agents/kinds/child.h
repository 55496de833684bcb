/* agents/kinds/child.h - one program and everything that it starts: run without a shell, ended as a whole.
 *
 * GUARD     1 Between the caller and the program stands a guard: a forked copy of the caller that runs nothing but guard.c.
 *           2 The guard starts the program and is the subreaper of all its descendants, also of those that have left its group and
 *           session. It ends only when none of them is left.
 *           3 It ends them all when the program ends, when it is told to, and when the thread that started it dies, whatever the
 *           death of its process. So no process of an attempt outlives the attempt by more than the time that killing takes.
 *           4 A guard that is killed itself takes the program with it; the caller ends what else is in the guard's session.
 *           5 Exceptions: when a guard is killed, what has left its session, and all but the program when the caller is dead, too;
 *           programs that have become another user's; programs that leave their session faster than they are killed.
 * CLAIM     With a claim, a program is started only when no other living guard has claimed the same byte of the same file. So the
 *           second attempt at a task waits until no process of the first is left, even if the first one's queen is dead.
 * PROGRAM   1 It has descriptors 0, 1, 2 and no others, default signals, a process group of its own, and no core file.
 *           2 The parent's ends are non-blocking and close-on-exec.
 *           3 Collecting does not depend on how the parent treats SIGCHLD.
 */
#ifndef AP_KINDS_CHILD_H
#define AP_KINDS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/must_check.h"

struct ap_child_plan { /* nothing is allocated between fork and exec */
    const char *path;
    char *const *arguments, *const *environment; /* both end with NULL */
    const char *directory;                       /* NULL: the parent's */
    size_t memory;                               /* RLIMIT_AS; 0: no limit */
    int claim_file;                              /* open for writing; -1: no claim */
    uint64_t claim;                              /* a byte in its upper half, below 2^62 */
};

struct ap_child {
    pid_t pid; /* the guard's */
    int pidfd;
    int in, out, err; /* -1 once closed */
    int report;       /* carries how the program ended, or why it was not run */
};

struct ap_child_end {
    int refused; /* errno, when the program was not run; `step` says where */
    bool guard_killed; /* somebody has killed the guard, and so the program was killed, if `begun`; `refused` is EOWNERDEAD */
    bool begun;        /* the program was run, or was about to be */
    const char *step;
    int exited, status; /* status: the exit status if `exited`, else the signal */
};

AP_MUST_CHECK int ap_child_start(const struct ap_child_plan *plan, struct ap_child *ret); /* 0 or -errno */
/* Kills the program and all its descendants. The guard ends when none is left. Only before collect. */
void ap_child_kill(const struct ap_child *child);
/* Reaps the guard and closes everything. When the pidfd is readable, or to wait for a killed child. */
void ap_child_collect(struct ap_child *child, struct ap_child_end *ret);
/* write(2) without SIGPIPE. -1 and errno. */
ssize_t ap_child_write(int fd, const void *data, size_t size);

#endif
