/* What a queen refuses, with the sentence that says why; and what an agent may not ask of its own worker. */
#include <malloc.h>

#include "registry/discovery/service.h"
#include "registry/routing/rule_sets.h"
#include "tests/unit/worker_fixture.h"

TestSuite(queen_refused, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- descriptions ---------------------------------------------------------------------------------------------- */

static const char *const only_list[] = {"list", NULL}, *const none[] = {NULL}, *const no_name[] = {"list", "Bad Name", NULL},
                  *const too_much[] = {"list", "count@2", NULL};
static const apiary_agent_kind_t other_abi = {.struct_size = sizeof other_abi, .abi = APIARY_AGENT_ABI + 1,
                                              .key_size = sizeof(apiary_agent_key_t), .name = "other", .handle = echo},
                                 no_handle = {APIARY_AGENT_KIND, .name = "idle"},
                                 lister = {APIARY_AGENT_KIND, .name = "lister", .capabilities = only_list, .handle = echo};

static const char *refusal(const apiary_swarm_description_t *d)
{
    static char message[512];
    apiary_queen_t *q = NULL;

    message[0] = '\0';
    cr_expect_eq(apiary_queen_start(a, d, message, sizeof message, &q), APIARY_EINVAL);
    cr_expect_eq(apiary_queen_start(a, d, NULL, 0, &q), APIARY_EINVAL, "who wants no sentence");
    cr_expect_null(q);
    return message;
}

Test(queen_refused, agents)
{
    static const struct {
        apiary_agent_description_t agent; /* the second of two */
        const char *sentence; /* NULL: that of another agent interface */
    } rows[] = {
        {{.kind = &lister, .capabilities = only_list}, "agent 1 of s: '' is not a name"},
        {{.name = "", .kind = &lister, .capabilities = only_list}, "agent 1 of s: '' is not a name"},
        {{.name = "A", .kind = &lister, .capabilities = only_list}, "agent 1 of s: 'A' is not a name"},
        {{.name = "first", .kind = &lister, .capabilities = only_list}, "agent first: named twice in s"},
        {{.name = "a", .capabilities = only_list},
         "agent a: its kind is missing; apiary_kind has none of a name that it does not know"},
        {{.name = "a", .kind = &no_handle, .capabilities = only_list}, "agent a: its kind lacks handle"},
        {{.name = "a", .kind = &other_abi, .capabilities = only_list}, NULL},
        {{.name = "a", .kind = &lister}, "agent a: offers no capability"},
        {{.name = "a", .kind = &lister, .capabilities = none}, "agent a: offers no capability"},
        {{.name = "a", .kind = &lister, .capabilities = no_name}, "agent a: 'Bad Name' is not a capability name"},
        {{.name = "a", .kind = &lister, .capabilities = too_much}, "agent a: its kind does not have the capability count@2"},
        {{.name = "a", .kind = &lister, .capabilities = only_list, .worker = 1}, "agent a: there is no worker 1, s has 1"},
    };
    apiary_agent_description_t agents[2] = {{.name = "first", .kind = &lister, .capabilities = only_list}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "s", .agents = agents, .agent_count = 2};
    char kind[128];

    snprintf(kind, sizeof kind, "agent a: its kind is of agent interface %u, this program has %u; build it again",
             APIARY_AGENT_ABI + 1, APIARY_AGENT_ABI);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        agents[1] = rows[i].agent;
        cr_expect_str_eq(refusal(&d), rows[i].sentence != NULL ? rows[i].sentence : kind);
    }
}

