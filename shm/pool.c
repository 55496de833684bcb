/* shm/pool.c - the payload pool. See pool.h. */
#include "shm/pool.h"

#include "shm/event.h"
#include "shm/part.h"
#include "shm/stream.h"

#define LARGER 2u /* classes above its own in which a body may lie */

const uint32_t ap_pool_class_size[AP_POOL_CLASSES] = {256, 1024, 4096, 16384, 65536, 262144, 1048576};

/* Each class begins at a page, so that blocks of 4 KiB and more are page-aligned. */
static uint64_t class_bytes(const struct ap_geometry *g, unsigned c)
{
    return ((uint64_t)g->pool_blocks[c] * ap_pool_class_size[c] + 4095) & ~UINT64_C(4095);
}

uint64_t ap_pool_section_size(const struct ap_geometry *g)
{
    uint64_t size = 0;
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) size += class_bytes(g, c);
    return size;
}

uint32_t ap_pool_max(const struct ap_segment *seg)
{
    for (unsigned c = AP_POOL_CLASSES; c-- > 0;)
        if (seg->geometry.pool_blocks[c] != 0) return ap_pool_class_size[c];
    return AP_INLINE_BODY;
}

uint32_t ap_pool_fits(const struct ap_segment *seg, uint64_t size)
{
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++)
        if (seg->geometry.pool_blocks[c] != 0 && size <= ap_pool_class_size[c]) return ap_pool_class_size[c];
    return 0;
}

/* A block's place: `number` counts over all classes. */
struct place {
    uint64_t number, offset, capacity;
    uint32_t class;
};

static bool pool_place_of(const struct ap_segment *seg, uint64_t offset, struct place *ret)
{
    const struct ap_section *pool = &seg->sections[AP_SECTION_POOL];
    uint64_t at, number = 0;

    if (offset < pool->offset || offset - pool->offset >= pool->count) return false;
    at = offset - pool->offset;
    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        uint64_t bytes = class_bytes(&seg->geometry, c);
        if (at < bytes) {
            if (at % ap_pool_class_size[c] != 0 || at / ap_pool_class_size[c] >= seg->geometry.pool_blocks[c]) return false;
            ret->number = number + at / ap_pool_class_size[c];
            ret->offset = offset;
            ret->capacity = ap_pool_class_size[c];
            ret->class = c;
            return true;
        }
        at -= bytes;
        number += seg->geometry.pool_blocks[c];
    }
    return false;
}

bool ap_pool_is_of(const struct ap_segment *seg, uint64_t offset, uint32_t classes)
{
    struct place p;

    return pool_place_of(seg, offset, &p) && (classes >> p.class & 1) != 0;
}

static uint64_t *word_at(const struct ap_segment *seg, uint64_t number)
{
    return ap_at(seg, AP_SECTION_BLOCKS, number);
}

int ap_pool_block(const struct ap_segment *seg, uint64_t offset, uint64_t *ret_capacity, uint64_t *ret_word)
{
    struct place p;

    if (!pool_place_of(seg, offset, &p)) return APIARY_ECORRUPT;
    if (ret_capacity != NULL) *ret_capacity = p.capacity;
    if (ret_word != NULL) *ret_word = ap_load_acquire(word_at(seg, p.number));
    return 0;
}

uint64_t ap_pool_number(const struct ap_segment *seg, uint64_t offset)
{
    struct place p;

    return pool_place_of(seg, offset, &p) ? p.number : UINT64_MAX;
}

uint64_t ap_pool_offset(const struct ap_segment *seg, const void *block)
{
    uintptr_t at = (uintptr_t)block, base = (uintptr_t)seg->base;
    struct place p;

    if (at < base || at - base >= seg->size || !pool_place_of(seg, at - base, &p)) return 0;
    return p.offset;
}

/* A class: where its words and its blocks begin. */
struct class {
    unsigned number;
    uint64_t first, offset;
};

