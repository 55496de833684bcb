/* What a queen, its loop and a deployment leave behind when the system refuses a call: nothing. */
#include "registry_fixture.h"

#include <poll.h>

#include "agents/deployment/deployment_diff.h"
#include "agents/runtime/terms_config.h"
#include "core/apiary/kinds.h"
#include "core/apiary/swarm.h"
#include "core/loop.h"
#include "registry/monitor/monitor.h"
#include "tests/support/inject.h"

#define RESULTS(...) (const int[]){__VA_ARGS__, 0}

static void walk(struct inject_walk w, unsigned calls, int error, const int *results)
{
    w.calls = calls;
    w.error = error;
    w.results = results;
    cr_assert_gt(inject_walk(&w), 0, "%s: none of its calls is needed", w.name);
}

TestSuite(inject_agents, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static struct ap_loop *loop;
static struct ap_loop *const no_loop = (struct ap_loop *)(void *)&no_loop;

static int loop_create(void *user)
{
    int r;

    (void)user;
    loop = no_loop;
    r = ap_loop_create(&ap_ops_system, 3, &loop);
    if (r < 0) cr_assert_eq(loop, no_loop, "the output of a call that has failed");
    return r;
}

static void loop_destroy(void *user)
{
    (void)user;
    ap_loop_destroy(loop);
}

Test(inject_agents, a_loop_that_cannot_be_made)
{
    static const char *const parks[] = {"uring", "parker", "poll", NULL};

    for (int i = 0; i < 4; i++) {
        const struct inject_walk w = {.name = parks[i] != NULL ? parks[i] : "loop", .call = loop_create, .undo = loop_destroy};

        if (parks[i] != NULL) setenv("APIARY_PARK", parks[i], 1);
        else unsetenv("APIARY_PARK");
        if (loop_create(NULL) == APIARY_ENOTSUP) continue; /* this machine does not have it */
        ap_loop_destroy(loop);
        walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
        if (i == 2) continue; /* it makes an event when it sleeps */
        walk(w, INJECT_MAKE, EMFILE, RESULTS(APIARY_ESYS));
        if (i < 2) walk(w, INJECT_MAKE, EPERM, RESULTS(APIARY_ENOTSUP, APIARY_ESYS));
    }
}

static apiary_watch_t *watch;
static apiary_watch_t *const no_watch = (apiary_watch_t *)(void *)&no_watch;
static int ends[2];

static void fires(void *user, uint32_t events)
{
    (void)user;
    (void)events;
}

static void loop_prepare(void *user)
{
    cr_assert_eq(loop_create(user), 0);
}

static int loop_watch(void *user)
{
    int r;

    watch = no_watch;
    r = user == NULL ? ap_loop_watch(loop, ends[0], POLLIN, fires, NULL, &watch) : ap_loop_timer(loop, 1, fires, NULL, &watch);
    if (r < 0) cr_assert_eq(watch, no_watch, "the output of a call that has failed");
    return r;
}

Test(inject_agents, a_watch_that_cannot_be_made)
{
    const struct inject_walk one = {.name = "ap_loop_watch", .prepare = loop_prepare, .call = loop_watch, .tidy = loop_destroy};
    const struct inject_walk timer = {.name = "ap_loop_timer", .prepare = loop_prepare, .call = loop_watch, .tidy = loop_destroy,
                                      .user = ends};

    cr_assert_eq(pipe(ends), 0);
    walk(one, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(timer, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}

/* ---- the monitor ----------------------------------------------------------------------------------------------- */

/* Everything that members have in the segment. */
static long in_segment(void *user)
{
    long n = 0;

    (void)user;
    for (uint32_t i = 0; i < small.members; i++) n += AP_MEMBER_STATE(ap_load_acquire(&ap_member_at(client->seg, i)->life)) != 0;
    n = n * 1000 + (long)lanes_live(client->seg);
    n = n * 1000 + (long)slots_in_use();
    for (uint32_t i = 0; i < small.queues; i++)
        n += 100 * (AP_QUEUE_STATE(ap_load_acquire(&ap_queue_at(client->seg, i)->life)) == AP_QUEUE_OPEN);
    for (uint32_t i = 0; i < client->seg->sections[AP_SECTION_SWARMS].count; i++)
        n += AP_SWARM_STATE(ap_load_acquire(&ap_swarm_at(client->seg, i)->life)) == AP_SWARM_LIVE;
    return n;
}

static struct ap_monitor *monitor;
static struct ap_monitor *const no_monitor = (struct ap_monitor *)(void *)&no_monitor;

static int monitor_start(void *user)
{
    int r;

    (void)user;
    monitor = no_monitor;
    r = ap_monitor_start(client->seg, client->member, &monitor);
    if (r < 0) cr_assert_eq(monitor, no_monitor, "the output of a call that has failed");
    return r;
}

static void monitor_stop(void *user)
{
    (void)user;
    ap_monitor_stop(monitor);
}

Test(inject_agents, a_monitor_that_cannot_be_started)
{
    const struct inject_walk w = {.name = "ap_monitor_start", .call = monitor_start, .undo = monitor_stop, .as_before = in_segment};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_MAKE, EMFILE, RESULTS(APIARY_ESYS));
    walk(w, INJECT_THREAD, EAGAIN, RESULTS(APIARY_ESYS));
}

/* ---- the queen ------------------------------------------------------------------------------------------------- */

static char message[1024];
static apiary_queen_t *queen;
static apiary_queen_t *const no_queen = (apiary_queen_t *)(void *)&no_queen;
static int states; /* of agents, that were created and not destroyed */

static int state_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    ap_add_relaxed(&states, 1);
    return 0;
}

static void state_destroy(void *state)
{
    (void)state;
    ap_add_relaxed(&states, -1);
}

static void echo(void *state, apiary_job_t *job)
{
    size_t size;
    const void *data = apiary_job_data(job, &size);

    (void)state;
    apiary_job_reply(job, data, size);
}

static const apiary_agent_key_t keys[] = {{.name = "text", .type = 's'}, {.name = "list", .type = 'l'}, {.name = NULL}};
static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "echo", .what = "", .keys = keys, .create = state_create,
                                         .handle = echo, .destroy = state_destroy};
