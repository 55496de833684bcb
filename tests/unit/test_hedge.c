/* Hedged tasks: a second copy at another provider, one answer, and nothing left. */
#include "hedge_fixture.h"

#include <poll.h>

#include "registry/routing/hedging.h"
#include "shm/bond.h"

TestSuite(hedge, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- which counts ----------------------------------------------------------------------------------------------- */

Test(hedge, the_second_answers_first)
{
    apiary_task_t task = delegated(&at_once), second;
    uint64_t token;

    /* Though it has more to do. */
    ap_store_relaxed(&ap_queue_at(client->seg, w[AP_WORD_OWNER(word_of(task)) == w[0].queue].queue)->running, 50);
    cr_expect_not(ap_hedge_second(client, task, &second), "there is none yet");
    not_ready(task);
    second = second_of(task);
    cr_expect_neq(AP_WORD_OWNER(word_of(task)), AP_WORD_OWNER(word_of(second)), "another provider");
    cr_expect_eq(terms()->hedged, 1);
    token = claimed(task);
    answers(second, "second", 0);
    cr_expect_eq(terms()->hedge_won, 0);
    collected(task, "second", 0);
    cr_expect_eq(terms()->hedge_won, 1);
    cr_expect(ap_task_requested(ap_slot_at(client->seg, task.slot), token, AP_REQUEST_CANCEL), "it is told to stop");
    cr_expect_eq(state_of(second), AP_TASK_FREE);
    finish(task, token, "first", 0);
    nothing_left();
}

Test(hedge, the_first_answers_first)
{
    apiary_task_t task = delegated(&at_once), second;

    not_ready(task);
    second = second_of(task);
    answers(task, "first", 0);
    collected(task, "first", 0);
    cr_expect_eq(state_of(second), AP_TASK_FREE, "it was not begun");
    cr_expect_eq(terms()->hedge_won, 0);
    nothing_left();
}

Test(hedge, the_first_answers_while_the_second_runs)
{
    apiary_task_t task = delegated(&at_once), second;
    uint64_t token;

    not_ready(task);
    second = second_of(task);
    token = claimed(second);
    answers(task, "first", 0);
    collected(task, "first", 0);
    cr_expect_eq(state_of(second), AP_TASK_RUNNING);
    cr_expect(ap_abandoned(ap_slot_at(client->seg, second.slot), token));
    finish(second, token, "second", 0);
    nothing_left();
}

Test(hedge, an_answer_never_changes)
{
    apiary_result_t result[3];
    apiary_task_t task = delegated(&at_once), second;
    uint64_t token;

    not_ready(task);
    second = second_of(task);
    token = claimed(task);
    answers(second, "second", 0);
    cr_assert_eq(polled(task, &result[0]), 0);
    finish(task, token, "first", 0);
    cr_assert_eq(polled(task, &result[1]), 0);
    result[2].struct_size = sizeof result[2];
    cr_assert_eq(apiary_await(client, task, APIARY_FOREVER, &result[2]), 0);
    cr_expect(result[1].data == result[0].data && result[2].data == result[0].data);
    cr_expect_eq(apiary_release(client, &result[0]), 0);
    cr_expect_eq(apiary_release(client, &result[1]), APIARY_ESTALE);
    nothing_left();
}

Test(hedge, a_failure_counts_when_both_have_ended)
{
    apiary_task_t task = delegated(&at_once);

    not_ready(task);
    answers(task, "no", APIARY_EAGENT);
    not_ready(task);
    cr_expect_eq(apiary_await(client, task, 0, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)}), APIARY_ENOTREADY);
    answers(second_of(task), "second", 0);
    collected(task, "second", 0);
    nothing_left();
    task = delegated(&at_once);
    not_ready(task);
    answers(second_of(task), "neither", APIARY_EAGENT);
    not_ready(task);
    answers(task, "no", APIARY_EAGENT);
    collected(task, "no", APIARY_EAGENT);
    nothing_left();
}

Test(hedge, cancelling_cancels_both)
{
    apiary_task_t task = delegated(&at_once), second;

    not_ready(task);
    second = second_of(task);
    cr_expect_eq(apiary_cancel(client, task), 0);
    cr_expect_eq(state_of(second), AP_TASK_CANCELLED);
    collected(task, "", APIARY_ECANCELLED);
    nothing_left();
    task = delegated(&at_once);
    cr_expect_eq(apiary_cancel(client, task), 0);
    collected(task, "", APIARY_ECANCELLED);
    cr_expect_eq(terms()->hedged, 1, "what was cancelled has no second copy");
    nothing_left();
}

