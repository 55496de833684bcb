/* What agents delegate, looked at step by step: how it ends, in which order, and when at the latest. */
#include "tests/unit/steps_fixture.h"

#include "shm/due.h"

TestSuite(worker_delegations, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

static struct {
    intptr_t user;
    int code;
    size_t size;
    apiary_task_t task;
    char first;
} ends[64];
static int ended, more; /* more: how many the callback delegates in its turn */

static void end(void *user, const apiary_result_t *result);

/* By the first agent, to the second unless told otherwise. */
static int delegate(const char *capability, uint64_t timeout, intptr_t user)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = timeout};

    return apiary_agent_delegate_external_task(hive.agents[0].state, capability, "x", 1, timeout != 0 ? &o : NULL, end,
                                               (void *)user);
}

static void end(void *user, const apiary_result_t *result)
{
    cr_assert_lt(ended, 64);
    ends[ended].user = (intptr_t)user;
    ends[ended].code = result->code;
    ends[ended].size = result->size;
    ends[ended].task = result->task;
    ends[ended++].first = result->size > 0 ? *(const char *)result->data : 0;
    if (more-- > 0) cr_expect_eq(delegate("second", 0, (intptr_t)user + 10), 0);
}

static int poll_some(uint32_t most)
{
    return ap_delegations_poll(&hive.worker, most, false);
}

Test(worker_delegations, end_with_what_their_tasks_came_to)
{
    hive_handlers(echo, fail);
    cr_expect_eq(delegate("first", 0, 1), 0);
    cr_expect_eq(delegate("second", 0, 2), 0);
    cr_expect_eq(hive.worker.delegation_count, 2);
    cr_expect_eq(poll_some(16), 0, "nothing has run");
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    cr_expect_eq(poll_some(16), 2);
    cr_expect_eq(hive.worker.delegation_count, 0);
    cr_expect_eq(poll_some(16), 0);
    cr_assert_eq(ended, 2);
    cr_expect(ends[0].user == 1 && ends[0].code == 0 && ends[0].size == 1 && ends[0].first == 'x');
    cr_expect(ends[1].user == 2 && ends[1].code == APIARY_EAGENT && ends[1].size > 1 && ends[1].first == 'n');
    for (int i = 0; i < 2; i++) {
        cr_expect_neq(ends[i].task.generation, 0);
        cr_expect_eq(AP_WORD_STATE(ap_load_acquire(&ap_slot_at(b->seg, ends[i].task.slot)->word)), AP_TASK_FREE);
    }
}

Test(worker_delegations, are_looked_at_in_turn_a_few_at_a_time)
{
    hive_handlers(keep, echo);
    cr_expect_eq(delegate("first", 0, 0), 0, "it is kept");
    for (int i = 1; i < 5; i++) cr_expect_eq(delegate("second", 0, i), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 5);
    cr_expect_eq(poll_some(0), 0);
    cr_expect_eq(poll_some(2), 1, "of the first two one is kept");
    cr_expect_eq(poll_some(2), 2);
    cr_expect_eq(hive.worker.delegation_count, 2);
    cr_expect_eq(poll_some(100), 1, "none is looked at twice");
    cr_expect_eq(apiary_job_reply(kept[0], "k", 1), 0);
    cr_expect_eq(poll_some(1), 1);
    for (int i = 0; i < 5; i++) cr_expect_eq(ends[i].user, (i + 1) % 5);
    cr_expect_eq(ends[4].first, 'k');
}

Test(worker_delegations, are_given_up_when_their_time_is_over)
{
    apiary_task_t task;
    uint64_t began = clock_now;

    cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX);
    cr_expect_eq(delegate("second", APIARY_FOREVER, 1), 0);
    cr_expect_eq(delegate("second", UINT64_MAX - began, 2), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX);
    cr_expect_eq(delegate("second", UINT64_MAX - began - 1, 3), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX - 1);
    cr_expect_eq(delegate("second", 0, 4), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), began + b->seg->geometry.task_timeout);
    cr_expect_eq(delegate("second", 1000, 5), 0);
    cr_expect_eq(delegate("second", 2000, 6), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), began + 1000);
    clock_now = began + 999;
    cr_expect_eq(poll_some(16), 0);
    clock_now = began + 1000;
    cr_expect_eq(poll_some(16), 1);
    cr_expect(ended == 1 && ends[0].user == 5 && ends[0].code == APIARY_ETIMEDOUT && ends[0].size == 0);
    task = ends[0].task;
    cr_expect_eq(AP_WORD_STATE(ap_load_acquire(&ap_slot_at(b->seg, task.slot)->word)), AP_TASK_FREE, "it had not begun");
    cr_expect_eq(ap_delegations_due(&hive.worker), began + 2000);
    cr_expect_eq(ap_worker_serve(&hive.worker), 6, "with the reference of the one that is gone");
    cr_expect_eq(handled, 5);
    cr_expect_eq(poll_some(16), 5);
}

