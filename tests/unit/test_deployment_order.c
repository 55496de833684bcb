/* tests/unit/test_deployment_order.c - what services wait for: the order that comes of it, and what contradicts itself. */
#include "tests/unit/deployment_fixture.h"

TestSuite(deployment_order, .init = set_up, .fini = tear_down);

#define OF(service, more) "  - {service: " service ", agents: [{name: a, kind: echo, capabilities: c}]" more "}\n"
#define ON(service, list) OF(service, ", depends_on: " list)
#define PHASE(name, list) "  - {name: " name ", services: " list "}\n"

/* The services in the order of their starts. */
static const char *order_of(const struct ap_deployment *d)
{
    static char ret[256];

    ret[0] = '\0';
    for (size_t i = 0; i < d->swarm_count; i++) {
        strcat(ret, i > 0 ? " " : "");
        strcat(ret, d->swarms[d->order[i]].service);
    }
    return ret;
}

static const char *order(const char *text)
{
    struct ap_deployment *d = load(text);
    const char *ret = order_of(d);

    ap_deployment_free(d);
    return ret;
}

Test(deployment_order, as_it_stands_in_the_file)
{
    cr_expect_str_eq(order("swarms:\n" OF("b", "") OF("a", "") OF("c", "")), "b a c");
    cr_expect_str_eq(order("swarms:\n" ON("b", "[]") OF("a", "")), "b a");
    cr_expect_str_eq(order("meta_registry: {port: 4200}\n"), "");
}

Test(deployment_order, each_after_what_it_depends_on)
{
    cr_expect_str_eq(order("swarms:\n" ON("b", "a") OF("c", "") OF("a", "")), "c a b");
    cr_expect_str_eq(order("swarms:\n" ON("d", "[c, b]") ON("c", "[a]") ON("b", "[a]") OF("a", "")), "a c b d");
    cr_expect_str_eq(order("swarms:\n" ON("a", "[d]") ON("b", "[a]") ON("c", "[b]") OF("d", "")), "d a b c");
}

Test(deployment_order, phases_one_after_another)
{
    cr_expect_str_eq(order("swarms:\n" OF("a", "") OF("b", "") OF("c", "") "phases:\n" PHASE("x", "c") PHASE("y", "[b, a]")),
                     "c a b");
    cr_expect_str_eq(order("swarms:\n" ON("a", "[b, c]") OF("b", "") OF("c", "") OF("d", "") "phases:\n" PHASE("x", "c")
                           PHASE("y", "[a, b]")), "d c b a");
}

Test(deployment_order, what_waits_for_what)
{
    struct ap_deployment *d = load("swarms:\n" ON("a", "[c, b]") OF("b", "") OF("c", "") OF("d", "") "phases:\n"
                                   PHASE("x", "[c, b]") PHASE("y", "[a]"));
    const struct ap_deployment_swarm *a = &d->swarms[0], *b = &d->swarms[1], *none = &d->swarms[3];

    cr_assert_eq(a->depends_count, 2);
    cr_expect_str_eq(a->depends_on[0], "b");
    cr_expect_str_eq(a->depends_on[1], "c");
    cr_expect_eq(a->phase, 2);
    cr_expect_str_eq(a->in_phase->name, "y");
    cr_expect_eq(none->phase, 0);
    cr_expect_null(none->in_phase);
    cr_expect(ap_deployment_depends(a, b) && ap_deployment_waits(a, b));
    cr_expect(!ap_deployment_depends(b, a) && !ap_deployment_waits(b, a));
    cr_expect(!ap_deployment_waits(a, none) && !ap_deployment_waits(none, a), "nobody waits for one in no phase, nor does it wait");
    ap_deployment_free(d);
    d = load("swarms:\n" OF("a", "") OF("b", "") "phases:\n" PHASE("x", "b") PHASE("y", "a"));
    cr_expect(ap_deployment_waits(&d->swarms[0], &d->swarms[1]) && !ap_deployment_depends(&d->swarms[0], &d->swarms[1]));
    ap_deployment_free(d);
}

Test(deployment_order, refused_dependencies)
{
    static const struct row rows[] = {
        {"swarms:\n" ON("a", "[a]"), "2: depends_on: a would wait for itself; expected other services"},
        {"swarms:\n" ON("abc", "[abd]") OF("abcd", ""),
         "2: depends_on: 'abd' is no service of this file (did you mean 'abc'?); expected some of abc, abcd"},
        {"swarms:\n" ON("a", "[b, zzzzzz]") OF("b", ""),
         "2: depends_on: 'zzzzzz' is no service of this file; expected some of a, b"},
        {"swarms:\n" OF("b", "") "  - service: a\n" AGENTS "    depends_on:\n      - b\n      - b\n",
         "7: depends_on: b is there twice; expected each service once"},
        {"swarms:\n" ON("a", "[b]") ON("b", "[a]"),
         "2: depends_on: a comes back to itself: a, b, a; expected one of them to wait for none of the others"},
        {"swarms:\n" ON("x", "[a]") OF("y", "") ON("b", "[y, c]") ON("c", "[a]") ON("a", "[b]"),
         "4: depends_on: b comes back to itself: b, c, a, b; expected one of them to wait for none of the others"},
    };

    ALL_REFUSED(rows);
}

