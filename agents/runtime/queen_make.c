/* agents/runtime/queen_make.c - a queen from its description: judged, copied; and its end. See queen.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "agents/runtime/queen.h"
#include "agents/runtime/terms_config.h"
#include "core/invariant.h"
#include "core/name.h"
#include "core/sized.h"
#include "core/text.h"
#include "registry/monitor/health.h"

/* ---- judged --------------------------------------------------------------------------------------------------- */

static int judge_agent(const apiary_swarm_description_t *d, size_t i, char *message, size_t size)
{
    const apiary_agent_description_t *a = &d->agents[i];
    const char *name = a->name != NULL ? a->name : "";
    uint32_t workers = d->workers != 0 ? d->workers : 1;

    if (!ap_name_valid(name, APIARY_NAME_MAX)) {
        ap_format(message, size, "agent %zu of %s: '%s' is not a name", i, d->service, name);
        return APIARY_EINVAL;
    }
    for (size_t k = 0; k < i; k++) {
        if (strcmp(d->agents[k].name, name) != 0) continue;
        ap_format(message, size, "agent %s: named twice in %s", name, d->service);
        return APIARY_EINVAL;
    }
    if (a->capabilities == NULL || a->capabilities[0] == NULL) {
        ap_format(message, size, "agent %s: offers no capability", name);
        return APIARY_EINVAL;
    }
    for (const char *const *c = a->capabilities; *c != NULL; c++) {
        if (ap_capability_valid(*c) && ap_agent_kind_offers(a->kind, *c)) continue;
        ap_format(message, size, ap_capability_valid(*c) ? "agent %s: its kind does not have the capability %s"
                                                        : "agent %s: '%s' is not a capability name", name, *c);
        return APIARY_EINVAL;
    }
    if (a->worker >= workers) {
        ap_format(message, size, "agent %s: there is no worker %u, %s has %u", name, a->worker, d->service, workers);
        return APIARY_EINVAL;
    }
    return 0;
}

static int make_judge(const apiary_swarm_description_t *d, char *message, size_t size)
{
    int r = 0;

    if (d->service == NULL || !ap_name_valid(d->service, APIARY_NAME_MAX)) {
        ap_format(message, size, "'%s' is not a service name", d->service != NULL ? d->service : "");
        return APIARY_EINVAL;
    }
    if (d->workers > AP_WORKERS_MAX) {
        ap_format(message, size, "%s: %u workers; at most %u", d->service, d->workers, AP_WORKERS_MAX);
        return APIARY_EINVAL;
    }
    if (d->weight > AP_WEIGHT_MAX || d->reserved != 0) {
        ap_format(message, size, "%s: the weight %u; at most %u", d->service, d->weight, AP_WEIGHT_MAX);
        return APIARY_EINVAL;
    }
    if (d->unhealthy_after > AP_HEALTH_TIMES_MAX || d->healthy_after > AP_HEALTH_TIMES_MAX) {
        ap_format(message, size, "%s: unhealthy_after %u, healthy_after %u; at most %u", d->service, d->unhealthy_after,
                  d->healthy_after, AP_HEALTH_TIMES_MAX);
        return APIARY_EINVAL;
    }
    if (d->agents == NULL || d->agent_count == 0) {
        ap_format(message, size, "%s: has no agents", d->service);
        return APIARY_EINVAL;
    }
    for (size_t i = 0; r == 0 && i < d->agent_count; i++) r = judge_agent(d, i, message, size);
    return r;
}

/* ---- read ------------------------------------------------------------------------------------------------------ */

/* Both as this library knows them, whatever version of the public face they are of; `agents` is to be freed. */
struct description {
    apiary_swarm_description_t swarm;
    apiary_agent_description_t *agents;
};

static int make_read_agent(const apiary_swarm_description_t *d, size_t i, apiary_agent_description_t *ret, char *message,
                           size_t size)
{
    const char *from = (const char *)d->agents + i * d->agent_size;
    size_t known = sizeof *ret < d->agent_size ? sizeof *ret : d->agent_size;
    char why[192];
    int r;

    memcpy(ret, from, known);
    for (size_t k = known; k < d->agent_size; k++)
        if (from[k] != 0) return APIARY_ENOTSUP;
    r = ap_agent_kind_adopt(ret->kind, &ret->kind, why, sizeof why);
    if (r < 0) ap_format(message, size, "agent %s: %s", ret->name != NULL ? ret->name : "", why);
    return r;
}