/* Nobody else may run it, so nobody ever would: at once, or when its time has come. */
Test(worker_delegations, one_for_a_provider_that_has_gone_ends)
{
    static const char *const capabilities[] = {"second", NULL};
    struct ap_agent_registration agent = {.name = "other", .capabilities = capabilities, .lane = a->anchor->lane.index};
    struct ap_swarm_registration swarm = {.service = "others", .lane = a->anchor->lane.index, .member = a->member,
                                          .agents = &agent, .agent_count = 1};
    uint32_t *bell = &b->anchor->lane.lane->bell, seen;

    for (int i = 0; i < 2; i++) {
        apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = i == 0 ? 0 : SECOND};

        cr_assert_eq(ap_swarm_register(a->seg, &swarm), 0);
        o.provider = AP_PROVIDER(agent.queue, ap_load_relaxed(&ap_queue_at(a->seg, agent.queue)->life));
        cr_assert_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "x", 1, &o, end, (void *)(intptr_t)i), 0);
        cr_expect_eq(ap_delegations_poll(&hive.worker, 16, true), 0);
        seen = ap_bell_raise(bell);
        ap_swarm_deregister(a->seg, a->anchor->lane.index, &swarm);
        clock_now += 2 * SECOND;
        ap_due_look(b->seg, &ap_registry_hooks, b->anchor->lane.index);
        ap_delegations_poll(&hive.worker, 16, true);
        cr_expect_neq(ap_load_relaxed(bell), seen, "and its worker does not go to sleep");
        ap_delegations_poll(&hive.worker, 16, false);
        cr_assert_eq(ended, i + 1);
        cr_expect(ends[i].user == i && ends[i].code == APIARY_ENOPROVIDER, "%s", apiary_error_name(ends[i].code));
    }
    ap_worker_serve(&hive.worker);
    cr_expect_eq(handled, 0);
}

/* Also what their callbacks delegate. */
Test(worker_delegations, end_all_of_them)
{
    more = 3;
    for (int i = 0; i < 3; i++) cr_expect_eq(delegate("second", 0, i), 0);
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
    cr_assert_eq(ended, 6);
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(ends[i].user, i < 3 ? i : i + 7);
        cr_expect_eq(ends[i].code, APIARY_ESHUTDOWN);
        cr_expect_eq(ends[i].size, 0);
    }
    cr_expect_eq(hive.worker.delegation_count, 0);
    cr_expect_null(hive.worker.delegations);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(handled, 0, "they were given up");
}

/* Its task was collected by somebody else, which only a misuse of the queen's handle can do. */
Test(worker_delegations, one_without_a_task_is_told)
{
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_agent *at = NULL;
    uint64_t ref;

    cr_expect_eq(delegate("second", 0, 1), 0);
    ref = ap_delegations_here(&hive.worker, &at);
    cr_expect_eq(at, &hive.agents[1]);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(apiary_poll(b, ap_task_id(b->seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref)), &result), 0);
    cr_assert_eq(apiary_release(b, &result), 0);
    cr_expect_eq(poll_some(16), 1);
    cr_expect(ended == 1 && ends[0].code == APIARY_ESTALE && ends[0].size == 0);
}

