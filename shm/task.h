/* shm/task.h - the task table: slots, their state word, the slabs they are leased in.
 *
 * SCOPE     A slot is one delegation. Its 64-bit word is the truth about it; rings, bells and hands are hints that can be
 *           rebuilt by scanning the table.
 * WORD      1 Bits 0..3 state, 4..6 crashes, 7..11 lost starts, 12..25 owner, 26..63 generation (38 bits).
 *           2 The owner is the queue while QUEUED; the lane while RESERVED, RUNNING and RELEASING; the errno of why while FAILED
 *           and CANCELLED, so that one compare-and-swap both ends a task and says why; 0x3fff otherwise. A SCHEDULED task is
 *           nobody's (due.h): the field has its failures, and with its starts no two words of a task that waits are the same.
 *           3 The generation rises when the slot is reserved. A task id carries the slab's epoch and the generation.
 *           4 At 7 million uses a second of one slot the generations last 10.9 hours. Slots of a slab are used strictly in turn,
 *           so a lane at that rate needs 64 times as long, 29 days. Then the slot retires (AP_GENERATION_LAST) until its slab is
 *           leased anew with a new epoch (32 bits). The epochs last 3 x 10^8 years.
 * STARTS    1 A start ends in a crash when its worker's thread has ended by the task's own code (lane.h, SUSPECT). It is lost when
 *           the worker has died of something else: by SIGKILL, for want of memory, by the crash of another task.
 *           2 After AP_CRASHES_MAX crashes the task fails with ECRASHED, when a start is lost after AP_LOST_MAX others with ELOST.
 *           3 Their sum is the attempt. A death raises it, so no reaper's word comes back; a start that is put back does not.
 * STATES    The table is shm/states.def, written here by tests/states.sh --write. A task is freed by the lane that collects it or
 *           gives it up; if nobody may collect it, by the lane that has ended it or comes by. The reaper of the owner comes after
 *           the owner's death. It fails a task that was RUNNING as crashed (AP_CRASHES_MAX times, or at any death if ABANDON is
 *           set), lost too often, without a result (OVERWRITTEN), or corrupt (the queue that it names is none).
 *           from       to         how    by                     with it
 *           FREE       RESERVED   STORE  the slab's lane        all but a block filled
 *           FREE       FREE       STORE  the slab's lane        generation 0 under a new epoch
 *           RESERVED   SCHEDULED  STORE  the slab's lane        all else filled; not before its time
 *           RESERVED   QUEUED     STORE  the slab's lane        all else filled
 *           RESERVED   FREE       STORE  the slab's lane        blocks given back
 *           RESERVED   FREE       CAS    reaper of the owner    blocks given back
 *           SCHEDULED  QUEUED     CAS    who finds it due       its time has come
 *           SCHEDULED  CANCELLED  CAS    client, sweep
 *           SCHEDULED  FAILED     CAS    client, sweep          timed out
 *           SCHEDULED  RUNNING    CAS    the worker's lane      has the outcome of a task of its key (follow.h)
 *           QUEUED     RUNNING    CAS    the worker's lane      decides who runs it
 *           QUEUED     QUEUED     CAS    client, sweep, reaper  another queue
 *           QUEUED     CANCELLED  CAS    client
 *           QUEUED     FAILED     CAS    client, sweep          timed out
 *           RUNNING    DONE       STORE  the worker's lane      result before
 *           RUNNING    SCHEDULED  STORE  the worker's lane      failures + 1: to be tried again
 *           RUNNING    FAILED     STORE  the worker's lane      timed out, too, when late at the claim
 *           RUNNING    QUEUED     CAS    reaper of the owner    crashes + 1, or lost starts + 1
 *           RUNNING    SCHEDULED  CAS    reaper of the owner    the same, if its key is shared (follow.h)
 *           RUNNING    FAILED     CAS    reaper of the owner    crashed or lost too often, abandoned, OVERWRITTEN
 *           DONE       RELEASING  CAS    who frees it           decides who frees it
 *           FAILED     RELEASING  CAS    who frees it           the same
 *           CANCELLED  RELEASING  CAS    who frees it           the same
 *           RELEASING  FREE       STORE  who frees it           the lane's thread; blocks, ticket given back
 *           RELEASING  FREE       CAS    who frees it           another thread of its process; the same
 *           RELEASING  FREE       CAS    reaper of the owner    the same
 * REQUEST   a second word, of what is asked of the task: see request.h.
 * UNSEEN    1 A task that nobody may collect is freed as soon as it has ended.
 *           2 The lane that ends it looks at the request word afterwards; the lane that gives it up looks at the word afterwards
 *           (TASK-F3, TASK-F4). So one of them sees both. If that lane dies first, its recovery frees the task.
 * LAYOUT    line 0 control   writer: client until QUEUED, then the worker that claimed it
 *           line 1 request   writer: client until QUEUED; immutable afterwards
 *           line 2 result    writer: the worker while RUNNING; never overlaps the request, so redelivery is possible. Where no
 *                            block is to be had for it, it is written over the request in that one's block; OVERWRITTEN is
 *                            set before, and then the task is not run again: its agent had answered
 *           line 3 times     writer: as control; read by tools and by a queue's scan (the oldest first, none newer than the scan)
 * ORDERING  TASK-R1 word QUEUED store-release pairs TASK-A1 the claim's CAS (acquire): request before QUEUED.
 *           TASK-R2 word DONE/FAILED store-release pairs TASK-A2 load-acquire in await: result before DONE.
 *           TASK-R3 word FREE store-release pairs TASK-A3 load-acquire of the slot's next turn: last reads before reuse.
 *           TASK-R4 word RESERVED store-release pairs TASK-A4 the reaper's load-acquire: the slab's lease, and that no block is
 *           named, before it.
 *           TASK-R5 lease, by CAS when given back and by store-release when renewed, pairs TASK-A5 the lease's CAS: the slab's
 *           words before it.
 *           TASK-R6 the claim's CAS to RUNNING(lane) (release) pairs TASK-A6 load-acquire of the pool's sweep: the lane is LIVE.
 *           TASK-R7 the request word's CAS (release) pairs TASK-A7 load-acquire of the lane that frees the slot: the client's last
 *           reads.
 *           TASK-F3 full fence after the word that ends a task, before the look at its request word, pairs TASK-F4 full fence
 *           after ABANDON or DETACH, before the look at the word: one of both sides sees that nobody will collect it.
 *           TASK-F1 full fence after QUEUED and the reference (submit) pairs TASK-F2 full fence after a queue's close
 *           (reaper): the submitter sees the closed queue, or the reaper's scan sees the task.
 * CRASH     every state with a dead owner has one row above. A client dead after QUEUED and before its reference: the
 *           recovery raises header.rescan, and every worker scans the table for its queues.
 * SLABS     1 A slab is 64 slots, leased to one lane, which alone reserves in it, strictly in turn, and passes over busy ones.
 *           2 The lease word is epoch << 16 | lane + 1 (0: free).
 *           3 A dead lane's slab becomes free with its busy slots in place. The next holder passes over them and frees abandoned
 *           tasks.
 * INVARIANTS T1 state is one of the nine  T2 owner in range for its state  T3 a RESERVED slot's slab is leased to its owner
 *           T4 sizes and offsets of bodies lie in the slot or in one pool block attached to it
 * PROGRESS  reserve, publish, claim, finish, release: lock-free, no waiting. Threads: each function says who may call.
 */
