/* registry/routing/policy_round_robin.c - one candidate after another, however much each has to do. See policy.h. */
#include "registry/routing/policy.h"

#include <stddef.h>

/* Each pick moves the picked queue's place on by 1 / weight, so the one that is furthest behind is next. A queue that was not
 * picked for long, or never, counts from where the lane is now: it does not catch up. */
uint64_t ap_policy_round_robin(const struct ap_asking *asking, const struct ap_candidate *candidate)
{
    uint64_t place = asking->places != NULL ? asking->places[candidate->queue] : 0;

    return place > asking->passed ? place - asking->passed : 0;
}
