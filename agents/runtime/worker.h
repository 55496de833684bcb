/* agents/runtime/worker.h - a thread with one lane and one loop that hosts agents and drains their queues.
 *
 * LIFE      1 OPENING (lane, loop and agents are made on the worker's thread) -> READY -> RUN -> HOLD -> STOP, or OPENING ->
 *           FAILED.
 *           2 The queen commands by `command`, the worker answers by `phase`. Both are futex words.
 *           3 LOST: an agent has ended the worker's thread. For other processes this is a death like any. Nothing of the worker
 *           runs again.
 *           4 The thread tells that by itself (pthread_exit). Of one that has ended by the bare system call the queen learns at
 *           her next beat, and tells it.
 * TURNS     1 Agents in turn, a batch each.
 *           2 A task is claimed just before it is started. So tasks that wait stay QUEUED and can be moved.
 *           3 The reference is stored in lane->hand[] before that, so that a reaper finds the started tasks without a scan.
 * SUSPECTS  1 A task that has crashed a worker before is started when its agent has nothing else in hand, and nothing else is
 *           started in that agent before it has ended.
 *           2 Neither lasts longer than AP_AGENT_ALONE: what never ends stops nobody. Other agents do not notice.
 *           3 One that waits for this is still QUEUED. If its task ends or is moved, the wait is over.
 * STEPS     The work of the worker's thread in the segment is cut into functions that need no thread and no loop, only a lane, the
 *           agents with their jobs, and RUN. The crash sweep steps through these.
 * PARKS     After a bounded spin: raise the bell, look at everything a last time, sleep in the loop.
 */
#ifndef AP_WORKER_H
#define AP_WORKER_H

#include <signal.h>

#include "agents/runtime/agent.h"
#include "agents/runtime/noted.h"
#include "core/loop.h"
#include "core/must_check.h"
#include "core/spin.h"

enum ap_worker_phase { AP_WORKER_OPENING, AP_WORKER_READY, AP_WORKER_FAILED, AP_WORKER_LOST };
enum ap_worker_command { AP_WORKER_WAIT, AP_WORKER_RUN, AP_WORKER_HOLD, AP_WORKER_STOP };

struct ap_delegation;
struct ap_waiting;

_Static_assert(AP_HANDS <= 32, "each hand of a lane has its bit in a worker");

struct ap_worker {
    struct ap_queen *queen;
    struct apiary *client;
    struct ap_segment *seg;
    uint32_t index;
    pthread_t thread;
    bool running; /* the thread must be joined */

    struct ap_lane_context *context;
    struct ap_lane_handle lane; /* the context's, which goes with the worker's thread; threads of agents may go on */
    struct ap_loop *loop;
    struct ap_agent **agents;
    size_t agent_count, first; /* first: the agent whose turn it is */
    struct ap_agent *latest; /* the last agent that had a task; NULL: none had */
    struct ap_job *called; /* the last with which an agent's function was called; the queen's thread reads whose agent's it is */
    struct ap_job *jobs; /* of all its agents */
    uint32_t job_count, in_hand_count;
    uint32_t hands; /* bits of lane->hand[] in use */
    bool holds; /* an agent may have a suspect in hand, or aside */
    uint32_t timed;      /* jobs in hand with timers, and those that wait for the readers of their parts */
    uint32_t behind;     /* of these the latter */
    uint64_t timers_due; /* not after the first of their times; UINT64_MAX with none */
    uint64_t now; /* read when a batch begins and when a task ends */
    uint64_t heaps_due; /* the heaps' figures are not refreshed before */
    struct ap_noted noted;
    struct ap_spin spin;
    struct ap_delegation *delegations, **delegations_end;
    uint32_t delegation_count;
    struct {
        struct ap_waiting *first, **end;
        uint32_t count;
        uint64_t again; /* when to try at the latest */
    } waiting; /* delegations that wait for a ticket (delegation.h) */
    const apiary_job_t *calling; /* the job for which the delegation is whose answer an agent is given just now; NULL: none */
    void *crash_stack; /* crash.h */
    volatile sig_atomic_t crash_passed_on; /* a former handler of the signal has been called, and has not come back */

    int result; /* with FAILED */
    bool told;  /* the queen has logged that it does not return */
    unsigned reopened; /* ap_loop_reopened when that was last logged */
    char message[1024];