#ifndef AP_TASK_H
#define AP_TASK_H

#include "core/copy.h"
#include "core/invariant.h"
#include "shm/bell.h"
#include "shm/lane.h"
#include "shm/request.h"
#include "shm/word.h"

#define AP_SLAB_SLOTS 64u
#define AP_INLINE_BODY 64u
#define AP_SLOTS_AHEAD 8u /* see ap_slot_later */
#define AP_CRASHES_MAX 3u
#define AP_LOST_MAX 31u
#define AP_GENERATION_BITS 38
#define AP_GENERATION_LAST ((UINT64_C(1) << AP_GENERATION_BITS) - 2)
#define AP_GENERATION_MASK ((UINT64_C(1) << AP_GENERATION_BITS) - 1)
_Static_assert(AP_TASKS_MAX % AP_SLAB_SLOTS == 0, "a table is whole slabs");

enum ap_task_state {
#define AP_STATE(name, text, owner) AP_TASK_##name,
#include "shm/states.def"
    AP_TASK_STATES
};

/* The transitions. The code that makes one names it by AP_WAY; a name without a row in the table does not compile. The last
 * argument says that its maker is the actor of the row, by AP_IS_<actor>. It is asserted in debug builds, and leaves no code in
 * others. An actor is known by private memory, as invariants are (core/invariant.h). Actors that no private word tells apart are
 * ANYBODY: the compare-and-swap decides between them. */
enum ap_task_way {
#define AP_TRANSITION(from, to, how, by, text) AP_WAY_##from##_##to##_##how##_##by,
#include "shm/states.def"
};
#define AP_WAY(from, to, how, by, is) (AP_DEBUG_ASSERT(is), (void)AP_WAY_##from##_##to##_##how##_##by)
#define AP_IS_HOLDER(slabs, index) ((slabs) == NULL || ap_slabs_hold((slabs), (index) / AP_SLAB_SLOTS))
#define AP_IS_WORKER(lane, token) (AP_WORD_OWNER(token) == (lane))
#define AP_IS_REAPER(dead, seen) (AP_WORD_OWNER(seen) == (dead))
#define AP_IS_ANYBODY true

/* The meaning of the owner field in a state. */
enum ap_task_owner { AP_OWNER_IS_NONE, AP_OWNER_IS_LANE, AP_OWNER_IS_QUEUE, AP_OWNER_IS_CODE, AP_OWNER_IS_COUNT };

