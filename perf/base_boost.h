/* perf/base_boost.h - between C and the one C++ file: Boost.Interprocess message queues. Every function returns -1 for an error. */
#ifndef PERF_BASE_BOOST_H
#define PERF_BASE_BOOST_H

#include <stddef.h>

#include "core/must_check.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL: it could not be made. The name is removed at once; the memory lives as long as its processes. */
void *perf_boost_make(const char *name, size_t depth, size_t size);
/* 1 done, 0 full or empty (only without wait). */
AP_MUST_CHECK int perf_boost_send(void *queue, const void *body, size_t size, int wait);
AP_MUST_CHECK int perf_boost_receive(void *queue, void *body, size_t size, int wait);

#ifdef __cplusplus
}
#endif
#endif
