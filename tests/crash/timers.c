/* tests/crash/timers.c - how far a task has come is told whole, and one that takes too long is put back or ended once. */
#include "sweep.h"

#include "agents/runtime/queen.h"
#include "registry/client/progress.h"
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
