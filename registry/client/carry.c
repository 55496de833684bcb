/* registry/client/carry.c - what few tasks carry with them, written while their slot is RESERVED: see carried.h, dead.h, kept.h. */
#include "registry/client/client.h"
#include "registry/client/hedge.h"
#include "registry/routing/admission.h"
#include "registry/routing/dead.h"
#include "registry/routing/kept.h"
#include "registry/routing/terms.h"
#include "shm/bond.h"
#include "shm/start_by.h"

void ap_loan_back(struct ap_lane_context *c, uint64_t loan)
{
    if (c->again != NULL) ap_pool_attach(c->lane.seg, loan, AP_BLOCK_KEPT, c->again->row, c->again->epoch);
    else ap_pool_attach(c->lane.seg, loan, AP_BLOCK_OWNED, c->lane.index, c->lane.epoch);
}

/* The slot is RESERVED, and FREE again: the task is refused. */
static void unplace(struct ap_lane_context *c, apiary_task_t task, uint32_t ticket, uint64_t loan)
{
    if (loan != 0) ap_loan_back(c, loan);
    if (c->again != NULL) ap_store_relaxed(c->again->ref, 0);
    ap_task_unreserve(&c->slabs, task.slot);
    if (ticket != 0) ap_ticket_back(c->lane.seg, &c->ticket_hint, c->lane.index, ticket);
}

int ap_carry(struct ap_lane_context *c, apiary_task_t task, uint32_t ticket, uint64_t loan,
             const apiary_delegate_options_t *options, uint64_t due)
{
    struct ap_segment *seg = c->lane.seg;
    uint32_t row;
    int r;

    ap_carried_write(seg, task, options);
    if (c->balance.from_gate != 0) ap_store_relaxed(&ap_carried_at(seg, task.slot)->passed, (uint32_t)c->balance.from_gate);
    if (ap_carried_rank(options) != 0) ap_slot_ranked(ap_slot_at(seg, task.slot), (enum ap_rank)(ap_carried_rank(options) - 1));
    if (c->bond != NULL) ap_slot_bound(ap_slot_at(seg, task.slot), c->bond);
    if (options->dedup_key != 0) ap_slot_ask(ap_slot_at(seg, task.slot), AP_REQUEST_COALESCED);
    if ((options->trace.flags & APIARY_TRACE_SAMPLED) != 0) ap_slot_ask(ap_slot_at(seg, task.slot), AP_REQUEST_SAMPLED);
    if ((options->schedule_to_start | options->start_to_close | options->heartbeat) != 0)
        ap_slot_timed(ap_slot_at(seg, task.slot), options->schedule_to_start != 0 ? due + options->schedule_to_start : UINT64_MAX);
    if (c->again != NULL) ap_store_relaxed(c->again->ref, AP_REF(task.slot, task.generation));
    r = options->hedge != 0 ? ap_hedge_begin(c, task, options->hedge, due) : 0;
    if (r == 0 && options->keep == 0) return 0;
    if (r == 0) r = ap_kept_take(seg, c->lane.index, &row);
    if (r < 0) {
        unplace(c, task, ticket, loan);
        return r;
    }
    ap_slot_ask(ap_slot_at(seg, task.slot), AP_REQUEST_KEEP);
    ap_kept_promise(seg, row, task, options->keep, c->lane.member);
    return 0;
}
