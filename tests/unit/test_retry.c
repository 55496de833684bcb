/* Tasks that their agent fails and that are tried again: attempts, pauses, codes, the budget, and what stands in the result. */
#include "tests/unit/worker_fixture.h"

#include "registry/routing/retry.h"

TestSuite(retry, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

static int attempts_seen, bodies_wrong;

/* The body says how often it is to fail, and how: 'f' fails, 'n' says "not again", 's' "again at once". */
static void fail_often(void *state, apiary_job_t *job)
{
    size_t size;
    const char *body = apiary_job_data(job, &size);
    uint32_t fails = (uint32_t)(body[0] - '0'), attempt = apiary_job_attempt(job);

    (void)state;
    ap_add_relaxed(&attempts_seen, 1);
    for (size_t i = 2; i < size; i++) ap_add_relaxed(&bodies_wrong, body[i] != 'x');
    if (attempt > fails) {
        apiary_job_reply(job, "well", 4);
        return;
    }
    if (body[1] == 'n') cr_expect_eq(apiary_job_retry(job, APIARY_FOREVER), 0);
    if (body[1] == 's') cr_expect_eq(apiary_job_retry(job, 0), 0);
    apiary_job_fail(job, attempt, "attempt %u", attempt);
}
KIND(often, create_nothing, fail_often, NULL);

static apiary_queen_t *start_often(void)
{
    static const char *const caps[] = {"often", NULL};
    static const apiary_agent_description_t agents[] = {{.name = "often", .kind = &often_kind, .capabilities = caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "often", .agents = agents, .agent_count = 1,
                                          .log = log_line};
    apiary_queen_t *q;

    cr_assert_eq(apiary_queen_start(a, &d, NULL, 0, &q), 0);
    attempts_seen = bodies_wrong = 0;
    return q;
}

static apiary_delegate_options_t policy(uint32_t most)
{
    return (apiary_delegate_options_t){.struct_size = sizeof(apiary_delegate_options_t), .timeout = LONG,
                                       .retry = {.max_attempts = most, .backoff = 1, .cap = 2}};
}

static apiary_result_t result_of(const char *body, size_t size, const apiary_delegate_options_t *o)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "often", body, size, o, &task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &result), 0);
    return result;
}

static void expect(const char *body, const apiary_delegate_options_t *o, uint32_t attempts, int code, enum apiary_untried why)
{
    apiary_result_t r = result_of(body, strlen(body), o);

    cr_expect_eq(r.code, code, "%s: %s", body, apiary_error_name(r.code));
    cr_expect_eq(r.attempts, attempts, "%s: %u attempts", body, r.attempts);
    cr_expect_eq(r.untried, why, "%s: %u", body, r.untried);
    if (code == APIARY_EAGENT) cr_expect_eq(r.agent_code, attempts, "the result is that of the last attempt");
    apiary_release(a, &r);
}

Test(retry, a_task_is_tried_again_while_attempts_last)
{
    apiary_queen_t *q = start_often();
    apiary_delegate_options_t five = policy(5), three = policy(3), never = policy(5);

    expect("2f", NULL, 1, APIARY_EAGENT, APIARY_UNTRIED_NO_POLICY);
    expect("0f", &five, 1, 0, 0);
    expect("2f", &five, 3, 0, 0);
    expect("4s", &five, 5, 0, 0);
    expect("9f", &three, 3, APIARY_EAGENT, APIARY_UNTRIED_USED_UP);
    expect("9n", &five, 1, APIARY_EAGENT, APIARY_UNTRIED_REFUSED);
    never.retry.never[1] = 2;
    expect("9f", &never, 2, APIARY_EAGENT, APIARY_UNTRIED_REFUSED);
    stop_at_once(q);
}

Test(retry, the_request_is_kept_for_every_attempt)
{
    apiary_queen_t *q = start_often();
    apiary_delegate_options_t five = policy(5);
    static char body[5000];
    apiary_result_t r;

    memset(body, 'x', sizeof body);
    memcpy(body, "3f", 2);
    r = result_of(body, sizeof body, &five);
    cr_expect_eq(r.code, 0);
    cr_expect_eq(attempts_seen, 4);
    cr_expect_eq(bodies_wrong, 0);
    apiary_release(a, &r);
    stop_at_once(q);
}

