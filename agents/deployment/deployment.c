/* agents/deployment/deployment.c - from a configuration tree to the segment's options and the swarms. */
#include "agents/deployment/deployment.h"

#include <stdlib.h>
#include <string.h>

#include "agents/deployment/deployment_int.h"
#include "core/name.h"
#include "core/text.h"
#include "registry/discovery/tags.h"
#include "registry/monitor/health.h"

#define MS INT64_C(1000000)
#define HOUR INT64_C(3600000000000)

#define INSTANCES_MAX 64
#define BACKLOG_MAX 65535
#define BACKLOG 10
#define COOL_DOWN (300000 * MS) /* as the field has it: a load that comes again each few minutes finds its instances */

static const struct ap_key root_keys[] = {
    {.name = "meta_registry", .type = 'm', .what = "the segment and its limits"},
    {.name = "swarms", .type = 'L', .what = "one per service"},
    {.name = "phases", .type = 'L', .what = "sets of services that are started one after another"},
    {.name = NULL},
};

static const struct ap_key swarm_keys[] = {
    {.name = "service", .type = 's', .required = true, .what = "name of the service"},
    {.name = "port", .type = 'i', .min = 1, .max = 65535},
    {.name = "queen", .type = 'm', .what = "instances, restart, restart_stuck, update, autoscale"},
    {.name = "workers", .type = 'i', .min = 1, .max = 16},
    {.name = "version", .type = 's'},
    {.name = "health_endpoint", .type = 's'},
    {.name = "metrics_endpoint", .type = 's'},
    {.name = "listen", .type = 's', .what = "address at which the coordinator serves its /health and /metrics"},
    {.name = "tags", .type = 'l', .what = "words by which its instances are found"},
    {.name = "health_check_interval", .type = 'd', .min = 100 * MS, .max = 24 * HOUR},
    {.name = "health_check_timeout", .type = 'd', .min = 10 * MS, .max = HOUR},
    {.name = "unhealthy_after", .type = 'i', .min = 1, .max = AP_HEALTH_TIMES_MAX},
    {.name = "healthy_after", .type = 'i', .min = 1, .max = AP_HEALTH_TIMES_MAX},
    {.name = "max_concurrent_delegations", .type = 'i', .min = 1, .max = AP_TICKETS_MAX},
    {.name = "weight", .type = 'i', .min = 1, .max = AP_WEIGHT_MAX},
    {.name = "depends_on", .type = 'l', .what = "services that pass before it is started"},
    {.name = "agents", .type = 'L', .required = true, .what = "name, kind or plugin, capabilities of each"},
    {.name = "checks", .type = 'L', .what = "tasks that show that it works"},
    {.name = NULL},
};

static const struct ap_key queen_keys[] = {
    {.name = "instances", .type = 'i', .min = 1, .max = INSTANCES_MAX},
    {.name = "restart", .type = 's', .what = "always or never"},
    {.name = "restart_stuck", .type = 'd', .min = 4000 * MS, .max = 24 * HOUR},
    {.name = "update", .type = 's', .what = "start_first or stop_first"},
    {.name = "autoscale", .type = 'm', .what = "min, max, backlog, cool_down"},
    {.name = NULL},
};

static const struct ap_key autoscale_keys[] = {
    {.name = "min", .type = 'i', .min = 1, .max = INSTANCES_MAX},
    {.name = "max", .type = 'i', .required = true, .min = 1, .max = INSTANCES_MAX},
    {.name = "backlog", .type = 'i', .min = 1, .max = BACKLOG_MAX},
    {.name = "cool_down", .type = 'd', .min = 1000 * MS, .max = 24 * HOUR},
    {.name = NULL},
};

/* ---- swarms --------------------------------------------------------------------------------------------------- */

static int check_port(struct ap_loader *l, const struct ap_deployment_swarm *s, size_t before)
{
    const struct ap_node *at = ap_node_get(s->node, "port");
    const struct ap_node *meta_port = ap_node_get(ap_node_get(ap_config_root(l->d->config), "meta_registry"), "port");

    if (s->port == 0) return 0;
    if (s->port == l->d->port)
        return meta_port != NULL
                   ? ap_node_refuse(at, l->error,
                                    "port: %u is already that of meta_registry (line %u); give %s another port",
                                    s->port, meta_port->line, s->service)
                   : ap_node_refuse(at, l->error,
                                    "port: %u is already that of meta_registry, which names none and so has %u; give %s "
                                    "another port, or meta_registry",
                                    s->port, l->d->port, s->service);
    for (size_t i = 0; i < before; i++) {
        const struct ap_deployment_swarm *other = &l->d->swarms[i];
        if (other->port != s->port) continue;
        return ap_node_refuse(at, l->error, "port: %u is already that of %s (line %u); give %s another port", s->port,
                              other->service, ap_node_get(other->node, "port")->line, s->service);
    }
    return 0;
}

