/* registry/memory/table.c - keys, buckets and rows of the memory; reading. See memory.h. */
#include <string.h>

#include "core/name.h"
#include "registry/memory/memory.h"

_Static_assert(sizeof(struct ap_bucket) == 128, "bucket: two lines");
_Static_assert(sizeof(struct ap_value) == 384, "value: six lines");
_Static_assert(sizeof(struct ap_draft) == 256, "draft: a line of its own, one of all, two of counts");
_Static_assert(offsetof(struct ap_value, inside) == 56, "the key begins in the first line");

#define TRIES 1000u /* a row that was used again while it was copied; more is no chance */

/* ---- keys ------------------------------------------------------------------------------------------------------- */

int ap_memory_name(const char *name, bool local, struct ap_memory_name *ret)
{
    size_t at = local ? 1 : 0;

    if (name == NULL || !ap_name_valid(name, APIARY_NAME_MAX)) return APIARY_EINVAL;
    memset(ret, 0, sizeof *ret);
    if (local) memcpy(ret->text, "@", 1);
    memcpy((char *)ret->text + at, name, strlen(name));
    ret->words = (uint32_t)((at + strlen(name)) / 8 + 1);
    for (uint32_t i = 0; i < ret->words; i++) ret->hash = ap_memory_mix(ret->hash, ret->text[i]);
    return 0;
}

int ap_memory_key(const struct ap_memory_name *name, const char *key, struct ap_memory_key *ret)
{
    return ap_memory_key_here(name, key, ret);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

uint32_t ap_memory_block_row(const struct ap_segment *seg, uint32_t row)
{
    return (uint32_t)(seg->sections[AP_SECTION_DEAD].count + seg->sections[AP_SECTION_KEPT].count) + row;
}

bool ap_memory_keeps(const struct ap_segment *seg, uint32_t row, uint64_t epoch)
{
    const struct ap_value *v = ap_value_at(seg, row);
    uint64_t life = v != NULL ? ap_load_acquire(&v->life) : 0; /* MEMORY-A3 pairs MEMORY-R3 */

    return AP_VALUE_STATE(life) == AP_VALUE_USED &&
           AP_BLOCK_IS_OF(AP_BLOCK(AP_BLOCK_KEPT, row, epoch), AP_VALUE_EPOCH(life));
}

/* The block is a leak from then on, which a sweep would find if the lane died here. */
void ap_value_free(struct ap_segment *seg, uint64_t place)
{
    uint32_t row = AP_PLACE_ROW(place);
    struct ap_value *v = ap_value_at(seg, row);
    uint64_t life = v != NULL ? ap_load_acquire(&v->life) : 0, block; /* MEMORY-A3 pairs MEMORY-R3 */

    if (!AP_VALUE_IS(life, place)) return;
    block = ap_load_relaxed(&v->block);
    if (!ap_cas(&v->life, &life, AP_VALUE_LIFE(AP_VALUE_EPOCH(life), 0, AP_VALUE_FREE))) return; /* MEMORY-R3 pairs MEMORY-A3 */
    if (block != 0) ap_pool_free_kept(seg, block, ap_memory_block_row(seg, row), AP_VALUE_EPOCH(life));
}

const void *ap_value_bytes(const struct ap_segment *seg, const struct ap_value *v, uint32_t *ret_size)
{
    uint32_t size = AP_VALUE_SIZE(ap_load_relaxed(&v->size)), words = ap_load_relaxed(&v->words);
    uint64_t block = ap_load_relaxed(&v->block), capacity;

    if (block != 0) {
        if (ap_pool_block(seg, block, &capacity, NULL) < 0 || size > capacity) return NULL;
        *ret_size = size;
        return ap_at_offset(seg, block, size);
    }
    if (words > AP_MEMORY_INSIDE || size > (AP_MEMORY_INSIDE - words) * 8) return NULL;
    *ret_size = size;
    return &v->inside[words];
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

uint64_t ap_memory_count(const struct ap_segment *seg, enum ap_memory_count count)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < seg->places[AP_SECTION_DRAFTS].count; i++) n += ap_load_relaxed(&ap_draft_at(seg, i)->counts[count]);
    return n;
}

void ap_memory_held(const struct ap_segment *seg, uint64_t *ret_values, uint64_t *ret_bytes)
{
    *ret_values = *ret_bytes = 0;
    for (uint64_t i = 0; i < seg->places[AP_SECTION_VALUES].count; i++) {
        const struct ap_value *v = ap_value_at(seg, i);
        uint32_t size = AP_VALUE_SIZE(ap_load_relaxed(&v->size));

        if (AP_VALUE_STATE(ap_load_relaxed(&v->life)) != AP_VALUE_USED || size > APIARY_MEMORY_VALUE_MAX) continue;
        *ret_values += 1;
        *ret_bytes += size;
    }
}

bool ap_value_of_name(const struct ap_value *v, const struct ap_memory_name *name)
{
    uint64_t differ = AP_VALUE_NAME_WORDS(ap_load_relaxed(&v->name_words)) ^ name->words;

    for (uint32_t i = 0; i < name->words; i++) differ |= ap_load_relaxed(&v->inside[i]) ^ name->text[i];
    return differ == 0;
}

/* Not one that is being written, or has been taken out. */
static bool value_placed(const struct ap_segment *seg, const struct ap_value *v, uint32_t row, uint64_t life)
{
    uint64_t hash = ap_load_relaxed(&v->hash), place = AP_PLACE(hash, AP_VALUE_EPOCH(life), row);
    const struct ap_bucket *b = ap_bucket_of(seg, hash);

    for (uint32_t i = 0; i < AP_MEMORY_PLACES; i++)
        if (ap_load_relaxed(&b->place[i]) == place) return true;
    return false;
}

