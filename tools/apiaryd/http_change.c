/* tools/apiaryd/http_change.c - what a request changes, and the event that it leaves. See http.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "shm/event.h"
#include "tools/apiaryd/http.h"
#include "tools/operate/operate.h"

/* One request. */
struct changing {
    struct http_asked *asked;
    const struct demand *d;
    apiary_t *a; /* of its own */
    operate_dead_fn act;
    struct operate_hands hands;
    uint32_t matched, changed, down;
    int64_t left; /* tasks; -1: that is not asked */
    bool more;
    json_t *failed, *tasks;
};

static const char *change_verb(enum request_route route)
{
    return request_rows[route].path + sizeof "/v1/" - 1;
}

/* Verb, who and why first: where it is cut, then the end of whom it is about, which other events tell as well. */
static void change_event(const struct http_asked *asked, const struct demand *d, unsigned status, uint32_t changed)
{
    const char *by = *d->by != '\0' ? d->by : asked->local ? "" : "the token's holder";
    uint64_t actor = asked->local ? AP_EVENT_BY(asked->uid, asked->pid) : AP_EVENT_BY(getuid(), getpid());
    char text[AP_EVENT_TEXT + 1];
    size_t n = ap_format(text, sizeof text, "%s%s%s: %s%s%s%s%s", change_verb(asked->verdict.route), *by != '\0' ? ", by " : "", by,
                         d->reason, *d->service != '\0' ? "; " : "", d->service, *d->instance != '\0' ? "/" : "", d->instance);

    ap_event_log_more(asked->a->seg, AP_EVENT_OPERATED, AP_NO_LANE, status, changed, actor, text, n);
}

