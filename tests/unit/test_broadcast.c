/* A task for one provider and for no other, and one for each provider of a capability, with all their answers and failures. */
#include "registry_fixture.h"

#include "registry/routing/rule_sets.h"
#include "registry/routing/terms.h"

TestSuite(broadcast, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define MOST 4u
static const char *const work[] = {"work", NULL};
static struct worker workers[MOST];

static void enter(uint32_t i)
{
    char name[8];

    snprintf(name, sizeof name, "s%u", i);
    cr_assert_eq(worker_register(&workers[i], name, NULL, "agent", work), 0);
}

static struct apiary_provider rows[MOST];
static apiary_task_t tasks[MOST];
static int errors[MOST];

static int delegate_all(const apiary_delegate_options_t *o, size_t capacity)
{
    memset(rows, 0, sizeof rows);
    rows[0].struct_size = sizeof rows[0];
    for (size_t i = 0; i < MOST; i++) errors[i] = 99;
    return apiary_delegate_all(client, "work", "abc", 3, o, rows, tasks, errors, capacity);
}

static uint64_t number_of(uint32_t i)
{
    apiary_provider_t all[MOST] = {{.struct_size = sizeof all[0]}};
    int n = apiary_discover(client, "work", all, MOST);

    for (int k = 0; k < n; k++)
        if (all[k].service[1] == (char)('0' + i)) return all[k].provider;
    return 0;
}

static apiary_delegate_options_t to(uint64_t provider)
{
    return (apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t), .provider = provider};
}

/* The code of a result, which is released. */
static int code_of(apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int code;

    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    code = result.code;
    if (code == 0) cr_expect(result.size == 3 && memcmp(result.data, "abc", 3) == 0);
    cr_expect_eq(apiary_release(client, &result), 0);
    return code;
}

Test(broadcast, each_provider_answers)
{
    for (uint32_t i = 0; i < 3; i++) {
        enter(i);
        worker_go(&workers[i]);
    }
    cr_assert_eq(delegate_all(NULL, MOST), 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(errors[i], 0);
        cr_expect_eq(rows[i].service[0], 's');
        cr_expect_eq(code_of(tasks[i]), 0);
    }
    for (uint32_t i = 0; i < 3; i++) cr_expect_eq(ap_load_acquire(&workers[i].runs), 1, "%u", i);
    cr_expect_eq(errors[3], 99);
    assert_sound();
    for (uint32_t i = 0; i < 3; i++) worker_stop(&workers[i]);
}

Test(broadcast, nothing_is_delegated_where_there_is_no_room)
{
    enter(0);
    enter(1);
    cr_expect_eq(delegate_all(NULL, 1), 2);
    cr_expect_eq(slots_in_use(), 0);
    cr_expect_eq(errors[0], 99);
    for (uint32_t i = 0; i < 2; i++) worker_stop(&workers[i]);
    cr_expect_eq(delegate_all(NULL, MOST), 0, "both have withdrawn");
}

Test(broadcast, arguments_that_are_not_valid)
{
    apiary_delegate_options_t one = to(1), none = to(0), hedged = {.struct_size = sizeof hedged, .hedge = SECOND};
    apiary_provider_t old = {.struct_size = AP_FIRST_PROVIDER};
    apiary_t *other;
    apiary_attach_options_t reader = {.struct_size = sizeof reader, .read_only = 1};

    enter(0);
    rows[0].struct_size = sizeof rows[0];
    cr_expect_eq(apiary_delegate_all(NULL, "work", "a", 1, NULL, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, NULL, "a", 1, NULL, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", NULL, 1, NULL, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, NULL, NULL, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, NULL, rows, NULL, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, NULL, rows, tasks, NULL, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, NULL, rows, tasks, errors, 0), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, &one, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, &hedged, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, NULL, &old, tasks, errors, 1), APIARY_EINVAL);
    none.struct_size = 3;
    cr_expect_eq(apiary_delegate_all(client, "work", "a", 1, &none, rows, tasks, errors, 1), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_all(client, "never", "a", 1, NULL, rows, tasks, errors, 1), APIARY_ENOCAP);
    cr_assert_eq(apiary_attach(seg_name, &reader, &other), 0);
    cr_expect_eq(apiary_delegate_all(other, "work", "a", 1, NULL, rows, tasks, errors, 1), APIARY_EREADONLY);
    apiary_detach(other);
    cr_expect_eq(slots_in_use(), 0);
    worker_stop(&workers[0]);
}

Test(broadcast, fire_and_forget)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};

    enter(0);
    rows[0].struct_size = sizeof rows[0];
    cr_assert_eq(apiary_delegate_all(client, "work", "abc", 3, &o, rows, NULL, errors, MOST), 1);
    cr_expect_eq(errors[0], 0);
    worker_go(&workers[0]);
    while (ap_load_acquire(&workers[0].runs) == 0) {}
    worker_stop(&workers[0]);
}