Test(hedge, a_task_that_is_given_up_takes_its_second_copy_with_it)
{
    apiary_task_t task = delegated(&at_once), second;

    not_ready(task);
    second = second_of(task);
    ap_give_up(client, task);
    cr_expect_eq(state_of(second), AP_TASK_FREE);
    nothing_left();
    task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 2, .timeout = 30 * MS});
    cr_expect_eq(apiary_await(client, task, APIARY_FOREVER, &(apiary_result_t){.struct_size = sizeof(apiary_result_t)}),
                 APIARY_ETIMEDOUT);
    cr_expect_eq(terms()->hedged, 2);
    nothing_left();
}

Test(hedge, a_failure_and_a_deadline)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = 2, .timeout = 3600 * SECOND};
    apiary_task_t task = delegated(&o);
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t second;
    uint64_t token;

    not_ready(task);
    second = second_of(task);
    token = claimed(second);
    answers(task, "no", APIARY_EAGENT);
    ap_store_relaxed(&ap_slot_at(client->seg, task.slot)->deadline, client->seg->ops->now() + 20 * MS);
    cr_expect_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0, "the other copy does not end");
    cr_expect_eq(result.code, APIARY_EAGENT);
    cr_expect_eq(apiary_release(client, &result), 0);
    cr_expect_eq(slots_in_use(), 1);
    finish(second, token, "late", 0);
    nothing_left();
}

/* ---- whether, and how often ------------------------------------------------------------------------------------- */

Test(hedge, only_of_what_is_idempotent)
{
    const apiary_delegate_options_t retried = {.struct_size = sizeof retried, .hedge = 2, .retry = {.max_attempts = 2}};
    const apiary_delegate_options_t detached = {.struct_size = sizeof detached, .hedge = 2, .flags = APIARY_DETACH};
    const apiary_delegate_options_t in_parts = {.struct_size = sizeof in_parts, .hedge = 2, .flags = APIARY_PARTS};
    const apiary_delegate_options_t there = {.struct_size = sizeof there, .hedge = 2,
                                             .provider = AP_PROVIDER(w[0].queue, ap_queue_at(client->seg, w[0].queue)->life)};
    const apiary_delegate_options_t in_doubt = {.struct_size = sizeof in_doubt, .hedge = 2, .flags = APIARY_NO_HEDGE};
    apiary_task_t task;

    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &retried, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &detached, NULL), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &in_parts, &task), APIARY_EINVAL);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &there, &task), APIARY_EINVAL, "no other one may run it");
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &in_doubt, &task), APIARY_EINVAL);
    declare(false);
    cr_expect_eq(apiary_delegate(client, "echo", "x", 1, &at_once, &task), APIARY_ENOTIDEMPOTENT);
    nothing_left();
}

/* Nobody need ask for it. */
Test(hedge, a_capability_that_declares_it)
{
    const struct ap_terms said = {.idempotent = 1 + 1, .hedge = 2 + 1};
    struct ap_terms_conflicts conflicts = {.count = 0};
    apiary_task_t task, second;

    ap_terms_declare(client->seg, w[0].lane, w[0].queue, echo(), (const uint64_t *)(const void *)&said, &conflicts);
    task = delegated(NULL);
    not_ready(task);
    second = second_of(task);
    answers(second, "second", 0);
    collected(task, "second", 0);
    task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .flags = APIARY_NO_HEDGE});
    not_ready(task);
    cr_expect_not(ap_hedge_second(client, task, &second), "its caller wants none");
    answers(task, "first", 0);
    collected(task, "first", 0);
    cr_expect_eq(terms()->hedged, 1);
    rings_emptied();
    nothing_left();
}

/* Nobody waits for it then. */
Test(hedge, a_dead_one_is_delegated_anew_without)
{
    apiary_task_t task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = SECOND}), again;
    uint64_t token = claimed(task);
    struct ap_carried row;

    ap_task_request(client->seg, task.slot, task.generation, AP_REQUEST_DEAD(AP_DEAD_SEGV));
    finish(task, token, "", APIARY_ECRASHED);
    collected(task, "", APIARY_ECRASHED);
    cr_assert_eq(apiary_dead_retry(client, 1, &again), 0);
    cr_assert(ap_carried_read(client->seg, again, &row) || row.hedge == 0);
    cr_expect_eq(row.hedge, 0);
    answers(again, "again", 0);
    rings_emptied();
    nothing_left();
}

