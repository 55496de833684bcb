/* registry/routing/pick.h - TaskRouter: one pick under way, private to its thread; for router.c, and for explain.c, which picks as
 * an observer does and changes nothing.
 */
#ifndef AP_PICK_H
#define AP_PICK_H

#include "registry/routing/router.h"
#include "registry/routing/rules.h"
#include "registry/routing/terms.h"

/* The candidates of a capability that a task may have; memory of the pick that is narrowed. */
struct ap_narrowed {
    bool plain; /* only those that offer the name without a major */
    bool by_major; /* the rules of each one's own major hold, too */
    bool passed;   /* a gate passes it on */
    bool canary;   /* the name means a major that has a canary's part */
    bool refused;  /* one was left out because those do not allow the caller */
    uint32_t caller;
    uint32_t meant; /* the capability that the name means: with the major */
    struct ap_rules_asked rules;
    struct ap_majors majors;
};

/* One pick under way. */
struct ap_pick {
    const struct ap_segment *seg;
    const uint64_t *providers; /* of the capability */
    const struct ap_balance *balance;
    int service;
    uint32_t not;
    const struct ap_policy *policy;
    uint64_t slow_start;
    struct ap_narrowed *narrowed; /* NULL: it may have any */
    struct ap_asking asking;
    bool scored; /* best_score is there */
    struct ap_candidate best;
    uint64_t best_score;
    enum ap_picked_as why; /* what is said of the best */
};

/* `seg`, `providers`, `service` and `not` are filled in. */
void ap_pick_begin(struct ap_pick *p, uint32_t capability, const struct ap_balance *balance, uint64_t key);
/* Narrows it to what the name means and rules leave to the caller, canaries left aside: 0, or why there is no candidate. `n` is its
 * memory, zeros. */
AP_MUST_CHECK int ap_pick_narrow(struct ap_pick *p, uint32_t capability, uint32_t caller, struct ap_narrowed *n);
/* Whether the queue is a candidate, with all that a policy may look at. */
bool ap_pick_fill(const struct ap_pick *p, uint32_t queue, struct ap_candidate *c);
/* Takes the queue for the best, if it is a better candidate. */
void ap_pick_consider(struct ap_pick *p, uint32_t queue);
/* Works out the sums for a policy that looks at them. */
void ap_pick_sum(struct ap_pick *p);
/* Each queue that has the provider bit, until `each` says no. */
void ap_pick_each(struct ap_pick *p, bool (*each)(struct ap_pick *p, uint32_t queue));

#endif
