/* registry/client/carried.h - what few tasks carry with them, outside of the lines that every task needs.
 *
 * LAYOUT    Section "carried": one row for each slot, at the same index. carried.def lists the fields.
 * WRITER    1 The lane that submits the task writes the row after the slot is RESERVED and before it is QUEUED or SCHEDULED, and
 *           only when the options say something of it. A task without such options costs nothing.
 *           2 Afterwards only `other` and `won` are written, as hedge.h says.
 * READERS   The row is that of the slot's task when epoch and generation are those of the task's id. Any other row is an older
 *           task's, and the task says nothing.
 * INVARIANTS R8 a row's generation is not above its slot's in the same epoch, and what it says is possible
 * ORDERING  The row is written before the slot's word is QUEUED: TASK-R1 pairs TASK-A1. An observer looks at the word again
 *           afterwards, as for the slot itself.
 *           CARRIED-R1 release fence after the slot's word is RESERVED, before the row, pairs CARRIED-A1 acquire fence after a
 *           copy, before a second look at the word: who has read of a later task sees its generation there.
 * CRASH     A writer that dies leaves a slot that is RESERVED, which the reaper frees. Its row names a generation that no task will
 *           ever have. Nothing is left to be repaired.
 * THREADS   Any, for reading.
 */
#ifndef AP_CARRIED_H
#define AP_CARRIED_H

#include "core/must_check.h"
#include "registry/registry.h"

#define AP_HOPS 32u /* of a task whose options do not say */

struct ap_carried {
    uint64_t generation;
    uint32_t epoch;
#define AP_CARRIED(field, type, ...) type field;
#include "registry/client/carried.def"
#undef AP_CARRIED
    uint64_t other; /* the reference of its second copy, of a second copy that of the first, 0: none; and */
    uint32_t won;    /* which of both counts (hedge.h) */
    uint32_t passed; /* of a task that a gate passes on (rules.h): AP_PASSED and who asked the gate; 0: it is none */
} AP_ALIGNED;

static inline struct ap_carried *ap_carried_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_CARRIED, index, struct ap_carried);
}

/* Whether options of this version say anything that is carried. */
AP_ALWAYS_INLINE bool ap_carried_said(const apiary_delegate_options_t *o)
{
    uint64_t words[(sizeof *o - offsetof(apiary_delegate_options_t, trace)) / 8], any = o->hops, last[3];
    const size_t count = sizeof words / sizeof words[0];

    /* The last three words apart: so the others leave more registers to a task without options. */
    memcpy(last, (const char *)(o + 1) - sizeof last, sizeof last);
    any |= last[0] | last[1] | last[2];
    memcpy(words, &o->trace, sizeof words); /* to the end of the structure: what is added there is carried, too */
    for (size_t i = 0; i < count - 3; i++) any |= words[i];
    return any != 0;
}

/* The rank that a task with these options has, + 1; 0: NORMAL, as almost all are (shm/rank.h). */
static inline uint8_t ap_carried_rank(const apiary_delegate_options_t *o)
{
    return o->priority != APIARY_PRIORITY_NORMAL ? (uint8_t)o->priority : 0;
}
/* 0, or APIARY_EINVAL: what they say is not possible. */
AP_MUST_CHECK int ap_carried_judge(const apiary_delegate_options_t *o);
/* The row of a task that is RESERVED by the calling lane; options that were judged. */
void ap_carried_write(struct ap_segment *seg, apiary_task_t task, const apiary_delegate_options_t *o);
/* A copy of what the task carries: true; false: nothing was said, and *ret is what it has then. */
bool ap_carried_read(const struct ap_segment *seg, apiary_task_t task, struct ap_carried *ret);
/* Adds to the options what a task has that is delegated for `parent`: 0, or why it must not be. */
AP_MUST_CHECK int ap_carried_inherit(const struct ap_segment *seg, apiary_task_t parent, apiary_delegate_options_t *o);
/* Adds trace, parent and hedge to a record of the last tasks. Afterwards the caller knows, or looks, whether the task still has the
 * slot. */
void ap_carried_traced(const struct ap_segment *seg, apiary_task_t task, struct ap_finished *ret);
/* The trace that goes on to those who are asked for the task's sake: 1, or 0, it is in none. */
int ap_carried_trace(const struct ap_segment *seg, apiary_task_t task, apiary_trace_t *ret);

#endif
