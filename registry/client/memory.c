/* registry/client/memory.c - a client's calls of the memory. See registry/memory/memory.h. */
#include "registry/client/memory.h"

#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "registry/memory/cache.h"

int apiary_memory_open(apiary_t *a, const char *name, uint32_t flags, apiary_memory_t **ret)
{
    struct ap_memory_name own;
    int r;

    if (a == NULL || ret == NULL || (flags & ~APIARY_MEMORY_LOCAL) != 0) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    r = ap_memory_name(name, (flags & APIARY_MEMORY_LOCAL) != 0, &own);
    if (r < 0) return r;
    *ret = malloc(sizeof **ret);
    if (*ret == NULL) return APIARY_ENOBLOCK;
    **ret = (struct apiary_memory){.client = a, .name = own};
    return 0;
}

void apiary_memory_close(apiary_memory_t *m)
{
    free(m);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void value_out_sized(const apiary_memory_value_t *own, apiary_memory_value_t *ret)
{
    ap_sized_out(ret, ret->struct_size, own, sizeof *own);
}

AP_ALWAYS_INLINE void value_out(const struct ap_segment *seg, const struct ap_memory_read *read, apiary_memory_value_t *ret)
{
    apiary_memory_value_t own = {.struct_size = sizeof own, .version = read->version, .ttl = APIARY_FOREVER, .size = read->size};

    if (__builtin_expect(read->until != APIARY_FOREVER, 0)) {
        uint64_t now = seg->ops->now();
        own.ttl = read->until > now ? read->until - now : 0;
    }
    if (__builtin_expect(ret->struct_size == sizeof own, 1)) *ret = own;
    else value_out_sized(&own, ret);
}

/* By a thread that has a lane; the others count nothing. */
static __attribute__((noinline)) void get_counted_elsewhere(const struct apiary *a, enum ap_memory_count count)
{
    const struct ap_lane_context *c = a->read_only ? NULL : ap_context_find(a);

    if (c != NULL) ap_memory_counted(a->seg, c->lane.index, count, 1);
}

AP_ALWAYS_INLINE void get_counted(const struct apiary *a, enum ap_memory_count count)
{
    if (ap_here_is(a)) ap_memory_counted(a->seg, ap_here.context->lane.index, count, 1);
    else get_counted_elsewhere(a, count);
}

/* Any key and value. */
static __attribute__((noinline)) int get_any(const apiary_memory_t *m, const char *key, void *value, size_t capacity,
                                             apiary_memory_value_t *ret)
{
    struct ap_memory_key whole;
    struct ap_memory_read read;
    int r;

    if (m == NULL || (value == NULL && capacity > 0)) return APIARY_EINVAL;
    if (ret != NULL && !ap_sized_valid(ret->struct_size, AP_FIRST_MEMORY_VALUE)) return APIARY_EINVAL;
    if (!ap_present(m->client)) return ap_absent(m->client);
    r = ap_memory_key(&m->name, key, &whole);
    if (r == 0) r = ap_memory_read(m->client->seg, &whole, value, capacity, &read);
    if (r == 0 && read.unused != 0 && !m->client->read_only) ap_memory_use(m->client->seg, read.unused - 1);
    if (r == 0 && ret != NULL) value_out(m->client->seg, &read, ret);
    if (r == 0) get_counted(m->client, AP_MEMORY_COUNT_hits);
    if (r == APIARY_ENOKEY) get_counted(m->client, AP_MEMORY_COUNT_misses);
    return r;
}

/* Whether the row's key is this one, of which `tail` is behind the last whole word. */
AP_ALWAYS_INLINE bool get_is_of(const struct ap_value *v, const struct ap_memory_name *name, const char *key, size_t size,
                                uint64_t tail)
{
    const uint64_t *inside = v->inside + name->words;
    uint64_t differ = ap_load_relaxed(&v->words) ^ (name->words + size / 8 + 1), word;
    size_t i = 0;

    differ |= ap_load_relaxed(&v->inside[0]) ^ name->text[0];
    for (uint32_t k = 1; k < name->words; k++) differ |= ap_load_relaxed(&v->inside[k]) ^ name->text[k];
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, key + i, 8);
        differ |= ap_load_relaxed(&inside[i / 8]) ^ word;
    }
    return (differ | (ap_load_relaxed(&inside[i / 8]) ^ tail)) == 0;
}

