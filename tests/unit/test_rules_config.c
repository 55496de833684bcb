/* The rules of a capability in the configuration: what they become, and what is refused, with its line. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/terms_config.h"

static const char *const offers[] = {"work", NULL};

static int parse(const char *text, struct ap_rules *ret, struct ap_config_error *error)
{
    struct ap_terms *terms = NULL;
    struct ap_rules *rules = NULL;
    int r = ap_terms_parse("worker", text, offers, &terms, &rules, error);

    if (r == 0) *ret = rules[0];
    free(terms);
    free(rules);
    return r;
}

Test(rules_config, each_service_is_a_rule)
{
    static const char text[] = "work:\n"
                               "  rules:\n"
                               "    - allow: [a, b]\n"
                               "    - {deny: c}\n"
                               "    - {from: [d, e], prefer: f}\n"
                               "    - {forbid: [g]}\n"
                               "    - fallback: other\n"
                               "    - via: gate\n";
    static const char *const words[] = {"allow a",        "allow b",  "deny c",        "prefer f for d",
                                        "prefer f for e", "forbid g", "fallback other",
                                        "via gate"};
    struct ap_config_error error;
    struct ap_rules rules;

    cr_assert_eq(parse(text, &rules, &error), 0, "%s", error.text);
    cr_assert_eq(rules.count, sizeof words / sizeof words[0]);
    for (uint32_t i = 0; i < rules.count; i++) {
        char shown[160];

        ap_rule_print(&rules.list[i], shown, sizeof shown);
        cr_expect_str_eq(shown, words[i]);
    }
    cr_expect(ap_rules_valid(&rules));
    cr_assert_eq(parse("work: {balance: round_robin}", &rules, &error), 0);
    cr_expect_eq(rules.count, 0);
    cr_assert_eq(parse("work: {rules: []}", &rules, &error), 0);
    cr_expect_eq(rules.count, 0);
}

Test(rules_config, refused_with_the_line)
{
    static const struct { const char *rules, *says; } rows[] = {
        {"\n - {allow: [A]}", "terms of worker:3: allow: 'A' is not the name of a service"},
        {"\n - {allow: a}\n - {alow: b}", "terms of worker:4: alow: unknown key"},
        {"\n - {from: a}", "terms of worker:3: rules: expected allow, deny, prefer, forbid, fallback or via"},
        {"\n - {allow: a, deny: b}", "terms of worker:3: deny: the rule says allow as well; give each a rule of its own"},
        {"\n - {allow: a, from: b}", "terms of worker:3: from: it goes with prefer and forbid; allow names the callers itself"},
        {"\n - {allow: []}", "terms of worker:3: allow: expected at least one service"},
        {"\n - {prefer: a, from: []}", "terms of worker:3: from: expected at least one service"},
        {"\n - {prefer: a, from: 'b c'}", "terms of worker:3: from: 'b c' is not the name of a service"},
        {"\n - {allow: a}\n - {deny: a}", "terms of worker:4: deny: work says 'allow a' as well; expected one of them"},
        {"\n - {forbid: a}\n - {prefer: a, from: b}", "terms of worker:4: prefer: work says 'forbid a' as well"},
        {"\n - {fallback: work}", "terms of worker:3: fallback: work cannot stand in for itself"},
        {"\n - {fallback: 'no way'}", "terms of worker:3: fallback: 'no way' is not a capability name"},
        {"\n - {fallback: a}\n - {fallback: b}", "terms of worker:4: fallback: work has a already; expected one of them"},
        {"\n - {fallback: a, from: b}", "terms of worker:3: from: it goes with prefer and forbid; fallback is for all callers"},
        {"\n - {via: work}", "terms of worker:3: via: work cannot have its tasks from itself"},
        {"\n - {via: a}\n - {via: b}", "terms of worker:4: via: work has a already; expected one of them"},
        {"\n - {via: a, from: b}", "terms of worker:3: from: it goes with prefer and forbid; via is for all callers"},
        {" yes", "terms of worker:2: rules: 'yes' is not allowed; expected a list of mappings"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_config_error error = {.text = ""};
        struct ap_rules rules;
        char text[256];

        snprintf(text, sizeof text, "work:\n rules:%s\n", rows[i].rules);
        cr_expect_eq(parse(text, &rules, &error), APIARY_ECONFIG, "%s", text);
        cr_expect(strncmp(error.text, rows[i].says, strlen(rows[i].says)) == 0, "%s: %s", text, error.text);
    }
}

Test(rules_config, more_than_there_is_room_for)
{
    struct ap_config_error error = {.text = ""};
    struct ap_rules rules;
    char text[1024] = "work: {rules: [{allow: [a0";

    for (uint32_t i = 1; i < AP_RULES_MAX; i++) snprintf(text + strlen(text), sizeof text - strlen(text), ", a%u", i);
    strcat(text, "]}]}");
    cr_expect_eq(parse(text, &rules, &error), 0, "%s", error.text);
    cr_expect_eq(rules.count, AP_RULES_MAX);
    text[strlen(text) - 4] = '\0';
    strcat(text, ", b]}]}");
    cr_expect_eq(parse(text, &rules, &error), APIARY_ECONFIG);
    cr_expect(strstr(error.text, "rules: work has more than 32") != NULL, "%s", error.text);
}