/* What a capability bounds holds for both copies as it does for the first: none of them is tried again. */
Test(hedge, of_a_capability_with_bounds)
{
    const struct ap_terms said = {.idempotent = 1 + 1, .max_attempts = 3 + 1, .start_to_close = 40 * SECOND + 1,
                                  .schedule_to_start = 30 * SECOND + 1};
    struct ap_terms_conflicts conflicts = {.count = 0};
    struct ap_carried row;
    apiary_task_t task, second;

    ap_terms_declare(client->seg, w[0].lane, w[0].queue, echo(), (const uint64_t *)(const void *)&said, &conflicts);
    task = delegated(&at_once);
    not_ready(task);
    second = second_of(task);
    cr_assert(ap_carried_read(client->seg, task, &row));
    cr_expect(row.retry.max_attempts <= 1 && row.start_to_close == 40 * SECOND && row.schedule_to_start == 30 * SECOND);
    cr_assert(ap_carried_read(client->seg, second, &row));
    cr_expect(row.retry.max_attempts <= 1 && row.start_to_close == 40 * SECOND && row.schedule_to_start == 0);
    answers(second, "second", 0);
    collected(task, "second", 0);
    rings_emptied();
    nothing_left();
}

Test(hedge, of_a_task_with_a_priority)
{
    apiary_delegate_options_t o = at_once;
    apiary_task_t task, second;

    o.priority = APIARY_PRIORITY_HIGH;
    task = delegated(&o);
    not_ready(task);
    second = second_of(task);
    cr_expect_eq(ap_slot_rank(ap_slot_at(client->seg, second.slot), second.generation), AP_RANK_HIGH);
    answers(second, "second", 0);
    collected(task, "second", 0);
    rings_emptied();
    nothing_left();
}

Test(hedge, of_a_task_that_ends_with_its_parent)
{
    const struct ap_bond bond = {.latest = client->seg->ops->now() + 20 * SECOND};
    apiary_task_t task, second;

    client->anchor->bond = &bond;
    task = delegated(&at_once);
    client->anchor->bond = NULL;
    not_ready(task);
    second = second_of(task);
    cr_expect(ap_task_requested(ap_slot_at(client->seg, second.slot), word_of(second), AP_REQUEST_BOUND));
    cr_expect_eq(ap_slot_at(client->seg, second.slot)->deadline, bond.latest);
    answers(second, "second", 0);
    collected(task, "second", 0);
    task = delegated(&at_once);
    not_ready(task);
    second = second_of(task);
    cr_expect_not(ap_task_requested(ap_slot_at(client->seg, second.slot), word_of(second), AP_REQUEST_BOUND), "nor does this one");
    answers(second, "second", 0);
    collected(task, "second", 0);
    rings_emptied();
    nothing_left();
}

Test(hedge, a_task_goes_on_alone_where_nobody_else_is_there)
{
    apiary_task_t task = delegated(&at_once);
    int other = AP_WORD_OWNER(word_of(task)) == w[0].queue;
    uint64_t paid = terms()->hedge_paid;

    worker_go(&w[other]);
    worker_stop(&w[other]);
    w[other].server = NULL;
    not_ready(task);
    cr_expect_eq(terms()->hedged, 0);
    cr_expect_eq(terms()->hedge_paid, paid, "a copy that is not sent costs nothing");
    cr_expect_eq(terms()->hedge_held, 1);
    not_ready(task);
    cr_expect_eq(terms()->hedge_held, 1, "one attempt");
    answers(task, "first", 0);
    collected(task, "first", 0);
    nothing_left();
}

/* It waits for a provider, and then nobody is awake for it more often than now and then. */
Test(hedge, where_nobody_is_there_it_is_looked_for_now_and_then)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = 2, .flags = APIARY_WAIT_FOR_PROVIDER};
    apiary_task_t task;
    uint64_t now;

    for (int i = 0; i < 2; i++) {
        worker_go(&w[i]);
        worker_stop(&w[i]);
        w[i].server = NULL;
    }
    task = delegated(&o);
    cr_expect_eq(state_of(task), AP_TASK_SCHEDULED);
    now = client->seg->ops->now();
    not_ready(task);
    cr_expect(client->anchor->hedge_due > now + 50 * MS && client->anchor->hedge_due < now + 3600 * SECOND);
    cr_expect_eq(apiary_cancel(client, task), 0);
    collected(task, "", APIARY_ECANCELLED);
    nothing_left();
}

