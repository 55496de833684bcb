/* agents/runtime/pace.h - the pace at which an agent's worker works off the tasks that wait for it (shm/queue.h, PACE).
 *
 * MEASURE   1 Each time the worker publishes its counts and tasks wait, it takes the time since the last such time and the tasks
 *           that have ended meanwhile. So everything counts that holds it up: other agents of the worker, and other processes.
 *           2 At the first such time nothing is measured yet: the run time, divided by the tasks in hand, is taken for it.
 *           3 The mean goes over 32 tasks, since some dozens wait where it matters. No measure counts for more than eight times the
 *           mean: a worker that was stopped for a while is not taken for one that is slow.
 * WHEN      A worker publishes after AP_PACE_SLOW at the latest where tasks take that long, and else after a number of tasks.
 * THREADS   The worker's.
 */
#ifndef AP_PACE_H
#define AP_PACE_H

#include <stdint.h>

#define AP_PACE_SLOW UINT64_C(100000) /* ns: a task that took so long is told of at its end */

struct ap_agent;

struct ap_pace {
    uint64_t since; /* when tasks were last seen to wait; 0: none waited at the last look */
    uint64_t ended; /* tasks that had ended then */
    uint64_t each;  /* ns for one */
};

/* When counts have just been published. */
void ap_pace_look(struct ap_agent *agent, uint64_t now);

#endif
