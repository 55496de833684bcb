/* memory.c - name spaces of the segment's memory as resources. */
#include <stdlib.h>
#include <string.h>

#include "watch.h"

struct memory {
    struct handle *handle; /* kept, and used */
    apiary_memory_t *m;
};

static ErlNifResourceType *memory_type;

static void memory_destroy(ErlNifEnv *env, void *object)
{
    struct memory *m = object;

    (void)env;
    if (m->handle == NULL) return;
    apiary_memory_close(m->m);
    handle_leave(m->handle);
    enif_release_resource(m->handle);
}

bool memory_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = memory_destroy};

    memory_type = enif_open_resource_type_x(env, "apiary_memory", &init, ERL_NIF_RT_CREATE, NULL);
    return memory_type != NULL;
}

/* The name space and, of a function with a key, that; false: the arguments are none. */
static bool memory_given(ErlNifEnv *env, const ERL_NIF_TERM argv[], struct memory **ret, char **ret_key)
{
    void *object;

    if (!enif_get_resource(env, argv[0], memory_type, &object)) return false;
    *ret = object;
    *ret_key = nif_string(env, argv[1]);
    return *ret_key != NULL;
}

/* memory_open(Handle, Name, Local) -> {ok, Memory} | {error, _} */
NIF(nif_memory_open)
{
    struct handle *h = handle_get(env, argv[0]);
    char *name = nif_string(env, argv[1]);
    apiary_memory_t *opened = NULL;
    struct memory *m;
    ERL_NIF_TERM ret;
    int rc;

    (void)argc;
    if (h == NULL || name == NULL) {
        free(name);
        return enif_make_badarg(env);
    }
    if (!handle_enter(h)) {
        free(name);
        return nif_fail(env, APIARY_ESTALE);
    }
    rc = apiary_memory_open(h->a, name, enif_is_identical(argv[2], nif_true) ? APIARY_MEMORY_LOCAL : 0, &opened);
    free(name);
    if (rc < 0) {
        handle_leave(h);
        return nif_fail(env, rc);
    }
    m = enif_alloc_resource(memory_type, sizeof *m);
    *m = (struct memory){.handle = h, .m = opened}; /* it is the user that has entered */
    enif_keep_resource(h);
    ret = enif_make_tuple2(env, nif_ok, enif_make_resource(env, m));
    enif_release_resource(m);
    return ret;
}

/* memory_get(Memory, Key) -> {ok, Value, Version, Ttl} | {error, _} */
NIF(nif_memory_get)
{
    apiary_memory_value_t v = {.struct_size = sizeof v};
    char *key = NULL, *value = malloc(APIARY_MEMORY_VALUE_MAX);
    struct memory *m;
    ERL_NIF_TERM ret = 0;
    int rc;

    (void)argc;
    if (value != NULL && memory_given(env, argv, &m, &key)) {
        rc = apiary_memory_get(m->m, key, value, APIARY_MEMORY_VALUE_MAX, &v);
        ret = rc < 0 ? nif_fail(env, rc)
                     : enif_make_tuple4(env, nif_ok, nif_bytes(env, value, v.size), enif_make_uint64(env, v.version),
                                        nif_time(env, v.ttl));
    }
    free(key);
    free(value);
    return nif_or_badarg(env, ret);
}

/* memory_set(Memory, Key, put | add | replace | cas, Value, Ttl, Version) -> {ok, Version} | {error, _} */
NIF(nif_memory_set)
{
    char *key = NULL, how[16];
    ErlNifUInt64 version, made = 0;
    struct memory *m;
    ErlNifBinary value;
    ERL_NIF_TERM ret = 0;
    uint64_t ttl, got = 0;
    int rc = APIARY_EINVAL;

    (void)argc;
    if (memory_given(env, argv, &m, &key) && enif_get_atom(env, argv[2], how, sizeof how, ERL_NIF_LATIN1) > 0 &&
        enif_inspect_iolist_as_binary(env, argv[3], &value) && nif_get_time(env, argv[4], &ttl) &&
        enif_get_uint64(env, argv[5], &version)) {
        if (strcmp(how, "put") == 0) rc = apiary_memory_put(m->m, key, value.data, value.size, ttl, &got);
        if (strcmp(how, "add") == 0) rc = apiary_memory_add(m->m, key, value.data, value.size, ttl, &got);
        if (strcmp(how, "replace") == 0) rc = apiary_memory_replace(m->m, key, value.data, value.size, ttl, &got);
        if (strcmp(how, "cas") == 0) rc = apiary_memory_cas(m->m, key, value.data, value.size, ttl, version, &got);
        made = got;
        ret = rc < 0 ? nif_fail(env, rc) : enif_make_tuple2(env, nif_ok, enif_make_uint64(env, made));
    }
    free(key);
    return nif_or_badarg(env, ret);
}