/* Those that wait at an agent of the same worker, which has a hand free. */
Test(worker_delegations, here_are_those_that_this_worker_can_start)
{
    struct ap_agent *at = NULL;
    uint64_t ref;

    hive_handlers(keep, count);
    cr_expect_eq(ap_delegations_here(&hive.worker, &at), 0);
    cr_expect_null(at);
    cr_expect_eq(delegate("first", 0, 1), 0);
    cr_expect_eq(delegate("second", 0, 2), 0);
    ref = ap_delegations_here(&hive.worker, &at);
    cr_expect_eq(at, &hive.agents[0]);
    hive.agents[0].in_hand = hive.agents[0].limit;
    cr_expect_neq(ap_delegations_here(&hive.worker, &at), ref);
    cr_expect_eq(at, &hive.agents[1]);
    hive.agents[0].in_hand = hive.agents[0].limit - 1;
    cr_expect_eq(ap_delegations_here(&hive.worker, &at), ref);
    cr_expect_eq(at, &hive.agents[0]);
    hive.agents[0].in_hand = 0;
    cr_assert_eq(ap_worker_serve(&hive.worker), 2);
    at = NULL;
    cr_expect_eq(ap_delegations_here(&hive.worker, &at), 0, "both have begun");
    cr_expect_null(at);
}

/* ---- for whose sake --------------------------------------------------------------------------------------------- */

static unsigned char traces[8]; /* the first byte of each trace that the second agent has seen */

static void see_trace(void *state, apiary_job_t *job)
{
    apiary_trace_t trace = {.flags = 0};

    cr_assert_lt(handled, 8);
    traces[handled] = apiary_job_trace(job, &trace) == 1 ? trace.trace_id[0] : 0xff;
    count(state, job);
}

static uint64_t inside[4]; /* whose code each callback was */
static int insides;

static void ask_once_more(void *user, const apiary_result_t *result)
{
    cr_assert_lt(insides, 4);
    inside[insides++] = ap_load_relaxed(&hive.worker.context->lane.lane->inside);
    cr_expect_eq(result->code, 0);
    cr_expect_eq(delegate("second", 0, (intptr_t)user), 0);
}

static void ask_and_keep(void *state, apiary_job_t *job)
{
    kept[kept_count++] = job;
    cr_expect_eq(apiary_agent_execute_task(state, "second", NULL, 0, NULL, ask_once_more, NULL), 0);
}

/* With two tasks in hand a callback is still for the one that it was asked for, and afterwards nothing is for either. */
Test(worker_delegations, what_a_callback_delegates_is_for_the_same_task)
{
    static const unsigned char expected[] = {0x11, 0x22, 0x11, 0x22, 0xff};

    hive_handlers(ask_and_keep, see_trace);
    for (int i = 1; i <= 2; i++) {
        apiary_delegate_options_t o = {.struct_size = sizeof o};
        apiary_task_t task;

        memset(o.trace.trace_id, 0x11 * i, sizeof o.trace.trace_id);
        memset(o.trace.parent_id, 0x55, sizeof o.trace.parent_id);
        cr_assert_eq(apiary_delegate(a, "first", NULL, 0, &o, &task), 0);
    }
    cr_assert_eq(ap_worker_serve(&hive.worker) + ap_worker_serve(&hive.worker), 4);
    cr_expect_eq(poll_some(16), 2);
    cr_assert_eq(insides, 2);
    for (int i = 0; i < 2; i++) {
        apiary_task_t task = apiary_job_task(kept[i]);

        cr_expect_eq(inside[i], AP_REF(task.slot, task.generation), "a crash in it is that task's");
    }
    cr_expect_eq(ap_load_relaxed(&hive.worker.context->lane.lane->inside), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 2);
    cr_expect_eq(delegate("second", 0, 1), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_arr_eq(traces, expected, sizeof expected);
    cr_expect_eq(poll_some(16), 3);
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

static int refusals[8];

static void ask_badly(void *state, apiary_job_t *job)
{
    struct {
        apiary_delegate_options_t o;
        uint64_t of_tomorrow;
    } later = {.o = {.struct_size = sizeof later}, .of_tomorrow = 1};
    const apiary_delegate_options_t small = {.struct_size = 1}, detach = {.struct_size = sizeof detach, .flags = APIARY_DETACH};
    int n = 0;

    refusals[n++] = apiary_agent_execute_task(state, "second", "x", 1, &small, end, NULL);
    refusals[n++] = apiary_agent_execute_task(state, "second", "x", 1, &later.o, end, NULL);
    refusals[n++] = apiary_agent_execute_task(state, "second", "x", 1, &detach, end, NULL);
    refusals[n++] = apiary_agent_execute_task(state, "second", "x", 1, NULL, NULL, NULL);
    refusals[n++] = apiary_agent_execute_task(state, "second", NULL, 1, NULL, end, NULL);
    refusals[n++] = apiary_agent_execute_task(state, NULL, "x", 1, NULL, end, NULL);
    refusals[n++] = apiary_agent_execute_task(state, "nobody", "x", 1, NULL, end, NULL);
    refusals[n++] = apiary_agent_execute_task(NULL, "second", "x", 1, NULL, end, NULL);
    apiary_job_reply(job, NULL, 0);
}

Test(worker_delegations, refused_arguments_leave_nothing)
{
    static const int codes[] = {APIARY_EINVAL, APIARY_ENOTSUP, APIARY_EINVAL, APIARY_EINVAL,
                                APIARY_EINVAL, APIARY_EINVAL,  APIARY_ENOCAP, APIARY_EINVAL};
    apiary_task_t task = asked("first", NULL, 0, 0);

    hive_handlers(ask_badly, count);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    for (int i = 0; i < 8; i++) cr_expect_eq(refusals[i], codes[i], "%d: %d", i, refusals[i]);
    cr_expect_eq(hive.worker.delegation_count, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 0);
    cr_expect_eq(ended, 0);
    cr_expect_eq(code_of(task), 0);
}

Test(worker_delegations, one_that_is_forgotten_is_done_and_no_more)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};

    cr_expect_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "x", 1, &o, NULL, NULL), 0);
    cr_expect_eq(hive.worker.delegation_count, 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(handled, 1);
    cr_expect_eq(poll_some(16), 0);
}

