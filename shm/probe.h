/* shm/probe.h - the way in that is reserved to health probes, beside the rings of a queue.
 *
 * SCOPE     1 A probe is a task that has PROBE in its request word (request.h). It asks whether the consumer of a queue goes on,
 *           and nothing else: the consumer takes it before any other task, and answers it without its agent's code.
 *           2 Its reference lies in one of the queue's AP_PROBES cells, and in no ring. So no task that waits is before it, and
 *           none that fills a ring keeps it out.
 *           3 A probe that was moved to another queue, or that a scan finds, comes to its consumer as any task, and is answered as
 *           well.
 * CELL      1 A cell is 0 or a reference. A prober takes one by compare-and-swap after its task is QUEUED: one that is 0, or whose
 *           task waits here no more. So nobody has to clear what is left of a probe that was cancelled or has died.
 *           2 The consumer takes a reference by a compare-and-swap for 0.
 *           3 `probed` says that there may be one. A prober sets it after the cell; the consumer clears it before it looks.
 * BOUND     As many wait as there are cells, and one of each member. Two threads of a member that come at the same moment may both
 *           pass. The next prober is refused (APIARY_ELIMIT): another probe waits there already.
 * SLOTS     1 The last slabs of a table that has enough of them are leased for probes only (AP_SLABS_KEPT).
 *           2 Where a lane's own slabs have no slot for a probe and it may lease no other one, it has one of these, or else any
 *           that is free, whatever its member holds. There only its probes lie, and it goes back with the last of them.
 * ORDERING  QUEUE-F1 full fence after the cell pairs QUEUE-F2 as the consumer settles (ap_queue_settle): the consumer sees the
 *           cell before it parks, or the prober sees its bell raised. The request comes with the task word, as ever (TASK-R1).
 * CRASH     1 A prober dies before the cell: QUEUED without a reference, which its recovery has all consumers scan for.
 *           2 The consumer dies after it took the reference: the same.
 *           3 A death between the cell and `probed`: the recovery's scan finds the task, and the cell is taken anew.
 * INVARIANTS Q12 a cell names a slot; `probed` is 0 or 1
 * COST      The consumer looks at `probed` before each task; it lies in the line of the summary. A queue that nobody probes has
 *           nothing else of this.
 * THREADS   room, put, signal: any lane. next, waits: the consumer's.
 */
#ifndef AP_PROBE_H
#define AP_PROBE_H

#include "core/must_check.h"
#include "shm/queue.h"

/* Whether the member may have one more wait at the queue: 0 or APIARY_ELIMIT. */
AP_MUST_CHECK int ap_probe_room(const struct ap_segment *seg, uint32_t queue, uint32_t member);
/* The reference of a task that is QUEUED(queue): 0 or APIARY_ELIMIT. The caller then fences and calls ap_probe_signal. */
AP_MUST_CHECK int ap_probe_put(const struct ap_segment *seg, uint32_t queue, uint64_t ref);
/* `lane` is the consumer's, NULL: none. */
void ap_probe_signal(const struct ap_segment *seg, struct ap_queue *q, struct ap_lane *lane);

/* Whether to call ap_probe_next. */
AP_ALWAYS_INLINE bool ap_probe_asked(const struct ap_consumer *c)
{
    return ap_load_relaxed(&c->queue->probed) != 0;
}
/* Takes the reference of a probe that waits; 0: none does. */
uint64_t ap_probe_next(const struct ap_consumer *c);
/* Whether one waits, after the bell was raised and a full fence; then it is asked for again. */
bool ap_probe_waits(const struct ap_consumer *c);

#endif
