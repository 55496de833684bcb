/* tools/apiaryd/events.h - the coordinator keeps what the segment's event log tells (tools/history/history.h).
 *
 * ROUND     One thread looks at the log. A look loads a word, and one for each hole; only when something has come the file is
 *           touched. Then the next look follows after 20 ms, and while nothing comes each waits twice as long as the one before,
 *           up to a second. So an idle host is left alone, and a burst that begins while it is idle is told as lost only where
 *           it overwrites the whole log within a second.
 * POWER     Kept events are settled on the disk when it has become quiet, and every five seconds while it has not.
 * TROUBLE   Where the history cannot be written, that is logged, once for each reason, and tried again after a second, then after
 *           twice the time each, up to a minute; everything else goes on. The log has what was not kept, up to its size, so the
 *           next round catches up, or keeps how many events are lost.
 * END       The last round has three seconds, since whoever stops a coordinator may kill it after five.
 */
#ifndef AP_TOOLS_APIARYD_EVENTS_H
#define AP_TOOLS_APIARYD_EVENTS_H

#include "registry/client/client.h"
#include "tools/history/history.h"

struct keeper;

/* `folder`: of the segment, NULL: there is none. NULL, and a sentence in `why`: there is no thread. */
struct keeper *keeper_start(apiary_t *a, const char *folder, const struct history_limits *limits, char why[HISTORY_WHY]);
/* After a last round; NULL is allowed. False, which is logged: that takes too long, and its thread still uses the segment. */
AP_MUST_CHECK bool keeper_stop(struct keeper *k);

#endif