static bool class_take(struct ap_segment *seg, const struct class *k, const struct ap_lane_handle *lane, struct ap_pool_hint *hint,
                       uint64_t *ret_offset)
{
    uint32_t count = seg->geometry.pool_blocks[k->number], start = hint->next[k->number] % count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = start + i < count ? start + i : start + i - count;
        uint64_t *word = word_at(seg, k->first + n), free_word = ap_load_relaxed(word);

        if (AP_BLOCK_STATE(free_word) != AP_BLOCK_FREE) continue;
        /* POOL-A1 pairs POOL-R1: the former owner's last accesses lie before ours.
         * POOL-R3 pairs POOL-A3: our life LIVE lies before our name in the word. */
        if (!ap_cas(word, &free_word, AP_BLOCK(AP_BLOCK_OWNED, lane->index, lane->epoch))) continue;
        hint->next[k->number] = n + 1;
        *ret_offset = k->offset + (uint64_t)n * ap_pool_class_size[k->number];
        return true;
    }
    return false;
}

static bool class_has_more(const struct ap_segment *seg, const struct class *k, uint32_t than)
{
    uint32_t count = seg->geometry.pool_blocks[k->number], free_blocks = 0;

    for (uint32_t i = 0; i < count && free_blocks <= than; i++)
        free_blocks += AP_BLOCK_STATE(ap_load_relaxed(word_at(seg, k->first + i))) == AP_BLOCK_FREE;
    return free_blocks > than;
}

/* Whether more is free than is kept for bodies that fit no smaller class. Several who look at once may take a few more. */
static bool class_spares(const struct ap_segment *seg, const struct class *k)
{
    return class_has_more(seg, k, seg->geometry.pool_blocks[k->number] / 4);
}

/* Whether it would spare one if one more were free. */
static bool class_nearly_spares(const struct ap_segment *seg, const struct class *k)
{
    uint32_t kept = seg->geometry.pool_blocks[k->number] / 4;

    return kept == 0 || class_has_more(seg, k, kept - 1);
}

uint32_t ap_pool_helping(const struct ap_segment *seg, uint64_t size)
{
    struct class k = {.number = 0};
    unsigned tried = 0;
    uint32_t classes = 0;

    for (; k.number < AP_POOL_CLASSES && tried <= LARGER; k.first += seg->geometry.pool_blocks[k.number++]) {
        if (seg->geometry.pool_blocks[k.number] == 0 || size > ap_pool_class_size[k.number]) continue;
        if (tried++ == 0 || class_nearly_spares(seg, &k)) classes |= UINT32_C(1) << k.number;
    }
    return classes;
}

/* The takes of a look are the lane's own. */
static bool class_caches(const struct ap_segment *seg, const struct class *k, struct ap_pool_hint *hint)
{
    uint32_t *left = &hint->cached[k->number];

    if (*left == 0) *left = ap_share_cache_look(seg, k->number);
    return *left > 0 && (*left)-- > 0;
}

static bool class_shared(const struct ap_segment *seg, const struct class *k, uint32_t member, enum ap_pool_kept kept,
                         struct ap_pool_hint *hint)
{
    if (kept == AP_POOL_CACHED && !class_caches(seg, k, hint)) return false;
    if (kept != AP_POOL_PASSING && !ap_share_block(seg, k->number, k->first, AP_SHARE_KEPT)) return false;
    return ap_share_block(seg, k->number, k->first, member);
}

int ap_pool_take_for(struct ap_segment *seg, const struct ap_lane_handle *lane, uint32_t member, enum ap_pool_kept kept,
                     struct ap_pool_hint *hint, uint64_t size, uint64_t *ret_offset)
{
    struct class k = {.offset = seg->sections[AP_SECTION_POOL].offset};
    unsigned tried = 0;
    int r = APIARY_ENOBLOCK;

    if (size > ap_pool_max(seg)) return APIARY_ETOOLARGE;
    for (; k.number < AP_POOL_CLASSES && tried <= LARGER; k.number++) {
        uint32_t count = seg->geometry.pool_blocks[k.number];

        if (count != 0 && size <= ap_pool_class_size[k.number]) {
            bool own = tried++ == 0;
            if (own || class_spares(seg, &k)) {
                bool shared = class_shared(seg, &k, member, kept, hint);
                if (shared && class_take(seg, &k, lane, hint, ret_offset)) return 0;
                if (own && !shared) r = APIARY_ESHARE; /* else what is wanted is a free one */
            }
        }
        k.first += count;
        k.offset += class_bytes(&seg->geometry, k.number);
    }
    return r;
}

