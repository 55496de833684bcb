/* registry/memory/cache.h - name spaces of the memory that are caches: what is in them may be evicted to make room.
 *
 * SCOPE     1 A name space is a cache as long as the configuration lists it (meta_registry.caches). The coordinator declares that
 *           when it starts.
 *           2 A change in a cache that finds no room evicts values of the same name space, until there is room or none is left that
 *           would make some. So it is refused for want of room only when none is: for want of a row when the name space holds
 *           nothing but the key itself; for want of a block when none of its other values has one that helps: of the size that is
 *           wanted, or of a larger one of which one more free block would be spared (CLASSES in pool.h); when all places of the
 *           key's bucket are of other name spaces; and when others took what it had evicted 1,024 times, or 64 times at its quota,
 *           where each time counts all rows.
 *           At its quota of bytes it evicts as many bytes as are too many and a 64th of the quota, at its quota of values a 64th
 *           of it, so that not each change counts all rows. Of the blocks of a size all caches together
 *           leave an eighth of what may be kept to others (KEPT in shm/share.h). A change that finds them there evicts as many as
 *           a 64th of those blocks, or one: the next look of the lane grants so many takes, and not each change counts them.
 *           3 Nothing of another name space is evicted, and never the key that is changed: no incr or cas loses its own.
 * LAYOUT    Section "caches": rows, named in their order. A row names a name space once, for the life of the segment; `active` says
 *           whether it is a cache now.
 * CHOICE    CLOCK. A value of a cache has AP_VALUE_UNUSED in its size when it is new. A get, or a change of what is there, takes
 *           that away, and AP_VALUE_NEW, by which those that were never got are counted. The hand goes round the rows: it evicts
 *           a value that has the bit, and gives it to one that has not. A writer takes 16 rows from it at once, so that no other
 *           looks at them meanwhile; those that it has not needed it gives back, unless another has gone on. After a round with
 *           too little it goes round once more for itself, and evicts whatever it meets. So who is got now and then stays, and
 *           what was put once and never got goes first.
 *           The bit lies where the short way of a get looks anyway (a size above 64), so a get of a value without it costs nothing
 *           more, and one with it writes it once. An observer, who cannot write, does not count as a use.
 * SEARCH    A writer of a cache looks for a FREE row among AP_MEMORY_LOOK, and then evicts; it takes the row that became FREE.
 *           So in a larger table it evicts where that many rows in a stretch are used, although others are FREE: these stay
 *           unused until the search has come there. Before it is refused, all rows are searched.
 * WRITER    named, active and the name: the coordinator alone, which has the role's lock. hand: any lane, a hint. evicted and
 *           unfetched: any lane, added to after the value has gone; what a lane that dies does not add is lost. The bits: any
 *           process, by atomic operations; a row may be another key's by then, which is taken for used, or looked at once.
 * INVARIANTS G8 a row is named after all before it, by a possible name and its hash; the hand is a row of the table
 * ORDERING  CACHE-R1 named store-release pairs CACHE-A1 load-acquire: the name.
 * CRASH     Dead between the name and named: the next coordinator writes over it. An eviction is a removal as any other
 *           (memory.h, DRAFT): the reaper of the lane frees the row.
 */
#ifndef AP_MEMORY_CACHE_H
#define AP_MEMORY_CACHE_H

#include "registry/memory/memory.h"

#define AP_MEMORY_LOOK 256u

struct ap_cache {
    uint64_t hash;
    uint32_t named, active;
    uint32_t words, hand;
    uint64_t evicted, unfetched; /* values; of these: never got */
    uint64_t name[AP_MEMORY_NAME_WORDS];
    uint64_t reserved[4];
} AP_ALIGNED;

static inline struct ap_cache *ap_cache_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_CACHES, i, struct ap_cache);
}

/* "NAME", or "@SERVICE" of a local memory: APIARY_EINVAL. */
AP_MUST_CHECK int ap_cache_name(const char *text, struct ap_memory_name *ret);
/* These are caches from now on, and no others. By the coordinator alone. APIARY_ETABLEFULL: there were too many names in the life
 * of the segment; those before are declared. */
AP_MUST_CHECK int ap_caches_declare(struct ap_segment *seg, const struct ap_memory_name *names, size_t count);

/* The name space as a cache; NULL: it is none now. */
struct ap_cache *ap_cache_of(const struct ap_segment *seg, const struct ap_memory_name *name);
/* Copies the name of a row: true; false: it has none. */
bool ap_cache_read(const struct ap_segment *seg, uint64_t i, struct ap_memory_name *ret);

/* The choice: values of a name space, but for one key; until there were so many values, and of so many bytes together. */
struct ap_evicting {
    const struct ap_memory_name *name;
    uint64_t except;  /* the hash of the key */
    uint32_t classes; /* only values in a block of one of these (ap_pool_helping); 0: any value will do */
    uint32_t values;
    uint64_t bytes;   /* if above 0, only values that have some */
};
/* How many values were evicted; the row of the last one. By the lane's thread. */
uint32_t ap_cache_evict(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what,
                        uint32_t *ret_row);
/* One of a bucket: true. */
bool ap_cache_evict_in(struct ap_segment *seg, uint32_t lane, struct ap_cache *c, const struct ap_evicting *what,
                       const struct ap_bucket *b);

/* How many values were evicted, from all caches; of these such that were never got. */
void ap_cache_evicted(const struct ap_segment *seg, uint64_t *ret_evicted, uint64_t *ret_unfetched);

#endif
