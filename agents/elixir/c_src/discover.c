/* discover.c - who offers a capability, who is registered, and how swarms do. */
#include <stdlib.h>

#include "watch.h"

/* Rows of a kind that grows while it is read: asked again until all fit. Returns how many there are, or an error. */
typedef int (*rows_fn)(apiary_t *a, const void *what, void *rows, size_t capacity);

static int discover_rows(struct handle *h, rows_fn fn, const void *what, size_t size, void **ret)
{
    size_t capacity = 16;

    for (;;) {
        char *rows = calloc(capacity, size);
        int n;

        if (rows == NULL) return APIARY_ENOBLOCK;
        *(size_t *)(void *)rows = size; /* struct_size, the first field of each kind */
        n = fn(h->a, what, rows, capacity);
        if (n < 0 || (size_t)n <= capacity) {
            *ret = rows;
            return n;
        }
        free(rows);
        capacity = (size_t)n + 16;
    }
}

static int rows_discover(apiary_t *a, const void *what, void *rows, size_t capacity)
{
    return apiary_discover(a, what, rows, capacity);
}

static int rows_instances(apiary_t *a, const void *what, void *rows, size_t capacity)
{
    return apiary_instances(a, what, rows, capacity);
}

static int rows_status(apiary_t *a, const void *what, void *rows, size_t capacity)
{
    return apiary_swarm_status(a, what, rows, capacity);
}

static ERL_NIF_TERM provider_map(ErlNifEnv *env, const apiary_provider_t *p)
{
    ERL_NIF_TERM map = enif_make_new_map(env);

    nif_put(env, &map, "service", nif_text(env, p->service));
    nif_put(env, &map, "instance", nif_text(env, p->instance));
    nif_put(env, &map, "agent", nif_text(env, p->agent));
    nif_put(env, &map, "pid", enif_make_int64(env, p->pid));
    nif_put(env, &map, "in_flight", enif_make_uint(env, p->in_flight));
    nif_put(env, &map, "alive", p->alive != 0 ? nif_true : nif_false);
    nif_put(env, &map, "provider", enif_make_uint64(env, p->provider));
    return map;
}

/* discover(Handle, Capability) -> {ok, [Map]} | {error, _} */
NIF(nif_discover)
{
    struct handle *h = handle_get(env, argv[0]);
    char *capability = nif_string(env, argv[1]);
    ERL_NIF_TERM ret = enif_make_list(env, 0);
    void *rows = NULL;
    int n = APIARY_ESTALE;

    (void)argc;
    if (h == NULL || capability == NULL) {
        free(capability);
        return enif_make_badarg(env);
    }
    if (handle_enter(h)) {
        n = discover_rows(h, rows_discover, capability, sizeof(apiary_provider_t), &rows);
        handle_leave(h);
    }
    for (int i = n; i-- > 0;) ret = enif_make_list_cell(env, provider_map(env, &((apiary_provider_t *)rows)[i]), ret);
    free(rows);
    free(capability);
    return n < 0 ? nif_fail(env, n) : enif_make_tuple2(env, nif_ok, ret);
}

static const char *instance_mode(enum apiary_mode mode)
{
    switch (mode) {
    case APIARY_READY: return "ready";
    case APIARY_DRAIN: return "drain";
    case APIARY_MAINT: return "maint";
    case APIARY_PAUSE: return "pause";
    }
    return "unknown";
}

static const char *instance_state(enum apiary_state state)
{
    switch (state) {
    case APIARY_STARTING: return "starting";
    case APIARY_PASSING: return "passing";
    case APIARY_WARNING: return "warning";
    case APIARY_CRITICAL: return "critical";
    case APIARY_DOWN: return "down";
    }
    return "unknown";
}

ERL_NIF_TERM instance_map(ErlNifEnv *env, const apiary_instance_t *i)
{
    ERL_NIF_TERM map = enif_make_new_map(env);

    nif_put(env, &map, "service", nif_text(env, i->service));
    nif_put(env, &map, "instance", nif_text(env, i->instance));
    nif_put(env, &map, "version", nif_text(env, i->version));
    nif_put(env, &map, "tags", nif_text(env, i->tags));
    nif_put(env, &map, "health_endpoint", nif_text(env, i->health_endpoint));
    nif_put(env, &map, "metrics_endpoint", nif_text(env, i->metrics_endpoint));
    nif_put(env, &map, "registration", enif_make_uint64(env, i->registration));
    nif_put(env, &map, "pid", enif_make_int64(env, i->pid));
    nif_put(env, &map, "mode", enif_make_atom(env, instance_mode(i->mode)));
    nif_put(env, &map, "alive", i->alive != 0 ? nif_true : nif_false);
    nif_put(env, &map, "weight", enif_make_uint(env, i->weight));
    nif_put(env, &map, "max_delegations", enif_make_uint(env, i->max_delegations));
    nif_put(env, &map, "port", enif_make_uint(env, i->port));
    return map;
}

