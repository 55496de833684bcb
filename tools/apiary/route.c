/* tools/apiary/route.c - apiary route explain: why a task goes where it goes. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/routing/homes.h"
#include "registry/routing/places.h"
#include "registry/routing/terms.h"

struct route_question {
    const char *capability, *from, *key;
};

struct route_answer {
    struct ap_route_view *views;
    int count, best;
    uint64_t now;
    uint32_t capability;
    int caller; /* service; -1: none */
    bool may;   /* no rule refuses the caller */
    bool stateful;
    bool gated; /* every task goes to `gate` first */
    int gate;   /* -1: nobody has ever offered it */
    bool prefers; /* there is one that passes and is preferred to the caller */
    int fallback, goes_to; /* capabilities; -1: none. goes_to: the one that gets the tasks now, if this one has no provider */
};

static const struct tool_usage explain_usage = {
    .command = "route explain",
    .arguments = "CAPABILITY",
    .what = "Shows each provider of a capability as a task's sender sees it now: load, score, why it is chosen or not.",
    .more = "The lowest score wins among those that pass; equal ones take turns. Exit code 4: no provider would be chosen.",
    .least = 1,
    .most = 1,
    .json = true,
    .table = true,
};

static const char *route_policy(const struct ap_segment *seg, uint32_t capability)
{
    return ap_policy_name(ap_term(seg, capability, ap_capability_at(seg, capability), AP_TERM_balance));
}

/* Why a provider that is no candidate is none. */
static const char *route_unfit(const struct agent_view *v)
{
    if (!v->open || !v->swarm.alive) return "not alive";
    return v->swarm.mode != APIARY_READY ? tool_mode_name((int)v->swarm.mode) : "on its way";
}

static const char *route_why(const struct route_answer *answer, int i, const struct agent_view *v)
{
    const struct ap_route_view *view = &answer->views[i], *best = answer->best >= 0 ? &answer->views[answer->best] : NULL;
    if (!view->fits) return route_unfit(v);
    if (view->forbidden) return "a rule forbids it to the caller";
    if (!answer->may) return "a rule refuses the caller";
    if (answer->prefers && !view->preferred) return "another one is preferred to the caller";
    if (!view->meant) return view->percent > 0 ? "a canary: it gets its part" : "the name means another major";
    if (answer->count == 1) return "the only one";
    bool apart = AP_STANDS_APART(view->candidate.standing);
    if (answer->stateful) return i == answer->best ? "the home of its share" : "another one is the home of its share";
    if (i == answer->best && answer->prefers) return "the lowest score of those that are preferred";
    if (i == answer->best) return apart ? "none passes, and it is the best" : "the lowest score";
    if (apart && best != NULL && !AP_STANDS_APART(best->candidate.standing))
        return ap_standing_name(view->candidate.standing);
    return best != NULL && view->score == best->score ? "the same score: they take turns" : "a higher score";
}

static json_t *route_view_json(const struct route_answer *answer, int i, const struct agent_view *v)
{
    const struct ap_route_view *view = &answer->views[i];
    json_t *o = json_object();
    json_object_set_new(o, "service", tool_json_text(v->swarm.service));
    json_object_set_new(o, "instance", tool_json_text(v->swarm.instance));
    json_object_set_new(o, "agent", tool_json_text(v->name));
    json_object_set_new(o, "queue", json_integer(view->candidate.queue));
    json_object_set_new(o, "candidate", json_boolean(view->fits));
    json_object_set_new(o, "chosen", json_boolean(i == answer->best));
    json_object_set_new(o, "why", json_string(route_why(answer, i, v)));
    json_object_set_new(o, "forbidden", json_boolean(view->forbidden));
    json_object_set_new(o, "preferred", json_boolean(view->preferred));
    if (!view->fits) return o;
    if (view->major != 0) json_object_set_new(o, "major", json_integer(view->major));
    if (view->canary) json_object_set_new(o, "canary_percent", json_integer(view->percent));
    json_object_set_new(o, "standing", json_string(ap_standing_name(view->candidate.standing)));
    json_object_set_new(o, "load", json_integer((json_int_t)view->candidate.load));
    json_object_set_new(o, "weight", json_integer(view->candidate.weight));
    json_object_set_new(o, "run_time_ns", json_integer((json_int_t)ap_load_relaxed(&view->candidate.at->run_time)));
    json_object_set_new(o, "charge_ns", json_integer((json_int_t)ap_queue_charge_left(view->candidate.at, answer->now)));
    json_object_set_new(o, "pace_ns", json_integer((json_int_t)ap_load_relaxed(&view->candidate.at->pace)));
    json_object_set_new(o, "margin_percent", json_integer(ap_queue_margin_of(view->candidate.at)));
    json_object_set_new(o, "refused", json_integer((json_int_t)ap_load_relaxed(&view->candidate.at->refused)));
    json_object_set_new(o, "ejections", json_integer(ap_load_relaxed(&view->candidate.at->ejections)));
    json_object_set_new(o, "score", json_integer((json_int_t)(view->score & INT64_MAX)));
    return o;
}

