/* apiary/agent.h - for writing an agent: a plug-in, or a handler in a program with a queen of its own.
 *
 * The conventions are those of <apiary.h>. An agent's functions run on its worker's thread. Functions that other threads may call
 * say so.
 */
#ifndef APIARY_AGENT_H
#define APIARY_AGENT_H

#include "../apiary.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct apiary_agent apiary_agent_t; /* one agent of a queen, as the agent's functions see it */
typedef struct apiary_job apiary_job_t;     /* one task in the hands of an agent */

#define APIARY_AGENT_ABI 3u
/* Each kind begins with this. */
#define APIARY_AGENT_KIND                                                    \
    .struct_size = sizeof(apiary_agent_kind_t), .abi = APIARY_AGENT_ABI,     \
    .key_size = sizeof(apiary_agent_key_t)

/* One key of an agent's configuration. A key that is not declared, or a value of another type or out of bounds, is refused with
 * file and line before an agent is made. */
typedef struct apiary_agent_key {
    const char *name;
    char type;    /* 's' text, 'i' whole number, 'b' true/false, 'l' list of texts, 'd' duration (ns), 'z' size (bytes),
                   'o' text: the option of a delegation that has the key's name (apiary_option_set),
                   'p' path: a relative one begins at the folder of the configuration, 'c' list of texts: a program (a name in PATH,
                   or a path as 'p'; it must exist) and its arguments; never empty */
    char required;
    const char *what;
    int64_t min, max; /* bounds of i, d (ns) and z (bytes); both 0: any, but d and z are never negative */
} apiary_agent_key_t;

/* Whether an agent keeps anything from one task to the next, so that the answer depends on which of several is asked. */
#define APIARY_STATE_AGENT 1u /* its own: a cache, a ledger */
#define APIARY_STATE_QUEEN 2u /* its swarm's: in the local memory, which all agents of the service have in common */

typedef struct apiary_agent_kind {
    size_t struct_size;
    uint32_t abi;      /* APIARY_AGENT_ABI */
    uint32_t key_size; /* of an element of `keys` */
    const char *name;
    const char *what;                 /* one line for `apiary kinds` */
    const apiary_agent_key_t *keys;   /* ends with name == NULL; may be NULL */
    /* Returns 0 or an error; say why with apiary_agent_log. May be NULL: then `state` is NULL. */
    int (*create)(apiary_agent_t *agent, void **state);
    /* Called on the worker's thread for each task. Finish the job now, or keep it and finish it later. */
    void (*handle)(void *state, apiary_job_t *job);
    void (*destroy)(void *state); /* after the last job; may be NULL */
    const char *const *capabilities; /* the capabilities that it can have, ends with NULL; an agent that is to offer another one is
                                        refused. NULL: any that the agent is configured for */
    uint32_t state; /* APIARY_STATE_*; 0: none. A configuration that has several of such an agent has to call its capabilities
                       stateful, so that not whoever is asked answers */
    uint32_t reserved;
    const char *state_unless; /* the key with which it keeps none, as a file that all read; may be NULL */
} apiary_agent_kind_t;

/* A plug-in exports `const apiary_agent_kind_t *apiary_agent_plugin(void)`. */
#define APIARY_AGENT_PLUGIN_SYMBOL "apiary_agent_plugin"

/* The agent's surroundings.
 * 1 Strings live as long as the agent: until its `destroy` has returned.
 * 2 After that the agent is never taken for another one. The names are "", the handle is NULL, there is no configuration, nothing
 *   is logged or allocated, and functions that return an error return APIARY_ESTALE. */
APIARY_API const char *apiary_agent_name(const apiary_agent_t *agent);
APIARY_API const char *apiary_agent_service(const apiary_agent_t *agent);
APIARY_API apiary_t *apiary_agent_handle(const apiary_agent_t *agent); /* the queen's, for discover, swarm_status and claims */
APIARY_API const char *apiary_agent_text(const apiary_agent_t *agent, const char *key, const char *otherwise);
APIARY_API int64_t apiary_agent_number(const apiary_agent_t *agent, const char *key, int64_t otherwise);
APIARY_API size_t apiary_agent_list(const apiary_agent_t *agent, const char *key, const char *const **ret);
APIARY_API void apiary_agent_log(apiary_agent_t *agent, int level, const char *format, ...)
    APIARY_PRINTF(3, 4); /* levels as syslog's: 3 error, 4 warning, 6 info, 7 debug */
