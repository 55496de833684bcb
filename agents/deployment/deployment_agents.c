/* agents/deployment/deployment_agents.c - the agents and checks of a swarm's configuration. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/deployment/deployment_int.h"
#include "agents/runtime/kind.h"
#include "agents/runtime/terms_config.h"
#include "core/name.h"
#include "core/text.h"

#define MS INT64_C(1000000)
#define HOUR INT64_C(3600000000000)
#define PATTERN_MAX 512u
#define PATTERN_REPEATS_MAX 1000u

static const struct ap_key agent_keys[] = {
    {.name = "name", .type = 's', .required = true, .what = "the agent's name"},
    {.name = "kind", .type = 's', .what = "a built-in kind"},
    {.name = "plugin", .type = 's', .what = "path of a shared object"},
    {.name = "capabilities", .type = 'e', .required = true, .what = "the capabilities that it offers"},
    {.name = "worker", .type = 'i', .min = 0, .max = 15},
    {.name = "replicas", .type = 'i', .min = 1, .max = AP_REPLICAS_MAX},
    {.name = "config", .type = 'm', .what = "the kind's own keys"},
    {.name = NULL},
};

static const struct ap_key check_keys[] = {
    {.name = "capability", .type = 's', .required = true, .what = "the capability to ask for"},
    {.name = "send", .type = 's', .what = "the request"},
    {.name = "send_file", .type = 's', .what = "a file with the request"},
    {.name = "expect", .type = 's', .what = "the answer"},
    {.name = "expect_match", .type = 's', .what = "an extended regular expression for the answer"},
    {.name = "timeout", .type = 'd', .min = MS, .max = 24 * HOUR},
    {.name = "from", .type = 's', .what = "the service for which it calls"},
    {.name = NULL},
};

/* ---- kinds ---------------------------------------------------------------------------------------------------- */

static int find_kind(struct ap_loader *l, const struct ap_node *node, const char *name, const apiary_agent_kind_t **ret)
{
    const char *near = NULL;
    char known[640] = "";

    for (size_t i = 0; l->kinds[i] != NULL; i++) {
        const char *other = l->kinds[i]->name;
        if (strcmp(other, name) == 0) {
            *ret = l->kinds[i];
            return 0;
        }
        near = ap_word_nearest(name, near, other);
        ap_words_add(known, sizeof known, other);
    }
    return ap_node_refuse(ap_node_get(node, "kind"), l->error, "kind: '%s' is not a kind of agent%s%s%s; known: %s",
                          AP_SHOWN(name, 48), near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                          near != NULL ? "'?)" : "", known);
}

static int find_plugin(struct ap_loader *l, const struct ap_node *node, const char *path,
                       const apiary_agent_kind_t **ret)
{
    const struct ap_node *at = ap_node_get(node, "plugin");
    char message[512];

    if (access(path, R_OK) != 0)
        return ap_node_refuse(at, l->error,
                              "plugin: %s: %m; expected the path of a shared object, relative to the folder of "
                              "this file",
                              AP_SHOWN(path, 200));
    if (ap_agent_plugin(path, ret, message, sizeof message) == 0) return 0;
    return ap_node_refuse(at, l->error, "plugin: %s%s", message,
                          strstr(message, APIARY_AGENT_PLUGIN_SYMBOL) != NULL
                              ? ""
                              : "; expected a shared object that exports " APIARY_AGENT_PLUGIN_SYMBOL);
}

const struct ap_node *ap_deployment_capability_node(const struct ap_deployment_agent *agent, size_t c)
{
    const struct ap_node *list = ap_node_get(agent->node, "capabilities");

    if (list->kind == AP_NODE_LIST) list = list->items[c];
    return list->kind == AP_NODE_MAP ? ap_node_get(list, "name") : list;
}