static void route_view_row(struct tool_table *table, const struct route_answer *answer, int i, const struct agent_view *v)
{
    const struct ap_route_view *view = &answer->views[i];
    char load[24] = "-", weight[16] = "-", run[32] = "-", charge[32] = "-", score[24] = "-", major[32] = "-";
    if (view->fits) {
        if (view->canary) snprintf(major, sizeof major, "%u (%u %%)", view->major, view->percent);
        else if (view->major != 0) snprintf(major, sizeof major, "%u", view->major);
        snprintf(load, sizeof load, "%" PRIu64, view->candidate.load);
        snprintf(weight, sizeof weight, "%u", view->candidate.weight);
        snprintf(score, sizeof score, "%" PRIu64, view->score);
        tool_format_duration(ap_load_relaxed(&view->candidate.at->run_time), run);
        tool_format_duration(ap_queue_charge_left(view->candidate.at, answer->now), charge);
    }
    tool_table_add(table, (const char *const[]){i == answer->best ? "*" : "", v->swarm.service, v->swarm.instance, v->name,
                                                major, load, weight, run, charge, score, route_why(answer, i, v)});
    bool passed_over = !view->fits || !view->meant || AP_STANDS_APART(view->candidate.standing);
    tool_table_mark(table, 10, i == answer->best ? '+' : passed_over ? '!' : '~');
}

/* A sentence on what the name means, if it has majors and is asked for without one; else NULL. */
static char *route_meaning(const struct ap_segment *seg, const struct route_question *q, const struct route_answer *answer)
{
    const struct ap_capability *row = ap_capability_at(seg, answer->capability);
    uint64_t bare = ap_term(seg, answer->capability, row, AP_TERM_bare);
    char major[48] = "";
    if (ap_load_relaxed(&row->majors) == 0) return NULL;
    if (answer->best >= 0) {
        const struct ap_route_view *best = &answer->views[answer->best];
        if (best->major != 0) snprintf(major, sizeof major, ", now %s@%u", q->capability, best->major);
        else snprintf(major, sizeof major, ", now one without a major");
    }
    if (bare == AP_BARE_ANY) return tool_format("%s means any of its majors", q->capability);
    if (bare == AP_BARE_ERROR) return tool_format("%s is asked for by %s@MAJOR only", q->capability, q->capability);
    if (bare != AP_BARE_NEWEST)
        return tool_format("%s means %s@%" PRIu64, q->capability, q->capability,
                           ap_term_number(&ap_term_rows[AP_TERM_bare], bare));
    return tool_format("%s means the newest major that passes%s", q->capability, major);
}

/* Prints the limits that the capability has declared. */
static void route_limits(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    uint64_t rate = ap_term(seg, capability, row, AP_TERM_rate), limit = ap_term(seg, capability, row, AP_TERM_queue_limit);
    uint32_t most = ap_places_bound(seg, capability);
    if (rate != 0) printf("rate %" PRIu64 "/s, burst %" PRIu64 "\n", rate, ap_term(seg, capability, row, AP_TERM_burst));
    if (most != 0) printf("at most %" PRIu32 " running at once, %" PRIu32 " now; %" PRIu64 " had to wait\n", most,
                          ap_places_taken(seg, capability), ap_places_waited(seg, capability));
    if (limit != 0) printf("at most %" PRIu64 " waiting at each provider\n", limit);
    char *hedging = view_hedging(seg, capability);
    if (hedging != NULL) printf("%s\n", hedging);
    free(hedging);
}

