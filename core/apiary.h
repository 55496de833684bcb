/* apiary.h - delegate a task by capability to an agent in another process, through shared memory.
 *
 * One header, C11, clean from C++. Every function returns 0 (or a count) or one of the negative values of
 * enum apiary_error; outputs are untouched on failure. The library never prints, never exits, and blocks only in the
 * functions that say so. All times are nanoseconds, all sizes are bytes, unless the name says otherwise.
 *
 * Threads: a handle may be used by every thread of the process that attached it. Each thread that delegates gets a
 * lane of its own on first use and gives it back when it ends. After fork() the child must attach again: the calls
 * on the parent's handle return APIARY_EFORKED there.
 */
#ifndef APIARY_H
#define APIARY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* With APIARY_PLAIN the preprocessed header is C11 without extensions, for parsers of foreign-function interfaces. */
#if defined(__GNUC__) && !defined(APIARY_PLAIN)
#define APIARY_API __attribute__((visibility("default")))
#define APIARY_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define APIARY_API
#define APIARY_PRINTF(text, first)
#endif

#define APIARY_DEFAULT_SEGMENT "/apiary"
#define APIARY_NAME_MAX 47        /* bytes of a service, instance or agent name */
#define APIARY_CAPABILITY_MAX 63  /* bytes of "name" or "name@major" */
#define APIARY_FOREVER UINT64_MAX /* a timeout that never comes */

/* ---- errors --------------------------------------------------------------------------------------------------- */

enum apiary_error {
#define X(name, number, text, advice) name = -(number),
#include "apiary_error.def"
#undef X
};

/* The text of an error and what to do about it; never NULL, static storage. Unknown values give a generic text. */
APIARY_API const char *apiary_strerror(int error);
APIARY_API const char *apiary_advice(int error);
APIARY_API const char *apiary_error_name(int error); /* "APIARY_EQUEUEFULL" */
APIARY_API const char *apiary_version(void);         /* "0.1.0" */

/* ---- attach --------------------------------------------------------------------------------------------------- */

typedef struct apiary apiary_t; /* an attached member; owned by the caller until apiary_detach */

enum apiary_member_kind { APIARY_CLIENT = 1, APIARY_QUEEN, APIARY_DAEMON, APIARY_TOOL };

typedef struct apiary_attach_options {
    const char *name;             /* how `apiary status` calls this member; NULL: the program's name */
    const char *swarm;            /* the service this member calls for (its bulkhead); NULL: none */
    enum apiary_member_kind kind; /* 0: APIARY_CLIENT */
    int read_only;                /* observers: no lane, nothing is written */
    char *message;                /* filled on failure: what was met and what to do; "..." at its end: cut; may be NULL */
    size_t message_size;
} apiary_attach_options_t;

/* Attaches by name ("/apiary"; NULL: $APIARY_SEGMENT or the default). options may be NULL. Never waits.
 * APIARY_ENOSEG, _ECREATING, _ECREATOR, _EVERSION, _ETOOSMALL, _ENOTOURS, _EPERM, _ENOLANE, _ENOBLOCK; _ETIMENS where deadlines
 * would mean something else; _ENOTSUP where the system does not tell of deaths, as under some filters of system calls. */
APIARY_API int apiary_attach(const char *segment, const apiary_attach_options_t *options, apiary_t **ret);

/* The same by handle: a descriptor of the segment, inherited or received over a Unix socket. It is duplicated. */
APIARY_API int apiary_attach_fd(int fd, const apiary_attach_options_t *options, apiary_t **ret);

/* The segment's descriptor, to be passed on; valid until detach, owned by the handle. */
APIARY_API int apiary_segment_fd(const apiary_t *a);

/* Gives everything back and frees the handle. Tasks still open go on, their results are dropped. By any thread, while others
 * that have used the handle live on; but none may use it during or after the call. NULL is allowed. */
APIARY_API int apiary_detach(apiary_t *a);

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

typedef struct apiary_task { /* names one delegation for the life of the segment; a plain value */
    uint32_t slot;
    uint32_t epoch;
    uint64_t generation;
} apiary_task_t;

