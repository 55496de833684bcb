/* perf/stat_compare.c - two results of one case: the change of the median ratio, and how sure that is.
 *
 * Both are divided, block by block, by the same baseline (raw where both have it), so that two machines or two hours can be
 * compared. The interval is a percentile bootstrap over blocks; ratios of neighbouring blocks are not quite independent, so it is
 * a little too narrow, and a difference that matters should be seen twice.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "perf/stat.h"

#define RESAMPLES 2000

static uint64_t next_random(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static double resampled_median(const double *from, size_t n, double *room, uint64_t *state)
{
    for (size_t i = 0; i < n; i++)
        room[i] = from[(next_random(state) >> 11) % n];
    return perf_median(room, n);
}

void perf_bootstrap(const double *a, size_t na, const double *b, size_t nb, double *low, double *high)
{
    size_t most = na > nb ? na : nb;
    double *changes = calloc(RESAMPLES + most, sizeof *changes), *room = changes + RESAMPLES;
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    *low = *high = NAN;
    if (changes == NULL || na == 0 || nb == 0) {
        free(changes);
        return;
    }
    for (size_t i = 0; i < RESAMPLES; i++) {
        double before = resampled_median(a, na, room, &state);
        changes[i] = resampled_median(b, nb, room, &state) / before;
    }
    *low = perf_quantile(changes, RESAMPLES, 0.025);
    *high = perf_quantile(changes, RESAMPLES, 0.975);
    free(changes);
}

static double stat_compare_field(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* The baseline to divide by: raw, else the first that both have; NULL none. */
static const char *common_baseline(const json_t *a, const json_t *b)
{
    json_t *of_a = json_object_get(a, "baselines"), *of_b = json_object_get(b, "baselines"), *unused;
    const char *key;

    if (json_object_get(of_a, "raw") != NULL && json_object_get(of_b, "raw") != NULL) return "raw";
    json_object_foreach(of_a, key, unused)
    {
        if (json_object_get(of_b, key) != NULL) return key;
    }
    return NULL;
}

/* Ratios (figures where there is no baseline) of the blocks of one bin; to be freed. */
static double *figures(const json_t *result, const char *baseline, enum perf_bin bin, size_t *ret_n)
{
    const json_t *each = json_object_get(result, "each");
    size_t n = json_array_size(each);
    double *ret = calloc(n + 1, sizeof *ret);

    *ret_n = 0;
    for (size_t i = 0; ret != NULL && i < n; i++) {
        const json_t *block = json_array_get(each, i);
        const char *name = json_string_value(json_object_get(block, "bin"));
        double v = stat_compare_field(block, "ns");
        if (bin != PERF_BINS && (name == NULL || strcmp(name, perf_bin_name(bin)) != 0)) continue;
        if (baseline != NULL) v /= stat_compare_field(json_object_get(block, "baselines"), baseline);
        if (isfinite(v) && v > 0) ret[(*ret_n)++] = v;
    }
    return ret;
}

static const char *stat_compare_judge(const struct perf_verdict *v)
{
    if (isnan(v->low)) return "too few blocks";
    if (v->high < 1) return "faster";
    if (v->low > 1) return "slower";
    return "no difference seen";
}

bool perf_compare(const json_t *a, const json_t *b, enum perf_bin bin, struct perf_verdict *ret)
{
    const char *baseline = common_baseline(a, b), *name = json_string_value(json_object_get(a, "case"));
    size_t na, nb;
    double *of_a = figures(a, baseline, bin, &na), *of_b = figures(b, baseline, bin, &nb);
    bool both = na > 0 && nb > 0;

    if (both) {
        memset(ret, 0, sizeof *ret);
        snprintf(ret->name, sizeof ret->name, "%s", name != NULL ? name : "?");
        snprintf(ret->bin, sizeof ret->bin, "%s", perf_bin_name(bin));
        snprintf(ret->against, sizeof ret->against, "%s", baseline != NULL ? baseline : "");
        ret->blocks_a = na;
        ret->blocks_b = nb;
        ret->a = perf_median(of_a, na);
        ret->b = perf_median(of_b, nb);
        ret->change = ret->b / ret->a;
        ret->low = ret->high = NAN;
        if (na >= PERF_COMPARE_BLOCKS_MIN && nb >= PERF_COMPARE_BLOCKS_MIN)
            perf_bootstrap(of_a, na, of_b, nb, &ret->low, &ret->high);
        ret->verdict = stat_compare_judge(ret);
    }
    free(of_a);
    free(of_b);
    return both;
}
