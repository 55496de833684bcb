/* tools/apiary/change.c - see change.h. */
#include "tools/apiary/change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "shm/event.h"
#include "tools/apiary/autoscale.h"
#include "tools/apiary/control.h"
#include "tools/apiary/diff.h"
#include "tools/apiary/order.h"
#include "tools/apiary/renew.h"

/* ---- another configuration ------------------------------------------------------------------------------------ */

/* Those who stay are of the new one from now on. */
static void change_hand_over(struct change *c, struct ap_deployment *d)
{
    struct up *up = c->up;
    up->former_d = up->d;
    up->d = d;
    config_put(&up->config);
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        const struct ap_deployment_swarm *s = ap_deployment_swarm(d, q->swarm->service);
        if (s == NULL) { /* one that retires is not waited for any more: its service goes, with the others of it */
            q->leaves = q->leaves && q->child->told;
            q->retires = false;
            continue;
        }
        q->fresh = q->child->held && order_differs(q->swarm, s); /* it may be started now */
        q->swarm = s;
        q->stale = !q->child->held && renew_is_stale(q);
        q->child->restart = s->restart;
    }
}

static bool change_any_adjusted(const struct up *up, const char *service)
{
    bool any = false;
    for (size_t i = 0; i < up->queen_count; i++)
        any = any || (up->queens[i]->adjusted && strcmp(up->queens[i]->swarm->service, service) == 0);
    return any;
}

static bool change_any_stale(const struct up *up, const char *service)
{
    bool any = false;
    for (size_t i = 0; i < up->queen_count; i++)
        any = any || (up->queens[i]->stale && strcmp(up->queens[i]->swarm->service, service) == 0);
    return any;
}

static void change_services(struct change *c)
{
    struct up *up = c->up;
    for (size_t i = 0; i < up->d->swarm_count; i++) renew_add(c, &up->d->swarms[i]);
    renew_await_added(c);
    for (size_t i = 0; i < up->d->swarm_count && !renew_broken_off(c); i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        if (ap_deployment_swarm(up->former_d, s->service) == NULL) renew_event(c, AP_EVENT_SERVICE_ADDED, s->service);
    }
    if (!renew_broken_off(c)) renew_adjust(c);
    for (size_t i = 0; i < up->d->swarm_count && !renew_broken_off(c); i++) {
        const char *service = up->d->swarms[up->d->order[i]].service;
        if (change_any_adjusted(up, service)) renew_event(c, AP_EVENT_SERVICE_ADJUSTED, service);
        if (ap_deployment_swarm(up->former_d, service) == NULL || !change_any_stale(up, service)) continue;
        if (renew_service(c, service, false, true)) renew_event(c, AP_EVENT_SERVICE_CHANGED, service);
    }
    for (size_t i = up->former_d->swarm_count; i-- > 0 && !renew_broken_off(c);) {
        const struct ap_deployment_swarm *former = &up->former_d->swarms[up->former_d->order[i]];
        const struct ap_deployment_swarm *s = ap_deployment_swarm(up->d, former->service);

        if (s == NULL) renew_event(c, AP_EVENT_SERVICE_REMOVED, former->service);
        renew_shrink(c, former->service, s != NULL ? s->instances : 0);
        const char *said = s != NULL && s->autoscale.max > 0 ? "autoscale: the configuration has other bounds" : "";
        if (s != NULL && s->instances != former->instances) autoscale_note(up, s, former->instances, up->by, said);
    }
}

static bool change_misses(const struct queen *q)
{
    return q->fresh && !q->passed;
}

/* The new ones that found no place before others left. */
static void change_look_back(struct change *c)
{
    struct up *up = c->up;
    for (size_t i = 0; i < up->queen_count && !renew_broken_off(c); i++) {
        const struct queen *q = up->queens[i];
        if (change_misses(q) && q->child->pid == 0) crew_again(up->crew, q->child);
    }
    uint64_t until = renew_until(c);
    for (size_t i = 0; i < up->queen_count && !renew_broken_off(c); i++) {
        struct queen *q = up->queens[i];
        bool missing = change_misses(q);
        q->fresh = false;
        if (!missing) continue;
        if (renew_await_until(c, q, until)) renew_note(c, c->done, "%s is started", q->child->label);
        else if (!renew_broken_off(c)) renew_complain(c, q, "it is tried again and again");
    }
}

