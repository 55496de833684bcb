/* handle.c - attached handles as resources: who uses one, and its end when nobody does. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nif.h"

static ErlNifResourceType *handle_type;

static void *handle_detach_run(void *user)
{
    apiary_detach(user);
    return NULL;
}

/* Detaching takes locks and waits for threads of the library, so it is done on no scheduler. */
static void handle_end(apiary_t *a)
{
    if (!nif_thread(handle_detach_run, a)) apiary_detach(a);
}

bool nif_thread(void *(*run)(void *), void *user)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    bool started;

    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the runtime's */
    started = pthread_create(&thread, &attributes, run, user) == 0; /* LINT: a NIF has the public headers only */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

bool handle_enter(struct handle *h)
{
    bool open;

    enif_mutex_lock(h->lock);
    open = !h->closed;
    if (open) h->users++;
    enif_mutex_unlock(h->lock);
    return open;
}

bool handle_closed(struct handle *h)
{
    bool closed;

    enif_mutex_lock(h->lock);
    closed = h->closed;
    enif_mutex_unlock(h->lock);
    return closed;
}

void handle_use(struct handle *h)
{
    enif_mutex_lock(h->lock);
    h->users++;
    enif_mutex_unlock(h->lock);
}

void handle_leave(struct handle *h)
{
    apiary_t *a = NULL;

    enif_mutex_lock(h->lock);
    if (--h->users == 0) {
        a = h->a;
        h->a = NULL;
    }
    enif_mutex_unlock(h->lock);
    if (a != NULL) handle_end(a);
}

/* Refuses further calls, ends what sleeps, and lets the handle go. Those who wait for a task are told, and find it so. */
static void handle_shut(ErlNifEnv *env, struct handle *h)
{
    struct lane *lane;

    enif_mutex_lock(h->lock);
    if (h->closed) {
        enif_mutex_unlock(h->lock);
        return;
    }
    h->closed = true;
    lane = h->lanes;
    h->lanes = NULL;
    enif_mutex_unlock(h->lock);
    apiary_interrupt(h->a);
    while (lane != NULL) {
        struct lane *next = lane->next;
        lane_stop(env, lane);
        lane = next;
    }
    handle_leave(h);
}

/* The dispatcher has died: nobody would hear of a lane's descriptor. */
static void handle_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    (void)pid, (void)monitor;
    handle_shut(env, object);
}

static void handle_destroy(ErlNifEnv *env, void *object)
{
    struct handle *h = object;

    (void)env;
    if (h->a != NULL) handle_end(h->a); /* a lane keeps its handle, so there is none any more */
    if (h->lock != NULL) enif_mutex_destroy(h->lock);
}

bool handle_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = handle_destroy, .down = handle_down};

    handle_type = enif_open_resource_type_x(env, "apiary_handle", &init, ERL_NIF_RT_CREATE, NULL);
    return handle_type != NULL;
}

struct handle *handle_get(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *object;

    return enif_get_resource(env, term, handle_type, &object) ? object : NULL;
}

static void attach_kind(ErlNifEnv *env, ERL_NIF_TERM term, apiary_attach_options_t *options)
{
    options->kind = enif_is_identical(term, enif_make_atom(env, "queen")) ? APIARY_QUEEN : APIARY_CLIENT;
    options->read_only = enif_is_identical(term, enif_make_atom(env, "observer"));
}

/* attach(Segment | nil, Name | nil, Swarm | nil, client | queen | observer) -> {ok, Handle} | {error, _}. The calling process
 * is its dispatcher: with its end the handle is closed. Dirty. */
NIF(nif_handle_attach)
{
    char *segment = NULL, *name = NULL, *swarm = NULL, message[1024] = "";
    apiary_attach_options_t options = {.struct_size = sizeof options, .message = message, .message_size = sizeof message};
    ERL_NIF_TERM ret = 0;
    struct handle *h;
    int rc;

    (void)argc;
    h = enif_alloc_resource(handle_type, sizeof *h);
    *h = (struct handle){.users = 1, .lock = enif_mutex_create("apiary_handle")};
    if (h->lock != NULL && nif_string_or_nil(env, argv[0], &segment) && nif_string_or_nil(env, argv[1], &name) &&
        nif_string_or_nil(env, argv[2], &swarm)) {
        options.name = name;
        options.swarm = swarm;
        attach_kind(env, argv[3], &options);
        rc = apiary_attach(segment, &options, &h->a);
        if (rc == 0) {
            enif_self(env, &h->dispatcher);
            enif_monitor_process(env, h, &h->dispatcher, &h->monitor);
            ret = enif_make_tuple2(env, nif_ok, enif_make_resource(env, h));
        } else {
            ret = message[0] == '\0' ? nif_fail(env, rc)
                                     : nif_fail_text(env, rc, message, strlen(message), 0, apiary_retry_after(rc));
        }
    }
    enif_release_resource(h);
    free(segment);
    free(name);
    free(swarm);
    return nif_or_badarg(env, ret);
}

/* detach(Handle) -> ok. Results that are read in place stay valid: the handle ends when the last one is collected. Dirty. */
NIF(nif_handle_detach)
{
    struct handle *h = handle_get(env, argv[0]);

    (void)argc;
    if (h == NULL) return enif_make_badarg(env);
    handle_shut(env, h);
    return nif_ok;
}