/* Whether a task in this state has ended (DONE, FAILED, CANCELLED); false for an invalid state. */
static inline bool ap_task_ended(uint32_t state)
{
    const uint32_t ends = 0
#define AP_END(name) | 1u << AP_TASK_##name
#include "shm/states.def"
        ;
    return state < AP_TASK_STATES && (ends >> state & 1) != 0;
}

/* Whether a task in this state is to be run and nobody runs it: it can be ended by one compare-and-swap. */
static inline bool ap_task_waits(uint32_t state)
{
    return state == AP_TASK_QUEUED || state == AP_TASK_SCHEDULED;
}

_Static_assert(AP_REQUEST_GENERATION(AP_REQUEST_WORD(AP_GENERATION_MASK, 0)) == AP_GENERATION_MASK, "it is of any generation");

_Static_assert(AP_TASK_STATES <= 16, "a state has four bits");
_Static_assert(AP_CRASHES_MAX <= 7, "crashes have three bits");
_Static_assert(AP_QUEUES_MAX <= AP_NO_LANE, "any queue may be an owner");
_Static_assert((AP_WORD(15, 7, AP_NO_LANE, AP_GENERATION_MASK) | AP_WORD_LOST_STARTS(AP_LOST_MAX)) == UINT64_MAX,
               "the fields fill the word");
_Static_assert(AP_WORD_LOST(UINT64_MAX) == AP_LOST_MAX, "lost starts have five bits");
_Static_assert(AP_WORD_OWNER(AP_WORD(0, 0, AP_NO_LANE, 0)) == AP_NO_LANE, "an owner is read as it was written");
_Static_assert(AP_WORD_WITH(UINT64_MAX, 0, 0) == ~AP_WORD(15, 0, AP_NO_LANE, 0), "state and owner are exchanged, and nothing else");
#define X(name, number, text, advice) _Static_assert((number) > 0 && (uint32_t)(number) < AP_NO_LANE, #name " may be an owner");
#include "core/apiary_error.def"
#undef X

/* Why a FAILED or CANCELLED task ended: the value of enum apiary_error in its word. DONE: 0. */
static inline int ap_word_code(uint64_t w)
{
    return AP_WORD_STATE(w) == AP_TASK_DONE ? 0 : -(int)AP_WORD_OWNER(w);
}

/* How often a task with this word was started: those starts that ended with their worker's death, and the current or last one.
 * Those that its agent failed, and after which it was put back, are counted in the slot (ap_slot_tries). */
static inline uint32_t ap_word_starts(uint64_t w)
{
    uint32_t state = AP_WORD_STATE(w);
    int code = ap_word_code(w);
    bool begun = state == AP_TASK_RUNNING || state == AP_TASK_DONE ||
                 (state == AP_TASK_FAILED &&
                  (code == APIARY_EAGENT || code == APIARY_EOVERRUN || code == APIARY_ELOST || code == APIARY_ESHUTDOWN ||
                   /* the others: the agent's result found no room, or was not what it had reserved */
                   code == APIARY_ENORESULT || code == APIARY_ENOBLOCK || code == APIARY_ETOOLARGE || code == APIARY_EINVAL));

    return AP_WORD_ATTEMPT(w) + begun;
}

/* An 8-byte reference: lap (4, of the ring) | slot (22) | generation (38). */
#define AP_REF(slot, generation) ((uint64_t)(slot) << 38 | (uint64_t)(generation))
#define AP_REF_SLOT(r) ((uint32_t)((r) >> 38 & 0x3fffff))
#define AP_REF_GENERATION(r) ((uint64_t)(r) & AP_GENERATION_MASK)
_Static_assert(AP_REF_SLOT(AP_REF(AP_TASKS_MAX - 1, AP_GENERATION_MASK)) == AP_TASKS_MAX - 1, "a reference names any slot");
_Static_assert(AP_REF_GENERATION(AP_REF(AP_TASKS_MAX - 1, AP_GENERATION_MASK)) == AP_GENERATION_MASK, "at any generation");

/* Where a body lies: 0 inline in the slot, else the offset of a pool block. */
struct ap_slot {
    uint64_t word;
    uint64_t request;
    uint64_t body;        /* offset of the request's block, 0: inline */
    uint64_t result;      /* offset of the result's block, 0: inline */
    uint32_t body_size, result_size;
    uint32_t agent_code;
    uint32_t ticket;      /* the name of its admission ticket, 0: none */
    uint64_t deadline;    /* CLOCK_MONOTONIC, APIARY_FOREVER: none */
    uint16_t client;      /* lane whose bell to ring */
    uint16_t capability;  /* index in the registry's table */
    uint16_t caller;      /* service + 1 of the caller, 0: none */
    uint16_t only;        /* service + 1 that alone may run it (execute_task), 0: any */
    uint8_t body_inline[AP_INLINE_BODY];
    uint8_t result_inline[AP_INLINE_BODY];

