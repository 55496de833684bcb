/* agents/hex_server/version.h - semantic versions (semver.org 2.0.0) and requirements as Elixir writes them.
 *
 * A requirement is comparisons joined by "and" and "or" ("and" binds closer): == != > >= < <= ~>, none is ==.
 * "~> 1.2" is >= 1.2.0 and < 2.0.0, "~> 1.2.3" is >= 1.2.3 and < 1.3.0. A pre-release matches only a comparison that names a
 * pre-release itself.
 */
#ifndef AP_HEX_VERSION_H
#define AP_HEX_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/must_check.h"

struct ap_version {
    unsigned long part[3];
    int parts;    /* how many were written: 2 or 3 */
    char pre[64]; /* "" if it is no pre-release */
};

/* `size` bytes of text, all of them; build metadata ("+...") is checked and ignored. partial: "1.2" is allowed. */
AP_MUST_CHECK bool ap_version_parse(const char *text, size_t size, bool partial, struct ap_version *ret);
int ap_version_compare(const struct ap_version *a, const struct ap_version *b); /* -1, 0, 1 */
bool ap_requirement_valid(const char *requirement);
bool ap_requirement_match(const char *requirement, const struct ap_version *version); /* of a valid one */

#endif