/* The same with a whole text, for callers that cannot use variable arguments. */
APIARY_API void apiary_agent_log_text(apiary_agent_t *agent, int level, const char *text, size_t size);

/* In `create`: how many jobs the agent has in hand at once.
 * 1 From 1 to 1024; other values become the nearest of these. 64 unless this is called.
 * 2 Further tasks stay in the agent's queue. There they are counted as waiting, and can move to another instance.
 * 3 APIARY_EINVAL after `create`. */
APIARY_API int apiary_agent_limit(apiary_agent_t *agent, uint32_t jobs);

/* The agent's heap: a jemalloc arena of its own where the process has jemalloc, else malloc. Only on the worker's
 * thread: on another one alloc and resize return NULL, free does nothing. apiary_agent_free takes NULL. */
APIARY_API void *apiary_agent_alloc(apiary_agent_t *agent, size_t size);
APIARY_API void *apiary_agent_resize(apiary_agent_t *agent, void *block, size_t size);
APIARY_API void apiary_agent_free(apiary_agent_t *agent, void *block);
APIARY_API size_t apiary_agent_allocated(apiary_agent_t *agent); /* bytes in use */

/* The swarm's local memory: keys and values that all agents of a service have in common, in each instance and process, copied in
 * and out. Any thread of the agent's.
 * 1 It lies in the segment (apiary_memory_open with APIARY_MEMORY_LOCAL) and outlives the queen's process.
 * 2 put: at most APIARY_MEMORY_VALUE_MAX bytes (APIARY_ETOOLARGE). APIARY_ETABLEFULL, _ENOBLOCK, _ESHARE: there is no room.
 * 3 get: the size, or APIARY_ESTALE when absent; at most `capacity` bytes are copied. delete: APIARY_ESTALE when absent.
 * 4 incr: as apiary_memory_incr; other agents may add at the same time. */
APIARY_API int apiary_local_put(apiary_agent_t *agent, const char *key, const void *value, size_t size);
APIARY_API int64_t apiary_local_get(apiary_agent_t *agent, const char *key, void *value, size_t capacity);
APIARY_API int apiary_local_delete(apiary_agent_t *agent, const char *key);
APIARY_API int apiary_local_incr(apiary_agent_t *agent, const char *key, int64_t by, int64_t *ret);

/* The folder for the files of the agent's service, in the state directory, by segment and service. Any thread of the agent's.
 * 1 It is made when it is asked for first, for the queen's user alone (mode 0700). The path is absolute.
 * 2 All agents of the service have it in common, in each instance on this host. An agent that wants a place of its own takes a
 *   folder of its name in it. A file that several may write is to be whole at each moment, whoever else writes and whoever is
 *   killed: written under a name of its own, then renamed; or a database.
 * 3 It outlives all processes and the segment. The next segment of that name has it, another one does not.
 * 4 APIARY_ESYS: there is none, since nothing names a state directory, it cannot be written in, or the folder is not the queen's
 *   user's alone to write. The log says which. Asked for again, it is looked for again. */
APIARY_API int apiary_agent_folder(apiary_agent_t *agent, const char **ret);

/* The job in hand; any thread of the agent's may call these.
 * 1 The body is in the segment: read it in place, trust nothing in it, and copy a value before checking it.
 * 2 A handle is valid until its job is finished, and never becomes another job's. After that, data, agent and user are NULL, the
 *   names are "", the deadline is 0, the job is cancelled, and the log names the agent that misused the handle. */
APIARY_API const void *apiary_job_data(const apiary_job_t *job, size_t *size);
APIARY_API const char *apiary_job_capability(const apiary_job_t *job);
/* The calling service, "" if none; of a task that a gate has passed on (see job_delegate), the one that asked the gate. */
APIARY_API const char *apiary_job_caller(const apiary_job_t *job);
APIARY_API uint64_t apiary_job_deadline(const apiary_job_t *job);  /* CLOCK_MONOTONIC; APIARY_FOREVER if none */
APIARY_API int apiary_job_cancelled(const apiary_job_t *job); /* or given up, or past its deadline, or told to stop by a timer */
/* The agent is at work: begins the time of `heartbeat` anew, and says how far it has come (apiary_progress), in at most
 * APIARY_PROGRESS_MAX bytes; more are cut off. size 0: nothing new. Any thread of the agent's.
 * 1: the task was cancelled, was given up, or takes too long: stop, and fail it. 0: go on. APIARY_ESTALE, _EINVAL. */
