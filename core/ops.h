/* core/ops.h - every side effect of the library behind one table, so that tests can fake time, sleep and death.
 *
 * 1 Production passes the constant ap_ops_system.
 * 2 Functions return 0 or a negative errno of the system (not of apiary_error.def); callers translate.
 * 3 All are safe from any thread.
 */
#ifndef AP_OPS_H
#define AP_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/must_check.h"

struct ap_ops {
    uint64_t (*now)(void);      /* CLOCK_MONOTONIC, ns; never goes back within a thread */
    uint64_t (*realtime)(void); /* CLOCK_REALTIME, ns */
    /* Sleeps while *word == value, at most until the absolute CLOCK_MONOTONIC time (UINT64_MAX: for ever). Shared
     * futex. 0: woken; -EAGAIN: the word differs; -ETIMEDOUT; -EINTR. */
    int (*futex_wait)(const uint32_t *word, uint32_t value, uint64_t until);
    /* The same for two words: it ends when either is woken, or does not have its value. -ENOSYS: the system cannot do that. NULL is
     * as that. */
    int (*futex_wait_both)(const uint32_t *word, uint32_t value, const uint32_t *other, uint32_t others, uint64_t until);
    int (*futex_wake)(const uint32_t *word, int count); /* the number woken */
    void (*yield)(void); /* lets other threads run on this processor */
    /* How often the calling thread has left its processor without going to sleep: preempted, or by a yield. 0 where the system
     * does not count. */
    uint64_t (*switches)(void);
    /* 1: no open file description has a lock on that byte of the file. 0: another one than fd's has. Negative: unknown. */
    int (*lock_gone)(int fd, uint64_t byte);
};

extern const struct ap_ops ap_ops_system;

/* Identity of the calling process; start_time is field 22 of /proc/self/stat (clock ticks since boot). */
struct ap_identity {
    int64_t pid;
    uint64_t start_time;
    uint64_t pid_namespace; /* inodes of /proc/self/ns/pid (low half) and ns/time (high half), 0 if unknown */
};
AP_MUST_CHECK int ap_identity_self(struct ap_identity *ret);

/* A time namespace: its inode, and the ns that it adds to CLOCK_MONOTONIC. Where the system does not tell, the inode is 0, or the
 * offset AP_OFFSET_UNKNOWN. */
#define AP_OFFSET_UNKNOWN INT64_MIN
struct ap_time_namespace {
    uint64_t inode;
    int64_t offset;
};
void ap_time_namespace_self(struct ap_time_namespace *ret); /* the calling process' */
/* Whether their clocks show the same: inodes or offsets are equal. True where an inode is not known: the kernel may not have time
 * namespaces. */
bool ap_time_same(const struct ap_time_namespace *a, const struct ap_time_namespace *b);

/* Which times a process may read that were written in the time namespace `its`.
 * 1 *ret: &ap_ops_system where the clocks are the same, or the system has no such namespaces. Else a table by whose clock, and for
 *   whose waits, it is then and there: to be given back by ap_ops_leave.
 * 2 False: the system does not tell how the clocks differ, or the process has a table of a third clock just now. */
AP_MUST_CHECK bool ap_ops_enter(const struct ap_time_namespace *its, const struct ap_ops **ret);
void ap_ops_leave(const struct ap_ops *ops);
/* How many ns more the clock of `ops` shows than the process' own. */
int64_t ap_ops_shift(const struct ap_ops *ops);

/* The calling thread's id, as in the futex word of a mutex that it holds. */
uint32_t ap_thread_id(void);

#endif
