/* registry/monitor.h - SwarmMonitor: one thread in every queen and in the daemon; the one that holds the role watches all lanes.
 *
 * The role is a robust mutex in the header. Its holder waits, in one io_uring, for the kernel's death mark of every lane
 * (FUTEX_WAIT on its lock word), for lanes_changed, and for the soonest deadline of a queued task; it reaps and sweeps. The
 * others wait for the role's own word: when the holder dies, the kernel wakes one of them. Nothing is polled.
 * Lanes of kind SHARED are watched by pidfd. Where io_uring lacks FUTEX_WAIT, or is forbidden, futex_waitv does the same in
 * groups of 120 words; where that is missing too, a look every 10 ms. APIARY_PARK selects (see agents/loop.h).
 */
#ifndef AP_MONITOR_H
#define AP_MONITOR_H

#include "registry/registry.h"

struct ap_monitor;
/* Starts the thread, which opens a lane of its own under `member`. */
int ap_monitor_start(struct ap_segment *seg, uint32_t member, struct ap_monitor **ret);
/* Wakes and joins it; it gives up the role and its lane. NULL is allowed. */
void ap_monitor_stop(struct ap_monitor *m);
/* Any thread, about once a second where the process wakes up anyway: one load; wakes the monitor when nobody alive holds the
 * role. For the one case that the kernel cannot help with: a holder's death wakes one waiter, and that one dies, too. */
void ap_monitor_nudge(struct ap_monitor *m);

#endif
