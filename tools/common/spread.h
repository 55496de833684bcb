/* tools/common/spread.h - a histogram of times as the programs show it (shm/times.h). */
#ifndef AP_TOOLS_COMMON_SPREAD_H
#define AP_TOOLS_COMMON_SPREAD_H

#include "shm/times.h"
#include "tools/common/common.h"

/* {"count", "sum_ns", "p50_ns", "p95_ns", "p99_ns", "p999_ns", "max_ns", "buckets": [[lower edge in ns, tasks], ...]}: the buckets
 * that have tasks. Quantiles are null when nothing was counted. */
json_t *tool_spread_json(const struct ap_spread *s);
/* A quantile: "35 us", "< 1 us", "> 73 min"; "-" when nothing was counted. Of the mean, q is negative. */
const char *tool_spread_text(const struct ap_spread *s, double q, char ret[32]);

#endif
