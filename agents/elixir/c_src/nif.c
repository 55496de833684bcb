/* nif.c - the table of the NIF, and terms. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "nif.h"

ERL_NIF_TERM nif_ok, nif_error, nif_nil, nif_true, nif_false, nif_undefined;
static ERL_NIF_TERM nif_infinity;

ERL_NIF_TERM nif_bytes(ErlNifEnv *env, const void *data, size_t size)
{
    ERL_NIF_TERM term;
    unsigned char *to = enif_make_new_binary(env, size, &term);

    if (to == NULL) return enif_raise_exception(env, enif_make_atom(env, "system_limit"));
    if (size > 0) memcpy(to, data, size);
    return term;
}

ERL_NIF_TERM nif_text(ErlNifEnv *env, const char *text)
{
    return nif_bytes(env, text, strlen(text));
}

/* APIARY_EQUEUEFULL is equeuefull: one atom for each row of the table of errors. */
static ERL_NIF_TERM error_atom(ErlNifEnv *env, int rc)
{
    const char *name = apiary_error_name(rc);
    char lower[32];
    size_t n = 0;

    if (strncmp(name, "APIARY_", 7) == 0) name += 7;
    while (n < sizeof lower - 1 && (isalnum((unsigned char)name[n]) || name[n] == '_')) {
        lower[n] = (char)tolower((unsigned char)name[n]);
        n++;
    }
    return enif_make_atom_len(env, lower, n);
}

ERL_NIF_TERM nif_fail_text(ErlNifEnv *env, int rc, const void *text, size_t size, uint32_t agent_code, uint64_t retry_after)
{
    ERL_NIF_TERM why = enif_make_tuple4(env, error_atom(env, rc), nif_bytes(env, text, size), enif_make_uint(env, agent_code),
                                        enif_make_uint64(env, retry_after));

    return enif_make_tuple2(env, nif_error, why);
}

ERL_NIF_TERM nif_fail(ErlNifEnv *env, int rc)
{
    const char *text = apiary_strerror(rc);

    return nif_fail_text(env, rc, text, strlen(text), 0, apiary_retry_after(rc));
}

ERL_NIF_TERM nif_refused(ErlNifEnv *env, apiary_t *a, int rc)
{
    apiary_refusal_t r = {.struct_size = sizeof r};

    if (apiary_refusal(a, &r) < 0 || r.error != rc || r.message[0] == '\0') return nif_fail(env, rc);
    return nif_fail_text(env, rc, r.message, strlen(r.message), 0, r.retry_after);
}

ERL_NIF_TERM nif_time(ErlNifEnv *env, uint64_t ns)
{
    return ns == APIARY_FOREVER ? nif_infinity : enif_make_uint64(env, ns);
}

bool nif_get_time(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *ret)
{
    ErlNifUInt64 ns;

    if (enif_is_identical(term, nif_infinity)) {
        *ret = APIARY_FOREVER;
        return true;
    }
    if (!enif_get_uint64(env, term, &ns)) return false;
    *ret = ns;
    return true;
}

char *nif_string(ErlNifEnv *env, ERL_NIF_TERM term)
{
    ErlNifBinary binary;
    char *ret;

    if (!enif_inspect_iolist_as_binary(env, term, &binary)) return NULL;
    if (binary.size > 0 && memchr(binary.data, '\0', binary.size) != NULL) return NULL;
    ret = malloc(binary.size + 1);
    if (ret == NULL) return NULL;
    if (binary.size > 0) memcpy(ret, binary.data, binary.size);
    ret[binary.size] = '\0';
    return ret;
}

bool nif_string_or_nil(ErlNifEnv *env, ERL_NIF_TERM term, char **ret)
{
    *ret = NULL;
    if (enif_is_identical(term, nif_nil)) return true;
    *ret = nif_string(env, term);
    return *ret != NULL;
}

void nif_put(ErlNifEnv *env, ERL_NIF_TERM *map, const char *key, ERL_NIF_TERM value)
{
    enif_make_map_put(env, *map, enif_make_atom(env, key), value, map);
}

ERL_NIF_TERM nif_task_name(ErlNifEnv *env, apiary_task_t id)
{
    return enif_make_tuple3(env, enif_make_uint(env, id.slot), enif_make_uint(env, id.epoch),
                            enif_make_uint64(env, id.generation));
}

