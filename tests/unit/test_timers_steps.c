/* The timers of tasks to the nanosecond, by a clock that the test sets: when an agent is told to stop, when a task is ended over
 * its head, when its caller gives it up; and what a beat leaves (agents/runtime/timers.c, registry/client/until.h, progress.h). */
#include "tests/unit/steps_fixture.h"

#include "registry/client/progress.h"
#include "registry/client/until.h"

static void timers_setup(void)
{
    steps_setup();
    hive_handlers(keep, keep);
}
static void timers_teardown(void)
{
    kept_count = 0;
    steps_teardown();
}
TestSuite(timers_steps, .init = timers_setup, .fini = timers_teardown, .timeout = TEST_LIMIT);

#define AGES (1000000 * SECOND)

/* A task in its agent's hands, with these timers; its job is kept[kept_count - 1]. */
static apiary_task_t begun(uint64_t start_to_close, uint64_t heartbeat)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = AGES, .start_to_close = start_to_close,
                                         .heartbeat = heartbeat};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &o, &task), 0);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    return task;
}

static int look_at(uint64_t now)
{
    ap_store_relaxed(&clock_now, now);
    return ap_timers_look(&hive.worker);
}

/* Which of the first jobs have been told to stop, as a text of 0 and 1. */
static const char *told(int n)
{
    static char text[16];

    for (int i = 0; i < n; i++) text[i] = (char)('0' + apiary_job_cancelled(kept[i]));
    text[n] = '\0';
    return text;
}

Test(timers_steps, told_at_its_time_and_ended_two_seconds_later)
{
    const uint64_t begin = clock_now;
    apiary_task_t task[4] = {begun(60 * SECOND, 0), begun(10 * SECOND, 0), begun(30 * SECOND, 0), begun(0, 0)};

    cr_expect_eq(hive.worker.timed, 3);
    cr_expect_eq(hive.worker.timers_due, begin + 10 * SECOND, "the soonest");
    cr_expect_eq(look_at(begin + 10 * SECOND - 1), 0);
    cr_expect_str_eq(told(4), "0000");
    cr_expect_eq(look_at(begin + 10 * SECOND), 0, "nothing has ended");
    cr_expect_str_eq(told(4), "0100");
    cr_expect_eq(hive.worker.timers_due, begin + 10 * SECOND + AP_OVERRUN_GRACE);
    cr_expect_eq(look_at(begin + 10 * SECOND + AP_OVERRUN_GRACE - 1), 0);
    cr_expect_eq(code_of(task[1]), 1);
    cr_expect_eq(look_at(begin + 10 * SECOND + AP_OVERRUN_GRACE), 1);
    cr_expect_eq(code_of(task[1]), APIARY_EOVERRUN);
    cr_expect_eq(hive.worker.timers_due, begin + 30 * SECOND);
    cr_expect_eq(look_at(begin + 30 * SECOND), 0);
    cr_expect_eq(apiary_job_fail(kept[2], 7, "stopped"), 0);
    cr_expect_eq(code_of(task[2]), APIARY_EOVERRUN, "it has done as it was told");
    cr_expect_eq(hive.worker.timed, 1);
    cr_expect_eq(look_at(begin + 40 * SECOND), 0);
    cr_expect_eq(hive.worker.timers_due, begin + 60 * SECOND);
    cr_expect_eq(look_at(begin + 60 * SECOND), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "well", 4), 0);
    cr_expect_eq(code_of(task[0]), 0, "an answer is an answer");
    cr_expect_eq(look_at(begin + 1000 * SECOND), 0);
    cr_expect_eq(code_of(task[3]), 1, "which has no timer");
    cr_expect_eq(hive.worker.timed, 0);
}

