/* apiary.h - delegate a task by capability to an agent in another process, through shared memory.
 *
 * This header is for clients; <apiary/discovery.h> tells them who is registered, <apiary/agent.h> is for agents,
 * <apiary/swarm.h> for programs with a queen of their own. C11, clean from C++.
 *
 * LENGTH: a client includes one header.
 * CALLS      1 Every function returns 0 (or a count) or one of the negative values of enum apiary_error. Outputs are untouched on
 *            failure.
 *            2 The library never prints, never exits, and blocks only in the functions that say so.
 *            3 All times are nanoseconds, all sizes are bytes, unless the name says otherwise.
 * STRUCTURES 1 Each structure that a caller hands over begins with its size, `struct_size`. The caller sets it to sizeof the
 *            structure (for an array, of the first element). The rest may be zeros.
 *            2 So the library can add fields at the end. A program that was compiled before keeps working. A program that is newer
 *            than the library is refused with APIARY_ENOTSUP where it uses a field that the library does not know.
 *            3 APIARY_EINVAL: struct_size is not that of any version.
 * THREADS    1 A handle may be used by every thread of the process that attached it.
 *            2 Each thread that delegates gets a lane of its own on first use and gives it back when it ends.
 *            3 After fork() the child must attach again: calls on the parent's handle return APIARY_EFORKED there.
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
/* Whether an error is a refusal because of load: after how many ns another attempt may do better, as far as the error alone says it
 * (apiary_refusal knows more). 0: it is no matter of load. */
APIARY_API uint64_t apiary_retry_after(int error);
APIARY_API const char *apiary_version(void);         /* "0.1.0" */

/* ---- attach --------------------------------------------------------------------------------------------------- */

typedef struct apiary apiary_t; /* an attached member; owned by the caller until apiary_detach */

enum apiary_member_kind { APIARY_CLIENT = 1, APIARY_QUEEN, APIARY_DAEMON, APIARY_TOOL };

typedef struct apiary_attach_options {
    size_t struct_size;
    const char *name;             /* how `apiary status` calls this member; NULL: the program's name */
    const char *swarm;            /* the service this member calls for (its bulkhead); NULL: none */
    enum apiary_member_kind kind; /* 0: APIARY_CLIENT */
    int read_only;                /* observers: no lane, nothing is written */
    char *message;                /* filled on failure: the reason and what to do; cut if it ends in "..."; may be NULL */
    size_t message_size;
} apiary_attach_options_t;

/* Attaches by name ("/apiary"; NULL: $APIARY_SEGMENT or the default). options may be NULL. Never waits.
 * APIARY_ENOSEG, _ECREATING, _ECREATOR, _EVERSION, _ETOOSMALL, _ENOTOURS, _EPERM, _ENOLANE, _ENOBLOCK, _ETABLEFULL; _ESHARE for a
 * client whose process calls for member_share of all services already; _ETIMENS when the time namespace differs, so that deadlines
 * would be wrong (an observer goes by the segment's clock, and is refused only where the system does not tell how the two differ,
 * or while the process observes by a third one); _ENOTSUP where the system does not report deaths, as under some filters of
 * system calls. */
APIARY_API int apiary_attach(const char *segment, const apiary_attach_options_t *options, apiary_t **ret);

/* The same by handle: a descriptor of the segment, inherited or received over a Unix socket. It is duplicated. */
APIARY_API int apiary_attach_fd(int fd, const apiary_attach_options_t *options, apiary_t **ret);

/* The segment's descriptor, to be passed on; valid until detach, owned by the handle. */
APIARY_API int apiary_segment_fd(const apiary_t *a);

/* Gives everything back and ends the handle. Tasks still open go on, their results are dropped. NULL is allowed.
 * 1 Any thread may call this, while other threads that have used the handle live on. But none may be in a call with it.
 * 2 Afterwards every function that takes the handle returns APIARY_ESTALE, this one, too. The address is not used again before the
 *   process has attached a million other handles (5,000 where there is no address space for more).
 * 3 APIARY_EINVAL: a queen that was started with the handle has not left. The handle stays attached. */
APIARY_API int apiary_detach(apiary_t *a);

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

typedef struct apiary_task { /* names one delegation for the life of the segment; a plain value */
    uint32_t slot;
    uint32_t epoch;
    uint64_t generation;
} apiary_task_t;

enum apiary_delegate_flags {
    APIARY_DETACH = 1u, /* fire and forget: the task cannot be awaited and is freed when it finishes */
    APIARY_WAIT_FOR_PROVIDER = 2u, /* where nobody alive offers the capability now, the task waits for one until its deadline */
    APIARY_NO_FALLBACK = 4u, /* nor does another capability do, whatever the rules of this one name for that case */
    APIARY_PARTS = 8u, /* parts of the result are wanted as they come (apiary_next_part), and not only the whole */
    APIARY_PROBE = 16u, /* it asks whether an agent of the capability goes on, past all bounds, and runs nothing; see below, 13 */
    APIARY_NO_HEDGE = 32u, /* nobody else gets it a second time, whatever its capability declares for `hedge` */
};

/* The end of a task that an agent has delegated for another, its parent, when the parent is closed: it has ended, was cancelled or
 * given up, or its attempt takes too long. */
enum apiary_parent_close {
    APIARY_PARENT_TERMINATE = 1,  /* it is given up: taken back, or its agent told to stop. Its `done` is called with _ECANCELLED */
    APIARY_PARENT_ABANDON,        /* nothing: it does not know of the other */
    APIARY_PARENT_REQUEST_CANCEL, /* it is cancelled as by apiary_cancel, and its `done` is called when it has ended */
};

/* Which of the tasks that wait at an agent is started first. */
enum apiary_priority { APIARY_PRIORITY_URGENT = 1, APIARY_PRIORITY_HIGH, APIARY_PRIORITY_NORMAL, APIARY_PRIORITY_LOW };

