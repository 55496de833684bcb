/* A client as it was built for a release: process.abi compiles it with that release's headers. client CAPABILITY: asks the agent
 * of agent.c in each way there is, looks at the swarm, and serves in a queen of its own, whose agents are of a built-in kind and of
 * its own. Each array of structures has several elements, so that a library that took another size for one would be seen. */
#include <apiary/kinds.h>
#include <apiary/swarm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS(n) (UINT64_C(1000000000) * (n))
#define CHECK(what)                                                 \
    do {                                                            \
        if (!(what)) {                                              \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);      \
            exit(1);                                                \
        }                                                           \
    } while (0)

static apiary_t *a;
static const char *capability;

static int is(const apiary_result_t *result, const char *text)
{
    return result->struct_size == sizeof *result && result->code == 0 && result->attempts == 1 &&
           result->size == strlen(text) && memcmp(result->data, text, result->size) == 0;
}

static void ask_single(void)
{
    const apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = SECONDS(600)};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    void *body;

    CHECK(apiary_delegate(a, capability, "one", 3, &options, &task) == 0);
    CHECK(apiary_await(a, task, APIARY_FOREVER, &result) == 0);
    CHECK(is(&result, "hello one"));
    CHECK(apiary_release(a, &result) == 0 && result.data == NULL);
    CHECK(apiary_await(a, task, 0, &result) == APIARY_ESTALE);

    CHECK(apiary_loan(a, 1000, &body) == 0);
    memset(body, 'x', 1000);
    CHECK(apiary_unloan(a, body) == 0);
    CHECK(apiary_loan(a, 4, &body) == 0);
    memcpy(body, "lent", 4);
    CHECK(apiary_delegate_loan(a, capability, body, 4, NULL, &task) == 0);
    CHECK(apiary_await_any(a, &task, 1, APIARY_FOREVER, &result) == 0);
    CHECK(is(&result, "hello lent"));
    CHECK(apiary_release(a, &result) == 0);
}

static void ask_failing(void)
{
    apiary_result_t result = {.struct_size = sizeof result};
    const apiary_delegate_options_t detached = {.struct_size = sizeof detached, .flags = APIARY_DETACH};
    apiary_task_t task;

    CHECK(apiary_delegate(a, capability, "fail", 4, NULL, &task) == 0);
    CHECK(apiary_await(a, task, APIARY_FOREVER, &result) == 0);
    CHECK(result.code == APIARY_EAGENT && result.agent_code == 42 && result.size == 14);
    CHECK(memcmp(result.data, "failed as told", result.size) == 0);
    CHECK(result.task.slot == task.slot && result.task.generation == task.generation);
    CHECK(apiary_release(a, &result) == 0);
    CHECK(apiary_delegate(a, capability, "gone", 4, &detached, NULL) == 0);
    CHECK(apiary_delegate(a, "nobody.offers", "x", 1, NULL, &task) == APIARY_ENOCAP);
    CHECK(strcmp(apiary_error_name(APIARY_ENOCAP), "APIARY_ENOCAP") == 0);
}

static void ask_batch(void)
{
    const apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = SECONDS(600)};
    const apiary_request_t requests[2] = {{sizeof requests[0], capability, "first", 5, &options},
                                          {sizeof requests[0], capability, "later", 5, NULL}};
    apiary_result_t results[2] = {{.struct_size = sizeof results[0]}, {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[2];
    size_t count = 0;

    CHECK(apiary_delegate_batch(a, requests, 2, tasks, &count) == 0 && count == 2);
    CHECK(apiary_await_batch(a, tasks, 2, APIARY_FOREVER, results, &count) == 0 && count == 2);
    CHECK(is(&results[0], "hello first") && is(&results[1], "later"));
    CHECK(apiary_release(a, &results[0]) == 0 && apiary_release(a, &results[1]) == 0);
}

static void call(const char *what, const char *request, const char *answer)
{
    const apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = SECONDS(600)};
    char back[64];
    size_t size = 0;

    CHECK(apiary_call(a, what, request, strlen(request), &options, back, sizeof back, &size) == 0);
    CHECK(size == strlen(answer) && memcmp(back, answer, size) == 0);
}