/* A sentence on why the rules refuse the caller; NULL: they do not. */
static char *route_refusal(const struct ap_segment *seg, const struct route_question *q, const struct route_answer *answer)
{
    char text[256];
    if (ap_rules_say(seg, answer->capability, (uint32_t)(answer->caller + 1), text, sizeof text) == 0) return NULL;
    return tool_format("%s is refused: %s", q->from != NULL ? q->from : "a caller without a service", text);
}

static json_t *route_name_json(const struct ap_segment *seg, int capability)
{
    char name[APIARY_CAPABILITY_MAX + 1];
    if (capability < 0) return json_null();
    ap_capability_name(seg, (uint32_t)capability, name);
    return json_string(name);
}

static void route_print_fallback(const struct ap_segment *seg, const struct route_question *q, const struct route_answer *answer)
{
    char name[APIARY_CAPABILITY_MAX + 1];
    if (answer->fallback < 0) return;
    ap_capability_name(seg, (uint32_t)answer->fallback, name);
    printf("%s stands in for %s, and did for %" PRIu64 " tasks\n", name, q->capability,
           ap_load_relaxed(&ap_terms_at(seg, answer->capability)->fell_back));
    if (answer->goes_to < 0) return;
    ap_capability_name(seg, (uint32_t)answer->goes_to, name);
    printf("no provider of %s is there: tasks go to %s now\n", q->capability, name);
}

static void route_print_gate(const struct ap_segment *seg, const struct route_question *q, const struct route_answer *answer)
{
    char name[APIARY_CAPABILITY_MAX + 1] = "";
    if (!answer->gated) return;
    if (answer->gate >= 0) ap_capability_name(seg, (uint32_t)answer->gate, name);
    if (answer->gate < 0) printf("every task of %s has to go to a gate first, which nobody has ever offered\n", q->capability);
    else printf("every task of %s goes to %s first; what that passes on goes here:\n", q->capability, name);
}

static int route_print(const struct tool *t, const struct ap_segment *seg, const struct route_question *q,
                       const struct route_answer *answer)
{
    json_t *list = json_array();
    struct tool_table *table = NULL;
    struct agent_view v;
    for (int i = 0; i < answer->count; i++) {
        if (!view_agent(seg, answer->views[i].candidate.queue, &v)) continue;
        if (t->json) {
            json_array_append_new(list, route_view_json(answer, i, &v));
            continue;
        }
        if (table == NULL)
            table = tool_table_new((const char *const[]){" ", "service", "instance", "agent", ">major", ">load", "?>weight",
                                                         "?>run time", "?>charge", ">score", "why", NULL});
        route_view_row(table, answer, i, &v);
    }
    char *meaning = route_meaning(seg, q, answer), *refusal = route_refusal(seg, q, answer);
    uint32_t busy = answer->caller >= 0 ? ap_tickets_busy(seg, (uint32_t)answer->caller) : 0;
    int rc = TOOL_OK;
    if (t->json) {
        json_t *o = json_pack("{s:s, s:s, s:O}", "capability", q->capability, "balance", route_policy(seg, answer->capability),
                              "candidates", list);
        if (answer->caller >= 0) json_object_set_new(o, "delegations", json_integer(busy));
        if (meaning != NULL) json_object_set_new(o, "meaning", json_string(meaning));
        json_object_set_new(o, "fallback", route_name_json(seg, answer->fallback));
        json_object_set_new(o, "goes_to", route_name_json(seg, answer->goes_to));
        json_object_set_new(o, "fell_back",
                            json_integer((json_int_t)ap_load_relaxed(&ap_terms_at(seg, answer->capability)->fell_back)));
        json_object_set_new(o, "refused", json_boolean(!answer->may));
        if (refusal != NULL) json_object_set_new(o, "refusal", json_string(refusal));
        json_object_set_new(o, "hedging", view_hedging_json(seg, answer->capability));
        json_object_set_new(o, "homes", view_homes_json(seg, answer->capability));
        json_object_set_new(o, "gate", answer->gated ? route_name_json(seg, answer->gate) : json_null());
        rc = tool_json_print(o);
    } else {
        if (!answer->stateful)
            printf("%s is balanced by %s%s\n", q->capability, route_policy(seg, answer->capability),
                   q->key != NULL ? ", asked for with a key" : "");
        route_print_gate(seg, q, answer);
        view_homes(seg, answer->capability);
        if (meaning != NULL) printf("%s\n", meaning);
        if (answer->caller >= 0)
            printf("%s has %u of %u delegations under way\n", q->from, busy, seg->geometry.max_concurrent_delegations);
        if (refusal != NULL) printf("%s\n", refusal);
        route_print_fallback(seg, q, answer);
        route_limits(seg, answer->capability);
        if (table != NULL) tool_table_print(table, stdout);
    }
    json_decref(list);
    free(meaning);
    free(refusal);
    return rc;
}

