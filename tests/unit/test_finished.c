/* The last tasks: which ends are recorded, what is told of them, a tap and its end, and rows that a writer has left half written.
 * See shm/finished.h, agents/runtime/noted.h. */
#include "tests/unit/steps_fixture.h"

#include <string.h>

#include "registry/client/sample.h"
#include "shm/check.h"
#include "shm/finished.h"

#define SLOW UINT64_C(100000000) /* the default */

TestSuite(finished, .init = steps_setup, .fini = steps_teardown, .timeout = TEST_LIMIT);

/* ---- what is expected -------------------------------------------------------------------------------------------- */

static unsigned unsound;

static void found(void *user, const struct ap_finding *f)
{
    (void)user;
    unsound += strcmp(f->structure, "finished") == 0;
}

static void sound(unsigned findings)
{
    struct ap_report report = {.found = found};

    unsound = 0;
    ap_check_all(b->seg, &report);
    cr_expect_eq(unsound, findings, "%u findings, and not %u", unsound, findings);
}

/* How many can be read in a half of the rings; the last of them. */
static unsigned told(bool notable, struct ap_finished *ret)
{
    uint32_t rings = ap_finished_rings(b->seg);
    unsigned n = 0;

    for (uint32_t ring = notable ? 0 : rings / 2; ring < (notable ? rings / 2 : rings); ring++) {
        uint64_t first, end = ap_finished_numbers(b->seg, ring, &first);

        for (uint64_t number = first; number < end; number++) n += (unsigned)ap_finished_read(b->seg, ring, number, ret);
    }
    return n;
}

static uint64_t takes;

static void answers(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&clock_now, takes);
    cr_expect_eq(apiary_job_reply(job, "result", 6), 0);
}

static void fails(void *state, apiary_job_t *job)
{
    (void)state;
    ap_add_relaxed(&clock_now, takes);
    cr_expect_eq(apiary_job_fail(job, 7, "no"), 0);
}

static void finished_setup(void (*handler)(void *, apiary_job_t *), uint64_t time)
{
    takes = time;
    hive_handlers(handler, handler);
}

static apiary_task_t traced(uint8_t flags, const apiary_retry_t *retry)
{
    apiary_delegate_options_t o = {.struct_size = sizeof o,
                                   .trace = {.trace_id = {[0] = 0xab, [15] = 0xcd}, .parent_id = {[7] = 5}, .flags = flags}};
    apiary_task_t task;

    if (retry != NULL) o.retry = *retry;
    cr_assert_eq(apiary_delegate(a, "first", "abc", 3, &o, &task), 0);
    return task;
}

/* ---- which ------------------------------------------------------------------------------------------------------- */

Test(finished, a_quick_task_leaves_nothing)
{
    struct ap_finished r;

    finished_setup(answers, SLOW - 1);
    asked("first", "abc", 3, SECOND);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect(told(true, &r) == 0 && told(false, &r) == 0);
    sound(0);
}

Test(finished, a_slow_one_is_told_of)
{
    struct ap_finished r;
    apiary_task_t task;
    uint64_t before = clock_now;

    finished_setup(answers, SLOW - 30);
    task = asked("first", "abc", 3, SECOND);
    ap_add_relaxed(&clock_now, 30);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(told(true, &r), 1);
    cr_expect(r.slot == task.slot && r.epoch == task.epoch && r.generation == task.generation && r.how == AP_FINISH_DONE);
    cr_expect(r.queued == before && r.started == before + 30 && r.finished == before + SLOW && r.attempt == 1 && r.code == 0);
    cr_expect(r.body_size == 3 && r.result_size == 6 && r.queue == hive.agents[0].queue && r.pid == (uint32_t)getpid());
    cr_expect(r.lane == b->anchor->lane.index && r.caller == 0 && r.parent == 0 && r.flags == 0);
    cr_expect_eq(told(false, &r), 0);
    sound(0);
}

