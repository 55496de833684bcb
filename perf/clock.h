/* perf/clock.h - the processor's own counter as a clock: one reading an operation, its cost known.
 *
 * The time-stamp counter (x86-64, when it runs at one rate) or the virtual counter (arm64), else CLOCK_MONOTONIC.
 * Calibrated against CLOCK_MONOTONIC once, before the first fork: the counter is one for all processors, so children
 * may compare theirs.
 */
#ifndef PERF_CLOCK_H
#define PERF_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

extern bool perf_clock_counter; /* the counter is used */
extern double perf_clock_ns;    /* of one tick */
extern double perf_clock_cost;  /* of one reading, ns */

void perf_clock_open(void);
uint64_t perf_monotonic(void); /* ns */

static inline uint64_t perf_ticks(void)
{
#if defined(__x86_64__)
    if (__builtin_expect(perf_clock_counter, 1)) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    if (__builtin_expect(perf_clock_counter, 1)) {
        uint64_t v;
        __asm__ __volatile__("isb; mrs %0, cntvct_el0" : "=r"(v)::"memory");
        return v;
    }
#endif
    return perf_monotonic();
}

#endif
