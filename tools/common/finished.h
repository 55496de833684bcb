/* tools/common/finished.h - the last tasks (shm/finished.h) as the programs tell of them: from all rings together, in the order in
 * which they have ended, with the names of now.
 *
 * TRUST     As all that is read of a segment: names are range-checked, ended and printable in JSON.
 * THREADS   Any, each with its own memory.
 */
#ifndef AP_TOOLS_FINISHED_H
#define AP_TOOLS_FINISHED_H

#include <jansson.h>

#include "registry/registry.h"
#include "shm/finished.h"

/* All that can be read now, of plain ones, too, oldest first: *ret is to be freed. *ret_lost: how many of the notable ones were
 * overwritten since the segment was made. */
size_t finished_all(const struct ap_segment *seg, struct ap_finished **ret, uint64_t *ret_lost);

/* Where each ring was read to. */
struct finished_tail {
    uint32_t rings;
    struct finished_place {
        uint64_t next;
        uint32_t waited; /* rounds, for a record that has a number and is not there */
    } *places;
    uint64_t missed; /* overwritten before they were read, or their writer died */
};
void finished_tail_begin(const struct ap_segment *seg, struct finished_tail *ret);
/* Those that have come since, oldest first: how many; *ret is to be freed. */
size_t finished_tail_next(const struct ap_segment *seg, struct finished_tail *tail, struct ap_finished **ret);
void finished_tail_end(struct finished_tail *tail);

/* A time of the segment's clock as CLOCK_REALTIME. `live`: of this boot; else by when the segment was made. */
uint64_t finished_time(const struct ap_segment *seg, uint64_t monotonic, bool live);
uint64_t finished_waited(const struct ap_finished *r);
uint64_t finished_ran(const struct ap_finished *r); /* 0: it was not started */
/* Of a task a span, as its children name it. */
uint64_t finished_span(const struct ap_finished *r);
bool finished_traced(const struct ap_finished *r);
#define FINISHED_AGENT (2 * (APIARY_NAME_MAX + 1))
/* "service/agent", "queue 3", or "-". */
const char *finished_agent(const struct ap_segment *seg, uint32_t queue, char ret[FINISHED_AGENT]);
const char *finished_service(const struct ap_segment *seg, uint32_t queue, char ret[APIARY_NAME_MAX + 1]); /* "": none */
const char *finished_caller(const struct ap_segment *seg, const struct ap_finished *r, char ret[APIARY_NAME_MAX + 1]);
const char *finished_capability(const struct ap_segment *seg, const struct ap_finished *r, char ret[APIARY_CAPABILITY_MAX + 1]);
void finished_task(const struct ap_finished *r, char ret[48]);
void finished_trace(const struct ap_finished *r, char ret[33]);

/* A new reference. */
json_t *finished_json(const struct ap_segment *seg, const struct ap_finished *r, bool live);

#endif
