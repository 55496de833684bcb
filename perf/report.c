/* perf/report.c - results as text. */
#include "perf/report.h"
#include "perf/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double report_field(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "unknown";
}

/* A figure in ns, in at most 8 columns. */
static void ns_text(double ns, char *ret, size_t size)
{
    if (isnan(ns))
        snprintf(ret, size, "-");
    else if (ns < 100)
        snprintf(ret, size, "%.1f", ns);
    else if (ns < 1e5)
        snprintf(ret, size, "%.0f", ns);
    else if (ns < 1e8)
        snprintf(ret, size, "%.0fu", ns / 1e3);
    else
        snprintf(ret, size, "%.0fm", ns / 1e6);
}

static void report_plain(double v, const char *format, char *ret, size_t size)
{
    if (isnan(v))
        snprintf(ret, size, "-");
    else
        snprintf(ret, size, format, v);
}

static void report_line(FILE *to, const char *name, const json_t *ns, double per_second, const json_t *ratio)
{
    static const char *const columns[] = {"p50", "p90", "p99", "p999", "p9999", "max"};
    char cell[32];

    fprintf(to, "  %-15s", name);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        ns_text(report_field(ns, columns[i]), cell, sizeof cell);
        fprintf(to, " %8s", cell);
    }
    report_plain(per_second, "%.0f", cell, sizeof cell);
    fprintf(to, " %11s", cell);
    if (ratio != NULL) {
        report_plain(report_field(ratio, "median"), "%.3f", cell, sizeof cell);
        fprintf(to, " %8s", cell);
        report_plain(report_field(ratio, "q1"), "%.3f", cell, sizeof cell);
        fprintf(to, "  [%s", cell);
        report_plain(report_field(ratio, "q3"), "%.3f", cell, sizeof cell);
        fprintf(to, " %s]", cell);
    }
    fputc('\n', to);
}

static void bins(const json_t *result, FILE *to)
{
    json_t *all = json_object_get(result, "bins"), *bin, *v;
    const char *name, *baseline;
    char cell[32];

    json_object_foreach(all, name, bin)
    {
        fprintf(to, "  %-7s %4.0f blocks", name, report_field(bin, "blocks"));
        if (report_field(bin, "blocks") > 0) {
            ns_text(report_field(bin, "ns"), cell, sizeof cell);
            fprintf(to, ", %s ns; by", cell);
            json_object_foreach(json_object_get(bin, "ratio"), baseline, v)
            {
                report_plain(json_is_number(v) ? json_number_value(v) : NAN, "%.3f", cell, sizeof cell);
                fprintf(to, " %s %s", baseline, cell);
            }
        }
        fputc('\n', to);
    }
}