enum apiary_delegate_flags {
    APIARY_DETACH = 1u, /* fire and forget: the task cannot be awaited and is freed when it finishes */
};

typedef struct apiary_delegate_options {
    uint64_t timeout; /* schedule to close; 0: the segment's task_timeout (60 s) */
    uint32_t flags;   /* enum apiary_delegate_flags */
} apiary_delegate_options_t;

typedef struct apiary_result {
    const void *data; /* read in place; valid until apiary_release */
    size_t size;
    int code;             /* 0, or why the task failed: APIARY_EAGENT (data is the text), _ETIMEDOUT, ... */
    uint32_t agent_code;  /* the agent's own number for a failure; 0 with success */
    uint32_t attempts;    /* how often the task was started, crashes included */
    apiary_task_t task;
} apiary_result_t;

/* Delegates `size` bytes to the best living agent that offers `capability`; they are copied once. Never blocks.
 * `ret` may be NULL only with APIARY_DETACH (fire and forget).
 * APIARY_ENOCAP, _ENOPROVIDER, _EQUEUEFULL, _ENOSLOT, _ENOBLOCK, _ELIMIT, _ETOOLARGE, _ENOLANE. */
APIARY_API int apiary_delegate(apiary_t *a, const char *capability, const void *body, size_t size,
                               const apiary_delegate_options_t *options, apiary_task_t *ret);

/* Borrows a block of the segment to write a large body in place; delegate it with apiary_delegate_loan (which takes
 * it over on success) or give it back with apiary_unloan. APIARY_ENOBLOCK, _ETOOLARGE. */
APIARY_API int apiary_loan(apiary_t *a, size_t size, void **ret);
APIARY_API int apiary_unloan(apiary_t *a, void *body);
APIARY_API int apiary_delegate_loan(apiary_t *a, const char *capability, void *body, size_t size,
                                    const apiary_delegate_options_t *options, apiary_task_t *ret);

/* Waits for a task.
 * 1 Blocks until the task is finished, for `timeout`, or until the task's own deadline, whichever comes first.
 * 2 Returns 0 when the task is finished. The result is filled, and must be released. A task that failed is a 0 with result.code
 *   set.
 * 3 APIARY_ENOTREADY after `timeout`: the task goes on.
 * 4 APIARY_ETIMEDOUT after its deadline: the task is given up. A worker that has it may still finish it, unseen.
 * 5 APIARY_ESTALE: there is no such task any more. APIARY_EINTERRUPTED: see apiary_interrupt.
 * 6 Any thread may await a task, but one at a time: when two await or poll the same task, one may be handed what the other has
 *   released.
 * 7 A signal ends no wait, neither here nor below. A thread that is to notice signals waits with a timeout and looks in
 *   between, or has another thread call apiary_interrupt.
 * 8 Every function that waits for tasks is a cancellation point of pthread_cancel while it sleeps. A task that was awaited goes
 *   on and may be awaited by another thread. The task of an apiary_call is given up. */
APIARY_API int apiary_await(apiary_t *a, apiary_task_t task, uint64_t timeout, apiary_result_t *ret);

/* The same without blocking. */
APIARY_API int apiary_poll(apiary_t *a, apiary_task_t task, apiary_result_t *ret);

/* Ends all waits of the handle that are under way in other threads, with APIARY_EINTERRUPTED.
 * 1 The tasks of apiary_await, _await_any and _await_batch go on. apiary_call and its like give theirs up.
 * 2 A wait that begins later is not ended. A caller that cannot know whether a thread waits already repeats the call until that
 *   thread says so.
 * 3 Any thread may call this. It costs a system call for each thread that sleeps. */
APIARY_API int apiary_interrupt(apiary_t *a);

/* Blocks until one of the calling thread's `n` tasks is finished and returns its position in `tasks`. A task whose own
 * deadline passes is given up and counts as finished: result.code is APIARY_ETIMEDOUT, data NULL. */
APIARY_API int apiary_await_any(apiary_t *a, const apiary_task_t *tasks, size_t n, uint64_t timeout,
                                apiary_result_t *ret);