/* Somebody who looks for his delegations' ends need not sleep. */
Test(worker_delegations, keep_their_worker_awake_when_they_have_ended)
{
    uint32_t bell;

    cr_expect_eq(delegate("second", 0, 1), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "it waits in the worker's own queue");
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(ended, 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ended, 1, "the last look has told it");
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
}

/* ---- that wait for a ticket ----------------------------------------------------------------------------------------- */

/* As the anchor of a service that may have two under way. */
static void two_tickets(void)
{
    b->service = (int)hive.worker.queen->service_index;
    b->limit = 2;
    cr_expect_eq(delegate("second", 5000, 0), 0);
    cr_expect_eq(delegate("second", 5000, 1), 0);
    cr_expect_eq(hive.worker.waiting.count, 0);
}

Test(worker_delegations, wait_for_a_ticket_in_order)
{
    hive_handlers(echo, echo);
    two_tickets();
    for (int i = 2; i < 6; i++) cr_expect_eq(delegate("second", 0, i), 0);
    cr_expect_eq(hive.worker.delegation_count, 2);
    cr_expect_eq(hive.worker.waiting.count, 4);
    cr_expect_eq(ap_swarm_at(b->seg, hive.worker.queen->registration.swarm)->waited, 4);
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    cr_expect_eq(poll_some(1), 2, "one has ended, and one was started");
    cr_expect_eq(hive.worker.waiting.count, 3);
    cr_expect_eq(delegate("second", 0, 6), 0, "there may be a ticket, and it goes behind the others all the same");
    cr_expect_eq(hive.worker.waiting.count, 4);
    for (int turns = 0; turns < 8; turns++) {
        ap_worker_serve(&hive.worker);
        poll_some(16);
    }
    cr_assert_eq(ended, 7);
    for (int i = 0; i < 7; i++)
        cr_expect(ends[i].user == i && ends[i].code == 0, "%d: %ld %d", i, (long)ends[i].user, ends[i].code);
    cr_expect_eq(hive.worker.waiting.count, 0);
    cr_expect_null(hive.worker.waiting.first);
    cr_expect_eq(ap_delegations_due(&hive.worker), UINT64_MAX);
}

/* Nobody tells when a ticket of another process is free. */
Test(worker_delegations, are_tried_again_after_a_pause)
{
    uint64_t began = clock_now;

    two_tickets();
    cr_expect_eq(delegate("second", APIARY_FOREVER, 2), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), began + 5000);
    b->limit = 3;
    clock_now = began + 999999;
    cr_expect_eq(poll_some(0), 0);
    clock_now = began + 1000000;
    cr_expect_eq(poll_some(0), 1);
    cr_expect_eq(hive.worker.waiting.count, 0);
    cr_expect_eq(hive.worker.delegation_count, 3);
}

