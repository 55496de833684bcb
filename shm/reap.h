/* shm/reap.h - recovery of a dead lane: callable by any member, idempotent, itself killable at any instruction.
 *
 * ELECTION  A reaper has the dead lane's mutex by trylock: EOWNERDEAD (THREAD), or 0 with life DEAD (SHARED). If the reaper dies,
 *           the kernel elects again; the next reaper finds life DEAD and repeats everything.
 * STEPS     1 life LIVE -> DEAD.
 *           2 Tasks in the lane's hands: RUNNING(it) by the task table's rows. No queue of a dead lane is chosen any more, and an
 *           attempt's block names the attempt, so this can come before all else. Of several dead lanes, all are begun before one
 *           is completed. A task waits where hooks->route says; else where its slot says, if hooks->offers agrees; else in a queue
 *           whose agent does offer it, the dead lane's first.
 *           3 Each part withdraws what names the lane (part.h): queues whose consumer it was are closed, registrations end. Then a
 *           full fence (TASK-F2).
 *           4 Every slot of leased slabs. RUNNING(it) as before. RESERVED(it) and RELEASING(it) are freed, and so are ended tasks
 *           that nobody may collect. A QUEUED task that no queue serves is moved (move.h). In slabs that the lane held, finished
 *           slots are freed, and all others are marked DETACH. Tasks that are BOUND (bond.h) are orphans then:
 *           the same step marks them CANCEL, and they are ended if they wait.
 *           5 The lane's slabs are given back.
 *           6 Each part settles what is left: inlets, leaked blocks, the member.
 *           7 header.rescan is raised, every bell rung.
 *           8 life FREE(e+1), unlock.
 * BESIDE    1 A reaper that is stopped is alive, so its lock stays its own, and nobody is elected in its stead. But the lock is
 *           needed only for the steps that no compare-and-swap decides.
 *           2 While life is DEAD(e), or JUDGED(e), the lane's index is not used again. So another lane, the helper, may take the
 *           other steps beside the holder: RUNNING(it), its OPEN queues, registrations, tasks in closed queues, DETACH, inlets;
 *           then rescan and the bells.
 *           3 The helper loads each word, then looks at the life, then exchanges the word. So the word was of life e. None of
 *           these words comes back: RUNNING has the deaths in it, OPEN and a registration an epoch, an inlet's lease the lane's
 *           epoch, DETACH the generation.
 *           4 So the holder may go on at any instruction, when its tasks have long been run again, and the helper may go on when
 *           the lane lives again.
 *           5 With the lock only: finished slots, RESERVED and RELEASING, CLAIMED queues and tickets (a later life of the lane
 *           makes the same words), supervisors' rows, slabs, the member, FREE(e+1).
 * WHY SCAN  There is no log of intents. All that a dead lane left half-done is visible in the table, and raising rescan makes
 *           every worker look there for tasks whose reference was lost. Hands only make the common case fast.
 */
#ifndef AP_REAP_H
#define AP_REAP_H

#include "shm/move.h"
#include "shm/pool.h"

/* Recovers lane `dead` if it is dead: 1. 0 when it is not dead, or another lane is recovering it. `self` is the caller's lane, or
 * AP_NO_LANE. */
int ap_reap_lane(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks);
/* If a living reaper holds a dead lane's lock: the lane's life as DEAD(e), even if the holder has not stored it yet. JUDGED(e), if
 * nobody has opened the lock of the dead (image.h), which is the same to a helper. Else 0. */
uint64_t ap_reap_held(const struct ap_segment *seg, uint32_t lane);
/* Takes the steps that need no lock beside that reaper: 1. 0 when there is no such reaper. Looks at the whole table and wakes
 * every lane, so call it once for each death, and only after the holder has had its time (registry/monitor/monitor.h). */
int ap_reap_beside(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks);
/* Recovers all dead lanes; returns how many. */
int ap_reap_all(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);
/* The same after asking the system for deaths that no mark tells (image.h): a system call for each process. */
int ap_reap_asking(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);
/* 1 Moves tasks that nobody would run where they are (move.h).
 * 2 Fails queued tasks past their deadline.
 * 3 Frees finished slots that nobody may collect, whose slab nobody holds, or that nobody has collected for too long
 *   (uncollected.h), and leaked blocks.
 * 4 Returns the soonest deadline of a queued task, or UINT64_MAX. */
uint64_t ap_sweep(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);

#endif
