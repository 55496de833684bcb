/* registry/routing/policy.h - LoadBalancer: the table of policies by which the router chooses one of several candidates.
 *
 * POLICY    1 A policy is one row of policy.def and one file with one function, which gives a candidate's score. The lowest wins.
 *           2 Equal scores go round by the turn of the lane that asks.
 *           3 A policy is asked when there are several candidates, and not otherwise.
 *           4 Beyond AP_CANDIDATES_MANY candidates a policy that looks at some compares two that are drawn at random, and while the
 *           better one has something to do up to AP_CANDIDATES_DRAWN.
 *           5 A capability declares its policy as `balance` (terms.def).
 * STANDING  Every policy compares among those that stand best. A candidate that does not pass (enum ap_standing) is picked only
 *           when no other candidate is there.
 * THREADS   The functions read private memory and words of the segment; any thread.
 */
#ifndef AP_POLICY_H
#define AP_POLICY_H

#include <stdint.h>

#define AP_CANDIDATES_MANY 8u
#define AP_CANDIDATES_DRAWN 16u

struct ap_queue;
struct ap_agent_record;
struct ap_swarm;

enum ap_standing {
    AP_STANDS_WELL,
    AP_STANDS_TRIAL,    /* its time of ejection is over: the next task there tells */
    AP_STANDS_WEIGHTLESS, /* the operator has given it the weight 0 */
    AP_STANDS_EJECTED,  /* its tasks fail */
    AP_STANDS_STUCK,    /* its queen says that a worker does not go on */
    AP_STANDS_UNHEALTHY, /* its health check fails */
    AP_STANDS_SILENT    /* its queen has not said anything for AP_SILENT: its process is stopped, or starved */
};
#define AP_STANDS_APART(standing) ((standing) > AP_STANDS_TRIAL)
#define AP_SILENT UINT64_C(5000000000)

/* A queue that may be picked, as the lane that asks sees it. */
struct ap_candidate {
    uint32_t queue, weight; /* weight: above 0; that of its swarm, less while that is new and starts slowly */
    uint64_t life;
    uint64_t load; /* tasks, queued and running */
    const struct ap_queue *at;
    const struct ap_agent_record *agent;
    const struct ap_swarm *swarm;
    enum ap_standing standing;
};

/* The question, and the lane that asks. */
struct ap_asking {
    uint64_t now, key;          /* key 0: none */
    uint64_t passed;            /* the place of the last pick of this lane in its round; a queue's own is `place` */
    const uint64_t *places;     /* per queue, of this lane; NULL: none */
    uint64_t loads, weights;    /* sums over all candidates that pass, for a policy that looks at sums */
};

typedef uint64_t (*ap_policy_fn)(const struct ap_asking *asking, const struct ap_candidate *candidate);

enum ap_looks { AP_LOOKS_SOME, AP_LOOKS_ALL, AP_LOOKS_SUMS };

struct ap_policy {
    const char *name, *what;
    enum ap_looks looks;
    ap_policy_fn score;
};

enum {
#define AP_POLICY(name, ...) AP_POLICY_##name,
#include "registry/routing/policy.def"
#undef AP_POLICY
    AP_POLICIES
};
#define AP_POLICY_OTHERWISE AP_POLICY_peak_ewma /* of a capability that declares none */

#define AP_POLICY(name, ...) uint64_t ap_policy_##name(const struct ap_asking *asking, const struct ap_candidate *candidate);
#include "registry/routing/policy.def"
#undef AP_POLICY

extern const struct ap_policy ap_policies[AP_POLICIES];
/* NULL: there is none of that number. */
const char *ap_policy_name(uint64_t policy);
const char *ap_standing_name(enum ap_standing standing);

/* A number of tasks or of nanoseconds as it weighs at a candidate: more where its share is to be smaller. */
static inline uint64_t ap_weighed(uint64_t n, const struct ap_candidate *c)
{
    return n < UINT64_C(1) << 50 ? n * 8192 / c->weight : n / c->weight * 8192;
}

#endif
