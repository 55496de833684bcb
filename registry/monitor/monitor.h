/* registry/monitor/monitor.h - SwarmMonitor: one thread in every queen and in the daemon; the one that holds the role
 * watches all lanes.
 *
 * ROLE      1 The role is a robust mutex in the header.
 *           2 Its holder waits, in one io_uring, for the kernel's death mark of every lane (FUTEX_WAIT on the lane's lock word),
 *           for lanes_changed, for the soonest deadline of a queued task, and for the soonest time of a scheduled one
 *           (shm/due.h). It reaps, sweeps and queues what is due.
 *           3 The other monitors wait for the role's own word. When the holder dies, the kernel wakes one of them.
 * ROUNDS    1 Nothing is polled. Once a second the holder makes a round without being woken, and stores its beat in
 *           header.watched.
 *           2 For deaths that no mark tells (shm/image.h) it asks the system 10 ms after a recovery, then less and less often,
 *           down to once a second.
 * STUCK     While a living swarm does not go on (router.h), the holder sweeps with each beat: what waits there moves to others.
 * STOPPED   1 A holder that is stopped (SIGSTOP, a debugger, a frozen cgroup) is alive and keeps the role. But the role is there
 *           to save work, not to exclude: recovery may run in several places at once.
 *           2 A monitor that finds the beat stale watches beside the holder and beats in its stead, until another monitor beats.
 *           3 A dead lane is locked by one reaper at a time. A reaper that makes no progress for 100 ms (stopped, say) is helped
 *           by the monitor, or by one that watches beside it: once for each death, with all that needs no lock (reap.h).
 * FALLBACK  How it waits for so many words where io_uring lacks FUTEX_WAIT, or is forbidden: core/loop.h.
 */
#ifndef AP_MONITOR_H
#define AP_MONITOR_H

#include "core/must_check.h"
#include "registry/registry.h"
#include "shm/lane.h"

struct ap_monitor;
/* Starts the thread, which opens a lane of its own under `member`. */
AP_MUST_CHECK int ap_monitor_start(struct ap_segment *seg, uint32_t member, struct ap_monitor **ret);
/* Wakes and joins the thread, which gives up the role and its lane. NULL is allowed. */
void ap_monitor_stop(struct ap_monitor *m);
/* Wakes the monitor when nobody alive holds the role, or when the holder's beat is stale.
 * 1 Any thread, about once a second, where the process wakes up anyway. Two loads.
 * 2 For the cases in which the kernel wakes no monitor: a holder's death wakes one waiter, and that one dies, too; a holder that
 *   is stopped wakes nobody. */
void ap_monitor_nudge(struct ap_monitor *m);

/* For observers: whether the role's holder is alive but does not watch: its last beat is stale, or another monitor beats in its
 * stead.
 * 1 *ret_lane is the holder's lane; AP_NO_LANE when no lane has that thread.
 * 2 *ret_beats is the lane that beats; AP_NO_LANE when none does, and then no death on this host is noticed.
 * 3 *ret_age is the age of the last beat. */
bool ap_monitor_stopped(const struct ap_segment *seg, uint32_t *ret_lane, uint32_t *ret_beats, uint64_t *ret_age);
/* The role itself, a robust lock: false when another thread has it. A thread that is given the role by its holder's death finds all
 * that the role guards by its first look. Both wake those who wait for the role, or watch beside its holder. */
bool ap_monitor_role_take(struct ap_segment *seg);
void ap_monitor_role_release(struct ap_segment *seg);

#endif
