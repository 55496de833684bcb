/* The arithmetic of measurements: quantiles, ratios within blocks, bins, the JSON of a result, comparison. */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "perf/stat.h"

Test(perf_stats, quantiles)
{
    const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, holes[] = {NAN, 7, NAN, 9}, none[] = {NAN, NAN};

    cr_expect_eq(perf_median(odd, 3), 3);
    cr_expect_eq(perf_median(even, 4), 2.5);
    cr_expect_eq(perf_median(holes, 4), 8);
    cr_expect(isnan(perf_median(none, 2)));
    cr_expect(isnan(perf_median(odd, 0)));
    cr_expect_eq(perf_quantile(odd, 3, 0), 1);
    cr_expect_eq(perf_quantile(odd, 3, 1), 5);
    cr_expect_eq(perf_quantile(even, 4, 0.25), 1.75);
    cr_expect_eq(odd[0], 5, "the figures stay in their order");
}

/* A machine that becomes ten times slower between blocks must not show in the ratio. */
Test(perf_stats, ratios_are_formed_within_a_block)
{
    const double a[] = {200, 2000, 220, 2200, 210}, b[] = {100, 1000, 100, 1000, 100};

    cr_expect_float_eq(perf_ratio_quantile(a, b, 5, 0.5), 2.1, 1e-9);
    /* The ratio of the medians would say the same here only if blocks were mixed alike: */
    const double c[] = {200, 2000, 2200}, d[] = {100, 1000, 100};
    cr_expect_float_eq(perf_ratio_quantile(c, d, 3, 0.5), 2, 1e-9);
    cr_expect_neq(perf_median(c, 3) / perf_median(d, 3), 2);
}

Test(perf_stats, ratios_pass_over_blocks_without_both)
{
    const double a[] = {10, NAN, 30, 40}, b[] = {10, 10, NAN, 0};

    cr_expect_eq(perf_ratio_quantile(a, b, 4, 0.5), 1);
    cr_expect(isnan(perf_ratio_quantile(a + 1, b + 1, 3, 0.5)));
}

Test(perf_stats, bins)
{
    cr_expect_eq(perf_bin_of(46), PERF_NEAR);
    cr_expect_eq(perf_bin_of(PERF_NEAR_BELOW - 0.1), PERF_NEAR);
    cr_expect_eq(perf_bin_of(PERF_NEAR_BELOW), PERF_MIDDLE);
    cr_expect_eq(perf_bin_of(PERF_FAR_ABOVE), PERF_MIDDLE);
    cr_expect_eq(perf_bin_of(PERF_FAR_ABOVE + 0.1), PERF_FAR);
    cr_expect_eq(perf_bin_of(NAN), PERF_NO_RAW);
    cr_expect_str_eq(perf_bin_name(PERF_MIDDLE), "middle");
    cr_expect_str_eq(perf_bin_name(PERF_BINS), "all");
}

/* Blocks 0..n-1 with the given figures; the histogram holds the same. */
static struct perf_result result_of(const char *name, size_t blocks, const double *mine, const double *raw)
{
    struct perf_result r = {.name = name, .what = "a test", .blocks = blocks};

    perf_result_series(&r, "apiary", "as it is");
    if (raw != NULL) perf_result_series(&r, "raw", NULL);
    for (size_t s = 0; s < r.series_count; s++) {
        for (size_t i = 0; i < blocks; i++) {
            double v = s == 0 ? mine[i] : raw[i];
            r.series[s].figures[i] = v;
            ap_hist_add(r.series[s].hist, (uint64_t)v);
            r.series[s].operations++;
            r.series[s].ns += v;
        }
    }
    return r;
}

static double at(const json_t *o, const char *a, const char *b, const char *c)
{
    o = json_object_get(o, a);
    if (b != NULL) o = json_object_get(o, b);
    if (c != NULL) o = json_object_get(o, c);
    return json_is_number(o) ? json_number_value(o) : NAN;
}

Test(perf_stats, json_has_the_schema)
{
    const double mine[] = {100, 120, 1000, 110}, raw[] = {50, 60, 400, 200};
    struct perf_result r = result_of("rtt", 4, mine, raw);
    json_t *env = json_pack("{s:s}", "cpu", "one"), *o;
    static const char *const fields[] = {"schema", "case", "env", "blocks", "ns", "per_second", "baselines", "ratio"};
    static const char *const quantiles[] = {"p50", "p90", "p99", "p999", "p9999", "max"};

    perf_result_missing(&r, "zmq", "it was not there");
    perf_result_row(&r, "B", 42, "bytes of %s", "it");
    o = perf_result_json(&r, env);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        cr_expect(json_object_get(o, fields[i]) != NULL, "%s", fields[i]);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        cr_expect(!isnan(at(o, "ns", quantiles[i], NULL)), "%s", quantiles[i]);
        cr_expect(!isnan(at(o, "baselines", "raw", quantiles[i])), "%s", quantiles[i]);
    }
    cr_expect_eq(at(o, "schema", NULL, NULL), PERF_SCHEMA);
    cr_expect_eq(at(o, "blocks", NULL, NULL), 4);
    cr_expect_eq(at(o, "ns", "max", NULL), 1000);
    cr_expect_float_eq(at(o, "per_second", NULL, NULL), 4e9 / 1330, 1e-3);
    cr_expect_float_eq(at(o, "ratio", "raw", NULL), 2, 1e-9, "2, 2, 2.5, 0.55");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(o, "env"), "cpu")), "one");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(o, "missing"), "zmq")), "it was not there");
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(o, "table"), 0), "what")),
                     "bytes of it");
    json_decref(o);
    json_decref(env);
    perf_result_free(&r);
}