static int check_service(struct ap_loader *l, const struct ap_deployment_swarm *s, size_t before)
{
    const struct ap_node *at = ap_node_get(s->node, "service");

    if (!ap_name_valid(s->service, APIARY_NAME_MAX))
        return ap_node_refuse(at, l->error, "service: '%s' is not a name; " AP_NAME_RULE, AP_SHOWN(s->service, 64));
    for (size_t i = 0; i < before; i++) {
        if (strcmp(l->d->swarms[i].service, s->service) != 0) continue;
        return ap_node_refuse(
            at, l->error,
            "service: %s is already given in line %u; a service is named once (for more of it: queen: "
            "{instances: N})",
            s->service, ap_node_get(l->d->swarms[i].node, "service")->line);
    }
    return 0;
}

static int check_length(struct ap_loader *l, const struct ap_node *map, const char *key, size_t most)
{
    const char *text = ap_node_text(map, key, "");
    size_t length = strlen(text);

    if (length <= most) return 0;
    return ap_node_refuse(ap_node_get(map, key), l->error, "%s: has %zu bytes; allowed: at most %zu", key, length,
                          most);
}

/* The words of the list as one text. */
static int read_tags(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const struct ap_node *list = ap_node_get(s->node, "tags");
    size_t count = list == NULL ? 0 : list->kind == AP_NODE_LIST ? list->count : 1, used = 0;
    char *tags = ap_config_alloc(l->d->config, APIARY_TAGS_MAX + 1);

    if (tags == NULL) return APIARY_ENOBLOCK;
    tags[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const struct ap_node *at = list->kind == AP_NODE_LIST ? list->items[i] : list;
        size_t length = strlen(at->text);

        if (!ap_name_valid(at->text, APIARY_NAME_MAX))
            return ap_node_refuse(at, l->error,
                                  "tags: '%s' is not a tag; allowed: at most %d of a-z 0-9 _ . -, a letter first",
                                  AP_SHOWN(at->text, 64), APIARY_NAME_MAX);
        if (ap_tags_have(tags, at->text)) return ap_node_refuse(at, l->error, "tags: %s is there twice", at->text);
        if (used + (used > 0) + length > APIARY_TAGS_MAX)
            return ap_node_refuse(at, l->error,
                                  "tags: there is no room for %s; allowed: at most %d bytes, with one between two tags", at->text,
                                  APIARY_TAGS_MAX);
        if (used > 0) tags[used++] = ' ';
        memcpy(tags + used, at->text, length + 1);
        used += length;
    }
    s->tags = used > 0 ? tags : NULL;
    return 0;
}

static int check_autoscaled(struct ap_loader *l, const struct ap_deployment_swarm *s, const struct ap_node *at)
{
    if (s->autoscale.max == 0 || (s->instances >= s->autoscale.min && s->instances <= s->autoscale.max)) return 0;
    return ap_node_refuse(at, l->error, "instances: %u is outside of autoscale; allowed: %u to %u", s->instances, s->autoscale.min,
                          s->autoscale.max);
}

static int read_autoscale(struct ap_loader *l, struct ap_deployment_swarm *s, const struct ap_node *queen)
{
    const struct ap_node *at = ap_node_get(queen, "autoscale");
    int e = at != NULL ? ap_node_check(at, autoscale_keys, l->error) : 0;

    if (at == NULL || e < 0) return e;
    s->autoscale = (struct ap_autoscale){.min = (uint32_t)ap_node_number(at, "min", 'i', 1),
                                         .max = (uint32_t)ap_node_number(at, "max", 'i', 1),
                                         .backlog = (uint32_t)ap_node_number(at, "backlog", 'i', BACKLOG),
                                         .cool_down = (uint64_t)ap_node_number(at, "cool_down", 'd', COOL_DOWN)};
    if (s->autoscale.min > s->autoscale.max)
        return ap_node_refuse(ap_node_get(at, "max"), l->error, "max: %u is below min, which is %u; expected at least that",
                              s->autoscale.max, s->autoscale.min);
    s->instances = (uint32_t)ap_node_number(queen, "instances", 'i', s->autoscale.min);
    return check_autoscaled(l, s, ap_node_get(queen, "instances"));
}