static const char *change_s(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* ---- instances --------------------------------------------------------------------------------------------------- */

/* The record of an instance has room for ASCII: for each other character it has a '?'. The event has the reason as it is. */
static void reason_plain(const char *reason, char ret[DEMAND_REASON + 1])
{
    size_t n = 0;

    for (const unsigned char *c = (const unsigned char *)reason; *c != '\0'; c++)
        if (*c < 0x80 || *c >= 0xc0) ret[n++] = *c < 0x80 ? (char)*c : '?';
    ret[n] = '\0';
}

static void change_mode(struct changing *c, const struct operate_target *target)
{
    static const enum apiary_mode modes[] = {[REQUEST_DRAIN - REQUEST_FIRST_CHANGE] = APIARY_DRAIN,
                                             [REQUEST_PAUSE - REQUEST_FIRST_CHANGE] = APIARY_PAUSE,
                                             [REQUEST_RESUME - REQUEST_FIRST_CHANGE] = APIARY_READY};
    enum apiary_mode mode = modes[c->asked->verdict.route - REQUEST_FIRST_CHANGE];
    char reason[DEMAND_REASON + 1];
    struct operate_changed n;

    reason_plain(c->d->reason, reason);
    n = operate_mode(c->a->seg, target, mode, mode == APIARY_READY ? NULL : reason);
    c->matched = n.instances;
    c->changed = n.changed;
    c->down = n.down;
    if (mode != APIARY_READY) c->left = operate_left(c->a->seg, target);
}

static void change_instances(struct changing *c)
{
    const struct demand *d = c->d;
    const struct operate_target target = {d->service, *d->instance != '\0' ? d->instance : NULL};
    struct request_verdict *v = &c->asked->verdict;
    uint32_t count = operate_count(c->a->seg, &target);
    struct operate_changed n;

    if (count == 0) {
        request_refuse(v, 404, "no instance%s%s of '%s' is registered; /v1/status shows them", *d->instance != '\0' ? " " : "",
                       AP_SHOWN(d->instance, 48), AP_SHOWN(d->service, 64));
    } else if (d->expect >= 0 && d->expect != count) {
        request_refuse(v, 409, "%u instance%s meant by now, not %" PRId64 "; nothing was done, look again", count,
                       count == 1 ? " is" : "s are", d->expect);
    } else if (v->route != REQUEST_WEIGHT) {
        change_mode(c, &target);
    } else {
        n = operate_weight(c->a->seg, &target, d->weight);
        c->matched = n.instances;
        c->changed = n.changed;
        c->down = n.down;
    }
    if (v->status == 200 && c->matched == 0)
        request_refuse(v, 409, "the instances have gone, or others have come in their place; nothing was done, look again");
}

/* ---- dead, running and kept tasks ---------------------------------------------------------------------------------- */

static void change_fails(struct changing *c, const char *what, const char *why)
{
    json_array_append_new(c->failed, json_pack("{s:s, s:s}", "what", what, "error", why));
}

static void change_one_dead(void *user, uint64_t number)
{
    struct changing *c = user;
    apiary_task_t task = {.generation = 0};
    int r = c->act(&c->hands, number, &task);
    char text[24], id[48];

    snprintf(text, sizeof text, "%" PRIu64, number);
    c->matched++;
    c->changed += r == 0;
    if (r < 0) change_fails(c, text, r == APIARY_ESTALE ? "it is not in the dead set, or not any more" : apiary_strerror(r));
    if (r == 0 && task.generation != 0)
        json_array_append_new(c->tasks, json_pack("{s:I, s:s}", "number", (json_int_t)number, "task", tool_format_task(task, id)));
}

static void change_count(void *user, uint64_t number)
{
    (void)number;
    ++*(uint32_t *)user;
}

static void change_dead(struct changing *c)
{
    const struct demand *d = c->d;
    struct request_verdict *v = &c->asked->verdict;
    const struct operate_filter f = {.capability = *d->capability != '\0' ? d->capability : NULL,
                                     .service = *d->service != '\0' ? d->service : NULL,
                                     .cause = *d->cause != '\0' ? d->cause : NULL,
                                     .before = d->older != 0 ? ap_ops_system.realtime() - d->older : UINT64_MAX};
    uint32_t count = (uint32_t)d->count;

    if (f.cause != NULL && !operate_cause_known(f.cause)) {
        request_refuse(v, 422, "cause: '%s' is none; 'crashed', 'lost', 'failed' and 'overrun' are", AP_SHOWN(f.cause, 40));
        return;
    }
    if (d->all && d->expect >= 0) (void)operate_each(c->a, &f, UINT32_MAX, change_count, &count);
    if (d->expect >= 0 && d->expect != count) {
        request_refuse(v, 409, "%u task%s of the dead set %s meant by now, not %" PRId64 "; nothing was done, look again", count,
                       change_s(count), count == 1 ? "is" : "are", d->expect);
        return;
    }
    c->act = v->route == REQUEST_RETRY ? operate_retry : operate_discard;
    c->hands.a = c->a;
    if (d->all) c->more = operate_each(c->a, &f, DEMAND_MOST, change_one_dead, c);
    for (size_t i = 0; i < d->count; i++) change_one_dead(c, d->numbers[i]);
    operate_end(&c->hands);
}

static const char *task_why_not(enum operate_task why, int error)
{
    switch (why) {
    case OPERATE_ENDED: return "it has ended already; its client has yet to collect it";
    case OPERATE_KEPT: return "it has ended, and its result is kept";
    case OPERATE_GONE: return "it has ended, and is gone";
    case OPERATE_NEVER: return "there never was such a task";
    default: return apiary_strerror(error);
    }
}

static void change_one_task(struct changing *c, apiary_task_t task)
{
    uint32_t state;
    char id[48];
    int error = 0;
    enum operate_task r = OPERATE_CANCELLED;

    if (c->asked->verdict.route == REQUEST_CANCEL) r = operate_cancel(c->a, task, &state, &error);
    else error = apiary_forget(c->a, task);
    c->matched++;
    c->changed += r == OPERATE_CANCELLED && error == 0;
    if (r == OPERATE_CANCELLED && error == 0) return;
    change_fails(c, tool_format_task(task, id), r != OPERATE_CANCELLED      ? task_why_not(r, error)
                                                : error == APIARY_ESTALE    ? "no result is kept for it, or not any more"
                                                : error == APIARY_ENOTREADY ? "it has not ended yet"
                                                                            : apiary_strerror(error));
}

static void change_tasks(struct changing *c)
{
    const struct demand *d = c->d;

    if (d->expect >= 0 && (uint64_t)d->expect != d->count)
        request_refuse(&c->asked->verdict, 409, "%zu tasks are named, and %" PRId64 " expected; nothing was done", d->count,
                       d->expect);
    for (size_t i = 0; i < d->count && c->asked->verdict.status == 200; i++) change_one_task(c, d->tasks[i]);
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

/* Of a list of which nothing could be done. */
static void change_nothing(struct changing *c)
{
    const char *what = json_string_value(json_object_get(json_array_get(c->failed, 0), "what"));
    const char *why = json_string_value(json_object_get(json_array_get(c->failed, 0), "error"));

    if (c->changed > 0 || json_array_size(c->failed) == 0 || what == NULL || why == NULL) return;
    request_refuse(&c->asked->verdict, 409, "nothing was done: %s: %s%s", what, why,
                   json_array_size(c->failed) > 1 ? "; and others for reasons of their own" : "");
}

static char *change_said(const struct changing *c)
{
    static const char *const done[] = {"drained", "paused", "ready", "weighted", "", "delegated anew", "discarded", "cancelled",
                                       "forgotten"};
    unsigned i = c->asked->verdict.route - REQUEST_FIRST_CHANGE;
    bool instances = c->asked->verdict.route < REQUEST_RETRY;
    uint32_t n = instances ? c->matched : c->changed;
    char left[64] = "", failed[48] = "";

    if (c->left > 0) snprintf(left, sizeof left, "; %" PRId64 " task%s left", c->left, c->left == 1 ? " is" : "s are");
    if (json_array_size(c->failed) > 0) snprintf(failed, sizeof failed, "; %zu could not be", json_array_size(c->failed));
    return tool_format("%u %s%s %s%s%s%s%s", n, instances ? "instance" : "task", change_s(n), done[i],
                       instances && c->changed == 0 ? " already" : "", left, failed, c->more ? "; there are more" : "");
}

static bool change_done(struct changing *c, struct http_answer *ret)
{
    bool instances = c->asked->verdict.route < REQUEST_RETRY, rc;
    char *said;

    change_nothing(c);
    change_event(c->asked, c->d, c->asked->verdict.status, c->changed);
    if (c->asked->verdict.status != 200) {
        json_decref(c->failed);
        json_decref(c->tasks);
        return http_answer_refusal(&c->asked->verdict, ret);
    }
    said = change_said(c);
    rc = http_answer_json(ret, json_pack("{s:s, s:i, s:i, s:o, s:o, s:b, s:o, s:o, s:s}", "asked",
                                         change_verb(c->asked->verdict.route), "matched", (int)c->matched, "changed",
                                         (int)c->changed, "down", instances ? json_integer(c->down) : json_null(), "left",
                                         c->left >= 0 ? json_integer(c->left) : json_null(), "more", (int)c->more, "failed",
                                         c->failed, "tasks", c->tasks, "said", said));
    free(said);
    return rc;
}

/* ---- `apiary up` --------------------------------------------------------------------------------------------------- */

static bool change_refuse(struct http_asked *asked, const struct demand *d, unsigned status, const char *why,
                          struct http_answer *ret)
{
    request_refuse(&asked->verdict, status, "%s", AP_SHOWN(why, 240));
    change_event(asked, d, status, 0);
    return http_answer_refusal(&asked->verdict, ret);
}

static bool change_ask(struct http_asked *asked, const struct demand *d, struct http_answer *ret, struct supervisor_call *call)
{
    json_t *request = json_pack("{s:s, s:s, s:I}", "request", "scale", "service", d->service, "instances",
                                (json_int_t)d->instances);

    if (request == NULL) return false;
    supervisor_ask(asked->a, asked->segment, request, false, call);
    json_decref(request);
    return call->fd >= 0 || change_refuse(asked, d, 409, call->why, ret);
}

bool http_change_answered(struct http_asked *asked, const struct demand *d, json_t *said, struct http_answer *ret)
{
    const char *error = json_string_value(json_object_get(said, "error"));
    int code = (int)json_integer_value(json_object_get(said, "code"));
    char *text;
    bool rc;

    *ret = (struct http_answer){.status = 200};
    if (said == NULL || code != TOOL_OK) {
        unsigned status = code == TOOL_NO_PROVIDER ? 404 : code == TOOL_CONFIG || code == TOOL_USAGE ? 422 : 409;

        rc = change_refuse(asked, d, status, said == NULL ? "'apiary up' ended without an answer; /v1/status shows what there is" :
                                             error != NULL ? error : "it failed", ret);
        json_decref(said);
        return rc;
    }
    change_event(asked, d, 200, d->instances);
    text = tool_format("%s has %u instance%s", d->service, d->instances, change_s(d->instances));
    rc = http_answer_json(ret, json_pack("{s:s, s:i, s:i, s:n, s:n, s:b, s:[], s:[], s:s}", "asked",
                                         change_verb(asked->verdict.route), "matched", (int)d->instances, "changed",
                                         (int)d->instances, "down", "left", "more", 0, "failed", "tasks", "said", text));
    free(text);
    json_decref(said);
    return rc;
}

static bool change_accepted(struct http_answer *ret, const char *said)
{
    *ret = (struct http_answer){.status = 202};
    return http_answer_json(ret, json_pack("{s:s, s:i, s:i, s:n, s:n, s:b, s:[], s:[], s:s}", "asked", "scale", "matched", 0,
                                           "changed", 0, "down", "left", "more", 0, "failed", "tasks", "said", said));
}

bool http_change_goes_on(struct http_answer *ret)
{
    return change_accepted(ret, "'apiary up' is at it; an event tells how it ends");
}

bool http_change_left(const struct http_asked *asked, const struct demand *d, struct http_answer *ret)
{
    change_event(asked, d, 202, 0);
    return change_accepted(ret, "apiaryd ends: what 'apiary up' has begun goes on, and no event tells how; /v1/status shows it");
}

bool http_change(struct http_asked *asked, const struct demand *d, struct http_answer *ret, struct supervisor_call *call)
{
    const apiary_attach_options_t options = {.struct_size = sizeof options, .name = "apiaryd-http", .kind = APIARY_TOOL};
    struct changing c = {.asked = asked, .d = d, .left = -1};
    int r;

    *ret = (struct http_answer){.status = 200};
    call->fd = -1;
    if (asked->verdict.status != 200) return http_answer_refusal(&asked->verdict, ret);
    if (asked->verdict.route == REQUEST_SCALE) return change_ask(asked, d, ret, call);
    r = apiary_attach_fd(apiary_segment_fd(asked->a), &options, &c.a);
    if (r < 0) {
        request_refuse(&asked->verdict, 503, "nothing was done: %s", apiary_strerror(r));
        return http_answer_refusal(&asked->verdict, ret);
    }
    c.failed = json_array();
    c.tasks = json_array();
    if (asked->verdict.route < REQUEST_RETRY) change_instances(&c);
    else if (asked->verdict.route <= REQUEST_DISCARD) change_dead(&c);
    else change_tasks(&c);
    apiary_detach(c.a);
    return change_done(&c, ret);
}
