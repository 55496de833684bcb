/* agents/ml_service/clusters.c - kinds "clusters" and "statistics".
 *
 *   clustering {"points":[[...],...],"k":2} -> {"centres":[[...]],"cluster":[0,1,...],"inertia":X,"rounds":N}
 *              k-means (Lloyd); the first centre is the first point, each next one the point farthest from all so far, so the
 *              same points give the same clusters everywhere. At most 100 rounds, in slices between which the worker looks
 *              at its other tasks, and at this one's deadline
 *   statistics {"values":[...]} -> {"n","sum","mean","stddev","min","median","max"}    stddev of a sample (n - 1)
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/ml_service/numbers.h"

enum { POINTS_MOST = 10000, K_MOST = 64, ROUNDS_MOST = 100, VALUES_MOST = 100000 };

struct clusters {
    apiary_agent_t *agent;
    apiary_job_t *job;
    const double *points;
    size_t n, width, k;
    double *centres, *sums; /* k * width */
    double *least;          /* of each point: to the nearest centre that is placed */
    size_t *of, *sizes;     /* n; k */
    /* Where the work is: */
    size_t placed, at, farthest; /* centres; the next point */
    double most, inertia;
    int rounds;
    bool changed;
};

static double clusters_distance(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static void place_centre(struct clusters *c, size_t point)
{
    memcpy(c->centres + c->placed * c->width, c->points + point * c->width, c->width * sizeof *c->centres);
    c->placed++;
}

/* The next centre is the point that is farthest from all so far. Returns the steps that it took. */
static size_t place_by(struct clusters *c)
{
    double d = clusters_distance(c->points + c->at * c->width, c->centres + (c->placed - 1) * c->width, c->width);
    if (c->placed == 1 || d < c->least[c->at]) c->least[c->at] = d;
    if (c->at == 0 || c->least[c->at] > c->most) {
        c->most = c->least[c->at];
        c->farthest = c->at;
    }
    if (++c->at == c->n) {
        c->at = 0;
        place_centre(c, c->farthest);
    }
    return c->width;
}

static size_t nearest(const struct clusters *c, size_t point, double *least)
{
    size_t best = 0;
    for (size_t k = 0; k < c->k; k++) {
        double d = clusters_distance(c->points + point * c->width, c->centres + k * c->width, c->width);
        if (k == 0 || d < *least) {
            *least = d;
            best = k;
        }
    }
    return best;
}

static void begin_round(struct clusters *c)
{
    c->changed = false;
    c->inertia = 0;
    memset(c->sums, 0, c->k * c->width * sizeof *c->sums);
    memset(c->sizes, 0, c->k * sizeof *c->sizes);
}

/* Every centre to the middle of its points; an empty cluster's centre stays. */
static void end_round(struct clusters *c)
{
    for (size_t k = 0; k < c->k; k++)
        for (size_t i = 0; i < c->width && c->sizes[k] > 0; i++)
            c->centres[k * c->width + i] = c->sums[k * c->width + i] / (double)c->sizes[k];
    c->at = 0;
    c->rounds += c->changed;
}

/* A point to its nearest centre. Returns the steps that it took. */
static size_t sort_point(struct clusters *c)
{
    double d = 0;
    if (c->at == 0) begin_round(c);
    size_t p = c->at++, k = nearest(c, p, &d);
    c->changed |= c->of[p] != k;
    c->of[p] = k;
    c->sizes[k]++;
    c->inertia += d;
    for (size_t i = 0; i < c->width; i++)
        c->sums[k * c->width + i] += c->points[p * c->width + i];
    return c->k * c->width;
}

static bool clusters_step(void *user)
{
    struct clusters *c = user;
    for (size_t steps = 0; steps < AP_SLICE;) {
        if (c->placed < c->k) {
            steps += place_by(c);
            continue;
        }
        steps += sort_point(c);
        if (c->at < c->n) continue;
        end_round(c);
        if (!c->changed || c->rounds == ROUNDS_MOST) return false;
    }
    return true;
}

static void clusters_report(const struct clusters *c)
{
    bool finite = ap_finite(c->job, c->inertia, "the distance of two points");
    for (size_t i = 0; i < c->k * c->width && finite; i++)
        finite = ap_finite(c->job, c->centres[i], "the sum of the points of a cluster");
    if (!finite) return;
    json_t *centres = json_array(), *of = json_array();
    for (size_t k = 0; k < c->k; k++) {
        json_t *centre = json_array();
        for (size_t i = 0; i < c->width; i++)
            json_array_append_new(centre, json_real(c->centres[k * c->width + i]));
        json_array_append_new(centres, centre);
    }
    for (size_t p = 0; p < c->n; p++)
        json_array_append_new(of, json_integer((json_int_t)c->of[p]));
    ap_answer(c->job, "{s:o,s:o,s:f,s:i}", "centres", centres, "cluster", of, "inertia", c->inertia, "rounds", c->rounds);
}

static void clusters_end(void *user, bool over)
{
    struct clusters *c = user;
    if (over) clusters_report(c);
    apiary_agent_free(c->agent, (void *)c->points);
    apiary_agent_free(c->agent, c->centres);
    apiary_agent_free(c->agent, c->sums);
    apiary_agent_free(c->agent, c->least);
    apiary_agent_free(c->agent, c->of);
    apiary_agent_free(c->agent, c->sizes);
    apiary_agent_free(c->agent, c);
}

static void cluster(void *state, apiary_job_t *job, const json_t *request)
{
    int64_t k = 2;
    if (!ap_may_integer(job, request, "k", 1, K_MOST, &k)) return;
    struct clusters *c = apiary_agent_alloc(state, sizeof *c);
    if (!c) {
        ap_out_of_memory(job);
        return;
    }
    *c = (struct clusters){.agent = state, .job = job};
    if (!(c->points = ap_need_points(job, request, "points", POINTS_MOST, &c->n, &c->width))) {
        clusters_end(c, false);
        return;
    }
    c->k = (size_t)k < c->n ? (size_t)k : c->n;
    c->centres = apiary_agent_alloc(state, c->k * c->width * sizeof *c->centres);
    c->sums = apiary_agent_alloc(state, c->k * c->width * sizeof *c->sums);
    c->least = apiary_agent_alloc(state, c->n * sizeof *c->least);
    c->of = apiary_agent_alloc(state, c->n * sizeof *c->of);
    c->sizes = apiary_agent_alloc(state, c->k * sizeof *c->sizes);
    if (!c->centres || !c->sums || !c->least || !c->of || !c->sizes) {
        ap_out_of_memory(job);
        clusters_end(c, false);
        return;
    }
    memset(c->of, 0xff, c->n * sizeof *c->of);
    place_centre(c, 0);
    ap_slices(job, clusters_step, clusters_end, c);
}

const struct ap_function ap_functions_clusters[] = {
    {.capability = "clustering",
     .call = cluster,
     .in = AP_OBJECT("'points'", "'points':{'type':'array','items':{'type':'array','items':{'type':'number'},"
           "'minItems':1,'maxItems':64},'minItems':1,'maxItems':10000},"
                      "'k':{'type':'integer','minimum':1,'maximum':64}"),
     .out = AP_OBJECT("'centres','cluster','inertia','rounds'", "'centres':{'type':'array','items':{'type':'array',"
           "'items':{'type':'number'}}},"
                      "'cluster':{'type':'array','items':{'type':'integer'}},"
                      "'inertia':{'type':'number'},"
                      "'rounds':{'type':'integer'}"),
     .bound = "10000 points of 64 numbers, 64 clusters, 100 rounds, in slices that end at the deadline",
     .again = AP_AGAIN_SAME,
     .send = "{\"points\":[[0,0],[0,1],[10,10],[10,11]],\"k\":2}",
     .answer = "{\"centres\":[[0.0,0.5],[10.0,10.5]],\"cluster\":[0,0,1,1],\"inertia\":1.0,\"rounds\":1}"},
    {.capability = NULL},
};

static void cluster_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_clusters, state, job);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