static int read_queen(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const struct ap_node *queen = ap_node_get(s->node, "queen");
    const char *restart, *update;
    int e = queen != NULL ? ap_node_check(queen, queen_keys, l->error) : 0;

    if (e < 0) return e;
    s->instances = (uint32_t)ap_node_number(queen, "instances", 'i', 1);
    e = read_autoscale(l, s, queen);
    if (e < 0) return e;
    restart = ap_node_text(queen, "restart", "always");
    s->restart = strcmp(restart, "always") == 0;
    if (!s->restart && strcmp(restart, "never") != 0)
        return ap_node_refuse(ap_node_get(queen, "restart"), l->error,
                              "restart: '%s' is not allowed; expected always or never", AP_SHOWN(restart, 32));
    s->restart_stuck = (uint64_t)ap_node_number(queen, "restart_stuck", 'd', 0);
    if (s->restart_stuck > 0 && !s->restart)
        return ap_node_refuse(ap_node_get(queen, "restart_stuck"), l->error,
                              "restart_stuck: an instance that is ended because it is stuck would not be started again; expected "
                              "restart: always beside it");
    update = ap_node_text(queen, "update", "");
    s->update = strcmp(update, "start_first") == 0  ? AP_UPDATE_START_FIRST
                : strcmp(update, "stop_first") == 0 ? AP_UPDATE_STOP_FIRST
                                                    : AP_UPDATE_BY_COUNT;
    if (s->update == AP_UPDATE_BY_COUNT && ap_node_get(queen, "update") != NULL)
        return ap_node_refuse(ap_node_get(queen, "update"), l->error,
                              "update: '%s' is not allowed; expected start_first or stop_first", AP_SHOWN(update, 32));
    return 0;
}

static int check_delegations(struct ap_loader *l, const struct ap_deployment_swarm *s)
{
    uint32_t most = l->d->segment.geometry.max_concurrent_delegations;

    if (s->max_delegations <= most) return 0;
    return ap_node_refuse(
        ap_node_get(s->node, "max_concurrent_delegations"), l->error,
        "max_concurrent_delegations: %u is more than the segment has room for; allowed: at most %u, which is "
        "max_concurrent_delegations of meta_registry",
        s->max_delegations, most);
}

/* How the daemon asks whether it is well; what is not given here is 0, except for the interval of all of them. */
static int read_health(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    s->health_check_interval = (uint64_t)ap_node_number(s->node, "health_check_interval", 'd',
                                                        (int64_t)l->d->health_check_interval);
    s->health_check_timeout = (uint64_t)ap_node_number(s->node, "health_check_timeout", 'd', 0);
    s->unhealthy_after = (uint32_t)ap_node_number(s->node, "unhealthy_after", 'i', 0);
    s->healthy_after = (uint32_t)ap_node_number(s->node, "healthy_after", 'i', 0);
    if (s->health_endpoint == NULL || ap_endpoint_valid(s->health_endpoint)) return 0;
    return ap_node_refuse(ap_node_get(s->node, "health_endpoint"), l->error,
                          "health_endpoint: '%s' cannot be asked; expected http:// and localhost, 127.x.x.x or [::1], perhaps a "
                          "port and a path, such as http://localhost:4000/health",
                          AP_SHOWN(s->health_endpoint, 64));
}

static int read_swarm(struct ap_loader *l, size_t index, const struct ap_node *node)
{
    struct ap_deployment_swarm *s = &l->d->swarms[index];
    int e = ap_node_check(node, swarm_keys, l->error);

    if (e < 0) return e;
    s->node = node;
    s->service = ap_node_text(node, "service", NULL);
    s->version = ap_node_text(node, "version", NULL);
    s->health_endpoint = ap_node_text(node, "health_endpoint", NULL);
    s->metrics_endpoint = ap_node_text(node, "metrics_endpoint", NULL);
    s->port = (uint16_t)ap_node_number(node, "port", 'i', 0);
    s->workers = (uint32_t)ap_node_number(node, "workers", 'i', 1);
    s->weight = (uint32_t)ap_node_number(node, "weight", 'i', AP_WEIGHT);
    s->max_delegations = (uint32_t)ap_node_number(node, "max_concurrent_delegations", 'i',
                                                  l->d->segment.geometry.max_concurrent_delegations);
    l->kinds = l->only == NULL || strcmp(l->only, s->service) == 0 ? l->all_kinds : NULL;
    e = check_service(l, s, index);
    if (e == 0) e = check_port(l, s, index);
    if (e == 0) e = check_length(l, node, "version", APIARY_NAME_MAX);
    if (e == 0) e = check_length(l, node, "health_endpoint", sizeof(((struct ap_swarm *)0)->health_endpoint) - 1);
    if (e == 0) e = read_health(l, s);
    if (e == 0) e = check_length(l, node, "metrics_endpoint", sizeof(((struct ap_swarm *)0)->metrics_endpoint) - 1);
    if (e == 0) e = ap_deployment_read_listen(l, s);
    if (e == 0) e = read_tags(l, s);
    if (e == 0) e = read_queen(l, s);
    if (e == 0) e = check_delegations(l, s);
    if (e == 0) e = ap_deployment_read_agents(l, s);
    if (e == 0) e = ap_deployment_read_checks(l, s);
    return e;
}

