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
 *           member that has delegated the task, and so is a result that is kept for it.
 *           3 Tasks of a member that has left are nobody's: they end by themselves.
 *           4 The blocks of the dead set are SPARE: they count as free, since whoever finds no other block gets one of them.
 * KEPT      1 Results that are kept and values of the memory outlive their process. Together they hold at most kept_share percent
 *           of all blocks of a class, rounded down: less than all, unless kept_share is 100, and none of a class of one block.
 *           Callers that come, have a result kept and leave would otherwise take a class for hours, each with a share of its own,
 *           and nobody may drop what is kept before its time.
 *           2 The size of a result is known at its end, so no block can be promised with its row. The bound is asked for when a
 *           result is to be kept: its block is KEPT, then all that are KEPT are counted, and where they are too many by then the
 *           block is given back. So the results that are kept pass the bound never, whoever keeps at once, and whoever dies.
 *           3 Of two results that come at once near the bound the one in the block of the higher number gives way, and tries once
 *           more; the other one counts again for a while. So one is kept, unless one of them stops between its KEPT and its count:
 *           that may cost the other's answer. Of three or more another one may be refused without need.
 *           4 Values of the memory pay from a grant, as members do. Each count of 2 lowers that to what it has found left, so what
 *           was granted before results came is not taken beside them. Of a class with few blocks they ask for room before their
 *           block is KEPT, and are counted as results are then; one that is given up may have cost a result that came meanwhile.
 *           5 Caches (registry/memory/cache.h) live at their bound, and what is in them may be dropped. They stop an eighth short
 *           of it, rounded up, so that results find room; not where that is the only block. The takes of a look are the lane's own,
 *           and stand until it has used them, whatever was kept meanwhile: each lane may hold some of an old look. So many may come
 *           out of the eighth, and none beyond the bound but as 4 says.
 * COUNTING  1 There is no count in the segment, which a death could leave wrong. Things are counted by a look at all their words.
 *           2 A look grants the member so many takes before the next one: a sixteenth of what it may still take, or a 64th of all
 *           that there are, so that looks cost each take no more than 64 words. The grant is a word of the member's record, from
 *           which all pay by compare-and-swap: its own lanes, and workers for its results.
 *           3 While a grant is used up, each thing that the member gives back grants another one, for some milliseconds after the
 *           look. So a member that goes on taking and giving back near its bound is looked at only that often, and comes down when
 *           others have come.
 *           4 A look that refuses holds for a millisecond, or until something was given back.
 *           5 Members may pass the bound by what others were granted meanwhile, and by as many as take or look at the same moment.
 *           Values may pass theirs by as many as were paid for, or granted by a look, while a result was counted.
 * UNNAMED   1 A member that calls for a service has a bulkhead of tickets (registry/routing/admission.h). One that calls for none
 *           is bounded by its slabs: max_unnamed_delegations of the geometry, in whole slabs, whatever is free. So its submit is
 *           one without a ticket, and there is nothing that its death could leave wrong.
 *           2 A lane that has no slab yet may have one all the same: a thread must not be kept from its first task by others. Each
 *           further slab of a lane is refused (APIARY_ELIMIT) while the member's lanes have so many together.
 *           3 That is counted at each such lease, a word for each slab of the table. Two lanes of a member that lease at the same
 *           moment may both pass.
 * LAYOUT    member.grants, header.kept_grants: a word for slabs, then one for each class. Bits 0..31 takes that are left, 32..62
 *           the time of the look in units of 2^20 ns, 63 it has refused. Writers: all lanes, by CAS. 0: there was no look. Emptied
 *           as the record is filled in.
 * ORDERING  1 Of grants none: any value is possible, and soon followed by a look.
 *           2 SHARE-F1 full fence between the store of a block's KEPT and the count pairs SHARE-F1 of another lane: of two that
 *           keep at once the one that counts later sees both.
 * CRASH     A take that was paid for and not made is lost until the next look. The things of a dead member become free as it is
 *           recovered.
 * THREADS   Any.
 */
#ifndef AP_SHARE_H
#define AP_SHARE_H

#include "shm/lane.h"

struct ap_slot;

/* In the place of a member. */
#define AP_SHARE_NOBODY UINT32_MAX       /* one that has left: it is not asked */
#define AP_SHARE_SPARE (UINT32_MAX - 1)
#define AP_SHARE_KEPT (UINT32_MAX - 2)   /* all that is kept */

/* Of one kind of thing: how many the member holds, how many are free, and how many would be for who asks (SPARE). */
struct ap_share {
    uint32_t held, free, spare;
};
/* How many a member may hold, other than KEPT. */
static inline uint32_t ap_share_most(const struct ap_segment *seg, const struct ap_share *s)
{
    return (uint32_t)((((uint64_t)s->held + s->free + s->spare) * seg->geometry.member_share + 99) / 100);
}

/* How many blocks of a class what is kept may hold together. */
static inline uint32_t ap_share_kept_most(const struct ap_segment *seg, uint32_t class)
{
    return (uint32_t)((uint64_t)seg->geometry.pool_blocks[class] * seg->geometry.kept_share / 100);
}
/* Whether what is kept holds no more than that, a block among it that the caller has made KEPT just now. */
bool ap_share_kept_fits(const struct ap_segment *seg, uint32_t class);
/* Whether one more block may be KEPT. */
bool ap_share_kept_room(const struct ap_segment *seg, uint32_t class);
/* How many blocks caches may take before they look again; 0: none. */
uint32_t ap_share_cache_look(const struct ap_segment *seg, uint32_t class);
/* How many a look grants them where no more than that can be taken: a 64th of the blocks, or one. */
uint32_t ap_share_cache_some(const struct ap_segment *seg, uint32_t class);
/* Whether so few blocks are in the class that it is always counted. */
bool ap_share_kept_few(const struct ap_segment *seg, uint32_t class);

/* Pays for one more, if the member may take it: true. True, too, when none is free: then the search says so. */
bool ap_share_slab(const struct ap_segment *seg, uint32_t member);
/* `class` is one of the pool that has blocks, `first` the number of its first block. */
bool ap_share_block(const struct ap_segment *seg, uint32_t class, uint64_t first, uint32_t member);
/* The member has given one back. */
void ap_share_slab_back(const struct ap_segment *seg, uint32_t member);
void ap_share_block_back(const struct ap_segment *seg, uint32_t class, uint32_t member);
/* The next take of the member is looked at, whatever it was granted or refused: something was freed for it. */
void ap_share_forget(const struct ap_segment *seg, uint32_t member);

/* The member that holds the blocks of a task; AP_SHARE_NOBODY: it has left. */
uint32_t ap_share_holder(const struct ap_segment *seg, const struct ap_slot *slot);
/* A LIVE member as something that outlives it names it, and who that is by now. */
uint64_t ap_share_name(const struct ap_segment *seg, uint32_t member);
uint32_t ap_share_named(const struct ap_segment *seg, uint64_t name);

/* For observers: what a member holds. `class` may be any of the pool. */
struct ap_share ap_share_slabs_of(const struct ap_segment *seg, uint32_t member);
struct ap_share ap_share_blocks_of(const struct ap_segment *seg, uint32_t class, uint32_t member);
/* The member that holds the most, in *ret: true. False: nobody holds any. */
bool ap_share_slabs_most(const struct ap_segment *seg, uint32_t *ret_member, struct ap_share *ret);
bool ap_share_blocks_most(const struct ap_segment *seg, uint32_t class, uint32_t *ret_member, struct ap_share *ret);

#endif
