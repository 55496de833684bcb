/* tools/apiary_live.h - what `apiary up` shows while it stays: the event log as lines, and one line of figures. */
#ifndef AP_TOOLS_APIARY_LIVE_H
#define AP_TOOLS_APIARY_LIVE_H

#include "tools/apiary.h"
#include "tools/apiary_crew.h"

/* Until an interrupt. On a terminal the figures stand at the bottom, renewed every second; elsewhere they are a line
 * whenever they have changed, at most every ten seconds. */
void live_run(apiary_t *a, struct crew *crew, size_t instances);

#endif
