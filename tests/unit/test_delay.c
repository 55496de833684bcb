/* Tasks with a time of their own, and tasks that wait for a provider: SCHEDULED until then (shm/due.h). */
#include "tests/unit/worker_fixture.h"

#include "shm/due.h"

TestSuite(delay, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static const uint64_t soon = 20000000;

static uint64_t now(void)
{
    return a->seg->ops->now();
}

static uint32_t state_of(apiary_task_t task)
{
    return AP_WORD_STATE(ap_load_acquire(&ap_slot_at(a->seg, task.slot)->word));
}

/* Answers with the time. */
static void tell_time(void *state, apiary_job_t *job)
{
    uint64_t at = now();

    (void)state;
    apiary_job_reply(job, &at, sizeof at);
}
KIND(clock, create_nothing, tell_time, NULL);

static void clock_pass_on(void *job, const apiary_result_t *result)
{
    cr_expect_eq(result->code, 0, "%s", apiary_error_name(result->code));
    apiary_job_reply(job, result->data, result->size);
}

/* Asks for the time in a while. */
static void ask_later(void *state, apiary_job_t *job)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = soon};

    cr_expect_eq(apiary_agent_delegate_external_task(state, "clock", "", 0, &o, clock_pass_on, job), 0);
}
KIND(ask_later, create_nothing, ask_later, NULL);

static apiary_queen_t *start_clock(void)
{
    static const char *const clock_caps[] = {"clock", NULL}, *const ask_caps[] = {"ask_later", NULL};
    static const apiary_agent_description_t agents[] = {
        {.name = "clock", .kind = &clock_kind, .capabilities = clock_caps},
        {.name = "ask", .kind = &ask_later_kind, .capabilities = ask_caps},
    };
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "clock", .agents = agents, .agent_count = 2,
                                          .log = log_line};
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    return q;
}

static uint64_t time_of(apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t at = 0;

    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_assert_eq(result.code, 0, "%s", apiary_error_name(result.code));
    memcpy(&at, result.data, sizeof at);
    cr_expect_eq(apiary_release(a, &result), 0);
    return at;
}

static apiary_task_t ask_clock(const apiary_delegate_options_t *o)
{
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "clock", "", 0, o, &task), 0);
    return task;
}

Test(delay, a_task_is_not_run_before_its_time_whichever_way_it_is_asked_for)
{
    apiary_queen_t *q = start_clock();
    uint64_t then = now() + soon, at;
    const apiary_delegate_options_t delayed = {.struct_size = sizeof delayed, .delay = soon},
                                    due = {.struct_size = sizeof due, .due_at = then},
                                    both = {.struct_size = sizeof both, .due_at = then, .delay = 1};
    const apiary_request_t requests[] = {{.struct_size = sizeof requests[0], .capability = "clock", .options = &delayed},
                                         {.struct_size = sizeof requests[0], .capability = "clock"}};
    apiary_task_t tasks[2];
    apiary_capability_t bound;
    size_t size;

    cr_expect_geq(time_of(ask_clock(&delayed)), then);
    then = now() + soon;
    cr_assert_eq(apiary_delegate_batch(a, requests, 2, tasks, &size), 0);
    time_of(tasks[1]);
    cr_expect_geq(time_of(tasks[0]), then);
    then = now() + soon;
    cr_assert_eq(apiary_bind(a, "clock", &bound), 0);
    cr_assert_eq(apiary_call_bound(a, bound, "", 0, &delayed, &at, sizeof at, &size), 0);
    cr_expect_geq(at, then);
    then = now() + soon;
    cr_assert_eq(apiary_call(a, "ask_later", "", 0, APIARY_TIMEOUT(LONG), &at, sizeof at, &size), 0);
    cr_expect_geq(at, then);
    cr_expect_geq(time_of(ask_clock(&due)), due.due_at);
    cr_expect_geq(time_of(ask_clock(&both)), both.due_at);
    stop_at_once(q);
}

Test(delay, the_sooner_task_is_run_first_and_the_timeout_counts_from_its_time)
{
    apiary_queen_t *q = start_clock();
    const apiary_delegate_options_t far = {.struct_size = sizeof far, .delay = 1000 * LONG},
                                    near = {.struct_size = sizeof near, .delay = soon, .timeout = LONG};
    apiary_task_t last = ask_clock(&far), first = ask_clock(&near);

    time_of(first);
    cr_expect_eq(state_of(last), AP_TASK_SCHEDULED);
    cr_expect_gt(ap_load_relaxed(&ap_slot_at(a->seg, last.slot)->deadline), now() + 999 * LONG);
    cr_assert_eq(apiary_cancel(a, last), 0);
    stop_at_once(q);
}

