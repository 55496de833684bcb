/* tests/crash/rules.c - rules of capabilities: whoever sees a provider sees all that it has declared, or all that stood there. */
#include "sweep.h"

#include <unistd.h>

#include "registry/routing/bounds.h"
#include "registry/routing/rule_sets.h"

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

/* ---- sets: who uses one, and when its row is another's ----------------------------------------------------------- */

static uint64_t side_holds(const struct side *s, const struct ap_rules *rules)
{
    uint64_t set = 0;

    if (ap_rules_hold(s->seg, s->lane.index, rules, &set) < 0) set = UINT64_MAX;
    return set;
}

/* The first who declares these. */
void run_enter_rules(void)
{
    actor.seen = side_holds(&actor, &ruled[0]);
}

static void other_enter_rules(void)
{
    survivor.seen = side_holds(&survivor, &ruled[0]);
    if (survivor.seen == UINT64_MAX) fail("rules cannot be entered while somebody else is about to");
}

/* They may have two. */
static void before_same_rules(bool over)
{
    struct ap_rules rules;

    if (!ap_rules_read(survivor.seg, survivor.seen, &rules) || !same_rules(&rules, &ruled[0])) fail("the set says something else");
    if (over && !ap_rules_same(survivor.seg, actor.seen, survivor.seen)) fail("the two do not have the same rules");
    ap_rules_let_go(survivor.seg, survivor.lane.index);
}

/* Rules that nobody declares, of a number. */
static struct ap_rules rules_spare(uint32_t number)
{
    struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_DENY}}};

    snprintf(rules.list[0].from, sizeof rules.list[0].from, "spare%u", number);
    return rules;
}

/* As many as there is room for beside those that are in use, one after the other: each row goes to others that can. */
static void spares_enter(uint32_t first)
{
    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_RULES].count; i++) {
        const struct ap_rules rules = rules_spare(first + i);

        side_holds(&survivor, &rules);
        ap_rules_let_go(survivor.seg, survivor.lane.index);
    }
}

static void declares(const struct side *s, const struct ap_rules *rules)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(s->seg, "echo", 4);
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0}, set = side_holds(s, rules);

    if (set == UINT64_MAX) return;
    said[AP_TERM_rules] = set + 1;
    ap_terms_declare(s->seg, s->lane.index, 0, echo_at, said, &told);
    ap_rules_let_go(s->seg, s->lane.index);
}

/* Each row has rules that nobody uses. */
static void image_spare_rules(void)
{
    spares_enter(0);
}

/* One row has those that "echo" declares. */
void image_used_rules(void)
{
    declares(&survivor, &ruled[1]);
    spares_enter(0);
}

/* What was declared is there; what is not in use goes to others, whatever was left half done. */
void before_used_rules(bool over)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    struct ap_rules rules;

    (void)over;
    if (!ap_rules_of(survivor.seg, echo_at, &rules) || !same_rules(&rules, &ruled[1])) fail("the rules that are in use have gone");
}

/* The dead lane holds nothing: beside the set that is in use there is room for all others at the same time. */
void after_used_rules(bool over)
{
    uint32_t sets = (uint32_t)survivor.seg->sections[AP_SECTION_RULES].count, n = 0;

    before_used_rules(over);
    for (uint32_t i = 0; i < sets; i++) {
        const struct ap_rules rules = rules_spare(100 + i);

        n += side_holds(&survivor, &rules) != UINT64_MAX;
    }
    if (n != sets - 1) fail("%u sets of %u have room beside one that is in use", n, sets);
    ap_rules_let_go(survivor.seg, survivor.lane.index);
}

static void run_declare_rules(void)
{
    declares(&actor, &ruled[1]);
}

/* Somebody needs rows for others while the actor is about to declare what it has entered. */
static void other_spare_rules(void)
{
    spares_enter(200);
}

/* The actor needs a row, and the survivor declares what is in the first that can be given away. */
static void other_use_spare(void)
{
    const struct ap_rules rules = rules_spare(0);

    survivor.count = 1;
    declares(&survivor, &rules);
}

/* What the actor was about to declare is in force as a whole, or not at all. */
static void before_declare_rules(bool over)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    struct ap_rules rules;
    uint64_t value;
    bool is = ap_term_read(survivor.seg, echo_at, AP_TERM_rules, &value);

    if (over && !is) fail("rules are not declared, at the end");
    if (is && (!ap_rules_of(survivor.seg, echo_at, &rules) || !same_rules(&rules, &ruled[1])))
        fail("rules were declared, and the set says something else");
}

