/* registry/routing/policy_least_loaded.c - the candidate with the fewest tasks for its weight. See policy.h. */
#include "registry/routing/policy.h"

uint64_t ap_policy_least_loaded(const struct ap_asking *asking, const struct ap_candidate *candidate)
{
    (void)asking;
    return ap_weighed(candidate->load + 1, candidate);
}
