/* agents/kinds/warm.h - exec with `persistent`: processes that stay, each for one task after the other, by the messages of
 * apiary-exec(7).
 *
 * PLACES   1 An agent has N places. In each is a process that it has started (command), or a connection to one that has started by
 *          itself (socket). A place has one task at a time, so the agent takes N tasks at a time; the rest stays in its queue.
 *          2 A place that has lost its process gets another: at once if the last one has answered a task, else after a pause that
 *          doubles with each failure. Meanwhile tasks wait, and when nothing comes up they fail with the reason.
 * TASK     1 The request is written from the segment, the result is read into memory and handed over. Nothing blocks: what a
 *          process does not read, or what the reader of its parts does not, stays where it is.
 *          2 When a task is cancelled, or its time is over, its process is told so. Unless it answers within `grace` it is killed,
 *          and the task fails with the reason.
 * END      As child.h says. A process that does what the protocol does not allow is killed and named. An attempt of a task does not
 *          wait for what the death of another queen has left to be killed.
 */
#ifndef AP_KINDS_WARM_H
#define AP_KINDS_WARM_H

#include "agents/kinds/exec_plan.h"
#include "core/must_check.h"

struct ap_warm;

/* In `create`. `what` is the caller's, for as long as *ret is; with a socket it has no path. 0, or an apiary_error, logged. */
AP_MUST_CHECK int ap_warm_create(apiary_agent_t *agent, struct ap_exec_plan *what, struct ap_warm **ret);
void ap_warm_handle(struct ap_warm *warm, apiary_job_t *job);
void ap_warm_destroy(struct ap_warm *warm); /* waits for processes that end in order, for `grace` at most */

#endif
