/* registry/discovery/discovery.h - DiscoveryService: the capability index. A lookup is a read of the segment: no call, no lock.
 *
 * LAYOUT    open addressing, insert-only, linear probing; a row is key, ready, one bit per queue, then the name: with
 *           128 queues a name of 31 bytes and all else that a lookup reads are in one line.
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

#include "core/must_check.h"
#include "registry/registry.h"

struct ap_capability {
    uint64_t key;
    uint32_t ready, reserved0;
    uint64_t providers[]; /* ap_provider_words of them, then the name, APIARY_CAPABILITY_MAX + 1 bytes */
};

static inline uint32_t ap_provider_words(uint32_t queues)
{
    return (queues + 63) / 64;
}

static inline struct ap_capability *ap_capability_at(const struct ap_segment *seg, uint64_t i)
{
    return ap_at(seg, AP_SECTION_CAPABILITIES, i);
}
/* Where its name lies; at most APIARY_CAPABILITY_MAX bytes, padded with zeros. */
static inline char *ap_capability_text(const struct ap_segment *seg, struct ap_capability *row)
{
    return (char *)&row->providers[ap_provider_words(seg->geometry.queues)];
}

/* Index of a name, inserted when absent. APIARY_ETABLEFULL, APIARY_EINVAL. */
AP_MUST_CHECK int ap_capability_intern(struct ap_segment *seg, const char *name, uint32_t *ret);
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

/* The only queue whose bit is set, AP_NO_QUEUE when there are none or several. */
AP_ALWAYS_INLINE uint32_t ap_provider_only(const uint64_t *providers, uint32_t words)
{
    uint64_t only = 0;
    uint32_t at = 0;

    for (uint32_t word = 0; word < words; word++) {
        uint64_t bits = ap_load_acquire(&providers[word]); /* DISC-A2 pairs DISC-R2 */

        if (bits == 0) continue;
        if (only != 0 || (bits & (bits - 1)) != 0) return AP_NO_QUEUE;
        only = bits;
        at = word * 64;
    }
    return only != 0 ? at + (uint32_t)__builtin_ctzll(only) : AP_NO_QUEUE;
}

#endif
