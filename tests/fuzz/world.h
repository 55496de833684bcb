/* tests/fuzz/world.h - a small segment with something of everything in it, made by the library in this process; and patches:
 * an input as a list of changes to it, so that a file of a few dozen bytes stands for a whole hostile segment. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "agents/runtime/queen.h"
#include "agents/runtime/worker.h"
#include "registry/client/client.h"
#include "registry/discovery/discovery.h"
#include "tests/fuzz/fuzz.h"

#define WORLD_TASKS 12u
#define WORLD_AGENTS 3u
#define MS UINT64_C(1000000)

struct world {
    apiary_t *client, *queen;
    struct ap_lane_context *c, *q; /* of this thread */
    struct ap_segment *seg;        /* the client's mapping */
    struct ap_agent_registration agents[WORLD_AGENTS];
    struct ap_swarm_registration swarm;
    apiary_task_t tasks[WORLD_TASKS];
    uint32_t task_count;
    void *loan;
    struct ap_queen host; /* of the worker: only what that asks of it */
    struct ap_worker worker;
    struct ap_agent hosts[WORLD_AGENTS], *host_list[WORLD_AGENTS];
    apiary_job_t *kept; /* a job that its agent did not finish at once */
};

/* Time that passes only when somebody looks at it, or sleeps; a sleep without an end ends the process. */
extern const struct ap_ops world_ops;
uint64_t world_now(void);
/* Ends the process when somebody still sleeps after so much of that time; 0: no more. */
void world_patience(uint64_t time);

void world_make(struct world *w);
/* What an orderly member does at its end, with a segment that may be anything by now. */
void world_free(struct world *w);
/* Takes at most `most` references of an agent's queue and runs them. */
void world_work(struct world *w, unsigned agent, unsigned most, bool scan);

/* A patch: 12 bytes: section (or the header), element, offset in it, how, value. */
#define PATCH_SIZE 12u
#define PATCH_ALL 0xffffu /* as element: each of the section */
struct patch {
    uint8_t section, how;
    uint16_t element;
    uint8_t offset;
    uint64_t value;
};
struct patch patch_read(struct fuzz_input *in);
/* Where it goes: an offset in the segment, and its size (1, 2, 4, 8; aligned). */
uint64_t patch_place(const struct ap_segment *seg, const struct patch *p, unsigned *size);
/* With plain atomic stores, so that another thread may do it. `robust`: robust mutexes, too (see lane.h TRUST). */
void patch_apply(const struct ap_segment *seg, uint8_t *base, const struct patch *p, bool robust);

/* A copy of a world's bytes, at rest and all there is to one; and the view of it that says where the sections are. */
const uint8_t *world_image(const struct ap_segment **ret_view, uint64_t *size);

#endif
