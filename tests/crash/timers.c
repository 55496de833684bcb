/* tests/crash/timers.c - how far a task has come is told whole, and one that takes too long is put back or ended once. */
#include "sweep.h"

#include "agents/runtime/queen.h"
#include "registry/client/progress.h"
#include "registry/routing/dead.h"
#include "shm/start_by.h"

static void must(bool so)
{
    if (!so) _Exit(20);
}

#define LAST "the second of two"

void prepare_job_beat(void)
{
    prepare_kept();
    must(apiary_job_beat(hive_kept(), "the first of both", 17) == 0);
}

void run_job_beat(void)
{
    must(apiary_job_beat(hive_kept(), LAST, strlen(LAST)) == 0);
}

void after_job_beat(bool over)
{
    struct ap_progress_view v;
    bool there = ap_progress_read(survivor.seg, ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref)), &v);

    after_task(over);
    if (over && (!there || v.beats != 2 || strcmp(v.text, LAST) != 0)) fail("the second beat is not there");
    if (there && (v.size != strlen(LAST) || (strcmp(v.text, LAST) == 0) != (v.beats == 2)))
        fail("beat %llu says '%s'", (unsigned long long)v.beats, v.text);
}

/* Its next attempt is to be the last. */
void image_timed(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .start_to_close = 1000,
                                         .retry = {.max_attempts = 2, .backoff = 1000}};

    image_task();
    ap_carried_write(survivor.seg, ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref)), &o);
    ap_slot_timed(ap_slot_at(survivor.seg, actor.slot), UINT64_MAX);
    ap_task_request(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref), AP_REQUEST_TIMED);
}

void run_overrun(void)
{
    ap_job_overrun(hive_in_hand());
}

void before_overrun(bool over)
{
    uint32_t state = AP_WORD_STATE(word_of(actor.slot));

    if (over && state != AP_TASK_SCHEDULED) fail("what took too long, and is to be tried again, is %s", ap_task_state_name(state));
}

/* ---- declared by the capability ---------------------------------------------------------------------------------- */

static void image_within(void)
{
    uint32_t echo_at = (uint32_t)ap_capability_find(survivor.seg, "echo", 4);
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_start_to_close] = 3600000000001, [AP_TERM_max_attempts] = 3 + 1};

    ap_terms_declare(survivor.seg, survivor.lane.index, 0, echo_at, said, &told);
}

static void run_delegate_bounded(void)
{
    must(apiary_delegate(actor.api, "echo", "work", 4, NULL, &actor.task) == 0);
}

/* A task that anybody may run is within them. */
static void before_bounded(bool over)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i);
        struct ap_carried row;

        if (AP_WORD_STATE(word) != AP_TASK_QUEUED) continue;
        n++;
        if (!ap_task_requested(ap_slot_at(survivor.seg, i), word, AP_REQUEST_TIMED)) fail("slot %u has no timers", i);
        if (!ap_carried_read(survivor.seg, ap_task_id(survivor.seg, i, AP_WORD_GENERATION(word)), &row) ||
            row.start_to_close != 3600000000000 || row.retry.max_attempts != 3)
            fail("slot %u is queued without what its capability declares", i);
    }
    if (over && n != 1) fail("%u tasks", n);
}

const struct operation kills_timers[] = {
    {.name = "delegate_bounded", .registry = true, .image = image_within, .run = run_delegate_bounded, .before = before_bounded},
    {.name = NULL},
};

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

/* The actor's task waits, and its time to be started is over. */
static void prepare_expire(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .schedule_to_start = 1};

    must(apiary_delegate(actor.api, "echo", "work", 4, &o, &actor.task) == 0);
    world_later();
}

static void run_expire(void)
{
    actor.result = apiary_poll(actor.api, actor.task, &actor.collected);
}

/* A worker that has looked at the clock a moment ago starts it. */
static void other_claim(void)
{
    survivor.result = ap_task_claim(survivor.seg, survivor.lane.index, 0, AP_REF(actor.task.slot, actor.task.generation),
                                    &survivor.token);
}

static void before_expire(bool over)
{
    if (!survivor.result) return;
    if (ap_abandoned(ap_slot_at(survivor.seg, actor.task.slot), survivor.token))
        fail("it was started, and is given up as one that was not");
    if (over && actor.result != APIARY_ENOTREADY) fail("it was started, and its caller has %d", actor.result);
    ap_task_finish(survivor.seg, actor.task.slot, survivor.token, 0);
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.task.slot, ap_slot_leave, survivor.seg);
}

const struct operation pairs_timers[] = {
    {.name = "expire|claim", .registry = true, .prepare = prepare_expire, .run = run_expire, .other = other_claim,
     .before = before_expire},
    {.name = NULL},
};
