/* registry/discovery/discovery.h - DiscoveryService: the capability index. A lookup is a read of the segment: no call, no lock.
 *
 * LAYOUT    1 Open addressing, insert-only, linear probing.
 *           2 A row is key, ready, one bit per queue, then the name. With 128 queues, all that a lookup of a name of up to 31
 *           bytes reads is in one line.
 *           key and ready   writer: the first lane to intern the name (CAS from 0)     constant afterwards
 *           terms, majors, rules, ways   writer: a registrant, 0 -> 1 (ways: each bit)   constant afterwards
 *           providers[]     writers: registrants of the queue (fetch-or, fetch-and)
 * LIMIT     A row is never used again. Lanes, bound capabilities and agents' records remember its index, and a row in the middle
 *           of a chain of probes cannot be empty. Only registrants enter names.
 * NAMES     "name" or "name@major". An agent that offers "name@2" is entered under both "name@2" and "name".
 *           majors.h tells what "name" means then.
 * HINTS     1 A provider bit is a hint. A pick also checks that the queue is OPEN and its consumer lane alive, so a stale bit
 *           costs a look, and never a wrong route.
 *           2 A death leaves the bits alone. Discovery shows the provider as not alive, and the provider is picked again when its
 *           queen comes back.
 *           3 A lane that claims a queue clears the bits of the queue's former agent before it opens the queue. A pick looks at
 *           the bit once more after it has seen the queue OPEN.
 *           4 A router that remembers a life (ap_only) has seen the bit after that life once, so later it may look at the bit
 *           first. It remembers the flags, too: whoever declares rules has set their flag before.
 * ORDERING  DISC-R1 ready store-release pairs DISC-A1 load-acquire: the name.
 *           DISC-R2 providers fetch-or (release) pairs DISC-A2 load-acquire: the agent record and the OPEN queue before
 *           the bit.
 * CRASH     A lane dies between key and ready: the next lane that interns the same name fills the row (same key, same bytes).
 * INVARIANTS D1 a ready row's name hashes to its key  D2 bits beyond the queue count are 0
 */
#ifndef AP_DISCOVERY_H
#define AP_DISCOVERY_H

#include "core/must_check.h"
#include "registry/registry.h"

#define AP_WAY_STATEFUL 1u /* one provider has all of its tasks, or all of one key (homes.h) */
#define AP_WAYS AP_WAY_STATEFUL
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first of the flags is the lowest byte");

struct ap_capability {
    uint64_t key;
    uint32_t ready;
    union {
        struct {
            uint8_t terms;  /* 1: it has declared something (terms.h) */
            /* The flags that make a pick look more closely. */
            uint8_t majors; /* 1: the name without a major of one that has been entered with one (majors.h) */
            uint8_t rules;  /* 1: it has declared rules (rules.h) */
            uint8_t ways;   /* AP_WAY_*, once declared */
        };
        uint32_t flags; /* all four; above 1: one of the last three */
    };
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
/* The name of a row; at most APIARY_CAPABILITY_MAX bytes, padded with zeros. */
static inline char *ap_capability_text(const struct ap_segment *seg, struct ap_capability *row)
{
    return (char *)&row->providers[ap_provider_words(seg->geometry.queues)];
}

/* Index of a name, inserted when absent. APIARY_ETABLEFULL, APIARY_EINVAL. */
AP_MUST_CHECK int ap_capability_intern(struct ap_segment *seg, const char *name, uint32_t *ret);
/* The index, or -1 when the name was never interned. On the hot path. */
int ap_capability_find(const struct ap_segment *seg, const char *name, size_t length);
void ap_capability_name(const struct ap_segment *seg, uint32_t capability, char ret[APIARY_CAPABILITY_MAX + 1]);

/* Provider bits of a queue. */
void ap_capability_offer(struct ap_segment *seg, uint32_t capability, uint32_t queue);
void ap_capability_withdraw(struct ap_segment *seg, uint32_t capability, uint32_t queue);
void ap_capability_withdraw_all(struct ap_segment *seg, uint32_t queue); /* of all capabilities */
/* The next queue >= from that offers the capability, or -1. */
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
