/* Options by their names and texts, and that the agents which delegate know the same ones. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/apiary.h"
#include "core/apiary/kinds.h"
#include "core/ops.h"
#include "core/text.h"

TestSuite(option, .timeout = TEST_LIMIT);

static int set(apiary_delegate_options_t *o, const char *name, const char *text)
{
    o->struct_size = sizeof *o;
    return apiary_option_set(o, name, text);
}

Test(option, each_is_set_by_its_name)
{
    apiary_delegate_options_t o = {.flags = 0};

    cr_expect_eq(set(&o, "timeout", "1.5s"), 0);
    cr_expect_eq(o.timeout, 1500000000u);
    cr_expect_eq(set(&o, "start_to_close", "20ms"), 0);
    cr_expect_eq(set(&o, "heartbeat", "7"), 0, "ms where no unit is said");
    cr_expect_eq(set(&o, "schedule-to-start", "2m"), 0);
    cr_expect(o.start_to_close == 20000000 && o.heartbeat == 7000000 && o.schedule_to_start == UINT64_C(120000000000));
    cr_expect_eq(set(&o, "wait_for_provider", "true"), 0);
    cr_expect_eq(o.flags, APIARY_WAIT_FOR_PROVIDER);
    cr_expect_eq(set(&o, "wait-for-provider", "false"), 0);
    cr_expect_eq(o.flags, 0);
    cr_expect_eq(set(&o, "parent-close", "abandon"), 0);
    cr_expect_eq(o.parent_close, APIARY_PARENT_ABANDON);
    cr_expect_eq(set(&o, "parent_close", "request_cancel"), 0);
    cr_expect_eq(o.parent_close, APIARY_PARENT_REQUEST_CANCEL);
    cr_expect_eq(set(&o, "hedge", "20ms"), 0);
    cr_expect_eq(o.hedge, 20000000);
    cr_expect_eq(set(&o, "hedge", "p95"), 0);
    cr_expect_eq(o.hedge, APIARY_HEDGE_P95);
    cr_expect_eq(set(&o, "priority", "urgent"), 0);
    cr_expect_eq(o.priority, APIARY_PRIORITY_URGENT);
    cr_expect_eq(set(&o, "priority", "low"), 0);
    cr_expect_eq(o.priority, APIARY_PRIORITY_LOW);
    cr_expect_eq(set(&o, "provider", "120"), 0);
    cr_expect_eq(o.provider, 120);
    cr_expect_eq(set(&o, "provider", "9"), 0);
    cr_expect_eq(o.provider, 9);
    cr_expect_eq(set(&o, "key", "k"), 0);
    cr_expect_eq(o.key, apiary_key("k", 1));
    cr_expect_eq(set(&o, "retry", "5,backoff=100ms,multiplier=1.5,cap=10s,never=7,never=8"), 0);
    cr_expect(o.retry.max_attempts == 5 && o.retry.backoff == 100 && o.retry.multiplier == 150 && o.retry.cap == 10000 &&
              o.retry.never[0] == 7 && o.retry.never[1] == 8);
    cr_expect_eq(set(&o, "retry", "2"), 0);
    cr_expect(o.retry.backoff == 0 && o.retry.never[0] == 0, "what it said before is gone");
}

/* A date is a time of this machine's clock, and one that is past is this moment. */
Test(option, a_date)
{
    apiary_delegate_options_t o = {.due_at = 0};
    uint64_t before = ap_ops_system.now();

    cr_expect_eq(set(&o, "due_at", "2001-02-03T04:05:06Z"), 0);
    cr_expect(o.due_at >= before && o.due_at <= ap_ops_system.now());
    cr_expect_eq(set(&o, "due_at", "1970-01-01T00:00:00Z"), 0, "the first of all");
    cr_expect(o.due_at >= before && o.due_at <= ap_ops_system.now());
    cr_expect_eq(set(&o, "due_at", "2101-02-03T04:05:06"), 0);
    cr_expect(o.due_at > before + UINT64_C(70) * 365 * 86400 * 1000000000);
    cr_expect_eq(set(&o, "due_at", "2101-02-03T04:05:06ZZ"), APIARY_EINVAL);
    cr_expect_eq(set(&o, "due_at", "2101-02-03T04:05:06+01"), APIARY_EINVAL);
    cr_expect_eq(set(&o, "due_at", "2101-02-03"), APIARY_EINVAL);
}

