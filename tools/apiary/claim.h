/* tools/apiary/claim.h - shared by the commands of `apiary claim`. */
#ifndef AP_TOOLS_CLAIM_H
#define AP_TOOLS_CLAIM_H

#include "tools/common/common.h"

/* The options that say what is done when another has the claim. */
struct claim_how {
    const char *wait; /* NULL: not given; "": for ever */
    bool steal, existing;
};

AP_MUST_CHECK int claim_error(const struct tool *t, int error, const char *key);
/* A duration; `otherwise` when there is no text. TOOL_OK or TOOL_USAGE. */
AP_MUST_CHECK int claim_time(const struct tool *t, const struct tool_usage *usage, const char *option, const char *text,
                             uint64_t otherwise, uint64_t *ret);
AP_MUST_CHECK int claim_policy(const struct tool *t, const struct tool_usage *usage, const struct claim_how *how,
                               apiary_claim_options_t *ret);
int claim_run(struct tool *t, int argc, char **argv); /* claim_run.c */

#endif
