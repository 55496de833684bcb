/* shm/request.h - the request word of a task: what is asked of it beside its state.
 *
 * WORD      1 generation << 18 | bits. Bits of another generation do not count.
 *           2 Bits 0..4 as below, 5 HEDGED, 6 PROBE, 7 RANKED, 8 KEEP, 9 TIMED, 10 PARTS, 11 BOUND, 12..15 why it is not tried
 *           again (cause.h), 16 COALESCED, 17 SAMPLED.
 * WRITER    1 The client side, and for a dead client its reaper (DETACH): CANCEL, ABANDON (nobody will collect), DETACH (fire and
 *           forget: ABANDON from birth), and from birth KEEP, TIMED (start_by.h), PARTS (stream.h), RANKED (rank.h),
 *           BOUND: it ends with its client (reap.h), HEDGED: a second copy may be sent (registry/client/hedge.h), PROBE (probe.h),
 *           COALESCED: it shares its outcome with others of its key (follow.h), and SAMPLED: its trace is recorded (finished.h).
 *           2 The worker: OVERWRITTEN, and TRIED (slot->tries is this task's).
 * OUTCOME   The result of a task with KEEP outlives its slot: a row of the registry takes it while the slot is RELEASING. The word
 *           of the slot no longer says then how the task has ended. So whoever frees it stores the ended word in slot->outcome
 *           before. All who try have seen the same one, and one that comes late does not write over a later task's.
 */
#ifndef AP_REQUEST_H
#define AP_REQUEST_H

#include "shm/cause.h"

struct ap_slot;

enum {
    AP_REQUEST_CANCEL = 1, AP_REQUEST_ABANDON = 2, AP_REQUEST_DETACH = 4, AP_REQUEST_OVERWRITTEN = 8, AP_REQUEST_TRIED = 16,
    AP_REQUEST_HEDGED = 32, AP_REQUEST_PROBE = 64, AP_REQUEST_RANKED = 128, AP_REQUEST_KEEP = 256, AP_REQUEST_TIMED = 512,
    AP_REQUEST_PARTS = 1024, AP_REQUEST_BOUND = 2048, AP_REQUEST_COALESCED = 65536, AP_REQUEST_SAMPLED = 131072,
};
#define AP_REQUEST_GIVEN_UP (AP_REQUEST_ABANDON | AP_REQUEST_DETACH)
#define AP_REQUEST_ALL 0x3ffffu /* bits that exist */

#define AP_REQUEST_WORD(generation, bits) ((uint64_t)(generation) << 18 | (uint64_t)(bits))
#define AP_REQUEST_GENERATION(r) ((uint64_t)(r) >> 18)
#define AP_REQUEST_BITS(r) ((uint64_t)(r) & 0x3ffff)
_Static_assert((AP_REQUEST_CANCEL | AP_REQUEST_GIVEN_UP | AP_REQUEST_OVERWRITTEN | AP_REQUEST_TRIED | AP_REQUEST_DEAD(15) |
                AP_REQUEST_HEDGED | AP_REQUEST_PROBE | AP_REQUEST_RANKED | AP_REQUEST_KEEP | AP_REQUEST_TIMED |
                AP_REQUEST_PARTS | AP_REQUEST_BOUND | AP_REQUEST_COALESCED | AP_REQUEST_SAMPLED) == AP_REQUEST_ALL,
               "each bit means one thing");

/* Stores `seen`, the word of the end of a task with KEEP, where its row finds it. */
void ap_slot_outcome(struct ap_slot *slot, uint64_t seen);

#endif
