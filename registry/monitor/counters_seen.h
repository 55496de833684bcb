/* registry/monitor/counters_seen.h - the rows of which counters.def speaks: copies of the segment's records, in private memory.
 * Inside: for counters.c and counters_seen.c.
 */
#ifndef AP_COUNTERS_SEEN_H
#define AP_COUNTERS_SEEN_H

#include "registry/monitor/counters.h"
#include "registry/monitor/resources.h"
#include "registry/monitor/swarm_queues.h"
#include "registry/monitor/tally.h"
#include "registry/routing/target.h"
#include "registry/routing/terms.h"
#include "shm/cost.h"
#include "shm/pool.h"
#include "shm/times.h"

enum ap_counter_scope {
#define AP_COUNTER_SCOPE(scope, ...) AP_SCOPE_##scope,
#include "registry/monitor/counters.def"
    AP_SCOPES
};

/* Each row begins with the values of its labels, which lie in it or are constant. */
struct seen_labels {
    const char *of[AP_COUNTER_LABELS];
};

struct seen_segment {
    struct seen_labels labels;
    uint64_t members[APIARY_TOOL + 1]; /* by kind */
    uint64_t lanes, slabs, tasks[AP_TASK_STATES], uncollected, overdue, queues;
    uint64_t changes, finished;
    uint64_t watching, stopped, watched; /* watched: ns since */
    char monitor[APIARY_NAME_MAX + 1];   /* the member that watches; "": nobody does */
    uint64_t values, value_bytes, quota_bytes;
    uint64_t dead, dead_entered, dead_dropped, kept, unkept;
    uint64_t others[AP_TALLY_KINDS], tally_rows, tally_limit;
    struct ap_costs costs; /* of all lanes */
};
struct seen_event {
    struct seen_labels labels;
    uint64_t count;
    char kind[24];
};
struct seen_pool {
    struct seen_labels labels;
    uint64_t bytes, count; /* bytes of one block */
    uint64_t states[AP_BLOCK_RESULT + 1];
    char size[16];
};
/* A histogram of shm/times.h by powers of two: its eight buckets to each of them are added up, so a bound is an edge there. A time
 * of just a bound, to the nanosecond, is counted above it. */
#define SEEN_POWER 10u /* of the first bound: 1,024 ns */
#define SEEN_TIMES 33u /* bounds; the last is 2^42 ns */
_Static_assert(UINT64_C(1) << SEEN_POWER == AP_SPREAD_FIRST && UINT64_C(1) << (SEEN_POWER + SEEN_TIMES - 1) == AP_SPREAD_END,
               "the first and the last edge");
struct seen_times {
    uint64_t counts[SEEN_TIMES + 1], sum;
};
struct seen_agent {
    struct seen_labels labels;
    uint32_t queue;
    bool up;
    uint64_t started, done, failed, late, crashed, expired, cancelled, retried, refused, taken, probes, rounds;
    uint64_t queued, running, oldest, run_time, pace, ejected, ejections, times_ejected, lost, heap, heap_resident;
    struct seen_times waited, ran;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], name[APIARY_NAME_MAX + 1];
};
struct seen_instance {
    struct seen_labels labels;
    bool live;
    uint64_t weight, waited;
    apiary_swarm_status_t status;
};
struct seen_supervised {
    struct seen_labels labels;
    uint64_t starts, ends;
    uint32_t state;
    char service[APIARY_NAME_MAX + 1], instance[12];
};
struct seen_process {
    struct seen_labels labels;
    struct ap_resources resources;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1];
};
struct seen_service {
    struct seen_labels labels;
    uint64_t delegations;
    char name[APIARY_NAME_MAX + 1];
};
struct seen_capability {
    struct seen_labels labels;
    const struct ap_terms *terms;
    uint64_t providers, bound, taken, waited;
    struct ap_target_verdict verdict; /* all zeros without targets */
    char name[APIARY_CAPABILITY_MAX + 1];
};
struct seen_cache {
    struct seen_labels labels;
    uint64_t values, bytes, evicted, unfetched;
    char name[APIARY_NAME_MAX + 16];
};
/* Rows of tally.h that differ in what is no label are added up; `of` is the name of one of them. */
struct seen_tally {
    struct seen_labels labels;
    struct ap_tally_name of;
    uint64_t counts[AP_TALLY_COUNTS_END];
    char capability[APIARY_CAPABILITY_MAX + 1]; /* "": it is not known */
};
struct seen_call {
    struct seen_tally tally;
};
struct seen_failure {
    struct seen_tally tally;
};
struct seen_refusal {
    struct seen_tally tally;
};

struct ap_counters {
    const struct ap_segment *seg;
    char *names;            /* of the rows that are asked for, as ap_counters_take_of has them; NULL: of all */
    bool wanted[AP_SCOPES]; /* some row of the scope is asked for */
    struct ap_swarm_queues queues;
    uint64_t *oldest; /* of each queue: when the task was queued that waits longest; 0: none waits */
    struct seen_rows {
        void *rows;
        uint32_t count;
    } seen[AP_SCOPES];
};

/* Fills in all of it: 0 or APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_counters_see(struct ap_counters *c);

/* apiary_swarm_status of one record (status.c). False: there is no such registration, or it changed meanwhile. */
bool ap_swarm_status_of(const struct ap_segment *seg, const struct ap_swarm_queues *queues, uint32_t swarm, int service,
                        apiary_swarm_status_t *ret);

#endif
