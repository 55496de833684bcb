/* perf/step.h - the steps of a task's life one by one, in one process and one thread, and of other things that a client does: for
 * counting instructions. */
#ifndef PERF_STEP_H
#define PERF_STEP_H

#include "core/must_check.h"
#include "perf/perf.h"

enum perf_step { PERF_SUBMIT, PERF_CLAIM, PERF_COMPLETE, PERF_COLLECT, PERF_DISCOVER, PERF_ROUTE, PERF_HOLD, PERF_GET,
                 PERF_PUT, PERF_INCR, PERF_STEPS };
const char *perf_step_name(enum perf_step step);
AP_MUST_CHECK int perf_step_of(const char *name); /* "*": PERF_STEPS; -1: none */

/* The function of which the instructions of the step are counted. */
const char *perf_step_function(enum perf_step step, unsigned option);

struct perf_bench;
struct perf_tables { /* zeros: the defaults */
    unsigned members, tasks;
    unsigned services; /* that have registered before the one that is asked for */
    unsigned values; /* keys of the memory; 0: one */
    unsigned option; /* number of the setting (option.h) */
};
struct perf_bench *perf_bench_open(struct perf_tables tables);
void perf_bench_step(struct perf_bench *b, enum perf_step step); /* one; tasks go from submit to collect in turn */

/* Instructions and cache lines touched by one step (PERF_STEPS: by all of them, once each), by running this program under
 * valgrind. False, with the reason. */
AP_MUST_CHECK
bool perf_step_count(enum perf_step step, struct perf_tables tables, double *instructions, double *lines, char *why, size_t size);
/* The program that valgrind runs: `n` tasks, with all caches emptied before each step. */
void perf_step_counted(enum perf_step step, unsigned n, struct perf_tables tables);

/* Instructions of one step under each setting of option.h, in one run of valgrind. False, with the reason. */
AP_MUST_CHECK bool perf_step_count_options(enum perf_step step, double *instructions, char *why, size_t size);
/* The program that valgrind runs: with each setting `before` tasks, and then `n` between calls of the two functions. */
void perf_step_options(enum perf_step step, unsigned before, unsigned n);
__attribute__((noinline)) void perf_step_from_here(void);
__attribute__((noinline)) void perf_step_to_here(void);

#endif
