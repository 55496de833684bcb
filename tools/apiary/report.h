/* tools/apiary/report.h - apiary report: what is known of a segment and its machine, in one archive. */
#ifndef AP_TOOLS_APIARY_REPORT_H
#define AP_TOOLS_APIARY_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/must_check.h"

#define REPORT_WHY 256u

/* report_config.c. Writes the YAML text of `in` to `out` without comments and without secrets. A secret is
 * 1 each value under a key that speaks of one (password, passphrase, secret, token, credential, authorization, cookie, or a word
 *   that ends in "key"), however deep;
 * 2 what a variable under `env` is set to;
 * 3 what follows the name of an item under `headers`;
 * 4 in any other value what follows such a word and '=' or ':', the word after an option that is one, and the user's part of a URL.
 * Each is replaced by REPORT_SECRET. False, and a sentence in `why`: it is no YAML, or could not be written; what was written until
 * then has no secrets, either. */
#define REPORT_SECRET "(left out)"
AP_MUST_CHECK bool report_config(FILE *in, FILE *out, char why[REPORT_WHY]);

/* report_host.c. The machine and this build, and the processes of `pids`, as the kernel tells. */
void report_host(FILE *out);
void report_process(FILE *out, int64_t pid);

#endif
