/* tests/crash/kept.c - results that outlive their tasks: a row is promised, filled once, and given up with its task. */
#include "sweep.h"

#include "registry/routing/dead.h"
#include "registry/routing/kept.h"

static apiary_task_t kept_task; /* the survivor's */

static uint32_t rows(void)
{
    return (uint32_t)survivor.seg->sections[AP_SECTION_KEPT].count;
}

/* A row for the survivor's task, which nobody collects. */
static void promise(void)
{
    apiary_task_t task = ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref));
    uint32_t row;

    if (ap_kept_take(survivor.seg, survivor.lane.index, &row) < 0) exit(2);
    ap_kept_promise(survivor.seg, row, task, UINT64_MAX, survivor.lane.member);
    ap_task_request(survivor.seg, actor.slot, task.generation, AP_REQUEST_ABANDON | AP_REQUEST_DETACH | AP_REQUEST_KEEP);
    kept_task = task;
}

/* It has ended, with a result in a block. */
void image_promised(void)
{
    char *result;

    image_done();
    result = ap_at_offset(survivor.seg, ap_slot_at(survivor.seg, actor.slot)->result, BODY);
    memset(result, 0, BODY);
    memcpy(result, "done", 4);
    promise();
}

/* It is to be run. */
void image_promised_unseen(void)
{
    image_unseen();
    promise();
}

static void kept_all_free(void)
{
    for (uint32_t i = 0; i < rows(); i++)
        if (AP_KEPT_STATE(ap_kept_at(survivor.seg, i)->life) != AP_KEPT_FREE)
            fail("row %u of the kept results is in state %u", i, AP_KEPT_STATE(ap_kept_at(survivor.seg, i)->life));
}

/* The result is there, whole, survives a sweep of the blocks, and is dropped. */
static void kept_judge(int code)
{
    const struct ap_kept *k;
    const char *result;
    uint64_t life = 0;
    uint32_t size = 0;
    int row;

    ap_pool_sweep(survivor.seg);
    ap_kept_expire(survivor.seg, survivor.seg->ops->now());
    row = ap_kept_find(survivor.seg, kept_task, &life);
    if (row < 0 || AP_KEPT_STATE(life) != AP_KEPT_KEPT) {
        fail("the result is not kept");
        return;
    }
    k = ap_kept_at(survivor.seg, (uint64_t)row);
    result = ap_body_at(survivor.seg, k->inside, k->result, &size, k->size);
    if (k->code != code) fail("it is kept with the code %d", k->code);
    if (code == 0 && (result == NULL || size != BODY || memcmp(result, "done", 4) != 0)) fail("%u bytes of it are kept", size);
    if (!ap_kept_free(survivor.seg, (uint32_t)row, life)) fail("it cannot be dropped");
    kept_all_free();
}

/* By the lane that comes by. */
void run_kept_enter(void)
{
    ap_task_free_unseen(actor.seg, actor.lane.index, actor.slot, ap_slot_leave, actor.seg);
}

/* The survivor comes by, too. */
void other_kept_enter(void)
{
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.slot, ap_slot_leave, survivor.seg);
}

/* Somebody looks for rows that are of no use any more. */
void other_kept_expire(void)
{
    judge_unseen = 0;
    ap_kept_expire(survivor.seg, survivor.seg->ops->now());
}

void after_kept_enter(bool over)
{
    if (!over) other_kept_enter();
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_FREE) fail("what nobody will collect is there");
    kept_judge(0);
}

/* Its worker has ended it, or has died and nobody else is to run it. */
void after_kept_finish(bool over)
{
    uint64_t life;
    int row = ap_kept_find(survivor.seg, kept_task, &life);
    int code = row >= 0 ? ap_kept_at(survivor.seg, (uint64_t)row)->code : 0;

    if (over ? code != 0 : code != 0 && code != APIARY_ECRASHED) fail("it is kept with the code %d", code);
    kept_judge(code);
    after_unseen(over);
}

/* Another result has the one block of the class that may be kept: the one in which the request was. */
void image_promised_over(void)
{
    struct ap_slot *slot;
    struct ap_kept *k;
    uint64_t epoch;
    uint32_t row;

    image_promised();
    slot = ap_slot_at(survivor.seg, actor.slot);
    if (ap_kept_take(survivor.seg, survivor.lane.index, &row) < 0) exit(2);
    ap_kept_promise(survivor.seg, row, (apiary_task_t){.slot = TASKS - 1, .generation = 1}, UINT64_MAX, survivor.lane.member);
    k = ap_kept_at(survivor.seg, row);
    epoch = AP_KEPT_EPOCH(k->life);
    k->result = slot->body;
    k->size = BODY;
    k->until = UINT64_MAX;
    ap_pool_attach(survivor.seg, k->result, AP_BLOCK_KEPT,
                   (uint32_t)survivor.seg->sections[AP_SECTION_DEAD].count + row, epoch);
    ap_store_relaxed(&slot->body, 0);
    ap_store_relaxed(&slot->body_size, 0);
    ap_store_release(&k->life, AP_KEPT_LIFE(epoch, 0, AP_KEPT_KEPT));
}