    uint64_t queued, started, finished; /* CLOCK_MONOTONIC */
    uint32_t queue, worker;             /* of the last claim, after its CAS; until then of submit or the claim before */
    uint64_t due;                       /* while SCHEDULED and afterwards: not to be run before; else of an earlier task */
    uint64_t outcome;                   /* with KEEP, the word of its end; else of an earlier task */
    uint64_t start_by;                  /* when it is to be started for the first time, if TIMED is set; else of an earlier task */
    uint16_t tries;                     /* AP_TRIES, if TRIED is set; else of an earlier task */
    uint8_t rank;                       /* enum ap_rank, if RANKED is set; else of an earlier task */
    uint8_t reserved[5];
} AP_ALIGNED;

/* Attempts that its agent failed and after which it was put back, and why it was not (enum apiary_untried). A worker that is killed
 * between this and the word counts its last start as lost, too. */
#define AP_TRIES(failures, why) ((uint16_t)((failures) | (why) << 8))
#define AP_TRIES_FAILURES(t) ((uint32_t)(t) & 0xff)
#define AP_TRIES_WHY(t) ((uint32_t)(t) >> 8)
#define AP_FAILURES_MAX 31u

struct ap_slab {
    uint64_t lease; /* epoch << 16 | lane + 1 */
    uint64_t due;   /* a hint: when the next of its SCHEDULED tasks is to be looked at (due.h); 0: none is */
    uint64_t followed, reserved; /* followed: whether one of them may wait for another's outcome (follow.h) */
};

#define AP_LEASE(epoch, lane_plus_1) ((uint64_t)(epoch) << 16 | (uint64_t)(lane_plus_1))
#define AP_LEASE_LANE(l) ((uint32_t)((l) & 0xffff)) /* lane + 1 */
#define AP_LEASE_EPOCH(l) ((uint32_t)((l) >> 16))

static inline struct ap_slot *ap_slot_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_SLOTS, index, struct ap_slot);
}
static inline struct ap_slab *ap_slab_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_SLABS, index, struct ap_slab);
}

_Static_assert(AP_LANES_MAX - 1 <= (__typeof__(((struct ap_slot *)0)->client))-1, "any lane may be a client");
_Static_assert(AP_SLOTS_AHEAD < AP_SLAB_SLOTS, "what is asked for ahead is another slot of the slab");

/* The id of a task of this generation that has the slot. The slab's epoch is the same as long as its slots are in use. */
static inline apiary_task_t ap_task_id(const struct ap_segment *seg, uint32_t slot, uint64_t generation)
{
    const struct ap_slab *slab = ap_slab_at(seg, slot / AP_SLAB_SLOTS);

    return (apiary_task_t){.slot = slot, .epoch = slab != NULL ? AP_LEASE_EPOCH(ap_load_relaxed(&slab->lease)) : 0,
                           .generation = generation};
}

/* The slabs that a lane holds; private memory, used by the lane's thread (or under the lock of a SHARED lane). */
struct ap_slabs {
    struct ap_lane_handle *lane;
    uint32_t *held; /* slab indexes, in the order of use */
    uint32_t count, capacity;
    uint32_t current;  /* position in held */
    uint32_t next;     /* next slot of that slab; AP_SLAB_SLOTS: none yet, or none left */
    uint32_t first, epoch; /* of that slab: the index of its slot 0, its lease's epoch */
    uint32_t most;         /* of all lanes of its member (share.h, UNNAMED); 0: there is no such bound */
    bool kept;             /* for probes: one at most, of those that are kept for them, or else any */
};
void ap_slabs_init(struct ap_slabs *s, struct ap_lane_handle *lane);
/* How many of a table's slabs, the last ones, are kept for probes (probe.h). */
#define AP_SLABS_KEPT(slabs) ((uint32_t)(slabs) / 32)
/* Gives back slabs; slots still busy stay in place, marked ABANDON by the caller beforehand. Frees the private list. */
void ap_slabs_release(struct ap_slabs *s);
/* Whether a slab is among the lane's, by private memory. */
bool ap_slabs_hold(const struct ap_slabs *s, uint32_t slab);
/* Slots in held slabs that are neither FREE nor retired. */
uint32_t ap_slabs_busy(const struct ap_slabs *s);

/* Called when a slot is freed, while it is RELEASING and has its blocks: the registry's part of that (may be NULL). If the lane
 * dies before the slot is FREE, the reaper calls it (again). */
typedef void (*ap_slot_freed_fn)(void *user, struct ap_slot *slot);

/* The next FREE slot of the lane's slabs; leases another slab when all are busy. APIARY_ENOSLOT, _ESHARE and _ELIMIT (share.h),
 * _ENOBLOCK (heap). By the lane's thread, which alone takes from its slabs, so the slot stays FREE until it is reserved. */
int ap_task_next(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret_index);
/* The same and FREE -> RESERVED, with no body and no result. The request word is {generation, 0}; the caller fills the rest.
 * This, ap_task_unreserve and ap_task_publish are single steps, for tests; a submit takes the steps that follow. */
