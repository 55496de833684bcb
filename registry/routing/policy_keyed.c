/* registry/routing/policy_keyed.c - tasks of one key at one candidate: rendezvous hashing with bounded load. See policy.h.
 *
 * Each candidate draws a number from the key and its own name; the lowest one has the key. So a candidate that comes or goes
 * moves only the keys that it has, and all callers agree without asking each other. A candidate with more than a quarter above
 * its share of all tasks gives the key up to the next in the order until it has less.
 */
#include "registry/routing/policy.h"

#include <math.h>

#include "core/name.h"
#include "registry/registry.h"

#define FULL (UINT64_C(1) << 62)
#define FEW 4 /* tasks, with which no candidate has too much, however few the others have */

/* Of service, instance and agent, not of the place in the tables: it is the same after a restart. */
static uint64_t keyed_name(const struct ap_candidate *c)
{
    const uint64_t *words = (const uint64_t *)(const void *)c->agent->name;
    uint64_t mix = ap_load_relaxed(&c->swarm->key);

    for (uint32_t i = 0; i < sizeof c->agent->name / sizeof *words; i++)
        mix = (mix ^ ap_load_relaxed(&words[i])) * UINT64_C(0x9e3779b97f4a7c15);
    return mix;
}

/* Exponentially distributed, so that of several the lowest is one's own with a probability that is its weight's share. */
static uint64_t keyed_draw(uint64_t key, const struct ap_candidate *c)
{
    uint64_t words[2] = {key, keyed_name(c)};
    double part = ((double)(ap_hash(words, sizeof words) >> 11) + 0.5) * 0x1p-53;

    return (uint64_t)(-log(part) / c->weight * 0x1p45);
}

static bool keyed_full(const struct ap_asking *asking, const struct ap_candidate *c)
{
    double bound = 1.25 * (double)(asking->loads + 1) * c->weight / (double)(asking->weights > 0 ? asking->weights : c->weight);

    return c->load >= FEW && (double)c->load >= ceil(bound);
}

uint64_t ap_policy_keyed(const struct ap_asking *asking, const struct ap_candidate *candidate)
{
    if (asking->key == 0) return ap_policy_peak_ewma(asking, candidate);
    return keyed_draw(asking->key, candidate) + (keyed_full(asking, candidate) ? FULL : 0);
}