Test(retry, what_waits_for_its_next_attempt_can_be_cancelled)
{
    apiary_queen_t *q = start_often();
    apiary_delegate_options_t slow = policy(5);
    apiary_result_t r = {.struct_size = sizeof r};
    apiary_task_t task;

    slow.retry.backoff = slow.retry.cap = UINT32_MAX; /* any time up to 50 days: two minutes are hardly ever enough */
    slow.timeout = 10000000 * SECOND;
    cr_assert_eq(apiary_delegate(a, "often", "9f", 2, &slow, &task), 0);
    while (AP_WORD_STATE(ap_load_acquire(&ap_slot_at(a->seg, task.slot)->word)) != AP_TASK_SCHEDULED) sched_yield();
    cr_expect_eq(ap_load_relaxed(&ap_slot_at(a->seg, task.slot)->agent_code), 1, "what the last attempt said is there");
    cr_assert_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(apiary_await(a, task, LONG, &r), 0);
    cr_expect_eq(r.code, APIARY_ECANCELLED);
    cr_expect_eq(r.attempts, 1);
    apiary_release(a, &r);
    slow.timeout = LONG;
    expect("9f", &slow, 1, APIARY_EAGENT, APIARY_UNTRIED_DEADLINE);
    stop_at_once(q);
}

Test(retry, an_impossible_policy_is_refused)
{
    apiary_delegate_options_t o = policy(33);
    apiary_queen_t *q = start_often();
    apiary_task_t task;

    cr_expect_eq(apiary_delegate(a, "often", "0f", 2, &o, &task), APIARY_EINVAL);
    o = policy(5);
    o.retry.multiplier = 99;
    cr_expect_eq(apiary_delegate(a, "often", "0f", 2, &o, &task), APIARY_EINVAL);
    o = policy(0);
    cr_expect_eq(apiary_delegate(a, "often", "0f", 2, &o, &task), APIARY_EINVAL, "a pause, and no retry");
    stop_at_once(q);
}

