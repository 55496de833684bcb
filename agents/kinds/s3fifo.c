/* agents/kinds/s3fifo.c - see s3fifo.h. */
#include "agents/kinds/s3fifo.h"

#include <stdbool.h>
#include <string.h>

#include "core/apiary.h"
#include "core/name.h"

enum { MOST_ASKED = 3, PROMOTE_ABOVE = 1, GHOST_WAYS = 4, BYTES_PER_BUCKET = 512 };
enum { SMALL, MAIN };

struct entry {
    struct entry *chain;         /* in its bucket */
    struct entry *newer, *older; /* in its queue */
    uint64_t hash, expires;
    uint32_t key_size, value_size;
    uint8_t queue, asked;
    bool read;
    char bytes[]; /* key, value */
};

struct queue {
    struct entry *newest, *oldest;
    size_t bytes, entries;
};

struct ghost { /* a key's fingerprint and when (in ghosts made) it was left */
    uint32_t fingerprint, stamp;
};

struct ap_s3fifo {
    struct ap_s3fifo_memory memory;
    size_t capacity, small_target, fixed;
    size_t buckets; /* a power of two; also the number of ghosts */
    struct entry **table;
    struct ghost *ghosts; /* sets of GHOST_WAYS */
    uint32_t ghosts_made;
    struct queue queues[2];
    struct ap_s3fifo_stats stats;
};

static size_t entry_size(size_t key_size, size_t value_size)
{
    return sizeof(struct entry) + key_size + value_size;
}

static size_t cost(const struct entry *e)
{
    return entry_size(e->key_size, e->value_size);
}

static size_t s3fifo_used(const struct ap_s3fifo *c)
{
    return c->fixed + c->queues[SMALL].bytes + c->queues[MAIN].bytes;
}

/* ---- ghosts ------------------------------------------------------------------------------------------------------ */

static struct ghost *ghost_set(const struct ap_s3fifo *c, uint64_t hash)
{
    size_t sets = c->buckets / GHOST_WAYS;
    return &c->ghosts[(hash & (sets - 1)) * GHOST_WAYS];
}

static uint32_t fingerprint(uint64_t hash)
{
    uint32_t f = (uint32_t)(hash >> 32);
    return f ? f : 1; /* 0: no ghost */
}

/* The ghost queue has as many entries as a full main queue would: nine tenths of those present, but at least one set. */
static bool ghost_is_fresh(const struct ap_s3fifo *c, const struct ghost *g)
{
    size_t entries = c->queues[SMALL].entries + c->queues[MAIN].entries, length = entries - entries / 10;
    if (length < GHOST_WAYS) length = GHOST_WAYS;
    return g->fingerprint != 0 && (uint32_t)(c->ghosts_made - g->stamp) <= length;
}

static void leave_ghost(struct ap_s3fifo *c, uint64_t hash)
{
    struct ghost *set = ghost_set(c, hash), *victim = set;
    for (int i = 0; i < GHOST_WAYS; i++) {
        if (set[i].fingerprint == 0 || set[i].fingerprint == fingerprint(hash)) {
            victim = &set[i];
            break;
        }
        if (c->ghosts_made - set[i].stamp > c->ghosts_made - victim->stamp) victim = &set[i];
    }
    *victim = (struct ghost){fingerprint(hash), ++c->ghosts_made};
}

static bool take_ghost(struct ap_s3fifo *c, uint64_t hash)
{
    struct ghost *set = ghost_set(c, hash);
    for (int i = 0; i < GHOST_WAYS; i++)
        if (set[i].fingerprint == fingerprint(hash)) {
            bool fresh = ghost_is_fresh(c, &set[i]);
            set[i].fingerprint = 0;
            return fresh;
        }
    return false;
}

/* ---- queues, table ----------------------------------------------------------------------------------------------- */

static void push(struct ap_s3fifo *c, struct entry *e, int which)
{
    struct queue *q = &c->queues[which];
    e->queue = (uint8_t)which;
    e->newer = NULL;
    e->older = q->newest;
    if (q->newest)
        q->newest->newer = e;
    else
        q->oldest = e;
    q->newest = e;
    q->bytes += cost(e);
    q->entries++;
}

static void unlink_queue(struct ap_s3fifo *c, struct entry *e)
{
    struct queue *q = &c->queues[e->queue];
    if (e->newer)
        e->newer->older = e->older;
    else
        q->newest = e->older;
    if (e->older)
        e->older->newer = e->newer;
    else
        q->oldest = e->newer;
    q->bytes -= cost(e);
    q->entries--;
}

