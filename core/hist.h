/* core/hist.h - log-linear histogram of ns: 32 sub-buckets per power of two (error <= 3.2 %), up to 2^45 ns. Private
 * memory, one writer. */
#ifndef AP_HIST_H
#define AP_HIST_H

#include <stdint.h>

#define AP_HIST_BUCKETS (41u * 32u)
struct ap_hist {
    uint64_t count, max, sum;
    uint64_t buckets[AP_HIST_BUCKETS];
};
void ap_hist_add(struct ap_hist *h, uint64_t ns);
void ap_hist_merge(struct ap_hist *into, const struct ap_hist *from);
uint64_t ap_hist_quantile(const struct ap_hist *h, double q); /* upper edge of the bucket, at most max; 0 when empty */

#endif
