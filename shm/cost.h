/* shm/cost.h - what finding, picking and recovering take, why a provider is picked, and how many events there were; by lane.
 *
 * SCOPE     1 A row for each lane. It stays when the lane goes to another thread: readers add all rows up (ap_costs_read).
 *           2 Of searches, discoveries and picks the first of a lane is measured, and one of AP_COST_SAMPLE; each recovery is.
 *           3 A time has one reading of the clock in it, 20 to 30 ns.
 *           4 A pick is counted when a provider was looked for, so one for which a ring was full is followed by another.
 * EDGES     Each power of two is cut into four. Bucket 0 is below 2^power ns, the last one is 2^14 times that and more.
 *           Of bucket i between them the lower edge is (4 + (i - 1) % 4) << (power - 2 + (i - 1) / 4) ns.
 * WRITER    Times and picks: the lane's thread, by ap_own_add, on lines that nobody else writes. Events: whoever logs one, by an
 *           atomic add, in the row of the lane that the event names.
 * ORDERING  Each word is a count of its own.
 * CRASH     A death leaves out what the lane had not counted: one time, one event, and of the picks of an only provider that it had
 *           remembered less than AP_COST_SAMPLE. Nothing is counted twice.
 * INVARIANTS none: whatever a count says is possible.
 */
#ifndef AP_COST_H
#define AP_COST_H

#include "shm/event.h"

#define AP_COST_SAMPLE 64u

/* X(id, name, power, what) */
#define AP_COST_TIMES(X)                                                                      \
    X(SEARCH, "search", 5, "finding a capability by its name")                                \
    X(DISCOVER, "discover", 5, "telling the providers of a capability, not from memory")      \
    X(PICK, "pick", 5, "choosing the provider of a task")                                     \
    X(RECOVER, "recover", 11, "recovering a dead thread")
enum ap_cost_time {
#define X(id, name, power, what) AP_COST_##id,
    AP_COST_TIMES(X)
#undef X
        AP_COST_TIMES_END
};

/* Why a provider was picked. X(id, name, what) */
#define AP_PICKS(X)                                                       \
    X(ONLY, "only", "there is no other one")                              \
    X(POLICY, "policy", "the capability's policy prefers it")             \
    X(KEY, "key", "the same, by the task's key")                          \
    X(HOME, "home", "it has the share of a stateful capability")          \
    X(PREFERRED, "preferred", "a rule prefers it")                        \
    X(CANARY, "canary", "it is of a major that has a canary's part")      \
    X(TRIAL, "trial", "it was ejected, and one task tries it")            \
    X(APART, "apart", "it does not pass, and no other one does")          \
    X(NAMED, "named", "the caller has named it")                          \
    X(NONE, "none", "there was none")
enum ap_picked_as {
#define X(id, name, what) AP_PICKED_##id,
    AP_PICKS(X)
#undef X
        AP_PICKS_END
};

#define AP_COST_POWERS 14u
#define AP_COST_BUCKETS (AP_COST_POWERS * 4 + 2)
#define AP_COST_ABOVE (AP_COST_BUCKETS - 1)

struct ap_cost_spread {
    uint64_t sum; /* ns */
    uint64_t buckets[AP_COST_BUCKETS];
};
struct ap_costs {
    uint64_t picks[AP_PICKS_END];
    struct ap_cost_spread times[AP_COST_TIMES_END];
    uint64_t events[AP_EVENT_KINDS] AP_ALIGNED;
} AP_ALIGNED;

static inline struct ap_costs *ap_costs_at(const struct ap_segment *seg, uint64_t lane)
{
    return AP_ELEMENT(seg, AP_SECTION_COSTS, lane, struct ap_costs);
}

/* The power of two at which a kind's first bucket begins. */
uint32_t ap_cost_power(enum ap_cost_time kind);
uint64_t ap_cost_lower(enum ap_cost_time kind, uint32_t bucket);
/* By the row's lane; c may be NULL: it counts nowhere. */
void ap_cost_took(struct ap_costs *c, enum ap_cost_time kind, uint64_t ns);
AP_ALWAYS_INLINE void ap_cost_picked(struct ap_costs *c, enum ap_picked_as why, uint64_t n)
{
    if (c != NULL) ap_own_add(&c->picks[why], n);
}
/* By any lane. */
void ap_cost_event(const struct ap_segment *seg, uint32_t lane, uint32_t kind);

/* Adds all rows up. Any thread, also of a damaged segment, where counts can be anything. */
void ap_costs_read(const struct ap_segment *seg, struct ap_costs *ret);
uint64_t ap_cost_count(const struct ap_cost_spread *s);
/* The time that a part q (0 to 1) do not exceed, in ns, to 12 %; 0: none was measured, or it is below the first edge. */
uint64_t ap_cost_quantile(const struct ap_cost_spread *s, enum ap_cost_time kind, double q);

#endif