/* The place of a task in a trace, as W3C Trace Context has it. All zeros: in none. */
typedef struct apiary_trace {
    uint8_t trace_id[16];
    uint8_t parent_id[8]; /* the span for which the task is delegated */
    uint8_t flags;        /* APIARY_TRACE_SAMPLED */
    uint8_t reserved[7];  /* 0 */
} apiary_trace_t;

#define APIARY_TRACE_SAMPLED 1 /* whoever began the trace wants it recorded: so are the ends of its tasks (apiary trace) */

/* To and from the header traceparent, "00-<32 hex digits>-<16>-<2>". parse: APIARY_EINVAL. format: `ret` has APIARY_TRACE_TEXT
 * bytes. */
#define APIARY_TRACE_TEXT 56
APIARY_API int apiary_trace_parse(const char *text, apiary_trace_t *ret);
APIARY_API void apiary_trace_format(const apiary_trace_t *trace, char *ret);

/* How a task is tried again that its agent has failed (APIARY_EAGENT). All zeros: it is not.
 * 1 After the first failure the task pauses for a random time from 0 to `backoff`; after each further one the bound is `multiplier`
 *   times as long, up to `cap`. Meanwhile it is as one with a delay.
 * 2 Its request is kept. The result is that of the last attempt.
 * 3 A task is not tried again that was cancelled or given up, whose deadline would come first, whose agent says no or names a code
 *   of `never`, or whose agent has used up its budget of retries: a fifth of the tasks that it starts and ten a second. */
typedef struct apiary_retry {
    uint32_t max_attempts; /* how often it is started at most, deaths of workers not counted; 0 and 1: once; at most 32 */
    uint32_t backoff;      /* ms; 0: 100 */
    uint32_t multiplier;   /* percent, 100 to 10,000; 0: 200 */
    uint32_t cap;          /* ms; 0: 100 times the backoff */
    uint32_t never[4];     /* codes of the agent; 0: none */
} apiary_retry_t;

/* Why a task that its agent failed was not tried again. */
enum apiary_untried {
    APIARY_UNTRIED_NO_POLICY = 0,
    APIARY_UNTRIED_USED_UP,  /* after max_attempts */
    APIARY_UNTRIED_REFUSED,  /* its agent says no, or a code of `never` */
    APIARY_UNTRIED_BUDGET,   /* too many retries of its agent's tasks */
    APIARY_UNTRIED_DEADLINE, /* it would have come too late */
    APIARY_UNTRIED_UNWANTED  /* cancelled or given up */
};

/* For every way to delegate: delegate, batch, call, and delegations of agents and queens.
 * 1 `hops` is the number of tasks that the chain may have from this one on, each delegated for the one before; 0: 32, at most
 *   UINT32_MAX - 1. A task that would be one too many is refused with APIARY_EHOPS, so agents that delegate in a circle end.
 * 2 A task that an agent delegates for one in its hands has a hop less than that one, or fewer if its own options say so. It
 *   belongs to the same trace, with that one as its parent, unless its own options name another trace.
 * 3 A task with a `delay` or `due_at` is accepted at once, also where nobody offers the capability just then. It is not run before
 *   its time (of both, the later). Until then it holds its place in the table and, of a swarm, in max_concurrent_delegations. It
 *   may be awaited, cancelled and given up as any; it outlives its client as one that is queued. `timeout` counts from its time.
 *   At its time it waits for a provider where there is none; no fallback is used then.
 * 4 `key`: tasks of one key go to one provider, where the capability has declared `balance: keyed`; 0: none.
 * 5 `keep`: the result of a task that is fire and forget is kept for so long after its end, for apiary_fetch; 0: not at all. It is
 *   refused where kept_results are used up (APIARY_ETABLEFULL), so what was promised is there: the result, or APIARY_ENOTKEPT if at
 *   its end kept_share of its blocks is used up. APIARY_EINVAL without APIARY_DETACH: who may await the task gets the result so.
 * 6 Four timers bound a task; 0: not said. `timeout` bounds all of it (schedule to close). `schedule_to_start` bounds the time to
 *   its first start, from when it may be run: then it ends with APIARY_ETIMEDOUT, having done nothing. `start_to_close` bounds each
 *   attempt of an agent; so does `heartbeat` the time between two beats (apiary_job_beat), the start being one.
 * 7 An attempt that takes longer is told to stop (apiary_job_cancelled; an exec agent's process group is killed). It ends, two
 *   seconds later at the latest, also over the agent's head, whose later answer is refused. Then it is tried again as `retry`
 *   says, or is APIARY_EOVERRUN. While a worker's thread does not return from the agent's code nobody can end it: then its caller
 *   gives the task up (APIARY_ETIMEDOUT).
 * 8 `parent_close`, of a task that an agent delegates for one in its hands: enum apiary_parent_close; 0: _TERMINATE, or _ABANDON
 *   with APIARY_DETACH. Unless it is _ABANDON, the task's deadline is not after that one's. It says nothing of a task without a
 *   parent.
 * 9 `hedge`: a task that has not ended so long after it may be run is delegated a second time, to another provider, if there is one
 *   that stands well. The first success is the result, and the other copy is cancelled; a failure is the result when both have
 *   ended. With APIARY_HEDGE_P95 the time is that within which 19 of 20 of the capability's hedged tasks end, measured by their
 *   callers, once 20 have. 0: as the capability declares (`hedge`), which is never otherwise, and so with APIARY_NO_HEDGE.
 * 10 A second copy may run beside the first, so the capability has to declare itself `idempotent` (APIARY_ENOTIDEMPOTENT). All
 *   callers of one capability together may send one for five tasks, and ten a second. APIARY_EINVAL with APIARY_DETACH,
 *   APIARY_PARTS, APIARY_NO_HEDGE, `retry` or `provider`.
 * 11 The calling thread sends second copies while it waits for a result, be it another task's, and in apiary_poll; a descriptor of
 *   apiary_lane_fd is readable when one is due. A caller that does neither, and one whose thread has ended, sends none.
 * 12 `provider`: the one provider that may run it, by the number that apiary_discover gives it; 0: any. It is moved to no other.
 *   When that one has gone the task is refused, or ends by itself, with APIARY_ENOPROVIDER; so it is in `apiary_fetch`, too.
 *   So is one of a capability behind a gate (`via`), which has its tasks first and decides where they go; but for its own.
 * 13 With APIARY_PROBE the task is a health probe: the worker that runs the agent answers it by itself as soon as it would begin a
 *   task, before all that wait. The agent's own code does not see it, and the result is empty. So one that is not answered in time
 *   has found an agent that is there and does not go on.
 * 14 A probe has a way of its own: it needs nothing of max_concurrent_delegations, and neither rate, queue_limit, a full queue, a
 *   backlog, a failing agent, nor the mode of its swarm keeps it out. Of a task table that is full a part is kept for probes.
 *   Without `provider` it goes to any agent of the capability, in turn.
 * 15 It is no way round these bounds: it has no body, and nothing runs. One of each process waits at an agent, and eight in all;
 *   the next one is refused (APIARY_ELIMIT). APIARY_EINVAL with a body, another flag than APIARY_NO_FALLBACK, or an option that
 *   says when or how often it is to be run, or that its result is kept.
 * 16 `priority`: whenever an agent can begin a task it takes the most urgent that waits there; 0: as the capability declares
 *   (`priority`), which is normal otherwise. An agent's delegation for a task has that one's, unless it says another. Nobody
 *   starves: while tasks of a level wait at an agent, one of them is started after 18 others at the latest. A task keeps its
 *   priority when it is moved, tried again, or found by another worker after a death. With one that is not normal a caller alone
 *   may have 128 tasks waiting at an agent, or half of queue_depth if that is less; of another level beside them half of what is
 *   left, and fewer beside others (APIARY_EQUEUEFULL).
 * 17 `dedup_key`: of the tasks with one such key (apiary_key) that are in flight one is run, and all have its result, each its own
 *   copy; 0: none. They are of one capability, by the same name, and may be of many callers; the first one's body is what is run.
 *   Each is admitted, awaited, cancelled and bounded by its deadline as any, and by its own `schedule_to_start` until it has the
 *   result or is run itself. A failure is shared, too, but for what comes of the first one's own caller (it was cancelled, given
 *   up, or its deadline has passed) or of its queen, who was told to stop: then another one is run, as it is when its worker or
 *   its caller dies. Attempts, their timers and the priority are those of the one that is run. One that comes after the result
 *   begins anew. An agent that awaits a task of the key that it runs waits for itself, until the deadline. APIARY_ETABLEFULL: too
 *   many keys are in flight. APIARY_EINVAL with APIARY_PARTS, `hedge` or `provider`. */
