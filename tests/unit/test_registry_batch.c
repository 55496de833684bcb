/* Batches: delegate_batch and await_batch, whole and in part. */
#include "registry_fixture.h"

TestSuite(batch, .init = fixture_setup, .fini = fixture_teardown, .timeout = TEST_LIMIT);

#define FIVE 5u /* max_concurrent_delegations of the fixture */

static void fill(apiary_request_t *requests, uint64_t *bodies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bodies[i] = i * 1001 + 7;
        requests[i] = (apiary_request_t){.struct_size = sizeof(apiary_request_t), .capability = "echo", .body = &bodies[i],
                                         .size = sizeof bodies[i]};
    }
}

static void release_checked(apiary_result_t *results, const uint64_t *bodies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t got = 0;
        cr_assert_eq(results[i].code, 0);
        cr_assert_eq(results[i].size, sizeof got);
        memcpy(&got, results[i].data, sizeof got);
        cr_assert_eq(got, bodies[i], "result %zu", i);
        cr_assert_eq(apiary_release(client, &results[i]), 0);
    }
}

Test(batch, arguments)
{
    apiary_request_t q = {.struct_size = sizeof q, .capability = "echo"};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    size_t n = 9;

    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_batch(client, NULL, 1, &task, &n), APIARY_EINVAL);
    cr_expect_eq(n, 0);
    cr_expect_eq(apiary_delegate_batch(client, &q, 0, &task, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, NULL, &n), APIARY_EINVAL, "not fire and forget, and nowhere to name it");
    q.struct_size = 1;
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_EINVAL, "of no version");
    q.struct_size = sizeof q;
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_ENOCAP);
    q.options = &(apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t), .flags = 64};
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_await_batch(client, &task, 1, 0, &result, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_await_batch(client, NULL, 1, 0, &result, &n), APIARY_EINVAL);
    cr_expect_eq(apiary_await_batch(client, &task, 0, 0, &result, &n), APIARY_EINVAL);
}

Test(batch, whole_in_order)
{
    apiary_request_t requests[FIVE] = {{.struct_size = sizeof requests[0]}};
    apiary_result_t results[FIVE] = {[0 ... FIVE - 1] = {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[FIVE];
    uint64_t bodies[FIVE];
    struct worker w;
    size_t n;

    worker_start(&w, "echo");
    fill(requests, bodies, FIVE);
    for (int round = 0; round < 200; round++) {
        cr_assert_eq(apiary_delegate_batch(client, requests, FIVE, tasks, &n), 0);
        cr_assert_eq(n, FIVE);
        cr_assert_eq(apiary_await_batch(client, tasks, FIVE, APIARY_FOREVER, results, &n), 0);
        cr_assert_eq(n, FIVE);
        release_checked(results, bodies, FIVE);
    }
    worker_stop(&w);
    assert_sound();
}

/* The sixth is refused: the five before it are under way, and its name is untouched. */
Test(batch, in_part)
{
    apiary_request_t requests[FIVE + 2] = {{.struct_size = sizeof requests[0]}};
    apiary_result_t results[FIVE + 2] = {[0 ... FIVE + 2 - 1] = {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[FIVE + 2], untouched;
    uint64_t bodies[FIVE + 2];
    struct worker w;
    size_t n;

    worker_start(&w, "echo");
    fill(requests, bodies, FIVE + 2);
    memset(tasks, 0x5a, sizeof tasks);
    memset(&untouched, 0x5a, sizeof untouched);
    cr_assert_eq(apiary_delegate_batch(client, requests, FIVE + 2, tasks, &n), APIARY_ELIMIT);
    cr_assert_eq(n, FIVE);
    cr_assert_eq(memcmp(&tasks[FIVE], &untouched, sizeof untouched), 0);
    cr_assert_eq(apiary_await_batch(client, tasks, n, APIARY_FOREVER, results, &n), 0);
    release_checked(results, bodies, FIVE);

    requests[2].capability = "nobody.offers";
    cr_assert_eq(apiary_delegate_batch(client, requests, FIVE, tasks, &n), APIARY_ENOCAP);
    cr_assert_eq(n, 2);
    cr_assert_eq(apiary_await_batch(client, tasks, n, APIARY_FOREVER, results, &n), 0);
    release_checked(results, bodies, 2);
    /* tasks[1] is gone by now: it stops the waiting, with what is before it filled. */
    cr_assert_eq(apiary_delegate_batch(client, requests, 1, tasks, &n), 0);
    cr_assert_eq(apiary_await_batch(client, tasks, 2, APIARY_FOREVER, results, &n), APIARY_ESTALE);
    cr_assert_eq(n, 1);
    release_checked(results, bodies, 1);
    worker_stop(&w);
    assert_sound();
}

/* As of a task that is delegated alone, whatever it is about. */
Test(batch, a_refusal_is_told)
{
    apiary_delegate_options_t none = {.struct_size = 0};
    apiary_request_t q = {.struct_size = sizeof q, .capability = "nobody.offers"}, both = {.struct_size = sizeof both};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_capability_t bound = {.check = 1};
    apiary_task_t task;
    size_t n;

    cr_expect_eq(apiary_refusal(client, &refusal), APIARY_ESTALE);
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_ENOCAP);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_ENOCAP);
    cr_expect_eq(apiary_delegate_batch(client, &both, 1, &task, &n), APIARY_EINVAL, "neither a name nor a bound one");
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EINVAL);
    q.capability = NULL;
    q.bound = &bound;
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_ESTALE);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_ESTALE);
    q.options = &none;
    cr_expect_eq(apiary_delegate_batch(client, &q, 1, &task, &n), APIARY_EINVAL);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EINVAL);
}

