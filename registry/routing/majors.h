/* registry/routing/majors.h - TaskRouter: what the name of a capability without a major means.
 *
 * MAJORS    1 A provider offers "name@2", and so "name" too (discovery.h), or "name" alone. That is older than any major.
 *           2 A task keeps the name by which it was asked for. Each pick looks anew at what that means, so a task that is moved
 *           may go to another major.
 * MEANING   The capability declares it of the name without a major, as the term `bare`:
 *           newest  the newest major of which a provider passes (policy.h, STANDING). It is the default: who asks without a major
 *                   has no wish, a new major is started to be used, and when all of its providers are gone, or fail, the one
 *                   before serves.
 *           any     any of them, as if there were no majors
 *           error   the task is refused (APIARY_ENOMAJOR)
 *           N       this major, and no other, whether a provider passes or not
 * CANARY    1 A major may declare that it gets so many percent of the tasks that are asked for without a major: the term `canary`.
 *           They are drawn at random, task by task, whatever else the name means, but for any and error.
 *           2 All others go where they would without the canary. A major with a canary is the newest only when no other passes.
 *           3 A canary of which no provider passes gets nothing.
 * TERMS     The terms and rules of "name" are those that were declared last of it: an agent that declares them of "name@2" does so
 *           of "name", too. They cannot be those of the major that a task comes to: its rate is counted, its bounds are applied
 *           and its balance is read before a pick, and which major is picked depends on them, on who stands how, and, with a
 *           canary, on chance. So each provider's own rules hold besides (rules.h, 5). A caller that wants the terms of a major
 *           asks for "name@2".
 * FLAG      capability.majors (discovery.h) is 1 for "name" once "name@2" was entered. Without it nothing here is looked at.
 * ONLY      A lane remembers the only provider of a name (ap_only) if the name may mean any that there is. A declaration that comes
 *           later comes with a provider, and is looked at when that one is there.
 */
#ifndef AP_MAJORS_H
#define AP_MAJORS_H

#include "registry/discovery/discovery.h"

enum { AP_BARE_NEWEST, AP_BARE_ANY, AP_BARE_ERROR, AP_BARE_WORDS };
#define AP_BARE_MAJOR(major) ((major) + AP_BARE_WORDS - 1u) /* one that is declared; from 1 */

#define AP_MAJORS_SEEN 16u /* of more than that the oldest are not seen */
#define AP_NO_CAPABILITY UINT32_MAX

/* A major of a name that a candidate offers. */
struct ap_major {
    uint32_t major;      /* 0: none */
    uint32_t capability; /* the index of the name with the major; of major 0 that without */
    bool well;           /* a candidate of it passes */
    bool canary;
    uint32_t percent; /* of the canary */
};
/* Those that are there, the newest first; private memory. */
struct ap_majors {
    const struct ap_segment *seg;
    char name[APIARY_CAPABILITY_MAX + 1]; /* without a major */
    uint32_t capability; /* of that name */
    uint32_t count;
    struct ap_major list[AP_MAJORS_SEEN];
};

/* With an empty list. */
void ap_majors_begin(struct ap_majors *all, const struct ap_segment *seg, uint32_t capability);
/* Adds what a candidate of the name offers. */
void ap_majors_add(struct ap_majors *all, const struct ap_agent_record *agent, bool well);
/* The number in the list of what a task is to have, -1: any of them, -2: none of them. `bare` is the value of the term, `drawn` a
 * number below 100 for a canary, or UINT32_MAX. */
int ap_majors_choose(const struct ap_majors *all, uint64_t bare, uint32_t drawn);
/* The newest major of the name that an agent offers; 0: the name alone. */
uint32_t ap_major_newest(const struct ap_majors *all, const struct ap_agent_record *agent);
/* The index of the name with that major; -1: it offers the name alone. */
int ap_major_row(const struct ap_majors *all, const struct ap_agent_record *agent);

#endif
