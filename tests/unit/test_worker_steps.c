/* The steps of a worker, one by one: what is started and what is not, in which order, and what is said of it. */
#include "tests/unit/steps_fixture.h"

TestSuite(worker_steps, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

/* ---- what is started -------------------------------------------------------------------------------------------- */

Test(worker_steps, a_deadline_is_over_when_it_comes)
{
    apiary_task_t before = asked("first", "x", 1, 1001), at = asked("first", "x", 1, 1000), after = asked("first", "x", 1, 999);

    ap_add_relaxed(&clock_now, 1000);
    cr_expect_eq(ap_worker_serve(&hive.worker), 3);
    cr_expect_eq(handled, 1);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(at), APIARY_ETIMEDOUT);
    cr_expect_eq(code_of(after), APIARY_ETIMEDOUT);
}

/* Sixteen of an agent, then those of the next; and who begins takes turns. */
static char order[128];
static size_t ordered;

static void note_first(void *state, apiary_job_t *job)
{
    order[ordered++] = '1';
    count(state, job);
}

static void note_second(void *state, apiary_job_t *job)
{
    order[ordered++] = '2';
    count(state, job);
}

Test(worker_steps, agents_take_turns)
{
    apiary_task_t tasks[40];

    hive_handlers(note_first, note_second);
    for (int i = 0; i < 40; i++) tasks[i] = asked(i % 2 == 0 ? "first" : "second", NULL, 0, 0);
    hive.worker.first = 0;
    cr_expect_eq(ap_worker_serve(&hive.worker), 32);
    cr_expect_str_eq(order, "11111111111111112222222222222222");
    cr_expect_eq(ap_worker_serve(&hive.worker), 8);
    cr_expect_str_eq(order + 32, "22221111");
    cr_expect_eq(ap_worker_serve(&hive.worker), 0);
    for (int i = 0; i < 40; i++) cr_expect_eq(code_of(tasks[i]), 0);
    tasks[0] = asked("first", NULL, 0, 0);
    tasks[1] = asked("second", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 2);
    cr_expect_str_eq(order + 40, "21", "the third turn was the first's, though it had nothing");
}

/* What a recovery leaves to be found by a search of the table takes turns with what comes through the rings. */
static void note_body(void *state, apiary_job_t *job)
{
    order[ordered++] = *(const char *)apiary_job_data(job, NULL);
    count(state, job);
}

Test(worker_steps, the_search_of_the_table_takes_turns_with_the_rings)
{
    apiary_task_t tasks[12];

    hive_handlers(note_body, count);
    for (int i = 0; i < 6; i++) tasks[i] = asked("first", "s", 1, 0);
    for (int i = 0; i < 6; i++) cr_assert_neq(ap_queue_pop(&hive.agents[0].consumer), 0); /* as a worker that died with them */
    ap_add_acq_rel(&b->seg->header->rescan, 1);
    ap_add_relaxed(&clock_now, 1); /* what was queued before comes first in any case */
    for (int i = 6; i < 12; i++) tasks[i] = asked("first", "r", 1, 0);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(ordered, 12);
    cr_expect_str_eq(order, "srsrsrsrsrsr");
    for (int i = 0; i < 12; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* ---- suspects --------------------------------------------------------------------------------------------------- */

/* The same, after a worker that its code has crashed. */
static apiary_task_t asked_suspect(const char *capability)
{
    apiary_task_t task = asked(capability, "s", 1, 0);
    struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    ap_store_release(&slot->word, ap_load_relaxed(&slot->word) + AP_WORD_CRASHED(1));
    return task;
}

Test(worker_steps, a_suspect_is_alone_in_its_agent)
{
    apiary_task_t before, suspect, beside, after;
    uint32_t bell;

    hive_handlers(keep, count);
    before = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    suspect = asked_suspect("first");
    after = asked("first", "x", 1, 0);
    beside = asked("second", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(code_of(beside), 0, "another agent does not notice");
    cr_expect_eq(kept_count, 1, "it waits, and what comes behind it");
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_assert_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 2);
    cr_expect_eq(apiary_job_task(kept[1]).slot, suspect.slot);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "nothing is started beside it");
    cr_assert_eq(apiary_job_reply(kept[1], NULL, 0), 0);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 3);
    cr_assert_eq(apiary_job_reply(kept[2], NULL, 0), 0);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(suspect), 0);
    cr_expect_eq(code_of(after), 0);
}

