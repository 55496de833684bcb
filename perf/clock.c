/* perf/clock.c */
#include "perf/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CALIBRATION UINT64_C(30000000)
#define READINGS 20000

bool perf_clock_counter;
double perf_clock_ns = 1;
double perf_clock_cost;

uint64_t perf_monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The kernel itself uses the counter: it runs at one rate and is one for all processors. */
static bool counter_is_good(void)
{
    static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    char name[64] = "";
    FILE *f = fopen(path, "r");

#if defined(__aarch64__)
    if (f != NULL) fclose(f);
    return true; /* by the architecture */
#endif
    if (f == NULL) return false;
    if (fgets(name, sizeof name, f) == NULL) name[0] = '\0';
    fclose(f);
    if (strncmp(name, "tsc", 3) == 0) return true;
    if (strncmp(name, "kvm-clock", 9) != 0) return false;
    /* A guest's clock that is the counter, scaled; good where the counter is invariant. */
    f = fopen("/proc/cpuinfo", "r");
    if (f == NULL) return false;
    char line[4096];
    bool invariant = false;
    while (!invariant && fgets(line, sizeof line, f) != NULL)
        invariant = strncmp(line, "flags", 5) == 0 && strstr(line, " nonstop_tsc") != NULL &&
                    strstr(line, " constant_tsc") != NULL;
    fclose(f);
    return invariant;
}

static double cost_of_reading(void)
{
    double best = 1e9;

    for (int round = 0; round < 5; round++) {
        uint64_t from = perf_ticks(), last = from;
        for (int i = 0; i < READINGS; i++)
            last = perf_ticks();
        double each = (double)(last - from) * perf_clock_ns / READINGS;
        if (each < best) best = each;
    }
    return best;
}

void perf_clock_open(void)
{
    uint64_t from_ns, to_ns, from, to;

#if defined(__x86_64__) || defined(__aarch64__)
    perf_clock_counter = counter_is_good();
#endif
    if (perf_clock_counter) {
        from_ns = perf_monotonic();
        from = perf_ticks();
        do
            to_ns = perf_monotonic();
        while (to_ns - from_ns < CALIBRATION);
        to = perf_ticks();
        if (to > from)
            perf_clock_ns = (double)(to_ns - from_ns) / (double)(to - from);
        else
            perf_clock_counter = false;
    }
    if (!perf_clock_counter) perf_clock_ns = 1;
    perf_clock_cost = cost_of_reading();
}
