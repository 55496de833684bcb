/* registry/routing/admission.h - the bulkhead: at most max_concurrent_delegations tasks in flight per calling service.
 *
 * SCOPE     A member without a service has no tickets. Its slabs bound it (shm/share.h, UNNAMED).
 * LAYOUT    One row of 32-bit tickets per service. A ticket is epoch << 16 | busy << 15 | lane + 1; without a lane it is free.
 * WHY       A counter would be wrong when a lane dies between counting and owning. A ticket names its owner.
 * LIFE      1 free -> busy(lane) by CAS.
 *           2 A lane keeps a ticket that it no longer needs as idle(lane), and takes the ticket again by CAS.
 *           3 A lane that finds no free ticket takes an idle one from another lane of the service by CAS.
 *           4 The reaper frees a dead lane's tickets.
 * EPOCH     1 The epoch rises when a ticket is freed, and when another lane takes it. A slot names its ticket with the epoch.
 *           2 A thread that frees a slot for another lane may stand still with what it has read, while a recovery does its work
 *           and the ticket gets its next holder: the same lane, or a later life of it. The thread's CAS then names a former epoch.
 *           3 The CAS would succeed only if the ticket was freed 65,536 times, or a multiple, while the thread stood still.
 *           4 A ticket that its lane gives back and takes again keeps the epoch: nobody else frees that slot.
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
    uint32_t known[AP_TICKETS_KNOWN]; /* names of tickets given back, the next one last; other lanes may have them */
};
#define AP_TICKET_BUSY(lane) (1u << 15 | ((lane) + 1))
#define AP_TICKET_IDLE(lane) ((lane) + 1)
#define AP_TICKET_LANE(w) ((w) & 0x7fff) /* lane + 1, 0: it is free */
#define AP_TICKET_IS_BUSY(w) ((w) >> 15 & 1)
#define AP_TICKET_EPOCH(w) ((w) & 0xffff0000) /* in its place, of a ticket's word and of its name */
#define AP_TICKET_NEXT(w) (AP_TICKET_EPOCH(w) + 0x10000) /* free, in the next epoch */
_Static_assert(AP_TICKET_IDLE(AP_LANES_MAX - 1) <= AP_TICKET_LANE(UINT32_MAX), "a ticket names any lane below its busy bit");
/* A ticket's name, in a slot: epoch << 16 | number + 1; 0: none. */
#define AP_TICKET_NUMBER(name) ((name) & 0xffff)
_Static_assert(AP_TICKET_NUMBER(AP_TICKETS_MAX) == AP_TICKETS_MAX, "a name has any number");

/* A ticket that the lane has given back: its name. 0: call ap_ticket_take. */
AP_ALWAYS_INLINE uint32_t ap_ticket_again(struct ap_ticket_hint *hint, uint32_t lane, uint32_t limit)
{
    uint32_t ticket, idle;

    if (__builtin_expect(hint->count == 0, 0)) return 0;
    AP_DEBUG_ASSERT(hint->count <= AP_TICKETS_KNOWN && hint->row != NULL);
    ticket = hint->known[--hint->count];
    idle = AP_TICKET_EPOCH(ticket) | AP_TICKET_IDLE(lane);
    if (__builtin_expect(AP_TICKET_NUMBER(ticket) > limit, 0)) return 0;
    return ap_cas(&hint->row[AP_TICKET_NUMBER(ticket) - 1], &idle, AP_TICKET_EPOCH(ticket) | AP_TICKET_BUSY(lane)) ? ticket : 0;
}
/* Gives back a ticket of the lane, which takes it next. */
AP_ALWAYS_INLINE void ap_ticket_back(const struct ap_segment *seg, struct ap_ticket_hint *hint, uint32_t lane, uint32_t ticket)
{
    uint32_t at = AP_TICKET_NUMBER(ticket) - 1, busy = AP_TICKET_EPOCH(ticket) | AP_TICKET_BUSY(lane);

    /* The name comes from a slot and is not trusted: the ticket may be another lane's. */
    if (at >= seg->geometry.max_concurrent_delegations) return;
    if (!ap_cas(&hint->row[at], &busy, AP_TICKET_EPOCH(ticket) | AP_TICKET_IDLE(lane)) || hint->count == AP_TICKETS_KNOWN) return;
    hint->known[hint->count++] = ticket;
}

/* A ticket's name in *ret, or APIARY_ELIMIT. limit <= the row's length. */
int ap_ticket_take(struct ap_segment *seg, uint32_t service, uint32_t lane, uint32_t limit, struct ap_ticket_hint *hint,
                   uint32_t *ret);
/* Gives back the ticket of a slot that is RELEASING. An ap_slot_freed_fn: `seg` is the segment.
 * One CAS busy -> free in the next epoch, so a slot's ticket is given back once: a thread that comes to the slot later, after a
 * death or because it stood still, changes nothing. */
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
