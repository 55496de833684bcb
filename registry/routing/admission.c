/* registry/routing/admission.c - the bulkhead. See admission.h. */
#include "registry/routing/admission.h"

#include "core/invariant.h"

static uint32_t *row_of(const struct ap_segment *seg, uint32_t service)
{
    return ap_at(seg, AP_SECTION_TICKETS, service);
}

static uint32_t row_length(const struct ap_segment *seg)
{
    return seg->geometry.max_concurrent_delegations;
}

/* Tickets protect no data, so their order needs no partner: each is a claim decided by its own compare-and-swap. A name, or 0. */
static uint32_t admission_take(uint32_t *row, uint32_t from, uint32_t limit, uint32_t lane, bool steal)
{
    for (uint32_t n = 0, i = from; n < limit; n++, i = i + 1 < limit ? i + 1 : 0) {
        uint32_t seen = ap_load_relaxed(&row[i]), epoch = steal ? AP_TICKET_NEXT(seen) : AP_TICKET_EPOCH(seen);

        if (AP_TICKET_IS_BUSY(seen)) continue;
        if (!steal && AP_TICKET_LANE(seen) != 0 && AP_TICKET_LANE(seen) != AP_TICKET_IDLE(lane)) continue;
        if (ap_cas(&row[i], &seen, epoch | AP_TICKET_BUSY(lane))) return epoch | (i + 1);
    }
    return 0;
}

int ap_ticket_take(struct ap_segment *seg, uint32_t service, uint32_t lane, uint32_t limit, struct ap_ticket_hint *hint,
                   uint32_t *ret)
{
    uint32_t *row = row_of(seg, service), from, ticket;

    if (row == NULL) return APIARY_EINVAL;
    if (limit > row_length(seg)) limit = row_length(seg);
    if (limit == 0) return APIARY_ELIMIT;
    AP_ASSERT(hint->count <= AP_TICKETS_KNOWN);
    while (hint->count > 0) {
        ticket = ap_ticket_again(hint, lane, limit);
        if (ticket == 0) continue;
        *ret = ticket;
        return 0;
    }
    /* Lanes begin at different lines, and each goes on where its last search ended. */
    from = (hint->row != NULL ? hint->last : lane * (AP_LINE / 4)) % limit;
    ticket = admission_take(row, from, limit, lane, false);
    if (ticket == 0) ticket = admission_take(row, from, limit, lane, true);
    if (ticket == 0) return APIARY_ELIMIT;
    hint->last = AP_TICKET_NUMBER(ticket) - 1;
    hint->row = row;
    *ret = ticket;
    return 0;
}

void ap_slot_ticket_return(void *user, struct ap_slot *slot)
{
    uint32_t ticket = ap_load_relaxed(&slot->ticket), at = AP_TICKET_NUMBER(ticket) - 1, caller = ap_load_relaxed(&slot->caller);
    uint32_t busy = AP_TICKET_EPOCH(ticket) | AP_TICKET_BUSY(ap_load_relaxed(&slot->client));
    uint32_t *row = caller != 0 ? row_of(user, caller - 1) : NULL;

    /* In another epoch it was given back before a death, or freed at the end of its lane's life; now it may be anybody's. */
    if (row != NULL && at < row_length(user)) ap_cas(&row[at], &busy, AP_TICKET_NEXT(busy));
}

void ap_tickets_free(struct ap_segment *seg, uint32_t lane)
{
    uint64_t services = seg->sections[AP_SECTION_TICKETS].count;

    for (uint64_t s = 0; s < services; s++) {
        uint32_t *row = row_of(seg, (uint32_t)s);

        for (uint32_t i = 0; i < row_length(seg); i++) {
            uint32_t seen = ap_load_relaxed(&row[i]);
            while (AP_TICKET_LANE(seen) == AP_TICKET_IDLE(lane) && !ap_cas(&row[i], &seen, AP_TICKET_NEXT(seen))) {}
        }
    }
}

void ap_tickets_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    if (beside == 0) ap_tickets_free(seg, lane);
}

bool ap_tickets_any(const struct ap_segment *seg, uint32_t service)
{
    const uint32_t *row = row_of(seg, service);
    bool any = false;

    for (uint32_t i = 0; row != NULL && !any && i < row_length(seg); i++) any = AP_TICKET_LANE(ap_load_relaxed(&row[i])) != 0;
    return any;
}

uint32_t ap_tickets_busy(const struct ap_segment *seg, uint32_t service)
{
    const uint32_t *row = row_of(seg, service);
    uint32_t busy = 0;

    for (uint32_t i = 0; row != NULL && i < row_length(seg); i++) busy += AP_TICKET_IS_BUSY(ap_load_relaxed(&row[i]));
    return busy;
}
