/* registry/routing/policy_round_robin.c - one candidate after another, however much each has to do. See policy.h. */
#include "registry/routing/policy.h"

/* All are equal, and equals take turns. */
uint64_t ap_policy_round_robin(const struct ap_balance *balance, const struct ap_candidate *candidate)
{
    (void)balance, (void)candidate;
    return 0;
}