/* A segment that cannot hold what the same file asks for is found here and not when the last queen starts. */
static int check_room(struct ap_loader *l, const struct ap_node *root)
{
    const struct ap_node *meta = ap_node_get(root, "meta_registry"), *at;
    const struct ap_geometry *g = &l->d->segment.geometry;
    uint64_t instances = 0, agents = 0, lanes = 3;

    for (size_t i = 0; i < l->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &l->d->swarms[i];
        uint32_t most = ap_deployment_most_instances(s);

        instances += most;
        agents += (uint64_t)most * s->agent_count;
        lanes += (uint64_t)most * (s->workers + 2);
    }
    const struct {
        const char *key, *why;
        uint64_t have, need;
    } rooms[] = {
        {"services", "one for each service", AP_REGISTRY_NUMBER(g, SERVICES), l->d->swarm_count},
        {"swarms", "one for each instance of a queen", AP_REGISTRY_NUMBER(g, SWARMS), instances},
        {"members", "one for each queen and the daemon", g->members, instances + 1},
        {"queues", "one for each agent of each instance", g->queues, agents},
        {"lanes", "two and one for each worker in each queen, three for the daemon", g->lanes, lanes},
    };
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        if (rooms[i].have >= rooms[i].need) continue;
        at = ap_node_get(meta, rooms[i].key);
        if (at == NULL) at = meta != NULL ? meta : root;
        return ap_node_refuse(
            at, l->error, "%s: %llu is too few for the swarms of this file; expected at least %llu (%s)", rooms[i].key,
            (unsigned long long)rooms[i].have, (unsigned long long)rooms[i].need, rooms[i].why);
    }
    return 0;
}

static int read_root(struct ap_loader *l)
{
    const struct ap_node *root = ap_config_root(l->d->config), *swarms;
    int e = ap_node_check(root, root_keys, l->error);

    if (e == 0) e = ap_deployment_registry(l, ap_node_get(root, "meta_registry"));
    if (e < 0) return e;
    swarms = ap_node_get(root, "swarms");
    if (swarms == NULL) return ap_deployment_read_order(l);
    l->d->swarms = ap_config_alloc(l->d->config, swarms->count * sizeof *l->d->swarms);
    if (l->d->swarms == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < swarms->count; i++) {
        e = read_swarm(l, i, swarms->items[i]);
        if (e < 0) return e;
        l->d->swarm_count = i + 1;
    }
    e = ap_deployment_check_rules(l);
    if (e == 0) e = ap_deployment_check_state(l);
    if (e == 0) e = ap_deployment_read_order(l);
    return e < 0 ? e : check_room(l, root);
}

int ap_deployment_parse(const char *path, const char *text, size_t size, const apiary_agent_kind_t *const *kinds,
                        const char *only, struct ap_deployment **ret, struct ap_config_error *error)
{
    struct ap_config_error ignored;
    struct ap_loader l = {.all_kinds = kinds, .only = only, .error = error != NULL ? error : &ignored};
    int e;

    l.d = calloc(1, sizeof *l.d);
    e = l.d == NULL     ? APIARY_ENOBLOCK
        : text != NULL ? ap_config_parse(path, text, size, &l.d->config, l.error)
                       : ap_config_load(path, &l.d->config, l.error);
    if (e == 0) e = read_root(&l);
    if (e < 0) {
        if (e == APIARY_ENOBLOCK) ap_format(l.error->text, sizeof l.error->text, "%s: no memory", AP_SHOWN(path, 160));
        ap_deployment_free(l.d);
        return e;
    }
    *ret = l.d;
    return 0;
}

int ap_deployment_load(const char *path, const apiary_agent_kind_t *const *kinds, struct ap_deployment **ret,
                       struct ap_config_error *error)
{
    return ap_deployment_parse(path, NULL, 0, kinds, NULL, ret, error);
}

