/* tools/apiaryd/targets.c - see targets.h. */
#include "tools/apiaryd/targets.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "registry/routing/target.h"
#include "shm/event.h"
#include "tools/common/common.h"
#include "tools/view/view.h"

#define MINUTE INT64_C(60000)
#define MSEC INT64_C(1000000)

/* A capability with targets, and what was counted of it over both windows. */
struct judged {
    char name[APIARY_CAPABILITY_MAX + 1];
    uint32_t capability;
    uint64_t targets[AP_TARGETS], ended[AP_TARGET_WINDOWS], good[AP_TARGET_WINDOWS];
    struct ap_spread waited[AP_TARGET_WINDOWS], ran[AP_TARGET_WINDOWS];
};
/* An agent that offers it. */
struct offers {
    struct past_name agent;
    uint32_t judged;
};
struct judging {
    struct judged *all; /* by name */
    size_t count;
    struct offers *offers; /* by agent */
    size_t offer_count;
    int64_t recent; /* steps that end later are in the short window, too */
};

static int judged_compare(const void *a, const void *b)
{
    return strcmp(((const struct judged *)a)->name, ((const struct judged *)b)->name);
}

static int offers_compare(const void *a, const void *b)
{
    const struct offers *x = a, *y = b;
    int c = past_name_compare(&x->agent, &y->agent);

    return c != 0 ? c : (x->judged > y->judged) - (x->judged < y->judged);
}

/* The capabilities with targets. */
static void judging_find(struct judging *j, const struct ap_segment *seg)
{
    uint32_t count = (uint32_t)seg->places[AP_SECTION_CAPABILITIES].count;
    uint64_t targets[AP_TARGETS];

    for (uint32_t i = 0; i < count; i++) {
        if (!ap_targets_declared(seg, i, targets)) continue;
        j->all = tool_realloc(j->all, (j->count + 1) * sizeof *j->all);
        memset(&j->all[j->count], 0, sizeof *j->all);
        j->all[j->count].capability = i;
        memcpy(j->all[j->count].targets, targets, sizeof targets);
        ap_capability_name(seg, i, j->all[j->count++].name);
    }
    if (j->count > 0) qsort(j->all, j->count, sizeof *j->all, judged_compare);
}

static void judging_add_offers(struct judging *j, const struct agent_view *v)
{
    for (uint32_t k = 0; k < v->capability_count; k++)
        for (uint32_t i = 0; i < j->count; i++) {
            struct offers *o;

            if (j->all[i].capability != v->capabilities[k]) continue;
            j->offers = tool_realloc(j->offers, (j->offer_count + 1) * sizeof *j->offers);
            o = &j->offers[j->offer_count++];
            memset(o, 0, sizeof *o);
            o->agent.kind = PAST_AGENT;
            o->judged = i;
            memcpy(o->agent.service, v->swarm.service, sizeof o->agent.service);
            memcpy(o->agent.of, v->swarm.instance, sizeof o->agent.of);
            memcpy(o->agent.what, v->name, strlen(v->name) + 1);
        }
}

static void judging_find_offers(struct judging *j, const struct ap_segment *seg)
{
    struct agent_view v;

    for (uint32_t q = 0; q < seg->geometry.queues; q++)
        if (view_agent(seg, q, &v)) judging_add_offers(j, &v);
    if (j->offer_count > 0) qsort(j->offers, j->offer_count, sizeof *j->offers, offers_compare);
}

/* ---- what was counted ----------------------------------------------------------------------------------------------- */

static void count_pair(struct judging *j, const struct past_row *row, bool recent)
{
    struct judged *one = bsearch(row->name.what, j->all, j->count, sizeof *j->all, judged_compare); /* the name is first */

    if (one == NULL) return;
    for (unsigned w = recent ? 0 : 1; w < AP_TARGET_WINDOWS; w++) {
        one->good[w] += row->numbers[PAST_DONE];
        one->ended[w] += row->numbers[PAST_DONE] + row->numbers[PAST_FAILED];
    }
}