    uint32_t command AP_ALIGNED; /* futex; writer: queen */
    uint32_t drain;              /* how often the queen has asked to be told when no task is left */
    uint32_t phase AP_ALIGNED;   /* writer: worker, as all below */
    uint32_t id;                 /* of its thread; 0: it has not begun */
    uint32_t drained;            /* the last of these requests that was answered */
    uint32_t turns, parked;      /* the queen's beat checks by them whether the worker makes progress */
    struct ap_handed *handed AP_ALIGNED; /* stack; pushed by any thread, taken as a whole by the worker */
};

/* The queen's thread. Agents are set before start; start returns as soon as the thread runs. */
AP_MUST_CHECK int ap_worker_start(struct ap_worker *w);
void ap_worker_command(struct ap_worker *w, enum ap_worker_command command);
/* Wakes the worker to look at `drain`. */
void ap_worker_drain(struct ap_worker *w);
/* After STOP, or when the worker never ran. False: it has not ended `within` that time. */
AP_MUST_CHECK bool ap_worker_join(struct ap_worker *w, uint64_t within);

/* True, once: its thread has ended, and neither came back nor told it. The worker is LOST then, or FAILED if it was OPENING. */
AP_MUST_CHECK bool ap_worker_vanished(struct ap_worker *w);

/* The steps of the worker's thread, in this order.
 * 1 consume: the agents' queues, which are open, are drained from now on.
 * 2 serve: one turn over the tasks that wait at the agents; returns how many were taken.
 * 3 rest: publishes the counts, raises the bell, looks a last time. True: there is nothing to do, and the thread may sleep on the
 *   bell while that has the value *ret_bell.
 * 4 due: until when it sleeps at most, though nothing rings; UINT64_MAX: for ever.
 * 5 jobs_end: fails the jobs that agents have in hand. */
void ap_worker_consume(struct ap_worker *w);
int ap_worker_serve(struct ap_worker *w);
bool ap_worker_rest(struct ap_worker *w, uint32_t command, uint32_t *ret_bell);
uint64_t ap_worker_due(const struct ap_worker *w, uint32_t command, uint64_t now);
void ap_worker_jobs_end(struct ap_worker *w);

/* The worker whose thread this is, or NULL. */
extern _Thread_local struct ap_worker *ap_worker_here __attribute__((tls_model("initial-exec")));
static inline struct ap_worker *ap_worker_self(void)
{
    return ap_worker_here;
}

/* The agent of the last job with which one was called; NULL: none. */
static inline const struct ap_agent *ap_worker_called(const struct ap_worker *w)
{
    const struct ap_job *job = ap_load_relaxed(&w->called);

    return job != NULL ? job->agent : NULL;
}

/* worker_job.c. jobs_open: the jobs of all agents, with their handles. jobs_close: when no thread of the worker's runs any
 * more. */
AP_MUST_CHECK int ap_worker_jobs_open(struct ap_worker *w);
void ap_worker_jobs_close(struct ap_worker *w);
void ap_worker_start_task(struct ap_worker *w, struct ap_agent *agent, uint64_t ref);
/* Answers a probe that waits for the agent (shm/probe.h): 1, or 0, none does. */
int ap_worker_answer(struct ap_worker *w, struct ap_agent *agent);
int ap_worker_take_handed(struct ap_worker *w);
void ap_worker_publish(struct ap_agent *agent);

/* timers.c. open: the timers of a job that is about to be started begin. close: it has ended. look: tells jobs that take too long,
 * and ends those that were told long enough ago; returns how many. */
void ap_timers_open(struct ap_worker *w, struct ap_job *job);
void ap_timers_close(struct ap_worker *w, struct ap_job *job);
void ap_timers_beat(struct ap_job *job, uint64_t now); /* any thread of the agent's */
int ap_timers_look(struct ap_worker *w);

/* delegation.c. poll: looks at `most` delegations at most, and at those that wait for a ticket; returns how many ended, or were
 * started of the latter. With `reroute` moves tasks out of queues that nobody drains. due: the soonest deadline. end: ends all with
 * `code`. */
int ap_delegations_poll(struct ap_worker *w, uint32_t most, bool reroute);
/* The reference of a delegation that is queued at an agent of the same worker which may start it, or 0. */
uint64_t ap_delegations_here(const struct ap_worker *w, struct ap_agent **ret);
uint64_t ap_delegations_due(const struct ap_worker *w);
void ap_delegations_end(struct ap_worker *w, int code);

#endif
