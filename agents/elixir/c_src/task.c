/* task.c - delegating, and waiting for the end of a task without holding a scheduler. A task is polled when it is asked for.
 * One that has not ended is armed: its waiter gets the message {apiary, Ref} when it has, and asks again. So results are in no
 * mailbox, and nobody searches one for them. Whether a task is armed, and its result, belong to the lock of the lane that
 * delegated it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nif.h"

struct task {
    struct lane *lane; /* kept */
    apiary_task_t id;
    bool collected; /* the task is not this resource's any more */
    int error;      /* with which the waiter was told: the library says it once */
    bool armed;
    ErlNifPid waiter;
    ErlNifEnv *env; /* of `ref` */
    ERL_NIF_TERM ref;
    ErlNifMonitor owner;
    struct task *before, *after; /* armed ones of its lane */
};

struct told { /* a task that is not armed any more, and whose reference is to be given back */
    struct task *task;
    struct told *next;
};

static ErlNifResourceType *task_type;
static ERL_NIF_TERM task_apiary, task_armed, task_told;

static void task_unlink(struct task *t)
{
    if (t->before != NULL)
        t->before->after = t->after;
    else
        t->lane->armed = t->after;
    if (t->after != NULL) t->after->before = t->before;
    t->before = t->after = NULL;
    t->armed = false;
}

static void task_give_up(struct task *t)
{
    if (t->collected) return;
    t->collected = true;
    if (!handle_enter(t->lane->handle)) return;
    lane_orphan(t->lane, t->id);
    handle_leave(t->lane->handle);
}

/* Its owner has died: it is taken back, or its agent told to stop, and nobody will ask for its result. */
static void task_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    struct task *t = object;
    struct lane *lane = t->lane;
    bool kept;

    (void)env, (void)pid, (void)monitor;
    enif_mutex_lock(lane->lock);
    kept = t->armed;
    if (kept) task_unlink(t);
    task_give_up(t);
    enif_mutex_unlock(lane->lock);
    if (kept) enif_release_resource(t);
}

static void task_destroy(ErlNifEnv *env, void *object)
{
    struct task *t = object;

    (void)env;
    if (t->lane != NULL) {
        enif_mutex_lock(t->lane->lock);
        task_give_up(t);
        enif_mutex_unlock(t->lane->lock);
        enif_release_resource(t->lane);
    }
    if (t->env != NULL) enif_free_env(t->env);
}

bool task_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = task_destroy, .down = task_down};

    task_type = enif_open_resource_type_x(env, "apiary_task", &init, ERL_NIF_RT_CREATE, NULL);
    task_apiary = enif_make_atom(env, "apiary");
    task_armed = enif_make_atom(env, "armed");
    task_told = enif_make_atom(env, "told");
    return task_type != NULL;
}

static struct task *task_get(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *object;

    return enif_get_resource(env, term, task_type, &object) ? object : NULL;
}

static void task_tell(ErlNifEnv *env, struct task *t)
{
    ERL_NIF_TERM message = enif_make_tuple2(t->env, task_apiary, t->ref);

    task_unlink(t);
    enif_send(env, &t->waiter, t->env, message);
    enif_clear_env(t->env);
}

/* A waiter is told of an end and of an error alike, and asks itself which it is. */
struct told *task_look(ErlNifEnv *env, struct lane *lane)
{
    struct task *t = lane->armed, *next;
    struct told *told = NULL, *one;

    for (; t != NULL; t = next) {
        apiary_result_t result = {.struct_size = sizeof result};
        int rc = handle_closed(lane->handle) ? APIARY_ESTALE : apiary_poll(lane->handle->a, t->id, &result);

        next = t->after;
        if (rc == APIARY_ENOTREADY) continue;
        one = malloc(sizeof *one);
        if (one == NULL) continue; /* it is told at the next look */
        *one = (struct told){.task = t, .next = told};
        told = one;
        t->error = rc;
        task_tell(env, t);
    }
    return told;
}

void tasks_release(struct told *told)
{
    while (told != NULL) {
        struct told *next = told->next;

        enif_release_resource(told->task);
        free(told);
        told = next;
    }
}

/* delegate(Handle, Capability, Body, Options) -> {ok, Task | nil} | {error, _}; nil with the option detach. The calling process
 * owns the task: with its end the task is given up. */
NIF(nif_task_delegate)
{
    struct handle *h = handle_get(env, argv[0]);
    apiary_delegate_options_t options;
    char *capability = nif_string(env, argv[1]);
    ErlNifBinary body;
    struct task *t = NULL;
    struct lane *lane;
    apiary_task_t id;
    ERL_NIF_TERM ret;
    ErlNifPid self;
    int rc;

    (void)argc;
    if (h == NULL || capability == NULL || !enif_inspect_iolist_as_binary(env, argv[2], &body)) {
        free(capability);
        return enif_make_badarg(env);
    }
    rc = options_read(env, argv[3], &options);
    if (rc == 0 && !handle_enter(h)) rc = APIARY_ESTALE;
    if (rc < 0) {
        free(capability);
        return nif_fail(env, rc);
    }
    lane = lane_of_thread(env, h, &rc);
    if (lane != NULL) rc = apiary_delegate(h->a, capability, body.data, body.size, &options, &id);
    ret = rc == 0 ? enif_make_tuple2(env, nif_ok, nif_nil) : nif_refused(env, h->a, rc);
    if (rc == 0 && (options.flags & APIARY_DETACH) == 0) {
        t = enif_alloc_resource(task_type, sizeof *t);
        *t = (struct task){.lane = lane, .id = id};
        lane = NULL; /* the task has it now */
        enif_self(env, &self);
        enif_monitor_process(env, t, &self, &t->owner);
        ret = enif_make_tuple2(env, nif_ok, enif_make_resource(env, t));
        enif_release_resource(t);
    }
    if (lane != NULL) enif_release_resource(lane);
    handle_leave(h);
    free(capability);
    return ret;
}

