/* registry/routing/admission.h - the bulkhead: at most max_concurrent_delegations tasks in flight per calling service.
 *
 * SCOPE     A member without a service has no bulkhead. Its lanes' slots and inlets bound it.
 * LAYOUT    One row of 32-bit tickets per service. A ticket is 0 (free) or busy << 16 | lane + 1.
 * WHY       A counter would be wrong when a lane dies between counting and owning. A ticket names its owner.
 * LIFE      1 0 -> busy(lane) by CAS.
 *           2 A lane keeps a ticket that it no longer needs as idle(lane), and takes the ticket again by CAS.
 *           3 A lane that finds no free ticket takes an idle one from another lane of the service by CAS.
 *           4 The reaper frees a dead lane's tickets.
 * PATH      Usually one CAS on a ticket of the lane's own. There is no line that every lane writes.
 * INVARIANTS A1 a ticket's lane is LIVE  A2 a task's ticket is busy and owned by its slab's lane
 */
#ifndef AP_ADMISSION_H
#define AP_ADMISSION_H

#include "core/invariant.h"
#include "registry/registry.h"

/* The tickets that a lane remembers; private memory of its thread. A hint: the row decides each take and return. */
#define AP_TICKETS_KNOWN 64u
struct ap_ticket_hint {
    uint32_t *row;  /* of the service, NULL: none taken yet */
    uint32_t last;  /* where the last search of the row ended; the next begins there */
    uint32_t count; /* of known */
    uint16_t known[AP_TICKETS_KNOWN]; /* numbers + 1 of tickets given back, the next one last; other lanes may have them */
};
#define AP_TICKET_BUSY(lane) (1u << 16 | ((lane) + 1))
#define AP_TICKET_IDLE(lane) ((lane) + 1)
_Static_assert(AP_TICKET_IDLE(AP_LANES_MAX - 1) < 1u << 16, "a ticket names any lane below its busy bit");

/* A ticket that the lane has given back: its number + 1. 0: call ap_ticket_take. */
AP_ALWAYS_INLINE uint16_t ap_ticket_again(struct ap_ticket_hint *hint, uint32_t lane, uint32_t limit)
{
    uint32_t idle = AP_TICKET_IDLE(lane);
    uint16_t ticket;

    if (__builtin_expect(hint->count == 0, 0)) return 0;
    AP_DEBUG_ASSERT(hint->count <= AP_TICKETS_KNOWN && hint->row != NULL);
    ticket = hint->known[--hint->count];
    if (__builtin_expect(ticket > limit, 0)) return 0;
    return ap_cas(&hint->row[ticket - 1], &idle, AP_TICKET_BUSY(lane)) ? ticket : 0;
}
/* Gives back a ticket of the lane, which takes it next. */
AP_ALWAYS_INLINE void ap_ticket_back(const struct ap_segment *seg, struct ap_ticket_hint *hint, uint32_t lane, uint16_t ticket)
{
    uint32_t busy = AP_TICKET_BUSY(lane);

    /* The number comes from a slot and is not trusted: the ticket may be another lane's. */
    if (ticket > seg->geometry.max_concurrent_delegations) return;
    if (!ap_cas(&hint->row[ticket - 1], &busy, AP_TICKET_IDLE(lane)) || hint->count == AP_TICKETS_KNOWN) return;
    hint->known[hint->count++] = ticket;
}

/* Ticket number + 1 in *ret, or APIARY_ELIMIT. limit <= the row's length. */
int ap_ticket_take(struct ap_segment *seg, uint32_t service, uint32_t lane, uint32_t limit, struct ap_ticket_hint *hint,
                   uint16_t *ret);
/* Gives back the ticket of a slot that is RELEASING. An ap_slot_freed_fn: `seg` is the segment.
 * 1 Only if the lane that took the ticket still has the life in which it took it. At the end of a life all its tickets are freed.
 * 2 The ticket is passed to the lane that frees the slot, then the slot stops naming the ticket, then the ticket is free.
 * 3 A lane that finds the slot after a death in between gives the ticket back if it is still the client's. A ticket that was
 *   passed on is freed with the dead lane's tickets, after its slots. */
void ap_slot_ticket_return(void *seg, struct ap_slot *slot);
/* Frees all tickets of a lane, in all services: at its close, and by its reaper. */
void ap_tickets_free(struct ap_segment *seg, uint32_t lane);
/* The same for a dead lane. The caller has the lane's lock: a later life of the lane makes the same tickets. */
void ap_tickets_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* Whether any lane has a ticket of the service, busy or idle. */
bool ap_tickets_any(const struct ap_segment *seg, uint32_t service);
/* Busy tickets of a service. */
uint32_t ap_tickets_busy(const struct ap_segment *seg, uint32_t service);

#endif