/* One that was looked at before may be sooner than all that the worker has. */
Test(timers_steps, a_later_task_with_a_sooner_time)
{
    const uint64_t begin = clock_now;

    begun(60 * SECOND, 0);
    cr_expect_eq(look_at(begin + 1), 0);
    begun(SECOND, 0);
    cr_expect_eq(hive.worker.timers_due, begin + 1 + SECOND);
    cr_expect_eq(look_at(begin + 1 + SECOND), 0);
    cr_expect_str_eq(told(2), "01");
    begun(90 * SECOND, 0);
    cr_expect_eq(hive.worker.timers_due, begin + 1 + SECOND + AP_OVERRUN_GRACE, "and a later one changes nothing");
}

Test(timers_steps, a_beat_puts_off_one_timer_and_not_the_other)
{
    const uint64_t begin = clock_now;

    begun(25 * SECOND, 10 * SECOND);
    begun(0, 10 * SECOND);
    for (uint64_t at = 8; at <= 24; at += 8) {
        cr_expect_eq(look_at(begin + at * SECOND), 0);
        for (int i = 0; i < 2; i++) cr_expect_eq(apiary_job_beat(kept[i], NULL, 0), 0, "at %llu", (unsigned long long)at);
    }
    cr_expect_eq(look_at(begin + 25 * SECOND), 0);
    cr_expect_str_eq(told(2), "10");
    cr_expect_eq(look_at(begin + 34 * SECOND - 1), 1, "the first one was ended");
    cr_expect_eq(apiary_job_cancelled(kept[1]), 0);
    cr_expect_eq(look_at(begin + 34 * SECOND), 0);
    cr_expect_eq(apiary_job_cancelled(kept[1]), 1);
}

/* A job is used again for the next task of its agent. */
Test(timers_steps, nothing_is_left_to_the_next_task_of_a_job)
{
    const uint64_t begin = clock_now;
    apiary_task_t first = begun(SECOND, 0), other = begun(AGES / 2, 0), next;

    cr_expect_eq(look_at(begin + SECOND), 0);
    cr_expect_eq(apiary_job_reply(kept[0], "", 0), 0);
    cr_expect_eq(code_of(first), 0);
    next = begun(0, 0);
    cr_expect_eq(apiary_job_cancelled(kept[2]), 0);
    cr_expect_eq(look_at(begin + AGES / 4), 0);
    cr_expect_eq(look_at(begin + AGES / 4 + AP_OVERRUN_GRACE), 0);
    cr_expect_eq(code_of(next), 1);
    cr_expect_eq(apiary_job_fail(kept[2], 7, "no"), 0);
    cr_expect_eq(code_of(next), APIARY_EAGENT, "it was not told to stop");
    next = begun(SECOND, 0);
    cr_expect_eq(apiary_job_cancelled(kept[3]), 0);
    cr_expect_eq(apiary_job_fail(kept[3], 7, "no"), 0);
    cr_expect_eq(code_of(next), APIARY_EAGENT);
    cr_expect_eq(code_of(other), 1);
}

Test(timers_steps, begun_in_time_or_never)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = AGES, .schedule_to_start = 5 * SECOND};
    const uint64_t begin = clock_now;
    apiary_task_t task[2];

    for (int i = 0; i < 2; i++) {
        ap_store_relaxed(&clock_now, begin);
        cr_assert_eq(apiary_delegate(a, "first", "x", 1, &o, &task[i]), 0);
        ap_store_relaxed(&clock_now, begin + 5 * SECOND - (uint64_t)i);
        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        cr_expect_eq(kept_count, i);
    }
    cr_expect_eq(code_of(task[0]), APIARY_ETIMEDOUT);
    cr_expect_eq(hive.worker.timed, 0, "it has no timer while it runs");
    cr_expect_eq(look_at(begin + 100 * SECOND), 0);
    cr_expect_eq(apiary_job_cancelled(kept[0]), 0);
}

/* ---- when its caller gives it up -------------------------------------------------------------------------------- */

static uint64_t until(apiary_task_t task)
{
    const struct ap_slot *slot = ap_slot_at(a->seg, task.slot);

    return ap_until(a->seg, task.slot, ap_load_acquire(&slot->word));
}

