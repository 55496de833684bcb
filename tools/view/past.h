/* tools/view/past.h - the past as JSON: for apiary history and for /v1/history of the coordinator.
 *
 * LIMITS    An answer has VIEW_PAST_STEPS steps at most, and ends before the step with which it would have more than VIEW_PAST_ROWS
 *           rows in all; then `next` says from where on the rest is to be asked for.
 */
#ifndef AP_TOOLS_VIEW_PAST_H
#define AP_TOOLS_VIEW_PAST_H

#include "tools/history/past.h"
#include "tools/view/view.h"

#define VIEW_PAST_STEPS 1000u
#define VIEW_PAST_ROWS 40000u
#define VIEW_PAST_WINDOW UINT64_C(3600000000000) /* ns, where nothing else is asked for */

struct view_past {
    uint64_t since, until; /* CLOCK_REALTIME ns; 0: VIEW_PAST_WINDOW before `until`, now */
    uint64_t step;         /* ns; 0: as fits (past_step_width) */
    uint64_t after;        /* ms: the `next` of the answer before; 0 */
    enum past_kind kind;
    const char *service;   /* NULL: all */
    uint32_t most;         /* steps */
};
/* The question to past_read. */
void view_past_wanted(const struct view_past *asked, struct past_wanted *ret);
/* `folder` NULL: nothing is kept anywhere. A new reference; in `why` a sentence where the past cannot be read, else "". */
json_t *view_past_json(const char *segment, const char *folder, const struct view_past *asked, char why[HISTORY_WHY]);

#endif
