/* shm/due.h - tasks that wait for their time: SCHEDULED until it has come, then QUEUED by whoever finds them due.
 *
 * SCOPE     1 A task that is not to be run before some time is SCHEDULED. Nobody owns it: any lane may queue it when it is due, and
 *           end it when it was cancelled or its deadline has passed.
 *           2 A task that is due and that nobody living offers stays SCHEDULED until a provider comes or its deadline passes; or it
 *           fails, where none will ever come (shm/move.h, RULE 3).
 *           3 A task that is due and shares its key with another one is queued if it leads that key; else it stays, too (follow.h).
 *           4 The monitor looks (registry/monitor/monitor.h), so a timer needs a queen or the daemon, whichever lives: the same as
 *           the task itself.
 * TIME      slot.due, written before the word is SCHEDULED.
 * HINTS     1 slab.due is not later than the next time at which something is to be done with a SCHEDULED task of the slab;
 *           header.due not later than any slab's. 0: none.
 *           2 A lane that schedules a task lowers both afterwards (ap_due_tell). If header.due became sooner, header.due_rung is
 *           bumped and woken: the monitor sleeps until header.due.
 *           3 A lane that looks takes a hint, by an exchange for 0, before it looks at what is below. Then it lowers the hint again
 *           to the soonest that it found. A task that is scheduled meanwhile is found, or lowers the hint after the exchange.
 * ORDERING  DUE-F1 full fence after the word SCHEDULED, and after each hint that was lowered, pairs DUE-F2 full fence after a
 *           hint was taken: either the look sees the word (the lower hint), or the lowering sees that the hint was taken.
 *           DUE-R1 due_rung's add (release), after header.due was lowered, pairs DUE-A1 load-acquire of the monitor, before it
 *           looks at header.due and sleeps on due_rung.
 * CRASH     A lane that dies between a word and its hints, or between taking a hint and lowering it, leaves hints too late.
 *           Its recovery looks at every slot, and lowers the hints of each SCHEDULED task again (reap.h).
 * INVARIANTS T12 the hints of a SCHEDULED task are not later than its next time (repairable)
 * PROGRESS  tell: lock-free. look: bounded by the table; slabs without anything due cost a load each.
 */
#ifndef AP_DUE_H
#define AP_DUE_H

#include "shm/move.h"

/* Lowers the hints for a SCHEDULED task to `at`. Any lane. */
void ap_due_tell(struct ap_segment *seg, uint32_t index, uint64_t at);
/* Does what is to be done now with the task of a slot, if it is SCHEDULED, and lowers its hints to when something is to be done
 * next. `self` is the caller's lane, or AP_NO_LANE. */
void ap_due_task(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self, uint32_t index, uint64_t now);
/* The same with all for which it is time by the hints. Returns when to look again; UINT64_MAX: nothing is scheduled. */
uint64_t ap_due_look(struct ap_segment *seg, const struct ap_reap_hooks *hooks, uint32_t self);

#endif
