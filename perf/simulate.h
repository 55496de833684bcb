/* perf/simulate.h - the policies by which one of several providers is chosen, over service times with heavy tails.
 *
 * 1 A world is a segment with so many members, each with one agent that does one task after another, and with callers. Callers
 *   delegate, members serve, fail and eject with the functions of the library; only the clock is the simulation's, and what a task
 *   takes. So it is the policies themselves that are measured, with what they know and with how old it is.
 * 2 A member publishes as one whose handlers block: when it has nothing more to do, or after as many tasks as the worker has it.
 * 3 All policies of one setting see the same arrivals, sizes and keys, which follow from the seed.
 */
#ifndef PERF_SIMULATE_H
#define PERF_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIMULATE_MEMBERS 64u
#define SIMULATE_LOAD 0.7   /* of what the members can do that do not fail */
#define SIMULATE_SLOWER 10  /* the slow member takes so many times as long */
#define SIMULATE_MEAN 10e6  /* ns that a task takes */

enum simulate_tail { SIMULATE_PARETO, SIMULATE_LOGNORMAL, SIMULATE_TAILS };
enum simulate_scene { SIMULATE_EVEN, SIMULATE_SLOW, SIMULATE_FAILING, SIMULATE_BOTH, SIMULATE_SCENES };
/* The policies of the library first, by their numbers; then those that they stand beside, which eject nobody. */
enum { SIMULATE_LIBRARY = 4, SIMULATE_RANDOM = SIMULATE_LIBRARY, SIMULATE_TURNS, SIMULATE_SHORTEST, SIMULATE_POLICIES };

struct simulate_setting {
    enum simulate_scene scene;
    enum simulate_tail tail;
    unsigned members, policy;
    uint64_t seed, tasks;
};

struct simulate_figures {
    uint64_t tasks;          /* that came after the first second, as all figures */
    double mean, p50, p99;   /* of those that ended well; in the mean of what a task takes */
    double failing;          /* share that went to the failing member */
    double failed;           /* share that failed or found every queue full */
};

struct simulate_point {
    struct simulate_setting setting;
    struct simulate_figures figures;
};

const char *simulate_policy_name(unsigned policy);
const char *simulate_tail_name(unsigned tail);
const char *simulate_scene_name(unsigned scene);

/* simulate_world.c */
struct simulate_figures simulate_run(const struct simulate_setting *setting);
/* simulate_draw.c: the p99 by the number of members, a panel for each scene and tail. */
void simulate_draw(const struct simulate_point *points, size_t n, FILE *to);
/* The command: every setting, each with so many tasks and for so many seconds of its members, at least. Returns the exit code. */
int simulate_main(bool json, const char *plot, uint64_t seed, uint64_t tasks, double seconds);

/* balance.c: the same with three processes and the system's clock, one run of so many seconds for each policy and for random. */
int balance_main(bool json, uint64_t seed, double seconds);

#endif
