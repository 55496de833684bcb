/* shm/times.h - of each queue: how long its tasks wait, and how long they run, as histograms.
 *
 * SCOPE     1 `waited` has each start of a task by the queue's consumer: from the instant in which it was queued to its start.
 *           2 `ran` has each end of such a start, however it ended: from the start to the end. A start that ended with its worker
 *           has none. Probes are in neither.
 *           3 A queue keeps them when its consumer dies and comes back. They begin anew with the queue's counts, when it goes to
 *           another agent (ap_queue_begin).
 * EDGES     1 Each power of two is cut into eight equal parts, the same everywhere, so that histograms are added bucket by bucket.
 *           Bucket 1 begins at 1,024 ns, the last but one ends at 2^42 ns (73 min). Of bucket i between 1 and 256 the lower edge is
 *           (8 + (i - 1) % 8) << (7 + (i - 1) / 8) ns; its upper edge is the lower edge of the next.
 *           2 Bucket 0 counts what took less than 1,024 ns, bucket 257 what took 2^42 ns or more. The sums are exact.
 *           3 A quantile is told as the point of its bucket that is as far from both edges, relative to them: at most 1/17 (5.9 %)
 *           away from the task's time. core/hist.h is four times as fine and ten times as large, for private memory.
 * WRITER    The consumer, by ap_own_add: one instruction on lines that nobody else writes. Only `lost` is added to by reapers.
 *           Most tasks that are worth counting instructions for wait and run for less than the first edge: they take the short way.
 * ORDERING  1 Each word is a count of its own, by relaxed stores of its only writer. A reader adds up what it finds; a task that
 *           ends meanwhile may be in one word and not yet in another.
 *           2 TIMES-R1 release fence after `anew` = 1 pairs TIMES-A1 load-acquire of a checker (LOOK-A1): one that has seen a count
 *           set to 0 sees `anew`. TIMES-R2 `anew` = 0 store-release pairs TIMES-A2, the same: all counts are 0 before it.
 * COUNTERS  1 A count is made before the queue's own, which the consumer publishes now and then (queue.h). A new consumer makes
 *           `started` what `waited` counts, so no start is lost with a consumer.
 *           2 A death between two of these words leaves out one task: it is in `waited` and not in its sum, or the same for `ran`.
 * HEAP      1 `heap` is what the agent has allocated of its heap, `resident` the physical memory of that, as its allocator counts.
 *           2 The consumer tells both when it begins, and every 10 s while it has tasks.
 * CRASH     `anew` is 1 while the counts of queue and times are set to 0. A kill leaves it, and the next ap_queue_begin goes on.
 * INVARIANTS Q15 unless `anew`: started <= count of waited <= started + AP_TIMES_UNTOLD; done + failed + late + retried <= count of
 *           ran <= count of waited; `anew` is 0 or 1
 */
#ifndef AP_TIMES_H
#define AP_TIMES_H

#include <string.h>

#include "shm/segment.h"

#define AP_SPREAD_BELOW 0u
#define AP_SPREAD_ABOVE 257u
#define AP_SPREAD_BUCKETS 258u
#define AP_SPREAD_FIRST UINT64_C(1024)
#define AP_SPREAD_END (UINT64_C(1) << 42)
#define AP_SPREAD_BIAS ((1023u + 10u) * 8u - 1u) /* 2^10 is in bucket 1 */
#define AP_TIMES_UNTOLD 256u /* starts that a consumer has not published; a worker has less than half of it at any instant */

struct ap_times {
    uint64_t waited_sum, ran_sum; /* ns */
    uint64_t anew;
    uint64_t ejected; /* how often its consumer has ejected the queue */
    uint64_t lost;    /* starts that ended with their worker: added by the reapers */
    uint64_t heap, resident; /* bytes + 1 of its agent's heap, see HEAP; 0: not known */
    uint64_t reserved[1];
    uint64_t waited[AP_SPREAD_BUCKETS] AP_ALIGNED;
    uint64_t ran[AP_SPREAD_BUCKETS];
} AP_ALIGNED;

