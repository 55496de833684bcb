/* Admission by deadline: a task that would wait past its deadline is refused at once, and told when to come again. */
#include "registry_fixture.h"

#include "registry/routing/deadline.h"
#include "registry/routing/terms.h"

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

TestSuite(deadline, .init = setup, .fini = teardown);

static int delegate(apiary_t *a, uint64_t timeout, apiary_task_t *ret)
{
    return apiary_delegate(a, "echo", "x", 1, APIARY_TIMEOUT(timeout), ret);
}

static struct ap_queue *queue(void)
{
    return ap_queue_at(client->seg, w.queue);
}

Test(deadline, what_would_be_late_is_refused_at_once)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    cr_expect_eq(apiary_refusal(client, &refusal), APIARY_ESTALE, "nothing was refused");
    for (int i = 0; i < 3; i++) cr_assert_eq(delegate(client, 10 * MS, &task), 0, "no pace is known");
    queue()->pace = 10 * MS;
    cr_expect_eq(ap_deadline_wait(client->seg, w.queue, 0, 0, AP_RANK_NORMAL), 60 * MS,
                 "three tasks and it, and half of that more");
    cr_expect_eq(delegate(client, 40 * MS, &task), APIARY_EBACKLOG);
    cr_expect_eq(queue()->refused, 1);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EBACKLOG);
    cr_expect_eq(refusal.retry_after, 20 * MS);
    cr_expect_not_null(strstr(refusal.message, "agent 'echo' has 3 tasks waiting"), "%s", refusal.message);
    cr_expect_not_null(strstr(refusal.message, "; retry after 20 ms"), "%s", refusal.message);
    queue()->margin = 151;
    cr_expect_eq(delegate(client, 60 * MS, &task), APIARY_EBACKLOG, "it is reckoned with more");
    cr_expect_eq(queue()->refused, 2);
    queue()->margin = 0;
    cr_expect_eq(delegate(client, 60 * MS, &task), 0, "just in time");
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, NULL, &task), 0, "who names no deadline has a long one");
    cr_expect_eq(queue()->refused, 2);
}

/* It would be ended where it waits, having done nothing. */
Test(deadline, what_would_not_be_started_in_time_is_refused_at_once)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o, .schedule_to_start = 40 * MS, .timeout = 100 * SECOND};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    for (int i = 0; i < 3; i++) cr_assert_eq(delegate(client, SECOND, &task), 0);
    queue()->pace = 10 * MS;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &o, &task), APIARY_EBACKLOG);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.retry_after, 20 * MS);
    o.schedule_to_start = 60 * MS;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &o, &task), 0);
    o.schedule_to_start = 100 * SECOND;
    o.timeout = 40 * MS;
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &o, &task), APIARY_EBACKLOG);
}

Test(deadline, where_nothing_waits_a_task_is_accepted)
{
    apiary_task_t task;

    queue()->pace = SECOND;
    cr_expect_eq(ap_deadline_wait(client->seg, w.queue, 0, 0, AP_RANK_NORMAL), 0);
    cr_expect_eq(delegate(client, 1, &task), 0);
    cr_expect_eq(queue()->refused, 0);
}

Test(deadline, the_flood_of_one_caller_is_not_anothers)
{
    apiary_t *polite = attach_as("polite");
    apiary_task_t task;

    for (int i = 0; i < 5; i++) cr_assert_eq(delegate(client, SECOND, &task), 0);
    queue()->pace = 10 * MS;
    cr_expect_eq(delegate(client, 60 * MS, &task), APIARY_EBACKLOG);
    cr_expect_eq(delegate(polite, 30 * MS, &task), 0, "before it there is one of the others: rings are served in turn");
    cr_expect_eq(delegate(polite, 30 * MS, &task), APIARY_EBACKLOG, "two, and its own first one");
    apiary_detach(polite);
}

/* The policy prefers the one where more time is waited for: it only counts tasks. */
Test(deadline, another_provider_is_tried_first)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    static struct worker second;
    struct ap_queue *other;
    struct ap_consumer c;
    apiary_task_t task;

    for (int i = 0; i < 3; i++) cr_assert_eq(delegate(client, SECOND, &task), 0);
    worker_register(&second, "echo_service", "1", "echo", (const char *const[]){"echo", NULL});
    other = ap_queue_at(client->seg, second.queue);
    ap_consumer_init(&c, client->seg, second.queue);
    ap_queue_running(&c, 100);
    queue()->pace = 10 * MS;
    cr_assert_eq(delegate(client, 40 * MS, &task), 0);
    cr_expect_eq(AP_WORD_OWNER(ap_slot_at(client->seg, task.slot)->word), second.queue);
    cr_expect_eq(queue()->refused, 0, "it was not refused");
    other->pace = 15 * MS;
    cr_expect_eq(delegate(client, 40 * MS, &task), APIARY_EBACKLOG, "45 ms there, 60 here");
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.retry_after, 5 * MS);
    cr_expect_eq(queue()->refused, 0);
    cr_expect_eq(other->refused, 1);
    worker_go(&second);
    worker_stop(&second);
}