typedef struct apiary_delegate_options {
    size_t struct_size;
    uint64_t timeout; /* schedule to close; 0: the segment's task_timeout (60 s) */
    uint32_t flags;   /* enum apiary_delegate_flags */
    uint32_t hops;
    apiary_trace_t trace;
    uint64_t delay;  /* from now, before which the task is not run; 0: at once */
    uint64_t due_at; /* the same as a time of CLOCK_MONOTONIC; 0: at once */
    apiary_retry_t retry;
    uint64_t key;
    uint64_t keep; /* ns; with APIARY_DETACH */
    uint64_t schedule_to_start, start_to_close, heartbeat; /* ns */
    uint64_t parent_close; /* enum apiary_parent_close */
    uint64_t hedge; /* ns, or APIARY_HEDGE_P95 */
    uint64_t provider;
    uint64_t priority; /* enum apiary_priority */
    uint64_t dedup_key;
} apiary_delegate_options_t;
#define APIARY_HEDGE_P95 UINT64_C(1)

/* An option by its name and a text, as command lines and configurations have them: "retry", "3,backoff=100ms".
 * 1 The names are those of `apiary delegate`; '_' is as '-'. Its former value is gone.
 * 2 APIARY_ENOTSUP: there is no such option, or the structure ends before it. APIARY_EINVAL: the text cannot be that. */
APIARY_API int apiary_option_set(apiary_delegate_options_t *options, const char *name, const char *text);
/* The name of an option, from 0 on, NULL after the last; and a sentence about it, NULL: there is none of that name. */
APIARY_API const char *apiary_option_name(size_t position);
APIARY_API const char *apiary_option_what(const char *name);

/* A key from bytes; never 0. */
APIARY_API uint64_t apiary_key(const void *bytes, size_t size);

#ifndef __cplusplus
/* Options with only a timeout, as an argument of a call. They live until the end of the enclosing block. */
#define APIARY_TIMEOUT(ns) \
    (&(const apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t), .timeout = (ns)})
#endif

typedef struct apiary_result {
    size_t struct_size; /* set by the caller, and kept by apiary_release */
    const void *data; /* read in place; valid until apiary_release, or result_ttl (500 s) after the task's deadline */
    size_t size;
    int code;             /* 0, or why the task failed: APIARY_EAGENT (data is the text), _ETIMEDOUT, ... */
    uint32_t agent_code;  /* the agent's own number for a failure; 0 with success */
    uint32_t attempts;    /* how often the task was started, also by workers that died, and to be failed and tried again */
    apiary_task_t task;
    uint32_t untried;     /* with APIARY_EAGENT and _EOVERRUN: enum apiary_untried */
    uint32_t parts;       /* with APIARY_PARTS: parts that came before it, of the last attempt; `data` is what follows them */
} apiary_result_t;

