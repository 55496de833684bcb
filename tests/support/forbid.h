/* tests/support/forbid.h - a system call that is forbidden to a thread, as filters of containers and service managers do it.
 *
 * The filter is seccomp's, holds for the calling thread and all that it starts from then on, and is never taken off: a test that
 * goes on without it forks.
 */
#ifndef FORBID_H
#define FORBID_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

#define FORBID_ANY UINT32_MAX /* whatever its second argument is */
#define FORBID_ERROR(number) (SECCOMP_RET_ERRNO | (uint32_t)(number))

/* The system call of that number, with that second argument (its lower half), is answered so: FORBID_ERROR(EPERM), or
 * SECCOMP_RET_TRAP. False: there are no such filters here. */
static inline bool forbid_call(uint32_t number, uint32_t second, uint32_t answer)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, second == FORBID_ANY ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

#endif
