/* shm/word.h - the word of a task's slot: state, starts that ended with a worker's death, owner, generation. See task.h.
 *
 * LAYOUT      state (4 bits), crashes (3), lost starts (5), owner (14), generation (38). The state decides what the owner is
 *             (states.def).
 * TRACEPOINT  Each change passes the tracepoint "task", with the slot's address and the new word. By then the slot may be further
 *             on, unless one lane alone changes it.
 */
#ifndef AP_WORD_H
#define AP_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tracepoint.h"

#define AP_WORD(state, crashes, owner, generation) \
    ((uint64_t)(state) | (uint64_t)(crashes) << 4 | (uint64_t)(owner) << 12 | (uint64_t)(generation) << 26)
#define AP_WORD_CRASHED(n) ((uint64_t)(n) << 4) /* to be added */
#define AP_WORD_LOST_STARTS(n) ((uint64_t)(n) << 7)
#define AP_WORD_STATE(w) ((uint32_t)((w) & 0xf))
#define AP_WORD_CRASHES(w) ((uint32_t)((w) >> 4 & 0x7))
#define AP_WORD_LOST(w) ((uint32_t)((w) >> 7 & 0x1f))
#define AP_WORD_ATTEMPT(w) (AP_WORD_CRASHES(w) + AP_WORD_LOST(w)) /* from 0 */
#define AP_WORD_OWNER(w) ((uint32_t)((w) >> 12 & 0x3fff))
#define AP_WORD_GENERATION(w) ((uint64_t)(w) >> 26)
/* The same word in another state, with another owner. */
#define AP_WORD_WITH(w, state, owner) \
    (((uint64_t)(w) & ~(UINT64_C(0xf) | UINT64_C(0x3fff) << 12)) | (uint64_t)(state) | (uint64_t)(owner) << 12)

#define AP_WENT(slot, word) AP_TRACEPOINT(task, slot, word)
/* The same by a compare-and-swap: returns whether it was `changed`. */
static inline bool ap_word_went(const void *slot, uint64_t word, bool changed)
{
    if (changed) AP_WENT(slot, word);
    return changed;
}

#endif
