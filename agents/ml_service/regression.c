/* agents/ml_service/regression.c - kind "regression": a straight line through points, kept by name in the swarm's local memory.
 *
 *   model_training {"name":"m","points":[[x,y],...]} -> {"name":"m","slope":A,"intercept":B,"r2":R,"points":N}
 *                  ordinary least squares, of deviations from the means; the name may be left out (nothing is kept then)
 *   prediction     {"name":"m","x":[...]} or {"slope":A,"intercept":B,"x":[...]} -> {"y":[...]}
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/ml_service/numbers.h"

enum { POINTS_MOST = 100000, NAME_MOST = 64 };

struct line {
    double slope, intercept;
};

static bool model_key(apiary_job_t *job, const char *name, char *ret, size_t capacity)
{
    if (name[0] && strlen(name) <= NAME_MOST) {
        snprintf(ret, capacity, "line:%s", name);
        return true;
    }
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"name\" has %zu bytes; 1 to %d are allowed", strlen(name), NAME_MOST);
    return false;
}

/* false: all x are the same, or the squares of the numbers leave the range of a double. */
static bool regression_fit(const double *points, size_t n, struct line *line, double *r2)
{
    double mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        mx += points[2 * i];
        my += points[2 * i + 1];
    }
    mx /= (double)n;
    my /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double dx = points[2 * i] - mx, dy = points[2 * i + 1] - my;
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    if (xx == 0 || !isfinite(xx) || !isfinite(xy)) return false;
    line->slope = xy / xx;
    line->intercept = my - line->slope * mx;
    *r2 = yy > 0 ? line->slope * xy / yy : 1;
    return isfinite(line->slope) && isfinite(line->intercept) && isfinite(*r2);
}

static void train(void *state, apiary_job_t *job, const json_t *request)
{
    const char *name = NULL;
    char key[96];
    size_t n, width;
    struct line line;
    double r2;
    if (!ap_may_text(job, request, "name", &name) || (name && !model_key(job, name, key, sizeof key))) return;
    double *points = ap_need_points(job, request, "points", POINTS_MOST, &n, &width);
    if (!points) return;
    bool fitted = width == 2 && n >= 2 && regression_fit(points, n, &line, &r2);
    apiary_agent_free(state, points);
    if (!fitted) {
        apiary_job_fail(
            job, AP_CODE_BAD_REQUEST,
            "a line needs at least two points [x, y] that differ in x, none so large that its square is out of "
            "range (about 1e154)");
        return;
    }
    int error = name ? apiary_local_put(state, key, &line, sizeof line) : 0;
    if (error < 0)
        apiary_job_fail(job, AP_CODE_FULL, "the model cannot be kept: %s", apiary_strerror(error));
    else
        ap_answer(job, "{s:s?,s:f,s:f,s:f,s:I}", "name", name, "slope", line.slope, "intercept", line.intercept, "r2",
                  r2, "points", (json_int_t)n);
}

static bool need_line(apiary_agent_t *agent, apiary_job_t *job, const json_t *request, struct line *line)
{
    const char *name;
    char key[96];
    if (!json_object_get(request, "name"))
        return ap_need_number(job, request, "slope", &line->slope) &&
               ap_need_number(job, request, "intercept", &line->intercept);
    if (!ap_need_text(job, request, "name", &name) || !model_key(job, name, key, sizeof key)) return false;
    if (apiary_local_get(agent, key, line, sizeof *line) == (int64_t)sizeof *line) return true;
    apiary_job_fail(job, AP_CODE_NOT_FOUND, "no model \"%s\" has been trained", name);
    return false;
}

static void predict(void *state, apiary_job_t *job, const json_t *request)
{
    struct line line;
    size_t n;
    if (!need_line(state, job, request, &line)) return;
    double *x = ap_need_numbers(job, request, "x", POINTS_MOST, &n);
    if (!x) return;
    json_t *y = json_array();
    bool finite = true;
    for (size_t i = 0; i < n && finite; i++) {
        double at = line.slope * x[i] + line.intercept;
        finite = ap_finite(job, at, "a prediction");
        json_array_append_new(y, json_real(at));
    }
    apiary_agent_free(state, x);
    if (finite) ap_answer(job, "{s:O}", "y", y);
    json_decref(y);
}

const struct ap_function ap_functions_regression[] = {
    {.capability = "model_training",
     .call = train,
     .in = AP_OBJECT("'points'", "'name':{'type':'string','minLength':1,'maxLength':64},"
                      "'points':{'type':'array','items':{'type':'array','items':{'type':'number'},'minItems':2,"
           "'maxItems':2},'minItems':2,'maxItems':100000}"),
     .out = AP_OBJECT("'name','slope','intercept','r2','points'", "'name':{'type':['string','null']},"
                      "'slope':{'type':'number'},"
                      "'intercept':{'type':'number'},"
                      "'r2':{'type':'number'},"
                      "'points':{'type':'integer'}"),
     .bound = "100000 points",
     .again = "keeps the same model once more",
     .send = "{\"name\":\"check\",\"points\":[[0,1],[1,3],[2,5]]}",
     .answer = "{\"name\":\"check\",\"slope\":2.0,\"intercept\":1.0,\"r2\":1.0,\"points\":3}"},
    {.capability = "prediction",
     .call = predict,
     .in = AP_OBJECT("'x'", "'name':{'type':'string','minLength':1,'maxLength':64},"
                      "'slope':{'type':'number'},"
                      "'intercept':{'type':'number'},"
                      "'x':{'type':'array','items':{'type':'number'},'minItems':1,'maxItems':100000}"),
     .out = AP_OBJECT("'y'", "'y':{'type':'array','items':{'type':'number'}}"),
     .bound = "100000 numbers",
     .again = AP_AGAIN_LOOKS,
     .send = "{\"slope\":2,\"intercept\":1,\"x\":[10,-1]}",
     .answer = "{\"y\":[21.0,-1.0]}"},
    {.capability = NULL},
};

static void regression_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_regression, state, job);
}

const apiary_agent_kind_t ap_kind_regression = {
    APIARY_AGENT_KIND,
    .name = "regression",
    .what = "model_training, prediction: a least-squares line, kept by name",
    .create = ap_create_plain,
    .handle = regression_handle,
    .capabilities = (const char *const[]){"model_training", "prediction", NULL},
    .state = APIARY_STATE_QUEEN,
};