/* Delegates `size` bytes to the best living agent that offers `capability`; they are copied once. Never blocks.
 * `ret` may be NULL only with APIARY_DETACH (fire and forget).
 * APIARY_ENOCAP, _ENOPROVIDER, _EQUEUEFULL, _ENOSLOT, _ENOBLOCK, _ESHARE, _ELIMIT, _ETOOLARGE,
 * _ENOLANE; _EBACKLOG: so much waits that the task would not be done by its deadline, or not be started in time; _ERATE: the
 * capability has declared a rate; _EFORBIDDEN: its rules do not allow the service for which the handle was attached. */
APIARY_API int apiary_delegate(apiary_t *a, const char *capability, const void *body, size_t size,
                               const apiary_delegate_options_t *options, apiary_task_t *ret);

/* Why the last delegation or loan of the calling thread was refused that was, told in full.
 * 1 Also of one of a batch. The holders of what is full are those of now, and may be others than at the refusal.
 * 2 `retry_after` is set for every refusal because of load: by then another attempt may be accepted. */
typedef struct apiary_refusal {
    size_t struct_size;
    int error;            /* enum apiary_error */
    uint32_t reserved;
    uint64_t retry_after; /* 0: it is not a matter of waiting */
    char message[256];    /* what is full, who holds it, which key of the configuration bounds it; cut if it ends in "..." */
} apiary_refusal_t;

/* APIARY_ESTALE: nothing was refused yet. */
APIARY_API int apiary_refusal(apiary_t *a, apiary_refusal_t *ret);

/* A capability by its place in the segment instead of by its name. A plain value, for any thread of any process that has the
 * segment attached. */
typedef struct apiary_capability {
    uint64_t check;
    uint32_t index;
    uint32_t reserved; /* 0 */
} apiary_capability_t;

/* Looks a capability up once, to be delegated to without its name.
 * 1 The value stays valid while the segment lives, whichever providers come and go.
 * 2 APIARY_ENOCAP: no agent has offered the capability yet. APIARY_EREADONLY, _EFORKED.
 * 3 Functions that take a bound capability return APIARY_ESTALE for a value from another segment, also if that had the same
 *   name. */
APIARY_API int apiary_bind(apiary_t *a, const char *capability, apiary_capability_t *ret);

/* apiary_delegate to a bound capability. APIARY_ESTALE, and the errors of apiary_delegate except APIARY_ENOCAP. */
APIARY_API int apiary_delegate_bound(apiary_t *a, apiary_capability_t capability, const void *body, size_t size,
                                     const apiary_delegate_options_t *options, apiary_task_t *ret);

/* Borrows a block of the segment to write a large body in place; delegate it with apiary_delegate_loan (which takes
 * it over on success) or give it back with apiary_unloan, once and by any thread. APIARY_ENOBLOCK, _ESHARE, _ETOOLARGE. The other
 * two return APIARY_EINVAL for a block that the handle has not lent, or no longer lends; a block that was lent again since is the
 * new loan. */
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
 * 8 Every function that waits, here and below, is a cancellation point of pthread_cancel while it sleeps. A task that was awaited
 *   goes on and may be awaited by another thread. The task of an apiary_call is given up. A watch may be asked again. The other
 *   functions that take a handle are none, nor are apiary_attach and those that wait before they sleep. */
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

