/* tools/apiaryd/past.h - the coordinator keeps the past: what was counted, every ten seconds (tools/history/past.h).
 *
 * ROUND     One thread, for which nobody waits, looks at the segment whenever the wall clock comes to a multiple of ten seconds.
 * GAPS      The time between two looks is a gap when they are more than PAST_LATEST apart, as after this process was stopped, when
 *           the wall clock has gone more than CLOCK_SET otherwise than CLOCK_MONOTONIC, and when it could not be written.
 * TARGETS   After each step the targets of capabilities are judged (targets.h).
 * TROUBLE   Where it cannot be written, that is logged, once for each reason, and tried again at the next round; everything else
 *           goes on.
 * END       A step that is not over is not kept.
 */
#ifndef AP_TOOLS_APIARYD_PAST_H
#define AP_TOOLS_APIARYD_PAST_H

#include "registry/client/client.h"
#include "tools/history/past.h"

struct past_keeper;

/* `folder`: of the segment, NULL: there is none. NULL, and a sentence in `why`: there is no thread. */
struct past_keeper *past_keeper_start(apiary_t *a, const char *folder, char why[HISTORY_WHY]);
/* NULL is allowed. False, which is logged: that takes too long, and its thread still uses the segment. */
AP_MUST_CHECK bool past_keeper_stop(struct past_keeper *k);

#endif