Test(option, what_cannot_be_leaves_them_as_they_were)
{
    static const char *const wrong[][2] = {{"timeout", "soon"}, {"timeout", "0s"}, {"timeout", "1.s.2"}, {"timeout", ""},
                                           {"hops", "0"}, {"hops", "-1"}, {"hops", "+3"}, {"hops", " 3"},
                                           {"hops", ""}, {"retry", "3,multiplier="}, {"retry", "3,multiplier=x"},
                                           {"retry", "3,never="},
                                           {"retry", "33"}, {"retry", "3,backoff=0ms"},
                                           {"retry", "3,backoff=1s,backoff=2s"}, {"retry", "3,cap=1s,cap=1s"},
                                           {"retry", "3,multiplier=2,multiplier=3"},
                                           {"retry", "3,never=1,never=2,never=3,never=4,never=5"}, {"wait_for_provider", "yes"},
                                           {"parent_close", "terminated"}, {"parent_close", ""}, {"key", ""}, {"due_at", "today"},
                                           {"traceparent", "00"}, {"hedge", "p94"}, {"priority", ""}, {"priority", "1"},
                                           {"provider", ""}, {"provider", "0"},
                                           {"provider", "12x"}, {"provider", "x"}, {"provider", "-1"}, {"provider", ":1"},
                                           {"provider", "99999999999999999999"}, {"timeout", "400000000h"}};
    apiary_delegate_options_t o = {.timeout = 3, .hops = 5, .retry = {.max_attempts = 2}, .key = 9}, before = o;

    before.struct_size = sizeof before;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(set(&o, wrong[i][0], wrong[i][1]), APIARY_EINVAL, "%s %s", wrong[i][0], wrong[i][1]);
    cr_expect_arr_eq(&o, &before, sizeof o);
    cr_expect_eq(set(&o, "urgency", "3"), APIARY_ENOTSUP);
    cr_expect_eq(set(&o, "", "3"), APIARY_ENOTSUP);
    cr_expect_eq(set(&o, NULL, "3"), APIARY_EINVAL);
    cr_expect_eq(set(&o, "hops", NULL), APIARY_EINVAL);
    o.struct_size = 24;
    cr_expect_eq(apiary_option_set(&o, "hops", "3"), 0, "its first version ends there");
    cr_expect_eq(o.hops, 3);
    cr_expect_eq(apiary_option_set(&o, "key", "3"), APIARY_ENOTSUP);
    o.struct_size = 7;
    cr_expect_eq(apiary_option_set(&o, "hops", "3"), APIARY_EINVAL);
}

Test(option, each_has_a_name_and_a_sentence)
{
    size_t n = 0;

    for (const char *name; (name = apiary_option_name(n)) != NULL; n++) cr_expect_not_null(apiary_option_what(name), "%s", name);
    cr_expect_gt(n, 10);
    cr_expect_null(apiary_option_what("urgency"));
    cr_expect_null(apiary_option_what(NULL));
}

static bool key_of(const apiary_agent_kind_t *kind, const char *option)
{
    for (const apiary_agent_key_t *k = kind->keys; k != NULL && k->name != NULL; k++) {
        char name[48];

        snprintf(name, sizeof name, "%s", k->name);
        for (char *c = name; *c != '\0'; c++)
            if (*c == '_') *c = '-';
        if (k->type == 'o' && strcmp(name, option) == 0) return true;
    }
    return false;
}

/* But for what only one task can have, and for what an agent could not fetch. */
Test(option, each_is_a_key_of_every_agent_that_delegates)
{
    static const char *const kinds[] = {"gateway", "batch", "workflow", "ai_cache"};
    static const char *const others[] = {"traceparent", "due-at", "keep", "provider"}; /* unknown before, or of no use */
    const char *name;

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const apiary_agent_kind_t *kind = apiary_kind(kinds[k]);

        cr_assert_not_null(kind);
        for (size_t i = 0; (name = apiary_option_name(i)) != NULL; i++) {
            bool other = false;
            for (size_t o = 0; o < sizeof others / sizeof others[0]; o++) other = other || strcmp(name, others[o]) == 0;
            cr_expect_neq(key_of(kind, name), other, "%s: %s", kinds[k], name);
        }
    }
}