/* instances(Handle, Service | nil, Tags | nil) -> {ok, [Map]} | {error, _} */
NIF(nif_instances)
{
    struct handle *h = handle_get(env, argv[0]);
    apiary_instance_query_t query = {.struct_size = sizeof query};
    ERL_NIF_TERM ret = enif_make_list(env, 0);
    char *service = NULL, *tags = NULL;
    void *rows = NULL;
    int n = APIARY_ESTALE;

    (void)argc;
    if (h == NULL || !nif_string_or_nil(env, argv[1], &service) || !nif_string_or_nil(env, argv[2], &tags)) {
        free(service);
        free(tags);
        return enif_make_badarg(env);
    }
    query.service = service;
    query.tags = tags;
    if (handle_enter(h)) {
        n = discover_rows(h, rows_instances, &query, sizeof(apiary_instance_t), &rows);
        handle_leave(h);
    }
    for (int i = n; i-- > 0;) ret = enif_make_list_cell(env, instance_map(env, &((apiary_instance_t *)rows)[i]), ret);
    free(rows);
    free(service);
    free(tags);
    return n < 0 ? nif_fail(env, n) : enif_make_tuple2(env, nif_ok, ret);
}

static ERL_NIF_TERM status_map(ErlNifEnv *env, const apiary_swarm_status_t *s)
{
    ERL_NIF_TERM map = enif_make_new_map(env);

    nif_put(env, &map, "service", nif_text(env, s->service));
    nif_put(env, &map, "instance", nif_text(env, s->instance));
    nif_put(env, &map, "version", nif_text(env, s->version));
    nif_put(env, &map, "pid", enif_make_int64(env, s->pid));
    nif_put(env, &map, "state", enif_make_atom(env, instance_state(s->state)));
    nif_put(env, &map, "mode", enif_make_atom(env, instance_mode(s->mode)));
    nif_put(env, &map, "port", enif_make_uint(env, s->port));
    nif_put(env, &map, "agents", enif_make_uint(env, s->agents));
    nif_put(env, &map, "queued", enif_make_uint(env, s->queued));
    nif_put(env, &map, "running", enif_make_uint(env, s->running));
    nif_put(env, &map, "delegations", enif_make_uint(env, s->delegations));
    nif_put(env, &map, "max_delegations", enif_make_uint(env, s->max_delegations));
    nif_put(env, &map, "started", enif_make_uint64(env, s->started));
    nif_put(env, &map, "finished", enif_make_uint64(env, s->finished));
    nif_put(env, &map, "failed", enif_make_uint64(env, s->failed));
    nif_put(env, &map, "done", enif_make_uint64(env, s->done));
    nif_put(env, &map, "cancelled", enif_make_uint64(env, s->cancelled));
    nif_put(env, &map, "ejected", enif_make_uint(env, s->ejected));
    nif_put(env, &map, "uptime", enif_make_uint64(env, s->uptime));
    nif_put(env, &map, "found", nif_text(env, s->found));
    return map;
}

/* swarm_status(Handle, Service | nil) -> {ok, [Map]} | {error, _} */
NIF(nif_swarm_status)
{
    struct handle *h = handle_get(env, argv[0]);
    ERL_NIF_TERM ret = enif_make_list(env, 0);
    char *service = NULL;
    void *rows = NULL;
    int n = APIARY_ESTALE;

    (void)argc;
    if (h == NULL || !nif_string_or_nil(env, argv[1], &service)) {
        free(service);
        return enif_make_badarg(env);
    }
    if (handle_enter(h)) {
        n = discover_rows(h, rows_status, service, sizeof(apiary_swarm_status_t), &rows);
        handle_leave(h);
    }
    for (int i = n; i-- > 0;) ret = enif_make_list_cell(env, status_map(env, &((apiary_swarm_status_t *)rows)[i]), ret);
    free(rows);
    free(service);
    return n < 0 ? nif_fail(env, n) : enif_make_tuple2(env, nif_ok, ret);
}
