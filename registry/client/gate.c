/* registry/client/gate.c - a task of a capability that has a gate: it goes there first, or the gate passes it on. See
 * routing/rules.h, VIA. */
#include "registry/client/carried.h"
#include "registry/client/client.h"
#include "registry/routing/rules.h"

/* AP_PASSED and a caller, where the task for whose sake an agent delegates is the gate's, so that it passes on; else 0. */
static uint64_t gate_passes(const struct ap_lane_context *c, uint32_t gate)
{
    const struct ap_slot *slot = c->sake != 0 ? ap_slot_at(c->lane.seg, AP_REF_SLOT(c->sake)) : NULL;
    struct ap_carried own;

    if (slot == NULL || AP_WORD_GENERATION(ap_load_acquire(&slot->word)) != AP_REF_GENERATION(c->sake)) return 0;
    if (ap_load_relaxed(&slot->capability) != gate) return 0;
    if (ap_carried_read(c->lane.seg, ap_task_id(c->lane.seg, AP_REF_SLOT(c->sake), AP_REF_GENERATION(c->sake)), &own) &&
        own.passed != 0)
        return own.passed;
    return AP_PASSED | ap_load_relaxed(&slot->caller);
}

int ap_gate(struct ap_lane_context *c, uint32_t capability)
{
    struct ap_segment *seg = c->lane.seg;
    struct ap_rules_asked asked;
    int gate;

    if (c->balance.from_gate != 0 || !ap_rules_via(seg, capability, &gate)) return APIARY_EFORBIDDEN;
    if (gate >= 0) c->balance.from_gate = gate_passes(c, (uint32_t)gate);
    if (c->balance.from_gate != 0) return 0;
    ap_rules_ask(&asked, seg, capability, c->balance.caller);
    if (!ap_rules_may(&asked)) return APIARY_EFORBIDDEN;
    if (gate < 0) return APIARY_ENOPROVIDER;
    c->stand_in = gate;
    c->gated = true;
    return AP_STANDS_IN;
}
