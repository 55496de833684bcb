/* tools/apiary/claim_run.c - apiary claim run: a command that runs while a key is claimed.
 *
 * 1 The claim is this process', so it ends with it, however that ends. The command is killed with it (PR_SET_PDEATHSIG), but not
 *   what that has started itself: where the claim must not be outlived, the token has to be checked.
 * 2 With --ttl it is renewed at each third of that. If it was stolen nevertheless, since this process did not run for so long, the
 *   command is told to end (SIGTERM), and the exit code is 1.
 */
#include "tools/apiary/apiary.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/apiary/claim.h"

#define NOT_FOUND 127
#define NOT_RUN 126

static void run_command(char **command, const sigset_t *before, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(NOT_RUN); /* it has died before that */
    sigprocmask(SIG_SETMASK, before, NULL);
    execvp(command[0], command);
    fprintf(stderr, "apiary: claim run: %s: %s\n", command[0], strerror(errno));
    _exit(errno == ENOENT ? NOT_FOUND : NOT_RUN);
}

struct run {
    const struct tool *t;
    apiary_t *a;
    const char *key;
    apiary_claim_t claim;
    uint64_t ttl;
    pid_t pid;
    bool lost;
};

/* The claim lasts until the next look. */
static void run_renew(struct run *r)
{
    if (r->ttl == APIARY_FOREVER || r->lost) return;
    if (apiary_claim_renew(r->a, r->key, r->claim.token, r->ttl, NULL) == 0) return;
    r->lost = true;
    tool_warn(r->t, "%s: the claim was taken by another; the command is told to end", r->key);
    kill(r->pid, SIGTERM);
}

/* Until the command has ended: its exit code. Signals that this process gets are passed on. */
static int run_wait(struct run *r, const sigset_t *set)
{
    uint64_t third = r->ttl / 3;
    const struct timespec at = {.tv_sec = (time_t)(third / 1000000000), .tv_nsec = (long)(third % 1000000000)};
    int status, s;

    for (;;) {
        if (waitpid(r->pid, &status, WNOHANG) == r->pid) break;
        s = sigtimedwait(set, NULL, r->ttl == APIARY_FOREVER ? NULL : &at);
        if (s > 0 && s != SIGCHLD) kill(r->pid, s);
        run_renew(r);
    }
    if (r->lost) return TOOL_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int command_start(struct run *r, char **command)
{
    static const int passed[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    pid_t parent = getpid();
    sigset_t set, before;
    char token[24];

    snprintf(token, sizeof token, "%llu", (unsigned long long)r->claim.token);
    setenv("APIARY_CLAIM_KEY", r->key, 1);
    setenv("APIARY_CLAIM_TOKEN", token, 1);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaddset(&set, passed[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    r->pid = fork();
    if (r->pid == 0) run_command(command, &before, parent);
    if (r->pid < 0) return tool_fail(r->t, TOOL_FAILED, "%s: %s", command[0], strerror(errno));
    return run_wait(r, &set);
}

int claim_run(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim run",
        .arguments = "KEY -- COMMAND [ARGUMENT...]",
        .what = "Claims a key, runs a command, and ends the claim with it; the exit code is the command's.",
        .more = "The command finds APIARY_CLAIM_KEY and APIARY_CLAIM_TOKEN in its environment. Where it has an effect elsewhere,\n"
                "the token is to be checked there: 'apiary claim check \"$APIARY_CLAIM_KEY\" \"$APIARY_CLAIM_TOKEN\"'.\n"
                "If this process is killed, the claim is free at once, and the command is killed, too.",
        .least = 2,
        .most = -1,
    };
    struct claim_how how = {.wait = NULL};
    const char *ttl = NULL;
    const struct tool_option options[] = {
        {"ttl", 't', "TIME", "after such a time without a sign of life others may take it [never]", &ttl, NULL},
        {"wait", 'w', "[TIME]", "wait until it is free, in line with the others who wait; for so long [for ever]", &how.wait, NULL},
        {"steal", 0, NULL, "take it from a living holder whose time is over", NULL, &how.steal},
        {.name = NULL},
    };
    apiary_claim_options_t o = {.struct_size = sizeof o};
    struct run r = {.t = t, .claim = {.struct_size = sizeof r.claim}};
    int rc = tool_parse(t, &usage, options, &argc, &argv), e;

    if (rc != TOOL_GO_ON) return rc;
    rc = claim_policy(t, &usage, &how, &o);
    if (rc == TOOL_OK) rc = claim_time(t, &usage, "ttl", ttl, APIARY_FOREVER, &r.ttl);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), false, &r.a);
    if (rc != TOOL_OK) return rc;
    r.key = argv[0];
    e = apiary_claim(r.a, r.key, r.ttl, &o, &r.claim);
    rc = e < 0 ? claim_error(t, e, r.key) : command_start(&r, argv + 1);
    apiary_detach(r.a);
    return rc;
}
