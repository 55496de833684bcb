/* queen.c - queens whose agents are processes of this Erlang node. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queen.h"

/* ---- agents ----------------------------------------------------------------------------------------------------- */

static ErlNifResourceType *agent_type;
static ErlNifMutex *agents_lock;
static struct agent *agents_waiting; /* from agent_new to the end of the queen's start: found by their numbers */
static uint64_t agents_made;

static void agent_forget(struct agent *agent)
{
    struct agent **at = &agents_waiting;

    enif_mutex_lock(agents_lock);
    while (*at != NULL && *at != agent) at = &(*at)->next;
    if (*at != NULL) *at = agent->next;
    enif_mutex_unlock(agents_lock);
}

static void agent_destroy(ErlNifEnv *env, void *object)
{
    struct agent *agent = object;

    (void)env;
    agent_forget(agent);
    if (agent->lock != NULL) enif_mutex_destroy(agent->lock);
}

struct agent *agent_get(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *object;

    return enif_get_resource(env, term, agent_type, &object) ? object : NULL;
}

/* agent_new(Limit, Pid) -> Agent: to be given to queen_start. `Limit` tasks at most are in the hands of the process. */
NIF(nif_agent_new)
{
    struct agent *agent;
    ERL_NIF_TERM ret;
    ErlNifPid pid;
    unsigned limit;

    (void)argc;
    if (!enif_get_uint(env, argv[0], &limit) || !enif_get_local_pid(env, argv[1], &pid)) return enif_make_badarg(env);
    agent = enif_alloc_resource(agent_type, sizeof *agent);
    *agent = (struct agent){.lock = enif_mutex_create("apiary_agent"), .pid = pid, .limit = limit, .bell = -1};
    enif_mutex_lock(agents_lock);
    agent->number = ++agents_made;
    agent->next = agents_waiting;
    agents_waiting = agent;
    enif_mutex_unlock(agents_lock);
    ret = enif_make_resource(env, agent);
    enif_release_resource(agent);
    return ret;
}

/* agent_bind(Agent, Pid) -> ok: another process gets its tasks from now on. */
NIF(nif_agent_bind)
{
    struct agent *agent = agent_get(env, argv[0]);
    ErlNifPid pid;

    (void)argc;
    if (agent == NULL || !enif_get_local_pid(env, argv[1], &pid)) return enif_make_badarg(env);
    enif_mutex_lock(agent->lock);
    agent->pid = pid;
    enif_mutex_unlock(agent->lock);
    return nif_ok;
}

static int beam_create(apiary_agent_t *handle, void **state)
{
    uint64_t number = (uint64_t)apiary_agent_number(handle, "at", 0);
    struct agent *agent;
    int rc;

    enif_mutex_lock(agents_lock);
    for (agent = agents_waiting; agent != NULL && agent->number != number; agent = agent->next) {}
    if (agent != NULL) enif_keep_resource(agent);
    enif_mutex_unlock(agents_lock);
    if (agent == NULL) return APIARY_EINVAL;
    agent->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* LINT: a NIF has the public headers only */
    rc = agent->bell < 0 ? APIARY_ESYS : apiary_watch_fd(handle, agent->bell, POLLIN, commands_run, agent, NULL);
    if (rc < 0) {
        if (agent->bell >= 0) close(agent->bell);
        enif_release_resource(agent);
        return rc;
    }
    apiary_agent_limit(handle, agent->limit);
    enif_mutex_lock(agent->lock);
    agent->agent = handle;
    enif_mutex_unlock(agent->lock);
    *state = agent;
    return 0;
}

static void beam_destroy(void *state)
{
    struct agent *agent = state;

    enif_mutex_lock(agent->lock);
    agent->agent = NULL;
    enif_mutex_unlock(agent->lock);
    commands_refuse(agent);
    close(agent->bell);
    enif_release_resource(agent);
}

static const apiary_agent_key_t beam_keys[] = {{.name = "at", .type = 'i', .required = 1, .what = "its number in this node"},
                                               {.name = NULL}};
const apiary_agent_kind_t agent_kind_beam = {APIARY_AGENT_KIND, .name = "beam", .what = "a process of an Erlang node",
                                             .keys = beam_keys, .create = beam_create, .handle = job_arrived,
                                             .destroy = beam_destroy};

/* ---- queens ----------------------------------------------------------------------------------------------------- */

struct queen {
    struct handle *handle; /* kept, and used until it has left */
    ErlNifMutex *lock;
    apiary_queen_t *queen;
    ErlNifPid pid; /* of the process that started it, which gets what it logs */
    ErlNifMonitor monitor;
};

static ErlNifResourceType *queen_type;
static _Thread_local ErlNifEnv *queen_env; /* of a dirty scheduler in queen_start or queen_stop, which may log */

#define QUEEN_PATIENCE UINT64_C(5000000000)

struct queen_end {
    struct handle *handle;
    apiary_queen_t *queen;
};