static int check_offers(struct ap_loader *l, const struct ap_deployment_agent *agent, const apiary_agent_kind_t *kind)
{
    char offered[400] = "";
    const char *near = NULL;

    for (size_t i = 0; i < agent->capability_count; i++) {
        if (ap_agent_kind_offers(kind, agent->capabilities[i])) continue;
        for (const char *const *c = kind->capabilities; *c != NULL; c++) {
            near = ap_word_nearest(agent->capabilities[i], near, *c);
            ap_words_add(offered, sizeof offered, *c);
        }
        return ap_node_refuse(ap_deployment_capability_node(agent, i), l->error,
                              "capabilities: the kind '%s' of agent %s does not have %s%s%s%s; it offers: %s", kind->name,
                              agent->name, agent->capabilities[i], near != NULL ? " (did you mean '" : "",
                              near != NULL ? near : "", near != NULL ? "'?)" : "", offered);
    }
    return 0;
}

static int read_kind(struct ap_loader *l, struct ap_deployment_agent *agent)
{
    const apiary_agent_kind_t *kind = NULL;
    const char *plugin = ap_node_text(agent->node, "plugin", NULL);
    int e;

    agent->kind = ap_node_text(agent->node, "kind", NULL);
    if (agent->kind == NULL && plugin == NULL)
        return ap_node_refuse(agent->node, l->error,
                              "kind: missing: agent %s has neither kind nor plugin; expected one of them", agent->name);
    if (agent->kind != NULL && plugin != NULL)
        return ap_node_refuse_line(agent->node, ap_node_key_line(agent->node, "plugin"), l->error,
                                   "plugin: agent %s has a kind as well (line %u); expected one of them", agent->name,
                                   ap_node_key_line(agent->node, "kind"));
    if (plugin != NULL) {
        e = ap_config_path(l->d->config, plugin, &agent->plugin, l->error);
        if (e < 0) return e;
    }
    if (l->kinds == NULL) return 0;
    e = plugin != NULL ? find_plugin(l, agent->node, agent->plugin, &kind)
                       : find_kind(l, agent->node, agent->kind, &kind);
    agent->of = kind;
    if (e == 0) {
        const struct ap_agent_config config = {
            .owner = l->d->config, .map = agent->config, .at = agent->node, .agent = agent->name};
        e = ap_agent_config_judge(&config, kind, l->error);
    }
    return e < 0 ? e : check_offers(l, agent, kind);
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

static int add_capability(struct ap_loader *l, struct ap_deployment_agent *agent, const struct ap_node *item)
{
    struct ap_terms *terms = &agent->terms[agent->capability_count];
    int e = item->kind == AP_NODE_MAP ? ap_terms_read(item, NULL, terms, &agent->rules[agent->capability_count], l->error) : 0;

    if (e < 0) return e;
    if (item->kind == AP_NODE_MAP) item = ap_node_get(item, "name");
    if (!ap_capability_valid(item->text))
        return ap_node_refuse(item, l->error, "capabilities: '%s' is not a capability name; " AP_CAPABILITY_RULE,
                              AP_SHOWN(item->text, 72));
    for (size_t i = 0; i < agent->capability_count; i++)
        if (strcmp(agent->capabilities[i], item->text) == 0)
            return ap_node_refuse(item, l->error, "capabilities: agent %s offers %s twice; each is given once",
                                  agent->name, item->text);
    agent->capabilities[agent->capability_count++] = item->text;
    return 0;
}

/* A row of the segment's type needs a stricter alignment than an allocation of the configuration has. */
static struct ap_terms *terms_of(struct ap_config *config, size_t count)
{
    char *at = ap_config_alloc(config, (count + 1) * sizeof(struct ap_terms));

    return at != NULL ? (struct ap_terms *)(void *)(at + (AP_LINE - (uintptr_t)at % AP_LINE) % AP_LINE) : NULL;
}

static int read_capabilities(struct ap_loader *l, struct ap_deployment_agent *agent)
{
    const struct ap_node *list = ap_node_get(agent->node, "capabilities");
    size_t count = list->kind == AP_NODE_LIST ? list->count : 1;
    int e = 0;

    if (count > AP_AGENT_CAPABILITIES)
        return ap_node_refuse(list, l->error, "capabilities: agent %s has %zu; allowed: 1 to %u", agent->name, count,
                              AP_AGENT_CAPABILITIES);
    agent->capabilities = ap_config_alloc(l->d->config, (count + 1) * sizeof *agent->capabilities);
    agent->terms = terms_of(l->d->config, count);
    agent->rules = ap_config_alloc(l->d->config, count * sizeof *agent->rules);
    if (agent->capabilities == NULL || agent->terms == NULL || agent->rules == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < count && e == 0; i++)
        e = add_capability(l, agent, list->kind == AP_NODE_LIST ? list->items[i] : list);
    return e;
}

static int agents_named(struct ap_loader *l, const struct ap_deployment_swarm *s, const char *name, const struct ap_node *at)
{
    for (size_t i = 0; i < s->agent_count; i++)
        if (strcmp(s->agents[i].name, name) == 0)
            return ap_node_refuse(at, l->error, "name: %s has an agent %s already (line %u); give each agent a name of its own",
                                  s->service, name, ap_node_get(s->agents[i].node, "name")->line);
    return 0;
}

static int agents_read_agent(struct ap_loader *l, struct ap_deployment_swarm *s, const struct ap_node *node)
{
    struct ap_deployment_agent *agent = &s->agents[s->agent_count];
    const struct ap_node *at;
    int e = ap_node_check(node, agent_keys, l->error);

    if (e < 0) return e;
    agent->node = node;
    agent->name = ap_node_text(node, "name", NULL);
    agent->worker = (uint32_t)ap_node_number(node, "worker", 'i', 0);
    agent->config = ap_node_get(node, "config");
    at = ap_node_get(node, "name");
    if (!ap_name_valid(agent->name, APIARY_NAME_MAX))
        return ap_node_refuse(at, l->error, "name: '%s' is not a name; " AP_NAME_RULE, AP_SHOWN(agent->name, 64));
    e = agents_named(l, s, agent->name, at);
    if (e < 0) return e;
    if (agent->worker >= s->workers)
        return ap_node_refuse(ap_node_get(node, "worker"), l->error,
                              "worker: %u is out of range; %s has workers: %u, so allowed: 0 to %u", agent->worker,
                              s->service, s->workers, s->workers - 1);
    e = read_capabilities(l, agent);
    if (e == 0) e = read_kind(l, agent);
    if (e == 0) s->agent_count++;
    return e;
}

/* The agent that was read last runs so many times, on as many workers, each under a name of its own: a, a.2, a.3... */
static int agents_replicate(struct ap_loader *l, struct ap_deployment_swarm *s, const struct ap_node *node, uint32_t replicas)
{
    const struct ap_deployment_agent *first = &s->agents[s->agent_count - 1];
    const struct ap_node *at = ap_node_get(node, "replicas");

    if (replicas > s->workers)
        return ap_node_refuse(at != NULL ? at : node, l->error, "replicas: %u need as many workers; %s has workers: %u", replicas,
                              s->service, s->workers);
    for (uint32_t i = 1; i < replicas; i++) {
        struct ap_deployment_agent *agent = &s->agents[s->agent_count];
        char *name = ap_config_alloc(l->d->config, APIARY_NAME_MAX + 8);

        if (name == NULL) return APIARY_ENOBLOCK;
        snprintf(name, APIARY_NAME_MAX + 8, "%s.%u", first->name, i + 1);
        if (!ap_name_valid(name, APIARY_NAME_MAX))
            return ap_node_refuse(ap_node_get(node, "name"), l->error, "name: %s is too long for a replica's", name);
        if (agents_named(l, s, name, ap_node_get(node, "name")) < 0) return APIARY_ECONFIG;
        *agent = *first;
        agent->name = name;
        agent->worker = (first->worker + i) % s->workers;
        agent->replica = i;
        s->agent_count++;
    }
    return 0;
}

static size_t agents_expected(const struct ap_node *list)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        int64_t replicas = list->items[i]->kind == AP_NODE_MAP ? ap_node_number(list->items[i], "replicas", 'i', 1) : 1;
        count += replicas >= 1 && replicas <= AP_REPLICAS_MAX ? (size_t)replicas : 1;
    }
    return count;
}

