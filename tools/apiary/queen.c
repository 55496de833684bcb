/* tools/apiary/queen.c - apiary queen: one swarm in this process, until SIGTERM. */
#include "tools/apiary/queen_changes.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agents/runtime/kind.h"
#include "agents/runtime/queen.h"
#include "core/apiary/kinds.h"
#include "core/apiary/swarm.h"
#include "core/atomic.h"
#include "core/log.h"
#include "core/text.h"
#include "core/writer.h"
#include "tools/apiary/config.h"
#include "tools/common/state.h"

#define LAST_WORDS UINT64_C(200000000) /* ns, for what the log has not written */

static const struct tool_usage usage = {
    .command = "queen",
    .arguments = "SERVICE",
    .what = "Runs the swarm of SERVICE: registers its agents and works until SIGTERM, then finishes its tasks and "
            "leaves.",
    .more =
        "A second SIGTERM or SIGINT ends it at once. Its unfinished tasks are then run by another instance, or by the\n"
        "next one.",
    .least = 1,
    .most = 1,
};

/* One that has lost a worker leaves as if it were told to, for its supervisor to start another one. */
static void to_log(void *user, int level, const char *line)
{
    uint32_t *broken = user;
    ap_log(level, "%s", line);
    if (level > 2) return;
    ap_store_relaxed(broken, 1);
    kill(getpid(), SIGTERM);
}

/* The agents as the configuration has them; to be freed by described_free. */
struct described {
    apiary_agent_description_t *agents;
    const struct ap_node **configs;
    const struct ap_terms **terms;
    const struct ap_rules **rules;
    char *state; /* the state directory; NULL: none */
};

static apiary_swarm_description_t describe_swarm(const struct ap_deployment_swarm *swarm, const char *instance,
                                                 const struct described *described, uint32_t *broken)
{
    return (apiary_swarm_description_t){APIARY_SWARM_DESCRIPTION, .service = swarm->service,
                                        .instance = instance,
                                        .version = swarm->version,
                                        .port = swarm->port,
                                        .health_endpoint = swarm->health_endpoint,
                                        .metrics_endpoint = swarm->metrics_endpoint,
                                        .tags = swarm->tags,
                                        .state_directory = described->state,
                                        .workers = swarm->workers,
                                        .max_concurrent_delegations = swarm->max_delegations,
                                        .weight = swarm->weight,
                                        .health_check_interval = swarm->health_check_interval,
                                        .health_check_timeout = swarm->health_check_timeout,
                                        .unhealthy_after = swarm->unhealthy_after,
                                        .healthy_after = swarm->healthy_after,
                                        .agents = described->agents,
                                        .agent_count = swarm->agent_count,
                                        .log = to_log,
                                        .log_user = broken};
}

static void described_free(struct described *d)
{
    free(d->agents);
    free(d->configs);
    free(d->terms);
    free(d->rules);
    free(d->state);
}

/* Every agent with its kind, built in or from a plug-in. */
static int describe_agents(const struct tool *t, const struct ap_deployment_swarm *swarm, struct described *ret)
{
    ret->agents = tool_alloc(swarm->agent_count * sizeof *ret->agents);
    ret->configs = tool_alloc(swarm->agent_count * sizeof(void *));
    ret->terms = tool_alloc(swarm->agent_count * sizeof(void *));
    ret->rules = tool_alloc(swarm->agent_count * sizeof(void *));
    for (size_t i = 0; i < swarm->agent_count; i++) {
        const struct ap_deployment_agent *from = &swarm->agents[i];
        apiary_agent_description_t *to = &ret->agents[i];
        *to = (apiary_agent_description_t){.name = from->name,
                                           .kind = from->kind != NULL ? apiary_kind(from->kind) : NULL,
                                           .capabilities = from->capabilities,
                                           .worker = from->worker};
        ret->configs[i] = from->config;
        ret->terms[i] = from->terms;
        ret->rules[i] = from->rules;
        char message[1024] = "";
        int rc = from->plugin != NULL ? ap_agent_plugin(from->plugin, &to->kind, message, sizeof message) : 0;
        if (rc == 0 && to->kind != NULL) continue;
        if (rc < 0) return tool_error(t, rc, message, "agent %s", from->name);
        return tool_fail(t, TOOL_CONFIG, "agent %s: there is no kind '%s'; 'apiary kinds' lists them", from->name,
                         from->kind);
    }
    return TOOL_OK;
}

static void set_process(const char *service, const char *instance)
{
    static char part[3 * APIARY_NAME_MAX];
    char name[16];
    snprintf(name, sizeof name, "queen:%s", service);
    prctl(PR_SET_NAME, name);
    snprintf(part, sizeof part, "queen service=%s instance=%s", service, instance);
    ap_log_part(part);
}

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL); /* before any thread starts */
}

