/* apiary/agent.h - what an agent is written with: a plug-in, or a handler in a program with a queen of its own.
 *
 * Conventions are those of <apiary.h>. An agent's functions run on its worker's thread; what another thread may call says so.
 */
#ifndef APIARY_AGENT_H
#define APIARY_AGENT_H

#include "../apiary.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct apiary_agent apiary_agent_t; /* one agent inside it, as the agent's functions see it */
typedef struct apiary_job apiary_job_t;     /* one task in the hands of an agent */

#define APIARY_AGENT_ABI 3u
/* What each kind begins with. */
#define APIARY_AGENT_KIND                                                    \
    .struct_size = sizeof(apiary_agent_kind_t), .abi = APIARY_AGENT_ABI,     \
    .key_size = sizeof(apiary_agent_key_t)

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
    size_t struct_size;
    uint32_t abi;      /* APIARY_AGENT_ABI */
    uint32_t key_size; /* of an element of `keys` */
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

/* The agent's surroundings. Strings live as long as the agent, which is until its `destroy` has come back. It is never taken for
 * another one: after that the names are "", the handle is NULL, there is no configuration, nothing is logged and nothing allocated,
 * and what returns an error says APIARY_ESTALE. */
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

/* Delegate to another swarm from inside an agent, with options as for apiary_delegate (NULL: none). The two names of the queen's
 * interface: execute_task stays in this swarm, delegate_external_task goes to the best provider anywhere.
 * `done` is called on the worker's thread, and the result is valid only during the call. It is NULL exactly where the options say
 * APIARY_DETACH. */
typedef void (*apiary_done_fn)(void *user, const apiary_result_t *result);
APIARY_API int apiary_agent_execute_task(apiary_agent_t *agent, const char *capability, const void *body, size_t size,
                                         const apiary_delegate_options_t *options, apiary_done_fn done, void *user);
APIARY_API int apiary_agent_delegate_external_task(apiary_agent_t *agent, const char *capability, const void *body,
                                                   size_t size, const apiary_delegate_options_t *options,
                                                   apiary_done_fn done, void *user);

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

#ifdef __cplusplus
}
#endif
#endif
