/* agents/kinds/child.h - one program and everything that it starts: run without a shell, ended as a whole.
 *
 * Between the caller and the program stands a guard, a forked copy of the caller that runs nothing but guard.c: it starts the
 * program, is the subreaper of all that comes of it (also of what has left its group and session), and ends only when nothing of
 * that is left. It ends it all when the program ends, when it is told to, and when the thread that started it dies, by whatever
 * death of its process. So what an attempt has started does not outlive the attempt by more than the time that killing takes.
 * Beyond its reach are only: who kills the guard itself with SIGKILL (the program then dies with it, not what that has started),
 * programs that have become another user's, and programs that leave their session faster than they are killed.
 *
 * With a claim, a program is started only when no other guard that is alive has claimed the same byte of the same file: the
 * second attempt at a task waits until nothing of the first is left, though that one's queen is dead and nobody else knows it.
 *
 * The program has descriptors 0, 1, 2 and nothing else, default signals, a process group of its own, no core file. The parent's
 * ends are non-blocking and close-on-exec. What is collected does not depend on how the parent treats SIGCHLD.
 */
#ifndef AP_KINDS_CHILD_H
#define AP_KINDS_CHILD_H

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
    int report;       /* how the program ended, or why it was never run */
};

struct ap_child_end {
    int refused; /* errno: the program was never run, and at which step: */
    const char *step;
    int exited, status; /* exited: exit status, else the signal */
};

AP_MUST_CHECK int ap_child_start(const struct ap_child_plan *plan, struct ap_child *ret); /* 0 or -errno */
/* Everything that the program has started; its guard ends when nothing is left. Only before collect. */
void ap_child_kill(const struct ap_child *child);
/* When the pidfd is readable (or to wait for a killed child): reaps the guard, closes everything. */
void ap_child_collect(struct ap_child *child, struct ap_child_end *ret);
/* write(2) without SIGPIPE. -1 and errno. */
ssize_t ap_child_write(int fd, const void *data, size_t size);

#endif
