/* agents/runtime/worker.h - a thread with one lane and one loop that hosts agents and drains their queues.
 *
 * LIFE      OPENING (lane, loop, agents are made on its thread) -> READY -> RUN -> HOLD -> STOP, or OPENING -> FAILED. The queen
 *           moves it on by `command`, it answers by `phase`, both futex words.
 * TURNS     Agents in turn, a batch each. A task is claimed just before it is started, so what waits stays QUEUED and can be
 *           moved; its reference is in lane->hand[] first, so that a reaper finds what was started without a scan.
 * STEPS     What its thread does in the segment is cut into functions that need no thread and no loop, only a lane, the agents with
 *           their jobs, and RUN: the crash sweep steps through these.
 * PARKS     after a bounded spin: raise the bell, look at everything a last time, sleep in the loop.
 */
#ifndef AP_WORKER_H
#define AP_WORKER_H

#include "agents/runtime/agent.h"
#include "agents/runtime/loop.h"
#include "core/must_check.h"
#include "core/spin.h"

enum ap_worker_phase { AP_WORKER_OPENING, AP_WORKER_READY, AP_WORKER_FAILED };
enum ap_worker_command { AP_WORKER_WAIT, AP_WORKER_RUN, AP_WORKER_HOLD, AP_WORKER_STOP };

struct ap_delegation;

_Static_assert(AP_HANDS <= 32, "each hand of a lane has its bit in a worker");

struct ap_worker {
    struct ap_queen *queen;
    struct apiary *client;
    struct ap_segment *seg;
    uint32_t index;
    pthread_t thread;
    bool running; /* the thread is to be joined */

    struct ap_lane_context *context;
    struct ap_loop *loop;
    struct ap_agent **agents;
    size_t agent_count, first; /* whose turn it is */
    struct ap_agent *latest; /* that had a task last, NULL: none had */
    struct ap_agent *called; /* whose function was called last with a task; read by the queen's thread */
    struct ap_job *jobs; /* those of all its agents */
    uint32_t job_count, in_hand_count;
    uint32_t hands; /* bits of lane->hand[] in use */
    struct ap_agent *solo; /* the agent of a task that must run alone and waits for the others to finish */
    uint64_t solo_ref;
    bool solo_running;
    uint64_t now; /* read when a batch begins and when a task ends */
    struct ap_spin spin;
    struct ap_delegation *delegations, **delegations_end;
    uint32_t delegation_count;

    int result; /* with FAILED */
    bool told;  /* the queen has said that it does not come back */
    unsigned reopened; /* as of the loop's, when it was last said */
    char message[1024];

    uint32_t command AP_ALIGNED; /* futex; writer: queen */
    uint32_t drain;              /* how often the queen has asked to be told when nothing is left */
    uint32_t phase AP_ALIGNED;   /* writer: worker, as all below */
    uint32_t drained;            /* which of those has been answered */
    uint32_t turns, parked;      /* the queen's beat looks whether it goes round */
    struct ap_handed *handed AP_ALIGNED; /* stack; pushed by any thread, taken as a whole by the worker */
};

/* The queen's thread. Agents are set before start; start returns as soon as the thread runs. */
AP_MUST_CHECK int ap_worker_start(struct ap_worker *w);
void ap_worker_command(struct ap_worker *w, enum ap_worker_command command);
/* Wakes it to look at `drain`. */
void ap_worker_drain(struct ap_worker *w);
/* After STOP, or when it never ran: false when it has not ended `within` that time. */
AP_MUST_CHECK bool ap_worker_join(struct ap_worker *w, uint64_t within);

/* The steps of its thread, in this order. consume: the agents' queues, which are open, are drained from now on. serve: one turn of
 * what waits at the agents; returns how many were taken. rest: says what was done, raises the bell, looks a last time; true:
 * nothing is to be done, and it may sleep on the bell while that has this value. jobs_end: what agents have in hand fails. */
void ap_worker_consume(struct ap_worker *w);
int ap_worker_serve(struct ap_worker *w);
bool ap_worker_rest(struct ap_worker *w, uint32_t command, uint32_t *ret_bell);
void ap_worker_jobs_end(struct ap_worker *w);

/* The worker whose thread this is, or NULL. */
extern _Thread_local struct ap_worker *ap_worker_here __attribute__((tls_model("initial-exec")));
static inline struct ap_worker *ap_worker_self(void)
{
    return ap_worker_here;
}

/* worker_job.c. jobs_open: those of all agents, with their handles. jobs_close: when no thread of the worker's runs any more. */
AP_MUST_CHECK int ap_worker_jobs_open(struct ap_worker *w);
void ap_worker_jobs_close(struct ap_worker *w);
void ap_worker_start_task(struct ap_worker *w, struct ap_agent *agent, uint64_t ref);
int ap_worker_take_handed(struct ap_worker *w);
void ap_worker_publish(struct ap_agent *agent);

/* delegation.c. poll: at most `most` of them, with `reroute` also out of queues that nobody drains any more; returns how many
 * ended. due: the soonest deadline. end: all end with code. */
int ap_delegations_poll(struct ap_worker *w, uint32_t most, bool reroute);
/* One that is queued at an agent of the same worker which may start it: its reference, or 0. */
uint64_t ap_delegations_here(const struct ap_worker *w, struct ap_agent **ret);
uint64_t ap_delegations_due(const struct ap_worker *w);
void ap_delegations_end(struct ap_worker *w, int code);

#endif
