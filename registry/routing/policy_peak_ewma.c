/* registry/routing/policy_peak_ewma.c - the candidate where a task waits the shortest. See policy.h.
 *
 * A task's wait is the run time, raised by what its failures are charged, times the tasks before it and itself. The run time is a
 * weighted mean that the consumer measures; it falls by half for every second in which the consumer says nothing new, so that a
 * candidate that was slow once is tried again. A failure is charged, however quick it was: else a broken provider, which is done
 * with each task at once, would draw them all.
 */
#include "registry/routing/policy.h"

#include "shm/queue.h"

#define UNKNOWN UINT64_C(1000000000) /* of a candidate that has tasks, and has not ended one yet */
#define SECOND UINT64_C(1000000000)

static uint64_t peak_run_time(const struct ap_queue *q, uint64_t load, uint64_t now)
{
    uint64_t run = ap_load_relaxed(&q->run_time), told = ap_load_relaxed(&q->told);
    uint64_t quiet = now > told ? (now - told) / SECOND : 0;

    if (run == 0) return load > 0 ? UNKNOWN : 1;
    /* It says nothing because it is at work: that is no reason to think better of it. */
    if (load > 0) return run;
    return quiet < 40 ? run >> quiet : 0;
}

uint64_t ap_policy_peak_ewma(const struct ap_asking *asking, const struct ap_candidate *candidate)
{
    uint64_t charge = ap_queue_charge_left(candidate->at, asking->now);
    uint64_t cost = peak_run_time(candidate->at, candidate->load, asking->now) + charge + 1;

    if (cost > UINT64_C(1) << 44) cost = UINT64_C(1) << 44; /* five hours */
    return ap_weighed(cost * (candidate->load + 1) < cost ? UINT64_MAX >> 1 : cost * (candidate->load + 1), candidate);
}