int ap_task_reserve(struct ap_slabs *s, ap_slot_freed_fn freed, void *user, uint32_t *ret_index);
void ap_task_unreserve(struct ap_slabs *s, uint32_t index); /* RESERVED -> FREE, blocks given back */
/* RESERVED -> QUEUED(queue). Returns the reference to push; 0, and nothing is changed, when the slot is not RESERVED. */
uint64_t ap_task_publish(struct ap_segment *seg, uint32_t index, uint32_t queue);

/* Worker lanes. Claim: returns 1 claimed (the word is in *ret, it is the token), 0 not to be had (stale, taken, other
 * queue, out of range). */
int ap_task_claim(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint64_t ref, uint64_t *ret);
/* The result, written over the request: 1, and nothing else may read that any more; 0 when the request has no block in which the
 * result fits. `data` may lie in the request. */
int ap_task_overwrite(struct ap_segment *seg, uint32_t index, uint64_t token, const void *data, uint32_t size);
/* RUNNING -> DONE (code 0) or FAILED(code); result fields are filled before. APIARY_ESTALE when the word is not the token,
 * or the token not that of a claim.
 * Rings the client's bell. Nothing of the slot is touched after the word's store. */
int ap_task_finish(struct ap_segment *seg, uint32_t index, uint64_t token, int code);

/* Client side, any thread of the process. */
int ap_task_move(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t queue); /* QUEUED -> QUEUED', CAS: 1, 0 */
int ap_task_call(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t queue); /* SCHEDULED -> QUEUED, CAS: 1, 0 */
/* QUEUED or SCHEDULED -> CANCELLED or FAILED with a code of enum apiary_error, CAS: 1, 0 (another state, too) */
int ap_task_cancel_queued(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t state, int code);
/* Sets request bits if the generation still matches: 1, 0. A caller that gives the task up frees it if it has ended by then. */
int ap_task_request(struct ap_segment *seg, uint32_t index, uint64_t generation, uint64_t bits);
/* finished -> RELEASING -> (blocks and ticket given back) -> FREE: 1 done; 0 another lane did, or the task is not finished. */
int ap_task_release_with(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t seen, ap_slot_freed_fn freed, void *user);
int ap_task_release(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t seen); /* for tasks without a ticket */
/* The same for any task in this slot that has ended and that nobody may collect: 1 done; 0 there is none. */
int ap_task_free_unseen(struct ap_segment *seg, uint32_t lane, uint32_t index, ap_slot_freed_fn freed, void *user);

/* The reaper, for tasks in a dead lane's hands: CAS, 1; 0 when the word is no longer the one that was seen, or of another
 * state. `suspect`: the start ended in a crash; else it was lost.
 * 1 requeue: RUNNING -> QUEUED. The caller has seen that there may be another start.
 * 2 fail: RUNNING -> FAILED. With ECRASHED the start is counted; with other codes it counts as the one under way.
 * 3 free: RESERVED, RELEASING -> FREE, blocks given back.
 * `dead` is the lane that is recovered, the owner in `seen`. */
int ap_task_requeue_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, uint32_t queue, bool suspect);
int ap_task_fail_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen, int code, bool suspect);
int ap_task_free_dead(struct ap_segment *seg, uint32_t dead, uint32_t index, uint64_t seen);

/* ---- the same steps with the slot's address, without calls on the usual path ---------------------------------- */

/* The bits of a request word, none where it is of another generation than the task's word. */
static inline uint64_t ap_request_bits(uint64_t request, uint64_t word)
{
    return AP_REQUEST_GENERATION(request) == AP_WORD_GENERATION(word) ? AP_REQUEST_BITS(request) : 0;
}
/* Whether one of `bits` is among the request's bits. */
static inline bool ap_request_has(uint64_t request, uint64_t word, uint64_t bits)
{
    return AP_REQUEST_GENERATION(request) == AP_WORD_GENERATION(word) && (request & bits) != 0;
}
/* Whether the task was given up by a caller that had waited for it. Never true for a task that is fire and forget. */
static inline bool ap_request_recalled(uint64_t request, uint64_t word)
{
    return (ap_request_bits(request, word) & AP_REQUEST_GIVEN_UP) == AP_REQUEST_ABANDON;
}
static inline bool ap_task_requested(const struct ap_slot *slot, uint64_t word, uint64_t bits)
{
    return ap_request_has(ap_load_acquire(&slot->request), word, bits); /* TASK-A7 pairs TASK-R7 */
}
/* Whether the task was given up: nobody may collect it. */
static inline bool ap_abandoned(const struct ap_slot *slot, uint64_t word)
{
    return ap_task_requested(slot, word, AP_REQUEST_GIVEN_UP);
}
/* The slot in turn if it is FREE, or NULL: ap_task_next has to look further. Its index is s->first + s->next - 1. */
AP_ALWAYS_INLINE struct ap_slot *ap_slabs_turn(struct ap_slabs *s)
{
    struct ap_slot *slot;
    uint64_t word;

    AP_DEBUG_ASSERT(s->next <= AP_SLAB_SLOTS && (s->count == 0 || s->current < s->count));
    if (__builtin_expect(s->next == AP_SLAB_SLOTS, 0)) return NULL;
    slot = ap_slot_at(s->lane->seg, s->first + s->next);
    word = ap_load_acquire(&slot->word); /* TASK-A3 pairs TASK-R3 */
    if (__builtin_expect(AP_WORD_STATE(word) != AP_TASK_FREE || AP_WORD_GENERATION(word) >= AP_GENERATION_LAST, 0)) return NULL;
    s->next++;
    return slot;
}

