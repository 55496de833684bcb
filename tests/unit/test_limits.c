/* Limits that a capability declares for all who ask for it: a rate, and a bound of what waits. */
#include "registry_fixture.h"

#include "core/ops.h"
#include "registry/routing/limits.h"

static struct worker w;
static uint64_t clock_now;

static uint64_t clock_told(void)
{
    return clock_now;
}

static void setup(void)
{
    fixture_setup();
    worker_register(&w, "echo_service", "0", "echo", (const char *const[]){"echo", NULL});
    clock_now = 1000 * SECOND;
}

static void teardown(void)
{
    worker_go(&w);
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(limits, .init = setup, .fini = teardown);

static uint32_t echo(void)
{
    int capability = ap_capability_find(client->seg, "echo", 4);

    cr_assert_geq(capability, 0);
    return (uint32_t)capability;
}

static void declare(struct ap_terms terms)
{
    struct ap_terms_conflicts conflicts = {.count = 0};

    ap_terms_declare(client->seg, w.lane, w.queue, echo(), (const uint64_t *)(const void *)&terms, &conflicts);
}

/* A segment whose clock the test sets. */
static struct ap_segment *timed(void)
{
    static struct ap_segment seg;
    static struct ap_ops ops;

    ops = *client->seg->ops;
    ops.now = clock_told;
    seg = *client->seg;
    seg.ops = &ops;
    return &seg;
}

Test(limits, a_burst_and_then_the_rate)
{
    struct ap_segment *seg = timed();
    uint64_t after = 0;

    cr_expect_not(ap_limits_any(seg, echo()));
    declare((struct ap_terms){.rate = 10 + 1, .burst = 3 + 1});
    cr_expect(ap_limits_any(seg, echo()));
    for (int i = 0; i < 3; i++) cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), 0, "%d", i);
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), APIARY_ERATE);
    cr_expect_eq(after, 100 * MS);
    clock_now += 100 * MS;
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), 0);
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), APIARY_ERATE);
    clock_now += 60 * SECOND;
    for (int i = 0; i < 3; i++) cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), 0, "no more is saved than the burst");
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), APIARY_ERATE);
    cr_expect_eq(ap_queue_at(seg, w.queue)->refused, 3);
}

Test(limits, a_time_that_nobody_can_have_paid_for_counts_as_now)
{
    struct ap_segment *seg = timed();
    uint64_t after = 0;

    declare((struct ap_terms){.rate = 10 + 1});
    ap_terms_at(seg, echo())->paid = UINT64_MAX;
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), 0);
    cr_expect_eq(ap_limits_admit(seg, echo(), w.queue, &after), APIARY_ERATE, "the burst is 1 where none is declared");
    cr_expect_eq(after, 100 * MS);
}

Test(limits, callers_are_refused_and_told_when_to_come_again)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0, "the provider is known as the only one");
    declare((struct ap_terms){.rate = 1 + 1, .burst = 2 + 1});
    /* Its queue has the same life, which no declaration has: what the lane remembers goes with it. */
    for (unsigned i = 0; i < 1u << AP_NAMES_KNOWN_BITS; i++) ap_only_forget(&ap_context_here(client)->names[i].only);
    ap_only_forget(&ap_context_here(client)->stranger.only);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_ERATE);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect(refusal.retry_after > 0 && refusal.retry_after <= SECOND, "%llu", (unsigned long long)refusal.retry_after);
}

Test(limits, so_many_may_wait)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    declare((struct ap_terms){.queue_limit = 2 + 1});
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), APIARY_EQUEUEFULL);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_gt(refusal.retry_after, 0);
    cr_expect_not_null(strstr(refusal.message, "queue_limit"), "%s", refusal.message);
}

static void fill_shared(uint32_t queue)
{
    while (ap_queue_push_shared(client->seg, queue, AP_REF(200, 1)) == 0) {}
}

/* The queue that gets the next task, which is given up; or the error. */
static int goes_to(void)
{
    apiary_task_t task;
    int queue, r = apiary_delegate(client, "echo", "x", 1, NULL, &task);

    if (r < 0) return r;
    queue = (int)AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word);
    ap_give_up(client, task);
    return queue;
}

/* Tasks that wait for a place wait in the shared ring. Where that is full another provider has room, unless it may have no more. */
Test(limits, a_shared_ring_that_is_full)
{
    const char *const capabilities[] = {"echo", NULL};
    struct worker more;

    declare((struct ap_terms){.concurrency = 1 + 1, .balance = AP_POLICY_round_robin + 1});
    cr_expect_eq(goes_to(), (int)w.queue);
    fill_shared(w.queue);
    cr_expect_eq(goes_to(), APIARY_EQUEUEFULL);
    cr_assert_eq(worker_register(&more, "echo_service", "1", "echo", capabilities), 0);
    for (int i = 0; i < 4; i++) cr_expect_eq(goes_to(), (int)more.queue);
    declare((struct ap_terms){.concurrency = 1 + 1, .queue_limit = 1 + 1, .balance = AP_POLICY_round_robin + 1});
    ap_store_relaxed(&ap_queue_at(client->seg, more.queue)->depth, 1);
    for (int i = 0; i < 4; i++) cr_expect_lt(goes_to(), 0);
    ap_store_relaxed(&ap_queue_at(client->seg, more.queue)->depth, 0);
    declare((struct ap_terms){.concurrency = 1 + 1, .balance = AP_POLICY_round_robin + 1});
    fill_shared(more.queue);
    for (int i = 0; i < 4; i++) cr_expect_eq(goes_to(), APIARY_EQUEUEFULL);
    worker_go(&more);
    worker_stop(&more);
}
