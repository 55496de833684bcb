/* registry/routing/homes.h - which provider has the state of a capability that keeps some (terms.def, `stateful`).
 *
 * SHARE     1 The tasks of such a capability fall into AP_HOMES shares: share 0 is that of the tasks without a key, and a key has
 *           one of the others by its hash. All tasks of a share go to one provider, its home.
 *           2 A share that has no home gets one at its first task: the candidate that passes (policy.h, STANDING) and has the
 *           fewest shares for its weight; of equal ones the one that has been there the longest. So tasks without a key are the
 *           oldest instance's.
 *           3 It stays there as long as that provider is a candidate (router.h, CANDIDATE): as it lives and serves. A provider
 *           that comes gets only shares that nobody has asked for yet, or whose home has gone. So once all shares are in use,
 *           keys do not spread to a new instance before an old one goes.
 *           4 A home that dies, drains, is put into another mode or leaves is replaced at the next task. That it fails, is stuck
 *           or slow, or has the weight 0 or a full queue moves nothing: its state is nowhere else.
 * ONE       1 Capabilities that are offered together have one state: the shares are those of the first capability of their
 *           agents. Where agents differ in that, of the lowest index among the candidates. The configuration refuses such.
 *           2 Of a name without a major they are those of the major that it means. While it is stateful, all majors count as
 *           passing, and there are no canaries.
 *           3 All callers have one home: a caller whose rules leave that out is refused (APIARY_EFORBIDDEN), and a swarm that
 *           asks for its own providers while another service's is the home finds none.
 *           4 A caller that names a provider (the option `provider`, a broadcast) gets that one.
 * OTHERS    Tasks that wait at a provider that is not the home any more are moved by the next sweep. No worker takes a task over
 *           from another agent, nobody sends a second copy of one, and a queue that is full is not gone round.
 * LAYOUT    Section "homes": one row for each capability, at the same index, with AP_HOMES words: 0, or the home as AP_PROVIDER.
 * LIFE      0 or a provider that is no candidate -> a candidate, by compare-and-swap of any lane that picks. So all callers agree,
 *           whatever each of them saw.
 * CRASH     One step. The word of a dead provider counts as 0; nothing is to be repaired.
 * LIMIT     A task that was queued when its home stopped to serve may still run there while the next home runs later ones: while a
 *           queen drains, what waits at her is run by her or moved.
 * INVARIANTS H1 a word's queue is in range, and its epoch not later than that queue's
 * COST      A capability that does not declare it costs nothing: the flag lies beside those of majors and rules (discovery.h). One
 *           that does has no provider remembered, and each pick looks at all candidates.
 * THREADS   Any.
 */
#ifndef AP_HOMES_H
#define AP_HOMES_H

#include "registry/routing/pick.h"

#define AP_HOMES 64u

struct ap_homes {
    uint64_t of[AP_HOMES];
} AP_ALIGNED;

static inline struct ap_homes *ap_homes_at(const struct ap_segment *seg, uint64_t capability)
{
    return AP_ELEMENT(seg, AP_SECTION_HOMES, capability, struct ap_homes);
}

static inline uint32_t ap_home_share(uint64_t key)
{
    return key == 0 ? 0 : 1 + (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (AP_HOMES - 1);
}

/* Whether a capability keeps state. */
static inline bool ap_stateful(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);

    return row != NULL && __builtin_expect((ap_load_relaxed(&row->ways) & AP_WAY_STATEFUL) != 0, 0) &&
           ap_term_declared(seg, capability, AP_TERM_stateful) != 0;
}

/* The home of a task, for a pick that has begun and is narrowed by `n`; it is the pick's `best`. With `take` a share without a
 * living home gets one; else `best` is the one that it would get. 0; APIARY_ENOPROVIDER, APIARY_EFORBIDDEN. */
AP_MUST_CHECK int ap_home_pick(struct ap_pick *p, const struct ap_narrowed *n, bool take);
/* Whether a task's share has a living home other than the queue. Nothing is changed. */
bool ap_home_elsewhere(const struct ap_segment *seg, uint32_t capability, const struct ap_route_question *q, uint32_t queue);
/* The row of the shares of a capability's tasks; NULL: it has no candidate. How many of them a provider has, by its number
 * (AP_PROVIDER). */
const struct ap_homes *ap_home_row(const struct ap_segment *seg, uint32_t capability);
uint32_t ap_home_shares(const struct ap_homes *row, uint64_t provider);

#endif
