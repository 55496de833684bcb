/* shm/pool.h - the payload pool: blocks for bodies larger than a slot's inline area.
 *
 * SCOPE     Seven size classes (256 B .. 1 MiB), blocks aligned to 64 bytes (to 4,096 from 4 KiB up). A body is written once and
 *           read in place.
 * LAYOUT    section "blocks": one 8-byte side word per block, class after class; section "pool": the blocks, in the same order.
 * WORD      1 Bits 0..5 state, of a RESULT with the number of the attempt added, 6..27 slot or lane, 28..63 the low 36 bits of the
 *           slot's generation, or of the lane's epoch.
 *           2 FREE -> OWNED(lane) by CAS. OWNED -> OWNED(another lane of the process) by CAS.
 *           3 OWNED -> REQUEST(slot, generation), RESULT(slot, generation) or STREAM(slot, generation) by its owner's store.
 *           4 REQUEST, RESULT or STREAM -> FREE by CAS, by the lane that releases the slot (RELEASING names it). Or REQUEST or
 *           RESULT -> KEPT(row, epoch): a row of the registry has it from then on (struct ap_parts, keeps). KEPT -> FREE by CAS; or
 *           KEPT -> RESULT by CAS of that lane, while the row says nothing of it: too much is kept (share.h).
 *           5 KEPT -> REQUEST(slot, generation) by a store of the lane that alone has the row, while it has RESERVED the slot; back
 *           by its store, or after its death by CAS of the lane's reaper, if the slot was never published.
 * INVARIANTS P1 a REQUEST block is live exactly while its slot has that generation, is not FREE, and names the block
 *           P2 a RESULT block is live while its slot has that generation and is RUNNING, or names the block
 *           P3 an OWNED block's lane is LIVE with that epoch  P5 a KEPT block's row keeps it
 *           P6 a STREAM block is live while its slot has that generation, is not FREE, and its stream names the block (stream.h).
 *           A block that fails P1..P3, P5 or P6 is a leak, freed by ap_pool_sweep.
 * CLASSES   A body takes a block of the smallest class that it fits and that has blocks. It takes one of the next two classes only
 *           while more than a quarter of that class (rounded down) is free. So small bodies cannot use up the blocks that large
 *           ones need. Of each class a member holds its share at most (share.h).
 * ORDERING  POOL-R1 FREE store-release pairs POOL-A1 the allocation's CAS (acquire). A block's content is ordered by the
 *           task word (TASK-R1, TASK-R2).
 *           POOL-R2 REQUEST, RESULT, OWNED store-release pairs POOL-A2 load-acquire of the sweep.
 *           POOL-R3 the allocation's CAS (release) to OWNED(lane) pairs POOL-A3 load-acquire of the sweep: the lane is LIVE.
 * CRASH     Each state names its accountable owner. The sweep after a recovery frees the blocks of the dead.
 */
#ifndef AP_POOL_H
#define AP_POOL_H

#include "core/must_check.h"
#include "shm/share.h"
#include "shm/task.h"

enum ap_block_state { AP_BLOCK_FREE, AP_BLOCK_OWNED, AP_BLOCK_REQUEST, AP_BLOCK_KEPT, AP_BLOCK_STREAM, AP_BLOCK_RESULT };

#define AP_BLOCK_MASK ((UINT64_C(1) << 36) - 1) /* of a generation or epoch */
#define AP_BLOCK(state, who, generation) \
    ((uint64_t)(state) | (uint64_t)(who) << 6 | ((uint64_t)(generation) & AP_BLOCK_MASK) << 28)
#define AP_BLOCK_KIND(w) ((uint32_t)((w) & 0x3f))
#define AP_BLOCK_STATE(w) (AP_BLOCK_KIND(w) < AP_BLOCK_RESULT ? AP_BLOCK_KIND(w) : (uint32_t)AP_BLOCK_RESULT)
/* A RESULT block names the attempt, too: a redelivered task has the same slot and generation, and a slow sweeper must not take
 * the new attempt's block for the dead one's. */
#define AP_BLOCK_RESULT_OF(token) (AP_BLOCK_RESULT + AP_WORD_ATTEMPT(token))
#define AP_BLOCK_ATTEMPT(w) (AP_BLOCK_KIND(w) - AP_BLOCK_RESULT)
#define AP_ATTEMPTS_MAX (AP_CRASHES_MAX + AP_LOST_MAX)
#define AP_BLOCK_WHO(w) ((uint32_t)((w) >> 6 & 0x3fffff))
#define AP_BLOCK_GENERATION(w) ((uint64_t)(w) >> 28)
#define AP_BLOCK_IS_OF(w, generation) (AP_BLOCK_GENERATION(w) == ((uint64_t)(generation) & AP_BLOCK_MASK))
_Static_assert(AP_BLOCK_WHO(AP_BLOCK(0, AP_TASKS_MAX - 1, 0)) == AP_TASKS_MAX - 1 && AP_LANES_MAX <= AP_TASKS_MAX,
               "a block may be any slot's and any lane's");
_Static_assert(AP_BLOCK_IS_OF(AP_BLOCK(0, 0, AP_GENERATION_MASK), AP_GENERATION_MASK), "at any generation");
_Static_assert(AP_BLOCK_KIND(AP_BLOCK(AP_BLOCK_RESULT + AP_ATTEMPTS_MAX, 0, 0)) == AP_BLOCK_RESULT + AP_ATTEMPTS_MAX,
               "and of any attempt");

extern const uint32_t ap_pool_class_size[AP_POOL_CLASSES];