/* Also where they have timers, whose end is an occasion to look at what is marked. */
Test(worker_steps, a_suspect_waits_for_the_last_of_several)
{
    const apiary_delegate_options_t timed = {.struct_size = sizeof timed, .start_to_close = LONG};
    apiary_task_t tasks[2], suspect;

    hive_handlers(keep, count);
    for (int i = 0; i < 2; i++) cr_assert_eq(apiary_delegate(a, "first", "x", 1, &timed, &tasks[i]), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 2);
    suspect = asked_suspect("first");
    ap_worker_serve(&hive.worker);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "one of them is still in hand");
    cr_expect_eq(apiary_job_reply(kept[1], NULL, 0), 0);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 3);
    cr_expect_eq(apiary_job_reply(kept[2], NULL, 0), 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(tasks[i]), 0);
    cr_expect_eq(code_of(suspect), 0);
}

Test(worker_steps, a_suspect_waits_and_is_alone_for_a_time)
{
    apiary_task_t tasks[3];

    hive_handlers(keep, count);
    tasks[0] = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    tasks[1] = asked_suspect("first");
    tasks[2] = asked("first", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE - 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 1);
    ap_add_relaxed(&clock_now, 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "what it waits for may never end");
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE - 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2);
    ap_add_relaxed(&clock_now, 1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 3, "it may never end");
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_reply(kept[i], NULL, 0), 0);
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* It waits for what it has itself delegated to its own agent, beside which nothing else is started. */
static void ask_itself(void *state, apiary_job_t *job)
{
    if (*(const char *)apiary_job_data(job, NULL) != 's') {
        count(state, job);
        return;
    }
    kept[kept_count++] = job;
    cr_expect_eq(apiary_agent_execute_task(state, "first", "x", 1, NULL, relay_done, job), 0);
}

Test(worker_steps, a_suspect_may_delegate_to_its_own_agent)
{
    apiary_task_t suspect = asked_suspect("first"), other;

    hive_handlers(ask_itself, count);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 1);
    other = asked("first", "o", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(handled, 1, "its own one");
    cr_expect_eq(code_of(other), 1, "and no other beside it");
    cr_expect_eq(ap_delegations_poll(&hive.worker, 16, false), 1);
    cr_expect_eq(code_of(suspect), 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(code_of(other), 0);
}

/* Nor does one that its own worker has delegated wait for the one that waits for it, suspect or not. */
Test(worker_steps, a_suspect_of_its_own_does_not_wait)
{
    apiary_task_t task = asked("first", "s", 1, 0);
    struct ap_agent *at;
    uint64_t ref;

    hive_handlers(ask_itself, count);
    ap_worker_start_task(&hive.worker, &hive.agents[0], ap_queue_pop(&hive.agents[0].consumer));
    cr_assert_eq(kept_count, 1);
    ref = ap_delegations_here(&hive.worker, &at);
    cr_assert_neq(ref, 0);
    ap_slot_at(a->seg, AP_REF_SLOT(ref))->word += AP_WORD_CRASHED(1);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(handled, 1);
    cr_expect_eq(hive.agents[0].aside, 0);
    cr_expect_eq(ap_delegations_poll(&hive.worker, 16, false), 1);
    cr_expect_eq(code_of(task), 0);
}

/* Its agent's hands were filled meanwhile. */
Test(worker_steps, a_suspect_that_has_waited_is_not_forgotten)
{
    apiary_task_t before, suspect;

    hive_handlers(keep, count);
    before = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    suspect = asked_suspect("first");
    ap_worker_serve(&hive.worker);
    cr_expect(hive.worker.holds);
    hive.agents[0].limit = 1;
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE);
    for (int i = 0; i < 2; i++) ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 1);
    cr_assert_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, 2);
    cr_assert_eq(apiary_job_reply(kept[1], NULL, 0), 0);
    ap_add_relaxed(&clock_now, AP_AGENT_ALONE);
    ap_worker_serve(&hive.worker);
    cr_expect_not(hive.worker.holds);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(suspect), 0);
}

