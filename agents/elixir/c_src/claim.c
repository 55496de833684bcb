/* claim.c - claims of keys. One that is waited for belongs to a thread of its own, which lives as long as it is held; the
 * others belong to the scheduler that made them, which lives as long as the process. Each ends with the Erlang process that
 * asked for it. */
#include <stdlib.h>
#include <string.h>

#include "nif.h"

struct claim {
    struct handle *handle; /* kept, and used while it is held or waited for */
    ErlNifMutex *lock;
    ErlNifCond *changed;
    char *key;
    uint64_t token; /* 0: not held */
    uint64_t ttl;
    bool stays, waited, wanted; /* wanted: until it is released or its process has ended */
    apiary_claim_options_t options;
    ErlNifPid owner;
    ErlNifMonitor monitor;
    ErlNifEnv *env; /* of `ref`, where it is waited for */
    ERL_NIF_TERM ref;
};

static ErlNifResourceType *claim_type;

static void claim_let(struct claim *c)
{
    handle_leave(c->handle);
    enif_release_resource(c);
}

/* 0, or APIARY_ESTALE. One that is held keeps itself, so that it lasts if nothing refers to it: it is its process's, not a
 * term's. */
static int claim_end(struct claim *c)
{
    int rc = APIARY_ESTALE;
    bool held;

    enif_mutex_lock(c->lock);
    held = c->token != 0;
    if (held) rc = apiary_claim_release(c->handle->a, c->key, c->token);
    c->token = 0;
    c->wanted = false;
    enif_cond_broadcast(c->changed);
    enif_mutex_unlock(c->lock);
    if (held) claim_let(c);
    return rc;
}

/* One that stays goes on without its process. */
static void claim_forget(struct claim *c)
{
    bool held;

    enif_mutex_lock(c->lock);
    held = c->token != 0;
    c->token = 0;
    enif_mutex_unlock(c->lock);
    if (held) claim_let(c);
}

static void claim_got(struct claim *c, uint64_t token)
{
    enif_keep_resource(c);
    handle_use(c->handle);
    enif_mutex_lock(c->lock);
    c->token = token;
    enif_mutex_unlock(c->lock);
}

static void claim_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    struct claim *c = object;

    (void)env, (void)pid, (void)monitor;
    if (c->stays)
        claim_forget(c);
    else
        (void)claim_end(c);
}

static void claim_destroy(ErlNifEnv *env, void *object)
{
    struct claim *c = object;

    (void)env;
    if (c->handle != NULL) enif_release_resource(c->handle);
    if (c->env != NULL) enif_free_env(c->env);
    if (c->changed != NULL) enif_cond_destroy(c->changed);
    if (c->lock != NULL) enif_mutex_destroy(c->lock);
    free(c->key);
}

bool claim_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = claim_destroy, .down = claim_down};

    claim_type = enif_open_resource_type_x(env, "apiary_claim", &init, ERL_NIF_RT_CREATE, NULL);
    return claim_type != NULL;
}

/* {ok, Claim, Token, Expires}, {existing, Token, Holder, Pid}, or {error, _}. */
static ERL_NIF_TERM claim_reply(ErlNifEnv *env, struct claim *c, int rc, const apiary_claim_t *got)
{
    if (rc < 0) return nif_fail(env, rc);
    if (rc == 1)
        return enif_make_tuple4(env, enif_make_atom(env, "existing"), enif_make_uint64(env, got->token),
                                nif_text(env, got->holder), enif_make_int64(env, got->pid));
    return enif_make_tuple4(env, nif_ok, enif_make_resource(env, c), enif_make_uint64(env, got->token),
                            nif_time(env, got->expires));
}

static void *claim_run(void *user)
{
    struct claim *c = user;
    apiary_claim_t got = {.struct_size = sizeof got};
    int rc;
    bool closed, wanted;

    do {
        rc = apiary_claim(c->handle->a, c->key, c->ttl, &c->options, &got);
        closed = handle_closed(c->handle);
    } while (rc == APIARY_EINTERRUPTED && !closed);
    if (rc == 0) claim_got(c, got.token);
    enif_mutex_lock(c->lock);
    wanted = c->wanted;
    enif_mutex_unlock(c->lock);
    if (rc == 0 && (!wanted || closed))
        (void)claim_end(c); /* its process has ended meanwhile */
    else
        enif_send(NULL, &c->owner, c->env, enif_make_tuple3(c->env, enif_make_atom(c->env, "apiary_claim"), c->ref,
                                                            claim_reply(c->env, c, rc, &got)));
    enif_clear_env(c->env);
    enif_mutex_lock(c->lock);
    while (c->token != 0 && !c->stays) enif_cond_wait(c->changed, c->lock); /* the thread's end would end the claim */
    enif_mutex_unlock(c->lock);
    claim_let(c);
    return NULL;
}

static ERL_NIF_TERM claim_wait(ErlNifEnv *env, struct claim *c, ERL_NIF_TERM ref)
{
    c->env = enif_alloc_env();
    c->ref = enif_make_copy(c->env, ref);
    c->waited = c->wanted = true;
    enif_keep_resource(c);
    handle_use(c->handle);
    if (nif_thread(claim_run, c)) return enif_make_atom(env, "waiting");
    claim_let(c);
    return nif_fail(env, APIARY_ESYS);
}

