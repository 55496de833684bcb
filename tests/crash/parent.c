/* tests/crash/parent.c - what an agent has delegated ends with its worker, and with nothing else. */
#include "sweep.h"

static void must(bool so)
{
    if (!so) _Exit(21);
}

static void bind_last(struct side *s)
{
    must(ap_task_request(s->seg, s->slot, generation_of(s), AP_REQUEST_BOUND));
}

/* Three that are of no use without it, which wait, will wait and are about to be run, and one that is fire and forget. */
static void dead_parent(void)
{
    must(submit(&actor, 0, false) == 0);
    bind_last(&actor);
    must(submit(&actor, 1, true) == 0);
    bind_last(&actor);
    must(submit(&actor, 1, false) == 0);
    must(reserve(&actor) == 0);
    fill(&actor);
    bind_last(&actor);
    must(ap_slot_schedule(&actor.slabs, ap_slot_at(actor.seg, actor.slot), actor.slot, actor.seg->ops->now() + WORLD_LATER));
}

static uint32_t bound(uint32_t *ret, uint32_t most)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < TASKS && n < most; i++)
        if (AP_WORD_STATE(word_of(i)) != AP_TASK_FREE &&
            ap_task_requested(ap_slot_at(survivor.seg, i), word_of(i), AP_REQUEST_BOUND))
            ret[n++] = i;
    return n;
}

/* The survivor has taken the first when their client dies. */
static void image_orphans(void)
{
    uint32_t all[4];

    die_having(dead_parent);
    must(bound(all, 4) == 3);
    for (int i = 0; i < 3; i++) {
        uint64_t word = word_of(all[i]);

        if (AP_WORD_STATE(word) != AP_TASK_QUEUED || AP_WORD_OWNER(word) != 0) continue;
        survivor.slot = all[i];
        must(ap_task_claim(survivor.seg, survivor.lane.index, 0, AP_REF(all[i], AP_WORD_GENERATION(word)), &survivor.token));
    }
}

static void orphans_judge(const char *when)
{
    for (uint32_t i = 0; i < TASKS; i++) {
        const struct ap_slot *slot = ap_slot_at(survivor.seg, i);
        uint64_t word = word_of(i);

        if (!ap_task_requested(slot, word, AP_REQUEST_BOUND)) continue;
        if (ap_task_waits(AP_WORD_STATE(word))) fail("%s: an orphan is %s", when, ap_task_state_name(AP_WORD_STATE(word)));
        if (AP_WORD_STATE(word) == AP_TASK_RUNNING && !ap_task_requested(slot, word, AP_REQUEST_CANCEL))
            fail("%s: the agent of an orphan is not told", when);
    }
}

static void before_orphans(bool over)
{
    if (over) orphans_judge("without another recovery");
}

static void after_orphans(bool over)
{
    (void)over;
    orphans_judge("recovered");
    finish(&survivor, survivor.slot, survivor.token, false);
    ap_task_free_unseen(survivor.seg, survivor.lane.index, survivor.slot, NULL, NULL);
}

/* ---- one is made ------------------------------------------------------------------------------------------------ */

static void on_end(void *user, const apiary_result_t *result)
{
    (void)user, (void)result;
}

static void run_delegate_child(void)
{
    must(apiary_job_delegate(hive_kept(), "echo", "work", 4, NULL, on_end, NULL) == 0);
}

/* Its worker is dead, and has it run again: but for that nothing waits. */
static void after_child(bool over)
{
    orphans_judge("recovered");
    for (uint32_t i = 0; i < survivor.seg->geometry.tasks; i++)
        if (i != actor.slot && ap_task_waits(AP_WORD_STATE(word_of(i)))) fail("recovered: a child waits in slot %u", i);
    after_task(over);
}

const struct operation kills_parent[] = {
    {.name = "reap_orphans", .image = image_orphans, .run = run_reap, .before = before_orphans, .after = after_orphans},
    {.name = "delegate_child", .registry = true, .image = image_task, .prepare = prepare_kept, .run = run_delegate_child,
     .after = after_child},
    {.name = NULL},
};
