/* tools/view/trace.h - the life of a task, or of a whole trace, across swarms: from the records of the last tasks, and from tasks
 * that are not over. In apiary and apiaryd.
 *
 * A task's span is its reference, and a task that an agent delegates names it as its parent (registry/client/carried.h). So the
 * chain of a trace is found by spans. Tasks in no trace know nothing of each other; then there is one task, with its attempts.
 */
#ifndef AP_TOOLS_TRACE_H
#define AP_TOOLS_TRACE_H

#include "tools/common/finished.h"

struct trace_row {
    struct ap_finished r;
    const char *state;    /* of a task that is not over, else NULL */
    uint64_t from, until; /* on the segment's clock; until now, where it is not over */
    uint32_t depth;       /* below the first of its chain */
    uint64_t dead;        /* its entry in the dead set; 0: it has none */
    bool placed;
};
struct trace_view {
    struct trace_row *rows; /* parents before their children, each with its attempts in turn */
    size_t count, room;
    char trace[33]; /* "": in none */
    bool sampled;   /* all of its tasks are recorded */
    bool orphans;   /* a parent is named that is not there: whoever began the trace, or a task whose record is gone */
    uint64_t lost;  /* records overwritten so far, of whatever task */
    uint64_t from, until, now;
};

/* `id` is a task's or a trace's of 32 hexadecimal digits. 0; APIARY_EINVAL: it is neither; APIARY_ESTALE: nothing is known of
 * it. */
AP_MUST_CHECK int view_trace(const struct ap_segment *seg, const char *id, struct trace_view *ret);
void view_trace_free(struct trace_view *v);
/* A new reference. */
json_t *view_trace_json(const struct ap_segment *seg, const struct trace_view *v);
/* The last tasks, the newest first: those that did not end well or were slow, and with `all` those that a tap or a trace left. */
json_t *view_finished_json(const struct ap_segment *seg, bool all, const char *capability, const char *service, uint32_t most);

#endif
