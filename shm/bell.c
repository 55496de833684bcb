/* shm/bell.c - the waker's slow path. */
#include "shm/bell.h"

#include <limits.h>

void ap_bell_wake(const struct ap_ops *ops, uint32_t *bell)
{
    uint32_t v = ap_add_acq_rel(bell, 2) + 2;

    ops->futex_wake(bell, INT_MAX);
    /* Only now, and only if nobody raised it since: lowering before the wake loses it when the waker dies in between. */
    if (v & 1) ap_cas(bell, &v, v & ~1u);
}