/* Every bin is shown, the empty ones too, and together they hold every block. */
Test(perf_stats, json_shows_every_bin)
{
    const double mine[] = {100, 120, 800, 110}, raw[] = {50, 60, 400, 99};
    struct perf_result r = result_of("rtt", 4, mine, raw);
    json_t *o = perf_result_json(&r, NULL), *bins = json_object_get(o, "bins");

    cr_expect_eq(json_object_size(bins), 3);
    cr_expect_eq(at(bins, "near", "blocks", NULL), 3);
    cr_expect_eq(at(bins, "middle", "blocks", NULL), 0);
    cr_expect(isnan(at(bins, "middle", "ns", NULL)), "an empty bin has no figure");
    cr_expect_eq(at(bins, "far", "blocks", NULL), 1);
    cr_expect_eq(at(bins, "near", "ns", NULL), 110);
    cr_expect_eq(at(bins, "far", "ratio", "raw"), 2);
    cr_expect_eq(json_array_size(json_object_get(o, "each")), 4);
    json_decref(o);
    perf_result_free(&r);

    r = result_of("same-core", 2, mine, NULL);
    o = perf_result_json(&r, NULL);
    cr_expect_eq(at(o, "bins", "no raw", "blocks"), 2);
    json_decref(o);
    perf_result_free(&r);
}

/* Without blocks (memory, idle) the fields are there and null. */
Test(perf_stats, json_without_blocks)
{
    struct perf_result r = {.name = "memory", .what = "a test", .blocks = 30};
    json_t *o = perf_result_json(&r, NULL);

    cr_expect_eq(at(o, "blocks", NULL, NULL), 0);
    cr_expect(json_is_null(json_object_get(json_object_get(o, "ns"), "p50")));
    cr_expect(json_is_null(json_object_get(o, "per_second")));
    json_decref(o);
}

#define BLOCKS 40

static json_t *measured(double factor, double noise, double raw)
{
    double mine[BLOCKS], base[BLOCKS];
    struct perf_result r;
    json_t *o;

    for (size_t i = 0; i < BLOCKS; i++) {
        base[i] = raw * (1 + 0.01 * (double)(i % 7));
        mine[i] = base[i] * factor * (1 + noise * ((double)(i * 37 % 11) - 5) / 5);
    }
    r = result_of("rtt", BLOCKS, mine, base);
    o = perf_result_json(&r, NULL);
    perf_result_free(&r);
    return o;
}

Test(perf_stats, compare_tells_a_change)
{
    json_t *a = measured(2.0, 0.05, 60), *b = measured(1.6, 0.05, 80), *same = measured(2.02, 0.2, 70);
    struct perf_verdict v;

    cr_assert(perf_compare(a, b, PERF_NEAR, &v));
    cr_expect_str_eq(v.verdict, "faster");
    cr_expect_str_eq(v.against, "raw");
    cr_expect_float_eq(v.change, 0.8, 0.02);
    cr_expect(v.low <= v.change && v.change <= v.high && v.high < 1);
    cr_assert(perf_compare(b, a, PERF_BINS, &v));
    cr_expect_str_eq(v.verdict, "slower");
    cr_expect_eq(v.blocks_a, BLOCKS);
    cr_assert(perf_compare(a, same, PERF_NEAR, &v));
    cr_expect_str_eq(v.verdict, "no difference seen");
    cr_assert(perf_compare(a, a, PERF_NEAR, &v));
    cr_expect_eq(v.change, 1);
    cr_expect_str_eq(v.verdict, "no difference seen");
    json_decref(a);
    json_decref(b);
    json_decref(same);
}

/* What was measured near is not compared with what was measured far. */
Test(perf_stats, compare_keeps_bins_apart)
{
    json_t *near = measured(2, 0.05, 60), *far = measured(2, 0.05, 450);
    struct perf_verdict v;

    cr_expect_not(perf_compare(near, far, PERF_NEAR, &v));
    cr_expect_not(perf_compare(near, far, PERF_FAR, &v));
    cr_expect_not(perf_compare(near, far, PERF_MIDDLE, &v));
    cr_expect(perf_compare(near, far, PERF_BINS, &v));
    json_decref(near);
    json_decref(far);
}

Test(perf_stats, compare_wants_blocks)
{
    const double mine[] = {100, 120, 80}, raw[] = {50, 60, 40}, faster[] = {10, 12, 8};
    struct perf_result ra = result_of("rtt", 3, mine, raw), rb = result_of("rtt", 3, faster, raw);
    json_t *a = perf_result_json(&ra, NULL), *b = perf_result_json(&rb, NULL);
    struct perf_verdict v;

    cr_assert(perf_compare(a, b, PERF_NEAR, &v));
    cr_expect_str_eq(v.verdict, "too few blocks");
    cr_expect(isnan(v.low) && isnan(v.high));
    json_decref(a);
    json_decref(b);
    perf_result_free(&ra);
    perf_result_free(&rb);
}

Test(perf_stats, bootstrap_repeats_itself)
{
    const double a[] = {1, 2, 3, 4, 5, 6, 7, 8}, b[] = {2, 4, 6, 8, 10, 12, 14, 16};
    double low, high, again_low, again_high;

    perf_bootstrap(a, 8, b, 8, &low, &high);
    perf_bootstrap(a, 8, b, 8, &again_low, &again_high);
    cr_expect_eq(low, again_low);
    cr_expect_eq(high, again_high);
    cr_expect(low < 2 && 2 < high, "[%g %g]", low, high);
    perf_bootstrap(a, 0, b, 8, &low, &high);
    cr_expect(isnan(low) && isnan(high));
}
