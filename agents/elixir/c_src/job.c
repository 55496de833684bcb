/* job.c - tasks in the hands of Erlang processes. A job that nobody refers to any more is failed: it cannot be answered. */
#include <stdlib.h>
#include <string.h>

#include "queen.h"

static ErlNifResourceType *job_type;

#define UNANSWERED "no process has the task any more, and none has answered it"

static void job_destroy(ErlNifEnv *env, void *object)
{
    struct job *job = object;

    (void)env;
    if (!job->answered) apiary_job_finish_from_thread(job->job, 1, UNANSWERED, sizeof UNANSWERED - 1);
    if (job->lock != NULL) enif_mutex_destroy(job->lock);
    enif_release_resource(job->agent);
}

bool job_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit init = {.dtor = job_destroy};

    job_type = enif_open_resource_type_x(env, "apiary_job", &init, ERL_NIF_RT_CREATE, NULL);
    return job_type != NULL;
}

static struct job *job_of(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *object;

    return enif_get_resource(env, term, job_type, &object) ? object : NULL;
}

/* {Caller, Attempt, Deadline, Task, Traceparent | nil} */
static ERL_NIF_TERM job_facts(ErlNifEnv *env, apiary_job_t *job)
{
    char text[APIARY_TRACE_TEXT];
    apiary_trace_t trace;
    bool traced = apiary_job_trace(job, &trace) == 1;

    if (traced) apiary_trace_format(&trace, text);
    return enif_make_tuple5(env, nif_text(env, apiary_job_caller(job)), enif_make_uint(env, apiary_job_attempt(job)),
                            nif_time(env, apiary_job_deadline(job)), nif_task_name(env, apiary_job_task(job)),
                            traced ? nif_text(env, text) : nif_nil);
}

/* On the worker's thread: the process gets {apiary_job, Job, Capability, Body, Facts}. */
void job_arrived(void *state, apiary_job_t *handle)
{
    struct agent *agent = state;
    ErlNifEnv *env = enif_alloc_env();
    struct job *job = enif_alloc_resource(job_type, sizeof *job);
    ErlNifPid pid;
    size_t size;
    const void *data = apiary_job_data(handle, &size);
    ERL_NIF_TERM message;

    *job = (struct job){.agent = agent, .job = handle, .lock = enif_mutex_create("apiary_job")};
    enif_keep_resource(agent);
    enif_mutex_lock(agent->lock);
    pid = agent->pid;
    enif_mutex_unlock(agent->lock);
    message = enif_make_tuple5(env, enif_make_atom(env, "apiary_job"), enif_make_resource(env, job),
                               nif_text(env, apiary_job_capability(handle)), nif_bytes(env, data, size), job_facts(env, handle));
    if (!enif_send(NULL, &pid, env, message)) {
        job->answered = true;
        apiary_job_fail(handle, 503, "the agent's process has ended");
    }
    enif_free_env(env);
    enif_release_resource(job);
}

/* A job that has its answer calls nobody who waits to send a part of it: its worker tells them, or has told them at the agent's
 * end. */
static void job_answered(ErlNifEnv *env, struct job *job)
{
    struct command *c = command_new(env, job->agent, job, nif_nil);

    if (c == NULL) return; /* they are told when the agent ends */
    command_answered(c);
    if (!command_give(c)) command_free(c);
}

static int job_answer(ErlNifEnv *env, struct job *job, int failed, const void *data, size_t size)
{
    bool first, parted;
    int rc;

    enif_mutex_lock(job->lock);
    first = !job->answered;
    parted = job->parted;
    job->answered = true;
    enif_mutex_unlock(job->lock);
    if (!first) return APIARY_ESTALE;
    rc = apiary_job_finish_from_thread(job->job, failed, data, size);
    if (parted) job_answered(env, job);
    return rc;
}

/* job_reply(Job, Body) -> ok | {error, _}: the first answer counts. */
NIF(nif_job_reply)
{
    struct job *job = job_of(env, argv[0]);
    ErlNifBinary body;
    int rc;

    (void)argc;
    if (job == NULL || !enif_inspect_iolist_as_binary(env, argv[1], &body)) return enif_make_badarg(env);
    rc = job_answer(env, job, 0, body.data, body.size);
    return rc < 0 ? nif_fail(env, rc) : nif_ok;
}

