/* shm/robust.h - robust locks in a segment: lanes, the monitor's role.
 *
 * SCOPE     glibc's robust, process-shared mutexes. The kernel marks those that a thread holds when it ends. A thread may hold any
 *           number.
 * TRUST     glibc keeps its robust list's pointers beside the lock word. They are compared with private copies before every
 *           unlock. On a difference the mutex is taken out of the list by those copies. The README tells what remains.
 * PROBE     1 Where the kernel does not know a thread's list, its death marks nothing. A filter of system calls may have refused
 *           set_robust_list, which glibc does not report.
 *           2 So the kernel is asked (get_robust_list) before a thread's first lock. Without a list the lock is refused.
 *           3 Where these calls do not exist at all (an emulator), only image.h tells of deaths.
 * PART      1 A living thread holds its locks until it calls again, and its list leads through their memory. So a mapping cannot
 *           be removed while other threads of the process hold locks in it.
 *           2 A process that is done with the segment can part these threads from it: private copies replace the pages in which
 *           those locks lie, and all other pages are unmapped.
 *           3 The copies hang in the lists as before. Each thread lets go of its own at its next lock or at its end, and the last
 *           one frees the page.
 *           4 The locks in the segment then look as after an exec: held by threads that cannot reach them (image.h).
 *           5 A thread may change its list while its page is being exchanged (it may hold locks of the program, too). Such a
 *           change is in the segment's page and not in the copy, and is brought over afterwards.
 */
#ifndef AP_ROBUST_H
#define AP_ROBUST_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1 trylock returns 0 held; -EOWNERDEAD held after a death (call ap_robust_consistent when repaired, or the next lock is refused
 * for
 *   ever); -EBUSY (also when this thread holds it already); -ENOTSUP (see PROBE); -ENOMEM.
 * 2 The thread that locked unlocks, in any order, whatever the list pointers say by then. */
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

/* Unmaps [base, base + size), except that copies stay of the mutexes that other threads hold, whose offsets are in `held`.
 * `again` is another mapping of the same object. By the last user of the mapping. False: there was no memory, and the mapping
 * stays. */
bool ap_robust_part(uint8_t *base, size_t size, uint8_t *again, const size_t *held, size_t count);

#endif
