/* Tasks that an agent delegates for a job, by a clock that the test sets: their time, and their end with the job. */
#include "tests/unit/steps_fixture.h"

#include "agents/runtime/parent.h"
#include "registry/client/carried.h"
#include "shm/due.h"

TestSuite(parent, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static apiary_job_t *outer, *inner; /* in the first agent's hands, and in the second's */
static int ended = 1, refused = 1;  /* 1: not yet */
static apiary_task_t child;
static apiary_delegate_options_t options;
static bool again; /* its end is answered by another delegation */

static void on_end(void *user, const apiary_result_t *result)
{
    (void)user;
    ended = result->code;
    child = result->task;
    if (again) refused = apiary_agent_delegate_external_task(hive.agents[0].state, "second", "", 0, NULL, on_end, NULL);
}

static int pass(apiary_job_t *job)
{
    options.struct_size = sizeof options;
    return apiary_job_delegate(job, "second", "", 0, &options, (options.flags & APIARY_DETACH) != 0 ? NULL : on_end, NULL);
}

static void take_outer(void *state, apiary_job_t *job)
{
    (void)state;
    outer = job;
}

static void take_inner(void *state, apiary_job_t *job)
{
    (void)state;
    inner = job;
}

/* A task for the first agent; nothing is passed on yet. */
static apiary_task_t begin(apiary_delegate_options_t o)
{
    apiary_task_t task;

    o.struct_size = sizeof o;
    cr_assert_eq(apiary_delegate(a, "first", "", 0, &o, &task), 0);
    hive_handlers(take_outer, take_inner);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_not_null(outer);
    return task;
}

static void run_child(void)
{
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_not_null(inner);
}

static int poll_one(void)
{
    return ap_delegations_poll(&hive.worker, 1, false);
}

Test(parent, a_child_has_at_most_what_its_parent_has_left)
{
    uint64_t began = clock_now;

    begin((apiary_delegate_options_t){.timeout = 10 * SECOND});
    clock_now += 4 * SECOND;
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), began + 10 * SECOND, "the default is longer");
    cr_expect_leq(ap_delegations_due(&hive.worker), clock_now + AP_PARENT_LOOKS);
    options = (apiary_delegate_options_t){.timeout = 2 * SECOND};
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), clock_now + 2 * SECOND);
    options = (apiary_delegate_options_t){.timeout = APIARY_FOREVER, .parent_close = APIARY_PARENT_REQUEST_CANCEL};
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), began + 10 * SECOND);
    options = (apiary_delegate_options_t){.timeout = APIARY_FOREVER, .parent_close = APIARY_PARENT_ABANDON};
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), APIARY_FOREVER);
    options = (apiary_delegate_options_t){.delay = 6 * SECOND};
    cr_expect_eq(pass(outer), APIARY_ETIMEDOUT, "it would be run when the other is over");
    options = (apiary_delegate_options_t){.parent_close = APIARY_PARENT_REQUEST_CANCEL + 1};
    cr_expect_eq(pass(outer), APIARY_EINVAL);
    options = (apiary_delegate_options_t){.delay = 5 * SECOND};
    cr_expect_eq(pass(outer), 0);
    options = (apiary_delegate_options_t){.flags = 0};
    clock_now += 6 * SECOND;
    cr_expect_eq(pass(outer), APIARY_ETIMEDOUT);
}

/* Whoever looks at a task that ends with its parent reads how, also where the agent has said nothing. */
Test(parent, a_child_says_its_policy)
{
    static const struct {
        uint32_t flags;
        uint64_t said, shown;
    } rows[] = {
        {0, 0, APIARY_PARENT_TERMINATE}, {APIARY_DETACH, 0, 0},
        {0, APIARY_PARENT_ABANDON, APIARY_PARENT_ABANDON}, {0, APIARY_PARENT_REQUEST_CANCEL, APIARY_PARENT_REQUEST_CANCEL},
        {APIARY_DETACH, APIARY_PARENT_TERMINATE, APIARY_PARENT_TERMINATE},
    };

    begin((apiary_delegate_options_t){.flags = 0});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_carried carried;

        options = (apiary_delegate_options_t){.flags = rows[i].flags, .parent_close = rows[i].said};
        inner = NULL;
        cr_assert_eq(pass(outer), 0);
        run_child();
        ap_carried_read(a->seg, apiary_job_task(inner), &carried);
        cr_expect_eq(carried.parent_close, rows[i].shown, "row %zu: %llu", i, (unsigned long long)carried.parent_close);
        cr_expect_eq(apiary_job_reply(inner, "", 0), 0);
    }
}

