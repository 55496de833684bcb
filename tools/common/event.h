/* tools/common/event.h - an event of the segment's log in words: for `apiary events`, and for what the coordinator keeps.
 *
 * NAMES     1 The log has rows and numbers. A row is named as it is at that moment, so whoever tells an event soon after it has
 *           happened tells the names of then. The coordinator does.
 *           2 A row that is nobody's is told by its number.
 * DETAIL    Facts that lie elsewhere in the segment: of a dead task the entry of the dead set. They are left out where that is
 *           another's by now.
 * TRUST     Nothing of the segment is trusted: numbers are range-checked, texts ended and printable.
 */
#ifndef AP_TOOLS_COMMON_EVENT_H
#define AP_TOOLS_COMMON_EVENT_H

#include "shm/event.h"
#include "tools/common/common.h"

#define EVENT_KIND_MAX 31u
#define EVENTS_LOST "events-lost" /* a kind that the log does not have: what was overwritten before it was kept */

struct event_told {
    uint64_t number, time; /* CLOCK_REALTIME */
    char kind[EVENT_KIND_MAX + 1]; /* as it is typed: "swarm-died" */
    char service[APIARY_NAME_MAX + 1]; /* "": of none */
    char *text; /* a line, without the time */
    json_t *json;
};

/* False: of no known kind. */
AP_MUST_CHECK bool event_tell(const struct ap_segment *seg, const struct ap_event *e, struct event_told *ret);
/* The entry for events that nobody has read: `count` of them, the first with `number`. */
void event_tell_lost(uint64_t number, uint64_t count, uint64_t time, struct event_told *ret);
void event_told_free(struct event_told *told);

/* Whether there is such a kind. */
AP_MUST_CHECK bool event_kind_known(const char *name);
/* All names, with commas between them; to be freed. */
char *event_kinds(void);

/* A span before now ("10m"), or a time as events are printed with, in CLOCK_REALTIME: 0, or APIARY_EINVAL. */
AP_MUST_CHECK int event_since(const char *text, uint64_t *ret);

/* The oldest number that the log may still have, when the next one to be given is `end`. */
uint64_t event_log_begins(const struct ap_segment *seg, uint64_t end);

#endif