/* One request of a batch. */
typedef struct apiary_request {
    size_t struct_size;
    const char *capability;
    const void *body;
    size_t size;
    const apiary_delegate_options_t *options; /* NULL: none */
    const apiary_capability_t *bound;         /* instead of `capability`, which is NULL then */
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

/* One part of a result. */
typedef struct apiary_part {
    size_t struct_size;
    uint32_t attempt; /* the start of the task of which it is, as in result.attempts */
    uint32_t number;  /* in that attempt, from 0 */
    size_t size;
} apiary_part_t;

/* The next part of the result of a task that was delegated with APIARY_PARTS, copied to `data`.
 * 1 Waits for one as apiary_await does, with the same errors: APIARY_ENOTREADY, _ETIMEDOUT, _ESTALE, _EINTERRUPTED.
 * 2 Returns 1 with the next part. If it has more than `capacity` bytes nothing is copied: it stays the next one, and ret->size
 *   tells for how much there must be room. Where it returns an error `data` may have been written to.
 * 3 Returns 0 when the task has ended and all parts are read. Its end is to be awaited then, as that of any task: the whole result
 *   is the parts, followed by the result's data.
 * 4 If a worker dies, or its agent fails a task that is tried again, the next attempt begins anew. Its parts have a higher
 *   `attempt`, and those of attempts before are void. So they are, too, where result.attempts is higher than the last part's.
 * 5 An agent that is ahead of its reader by the capability's `parts_window` is made to wait, until the task's deadline. So a caller
 *   that only awaits the end of such a task waits for itself.
 * 6 Any thread, one at a time; the descriptor of apiary_lane_fd tells of parts, too. Tasks that are fire and forget, that an agent
 *   delegates, or that are called (apiary_call) have their results whole.
 * 7 A caller that does not ask for parts gets one whole result, which the agent's side has put together. */
APIARY_API int apiary_next_part(apiary_t *a, apiary_task_t task, uint64_t timeout, void *data, size_t capacity, apiary_part_t *ret);

/* The result of a task that was delegated with `keep`, for any process, also after the end of the one that delegated it.
 * 1 Waits until the task has ended, for `timeout` (0: not at all), without a deadline of its own: APIARY_ENOTREADY.
 * 2 At most `capacity` bytes are copied to `data`, and result.data is that; result.size is the whole size. A result is fetched as
 *   often as one likes, and is not to be released.
 * 3 APIARY_ESTALE: not delegated so, its time is over, or forgotten. result.code APIARY_ENOTKEPT: what is kept had its share. Of a
 *   failure's text the beginning is kept then: it ends in "...". APIARY_EINTERRUPTED within a second of apiary_interrupt. */
APIARY_API int apiary_fetch(apiary_t *a, apiary_task_t task, uint64_t timeout, void *data, size_t capacity, apiary_result_t *ret);
/* Drops it before its time. APIARY_ENOTREADY: the task has not ended. APIARY_ESTALE. */
APIARY_API int apiary_forget(apiary_t *a, apiary_task_t task);

/* Frees the task and its result. The result is cleared. APIARY_ESTALE, too, where the result was not released within the segment's
 * result_ttl of the task's deadline, and was given up: what was read of it since then may have been another's. */
APIARY_API int apiary_release(apiary_t *a, apiary_result_t *result);

/* delegate + await + copy + release in one call; blocks until the deadline. At most `capacity` bytes of the result are
 * copied to `result`; *size is its full size. Returns 0 or the task's code (a failed agent's text is copied, too).
 * APIARY_EINVAL: the options say APIARY_DETACH, and then there is nothing to wait for. */
APIARY_API int apiary_call(apiary_t *a, const char *capability, const void *body, size_t body_size,
                           const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size);

/* apiary_call to a bound capability. */
APIARY_API int apiary_call_bound(apiary_t *a, apiary_capability_t capability, const void *body, size_t body_size,
                                 const apiary_delegate_options_t *options, void *result, size_t capacity, size_t *size);

/* Takes a queued task back at once. A running task goes on, and its agent may look (apiary_job_cancelled). A task that has
 * ended stays as it is, and is still to be collected. 0, APIARY_ESTALE. */
APIARY_API int apiary_cancel(apiary_t *a, apiary_task_t task);

/* How far a task has come, by its agent's last beat. */
#define APIARY_PROGRESS_MAX 88
typedef struct apiary_progress {
    size_t struct_size;
    uint64_t beats; /* so far, of all attempts */
    uint64_t at;    /* CLOCK_MONOTONIC, of the last */
    size_t size;
    char text[APIARY_PROGRESS_MAX + 1]; /* what the last that said something has said, ends with a NUL */
} apiary_progress_t;

/* 1; 0: the task has not beaten yet. Any handle, any thread, also while another awaits the task. APIARY_ESTALE. */
APIARY_API int apiary_progress(apiary_t *a, apiary_task_t task, apiary_progress_t *ret);

/* A descriptor that becomes readable when a task of the calling thread may have finished, or (up to a second later) has
 * passed its deadline; for epoll and event loops. Read 8 bytes to clear it, then poll the tasks. Owned by the handle. */
APIARY_API int apiary_lane_fd(apiary_t *a);

/* ---- claims: who may do something alone ----------------------------------------------------------------------- */

#define APIARY_CLAIM_KEY_MAX 127 /* bytes of a key */

/* The answer when another has the claim. */
enum apiary_claim_policy {
    APIARY_CLAIM_FAIL = 1,         /* APIARY_EHELD */
    APIARY_CLAIM_WAIT,             /* it is waited for: those who wait get it in the order in which they came */
    APIARY_CLAIM_USE_EXISTING,     /* nothing: 1 is returned, and who has it */
    APIARY_CLAIM_STEAL_IF_EXPIRED, /* it is taken from a living holder whose time is over; else APIARY_EHELD */
};
enum apiary_claim_flags {
    APIARY_CLAIM_STAYS = 1u, /* the claim outlives the thread that makes it, and its process: only its ttl or a release ends it */
};

typedef struct apiary_claim_options {
    size_t struct_size;
    uint32_t policy;  /* enum apiary_claim_policy; 0: APIARY_CLAIM_FAIL */
    uint32_t flags;   /* enum apiary_claim_flags */
    uint64_t timeout; /* how long it is waited for, ns; 0 and APIARY_FOREVER: for ever */
} apiary_claim_options_t;

typedef struct apiary_claim {
    size_t struct_size;
    uint64_t token;   /* higher than that of any earlier claim of the key, for the life of the segment; never 0 */
    uint64_t expires; /* CLOCK_MONOTONIC, ns; APIARY_FOREVER: never, or it is not told yet */
    int64_t pid;      /* of the process that made it, in its own pid namespace; 0: it is not told yet */
    char holder[APIARY_NAME_MAX + 1]; /* the service which that process calls for; "": none, or the claim is the caller's */
} apiary_claim_t;

/* Claims a key for the calling thread: 0, and *ret has the token. A key is any text of at most APIARY_CLAIM_KEY_MAX bytes without
 * control characters (see apiary_claim_service_key). options may be NULL.
 * 1 At most one claim of a key is held at a time. It ends by apiary_claim_release, by the end of the thread that made it (of its
 *   process, too), however that comes, or when it is taken as below. So does a claim that STAYS, but for the end of the thread.
 * 2 `ttl`, ns, in steps of about a millisecond; APIARY_FOREVER. When it is over and the claim was not renewed, the token does not
 *   pass apiary_claim_check any more. A claim that STAYS is then free. Another one stays its living holder's, which may renew it,
 *   until somebody asks with STEAL_IF_EXPIRED, or waits: the first who waits takes it.
 * 3 WAIT blocks, an agent's worker, too. After `timeout` APIARY_EHELD. APIARY_EINTERRUPTED after apiary_interrupt. Order: first
 *   come, first served, among the living; one that does not run for a second when its turn has come is passed over until it runs
 *   again. A caller that does not wait is refused while somebody does.
 * 4 A thread that claims a key again which it holds is as another: with WAIT it would wait for itself, so APIARY_EHELD at once,
 *   unless its time is over.
 * 5 A holder that is slow may not know yet that it has lost the claim. So what it does is checked where it takes effect: whoever
 *   does it for the holder is given the token, and refuses one that does not pass apiary_claim_check, or that is lower than one
 *   it has seen of that key.
 * 6 APIARY_ETABLEFULL: as many keys are claimed as the segment has room for (`claims`). APIARY_EINVAL: the key, the options, a ttl
 *   of 0, or APIARY_FOREVER for one that STAYS. */
APIARY_API int apiary_claim(apiary_t *a, const char *key, uint64_t ttl, const apiary_claim_options_t *options, apiary_claim_t *ret);
/* The claim lasts for `ttl` from now on. Any process that has the token. ret may be NULL. APIARY_ESTALE: the token is not the
 * key's any more, or the time of a claim that STAYS is over. APIARY_EINVAL: APIARY_FOREVER for one that STAYS, too. */
APIARY_API int apiary_claim_renew(apiary_t *a, const char *key, uint64_t token, uint64_t ttl, apiary_claim_t *ret);
/* Ends the claim. Any process that has the token. APIARY_ESTALE. */
APIARY_API int apiary_claim_release(apiary_t *a, const char *key, uint64_t token);
/* 0: the claim with this token holds. APIARY_ESTALE: it does not. Any process, also attached read-only. */
APIARY_API int apiary_claim_check(apiary_t *a, const char *key, uint64_t token);
/* The key of something that is a service's: "service/name" to `ret`, of APIARY_CLAIM_KEY_MAX + 1 bytes. APIARY_EINVAL. */
APIARY_API int apiary_claim_service_key(const char *service, const char *name, char *ret);

/* All claims of the segment since it was made, as far as those who counted have lived on. */
typedef struct apiary_claim_stats {
    size_t struct_size;
    uint64_t granted, refused, expired, stolen; /* expired: those that stayed; stolen: of a living holder whose time was over */
    uint64_t freed;  /* by the death of the holder */
    uint64_t waited; /* granted to one that had to wait */
    uint64_t stale;  /* tokens that were refused */
    uint64_t held, room; /* now, and how many there may be */
} apiary_claim_stats_t;
APIARY_API int apiary_claim_stats(apiary_t *a, apiary_claim_stats_t *ret);

/* ---- discovery ------------------------------------------------------------------------------------------------ */

typedef struct apiary_provider {
    size_t struct_size;
    char service[APIARY_NAME_MAX + 1];
    char instance[APIARY_NAME_MAX + 1];
    char agent[APIARY_NAME_MAX + 1];
    int64_t pid;        /* of the queen, in its own pid namespace */
    uint32_t in_flight; /* tasks queued and running at the agent */
    uint32_t alive;     /* 0: known, but its process is gone */
    uint64_t provider;  /* names it while it is registered, for the option `provider`; never 0 */
} apiary_provider_t;

/* The providers of a capability: fills at most `capacity` rows and returns how many there are. A read of the segment, no lock.
 * `ret` may be NULL where capacity is 0. APIARY_ENOCAP. */
APIARY_API int apiary_discover(apiary_t *a, const char *capability, apiary_provider_t *ret, size_t capacity);

/* Delegates a task to each provider of a capability, as apiary_delegate does to one. Never blocks.
 * 1 Returns how many providers there are. If these are more than `capacity` nothing is delegated: call it again with more room.
 * 2 providers[i] says which; errors[i] is 0, and tasks[i] names its task, or why that provider has none: APIARY_ENOPROVIDER (it has
 *   gone, or is not to get tasks now), _EQUEUEFULL and the others of apiary_delegate. The first element says the size of all
 *   providers.
 * 3 Each task is one as any, to be awaited or given up, and no other provider runs it. One whose provider goes ends with
 *   APIARY_ENOPROVIDER, as its result's code.
 * 4 `tasks` may be NULL when they are fire and forget. APIARY_EINVAL: the options name a provider, a hedge or a dedup_key.
 *   APIARY_ENOCAP, _EREADONLY. */
APIARY_API int apiary_delegate_all(apiary_t *a, const char *capability, const void *body, size_t size,
                                   const apiary_delegate_options_t *options, apiary_provider_t *providers, apiary_task_t *tasks,
                                   int *errors, size_t capacity);

/* ---- status ---------------------------------------------------------------------------------------------------- */

enum apiary_state { APIARY_STARTING = 1, APIARY_PASSING, APIARY_WARNING, APIARY_CRITICAL, APIARY_DOWN };
enum apiary_mode { APIARY_READY = 1, APIARY_DRAIN, APIARY_MAINT, APIARY_PAUSE };

typedef struct apiary_swarm_status {
    size_t struct_size;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], version[APIARY_NAME_MAX + 1];
    int64_t pid;
    enum apiary_state state; /* from its queen, each second; warning or critical when no beat came for 5 or 15 s; warning instead of
                                passing while one of its agents is ejected; critical while its health check fails */
    enum apiary_mode mode; /* the operator's; APIARY_DRAIN while its queen, told to stop, finishes its tasks */
    uint16_t port;
    uint32_t agents, queued, running, delegations, max_delegations;
    /* Tasks since the instance was first registered. Each task that ends is counted once, by its end as its caller saw it:
     * finished = done + failed + cancelled (taken back before it was started). */
    uint64_t started, finished, failed;
    uint64_t beat_age, uptime; /* ns */
    uint64_t done, cancelled;
    uint64_t late; /* of `failed`: ended by the agent after their caller had given them up */
    uint32_t ejected; /* of `agents`: those that callers pass over for a time, since their tasks fail */
    uint32_t reserved;
    uint64_t stuck;  /* ns for which a worker has not gone on, within a task, say; 0: all do */
    char found[320]; /* why its health check fails, for people; "": it does not */
} apiary_swarm_status_t;

