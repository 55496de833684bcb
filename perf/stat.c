/* perf/stat.c - medians, quantiles, ratios, bins. */
#include "perf/stat.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *perf_bin_name(enum perf_bin bin)
{
    static const char *const names[PERF_BINS] = {"near", "middle", "far", "no raw"};

    return bin < PERF_BINS ? names[bin] : "all";
}

enum perf_bin perf_bin_of(double raw)
{
    if (isnan(raw)) return PERF_NO_RAW;
    return raw < PERF_NEAR_BELOW ? PERF_NEAR : raw <= PERF_FAR_ABOVE ? PERF_MIDDLE : PERF_FAR;
}

static int stat_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double quantile_sorted(const double *v, size_t n, double q)
{
    double rank = q * (double)(n - 1);
    size_t below = (size_t)rank;

    if (below + 1 >= n) return v[n - 1];
    return v[below] + (rank - (double)below) * (v[below + 1] - v[below]);
}

double perf_quantile(const double *figures, size_t n, double q)
{
    double *v = malloc((n + 1) * sizeof *v), ret = NAN;
    size_t count = 0;

    if (v == NULL) return NAN;
    for (size_t i = 0; i < n; i++)
        if (!isnan(figures[i])) v[count++] = figures[i];
    qsort(v, count, sizeof *v, stat_ascending);
    if (count > 0) ret = quantile_sorted(v, count, q);
    free(v);
    return ret;
}

double perf_median(const double *figures, size_t n)
{
    return perf_quantile(figures, n, 0.5);
}

double perf_ratio_quantile(const double *a, const double *b, size_t n, double q)
{
    double *ratios = malloc((n + 1) * sizeof *ratios), ret;

    if (ratios == NULL) return NAN;
    for (size_t i = 0; i < n; i++) /* NAN / x and x / NAN are NAN */
        ratios[i] = b[i] > 0 ? a[i] / b[i] : NAN;
    ret = perf_quantile(ratios, n, q);
    free(ratios);
    return ret;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

static void *memory(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (p != NULL) return p;
    fputs("apiary-perf: out of memory\n", stderr);
    abort();
}

struct perf_series *perf_result_series(struct perf_result *r, const char *name, const char *setting)
{
    struct perf_series *s = &r->series[r->series_count];

    if (r->series_count == PERF_SERIES_MAX) abort();
    r->series_count++;
    *s = (struct perf_series){.name = name, .setting = setting};
    s->figures = memory(r->blocks + 1, sizeof *s->figures);
    s->hist = memory(1, sizeof *s->hist);
    for (size_t i = 0; i < r->blocks; i++)
        s->figures[i] = NAN;
    return s;
}

void perf_result_row(struct perf_result *r, const char *unit, double value, const char *format, ...)
{
    struct perf_row *row = &r->rows[r->row_count];
    va_list args;

    if (r->row_count == PERF_ROWS_MAX) return;
    r->row_count++;
    row->unit = unit;
    row->value = value;
    va_start(args, format);
    vsnprintf(row->what, sizeof row->what, format, args);
    va_end(args);
}

void perf_result_missing(struct perf_result *r, const char *name, const char *format, ...)
{
    va_list args;

    if (r->missing_count == PERF_SERIES_MAX) return;
    r->missing[r->missing_count].name = name;
    va_start(args, format);
    vsnprintf(r->missing[r->missing_count].why, sizeof r->missing[0].why, format, args);
    va_end(args);
    r->missing_count++;
}

void perf_result_note(struct perf_result *r, const char *format, ...)
{
    va_list args;

    if (r->note_count == sizeof r->notes / sizeof *r->notes) return;
    va_start(args, format);
    vsnprintf(r->notes[r->note_count++], sizeof r->notes[0], format, args);
    va_end(args);
}

void perf_result_free(struct perf_result *r)
{
    for (size_t i = 0; i < r->series_count; i++) {
        free(r->series[i].figures);
        free(r->series[i].hist);
    }
    memset(r, 0, sizeof *r);
}

const struct perf_series *perf_result_raw(const struct perf_result *r)
{
    for (size_t i = 0; i < r->series_count; i++)
        if (strcmp(r->series[i].name, "raw") == 0) return &r->series[i];
    return NULL;
}
