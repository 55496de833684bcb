/* shm/share.c - the shares of members in the task table and the pool. See share.h. */
#include "shm/share.h"

#include <stdlib.h>

#include "shm/part.h"
#include "shm/pool.h"
#include "shm/task.h"

#define LOOKS 16u /* of what may be taken, one part is granted by a look */
#define WORDS 64u /* that a take may cost in looks */
#define FRESH 8u /* 2^20 ns in which a look still counts when something is given back */
#define PAYERS 64 /* lost races for one grant; in each of them another lane has paid */

/* ---- whose things are ------------------------------------------------------------------------------------------ */

/* The member of a lane in the life that it had at that time. A lane's record stays until the index is used again, and so does a
 * member's. */
static uint32_t holder_by_lane(const struct ap_segment *seg, uint32_t index, uint64_t then)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    const struct ap_member *m = lane != NULL ? ap_member_at(seg, ap_load_relaxed(&lane->member)) : NULL;

    if (m == NULL || ap_load_relaxed(&lane->joined) > then) return AP_SHARE_NOBODY;
    if (AP_MEMBER_STATE(ap_load_relaxed(&m->life)) == AP_LIFE_FREE) return AP_SHARE_NOBODY;
    return ap_load_relaxed(&m->pid) == ap_load_relaxed(&lane->pid) ? ap_load_relaxed(&lane->member) : AP_SHARE_NOBODY;
}

uint32_t ap_share_holder(const struct ap_segment *seg, const struct ap_slot *slot)
{
    return holder_by_lane(seg, ap_load_relaxed(&slot->client), ap_load_relaxed(&slot->queued));
}

#define NAME(life, member) (AP_MEMBER_EPOCH(life) << 16 | (member))
_Static_assert(AP_MEMBERS_MAX <= 0x10000, "a member has 16 bits in its name");

uint64_t ap_share_name(const struct ap_segment *seg, uint32_t member)
{
    const struct ap_member *m = ap_member_at(seg, member);

    return m != NULL ? NAME(ap_load_relaxed(&m->life), member) : UINT64_MAX;
}

uint32_t ap_share_named(const struct ap_segment *seg, uint64_t name)
{
    const struct ap_member *m = ap_member_at(seg, name & 0xffff);
    uint64_t life = m != NULL ? ap_load_relaxed(&m->life) : 0;

    if (AP_MEMBER_STATE(life) == AP_LIFE_FREE || NAME(life, name & 0xffff) != name) return AP_SHARE_NOBODY;
    return (uint32_t)(name & 0xffff);
}

/* The member that holds a slab: true. False: it is free. */
static bool slab_of(const struct ap_segment *seg, uint64_t slab, uint32_t *ret_member)
{
    uint64_t lease = ap_load_relaxed(&ap_slab_at(seg, slab)->lease);

    if (AP_LEASE_LANE(lease) == 0) return false;
    *ret_member = holder_by_lane(seg, AP_LEASE_LANE(lease) - 1, UINT64_MAX);
    return true;
}

static bool block_of(const struct ap_segment *seg, uint64_t number, uint32_t *ret_member)
{
    uint64_t word = ap_load_relaxed((uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, number));
    const struct ap_slot *slot;

    *ret_member = AP_SHARE_NOBODY;
    switch (AP_BLOCK_STATE(word)) {
    case AP_BLOCK_FREE: return false;
    case AP_BLOCK_OWNED: *ret_member = holder_by_lane(seg, AP_BLOCK_WHO(word), UINT64_MAX); break;
    case AP_BLOCK_KEPT:
        if (seg->parts->holder != NULL) *ret_member = seg->parts->holder(seg, AP_BLOCK_WHO(word));
        break;
    default:
        slot = ap_slot_at(seg, AP_BLOCK_WHO(word));
        if (slot != NULL) *ret_member = ap_share_holder(seg, slot);
    }
    return true;
}

/* ---- how many they are ----------------------------------------------------------------------------------------- */

/* Things of one kind: the numbers [first, first + count). `number` is that of its grant. */
struct kind {
    bool (*of)(const struct ap_segment *seg, uint64_t number, uint32_t *ret_member);
    uint64_t first, count;
    uint32_t number;
};

static struct kind slabs_kind(const struct ap_segment *seg)
{
    return (struct kind){slab_of, 0, seg->sections[AP_SECTION_SLABS].count, 0};
}

static struct kind blocks_kind(const struct ap_segment *seg, uint32_t class)
{
    struct kind k = {block_of, 0, seg->geometry.pool_blocks[class], class + 1};

    for (uint32_t c = 0; c < class; c++) k.first += seg->geometry.pool_blocks[c];
    return k;
}

/* All that is kept. Each word is read once: what it says at two moments may be two things. */
static struct ap_share share_kept(const struct ap_segment *seg, const struct kind *k)
{
    struct ap_share s = {0};

