/* agents/kinds/child.h - one child process: started without a shell, killed as a group, collected through its pidfd.
 *
 * The child has descriptors 0, 1, 2 and nothing else, default signals, a process group of its own, no core file, and dies
 * with the thread that started it (PR_SET_PDEATHSIG). The parent's ends are non-blocking and close-on-exec.
 */
#ifndef AP_KINDS_CHILD_H
#define AP_KINDS_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct ap_child_plan { /* made once, used for every start: between fork and exec nothing is allocated */
    const char *path;
    char **arguments, **environment; /* both end with NULL */
    const char *directory;           /* NULL: the parent's */
    size_t memory;                   /* RLIMIT_AS; 0: no limit */
};

struct ap_child {
    pid_t pid;
    int pidfd;
    int in, out, err; /* -1 once closed */
    int refusal;      /* says why exec failed: step and errno */
};

struct ap_child_end {
    int refused; /* errno: the program was never run, and at which step: */
    const char *step;
    int exited, status; /* exited: exit status, else the signal */
};

int ap_child_start(const struct ap_child_plan *plan, struct ap_child *ret); /* 0 or -errno */
void ap_child_kill(const struct ap_child *child);                           /* the whole group; only before collect */
/* When the pidfd is readable (or to wait for a killed child): ends the rest of the group, reaps, closes everything. */
void ap_child_collect(struct ap_child *child, struct ap_child_end *ret);
/* write(2) without SIGPIPE. -1 and errno. */
ssize_t ap_child_write(int fd, const void *data, size_t size);

#endif
