/* Options that a capability declares: what its tasks have where their callers do not say, and within which those may. */
#include "registry_fixture.h"

#include "registry/client/carried.h"
#include "registry/routing/bounds.h"
#include "registry/routing/hedging.h"
#include "shm/start_by.h"

static struct worker w;

static void setup(void)
{
    fixture_setup();
    worker_register(&w, "echo_service", "0", "echo", (const char *const[]){"echo", NULL});
}

static void teardown(void)
{
    worker_go(&w);
    worker_stop(&w);
    fixture_teardown();
}

TestSuite(bounds, .init = setup, .fini = teardown);

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

static apiary_delegate_options_t within(apiary_delegate_options_t o)
{
    ap_bounds_apply(client->seg, echo(), &o);
    return o;
}

static void declare_timers(void)
{
    declare((struct ap_terms){.schedule_to_close = 40 * SECOND + 1, .schedule_to_start = 30 * SECOND + 1,
                              .start_to_close = 20 * SECOND + 1, .heartbeat = 10 * SECOND + 1});
}

Test(bounds, a_caller_may_narrow_a_timer_and_not_widen_it)
{
    apiary_delegate_options_t o;

    cr_expect_not(ap_bounds_any(client->seg, echo()));
    declare((struct ap_terms){.rate = 1000 + 1});
    cr_expect_not(ap_bounds_any(client->seg, echo()), "that is another file's");
    o = within((apiary_delegate_options_t){.timeout = 5, .delay = 6, .retry = {.max_attempts = 3, .backoff = 7}});
    cr_expect(o.timeout == 5 && o.delay == 6 && o.retry.max_attempts == 3 && o.retry.backoff == 7 && o.flags == 0);
    declare_timers();
    cr_expect(ap_bounds_any(client->seg, echo()));
    o = within((apiary_delegate_options_t){.flags = 0});
    cr_expect(o.timeout == 40 * SECOND && o.schedule_to_start == 30 * SECOND && o.start_to_close == 20 * SECOND &&
              o.heartbeat == 10 * SECOND);
    o = within((apiary_delegate_options_t){.timeout = 4 * SECOND, .schedule_to_start = 3 * SECOND, .start_to_close = 2 * SECOND,
                                           .heartbeat = SECOND});
    cr_expect(o.timeout == 4 * SECOND && o.schedule_to_start == 3 * SECOND && o.start_to_close == 2 * SECOND &&
              o.heartbeat == SECOND);
    o = within((apiary_delegate_options_t){.timeout = APIARY_FOREVER, .schedule_to_start = 31 * SECOND,
                                           .start_to_close = 21 * SECOND, .heartbeat = 11 * SECOND});
    cr_expect(o.timeout == 40 * SECOND && o.schedule_to_start == 30 * SECOND && o.start_to_close == 20 * SECOND &&
              o.heartbeat == 10 * SECOND);
}

Test(bounds, a_hedged_task_is_not_tried_again)
{
    apiary_delegate_options_t o;

    declare((struct ap_terms){.delay = SECOND + 1, .max_attempts = 4 + 1, .backoff = 200 * MS + 1});
    o = within((apiary_delegate_options_t){.hedge = SECOND});
    cr_expect(o.hedge == SECOND && o.delay == SECOND && o.retry.max_attempts == 0 && o.retry.backoff == 0);
    cr_expect_eq(ap_carried_judge(&o), 0);
}

/* So that the time within which 19 of 20 end is known. */
static void p95_is(uint64_t time)
{
    ap_store_relaxed(&ap_terms_at(client->seg, echo())->hedge_time, time << 8 | AP_HEDGING_KNOWN);
}

static uint64_t hedged(apiary_delegate_options_t o)
{
    o = within(o);
    cr_expect_eq(ap_carried_judge(&o), 0);
    return o.hedge;
}