APIARY_API int apiary_job_beat(apiary_job_t *job, const char *text, size_t size);
APIARY_API apiary_task_t apiary_job_task(const apiary_job_t *job);    /* the task, as its caller knows it */
APIARY_API uint32_t apiary_job_attempt(const apiary_job_t *job);      /* 1; more after deaths and failures of earlier ones */
/* 1: the trace that the agent passes on to others when it asks them for the task's sake; its parent_id names the task. 0: the task
 * is in no trace. */
APIARY_API int apiary_job_trace(const apiary_job_t *job, apiary_trace_t *ret);
APIARY_API apiary_agent_t *apiary_job_agent(const apiary_job_t *job);
APIARY_API void *apiary_job_user(const apiary_job_t *job); /* a pointer of the agent's own, kept with the job */
APIARY_API void apiary_job_set_user(apiary_job_t *job, void *user);

/* Finish the job, once.
 * 1 The job is gone afterwards. A second answer of any kind is refused with APIARY_ESTALE, and logged.
 * 2 Only on the worker's thread; APIARY_EINVAL on another.
 * 3 A result of more than 64 bytes lies in a payload block. If no block is free, the result is written over the request, which is
 *   not to be read after the answer. If it does not fit there (a request of up to 64 bytes has no block), the task has run in
 *   vain: it fails with APIARY_ENORESULT, and APIARY_ENOBLOCK is returned.
 * 4 A result that is too large for any block fails the task with APIARY_ETOOLARGE, which is also returned.
 * 5 A failure's text may be cut, and then ends in "...": at 1 KiB when it is made from a format, at 64 bytes when no block is
 *   free.
 * 6 Failures go to the swarm's `log` at level 5, at most ten a second.
 * 7 An agent whose tasks fail is passed over for a time where another provider is there. A failure with an `agent_code` from 400 to
 *   499 says that the request is wrong, and does not count. */
APIARY_API int apiary_job_reply(apiary_job_t *job, const void *data, size_t size);
APIARY_API int apiary_job_fail(apiary_job_t *job, uint32_t agent_code, const char *format, ...)
    APIARY_PRINTF(3, 4);
/* The same with a whole text, for callers that cannot use variable arguments. */
APIARY_API int apiary_job_fail_text(apiary_job_t *job, uint32_t agent_code, const char *text, size_t size);
/* Write a large result in place: reserve, fill, then reply with the same pointer. APIARY_ENOBLOCK: no block is free. An answer from
 * memory of the agent's own may still find room, as statement 3 above says. */
APIARY_API int apiary_job_reserve(apiary_job_t *job, size_t size, void **ret);

/* Sends a part of the result ahead of its end (apiary_next_part), whole or not at all. The job is then finished as any: with what
 * follows the parts, which may be nothing, or with a failure.
 * 1 A caller that does not ask for parts gets them joined, as one result. Parts that nobody will read, since the task was given up
 *   or its caller has died, are dropped, and 0 is returned.
 * 2 APIARY_EBEHIND: the reader is behind, and nothing was sent. apiary_job_part_ready has the function called, once, when it has
 *   caught up, the task is cancelled or given up, or its deadline has passed; then the part is sent again. Not if the job has been
 *   finished by then.
 * 3 APIARY_ETOOLARGE: the part is larger than the window of the capability (parts_window), or the joined result than any block.
 *   APIARY_EOVERRUN: the deadline has passed, and the reader is behind. In the latter two cases the task fails with that, whatever
 *   the answer: it cannot be whole.
 * 4 APIARY_ENOBLOCK: no memory. Where there is no block for a window, parts are joined as for a caller that does not ask.
 * 5 Only on the worker's thread; APIARY_EINVAL on another. APIARY_ESTALE: the job has its answer already. */
APIARY_API int apiary_job_part(apiary_job_t *job, const void *data, size_t size);
typedef void (*apiary_part_fn)(void *user, apiary_job_t *job);
APIARY_API int apiary_job_part_ready(apiary_job_t *job, apiary_part_fn fn, void *user);