int ap_deployment_read_agents(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const struct ap_node *list = ap_node_get(s->node, "agents");
    int e = 0;

    s->agents = ap_config_alloc(l->d->config, agents_expected(list) * sizeof *s->agents);
    if (s->agents == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < list->count && e == 0; i++) {
        e = agents_read_agent(l, s, list->items[i]);
        if (e == 0) e = agents_replicate(l, s, list->items[i], (uint32_t)ap_node_number(list->items[i], "replicas", 'i', 1));
    }
    return e;
}

uint32_t ap_deployment_replicas(const struct ap_deployment_swarm *swarm, const struct ap_deployment_agent *agent)
{
    const struct ap_deployment_agent *end = swarm->agents + swarm->agent_count, *next = agent + 1;

    while (next < end && next->replica != 0) next++;
    return (uint32_t)(next - agent);
}

uint32_t ap_deployment_written_replicas(const struct ap_deployment_agent *agent)
{
    return (uint32_t)ap_node_number(agent->node, "replicas", 'i', 1);
}

const struct ap_deployment_agent *ap_deployment_agent(const struct ap_deployment_swarm *swarm, const char *name)
{
    for (size_t i = 0; i < swarm->agent_count; i++)
        if (swarm->agents[i].replica == 0 && strcmp(swarm->agents[i].name, name) == 0) return &swarm->agents[i];
    return NULL;
}