Test(bounds, a_hedge_that_is_declared)
{
    declare((struct ap_terms){.hedge = 20 * MS + 1});
    cr_expect(ap_bounds_any(client->seg, echo()));
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = 0}), 0, "not of what is not idempotent");
    declare((struct ap_terms){.hedge = 20 * MS + 1, .idempotent = 1 + 1});
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = 0}), 20 * MS);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = 30 * MS}), 30 * MS, "later");
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = 10 * MS}), 20 * MS, "and not sooner");
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = APIARY_HEDGE_P95}), 20 * MS, "nobody knows");
    p95_is(30 * MS);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = APIARY_HEDGE_P95}), APIARY_HEDGE_P95);
    p95_is(10 * MS);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = APIARY_HEDGE_P95}), 20 * MS);
    declare((struct ap_terms){.hedge = APIARY_HEDGE_P95 + 1, .idempotent = 1 + 1});
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = 0}), APIARY_HEDGE_P95);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = 11 * MS}), 11 * MS);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = 9 * MS}), APIARY_HEDGE_P95);
    p95_is(0);
    cr_expect_eq(hedged((apiary_delegate_options_t){.hedge = 11 * MS}), APIARY_HEDGE_P95, "nobody knows");
}

Test(bounds, whose_hedge_is_not_the_declared_one)
{
    apiary_delegate_options_t o;

    declare((struct ap_terms){.hedge = 20 * MS + 1, .idempotent = 1 + 1});
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = APIARY_NO_HEDGE}), 0);
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = APIARY_DETACH}), 0);
    cr_expect_eq(hedged((apiary_delegate_options_t){.flags = APIARY_PARTS}), 0);
    cr_expect_eq(hedged((apiary_delegate_options_t){.retry = {.max_attempts = 2}}), 0);
    cr_expect_eq(hedged((apiary_delegate_options_t){.retry = {.max_attempts = 1}}), 20 * MS);
    cr_expect_eq(hedged((apiary_delegate_options_t){.provider = 1}), 0);
    declare((struct ap_terms){.hedge = 20 * MS + 1, .idempotent = 1 + 1, .max_attempts = 3 + 1});
    o = within((apiary_delegate_options_t){.flags = 0});
    cr_expect(o.hedge == 20 * MS && o.retry.max_attempts == 0);
    o = within((apiary_delegate_options_t){.flags = APIARY_NO_HEDGE});
    cr_expect(o.hedge == 0 && o.retry.max_attempts == 3);
}

Test(bounds, a_caller_may_be_gentler_and_not_rougher)
{
    apiary_delegate_options_t o;

    declare((struct ap_terms){.delay = SECOND + 1, .max_attempts = 4 + 1, .backoff = 200 * MS + 1, .wait_for_provider = 2});
    o = within((apiary_delegate_options_t){.flags = APIARY_DETACH});
    cr_expect(o.delay == SECOND && o.retry.max_attempts == 4 && o.retry.backoff == 200);
    cr_expect_eq(o.flags, APIARY_DETACH | APIARY_WAIT_FOR_PROVIDER);
    o = within((apiary_delegate_options_t){.delay = 2 * SECOND,
                                           .retry = {.max_attempts = 9, .backoff = 100, .cap = 150, .never = {7}}});
    cr_expect(o.delay == 2 * SECOND && o.retry.max_attempts == 4 && o.retry.backoff == 200 && o.retry.cap == 200 &&
              o.retry.never[0] == 7);
    o = within((apiary_delegate_options_t){.retry = {.max_attempts = 2, .backoff = 300}});
    cr_expect(o.retry.max_attempts == 2 && o.retry.backoff == 300 && o.retry.cap == 0);
    o = within((apiary_delegate_options_t){.retry = {.max_attempts = 1}});
    cr_expect(o.retry.max_attempts == 1 && o.retry.backoff == 0, "once is once");
    declare((struct ap_terms){.max_attempts = 1 + 1});
    o = within((apiary_delegate_options_t){.retry = {.max_attempts = 9, .backoff = 100, .multiplier = 150, .never = {7}}});
    cr_expect_eq(o.retry.max_attempts, 1);
    cr_expect_eq(ap_carried_judge(&o), 0);
}