/* Before the job is failed: when its task is tried again, if its caller has it tried again at all: after `after` ns, instead of the
 * pause of the caller's policy; APIARY_FOREVER: not again. Any thread of the agent's. APIARY_ESTALE. */
APIARY_API int apiary_job_retry(apiary_job_t *job, uint64_t after);

/* Hands the result over from any other thread of the process; the worker finishes the job. `failed`: 0, or the agent_code of a
 * failure whose text is the data. The data is copied; where there is no memory for it, the task fails with APIARY_ENOBLOCK, which
 * is also returned. APIARY_ESTALE: the job has its answer already. */
APIARY_API int apiary_job_finish_from_thread(apiary_job_t *job, int failed, const void *data, size_t size);

/* Delegate from inside an agent, with options as for apiary_delegate (NULL: none).
 * 1 execute_task stays in this swarm; delegate_external_task and job_delegate go to the best provider anywhere.
 * 2 `done` is called on the worker's thread, and the result is valid only during that call.
 * 3 `done` must be NULL with APIARY_DETACH, and not NULL without.
 * 4 When the service has max_concurrent_delegations under way, the delegation waits until one of them has ended, in the order in
 *   which agents asked, until its deadline at the longest. 0 is returned, and whatever refuses it then comes to `done`.
 *   APIARY_ELIMIT: a thousand wait already. A task whose own delegation waits keeps the ticket of its caller, so services that
 *   delegate to themselves need a bound above the depth of that.
 * 5 A task that is delegated in the function `handle`, or in the `done` of one delegated so, is a child of that job's task;
 *   job_delegate says of which, also in the callback of a watch. A child has at most the time that the job has left, and ends
 *   with it as `parent_close` says, over any depth.
 * 6 The job's worker looks to that, between two calls of agents. When it dies, orphans are cancelled by whoever recovers it: the
 *   job is run again, and its agent delegates anew. A worker whose thread does not come back leaves them to their deadlines.
 * 7 An agent that is the gate of a capability (the rule `via`) has its tasks first, as tasks of the gate's own capability. When it
 *   delegates to that capability for the sake of such a job, it passes the task on: it gets to the providers, which nothing else
 *   does, and the caller that they see is that of the job.
 * 8 APIARY_ECANCELLED: the job has ended, or is to stop. APIARY_ETIMEDOUT: it has no time left. Neither with
 *   APIARY_PARENT_ABANDON. APIARY_ESTALE: the job that is named has ended. */
typedef void (*apiary_done_fn)(void *user, const apiary_result_t *result);
APIARY_API int apiary_agent_execute_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                                         const apiary_delegate_options_t *options, apiary_done_fn done, void *user);
APIARY_API int apiary_agent_delegate_external_task(apiary_agent_t *agent, const char *capability, const void *body,
                                                   size_t size, const apiary_delegate_options_t *options,
                                                   apiary_done_fn done, void *user);
APIARY_API int apiary_job_delegate(apiary_job_t *job, const char *capability, const void *body, size_t size,
                                   const apiary_delegate_options_t *options, apiary_done_fn done, void *user);

/* Descriptors and timers in the worker's own loop (its io_uring).
 * 1 Callbacks run on the worker's thread. Only that thread may call these functions; APIARY_EINVAL on another.
 * 2 events: POLLIN, POLLOUT.
 * 3 A watch lasts until it is closed. A timer fires once, but its watch lasts until it is closed, too. With `ret` NULL a watch
 *   cannot be closed.
 * 4 APIARY_ENOBLOCK. */
typedef struct apiary_watch apiary_watch_t;
typedef void (*apiary_watch_fn)(void *user, uint32_t events);
APIARY_API int apiary_watch_fd(apiary_agent_t *agent, int fd, uint32_t events, apiary_watch_fn fn, void *user,
                               apiary_watch_t **ret);
APIARY_API int apiary_watch_timer(apiary_agent_t *agent, uint64_t after, apiary_watch_fn fn, void *user,
                                  apiary_watch_t **ret);
/* NULL is allowed. APIARY_ESTALE: the watch is closed already. */
APIARY_API int apiary_watch_close(apiary_watch_t *watch);

#ifdef __cplusplus
}
#endif
#endif