/* The bounds themselves are possible, and what only a task with more than one attempt can use is refused without. */
Test(retry, what_a_policy_may_say)
{
    static const struct {
        apiary_retry_t policy;
        bool possible;
    } all[] = {
        {{.max_attempts = AP_TRIES_MAX}, true}, {{.max_attempts = AP_TRIES_MAX + 1}, false},
        {{.max_attempts = 2, .multiplier = 100}, true}, {{.max_attempts = 2, .multiplier = 99}, false},
        {{.max_attempts = 2, .multiplier = 10000}, true}, {{.max_attempts = 2, .multiplier = 10001}, false},
        {{.max_attempts = 1}, true}, {{.max_attempts = 0}, true},
        {{.max_attempts = 1, .backoff = 1}, false}, {{.max_attempts = 1, .multiplier = 200}, false},
        {{.max_attempts = 1, .cap = 1}, false}, {{.max_attempts = 1, .never = {7}}, false},
        {{.max_attempts = 0, .never = {0, 0, 0, 7}}, false}, {{.max_attempts = 2, .never = {7, 7, 7, 7}}, true},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cr_expect_eq(ap_retry_possible(&all[i].policy), all[i].possible, "%zu", i);
}

/* An agent that fails everything gets little more load. */
Test(retry, retries_do_not_storm)
{
    apiary_queen_t *q = start_often();
    apiary_delegate_options_t five = policy(5);
    uint32_t budget = 0;

    for (int i = 0; i < 300; i++) {
        apiary_result_t r = result_of("9s", 2, &five);
        cr_expect_eq(r.code, APIARY_EAGENT);
        budget += r.untried == APIARY_UNTRIED_BUDGET;
        apiary_release(a, &r);
    }
    cr_expect_gt(budget, 100, "%u of 300", budget);
    stop_at_once(q);
}

Test(retry, a_pause_grows_by_the_multiplier_up_to_its_cap)
{
    const apiary_retry_t p = {.max_attempts = 9, .backoff = 10, .multiplier = 300, .cap = 50}, usual = {.max_attempts = 9};
    const uint64_t ms = 1000000, most = UINT64_MAX;

    for (uint64_t random = 0; random < 1000; random++) {
        uint64_t some = random * (most / 1000);
        cr_expect_leq(ap_retry_pause(&p, 0, some), 10 * ms);
        cr_expect_leq(ap_retry_pause(&p, 1, some), 30 * ms);
        cr_expect_leq(ap_retry_pause(&p, 2, some), 50 * ms);
        cr_expect_leq(ap_retry_pause(&p, 8, some), 50 * ms);
    }
    cr_expect_eq(ap_retry_pause(&p, 1, 30 * ms), 30 * ms, "the whole of it is possible");
    cr_expect_eq(ap_retry_pause(&usual, 0, 100 * ms), 100 * ms);
    cr_expect_eq(ap_retry_pause(&usual, 1, 200 * ms), 200 * ms);
    cr_expect_eq(ap_retry_pause(&usual, 31, 10000 * ms), 10000 * ms);
    cr_expect_eq(ap_retry_pause(&p, 0, 10 * ms + 1), 0, "and no more");
    cr_expect_eq(ap_retry_pause(&p, 1, 30 * ms + 1), 0);
    cr_expect_eq(ap_retry_pause(&p, 2, 50 * ms + 1), 0);
    cr_expect_eq(ap_retry_pause(&usual, 0, 100 * ms + 1), 0);
    cr_expect_eq(ap_retry_pause(&usual, 1, 200 * ms + 1), 0);
    cr_expect_eq(ap_retry_pause(&usual, 31, 10000 * ms + 1), 0);
}

/* What lies behind a policy is none of its codes. */
Test(retry, the_codes_of_a_policy_are_four)
{
    const struct {
        apiary_retry_t policy;
        uint32_t behind;
    } p = {{.max_attempts = 3, .never = {5, 6, 0, 8}}, 7};

    cr_expect_eq(ap_retry_judge(&p.policy, 0, 8), APIARY_UNTRIED_REFUSED);
    cr_expect_eq(ap_retry_judge(&p.policy, 0, 7), AP_TRIED);
    cr_expect_eq(ap_retry_judge(&p.policy, 0, 0), AP_TRIED, "no code is none of them");
    cr_expect_eq(ap_retry_judge(&p.policy, 1, 7), AP_TRIED);
    cr_expect_eq(ap_retry_judge(&p.policy, 2, 7), APIARY_UNTRIED_USED_UP);
}

/* Half of what was saved is forgotten in half of the memory's ten seconds, and time that is asked for in small parts counts. */
Test(retry, a_budget_forgets_and_loses_no_time)
{
    struct ap_retry_budget b = {.at = 0};
    uint64_t at = SECOND, taken;

    cr_expect(ap_retry_take(&b, 0, at));
    cr_expect(ap_retry_take(&b, 1000, at)); /* 99 and 200, less this one */
    at += 5 * SECOND;
    for (taken = 0; ap_retry_take(&b, 1000, at);) taken++;
    cr_expect_eq(taken, 298 / 2 + 50, "%llu", (unsigned long long)taken);
    for (int i = 0; i < 2000; i++) taken += ap_retry_take(&b, 1000, at += SECOND / 2000);
    cr_expect_eq(taken, 298 / 2 + 50 + 10, "%llu", (unsigned long long)taken);
    cr_expect(ap_retry_take(&b, 1000 + 2000, at += 10 * SECOND), "all of the memory has gone by");
    for (taken = 1; ap_retry_take(&b, 1000 + 2000, at);) taken++;
    cr_expect_eq(taken, 100, "%llu", (unsigned long long)taken);
}

Test(retry, a_budget_is_a_fifth_of_the_tasks_and_ten_a_second)
{
    struct ap_retry_budget b = {.at = 0};
    uint64_t at = SECOND, taken = 0;

    while (ap_retry_take(&b, 0, at)) taken++;
    cr_expect_eq(taken, 100, "to begin with what ten seconds give, not %llu", (unsigned long long)taken);
    cr_expect_not(ap_retry_take(&b, 4, at));
    cr_expect(ap_retry_take(&b, 5, at), "a fifth");
    cr_expect_not(ap_retry_take(&b, 5, at));
    at += SECOND;
    for (taken = 0; ap_retry_take(&b, 5, at);) taken++;
    cr_expect_eq(taken, 10, "ten a second, not %llu", (unsigned long long)taken);
    at += 1000 * SECOND;
    for (taken = 0; ap_retry_take(&b, 5, at);) taken++;
    cr_expect_eq(taken, 100, "no more is saved");
}