Test(bounds, some_failures_are_for_ever)
{
    cr_expect_not(ap_bounds_never(client->seg, echo(), 7));
    declare((struct ap_terms){.never_from = 7 + 1});
    cr_expect(ap_bounds_never(client->seg, echo(), 7));
    cr_expect_not(ap_bounds_never(client->seg, echo(), 6) || ap_bounds_never(client->seg, echo(), 8));
    declare((struct ap_terms){.never_from = 400 + 1, .never_to = 499 + 1});
    cr_expect(ap_bounds_never(client->seg, echo(), 400) && ap_bounds_never(client->seg, echo(), 499));
    cr_expect_not(ap_bounds_never(client->seg, echo(), 399) || ap_bounds_never(client->seg, echo(), 500));
}

/* ---- by every way to ask ---------------------------------------------------------------------------------------- */

static void expect_timed(apiary_task_t task, uint64_t most)
{
    const struct ap_slot *slot = ap_slot_at(client->seg, task.slot);
    struct ap_carried row;

    cr_assert(ap_carried_read(client->seg, task, &row));
    cr_expect_eq(row.start_to_close, 20 * SECOND);
    cr_expect_leq(ap_load_relaxed(&slot->deadline) - ap_load_relaxed(&slot->queued), most);
    cr_expect(ap_task_requested(slot, ap_load_relaxed(&slot->word), AP_REQUEST_TIMED));
}

Test(bounds, each_way_to_ask_is_within_them)
{
    const apiary_delegate_options_t longer = {.struct_size = sizeof longer, .timeout = 100 * SECOND},
                                    later = {.struct_size = sizeof later, .delay = SECOND};
    apiary_capability_t bound;
    apiary_task_t task;

    declare_timers();
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    expect_timed(task, 40 * SECOND);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &longer, &task), 0);
    expect_timed(task, 40 * SECOND);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, &later, &task), 0);
    expect_timed(task, 41 * SECOND);
    cr_assert_eq(apiary_bind(client, "echo", &bound), 0);
    cr_assert_eq(apiary_delegate_bound(client, bound, "x", 1, NULL, &task), 0);
    expect_timed(task, 40 * SECOND);
}

Test(bounds, so_is_a_batch_and_a_loan)
{
    const apiary_delegate_options_t longer = {.struct_size = sizeof longer, .timeout = 100 * SECOND};
    apiary_request_t requests[2] = {{.struct_size = sizeof requests[0], .capability = "echo", .body = "x", .size = 1}};
    apiary_task_t task, tasks[2];
    size_t submitted;
    void *loan;

    declare_timers();
    requests[1] = requests[0];
    requests[1].options = &longer;
    cr_assert_eq(apiary_delegate_batch(client, requests, 2, tasks, &submitted), 0);
    cr_assert_eq(submitted, 2);
    expect_timed(tasks[0], 40 * SECOND);
    expect_timed(tasks[1], 40 * SECOND);
    cr_assert_eq(apiary_loan(client, 1000, &loan), 0);
    memset(loan, 'x', 1000);
    cr_assert_eq(apiary_delegate_loan(client, "echo", loan, 1000, NULL, &task), 0);
    expect_timed(task, 40 * SECOND);
}

/* Its caller says nothing, and it may take longer than the segment's tasks. */
Test(bounds, a_call_lasts_as_long_as_its_task_may)
{
    apiary_task_t task;

    declare((struct ap_terms){.schedule_to_close = 1000 * SECOND + 1});
    ap_context_here(client)->deadline = 0;
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_expect_gt(ap_context_here(client)->deadline, client->seg->ops->now() + 900 * SECOND);
    declare((struct ap_terms){.schedule_to_close = MS + 1});
    cr_expect_eq(apiary_call(client, "echo", "x", 1, NULL, NULL, 0, NULL), APIARY_ETIMEDOUT);
}

Test(bounds, a_task_may_wait_for_a_provider_without_saying_so)
{
    apiary_task_t task;

    declare((struct ap_terms){.wait_for_provider = 2});
    worker_go(&w);
    worker_stop(&w);
    cr_assert_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0);
    cr_expect_eq(AP_WORD_STATE(ap_load_relaxed(&ap_slot_at(client->seg, task.slot)->word)), AP_TASK_SCHEDULED);
    worker_register(&w, "echo_service", "0", "echo", (const char *const[]){"echo", NULL});
}
