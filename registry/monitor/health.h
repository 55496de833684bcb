/* registry/monitor/health.h - SwarmMonitor: what the coordinator has found out about an instance by asking it.
 *
 * SCOPE     1 The coordinator asks the health endpoint that an instance has declared, over HTTP, and each of its agents by a probe
 *           (shm/probe.h). Its finding stands in the instance's record.
 *           2 The queen adopts it with her next beat (ap_swarm_beat): an instance whose health check fails is critical. So there is
 *           one state by which status, router and supervisor go, and nothing of this on the way of a task.
 * FOUND     1 health = key (40 bits) << 24 | change << 8 | bits of enum ap_health_found, with a reason as in reason.h. Writer: the
 *           coordinator, by a CAS that fails when the record is another registration's by then.
 *           2 Each registration begins it anew: nothing was found out.
 *           3 It holds until health_until. Where no coordinator asks any more, what the last one found out ends by itself.
 *           4 HEARD, that somebody has listened there, is a fact of the registration: it holds for as long as that, and no later
 *           finding takes it away.
 * ENDPOINT  1 It fails when it did not answer with a 2xx status so many times in a row (unhealthy_after), and passes again after
 *           so many that it did (healthy_after). Either is HEARD, too.
 *           2 Where nobody has listened there since the instance was registered, it is absent, and nothing is held against the
 *           instance: the service that it stands for does not run here, or not yet.
 * TERMS     health_interval, health_timeout, unhealthy_after and healthy_after are as registered, or as the queen has said since
 *           (ap_swarm_adjust), 0: as is usual. The coordinator reads them at each look.
 * CRASH     The coordinator dies: what it had found out stands, whole, or the beginning of its reason. Its successor counts anew,
 *           and what it finds out takes the place. It
 *           knows by HEARD that one who does not listen any more is not absent.
 * INVARIANTS R8 what was found out is possible, and the record's own service and instance's; its reason prints
 */
#ifndef AP_HEALTH_H
#define AP_HEALTH_H

#include "registry/registry.h"

enum ap_health_found {
    AP_FOUND_ABSENT = 1, /* the endpoint; none of these three: it was not asked so often yet */
    AP_FOUND_PASSING = 2,
    AP_FOUND_FAILING = 3,
    AP_FOUND_ENDPOINT = 3, /* the bits of the three */
    AP_FOUND_DEAF = 4,     /* an agent answers no probe */
    AP_FOUND_HEARD = 8,    /* somebody has listened at the endpoint since the instance was registered */
    AP_FOUND_ALL = 15
};

#define AP_HEALTH_INTERVAL 30000u /* ms */
#define AP_HEALTH_TIMEOUT 5000u
#define AP_UNHEALTHY_AFTER 3u
#define AP_HEALTHY_AFTER 2u
#define AP_HEALTH_TIMES_MAX 100u

struct ap_health_terms {
    uint64_t interval, timeout; /* ns */
    uint32_t unhealthy_after, healthy_after;
};
/* Those of a record. `interval`: where it names none, ns. */
struct ap_health_terms ap_health_terms(const struct ap_swarm *s, uint64_t interval);

/* A registration begins: nothing was found out. The caller has the record CLAIMED. */
void ap_health_begin(struct ap_swarm *s, uint64_t key);

/* Stores what the coordinator has found out about the registration that has this `life`, and until when that holds. By one thread
 * at a time. `text` is cut where the record has no more room, and what does not print becomes '?'. HEARD comes by itself,
 * and stays. `answer`: what the endpoint
 * has answered, for the event log. Returns 1; 0 when that stood there before; APIARY_ESTALE: it is another registration's. */
int ap_health_tell(struct ap_segment *seg, uint32_t lane, uint32_t swarm, uint64_t life, uint32_t found, const char *text,
                   uint64_t answer, uint64_t until);

/* The finding, whether it still holds or not; its reason in `ret`. */
uint32_t ap_health_read(const struct ap_swarm *s, char ret[AP_FOUND_MAX + 1]);
/* Whether the health check fails. */
bool ap_health_fails(const struct ap_swarm *s, uint64_t now);

/* Whether it can be asked: "http://", localhost, 127.x.x.x or [::1], perhaps ":PORT", perhaps a path, and nothing that does not
 * print. */
bool ap_endpoint_valid(const char *url);

#endif
