/* agents/core_service/status.c - kind "swarm_status": what the registry knows about the swarms of this host.
 *
 *   health_monitoring  {} or {"service":S} -> {"health":"passing","swarms":N,"passing":N,"tasks":{...},"rows":[...]}
 *                      health is the worst state of the rows
 *   service_discovery  {"capability":C} -> {"providers":[{"service","instance","agent","pid","in_flight","alive"}]}
 *   swarm_coordination {} -> {"services":[names],"instances":N,"agents":N,"in_flight":N}   the roster of the whole host
 */
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { ROWS_FIRST = 64 };

static const char *const state_names[] = {
    "unknown",
#define AP_SWARM_STATE(name, text) [APIARY_##name] = text,
#include "core/swarm_states.def"
};
static const char *const mode_names[] = {
    "unknown",
#define AP_SWARM_MODE(name, text) [APIARY_##name] = text,
#include "core/swarm_states.def"
};
_Static_assert(sizeof state_names / sizeof *state_names == APIARY_DOWN + 1, "each state has its name");
_Static_assert(sizeof mode_names / sizeof *mode_names == APIARY_PAUSE + 1, "each mode has its name");

static const char *status_state_name(enum apiary_state state)
{
    return state_names[state >= APIARY_STARTING && state <= APIARY_DOWN ? state : 0];
}

static const char *mode_name(enum apiary_mode mode)
{
    return mode_names[mode >= APIARY_READY && mode <= APIARY_PAUSE ? mode : 0];
}

/* Starting is between passing and warning: it is no fault. */
static int badness(enum apiary_state state)
{
    static const int order[] = {0, 1, 0, 2, 3, 4};
    return state >= APIARY_STARTING && state <= APIARY_DOWN ? order[state] : 4;
}

/* All rows of a service (NULL: all), on the agent's heap; negative: the job is failed. */
static int read_rows(apiary_agent_t *agent, apiary_job_t *job, const char *service, apiary_swarm_status_t **ret)
{
    for (size_t room = ROWS_FIRST;;) {
        apiary_swarm_status_t *rows = apiary_agent_alloc(agent, room * sizeof *rows);
        if (!rows) {
            ap_out_of_memory(job);
            return -1;
        }
        rows[0].struct_size = sizeof *rows;
        int count = apiary_swarm_status(apiary_agent_handle(agent), service, rows, room);
        if (count >= 0 && (size_t)count <= room) {
            *ret = rows;
            return count;
        }
        apiary_agent_free(agent, rows);
        if (count < 0) {
            apiary_job_fail(job, AP_CODE_INTERNAL, "the swarms' status: %s", apiary_strerror(count));
            return -1;
        }
        room = (size_t)count + ROWS_FIRST;
    }
}

static void status_health(void *state, apiary_job_t *job, const json_t *request)
{
    const char *service = NULL;
    apiary_swarm_status_t *rows;
    enum apiary_state worst = APIARY_PASSING;
    int passing = 0, count;
    json_int_t started = 0, finished = 0, failed = 0;
    if (!ap_may_text(job, request, "service", &service) || (count = read_rows(state, job, service, &rows)) < 0) return;
    if (count == 0 && service) {
        apiary_agent_free(state, rows);
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "no swarm of \"%s\" is registered", service);
        return;
    }
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        const apiary_swarm_status_t *r = &rows[i];
        if (badness(r->state) > badness(worst)) worst = r->state;
        passing += r->state == APIARY_PASSING;
        started += (json_int_t)r->started;
        finished += (json_int_t)r->finished;
        failed += (json_int_t)r->failed;
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:I,s:i,s:i,s:i}", "service", r->service, "instance",
                                              r->instance, "state", status_state_name(r->state), "mode", mode_name(r->mode),
                                              "pid", (json_int_t)r->pid, "agents", (int)r->agents, "queued",
                                              (int)r->queued, "running", (int)r->running));
    }
    apiary_agent_free(state, rows);
    ap_answer(job, "{s:s,s:i,s:i,s:{s:I,s:I,s:I},s:o}", "health", status_state_name(worst), "swarms", count, "passing",
              passing, "tasks", "started", started, "finished", finished, "failed", failed, "rows", list);
}

