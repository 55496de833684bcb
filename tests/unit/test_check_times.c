/* tests/unit/test_check_times.c - the times of a task as its checker judges them: stamps of this very moment, and the hints of when
 * a task that waits for its time is to be looked at. */
#include "check_fixture.h"

/* The clock of the check stands still. */
static uint64_t moment;
static uint64_t moment_now(void)
{
    return moment;
}

static struct ap_slot *slot;
static uint32_t number;

/* The first slot of the state. */
static void slot_of(uint32_t state)
{
    for (number = 0; AP_WORD_STATE(ap_slot_at(&d.seg, number)->word) != state; number++)
        cr_assert_lt(number + 1, d.seg.geometry.tasks);
    slot = ap_slot_at(&d.seg, number);
}

static void clock_stands(void)
{
    static struct ap_ops ops;

    setup();
    ops = ap_ops_system;
    moment = ops.now();
    ops.now = moment_now;
    d.seg.ops = &ops;
}

TestSuite(check_times, .init = clock_stands);

/* What the check finds of this slot's times, or "". */
static const char *found(void)
{
    static char text[1024];
    size_t n = 0;

    check();
    text[0] = '\0';
    for (uint32_t i = 0; i < all.count && n < sizeof text; i++) {
        const struct ap_finding *f = &all.list[i];

        if (strcmp(f->structure, "slot") != 0 || f->index != number || f->rule[0] != 'T') continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %d: %s", n > 0 ? "; " : "", f->rule, f->severity, f->text);
    }
    return text;
}

Test(check_times, a_stamp_of_this_moment_is_no_future)
{
    slot_of(AP_TASK_DONE);
    slot->queued = slot->started = slot->finished = slot->deadline = moment;
    cr_expect_str_eq(found(), "");
    slot->finished = moment + 1;
    cr_expect_str_eq(found(), "T6 2: finished in the future");
    slot->finished = moment;
    slot->started = moment + 1;
    cr_expect_str_eq(found(), "T6 2: started in the future; T6 2: finished before it started");
    slot->started = moment;
    slot->deadline = slot->queued = moment + 1;
    cr_expect_str_eq(found(), "T6 2: queued in the future; T6 2: started before it was queued");
}

/* A hint that is none, or that is later than the task's time: told, and as what can be mended. */
static void judge_hint(uint64_t *hint, uint64_t time, const char *what)
{
    const uint64_t was = *hint, late[] = {0, time + 1};
    char expected[256];

    *hint = time;
    cr_expect_str_eq(found(), "", "%s", what);
    *hint = time - 1;
    cr_expect_str_eq(found(), "", "%s: looked at too early", what);
    for (int i = 0; i < 2; i++) {
        *hint = late[i];
        snprintf(expected, sizeof expected, "T12 1: the %s, %llu, is later than a task's time, %llu", what,
                 (unsigned long long)late[i], (unsigned long long)time);
        cr_expect_str_eq(found(), expected);
    }
    *hint = was;
}

static void judge_hints(uint64_t time)
{
    struct ap_slab *slab = ap_slab_at(&d.seg, number / AP_SLAB_SLOTS);

    slab->due = header->due = time;
    judge_hint(&slab->due, time, "slab's hint");
    judge_hint(&header->due, time, "header's hint");
}

/* Its next time: when it is due, or, where that has come and it waits for a provider, when it is given up. */
Test(check_times, hints_are_not_later_than_a_task_s_time)
{
    struct ap_slab *slab;

    slot_of(AP_TASK_QUEUED);
    slab = ap_slab_at(&d.seg, number / AP_SLAB_SLOTS);
    slot->word = AP_WORD(AP_TASK_SCHEDULED, 0, 0, AP_WORD_GENERATION(slot->word));
    slot->due = moment + 100;
    slot->start_by = moment + 500;
    slot->deadline = moment + 1000;
    judge_hints(moment + 100);
    slot->due = moment + 1000;
    judge_hints(moment + 1000);
    slot->due = moment + 1001;
    judge_hints(moment + 1000);
    slot->due = moment + 1;
    judge_hints(moment + 1);
    slot->due = moment;
    judge_hints(moment + 1000);
    slot->request |= AP_REQUEST_TIMED;
    judge_hints(moment + 500);
    slot->request |= AP_REQUEST_TRIED;
    judge_hints(moment + 1000);
    slot->request &= ~(uint64_t)AP_REQUEST_TRIED;
    slot->start_by = UINT64_MAX;
    judge_hints(moment + 1000);
    slot->start_by = moment + 500;
    slot->word += AP_WORD_CRASHED(1);
    judge_hints(moment + 1000);
    slot->deadline = UINT64_MAX;
    slab->due = header->due = 0;
    cr_expect_str_eq(found(), "", "it has no time");
    slot->deadline = moment + 1000;
    slot->word = AP_WORD(AP_TASK_QUEUED, 0, 0, AP_WORD_GENERATION(slot->word));
    cr_expect_str_eq(found(), "", "it waits for no time");
}
