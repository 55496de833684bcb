/* core/hist.c */
#include "core/hist.h"

/* Below 32 a bucket is a value; above, the bits behind the leading one choose among 32. The last takes all beyond. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned power, index;

    if (ns < 32) return (unsigned)ns;
    power = 63u - (unsigned)__builtin_clzll(ns);
    index = (power - 4) * 32 + (unsigned)(ns >> (power - 5) & 31);
    return index < AP_HIST_BUCKETS ? index : AP_HIST_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < 32) return bucket;
    return ((UINT64_C(33) + bucket % 32) << (bucket / 32 - 1)) - 1;
}

void ap_hist_add(struct ap_hist *h, uint64_t ns)
{
    h->count++;
    h->sum += ns;
    if (ns > h->max) h->max = ns;
    h->buckets[bucket_of(ns)]++;
}

void ap_hist_merge(struct ap_hist *into, const struct ap_hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
    for (unsigned i = 0; i < AP_HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t ap_hist_quantile(const struct ap_hist *h, double q)
{
    double exact = q * (double)h->count;
    uint64_t rank, seen = 0;

    if (h->count == 0) return 0;
    rank = exact > 0 ? (exact < (double)h->count ? (uint64_t)exact : h->count) : 0;
    if ((double)rank < exact && rank < h->count) rank++;
    if (rank == 0) rank = 1;
    for (unsigned i = 0; i < AP_HIST_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= rank) return upper_edge(i) < h->max ? upper_edge(i) : h->max;
    }
    return h->max;
}
