/* tools/apiary/probe.c - apiary probe: which agents of a capability, or of a service, go on. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/discovery/service.h"

#define PATIENCE UINT64_C(1000000000)
#define SLICE UINT64_C(100000000)

static const struct tool_usage usage = {
    .command = "probe",
    .arguments = "CAPABILITY|SERVICE",
    .what = "Asks each agent of a capability or a service whether it goes on, past all that waits, and runs nothing in it.",
    .least = 1,
    .most = 1,
    .json = true,
};

struct probed {
    apiary_provider_t provider;
    char capability[APIARY_CAPABILITY_MAX + 1];
    apiary_task_t task;
    int error; /* APIARY_ENOTREADY: its answer is awaited */
    uint64_t took;
    char why[sizeof((apiary_refusal_t *)0)->message]; /* it was refused; "": the error tells */
};

struct probes {
    const struct tool *t;
    apiary_t *a;
    struct probed *all;
    size_t count;
    uint64_t timeout, from;
};

static volatile sig_atomic_t interrupted;

static void probe_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- whom ------------------------------------------------------------------------------------------------------- */

static bool probe_has(const struct probes *p, uint64_t provider)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->all[i].provider.provider == provider) return true;
    return false;
}

/* The providers of a capability, of one service or (NULL) of all. */
static void probe_add(struct probes *p, const char *capability, const char *service)
{
    size_t room = p->a->seg->geometry.queues;
    apiary_provider_t *rows = tool_alloc(room * sizeof *rows);
    memset(rows, 0, room * sizeof *rows);
    rows[0].struct_size = sizeof *rows;
    int count = apiary_discover(p->a, capability, rows, room);
    for (int i = 0; i < count && (size_t)i < room; i++) {
        if (service != NULL && (strcmp(rows[i].service, service) != 0 || probe_has(p, rows[i].provider))) continue;
        p->all = tool_realloc(p->all, (p->count + 1) * sizeof *p->all);
        struct probed *one = &p->all[p->count++];
        *one = (struct probed){.provider = rows[i], .error = APIARY_ENOTREADY};
        memcpy(one->capability, capability, strnlen(capability, sizeof one->capability - 1));
    }
    free(rows);
}

static void probe_add_service(struct probes *p, const char *service)
{
    const struct ap_segment *seg = p->a->seg;
    char name[APIARY_CAPABILITY_MAX + 1];
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_CAPABILITIES].count; i++) {
        ap_capability_name(seg, i, name);
        if (name[0] != '\0') probe_add(p, name, service);
    }
}

/* ---- ask, and hear ---------------------------------------------------------------------------------------------- */

static void probe_ask(struct probes *p, struct probed *one)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = p->timeout, .flags = APIARY_PROBE,
                                         .provider = one->provider.provider};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    one->error = apiary_delegate(p->a, one->capability, NULL, 0, &o, &one->task);
    if (one->error == 0) one->error = APIARY_ENOTREADY;
    else if (one->error != APIARY_ENOPROVIDER && apiary_refusal(p->a, &refusal) == 0)
        ap_text_copy(one->why, refusal.message, sizeof one->why);
}

/* 0, or an error that ends the wait. */
static int probe_hear(struct probes *p)
{
    apiary_task_t *open = tool_alloc((p->count + 1) * sizeof *open);
    size_t *of = tool_alloc((p->count + 1) * sizeof *of);
    int rc = 0;
    while (rc >= 0 && !interrupted) {
        apiary_result_t result = {.struct_size = sizeof result};
        size_t waiting = 0;
        for (size_t i = 0; i < p->count; i++) {
            if (p->all[i].error != APIARY_ENOTREADY) continue;
            of[waiting] = i;
            open[waiting++] = p->all[i].task;
        }
        if (waiting == 0) break;
        rc = apiary_await_any(p->a, open, waiting, SLICE, &result);
        if (rc < 0) {
            if (rc == APIARY_ENOTREADY || rc == APIARY_EINTERRUPTED) rc = 0;
            continue;
        }
        struct probed *one = &p->all[of[rc]];
        one->error = result.code;
        one->took = ap_ops_system.now() - p->from;
        if (result.data != NULL) apiary_release(p->a, &result);
    }
    free(open);
    free(of);
    return rc < 0 ? rc : 0;
}

/* ---- and tell --------------------------------------------------------------------------------------------------- */

