/* tools/apiary/former.h - instances that are gone, or about to go: those of another supervisor that is replaced or has died, and
 * those that a change has removed.
 *
 * HEIR      Each instance of the other supervisor has at most one heir: the own instance of its place, else one that is left over.
 *           The heir registers with the operator's mode, the reason for it and the operator's weight (--heir-of), so that it is not
 *           routed to before it has them. A word of the operator for the other one while the heir registers, and all of them where
 *           the heir's name has a record already, are given to it once: at the first look after that, within a second. A later
 *           word of the operator for the service is for both.
 * FORGOTTEN When no other supervisor is there, the records of those that have left are: others have their places, or there are
 *           none.
 */
#ifndef AP_TOOLS_APIARY_FORMER_H
#define AP_TOOLS_APIARY_FORMER_H

#include "core/must_check.h"
#include "tools/apiary/up.h"

/* All that other supervisors have said they run. After the own ones were added, before any is started. */
void former_note(struct up *up);
/* A change has removed this one. The queen is not to be used any more. */
void former_removed(struct up *up, const struct queen *q);
/* The instance as whose heir it is to register. False: as nobody's. */
AP_MUST_CHECK bool former_heir_of(struct up *up, const struct queen *q, uint32_t *ret);
/* Gives the heirs their due and forgets who has left. */
void former_look(struct up *up);
/* The operator's mode, reason and weight of the instance that one process runs are now those of another's, too. */
void former_hand_on(struct ap_segment *seg, pid_t from, pid_t to);
void former_free(struct up *up);

#endif