/* Prefetching the lines of a slot AP_SLOTS_AHEAD places on in the slab: a client that goes through many slots waits for one
 * cache-line transfer instead of one per slot. If the worker has not finished that slot, this takes away the line that it is about
 * to write. */
AP_ALWAYS_INLINE const struct ap_slot *ap_slot_later(const struct ap_segment *seg, uint32_t index)
{
    uint32_t place = (index + AP_SLOTS_AHEAD) % AP_SLAB_SLOTS;

    return ap_slot_at(seg, index - index % AP_SLAB_SLOTS + place);
}
/* By a client that has collected the result in slot `index`: for a slot that has ended by then. */
AP_ALWAYS_INLINE void ap_slot_ahead_of_collect(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_slot *slot = ap_slot_later(seg, index);

    ap_prefetch_write(&slot->word);
    ap_prefetch_write(slot->body_inline);
    ap_prefetch_read(slot->result_inline);
}
/* By a client that fills slot `index`: for a slot that is FREE by then. Its last worker has written its times and read its
 * request. */
AP_ALWAYS_INLINE void ap_slot_ahead_of_fill(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_slot *slot = ap_slot_later(seg, index);

    ap_prefetch_write(slot->body_inline);
    ap_prefetch_write(&slot->queued);
}

/* The fields of a task that its client writes. */
struct ap_task_form {
    const void *body;
    size_t size;
    uint64_t queued, deadline;
    uint32_t client, capability, ticket;
    uint16_t only, caller;
    bool inside; /* else in a block, which ap_slot_body_block names */
};
/* Writes them into a FREE slot. By the holder of its slab. */
AP_ALWAYS_INLINE void ap_slot_write(struct ap_slot *slot, const struct ap_task_form *f)
{
    ap_store_relaxed(&slot->body, 0);
    ap_store_relaxed(&slot->result, 0);
    ap_store_relaxed(&slot->body_size, (uint32_t)f->size);
    ap_store_relaxed(&slot->result_size, 0);
    ap_store_relaxed(&slot->agent_code, 0);
    ap_store_relaxed(&slot->only, f->only);
    ap_store_relaxed(&slot->deadline, f->deadline);
    ap_store_relaxed(&slot->client, (uint16_t)f->client);
    ap_store_relaxed(&slot->capability, (uint16_t)f->capability);
    ap_store_relaxed(&slot->caller, f->caller);
    ap_store_relaxed(&slot->ticket, f->ticket);
    ap_store_relaxed(&slot->queued, f->queued);
    ap_store_relaxed(&slot->started, 0);
    ap_store_relaxed(&slot->finished, 0);
    if (f->inside) ap_copy_small(slot->body_inline, f->body, f->size);
}
/* Gives a RESERVED slot a block for its body. The slot names the block before the block is attached, so that freeing the slot also
 * frees the block, without a search of the pool. */
void ap_slot_body_block(struct ap_segment *seg, uint32_t index, uint64_t generation, uint64_t block);

/* By the worker, while it is RUNNING. */
AP_ALWAYS_INLINE void ap_slot_started(struct ap_slot *slot, uint64_t now)
{
    ap_store_relaxed(&slot->started, now);
}
/* Where the result lies: `block`, or 0 and it is in the slot. */
AP_ALWAYS_INLINE void ap_slot_result(struct ap_slot *slot, uint64_t block, uint32_t size)
{
    ap_store_relaxed(&slot->result, block);
    ap_store_relaxed(&slot->result_size, size);
}
AP_ALWAYS_INLINE void ap_slot_agent_code(struct ap_slot *slot, uint32_t code)
{
    ap_store_relaxed(&slot->agent_code, code);
}
AP_ALWAYS_INLINE void ap_slot_finished(struct ap_slot *slot, uint64_t now)
{
    ap_store_relaxed(&slot->finished, now);
}

/* Gives a task up from birth, while its slot is RESERVED. */
AP_ALWAYS_INLINE void ap_slot_detach(struct ap_slot *slot, uint64_t generation)
{
    ap_store_relaxed(&slot->request, AP_REQUEST_WORD(generation, AP_REQUEST_DETACH));
}

/* More is asked of it from birth (KEEP, PARTS, HEDGED, RANKED, COALESCED), while its slot is RESERVED. */
static inline void ap_slot_ask(struct ap_slot *slot, uint64_t bits)
{
    ap_store_relaxed(&slot->request, ap_load_relaxed(&slot->request) | bits);
}