/* It is said that it was not kept, and the other is kept as before. */
void after_kept_over(bool over)
{
    uint32_t whole = 0;

    if (!over) other_kept_enter();
    if (AP_WORD_STATE(word_of(actor.slot)) != AP_TASK_FREE) fail("what nobody will collect is there");
    for (uint32_t i = 0; i < rows(); i++) {
        const struct ap_kept *k = ap_kept_at(survivor.seg, i);
        uint64_t life = 0;

        if ((int)i == ap_kept_find(survivor.seg, kept_task, &life)) continue;
        whole += k->result != 0 && k->size == BODY && k->code == 0 && ap_kept_free(survivor.seg, i, k->life);
    }
    if (whole != 1) fail("%u other results are kept", whole);
    for (uint64_t i = 0; i < survivor.seg->sections[AP_SECTION_BLOCKS].count; i++)
        if (*(uint64_t *)ap_at(survivor.seg, AP_SECTION_BLOCKS, i) != 0) fail("block %u is not free", (uint32_t)i);
    if (ap_load_relaxed(&ap_kept_at(survivor.seg, 0)->unkept) > 1) fail("it is counted twice");
    kept_judge(APIARY_ENOTKEPT);
}

void image_kept(void)
{
    image_promised();
    ap_task_free_unseen(survivor.seg, survivor.lane.index, actor.slot, ap_slot_leave, survivor.seg);
}

void run_kept_forget(void)
{
    if (apiary_forget(actor.api, kept_task) != 0) _exit(21);
}

void after_kept_forget(bool over)
{
    uint64_t life;

    if (!over && ap_kept_find(survivor.seg, kept_task, &life) >= 0) {
        kept_judge(0);
        return;
    }
    ap_pool_sweep(survivor.seg);
    kept_all_free();
}

static const apiary_delegate_options_t keeping = {.struct_size = sizeof keeping, .flags = APIARY_DETACH, .keep = UINT64_MAX};

void run_delegate_kept(void)
{
    if (apiary_delegate(actor.api, "echo", "work", 4, &keeping, &actor.task) != 0) _exit(23);
}

/* All rows are in use, by a task of the survivor. */
void image_kept_full(void)
{
    uint32_t row;

    image_task();
    kept_task = ap_task_id(survivor.seg, actor.slot, AP_REF_GENERATION(actor.ref));
    while (ap_kept_take(survivor.seg, survivor.lane.index, &row) == 0)
        ap_kept_promise(survivor.seg, row, kept_task, UINT64_MAX, survivor.lane.member);
}

void run_delegate_kept_full(void)
{
    apiary_task_t task;

    if (apiary_delegate(actor.api, "echo", "work", 4, &keeping, &task) != APIARY_ETABLEFULL) _exit(22);
}

/* Each task that is on its way has the one row, and rows without a task are free once somebody has looked. */
static void before_kept_pair(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t word = word_of(i), life;

        if (AP_WORD_STATE(word) != AP_TASK_QUEUED) continue;
        if (ap_kept_find(survivor.seg, ap_task_id(survivor.seg, i, AP_WORD_GENERATION(word)), &life) < 0 ||
            !ap_task_requested(ap_slot_at(survivor.seg, i), word, AP_REQUEST_KEEP))
            fail("slot %u is queued, and its row is not promised", i);
    }
}

/* Nobody has run the task. */
void before_delegate_kept(bool over)
{
    uint32_t tasks = 0;

    judge_unseen = 0;
    before_kept_pair(over);
    for (uint32_t i = 0; i < TASKS; i++) tasks += AP_WORD_STATE(word_of(i)) == AP_TASK_QUEUED;
    if (over && tasks != 1) fail("%u tasks", tasks);
}

/* Those that were run have their results, and no other is kept. */
void after_delegate_kept(bool over)
{
    uint32_t n = 0;

    (void)over;
    drain(&survivor.consumer);
    for (uint32_t i = 0; i < TASKS; i++) ap_task_free_unseen(survivor.seg, survivor.lane.index, i, ap_slot_leave, survivor.seg);
    ap_kept_expire(survivor.seg, survivor.seg->ops->now());
    for (uint32_t i = 0; i < rows(); i++) n += (uint32_t)ap_kept_free(survivor.seg, i, ap_kept_at(survivor.seg, i)->life);
    if (n != judge_unseen) fail("%u tasks were run, %u results are kept", judge_unseen, n);
    kept_all_free();
}

void after_kept_full(bool over)
{
    (void)over;
    for (uint32_t i = 0; i < TASKS; i++)
        if (i != actor.slot && AP_WORD_STATE(word_of(i)) == AP_TASK_QUEUED) fail("what was refused is queued in slot %u", i);
    for (uint32_t i = 0; i < rows(); i++) ap_kept_recall(survivor.seg, kept_task);
    kept_all_free();
}

const struct operation pairs_kept[] = {
    {.name = "delegate_kept|kept_expire", .registry = true, .run = run_delegate_kept, .other = other_kept_expire,
     .before = before_kept_pair, .after = after_delegate_kept},
    {.name = "kept_enter|kept_enter", .registry = true, .image = image_promised, .run = run_kept_enter, .other = other_kept_enter,
     .after = after_kept_enter},
    {.name = "kept_enter_over|kept_enter", .registry = true, .kept_share = 50, .image = image_promised_over, .run = run_kept_enter,
     .other = other_kept_enter, .after = after_kept_over},
    {.name = "kept_enter|kept_expire", .registry = true, .image = image_promised, .run = run_kept_enter,
     .other = other_kept_expire, .after = after_kept_enter},
    {.name = NULL},
};