/* What waits is still queued: its caller may take it back. */
Test(worker_steps, the_wait_of_a_suspect_ends_with_its_task)
{
    apiary_task_t before, suspect, after;

    hive_handlers(keep, count);
    before = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    suspect = asked_suspect("first");
    after = asked("first", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 1);
    cr_assert_eq(apiary_cancel(a, suspect), 0);
    cr_expect_eq(code_of(suspect), APIARY_ECANCELLED);
    ap_worker_serve(&hive.worker);
    cr_expect_eq(kept_count, 2, "nobody waits any more");
    for (int i = 0; i < 2; i++) cr_expect_eq(apiary_job_reply(kept[i], NULL, 0), 0);
    cr_expect_eq(code_of(before), 0);
    cr_expect_eq(code_of(after), 0);
}

/* ---- what is in hand -------------------------------------------------------------------------------------------- */

/* The first seven are named by the lane, where a reaper finds them without a search. */
Test(worker_steps, hands_name_what_is_in_hand)
{
    const struct ap_lane *lane = b->anchor->lane.lane;
    apiary_task_t tasks[AP_HANDS + 3];
    uint32_t n = 0;

    hive_handlers(keep, keep);
    for (size_t i = 0; i < AP_HANDS + 3; i++) tasks[i] = asked(i % 2 == 0 ? "first" : "second", "x", 1, 0);
    ap_worker_serve(&hive.worker);
    cr_assert_eq(kept_count, (int)AP_HANDS + 3);
    cr_expect_eq(hive.worker.hands, (1u << AP_HANDS) - 1);
    for (unsigned i = 0; i < AP_HANDS; i++)
        for (size_t k = 0; k < AP_HANDS + 3; k++) n += lane->hand[i] == AP_REF(tasks[k].slot, tasks[k].generation);
    cr_expect_eq(n, AP_HANDS, "each once");
    ap_worker_start_task(&hive.worker, &hive.agents[0], AP_REF(tasks[0].slot, tasks[0].generation));
    cr_expect_eq(hive.worker.hands, (1u << AP_HANDS) - 1, "a try without a free hand takes none away");
    for (int i = 0; i < kept_count; i++) {
        apiary_task_t task = apiary_job_task(kept[i]);

        cr_expect_eq(apiary_job_reply(kept[i], "", 0), 0);
        for (unsigned k = 0; k < AP_HANDS; k++) cr_expect_neq(lane->hand[k], AP_REF(task.slot, task.generation));
    }
    cr_expect_eq(hive.worker.hands, 0);
    for (size_t i = 0; i < AP_HANDS + 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

static uint64_t seen_inside;
static uint32_t seen_running;

static void look_inside(void *state, apiary_job_t *job)
{
    seen_inside = b->anchor->lane.lane->inside;
    seen_running = queue_at(0)->running;
    cr_expect_eq(ap_worker_called(&hive.worker), &hive.agents[0]);
    count(state, job);
}

/* While an agent's code runs its lane says for which task, and its queue that one runs. */
Test(worker_steps, a_lane_says_what_it_is_inside)
{
    apiary_task_t task = asked("first", "x", 1, 0);

    hive_handlers(look_inside, count);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(seen_inside, AP_REF(task.slot, task.generation));
    cr_expect_eq(seen_running, 1);
    cr_expect_eq(b->anchor->lane.lane->inside, 0);
    cr_expect_eq(code_of(task), 0);
}

/* What a ring names may be gone, another's, or never have been; nothing is left of the try. */
Test(worker_steps, references_that_are_none)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    struct ap_agent *agent = &hive.agents[0];

    ap_worker_start_task(&hive.worker, agent, AP_REF(b->seg->geometry.tasks, 1));
    ap_worker_start_task(&hive.worker, agent, AP_REF(task.slot, task.generation + 1));
    ap_worker_start_task(&hive.worker, &hive.agents[1], AP_REF(task.slot, task.generation));
    cr_expect_eq(code_of(task), 1);
    cr_expect_eq(handled, 0);
    for (int i = 0; i < 2; i++) cr_expect_eq(hive.agents[i].in_hand, 0);
    cr_expect_eq(hive.worker.hands, 0);
    for (unsigned i = 0; i < AP_HANDS; i++) cr_expect_eq(b->anchor->lane.lane->hand[i], 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(code_of(task), 0);
}

/* A queue passed to another agent, of another service, after its client had chosen it; a body that is none. */
Test(worker_steps, what_was_not_meant_for_it_is_not_started)
{
    uint32_t own = hive.queen.service_index + 1;
    static const struct {
        int only; /* further than its service */
        int code;
        bool other, corrupt;
    } all[] = {{0, 0, false, false}, {1, APIARY_ENOPROVIDER, false, false}, {0, APIARY_ENOPROVIDER, true, false},
               {0, APIARY_ECORRUPT, false, true}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        apiary_task_t task = asked("first", "x", 1, 0);
        struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

        slot->only = (uint16_t)(own + (uint32_t)all[i].only);
        if (all[i].other) slot->capability = (uint16_t)ap_capability_find(a->seg, "second", 6);
        if (all[i].corrupt) slot->body = 1;
        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        cr_expect_eq(handled, 1, "%zu", i);
        slot->body = 0;
        cr_expect_eq(code_of(task), all[i].code, "%zu", i);
    }
}

static uint64_t clock_counts(void)
{
    return ap_add_relaxed(&clock_now, 1) + 1;
}

/* The answers of threads, in the order in which they came. */
Test(worker_steps, answers_of_threads_keep_their_order)
{
    apiary_task_t tasks[3];
    const struct ap_slot *slots[3];

    hive_handlers(keep, count);
    for (int i = 0; i < 3; i++) {
        tasks[i] = asked("first", "x", 1, 0);
        slots[i] = ap_slot_at(a->seg, tasks[i].slot);
    }
    cr_assert_eq(ap_worker_serve(&hive.worker), 3);
    clock_ops.now = clock_counts;
    for (int i = 0; i < 3; i++) cr_assert_eq(apiary_job_finish_from_thread(kept[i], 0, "", 0), 0);
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 3);
    clock_ops.now = clock_read;
    for (int i = 1; i < 3; i++) cr_expect_lt(slots[i - 1]->finished, slots[i]->finished, "%d", i);
    for (int i = 0; i < 3; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* ---- what is said ----------------------------------------------------------------------------------------------- */

static void take_time(void *state, apiary_job_t *job)
{
    ap_add_relaxed(&clock_now, 800);
    count(state, job);
}

/* A worker that never rests says so after 64 starts and ends; one that rests at once. */
Test(worker_steps, counts_are_published_by_a_busy_worker)
{
    const struct ap_queue *queue = queue_at(0);
    apiary_task_t tasks[33];
    uint32_t bell;

    hive_handlers(take_time, count);
    for (int i = 0; i < 33; i++) tasks[i] = asked("first", NULL, 0, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 16);
    cr_expect_eq(ap_load_relaxed(&queue->done), 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 16);
    cr_expect_eq(ap_load_relaxed(&queue->started), 32);
    cr_expect_eq(ap_load_relaxed(&queue->done), 32);
    cr_expect_eq(ap_load_relaxed(&queue->run_time), 800);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(ap_load_relaxed(&queue->done), 32);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue->done), 33);
    cr_expect_eq(ap_load_relaxed(&queue->running), 0);
    for (int i = 0; i < 33; i++) cr_expect_eq(code_of(tasks[i]), 0);
}

/* A queue outlives its consumers, and so do its counts. */
Test(worker_steps, counts_go_on_where_the_last_consumer_stood)
{
    struct ap_queue *queue = ap_queue_at(b->seg, hive.agents[0].queue);
    apiary_task_t task;
    uint32_t bell;

    queue->started = 100;
    queue->done = 70;
    queue->failed = 20;
    queue->late = 6;
    queue->retried = 4;
    queue->run_time = 3200;
    hive.agents[0].outlier.until = clock_now + SECOND;
    ap_worker_consume(&hive.worker);
    cr_expect_eq(hive.agents[0].outlier.until, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 0);
    task = asked("first", "x", 1, 0);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(code_of(task), 0);
    cr_expect(queue->started == 101 && queue->done == 71 && queue->failed == 20 && queue->late == 6 && queue->retried == 4);
    cr_expect(queue->run_time > 3000 && queue->run_time <= 3200, "%llu", (unsigned long long)queue->run_time);
}

/* A task that takes so long; the mean after it. */
static uint64_t mean_after(uint64_t took)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    uint32_t bell;

    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_add_relaxed(&clock_now, took);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    kept_count = 0;
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(code_of(task), 0);
    return ap_load_relaxed(&queue_at(0)->run_time);
}

