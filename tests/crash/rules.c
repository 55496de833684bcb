/* tests/crash/rules.c - rules of capabilities: whoever sees a provider sees all that it has declared, or all that stood there. */
#include "sweep.h"

#include <unistd.h>

#include "registry/routing/bounds.h"

static const char *const ruled_names[] = {"echo", "other@2", NULL};
static const struct ap_rules ruled[] = {
    {.count = 2, .list = {{.verb = AP_RULE_ALLOW, .from = "caller"}, {.verb = AP_RULE_FORBID, .from = "caller", .to = "server"}}},
    {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}},
};

/* With rules, and again with others. */
void run_register_rules(void)
{
    struct ap_agent_registration agent = {.name = "one", .capabilities = ruled_names, .rules = ruled, .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "victim", .lane = actor.lane.index, .member = actor.api->member,
                                      .agents = &agent, .agent_count = 1};
    const struct ap_rules others[] = {ruled[1], ruled[0]};

    if (ap_swarm_register(actor.seg, &r) != 0) _exit(10);
    ap_swarm_deregister(actor.seg, r.lane, &r);
    agent.rules = others;
    if (ap_swarm_register(actor.seg, &r) != 0) _exit(10);
    ap_swarm_deregister(actor.seg, r.lane, &r);
}

static bool same_rules(const struct ap_rules *a, const struct ap_rules *b)
{
    return a->count == b->count && memcmp(a->list, b->list, a->count * sizeof a->list[0]) == 0;
}

void before_rules(bool over)
{
    int echo_at = ap_capability_find(survivor.seg, "echo", 4);
    struct ap_rules rules;
    uint64_t value;

    if (echo_at < 0) return;
    if (!ap_term_read(survivor.seg, (uint32_t)echo_at, AP_TERM_rules, &value)) {
        if (ap_capability_next(survivor.seg, (uint32_t)echo_at, 1) >= 0)
            fail("a provider is offered without its rules%s", over ? ", at the end" : "");
        return;
    }
    if (!ap_rules_of(survivor.seg, (uint32_t)echo_at, &rules)) fail("a set of rules is declared, and nobody can read it");
    else if (!same_rules(&rules, &ruled[0]) && !same_rules(&rules, &ruled[1])) fail("%u rules that nobody declares", rules.count);
}

/* ---- an instance says otherwise while it stands ------------------------------------------------------------------ */

static struct ap_agent_registration adjusted_agent = {.name = "one", .capabilities = ruled_names};
static struct ap_swarm_registration adjusted = {.service = "victim", .agents = &adjusted_agent, .agent_count = 1};

/* It has declared nothing yet. */
void prepare_adjust(void)
{
    adjusted_agent.lane = adjusted.lane = actor.lane.index;
    adjusted.member = actor.api->member;
    if (ap_swarm_register(actor.seg, &adjusted) != 0) _exit(10);
}

#define RANGED(from, to) {.balance = AP_POLICY_round_robin + 1, .never_from = (from) + 1, .never_to = (to) + 1}
static const struct ap_terms adjusted_terms[] = {RANGED(30, 40), RANGED(30, 40)}, lower_terms[] = {RANGED(10, 20), RANGED(10, 20)};

/* The same with another range. */
static void adjust_range(struct ap_agent_registration *agent, struct ap_swarm_registration *was, const struct ap_terms *terms)
{
    struct ap_agent_registration other = *agent;
    struct ap_swarm_registration next = *was;

    other.terms = terms;
    next.agents = &other;
    if (ap_swarm_adjust(actor.seg, actor.lane.index, was, &next) != 0) _exit(12);
    agent->terms = terms;
}

void run_adjust(void)
{
    struct ap_agent_registration agent = adjusted_agent;
    struct ap_swarm_registration next = adjusted;

    agent.terms = adjusted_terms;
    agent.rules = ruled;
    next.agents = &agent;
    next.weight = 7;
    next.max_delegations = 2;
    if (ap_swarm_adjust(actor.seg, actor.lane.index, &adjusted, &next) != 0) _exit(10);
    adjust_range(&agent, &next, lower_terms);
    adjust_range(&agent, &next, adjusted_terms);
    if (ap_swarm_adjust(actor.seg, actor.lane.index, &next, &adjusted) != 0) _exit(11);
}

/* The actor alone has its own in `adjusted`. */
uint32_t adjusted_record(void)
{
    const uint64_t key = ap_swarm_key("victim", "0");

    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_SWARMS].count; i++)
        if (ap_load_relaxed(&ap_swarm_at(survivor.seg, i)->key) == key) return i;
    fail("the registration has no record");
    return 0;
}