/* The largest body this segment can carry: the largest class that has blocks. */
uint32_t ap_pool_max(const struct ap_segment *seg);
/* Takes an OWNED block of at least `size` bytes (see CLASSES); its offset in *ret_offset. `hint` is a private cursor per class of
 * the calling lane, with what it may take for caches. `member` is the one that will hold it (share.h), or AP_SHARE_NOBODY; of the
 * first function the lane's own. APIARY_ETOOLARGE, APIARY_ENOBLOCK; APIARY_ESHARE: the member, or what is kept, has its share of
 * such blocks. */
struct ap_pool_hint {
    uint32_t next[AP_POOL_CLASSES];
    uint32_t cached[AP_POOL_CLASSES]; /* what is left of its last look for a cache */
};
/* A block is for a task or a loan, for a value of the memory, or for one in a cache (share.h, KEPT). */
enum ap_pool_kept { AP_POOL_PASSING, AP_POOL_VALUE, AP_POOL_CACHED };
AP_MUST_CHECK int ap_pool_take(struct ap_segment *seg, const struct ap_lane_handle *lane, struct ap_pool_hint *hint, uint64_t size,
                 uint64_t *ret_offset);
AP_MUST_CHECK int ap_pool_take_for(struct ap_segment *seg, const struct ap_lane_handle *lane, uint32_t member,
                                   enum ap_pool_kept kept, struct ap_pool_hint *hint, uint64_t size, uint64_t *ret_offset);
/* Whether a body of that size would get a block now. */
AP_MUST_CHECK bool ap_pool_room(const struct ap_segment *seg, uint64_t size);
/* OWNED -> AP_BLOCK_REQUEST or AP_BLOCK_RESULT_OF(token) of a slot; by the owner. */
void ap_pool_attach(struct ap_segment *seg, uint64_t offset, uint32_t state, uint32_t slot, uint64_t generation);
/* OWNED by one lane -> OWNED by another, on the latter's thread. 1, or 0 when the block is not (or no longer) the former's. */
int ap_pool_pass(struct ap_segment *seg, uint64_t offset, const struct ap_lane_handle *from, const struct ap_lane_handle *to);
/* Free a block that is OWNED by the lane, or attached to the slot's generation: 1. Any other block is left alone: 0. */
int ap_pool_free_owned(struct ap_segment *seg, const struct ap_lane_handle *lane, uint64_t offset);
int ap_pool_free_attached(struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t offset);
/* By the lane that releases the slot: a block attached to it -> KEPT(row, epoch): 1, also if it is that already; else 0, and the
 * row must not name it. And KEPT -> FREE. */
AP_MUST_CHECK
int ap_pool_keep(struct ap_segment *seg, uint64_t offset, uint32_t slot, uint64_t generation, uint32_t row, uint64_t epoch);
/* KEPT(row, epoch) -> a RESULT of the slot's word again. */
void ap_pool_unkeep(struct ap_segment *seg, uint64_t offset, uint32_t slot, uint64_t slot_word, uint32_t row, uint64_t epoch);
/* Whether what is kept holds no more than its share of the blocks of that size, this KEPT one among them. */
AP_MUST_CHECK bool ap_pool_kept_fits(const struct ap_segment *seg, uint64_t offset);
/* The same where the class has few blocks; else true. And, before that, whether there is room for one more to be KEPT there. */
AP_MUST_CHECK bool ap_pool_kept_fits_few(const struct ap_segment *seg, uint64_t offset);
AP_MUST_CHECK bool ap_pool_kept_room_few(const struct ap_segment *seg, uint64_t offset);
/* Of the other KEPT blocks of its class, those of whose rows that is true: how many; and how many have a lower number. */
uint32_t ap_pool_kept_others(const struct ap_segment *seg, uint64_t offset,
                             bool (*of)(const struct ap_segment *seg, uint32_t row, uint64_t epoch), uint32_t *ret_lower);
int ap_pool_free_kept(struct ap_segment *seg, uint64_t offset, uint32_t row, uint64_t epoch);
/* The size of the blocks in which a body lies while there are any: those of the smallest class that it fits and that has blocks. 0:
 * there is no such class. */
uint32_t ap_pool_fits(const struct ap_segment *seg, uint64_t size);
/* The classes of which one more free block would do for a body of that size (CLASSES), a bit for each: its own, and of the next two
 * those that would spare it then. */
AP_MUST_CHECK uint32_t ap_pool_helping(const struct ap_segment *seg, uint64_t size);
/* Whether a block is of one of these classes. */
AP_MUST_CHECK bool ap_pool_is_of(const struct ap_segment *seg, uint64_t offset, uint32_t classes);
/* Offset and capacity of the block that `offset` begins, checked: 0, or APIARY_ECORRUPT. */
int ap_pool_block(const struct ap_segment *seg, uint64_t offset, uint64_t *ret_capacity, uint64_t *ret_word);
/* Which of all blocks begins at `offset`, from 0; UINT64_MAX: none does. */
uint64_t ap_pool_number(const struct ap_segment *seg, uint64_t offset);
/* The offset of the block that begins at this address of the process, or 0 when none does. */
uint64_t ap_pool_offset(const struct ap_segment *seg, const void *block);
/* Whether P1..P6 hold for a block's word, which was read before the call. */
bool ap_pool_live(const struct ap_segment *seg, uint64_t word, uint64_t offset);
/* Frees leaks (P1..P6) and returns how many. Any process, several at once. */
uint32_t ap_pool_sweep(struct ap_segment *seg);
/* The same after the recovery of a lane. Nothing, unless the caller has the lane's lock (`beside` is 0). */
void ap_pool_settle(struct ap_segment *seg, uint32_t lane, uint64_t beside);
uint64_t ap_pool_section_size(const struct ap_geometry *g);

#endif
