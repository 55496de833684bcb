/* agents/runtime/tallied.h - what a worker counts of its agents' tasks by caller, capability and code (registry/monitor/tally.h).
 *
 * ROWS      1 Most tasks have the caller and capability of the one before, whose row is at hand. Of the others a few rows are kept
 *           beside it.
 *           2 A row is kept for a caller's number. Before it is used again for a task that is not the next, and whenever counts are
 *           published, the caller's name is compared by its key: a number can go to another name.
 *           3 Where the table has no row, one is looked for again a second later.
 * THREADS   The worker's.
 */
#ifndef AP_TALLIED_H
#define AP_TALLIED_H

#include "registry/monitor/tally.h"

struct ap_agent;
struct ap_job;

#define AP_TALLIED_KNOWN 16u
#define AP_TALLIED_NONE UINT32_MAX /* no task has that capability */
#define AP_TALLIED_OTHER (UINT32_MAX - 1) /* nor this one */
#define AP_TALLIED_PAIR(caller, capability) ((uint32_t)(caller) << 16 | (uint32_t)(capability))

struct ap_tallied_pair {
    uint32_t pair;            /* AP_TALLIED_PAIR + 1; 0: none */
    uint64_t key;             /* of the caller's name, 0 without one */
    struct ap_tally_row *row; /* NULL: the table had none */
    uint64_t again;           /* with NULL: when to look again */
};
/* All zeros: nothing is known, and `last` must be AP_TALLIED_NONE. */
struct ap_tallied {
    uint32_t last; /* the pair of `row` */
    uint32_t codes; /* rows of FAILED that the agent has, + 1; 0: not counted yet */
    struct ap_tally_row *row;
    struct ap_tallied_pair known[AP_TALLIED_KNOWN];
};

/* The agent's worker begins with its queue. */
void ap_tallied_begin(struct ap_agent *agent);
/* A start of a task has ended: counts it here and in the agent. `count`: AP_TALLY_ENDED and well, or what it was beside that;
 * RETRIED: it is no end. */
void ap_tallied_end(struct ap_agent *agent, const struct ap_job *job, enum ap_tally_count count, uint64_t ran, uint64_t out);
/* ... as failed with a code. */
void ap_tallied_failed(struct ap_agent *agent, uint32_t capability, int code, uint32_t agent_code);
/* Before each publish. */
void ap_tallied_look(struct ap_agent *agent);

/* Counts what each start has in a row of the worker's own. */
AP_ALWAYS_INLINE void ap_tallied_add(struct ap_tally_row *row, uint64_t waited, uint64_t ran, uint64_t in, uint64_t out)
{
    ap_own_add(&row->counts[AP_TALLY_WAITED], waited);
    ap_own_add(&row->counts[AP_TALLY_RAN], ran);
    ap_own_add(&row->counts[AP_TALLY_IN], in);
    ap_own_add(&row->counts[AP_TALLY_OUT], out);
}

#endif
