/* agents/hex_server/pubgrub.h - a set of versions that fit together, or why there is none.
 *
 * The algorithm is PubGrub (N. Weizenbaum, 2018), as Hex has it: what cannot be chosen together is learned from each conflict, and
 * the search goes back to where that began.
 */
#ifndef AP_HEX_PUBGRUB_H
#define AP_HEX_PUBGRUB_H

#include <jansson.h>

#include "core/must_check.h"

/* packages: {NAME:[{"version":V,"requires":{NAME:REQUIREMENT}},...]}, newest first, all of it valid; requires: what is asked for.
 * 0: *chosen is a new {NAME:VERSION,...} in the order of names. -EDOM: nothing fits, and *why is sentences that say so, for free().
 * -E2BIG: given up, after the work of some tens of milliseconds. -ENOMEM. */
AP_MUST_CHECK int ap_pubgrub(const json_t *packages, const json_t *requires, json_t **chosen, char **why);

#endif