/* That it is over is seen, by whatever it ends, though nobody collects it; so its worker does not look for ever. */
Test(parent, what_is_fire_and_forget_is_followed_to_its_end)
{
    begin((apiary_delegate_options_t){.timeout = 10 * SECOND});
    options = (apiary_delegate_options_t){.flags = APIARY_DETACH, .parent_close = APIARY_PARENT_TERMINATE, .timeout = 5 * SECOND};
    for (int late = 0; late < 2; late++) {
        cr_assert_eq(pass(outer), 0);
        cr_assert_eq(hive.worker.delegation_count, 1);
        cr_expect_eq(poll_one(), 0, "it waits");
        run_child();
        cr_expect_eq(poll_one(), 0, "it runs");
        cr_expect_eq(hive.worker.delegation_count, 1);
        if (late) clock_now += 5 * SECOND;
        else cr_expect_eq(apiary_job_reply(inner, "", 0), 0);
        cr_expect_eq(poll_one(), 1);
        cr_expect_eq(hive.worker.delegation_count, 0);
        cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX);
        if (late) cr_expect_eq(apiary_job_reply(inner, "", 0), 0, "nobody has taken it from its agent");
    }
    cr_expect_eq(ended, 1, "nobody was to be told");
}

Test(parent, an_attempt_bounds_it_too)
{
    begin((apiary_delegate_options_t){.timeout = 10 * SECOND, .start_to_close = 3 * SECOND});
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), clock_now + 3 * SECOND);
}

Test(parent, what_waits_is_taken_back_when_its_parent_is_cancelled)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.flags = 0});

    again = true;
    cr_assert_eq(pass(outer), 0);
    cr_expect_eq(poll_one(), 0);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, APIARY_ECANCELLED);
    cr_expect_eq(refused, APIARY_ECANCELLED, "nothing more is delegated for it");
    ap_worker_serve(&hive.worker);
    cr_expect_null(inner, "it was started all the same");
    options.parent_close = APIARY_PARENT_ABANDON;
    cr_expect_eq(pass(outer), 0, "but what is to outlive it");
}

/* Over any depth: each worker sees to what it has delegated. */
Test(parent, what_runs_is_told_when_its_parent_is_given_up)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.flags = 0});
    apiary_job_t *middle;

    cr_assert_eq(pass(outer), 0);
    run_child();
    middle = inner;
    cr_assert_eq(pass(middle), 0);
    run_child();
    cr_expect_eq(apiary_job_cancelled(middle), 0);
    ap_give_up(a, task);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(apiary_job_cancelled(middle), 1);
    cr_expect_eq(apiary_job_cancelled(inner), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(apiary_job_cancelled(inner), 1);
}

Test(parent, its_children_end_with_it)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.flags = 0});

    again = true;
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_assert_eq(apiary_job_reply(outer, "", 0), 0);
    cr_expect_eq(code_of(task), 0);
    cr_expect_eq(pass(outer), APIARY_ESTALE);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, APIARY_ECANCELLED);
    cr_expect_eq(refused, APIARY_ECANCELLED);
    cr_expect_eq(apiary_job_cancelled(inner), 1);
}

/* Also when the same agent has the same task in hand again. */
Test(parent, another_attempt_is_another_parent)
{
    begin((apiary_delegate_options_t){.retry = {.max_attempts = 2, .backoff = 1}});
    again = true;
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_assert_eq(apiary_job_fail(outer, 7, "no"), 0);
    clock_now += SECOND / 100;
    ap_due_look(b->seg, &ap_registry_hooks, b->anchor->lane.index);
    outer = NULL;
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_not_null(outer);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, APIARY_ECANCELLED);
    cr_expect_eq(refused, APIARY_ECANCELLED);
}