/* get_swarm_status: one row per registered instance of `service` (NULL: of all); returns how many there are. */
APIARY_API int apiary_swarm_status(apiary_t *a, const char *service, apiary_swarm_status_t *ret, size_t capacity);

/* An entry of the dead set: a task that is not tried again, because it crashed its workers, lost them too often, or has used up its
 * attempts. Its caller has had its failure. The set is bounded; the oldest entry goes when it is full. */
typedef struct apiary_dead {
    size_t struct_size;
    uint64_t number; /* names the entry in this segment, from 1, in the order of entering */
    uint64_t died;   /* CLOCK_REALTIME, ns: when it was entered */
    uint64_t dropped; /* entries that have gone for want of room so far */
    apiary_task_t task;
    int code;            /* APIARY_ECRASHED, _ELOST, _EAGENT, _EOVERRUN */
    uint32_t signal;     /* of the last crash; 0: it ended its thread or process in another way, or has not crashed it */
    uint32_t agent_code; /* with APIARY_EAGENT */
    uint32_t starts, crashes;
    uint32_t reserved;
    int64_t pid;  /* of the last worker; 0: not known */
    size_t size;  /* of its body */
    char capability[APIARY_CAPABILITY_MAX + 1];
    char caller[APIARY_NAME_MAX + 1]; /* the calling service, "" if none */
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], agent[APIARY_NAME_MAX + 1]; /* where it ran last */
    char text[128]; /* with APIARY_EAGENT, the beginning of the agent's */
} apiary_dead_t;