int ap_pool_take(struct ap_segment *seg, const struct ap_lane_handle *lane, struct ap_pool_hint *hint, uint64_t size,
                 uint64_t *ret_offset)
{
    return ap_pool_take_for(seg, lane, lane->member, AP_POOL_PASSING, hint, size, ret_offset);
}

bool ap_pool_room(const struct ap_segment *seg, uint64_t size)
{
    struct class k = {.number = 0};
    unsigned tried = 0;

    for (; k.number < AP_POOL_CLASSES && tried <= LARGER; k.first += seg->geometry.pool_blocks[k.number++]) {
        if (seg->geometry.pool_blocks[k.number] == 0 || size > ap_pool_class_size[k.number]) continue;
        if (tried++ == 0 ? class_has_more(seg, &k, 0) : class_spares(seg, &k)) return true;
    }
    return false;
}

void ap_pool_attach(struct ap_segment *seg, uint64_t offset, uint32_t state, uint32_t slot, uint64_t generation)
{
    struct place p;

    if (!pool_place_of(seg, offset, &p)) return;
    ap_store_release(word_at(seg, p.number), AP_BLOCK(state, slot, generation)); /* POOL-R2 pairs POOL-A2 */
}

int ap_pool_pass(struct ap_segment *seg, uint64_t offset, const struct ap_lane_handle *from, const struct ap_lane_handle *to)
{
    uint64_t seen = AP_BLOCK(AP_BLOCK_OWNED, from->index, from->epoch);
    struct place p;

    if (!pool_place_of(seg, offset, &p)) return 0;
    /* POOL-R3 pairs POOL-A3: our life LIVE lies before our name in the word. */
    return ap_cas(word_at(seg, p.number), &seen, AP_BLOCK(AP_BLOCK_OWNED, to->index, to->epoch));
}

static int free_from(struct ap_segment *seg, uint64_t number, uint64_t seen)
{
    return ap_cas(word_at(seg, number), &seen, AP_BLOCK(AP_BLOCK_FREE, 0, 0)); /* POOL-R1 pairs POOL-A1 */
}

int ap_pool_free_owned(struct ap_segment *seg, const struct ap_lane_handle *lane, uint64_t offset)
{
    struct place p;

    if (!pool_place_of(seg, offset, &p)) return 0;
    if (!free_from(seg, p.number, AP_BLOCK(AP_BLOCK_OWNED, lane->index, lane->epoch))) return 0;
    ap_share_block_back(seg, p.class, lane->member);
    return 1;
}

int ap_pool_free_attached(struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t offset)
{
    struct place p;
    uint64_t word;

    if (offset == 0 || !pool_place_of(seg, offset, &p)) return 0;
    word = ap_load_acquire(word_at(seg, p.number));
    if (AP_BLOCK_STATE(word) == AP_BLOCK_KEPT) return 0;
    if (AP_BLOCK_STATE(word) < AP_BLOCK_REQUEST || AP_BLOCK_WHO(word) != slot || !AP_BLOCK_IS_OF(word, generation)) return 0;
    if (!free_from(seg, p.number, word)) return 0;
    ap_share_block_back(seg, p.class, ap_share_holder(seg, ap_slot_at(seg, slot)));
    return 1;
}

int ap_pool_keep(struct ap_segment *seg, uint64_t offset, uint32_t slot, uint64_t generation, uint32_t row, uint64_t epoch)
{
    struct place p;
    uint64_t seen;

    if (offset == 0 || !pool_place_of(seg, offset, &p)) return 0;
    seen = ap_load_acquire(word_at(seg, p.number));
    if (seen == AP_BLOCK(AP_BLOCK_KEPT, row, epoch)) return 1;
    if (AP_BLOCK_STATE(seen) != AP_BLOCK_REQUEST && AP_BLOCK_STATE(seen) != AP_BLOCK_RESULT) return 0;
    if (AP_BLOCK_WHO(seen) != slot || !AP_BLOCK_IS_OF(seen, generation)) return 0;
    return ap_cas(word_at(seg, p.number), &seen, AP_BLOCK(AP_BLOCK_KEPT, row, epoch));
}

