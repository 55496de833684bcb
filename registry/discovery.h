/* registry/discovery.h - DiscoveryService: the capability index. A lookup is a read of the segment: no call, no lock.
 *
 * LAYOUT    open addressing, insert-only, linear probing; a row is key, ready, name, then one bit per queue.
 *           key and ready   writer: whoever interns the name first (CAS from 0)     constant afterwards
 *           providers[]     writers: registrants of the queue (fetch-or, fetch-and)
 * NAMES     "name" or "name@major". An agent that offers "name@2" is entered under both "name@2" and "name".
 * HINTS     A provider bit is a hint: the pick also checks that the queue is OPEN and its consumer lane alive, so a stale bit
 *           costs a look and never a wrong route. Death therefore leaves the bits alone: discovery shows the provider as not
 *           alive, and it has them again when its queen comes back. Whoever claims a queue clears the bits of its former
 *           agent before it opens it; a pick looks at the bit once more after it has seen the queue OPEN. Who remembers a life
 *           (ap_only) has seen the bit after it once, so that a later look before it will do.
 * ORDERING  DISC-R1 ready store-release pairs DISC-A1 load-acquire: the name. DISC-R2 providers fetch-or (release) pairs DISC-A2
 *           load-acquire: the agent record and the OPEN queue before the bit.
 * CRASH     interner dead between key and ready: the next who interns the same name fills it (same key, same bytes).
 * INVARIANTS D1 a ready row's name hashes to its key  D2 bits beyond the queue count are 0
 */
#ifndef AP_DISCOVERY_H
#define AP_DISCOVERY_H

#include "registry/registry.h"

struct ap_capability {
    uint64_t key;
    uint32_t ready, reserved0;
    uint64_t asked; /* reserved for counters */
    char name[APIARY_CAPABILITY_MAX + 1];
    uint64_t reserved1[5];
    uint64_t providers[] AP_ALIGNED;
};

static inline struct ap_capability *ap_capability_at(const struct ap_segment *seg, uint64_t i)
{
    return ap_at(seg, AP_SECTION_CAPABILITIES, i);
}

/* Index of a name, inserted when absent. APIARY_ETABLEFULL, APIARY_EINVAL. */
int ap_capability_intern(struct ap_segment *seg, const char *name, uint32_t *ret);
/* The index, or -1: never interned. The hot path. */
int ap_capability_find(const struct ap_segment *seg, const char *name, size_t length);
void ap_capability_name(const struct ap_segment *seg, uint32_t capability, char ret[APIARY_CAPABILITY_MAX + 1]);

/* Provider bits of a queue. */
void ap_capability_offer(struct ap_segment *seg, uint32_t capability, uint32_t queue);
void ap_capability_withdraw(struct ap_segment *seg, uint32_t capability, uint32_t queue);
void ap_capability_withdraw_all(struct ap_segment *seg, uint32_t queue); /* of all capabilities */
int ap_capability_offers(const struct ap_segment *seg, uint32_t capability, uint32_t queue); /* 1, 0 */
/* The next queue >= from that offers it, or -1. */
int ap_capability_next(const struct ap_segment *seg, uint32_t capability, uint32_t from);

#endif