/* FREE -> RESERVED; returns the new generation. All fields that a checker looks at in a RESERVED slot are stored before. */
AP_ALWAYS_INLINE uint64_t ap_slot_reserve(const struct ap_slabs *by, struct ap_slot *slot, uint32_t index, uint32_t lane)
{
    uint64_t generation = AP_WORD_GENERATION(ap_load_relaxed(&slot->word)) + 1;
    uint64_t reserved = AP_WORD(AP_TASK_RESERVED, 0, lane, generation);

    ap_store_relaxed(&slot->request, AP_REQUEST_WORD(generation, 0));
    AP_WAY(FREE, RESERVED, STORE, HOLDER, AP_IS_HOLDER(by, index) && by->lane->index == lane);
    /* Only the slab's holder writes a FREE word, so a store will do. The owner is in it: from here the reaper finds it. */
    ap_store_release(&slot->word, reserved); /* TASK-R4 pairs TASK-A4 */
    AP_WENT(slot, reserved);
    return generation;
}

/* RESERVED -> QUEUED. `by`: NULL in single steps (ap_task_publish). */
AP_ALWAYS_INLINE uint64_t ap_slot_publish(const struct ap_slabs *by, struct ap_slot *slot, uint32_t index, uint32_t queue)
{
    uint64_t word = ap_load_relaxed(&slot->word);

    if (AP_WORD_STATE(word) != AP_TASK_RESERVED) return 0;
    ap_store_relaxed(&slot->queue, queue);
    AP_WAY(RESERVED, QUEUED, STORE, HOLDER, AP_IS_HOLDER(by, index));
    ap_store_release(&slot->word, AP_WORD_WITH(word, AP_TASK_QUEUED, queue)); /* TASK-R1 pairs TASK-A1 */
    AP_WENT(slot, AP_WORD_WITH(word, AP_TASK_QUEUED, queue));
    return AP_REF(index, AP_WORD_GENERATION(word));
}

/* RESERVED -> SCHEDULED: not to be run before `due`. False, and nothing is changed, when the slot is not RESERVED. The caller then
 * tells who looks for what is due (ap_due_tell). */
static inline bool ap_slot_schedule(const struct ap_slabs *by, struct ap_slot *slot, uint32_t index, uint64_t due)
{
    uint64_t word = ap_load_relaxed(&slot->word);

    if (AP_WORD_STATE(word) != AP_TASK_RESERVED) return false;
    ap_store_relaxed(&slot->queue, 0);
    ap_store_relaxed(&slot->due, due);
    AP_WAY(RESERVED, SCHEDULED, STORE, HOLDER, AP_IS_HOLDER(by, index));
    ap_store_release(&slot->word, AP_WORD_WITH(word, AP_TASK_SCHEDULED, 0)); /* TASK-R1 pairs TASK-A1 */
    AP_WENT(slot, AP_WORD_WITH(word, AP_TASK_SCHEDULED, 0));
    return true;
}

/* Returns the token; 0: the task cannot be claimed. */
AP_ALWAYS_INLINE uint64_t ap_slot_claim(struct ap_slot *slot, uint32_t lane, uint32_t queue, uint64_t ref)
{
    uint64_t word = ap_load_acquire(&slot->word);

    /* Tried again while it is still QUEUED here: the reference is gone, so giving up after a lost race with a mere change of
     * the word would lose the task. */
    while (AP_WORD_STATE(word) == AP_TASK_QUEUED && AP_WORD_OWNER(word) == queue &&
           AP_WORD_GENERATION(word) == AP_REF_GENERATION(ref)) {
        uint64_t running = AP_WORD_WITH(word, AP_TASK_RUNNING, lane);
        AP_WAY(QUEUED, RUNNING, CAS, WORKER, AP_IS_WORKER(lane, running));
        if (!ap_cas(&slot->word, &word, running)) continue; /* TASK-A1 pairs TASK-R1; TASK-R6 pairs TASK-A6 */
        AP_WENT(slot, running);
        ap_store_relaxed(&slot->queue, queue);
        ap_store_relaxed(&slot->worker, lane);
        /* A result that a dead attempt named is not this one's, and its block may be another task's by now. */
        ap_slot_result(slot, 0, 0);
        return running;
    }
    return 0;
}

/* A code that does not fit the owner field is not one of ours. */
static inline uint32_t ap_code_owner(int code)
{
    return code < 0 && code > -(int)AP_NO_LANE ? (uint32_t)-code : (uint32_t)-APIARY_EAGENT;
}

/* The caller has compared the word with the token. The bell's fence is TASK-F3, too: the caller looks at the request word after
 * this, and at nothing else of the slot. */
