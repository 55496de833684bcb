/* shm/cause.h - why a task is not tried again: four bits of its request word (task.h).
 *
 * WRITER    Its worker or that one's reaper, before the word that ends it. If they are killed in between the task may be run
 *           again, and keeps the mark. So a mark counts only with the error that it stands for: whoever ends a task with that one
 *           marks it anew, and who frees the slot takes any other mark away before it is RELEASING.
 */
#ifndef AP_CAUSE_H
#define AP_CAUSE_H

#include "shm/segment.h"

enum ap_dead_cause {
    AP_DEAD_NOT,
    AP_DEAD_LOST,   /* its workers were killed too often */
    AP_DEAD_FAILED, /* its attempts are used up */
    AP_DEAD_OVERRUN, /* they are, and the last took too long */
    AP_DEAD_ENDED,  /* it has ended its worker's thread or process once too often; or crashed it by a signal: */
    AP_DEAD_SEGV,
    AP_DEAD_BUS,
    AP_DEAD_ABRT,
    AP_DEAD_SIGNAL, /* any other */
    AP_DEAD_CAUSES
};
#define AP_REQUEST_DEAD(cause) ((uint64_t)(cause) << 12)
#define AP_REQUEST_CAUSE(bits) ((uint32_t)((bits) >> 12 & 0xf))
_Static_assert(AP_DEAD_CAUSES <= 16, "a cause has four bits");

/* Of a RUNNING task with this word, instead of what is marked. */
void ap_task_mark(struct ap_segment *seg, uint32_t index, uint64_t token, enum ap_dead_cause cause);
/* The same of why its caller's policy does not have it tried again (enum apiary_untried); by its worker. */
void ap_task_untried(struct ap_segment *seg, uint32_t index, uint64_t token, uint32_t why);
/* The cause of a death by what a lane says of its crash; the signal that a cause names (0: none); the error that it stands for. */
enum ap_dead_cause ap_dead_by(uint32_t crash);
uint32_t ap_dead_signal(uint32_t cause);
int ap_dead_code(uint32_t cause);
#endif
