/* lane.c - a lane for each scheduler thread and handle, its descriptor in the runtime's poll set, and what nobody asks for any
 * more. */
#include <stdlib.h>
#include <unistd.h>

#include "nif.h"

static ErlNifResourceType *lane_type;

static void lane_destroy(ErlNifEnv *env, void *object)
{
    struct lane *lane = object;
    struct orphan *o = lane->orphans;

    (void)env;
    while (o != NULL) { /* their handle has ended, which gave them up */
        struct orphan *next = o->next;
        free(o);
        o = next;
    }
    if (lane->lock != NULL) enif_mutex_destroy(lane->lock);
    if (lane->handle != NULL) enif_release_resource(lane->handle);
}

/* The runtime does not look at the descriptor any more, so the handle may end, which closes it. */
static void lane_stopped(ErlNifEnv *env, void *object, ErlNifEvent event, int direct)
{
    struct lane *lane = object;

    (void)env, (void)event, (void)direct;
    handle_leave(lane->handle);
}

bool lane_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = lane_destroy, .stop = lane_stopped};

    lane_type = enif_open_resource_type_x(env, "apiary_lane", &init, ERL_NIF_RT_CREATE, NULL);
    return lane_type != NULL;
}

static struct lane *lane_new(ErlNifEnv *env, struct handle *h, int *error)
{
    struct lane *lane;
    int fd = apiary_lane_fd(h->a);

    if (fd < 0) {
        *error = fd;
        return NULL;
    }
    lane = enif_alloc_resource(lane_type, sizeof *lane);
    *lane = (struct lane){.handle = h, .thread = pthread_self(), .fd = fd, .lock = enif_mutex_create("apiary_lane")};
    enif_keep_resource(h);
    handle_use(h);
    if (lane->lock == NULL || enif_select(env, fd, ERL_NIF_SELECT_READ, lane, &h->dispatcher, nif_undefined) < 0) {
        handle_leave(h);
        enif_release_resource(lane);
        *error = APIARY_ENOBLOCK;
        return NULL;
    }
    return lane;
}

struct lane *lane_of_thread(ErlNifEnv *env, struct handle *h, int *error)
{
    struct lane *lane;
    bool closed;

    enif_mutex_lock(h->lock);
    for (lane = h->lanes; lane != NULL && !pthread_equal(lane->thread, pthread_self()); lane = lane->next) {}
    if (lane != NULL) enif_keep_resource(lane); /* for the handle may be closed by another thread meanwhile */
    enif_mutex_unlock(h->lock);
    if (lane != NULL) return lane;
    lane = lane_new(env, h, error); /* only this thread makes this lane */
    if (lane == NULL) return NULL;
    enif_mutex_lock(h->lock);
    closed = h->closed;
    if (!closed) {
        lane->next = h->lanes;
        h->lanes = lane; /* which owns it */
        enif_keep_resource(lane);
    }
    enif_mutex_unlock(h->lock);
    if (!closed) return lane;
    lane_stop(env, lane);
    *error = APIARY_ESTALE;
    return NULL;
}

void lane_stop(ErlNifEnv *env, struct lane *lane)
{
    struct told *told;

    enif_mutex_lock(lane->lock);
    told = task_look(env, lane);
    enif_mutex_unlock(lane->lock);
    tasks_release(told);
    enif_select(env, lane->fd, ERL_NIF_SELECT_STOP, lane, NULL, nif_undefined);
    enif_release_resource(lane);
}

void lane_orphan(struct lane *lane, apiary_task_t id)
{
    apiary_result_t result = {.struct_size = sizeof result};
    struct orphan *o;

    apiary_cancel(lane->handle->a, id);
    if (apiary_poll(lane->handle->a, id, &result) != APIARY_ENOTREADY) {
        apiary_release(lane->handle->a, &result);
        return;
    }
    o = malloc(sizeof *o);
    if (o == NULL) return; /* it is freed with the handle, then */
    *o = (struct orphan){.id = id, .next = lane->orphans};
    lane->orphans = o;
}

static void lane_collect(struct lane *lane)
{
    struct orphan **at = &lane->orphans;

    while (*at != NULL) {
        apiary_result_t result = {.struct_size = sizeof result};
        struct orphan *o = *at;

        if (apiary_poll(lane->handle->a, o->id, &result) == APIARY_ENOTREADY) {
            at = &o->next;
            continue;
        }
        apiary_release(lane->handle->a, &result);
        *at = o->next;
        free(o);
    }
}

/* lane_ready(Lane) -> ok: the dispatcher has the message {select, Lane, undefined, ready_input}. */
NIF(nif_lane_ready)
{
    struct told *told;
    struct lane *lane;
    void *object;
    uint64_t count;

    (void)argc;
    if (!enif_get_resource(env, argv[0], lane_type, &object)) return enif_make_badarg(env);
    lane = object;
    if (!handle_enter(lane->handle)) return nif_ok;
    if (read(lane->fd, &count, sizeof count) < 0) {
        /* Another call has read it: what it announced is looked for in any case. */
    }
    enif_mutex_lock(lane->lock);
    told = task_look(env, lane);
    lane_collect(lane);
    enif_mutex_unlock(lane->lock);
    tasks_release(told);
    enif_select(env, lane->fd, ERL_NIF_SELECT_READ, lane, &lane->handle->dispatcher, nif_undefined);
    handle_leave(lane->handle);
    return nif_ok;
}
