/* tests/plugins/timely.h - what the plug-in timely.c is asked, and what it writes down. */
#ifndef TIMELY_H
#define TIMELY_H

#include <stdint.h>

struct timely {
    uint64_t index, due; /* due: CLOCK_MONOTONIC, before which it is not to be run */
    uint32_t fails, reserved;
};

struct timely_row {
    uint64_t first; /* when it was run for the first time; 0: never */
    uint32_t runs, early;
};

#endif
