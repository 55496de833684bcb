/* registry/client/sample.h - head sampling: of the tasks that a lane delegates for nobody's sake and in no trace, one in
 * `trace_one_in` begins a trace that is recorded (shm/finished.h).
 *
 * COST      A countdown in the lane's private memory: two instructions of each delegation. Without sampling it never ends.
 * WHICH     1 The gap to the next one is random, from 1 to 2 * trace_one_in - 1, so that what takes turns is not missed.
 *           2 Tasks of a batch, and those of options of another version, are passed over; the next other one has their turn.
 *           3 A task that an agent delegates for another is in that one's trace, or in none: the whole of a chain is recorded, or
 *           nothing.
 * THREADS   As the lane's context.
 */
#ifndef AP_SAMPLE_H
#define AP_SAMPLE_H

#include "registry/client/client.h"

/* A lane begins: when the first is due. */
void ap_sample_begin(struct ap_lane_context *c);
/* The countdown has ended. True: *ret are options of `from` (NULL: none) with a trace that begins. */
bool ap_sample(struct ap_lane_context *c, const apiary_delegate_options_t *from, apiary_delegate_options_t *ret);

#endif