/* One request of a batch; `timeout` and `flags` as in apiary_delegate_options_t. */
typedef struct apiary_request {
    const char *capability;
    const void *body;
    size_t size;
    uint64_t timeout;
    uint32_t flags;
} apiary_request_t;

/* Delegates requests in their order, as apiary_delegate does, but wakes each worker once for many. Any thread.
 * 1 Stops at the first request that cannot be delegated, and returns its error.
 * 2 In any case *submitted says how many were delegated: exactly requests 0 to *submitted - 1 are under way. Their names are in
 *   `tasks`, whose other elements are untouched.
 * 3 `tasks` may be NULL when all are fire and forget.
 * 4 Errors: those of apiary_delegate; APIARY_EINVAL with *submitted 0 for NULL arguments or no request. */
APIARY_API int apiary_delegate_batch(apiary_t *a, const apiary_request_t *requests, size_t count, apiary_task_t *tasks,
                                     size_t *submitted);

/* Blocks until all `n` tasks are finished, or for `timeout`. results[i] is the result of tasks[i].
 * 1 A task whose own deadline passes is given up and counts as finished, as in apiary_await_any.
 * 2 Returns 0, or the error of the first task without a result (APIARY_ENOTREADY after `timeout`, APIARY_ESTALE).
 * 3 In any case *finished says how many results are filled, from the first on. Each of them is to be released. The other tasks
 *   go on and may be awaited again. */
APIARY_API int apiary_await_batch(apiary_t *a, const apiary_task_t *tasks, size_t n, uint64_t timeout,
                                  apiary_result_t *results, size_t *finished);

/* Frees the task and its result. The result is cleared. */
APIARY_API int apiary_release(apiary_t *a, apiary_result_t *result);

/* delegate + await + copy + release in one call; blocks until the deadline. At most `capacity` bytes of the result are
 * copied to `result`; *size is its full size. Returns 0 or the task's code (a failed agent's text is copied, too). */
APIARY_API int apiary_call(apiary_t *a, const char *capability, const void *body, size_t body_size, uint64_t timeout,
                           void *result, size_t capacity, size_t *size);

/* Takes a queued task back at once. A running task goes on, and its agent may look (apiary_job_cancelled). A task that has
 * ended stays as it is, and is still to be collected. 0, APIARY_ESTALE. */
APIARY_API int apiary_cancel(apiary_t *a, apiary_task_t task);

/* A descriptor that becomes readable when a task of the calling thread may have finished, or (up to a second later) has
 * passed its deadline; for epoll and event loops. Read 8 bytes to clear it, then poll the tasks. Owned by the handle. */
APIARY_API int apiary_lane_fd(apiary_t *a);

/* ---- discovery ------------------------------------------------------------------------------------------------ */

typedef struct apiary_provider {
    char service[APIARY_NAME_MAX + 1];
    char instance[APIARY_NAME_MAX + 1];
    char agent[APIARY_NAME_MAX + 1];
    int64_t pid;        /* of the queen, in its own pid namespace */
    uint32_t in_flight; /* tasks queued and running at the agent */
    uint32_t alive;     /* 0: known, but its process is gone */
} apiary_provider_t;

/* The providers of a capability: fills at most `capacity` rows and returns how many there are. A read of the segment, no lock.
 * APIARY_ENOCAP. */
APIARY_API int apiary_discover(apiary_t *a, const char *capability, apiary_provider_t *ret, size_t capacity);

/* ---- swarms: queens, agents ----------------------------------------------------------------------------------- */

typedef struct apiary_queen apiary_queen_t; /* a registered swarm instance with its workers */
typedef struct apiary_agent apiary_agent_t; /* one agent inside it, as the agent's functions see it */
typedef struct apiary_job apiary_job_t;     /* one task in the hands of an agent */

#define APIARY_AGENT_ABI 2u

/* One key of an agent's configuration. A key that is not declared, and a value of another type or out of its bounds, is refused
 * with file and line before an agent is made. */