static const char *probe_why(const struct probed *one)
{
    if (one->why[0] != '\0') return one->why;
    switch (one->error) {
    case APIARY_ETIMEDOUT: return "its process is there, and it takes no task";
    case APIARY_ENOPROVIDER: return "it has gone";
    case APIARY_ENOTREADY: return "interrupted";
    default: return apiary_strerror(one->error);
    }
}

static void probe_print(const struct probes *p, const struct probed *one)
{
    char took[32];
    printf("%s/%s %s: ", one->provider.service, one->provider.instance, one->provider.agent);
    if (one->error == 0) printf("answered in %s\n", tool_format_duration(one->took, took));
    else if (one->error == APIARY_ETIMEDOUT)
        printf("NO ANSWER in %s: %s\n", tool_format_duration(p->timeout, took), probe_why(one));
    else printf("NO ANSWER: %s\n", probe_why(one));
}

static int probe_json(const struct probes *p, bool ok)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++) {
        const struct probed *one = &p->all[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "service", one->provider.service, "instance",
                              one->provider.instance, "agent", one->provider.agent, "capability", one->capability, "pid",
                              (json_int_t)one->provider.pid, "provider", (json_int_t)one->provider.provider, "answered",
                              one->error == 0);
        if (one->error == 0) {
            json_object_set_new(o, "latency_ns", json_integer((json_int_t)one->took));
        } else {
            json_object_set_new(o, "error", json_string(apiary_error_name(one->error)));
            json_object_set_new(o, "why", json_string(probe_why(one)));
        }
        json_array_append_new(list, o);
    }
    return tool_json_print(json_pack("{s:i, s:b, s:I, s:o}", "schema", TOOL_JSON_SCHEMA, "ok", ok, "timeout_ns",
                                     (json_int_t)p->timeout, "agents", list));
}

/* With each of them asked: what it has come to. */
static int probe_tell(const struct probes *p)
{
    bool ok = true, asked = false, late = false;
    for (size_t i = 0; i < p->count; i++) {
        ok &= p->all[i].error == 0;
        late |= p->all[i].error == APIARY_ETIMEDOUT;
        asked |= p->all[i].error != APIARY_ENOPROVIDER;
    }
    if (p->t->json) {
        int rc = probe_json(p, ok);
        if (rc != TOOL_OK) return rc;
    }
    for (size_t i = 0; i < p->count && !p->t->json; i++) probe_print(p, &p->all[i]);
    return ok ? TOOL_OK : tool_exit_code(!asked ? APIARY_ENOPROVIDER : late ? APIARY_ETIMEDOUT : APIARY_EAGENT);
}

static int probe_run(struct probes *p, const char *name)
{
    bool known = ap_capability_valid(name) && ap_capability_find(p->a->seg, name, strlen(name)) >= 0;
    if (known) probe_add(p, name, NULL);
    if (p->count == 0 && ap_name_valid(name, APIARY_NAME_MAX)) probe_add_service(p, name);
    if (p->count == 0)
        return tool_error(p->t, known ? APIARY_ENOPROVIDER : APIARY_ENOCAP, NULL, "%s: neither a capability nor a service", name);
    p->from = ap_ops_system.now();
    for (size_t i = 0; i < p->count; i++) probe_ask(p, &p->all[i]);
    int rc = probe_hear(p);
    return rc < 0 ? tool_error(p->t, rc, NULL, "%s", name) : probe_tell(p);
}

int cmd_probe(struct tool *t, int argc, char **argv)
{
    const char *timeout = NULL;
    struct probes p = {.t = t, .timeout = PATIENCE};
    const struct tool_option options[] = {
        {"timeout", 't', "TIME", "how long each may take to answer (250ms, 5s) [1s]", &timeout, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (!ap_capability_valid(argv[0]))
        return tool_usage_error(t, &usage, "'%s' is not the name of a capability or a service", argv[0]);
    if (timeout != NULL && tool_duration(timeout, &p.timeout) != 0)
        return tool_usage_error(t, &usage, "--timeout: '%s' is not a duration above 0; write 250ms, 5s or 2m", timeout);
    rc = tool_attach(t, tool_segment(t, NULL), false, &p.a);
    if (rc != TOOL_OK) return rc;
    struct sigaction act = {.sa_handler = probe_interrupt};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    rc = probe_run(&p, argv[0]);
    free(p.all);
    apiary_detach(p.a);
    return tool_finish(t, rc);
}