AP_ALWAYS_INLINE void ap_slot_finish(struct ap_segment *seg, uint32_t lane, struct ap_slot *slot, uint64_t token, int code)
{
    struct ap_lane *client = ap_lane_at(seg, ap_load_relaxed(&slot->client));
    uint64_t ended = code == 0 ? AP_WORD_WITH(token, AP_TASK_DONE, AP_NO_LANE)
                               : AP_WORD_WITH(token, AP_TASK_FAILED, ap_code_owner(code));

    AP_WAY(RUNNING, DONE, STORE, WORKER, AP_IS_WORKER(lane, token));
    AP_WAY(RUNNING, FAILED, STORE, WORKER, AP_IS_WORKER(lane, token));
    /* TASK-R2 pairs TASK-A2. The slot may be another task's after this store. */
    ap_store_release(&slot->word, ended);
    AP_WENT(slot, ended);
    if (client != NULL) ap_bell_ring(seg->ops, &client->bell);
}

/* slot->tries, if it is this task's; else 0. */
static inline uint32_t ap_slot_tries(const struct ap_slot *slot, uint64_t word)
{
    return ap_task_requested(slot, word, AP_REQUEST_TRIED) ? ap_load_relaxed(&slot->tries) : 0;
}
/* By its worker, which names no result in a block and has compared the word with the token: RUNNING -> SCHEDULED. The caller then
 * fences and looks at the task (ap_due_task): it may have been given up by somebody who has seen it run. */
void ap_task_put_back(struct ap_segment *seg, uint32_t index, uint64_t token, uint32_t lane, uint64_t due);

void ap_slot_blocks_free(struct ap_segment *seg, const struct ap_slot *slot, uint32_t index, uint64_t generation);

/* `seen` has ended. `own`: by the thread of the lane; if not, that lane may be dead and recovered before this is over. */
AP_ALWAYS_INLINE int ap_slot_release(struct ap_segment *seg, uint32_t lane, struct ap_slot *slot, uint32_t index, uint64_t seen,
                                     bool own, ap_slot_freed_fn freed, void *user)
{
    uint64_t releasing = AP_WORD_WITH(seen, AP_TASK_RELEASING, lane), done = AP_WORD_WITH(seen, AP_TASK_FREE, AP_NO_LANE);

    AP_WAY(DONE, RELEASING, CAS, COLLECTOR, AP_IS_ANYBODY);
    AP_WAY(FAILED, RELEASING, CAS, COLLECTOR, AP_IS_ANYBODY);
    AP_WAY(CANCELLED, RELEASING, CAS, COLLECTOR, AP_IS_ANYBODY);
    if (freed != NULL && ap_task_requested(slot, seen, AP_REQUEST_KEEP)) ap_slot_outcome(slot, seen);
    if (!ap_cas(&slot->word, &seen, releasing)) return 0;
    AP_WENT(slot, releasing);
    if (freed != NULL) freed(user, slot);
    if (__builtin_expect((ap_load_relaxed(&slot->body) | ap_load_relaxed(&slot->result)) != 0, 0))
        ap_slot_blocks_free(seg, slot, index, AP_WORD_GENERATION(releasing));
    AP_WAY(RELEASING, FREE, STORE, COLLECTOR, AP_IS_ANYBODY); /* by RELEASING, which names its lane */
    AP_WAY(RELEASING, FREE, CAS, COLLECTOR, AP_IS_ANYBODY);
    if (own) ap_store_release(&slot->word, done); /* TASK-R3 pairs TASK-A3 */
    else if (!ap_cas(&slot->word, &releasing, done)) return 1; /* TASK-R3 pairs TASK-A3 */
    AP_WENT(slot, done);
    return 1;
}

/* Checks that the bodies of a slot lie where they may; NULL if not. Never trusts the slot. */
const void *ap_body_in_pool(const struct ap_segment *seg, uint64_t offset, uint32_t size);
AP_ALWAYS_INLINE const void *ap_body_at(const struct ap_segment *seg, const uint8_t *inside, uint64_t offset, uint32_t *size,
                                        uint32_t n)
{
    const void *body = NULL;

    if (__builtin_expect(offset != 0, 0)) body = ap_body_in_pool(seg, offset, n);
    else if (n <= AP_INLINE_BODY) body = inside;
    if (body != NULL) *size = n;
    return body;
}
AP_ALWAYS_INLINE const void *ap_task_body(const struct ap_segment *seg, const struct ap_slot *slot, uint32_t *size)
{
    return ap_body_at(seg, slot->body_inline, ap_load_relaxed(&slot->body), size, ap_load_relaxed(&slot->body_size));
}
AP_ALWAYS_INLINE const void *ap_task_result(const struct ap_segment *seg, const struct ap_slot *slot, uint32_t *size)
{
    return ap_body_at(seg, slot->result_inline, ap_load_relaxed(&slot->result), size, ap_load_relaxed(&slot->result_size));
}

const char *ap_task_state_name(uint32_t state);
/* From shm/states.def: the meaning of the owner field (NONE for an invalid state); whether there is a transition between two
 * states. */
enum ap_task_owner ap_task_owner(uint32_t state);
bool ap_task_permitted(uint32_t from, uint32_t to);
#endif