/* The worker holds the second: after the caller's time the first result is there, and the rest is awaited again. */
Test(batch, awaited_in_part)
{
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0]}};
    apiary_result_t results[2] = {[0 ... 1] = {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[2];
    uint64_t bodies[2];
    struct worker w;
    size_t n;

    worker_start(&w, "echo");
    fill(requests, bodies, 2);
    ap_store_release(&w.hold, 1);
    cr_assert_eq(apiary_delegate_batch(client, requests, 2, tasks, &n), 0);
    sem_wait(&w.took);
    cr_assert_eq(apiary_await_batch(client, tasks, 2, 0, results, &n), APIARY_ENOTREADY);
    cr_assert_eq(n, 0);
    sem_post(&w.go);
    sem_wait(&w.took);
    /* The second is in hand, so the first is finished. */
    cr_assert_eq(apiary_await_batch(client, tasks, 2, MS, results, &n), APIARY_ENOTREADY);
    cr_assert_eq(n, 1);
    release_checked(results, bodies, 1);
    sem_post(&w.go);
    cr_assert_eq(apiary_await_batch(client, tasks + 1, 1, APIARY_FOREVER, results, &n), 0);
    cr_assert_eq(n, 1);
    release_checked(results, bodies + 1, 1);
    ap_store_release(&w.hold, 0);
    worker_stop(&w);
    assert_sound();
}

/* Its own deadline passes: a result that says so. */
Test(batch, a_deadline_of_its_own)
{
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0]}};
    apiary_result_t results[2] = {[0 ... 1] = {.struct_size = sizeof results[0]}};
    apiary_task_t tasks[2];
    uint64_t bodies[2];
    struct worker w;
    size_t n;

    worker_start(&w, "echo");
    fill(requests, bodies, 2);
    requests[1].options = APIARY_TIMEOUT(MS);
    ap_store_release(&w.hold, 1);
    cr_assert_eq(apiary_delegate_batch(client, requests, 2, tasks, &n), 0);
    sem_wait(&w.took);
    cr_assert_eq(apiary_await_batch(client, tasks + 1, 1, APIARY_FOREVER, results, &n), 0);
    cr_assert_eq(results[0].code, APIARY_ETIMEDOUT);
    cr_assert_null(results[0].data);
    ap_store_release(&w.hold, 0);
    sem_post(&w.go);
    cr_assert_eq(apiary_await_batch(client, tasks, 1, APIARY_FOREVER, results, &n), 0);
    release_checked(results, bodies, 1);
    worker_stop(&w);
    assert_sound();
}