static void before_use_spare(bool over)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    const struct ap_rules mine = rules_spare(0);
    struct ap_rules rules;

    if (over && actor.seen == UINT64_MAX) fail("there is no room for rules, though there is one set in use");
    if (survivor.count == 1 && (!ap_rules_of(survivor.seg, echo_at, &rules) || !same_rules(&rules, &mine)))
        fail("rules were declared, and are gone");
    survivor.count = 0;
}

/* The actor declares what it finds in a row, and the survivor needs all rows that can be given away. */
static void run_use_rules(void)
{
    const struct ap_rules rules = rules_spare(0);

    declares(&actor, &rules);
}

static void before_found_rules(bool over)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    const struct ap_rules found = rules_spare(0);
    struct ap_rules rules;
    uint64_t value;
    bool is = ap_term_read(survivor.seg, echo_at, AP_TERM_rules, &value);

    if (over && !is) fail("rules are not declared, at the end");
    if (is && (!ap_rules_of(survivor.seg, echo_at, &rules) || !same_rules(&rules, &found)))
        fail("rules were declared, and the set says something else");
}

/* The actor asks for the rules of "echo", and they become others meanwhile; the row of the former is another's. */
static void run_ask_rules(void)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(actor.seg, "echo", 4);
    struct ap_rules_asked asked;

    ap_rules_ask(&asked, actor.seg, echo_at, 0);
    actor.result = asked.broken                           ? -1
                   : same_rules(&asked.rules, &ruled[1]) ? 1
                   : same_rules(&asked.rules, &ruled[0]) ? 2
                                                         : -2;
}

static void other_replace_rules(void)
{
    declares(&survivor, &ruled[0]);
    spares_enter(300);
}

static void before_asked_rules(bool over)
{
    if (over && actor.result == -1) fail("there are rules, and they are said to be broken");
    if (over && actor.result == -2) fail("rules that nobody has ever declared");
}

/* ---- a refused caller, and one whose task goes elsewhere --------------------------------------------------------- */

void image_denied(void)
{
    declares(&survivor, &ruled[1]);
}

void run_delegate_denied(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) != APIARY_EFORBIDDEN) _exit(26);
}

static void other_declares(const struct ap_rules *rules)
{
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0}, set = side_holds(&survivor, rules);
    uint32_t other_at;

    if (ap_capability_intern(survivor.seg, "other", &other_at) < 0 || set == UINT64_MAX) exit(2);
    said[AP_TERM_rules] = set + 1;
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, other_at, said, &told);
    ap_rules_let_go(survivor.seg, survivor.lane.index);
}

/* Nobody offers "other", and "echo" stands in for it. */
void image_stands_in(void)
{
    other_declares(&(const struct ap_rules){.count = 1, .list = {{.verb = AP_RULE_FALLBACK, .to = "echo"}}});
}

/* Whoever asks for "other" asks "echo" first. */
void image_gated(void)
{
    other_declares(&(const struct ap_rules){.count = 1, .list = {{.verb = AP_RULE_VIA, .to = "echo"}}});
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

const struct operation kills_rules[] = {
    {.name = "declare_rules", .registry = true, .image = image_spare_rules, .run = run_declare_rules,
     .before = before_declare_rules},
    {.name = "ask_rules", .registry = true, .image = image_used_rules, .run = run_ask_rules, .before = before_asked_rules},
    {.name = NULL},
};

const struct operation pairs_rules[] = {
    {.name = "enter_rules|same_rules", .registry = true, .run = run_enter_rules, .other = other_enter_rules,
     .before = before_same_rules},
    {.name = "reuse_rules|same_rules", .registry = true, .image = image_spare_rules, .run = run_enter_rules,
     .other = other_enter_rules, .before = before_same_rules},
    {.name = "reuse_rules|use_rules", .registry = true, .image = image_spare_rules, .run = run_enter_rules,
     .other = other_use_spare, .before = before_use_spare},
    {.name = "use_rules|reuse_rules", .registry = true, .image = image_spare_rules, .run = run_use_rules,
     .other = other_spare_rules, .before = before_found_rules},
    {.name = "declare_rules|reuse_rules", .registry = true, .image = image_spare_rules, .run = run_declare_rules,
     .other = other_spare_rules, .before = before_declare_rules},
    {.name = "ask_rules|reuse_rules", .registry = true, .image = image_used_rules, .run = run_ask_rules,
     .other = other_replace_rules, .before = before_asked_rules},
    {.name = NULL},
};
