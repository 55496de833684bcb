/* shm/reap.h - recovery of a dead lane: callable by any member, idempotent, itself killable at any instruction.
 *
 * ELECTION  trylock of the dead lane's mutex: EOWNERDEAD (THREAD), or 0 with life DEAD (SHARED). If the reaper dies,
 *           the kernel elects again; the next one finds life DEAD and repeats everything.
 * STEPS     1 life LIVE -> DEAD. 2 what it had in hand: RUNNING(it) by the task table's rows. No queue of a dead lane is chosen
 *           any more, and an attempt's block names the attempt, so this can come before all else; of several dead lanes all
 *           are begun before one is completed. It waits where hooks->route says, else where its slot says, if
 *           hooks->offers agrees, else in a queue whose agent does offer it, the dead lane's first. 3 each part withdraws what
 *           names the lane (part.h): queues whose consumer it was are closed, registrations end; full fence (TASK-F2). 4 every
 *           slot of leased slabs: RUNNING(it) as before; RESERVED(it) and RELEASING(it) freed, and what has ended and nobody may
 *           collect; QUEUED where nobody serves it is moved (move.h); slots of slabs that it held: finished freed, the
 *           rest marked DETACH. 5 its slabs are given back. 6 each part settles what is left: inlets, leaked blocks, the member.
 *           7 header.rescan is raised, every bell rung. 8 life FREE(e+1), unlock.
 * BESIDE    A reaper that is stopped is alive, so its lock stays its own, and nobody is elected in its stead. But the lock is there
 *           for the steps that no compare-and-swap decides. While life is DEAD(e) the lane's index is nobody else's, so another may
 *           take the others beside it: RUNNING(it), its OPEN queues, registrations, tasks in closed queues, DETACH, inlets; then
 *           rescan and the bells. Each word is loaded, then the life is looked at, then the word is exchanged: so it was of life e,
 *           and none of these words comes back. RUNNING has the crashes in it, OPEN and a registration an epoch, an inlet's lease
 *           the lane's, DETACH the generation. So it does not matter either at which instruction the holder goes on, when its
 *           tasks have long been run again, or the helper, when the lane lives again. With the lock only: finished slots, RESERVED
 *           and RELEASING, CLAIMED queues and tickets (which a later life of the lane makes anew as the same word), supervisors'
 *           rows, slabs, the member, FREE(e+1).
 * WHY SCAN  No intents: whatever a dead lane left half-done is visible in the table, and raising rescan makes every worker
 *           look at the table for tasks whose reference was lost. Hands only make the common case fast.
 */
#ifndef AP_REAP_H
#define AP_REAP_H

#include "shm/move.h"
#include "shm/pool.h"

/* Recovers lane `dead` if it is dead: 1 recovered, 0 not dead or somebody else is at it. `self` is the caller's lane, or
 * AP_NO_LANE. */
int ap_reap_lane(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks);
/* Whether somebody alive is at a dead lane: its life DEAD(e), also where the holder of its lock has not said so yet; else 0. */
uint64_t ap_reap_held(const struct ap_segment *seg, uint32_t lane);
/* Does beside that one what may be done without the lock: 1, or 0: nobody is at it. A look at the whole table and a wake of
 * everybody, so once for each death, and only when the holder has had its time (registry/monitor/monitor.h). */
int ap_reap_beside(struct ap_segment *seg, uint32_t self, uint32_t dead, const struct ap_reap_hooks *hooks);
/* All dead lanes: how many were recovered. */
int ap_reap_all(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);
/* The same after asking the system for deaths that no mark tells (image.h): a system call for each process. */
int ap_reap_asking(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);
/* Moves tasks that nobody would run where they are (move.h), fails queued tasks past their deadline, frees finished slots that
 * nobody may collect or whose slab nobody holds, frees leaked blocks. Returns the soonest deadline of a queued task, or
 * UINT64_MAX. */
uint64_t ap_sweep(struct ap_segment *seg, uint32_t self, const struct ap_reap_hooks *hooks);

#endif
