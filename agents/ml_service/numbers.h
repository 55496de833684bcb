/* agents/ml_service/numbers.h - lists of numbers and points out of a request, on the agent's heap. */
#ifndef AP_ML_NUMBERS_H
#define AP_ML_NUMBERS_H

#include "agents/kinds/support.h"

/* `key` must be a list of 1 to `most` numbers. NULL: the job is failed. */
double *ap_need_numbers(apiary_job_t *job, const json_t *request, const char *key, size_t most, size_t *count);
/* `key` must be a list of 1 to `most` points, all of the same 1 to 64 numbers; row by row. NULL: the job is failed. */
double *ap_need_points(apiary_job_t *job, const json_t *request, const char *key, size_t most, size_t *count,
                       size_t *width);

#endif