/* A value of at most 64 bytes that has no end and is inside a row: true. False: it is not such a one, or has changed meanwhile. */
AP_ALWAYS_INLINE bool get_small(const struct ap_value *v, uint64_t place, void *value, size_t capacity, apiary_memory_value_t *ret)
{
    uint32_t n = ap_load_relaxed(&v->size), words = ap_load_relaxed(&v->words);
    uint64_t version = ap_load_relaxed(&v->version), until = ap_load_relaxed(&v->until), block = ap_load_relaxed(&v->block), life;

    if (until != APIARY_FOREVER || block != 0 || n > 64 || n > capacity || words + 8 > AP_MEMORY_INSIDE) return false;
    ap_value_copy(value, &v->inside[words], n);
    ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
    life = ap_load_acquire(&v->life); /* MEMORY-A3 pairs MEMORY-R3 */
    if (!AP_VALUE_IS(life, place)) return false;
    ret->version = version;
    ret->ttl = APIARY_FOREVER;
    ret->size = n;
    return true;
}

/* Most values are small: these are got without a call but strlen, from the first place of the bucket with the key's mark. */
int apiary_memory_get(const apiary_memory_t *m, const char *key, void *value, size_t capacity, apiary_memory_value_t *ret)
{
    const struct ap_segment *seg;
    const struct ap_value *v;
    const uint64_t *at, *end;
    uint64_t hash, tail, place, word;
    size_t size, i = 0;

    if (m == NULL || key == NULL || value == NULL || ret == NULL || ret->struct_size != sizeof *ret || !ap_present(m->client))
        return get_any(m, key, value, capacity, ret);
    size = strlen(key);
    if (size - 1 >= APIARY_MEMORY_KEY_MAX) return APIARY_EINVAL;
    tail = ap_memory_tail(key, size);
    for (hash = m->name.hash; i + 8 <= size; i += 8) {
        memcpy(&word, key + i, 8);
        hash = ap_memory_mix(hash, word);
    }
    hash = ap_memory_hash(ap_memory_mix(hash, tail));
    seg = m->client->seg;
    at = ap_bucket_of(seg, hash)->place;
    end = at + AP_MEMORY_PLACES;
    do place = ap_load_acquire(at); /* MEMORY-A1 pairs MEMORY-R1 */
    while (__builtin_expect(!AP_PLACE_MARKED(place, hash), 0) && ++at < end);
    v = ap_value_at(seg, AP_PLACE_ROW(place));
    if (at < end && v != NULL && get_is_of(v, &m->name, key, size, tail) && get_small(v, place, value, capacity, ret)) {
        get_counted(m->client, AP_MEMORY_COUNT_hits);
        return 0;
    }
    return get_any(m, key, value, capacity, ret);
}

int apiary_memory_scan(const apiary_memory_t *m, const char *prefix, uint64_t *position, char key[APIARY_MEMORY_KEY_MAX + 1],
                       apiary_memory_value_t *ret)
{
    struct ap_memory_found found;
    int r;

    if (m == NULL || prefix == NULL || position == NULL || key == NULL) return APIARY_EINVAL;
    if (ret != NULL && !ap_sized_valid(ret->struct_size, AP_FIRST_MEMORY_VALUE)) return APIARY_EINVAL;
    if (!ap_present(m->client)) return ap_absent(m->client);
    r = ap_memory_next(m->client->seg, &m->name, prefix, position, &found);
    if (r != 1) return r;
    strcpy(key, (const char *)found.key.text);
    if (ret != NULL) value_out(m->client->seg, &found.read, ret);
    return 1;
}

