/* agents/runtime/outlier.h - outliers: an agent whose tasks fail is passed over for a time, so that it does not draw the load.
 *
 * JUDGE     1 The agent's own worker judges, at each failure; a task that ends well costs nothing.
 *           2 A failure is what the agent says with apiary_job_fail, but for the codes 400 to 499: there the request is wrong.
 *           3 Each failure is charged, however quick it was: AP_CHARGE_MAX is come nearer by a quarter (shm/queue.h).
 *           4 An agent is ejected after so many failures in a row as the capability has declared (`eject_after`), or when at least
 *           AP_OUTLIER_LEAST tasks and half of those that ended within the last ten seconds have failed. The seconds are ten
 *           buckets; what ended well before the first failure of the oldest one is not counted.
 *           5 The time of ejection doubles from one second to 64, and begins anew when the agent was well for ten times as long.
 * TRIAL     After that time one task is sent there. If it ends well, the agent is as good as any; else it is ejected again.
 * ROUTERS   1 An ejected agent is passed over as long as another provider is there (registry/routing/router.h).
 *           2 Tasks that wait in its queue then go to another one that stands well. Its worker passes them on instead of starting
 *           them, and while its hands are full the monitor's sweep does (registry/hooks.c).
 * THREADS   The worker's.
 */
#ifndef AP_OUTLIER_H
#define AP_OUTLIER_H

#include <stdbool.h>
#include <stdint.h>

#define AP_OUTLIER_BUCKETS 10u
#define AP_OUTLIER_LEAST 10u

struct ap_agent;

struct ap_outlier {
    uint64_t until;   /* as published; 0: it is not ejected */
    uint64_t well;    /* when it last became well */
    uint64_t done;    /* tasks that had ended well at the last failure */
    uint32_t row;     /* failures since one ended well */
    uint32_t times;   /* ejections in a row */
    struct {
        uint64_t second, done; /* done: before its first failure */
        uint32_t failed;
    } buckets[AP_OUTLIER_BUCKETS];
};

/* A task of the agent has failed; `agent_code` is what the agent said. */
void ap_outlier_failed(struct ap_agent *agent, uint32_t capability, uint32_t agent_code, uint64_t now);
/* When counts are published: whether an ejection is over. */
void ap_outlier_look(struct ap_agent *agent, uint64_t now);

#endif