/* The first entry with a number above `after`: 1, 0 when there is none. */
APIARY_API int apiary_dead_next(apiary_t *a, uint64_t after, apiary_dead_t *ret);
/* Copies the first `capacity` bytes of its body; returns how many it has. APIARY_ESTALE: no such entry (any more). */
APIARY_API int64_t apiary_dead_body(apiary_t *a, uint64_t number, void *ret, size_t capacity);
/* Delegates it anew, fire and forget, with its body and the options that it had (but for a delay, a hedge, a provider and a
 * dedup_key), and takes it out of the set: exactly once, wherever this process dies. A refusal of apiary_delegate leaves it there;
 * no fallback is used. APIARY_ESTALE; APIARY_ENORESULT: its body is gone. */
APIARY_API int apiary_dead_retry(apiary_t *a, uint64_t number, apiary_task_t *ret);
/* Takes it out of the set. APIARY_ESTALE. */
APIARY_API int apiary_dead_discard(apiary_t *a, uint64_t number);

/* ---- memory: keys and values that swarms share ------------------------------------------------------------------ */

/* A name space of the segment's memory, opened. Several handles may be open on one.
 * 1 Values live as long as the segment, whichever processes come, go or are killed. A reboot ends them.
 * 2 A killed writer leaves the value of before or the new one, and nothing half done. Nobody waits for it.
 * 3 A get takes no lock and waits for no writer. Changes of one key have one order, which all processes see.
 * 4 Nothing is evicted, but from a cache (7). A segment has room for memory_values values (1,024 unless configured), and for one
 *   more while each is written (APIARY_ETABLEFULL). One name space holds memory_quota percent of them and memory_quota_bytes, all
 *   unless configured, perhaps one more for each thread that writes just then (APIARY_EQUOTA). A value that does not fit in
 *   beside its key (328 bytes for both and the name) takes a block of the payload pool (APIARY_ENOBLOCK; _ESHARE: all values and
 *   kept results together have their share of these).
 * 5 Any thread may use a handle, several at once. It is not to be used after apiary_detach, nor in a child after fork
 *   (APIARY_ESTALE, _EFORKED), but is to be closed.
 * 6 A watch is told of what is evicted as of what is deleted (APIARY_MEMORY_DELETED).
 * 7 In a cache (meta_registry.caches) a change that finds no room evicts values of the same name space, first those that were not
 *   got since they were put, or for long. It looks for a free row among the next 256 in turn: where more values than that lie side
 *   by side, it evicts before the whole segment is full. It is refused only when nothing is there that could be evicted to make
 *   room: no other value of the name space, or for a large value none in a block in which it might lie; when the key's bucket (of
 *   15 places for two values on average) is full of other name spaces' keys; or when others took the room again and again. Only
 *   gets and changes by handles that may write count as use. */
typedef struct apiary_memory apiary_memory_t;

#define APIARY_MEMORY_LOCAL 1u          /* the local memory of the service of that name, which its agents have in common */
#define APIARY_MEMORY_KEY_MAX 255       /* bytes of a key, at least 1; any but NUL */
#define APIARY_MEMORY_VALUE_MAX 65536   /* bytes of a value, from 0 on, if the payload pool has such blocks */

/* `name`: of a global name space, or with APIARY_MEMORY_LOCAL of a service. Both are as names of services are, and need be known
 * nowhere. APIARY_EINVAL, _ENOBLOCK. */
APIARY_API int apiary_memory_open(apiary_t *a, const char *name, uint32_t flags, apiary_memory_t **ret);
APIARY_API void apiary_memory_close(apiary_memory_t *m); /* NULL is allowed */

typedef struct apiary_memory_value {
    size_t struct_size;
    uint64_t version; /* greater with each change of the key's value, also when it was deleted meanwhile */
    uint64_t ttl;     /* ns that it has left, or APIARY_FOREVER */
    size_t size;      /* of the whole value */
} apiary_memory_value_t;

/* Copies a value, at most `capacity` bytes of it. `ret` may be NULL. On failure `value` may have been written to.
 * APIARY_ENOKEY; APIARY_ENOTREADY: it was changed a thousand times while it was copied, ask again; _EINVAL. */
APIARY_API int apiary_memory_get(const apiary_memory_t *m, const char *key, void *value, size_t capacity,
                                 apiary_memory_value_t *ret);

/* Changes of a value, whole or not at all. `ttl`: after so many ns the key is absent; 0 or APIARY_FOREVER: never. A change that had
 * found the value before its end may come into force after it: who wants a key after another adds it (apiary_memory_add), and does
 * not only find it absent. `ret_version` may be NULL.
 * 1 put: whatever is there. add: only where the key is absent (APIARY_EEXIST). replace: only where it is not (APIARY_ENOKEY).
 *   cas: only where it has this version (APIARY_ECHANGED, _ENOKEY).
 * 2 APIARY_ETABLEFULL, _EQUOTA, _ENOBLOCK, _ESHARE, _ETOOLARGE: there is no room. _ENOTREADY: others changed the bucket 65,536
 *   times first. _EINVAL, _EREADONLY, _ENOLANE. */
