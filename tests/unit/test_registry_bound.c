/* A capability that is bound: what it is good for, and when it is refused. */
#include "tests/unit/registry_fixture.h"

TestSuite(bound, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

static const char *const echo[] = {"echo", NULL}, *const sum[] = {"sum@2", NULL};

static apiary_capability_t bind(apiary_t *a, const char *name)
{
    apiary_capability_t c = {0};

    cr_assert_eq(apiary_bind(a, name, &c), 0);
    return c;
}

/* Delegates and returns the queue that got the task, or the error; the task is given up. */
static int goes_to(apiary_t *a, apiary_capability_t c)
{
    apiary_task_t task;
    struct ap_slot *slot;
    uint64_t word = 0;
    int r = apiary_delegate_bound(a, c, "x", 1, NULL, &task);

    if (r < 0) return r;
    cr_assert(ap_task_find(a, task, &slot, &word));
    ap_give_up(a, task);
    return (int)AP_WORD_OWNER(word);
}

Test(bound, calls_and_options)
{
    const apiary_delegate_options_t detached = {.struct_size = sizeof detached, .flags = APIARY_DETACH};
    const apiary_delegate_options_t wrong = {.struct_size = 7};
    apiary_capability_t c;
    struct worker w;
    char back[8] = "";
    size_t size = 0;

    worker_start(&w, "echo");
    c = bind(client, "echo");
    cr_assert_eq(apiary_call_bound(client, c, "hello", 5, NULL, back, sizeof back, &size), 0);
    cr_expect(size == 5 && memcmp(back, "hello", 5) == 0);
    cr_expect_eq(apiary_delegate_bound(client, c, "x", 1, &detached, NULL), 0);
    cr_expect_eq(apiary_delegate_bound(client, c, "x", 1, NULL, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_bound(client, c, NULL, 1, &detached, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_bound(client, c, "x", 1, &wrong, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_call_bound(client, c, "x", 1, &detached, back, sizeof back, &size), APIARY_EINVAL);
    worker_stop(&w);
    cr_expect_eq(apiary_call_bound(client, c, "x", 1, NULL, back, sizeof back, &size), APIARY_ENOPROVIDER);
    assert_sound();
}

/* Providers come and go, the name keeps its row; another thread, or process, uses the same value. */
Test(bound, stays_good)
{
    apiary_t *other = attach_as("other");
    apiary_capability_t c;
    struct worker w[2];

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    c = bind(client, "echo");
    for (int i = 0; i < 3; i++) cr_expect_eq(goes_to(client, c), (int)w[0].queue);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", echo), 0);
    ap_store_relaxed(&ap_queue_at(client->seg, w[0].queue)->running, 200);
    cr_expect_eq(goes_to(client, c), (int)w[1].queue);
    worker_stop(&w[0]);
    cr_expect_eq(goes_to(client, c), (int)w[1].queue);
    worker_stop(&w[1]);
    cr_expect_eq(goes_to(client, c), APIARY_ENOPROVIDER);
    cr_assert_eq(worker_register(&w[0], "later", NULL, "agent", echo), 0);
    cr_expect_eq(goes_to(client, c), (int)w[0].queue);
    cr_expect_eq(goes_to(other, c), (int)w[0].queue);
    worker_stop(&w[0]);
    cr_assert_eq(apiary_detach(other), 0);
    assert_sound();
}

/* Two names that share a place among those a thread knows are not confused. */
Test(bound, two_capabilities)
{
    apiary_capability_t c[3];
    struct worker w[2];

    cr_assert_eq(worker_register(&w[0], "server", "0", "agent", echo), 0);
    cr_assert_eq(worker_register(&w[1], "server", "1", "agent", sum), 0);
    c[0] = bind(client, "echo");
    c[1] = bind(client, "sum");
    c[2] = bind(client, "sum@2");
    cr_expect(c[1].check != c[2].check);
    for (int i = 0; i < 6; i++) cr_expect_eq(goes_to(client, c[i % 3]), (int)w[i % 3 != 0].queue);
    for (int i = 0; i < 2; i++) worker_stop(&w[i]);
    assert_sound();
}

Test(bound, refused)
{
    apiary_capability_t c = {.check = 1, .index = 2}, wrong;
    apiary_t *former = client;
    struct worker w;

    cr_expect_eq(apiary_bind(client, "nobody.offers", &c), APIARY_ENOCAP);
    cr_expect(c.check == 1 && c.index == 2, "untouched on failure");
    cr_expect_eq(apiary_bind(client, NULL, &c), APIARY_EINVAL);
    cr_expect_eq(apiary_bind(NULL, "echo", &c), APIARY_EINVAL);
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(apiary_bind(client, "echo", NULL), APIARY_EINVAL);
    c = bind(client, "echo");
    cr_expect_eq(goes_to(client, (apiary_capability_t){0}), APIARY_ESTALE);
    for (uint32_t bit = 0; bit < 64; bit++) {
        wrong = c;
        wrong.check ^= UINT64_C(1) << bit;
        cr_expect_eq(goes_to(client, wrong), APIARY_ESTALE);
    }
    wrong = c;
    wrong.index = UINT32_MAX;
    cr_expect_eq(goes_to(client, wrong), APIARY_ESTALE);
    cr_expect_eq(goes_to(client, c), (int)w.queue);
    worker_stop(&w);

    /* The segment is made anew, with the same name and the same capability in it. */
    segment_make(&small);
    client = attach_as("caller");
    cr_assert_eq(worker_register(&w, "server", NULL, "agent", echo), 0);
    cr_expect_eq(goes_to(client, c), APIARY_ESTALE);
    cr_expect_eq(goes_to(client, bind(client, "echo")), (int)w.queue);
    worker_stop(&w);
    apiary_detach(former);
    assert_sound();
}

Test(bound, in_a_batch)
{
    apiary_capability_t c, stale = {.check = 5};
    apiary_request_t requests[3] = {{.struct_size = sizeof requests[0], .bound = &c, .body = "a", .size = 1},
                                    {.capability = "echo", .body = "b", .size = 1},
                                    {.bound = &c, .body = "c", .size = 1}};
    apiary_result_t results[3] = {[0 ... 2] = {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[3];
    struct worker w;
    size_t n;

    worker_start(&w, "echo");
    c = bind(client, "echo");
    cr_assert_eq(apiary_delegate_batch(client, requests, 3, tasks, &n), 0);
    cr_assert_eq(apiary_await_batch(client, tasks, 3, APIARY_FOREVER, results, &n), 0);
    for (size_t i = 0; i < 3; i++) {
        cr_expect(results[i].size == 1 && *(const char *)results[i].data == "abc"[i]);
        cr_assert_eq(apiary_release(client, &results[i]), 0);
    }
    requests[0].capability = "echo"; /* both */
    cr_expect_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), APIARY_EINVAL);
    requests[0] = (apiary_request_t){.struct_size = sizeof requests[0], .bound = &stale};
    cr_expect_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), APIARY_ESTALE);
    cr_expect_eq(n, 0);
    worker_stop(&w);
    assert_sound();
}
