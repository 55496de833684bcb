/* perf/stat.h - the arithmetic of a measurement: medians over blocks, ratios block by block, bins, and the JSON of a result.
 *
 * A block is a short time in which the subject and every baseline had one turn each. Its figures, one of each contestant, are
 * ns an operation. Ratios are formed within a block and only then summarised, so that what moves the whole machine cancels. No
 * block is dropped: blocks are told apart by their own raw figure (near, middle, far), and each bin is shown, an empty one too.
 */
#ifndef PERF_STAT_H
#define PERF_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/hist.h"
#include "core/must_check.h"

#define PERF_SCHEMA 1
#define PERF_SERIES_MAX 16
#define PERF_ROWS_MAX 64
#define PERF_NEAR_BELOW 100.0 /* raw, ns a round trip */
#define PERF_FAR_ABOVE 300.0

enum perf_bin { PERF_NEAR, PERF_MIDDLE, PERF_FAR, PERF_NO_RAW, PERF_BINS };
const char *perf_bin_name(enum perf_bin bin);
enum perf_bin perf_bin_of(double raw); /* NAN: PERF_NO_RAW */

/* Of `n` figures, those that are NAN left out; NAN when none is left. `q` from 0 to 1, linear between ranks. */
double perf_quantile(const double *figures, size_t n, double q);
double perf_median(const double *figures, size_t n);
/* The quantile of a[i] / b[i] over the blocks that have both. */
double perf_ratio_quantile(const double *a, const double *b, size_t n, double q);

/* One contestant. `figures` has one element per block, NAN where it had no turn. */
struct perf_series {
    const char *name;
    const char *setting; /* at which it runs, or NULL */
    double *figures;
    struct ap_hist *hist;
    double operations, ns;
};

struct perf_row { /* figures that are not times: bytes, counts, per cent */
    char what[96];
    double value;
    const char *unit;
};

struct perf_result {
    const char *name, *what;
    size_t blocks;
    size_t series_count; /* 0 is the subject */
    struct perf_series series[PERF_SERIES_MAX];
    size_t row_count;
    struct perf_row rows[PERF_ROWS_MAX];
    size_t missing_count;
    struct {
        const char *name;
        char why[160];
    } missing[PERF_SERIES_MAX];
    size_t note_count;
    char notes[8][240];
};

/* Adds an empty contestant; `blocks` is set before. Dies without memory. */
struct perf_series *perf_result_series(struct perf_result *r, const char *name, const char *setting);
void perf_result_row(struct perf_result *r, const char *unit, double value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void perf_result_missing(struct perf_result *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void perf_result_note(struct perf_result *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void perf_result_free(struct perf_result *r);
/* The series called "raw", or NULL. */
const struct perf_series *perf_result_raw(const struct perf_result *r);

/* `env` is borrowed, may be NULL. */
json_t *perf_result_json(const struct perf_result *r, json_t *env);

/* ---- comparison of two results of one case -------------------------------------------------------------------- */

struct perf_verdict {
    char name[64], bin[16], against[32]; /* the baseline by which both were divided; "" none was in both */
    size_t blocks_a, blocks_b;
    double a, b;         /* medians of the ratios */
    double change;       /* b / a */
    double low, high;    /* 95 % of it, by resampling blocks; NAN when there are too few */
    const char *verdict; /* "faster", "slower", "no difference seen", "too few blocks" */
};
#define PERF_COMPARE_BLOCKS_MIN 6

/* Compares one bin (PERF_BINS: all blocks together) of two results as read from JSON. Returns false when the bin is empty on
 * either side. Deterministic: the resampling begins with a fixed seed. */
AP_MUST_CHECK bool perf_compare(const json_t *a, const json_t *b, enum perf_bin bin, struct perf_verdict *ret);
/* 95 % interval of median(b) / median(a). */
void perf_bootstrap(const double *a, size_t na, const double *b, size_t nb, double *low, double *high);

#endif