typedef struct apiary_agent_key {
    const char *name;
    char type;    /* 's' text, 'i' whole number, 'b' true/false, 'l' list of texts, 'd' duration (ns), 'z' size (bytes),
                   'p' path: a relative one begins at the folder of the configuration, 'c' list of texts, a program (a name to be
                   found in PATH, or a path as 'p'; it must be there) and its arguments */
    char required;
    const char *what;
    int64_t min, max; /* what i, d (ns) and z (bytes) may be; both 0: any, but d and z are never negative */
} apiary_agent_key_t;

typedef struct apiary_agent_kind {
    uint32_t abi; /* APIARY_AGENT_ABI */
    const char *name;
    const char *what;                 /* one line for `apiary kinds` */
    const apiary_agent_key_t *keys;   /* ends with name == NULL; may be NULL */
    /* 0 or an error; say why with apiary_agent_log. May be NULL: `state` is NULL. */
    int (*create)(apiary_agent_t *agent, void **state);
    /* Called on the worker's thread for each task. Finish the job now, or keep it and finish it later. */
    void (*handle)(void *state, apiary_job_t *job);
    void (*destroy)(void *state); /* after the last job; may be NULL */
    const char *const *capabilities; /* what it can be asked for, ends with NULL; an agent that is to offer anything else is
                                        refused. NULL: whatever the agent is configured for */
} apiary_agent_kind_t;

/* What a plug-in exports: `const apiary_agent_kind_t *apiary_agent_plugin(void)`. */
#define APIARY_AGENT_PLUGIN_SYMBOL "apiary_agent_plugin"

/* The agent's surroundings. Strings live as long as the agent. */
APIARY_API const char *apiary_agent_name(const apiary_agent_t *agent);
APIARY_API const char *apiary_agent_service(const apiary_agent_t *agent);
APIARY_API apiary_t *apiary_agent_handle(const apiary_agent_t *agent); /* the queen's, for discover and swarm_status */
APIARY_API const char *apiary_agent_text(const apiary_agent_t *agent, const char *key, const char *otherwise);
APIARY_API int64_t apiary_agent_number(const apiary_agent_t *agent, const char *key, int64_t otherwise);
APIARY_API size_t apiary_agent_list(const apiary_agent_t *agent, const char *key, const char *const **ret);
APIARY_API void apiary_agent_log(apiary_agent_t *agent, int level, const char *format, ...)
    APIARY_PRINTF(3, 4); /* levels as syslog's: 3 error, 4 warning, 6 info, 7 debug */
/* The same with a whole text, for callers that cannot use variable arguments. */
APIARY_API void apiary_agent_log_text(apiary_agent_t *agent, int level, const char *text, size_t size);

/* In `create`: how many jobs the agent has in hand at once, 1 to 1024 (64 unless this is called; other values become the nearest of
 * these). The rest stays in its queue, where it is seen, counted as waiting, and can move to another instance. APIARY_EINVAL after
 * `create`. */
APIARY_API int apiary_agent_limit(apiary_agent_t *agent, uint32_t jobs);

/* The agent's heap: a jemalloc arena of its own where the process has jemalloc, else malloc. Only on the worker's
 * thread: on another one alloc and resize return NULL, free does nothing. apiary_agent_free takes NULL. */
APIARY_API void *apiary_agent_alloc(apiary_agent_t *agent, size_t size);
APIARY_API void *apiary_agent_resize(apiary_agent_t *agent, void *block, size_t size);
APIARY_API void apiary_agent_free(apiary_agent_t *agent, void *block);
APIARY_API size_t apiary_agent_allocated(apiary_agent_t *agent); /* bytes in use */

/* The swarm's local memory, shared by the agents of one queen process: key/value, copied in and out.
 * get: the size, or APIARY_ESTALE when absent; at most `capacity` bytes are copied. */
APIARY_API int apiary_local_put(apiary_agent_t *agent, const char *key, const void *value, size_t size);
APIARY_API int64_t apiary_local_get(apiary_agent_t *agent, const char *key, void *value, size_t capacity);
APIARY_API int apiary_local_delete(apiary_agent_t *agent, const char *key);

