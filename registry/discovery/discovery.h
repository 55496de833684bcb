/* registry/discovery/discovery.h - DiscoveryService: the capability index. A lookup is a read of the segment: no call, no lock.
 *
 * LAYOUT    1 Open addressing, insert-only, linear probing.
 *           2 A row is key, ready, one bit per queue, `used` where there are more than 128 queues, then the name. With 128 queues,
 *           all that a lookup of a name of up to 31 bytes reads is in one line.
 *           key and ready   writer: the first lane to intern the name (CAS from 0)     constant afterwards
 *           terms, majors, rules, ways   writer: a registrant, 0 -> 1 (ways: each bit)   constant afterwards
 *           providers[]     writers: registrants of the queue (fetch-or, fetch-and)
 *           used            writer: a registrant, each bit 0 -> 1 (fetch-or)               constant afterwards
 *           3 `used` is what makes a look at one of thousands of queues as short as at one of a hundred. The words of bits are in
 *           at most 64 groups of 1, 2 or 4; a group whose bit of `used` is 0 has never had a provider, and is not looked at.
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
 *           Which bits these are the agent's record says: a bit is set only while the record has the capability, by the thread
 *           that has written it, and the record is written only after the bits of what it said before are cleared. So the bits of a
 *           queue are always among what its record says, whoever is killed.
 *           The one exception: the consumer dies alone, by its thread, after the queue was opened, and its registrant stands still
 *           before the bits, until another agent has the queue. That one refuses the tasks.
 *           4 A router that remembers a life (ap_only) has seen the bit after that life once, so later it may look at the bit
 *           first. It remembers the flags, too: whoever declares rules has set their flag before.
 * ORDERING  DISC-R1 ready store-release pairs DISC-A1 load-acquire: the name.
 *           DISC-R2 providers fetch-or (release) pairs DISC-A2 load-acquire: the agent record and the OPEN queue before
 *           the bit.
 *           DISC-R3 used fetch-or, before the providers' fetch-or (release), pairs DISC-A3 load-acquire of the providers, before
 *           a checker's look at `used`: no bit without its group's.
 * CRASH     A lane dies between key and ready: the next lane that interns the same name fills the row (same key, same bytes).
 *           A lane that dies between `used` and the bit leaves a group that is looked at and is empty.
 * INVARIANTS D1 a ready row's name hashes to its key  D2 bits beyond the queue count are 0; a word that has a bit is of a group
 *           that is used
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
    uint64_t providers[]; /* ap_provider_words of them, `used` where there is one, then the name, APIARY_CAPABILITY_MAX + 1 bytes */
};

static inline uint32_t ap_provider_words(uint32_t queues)
{
    return (queues + 63) / 64;
}
/* Whether `used` stands behind so many words of bits. */
AP_ALWAYS_INLINE bool ap_provider_grouped(uint32_t words)
{
    return words > 2;
}
/* The words of a group, as a power of two. */
static inline uint32_t ap_provider_shift(uint32_t words)
{
    return words > 64 ? 32 - (uint32_t)__builtin_clz((words - 1) / 64) : 0;
}
_Static_assert((AP_QUEUES_MAX + 63) / 64 <= 64 << 2, "64 groups of four words have room for all queues");
/* All words before the name. */
static inline uint32_t ap_provider_words_all(uint32_t queues)
{
    uint32_t words = ap_provider_words(queues);

    return words + ap_provider_grouped(words);
}

static inline struct ap_capability *ap_capability_at(const struct ap_segment *seg, uint64_t i)
{
    return ap_at(seg, AP_SECTION_CAPABILITIES, i);
}
/* The name of a row; at most APIARY_CAPABILITY_MAX bytes, padded with zeros. */
static inline char *ap_capability_text(const struct ap_segment *seg, struct ap_capability *row)
{
    return (char *)&row->providers[ap_provider_words_all(seg->geometry.queues)];
}

/* Index of a name, inserted when absent. APIARY_ETABLEFULL, APIARY_EINVAL. */
AP_MUST_CHECK int ap_capability_intern(struct ap_segment *seg, const char *name, uint32_t *ret);
/* The index, or -1 when the name was never interned. On the hot path. */
int ap_capability_find(const struct ap_segment *seg, const char *name, size_t length);
void ap_capability_name(const struct ap_segment *seg, uint32_t capability, char ret[APIARY_CAPABILITY_MAX + 1]);

/* Provider bits of a queue. */
void ap_capability_offer(struct ap_segment *seg, uint32_t capability, uint32_t queue);
void ap_capability_withdraw(struct ap_segment *seg, uint32_t capability, uint32_t queue);
/* Of all capabilities that the queue's agent has, by its record. */
void ap_capability_withdraw_all(struct ap_segment *seg, uint32_t queue);
/* The next queue >= from that offers the capability, or -1. */
int ap_capability_next(const struct ap_segment *seg, uint32_t capability, uint32_t from);

/* The first word from `word` on that may have a bit; `words` or more: there is none. */
AP_ALWAYS_INLINE uint32_t ap_provider_skip(const uint64_t *providers, uint32_t words, uint32_t word)
{
    uint32_t shift, next;
    uint64_t used;

    if (__builtin_expect(!ap_provider_grouped(words), 1) || word >= words) return word;
    shift = ap_provider_shift(words);
    used = ap_load_relaxed(&providers[words]) >> (word >> shift);
    if (used == 0) return words;
    next = (uint32_t)__builtin_ctzll(used);
    return next == 0 ? word : ((word >> shift) + next) << shift;
}

/* for: each word that may have a bit. */
#define AP_PROVIDER_WORDS(providers, words, word)                                                   \
    for (uint32_t word = ap_provider_skip((providers), (words), 0); word < (words);                 \
         word = ap_provider_skip((providers), (words), word + 1))

/* The next one where there are more than 128 queues. */
uint32_t ap_provider_only_of_many(const uint64_t *providers, uint32_t words);

/* The only queue whose bit is set, AP_NO_QUEUE when there are none or several. */
AP_ALWAYS_INLINE uint32_t ap_provider_only(const uint64_t *providers, uint32_t words)
{
    uint64_t only = 0;
    uint32_t at = 0;

    if (__builtin_expect(ap_provider_grouped(words), 0)) return ap_provider_only_of_many(providers, words);
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
