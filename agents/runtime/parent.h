/* agents/runtime/parent.h - for which job an agent delegates, and what becomes of that when the job is over.
 *
 * WHICH     1 The job that the agent names (apiary_job_delegate); else that of the call which brought it to the agent, or of the
 *           delegation whose answer the agent is given just now.
 *           2 In the callback of a watch nobody can tell: what is delegated there without a name is for no job. Its hops and its
 *           trace are taken from the only job in the agent's hands, if there is one: a wrong guess does no harm there.
 *           3 A job is named by its handle, so that another attempt at the same task is another parent.
 * OVER      1 The job has ended, its task was cancelled or given up, or its attempt takes too long. Its worker looks at that with
 *           each look at a delegation (delegation.c). A call that cancels a task or gives it up rings its worker's bell. If its
 *           caller is killed in between, the worker looks once a second all the same.
 *           2 A deadline needs no look: no child has a later one than its parent.
 *           3 If the worker dies its lane's reaper sees to what is left (shm/reap.h, BOUND).
 * THREADS   The worker's.
 */
#ifndef AP_PARENT_H
#define AP_PARENT_H

#include "agents/runtime/agent.h"
#include "core/must_check.h"
#include "shm/bond.h"

#define AP_PARENT_LOOKS UINT64_C(1000000000)

struct ap_parent {
    const apiary_job_t *job; /* NULL: what is delegated is for no job, or for one that has ended: */
    bool ended;
    uint64_t ref; /* its task's, for what is inherited; 0: none is known */
};

/* For which job `agent` delegates now; `job` NULL: it does not say. */
struct ap_parent ap_parent_of(const struct ap_worker *w, const struct ap_agent *agent, const apiary_job_t *job);
/* The policy that is in force: 0 of what is for no job. */
uint64_t ap_parent_policy(const struct ap_parent *p, const apiary_delegate_options_t *o);
/* Makes the bond of a task that is delegated with these options, of which the timeout becomes the time that is left, and the policy
 * is said: 0, or why it must not be. Only with a policy that binds. */
AP_MUST_CHECK int ap_parent_bind(const struct ap_parent *p, uint64_t policy, uint64_t now, apiary_delegate_options_t *o,
                                 struct ap_bond *ret);
static inline bool ap_parent_binds(uint64_t policy)
{
    return policy != 0 && policy != APIARY_PARENT_ABANDON;
}
bool ap_parent_over(const apiary_job_t *job);

#endif
