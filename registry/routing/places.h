/* registry/routing/places.h - how many tasks of a capability run at once, over all its providers (terms.def, `concurrency`).
 *
 * SCOPE     The tasks that one agent may have in hand at a time are its own limit, and need nothing of this. The term is for what
 *           all instances share behind them: a database, a licence, another host. "name" and "name@2" are counted apart.
 * LAYOUT    Section "places": one row for each capability, at the same index, with AP_PLACES words. A word is 0, or the lane that
 *           has the place as epoch << 16 | lane + 1. The first `concurrency` of them may be taken.
 * LIFE      1 A worker takes a place by compare-and-swap before it claims a task of the capability, and gives it back by
 *           compare-and-swap when the task has ended, or when the claim came to nothing.
 *           2 A word of a lane that is dead, or has another life by now, counts as 0: whatever that lane ran does not run any more.
 *           So no place is lost with its holder, and nothing of this waits for a recovery. The recovery clears the words all the
 *           same, so that nobody has to look at old ones.
 *           3 A task of such a capability is put into the shared ring of its queue, whoever sends it. A worker that finds no
 *           place leaves it there, and takes what may be started and is behind it (shm/crowd.h, WAITING). So it holds up no other
 *           task. In an inlet there may be what was sent before the term was declared: that holds up what is behind it there.
 *           4 Giving a place back rings the bells of the other providers in whose rings something is. A recovery rings all.
 * BOUND     Never are more places taken than were declared when they were taken. A term that is lowered takes nobody's place away.
 * ORDERING  BELL-F1 full fence after a place is given back pairs BELL-F2 as a bell is raised: the worker that waits sees the free
 *           place, or is woken. A producer whose tail is not seen yet rings the bell itself.
 * CRASH     Between two steps the place is the dead lane's, see LIFE 2. A death after the place is given back and before the bells
 *           are rung: the recovery rings them.
 * COUNT     waited. A count that a dying worker does not make is lost.
 * INVARIANTS N1 a word's lane is in range; (repairable) it is LIVE with that epoch
 * COST      A worker of whose agents' capabilities none declares the term asks for it when it is about to sleep and every 64 tasks,
 *           a word for each capability, and does nothing else for it.
 * THREADS   Any.
 */
#ifndef AP_PLACES_H
#define AP_PLACES_H

#include "registry/routing/terms.h"

#define AP_PLACES 64u

struct ap_places {
    uint64_t holder[AP_PLACES];
    uint64_t waited AP_ALIGNED; /* tasks that were to be started and found no place; one that waits long may count twice */
} AP_ALIGNED;

static inline struct ap_places *ap_places_at(const struct ap_segment *seg, uint64_t capability)
{
    return AP_ELEMENT(seg, AP_SECTION_PLACES, capability, struct ap_places);
}

/* How many tasks of it may run at once; 0: any number. */
uint32_t ap_places_bound(const struct ap_segment *seg, uint32_t capability);
/* Whether the agent of a queue offers anything that has such a bound. */
bool ap_places_any(const struct ap_segment *seg, uint32_t queue);
/* A place of the capability for the lane, its number in *ret. False: all are taken. */
bool ap_places_take(const struct ap_segment *seg, uint32_t capability, const struct ap_lane_handle *lane, uint32_t *ret);
/* Whether one could be taken, or none is needed. */
bool ap_places_free(const struct ap_segment *seg, uint32_t capability);
/* Gives the lane's place back and has the other providers look; `queue` is the lane's own. */
void ap_places_return(struct ap_segment *seg, uint32_t capability, const struct ap_lane_handle *lane, uint32_t place,
                      uint32_t queue);
/* A task was to be started and found none. How many did so far. */
void ap_places_wait(const struct ap_segment *seg, uint32_t capability);
uint64_t ap_places_waited(const struct ap_segment *seg, uint32_t capability);
/* How many are taken by the living. */
uint32_t ap_places_taken(const struct ap_segment *seg, uint32_t capability);

#endif
