/* registry/monitor/counters.h - all that is counted, as of about one moment: the rows of counters.def with their samples.
 *
 * MOMENT    ap_counters_take looks at each record once: numbers of one agent or instance belong together, those of two may lie some
 *           microseconds apart. Nobody is held up, nothing is written.
 * COST      Memory for each agent, instance, service, capability and cache that there is, for each row of tally.h that is in use,
 *           and a word for each queue; a look at each task's word, and some files of /proc for each queen.
 * TRUST     Nothing of the segment is trusted: numbers are range-checked, texts end. A counter may jump where somebody has written
 *           anything into the segment.
 * THREADS   Any, each with its own. A read-only mapping will do.
 */
#ifndef AP_COUNTERS_H
#define AP_COUNTERS_H

#include "core/must_check.h"
#include "registry/registry.h"

enum ap_counter_type { AP_TYPE_counter, AP_TYPE_gauge, AP_TYPE_histogram };
enum ap_counter_unit { AP_UNIT_one, AP_UNIT_bytes, AP_UNIT_seconds /* values are ns */ };

#define AP_COUNTER_LABELS 5u
#define AP_NO_VALUE UINT64_MAX /* there is no sample: it is not known, or not bounded */

/* A row of counters.def. */
struct ap_counter {
    const char *name, *help;
    enum ap_counter_type type;
    enum ap_counter_unit unit;
    const char *labels[AP_COUNTER_LABELS + 1]; /* their names, ends with NULL */
};
/* The row of that number, from 0. False: there are not so many. */
AP_MUST_CHECK bool ap_counter_at(size_t index, struct ap_counter *ret);

/* A histogram: counts[i] values were at most bounds[i], in the row's unit, and above the bound before it; the last count is of all
 * that were above the last bound. All of it lives during the visit only. */
struct ap_counter_histogram {
    const uint64_t *bounds, *counts;
    uint32_t buckets; /* bounds; there is one count more */
    uint64_t sum;
};

struct ap_counter_sample {
    const char *labels[AP_COUNTER_LABELS]; /* their values, as many as the row has names */
    uint64_t value;
    const struct ap_counter_histogram *histogram; /* NULL: `value` is it */
};

struct ap_counters;
/* Looks at everything. To be freed. 0, APIARY_ENOBLOCK. */
AP_MUST_CHECK int ap_counters_take(const struct ap_segment *seg, struct ap_counters **ret);
/* The same for rows of these names or beginnings of names, with commas between: only what they are made from is looked at. */
AP_MUST_CHECK int ap_counters_take_of(const struct ap_segment *seg, const char *names, struct ap_counters **ret);
void ap_counters_free(struct ap_counters *c); /* NULL is allowed */

/* Visits each row that is asked for with `sample` NULL, then with each of its samples. A visitor that does not return 0 ends it:
 * its value is returned, else 0. */
typedef int (*ap_counter_visit_fn)(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample);
int ap_counters_each(const struct ap_counters *c, ap_counter_visit_fn visit, void *user);

#endif
