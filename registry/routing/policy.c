/* registry/routing/policy.c - the table of policies. See policy.h. */
#include "registry/routing/policy.h"

#include <stddef.h>

const struct ap_policy ap_policies[AP_POLICIES] = {
#define AP_POLICY(name, what) {#name, what, ap_policy_##name},
#include "registry/routing/policy.def"
#undef AP_POLICY
};

const char *ap_policy_name(uint64_t policy)
{
    return policy < AP_POLICIES ? ap_policies[policy].name : NULL;
}