/* The mean of the first tasks; then a thirty-second of the difference, by which it follows. */
Test(worker_steps, the_mean_follows_the_run_times)
{
    static const uint64_t took[] = {0, 0, 8000, 800, 800}, means[] = {0, 0, 8000, 6200, 5120}; /* a mean of 0 is none yet */

    hive_handlers(keep, count);
    for (size_t i = 0; i < sizeof took / sizeof took[0]; i++) cr_expect_eq(mean_after(took[i]), means[i], "%zu", i);
    for (size_t i = sizeof took / sizeof took[0]; i < 31; i++) mean_after(6400);
    cr_expect_lt(ap_load_relaxed(&queue_at(0)->run_time), 6400);
    for (size_t i = 0; i < 2000; i++) mean_after(6400);
    cr_expect_eq(mean_after(6400), 6400);
    cr_expect_eq(mean_after(9600), 6500);
}

/* One that took a thousand times as long as others does not make its agent seem a hundred times as slow. */
Test(worker_steps, one_long_task_says_little_of_the_next)
{
    hive_handlers(keep, count);
    for (size_t i = 0; i < 40; i++) mean_after(6400);
    cr_expect_eq(mean_after(6400 * 1000), 6400 + 7 * 200);
    for (size_t i = 0; i < 60; i++) mean_after(6400 * 1000);
    cr_expect_gt(ap_load_relaxed(&queue_at(0)->run_time), 6400 * 500, "when all do, it is");
}

