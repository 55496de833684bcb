/* registry/routing/policy_least_loaded.c - the candidate with the fewest tasks. See policy.h. */
#include "registry/routing/policy.h"

uint64_t ap_policy_least_loaded(const struct ap_balance *balance, const struct ap_candidate *candidate)
{
    (void)balance;
    return candidate->load;
}
