/* Hedged tasks that end otherwise than by an answer: at the time of one copy, and in the dead set. */
#include "hedge_fixture.h"

TestSuite(hedge_ends, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

/* ---- timers ----------------------------------------------------------------------------------------------------- */

/* It is not started in time, and waiters or a sweep may end it: the second has been. */
Test(hedge_ends, a_first_copy_that_is_not_started_in_time_leaves_the_second)
{
    apiary_task_t task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 2,
                                                                .schedule_to_start = 3600 * SECOND, .timeout = 7200 * SECOND});
    apiary_task_t second;
    uint64_t token;

    not_ready(task);
    second = second_of(task);
    token = claimed(second);
    ap_store_relaxed(&ap_slot_at(client->seg, task.slot)->start_by, client->seg->ops->now());
    not_ready(task);
    ap_sweep(client->seg, client->anchor->lane.index, &ap_registry_hooks);
    cr_expect_eq(state_of(task), AP_TASK_FAILED);
    not_ready(task);
    finish(second, token, "second", 0);
    collected(task, "second", 0);
    nothing_left();
    task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 2, .schedule_to_start = 3600 * SECOND,
                                                  .timeout = 7200 * SECOND});
    not_ready(task);
    answers(second_of(task), "no", APIARY_EAGENT);
    not_ready(task);
    ap_store_relaxed(&ap_slot_at(client->seg, task.slot)->start_by, client->seg->ops->now());
    cr_expect_eq(polled(task, &(apiary_result_t){.size = 0}), APIARY_ETIMEDOUT, "nothing else goes on");
    nothing_left();
}

static void stuck(uint32_t lane, apiary_task_t task)
{
    ap_slot_started(ap_slot_at(client->seg, task.slot), 1); /* the clock of a machine that has just started is near 0 */
    ap_store_release(&ap_lane_at(client->seg, lane)->inside, AP_REF(task.slot, task.generation));
}

/* Its worker does not come back from its agent, and cannot end the attempt. */
Test(hedge_ends, an_attempt_that_nobody_can_end_leaves_the_second)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .hedge = 2, .start_to_close = SECOND, .timeout = 7200 * SECOND};

    for (int both = 0; both < 2; both++) {
        apiary_task_t task = delegated(&o), second;
        uint64_t tokens[2];
        int at;

        not_ready(task);
        second = second_of(task);
        at = AP_WORD_OWNER(word_of(task)) == w[1].queue;
        tokens[0] = claimed(task);
        tokens[1] = claimed(second);
        stuck(w[at].lane, task);
        not_ready(task);
        if (both) stuck(w[!at].lane, second);
        else finish(second, tokens[1], "second", 0);
        if (both) cr_expect_eq(polled(task, &(apiary_result_t){.size = 0}), APIARY_ETIMEDOUT, "both have taken too long");
        else collected(task, "second", 0);
        for (int i = 0; i < 2; i++) ap_store_release(&ap_lane_at(client->seg, w[i].lane)->inside, 0);
        finish(task, tokens[0], "late", 0);
        if (both) finish(second, tokens[1], "late", 0);
        nothing_left();
    }
}

/* ---- the dead set ----------------------------------------------------------------------------------------------- */

static void crashes(apiary_task_t task)
{
    uint64_t token = claimed(task);

    ap_task_mark(client->seg, task.slot, token, AP_DEAD_SEGV);
    finish(task, token, "", APIARY_ECRASHED);
}

static int dead_after(uint64_t number, apiary_dead_t *ret)
{
    *ret = (apiary_dead_t){.struct_size = sizeof *ret};
    return apiary_dead_next(client, number, ret);
}

Test(hedge_ends, a_task_is_in_the_dead_set_once_or_not_at_all)
{
    apiary_task_t task = delegated(&at_once);
    apiary_dead_t d;

    not_ready(task);
    crashes(second_of(task));
    not_ready(task);
    answers(task, "first", 0);
    collected(task, "first", 0);
    cr_expect_eq(dead_after(0, &d), 0, "its caller has an answer");
    task = delegated(&at_once);
    not_ready(task);
    crashes(task);
    answers(second_of(task), "second", 0);
    collected(task, "second", 0);
    cr_expect_eq(dead_after(0, &d), 0);
    task = delegated(&at_once);
    not_ready(task);
    crashes(second_of(task));
    crashes(task);
    collected(task, "", APIARY_ECRASHED);
    cr_expect_eq(dead_after(0, &d), 1);
    cr_expect(d.task.slot == task.slot && d.task.generation == task.generation);
    cr_expect_eq(dead_after(d.number, &d), 0);
    rings_emptied();
    nothing_left();
}

