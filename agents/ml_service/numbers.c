/* agents/ml_service/numbers.c - see numbers.h. */
#include "agents/ml_service/numbers.h"

enum { WIDTH_MOST = 64 };

static double *numbers_refuse(apiary_job_t *job, double *numbers, const char *key, size_t i, const char *what)
{
    apiary_agent_free(apiary_job_agent(job), numbers);
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\": item %zu is not %s", key, i, what);
    return NULL;
}

double *ap_need_numbers(apiary_job_t *job, const json_t *request, const char *key, size_t most, size_t *count)
{
    const json_t *list;
    if (!ap_need_array(job, request, key, most, &list)) return NULL;
    size_t n = json_array_size(list);
    if (n == 0) return numbers_refuse(job, NULL, key, 0, "there; it is empty");
    double *numbers = apiary_agent_alloc(apiary_job_agent(job), n * sizeof *numbers);
    if (!numbers) {
        ap_out_of_memory(job);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (!json_is_number(json_array_get(list, i))) return numbers_refuse(job, numbers, key, i, "a number");
        numbers[i] = json_number_value(json_array_get(list, i));
    }
    *count = n;
    return numbers;
}

double *ap_need_points(apiary_job_t *job, const json_t *request, const char *key, size_t most, size_t *count,
                       size_t *width)
{
    const json_t *list;
    if (!ap_need_array(job, request, key, most, &list)) return NULL;
    size_t n = json_array_size(list), w = json_array_size(json_array_get(list, 0));
    if (n == 0 || w == 0 || w > WIDTH_MOST) return numbers_refuse(job, NULL, key, 0, "a point: a list of 1 to 64 numbers");
    double *points = apiary_agent_alloc(apiary_job_agent(job), n * w * sizeof *points);
    if (!points) {
        ap_out_of_memory(job);
        return NULL;
    }
    for (size_t i = 0; i < n * w; i++) {
        const json_t *point = json_array_get(list, i / w), *number = json_array_get(point, i % w);
        if (json_array_size(point) != w || !json_is_number(number))
            return numbers_refuse(job, points, key, i / w, "a point of as many numbers as the first");
        points[i] = json_number_value(number);
    }
    *count = n;
    *width = w;
    return points;
}
