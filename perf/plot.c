/* perf/plot.c - results as pictures, by gnuplot: for each the percentiles of every contestant. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "perf/report.h"

#define COLUMNS 3

static const struct {
    const char *key;
    const char *label;
} points[] = {{"p50", "50"}, {"p90", "90"}, {"p99", "99"}, {"p999", "99.9"}, {"p9999", "99.99"}, {"max", "max"}};
#define POINTS (sizeof points / sizeof *points)

/* gnuplot's text in single quotes. */
static void plot_quoted(FILE *to, const char *s)
{
    fputc('\'', to);
    for (; *s != '\0'; s++) {
        if (*s == '\'') fputc('\'', to);
        if (*s != '\n') fputc(*s, to);
    }
    fputc('\'', to);
}

static void data(FILE *to, const json_t *ns)
{
    for (size_t i = 0; i < POINTS; i++) {
        const json_t *v = json_object_get(ns, points[i].key);
        if (json_is_number(v)) fprintf(to, "%zu %g\n", i, json_number_value(v) > 0 ? json_number_value(v) : 0.5);
    }
    fputs("e\n", to);
}

static void panel(FILE *to, const json_t *result)
{
    json_t *baselines = json_object_get(result, "baselines"), *b;
    const char *name;

    fputs("set title ", to);
    plot_quoted(to, json_string_value(json_object_get(result, "case")));
    fputs(" noenhanced\nplot '-' using 1:2 with linespoints lw 3 title ", to);
    plot_quoted(to, json_string_value(json_object_get(result, "subject")));
    fputs(" noenhanced", to);
    json_object_foreach(baselines, name, b)
    {
        fputs(", '-' using 1:2 with linespoints title ", to);
        plot_quoted(to, name);
        fputs(" noenhanced", to);
    }
    fputc('\n', to);
    data(to, json_object_get(result, "ns"));
    json_object_foreach(baselines, name, b) data(to, b);
}

static size_t drawable(const json_t *results)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(results); i++)
        n += json_number_value(json_object_get(json_array_get(results, i), "blocks")) > 0;
    return n;
}

static void page(FILE *to, const json_t *results, const char *file, size_t n)
{
    size_t columns = n < COLUMNS ? n : COLUMNS, rows = (n + columns - 1) / columns;
    const char *end = strrchr(file, '.');

    fprintf(to, "set terminal %s size %zu,%zu\nset output ",
            end != NULL && strcmp(end, ".png") == 0 ? "pngcairo font ',9'" : "svg font ',9'", columns * 460, rows * 280);
    plot_quoted(to, file);
    fprintf(to, "\nset logscale y\nset grid\nset ylabel 'ns'\nset xlabel 'percentile'\nset xrange [-0.2:5.2]\n"
                "set key outside right top samplen 1 spacing 0.9\nset xtics (");
    for (size_t i = 0; i < POINTS; i++)
        fprintf(to, "%s'%s' %zu", i > 0 ? ", " : "", points[i].label, i);
    fprintf(to, ")\nset multiplot layout %zu,%zu\n", rows, columns);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *result = json_array_get(results, i);
        if (json_number_value(json_object_get(result, "blocks")) > 0) panel(to, result);
    }
    fputs("unset multiplot\n", to);
}

int perf_report_plot(const json_t *results, const char *file)
{
    size_t n = drawable(results);
    FILE *to;
    int status;

    if (n == 0) {
        fprintf(stderr, "apiary-perf: there is nothing to draw in %s: these cases have no times\n", file);
        return -1;
    }
    if (system("command -v gnuplot >/dev/null 2>&1") != 0) {
        fprintf(stderr,
                "apiary-perf: gnuplot is not installed, %s was not drawn; Debian: apt-get install gnuplot-nox\n", file);
        return -1;
    }
    signal(SIGPIPE, SIG_IGN);
    to = popen("gnuplot", "w");
    if (to == NULL) {
        fprintf(stderr, "apiary-perf: gnuplot: %s\n", strerror(errno));
        return -1;
    }
    page(to, results, file, n);
    status = pclose(to);
    if (status != 0) fprintf(stderr, "apiary-perf: gnuplot ended with status 0x%x\n", (unsigned)status);
    return status == 0 ? 0 : -1;
}