/* Whether the caller may ask for a capability with a gate: the pick is that of what the gate passes on. */
static int route_allowed(const struct ap_segment *seg, const struct route_answer *answer)
{
    struct ap_rules_asked asked;
    ap_rules_ask(&asked, seg, answer->capability, (uint32_t)(answer->caller + 1));
    return ap_rules_may(&asked) ? 0 : APIARY_EFORBIDDEN;
}

static int route_explain(const struct tool *t, struct ap_segment *seg, const struct route_question *q)
{
    struct route_answer answer = {.caller = -1, .goes_to = -1, .now = seg->ops->now()};
    int capability = ap_capability_find(seg, q->capability, strlen(q->capability));
    if (capability < 0) return tool_error(t, APIARY_ENOCAP, NULL, "route explain %s", q->capability);
    if (q->from != NULL) answer.caller = ap_service_find(seg, q->from);
    if (q->from != NULL && answer.caller < 0)
        return tool_fail(t, TOOL_NO_PROVIDER, "route explain: there is no service '%s'; 'apiary services' lists them", q->from);
    answer.capability = (uint32_t)capability;
    answer.stateful = ap_stateful(seg, answer.capability);
    answer.views = tool_alloc(seg->geometry.queues * sizeof *answer.views);
    answer.gated = ap_rules_via(seg, answer.capability, &answer.gate);
    const struct ap_route_question question = {.service = -1, .caller = (uint32_t)(answer.caller + 1),
                                               .passed = answer.gated ? AP_PASSED : 0,
                                               .key = q->key != NULL ? apiary_key(q->key, strlen(q->key)) : 0};
    answer.count = ap_route_explain(seg, answer.capability, &question, answer.views, seg->geometry.queues, &answer.best);
    int may = answer.gated ? route_allowed(seg, &answer) : ap_route_may(seg, answer.capability, &question);
    answer.may = may != APIARY_EFORBIDDEN;
    answer.fallback = ap_rules_fallback(seg, answer.capability);
    if (answer.best < 0 && may == 0) answer.goes_to = ap_route_stand_in(seg, answer.capability, question.caller);
    for (int i = 0; i < answer.count; i++)
        answer.prefers |= answer.best >= 0 && answer.views[answer.best].preferred && !answer.views[i].preferred;
    int rc = route_print(t, seg, q, &answer);
    if (rc == TOOL_OK && answer.best < 0 && answer.goes_to < 0)
        rc = tool_error(t, may < 0 ? may : APIARY_ENOPROVIDER, NULL, "route explain %s", q->capability);
    free(answer.views);
    return rc;
}

static int cmd_route_explain(struct tool *t, int argc, char **argv)
{
    struct route_question q = {.from = NULL};
    const struct tool_option options[] = {
        {"from", 'f', "SERVICE", "the service that asks: what rules leave to it, and its tasks under way [none]", &q.from, NULL},
        {"key", 'k', "TEXT", "the key of the task", &q.key, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &explain_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    q.capability = argv[0];
    if (!ap_capability_valid(q.capability))
        return tool_usage_error(t, &explain_usage, "'%s' is not a capability name", q.capability);
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = route_explain(t, a->seg, &q);
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_route(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "route",
        .arguments = "explain CAPABILITY",
        .what = "Tells where a task would go, and why.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"explain", "each provider of a capability, its load and score", cmd_route_explain},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
