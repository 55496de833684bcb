/* tools/apiary/autoscale.h - the supervisor gives a service as many instances as what waits at them takes
 * (agents/deployment/autoscale.h decides).
 *
 * LOOK      At each turn of the loop in which the supervisor is awake anyway, at least once a second, with what the last look at
 *           the queens has read. Nothing is done where no service is autoscaled.
 * TURN      Not during a change (change.h): one is begun and ended between two looks. One that is begun finds no instance
 *           that is about to leave.
 * UP        Instances that are missing are started, and nobody waits for them. First those stay that were about to leave.
 * DOWN      1 The instance with the highest number is taken out of the routing, with a reason, for as long as its tasks take. When
 *           it was seen without any at two looks, it is told to end, and finishes what has come between.
 *           2 The mode is the name's and outlives a supervisor that is killed then: the next one puts back what has that reason.
 * NUMBER    It is no part of a revision: a reload and a rollback keep it, within the bounds. A supervisor that follows another one,
 *           which was killed or is replaced, begins with as many as that had.
 */
#ifndef AP_TOOLS_APIARY_AUTOSCALE_H
#define AP_TOOLS_APIARY_AUTOSCALE_H

#include <jansson.h>

#include "tools/apiary/renew.h"

/* Before the queens are added: as many as the former supervisor had. */
void autoscale_adopt(struct up *up);
/* Looks, decides, and carries it out. Waits for nothing. */
void autoscale_turn(struct up *up);
/* Before a change: those about to leave stay, and those that were told to end have ended. */
void autoscale_settle(struct change *c);
/* A service has another number of instances than `from`: into the event log, and what was seen before says nothing any more.
 * `by`: AP_EVENT_BY. `said` is cut to the room of an event. */
void autoscale_note(struct up *up, const struct ap_deployment_swarm *s, uint32_t from, uint64_t by, const char *said);
/* "work=3,web=1": the numbers of those that are autoscaled. To be freed. */
char *autoscale_numbers(const struct up *up);
/* A list: what is seen of each service, or of one, what is wanted and why. */
json_t *autoscale_json(struct up *up, const char *service);
/* Whether an instance is out of the routing because it is about to leave, not by an operator's word. */
bool autoscale_took_out(const struct swarm_view *v);
void autoscale_close(struct up *up);

#endif
