/* tools/apiaryd/ready.h - whether the host is ready: for the service manager, and for who asks /readyz.
 *
 * WHAT      The segment has its name, somebody watches for deaths, and of each service that is to run an instance passes. Which
 *           these are says the supervisor that lives (apiary up), since a reload changes that; without one, the configuration with
 *           which the coordinator was started.
 * THREADS   Any.
 */
#ifndef AP_TOOLS_APIARYD_READY_H
#define AP_TOOLS_APIARYD_READY_H

#include "agents/deployment/deployment.h"
#include "registry/client/client.h"
#include "tools/common/common.h"

/* Whether an instance of each service of the configuration passes. */
bool ready_deployment(apiary_t *a, const struct ap_deployment *d);
/* {"ready": ..., "lacking": [{"what": ..., "why": ...}]}, a new reference. `d` may be NULL. */
json_t *ready_json(apiary_t *a, const struct ap_deployment *d, bool *ret_ready);

#endif