/* Its provider leaves: the task goes to nobody else, and ends. */
Test(broadcast, a_task_for_one_provider_is_moved_to_no_other)
{
    apiary_delegate_options_t o;
    apiary_task_t task, any;

    enter(0);
    o = to(number_of(0));
    cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, &task), 0);
    cr_assert_eq(apiary_delegate(client, "work", "abc", 3, NULL, &any), 0);
    enter(1);
    worker_go(&workers[1]);
    worker_stop(&workers[0]);
    cr_expect_eq(code_of(any), 0, "the other one has it now");
    worker_stop(&workers[1]);
    cr_assert_eq(AP_WORD_STATE(ap_load_acquire(&ap_slot_at(client->seg, task.slot)->word)), AP_TASK_FAILED);
    cr_expect_eq(code_of(task), APIARY_ENOPROVIDER);
    cr_expect_eq(ap_load_acquire(&workers[1].runs), 1);
    cr_expect_eq(slots_in_use(), 0);
    assert_sound();
}

/* Who polls is told at once, and so is whoever sleeps on the bell: nobody would ring it again before the deadline. */
Test(broadcast, the_end_of_a_provider_is_told_to_who_polls)
{
    uint32_t *bell = &client->anchor->lane.lane->bell, seen;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_delegate_options_t o;
    apiary_task_t task;

    enter(0);
    enter(1);
    for (uint64_t delay = 0; delay < 2; delay++) {
        if (delay > 0) enter(0);
        o = to(number_of(0));
        o.delay = delay;
        cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, &task), 0);
        seen = ap_bell_raise(bell);
        worker_stop(&workers[0]);
        cr_assert_eq(apiary_poll(client, task, &result), 0);
        cr_expect_eq(result.code, APIARY_ENOPROVIDER);
        cr_expect_neq(ap_load_relaxed(bell), seen);
        cr_expect_eq(apiary_release(client, &result), 0);
    }
    worker_stop(&workers[1]);
    cr_expect_eq(slots_in_use(), 0);
}

/* Nobody waits for it: whoever looks ends it, and there need be no daemon for that. */
Test(broadcast, one_that_nobody_waits_for_ends_with_its_provider)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t kept;
    apiary_delegate_options_t o;
    uint8_t data[8];

    for (uint64_t delay = 0; delay < 2; delay++) {
        enter(0);
        enter(1);
        o = to(number_of(0));
        o.flags = APIARY_DETACH;
        o.timeout = APIARY_FOREVER;
        o.delay = delay;
        cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, NULL), 0);
        o.keep = 600 * SECOND;
        cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, &kept), 0);
        worker_stop(&workers[0]);
        cr_assert_eq(apiary_fetch(client, kept, 10 * SECOND, data, sizeof data, &result), 0, "delay %d", (int)delay);
        cr_expect_eq(result.code, APIARY_ENOPROVIDER);
        cr_expect_eq(apiary_forget(client, kept), 0);
        ap_sweep(client->seg, client->anchor->lane.index, &ap_registry_hooks);
        cr_expect_eq(slots_in_use(), 0);
        worker_stop(&workers[1]);
    }
    assert_sound();
}

