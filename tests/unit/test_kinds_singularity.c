/* tests/unit/test_kinds_singularity.c - agents/singularity.yaml as it is: every agent is made by its kind, every check passes.
 * Here all agents are in one process; that they are served by another one is what tools/up shows. */
#include <ctype.h>
#include <limits.h>
#include <regex.h>
#include <unistd.h>

#include "agents/deployment/deployment.h"
#include "tests/unit/fake_agent.h"

static struct ap_deployment *load(void)
{
    const char *source = getenv("APIARY_SOURCE");
    char path[PATH_MAX];
    struct ap_deployment *d = NULL;
    struct ap_config_error error = {""};
    snprintf(path, sizeof path, "%s/agents/singularity.yaml", source ? source : ".");
    cr_assert_eq(ap_deployment_load(path, apiary_kinds(), &d, &error), 0, "%s", error.text);
    return d;
}

static void *kept[512]; /* until the process ends */
static size_t kept_count;

static void *keep(size_t count, size_t size)
{
    cr_assert_lt(kept_count, 512);
    return kept[kept_count++] = calloc(count, size);
}

/* The configuration in the fake's terms. */
static struct fake_key *translate(const struct ap_node *config, const apiary_agent_kind_t *kind)
{
    struct fake_key *ret = keep(32, sizeof *ret);
    size_t count = 0;
    for (const apiary_agent_key_t *k = kind->keys; config && k && k->name; k++) {
        const struct ap_node *node = ap_node_get(config, k->name);
        if (!node) continue;
        ret[count].key = k->name;
        if (k->type == 'l' || k->type == 'c') {
            const char **list = keep(node->count + 1, sizeof *list);
            for (size_t i = 0; i < node->count; i++)
                list[i] = node->items[i]->text;
            ret[count].list = list;
        } else if (k->type == 's' || k->type == 'p') {
            ret[count].text = node->text;
        } else {
            ret[count].number = ap_node_number(config, k->name, k->type, -1);
        }
        count++;
    }
    return ret;
}

static void run_check(const struct ap_deployment_check *c, struct apiary_agent *agent)
{
    char *reply = fake_call(agent, c->capability, c->send ? c->send : "");
    size_t size = strlen(reply);
    regex_t regex;
    while (size > 0 && reply[size - 1] == '\n')
        reply[--size] = '\0';
    if (c->expect) {
        cr_expect_str_eq(reply, c->expect, "%s\n got      %s\n expected %s", c->capability, reply, c->expect);
    } else {
        /* Told apart only by the pid: in one process it is another process's part that is missing. */
        const char *away = strstr(c->expect_match, ",\"another_process\":true");
        char *pattern = strndup(c->expect_match, away ? (size_t)(away - c->expect_match) : strlen(c->expect_match));
        cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        cr_expect_eq(regexec(&regex, reply, 0, NULL, 0), 0, "%s\n got      %s\n expected %s", c->capability, reply,
                     pattern);
        regfree(&regex);
        free(pattern);
    }
    free(reply);
}

static struct apiary_agent *offered(const char *capability)
{
    for (size_t i = 0; i < fake.offer_count; i++)
        if (strcmp(fake.offers[i].capability, capability) == 0) return fake.offers[i].agent;
    cr_assert_fail("nobody offers %s", capability);
    return NULL;
}

Test(singularity, has_the_thirteen_services_of_the_inventory)
{
    static const struct {
        const char *service;
        uint16_t port;
    } inventory[] = {{"ai_service", 4000},        {"architecture_service", 4001}, {"business_service", 4002},
                     {"core_service", 4003},      {"execution_service", 4004},    {"infra_service", 4005},
                     {"interface_service", 4006}, {"storage_service", 4104},      {"swarm_service", 4008},
                     {"ml_service", 4009},        {"tools_service", 4010},        {"hex_server", 4101},
                     {"security_service", 4107}};
    struct ap_deployment *d = load();
    cr_assert_eq(d->swarm_count, 13);
    for (size_t i = 0; i < 13; i++) {
        const struct ap_deployment_swarm *s = ap_deployment_swarm(d, inventory[i].service);
        char url[64];
        cr_assert_not_null(s, "%s is missing", inventory[i].service);
        cr_assert_eq(s->port, inventory[i].port, "%s: port %u", s->service, s->port);
        snprintf(url, sizeof url, "http://localhost:%u/health", s->port);
        cr_assert_str_eq(s->health_endpoint, url);
        snprintf(url, sizeof url, "http://localhost:%u/metrics", s->port);
        cr_assert_str_eq(s->metrics_endpoint, url);
        cr_assert(s->agent_count >= 3 && s->agent_count <= 5, "%s has %zu agents", s->service, s->agent_count);
    }
    ap_deployment_free(d);
}

Test(singularity, every_capability_does_what_its_checks_say)
{
    char folder[] = "/tmp/apiary-test-XXXXXX";
    struct ap_deployment *d = load();
    struct apiary_agent *agents[128];
    size_t count = 0;
    cr_assert_not_null(mkdtemp(folder));
    fake_open();
    fake.state = folder;
    for (size_t s = 0; s < d->swarm_count; s++)
        for (size_t a = 0; a < d->swarms[s].agent_count; a++) {
            const struct ap_deployment_agent *agent = &d->swarms[s].agents[a];
            struct fake_key *config = translate(agent->config, apiary_kind(agent->kind));
            cr_assert_eq(fake_create(agent->kind, config, &agents[count]), 0, "%s: %s", agent->name,
                         agents[count]->log);
            agents[count]->service = d->swarms[s].service;
            agents[count]->name = agent->name;
            for (const char **c = agent->capabilities; *c; c++)
                fake_offer(*c, agents[count]);
            count++;
        }
    fake.row_count = 2;
    for (int i = 0; i < 2; i++) {
        fake.rows[i] = (apiary_swarm_status_t){.struct_size = sizeof(apiary_swarm_status_t), .state = APIARY_PASSING,
                                               .mode = APIARY_READY, .agents = 3, .pid = 1};
        strcpy(fake.rows[i].service, i ? "swarm_service" : "core_service");
        strcpy(fake.rows[i].instance, "0");
    }
    for (int round = 0; round < 2; round++) /* twice: what a run leaves behind must not fail the next */
        for (size_t s = 0; s < d->swarm_count; s++) {
            cr_assert_gt(d->swarms[s].check_count, 0);
            for (size_t c = 0; c < d->swarms[s].check_count; c++)
                run_check(&d->swarms[s].checks[c], offered(d->swarms[s].checks[c].capability));
        }
    for (size_t i = 0; i < fake.offer_count; i++) {
        bool checked = false;
        for (size_t s = 0; s < d->swarm_count; s++)
            for (size_t c = 0; c < d->swarms[s].check_count; c++)
                checked |= strcmp(d->swarms[s].checks[c].capability, fake.offers[i].capability) == 0;
        cr_expect(checked, "%s has no check", fake.offers[i].capability);
    }
    while (count > 0)
        fake_destroy(agents[--count]);
    fake_close();
    ap_deployment_free(d);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}