/* Of a clock that seems to go back, as between two processors. */
Test(worker_steps, a_task_takes_no_less_than_nothing)
{
    apiary_task_t task = asked("first", "x", 1, 0);
    uint32_t bell;

    hive_handlers(keep, count);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    ap_add_relaxed(&clock_now, (uint64_t)-5);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->run_time), 0);
    cr_expect_eq(code_of(task), 0);
}

/* ---- before it sleeps ------------------------------------------------------------------------------------------- */

Test(worker_steps, it_does_not_sleep_while_there_is_something_to_do)
{
    uint32_t bell;
    apiary_task_t task;

    hive_handlers(keep, count);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    task = asked("first", "x", 1, 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    hive.worker.command = AP_WORKER_HOLD;
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_HOLD, &bell), "while it is held a task is nothing to do");
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "another command is");
    hive.worker.command = AP_WORKER_RUN;
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "what is in hand is its agent's to end");
    cr_assert_eq(apiary_job_finish_from_thread(kept[0], 0, NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell), "an answer of a thread");
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 1);
    cr_expect_eq(ap_worker_take_handed(&hive.worker), 0);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(code_of(task), 0);
}

Test(worker_steps, an_agent_whose_hands_are_full_is_no_reason_to_stay_awake)
{
    apiary_task_t tasks[AP_AGENT_HANDS + 1];
    uint32_t bell;

    hive_handlers(keep, count);
    for (uint32_t i = 0; i <= AP_AGENT_HANDS; i++) tasks[i] = asked("first", "x", 1, 0);
    while (ap_worker_serve(&hive.worker) > 0) {}
    cr_expect_eq(kept_count, (int)AP_AGENT_HANDS);
    cr_expect(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_load_relaxed(&queue_at(0)->running), AP_AGENT_HANDS);
    cr_expect_eq(apiary_job_reply(kept[0], NULL, 0), 0);
    cr_expect_not(ap_worker_rest(&hive.worker, AP_WORKER_RUN, &bell));
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    ap_worker_jobs_end(&hive.worker);
    for (uint32_t i = 0; i <= AP_AGENT_HANDS; i++) cr_expect_eq(code_of(tasks[i]), i == 0 ? 0 : APIARY_ESHUTDOWN);
    cr_expect_eq(hive.worker.in_hand_count, 0);
    cr_expect_eq(hive.worker.hands, 0);
}

