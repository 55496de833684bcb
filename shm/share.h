/* shm/share.h - no member takes the task table, or a class of payload blocks, from the others.
 *
 * RULE      1 A member may hold at most member_share percent of what it holds and what is free, together, rounded up. That is
 *           asked before it takes one more: of slabs, and of the blocks of each class.
 *           2 So each of several members that take all they can get leaves a part of what it has found, and a member that comes
 *           later finds something. A member that is alone has most of the table.
 *           3 100 percent: nothing is asked.
 * WHOSE     1 A slab is held by the member whose lane has the lease. It may be that of a thread that has ended, with results that
 *           nobody has collected.
 *           2 A block is held by the member whose lane owns it. A block of a task, with its request or its result, is held by the
 *           member that has delegated the task.
 * COUNTING  1 There is no count in the segment, which a death could leave wrong. Things are counted by a look
 *           at all their words.
 *           2 A lane remembers how many it may take before the next look: a sixteenth of what was left then. Several lanes that
 *           look at once may pass the bound by a few.
 * CRASH     Nothing is written. The things of a dead member become free as it is recovered.
 * THREADS   The hint is private to a lane. Views: any thread.
 */
#ifndef AP_SHARE_H
#define AP_SHARE_H

#include "shm/segment.h"

/* A lane's memory of its last look; all zeros: it has not looked yet. */
struct ap_share_hint {
    uint32_t member; /* whose `left` it is */
    uint32_t left;   /* so many may be taken before the next look */
};
/* Of one kind of thing: how many the member holds, and how many are free. */
struct ap_share {
    uint32_t held, free;
};
/* How many the member may hold. */
static inline uint32_t ap_share_most(const struct ap_segment *seg, const struct ap_share *s)
{
    return (uint32_t)((((uint64_t)s->held + s->free) * seg->geometry.member_share + 99) / 100);
}

/* Whether the member may take one more. True, too, when none is free: then the search says so. */
bool ap_share_slab(const struct ap_segment *seg, uint32_t member, struct ap_share_hint *hint);
/* `class` is one of the pool that has blocks, `first` the number of its first block. */
bool ap_share_block(const struct ap_segment *seg, uint32_t class, uint64_t first, uint32_t member, struct ap_share_hint *hint);

/* For observers: what a member holds. `class` may be any of the pool. */
struct ap_share ap_share_slabs_of(const struct ap_segment *seg, uint32_t member);
struct ap_share ap_share_blocks_of(const struct ap_segment *seg, uint32_t class, uint32_t member);
/* The member that holds the most, in *ret: true. False: nobody holds any. */
bool ap_share_slabs_most(const struct ap_segment *seg, uint32_t *ret_member, struct ap_share *ret);
bool ap_share_blocks_most(const struct ap_segment *seg, uint32_t class, uint32_t *ret_member, struct ap_share *ret);

#endif