uint64_t ap_memory_held_by(const struct ap_segment *seg, const struct ap_memory_name *name, uint64_t *ret_bytes)
{
    uint64_t n = 0, bytes = 0;

    for (uint64_t i = 0; i < seg->places[AP_SECTION_VALUES].count; i++) {
        const struct ap_value *v = ap_value_at(seg, i);

        uint64_t life = ap_load_acquire(&v->life); /* MEMORY-A3 pairs MEMORY-R3 */

        if (AP_VALUE_STATE(life) != AP_VALUE_USED || !ap_value_of_name(v, name)) continue;
        if (!value_placed(seg, v, (uint32_t)i, life)) continue;
        n++;
        bytes += AP_VALUE_SIZE(ap_load_relaxed(&v->size));
    }
    if (ret_bytes != NULL) *ret_bytes = bytes;
    return n;
}

uint64_t ap_memory_quota(const struct ap_segment *seg)
{
    uint64_t rows = seg->places[AP_SECTION_VALUES].count, quota = rows * AP_REGISTRY_NUMBER(&seg->geometry, MEMORY) / 100;

    return quota > 0 ? quota : 1;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

int ap_memory_read(const struct ap_segment *seg, const struct ap_memory_key *key, void *value, size_t capacity,
                   struct ap_memory_read *ret)
{
    const struct ap_bucket *b = ap_bucket_of(seg, key->hash);
    uint32_t tries = 0;

    for (uint32_t i = 0; i < AP_MEMORY_PLACES;) {
        int r = ap_memory_read_place(seg, key, &b->place[i], value, capacity, ret);

        if (r == AP_MEMORY_ANOTHER) i++;
        else if (r != AP_MEMORY_CHANGED) return r;
        else if (++tries > TRIES) return APIARY_ENOTREADY;
    }
    return APIARY_ENOKEY;
}

/* ---- scanning --------------------------------------------------------------------------------------------------- */

/* The key of a row, as of now. False: it is none. */
static bool value_key(const struct ap_value *v, struct ap_memory_found *ret)
{
    uint32_t names = AP_VALUE_NAME_WORDS(ap_load_relaxed(&v->name_words)), words = ap_load_relaxed(&v->words);
    uint64_t *name = ret->name.text, *key = ret->key.text;

    if (names == 0 || names > AP_MEMORY_NAME_WORDS || words <= names || words - names > AP_MEMORY_KEY_WORDS) return false;
    for (uint32_t i = 0; i < names; i++) name[i] = ap_load_relaxed(&v->inside[i]);
    for (uint32_t i = names; i < words; i++) key[i - names] = ap_load_relaxed(&v->inside[i]);
    name[names - 1] &= ~(UINT64_C(0xff) << 56); /* each text ends, whatever is there */
    key[words - names - 1] &= ~(UINT64_C(0xff) << 56);
    ret->name.words = names;
    ret->key.name = &ret->name;
    ret->key.words = words - names;
    ret->key.hash = ap_load_relaxed(&v->hash);
    return true;
}

static bool found_begins(const struct ap_memory_found *found, const struct ap_memory_name *name, const char *prefix, size_t size)
{
    if (name != NULL && (found->name.words != name->words || memcmp(found->name.text, name->text, name->words * 8) != 0))
        return false;
    return strncmp((const char *)found->key.text, prefix, size) == 0;
}

/* The value of a place, as of one moment: 1; 0: the place is empty; or an error. */
static int place_read(const struct ap_segment *seg, const uint64_t *at, uint32_t *ret_row, struct ap_memory_found *ret)
{
    for (uint32_t tries = 0; tries < TRIES; tries++) {
        uint64_t place = ap_load_acquire(at); /* MEMORY-A1 pairs MEMORY-R1 */
        const struct ap_value *v = ap_value_at(seg, AP_PLACE_ROW(place));
        bool right;

        if ((place & AP_PLACE_PRESENT) == 0) return 0;
        if (v == NULL) return APIARY_ECORRUPT;
        *ret_row = AP_PLACE_ROW(place);
        right = value_key(v, ret) && ap_value_read(seg, v, NULL, 0, &ret->read) == 0;
        ap_fence_acquire(); /* MEMORY-A2 pairs MEMORY-R2 */
        if (AP_VALUE_IS(ap_load_acquire(&v->life), place)) return right ? 1 : APIARY_ECORRUPT; /* MEMORY-A3 pairs MEMORY-R3 */
        if (ap_load_relaxed(at) == place) return APIARY_ECORRUPT;
    }
    return APIARY_ENOTREADY;
}

int ap_memory_at(const struct ap_segment *seg, uint64_t number, uint32_t *ret_row, struct ap_memory_found *ret)
{
    const struct ap_bucket *b = ap_bucket_at(seg, number / AP_MEMORY_PLACES);

    return b != NULL ? place_read(seg, &b->place[number % AP_MEMORY_PLACES], ret_row, ret) : 0;
}

int ap_memory_next(const struct ap_segment *seg, const struct ap_memory_name *name, const char *prefix, uint64_t *position,
                   struct ap_memory_found *ret)
{
    uint64_t places = seg->places[AP_SECTION_MEMORY].count * AP_MEMORY_PLACES;
    size_t size = strlen(prefix);
    uint32_t row;

    for (uint64_t at = *position; at < places; at++) {
        int r = ap_memory_at(seg, at, &row, ret);

        if (r < 0) return r;
        if (r == 0 || !found_begins(ret, name, prefix, size)) continue;
        if (ret->read.until != APIARY_FOREVER && ret->read.until <= seg->ops->now()) continue;
        *position = at + 1;
        return 1;
    }
    return 0;
}
