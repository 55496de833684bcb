/* registry/routing/policy.h - LoadBalancer: the table of policies by which the router chooses one of several candidates.
 *
 * POLICY    1 A policy is one row of policy.def and one file with one function, which gives a candidate's score. The lowest wins.
 *           2 Equal scores go round by the turn of the lane that asks.
 *           3 It is asked when there are several candidates, and not otherwise.
 *           4 A capability declares its policy as `balance` (terms.def).
 * THREADS   The functions read private memory and words of the segment; any thread.
 */
#ifndef AP_POLICY_H
#define AP_POLICY_H

#include <stdint.h>

struct ap_balance;

/* A queue that may be picked, as the lane that asks sees it. */
struct ap_candidate {
    uint32_t queue;
    uint64_t life;
    uint64_t load; /* tasks: queued as the consumer last said, or this lane's own if these are more, and running */
};

typedef uint64_t (*ap_policy_fn)(const struct ap_balance *balance, const struct ap_candidate *candidate);

struct ap_policy {
    const char *name, *what;
    ap_policy_fn score;
};

enum {
#define AP_POLICY(name, what) AP_POLICY_##name,
#include "registry/routing/policy.def"
#undef AP_POLICY
    AP_POLICIES
};
#define AP_POLICY_OTHERWISE AP_POLICY_least_loaded /* of a capability that declares none */

#define AP_POLICY(name, what) uint64_t ap_policy_##name(const struct ap_balance *balance, const struct ap_candidate *candidate);
#include "registry/routing/policy.def"
#undef AP_POLICY

extern const struct ap_policy ap_policies[AP_POLICIES];
/* NULL: there is none of that number. */
const char *ap_policy_name(uint64_t policy);

#endif