Test(delay, what_waits_can_be_cancelled_given_up_and_forgotten)
{
    apiary_queen_t *q = start_clock();
    apiary_delegate_options_t far = {.struct_size = sizeof far, .delay = 1000 * LONG};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task = ask_clock(&far);
    uint64_t at;
    size_t size;

    cr_expect_eq(apiary_poll(a, task, &result), APIARY_ENOTREADY);
    cr_expect_eq(apiary_await(a, task, soon, &result), APIARY_ENOTREADY);
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    cr_expect_eq(result.code, APIARY_ECANCELLED);
    cr_expect_eq(result.attempts, 0);
    apiary_release(a, &result);
    cr_expect_eq(state_of(task), AP_TASK_FREE);
    far.delay = UINT64_MAX;
    cr_expect_eq(apiary_delegate(a, "clock", "", 0, &far, &task), APIARY_EINVAL);
    far.delay = soon;
    far.flags = APIARY_DETACH;
    cr_assert_eq(apiary_delegate(a, "clock", "", 0, &far, NULL), 0);
    far.flags = 0;
    cr_assert_eq(apiary_call(a, "clock", "", 0, &far, &at, sizeof at, &size), 0);
    stop_at_once(q);
}

Test(delay, a_task_may_wait_for_a_provider_until_its_deadline)
{
    apiary_delegate_options_t wait = {.struct_size = sizeof wait, .flags = APIARY_WAIT_FOR_PROVIDER, .timeout = LONG};
    apiary_queen_t *q;
    apiary_task_t task, other;
    apiary_result_t result = {.struct_size = sizeof result};

    cr_expect_eq(apiary_delegate(a, "clock", "", 0, &wait, &task), APIARY_ENOCAP, "nobody has ever offered it");
    q = start_clock();
    stop_at_once(q);
    cr_expect_eq(apiary_delegate(a, "clock", "", 0, NULL, &task), APIARY_ENOPROVIDER);
    task = ask_clock(&wait);
    cr_expect_eq(state_of(task), AP_TASK_SCHEDULED);
    wait.timeout = soon;
    other = ask_clock(&wait);
    cr_expect_eq(apiary_await(a, other, LONG, &result), APIARY_ETIMEDOUT);
    q = start_clock();
    cr_expect_leq(time_of(task), now());
    stop_at_once(q);
}

Test(delay, who_finds_a_task_due_ends_what_nobody_waits_for)
{
    const apiary_delegate_options_t late = {.struct_size = sizeof late, .delay = 1, .timeout = 1, .flags = APIARY_DETACH};
    apiary_queen_t *q = start_clock();
    uint32_t used = 0;

    stop_at_once(q);
    cr_assert_eq(apiary_delegate(a, "clock", "", 0, &late, NULL), 0);
    ap_due_look(a->seg, &ap_registry_hooks, a->anchor->lane.index);
    for (uint32_t i = 0; i < a->seg->geometry.tasks; i++)
        used += AP_WORD_STATE(ap_load_acquire(&ap_slot_at(a->seg, i)->word)) != AP_TASK_FREE;
    cr_expect_eq(used, 0, "a task past its deadline that nobody waits for is freed");
}

/* Where no worker and no client is about, the monitor sleeps until the soonest task is due, and no longer. */
Test(delay, the_monitor_alone_queues_what_is_due)
{
    static const char *const offers[] = {"idle", NULL};
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .delay = soon};
    struct ap_agent_registration agent = {.name = "idle", .capabilities = offers, .lane = a->anchor->lane.index};
    struct ap_swarm_registration swarm = {.service = "idle", .lane = agent.lane, .member = a->member, .agents = &agent,
                                          .agent_count = 1};
    struct ap_monitor *m = NULL;
    uint64_t began;

    cr_assert_eq(ap_swarm_register(a->seg, &swarm), 0);
    cr_assert_eq(ap_monitor_start(a->seg, a->member, &m), 0);
    began = now();
    for (int i = 0; i < 20; i++) {
        apiary_task_t task;

        cr_assert_eq(apiary_delegate(a, "idle", "", 0, &o, &task), 0);
        while (state_of(task) == AP_TASK_SCHEDULED) sched_yield();
        cr_expect_eq(state_of(task), AP_TASK_QUEUED);
        ap_give_up(a, task);
    }
    cr_expect_lt(now() - began, 4 * SECOND, "it beats once a second in any case: twenty times 20 ms took %llu",
                 (unsigned long long)(now() - began));
    ap_monitor_stop(m);
    ap_swarm_deregister(a->seg, agent.lane, &swarm);
}