Test(queen_refused, swarms)
{
    static const apiary_agent_description_t agents[] = {{.name = "a", .kind = &lister, .capabilities = only_list, .worker = 15}};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = NULL, .workers = AP_WORKERS_MAX, .agents = agents,
                                    .agent_count = 1};
    apiary_queen_t *q = NULL;
    char message[256];

    cr_expect_str_eq(refusal(&d), "'' is not a service name");
    d.service = "Bad Name";
    cr_expect_str_eq(refusal(&d), "'Bad Name' is not a service name");
    d.service = "s";
    d.workers = AP_WORKERS_MAX + 1;
    cr_expect_str_eq(refusal(&d), "s: 17 workers; at most 16");
    d.workers = AP_WORKERS_MAX;
    d.weight = AP_WEIGHT_MAX + 1;
    cr_expect_str_eq(refusal(&d), "s: the weight 1001; at most 1000");
    d.weight = 0;
    d.agent_count = 0;
    cr_expect_str_eq(refusal(&d), "s: has no agents");
    d.agent_count = 1;
    d.agents = NULL;
    cr_expect_str_eq(refusal(&d), "s: has no agents");
    d.agents = agents;
    cr_expect_eq(apiary_queen_start(NULL, &d, message, sizeof message, &q), APIARY_EINVAL);
    cr_expect_not_null(strstr(message, apiary_strerror(APIARY_EINVAL)), "%s", message);
    cr_expect_eq(apiary_queen_start(a, NULL, message, sizeof message, &q), APIARY_EINVAL);
    cr_expect_eq(apiary_queen_start(a, &d, message, sizeof message, NULL), APIARY_EINVAL);
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), 0, "%s", message);
    cr_expect_eq(apiary_queen_stop(q, LONG), 0);
    cr_expect_eq(apiary_queen_stop(NULL, LONG), 0);
}

static int explain_and_make(apiary_agent_t *agent, void **state)
{
    struct ap_agent *own = ap_agent_of(agent);

    *state = NULL;
    ap_agent_explain(own, "it could be better");
    return 0;
}
KIND(explains, explain_and_make, echo, NULL);

static int fail_in_silence(apiary_agent_t *agent, void **state)
{
    (void)agent;
    *state = NULL;
    return APIARY_ETOOLARGE;
}
KIND(silent, fail_in_silence, echo, NULL);

/* What one has said that was made all the same is not the reason of the next. */
Test(queen_refused, an_agent_that_does_not_say_why)
{
    static const apiary_agent_description_t agents[] = {{.name = "a", .kind = &explains_kind, .capabilities = only_list},
                                                        {.name = "b", .kind = &silent_kind, .capabilities = only_list}};
    apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "s", .workers = 1, .agents = agents, .agent_count = 2};
    apiary_queen_t *q = NULL;
    char message[512] = "", wanted[512], untouched[4] = "xyz";

    snprintf(wanted, sizeof wanted, "agent b: %s; %s", apiary_strerror(APIARY_ETOOLARGE), apiary_advice(APIARY_ETOOLARGE));
    cr_expect_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ETOOLARGE);
    cr_expect_str_eq(message, wanted);
    cr_expect_eq(apiary_queen_start(a, &d, untouched, 0, &q), APIARY_ETOOLARGE);
    cr_expect_str_eq(untouched, "xyz");
    cr_expect_eq(apiary_queen_start(a, &d, NULL, 100, &q), APIARY_ETOOLARGE);
    d.agent_count = 1;
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), 0);
    cr_expect_eq(apiary_queen_stop(q, LONG), 0);
}

/* Where all names of services are in use, which is found when most of the queen is there already. */
Test(queen_refused, one_without_room_for_its_name_leaves_nothing)
{
    static const apiary_agent_description_t agents[] = {{.name = "a", .kind = &lister, .capabilities = only_list}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "s", .agents = agents, .agent_count = 1};
    apiary_queen_t *q = NULL;
    char message[256];
    size_t before = 0;

    for (uint32_t i = 0; i < ap_service_count(a->seg); i++) {
        struct ap_service *s = ap_service_at(a->seg, i);
        if (AP_SERVICE_STATE(s->life) == AP_SERVICE_FREE) s->life = AP_SERVICE_LIFE(1, a->anchor->lane.index, AP_SERVICE_FILLING);
    }
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ETABLEFULL);
        cr_expect_null(q);
        if (i == 9) before = mallinfo2().uordblks; /* by then the thread's own free list is full */
    }
    cr_expect_lt(mallinfo2().uordblks, before + sizeof(struct ap_queen), "ten more of them");
    ap_services_end(a->seg, a->anchor->lane.index, 0);
}