static void *queen_end_run(void *user)
{
    struct queen_end *end = user;

    while (apiary_queen_stop(end->queen, QUEEN_PATIENCE) == APIARY_ETIMEDOUT) {}
    handle_leave(end->handle);
    enif_release_resource(end->handle);
    free(end);
    return NULL;
}

/* For one who stops it: NULL where another does, or has. */
static apiary_queen_t *queen_take(struct queen *q)
{
    apiary_queen_t *queen;

    enif_mutex_lock(q->lock);
    queen = q->queen;
    q->queen = NULL;
    enif_mutex_unlock(q->lock);
    return queen;
}

/* It leaves by itself: nobody can stop it any more. */
static void queen_abandon(struct queen *q)
{
    struct queen_end *end = malloc(sizeof *end);

    if (end != NULL) *end = (struct queen_end){.handle = q->handle, .queen = queen_take(q)};
    if (end == NULL || end->queen == NULL) {
        free(end);
        return;
    }
    enif_keep_resource(end->handle);
    if (!nif_thread(queen_end_run, end)) free(end); /* its process's end leaves its tasks to others */
}

static void queen_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    (void)env, (void)pid, (void)monitor;
    queen_abandon(object);
}

static void queen_destroy(ErlNifEnv *env, void *object)
{
    struct queen *q = object;

    (void)env;
    if (q->lock == NULL) return;
    queen_abandon(q);
    enif_mutex_destroy(q->lock);
    enif_release_resource(q->handle);
}

bool queen_init(ErlNifEnv *env)
{
    ErlNifResourceTypeInit agent = {.dtor = agent_destroy}, queen = {.dtor = queen_destroy, .down = queen_down};

    agents_lock = enif_mutex_create("apiary_agents");
    agent_type = enif_open_resource_type_x(env, "apiary_agent", &agent, ERL_NIF_RT_CREATE, NULL);
    queen_type = enif_open_resource_type_x(env, "apiary_queen", &queen, ERL_NIF_RT_CREATE, NULL);
    return agents_lock != NULL && agent_type != NULL && queen_type != NULL;
}

struct queen_log { /* lives as long as the node: a queen's threads may log until she has left */
    ErlNifPid pid;
};

static void queen_log_line(void *user, int level, const char *line)
{
    struct queen_log *log = user;
    ErlNifEnv *env = enif_alloc_env();
    ERL_NIF_TERM message = enif_make_tuple3(env, enif_make_atom(env, "apiary_log"), enif_make_int(env, level),
                                            nif_text(env, line));

    if (queen_env != NULL || enif_thread_type() == ERL_NIF_THR_UNDEFINED) enif_send(queen_env, &log->pid, env, message);
    enif_free_env(env);
}

/* ---- its description --------------------------------------------------------------------------------------------- */

struct description {
    apiary_swarm_description_t swarm;
    char *text[7]; /* service, instance, version, health and metrics endpoint, tags, state directory */
    apiary_agent_description_t *agents;
};

static void description_free(struct description *d)
{
    for (size_t i = 0; i < d->swarm.agent_count; i++) {
        for (const char *const *c = d->agents[i].capabilities; c != NULL && *c != NULL; c++) free((char *)*c);
        free((void *)d->agents[i].capabilities);
        free((char *)d->agents[i].name);
        free((char *)d->agents[i].config);
        free((char *)d->agents[i].terms);
    }
    free(d->agents);
    for (size_t i = 0; i < sizeof d->text / sizeof d->text[0]; i++) free(d->text[i]);
}

static bool agent_capabilities(ErlNifEnv *env, ERL_NIF_TERM list, apiary_agent_description_t *ret)
{
    ERL_NIF_TERM head;
    const char **names;
    unsigned n;

    if (!enif_get_list_length(env, list, &n) || n == 0) return false;
    names = calloc(n + 1, sizeof *names);
    if (names == NULL) return false;
    ret->capabilities = names;
    while (enif_get_list_cell(env, list, &head, &list)) {
        *names = nif_string(env, head);
        if (*names++ == NULL) return false;
    }
    return true;
}

/* {Agent, Name, Capabilities, Worker, Terms | nil} */
static bool read_agent(ErlNifEnv *env, ERL_NIF_TERM term, apiary_agent_description_t *ret)
{
    const ERL_NIF_TERM *of;
    struct agent *agent;
    char config[40], *terms;
    int arity;

    if (!enif_get_tuple(env, term, &arity, &of) || arity != 5) return false;
    agent = agent_get(env, of[0]);
    if (agent == NULL || !enif_get_uint(env, of[3], &ret->worker) || !nif_string_or_nil(env, of[4], &terms)) return false;
    snprintf(config, sizeof config, "at: %llu\n", (unsigned long long)agent->number);
    ret->terms = terms;
    ret->kind = &agent_kind_beam;
    ret->config = strdup(config);
    ret->name = nif_string(env, of[1]);
    return ret->config != NULL && ret->name != NULL && agent_capabilities(env, of[2], ret);
}

