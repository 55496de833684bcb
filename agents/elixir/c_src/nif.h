/* nif.h - what the files of the NIF share: its resources, and how errors and texts become terms.
 *
 * THREADS  1 A NIF runs on a scheduler's thread, and so does what it calls of libapiary: each scheduler has a lane of its own on
 *            each handle, which no other thread writes to. A task may be polled by any of them, one at a time, under its lane's
 *            lock.
 *          2 Nothing here sleeps on a scheduler. A call that may sleep is a dirty NIF (attach, detach, start and stop of a
 *            queen), or has a thread of its own (watches, a claim that is waited for).
 *          3 Locks: a lane's or a claim's before a handle's; one of each kind at a time.
 * LIFE     A handle is detached when nobody uses it any more: no call, lane, result in place, watch or queen. Each counts as a
 *          user (handle_enter, handle_leave), and so does that it is open. */
#ifndef APIARY_ELIXIR_NIF_H
#define APIARY_ELIXIR_NIF_H

#include <apiary.h>
#include <apiary/swarm.h>
#include <erl_nif.h>
#include <pthread.h>
#include <stdbool.h>

struct lane;

struct handle { /* the resource of an attached handle */
    ErlNifMutex *lock;
    apiary_t *a;
    unsigned users;
    unsigned in_place; /* results that binaries read in the segment */
    bool closed;
    ErlNifPid dispatcher; /* the process that is told when a lane's descriptor is readable */
    ErlNifMonitor monitor;
    struct lane *lanes;
};

struct task;
struct told;

struct orphan { /* a task that nobody will ask for any more: its end is collected, so that it does not stay in the table */
    apiary_task_t id;
    struct orphan *next;
};

struct lane { /* the resource of one scheduler thread's lane on one handle; enif_select knows it */
    struct handle *handle; /* kept */
    struct lane *next;     /* of the handle's */
    pthread_t thread;
    int fd; /* the library's, valid while this lane uses the handle */
    ErlNifMutex *lock;
    struct task *armed; /* tasks whose waiter is to be told, each kept */
    struct orphan *orphans;
};

/* nif.c: terms */
extern ERL_NIF_TERM nif_ok, nif_error, nif_nil, nif_true, nif_false, nif_undefined;
ERL_NIF_TERM nif_text(ErlNifEnv *env, const char *text);                 /* a binary */
ERL_NIF_TERM nif_bytes(ErlNifEnv *env, const void *data, size_t size);   /* a binary, copied */
ERL_NIF_TERM nif_fail(ErlNifEnv *env, int rc); /* {error, {Name, Text, 0, RetryAfter}} */
ERL_NIF_TERM nif_fail_text(ErlNifEnv *env, int rc, const void *text, size_t size, uint32_t agent_code, uint64_t retry_after);
ERL_NIF_TERM nif_refused(ErlNifEnv *env, apiary_t *a, int rc);           /* nif_fail with what apiary_refusal knows */
ERL_NIF_TERM nif_time(ErlNifEnv *env, uint64_t ns);                      /* a number, or `infinity` */
char *nif_string(ErlNifEnv *env, ERL_NIF_TERM term); /* of a binary or iolist, to be freed; NULL: it is none, or has a NUL */
bool nif_string_or_nil(ErlNifEnv *env, ERL_NIF_TERM term, char **ret);   /* *ret NULL for `nil` */
bool nif_get_time(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *ret);     /* ns, or `infinity` */
void nif_put(ErlNifEnv *env, ERL_NIF_TERM *map, const char *key, ERL_NIF_TERM value);
ERL_NIF_TERM nif_task_name(ErlNifEnv *env, apiary_task_t id);            /* {Slot, Epoch, Generation} */


/* A term, or with 0 the exception badarg: to make that is to raise it. */
static inline ERL_NIF_TERM nif_or_badarg(ErlNifEnv *env, ERL_NIF_TERM term)
{
    return term != 0 ? term : enif_make_badarg(env);
}

/* handle.c */
bool handle_init(ErlNifEnv *env);
struct handle *handle_get(ErlNifEnv *env, ERL_NIF_TERM term); /* NULL: it is none */
bool handle_enter(struct handle *h);                          /* false: it is closed */
bool handle_closed(struct handle *h);
void handle_use(struct handle *h);                            /* by one who uses it already */
void handle_leave(struct handle *h);
bool nif_thread(void *(*run)(void *), void *user);            /* a thread of its own that nobody joins */

/* lane.c */
bool lane_init(ErlNifEnv *env);
/* The caller has entered the handle, and releases the lane. */
struct lane *lane_of_thread(ErlNifEnv *env, struct handle *h, int *error);
void lane_stop(ErlNifEnv *env, struct lane *lane); /* the handle is closed: no descriptor is watched any more */
void lane_orphan(struct lane *lane, apiary_task_t id);                      /* under its lock */

/* task.c */
bool task_init(ErlNifEnv *env);
/* Under the lane's lock: tells the waiters of tasks that have ended. The tasks are to be let go without it, for a task's end takes
 * it. */
struct told *task_look(ErlNifEnv *env, struct lane *lane);
void tasks_release(struct told *told);

/* result.c */
bool result_init(ErlNifEnv *env);
/* Of a result that was awaited: {ok, Binary} or {error, _}. It is released at once, or when the binary is collected, if that
 * has at least `in_place` bytes and the handle has few of those. */
ERL_NIF_TERM result_take(ErlNifEnv *env, struct handle *h, apiary_result_t *result, size_t in_place);
ERL_NIF_TERM result_copy(ErlNifEnv *env, const apiary_result_t *result); /* the same, and it stays the caller's */

/* options.c */
/* From a list of {Name, Text}, binaries. 0, or the error of the library. */
int options_read(ErlNifEnv *env, ERL_NIF_TERM list, apiary_delegate_options_t *ret);

/* watch.c, claim.c, memory.c, job.c, queen.c */
bool watch_init(ErlNifEnv *env);
bool claim_init(ErlNifEnv *env);
bool memory_init(ErlNifEnv *env);
bool job_init(ErlNifEnv *env);
bool queen_init(ErlNifEnv *env);

#define NIF(name) ERL_NIF_TERM name(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
NIF(nif_handle_attach);
NIF(nif_handle_detach);
NIF(nif_lane_ready);
NIF(nif_task_delegate);
NIF(nif_task_arm);
NIF(nif_task_disarm);
NIF(nif_task_cancel);
NIF(nif_task_progress);
NIF(nif_task_name_of);
NIF(nif_discover);
NIF(nif_instances);
NIF(nif_swarm_status);
NIF(nif_claim);
NIF(nif_claim_renew);
NIF(nif_claim_release);
NIF(nif_claim_check);
NIF(nif_memory_open);
NIF(nif_memory_get);
NIF(nif_memory_set);
NIF(nif_memory_delete);
NIF(nif_memory_incr);
NIF(nif_memory_touch);
NIF(nif_memory_scan);
NIF(nif_memory_watch);
NIF(nif_instance_watch);
NIF(nif_watch_stop);
NIF(nif_queen_start);
NIF(nif_queen_stop);
NIF(nif_agent_new);
NIF(nif_agent_bind);
NIF(nif_agent_delegate);
NIF(nif_job_reply);
NIF(nif_job_fail);
NIF(nif_job_beat);
NIF(nif_job_cancelled);
NIF(nif_job_delegate);
NIF(nif_job_part);

#endif