Test(deployment_order, refused_phases)
{
    static const struct row rows[] = {
        {"swarms:\n" OF("a", "") "phases:\n" PHASE("A", "a"), "4: name: 'A' is not a name" NAME},
        {"swarms:\n" OF("a", "") "phases:\n" PHASE("\"2\"", "a"), "4: name: '2' is not a name" NAME},
        {"swarms:\n" OF("a", "") OF("b", "") "phases:\n" PHASE("x", "a") PHASE("x", "b"),
         "6: name: x is already that of a phase (line 5); expected another one"},
        {"swarms:\n" OF("a", "") "phases:\n" PHASE("x", "[a, q]"),
         "4: services: 'q' is no service of this file; expected some of a"},
        {"phases:\n" PHASE("x", "q"), "2: services: 'q' is no service of this file; expected one, and there is none"},
        {"swarms:\n" OF("a", "") "phases:\n" PHASE("x", "[a, a]"), "4: services: a is there twice; expected each service once"},
        {"swarms:\n" OF("a", "") OF("b", "") "phases:\n" PHASE("x", "[a, b]") PHASE("y", "[a]"),
         "6: services: a is in phase x already (line 5); expected it in one phase"},
        {"swarms:\n" OF("a", "") "phases:\n  - {name: x, services: []}\n",
         "4: services: is an empty list; expected at least one item: services that are started in it"},
    };

    ALL_REFUSED(rows);
}

Test(deployment_order, refused_dependencies_on_a_later_phase)
{
    static const struct row rows[] = {
        {"swarms:\n" ON("a", "[b]") OF("b", "") "phases:\n" PHASE("x", "a") PHASE("y", "b"),
         "2: depends_on: b is of phase y, which begins after phase x, that of a; expected one that is not started later"},
        {"swarms:\n" ON("a", "[b]") OF("b", "") "phases:\n" PHASE("x", "b"),
         "2: depends_on: b is of phase x, and a is of none and so started with any; expected a in that phase or a later one"},
    };

    ALL_REFUSED(rows);
}

#define PHASED "swarms:\n" ON("c", "[b]") OF("b", "") OF("a", "") OF("d", "") "phases:\n" PHASE("one", "a") \
    PHASE("two", "b") PHASE("three", "c")

static void expect_selected(const char *phase, const char *services)
{
    struct ap_deployment *d = load(PHASED);

    cr_expect_eq(ap_deployment_select(d, phase, &error), 0, "%s: %s", phase, error.text);
    cr_expect_str_eq(order_of(d), services);
    cr_expect_eq(ap_deployment_swarm(d, "c") == NULL, strchr(services, 'c') == NULL);
    cr_expect_eq(d->phase_count, 3, "they are still numbered as in the file");
    ap_deployment_free(d);
}

Test(deployment_order, phases_up_to_one)
{
    expect_selected("1", "d a");
    expect_selected("one", "d a");
    expect_selected("2", "d a b");
    expect_selected("two", "d a b");
    expect_selected("3", "d a b c");
    expect_selected("three", "d a b c");
}

static void expect_no_phase(const char *phase)
{
    struct ap_deployment *d = load(PHASED);
    char wanted[256];

    snprintf(wanted, sizeof wanted, "%s:6: phases: there is no phase '%s'; expected 1 to 3, or a name: one, two, three", path,
             phase);
    cr_expect_eq(ap_deployment_select(d, phase, &error), APIARY_ECONFIG);
    cr_expect_str_eq(error.text, wanted);
    cr_expect_eq(ap_deployment_select(d, phase, NULL), APIARY_ECONFIG);
    cr_expect_str_eq(order_of(d), "d a b c", "nothing is changed");
    ap_deployment_free(d);
}

Test(deployment_order, phases_that_are_not_there)
{
    expect_no_phase("0");
    expect_no_phase("4");
    expect_no_phase("2x");
    expect_no_phase("");
    expect_no_phase("four");
    expect_no_phase("18446744073709551617");
    struct ap_deployment *d = load("swarms:\n" OF("a", ""));
    cr_expect_eq(ap_deployment_select(d, "1", &error), APIARY_ECONFIG);
    cr_expect(strstr(error.text, ":1: phases: this file has none, and so no phase '1'") != NULL, "%s", error.text);
    ap_deployment_free(d);
}