Test(worker_delegations, that_wait_end_at_their_time)
{
    const apiary_delegate_options_t start = {.struct_size = sizeof start, .timeout = 4000, .schedule_to_start = 700};
    uint64_t began = clock_now;

    two_tickets();
    cr_expect_eq(delegate("second", 3000, 2), 0);
    cr_expect_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "y", 1, &start, end, (void *)3), 0);
    cr_expect_eq(ap_delegations_due(&hive.worker), began + 700);
    clock_now = began + 699;
    cr_expect_eq(poll_some(16), 0);
    clock_now = began + 700;
    cr_expect_eq(poll_some(16), 1);
    cr_expect(ended == 1 && ends[0].user == 3 && ends[0].code == APIARY_ETIMEDOUT);
    clock_now = began + 2999;
    cr_expect_eq(poll_some(16), 0);
    clock_now = began + 3000;
    cr_expect_eq(poll_some(16), 1);
    cr_expect(ended == 2 && ends[1].user == 2 && ends[1].code == APIARY_ETIMEDOUT);
    cr_expect_eq(ends[1].task.generation, 0, "it never was a task");
    cr_expect_eq(delegate("second", 0, 4), 0);
    ap_delegations_end(&hive.worker, APIARY_ESHUTDOWN);
    cr_assert_eq(ended, 5);
    cr_expect(ends[4].user == 4 && ends[4].code == APIARY_ESHUTDOWN);
}

/* What is left of the time, and no more, is the task's. */
Test(worker_delegations, that_have_waited_have_less_time)
{
    uint64_t began = clock_now, word;
    struct ap_slot *slot;
    apiary_task_t task;

    two_tickets();
    cr_expect_eq(delegate("second", 3000000, 2), 0);
    b->limit = 3;
    clock_now = began + 1000000;
    cr_expect_eq(poll_some(16), 3, "the first two are late, and it is begun");
    cr_assert_eq(hive.worker.delegation_count, 1);
    cr_expect_eq(ap_delegations_due(&hive.worker), began + 3000000);
    more = 0;
    clock_now = began + 3000000;
    cr_expect_eq(poll_some(16), 1);
    task = ends[ended - 1].task;
    slot = ap_slot_at(b->seg, task.slot);
    word = ap_load_acquire(&slot->word);
    cr_expect_eq(AP_WORD_STATE(word), AP_TASK_FREE);
    cr_expect_eq(ap_load_relaxed(&slot->deadline), began + 3000000);
}

/* Without a callback the log is told. */
Test(worker_delegations, that_wait_and_are_fire_and_forget)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = 1000, .flags = APIARY_DETACH};

    two_tickets();
    for (int i = 0; i < 2; i++)
        cr_expect_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "z", 1, &o, NULL, NULL), 0);
    cr_expect_eq(hive.worker.waiting.count, 2);
    clock_now += 1000;
    cr_expect_eq(poll_some(16), 2);
    cr_expect_not_null(strstr(logged(), "a task for second, which has waited for a ticket, was not delegated"), "%s", logged());
    cr_expect_eq(hive.worker.waiting.count, 0);
}

Test(worker_delegations, that_wait_are_bounded)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};

    two_tickets();
    for (uint32_t i = 0; i < 1024; i++)
        cr_assert_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "z", 1, &o, NULL, NULL), 0);
    cr_expect_eq(delegate("second", 0, 2), APIARY_ELIMIT);
    cr_expect_eq(apiary_agent_delegate_external_task(hive.agents[0].state, "second", "z", 1, &o, NULL, NULL), APIARY_ELIMIT);
}

/* Refused for another reason when its turn comes. */
Test(worker_delegations, that_wait_are_told_why_not)
{
    two_tickets();
    cr_expect_eq(delegate("second", 0, 2), 0);
    cr_assert_eq(ap_queue_close(b->seg, hive.agents[1].queue, ap_load_acquire(&queue_at(1)->life)), 1);
    b->limit = 3;
    clock_now += 1000000;
    cr_expect_eq(poll_some(0), 1);
    cr_expect(ended == 1 && ends[0].user == 2 && ends[0].code == APIARY_ENOPROVIDER, "%d", ends[0].code);
}