/* Each word is what it was or what it becomes, and the range is no mixture of two. At the end what nobody else offers is as it was,
 * and what another service offers, too, keeps what was said last. */
void before_adjust(bool over)
{
    static const char *const names[] = {"echo", "other@2", "other"};
    uint32_t weight = ap_load_relaxed(&ap_swarm_at(survivor.seg, adjusted_record())->weight);
    struct ap_rules rules;

    if (weight != 7 && weight != AP_WEIGHT) fail("the weight is %u", weight);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int at = ap_capability_find(survivor.seg, names[i], strlen(names[i]));
        uint64_t value;
        bool said = at >= 0 && ap_term_read(survivor.seg, (uint32_t)at, AP_TERM_balance, &value);

        if (at < 0) fail("nobody offers %s", names[i]);
        else if (ap_bounds_never(survivor.seg, (uint32_t)at, 25)) fail("%s has a range that nobody declares", names[i]);
        if (said && value != AP_POLICY_round_robin) fail("%s is balanced by %llu", names[i], (unsigned long long)value);
        if (over && said != (i == 0)) fail("%s %s what it has declared", names[i], said ? "keeps" : "has lost");
        if (at < 0 || !ap_term_read(survivor.seg, (uint32_t)at, AP_TERM_rules, &value)) continue;
        if (!ap_rules_of(survivor.seg, (uint32_t)at, &rules)) fail("%s has rules that nobody can read", names[i]);
        else if (!same_rules(&rules, &ruled[i > 0])) fail("%s has %u rules that nobody declares", names[i], rules.count);
        if (ap_load_relaxed(&ap_capability_at(survivor.seg, (uint32_t)at)->rules) != 1)
            fail("%s has declared rules, and does not say so", names[i]);
    }
}

/* The first who declares these. */
void run_enter_rules(void)
{
    uint32_t set;

    actor.result = ap_rules_intern(actor.seg, &ruled[0], &set);
}

void other_enter_rules(void)
{
    if (ap_rules_intern(survivor.seg, &ruled[0], &survivor.count) < 0)
        fail("rules cannot be entered while somebody else is about to");
}

void before_same_rules(bool over)
{
    struct ap_rules rules;
    uint32_t set;

    (void)over;
    if (ap_rules_intern(survivor.seg, &ruled[0], &set) < 0 || set != survivor.count)
        fail("rules have another set now, though somebody has entered them");
    else if (!ap_rules_read(survivor.seg, set, &rules) || !same_rules(&rules, &ruled[0])) fail("the set says something else");
    survivor.count = 0;
}

/* ---- a refused caller, and one whose task goes elsewhere --------------------------------------------------------- */

static void rule_echo(const struct ap_rules *rules)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4), set;
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0};

    if (ap_rules_intern(survivor.seg, rules, &set) < 0) exit(2);
    said[AP_TERM_rules] = set + UINT64_C(1);
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, echo_at, said, &told);
}

void image_denied(void)
{
    rule_echo(&ruled[1]);
}

void run_delegate_denied(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) != APIARY_EFORBIDDEN) _exit(26);
}

/* Nobody offers "other", and "echo" stands in for it. */
void image_stands_in(void)
{
    static const struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_FALLBACK, .to = "echo"}}};
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0};
    uint32_t other_at, set;

    if (ap_capability_intern(survivor.seg, "other", &other_at) < 0 || ap_rules_intern(survivor.seg, &rules, &set) < 0) exit(2);
    said[AP_TERM_rules] = set + UINT64_C(1);
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, other_at, said, &told);
}

/* Whoever asks for "other" asks "echo" first. */
void image_gated(void)
{
    static const struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_VIA, .to = "echo"}}};
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0};
    uint32_t other_at, set;

    if (ap_capability_intern(survivor.seg, "other", &other_at) < 0 || ap_rules_intern(survivor.seg, &rules, &set) < 0) exit(2);
    said[AP_TERM_rules] = set + UINT64_C(1);
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, other_at, said, &told);
}

void run_delegate_stand_in(void)
{
    if (apiary_delegate(actor.api, "other", "work", 4, NULL, &actor.task) != 0) _exit(28);
}

void after_denied(bool over)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);

    (void)over;
    if (ap_load_relaxed(&ap_terms_at(survivor.seg, echo_at)->refused) > 1) fail("one caller was refused more than once");
}