/* job_fail(Job, Code, Text, RetryAfter | infinity | nil) -> ok | {error, _}: Code is the agent's own number, from 1 on;
 * infinity: the task is not tried again. */
NIF(nif_job_fail)
{
    struct job *job = job_of(env, argv[0]);
    ErlNifBinary text;
    uint64_t after;
    int code, rc;

    (void)argc;
    if (job == NULL || !enif_get_int(env, argv[1], &code) || code <= 0 || !enif_inspect_iolist_as_binary(env, argv[2], &text))
        return enif_make_badarg(env);
    if (nif_get_time(env, argv[3], &after)) (void)apiary_job_retry(job->job, after);
    rc = job_answer(env, job, code, text.data, text.size);
    return rc < 0 ? nif_fail(env, rc) : nif_ok;
}

/* job_beat(Job, Text) -> ok | stop | {error, _} */
NIF(nif_job_beat)
{
    struct job *job = job_of(env, argv[0]);
    ErlNifBinary text;
    int rc;

    (void)argc;
    if (job == NULL || !enif_inspect_iolist_as_binary(env, argv[1], &text)) return enif_make_badarg(env);
    rc = apiary_job_beat(job->job, (const char *)text.data, text.size);
    return rc < 0 ? nif_fail(env, rc) : rc == 1 ? enif_make_atom(env, "stop") : nif_ok;
}

/* job_cancelled(Job) -> boolean() */
NIF(nif_job_cancelled)
{
    struct job *job = job_of(env, argv[0]);

    (void)argc;
    if (job == NULL) return enif_make_badarg(env);
    return apiary_job_cancelled(job->job) != 0 ? nif_true : nif_false;
}

static ERL_NIF_TERM job_command(ErlNifEnv *env, struct command *c)
{
    if (command_give(c)) return nif_ok;
    command_free(c);
    return nif_fail(env, APIARY_ESHUTDOWN);
}

static ERL_NIF_TERM job_ask(ErlNifEnv *env, struct agent *agent, struct job *job, const ERL_NIF_TERM argv[4], bool local)
{
    struct command *c = command_new(env, agent, job, argv[3]);
    int rc = 0;

    if (c == NULL) return nif_fail(env, APIARY_ENOBLOCK);
    if (!command_read(env, c, argv[0], argv[1], argv[2], &rc)) {
        command_free(c);
        return enif_make_badarg(env);
    }
    if (rc < 0) {
        command_free(c);
        return nif_fail(env, rc);
    }
    if (local) command_local(c);
    return job_command(env, c);
}

/* job_delegate(Job, Capability, Body, Options, Ref) -> ok | {error, _}: a task for the sake of this one; {apiary_done, Ref,
 * Result}. */
NIF(nif_job_delegate)
{
    struct job *job = job_of(env, argv[0]);

    (void)argc;
    if (job == NULL) return enif_make_badarg(env);
    return job_ask(env, job->agent, job, argv + 1, false);
}

/* agent_delegate(Agent, Capability, Body, Options, Ref, Local) -> ok | {error, _}: for no task in particular. */
NIF(nif_agent_delegate)
{
    struct agent *agent = agent_get(env, argv[0]);

    (void)argc;
    if (agent == NULL) return enif_make_badarg(env);
    return job_ask(env, agent, NULL, argv + 1, enif_is_identical(argv[5], nif_true));
}

/* job_part(Job, Data, Ref) -> ok | {error, _}: {apiary_done, Ref, ok | {error, _}} when the reader has room for it. */
NIF(nif_job_part)
{
    struct job *job = job_of(env, argv[0]);
    struct command *c;
    bool answered;
    int rc = 0;

    (void)argc;
    if (job == NULL) return enif_make_badarg(env);
    enif_mutex_lock(job->lock);
    answered = job->answered;
    job->parted = true; /* so whoever answers after this has the worker tell who waits */
    enif_mutex_unlock(job->lock);
    if (answered) return nif_fail(env, APIARY_ESTALE);
    c = command_new(env, job->agent, job, argv[2]);
    if (c == NULL) return nif_fail(env, APIARY_ENOBLOCK);
    if (!command_read(env, c, enif_make_list(env, 0), argv[1], enif_make_list(env, 0), &rc) || rc < 0) {
        command_free(c);
        return rc < 0 ? nif_fail(env, rc) : enif_make_badarg(env);
    }
    command_as_part(c);
    return job_command(env, c);
}