    for (uint64_t i = k->first; i < k->first + k->count; i++) {
        uint64_t word = ap_load_relaxed((uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i));
        bool kept = AP_BLOCK_STATE(word) == AP_BLOCK_KEPT;

        if (AP_BLOCK_STATE(word) == AP_BLOCK_FREE) s.free++;
        else if (kept && seg->parts->holder != NULL && seg->parts->holder(seg, AP_BLOCK_WHO(word)) == AP_SHARE_SPARE) s.spare++;
        else s.held += kept;
    }
    return s;
}

static struct ap_share share_of(const struct ap_segment *seg, const struct kind *k, uint32_t member)
{
    struct ap_share s = {0};
    uint32_t holder;

    if (member == AP_SHARE_KEPT && k->of == block_of) return share_kept(seg, k);
    for (uint64_t i = k->first; i < k->first + k->count; i++) {
        if (!k->of(seg, i, &holder)) s.free++;
        else if (holder == AP_SHARE_SPARE) s.spare++;
        else s.held += holder == member;
    }
    return s;
}

static uint32_t share_most(const struct ap_segment *seg, const struct kind *k, uint32_t member, const struct ap_share *s)
{
    return member == AP_SHARE_KEPT ? ap_share_kept_most(seg, k->number - 1) : ap_share_most(seg, s);
}

/* Where so many are free that the member might hold all the others, nobody asks whose they are. */
static struct ap_share share_look(const struct ap_segment *seg, const struct kind *k, uint32_t member)
{
    struct ap_share s = {0};

    if (k->of != block_of) return share_of(seg, k, member);
    for (uint64_t i = k->first; i < k->first + k->count; i++)
        s.free += AP_BLOCK_STATE(ap_load_relaxed((uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i))) == AP_BLOCK_FREE;
    s.held = (uint32_t)k->count - s.free;
    return s.held < share_most(seg, k, member, &s) ? s : share_of(seg, k, member);
}

/* ---- grants ---------------------------------------------------------------------------------------------------- */

#define GRANT(left, at, refused) ((uint64_t)(left) | (uint64_t)((at) & 0x7fffffff) << 32 | (uint64_t)(refused) << 63)
#define GRANT_LEFT(g) ((uint32_t)(g))
#define GRANT_REFUSED(g) ((g) >> 63 != 0)
#define GRANT_AGE(g, at) (((at) - ((g) >> 32)) & 0x7fffffff)
#define GRANT_REFUSED_AT(g, at) ((g) >> 32 == GRANT(0, at, 1) >> 32)

static uint64_t *grant_of(const struct ap_segment *seg, uint32_t member, uint32_t number)
{
    struct ap_member *m = ap_member_at(seg, member);

    return m != NULL ? &m->grants[number] : &seg->header->kept_grants[number];
}

/* The grant of a look, without the take that it is for. */
static uint64_t grant_by(const struct ap_segment *seg, const struct kind *k, uint32_t member, uint64_t at)
{
    struct ap_share s = share_look(seg, k, member);
    uint32_t most = share_most(seg, k, member, &s), more = most > s.held ? most - s.held : 0, some = (uint32_t)(k->count / WORDS);

    if (more == 0) return GRANT(0, at, s.free + s.spare > 0);
    if (some > more) some = more;
    if (some < more / LOOKS) some = more / LOOKS;
    return GRANT(some > 1 ? some - 1 : 0, at, 0);
}

/* Whether the member, or all that is kept, may take everything. */
static bool share_free(const struct ap_segment *seg, uint32_t member)
{
    if (member == AP_SHARE_KEPT) return seg->geometry.kept_share >= 100;
    return seg->geometry.member_share >= 100 || member == AP_SHARE_NOBODY;
}

static bool share_pay(const struct ap_segment *seg, const struct kind *k, uint32_t member)
{
    uint64_t *grant, seen, next, at;

    if (share_free(seg, member)) return true;
    grant = grant_of(seg, member, k->number);
    seen = ap_load_relaxed(grant);
    for (int tries = 0; tries < PAYERS; tries++) {
        if (GRANT_LEFT(seen) > 0) {
            if (ap_cas(grant, &seen, seen - 1)) return true;
            continue;
        }
        at = seg->ops->now() >> 20;
        if (GRANT_REFUSED_AT(seen, at)) return false;
        next = grant_by(seg, k, member, at);
        if (ap_cas(grant, &seen, next)) return !GRANT_REFUSED_AT(next, at);
    }
    return true;
}

static void share_back(const struct ap_segment *seg, uint32_t member, uint32_t number)
{
    uint64_t *grant, seen;

    if (share_free(seg, member)) return;
    grant = grant_of(seg, member, number);
    seen = ap_load_relaxed(grant);
    if (GRANT_LEFT(seen) > 0 || seen == 0 || GRANT_AGE(seen, seg->ops->now() >> 20) > FRESH) return;
    /* If it has changed meanwhile there was a look, which has seen this one. A member that was refused may be above its share. */
    ap_cas(grant, &seen, GRANT_REFUSED(seen) ? 0 : seen + 1);
}