Test(hedge, not_before_its_time)
{
    apiary_task_t task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 3600 * SECOND});

    not_ready(task);
    cr_expect_eq(terms()->hedged + terms()->hedge_held, 0);
    answers(task, "first", 0);
    collected(task, "first", 0);
    cr_expect_eq(ap_hedging_time(client->seg, echo()), 0, "nobody has asked for the time to be measured");
    nothing_left();
}

Test(hedge, whoever_waits_for_one_sends_those_of_all)
{
    apiary_task_t tasks[3] = {delegated(&at_once), delegated(&at_once), delegated(NULL)};

    not_ready(tasks[2]);
    cr_expect_eq(terms()->hedged, 2);
    for (int i = 0; i < 2; i++) {
        answers(second_of(tasks[i]), "second", 0);
        collected(tasks[i], "second", 0);
    }
    answers(tasks[2], "third", 0);
    collected(tasks[2], "third", 0);
    nothing_left();
}

Test(hedge, a_request_in_a_block)
{
    char body[3000];
    apiary_task_t task, second;
    uint32_t size = 0;

    memset(body, 'b', sizeof body);
    cr_assert_eq(apiary_delegate(client, "echo", body, sizeof body, &at_once, &task), 0);
    not_ready(task);
    second = second_of(task);
    const void *copy = ap_task_body(client->seg, ap_slot_at(client->seg, second.slot), &size);
    cr_assert(copy != NULL && size == sizeof body);
    cr_expect_eq(memcmp(copy, body, size), 0);
    answers(second, "second", 0);
    collected(task, "second", 0);
    cr_expect_eq(blocks_in_use(), 0);
    nothing_left();
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

Test(hedge, the_budget)
{
    uint64_t now = 1000000 * SECOND;
    unsigned paid = 0;

    while (paid < 1000 && ap_hedging_pay(client->seg, echo(), now)) paid++;
    cr_expect_eq(paid, 100, "what ten seconds give");
    cr_expect_not(ap_hedging_pay(client->seg, echo(), now + 99 * MS));
    cr_expect(ap_hedging_pay(client->seg, echo(), now + 100 * MS), "ten a second");
    cr_expect_not(ap_hedging_pay(client->seg, echo(), now + 100 * MS));
    ap_queue_at(client->seg, w[0].queue)->started += 4;
    cr_expect_not(ap_hedging_pay(client->seg, echo(), now + 100 * MS));
    ap_queue_at(client->seg, w[1].queue)->started += 1;
    cr_expect(ap_hedging_pay(client->seg, echo(), now + 100 * MS), "one of five");
    ap_queue_at(client->seg, w[0].queue)->started = 0;
    cr_expect_not(ap_hedging_pay(client->seg, echo(), now + 100 * MS), "a provider that goes saves nothing for others");
    cr_expect(ap_hedging_pay(client->seg, echo(), now + 200 * MS));
    for (paid = 0; paid < 1000 && ap_hedging_pay(client->seg, echo(), now + 3600 * SECOND);) paid++;
    cr_expect_eq(paid, 100, "no more is saved");
    cr_expect_not(ap_hedging_pay(client->seg, client->seg->geometry.registry[AP_REGISTRY_INDEX(CAPABILITIES)], now));
}

Test(hedge, the_time_within_which_19_of_20_end)
{
    uint64_t x = 12345, time;
    unsigned above = 0;

    for (unsigned i = 0; i < AP_HEDGING_KNOWN; i++) {
        cr_expect_eq(ap_hedging_time(client->seg, echo()), 0);
        ap_hedging_took(client->seg, echo(), 1000, false);
    }
    cr_expect_gt(ap_hedging_time(client->seg, echo()), 0);
    /* Evenly from 0 to 1 ms, as far as a caller sees them: of those that had a second copy only that they took longer. */
    for (unsigned i = 0; i < 100000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t took = (x >> 33) % 1000000;
        time = ap_hedging_time(client->seg, echo());
        if (i >= 50000) above += took > time;
        ap_hedging_took(client->seg, echo(), took > time ? time : took, took > time);
    }
    cr_expect(above > 1500 && above < 3500, "%u of 50000 took longer", above);
    time = ap_hedging_time(client->seg, echo());
    cr_expect(time > 850000 && time < 1150000, "%llu", (unsigned long long)time);
}

Test(hedge, tasks_that_ask_for_it_are_measured)
{
    const apiary_delegate_options_t p95 = {.struct_size = sizeof p95, .hedge = APIARY_HEDGE_P95};

    for (unsigned i = 0; i < AP_HEDGING_KNOWN; i++) {
        apiary_task_t task = delegated(&p95);
        not_ready(task);
        rings_emptied();
        cr_assert_eq(terms()->hedged, 0, "the time is not known");
        answers(task, "first", 0);
        collected(task, "first", 0);
    }
    cr_expect_gt(ap_hedging_time(client->seg, echo()), 0);
    uint64_t until = client->seg->ops->now() + 2 * ap_hedging_time(client->seg, echo());
    client->anchor->hedge_due = UINT64_MAX;
    apiary_task_t task = delegated(&p95);
    cr_expect_eq(client->anchor->hedge_due,
                 ap_slot_at(client->seg, task.slot)->queued + ap_hedging_time(client->seg, echo()), "nobody wakes before");
    while (client->seg->ops->now() < until) {}
    until = ap_hedging_time(client->seg, echo());
    not_ready(task);
    cr_expect_eq(terms()->hedged, 1);
    cr_expect_gt(ap_hedging_time(client->seg, echo()), until, "it took longer");
    answers(second_of(task), "second", 0);
    collected(task, "second", 0);
    nothing_left();
}

/* ---- with threads ----------------------------------------------------------------------------------------------- */

Test(hedge, a_caller_that_sleeps_is_woken_to_send_and_by_the_answer)
{
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;

    ap_store_release(&w[0].hold, 1);
    ap_store_release(&w[1].hold, 1);
    for (int i = 0; i < 2; i++) worker_go(&w[i]);
    cr_assert_eq(apiary_delegate(client, "echo", "work", 4,
                                 &(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 20 * MS}, &task), 0);
    /* One look: it is being claimed. Until then the word names the queue, and then the lane. */
    uint64_t word = word_of(task);
    int other = AP_WORD_OWNER(word) == (AP_WORD_STATE(word) == AP_TASK_QUEUED ? w[0].queue : w[0].lane);
    ap_store_release(&w[other].hold, 0);
    cr_expect_eq(apiary_await(client, task, APIARY_FOREVER, &result), 0);
    cr_expect(result.size == 4 && memcmp(result.data, "work", 4) == 0);
    cr_expect_eq(terms()->hedged, 1);
    cr_expect_eq(terms()->hedge_won, 1);
    cr_expect_eq(apiary_release(client, &result), 0);
    sem_post(&w[!other].go);
    ap_store_release(&w[!other].hold, 0);
    while (slots_in_use() > 0) ap_tidy(client->anchor);
    nothing_left();
}

Test(hedge, a_descriptor_tells_that_one_is_due)
{
    int fd = apiary_lane_fd(client);
    apiary_task_t task;
    uint64_t count;

    cr_assert_geq(fd, 0);
    task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 50 * MS});
    while (terms()->hedged == 0) {
        cr_assert_eq(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
        cr_assert_eq(read(fd, &count, sizeof count), (ssize_t)sizeof count);
        not_ready(task);
    }
    answers(second_of(task), "second", 0);
    collected(task, "second", 0);
    nothing_left();
}

Test(hedge, what_is_wrong_in_a_row_is_found)
{
    apiary_task_t task = delegated(&at_once);
    struct ap_carried *row = ap_carried_at(client->seg, task.slot);
    struct ap_report report = {.found = finding};

    not_ready(task);
    beat(0);
    row->won = AP_HEDGE_WAYS;
    ap_check_all(client->seg, &report);
    cr_expect_eq(report.corrupt, 1, "%s", first_finding);
    row->won = 0;
    row->other = AP_REF(client->seg->geometry.tasks, 1);
    ap_check_all(client->seg, &report);
    cr_expect_eq(report.corrupt, 2);
    not_ready(task);
    row->other = 0;
    row->won = AP_HEDGE_SECOND;
    ap_check_all(client->seg, &report);
    cr_expect_eq(report.corrupt, 3);
    cr_expect_eq(polled(task, &(apiary_result_t){.size = 0}), APIARY_ESTALE);
}