int ap_deployment_agents_replicate(struct ap_loader *l, struct ap_deployment_swarm *s, size_t agent, uint32_t replicas)
{
    struct ap_deployment_swarm made = *s;
    int e = 0;

    made.agents = ap_config_alloc(l->d->config, (s->agent_count + replicas) * sizeof *made.agents);
    if (made.agents == NULL) return APIARY_ENOBLOCK;
    made.agent_count = 0;
    for (size_t i = 0; i < s->agent_count && e == 0; i++) {
        const struct ap_deployment_agent *a = &s->agents[i];

        if (a->replica != 0) continue;
        e = agents_named(l, &made, a->name, a->node);
        if (e < 0) break;
        made.agents[made.agent_count++] = *a;
        e = agents_replicate(l, &made, a->node, i == agent ? replicas : ap_deployment_replicas(s, a));
    }
    if (e == 0) *s = made;
    return e;
}

/* ---- checks --------------------------------------------------------------------------------------------------- */

/* "name@2" is also offered as "name". */
static bool agents_offers(const char *capability, const char *asked)
{
    size_t length = strlen(asked);
    return strncmp(capability, asked, length) == 0 && (capability[length] == '\0' || capability[length] == '@');
}

static int check_capability(struct ap_loader *l, const struct ap_deployment_swarm *s,
                            const struct ap_deployment_check *check)
{
    const struct ap_node *at = ap_node_get(check->node, "capability");
    const char *near = NULL;

    if (!ap_capability_valid(check->capability))
        return ap_node_refuse(at, l->error, "capability: '%s' is not a capability name; " AP_CAPABILITY_RULE,
                              AP_SHOWN(check->capability, 72));
    for (size_t i = 0; i < s->agent_count; i++) {
        for (size_t c = 0; c < s->agents[i].capability_count; c++) {
            if (agents_offers(s->agents[i].capabilities[c], check->capability)) return 0;
            near = ap_word_nearest(check->capability, near, s->agents[i].capabilities[c]);
        }
    }
    return ap_node_refuse(
        at, l->error, "capability: no agent of %s offers %s%s%s%s; expected a capability of this swarm", s->service,
        check->capability, near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "");
}

/* regcomp writes out {n}: nested, a short pattern takes all memory. The product of all counts bounds that. */
static bool pattern_bounded(const char *pattern)
{
    uint64_t product = 1;

    if (strlen(pattern) > PATTERN_MAX) return false;
    for (const char *p = strchr(pattern, '{'); p != NULL; p = strchr(p + 1, '{')) {
        unsigned long most = strtoul(p + 1, NULL, 10);
        const char *comma = p + 1 + strspn(p + 1, "0123456789");
        if (*comma == ',' && strtoul(comma + 1, NULL, 10) > most) most = strtoul(comma + 1, NULL, 10);
        if (most > PATTERN_REPEATS_MAX) return false;
        product *= most > 0 ? most : 1;
        if (product > PATTERN_REPEATS_MAX) return false;
    }
    return true;
}

