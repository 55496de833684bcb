/* registry/client/sleep.h - how a caller's thread sleeps.
 *
 * It is a cancellation point of pthread_cancel and may be left at any instruction, for it is a system call and nothing else. The
 * caller holds nothing then but what a cleanup of its own gives back, and its lane, which goes back when the thread ends.
 */
#ifndef AP_SLEEP_H
#define AP_SLEEP_H

#include <pthread.h>

#include "core/ops.h"

/* As ops->futex_wait. */
static inline int ap_sleep(const struct ap_ops *ops, const uint32_t *word, uint32_t value, uint64_t until)
{
    int before, r;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    r = ops->futex_wait(word, value, until);
    pthread_setcanceltype(before, NULL);
    return r;
}

#endif
