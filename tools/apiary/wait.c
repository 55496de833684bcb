/* tools/apiary/wait.c - apiary wait: what a script asks for. */
#include "tools/apiary/apiary.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "tools/apiary/check.h"
#include "tools/view/index.h"

#define LOOK_EVERY 20 /* ms */

static const struct tool_usage wait_usage = {
    .command = "wait",
    .arguments = "[SERVICE]",
    .what = "Waits until tasks can be delegated: to a service, for a capability, or to all of a configuration.",
    .more = "SERVICE: one of its instances passes and is ready. --capability: an agent that offers it would be given a task.\n"
            "--all: as many instances as the configuration has of each service pass and are ready.\n"
            "A segment that is not there yet is waited for, too.\n"
            "Exit code 7: not by then; the message says what was missing.",
    .most = 1,
};

struct wish {
    const char *service, *capability;
    const struct ap_deployment *d; /* of --all */
};

static bool ready(const apiary_swarm_status_t *s)
{
    return s->state == APIARY_PASSING && s->mode == APIARY_READY;
}

/* A text about what is still missing, to be freed; NULL: nothing is. */
static char *missing_service(const apiary_swarm_status_t *rows, int n, const char *service)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(rows[i].service, service) == 0 && ready(&rows[i])) return NULL;
    }
    return tool_format("no instance of %s passes and is ready", service);
}

/* As many as the configuration has of each service, whatever their numbers (see judge_absent). */
static char *missing_instance(const struct ap_segment *seg, const apiary_swarm_status_t *rows, int n,
                              const struct ap_deployment *d)
{
    for (size_t i = 0; i < d->swarm_count; i++) {
        const char *service = d->swarms[i].service;
        const apiary_swarm_status_t *other = NULL;
        struct ap_supervised_view v;
        uint32_t serve = 0, k = 0;
        int count;
        const apiary_swarm_status_t *own = view_rows_of(rows, n, service, &count);
        for (int r = 0; r < count; r++) {
            serve += ready(&own[r]);
            if (other == NULL && !ready(&own[r])) other = &own[r];
        }
        if (serve >= d->swarms[i].instances) continue;
        while (view_registered(own, count, k))
            k++;
        if (other == NULL) return tool_format("%s/%u is not registered", service, k);
        char *why = check_why_not(other, &v, supervision_of(seg, service, other->instance, &v));
        char *ret = tool_format("%s/%s is %s in mode %s%s", service, other->instance, tool_state_name((int)other->state),
                                tool_mode_name((int)other->mode), why);
        free(why);
        return ret;
    }
    return NULL;
}

static char *missing_capability(const struct ap_segment *seg, const char *name)
{
    int capability = ap_capability_find(seg, name, strlen(name));
    struct agent_view v;
    for (int q = -1; capability >= 0 && (q = ap_capability_next(seg, (uint32_t)capability, (uint32_t)(q + 1))) >= 0;) {
        if (view_agent(seg, (uint32_t)q, &v) && v.open && v.swarm.alive && v.swarm.mode == APIARY_READY) return NULL;
    }
    return tool_format("nobody alive and ready offers %s", name);
}

static char *check_missing(apiary_t *a, const struct wish *w)
{
    if (w->capability != NULL) return missing_capability(a->seg, w->capability);
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(a, w->service, &rows);
    char *ret = n < 0              ? tool_strdup(apiary_strerror(n))
                : w->service != NULL ? missing_service(rows, n, w->service)
                                     : missing_instance(a->seg, rows, n, w->d);
    free(rows);
    return ret;
}

static int check_wait_for(const struct tool *t, const char *segment, const struct wish *w, uint64_t timeout)
{
    uint64_t until = ap_ops_system.now() + timeout;
    for (;;) {
        apiary_t *a = NULL;
        char message[512] = "";
        apiary_attach_options_t attach = {.struct_size = sizeof attach,
            .kind = APIARY_TOOL, .read_only = 1, .message = message, .message_size = sizeof message};
        int rc = apiary_attach(segment, &attach, &a);
        const char *why = *message != '\0' ? message : apiary_strerror(rc);
        bool named = rc < 0 && strncmp(why, segment, strlen(segment)) == 0;
        char *lacks = rc == 0 ? check_missing(a, w) : tool_strdup(why);
        bool late = ap_ops_system.now() >= until;
        rc = lacks == NULL ? TOOL_OK
             : !late       ? TOOL_GO_ON
                           : tool_fail(t, TOOL_TIMEOUT, "wait: %s%s%s", named ? "" : segment, named ? "" : ": ", lacks);
        free(lacks);
        /* Attached anew each time: a segment that is made again under the name is another one. */
        apiary_detach(a);
        if (rc != TOOL_GO_ON) return rc;
        poll(NULL, 0, LOOK_EVERY);
    }
}

int cmd_wait(struct tool *t, int argc, char **argv)
{
    struct wish w = {.service = NULL};
    const char *config = NULL, *phase = NULL, *path = NULL, *segment, *text = "60s";
    struct ap_deployment *d = NULL;
    bool all = false;
    uint64_t timeout = 0;
    const struct tool_option options[] = {
        {"capability", 'C', "NAME", "until this capability is offered", &w.capability, NULL},
        {"all", 'a', NULL, "until all instances of the configuration pass", NULL, &all},
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, else /etc/apiary/apiary.yaml]", &config, NULL},
        {"phase", 'p', "NAME|N", "with --all: only the phases of the configuration up to this one", &phase, NULL},
        {"timeout", 't', "TIME", "how long to wait [60s]", &text, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &wait_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (tool_duration(text, &timeout) != 0)
        return tool_usage_error(t, &wait_usage, "--timeout: '%s' is not a duration above 0; write 250ms, 5s or 2m", text);
    if (argc > 0) w.service = argv[0];
    if ((w.service != NULL) + (w.capability != NULL) + all != 1)
        return tool_usage_error(t, &wait_usage, "wait for one thing: SERVICE, --capability or --all");
    if (w.capability != NULL && !ap_capability_valid(w.capability))
        return tool_usage_error(t, &wait_usage, "'%s' is not a capability name", w.capability);
    if (phase != NULL && !all) return tool_usage_error(t, &wait_usage, "--phase: it goes with --all");
    if (all || config != NULL) rc = apiary_load_phases(t, config, phase, &path, &d);
    if (rc > 0) return rc;
    w.d = d;
    rc = check_choose(t, path, d, &segment);
    if (rc == TOOL_OK) rc = check_wait_for(t, segment, &w, timeout);
    ap_deployment_free(d);
    return tool_finish(t, rc);
}
