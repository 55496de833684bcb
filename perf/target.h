/* perf/target.h - the targets of the figures. */
#ifndef PERF_TARGET_H
#define PERF_TARGET_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* Prints the targets that `results` (an array) has figures for, the worst first: figure by target, above 1 is missed. As Markdown
 * or as plain lines. Returns how many are missed. */
int perf_target_print(const json_t *results, bool markdown, FILE *to);

#endif
