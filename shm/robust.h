/* shm/robust.h - robust locks in a segment: lanes, the monitor's role.
 *
 * SCOPE     glibc's robust, process-shared mutexes, of which the kernel marks those that a thread holds when it ends. A thread may
 *           hold any number.
 * TRUST     glibc keeps its robust list's pointers beside the lock word. They are compared with private copies before
 *           every unlock; on a difference the mutex is taken out of the list by those copies. What remains is in the README.
 * PROBE     Nobody is told of a death where the kernel does not know the thread's list (a filter of system calls may have refused
 *           set_robust_list, of which glibc says nothing). So the kernel is asked (get_robust_list) before a thread's first lock,
 *           and without that list there is none. Where there are no such calls at all, under an emulator, image.h alone tells.
 * PART      A thread that lives on holds its locks until it calls again, and its list leads through their memory, so a mapping
 *           cannot go while other threads of the process hold locks in it. But who is done with the segment can part them from
 *           it: private copies take the place of the pages in which those locks lie, and all else is unmapped. The copies hang in
 *           the lists as before; each thread lets go of its own at its next lock or at its end, and with the last one a page goes.
 *           The locks in the segment then look as at an exec: held by threads that cannot reach them (image.h).
 *           What a thread changes in its list while its page is being exchanged (it may hold locks of the program, too) is in the
 *           segment's page and not in the copy, and is brought over afterwards.
 */
#ifndef AP_ROBUST_H
#define AP_ROBUST_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* trylock: 0 held, -EOWNERDEAD held after a death (call ap_robust_consistent when repaired, or the next lock is refused for ever),
 * -EBUSY (also when this thread holds it already), -ENOTSUP (see PROBE), -ENOMEM. Unlocked by the same thread, in any order,
 * whatever its list pointers say by then. */
int ap_robust_init(pthread_mutex_t *m);
int ap_robust_trylock(pthread_mutex_t *m);
void ap_robust_consistent(pthread_mutex_t *m);
void ap_robust_unlock(pthread_mutex_t *m);
static inline const uint32_t *ap_robust_word(const pthread_mutex_t *m)
{
    return (const uint32_t *)&m->__data.__lock;
}
/* Whether the word of a robust lock says that a living thread holds it. */
static inline bool ap_robust_held(uint32_t word)
{
    return (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

/* Whether the kernel knows the calling thread's list. */
bool ap_robust_known(void);

/* Unmaps [base, base + size), a mapping of which `again` is another, but for copies of what other threads hold: the mutexes whose
 * offsets are in `held`. By the last who uses it. False: there was no memory, and it stays. */
bool ap_robust_part(uint8_t *base, size_t size, uint8_t *again, const size_t *held, size_t count);

#endif
