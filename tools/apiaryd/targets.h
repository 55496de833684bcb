/* tools/apiaryd/targets.h - the coordinator judges the targets of capabilities (registry/routing/target.h), by the past that it
 * keeps.
 *
 * ROUND     After each step of the past. The windows are cut at minutes, and end with the step.
 * EVENTS    When a target is missed that was not before, and when it is met again. No verdict changes nothing.
 */
#ifndef AP_TOOLS_APIARYD_TARGETS_H
#define AP_TOOLS_APIARYD_TARGETS_H

#include "registry/client/client.h"
#include "tools/history/past.h"

/* `at`: the end of the newest step, in ms. Where the past cannot be read there is no verdict. */
void targets_judge(apiary_t *a, const char *folder, int64_t at);

#endif