static pid_t supervisor; /* 0: none, whoever has started her */

/* From when her signals are blocked none of its death is lost. False: it died before. */
static bool take_supervisor(void)
{
    pid_t parent = getppid(), maker = queen_changes_maker();
    supervisor = maker != 0 ? maker : parent;
    return supervisor == parent;
}

/* The kernel tells a queen of her supervisor's death once for each of its threads whose child she became on the way, the last time
 * perhaps while she drains. Of her supervisor one signal is enough, also of a living one: it kills who takes too long. */
static void second_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (supervisor != 0 && info->si_pid == supervisor) return;
    signal(number, SIG_DFL);
    raise(number); /* it comes when this returns */
}

static void let_end(const sigset_t *signals)
{
    struct sigaction action = {.sa_sigaction = second_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static int cli_queen_serve(const struct tool *t, apiary_t *a, const apiary_swarm_description_t *description,
                           const struct ap_queen_given *given, struct queen_changes *changes, const sigset_t *signals,
                           uint64_t drain)
{
    char message[1024] = "", text[32];
    apiary_queen_t *queen = NULL;
    int rc = ap_queen_start(a, description, given, message, sizeof message, &queen);
    if (rc < 0) return tool_error(t, rc, message, "queen %s/%s", description->service, description->instance);
    tool_notify("READY=1");
    int which = queen_changes_wait(changes, queen, signals);
    tool_notify("STOPPING=1");
    ap_log(6, "signal %d: draining", which);
    let_end(signals); /* the second one ends the process */
    rc = apiary_queen_stop(queen, drain);
    if (rc == 0) return ap_load_relaxed((const uint32_t *)description->log_user) != 0 ? TOOL_FAILED : TOOL_OK;
    /* A worker that hangs in an agent's function ends only with the process. Its tasks are run again elsewhere. */
    ap_log(4, "still not done after %s: ends with tasks in hand, which others take over", tool_format_duration(drain, text));
    ap_writer_wait(LAST_WORDS);
    _exit(TOOL_FAILED);
}

struct queen_options {
    const char *config, *instance, *level, *drain, *state, *replicas, *heir_of;
    bool standard_input, changes;
    uint64_t wait; /* for the segment; 0: not at all */
};

/* TOOL_OK with *ret NULL: told to leave before there was anything to leave. */
static int attach_when_there(const struct tool *t, const char *segment, const apiary_attach_options_t *options,
                             const sigset_t *signals, uint64_t wait, apiary_t **ret)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t now = ap_ops_system.now(), until = wait < UINT64_MAX - now ? now + wait : UINT64_MAX;
    bool told = false;
    for (;;) {
        int rc = apiary_attach(segment, options, ret);
        bool comes = rc == APIARY_ENOSEG || rc == APIARY_ECREATING || rc == APIARY_ECREATOR;
        if (rc == 0) return TOOL_OK;
        if (!comes || ap_ops_system.now() >= until)
            return tool_error(t, rc, options->message, "queen %s: attach", options->swarm);
        if (!told) ap_log(6, "waiting for %s", segment);
        told = true;
        if (sigtimedwait(signals, NULL, &pause) > 0) return TOOL_OK;
    }
}

static int cli_queen_run(const struct tool *t, const char *service, const struct queen_options *o, const sigset_t *signals,
                         uint64_t drain)
{
    struct ap_deployment *d = NULL, *last = NULL;
    const char *path = NULL;
    uint32_t broken = 0;
    int rc = apiary_read_config(t, o->config, o->standard_input, service, &path, &d);
    if (rc != TOOL_OK) return rc;
    struct ap_config_error error = {.text = ""};
    int e = o->replicas != NULL ? config_scales_known(d, o->replicas, &error) : 0;
    if (e == 0 && o->replicas != NULL) e = config_scale(d, o->replicas, &error);
    if (e < 0) {
        ap_deployment_free(d);
        return tool_error(t, e, error.text, "configuration");
    }
    const struct ap_deployment_swarm *swarm = ap_deployment_swarm(d, service);
    struct described described = {.state = tool_state_base(o->state)};
    apiary_t *a = NULL;
    rc = swarm == NULL ? tool_fail(t, TOOL_CONFIG, "queen: %s has no service '%s'", path, service)
                       : describe_agents(t, swarm, &described);
    const char *segment = NULL, *why = NULL;
    if (rc == TOOL_OK) rc = tool_choose_segment(t, path, d->segment.name, &segment, &why);
    if (rc == TOOL_OK) {
        ap_log(6, "segment %s, %s", segment, why);
        char message[1024] = "";
        char name[2 * APIARY_NAME_MAX];
        snprintf(name, sizeof name, "%s/%s", service, o->instance);
        apiary_attach_options_t attach = {.struct_size = sizeof attach,
            .name = name, .swarm = service, .kind = APIARY_QUEEN, .message = message, .message_size = sizeof message};
        rc = attach_when_there(t, segment, &attach, signals, o->wait, &a);
    }
    if (rc == TOOL_OK && a != NULL) {
        const apiary_swarm_description_t description = describe_swarm(swarm, o->instance, &described, &broken);
        const struct ap_queen_given given = {
            .configs = described.configs, .terms = described.terms, .rules = described.rules, .heir_of = o->heir_of};
        struct queen_changes changes = {.fd = o->changes ? WIRE_FD : -1, .path = path, .replicas = o->replicas,
                                        .runs = swarm};
        rc = cli_queen_serve(t, a, &description, &given, &changes, signals, drain);
        last = changes.last;
    }
    apiary_detach(a);
    ap_deployment_free(last);
    described_free(&described);
    ap_deployment_free(d);
    return rc;
}

int cmd_queen(struct tool *t, int argc, char **argv)
{
    struct queen_options o = {.instance = "0", .level = "info", .drain = "10s"};
    const char *wait = NULL;
    char word[CONFIG_WORD];
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, else /etc/apiary/apiary.yaml]", &o.config, NULL},
        {"stdin", 0, NULL, "read the configuration's text from standard input; its FILE is its name, and where paths begin",
         NULL, &o.standard_input},
        {"replicas", 0, "LIST", "other numbers of replicas than the text has, such as SERVICE/AGENT=3,SERVICE/OTHER=2", &o.replicas,
         NULL},
        {"changes", 0, NULL, "take over in place what 'apiary up' sends on descriptor 3 of other configurations", NULL,
         &o.changes},
        {"wait", 'w', "[TIME]", "how long to wait for the segment [not at all; without TIME for ever]", &wait, NULL},
        {"instance", 'i', "NAME", "which instance of the service this is [0]", &o.instance, NULL},
        {"heir-of", 0, "NAME", "begin in the mode and with the weight that an operator has given this other instance", &o.heir_of,
         NULL},
        {"drain", 'd', "TIME", "how long to finish tasks after SIGTERM [10s]", &o.drain, NULL},
        {"state", 0, "DIR", "agents have their files there [$STATE_DIRECTORY, else $XDG_STATE_HOME/apiary, else "
                            "~/.local/state/apiary]", &o.state, NULL},
        {"log-level", 'l', "LEVEL", "error, warning, info or debug [info]", &o.level, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    uint64_t drain = 0;
    if (tool_duration(o.drain, &drain) != 0)
        return tool_usage_error(t, &usage, "--drain: '%s' is not a duration above 0; write 250ms, 5s or 2m", o.drain);
    if (wait != NULL && *wait == '\0') {
        o.wait = UINT64_MAX;
    } else if (wait != NULL && tool_duration(wait, &o.wait) != 0) {
        return tool_usage_error(t, &usage, "--wait: '%s' is not a duration; write --wait=5s, or --wait for ever", wait);
    }
    if (o.replicas != NULL && config_scales_wrong(o.replicas, true, word))
        return tool_usage_error(t, &usage, "--replicas: '%s' is not SERVICE/AGENT=NUMBER; expected a list of these",
                                AP_SHOWN(word, 100));
    if (o.changes && !queen_changes_open())
        return tool_usage_error(t, &usage, "--changes: descriptor %d is no socket; 'apiary up' gives one", WIRE_FD);
    if (tool_log_level(o.level) < 0)
        return tool_usage_error(t, &usage, "--log-level: '%s' is not one of error, warning, info, debug", o.level);
    rc = tool_serve(t);
    if (rc == TOOL_OK) rc = tool_first(t);
    if (rc != TOOL_OK) return rc;
    if (o.changes && !queen_changes_open()) /* it was closed just now */
        return tool_usage_error(t, &usage, "--changes: descriptor %d is not to be kept: APIARY_KEEP_FDS does not name it", WIRE_FD);
    if (o.changes) unsetenv("APIARY_KEEP_FDS"); /* it is not for the programs of her agents */
    ap_log_level(tool_log_level(o.level));
    sigset_t signals;
    block_signals(&signals);
    if (o.changes && !take_supervisor()) return tool_fail(t, TOOL_FAILED, "queen %s: its supervisor has ended", argv[0]);
    set_process(argv[0], o.instance);
    return cli_queen_run(t, argv[0], &o, &signals, drain);
}