void ap_pool_unkeep(struct ap_segment *seg, uint64_t offset, uint32_t slot, uint64_t slot_word, uint32_t row, uint64_t epoch)
{
    uint64_t seen = AP_BLOCK(AP_BLOCK_KEPT, row, epoch);
    struct place p;

    if (!pool_place_of(seg, offset, &p)) return;
    ap_cas(word_at(seg, p.number), &seen, AP_BLOCK(AP_BLOCK_RESULT_OF(slot_word), slot, AP_WORD_GENERATION(slot_word)));
}

bool ap_pool_kept_fits(const struct ap_segment *seg, uint64_t offset)
{
    struct place p;

    return pool_place_of(seg, offset, &p) && ap_share_kept_fits(seg, p.class);
}

bool ap_pool_kept_fits_few(const struct ap_segment *seg, uint64_t offset)
{
    struct place p;

    return pool_place_of(seg, offset, &p) && (!ap_share_kept_few(seg, p.class) || ap_share_kept_fits(seg, p.class));
}

bool ap_pool_kept_room_few(const struct ap_segment *seg, uint64_t offset)
{
    struct place p;

    return pool_place_of(seg, offset, &p) && (!ap_share_kept_few(seg, p.class) || ap_share_kept_room(seg, p.class));
}

uint32_t ap_pool_kept_others(const struct ap_segment *seg, uint64_t offset,
                             bool (*of)(const struct ap_segment *seg, uint32_t row, uint64_t epoch), uint32_t *ret_lower)
{
    uint64_t first = 0;
    uint32_t n = 0;
    struct place p;

    *ret_lower = 0;
    if (!pool_place_of(seg, offset, &p)) return 0;
    for (uint32_t c = 0; c < p.class; c++) first += seg->geometry.pool_blocks[c];
    for (uint64_t i = first; i < first + seg->geometry.pool_blocks[p.class]; i++) {
        uint64_t word = ap_load_acquire(word_at(seg, i));

        if (i == p.number || AP_BLOCK_STATE(word) != AP_BLOCK_KEPT) continue;
        if (!of(seg, AP_BLOCK_WHO(word), AP_BLOCK_GENERATION(word))) continue;
        n++;
        *ret_lower += i < p.number;
    }
    return n;
}

int ap_pool_free_kept(struct ap_segment *seg, uint64_t offset, uint32_t row, uint64_t epoch)
{
    struct place p;
    uint32_t member = seg->parts->holder != NULL ? seg->parts->holder(seg, row) : AP_SHARE_NOBODY;

    if (offset == 0 || !pool_place_of(seg, offset, &p)) return 0;
    if (!free_from(seg, p.number, AP_BLOCK(AP_BLOCK_KEPT, row, epoch))) return 0;
    if (member == AP_SHARE_SPARE) return 1;
    ap_share_block_back(seg, p.class, member);
    ap_share_block_back(seg, p.class, AP_SHARE_KEPT);
    return 1;
}

/* ---- leaks ---------------------------------------------------------------------------------------------------- */

static bool lane_holds(const struct ap_segment *seg, uint32_t index, uint64_t epoch)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    uint64_t life;

    if (lane == NULL) return false;
    life = ap_load_acquire(&lane->life);
    return AP_LIFE_STATE(life) == AP_LIFE_LIVE && (AP_LIFE_EPOCH(life) & AP_BLOCK_MASK) == epoch;
}

enum verdict { LEAKED, LIVE, CHANGED /* while it was looked at */ };

static bool pool_named(const struct ap_segment *seg, uint64_t word, uint64_t offset)
{
    const struct ap_slot *slot = ap_slot_at(seg, AP_BLOCK_WHO(word));
    const struct ap_stream *stream = ap_stream_at(seg, AP_BLOCK_WHO(word)); /* NULL: there is no such row in what was salvaged */

    switch (AP_BLOCK_STATE(word)) {
    case AP_BLOCK_REQUEST: return ap_load_acquire(&slot->body) == offset;
    case AP_BLOCK_STREAM: return stream != NULL && ap_load_acquire(&stream->window) == offset;
    default: return ap_load_acquire(&slot->result) == offset;
    }
}

/* P1, P2 and P6 for a block attached to a slot. The block's word was read before the slot's, so whoever attaches anew since
 * then changes the block's word and makes the caller's compare-and-swap fail. */
static enum verdict pool_attached(const struct ap_segment *seg, uint64_t word, uint64_t offset)
{
    const struct ap_slot *slot = ap_slot_at(seg, AP_BLOCK_WHO(word));
    uint64_t w;

