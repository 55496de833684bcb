/* agents/runtime/agent.h - the inside of an agent and of a job; private memory of the worker's thread, except where marked. */
#ifndef AP_AGENT_H
#define AP_AGENT_H

#include "agents/runtime/noted.h"
#include "agents/runtime/outlier.h"
#include "agents/runtime/pace.h"
#include "agents/runtime/takeover.h"
#include "agents/runtime/tallied.h"
#include "agents/runtime/arena.h"
#include "core/handle.h"
#include "core/apiary/agent.h"
#include "core/config.h"
#include "registry/client/client.h"
#include "registry/routing/retry.h"
#include "shm/times.h"

#define AP_AGENT_HANDS 64u /* jobs that an agent has at once by default; further tasks stay queued, for others */
#define AP_AGENT_HANDS_MAX 1024u
#define AP_AGENT_HELD 16u
#define AP_AGENT_ALONE UINT64_C(1000000000) /* ns for which a suspect is waited for, or waits */

struct ap_worker;
struct ap_queen;

struct ap_text_list {
    struct ap_text_list *next;
    const struct ap_node *node;
    size_t count;
    const char *texts[];
};

/* The mean by which providers are compared, after so many tasks. Some tasks take a hundred times as long as most, and say little of
 * the next one. A mean of few, or one that counts these in full, would send everything away from a provider and then back to it. */
#define AP_RUN_TIME_TASKS 32u /* the last of them have most of the weight */
#define AP_RUN_TIME_MOST 8u   /* times the mean: for so much one task counts at most */
AP_ALWAYS_INLINE uint64_t ap_agent_run_time(uint64_t mean, uint64_t took, uint64_t tasks)
{
    if (__builtin_expect(mean == 0, 0)) return took;
    if (__builtin_expect(tasks < AP_RUN_TIME_TASKS, 0)) return mean - mean / tasks + took / tasks;
    if (took > AP_RUN_TIME_MOST * mean) took = AP_RUN_TIME_MOST * mean;
    return mean - mean / AP_RUN_TIME_TASKS + took / AP_RUN_TIME_TASKS;
}

/* Known outside by its handle, from its making until its destroy has returned: apiary_agent_t is never defined. */
struct ap_agent {
    struct ap_handle *handle; /* NULL: destroyed */
    struct ap_queen *queen;
    struct ap_worker *worker;
    const apiary_agent_kind_t *kind;
    const char *name;          /* the queen's copy */
    const struct ap_node *config;  /* NULL: none */
    struct ap_config *config_tree; /* what the queen has made of the description's text; NULL: somebody else has the tree */
    void *state;
    bool created;
    struct ap_arena arena;
    struct ap_text_list *lists; /* handed out by apiary_agent_list */

    uint32_t queue;
    struct ap_consumer consumer;
    bool scanning; /* a scan of the table for lost references is under way */
    bool first_scan, scan_turn;
    uint64_t cursor;
    struct ap_job *jobs, *spare; /* `limit` of them, allocated once; the list of free ones */
    uint32_t in_hand, limit;     /* limit: AP_AGENT_HANDS, or the agent's own (apiary_agent_limit) */
    bool bounded;        /* one of its capabilities says how many may run at once (placed.h) */
    uint64_t held[AP_AGENT_HELD]; /* references that found no place and were counted, each where its slot's number leads */
    uint64_t stalled;    /* reference that a scan has found, which waits for a place; 0: none */
    uint64_t aside;      /* reference of a suspect that waits until nothing else is in hand; 0: none */
    uint64_t held_until; /* nothing else is started beside a suspect, or before one that waits; 0: it is */
    uint32_t misused; /* how often it has used a job that it had finished; writer: any of its threads */
    uint64_t started, done, failed, late, retried, run_time;
    struct ap_times *times; /* of its queue */
    struct ap_tallied tallied;
    struct ap_retry_budget budget;
    uint64_t told_second; /* the second of the last failure; failures in it that were logged, and that were not: */
    uint32_t told, untold;
    uint64_t entered_second; /* the second of the last failure in the event log; failures since then that are not there: */
    uint32_t unentered;
    uint64_t heap_due;    /* when its heap is told next */
    uint32_t shown;       /* `running`, as last published */
    uint32_t unpublished; /* tasks started or finished since */
    struct ap_outlier outlier;
    struct ap_pace pace;
    struct ap_takeover_place place;
};

/* Parts of a result, sent ahead of its end; job_part.c. */
struct ap_job_parts {
    bool streams; /* to a reader; else they are joined */
    int broken;   /* why the result cannot be whole any more; 0: it can */
    struct ap_stream_writer writer;
    uint8_t *joined;
    size_t size, capacity;
    apiary_part_fn ready; /* NULL: the agent does not wait */
    void *user;
};

enum ap_job_mark {
    AP_JOB_ALONE = 1, /* it has crashed a worker before */
    AP_JOB_TIMED = 2, /* timers.c: close_by, heartbeat, beaten and over are this job's */
    AP_JOB_PARTS = 4, /* it has sent a part: `parts` is this job's */
    AP_JOB_SHARED = 8, /* others may have its outcome (job_shared.c) */
    AP_JOB_SAMPLED = 16, /* its trace is recorded (noted.h) */
    AP_JOB_WAITED = 32, /* it has waited so long that it is slow */
    AP_JOB_TRIED = 64, /* its agent has failed it before: `said.failures` is this job's */
    AP_JOB_PROBE = 128, /* it is none */
    AP_JOB_NOTED = AP_JOB_SAMPLED | AP_JOB_WAITED,
};

