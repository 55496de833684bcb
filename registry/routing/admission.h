/* registry/routing/admission.h - the bulkhead: at most max_concurrent_delegations tasks in flight per calling service.
 *
 * LAYOUT    one row of 32-bit tickets per service; a ticket is 0 (free) or busy << 16 | lane + 1.
 * WHY       A counter would be wrong when a lane dies between counting and owning. A ticket's owner is in the ticket: 0 ->
 *           busy(lane) by CAS; a lane keeps a ticket it no longer needs as idle(lane) and takes it again by CAS;
 *           any lane of the service that finds none free takes an idle one from another by CAS. The reaper frees a dead lane's.
 * PATH      one CAS on a ticket of one's own in the usual case, no line that everybody writes.
 * A member without a service has no bulkhead; its lanes' slots and inlets bound it.
 * INVARIANTS A1 a ticket's lane is LIVE  A2 a task's ticket is busy and owned by its slab's lane
 */
#ifndef AP_ADMISSION_H
#define AP_ADMISSION_H

#include "registry/registry.h"

/* What a lane remembers of its tickets; private memory of its thread. A hint: each take and return is decided in the row. */
#define AP_TICKETS_KNOWN 64u
struct ap_ticket_hint {
    uint32_t *row;  /* of the service, NULL: none taken yet */
    uint32_t last;  /* where the last search of the row ended; the next begins there */
    uint32_t count; /* of known */
    uint16_t known[AP_TICKETS_KNOWN]; /* given back, the last is the next; numbers + 1. Others may have taken them since */
};
#define AP_TICKET_BUSY(lane) (1u << 16 | ((lane) + 1))
#define AP_TICKET_IDLE(lane) ((lane) + 1)

/* One that the lane has given back: its number + 1, 0: ap_ticket_take has to look. */
AP_ALWAYS_INLINE uint16_t ap_ticket_again(struct ap_ticket_hint *hint, uint32_t lane, uint32_t limit)
{
    uint32_t idle = AP_TICKET_IDLE(lane);
    uint16_t ticket;

    if (__builtin_expect(hint->count == 0, 0)) return 0;
    ticket = hint->known[--hint->count];
    if (__builtin_expect(ticket > limit, 0)) return 0;
    return ap_cas(&hint->row[ticket - 1], &idle, AP_TICKET_BUSY(lane)) ? ticket : 0;
}
/* The opposite: of a lane's own, which it then has as its next. */
AP_ALWAYS_INLINE void ap_ticket_back(const struct ap_segment *seg, struct ap_ticket_hint *hint, uint32_t lane, uint16_t ticket)
{
    uint32_t busy = AP_TICKET_BUSY(lane);

    /* What the slot says is not trusted. A ticket that is not this lane's was another's word. */
    if (ticket > seg->geometry.max_concurrent_delegations) return;
    if (!ap_cas(&hint->row[ticket - 1], &busy, AP_TICKET_IDLE(lane)) || hint->count == AP_TICKETS_KNOWN) return;
    hint->known[hint->count++] = ticket;
}

/* Ticket number + 1 in *ret, or APIARY_ELIMIT. limit <= the row's length. */
int ap_ticket_take(struct ap_segment *seg, uint32_t service, uint32_t lane, uint32_t limit, struct ap_ticket_hint *hint,
                   uint16_t *ret);
/* The ticket of a slot that is RELEASING, if the lane that took it still lives the life in which it took it, for at its end all
 * tickets of a lane are freed. As ap_slot_freed_fn: `seg` is the segment. It is passed to the lane that frees the slot before the
 * slot names it no more, and is free after that: whoever finds the slot after a death in between gives back what is still its
 * client's, and what has been passed goes with the dead lane's, after its slots. */
void ap_slot_ticket_return(void *seg, struct ap_slot *slot);
/* Frees all tickets of a lane, in all services: at its close, and by its reaper. */
void ap_tickets_free(struct ap_segment *seg, uint32_t lane);
/* That of a dead lane, by who has its lock: a later life of the lane makes the same tickets. */
void ap_tickets_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* Whether any lane has a ticket of the service, busy or idle. */
bool ap_tickets_any(const struct ap_segment *seg, uint32_t service);
/* Busy tickets of a service. */
uint32_t ap_tickets_busy(const struct ap_segment *seg, uint32_t service);

#endif