/* A bounded task waits in the shared ring. That of the provider that would be in time is full. */
Test(deadline, another_provider_that_has_no_room)
{
    static const struct ap_terms bounded = {.concurrency = 1 + 1};
    struct ap_terms_conflicts conflicts = {.count = 0};
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    static struct worker second;
    apiary_task_t task = {.slot = 77};
    uint32_t n = 0, tickets;

    ap_terms_declare(client->seg, w.lane, w.queue, (uint32_t)ap_capability_find(client->seg, "echo", 4),
                     (const uint64_t *)(const void *)&bounded, &conflicts);
    for (int i = 0; i < 3; i++) cr_assert_eq(delegate(client, SECOND, &task), 0);
    worker_register(&second, "echo_service", "1", "other", (const char *const[]){"echo", NULL});
    while (ap_queue_push_shared(client->seg, second.queue, AP_REF(200, 1)) == 0) n++;
    cr_assert_eq(n, small.queue_depth);
    queue()->pace = 10 * MS;
    tickets = busy_tickets();
    task.slot = 77;
    cr_expect_eq(delegate(client, 40 * MS, &task), APIARY_EQUEUEFULL);
    cr_expect_eq(task.slot, 77);
    cr_expect_eq(busy_tickets(), tickets);
    cr_expect_eq(slots_in_use(), 3);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EQUEUEFULL);
    cr_expect_not_null(strstr(refusal.message, "agent 'other'"), "%s", refusal.message);
    worker_go(&second);
    worker_stop(&second);
}

Test(deadline, a_batch_stops_at_the_first_that_would_be_late)
{
    apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = 30 * MS};
    apiary_request_t requests[4];
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t tasks[4];
    size_t n;

    for (int i = 0; i < 4; i++)
        requests[i] = (apiary_request_t){.struct_size = sizeof *requests, .capability = "echo", .body = "x", .size = 1,
                                         .options = &options};
    queue()->pace = 10 * MS;
    cr_expect_eq(apiary_delegate_batch(client, requests, 4, tasks, &n), APIARY_EBACKLOG);
    cr_expect_eq(n, 2);
    cr_expect_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_EBACKLOG);
}

Test(deadline, a_pace_is_told_while_it_matters)
{
    struct ap_consumer c;

    ap_consumer_init(&c, client->seg, w.queue);
    queue()->depth = 0;
    ap_queue_pace(&c, SECOND);
    cr_expect_eq(queue()->pace, 0, "none waits");
    queue()->depth = 4;
    ap_queue_pace(&c, MS / 4 - 1);
    cr_expect_eq(queue()->pace, 0, "not worth mentioning");
    ap_queue_pace(&c, MS / 4);
    cr_expect_eq(queue()->pace, MS / 4);
    ap_queue_pace(&c, UINT64_MAX);
    cr_expect_eq(queue()->pace, AP_PACE_MAX);
    ap_queue_begin(client->seg, w.queue, false);
    cr_expect_eq(queue()->pace, 0);
    queue()->depth = 0;
}

Test(deadline, refusals_that_are_no_matter_of_load_name_no_time)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    apiary_task_t task;

    cr_expect_eq(apiary_refusal(client, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "nobody", "x", 1, NULL, &task), APIARY_ENOCAP);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_eq(refusal.error, APIARY_ENOCAP);
    cr_expect_eq(refusal.retry_after, 0);
    for (int i = 0; i < 5; i++) cr_assert_eq(delegate(client, SECOND, &task), 0);
    cr_expect_eq(delegate(client, SECOND, &task), APIARY_ELIMIT);
    cr_assert_eq(apiary_refusal(client, &refusal), 0);
    cr_expect_gt(refusal.retry_after, 0);
    cr_expect_not_null(strstr(refusal.message, "service 'caller' has 5 delegations under way of the 5"), "%s", refusal.message);
}

/* Who has time does not look at the rings: no more can wait than all of them hold, the shared one with them, of which one caller
 * has half. */
Test(deadline, all_rings_are_full)
{
    const uint32_t rings = small.queue_inlets + 1;
    apiary_t *callers[4];
    apiary_task_t task;

    cr_assert_eq(rings, 4);
    for (uint32_t i = 0; i < rings; i++) {
        callers[i] = attach_as(NULL);
        for (uint32_t k = 0; k < small.queue_depth / (i + 1 < rings ? 1 : 2); k++)
            cr_assert_eq(delegate(callers[i], 3600 * SECOND, &task), 0);
    }
    queue()->pace = MS;
    for (uint32_t i = 0; i < rings; i++) {
        uint64_t wait = (i + 1 < rings ? 29 : 20) * MS * 3 / 2; /* half a ring has five turns, and the task itself one of these */
        uint32_t lane = callers[i]->anchor->lane.index;

        cr_expect_eq(ap_deadline_wait(client->seg, w.queue, i, lane, AP_RANK_NORMAL), wait, "ring %u", i);
        cr_expect_eq(ap_deadline_excess(client->seg, w.queue, i, lane, AP_RANK_NORMAL, 29 * MS), wait - 29 * MS, "ring %u", i);
    }
    for (uint32_t i = 0; i < rings; i++) apiary_detach(callers[i]);
}
