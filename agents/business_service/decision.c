/* agents/business_service/decision.c - kind "decision": a weighted decision table.
 *
 *   decision_making {"criteria":{"price":-2,"speed":3},"options":{"a":{"price":10,"speed":5},"b":{...}}} ->
 *     {"decision":"a","ranking":[{"option":"a","score":0.6},...]}
 * Each criterion's values are scaled to 0..1 over the options (all equal: 0), multiplied by the weight (negative: less is
 * better, counted as weight x (1 - scaled)), summed, divided by the sum of the weights' sizes. Scores have twelve digits behind
 * the point; of equal ones the option named first wins.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { OPTIONS_MOST = 256, CRITERIA_MOST = 64 };

struct option {
    const char *name;
    const json_t *values;
    double score;
    size_t place;
};

static int better_first(const void *a, const void *b)
{
    const struct option *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

/* false: an option lacks the criterion's number; the job is failed. */
static bool add_criterion(apiary_job_t *job, struct option *options, size_t count, const char *criterion, double share)
{
    double least = INFINITY, most = -INFINITY; /* halves: the difference of two doubles may be none */
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(options[i].values, criterion);
        if (!json_is_number(value)) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "option \"%s\" has no number for \"%s\"", options[i].name,
                            criterion);
            return false;
        }
        least = fmin(least, json_number_value(value) / 2);
        most = fmax(most, json_number_value(value) / 2);
    }
    for (size_t i = 0; i < count && most > least; i++) {
        double scaled = (json_number_value(json_object_get(options[i].values, criterion)) / 2 - least) / (most - least);
        options[i].score += share < 0 ? -share * (1 - scaled) : share * scaled;
    }
    return true;
}

static bool score(apiary_job_t *job, const json_t *criteria, struct option *options, size_t count)
{
    const char *name;
    json_t *weight;
    double sum = 0, largest = 0;
    json_object_foreach((json_t *)criteria, name, weight)
    {
        if (!json_is_number(weight) || json_number_value(weight) == 0) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the weight of \"%s\" is not a number other than 0", name);
            return false;
        }
        largest = fmax(largest, fabs(json_number_value(weight)));
    }
    json_object_foreach((json_t *)criteria, name, weight) sum += fabs(json_number_value(weight) / largest);
    json_object_foreach((json_t *)criteria, name, weight)
    {
        double share = json_number_value(weight) / largest / sum;
        if (!add_criterion(job, options, count, name, share)) return false;
    }
    /* The rounding of the sums depends on their order; options that are equal are to stay so. */
    for (size_t i = 0; i < count; i++)
        options[i].score = rint(options[i].score * 1e12) / 1e12;
    return true;
}

static void decide(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *criteria, *given;
    const char *name;
    json_t *values;
    size_t count = 0;
    if (!ap_need_object(job, request, "criteria", &criteria) || !ap_need_object(job, request, "options", &given))
        return;
    if (json_object_size(given) == 0 || json_object_size(given) > OPTIONS_MOST || json_object_size(criteria) == 0 ||
        json_object_size(criteria) > CRITERIA_MOST) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "1 to %d options and 1 to %d criteria are allowed", OPTIONS_MOST,
                        CRITERIA_MOST);
        return;
    }
    struct option *options = apiary_agent_alloc(state, json_object_size(given) * sizeof *options);
    if (!options) {
        ap_out_of_memory(job);
        return;
    }
    json_object_foreach((json_t *)given, name, values)
    {
        options[count] = (struct option){.name = name, .values = values, .place = count};
        count++;
    }
    if (score(job, criteria, options, count)) {
        json_t *ranking = json_array();
        qsort(options, count, sizeof *options, better_first);
        for (size_t i = 0; i < count; i++)
            json_array_append_new(ranking,
                                  json_pack("{s:s,s:f}", "option", options[i].name, "score", options[i].score));
        ap_answer(job, "{s:s,s:o}", "decision", options[0].name, "ranking", ranking);
    }
    apiary_agent_free(state, options);
}

const struct ap_function ap_functions_decision[] = {
    {.capability = "decision_making",
     .call = decide,
     .in = AP_OBJECT("'criteria','options'", "'criteria':{'type':'object','additionalProperties':{'type':'number'},"
           "'minProperties':1,'maxProperties':64},"
                      "'options':{'type':'object','additionalProperties':{'type':'object'},'minProperties':1,"
           "'maxProperties':256}"),
     .out = AP_OBJECT("'decision','ranking'", "'decision':{'type':'string'},"
                      "'ranking':{'type':'array','items':{'type':'object','required':['option','score'],"
           "'properties':{'option':{'type':'string'},'score':{'type':'number'}},'additionalProperties':false}}"),
     .bound = "256 options by 64 criteria",
     .again = AP_AGAIN_SAME,
     .send = "{\"criteria\":{\"price\":-1,\"speed\":3},\"options\":{\"cheap\":{\"price\":10,\"speed\":5},"
           "\"fast\":{\"price\":20,\"speed\":15}}}",
     .answer = "{\"decision\":\"fast\",\"ranking\":[{\"option\":\"fast\",\"score\":0.75},{\"option\":\"cheap\","
           "\"score\":0.25}]}"},
    {.capability = NULL},
};

static void decision_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_decision, state, job);
}

const apiary_agent_kind_t ap_kind_decision = {
    APIARY_AGENT_KIND,
    .name = "decision",
    .what = "decision_making: a weighted decision table",
    .create = ap_create_plain,
    .handle = decision_handle,
    .capabilities = (const char *const[]){"decision_making", NULL},
};
