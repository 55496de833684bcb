/* registry/monitor/monitor.h - SwarmMonitor: one thread in every queen and in the daemon; the one that holds the role
 * watches all lanes.
 *
 * The role is a robust mutex in the header. Its holder waits, in one io_uring, for the kernel's death mark of every lane
 * (FUTEX_WAIT on its lock word), for lanes_changed, and for the soonest deadline of a queued task; it reaps and sweeps. The
 * others wait for the role's own word: when the holder dies, the kernel wakes one of them. Nothing is polled; once a second
 * the holder goes round without a reason and leaves its beat in header.watched. What no mark tells (shm/image.h) it asks 10 ms
 * after a recovery, then less and less often, down to once a second.
 * A holder that is stopped (SIGSTOP, a debugger, a frozen cgroup) is alive and keeps the role. But the role is there to save
 * work, not to exclude: recovery may run in several places at once. Whoever finds the beat stale watches beside the holder,
 * beats in its stead, and leaves it alone again as soon as somebody else beats.
 * A dead lane is locked by one reaper at a time. One that does not get on for 100 ms, since it is stopped, say, is helped by the
 * monitor, or by who watches beside it: once for each death, all that needs no lock (reap.h).
 * Where io_uring lacks FUTEX_WAIT, or is forbidden, futex_waitv does the same for 128 words, and what is beyond them gets a
 * look every 10 ms; where that is missing too, all do. APIARY_PARK selects (see agents/runtime/loop.h).
 */
#ifndef AP_MONITOR_H
#define AP_MONITOR_H

#include "core/must_check.h"
#include "registry/registry.h"
#include "shm/lane.h"

struct ap_monitor;
/* Starts the thread, which opens a lane of its own under `member`. */
AP_MUST_CHECK int ap_monitor_start(struct ap_segment *seg, uint32_t member, struct ap_monitor **ret);
/* Wakes and joins it; it gives up the role and its lane. NULL is allowed. */
void ap_monitor_stop(struct ap_monitor *m);
/* Any thread, about once a second where the process wakes up anyway: two loads; wakes the monitor when nobody alive holds the
 * role, or when its holder's beat is stale. For the cases that the kernel cannot help with: a holder's death wakes one waiter,
 * and that one dies, too; a holder that is stopped wakes nobody. */
void ap_monitor_nudge(struct ap_monitor *m);

/* For observers: whether the role's holder is alive and does not watch, since its last beat is stale, or another beats in its
 * stead. *ret_lane: the holder's, AP_NO_LANE when no lane has that thread; *ret_beats: the lane that does beat, AP_NO_LANE when
 * none does, and so no death on this host is noticed; *ret_age: of the last beat. */
bool ap_monitor_stopped(const struct ap_segment *seg, uint32_t *ret_lane, uint32_t *ret_beats, uint64_t *ret_age);

#endif