Test(parent, one_that_takes_too_long_takes_them_along)
{
    begin((apiary_delegate_options_t){.heartbeat = 3 * SECOND});
    cr_assert_eq(pass(outer), 0);
    run_child();
    clock_now += 3 * SECOND;
    cr_expect_eq(ap_timers_look(&hive.worker), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, APIARY_ECANCELLED);
    cr_expect_eq(apiary_job_cancelled(inner), 1);
}

Test(parent, a_child_may_be_asked_to_stop_and_be_waited_for)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.flags = 0});

    options.parent_close = APIARY_PARENT_REQUEST_CANCEL;
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(ap_load_relaxed(&((struct ap_job *)ap_handle_get(inner))->at->request) & AP_REQUEST_BOUND, AP_REQUEST_BOUND,
                 "it ends with its parent's worker, too");
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_expect_eq(poll_one(), 0);
    cr_expect_eq(apiary_job_cancelled(inner), 1);
    cr_expect_eq(poll_one(), 0);
    cr_assert_eq(apiary_job_reply(inner, "all of it", 9), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, 0);
}

Test(parent, a_child_may_be_left_alone)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.flags = 0});

    options.parent_close = APIARY_PARENT_ABANDON;
    cr_assert_eq(pass(outer), 0);
    run_child();
    cr_expect_eq(ap_load_relaxed(&((struct ap_job *)ap_handle_get(inner))->at->request) & AP_REQUEST_BOUND, 0,
                 "nor does it end with its parent's worker");
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(apiary_job_fail(outer, 7, "cancelled"), 0);
    cr_expect_eq(poll_one(), 0);
    cr_expect_eq(apiary_job_cancelled(inner), 0);
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
    cr_expect_eq(ended, APIARY_ESHUTDOWN, "its worker ends");
    cr_expect_eq(apiary_job_cancelled(inner), 0);
    cr_expect_eq(apiary_job_reply(inner, "", 0), 0);
}

Test(parent, what_is_fire_and_forget_outlives_it_unless_it_is_not_to)
{
    apiary_job_t *free_one, *bound_one;

    begin((apiary_delegate_options_t){.flags = 0});
    options.flags = APIARY_DETACH;
    cr_assert_eq(pass(outer), 0);
    cr_expect_eq(hive.worker.delegation_count, 0);
    run_child();
    free_one = inner;
    options.parent_close = APIARY_PARENT_TERMINATE;
    cr_assert_eq(pass(outer), 0);
    cr_expect_eq(hive.worker.delegation_count, 1);
    run_child();
    bound_one = inner;
    cr_expect_eq(poll_one(), 0);
    cr_assert_eq(apiary_job_reply(outer, "", 0), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(apiary_job_cancelled(free_one), 0);
    cr_expect_eq(apiary_job_cancelled(bound_one), 1);
    cr_expect_eq(apiary_job_reply(free_one, "", 0), 0);
    cr_expect_eq(apiary_job_reply(bound_one, "", 0), 0);
}

/* In the callback of a watch: nobody knows for which job it is. */
Test(parent, what_is_for_no_job_outlives_all)
{
    begin((apiary_delegate_options_t){.timeout = 10 * SECOND});
    ap_lane_inside(b->anchor->lane.lane, AP_INSIDE_AGENT(hive.agents[0].queue));
    cr_assert_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "", 0, NULL, on_end, NULL), 0);
    ap_lane_inside(b->anchor->lane.lane, 0);
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), clock_now + b->seg->geometry.task_timeout);
    cr_assert_eq(apiary_job_reply(outer, "", 0), 0);
    cr_expect_eq(poll_one(), 0);
    cr_expect_eq(apiary_job_cancelled(inner), 0);
}

static void caught_up(void *user, apiary_job_t *job)
{
    (void)user;
    cr_expect_eq(job, outer);
    refused = apiary_agent_delegate_external_task(hive.agents[0].state, "second", "", 0, NULL, on_end, NULL);
}

