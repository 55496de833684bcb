/* tests/unit/test_registry_sized.c - structures of the public face carry their size: clients of newer versions, whose structures
 * are longer, and callers that forgot it. See core/sized.h. */
#include "tests/unit/registry_fixture.h"

#include "core/sized.h"

TestSuite(sized, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

/* Each structure as a later version may have it. */
struct newer_attach {
    apiary_attach_options_t known;
    uint64_t more;
};
struct newer_delegate {
    apiary_delegate_options_t known;
    uint64_t more;
};
struct newer_result {
    apiary_result_t known;
    uint64_t more;
};
struct newer_request {
    apiary_request_t known;
    uint64_t more;
};
struct newer_provider {
    apiary_provider_t known;
    uint64_t more;
};
struct newer_status {
    apiary_swarm_status_t known;
    uint64_t more;
};

Test(sized, what_comes_in)
{
    struct newer_attach attach = {.known = {.struct_size = sizeof attach, .name = "newer"}};
    struct newer_delegate options = {.known = {.struct_size = sizeof options, .timeout = 50 * MS, .flags = APIARY_DETACH}};
    apiary_delegate_options_t none = {.struct_size = 0};
    struct worker w;
    apiary_task_t task;
    apiary_t *a;

    worker_start(&w, "echo");
    cr_assert_eq(apiary_attach(seg_name, &attach.known, &a), 0);
    apiary_detach(a);
    attach.more = 1;
    cr_expect_eq(apiary_attach(seg_name, &attach.known, &a), APIARY_ENOTSUP, "what is not known is not left out in silence");
    attach.known.struct_size = sizeof attach.known - 8;
    cr_expect_eq(apiary_attach(seg_name, &attach.known, &a), APIARY_EINVAL);

    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &options.known, NULL), 0, "the flags are read");
    options.more = 1;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &options.known, NULL), APIARY_ENOTSUP);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &none, &task), APIARY_EINVAL, "forgotten");
    none.struct_size = AP_SIZED_MAX + 8;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &none, &task), APIARY_EINVAL);
    none = (apiary_delegate_options_t){.struct_size = sizeof none, .hops = UINT32_MAX};
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &none, &task), APIARY_EINVAL);
    none = (apiary_delegate_options_t){.struct_size = sizeof none, .flags = APIARY_DETACH};
    cr_expect_eq(apiary_call(client, "echo", "x", 1, &none, NULL, 0, NULL), APIARY_EINVAL, "there would be nothing to wait for");
    worker_stop(&w);
}

Test(sized, what_goes_out)
{
    struct newer_result result;
    apiary_result_t forgotten = {.struct_size = 0};
    struct worker w;
    apiary_task_t task;

    worker_start(&w, "echo");
    for (int how = 0; how < 3; how++) {
        memset(&result, 0x55, sizeof result);
        result.known.struct_size = sizeof result;
        cr_assert_eq(apiary_delegate(client, "echo", "hello", 5, NULL, &task), 0);
        if (how == 0) cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result.known), 0);
        if (how == 1) cr_assert_eq(apiary_await_any(client, &task, 1, APIARY_FOREVER, &result.known), 0);
        while (how == 2 && apiary_poll(client, task, &result.known) == APIARY_ENOTREADY) sched_yield();
        cr_expect_eq(result.known.struct_size, sizeof result);
        cr_expect_eq(result.known.size, 5);
        cr_expect_eq(memcmp(result.known.data, "hello", 5), 0);
        cr_expect_eq(result.more, 0, "what this version does not know is zeros");
        result.more = 7;
        cr_expect_eq(apiary_release(client, &result.known), 0);
        cr_expect_eq(result.known.struct_size, sizeof result);
        cr_expect_null(result.known.data);
        cr_expect_eq(result.more, 7, "not this version's business");
    }
    cr_assert_eq(apiary_delegate(client, "echo", "hello", 5, NULL, &task), 0);
    cr_expect_eq(apiary_await(client, task, APIARY_FOREVER, &forgotten), APIARY_EINVAL);
    cr_expect_eq(apiary_await_any(client, &task, 1, APIARY_FOREVER, &forgotten), APIARY_EINVAL);
    cr_expect_eq(apiary_poll(client, task, &forgotten), APIARY_EINVAL);
    cr_expect_eq(apiary_release(client, &forgotten), APIARY_EINVAL);
    ap_give_up(client, task);
    worker_stop(&w);
}

/* The first element tells the size of all. */
Test(sized, arrays)
{
    struct newer_request requests[3] = {{.known = {.struct_size = sizeof requests[0]}}};
    struct newer_result results[3] = {{.known = {.struct_size = sizeof results[0]}}};
    struct newer_provider rows[2] = {{.known = {.struct_size = sizeof rows[0]}}};
    struct newer_status states[2] = {{.known = {.struct_size = sizeof states[0]}}};
    const apiary_delegate_options_t late = {.struct_size = sizeof late, .timeout = 1000 * SECOND};
    apiary_task_t tasks[3];
    static const char *const shout[] = {"shout", NULL};
    struct worker w, other;
    size_t n;

    worker_start(&w, "echo");
    cr_assert_eq(worker_register(&other, "other", NULL, "agent", shout), 0);
    for (int i = 0; i < 3; i++) {
        requests[i].known.capability = "echo";
        requests[i].known.body = &"abc"[i];
        requests[i].known.size = 1;
        requests[i].known.options = i == 1 ? &late : NULL;
    }
    cr_assert_eq(apiary_delegate_batch(client, &requests[0].known, 3, tasks, &n), 0);
    cr_assert_eq(apiary_await_batch(client, tasks, 3, APIARY_FOREVER, &results[0].known, &n), 0);
    cr_expect_eq(n, 3);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(*(const char *)results[i].known.data, "abc"[i]);
        cr_expect_eq(apiary_release(client, &results[i].known), 0);
    }
    requests[2].more = 1;
    cr_expect_eq(apiary_delegate_batch(client, &requests[0].known, 3, tasks, &n), APIARY_ENOTSUP);
    cr_expect_eq(n, 2, "up to the one that says what is not known");
    for (size_t i = 0; i < n; i++) ap_give_up(client, tasks[i]);

    for (int again = 0; again < 3; again++) {
        rows[0].more = 1;
        cr_assert_eq(apiary_discover(client, "echo", &rows[0].known, 2), 1);
        cr_expect_str_eq(rows[0].known.agent, "agent");
        cr_expect_eq(rows[0].known.struct_size, sizeof rows[0]);
        cr_expect_eq(rows[0].more, 0);
    }
    n = (size_t)apiary_swarm_status(client, NULL, &states[0].known, 2);
    cr_expect_eq(n, 2);
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(states[i].known.struct_size, sizeof states[i]);
        cr_expect_eq(states[i].known.agents, 1);
    }
    rows[0].known.struct_size = 0;
    cr_expect_eq(apiary_discover(client, "echo", &rows[0].known, 2), APIARY_EINVAL);
    states[0].known.struct_size = 7;
    cr_expect_eq(apiary_swarm_status(client, NULL, &states[0].known, 2), APIARY_EINVAL);
    worker_stop(&other);
    worker_stop(&w);
}
