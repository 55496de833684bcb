/* tools/apiary/queen_changes.c - see queen_changes.h. */
#include "tools/apiary/queen_changes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/deployment/deployment_diff.h"
#include "agents/runtime/queen.h"
#include "core/descriptor.h"
#include "core/log.h"
#include "core/text.h"
#include "registry/routing/rules.h"
#include "tools/apiary/config.h"

bool queen_changes_open(void)
{
    struct stat s;
    return fstat(WIRE_FD, &s) == 0 && S_ISSOCK(s.st_mode) && fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC) == 0;
}

pid_t queen_changes_maker(void)
{
    struct ucred maker = {.pid = 0};
    socklen_t size = sizeof maker;
    return getsockopt(WIRE_FD, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 ? maker.pid : 0;
}

static const struct ap_deployment_agent *changes_agent(const struct ap_deployment_swarm *s, const char *name)
{
    for (size_t i = 0; i < s->agent_count; i++) {
        if (strcmp(s->agents[i].name, name) == 0) return &s->agents[i];
    }
    return NULL;
}

static int changes_adjust(const struct queen_changes *c, const apiary_queen_t *queen, const struct ap_deployment_swarm *next)
{
    const apiary_swarm_description_t description = {APIARY_SWARM_DESCRIPTION,
                                                    .max_concurrent_delegations = next->max_delegations,
                                                    .weight = next->weight,
                                                    .health_check_interval = next->health_check_interval,
                                                    .health_check_timeout = next->health_check_timeout,
                                                    .unhealthy_after = next->unhealthy_after,
                                                    .healthy_after = next->healthy_after};
    size_t n = c->runs->agent_count;
    const struct ap_terms **terms = tool_alloc(n * sizeof(void *));
    const struct ap_rules **rules = tool_alloc(n * sizeof(void *));
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) { /* in her order: that of the text does not matter */
        const struct ap_deployment_agent *agent = changes_agent(next, c->runs->agents[i].name);
        if (agent == NULL) rc = APIARY_EINVAL;
        if (agent == NULL) continue;
        terms[i] = agent->terms;
        rules[i] = agent->rules;
    }
    const struct ap_queen_given given = {.terms = terms, .rules = rules};
    if (rc == 0) rc = ap_queen_adjust(queen, &description, &given);
    free(terms);
    free(rules);
    return rc;
}

/* "" in `why`: it is done. */
static void changes_apply(struct queen_changes *c, const apiary_queen_t *queen, const char *text, size_t length, char *why,
                          size_t size)
{
    struct ap_config_error error = {.text = ""};
    struct ap_deployment *d = NULL;
    uint64_t runs = 0, wanted = 0;
    int rc = ap_deployment_parse(c->path, text, length, NULL, NULL, &d, &error);
    if (rc == 0 && c->replicas != NULL) rc = config_scale(d, c->replicas, &error);
    const struct ap_deployment_swarm *next = rc == 0 ? ap_deployment_swarm(d, c->runs->service) : NULL;
    if (rc < 0) {
        ap_format(why, size, "%s", error.text);
    } else if (next == NULL) {
        ap_format(why, size, "it is not in that configuration");
    } else if (ap_deployment_fingerprint(c->runs, AP_EFFECT_RESTART, &runs) < 0 ||
               ap_deployment_fingerprint(next, AP_EFFECT_RESTART, &wanted) < 0) {
        ap_format(why, size, "out of memory");
    } else if (runs != wanted) {
        ap_format(why, size, "it would have to be restarted for that configuration");
    } else if ((rc = changes_adjust(c, queen, next)) == APIARY_ETABLEFULL) { /* of those that an adjustment enters something into */
        ap_format(why, size, "%s", AP_RULES_FULL);
    } else if (rc < 0) {
        ap_format(why, size, "%s; %s", apiary_strerror(rc), apiary_advice(rc));
    } else {
        struct ap_deployment *before = c->last;
        c->last = d;
        d = before;
    }
    ap_deployment_free(d);
}

static void changes_take(struct queen_changes *c, const apiary_queen_t *queen)
{
    uint8_t number = 0;
    size_t length = 0;
    int fd = -1;
    if (!wire_receive(c->fd, &number, &fd)) { /* the supervisor has ended: she leaves, or nobody changes anything any more */
        close(c->fd);
        c->fd = -1;
        return;
    }
    char why[512] = "", *text = fd >= 0 ? wire_read(fd, &length) : NULL;
    if (fd < 0) ap_format(why, sizeof why, "it has no descriptor left for the text; its agents hold them, or 'ulimit -n' is low");
    else if (text == NULL) ap_format(why, sizeof why, "it cannot read the text: %s", strerror(errno));
    else changes_apply(c, queen, text, length, why, sizeof why);
    free(text);
    if (*why == '\0') ap_log(6, "has taken over another configuration");
    wire_answer(c->fd, number, why);
}

int queen_changes_wait(struct queen_changes *c, const apiary_queen_t *queen, const sigset_t *signals)
{
    int which = 0, fd = c->fd >= 0 ? ap_fd_signals(signals) : -1;
    while (fd >= 0 && c->fd >= 0 && which == 0) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0) continue;
        if (fds[0].revents != 0 && read(fd, &info, sizeof info) == (ssize_t)sizeof info) which = (int)info.ssi_signo;
        else if (fds[1].revents != 0) changes_take(c, queen);
    }
    if (fd >= 0) close(fd);
    if (which == 0) sigwait(signals, &which);
    return which;
}
