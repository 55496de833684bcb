/* tools/common/demand.h - the body of a request that changes something: JSON, judged as a whole before anything is done.
 *
 * KEYS      Those of the route (request.h), and of each: `reason`, without which nothing is changed; `by`, a name of who asks, as
 *           told by him; `expect`, how many the asker takes to be meant: where that is another number by now, nothing is done.
 * TRUST     Own code beside the library that parses JSON, so that it can be tested and fuzzed alone. Texts are printable.
 * THREADS   Any; private memory.
 */
#ifndef AP_TOOLS_COMMON_DEMAND_H
#define AP_TOOLS_COMMON_DEMAND_H

#include "core/apiary.h"
#include "tools/common/request.h"

#define DEMAND_REASON 72u /* bytes; as many as an instance's record has for it */
#define DEMAND_BY 32u
#define DEMAND_MOST 1000u /* numbers or tasks */
#define DEMAND_INSTANCES 64u
#define DEMAND_WEIGHT 1000u

struct demand {
    char service[REQUEST_TEXT_MAX + 1], instance[REQUEST_TEXT_MAX + 1]; /* "": none, all */
    char capability[REQUEST_TEXT_MAX + 1], cause[REQUEST_TEXT_MAX + 1]; /* "": any */
    char reason[DEMAND_REASON + 1], by[DEMAND_BY + 1];                  /* by "": not told */
    int weight;         /* -1: as configured */
    uint32_t instances;
    uint64_t older;     /* ns; 0: of any age */
    bool all;           /* of the dead set: all that the others leave */
    int64_t expect;     /* -1: not told */
    uint64_t *numbers;  /* one of both, `count` of them */
    apiary_task_t *tasks;
    size_t count;
};
/* Reads the body for a route that changes something. A refusal is in `v`; demand_free is to be called in any case. */
void demand_read(struct request_verdict *v, const char *body, size_t size, struct demand *ret);
void demand_free(struct demand *d);

#endif