/* All providers, on the agent's heap, or an error of the library. */
static int read_providers(apiary_agent_t *agent, const char *capability, apiary_provider_t **ret)
{
    for (size_t room = ROWS_FIRST;;) {
        apiary_provider_t *rows = apiary_agent_alloc(agent, room * sizeof *rows);
        if (rows) rows[0].struct_size = sizeof *rows;
        int count = rows ? apiary_discover(apiary_agent_handle(agent), capability, rows, room) : APIARY_ENOBLOCK;
        if (count >= 0 && (size_t)count <= room) {
            *ret = rows;
            return count;
        }
        apiary_agent_free(agent, rows);
        if (count < 0) return count;
        room = (size_t)count + ROWS_FIRST;
    }
}

static void status_discover(void *state, apiary_job_t *job, const json_t *request)
{
    const char *capability;
    apiary_provider_t *rows = NULL;
    if (!ap_need_text(job, request, "capability", &capability)) return;
    int count = read_providers(state, capability, &rows);
    if (count == APIARY_ENOBLOCK) {
        ap_out_of_memory(job);
    } else if (count < 0) {
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "%s: %s", capability, apiary_strerror(count));
    } else {
        json_t *list = json_array();
        for (int i = 0; i < count; i++)
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:s,s:I,s:i,s:b}", "service", rows[i].service, "instance",
                                            rows[i].instance, "agent", rows[i].agent, "pid", (json_int_t)rows[i].pid,
                                            "in_flight", (int)rows[i].in_flight, "alive", rows[i].alive != 0));
        ap_answer(job, "{s:o}", "providers", list);
    }
    apiary_agent_free(state, rows);
}

static bool names_it(const json_t *services, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(services, i, item) if (strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

static void coordinate(void *state, apiary_job_t *job, const json_t *request)
{
    apiary_swarm_status_t *rows;
    int count = read_rows(state, job, NULL, &rows), agents = 0, in_flight = 0;
    (void)request;
    if (count < 0) return;
    json_t *services = json_array();
    for (int i = 0; i < count; i++) {
        agents += (int)rows[i].agents;
        in_flight += (int)(rows[i].queued + rows[i].running);
        if (!names_it(services, rows[i].service)) json_array_append_new(services, json_string(rows[i].service));
    }
    apiary_agent_free(state, rows);
    ap_answer(job, "{s:o,s:i,s:i,s:i}", "services", services, "instances", count, "agents", agents, "in_flight",
              in_flight);
}

const struct ap_function ap_functions_swarm_status[] = {
    {.capability = "health_monitoring",
     .call = status_health,
     .in = AP_OBJECT("", "'service':{'type':'string'}"),
     .out = AP_OBJECT("'health','swarms','passing','tasks','rows'", "'health':{'type':'string'},"
                      "'swarms':{'type':'integer'},"
                      "'passing':{'type':'integer'},"
                      "'tasks':{'type':'object','additionalProperties':{'type':'integer'}},"
                      "'rows':{'type':'array','items':{'type':'object'}}"),
     .bound = "one look at each instance",
     .again = AP_AGAIN_LOOKS,
     .send = "{}"},
    {.capability = "service_discovery",
     .call = status_discover,
     .in = AP_OBJECT("'capability'", "'capability':{'type':'string','minLength':1,'maxLength':63}"),
     .out = AP_OBJECT("'providers'", "'providers':{'type':'array','items':{'type':'object'}}"),
     .bound = "one look at each provider",
     .again = AP_AGAIN_LOOKS,
     .send = "{\"capability\":\"some_capability\"}"},
    {.capability = "swarm_coordination",
     .call = coordinate,
     .in = AP_OBJECT("", ""),
     .out = AP_OBJECT("'services','instances','agents','in_flight'", "'services':{'type':'array',"
           "'items':{'type':'string'}},"
                      "'instances':{'type':'integer'},"
                      "'agents':{'type':'integer'},"
                      "'in_flight':{'type':'integer'}"),
     .bound = "one look at each instance",
     .again = AP_AGAIN_LOOKS,
     .send = "{}"},
    {.capability = NULL},
};

static void status_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_swarm_status, state, job);
}

const apiary_agent_kind_t ap_kind_swarm_status = {
    APIARY_AGENT_KIND,
    .name = "swarm_status",
    .what =
        "health_monitoring, service_discovery, swarm_coordination: what the registry knows about this host's swarms",
    .create = ap_create_plain,
    .handle = status_handle,
    .capabilities = (const char *const[]){"health_monitoring", "service_discovery", "swarm_coordination", NULL},
};