static int read_description(const apiary_swarm_description_t *from, struct description *ret, char *message, size_t size)
{
    int r = ap_sized_in(&ret->swarm, sizeof ret->swarm, AP_FIRST_SWARM_DESCRIPTION, from, from->struct_size);
    const apiary_swarm_description_t *d = &ret->swarm;

    ret->agents = NULL;
    if (r == 0 && d->agent_count > 0 && d->agents != NULL && !ap_sized_valid(d->agent_size, AP_FIRST_AGENT_DESCRIPTION))
        r = APIARY_EINVAL;
    if (r < 0) {
        ap_format(message, size,
                  r == APIARY_ENOTSUP ? "the description says something that only a newer version of this library knows"
                                                    : "the description's sizes are wrong; begin it with APIARY_SWARM_DESCRIPTION");
        return r;
    }
    if (d->agent_count == 0 || d->agents == NULL) return 0; /* told with the rest of what is wrong */
    ret->agents = calloc(d->agent_count, sizeof *ret->agents);
    if (ret->agents == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; r == 0 && i < d->agent_count; i++) r = make_read_agent(d, i, &ret->agents[i], message, size);
    ret->swarm.agents = ret->agents;
    return r;
}

/* ---- copied --------------------------------------------------------------------------------------------------- */

static char *copy(const char *text, bool *failed)
{
    char *own = text != NULL ? strdup(text) : NULL;

    if (text != NULL && own == NULL) *failed = true;
    return own;
}

static char **make_copy_list(const char *const *list, bool *failed)
{
    size_t n = 0;
    char **own;

    while (list[n] != NULL) n++;
    own = calloc(n + 1, sizeof *own);
    if (own == NULL) *failed = true;
    /* Up to the first that cannot be had: behind it ap_queen_free would not look. */
    for (size_t i = 0; own != NULL && i < n && !*failed; i++) own[i] = copy(list[i], failed);
    return own;
}

static void copy_agents(struct ap_queen *q, const apiary_swarm_description_t *d, bool *failed)
{
    for (size_t i = 0; i < d->agent_count; i++) {
        const apiary_agent_description_t *from = &d->agents[i];
        struct ap_agent *agent = &q->agents[i];
        struct ap_worker *w = &q->workers[from->worker];

        q->agent_names[i] = copy(from->name, failed);
        q->agent_capabilities[i] = make_copy_list(from->capabilities, failed);
        agent->handle = ap_handle_open(agent, AP_HANDLE_AGENT);
        if (agent->handle == NULL) *failed = true;
        agent->queen = q;
        agent->worker = w;
        agent->kind = from->kind;
        agent->name = q->agent_names[i];
        agent->limit = AP_AGENT_HANDS;
        w->agents[w->agent_count++] = agent;
        q->rows[i].name = q->agent_names[i];
        q->rows[i].capabilities = (const char *const *)q->agent_capabilities[i];
    }
}

static int configure_agents(struct ap_queen *q, const apiary_swarm_description_t *d, const struct ap_queen_given *given,
                            char *message, size_t size)
{
    struct ap_config_error error = {.text = ""};
    int r = 0;

    for (size_t i = 0; r == 0 && i < d->agent_count; i++) {
        const apiary_agent_description_t *from = &d->agents[i];
        struct ap_agent *agent = &q->agents[i];

        if (given != NULL) {
            agent->config = given->configs[i];
            q->rows[i].terms = given->terms[i];
            q->rows[i].rules = given->rules[i];
            continue;
        }
        r = ap_agent_config_parse(from->config_name, from->config, agent->name, agent->kind, &agent->config_tree, &error);
        if (agent->config_tree != NULL) agent->config = ap_config_root(agent->config_tree);
        if (r == 0) r = ap_terms_parse(agent->name, from->terms, from->capabilities, &q->terms[i], &q->rules[i], &error);
        q->rows[i].terms = q->terms[i];
        q->rows[i].rules = q->rules[i];
    }
    if (r == APIARY_ECONFIG) ap_format(message, size, "%s", error.text);
    return r;
}