static int clusters_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The least (of = -1) or the most (of = 1) of the values, owned by the caller: as a double, unless that would be another number. */
static json_t *clusters_bound(const json_t *values, int of)
{
    const json_t *bound = json_array_get(values, 0), *value;
    size_t i;
    json_array_foreach(values, i, value) if (ap_json_order(value, bound) * of > 0) bound = value;
    json_t *real = json_real(json_number_value(bound));
    if (!real || ap_json_equal(real, bound)) return real;
    json_decref(real);
    return json_integer(json_integer_value(bound));
}

static void clusters_describe(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *given = json_object_get(request, "values");
    size_t n;
    double sum = 0, squares = 0, *values = ap_need_numbers(job, request, "values", VALUES_MOST, &n);
    if (!values) return;
    qsort(values, n, sizeof *values, clusters_ascending);
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double median = n % 2 ? values[n / 2] : values[n / 2 - 1] / 2 + values[n / 2] / 2;
    double deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
    apiary_agent_free(state, values);
    if (ap_finite(job, sum, "the sum of the values") && ap_finite(job, deviation, "the sum of their squares"))
        ap_answer(job, "{s:I,s:f,s:f,s:f,s:o,s:f,s:o}", "n", (json_int_t)n, "sum", sum, "mean", mean, "stddev",
                  deviation, "min", clusters_bound(given, -1), "median", median, "max", clusters_bound(given, 1));
}

const struct ap_function ap_functions_statistics[] = {
    {.capability = "statistics",
     .call = clusters_describe,
     .in = AP_OBJECT("'values'", "'values':{'type':'array','items':{'type':'number'},'minItems':1,'maxItems':100000}"),
     .out = AP_OBJECT("'n','sum','mean','stddev','min','median','max'", "'n':{'type':'integer'},"
                      "'sum':{'type':'number'},"
                      "'mean':{'type':'number'},"
                      "'stddev':{'type':'number'},"
                      "'min':{'type':'number'},"
                      "'median':{'type':'number'},"
                      "'max':{'type':'number'}"),
     .bound = "100000 values",
     .again = AP_AGAIN_SAME,
     .send = "{\"values\":[4,1,3,2]}",
     .answer = "{\"n\":4,\"sum\":10.0,\"mean\":2.5,\"stddev\":1.2909944487358056,\"min\":1.0,\"median\":2.5,"
           "\"max\":4.0}"},
    {.capability = NULL},
};

static void statistics_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_statistics, state, job);
}

const apiary_agent_kind_t ap_kind_clusters = {
    APIARY_AGENT_KIND,
    .name = "clusters",
    .what = "clustering: k-means that starts the same way every time",
    .create = ap_create_plain,
    .handle = cluster_handle,
    .capabilities = (const char *const[]){"clustering", NULL},
};

const apiary_agent_kind_t ap_kind_statistics = {
    APIARY_AGENT_KIND,
    .name = "statistics",
    .what = "statistics: mean, deviation, median and bounds of a list of numbers",
    .create = ap_create_plain,
    .handle = statistics_handle,
    .capabilities = (const char *const[]){"statistics", NULL},
};