/* options() -> [{Name, Sentence}]: the library's table. */
static NIF(nif_options)
{
    ERL_NIF_TERM ret = enif_make_list(env, 0);
    size_t n = 0;

    (void)argc, (void)argv;
    while (apiary_option_name(n) != NULL) n++;
    while (n-- > 0) {
        const char *name = apiary_option_name(n);
        ret = enif_make_list_cell(env, enif_make_tuple2(env, nif_text(env, name), nif_text(env, apiary_option_what(name))), ret);
    }
    return ret;
}

/* errors() -> [{Name, Text, Advice, RetryAfter}]: the library's table. */
static NIF(nif_errors)
{
    static const int all[] = {
#define X(name, number, text, advice) name,
#include <apiary_error.def>
#undef X
    };
    ERL_NIF_TERM ret = enif_make_list(env, 0);

    (void)argc, (void)argv;
    for (size_t i = sizeof all / sizeof all[0]; i-- > 0;) {
        ERL_NIF_TERM row = enif_make_tuple4(env, error_atom(env, all[i]), nif_text(env, apiary_strerror(all[i])),
                                            nif_text(env, apiary_advice(all[i])),
                                            enif_make_uint64(env, apiary_retry_after(all[i])));
        ret = enif_make_list_cell(env, row, ret);
    }
    return ret;
}

static NIF(nif_version)
{
    (void)argc, (void)argv;
    return nif_text(env, apiary_version());
}

static int nif_load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv, (void)info;
    nif_ok = enif_make_atom(env, "ok");
    nif_error = enif_make_atom(env, "error");
    nif_nil = enif_make_atom(env, "nil");
    nif_true = enif_make_atom(env, "true");
    nif_false = enif_make_atom(env, "false");
    nif_undefined = enif_make_atom(env, "undefined");
    nif_infinity = enif_make_atom(env, "infinity");
    return handle_init(env) && lane_init(env) && task_init(env) && result_init(env) && watch_init(env) && claim_init(env) &&
                   memory_init(env) && job_init(env) && queen_init(env)
               ? 0
               : -1;
}

static ErlNifFunc functions[] = {
    {"version", 0, nif_version, 0},
    {"options", 0, nif_options, 0},
    {"errors", 0, nif_errors, 0},
    {"attach", 4, nif_handle_attach, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"detach", 1, nif_handle_detach, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"lane_ready", 1, nif_lane_ready, 0},
    {"delegate", 4, nif_task_delegate, 0},
    {"task_arm", 4, nif_task_arm, 0},
    {"task_disarm", 1, nif_task_disarm, 0},
    {"task_cancel", 1, nif_task_cancel, 0},
    {"task_progress", 1, nif_task_progress, 0},
    {"task_name", 1, nif_task_name_of, 0},
    {"discover", 2, nif_discover, ERL_NIF_DIRTY_JOB_CPU_BOUND},
    {"instances", 3, nif_instances, ERL_NIF_DIRTY_JOB_CPU_BOUND},
    {"swarm_status", 2, nif_swarm_status, ERL_NIF_DIRTY_JOB_CPU_BOUND},
    {"claim", 6, nif_claim, 0},
    {"claim_renew", 2, nif_claim_renew, 0},
    {"claim_release", 1, nif_claim_release, 0},
    {"claim_check", 3, nif_claim_check, 0},
    {"memory_open", 3, nif_memory_open, 0},
    {"memory_get", 2, nif_memory_get, 0},
    {"memory_set", 6, nif_memory_set, 0},
    {"memory_delete", 2, nif_memory_delete, 0},
    {"memory_incr", 3, nif_memory_incr, 0},
    {"memory_touch", 3, nif_memory_touch, 0},
    {"memory_scan", 3, nif_memory_scan, 0},
    {"memory_watch", 4, nif_memory_watch, 0},
    {"instance_watch", 5, nif_instance_watch, 0},
    {"watch_stop", 1, nif_watch_stop, 0},
    {"queen_start", 3, nif_queen_start, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"queen_stop", 2, nif_queen_stop, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"agent_new", 2, nif_agent_new, 0},
    {"agent_bind", 2, nif_agent_bind, 0},
    {"agent_delegate", 6, nif_agent_delegate, 0},
    {"job_reply", 2, nif_job_reply, 0},
    {"job_fail", 4, nif_job_fail, 0},
    {"job_beat", 2, nif_job_beat, 0},
    {"job_cancelled", 1, nif_job_cancelled, 0},
    {"job_delegate", 5, nif_job_delegate, 0},
    {"job_part", 3, nif_job_part, 0},
};

ERL_NIF_INIT(Elixir.Apiary.NIF, functions, nif_load, NULL, NULL, NULL)