static struct entry **s3fifo_find(const struct ap_s3fifo *c, uint64_t hash, const void *key, size_t key_size)
{
    struct entry **at = &c->table[hash & (c->buckets - 1)];
    while (*at && ((*at)->hash != hash || (*at)->key_size != key_size ||
                   (key_size > 0 && memcmp((*at)->bytes, key, key_size) != 0)))
        at = &(*at)->chain;
    return at;
}

static void drop(struct ap_s3fifo *c, struct entry **at)
{
    struct entry *e = *at;
    *at = e->chain;
    unlink_queue(c, e);
    c->memory.give(c->memory.user, e);
}

static void drop_entry(struct ap_s3fifo *c, struct entry *e)
{
    struct entry **at = &c->table[e->hash & (c->buckets - 1)];
    while (*at != e)
        at = &(*at)->chain;
    drop(c, at);
}

/* ---- eviction ---------------------------------------------------------------------------------------------------- */

static void evict(struct ap_s3fifo *c, struct entry *e, uint64_t now)
{
    if (e->expires <= now) {
        c->stats.expired++;
    } else {
        c->stats.evicted++;
        c->stats.evicted_unread += !e->read;
        if (e->queue == SMALL) leave_ghost(c, e->hash);
    }
    drop_entry(c, e);
}

/* Both passes end: each step removes an entry, moves one out of the small queue, or lowers a counter. */
static void evict_from_small(struct ap_s3fifo *c, uint64_t now)
{
    for (struct entry *e; (e = c->queues[SMALL].oldest) != NULL;) {
        if (e->asked <= PROMOTE_ABOVE || e->expires <= now) {
            evict(c, e, now);
            return;
        }
        unlink_queue(c, e);
        e->asked = 0;
        push(c, e, MAIN);
        c->stats.promoted++;
    }
}

static void evict_from_main(struct ap_s3fifo *c, uint64_t now)
{
    for (struct entry *e; (e = c->queues[MAIN].oldest) != NULL;) {
        if (e->asked == 0 || e->expires <= now) {
            evict(c, e, now);
            return;
        }
        unlink_queue(c, e);
        e->asked--;
        push(c, e, MAIN);
    }
}

static void make_room(struct ap_s3fifo *c, size_t size, uint64_t now)
{
    while (s3fifo_used(c) + size > c->capacity) {
        if (c->queues[MAIN].entries == 0 ||
            (c->queues[SMALL].entries > 0 && c->queues[SMALL].bytes + size > c->small_target))
            evict_from_small(c, now);
        else
            evict_from_main(c, now);
    }
}

/* ---- public ------------------------------------------------------------------------------------------------------ */

int ap_s3fifo_create(const struct ap_s3fifo_memory *memory, size_t capacity, struct ap_s3fifo **ret)
{
    if (capacity < AP_S3FIFO_SMALLEST || capacity > SIZE_MAX / 4) return APIARY_EINVAL;
    size_t buckets = 16, per_bucket = sizeof(struct entry *) + sizeof(struct ghost);
    while (buckets < capacity / BYTES_PER_BUCKET && buckets < (size_t)1 << 22)
        buckets *= 2;
    struct ap_s3fifo *c = memory->take(memory->user, sizeof *c);
    if (!c) return APIARY_ENOBLOCK;
    memset(c, 0, sizeof *c);
    c->memory = *memory;
    c->capacity = capacity;
    c->buckets = buckets;
    c->fixed = sizeof *c + buckets * per_bucket;
    c->small_target = (capacity - c->fixed) / 10;
    c->table = memory->take(memory->user, buckets * sizeof *c->table);
    c->ghosts = memory->take(memory->user, buckets * sizeof *c->ghosts);
    if (!c->table || !c->ghosts) {
        if (c->table) memory->give(memory->user, c->table);
        if (c->ghosts) memory->give(memory->user, c->ghosts);
        memory->give(memory->user, c);
        return APIARY_ENOBLOCK;
    }
    memset(c->table, 0, buckets * sizeof *c->table);
    memset(c->ghosts, 0, buckets * sizeof *c->ghosts);
    *ret = c;
    return 0;
}

void ap_s3fifo_destroy(struct ap_s3fifo *c)
{
    struct ap_s3fifo_memory memory = c->memory;
    for (int which = SMALL; which <= MAIN; which++)
        for (struct entry *e = c->queues[which].oldest, *next; e; e = next) {
            next = e->newer;
            memory.give(memory.user, e);
        }
    memory.give(memory.user, c->table);
    memory.give(memory.user, c->ghosts);
    memory.give(memory.user, c);
}