static char *change_names(const struct ap_differences *d, enum ap_effect least)
{
    char *text = tool_strdup("");
    for (size_t i = 0; i < d->count; i++) {
        if (d->list[i].effect < least) continue;
        char *name = difference_name(&d->list[i]);
        char *longer = tool_format("%s%s%s", text, *text != '\0' ? ", " : "", name);
        free(name);
        free(text);
        text = longer;
    }
    return text;
}

/* ---- answers -------------------------------------------------------------------------------------------------- */

static json_t *change_refused(struct up *up, int code, const char *sentence)
{
    crew_say(up->crew, "apiary: up: %s; revision %" PRIu32 " stays in force", sentence, up->config.revision);
    ap_event_log(up->a->seg, AP_EVENT_CONFIG_REFUSED, up->a->anchor->lane.index, up->config.revision, 0);
    config_drop(&up->config);
    return json_pack("{s:i, s:o, s:I}", "code", code, "error", tool_json_text(sentence), "revision",
                     (json_int_t)up->config.revision);
}

/* Takes over the lists. */
static json_t *change_answer(struct change *c, json_t *changes)
{
    struct up *up = c->up;
    queens_look(up); /* the records of those that left are freed before anybody is told that they did */
    json_t *ret = json_pack("{s:i, s:I, s:o, s:o, s:o}", "code", TOOL_OK, "revision", (json_int_t)up->config.revision, "changes",
                            changes, "done", c->done, "failed", c->failed);
    char *error = renew_broken_off(c) ? tool_strdup("'apiary up' is told to end; it was not done") : NULL;
    for (size_t i = 0; i < json_array_size(c->failed); i++) {
        const char *one = json_string_value(json_array_get(c->failed, i));
        char *longer = tool_format("%s%s%s", error != NULL ? error : "", error != NULL ? "; " : "", one != NULL ? one : "?");
        free(error);
        error = longer;
    }
    if (error != NULL) {
        json_object_set_new(ret, "code", json_integer(TOOL_FAILED));
        json_object_set_new(ret, "error", tool_json_text(error));
    }
    free(error);
    return ret;
}

/* ---- reload, rollback ----------------------------------------------------------------------------------------- */

static bool change_judged(struct up *up)
{
    return config_answered(&up->config);
}

/* A number that the text does not say is not to be sought in it. */
static void change_blame(struct up *up, struct ap_config_error *error)
{
    struct ap_config_error other = {.text = ""};
    struct ap_deployment *d = NULL;
    char *scales = tool_strdup(up->config.next.scales);
    config_ask_alone(&up->config);
    bool right = up_wait(up, UINT64_MAX, change_judged) == TOOL_OK && config_judgement(&up->config, &d, &other) == TOOL_OK;
    if (right) config_blame_scales(scales, error);
    ap_deployment_free(d);
    free(scales);
}

/* TOOL_OK with the new text parsed, or a code with a sentence. */
static int change_judge(struct up *up, enum config_which which, const char *scales, struct ap_deployment **ret,
                        struct ap_config_error *error)
{
    if (which == CONFIG_FORMER && up->config.former.text == NULL) {
        ap_format(error->text, sizeof error->text, "there is no former configuration: the first one is in force");
        return TOOL_FAILED;
    }
    int rc = config_ask(&up->config, which, up->d, scales, error);
    if (rc < 0) return tool_exit_code(rc);
    if (up_wait(up, UINT64_MAX, change_judged) != TOOL_OK) {
        ap_format(error->text, sizeof error->text, "'apiary up' is told to end");
        return TOOL_FAILED;
    }
    rc = config_judgement(&up->config, ret, error);
    if (rc == TOOL_CONFIG && which == CONFIG_FILE && *up->config.next.scales != '\0') change_blame(up, error);
    if (rc != TOOL_OK || (*ret)->swarm_count > 0) return rc;
    ap_format(error->text, sizeof error->text, "%s names no swarms; to end everything, stop 'apiary up'", AP_SHOWN(up->path, 200));
    return TOOL_CONFIG;
}