/* The job in hand; any thread of the agent's may ask. The body is in the segment: read it in place, trust nothing in it,
 * copy what is checked. A handle is good until its job is finished, and is never one of another job: after that, data,
 * agent and user are NULL, the names are "", the deadline is 0, it is cancelled, and the log says whose fault that is. */
APIARY_API const void *apiary_job_data(const apiary_job_t *job, size_t *size);
APIARY_API const char *apiary_job_capability(const apiary_job_t *job);
APIARY_API const char *apiary_job_caller(const apiary_job_t *job); /* the calling service, "" if none */
APIARY_API uint64_t apiary_job_deadline(const apiary_job_t *job);  /* CLOCK_MONOTONIC; APIARY_FOREVER if none */
APIARY_API int apiary_job_cancelled(const apiary_job_t *job);
APIARY_API apiary_task_t apiary_job_task(const apiary_job_t *job);    /* the name by which its caller knows it */
APIARY_API uint32_t apiary_job_attempt(const apiary_job_t *job);      /* 1, more after crashes of those that had it before */
APIARY_API apiary_agent_t *apiary_job_agent(const apiary_job_t *job);
APIARY_API void *apiary_job_user(const apiary_job_t *job); /* a pointer of the agent's own, kept with the job */
APIARY_API void apiary_job_set_user(apiary_job_t *job, void *user);

/* Finish it, once; the job is gone afterwards: a second answer, of whatever kind, is refused with APIARY_ESTALE and told in
 * the log. Only on the worker's thread, APIARY_EINVAL on another. A result of more than 64 bytes lies in a payload block. If none
 * is free it is written over the request, which is not to be read after the answer; if it does not fit there (a request of up to
 * 64 bytes has no block) the task has run in vain: it fails with APIARY_ENORESULT, and APIARY_ENOBLOCK is returned. One that is too
 * large for any block fails the task with APIARY_ETOOLARGE, and that is also returned. A failure's text may be cut and ends in
 * "..." then: at 1 KiB when it is made from a format, at 64 bytes when there is no place for it. What fails is told to the swarm's
 * `log` at level 5, ten times a second at most. */
APIARY_API int apiary_job_reply(apiary_job_t *job, const void *data, size_t size);
APIARY_API int apiary_job_fail(apiary_job_t *job, uint32_t agent_code, const char *format, ...)
    APIARY_PRINTF(3, 4);
/* The same with a whole text, for callers that cannot use variable arguments. */
APIARY_API int apiary_job_fail_text(apiary_job_t *job, uint32_t agent_code, const char *text, size_t size);
/* Write a large result in place: reserve, fill, then reply with the same pointer. */
APIARY_API int apiary_job_reserve(apiary_job_t *job, size_t size, void **ret);

/* From any other thread of the process: hand the result over, the worker finishes the job. The data is copied; where there
 * is no memory for it the task fails with APIARY_ENOBLOCK, and that is also returned. APIARY_ESTALE: it has its answer. */
APIARY_API int apiary_job_finish_from_thread(apiary_job_t *job, int failed, const void *data, size_t size);

/* Delegate to another swarm from inside an agent; `done` is called on the worker's thread, the result is valid only
 * during the call. The two names of the queen's interface: execute_task stays in this swarm, delegate_external_task
 * goes to the best provider anywhere. */
typedef void (*apiary_done_fn)(void *user, const apiary_result_t *result);
APIARY_API int apiary_agent_execute_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                                         uint64_t timeout, apiary_done_fn done, void *user);
APIARY_API int apiary_agent_delegate_external_task(apiary_agent_t *agent, const char *capability, const void *body,
                                                   size_t size, uint64_t timeout, apiary_done_fn done, void *user);

/* Descriptors and timers in the worker's own loop (its io_uring). Callbacks run on the worker's thread; the functions are
 * for that thread alone, APIARY_EINVAL on another. events: POLLIN, POLLOUT. A watch lasts until it is closed, a timer fires
 * once and its watch, too, lasts until then; with `ret` NULL it cannot be closed. APIARY_ENOBLOCK. */
