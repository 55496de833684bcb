/* tools/view/homes.c - which providers have the state of a stateful capability; for route explain and capability show. */
#include "tools/view/view.h"

#include <inttypes.h>

#include "registry/routing/homes.h"

/* The part of a row of shares that a provider has. */
struct homes_part {
    struct agent_view agent;
    uint32_t shares;
    bool without_key; /* share 0 is among them */
};

/* Of the next provider from *queue on that is alive. False: there is none. */
static bool homes_next(const struct ap_segment *seg, uint32_t capability, const struct ap_homes *row, int *queue,
                       struct homes_part *ret)
{
    while ((*queue = ap_capability_next(seg, capability, (uint32_t)(*queue + 1))) >= 0) {
        uint64_t provider = AP_PROVIDER((uint32_t)*queue, ap_load_acquire(&ap_queue_at(seg, (uint64_t)*queue)->life));
        if (!view_agent(seg, (uint32_t)*queue, &ret->agent) || !ret->agent.open) continue;
        ret->shares = ap_home_shares(row, provider);
        ret->without_key = ap_load_relaxed(&row->of[0]) == provider;
        return true;
    }
    return false;
}

json_t *view_homes_json(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_homes *row = ap_home_row(seg, capability);
    struct homes_part part;
    if (!ap_stateful(seg, capability)) return json_null();
    json_t *list = json_array();
    for (int q = -1; row != NULL && homes_next(seg, capability, row, &q, &part);)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:b}", "service", part.agent.swarm.service, "instance",
                                              part.agent.swarm.instance, "agent", part.agent.name, "shares", (int)part.shares,
                                              "without_key", part.without_key));
    return list;
}

void view_homes(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_homes *row = ap_home_row(seg, capability);
    struct homes_part part;
    if (!ap_stateful(seg, capability)) return;
    printf("stateful: one provider has all of its tasks without a key, and all of one key\n");
    for (int q = -1; row != NULL && homes_next(seg, capability, row, &q, &part);)
        printf("    %s/%s %s has %" PRIu32 " of %u shares%s\n", part.agent.swarm.service, part.agent.swarm.instance,
               part.agent.name, part.shares, AP_HOMES, part.without_key ? ", and the tasks without a key" : "");
}