static bool change_is_due(const struct up *up, const struct ap_deployment *d, const struct ap_differences *diff)
{
    bool due = diff->count > 0;
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct ap_deployment_swarm *s = ap_deployment_swarm(d, up->queens[i]->swarm->service);
        uint64_t runs = 0, says = 0;
        const struct queen *q = up->queens[i];
        if (s != NULL && q->child->held) continue; /* it has not been started with any text */
        due = due || q->unsure || s == NULL || ap_deployment_fingerprint(s, AP_EFFECT_RESTART, &runs) < 0 || runs != q->runs ||
              ap_deployment_fingerprint(s, AP_EFFECT_ADJUST, &says) < 0 || says != q->says;
    }
    return due;
}

static json_t *change_apply(struct up *up, struct ap_deployment *d, struct ap_differences *diff)
{
    struct change c = {up, json_array(), json_array()};
    json_t *changes = differences_json(diff);
    char *names = change_names(diff, AP_EFFECT_NONE);
    uint32_t from = up->config.revision;
    change_hand_over(&c, d);
    crew_say(up->crew, "apiary: up: revision %" PRIu32 " is in force: %s", up->config.revision,
             *names != '\0' ? names : "what the last change has not reached");
    free(names);
    change_services(&c);
    change_look_back(&c);
    ap_event_log(up->a->seg, AP_EVENT_CONFIG_APPLIED, up->a->anchor->lane.index, up->config.revision, from);
    if (!renew_broken_off(&c)) {
        ap_deployment_free(up->former_d);
        up->former_d = NULL;
    }
    return change_answer(&c, changes);
}

