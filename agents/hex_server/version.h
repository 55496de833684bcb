/* agents/hex_server/version.h - semantic versions (semver.org 2.0.0) and requirements as Elixir writes them.
 *
 * A requirement is comparisons joined by "and" and "or" ("and" binds closer): == != ! > >= < <= ~>, none is ==; "!" is "!=".
 * "~> 1.2" is >= 1.2.0 and < 2.0.0, "~> 1.2.3" is >= 1.2.3 and < 1.3.0. As for Hex (allow_pre: false), a pre-release matches
 * > >= and ~> only where the version behind them is a pre-release, too; for the others it is a version like any. Numbers and
 * pre-releases are of any length.
 */
#ifndef AP_HEX_VERSION_H
#define AP_HEX_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/must_check.h"

#define AP_REQUIREMENT_MOST 4096 /* bytes */

/* Points into the text that it was read from. */
struct ap_version {
    struct {
        const char *digits; /* without zeros at the front, but for "0" */
        size_t size;
    } part[3];
    int parts; /* how many were written: 2 or 3 */
    const char *pre;
    size_t pre_size; /* 0: it is no pre-release */
};

/* `size` bytes of text, all of them; build metadata ("+...") is checked and ignored. partial: "1.2" is allowed. */
AP_MUST_CHECK bool ap_version_parse(const char *text, size_t size, bool partial, struct ap_version *ret);
int ap_version_compare(const struct ap_version *a, const struct ap_version *b); /* -1, 0, 1 */
bool ap_requirement_valid(const char *requirement); /* also that it is not too long */
bool ap_requirement_match(const char *requirement, const struct ap_version *version); /* of a valid one */

#endif
