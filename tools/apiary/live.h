/* tools/apiary/live.h - what `apiary up` shows while it stays: the event log as lines, and one line of figures. */
#ifndef AP_TOOLS_APIARY_LIVE_H
#define AP_TOOLS_APIARY_LIVE_H

#include "tools/apiary/up.h"

/* Until an interrupt. On a terminal the figures stand at the bottom, renewed every second; elsewhere they are a line
 * whenever they have changed, at most every ten seconds. A service that is down is in them, with how often it was started
 * and why it ended; the service manager learns of it, too. */
void live_run(struct up *up);
/* One turn of that: waits at most `timeout` ns, and shows what is to be shown. For whoever waits meanwhile. */
void live_turn(struct up *up, uint64_t timeout);

#endif