/* `scales`: with CONFIG_NOW, else NULL. */
static json_t *change_reload(struct up *up, enum config_which which, const char *scales)
{
    struct ap_config_error error = {.text = ""};
    struct ap_deployment *d = NULL;
    struct ap_differences diff = {.list = NULL};
    autoscale_settle(&(struct change){.up = up});
    int rc = change_judge(up, which, scales, &d, &error);
    if (rc == TOOL_OK) ap_deployment_keep_scale(up->d, d);
    if (rc == TOOL_OK && ap_deployment_diff(up->d, d, &diff) < 0) {
        rc = TOOL_FAILED;
        ap_format(error.text, sizeof error.text,
                  "%s: there is no memory to compare it with what is in force; free some, or raise the limit of 'apiary up' "
                  "(ulimit -v, or MemoryMax= of its unit)", AP_SHOWN(up->path, 200));
    }
    json_t *ret;
    char *segment = change_names(&diff, AP_EFFECT_SEGMENT);
    if (rc != TOOL_OK) {
        ret = change_refused(up, rc, error.text);
    } else if (*segment != '\0') {
        char *sentence = tool_format("%s: these need a new segment: %s; nothing is changed, 'apiary up' has to be stopped and "
                                     "started again for them", up->path, segment);
        ret = change_refused(up, TOOL_FAILED, sentence);
        json_object_set_new(ret, "changes", differences_json(&diff));
        free(sentence);
    } else if (!change_is_due(up, d, &diff)) {
        crew_say(up->crew, "apiary: up: %s says what revision %" PRIu32 " says; nothing is changed", up->path, up->config.revision);
        config_drop(&up->config);
        ret = json_pack("{s:i, s:I, s:[], s:[]}", "code", TOOL_OK, "revision", (json_int_t)up->config.revision, "changes", "done");
    } else {
        ret = change_apply(up, d, &diff);
        d = NULL;
    }
    ap_differences_free(&diff);
    ap_deployment_free(d);
    free(segment);
    return ret;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static json_t *change_asked_reload(struct up *up, const json_t *request)
{
    (void)request;
    return change_reload(up, CONFIG_FILE, NULL);
}

static json_t *change_asked_rollback(struct up *up, const json_t *request)
{
    (void)request;
    return change_reload(up, CONFIG_FORMER, NULL);
}

static json_t *change_asked_configuration(struct up *up, const json_t *request)
{
    (void)request;
    const struct config_keeper *k = &up->config;
    /* Where it is for somebody in another folder: paths in the text begin there. */
    char *folder = *up->path != '/' ? getcwd(NULL, 0) : NULL;
    char *path = folder != NULL ? tool_format("%s/%s", folder, up->path) : tool_strdup(up->path);
    char *numbers = autoscale_numbers(up);
    json_t *ret = json_pack("{s:i, s:I, s:s, s:s, s:s, s:o, s:s%}", "code", TOOL_OK, "revision", (json_int_t)k->revision, "path",
                            path, "scales", k->now.scales, "autoscaled", numbers, "phase",
                            k->phase != NULL ? tool_json_text(k->phase) : json_null(), "text", k->now.text, k->now.size);

    free(numbers);
    free(path);
    free(folder);
    return ret;
}

/* NULL: it is one of the configuration in force; else the answer. */
static json_t *change_no_service(const struct up *up, const char *service)
{
    if (service != NULL && ap_deployment_swarm(up->d, service) != NULL) return NULL;
    bool part = up->config.phase != NULL;
    char *text = tool_format("its configuration has no service '%s'%s%s%s", service != NULL ? service : "",
                             part ? " in the phases up to " : "", part ? up->config.phase : "",
                             part ? ", the last one that it starts" : "");
    json_t *ret = json_pack("{s:i, s:o}", "code", TOOL_NO_PROVIDER, "error", tool_json_text(text));
    free(text);
    return ret;
}

static json_t *change_asked_restart(struct up *up, const json_t *request)
{
    const char *service = json_string_value(json_object_get(request, "service"));
    json_t *ret = change_no_service(up, service);
    if (ret != NULL) return ret;
    struct change c = {up, json_array(), json_array()};
    autoscale_settle(&c);
    crew_say(up->crew, "apiary: up: %s is restarted", service);
    if (renew_service(&c, service, json_is_true(json_object_get(request, "rolling")), false))
        renew_event(&c, AP_EVENT_SERVICE_RESTARTED, service);
    return change_answer(&c, json_array());
}

/* One that is autoscaled has that number from now on, and goes on from there: it is no revision. */
static json_t *change_autoscaled(struct up *up, const char *service, uint32_t instances)
{
    struct change c = {up, json_array(), json_array()};
    struct ap_config_error error = {.text = ""};
    const struct ap_deployment_swarm *s = ap_deployment_swarm(up->d, service);
    autoscale_settle(&c);
    uint32_t from = s->instances;
    int rc = ap_deployment_scale(up->d, service, NULL, instances, &error);
    if (rc < 0) {
        json_decref(c.done);
        json_decref(c.failed);
        return json_pack("{s:i, s:o, s:I}", "code", tool_exit_code(rc), "error", tool_json_text(error.text), "revision",
                         (json_int_t)up->config.revision);
    }
    if (instances != from) autoscale_note(up, s, from, up->by, "by hand; autoscale goes on from there");
    renew_add(&c, s);
    renew_await_added(&c);
    change_look_back(&c);
    renew_shrink(&c, service, instances);
    return change_answer(&c, json_array());
}

/* The one agent of that name, or SERVICE/AGENT: "service/agent", to be freed; NULL, and the answer. */
static char *change_agent(const struct up *up, const char *name, json_t **answer)
{
    const char *slash = name != NULL ? strchr(name, '/') : NULL, *agent = slash != NULL ? slash + 1 : name;
    char *found = NULL;
    size_t count = 0;
    for (size_t i = 0; name != NULL && i < up->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &up->d->swarms[i];
        size_t length = strlen(s->service);
        if (slash != NULL && (length != (size_t)(slash - name) || strncmp(s->service, name, length) != 0)) continue;
        if (ap_deployment_agent(s, agent) == NULL) continue;
        free(found);
        found = tool_format("%s/%s", s->service, agent);
        count++;
    }
    if (count == 1) return found;
    char *text = count == 0 ? tool_format("its configuration has no agent '%s'", name != NULL ? name : "")
                            : tool_format("%zu services have an agent '%s'; expected SERVICE/AGENT, such as %s", count, name,
                                          found);
    *answer = json_pack("{s:i, s:o}", "code", count == 0 ? TOOL_NO_PROVIDER : TOOL_USAGE, "error", tool_json_text(text));
    free(text);
    free(found);
    return NULL;
}

static json_t *change_asked_replicas(struct up *up, const json_t *request)
{
    json_int_t n = json_integer_value(json_object_get(request, "replicas"));
    json_t *ret = NULL;
    char *agent = change_agent(up, json_string_value(json_object_get(request, "agent")), &ret);
    if (agent == NULL) return ret;
    char *scales = config_scales_with(up->config.now.scales, agent, n > 0 && n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
    ret = change_reload(up, CONFIG_NOW, scales);
    free(scales);
    free(agent);
    return ret;
}

static json_t *change_asked_scale(struct up *up, const json_t *request)
{
    const char *service = json_string_value(json_object_get(request, "service"));
    json_int_t n = json_integer_value(json_object_get(request, "instances"));
    uint32_t instances = n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
    json_t *ret = change_no_service(up, service);
    if (ret != NULL) return ret;
    if (ap_deployment_swarm(up->d, service)->autoscale.max > 0) return change_autoscaled(up, service, instances);
    char *scales = config_scales_with(up->config.now.scales, service, instances);
    ret = change_reload(up, CONFIG_NOW, scales);
    free(scales);
    return ret;
}

static json_t *change_asked_scaling(struct up *up, const json_t *request)
{
    const char *service = json_string_value(json_object_get(request, "service"));
    json_t *ret = service != NULL ? change_no_service(up, service) : NULL;
    return ret != NULL ? ret : json_pack("{s:i, s:o}", "code", TOOL_OK, "services", autoscale_json(up, service));
}

static json_t *change_asked(struct up *up, const json_t *request)
{
    static const struct {
        const char *name;
        json_t *(*run)(struct up *up, const json_t *request);
    } known[] = {{"reload", change_asked_reload},
                 {"rollback", change_asked_rollback},
                 {"restart", change_asked_restart},
                 {"scale", change_asked_scale},
                 {"replicas", change_asked_replicas},
                 {"scaling", change_asked_scaling},
                 {"configuration", change_asked_configuration}};
    const char *name = json_string_value(json_object_get(request, "request"));
    json_t *ret = NULL;
    up->by = AP_EVENT_BY(json_integer_value(json_object_get(request, "uid")), json_integer_value(json_object_get(request, "pid")));
    for (size_t i = 0; ret == NULL && name != NULL && i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) ret = known[i].run(up, request);
    }
    return ret != NULL ? ret : json_pack("{s:i, s:s}", "code", TOOL_FAILED, "error",
                                         "this 'apiary up' does not know that request; it is of another version");
}

bool change_has_terminal(void)
{
    int fd = ap_fd_open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd >= 0) close(fd);
    return fd >= 0 || errno == EMFILE || errno == ENFILE; /* nobody knows: there is no descriptor left to look with */
}

/* One whose terminal has gone gets SIGHUP for that: nobody has said that the file is finished. */
static void change_hangup(struct up *up)
{
    up->hangups = crew_hangups(up->crew);
    if (up->terminal && !change_has_terminal()) {
        crew_say(up->crew, "apiary: up: SIGHUP: its terminal has gone, nothing is changed; 'apiary reload' applies %s", up->path);
        return;
    }
    crew_say(up->crew, "apiary: up: SIGHUP: %s is read again", up->path);
    up->by = AP_EVENT_BY(getuid(), getpid()); /* nobody tells who has sent it */
    json_decref(change_reload(up, CONFIG_FILE, NULL));
}

void change_due(struct up *up)
{
    struct control_request r;
    if (crew_hangups(up->crew) != up->hangups) change_hangup(up);
    while (crew_interrupts(up->crew) == 0 && control_next(up->control, &r))
        control_answer(&r, change_asked(up, r.json));
    up->watched = NULL;
}