/* Her rules are new, and all sets of rules are in use: she is told the ways out. */
Test(queen_refused, one_without_room_for_her_rules_says_so)
{
    static const apiary_agent_description_t agents[] = {
        {.name = "a", .kind = &lister, .capabilities = only_list, .terms = "list: {rules: [{deny: somebody}]}"}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "s", .agents = agents, .agent_count = 1};
    struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_DENY}}};
    apiary_queen_t *q = NULL;
    char message[512];
    uint64_t set;

    for (uint32_t i = 0; i < a->seg->sections[AP_SECTION_RULES].count; i++) {
        snprintf(rules.list[0].from, sizeof rules.list[0].from, "a%03u", i);
        cr_assert_eq(ap_rules_hold(a->seg, a->anchor->lane.index, &rules, &set), 0);
    }
    cr_assert_eq(apiary_queen_start(a, &d, message, sizeof message, &q), APIARY_ETABLEFULL);
    cr_expect_str_eq(message, "s: " AP_RULES_FULL);
}

/* ---- what an agent asks of its own worker ---------------------------------------------------------------------- */

static apiary_queen_t *own, *other;

static void never(void *user, const apiary_result_t *result)
{
    (void)result;
    cr_expect_fail("%s was not refused", (const char *)user);
}

static void *delegate_elsewhere(void *agent)
{
    cr_expect_eq(apiary_agent_execute_task(agent, "echo", "x", 1, NULL, never, "a thread's"), APIARY_EINVAL);
    cr_expect_eq(apiary_agent_delegate_external_task(agent, "echo", "x", 1, NULL, never, "a thread's"), APIARY_EINVAL);
    return NULL;
}

static void nothing_came(void *job, const apiary_result_t *result)
{
    cr_expect_eq(result->code, 0);
    cr_expect_eq(result->size, 0);
    apiary_job_reply(job, "done", 4);
}

static void asks_too_much(void *state, apiary_job_t *job)
{
    pthread_t thread;
    size_t size;

    cr_expect_eq(apiary_queen_stop(own, 0), APIARY_EINVAL, "she would wait for her own worker");
    cr_expect_eq(apiary_execute_task(own, "echo", "x", 1, APIARY_TIMEOUT(LONG), NULL, 0, &size), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_external_task(own, "echo", "x", 1, APIARY_TIMEOUT(LONG), NULL, 0, &size), APIARY_EINVAL);
    if (other != NULL) cr_expect_eq(apiary_queen_stop(other, LONG), 0, "another one can be stopped");
    other = NULL;
    cr_expect_eq(apiary_agent_execute_task(state, NULL, "x", 1, NULL, never, "no capability"), APIARY_EINVAL);
    cr_expect_eq(apiary_agent_execute_task(state, "echo", NULL, 1, NULL, never, "no body"), APIARY_EINVAL);
    cr_expect_eq(apiary_agent_execute_task(state, "echo", "x", 1, NULL, NULL, NULL), APIARY_EINVAL);
    cr_assert_eq(pthread_create(&thread, NULL, delegate_elsewhere, state), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(apiary_agent_execute_task(state, "echo", NULL, 0, NULL, nothing_came, job), 0);
}
KIND(asks, create_nothing, asks_too_much, NULL);

Test(queen_refused, what_would_wait_for_its_own_worker)
{
    static const char *const asks_caps[] = {"ask", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "asks", .kind = &asks_kind, .capabilities = asks_caps},
                                                        {.name = "echo", .kind = &echo_kind, .capabilities = echo_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "own", .agents = agents, .agent_count = 2},
                                     e = {APIARY_SWARM_DESCRIPTION, .service = "other", .agents = agents + 1, .agent_count = 1};
    char text[16];
    size_t n = 0;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &own), 0);
    cr_assert_eq(apiary_queen_start(a, &e, NULL, 0, &other), 0);
    cr_expect_eq(call("ask", NULL, 0, text, sizeof text), 0);
    cr_expect_str_eq(text, "done");
    cr_expect_eq(apiary_execute_task(NULL, "echo", "x", 1, APIARY_TIMEOUT(LONG), NULL, 0, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_external_task(NULL, "echo", "x", 1, APIARY_TIMEOUT(LONG), NULL, 0, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_execute_task(own, "echo", "well", 4, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
    cr_expect_eq(n, 4);
    cr_expect_eq(apiary_delegate_external_task(own, "echo", "fine", 4, APIARY_TIMEOUT(LONG), text, sizeof text, &n), 0);
    cr_expect_eq(memcmp(text, "fine", 4), 0);
    cr_assert_eq(apiary_queen_stop(own, LONG), 0);
}
