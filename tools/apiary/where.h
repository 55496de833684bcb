/* tools/apiary/where.h - where the living coordinator keeps the history, which it alone knows.
 *
 * ASKED     The kernel: the coordinator's process has the lock's file open. Its user and root may ask that, who alone may read its
 *           folder. The segment tells no path: readers that may not follow it would only learn it, and any member could
 *           write one there for root to open.
 * BELIEVED  The segment tells which process is the coordinator, and a member may forge that. So a folder is only taken from it that
 *           belongs to root, to the user who asks, or to the segment's owner, and that nobody else may write in.
 */
#ifndef AP_TOOLS_APIARY_WHERE_H
#define AP_TOOLS_APIARY_WHERE_H

#include "registry/client/client.h"
#include "tools/history/history.h"

/* The folder in which the coordinator of the segment keeps its history; to be freed. NULL, and in `why` "": nobody keeps one at the
 * moment; else a part of a sentence: why the folder is not to be learned. */
char *events_where(const apiary_t *a, char why[HISTORY_WHY]);

#endif