int apiary_memory_stats(apiary_t *a, apiary_memory_stats_t *ret)
{
    apiary_memory_stats_t own = {.struct_size = sizeof own};

    if (a == NULL) return APIARY_EINVAL;
    if (!ap_present(a)) return ap_absent(a);
    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_MEMORY_STATS)) return APIARY_EINVAL;
#define X(name, what) own.name = ap_memory_count(a->seg, AP_MEMORY_COUNT_##name);
    AP_MEMORY_COUNTS(X)
#undef X
    own.refused += own.over_quota;
    ap_memory_held(a->seg, &own.values, &own.bytes);
    ap_cache_evicted(a->seg, &own.evicted, &own.evicted_unfetched);
    own.room = a->seg->sections[AP_SECTION_VALUES].count;
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 0;
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

static int memory_change(apiary_memory_t *m, const char *key, struct ap_memory_change *change, uint64_t ttl)
{
    struct ap_lane_context *c;
    struct ap_memory_key whole;
    struct ap_memory_writer w;
    int r = m != NULL ? ap_usable(m->client) : APIARY_EINVAL;
    uint64_t now;

    if (r == 0) r = ap_memory_key(&m->name, key, &whole);
    if (r < 0) return r;
    if (change->value == NULL && change->size > 0) return APIARY_EINVAL;
    c = ap_context(m->client, &r);
    if (c == NULL) return r;
    change->until = APIARY_FOREVER;
    if (ttl != 0 && ttl != APIARY_FOREVER) {
        now = c->lane.seg->ops->now();
        if (ttl < APIARY_FOREVER - now) change->until = now + ttl;
    }
    w = (struct ap_memory_writer){.seg = c->lane.seg, .lane = &c->lane, .hint = &c->pool_hint, .unasked = &m->unasked};
    return ap_memory_change(&w, &whole, change);
}

static int memory_set(apiary_memory_t *m, const char *key, struct ap_memory_change *change, size_t size, uint64_t ttl,
                      uint64_t *ret_version)
{
    int r;

    if (size > APIARY_MEMORY_VALUE_MAX) return APIARY_ETOOLARGE;
    change->size = (uint32_t)size;
    r = memory_change(m, key, change, ttl);
    if (r == 0 && ret_version != NULL) *ret_version = change->version;
    return r;
}

int apiary_memory_put(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl, uint64_t *ret_version)
{
    struct ap_memory_change change = {.how = AP_MEMORY_PUT, .value = value};

    return memory_set(m, key, &change, size, ttl, ret_version);
}

int apiary_memory_add(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl, uint64_t *ret_version)
{
    struct ap_memory_change change = {.how = AP_MEMORY_ADD, .value = value};

    return memory_set(m, key, &change, size, ttl, ret_version);
}

int apiary_memory_replace(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl, uint64_t *ret_version)
{
    struct ap_memory_change change = {.how = AP_MEMORY_REPLACE, .value = value};

    return memory_set(m, key, &change, size, ttl, ret_version);
}

int apiary_memory_cas(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl, uint64_t version,
                      uint64_t *ret_version)
{
    struct ap_memory_change change = {.how = AP_MEMORY_CAS, .value = value, .version = version};

    return memory_set(m, key, &change, size, ttl, ret_version);
}

int apiary_memory_delete(apiary_memory_t *m, const char *key)
{
    struct ap_memory_change change = {.how = AP_MEMORY_DELETE};

    return memory_change(m, key, &change, 0);
}

int apiary_memory_incr(apiary_memory_t *m, const char *key, int64_t by, int64_t *ret)
{
    struct ap_memory_change change = {.how = AP_MEMORY_INCR, .number = by};
    int r = memory_change(m, key, &change, 0);

    if (r == 0 && ret != NULL) *ret = change.number;
    return r;
}

int apiary_memory_touch(apiary_memory_t *m, const char *key, uint64_t ttl)
{
    struct ap_memory_change change = {.how = AP_MEMORY_TOUCH};

    return memory_change(m, key, &change, ttl);
}
