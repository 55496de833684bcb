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

/* Tickets protect no data, so their order needs no partner: each is a claim decided by its own compare-and-swap. */
static int admission_take(uint32_t *row, uint32_t from, uint32_t limit, uint32_t lane, bool steal)
{
    for (uint32_t n = 0, i = from; n < limit; n++, i = i + 1 < limit ? i + 1 : 0) {
        uint32_t seen = ap_load_relaxed(&row[i]);

        if (steal ? seen >> 16 != 0 : seen != 0 && seen != AP_TICKET_IDLE(lane)) continue;
        if (ap_cas(&row[i], &seen, AP_TICKET_BUSY(lane))) return (int)i;
    }
    return -1;
}

int ap_ticket_take(struct ap_segment *seg, uint32_t service, uint32_t lane, uint32_t limit, struct ap_ticket_hint *hint,
                   uint16_t *ret)
{
    uint32_t *row = row_of(seg, service), from;
    int at;

    if (row == NULL) return APIARY_EINVAL;
    if (limit > row_length(seg)) limit = row_length(seg);
    if (limit == 0) return APIARY_ELIMIT;
    AP_ASSERT(hint->count <= AP_TICKETS_KNOWN);
    while (hint->count > 0) {
        uint16_t ticket = ap_ticket_again(hint, lane, limit);
        if (ticket == 0) continue;
        *ret = ticket;
        return 0;
    }
    /* Lanes begin at different lines, and each goes on where its last search ended. */
    from = (hint->row != NULL ? hint->last : lane * (AP_LINE / 4)) % limit;
    at = admission_take(row, from, limit, lane, false);
    if (at < 0) at = admission_take(row, from, limit, lane, true);
    if (at < 0) return APIARY_ELIMIT;
    hint->last = (uint32_t)at;
    hint->row = row;
    *ret = (uint16_t)(at + 1);
    return 0;
}

void ap_slot_ticket_return(void *user, struct ap_slot *slot)
{
    struct ap_segment *seg = user;
    uint32_t service_plus_1 = ap_load_relaxed(&slot->caller), index = ap_load_relaxed(&slot->client);
    uint32_t busy = AP_TICKET_BUSY(index), passed = AP_TICKET_BUSY(AP_WORD_OWNER(ap_load_relaxed(&slot->word)));
    uint16_t ticket = ap_load_relaxed(&slot->ticket);
    const struct ap_lane *lane = ap_lane_at(seg, index);
    uint32_t *row = service_plus_1 != 0 ? row_of(seg, service_plus_1 - 1) : NULL;

    if (ticket == 0 || ticket > row_length(seg) || row == NULL || lane == NULL) return;
    /* The worker wrote that line last: it is fetched only if there is a ticket. */
    if (ap_load_relaxed(&lane->joined) > ap_load_relaxed(&slot->queued)) return;
    /* A ticket that is no longer the client's was freed when its lane closed or was reaped, or passed on before a death. */
    if (!ap_cas(&row[ticket - 1], &busy, passed)) return;
    ap_slot_ticket_none(slot);
    ap_cas(&row[ticket - 1], &passed, 0);
}

void ap_tickets_free(struct ap_segment *seg, uint32_t lane)
{
    uint64_t services = seg->sections[AP_SECTION_TICKETS].count;

    for (uint64_t s = 0; s < services; s++) {
        uint32_t *row = row_of(seg, (uint32_t)s);

        for (uint32_t i = 0; i < row_length(seg); i++) {
            uint32_t seen = ap_load_relaxed(&row[i]);
            while ((seen & 0xffff) == AP_TICKET_IDLE(lane) && !ap_cas(&row[i], &seen, 0)) {}
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

    for (uint32_t i = 0; row != NULL && !any && i < row_length(seg); i++) any = ap_load_relaxed(&row[i]) != 0;
    return any;
}

uint32_t ap_tickets_busy(const struct ap_segment *seg, uint32_t service)
{
    const uint32_t *row = row_of(seg, service);
    uint32_t busy = 0;

    for (uint32_t i = 0; row != NULL && i < row_length(seg); i++) busy += ap_load_relaxed(&row[i]) >> 16 & 1;
    return busy;
}