Test(hedge_ends, one_of_the_dead_set_is_delegated_anew)
{
    apiary_task_t task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 3600 * SECOND}), again;
    apiary_dead_t d;

    crashes(task);
    collected(task, "", APIARY_ECRASHED);
    cr_assert_eq(dead_after(0, &d), 1);
    cr_assert_eq(apiary_dead_retry(client, d.number, &again), 0);
    answers(again, "anew", 0);
    cr_expect_eq(dead_after(0, &d), 0);
    rings_emptied();
    nothing_left();
}

/* ---- who has the first, and what is left of it ------------------------------------------------------------------ */

/* A worker says of which queue it has claimed a task after it has claimed it. */
Test(hedge_ends, the_queue_of_a_first_copy_is_its_workers)
{
    apiary_task_t task = delegated(&at_once), second;
    struct ap_slot *slot = ap_slot_at(client->seg, task.slot);
    uint32_t queue = AP_WORD_OWNER(word_of(task)), other = queue == w[0].queue ? w[1].queue : w[0].queue;
    uint64_t token = claimed(task);

    ap_store_relaxed(&slot->queue, other); /* it was moved from there */
    not_ready(task);
    cr_expect_not(ap_hedge_second(client, task, &second), "one is sent to the worker that has the first");
    cr_expect_lt(client->anchor->hedge_due, client->seg->ops->now() + 1000 * MS, "and nobody looks again");
    ap_store_relaxed(&slot->queue, queue);
    while (!ap_hedge_second(client, task, &second)) not_ready(task);
    cr_expect_eq(AP_WORD_OWNER(word_of(second)), other);
    finish(task, token, "one", 0);
    collected(task, "one", 0);
    nothing_left();
}

/* The first worker has another queue, and a task that it has claimed out of its own, having been moved from there. */
static struct ap_agent_registration beside;
static struct ap_swarm_registration beside_swarm;

static apiary_task_t moved_beside(uint64_t *ret_token)
{
    static const char *const capabilities[] = {"echo", NULL};
    apiary_task_t task;
    struct ap_slot *slot;

    beside = (struct ap_agent_registration){.name = "beside", .capabilities = capabilities, .lane = w[0].lane};
    beside_swarm = (struct ap_swarm_registration){.service = "beside", .instance = "0", .lane = w[0].server->anchor->lane.index,
                                                  .member = w[0].server->member, .agents = &beside, .agent_count = 1};
    cr_assert_eq(ap_swarm_register(w[0].server->seg, &beside_swarm), 0);
    task = delegated(&at_once);
    slot = ap_slot_at(client->seg, task.slot);
    if (AP_WORD_OWNER(word_of(task)) != w[0].queue)
        cr_assert_eq(ap_task_move(client->seg, task.slot, word_of(task), w[0].queue), 1);
    *ret_token = claimed(task);
    ap_store_relaxed(&slot->queue, beside.queue);
    return task;
}

/* A worker has two queues that may run the task: the one that the slot still names is not the one out of which it was claimed. */
Test(hedge_ends, the_queue_of_a_first_copy_is_not_another_of_its_workers)
{
    apiary_task_t task, second;
    struct ap_slot *slot;
    uint64_t token;

    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 50);
    task = moved_beside(&token);
    slot = ap_slot_at(client->seg, task.slot);
    ap_slot_started(slot, 0);
    not_ready(task);
    cr_expect_not(ap_hedge_second(client, task, &second), "one is sent while it is not known where the first is");
    cr_expect_lt(client->anchor->hedge_due, client->seg->ops->now() + 1000 * MS, "and nobody looks again");
    ap_store_relaxed(&slot->queue, w[0].queue);
    ap_slot_started(slot, client->seg->ops->now());
    while (!ap_hedge_second(client, task, &second)) not_ready(task);
    cr_expect_eq(AP_WORD_OWNER(word_of(second)), beside.queue, "it has less to do than the third");
    finish(task, token, "one", 0);
    collected(task, "one", 0);
    ap_swarm_deregister(w[0].server->seg, w[0].server->anchor->lane.index, &beside_swarm);
    nothing_left();
}