static void look(void)
{
    apiary_provider_t providers[2] = {{.struct_size = sizeof providers[0]}, {.struct_size = sizeof providers[0]}};
    apiary_swarm_status_t status[2] = {{.struct_size = sizeof status[0]}, {.struct_size = sizeof status[0]}};

    CHECK(apiary_discover(a, capability, providers, 2) == 2);
    for (int i = 0; i < 2; i++) {
        CHECK(providers[i].struct_size == sizeof providers[0] && providers[i].alive == 1 && providers[i].pid > 0);
        CHECK(strcmp(providers[i].service, "abi_service") == 0);
    }
    CHECK(strcmp(providers[0].agent, providers[1].agent) != 0);
    do CHECK(apiary_swarm_status(a, "abi_service", status, 2) == 1);
    while (status[0].done < 5 || status[0].failed < 1); /* a worker counts a task when its result is there already */
    CHECK(status[0].mode == APIARY_READY && status[0].pid == providers[0].pid && status[0].agents == 2);
    CHECK(strcmp(status[0].instance, "0") == 0);
}

static void serve(void *state, apiary_job_t *job)
{
    CHECK(state == NULL && strcmp(apiary_job_capability(job), "abi.own") == 0);
    apiary_job_reply(job, "by my own", 9);
}

static int create_other(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void serve_other(void *state, apiary_job_t *job)
{
    const char *answer = apiary_agent_text(state, "answer", "");

    apiary_job_reply(job, answer, strlen(answer));
}

static void own_queen(void)
{
    static const char *const own[] = {"abi.own", NULL}, *const other[] = {"abi.other", NULL}, *const built_in[] = {"abi.cat", NULL};
    static const apiary_agent_key_t keys[] = {{.name = "answer", .type = 's', .required = 1}, {.name = NULL}};
    static const apiary_agent_kind_t kinds[2] = {{APIARY_AGENT_KIND, .name = "own", .what = "its own", .handle = serve},
                                                 {APIARY_AGENT_KIND, .name = "other", .what = "another", .keys = keys,
                                                  .create = create_other, .handle = serve_other}};
    const apiary_agent_description_t agents[3] = {
        {.name = "own", .kind = &kinds[0], .capabilities = own},
        {.name = "other", .kind = &kinds[1], .capabilities = other, .config = "answer: by the other", .config_name = "abi.yaml"},
        {.name = "cat", .kind = apiary_kind("exec"), .capabilities = built_in, .config = "command: cat"}};
    const apiary_swarm_description_t swarm = {APIARY_SWARM_DESCRIPTION, .service = "own_service", .version = "1",
                                              .workers = 1, .agents = agents, .agent_count = 3};
    char message[1024] = "";
    apiary_queen_t *queen;
    int e = apiary_queen_start(a, &swarm, message, sizeof message, &queen);

    if (e < 0) fprintf(stderr, "%s: %s\n", apiary_strerror(e), message);
    CHECK(e == 0);
    call("abi.own", "x", "by my own");
    call("abi.other", "x", "by the other");
    call("abi.cat", "by a program", "by a program");
    CHECK(apiary_queen_stop(queen, SECONDS(600)) == 0);
}

int main(int argc, char **argv)
{
    char message[256] = "";
    const apiary_attach_options_t options = {
        .struct_size = sizeof options, .name = "abi", .message = message, .message_size = sizeof message};

    CHECK(argc == 2);
    capability = argv[1];
    CHECK(apiary_attach("/apiary-test-that-nobody-created", &options, &a) == APIARY_ENOSEG && message[0] != '\0');
    CHECK(apiary_attach(NULL, &options, &a) == 0);
    ask_single();
    ask_failing();
    ask_batch();
    call(capability, "called", "hello called");
    look();
    own_queen();
    CHECK(apiary_detach(a) == 0);
    return 0;
}