/* Whatever the agent was called for last. */
Test(parent, what_is_delegated_when_the_reader_has_caught_up_is_for_that_job)
{
    apiary_task_t task = begin((apiary_delegate_options_t){.timeout = 10 * SECOND, .flags = APIARY_PARTS});
    apiary_job_t *writer = outer;
    apiary_part_t part = {.struct_size = sizeof part};
    uint64_t began = clock_now;
    char bytes[1000] = "";

    while (apiary_job_part(outer, bytes, sizeof bytes) == 0) {}
    cr_assert_eq(apiary_job_part_ready(outer, caught_up, NULL), 0);
    begin((apiary_delegate_options_t){.timeout = 100 * SECOND});
    outer = writer;
    while (apiary_next_part(a, task, 0, bytes, sizeof bytes, &part) == 1) {}
    cr_expect_eq(ap_timers_look(&hive.worker), 1);
    cr_expect_eq(refused, 0, "%s", apiary_error_name(refused));
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), began + 10 * SECOND);
    cr_assert_eq(apiary_job_reply(writer, "", 0), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(ended, APIARY_ECANCELLED);
}

/* Before it has a ticket. */
Test(parent, what_waits_for_a_ticket_ends_with_its_parent)
{
    apiary_task_t task;

    b->service = (int)hive.queen.service_index;
    b->limit = 1;
    task = begin((apiary_delegate_options_t){.flags = 0});
    cr_assert_eq(pass(outer), 0);
    cr_assert_eq(pass(outer), 0);
    cr_assert_eq(hive.worker.waiting.count, 1);
    run_child();
    cr_assert_eq(apiary_cancel(a, task), 0);
    ap_delegations_poll(&hive.worker, 1, false);
    cr_expect_eq(ended, APIARY_ECANCELLED);
    cr_expect_eq(hive.worker.waiting.count, 0);
    cr_expect_eq(hive.agents[1].started, 1, "the other was started all the same");
    b->service = -1;
}

/* Nor is what follows from it, whatever was in hand when it began. */
Test(parent, what_follows_from_what_is_for_no_job_is_for_none)
{
    apiary_job_t *first;

    begin((apiary_delegate_options_t){.timeout = 10 * SECOND});
    ap_lane_inside(b->anchor->lane.lane, AP_INSIDE_AGENT(hive.agents[0].queue));
    cr_assert_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "", 0, NULL, on_end, NULL), 0);
    ap_lane_inside(b->anchor->lane.lane, 0);
    run_child();
    first = inner;
    again = true;
    cr_assert_eq(apiary_job_reply(first, "", 0), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(refused, 0, "with a job in hand");
    run_child();
    cr_expect_eq(apiary_job_deadline(inner), clock_now + b->seg->geometry.task_timeout);
    cr_assert_eq(apiary_job_reply(outer, "", 0), 0);
    cr_assert_eq(apiary_job_reply(inner, "", 0), 0);
    refused = 1;
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(refused, 0, "and when that has ended");
}

/* Its attempts are its worker's to end, and it may be tried again: it is not forgotten before its deadline. */
Test(parent, what_is_fire_and_forget_is_remembered_beyond_an_attempt)
{
    begin((apiary_delegate_options_t){.flags = 0});
    options = (apiary_delegate_options_t){.flags = APIARY_DETACH, .parent_close = APIARY_PARENT_TERMINATE, .timeout = 50 * SECOND,
                                          .start_to_close = SECOND, .retry = {.max_attempts = 3}};
    cr_assert_eq(pass(outer), 0);
    run_child();
    ap_lane_inside(b->anchor->lane.lane, AP_INSIDE_AGENT(hive.agents[1].queue));
    clock_now += 20 * SECOND;
    cr_expect_eq(poll_one(), 0);
    cr_expect_gt(ap_delegations_due(&hive.worker), clock_now);
    ap_lane_inside(b->anchor->lane.lane, 0);
    cr_assert_eq(apiary_job_reply(outer, "", 0), 0);
    cr_expect_eq(poll_one(), 1);
    cr_expect_eq(apiary_job_cancelled(inner), 1);
}
