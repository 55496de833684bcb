/* registry/routing/standing.c - how a swarm stands, for who picks among providers. See router.h. */
#include "registry/monitor/health.h"
#include "registry/routing/router.h"

enum ap_standing ap_route_swarm(const struct ap_swarm *swarm, uint64_t now)
{
    uint64_t beat = ap_load_relaxed(&swarm->beat);
    uint32_t state = ap_load_relaxed(&swarm->state);

    if (now > beat && now - beat >= AP_SILENT) return AP_STANDS_SILENT;
    if (state == APIARY_WARNING || state == APIARY_CRITICAL)
        return ap_health_fails(swarm, now) ? AP_STANDS_UNHEALTHY : AP_STANDS_STUCK;
    return ap_swarm_weight(swarm) == 0 ? AP_STANDS_WEIGHTLESS : AP_STANDS_WELL;
}

bool ap_route_stuck(const struct ap_swarm *swarm, uint64_t now)
{
    return ap_route_swarm(swarm, now) == AP_STANDS_SILENT || ap_load_relaxed(&swarm->state) == APIARY_CRITICAL;
}