static struct ap_slot *told_late;

static uint64_t clock_tells(void)
{
    ap_store_relaxed(&told_late->queue, w[0].queue);
    return ap_ops_system.now();
}

/* It has had an attempt there, and its worker says late where it is now: the second is at the same place. */
Test(hedge_ends, a_second_at_the_place_of_the_first_is_none)
{
    struct ap_ops ops = ap_ops_system;
    apiary_task_t task, second;
    uint64_t token;

    ap_store_relaxed(&ap_queue_at(client->seg, w[1].queue)->running, 50);
    task = moved_beside(&token);
    told_late = ap_slot_at(client->seg, task.slot);
    ap_slot_started(told_late, client->seg->ops->now());
    ops.now = clock_tells;
    client->seg->ops = &ops;
    ap_hedges_due(client->anchor, ap_ops_system.now());
    client->seg->ops = &ap_ops_system;
    cr_expect_not(ap_hedge_second(client, task, &second), "it waits for the first");
    cr_expect_eq(terms()->hedged, 0);
    cr_expect_eq(terms()->hedge_held, 1);
    finish(task, token, "one", 0);
    collected(task, "one", 0);
    ap_swarm_deregister(w[0].server->seg, w[0].server->anchor->lane.index, &beside_swarm);
    nothing_left();
}

/* Its row may be the next task's as soon as the first is free: the second goes before it. */
Test(hedge_ends, the_second_is_given_up_before_the_first_is_free)
{
    apiary_task_t task = delegated(&at_once), second;
    struct ap_carried *row = ap_carried_at(client->seg, task.slot);

    not_ready(task);
    second = second_of(task);
    ap_hedge_drop(client, task);
    cr_expect_eq(state_of(task), AP_TASK_QUEUED);
    cr_expect_eq(state_of(second), AP_TASK_FREE);
    cr_expect_eq(ap_load_relaxed(&row->won), AP_HEDGE_FIRST, "one more may be sent");
    answers(task, "one", 0);
    collected(task, "one", 0);
    nothing_left();

    /* Another thread, late, with the first of a task whose slot has gone on. */
    second = delegated(&at_once);
    not_ready(second);
    row = ap_carried_at(client->seg, second.slot);
    ap_store_relaxed(&row->generation, second.generation + 1);
    ap_hedge_drop(client, (apiary_task_t){.slot = second.slot, .epoch = second.epoch, .generation = second.generation + 1});
    ap_store_relaxed(&row->generation, second.generation);
    cr_expect(ap_hedge_second(client, second, &task), "the copy of another task was given up");
    ap_give_up(client, second);
    nothing_left();
}

static uint64_t stands;

static uint64_t clock_stands(void)
{
    return stands;
}

/* A copy that is sent at the first one's very deadline has no time of its own, and not that of a task which says none. */
Test(hedge_ends, a_copy_has_the_time_that_is_left)
{
    struct ap_ops ops = ap_ops_system;
    const struct ap_slot *slot;
    apiary_task_t task, second;

    stands = ops.now();
    ops.now = clock_stands;
    client->seg->ops = &ops;
    for (uint64_t left = 0; left < 3; left++) {
        task = delegated(&(apiary_delegate_options_t){.struct_size = sizeof at_once, .hedge = 2, .timeout = SECOND});
        stands += SECOND - left;
        ap_hedges_due(client->anchor, stands);
        second = second_of(task);
        slot = ap_slot_at(client->seg, second.slot);
        cr_expect_eq(slot->deadline - slot->queued, left == 0 ? 1 : left);
        ap_give_up(client, task);
        ap_give_up(client, second);
        rings_emptied();
    }
    nothing_left();
    client->seg->ops = &ap_ops_system;
}