    if (slot == NULL) return LEAKED;
    w = ap_load_acquire(&slot->word); /* TASK-A6 pairs TASK-R6: before the worker's life */
    if (!AP_BLOCK_IS_OF(word, AP_WORD_GENERATION(w))) return LEAKED;
    switch (AP_WORD_STATE(w)) {
    case AP_TASK_FREE: return LEAKED;
    case AP_TASK_RESERVED: return LIVE;
    case AP_TASK_RUNNING:
        if (AP_BLOCK_STATE(word) != AP_BLOCK_RESULT) break;
        /* An earlier attempt's? */
        if (AP_BLOCK_ATTEMPT(word) != AP_WORD_ATTEMPT(w)) return LEAKED;
        /* Its worker may be about to name it; a worker in recovery never will. But one that has named it, finished and gone
         * since the word was read is not LIVE either: then the word has changed, which is seen after its life FREE.
         * LANE-A2 pairs LANE-R2 */
        if (ap_lane_at(seg, AP_WORD_OWNER(w)) != NULL &&
            AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, AP_WORD_OWNER(w))->life)) == AP_LIFE_LIVE)
            return LIVE;
        return ap_load_acquire(&slot->word) != w ? CHANGED : LEAKED;
    case AP_TASK_SCHEDULED:
    case AP_TASK_QUEUED:
        if (AP_BLOCK_STATE(word) == AP_BLOCK_RESULT) return LEAKED;
        break;
    default: break;
    }
    /* The fields belong to this word only if it did not change meanwhile. */
    return pool_named(seg, word, offset) ? LIVE : ap_load_acquire(&slot->word) != w ? CHANGED : LEAKED;
}

static enum verdict verdict_of(const struct ap_segment *seg, uint64_t word, uint64_t offset)
{
    switch (AP_BLOCK_STATE(word)) {
    case AP_BLOCK_FREE: return LIVE;
    case AP_BLOCK_OWNED: return lane_holds(seg, AP_BLOCK_WHO(word), AP_BLOCK_GENERATION(word)) ? LIVE : LEAKED;
    case AP_BLOCK_REQUEST:
    case AP_BLOCK_STREAM:
    case AP_BLOCK_RESULT: return pool_attached(seg, word, offset);
    case AP_BLOCK_KEPT:
        return seg->parts->keeps != NULL && seg->parts->keeps(seg, AP_BLOCK_WHO(word), AP_BLOCK_GENERATION(word)) ? LIVE : LEAKED;
    default: return LIVE; /* corrupt: the checker's business */
    }
}

bool ap_pool_live(const struct ap_segment *seg, uint64_t word, uint64_t offset)
{
    return verdict_of(seg, word, offset) != LEAKED;
}

/* 1 it was leaked and is free now. */
static uint32_t sweep_block(struct ap_segment *seg, uint64_t number, uint64_t offset)
{
    /* A changed slot is somebody's progress; the bound is for a segment that is being corrupted. */
    for (int tries = 0; tries < 64; tries++) {
        uint64_t word = ap_load_acquire(word_at(seg, number)); /* POOL-A2 pairs POOL-R2, POOL-A3 pairs POOL-R3 */

        switch (verdict_of(seg, word, offset)) {
        case LIVE: return 0;
        case LEAKED: return free_from(seg, number, word) ? 1 : 0;
        case CHANGED: break;
        }
    }
    return 0;
}

uint32_t ap_pool_sweep(struct ap_segment *seg)
{
    uint64_t offset = seg->sections[AP_SECTION_POOL].offset, number = 0;
    uint32_t freed = 0;

    for (unsigned c = 0; c < AP_POOL_CLASSES; c++) {
        for (uint32_t i = 0; i < seg->geometry.pool_blocks[c]; i++, number++)
            freed += sweep_block(seg, number, offset + (uint64_t)i * ap_pool_class_size[c]);
        offset += class_bytes(&seg->geometry, c);
    }
    return freed;
}

void ap_pool_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    uint32_t freed = beside != 0 ? 0 : ap_pool_sweep(seg);

    if (freed != 0) ap_event_log(seg, AP_EVENT_BLOCKS_SWEPT, lane, freed, 0);
}