static bool read_agents(ErlNifEnv *env, ERL_NIF_TERM list, struct description *d)
{
    ERL_NIF_TERM head;
    unsigned n;

    if (!enif_get_list_length(env, list, &n)) return false;
    d->agents = calloc(n + 1, sizeof *d->agents);
    if (d->agents == NULL) return false;
    d->swarm.agents = d->agents;
    while (enif_get_list_cell(env, list, &head, &list))
        if (!read_agent(env, head, &d->agents[d->swarm.agent_count++])) return false;
    return true;
}

/* {[Text | nil], Port, Workers, MaxDelegations, Weight, [Agent], HealthCheckInterval} */
static bool queen_description(ErlNifEnv *env, ERL_NIF_TERM term, struct description *d)
{
    const ERL_NIF_TERM *of;
    ERL_NIF_TERM head, texts;
    ErlNifUInt64 interval;
    unsigned port, i = 0;
    int arity;

    d->swarm = (apiary_swarm_description_t){APIARY_SWARM_DESCRIPTION, .log = queen_log_line};
    if (!enif_get_tuple(env, term, &arity, &of) || arity != 7 || !enif_get_uint(env, of[1], &port) || port > 65535 ||
        !enif_get_uint(env, of[2], &d->swarm.workers) || !enif_get_uint(env, of[3], &d->swarm.max_concurrent_delegations) ||
        !enif_get_uint(env, of[4], &d->swarm.weight) || !enif_get_uint64(env, of[6], &interval))
        return false;
    d->swarm.health_check_interval = interval;
    texts = of[0];
    while (i < sizeof d->text / sizeof d->text[0] && enif_get_list_cell(env, texts, &head, &texts))
        if (!nif_string_or_nil(env, head, &d->text[i++])) return false;
    d->swarm.port = (uint16_t)port;
    d->swarm.service = d->text[0];
    d->swarm.instance = d->text[1];
    d->swarm.version = d->text[2];
    d->swarm.health_endpoint = d->text[3];
    d->swarm.metrics_endpoint = d->text[4];
    d->swarm.tags = d->text[5];
    d->swarm.state_directory = d->text[6];
    return read_agents(env, of[5], d);
}

static ERL_NIF_TERM queen_started(ErlNifEnv *env, struct handle *h, apiary_queen_t *queen, ErlNifPid pid)
{
    struct queen *q = enif_alloc_resource(queen_type, sizeof *q);
    ERL_NIF_TERM ret;

    *q = (struct queen){.handle = h, .lock = enif_mutex_create("apiary_queen"), .queen = queen, .pid = pid};
    enif_keep_resource(h); /* whose user is the one that has entered */
    enif_monitor_process(env, q, &pid, &q->monitor);
    ret = enif_make_tuple2(env, nif_ok, enif_make_resource(env, q));
    enif_release_resource(q);
    return ret;
}

/* queen_start(Handle, Description, Pid) -> {ok, Queen} | {error, _}: `Pid` gets {apiary_log, Level, Line}; with its end the queen
 * leaves. Dirty: it waits until all agents are created. */
NIF(nif_queen_start)
{
    struct handle *h = handle_get(env, argv[0]);
    struct description d = {.agents = NULL};
    struct queen_log *log = malloc(sizeof *log);
    char message[1024] = "";
    apiary_queen_t *queen;
    ERL_NIF_TERM ret;
    bool entered;
    int rc = APIARY_ESTALE;

    (void)argc;
    if (h == NULL || log == NULL || !enif_get_local_pid(env, argv[2], &log->pid) || !queen_description(env, argv[1], &d)) {
        description_free(&d);
        free(log);
        return enif_make_badarg(env);
    }
    d.swarm.log_user = log;
    entered = handle_enter(h);
    if (entered) {
        queen_env = env;
        rc = apiary_queen_start(h->a, &d.swarm, message, sizeof message, &queen);
        queen_env = NULL;
    }
    description_free(&d);
    if (rc == 0) return queen_started(env, h, queen, log->pid);
    ret = message[0] != '\0' ? nif_fail_text(env, rc, message, strlen(message), 0, 0) : nif_fail(env, rc);
    if (entered) handle_leave(h);
    free(log);
    return ret;
}

/* queen_stop(Queen, Timeout) -> ok | {error, _}: tasks in hand are finished, for `Timeout` at most. Dirty. */
NIF(nif_queen_stop)
{
    apiary_queen_t *queen;
    struct queen *q;
    void *object;
    uint64_t timeout;
    int rc = APIARY_ESTALE;

    (void)argc;
    if (!enif_get_resource(env, argv[0], queen_type, &object) || !nif_get_time(env, argv[1], &timeout))
        return enif_make_badarg(env);
    q = object;
    queen = queen_take(q);
    if (queen == NULL) return nif_fail(env, rc);
    queen_env = env;
    rc = apiary_queen_stop(queen, timeout);
    queen_env = NULL;
    if (rc == 0) {
        handle_leave(q->handle);
    } else {
        enif_mutex_lock(q->lock);
        q->queen = queen;
        enif_mutex_unlock(q->lock);
    }
    return rc < 0 ? nif_fail(env, rc) : nif_ok;
}
