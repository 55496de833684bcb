/* tools/apiary/order.h - in which order `apiary up` starts and stops services: `depends_on` and `phases` of the configuration.
 *
 * HELD      1 An instance of a service that has to wait is in the crew and is not started: it is held. It is let go at a look at
 *           the queens, for good.
 *           2 A service waits for each one that it depends on until an instance of that passes.
 *           3 It waits for those of earlier phases until each has passed once, or does not come up: its instances keep ending, are
 *           not started again, have had the time of --wait, or are held by what does not come up. So a phase that is broken delays
 *           the next one, and what is well is started all the same; but not with --once.
 *           4 Where an instance of a service is not held, no other one is. So what dies later stops nobody, and who is restarted,
 *           or scaled, waits for nobody.
 * STOP      A service that others wait for leaves after them.
 * COST      Nothing where the configuration has no order.
 */
#ifndef AP_TOOLS_APIARY_ORDER_H
#define AP_TOOLS_APIARY_ORDER_H

#include "tools/apiary/up.h"

/* A new instance: held, if its service has something to wait for and no instance that is not held. */
void order_hold(const struct up *up, struct queen *q);
/* The first look, when all have been added. */
void order_start(struct up *up);
/* After a look: lets go those that have nothing to wait for any more, and notes of the others what that is (`waits`, `lost`). */
void order_look(struct up *up);
/* It is held by what does not come up; or there are phases, and it has had the time to pass. Nobody should wait for it. */
bool order_gives_up(const struct up *up, const struct queen *q);
/* Whether the same service waits for others than before. */
bool order_differs(const struct ap_deployment_swarm *before, const struct ap_deployment_swarm *after);
/* Stops all queens, those for whom others wait after these. Each has `grace` to leave. How many had to be killed. */
unsigned order_stop(struct up *up, uint64_t grace);

#endif
