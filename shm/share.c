/* shm/share.c - the shares of members in the task table and the pool. See share.h. */
#include "shm/share.h"

#include <stdlib.h>

#include "shm/pool.h"
#include "shm/task.h"

#define LOOKS 16u /* of what is left, one part is taken without a look */

/* The member that holds a slab: true. False: it is free. */
static bool slab_of(const struct ap_segment *seg, uint64_t slab, uint32_t *ret_member)
{
    uint64_t lease = ap_load_relaxed(&ap_slab_at(seg, slab)->lease);

    if (AP_LEASE_LANE(lease) == 0) return false;
    *ret_member = ap_lane_member(seg, AP_LEASE_LANE(lease) - 1);
    return true;
}

static bool block_of(const struct ap_segment *seg, uint64_t number, uint32_t *ret_member)
{
    uint64_t word = ap_load_relaxed((uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, number));
    const struct ap_slot *slot;

    if (AP_BLOCK_STATE(word) == AP_BLOCK_FREE) return false;
    if (AP_BLOCK_STATE(word) == AP_BLOCK_OWNED) {
        *ret_member = ap_lane_member(seg, AP_BLOCK_WHO(word));
        return true;
    }
    /* The dead set's are nobody's: it has a bound of its own. */
    slot = AP_BLOCK_STATE(word) != AP_BLOCK_KEPT ? ap_slot_at(seg, AP_BLOCK_WHO(word)) : NULL;
    *ret_member = slot != NULL ? ap_lane_member(seg, ap_load_relaxed(&slot->client)) : UINT32_MAX;
    return true;
}

/* Things of one kind: the numbers [first, first + count). */
struct kind {
    bool (*of)(const struct ap_segment *seg, uint64_t number, uint32_t *ret_member);
    uint64_t first, count;
};

static struct kind slabs_kind(const struct ap_segment *seg)
{
    return (struct kind){slab_of, 0, seg->sections[AP_SECTION_SLABS].count};
}

static struct kind blocks_kind(const struct ap_segment *seg, uint32_t class)
{
    struct kind k = {block_of, 0, seg->geometry.pool_blocks[class]};

    for (uint32_t c = 0; c < class; c++) k.first += seg->geometry.pool_blocks[c];
    return k;
}

static struct ap_share share_of(const struct ap_segment *seg, const struct kind *k, uint32_t member)
{
    struct ap_share s = {0};
    uint32_t holder;

    for (uint64_t i = k->first; i < k->first + k->count; i++) {
        if (!k->of(seg, i, &holder)) s.free++;
        else s.held += holder == member;
    }
    return s;
}

static bool share_known(const struct ap_segment *seg, uint32_t member, struct ap_share_hint *hint)
{
    if (seg->geometry.member_share >= 100) return true;
    if (hint->member != member || hint->left == 0) return false;
    hint->left--;
    return true;
}

/* Whether one more may be taken; the hint then says how many more. */
static bool share_judge(const struct ap_segment *seg, const struct ap_share *s, uint32_t member, struct ap_share_hint *hint)
{
    uint32_t most = ap_share_most(seg, s);

    if (s->held >= most && s->free > 0) return false;
    hint->member = member;
    hint->left = most > s->held ? (most - s->held) / LOOKS : 0;
    return true;
}

bool ap_share_slab(const struct ap_segment *seg, uint32_t member, struct ap_share_hint *hint)
{
    struct kind k = slabs_kind(seg);
    struct ap_share s;

    if (share_known(seg, member, hint)) return true;
    s = share_of(seg, &k, member);
    return share_judge(seg, &s, member, hint);
}

bool ap_share_block(const struct ap_segment *seg, uint32_t class, uint64_t first, uint32_t member, struct ap_share_hint *hint)
{
    struct kind k = {block_of, first, seg->geometry.pool_blocks[class]};
    struct ap_share s = {0};

    if (share_known(seg, member, hint)) return true;
    /* Where so many are free that a member might hold all the others, nobody asks whose they are. */
    for (uint64_t i = first; i < first + k.count; i++)
        s.free += AP_BLOCK_STATE(ap_load_relaxed((uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i))) == AP_BLOCK_FREE;
    s.held = (uint32_t)k.count - s.free;
    if (s.held >= ap_share_most(seg, &s)) s = share_of(seg, &k, member);
    return share_judge(seg, &s, member, hint);
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
static bool share_most(const struct ap_segment *seg, const struct kind *k, uint32_t *ret_member, struct ap_share *ret)
{
    uint32_t members = seg->geometry.members, *held = calloc(members, sizeof *held), holder, most = 0, free_ones = 0;

    for (uint64_t i = k->first; held != NULL && i < k->first + k->count; i++) {
        if (!k->of(seg, i, &holder)) free_ones++;
        else if (holder < members) held[holder]++;
    }
    for (uint32_t m = 1; held != NULL && m < members; m++)
        if (held[m] > held[most]) most = m;
    *ret_member = most;
    *ret = (struct ap_share){held != NULL ? held[most] : 0, free_ones};
    free(held);
    return ret->held > 0;
}

bool ap_share_slabs_most(const struct ap_segment *seg, uint32_t *ret_member, struct ap_share *ret)
{
    struct kind k = slabs_kind(seg);

    return share_most(seg, &k, ret_member, ret);
}

bool ap_share_blocks_most(const struct ap_segment *seg, uint32_t class, uint32_t *ret_member, struct ap_share *ret)
{
    struct kind k = blocks_kind(seg, class);

    return share_most(seg, &k, ret_member, ret);
}
