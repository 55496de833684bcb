/* own_queen.c - a program that is a queen itself, with an agent of a built-in kind and one of its own, until Ctrl-C.
 * cc own_queen.c $(pkg-config --cflags --libs apiary-kinds) && ./a.out 'greeting: good morning'
 * and in another terminal: apiary delegate own.shout hello; apiary delegate own.greet world */
#include <apiary/kinds.h>
#include <apiary/swarm.h>
#include <signal.h>
#include <stdio.h>

static int own_queen_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    return 0;
}

static void greet(void *state, apiary_job_t *job)
{
    char answer[256];
    size_t size;
    const char *whom = apiary_job_data(job, &size);
    int n = snprintf(answer, sizeof answer, "%s, %.*s", apiary_agent_text(state, "greeting", ""), (int)(size < 100 ? size : 100),
                     size > 0 ? whom : "");
    if (n >= (int)sizeof answer) n = sizeof answer - 1;
    apiary_job_reply(job, answer, (size_t)n);
}

static const apiary_agent_key_t keys[] = {{.name = "greeting", .type = 's', .required = 1, .what = "put before the request"},
                                          {.name = NULL}};
static const apiary_agent_kind_t greeter = {APIARY_AGENT_KIND, .name = "greeter", .what = "greets whom the request names",
                                            .keys = keys, .create = own_queen_create, .handle = greet};

static void log_line(void *user, int level, const char *line)
{
    (void)user;
    if (level <= 6) fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    static const char *const shouts[] = {"own.shout", NULL}, *const greets[] = {"own.greet", NULL};
    const apiary_agent_description_t agents[] = {
        {.name = "shouter", .kind = apiary_kind("exec"), .capabilities = shouts, .config = "command: [tr, a-z, A-Z]\n"
                                                                                           "timeout: 5s\n"},
        {.name = "greeter", .kind = &greeter, .capabilities = greets, .config = argc > 1 ? argv[1] : "greeting: hello"}};
    const apiary_swarm_description_t swarm = {APIARY_SWARM_DESCRIPTION, .service = "own_service", .version = "1", .workers = 1,
                                              .agents = agents, .agent_count = 2, .log = log_line};
    char message[1024] = "";
    const apiary_attach_options_t options = {.struct_size = sizeof options, .name = "own_queen", .swarm = "own_service",
                                             .kind = APIARY_QUEEN, .message = message, .message_size = sizeof message};
    apiary_t *a = NULL;
    apiary_queen_t *queen;
    sigset_t signals;
    int which, rc;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before the queen's threads start: they take none of them */
    rc = apiary_attach(NULL, &options, &a); /* $APIARY_SEGMENT, else /apiary */
    if (rc == 0) rc = apiary_queen_start(a, &swarm, message, sizeof message, &queen);
    if (rc == 0) {
        sigwait(&signals, &which);
        rc = apiary_queen_stop(queen, APIARY_FOREVER); /* finishes what it has in hand */
    }
    if (rc < 0) fprintf(stderr, "%s: %s\n", apiary_error_name(rc), message[0] != '\0' ? message : apiary_strerror(rc));
    apiary_detach(a);
    return rc < 0;
}