/* An agent may offer several, and several may have its name. */
static void count_agent(struct judging *j, const struct past_row *row, bool recent)
{
    size_t low = 0, high = j->offer_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (past_name_compare(&j->offers[mid].agent, &row->name) < 0) low = mid + 1;
        else high = mid;
    }
    for (; low < j->offer_count && past_name_compare(&j->offers[low].agent, &row->name) == 0; low++) {
        struct judged *one = &j->all[j->offers[low].judged];

        if (low > 0 && offers_compare(&j->offers[low], &j->offers[low - 1]) == 0) continue;
        for (unsigned w = recent ? 0 : 1; w < AP_TARGET_WINDOWS; w++) {
            ap_spread_add(&one->waited[w], &row->waited);
            ap_spread_add(&one->ran[w], &row->ran);
        }
    }
}

static bool judging_step(void *user, const struct past_step *step)
{
    struct judging *j = user;
    bool recent = step->at > j->recent;

    for (size_t i = 0; i < step->count; i++) {
        if (step->rows[i].name.kind == PAST_PAIR) count_pair(j, &step->rows[i], recent);
        else count_agent(j, &step->rows[i], recent);
    }
    return true;
}

static void count_gap(void *user, const struct past_gap *gap)
{
    (void)user, (void)gap;
}

/* False: nothing is known. */
static bool judging_count(struct judging *j, const char *folder, int64_t at)
{
    static const enum past_kind kinds[] = {PAST_PAIR, PAST_AGENT};
    const struct past_reader reader = {judging_step, count_gap, j};
    struct past_wanted wanted = {.since = at - (int64_t)AP_TARGET_LONG / MSEC, .until = at, .step = MINUTE};
    struct past_told told;
    char why[HISTORY_WHY];

    j->recent = at - (int64_t)AP_TARGET_SHORT / MSEC;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        wanted.kind = kinds[i];
        if (past_read(folder, &wanted, &reader, &told, why) != 1) return false;
    }
    return true;
}

/* ---- the verdict ---------------------------------------------------------------------------------------------------- */

static uint64_t kept_bound(const struct ap_spread *waited, const struct ap_spread *ran)
{
    return ran->count > 0 ? ap_spread_quantile(waited, 0.995) + ap_spread_quantile(ran, 0.995) : AP_TARGET_UNKNOWN;
}

static void target_tell(apiary_t *a, const struct judged *one, const struct ap_target_verdict *v, enum ap_target target)
{
    enum ap_term term = target == AP_TARGET_SUCCESS ? AP_TERM_target_success : AP_TERM_target_p99;
    bool missed = v->states[target] >= AP_TARGET_MISSED;
    char text[128];

    ap_target_print(v, target, text);
    ap_log(missed ? 4 : 5, "%s %s: %s", one->name, missed ? "misses a target" : "meets its target again", text);
    ap_event_log_more(a->seg, missed ? AP_EVENT_TARGET_MISSED : AP_EVENT_TARGET_MET, a->anchor->lane.index, one->capability, term,
                      0, text, strlen(text));
}

static void target_judge(apiary_t *a, const struct judged *one)
{
    struct ap_target_verdict v;

    if (!ap_target_read(a->seg, one->capability, &v)) return; /* its targets have gone meanwhile */
    for (unsigned w = 0; w < AP_TARGET_WINDOWS; w++) {
        v.success[w] = one->ended[w] != 0 ? one->good[w] * 1000000 / one->ended[w] : AP_TARGET_UNKNOWN;
        v.p99[w] = kept_bound(&one->waited[w], &one->ran[w]);
    }
    v.states[AP_TARGET_SUCCESS] = v.targets[0] != 0 ? ap_target_success(v.targets[0], one->ended, one->good) : AP_TARGET_NONE;
    v.states[AP_TARGET_P99] = v.targets[1] != 0 ? ap_target_p99(v.targets[1], v.p99) : AP_TARGET_NONE;
    for (int i = 0; i < AP_TARGETS; i++) {
        bool before = v.missed[i];

        if (v.targets[i] == 0) v.missed[i] = false;
        else if (v.states[i] != AP_TARGET_NONE) v.missed[i] = v.states[i] >= AP_TARGET_MISSED;
        if (v.targets[i] != 0 && v.missed[i] != before) target_tell(a, one, &v, (enum ap_target)i);
    }
    ap_target_publish(a->seg, one->capability, &v);
}

void targets_judge(apiary_t *a, const char *folder, int64_t at)
{
    struct judging j = {.all = NULL};

    judging_find(&j, a->seg);
    if (j.count > 0) {
        judging_find_offers(&j, a->seg);
        if (judging_count(&j, folder, at))
            for (size_t i = 0; i < j.count; i++) target_judge(a, &j.all[i]);
    }
    free(j.offers);
    free(j.all);
}
