/* perf/stat_json.c - a result as JSON; the manual page apiary-perf(1) describes it. */
#include <math.h>

#include "perf/stat.h"

/* JSON has no NAN. */
static json_t *stat_json_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *quantiles(const struct perf_series *s)
{
    static const struct {
        const char *name;
        double q;
    } wanted[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};
    json_t *o = json_object();
    bool any = s != NULL && s->hist->count > 0;

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        json_object_set_new(o, wanted[i].name,
                            any ? json_integer((json_int_t)ap_hist_quantile(s->hist, wanted[i].q)) : json_null());
    json_object_set_new(o, "max", any ? json_integer((json_int_t)s->hist->max) : json_null());
    return o;
}

static json_t *per_second(const struct perf_series *s)
{
    return s != NULL && s->ns > 0 ? stat_json_number(s->operations * 1e9 / s->ns) : json_null();
}

static json_t *spread(const double *a, const double *b, size_t n)
{
    json_t *o = json_object();
    static const struct {
        const char *name;
        double q;
    } wanted[] = {{"least", 0}, {"q1", 0.25}, {"median", 0.5}, {"q3", 0.75}, {"most", 1}};

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        json_object_set_new(
            o, wanted[i].name,
            stat_json_number(b != NULL ? perf_ratio_quantile(a, b, n, wanted[i].q) : perf_quantile(a, n, wanted[i].q)));
    return o;
}

static enum perf_bin bin_of_block(const struct perf_result *r, size_t block)
{
    const struct perf_series *raw = perf_result_raw(r);

    return perf_bin_of(raw != NULL ? raw->figures[block] : NAN);
}

/* The figures of one bin's blocks: those of others become NAN. */
static size_t select_bin(const struct perf_result *r, const struct perf_series *s, enum perf_bin bin, double *ret)
{
    size_t count = 0;

    for (size_t i = 0; i < r->blocks; i++) {
        bool in = bin_of_block(r, i) == bin;
        ret[i] = in ? s->figures[i] : NAN;
        count += in;
    }
    return count;
}

static json_t *bin_json(const struct perf_result *r, enum perf_bin bin, double *mine, double *theirs)
{
    json_t *o = json_object(), *baselines = json_object(), *ratio = json_object();
    size_t count = 0;

    if (r->series_count > 0) {
        count = select_bin(r, &r->series[0], bin, mine);
        json_object_set_new(o, "ns", stat_json_number(perf_median(mine, r->blocks)));
    } else {
        json_object_set_new(o, "ns", json_null());
    }
    for (size_t i = 1; i < r->series_count; i++) {
        select_bin(r, &r->series[i], bin, theirs);
        json_object_set_new(baselines, r->series[i].name, stat_json_number(perf_median(theirs, r->blocks)));
        json_object_set_new(ratio, r->series[i].name, stat_json_number(perf_ratio_quantile(mine, theirs, r->blocks, 0.5)));
    }
    json_object_set_new(o, "blocks", json_integer((json_int_t)count));
    json_object_set_new(o, "baselines", baselines);
    json_object_set_new(o, "ratio", ratio);
    return o;
}

static json_t *bins_json(const struct perf_result *r)
{
    json_t *o = json_object();
    double *room = calloc(2 * (r->blocks + 1), sizeof *room);

    if (room == NULL) return o;
    for (enum perf_bin bin = 0; bin < PERF_BINS; bin++)
        if (bin != PERF_NO_RAW || (r->series_count > 0 && perf_result_raw(r) == NULL))
            json_object_set_new(o, perf_bin_name(bin), bin_json(r, bin, room, room + r->blocks + 1));
    free(room);
    return o;
}

/* Every block's own figures, so that two results can be compared and nothing is hidden. */
static json_t *each_json(const struct perf_result *r)
{
    json_t *array = json_array();

    for (size_t b = 0; r->series_count > 0 && b < r->blocks; b++) {
        json_t *o = json_object(), *baselines = json_object();
        json_object_set_new(o, "bin", json_string(perf_bin_name(bin_of_block(r, b))));
        json_object_set_new(o, "ns", stat_json_number(r->series[0].figures[b]));
        for (size_t i = 1; i < r->series_count; i++)
            json_object_set_new(baselines, r->series[i].name, stat_json_number(r->series[i].figures[b]));
        json_object_set_new(o, "baselines", baselines);
        json_array_append_new(array, o);
    }
    return array;
}

static void others(const struct perf_result *r, json_t *o)
{
    json_t *missing = json_object(), *table = json_array(), *notes = json_array();

    for (size_t i = 0; i < r->missing_count; i++)
        json_object_set_new(missing, r->missing[i].name, json_string(r->missing[i].why));
    for (size_t i = 0; i < r->row_count; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "what", json_string(r->rows[i].what));
        json_object_set_new(row, "value", stat_json_number(r->rows[i].value));
        json_object_set_new(row, "unit", json_string(r->rows[i].unit));
        json_array_append_new(table, row);
    }
    for (size_t i = 0; i < r->note_count; i++)
        json_array_append_new(notes, json_string(r->notes[i]));
    json_object_set_new(o, "missing", missing);
    json_object_set_new(o, "table", table);
    json_object_set_new(o, "notes", notes);
}

json_t *perf_result_json(const struct perf_result *r, json_t *env)
{
    const struct perf_series *subject = r->series_count > 0 ? &r->series[0] : NULL;
    json_t *o = json_object(), *baselines = json_object(), *ratio = json_object();
    json_t *spreads = json_object(), *ratio_spreads = json_object(), *settings = json_object();

    json_object_set_new(o, "schema", json_integer(PERF_SCHEMA));
    json_object_set_new(o, "case", json_string(r->name));
    json_object_set_new(o, "what", json_string(r->what));
    json_object_set_new(o, "subject", subject != NULL ? json_string(subject->name) : json_null());
    json_object_set_new(o, "env", env != NULL ? json_incref(env) : json_object());
    json_object_set_new(o, "blocks", json_integer(subject != NULL ? (json_int_t)r->blocks : 0));
    json_object_set_new(o, "ns", quantiles(subject));
    json_object_set_new(o, "per_second", per_second(subject));
    if (subject != NULL) json_object_set_new(spreads, "ns", spread(subject->figures, NULL, r->blocks));
    for (size_t i = 1; i < r->series_count; i++) {
        const struct perf_series *s = &r->series[i];
        json_t *b = quantiles(s);
        json_object_set_new(b, "per_second", per_second(s));
        json_object_set_new(b, "spread", spread(s->figures, NULL, r->blocks));
        json_object_set_new(baselines, s->name, b);
        json_object_set_new(ratio, s->name, stat_json_number(perf_ratio_quantile(subject->figures, s->figures, r->blocks, 0.5)));
        json_object_set_new(ratio_spreads, s->name, spread(subject->figures, s->figures, r->blocks));
    }
    for (size_t i = 0; i < r->series_count; i++)
        if (r->series[i].setting != NULL)
            json_object_set_new(settings, r->series[i].name, json_string(r->series[i].setting));
    json_object_set_new(o, "baselines", baselines);
    json_object_set_new(o, "ratio", ratio);
    json_object_set_new(spreads, "ratio", ratio_spreads);
    json_object_set_new(o, "spread", spreads);
    json_object_set_new(o, "bins", bins_json(r));
    json_object_set_new(o, "each", each_json(r));
    json_object_set_new(o, "settings", settings);
    others(r, o);
    return o;
}