bool ap_share_slab(const struct ap_segment *seg, uint32_t member)
{
    struct kind k = slabs_kind(seg);

    return share_pay(seg, &k, member);
}

bool ap_share_block(const struct ap_segment *seg, uint32_t class, uint64_t first, uint32_t member)
{
    struct kind k = {block_of, first, seg->geometry.pool_blocks[class], class + 1};

    return share_pay(seg, &k, member);
}

void ap_share_slab_back(const struct ap_segment *seg, uint32_t member)
{
    share_back(seg, member, 0);
}

void ap_share_block_back(const struct ap_segment *seg, uint32_t class, uint32_t member)
{
    share_back(seg, member, class + 1);
}

void ap_share_forget(const struct ap_segment *seg, uint32_t member)
{
    for (uint32_t i = 0; i < AP_GRANTS; i++) ap_store_relaxed(grant_of(seg, member, i), 0);
}

/* ---- what is kept ---------------------------------------------------------------------------------------------- */

bool ap_share_kept_few(const struct ap_segment *seg, uint32_t class)
{
    return seg->geometry.pool_blocks[class] <= WORDS;
}

/* The grant to values may be of a time when less was kept. If it changes meanwhile a value was paid for, or there was a look. */
static void kept_grant_lower(const struct ap_segment *seg, uint32_t number, uint32_t left)
{
    uint64_t *grant = grant_of(seg, AP_SHARE_KEPT, number), seen = ap_load_relaxed(grant);

    for (int tries = 0; tries < PAYERS && GRANT_LEFT(seen) > left; tries++)
        if (ap_cas(grant, &seen, seen - GRANT_LEFT(seen) + left)) return;
}

bool ap_share_kept_fits(const struct ap_segment *seg, uint32_t class)
{
    uint32_t held, most = ap_share_kept_most(seg, class);
    struct kind k = blocks_kind(seg, class);

    if (seg->geometry.kept_share >= 100) return true;
    ap_fence_full(); /* SHARE-F1 pairs SHARE-F1 of another lane */
    held = share_kept(seg, &k).held;
    kept_grant_lower(seg, k.number, most > held ? most - held : 0);
    return held <= most;
}

bool ap_share_kept_room(const struct ap_segment *seg, uint32_t class)
{
    struct kind k = blocks_kind(seg, class);

    return seg->geometry.kept_share >= 100 || share_kept(seg, &k).held < ap_share_kept_most(seg, class);
}

uint32_t ap_share_cache_some(const struct ap_segment *seg, uint32_t class)
{
    uint32_t some = seg->geometry.pool_blocks[class] / WORDS;

    return some > 0 ? some : 1;
}

uint32_t ap_share_cache_look(const struct ap_segment *seg, uint32_t class)
{
    uint32_t most = ap_share_kept_most(seg, class), held, more, some = ap_share_cache_some(seg, class);
    struct kind k = blocks_kind(seg, class);

    if (seg->geometry.kept_share >= 100) return UINT32_MAX;
    held = share_kept(seg, &k).held;
    if (most > 1) most -= (most + 7) / 8;
    more = most > held ? most - held : 0;
    if (some < more / LOOKS) some = more / LOOKS;
    return some < more ? some : more;
}

/* ---- for observers -------------------------------------------------------------------------------------------- */

struct ap_share ap_share_slabs_of(const struct ap_segment *seg, uint32_t member)
{
    struct kind k = slabs_kind(seg);

    return share_of(seg, &k, member);
}

struct ap_share ap_share_blocks_of(const struct ap_segment *seg, uint32_t class, uint32_t member)
{
    struct kind k = blocks_kind(seg, class);

    return share_of(seg, &k, member);
}

/* Counts for all members at once: the first of those that hold the most. */
static bool most_of(const struct ap_segment *seg, const struct kind *k, uint32_t *ret_member, struct ap_share *ret)
{
    uint32_t members = seg->geometry.members, *held = calloc(members, sizeof *held), holder, most = 0;
    struct ap_share s = {0};

    for (uint64_t i = k->first; held != NULL && i < k->first + k->count; i++) {
        if (!k->of(seg, i, &holder)) s.free++;
        else if (holder == AP_SHARE_SPARE) s.spare++;
        else if (holder < members) held[holder]++;
    }
    for (uint32_t m = 1; held != NULL && m < members; m++)
        if (held[m] > held[most]) most = m;
    s.held = held != NULL ? held[most] : 0;
    *ret_member = most;
    *ret = s;
    free(held);
    return ret->held > 0;
}

bool ap_share_slabs_most(const struct ap_segment *seg, uint32_t *ret_member, struct ap_share *ret)
{
    struct kind k = slabs_kind(seg);

    return most_of(seg, &k, ret_member, ret);
}

bool ap_share_blocks_most(const struct ap_segment *seg, uint32_t class, uint32_t *ret_member, struct ap_share *ret)
{
    struct kind k = blocks_kind(seg, class);

    return most_of(seg, &k, ret_member, ret);
}
