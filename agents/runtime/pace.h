/* agents/runtime/pace.h - the pace at which an agent's worker works off the tasks that wait for it (shm/queue.h, PACE).
 *
 * MEASURE   1 Each time the worker publishes its counts and tasks wait, it takes the time since the last such time and the tasks
 *           that have ended meanwhile. So everything counts that holds it up: other agents of the worker, and other processes.
 *           2 At the first such time nothing is measured yet: the run time, divided by the tasks in hand, is taken for it.
 *           3 The mean goes over 32 tasks, since some dozens wait where it matters. No measure counts for more than eight times the
 *           mean: a worker that was stopped for a while is not taken for one that is slow.
 * MARGIN    1 Accepted tasks that were late after all say that the pace varies more than callers reckon with: other work on the
 *           machine, tasks of very different length. Then the margin grows by a quarter.
 *           2 Until those that were accepted before that are over, their being late says nothing new.
 *           3 With every AP_PACE_CALM tasks that end while none is late, and every AP_PACE_CALM_TIME, it shrinks by a hundredth.
 *           So less than one in a hundred is late in the long run, as long as the margin is not at its bound; and an agent whose
 *           tasks take long does not keep for hours what one bad moment has taught it.
 *           4 Late are tasks that ended here after their deadlines, and those that were given up while they waited here. Not a task
 *           that was started soon enough for what tasks take here: that it ran longer is its own doing, and nobody else's wait.
 * WHEN      A worker publishes after AP_PACE_SLOW at the latest where tasks take that long, and else after a number of tasks.
 * THREADS   The worker's.
 */
#ifndef AP_PACE_H
#define AP_PACE_H

#include <stdint.h>

#define AP_PACE_SLOW UINT64_C(100000) /* ns: a task that took so long is told of at its end */
#define AP_PACE_CALM 20u /* tasks */
#define AP_PACE_CALM_TIME UINT64_C(30000000000) /* ns */

struct ap_agent;

struct ap_pace {
    uint64_t since; /* when tasks were last seen to wait; 0: none waited at the last look */
    uint64_t ended; /* tasks that had ended then */
    uint64_t each;  /* ns for one */
    uint64_t overdue; /* tasks that ended late; of those that took less than AP_PACE_SLOW none is counted */
    uint64_t late;    /* all that were late, as of the last look */
    uint64_t deaf;    /* until then late ones say nothing new */
    uint64_t calm;    /* tasks that had ended when the margin was last changed, or one was last late */
    uint64_t calm_since; /* the time of that, or of the first look */
    uint32_t margin;  /* percent; 0: the least */
};

/* When the agent begins to drain its queue; it knows by now what the queue has counted. */
void ap_pace_begin(struct ap_agent *agent);
/* A task has ended after its deadline; tasks took `usual` before. */
void ap_pace_overdue(struct ap_agent *agent, uint64_t started, uint64_t deadline, uint64_t usual);
/* When counts have just been published. */
void ap_pace_look(struct ap_agent *agent, uint64_t now);

#endif
