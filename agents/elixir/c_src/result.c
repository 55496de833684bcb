/* result.c - results of tasks as terms: copied, or read in place by a binary that gives them back when it is collected. */
#include <string.h>

#include "nif.h"

struct in_place { /* the resource of a binary that lies in the segment */
    struct handle *handle; /* kept, and used */
    apiary_result_t result;
};

static ErlNifResourceType *in_place_type;

static void in_place_destroy(ErlNifEnv *env, void *object)
{
    struct in_place *p = object;

    (void)env;
    apiary_release(p->handle->a, &p->result);
    enif_mutex_lock(p->handle->lock);
    p->handle->in_place--;
    enif_mutex_unlock(p->handle->lock);
    handle_leave(p->handle);
    enif_release_resource(p->handle);
}

bool result_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = in_place_destroy};

    in_place_type = enif_open_resource_type_x(env, "apiary_result", &init, ERL_NIF_RT_CREATE, NULL);
    return in_place_type != NULL;
}

ERL_NIF_TERM result_copy(ErlNifEnv *env, const apiary_result_t *result)
{
    if (result->code == 0) return enif_make_tuple2(env, nif_ok, nif_bytes(env, result->data, result->size));
    if (result->code == APIARY_EAGENT && result->size > 0)
        return nif_fail_text(env, result->code, result->data, result->size, result->agent_code, 0);
    return nif_fail(env, result->code);
}

#define IN_PLACE_MOST 4 /* of a handle: blocks that are large are few, and who knows when they are collected */

static bool in_place_begin(struct handle *h)
{
    bool room;

    enif_mutex_lock(h->lock);
    room = h->in_place < IN_PLACE_MOST;
    if (room) h->in_place++;
    if (room) h->users++;
    enif_mutex_unlock(h->lock);
    return room;
}

ERL_NIF_TERM result_take(ErlNifEnv *env, struct handle *h, apiary_result_t *result, size_t in_place)
{
    struct in_place *p;
    ERL_NIF_TERM ret;

    if (result->code != 0 || result->size < in_place || !in_place_begin(h)) {
        ret = result_copy(env, result);
        apiary_release(h->a, result);
        return ret;
    }
    p = enif_alloc_resource(in_place_type, sizeof *p);
    *p = (struct in_place){.handle = h, .result = *result};
    enif_keep_resource(h);
    ret = enif_make_tuple2(env, nif_ok, enif_make_resource_binary(env, p, p->result.data, p->result.size));
    enif_release_resource(p);
    return ret;
}