/* While the worker's thread is in the agent's code: its lane says so. */
static void thread_is_inside(apiary_task_t task, bool is)
{
    ap_lane_inside(b->anchor->lane.lane, is ? AP_REF(task.slot, task.generation) : 0);
}

Test(timers_steps, given_up_where_the_thread_does_not_return)
{
    const uint64_t begin = clock_now, grace = 2 * AP_OVERRUN_GRACE;
    apiary_task_t close = begun(10 * SECOND, 0), beat = begun(0, 10 * SECOND), both = begun(15 * SECOND, 10 * SECOND);
    apiary_task_t neither = begun(0, 0), ages = begun(AGES / 2, 0);

    cr_expect_eq(until(close), begin + AGES, "its worker ends it");
    for (int i = 0; i < 2; i++) {
        thread_is_inside(close, true);
        cr_expect_eq(until(close), begin + 10 * SECOND + grace);
        cr_expect_eq(until(beat), begin + 10 * SECOND + grace, "in whosever code the thread stands");
        thread_is_inside(beat, true);
        cr_expect_eq(until(beat), begin + 10 * SECOND + grace);
        thread_is_inside(both, true);
        cr_expect_eq(until(both), begin + 10 * SECOND + grace);
        ap_store_relaxed(&clock_now, begin + 3 * SECOND);
    }
    for (int i = 0; i < 3; i++) cr_expect_eq(apiary_job_beat(kept[i], NULL, 0), 0);
    thread_is_inside(close, true);
    cr_expect_eq(until(close), begin + 10 * SECOND + grace);
    thread_is_inside(beat, true);
    cr_expect_eq(until(beat), begin + 13 * SECOND + grace);
    ap_store_relaxed(&clock_now, begin + 7 * SECOND);
    cr_expect_eq(apiary_job_beat(kept[2], NULL, 0), 0);
    thread_is_inside(both, true);
    cr_expect_eq(until(both), begin + 15 * SECOND + grace);
    thread_is_inside(neither, true);
    cr_expect_eq(until(neither), begin + AGES);
    thread_is_inside(ages, true);
    cr_expect_eq(until(ages), begin + AGES / 2 + grace);
    /* A beat before the attempt began was the one of another attempt. */
    ap_slot_at(a->seg, beat.slot)->started = begin + 5 * SECOND;
    thread_is_inside(beat, true);
    cr_expect_eq(until(beat), begin + 15 * SECOND + grace);
    thread_is_inside(beat, false);
}

Test(timers_steps, given_up_before_it_begins_and_never_past_its_deadline)
{
    const uint64_t begin = clock_now;
    apiary_delegate_options_t o = {.struct_size = sizeof o, .timeout = AGES, .schedule_to_start = 5 * SECOND,
                                   .start_to_close = 2 * AGES};
    apiary_task_t task;

    cr_assert_eq(apiary_delegate(a, "first", "x", 1, &o, &task), 0);
    cr_expect_eq(until(task), begin + 5 * SECOND);
    cr_assert_eq(ap_worker_serve(&hive.worker), 1);
    thread_is_inside(task, true);
    cr_expect_eq(until(task), begin + AGES, "which comes first");
    thread_is_inside(task, false);
    cr_expect_eq(apiary_job_reply(kept[0], "", 0), 0);
    cr_expect_eq(until(task), begin + AGES);
    cr_expect_eq(code_of(task), 0);
}

/* ---- what a beat leaves ----------------------------------------------------------------------------------------- */

static struct ap_progress_view view;

static bool says(apiary_task_t task)
{
    return ap_progress_read(a->seg, task, &view);
}