Test(broadcast, a_provider_that_is_back_is_another)
{
    apiary_delegate_options_t o;
    apiary_task_t task;
    uint64_t first;

    enter(0);
    enter(1);
    first = number_of(0);
    cr_expect(first != 0 && first != number_of(1));
    worker_stop(&workers[0]);
    o = to(first);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_ENOPROVIDER);
    enter(0);
    cr_expect(number_of(0) != 0 && number_of(0) != first);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_ENOPROVIDER);
    o.flags = APIARY_WAIT_FOR_PROVIDER;
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_ENOPROVIDER, "it cannot come back");
    o = to(number_of(0));
    cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, &task), 0);
    worker_go(&workers[0]);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(ap_load_acquire(&workers[0].runs), 1);
    o = to(UINT64_MAX);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_ENOPROVIDER);
    o = to(UINT64_C(1) << 16);
    cr_expect_eq(apiary_delegate(client, "work", "a", 1, &o, &task), APIARY_EINVAL, "no queue has that");
    worker_stop(&workers[0]);
    worker_stop(&workers[1]);
}

/* Its time comes, and its provider has gone meanwhile. */
Test(broadcast, one_with_a_delay_ends_too)
{
    apiary_delegate_options_t o;
    apiary_task_t task;

    enter(0);
    enter(1);
    o = to(number_of(0));
    o.delay = 20 * MS;
    cr_assert_eq(apiary_delegate(client, "work", "abc", 3, &o, &task), 0);
    worker_stop(&workers[0]);
    cr_expect_eq(code_of(task), APIARY_ENOPROVIDER);
    worker_stop(&workers[1]);
    cr_expect_eq(slots_in_use(), 0);
}

Test(broadcast, in_a_batch)
{
    apiary_delegate_options_t o[2];
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0], .capability = "work", .body = "abc", .size = 3},
                                    {.capability = "work", .body = "abc", .size = 3}};
    size_t done;

    for (uint32_t i = 0; i < 2; i++) enter(i);
    for (uint32_t i = 0; i < 2; i++) {
        o[i] = to(number_of(i));
        requests[i].options = &o[i];
    }
    cr_assert_eq(apiary_delegate_batch(client, requests, 2, tasks, &done), 0);
    for (uint32_t i = 0; i < 2; i++) worker_go(&workers[i]);
    for (uint32_t i = 0; i < 2; i++) cr_expect_eq(code_of(tasks[i]), 0);
    for (uint32_t i = 0; i < 2; i++) cr_expect_eq(ap_load_acquire(&workers[i].runs), 1);
    for (uint32_t i = 0; i < 2; i++) worker_stop(&workers[i]);
}

/* Each failure is its provider's own. */
Test(broadcast, a_full_one_and_a_forbidden_one_are_named)
{
    static const struct ap_rules rules = {.count = 1, .list = {{.verb = AP_RULE_FORBID, .from = "caller", .to = "s2"}}},
                                 deny = {.count = 1, .list = {{.verb = AP_RULE_DENY, .from = "caller"}}};
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {0}, set;
    uint32_t capability;
    apiary_t *other = attach_as(NULL);

    for (uint32_t i = 0; i < 3; i++) enter(i);
    for (uint32_t n = 0; n < client->seg->geometry.queue_depth; n++) {
        apiary_delegate_options_t o = to(number_of(0));
        apiary_task_t task;

        cr_assert_eq(apiary_delegate(other, "work", "a", 1, &o, &task), 0, "%u", n);
    }
    capability = (uint32_t)ap_capability_find(client->seg, "work", 4);
    cr_assert_eq(ap_rules_hold(client->seg, client->anchor->lane.index, &rules, &set), 0);
    said[AP_TERM_rules] = set + 1;
    ap_terms_declare(client->seg, workers[0].lane, workers[0].queue, capability, said, &told);
    cr_assert_eq(delegate_all(NULL, MOST), 3);
    for (uint32_t i = 0; i < 3; i++)
        cr_expect_eq(errors[i], rows[i].service[1] == '0'   ? APIARY_EQUEUEFULL
                                : rows[i].service[1] == '1' ? 0
                                                            : APIARY_ENOPROVIDER, "%s", rows[i].service);
    cr_assert_eq(ap_rules_hold(client->seg, client->anchor->lane.index, &deny, &set), 0);
    said[AP_TERM_rules] = set + 1;
    ap_terms_declare(client->seg, workers[0].lane, workers[0].queue, capability, said, &told);
    cr_assert_eq(delegate_all(NULL, MOST), 3);
    for (uint32_t i = 0; i < 3; i++) cr_expect_eq(errors[i], APIARY_EFORBIDDEN);
    apiary_detach(other);
    for (uint32_t i = 0; i < 3; i++) worker_stop(&workers[i]);
}