static const char *const capabilities[] = {"echo", "echo@1", NULL};
static const apiary_agent_description_t agents[] = {
    {.name = "one", .kind = &kind, .capabilities = capabilities, .config = "{text: hello, list: [a, b]}"},
    {.name = "two", .kind = &kind, .capabilities = capabilities, .worker = 1},
};

static int queen_start(void *user)
{
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "queens", .instance = "1", .version = "2",
                                          .health_endpoint = "h", .metrics_endpoint = "m", .workers = 2, .agents = agents,
                                          .agent_count = 2};
    int r;

    (void)user;
    queen = no_queen;
    message[0] = '\0';
    r = apiary_queen_start(client, &d, message, sizeof message, &queen);
    if (r == 0) return 0;
    cr_assert_eq(queen, no_queen, "the output of a call that has failed");
    cr_assert_str_not_empty(message);
    cr_assert_eq(states, 0);
    return r;
}

static void queen_stop(void *user)
{
    (void)user;
    for (int i = 0; capabilities[i] != NULL; i++)
        cr_assert_eq(apiary_discover(client, capabilities[i], NULL, 0), 2, "she is there, but without something that she offers");
    cr_assert_eq(apiary_queen_stop(queen, APIARY_FOREVER), 0);
    cr_assert_eq(states, 0);
}

static const struct inject_walk queen_walk = {.name = "apiary_queen_start", .call = queen_start, .undo = queen_stop,
                                              .as_before = in_segment};

