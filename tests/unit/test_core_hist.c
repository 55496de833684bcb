/* The histogram: its error, its quantiles, its ends. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/hist.h"

static struct ap_hist h, other;

static uint64_t edge_of(uint64_t ns)
{
    memset(&h, 0, sizeof h);
    ap_hist_add(&h, ns);
    ap_hist_add(&h, UINT64_MAX); /* so that the maximum does not hide the edge */
    return ap_hist_quantile(&h, 0.5);
}

Test(hist, a_bucket_is_within_3_2_percent)
{
    uint64_t last = 0;

    for (uint64_t ns = 0; ns < UINT64_C(1) << 44; ns += 1 + ns / 37) {
        uint64_t edge = edge_of(ns);
        cr_assert_geq(edge, ns);
        cr_assert_leq((double)(edge - ns), (double)ns * 0.032, "%llu", (unsigned long long)ns);
        cr_assert_geq(edge, last);
        last = edge;
    }
}

Test(hist, values_below_32_are_exact_and_powers_begin_a_bucket)
{
    for (uint64_t ns = 0; ns < 32; ns++)
        cr_expect_eq(edge_of(ns), ns);
    for (unsigned power = 5; power < 45; power++)
        cr_expect_eq(edge_of((UINT64_C(1) << power) - 1), (UINT64_C(1) << power) - 1, "2^%u", power);
}

Test(hist, empty_is_0)
{
    cr_expect_eq(ap_hist_quantile(&h, 0.5), 0);
    cr_expect_eq(ap_hist_quantile(&h, 1), 0);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

Test(hist, quantiles_are_those_of_the_sorted_values)
{
    enum { N = 5000 };
    static uint64_t values[N];
    static const double quantiles[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    uint64_t random = 88172645463325252u, sum = 0;

    for (int i = 0; i < N; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        values[i] = random >> (24 + random % 30);
        sum += values[i];
        ap_hist_add(&h, values[i]);
    }
    qsort(values, N, sizeof values[0], compare);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        uint64_t rank = (uint64_t)(quantiles[i] * N);
        if ((double)rank < quantiles[i] * N) rank++;
        uint64_t exact = values[rank - 1], got = ap_hist_quantile(&h, quantiles[i]);
        cr_expect_geq(got, exact, "%g", quantiles[i]);
        cr_expect_leq((double)got, (double)exact * 1.032, "%g", quantiles[i]);
    }
    cr_expect_eq(h.count, N);
    cr_expect_eq(h.sum, sum);
    cr_expect_eq(h.max, values[N - 1]);
    cr_expect_eq(ap_hist_quantile(&h, 1), values[N - 1]);
}

Test(hist, quantile_takes_any_number)
{
    ap_hist_add(&h, 10);
    ap_hist_add(&h, 20);
    cr_expect_eq(ap_hist_quantile(&h, 0), 10);
    cr_expect_eq(ap_hist_quantile(&h, -3), 10);
    cr_expect_eq(ap_hist_quantile(&h, 7), 20);
    cr_expect_eq(ap_hist_quantile(&h, 0.0 / 0.0), 10);
}

Test(hist, what_is_too_large_is_counted_in_the_last)
{
    ap_hist_add(&h, UINT64_MAX);
    ap_hist_add(&h, UINT64_C(1) << 60);
    cr_expect_eq(h.buckets[AP_HIST_BUCKETS - 1], 2);
    cr_expect_eq(ap_hist_quantile(&h, 0.5), UINT64_MAX);
}

Test(hist, merged_is_as_if_added)
{
    static struct ap_hist all;

    for (uint64_t i = 1; i < 3000; i++) {
        ap_hist_add(i % 3 == 0 ? &h : &other, i * i);
        ap_hist_add(&all, i * i);
    }
    ap_hist_merge(&h, &other);
    cr_expect_eq(memcmp(&h, &all, sizeof h), 0);
}