/* What a thread has answered by then counts; all else ends with the worker. */
Test(worker_steps, what_was_handed_over_before_the_end_is_an_answer)
{
    apiary_task_t tasks[2];

    hive_handlers(keep, count);
    for (int i = 0; i < 2; i++) tasks[i] = asked("first", "x", 1, 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 2);
    cr_assert_eq(apiary_job_finish_from_thread(kept[0], 0, "done", 4), 0);
    ap_worker_jobs_end(&hive.worker);
    cr_expect_eq(code_of(tasks[0]), 0);
    cr_expect_eq(code_of(tasks[1]), APIARY_ESHUTDOWN);
}

/* ---- whose code runs -------------------------------------------------------------------------------------------- */

static uint64_t inside_now, inside_seen[2][2];
static int watched_ends[2][2], watched_calls;

static void note_inside(void *user, uint32_t events)
{
    size_t at = (size_t)((uint64_t (*)[2])user - inside_seen);

    watched_calls++;
    inside_seen[at][(events & POLLIN) != 0] = inside_now;
    if (events & POLLIN) cr_assert_eq(read(watched_ends[at][0], &(char){0}, 1), 1);
}

/* A crash, and a task that is delegated there, are those of the agent that has made the watch, whichever made one last. */
Test(worker_steps, what_a_watch_calls_is_its_agents)
{
    apiary_watch_t *watches[2];

    ap_loop_inside(hive.worker.loop, &inside_now);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pipe(watched_ends[i]), 0);
        cr_assert_eq(apiary_watch_fd(hive.agents[i].state, watched_ends[i][0], POLLIN, note_inside, inside_seen[i],
                                     &watches[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        cr_assert_eq(apiary_watch_timer(hive.agents[1 - i].state, 1000, note_inside, inside_seen[1 - i], NULL), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(write(watched_ends[i][1], "x", 1), 1);
    ap_add_relaxed(&clock_now, 1000);
    while (watched_calls < 4) {
        ap_loop_park(hive.worker.loop, clock_now);
        ap_loop_turn(hive.worker.loop);
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) cr_expect_eq(inside_seen[i][k], AP_INSIDE_AGENT(hive.agents[i].queue), "%d %d", i, k);
        cr_expect_eq(apiary_watch_close(watches[i]), 0);
        for (int k = 0; k < 2; k++) close(watched_ends[i][k]);
    }
    cr_expect_eq(inside_now, 0);
}
