/* A process that calls for no service: how many tasks it may have in flight, over its threads, and what it is told. */
#include "registry_fixture.h"

#define MOST 128u

static struct worker w;
static apiary_t *plain;

static void setup(void)
{
    struct ap_geometry g = small;

    g.tasks = 512;
    g.queue_depth = 512;
    g.max_concurrent_delegations = 300;
    g.max_unnamed_delegations = MOST;
    segment_make(&g);
    client = attach_as("caller");
    plain = attach_as(NULL);
    worker_register(&w, "server", NULL, "agent", (const char *const[]){"work", NULL}); /* nobody takes what is sent */
}

static void teardown(void)
{
    apiary_detach(plain);
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(unnamed, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* As many as are accepted; the last one in *ret. */
static uint32_t filled(apiary_t *a, apiary_task_t *ret, int *error)
{
    uint32_t n = 0;

    while (n < 400 && (*error = apiary_delegate(a, "work", "x", 1, NULL, ret)) == 0) n++;
    return n;
}

Test(unnamed, has_so_many_and_a_service_is_bounded_by_its_tickets)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    const apiary_delegate_options_t probe = {.struct_size = sizeof probe, .flags = APIARY_PROBE};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task = {0}, other;
    int error;

    cr_expect_eq(filled(plain, &task, &error), MOST);
    cr_expect_eq(error, APIARY_ELIMIT, "%s", apiary_strerror(error));
    cr_assert_eq(apiary_refusal(plain, &refusal), 0);
    cr_expect_str_eq(refusal.message, "this process calls for no service and has room for 128 tasks; max_unnamed_delegations "
                                      "allows 128; retry after 1 ms");
    cr_assert_eq(apiary_cancel(plain, task), 0);
    cr_assert_eq(apiary_await(plain, task, APIARY_FOREVER, &result), 0);
    cr_expect_eq(apiary_delegate(plain, "work", "x", 1, NULL, &other), APIARY_ELIMIT, "it is not collected");
    cr_expect_eq(apiary_delegate(plain, "work", NULL, 0, &probe, &other), 0, "a probe is not kept out");
    cr_expect_eq(apiary_release(plain, &result), 0);
    cr_expect_eq(apiary_delegate(plain, "work", "x", 1, NULL, &other), 0);
    cr_expect_eq(filled(client, &task, &error), 300, "max_concurrent_delegations");
    cr_expect_eq(error, APIARY_ELIMIT);
    assert_sound();
}

static uint32_t by_thread;
static int thread_error;

static void *thread_fills(void *arg)
{
    apiary_task_t task;

    (void)arg;
    by_thread = filled(plain, &task, &thread_error);
    return NULL;
}

static uint32_t thread_filled(void)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, thread_fills, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return by_thread;
}

Test(unnamed, its_threads_share_the_bound_and_none_is_kept_from_its_first_task)
{
    apiary_task_t task;
    int error;

    cr_assert_eq(apiary_delegate(plain, "work", "x", 1, NULL, &task), 0);
    cr_expect_eq(thread_filled(), AP_SLAB_SLOTS, "the other thread has the other half");
    cr_expect_eq(thread_error, APIARY_ELIMIT);
    cr_expect_eq(filled(plain, &task, &error), AP_SLAB_SLOTS - 1);
    cr_expect_eq(error, APIARY_ELIMIT);
}

/* Another one has a bound of its own, also after a death. */
Test(unnamed, each_process_for_itself)
{
    apiary_t *second = attach_as(NULL);
    apiary_task_t task;
    int error;

    cr_expect_eq(filled(plain, &task, &error), MOST);
    cr_expect_eq(filled(second, &task, &error), MOST);
    cr_expect_eq(error, APIARY_ELIMIT);
    cr_expect_eq(apiary_detach(second), 0);
    second = attach_as(NULL);
    cr_expect_leq(filled(second, &task, &error), MOST, "what others have left in its slabs counts");
    cr_expect_eq(error, APIARY_ELIMIT);
    cr_expect_eq(apiary_detach(second), 0);
}
