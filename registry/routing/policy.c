/* registry/routing/policy.c - the table of policies. See policy.h. */
#include "registry/routing/policy.h"

#include <stddef.h>

const struct ap_policy ap_policies[AP_POLICIES] = {
#define AP_POLICY(name, looks, what) {#name, what, looks, ap_policy_##name},
#include "registry/routing/policy.def"
#undef AP_POLICY
};

const char *ap_policy_name(uint64_t policy)
{
    return policy < AP_POLICIES ? ap_policies[policy].name : NULL;
}

const char *ap_standing_name(enum ap_standing standing)
{
    static const char *const names[] = {[AP_STANDS_WELL] = "passing",     [AP_STANDS_TRIAL] = "on trial",
                                        [AP_STANDS_WEIGHTLESS] = "weight 0", [AP_STANDS_EJECTED] = "ejected",
                                        [AP_STANDS_STUCK] = "stuck",      [AP_STANDS_UNHEALTHY] = "unhealthy",
                                        [AP_STANDS_SILENT] = "no beat"};

    return names[standing];
}