static inline struct ap_times *ap_times_at(const struct ap_segment *seg, uint64_t queue)
{
    return AP_ELEMENT(seg, AP_SECTION_TIMES, queue, struct ap_times);
}

/* The bucket of a time. The exponent of a double and the first three bits behind it are the number of the part, in which each power
 * of two is cut into eight; a time of less than 2^53 is a double without rounding. */
AP_ALWAYS_INLINE uint32_t ap_spread_bucket(uint64_t ns)
{
    double exact = (double)(int64_t)ns;
    uint64_t bits;

    if (ns < AP_SPREAD_FIRST) return AP_SPREAD_BELOW;
    memcpy(&bits, &exact, sizeof bits);
    bits = (bits >> 49) - AP_SPREAD_BIAS;
    return __builtin_expect(bits < AP_SPREAD_ABOVE, 1) ? (uint32_t)bits : AP_SPREAD_ABOVE;
}

/* By the queue's consumer. */
AP_ALWAYS_INLINE void ap_times_waited(struct ap_times *t, uint64_t ns)
{
    if (ns < AP_SPREAD_FIRST) ap_own_add(&t->waited[AP_SPREAD_BELOW], 1);
    else ap_own_add(&t->waited[ap_spread_bucket(ns)], 1);
    ap_own_add(&t->waited_sum, ns);
}
AP_ALWAYS_INLINE void ap_times_ran(struct ap_times *t, uint64_t ns)
{
    if (ns < AP_SPREAD_FIRST) ap_own_add(&t->ran[AP_SPREAD_BELOW], 1);
    else ap_own_add(&t->ran[ap_spread_bucket(ns)], 1);
    ap_own_add(&t->ran_sum, ns);
}

/* The size of the agent's heap; UINT64_MAX: not known. By the queue's consumer; t may be NULL. */
void ap_times_heap(struct ap_times *t, uint64_t allocated, uint64_t resident);

/* By a reaper: a task that was started at the queue has lost its worker. */
void ap_times_lost(const struct ap_segment *seg, uint32_t queue);

/* Around the setting of a queue's counts to 0, while it is CLAIMED. half: a kill has left it half done. */
bool ap_times_half(const struct ap_segment *seg, uint32_t queue);
void ap_times_begin(struct ap_segment *seg, uint32_t queue);
void ap_times_begun(struct ap_segment *seg, uint32_t queue);

/* A histogram in private memory: of one queue, or added up. All zeros: empty. */
struct ap_spread {
    uint64_t count, sum; /* of tasks, of their ns */
    uint64_t buckets[AP_SPREAD_BUCKETS];
};
struct ap_times_copy {
    struct ap_spread waited, ran;
    uint64_t ejected, lost;
    uint64_t heap, resident; /* bytes; UINT64_MAX: not known */
};

/* Copies the queue's histograms. False, and *ret untouched: there is no such queue. Any thread, also of a damaged segment, where
 * counts can be anything. */
bool ap_times_read(const struct ap_segment *seg, uint32_t queue, struct ap_times_copy *ret);
/* When the task that has waited longest at each queue was queued, by CLOCK_MONOTONIC; 0: none waits there. `ret` has a place for
 * each queue of the geometry. Goes once through the task table; a task that is queued or started meanwhile may be missed. */
void ap_times_oldest(const struct ap_segment *seg, uint64_t *ret);
void ap_spread_add(struct ap_spread *to, const struct ap_spread *more);
/* Takes away what was there `before`, in an earlier copy. If a bucket had more then, the queue has gone to another agent, and all
 * of it is new. */
void ap_spread_since(struct ap_spread *to, const struct ap_spread *before);
/* Edges of a bucket in ns: times are in it from the lower one on, and below the upper one. That of the last is UINT64_MAX. */
uint64_t ap_spread_lower(uint32_t bucket);
uint64_t ap_spread_upper(uint32_t bucket);
/* The time that a part q (0 to 1) of the tasks do not exceed, in ns; see EDGES 3. 0: none was counted, or the time is below the
 * first edge; AP_SPREAD_END: it is not below that. With q == 1, of the longest. */
uint64_t ap_spread_quantile(const struct ap_spread *s, double q);

#endif
