/* registry/routing/rules.h - TaskRouter: who may ask for a capability, and which providers get whose tasks.
 *
 * RULE      1 ALLOW or DENY a calling service. A caller that is denied, or not allowed where anybody is, is refused
 *           (APIARY_EFORBIDDEN). One that calls for no service is allowed only where no rule allows anybody.
 *           2 FORBID: the caller's tasks never go to providers of that service. PREFER: they go to no other as long as one of its
 *           providers passes (policy.h, STANDING) and has room. Both are of one calling service, or of any.
 *           3 A task for the caller's own swarm (execute_task) is subject to none.
 *           4 FALLBACK: a task goes to that capability when this one has no provider for its caller, and so on from there, at most
 *           AP_FALLBACKS times: rules of several configurations may make a circle. It is a task of that capability then. This is
 *           decided when it is placed, unless the caller wants no other (APIARY_NO_FALLBACK).
 *           5 Of a name without a major hold both the rules of the name, which are those of the major that was declared last, and
 *           those of the major that the provider offers.
 *           6 VIA: every task goes to that capability first, which an agent of the same queen offers, her gate, whoever asks for it
 *           and however. It is a task of that one then. The gate fails it, or delegates for it what it will (agent.h). Its
 *           delegations to the capability that has the rule are passed on: they go to the providers, and no other task does
 *           (APIARY_EFORBIDDEN). ALLOW and DENY are asked of the caller before the gate, and not again for what is passed on.
 *           7 A task that is passed on says so in its carried row, with the caller of the gate's own task (AP_PASSED): to whoever
 *           moves it, and to the agent that runs it.
 * CALLER    The service that the calling member has attached for, as its handle and each of its tasks have it. So a task that is
 *           moved, or waits for its time, obeys the rules of its own caller, whoever moves it.
 * DECLARED  The rules of a capability are one of its terms (terms.h): a registrant declares all of them by one word, or none. So
 *           no reader sees half of them. They hold from the next pick on; what waits at a provider already may run there.
 * LAYOUT    The term's value names a set of rules (rule_sets.h), which several capabilities may share.
 * READERS   A question has a copy of the set that the term names when it is asked, and decides by that alone. So what one pick
 *           obeys are the rules of one declaration.
 * COST      A capability without rules costs nothing: the flag that tells of them lies beside that of majors (discovery.h), which
 *           each pick reads. One with rules has no provider remembered, and is looked up at each pick, which copies them.
 * COUNT     refused and fell_back of the capability's row of terms.
 */
#ifndef AP_RULES_H
#define AP_RULES_H

#include "core/must_check.h"
#include "registry/registry.h"

enum ap_rule_verb { AP_RULE_NONE, AP_RULE_ALLOW, AP_RULE_DENY, AP_RULE_PREFER, AP_RULE_FORBID, AP_RULE_FALLBACK,
                    AP_RULE_VIA, AP_RULE_VERBS };

struct ap_rule {
    uint32_t verb; /* enum ap_rule_verb */
    uint32_t reserved;
    char from[APIARY_NAME_MAX + 1]; /* the calling service; of PREFER and FORBID "": any */
    char to[APIARY_CAPABILITY_MAX + 1]; /* of PREFER and FORBID: the providers' service; of FALLBACK and VIA: a capability */
};

#define AP_RULES_MAX 32u
#define AP_FALLBACKS 4u
#define AP_RULE_SETS_MAX 4096u
#define AP_NO_RULE_SET (UINT64_C(1) << 47) /* above the names of all sets (rule_sets.h) */

/* The rules of a capability, in private memory; the rest zeros. */
struct ap_rules {
    uint32_t count, reserved; /* 0: it declares none */
    struct ap_rule list[AP_RULES_MAX];
};

/* Of a task that a gate has passed on: the service that asked the gate + 1, or none, and this. 0: it is none. */
#define AP_PASSED (UINT64_C(1) << 16)
#define AP_PASSED_CALLER(passed) ((uint32_t)((passed) & 0xffff)) /* the service + 1; 0: none */

/* "allow", "deny", ... as the configuration has them; NULL: there is none of that number. */
const char *ap_rule_verb_name(uint32_t verb);
/* A rule in words. */
void ap_rule_print(const struct ap_rule *rule, char *text, size_t size);
/* Whether rules in private memory are possible. */
bool ap_rules_valid(const struct ap_rules *rules);

/* Why there is no room for rules, and the ways out; for a person. */
#define AP_RULES_FULL \
    "the table of rule sets is full: capabilities declare as many different ones as it has room for, also those that nobody " \
    "offers any more; let some of them have the same rules, or raise rule_sets of meta_registry, which needs a new segment"
/* Copies the rules of a capability: true; false: it has none. */
bool ap_rules_of(const struct ap_segment *seg, uint32_t capability, struct ap_rules *ret);

/* A caller's question to the rules of a capability; private memory. */
struct ap_rules_asked {
    const struct ap_segment *seg;
    bool broken;     /* some are declared, and are not to be read: nobody may */
    bool preferring; /* only providers that are preferred fit */
    char caller[APIARY_NAME_MAX + 1]; /* "": it calls for no service */
    struct ap_rules rules; /* a copy, so far as it is filled */
};
/* `caller` is the index of the calling service + 1; 0: none. */
void ap_rules_ask(struct ap_rules_asked *ret, const struct ap_segment *seg, uint32_t capability, uint32_t caller);
/* As of a capability without any. */
void ap_rules_none(struct ap_rules_asked *ret);
/* The capability that has its tasks first; NULL: none. Its text ends within the rule, which is part of the question. */
const struct ap_rule *ap_rules_gate(const struct ap_rules_asked *asked);
/* Whether a capability's tasks go to another one first: its index, -1 when nobody has ever offered that, in *ret. */
bool ap_rules_via(const struct ap_segment *seg, uint32_t capability, int *ret);
/* Whether the caller may ask for it at all. */
bool ap_rules_may(const struct ap_rules_asked *asked);
/* Whether a rule prefers providers for this caller, and whether those of a swarm are; of none, if it prefers none. */
bool ap_rules_prefer(const struct ap_rules_asked *asked);
bool ap_rules_preferred(const struct ap_rules_asked *asked, const struct ap_swarm *swarm);
bool ap_rules_forbidden(const struct ap_rules_asked *asked, const struct ap_swarm *swarm);
/* Whether a provider of the swarm fits: not forbidden, and preferred where that is asked. */
bool ap_rules_fit(const struct ap_rules_asked *asked, const struct ap_swarm *swarm);

/* A sentence on why the caller is refused, which names the rule. Returns its length. */
size_t ap_rules_say(const struct ap_segment *seg, uint32_t capability, uint32_t caller, char *ret, size_t size);

#endif
