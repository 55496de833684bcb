/* tools/apiary/renew.h - the steps of a change (change.h) on instances: they are started, follow each other, are stopped.
 *
 * Each step waits for what it needs, while the crew is looked after. It breaks off when this process is told to end.
 */
#ifndef AP_TOOLS_APIARY_RENEW_H
#define AP_TOOLS_APIARY_RENEW_H

#include <jansson.h>

#include "tools/apiary/up.h"

struct change {
    struct up *up;
    json_t *done, *failed; /* sentences */
};

/* Says it, and adds it to one of the lists. */
void renew_note(struct change *c, json_t *list, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* This process is told to end. */
bool renew_broken_off(const struct change *c);
/* Into the segment's log, with the revision in force. */
void renew_event(const struct change *c, uint32_t kind, const char *service);

/* Whether it passes, now or before `until` (CLOCK_MONOTONIC). Instances that were started together share it. */
AP_MUST_CHECK bool renew_await_until(struct change *c, struct queen *q, uint64_t until);
/* The end of the time that one may take which is started now. */
uint64_t renew_until(const struct change *c);
/* Why one does not pass, and what happens `then`. */
void renew_complain(struct change *c, const struct queen *q, const char *then);
/* Whether it runs with something else than the configuration in force, or with nothing yet. */
bool renew_is_stale(const struct queen *q);

/* Whether it says something else in the segment than the configuration in force, or may do so since it has not answered, and can
 * take that over as it runs. */
bool renew_is_unlike(const struct queen *q);
/* Those that are so take it over, and are marked as `adjusted`. All are told at once, and share the time to answer. */
void renew_adjust(struct change *c);

/* Restarts the instances of a service one after another, until one does not come up: its sisters stay as they are. `rolling`:
 * start_first, whatever the configuration says. `stale_only`: those that are marked so. Whether all came up. */
AP_MUST_CHECK bool renew_service(struct change *c, const char *service, bool rolling, bool stale_only);
/* Instances that the service does not have yet are to be started, and are marked as fresh. Does not wait. */
void renew_add(struct change *c, const struct ap_deployment_swarm *s);
/* All that are fresh pass, or have had their time, which they share. */
void renew_await_added(struct change *c);
/* Those that were told to leave have left. */
void renew_finish(struct change *c);
/* Stops those whose number is not below `wanted`. All at once are told so. */
void renew_shrink(struct change *c, const char *service, uint32_t wanted);

#endif