APIARY_API int apiary_memory_put(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl,
                                 uint64_t *ret_version);
APIARY_API int apiary_memory_add(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl,
                                 uint64_t *ret_version);
APIARY_API int apiary_memory_replace(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl,
                                     uint64_t *ret_version);
APIARY_API int apiary_memory_cas(apiary_memory_t *m, const char *key, const void *value, size_t size, uint64_t ttl,
                                 uint64_t version, uint64_t *ret_version);
APIARY_API int apiary_memory_delete(apiary_memory_t *m, const char *key); /* APIARY_ENOKEY */
/* Adds to a value that is a decimal number of 64 bits as a text; an absent one is 0, and gets no end. *ret, if `ret` is not NULL,
 * is the sum; by 0 it is only read. APIARY_EOVERFLOW: it is no such number, or the sum would be none. */
APIARY_API int apiary_memory_incr(apiary_memory_t *m, const char *key, int64_t by, int64_t *ret);
/* Gives a value another end; its version stays. APIARY_ENOKEY. */
APIARY_API int apiary_memory_touch(apiary_memory_t *m, const char *key, uint64_t ttl);

/* Meets the keys that begin with `prefix`, in no order: 1, and the next one is in `key` and `ret`, which may be NULL. 0: none is
 * left. *position is 0 at first, and kept between the calls. A key that is there all the time is met once; one that comes or goes
 * meanwhile may be met, also twice if it was deleted in between. APIARY_ENOTREADY, _EINVAL. */
APIARY_API int apiary_memory_scan(const apiary_memory_t *m, const char *prefix, uint64_t *position,
                                  char key[APIARY_MEMORY_KEY_MAX + 1], apiary_memory_value_t *ret);

/* A watch: the keys of a name space that begin with a text, as they are, and then each change of them, in the order of each key.
 * 1 At first PRESENT for each key that is there, then SYNCED, then the changes, none missed and none told twice. A change is told
 *   with its key and the version that it made or ended. The value is got by apiary_memory_get, and may be a later one by then.
 *   A new end alone (touch) is not told.
 * 2 Each change has a revision. With the last one that it has seen, a watch goes on where another one was: it is told what came
 *   after that, and no set. The log of changes is kept while somebody watches, and a minute longer, up to memory_changes of them.
 * 3 BEHIND: some of what came before is not in the log. The reader then forgets what it knows; the present set follows, and
 *   SYNCED. BEHIND comes first where a revision is not in the log any more, and later to a reader that is too slow, or when a
 *   process stands still for a second in the midst of a change.
 * 4 A value whose time is over is absent at once, and EXPIRED when somebody has taken it out. So may one be that was deleted just
 *   before its end.
 * 5 One thread at a time uses a watch. It remembers each key that it has told, in memory of its process. */
typedef struct apiary_memory_watch apiary_memory_watch_t;
enum apiary_memory_event {
    APIARY_MEMORY_PRESENT = 1,
    APIARY_MEMORY_SYNCED = 2,
    APIARY_MEMORY_PUT = 3,
    APIARY_MEMORY_DELETED = 4,
    APIARY_MEMORY_EXPIRED = 5,
    APIARY_MEMORY_BEHIND = 6
};
typedef struct apiary_memory_change {
    size_t struct_size;
    uint64_t event;    /* enum apiary_memory_event */
    uint64_t revision; /* of SYNCED and of changes; 0: none to go on from */
    uint64_t version;  /* of the value that was written, or has gone */
    uint64_t size;     /* of the value that was written, or is present */
    char key[APIARY_MEMORY_KEY_MAX + 1]; /* "" for SYNCED and BEHIND */
} apiary_memory_change_t;

/* `prefix`: "" for all keys. `revision`: 0 for the present set. The memory's handle may be closed meanwhile. APIARY_EINVAL,
 * _ENOBLOCK, _EREADONLY, _ENOLANE. */
APIARY_API int apiary_memory_watch(const apiary_memory_t *m, const char *prefix, uint64_t revision, apiary_memory_watch_t **ret);
/* Waits for the next one, at most `timeout` ns: 1; 0: there was none. 0 does not wait; APIARY_FOREVER. APIARY_EINTERRUPTED;
 * _ENOTREADY, _ENOBLOCK: ask again, nothing is lost. A signal and pthread_cancel: as with apiary_await. */
APIARY_API int apiary_memory_next_change(apiary_memory_watch_t *w, uint64_t timeout, apiary_memory_change_t *ret);
APIARY_API void apiary_memory_unwatch(apiary_memory_watch_t *w); /* NULL is allowed */

/* All memory of the segment since it was made, as far as those who counted have lived on. A get counts for the calling thread's
 * lane: one that has attached, delegated or changed a value has a lane, and one that only reads, or has attached read-only, has
 * none and is not counted. */
typedef struct apiary_memory_stats {
    size_t struct_size;
    uint64_t hits, misses;      /* gets that found their key, that did not */
    uint64_t puts, removals;    /* values that were written; deleted */
    uint64_t expired;           /* taken out because their time was over */
    uint64_t refused;           /* changes for which there was no room */
    uint64_t over_quota;        /* of these: the name space held its quota */
    uint64_t conflicts;         /* of cas: another version was there */
    uint64_t written;           /* bytes of the values that were written */
    uint64_t values, bytes;     /* now; those that are just being written or taken out, too */
    uint64_t room;              /* values that there may be */
    uint64_t evicted;           /* from caches, to make room */
    uint64_t evicted_unfetched; /* of these: never got since they were put */
} apiary_memory_stats_t;
APIARY_API int apiary_memory_stats(apiary_t *a, apiary_memory_stats_t *ret); /* APIARY_EINVAL */

#ifdef __cplusplus
}
#endif
#endif
