/* tools/apiaryd_events.h - the coordinator keeps what the segment's event log tells (tools/history.h).
 *
 * ROUND     One thread looks at the log five times a second, and more often while something comes. A look loads one word.
 * TROUBLE   Where the history cannot be written, that is logged once, and tried again; everything else goes on. The log has
 *           what was not kept, up to its size, so the next round catches up, or keeps how many events are lost.
 */
#ifndef AP_TOOLS_APIARYD_EVENTS_H
#define AP_TOOLS_APIARYD_EVENTS_H

#include "registry/client/client.h"
#include "tools/history.h"

struct keeper;

/* `folder`: of the segment, NULL: there is none. NULL, and a sentence in `why`: there is no thread. */
struct keeper *keeper_start(apiary_t *a, const char *folder, const struct history_limits *limits, char why[HISTORY_WHY]);
/* After a last round; NULL is allowed. */
void keeper_stop(struct keeper *k);

#endif