/* The agent knows it by a handle that is valid for one task: apiary_job_t is never defined. */
struct ap_job { /* what other threads read of it: job_asked.c */
    struct ap_agent *agent;
    struct ap_handle *handle; /* raised when the job ends */
    struct ap_slot *at;
    uint32_t slot;
    int hand; /* of the lane, -1: none was free */
    uint64_t token;
    uint64_t pause_for, pause; /* apiary_job_retry: the handle for which it was said, and what */
    uint64_t handed; /* the handle that another thread has answered; the answer is on its way to the worker */
    bool busy; /* in an agent's hands; only the worker uses this */
    uint8_t marks; /* what few jobs have: enum ap_job_mark */
    uint8_t placed; /* its place among those that may run at once (placed.h), + 1; 0: it needs none */
    uint64_t close_by, heartbeat; /* UINT64_MAX, 0: none */
    uint64_t beaten, over;        /* the last beat; since when it takes too long, 0: it does not. Any thread of the agent's reads */
    struct ap_noted_said said; /* noted.h; of this job with AP_JOB_SAMPLED and AP_JOB_TRIED */
    uint64_t overran; /* the handle of the last job that was ended over its agent's head */
    uint16_t capability, caller;
    uint32_t size;
    const void *data;
    uint64_t deadline, started, waited;
    void *user;
    uint64_t reserved; /* block of apiary_job_reserve, 0: none */
    struct ap_job *next; /* in the agent's list of free jobs */
    char capability_name[APIARY_CAPABILITY_MAX + 1], caller_name[APIARY_NAME_MAX + 1];
    struct ap_job_parts parts;
};

/* An answer from another thread, on worker->handed. */
struct ap_handed {
    struct ap_handed *next;
    const apiary_job_t *job;
    int code;
    uint32_t agent_code;
    size_t size;
    uint8_t data[];
};

/* Finishes a job of the calling worker: DONE with code 0, else FAILED. Returns 0; the error with which storing the result, and so
 * the task, failed; or APIARY_ESTALE. */
int ap_job_finish(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size);
/* A block for the task's result, which its caller will hold. A result that nobody will collect is freed before a task that has run
 * loses its own. By the worker's thread, as the next. */
int ap_job_block(const struct ap_job *job, size_t size, uint64_t *ret);
/* The same for another task that the worker has in hand, in the slot `at`. */
int ap_job_block_for(const struct ap_job *job, const struct ap_slot *at, uint64_t token, size_t size, uint64_t *ret);
/* As ap_job_block, but the dead set makes no room for it. */
int ap_job_block_spare(const struct ap_job *job, size_t size, uint64_t *ret);
/* Stores a result that is in the block that the agent has reserved, or needs one. */
int ap_job_store_block(struct ap_job *job, const void *data, size_t size);
/* job_part.c. finish: finishes a job that has sent parts, DONE or FAILED, as ap_job_finish does. drop: forgets them. look: calls
 * agents whose readers have caught up, or will not; returns how many, and lowers *due to when one is to be called at the latest.
 * ready: whether there is such a one. */
int ap_job_parts_finish(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size);
void ap_job_parts_drop(struct ap_job *job);
int ap_job_parts_look(struct ap_worker *w, uint64_t now, uint64_t *due);
bool ap_job_parts_ready(const struct ap_worker *w);
/* job.c: a failure is told in the agent's log; the end of any job, for that of one with parts. */
void ap_job_tell(struct ap_job *job, int code, uint32_t agent_code, const void *text, size_t size);
int ap_job_end(struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size);
/* job_shared.c. Of a job whose token is its word still, before it ends so: those that follow it have the same (shm/follow.h). */
void ap_job_share(const struct ap_job *job, int code, uint32_t agent_code, const void *data, size_t size);
/* job_asked.c. asked: the job of a handle, NULL: it has ended, and the agent's log says that it was asked. stale: the error for one
 * that is answered. misused: tells what an agent does. */
struct ap_job *ap_job_asked(const apiary_job_t *handle);
int ap_job_stale(const apiary_job_t *handle, const char *what);
void ap_job_misused(struct ap_agent *agent, const char *what);
const char *ap_job_capability(struct ap_job *job);
apiary_task_t ap_job_task(const struct ap_job *job);
/* Ends a job that takes too long, over its agent's head. */
void ap_job_overrun(struct ap_job *job);
/* Finishes a job with an answer from another thread, and frees the answer. */
void ap_job_finish_handed(struct ap_handed *handed);

/* Keeps the reason why the agent cannot be made for the worker's message, with its place in the configuration. */
void ap_agent_explain(struct ap_agent *agent, const char *sentence);
void ap_agent_lists_free(struct ap_agent *agent);
/* Tells how large its heap is, and when that is to be told next. By its worker. */
#define AP_HEAP_TOLD UINT64_C(10000000000) /* ns */
void ap_agent_heap_tell(struct ap_agent *agent, uint64_t now);
void ap_agent_log(struct ap_agent *agent, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* NULL: the agent has ended. */
static inline struct ap_agent *ap_agent_of(const apiary_agent_t *name)
{
    return ap_handle_get_as(name, AP_HANDLE_AGENT);
}

/* The error for such a name. */
static inline int ap_agent_missing(const apiary_agent_t *name)
{
    return name != NULL ? APIARY_ESTALE : APIARY_EINVAL;
}

#endif
