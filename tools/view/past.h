/* tools/view/past.h - the past as JSON: for apiary history and for /v1/history of the coordinator.
 *
 * LIMITS    An answer has VIEW_PAST_STEPS steps at most, and ends before the step with which it would have more than VIEW_PAST_ROWS
 *           rows in all, or when it has read VIEW_PAST_BYTES; then `next` says from where on the rest is to be asked for. By
 *           its bytes an answer may end within a step: the rest is a step of its own in the next one, with its own time watched.
 */
#ifndef AP_TOOLS_VIEW_PAST_H
#define AP_TOOLS_VIEW_PAST_H

#include "tools/history/past.h"
#include "tools/view/view.h"

#define VIEW_PAST_STEPS 1000u
#define VIEW_PAST_ROWS 40000u
#define VIEW_PAST_BYTES (UINT64_C(8) << 20)
#define VIEW_PAST_NAMES 16384u
#define VIEW_PAST_WINDOW UINT64_C(3600000000000) /* ns, where nothing else is asked for */

struct view_past {
    uint64_t since, until; /* CLOCK_REALTIME ns; 0: VIEW_PAST_WINDOW before `until`, now */
    uint64_t step;         /* ns; 0: as fits (past_step_width) */
    uint64_t after;        /* ms: the `next` of the answer before; 0 */
    enum past_kind kind;
    const char *service;   /* NULL: all */
    uint32_t most;         /* steps */
    size_t most_rows;      /* as of past_wanted */
};
/* The question to past_read. */
void view_past_wanted(const struct view_past *asked, struct past_wanted *ret);
/* `folder` NULL: nothing is kept anywhere. A new reference; in `why` a sentence where the past cannot be read, else "".
 * NULL, and one: more rows are meant than may be. */
json_t *view_past_json(const char *segment, const char *folder, const struct view_past *asked, char why[HISTORY_WHY]);

#endif