void perf_report_text(const json_t *result, FILE *to)
{
    json_t *env = json_object_get(result, "env"), *spread = json_object_get(result, "spread"), *baselines, *v, *one;
    const char *name;
    size_t i;

    fprintf(to, "%s: %s\n", text(result, "case"), text(result, "what"));
    fprintf(to, "  %s, %.0f processors, Linux %s, governor %s, commit %s; %s\n", text(env, "cpu"),
            report_field(env, "processors"), text(env, "kernel"), text(env, "governor"), text(env, "commit"),
            text(env, "placement"));
    if (report_field(result, "blocks") > 0) {
        fprintf(
            to,
            "  %.0f blocks%*s p50 ns      p90      p99    p99.9   p99.99      max  per second    ratio  [quartiles]\n",
            report_field(result, "blocks"), report_field(result, "blocks") < 100 ? 7 : 6, "");
        report_line(to, text(result, "subject"), json_object_get(result, "ns"), report_field(result, "per_second"), NULL);
        baselines = json_object_get(result, "baselines");
        json_object_foreach(baselines, name, v)
            report_line(to, name, v, report_field(v, "per_second"), json_object_get(json_object_get(spread, "ratio"), name));
        bins(result, to);
    }
    json_array_foreach(json_object_get(result, "table"), i, v)
        fprintf(to, "  %14.6g %-6s %s\n", report_field(v, "value"), text(v, "unit"), text(v, "what"));
    one = json_pack("[O]", result);
    perf_target_print(one, false, to);
    json_decref(one);
    json_object_foreach(json_object_get(result, "missing"), name, v)
        fprintf(to, "  missing: %s: %s\n", name, json_string_value(v));
    json_array_foreach(json_object_get(result, "notes"), i, v) fprintf(to, "  note: %s\n", json_string_value(v));
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

struct row {
    const char *name, *baseline;
    double ratio, q1, q3, ns, base_ns;
};

static int report_worst_first(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return x->ratio < y->ratio ? 1 : x->ratio > y->ratio ? -1 : 0;
}

static size_t collect_rows(const json_t *results, struct row *rows, size_t most)
{
    json_t *result, *b;
    const char *name;
    size_t n = 0, i;

    json_array_foreach(results, i, result)
    {
        json_object_foreach(json_object_get(result, "baselines"), name, b)
        {
            const json_t *spread = json_object_get(result, "spread");
            const json_t *s = json_object_get(json_object_get(spread, "ratio"), name);
            if (n == most || isnan(report_field(s, "median"))) continue;
            rows[n++] = (struct row){.name = text(result, "case"),
                                     .baseline = name,
                                     .ratio = report_field(s, "median"),
                                     .q1 = report_field(s, "q1"),
                                     .q3 = report_field(s, "q3"),
                                     .ns = report_field(json_object_get(spread, "ns"), "median"),
                                     .base_ns = report_field(json_object_get(b, "spread"), "median")};
        }
    }
    return n;
}

static void table_rest(const json_t *results, FILE *to)
{
    json_t *result, *v;
    const char *name;
    size_t i, k;

    fputs("\n| case | figure | value |\n|---|---|---:|\n", to);
    json_array_foreach(results, i, result)
    {
        json_array_foreach(json_object_get(result, "table"), k, v) fprintf(
            to, "| %s | %s | %.6g %s |\n", text(result, "case"), text(v, "what"), report_field(v, "value"), text(v, "unit"));
    }
    fputs("\n| case | missing | why |\n|---|---|---|\n", to);
    json_array_foreach(results, i, result)
    {
        json_object_foreach(json_object_get(result, "missing"), name, v)
            fprintf(to, "| %s | %s | %s |\n", text(result, "case"), name, json_string_value(v));
    }
}

void perf_report_table(const json_t *results, FILE *to)
{
    size_t most = json_array_size(results) * PERF_SERIES_MAX + 1, n;
    struct row *rows = calloc(most, sizeof *rows);
    json_t *env = json_object_get(json_array_get(results, 0), "env");

    if (rows == NULL) return;
    n = collect_rows(results, rows, most);
    qsort(rows, n, sizeof *rows, report_worst_first);
    fprintf(
        to,
        "%s, %.0f processors, Linux %s, commit %s, %s. Ratios are medians over blocks, below 1 is less time than the"
        " baseline.\n\n",
        text(env, "cpu"), report_field(env, "processors"), text(env, "kernel"), text(env, "commit"), text(env, "time"));
    perf_target_print(results, true, to);
    fputs("| case | against | ratio | quartiles | apiary, ns | baseline, ns |\n|---|---|---:|---:|---:|---:|\n", to);
    for (size_t i = 0; i < n; i++)
        fprintf(to, "| %s | %s | %.3f | %.3f to %.3f | %.1f | %.1f |\n", rows[i].name, rows[i].baseline, rows[i].ratio,
                rows[i].q1, rows[i].q3, rows[i].ns, rows[i].base_ns);
    free(rows);
    table_rest(results, to);
}

/* ---- files and comparison --------------------------------------------------------------------------------------- */

json_t *perf_report_load(const char *file)
{
    json_error_t error;
    json_t *o = json_load_file(file, 0, &error), *array;

    if (o == NULL) {
        fprintf(stderr, "apiary-perf: %s: line %d: %s\n", file, error.line, error.text);
        return NULL;
    }
    array = json_is_array(o) ? o : json_pack("[o]", o);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *result = json_array_get(array, i);
        if (report_field(result, "schema") == PERF_SCHEMA && json_is_string(json_object_get(result, "case"))) continue;
        fprintf(stderr, "apiary-perf: %s: element %zu is not a result of schema %d\n", file, i, PERF_SCHEMA);
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *verdict_json(const struct perf_verdict *v)
{
    json_t *o = json_object();

    json_object_set_new(o, "case", json_string(v->name));
    json_object_set_new(o, "bin", json_string(v->bin));
    json_object_set_new(o, "against", v->against[0] != '\0' ? json_string(v->against) : json_null());
    json_object_set_new(o, "blocks", json_pack("[I,I]", (json_int_t)v->blocks_a, (json_int_t)v->blocks_b));
    json_object_set_new(o, "ratio", json_pack("[f,f]", v->a, v->b));
    json_object_set_new(o, "change", json_real(v->change));
    json_object_set_new(o, "interval", isnan(v->low) ? json_null() : json_pack("[f,f]", v->low, v->high));
    json_object_set_new(o, "verdict", json_string(v->verdict));
    return o;
}

static void verdict_text(const struct perf_verdict *v, FILE *to)
{
    fprintf(to, "%-16s %-7s by %-10s %9.3f (%3zu) %9.3f (%3zu) %8.3f", v->name, v->bin,
            v->against[0] != '\0' ? v->against : "(ns)", v->a, v->blocks_a, v->b, v->blocks_b, v->change);
    if (isnan(v->low))
        fputs("  [     -      -]", to);
    else
        fprintf(to, "  [%.3f  %.3f]", v->low, v->high);
    fprintf(to, "  %s\n", v->verdict);
}

int perf_report_compare(const json_t *a, const json_t *b, bool json, FILE *to)
{
    json_t *array = json_array(), *of_a, *of_b;
    struct perf_verdict v;
    size_t i, k;
    int n = 0;

    if (!json)
        fputs(
            "case             bin        baseline        A (blocks)       B (blocks)   change  [95 % interval]  B is\n",
            to);
    json_array_foreach(a, i, of_a)
    {
        json_array_foreach(b, k, of_b)
        {
            if (strcmp(text(of_a, "case"), text(of_b, "case")) != 0) continue;
            for (int bin = 0; bin <= PERF_BINS; bin++) {
                if (!perf_compare(of_a, of_b, (enum perf_bin)bin, &v)) continue;
                n++;
                if (json)
                    json_array_append_new(array, verdict_json(&v));
                else
                    verdict_text(&v, to);
            }
        }
    }
    if (json) json_dumpf(array, to, JSON_INDENT(1) | JSON_REAL_PRECISION(6)), fputc('\n', to);
    json_decref(array);
    return n;
}