typedef struct apiary_watch apiary_watch_t;
typedef void (*apiary_watch_fn)(void *user, uint32_t events);
APIARY_API int apiary_watch_fd(apiary_agent_t *agent, int fd, uint32_t events, apiary_watch_fn fn, void *user,
                               apiary_watch_t **ret);
APIARY_API int apiary_watch_timer(apiary_agent_t *agent, uint64_t after, apiary_watch_fn fn, void *user,
                                  apiary_watch_t **ret);
/* NULL is allowed. APIARY_ESTALE: it is closed already. */
APIARY_API int apiary_watch_close(apiary_watch_t *watch);

/* A queen in this process: registers the swarm (all or nothing, published last), starts its workers. */
typedef struct apiary_agent_description {
    const char *name;
    const apiary_agent_kind_t *kind;
    const char *const *capabilities; /* ends with NULL */
    uint32_t worker;                 /* which worker hosts it, from 0 */
    const void *config;              /* struct ap_node of the agent's mapping, or NULL */
} apiary_agent_description_t;

typedef struct apiary_swarm_description {
    const char *service, *instance, *version; /* instance NULL: "0" */
    uint16_t port;                            /* the service's own port; 0: none */
    const char *health_endpoint, *metrics_endpoint;
    uint32_t workers; /* threads, 1 to 16 */
    uint32_t max_concurrent_delegations;
    const apiary_agent_description_t *agents;
    size_t agent_count;
    void (*log)(void *user, int level, const char *line); /* may be NULL; any thread */
    void *log_user;
} apiary_swarm_description_t;

/* APIARY_EEXIST: this service and instance is registered by a living process. Blocks until all agents are created. A message
 * that does not fit ends in "..."; 1024 bytes are enough for all but a name of a file that is as long. */
APIARY_API int apiary_queen_start(apiary_t *a, const apiary_swarm_description_t *swarm, char *message,
                                  size_t message_size, apiary_queen_t **ret);
/* Drain: no new tasks are routed here, what is in hand is finished, at most for `timeout`; then deregister and free.
 * APIARY_ETIMEDOUT: a second after that an agent has still not come back from its function, and the log says which. The
 * queen is not freed, her name and queues are not for others yet: call again to wait for her, or end the process, which
 * leaves what she has in hand to others. */
APIARY_API int apiary_queen_stop(apiary_queen_t *queen, uint64_t timeout);
APIARY_API int apiary_execute_task(apiary_queen_t *queen, const char *capability, const void *body, size_t size,
                                   uint64_t timeout, void *result, size_t capacity, size_t *ret_size);
APIARY_API int apiary_delegate_external_task(apiary_queen_t *queen, const char *capability, const void *body,
                                             size_t size, uint64_t timeout, void *result, size_t capacity,
                                             size_t *ret_size);

enum apiary_state { APIARY_STARTING = 1, APIARY_PASSING, APIARY_WARNING, APIARY_CRITICAL, APIARY_DOWN };
enum apiary_mode { APIARY_READY = 1, APIARY_DRAIN, APIARY_MAINT, APIARY_PAUSE };

typedef struct apiary_swarm_status {
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], version[APIARY_NAME_MAX + 1];
    int64_t pid;
    enum apiary_state state; /* by its queen, each second; warning or critical where that has not beaten for 5 or 15 s */
    enum apiary_mode mode; /* the operator's; APIARY_DRAIN while its queen, told to stop, ends what she has */
    uint16_t port;
    uint32_t agents, queued, running, delegations, max_delegations;
    /* Tasks since the instance was first registered. Each that ends is counted once, by how it ended for its caller:
     * finished = done + failed + cancelled (taken back before it was started). */
    uint64_t started, finished, failed;
    uint64_t beat_age, uptime; /* ns */
    uint64_t done, cancelled;
    uint64_t late; /* of failed: those that the agent ended after their caller had given them up */
} apiary_swarm_status_t;

/* get_swarm_status: one row per registered instance of `service` (NULL: of all); returns how many there are. */
APIARY_API int apiary_swarm_status(apiary_t *a, const char *service, apiary_swarm_status_t *ret, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
