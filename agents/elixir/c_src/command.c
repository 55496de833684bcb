/* command.c - what only an agent's worker may do (delegate for a job, send a part): handed to it by an eventfd in its loop. The
 * process that asks gets {apiary_done, Ref, Result}. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queen.h"

struct command {
    struct command *next;
    enum { COMMAND_DELEGATE, COMMAND_LOCAL, COMMAND_PART, COMMAND_ANSWERED } kind;
    struct agent *agent; /* kept */
    struct job *job;     /* kept; NULL: for no task */
    char *capability;
    void *body;
    size_t size;
    apiary_delegate_options_t options;
    ErlNifPid pid;
    ErlNifEnv *env;
    ERL_NIF_TERM ref;
};

void command_free(struct command *c)
{
    if (c->job != NULL) enif_release_resource(c->job);
    enif_release_resource(c->agent);
    enif_free_env(c->env);
    free(c->capability);
    free(c->body);
    free(c);
}

/* On a thread of the library. */
static void command_reply(struct command *c, ERL_NIF_TERM result)
{
    enif_send(NULL, &c->pid, c->env, enif_make_tuple3(c->env, enif_make_atom(c->env, "apiary_done"), c->ref, result));
    command_free(c);
}

struct command *command_new(ErlNifEnv *env, struct agent *agent, struct job *job, ERL_NIF_TERM ref)
{
    struct command *c = calloc(1, sizeof *c);

    if (c == NULL) return NULL;
    c->env = enif_alloc_env();
    c->ref = enif_make_copy(c->env, ref);
    c->agent = agent;
    c->job = job;
    enif_keep_resource(agent);
    if (job != NULL) enif_keep_resource(job);
    enif_self(env, &c->pid);
    return c;
}

bool command_read(ErlNifEnv *env, struct command *c, ERL_NIF_TERM capability, ERL_NIF_TERM body, ERL_NIF_TERM options, int *error)
{
    ErlNifBinary bytes;

    c->capability = nif_string(env, capability);
    if (c->capability == NULL || !enif_inspect_iolist_as_binary(env, body, &bytes)) return false;
    *error = options_read(env, options, &c->options);
    c->body = malloc(bytes.size + 1);
    if (c->body == NULL) *error = APIARY_ENOBLOCK;
    if (c->body != NULL && bytes.size > 0) memcpy(c->body, bytes.data, bytes.size);
    c->size = bytes.size;
    return true;
}

void command_as_part(struct command *c)
{
    c->kind = COMMAND_PART;
}

void command_answered(struct command *c)
{
    c->kind = COMMAND_ANSWERED;
}

void command_local(struct command *c)
{
    c->kind = COMMAND_LOCAL;
}

bool command_give(struct command *c)
{
    struct agent *agent = c->agent;
    uint64_t one = 1;
    bool there;

    enif_mutex_lock(agent->lock);
    there = agent->agent != NULL;
    if (there) {
        if (agent->last != NULL)
            agent->last->next = c;
        else
            agent->first = c;
        agent->last = c;
        if (write(agent->bell, &one, sizeof one) < 0) {
            /* The counter is at its limit: the worker is to come in any case. */
        }
    }
    enif_mutex_unlock(agent->lock);
    return there;
}

static struct command *commands_take(struct agent *agent)
{
    struct command *c;

    enif_mutex_lock(agent->lock);
    c = agent->first;
    agent->first = agent->last = NULL;
    enif_mutex_unlock(agent->lock);
    return c;
}

static void parts_refuse(struct agent *agent, const apiary_job_t *handle, int error);

void commands_refuse(struct agent *agent)
{
    parts_refuse(agent, NULL, APIARY_ESHUTDOWN);
    for (struct command *c = commands_take(agent), *next; c != NULL; c = next) {
        next = c->next;
        command_reply(c, nif_fail(c->env, APIARY_ESHUTDOWN));
    }
}

static void command_done(void *user, const apiary_result_t *result)
{
    struct command *c = user;

    command_reply(c, result_copy(c->env, result));
}

static void command_delegate(struct command *c)
{
    bool detached = (c->options.flags & APIARY_DETACH) != 0;
    apiary_done_fn done = detached ? NULL : command_done;
    int rc;

    if (c->job != NULL)
        rc = apiary_job_delegate(c->job->job, c->capability, c->body, c->size, &c->options, done, c);
    else if (c->kind == COMMAND_LOCAL)
        rc = apiary_agent_execute_task(c->agent->agent, c->capability, c->body, c->size, &c->options, done, c);
    else
        rc = apiary_agent_delegate_external_task(c->agent->agent, c->capability, c->body, c->size, &c->options, done, c);
    if (rc < 0)
        command_reply(c, nif_refused(c->env, apiary_agent_handle(c->agent->agent), rc));
    else if (detached)
        command_reply(c, enif_make_tuple2(c->env, nif_ok, nif_bytes(c->env, NULL, 0)));
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

/* Those of the job that wait, or with NULL all, in their order. */
static struct command *parts_take(struct agent *agent, const apiary_job_t *handle)
{
    struct command **at = &agent->behind, *taken = NULL, **last = &taken;

    while (*at != NULL) {
        struct command *c = *at;
        if (handle != NULL && c->job->job != handle) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = NULL;
        *last = c;
        last = &c->next;
    }
    return taken;
}

static void parts_refuse(struct agent *agent, const apiary_job_t *handle, int error)
{
    for (struct command *c = parts_take(agent, handle), *next; c != NULL; c = next) {
        next = c->next;
        command_reply(c, nif_fail(c->env, error));
    }
}

static void command_part(struct command *c);

static void part_again(void *user, apiary_job_t *handle)
{
    for (struct command *c = parts_take(user, handle), *next; c != NULL; c = next) {
        next = c->next;
        command_part(c);
    }
}

/* A part comes behind those of its job that wait already. */
static void command_part(struct command *c)
{
    struct command **at = &c->agent->behind;
    apiary_job_t *job = c->job->job;
    int rc;

    while (*at != NULL && (*at)->job != c->job) at = &(*at)->next;
    rc = *at != NULL ? APIARY_EBEHIND : apiary_job_part(job, c->body, c->size);
    if (rc == APIARY_EBEHIND && *at == NULL) {
        /* For a task that nobody wants any more the wait would be over at once, and the window as full. */
        if (apiary_job_cancelled(job)) rc = APIARY_ECANCELLED;
        else if (apiary_job_part_ready(job, part_again, c->agent) < 0) rc = APIARY_ESTALE;
    }
    if (rc != APIARY_EBEHIND) {
        command_reply(c, rc < 0 ? nif_fail(c->env, rc) : nif_ok);
        return;
    }
    while (*at != NULL) at = &(*at)->next;
    c->next = NULL;
    *at = c;
}

void commands_run(void *user, uint32_t events)
{
    struct agent *agent = user;
    uint64_t count;

    (void)events;
    if (read(agent->bell, &count, sizeof count) < 0) {
        /* Nothing is announced; what is there is taken all the same. */
    }
    for (struct command *c = commands_take(agent), *next; c != NULL; c = next) {
        next = c->next;
        if (c->kind == COMMAND_PART) {
            command_part(c);
        } else if (c->kind == COMMAND_ANSWERED) {
            parts_refuse(agent, c->job->job, APIARY_ESTALE);
            command_free(c);
        } else {
            command_delegate(c);
        }
    }
}