Test(finished, a_failure_is_told_of)
{
    struct ap_finished r;

    finished_setup(fails, 5);
    asked("second", NULL, 0, SECOND);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(told(true, &r), 1);
    cr_expect(r.how == AP_FINISH_FAILED && -(int)r.code == APIARY_EAGENT && r.agent_code == 7 && r.attempt == 1);
    cr_expect_eq(r.queue, hive.agents[1].queue);
}

Test(finished, a_sampled_trace_is_told_of_and_no_other)
{
    struct ap_finished r;

    finished_setup(answers, 5);
    traced(0, NULL);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(told(true, &r), 0);
    traced(APIARY_TRACE_SAMPLED, NULL);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_assert_eq(told(true, &r), 1);
    cr_expect(r.trace[0] == 0xab && r.trace[15] == 0xcd && r.parent == 5 && r.flags == APIARY_TRACE_SAMPLED);
    sound(0);
}

Test(finished, each_attempt_is_told_of)
{
    const apiary_retry_t retry = {.max_attempts = 2, .backoff = 1000};
    struct ap_finished r;

    finished_setup(fails, 5);
    traced(0, &retry);
    cr_expect_geq(ap_worker_serve(&hive.worker), 1);
    cr_assert_geq(told(true, &r), 1);
    cr_assert_eq(ap_finished_read(b->seg, hive.agents[0].queue % (ap_finished_rings(b->seg) / 2), 1, &r), 1);
    cr_expect(r.how == AP_FINISH_RETRIED && r.attempt == 1 && r.agent_code == 7);
}

Test(finished, what_ends_while_it_waits_is_told_of)
{
    apiary_task_t task = asked("first", "abc", 3, SECOND);
    apiary_result_t result = {.struct_size = sizeof result};
    struct ap_finished r;

    ap_add_relaxed(&clock_now, 10);
    cr_expect_eq(apiary_cancel(a, task), 0);
    cr_assert_eq(told(true, &r), 1);
    cr_expect(r.how == AP_FINISH_CANCELLED && r.started == 0 && r.attempt == 0 && r.lane == AP_FINISHED_NONE && r.pid == 0);
    cr_expect(r.finished == r.queued + 10 && r.queue == hive.agents[0].queue);
    task = asked("first", "abc", 3, SECOND);
    ap_add_relaxed(&clock_now, 2 * SECOND);
    cr_expect_eq(apiary_poll(a, task, &result), APIARY_ETIMEDOUT);
    cr_assert_eq(told(true, &r), 2);
    cr_expect(r.how == AP_FINISH_FAILED && -(int)r.code == APIARY_ETIMEDOUT && r.started == 0);
    sound(0);
}

/* Its worker was killed behind the claim: what the slot says besides is of an earlier one. */
Test(finished, whose_claim_it_was_says_the_word)
{
    apiary_task_t task = asked("first", "abc", 3, SECOND);
    struct ap_slot *slot = ap_slot_at(b->seg, task.slot);
    uint32_t lane = b->anchor->lane.index, another = a->anchor->lane.index;
    struct ap_finished r;

    ap_store_relaxed(&slot->worker, another);
    ap_store_relaxed(&slot->started, clock_now + 1);
    cr_expect(ap_finished_copy(b->seg, task.slot, AP_WORD(AP_TASK_RUNNING, 0, lane, task.generation), &r));
    cr_expect(r.lane == lane && r.started == 0 && r.queue == AP_FINISHED_NONE && r.pid == (uint32_t)getpid());
    ap_store_relaxed(&slot->worker, lane);
    cr_expect(ap_finished_copy(b->seg, task.slot, AP_WORD(AP_TASK_RUNNING, 0, lane, task.generation), &r));
    cr_expect_eq(r.started, clock_now + 1);
}

