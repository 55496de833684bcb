/* tools/view/past_look.h - what a segment has counted at a moment, and by how much it has gone up since another one: the rows of
 * the past (tools/history/past.h).
 *
 * ANEW      1 The counts of a queue begin anew when it goes to another agent; those of a process with the process. A count of
 *           another one, or one that has become less than half of the count before, has begun anew, and all of it has come since.
 *           A count that has become a little less was read while it was written: nothing has come.
 *           2 Rows that were not there at the moment before begin with 0. But a process may have run before it registered: its
 *           processor time counts from the first look at it.
 *           3 A queue that cannot be read for a moment is the same one afterwards, so its counts are passed on.
 * TRUST     Nothing of the segment is trusted.
 */
#ifndef AP_TOOLS_VIEW_PAST_LOOK_H
#define AP_TOOLS_VIEW_PAST_LOOK_H

#include "tools/history/past.h"
#include "tools/view/view.h"

/* A row, of one queue, process or reason. */
struct past_source {
    struct past_name name;
    uint64_t id[2];              /* sources of one name differ in it */
    uint32_t queue;              /* UINT32_MAX: none */
    bool passed_on;              /* from an earlier look */
    uint64_t numbers[PAST_FIELDS];
    struct ap_times_copy *times; /* NULL: none */
};
struct past_look {
    struct past_source *sources; /* by name, then id */
    size_t count, room;
};

/* All sources are to be added before past_look_sort. */
struct past_source *past_look_add(struct past_look *look, const struct past_name *name, uint64_t id, uint64_t more);
void past_look_sort(struct past_look *look);
/* Looks at a segment. */
void past_look_take(const struct ap_segment *seg, struct past_look *ret);
void past_look_free(struct past_look *look);
/* How much has come between two looks: rows by name, to be freed. Sources that are passed on go from `before` into `now`. */
size_t past_look_since(struct past_look *now, struct past_look *before, struct past_row **ret);

#endif