void ap_deployment_free(struct ap_deployment *d)
{
    if (d == NULL) return;
    ap_config_free(d->config);
    free(d);
}

const struct ap_deployment_swarm *ap_deployment_swarm(const struct ap_deployment *d, const char *service)
{
    for (size_t i = 0; i < d->swarm_count; i++)
        if (strcmp(d->swarms[i].service, service) == 0) return &d->swarms[i];
    return NULL;
}

uint32_t ap_deployment_most_instances(const struct ap_deployment_swarm *swarm)
{
    return swarm->instances > swarm->autoscale.max ? swarm->instances : swarm->autoscale.max;
}

void ap_deployment_keep_scale(const struct ap_deployment *running, struct ap_deployment *next)
{
    for (size_t i = 0; i < next->swarm_count; i++) {
        struct ap_deployment_swarm *s = &next->swarms[i];
        const struct ap_deployment_swarm *is = ap_deployment_swarm(running, s->service);

        if (is == NULL || s->autoscale.max == 0) continue;
        s->instances = is->instances < s->autoscale.min   ? s->autoscale.min
                       : is->instances > s->autoscale.max ? s->autoscale.max
                                                          : is->instances;
    }
}

uint32_t ap_deployment_written_instances(const struct ap_deployment_swarm *swarm)
{
    return (uint32_t)ap_node_number(ap_node_get(swarm->node, "queen"), "instances", 'i', 1);
}

static int scale_instances(struct ap_loader *l, struct ap_deployment_swarm *s, uint32_t instances)
{
    if (instances < 1 || instances > INSTANCES_MAX)
        return ap_node_refuse(s->node, l->error, "instances: %u is out of range; allowed: 1 to %u", instances, INSTANCES_MAX);
    s->instances = instances;
    return check_autoscaled(l, s, ap_node_get(ap_node_get(s->node, "queen"), "autoscale"));
}

static int scale_replicas(struct ap_loader *l, struct ap_deployment_swarm *s, const struct ap_deployment_agent *a,
                          uint32_t replicas)
{
    if (replicas < 1 || replicas > AP_REPLICAS_MAX)
        return ap_node_refuse(a->node, l->error, "replicas: %u is out of range; allowed: 1 to %u", replicas, AP_REPLICAS_MAX);
    return ap_deployment_agents_replicate(l, s, (size_t)(a - s->agents), replicas);
}

static int scale_judge(struct ap_loader *l)
{
    int e = ap_deployment_check_state(l);

    return e < 0 ? e : check_room(l, ap_config_root(l->d->config));
}

/* `agent` NULL: instances. `judged`: at once. */
static int scale_put(struct ap_deployment *d, const char *service, const char *agent, uint32_t number, bool judged,
                     struct ap_config_error *error)
{
    struct ap_config_error ignored;
    struct ap_loader l = {.d = d, .error = error != NULL ? error : &ignored};
    const struct ap_deployment_agent *a = NULL;
    struct ap_deployment_swarm *s = NULL, before;
    int e;

    for (size_t i = 0; i < d->swarm_count; i++)
        if (strcmp(d->swarms[i].service, service) == 0) s = &d->swarms[i];
    if (s != NULL && agent != NULL) a = ap_deployment_agent(s, agent);
    if (s == NULL || (agent != NULL && a == NULL)) return APIARY_EINVAL;
    before = *s;
    e = a != NULL ? scale_replicas(&l, s, a, number) : scale_instances(&l, s, number);
    if (e == APIARY_ENOBLOCK)
        ap_node_refuse(a != NULL ? a->node : s->node, l.error,
                       "%s: there is no memory for %u of %s; free some, or raise the limit of this process (ulimit -v, or "
                       "MemoryMax= of its unit)", a != NULL ? "replicas" : "instances", number, a != NULL ? agent : service);
    if (e == 0 && judged) e = scale_judge(&l);
    if (e < 0) *s = before;
    return e;
}

int ap_deployment_scale(struct ap_deployment *d, const char *service, const char *agent, uint32_t number,
                        struct ap_config_error *error)
{
    return scale_put(d, service, agent, number, true, error);
}

int ap_deployment_put_scale(struct ap_deployment *d, const char *service, const char *agent, uint32_t number,
                            struct ap_config_error *error)
{
    return scale_put(d, service, agent, number, false, error);
}

int ap_deployment_judge(struct ap_deployment *d, struct ap_config_error *error)
{
    struct ap_config_error ignored;
    struct ap_loader l = {.d = d, .error = error != NULL ? error : &ignored};

    return scale_judge(&l);
}
