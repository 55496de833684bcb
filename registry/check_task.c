/* registry/check_task.c - the checker of what a task slot says of the registry: R6 capability, services and ticket are those of
 * the tables. Y1: coalesce.h. */
#include "registry/conflict/coalesce.h"
#include "registry/discovery/discovery.h"
#include "registry/routing/admission.h"

/* A service by its index + 1; 0: none. */
static void service(struct ap_look *look, const uint16_t *at, uint64_t word, const char *what)
{
    uint32_t number = ap_look_16(look, at);
    char name[APIARY_NAME_MAX + 1] = "";

    if (number == 0) return;
    ap_service_name(look->seg, number - 1, name);
    if (name[0] == '\0')
        ap_look_found(look, AP_CORRUPT, at, word ^ (uint64_t)number << 32, "R6", "%s: service %u has no name", what, number - 1);
}

void ap_registry_look_slot(struct ap_look *look)
{
    const struct ap_slot *slot = ap_slot_at(look->seg, look->index);
    uint64_t word = ap_look_64(look, &slot->word);
    uint32_t state = AP_WORD_STATE(word), capability, ticket;
    char name[APIARY_CAPABILITY_MAX + 1] = "";

    /* Before it is published the slot is being filled, afterwards it says what it said. */
    if (state < AP_TASK_SCHEDULED || state > AP_TASK_CANCELLED) return;
    capability = ap_look_16(look, &slot->capability);
    ap_capability_name(look->seg, capability, name);
    if (name[0] == '\0')
        ap_look_found(look, AP_CORRUPT, &slot->capability, word ^ (uint64_t)capability << 32, "R6", "capability %u has no name",
                      capability);
    service(look, &slot->caller, word, "caller");
    service(look, &slot->only, word, "only");
    ticket = ap_look_32(look, &slot->ticket);
    if (ticket != 0 && AP_TICKET_NUMBER(ticket) - 1 >= look->seg->geometry.max_concurrent_delegations)
        ap_look_found(look, AP_CORRUPT, &slot->ticket, word ^ (uint64_t)ticket << 32, "R6", "ticket %d; there are %u",
                      (int)AP_TICKET_NUMBER(ticket) - 1, look->seg->geometry.max_concurrent_delegations);
    ap_coalesce_look_slot(look);
}
