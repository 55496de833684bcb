/* registry/discovery/changes.h - the log of changes of registered instances, for those who watch them.
 *
 * SCOPE     An instance registers, leaves or dies, gets another mode or, by an operator or a reload (ap_swarm_adjust), another
 *           weight. The record (registry.h) is the truth. An entry of the log says what a record was at one moment; the entry
 *           before it shows what has changed.
 * LAYOUT    1 Section "instances": instance_changes rows, used in turn. Row number % count has the entry of that number, in one
 *           word: number (23 bits) | record (14) | epoch (10) | what (3) | weight (10) | mode (2) | state (2).
 *           2 Of row 0: head, the first number that is not given out, and the bell of those who watch.
 *           3 Of a record: `told`, the last word by which it was entered, as far as that is known; a hint that spares an entry.
 *           Numbers are compared over half a turn: one that is a quarter behind is brought nearer by the monitor's sweep.
 *           `first`, the epoch with which its present instance got the record.
 *           4 `what` says in what an entry differs from the one before it, for a watch that has not seen that one.
 * ENTRY     1 A lane that enters reads the head, then the record, and then swaps the row of that number from an older word. So the
 *           entries of one record are in the order in which the record was that. Nobody has a row in hand, or waits for another.
 *           2 Any lane that sees the row taken raises the head. One that has read the row reads the head once more: one that stood
 *           still for a whole turn does not take a younger entry for an older one.
 *           3 The first number is the time when the segment was made, in steps of 16 us. So a revision of an earlier segment is
 *           below it, unless that entered more than a change in 16 us of its life.
 * TELLING   1 A process that is about to change a record first enters what it is, unless that was told, and afterwards once more.
 *           So no state between two changes of a word is missed: its swap fails if somebody else has changed it meanwhile.
 *           2 That process may die, or stand still, before the entry. So each recovery, and the monitor with each of its sweeps,
 *           enters what each record is, unless it was told.
 *           3 An entry that says the same as the one before it tells nothing.
 *           4 Mode, `leaving`, weight and the operator's weight are words of their own. Changes that two processes make in the
 *           same moment, each of another word, may be one entry, which says what the record is then.
 * WATCHER   1 It notes the head, and reads the records. A change after that is entered from that number on.
 *           Of each record it reads the head, the record, and the head and its row once more. If nothing was entered between, all
 *           that the record was before is below that head: each state was told before it was changed, TELLING 1, so the row is
 *           taken for which somebody has read an earlier state. Entries of the record below it are not told.
 *           2 It has fallen behind if a row has a later number, or if a record that an entry names has another instance by now: its
 *           name is nowhere then.
 * INVARIANTS D3 an entry's number is that of its row and was given out, its record is in the table, its weight is possible
 * ORDERING  TELL-R1 a row's word by CAS pairs TELL-A1 load-acquire: the record as it was then.
 *           TELL-R2 head by CAS pairs TELL-A2 load-acquire: the row that was taken before it.
 *           TELL-R3 release fence after `first` pairs TELL-A3 acquire fence before a reader's look at it: a reader that has read a
 *           new name sees that the record is another's.
 * CRASH     1 Dead before the row was taken: TELLING 2. Dead before the head was raised: the next one to enter raises it, and a
 *           watcher finds the entry in its row.
 *           2 Dead before watchers were rung: the recovery rings, and a monitor with each of its sweeps.
 * THREADS   Any, with or without a lane.
 */
#ifndef AP_DISCOVERY_CHANGES_H
#define AP_DISCOVERY_CHANGES_H

#include "registry/registry.h"

enum ap_instance_state { AP_INSTANCE_NONE, AP_INSTANCE_LIVE, AP_INSTANCE_LEFT, AP_INSTANCE_DIED };

#define AP_TURN_WHAT_LIFE 1u
#define AP_TURN_WHAT_MODE 2u
#define AP_TURN_WHAT_WEIGHT 4u

#define AP_TOLD_WORD(number, swarm, epoch, what, weight, mode, state)                                                      \
    (((uint64_t)(number) & AP_TOLD_NUMBERS) << 41 | (uint64_t)(swarm) << 27 | ((uint64_t)(epoch) & AP_TOLD_EPOCHS) << 17 | \
     (uint64_t)(what) << 14 | (uint64_t)(weight) << 4 | (uint64_t)(mode) << 2 | (state))
#define AP_TOLD_NUMBERS UINT64_C(0x7fffff)
#define AP_TOLD_EPOCHS UINT64_C(0x3ff)
#define AP_TOLD_NUMBER(w) ((w) >> 41)
#define AP_TOLD_SWARM(w) ((uint32_t)((w) >> 27 & 0x3fff))
#define AP_TOLD_EPOCH(w) ((uint32_t)((w) >> 17 & AP_TOLD_EPOCHS))
#define AP_TOLD_WHAT(w) ((uint32_t)((w) >> 14 & 7))
#define AP_TOLD_WEIGHT(w) ((uint32_t)((w) >> 4 & 0x3ff))
#define AP_TOLD_MODE(w) ((uint32_t)((w) >> 2 & 3) + 1) /* enum apiary_mode */
#define AP_TOLD_STATE(w) ((uint32_t)((w) & 3))
#define AP_TOLD_SAYS(w) ((w) & UINT64_C(0x7fe3fff)) /* epoch, weight, mode, state: what the record was */
#define AP_TOLD_BEGIN_MOST ((UINT64_C(1) << 47) - 1)
_Static_assert(AP_SWARMS_MAX - 1 <= 0x3fff, "an entry names any record");
_Static_assert(AP_WEIGHT_MAX <= 0x3ff && APIARY_PAUSE <= 4, "an entry has room for any weight and mode");

struct ap_instance_row {
    uint64_t word;
    /* Of row 0: */
    uint64_t head;
    uint32_t bell, reserved;
} AP_ALIGNED;

static inline struct ap_instance_row *ap_instance_row_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_INSTANCES, i, struct ap_instance_row);
}
/* The first number that is not given out; 0: nothing was entered yet. */
static inline uint64_t ap_instance_changes(const struct ap_segment *seg)
{
    return ap_load_acquire(&ap_instance_row_at(seg, 0)->head); /* TELL-A2 pairs TELL-R2 */
}

/* The first number of the segment's. */
uint64_t ap_instance_changes_begin(const struct ap_segment *seg);
/* The same as ap_instance_changes; the numbers begin, if they have not yet. */
uint64_t ap_instance_changes_head(struct ap_segment *seg);

/* A record as it is now, as a word without number and `what`: true. False: it is free, or being filled in. */
bool ap_instance_now(const struct ap_segment *seg, uint32_t swarm, uint64_t *ret);
/* Enters what a record is, unless that was told: before somebody changes it, and after. */
void ap_instance_tell(struct ap_segment *seg, uint32_t swarm);
/* The same for all records, and wakes all watchers. */
void ap_instances_tell(struct ap_segment *seg);
/* Wakes all watchers. */
void ap_instance_watchers_wake(struct ap_segment *seg);
/* The entry of a number: 0. APIARY_ENOTREADY: it has not come yet; APIARY_ECHANGED: it was overwritten. */
AP_MUST_CHECK int ap_instance_change_read(const struct ap_segment *seg, uint64_t number, uint64_t *ret);

#endif