Test(timers_steps, a_row_of_progress_is_one_tasks)
{
    apiary_task_t task = begun(0, SECOND), later = task, other = task;
    struct ap_progress *row = ap_progress_at(a->seg, task.slot), *behind = row + 1;
    apiary_progress_t p = {.struct_size = sizeof p};
    char text[APIARY_PROGRESS_MAX];
    uint64_t turn;

    later.epoch++;
    other.generation++;
    memset(text, 't', sizeof text);
    behind->turn = AP_PROGRESS_TURN(77, 0, 0, 0);
    turn = row->turn;
    ap_store_relaxed(&clock_now, clock_now + 5);
    cr_assert_eq(apiary_job_beat(kept[0], text, sizeof text), 0);
    cr_expect_eq(behind->turn, AP_PROGRESS_TURN(77, 0, 0, 0));
    behind->turn = 0;
    cr_expect_eq(AP_PROGRESS_COUNT(row->turn), AP_PROGRESS_COUNT(turn) + 1, "a reader sees that it was written");
    cr_assert(says(task));
    cr_expect(view.beats == 1 && view.at == clock_now && view.size == sizeof text && view.text[sizeof text] == '\0');
    cr_expect_not(says(later));
    cr_expect_not(says(other));
    ap_progress_tell(&b->anchor->lane, later, 9, "", 0);
    cr_expect_not(says(task));
    cr_assert(says(later));
    cr_expect(view.beats == 1 && view.at == 9 && view.size == 0, "what another has said is not its own");
    ap_progress_tell(&b->anchor->lane, other, 10, "late", 4);
    cr_expect_not(says(other), "it comes late");
    cr_expect(says(later) && view.at == 9);
    row->epoch = task.epoch;
    row->generation = task.generation;
    ap_progress_tell(&b->anchor->lane, other, 10, "o", 1);
    ap_progress_tell(&b->anchor->lane, other, 11, NULL, 0);
    cr_assert(says(other));
    cr_expect(view.beats == 2 && view.at == 11 && view.size == 1);
    cr_assert_eq(apiary_job_beat(kept[0], "mine", 4), 0);
    cr_expect(says(other), "and so does that");
    row->generation = task.generation - 1;
    cr_assert_eq(apiary_job_beat(kept[0], "mine", 4), 0);
    cr_assert_eq(apiary_progress(a, task, &p), 1);
    cr_expect(p.beats == 1 && p.at == clock_now && p.size == 4);
    cr_expect_str_eq(p.text, "mine");
    cr_expect_eq(apiary_progress(a, later, &p), APIARY_ESTALE);
    cr_expect_eq(apiary_progress(NULL, task, &p), APIARY_EINVAL);
    cr_expect_eq(apiary_progress(a, task, NULL), APIARY_EINVAL);
    p.struct_size = 1;
    cr_expect_eq(apiary_progress(a, task, &p), APIARY_EINVAL);
    row->size = APIARY_PROGRESS_MAX + 1;
    cr_expect_not(says(task), "it is corrupt");
}

Test(timers_steps, who_has_a_row_of_progress)
{
    apiary_task_t task = begun(0, SECOND);
    struct ap_progress *row = ap_progress_at(a->seg, task.slot);
    const struct ap_lane_handle *lane = &b->anchor->lane, *other = &a->anchor->lane;
    uint64_t its = AP_PROGRESS_TURN(5, other->epoch, other->index, 1);

    row->turn = its;
    ap_progress_tell(lane, task, 9, "x", 1);
    cr_expect_eq(row->turn, its, "another writes it");
    cr_expect_not(says(task));
    row->turn = AP_PROGRESS_TURN(5, 1, a->seg->geometry.lanes - 1, 1);
    ap_progress_tell(lane, task, 9, "x", 1);
    cr_expect_eq(row->turn, AP_PROGRESS_TURN(6, lane->epoch, lane->index, 0), "that one is dead");
    cr_expect(says(task));
    row->turn = AP_PROGRESS_TURN(6, other->epoch, other->index, 1);
    cr_expect_not(says(task), "it is half written");
    row->turn = 0;
}
