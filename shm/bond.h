/* shm/bond.h - how a task hangs on the one for whose sake it is delegated.
 *
 * BOND      1 Private memory of who delegates a task for another.
 *           2 The task's deadline is not after `latest`, the time that its parent has left.
 *           3 It is of no use without its parent. While both live, the parent's worker sees to that.
 *           The request word says BOUND, so that it is an orphan when that worker dies: the reaper that marks it DETACH marks it
 *           CANCEL in the same step (reap.h). If it waits it is ended, else its agent is told; and its children end in turn, by its
 *           own worker.
 */
#ifndef AP_BOND_H
#define AP_BOND_H

#include <stdint.h>

struct ap_slot;

struct ap_bond {
    uint64_t latest; /* CLOCK_MONOTONIC, UINT64_MAX: any time */
};

/* Of a slot that is RESERVED, by its lane. */
void ap_slot_bound(struct ap_slot *slot, const struct ap_bond *bond);

#endif