int ap_s3fifo_lookup(struct ap_s3fifo *c, const void *key, size_t key_size, uint64_t now, const void **value,
                     size_t *value_size, uint64_t *expires)
{
    struct entry **at = s3fifo_find(c, ap_hash(key, key_size), key, key_size), *e = *at;
    if (!e || e->expires <= now) {
        if (e) {
            c->stats.expired++;
            drop(c, at);
        }
        c->stats.misses++;
        return 0;
    }
    c->stats.hits++;
    e->read = true;
    if (e->asked < MOST_ASKED) e->asked++;
    *value = e->bytes + e->key_size;
    *value_size = e->value_size;
    if (expires) *expires = e->expires;
    return 1;
}

int ap_s3fifo_insert(struct ap_s3fifo *c, const void *key, size_t key_size, const void *value, size_t value_size,
                     uint64_t now, uint64_t expires)
{
    size_t room = c->capacity - c->fixed;
    if (key_size > room || value_size > room || entry_size(key_size, value_size) > room || key_size > UINT32_MAX ||
        value_size > UINT32_MAX) {
        c->stats.too_large++;
        return APIARY_ETOOLARGE;
    }
    uint64_t hash = ap_hash(key, key_size);
    size_t size = entry_size(key_size, value_size);
    struct entry **at = s3fifo_find(c, hash, key, key_size);
    int which = SMALL;
    uint8_t asked = 0;
    bool read = false;
    if (*at) { /* an update counts as being asked for and keeps its queue */
        which = (*at)->queue;
        asked = (*at)->asked < MOST_ASKED ? (*at)->asked + 1 : MOST_ASKED;
        read = (*at)->read;
        c->stats.updates++;
        drop(c, at);
    } else {
        c->stats.inserts++;
        if (take_ghost(c, hash)) {
            which = MAIN;
            c->stats.ghost_hits++;
        }
    }
    make_room(c, size, now);
    struct entry *e = c->memory.take(c->memory.user, size);
    if (!e) return APIARY_ENOBLOCK;
    struct entry **bucket = &c->table[hash & (c->buckets - 1)];
    *e = (struct entry){.chain = *bucket,
                        .hash = hash,
                        .expires = expires,
                        .key_size = (uint32_t)key_size,
                        .value_size = (uint32_t)value_size,
                        .asked = asked,
                        .read = read};
    if (key_size > 0) memcpy(e->bytes, key, key_size);
    if (value_size > 0) memcpy(e->bytes + key_size, value, value_size);
    *bucket = e;
    push(c, e, which);
    return 0;
}

int ap_s3fifo_delete(struct ap_s3fifo *c, const void *key, size_t key_size, uint64_t now)
{
    struct entry **at = s3fifo_find(c, ap_hash(key, key_size), key, key_size);
    if (!*at) return 0;
    bool expired = (*at)->expires <= now;
    drop(c, at);
    if (expired)
        c->stats.expired++;
    else
        c->stats.deletes++;
    return !expired;
}

void ap_s3fifo_stats(const struct ap_s3fifo *c, struct ap_s3fifo_stats *ret)
{
    *ret = c->stats;
    ret->small_entries = c->queues[SMALL].entries;
    ret->main_entries = c->queues[MAIN].entries;
    ret->entries = ret->small_entries + ret->main_entries;
    ret->small_bytes = c->queues[SMALL].bytes;
    ret->main_bytes = c->queues[MAIN].bytes;
    ret->bytes = s3fifo_used(c);
    ret->capacity = c->capacity;
    ret->largest_entry = c->capacity - c->fixed - sizeof(struct entry);
}

int ap_s3fifo_verify(const struct ap_s3fifo *c)
{
    size_t entries = 0, chained = 0;
    for (int which = SMALL; which <= MAIN; which++) {
        const struct queue *q = &c->queues[which];
        size_t bytes = 0, count = 0;
        const struct entry *newer = NULL;
        for (const struct entry *e = q->newest; e; newer = e, e = e->older) {
            if (e->queue != which || e->newer != newer || e->asked > MOST_ASKED) return 1;
            if (*s3fifo_find(c, e->hash, e->bytes, e->key_size) != e) return 2;
            bytes += cost(e);
            count++;
        }
        if (q->oldest != newer || bytes != q->bytes || count != q->entries) return 3;
        entries += count;
    }
    for (size_t i = 0; i < c->buckets; i++)
        for (const struct entry *e = c->table[i]; e; e = e->chain)
            chained++;
    if (chained != entries) return 4;
    return s3fifo_used(c) <= c->capacity ? 0 : 5;
}
