/* tools/view/stats.h - what is counted of agents and of those who call them, taken at one moment or between two: for apiary stats
 * and for /v1/stats and /v1/pairs of the coordinator. Trust and threads are as view.h says. */
#ifndef AP_TOOLS_VIEW_STATS_H
#define AP_TOOLS_VIEW_STATS_H

#include "registry/monitor/tally.h"
#include "shm/cost.h"
#include "shm/times.h"
#include "tools/view/view.h"

struct stats_agent {
    struct agent_view agent;
    struct ap_times_copy times;
    uint64_t oldest; /* ns that its oldest task has waited; 0: none waits */
    uint64_t retried, crashed, refused;
};
struct stats {
    struct stats_agent *agents; /* in the order of their queues */
    size_t agent_count;
    struct ap_tally *tallies; /* no others; by their kinds, queues, capabilities, callers and codes */
    size_t tally_count;
    uint64_t others[AP_TALLY_KINDS]; /* counted, and not told apart */
    struct ap_costs costs; /* of the registry itself, whatever was asked for */
    uint64_t now; /* when; CLOCK_MONOTONIC */
    uint64_t span; /* ns between two moments; 0: since ever */
};

/* All that is of a service or capability of this name; NULL: all. To be freed by stats_free. */
void stats_take(const struct ap_segment *seg, const char *of, struct stats *ret);
/* Takes away what was there `before`. */
void stats_since(struct stats *s, const struct stats *before);
/* One that is freed for itself. */
void stats_copy(const struct stats *s, struct stats *ret);
void stats_free(struct stats *s);

/* The agent of a queue; NULL: it is not there (any more), or not asked for. */
const struct stats_agent *stats_agent_of(const struct stats *s, uint32_t queue);

/* The tallies of a kind, of an agent's capability, which stand together: the first; how many. */
const struct ap_tally *stats_tallies_of(const struct stats *s, enum ap_tally_kind kind, uint32_t queue, uint32_t capability,
                                        size_t *ret_count);

/* As `apiary stats --json` tells it, with --pairs if `pairs`: a new reference. */
json_t *stats_json(const struct ap_segment *seg, const char *segment, const struct stats *s, bool pairs);
/* The same in parts: all but the list "agents" or "pairs", then each row of it. */
json_t *stats_head(const struct ap_segment *seg, const char *segment, const struct stats *s, bool pairs);
void stats_rows(const struct ap_segment *seg, const struct stats *s, bool pairs, view_row_fn visit, void *user);
/* Of an agent's capability, whoever calls. False, and all 0: nothing is counted. */
bool stats_capability_counts(const struct stats *s, uint32_t queue, uint32_t capability, uint64_t ret[AP_TALLY_COUNTS_END]);

/* stats_pairs.c: who calls whom, as a table, or as a list. */
void stats_pairs_print(const struct ap_segment *seg, const struct stats *s);
void stats_pairs_rows(const struct ap_segment *seg, const struct stats *s, view_row_fn visit, void *user);

/* stats_registry.c: what the registry does itself. since: takes away what there was before. */
void stats_registry_print(const struct stats *s);
json_t *stats_registry_json(const struct stats *s);
void stats_registry_since(struct ap_costs *costs, const struct ap_costs *before);

/* For both: of tasks that have ended the part that went well, in percent; "-", null where none has. Means of ns: the same. */
const char *stats_success(const uint64_t counts[AP_TALLY_COUNTS_END], char ret[16]);
json_t *stats_success_json(const uint64_t counts[AP_TALLY_COUNTS_END]);
const char *stats_mean(uint64_t sum, const uint64_t counts[AP_TALLY_COUNTS_END], char ret[32]);
json_t *stats_mean_json(uint64_t sum, const uint64_t counts[AP_TALLY_COUNTS_END]);

#endif
