/* perf/report.h - printing, plotting and comparing results, all from their JSON. */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include <stdio.h>

#include "core/must_check.h"
#include "perf/stat.h"

void perf_report_text(const json_t *result, FILE *to);
/* One Markdown table of many results, the worst ratios first. */
void perf_report_table(const json_t *results, FILE *to);
/* Draws results (an array) to an SVG or PNG file by gnuplot. 0, or -1 with a sentence on standard error. */
AP_MUST_CHECK int perf_report_plot(const json_t *results, const char *file);
/* A file with one result or an array of them: an array, or NULL with a sentence on standard error. */
json_t *perf_report_load(const char *file);
/* Prints the comparison; the number of cases compared. */
AP_MUST_CHECK int perf_report_compare(const json_t *a, const json_t *b, bool json, FILE *to);

#endif
