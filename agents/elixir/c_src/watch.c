/* watch.c - watches: each has a thread, since the library has no descriptor for what they wait for. */
#include <stdlib.h>

#include "watch.h"

#define WATCH_LOOK UINT64_C(1000000000)

struct watch { /* what the thread has in common with the resource */
    ErlNifMutex *lock;
    bool stopped;
    unsigned users; /* the thread, the resource */
    struct handle *handle; /* kept, and used by the thread */
    const struct watch_kind *kind;
    void *w;
    ErlNifPid pid;
    ErlNifEnv *env; /* of `ref` */
    ERL_NIF_TERM ref;
};

struct watch_resource {
    struct watch *watch;
    ErlNifMonitor monitor;
};

static ErlNifResourceType *watch_type;

static void watch_leave(struct watch *w)
{
    bool last;

    enif_mutex_lock(w->lock);
    last = --w->users == 0;
    enif_mutex_unlock(w->lock);
    if (!last) return;
    enif_release_resource(w->handle);
    enif_free_env(w->env);
    enif_mutex_destroy(w->lock);
    free(w);
}

static void watch_end(struct watch *w)
{
    enif_mutex_lock(w->lock);
    w->stopped = true;
    enif_mutex_unlock(w->lock);
}

static void watch_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    struct watch_resource *r = object;

    (void)env, (void)pid, (void)monitor;
    watch_end(r->watch);
}

static void watch_destroy(ErlNifEnv *env, void *object)
{
    struct watch_resource *r = object;

    (void)env;
    if (r->watch == NULL) return;
    watch_end(r->watch);
    watch_leave(r->watch);
}

bool watch_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = watch_destroy, .down = watch_down};

    watch_type = enif_open_resource_type_x(env, "apiary_watch", &init, ERL_NIF_RT_CREATE, NULL);
    return watch_type != NULL;
}

/* It is to stop, or its handle is closed. */
static bool watch_over(struct watch *w)
{
    bool over;

    enif_mutex_lock(w->lock);
    over = w->stopped;
    enif_mutex_unlock(w->lock);
    return over || handle_closed(w->handle);
}

static void *watch_serve(void *user)
{
    struct watch *w = user;
    ErlNifEnv *env = enif_alloc_env();

    while (env != NULL && !watch_over(w)) {
        ERL_NIF_TERM event;
        int rc = w->kind->next(w->w, env, &event);

        if (rc <= 0 && rc != APIARY_ESTALE && rc != APIARY_EFORKED && rc != APIARY_EINVAL) continue;
        if (rc < 0) event = nif_fail(env, rc);
        enif_send(NULL, &w->pid, env,
                  enif_make_tuple3(env, enif_make_atom(env, "apiary_watch"), enif_make_copy(env, w->ref), event));
        enif_clear_env(env);
        if (rc < 0) break;
    }
    if (env != NULL) enif_free_env(env);
    w->kind->end(w->w);
    handle_leave(w->handle);
    watch_leave(w);
    return NULL;
}

ERL_NIF_TERM watch_start(ErlNifEnv *env, struct handle *h, const struct watch_kind *kind, void *w, ERL_NIF_TERM ref)
{
    struct watch_resource *r = enif_alloc_resource(watch_type, sizeof *r);
    struct watch *new = calloc(1, sizeof *new);
    ERL_NIF_TERM ret;

    *r = (struct watch_resource){.watch = new};
    if (new == NULL) {
        kind->end(w);
        enif_release_resource(r);
        return nif_fail(env, APIARY_ENOBLOCK);
    }
    *new = (struct watch){.lock = enif_mutex_create("apiary_watch"), .users = 2, .handle = h, .kind = kind, .w = w,
                          .env = enif_alloc_env()};
    enif_keep_resource(h);
    handle_use(h);
    enif_self(env, &new->pid);
    new->ref = enif_make_copy(new->env, ref);
    enif_monitor_process(env, r, &new->pid, &r->monitor);
    ret = enif_make_tuple2(env, nif_ok, enif_make_resource(env, r));
    if (!nif_thread(watch_serve, new)) {
        kind->end(w);
        handle_leave(h);
        watch_leave(new);
        ret = nif_fail(env, APIARY_ESYS);
    }
    enif_release_resource(r);
    return ret;
}

/* watch_stop(Watch) -> ok. Messages that it has sent by then may be in the mailbox still. */
NIF(nif_watch_stop)
{
    struct watch_resource *r;
    void *object;

    (void)argc;
    if (!enif_get_resource(env, argv[0], watch_type, &object)) return enif_make_badarg(env);
    r = object;
    watch_end(r->watch);
    return nif_ok;
}

/* ---- instances -------------------------------------------------------------------------------------------------- */

static int instance_change(void *w, ErlNifEnv *env, ERL_NIF_TERM *ret)
{
    static const char *const names[] = {[APIARY_INSTANCE_PRESENT] = "present", [APIARY_INSTANCE_SYNCED] = "synced",
                                        [APIARY_INSTANCE_REGISTERED] = "registered", [APIARY_INSTANCE_MODE] = "mode",
                                        [APIARY_INSTANCE_WEIGHT] = "weight", [APIARY_INSTANCE_LEFT] = "left",
                                        [APIARY_INSTANCE_DIED] = "died", [APIARY_INSTANCE_BEHIND] = "behind"};
    apiary_instance_change_t c = {.struct_size = sizeof c};
    apiary_instance_t i = {.struct_size = sizeof i};
    int rc = apiary_instance_next(w, WATCH_LOOK, &c, &i);
    bool known = rc == 1 && c.event < sizeof names / sizeof names[0] && names[c.event] != NULL;
    bool bare = c.event == APIARY_INSTANCE_SYNCED || c.event == APIARY_INSTANCE_BEHIND;

    if (rc == 1)
        *ret = enif_make_tuple3(env, enif_make_atom(env, known ? names[c.event] : "unknown"), enif_make_uint64(env, c.revision),
                                bare ? nif_nil : instance_map(env, &i));
    return rc;
}

static void instance_end(void *w)
{
    apiary_instance_unwatch(w);
}

/* instance_watch(Handle, Service | nil, Tags | nil, Revision, Ref) -> {ok, Watch} | {error, _}: {apiary_watch, Ref, {Event,
 * Revision, Map | nil}} or {apiary_watch, Ref, {error, _}}, the last. */
NIF(nif_instance_watch)
{
    static const struct watch_kind kind = {instance_change, instance_end};
    struct handle *h = handle_get(env, argv[0]);
    apiary_instance_query_t query = {.struct_size = sizeof query};
    apiary_instance_watch_t *w = NULL;
    char *service = NULL, *tags = NULL;
    ErlNifUInt64 revision;
    ERL_NIF_TERM ret = 0;
    int rc = APIARY_ESTALE;

    (void)argc;
    if (h != NULL && nif_string_or_nil(env, argv[1], &service) && nif_string_or_nil(env, argv[2], &tags) &&
        enif_get_uint64(env, argv[3], &revision)) {
        query.service = service;
        query.tags = tags;
        if (handle_enter(h)) {
            rc = apiary_instance_watch(h->a, &query, revision, &w);
            ret = rc < 0 ? nif_fail(env, rc) : watch_start(env, h, &kind, w, argv[4]);
            handle_leave(h);
        } else {
            ret = nif_fail(env, rc);
        }
    }
    free(service);
    free(tags);
    return nif_or_badarg(env, ret);
}