static void answers_tapped(void *state, apiary_job_t *job)
{
    ap_add_relaxed(&clock_now, takes);
    ap_tap(b->seg, clock_now + SECOND);
    (void)state;
    cr_expect_eq(apiary_job_reply(job, "x", 1), 0);
}

/* The worker has seen no tap before. */
Test(finished, a_tap_that_begins_in_a_long_task_sees_its_end)
{
    struct ap_finished r;

    finished_setup(answers_tapped, 3 * AP_TAP_LEASE);
    asked("first", "abc", 3, 10 * AP_TAP_LEASE);
    hive.worker.noted.slow = UINT64_MAX;
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(told(false, &r), 1);
    cr_expect_eq(told(true, &r), 0);
}

/* ---- head sampling ------------------------------------------------------------------------------------------------ */

/* How many of 2000 delegations have left a record. */
static unsigned sampled_of(uint32_t one_in, const apiary_delegate_options_t *o)
{
    uint8_t last[16] = {0};
    struct ap_finished r = {.number = 0};
    unsigned n = 0;

    a->seg->geometry.trace_one_in = one_in;
    ap_sample_begin(a->anchor);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t before = ap_finished_ring_at(b->seg, hive.agents[0].queue % (ap_finished_rings(b->seg) / 2))->next;
        apiary_task_t task;

        cr_assert_eq(apiary_delegate(a, "first", NULL, 0, o, &task), 0);
        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        cr_assert_eq(code_of(task), 0);
        if (ap_finished_ring_at(b->seg, hive.agents[0].queue % (ap_finished_rings(b->seg) / 2))->next == before) continue;
        cr_assert_eq(ap_finished_read(b->seg, hive.agents[0].queue % (ap_finished_rings(b->seg) / 2), before + 1, &r), 1);
        cr_expect(r.flags == APIARY_TRACE_SAMPLED && r.parent != 0 && memcmp(r.trace, last, sizeof last) != 0);
        memcpy(last, r.trace, sizeof last);
        n++;
    }
    return n;
}

Test(finished, one_in_so_many_begins_a_trace)
{
    const apiary_delegate_options_t plain = {.struct_size = sizeof plain};
    const apiary_delegate_options_t own = {.struct_size = sizeof own, .trace = {.trace_id = {1}, .parent_id = {1}}};
    unsigned n;

    finished_setup(answers, 5);
    cr_expect_eq(sampled_of(0, NULL), 0);
    cr_expect_eq(sampled_of(1, NULL), 2000);
    cr_expect_eq(sampled_of(1, &plain), 2000);
    n = sampled_of(10, NULL);
    cr_expect(n > 100 && n < 300, "%u of 2000", n); /* 200, and 1 in 10^12 times further away */
    cr_expect_eq(sampled_of(1, &own), 0, "they are in a trace that its beginner does not want recorded");
    sound(0);
}

/* ---- tap --------------------------------------------------------------------------------------------------------- */

Test(finished, while_somebody_taps_everything_is_told_of)
{
    struct ap_finished r;

    finished_setup(answers, 5);
    ap_tap(a->seg, clock_now + 100 * SECOND);
    cr_expect_eq(a->seg->header->tap, clock_now + AP_TAP_LEASE, "not further ahead than a lease");
    ap_worker_publish(&hive.agents[0]);
    asked("first", "abc", 3, SECOND);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(told(false, &r), 1);
    cr_expect_eq(told(true, &r), 0, "a tap leaves the others alone");
    ap_tap(a->seg, clock_now + 1);
    cr_expect_gt(a->seg->header->tap, clock_now + 1, "nobody takes another's tap away");
    ap_add_relaxed(&clock_now, AP_TAP_LEASE); /* the tapper was killed */
    for (int i = 0; i < 2; i++) {
        asked("first", "abc", 3, SECOND);
        cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    }
    cr_expect_eq(told(false, &r), 1);
    cr_expect_eq(hive.worker.noted.from, AP_PACE_SLOW);
    sound(0);
}