static bool claim_policy(ErlNifEnv *env, ERL_NIF_TERM term, uint32_t *ret)
{
    static const char *const names[] = {[APIARY_CLAIM_FAIL] = "fail", [APIARY_CLAIM_WAIT] = "wait",
                                        [APIARY_CLAIM_USE_EXISTING] = "use_existing",
                                        [APIARY_CLAIM_STEAL_IF_EXPIRED] = "steal_if_expired"};
    char text[32];

    if (enif_get_atom(env, term, text, sizeof text, ERL_NIF_LATIN1) <= 0) return false;
    for (*ret = APIARY_CLAIM_FAIL; *ret < sizeof names / sizeof names[0]; ++*ret)
        if (strcmp(names[*ret], text) == 0) return true;
    return false;
}

/* claim(Handle, Key, Ttl, {Policy, Stays}, Timeout, Ref) -> {ok, Claim, Token, Expires} | {existing, Token, Holder, Pid} |
 * {error, _} | waiting: the reply comes as {apiary_claim, Ref, Reply}. With `wait` alone. */
NIF(nif_claim)
{
    struct handle *h = handle_get(env, argv[0]);
    apiary_claim_t got = {.struct_size = sizeof got};
    const ERL_NIF_TERM *how;
    ERL_NIF_TERM ret;
    struct claim *c;
    int arity, rc;

    (void)argc;
    if (h == NULL || !enif_get_tuple(env, argv[3], &arity, &how) || arity != 2) return enif_make_badarg(env);
    c = enif_alloc_resource(claim_type, sizeof *c);
    *c = (struct claim){.handle = h, .lock = enif_mutex_create("apiary_claim"), .changed = enif_cond_create("apiary_claim"),
                        .key = nif_string(env, argv[1]), .stays = enif_is_identical(how[1], nif_true),
                        .options = {.struct_size = sizeof c->options}};
    enif_keep_resource(h);
    if (c->stays) c->options.flags = APIARY_CLAIM_STAYS;
    if (c->key == NULL || !nif_get_time(env, argv[2], &c->ttl) || !nif_get_time(env, argv[4], &c->options.timeout) ||
        !claim_policy(env, how[0], &c->options.policy)) {
        ret = 0;
    } else if (!handle_enter(h)) {
        ret = nif_fail(env, APIARY_ESTALE);
    } else {
        enif_self(env, &c->owner);
        enif_monitor_process(env, c, &c->owner, &c->monitor);
        if (c->options.policy == APIARY_CLAIM_WAIT) {
            ret = claim_wait(env, c, argv[5]);
        } else {
            rc = apiary_claim(h->a, c->key, c->ttl, &c->options, &got);
            if (rc == 0) claim_got(c, got.token);
            ret = claim_reply(env, c, rc, &got);
        }
        handle_leave(h);
    }
    enif_release_resource(c);
    return nif_or_badarg(env, ret);
}

/* claim_renew(Claim, Ttl) -> {ok, Expires} | {error, _} */
NIF(nif_claim_renew)
{
    apiary_claim_t got = {.struct_size = sizeof got};
    struct claim *c;
    void *object;
    uint64_t ttl;
    int rc;

    (void)argc;
    if (!enif_get_resource(env, argv[0], claim_type, &object) || !nif_get_time(env, argv[1], &ttl)) return enif_make_badarg(env);
    c = object;
    enif_mutex_lock(c->lock);
    rc = c->token != 0 ? apiary_claim_renew(c->handle->a, c->key, c->token, ttl, &got) : APIARY_ESTALE;
    enif_mutex_unlock(c->lock);
    return rc < 0 ? nif_fail(env, rc) : enif_make_tuple2(env, nif_ok, nif_time(env, got.expires));
}

/* claim_release(Claim) -> ok | {error, _} */
NIF(nif_claim_release)
{
    struct claim *c;
    void *object;
    int rc;

    (void)argc;
    if (!enif_get_resource(env, argv[0], claim_type, &object)) return enif_make_badarg(env);
    c = object;
    rc = claim_end(c);
    return rc < 0 ? nif_fail(env, rc) : nif_ok;
}

/* claim_check(Handle, Key, Token) -> ok | {error, _} */
NIF(nif_claim_check)
{
    struct handle *h = handle_get(env, argv[0]);
    char *key = nif_string(env, argv[1]);
    ErlNifUInt64 token;
    ERL_NIF_TERM ret = 0;
    int rc = APIARY_ESTALE;

    (void)argc;
    if (h != NULL && key != NULL && enif_get_uint64(env, argv[2], &token)) {
        if (handle_enter(h)) {
            rc = apiary_claim_check(h->a, key, token);
            handle_leave(h);
        }
        ret = rc < 0 ? nif_fail(env, rc) : nif_ok;
    }
    free(key);
    return nif_or_badarg(env, ret);
}