/* At least one, of what is more than nothing. */
static uint32_t make_ms(uint64_t ns)
{
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void ap_queen_terms(struct ap_swarm_registration *r, const apiary_swarm_description_t *d)
{
    r->max_delegations = d->max_concurrent_delegations;
    r->weight = d->weight;
    r->unhealthy_after = (uint16_t)d->unhealthy_after;
    r->healthy_after = (uint16_t)d->healthy_after;
    r->health_interval = make_ms(d->health_check_interval);
    r->health_timeout = make_ms(d->health_check_timeout);
}

static void copy_swarm(struct ap_queen *q, const apiary_swarm_description_t *d, bool *failed)
{
    struct ap_swarm_registration *r = &q->registration;

    q->service = copy(d->service, failed);
    r->service = q->service;
    r->instance = q->texts[0] = copy(d->instance, failed);
    r->version = q->texts[1] = copy(d->version, failed);
    r->health_endpoint = q->texts[2] = copy(d->health_endpoint, failed);
    r->metrics_endpoint = q->texts[3] = copy(d->metrics_endpoint, failed);
    r->tags = q->texts[4] = copy(d->tags, failed);
    r->port = d->port;
    ap_queen_terms(r, d);
    r->agents = q->rows;
    r->agent_count = d->agent_count;
    q->log = d->log;
    q->log_user = d->log_user;
}

static void *aligned_zero(size_t size)
{
    void *p = aligned_alloc(AP_LINE, (size + AP_LINE - 1) / AP_LINE * AP_LINE);

    if (p != NULL) memset(p, 0, size);
    return p;
}

static bool tables_make(struct ap_queen *q, const apiary_swarm_description_t *d)
{
    q->worker_count = d->workers != 0 ? d->workers : 1;
    q->workers = aligned_zero(q->worker_count * sizeof *q->workers);
    q->agents = calloc(d->agent_count, sizeof *q->agents);
    q->agent_names = calloc(d->agent_count, sizeof *q->agent_names);
    q->agent_capabilities = calloc(d->agent_count, sizeof *q->agent_capabilities);
    q->rows = calloc(d->agent_count, sizeof *q->rows);
    q->terms = calloc(d->agent_count, sizeof *q->terms);
    q->rules = calloc(d->agent_count, sizeof *q->rules);
    if (q->workers == NULL || q->agents == NULL || q->agent_names == NULL || q->agent_capabilities == NULL || q->rows == NULL ||
        q->terms == NULL || q->rules == NULL)
        return false;
    q->agent_count = d->agent_count;
    for (uint32_t i = 0; i < q->worker_count; i++) {
        struct ap_worker *w = &q->workers[i];
        w->queen = q;
        w->client = q->client;
        w->seg = q->seg;
        w->index = i;
        w->agents = calloc(d->agent_count, sizeof *w->agents);
        if (w->agents == NULL) return false;
    }
    return apiary_memory_open(q->client, d->service, APIARY_MEMORY_LOCAL, &q->local) == 0;
}

static int make(struct apiary *a, const apiary_swarm_description_t *d, const struct ap_queen_given *given, char *message,
                size_t size, struct ap_queen **ret)
{
    struct ap_queen *q;
    bool failed = false;
    int r = make_judge(d, message, size);

    if (r < 0) return r;
    q = aligned_zero(sizeof *q);
    if (q == NULL) return APIARY_ENOBLOCK;
    q->client = a;
    ap_add_relaxed(&a->queens, 1);
    q->seg = a->seg;
    q->handle = ap_handle_open(q, AP_HANDLE_QUEEN);
    if (q->handle != NULL && tables_make(q, d)) {
        copy_agents(q, d, &failed);
        copy_swarm(q, d, &failed);
    } else {
        failed = true;
    }
    r = failed ? APIARY_ENOBLOCK : ap_queen_folder(q, d->state_directory, &q->folder);
    if (given != NULL) q->registration.heir_of = given->heir_of;
    if (r == 0) r = configure_agents(q, d, given, message, size);
    if (r == 0) r = ap_service_intern(q->seg, a->anchor->lane.index, d->service, &q->service_index);
    if (r < 0) {
        ap_queen_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

int ap_queen_make(struct apiary *a, const apiary_swarm_description_t *swarm, const struct ap_queen_given *given, char *message,
                  size_t size, struct ap_queen **ret)
{
    struct description d;
    int r = read_description(swarm, &d, message, size);

    if (r == 0) r = make(a, &d.swarm, given, message, size, ret);
    free(d.agents);
    return r;
}

void ap_queen_free(struct ap_queen *q)
{
    if (q == NULL) return;
    for (uint32_t i = 0; q->workers != NULL && i < q->worker_count; i++) free(q->workers[i].agents);
    for (size_t i = 0; i < q->agent_count; i++) {
        for (char **c = q->agent_capabilities[i]; c != NULL && *c != NULL; c++) free(*c);
        free(q->agent_capabilities[i]);
        free(q->agent_names[i]);
        ap_handle_close(q->agents[i].handle); /* which it has where its worker was never started */
        ap_config_free(q->agents[i].config_tree);
        free(q->terms[i]);
        free(q->rules[i]);
    }
    for (size_t i = 0; i < sizeof q->texts / sizeof q->texts[0]; i++) free(q->texts[i]);
    apiary_memory_close(q->local);
    AP_ASSERT(ap_load_relaxed(&q->client->queens) > 0);
    ap_add_relaxed(&q->client->queens, UINT32_MAX);
    free(q->workers);
    free(q->agents);
    free(q->agent_names);
    free(q->agent_capabilities);
    free(q->rows);
    free(q->terms);
    free(q->rules);
    free(q->service);
    free(q->folder);
    ap_handle_close(q->handle);
    free(q);
}