Test(finished, a_tap_overwrites_no_failure)
{
    struct ap_finished r;

    finished_setup(fails, 5);
    asked("first", NULL, 0, SECOND);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    finished_setup(answers, 5);
    ap_tap(a->seg, clock_now + SECOND);
    ap_worker_publish(&hive.agents[0]);
    for (unsigned i = 0; i < 2 * AP_FINISHED_RECORDS; i++) {
        apiary_task_t task = asked("first", NULL, 0, SECOND);

        cr_assert_eq(ap_worker_serve(&hive.worker), 1);
        cr_assert_eq(code_of(task), 0);
    }
    cr_expect_eq(told(false, &r), AP_FINISHED_RECORDS);
    cr_expect_eq(told(true, &r), 1);
    sound(0);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static struct ap_finished_ring *one_in_a_ring(struct ap_finished *ret, uint32_t *ret_ring)
{
    *ret = (struct ap_finished){.queue = 0, .lane = AP_FINISHED_NONE, .attempt = 1, .capability = 1};
    ap_finished_enter(b->seg, ret, AP_FINISH_FAILED, APIARY_ELOST, clock_now, true);
    *ret_ring = 0;
    return ap_finished_ring_at(b->seg, 0);
}

Test(finished, a_row_that_is_half_written_is_passed_over_and_overwritten)
{
    uint32_t at;
    struct ap_finished r, got;
    struct ap_finished_ring *ring = one_in_a_ring(&r, &at);
    const struct ap_finished good = ring->records[0];

    cr_assert_eq(ap_finished_read(b->seg, at, 1, &got), 1);
    cr_expect_eq(memcmp(&got, &good, sizeof got), 0);
    ring->records[0].attempt++;
    cr_expect_eq(ap_finished_read(b->seg, at, 1, &got), 0, "mixed of two");
    sound(0);
    for (unsigned i = 0; i < AP_FINISHED_RECORDS; i++) one_in_a_ring(&r, &at);
    cr_expect_eq(ap_finished_read(b->seg, at, 1, &got), 0);
    cr_expect_eq(ap_finished_read(b->seg, at, AP_FINISHED_RECORDS + 1, &got), 1);
    sound(0);
}

Test(finished, what_cannot_be_is_found)
{
    uint32_t at;
    struct ap_finished r, got;
    struct ap_finished_ring *ring = one_in_a_ring(&r, &at);
    const struct ap_finished good = ring->records[0];

#define FORGED(field, value)                                                  \
    do {                                                                      \
        ring->records[0] = good;                                              \
        ring->records[0].field = (value);                                     \
        sound(1);                                                             \
        cr_expect_eq(ap_finished_read(b->seg, at, 1, &got), 0, #field);       \
    } while (0)
    FORGED(number, 2);
    FORGED(number, AP_FINISHED_RECORDS + 1);
    FORGED(how, AP_FINISH_KINDS);
    FORGED(slot, b->seg->geometry.tasks);
    FORGED(queue, (uint16_t)b->seg->geometry.queues);
    FORGED(lane, (uint16_t)b->seg->geometry.lanes);
    FORGED(reserved[0], 1);
#undef FORGED
    ring->records[0] = good;
    ring->reserved[6] = 1;
    sound(1);
    ring->reserved[6] = 0;
    cr_expect_eq(ap_finished_read(b->seg, at, 1, &got), 1);
    sound(0);
}

Test(finished, a_tap_that_nobody_can_have_asked_for)
{
    struct ap_finished r;

    finished_setup(answers, 5);
    b->seg->header->tap = clock_now + 1000 * SECOND;
    ap_worker_publish(&hive.agents[0]);
    asked("first", "abc", 3, SECOND);
    cr_expect_eq(ap_worker_serve(&hive.worker), 1);
    cr_expect_eq(told(false, &r), 0);
    ap_tap(a->seg, clock_now + 1);
    cr_expect_eq(b->seg->header->tap, clock_now + 1);
}