/* memory_delete(Memory, Key) -> ok | {error, _} */
NIF(nif_memory_delete)
{
    struct memory *m;
    char *key = NULL;
    ERL_NIF_TERM ret = 0;
    int rc;

    (void)argc;
    if (memory_given(env, argv, &m, &key)) {
        rc = apiary_memory_delete(m->m, key);
        ret = rc < 0 ? nif_fail(env, rc) : nif_ok;
    }
    free(key);
    return nif_or_badarg(env, ret);
}

/* memory_incr(Memory, Key, By) -> {ok, Sum} | {error, _} */
NIF(nif_memory_incr)
{
    struct memory *m;
    ErlNifSInt64 by;
    int64_t sum = 0;
    char *key = NULL;
    ERL_NIF_TERM ret = 0;
    int rc;

    (void)argc;
    if (memory_given(env, argv, &m, &key) && enif_get_int64(env, argv[2], &by)) {
        rc = apiary_memory_incr(m->m, key, by, &sum);
        ret = rc < 0 ? nif_fail(env, rc) : enif_make_tuple2(env, nif_ok, enif_make_int64(env, sum));
    }
    free(key);
    return nif_or_badarg(env, ret);
}

/* memory_touch(Memory, Key, Ttl) -> ok | {error, _} */
NIF(nif_memory_touch)
{
    struct memory *m;
    uint64_t ttl;
    char *key = NULL;
    ERL_NIF_TERM ret = 0;
    int rc;

    (void)argc;
    if (memory_given(env, argv, &m, &key) && nif_get_time(env, argv[2], &ttl)) {
        rc = apiary_memory_touch(m->m, key, ttl);
        ret = rc < 0 ? nif_fail(env, rc) : nif_ok;
    }
    free(key);
    return nif_or_badarg(env, ret);
}

#define SCAN_AT_ONCE 64 /* keys of a call, a few microseconds */

/* memory_scan(Memory, Prefix, Position) -> {ok, [{Key, Version, Size}], Position | done} | {error, _}; Position is 0 at first. */
NIF(nif_memory_scan)
{
    apiary_memory_value_t v = {.struct_size = sizeof v};
    char *prefix = NULL, key[APIARY_MEMORY_KEY_MAX + 1];
    ERL_NIF_TERM list = enif_make_list(env, 0), ret = 0;
    struct memory *m;
    ErlNifUInt64 given;
    uint64_t position;
    int rc = 1;

    (void)argc;
    if (memory_given(env, argv, &m, &prefix) && enif_get_uint64(env, argv[2], &given)) {
        position = given;
        for (unsigned i = 0; i < SCAN_AT_ONCE && rc == 1; i++) {
            rc = apiary_memory_scan(m->m, prefix, &position, key, &v);
            if (rc == 1)
                list = enif_make_list_cell(env, enif_make_tuple3(env, nif_text(env, key), enif_make_uint64(env, v.version),
                                                                 enif_make_uint64(env, v.size)), list);
        }
        ret = rc < 0 ? nif_fail(env, rc)
                     : enif_make_tuple3(env, nif_ok, list,
                                        rc == 1 ? enif_make_uint64(env, position) : enif_make_atom(env, "done"));
    }
    free(prefix);
    return nif_or_badarg(env, ret);
}

static int memory_change_next(void *w, ErlNifEnv *env, ERL_NIF_TERM *ret)
{
    static const char *const names[] = {[APIARY_MEMORY_PRESENT] = "present", [APIARY_MEMORY_SYNCED] = "synced",
                                        [APIARY_MEMORY_PUT] = "put", [APIARY_MEMORY_DELETED] = "deleted",
                                        [APIARY_MEMORY_EXPIRED] = "expired", [APIARY_MEMORY_BEHIND] = "behind"};
    apiary_memory_change_t c = {.struct_size = sizeof c};
    int rc = apiary_memory_next_change(w, UINT64_C(1000000000), &c);
    bool known = rc == 1 && c.event < sizeof names / sizeof names[0] && names[c.event] != NULL;

    if (rc == 1)
        *ret = enif_make_tuple4(env, enif_make_atom(env, known ? names[c.event] : "unknown"), enif_make_uint64(env, c.revision),
                                nif_text(env, c.key), enif_make_uint64(env, c.version));
    return rc;
}

static void change_end(void *w)
{
    apiary_memory_unwatch(w);
}

/* memory_watch(Memory, Prefix, Revision, Ref) -> {ok, Watch} | {error, _}: {apiary_watch, Ref, {Event, Revision, Key,
 * Version}}. */
NIF(nif_memory_watch)
{
    static const struct watch_kind kind = {memory_change_next, change_end};
    apiary_memory_watch_t *w = NULL;
    char *prefix = NULL;
    struct memory *m;
    ErlNifUInt64 revision;
    ERL_NIF_TERM ret = 0;
    int rc;

    (void)argc;
    if (memory_given(env, argv, &m, &prefix) && enif_get_uint64(env, argv[2], &revision)) {
        rc = apiary_memory_watch(m->m, prefix, revision, &w);
        ret = rc < 0 ? nif_fail(env, rc) : watch_start(env, m->handle, &kind, w, argv[3]);
    }
    free(prefix);
    return nif_or_badarg(env, ret);
}