static uint64_t task_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int task_poll_for(struct task *t, uint64_t spin, apiary_result_t *result)
{
    uint64_t end = spin > 0 ? task_now() + spin : 0;
    int rc;

    do rc = apiary_poll(t->lane->handle->a, t->id, result);
    while (rc == APIARY_ENOTREADY && end > 0 && task_now() < end);
    return rc;
}

static bool task_arm(ErlNifEnv *env, struct task *t, ERL_NIF_TERM ref)
{
    if (t->env == NULL) t->env = enif_alloc_env();
    if (t->env == NULL) return false;
    if (t->armed) enif_clear_env(t->env);
    t->ref = enif_make_copy(t->env, ref);
    enif_self(env, &t->waiter);
    if (t->armed) return true;
    t->after = t->lane->armed;
    if (t->after != NULL) t->after->before = t;
    t->lane->armed = t;
    t->armed = true;
    enif_keep_resource(t);
    return true;
}

/* Under the lane's lock, in the handle. */
static ERL_NIF_TERM task_ask(ErlNifEnv *env, struct task *t, ERL_NIF_TERM ref, uint64_t spin, size_t in_place, bool *ret_release)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int rc = t->collected ? APIARY_ESTALE : t->error != 0 ? t->error : task_poll_for(t, spin, &result);

    /* The end of a handle looks at the armed tasks once: a task that was armed after that would be waited for without end. */
    if (rc == APIARY_ENOTREADY && !t->armed && handle_closed(t->lane->handle)) rc = APIARY_ESTALE;
    if (rc == APIARY_ENOTREADY) {
        if (enif_is_identical(ref, nif_nil)) return nif_fail(env, rc);
        return task_arm(env, t, ref) ? task_armed : nif_fail(env, APIARY_ENOBLOCK);
    }
    t->collected = true;
    *ret_release = t->armed;
    if (t->armed) task_unlink(t);
    return rc < 0 ? nif_fail(env, rc) : result_take(env, t->lane->handle, &result, in_place);
}

/* task_arm(Task, Ref | nil, Spin, InPlace) -> {ok, Binary} | {error, _} | armed. Polls for `Spin` ns at most (100 us), and once
 * at least. A task that has not ended is `armed`: the calling process gets {apiary, Ref} once it has; with nil it is an error.
 * A result is taken once. */
NIF(nif_task_arm)
{
    struct task *t = task_get(env, argv[0]);
    ErlNifUInt64 spin, in_place;
    bool release = false;
    ERL_NIF_TERM ret;

    (void)argc;
    if (t == NULL || !enif_get_uint64(env, argv[2], &spin) || !enif_get_uint64(env, argv[3], &in_place) || spin > 100000)
        return enif_make_badarg(env);
    if (!handle_enter(t->lane->handle)) return nif_fail(env, APIARY_ESTALE);
    enif_mutex_lock(t->lane->lock);
    ret = task_ask(env, t, argv[1], spin, in_place, &release);
    enif_mutex_unlock(t->lane->lock);
    handle_leave(t->lane->handle);
    if (release) enif_release_resource(t);
    if (spin > 0) enif_consume_timeslice(env, 5);
    return ret;
}

/* task_disarm(Task) -> ok | told: it is not armed any more, and with `told` the message {apiary, Ref} is in the mailbox. */
NIF(nif_task_disarm)
{
    struct task *t = task_get(env, argv[0]);
    bool armed;

    (void)argc;
    if (t == NULL) return enif_make_badarg(env);
    enif_mutex_lock(t->lane->lock);
    armed = t->armed;
    if (armed) task_unlink(t);
    enif_mutex_unlock(t->lane->lock);
    if (armed) enif_release_resource(t);
    return armed ? nif_ok : task_told;
}

/* task_cancel(Task) -> ok | {error, _} */
NIF(nif_task_cancel)
{
    struct task *t = task_get(env, argv[0]);
    int rc = APIARY_ESTALE;

    (void)argc;
    if (t == NULL) return enif_make_badarg(env);
    if (handle_enter(t->lane->handle)) {
        rc = apiary_cancel(t->lane->handle->a, t->id);
        handle_leave(t->lane->handle);
    }
    return rc < 0 ? nif_fail(env, rc) : nif_ok;
}

/* task_progress(Task) -> {ok, Beats, Text} | {error, _} */
NIF(nif_task_progress)
{
    struct task *t = task_get(env, argv[0]);
    apiary_progress_t p = {.struct_size = sizeof p};
    int rc = APIARY_ESTALE;

    (void)argc;
    if (t == NULL) return enif_make_badarg(env);
    if (handle_enter(t->lane->handle)) {
        rc = apiary_progress(t->lane->handle->a, t->id, &p);
        handle_leave(t->lane->handle);
    }
    if (rc < 0) return nif_fail(env, rc);
    return enif_make_tuple3(env, nif_ok, enif_make_uint64(env, p.beats), nif_bytes(env, p.text, p.size));
}

/* task_name(Task) -> {Slot, Epoch, Generation}, as other processes and the command know it. */
NIF(nif_task_name_of)
{
    struct task *t = task_get(env, argv[0]);

    (void)argc;
    return t != NULL ? nif_task_name(env, t->id) : enif_make_badarg(env);
}