Test(inject_agents, a_queen_without_memory)
{
    walk(queen_walk, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(queen_walk, INJECT_KEY, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}

Test(inject_agents, a_queen_without_descriptors_or_threads)
{
    walk(queen_walk, INJECT_MAKE | INJECT_DUP, EMFILE, RESULTS(APIARY_ESYS));
    walk(queen_walk, INJECT_THREAD, EAGAIN, RESULTS(APIARY_ESYS));
}

/* ---- a deployment ---------------------------------------------------------------------------------------------- */

static char path[64];
static struct ap_deployment *deployment;
static struct ap_deployment *const no_deployment = (struct ap_deployment *)(void *)&no_deployment;

static int load(void *user)
{
    struct ap_config_error error = {.text = ""};
    int r;

    (void)user;
    deployment = no_deployment;
    r = ap_deployment_load(path, apiary_kinds(), &deployment, &error);
    if (r == 0) return 0;
    cr_assert_eq(deployment, no_deployment, "the output of a call that has failed");
    if (r == APIARY_ENOBLOCK) snprintf(message, sizeof message, "%s: no memory", path);
    if (r == APIARY_ENOBLOCK) cr_assert_str_eq(error.text, message);
    else cr_assert_str_not_empty(error.text);
    return r;
}

static void load_undo(void *user)
{
    (void)user;
    ap_deployment_free(deployment);
}

Test(inject_agents, a_deployment_that_cannot_be_read)
{
    const struct inject_walk w = {.name = "ap_deployment_load", .call = load, .undo = load_undo};
    static const char text[] = "meta_registry: {segment: /x, payload: {blocks_256B: 10}, owner: root}\n"
                               "swarms:\n"
                               "- service: one\n"
                               "  port: 4201\n"
                               "  agents:\n"
                               "  - {name: a, kind: http, capabilities: [get], config: {port: 80}}\n"
                               "  - {name: b, kind: exec, capabilities: [run], config: {command: [cat, /]}}\n"
                               "  checks:\n"
                               "  - {capability: run, send: hello, expect: hello}\n"
                               "- service: two\n"
                               "  agents: [{name: a, kind: exec, capabilities: [run], config: {command: [sort]}}]\n";
    FILE *f;

    snprintf(path, sizeof path, "/tmp/apiary-inject-%d.yaml", (int)getpid());
    f = fopen(path, "we");
    cr_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(w, INJECT_OPEN, EMFILE, RESULTS(APIARY_ESYS));
    walk(w, INJECT_FILE, EIO, RESULTS(APIARY_ESYS, APIARY_ECONFIG));
    unlink(path);
}

static struct ap_deployment *parsed(const char *text)
{
    struct ap_config_error error = {.text = ""};
    struct ap_deployment *d = NULL;

    cr_assert_eq(ap_deployment_parse("x.yaml", text, strlen(text), apiary_kinds(), NULL, &d, &error), 0, "%s", error.text);
    return d;
}

#define AGENTS 80

static int scale(void *user)
{
    struct ap_config_error error = {.text = ""};
    const struct ap_deployment_swarm *one = &deployment->swarms[0];
    int r = ap_deployment_scale(deployment, "one", "b", 16, &error);

    (void)user;
    cr_assert_eq(one->agent_count, r < 0 ? AGENTS : AGENTS + 15, "nothing is changed by a call that has failed");
    if (r == APIARY_ENOBLOCK) cr_assert_not_null(strstr(error.text, "no memory for 16 of b; free some"), "%s", error.text);
    return r;
}

/* So many agents that their list does not fit into what the configuration has in reserve. */
static void scale_prepare(void *user)
{
    static const char begin[] = "swarms:\n- service: one\n  workers: 16\n  agents:\n";
    static const char agent[] = "  - {name: %s%d, kind: exec, capabilities: [run], config: {command: [cat]}}\n";
    char text[AGENTS * sizeof agent + sizeof begin];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", begin);

    (void)user;
    for (int i = 1; i < AGENTS; i++) n += (size_t)snprintf(text + n, sizeof text - n, agent, "a", i);
    snprintf(text + n, sizeof text - n, "  - {name: b, kind: exec, capabilities: [run], config: {command: [cat]}}\n");
    deployment = parsed(text);
}

Test(inject_agents, another_number_of_replicas_without_memory)
{
    const struct inject_walk w = {.name = "ap_deployment_scale", .prepare = scale_prepare, .call = scale, .tidy = load_undo};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}

/* ---- what differs between two ---------------------------------------------------------------------------------- */

static struct ap_deployment *before, *after;
static struct ap_differences differences;
static uint64_t mark;

static int diff(void *user)
{
    struct ap_differences none = {.count = 77};
    int r;

    (void)user;
    differences = none;
    r = ap_deployment_diff(before, after, &differences);
    if (r < 0) cr_assert_eq(differences.count, none.count, "the output of a call that has failed");
    else cr_assert_eq(differences.count, 9, "%zu", differences.count);
    return r;
}

static void diff_undo(void *user)
{
    (void)user;
    ap_differences_free(&differences);
}

/* A number that differs would restart what need not be. */
static int fingerprint(void *user)
{
    uint64_t got = 77;
    int r;

    (void)user;
    r = ap_deployment_fingerprint(&before->swarms[0], AP_EFFECT_RESTART, &got);
    cr_assert_eq(got, r < 0 ? 77 : mark);
    return r;
}

static void nothing(void *user)
{
    (void)user;
}

Test(inject_agents, two_deployments_that_cannot_be_compared)
{
    const struct inject_walk w = {.name = "ap_deployment_diff", .call = diff, .undo = diff_undo},
                             one = {.name = "ap_deployment_fingerprint", .call = fingerprint, .undo = nothing};

    before = parsed("swarms:\n"
                    "- service: one\n"
                    "  agents:\n"
                    "  - {name: a, kind: exec, capabilities: [run], config: {command: [cat, /], timeout: 5s}}\n"
                    "  - {name: c, kind: exec, capabilities: [c], config: {command: [cat]}}\n"
                    "- service: two\n"
                    "  agents: [{name: a, kind: exec, capabilities: [d], config: {command: [cat]}}]\n");
    after = parsed("meta_registry: {segment: /y, owner: root, tasks: 128}\n"
                   "swarms:\n"
                   "- service: one\n"
                   "  agents:\n"
                   "  - {name: a, kind: exec, capabilities: [run], config: {command: [cat, .], timeout: 6s}}\n"
                   "  checks: [{send: hello, capability: run, expect: hello}]\n"
                   "- service: three\n"
                   "  agents: [{name: a, kind: exec, capabilities: [d], config: {command: [cat]}}]\n");
    cr_assert_eq(ap_deployment_fingerprint(&before->swarms[0], AP_EFFECT_RESTART, &mark), 0);
    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    walk(one, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
    ap_deployment_free(before);
    ap_deployment_free(after);
}

/* ---- what an agent says of its capabilities -------------------------------------------------------------------- */

static struct ap_terms *terms;
static struct ap_rules *rules;

static int read_terms(void *user)
{
    static const char *const offers[] = {"one", "two", NULL};
    struct ap_config_error error = {.text = ""};
    int r;

    (void)user;
    terms = NULL;
    rules = NULL;
    r = ap_terms_parse("a", "{one: {balance: round_robin}, two: {rules: [{deny: b}]}}", offers, &terms, &rules, &error);
    if (r < 0) cr_assert(terms == NULL && rules == NULL, "the output of a call that has failed");
    return r;
}

static void terms_undo(void *user)
{
    (void)user;
    free(terms);
    free(rules);
}

Test(inject_agents, terms_that_cannot_be_read)
{
    const struct inject_walk w = {.name = "ap_terms_parse", .call = read_terms, .undo = terms_undo};

    walk(w, INJECT_HEAP, ENOMEM, RESULTS(APIARY_ENOBLOCK));
}
