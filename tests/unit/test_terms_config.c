/* What an agent's text says of its capabilities' terms, and what of it is refused with which words. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/terms_config.h"

TestSuite(terms_config, .timeout = TEST_LIMIT);

static const char *const offers[] = {"one", "two@2", "three", NULL};

static int parse(const char *text, struct ap_terms **ret, struct ap_config_error *error)
{
    *ret = NULL;
    memset(error, 0, sizeof *error);
    struct ap_rules *rules = NULL;
    int r = ap_terms_parse("worker", text, offers, ret, &rules, error);

    free(rules);
    return r;
}

static void expect_terms(const struct ap_terms *t, uint64_t balance, uint64_t slow_start, uint64_t eject_after)
{
    cr_expect(t->balance == balance && t->slow_start == slow_start && t->eject_after == eject_after, "%llu %llu %llu",
              (unsigned long long)t->balance, (unsigned long long)t->slow_start, (unsigned long long)t->eject_after);
}

Test(terms_config, each_capability_has_its_own)
{
    struct ap_config_error error;
    struct ap_terms *t;

    cr_assert_eq(parse("three: {balance: round_robin, slow_start: 10s}\none: {eject_after: 0}\n", &t, &error), 0);
    expect_terms(&t[0], 0, 0, 1);
    expect_terms(&t[1], 0, 0, 0);
    expect_terms(&t[2], AP_POLICY_round_robin + 1, 10000000001, 0);
    free(t);
    cr_assert_eq(parse("two@2: {eject_after: 1000, balance: least_loaded}", &t, &error), 0);
    expect_terms(&t[0], 0, 0, 0);
    expect_terms(&t[1], AP_POLICY_least_loaded + 1, 0, 1001);
    expect_terms(&t[2], 0, 0, 0);
    free(t);
    cr_assert_eq(parse("{}", &t, &error), 0);
    for (int i = 0; i < 3; i++) expect_terms(&t[i], 0, 0, 0);
    free(t);
}

Test(terms_config, no_text)
{
    struct ap_config_error error;
    struct ap_terms *t = NULL;
    struct ap_rules *rules = NULL;

    cr_expect_eq(ap_terms_parse("worker", NULL, offers, &t, &rules, &error), 0);
    cr_expect_null(t);
}

Test(terms_config, each_policy_by_its_word)
{
    for (uint64_t i = 0; i < AP_POLICIES; i++) {
        struct ap_config_error error;
        struct ap_terms *t;
        char text[80];

        snprintf(text, sizeof text, "one: {balance: %s}", ap_policy_name(i));
        cr_assert_eq(parse(text, &t, &error), 0, "%s", text);
        expect_terms(&t[0], i + 1, 0, 0);
        free(t);
    }
}

/* The words of `bare` come before its numbers. */
Test(terms_config, a_word_or_a_number)
{
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {{"newest", AP_BARE_NEWEST}, {"error", AP_BARE_ERROR}, {"1", AP_BARE_MAJOR(1)}, {"12", AP_BARE_MAJOR(12)},
                {"345", AP_BARE_MAJOR(345)}, {"65535", AP_BARE_MAJOR(65535)}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_config_error error;
        struct ap_terms *t;
        char text[80];

        snprintf(text, sizeof text, "two@2: {bare: %s}", rows[i].text);
        cr_assert_eq(parse(text, &t, &error), 0, "%s", text);
        cr_expect_eq(t[1].bare, rows[i].value + 1, "%s: %llu", text, (unsigned long long)t[1].bare);
        free(t);
    }
}

Test(terms_config, a_hedge_is_a_time_or_a_word)
{
    static const struct {
        const char *said;
        uint64_t value;
    } rows[] = {{"p95", APIARY_HEDGE_P95}, {"1ms", 1000000}, {"20", 20000000}, {"72h", AP_TERM_SPAN}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_config_error error;
        struct ap_terms *t;
        char text[80];

        snprintf(text, sizeof text, "one: {hedge: %s, idempotent: true, max_attempts: 1}", rows[i].said);
        cr_assert_eq(parse(text, &t, &error), 0, "%s: %s", text, error.text);
        cr_expect_eq(t[0].hedge, rows[i].value + 1, "%s", text);
        ap_term_print(AP_TERM_hedge, rows[i].value, text, sizeof text);
        cr_expect_str_eq(text, i == 2 ? "20ms" : rows[i].said);
        free(t);
    }
}

Test(terms_config, what_is_refused)
{
    static const struct {
        const char *text, *words;
        int line;
    } rows[] = {
        {"[one]", "expected a mapping from capabilities to their terms", 1},
        {"one: {}\nfour: {}", "four: agent worker does not offer it", 2},
        {"two: {}", "two: agent worker does not offer it", 1},
        {"one: {balance: rund_robin}",
         "balance: 'rund_robin' is not allowed (did you mean 'round_robin'?); expected one of WORDS", 1},
        {"one: {balance: xyzzyxyzzyxyzzy}", "balance: 'xyzzyxyzzyxyzzy' is not allowed; expected one of WORDS", 1},
        {"one: {}\nthree:\n  eject_after: 1001\n", "eject_after", 3},
        {"one: {eject_after: -1}", "eject_after", 1},
        {"one: {slow_start: 3601s}", "slow_start", 1},
        {"one: {name: x}", "name", 1},
        {"one: {color: red}", "color", 1},
        {"one: 5", "this is a text; expected a mapping (key: value)", 1},
        {"one: {hedge: 20ms}", "hedge: a task may be run twice then; it goes with idempotent: true only", 1},
        {"one: {hedge: p95, idempotent: false}", "hedge: a task may be run twice then; it goes with idempotent: true only", 1},
        {"one: {hedge: 20ms, idempotent: true, max_attempts: 2}", "hedge: a task that is hedged is not tried again", 1},
        {"one: {hedge: p99, idempotent: true}",
         "hedge: 'p99' is not allowed; expected a duration of 1ms or more, such as 20ms, or p95", 1},
        {"one: {hedge: 999us, idempotent: true}", "hedge: '999us' is not allowed; expected a duration", 1},
        {"one: {hedge: 73h, idempotent: true}", "hedge: '73h' is not allowed; expected a duration", 1},
        {"one: {hedge: [p95], idempotent: true}", "hedge: 'a list' is not allowed", 1},
        {"one: {hedge: p95, idempotent: true, stateful: true}", "hedge: the tasks of a stateful capability have one place", 1},
        {"one: {", "not valid YAML", 2},
    };
    char known[256] = "", wanted[512];

    for (uint64_t i = 0; i < AP_POLICIES; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "", ap_policy_name(i));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *at = strstr(rows[i].words, "WORDS");
        struct ap_config_error error;
        struct ap_terms *t;

        snprintf(wanted, sizeof wanted, "%.*s%s", (int)(at != NULL ? at - rows[i].words : 500), rows[i].words,
                 at != NULL ? known : "");
        cr_expect_eq(parse(rows[i].text, &t, &error), APIARY_ECONFIG, "row %zu", i);
        cr_expect_null(t);
        cr_expect_not_null(strstr(error.text, wanted), "row %zu: %s", i, error.text);
        snprintf(wanted, sizeof wanted, "terms of worker:%d: ", rows[i].line);
        cr_expect_eq(strncmp(error.text, wanted, strlen(wanted)), 0, "row %zu: %s", i, error.text);
    }
}