static int check_pattern(struct ap_loader *l, const struct ap_node *at)
{
    char why[128];
    regex_t regex;
    int e;

    if (!pattern_bounded(at->text))
        return ap_node_refuse(at, l->error,
                              "expect_match: the expression is too large; allowed: at most %u bytes, and {n} that "
                              "multiply to at most %u",
                              PATTERN_MAX, PATTERN_REPEATS_MAX);
    e = regcomp(&regex, at->text, REG_EXTENDED | REG_NOSUB);
    if (e == 0) {
        regfree(&regex);
        return 0;
    }
    regerror(e, &regex, why, sizeof why);
    return ap_node_refuse(at, l->error,
                          "expect_match: '%s' is not an extended regular expression: %s; expected one as of grep -E",
                          AP_SHOWN(at->text, 64), why);
}

static int check_both(struct ap_loader *l, const struct ap_node *node, const char *first, const char *second)
{
    if (ap_node_get(node, first) == NULL || ap_node_get(node, second) == NULL) return 0;
    return ap_node_refuse_line(node, ap_node_key_line(node, second), l->error,
                               "%s: there is %s as well (line %u); expected one of them", second, first,
                               ap_node_key_line(node, first));
}

static int read_check(struct ap_loader *l, struct ap_deployment_swarm *s, const struct ap_node *node)
{
    struct ap_deployment_check *check = &s->checks[s->check_count];
    int e = ap_node_check(node, check_keys, l->error);

    if (e == 0) e = check_both(l, node, "send", "send_file");
    if (e == 0) e = check_both(l, node, "expect", "expect_match");
    if (e < 0) return e;
    check->node = node;
    check->capability = ap_node_text(node, "capability", NULL);
    check->send = ap_node_text(node, "send", NULL);
    check->send_file = ap_node_text(node, "send_file", NULL);
    check->expect = ap_node_text(node, "expect", NULL);
    check->expect_match = ap_node_text(node, "expect_match", NULL);
    check->from = ap_node_text(node, "from", NULL);
    if (check->from != NULL && !ap_name_valid(check->from, APIARY_NAME_MAX))
        return ap_node_refuse(ap_node_get(node, "from"), l->error, "from: '%s' is not a name; " AP_NAME_RULE,
                              AP_SHOWN(check->from, 64));
    check->timeout =
        (uint64_t)ap_node_number(node, "timeout", 'd', (int64_t)l->d->segment.geometry.task_timeout);
    if (check->expect == NULL && check->expect_match == NULL)
        return ap_node_refuse(node, l->error,
                              "expect: missing: the check of %s says nothing about the answer; expected expect or "
                              "expect_match",
                              AP_SHOWN(check->capability, 63));
    e = check_capability(l, s, check);
    if (e == 0 && check->expect_match != NULL) e = check_pattern(l, ap_node_get(node, "expect_match"));
    if (e == 0 && check->send_file != NULL)
        e = ap_config_path(l->d->config, check->send_file, &check->send_file, l->error);
    if (e == 0) s->check_count++;
    return e;
}

int ap_deployment_read_checks(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const struct ap_node *list = ap_node_get(s->node, "checks");
    int e = 0;

    if (list == NULL || list->count == 0) return 0;
    s->checks = ap_config_alloc(l->d->config, list->count * sizeof *s->checks);
    if (s->checks == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < list->count && e == 0; i++)
        e = read_check(l, s, list->items[i]);
    return e;
}

static bool is_checked(const struct ap_deployment_swarm *s, const char *capability)
{
    for (size_t i = 0; i < s->check_count; i++)
        if (agents_offers(capability, s->checks[i].capability)) return true;
    return false;
}

const char *ap_deployment_unchecked(const struct ap_deployment *d, size_t n, struct ap_config_error *error)
{
    for (size_t i = 0; i < d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &d->swarms[i];
        for (size_t a = 0; a < s->agent_count; a++) {
            if (s->agents[a].replica > 0) continue; /* what it offers is the first one's */
            for (size_t c = 0; c < s->agents[a].capability_count; c++) {
                const char *capability = s->agents[a].capabilities[c];
                if (is_checked(s, capability) || n-- > 0) continue;
                ap_node_refuse(
                    ap_deployment_capability_node(&s->agents[a], c), error,
                    "capabilities: %s of %s has no check; expected one that asks for it under checks: of this swarm",
                    capability, s->service);
                return capability;
            }
        }
    }
    return NULL;
}
